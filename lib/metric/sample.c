/* sample.c - a cursor over one line. The two formats differ in what may stand between tokens
 * (OpenMetrics: exactly one space, and nothing inside braces; 0.0.4: any blanks), in unknown
 * escapes (kept / refused), in the forms of numbers and in what follows the value. Everything else
 * is one grammar. */
#include "metric/sample.h"

#include <math.h>
#include <stdlib.h>

#include "base/vec.h"

#define NUMBER_BYTES_MAX 511 /* a longer number is no measurement */
#define LABELS_MAX 1000      /* names are compared each with each */

struct line {
    struct str rest;
    enum metric_format format;
    struct arena *arena;
    struct mg_why *why;
};

static bool is_open(enum metric_format format)
{
    return format == METRIC_OPENMETRICS_1_0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c, bool is_first, bool takes_colon)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c == ':' && takes_colon) || (!is_first && is_digit(c));
}

static struct str take(struct str *rest, size_t n)
{
    struct str head = str_n(rest->ptr, n);

    *rest = str_n(rest->ptr + n, rest->len - n);
    return head;
}

static bool take_char(struct str *rest, char c)
{
    if (!rest->len || rest->ptr[0] != c)
        return false;
    take(rest, 1);
    return true;
}

static struct str take_identifier(struct str *rest, bool takes_colon)
{
    size_t n = 0;

    while (n < rest->len && is_name_char(rest->ptr[n], n == 0, takes_colon))
        n++;
    return take(rest, n);
}

/* What a backslash and `c` stand for; 0: no such escape. */
static char escape_of(char c)
{
    return c == 'n' ? '\n' : c == '"' || c == '\\' ? c : '\0';
}

/* The text up to the closing quote; the opening one is gone. False: no end, or an escape that is
 * none. */
static bool take_quoted(struct str *rest, enum metric_format format, struct arena *arena,
                        struct str *out)
{
    size_t n = 0, len = 0;
    bool has_escape = false;

    for (; n < rest->len && rest->ptr[n] != '"'; n++) {
        if (rest->ptr[n] != '\\')
            continue;
        has_escape = true;
        if (++n == rest->len || (!is_open(format) && !escape_of(rest->ptr[n])))
            return false;
    }
    if (n == rest->len)
        return false;
    struct str raw = take(rest, n);
    take(rest, 1);
    *out = raw;
    if (!has_escape)
        return true;
    char *plain = arena_alloc(arena, raw.len);
    for (size_t i = 0; i < raw.len; i++) {
        char escaped = raw.ptr[i] == '\\' ? escape_of(raw.ptr[i + 1]) : '\0';

        plain[len++] =
            escaped ? escaped : raw.ptr[i]; /* OpenMetrics keeps an unknown escape as it stands */
        if (escaped)
            i++;
    }
    *out = str_n(plain, len);
    return true;
}

bool metric_name_cut(struct str *rest, enum metric_format format, struct arena *arena,
                     struct str *name)
{
    if (take_char(rest, '"'))
        return take_quoted(rest, format, arena, name) && name->len > 0;
    *name = take_identifier(rest, true);
    return name->len > 0;
}

static void skip_blanks(struct line *line)
{
    if (!is_open(line->format))
        while (take_char(&line->rest, ' ') || take_char(&line->rest, '\t'))
            continue;
}

static enum mg_err add_label(struct line *line, const struct metric_labels *seen, struct str name)
{
    if (str_eq(name, STR("__name__")))
        return mg_fail(line->why, MG_E_FORMAT, "the label name '__name__' is reserved");
    if (seen->n == LABELS_MAX)
        return mg_fail(line->why, MG_E_FORMAT, "more than %d labels", LABELS_MAX);
    if (metric_label_find(seen, name))
        return mg_fail(line->why, MG_E_FORMAT, "label '%.*s' is here twice", STR_ARG(name));
    return MG_OK;
}

/* A label, or as the first item inside the braces the quoted name of the metric (metric_name not
 * NULL). */
static enum mg_err parse_item(struct line *line, const struct metric_labels *seen,
                              struct metric_label *label, struct str *metric_name)
{
    bool is_quoted = line->rest.len && line->rest.ptr[0] == '"';

    *label = (struct metric_label){ 0 };
    if (is_quoted ? !metric_name_cut(&line->rest, line->format, line->arena, &label->name)
                  : !(label->name = take_identifier(&line->rest, false)).len)
        return mg_fail(line->why, MG_E_FORMAT, "a label name is expected at '%.*s'",
                       STR_ARG(line->rest));
    skip_blanks(line);
    bool has_equals = take_char(&line->rest, '=');
    if (!has_equals && is_quoted && metric_name && !metric_name->len) {
        *metric_name = label->name;
        label->name = STR("");
        return MG_OK;
    }
    if (!has_equals)
        return mg_fail(line->why, MG_E_FORMAT, "label '%.*s' has no '='", STR_ARG(label->name));
    skip_blanks(line);
    if (!take_char(&line->rest, '"') ||
        !take_quoted(&line->rest, line->format, line->arena, &label->value))
        return mg_fail(line->why, MG_E_FORMAT, "label '%.*s' has no well-formed quoted value",
                       STR_ARG(label->name));
    return add_label(line, seen, label->name);
}

