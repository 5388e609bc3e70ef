/* Search: the same questions with everything in the ring, everything in the store, and half and
 * half. */
#include "rig.h"

#include <stdio.h>
#include <time.h>

static const struct item data[] = {
    /* trace 1: 100..160, the slow query at 120 */
    { 1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, 0, "http.route", "/" },
    { 1, 2, 1, "shop", "query", 120, 30, SPAN_CLIENT, 0, "db", "sql" },
    { 1, 3, 2, "db", "select", 125, 20, SPAN_SERVER, 0, NULL, NULL },
    /* trace 2: an error at 210 */
    { 2, 1, 0, "shop", "GET /", 200, 10, SPAN_SERVER, 2, "http.route", "/" },
    { 2, 2, 1, "shop", "query", 210, 5, SPAN_CLIENT, 2, "db", "kv" },
    /* traces 3 and 4: the same start */
    { 4, 1, 0, "cart", "add", 300, 10, SPAN_SERVER, 1, NULL, NULL },
    { 3, 1, 0, "cart", "add", 300, 10, SPAN_SERVER, 0, NULL, NULL },
    /* trace 5: begins first, ends last */
    { 5, 1, 0, "shop", "job", 50, 500, SPAN_INTERNAL, 0, NULL, NULL },
    { 5, 2, 1, "cart", "step", 400, 1, SPAN_INTERNAL, 0, "db", "sql" },
    /* trace 6: no service, no name */
    { 6, 1, 0, NULL, "", 10, 0, 0, 0, NULL, NULL },
};

#define ANY       .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX
#define TAG(k, v) .tags = &(const struct filter_tag){ .key = STR_INIT(k), .value = STR_INIT(v) }, .n_tags = 1

static const struct {
    struct span_filter filter;
    uint32_t limit;
    const char *want;
} cases[] = {
    { { ANY }, 100, "5:2 3:1 4:1 2:2 1:3 6:1" }, /* newest first, ties by id */
    { { ANY }, 6, "5:2 3:1 4:1 2:2 1:3 6:1" },
    { { ANY }, 5, "5:2 3:1 4:1 2:2 1:3" },
    { { ANY }, 2, "5:2 3:1" },
    { { ANY }, 1, "5:2" },
    { { .service = STR_INIT("shop"), ANY }, 100, "2:2 1:3 5:2" }, /* by the start of what matches */
    { { .service = STR_INIT("shop"), ANY }, 2, "2:2 1:3" },
    { { .service = STR_INIT("cart"), ANY }, 100, "5:2 3:1 4:1" },
    { { .service = STR_INIT("missing-service-name"), ANY }, 100, "6:1" },
    { { .service = STR_INIT("nobody"), ANY }, 100, "" },
    { { .service = STR_INIT(""), ANY }, 100, "" },
    { { .service = STR_INIT("shop"), .operation = STR_INIT("query"), ANY }, 100, "2:2 1:3" },
    /* all parts of one and the same span */
    { { .service = STR_INIT("db"), .operation = STR_INIT("query"), ANY }, 100, "" },
    { { .operation = STR_INIT("GET /"), ANY }, 100, "2:2 1:3" },
    { { .operation = STR_INIT("empty-span-name"), ANY }, 100, "6:1" },
    /* start, inclusive */
    { { .start_min_ns = 200, ANY }, 100, "5:2 3:1 4:1 2:2" },
    { { .start_min_ns = 211, ANY }, 100, "5:2 3:1 4:1" },
    { { .start_min_ns = 400, ANY }, 100, "5:2" },
    { { .start_min_ns = 401, ANY }, 100, "" },
    { { .start_max_ns = 125, .duration_max_ns = UINT64_MAX }, 100, "1:3 5:2 6:1" },
    { { .start_max_ns = 10, .duration_max_ns = UINT64_MAX }, 100, "6:1" },
    { { .start_max_ns = 9, .duration_max_ns = UINT64_MAX }, 100, "" },
    { { .start_min_ns = 60, .start_max_ns = 110, .duration_max_ns = UINT64_MAX }, 100, "1:3" },
    { { .start_min_ns = 60, .start_max_ns = 50, .duration_max_ns = UINT64_MAX }, 100, "" },
    /* duration, inclusive, of a span */
    { { .duration_min_ns = 30, ANY }, 100, "1:3 5:2" },
    { { .duration_min_ns = 31, ANY }, 100, "1:3 5:2" },
    { { .duration_min_ns = 51, ANY }, 100, "5:2" },
    { { .duration_min_ns = 501, ANY }, 100, "" },
    { { .start_max_ns = UINT64_MAX, .duration_max_ns = 5 }, 100, "5:2 2:2 6:1" },
    { { .start_max_ns = UINT64_MAX, .duration_max_ns = 0 }, 100, "6:1" },
    { { .start_max_ns = UINT64_MAX, .duration_min_ns = 20, .duration_max_ns = 30 }, 100, "1:3" },
    /* tags */
    { { TAG("db", "sql"), ANY }, 100, "5:2 1:3" },
    { { TAG("db", "sql"), .service = STR_INIT("shop"), ANY }, 100, "1:3" },
    { { TAG("db", "sq"), ANY }, 100, "" },
    { { TAG("d", "sql"), ANY }, 100, "" },
    { { TAG("error", "true"), ANY }, 100, "2:2" },
    { { TAG("error", "false"), .service = STR_INIT("cart"), ANY }, 100, "5:2 3:1 4:1" },
    { { TAG("span.kind", "internal"), ANY }, 1, "5:2" },
    { { TAG("otel.status_code", "OK"), ANY }, 100, "4:1" },
    { { TAG("service.name", "cart"), ANY }, 100, "5:2 3:1 4:1" },
    { { TAG("http.route", "/"), .duration_min_ns = 20, ANY }, 100, "1:3" },
    { { TAG("db", "sql"), .operation = STR_INIT("GET /"), ANY }, 100, "" },
};

