/* regex.c - PCRE2 as the engine, RE2 as the language.
 *
 * People write these patterns for Prometheus and Jaeger, whose engine is RE2; a pattern must mean
 * the same here or be refused. So the pattern is read first, and everything RE2 has not -
 * look-around, back-references, atomic groups, possessive repetition, recursion, verbs - is refused
 * by name. What is left still can backtrack without an end in PCRE2, so every match runs under
 * limits; the interpreter is used because the compiled code of PCRE2 observes only one of them. \v,
 * which means another thing to each of the two, is refused too. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "codec/regex.h"
#include <assert.h>
#include <pcre2.h>
#include "base/buf.h"
#include "base/mem.h"
#include "codec/utf8.h"

#define PATTERN_BYTES_MAX 4096
#define REPEAT_MAX        1000   /* RE2's */
#define STEPS_MAX         250000 /* some 10 ms */
#define BACKTRACKS_MAX    100000 /* depth of nested backtracking */
#define HEAP_KIB_MAX      8192

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
};

/* ---- reading the pattern: only what tells RE2 from PCRE2 ---- */

struct scan {
    struct str pattern;
    size_t at;
    bool can_repeat; /* an atom stands in front */
};

static bool scan_starts(const struct scan *s, const char *text)
{
    struct str rest = str_n(s->pattern.ptr + s->at, s->pattern.len - s->at);
    return str_starts(rest, str_of(text));
}

/* To behind `text`, or to the end when it does not come. */
static void scan_past(struct scan *s, const char *text)
{
    while (s->at < s->pattern.len && !scan_starts(s, text))
        s->at++;
    s->at = MG_MIN(s->at + strlen(text), s->pattern.len);
}

/* At a backslash. NULL, or what is wrong. */
static const char *scan_escape(struct scan *s)
{
    if (s->at + 1 >= s->pattern.len)
        return "a backslash at the end";
    char c = s->pattern.ptr[s->at + 1];
    if (c >= '1' && c <= '9')
        return "back-references are not supported";
    bool is_word = c == '0' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (is_word && !strchr("0aftnrxQEAzbBdDsSwWpP", c))
        return "this escape is not supported";
    s->at += 2;
    if (c == 'Q')
        scan_past(s, "\\E");
    return NULL;
}

/* At the bracket that opens a class; a ] in front of all others is a letter. */
static const char *scan_class(struct scan *s)
{
    s->at += scan_starts(s, "[^") ? 2 : 1;
    for (bool first = true; s->at < s->pattern.len; first = false) {
        char c = s->pattern.ptr[s->at];
        if (c == ']' && !first) {
            s->at++;
            return NULL;
        }
        const char *fault = NULL;
        if (c == '\\')
            fault = scan_escape(s);
        else if (scan_starts(s, "[:"))
            scan_past(s, ":]");
        else if (scan_starts(s, "[.") || scan_starts(s, "[="))
            fault = "collating elements are not supported";
        else
            s->at++;
        if (fault)
            return fault;
    }
    return "a class without its ]";
}

/* At an opening parenthesis: plain, (?:, (?P<name>, (?<name>, or flags of i m s U. */
static const char *scan_group(struct scan *s)
{
    s->can_repeat = false;
    if (scan_starts(s, "(*"))
        return "verbs are not supported";
    if (!scan_starts(s, "(?")) {
        s->at++;
        return NULL;
    }
    if (scan_starts(s, "(?=") || scan_starts(s, "(?!") || scan_starts(s, "(?<=") ||
        scan_starts(s, "(?<!"))
        return "look-around is not supported";
    if (scan_starts(s, "(?P<") || scan_starts(s, "(?<")) {
        scan_past(s, ">");
        return NULL;
    }
    s->at += 2;
    while (s->at < s->pattern.len && strchr("imsU-", s->pattern.ptr[s->at]))
        s->at++;
    if (!scan_starts(s, ":") && !scan_starts(s, ")"))
        return "this kind of group is not supported";
    s->at++;
    return NULL;
}

/* Length of {n}, {n,} or {n,m} at the front, 0 when it is none (then { is a letter). */
static size_t scan_braces(const struct scan *s, bool *too_many)
{
    unsigned numbers[2] = {0, 0}, which = 0;
    size_t at = s->at + 1, digits = 0;
    for (; at < s->pattern.len; at++) {
        char c = s->pattern.ptr[at];
        if (c >= '0' && c <= '9') {
            numbers[which] = MG_MIN(numbers[which] * 10 + (unsigned)(c - '0'), REPEAT_MAX + 1u);
            digits += which == 0;
        } else if (c == ',' && which == 0) {
            which = 1;
        } else {
            break;
        }
    }
    if (digits == 0 || at == s->pattern.len || s->pattern.ptr[at] != '}')
        return 0;
    *too_many = numbers[0] > REPEAT_MAX || numbers[1] > REPEAT_MAX;
    return at + 1 - s->at;
}

