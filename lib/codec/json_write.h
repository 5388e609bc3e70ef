/* json_write.h - streaming JSON writer into a struct buf; commas and nesting are its business.
 *
 * Strings are always valid UTF-8 on output: bad sequences become U+FFFD. Doubles are written
 * shortest that reads back the same ("%.17g" tightened); NaN and infinities as the strings "NaN",
 * "Infinity", "-Infinity" (OTLP/JSON's rule). Depth ≤ 64 (asserted). Errors: those of the buf (check
 * buf_err). */
#pragma once
#include "base/buf.h"
#include "base/bytes.h"

struct json_writer {
    struct buf *out;
    unsigned indent;      /* spaces a level; 0: compact */
    unsigned depth;
    uint64_t has_items;   /* one bit a level: something was written there */
    bool after_key;
};
void json_writer_init(struct json_writer *w, struct buf *out, unsigned indent);
/* The linker knows these two under another name: jansson, which is in the same program, exports
 * functions with these names, and would call ours instead of its own. */
void json_object(struct json_writer *w) __asm__("mg_json_object");
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w) __asm__("mg_json_array");
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, struct str key);
#define json_key_text(w, literal) json_key((w), STR(literal))
void json_put_str(struct json_writer *w, struct str value);
void json_put_u64(struct json_writer *w, uint64_t value);
void json_put_i64(struct json_writer *w, int64_t value);
/* "123": 64-bit integers in OTLP/JSON. */
void json_put_u64_text(struct json_writer *w, uint64_t value);
void json_put_i64_text(struct json_writer *w, int64_t value);
void json_put_double(struct json_writer *w, double value);
void json_put_bool(struct json_writer *w, bool value);
void json_put_null(struct json_writer *w);
void json_put_hex(struct json_writer *w, const void *bytes, size_t len);
void json_put_base64(struct json_writer *w, const void *bytes, size_t len);
void json_put_raw(struct json_writer *w, struct str json); /* trusted, already JSON */
/* Of eight bytes of a string: 0 when all are ASCII that stands for itself; else the lowest bit that is set is the highest of the first
 * byte that is not. */
static inline uint64_t json_stops8(const void *bytes)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word = get_le64(bytes), quote = word ^ ones * '"', slash = word ^ ones * '\\';

    return (word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) & highs;
}
/* Only the escaped string with its quotes, for writers of other formats. */
void json_escape(struct buf *out, struct str value);
