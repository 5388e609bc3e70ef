/* forward_test.c - live with an exporter: rows are let go when the store and the exporter's queue have them, the ledger follows the store
 * alone, and a start gives each what it lacks. */
#include "rig.h"
#include <stdio.h>
#include <stdlib.h>

static int setup(void **state)
{
    struct rig *rig;

    rig_setup(state);
    rig = *state;
    rig_stop(rig);
    rig->has_exporter = true; /* a test sets its rows and starts */
    return 0;
}

static void hold_store(struct rig *rig)
{
    rig->store_conf.block_age_ns = 3600 * SECOND; /* only store_flush commits */
}

static struct live_stats stats_of(struct rig *rig)
{
    struct live_stats stats;

    live_stat(rig->live, &stats);
    return stats;
}

static uint64_t queued_batches(struct rig *rig)
{
    struct send_stats stats;

    send_stat(rig->box.send, &stats);
    return stats.queued_batches;
}

static uint64_t exported(struct rig *rig)
{
    ledger_of(rig); /* it balances whenever somebody looks */
    return postbox_spans(&rig->box);
}

/* One trace of n spans with its root: received is position 1, decided position 2, and so on. */
static void receive(struct rig *rig, uint64_t trace, unsigned n, uint64_t decided)
{
    assert_int_equal(rig_send(rig, (struct want){ .trace = trace, .first = 1, .spans = n, .root = true }), MG_OK);
    AWAIT(stats_of(rig).position >= decided);
}

/* --- steady work ------------------------------------------------------------------------------------ */

static void rows_stay_until_the_queue_has_them(void **state)
{
    struct rig *rig = *state;
    int64_t free_before;

    rig_start(rig);
    free_before = credit_free(&rig->credit);
    postbox_refuse(&rig->box, true);
    receive(rig, 1, 10, 2);
    assert_int_equal(wait_stored(rig, 10).pending, 0); /* stored, as far as the ledger goes */
    assert_int_equal(in_store(rig, 1), 10);
    assert_int_equal(in_ring(rig, 1), 10);
    assert_true(credit_free(&rig->credit) < free_before);
    assert_int_equal(stats_of(rig).watermark, 1);
    postbox_refuse(&rig->box, false);
    AWAIT(in_ring(rig, 1) == 0);
    assert_int_equal(credit_free(&rig->credit), free_before);
    AWAIT(stats_of(rig).watermark == 3);
    AWAIT(exported(rig) == 10);
}

static void rows_stay_until_the_store_has_them(void **state)
{
    struct rig *rig = *state;
    int64_t free_before;

    hold_store(rig);
    rig_start(rig);
    free_before = credit_free(&rig->credit);
    receive(rig, 1, 10, 2);
    AWAIT(exported(rig) == 10);
    assert_int_equal(ledger_of(rig).pending, 10);
    assert_int_equal(in_ring(rig, 1), 10);
    store_flush(rig->store);
    assert_int_equal(wait_stored(rig, 10).pending, 0);
    AWAIT(in_ring(rig, 1) == 0);
    assert_int_equal(credit_free(&rig->credit), free_before);
}

static void the_ledger_balances_at_each_step(void **state)
{
    struct rig *rig = *state;
    struct live_ledger ledger;

    hold_store(rig);
    rig->decisions.root_grace_ns = 3600 * SECOND;
    rig->live_conf.trace_spans_max = 8; /* the first is decided when it has come twice, and not before */
    rig_start(rig);
    postbox_refuse(&rig->box, true);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 4, .root = true }), MG_OK); /* once more */
    assert_int_equal(rig_send(rig, (struct want){ .trace = 2, .first = 1, .spans = 3 }), MG_OK);               /* undecided */
    AWAIT(stats_of(rig).position == 4);
    ledger = ledger_of(rig);
    assert_int_equal(ledger.pending, 11);
    store_flush(rig->store);
    ledger = wait_stored(rig, 8);
    assert_int_equal(ledger.stored, 4);
    assert_int_equal(ledger.duplicate, 4);
    assert_int_equal(ledger.pending, 3);
    assert_int_equal(in_ring(rig, 1), 8);
    postbox_refuse(&rig->box, false);
    AWAIT(in_ring(rig, 1) == 0);
    ledger = ledger_of(rig);
    assert_int_equal(ledger.accepted, 11);
    assert_int_equal(ledger.pending, 3);
    AWAIT(exported(rig) == 8); /* an exporter gets what came */
}

