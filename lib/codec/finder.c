/* finder.c - PCRE2 under a budget.
 *
 * PCRE2's limits hold for one starting point; a search has as many as the text has bytes, and a repetition of one character is
 * not counted at all. So a pattern as innocent as \d+x costs the square of a long run of digits. Three compiled forms of the
 * pattern share the work:
 *
 *   quick    as PCRE2 likes it, for texts of 1 KiB: few steps a start, and the square of 1 KiB is no harm once. Nearly all end here.
 *            Many such texts share an allowance; when it is used up, what is longer than 128 bytes is counted at once.
 *   counted  every item calls back, and what a repetition ran over shows in the position: the sum over all starts and matches of
 *            a text is bounded.
 *   linear   `(?s:.*?)(?:pattern)` in PCRE2's automaton, with room for few states: linear in the text, and says only whether there
 *            is a match. It keeps an honest text that is merely tedious from being given up. It calls back too, once a state.
 *
 * The last two take their steps from the scratch's budget as well, which many texts share.
 *
 * Before all three, a few bytes that every match must hold are looked for; most texts lack one. PCRE2 does the same with the last such
 * byte only, which in a mail address is the dot of the domain, not the @. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "codec/finder.h"
#include <assert.h>
#include <pcre2.h>
#include "base/mem.h"
#include "codec/regex.h"
#include "codec/utf8.h"

#define QUICK_BYTES_MAX   1024
#define QUICK_BYTES_FREE  128  /* whose square costs some 70 ns a byte at worst */
#define QUICK_PER_STEP    32   /* the square of a text's bytes in the time of a callback */
#define QUICK_STEPS       100  /* a start */
#define COUNTED_STEPS     20000
#define COUNTED_PER_BYTE  64
#define BYTES_PER_STEP    16   /* that a repetition runs over in the time of a callback */
#define BACKTRACKS_MAX    100000
#define HEAP_KIB_MAX      2048
#define LINEAR_WORKSPACE  1024 /* ints; some 160 states with their callbacks, which are compared pairwise */
#define LINEAR_STEP       4    /* a callback of the automaton, in steps of the counted try */
#define SCRATCH_KEEP      65536
#define NEEDED_MAX        4

struct finder {
    pcre2_code *quick, *counted, *linear;
    pcre2_match_context *quick_limits;
    size_t bytes_min;        /* of a match: PCRE2 counts characters */
    char needed[NEEDED_MAX]; /* are in every match */
    size_t n_needed;
};

struct finder_scratch {
    pcre2_match_data *data;
    pcre2_match_context *counted_limits;
    pcre2_match_context *linear_limits;
    uint64_t quick_left; /* the allowance of quick tries, in steps */
    uint64_t budget;     /* of all texts from now on */
    uint64_t steps_left; /* of this text; never more than the budget */
    size_t position;  /* of the last callback */
    struct buf clean; /* a text that is not UTF-8, with U+FFFD */
    int workspace[LINEAR_WORKSPACE];
};

/* --- compiling ---------------------------------------------------------------------------------- */

static pcre2_code *compile(struct str pattern, uint32_t options)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int error;
    PCRE2_SIZE at;

    assert(context);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF); /* regex.c says why */
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern.ptr ? pattern.ptr : ""), pattern.len,
                                     PCRE2_DOLLAR_ENDONLY | PCRE2_UTF | options, &error, &at, context);
    pcre2_compile_context_free(context);
    return code;
}

