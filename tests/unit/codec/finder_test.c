#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/mem.h"
#include "codec/finder.h"

static struct finder *make(const char *pattern)
{
    struct finder *finder = NULL;
    struct mg_why why = { "" };

    if (finder_compile(&finder, str_of(pattern), &why) != MG_OK)
        fail_msg("%s: %s", pattern, why.text);
    return finder;
}

/* The text with * for each match; NULL: no match that is not empty. */
static const struct { const char *pattern, *text; bool is_there; const char *replaced; } rows[] = {
    { "", "", true, NULL },
    { "", "a", true, NULL },
    { "a", "", false, NULL },
    { "a", "xax", true, "x*x" },
    { "a", "a", true, "*" },
    { "a", "aaa", true, "*" },
    { "a", "aba", true, "*b*" },
    { "a", "xyz", false, NULL },
    { "a*", "xaay", true, "x*y" },
    { "a*", "xyz", true, NULL },
    { "^a", "aa", true, "*a" },
    { "a$", "aa", true, "a*" },
    { "a$", "a\n", false, NULL },
    { "(?m)^a$", "b\na\nc", true, "b\n*\nc" },
    { "\\bfoo\\b", "foo foobar foo.", true, "* foobar *." },
    { "(?i)ABC", "xaBcx", true, "x*x" },
    { "(?i)k", "\xe2\x84\xaa", true, "*" }, /* the Kelvin sign */
    { "(?i)\xc3\xa9", "a\xc3\x89" "b", true, "a*b" },
    { "a|b", "cab", true, "c*" },
    { "\\d{4}", "12345678 123", true, "* 123" },
    { "a.c", "a\nc", false, NULL },
    { ".", "a\nb", true, "*\n*" },
    { ".", "\xe2\x82\xac", true, "*" },
    { "[^a]", "a\xe2\x82\xac" "a", true, "a*a" },
    { "\\Qa.", "xa.", true, "x*" },
    { "\\Qa.\\E+", "xa..", true, "x*" },
    { "x\\\\Q", "x\\Q", true, "*" },
    { "(a)(b)?", "aab", true, "*" },
    { "(?P<n>a)b", "ab", true, "*" },
    { "a??b", "aab", true, "a*" },
    /* a byte that every match must hold is looked for first; none of these may be held for one */
    { "a@b", "xa@b", true, "x*" },
    { "a@?b", "ab", true, "*" },
    { "a@*b", "ab", true, "*" },
    { "a@{0,1}b", "ab", true, "*" },
    { "a@+b", "a@@b", true, "*" },
    { "a@|b", "b", true, "*" },
    { "(a@)?b", "b", true, "*" },
    { "(?:a@|b)c", "bc", true, "*" },
    { "[@]|b", "b", true, "*" },
    { "[]@]b", "]b", true, "*" },
    { "[^]@]b", "xb", true, "*" },
    { "[\\]@]b", "]b", true, "*" },
    { "[[:alpha:]@]b", "xb", true, "*" },
    { "[[:alpha:]]@b", "x@b", true, "*" },
    { "[[@]b", "[b", true, "*" },
    { "[[:]a|b[]]@", "b]@x", true, "*x" },
    { "[[:]a|b[]]@", "[a", true, "*" },
    { "[[:^alpha:]]@", "1@", true, "*" },
    { "[\\Q]\\E@]a", "]a", true, "*" },
    { "{[}@]a", "{}a", true, "*" },
    { "\\.b", "x.b", true, "x*" },
    { "\\.?b", "xb", true, "x*" },
    { "\\(@", "(@", true, "*" },
    { "a\\|b", "a|b", true, "*" },
    { "(?i)a-b", "A-B", true, "*" },
    { "\\Q?*@\\E", "?*@", true, "*" },
    { "a,b;c:d/e", "a,b;c:d/e", true, "*" },
    { "a,b;c:d/e", "a,b;c:d-e", false, NULL },
    { "@{2}", "a@@", true, "a*" },
    { "a{,3}@", "a{,3}@", true, "*" },
    { "^$", "", true, NULL },
    { "\\pL-\\x{2d}", "a--", true, "*" },
    /* bad bytes: U+FFFD each maximal sequence, and left as they are */
    { "a", "\xff" "a\xfe", true, "\xff*\xfe" },
    { "\\x{fffd}", "a\xff" "b", true, "a*b" },
    { ".", "\xff\xe2\x82", true, "*" },
    { "b.d", "b\xe2\x82" "d\xff", true, "*\xff" },
    { "x", "\xff", false, NULL },
};