static void assert_cases(struct rig *rig, const char *where)
{
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct ask ask = { .search = { cases[i].filter, cases[i].limit } };
        rig_ask(rig, &ask, "search", on_search_query);
        if (ask.err != MG_OK || strcmp(ask.text.ptr, cases[i].want) != 0)
            fail_msg("%s, case %zu: %s, not %s", where, i, ask.err ? ask.why.text : ask.text.ptr,
                     cases[i].want);
        ask_fini(&ask);
    }
}

static void test_ring_then_store(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    assert_search(&rig, &any_span, 10, "");
    RIG_PUT(&rig, data);
    assert_cases(&rig, "ring");
    rig_flush(&rig, 0);
    assert_cases(&rig, "store");
    RIG_PUT(&rig, data); /* everything twice, once in each */
    assert_cases(&rig, "both");
    rig_close(&rig);
}

static void test_half_and_half(void **state)
{
    const size_t half = 5;
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    rig_put(&rig, data, half);
    rig_flush(&rig, 0);
    rig_put(&rig, data + half, MG_COUNT(data) - half);
    assert_cases(&rig, "newer half in the ring");
    rig_flush(&rig, 0);
    assert_cases(&rig, "two blocks");
    rig_restart(&rig);
    assert_cases(&rig, "two blocks, opened again");
    rig_close(&rig);
}

static void test_older_half_in_the_ring(void **state)
{
    const size_t half = 5;
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    rig_put(&rig, data + half, MG_COUNT(data) - half);
    rig_flush(&rig, 0);
    rig_put(&rig, data, half);
    assert_cases(&rig, "older half in the ring");
    rig_close(&rig);
}

/* One span a block: the walk over blocks must stop neither too early nor count on their order. */
static void test_a_block_a_span(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(data); i++) {
        struct item item = data[i];
        item.parent = 0;
        rig_put(&rig, &item, 1);
        rig_flush(&rig, 0);
    }
    assert_cases(&rig, "a block a span");
    rig_close(&rig);
}

static void test_limit(void **state)
{
    static const struct {
        uint32_t limit;
        enum mg_err want;
    } limits[] = {
        { 0, MG_E_FORMAT }, { 1, MG_OK },        { 2, MG_OK },
        { 3, MG_OK },       { 4, MG_E_TOO_BIG }, { UINT32_MAX, MG_E_TOO_BIG },
    };
    struct rig rig = { .query_conf.traces_max = 3 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, data);
    for (size_t i = 0; i < MG_COUNT(limits); i++) {
        struct ask ask = { .search = { any_span, limits[i].limit } };
        rig_ask(&rig, &ask, "search", on_search_query);
        assert_int_equal(ask.err, limits[i].want);
        if (limits[i].want == MG_E_TOO_BIG)
            assert_non_null(strstr(ask.why.text, "query.traces_max"));
        ask_fini(&ask);
    }
    rig_close(&rig);
}

/* More traces than one step of the answer. */
static void test_1200_traces(void **state)
{
    enum { TRACES = 1200, ROUNDS = 5 };
    struct item *items = mem_zero(TRACES, sizeof *items);
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < TRACES; i++)
            items[i] = (struct item){
                (uint16_t)i, (uint8_t)(round + 1), 0, "shop", "x", 1000 + i, 1, 0, 0, NULL, NULL
            };
        rig_put(&rig, items, TRACES);
        if (round == 2)
            rig_flush(&rig, 0);
    }
    struct ask ask = { .search = { any_span, TRACES } };
    rig_ask(&rig, &ask, "search", on_search_query);
    struct str rest = str_of(ask.text.ptr), word;
    for (size_t i = TRACES; i-- > 0;) {
        char want[32];
        snprintf(want, sizeof want, "%zu:5", i);
        assert_true(str_cut(&rest, ' ', &word));
        assert_true(str_eq(word, str_of(want)));
    }
    ask_fini(&ask);
    rig_close(&rig);
    mem_free(items);
}

