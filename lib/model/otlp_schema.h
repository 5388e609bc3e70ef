/* otlp_schema.h - the shapes of OTLP's trace messages (opentelemetry-proto 1.11: common.proto, resource.proto, trace.proto).
 *
 * Constant tables, any thread. Everything about fields that is data is here: numbers, types, JSON
 * names. */
#pragma once
#include "model/wire.h"

extern const struct wire_shape otlp_request;        /* ExportTraceServiceRequest, TracesData */
extern const struct wire_shape otlp_resource_spans;
extern const struct wire_shape otlp_scope_spans;
extern const struct wire_shape otlp_span;
extern const struct wire_shape otlp_event;
extern const struct wire_shape otlp_link;
extern const struct wire_shape otlp_status;
extern const struct wire_shape otlp_resource;
extern const struct wire_shape otlp_scope;
extern const struct wire_shape otlp_key_value;
extern const struct wire_shape otlp_any_value;
extern const struct wire_shape otlp_array_value;
extern const struct wire_shape otlp_kvlist_value;

/* How many messages may be inside each other, the request being the first: an array adds two, a map
 * three. protobuf libraries stop at 100, so what is accepted here can also be passed on. */
#define OTLP_DEPTH_MAX 64
