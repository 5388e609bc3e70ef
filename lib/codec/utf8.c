/* utf8.c - Unicode 15, table 3-7: what the second byte may be depends on the first, the others are
 * always 80..BF. That one table gives validity and the maximal bad sequence alike, so the checker,
 * the sanitizer and the JSON writer agree. ASCII, nearly all of telemetry, goes by in words. */
#include "codec/utf8.h"
#include <assert.h>
#include <string.h>

#define HIGH_BITS 0x8080808080808080u

/* Length of the sequence that `first` opens, and the range of its second byte; 0: opens none. */
static unsigned opened_by(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (first < 0x80)
        return 1;
    if (first < 0xc2) /* a continuation, or an overlong form of ASCII */
        return 0;
    if (first < 0xe0)
        return 2;
    if (first < 0xf0) {
        if (first == 0xe0)
            *low = 0xa0; /* overlong below */
        else if (first == 0xed)
            *high = 0x9f; /* surrogates above */
        return 3;
    }
    if (first == 0xf0)
        *low = 0x90; /* overlong below */
    else if (first == 0xf4)
        *high = 0x8f; /* above U+10FFFF */
    return first <= 0xf4 ? 4 : 0;
}

size_t utf8_sequence(const void *bytes, size_t len, bool *valid)
{
    assert(len > 0);
    const uint8_t *p = bytes;
    uint8_t low, high;
    unsigned need = opened_by(p[0], &low, &high);
    *valid = need == 1;
    if (need <= 1)
        return 1;
    for (unsigned i = 1; i < need; i++) {
        if (i == len || p[i] < low || p[i] > high)
            return i;
        low = 0x80;
        high = 0xbf;
    }
    *valid = true;
    return need;
}

/* Bytes of ASCII at the front. */
static size_t ascii_run(const uint8_t *p, size_t len)
{
    size_t i = 0;
    for (uint64_t a, b; i + 16 <= len; i += 16) {
        memcpy(&a, p + i, 8);
        memcpy(&b, p + i + 8, 8);
        if ((a | b) & HIGH_BITS)
            break;
    }
    for (uint64_t word; i + 8 <= len; i += 8) {
        memcpy(&word, p + i, 8);
        word &= HIGH_BITS;
        if (word)
            return i + (size_t)__builtin_ctzll(word) / 8;
    }
    while (i < len && p[i] < 0x80)
        i++;
    return i;
}

bool utf8_valid(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0;;) {
        i += ascii_run(p + i, len - i);
        if (i == len)
            return true;
        while (i < len && p[i] >= 0x80) { /* a text that is not English stays here */
            bool valid;
            i += utf8_sequence(p + i, len - i, &valid);
            if (!valid)
                return false;
        }
    }
}

void utf8_sanitize(struct buf *out, struct str s)
{
    size_t done = 0, i = 0; /* what is between them is good and not yet written */
    while (i < s.len) {
        i += ascii_run((const uint8_t *)s.ptr + i, s.len - i);
        if (i == s.len)
            break;
        bool valid;
        size_t n = utf8_sequence(s.ptr + i, s.len - i, &valid);
        if (!valid) {
            buf_put(out, s.ptr + done, i - done);
            buf_put_str(out, STR("\xef\xbf\xbd"));
            done = i + n;
        }
        i += n;
    }
    if (s.len > done)
        buf_put(out, s.ptr + done, s.len - done);
}

size_t utf8_encode(uint32_t code_point, char out[4])
{
    assert(code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff));
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t n = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code_point >>= 6)
        out[i] = (char)(0x80 | (code_point & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xf0) | code_point);
    return n;
}

struct str utf8_cut(struct str s, size_t bytes)
{
    if (s.len <= bytes)
        return s;
    while (bytes > 0 && ((uint8_t)s.ptr[bytes] & 0xc0) == 0x80)
        bytes--;
    return str_n(s.ptr, bytes);
}

struct str utf8_clean(struct str s, struct arena *arena)
{
    struct buf clean;

    if (s.len == 0 || utf8_valid(s.ptr, s.len))
        return s;
    buf_init(&clean, 3 * s.len);
    utf8_sanitize(&clean, s);
    struct str copy = arena_str(arena, buf_str(&clean));
    buf_fini(&clean);
    return copy;
}
