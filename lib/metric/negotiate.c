/* negotiate.c - which exposition format an Accept header asks for.
 *
 * The clauses are sorted by weight, stably, and walked until one names a format we write; on the
 * way the wanted name escaping is remembered. All our names are legacy names, which no scheme but
 * `dots` changes; `dots` is therefore answered as `underscores`. */
#include "metric/metric.h"

#define CLAUSES_MAX 32 /* Prometheus sends 5 or 6; what follows the 32nd is not looked at */

enum scheme { UNDERSCORES, ALLOW_UTF_8, VALUES, N_SCHEMES };

struct clause {
    struct str type;
    struct str version;
    struct str escaping;
    unsigned thousandths; /* q */
};

#define CONTENT_TYPES(base)                                                                        \
    {                                                                                              \
        base "; escaping=underscores", base "; escaping=allow-utf-8", base "; escaping=values"     \
    }

static const struct answer {
    struct str type;
    struct str version;
    bool is_default; /* when the clause has no version */
    enum metric_format format;
    const char *content_type[N_SCHEMES];
} answers[] = {
    { STR_INIT("text/plain"), STR_INIT("0.0.4"), true, METRIC_TEXT_0_0_4,
      CONTENT_TYPES("text/plain; version=0.0.4; charset=utf-8") },
    { STR_INIT("application/openmetrics-text"), STR_INIT("1.0.0"), false, METRIC_OPENMETRICS_1_0,
      CONTENT_TYPES("application/openmetrics-text; version=1.0.0; charset=utf-8") },
    { STR_INIT("application/openmetrics-text"), STR_INIT("0.0.1"), true, METRIC_OPENMETRICS_1_0,
      CONTENT_TYPES("application/openmetrics-text; version=0.0.1; charset=utf-8") },
};

static struct str unquote(struct str s)
{
    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        return str_n(s.ptr + 1, s.len - 2);
    return s;
}

/* RFC 9110 12.4.2: 0 to 1 with at most three decimals. What is none counts as 1, as Go's library
 * does. */
static unsigned parse_weight(struct str text)
{
    double weight;

    if (str_double(text, &weight) != MG_OK || weight < 0 || weight > 1)
        return 1000;
    return (unsigned)(weight * 1000 + 0.5);
}

static struct clause parse_clause(struct str text)
{
    struct clause clause = { .thousandths = 1000 };
    struct str part, name, value;

    if (str_cut(&text, ';', &part))
        clause.type = str_trim(part);
    while (str_cut(&text, ';', &part)) {
        if (!str_split_at(part, '=', &name, &value))
            continue;
        name = str_trim(name);
        value = unquote(str_trim(value));
        if (str_eq_nocase(name, STR("q")))
            clause.thousandths = parse_weight(value);
        else if (str_eq_nocase(name, STR("version")))
            clause.version = value;
        else if (str_eq_nocase(name, STR("escaping")))
            clause.escaping = value;
    }
    return clause;
}

/* Insertion keeps the order of equal weights. */
static size_t parse_accept(struct str accept, struct clause *clauses)
{
    struct str text;
    size_t n = 0;

    while (n < CLAUSES_MAX && str_cut(&accept, ',', &text)) {
        struct clause clause = parse_clause(text);
        size_t at = n;

        if (clause.thousandths == 0) /* RFC 9110 12.4.2: not acceptable */
            continue;
        for (; at > 0 && clauses[at - 1].thousandths < clause.thousandths; at--)
            clauses[at] = clauses[at - 1];
        clauses[at] = clause;
        n++;
    }
    return n;
}

static void remember_scheme(struct str escaping, enum scheme *scheme)
{
    if (str_eq(escaping, STR("allow-utf-8")))
        *scheme = ALLOW_UTF_8;
    else if (str_eq(escaping, STR("values")))
        *scheme = VALUES;
    else if (str_eq(escaping, STR("underscores")) || str_eq(escaping, STR("dots")))
        *scheme = UNDERSCORES;
}

static bool is_wildcard(struct str type)
{
    return str_eq(type, STR("*/*")) || str_eq_nocase(type, STR("text/*"));
}

static const struct answer *find_answer(const struct clause *clause)
{
    if (is_wildcard(clause->type))
        return &answers[0];
    for (size_t i = 0; i < MG_COUNT(answers); i++) {
        bool is_version = clause->version.len ? str_eq(clause->version, answers[i].version)
                                              : answers[i].is_default;

        if (is_version && str_eq_nocase(clause->type, answers[i].type))
            return &answers[i];
    }
    return NULL;
}

const char *metric_negotiate(struct str accept, enum metric_format *format)
{
    struct clause clauses[CLAUSES_MAX];
    size_t n = parse_accept(accept, clauses);
    enum scheme scheme = UNDERSCORES;
    const struct answer *answer = NULL;

    for (size_t i = 0; i < n && !answer; i++) {
        remember_scheme(clauses[i].escaping, &scheme);
        answer = find_answer(&clauses[i]);
    }
    if (!answer)
        answer = &answers[0];
    *format = answer->format;
    return answer->content_type[scheme];
}
