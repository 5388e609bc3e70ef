/* The archive: what is copied there is shown by its id, also when nothing else has it, and found by
 * no search. */
#include "rig.h"

#include <time.h>

static const struct item shop[] = {
    { 1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, 0, NULL, NULL },
    { 1, 2, 1, "cart", "load", 110, 5, SPAN_CLIENT, STATUS_ERROR, "db", "sql" },
    { 2, 1, 0, "shop", "other", 105, 5, SPAN_CLIENT, 0, NULL, NULL },
};
static const struct item late[] = {
    { 1, 3, 2, "db", "get", 115, 5, SPAN_SERVER, 0, NULL, NULL },
};
#define SHOP "1:100:GET / 2:110:load"

static void on_archive_query(struct ask *ask, struct query *query)
{
    uint8_t id[16];

    rig_trace_id(ask->trace, id);
    ask->err = query_archive(query, id, &ask->why);
}

static void archive(struct rig *rig, uint16_t trace, enum mg_err want)
{
    struct ask ask = { .trace = trace };

    rig_ask(rig, &ask, "archive", on_archive_query);
    if (ask.err != want)
        fail_msg("%s: %s", mg_err_name(ask.err), ask.why.text);
    assert_int_equal(ask.why.text[0] == '\0', want == MG_OK);
    ask_fini(&ask);
}

static void open_stored(struct rig *rig)
{
    rig_open(rig);
    RIG_PUT(rig, shop);
    rig_flush(rig, 0);
}

static size_t pinned(struct rig *rig)
{
    struct store_view *view = store_view_new(rig->store);
    const struct block_info *blocks;
    size_t n = store_view_find_most(view) - store_view_blocks(view, &blocks);

    store_view_free(&view);
    return n;
}

static void test_out_of_ring_and_store(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    archive(&rig, 1, MG_E_ABSENT);
    assert_int_equal(pinned(&rig), 0);
    RIG_PUT(&rig, shop);
    archive(&rig, 1, MG_OK); /* decided, not stored */
    archive(&rig, 3, MG_E_ABSENT);
    archive(&rig, 0, MG_E_ABSENT);
    assert_int_equal(pinned(&rig), 1);
    assert_trace(&rig, 1, SHOP); /* once, though two have it */
    rig_flush(&rig, 0);
    assert_trace(&rig, 1, SHOP);
    archive(&rig, 2, MG_OK);
    assert_int_equal(pinned(&rig), 2);
    assert_search(&rig, &any_span, 10, "1:2 2:1");
    rig_restart(&rig);
    assert_trace(&rig, 1, SHOP);
    assert_search(&rig, &any_span, 10, "1:2 2:1");
    rig_close(&rig);
}

/* Nothing but the archive has it: the ring's spans are gone, and no block was ever written. */
static void test_out_of_the_archive_alone(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, late); /* not decided */
    archive(&rig, 1, MG_OK);
    rig_restart(&rig);
    assert_int_equal(rig_pending(&rig), 0);
    assert_trace(&rig, 1, "3:115:get");
    assert_trace(&rig, 2, NULL);
    assert_search(&rig, &any_span, 10, "");
    archive(&rig, 1, MG_OK); /* what is archived can be archived again */
    archive(&rig, 2, MG_E_ABSENT);
    assert_int_equal(pinned(&rig), 2);
    assert_trace(&rig, 1, "3:115:get");
    rig_close(&rig);
}

/* Each commit closes a partition, and closed ones are dropped. */
static void drop_what_is_closed(struct rig *rig)
{
    struct store_conf small = rig->store_conf;

    small.disk_max = 1;
    store_reload(rig->store, &small);
}

/* From the next commit on. While it is waited for a loss the newest partition may be closed and dropped as well, so what shall stay is put
 * after this. */
static void keep_what_is_closed(struct rig *rig)
{
    store_reload(rig->store, &rig->store_conf);
}

static void put_other(struct rig *rig, uint16_t trace)
{
    const struct item items[] = { { trace, 1, 0, "other", "x", 50, 5, 0, 0, NULL, NULL } };

    RIG_PUT(rig, items);
    rig_flush(rig, 0);
}

/* Retention looks around once a minute of the store's clock. */
static void wait_for_loss(struct rig *rig, uint16_t trace)
{
    const struct timespec nap = { .tv_nsec = 1000000 };
    uint64_t until = clock_mono_ns() + UINT64_C(20000000000);
    enum mg_err err = MG_OK;

    while (err == MG_OK && clock_mono_ns() < until) {
        struct ask ask = { .trace = trace };
        rig_store_clock_move(UINT64_C(60000000000));
        store_hurry(rig->store);
        nanosleep(&nap, NULL); /* the block thread is woken; the loss is what counts */
        rig_ask(rig, &ask, "trace", on_trace_query);
        err = ask.err;
        ask_fini(&ask);
    }
    assert_int_equal(err, MG_E_ABSENT);
}

