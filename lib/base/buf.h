/* buf.h - a growing byte buffer with a hard largest size.
 *
 * Created with its limit; an append beyond it writes nothing, marks the buffer failed, and the
 * MG_MUST_USE calls answer E_TOO_BIG. The void "put" calls are for writers that check buf_err once
 * at the end. What is appended after a refusal is refused too, so the buffer always holds the
 * beginning of what was written. Memory belongs to the buffer until buf_fini or buf_take.
 * One thread. */
#pragma once
#include <stdarg.h>
#include "base/str.h"

struct buf {
    char *ptr;
    size_t len;   /* bytes used */
    size_t room;  /* bytes allocated */
    size_t limit; /* bytes; 0 in zeroed memory: nothing may be appended */
    bool failed;  /* an append was refused */
};

void buf_init(struct buf *buf, size_t limit);
void buf_fini(struct buf *buf); /* zeroed memory is fine */
void buf_clear(struct buf *buf);   /* keeps the memory, clears failed */
void buf_shrink(struct buf *buf, size_t keep_bytes); /* clears; frees memory above keep_bytes */
/* Makes room for `more` bytes past len, for a caller that writes there itself; a refusal is not
 * remembered. */
enum mg_err buf_reserve(struct buf *buf, size_t more) MG_MUST_USE;
enum mg_err buf_append(struct buf *buf, const void *bytes, size_t len) MG_MUST_USE;
enum mg_err buf_err(const struct buf *buf) MG_MUST_USE; /* E_TOO_BIG when an append was refused */

/* `len` bytes more, for the caller to fill at once; NULL: an append of them was refused, and is remembered;
 * or there were none. */
char *buf_extend(struct buf *buf, size_t len);
void buf_put(struct buf *buf, const void *bytes, size_t len);
void buf_put_str(struct buf *buf, struct str s);
void buf_put_text(struct buf *buf, const char *text);
void buf_put_char(struct buf *buf, char c);
void buf_put_u64(struct buf *buf, uint64_t value); /* decimal */
void buf_put_i64(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_put_varint(struct buf *buf, uint64_t value); /* LEB128, protobuf's varint */
static inline struct str buf_str(const struct buf *buf)
{
    return (struct str){ buf->ptr ? buf->ptr : "", buf->len };
}
/* Takes the memory out of the buffer (mem_free), NUL-terminated (not counted); *len may be NULL.
 * The buffer is empty afterwards and keeps its limit. */
char *buf_take(struct buf *buf, size_t *len);
