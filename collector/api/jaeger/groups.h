/* groups.h - spans come by time, OTLP wants them under resource and scope. Private to api/jaeger.
 */
#pragma once
#include "api/jaeger/adjust.h"

struct place {
    size_t resource, group, span; /* group: resource and scope; span: in `spans` */
};
/* One place a span, in the arena, in the order in which they are written: groups as they appear,
 * the spans of one in their order. Equal bytes are the same resource, and the same scope. */
struct place *spans_grouped(const struct adjusted_span *spans, size_t n, struct arena *arena);