static enum mg_err refuse_second(void *owner, const struct query_trace *trace)
{
    struct ask *ask = owner;

    (void)trace;
    buf_put_char(&ask->text, 'x');
    return ask->text.len == 2 ? MG_E_IO : MG_OK;
}

static void on_refused_query(struct ask *ask, struct query *query)
{
    ask->err = query_search(query, &ask->search, refuse_second, ask, &ask->why);
}

static void test_on_trace_ends_the_search(void **state)
{
    struct ask ask = { .search = { any_span, 10 } };
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, data);
    rig_ask(&rig, &ask, "search", on_refused_query);
    assert_int_equal(ask.err, MG_E_IO);
    assert_string_equal(ask.text.ptr, "xx");
    ask_fini(&ask);
    rig_close(&rig);
}

/* --- spans on their way from ring to store ---------------------------------------------------- */

struct mover {
    struct rig *rig;
    _Atomic bool is_ending;
};

static void *move(void *argument)
{
    const struct timespec nap = { .tv_nsec = 200000 };
    struct mover *mover = argument;

    while (!mover->is_ending) {
        store_hurry(mover->rig->store);
        nanosleep(&nap, NULL); /* only not to keep a core busy */
    }
    return NULL;
}

/* Whatever moves meanwhile: every acked trace is there, whole, and once. */
static void test_nothing_is_lost_on_the_way(void **state)
{
    enum { TRACES = 60 };
    struct rig rig = { 0 };
    struct mover mover = { .rig = &rig };
    pthread_t thread;
    struct buf want;

    (void)state;
    rig_open(&rig);
    buf_init(&want, 65536);
    assert_int_equal(pthread_create(&thread, NULL, move, &mover), 0);
    for (uint8_t i = 1; i <= TRACES; i++) {
        const struct item items[] = { { i, 1, 0, "shop", "root", 1000 - i, 5, 0, 0, NULL, NULL },
                                      { i, 2, 1, "shop", "child", 1000 - i, 1, 0, 0, "k", "v" } };
        RIG_PUT(&rig, items);
        buf_printf(&want, "%s%u:2", i > 1 ? " " : "", i);
        buf_put_char(&want, '\0');
        assert_search(&rig, &any_span, TRACES, want.ptr);
        want.len--;
        char one[64];
        snprintf(one, sizeof one, "1:%u:root 2:%u:child", 1000 - i, 1000 - i);
        assert_trace(&rig, i, one);
    }
    mover.is_ending = true;
    pthread_join(thread, NULL);
    rig_flush(&rig, 0);
    assert_search(&rig, &any_span, TRACES, (want.ptr[want.len] = '\0', want.ptr));
    buf_fini(&want);
    rig_close(&rig);
}

/* The same, at every place where a query may stop: all spans move there, which the query sees as a step
 * like any other. */
static struct {
    struct rig *rig;
    size_t steps; /* until the move; 0: it has been */
} at_step;

static bool move_at_step(const struct query_job *job)
{
    const struct timespec nap = { .tv_nsec = 1000000 };

    (void)job;
    if (at_step.steps == 0 || --at_step.steps > 0)
        return false;
    while (rig_pending(at_step.rig) > 0) { /* decisions are made by a timer */
        store_hurry(at_step.rig->store);
        nanosleep(&nap, NULL);
    }
    return false;
}

static void test_moved_at_each_step(void **state)
{
    static const struct {
        const char *name, *want;
        void (*on_query)(struct ask *, struct query *);
    } queries[] = {
        { "search", "5:2 3:1 4:1 2:2 1:3 6:1", on_search_query },
        { "trace", "1:100:GET / 2:120:query 3:125:select", on_trace_query },
        { "services", "cart,db,missing-service-name,shop", on_services_query },
        { "operations", "GET //2,job/1,query/3", on_operations_query },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(queries); i++) {
        bool has_moved = true;
        for (size_t steps = 1; has_moved; steps++) {
            struct ask ask = { .search = { any_span, 10 },
                               .trace = 1,
                               .service = STR_INIT("shop"),
                               .job.is_gone = move_at_step };
            struct rig rig = { 0 };
            rig_open(&rig);
            RIG_PUT(&rig, data);
            at_step.rig = &rig;
            at_step.steps = steps;
            rig_ask(&rig, &ask, queries[i].name, queries[i].on_query);
            assert_int_equal(ask.err, MG_OK);
            assert_string_equal(ask.text.ptr, queries[i].want);
            has_moved = at_step.steps == 0;
            ask_fini(&ask);
            rig_close(&rig);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_then_store),
        cmocka_unit_test(test_half_and_half),
        cmocka_unit_test(test_older_half_in_the_ring),
        cmocka_unit_test(test_a_block_a_span),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_1200_traces),
        cmocka_unit_test(test_on_trace_ends_the_search),
        cmocka_unit_test(test_nothing_is_lost_on_the_way),
        cmocka_unit_test(test_moved_at_each_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
