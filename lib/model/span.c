/* span.c - looking into the parts of a span that stay in wire form, and the text forms of values.
 *
 * Everything here reads borrowed bytes that a scanner has checked, but trusts none of it: rows come
 * back from disks. Decoding an attribute has two ways. attr_read takes the form every SDK writes;
 * kv_decode takes protobuf as it is defined: any order, repeated fields, the last oneof member
 * wins. What neither a struct value can hold nor be lost is left whole as VALUE_OTHER. */
#include "model/span.h"

#include <math.h>
#include "codec/base64.h"
#include "codec/json_write.h"
#include "codec/utf8.h"
#include "model/attr_read.h"
#include "model/otlp_schema.h"

/* --- attributes --------------------------------------------- */

/* The AnyValue member in *field; *odd when it is none that a struct value can hold. -1: malformed.
 */
static int member_take(const struct wire_field *field, struct value *out, bool *odd)
{
    static const enum value_type types[] = {
        VALUE_STRING, VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_ARRAY, VALUE_KVLIST, VALUE_BYTES,
    };
    const struct wire_shape_field *known = wire_shape_find(&otlp_any_value, field->number);

    if (known && field->type != wire_kind_type(known->kind))
        return -1;
    if (!known || field->number > MG_COUNT(types)) {
        *odd = true;
        if (known) /* a string-table index is a member, without a meaning in traces */
            out->type = VALUE_EMPTY;
        return 0;
    }
    enum value_type type = types[field->number - 1];
    /* protobuf joins a message member that comes twice in a row; one slice cannot say that */
    if (type == out->type && (type == VALUE_ARRAY || type == VALUE_KVLIST))
        *odd = true;
    out->type = type;
    out->i = 0;
    switch (type) {
    case VALUE_BOOL:
        out->b = field->value != 0;
        break;
    case VALUE_INT:
        out->i = (int64_t)field->value;
        break;
    case VALUE_DOUBLE:
        memcpy(&out->d, &field->value, sizeof out->d);
        break;
    default:
        out->raw = field->bytes;
    }
    return 0;
}

static int any_value_take(struct str message, struct value *out, bool *odd)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1)
        if (member_take(&field, out, odd) < 0)
            return -1;
    return got;
}

static int kv_decode(struct str key_value, struct attr *out, bool *odd)
{
    const uint8_t *at = wire_begin(key_value), *end = wire_end(key_value);
    struct wire_field field;
    int got;

    *out = (struct attr){ .key = STR("") };
    *odd = false;
    while ((got = wire_next(&at, end, &field)) == 1) {
        const struct wire_shape_field *known = wire_shape_find(&otlp_key_value, field.number);
        if (known && field.type != wire_kind_type(known->kind))
            return -1;
        if (field.number == 1)
            out->key = field.bytes;
        else if (field.number != 2)
            *odd = true;
        else if (any_value_take(field.bytes, &out->value, odd) < 0)
            return -1;
    }
    return got;
}

int attr_decode(struct str key_value, struct attr *out)
{
    bool odd;

    if (attr_read(key_value, out))
        return 0;
    if (kv_decode(key_value, out, &odd) < 0)
        return -1;
    if (odd)
        out->value = (struct value){ .type = VALUE_OTHER, .raw = key_value };
    return 0;
}

int attr_next(const uint8_t **at, const uint8_t *end, uint32_t field, struct attr *out)
{
    struct wire_field f;
    int got;

    while ((got = wire_next(at, end, &f)) == 1) {
        if (f.number != field)
            continue;
        if (f.type != WIRE_BYTES || attr_decode(f.bytes, out) < 0)
            return -1;
        return 1;
    }
    return got;
}

struct value value_plain(const struct value *value)
{
    struct attr attr;
    bool odd;

    if (value->type != VALUE_OTHER)
        return *value;
    if (kv_decode(value->raw, &attr, &odd) < 0)
        return (struct value){ .type = VALUE_EMPTY };
    return attr.value;
}

/* --- equality --------------------------------------------- */

static bool value_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_EMPTY:
        return true;
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_INT:
        return a->i == b->i;
    case VALUE_DOUBLE: /* as bits: NaN equals itself here, and 0 is not -0 */
        return memcmp(&a->d, &b->d, sizeof a->d) == 0;
    default:
        return str_eq(a->str, b->str);
    }
}

static bool attrs_equal(const struct span *a, const struct span *b)
{
    if (a->n_attrs != b->n_attrs)
        return false;
    for (uint32_t i = 0; i < a->n_attrs; i++)
        if (!str_eq(a->attrs[i].key, b->attrs[i].key) ||
            !value_equal(&a->attrs[i].value, &b->attrs[i].value))
            return false;
    return true;
}

static bool numbers_equal(const struct span *a, const struct span *b)
{
    return memcmp(a->trace_id, b->trace_id, sizeof a->trace_id) == 0 &&
           memcmp(a->span_id, b->span_id, sizeof a->span_id) == 0 &&
           memcmp(a->parent_id, b->parent_id, sizeof a->parent_id) == 0 &&
           a->start_ns == b->start_ns && a->end_ns == b->end_ns && a->kind == b->kind &&
           a->status_code == b->status_code && a->flags == b->flags &&
           a->dropped_attrs == b->dropped_attrs && a->dropped_events == b->dropped_events &&
           a->dropped_links == b->dropped_links;
}

