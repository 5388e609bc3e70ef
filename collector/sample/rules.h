/* rules.h - the tail rules of one generation: policies, classes, floor; compiled once, immutable, counted, any thread.
 *
 * Policies have the names, YAML shape and meaning of the OpenTelemetry Collector's tail_sampling processor (its README and
 * source, v0.11x to v0.14x; where versions differ, policy.c says which is followed):
 *   always_sample latency numeric_attribute string_attribute boolean_attribute status_code probabilistic rate_limiting bytes_limiting
 *   span_count trace_state trace_flags and not drop composite
 * and one of our own, `dynamic` (dynamic.h). `ottl_condition` and extensions are refused by name.
 *
 * Differences, on purpose: `probabilistic` without hash_salt keeps by OpenTelemetry's consistent threshold (R >= T), so that stages agree and
 * `th` can be told; with hash_salt it is the Collector's FNV-1a, and its probability an estimate. A trace that some
 * policy surely keeps is kept with probability 1; of several probabilistic ones that match the largest probability counts.
 *
 * At most 200 policies at top level and 255 names with the classes, 128 conditions on spans, 8 deep. Errors (E_FORMAT) name the place:
 * "sampling.policies 3 'slow' (line 14): latency.threshold_ms is missing". An unknown key is an error. */
#pragma once
#include "base/buf.h"
#include "sample/conf.h"

struct sample_rules;
enum mg_err sample_rules_new(struct sample_rules **out, const struct sample_conf *conf, struct mg_why *why) MG_MUST_USE;
struct sample_rules *sample_rules_ref(struct sample_rules *rules);
void sample_rules_unref(struct sample_rules **rules);
/* Names by number, from 1: policies in their order, then classes. */
size_t sample_rules_policies(const struct sample_rules *rules);
size_t sample_rules_names(const struct sample_rules *rules);
struct str sample_rules_name(const struct sample_rules *rules, size_t number);
/* What the store keeps of a generation: one JSON object {"policies":["a",…],"classes":["health",…],"text":{…the rows in force…}}. Equal
 * rules give equal texts; a text of 1 MiB at most (E_TOO_BIG at compile). */
struct str sample_rules_text(const struct sample_rules *rules);
/* The name of number `policy` in such a text; empty when it has none. In the buf. E_FORMAT. */
enum mg_err sample_text_name(struct str text, unsigned policy, struct buf *name) MG_MUST_USE;
