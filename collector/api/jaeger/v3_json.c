/* v3_json.c - group after group, as groups.h has them.
 *
 * A value may be nested deeper than json_writer counts (64): a deep one gets a writer of its own
 * over the same buffer, as lib/model's OTLP/JSON writer does. An error is kept in `err` and
 * everything after it is skipped: the loops ask step(), which also hands bytes on. The scratch
 * arena lives for one span or one head of a group. */
#include "api/jaeger/v3_json.h"

#include "api/jaeger/groups.h"
#include "base/vec.h"

#define WRITER_DEPTH                                                                               \
    56                 /* an item needs up to four levels before the next one can change writers   \
                        */
#define VALUE_DEPTH 64 /* values inside each other; deeper ones are shown empty */

struct v3_writer {
    struct json_writer *w;
    bool raw;
    trace_json_flush_fn *flush;
    void *owner;
    enum mg_err err;
    struct arena scratch;
    struct tag_list tags;
};

static bool step(struct v3_writer *t)
{
    struct buf *out = t->w->out;

    if (!t->err && out->failed)
        t->err = MG_E_TOO_BIG;
    if (!t->err && t->flush && out->len >= TRACE_JSON_PIECE)
        t->err = t->flush(t->owner, out);
    return !t->err;
}

/* --- small members: what is empty is left out
 * ------------------------------------------------------ */

static void put_text(struct json_writer *w, const char *key, struct str value)
{
    if (value.len == 0)
        return;
    json_key(w, str_of(key));
    json_put_str(w, value);
}

static void put_count(struct json_writer *w, const char *key, uint32_t value)
{
    if (value == 0)
        return;
    json_key(w, str_of(key));
    json_put_u64(w, value);
}

static void put_number(struct json_writer *w, const char *key, int32_t value)
{
    if (value == 0)
        return;
    json_key(w, str_of(key));
    json_put_i64(w, value);
}

static void put_time(struct json_writer *w, const char *key, uint64_t ns)
{
    json_key(w, str_of(key));
    json_put_u64_text(w, ns);
}

static void put_id(struct json_writer *w, const char *key, const void *id, size_t bytes)
{
    json_key(w, str_of(key));
    json_put_hex(w, id, bytes);
}

/* --- values
 * ------------------------------------------------------------------------------------------- */

static void put_value(struct json_writer *w, const struct value *value, unsigned depth);

static void put_items(struct json_writer *w, struct str array, unsigned depth)
{
    const uint8_t *at = wire_begin(array), *end = wire_end(array);
    struct wire_field field;

    json_key_text(w, "arrayValue");
    json_object(w);
    json_key_text(w, "values");
    json_array(w);
    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1 || field.type != WIRE_BYTES)
            continue;
        struct value item = any_value(field.bytes);
        put_value(w, &item, depth);
    }
    json_array_end(w);
    json_object_end(w);
}

static void put_attr(struct json_writer *w, const struct attr *attr, unsigned depth)
{
    json_object(w);
    json_key_text(w, "key");
    json_put_str(w, attr->key);
    json_key_text(w, "value");
    put_value(w, &attr->value, depth);
    json_object_end(w);
}

static void put_pairs(struct json_writer *w, struct str map, unsigned depth)
{
    const uint8_t *at = wire_begin(map), *end = wire_end(map);
    struct attr attr;

    json_key_text(w, "kvlistValue");
    json_object(w);
    json_key_text(w, "values");
    json_array(w);
    while (attr_next(&at, end, 1, &attr) == 1)
        put_attr(w, &attr, depth);
    json_array_end(w);
    json_object_end(w);
}

static void put_member(struct json_writer *w, const struct value *value, unsigned depth)
{
    switch (value->type) {
    case VALUE_STRING:
        json_key_text(w, "stringValue");
        json_put_str(w, value->str);
        break;
    case VALUE_BOOL:
        json_key_text(w, "boolValue");
        json_put_bool(w, value->b);
        break;
    case VALUE_INT:
        json_key_text(w, "intValue");
        json_put_i64_text(w, value->i);
        break;
    case VALUE_DOUBLE:
        json_key_text(w, "doubleValue");
        json_put_double(w, value->d);
        break;
    case VALUE_BYTES:
        json_key_text(w, "bytesValue");
        json_put_base64(w, value->str.ptr, value->str.len);
        break;
    case VALUE_ARRAY:
        put_items(w, value->raw, depth + 1);
        break;
    case VALUE_KVLIST:
        put_pairs(w, value->raw, depth + 1);
        break;
    case VALUE_EMPTY:
    case VALUE_OTHER: /* value_plain leaves none */
        break;
    }
}

