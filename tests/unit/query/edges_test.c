/* Service edges over live decisions: exact counts, against a model too, and windows of whole
 * minutes. */
#include "rig.h"

#include <stdio.h>
#include "base/random.h"

#define MINUTE UINT64_C(60000000000)

struct edges_ask {
    struct ask ask; /* first */
    uint64_t from, to;
};

/* "parent>child:calls/errors …" */
static void on_edges_query(struct ask *ask, struct query *query)
{
    struct edges_ask *self = (struct edges_ask *)ask;
    struct query_edge *edges;
    size_t n;

    if ((ask->err = query_edges(query, self->from, self->to, &edges, &n, &ask->why)) != MG_OK)
        return;
    for (size_t i = 0; i < n; i++)
        buf_printf(&ask->text, "%s%.*s>%.*s:%llu/%llu", i ? " " : "", STR_ARG(edges[i].parent),
                   STR_ARG(edges[i].child), (unsigned long long)edges[i].calls,
                   (unsigned long long)edges[i].errors);
}

static void assert_window(struct rig *rig, uint64_t from, uint64_t to, const char *want)
{
    struct edges_ask self = { .from = from, .to = to };

    rig_ask(rig, &self.ask, "edges", on_edges_query);
    if (self.ask.err)
        fail_msg("%s", self.ask.why.text);
    assert_string_equal(self.ask.text.ptr, want);
    ask_fini(&self.ask);
}

static void assert_edges(struct rig *rig, const char *want)
{
    assert_window(rig, 0, UINT64_MAX, want);
}

/* --- when ------------------------------------------------------------------------------------- */

static const struct item call[] = {
    { 1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, 0, NULL, NULL },
    { 1, 2, 1, "cart", "load", 110, 10, SPAN_SERVER, STATUS_ERROR, NULL, NULL },
};
static const struct item late[] = {
    { 1, 3, 2, "db", "get", 120, 5, SPAN_SERVER, 0, NULL, NULL },
    { 1, 4, 3, "disk", "read", 121, 5, SPAN_SERVER, 0, NULL, NULL },
};

static void test_counted_once_decided_and_stored(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    assert_edges(&rig, "");
    RIG_PUT(&rig, call);
    assert_edges(&rig, ""); /* a function of what is stored, so that a crash changes nothing */
    rig_flush(&rig, 0);
    assert_edges(&rig, "shop>cart:1/1");
    RIG_PUT(&rig, late); /* without a root: not decided */
    assert_int_equal(rig_pending(&rig), 2);
    assert_edges(&rig, "shop>cart:1/1");
    rig_restart(&rig);
    assert_edges(&rig, "shop>cart:1/1");
    rig_close(&rig);
}

/* --- what ------------------------------------------------------------------------------------- */

#define ITEM(trace, id, parent, service, status)                                                   \
    { trace, id, parent, service, "op", 100, 5, SPAN_SERVER, status, NULL, NULL }
