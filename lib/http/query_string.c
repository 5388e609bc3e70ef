/* query_string.c - decoding in one pass into memory of the encoded length.
 *
 * A pair without an escape is handed out as a slice of the query itself; only the others go through
 * the scratch buffer, which holds the key and the value of one pair at a time, so that its memory
 * does not move between the two. */
#include "http/query_string.h"

#include "http/http.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum mg_err percent_decode(struct str text, bool plus_is_space, char *out, size_t *len)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return MG_E_FORMAT;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    *len = n;
    return MG_OK;
}

static bool is_plain(struct str text)
{
    return text.len == 0 || (!memchr(text.ptr, '%', text.len) && !memchr(text.ptr, '+', text.len));
}

/* Decodes behind what the scratch buffer already holds; its room was reserved for both parts. */
static enum mg_err decode_part(struct str *part, struct buf *scratch)
{
    if (is_plain(*part))
        return MG_OK;

    char *out = scratch->ptr + scratch->len;
    size_t len;
    MG_TRY(percent_decode(*part, true, out, &len));
    scratch->len += len;
    *part = str_n(out, len);
    return MG_OK;
}

static enum mg_err decode_pair(struct str pair, struct buf *scratch, struct str *key,
                               struct str *value)
{
    struct str k, v;

    if (!str_split_at(pair, '=', &k, &v)) {
        k = pair;
        v = STR("");
    }
    buf_clear(scratch);
    if (!is_plain(pair))
        MG_TRY(buf_reserve(scratch, k.len + v.len));
    MG_TRY(decode_part(&k, scratch));
    MG_TRY(decode_part(&v, scratch));
    *key = k;
    *value = v;
    return MG_OK;
}

bool http_query_next(struct str *rest, struct buf *scratch, struct str *key, struct str *value,
                     bool *bad)
{
    struct str pair;

    *bad = false;
    do {
        if (!str_cut(rest, '&', &pair))
            return false;
    } while (pair.len == 0);

    *bad = decode_pair(pair, scratch, key, value) != MG_OK;
    return !*bad;
}
