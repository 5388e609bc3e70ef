/* Threads, queue, and the limits of one query. */
#include "rig.h"

#include <time.h>

static const struct item some[] = {
    { 1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, 0, NULL, NULL },
    { 1, 2, 1, "shop", "query", 120, 30, SPAN_CLIENT, 0, NULL, NULL },
    { 2, 1, 0, "shop", "GET /", 200, 10, SPAN_SERVER, 0, NULL, NULL },
};

/* --- threads and queue ------------------------------------------------------------------------ */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_open;
    size_t waiting, most;
};
static struct gate gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
static struct gate end = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void pass(struct gate *at)
{
    pthread_mutex_lock(&at->lock);
    at->waiting++;
    at->most = MG_MAX(at->most, at->waiting);
    pthread_cond_broadcast(&at->changed);
    while (!at->is_open)
        pthread_cond_wait(&at->changed, &at->lock);
    at->waiting--;
    pthread_mutex_unlock(&at->lock);
}

static void on_gate(struct ask *ask, struct query *query)
{
    (void)query;
    pass(&gate);
    buf_put_char(&ask->text, 'x');
}

static void set(struct gate *at, bool is_open)
{
    pthread_mutex_lock(&at->lock);
    at->is_open = is_open;
    if (!is_open)
        at->most = 0;
    pthread_cond_broadcast(&at->changed);
    pthread_mutex_unlock(&at->lock);
}

static void gate_set(bool is_open)
{
    set(&gate, is_open);
}

static void wait_at(struct gate *at, size_t n)
{
    pthread_mutex_lock(&at->lock);
    while (at->waiting < n)
        pthread_cond_wait(&at->changed, &at->lock);
    pthread_mutex_unlock(&at->lock);
}

static void gate_wait(size_t n)
{
    wait_at(&gate, n);
}

/* As long as its reader does not read. */
static void on_paused_gate(struct ask *ask, struct query *query)
{
    query_pause(query);
    on_gate(ask, query);
    query_resume(query);
}

/* Many who wait for their readers leave the one thread that works to others; when they are too many it is said. */
static void test_paused_leave_their_place(void **state)
{
    enum { ALL = 256 };
    struct rig rig = { .query_conf = { .threads = 1, .queue_max = 1 } };
    struct ask *asks = mem_zero(ALL + 2, sizeof *asks);
    struct query_stats stats;

    (void)state;
    rig_open(&rig);
    gate_set(false);
    for (size_t i = 0; i < ALL + 2; i++)
        ask_init(&asks[i], &rig, "search", on_paused_gate);
    for (size_t i = 0; i < ALL; i++) {
        assert_int_equal(query_submit(rig.pool, &asks[i].job), MG_OK);
        gate_wait(i + 1);
    }
    query_stat(rig.pool, &stats);
    assert_int_equal(stats.threads, ALL);
    assert_int_equal(query_submit(rig.pool, &asks[ALL].job), MG_OK); /* waits */
    assert_int_equal(query_submit(rig.pool, &asks[ALL + 1].job), MG_E_BUSY);
    gate_set(true);
    for (size_t i = 0; i <= ALL; i++)
        ask_wait(&asks[i]);
    assert_int_equal(gate.most, ALL);
    assert_int_equal(query_submit(rig.pool, &asks[ALL + 1].job), MG_OK);
    ask_wait(&asks[ALL + 1]);
    for (size_t i = 0; i < ALL + 2; i++)
        ask_fini(&asks[i]);
    mem_free(asks);
    rig_close(&rig);
}

static void on_comes_back(struct ask *ask, struct query *query)
{
    on_paused_gate(ask, query);
    pass(&end);
}

static void on_no_work(struct ask *ask, struct query *query)
{
    (void)ask, (void)query;
}

