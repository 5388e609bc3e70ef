/* str.h - borrowed strings: pointer and length, by value, not NUL-terminated. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/err.h"

struct str {
    const char *ptr; /* may be NULL only when len is 0 */
    size_t len;      /* bytes */
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 } /* for static initialisers */
#define STR_ARG(s) (int)(s).len, (s).ptr /* printf("%.*s", STR_ARG(s)) */

static inline struct str str_of(const char *text) /* text may be NULL: empty */
{
    return (struct str){ text ? text : "", text ? strlen(text) : 0 };
}
static inline struct str str_n(const void *ptr, size_t len)
{
    return (struct str){ (const char *)ptr, len };
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
bool str_eq_nocase(struct str a, struct str b); /* ASCII */
int str_cmp(struct str a, struct str b);        /* bytewise, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_find(struct str s, struct str needle, size_t *at);
struct str str_trim(struct str s);              /* spaces and tabs at both ends */
/* Takes the part before `sep` off the front of *rest; false when nothing is left, also after a
 * `sep` at the end. */
bool str_cut(struct str *rest, char sep, struct str *head);
bool str_split_at(struct str s, char sep, struct str *before, struct str *after); /* first sep; false: none */

/* Whole-string conversions: E_FORMAT when anything else stands there or it does not fit. */
enum mg_err str_u64(struct str s, uint64_t *out) MG_MUST_USE;
enum mg_err str_i64(struct str s, int64_t *out) MG_MUST_USE;
enum mg_err str_double(struct str s, double *out) MG_MUST_USE; /* C locale; no hex, no nan/inf */
/* "7d", "1h30m", "250ms", "1.5s"; units ns us µs ms s m h d, each smaller than the one
 * before; result in nanoseconds, never negative; "0" is allowed. */
enum mg_err str_duration_ns(struct str s, int64_t *out) MG_MUST_USE;
/* "64MiB", "1GB", "4096", whole numbers; units B kB KB MB GB TB KiB MiB GiB TiB. */
enum mg_err str_bytes(struct str s, uint64_t *out) MG_MUST_USE;

char *str_text(struct str s); /* returns a new NUL-terminated copy (mem_free) */
/* Hex. decode: false for a wrong digit or when len is not 2*bytes; either case. encode: lower case. */
bool hex_decode(struct str hex, uint8_t *out, size_t bytes);
void hex_encode(const void *in, size_t bytes, char *out); /* writes 2*bytes chars, no NUL */
/* Which known word was meant: the Damerau-Levenshtein distance (optimal alignment). A letter that is
 * added, left out, replaced, or swapped with its neighbour counts one. Distances above `most` are
 * all told as most + 1. Cut at STR_DISTANCE_MAX bytes a side. */
#define STR_DISTANCE_MAX 64
size_t str_distance(struct str a, struct str b, size_t most);
static inline size_t str_distance_near(struct str typed) /* one letter of three is wrong, and one more */
{
    return typed.len / 3 + 1;
}
