/* otlp_json_write.c - protobuf bytes to OTLP/JSON, by the shapes of otlp_schema.h.
 *
 * A span is first written as protobuf (otlp_write) and then told as JSON message by message. That
 * costs a copy, and in exchange one small walker is right for every message there is, also for
 * parts that stayed in wire form, repeated singular messages and fields out of order.
 *
 * What JSON cannot carry - unknown fields, strings that are not UTF-8, NaNs with a payload - goes
 * into "meshglass.unknown" of its message as protobuf; the reader puts it behind the named fields,
 * where it wins. Repeated strings that are not UTF-8 are the exception: they are shown with U+FFFD
 * only.
 *
 * json_writer nests 64 levels, an accepted value can need more: a deep value gets a writer of its
 * own over the same buffer. */
#include "model/otlp_json.h"

#include <math.h>
#include "codec/utf8.h"
#include "model/otlp_schema.h"
#include "model/otlp_write.h"

#define WRITER_DEPTH                                                                               \
    56 /* a message needs up to three levels before the next one can change writers */

static void message_put(struct json_writer *w, struct str message, const struct wire_shape *shape);

static uint64_t nan_bits(void)
{
    double quiet = NAN;
    uint64_t bits;

    memcpy(&bits, &quiet, sizeof bits);
    return bits;
}

static bool can_be_lossy(const struct wire_shape_field *known)
{
    return !known->is_repeated &&
           (known->kind == WIRE_KIND_STRING || known->kind == WIRE_KIND_DOUBLE);
}

/* JSON cannot say this value, or not exactly. */
static bool is_lossy(const struct wire_field *field, enum wire_kind kind)
{
    double d;

    if (kind == WIRE_KIND_STRING)
        return !utf8_valid(field->bytes.ptr, field->bytes.len);
    memcpy(&d, &field->value, sizeof d);
    return isnan(d) && field->value != nan_bits();
}

static void scalar_put(struct json_writer *w, const struct wire_field *field, enum wire_kind kind)
{
    double d;

    switch (kind) {
    case WIRE_KIND_STRING:
        json_put_str(w, field->bytes);
        break;
    case WIRE_KIND_BYTES:
        json_put_base64(w, field->bytes.ptr, field->bytes.len);
        break;
    case WIRE_KIND_ID:
        json_put_hex(w, field->bytes.ptr, field->bytes.len);
        break;
    case WIRE_KIND_BOOL:
        json_put_bool(w, field->value != 0);
        break;
    case WIRE_KIND_INT32:
    case WIRE_KIND_ENUM:
        json_put_i64(w, (int32_t)field->value);
        break;
    case WIRE_KIND_UINT32:
    case WIRE_KIND_FIXED32:
        json_put_u64(w, (uint32_t)field->value);
        break;
    case WIRE_KIND_INT64:
        json_put_i64_text(w, (int64_t)field->value);
        break;
    case WIRE_KIND_FIXED64:
        json_put_u64_text(w, field->value);
        break;
    case WIRE_KIND_DOUBLE:
        memcpy(&d, &field->value, sizeof d);
        json_put_double(w, d);
        break;
    case WIRE_KIND_MESSAGE:
    case WIRE_KIND_NONE:
        break;
    }
}

static void value_put(struct json_writer *w, const struct wire_field *field,
                      const struct wire_shape_field *known)
{
    if (known->kind == WIRE_KIND_MESSAGE)
        message_put(w, field->bytes, known->message);
    else
        scalar_put(w, field, known->kind);
}

/* --- finding a field in a message --------------------------------------------- */

struct found {
    struct wire_field last;
    uint32_t n;
};

static void field_find(struct str message, uint32_t number, struct found *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    out->n = 0;
    while (wire_next(&at, end, &field) == 1)
        if (field.number == number) {
            out->last = field;
            out->n++;
        }
}

/* The oneof member that counts, and the part of the message from where its last run begins. */
static uint32_t member_find(struct str *message, const struct wire_shape *shape)
{
    const uint8_t *at = wire_begin(*message), *end = wire_end(*message);
    struct str rest = *message;
    struct wire_field field;
    uint32_t member = 0;

    while (wire_next(&at, end, &field) == 1) {
        if (!wire_shape_find(shape, field.number) || field.number == member)
            continue;
        member = field.number;
        rest = str_n(field.whole.ptr, (size_t)((const char *)end - field.whole.ptr));
    }
    *message = rest;
    return member;
}