#define SPAN(trace, id, parent, service) ITEM(trace, id, parent, service, STATUS_UNSET)
#define BAD(trace, id, parent, service) ITEM(trace, id, parent, service, STATUS_ERROR)
#define OK(trace, id, parent, service) ITEM(trace, id, parent, service, STATUS_OK)
#define KIND(kind, id, parent, service, peer)                                                      \
    { 1, id, parent, service, "op", 100, 5, SPAN_##kind, 0, "peer.service", peer ? peer : "" }

static void test_what_an_edge_is(void **state)
{
    static const struct {
        struct item items[6];
        size_t n;
        const char *want;
    } cases[] = {
        { { SPAN(1, 1, 0, "a") }, 1, "" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 0, "b") }, 2, "" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 9, "b") }, 2, "" }, /* unknown parent */
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 2, "b") }, 2, "" }, /* its own parent */
        { { SPAN(1, 1, 0, "a"), SPAN(2, 1, 0, "b"), SPAN(2, 3, 2, "c") }, 3, "" },
        /* the parent is another trace's */
        { { SPAN(1, 1, 0, "a"), SPAN(2, 5, 0, "b"), SPAN(2, 2, 1, "c") }, 3, "" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "b") }, 2, "a>b:1/0" },
        { { SPAN(1, 2, 1, "b"), SPAN(1, 1, 0, "a") }, 2, "a>b:1/0" }, /* in any order */
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "a") }, 2, "a>a:1/0" }, /* within one service */
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "b"), SPAN(1, 3, 2, "a") }, 3, "a>b:1/0 b>a:1/0" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "b"), SPAN(1, 3, 1, "b") }, 3, "a>b:2/0" },
        /* a copy, another piece of the span, and another service's */
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "b"), SPAN(1, 2, 1, "b") }, 3, "a>b:1/0" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "b"), OK(1, 2, 1, "b") }, 3, "a>b:1/0" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "b"), SPAN(1, 2, 1, "c") }, 3, "a>b:1/0 a>c:1/0" },
        /* the parent's error is not the call's */
        { { BAD(1, 1, 0, "a"), SPAN(1, 2, 1, "b") }, 2, "a>b:1/0" },
        { { SPAN(1, 1, 0, "a"), BAD(1, 2, 1, "b"), OK(1, 3, 1, "b"), BAD(1, 4, 1, "b") },
          4,
          "a>b:3/2" },
        /* who has no service is nobody, and does not stand between two */
        { { SPAN(1, 1, 0, NULL), SPAN(1, 2, 1, "") }, 2, "" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, NULL) }, 2, "" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, ""), SPAN(1, 3, 2, "b") }, 3, "a>b:1/0" },
        /* a shared id, a remote name, a broker */
        { { KIND(CLIENT, 1, 0, "a", NULL), KIND(SERVER, 1, 0, "b", NULL) }, 2, "a>b:1/0" },
        { { KIND(CLIENT, 1, 0, "a", "db") }, 1, "a>db:1/0" },
        { { KIND(SERVER, 1, 0, "b", "a") }, 1, "a>b:1/0" },
        { { KIND(INTERNAL, 1, 0, "a", "db") }, 1, "" },
        { { KIND(CLIENT, 1, 0, "a", "alias"), KIND(SERVER, 2, 1, "b", NULL) }, 2, "a>b:1/0" },
        { { KIND(PRODUCER, 1, 0, "a", "mq"), KIND(CONSUMER, 2, 1, "b", "mq") },
          2,
          "a>mq:1/0 mq>b:1/0" },
        { { KIND(PRODUCER, 1, 0, "a", NULL), KIND(CONSUMER, 2, 1, "b", NULL) }, 2, "a>b:1/0" },
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 1, "\xff") }, 2, "a>\xef\xbf\xbd:1/0" },
        /* names do not run into each other */
        { { SPAN(1, 1, 0, "ab"), SPAN(1, 2, 1, "c"), SPAN(2, 1, 0, "a"), SPAN(2, 2, 1, "bc") },
          4,
          "a>bc:1/0 ab>c:1/0" },
        /* a ring */
        { { SPAN(1, 1, 0, "a"), SPAN(1, 2, 3, "b"), SPAN(1, 3, 2, "c") }, 3, "b>c:1/0 c>b:1/0" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig = { 0 };
        rig_open(&rig);
        rig_put(&rig, cases[i].items, cases[i].n);
        rig_flush(&rig, 0);
        assert_edges(&rig, cases[i].want);
        rig_close(&rig);
    }
}

/* --- a model ---------------------------------------------------------------------------------- */

enum { SERVICES = 7, TRACES = 60, SPANS = 40 };
static const char *const services[SERVICES] = { "a", "b", "c", "d", "e", "f", "g" };
static uint64_t calls[SERVICES][SERVICES], errors[SERVICES][SERVICES];