bool span_equal(const struct span *a, const struct span *b)
{
    return numbers_equal(a, b) && str_eq(a->name, b->name) &&
           str_eq(a->trace_state, b->trace_state) &&
           str_eq(a->status_message, b->status_message) && attrs_equal(a, b) &&
           str_eq(a->events, b->events) && str_eq(a->links, b->links) &&
           str_eq(a->unknown, b->unknown) && str_eq(a->resource, b->resource) &&
           str_eq(a->scope, b->scope);
}

/* --- resource and scope --------------------------------------------- */

static void service_name_take(const struct attr *attr, struct resource_view *out)
{
    if (!str_eq(attr->key, STR("service.name")))
        return;
    struct value value = value_plain(&attr->value);
    bool is_text = value.type == VALUE_STRING;

    out->has_service_name = true;
    out->service_name_wrong_type = !is_text;
    out->service_name = is_text ? value.str : STR("");
}

static void resource_take(struct str message, struct resource_view *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    struct attr attr;

    if (out->n == MG_COUNT(out->attributes_owner))
        return;
    out->attributes_owner[out->n++] = message;
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1 && field.type == WIRE_BYTES && attr_decode(field.bytes, &attr) == 0)
            service_name_take(&attr, out);
        else if (field.number == 2 && field.type == WIRE_VARINT)
            out->dropped_attrs = (uint32_t)field.value;
    }
}

void resource_view(struct str resource, struct resource_view *out)
{
    const uint8_t *at = wire_begin(resource), *end = wire_end(resource);
    struct wire_field field;

    *out = (struct resource_view){ .schema_url = STR(""), .service_name = STR("") };
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1 && field.type == WIRE_BYTES)
            resource_take(field.bytes, out);
        else if (field.number == 3 && field.type == WIRE_BYTES)
            out->schema_url = field.bytes;
    }
}

enum { NAME_MISSING, NAME_EMPTY, NAME_WRONG_TYPE };
static const struct str stand_ins[] = {
    [NAME_MISSING] = STR_INIT("missing-service-name"),
    [NAME_EMPTY] = STR_INIT("empty-service-name"),
    [NAME_WRONG_TYPE] = STR_INIT("service-name-wrong-type"),
};

struct str resource_service(const struct resource_view *view)
{
    if (!view->has_service_name)
        return stand_ins[NAME_MISSING];
    if (view->service_name_wrong_type)
        return stand_ins[NAME_WRONG_TYPE];
    return view->service_name.len ? view->service_name : stand_ins[NAME_EMPTY];
}

bool resource_service_is_stand_in(struct str service)
{
    for (size_t i = 0; i < MG_COUNT(stand_ins); i++)
        if (str_eq(service, stand_ins[i]))
            return true;
    return false;
}

static void scope_take(struct str message, struct scope_view *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    out->message = message;
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1 && field.type == WIRE_BYTES)
            out->name = field.bytes;
        else if (field.number == 2 && field.type == WIRE_BYTES)
            out->version = field.bytes;
        else if (field.number == 4 && field.type == WIRE_VARINT)
            out->dropped_attrs = (uint32_t)field.value;
    }
}

void scope_view(struct str scope, struct scope_view *out)
{
    const uint8_t *at = wire_begin(scope), *end = wire_end(scope);
    struct wire_field field;

    *out = (struct scope_view){ STR(""), STR(""), STR(""), STR(""), 0 };
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1 && field.type == WIRE_BYTES)
            scope_take(field.bytes, out);
        else if (field.number == 3 && field.type == WIRE_BYTES)
            out->schema_url = field.bytes;
    }
}

/* --- events and links --------------------------------------------- */

/* The next field with that number, which must be a message. 1 / 0 / -1. */
static int message_next(const uint8_t **at, const uint8_t *end, uint32_t number, struct str *out)
{
    struct wire_field field;
    int got;

    while ((got = wire_next(at, end, &field)) == 1) {
        if (field.number != number)
            continue;
        if (field.type != WIRE_BYTES)
            return -1;
        *out = field.bytes;
        return 1;
    }
    return got;
}