static void a_late_span_finds_a_trace_that_waits_for_its_queue(void **state)
{
    struct rig *rig = *state;

    rig->decisions.decision_wait_ns = SECOND / 20;
    rig_start(rig);
    postbox_refuse(&rig->box, true);
    receive(rig, 1, 4, 2);
    wait_stored(rig, 4);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 100, .spans = 2 }), MG_OK);
    assert_int_equal(wait_stored(rig, 6).late, 2);
    assert_int_equal(in_ring(rig, 1), 6);
    postbox_refuse(&rig->box, false);
    AWAIT(in_ring(rig, 1) == 0);
    AWAIT(exported(rig) == 6);
}

static void a_slow_queue_is_felt_at_the_door_and_makes_no_early_decisions(void **state)
{
    struct rig *rig = *state;
    size_t bytes = 150000;
    uint64_t trace = 2, stored;
    int64_t free_before;

    rig_start(rig);
    free_before = credit_free(&rig->credit);
    postbox_refuse(&rig->box, true);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK); /* has no root */
    for (; credit_take(&rig->credit, &bytes); trace++) {
        credit_give(&rig->credit, (int64_t)bytes);
        assert_int_equal(rig_send(rig, (struct want){ .trace = trace, .first = 1, .spans = 1000, .root = true }), MG_OK);
        ledger_of(rig);
    }
    stored = 1000 * (trace - 2);
    assert_int_equal(wait_stored(rig, stored).pending, 3);
    assert_int_equal(in_ring(rig, 2), 1000);
    postbox_refuse(&rig->box, false);
    AWAIT(in_ring(rig, trace - 1) == 0);
    AWAIT(exported(rig) == stored);
    assert_int_equal(ledger_of(rig).pending, 3);
    assert_true(credit_free(&rig->credit) > free_before - (2 << 20)); /* but for the segment of the undecided one */
}

/* --- starts ----------------------------------------------------------------------------------------- */

/* One trace is received, decided, and then the store, the queue, both or neither have it when the process dies. */
static void a_kill_leaves_each_what_it_lacks(void **state)
{
    static const struct { bool store_has, queue_has; } cases[] = { { true, true }, { true, false }, { false, true }, { false, false } };
    struct rig *rig = *state;
    uint64_t spans = 0, position = 0;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        hold_store(rig);
        rig->box.is_mute = true; /* so that the queue sends nothing before it dies, nor again afterwards */
        rig_start(rig);
        assert_int_equal(queued_batches(rig), 0);
        position = stats_of(rig).position;
        postbox_refuse(&rig->box, !cases[i].queue_has);
        receive(rig, 10 + i, 7, position + 2);
        if (cases[i].queue_has)
            AWAIT(queued_batches(rig) == 1);
        if (cases[i].store_has) {
            store_flush(rig->store);
            wait_stored(rig, spans + 7);
        }
        rig_crash(rig);
        spans += 7;
        postbox_refuse(&rig->box, false);
        rig->box.is_mute = false;
        rig->store_conf.block_age_ns = SECOND / 50;
        for (unsigned round = 0; round < 3; round++) { /* orderly starts change nothing more */
            rig_start(rig);
            assert_int_equal(wait_stored(rig, spans).stored, spans);
            AWAIT(exported(rig) == spans);
            AWAIT(in_ring(rig, 10 + i) == 0);
            assert_int_equal(in_store(rig, 10 + i), 7);
            assert_int_equal(ledger_of(rig).accepted, spans);
            assert_int_equal(ledger_of(rig).duplicate, 0);
            AWAIT(queued_batches(rig) == 0);
            rig_stop(rig);
            assert_int_equal(postbox_spans(&rig->box), spans);
        }
    }
}

