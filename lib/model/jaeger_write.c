/* jaeger_write.c - one span, two forms: api_v2's message and Elasticsearch's document.
 *
 * Both say the same tags in the same order, so each walk over tags, fields and references is
 * written once and told where to put them: a `sink` is a protobuf buffer or a JSON writer. What is
 * not UTF-8 is made so on the way, tag by tag; nearly always there is nothing to make, and the
 * arena stays empty.
 *
 * Facts about documents are those of Jaeger's model and mapping for Elasticsearch: every tag value
 * is a keyword, so it is written as text, which readers of all versions take (they parse it by the
 * type beside it); bytes are hex, not base64; trace ids always have 32 digits, for Jaeger 2 looks
 * them up so; `flags` is an integer of 32 bits with a sign. */
#include "model/jaeger_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include "codec/utf8.h"
#include "model/jaeger_tags.h"

#define NS_PER_US 1000
#define NS_PER_MS 1000000
#define NS_PER_S  1000000000

enum { TYPE_STRING, TYPE_BOOL, TYPE_INT64, TYPE_FLOAT64, TYPE_BINARY };
enum { REF_CHILD_OF, REF_FOLLOWS_FROM };

struct sink {
    struct buf *proto; /* one of the two */
    struct json_writer *json;
    struct buf *scratch; /* json: text forms of values */
    struct arena arena;
    unsigned n_hidden; /* keys of the current list that were not UTF-8 */
    uint32_t field;    /* proto: the number of the current list's KeyValue */
};

/* --- one tag --------------------------------------------- */

static unsigned type_of(const struct value *value)
{
    switch (value->type) {
    case VALUE_BOOL:
        return TYPE_BOOL;
    case VALUE_INT:
        return TYPE_INT64;
    case VALUE_DOUBLE:
        return TYPE_FLOAT64;
    case VALUE_BYTES:
        return TYPE_BINARY;
    default: /* arrays and maps as JSON text, nothing as an empty one */
        return TYPE_STRING;
    }
}

static void proto_value(struct buf *out, const struct value *value)
{
    uint64_t bits;

    switch (value->type) {
    case VALUE_EMPTY:
        return;
    case VALUE_BOOL:
        if (value->b)
            wire_put_varint(out, 4, 1);
        return;
    case VALUE_INT:
        if (value->i)
            wire_put_varint(out, 5, (uint64_t)value->i);
        return;
    case VALUE_DOUBLE:
        memcpy(&bits, &value->d, sizeof bits);
        if (bits)
            wire_put_fixed64(out, 6, bits);
        return;
    case VALUE_BYTES:
        if (value->str.len)
            wire_put_bytes(out, 7, value->str);
        return;
    default: {
        size_t mark = wire_open(out, 3);
        value_text(out, value);
        wire_close(out, mark);
    }
    }
}

static void proto_tag(struct buf *out, uint32_t number, const struct attr *tag)
{
    size_t mark = wire_open(out, number);
    unsigned type = type_of(&tag->value);

    if (tag->key.len)
        wire_put_bytes(out, 1, tag->key);
    if (type)
        wire_put_varint(out, 2, type);
    proto_value(out, &tag->value);
    wire_close(out, mark);
}

static void json_value(struct sink *sink, const struct value *value)
{
    char number[24];

    switch (value->type) {
    case VALUE_STRING:
        json_put_str(sink->json, value->str);
        return;
    case VALUE_BOOL:
        json_put_str(sink->json, value->b ? STR("true") : STR("false"));
        return;
    case VALUE_INT:
        json_put_str(sink->json,
                     str_n(number, (size_t)snprintf(number, sizeof number, "%" PRId64, value->i)));
        return;
    case VALUE_BYTES:
        json_put_hex(sink->json, value->str.ptr, value->str.len);
        return;
    default:
        buf_clear(sink->scratch);
        value_text(sink->scratch, value);
        json_put_str(sink->json, buf_str(sink->scratch));
        sink->json->out->failed |=
            sink->scratch->failed; /* half a text must not pass for a whole one */
    }
}

static unsigned document_type_of(const struct value *value)
{
    return value->type == VALUE_DOUBLE && !isfinite(value->d) ? TYPE_STRING : type_of(value);
}

static void json_tag(struct sink *sink, const struct attr *tag)
{
    static const char *const types[] = { "string", "bool", "int64", "float64", "binary" };

    json_object(sink->json);
    json_key_text(sink->json, "key");
    json_put_str(sink->json, tag->key);
    json_key_text(sink->json, "type");
    json_put_str(sink->json, str_of(types[document_type_of(&tag->value)]));
    json_key_text(sink->json, "value");
    json_value(sink, &tag->value);
    json_object_end(sink->json);
}

static void put_tag(struct sink *sink, const struct attr *attr)
{
    struct attr tag = *attr;

    jaeger_tag_sanitize(&tag, &sink->n_hidden, &sink->arena);
    if (sink->proto)
        proto_tag(sink->proto, sink->field, &tag);
    else
        json_tag(sink, &tag);
}

