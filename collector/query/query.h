/* query.h - answers over live and store: a trace, a search, services, operations (collector/README.md R9, R13).
 *
 * A pool of up to query.threads threads, started when first needed and ended after a minute without
 * work, runs one query each; queries wait in a queue of query.queue_max and are refused beyond it
 * (E_BUSY). A query takes its ring references first and its store view second, so that a span which
 * moves from one to the other meanwhile is seen twice rather than not at all; spans equal in every
 * field are shown once.
 *
 * Limits, each with a clear message: query.timeout, from submit on (E_TIMEOUT), query.memory_max of
 * decoded spans and of what the job puts into query_arena (E_TOO_BIG), query.traces_max for `limit`
 * (E_TOO_BIG). A query whose asker has gone stops at the next step with E_IO. A damaged block is
 * left out, counted and logged. */
#pragma once
#include "conf/conf.h"
#include "live/live.h"
#include "metric/metric.h"
#include "store/catalog.h"
#include "store/filter.h"
#include "store/view.h"

struct query_conf {
    uint64_t threads;    /* query.threads, 4 */
    uint64_t queue_max;  /* query.queue_max, 64 */
    uint64_t timeout_ns; /* query.timeout, 30s */
    uint64_t scan_bytes_max;/* query.scan_bytes_max, 64GiB: columns unpacked by one search */
    uint64_t memory_max; /* query.memory_max, 512MiB, a query */
    uint64_t traces_max; /* query.traces_max, 10000: largest `limit` */
};
extern const struct conf_field query_fields[];
extern const size_t query_fields_n;

struct query_pool;
struct query; /* one running query: its thread's context */
struct query_job {
    struct queue_item link; /* the pool's until run */
    uint64_t begun_ns, deadline_ns;   /* the pool's until run */
    const char *name;       /* metric label: "trace", "search", "services", "operations",
                             * "edges", "archive", "backup", "why" */
    /* Query thread. The job is the runner's again, and is done when this returns; it may be freed
     * in it. */
    void (*run)(struct query_job *job, struct query *query);
    /* Query thread, within run only. NULL: never. */
    bool (*is_gone)(const struct query_job *job);
};
struct query_options {
    const struct query_conf *conf; /* copied */
    struct live *live;
    struct store *store;
    struct metric_registry *metrics;
    uint64_t idle_ns;          /* a thread without work ends after this; 0: 60 s */
    uint64_t (*mono_ns)(void); /* NULL: clock_mono_ns; tests move it */
};
struct query_pool *query_pool_new(const struct query_options *options);
/* Any thread: new limits for queries that begin later; query.threads stays. Copies. */
void query_pool_reload(struct query_pool *pool, const struct query_conf *conf);
/* Any thread, never blocks. E_BUSY: the queue is full, or no thread can be had; the job is still
 * the caller's. */
enum mg_err query_submit(struct query_pool *pool, struct query_job *job) MG_MUST_USE;
/* Runs what waits, joins; before live_stop. No scrape of options.metrics after it. */
void query_pool_free(struct query_pool **pool);
struct query_stats {
    size_t threads, running, waiting;
};
void query_stat(struct query_pool *pool, struct query_stats *out); /* any thread */

/* --- within job->run -------------------------------------------------------------------------- */
struct query_trace {
    uint8_t id[16];
    struct span **spans; /* by start time, then span id; equal spans once; as received */
    size_t n;
    uint64_t outcome;    /* of the first decision that kept it (row/outcome.h); 0: none yet, or sampling is off */
    const char *policy;  /* the name that it gives, in query_arena; "" when none */
};
/* What is known of a trace's decisions. `state`: kept when one of them kept some of it, else dropped; pending when there is none yet. */
enum query_why_state { WHY_UNKNOWN, WHY_PENDING, WHY_DROPPED, WHY_KEPT };
struct query_vote { const char *policy; enum vote vote; };
struct query_decision {
    struct outcome outcome; /* reason REASON_NONE: kept while sampling was off */
    uint64_t wall_ns;       /* of the decision; for what is kept and stored, of its commit */
    uint32_t spans;         /* of this decision; 0: not known (dropped, or not stored yet) */
    const char *policy;     /* "" when no policy, or none whose name is still known */
    const struct query_vote *votes; /* in the order of the policies, up to the last one that was asked */
    size_t n_votes;
};
struct query_why {
    enum query_why_state state;
    bool is_waiting; /* spans wait undecided: late ones when there are decisions */
    bool is_cut;     /* there are more decisions, older than those told */
    const struct query_decision *decisions; /* newest first, at most 16 */
    size_t n;
};
/* Memory in query_arena. An id that nothing knows is WHY_UNKNOWN, not an error. */
enum mg_err query_why(struct query *query, const uint8_t id[16], struct query_why *out, struct mg_why *why) MG_MUST_USE;
/* Around a wait for whoever reads the answer: another query may run meanwhile, up to 256 in all, so that readers who are slow, or have
 * stopped, do not stop everybody. */
void query_pause(struct query *query);
void query_resume(struct query *query);

struct arena *query_arena(struct query *query); /* lives as long as the job; its bytes count */

/* The whole trace from ring and store; E_ABSENT when there is none. Spans and `out->spans` live
 * until the next query_trace or query_search of the job, or its end. */
enum mg_err query_trace(struct query *query, const uint8_t id[16], struct query_trace *out,
                        struct mg_why *why) MG_MUST_USE;

/* The newest `limit` traces that have a matching span, newest first: by the latest start of a
 * matching span, then by id. on_trace gets each whole trace, one after the other (memory of the
 * last one is reused); it must not query. An error of on_trace ends the search with it. `limit` 0:
 * E_FORMAT. */
typedef enum mg_err query_trace_fn(void *owner, const struct query_trace *trace);
struct query_search {
    struct span_filter filter;
    uint32_t limit;
};
enum mg_err query_search(struct query *query, const struct query_search *search,
                         query_trace_fn *on_trace, void *owner, struct mg_why *why) MG_MUST_USE;

/* Names as a person sees them, sorted; memory in query_arena. An unknown service has none. */
enum mg_err query_services(struct query *query, struct str **out, size_t *n,
                           struct mg_why *why) MG_MUST_USE;
enum mg_err query_operations(struct query *query, struct str service,
                             struct catalog_operation **out, size_t *n,
                             struct mg_why *why) MG_MUST_USE;

/* Copies the trace to the archive (store_pin); E_ABSENT when there is none. */
enum mg_err query_archive(struct query *query, const uint8_t id[16], struct mg_why *why) MG_MUST_USE;

/* Service edges decided in the minutes that [from, to] touches (receive time), by parent, then child. */
struct query_edge {
    struct str parent, child;
    uint64_t calls, errors;
};
enum mg_err query_edges(struct query *query, uint64_t from_ns, uint64_t to_ns, struct query_edge **out,
                        size_t *n, struct mg_why *why) MG_MUST_USE;
