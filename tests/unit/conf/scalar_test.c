/* Which texts are values, which of them are written plain, and how the others are quoted. */
#include "conf/scalar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "unit/base/assert_str.h"

static void passwords_are_hidden(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"http://u:p@h/x", "http://***@h/x"},
        {"a+b-1.0://u@h", "a+b-1.0://***@h"},
        {"\thttp://@h", "\thttp://***@h"},
        {"http://u:p@q@h", "http://***@h"},
        {"http://u:p/?#@h", "http://***@h"},
        {"", ""},
        {"@", "@"},
        {"://", "://"},
        {"http://", "http://"},
        {"http://h", "http://h"},
        {"http:/u@h", "http:/u@h"},
        {"u:p@h", "u:p@h"},
        {"://u:p@h", "://u:p@h"},
        {"a b://u@h", "a b://u@h"},
        {"u@http://h", "u@http://h"},
    };
    struct arena arena = {0};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_str(scalar_hide_password(str_of(cases[i].text), &arena), cases[i].shown);
    assert_int_equal(scalar_hide_password((struct str){0}, &arena).len, 0);
    arena_fini(&arena);
}

static void quotes_hide_what_stands_before_an_at(void **state)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        {"u:p@h:1", "***@h:1"}, {"http://u:p@q@h", "***@h"}, {"p@", "***@"},
        {"@h", "@h"},           {"h:1", "h:1"},              {"", ""},
    };
    char quoted[32];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str text = str_of(cases[i].text);

        snprintf(quoted, sizeof quoted, "%s%.*s", SCALAR_QUOTED(text));
        assert_string_equal(quoted, cases[i].quoted);
    }
}

static void texts_are_checked(void **state)
{
    static const struct {
        struct str text;
        const char *says; /* NULL: fine */
    } cases[] = {
        { STR_INIT(""), NULL },
        { STR_INIT("a\tb\nc"), NULL },
        { STR_INIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), NULL },
        { STR_INIT("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"), NULL },
        { STR_INIT("a\0"), "control character (byte 2)" },
        { STR_INIT("\r"), "control character (byte 1)" },
        { STR_INIT("\x1f"), "control character (byte 1)" },
        { STR_INIT("ab\x7f"), "control character (byte 3)" },
        { STR_INIT("\x80"), "not UTF-8 (byte 1)" },
        { STR_INIT("a\xc1\xbf"), "not UTF-8 (byte 2)" },
        { STR_INIT("\xe0\x9f\xbf"), "not UTF-8 (byte 1)" },
        { STR_INIT("\xed\xa0\x80"), "not UTF-8 (byte 1)" },
        { STR_INIT("\xf0\x8f\xbf\xbf"), "not UTF-8 (byte 1)" },
        { STR_INIT("\xf4\x90\x80\x80"), "not UTF-8 (byte 1)" },
        { STR_INIT("\xf5\x80\x80\x80"), "not UTF-8 (byte 1)" },
        { STR_INIT("a\xe2\x82"), "not UTF-8 (byte 2)" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct mg_why why = { { 0 } };

        assert_int_equal(scalar_check(cases[i].text, &why),
                         cases[i].says ? MG_E_FORMAT : MG_OK);
        if (cases[i].says && !strstr(why.text, cases[i].says))
            fail_msg("'%s' does not say '%s'", why.text, cases[i].says);
    }
}

static void only_plain_text_is_written_plain(void **state)
{
    static const struct {
        const char *text, *alone, *in_flow;
    } cases[] = {
        { "", "\"\"", "\"\"" },
        { "a", "a", "a" },
        { "7d", "7d", "7d" },
        { "/a/b", "/a/b", "/a/b" },
        { "a-b_c.d", "a-b_c.d", "a-b_c.d" },
        { "-1", "\"-1\"", "-1" },
        { ".5", "\".5\"", ".5" },
        { "+1", "\"+1\"", "+1" },
        { "-", "\"-\"", "\"-\"" },
        { "---", "\"---\"", "\"---\"" },
        { "host:80", "host:80", "\"host:80\"" },
        { "host:", "\"host:\"", "\"host:\"" },
        { ":80", "\":80\"", "\":80\"" },
        { "Null", "\"Null\"", "\"Null\"" },
        { "~", "\"~\"", "\"~\"" },
        { "@a", "\"@a\"", "\"@a\"" },
        { "a@b", "a@b", "a@b" },
        { "a b", "\"a b\"", "\"a b\"" },
        { "a,b", "\"a,b\"", "\"a,b\"" },
        { "*a", "\"*a\"", "\"*a\"" },
        { "a#", "\"a#\"", "\"a#\"" },
        { "\"\\", "\"\\\"\\\\\"", "\"\\\"\\\\\"" },
        { "\xff", "\"\\uFFFD\"", "\"\\uFFFD\"" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct buf out;

        buf_init(&out, 100);
        scalar_print(str_of(cases[i].text), &out);
        assert_str(buf_str(&out), cases[i].alone);
        buf_clear(&out);
        scalar_print_in_flow(str_of(cases[i].text), &out);
        assert_str(buf_str(&out), cases[i].in_flow);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_are_hidden),
        cmocka_unit_test(quotes_hide_what_stands_before_an_at),
        cmocka_unit_test(texts_are_checked),
        cmocka_unit_test(only_plain_text_is_written_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
