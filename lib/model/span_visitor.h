/* span_visitor.h - what every scanner of span bytes calls: OTLP, Zipkin, Jaeger alike.
 *
 * A scanner walks a request once. Order: on_resource, then on_scope, then the spans of both; a scanner of a protocol that
 * has no scopes calls on_scope with an empty one. A request that is malformed may have been visited in part: the caller
 * must be able to take back what it collected. Resources and scopes are good during the scan only, what a span
 * points to in on_span only. */
#pragma once
#include "model/span.h"

/* Why one span of a request is refused alone, the rest going on. OTLP only; the other protocols refuse a request as a whole.
 * SPAN_LIBRARY never comes through on_refused: otlp_scanner_unread. */
enum span_refusal { SPAN_BAD_TRACE_ID, SPAN_BAD_SPAN_ID, SPAN_BAD_PARENT_ID, SPAN_TOO_MANY_ATTRS, SPAN_LIBRARY, SPAN_REFUSALS };
const char *span_refusal_text(enum span_refusal refusal); /* "trace_id must be 16 bytes and not all zero" */

struct span_visitor {
    void (*on_resource)(void *owner, struct str resource); /* span.resource of what follows (span.h) */
    void (*on_scope)(void *owner, struct str scope);       /* span.scope */
    void (*on_span)(void *owner, const struct span *span, uint32_t ordinal); /* ordinal: number of the span in the request, from 0 */
    void (*on_refused)(void *owner, enum span_refusal why, uint32_t ordinal);
};
