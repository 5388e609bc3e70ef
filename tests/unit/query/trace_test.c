/* One trace: out of the ring, the store, both, with repeats, large, over many blocks, and out of
 * damaged ones. */
#include "rig.h"

#include <stdio.h>

static const struct item first_part[] = {
    { 1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, 0, NULL, NULL },
    { 1, 3, 1, "shop", "query", 120, 10, SPAN_CLIENT, 0, "db", "sql" },
    { 1, 2, 1, "shop", "cache", 110, 5, SPAN_CLIENT, 0, NULL, NULL },
    { 2, 1, 0, "shop", "other", 105, 5, SPAN_CLIENT, 0, NULL, NULL },
};
static const struct item late_part[] = {
    { 1, 5, 3, "db", "late", 115, 5, SPAN_SERVER, 0, NULL, NULL },
    { 1, 4, 3, "db", "late", 115, 5, SPAN_SERVER, 0, NULL, NULL },
};

static void test_ring_store_both(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    assert_trace(&rig, 1, NULL);
    RIG_PUT(&rig, first_part);
    assert_trace(&rig, 1, "1:100:GET / 2:110:cache 3:120:query");
    rig_flush(&rig, 0);
    assert_trace(&rig, 1, "1:100:GET / 2:110:cache 3:120:query");
    RIG_PUT(&rig, late_part);
    assert_int_equal(rig_pending(&rig), 2);
    assert_trace(&rig, 1, "1:100:GET / 2:110:cache 4:115:late 5:115:late 3:120:query");
    assert_trace(&rig, 2, "1:105:other");
    assert_trace(&rig, 3, NULL);
    assert_trace(&rig, 0, NULL);
    rig_close(&rig);
}

static void test_after_a_restart(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, first_part);
    rig_flush(&rig, 0);
    rig_restart(&rig);
    assert_trace(&rig, 1, "1:100:GET / 2:110:cache 3:120:query");
    rig_close(&rig);
}

/* Equal in every field: once. Equal in start and id only: both. */
static void test_repeats(void **state)
{
    static const struct item again[] = {
        { 1, 2, 1, "shop", "cache", 110, 5, SPAN_CLIENT, 0, NULL, NULL }, /* in the store already */
        { 1, 2, 1, "shop", "cache", 110, 6, SPAN_CLIENT, 0, NULL, NULL }, /* other end */
        { 1, 2, 1, "shop", "cache", 110, 5, SPAN_SERVER, 0, NULL, NULL }, /* other kind */
        { 1, 2, 1, "cart", "cache", 110, 5, SPAN_CLIENT, 0, NULL, NULL }, /* other resource */
        { 1, 3, 1, "shop", "query", 120, 10, SPAN_CLIENT, 0, "db", "kv" }, /* other attribute */
        { 1, 3, 1, "shop", "query", 120, 10, SPAN_CLIENT, 0, "db", "sql" },
        { 1, 3, 1, "shop", "query", 120, 10, SPAN_CLIENT, 0, "db", "sql" },
        { 1, 3, 1, "shop", "query", 120, 10, SPAN_CLIENT, 2, "db", "sql" }, /* other status */
    };
    const char *want = "1:100:GET / 2:110:cache 2:110:cache 2:110:cache 2:110:cache 3:120:query "
                       "3:120:query 3:120:query";
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, first_part);
    rig_flush(&rig, 0);
    RIG_PUT(&rig, again);
    assert_trace(&rig, 1, want);
    RIG_PUT(&rig, again);
    RIG_PUT(&rig, first_part);
    assert_trace(&rig, 1, want);
    rig_flush(&rig, 0);
    assert_trace(&rig, 1, want);
    rig_close(&rig);
}

/* 3,000 spans of one start and id, half of them different, the others the same. */
static void test_a_group_of_thousands(void **state)
{
    enum { SPANS = 3000 };
    struct item *items = mem_zero(SPANS, sizeof *items);
    struct ask ask = { .search = { any_span, 1 } };
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < SPANS; i++)
        items[i] = (struct item){ 1, 1, 0, "shop", "x", 100, i % 2 ? i : 0, 0, 0, NULL, NULL };
    rig_put(&rig, items, SPANS);
    rig_ask(&rig, &ask, "search", on_search_query);
    assert_string_equal(ask.text.ptr, "1:1501");
    ask_fini(&ask);
    rig_close(&rig);
    mem_free(items);
}

