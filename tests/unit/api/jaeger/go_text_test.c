#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/jaeger/go_text.h"

#define H             INT64_C(3600000000000)
#define BAD(text)     "time: invalid duration \"" text "\""
#define MISSING(text) "time: missing unit in duration \"" text "\""

static const struct {
    const char *in;
    int64_t want;
    const char *error; /* NULL: none */
} durations[] = {
    {"0", 0, NULL},
    {"-0", 0, NULL},
    {"+0", 0, NULL},
    {"0s", 0, NULL},
    {"1ns", 1, NULL},
    {"1us", 1000, NULL},
    {"1\xc2\xb5s", 1000, NULL},
    {"1\xce\xbcs", 1000, NULL},
    {"100ms", 100000000, NULL},
    {"1.2s", 1200000000, NULL},
    {"0.29s", 290000000, NULL},
    {".5s", 500000000, NULL},
    {"5.s", 5000000000, NULL},
    {"1h30m", H + H / 2, NULL},
    {"1m1h", H + H / 60, NULL},
    {"1h1h", 2 * H, NULL},
    {"-1.5h", -3 * H / 2, NULL},
    {"+5ms", 5000000, NULL},
    {"0.3333333333333333333h", 1200000000000, NULL},
    {"0.100000000000000000000h", 360000000000, NULL},
    {"9223372036854775807ns", INT64_MAX, NULL},
    {"-9223372036854775808ns", INT64_MIN, NULL},
    {"2562047h47m16.854775807s", INT64_MAX, NULL},
    {"9223372036854775808ns", 0, BAD("9223372036854775808ns")},
    {"-9223372036854775809ns", 0, BAD("-9223372036854775809ns")},
    {"18446744073709551616ns", 0, BAD("18446744073709551616ns")},
    {"2562047h47m16.854775808s", 0, BAD("2562047h47m16.854775808s")},
    {"9223372036854775808ns9223372036854775808ns", 0,
     BAD("9223372036854775808ns9223372036854775808ns")},
    {"3000000h", 0, BAD("3000000h")},
    {"", 0, BAD("")},
    {"-", 0, BAD("-")},
    {"s", 0, BAD("s")},
    {".", 0, BAD(".")},
    {".s", 0, BAD(".s")},
    {"+.s", 0, BAD("+.s")},
    {"--1s", 0, BAD("--1s")},
    {" 1s", 0, BAD(" 1s")},
    {"abc", 0, BAD("abc")},
    {"1s-1s", 0, "time: unknown unit \"s-\" in duration \"1s-1s\""},
    {"10", 0, MISSING("10")},
    {"1.5", 0, MISSING("1.5")},
    {"00", 0, MISSING("00")},
    {"1h5", 0, MISSING("1h5")},
    {"1d", 0, "time: unknown unit \"d\" in duration \"1d\""},
    {"1 s", 0, "time: unknown unit \" s\" in duration \"1 s\""},
    {"1S", 0, "time: unknown unit \"S\" in duration \"1S\""},
    {"1s ", 0, "time: unknown unit \"s \" in duration \"1s \""},
    {"1\xc2\xb5", 0, "time: unknown unit \"\xc2\xb5\" in duration \"1\xc2\xb5\""},
};

static void durations_as_go_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(durations); i++) {
        struct mg_why why = {""};
        int64_t got = 7;
        enum mg_err err = go_duration_parse(str_of(durations[i].in), &got, &why);
        if (err != (durations[i].error ? MG_E_FORMAT : MG_OK))
            fail_msg("%s: %s", durations[i].in, mg_err_name(err));
        assert_string_equal(why.text, durations[i].error ? durations[i].error : "");
        assert_int_equal(got, durations[i].error ? 7 : durations[i].want);
    }
}

#define SYNTAX(text) "strconv.ParseInt: parsing \"" text "\": invalid syntax"
#define RANGE(text)  "strconv.ParseInt: parsing \"" text "\": value out of range"

