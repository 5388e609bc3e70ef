/* jaeger_tags.c - see jaeger_tags.h. */
#include "model/jaeger_tags.h"

#include "codec/utf8.h"

/* --- derived tags --------------------------------------------- */

static void put_text(struct attr *list, unsigned *n, struct str key, struct str text)
{
    if (text.len)
        list[(*n)++] = (struct attr){ key, { VALUE_STRING, .str = text } };
}

static struct str status_name(int32_t code)
{
    switch (code) {
    case STATUS_OK:
        return STR("OK");
    case STATUS_ERROR:
        return STR("ERROR");
    default:
        return STR("");
    }
}

void jaeger_derive(const struct span *span, struct jaeger_derived *out)
{
    struct scope_view scope;

    scope_view(span->scope, &scope);
    out->n_front = out->n_behind = 0;
    put_text(out->front, &out->n_front, STR("otel.scope.name"), scope.name);
    put_text(out->front, &out->n_front, STR("otel.scope.version"), scope.version);
    put_text(out->behind, &out->n_behind, STR("span.kind"), str_of(span_kind_name(span->kind)));
    put_text(out->behind, &out->n_behind, STR("otel.status_code"), status_name(span->status_code));
    if (span->status_code == STATUS_ERROR)
        out->behind[out->n_behind++] = (struct attr){ STR("error"), { VALUE_BOOL, .b = true } };
    put_text(out->behind, &out->n_behind, STR("otel.status_description"), span->status_message);
    put_text(out->behind, &out->n_behind, STR("w3c.tracestate"), span->trace_state);
}

static bool is_equal(const struct value *derived, const struct value *value)
{
    if (value->type != derived->type)
        return false;
    return derived->type == VALUE_BOOL ? value->b == derived->b : str_eq(value->str, derived->str);
}

bool jaeger_tag_is_attr(const struct attr *tag, const struct attr *attrs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(attrs[i].key, tag->key))
            continue;
        struct value value = value_plain(&attrs[i].value);
        if (is_equal(&tag->value, &value))
            return true;
    }
    return false;
}

bool jaeger_name_tag(const struct span *span, struct attr *out)
{
    if (utf8_valid(span->name.ptr, span->name.len))
        return false;
    *out = (struct attr){ STR("invalid-span-name"), { VALUE_BYTES, .str = span->name } };
    return true;
}

struct str jaeger_operation(const struct span *span)
{
    return span->name.len ? span->name : STR(SPAN_NO_NAME);
}

/* --- what is not UTF-8 --------------------------------------------- */

static void hide_key(struct attr *tag, unsigned number, struct arena *arena)
{
    struct buf pair;

    buf_init(&pair, SIZE_MAX);
    buf_put_str(&pair, tag->key);
    buf_put_char(&pair, ':');
    if (tag->value.type == VALUE_STRING)
        buf_put_str(&pair, tag->value.str);
    else
        value_text(&pair, &tag->value);
    tag->key = arena_printf(arena, "invalid-tag-key-%u", number);
    tag->value = (struct value){ VALUE_BYTES, .str = arena_str(arena, buf_str(&pair)) };
    buf_fini(&pair);
}

void jaeger_tag_sanitize(struct attr *tag, unsigned *n_hidden, struct arena *arena)
{
    tag->value = value_plain(&tag->value);
    if (!utf8_valid(tag->key.ptr, tag->key.len))
        hide_key(tag, ++*n_hidden, arena);
    else if (tag->value.type == VALUE_STRING && !utf8_valid(tag->value.str.ptr, tag->value.str.len))
        tag->value.type = VALUE_BYTES;
}

/* --- warnings and logs --------------------------------------------- */

bool jaeger_attr_is_warnings(const struct attr *attr)
{
    return str_eq(attr->key, STR("@jaeger@warnings")) &&
           value_plain(&attr->value).type == VALUE_ARRAY;
}

int jaeger_warning_next(const uint8_t **at, const uint8_t *end, struct str *out)
{
    struct wire_field item, text;
    int got;

    while ((got = wire_next(at, end, &item)) == 1) {
        const uint8_t *p = wire_begin(item.bytes), *stop = wire_end(item.bytes);
        if (item.number != 1 || wire_next(&p, stop, &text) != 1 || text.number != 1 ||
            text.type != WIRE_BYTES)
            continue;
        *out = text.bytes;
        return 1;
    }
    return got;
}

static bool has_event_attr(const struct event_view *event)
{
    const uint8_t *at = wire_begin(event->message), *end = wire_end(event->message);
    struct attr attr;

    while (attr_next(&at, end, 3, &attr) == 1)
        if (str_eq(attr.key, STR("event")))
            return true;
    return false;
}

bool jaeger_event_field(const struct event_view *event, struct attr *out)
{
    if (!event->name.len || has_event_attr(event))
        return false;
    *out = (struct attr){ STR("event"), { VALUE_STRING, .str = event->name } };
    return true;
}

/* --- references --------------------------------------------- */

static bool is_child_of(const struct link_view *link)
{
    const uint8_t *at = wire_begin(link->message), *end = wire_end(link->message);
    struct attr attr;

    while (attr_next(&at, end, 4, &attr) == 1) {
        if (!str_eq(attr.key, STR("opentracing.ref_type")))
            continue;
        struct value value = value_plain(&attr.value);
        return value.type == VALUE_STRING && str_eq(value.str, STR("child_of"));
    }
    return false;
}

static bool has_parent(const struct jaeger_references *r)
{
    return get_le64(r->parent_id) != 0;
}

static bool is_parent(const struct jaeger_references *r, const struct link_view *link)
{
    return has_parent(r) && memcmp(link->trace_id, r->span->trace_id, sizeof link->trace_id) == 0 &&
           memcmp(link->span_id, r->parent_id, sizeof link->span_id) == 0;
}

static bool parent_is_child_of(const struct jaeger_references *r)
{
    const uint8_t *at = wire_begin(r->span->links), *end = wire_end(r->span->links);
    struct link_view link;
    bool child_of = true;

    while (link_next(&at, end, &link) == 1)
        if (is_parent(r, &link))
            child_of = is_child_of(&link);
    return child_of;
}

void jaeger_references(struct jaeger_references *r, const struct span *span,
                       const uint8_t parent_id[8])
{
    *r = (struct jaeger_references){ .span = span,
                                     .at = wire_begin(span->links),
                                     .end = wire_end(span->links) };
    memcpy(r->parent_id, parent_id, sizeof r->parent_id);
}

bool jaeger_reference_next(struct jaeger_references *r, struct jaeger_reference *out)
{
    struct link_view link;

    if (!r->is_parent_told) {
        r->is_parent_told = true;
        if (has_parent(r)) {
            memcpy(out->trace_id, r->span->trace_id, sizeof out->trace_id);
            memcpy(out->span_id, r->parent_id, sizeof out->span_id);
            out->is_child_of = parent_is_child_of(r);
            return true;
        }
    }
    while (link_next(&r->at, r->end, &link) == 1) {
        if (is_parent(r, &link))
            continue;
        memcpy(out->trace_id, link.trace_id, sizeof out->trace_id);
        memcpy(out->span_id, link.span_id, sizeof out->span_id);
        out->is_child_of = is_child_of(&link);
        return true;
    }
    return false;
}
