/* wire.c - checking a message against its shape, and writing fields.
 *
 * The checker keeps the way back in an array instead of recursing: the depth of a message is the
 * sender's choice, a thread's stack is not. A message ends before the message around it, so a level
 * is no more than "where the outer one ends and what shape it has":
 *
 *     outer  |--------[ inner |------------------| ]---------|
 *                               ^ at     end ----^  levels[0].end ^
 *
 * Writing puts one byte where a length will stand, and moves the content when the length needs
 * more. Nearly all messages of telemetry are shorter than 128 bytes; measuring first would walk
 * everything twice. */
#include "model/wire.h"

#include <assert.h>

enum wire_type wire_kind_type(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_KIND_MESSAGE:
    case WIRE_KIND_STRING:
    case WIRE_KIND_BYTES:
    case WIRE_KIND_ID:
        return WIRE_BYTES;
    case WIRE_KIND_FIXED32:
        return WIRE_FIXED32;
    case WIRE_KIND_FIXED64:
    case WIRE_KIND_DOUBLE:
        return WIRE_FIXED64;
    default:
        return WIRE_VARINT;
    }
}

enum wire_verdict wire_check(struct str message, const struct wire_shape *shape, unsigned depth)
{
    struct { const uint8_t *end; const struct wire_shape *shape; } levels[WIRE_DEPTH_MAX];
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    unsigned n = 0; /* messages around the current one */
    struct wire_field field;

    assert(depth <= WIRE_DEPTH_MAX);
    if (depth == 0)
        return WIRE_TOO_DEEP;
    for (;;) {
        int got = wire_next(&at, end, &field);
        if (got < 0)
            return WIRE_MALFORMED;
        if (got == 0) {
            if (n == 0)
                return WIRE_FINE;
            n--;
            end = levels[n].end;
            shape = levels[n].shape;
            continue;
        }
        const struct wire_shape_field *known = wire_shape_find(shape, field.number);
        if (!known)
            continue;
        if (field.type != wire_kind_type(known->kind))
            return WIRE_MALFORMED;
        if (known->kind != WIRE_KIND_MESSAGE)
            continue;
        if (n + 1 >= depth)
            return WIRE_TOO_DEEP;
        levels[n].end = end;
        levels[n].shape = shape;
        n++;
        at = wire_begin(field.bytes);
        end = wire_end(field.bytes);
        shape = known->message;
    }
}

enum wire_verdict wire_check_field(const struct wire_field *field, const struct wire_shape *shape,
                                   unsigned depth)
{
    const struct wire_shape_field *known = wire_shape_find(shape, field->number);

    if (!known)
        return WIRE_FINE;
    if (field->type != wire_kind_type(known->kind))
        return WIRE_MALFORMED;
    return known->kind == WIRE_KIND_MESSAGE ? wire_check(field->bytes, known->message, depth)
                                            : WIRE_FINE;
}

void wire_put_varint(struct buf *out, uint32_t number, uint64_t value)
{
    uint8_t bytes[15], *p = put_varint(bytes, WIRE_TAG(number, WIRE_VARINT));

    p = put_varint(p, value);
    buf_put(out, bytes, (size_t)(p - bytes));
}

void wire_put_fixed32(struct buf *out, uint32_t number, uint32_t value)
{
    uint8_t bytes[9], *p = put_varint(bytes, WIRE_TAG(number, WIRE_FIXED32));

    put_le32(p, value);
    buf_put(out, bytes, (size_t)(p + 4 - bytes));
}

void wire_put_fixed64(struct buf *out, uint32_t number, uint64_t value)
{
    uint8_t bytes[13], *p = put_varint(bytes, WIRE_TAG(number, WIRE_FIXED64));

    put_le64(p, value);
    buf_put(out, bytes, (size_t)(p + 8 - bytes));
}

void wire_put_bytes(struct buf *out, uint32_t number, struct str content)
{
    uint32_t tag = WIRE_TAG(number, WIRE_BYTES);
    uint8_t *p = (uint8_t *)buf_extend(out, varint_len(tag) + varint_len(content.len) + content.len);

    if (!p)
        return;
    p = put_varint(put_varint(p, tag), content.len);
    if (content.len)
        memcpy(p, content.ptr, content.len);
}

size_t wire_open(struct buf *out, uint32_t number)
{
    uint8_t bytes[6], *p = put_varint(bytes, WIRE_TAG(number, WIRE_BYTES));

    *p++ = 0;
    buf_put(out, bytes, (size_t)(p - bytes));
    return out->len;
}

void wire_close(struct buf *out, size_t mark)
{
    if (out->failed)
        return;
    assert(mark > 0 && mark <= out->len);
    size_t len = out->len - mark;
    size_t wider = varint_len(len) - 1;

    if (wider) {
        buf_put(out, "\0\0\0\0\0\0\0\0", wider);
        if (out->failed)
            return;
        memmove(out->ptr + mark + wider, out->ptr + mark, len);
    }
    put_varint((uint8_t *)out->ptr + mark - 1, len);
}
