#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <math.h>
#include "base/mem.h"
#include "base/str.h"

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void comparisons(void **state)
{
    (void)state;
    assert_true(str_eq(STR("a"), STR("a")));
    assert_true(str_eq((struct str){ 0 }, STR("")));
    assert_false(str_eq(STR("a"), STR("A")));
    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("a"), STR("ab")));
    assert_false(str_eq_nocase(STR("@"), STR("`"))); /* neighbours of the letters */
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp((struct str){ 0 }, STR("")), 0);
    assert_int_equal(str_of(NULL).len, 0);
}

static void starts_ends_find(void **state)
{
    size_t at = 99;
    (void)state;
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_false(str_starts(STR("ba"), STR("a")));
    assert_true(str_ends(STR("abc"), STR("bc")));
    assert_true(str_ends((struct str){ 0 }, (struct str){ 0 }));
    assert_false(str_ends(STR("c"), STR("bc")));
    assert_false(str_ends(STR("cb"), STR("c")));
    assert_true(str_find(STR("abcabc"), STR("ca"), &at));
    assert_int_equal(at, 2);
    assert_true(str_find((struct str){ 0 }, STR(""), &at));
    assert_int_equal(at, 0);
    at = 99;
    assert_false(str_find(STR("abc"), STR("x"), &at));
    assert_false(str_find((struct str){ 0 }, STR("x"), &at));
    assert_false(str_find(STR("ab"), STR("abc"), NULL));
    assert_int_equal(at, 99);
}

static void trimming(void **state)
{
    (void)state;
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR("   ")), "");
    assert_str(str_trim(STR("\n")), "\n");
    assert_int_equal(str_trim((struct str){ 0 }).len, 0);
}

static void cutting(void **state)
{
    static const struct { const char *in; size_t n; const char *parts[3]; } cases[] = {
        { "", 0, { 0 } },
        { "a", 1, { "a" } },
        { "a,b", 2, { "a", "b" } },
        { "a,", 1, { "a" } },
        { ",a", 2, { "", "a" } },
        { ",,", 2, { "", "" } },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str rest = str_of(cases[i].in), head;
        size_t n = 0;
        for (; str_cut(&rest, ',', &head); n++)
            assert_str(head, cases[i].parts[n]);
        assert_int_equal(n, cases[i].n);
    }
    struct str before = STR("kept"), after = STR("kept");
    assert_true(str_split_at(STR("k=v=w"), '=', &before, &after));
    assert_str(before, "k");
    assert_str(after, "v=w");
    assert_false(str_split_at(STR("none"), '=', &before, &after));
    assert_false(str_split_at((struct str){ 0 }, '=', &before, &after));
    assert_str(before, "k");
}