static void put_value(struct json_writer *w, const struct value *value, unsigned depth)
{
    struct value plain = value_plain(value);
    struct json_writer deeper;

    if (w->depth >= WRITER_DEPTH) {
        json_put_raw(w, STR("")); /* the comma, and that there is a value */
        json_writer_init(&deeper, w->out, w->indent);
        w = &deeper;
    }
    json_object(w);
    if (depth < VALUE_DEPTH)
        put_member(w, &plain, depth);
    json_object_end(w);
}

/* --- attributes
 * --------------------------------------------------------------------------------------- */

static void put_warnings(struct v3_writer *t, const struct str *warnings, size_t n)
{
    json_object(t->w);
    json_key_text(t->w, "key");
    json_put_str(t->w, STR("@jaeger@warnings"));
    json_key_text(t->w, "value");
    json_object(t->w);
    json_key_text(t->w, "arrayValue");
    json_object(t->w);
    json_key_text(t->w, "values");
    json_array(t->w);
    for (size_t i = 0; i < n && step(t); i++) {
        json_object(t->w);
        json_key_text(t->w, "stringValue");
        json_put_str(t->w, warnings[i]);
        json_object_end(t->w);
    }
    json_array_end(t->w);
    json_object_end(t->w);
    json_object_end(t->w);
    json_object_end(t->w);
}

/* t->tags, behind the warnings. */
static void put_attributes(struct v3_writer *t, const struct str *warnings, size_t n_warnings)
{
    if (t->tags.n + n_warnings == 0)
        return;
    json_key_text(t->w, "attributes");
    json_array(t->w);
    if (n_warnings)
        put_warnings(t, warnings, n_warnings);
    for (size_t i = 0; i < t->tags.n && step(t); i++)
        put_attr(t->w, &t->tags.at[i], 0);
    json_array_end(t->w);
}

static void put_message_attributes(struct v3_writer *t, struct str message, uint32_t field)
{
    VEC_CLEAR(&t->tags);
    tag_list_add_message(&t->tags, message, field);
    if (!t->raw)
        tag_list_adjust(&t->tags, false, &t->scratch);
    put_attributes(t, NULL, 0);
}

/* --- resource and scope
 * ------------------------------------------------------------------------------- */

static void put_resource(struct v3_writer *t, struct str resource)
{
    struct resource_view view;

    resource_view(resource, &view);
    resource_tags(resource, t->raw, &t->tags, &t->scratch);
    put_text(t->w, "schemaUrl", view.schema_url);
    json_key_text(t->w, "resource");
    json_object(t->w);
    put_attributes(t, NULL, 0);
    put_count(t->w, "droppedAttributesCount", view.dropped_attrs);
    json_object_end(t->w);
}

static void put_scope(struct v3_writer *t, struct str scope)
{
    struct scope_view view;

    scope_view(scope, &view);
    put_text(t->w, "schemaUrl", view.schema_url);
    json_key_text(t->w, "scope");
    json_object(t->w);
    put_text(t->w, "name", view.name);
    put_text(t->w, "version", view.version);
    put_message_attributes(t, view.message, 3);
    put_count(t->w, "droppedAttributesCount", view.dropped_attrs);
    json_object_end(t->w);
}

/* --- spans
 * -------------------------------------------------------------------------------------------- */

static void put_events(struct v3_writer *t, const struct span *span)
{
    struct event_view *events;
    size_t n = span_events(span, t->raw, &t->scratch, &events);

    if (n == 0)
        return;
    json_key_text(t->w, "events");
    json_array(t->w);
    for (size_t i = 0; i < n && step(t); i++) {
        json_object(t->w);
        put_time(t->w, "timeUnixNano", events[i].time_ns);
        put_text(t->w, "name", events[i].name);
        put_message_attributes(t, events[i].message, 3);
        put_count(t->w, "droppedAttributesCount", events[i].dropped_attrs);
        json_object_end(t->w);
    }
    json_array_end(t->w);
}

static void put_link(struct v3_writer *t, const struct link_view *link)
{
    json_object(t->w);
    put_id(t->w, "traceId", link->trace_id, sizeof link->trace_id);
    put_id(t->w, "spanId", link->span_id, sizeof link->span_id);
    put_text(t->w, "traceState", link->trace_state);
    put_message_attributes(t, link->message, 4);
    put_count(t->w, "droppedAttributesCount", link->dropped_attrs);
    put_count(t->w, "flags", link->flags);
    json_object_end(t->w);
}