/* A thread that took a paused one's place does not work beside it when that comes back. */
static void test_paused_come_back(void **state)
{
    struct rig rig = { .query_conf = { .threads = 1, .queue_max = 1 } };
    struct ask paused = { 0 }, asks[3];
    struct query_stats stats;

    (void)state;
    rig_open(&rig);
    gate_set(false);
    set(&end, false);
    ask_init(&paused, &rig, "search", on_comes_back);
    assert_int_equal(query_submit(rig.pool, &paused.job), MG_OK);
    gate_wait(1); /* it is paused */
    for (size_t i = 0; i < MG_COUNT(asks); i++) {
        asks[i] = (struct ask){ 0 };
        ask_init(&asks[i], &rig, "search", i ? on_gate : on_no_work);
    }
    assert_int_equal(query_submit(rig.pool, &asks[0].job), MG_OK); /* by a second thread */
    ask_wait(&asks[0]);
    gate_set(true);
    wait_at(&end, 1); /* it works again */
    gate_set(false);
    assert_int_equal(query_submit(rig.pool, &asks[1].job), MG_OK);
    query_stat(rig.pool, &stats);
    assert_int_equal(stats.threads, 2);
    assert_int_equal(query_submit(rig.pool, &asks[2].job), MG_E_BUSY); /* the idle one is no help */
    set(&end, true);
    gate_wait(1);
    assert_int_equal(query_submit(rig.pool, &asks[2].job), MG_OK);
    ask_wait(&paused);
    gate_set(true);
    for (size_t i = 1; i < MG_COUNT(asks); i++)
        ask_wait(&asks[i]);
    for (size_t i = 0; i < MG_COUNT(asks); i++)
        ask_fini(&asks[i]);
    ask_fini(&paused);
    rig_close(&rig);
}

static void test_queue_full(void **state)
{
    struct rig rig = { .query_conf = { .threads = 2, .queue_max = 3 } };
    struct query_stats stats;
    struct ask asks[6];

    (void)state;
    rig_open(&rig);
    query_stat(rig.pool, &stats);
    assert_int_equal(stats.threads, 0); /* none before it is needed */
    gate_set(false);
    for (size_t i = 0; i < MG_COUNT(asks); i++) {
        asks[i] = (struct ask){ 0 };
        ask_init(&asks[i], &rig, "search", on_gate);
    }
    for (size_t i = 0; i < 5; i++) /* two run, three wait */
        assert_int_equal(query_submit(rig.pool, &asks[i].job), MG_OK);
    assert_int_equal(query_submit(rig.pool, &asks[5].job), MG_E_BUSY);
    gate_wait(2);
    query_stat(rig.pool, &stats);
    assert_int_equal(stats.threads, 2);
    assert_int_equal(stats.running, 2);
    assert_int_equal(stats.waiting, 3);
    assert_int_equal(query_submit(rig.pool, &asks[5].job), MG_E_BUSY);
    gate_set(true);
    for (size_t i = 0; i < 5; i++)
        ask_wait(&asks[i]);
    assert_int_equal(gate.most, 2);
    assert_int_equal(rig_metric(&rig, QUERY_refused, 1), 2);
    assert_int_equal(query_submit(rig.pool, &asks[5].job), MG_OK);
    ask_wait(&asks[5]);
    for (size_t i = 0; i < MG_COUNT(asks); i++) {
        assert_int_equal(asks[i].text.len, 1);
        ask_fini(&asks[i]);
    }
    rig_close(&rig);
}

static void wait_for_threads(struct rig *rig, size_t n)
{
    const struct timespec nap = { .tv_nsec = 1000000 };
    uint64_t until = clock_mono_ns() + UINT64_C(20000000000);
    struct query_stats stats;

    do {
        query_stat(rig->pool, &stats);
        nanosleep(&nap, NULL); /* the threads end by a timer; the condition is what counts */
    } while (stats.threads != n && clock_mono_ns() < until);
    assert_int_equal(stats.threads, n);
}

