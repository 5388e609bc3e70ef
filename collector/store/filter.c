/* filter.c - does a span match a search?
 *
 * This is the definition; block_search.c answers the same question from columns and is compared
 * with this file by a property test. A tag is tried against the derived tags first, which cost
 * nothing, and then against attributes: the span's, the resource's, the scope's, those of events
 * and links.
 *
 * The text form of a value is only made when its key is the wanted one. */
#include "store/filter.h"

#include "codec/utf8.h"
#include "store/filter_tag.h"

#define TEXT_MAX ((size_t)64 << 20) /* bytes; a text form longer than this matches nothing */

/* --- names as a person sees them -------------------------------------------------------------- */
static struct str sanitized(struct str text, struct arena *arena)
{
    struct buf out;

    if (utf8_valid(text.ptr, text.len))
        return text;
    buf_init(&out, text.len * 3);
    utf8_sanitize(&out, text);
    struct str copy = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

struct str view_operation(struct str name, struct arena *arena)
{
    return name.len ? sanitized(name, arena) : STR(SPAN_NO_NAME);
}

struct str view_service(struct str resource, struct arena *arena)
{
    struct resource_view view;

    resource_view(resource, &view);
    return sanitized(resource_service(&view), arena);
}

/* --- values ----------------------------------------------------------------------------------- */
bool filter_text_eq(struct str text, struct str wanted)
{
    struct buf out;

    if (utf8_valid(text.ptr, text.len))
        return str_eq(text, wanted);
    if (wanted.len > text.len * 3)
        return false;
    buf_init(&out, text.len * 3);
    utf8_sanitize(&out, text);
    bool is_equal = str_eq(buf_str(&out), wanted);
    buf_fini(&out);
    return is_equal;
}

bool filter_value_eq(const struct value *value, struct str wanted, struct buf *scratch)
{
    if (value->type == VALUE_STRING)
        return filter_text_eq(value->str, wanted);
    if (value->type == VALUE_BOOL)
        return str_eq(wanted, value->b ? STR("true") : STR("false"));
    buf_clear(scratch);
    scratch->limit = TEXT_MAX;
    value_text(scratch, value);
    return !scratch->failed && str_eq(buf_str(scratch), wanted);
}

bool filter_number_holds(double have, const struct filter_tag *tag)
{
    switch (tag->op) {
    case TAG_LESS:
        return have < tag->number;
    case TAG_AT_MOST:
        return have <= tag->number;
    case TAG_MORE:
        return have > tag->number;
    case TAG_AT_LEAST:
        return have >= tag->number;
    case TAG_IS:
        return have == tag->number;
    case TAG_EQUALS:
    case TAG_EXISTS:
        break;
    }
    return false;
}

bool filter_text_holds(struct str text, const struct filter_tag *tag)
{
    double number;

    return tag->op == TAG_EXISTS ||
           (str_double(text, &number) == MG_OK && filter_number_holds(number, tag));
}

bool filter_value_holds(const struct value *value, const struct filter_tag *tag,
                        struct buf *scratch)
{
    if (tag->op == TAG_EQUALS)
        return filter_value_eq(value, tag->value, scratch);
    if (tag->op == TAG_EXISTS)
        return true;
    switch (value->type) {
    case VALUE_INT:
        return filter_number_holds((double)value->i, tag);
    case VALUE_DOUBLE:
        return filter_number_holds(value->d, tag);
    case VALUE_STRING:
        return filter_text_holds(value->str, tag);
    default:
        return false;
    }
}

/* --- where -------------------------------------------------------------------------------------- */
static bool where_exists(struct str text, struct filter_tag *out)
{
    if (!str_ends(text, STR(" exists")))
        return false;
    *out = (struct filter_tag){ .key = str_trim(str_n(text.ptr, text.len - 7)), .op = TAG_EXISTS };
    return true;
}

enum mg_err filter_where_parse(struct str text, struct filter_tag *out, struct mg_why *why)
{
    size_t at = 0, width = 1;
    struct filter_tag tag = { 0 };

