/* judge_test.c - verdicts in live: what is dropped leaves, late rows follow, a crash changes nothing, the ledger says who decided. */
#include "rig.h"
#include <unistd.h>
#include "base/mem.h"

#define ERRORS "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\nclasses: []\n"
#define ALL "policies: [{name: all, type: always_sample}]\nclasses: []\n"
#define NOBODY "policies: [{name: nobody, type: string_attribute, string_attribute: {key: nobody, values: [x]}}]\nclasses: []\n"

static int setup(void **state)
{
    struct rig *rig;

    if (rig_setup(state) != 0)
        return -1;
    rig = *state;
    rig_stop(rig);
    rig->policies = ERRORS;
    rig_start(rig);
    return 0;
}

static void send(struct rig *rig, uint64_t trace, uint64_t first, unsigned spans, bool error)
{
    assert_int_equal(rig_send(rig, (struct want){ .trace = trace, .first = first, .spans = spans, .root = first == 1, .error = error }), MG_OK);
}

static void check_word(struct rig *rig, uint64_t trace, enum verdict verdict, enum reason reason, uint32_t rules, size_t decisions)
{
    struct outcome outcome;
    size_t n;

    assert_true(outcome_unpack(word_in_store(rig, trace, &n), &outcome));
    assert_int_equal(outcome.verdict, verdict);
    assert_int_equal(outcome.reason, reason);
    assert_int_equal(outcome.rules, rules);
    assert_int_equal(n, decisions);
}

static uint64_t tally_of(struct rig *rig, const char *name, enum reason reason, bool kept)
{
    struct live_policy *all;
    uint64_t found = 0;
    size_t n = live_policies(rig->live, &all);

    for (size_t i = 0; i < n; i++)
        if (all[i].reason == reason && strcmp(all[i].name, name) == 0)
            found = kept ? all[i].kept : all[i].sampled_out;
    mem_free(all);
    return found;
}

static void dropped_traces_leave_the_ring_and_are_remembered(void **state)
{
    struct rig *rig = *state;
    int64_t free_before = credit_free(&rig->credit);
    struct live_ledger ledger;

    send(rig, 1, 1, 4, false);
    send(rig, 2, 1, 3, true);
    wait_sampled_out(rig, 4);
    ledger = wait_stored(rig, 3);
    assert_int_equal(ledger.sampled_out, 4);
    assert_int_equal(ledger.pending, 0);
    check_word(rig, 1, VERDICT_DROPPED, REASON_NO_POLICY, 1, 1);
    check_word(rig, 2, VERDICT_KEPT, REASON_POLICY, 1, 1);
    assert_int_equal(in_store(rig, 1), 0);
    assert_int_equal(in_store(rig, 2), 3);
    while (in_ring(rig, 1) || in_ring(rig, 2)) /* let go after the commit */
        store_flush(rig->store);
    assert_int_equal(credit_free(&rig->credit), free_before);
    assert_int_equal(tally_of(rig, "errors", REASON_POLICY, true), 3);
    assert_int_equal(tally_of(rig, "", REASON_NO_POLICY, false), 4);
}

static void late_rows_follow_whatever_they_say(void **state)
{
    struct rig *rig = *state;

    send(rig, 1, 1, 2, false);
    send(rig, 2, 1, 2, true);
    wait_sampled_out(rig, 2);
    wait_stored(rig, 2);
    send(rig, 1, 10, 3, true);  /* an error, too late */
    send(rig, 2, 10, 3, false);
    assert_int_equal(wait_sampled_out(rig, 5).late, 6);
    wait_stored(rig, 5);
    check_word(rig, 1, VERDICT_DROPPED, REASON_NO_POLICY, 1, 2);
    check_word(rig, 2, VERDICT_KEPT, REASON_POLICY, 1, 2);
    assert_int_equal(in_store(rig, 2), 5);
}