static void test_retention_does_not_take_it(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    open_stored(&rig);
    archive(&rig, 1, MG_OK);
    drop_what_is_closed(&rig);
    put_other(&rig, 10);
    wait_for_loss(&rig, 2);
    wait_for_loss(&rig, 10);
    keep_what_is_closed(&rig);
    put_other(&rig, 12);
    assert_trace(&rig, 1, SHOP);
    assert_search(&rig, &any_span, 10, "12:1");
    rig_restart(&rig);
    assert_trace(&rig, 2, NULL);
    assert_trace(&rig, 1, SHOP);
    assert_search(&rig, &any_span, 10, "12:1");
    rig_close(&rig);
}

/* A late span brings the trace back into searches; it is shown whole, and archived whole. */
static void test_late_spans_join_what_is_archived(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, shop);
    archive(&rig, 1, MG_OK);
    rig_flush(&rig, 0);
    drop_what_is_closed(&rig);
    put_other(&rig, 10);
    wait_for_loss(&rig, 2);
    wait_for_loss(&rig, 10);
    keep_what_is_closed(&rig);
    put_other(&rig, 11);
    RIG_PUT(&rig, late);
    assert_trace(&rig, 1, SHOP " 3:115:get");
    assert_search(&rig, &any_span, 10, "1:3 11:1");
    archive(&rig, 1, MG_OK);
    rig_restart(&rig); /* the late one was in the ring */
    assert_trace(&rig, 1, SHOP " 3:115:get");
    assert_search(&rig, &any_span, 10, "11:1");
    rig_close(&rig);
}

/* More copies than the blocks of the store, and than a view keeps open. */
static void test_archived_many_times(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    open_stored(&rig);
    for (int i = 0; i < 70; i++)
        archive(&rig, 1, MG_OK);
    assert_int_equal(pinned(&rig), 70);
    archive(&rig, 2, MG_OK);
    assert_trace(&rig, 1, SHOP);
    assert_trace(&rig, 2, "1:105:other");
    rig_restart(&rig);
    assert_trace(&rig, 1, SHOP);
    assert_trace(&rig, 2, "1:105:other");
    rig_close(&rig);
}

static void test_the_archive_is_full(void **state)
{
    struct store_conf small;
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, shop);
    archive(&rig, 1, MG_OK);
    small = rig.store_conf;
    small.pins_max = 1;
    store_reload(rig.store, &small);
    rig_flush(&rig, 0); /* a commit takes the new settings */
    archive(&rig, 2, MG_E_TOO_BIG);
    assert_int_equal(pinned(&rig), 1);
    assert_trace(&rig, 1, SHOP);
    assert_trace(&rig, 2, "1:105:other");
    rig_close(&rig);
}

static void test_deadline(void **state)
{
    struct rig rig = { .query_conf.timeout_ns = RIG_TIMEOUT_NS };
    size_t archived = 0;

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, shop);
    for (size_t i = 0; i < RIG_DELAYS; i++) {
        struct ask ask = { .trace = 1 };
        rig_ask_late(&rig, &ask, "archive", on_archive_query, rig_delays[i].passes_ns);
        assert_int_equal(ask.err, rig_delays[i].want);
        archived += ask.err == MG_OK;
        ask_fini(&ask);
    }
    assert_int_equal(pinned(&rig), archived);
    rig_close(&rig);
}

/* The file is set aside; that is not the asker's mistake, and everything else goes on. */
static void test_a_damaged_archive(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    open_stored(&rig);
    archive(&rig, 1, MG_OK);
    rig_restart_without_archive(&rig);
    archive(&rig, 1, MG_E_IO);
    archive(&rig, 3, MG_E_ABSENT);
    assert_trace(&rig, 1, SHOP);
    assert_search(&rig, &any_span, 10, "1:2 2:1");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_ring_and_store),
        cmocka_unit_test(test_out_of_the_archive_alone),
        cmocka_unit_test(test_retention_does_not_take_it),
        cmocka_unit_test(test_late_spans_join_what_is_archived),
        cmocka_unit_test(test_archived_many_times),
        cmocka_unit_test(test_the_archive_is_full),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_a_damaged_archive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