static void finds_and_replaces(void **state)
{
    struct finder_scratch *scratch = finder_scratch_new();
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct finder *finder = make(rows[i].pattern);
        enum finder_verdict is_there = finder_search(finder, scratch, str_of(rows[i].text));
        if (is_there != (rows[i].is_there ? FINDER_FOUND : FINDER_ABSENT))
            fail_msg("%s on %s: %d", rows[i].pattern, rows[i].text, is_there);
        enum finder_verdict verdict = finder_replace(finder, scratch, str_of(rows[i].text), STR("*"), &out);
        assert_int_equal(verdict, rows[i].replaced ? FINDER_FOUND : FINDER_ABSENT);
        if (!str_eq(buf_str(&out), str_of(rows[i].replaced)))
            fail_msg("%s on %s: %.*s", rows[i].pattern, rows[i].text, STR_ARG(buf_str(&out)));
        finder_free(&finder);
        assert_null(finder);
    }
    buf_fini(&out);
    finder_scratch_free(&scratch);
}

/* The same in a text too long for the quick try. */
static void long_texts_are_no_different(void **state)
{
    struct finder_scratch *scratch = finder_scratch_new();
    struct buf text, out, wanted;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    buf_init(&wanted, SIZE_MAX);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (strpbrk(rows[i].pattern, "^$*.") || !rows[i].replaced || str_find(str_of(rows[i].pattern), STR("[^"), &(size_t){ 0 }))
            continue;
        struct finder *finder = make(rows[i].pattern);
        buf_clear(&text);
        buf_clear(&wanted);
        for (size_t n = 0; n < 200; n++) {
            buf_printf(&text, "%s\nQQ ", rows[i].text);
            buf_printf(&wanted, "%s\nQQ ", rows[i].replaced);
        }
        assert_int_equal(finder_search(finder, scratch, buf_str(&text)), FINDER_FOUND);
        assert_int_equal(finder_replace(finder, scratch, buf_str(&text), STR("*"), &out), FINDER_FOUND);
        if (!str_eq(buf_str(&out), buf_str(&wanted)))
            fail_msg("%s on %s, many times", rows[i].pattern, rows[i].text);
        finder_free(&finder);
    }
    buf_fini(&text);
    buf_fini(&out);
    buf_fini(&wanted);
    finder_scratch_free(&scratch);
}

static void refuses_what_regex_refuses(void **state)
{
    static const char *const wrong[] = { "(", ")", "a)(b", "[", "\\", "*", "(?=a)", "(a)\\1", "(*UTF)a", "a++", "\\K", "\xff", "(?C1)" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        struct finder *finder = NULL;
        struct mg_why why = { "" };
        if (finder_compile(&finder, str_of(wrong[i]), &why) != MG_E_FORMAT)
            fail_msg("accepted: %s", wrong[i]);
        assert_null(finder);
        assert_true(why.text[0] != 0);
    }
    char *pattern = mem_alloc(4097);
    struct finder *finder = NULL;
    memset(pattern, 'a', 4097);
    assert_int_equal(finder_compile(&finder, str_n(pattern, 4097), NULL), MG_E_TOO_BIG);
    assert_int_equal(finder_compile(&finder, str_n(pattern, 4096), NULL), MG_OK);
    finder_free(&finder);
    mem_free(pattern);
}

/* Each costs the square of its text, or worse, without a budget. That there is no match is told as far as the automaton can; a match
 * is found or given up, never denied. */