static void a_crash_changes_no_verdict_even_with_other_rules(void **state)
{
    struct rig *rig = *state;
    struct live_ledger ledger;

    send(rig, 1, 1, 2, false);
    send(rig, 2, 1, 2, true);
    wait_sampled_out(rig, 2);
    wait_stored(rig, 2);
    send(rig, 3, 2, 2, false); /* no root: undecided */
    rig_crash(rig);
    rig->policies = NOBODY;
    rig->decisions.decision_wait_ns = SECOND / 20;
    rig_start(rig);
    assert_int_equal(rig->generation, 2);
    ledger = wait_sampled_out(rig, 4);
    assert_int_equal(ledger.stored, 2);
    assert_int_equal(ledger.accepted, 6);
    check_word(rig, 1, VERDICT_DROPPED, REASON_NO_POLICY, 1, 1);
    check_word(rig, 2, VERDICT_KEPT, REASON_POLICY, 1, 1);
    check_word(rig, 3, VERDICT_DROPPED, REASON_NO_POLICY, 2, 1);
    send(rig, 1, 10, 1, true); /* the verdict table has come back */
    send(rig, 2, 10, 1, false);
    ledger = wait_stored(rig, 3);
    assert_int_equal(wait_sampled_out(rig, 5).late, 2);
    check_word(rig, 2, VERDICT_KEPT, REASON_POLICY, 1, 2);
    assert_int_equal(tally_of(rig, "errors", REASON_POLICY, true), 3);
    assert_int_equal(tally_of(rig, "", REASON_NO_POLICY, false), 5);
}

/* Decided and in the log, not in the store: the log alone must tell. */
/* Decided, and in memory only. */
static void wait_decided_in_ring(struct rig *rig, uint64_t trace)
{
    for (bool is_decided = false; !is_decided;) {
        struct live_found found = found_of(rig, trace);
        is_decided = found.traces[0].n > 0 && !found.traces[0].is_pending;
        live_found_fini(&found);
    }
}

static void start_stuck(struct rig *rig, const char *policies)
{
    rig_stop(rig);
    rig->policies = policies;
    rig->is_store_stuck = true;
    rig_start(rig);
    assert_true(store_rules_wait(rig->store));
    assert_int_equal(rig->generation, 2);
}

static uint64_t next_position(struct rig *rig)
{
    struct journal_stats stats;

    journal_stat(rig->journal, &stats);
    return stats.next_position;
}

static void decisions_wait_for_rules_that_are_not_stored(void **state)
{
    struct rig *rig = *state;
    struct live_ledger ledger;

    start_stuck(rig, ALL);
    send(rig, 1, 1, 4, false);
    uint64_t next = next_position(rig);
    wait_decided_in_ring(rig, 1);
    send(rig, 2, 1, 3, false);
    wait_decided_in_ring(rig, 2);
    assert_int_equal(next_position(rig), next + 1); /* the body's alone */
    assert_int_equal(ledger_of(rig).pending, 7);
    rig_free_store(rig);
    ledger = wait_stored(rig, 7);
    assert_int_equal(ledger.pending, 0);
    assert_false(store_rules_wait(rig->store));
    check_word(rig, 1, VERDICT_KEPT, REASON_POLICY, 2, 1);
    check_word(rig, 2, VERDICT_KEPT, REASON_POLICY, 2, 1);
}

static void a_decision_that_waited_keeps_its_time(void **state)
{
    struct rig *rig = *state;
    struct live_found found;
    size_t n;

    start_stuck(rig, NOBODY);
    send(rig, 1, 1, 4, false);
    wait_decided_in_ring(rig, 1);
    found = found_of(rig, 1);
    uint64_t second = found.traces[0].decided_wall_ns / SECOND * SECOND;
    live_found_fini(&found);
    rig_free_store(rig);
    wait_sampled_out(rig, 4); /* tried again a second later */
    assert_int_equal(decision_in_store(rig, 1, &n).wall_ns, second);
    assert_int_equal(n, 1);
}

static void a_crash_forgets_what_waiting_rules_decided(void **state)
{
    struct rig *rig = *state;

    start_stuck(rig, ALL);
    send(rig, 1, 1, 4, false);
    wait_decided_in_ring(rig, 1);
    send(rig, 2, 2, 1, false); /* what the log was given before is durable with it */
    rig_crash(rig);
    rig->policies = NOBODY;
    rig_start(rig);
    assert_int_equal(rig->generation, 2); /* the number that the other text did not get */
    assert_int_equal(wait_sampled_out(rig, 4).stored, 0);
    check_word(rig, 1, VERDICT_DROPPED, REASON_NO_POLICY, 2, 1);
}