    text = str_trim(text);
    if (!where_exists(text, &tag)) {
        while (at < text.len && !strchr("<>=", text.ptr[at]))
            at++;
        if (at + 1 < text.len && text.ptr[at] != '=' && text.ptr[at + 1] == '=')
            width = 2;
        if (at == text.len ||
            str_double(str_trim(str_n(text.ptr + at + width, text.len - at - width)), &tag.number) != MG_OK)
            return mg_fail(why, MG_E_FORMAT,
                           "malformed 'where' condition '%.*s': write key>=number, key<number, key=number or 'key exists'",
                           STR_ARG(text));
        tag.key = str_trim(str_n(text.ptr, at));
        tag.op = text.ptr[at] == '=' ? TAG_IS : text.ptr[at] == '<' ? (width == 2 ? TAG_AT_MOST : TAG_LESS)
                                                                    : (width == 2 ? TAG_AT_LEAST : TAG_MORE);
    }
    if (tag.key.len == 0)
        return mg_fail(why, MG_E_FORMAT, "malformed 'where' condition '%.*s': the key is missing", STR_ARG(text));
    *out = tag;
    return MG_OK;
}

bool filter_attributes(struct str message, uint32_t field, const struct filter_tag *tag,
                       struct buf *scratch)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr attr;

    while (attr_next(&at, end, field, &attr) == 1)
        if (str_eq(attr.key, tag->key) && filter_value_holds(&attr.value, tag, scratch))
            return true;
    return false;
}

/* --- derived tags ----------------------------------------------------------------------------- */
/* summary_tags.c has a list of their keys. */
static bool status_tag(const struct filter_tag *tag, int32_t status)
{
    if (str_eq(tag->key, STR("error")))
        return str_eq(tag->value, status == STATUS_ERROR ? STR("true") : STR("false"));
    if (str_eq(tag->key, STR("span.status")))
        return str_eq_nocase(tag->value, status == STATUS_ERROR ? STR("error")
                                         : status == STATUS_OK  ? STR("ok")
                                                                : STR("unset"));
    if (str_eq(tag->key, STR("otel.status_code")))
        return (status == STATUS_ERROR && str_eq(tag->value, STR("ERROR"))) ||
               (status == STATUS_OK && str_eq(tag->value, STR("OK")));
    return false;
}

bool filter_kind_status(const struct filter_tag *tag, int32_t kind, int32_t status)
{
    if (tag->op != TAG_EQUALS)
        return false;
    if (str_eq(tag->key, STR("span.kind")))
        return tag->value.len && str_eq(tag->value, str_of(span_kind_name(kind)));
    return status_tag(tag, status);
}

bool filter_wants_description(const struct filter_tag *tag)
{
    return tag->op == TAG_EQUALS && tag->value.len && str_eq(tag->key, STR("otel.status_description"));
}

bool filter_wants_trace_state(const struct filter_tag *tag)
{
    return tag->op == TAG_EQUALS && tag->value.len && str_eq(tag->key, STR("w3c.tracestate"));
}

bool filter_resource(struct str resource, const struct filter_tag *tag, struct buf *scratch)
{
    struct filter_tag inner = *tag;
    struct resource_view view;

    resource_view(resource, &view);
    for (uint32_t i = 0; i < view.n; i++)
        if (filter_attributes(view.attributes_owner[i], 1, tag, scratch))
            return true;
    if (!str_starts(tag->key, STR("resource.")))
        return false;
    inner.key = str_n(tag->key.ptr + 9, tag->key.len - 9);
    for (uint32_t i = 0; i < view.n; i++)
        if (filter_attributes(view.attributes_owner[i], 1, &inner, scratch))
            return true;
    return false;
}