/* \E ends a \Q that the pattern left open, and is nothing without one. */
static pcre2_code *compile_linear(struct str pattern)
{
    struct buf wrapped;

    buf_init(&wrapped, SIZE_MAX);
    buf_put_text(&wrapped, "(?s:.*?)(?:");
    buf_put_str(&wrapped, pattern);
    buf_put_text(&wrapped, "\\E)");
    pcre2_code *code = compile(buf_str(&wrapped), PCRE2_ANCHORED | PCRE2_AUTO_CALLOUT);
    buf_fini(&wrapped);
    return code;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Behind [:alpha:] or [:^alpha:], or `at`. */
static size_t posix_end(struct str pattern, size_t at)
{
    size_t end = at + 2;

    if (!str_starts(str_n(pattern.ptr + at, pattern.len - at), STR("[:")))
        return at;
    while (end < pattern.len && (is_letter(pattern.ptr[end]) || pattern.ptr[end] == '^'))
        end++;
    return str_starts(str_n(pattern.ptr + end, pattern.len - end), STR(":]")) ? end + 2 : at;
}

/* Behind the class that opens at `at`. The pattern was compiled: it is closed. */
static size_t class_end(struct str pattern, size_t at)
{
    at += pattern.ptr[at + 1] == '^' ? 2 : 1;
    for (bool first = true; pattern.ptr[at] != ']' || first; first = false) {
        size_t posix = posix_end(pattern, at);
        at = posix > at ? posix : at + (pattern.ptr[at] == '\\' ? 2 : 1);
    }
    return at + 1;
}

/* Behind {2}, {2,} or {2,3}; another brace is a letter. */
static size_t braces_end(struct str pattern, size_t at)
{
    size_t end = at + 1;

    while (end < pattern.len && ((pattern.ptr[end] >= '0' && pattern.ptr[end] <= '9') || pattern.ptr[end] == ','))
        end++;
    return end < pattern.len && pattern.ptr[end] == '}' ? end + 1 : at + 1;
}

/* The character at `at` when it stands for itself and no repetition can leave it out; else 0. Letters and digits are no
 * candidates: their case may not count, and they are in too many texts. */
static char needed_at(struct str pattern, size_t at, size_t next)
{
    char c = pattern.ptr[at] == '\\' ? pattern.ptr[at + 1] : pattern.ptr[at];
    bool is_literal = pattern.ptr[at] == '\\' || !strchr(".^$|?*+{}()[]", c);

    if (!is_literal || is_letter(c) || (c >= '0' && c <= '9') || (uint8_t)c >= 0x80 || c < ' ')
        return 0;
    return next < pattern.len && strchr("?*{", pattern.ptr[next]) ? 0 : c;
}

static size_t item_end(struct str pattern, size_t at)
{
    switch (pattern.ptr[at]) {
    case '[':
        return class_end(pattern, at);
    case '{':
        return braces_end(pattern, at);
    case '\\':
        return at + 2;
    default:
        return at + 1;
    }
}

/* Bytes outside of groups, of a pattern without alternatives and without \Q. */
static void study(struct finder *finder, struct str pattern)
{
    uint32_t least = 0, depth = 0;
    char needed;

    pcre2_pattern_info(finder->quick, PCRE2_INFO_MINLENGTH, &least);
    finder->bytes_min = least;
    if (str_find(pattern, STR("\\Q"), &(size_t){ 0 }))
        return;
    for (size_t at = 0, next; at < pattern.len; at = next) {
        char c = pattern.ptr[at];
        next = item_end(pattern, at);
        depth += (c == '(') - (c == ')');
        if (c == '|' && depth == 0) {
            finder->n_needed = 0;
            return;
        }
        if (depth == 0 && finder->n_needed < NEEDED_MAX && (needed = needed_at(pattern, at, next)))
            finder->needed[finder->n_needed++] = needed;
    }
}

enum mg_err finder_compile(struct finder **out, struct str pattern, struct mg_why *why)
{
    MG_AUTO(regex_free) struct regex *checked = NULL;
    MG_AUTO(finder_free) struct finder *finder = MEM_NEW(struct finder);

    MG_TRY(regex_compile(&checked, pattern, why));
    finder->quick = compile(pattern, 0);
    finder->counted = compile(pattern, PCRE2_AUTO_CALLOUT);
    finder->linear = compile_linear(pattern);
    if (!finder->quick || !finder->counted || !finder->linear)
        return mg_fail(why, MG_E_FORMAT, "the regular expression is too large");
    finder->quick_limits = pcre2_match_context_create(NULL);
    assert(finder->quick_limits);
    pcre2_set_match_limit(finder->quick_limits, QUICK_STEPS);
    pcre2_set_heap_limit(finder->quick_limits, HEAP_KIB_MAX);
    study(finder, pattern);
    *out = MG_STEAL(finder);
    return MG_OK;
}

void finder_free(struct finder **pointer)
{
    struct finder *finder = *pointer;

    if (!finder)
        return;
    pcre2_match_context_free(finder->quick_limits);
    pcre2_code_free(finder->quick);
    pcre2_code_free(finder->counted);
    pcre2_code_free(finder->linear);
    mem_free(finder);
    *pointer = NULL;
}

static int steps_take(struct finder_scratch *scratch, uint64_t steps)
{
    if (scratch->steps_left < steps) {
        scratch->budget -= scratch->steps_left;
        scratch->steps_left = 0;
        return PCRE2_ERROR_CALLOUT;
    }
    scratch->steps_left -= steps;
    scratch->budget -= steps;
    return 0;
}

static int on_item(pcre2_callout_block *block, void *owner)
{
    struct finder_scratch *scratch = owner;
    uint64_t steps = 1;

    if (block->current_position > scratch->position)
        steps += (block->current_position - scratch->position) / BYTES_PER_STEP;
    scratch->position = block->current_position;
    return steps_take(scratch, steps);
}

static int on_state(pcre2_callout_block *block, void *owner)
{
    (void)block;
    return steps_take(owner, LINEAR_STEP);
}

struct finder_scratch *finder_scratch_new(void)
{
    struct finder_scratch *scratch = MEM_NEW(struct finder_scratch);

    scratch->data = pcre2_match_data_create(1, NULL);
    scratch->counted_limits = pcre2_match_context_create(NULL);
    scratch->linear_limits = pcre2_match_context_create(NULL);
    assert(scratch->data && scratch->counted_limits && scratch->linear_limits);
    pcre2_set_callout(scratch->counted_limits, on_item, scratch);
    pcre2_set_callout(scratch->linear_limits, on_state, scratch);
    pcre2_set_depth_limit(scratch->counted_limits, BACKTRACKS_MAX);
    pcre2_set_heap_limit(scratch->counted_limits, HEAP_KIB_MAX);
    buf_init(&scratch->clean, SIZE_MAX);
    finder_scratch_budget(scratch, UINT64_MAX);
    return scratch;
}

void finder_scratch_budget(struct finder_scratch *scratch, uint64_t steps)
{
    scratch->budget = steps;
    scratch->quick_left = steps;
}

bool finder_scratch_is_spent(const struct finder_scratch *scratch)
{
    return scratch->budget == 0;
}

void finder_scratch_free(struct finder_scratch **pointer)
{
    struct finder_scratch *scratch = *pointer;

    if (!scratch)
        return;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->counted_limits);
    pcre2_match_context_free(scratch->linear_limits);
    buf_fini(&scratch->clean);
    mem_free(scratch);
    *pointer = NULL;
}