static bool is_default(const struct wire_field *field)
{
    return field->type == WIRE_BYTES ? field->bytes.len == 0 : field->value == 0;
}

/* --- messages --------------------------------------------- */

static void list_put(struct json_writer *w, struct str message, uint32_t number,
                     const struct wire_shape_field *known)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    json_array(w);
    while (wire_next(&at, end, &field) == 1)
        if (field.number == number)
            value_put(w, &field, known);
    json_array_end(w);
}

/* A singular message that was given several times is the merge of all, which is their
 * concatenation. */
static void merged_put(struct json_writer *w, struct str message, uint32_t number,
                       const struct wire_shape *shape)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    MG_AUTO(buf_fini) struct buf merged;
    struct wire_field field;

    buf_init(&merged, message.len);
    while (wire_next(&at, end, &field) == 1)
        if (field.number == number)
            buf_put_str(&merged, field.bytes);
    message_put(w, buf_str(&merged), shape);
}

static void field_put(struct json_writer *w, struct str message, uint32_t number,
                      const struct wire_shape *shape)
{
    const struct wire_shape_field *known = wire_shape_find(shape, number);
    struct found found;

    if (!known)
        return;
    field_find(message, number, &found);
    if (found.n == 0)
        return;
    bool is_message = known->kind == WIRE_KIND_MESSAGE;
    if (!known->is_repeated && !is_message && !shape->is_oneof && is_default(&found.last))
        return;
    json_key(w, str_of(known->name));
    if (known->is_repeated)
        list_put(w, message, number, known);
    else if (is_message && found.n > 1)
        merged_put(w, message, number, known->message);
    else
        value_put(w, &found.last, known);
}

static void unknown_key_put(struct json_writer *w, struct str bytes)
{
    if (!bytes.len)
        return;
    json_key_text(w, "meshglass.unknown");
    json_put_base64(w, bytes.ptr, bytes.len);
}

/* `rest` and `member` are member_find's for a oneof, else the message and 0: what was overruled must
 * not come back behind its successor. For the same reason only the last of a field counts. */
static void unknown_put(struct json_writer *w, struct str message, const struct wire_shape *shape,
                        struct str rest, uint32_t member)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    MG_AUTO(buf_fini) struct buf unknown;
    struct wire_field field;
    struct found found;

    buf_init(&unknown, message.len);
    while (wire_next(&at, end, &field) == 1)
        if (!wire_shape_find(shape, field.number))
            buf_put_str(&unknown, field.whole);
    for (uint32_t number = 1; number <= shape->n; number++) {
        if (!can_be_lossy(&shape->fields[number - 1]) || (shape->is_oneof && number != member))
            continue;
        field_find(rest, number, &found);
        if (found.n && is_lossy(&found.last, shape->fields[number - 1].kind))
            buf_put_str(&unknown, found.last.whole);
    }
    unknown_key_put(w, buf_str(&unknown));
}

static void fields_put(struct json_writer *w, struct str message, const struct wire_shape *shape)
{
    struct str rest = message;
    uint32_t member = shape->is_oneof ? member_find(&rest, shape) : 0;

    json_object(w);
    for (uint32_t number = 1; number <= shape->n; number++)
        if (!shape->is_oneof || number == member)
            field_put(w, rest, number, shape);
    unknown_put(w, message, shape, rest, member);
    json_object_end(w);
}

static void message_put(struct json_writer *w, struct str message, const struct wire_shape *shape)
{
    struct json_writer deeper;

    if (w->depth < WRITER_DEPTH) {
        fields_put(w, message, shape);
        return;
    }
    json_put_raw(w, STR("")); /* the comma, and that there is a value */
    json_writer_init(&deeper, w->out, w->indent);
    fields_put(&deeper, message, shape);
}

void otlp_json_span(struct json_writer *w, const struct span *span)
{
    MG_AUTO(buf_fini) struct buf proto;

    buf_init(&proto, SIZE_MAX); /* as large as the span, which was accepted */
    otlp_write_request(&proto, &span, 1);
    if (wire_check(buf_str(&proto), &otlp_request, WIRE_DEPTH_MAX) == WIRE_FINE) {
        message_put(w, buf_str(&proto), &otlp_request);
        return;
    }
    /* A damaged part, which no scanner accepted: told as it is. This also bounds the recursion. */
    json_object(w);
    unknown_key_put(w, buf_str(&proto));
    json_object_end(w);
}
