/* live_test.c - acks, visibility, the ledger, replay; without exporters (forward_test.c has them). */
#include "rig.h"
#include <stdio.h>
#include <stdlib.h>

/* --- tests ------------------------------------------------------------------------------------------ */

static void an_acked_span_is_counted_and_visible(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    assert_int_equal(ledger_of(rig).accepted, 3);
    assert_int_equal(ledger_of(rig).pending, 3);
    assert_int_equal(in_ring(rig, 1), 3);
    assert_int_equal(in_ring(rig, 2), 0);
}

static void a_trace_with_its_root_is_stored_and_leaves_the_ring(void **state)
{
    struct rig *rig = *state;
    int64_t free_before = credit_free(&rig->credit);

    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 10, .root = true }), MG_OK);
    assert_int_equal(wait_stored(rig, 10).stored, 10);
    assert_int_equal(ledger_of(rig).pending, 0);
    assert_int_equal(in_ring(rig, 1), 0);
    assert_int_equal(in_store(rig, 1), 10);
    assert_int_equal(credit_free(&rig->credit), free_before);
}

static void equal_spans_are_stored_once_and_counted(void **state)
{
    struct rig *rig = *state;

    rig->decisions.root_grace_ns = 3600 * SECOND;
    rig->live_conf.trace_spans_max = 8; /* decided when the second time has come, and not before */
    rig_reload_rows(rig);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    assert_int_equal(wait_stored(rig, 8).duplicate, 4);
    assert_int_equal(in_store(rig, 1), 4);
}

static void undecided_traces_survive_a_restart(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 2, .first = 1, .spans = 5, .root = true }), MG_OK);
    wait_stored(rig, 5);
    for (int round = 0; round < 3; round++) {
        rig_stop(rig);
        rig_start(rig);
        assert_int_equal(in_ring(rig, 1), 3);
        assert_int_equal(ledger_of(rig).accepted, 8);
        assert_int_equal(ledger_of(rig).stored, 5);
        assert_int_equal(ledger_of(rig).pending, 3);
        assert_int_equal(in_store(rig, 2), 5);
    }
    rig_stop(rig);
    rig->decisions.decision_wait_ns = 0; /* log time went on from where it stood; now they are due */
    rig_start(rig);
    assert_int_equal(wait_stored(rig, 8).stored, 8);
    rig_stop(rig);
    rig_start(rig);
    assert_int_equal(in_store(rig, 1), 3);
    assert_int_equal(ledger_of(rig).stored, 8);
    assert_int_equal(ledger_of(rig).pending, 0);
}

static void positions_rise_when_the_journal_was_removed(void **state)
{
    struct rig *rig = *state;
    struct live_stats before, after;
    char command[160];

    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3, .root = true }), MG_OK);
    wait_stored(rig, 3);
    live_stat(rig->live, &before);
    rig_stop(rig);
    snprintf(command, sizeof command, "rm -rf %s", rig->journal_dir);
    assert_int_equal(system(command), 0);
    rig_start(rig);
    assert_int_equal(in_store(rig, 1), 3);
    assert_int_equal(ledger_of(rig).stored, 3);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 2, .first = 1, .spans = 1 }), MG_OK);
    live_stat(rig->live, &after);
    assert_true(after.position > before.position);
}

static void a_stopped_journal_refuses_and_gives_the_credit_back(void **state)
{
    struct rig *rig = *state;
    int64_t free_before = credit_free(&rig->credit);

    journal_stop(rig->journal);
    assert_int_not_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    assert_int_equal(ledger_of(rig).accepted, 0);
    assert_int_equal(credit_free(&rig->credit), free_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_acked_span_is_counted_and_visible, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_trace_with_its_root_is_stored_and_leaves_the_ring, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(equal_spans_are_stored_once_and_counted, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(undecided_traces_survive_a_restart, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(positions_rise_when_the_journal_was_removed, rig_setup, rig_teardown),
        cmocka_unit_test_setup_teardown(a_stopped_journal_refuses_and_gives_the_credit_back, rig_setup, rig_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
