/* otlp_schema.c - rows, no code. A row's place is its field number: the first is number 1. */
#include "model/otlp_schema.h"

#include "base/err.h"

#define ONE(name, kind)          { name, WIRE_KIND_##kind, false, NULL, NULL }
#define MANY(name, kind)         { name, WIRE_KIND_##kind, true, NULL, NULL }
#define MESSAGE(name, shape)     { name, WIRE_KIND_MESSAGE, false, &shape, NULL }
#define MESSAGES(name, shape)    { name, WIRE_KIND_MESSAGE, true, &shape, NULL }
#define ENUM(name, constants)    { name, WIRE_KIND_ENUM, false, NULL, &constants }
#define RESERVED                 { NULL, WIRE_KIND_NONE, false, NULL, NULL }
#define SHAPE(name, rows, oneof) { name, rows, MG_COUNT(rows), oneof }

static const char *const kind_names[] = {
    "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER",
};
static const char *const status_names[] = { "STATUS_CODE_UNSET", "STATUS_CODE_OK",
                                            "STATUS_CODE_ERROR" };
static const struct wire_enum span_kinds = { kind_names, MG_COUNT(kind_names) };
static const struct wire_enum status_codes = { status_names, MG_COUNT(status_names) };

static const struct wire_shape_field any_value_rows[] = {
    ONE("stringValue", STRING),
    ONE("boolValue", BOOL),
    ONE("intValue", INT64),
    ONE("doubleValue", DOUBLE),
    MESSAGE("arrayValue", otlp_array_value),
    MESSAGE("kvlistValue", otlp_kvlist_value),
    ONE("bytesValue", BYTES),
    ONE("stringValueStrindex", INT32),
};
const struct wire_shape otlp_any_value = SHAPE("AnyValue", any_value_rows, true);

static const struct wire_shape_field array_rows[] = { MESSAGES("values", otlp_any_value) };
const struct wire_shape otlp_array_value = SHAPE("ArrayValue", array_rows, false);

static const struct wire_shape_field kvlist_rows[] = { MESSAGES("values", otlp_key_value) };
const struct wire_shape otlp_kvlist_value = SHAPE("KeyValueList", kvlist_rows, false);

static const struct wire_shape_field key_value_rows[] = {
    ONE("key", STRING),
    MESSAGE("value", otlp_any_value),
    ONE("keyStrindex", INT32),
};
const struct wire_shape otlp_key_value = SHAPE("KeyValue", key_value_rows, false);

static const struct wire_shape_field scope_rows[] = {
    ONE("name", STRING),
    ONE("version", STRING),
    MESSAGES("attributes", otlp_key_value),
    ONE("droppedAttributesCount", UINT32),
};
const struct wire_shape otlp_scope = SHAPE("InstrumentationScope", scope_rows, false);

static const struct wire_shape_field entity_rows[] = {
    ONE("schemaUrl", STRING),
    ONE("type", STRING),
    MANY("idKeys", STRING),
    MANY("descriptionKeys", STRING),
};
static const struct wire_shape entity_ref = SHAPE("EntityRef", entity_rows, false);

static const struct wire_shape_field resource_rows[] = {
    MESSAGES("attributes", otlp_key_value),
    ONE("droppedAttributesCount", UINT32),
    MESSAGES("entityRefs", entity_ref),
};
const struct wire_shape otlp_resource = SHAPE("Resource", resource_rows, false);

static const struct wire_shape_field event_rows[] = {
    ONE("timeUnixNano", FIXED64),
    ONE("name", STRING),
    MESSAGES("attributes", otlp_key_value),
    ONE("droppedAttributesCount", UINT32),
};
const struct wire_shape otlp_event = SHAPE("Event", event_rows, false);

static const struct wire_shape_field link_rows[] = {
    ONE("traceId", ID),
    ONE("spanId", ID),
    ONE("traceState", STRING),
    MESSAGES("attributes", otlp_key_value),
    ONE("droppedAttributesCount", UINT32),
    ONE("flags", FIXED32),
};
const struct wire_shape otlp_link = SHAPE("Link", link_rows, false);

static const struct wire_shape_field status_rows[] = {
    RESERVED, /* deprecated_code of versions before 1.0: kept as unknown */
    ONE("message", STRING),
    ENUM("code", status_codes),
};
const struct wire_shape otlp_status = SHAPE("Status", status_rows, false);

static const struct wire_shape_field span_rows[] = {
    ONE("traceId", ID),
    ONE("spanId", ID),
    ONE("traceState", STRING),
    ONE("parentSpanId", ID),
    ONE("name", STRING),
    ENUM("kind", span_kinds),
    ONE("startTimeUnixNano", FIXED64),
    ONE("endTimeUnixNano", FIXED64),
    MESSAGES("attributes", otlp_key_value),
    ONE("droppedAttributesCount", UINT32),
    MESSAGES("events", otlp_event),
    ONE("droppedEventsCount", UINT32),
    MESSAGES("links", otlp_link),
    ONE("droppedLinksCount", UINT32),
    MESSAGE("status", otlp_status),
    ONE("flags", FIXED32),
};
const struct wire_shape otlp_span = SHAPE("Span", span_rows, false);

static const struct wire_shape_field scope_spans_rows[] = {
    MESSAGE("scope", otlp_scope),
    MESSAGES("spans", otlp_span),
    ONE("schemaUrl", STRING),
};
const struct wire_shape otlp_scope_spans = SHAPE("ScopeSpans", scope_spans_rows, false);

static const struct wire_shape_field resource_spans_rows[] = {
    MESSAGE("resource", otlp_resource),
    MESSAGES("scopeSpans", otlp_scope_spans),
    ONE("schemaUrl", STRING),
};
const struct wire_shape otlp_resource_spans = SHAPE("ResourceSpans", resource_spans_rows, false);

static const struct wire_shape_field request_rows[] = { MESSAGES("resourceSpans",
                                                                 otlp_resource_spans) };
const struct wire_shape otlp_request = SHAPE("ExportTraceServiceRequest", request_rows, false);