static void an_orderly_stop_neither_loses_nor_doubles(void **state)
{
    struct rig *rig = *state;
    uint64_t spans = 0;

    for (uint64_t trace = 1; trace <= 4; trace++) {
        rig_start(rig);
        receive(rig, trace, 9, stats_of(rig).position + 2);
        rig_stop(rig); /* at once: the stop itself must store it, and put it into the queue */
        spans += 9;
        rig_start(rig);
        assert_int_equal(ledger_of(rig).stored, spans);
        assert_int_equal(in_ring(rig, trace), 0);
        AWAIT(exported(rig) == spans);
        rig_stop(rig);
    }
    assert_int_equal(postbox_spans(&rig->box), spans);
}

static void what_a_queue_refused_at_the_stop_is_given_at_the_start(void **state)
{
    struct rig *rig = *state;

    rig->box.starts_refusing = true;
    rig_start(rig);
    receive(rig, 1, 5, 2);
    wait_stored(rig, 5);
    for (unsigned round = 0; round < 2; round++) {
        rig_stop(rig);
        rig_start(rig);
        assert_int_equal(ledger_of(rig).stored, 5);
        assert_int_equal(ledger_of(rig).pending, 0);
        assert_int_equal(in_ring(rig, 1), 5);
        assert_int_equal(exported(rig), 0);
    }
    postbox_refuse(&rig->box, false);
    AWAIT(exported(rig) == 5);
    AWAIT(in_ring(rig, 1) == 0);
    rig_stop(rig);
    rig->box.starts_refusing = false;
    rig_start(rig);
    assert_int_equal(in_ring(rig, 1), 0);
    assert_int_equal(ledger_of(rig).accepted, 5);
    assert_int_equal(exported(rig), 5);
}

static void undecided_traces_are_exported_once_they_are_decided(void **state)
{
    struct rig *rig = *state;

    rig_start(rig);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 3 }), MG_OK);
    rig_crash(rig);
    rig_start(rig);
    assert_int_equal(in_ring(rig, 1), 3);
    assert_int_equal(exported(rig), 0);
    rig_stop(rig);
    rig->decisions.decision_wait_ns = 0;
    rig_start(rig);
    wait_stored(rig, 3);
    AWAIT(exported(rig) == 3);
    AWAIT(in_ring(rig, 1) == 0);
}

static void a_new_exporter_gets_what_comes(void **state)
{
    struct rig *rig = *state;

    rig->has_exporter = false;
    rig_start(rig);
    receive(rig, 1, 5, 2);
    wait_stored(rig, 5);
    rig_stop(rig);
    rig->has_exporter = true;
    rig_start(rig);
    receive(rig, 2, 6, stats_of(rig).position + 2);
    wait_stored(rig, 11);
    AWAIT(in_ring(rig, 2) == 0);
    AWAIT(exported(rig) == 6);
}

static void positions_stay_above_the_queues_when_all_else_was_removed(void **state)
{
    struct rig *rig = *state;
    char command[256];

    rig_start(rig);
    for (uint64_t trace = 1; trace <= 3; trace++)
        receive(rig, trace, 5, 2 * trace);
    AWAIT(exported(rig) == 15);
    rig_stop(rig);
    snprintf(command, sizeof command, "rm -r %s %s", rig->journal_dir, rig->store_dir);
    assert_int_equal(system(command), 0);
    rig_start(rig);
    receive(rig, 4, 5, 8);
    AWAIT(exported(rig) == 20);
}

/* --- sampled out ------------------------------------------------------------------------------------ */

struct verdict_record { struct journal_record record; _Atomic bool is_durable; };

static void on_durable(struct journal_record *record, enum mg_err err)
{
    (void)err;
    MG_CONTAINER(record, struct verdict_record, record)->is_durable = true;
}

