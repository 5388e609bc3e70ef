/* check.h - a strict reader of exposition pages: says whether a page is valid, and if not, where
 * and why.
 *
 * For the `metrics check` command and for tests of everything that writes such pages. Checked are:
 * UTF-8, the grammar of every line, metadata (each at most once, before the samples), families in
 * one piece and never again, clashing names (a histogram x and a metric x_count), the suffixes of
 * each type (a counter's _total), duplicate series, `le` and `quantile`, rising buckets with +Inf
 * and equal to the count, _sum beside _count, values that a type cannot have, timestamps that go
 * back, exemplars, and "# EOF" as the last line.
 *
 * A sample without TYPE is legal in both formats: it is of type unknown (untyped), and its name
 * must not belong to another family. OpenMetrics is read as the conformance tests of its
 * specification have it: `le` need not be canonical save "+Inf", and equal timestamps may repeat.
 * Of 0.0.4 more is asked than Prometheus does: a histogram must have _sum and _count. Native
 * histograms are not read. Memory is in proportion to the text, which the caller bounds. Any
 * thread. */
#pragma once
#include "metric/metric.h"

/* E_FORMAT: *why is "line N: reason". */
enum mg_err metric_check(struct str text, enum metric_format format,
                         struct mg_why *why) MG_MUST_USE;
