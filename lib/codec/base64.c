/* base64.c - four characters to three bytes by one table for both alphabets; a letter of the other
 * alphabet is no more wrong than the alphabet itself, so the two may even mix. White space is
 * refused: neither JSON nor gRPC metadata folds lines. */
#include "codec/base64.h"
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value + 1 of each letter; 0 is no letter. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
    ['-'] = 63, ['_'] = 64,
};

/* Writes the 2 or 3 letters of 1 or 2 last bytes, and the padding. */
static char *encode_tail(char *to, const uint8_t *from, size_t left, bool padded)
{
    if (left == 0)
        return to;
    uint32_t bits = (uint32_t)from[0] << 16 | (left == 2 ? (uint32_t)from[1] << 8 : 0);
    *to++ = letters[bits >> 18];
    *to++ = letters[bits >> 12 & 63];
    if (left == 2)
        *to++ = letters[bits >> 6 & 63];
    for (size_t i = left; padded && i < 3; i++)
        *to++ = '=';
    return to;
}

void base64_encode(struct buf *out, const void *bytes, size_t len, bool padded)
{
    if (out->failed || len > SIZE_MAX / 4 || buf_reserve(out, (len + 2) / 3 * 4) != MG_OK) {
        out->failed = true;
        return;
    }
    if (len == 0)
        return;
    const uint8_t *from = bytes;
    char *to = out->ptr + out->len;
    size_t left = len;
    for (; left >= 3; left -= 3, from += 3) {
        uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
        *to++ = letters[bits >> 18];
        *to++ = letters[bits >> 12 & 63];
        *to++ = letters[bits >> 6 & 63];
        *to++ = letters[bits & 63];
    }
    to = encode_tail(to, from, left, padded);
    out->len = (size_t)(to - out->ptr);
}

/* Cuts the padding off. It may be missing, but where it is, it is whole. */
static bool strip_padding(struct str *text)
{
    size_t full = text->len;
    while (text->len > 0 && full - text->len < 2 && text->ptr[text->len - 1] == '=')
        text->len--;
    return text->len == full || full % 4 == 0;
}

/* 2, 3 or 4 letters to 1, 2 or 3 bytes; false for a wrong letter or bits that no byte takes. */
static bool decode_group(const char *from, size_t n, uint8_t *to)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t value = values[(uint8_t)from[i]];
        if (value == 0)
            return false;
        bits |= (uint32_t)(value - 1) << (18 - 6 * i);
    }
    for (size_t i = 0; i + 1 < n; i++)
        to[i] = (uint8_t)(bits >> (16 - 8 * i));
    return n == 4 || (bits << 8 * (n - 1) & 0xffffff) == 0;
}

enum mg_err base64_decode(struct str text, struct buf *out)
{
    if (!strip_padding(&text) || text.len % 4 == 1)
        return MG_E_FORMAT;
    MG_TRY(buf_err(out));
    if (text.len == 0)
        return MG_OK;
    size_t tail = text.len % 4;
    size_t bytes = text.len / 4 * 3 + (tail ? tail - 1 : 0);
    MG_TRY(buf_reserve(out, bytes));
    uint8_t *to = (uint8_t *)out->ptr + out->len;
    const char *from = text.ptr, *end = text.ptr + text.len - tail;
    for (; from < end; from += 4, to += 3)
        if (!decode_group(from, 4, to))
            return MG_E_FORMAT;
    if (tail && !decode_group(from, tail, to))
        return MG_E_FORMAT;
    out->len += bytes;
    return MG_OK;
}