/* As the log may hold them: one trace sampled out, then two kept, kept and kept + 100. */
static void append_verdicts(struct rig *rig, uint64_t dropped, uint64_t kept)
{
    struct decision decision = { .through = stats_of(rig).position, .outcome = { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT, .reason = REASON_NO_POLICY } };
    struct verdict_record verdict = { .is_durable = false };
    struct buf body;

    buf_init(&body, 1024);
    decision_list_begin(&body);
    put_le64(decision.trace_id, dropped);
    decision_put(&body, &decision);
    put_le64(decision.trace_id, kept);
    decision.outcome = (struct outcome){ .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT, .reason = REASON_POLICY };
    decision_put(&body, &decision);
    put_le64(decision.trace_id, kept + 100);
    decision_put(&body, &decision);
    verdict.record = (struct journal_record){ .kind = JOURNAL_DECISIONS, .body = buf_str(&body), .done = on_durable };
    assert_int_equal(journal_append(rig->journal, &verdict.record), MG_OK);
    AWAIT(verdict.is_durable);
    buf_fini(&body);
}

static void what_was_sampled_out_goes_to_those_who_take_everything(void **state)
{
    static const struct { int take; uint64_t exported; } cases[] = { { SEND_EVERYTHING, 4 + 3 + 5 }, { SEND_KEPT, 3 + 5 } };
    struct rig *rig = *state;

    for (uint64_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t dropped = 10 + i, kept = 20 + i;
        rig->box.conf.take = cases[i].take;
        rig->box.starts_refusing = false;
        rig_start(rig);
        assert_int_equal(rig_send(rig, (struct want){ .trace = dropped, .first = 1, .spans = 4 }), MG_OK);
        assert_int_equal(rig_send(rig, (struct want){ .trace = kept, .first = 1, .spans = 3 }), MG_OK);
        assert_int_equal(rig_send(rig, (struct want){ .trace = kept + 100, .first = 1, .spans = 5 }), MG_OK);
        append_verdicts(rig, dropped, kept);
        rig_crash(rig);
        postbox_clear(&rig->box);
        rig->box.starts_refusing = true;
        rig_start(rig);
        wait_stored(rig, 8 * (i + 1));
        assert_int_equal(ledger_of(rig).sampled_out, 4 * (i + 1));
        assert_int_equal(ledger_of(rig).pending, 0);
        assert_int_equal(in_ring(rig, dropped), 4); /* the queue lacks at least the position */
        assert_int_equal(in_ring(rig, kept), 3);
        postbox_refuse(&rig->box, false);
        AWAIT(in_ring(rig, dropped) == 0 && in_ring(rig, kept) == 0);
        AWAIT(exported(rig) == cases[i].exported);
        assert_int_equal(in_store(rig, dropped), 0);
        assert_int_equal(in_store(rig, kept), 3);
        assert_int_equal(in_store(rig, kept + 100), 5);
        rig_stop(rig);
        rig->box.starts_refusing = false;
        rig_start(rig);
        assert_int_equal(ledger_of(rig).sampled_out, 4 * (i + 1));
        assert_int_equal(in_ring(rig, dropped), 0);
        assert_int_equal(exported(rig), cases[i].exported);
        rig_stop(rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
        TEST(rows_stay_until_the_queue_has_them),
        TEST(rows_stay_until_the_store_has_them),
        TEST(the_ledger_balances_at_each_step),
        TEST(a_late_span_finds_a_trace_that_waits_for_its_queue),
        TEST(a_slow_queue_is_felt_at_the_door_and_makes_no_early_decisions),
        TEST(a_kill_leaves_each_what_it_lacks),
        TEST(an_orderly_stop_neither_loses_nor_doubles),
        TEST(what_a_queue_refused_at_the_stop_is_given_at_the_start),
        TEST(undecided_traces_are_exported_once_they_are_decided),
        TEST(a_new_exporter_gets_what_comes),
        TEST(positions_stay_above_the_queues_when_all_else_was_removed),
        TEST(what_was_sampled_out_goes_to_those_who_take_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