static void unsigned_numbers(void **state)
{
    static const struct { const char *in; enum mg_err want; uint64_t value; } cases[] = {
        { "0", MG_OK, 0 },
        { "007", MG_OK, 7 },
        { "18446744073709551614", MG_OK, UINT64_MAX - 1 },
        { "18446744073709551615", MG_OK, UINT64_MAX },
        { "18446744073709551616", MG_E_FORMAT, 0 },
        { "99999999999999999999999", MG_E_FORMAT, 0 },
        { "", MG_E_FORMAT, 0 },
        { "-1", MG_E_FORMAT, 0 },
        { "+1", MG_E_FORMAT, 0 },
        { " 1", MG_E_FORMAT, 0 },
        { "1 ", MG_E_FORMAT, 0 },
        { "0x1", MG_E_FORMAT, 0 },
        { "1.0", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t value = 42;
        assert_int_equal(str_u64(str_of(cases[i].in), &value), cases[i].want);
        assert_int_equal(value, cases[i].want == MG_OK ? cases[i].value : 42);
    }
}

static void signed_numbers(void **state)
{
    static const struct { const char *in; enum mg_err want; int64_t value; } cases[] = {
        { "0", MG_OK, 0 },
        { "-0", MG_OK, 0 },
        { "-1", MG_OK, -1 },
        { "9223372036854775807", MG_OK, INT64_MAX },
        { "9223372036854775808", MG_E_FORMAT, 0 },
        { "-9223372036854775808", MG_OK, INT64_MIN },
        { "-9223372036854775809", MG_E_FORMAT, 0 },
        { "-", MG_E_FORMAT, 0 },
        { "--1", MG_E_FORMAT, 0 },
        { "+1", MG_E_FORMAT, 0 },
        { "", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        int64_t value = 42;
        assert_int_equal(str_i64(str_of(cases[i].in), &value), cases[i].want);
        assert_int_equal(value, cases[i].want == MG_OK ? cases[i].value : 42);
    }
}

static void fractions(void **state)
{
    static const struct { const char *in; enum mg_err want; double value; } cases[] = {
        { "0", MG_OK, 0 },
        { "1.5", MG_OK, 1.5 },
        { "-1.5e3", MG_OK, -1500 },
        { "+2E-1", MG_OK, 0.2 },
        { ".5", MG_OK, 0.5 },
        { "5.", MG_OK, 5 },
        { "1.7976931348623157e308", MG_OK, 1.7976931348623157e308 },
        { "1e309", MG_E_FORMAT, 0 },
        { "1e-400", MG_OK, 0 },
        { "0000000000000000000000000000000000000000000000000000000000000000000000000001.25", MG_OK,
          1.25 },
        { "", MG_E_FORMAT, 0 },
        { ".", MG_E_FORMAT, 0 },
        { "-", MG_E_FORMAT, 0 },
        { "1e", MG_E_FORMAT, 0 },
        { "1e+", MG_E_FORMAT, 0 },
        { "e1", MG_E_FORMAT, 0 },
        { "0x10", MG_E_FORMAT, 0 },
        { "nan", MG_E_FORMAT, 0 },
        { "inf", MG_E_FORMAT, 0 },
        { "-Infinity", MG_E_FORMAT, 0 },
        { " 1", MG_E_FORMAT, 0 },
        { "1 ", MG_E_FORMAT, 0 },
        { "1,5", MG_E_FORMAT, 0 },
        { "1.2.3", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        double value = 42;
        assert_int_equal(str_double(str_of(cases[i].in), &value), cases[i].want);
        assert_true(value == (cases[i].want == MG_OK ? cases[i].value : 42));
    }
    /* What stands behind the string is not read: it has no NUL. */
    double value = 0;
    assert_int_equal(str_double(str_n("1.59", 3), &value), MG_OK);
    assert_true(value == 1.5);
}

static void fractions_ignore_the_locale(void **state)
{
    double value = 0;
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        skip(); /* no locale with a comma is installed */
    assert_int_equal(str_double(STR("1.5"), &value), MG_OK);
    setlocale(LC_NUMERIC, "C");
    assert_true(value == 1.5);
}

static void durations(void **state)
{
    static const struct { const char *in; enum mg_err want; int64_t ns; } cases[] = {
        { "0", MG_OK, 0 },
        { "0s", MG_OK, 0 },
        { "1ns", MG_OK, 1 },
        { "3us", MG_OK, 3000 },
        { "3\xc2\xb5s", MG_OK, 3000 },
        { "3\xce\xbcs", MG_OK, 3000 },
        { "250ms", MG_OK, 250000000 },
        { "1.5s", MG_OK, 1500000000 },
        { "0.1ns", MG_OK, 0 },
        { "1.000000001s", MG_OK, 1000000001 },
        { "0.33333333333333333333333333s", MG_OK, 333333333 },
        { "1h30m", MG_OK, 5400000000000 },
        { "1m1ms", MG_OK, 60001000000 },
        { "7d", MG_OK, 604800000000000 },
        { "9223372036854775807ns", MG_OK, INT64_MAX },
        { "9223372036854775808ns", MG_E_FORMAT, 0 },
        { "106751d", MG_OK, 106751 * 86400000000000 },
        { "106752d", MG_E_FORMAT, 0 },
        { "106751d24h", MG_E_FORMAT, 0 },
        { "18446744073709551615d", MG_E_FORMAT, 0 },
        { "", MG_E_FORMAT, 0 },
        { "1", MG_E_FORMAT, 0 },
        { "00", MG_E_FORMAT, 0 },
        { "s", MG_E_FORMAT, 0 },
        { "-1s", MG_E_FORMAT, 0 },
        { "+1s", MG_E_FORMAT, 0 },
        { "7 d", MG_E_FORMAT, 0 },
        { " 7d", MG_E_FORMAT, 0 },
        { "7d ", MG_E_FORMAT, 0 },
        { "1.s", MG_E_FORMAT, 0 },
        { ".5s", MG_E_FORMAT, 0 },
        { "1.5.5s", MG_E_FORMAT, 0 },
        { "1S", MG_E_FORMAT, 0 },
        { "1w", MG_E_FORMAT, 0 },
        { "1h30", MG_E_FORMAT, 0 },
        { "30m1h", MG_E_FORMAT, 0 },
        { "1s1s", MG_E_FORMAT, 0 },
        { "1us1\xc2\xb5s", MG_E_FORMAT, 0 },
        { "1e3s", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        int64_t ns = 42;
        assert_int_equal(str_duration_ns(str_of(cases[i].in), &ns), cases[i].want);
        assert_int_equal(ns, cases[i].want == MG_OK ? cases[i].ns : 42);
    }
}

static void byte_sizes(void **state)
{
    static const struct { const char *in; enum mg_err want; uint64_t bytes; } cases[] = {
        { "0", MG_OK, 0 },
        { "4096", MG_OK, 4096 },
        { "1B", MG_OK, 1 },
        { "1kB", MG_OK, 1000 },
        { "1KB", MG_OK, 1000 },
        { "2KiB", MG_OK, 2048 },
        { "64MiB", MG_OK, 67108864 },
        { "1GB", MG_OK, 1000000000 },
        { "8GiB", MG_OK, 8589934592 },
        { "16777215TiB", MG_OK, 16777215ull << 40 },
        { "16777216TiB", MG_E_FORMAT, 0 },
        { "18446744073709551615", MG_OK, UINT64_MAX },
        { "18446744073709551616", MG_E_FORMAT, 0 },
        { "", MG_E_FORMAT, 0 },
        { "MiB", MG_E_FORMAT, 0 },
        { "-1", MG_E_FORMAT, 0 },
        { "1 MiB", MG_E_FORMAT, 0 },
        { "1.5GiB", MG_E_FORMAT, 0 },
        { "1mib", MG_E_FORMAT, 0 },
        { "1M", MG_E_FORMAT, 0 },
        { "1MiBs", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t bytes = 42;
        assert_int_equal(str_bytes(str_of(cases[i].in), &bytes), cases[i].want);
        assert_int_equal(bytes, cases[i].want == MG_OK ? cases[i].bytes : 42);
    }
}

static void hex(void **state)
{
    uint8_t out[2] = { 7, 7 };
    char text[4];
    (void)state;
    assert_false(hex_decode(STR("00ag"), out, 2));
    assert_false(hex_decode(STR("00a"), out, 2));
    assert_false(hex_decode(STR("00aa0"), out, 2));
    assert_false(hex_decode(STR("00aa00"), out, 2));
    assert_false(hex_decode(STR(""), out, 2));
    assert_false(hex_decode(STR("0x01"), out, 2));
    assert_int_equal(out[0], 7); /* nothing is written on failure */
    assert_true(hex_decode(STR("aFf9"), out, 2));
    assert_int_equal(out[0], 0xaf);
    assert_int_equal(out[1], 0xf9);
    assert_true(hex_decode(STR(""), NULL, 0));
    hex_encode(out, 2, text);
    assert_memory_equal(text, "aff9", 4);
}

static void distances_are_counted_up_to_a_bound(void **state)
{
    static const struct {
        const char *a, *b;
        size_t most, want;
    } cases[] = {
        {"", "", 0, 0},
        {"abc", "abc", 0, 0},
        {"abc", "", 3, 3},
        {"", "abc", 3, 3},
        {"", "abc", 2, 3},
        {"retention", "retension", 3, 1},
        {"retention", "retenton", 3, 1},
        {"retention", "rettention", 3, 1},
        {"retention", "retentoin", 3, 1}, /* swapped: one, not two */
        {"otlp", "otpl", 1, 1},
        {"ab", "ba", 1, 1},
        {"ab", "ba", 0, 1},
        {"abcd", "badc", 2, 2},
        {"abcd", "badc", 1, 2},
        {"ca", "abc", 3, 3}, /* a pair that was swapped is not changed again */
        {"kitten", "sitting", 9, 3},
        {"kitten", "sitting", 3, 3},
        {"kitten", "sitting", 2, 3},
        {"abcdefgh", "ijklmnop", 2, 3},
        {"abcdefgh", "ijklmnop", 64, 8},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str a = str_of(cases[i].a), b = str_of(cases[i].b);
        if (str_distance(a, b, cases[i].most) != cases[i].want ||
            str_distance(b, a, cases[i].most) != cases[i].want)
            fail_msg("%s, %s, %zu: %zu and %zu", cases[i].a, cases[i].b, cases[i].most,
                     str_distance(a, b, cases[i].most), str_distance(b, a, cases[i].most));
    }
}

static void distances_of_long_texts_are_cut(void **state)
{
    static char far[1 << 16], near[STR_DISTANCE_MAX + 1];

    (void)state;
    memset(far, 'a', sizeof far);
    memset(near, 'a', sizeof near);
    assert_int_equal(str_distance(str_n(far, sizeof far), str_n(near, STR_DISTANCE_MAX), 3), 0);
    assert_int_equal(str_distance(str_n(far, sizeof far), str_n(near, STR_DISTANCE_MAX - 1), 3), 1);
    assert_int_equal(str_distance(str_n(far, sizeof far), STR(""), STR_DISTANCE_MAX), STR_DISTANCE_MAX);
    assert_int_equal(str_distance((struct str){0}, (struct str){0}, 0), 0);
}

static void text_copies(void **state)
{
    (void)state;
    char *text = str_text(str_n("abc", 2)), *empty = str_text((struct str){ 0 });
    assert_string_equal(text, "ab");
    assert_string_equal(empty, "");
    mem_free(text);
    mem_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons),      cmocka_unit_test(starts_ends_find),
        cmocka_unit_test(trimming),         cmocka_unit_test(cutting),
        cmocka_unit_test(unsigned_numbers), cmocka_unit_test(signed_numbers),
        cmocka_unit_test(fractions),        cmocka_unit_test(fractions_ignore_the_locale),
        cmocka_unit_test(durations),        cmocka_unit_test(byte_sizes),
        cmocka_unit_test(hex),              cmocka_unit_test(distances_are_counted_up_to_a_bound),
        cmocka_unit_test(distances_of_long_texts_are_cut),
        cmocka_unit_test(text_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
