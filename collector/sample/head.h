/* head.h - head sampling: which probability an SDK is told for a service and its operations.
 *
 * Sources, the first that says something wins: an override row; a class whose patterns match the operation (class.h); the adaptive
 * calculation (mode adaptive); the strategies file (Jaeger's format); default_probability. The overload ladder multiplies what comes out.
 *
 * The adaptive calculation is Jaeger's (reference: Jaeger "adaptive sampling"), on one node and fed by our own count of root
 * spans per service and operation. Whether clients follow us ("using adaptive") is known from sampler tags or `th` on roots where SDKs write
 * them, else from the service having asked for its strategy within the last two intervals.
 *
 * Threads: head_count is live's, it takes no lock. head_tick (main thread, about once a second) moves counts over, calculates
 * when an interval has passed, looks at the file. Everything else may be called by any thread; what is served is an immutable table, so
 * an answer never waits for a calculation. */
#pragma once
#include "base/buf.h"
#include "metric/metric.h"
#include "row/segment.h"
#include "sample/conf.h"

struct head;
struct head_options {
    const struct head_conf *conf;       /* copied; until head_reload */
    const struct sample_conf *sampling; /* for its classes */
    struct metric_registry *metrics;
    const char *state_path;             /* data_dir/sampling.json: adaptive probabilities, written after each calculation; NULL: not kept */
    uint64_t (*mono_ns)(void);          /* NULL: clock_mono_ns; tests move it */
};
/* Whether the rows fit together, without a look at any file: for `check`. E_FORMAT: "sampling.head.overrides 2 (line 7): …". */
enum mg_err head_check(const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why) MG_MUST_USE;
/* Reads the strategies file and the state. A bad file is an error here and at head_reload; later, on change, it is logged and the old
 * strategies stay. Bad state is logged and ignored. */
enum mg_err head_new(struct head **out, const struct head_options *options, struct mg_why *why) MG_MUST_USE;
void head_free(struct head **head);
enum mg_err head_reload(struct head *head, const struct head_conf *conf, const struct sample_conf *sampling, struct mg_why *why) MG_MUST_USE; /* main */

void head_count(struct head *head, const struct row *row, const struct epoch *epoch); /* live's thread; a row that is no root is not counted */
void head_tick(struct head *head);                          /* main thread */
void head_overload(struct head *head, double factor);       /* any thread: ladder_head_factor() */

/* A strategy as Jaeger defines it; both encodings come from this. Names borrow from the answer's arena. */
enum strategy_type { STRATEGY_PROBABILISTIC, STRATEGY_RATE_LIMITING };
struct strategy_operation { struct str name; double probability; };
struct strategy {
    enum strategy_type type;
    double probability;                 /* the service's, or default of its operations; always set */
    int32_t max_traces_per_second;      /* rate limiting */
    bool has_operations;
    double default_lower_bound;         /* traces/s */
    const struct strategy_operation *operations;
    size_t n_operations;
};
/* Any thread. Notes that the service asked. Any name gets an answer.
 *
 * Operations are named as far as they fit into HEAD_OPERATIONS_BYTES_MAX of JSON, so that no service has more of them than an answer can
 * hold: 4 MiB is what gRPC clients take. Beyond that the rest goes by the service's default: first those that have its probability anyway, then
 * the rarest; those of the file and of overrides stay longest. Operations that hold for all services have half of the room. */
#define HEAD_OPERATIONS_BYTES_MAX ((size_t)3840 << 10)
void head_strategy(struct head *head, struct str service, struct arena *arena, struct strategy *out);
/* One row of the effective table; `source`: "override", "class", "adaptive", "file", "default". samples_per_second NAN: nothing was counted
 * for it. is_limit: the service's clients are told max_traces_per_second, and of the probability nothing. */
struct head_row {
    struct str service, operation;
    double probability, samples_per_second;
    const char *source;
    bool is_followed, is_limit;
    int32_t max_traces_per_second;
};
/* Sorted: the default, and all services and operations that roots have come of, or that the strategies file or an override names. */
void head_effective(struct head *head, struct arena *arena, struct head_row **rows, size_t *n);
