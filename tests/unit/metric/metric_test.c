/* Sums over threads that run, that have ended and that outlive a registry; what a scrape writes,
 * and that the strict reader takes it in both formats. */
#include "metric/metric.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "metric/check.h"
#include "metric/text.h"

#define ROOM (1u << 20)
#define METRICS(METRIC)                                                                            \
    METRIC(COUNTER, spans, "mg_spans_total", "Spans.", "door=grpc|http", "code=ok|bad", NULL)      \
    METRIC(COUNTER, plain, "mg_plain_total", "With \"quotes\", a \\ and a\nnewline.", NULL, NULL,  \
           NULL)                                                                                   \
    METRIC(GAUGE, level, "mg_level_bytes", "Level.", "pool=a\\b|c\"d|", NULL, NULL)                \
    METRIC(HISTOGRAM, wait, "mg_wait_seconds", "Wait.", "door=grpc|http", NULL,                    \
           "0.001 0.5 1 100000")                                                                   \
    METRIC(SECONDS, cpu, "mg_cpu_seconds_total", "CPU.", NULL, NULL, NULL)

#define METRIC_ID(id) ROW_##id
enum { METRICS(METRIC_ENUM) ROW_COUNT };
static const struct metric_row rows[] = { METRICS(METRIC_TABLE) };

static struct metric_registry *registry;
static struct metric_set *set;

static int setup(void **state)
{
    (void)state;
    struct metric_row given[ROW_COUNT];

    memcpy(given, rows, sizeof given);
    registry = metric_registry_new();
    set = metric_register(registry, given, ROW_COUNT);
    memset(given, 0, sizeof given); /* they are copied */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    metric_registry_free(&registry);
    return registry != NULL;
}

static void scrape(enum metric_format format, struct buf *out)
{
    struct mg_why why = { { 0 } };

    buf_init(out, ROOM);
    metric_write(registry, format, out);
    assert_int_equal(buf_err(out), MG_OK);
    if (metric_check(buf_str(out), format, &why) != MG_OK)
        fail_msg("%s in:\n%.*s", why.text, STR_ARG(buf_str(out)));
}

static void assert_lines(const struct buf *page, const char *const *lines, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at;

        if (!str_find(buf_str(page), str_of(lines[i]), &at))
            fail_msg("no '%s' in:\n%.*s", lines[i], STR_ARG(buf_str(page)));
    }
}

static void adds_are_summed_by_cell(void **state)
{
    (void)state;
    metric_add(set, ROW_spans, 0, 0, 2);
    metric_add(set, ROW_spans, 1, 1, 3);
    metric_add(set, ROW_spans, 1, 1, UINT64_C(1) << 40);
    metric_add(set, ROW_plain, 0, 0, 1);
    metric_add(set, ROW_cpu, 0, 0, 1500000000);
    assert_true(metric_get(set, ROW_spans, 0, 0) == 2);
    assert_true(metric_get(set, ROW_spans, 0, 1) == 0);
    assert_true(metric_get(set, ROW_spans, 1, 1) == 3 + (UINT64_C(1) << 40));
    assert_true(metric_get(set, ROW_plain, 0, 0) == 1);
    assert_true(metric_get(set, ROW_cpu, 0, 0) == 1500000000);
}

static void observations_at_a_bound_belong_to_its_bucket(void **state)
{
    static const char *const lines[] = {
        "mg_wait_seconds_bucket{door=\"http\",le=\"0.001\"} 2\n",
        "mg_wait_seconds_bucket{door=\"http\",le=\"0.5\"} 3\n",
        "mg_wait_seconds_bucket{door=\"http\",le=\"1.0\"} 3\n",
        "mg_wait_seconds_bucket{door=\"http\",le=\"100000.0\"} 3\n",
        "mg_wait_seconds_bucket{door=\"http\",le=\"+Inf\"} 4\n",
        "mg_wait_seconds_sum{door=\"http\"} 200000.002000001\n",
        "mg_wait_seconds_count{door=\"http\"} 4\n",
        "mg_wait_seconds_bucket{door=\"grpc\",le=\"+Inf\"} 0\n",
    };
    struct buf page;

    (void)state;
    metric_observe(set, ROW_wait, 1, 0, 0);
    metric_observe(set, ROW_wait, 1, 0, 1000000);
    metric_observe(set, ROW_wait, 1, 0, 1000001);
    metric_observe(set, ROW_wait, 1, 0, UINT64_C(200000000000000));
    assert_true(metric_get(set, ROW_wait, 1, 0) == 4);
    assert_true(metric_get(set, ROW_wait, 0, 0) == 0);
    scrape(METRIC_TEXT_0_0_4, &page);
    assert_lines(&page, lines, MG_COUNT(lines));
    buf_fini(&page);
}