/* --- looking ------------------------------------------------------------------------------------ */

/* One search. `text` is what is shown to PCRE2: `original`, or its clean form. */
struct look {
    const struct finder *finder;
    struct finder_scratch *scratch;
    struct str text, original;
    const pcre2_code *code;
    pcre2_match_context *limits;
};

static bool text_can_match(const struct finder *finder, struct str text)
{
    if (text.len < finder->bytes_min)
        return false;
    for (size_t i = 0; i < finder->n_needed; i++)
        if (text.len == 0 || !memchr(text.ptr, finder->needed[i], text.len))
            return false;
    return true;
}

static struct look look_at(const struct finder *finder, struct finder_scratch *scratch, struct str text)
{
    struct look look = { .finder = finder, .scratch = scratch, .text = text, .original = text };

    if (utf8_valid(text.ptr, text.len))
        return look;
    buf_shrink(&scratch->clean, SCRATCH_KEEP);
    utf8_sanitize(&scratch->clean, text);
    look.text = buf_str(&scratch->clean);
    return look;
}

static bool look_quickly(struct look *look)
{
    uint64_t len = look->text.len, steps = len > QUICK_BYTES_FREE ? len * len / QUICK_PER_STEP : 0;

    if (len > QUICK_BYTES_MAX || steps > look->scratch->quick_left)
        return false;
    look->scratch->quick_left -= steps;
    look->code = look->finder->quick;
    look->limits = look->finder->quick_limits;
    return true;
}

static void look_counting(struct look *look)
{
    look->code = look->finder->counted;
    look->limits = look->scratch->counted_limits;
    look->scratch->position = 0;
    look->scratch->steps_left = MG_MIN(COUNTED_STEPS + (uint64_t)look->text.len * COUNTED_PER_BYTE, look->scratch->budget);
}

