/* thrift.c - see thrift.h.
 *
 * The encodings differ in a handful of primitives: integers, lengths, doubles and the three
 * headers. Each of these asks is_compact; everything above them is common.
 *
 * Every element of a container takes at least one byte, so a count that is larger than what is left
 * is wrong, and a huge one costs nothing. Skipping recurses; its depth is counted together with the
 * structs that the caller entered. */
#include "model/thrift.h"

#include <assert.h>

__attribute__((cold, noinline)) static void fail(struct thrift_reader *r, const char *error)
{
    if (!r->error)
        r->error = error;
}

void thrift_init(struct thrift_reader *r, bool is_compact, struct str bytes)
{
    *r = (struct thrift_reader){ .is_compact = is_compact };
    r->begin = r->at = (const uint8_t *)bytes.ptr;
    r->end = bytes.len ? r->at + bytes.len : r->at;
}

/* --- primitives --------------------------------------------- */

static inline size_t left(const struct thrift_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* The next n bytes; NULL when they are not there. */
static inline const uint8_t *take(struct thrift_reader *r, size_t n)
{
    const uint8_t *bytes = r->at;

    if (left(r) < n) {
        fail(r, "the data is cut off");
        return NULL;
    }
    if (r->error)
        return NULL;
    if (n)
        r->at += n;
    return bytes;
}

static inline uint8_t take_byte(struct thrift_reader *r)
{
    const uint8_t *byte = take(r, 1);

    return byte ? *byte : 0;
}

static inline uint64_t take_varint(struct thrift_reader *r, uint64_t max)
{
    uint64_t value = 0;

    if (r->error)
        return 0;
    const uint8_t *next = get_varint(r->at, r->end, &value);
    if (!next || value > max) {
        fail(r, next ? "a number is out of range"
                     : "the data is cut off in a number, or the number is too long");
        return 0;
    }
    r->at = next;
    return value;
}

/* A signed number of 16, 32 or 64 bits. */
static inline int64_t take_number(struct thrift_reader *r, unsigned bits)
{
    if (r->is_compact)
        return unzigzag(take_varint(r, UINT64_MAX >> (64 - bits)));
    const uint8_t *bytes = take(r, bits / 8);
    if (!bytes)
        return 0;
    if (bits == 16)
        return (int16_t)get_be16(bytes);
    return bits == 32 ? (int64_t)(int32_t)get_be32(bytes) : (int64_t)get_be64(bytes);
}

/* A length or a count, in the form that both have. */
static inline uint32_t take_count(struct thrift_reader *r, size_t element_bytes)
{
    int64_t n = r->is_compact ? (int64_t)take_varint(r, INT32_MAX) : take_number(r, 32);

    if (r->error)
        return 0;
    if (n < 0 || (uint64_t)n > left(r) / element_bytes) {
        fail(r, "a length is larger than the data");
        return 0;
    }
    return (uint32_t)n;
}

bool thrift_bool(struct thrift_reader *r)
{
    if (r->has_bool) {
        r->has_bool = false;
        return r->bool_value;
    }
    uint8_t byte = take_byte(r);
    return r->is_compact ? byte == 1 : byte != 0;
}

double thrift_double(struct thrift_reader *r)
{
    const uint8_t *bytes = take(r, 8);
    double value = 0;

    if (!bytes)
        return 0;
    uint64_t bits = r->is_compact ? get_le64(bytes) : get_be64(bytes);
    memcpy(&value, &bits, sizeof value);
    return value;
}

int32_t thrift_i32(struct thrift_reader *r)
{
    return (int32_t)take_number(r, 32);
}

int64_t thrift_i64_any(struct thrift_reader *r)
{
    return take_number(r, 64);
}

struct str thrift_string_any(struct thrift_reader *r)
{
    uint32_t len = take_count(r, 1);
    const uint8_t *bytes = take(r, len);

    return bytes ? str_n(bytes, len) : STR("");
}

/* --- types --------------------------------------------- */

static inline enum thrift_type binary_type(struct thrift_reader *r, unsigned code)
{
    switch (code) {
    case THRIFT_STOP:
    case THRIFT_BOOL:
    case THRIFT_BYTE:
    case THRIFT_DOUBLE:
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
    case THRIFT_STRING:
    case THRIFT_STRUCT:
    case THRIFT_MAP:
    case THRIFT_SET:
    case THRIFT_LIST:
        return (enum thrift_type)code;
    default:
        fail(r, "a type is not known");
        return THRIFT_STOP;
    }
}

static enum thrift_type compact_type(struct thrift_reader *r, unsigned code)
{
    static const uint8_t types[] = {
        THRIFT_STOP, THRIFT_BOOL, THRIFT_BOOL,   THRIFT_BYTE,   THRIFT_I16,
        THRIFT_I32,  THRIFT_I64,  THRIFT_DOUBLE, THRIFT_STRING, THRIFT_LIST,
        THRIFT_SET,  THRIFT_MAP,  THRIFT_STRUCT,
    };

    if (code < sizeof types)
        return (enum thrift_type)types[code];
    fail(r, "a type is not known");
    return THRIFT_STOP;
}

static enum thrift_type element_type(struct thrift_reader *r, unsigned code)
{
    return r->is_compact ? compact_type(r, code) : binary_type(r, code);
}

/* The fewest bytes that a value of that type takes. */
static size_t type_bytes(const struct thrift_reader *r, enum thrift_type type)
{
    switch (type) {
    case THRIFT_DOUBLE:
        return 8;
    case THRIFT_I16:
        return r->is_compact ? 1 : 2;
    case THRIFT_I32:
    case THRIFT_STRING:
        return r->is_compact ? 1 : 4;
    case THRIFT_I64:
        return r->is_compact ? 1 : 8;
    default:
        return 1;
    }
}

/* --- messages, structs, lists --------------------------------------------- */

static struct thrift_message compact_message(struct thrift_reader *r)
{
    struct thrift_message message = { STR(""), 0 };

    if (take_byte(r) != 0x82)
        fail(r, "this is no message of TCompactProtocol: it begins with another byte than 0x82");
    uint8_t byte = take_byte(r);
    if (!r->error && (byte & 31) != 1)
        fail(r, "a version of TCompactProtocol other than 1");
    message.type = byte >> 5;
    (void)take_varint(r, UINT64_MAX); /* seqid: nothing is answered */
    message.name = thrift_string(r);
    return message;
}

static struct thrift_message binary_message(struct thrift_reader *r)
{
    struct thrift_message message = { STR(""), 0 };
    int32_t head = thrift_i32(r);

    if (head < 0) {
        if (((uint32_t)head & 0xffff0000) != 0x80010000)
            fail(r, "a version of TBinaryProtocol other than 1");
        message.type = (uint32_t)head & 0xff;
        message.name = thrift_string(r);
    } else { /* the old header begins with the length of the name */
        const uint8_t *name = take(r, (uint32_t)head);
        message.name = name ? str_n(name, (uint32_t)head) : STR("");
        message.type = take_byte(r);
    }
    (void)thrift_i32(r); /* seqid */
    return message;
}

struct thrift_message thrift_message(struct thrift_reader *r)
{
    return r->is_compact ? compact_message(r) : binary_message(r);
}

static bool enter(struct thrift_reader *r)
{
    if (!r->error && r->depth == THRIFT_DEPTH_MAX)
        fail(r, "more than 64 structs and lists inside each other");
    if (r->error)
        return false;
    r->last_ids[r->depth++] = 0;
    return true;
}

void thrift_struct(struct thrift_reader *r)
{
    (void)enter(r); /* r->error says it */
}

/* Number and type, number 0 and STOP at the end. */
static struct thrift_field compact_field(struct thrift_reader *r)
{
    uint8_t byte = take_byte(r);
    int16_t *last = &r->last_ids[r->depth - 1];
    struct thrift_field field = { 0, compact_type(r, byte & 15) };

    if (field.type == THRIFT_STOP) {
        if (byte)
            fail(r, "a field has no type");
        return field;
    }
    int64_t id = byte >> 4 ? *last + (byte >> 4) : take_number(r, 16);
    if (id > INT16_MAX)
        fail(r, "the number of a field is out of range");
    field.id = *last = (int16_t)id;
    if (field.type == THRIFT_BOOL) {
        r->has_bool = true;
        r->bool_value = (byte & 15) == 1;
    }
    return field;
}

bool thrift_field_any(struct thrift_reader *r, struct thrift_field *out)
{
    if (r->error)
        return false;
    assert(r->depth > 0);
    if (r->is_compact) {
        *out = compact_field(r);
    } else {
        out->type = binary_type(r, take_byte(r));
        out->id = out->type == THRIFT_STOP ? 0 : (int16_t)take_number(r, 16);
    }
    if (r->error)
        return false;
    if (out->type != THRIFT_STOP)
        return true;
    r->depth--;
    return false;
}

struct thrift_list thrift_list_any(struct thrift_reader *r)
{
    struct thrift_list list = { THRIFT_STOP, 0 };
    uint8_t byte = take_byte(r);

    if (r->error)
        return list;
    list.type = element_type(r, r->is_compact ? byte & 15 : byte);
    size_t bytes = type_bytes(r, list.type);
    list.n = r->is_compact && byte >> 4 < 15 ? byte >> 4 : take_count(r, bytes);
    if (list.n > left(r) / bytes)
        fail(r, "a length is larger than the data");
    if (list.n && list.type == THRIFT_STOP) /* some write an empty list without a type */
        fail(r, "a list has no type");
    if (r->error)
        list.n = 0;
    return list;
}

/* --- skipping --------------------------------------------- */

static void skip_list(struct thrift_reader *r)
{
    struct thrift_list list = thrift_list(r);

    if (!enter(r))
        return;
    for (uint32_t i = 0; i < list.n && !r->error; i++)
        thrift_skip(r, list.type);
    r->depth--;
}

static void skip_map(struct thrift_reader *r)
{
    enum thrift_type key, value;
    uint32_t n;

    if (r->is_compact) {
        n = take_count(r, 1);
        if (n == 0) /* an empty map has no types */
            return;
        uint8_t types = take_byte(r);
        key = element_type(r, types >> 4);
        value = element_type(r, types & 15);
    } else {
        key = element_type(r, take_byte(r));
        value = element_type(r, take_byte(r));
        n = take_count(r, 1);
    }
    if (n && (key == THRIFT_STOP || value == THRIFT_STOP))
        fail(r, "a map has no types");
    if (!enter(r))
        return;
    for (uint32_t i = 0; i < n && !r->error; i++) {
        thrift_skip(r, key);
        thrift_skip(r, value);
    }
    r->depth--;
}

static void skip_struct(struct thrift_reader *r)
{
    struct thrift_field field;

    thrift_struct(r);
    while (thrift_field(r, &field))
        thrift_skip(r, field.type);
}

void thrift_skip(struct thrift_reader *r, enum thrift_type type)
{
    switch (type) {
    case THRIFT_BOOL:
        (void)thrift_bool(r);
        break;
    case THRIFT_BYTE:
        (void)take_byte(r);
        break;
    case THRIFT_DOUBLE:
        (void)thrift_double(r);
        break;
    case THRIFT_I16:
        (void)take_number(r, 16);
        break;
    case THRIFT_I32:
        (void)take_number(r, 32);
        break;
    case THRIFT_I64:
        (void)take_number(r, 64);
        break;
    case THRIFT_STRING:
        (void)thrift_string(r);
        break;
    case THRIFT_STRUCT:
        skip_struct(r);
        break;
    case THRIFT_MAP:
        skip_map(r);
        break;
    case THRIFT_SET:
    case THRIFT_LIST:
        skip_list(r);
        break;
    case THRIFT_STOP:
        break;
    }
}
