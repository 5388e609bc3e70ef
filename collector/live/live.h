/* live.h - everything acked and not yet in a block: ring, trace table, deadlines, decisions, ledger (collector/README.md R1-R5, R10).
 *
 * One thread owns the state. It applies journal records in position order, so that every number it keeps is a
 * function of a prefix of the log, and it decides only between records. What comes to it:
 *
 *   batches      loop -> journal (durable) -> live: rows into the ring, counted, published; then the ack goes to the loop
 *   decisions    made here, appended to the journal, and when durable handed to the store and to forward
 *   stored       from the block thread after a commit: counted
 *   forwarded    from forward's thread, when the exporters' queues hold the rows; NULL: no exporter
 *   look-ups     from query threads
 *
 * live_start's thread first replays (R5): it calls the given function, which reads the journal through
 * live_replay_*; then it starts the journal and serves. Nothing blocks it but replay's wait for ring room.
 *
 * Rows are let go, and their credit given back, when both have them. A slow exporter queue so holds the ring, and is felt at the
 * doors, but not the ledger: a span is stored as soon as the store has it.
 *
 * The ledger balances at every instant: accepted = stored + sampled_out + duplicate + pending. */
#pragma once
#include "forward/forward.h"
#include "journal/journal.h"
#include "live/conf.h"
#include "live/credit.h"
#include "live/decision.h"
#include "metric/metric.h"
#include "row/intern.h"
#include "sample/head.h"
#include "sample/sampler.h"
#include "store/store.h"

struct live;

struct live_ledger { /* spans */
    uint64_t accepted, stored, sampled_out, duplicate, pending;
    uint64_t refused;   /* single spans refused at a door; not part of accepted */
    uint64_t lost;      /* acked once, but the log that held them was damaged or removed; not part of accepted any more */
    uint64_t late;      /* came after their trace was decided, as far as that was still known; part of accepted */
};

/* One record's rows on their way. The loop's memory until ack. */
struct live_note { struct queue_item link; int kind; }; /* live's own */
struct live_batch {
    struct live_note note;          /* live's */
    struct live *live;              /* live's */
    struct journal_record record;   /* kind, encoding, protocol, wall_ns, head, body are the loop's to fill */
    struct row_batch *rows;         /* the loop's again after ack */
    size_t reserved;                /* credit taken for it: exactly rows->bytes + rows->epoch_growth; the ring gives it back */
    uint32_t refused;
    enum mg_err err;                /* when ack is called: MG_OK durable and visible; else not stored */
    void (*ack)(struct live_batch *batch); /* live or journal thread; must only post to the loop */
};

struct live_options {
    const struct live_conf *conf;   /* copied, as decisions and sampling are */
    const struct decision_conf *decisions;
    struct journal *journal;        /* opened, not started */
    struct store *store;            /* started */
    struct forward *forward;        /* started before live; NULL: no exporter */
    const struct sample_conf *sampling;
    struct sample_rules *rules;     /* NULL: sampling.enabled is false. A reference is taken */
    uint32_t rules_generation;      /* store_rules_put of its text */
    struct head *head;              /* hears of roots and of the ladder; NULL: none */
    struct credit *credit;
    size_t loops;                   /* how many intern, each into an epoch of its own */
    struct metric_registry *metrics;
    /* Replay, on live's thread, before the journal starts; NULL: none. An error ends the program's start. */
    enum mg_err (*replay)(void *owner, struct live *live, struct mg_why *why);
    void (*ready)(void *owner, enum mg_err err, const struct mg_why *why); /* live's thread, once */
    void *owner;
};
struct live *live_new(const struct live_options *options);
/* Any thread: new limits and times, from the next decision on. Copied, as are those of live_new. */
void live_reload(struct live *live, const struct live_conf *conf, const struct decision_conf *decisions);
/* Any thread but live's: rules of the next decisions (NULL: keep everything); a reference is taken. generation: store_rules_put.
 * `sampling` is copied. Where it switches sampling on it reads the store's catalog, so that live's thread need not. What
 * the floor has used of its day stays used while sampling is off. */
