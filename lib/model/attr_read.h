/* attr_read.h - the quick way through a KeyValue, private to model.
 *
 * Every SDK writes key, then value, then nothing, and most values are scalars. That one form is
 * taken here; whatever else there is, malformed included, is told apart by attr_decode. */
#pragma once
#include "model/span.h"

/* The member of an AnyValue that fills [p, end) whole. */
static inline bool attr_read_scalar(const uint8_t *p, const uint8_t *end, struct value *out)
{
    uint64_t number = 0;

    switch (*p++) {
    case WIRE_TAG(1, WIRE_BYTES):
        p = wire_varint(p, end, &number);
        if (!p || number != (uint64_t)(end - p))
            return false;
        out->type = VALUE_STRING;
        out->str = str_n(p, (size_t)number);
        return true;
    case WIRE_TAG(2, WIRE_VARINT):
        out->type = VALUE_BOOL;
        p = wire_varint(p, end, &number);
        out->i = 0; /* the bytes beside the bool too, so that a copy is never half initialised */
        out->b = p && number != 0;
        return p == end;
    case WIRE_TAG(3, WIRE_VARINT):
        out->type = VALUE_INT;
        p = wire_varint(p, end, &number);
        out->i = p ? (int64_t)number : 0;
        return p == end;
    case WIRE_TAG(4, WIRE_FIXED64):
        if (end - p != 8)
            return false;
        out->type = VALUE_DOUBLE;
        memcpy(&out->d, p, 8);
        return true;
    default:
        return false;
    }
}

/* False: take attr_decode. *out is then undefined. */
static inline bool attr_read(struct str key_value, struct attr *out)
{
    const uint8_t *p = wire_begin(key_value), *end = wire_end(key_value);
    uint64_t len;

    if (p == end || *p != WIRE_TAG(1, WIRE_BYTES))
        return false;
    p = wire_varint(p + 1, end, &len);
    if (!p || len >= (uint64_t)(end - p))
        return false;
    out->key = str_n(p, (size_t)len);
    p += len;
    if (*p != WIRE_TAG(2, WIRE_BYTES))
        return false;
    p = wire_varint(p + 1, end, &len);
    if (!p || len == 0 || len != (uint64_t)(end - p))
        return false;
    return attr_read_scalar(p, end, &out->value);
}