static void on_large_query(struct ask *ask, struct query *query)
{
    struct query_trace trace;
    uint8_t id[16];

    rig_trace_id(1, id);
    if ((ask->err = query_trace(query, id, &trace, &ask->why)) != MG_OK)
        return;
    buf_printf(&ask->text, "%zu", trace.n);
    for (size_t i = 0; i < trace.n; i++)
        if (trace.spans[i]->start_ns != 1000 + i)
            buf_printf(&ask->text, " %zu", i);
}

static void assert_large(struct rig *rig)
{
    struct ask ask = { 0 };

    rig_ask(rig, &ask, "trace", on_large_query);
    assert_string_equal(ask.text.ptr, "10008");
    ask_fini(&ask);
}

static void test_10008_spans(void **state)
{
    enum { SPANS = 10008 };
    struct item *items = mem_zero(SPANS, sizeof *items);
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < SPANS; i++) /* in no order */
        items[i] = (struct item){ 1, (uint8_t)i, i ? 1 : 0, "shop", "x", 1000 + i * 7919 % SPANS,
                                  5, 0,          0,         "k",    "v" };
    rig_put(&rig, items, SPANS / 2);
    rig_put(&rig, items + SPANS / 2, SPANS / 2);
    assert_large(&rig);
    rig_put(&rig, items, 1); /* its root again decides what is left of it */
    rig_flush(&rig, 0);
    assert_large(&rig);
    rig_close(&rig);
    mem_free(items);
}

/* More blocks than a view keeps open: slices of the first ones must not be lost. The texts are long and
 * compress well, so that they are unpacked and do not stand in the mapped file. */
static void test_parts_in_twelve_blocks(void **state)
{
    struct rig rig = { 0 };
    struct buf want;

    (void)state;
    rig_open(&rig);
    buf_init(&want, 65536);
    for (uint8_t i = 0; i < 12; i++) {
        char name[800], value[800];
        snprintf(name, sizeof name, "part %u %0700u", i, 0u);
        snprintf(value, sizeof value, "value %u %0700u", i, 0u);
        const struct item item = { 1,    (uint8_t)(i + 1), 0, name, name, 1000 + i, 5, 0, 0, "key",
                                   value };
        rig_put(&rig, &item, 1);
        rig_flush(&rig, 0);
        buf_printf(&want, "%s%u:%u:%s", i ? " " : "", i + 1, 1000 + i, name);
    }
    buf_put_char(&want, '\0');
    assert_trace(&rig, 1, want.ptr);
    assert_search(&rig, &any_span, 10, "1:12");
    buf_fini(&want);
    rig_close(&rig);
}

/* The first of two blocks; its header and directory, or only columns. */
static void damaged_from(size_t from)
{
    static const struct item second[] = { { 1, 9, 0, "shop", "second", 200, 5, 0, 0, NULL, NULL },
                                          { 3, 1, 0, "shop", "third", 210, 5, 0, 0, NULL, NULL } };
    struct rig rig = { 0 };

    rig_open(&rig);
    RIG_PUT(&rig, first_part);
    rig_flush(&rig, 0);
    RIG_PUT(&rig, second);
    rig_flush(&rig, 0);
    assert_search(&rig, &any_span, 10, "3:1 1:4 2:1");
    assert_int_equal(rig_metric(&rig, QUERY_damaged, 0), 0);
    rig_restart_damaged(&rig, 1, from);
    assert_trace(&rig, 1, "9:200:second");
    assert_int_equal(rig_metric(&rig, QUERY_damaged, 0), 1);
    assert_trace(&rig, 2, NULL);
    assert_trace(&rig, 3, "1:210:third");
    assert_search(&rig, &any_span, 10, "3:1 1:1");
    rig_close(&rig);
}

static void test_damaged_blocks_are_left_out(void **state)
{
    (void)state;
    damaged_from(0);
    damaged_from(700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_store_both),
        cmocka_unit_test(test_after_a_restart),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_a_group_of_thousands),
        cmocka_unit_test(test_10008_spans),
        cmocka_unit_test(test_parts_in_twelve_blocks),
        cmocka_unit_test(test_damaged_blocks_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