static void put_links(struct v3_writer *t, const struct span *span)
{
    const uint8_t *at = wire_begin(span->links), *end = wire_end(span->links);
    struct link_view link;
    bool has_begun = false;

    while (step(t) && link_next(&at, end, &link) == 1) {
        if (!t->raw && !link_is_shown(link.trace_id))
            continue;
        if (!has_begun) {
            json_key_text(t->w, "links");
            json_array(t->w);
            has_begun = true;
        }
        put_link(t, &link);
    }
    if (has_begun)
        json_array_end(t->w);
}

static void put_status(struct json_writer *w, const struct span *span)
{
    json_key_text(w, "status");
    json_object(w);
    put_text(w, "message", span->status_message);
    put_number(w, "code", span->status_code);
    json_object_end(w);
}

static void put_frame(struct v3_writer *t, const struct adjusted_span *a)
{
    const struct span *span = a->span;
    struct json_writer *w = t->w;

    put_id(w, "traceId", span->trace_id, sizeof span->trace_id);
    put_id(w, "spanId", a->span_id, sizeof a->span_id);
    put_text(w, "traceState", span->trace_state);
    if (get_le64(a->parent_id))
        put_id(w, "parentSpanId", a->parent_id, sizeof a->parent_id);
    put_count(w, "flags", span->flags);
    json_key_text(w, "name");
    json_put_str(w, t->raw ? span->name : view_operation(span->name, &t->scratch));
    put_number(w, "kind", span->kind);
    put_time(w, "startTimeUnixNano", span->start_ns);
    put_time(w, "endTimeUnixNano", t->raw ? span->end_ns : MG_MAX(span->start_ns, span->end_ns));
}

static void put_span(struct v3_writer *t, const struct adjusted_span *a)
{
    const struct span *span = a->span;
    struct str *warnings = NULL;

    arena_reset(&t->scratch);
    json_object(t->w);
    put_frame(t, a);
    size_t n_warnings = t->raw ? 0 : span_warnings(span, &t->scratch, &warnings);
    span_tags(span, t->raw, &t->tags, &t->scratch);
    put_attributes(t, warnings, n_warnings);
    put_count(t->w, "droppedAttributesCount", span->dropped_attrs);
    put_events(t, span);
    put_count(t->w, "droppedEventsCount", span->dropped_events);
    put_links(t, span);
    put_count(t->w, "droppedLinksCount", span->dropped_links);
    put_status(t->w, span);
    json_object_end(t->w);
}

/* --- groups
 * ------------------------------------------------------------------------------------------- */

/* The spans of one group; returns the place behind it. */
static size_t put_group(struct v3_writer *t, const struct adjusted_span *spans,
                        const struct place *places, size_t from, size_t n)
{
    size_t i = from;

    arena_reset(&t->scratch);
    json_object(t->w);
    put_scope(t, spans[places[from].span].span->scope);
    json_key_text(t->w, "spans");
    json_array(t->w);
    for (; i < n && places[i].group == places[from].group && step(t); i++)
        put_span(t, &spans[places[i].span]);
    json_array_end(t->w);
    json_object_end(t->w);
    return i;
}

static size_t put_resource_spans(struct v3_writer *t, const struct adjusted_span *spans,
                                 const struct place *places, size_t from, size_t n)
{
    size_t i = from;

    arena_reset(&t->scratch);
    json_object(t->w);
    put_resource(t, spans[places[from].span].span->resource);
    json_key_text(t->w, "scopeSpans");
    json_array(t->w);
    while (i < n && places[i].resource == places[from].resource && step(t))
        i = put_group(t, spans, places, i, n);
    json_array_end(t->w);
    json_object_end(t->w);
    return i;
}

enum mg_err v3_trace_write(struct json_writer *w, const struct query_trace *trace, bool raw,
                           trace_json_flush_fn *flush, void *owner)
{
    struct v3_writer t = {.w = w, .raw = raw, .flush = flush, .owner = owner};
    struct adjusted_span *spans;
    struct arena arena;

    arena_init(&arena);
    size_t n = trace_adjust(trace, raw, &arena, &spans);
    const struct place *places = spans_grouped(spans, n, &arena);
    for (size_t i = 0; i < n && step(&t);)
        i = put_resource_spans(&t, spans, places, i, n);
    (void)step(&t); /* t.err says it */
    arena_fini(&arena);
    arena_fini(&t.scratch);
    tag_list_fini(&t.tags);
    return t.err;
}
