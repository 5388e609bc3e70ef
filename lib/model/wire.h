/* wire.h - walking protobuf bytes field by field, bounds-checked; the ground of every reader here.
 *
 * No allocation, no recursion. A field is a slice of the message. Groups (wire types 3/4), field
 * number 0, numbers above 2^29-1, cut fields and overlong varints are malformed. Inline: this is
 * the hot path.
 *
 * A `wire_shape` says which fields a message has. One table a message serves the checker here, the
 * JSON reader and the JSON writer (otlp_schema.h holds OTLP's). Any thread. */
#pragma once
#include "base/buf.h"
#include "base/bytes.h"
#include "base/str.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
#define WIRE_TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;     /* VARINT, FIXED64, FIXED32; else 0 */
    struct str bytes;   /* BYTES: the content; else empty */
    struct str whole;   /* tag, length and content, as received */
};

/* get_varint with the one-byte case first: tags, and nearly all lengths in telemetry. */
static inline const uint8_t *wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    if (p < end && *p < 0x80) {
        *out = *p;
        return p + 1;
    }
    return get_varint(p, end, out);
}

/* Takes the next field off *at. Returns 1: a field; 0: the end; -1: malformed. */
__attribute__((always_inline)) static inline int wire_next(const uint8_t **at, const uint8_t *end,
                                                           struct wire_field *field)
{
    const uint8_t *start = *at;
    const uint8_t *p = start;
    uint64_t tag;

    if (p == end)
        return 0;
    field->value = 0;
    field->bytes = str_n(NULL, 0);
    p = wire_varint(p, end, &tag);
    if (!p || tag > UINT32_MAX)
        return -1;
    field->number = (uint32_t)(tag >> 3);
    if (field->number == 0)
        return -1;
    switch (tag & 7) {
    case WIRE_VARINT:
        p = wire_varint(p, end, &field->value);
        if (!p)
            return -1;
        break;
    case WIRE_FIXED64:
        if (end - p < 8)
            return -1;
        field->value = get_le64(p);
        p += 8;
        break;
    case WIRE_FIXED32:
        if (end - p < 4)
            return -1;
        field->value = get_le32(p);
        p += 4;
        break;
    case WIRE_BYTES: {
        uint64_t len;
        p = wire_varint(p, end, &len);
        if (!p || len > (uint64_t)(end - p))
            return -1;
        field->bytes = str_n(p, (size_t)len);
        p += len;
        break;
    }
    default:
        return -1;
    }
    field->type = (enum wire_type)(tag & 7);
    field->whole = str_n(start, (size_t)(p - start));
    *at = p;
    return 1;
}
/* A slice of text as bounds for wire_next. */
static inline const uint8_t *wire_begin(struct str s) { return (const uint8_t *)s.ptr; }
static inline const uint8_t *wire_end(struct str s)
{
    return s.len ? (const uint8_t *)s.ptr + s.len : (const uint8_t *)s.ptr;
}

/* --- shapes --------------------------------------------- */
enum wire_kind {
    WIRE_KIND_NONE, /* a reserved number: treated as unknown */
    WIRE_KIND_MESSAGE, WIRE_KIND_STRING, WIRE_KIND_BYTES,
    WIRE_KIND_ID,   /* bytes that JSON writes as hex */
    WIRE_KIND_BOOL, WIRE_KIND_INT32, WIRE_KIND_INT64, WIRE_KIND_UINT32, WIRE_KIND_FIXED32,
    WIRE_KIND_FIXED64, WIRE_KIND_DOUBLE,
    WIRE_KIND_ENUM, /* int32 with names */
};
struct wire_enum {
    const char *const *names;
    uint32_t n;
}; /* names[i]: the constant's name of number i */
struct wire_shape_field {
    const char *name; /* lowerCamelCase */
    enum wire_kind kind;
    bool is_repeated;
    const struct wire_shape *message; /* MESSAGE */
    const struct wire_enum *constants; /* ENUM */
};
struct wire_shape {
    const char *name;
    const struct wire_shape_field *fields; /* [i] is number i + 1 */
    uint32_t n;
    bool is_oneof;                         /* all fields are members of one oneof (AnyValue) */
};

#define WIRE_DEPTH_MAX 128 /* largest depth wire_check takes */
enum wire_verdict { WIRE_FINE, WIRE_MALFORMED, WIRE_TOO_DEEP };

/* Checks a message and all messages in it: wire form, and wire types of known fields. `depth` is
 * how many messages may be inside each other, this one included (0 … WIRE_DEPTH_MAX). */
enum wire_verdict wire_check(struct str message, const struct wire_shape *shape,
                             unsigned depth) MG_MUST_USE;
/* The same for one field of a message of that shape; `depth` is left for messages inside. */
enum wire_verdict wire_check_field(const struct wire_field *field, const struct wire_shape *shape,
                                   unsigned depth) MG_MUST_USE;
enum wire_type wire_kind_type(enum wire_kind kind);
/* The field with that number; NULL: not known. */
static inline const struct wire_shape_field *wire_shape_find(const struct wire_shape *shape,
                                                             uint32_t number)
{
    if (number - 1 >= shape->n || shape->fields[number - 1].kind == WIRE_KIND_NONE)
        return NULL;
    return &shape->fields[number - 1];
}

/* --- writing --------------------------------------------- */
void wire_put_varint(struct buf *out, uint32_t number, uint64_t value);
void wire_put_fixed32(struct buf *out, uint32_t number, uint32_t value);
void wire_put_fixed64(struct buf *out, uint32_t number, uint64_t value);
void wire_put_bytes(struct buf *out, uint32_t number, struct str bytes);
/* A message field whose length is known only at its end: everything put between open and close is
 * its content. Nests. A failed buffer stays failed and is left alone. */
size_t wire_open(struct buf *out, uint32_t number);
void wire_close(struct buf *out, size_t mark);
