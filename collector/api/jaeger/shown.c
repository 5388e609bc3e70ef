/* shown.c - parts that stay in wire form elsewhere (events, links, the resource, the scope) are
 * taken apart and written again, since their attributes have to be adjusted too. The JSON writers
 * do the same walk, member by member, straight into JSON. */
#include "api/jaeger/shown.h"

#include "base/vec.h"
#include "codec/utf8.h"
#include "model/jaeger_tags.h"

void shown_init(struct shown *shown, bool raw, size_t limit)
{
    *shown = (struct shown){.raw = raw};
    buf_init(&shown->events, limit);
    buf_init(&shown->links, limit);
    buf_init(&shown->resource, limit);
    buf_init(&shown->scope, limit);
}

void shown_fini(struct shown *shown)
{
    arena_fini(&shown->scratch);
    tag_list_fini(&shown->tags);
    buf_fini(&shown->events);
    buf_fini(&shown->links);
    buf_fini(&shown->resource);
    buf_fini(&shown->scope);
}

enum mg_err shown_err(const struct shown *shown)
{
    MG_TRY(buf_err(&shown->events));
    MG_TRY(buf_err(&shown->links));
    MG_TRY(buf_err(&shown->resource));
    return buf_err(&shown->scope);
}

/* --- small fields: what is empty is left out
 * ------------------------------------------------------- */

static void put_text(struct shown *s, struct buf *out, uint32_t number, struct str text)
{
    if (text.len)
        wire_put_bytes(out, number, utf8_clean(text, &s->scratch));
}

static void put_count(struct buf *out, uint32_t number, uint32_t value)
{
    if (value)
        wire_put_varint(out, number, value);
}

/* --- values
 * ------------------------------------------------------------------------------------------- */

static void put_any(struct shown *s, struct buf *out, uint32_t number, const struct value *value,
                    unsigned depth);

/* The content of an ArrayValue. */
static void put_items(struct shown *s, struct buf *out, struct str array, unsigned depth)
{
    const uint8_t *at = wire_begin(array), *end = wire_end(array);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1 || field.type != WIRE_BYTES)
            continue;
        struct value item = any_value(field.bytes);
        put_any(s, out, 1, &item, depth);
    }
}

static void put_attr(struct shown *s, struct buf *out, uint32_t number, const struct attr *attr,
                     unsigned depth)
{
    size_t mark = wire_open(out, number);

    wire_put_bytes(out, 1, utf8_clean(attr->key, &s->scratch));
    put_any(s, out, 2, &attr->value, depth);
    wire_close(out, mark);
}

/* The content of a KeyValueList. */
static void put_pairs(struct shown *s, struct buf *out, struct str map, unsigned depth)
{
    const uint8_t *at = wire_begin(map), *end = wire_end(map);
    struct attr attr;

    while (attr_next(&at, end, 1, &attr) == 1)
        put_attr(s, out, 1, &attr, depth);
}

static void put_nested(struct shown *s, struct buf *out, const struct value *value, unsigned depth)
{
    if (value->type == VALUE_ARRAY)
        put_items(s, out, value->raw, depth);
    else
        put_pairs(s, out, value->raw, depth);
}

static void put_member(struct shown *s, struct buf *out, const struct value *value, unsigned depth)
{
    uint64_t bits;
    size_t mark;

    switch (value->type) {
    case VALUE_STRING:
        wire_put_bytes(out, 1, utf8_clean(value->str, &s->scratch));
        break;
    case VALUE_BOOL:
        wire_put_varint(out, 2, value->b);
        break;
    case VALUE_INT:
        wire_put_varint(out, 3, (uint64_t)value->i);
        break;
    case VALUE_DOUBLE:
        memcpy(&bits, &value->d, sizeof bits);
        wire_put_fixed64(out, 4, bits);
        break;
    case VALUE_ARRAY:
    case VALUE_KVLIST:
        mark = wire_open(out, value->type == VALUE_ARRAY ? 5 : 6);
        put_nested(s, out, value, depth + 1);
        wire_close(out, mark);
        break;
    case VALUE_BYTES:
        wire_put_bytes(out, 7, value->str);
        break;
    case VALUE_EMPTY:
    case VALUE_OTHER: /* value_plain leaves none */
        break;
    }
}