/* The braces' content and the closing brace; the opening one is gone. */
static enum mg_err parse_items(struct line *line, struct metric_labels *out,
                               struct str *metric_name)
{
    VEC(struct metric_label) labels = { 0 };
    enum mg_err err = MG_OK;
    bool is_first = true;

    skip_blanks(line);
    while (err == MG_OK && !take_char(&line->rest, '}')) {
        struct metric_label label;
        struct metric_labels seen = { labels.at, labels.n };

        err = parse_item(line, &seen, &label, is_first ? metric_name : NULL);
        if (err == MG_OK && label.name.len)
            VEC_PUSH(&labels, label);
        is_first = false;
        skip_blanks(line);
        bool has_comma = take_char(&line->rest, ',');
        skip_blanks(line);
        bool is_end = line->rest.len && line->rest.ptr[0] == '}';
        /* Only 0.0.4 takes a comma in front of the brace. */
        if (err == MG_OK && has_comma == is_end && (is_open(line->format) || !is_end))
            err = mg_fail(line->why, MG_E_FORMAT, "',' or '}' is missing or too many at '%.*s'",
                          STR_ARG(line->rest));
    }
    out->n = labels.n;
    out->at = arena_alloc(line->arena, (labels.n + 1) * sizeof *labels.at);
    if (labels.n)
        memcpy(out->at, labels.at, labels.n * sizeof *labels.at);
    VEC_FINI(&labels);
    return err;
}

const struct str *metric_label_find(const struct metric_labels *labels, struct str name)
{
    for (size_t i = 0; i < labels->n; i++)
        if (str_eq(labels->at[i].name, name))
            return &labels->at[i].value;
    return NULL;
}

static size_t count_digits(struct str text, size_t from)
{
    size_t n = 0;

    while (from + n < text.len && is_digit(text.ptr[from + n]))
        n++;
    return n;
}

/* [sign] digits [. digits] [e [sign] digits], with a digit on at least one side of the point. */
static bool is_decimal(struct str text)
{
    size_t at = text.len && (text.ptr[0] == '+' || text.ptr[0] == '-');
    size_t digits = count_digits(text, at);

    at += digits;
    if (at < text.len && text.ptr[at] == '.') {
        size_t decimals = count_digits(text, at + 1);

        digits += decimals;
        at += 1 + decimals;
    }
    if (!digits)
        return false;
    if (at == text.len)
        return true;
    if ((text.ptr[at] | 0x20) != 'e')
        return false;
    at++;
    at += at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-');
    size_t exponent = count_digits(text, at);
    return exponent > 0 && at + exponent == text.len;
}

/* 0x1.8p-3: Go's ParseFloat, and so 0.0.4, takes it; the exponent is required. */
static bool is_hexadecimal(struct str text)
{
    bool has_exponent = false;

    if (text.len && (text.ptr[0] == '+' || text.ptr[0] == '-'))
        take(&text, 1);
    if (text.len < 4 || text.ptr[0] != '0' || (text.ptr[1] | 0x20) != 'x')
        return false;
    for (size_t i = 2; i < text.len; i++) {
        char c = (char)(text.ptr[i] | 0x20);

        has_exponent = has_exponent || c == 'p';
        if (!is_digit(text.ptr[i]) && !(c >= 'a' && c <= 'f') && c != 'p' && text.ptr[i] != '.' &&
            text.ptr[i] != '+' && text.ptr[i] != '-')
            return false;
    }
    return has_exponent;
}

static enum mg_err read_number(struct str text, double *out)
{
    char copy[NUMBER_BYTES_MAX + 1], *end;

    if (text.len > NUMBER_BYTES_MAX)
        return MG_E_FORMAT;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out = strtod(copy, &end);
    return *end ? MG_E_FORMAT : MG_OK;
}

enum mg_err metric_number_parse(struct str text, enum metric_format format, double *out)
{
    struct str word = text;
    bool is_negative = text.len && text.ptr[0] == '-';

    if (is_decimal(text) || (!is_open(format) && is_hexadecimal(text)))
        return read_number(text, out);
    if (str_eq_nocase(text, STR("nan"))) {
        *out = NAN;
        return MG_OK;
    }
    if (text.len && (is_negative || text.ptr[0] == '+'))
        take(&word, 1);
    if (!str_eq_nocase(word, STR("inf")) && !str_eq_nocase(word, STR("infinity")))
        return MG_E_FORMAT;
    *out = is_negative ? -INFINITY : INFINITY;
    return MG_OK;
}