/* A root, and spans whose parents are any of the trace, or unknown; ids 1 to n. */
static size_t make_trace(struct random *random, uint16_t trace, struct item *out)
{
    size_t n = 1 + (size_t)random_below(random, SPANS - 1);
    unsigned service[SPANS];

    for (size_t i = 0; i < n; i++) {
        unsigned at = (unsigned)random_below(random, SERVICES);
        service[i] = at;
        out[i] = (struct item)BAD(trace, (uint8_t)(i + 1), 0, services[at]);
        out[i].start = 100 + i;
        out[i].status = random_below(random, 4) ? STATUS_UNSET : STATUS_ERROR;
        if (i)
            out[i].parent = (uint8_t)(1 + random_below(random, n + n / 8 + 1));
    }
    for (size_t i = 1; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (k != i && out[k].id == out[i].parent) {
                calls[service[k]][service[i]]++;
                errors[service[k]][service[i]] += out[i].status == STATUS_ERROR;
            }
    return n;
}

static void test_counts_are_those_of_a_naive_model(void **state)
{
    struct rig rig = { 0 };
    struct random random;
    struct buf want;

    (void)state;
    rig_open(&rig);
    random_init(&random, 7);
    for (uint16_t trace = 1; trace <= TRACES; trace++) {
        struct item items[SPANS];
        size_t n = make_trace(&random, trace, items);
        rig.wall_ns += random_below(&random, 40) * UINT64_C(1000000000); /* minutes, too */
        rig_put(&rig, items, n);
        if (random_below(&random, 5) == 0) { /* and commits */
            rig_flush(&rig, 0); /* what is not stored is lost in a restart of the rig */
            if (random_below(&random, 3) == 0)
                rig_restart(&rig);
        }
    }
    rig_flush(&rig, 0);
    buf_init(&want, 65536);
    for (size_t i = 0; i < SERVICES; i++)
        for (size_t k = 0; k < SERVICES; k++)
            if (calls[i][k])
                buf_printf(&want, "%s%s>%s:%llu/%llu", want.len ? " " : "", services[i],
                           services[k], (unsigned long long)calls[i][k],
                           (unsigned long long)errors[i][k]);
    buf_put_char(&want, '\0');
    assert_true(want.len > 300);
    assert_edges(&rig, want.ptr);
    rig_restart(&rig);
    assert_edges(&rig, want.ptr);
    buf_fini(&want);
    rig_close(&rig);
}

/* --- windows ---------------------------------------------------------------------------------- */

static void put_call(struct rig *rig, uint16_t trace, uint64_t wall_ns, const char *child)
{
    const struct item items[] = { SPAN(trace, 1, 0, "a"), SPAN(trace, 2, 1, child) };

    rig->wall_ns = wall_ns;
    RIG_PUT(rig, items);
    rig_flush(rig, 0);
}

static void test_windows_are_of_whole_minutes(void **state)
{
    static const struct {
        uint64_t from, to;
        const char *want;
    } cases[] = {
        { 0, UINT64_MAX, "a>x:2/0 a>y:1/0 a>z:1/0" },
        { 10 * MINUTE, 13 * MINUTE, "a>x:2/0 a>y:1/0 a>z:1/0" },
        { 10 * MINUTE, 12 * MINUTE, "a>x:2/0 a>y:1/0" },
        { 10 * MINUTE, 13 * MINUTE - 1, "a>x:2/0 a>y:1/0" },
        { 10 * MINUTE, 11 * MINUTE, "a>x:1/0 a>y:1/0" },
        { 10 * MINUTE, 11 * MINUTE - 1, "a>x:1/0" },
        { 10 * MINUTE, 10 * MINUTE, "a>x:1/0" },
        { 11 * MINUTE - 1, 11 * MINUTE - 1, "a>x:1/0" }, /* its minute is touched */
        { 11 * MINUTE - 1, 11 * MINUTE, "a>x:1/0 a>y:1/0" },
        { 11 * MINUTE, 11 * MINUTE + 1, "a>y:1/0" },
        { 12 * MINUTE, 14 * MINUTE, "a>x:1/0 a>z:1/0" },
        { 13 * MINUTE, UINT64_MAX, "a>z:1/0" },
        { 0, 10 * MINUTE - 1, "" },
        { 0, 0, "" },
        { 14 * MINUTE, UINT64_MAX, "" },
        { UINT64_MAX, UINT64_MAX, "" },
        { 13 * MINUTE, 10 * MINUTE, "" }, /* turned round */
        { UINT64_MAX, 0, "" },
    };
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    put_call(&rig, 1, 10 * MINUTE, "x");
    put_call(&rig, 2, 12 * MINUTE - 1, "y");
    put_call(&rig, 3, 12 * MINUTE + MINUTE / 2, "x");
    put_call(&rig, 4, 13 * MINUTE, "z");
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_window(&rig, cases[i].from, cases[i].to, cases[i].want);
    rig_close(&rig);
}

/* --- many services and limits ----------------------------------------------------------------- */

enum { FANS = 20, FAN = 250, PAIRS = FANS * FAN };

/* "front" calls 5,000 services, each twice; put from the last to the first. */
static void put_many(struct rig *rig)
{
    struct item *items = mem_zero(FAN + 1, sizeof *items);
    char(*names)[8] = mem_zero(FAN, sizeof *names);

    for (unsigned fan = 2 * FANS; fan-- > 0;) {
        items[0] = (struct item)SPAN((uint16_t)(fan + 1), 1, 0, "front");
        for (unsigned i = 0; i < FAN; i++) {
            snprintf(names[i], sizeof names[i], "s%04u", fan % FANS * FAN + i);
            items[i + 1] = (struct item)SPAN((uint16_t)(fan + 1), (uint8_t)(i + 2), 1, names[i]);
        }
        rig_put(rig, items, FAN + 1);
    }
    rig_flush(rig, 0);
    mem_free(items);
    mem_free(names);
}

static void test_many_services(void **state)
{
    struct rig rig = { 0 };
    struct buf want;

    (void)state;
    rig_open(&rig);
    put_many(&rig);
    buf_init(&want, 1 << 20);
    for (unsigned i = 0; i < PAIRS; i++)
        buf_printf(&want, "%sfront>s%04u:2/0", i ? " " : "", i);
    buf_put_char(&want, '\0');
    assert_edges(&rig, want.ptr);
    buf_fini(&want);
    rig_close(&rig);
}

static void test_deadline(void **state)
{
    struct rig rig = { .query_conf.timeout_ns = RIG_TIMEOUT_NS };
    uint64_t stopped = 0;

    (void)state;
    rig_open(&rig);
    for (int round = 0; round < 2; round++) { /* the first without an edge */
        for (size_t i = 0; i < RIG_DELAYS; i++) {
            struct edges_ask self = { .to = UINT64_MAX };
            rig_ask_late(&rig, &self.ask, "edges", on_edges_query, rig_delays[i].passes_ns);
            assert_int_equal(self.ask.err, rig_delays[i].want);
            stopped += self.ask.err != MG_OK;
            assert_int_equal(rig_metric(&rig, QUERY_stopped, STOP_TIMEOUT), stopped);
            ask_fini(&self.ask);
        }
        RIG_PUT(&rig, call);
        rig_flush(&rig, 0);
    }
    rig_close(&rig);
}

static uint64_t looks;

static bool is_gone_later(const struct query_job *job)
{
    (void)job;
    return ++looks == 3; /* at the start, at the first edge, at the 4097th */
}

static void test_an_asker_who_leaves_ends_the_count(void **state)
{
    struct edges_ask self = { .to = UINT64_MAX };
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    put_many(&rig);
    self.ask.job.is_gone = is_gone_later;
    rig_ask(&rig, &self.ask, "edges", on_edges_query);
    assert_int_equal(self.ask.err, MG_E_IO);
    assert_int_equal(looks, 3);
    assert_int_equal(rig_metric(&rig, QUERY_stopped, STOP_GONE), 1);
    ask_fini(&self.ask);
    rig_close(&rig);
}

static void test_memory(void **state)
{
    static const struct {
        uint64_t memory_max;
        enum mg_err want;
    } cases[] = { { 1 << 18, MG_E_TOO_BIG }, { 350 << 10, MG_E_TOO_BIG }, { 2 << 20, MG_OK } };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig = { .query_conf.memory_max = cases[i].memory_max };
        struct edges_ask self = { .to = UINT64_MAX };
        rig_open(&rig);
        put_many(&rig);
        rig_ask(&rig, &self.ask, "edges", on_edges_query);
        assert_int_equal(self.ask.err, cases[i].want);
        if (self.ask.err)
            assert_non_null(strstr(self.ask.why.text, "query.memory_max"));
        ask_fini(&self.ask);
        assert_window(&rig, MINUTE, UINT64_MAX, ""); /* another window still has room */
        rig_close(&rig);
    }
}

