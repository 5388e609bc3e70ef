/* adjust.h - what the query side does to a trace before it is shown (as Jaeger's own adjusters do), as
 * far as it concerns whole spans: client/server span-id dedupe, spans once that differ in the order
 * of attributes only, links to nowhere, warnings. Attributes are tags.h's. Nothing is changed in
 * place; stored spans are never touched. */
#pragma once
#include "api/jaeger/tags.h"
#include "query/query.h"

struct adjusted_span {
    const struct span *span;
    uint8_t span_id[8], parent_id[8]; /* as shown */
};
/* The spans to be shown, in their order, in the arena; returns how many. raw: all, ids as stored.
 * Either way they tell why the trace was kept (sampled.h). */
size_t trace_adjust(const struct query_trace *trace, bool raw, struct arena *arena,
                    struct adjusted_span **out);

/* The trace id of a link: when missing, zero or of another length (then it is zero in its view) the
 * link leads nowhere and is not shown. */
bool link_is_shown(const uint8_t trace_id[16]);
/* What is to be said about a span, sanitised, in the arena: the strings of an attribute
 * `@jaeger@warnings`, an end before the start, links that are not shown. */
size_t span_warnings(const struct span *span, struct arena *arena, struct str **out);
/* Fills the list with the span's own attributes, adjusted unless raw: without the one whose content
 * span_warnings tells, and with the bytes of a name that is not UTF-8. */
void span_tags(const struct span *span, bool raw, struct tag_list *tags, struct arena *arena);
/* The same for a resource's attributes; adjusted, service.name is the name a person sees. */
void resource_tags(struct str resource, bool raw, struct tag_list *tags, struct arena *arena);
/* The events in the arena; by time unless raw, those of one time in their order. */
size_t span_events(const struct span *span, bool raw, struct arena *arena, struct event_view **out);