static void test_idle_threads_end(void **state)
{
    struct rig rig = { .query_conf.threads = 3, .idle_ns = 1000000 };
    struct ask asks[3];

    (void)state;
    rig_open(&rig);
    for (int round = 0; round < 3; round++) {
        gate_set(false);
        for (size_t i = 0; i < MG_COUNT(asks); i++) {
            asks[i] = (struct ask){ 0 };
            ask_init(&asks[i], &rig, "trace", on_gate);
            assert_int_equal(query_submit(rig.pool, &asks[i].job), MG_OK);
        }
        gate_wait(3);
        gate_set(true);
        for (size_t i = 0; i < MG_COUNT(asks); i++) {
            ask_wait(&asks[i]);
            ask_fini(&asks[i]);
        }
        wait_for_threads(&rig, 0);
    }
    rig_close(&rig);
}

static void test_an_idle_thread_is_used_again(void **state)
{
    struct rig rig = { 0 };
    struct query_stats stats;

    (void)state;
    rig_open(&rig);
    for (int i = 0; i < 50; i++) {
        assert_trace(&rig, 1, NULL);
        do /* until it waits again */
            query_stat(rig.pool, &stats);
        while (stats.running);
    }
    assert_int_equal(stats.threads, 1);
    rig_close(&rig);
}

static void test_free_runs_what_waits(void **state)
{
    struct rig rig = { .query_conf.threads = 1 };
    struct ask asks[5];

    (void)state;
    rig_open(&rig);
    gate_set(true);
    for (size_t i = 0; i < MG_COUNT(asks); i++) {
        asks[i] = (struct ask){ 0 };
        ask_init(&asks[i], &rig, "trace", on_gate);
        assert_int_equal(query_submit(rig.pool, &asks[i].job), MG_OK);
    }
    query_pool_free(&rig.pool);
    assert_null(rig.pool);
    for (size_t i = 0; i < MG_COUNT(asks); i++) {
        assert_true(asks[i].is_ended);
        ask_fini(&asks[i]);
    }
    rig_close(&rig);
}

/* --- limits of one query ---------------------------------------------------------------------- */

static void test_timeout(void **state)
{
    static const struct {
        const char *name;
        void (*on_query)(struct ask *, struct query *);
    } queries[] = {
        { "trace", on_trace_query },
        { "search", on_search_query },
        { "services", on_services_query },
        { "operations", on_operations_query },
    };
    struct rig rig = { .query_conf.timeout_ns = RIG_TIMEOUT_NS };
    uint64_t stopped = 0;

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, some);
    for (size_t i = 0; i < RIG_DELAYS; i++) {
        for (size_t k = 0; k < MG_COUNT(queries); k++) {
            struct ask ask = { .search = { any_span, 10 }, .trace = 1, .service = STR("shop") };
            rig_ask_late(&rig, &ask, queries[k].name, queries[k].on_query,
                         rig_delays[i].passes_ns);
            assert_int_equal(ask.err, rig_delays[i].want);
            if (ask.err) {
                assert_non_null(strstr(ask.why.text, "1000 ms (query.timeout)"));
                assert_int_equal(rig_metric(&rig, QUERY_stopped, STOP_TIMEOUT), ++stopped);
            }
            ask_fini(&ask);
        }
    }
    rig_close(&rig);
}

/* Limits as a reload of the program gives them: gone when the call has returned. */
static void *reload_often(void *argument)
{
    struct rig *rig = argument;

    for (int i = 0; i < 1000; i++) {
        struct query_conf *conf = mem_alloc(sizeof *conf);
        *conf = rig->query_conf;
        query_pool_reload(rig->pool, conf);
        memset(conf, 0, sizeof *conf);
        mem_free(conf);
    }
    return NULL;
}

