#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/mem.h"
#include "codec/regex.h"

static const struct {
    const char *pattern, *text;
    bool match;
} cases[] = {
    {"", "", true},
    {"", "a", false},
    {"abc", "abc", true},
    {"abc", "xabc", false},
    {"abc", "abcx", false},
    {"a|ab", "ab", true},
    {"a|b", "ab", false},
    {"(a|ab)(c|bcd)", "abcd", true},
    {"a.*c", "abbbc", true},
    {"a.c", "a\nc", false},
    {"(?s)a.c", "a\nc", true},
    {"(?s:a.c)", "a\nc", true},
    {"a.c", "a\rc", true},
    {"abc$", "abc\n", false},
    {"^abc$", "abc", true},
    {"(?i)ABC", "aBc", true},
    {"a(?-i)b", "ab", true},
    {"a{2,3}", "aa", true},
    {"a{2,3}", "aaaa", false},
    {"a{,3}", "a{,3}", true},
    {"a{", "a{", true},
    {"a{1000}", "a", false},
    {"[]a]+", "]a", true},
    {"[^]a]", "b", true},
    {"[[:alpha:]]+", "ab", true},
    {"[[:alpha:]]+", "a1", false},
    {"[*+?]+", "*+?", true},
    {"[(?=]+", "(?=", true},
    {"\\d+", "12", true},
    {"\\d", "\xd9\xa1", false}, /* ASCII only */
    {"\\Q(?=\\1\\E", "(?=\\1", true},
    {"\\(\\?=", "(?=", true},
    {"(?P<n>a)b", "ab", true},
    {"(?<n>a)b", "ab", true},
    {"a??b", "ab", true},
    {"a*?", "aaa", true},
    {"(?:a+)+", "aaa", true},
    {"\\bfoo\\b", "foo", true},
    {".", "\xe2\x82\xac", true},
    {"..", "\xe2\x82\xac", false},
    {"\\pL+", "\xc3\xa9", true},
    {"\\x{20ac}", "\xe2\x82\xac", true},
    {"a.*",
     "a\xff"
     "b",
     true},
    {"(?i)\xc3\xa9", "\xc3\x89", true},
    {"a", "a\xff", false},
    {"b",
     "\xff"
     "b",
     false},
    {"a\\x{fffd}b",
     "a\xff"
     "b",
     true},
    {"[a-z]+",
     "a\xff"
     "b",
     false},
    {"(a*)*", "aaaa", true},
    {"|", "", true},
};

static void matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct regex *regex = NULL;
        struct mg_why why = {0};
        if (regex_compile(&regex, str_of(cases[i].pattern), &why) != MG_OK)
            fail_msg("%s: %s", cases[i].pattern, why.text);
        if (regex_match(regex, str_of(cases[i].text)) != cases[i].match)
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
        regex_free(&regex);
        assert_null(regex);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "(",
        ")",
        "(a",
        "a)",
        "[",
        "[a",
        "[]",
        "[b-a]",
        "\\",
        "a\\",
        "*",
        "+a",
        "?",
        "(*)",
        "(|*)",
        "a|*",
        "a**",
        "a++",
        "a*+",
        "a?+",
        "a{2}+",
        "a+*",
        "a{2}{3}",
        "a???",
        "a{1001}",
        "a{1,1001}",
        "a{3,2}",
        "(a)\\1",
        "\\1",
        "(?P<n>a)(?P=n)",
        "(?P<n>a)\\k<n>",
        "(a)\\g1",
        "(?P<n>a)(?P>n)",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        "a(?=b)",
        "[[:alpha:]](?!b)",
        "(?i)(?=a)",
        "(?i:(?=a))",
        "(?>a)",
        "(?|a|b)",
        "(?R)",
        "(?1)",
        "(?#c)",
        "(?(1)a|b)",
        "(?C1)",
        "(?&n)",
        "(?x)a b",
        "(?",
        "(?P",
        "(?P<n",
        "(*ACCEPT)",
        "(*UTF)a",
        "(*LIMIT_MATCH=99999999)a",
        "\\K",
        "\\G",
        "\\Z",
        "\\R",
        "\\X",
        "\\C",
        "\\h",
        "\\v",
        "\\N",
        "\\cA",
        "\\e",
        "\\o{1}",
        "[[.a.]]",
        "[[=a=]]",
        "[\\1]",
        "[[:nope:]]",
        "\xff",
        "a\xc3",
        "\\p{Nope}",
        "\\x{110000}",
        "[]](?=a)",
        "[^]](?=a)",
        "[\\]](?=a)",
        "\\\\(?=a)",
        "\\Qa\\E(?=a)",
    };
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        struct regex *regex = NULL;
        struct mg_why why = {0};
        if (regex_compile(&regex, str_of(wrong[i]), &why) != MG_E_FORMAT)
            fail_msg("accepted: %s", wrong[i]);
        assert_null(regex);
        assert_true(why.text[0] != 0);
        assert_int_equal(regex_compile(&regex, str_of(wrong[i]), NULL), MG_E_FORMAT);
    }
}

static void pattern_length_at_below_and_above(void **state)
{
    (void)state;
    char *pattern = mem_alloc(4097);
    memset(pattern, 'a', 4097);
    for (size_t len = 4095; len <= 4097; len++) {
        struct regex *regex = NULL;
        enum mg_err err = regex_compile(&regex, str_n(pattern, len), NULL);
        assert_int_equal(err, len > 4096 ? MG_E_TOO_BIG : MG_OK);
        if (err == MG_OK)
            assert_true(regex_match(regex, str_n(pattern, len)));
        regex_free(&regex);
    }
    mem_free(pattern);
}

/* Each of these would run for ages without the limits; a limit is no match. */
static void no_pattern_hangs(void **state)
{
    (void)state;
    static const char *const evil[] = {"(a*)*b", "(a+)+b", "(a|aa)+b", "(a|a?)+b", "(.*a){20}b"};
    char text[3000];
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < MG_COUNT(evil); i++) {
        struct regex *regex = NULL;
        assert_int_equal(regex_compile(&regex, str_of(evil[i]), NULL), MG_OK);
        assert_false(regex_match(regex, str_n(text, sizeof text)));
        regex_free(&regex);
    }
    struct regex *regex = NULL; /* while an honest one still finds its way through a long text */
    assert_int_equal(regex_compile(&regex, STR("(?:a|b)*.*aaa"), NULL), MG_OK);
    assert_true(regex_match(regex, str_n(text, sizeof text)));
    assert_false(regex_match(regex, (struct str){0}));
    regex_free(&regex);
}

static void nested_too_deep(void **state)
{
    (void)state;
    char pattern[601];
    memset(pattern, '(', 300);
    memset(pattern + 300, ')', 300);
    struct regex *regex = NULL;
    assert_int_equal(regex_compile(&regex, str_n(pattern, 600), NULL), MG_E_FORMAT);
    assert_int_equal(regex_compile(&regex, str_n(pattern + 100, 400), NULL), MG_OK);
    regex_free(&regex);
    assert_int_equal(regex_compile(&regex, STR("(((a{1000}){1000}){1000}){1000}"), NULL),
                     MG_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches),
        cmocka_unit_test(refused),
        cmocka_unit_test(pattern_length_at_below_and_above),
        cmocka_unit_test(no_pattern_hangs),
        cmocka_unit_test(nested_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
