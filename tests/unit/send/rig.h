/* rig.h - a queue on a file system in memory, with a peer that does as it is told and clocks that a test
 * moves. Items have a number, from which spans and body follow, so that what arrives can be judged. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include "base/vec.h"
#include "send/private.h"
#include "unit/journal/memfs.h"

#define SECOND UINT64_C(1000000000)

/* --- clocks --- */
uint64_t rig_mono(void);
uint64_t rig_wall(void);
void rig_move(uint64_t ns);        /* both */
void rig_move_wall(uint64_t ns);   /* the wall clock alone; also back, by -ns */
void rig_clock_runs(bool does_run); /* a hundred times as fast as the real one */

/* --- the peer --- */
enum peer_mode { PEER_TAKES, PEER_RETRIES, PEER_REFUSES, PEER_HOLDS /* answers later, as the mode is then */ };
struct attempt {
    uint64_t id, number, mono_ns;
    enum peer_mode mode;
    struct send_progress done; /* when it began */
};
struct peer {
    struct send_wire wire;
    struct timer *timer;
    VEC(struct send_batch *) held; /* loop's, */
    struct zip *zip;               /* and so is what it inflates with: wire.encoding is the test's to set before a start */
    struct buf plain;
    _Atomic(enum peer_mode) mode;
    _Atomic bool answers_at_once;  /* within send; else from its timer */
    _Atomic uint64_t poison_id;    /* this one is retried whatever the mode; 0: none */
    _Atomic uint64_t poison_to;    /* so are those from 1 to here, */
    _Atomic uint64_t poison_every; /* and those whose id this divides; 0: none */
    _Atomic uint64_t refused_from, refused_to; /* these are refused for good whatever the mode; 0: none */
    _Atomic uint64_t hint_ms;
    _Atomic uint32_t refused_spans; /* of what it takes */
    _Atomic(struct send_progress) done; /* of what it does not take: how far it came */
    _Atomic size_t at_wire, at_wire_most;
    _Atomic uint64_t rounds;       /* of its timer, 5 ms */
    bool fails_to_open, is_closed;
    pthread_mutex_t gate;          /* who holds it stops the loop at the next batch */
    _Atomic size_t at_gate;        /* batches that came there */
    pthread_mutex_t lock;          /* what follows: */
    VEC(struct attempt) attempts;
    VEC(uint64_t) taken;           /* ids, in the order they were taken */
};
void peer_mode(struct peer *peer, enum peer_mode mode);
size_t peer_attempts(struct peer *peer);
size_t peer_taken(struct peer *peer);
size_t peer_times(struct peer *peer, uint64_t id); /* how often it was taken */
struct attempt peer_attempt(struct peer *peer, size_t i);

/* --- the items --- */
struct gift {
    struct send_item item;
    uint64_t id;
    _Atomic uint64_t done_rank; /* 1, 2, … in the order of done; 0: not yet */
};
uint32_t gift_spans(uint64_t id);
uint64_t gift_spans_of(uint64_t first, uint64_t last); /* of all from the first to the last */
/* Makes item id (position id × 10) with a body of about `bytes`; 0: an empty one. Every eighth can be compressed. */
void gift_init(struct gift *gift, uint64_t id, size_t bytes);
void gift_fini(struct gift *gift);
struct gift *gifts_new(uint64_t first, size_t n, size_t bytes);         /* ids from first on; gifts_free */
void gifts_free(struct gift *gifts, size_t n);
bool gift_is_done(const struct gift *gift);

/* --- all together --- */
struct rig {
    struct memfs fs;
    const char *os_dir; /* NULL: the file system in memory */
    struct peer peer;
    struct send_conf conf;
    uint64_t disk_end_ns; /* a minute: a thread that gets no processor is not a disk that hangs */
    struct metric_registry *registry;
    struct metric_set *metrics;
    struct send *send;
};
void rig_init(struct rig *rig);
void rig_fini(struct rig *rig);
enum mg_err rig_try_open(struct rig *rig, struct mg_why *why);
void rig_start(struct rig *rig);   /* opens and starts */
void rig_crash(struct rig *rig);   /* the files as they are now are what the next start finds */
void rig_put(struct rig *rig, struct gift *gifts, size_t n);
/* Puts n items, beginning with id `first`, and returns when they are done; their memory goes at once. */
void rig_give(struct rig *rig, uint64_t first, size_t n, size_t bytes);
struct send_stats rig_stat(struct rig *rig);
bool rig_is_drained(struct rig *rig); /* all that was put since the start has left the queue */
void rig_tick(struct rig *rig);    /* returns when the loop has ticked twice */
void rig_settle(struct rig *rig);  /* and the state file, if it was due, is written */
uint64_t rig_metric(struct rig *rig, const char *line); /* value of a line of the exposition; fails without one */
uint64_t rig_counted(struct rig *rig, const char *outcome); /* spans of an outcome, as the metric says */

/* Waits for what other threads bring about; a test that waits for a minute has failed. */
#define AWAIT(condition)                                                                               \
    do {                                                                                               \
        uint64_t rig_limit_ = rig_real_ns() + 60 * SECOND;                                             \
        while (!(condition)) {                                                                         \
            if (rig_real_ns() > rig_limit_)                                                            \
                fail_msg("%s:%d: waited in vain for %s", __FILE__, __LINE__, #condition);              \
            rig_yield();                                                                               \
        }                                                                                              \
    } while (0)
uint64_t rig_real_ns(void);
void rig_yield(void);