static void decisions_that_only_the_log_has_are_not_made_again(void **state)
{
    struct rig *rig = *state;
    struct live_ledger ledger;

    rig->store_conf.block_age_ns = 3600 * SECOND;
    rig_reload_rows(rig);
    send(rig, 1, 1, 2, false);
    send(rig, 2, 1, 2, true);
    wait_sampled_out(rig, 2);
    while (in_ring(rig, 2) == 0 || tally_of(rig, "errors", REASON_POLICY, true) == 0)
        ;
    rig_crash(rig);
    rig->policies = NOBODY;
    rig->store_conf.block_age_ns = SECOND / 50;
    rig_start(rig);
    ledger = wait_stored(rig, 2);
    assert_int_equal(ledger.sampled_out, 2);
    assert_int_equal(ledger.late, 0);
    check_word(rig, 1, VERDICT_DROPPED, REASON_NO_POLICY, 1, 1);
    check_word(rig, 2, VERDICT_KEPT, REASON_POLICY, 1, 1);
}

static void late_rows_that_wait_across_a_restart_still_follow(void **state)
{
    struct rig *rig = *state;

    send(rig, 1, 1, 2, false);
    wait_sampled_out(rig, 2);
    while (in_ring(rig, 1)) /* let go after the commit */
        store_flush(rig->store);
    rig->decisions.root_grace_ns = 3600 * SECOND;
    rig_reload_rows(rig);
    send(rig, 1, 10, 3, true);
    assert_int_equal(ledger_of(rig).late, 3);
    rig_crash(rig);
    rig->decisions.root_grace_ns = 0;
    rig_start(rig);
    assert_int_equal(wait_sampled_out(rig, 5).late, 3);
    check_word(rig, 1, VERDICT_DROPPED, REASON_NO_POLICY, 1, 2);
}

struct verdict_record { struct journal_record record; _Atomic bool is_durable; };

static void on_durable(struct journal_record *record, enum mg_err err)
{
    (void)err;
    MG_CONTAINER(record, struct verdict_record, record)->is_durable = true;
}

/* As a decision that was made at `through` and came into the log after further rows. */
static void append_decision(struct rig *rig, uint64_t trace, uint64_t through, const struct outcome *outcome)
{
    struct decision decision = { .through = through, .outcome = *outcome };
    struct verdict_record verdict = { .is_durable = false };
    struct buf body;

    buf_init(&body, 1024);
    decision_list_begin(&body);
    put_le64(decision.trace_id, trace);
    decision_put(&body, &decision);
    verdict.record = (struct journal_record){ .kind = JOURNAL_DECISIONS, .body = buf_str(&body), .done = on_durable };
    assert_int_equal(journal_append(rig->journal, &verdict.record), MG_OK);
    while (!verdict.is_durable)
        ;
    buf_fini(&body);
}

static uint64_t position_of(struct rig *rig)
{
    struct live_stats stats;

    live_stat(rig->live, &stats);
    return stats.position;
}

/* Rows between the making of a decision and its record in the log are late in the replay too, counted once, and so on for what is
 * late after them. */
static void rows_that_overtook_the_decision_follow_it(void **state)
{
    static const struct outcome dropped = { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_ROOT, .reason = REASON_NO_POLICY, .rules = 1 },
                                late = { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_LATE, .reason = REASON_NO_POLICY, .rules = 1 };
    struct rig *rig = *state;
    uint64_t first, second;

    send(rig, 1, 2, 2, false); /* no root: undecided */
    first = position_of(rig);
    send(rig, 1, 10, 3, true);
    append_decision(rig, 1, first, &dropped);
    send(rig, 1, 20, 1, true);
    second = position_of(rig);
    send(rig, 1, 30, 4, true);
    append_decision(rig, 1, second, &late);
    send(rig, 1, 40, 5, true);
    rig_crash(rig);
    rig->decisions.decision_wait_ns = SECOND / 20;
    rig_start(rig);
    assert_int_equal(wait_sampled_out(rig, 15).late, 13);
    assert_int_equal(ledger_of(rig).stored, 0);
    assert_int_equal(ledger_of(rig).pending, 0);
}