static void put_any(struct shown *s, struct buf *out, uint32_t number, const struct value *value,
                    unsigned depth)
{
    struct value plain = value_plain(value);
    size_t mark = wire_open(out, number);

    if (depth < SHOWN_DEPTH)
        put_member(s, out, &plain, depth);
    wire_close(out, mark);
}

/* --- lists of attributes
 * ------------------------------------------------------------------------------ */

/* Raw: in their order, every one, but with texts that a decoder takes. */
static void clean_tags(struct shown *s)
{
    unsigned n_hidden = 0;

    for (size_t i = 0; i < s->tags.n; i++)
        jaeger_tag_sanitize(&s->tags.at[i], &n_hidden, &s->scratch);
}

static void put_tags(struct shown *s, struct buf *out, uint32_t number)
{
    if (s->raw)
        clean_tags(s);
    for (size_t i = 0; i < s->tags.n; i++)
        put_attr(s, out, number, &s->tags.at[i], 0);
}

static void put_attributes(struct shown *s, struct buf *out, struct str message, uint32_t number)
{
    VEC_CLEAR(&s->tags);
    tag_list_add_message(&s->tags, message, number);
    if (!s->raw)
        tag_list_adjust(&s->tags, false, &s->scratch);
    put_tags(s, out, number);
}

/* --- resource and scope
 * ------------------------------------------------------------------------------- */

static bool is_same(struct str a, struct str b)
{
    return a.ptr == b.ptr && a.len == b.len;
}

static void make_resource(struct shown *s, struct str resource)
{
    struct buf *out = &s->resource;
    struct resource_view view;

    arena_reset(&s->scratch);
    resource_view(resource, &view);
    resource_tags(resource, s->raw, &s->tags, &s->scratch);
    size_t mark = wire_open(out, 1);
    put_tags(s, out, 1);
    put_count(out, 2, view.dropped_attrs);
    wire_close(out, mark);
    put_text(s, out, 3, view.schema_url);
}

struct str shown_resource(struct shown *s, struct str resource)
{
    if (!s->has_resource || !is_same(resource, s->last_resource)) {
        buf_clear(&s->resource);
        make_resource(s, resource);
        s->last_resource = resource;
        s->has_resource = true;
    }
    return buf_str(&s->resource);
}

static void make_scope(struct shown *s, struct str scope)
{
    struct buf *out = &s->scope;
    struct scope_view view;

    arena_reset(&s->scratch);
    scope_view(scope, &view);
    size_t mark = wire_open(out, 1);
    put_text(s, out, 1, view.name);
    put_text(s, out, 2, view.version);
    put_attributes(s, out, view.message, 3);
    put_count(out, 4, view.dropped_attrs);
    wire_close(out, mark);
    put_text(s, out, 3, view.schema_url);
}

struct str shown_scope(struct shown *s, struct str scope)
{
    if (!s->has_scope || !is_same(scope, s->last_scope)) {
        buf_clear(&s->scope);
        make_scope(s, scope);
        s->last_scope = scope;
        s->has_scope = true;
    }
    return buf_str(&s->scope);
}

/* --- spans
 * -------------------------------------------------------------------------------------------- */

static void make_events(struct shown *s, const struct span *span)
{
    struct buf *out = &s->events;
    struct event_view *events;
    size_t n = span_events(span, s->raw, &s->scratch, &events);

    buf_clear(out);
    for (size_t i = 0; i < n; i++) {
        size_t mark = wire_open(out, 11);
        wire_put_fixed64(out, 1, events[i].time_ns);
        put_text(s, out, 2, events[i].name);
        put_attributes(s, out, events[i].message, 3);
        put_count(out, 4, events[i].dropped_attrs);
        wire_close(out, mark);
    }
}

