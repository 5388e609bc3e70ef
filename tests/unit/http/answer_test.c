/* The forms of an answer, whole ones and failures. */
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

static void test_forms_of_a_failure(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { bool is_otlp; const char *type; enum mg_err err; unsigned retry; const char *want[4]; } cases[] = {
        { false, "", MG_E_BUSY, 3, { "503 Service Unavailable\r\n", "retry-after: 3\r\n", "text/plain", "\r\n\r\nmessage\n" } },
        { false, "", MG_E_RATE, 9, { "429 Too Many Requests\r\n", "retry-after: 9\r\n" } },
        { true, "Content-Type: application/json\r\n", MG_E_BUSY, 2, { "application/json", "\"retryDelay\":\"2s\"", "\"code\":14" } },
        { true, "Content-Type: application/json; charset=utf-8\r\n", MG_E_FORMAT, 0, { "400 Bad Request\r\n", "\"code\":3" } },
        { true, "Content-Type: application/x-protobuf\r\n", MG_E_FORMAT, 0, { "application/x-protobuf", "\x08\x03\x12\x07message" } },
        { true, "Content-Type: APPLICATION/X-PROTOBUF; a=b\r\n", MG_E_FORMAT, 0, { "application/x-protobuf" } },
        { true, "", MG_E_FORMAT, 0, { "application/json" } },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        wire_init(&wire);
        wire.options.is_otlp = cases[i].is_otlp;
        wire.options.server_name = "meshglass";
        wire_start(&wire);
        struct buf text;
        buf_init(&text, 1000);
        buf_printf(&text, "POST /later HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].type);
        wire_send(&wire, text.ptr, text.len);
        buf_fini(&text);
        http_respond_error(wire.later[0], cases[i].err, STR("message"), cases[i].retry);
        wire_send(&wire, "", 0);
        for (size_t k = 0; k < 4 && cases[i].want[k]; k++) {
            if (!wire_has(&wire, cases[i].want[k]))
                fail_msg("case %zu: no '%s' in: %.*s", i, cases[i].want[k], (int)wire.out.len,
                         wire.out.ptr);
        }
        assert_true(wire_has(&wire, "Server: meshglass\r\n"));
        wire_fini(&wire);
    }
}

static unsigned hint_for(struct wire *wire, unsigned port)
{
    unsigned hint = 0;
    size_t at;
    buf_clear(&wire->out);
    wire_send(wire, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n", 32);
    snprintf(wire->conn->peer, sizeof wire->conn->peer, "10.0.0.1:%u", port);
    http_respond_error(wire->later[wire->n_later - 1], MG_E_BUSY, STR(""), 0);
    wire_send(wire, "", 0);
    assert_true(str_find(buf_str(&wire->out), STR("retry-after: "), &at));
    assert_int_equal(sscanf(wire->out.ptr + at, "retry-after: %u\r\n", &hint), 1);
    return hint;
}

/* Where the handler gives none: never 0, and the same for a peer whenever it asks. */
static void test_hints_are_spread_over_one_to_three_seconds(void **state)
{
    (void)state;
    unsigned seen[4] = {0};
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    for (unsigned port = 1; port <= WIRE_LATER_MAX / 2; port++) {
        unsigned hint = hint_for(&wire, port);
        assert_in_range(hint, 1, 3);
        assert_int_equal(hint_for(&wire, port), hint);
        seen[hint]++;
    }
    for (unsigned i = 1; i <= 3; i++)
        assert_in_range(seen[i], 60, 110);
    wire_fini(&wire);
}

static void test_no_hint_where_a_retry_is_pointless(void **state)
{
    (void)state;
    static const enum mg_err errs[] = {MG_E_FORMAT, MG_E_TOO_BIG, MG_E_TIMEOUT, MG_E_IO};
    for (size_t i = 0; i < MG_COUNT(errs); i++) {
        struct wire wire;
        start(&wire, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        http_respond_error(wire.later[0], errs[i], STR(""), 7);
        wire_send(&wire, "", 0);
        assert_false(wire_has(&wire, "retry-after"));
        assert_true(wire_has(&wire, mg_err_text(errs[i]))); /* its own words when none are given */
        wire_fini(&wire);
    }
}

static void test_bodiless_statuses(void **state)
{
    (void)state;
    static const int statuses[] = {204, 304};
    for (size_t i = 0; i < MG_COUNT(statuses); i++) {
        struct wire wire;
        start(&wire, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        http_respond(wire.later[0], statuses[i], NULL, STR("body"));
        wire_send(&wire, "", 0);
        assert_false(wire_has(&wire, "body"));
        assert_false(wire_has(&wire, "Content-Length"));
        wire_fini(&wire);
    }
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_a_failure),
        cmocka_unit_test(test_hints_are_spread_over_one_to_three_seconds),
        cmocka_unit_test(test_no_hint_where_a_retry_is_pointless),
        cmocka_unit_test(test_bodiless_statuses),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