static void put_tag_copies(struct sink *sink, struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;

    while (attr_next(&at, end, number, &attr) == 1)
        put_tag(sink, &attr);
}

/* --- lists of tags --------------------------------------------- */

static void list_begin(struct sink *sink, uint32_t field)
{
    sink->n_hidden = 0;
    sink->field = field;
    if (sink->json)
        json_array(sink->json);
}

static void list_end(struct sink *sink)
{
    if (sink->json)
        json_array_end(sink->json);
}

static void put_derived(struct sink *sink, const struct span *span, const struct attr *tags,
                        unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!jaeger_tag_is_attr(&tags[i], span->attrs, span->n_attrs))
            put_tag(sink, &tags[i]);
}

/* Documents have no place for warnings: there they stay a tag. */
static void put_span_tags(struct sink *sink, const struct span *span)
{
    struct jaeger_derived derived;
    struct attr name;

    jaeger_derive(span, &derived);
    put_derived(sink, span, derived.front, derived.n_front);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        if (sink->json || !jaeger_attr_is_warnings(&span->attrs[i]))
            put_tag(sink, &span->attrs[i]);
    if (jaeger_name_tag(span, &name))
        put_tag(sink, &name);
    put_derived(sink, span, derived.behind, derived.n_behind);
}

static void put_log_fields(struct sink *sink, const struct event_view *event)
{
    struct attr name;

    if (jaeger_event_field(event, &name))
        put_tag(sink, &name);
    put_tag_copies(sink, event->message, 3);
}

static void put_process_tags(struct sink *sink, const struct resource_view *view)
{
    struct attr attr;

    for (uint32_t i = 0; i < view->n; i++) {
        const uint8_t *at = wire_begin(view->attributes_owner[i]),
                      *end = wire_end(view->attributes_owner[i]);
        while (attr_next(&at, end, 1, &attr) == 1)
            if (!str_eq(attr.key, STR("service.name"))) /* it is the process's name */
                put_tag(sink, &attr);
    }
}

static bool leads_nowhere(const struct jaeger_reference *ref)
{
    return (get_le64(ref->trace_id) | get_le64(ref->trace_id + 8)) == 0;
}

/* The next reference that leads somewhere. */
static bool reference_next(struct jaeger_references *refs, struct jaeger_reference *ref)
{
    while (jaeger_reference_next(refs, ref))
        if (!leads_nowhere(ref))
            return true;
    return false;
}

/* --- api_v2 --------------------------------------------- */

static void proto_text(struct buf *out, uint32_t number, struct str text)
{
    size_t mark = wire_open(out, number);

    utf8_sanitize(out, text);
    wire_close(out, mark);
}

static void proto_time(struct buf *out, uint32_t number, uint64_t ns, bool is_negative)
{
    size_t mark = wire_open(out, number);
    int64_t sign = is_negative ? -1 : 1; /* of both parts, as protobuf's Duration wants it */

    if (ns >= NS_PER_S)
        wire_put_varint(out, 1, (uint64_t)(sign * (int64_t)(ns / NS_PER_S)));
    if (ns % NS_PER_S)
        wire_put_varint(out, 2, (uint64_t)(sign * (int64_t)(ns % NS_PER_S)));
    wire_close(out, mark);
}

static void proto_references(struct buf *out, const struct span *span)
{
    struct jaeger_references refs;
    struct jaeger_reference ref;

    jaeger_references(&refs, span, span->parent_id);
    while (reference_next(&refs, &ref)) {
        size_t mark = wire_open(out, 4);
        wire_put_bytes(out, 1, str_n(ref.trace_id, sizeof ref.trace_id));
        wire_put_bytes(out, 2, str_n(ref.span_id, sizeof ref.span_id));
        if (!ref.is_child_of)
            wire_put_varint(out, 3, REF_FOLLOWS_FROM);
        wire_close(out, mark);
    }
}

static void proto_logs(struct sink *sink, const struct span *span)
{
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    struct event_view event;

    while (event_next(&at, end, &event) == 1) {
        size_t mark = wire_open(sink->proto, 9);
        proto_time(sink->proto, 1, event.time_ns, false);
        list_begin(sink, 2);
        put_log_fields(sink, &event);
        list_end(sink);
        wire_close(sink->proto, mark);
    }
}

static void proto_process(struct sink *sink, const struct span *span)
{
    size_t mark = wire_open(sink->proto, 10);
    struct resource_view view;

    resource_view(span->resource, &view);
    proto_text(sink->proto, 1, resource_service(&view));
    list_begin(sink, 2);
    put_process_tags(sink, &view);
    list_end(sink);
    wire_close(sink->proto, mark);
}

