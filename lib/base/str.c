/* str.c - comparisons, cutting, and the conversions of text to numbers.
 *
 * A conversion checks the grammar by itself and only then computes: the C library's own functions
 * take spaces, signs, hexadecimal and names of infinity, which have no place in a configuration
 * file or on a wire. Floating point is left to strtod_l in the C locale, since correct rounding is
 * not a thing to write again. */
#define _GNU_SOURCE /* strtod_l */
#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/mem.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t common = MG_MIN(a.len, b.len);
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_n(s.ptr, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    if (s.len < suffix.len)
        return false;
    return !suffix.len || str_eq(str_n(s.ptr + (s.len - suffix.len), suffix.len), suffix);
}

bool str_find(struct str s, struct str needle, size_t *at)
{
    size_t found = 0;

    if (needle.len) {
        const char *place = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
        if (!place)
            return false;
        found = (size_t)(place - s.ptr);
    }
    if (at)
        *at = found;
    return true;
}

struct str str_trim(struct str s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
        s.ptr++;
        s.len--;
    }
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool str_split_at(struct str s, char sep, struct str *before, struct str *after)
{
    const char *place = s.len ? memchr(s.ptr, sep, s.len) : NULL;

    if (!place)
        return false;
    *before = str_n(s.ptr, (size_t)(place - s.ptr));
    *after = str_n(place + 1, s.len - before->len - 1);
    return true;
}

bool str_cut(struct str *rest, char sep, struct str *head)
{
    struct str before, after;

    if (!rest->len)
        return false;
    if (!str_split_at(*rest, sep, &before, &after)) {
        before = *rest;
        after = str_n(rest->ptr + rest->len, 0);
    }
    *head = before;
    *rest = after;
    return true;
}

enum mg_err str_u64(struct str s, uint64_t *out)
{
    uint64_t value = 0;

    if (!s.len)
        return MG_E_FORMAT;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_digit(s.ptr[i]) || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (unsigned)(s.ptr[i] - '0'), &value))
            return MG_E_FORMAT;
    }
    *out = value;
    return MG_OK;
}

enum mg_err str_i64(struct str s, int64_t *out)
{
    bool is_negative = s.len && s.ptr[0] == '-';
    uint64_t magnitude;

    MG_TRY(str_u64(is_negative ? str_n(s.ptr + 1, s.len - 1) : s, &magnitude));
    if (magnitude > (uint64_t)INT64_MAX + is_negative)
        return MG_E_FORMAT;
    *out = is_negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return MG_OK;
}

/* Takes the digits off the front of *rest. */
static struct str cut_digits(struct str *rest)
{
    size_t n = 0;

    while (n < rest->len && is_digit(rest->ptr[n]))
        n++;
    struct str digits = str_n(rest->ptr, n);
    *rest = str_n(rest->ptr + n, rest->len - n);
    return digits;
}

static bool cut_char(struct str *rest, char a, char b)
{
    if (!rest->len || (rest->ptr[0] != a && rest->ptr[0] != b))
        return false;
    *rest = str_n(rest->ptr + 1, rest->len - 1);
    return true;
}

/* [+-] digits [. digits] [e [+-] digits]; one side of the point may be empty. */
static bool is_decimal(struct str s)
{
    cut_char(&s, '+', '-');
    size_t mantissa = cut_digits(&s).len;
    if (cut_char(&s, '.', '.'))
        mantissa += cut_digits(&s).len;
    if (!mantissa)
        return false;
    if (cut_char(&s, 'e', 'E')) {
        cut_char(&s, '+', '-');
        if (!cut_digits(&s).len)
            return false;
    }
    return !s.len;
}

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale)
        abort(); /* The C locale is built in; only a lack of memory can fail here. */
}

enum mg_err str_double(struct str s, double *out)
{
    if (!s.len || !is_decimal(s))
        return MG_E_FORMAT;
    (void)pthread_once(&c_locale_once, c_locale_make); /* cannot fail with a valid control */

    char near[64], *text = s.len < sizeof near ? near : mem_alloc(s.len + 1);
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    double value = strtod_l(text, NULL, c_locale);
    if (text != near)
        mem_free(text);
    if (!isfinite(value))
        return MG_E_FORMAT;
    *out = value;
    return MG_OK;
}

struct unit { struct str name; uint64_t size; };

static const struct unit durations[] = { /* largest first */
    { STR_INIT("d"), 86400000000000 },
    { STR_INIT("h"), 3600000000000 },
    { STR_INIT("m"), 60000000000 },
    { STR_INIT("s"), 1000000000 },
    { STR_INIT("ms"), 1000000 },
    { STR_INIT("us"), 1000 },
    { STR_INIT("\xc2\xb5s"), 1000 }, /* U+00B5, the micro sign */
    { STR_INIT("\xce\xbcs"), 1000 }, /* U+03BC, the Greek letter that most keyboards give */
    { STR_INIT("ns"), 1 },
};

static const struct unit sizes[] = {
    { STR_INIT(""), 1 },
    { STR_INIT("B"), 1 },
    { STR_INIT("kB"), 1000 },
    { STR_INIT("KB"), 1000 },
    { STR_INIT("MB"), 1000000 },
    { STR_INIT("GB"), 1000000000 },
    { STR_INIT("TB"), 1000000000000 },
    { STR_INIT("KiB"), 1024 },
    { STR_INIT("MiB"), 1024 * 1024 },
    { STR_INIT("GiB"), 1024 * 1024 * 1024 },
    { STR_INIT("TiB"), 1024ull * 1024 * 1024 * 1024 },
};

