/* column.c - see column.h. */
#include "command/column.h"
#include "codec/utf8.h"

/* The length of the character at the front, and whether it may be shown. */
static size_t step(struct str rest, bool *is_shown)
{
    size_t n = utf8_sequence(rest.ptr, rest.len, is_shown);
    unsigned char first = (unsigned char)rest.ptr[0];

    if (n == 1 && (first < ' ' || first == 0x7f))
        *is_shown = false;
    if (n == 2 && first == 0xc2 && (unsigned char)rest.ptr[1] < 0xa0) /* C1 */
        *is_shown = false;
    return n;
}

size_t column_width(struct str text)
{
    size_t width = 0;
    bool is_shown;

    for (size_t at = 0; at < text.len; width++)
        at += step(str_n(text.ptr + at, text.len - at), &is_shown);
    return width;
}

void column_put(struct buf *out, struct str text, size_t width)
{
    size_t n, used = 0;
    bool is_shown;

    for (size_t at = 0; at < text.len; at += n, used++) {
        n = step(str_n(text.ptr + at, text.len - at), &is_shown);
        buf_put_str(out, is_shown ? str_n(text.ptr + at, n) : STR("?"));
    }
    for (; used < width; used++)
        buf_put_char(out, ' ');
}
