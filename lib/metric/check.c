/* check.c - one open family at a time; what is closed is remembered by the names it claimed.
 *
 *   family ── groups: samples with the same labels save le / quantile / the state: one metric
 *      group ── the point under construction: buckets, count, sum
 *
 * OpenMetrics writes a metric in one piece, so a group ends where the next begins, and a new
 * timestamp begins a new point of it. 0.0.4 only keeps families together, so groups stay open until
 * their family ends. */
#include "metric/check.h"

#include <math.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "metric/sample.h"

#define EXEMPLAR_CHARS_MAX 128
#define SUFFIXES_MAX 5

enum type {
    COUNTER,
    GAUGE,
    HISTOGRAM,
    GAUGE_HISTOGRAM,
    SUMMARY,
    INFO,
    STATE_SET,
    UNKNOWN,
    N_TYPES
};

/* A sample of family x is named x + one of these suffixes. */
struct type_rule {
    const char *name;
    const char *suffixes[SUFFIXES_MAX]; /* ends with NULL */
};

static const struct type_rule open_rules[N_TYPES] = {
    [COUNTER] = { "counter", { "_total", "_created" } },
    [GAUGE] = { "gauge", { "" } },
    [HISTOGRAM] = { "histogram", { "_bucket", "_count", "_sum", "_created" } },
    [GAUGE_HISTOGRAM] = { "gaugehistogram", { "_bucket", "_gcount", "_gsum" } },
    [SUMMARY] = { "summary", { "", "_count", "_sum", "_created" } },
    [INFO] = { "info", { "_info" } },
    [STATE_SET] = { "stateset", { "" } },
    [UNKNOWN] = { "unknown", { "" } },
};

static const struct type_rule text_rules[N_TYPES] = {
    /* no name: not a type of 0.0.4 */
    [COUNTER] = { "counter", { "" } },
    [GAUGE] = { "gauge", { "" } },
    [HISTOGRAM] = { "histogram", { "_bucket", "_count", "_sum" } },
    [SUMMARY] = { "summary", { "", "_count", "_sum" } },
    [UNKNOWN] = { "untyped", { "" } },
};

struct group {
    struct group *next; /* of the family, in order */
    unsigned line;      /* of its last sample */
    bool has_time, has_bucket, has_count, has_sum, has_negative_bucket, has_negative_sum;
    double time;
    double bound, in_bucket; /* of the last bucket */
    double count;
};

struct family {
    struct str name;
    enum type type;
    bool is_open, has_type, has_help, has_unit, has_samples;
    struct str unit;
    unsigned line;     /* its first */
    struct map groups; /* labels → struct group */
    struct group *first, **last;
    struct group *current;
};

struct checker {
    enum metric_format format;
    const struct type_rule *rules;
    struct mg_why *why;
    unsigned line;
    bool has_eof;
    struct arena arena;
    struct map claimed; /* names that belong to a closed family */
    struct map series;  /* name and labels of samples; OpenMetrics: of those without time */
    struct family family;
};

static bool is_open_metrics(const struct checker *c)
{
    return c->format == METRIC_OPENMETRICS_1_0;
}

static bool is_histogram(enum type type)
{
    return type == HISTOGRAM || type == GAUGE_HISTOGRAM;
}

/* ---- a metric's point: the sums that must agree */

static enum mg_err check_sums(const struct checker *c, const struct group *group)
{
    enum type type = c->family.type;

    if (group->has_sum && !group->has_count)
        return mg_fail(c->why, MG_E_FORMAT, "a sum without a count");
    if (group->has_count && !group->has_sum)
        return mg_fail(c->why, MG_E_FORMAT, "a count without a sum");
    if (!is_open_metrics(c) && !group->has_count)
        return mg_fail(c->why, MG_E_FORMAT, "_sum and _count are missing");
    if (type == HISTOGRAM && is_open_metrics(c) && group->has_negative_bucket && group->has_sum)
        return mg_fail(c->why, MG_E_FORMAT, "a histogram with negative buckets has no _sum");
    if (type == GAUGE_HISTOGRAM && !group->has_negative_bucket && group->has_negative_sum)
        return mg_fail(c->why, MG_E_FORMAT, "_gsum is negative, no bucket is");
    return MG_OK;
}