static void test_queries_while_limits_are_exchanged(void **state)
{
    struct rig rig = { 0 };
    pthread_t thread;

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, some);
    assert_int_equal(pthread_create(&thread, NULL, reload_often, &rig), 0);
    for (int i = 0; i < 100; i++)
        assert_trace(&rig, 2, "1:200:GET /");
    pthread_join(thread, NULL);
    rig_close(&rig);
}

static void test_limits_of_a_reload_are_those_of_later_queries(void **state)
{
    struct rig rig = { 0 };
    struct query_conf few;

    (void)state;
    rig_open(&rig);
    few = rig.query_conf;
    few.traces_max = 3;
    query_pool_reload(rig.pool, &few);
    few.traces_max = 1000000;
    for (uint32_t limit = 2; limit <= 4; limit++) {
        struct ask ask = { .search = { any_span, limit } };
        rig_ask(&rig, &ask, "search", on_search_query);
        assert_int_equal(ask.err, limit <= 3 ? MG_OK : MG_E_TOO_BIG);
        ask_fini(&ask);
    }
    rig_close(&rig);
}

/* Time in the queue counts: who waited too long is told so at once. */
static void test_timeout_in_the_queue(void **state)
{
    struct rig rig = { .query_conf = { .threads = 1, .timeout_ns = 1000 } };
    struct ask first = { 0 }, second = { .trace = 1 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, some);
    rig_clock_set(1000);
    gate_set(false);
    ask_init(&first, &rig, "trace", on_gate);
    ask_init(&second, &rig, "trace", on_trace_query);
    assert_int_equal(query_submit(rig.pool, &first.job), MG_OK);
    assert_int_equal(query_submit(rig.pool, &second.job), MG_OK);
    rig_clock_set(2000);
    gate_set(true);
    ask_wait(&second);
    assert_int_equal(second.err, MG_E_TIMEOUT);
    ask_wait(&first);
    ask_fini(&first);
    ask_fini(&second);
    rig_clock_set(0);
    rig_close(&rig);
}

static size_t taken_bytes;

static void on_full_query(struct ask *ask, struct query *query)
{
    arena_alloc(query_arena(query), taken_bytes);
    ask->err = query_step(query, &ask->why);
}

static void test_memory_of_the_job(void **state)
{
    static const struct {
        size_t bytes;
        enum mg_err want;
    } cases[] = {
        { (1 << 20) - 16, MG_OK },
        { 1 << 20, MG_OK },
        { (1 << 20) + 16, MG_E_TOO_BIG },
    };
    struct rig rig = { .query_conf.memory_max = 1 << 20 };

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct ask ask = { 0 };
        taken_bytes = cases[i].bytes;
        rig_ask(&rig, &ask, "trace", on_full_query);
        assert_int_equal(ask.err, cases[i].want);
        ask_fini(&ask);
    }
    assert_int_equal(rig_metric(&rig, QUERY_stopped, STOP_MEMORY), 1);
    rig_close(&rig);
}

/* The largest trace that fits, and one that does not; a small one beside it is still found. */
static void assert_too_big(struct rig *rig)
{
    struct ask trace = { .trace = 1 }, search = { .search = { any_span, 10 } };

    rig_ask(rig, &trace, "trace", on_trace_query);
    assert_int_equal(trace.err, MG_E_TOO_BIG);
    assert_non_null(strstr(trace.why.text, "1048576 bytes of memory (query.memory_max)"));
    rig_ask(rig, &search, "search", on_search_query);
    assert_int_equal(search.err, MG_E_TOO_BIG);
    assert_string_equal(search.text.ptr, "2:1");
    ask_fini(&trace);
    ask_fini(&search);
    assert_trace(rig, 2, "1:200:GET /");
}

static void test_memory_of_a_trace(void **state)
{
    enum { SPANS = 6000 };
    struct item *items = mem_zero(SPANS, sizeof *items);
    struct rig rig = { .query_conf.memory_max = 1 << 20 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, some);
    for (size_t i = 0; i < SPANS; i++)
        items[i] = (struct item){ 1, (uint8_t)i, 0, "shop", "x", i % 199, 5, 0, 0, "k", "v" };
    rig_put(&rig, items, SPANS);
    assert_too_big(&rig);
    rig_flush(&rig, 0);
    assert_too_big(&rig);
    rig_close(&rig);
    mem_free(items);
}

