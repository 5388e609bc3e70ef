/* v3_json.h - one trace as the ResourceSpans messages of OTLP/JSON, after the same
 * adjustments as the legacy JSON unless raw. Written piece by piece, as trace_json.h does.
 *
 * Ids are hex, always 32 and 16 digits; 64-bit integers are strings; enums are numbers. Spans stand
 * under their resource and scope, each of which is written once. Adjusted, the resource's
 * service.name is the name a person sees, an end before the start is the start, and what there is
 * to say about a span is its attribute `@jaeger@warnings`, as in Jaeger. Unknown fields are not
 * shown. */
#pragma once
#include "api/jaeger/trace_json.h"

/* Appends to the array `resourceSpans` that the caller has opened. E_TOO_BIG: one value alone is
 * beyond the limit of w->out. */
enum mg_err v3_trace_write(struct json_writer *w, const struct query_trace *trace, bool raw,
                           trace_json_flush_fn *flush, void *owner) MG_MUST_USE;