static enum finder_verdict look_next(const struct look *look, size_t from, uint32_t options)
{
    int result = pcre2_match(look->code, (PCRE2_SPTR)(look->text.ptr ? look->text.ptr : ""), look->text.len, from,
                             PCRE2_NO_UTF_CHECK | options, look->scratch->data, look->limits);

    if (result >= 0)
        return FINDER_FOUND;
    return result == PCRE2_ERROR_NOMATCH ? FINDER_ABSENT : FINDER_GAVE_UP;
}

/* FOUND: there is one, perhaps an empty one. */
static enum finder_verdict look_linearly(const struct look *look)
{
    look->scratch->steps_left = look->scratch->budget;
    if (look->scratch->budget == 0)
        return FINDER_GAVE_UP;
    int result = pcre2_dfa_match(look->finder->linear, (PCRE2_SPTR)(look->text.ptr ? look->text.ptr : ""), look->text.len, 0,
                                 PCRE2_NO_UTF_CHECK | PCRE2_DFA_SHORTEST, look->scratch->data, look->scratch->linear_limits,
                                 look->scratch->workspace, LINEAR_WORKSPACE);

    if (result >= 0)
        return FINDER_FOUND;
    return result == PCRE2_ERROR_NOMATCH ? FINDER_ABSENT : FINDER_GAVE_UP;
}

enum finder_verdict finder_search(const struct finder *finder, struct finder_scratch *scratch, struct str text)
{
    enum finder_verdict verdict = FINDER_GAVE_UP;

    if (!text_can_match(finder, text))
        return FINDER_ABSENT;
    struct look look = look_at(finder, scratch, text);
    if (look_quickly(&look))
        verdict = look_next(&look, 0, 0);
    if (verdict == FINDER_GAVE_UP && scratch->budget > 0) {
        look_counting(&look);
        verdict = look_next(&look, 0, 0);
    }
    return verdict == FINDER_GAVE_UP ? look_linearly(&look) : verdict;
}

/* --- replacing ---------------------------------------------------------------------------------- */

/* Walks the original beside its clean form, to the place that `clean` is in the latter. */
struct place { size_t clean, original; };

static void place_move(struct place *place, const struct look *look, size_t clean)
{
    if (look->text.ptr == look->original.ptr) {
        place->clean = place->original = clean;
        return;
    }
    while (place->clean < clean) {
        bool valid;
        size_t n = utf8_sequence(look->original.ptr + place->original, look->original.len - place->original, &valid);
        place->original += n;
        place->clean += valid ? n : 3; /* U+FFFD */
    }
}

static enum finder_verdict replace_all(const struct look *look, struct str with, struct buf *out)
{
    const PCRE2_SIZE *match = pcre2_get_ovector_pointer(look->scratch->data);
    struct place place = { 0, 0 };
    size_t done = 0; /* of the original */
    enum finder_verdict verdict;
    bool any = false;

    buf_clear(out);
    while ((verdict = look_next(look, place.clean, PCRE2_NOTEMPTY)) == FINDER_FOUND) {
        size_t end = match[1];
        place_move(&place, look, match[0]);
        if (!any || place.original > done) {
            buf_put(out, look->original.ptr + done, place.original - done);
            buf_put_str(out, with);
        }
        place_move(&place, look, end);
        done = place.original;
        any = true;
    }
    if (verdict == FINDER_GAVE_UP || !any) {
        buf_clear(out);
        return verdict;
    }
    if (done < look->original.len)
        buf_put(out, look->original.ptr + done, look->original.len - done);
    return FINDER_FOUND;
}

enum finder_verdict finder_replace(const struct finder *finder, struct finder_scratch *scratch, struct str text, struct str with,
                                   struct buf *out)
{
    enum finder_verdict verdict = FINDER_GAVE_UP;

    buf_clear(out);
    if (text.len == 0 || !text_can_match(finder, text))
        return FINDER_ABSENT;
    struct look look = look_at(finder, scratch, text);
    if (look_quickly(&look))
        verdict = replace_all(&look, with, out);
    if (verdict == FINDER_GAVE_UP && scratch->budget > 0) {
        look_counting(&look);
        verdict = replace_all(&look, with, out);
    }
    if (verdict == FINDER_GAVE_UP && look_linearly(&look) == FINDER_ABSENT)
        return FINDER_ABSENT;
    return verdict;
}
