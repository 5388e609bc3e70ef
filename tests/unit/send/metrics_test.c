/* The rows of all exporters: names, labels, and that one exporter's numbers are its own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "send/private.h"

static uint64_t now_ns(void)
{
    return 100 * UINT64_C(1000000000);
}

static void what_is_counted_is_exposed_under_its_labels(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\nmeshglass_export_spans_total{exporter=\"kafka\",outcome=\"sent\"} 10\n",
        "\nmeshglass_export_spans_total{exporter=\"kafka\",outcome=\"refused\"} 20\n",
        "\nmeshglass_export_spans_total{exporter=\"kafka\",outcome=\"queue_full\"} 30\n",
        "\nmeshglass_export_spans_total{exporter=\"kafka\",outcome=\"too_old\"} 40\n",
        "\nmeshglass_export_spans_total{exporter=\"kafka\",outcome=\"disk\"} 50\n",
        "\nmeshglass_export_batches_total{exporter=\"kafka\",outcome=\"disk\"} 5\n",
        "\nmeshglass_export_retries_total{exporter=\"kafka\"} 1\n",
        "\nmeshglass_export_queue_bytes{exporter=\"kafka\"} 1234\n",
        "\nmeshglass_export_queue_batches{exporter=\"kafka\"} 7\n",
        "\nmeshglass_export_oldest_seconds{exporter=\"kafka\"} 60\n",
        "\nmeshglass_export_send_seconds_bucket{exporter=\"kafka\",le=\"2.5\"} 2\n",
        "\nmeshglass_export_send_seconds_bucket{exporter=\"kafka\",le=\"1.0\"} 1\n",
        "\nmeshglass_export_send_seconds_count{exporter=\"kafka\"} 2\n",
    };
    struct metric_registry *registry = metric_registry_new();
    struct metric_set *metrics = send_metrics_register(registry);
    struct send send = {.metrics = metrics, .label = 2, .wall_ns = now_ns}, other = {.metrics = metrics, .label = 0};
    pthread_mutex_init(&send.shared.lock, NULL);
    pthread_mutex_init(&other.shared.lock, NULL);
    for (enum outcome outcome = OUT_SENT; outcome < OUT_COUNT; outcome++)
        send_count(&send, outcome, 10 * (outcome + 1), outcome + 1);
    send_count(&other, OUT_SENT, 99, 9);
    send_count_attempt(&send, 500000000, false);
    send_count_attempt(&send, 2000000000, true);
    send_gauges(&send, &(struct send_stats){.queued_bytes = 1234, .queued_batches = 7, .oldest_wall_ns = 40000000000});

    struct buf text;
    buf_init(&text, 1 << 20);
    metric_write(registry, METRIC_TEXT_0_0_4, &text);
    buf_put_char(&text, '\0');
    for (size_t i = 0; i < MG_COUNT(lines); i++)
        if (!strstr(text.ptr, lines[i]))
            fail_msg("no line %s in %s", lines[i], text.ptr);
    assert_int_equal(send.shared.stats.dropped_disk_spans, 50);
    assert_int_equal(send.shared.stats.batches, 15);
    assert_int_equal(send.shared.stats.retries, 1);
    assert_int_equal(other.shared.stats.sent_spans, 99);
    buf_fini(&text);
    pthread_mutex_destroy(&send.shared.lock);
    pthread_mutex_destroy(&other.shared.lock);
    metric_registry_free(&registry);
}

/* An empty queue, and a wall clock that was set back, have no age. */
static void there_is_no_age_below_zero(void **state)
{
    (void)state;
    static const uint64_t oldest[] = {0, 101 * UINT64_C(1000000000), UINT64_MAX};
    struct metric_registry *registry = metric_registry_new();
    struct metric_set *metrics = send_metrics_register(registry);
    struct send send = {.metrics = metrics, .label = 0, .wall_ns = now_ns};
    for (size_t i = 0; i < MG_COUNT(oldest); i++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        send_gauges(&send, &(struct send_stats){.oldest_wall_ns = oldest[i]});
        metric_write(registry, METRIC_TEXT_0_0_4, &text);
        buf_put_char(&text, '\0');
        assert_non_null(strstr(text.ptr, "\nmeshglass_export_oldest_seconds{exporter=\"otlp\"} 0\n"));
        buf_fini(&text);
    }
    metric_registry_free(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted_is_exposed_under_its_labels),
        cmocka_unit_test(there_is_no_age_below_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