static void text_page_names_counters_in_full(void **state)
{
    static const char *const lines[] = {
        "# TYPE mg_spans_total counter\n# HELP mg_spans_total "
        "Spans.\nmg_spans_total{door=\"grpc\",code=\"ok\"} 0\n",
        "# HELP mg_plain_total With \"quotes\", a \\\\ and a\\nnewline.\nmg_plain_total 7\n",
        "mg_level_bytes{pool=\"a\\\\b\"} 0.25\n",
        "mg_level_bytes{pool=\"c\\\"d\"} 1073741824\n# TYPE", /* nothing behind the last '|' */
        "mg_cpu_seconds_total 0.000000001\n",
    };
    struct buf page;
    size_t at;

    (void)state;
    metric_add(set, ROW_plain, 0, 0, 7);
    metric_add(set, ROW_cpu, 0, 0, 1);
    metric_set_gauge(set, ROW_level, 0, 0, 0.25);
    metric_set_gauge(set, ROW_level, 1, 0, 1073741824);
    scrape(METRIC_TEXT_0_0_4, &page);
    assert_lines(&page, lines, MG_COUNT(lines));
    assert_false(str_find(buf_str(&page), STR("# EOF"), &at));
    assert_false(str_find(buf_str(&page), STR("# UNIT"), &at));
    buf_fini(&page);
}

static void open_metrics_page_names_families_and_ends(void **state)
{
    static const char *const lines[] = {
        "# TYPE mg_spans counter\n# HELP mg_spans "
        "Spans.\nmg_spans_total{door=\"grpc\",code=\"ok\"} 0\n",
        "# HELP mg_plain With \\\"quotes\\\", a \\\\ and a\\nnewline.\n",
        ("# TYPE mg_cpu_seconds counter\n# UNIT mg_cpu_seconds seconds\n# HELP mg_cpu_seconds "
         "CPU.\n"
         "mg_cpu_seconds_total 0\n"),
        "# UNIT mg_level_bytes bytes\n",
        "# TYPE mg_wait_seconds histogram\n# UNIT mg_wait_seconds seconds\n",
        "mg_level_bytes{pool=\"a\\\\b\"} NaN\n",
        "mg_level_bytes{pool=\"c\\\"d\"} +Inf\n",
    };
    struct buf page;

    (void)state;
    metric_set_gauge(set, ROW_level, 0, 0, NAN);
    metric_set_gauge(set, ROW_level, 1, 0, INFINITY);
    scrape(METRIC_OPENMETRICS_1_0, &page);
    assert_lines(&page, lines, MG_COUNT(lines));
    assert_true(str_ends(buf_str(&page), STR("\n# EOF\n")));
    buf_fini(&page);
}

static void collect(void *owner)
{
    ++*(int *)owner;
    metric_set_gauge(set, ROW_level, 0, 0, *(int *)owner);
}

static void append(void *owner, enum metric_format format, struct buf *out)
{
    (void)owner;
    metric_text_head(out, format, METRIC_COUNTER, "mg_calls_total", "Calls.");
    metric_text_name(out, "mg_calls_total", "");
    metric_text_label(out, STR("service"), STR("a\"\n\\b"), true);
    buf_put_text(out, "} 1\n");
}

