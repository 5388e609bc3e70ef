/* thrift.h - a pull reader for Thrift's two encodings behind one face; private to model.
 *
 * Binary (TBinaryProtocol) and compact (TCompactProtocol), as Apache Thrift specifies them. Any bytes are safe: each
 * length and count is compared with the bytes left before it is believed, and no more than THRIFT_DEPTH_MAX structs and
 * containers are inside each other, skipped ones included.
 *
 * The first mistake is kept in `error`; from then on every call reads nothing, fields and lists are at their end, and
 * values are zero. So a caller reads a whole struct and asks once. Slices point into the bytes. One thread. */
#pragma once
#include "base/bytes.h"
#include "base/str.h"

#define THRIFT_DEPTH_MAX 64

enum thrift_type {
    THRIFT_STOP = 0, THRIFT_BOOL = 2, THRIFT_BYTE = 3, THRIFT_DOUBLE = 4, THRIFT_I16 = 6, THRIFT_I32 = 8,
    THRIFT_I64 = 10, THRIFT_STRING = 11, THRIFT_STRUCT = 12, THRIFT_MAP = 13, THRIFT_SET = 14, THRIFT_LIST = 15
};
enum thrift_message_type { THRIFT_CALL = 1, THRIFT_REPLY = 2, THRIFT_EXCEPTION = 3, THRIFT_ONEWAY = 4 };

struct thrift_reader {
    const uint8_t *at, *begin, *end;
    const char *error;                   /* what is wrong at `at`; NULL: nothing so far */
    bool is_compact;
    bool has_bool, bool_value;           /* compact: the value of a bool field, which stands in its type */
    unsigned depth;                      /* structs and containers entered */
    int16_t last_ids[THRIFT_DEPTH_MAX];  /* compact: the last field's number of each struct entered */
};
struct thrift_message { struct str name; unsigned type; };
struct thrift_field { int16_t id; enum thrift_type type; };
struct thrift_list { enum thrift_type type; uint32_t n; };

/* A field's number and type as one number, for a switch; field numbers may be negative. */
#define THRIFT_KEY(id, type) ((int)(id) * 16 + (int)(type))

void thrift_init(struct thrift_reader *r, bool is_compact, struct str bytes);
/* The header of a message; binary ones with and without version. */
struct thrift_message thrift_message(struct thrift_reader *r);
/* Enters a struct; then thrift_field until false, which also leaves it. */
void thrift_struct(struct thrift_reader *r);
bool thrift_field_any(struct thrift_reader *r, struct thrift_field *out); /* thrift_field's, for all cases */
struct thrift_list thrift_list_any(struct thrift_reader *r); /* thrift_list's */
bool thrift_bool(struct thrift_reader *r);
double thrift_double(struct thrift_reader *r);
int32_t thrift_i32(struct thrift_reader *r);
int64_t thrift_i64_any(struct thrift_reader *r); /* thrift_i64's */
struct str thrift_string_any(struct thrift_reader *r); /* thrift_string's */
void thrift_skip(struct thrift_reader *r, enum thrift_type type);

/* Those that are called all the time: what binary senders write all the time stands here, the rest there. */
static inline bool thrift_field(struct thrift_reader *r, struct thrift_field *out)
{
    static const uint32_t known = 1u << THRIFT_BOOL | 1u << THRIFT_BYTE | 1u << THRIFT_DOUBLE | 1u << THRIFT_I16 | 1u << THRIFT_I32 |
                                  1u << THRIFT_I64 | 1u << THRIFT_STRING | 1u << THRIFT_STRUCT | 1u << THRIFT_MAP | 1u << THRIFT_SET |
                                  1u << THRIFT_LIST;

    if (r->is_compact || r->error || r->end - r->at < 3 || *r->at > THRIFT_LIST || !(known >> *r->at & 1))
        return thrift_field_any(r, out);
    *out = (struct thrift_field){ (int16_t)get_be16(r->at + 1), (enum thrift_type)*r->at };
    r->at += 3;
    return true;
}

/* The header of a list or set; n elements of that type follow. */
static inline struct thrift_list thrift_list(struct thrift_reader *r)
{
    uint32_t n;

    if (r->is_compact || r->error || r->end - r->at < 5 || *r->at != THRIFT_STRUCT || (n = get_be32(r->at + 1)) > (size_t)(r->end - r->at - 5))
        return thrift_list_any(r);
    r->at += 5;
    return (struct thrift_list){ THRIFT_STRUCT, n };
}

static inline int64_t thrift_i64(struct thrift_reader *r)
{
    if (r->is_compact || r->error || r->end - r->at < 8)
        return thrift_i64_any(r);
    r->at += 8;
    return (int64_t)get_be64(r->at - 8);
}

static inline struct str thrift_string(struct thrift_reader *r) /* and binary */
{
    uint32_t len;

    if (r->is_compact || r->error || r->end - r->at < 4 || (len = get_be32(r->at)) > (size_t)(r->end - r->at - 4))
        return thrift_string_any(r);
    r->at += 4 + len;
    return str_n(r->at - len, len);
}
