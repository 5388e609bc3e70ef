/* private.h - live's own state, shared by live.c (steady state) and replay.c. Live thread only, save `shared`. */
#pragma once
#include <pthread.h>
#include "base/log.h"
#include "base/vec.h"
#include "live/live.h"
#include "live/trace_table.h"

enum live_metric {
#define METRIC_ID(id) LIVE_##id
#define METRIC(...) METRIC_ENUM(__VA_ARGS__)
#include "live/metrics.def"
#undef METRIC
#undef METRIC_ID
    LIVE_METRICS
};

/* What the queue carries: live_note.kind. */
enum note_kind { NOTE_BATCH, NOTE_DECIDED, NOTE_STORED, NOTE_FORWARDED, NOTE_LOOKUP };

/* Decisions made between two records, on their way: live -> journal -> live -> store and forward -> live. */
struct decided {
    struct live_note note;
    struct live_note forwarded;     /* both can be in the queue at a time */
    struct journal_record record;
    struct store_batch batch;
    struct forward_batch forward;
    unsigned waits;                 /* how many of store and forward have not said done */
    struct live *live;
    struct buf body;
    VEC(struct trace *) traces;
    VEC(struct fragment) fragments; /* kept ones first: the store takes those, forward all */
    size_t n_kept;
    enum mg_err err;
    struct list link;               /* own.failed, until the journal takes it; own.given, while waits > 0 */
};

struct live {
    struct live_options options;
    _Atomic(const struct live_conf *) conf;             /* as of the last reload */
    _Atomic(const struct decision_conf *) decisions;
    struct journal *journal;
    struct store *store;
    struct credit *credit;
    struct queue *queue;
    pthread_t thread;
    bool is_started;
    struct metric_set *metrics;
    struct {
        struct trace_table *traces;
        struct list by_deadline;    /* trace.deadline_link, by first row */
        struct list by_root;        /* trace.root_link, by root seen */
        struct segment *open[258];   /* the segment each epoch writes to; few epochs write at a time */
        size_t n_open;
        size_t ring_bytes;          /* charged */
        size_t held;                /* rows in the ring and not let go; more than the ledger's pending while
                                     * forward lacks what is stored or sampled out */
        size_t undecided;           /* of them */
        uint64_t position;          /* applied */
        uint64_t log_ns;            /* of the last applied record */
        uint64_t counted_from;      /* P of the recovered snapshot: records up to it are counted already */
        uint64_t stored_from;       /* C of the recovered state */
        uint64_t forwarded_from;    /* forward_recovered; UINT64_MAX: no forward, so that nothing lies above */
        struct live_ledger ledger;
        struct list failed;         /* decided.link */
        struct list given;          /* decided.link: with the store, with forward, or with both */
        uint64_t retry_at_mono_ns;
        uint64_t decide_at_mono_ns, snapshot_at_mono_ns; /* not before */
        bool is_dirty;              /* something changed since the last snapshot */
        _Atomic bool is_stopping;   /* set by live_stop */
        VEC(struct live_batch *) acks; /* of this round */
        VEC(struct trace *) big;       /* reached trace_spans_max, to be decided early */
    } own;
    struct {
        pthread_mutex_t lock;
        struct list ring;           /* segment.live.link, oldest first; live changes it under the lock */
        size_t n_segments;
        struct live_ledger ledger;
        struct live_stats stats;
        uint64_t journal_cpu_ns, block_cpu_ns, forward_cpu_ns; /* already in the metric */
    } shared;
};

/* Copies the rows of one record into the ring and links them to their traces. */
void live_insert(struct live *live, const struct row_batch *rows, const struct journal_record *record);
/* The trace's rows leave the ring: nobody needs them any more. The ledger is the caller's. */
void live_release(struct live *live, struct trace *trace);
/* Gives what is durable to those that lack it. */
void live_close_traces(struct live *live, struct decided *decided);
void live_hurry(struct live *live); /* memory is needed: what is decided need not wait for more */
void live_forget_pending(struct live *live, struct trace *trace); /* out of the two deadlines' lists */
void live_serve_queue(struct live *live, uint64_t timeout_ns);
void live_publish(struct live *live);
/* After the replay: what the counters say beyond what is there was lost with a part of the log. */
void live_reconcile(struct live *live);
struct decided *decided_new(struct live *live);
void decided_free(struct decided **decided);
void decided_add(struct decided *decided, struct trace *trace, bool is_kept);