static enum mg_err check_point(const struct checker *c, const struct group *group)
{
    enum mg_err err = MG_OK;

    if (!is_histogram(c->family.type))
        return MG_OK;
    if (!group->has_bucket || group->bound != INFINITY)
        err = mg_fail(c->why, MG_E_FORMAT, "the bucket le=\"+Inf\" is missing");
    else if (group->has_count && group->count != group->in_bucket)
        err = mg_fail(c->why, MG_E_FORMAT, "the count is not what the bucket le=\"+Inf\" holds");
    else
        err = check_sums(c, group);
    if (err != MG_OK)
        return mg_fail_in(c->why, err, "line %u: histogram '%.*s'", group->line,
                          STR_ARG(c->family.name));
    return MG_OK;
}

/* ---- families */

static enum mg_err fail(const struct checker *c, const char *what, struct str name)
{
    return mg_fail(c->why, MG_E_FORMAT, "line %u: %s: '%.*s'", c->line, what, STR_ARG(name));
}

static enum mg_err claim(struct checker *c, struct str name, const char *suffix)
{
    struct str full = arena_printf(&c->arena, "%.*s%s", STR_ARG(name), suffix);
    bool is_new;

    (void)map_put(&c->claimed, full, &is_new);
    if (!is_new)
        return mg_fail(c->why, MG_E_FORMAT,
                       "line %u: the name '%.*s' clashes with an earlier family", c->family.line,
                       STR_ARG(full));
    return MG_OK;
}

static enum mg_err check_unit(const struct checker *c)
{
    const struct family *family = &c->family;
    struct str unit = family->unit, name = family->name;

    if (!unit.len)
        return MG_OK;
    bool is_suffix =
        name.len > unit.len + 1 && str_ends(name, unit) && name.ptr[name.len - unit.len - 1] == '_';
    if (!is_suffix)
        return mg_fail(c->why, MG_E_FORMAT,
                       "line %u: the family's name '%.*s' does not end in _%.*s", family->line,
                       STR_ARG(name), STR_ARG(unit));
    if (family->type == INFO || family->type == STATE_SET)
        return mg_fail(c->why, MG_E_FORMAT, "line %u: '%.*s': info and stateset have no unit",
                       family->line, STR_ARG(name));
    return MG_OK;
}

static enum mg_err close_family(struct checker *c)
{
    struct family *family = &c->family;

    if (!family->is_open)
        return MG_OK;
    MG_TRY(check_unit(c));
    for (const struct group *group = family->first; group; group = group->next)
        MG_TRY(check_point(c, group));
    MG_TRY(claim(c, family->name, ""));
    for (const char *const *suffix = c->rules[family->type].suffixes; *suffix; suffix++)
        if (**suffix)
            MG_TRY(claim(c, family->name, *suffix));
    map_fini(&family->groups);
    family->is_open = false;
    return MG_OK;
}

static enum mg_err open_family(struct checker *c, struct str name)
{
    MG_TRY(close_family(c));
    if (map_find(&c->claimed, name))
        return fail(c, "this name belongs to an earlier family; a family is written in one piece",
                    name);
    c->family = (struct family){ .name = name, .type = UNKNOWN, .is_open = true, .line = c->line };
    c->family.last = &c->family.first;
    return MG_OK;
}

/* ---- metadata */

static enum mg_err set_type(struct checker *c, struct str word)
{
    if (c->family.has_type)
        return fail(c, "a second TYPE of one family", c->family.name);
    c->family.has_type = true;
    for (unsigned i = 0; i < N_TYPES; i++) {
        if (c->rules[i].name && str_eq(str_of(c->rules[i].name), word)) {
            c->family.type = (enum type)i;
            return MG_OK;
        }
    }
    return fail(c, "not a type", word);
}