static void test_a_damaged_minute_is_our_fault(void **state)
{
    struct rig rig = { 0 };
    struct edges_ask self = { .to = UINT64_MAX };

    (void)state;
    rig_open(&rig);
    put_call(&rig, 1, 10 * MINUTE, "x");
    put_call(&rig, 2, 12 * MINUTE, "y");
    rig_restart_with_edges(&rig, 10, STR("\x01\x01"
                                         "a\x01x\x07\x02"));
    assert_edges(&rig, "a>x:7/2 a>y:1/0");
    rig_restart_with_edges(&rig, 10, STR("\x07"));
    rig_ask(&rig, &self.ask, "edges", on_edges_query);
    assert_int_equal(self.ask.err, MG_E_IO); /* E_FORMAT would blame the question */
    assert_non_null(strstr(self.ask.why.text, "edges are malformed"));
    ask_fini(&self.ask);
    assert_window(&rig, 11 * MINUTE, UINT64_MAX, "a>y:1/0");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted_once_decided_and_stored),
        cmocka_unit_test(test_what_an_edge_is),
        cmocka_unit_test(test_counts_are_those_of_a_naive_model),
        cmocka_unit_test(test_windows_are_of_whole_minutes),
        cmocka_unit_test(test_many_services),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_an_asker_who_leaves_ends_the_count),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_a_damaged_minute_is_our_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
