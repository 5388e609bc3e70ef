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

static void post(struct wire *wire, size_t bytes)
{
    char text[128];
    int n = snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%.*s", bytes, (int)bytes,
                     "0123456789abcdef");
    wire_send(wire, text, (size_t)n);
}

/* A request keeps the limit that was in force when its head came. */
static void test_the_body_limit_of_a_reload(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire.conf.body_bytes_max = 8;
    wire_start(&wire);
    struct http_conf more = {.body_bytes_max = 10};
    http_server_reload(wire.server, &(struct http_options){.conf = &more});
    memset(&more, 0, sizeof more); /* it was copied */
    post(&wire, 10);
    static const char begun[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234";
    wire_send(&wire, begun, sizeof begun - 1);
    http_server_reload(wire.server, &(struct http_options){.conf = &wire.conf}); /* 8 */
    wire_send(&wire, "56789", 5);
    post(&wire, 8);
    post(&wire, 9);
    assert_string_equal(wire_answers(&wire), "200:0123456789 200:0123456789 200:01234567 413 eof");
    wire_fini(&wire);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_came),
        cmocka_unit_test(test_method_not_allowed_names_the_others),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_the_body_limit_of_a_reload),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
