/* Every type: what it takes, what it refuses, its limits, and that print and parse are inverse. */
#include "conf/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "unit/base/group_arena.h"

#define FIELD(type_, ...) ((struct conf_field){ .name = "x", .type = CONF_##type_, ##__VA_ARGS__ })
#define BAD NULL

/* Parses and prints; NULL: refused. */
static const char *printed(const struct conf_field *field, const char *text, struct mg_why *why)
{
    static char out[512];
    struct conf_value value, again;
    struct buf buf;

    if (conf_value_parse(field, str_of(text), &arena, &value, why) != MG_OK)
        return NULL;
    buf_init(&buf, sizeof out);
    conf_value_print(field, &value, &buf);
    snprintf(out, sizeof out, "%.*s", STR_ARG(buf_str(&buf)));
    if (field->type != CONF_STR && field->type != CONF_LIST) {
        assert_int_equal(conf_value_parse(field, str_of(out), &arena, &again, why), MG_OK);
        assert_true(conf_value_eq(field, &value, &again));
    }
    buf_fini(&buf);
    return out;
}

static void values_are_parsed_and_printed(void **state)
{
    const struct {
        struct conf_field field;
        const char *in, *want;
    } cases[] = {
        { FIELD(BOOL), "true", "true" },
        { FIELD(BOOL), "false", "false" },
        { FIELD(BOOL), "yes", BAD },
        { FIELD(BOOL), "True", BAD },
        { FIELD(BOOL), "", BAD },
        { FIELD(U64), "0", "0" },
        { FIELD(U64), "18446744073709551615", "18446744073709551615" },
        { FIELD(U64), "18446744073709551616", BAD },
        { FIELD(U64), "-1", BAD },
        { FIELD(U64), "1.5", BAD },
        { FIELD(U64), " 1", BAD },
        { FIELD(BYTES), "64MiB", "64MiB" },
        { FIELD(BYTES), "1024KiB", "1MiB" },
        { FIELD(BYTES), "1GB", "1000000000" },
        { FIELD(BYTES), "0", "0" },
        { FIELD(BYTES), "64 MiB", BAD },
        { FIELD(BYTES), "64mb", BAD },
        { FIELD(BYTES), "99999999TiB", BAD },
        { FIELD(DURATION), "7d", "7d" },
        { FIELD(DURATION), "168h", "7d" },
        { FIELD(DURATION), "90m", "1h30m" },
        { FIELD(DURATION), "1.5s", "1s500ms" },
        { FIELD(DURATION), "1us1ns", "1us1ns" },
        { FIELD(DURATION), "0", "0" },
        { FIELD(DURATION), "7", BAD },
        { FIELD(DURATION), "-1s", BAD },
        { FIELD(DURATION), "7 d", BAD },
        { FIELD(NUMBER), "0.1", "0.1" },
        { FIELD(NUMBER), "-2", "-2" },
        { FIELD(NUMBER), "1e300", "1e+300" },
        { FIELD(NUMBER), "nan", BAD },
        { FIELD(NUMBER), "inf", BAD },
        { FIELD(NUMBER), "1x", BAD },
        { FIELD(CHOICE, .choices = "commit|os"), "os", "os" },
        { FIELD(CHOICE, .choices = "commit|os"), "commit", "commit" },
        { FIELD(CHOICE, .choices = "commit|os"), "o", BAD },
        { FIELD(CHOICE, .choices = "commit|os"), "commit|os", BAD },
        { FIELD(CHOICE, .choices = "commit|os"), "", BAD },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const char *got = printed(&cases[i].field, cases[i].in, NULL);

        if (!got || !cases[i].want)
            assert_ptr_equal(got, cases[i].want);
        else
            assert_string_equal(got, cases[i].want);
    }
}

static void addresses_have_host_and_port(void **state)
{
    static const struct {
        const char *in;
        bool is_good;
    } cases[] = {
        { "127.0.0.1:4317", true },
        { "localhost:0", true },
        { "[::1]:65535", true },
        { "[fe80::1%eth0]:1", true },
        { "off", true },
        { "a_b-c.d:80", true },
        { "0.0.0.0:80", true },
        { "[::]:80", true },
        { ":80", false },
        { "host:", false },
        { "host", false },
        { "host:65536", false },
        { "host:99999999999", false },
        { "host:-1", false },
        { "host:8x", false },
        { "::1:80", false },
        { "[::1]", false },
        { "[::1:80", false },
        { "[]:80", false },
        { "[localhost]:80", false },
        { "300.1.1.1:80", false },
        { "1.2.3:80", false },
        { "a b:80", false },
        { "", false },
        { "Off", false },
        { "[fe80::1%]:1", false },
        { "http://x:80", false },
        { "host:+1", false },
    };
    struct conf_field field = FIELD(ADDRESS);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        if (!cases[i].is_good) {
            if (printed(&field, cases[i].in, NULL))
                fail_msg("'%s' is not refused", cases[i].in);
            continue;
        }
        struct conf_value value;
        assert_int_equal(conf_value_parse(&field, str_of(cases[i].in), &arena, &value, NULL),
                         MG_OK);
        bool is_off = strcmp(cases[i].in, "off") == 0;
        assert_true(is_off ? value.str.len == 0 : str_eq(value.str, str_of(cases[i].in)));
    }
}