/* 0.0.4 knows two escapes. The conformance tests of OpenMetrics take any, and bare quotes. */
static enum mg_err set_help(struct checker *c, struct str text)
{
    if (c->family.has_help)
        return fail(c, "a second HELP of one family", c->family.name);
    c->family.has_help = true;
    for (size_t i = 0; i < text.len; i++) {
        char next = i + 1 < text.len ? text.ptr[i + 1] : '\0';

        if (text.ptr[i] != '\\')
            continue;
        if (!is_open_metrics(c) && next != '\\' && next != 'n')
            return fail(c, "HELP knows the escapes \\\\ and \\n only", c->family.name);
        i++;
    }
    return MG_OK;
}

static enum mg_err set_unit(struct checker *c, struct str unit)
{
    if (c->family.has_unit)
        return fail(c, "a second UNIT of one family", c->family.name);
    c->family.has_unit = true;
    c->family.unit = unit;
    return MG_OK;
}

static enum mg_err on_metadata(struct checker *c, struct str keyword, struct str name,
                               struct str rest)
{
    if (!c->family.is_open || !str_eq(c->family.name, name))
        MG_TRY(open_family(c, name));
    else if (c->family.has_samples)
        return fail(c, "metadata after the family's samples", name);
    if (str_eq(keyword, STR("TYPE")))
        return set_type(c, rest);
    return str_eq(keyword, STR("HELP")) ? set_help(c, rest) : set_unit(c, rest);
}

/* "# KEYWORD name rest", one space each; the rest may be empty, its space may not. */
static enum mg_err on_open_comment(struct checker *c, struct str line)
{
    struct str rest = str_n(line.ptr + 1, line.len - 1), keyword, name;

    if (str_eq(line, STR("# EOF"))) {
        c->has_eof = true;
        return close_family(c);
    }
    if (!rest.len || rest.ptr[0] != ' ')
        return fail(c, "neither TYPE, UNIT, HELP nor EOF", line);
    rest = str_n(rest.ptr + 1, rest.len - 1);
    bool is_known = str_split_at(rest, ' ', &keyword, &rest) &&
                    (str_eq(keyword, STR("TYPE")) || str_eq(keyword, STR("UNIT")) ||
                     str_eq(keyword, STR("HELP")));
    if (!is_known)
        return fail(c, "neither TYPE, UNIT, HELP nor EOF", line);
    if (!metric_name_cut(&rest, c->format, &c->arena, &name) || !rest.len || rest.ptr[0] != ' ')
        return fail(c, "'# KEYWORD name text' is expected", line);
    return on_metadata(c, keyword, name, str_n(rest.ptr + 1, rest.len - 1));
}

static struct str skip_blanks(struct str s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = str_n(s.ptr + 1, s.len - 1);
    return s;
}

/* `line` begins with '#'. What is not HELP or TYPE is a comment. */
static enum mg_err on_text_comment(struct checker *c, struct str line)
{
    struct str rest = skip_blanks(str_n(line.ptr + 1, line.len - 1)), name;
    bool is_type = str_starts(rest, STR("TYPE")), is_help = str_starts(rest, STR("HELP"));

    if (!is_type && !is_help)
        return MG_OK;
    struct str keyword = str_n(rest.ptr, 4);
    rest = str_n(rest.ptr + 4, rest.len - 4);
    if (rest.len && rest.ptr[0] != ' ' && rest.ptr[0] != '\t')
        return MG_OK; /* "# TYPES of …" */
    rest = skip_blanks(rest);
    if (!metric_name_cut(&rest, c->format, &c->arena, &name))
        return fail(c, "a metric name is expected", line);
    if (rest.len && rest.ptr[0] != ' ' && rest.ptr[0] != '\t')
        return fail(c, "a blank is expected after the metric name", line);
    return on_metadata(c, keyword, name, is_type ? str_trim(rest) : skip_blanks(rest));
}

/* ---- samples */

/* The sample's suffix in the open family; NULL: it is none of its samples. */
static const char *suffix_of(const struct checker *c, struct str sample)
{
    const struct family *family = &c->family;

    if (!family->is_open || !str_starts(sample, family->name))
        return NULL;
    struct str rest = str_n(sample.ptr + family->name.len, sample.len - family->name.len);
    for (const char *const *suffix = c->rules[family->type].suffixes; *suffix; suffix++)
        if (str_eq(str_of(*suffix), rest))
            return *suffix;
    return NULL;
}

