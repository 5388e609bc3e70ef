#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "wire.h"

static bool shows(struct metric_registry *registry, const char *line)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    metric_write(registry, METRIC_TEXT_0_0_4, &text);
    size_t at;
    bool found = str_find(buf_str(&text), str_of(line), &at);
    if (!found)
        print_message("no '%s' in:\n%.*s\n", line, (int)text.len, text.ptr);
    buf_fini(&text);
    return found;
}

static void test_numbers(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    struct wire wire;
    wire_init(&wire);
    wire.options.metrics = http_metrics_register(registry, "door=front|back");
    wire.options.metric_door = 1;
    wire_start(&wire);
    assert_true(shows(registry, "meshglass_http_connections{door=\"back\"} 1\n"));
    static const char good[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /nope HTTP/1.1\r\nHost: "
                               "a\r\n\r\nPOST /busy HTTP/1.1\r\nHost: a\r\n\r\n";
    wire_send(&wire, good, sizeof good - 1);
    static const char late[] = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
    wire_send(&wire, late, sizeof late - 1);
    wire_reset(&wire);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    assert_true(shows(registry, "meshglass_http_connections{door=\"back\"} 0\n"));
    assert_true(
        shows(registry, "meshglass_http_requests_total{door=\"back\",class=\"2xx\"} 1\n"));
    assert_true(
        shows(registry, "meshglass_http_requests_total{door=\"back\",class=\"4xx\"} 1\n"));
    assert_true(
        shows(registry, "meshglass_http_requests_total{door=\"back\",class=\"5xx\"} 1\n"));
    assert_true(
        shows(registry, "meshglass_http_requests_total{door=\"back\",class=\"none\"} 1\n"));
    size_t sent = wire.out.len;
    wire_connect(&wire);
    wire_send(&wire, "BAD\r\n\r\n", 7);
    assert_true(shows(registry,
                      "meshglass_http_refused_total{door=\"back\",reason=\"malformed\"} 1\n"));
    char line[128];
    snprintf(line, sizeof line, "meshglass_http_received_bytes_total{door=\"back\"} %zu\n",
             sizeof good + sizeof late - 2 + 7);
    assert_true(shows(registry, line));
    snprintf(line, sizeof line, "meshglass_http_sent_bytes_total{door=\"back\"} %zu\n",
             sent + wire.out.len);
    assert_true(shows(registry, line));
    wire_fini(&wire);
    metric_registry_free(&registry);
}

static void test_reasons_are_in_the_table(void **state)
{
    (void)state;
    static const char *const reasons[] = {"headers",     "body_bytes", "slow", "malformed",
                                          "flood",       "expectation", "deadline", "auth",
                                          "denied",      "memory",     "stalled"};
    struct metric_registry *registry = metric_registry_new();
    struct wire wire;
    wire_init(&wire);
    wire.options.metrics = http_metrics_register(registry, "door=front|back");
    wire.options.metric_door = 1;
    wire_start(&wire);
    for (size_t i = 0; i < MG_COUNT(reasons); i++) {
        http_count_refused(wire.server, reasons[i]);
        char line[128];
        snprintf(line, sizeof line,
                 "meshglass_http_refused_total{door=\"back\",reason=\"%s\"} 1\n", reasons[i]);
        assert_true(shows(registry, line));
    }
    wire_fini(&wire);
    metric_registry_free(&registry);
}

static void test_every_failed_handshake_has_a_reason(void **state)
{
    (void)state;
    static const struct {
        enum tls_failure failure;
        const char *reason;
    } cases[] = {
        {TLS_FAILURE_NO_CERTIFICATE, "no_certificate"},
        {TLS_FAILURE_CERTIFICATE, "certificate"},
        {TLS_FAILURE_VERSION, "version"},
        {TLS_FAILURE_PLAIN, "plain"},
        {TLS_FAILURE_REFUSED, "refused"},
        {TLS_FAILURE_UNFINISHED, "unfinished"},
        {TLS_FAILURE_OTHER, "other"},
    };
    struct metric_registry *registry = metric_registry_new();
    struct wire wire;
    char line[128];
    wire_init(&wire);
    wire.options.metrics = http_metrics_register(registry, "door=front|back");
    wire.options.metric_door = 1;
    wire_start(&wire);
    http_count_handshake(wire.server, TLS_FAILURE_NONE);
    for (unsigned n = 0; n < 2; n++) {
        for (size_t i = 0; i < MG_COUNT(cases); i++) {
            snprintf(line, sizeof line,
                     "meshglass_tls_handshake_failures_total{door=\"back\",reason=\"%s\"} %u\n",
                     cases[i].reason, n);
            assert_true(shows(registry, line));
            http_count_handshake(wire.server, cases[i].failure);
        }
    }
    wire_fini(&wire);
    metric_registry_free(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_reasons_are_in_the_table),
        cmocka_unit_test(test_every_failed_handshake_has_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