/* Length of the repetition at the front, with the ? of a lazy one; 0 when there is none. */
static size_t scan_repeat(const struct scan *s, bool *too_many)
{
    size_t n = 0;
    *too_many = false;
    if (s->at == s->pattern.len)
        return 0;
    char c = s->pattern.ptr[s->at];
    if (c == '*' || c == '+' || c == '?')
        n = 1;
    else if (c == '{')
        n = scan_braces(s, too_many);
    if (n > 0 && s->at + n < s->pattern.len && s->pattern.ptr[s->at + n] == '?')
        n++;
    return n;
}

static const char *scan_one(struct scan *s)
{
    bool too_many, again;
    size_t n = scan_repeat(s, &too_many);
    if (n > 0) {
        if (!s->can_repeat)
            return "a repetition of nothing, or of a repetition";
        if (too_many)
            return "a repetition of more than 1000";
        s->at += n;
        s->can_repeat = false;
        return scan_repeat(s, &again) ? "a repetition of a repetition (or a possessive one)" : NULL;
    }
    char c = s->pattern.ptr[s->at];
    s->can_repeat = c != '|';
    if (c == '\\')
        return scan_escape(s);
    if (c == '[')
        return scan_class(s);
    if (c == '(')
        return scan_group(s);
    s->at++;
    return NULL;
}

static enum mg_err check_language(struct str pattern, struct mg_why *why)
{
    struct scan s = {.pattern = pattern};
    while (s.at < pattern.len) {
        size_t at = s.at;
        const char *fault = scan_one(&s);
        if (fault)
            return mg_fail(why, MG_E_FORMAT, "regular expression, byte %zu: %s", at, fault);
    }
    return MG_OK;
}

/* ---- PCRE2 ---- */

static pcre2_code *compile(struct str pattern, int *error, PCRE2_SIZE *at)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    assert(context);
    pcre2_set_newline(context,
                      PCRE2_NEWLINE_LF); /* what the dot leaves out, whatever the build says */
    pcre2_set_parens_nest_limit(context, 250);
    pcre2_code *code = pcre2_compile(
        (PCRE2_SPTR)(pattern.ptr ? pattern.ptr : ""), pattern.len,
        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF, error, at, context);
    pcre2_compile_context_free(context);
    return code;
}

enum mg_err regex_compile(struct regex **out, struct str pattern, struct mg_why *why)
{
    if (pattern.len > PATTERN_BYTES_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "a regular expression of more than %d bytes",
                       PATTERN_BYTES_MAX);
    MG_TRY(check_language(pattern, why));
    int error;
    PCRE2_SIZE at;
    pcre2_code *code = compile(pattern, &error, &at);
    if (!code) {
        PCRE2_UCHAR text[200];
        pcre2_get_error_message(error, text, sizeof text);
        return mg_fail(why, MG_E_FORMAT, "regular expression, byte %zu: %s", (size_t)at,
                       (char *)text);
    }
    struct regex *regex = MEM_NEW(struct regex);
    regex->code = code;
    regex->limits = pcre2_match_context_create(NULL);
    assert(regex->limits);
    pcre2_set_match_limit(regex->limits, STEPS_MAX);
    pcre2_set_depth_limit(regex->limits, BACKTRACKS_MAX);
    pcre2_set_heap_limit(regex->limits, HEAP_KIB_MAX);
    *out = regex;
    return MG_OK;
}

void regex_free(struct regex **regex)
{
    if (!*regex)
        return;
    pcre2_match_context_free((*regex)->limits);
    pcre2_code_free((*regex)->code);
    mem_free(*regex);
    *regex = NULL;
}

static bool match_valid(const struct regex *regex, struct str text)
{
    /* Of the call, not of the regex: any number of threads may be here. */
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    assert(data);
    int result = pcre2_match(regex->code, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0,
                             PCRE2_NO_UTF_CHECK, data, regex->limits);
    pcre2_match_data_free(data);
    return result >= 0;
}

/* PCRE2 may read past the end of a text that is not UTF-8, and its own mode for such texts lets a
 * match end in front of the bad bytes, as if nothing followed. So it never sees one. */
bool regex_match(const struct regex *regex, struct str text)
{
    if (utf8_valid(text.ptr, text.len))
        return match_valid(regex, text);
    struct buf clean;
    buf_init(&clean, SIZE_MAX);
    utf8_sanitize(&clean, text);
    bool matches = buf_err(&clean) == MG_OK && match_valid(regex, buf_str(&clean));
    buf_fini(&clean);
    return matches;
}