static void put_link(struct shown *s, const struct link_view *link)
{
    struct buf *out = &s->links;
    size_t mark = wire_open(out, 13);

    wire_put_bytes(out, 1, str_n(link->trace_id, sizeof link->trace_id));
    wire_put_bytes(out, 2, str_n(link->span_id, sizeof link->span_id));
    put_text(s, out, 3, link->trace_state);
    put_attributes(s, out, link->message, 4);
    put_count(out, 5, link->dropped_attrs);
    if (link->flags)
        wire_put_fixed32(out, 6, link->flags);
    wire_close(out, mark);
}

static void make_links(struct shown *s, const struct span *span)
{
    const uint8_t *at = wire_begin(span->links), *end = wire_end(span->links);
    struct link_view link;

    buf_clear(&s->links);
    while (link_next(&at, end, &link) == 1)
        if (s->raw || link_is_shown(link.trace_id))
            put_link(s, &link);
}

/* A value with others inside, written anew in the arena. */
static void clean_nested(struct shown *s, struct value *value)
{
    struct buf nested;

    if (value->type != VALUE_ARRAY && value->type != VALUE_KVLIST)
        return;
    buf_init(&nested, s->events.limit);
    put_nested(s, &nested, value, 1);
    value->raw = arena_str(&s->scratch, buf_str(&nested));
    s->events.failed |= nested.failed; /* so that shown_err knows */
    buf_fini(&nested);
}

static bool warnings_attr(struct shown *s, const struct span *span, struct attr *out)
{
    struct str *texts = NULL;
    struct buf array;
    size_t n = span_warnings(span, &s->scratch, &texts);

    if (n == 0)
        return false;
    buf_init(&array, s->events.limit);
    for (size_t i = 0; i < n; i++) {
        struct value text = {.type = VALUE_STRING, .str = texts[i]};
        put_any(s, &array, 1, &text, 0);
    }
    *out = (struct attr){STR("@jaeger@warnings"), {.type = VALUE_ARRAY}};
    out->value.raw = arena_str(&s->scratch, buf_str(&array));
    s->events.failed |= array.failed;
    buf_fini(&array);
    return true;
}

/* The warnings stand in front. */
static void take_attributes(struct shown *s, const struct span *span)
{
    struct attr *attrs, warnings;
    uint32_t n = 0;

    span_tags(span, s->raw, &s->tags, &s->scratch);
    if (s->raw)
        clean_tags(s);
    attrs = arena_alloc(&s->scratch, (s->tags.n + 1) * sizeof *attrs);
    if (!s->raw && warnings_attr(s, span, &warnings))
        attrs[n++] = warnings;
    for (size_t i = 0; i < s->tags.n; i++) {
        clean_nested(s, &s->tags.at[i].value);
        attrs[n++] = s->tags.at[i];
    }
    s->span.attrs = attrs;
    s->span.n_attrs = n;
}

struct span *shown_span(struct shown *s, const struct adjusted_span *a)
{
    const struct span *span = a->span;
    struct span *out = &s->span;

    arena_reset(&s->scratch);
    make_events(s, span);
    make_links(s, span);
    *out = *span;
    memcpy(out->span_id, a->span_id, sizeof out->span_id);
    memcpy(out->parent_id, a->parent_id, sizeof out->parent_id);
    out->name =
        s->raw ? utf8_clean(span->name, &s->scratch) : view_operation(span->name, &s->scratch);
    out->trace_state = utf8_clean(span->trace_state, &s->scratch);
    out->status_message = utf8_clean(span->status_message, &s->scratch);
    if (!s->raw)
        out->end_ns = MG_MAX(span->start_ns, span->end_ns);
    take_attributes(s, span);
    out->events = buf_str(&s->events);
    out->links = buf_str(&s->links);
    out->unknown = out->resource = out->scope = STR("");
    return out;
}