static void switched_off_everything_is_kept_and_nothing_told(void **state)
{
    struct rig *rig = *state;
    size_t n;

    rig->policies = NULL;
    rig_reload(rig);
    send(rig, 1, 1, 2, false);
    wait_stored(rig, 2);
    assert_int_equal(word_in_store(rig, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(ledger_of(rig).sampled_out, 0);
}

static void *send_some(void *argument)
{
    uint64_t failures = 0;

    for (uint64_t trace = 1; trace <= 200; trace++)
        failures += rig_send(argument, (struct want){ .trace = trace, .first = 1, .spans = 3, .root = true, .error = true }) != MG_OK;
    return (void *)(uintptr_t)failures;
}

/* As the program does it: what was given is gone when the calls have returned, and the rules are live's alone. */
static void reload_with(struct rig *rig, const char *policies)
{
    struct live_conf *conf = mem_alloc(sizeof *conf);
    struct decision_conf *decisions = mem_alloc(sizeof *decisions);

    *conf = rig->live_conf;
    *decisions = rig->decisions;
    live_reload(rig->live, conf, decisions);
    mem_free(conf);
    mem_free(decisions);
    rig->policies = policies;
    rig_reload(rig);
}

static void reloads_in_a_row_leave_the_newest_rules(void **state)
{
    static const char *const policies[] = { ERRORS, ALL, NULL };
    struct rig *rig = *state;
    pthread_t thread;
    void *failures;
    size_t n;

    assert_int_equal(pthread_create(&thread, NULL, send_some, rig), 0);
    for (size_t i = 0; i < 30; i++)
        reload_with(rig, policies[i % MG_COUNT(policies)]);
    reload_with(rig, NOBODY);
    pthread_join(thread, &failures);
    assert_null(failures);
    send(rig, 1000, 1, 5, true);
    while (!word_in_store(rig, 1000, &n))
        store_flush(rig->store);
    check_word(rig, 1000, VERDICT_DROPPED, REASON_NO_POLICY, rig->generation, 1);
}

static void the_ladder_is_climbed_while_the_ring_is_full_and_left_after(void **state)
{
    struct rig *rig = *state;
    size_t taken = rig->credit.budget - rig->credit.budget / 50;
    enum ladder_step highest = LADDER_NONE;

    assert_true(credit_take(&rig->credit, &taken));
    for (uint64_t trace = 100; highest < LADDER_HEAD; trace++) {
        send(rig, trace, 1, 1, true); /* keeps live's rounds going */
        highest = MG_MAX(highest, live_ladder(rig->live));
    }
    credit_give(&rig->credit, (int64_t)taken);
    while (live_ladder(rig->live) != LADDER_NONE)
        send(rig, 99, 2, 1, true);
}

static uint64_t verdicts_of(struct rig *rig)
{
    struct live_stats stats;

    live_stat(rig->live, &stats);
    return stats.verdicts;
}

static void send_many(struct rig *rig, uint64_t first, unsigned traces)
{
    uint64_t before = ledger_of(rig).sampled_out;
    struct want want = { .trace = first, .first = 1, .spans = 1, .root = true, .more = traces - 1 };

    assert_int_equal(rig_send(rig, want), MG_OK);
    wait_sampled_out(rig, before + traces);
    AWAIT(ledger_of(rig).pending == 0);
}

/* Of the least table a generation has 1,536. */
static void a_lower_limit_of_verdicts_forgets_the_older_ones(void **state)
{
    struct rig *rig = *state;

    send_many(rig, 1, 2000);
    AWAIT(verdicts_of(rig) == 2000);
    rig->next.verdicts_bytes = 64 << 10;
    rig_reload(rig);
    send_many(rig, 2001, 1536); /* the 2,000 are more than the younger may hold, and the older now */
    AWAIT(verdicts_of(rig) == 3536);
    send_many(rig, 3537, 1);
    AWAIT(verdicts_of(rig) == 1537);
    while (in_ring(rig, 1) || in_ring(rig, 3536)) /* let go after the commit */
        store_flush(rig->store);
    send(rig, 3536, 10, 1, true); /* follows */
    assert_int_equal(wait_sampled_out(rig, 3538).late, 1);
    send(rig, 1, 1, 1, true);     /* is a new trace */
    assert_int_equal(wait_stored(rig, 1).late, 1);
}

/* --- roots for head sampling ------------------------------------------------------------------------ */

static _Atomic uint64_t head_now_ns;

static uint64_t head_clock(void)
{
    return head_now_ns;
}

static void begin_head(struct rig *rig, struct metric_registry *metrics)
{
    static const struct head_conf conf = { .mode = HEAD_STATIC, .default_probability = 1, .interval_ns = 60 * SECOND, .buckets = 10,
                                           .used_buckets = 1, .operations_max = 100 };
    static const struct sample_conf sampling;
    const struct head_options options = { .conf = &conf, .sampling = &sampling, .metrics = metrics, .mono_ns = head_clock };
    struct mg_why why = { "" };

    head_now_ns = SECOND;
    assert_int_equal(head_new(&rig->head, &options, &why), MG_OK);
}

/* Roots of the operation that came in an interval, which ends here. */
static uint64_t roots_counted(struct rig *rig)
{
    struct arena arena = { 0 };
    struct head_row *rows;
    double rate = 0;
    size_t n;

    head_tick(rig->head);
    head_now_ns += 60 * SECOND;
    head_tick(rig->head);
    head_effective(rig->head, &arena, &rows, &n);
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].service, STR("shop")) && str_eq(rows[i].operation, STR("op")))
            rate = rows[i].samples_per_second;
    arena_fini(&arena);
    return (uint64_t)(rate * 60 + 0.5);
}

