/* json_write.c - one bit a level remembers whether a comma is due, so the writer needs no stack and
 * no memory of its own. Strings go out in runs: the longest piece that needs nothing is one append,
 * and is looked for in eight bytes at once. */
#include "codec/json_write.h"
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "codec/base64.h"
#include "codec/utf8.h"

#define DEPTH_MAX 64

void json_writer_init(struct json_writer *w, struct buf *out, unsigned indent)
{
    *w = (struct json_writer){.out = out, .indent = indent};
}

static void new_line(struct json_writer *w)
{
    static const char spaces[] = "                                "; /* 32 */
    if (w->indent == 0)
        return;
    buf_put_char(w->out, '\n');
    for (size_t left = (size_t)w->indent * w->depth, n; left > 0; left -= n) {
        n = MG_MIN(left, sizeof spaces - 1);
        buf_put(w->out, spaces, n);
    }
}

/* What stands in front of a key or of an item. */
static void separate(struct json_writer *w)
{
    if (w->depth == 0)
        return;
    uint64_t bit = UINT64_C(1) << (w->depth - 1);
    if (w->has_items & bit)
        buf_put_char(w->out, ',');
    w->has_items |= bit;
    new_line(w);
}

static void before_value(struct json_writer *w)
{
    if (!w->after_key)
        separate(w);
    w->after_key = false;
}

static void open_level(struct json_writer *w, char bracket)
{
    assert(w->depth < DEPTH_MAX);
    before_value(w);
    buf_put_char(w->out, bracket);
    w->depth++;
    w->has_items &= ~(UINT64_C(1) << (w->depth - 1));
}

static void close_level(struct json_writer *w, char bracket)
{
    assert(w->depth > 0 && !w->after_key);
    bool had_items = w->has_items >> (w->depth - 1) & 1;
    w->depth--;
    if (had_items)
        new_line(w);
    buf_put_char(w->out, bracket);
}

void json_object(struct json_writer *w)
{
    open_level(w, '{');
}

void json_object_end(struct json_writer *w)
{
    close_level(w, '}');
}

void json_array(struct json_writer *w)
{
    open_level(w, '[');
}

void json_array_end(struct json_writer *w)
{
    close_level(w, ']');
}

void json_key(struct json_writer *w, struct str key)
{
    assert(w->depth > 0 && !w->after_key);
    separate(w);
    json_escape(w->out, key);
    buf_put_char(w->out, ':');
    if (w->indent > 0)
        buf_put_char(w->out, ' ');
    w->after_key = true;
}

/* The letter behind the backslash, 'u' for the long form, 0 for bytes that stand for themselves.
 * Bytes of 80 and above are looked at as UTF-8. */
static uint8_t escape_of(uint8_t byte)
{
    static const uint8_t escapes[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
    };
    if (byte >= 0x20)
        return byte == '"' || byte == '\\' ? byte : 0;
    return escapes[byte] ? escapes[byte] : 'u';
}

static void put_escape(struct buf *out, uint8_t byte, uint8_t escape)
{
    static const char digits[] = "0123456789abcdef";
    if (escape != 'u') {
        buf_put(out, (char[]){'\\', (char)escape}, 2);
        return;
    }
    buf_put(out, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
}

/* ASCII at the front that stands for itself. */
static size_t ascii_run(const uint8_t *p, size_t len)
{
    size_t i = 0;
    for (; len - i >= 8; i += 8) {
        uint64_t stops = json_stops8(p + i);
        if (stops)
            return i + (size_t)__builtin_ctzll(stops) / 8;
    }
    while (i < len && p[i] < 0x80 && !escape_of(p[i]))
        i++;
    return i;
}

/* Bytes at the front that stand for themselves. Sets what stopped it: an escape, or 0 for a bad
 * sequence of *bad bytes, or for the end when that is 0 too. */
static size_t plain_run(const uint8_t *p, size_t len, uint8_t *escape, size_t *bad)
{
    *bad = 0;
    *escape = 0;
    for (size_t i = 0;;) {
        i += ascii_run(p + i, len - i);
        if (i == len)
            return i;
        if (p[i] < 0x80) {
            *escape = escape_of(p[i]);
            return i;
        }
        while (i < len && p[i] >= 0x80) { /* a text that is not English stays here */
            bool valid;
            size_t n = utf8_sequence(p + i, len - i, &valid);
            if (!valid) {
                *bad = n;
                return i;
            }
            i += n;
        }
    }
}

void json_escape(struct buf *out, struct str value)
{
    const uint8_t *p = (const uint8_t *)value.ptr;
    size_t left = value.len;
    buf_put_char(out, '"');
    while (left > 0) {
        uint8_t escape;
        size_t bad, run = plain_run(p, left, &escape, &bad);
        if (run > 0)
            buf_put(out, p, run);
        if (escape)
            put_escape(out, p[run], escape);
        else if (bad > 0)
            buf_put_str(out, STR("\xef\xbf\xbd"));
        run += escape ? 1 : bad;
        p += run;
        left -= run;
    }
    buf_put_char(out, '"');
}

void json_put_str(struct json_writer *w, struct str value)
{
    before_value(w);
    json_escape(w->out, value);
}

void json_put_u64(struct json_writer *w, uint64_t value)
{
    before_value(w);
    buf_put_u64(w->out, value);
}

void json_put_i64(struct json_writer *w, int64_t value)
{
    before_value(w);
    buf_put_i64(w->out, value);
}

void json_put_u64_text(struct json_writer *w, uint64_t value)
{
    before_value(w);
    buf_put_char(w->out, '"');
    buf_put_u64(w->out, value);
    buf_put_char(w->out, '"');
}

void json_put_i64_text(struct json_writer *w, int64_t value)
{
    before_value(w);
    buf_put_char(w->out, '"');
    buf_put_i64(w->out, value);
    buf_put_char(w->out, '"');
}

/* 15 digits always survive a double, 17 always tell it; only subnormals may need fewer than 15
 * while
 * %.15g prints digits they do not have. */
static void put_shortest(struct buf *out, double value)
{
    char text[48]; /* more than %.17g ever writes */
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value)
            break;
    }
    buf_put_text(out, text);
}

void json_put_double(struct json_writer *w, double value)
{
    before_value(w);
    if (isnan(value))
        buf_put_text(w->out, "\"NaN\"");
    else if (isinf(value))
        buf_put_text(w->out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else if (fabs(value) < 1e15 && value == (double)(int64_t)value &&
             !(value == 0 && signbit(value)))
        buf_put_i64(w->out, (int64_t)value); /* most measurements; -0 keeps its sign below */
    else
        put_shortest(w->out, value);
}

void json_put_bool(struct json_writer *w, bool value)
{
    before_value(w);
    buf_put_text(w->out, value ? "true" : "false");
}

void json_put_null(struct json_writer *w)
{
    before_value(w);
    buf_put_str(w->out, STR("null"));
}

void json_put_hex(struct json_writer *w, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    char piece[128];
    before_value(w);
    buf_put_char(w->out, '"');
    for (size_t n; len > 0; len -= n, p += n) {
        n = MG_MIN(len, sizeof piece / 2);
        hex_encode(p, n, piece);
        buf_put(w->out, piece, 2 * n);
    }
    buf_put_char(w->out, '"');
}

void json_put_base64(struct json_writer *w, const void *bytes, size_t len)
{
    before_value(w);
    buf_put_char(w->out, '"');
    base64_encode(w->out, bytes, len, true);
    buf_put_char(w->out, '"');
}

void json_put_raw(struct json_writer *w, struct str json)
{
    before_value(w);
    buf_put_str(w->out, json);
}
