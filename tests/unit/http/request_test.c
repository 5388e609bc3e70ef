/* What handlers see, and what a head is refused for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "wire.h"

static void start(struct wire *wire, const char *request)
{
    wire_init(wire);
    wire_start(wire);
    wire_send(wire, request, strlen(request));
    assert_int_equal(wire->n_later, 1);
}

static bool is(struct str s, const char *text)
{
    return str_eq(s, str_of(text));
}

static void test_what_came(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, "POST /later?a=1&b HTTP/1.1\r\nHost: h:1\r\nX-Y: one\r\nCONTENT-Type:  a/b ; "
                 "c\t\r\nx-y: two\r\nEmpty:\r\n"
                 "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
    struct http_request *request = wire.later[0];
    assert_true(is(http_request_method(request), "POST"));
    assert_true(is(http_request_path(request), "/later"));
    assert_true(is(http_request_query(request), "a=1&b"));
    assert_true(is(http_request_header(request, STR("host")), "h:1"));
    assert_true(is(http_request_header(request, STR("x-y")), "one, two"));
    assert_true(is(http_request_header(request, STR("content-type")), "a/b ; c"));
    assert_true(is(http_request_header(request, STR("empty")), ""));
    assert_true(is(http_request_header(request, STR("none")), ""));
    assert_true(is(http_request_encoding(request), "gzip"));
    assert_true(is(http_request_body(request), "abc"));
    assert_true(is(http_request_peer(request), "10.0.0.1:1234"));
    assert_int_equal(http_request_length_hint(request), 3);
    assert_false(http_request_is_grpc(request));
    assert_false(http_request_is_gone(request));
    assert_ptr_equal(http_request_server(request), wire.server);
    struct str value;
    assert_false(http_request_param(request, "name", &value));
    struct buf body;
    size_t offset = 9;
    http_request_take_body(request, &body, &offset);
    assert_true(is(buf_str(&body), "abc"));
    assert_int_equal(offset, 0);
    assert_int_equal(http_request_body(request).len, 0);
    buf_fini(&body);
    http_respond(request, 200, NULL, STR(""));
    wire_fini(&wire);
}

static void test_method_not_allowed_names_the_others(void **state)
{
    (void)state;
    static const struct {
        const char *request, *allow, *sentence;
    } cases[] = {
        {"DELETE /later", "allow: GET, HEAD, POST\r\n",
         "DELETE is not allowed here, only GET, HEAD, POST\n"},
        {"GET /echo", "allow: POST\r\n", "GET is not allowed here, only POST\n"},
        {"PATCH /", "allow: GET, HEAD\r\n", "PATCH is not allowed here, only GET, HEAD\n"},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        char text[128];
        wire_init(&wire);
        wire_start(&wire);
        int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].request);
        wire_send(&wire, text, (size_t)n);
        if (!wire_has(&wire, "405 ") || !wire_has(&wire, cases[i].allow) ||
            !wire_has(&wire, cases[i].sentence))
            fail_msg("case %zu: %.*s", i, (int)wire.out.len, wire.out.ptr);
        wire_fini(&wire);
    }
}

static void test_hosts(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { struct str host; bool want; } cases[] = {
        { STR_INIT("a"), true }, { STR_INIT("a.b:80"), true }, { STR_INIT("[::1]:80"), true }, { STR_INIT(""), true },
        { STR_INIT("a%20b"), true }, { STR_INIT("a b"), false }, { STR_INIT("a/b"), false }, { STR_INIT("a@b"), false },
        { STR_INIT("a?b"), false }, { STR_INIT("a#b"), false }, { STR_INIT("a\\b"), false }, { STR_INIT("a\0b"), false },
        { STR_INIT("\xc3\xa9"), false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_int_equal(request_is_valid_host(cases[i].host), cases[i].want);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_came),
        cmocka_unit_test(test_method_not_allowed_names_the_others),
        cmocka_unit_test(test_hosts),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