static void proto_warnings(struct buf *out, const struct span *span)
{
    struct str warning;

    for (uint32_t i = 0; i < span->n_attrs; i++) {
        if (!jaeger_attr_is_warnings(&span->attrs[i]))
            continue;
        struct str array = value_plain(&span->attrs[i].value).raw;
        const uint8_t *at = wire_begin(array), *end = wire_end(array);
        while (jaeger_warning_next(&at, end, &warning) == 1)
            proto_text(out, 12, warning);
    }
}

void jaeger_write_span(struct buf *out, const struct span *span)
{
    bool is_negative = span->end_ns < span->start_ns;
    struct sink sink = { .proto = out };

    wire_put_bytes(out, 1, str_n(span->trace_id, sizeof span->trace_id));
    wire_put_bytes(out, 2, str_n(span->span_id, sizeof span->span_id));
    proto_text(out, 3, jaeger_operation(span));
    proto_references(out, span);
    proto_time(out, 6, span->start_ns, false);
    proto_time(out, 7, is_negative ? span->start_ns - span->end_ns : span->end_ns - span->start_ns,
               is_negative);
    list_begin(&sink, 8);
    put_span_tags(&sink, span);
    list_end(&sink);
    proto_logs(&sink, span);
    proto_process(&sink, span);
    proto_warnings(out, span);
    arena_fini(&sink.arena);
}

/* --- documents --------------------------------------------- */

static void json_references(struct json_writer *w, const struct span *span)
{
    static const char *const types[] = {
        [REF_CHILD_OF] = "CHILD_OF", [REF_FOLLOWS_FROM] = "FOLLOWS_FROM"
    };
    struct jaeger_references refs;
    struct jaeger_reference ref;

    json_key_text(w, "references");
    json_array(w);
    jaeger_references(&refs, span, span->parent_id);
    while (reference_next(&refs, &ref)) {
        json_object(w);
        json_key_text(w, "refType");
        json_put_str(w, str_of(types[ref.is_child_of ? REF_CHILD_OF : REF_FOLLOWS_FROM]));
        json_key_text(w, "traceID");
        json_put_hex(w, ref.trace_id, sizeof ref.trace_id);
        json_key_text(w, "spanID");
        json_put_hex(w, ref.span_id, sizeof ref.span_id);
        json_object_end(w);
    }
    json_array_end(w);
}

static void json_logs(struct sink *sink, const struct span *span)
{
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    struct event_view event;

    json_key_text(sink->json, "logs");
    json_array(sink->json);
    while (event_next(&at, end, &event) == 1) {
        json_object(sink->json);
        json_key_text(sink->json, "timestamp");
        json_put_u64(sink->json, event.time_ns / NS_PER_US);
        json_key_text(sink->json, "fields");
        list_begin(sink, 0);
        put_log_fields(sink, &event);
        list_end(sink);
        json_object_end(sink->json);
    }
    json_array_end(sink->json);
}

static void json_process(struct sink *sink, const struct span *span)
{
    struct resource_view view;

    resource_view(span->resource, &view);
    json_key_text(sink->json, "process");
    json_object(sink->json);
    json_key_text(sink->json, "serviceName");
    json_put_str(sink->json, resource_service(&view));
    json_key_text(sink->json, "tags");
    list_begin(sink, 0);
    put_process_tags(sink, &view);
    list_end(sink);
    json_object_end(sink->json);
}

static void json_head(struct json_writer *w, const struct span *span)
{
    json_key_text(w, "traceID");
    json_put_hex(w, span->trace_id, sizeof span->trace_id);
    json_key_text(w, "spanID");
    json_put_hex(w, span->span_id, sizeof span->span_id);
    if (span->flags & INT32_MAX) {
        json_key_text(w, "flags");
        json_put_u64(w, span->flags & INT32_MAX);
    }
    json_key_text(w, "operationName");
    json_put_str(w, jaeger_operation(span));
}

void jaeger_write_document(struct json_writer *w, const struct span *span, struct buf *scratch)
{
    struct sink sink = { .json = w, .scratch = scratch };

    json_object(w);
    json_head(w, span);
    json_references(w, span);
    json_key_text(w, "startTime");
    json_put_u64(w, span->start_ns / NS_PER_US);
    json_key_text(w, "startTimeMillis");
    json_put_u64(w, span->start_ns / NS_PER_MS);
    json_key_text(w, "duration");
    json_put_u64(w, span_duration_ns(span) / NS_PER_US);
    json_key_text(w, "tags");
    list_begin(&sink, 0);
    put_span_tags(&sink, span);
    list_end(&sink);
    json_logs(&sink, span);
    json_process(&sink, span);
    json_object_end(w);
    arena_fini(&sink.arena);
}

void jaeger_write_service_document(struct json_writer *w, struct str service, struct str operation)
{
    json_object(w);
    json_key_text(w, "serviceName");
    json_put_str(w, service);
    json_key_text(w, "operationName");
    json_put_str(w, operation);
    json_object_end(w);
}