static void ranges_are_inclusive(void **state)
{
    const struct {
        struct conf_field field;
        const char *in;
        bool is_good;
        const char *says;
    } cases[] = {
        { FIELD(DURATION, .min = "1h", .max = "90d"), "59m59s", false, "from 1h to 90d" },
        { FIELD(DURATION, .min = "1h", .max = "90d"), "1h", true, "" },
        { FIELD(DURATION, .min = "1h", .max = "90d"), "90d", true, "" },
        { FIELD(DURATION, .min = "1h", .max = "90d"), "90d1ns", false, "from 1h to 90d" },
        { FIELD(BYTES, .min = "1KiB"), "1023", false, "at least 1KiB" },
        { FIELD(BYTES, .min = "1KiB"), "1024", true, "" },
        { FIELD(U64, .max = "10"), "10", true, "" },
        { FIELD(U64, .max = "10"), "11", false, "at most 10" },
        { FIELD(NUMBER, .min = "0", .max = "1"), "-0.001", false, "from 0 to 1" },
        { FIELD(NUMBER, .min = "0", .max = "1"), "0", true, "" },
        { FIELD(NUMBER, .min = "0", .max = "1"), "1.0", true, "" },
        { FIELD(NUMBER, .min = "0", .max = "1"), "1.001", false, "from 0 to 1" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct mg_why why = { { 0 } };

        assert_int_equal(printed(&cases[i].field, cases[i].in, &why) != NULL, cases[i].is_good);
        assert_non_null(strstr(why.text, cases[i].says));
    }
}

static void text_is_quoted_where_yaml_needs_it(void **state)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        { "plain", "plain" },
        { "/var/lib/x", "/var/lib/x" },
        { "http://a:80/b", "http://a:80/b" },
        { "", "\"\"" },
        { "null", "\"null\"" },
        { "~", "\"~\"" },
        { "a b", "\"a b\"" },
        { "a:", "\"a:\"" },
        { "-a", "\"-a\"" },
        { "a#b", "\"a#b\"" },
        { "say \"hi\"\\", "\"say \\\"hi\\\"\\\\\"" },
        { "a\nb\tc", "\"a\\u000Ab\\u0009c\"" },
        { "\xc3\xa4", "\"\xc3\xa4\"" },
        { "\xc2\x85", "\"\\u0085\"" },
        { "\xff", BAD },
        { "a\x01", BAD },
        { "\x7f", BAD },
        { "\xc0\x80", BAD },         /* overlong */
        { "\xed\xa0\x80", BAD },     /* a surrogate */
        { "\xf4\x90\x80\x80", BAD }, /* above U+10FFFF */
        { "\xe2\x82", BAD },         /* cut */
    };
    struct conf_field field = FIELD(STR);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const char *got = printed(&field, cases[i].in, NULL);

        if (!got || !cases[i].want)
            assert_ptr_equal(got, cases[i].want);
        else
            assert_string_equal(got, cases[i].want);
    }
}

static void a_list_takes_one_plain_value(void **state)
{
    struct conf_field field = FIELD(LIST);
    struct conf_value value;
    const struct str items[] = { STR("a"), STR("b,c") }, wrong[] = { STR("a"), STR("\xff") };

    (void)state;
    assert_string_equal(printed(&field, "a,b", NULL), "[\"a,b\"]");
    assert_string_equal(printed(&field, "", NULL), "[]");
    assert_null(printed(&field, "\xff", NULL));
    assert_int_equal(conf_value_parse_list(items, 2, &arena, &value, NULL), MG_OK);
    assert_int_equal(value.list.n, 2);
    assert_int_equal(conf_value_parse_list(wrong, 2, &arena, &value, NULL), MG_E_FORMAT);
}

static void equality_and_zero_look_at_content(void **state)
{
    const struct str ab[] = { STR("a"), STR("b") }, ac[] = { STR("a"), STR("c") };
    struct conf_field field = FIELD(LIST);
    struct conf_value x, y;

    (void)state;
    assert_int_equal(conf_value_parse_list(ab, 2, &arena, &x, NULL), MG_OK);
    assert_int_equal(conf_value_parse_list(ac, 2, &arena, &y, NULL), MG_OK);
    assert_true(conf_value_eq(&field, &x, &x));
    assert_false(conf_value_eq(&field, &x, &y));
    assert_int_equal(conf_value_parse_list(ab, 1, &arena, &y, NULL), MG_OK);
    assert_false(conf_value_eq(&field, &x, &y));
    assert_false(conf_value_is_zero(&field, &x));
    assert_true(conf_value_is_zero(&field, &(struct conf_value){ 0 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_parsed_and_printed),
        cmocka_unit_test(addresses_have_host_and_port),
        cmocka_unit_test(ranges_are_inclusive),
        cmocka_unit_test(text_is_quoted_where_yaml_needs_it),
        cmocka_unit_test(a_list_takes_one_plain_value),
        cmocka_unit_test(equality_and_zero_look_at_content),
    };
    return cmocka_run_group_tests(tests, NULL, group_arena_fini);
}
