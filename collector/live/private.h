/* private.h - live's own state, and what its files ask of each other. Live thread only, save `shared`. */
#pragma once
#include <pthread.h>
#include "base/log.h"
#include "base/vec.h"
#include "live/live.h"
#include "live/tally.h"
#include "live/trace_table.h"
#include "live/verdict_table.h"

#define SECOND_NS UINT64_C(1000000000)

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
    VEC(struct fragment) fragments; /* of the traces, in their order */
    struct arena votes;             /* of the fragments */
    uint64_t kept_rows;
    enum mg_err err;
    struct list link;               /* own.failed, until the journal takes it; own.given, while waits > 0 */
};

struct live {
    struct live_options options;
    _Atomic int ladder_step;
    struct journal *journal;
    struct store *store;
    struct credit *credit;
    struct queue *queue;
    pthread_t thread;
    bool is_started;
    struct metric_set *metrics;
    struct {
        struct live_conf conf;      /* as of this round, */
        struct decision_conf decisions; /* taken from `shared` */
        bool has_overload;          /* sampling.overload */
        struct trace_table *traces;
        struct list by_deadline;    /* trace.deadline_link, by first row */
        struct list by_root;        /* trace.root_link, by root seen */
        struct list by_late;        /* trace.root_link, by first row: records that follow an earlier decision */
        struct sampler *sampler;    /* NULL: sampling is off, everything is kept */
        struct buf floor;           /* meanwhile: sampler_save of the last one, for the next */
        struct verdict_table *verdicts;
        struct tally tally;
        struct ladder ladder;
        struct sampler_stats told;  /* what of the sampler's counts is in the metrics */
        VEC(struct trace *) settled;/* sample_on_first_match: may be decided now */
        struct { struct recent *at; size_t n; } recent; /* verdicts read from the store, until the replay has ended */
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
        size_t with_store;          /* of them, those that the store has not committed */
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
        VEC(struct live_policy) policies;
        struct live_conf conf;      /* of the last live_reload, for live's next round */
        struct decision_conf decisions;
        /* Of the last live_reload_rules. sampler: for rules that switch sampling on. */
        struct {
            bool is_new, has_overload;
            uint64_t verdicts_bytes;
            struct sample_rules *rules;
            uint32_t generation;
            struct sampler *sampler;
        } rules;
        uint64_t journal_cpu_ns, block_cpu_ns, forward_cpu_ns; /* already in the metric */
    } shared;
    struct {
        pthread_mutex_t lock;       /* held by live_reload_rules, never by live */
        bool is_sampling;           /* by the rules that were given last */
    } reload;
};

struct recent { uint64_t hash, outcome; };

/* judge.c: verdicts. */
void judge_init(struct live *live);
void judge_fini(struct live *live);
void judge_take_reload(struct live *live);              /* rows and rules that another thread gave */
/* What the floor has used of its day, also while there is no sampler. Bytes that no sampler wrote are ignored. */
void judge_save_floor(struct live *live, struct buf *out);
void judge_load_floor(struct live *live, struct str bytes);
/* A row joins its trace; is_counted false: replay up to P, its ledger and head's counts have it. */
void judge_row(struct live *live, struct trace *trace, const struct row *row, bool is_counted);
/* What an earlier decision about a new record's trace says; 0: there is none. */
uint64_t judge_follow(const struct live *live, const struct trace *trace);
void judge_decide(struct live *live, struct trace *trace, enum trigger trigger, struct outcome *out, struct str *votes);
void judge_remember(struct live *live, const uint8_t trace_id[16], const struct outcome *outcome); /* a decision was made, or replayed */
void judge_after_replay(struct live *live);
void judge_watch(struct live *live);                    /* the ladder: once a round */
void judge_count(struct live *live);                    /* the sampler's counts into metrics */
/* The word of a fragment: 0 for what was decided while sampling was off. */
static inline uint64_t word_of(const struct outcome *outcome)
{
    return outcome->reason == REASON_NONE ? 0 : outcome_pack(outcome);
}

/* ring.c: rows and the records of their traces. */
/* Copies the rows of one record into the ring and links them to their traces. */
void live_insert(struct live *live, const struct row_batch *rows, const struct journal_record *record);
/* The trace's rows leave the ring: nobody needs them any more. The ledger is the caller's. */
void live_release(struct live *live, struct trace *trace);
void live_forget_pending(struct live *live, struct trace *trace); /* out of the two deadlines' lists */
void live_seal_old(struct live *live);
/* Of a row in its segment: as it stands, but its events, last in it, as many bytes as in wire form. */
uint64_t live_row_bytes(const struct row *row);

/* decide.c: decisions until the log has them. */
struct decided *decided_new(struct live *live);
void decided_free(struct decided **decided);
void decided_add(struct decided *decided, struct trace *trace, const struct outcome *outcome, struct str votes);
void live_decide_due(struct live *live);
void live_retry_failed(struct live *live);              /* those that the journal refused */
uint64_t live_until_due_ns(const struct live *live);
void live_hurry(struct live *live); /* memory is needed: what is decided need not wait for more */

/* live.c: what comes in. */
void live_serve_queue(struct live *live, uint64_t timeout_ns);
/* The decision is durable: counted, in log order; pending ends for rows that are dropped. */
void live_count_decision(struct live *live, const struct outcome *outcome, uint32_t rows);
/* Gives what is durable to those that lack it. */
void live_close_traces(struct live *live, struct decided *decided);

/* lookup.c */
void live_on_lookup(struct live *live, struct live_note *note);

/* snapshot.c */
void live_publish(struct live *live);
void live_snapshot(struct live *live);                  /* to the store */
void live_read_snapshot(struct live *live, const struct store_state *state);

/* replay.c */
/* Rows from `row` on, at most n, whose position is above `position`. */
uint32_t live_rows_after(const struct row *row, uint32_t n, uint64_t position);
/* After the replay: what the counters say beyond what is there was lost with a part of the log. */
void live_reconcile(struct live *live);