void live_reload_rules(struct live *live, const struct sample_conf *sampling, struct sample_rules *rules, uint32_t generation);
/* Any thread: for status and metrics. Nobody refuses by it: at LADDER_REFUSE the ring is as good as full, and the doors, which go by its
 * credit alone and also while sampling or sampling.overload is off, refuse what finds no room in ingest.wait. */
enum ladder_step live_ladder(const struct live *live);
void live_start(struct live *live);
/* Any thread, after ready. Gives the batch away until ack; also when the journal refuses (ack then says E_IO). */
void live_submit(struct live *live, struct live_batch *batch);
/* Any thread: ends a replay that runs; ready then hears E_BUSY, and nothing of the half-read state is kept. */
void live_cancel(struct live *live);
/* Handles everything that was submitted and every durable decision, makes no new ones, joins the thread.
 * Call with the journal stopped and before forward_stop and store_stop. */
void live_stop(struct live *live);
/* After forward_stop, send_stop and store_stop, before forward_free; applies what the store stored last. */
void live_free(struct live **live);

/* --- replay: live's thread only, inside options.replay ------------------------------------------------ */
/* Takes the rows of one body record; blocks until there is room in the ring. */
enum mg_err live_replay_rows(struct live *live, const struct journal_record *record, struct row_batch *rows, uint32_t refused);
enum mg_err live_replay_decisions(struct live *live, const struct journal_record *record, struct mg_why *why);

/* --- what others may ask -------------------------------------------------------------------------------- */
void live_ledger(const struct live *live, struct live_ledger *out);    /* any thread; as of the last ack */
/* The ledger by who decided, since the first start: names of policies and classes, and "" for what no name decided (rows of reason_name
 * tell which). kept: spans of kept decisions, which the store has, has found double, or gets. Sums are exact:
 * sum of sampled_out = ledger.sampled_out. Any thread; *out: mem_free. */
struct live_policy { char name[104] /* policies and classes have at most 100 bytes */; enum reason reason; uint64_t kept, sampled_out, traces_kept, traces_sampled_out; };
size_t live_policies(struct live *live, struct live_policy **out);
struct live_stats { uint64_t position, watermark, traces, ring_bytes, ring_segments, oldest_pending_ns, cpu_ns, verdicts /* that late rows follow */; };
void live_stat(const struct live *live, struct live_stats *out);       /* any thread */

/* CPU time by stage, always on, for the metric meshglass_stage_cpu_seconds_total; in the order of its label. Any thread. */
enum live_stage { STAGE_LOOP, STAGE_INFLATE, STAGE_TRANSCODE, STAGE_ROWS, STAGE_INSERT, STAGE_DECIDE, STAGE_JOURNAL, STAGE_BLOCK, STAGE_FORWARD };
void live_count_cpu(struct live *live, enum live_stage stage, uint64_t ns);

/* The ring as of now: segments, each referenced (segment_unref when done). Query threads. */
size_t live_segments(struct live *live, struct segment ***out); /* *out: mem_free */

/* All rows in the ring of each trace, newest first. Blocks for a message to live and back; query threads. */
struct live_rows {
    const struct row **at;
    size_t n;
    bool is_pending;     /* some are undecided */
    uint64_t outcome;    /* of the newest decision about the others; 0: none, or sampling is off */
    uint64_t decided_wall_ns; /* of it; 0: no decision */
    struct str votes;    /* of it; freed with the answer */
};
struct live_found { struct live_rows *traces; size_t n; struct segment **segments; size_t n_segments; };
void live_lookup(struct live *live, const uint8_t (*trace_ids)[16], size_t n, struct live_found *out);
void live_found_fini(struct live_found *found); /* gives rows and segments back */