static size_t steps_left;

static bool is_gone(const struct query_job *job)
{
    (void)job;
    return steps_left == 0 || --steps_left == 0;
}

static void test_gone_asker(void **state)
{
    struct rig rig = { 0 };
    uint64_t stopped = 0;

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, some);
    rig_flush(&rig, 0);
    RIG_PUT(&rig, some);
    for (size_t steps = 1;; steps++) {
        struct ask ask = { .search = { any_span, 10 }, .job.is_gone = is_gone };
        steps_left = steps;
        rig_ask(&rig, &ask, "search", on_search_query);
        enum mg_err err = ask.err;
        if (err == MG_OK) {
            assert_string_equal(ask.text.ptr, "2:1 1:2");
            assert_true(steps > 5); /* there are that many places to stop at */
        } else {
            assert_int_equal(err, MG_E_IO);
            assert_int_equal(rig_metric(&rig, QUERY_stopped, STOP_GONE), ++stopped);
        }
        ask_fini(&ask);
        if (err == MG_OK)
            break;
    }
    rig_close(&rig);
}

/* Two answers of one job: the second takes the place of the first. */
static void on_two_queries(struct ask *ask, struct query *query)
{
    on_trace_query(ask, query);
    buf_put_text(&ask->text, " | ");
    on_search_query(ask, query);
    buf_put_text(&ask->text, " | ");
    ask->trace = 2;
    on_trace_query(ask, query);
}

static void test_several_steps_in_one_job(void **state)
{
    struct ask ask = { .trace = 1, .search = { any_span, 10 } };
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, some);
    rig_flush(&rig, 0);
    rig_ask(&rig, &ask, "trace", on_two_queries);
    assert_string_equal(ask.text.ptr, "1:100:GET / 2:120:query |  2:1 1:2 | 1:200:GET /");
    ask_fini(&ask);
    rig_close(&rig);
}

static void test_metrics(void **state)
{
    struct rig rig = { 0 };
    struct buf page;

    (void)state;
    rig_open(&rig);
    assert_trace(&rig, 1, NULL);
    assert_trace(&rig, 1, NULL);
    assert_search(&rig, &any_span, 10, "");
    struct query_stats stats;
    do /* a query is counted after its asker has been told */
        query_stat(rig.pool, &stats);
    while (stats.running);
    assert_int_equal(rig_metric(&rig, QUERY_seconds, 0), 2);
    assert_int_equal(rig_metric(&rig, QUERY_seconds, 1), 1);
    buf_init(&page, 1 << 20);
    metric_write(rig.metrics, METRIC_OPENMETRICS_1_0, &page);
    buf_put_char(&page, '\0');
    assert_non_null(strstr(page.ptr, "meshglass_query_seconds_count{query=\"trace\"} 2"));
    assert_non_null(strstr(page.ptr, "meshglass_queries_running 0"));
    buf_fini(&page);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paused_leave_their_place),
        cmocka_unit_test(test_paused_come_back),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_idle_threads_end),
        cmocka_unit_test(test_an_idle_thread_is_used_again),
        cmocka_unit_test(test_free_runs_what_waits),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_queries_while_limits_are_exchanged),
        cmocka_unit_test(test_limits_of_a_reload_are_those_of_later_queries),
        cmocka_unit_test(test_timeout_in_the_queue),
        cmocka_unit_test(test_memory_of_the_job),
        cmocka_unit_test(test_memory_of_a_trace),
        cmocka_unit_test(test_gone_asker),
        cmocka_unit_test(test_several_steps_in_one_job),
        cmocka_unit_test(test_metrics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
