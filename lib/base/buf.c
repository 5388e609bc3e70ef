/* buf.c - the growing byte buffer.
 *
 * One byte more than `room` is always allocated. It lets vsnprintf end its text when the buffer is
 * exactly full, and lets buf_take hand out NUL-terminated text, without either counting against the
 * limit. After a refused append everything later is refused too, so that what the buffer holds is
 * always the beginning of what was written, never a text with a hole. */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"

#define ROOM_MIN   64
#define LIMIT_MAX  (SIZE_MAX / 4) /* doubling and the spare byte then cannot overflow */
#define DIGITS_MAX 20             /* of a 64-bit number */

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){ .limit = MG_MIN(limit, LIMIT_MAX) };
}

void buf_fini(struct buf *buf)
{
    mem_free(buf->ptr);
    *buf = (struct buf){ 0 };
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

void buf_shrink(struct buf *buf, size_t keep_bytes)
{
    buf_clear(buf);
    if (buf->room <= keep_bytes)
        return;
    mem_free(buf->ptr);
    buf->ptr = keep_bytes ? mem_alloc(keep_bytes + 1) : NULL;
    buf->room = keep_bytes;
}

/* Bytes that may still be appended. */
static size_t left_bytes(const struct buf *buf)
{
    return buf->limit > buf->len ? MG_MIN(buf->limit, LIMIT_MAX) - buf->len : 0;
}

enum mg_err buf_reserve(struct buf *buf, size_t more)
{
    assert(buf->len <= buf->room);
    if (more > left_bytes(buf))
        return MG_E_TOO_BIG;
    if (more <= buf->room - buf->len)
        return MG_OK;

    size_t room = MG_MAX(buf->room * 2, (size_t)ROOM_MIN);
    room = MG_MAX(MG_MIN(room, buf->limit), buf->len + more);
    buf->ptr = mem_grow(buf->ptr, room + 1);
    buf->room = room;
    return MG_OK;
}

char *buf_extend(struct buf *buf, size_t len)
{
    if (buf->failed || (len > buf->room - buf->len && buf_reserve(buf, len) != MG_OK) || len > left_bytes(buf)) {
        buf->failed = true;
        return NULL;
    }
    char *to = buf->ptr ? buf->ptr + buf->len : NULL;
    buf->len += len;
    return to;
}

enum mg_err buf_append(struct buf *buf, const void *bytes, size_t len)
{
    char *to = buf_extend(buf, len);

    if (len && to)
        memcpy(to, bytes, len);
    return buf_err(buf);
}

enum mg_err buf_err(const struct buf *buf)
{
    return buf->failed ? MG_E_TOO_BIG : MG_OK;
}

void buf_put(struct buf *buf, const void *bytes, size_t len)
{
    (void)!buf_append(buf, bytes, len); /* buf->failed remembers it for buf_err */
}

void buf_put_str(struct buf *buf, struct str s)
{
    buf_put(buf, s.ptr, s.len);
}

void buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_put_char(struct buf *buf, char c)
{
    buf_put(buf, &c, 1);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
    char digits[DIGITS_MAX], *p = digits + DIGITS_MAX;

    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buf_put(buf, p, (size_t)(digits + DIGITS_MAX - p));
}

void buf_put_i64(struct buf *buf, int64_t value)
{
    if (value >= 0) {
        buf_put_u64(buf, (uint64_t)value);
        return;
    }
    /* Sign and digits are one append, or a refusal could leave a lone sign behind. */
    char text[1 + DIGITS_MAX], *p = text + sizeof text;
    uint64_t magnitude = -(uint64_t)value;
    for (; magnitude; magnitude /= 10)
        *--p = (char)('0' + magnitude % 10);
    *--p = '-';
    buf_put(buf, p, (size_t)(text + sizeof text - p));
}

/* Formats into the free room. Returns the length wanted; it was written when it is <= the room. */
static size_t format_in_room(struct buf *buf, const char *format, va_list args)
{
    size_t free_bytes = buf->room - buf->len;
    char none[1];
    va_list copy;

    va_copy(copy, args);
    int wanted = buf->ptr ? vsnprintf(buf->ptr + buf->len, free_bytes + 1, format, copy)
                          : vsnprintf(none, sizeof none, format, copy);
    va_end(copy);
    assert(wanted >= 0); /* Only a broken format or 2 GiB of text give -1. */
    return (size_t)wanted;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    if (buf->failed)
        return;

    va_list args;
    va_start(args, format);
    size_t wanted = format_in_room(buf, format, args);
    bool is_written = wanted <= buf->room - buf->len;
    if (buf_reserve(buf, wanted) != MG_OK) {
        buf->failed = true;
    } else {
        if (!is_written)
            format_in_room(buf, format, args);
        buf->len += wanted;
    }
    va_end(args);
}

void buf_put_varint(struct buf *buf, uint64_t value)
{
    uint8_t bytes[10];
    uint8_t *end = put_varint(bytes, value);

    buf_put(buf, bytes, (size_t)(end - bytes));
}

char *buf_take(struct buf *buf, size_t *len)
{
    char *text = buf->ptr ? buf->ptr : mem_alloc(1);

    text[buf->len] = '\0';
    if (len)
        *len = buf->len;
    *buf = (struct buf){ .limit = buf->limit };
    return text;
}