bool filter_scope(struct str scope, const struct filter_tag *tag, struct buf *scratch)
{
    struct scope_view view;

    scope_view(scope, &view);
    if (tag->op == TAG_EQUALS && tag->value.len &&
        (str_eq(tag->key, STR("otel.scope.name")) || str_eq(tag->key, STR("scope.name"))) &&
        filter_text_eq(view.name, tag->value))
        return true;
    if (tag->op == TAG_EQUALS && tag->value.len &&
        (str_eq(tag->key, STR("otel.scope.version")) || str_eq(tag->key, STR("scope.version"))) &&
        filter_text_eq(view.version, tag->value))
        return true;
    return filter_attributes(view.message, 3, tag, scratch);
}

bool filter_events(struct str events, const struct filter_tag *tag, struct buf *scratch)
{
    const uint8_t *at = wire_begin(events), *end = wire_end(events);
    struct event_view event;

    while (event_next(&at, end, &event) == 1)
        if (filter_attributes(event.message, 3, tag, scratch))
            return true;
    return false;
}

bool filter_links(struct str links, const struct filter_tag *tag, struct buf *scratch)
{
    const uint8_t *at = wire_begin(links), *end = wire_end(links);
    struct link_view link;

    while (link_next(&at, end, &link) == 1)
        if (filter_attributes(link.message, 4, tag, scratch))
            return true;
    return false;
}

/* --- spans ------------------------------------------------------------------------------------ */
static bool tag_matches(const struct filter_tag *tag, const struct span *span, struct buf *scratch)
{
    if (filter_kind_status(tag, span->kind, span->status_code))
        return true;
    if (filter_wants_description(tag) && filter_text_eq(span->status_message, tag->value))
        return true;
    if (filter_wants_trace_state(tag) && filter_text_eq(span->trace_state, tag->value))
        return true;
    for (uint32_t i = 0; i < span->n_attrs; i++)
        if (str_eq(span->attrs[i].key, tag->key) &&
            filter_value_holds(&span->attrs[i].value, tag, scratch))
            return true;
    return filter_resource(span->resource, tag, scratch) ||
           filter_scope(span->scope, tag, scratch) || filter_events(span->events, tag, scratch) ||
           filter_links(span->links, tag, scratch);
}

static bool tags_match(const struct span_filter *filter, const struct span *span,
                       struct buf *scratch)
{
    for (size_t i = 0; i < filter->n_tags; i++)
        if (!tag_matches(&filter->tags[i], span, scratch))
            return false;
    return true;
}

bool filter_operation(struct str name, struct str wanted)
{
    return name.len ? filter_text_eq(name, wanted) : str_eq(wanted, STR(SPAN_NO_NAME));
}

bool filter_service(struct str resource, struct str wanted)
{
    struct resource_view view;

    resource_view(resource, &view);
    return filter_text_eq(resource_service(&view), wanted);
}

static bool times_match(const struct span_filter *filter, uint64_t start_ns, uint64_t end_ns)
{
    uint64_t duration = end_ns > start_ns ? end_ns - start_ns : 0;

    return start_ns >= filter->start_min_ns && start_ns <= filter->start_max_ns &&
           duration >= filter->duration_min_ns && duration <= filter->duration_max_ns;
}

static bool names_match(const struct span_filter *filter, struct str name, struct str resource)
{
    return (!filter->operation.ptr || filter_operation(name, filter->operation)) &&
           (!filter->service.ptr || filter_service(resource, filter->service));
}

bool filter_match(const struct span_filter *filter, const struct span *span, struct buf *scratch)
{
    return times_match(filter, span->start_ns, span->end_ns) &&
           names_match(filter, span->name, span->resource) && tags_match(filter, span, scratch);
}

bool filter_match_row(const struct span_filter *filter, const struct row *row,
                      const struct epoch *epoch, struct arena *arena, struct buf *scratch)
{
    struct span span;

    if (!times_match(filter, row->start_ns, row->end_ns) ||
        !names_match(filter, epoch_text(epoch, row->name), epoch_text(epoch, row->resource)))
        return false;
    if (filter->n_tags == 0)
        return true;
    row_decode(row, epoch, arena, &span);
    return tags_match(filter, &span, scratch);
}
