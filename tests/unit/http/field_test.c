#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "http/field.h"

static void every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[] = {'x', (char)c, 'y'};
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), is_digit = c >= '0' && c <= '9';
        bool is_mark = c && c < 128 && strchr("!#$%&'*+-.^_`|~", c);
        bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
        assert_int_equal(http_is_token(str_n(text, 3)), is_letter || is_digit || is_mark);
        assert_int_equal(http_is_token(str_n(text + 1, 1)), is_letter || is_digit || is_mark);
        assert_int_equal(http_is_field_value(str_n(text, 3)), !is_control);
    }
    assert_false(http_is_token(STR("")));
    assert_true(http_is_field_value(STR("")));
}

static void names_get_small_letters(void **state)
{
    struct arena arena = {0};
    (void)state;
    assert_true(str_eq(http_field_name(&arena, STR("X-Trace_ID[@Z`")), STR("x-trace_id[@z`")));
    assert_true(str_eq(http_field_name(&arena, STR("\xc3\x84")), STR("\xc3\x84")));
    assert_int_equal(http_field_name(&arena, STR("")).len, 0);
    arena_fini(&arena);
}

static void hop_fields(void **state)
{
    static const char *const hop[] = {"host",    "connection", "content-length",    "transfer-encoding", "te",
                                      "upgrade", "trailer",    "keep-alive",        "proxy-connection",  "expect"};
    static const char *const others[] = {"", "hos", "hostx", "content-type", "content-encoding", "accept-encoding", "authorization",
                                         "trailers", "t", "proxy-authorization", "user-agent"};
    (void)state;
    for (size_t i = 0; i < MG_COUNT(hop); i++)
        assert_true(http_is_hop_field(str_of(hop[i])));
    for (size_t i = 0; i < MG_COUNT(others); i++)
        assert_false(http_is_hop_field(str_of(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte),
        cmocka_unit_test(names_get_small_letters),
        cmocka_unit_test(hop_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
