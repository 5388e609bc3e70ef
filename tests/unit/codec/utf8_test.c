#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "codec/utf8.h"

#define BAD "\xef\xbf\xbd"

/* in, and what the sanitizer makes of it; valid when both are the same. */
static const struct {
    const char *in, *out;
} cases[] = {
    {"", ""},
    {"a", "a"},
    {"\x7f", "\x7f"},
    {"\xc2\x80", "\xc2\x80"},
    {"\xdf\xbf", "\xdf\xbf"},
    {"\xe0\xa0\x80", "\xe0\xa0\x80"},
    {"\xed\x9f\xbf", "\xed\x9f\xbf"},
    {"\xee\x80\x80", "\xee\x80\x80"},
    {"\xef\xbf\xbf", "\xef\xbf\xbf"},
    {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {BAD, BAD},
    /* Lone continuations, overlong forms, surrogates, too large, cut. Unicode 15 3.9, table 3-8. */
    {"\x80", BAD},
    {"\xbf\xbf", BAD BAD},
    {"\xc0\x80", BAD BAD},
    {"\xc1\xbf", BAD BAD},
    {"\xe0\x80\x80", BAD BAD BAD},
    {"\xe0\x9f\xbf", BAD BAD BAD},
    {"\xed\xa0\x80", BAD BAD BAD},
    {"\xed\xbf\xbf", BAD BAD BAD},
    {"\xf0\x80\x80\x80", BAD BAD BAD BAD},
    {"\xf0\x8f\xbf\xbf", BAD BAD BAD BAD},
    {"\xf4\x90\x80\x80", BAD BAD BAD BAD},
    {"\xf5\x80\x80\x80", BAD BAD BAD BAD},
    {"\xff", BAD},
    {"\xfe", BAD},
    {"\xc2", BAD},
    {"\xc2"
     "a",
     BAD "a"},
    {"\xe1\x80", BAD},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
     "A",
     BAD BAD BAD BAD "A"},
    {"\xf0\x90\x80", BAD},
    {"\xf0\x90\x80z", BAD "z"},
    {"a\xf1\x80\x80\xe1\x80\xc2"
     "b\x80"
     "c\x80\xbf"
     "d",
     "a" BAD BAD BAD "b" BAD "c" BAD BAD "d"},
};

static void table_at_every_offset_of_a_word(void **state)
{
    (void)state;
    char text[128];
    struct buf out;
    buf_init(&out, 1000);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        size_t len = strlen(cases[i].in);
        bool valid = strcmp(cases[i].in, cases[i].out) == 0;
        for (size_t before = 0; before < 40; before++) {
            for (size_t after = 0; after < 20; after += 3) {
                memset(text, 'x', sizeof text);
                memcpy(text + before, cases[i].in, len);
                size_t all = before + len + after;
                assert_int_equal(utf8_valid(text, all), valid);
                buf_clear(&out);
                utf8_sanitize(&out, str_n(text, all));
                size_t want = strlen(cases[i].out);
                assert_int_equal(out.len, before + want + after);
                assert_memory_equal(out.ptr ? out.ptr + before : "", cases[i].out, want);
                assert_true(utf8_valid(out.ptr, out.len));
            }
        }
    }
    buf_fini(&out);
}

static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c == 0xd800)
            c = 0xe000;
        char text[4];
        bool valid;
        size_t n = utf8_encode(c, text);
        assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        if (!utf8_valid(text, n) || utf8_sequence(text, n, &valid) != n || !valid)
            fail_msg("U+%04X", c);
        for (size_t cut = 1; cut < n; cut++)
            if (utf8_valid(text, cut) || utf8_sequence(text, cut, &valid) != cut || valid)
                fail_msg("U+%04X cut", c);
    }
}

static void known_code_points(void **state)
{
    (void)state;
    char text[4];
    assert_int_equal(utf8_encode(0x20ac, text), 3);
    assert_memory_equal(text, "\xe2\x82\xac", 3);
    assert_int_equal(utf8_encode(0x1f600, text), 4);
    assert_memory_equal(text, "\xf0\x9f\x98\x80", 4);
}

static void sanitizing_counts_against_the_limit(void **state)
{
    (void)state;
    for (size_t limit = 4; limit <= 6; limit++) {
        struct buf out;
        buf_init(&out, limit);
        utf8_sanitize(&out, STR("a\xff"
                                "b"));
        assert_int_equal(buf_err(&out), limit < 5 ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&out);
    }
}

static void a_cut_keeps_characters_whole(void **state)
{
    static const struct { const char *text; size_t bytes, want; } cuts[] = {
        { "", 0, 0 }, { "abc", 3, 3 }, { "abc", 4, 3 }, { "abc", 2, 2 }, { "a\xc3\xa9", 2, 1 },
        { "a\xc3\xa9", 3, 3 }, { "\xe2\x82\xac", 2, 0 }, { "\xf0\x9f\x98\x80x", 4, 4 }, { "\x80\x80\x80", 2, 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cuts); i++)
        assert_int_equal(utf8_cut(str_of(cuts[i].text), cuts[i].bytes).len, cuts[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_at_every_offset_of_a_word),
        cmocka_unit_test(every_code_point),
        cmocka_unit_test(known_code_points),
        cmocka_unit_test(sanitizing_counts_against_the_limit),
        cmocka_unit_test(a_cut_keeps_characters_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