/* The label that tells the samples of one metric apart; empty: none. */
static struct str inner_label(const struct checker *c, const char *suffix)
{
    switch (c->family.type) {
    case HISTOGRAM:
    case GAUGE_HISTOGRAM: return strcmp(suffix, "_bucket") == 0 ? STR("le") : STR("");
    case SUMMARY: return *suffix ? STR("") : STR("quantile");
    case STATE_SET: return c->family.name;
    default: return STR("");
    }
}

/* An order-free key of the labels that are not empty: an empty label is an absent one. */
static void put_key(struct buf *out, const struct metric_labels *labels, struct str without)
{
    struct str last = STR("");

    for (size_t done = 0; done < labels->n; done++) {
        const struct metric_label *least = NULL;

        for (size_t i = 0; i < labels->n; i++) {
            const struct metric_label *label = &labels->at[i];

            if ((done == 0 || str_cmp(label->name, last) > 0) &&
                (!least || str_cmp(label->name, least->name) < 0))
                least = label;
        }
        last = least->name;
        if (!least->value.len || (without.len && str_eq(least->name, without)))
            continue;
        buf_put_varint(out, least->name.len);
        buf_put_str(out, least->name);
        buf_put_varint(out, least->value.len);
        buf_put_str(out, least->value);
    }
}

static enum mg_err take_bucket(struct checker *c, struct group *group,
                               const struct metric_sample *sample)
{
    const struct str *le = metric_label_find(&sample->labels, STR("le"));
    double bound;

    if (!le)
        return fail(c, "a bucket without 'le'", sample->name);
    if (metric_number_parse(*le, c->format, &bound) != MG_OK || isnan(bound))
        return fail(c, "'le' is not a number", *le);
    if (bound == INFINITY && !str_eq(*le, STR("+Inf")))
        return fail(c, "infinity is written +Inf in 'le'", *le);
    if (group->has_bucket && bound <= group->bound)
        return fail(c, "buckets must rise in 'le'", *le);
    if (isnan(sample->value) || (group->has_bucket && sample->value < group->in_bucket))
        return fail(c, "buckets are cumulative, this one holds less than the one before", *le);
    group->has_negative_bucket = group->has_negative_bucket || bound < 0;
    group->has_bucket = true;
    group->bound = bound;
    group->in_bucket = sample->value;
    return MG_OK;
}

static enum mg_err take_part(struct checker *c, struct group *group,
                             const struct metric_sample *sample, const char *suffix)
{
    if (!is_histogram(c->family.type))
        return MG_OK;
    if (strcmp(suffix, "_bucket") == 0)
        return take_bucket(c, group, sample);
    if (strcmp(suffix, "_count") == 0 || strcmp(suffix, "_gcount") == 0) {
        group->has_count = true;
        group->count = sample->value;
    } else if (strcmp(suffix, "_sum") == 0 || strcmp(suffix, "_gsum") == 0) {
        group->has_sum = true;
        group->has_negative_sum = sample->value < 0;
    }
    return MG_OK;
}

static enum mg_err check_quantile(const struct checker *c, const struct metric_sample *sample)
{
    const struct str *text = metric_label_find(&sample->labels, STR("quantile"));
    double quantile;

    if (!text)
        return fail(c, "a summary's sample without suffix needs 'quantile'", sample->name);
    if (metric_number_parse(*text, c->format, &quantile) != MG_OK ||
        !(quantile >= 0 && quantile <= 1))
        return fail(c, "'quantile' is not a number from 0 to 1", *text);
    if (is_open_metrics(c) && sample->value < 0)
        return fail(c, "a quantile cannot be negative", sample->name);
    return MG_OK;
}

/* Sums that only grow, and what counts events. */
static enum mg_err check_growing(const struct checker *c, const struct metric_sample *sample,
                                 const char *suffix)
{
    bool is_count = strcmp(suffix, "_bucket") == 0 || strcmp(suffix, "_count") == 0 ||
                    strcmp(suffix, "_gcount") == 0;
    bool is_sum = strcmp(suffix, "_total") == 0 || strcmp(suffix, "_sum") == 0;
    bool is_gauge_sum = strcmp(suffix, "_gsum") == 0;

    if (!is_open_metrics(c) || (!is_count && !is_sum && !is_gauge_sum))
        return MG_OK;
    if (isnan(sample->value))
        return fail(c, "a total, count or sum cannot be NaN", sample->name);
    if (!is_gauge_sum && sample->value < 0)
        return fail(c, "a total, count or sum cannot be negative", sample->name);
    if (is_count && c->family.type != SUMMARY && sample->value != floor(sample->value))
        return fail(c, "a count is a whole number", sample->name);
    return MG_OK;
}

