/* store_rig.h - a store in a fresh directory, with clocks that stand still until a test moves them.
 *
 * Spans are numbered from 1; the number is the span id, and says trace and service, so that a test can ask a view
 * whether each span is there exactly once. Without rig_start the store has no thread: the test turns it by hand, and a
 * commit happens inside rig_turn or not at all. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "store/private.h"
#include "unit/store/rows.h"

#define RIG_SECOND UINT64_C(1000000000)
#define RIG_WALL (UINT64_C(1700000000) * RIG_SECOND) /* when every test begins */

struct given; /* a batch, and what became of it */
struct rig {
    char dir[64], store_dir[80];
    struct store_conf conf;
    struct metric_registry *metrics;
    struct store *store;
    struct rows rows;
    uint64_t spans;             /* made so far */
    uint64_t position;          /* of the last batch */
    uint64_t stored, duplicates, commits_told, watermark; /* as told by the store */
    VEC(struct given *) given;
    size_t n_done;              /* of given; they come back in order */
    struct mg_why why;
};

int rig_setup(void **state);    /* makes and opens */
int rig_teardown(void **state); /* closes, removes; fails on an environment left open */

void rig_move(uint64_t ns);     /* both clocks */
void rig_move_wall(uint64_t ns);
void rig_move_mono(uint64_t ns);
uint64_t rig_wall_ns(void);
extern struct store_disk rig_disk; /* what the store is told of the file system; set anew by rig_setup */

enum mg_err rig_try_open(struct rig *rig);
void rig_open(struct rig *rig);
/* One row of the open store's configuration, as of now. */
#define RIG_SET(rig, row, value) ((rig)->conf.row = (value), store_reload((rig)->store, &(rig)->conf))
void rig_start(struct rig *rig);
/* Without a word to the store, as a crash would: batches that are not done are forgotten. */
void rig_abandon(struct rig *rig);
void rig_reopen(struct rig *rig);
void rig_anew(struct rig *rig);   /* after rig_abandon: removes all files, begins from span 1 */

/* n spans in traces of `each`, as one batch; span number s belongs to trace 1 + (s - 1) / each, when each stays the same. */
void rig_put(struct rig *rig, unsigned n, unsigned each);
/* One batch with these spans, equal trace ids joined. */
void rig_put_spans(struct rig *rig, const struct span *spans, size_t n);
void rig_span(uint64_t number, uint64_t trace, struct span *out); /* what rig_put makes; slices are static or per number % 8 */
/* A batch of decided traces. A kept one has one span, numbered like those of rig_put; a dropped one has two, a parent and its child, whose
 * numbers are beyond all others. */
struct rig_decided { uint64_t trace, outcome; bool is_kept; struct str votes; };
void rig_put_decided(struct rig *rig, const struct rig_decided *decided, size_t n);
/* Outcomes by a policy's number: kept by it, dropped by it. */
uint64_t rig_kept(unsigned policy);
uint64_t rig_dropped(unsigned policy);
void rig_drop(struct rig *rig, uint64_t trace, unsigned policy);   /* puts and commits one dropped trace */
void rig_keep(struct rig *rig, uint64_t trace, unsigned policy);
void rig_trace_id(uint64_t trace, uint8_t id[16]);
/* What a view says was decided about a trace, newest first: the policies' numbers, negative when dropped. Fails when there are not n. */
void rig_expect_decided(struct rig *rig, uint64_t trace, const int *policies, size_t n);
#define RIG_DECIDED(rig, trace, ...) \
    rig_expect_decided((rig), (trace), (const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))
#define RIG_UNDECIDED(rig, trace) rig_expect_decided((rig), (trace), NULL, 0)
void rig_why_path(const struct rig *rig, uint32_t number, char path[128]);
uint64_t rig_why_bytes(const struct rig *rig, uint32_t number); /* of the file; 0: there is none */
void rig_turn(struct rig *rig);
/* Puts and commits at once: a block of its own. */
void rig_commit(struct rig *rig, unsigned n);
/* Rolls: moves the clock past the age and commits n spans into a new partition. */
void rig_roll(struct rig *rig, unsigned n);
void rig_retain(struct rig *rig); /* as the block thread would in a minute */

size_t rig_partitions(struct rig *rig);
struct partition *rig_partition(struct rig *rig, size_t i);
/* A copy of a value, through the store's own handle; false and empty: absent. */
bool rig_value(struct rig *rig, size_t i, unsigned table, struct str key, struct buf *out);
size_t rig_find(struct rig *rig, uint64_t trace); /* blocks that may hold it */
/* How often each span is in a view: fails unless exactly [first, last] are there, each once. */
void rig_expect(struct rig *rig, uint64_t first, uint64_t last);
void rig_expect_in(struct store_view *view, uint64_t first, uint64_t last);
/* The same, but a partition that is not there is no failure: nothing doubled, nothing unknown. Returns how many. */
uint64_t rig_count(struct rig *rig, uint64_t last);
bool rig_file_exists(const struct rig *rig, uint32_t number, bool lock);
void rig_path(const struct rig *rig, uint32_t number, char path[128]);
/* Changes a partition file behind the store's back, which must be closed. */
void rig_change(const struct rig *rig, uint32_t number, unsigned table, struct str key, struct str value);
void rig_change_block(const struct rig *rig, uint32_t number, unsigned table, uint32_t block, void (*damage)(struct buf *value));
void rig_truncate(const struct rig *rig, uint32_t number, uint64_t bytes);
