/* text.h - the pieces of the two exposition formats, for metric.c and for whoever appends families
 * of its own (metric_on_write). Every call appends to a struct buf whose failure is checked once at
 * the end. Any thread.
 *
 * A family is metric_text_head, then all of its samples:
 *     metric_text_head(out, format, METRIC_COUNTER, "x_total", "Help.");
 *     metric_text_name(out, "x_total", ""); metric_text_label(out, STR("service"), value, true);
 *     buf_put_text(out, "} "); buf_put_u64(out, n); buf_put_char(out, '\n'); */
#pragma once
#include "metric/metric.h"

/* TYPE, UNIT and HELP. In OpenMetrics a counter's family is named without its _total; `name` always
 * has it. UNIT stands where the family's name ends in _seconds or _bytes. */
void metric_text_head(struct buf *out, enum metric_format format, enum metric_kind kind,
                      const char *name, const char *help);
/* name and suffix of a sample. */
void metric_text_name(struct buf *out, const char *name, const char *suffix);
/* `{name="value"` when first, else `,name="value"`; the caller closes the brace. */
void metric_text_label(struct buf *out, struct str name, struct str value, bool is_first);
/* The fewest digits that read back to the same number, as Go's %g; NaN, +Inf, -Inf. */
void metric_text_double(struct buf *out, double value);
/* The same with ".0" where neither point nor exponent stands: the form of `le` and `quantile`. */
void metric_text_canonical(struct buf *out, double value);
/* Nanoseconds as exact decimal seconds: "1.5". */
void metric_text_seconds(struct buf *out, uint64_t ns);
/* "# EOF" in OpenMetrics, nothing in 0.0.4. */
void metric_text_end(struct buf *out, enum metric_format format);