static enum mg_err check_value(const struct checker *c, const struct metric_sample *sample,
                               const char *suffix)
{
    if (c->family.type == SUMMARY && !*suffix)
        MG_TRY(check_quantile(c, sample));
    if (c->family.type == INFO && sample->value != 1)
        return fail(c, "an info is always 1", sample->name);
    if (c->family.type == STATE_SET) {
        if (!metric_label_find(&sample->labels, c->family.name))
            return fail(c, "a stateset needs a label named like itself", sample->name);
        if (sample->value != 0 && sample->value != 1)
            return fail(c, "a state is 0 or 1", sample->name);
    }
    return check_growing(c, sample, suffix);
}

static size_t count_chars(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static enum mg_err check_exemplar(const struct checker *c, const struct group *group,
                                  const struct metric_sample *sample, const char *suffix)
{
    bool is_bucket = is_histogram(c->family.type) && strcmp(suffix, "_bucket") == 0;
    bool is_total = c->family.type == COUNTER && strcmp(suffix, "_total") == 0;
    size_t chars = 0;

    if (!sample->has_exemplar)
        return MG_OK;
    if (!is_bucket && !is_total)
        return fail(c, "only buckets and counter totals have exemplars", sample->name);
    for (size_t i = 0; i < sample->exemplar_labels.n; i++)
        chars += count_chars(sample->exemplar_labels.at[i].name) +
                 count_chars(sample->exemplar_labels.at[i].value);
    if (chars > EXEMPLAR_CHARS_MAX)
        return fail(c, "an exemplar's labels have more than 128 characters", sample->name);
    if (is_bucket && sample->exemplar_value > group->bound)
        return fail(c, "the exemplar is not in its bucket", sample->name);
    return MG_OK;
}

/* The sample's group is the current one: is its time one that may follow? */
static enum mg_err advance_time(struct checker *c, struct group *group,
                                const struct metric_sample *sample)
{
    if (group->has_time != sample->has_time)
        return fail(c, "samples with and without timestamp in one metric", sample->name);
    if (!sample->has_time || sample->time == group->time)
        return MG_OK;
    if (sample->time < group->time)
        return fail(c, "the timestamp goes back", sample->name);
    MG_TRY(check_point(c, group));
    *group = (struct group){ .next = group->next, .has_time = true, .time = sample->time };
    return MG_OK;
}

static enum mg_err find_group(struct checker *c, const struct metric_sample *sample, struct str key,
                              struct group **out)
{
    struct family *family = &c->family;
    bool is_new;
    void **slot = map_put(&family->groups, key, &is_new);

    if (is_new) {
        struct group *group = ARENA_NEW(&c->arena, struct group);

        group->has_time = sample->has_time;
        group->time = sample->time;
        *slot = group;
        *family->last = group;
        family->last = &group->next;
    } else if (is_open_metrics(c)) {
        if (*slot != family->current)
            return fail(c, "the samples of one metric are not in one piece", sample->name);
        MG_TRY(advance_time(c, *slot, sample));
    }
    family->current = *out = *slot;
    (*out)->line = c->line;
    return MG_OK;
}

static enum mg_err check_duplicate(struct checker *c, const struct metric_sample *sample)
{
    struct buf key;
    bool is_new = true;

    if (is_open_metrics(c) && sample->has_time)
        return MG_OK;             /* several points of one series */
    buf_init(&key, SIZE_MAX / 2); /* the text bounds it */
    buf_put_varint(&key, sample->name.len);
    buf_put_str(&key, sample->name);
    put_key(&key, &sample->labels, STR(""));
    (void)map_put(&c->series, buf_str(&key), &is_new);
    buf_fini(&key);
    return is_new ? MG_OK : fail(c, "this series is here already", sample->name);
}

static enum mg_err take_sample(struct checker *c, const struct metric_sample *sample,
                               const char *suffix)
{
    struct buf key;
    struct group *group = NULL;

    buf_init(&key, SIZE_MAX / 2);
    put_key(&key, &sample->labels, inner_label(c, suffix));
    enum mg_err err = find_group(c, sample, buf_str(&key), &group);
    buf_fini(&key);
    MG_TRY(err);
    MG_TRY(check_value(c, sample, suffix));
    MG_TRY(take_part(c, group, sample, suffix));
    MG_TRY(check_exemplar(c, group, sample, suffix));
    return check_duplicate(c, sample);
}

static enum mg_err on_sample(struct checker *c, struct str line)
{
    struct metric_sample sample;
    enum mg_err err = metric_sample_parse(&sample, line, c->format, &c->arena, c->why);

    if (err != MG_OK)
        return mg_fail_in(c->why, err, "line %u", c->line);
    const char *suffix = suffix_of(c, sample.name);
    if (!suffix) {
        if (c->family.is_open && str_eq(c->family.name, sample.name))
            return mg_fail(c->why, MG_E_FORMAT, "line %u: a sample of the %s '%.*s' must end in %s",
                           c->line, c->rules[c->family.type].name, STR_ARG(sample.name),
                           c->rules[c->family.type].suffixes[0]);
        MG_TRY(open_family(c, sample.name));
        suffix = "";
    }
    c->family.has_samples = true;
    return take_sample(c, &sample, suffix);
}

/* ---- lines */

static enum mg_err on_line(struct checker *c, struct str line)
{
    if (line.len && line.ptr[line.len - 1] == '\r')
        return mg_fail(c->why, MG_E_FORMAT, "line %u: ends with a carriage return", c->line);
    if (is_open_metrics(c)) {
        if (c->has_eof)
            return mg_fail(c->why, MG_E_FORMAT, "line %u: something after '# EOF'", c->line);
        if (!line.len)
            return mg_fail(c->why, MG_E_FORMAT, "line %u: an empty line", c->line);
        return line.ptr[0] == '#' ? on_open_comment(c, line) : on_sample(c, line);
    }
    struct str trimmed = skip_blanks(line);
    if (!trimmed.len)
        return MG_OK;
    return trimmed.ptr[0] == '#' ? on_text_comment(c, trimmed) : on_sample(c, trimmed);
}

/* Length of a well-formed character (no overlong form, no surrogate), or 0. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    size_t len = 0;

    if (p[0] < 0x80)
        len = 1;
    else if (p[0] >= 0xc2 && p[0] < 0xf5)
        len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool is_wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_wrong ? 0 : len;
}

static bool is_utf8(struct str s)
{
    for (size_t i = 0, step; i < s.len; i += step) {
        step = utf8_len((const unsigned char *)s.ptr + i, s.len - i);
        if (step == 0)
            return false;
    }
    return true;
}

static enum mg_err check_lines(struct checker *c, struct str text)
{
    struct str line;

    if (!is_open_metrics(c) && text.len && text.ptr[text.len - 1] != '\n')
        return mg_fail(c->why, MG_E_FORMAT, "the last line does not end with a newline");
    while (str_cut(&text, '\n', &line)) {
        c->line++;
        if (!is_utf8(line))
            return mg_fail(c->why, MG_E_FORMAT, "line %u: not UTF-8", c->line);
        MG_TRY(on_line(c, line));
    }
    if (is_open_metrics(c) && !c->has_eof)
        return mg_fail(c->why, MG_E_FORMAT, "line %u: the last line is not '# EOF'", c->line + 1);
    return close_family(c);
}

enum mg_err metric_check(struct str text, enum metric_format format, struct mg_why *why)
{
    struct checker c = { .format = format, .why = why };

    c.rules = format == METRIC_OPENMETRICS_1_0 ? open_rules : text_rules;
    arena_init(&c.arena);
    enum mg_err err = check_lines(&c, text);
    map_fini(&c.family.groups);
    map_fini(&c.claimed);
    map_fini(&c.series);
    arena_fini(&c.arena);
    return err;
}