static void no_pattern_hangs(void **state)
{
    static const struct { const char *pattern, *match; bool is_told; } evil[] = {
        { "a+b", "ab", true },
        { "[a-z0-9._%+-]+@[a-z0-9.-]+\\.[a-z]{2,}", "a@a.aa", true },
        { "(a*)*b", "ab", true },
        { "(a+)+b", "ab", true },
        { "(a|aa)+b", "ab", true },
        { "(a|a?)+b", "ab", true },
        { "\\b(\\w+ ?)+\\bx!", "a x!", true },
        { "(.*a){20}b", "ab", false },
        { "(?:a?){30}a{30}b", "ab", false },
        { "a{500,1000}b", "ab", false },
    };
    static const size_t lens[] = { 64, 1024 - 7, 1025, 100000 - 7 };
    static char text[100000];
    struct finder_scratch *scratch = finder_scratch_new();
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < MG_COUNT(evil); i++) {
        struct finder *finder = make(evil[i].pattern);
        for (size_t n = 0; n < MG_COUNT(lens); n++) {
            memset(text, 'a', lens[n]);
            enum finder_verdict verdict = finder_replace(finder, scratch, str_n(text, lens[n]), STR("*"), &out);
            if (verdict == FINDER_FOUND || (verdict == FINDER_GAVE_UP && evil[i].is_told))
                fail_msg("%s on %zu bytes: %d", evil[i].pattern, lens[n], verdict);
            memcpy(text + lens[n], evil[i].match, strlen(evil[i].match));
            struct str matching = str_n(text, lens[n] + strlen(evil[i].match));
            verdict = finder_replace(finder, scratch, matching, STR("*"), &out);
            if ((verdict == FINDER_ABSENT && matching.len > 600) || (verdict == FINDER_FOUND) != (out.len > 0))
                fail_msg("%s on %zu bytes and %s: %d", evil[i].pattern, lens[n], evil[i].match, verdict);
        }
        finder_free(&finder);
    }
    buf_fini(&out);
    finder_scratch_free(&scratch);
}

/* Found as long as there are steps; then what the quick try does not do for is given up at once, and no more than that. */
static void texts_share_a_budget(void **state)
{
    static const struct { const char *pattern; size_t len; uint64_t steps; bool is_spent; } spent[] = {
        { "[a-z]+\\d", 100000, 10000000, true }, /* the counted try, then the automaton */
        { "[a-z]+\\d", 1000, 100000, true },     /* quick tries have an allowance */
        { "[a-z]+\\d", 128, 0, false },          /* and short texts need none */
        { "([a-z]*)*\\d", 100000, 10000000, true },
        { "([a-z]*)*\\d", 1000, 1000000, true },
        { "(?:a|ab?)+[bc]", 100000, 10000000, true },
    };
    static char text[100000];
    struct finder_scratch *scratch = finder_scratch_new();
    struct buf out;

    (void)state;
    memset(text, 'a', sizeof text);
    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i < MG_COUNT(spent); i++) {
        struct finder *finder = make(spent[i].pattern);
        enum finder_verdict verdict = FINDER_ABSENT;
        finder_scratch_budget(scratch, spent[i].steps);
        for (int n = 0; n < 1000; n++)
            verdict = finder_replace(finder, scratch, str_n(text, spent[i].len), STR("*"), &out);
        if (verdict != (spent[i].is_spent ? FINDER_GAVE_UP : FINDER_ABSENT) ||
            (finder_scratch_is_spent(scratch) && spent[i].steps) != spent[i].is_spent)
            fail_msg("%s on %zu bytes: %d", spent[i].pattern, spent[i].len, verdict);
        assert_int_equal(out.len, 0);
        verdict = finder_search(finder, scratch, str_n(text, spent[i].len));
        assert_int_equal(verdict, spent[i].is_spent ? FINDER_GAVE_UP : FINDER_ABSENT);
        finder_scratch_budget(scratch, spent[i].steps); /* anew */
        assert_int_equal(finder_search(finder, scratch, str_n(text, 120)), FINDER_ABSENT);
        finder_free(&finder);
    }
    struct finder *finder = make("[a-z]+\\d");
    finder_scratch_budget(scratch, 0);
    assert_int_equal(finder_replace(finder, scratch, STR("a1;"), STR("*"), &out), FINDER_FOUND);
    assert_true(str_eq(buf_str(&out), STR("*;")));
    assert_int_equal(finder_search(finder, scratch, STR(";;")), FINDER_ABSENT);
    assert_int_equal(finder_search(finder, scratch, str_n(text, 1025)), FINDER_GAVE_UP);
    finder_free(&finder);
    buf_fini(&out);
    finder_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_and_replaces),
        cmocka_unit_test(long_texts_are_no_different),
        cmocka_unit_test(refuses_what_regex_refuses),
        cmocka_unit_test(no_pattern_hangs),
        cmocka_unit_test(texts_share_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
