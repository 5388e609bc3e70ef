/* private.h - one running query, shared by the files of this folder. Its query thread only. */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "query/query.h"

enum query_metric {
#define METRIC_ID(id) QUERY_##id
#define METRIC(...)   METRIC_ENUM(__VA_ARGS__)
#include "query/metrics.def"
#undef METRIC
#undef METRIC_ID
    QUERY_METRICS
};
enum query_stop { /* label values, in the order of metrics.def */
    STOP_TIMEOUT,
    STOP_MEMORY,
    STOP_GONE
};

#define QUERY_STEP_ROWS 4096 /* rows between two looks at the clock: some 100 us */

struct query {
    struct query_pool *pool;
    const struct query_options *options;
    const struct query_conf *conf; /* as of its start */
    struct metric_set *metrics;
    const struct query_job *job;
    uint64_t deadline_ns;
    bool is_stopped;      /* counted in `stopped` */
    struct arena own;     /* query_arena */
    struct arena scratch; /* of one row */
    struct buf text;      /* of one value */
    /* Names of policies, by the generation of their rules: one look at the store for each. */
    struct {
        struct map by_number;  /* generation and number -> the name, in `own` */
        struct buf text;       /* of the generation asked for last */
        uint32_t generation;   /* whose text it is; 0: none */
    } policies;
    /* What the spans of the current trace point into, and the trace itself: until query_let_go. */
    struct live_found found;
    struct store_view *view;
    struct arena trace;
    VEC(struct span *) spans;
    struct {
        uint64_t position;
        uint64_t outcome; /* 0: none was met yet */
    } first; /* decision that kept it and tells why */
};

/* May the query go on? Call at least every QUERY_STEP_ROWS rows and before every block. */
enum mg_err query_step(struct query *query, struct mg_why *why) MG_MUST_USE;
/* Would `more` bytes pass query.memory_max? */
enum mg_err query_room(struct query *query, size_t more, struct mg_why *why) MG_MUST_USE;
/* A block is left out: counts and logs. */
void query_damaged(struct query *query, const struct mg_why *why);

/* Takes what ring and store have of these traces: rows first, view second. Lets go of what was
 * taken before. */
void query_take(struct query *query, const uint8_t (*ids)[16], size_t n);
/* The i-th trace of query_take; the one before is forgotten. */
enum mg_err query_gather(struct query *query, const uint8_t (*ids)[16], size_t i,
                         struct query_trace *out, struct mg_why *why) MG_MUST_USE;
void query_let_go(struct query *query);

/* The name that an outcome gives; "" when there is none, or its generation is not known any more. In
 * query_arena. */
const char *query_policy(struct query *query, const struct outcome *outcome);

/* The ring's segments, newest start first, each referenced. */
struct ring {
    struct segment **at;
    size_t n;
};
void ring_take(struct ring *ring, struct live *live);
void ring_let_go(struct ring *ring);
