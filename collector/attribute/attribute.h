/* attribute.h - attribute rules at the door: change, hide or drop what comes in, before it is counted or stored.
 *
 * A rule is a line of the row `ingest.rules`; rules apply in their order. Where: `resource`, `span` (default), or both with a comma.
 *
 *   insert WHERE key = VALUE            only when the key is absent
 *   update WHERE key = VALUE            only when it is there
 *   upsert WHERE key = VALUE
 *   delete WHERE key [, key…]
 *   rename WHERE key -> new             replaces `new` when both are there
 *   hash WHERE key [, key…]             value becomes the SHA-256 of its text, 64 hex digits
 *   redact WHERE keys key [, key…]      the value of these keys, in any case and at any place in a dotted key's last part, becomes "***"
 *   redact WHERE pattern "RE"           each match inside string values becomes "***" (span name and status message too, for span)
 *   drop                                the span; needs a condition
 *   … if CONDITION                      any rule: only for spans (with `resource`: resources) that satisfy it
 *
 *   VALUE      "text", 12, 1.5, true, or another key's value: span.http.host, resource.k8s.pod.name
 *   CONDITION  TERM and TERM…; TERM: [not] span.KEY|resource.KEY exists | = VALUE | != VALUE | < <= > >= number | ~ "RE", and
 *              service | name | kind | status with = != ~ ("server", "error")
 *
 * Keys with other characters than letters, digits and . _ - stand in quotes. Regular expressions: codec/finder.h, RE2's sense, whole
 * value not needed. `resource` conditions may name resource keys and service only (refused else, with the rule's number). In
 * quotes \" \\ \n \t are escapes; in those of a regular expression all backslashes are the expression's.
 *
 * Keys that come twice: an action means all of them, a value or a condition the last one. Values keep their types when they are copied.
 * A VALUE whose key is absent: the rule does nothing. A TERM whose key is absent is false, != too; `not` turns it around. Numbers
 * compare with integers, doubles and texts that are a number; = and ~ else with the text form (span.h). A span's rule that asks
 * about its resource sees it as it was at the rule's place in the order.
 *
 * How deep: delete, hash and redact for `span` also reach the attributes of its events and links, where exception messages and stack
 * traces keep secrets; redact pattern the names of events too. redact, and only redact, reaches into arrays and maps: keys of
 * maps, texts of both. `redact keys` of a word with dots: the parts before the last are the end of the key's parts before its
 * last. Matches of a pattern that touch become one "***"; a text that takes more work than its length allows becomes "***"
 * whole. Scopes, trace states and values of bytes are left alone.
 *
 * Compiled once, immutable, any thread. An instance belongs to one thread and sits between a scanner and its visitor: no
 * allocation per span in the steady state; a resource is rewritten once, not per span. Without rules nothing is in between. */
#pragma once
#include "conf/conf.h"
#include "model/span_visitor.h"

struct attribute_rules;
/* E_FORMAT: "ingest.rules 3: unknown action 'remove' (insert, update, …)"; at most 256 rules. *out is NULL for an empty list. */
enum mg_err attribute_rules_new(struct attribute_rules **out, const struct conf_list *rules, struct mg_why *why) MG_MUST_USE;
struct attribute_rules *attribute_rules_ref(struct attribute_rules *rules); /* any thread */
void attribute_rules_unref(struct attribute_rules **rules);

struct attribute_filter;
struct attribute_filter *attribute_filter_new(struct attribute_rules *rules); /* takes a reference */
void attribute_filter_free(struct attribute_filter **filter);
/* Before each scan: what comes through attribute_visitor goes on to `next`, changed. on_dropped: a span that a `drop` rule took, by
 * ordinal; NULL (replay): drop rules are passed over. A changed resource is good until the next on_resource, what is
 * changed in a span in its on_span only. A resource that rules look at keeps its first 65,536 attributes.
 *
 * Small requests must not become large ones: `added_max` is how many bytes insert, update, upsert and rename may add in this scan (keys
 * and values, beyond what they replace; to a resource once each time it is visited). The insert, update or upsert that would add
 * more, and each later one that adds anything, is passed over; renames go on, for redact rules may count on them. Patterns
 * too have a budget a scan, of some 250 ms: after it, texts for which the quick try of codec/finder.h does not do become "***"
 * whole, and a condition's ~ does not hold. */
void attribute_filter_begin(struct attribute_filter *filter, const struct span_visitor *next, void *owner,
                            void (*on_dropped)(void *owner, uint32_t ordinal), size_t added_max);
/* Did the rules of this scan want to add more than added_max? */
bool attribute_filter_is_over(const struct attribute_filter *filter);
extern const struct span_visitor attribute_visitor; /* its owner is the attribute_filter */