/* With sampling on or off; undecided, so that a start reads them again. */
static void check_roots(struct rig *rig, const char *policies)
{
    struct metric_registry *metrics = metric_registry_new();

    rig_stop(rig);
    rig->policies = policies;
    rig->decisions.root_grace_ns = 3600 * SECOND;
    rig->store_conf.block_age_ns = 3600 * SECOND; /* nothing is committed before the stop */
    begin_head(rig, metrics);
    rig_start(rig);
    for (uint64_t trace = 1; trace <= 5; trace++)
        send(rig, trace, 1, 4, false); /* a root and three children */
    send(rig, 1, 10, 7, false);        /* children alone */
    assert_int_equal(roots_counted(rig), 5);
    assert_int_equal(roots_counted(rig), 0);
    rig_stop(rig); /* its snapshot's P is the last row's */
    rig_start(rig);
    assert_int_equal(in_ring(rig, 1), 11);
    assert_int_equal(ledger_of(rig).accepted, 27);
    assert_int_equal(roots_counted(rig), 0);
    send(rig, 6, 1, 2, false);
    assert_int_equal(roots_counted(rig), 1);
    rig_crash(rig); /* the sixth is above P: whoever counted it is gone with the crash */
    rig_start(rig);
    assert_int_equal(ledger_of(rig).accepted, 29);
    assert_int_equal(roots_counted(rig), 1);
    rig_stop(rig);
    head_free(&rig->head);
    metric_registry_free(&metrics);
}

static void roots_are_counted_once_with_sampling(void **state)
{
    check_roots(*state, ERRORS);
}

static void roots_are_counted_once_without_sampling(void **state)
{
    check_roots(*state, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(dropped_traces_leave_the_ring_and_are_remembered),
        TEST(late_rows_follow_whatever_they_say),
        TEST(a_crash_changes_no_verdict_even_with_other_rules),
        TEST(decisions_wait_for_rules_that_are_not_stored),
        TEST(a_decision_that_waited_keeps_its_time),
        TEST(a_crash_forgets_what_waiting_rules_decided),
        TEST(decisions_that_only_the_log_has_are_not_made_again),
        TEST(late_rows_that_wait_across_a_restart_still_follow),
        TEST(rows_that_overtook_the_decision_follow_it),
        TEST(switched_off_everything_is_kept_and_nothing_told),
        TEST(reloads_in_a_row_leave_the_newest_rules),
        TEST(the_ladder_is_climbed_while_the_ring_is_full_and_left_after),
        TEST(a_lower_limit_of_verdicts_forgets_the_older_ones),
        TEST(roots_are_counted_once_with_sampling),
        TEST(roots_are_counted_once_without_sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
