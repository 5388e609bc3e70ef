/* store.h - the block thread: decided fragments in, committed partitions out (collector/README.md R4, R8).
 *
 * The store owns data_dir/store. One thread gathers fragments in the order they are put, builds a block when
 * store.block_spans or store.block_age is reached, and commits block, summary, run and state in one synced
 * transaction. At least every 10 s it commits the newest snapshot, when it differs from the last one committed.
 * A failed commit keeps the block in memory and is tried again with back-off (1 s to 30 s); nothing is released meanwhile. When it
 * turns out to be in the file all the same, its batches are done then.
 *
 * Rows named by a batch stay readable (their segments are held by live) until its done is called. */
#pragma once
#include <stdatomic.h>
#include "base/queue.h"
#include "metric/metric.h"
#include "store/block.h"
#include "store/conf.h"

struct store;
struct store_batch;
/* Block thread, once per commit: all batches it holds, chained by link.next in the order they were put. Must not block. */
typedef void store_done_fn(struct store_batch *first);
struct store_batch {
    struct queue_item link;
    uint64_t position;             /* C once this batch is stored: position of its decision record */
    uint64_t log_ns;
    uint64_t wall_ns;              /* of the decisions: the time of `why` entries */
    struct fragment *fragments;    /* kept or not, with rows and votes; the giver's memory until done */
    size_t n;
    uint64_t rows;                 /* of the kept fragments */
    uint64_t stored, duplicates;   /* of the whole chain, set in its first batch before done */
    store_done_fn *done;
};

/* The hash of a trace id in `why` runs and verdict tables (FORMAT.md 7); the high half is the run's fingerprint. */
uint64_t trace_hash(const uint8_t trace_id[16]);

#define STORE_SNAPSHOT_MAX (32u << 20) /* bytes */

/* What the newest partition says: where recovery starts. All zero for an empty store. */
struct store_state {
    uint64_t commit, c, p, watermark, log_ns, wall_ns;
    uint64_t stored, duplicate;
    uint64_t decisions;            /* bytes of that partition's .why file; not carried */
    struct str snapshot;           /* live's tagged list; the store's memory until start */
};

typedef void store_committed_fn(void *owner, uint64_t watermark); /* block thread, after each commit */
struct store_disk { uint64_t total_bytes, free_bytes; };
struct store_options {
    const char *dir;               /* data_dir/store */
    const struct store_conf *conf; /* copied; until store_reload gives another one */
    struct metric_registry *metrics; /* asks the store at each scrape: no scrape after store_close */
    store_committed_fn *committed;
    void *owner;
    uint64_t (*wall_ns)(void);     /* NULL: clock_wall_ns; tests move it */
    uint64_t (*mono_ns)(void);
    bool (*disk)(const char *dir, struct store_disk *out); /* NULL: statvfs; false: not known */
    uint64_t (*wanted)(void *owner); /* block thread: free bytes that the log needs next, for which partitions are dropped whatever
                                      * store.free_min is; NULL: none */
};
/* Opens partitions, reads summaries into the catalog, seals what a crash left unsealed. No thread yet. A damaged
 * partition is left where it is, logged, counted and not served. On a full disk what is there is served, and a partition that
 * cannot be made yet is made by the first commit. Fails when a file cannot be read for another reason:
 * to start without the newest one would store its spans again. E_UNSUPPORTED: a partition of a later version. */
enum mg_err store_open(struct store **out, const struct store_options *options, struct mg_why *why) MG_MUST_USE;
const struct store_state *store_recovered(const struct store *store);
enum mg_err store_start(struct store *store, struct mg_why *why) MG_MUST_USE;
void store_put(struct store *store, struct store_batch *batch);   /* live; given away until done */
/* Generations of sampling rules. put: the number of a text, a new one when the newest generation's differs; on return it is
 * on disk, so that decisions may name it. Before store_start by the opener; later by the main thread (it waits for a commit).
 * The opener is not told of that commit (options.committed), and its rules may have to wait: when the commit fails, put succeeds, and each
 * commit that is tried has them, the first at once. E_TOO_BIG: 2^24 generations, or a text over 1 MiB. get: appends; any thread; false when that
 * generation is not known any more. wait: any thread; rules wait, so that nothing that names them may become durable. */