static const struct unit *unit_find(const struct unit *units, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(units[i].name, name))
            return &units[i];
    }
    return NULL;
}

/* 0.digits of a unit, rounded down. Digits past the 18th are worth less than a nanosecond of any
 * unit here. */
static uint64_t fraction_of(struct str digits, uint64_t unit)
{
    unsigned __int128 value = 0, scale = 1;

    for (size_t i = 0; i < digits.len && i < 18; i++) {
        value = value * 10 + (unsigned)(digits.ptr[i] - '0');
        scale *= 10;
    }
    return (uint64_t)(value * unit / scale);
}

/* Takes one "1.5s" off the front of *rest. Units must fall, so that "1m30h" is seen as the mistake
 * that it is: *unit_below is the unit before, and becomes this one. */
static enum mg_err cut_duration(struct str *rest, uint64_t *unit_below, uint64_t *ns)
{
    struct str whole = cut_digits(rest), fraction = { 0 };
    uint64_t count, value;

    MG_TRY(str_u64(whole, &count));
    if (cut_char(rest, '.', '.')) {
        fraction = cut_digits(rest);
        if (!fraction.len)
            return MG_E_FORMAT;
    }
    size_t n = 0;
    while (n < rest->len && !is_digit(rest->ptr[n]))
        n++;
    const struct unit *unit = unit_find(durations, MG_COUNT(durations), str_n(rest->ptr, n));
    if (!unit || unit->size >= *unit_below)
        return MG_E_FORMAT;
    *rest = str_n(rest->ptr + n, rest->len - n);
    *unit_below = unit->size;
    if (__builtin_mul_overflow(count, unit->size, &value) ||
        __builtin_add_overflow(value, fraction_of(fraction, unit->size), ns))
        return MG_E_FORMAT;
    return MG_OK;
}

enum mg_err str_duration_ns(struct str s, int64_t *out)
{
    uint64_t total = 0, part, unit_below = UINT64_MAX;

    if (!s.len)
        return MG_E_FORMAT;
    if (str_eq(s, STR("0"))) {
        *out = 0;
        return MG_OK;
    }
    while (s.len) {
        MG_TRY(cut_duration(&s, &unit_below, &part));
        if (__builtin_add_overflow(total, part, &total) || total > INT64_MAX)
            return MG_E_FORMAT;
    }
    *out = (int64_t)total;
    return MG_OK;
}

enum mg_err str_bytes(struct str s, uint64_t *out)
{
    uint64_t count, bytes;

    MG_TRY(str_u64(cut_digits(&s), &count));
    const struct unit *unit = unit_find(sizes, MG_COUNT(sizes), s);
    if (!unit || __builtin_mul_overflow(count, unit->size, &bytes))
        return MG_E_FORMAT;
    *out = bytes;
    return MG_OK;
}

char *str_text(struct str s)
{
    char *text = mem_alloc(s.len + 1);

    if (s.len)
        memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return text;
}

/* The value of a hex digit, or 16. */
static unsigned hex_value(char c)
{
    if (is_digit(c))
        return (unsigned)(c - '0');
    c = lower(c);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

bool hex_decode(struct str hex, uint8_t *out, size_t bytes)
{
    if (hex.len % 2 || hex.len / 2 != bytes)
        return false;
    for (size_t i = 0; i < hex.len; i++) { /* all first: a failure writes nothing */
        if (hex_value(hex.ptr[i]) > 15)
            return false;
    }
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(hex_value(hex.ptr[2 * i]) << 4 | hex_value(hex.ptr[2 * i + 1]));
    return true;
}

void hex_encode(const void *in, size_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = in;

    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
}

static struct str distance_part(struct str s)
{
    return str_n(s.ptr, MG_MIN(s.len, (size_t)STR_DISTANCE_MAX));
}

/* The three rows of the table that are looked at: two above, above, and the one that is filled. */
struct distance_rows {
    size_t at[3][STR_DISTANCE_MAX + 1];
};

static size_t distance_cell(const struct distance_rows *rows, struct str a, struct str b, size_t i, size_t j)
{
    const size_t *row = rows->at[i % 3], *above = rows->at[(i + 2) % 3],
                 *two_above = rows->at[(i + 1) % 3];
    size_t replaced = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
    size_t resized = MG_MIN(above[j], row[j - 1]) + 1;
    size_t least = MG_MIN(replaced, resized);

    if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1])
        least = MG_MIN(least, two_above[j - 2] + 1);
    return least;
}

size_t str_distance(struct str a, struct str b, size_t most)
{
    struct distance_rows rows;

    a = distance_part(a);
    b = distance_part(b);
    if (MG_MAX(a.len, b.len) - MG_MIN(a.len, b.len) > most)
        return most + 1;
    for (size_t j = 0; j <= b.len; j++)
        rows.at[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows.at[i % 3], least = i;
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            row[j] = distance_cell(&rows, a, b, i, j);
            least = MG_MIN(least, row[j]);
        }
        if (least > most) /* no row below has a smaller one */
            return most + 1;
    }
    return MG_MIN(rows.at[a.len % 3][b.len], most + 1);
}
