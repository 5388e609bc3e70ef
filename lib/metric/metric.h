/* metric.h - the program's own metrics: a registry of rows, per-thread sums, and the two exposition
 * formats of Prometheus (text 0.0.4 and OpenMetrics 1.0).
 *
 * A module lists its metrics in one file `metrics.def`, included once for the enum, once for the
 * table (see the macros below), and registers the table as a family set. Labels come from closed
 * sets: a metric has at most two labels whose values are listed in the row ("hit|miss"), so a cell
 * is an index and never a string of a peer. A row that is malformed, or whose name another row of
 * the registry has, is a programmer's mistake (assert). Rows are copied; their texts must outlive
 * the registry.
 *
 * Threads: metric_add writes the calling thread's own block (allocated at its first use, merged
 * when it ends) with relaxed atomics, one writer, no lock. Gauges are single atomics, set by
 * anybody. A scrape sums the blocks. Registration (tables, callbacks) happens before threads start;
 * the registry is freed when nobody adds any more, while threads that once added may still run. A
 * scrape takes a lock that only scrapes and the first use and the end of a thread take. */
#pragma once
#include "base/buf.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_SECONDS /* counter kept in ns, shown in s */ };

struct metric_row {
    enum metric_kind kind;
    const char *name;    /* METRIC_COUNTER and METRIC_SECONDS end in _total, the others do not */
    const char *help;
    const char *label1;  /* "result=hit|miss", NULL: none. A list put together by macros may end in "|" */
    const char *label2;
    const char *buckets; /* METRIC_HISTOGRAM: "0.001 0.005 0.01"; seconds, rising, without +Inf; observations are given in ns */
};
/* metrics.def lines:
 *   METRIC(COUNTER, spans_accepted, "meshglass_spans_accepted_total", "Spans accepted.", "door=a|b", NULL, NULL) */
#define METRIC_ENUM(kind, id, name, help, l1, l2, buckets) METRIC_ID(id),
#define METRIC_TABLE(kind, id, name, help, l1, l2, buckets) { METRIC_##kind, name, help, l1, l2, buckets },

struct metric_registry;
struct metric_registry *metric_registry_new(void);
void metric_registry_free(struct metric_registry **registry);

#define METRIC_SETS_MAX 64 /* registered tables in the process at one time */
struct metric_set; /* one module's registered table; the registry's */
struct metric_set *metric_register(struct metric_registry *registry, const struct metric_row *rows, size_t n);

/* `row`: index in the table; `i`, `j`: index of the label's value in its closed list, 0 when it has no label. */
void metric_add(struct metric_set *set, unsigned row, unsigned i, unsigned j, uint64_t by);
void metric_observe(struct metric_set *set, unsigned row, unsigned i, unsigned j, uint64_t ns);
void metric_set_gauge(struct metric_set *set, unsigned row, unsigned i, unsigned j, double value);
void metric_move_gauge(struct metric_set *set, unsigned row, unsigned i, unsigned j, double by); /* what many threads have together */
/* Sum of a counter, nanoseconds of METRIC_SECONDS, observations of a histogram; for tests and /status. */
uint64_t metric_get(struct metric_set *set, unsigned row, unsigned i, unsigned j);

/* A collector is called at each scrape, on the scraping thread, one scrape at a time, to set gauges that are
 * read elsewhere. It must not scrape. */
typedef void metric_collect_fn(void *owner);
void metric_on_scrape(struct metric_registry *registry, metric_collect_fn *collect, void *owner);

enum metric_format { METRIC_TEXT_0_0_4, METRIC_OPENMETRICS_1_0 };
/* Chooses by an Accept header (RFC 9110 q-values); default text 0.0.4. Returns the Content-Type. */
const char *metric_negotiate(struct str accept, enum metric_format *format);
/* Appends the whole exposition; a buffer that was too small tells by buf_err. Any thread. */
void metric_write(struct metric_registry *registry, enum metric_format format, struct buf *out);
/* Appends families of its own (series that are no rows, metric/text.h) after the rows and before "# EOF". */
typedef void metric_append_fn(void *owner, enum metric_format format, struct buf *out);
void metric_on_write(struct metric_registry *registry, metric_append_fn *append, void *owner);
