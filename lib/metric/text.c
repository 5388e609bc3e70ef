/* text.c - escaping and number forms. Numbers are built from the scientific form with the fewest
 * digits that round-trip: seventeen tries at most, and only gauges and bucket bounds come here. */
#include "metric/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put_escaped(struct buf *out, struct str text, bool escapes_quote)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\n')
            buf_put_text(out, "\\n");
        else if (c == '\\' || (c == '"' && escapes_quote))
            buf_put(out, (char[]){ '\\', c }, 2);
        else
            buf_put_char(out, c);
    }
}

static struct str family_name(enum metric_format format, enum metric_kind kind, const char *name)
{
    struct str family = str_of(name);
    bool is_counter = kind == METRIC_COUNTER || kind == METRIC_SECONDS;

    if (format == METRIC_OPENMETRICS_1_0 && is_counter && str_ends(family, STR("_total")))
        family.len -= STR("_total").len;
    return family;
}

static const char *unit_of(struct str family)
{
    return str_ends(family, STR("_seconds")) ? "seconds"
           : str_ends(family, STR("_bytes")) ? "bytes"
                                             : NULL;
}

void metric_text_head(struct buf *out, enum metric_format format, enum metric_kind kind,
                      const char *name, const char *help)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_SECONDS] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
    };
    bool is_open = format == METRIC_OPENMETRICS_1_0;
    struct str family = family_name(format, kind, name);
    const char *unit = is_open ? unit_of(family) : NULL;

    buf_printf(out, "# TYPE %.*s %s\n", STR_ARG(family), types[kind]);
    if (unit)
        buf_printf(out, "# UNIT %.*s %s\n", STR_ARG(family), unit);
    buf_printf(out, "# HELP %.*s ", STR_ARG(family));
    put_escaped(out, str_of(help), is_open); /* 0.0.4 leaves quotes in HELP alone */
    buf_put_char(out, '\n');
}

void metric_text_name(struct buf *out, const char *name, const char *suffix)
{
    buf_put_text(out, name);
    buf_put_text(out, suffix);
}

void metric_text_label(struct buf *out, struct str name, struct str value, bool is_first)
{
    buf_put_char(out, is_first ? '{' : ',');
    buf_put_str(out, name);
    buf_put_text(out, "=\"");
    put_escaped(out, value, true);
    buf_put_char(out, '"');
}

/* Writes the shortest form of a finite number. */
static int format_finite(char *text, size_t room, double value)
{
    int digits = 1, exponent;

    for (; digits < 17; digits++) {
        snprintf(text, room, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value)
            break;
    }
    int len = snprintf(text, room, "%.*e", digits - 1, value);
    exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 6) /* Go's 'g' with the shortest precision */
        return len;
    int decimals = digits - 1 - exponent;
    return snprintf(text, room, "%.*f", decimals > 0 ? decimals : 0, value);
}

static bool put_special(struct buf *out, double value)
{
    if (isfinite(value))
        return false;
    buf_put_text(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
    return true;
}

void metric_text_double(struct buf *out, double value)
{
    char text[40];

    if (put_special(out, value))
        return;
    buf_put(out, text, (size_t)format_finite(text, sizeof text, value));
}

void metric_text_canonical(struct buf *out, double value)
{
    char text[40];

    if (put_special(out, value))
        return;
    size_t len = (size_t)format_finite(text, sizeof text, value);
    buf_put(out, text, len);
    if (!memchr(text, '.', len) && !memchr(text, 'e', len))
        buf_put_text(out, ".0");
}

void metric_text_seconds(struct buf *out, uint64_t ns)
{
    uint64_t fraction = ns % 1000000000;
    int digits = 9;

    buf_put_u64(out, ns / 1000000000);
    if (fraction == 0)
        return;
    for (; fraction % 10 == 0; digits--)
        fraction /= 10;
    buf_printf(out, ".%0*llu", digits, (unsigned long long)fraction);
}

void metric_text_end(struct buf *out, enum metric_format format)
{
    if (format == METRIC_OPENMETRICS_1_0)
        buf_put_text(out, "# EOF\n");
}