enum mg_err store_rules_put(struct store *store, struct str text, uint32_t *generation, struct mg_why *why) MG_MUST_USE;
bool store_rules_get(struct store *store, uint32_t generation, struct buf *text);
bool store_rules_wait(struct store *store);
/* Between store_open and store_start: the newest decisions, kept and dropped, newest commit first, at most `max`; with the word of row/outcome.h.
 * Damaged parts are left out. */
typedef void store_verdict_fn(void *owner, uint64_t trace_hash, uint64_t outcome);
void store_recent_verdicts(struct store *store, size_t max, store_verdict_fn *on_verdict, void *owner);
/* Any thread: commit what waits as soon as possible, because memory is needed. Does not wait. */
void store_hurry(struct store *store);
/* Live: the newest snapshot replaces the one before; bytes are copied. watermark as of now (R4). One that says the
 * same as the one before changes nothing. */
void store_snapshot(struct store *store, uint64_t p, uint64_t watermark, uint64_t log_ns, struct str bytes);
/* Joins the thread, commits what was put and the snapshot. E_IO when that commit failed: the batches are given back
 * by store_take_back without their done; their rows are still in the journal. */
enum mg_err store_stop(struct store *store, struct mg_why *why) MG_MUST_USE;
/* After store_stop: the batches it could not commit, chained by link.next; they are the givers' again. NULL: none. */
struct store_batch *store_take_back(struct store *store);
void store_close(struct store **store);  /* views must be gone */
/* Any thread; copies. */
void store_reload(struct store *store, const struct store_conf *conf);
/* Any thread: free space is below store.free_min and there is no partition left to drop, so no more should be taken in.
 * Looked at each second and after each commit. What was taken in is still stored. */
bool store_is_full(const struct store *store);

/* Any thread: puts a copy of one trace into the archive (pins.mdb), which retention leaves alone. All spans have one
 * trace id (else E_FORMAT); `outcome` (row/outcome.h) is what was decided about it, 0: not known. To pin a trace again is fine. E_TOO_BIG: beyond store.pins_max, or more than a block holds. On
 * return the copy is on disk and store_view_find finds it. After E_IO it is not there, but may be after the next start. */
enum mg_err store_pin(struct store *store, const struct span *const *spans, size_t n, uint64_t outcome, struct mg_why *why) MG_MUST_USE;

/* A query thread: writes a tar of a consistent copy (store/NNNNNN.mdb, NNNNNN.why, pins.mdb) while the store goes on. Needs as much
 * free space as the open partition and the archive take, until it returns. `write` may block; what it returns other
 * than MG_OK ends the backup and is its result. The caller counts the bytes; store_stats.disk_bytes is about their sum. */
typedef enum mg_err backup_write_fn(void *owner, const void *bytes, size_t len, struct mg_why *why);
enum mg_err store_backup(struct store *store, backup_write_fn *write, void *owner, struct mg_why *why) MG_MUST_USE;

struct store_stats {
    uint64_t partitions, blocks, spans, traces, disk_bytes, commits, failed_commits, c, p, watermark;
    uint64_t damaged;              /* partitions set aside */
    uint64_t pinned, pins_bytes;   /* traces in the archive; its size, which disk_bytes includes */
    uint64_t open_partitions;      /* sealed ones whose files are open */
    bool is_full;
    uint64_t oldest_wall_ns;       /* of the first commit of the oldest partition that has spans: none was stored before; 0: there are none */
    uint64_t cpu_ns;               /* of the block thread */
    uint64_t waiting_rows;         /* put and not yet committed */
    uint64_t decisions, decisions_bytes; /* dropped traces that `why` knows; on disk, which disk_bytes includes */
};
void store_stat(struct store *store, struct store_stats *out); /* any thread */
/* Tests and commands: commit what is waiting now, the snapshot too, and wait for it. The thread must run. */
void store_flush(struct store *store);