int event_next(const uint8_t **at, const uint8_t *end, struct event_view *out)
{
    struct wire_field field;
    struct str message;
    int got = message_next(at, end, 11, &message);

    if (got != 1)
        return got;
    *out = (struct event_view){ .name = STR(""), .message = message };
    const uint8_t *p = wire_begin(message), *stop = wire_end(message);
    while ((got = wire_next(&p, stop, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(1, WIRE_FIXED64):
            out->time_ns = field.value;
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            out->name = field.bytes;
            break;
        case WIRE_TAG(4, WIRE_VARINT):
            out->dropped_attrs = (uint32_t)field.value;
            break;
        }
    }
    return got < 0 ? -1 : 1;
}

static void id_copy(struct str id, uint8_t *out, size_t len)
{
    if (id.len == len)
        memcpy(out, id.ptr, len);
}

int link_next(const uint8_t **at, const uint8_t *end, struct link_view *out)
{
    struct str message, trace_id = STR(""), span_id = STR("");
    struct wire_field field;
    int got = message_next(at, end, 13, &message);

    if (got != 1)
        return got;
    *out = (struct link_view){ .trace_state = STR(""), .message = message };
    const uint8_t *p = wire_begin(message), *stop = wire_end(message);
    while ((got = wire_next(&p, stop, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(1, WIRE_BYTES):
            trace_id = field.bytes;
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            span_id = field.bytes;
            break;
        case WIRE_TAG(3, WIRE_BYTES):
            out->trace_state = field.bytes;
            break;
        case WIRE_TAG(5, WIRE_VARINT):
            out->dropped_attrs = (uint32_t)field.value;
            break;
        case WIRE_TAG(6, WIRE_FIXED32):
            out->flags = (uint32_t)field.value;
            break;
        }
    }
    id_copy(trace_id, out->trace_id, sizeof out->trace_id);
    id_copy(span_id, out->span_id, sizeof out->span_id);
    return got < 0 ? -1 : 1;
}

/* --- text --------------------------------------------- */

#define TEXT_DEPTH_MAX 64 /* what json_writer nests; a value that was accepted never reaches it */

static void value_json(struct json_writer *w, const struct value *value);

static void array_json(struct json_writer *w, struct str array)
{
    const uint8_t *at = wire_begin(array), *end = wire_end(array);
    struct str message;

    json_array(w);
    while (message_next(&at, end, 1, &message) == 1) {
        struct value item = { .type = VALUE_EMPTY };
        bool odd;
        if (any_value_take(message, &item, &odd) < 0)
            item.type = VALUE_EMPTY;
        value_json(w, &item);
    }
    json_array_end(w);
}

static void kvlist_json(struct json_writer *w, struct str kvlist)
{
    const uint8_t *at = wire_begin(kvlist), *end = wire_end(kvlist);
    struct attr attr;

    json_object(w);
    while (attr_next(&at, end, 1, &attr) == 1) {
        json_key(w, attr.key);
        struct value item = value_plain(&attr.value);
        value_json(w, &item);
    }
    json_object_end(w);
}

static void value_json(struct json_writer *w, const struct value *value)
{
    bool is_nested = value->type == VALUE_ARRAY || value->type == VALUE_KVLIST;

    if (is_nested && w->depth >= TEXT_DEPTH_MAX) {
        json_put_null(w);
        return;
    }
    switch (value->type) {
    case VALUE_STRING:
        json_put_str(w, value->str);
        break;
    case VALUE_BOOL:
        json_put_bool(w, value->b);
        break;
    case VALUE_INT:
        json_put_i64(w, value->i);
        break;
    case VALUE_DOUBLE:
        json_put_double(w, value->d);
        break;
    case VALUE_BYTES:
        json_put_base64(w, value->str.ptr, value->str.len);
        break;
    case VALUE_ARRAY:
        array_json(w, value->raw);
        break;
    case VALUE_KVLIST:
        kvlist_json(w, value->raw);
        break;
    default:
        json_put_null(w);
    }
}

static void double_text(struct buf *out, double d)
{
    struct json_writer w;

    if (isnan(d)) {
        buf_put_text(out, "NaN");
    } else if (isinf(d)) {
        buf_put_text(out, d < 0 ? "-Infinity" : "Infinity");
    } else {
        json_writer_init(&w, out, 0);
        json_put_double(&w, d);
    }
}

void value_text(struct buf *out, const struct value *value)
{
    struct value plain = value_plain(value);
    struct json_writer w;

    switch (plain.type) {
    case VALUE_EMPTY:
        break;
    case VALUE_STRING:
        utf8_sanitize(out, plain.str);
        break;
    case VALUE_BYTES:
        base64_encode(out, plain.str.ptr, plain.str.len, true);
        break;
    case VALUE_DOUBLE:
        double_text(out, plain.d);
        break;
    default:
        json_writer_init(&w, out, 0);
        value_json(&w, &plain);
    }
}

const char *span_kind_name(int32_t kind)
{
    static const char *const names[] = {
        "", "internal", "server", "client", "producer", "consumer"
    };

    return kind >= 0 && (size_t)kind < MG_COUNT(names) ? names[kind] : "";
}

bool trace_id_parse(struct str text, uint8_t out[16])
{
    static const uint8_t zero[16];
    char digits[32];
    uint8_t id[16];

    if (text.len == 0 || text.len > sizeof digits)
        return false;
    memset(digits, '0', sizeof digits);
    memcpy(digits + sizeof digits - text.len, text.ptr, text.len);
    if (!hex_decode(str_n(digits, sizeof digits), id, sizeof id) ||
        memcmp(id, zero, sizeof id) == 0)
        return false;
    memcpy(out, id, sizeof id);
    return true;
}
