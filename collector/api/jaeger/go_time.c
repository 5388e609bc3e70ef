/* go_time.c - the date and the time of day are rows, one an element of the layout, so that a
 * mistake is told with the element at which Go stops. Fraction and zone have shapes of their own.
 */
#include "api/jaeger/go_time.h"

#include "api/jaeger/go_text.h"

#define LAYOUT    "2006-01-02T15:04:05.999999999Z07:00"
#define QUOTE_MAX 120
#define SECOND_NS UINT64_C(1000000000)
#define ZONE      "Z07:00"

enum element { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, ELEMENTS };

static const struct {
    const char *layout, *name, *separator; /* what must stand behind it */
    unsigned digits, min, max;
} elements[ELEMENTS] = {
    [YEAR] = {"2006", "year", "-", 4, 0, 9999}, [MONTH] = {"01", "month", "-", 2, 1, 12},
    [DAY] = {"02", "day", "T", 2, 1, 31},       [HOUR] = {"15", "hour", ":", 2, 0, 23},
    [MINUTE] = {"04", "minute", ":", 2, 0, 59}, [SECOND] = {"05", "second", "", 2, 0, 59},
};

struct reader {
    struct str whole, rest;
    struct mg_why *why;
};

/* --- failures
 * ----------------------------------------------------------------------------------------- */

static enum mg_err parse_fail(const struct reader *r, const char *wanted)
{
    struct buf whole, rest;

    buf_init(&whole, QUOTE_MAX);
    buf_init(&rest, QUOTE_MAX);
    go_quote(&whole, r->whole);
    go_quote(&rest, r->rest);
    enum mg_err err = mg_fail(r->why, MG_E_FORMAT,
                              "parsing time %.*s as \"" LAYOUT "\": cannot parse %.*s as \"%s\"",
                              STR_ARG(buf_str(&whole)), STR_ARG(buf_str(&rest)), wanted);
    buf_fini(&whole);
    buf_fini(&rest);
    return err;
}

static enum mg_err time_fail(const struct reader *r, const char *what, struct str quoted)
{
    struct buf whole, rest;

    buf_init(&whole, QUOTE_MAX);
    buf_init(&rest, QUOTE_MAX);
    go_quote(&whole, r->whole);
    if (quoted.len)
        go_quote(&rest, quoted);
    enum mg_err err = mg_fail(r->why, MG_E_FORMAT, "parsing time %.*s: %s%.*s",
                              STR_ARG(buf_str(&whole)), what, STR_ARG(buf_str(&rest)));
    buf_fini(&whole);
    buf_fini(&rest);
    return err;
}

static enum mg_err range_fail(const struct reader *r, const char *name)
{
    char what[48];
    struct buf text;

    buf_init(&text, sizeof what);
    buf_printf(&text, "%s out of range", name);
    memcpy(what, text.ptr, text.len);
    what[text.len] = '\0';
    buf_fini(&text);
    return time_fail(r, what, STR(""));
}

/* --- parts
 * -------------------------------------------------------------------------------------------- */

static void skip(struct reader *r, size_t n)
{
    r->rest = str_n(r->rest.ptr + n, r->rest.len - n);
}

static bool take_digits(struct reader *r, size_t n, unsigned *out)
{
    *out = 0;
    if (r->rest.len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (r->rest.ptr[i] < '0' || r->rest.ptr[i] > '9')
            return false;
        *out = *out * 10 + (unsigned)(r->rest.ptr[i] - '0');
    }
    skip(r, n);
    return true;
}

static bool take_char(struct reader *r, char wanted)
{
    if (r->rest.len == 0 || r->rest.ptr[0] != wanted)
        return false;
    skip(r, 1);
    return true;
}

static enum mg_err take_element(struct reader *r, enum element i, unsigned *out)
{
    const char *separator = elements[i].separator;

    if (!take_digits(r, elements[i].digits, out))
        return parse_fail(r, elements[i].layout);
    if (*out < elements[i].min || *out > elements[i].max)
        return range_fail(r, elements[i].name);
    return separator[0] && !take_char(r, separator[0]) ? parse_fail(r, separator) : MG_OK;
}

static uint64_t take_fraction(struct reader *r)
{
    uint64_t ns = 0, scale = SECOND_NS;
    unsigned digit;

    if (r->rest.len < 2 || r->rest.ptr[0] != '.' || r->rest.ptr[1] < '0' || r->rest.ptr[1] > '9')
        return 0;
    skip(r, 1);
    while (take_digits(r, 1, &digit)) {
        scale /= 10; /* 0 behind the ninth */
        ns += digit * scale;
    }
    return ns;
}

/* Seconds east of Greenwich. */
static enum mg_err take_zone(struct reader *r, int64_t *seconds)
{
    struct reader at = *r; /* a failure shows the zone from its sign on */
    unsigned hours, minutes;

    *seconds = 0;
    if (take_char(r, 'Z'))
        return MG_OK;
    bool is_west = take_char(r, '-');
    if (!is_west && !take_char(r, '+') && !take_char(r, ' '))
        return parse_fail(&at, ZONE);
    if (!take_digits(r, 2, &hours) || !take_char(r, ':') || !take_digits(r, 2, &minutes))
        return parse_fail(&at, ZONE);
    if (hours > 24)
        return range_fail(r, "time zone offset hour");
    if (minutes > 59)
        return range_fail(r, "time zone offset minute");
    *seconds = (int64_t)(hours * 3600 + minutes * 60) * (is_west ? -1 : 1);
    return MG_OK;
}

/* --- the calendar
 * ------------------------------------------------------------------------------------- */

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01, negative before. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    int64_t before = (int64_t)year - 1; /* whole years since year 1, -1 for year 0 */
    int64_t leaps = before < 0 ? -1 : before / 4 - before / 100 + before / 400;
    int64_t days = before * 365 + leaps - 719162; /* of 1970-01-01 */

    for (unsigned i = 1; i < month; i++)
        days += days_in(year, i);
    return days + day - 1;
}

static uint64_t clamp_ns(int64_t seconds, uint64_t fraction_ns)
{
    if (seconds < 0)
        return 0;
    if ((uint64_t)seconds > UINT64_MAX / SECOND_NS - 1)
        return UINT64_MAX;
    return (uint64_t)seconds * SECOND_NS + fraction_ns;
}

enum mg_err go_time_parse(struct str text, uint64_t *ns, struct mg_why *why)
{
    struct reader r = {text, text, why};
    unsigned at[ELEMENTS];
    int64_t east;

    for (enum element i = YEAR; i < ELEMENTS; i++)
        MG_TRY(take_element(&r, i, &at[i]));
    uint64_t fraction_ns = take_fraction(&r);
    MG_TRY(take_zone(&r, &east));
    if (r.rest.len)
        return time_fail(&r, "extra text: ", r.rest);
    if (at[DAY] > days_in(at[YEAR], at[MONTH]))
        return range_fail(&r, "day");
    int64_t seconds = days_of(at[YEAR], at[MONTH], at[DAY]) * 86400 + at[HOUR] * 3600 +
                      at[MINUTE] * 60 + at[SECOND];
    *ns = clamp_ns(seconds - east, fraction_ns);
    return MG_OK;
}
