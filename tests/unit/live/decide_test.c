/* decide_test.c - what makes a trace due: its root, the deadline, late spans, too many of them, a full ring. */
#include "rig.h"
#include <unistd.h>

static void without_a_root_the_deadline_decides(void **state)
{
    struct rig *rig = *state;

    rig->decisions.decision_wait_ns = SECOND / 20;
    rig_reload_rows(rig);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 5, .first = 1, .spans = 2 }), MG_OK);
    assert_int_equal(wait_stored(rig, 2).stored, 2);
}

static void late_spans_get_a_decision_of_their_own(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    wait_stored(rig, 4);
    rig->decisions.decision_wait_ns = SECOND / 20;
    rig_reload_rows(rig);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 100, .spans = 2 }), MG_OK);
    wait_stored(rig, 6);
    assert_int_equal(in_store(rig, 1), 6);
}

static void a_trace_that_grows_too_long_is_decided_early(void **state)
{
    struct rig *rig = *state;

    rig->live_conf.trace_spans_max = 50;
    rig_reload_rows(rig);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 49 }), MG_OK);
    assert_int_equal(ledger_of(rig).pending, 49);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 50, .spans = 1 }), MG_OK);
    assert_int_equal(wait_stored(rig, 50).stored, 50);
}

static void a_full_ring_decides_the_oldest_and_makes_room(void **state)
{
    struct rig *rig = *state;
    uint64_t trace = 1;

    rig->store_conf.block_age_ns = 3600 * SECOND; /* only pressure makes it commit */
    rig_reload_rows(rig);
    for (; trace <= 400; trace++) { /* four rings full, none with a root */
        struct want want = { .trace = trace, .first = 1, .spans = 1000 };
        size_t bytes = 150000;
        while (!credit_take(&rig->credit, &bytes))
            usleep(1000);
        credit_give(&rig->credit, (int64_t)bytes);
        assert_int_equal(rig_send(rig, want), MG_OK);
    }
    assert_true(ledger_of(rig).stored > 0);
    assert_int_equal(ledger_of(rig).accepted, 400000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(without_a_root_the_deadline_decides),
        TEST(late_spans_get_a_decision_of_their_own),
        TEST(a_trace_that_grows_too_long_is_decided_early),
        TEST(a_full_ring_decides_the_oldest_and_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