static enum mg_err parse_time(struct str text, enum metric_format format, double *out)
{
    int64_t ms;

    if (is_open(format))
        return is_decimal(text) ? read_number(text, out) : MG_E_FORMAT;
    MG_TRY(str_i64(text, &ms));
    *out = (double)ms;
    return MG_OK;
}

/* The blank in front of a token. 0.0.4 needs none after a brace, and takes many. */
static enum mg_err skip_gap(struct line *line)
{
    if (!is_open(line->format)) {
        skip_blanks(line);
        return MG_OK;
    }
    if (!take_char(&line->rest, ' '))
        return mg_fail(line->why, MG_E_FORMAT, "one space is expected at '%.*s'",
                       STR_ARG(line->rest));
    return MG_OK;
}

static struct str take_token(struct line *line)
{
    size_t n = 0;

    while (n < line->rest.len && line->rest.ptr[n] != ' ' && line->rest.ptr[n] != '\t')
        n++;
    return take(&line->rest, n);
}

static enum mg_err take_value(struct line *line, double *out)
{
    struct str token = take_token(line);

    if (metric_number_parse(token, line->format, out) != MG_OK)
        return mg_fail(line->why, MG_E_FORMAT, "'%.*s' is not a number", STR_ARG(token));
    return MG_OK;
}

static enum mg_err take_time(struct line *line, double *out)
{
    struct str token = take_token(line);

    if (parse_time(token, line->format, out) != MG_OK)
        return mg_fail(line->why, MG_E_FORMAT, "'%.*s' is not a timestamp", STR_ARG(token));
    return MG_OK;
}

/* After the "#": ` {labels} value [timestamp]`. */
static enum mg_err parse_exemplar(struct line *line, struct metric_sample *out)
{
    double time;

    MG_TRY(skip_gap(line));
    if (!take_char(&line->rest, '{'))
        return mg_fail(line->why, MG_E_FORMAT, "an exemplar begins with '{'");
    MG_TRY(parse_items(line, &out->exemplar_labels, NULL));
    MG_TRY(skip_gap(line));
    MG_TRY(take_value(line, &out->exemplar_value));
    if (line->rest.len) {
        MG_TRY(skip_gap(line));
        MG_TRY(take_time(line, &time));
    }
    out->has_exemplar = true;
    return MG_OK;
}

static enum mg_err parse_tail(struct line *line, struct metric_sample *out)
{
    bool may_have_exemplar = is_open(line->format);

    skip_blanks(line);
    if (line->rest.len && !(may_have_exemplar && str_starts(line->rest, STR(" #")))) {
        MG_TRY(skip_gap(line));
        MG_TRY(take_time(line, &out->time));
        out->has_time = true;
        skip_blanks(line);
    }
    if (may_have_exemplar && line->rest.len) {
        MG_TRY(skip_gap(line));
        if (!take_char(&line->rest, '#'))
            return mg_fail(line->why, MG_E_FORMAT, "'# {…}' is expected after the last space");
        MG_TRY(parse_exemplar(line, out));
    }
    if (line->rest.len)
        return mg_fail(line->why, MG_E_FORMAT, "nothing is expected at '%.*s'",
                       STR_ARG(line->rest));
    return MG_OK;
}

enum mg_err metric_sample_parse(struct metric_sample *out, struct str text,
                                enum metric_format format, struct arena *arena, struct mg_why *why)
{
    struct line line = { text, format, arena, why };
    struct metric_sample sample = { 0 };

    skip_blanks(&line);
    sample.name = take_identifier(&line.rest, true);
    bool has_name = sample.name.len > 0;
    skip_blanks(&line);
    bool has_braces = take_char(&line.rest, '{');
    if (has_braces)
        MG_TRY(parse_items(&line, &sample.labels, has_name ? NULL : &sample.name));
    if (!sample.name.len)
        return mg_fail(why, MG_E_FORMAT, "a metric name is expected at '%.*s'", STR_ARG(text));
    bool is_glued =
        has_name && !has_braces && line.rest.len && line.rest.ptr == text.ptr + sample.name.len;
    if (is_glued && line.rest.ptr[0] != ' ' && line.rest.ptr[0] != '\t')
        return mg_fail(why, MG_E_FORMAT, "'%c' cannot be in a metric name", line.rest.ptr[0]);
    MG_TRY(skip_gap(&line));
    MG_TRY(take_value(&line, &sample.value));
    MG_TRY(parse_tail(&line, &sample));
    *out = sample;
    return MG_OK;
}