static const struct {
    const char *in;
    unsigned bits;
    int64_t want;
    const char *error;
} ints[] = {
    {"0", 32, 0, NULL},
    {"-0", 32, 0, NULL},
    {"+7", 32, 7, NULL},
    {"007", 32, 7, NULL},
    {"2147483647", 32, INT32_MAX, NULL},
    {"-2147483648", 32, INT32_MIN, NULL},
    {"9223372036854775807", 64, INT64_MAX, NULL},
    {"-9223372036854775808", 64, INT64_MIN, NULL},
    {"2147483648", 32, 0, RANGE("2147483648")},
    {"-2147483649", 32, 0, RANGE("-2147483649")},
    {"9223372036854775808", 64, 0, RANGE("9223372036854775808")},
    {"18446744073709551616", 64, 0, RANGE("18446744073709551616")},
    {"18446744073709551616x", 64, 0, RANGE("18446744073709551616x")},
    {"", 32, 0, SYNTAX("")},
    {"+", 32, 0, SYNTAX("+")},
    {"--1", 32, 0, SYNTAX("--1")},
    {"x", 32, 0, SYNTAX("x")},
    {"1_0", 32, 0, SYNTAX("1_0")},
    {"0x1", 32, 0, SYNTAX("0x1")},
    {"1.5", 32, 0, SYNTAX("1.5")},
    {" 1", 32, 0, SYNTAX(" 1")},
    {"1e3", 32, 0, SYNTAX("1e3")},
    {"a\"b\\c", 32, 0, SYNTAX("a\\\"b\\\\c")},
    {"\n\x01\xff\xc3\xa4", 32, 0, SYNTAX("\\n\\x01\\xff\xc3\xa4")},
};

static void integers_as_go_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(ints); i++) {
        struct mg_why why = {""};
        int64_t got = 7;
        enum mg_err err = go_int_parse(str_of(ints[i].in), ints[i].bits, &got, &why);
        assert_int_equal(err, ints[i].error ? MG_E_FORMAT : MG_OK);
        assert_string_equal(why.text, ints[i].error ? ints[i].error : "");
        assert_int_equal(got, ints[i].error ? 7 : ints[i].want);
    }
}

static const struct {
    const char *in;
    uint64_t want;
    const char *error;
} hexes[] = {
    {"0", 0, NULL},
    {"fFfFfFfFfFfFfFfF", UINT64_MAX, NULL},
    {"10000000000000000", 0,
     "strconv.ParseUint: parsing \"10000000000000000\": value out of range"},
    {"xyz", 0, "strconv.ParseUint: parsing \"xyz\": invalid syntax"},
    {"", 0, "strconv.ParseUint: parsing \"\": invalid syntax"},
    {"-1", 0, "strconv.ParseUint: parsing \"-1\": invalid syntax"},
    {"1g", 0, "strconv.ParseUint: parsing \"1g\": invalid syntax"},
};

static void hex_as_go_reads_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(hexes); i++) {
        struct mg_why why = {""};
        uint64_t got = 7;
        enum mg_err err = go_hex_parse(str_of(hexes[i].in), &got, &why);
        assert_int_equal(err, hexes[i].error ? MG_E_FORMAT : MG_OK);
        assert_string_equal(why.text, hexes[i].error ? hexes[i].error : "");
        assert_int_equal(got, hexes[i].error ? 7 : hexes[i].want);
    }
}

static void booleans_as_go_reads_them(void **state)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    static const char *const bad[] = {"", "2", "yes", "on", "tRUE", "true ", "10", "y"};
    struct mg_why why;
    bool got;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(yes); i++) {
        assert_int_equal(go_bool_parse(str_of(yes[i]), &got, NULL), MG_OK);
        assert_true(got);
        assert_int_equal(go_bool_parse(str_of(no[i]), &got, NULL), MG_OK);
        assert_false(got);
    }
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_int_equal(go_bool_parse(str_of(bad[i]), &got, &why), MG_E_FORMAT);
    assert_string_equal(why.text, "strconv.ParseBool: parsing \"y\": invalid syntax");
}

/* A sentence about a long text is cut, and nothing is read or written beyond. */
static void long_texts_are_cut(void **state)
{
    char text[5000];
    struct mg_why why;
    int64_t got;

    (void)state;
    memset(text, '\x01', sizeof text);
    assert_int_equal(go_int_parse(str_n(text, sizeof text), 64, &got, &why), MG_E_FORMAT);
    assert_true(strlen(why.text) < sizeof why.text);
    memset(text, '9', sizeof text);
    assert_int_equal(go_duration_parse(str_n(text, sizeof text), &got, &why), MG_E_FORMAT);
    text[sizeof text - 1] = 's';
    memset(text, '0', sizeof text - 2);
    assert_int_equal(go_duration_parse(str_n(text, sizeof text), &got, &why), MG_OK);
    assert_int_equal(got, 9000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_as_go_reads_them), cmocka_unit_test(integers_as_go_reads_them),
        cmocka_unit_test(hex_as_go_reads_it),         cmocka_unit_test(booleans_as_go_reads_them),
        cmocka_unit_test(long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
