/* sample.h - one sample line of an exposition, strictly: name, labels, value, timestamp, exemplar.
 * For check.c. Text is borrowed where it has no escapes, else copied into the arena. */
#pragma once
#include "base/arena.h"
#include "metric/metric.h"

struct metric_label {
    struct str name, value;
};
struct metric_labels {
    struct metric_label *at;
    size_t n;
}; /* as they stand in the line */

struct metric_sample {
    struct str name;
    struct metric_labels labels;
    double value;
    bool has_time;
    double time; /* OpenMetrics: seconds; 0.0.4: milliseconds */
    bool has_exemplar;
    struct metric_labels exemplar_labels;
    double exemplar_value;
};

/* `line` is without its newline. E_FORMAT with the reason, without the line's number. */
enum mg_err metric_sample_parse(struct metric_sample *out, struct str line,
                                enum metric_format format, struct arena *arena,
                                struct mg_why *why) MG_MUST_USE;
/* The number of a value, `le` or `quantile`; also +Inf, -Inf and NaN. */
enum mg_err metric_number_parse(struct str text, enum metric_format format,
                                double *out) MG_MUST_USE;
/* A name at the front of *rest: an identifier, or a quoted string. False: neither. */
bool metric_name_cut(struct str *rest, enum metric_format format, struct arena *arena,
                     struct str *name);
const struct str *metric_label_find(const struct metric_labels *labels, struct str name);