static void collectors_run_before_and_appenders_after_the_rows(void **state)
{
    static const char *const lines[] = { "mg_level_bytes{pool=\"a\\\\b\"} 2\n",
                                         "mg_calls_total{service=\"a\\\"\\n\\\\b\"} 1\n# EOF\n" };
    int calls = 0;
    struct buf page;

    (void)state;
    metric_on_scrape(registry, collect, &calls);
    metric_on_write(registry, append, NULL);
    scrape(METRIC_TEXT_0_0_4, &page);
    buf_fini(&page);
    scrape(METRIC_OPENMETRICS_1_0, &page);
    assert_int_equal(calls, 2);
    assert_lines(&page, lines, MG_COUNT(lines));
    buf_fini(&page);
}

static void a_small_buffer_tells(void **state)
{
    struct buf page;

    (void)state;
    buf_init(&page, 64);
    metric_write(registry, METRIC_TEXT_0_0_4, &page);
    assert_int_equal(buf_err(&page), MG_E_TOO_BIG);
    buf_fini(&page);
}

enum { ADDS = 20000, MOVES = 20, THREADS = 4 };

static void *adder(void *unused)
{
    (void)unused;
    for (int i = 0; i < ADDS; i++) {
        metric_add(set, ROW_spans, 0, 0, 1);
        metric_observe(set, ROW_wait, 0, 0, 1000);
        metric_set_gauge(set, ROW_level, 0, 0, i);
        for (int k = 0; k < MOVES; k++)
            metric_move_gauge(set, ROW_level, 1, 0, k % 2 ? 1.5 : -1);
    }
    return NULL;
}

static void scrapes_during_adds_are_whole_and_nothing_is_lost(void **state)
{
    pthread_t threads[THREADS];
    uint64_t seen = 0;
    struct buf last;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, adder, NULL), 0);
    for (int i = 0; i < 20; i++) {
        struct buf page;
        uint64_t now = metric_get(set, ROW_spans, 0, 0);

        assert_true(now >= seen); /* also when a thread ends meanwhile */
        seen = now;
        scrape(METRIC_OPENMETRICS_1_0, &page);
        buf_fini(&page);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(metric_get(set, ROW_spans, 0, 0) == (uint64_t)ADDS * THREADS);
    assert_true(metric_get(set, ROW_wait, 0, 0) == (uint64_t)ADDS * THREADS);
    scrape(METRIC_TEXT_0_0_4, &last);
    assert_lines(&last, (const char *const[]){ "mg_level_bytes{pool=\"c\\\"d\"} 400000\n" }, 1); /* each two moves are 0.5 up */
    buf_fini(&last);
}

static pthread_barrier_t barrier;

static void *outliver(void *unused)
{
    (void)unused;
    metric_add(set, ROW_plain, 0, 0, 1);
    pthread_barrier_wait(&barrier); /* it has added */
    pthread_barrier_wait(&barrier); /* the registry is another one now, in the same slot */
    metric_add(set, ROW_plain, 0, 0, 5);
    return NULL;
}

static void a_thread_may_outlive_a_registry(void **state)
{
    pthread_t thread;

    (void)state;
    pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, outliver, NULL), 0);
    pthread_barrier_wait(&barrier);
    metric_registry_free(&registry);
    registry = metric_registry_new();
    set = metric_register(registry, rows, ROW_COUNT);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    assert_true(metric_get(set, ROW_plain, 0, 0) == 5);
    pthread_barrier_destroy(&barrier);
}

static void sets_of_one_registry_are_apart(void **state)
{
    static const struct metric_row other[] = {
        { METRIC_COUNTER, "mg_other_total", "Other.", NULL, NULL, NULL },
    };
    struct metric_set *second = metric_register(registry, other, 1);

    (void)state;
    metric_add(second, 0, 0, 0, 3);
    metric_add(set, ROW_plain, 0, 0, 4);
    assert_true(metric_get(second, 0, 0, 0) == 3);
    assert_true(metric_get(set, ROW_plain, 0, 0) == 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(adds_are_summed_by_cell),
        TEST(observations_at_a_bound_belong_to_its_bucket),
        TEST(text_page_names_counters_in_full),
        TEST(open_metrics_page_names_families_and_ends),
        TEST(collectors_run_before_and_appenders_after_the_rows),
        TEST(a_small_buffer_tells),
        TEST(scrapes_during_adds_are_whole_and_nothing_is_lost),
        TEST(a_thread_may_outlive_a_registry),
        TEST(sets_of_one_registry_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
