/* commit_test.c - a commit that is in the file although it failed, and what comes after it: the next one, a roll, a crash. */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include "store/tools.h"

/* Traces that were not kept, one a batch, each known once. */
#define DROPPED_TRACE(batch) (1000000 + (batch))
static void expect_dropped(struct rig *rig, uint64_t first, uint64_t last)
{
    for (uint64_t batch = first; batch <= last; batch++)
        RIG_DECIDED(rig, DROPPED_TRACE(batch), -7);
}

/* One trace that is not kept, and when asked five spans that are. */
static void put_batch(struct rig *rig, unsigned batch, bool with_spans)
{
    rig_put_decided(rig, &(struct rig_decided){ .trace = DROPPED_TRACE(batch), .outcome = rig_dropped(7) }, 1);
    if (with_spans)
        rig_put(rig, 5, 5);
}

static void turn_later(struct rig *rig)
{
    rig_move_mono(60 * RIG_SECOND); /* past every back-off */
    store_hurry(rig->store);
    rig_turn(rig);
}

/* What is stored after the crash is what the state says, and the rest comes again out of the journal. */
static void check_crashed(struct rig *rig, bool with_spans)
{
    uint64_t each = with_spans ? 2 : 1, c;

    rig_abandon(rig);
    rig_open(rig);
    c = store_recovered(rig->store)->c;
    assert_true(c == each || c == 2 * each); /* the denied commit is there, whatever became of the next one */
    assert_int_equal(store_recovered(rig->store)->stored, with_spans ? 5 * c / each : 0);
    assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 0);
    expect_dropped(rig, 1, c / each);
    if (c == each) {
        RIG_UNDECIDED(rig, DROPPED_TRACE(2));
        rig->position = c;
        rig->spans = with_spans ? 5 : 0;
        put_batch(rig, 2, with_spans);
        turn_later(rig);
    }
    expect_dropped(rig, 1, 2);
    if (with_spans)
        rig_expect(rig, 1, 10);
    rig_reopen(rig);
    expect_dropped(rig, 1, 2);
    assert_int_equal(store_recovered(rig->store)->c, 2 * each);
    rig_abandon(rig);
    rig_anew(rig);
}

static void crash_after_each_call(struct rig *rig, bool with_spans)
{
    bool is_over = false;

    for (uint64_t n = 1; !is_over; n++) {
        put_batch(rig, 1, with_spans);
        kv_fault_commit_at(1);
        turn_later(rig);
        kv_fault_commit_at(0);
        assert_int_equal(rig->n_done, 0);
        put_batch(rig, 2, with_spans);
        kv_fault_at(n);
        turn_later(rig);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        check_crashed(rig, with_spans);
    }
}

/* Up to more than what a partition is given up for. */
static void commits_denied_in_a_row_lose_and_double_nothing(void **state)
{
    enum { MOST = 5 };
    struct rig *rig = *state;

    for (unsigned denied = 1; denied <= MOST; denied++) {
        for (unsigned i = 1; i <= denied; i++) {
            put_batch(rig, i, true);
            kv_fault_commit_at(1);
            turn_later(rig);
            kv_fault_commit_at(0);
            assert_int_equal(rig->n_done, 2 * (i - 1)); /* the one before was found */
        }
        turn_later(rig);
        assert_int_equal(rig->n_done, 2 * denied);
        assert_int_equal(rig->stored, 5 * denied);
        rig_retain(rig);
        rig_expect(rig, 1, 5 * denied);
        expect_dropped(rig, 1, denied);
        rig_commit(rig, 5);
        rig_reopen(rig); /* without what memory knows */
        assert_int_equal(store_recovered(rig->store)->stored, 5 * denied + 5);
        assert_int_equal(store_recovered(rig->store)->c, rig->position);
        assert_int_equal(metric_get(rig->store->metrics, STORE_decisions_damaged, 0, 0), 0);
        rig_expect(rig, 1, 5 * denied + 5);
        expect_dropped(rig, 1, denied);
        rig_abandon(rig);
        rig_anew(rig);
    }
}

static void a_crash_after_a_denied_commit_loses_and_doubles_nothing(void **state)
{
    crash_after_each_call(*state, false);
    crash_after_each_call(*state, true);
}

/* Of each edge the calls of all commits. */
static void add_calls(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    (void)parent;
    (void)child;
    (void)errors;
    *(uint64_t *)owner += calls;
}

static uint64_t count_calls(struct rig *rig)
{
    struct store_view *view = store_view_new(rig->store);
    uint64_t calls = 0;

    assert_int_equal(store_view_edges(view, 0, UINT32_MAX, add_calls, &calls, &rig->why), MG_OK);
    store_view_free(&view);
    return calls;
}

static void what_a_denied_commit_brought_is_told_once(void **state)
{
    struct rig *rig = *state;
    uint64_t calls;

    put_batch(rig, 1, true); /* first without a fault, for the sum of its edges */
    turn_later(rig);
    calls = count_calls(rig);
    assert_true(calls > 0);
    rig_abandon(rig);
    rig_anew(rig);
    put_batch(rig, 1, true);
    store_snapshot(rig->store, 10, 9, 8, STR("counters"));
    kv_fault_commit_at(1);
    turn_later(rig);
    kv_fault_commit_at(0);
    assert_int_equal(rig->commits_told, 1); /* of the first store */
    turn_later(rig); /* it is found, and one with nothing new comes after it */
    assert_int_equal(rig->commits_told, 3);
    assert_int_equal(rig->n_done, 2);
    assert_int_equal(rig->stored, 5);
    assert_int_equal(rig->watermark, 9);
    assert_int_equal(count_calls(rig), calls);
    assert_int_equal(rig_partition(rig, 0)->last_block, 1);
    rig_expect(rig, 1, 5);
    rig_reopen(rig);
    assert_int_equal(count_calls(rig), calls);
    assert_true(str_eq(store_recovered(rig->store)->snapshot, STR("counters")));
    assert_int_equal(store_recovered(rig->store)->stored, 5);
    assert_int_equal(rig_partition(rig, 0)->first_wall_ns, RIG_WALL);
}

/* --- histories -------------------------------------------------------------------------------------- */

/* One batch and one attempt to commit for each letter: '+' nothing is in its way; '-' its first commit is denied; '=' its second one, which after a
 * roll is the new partition's first; 'x' one of its calls fails, each in turn. '|': the partition is then old enough to be rolled. */
static const char *const histories[] = {
    "-", "--", "---", "----", "-+-+-", "---|+", "-|=", "-|=|=", "---|=--", "x", "xxx", "x-", "-x-", "x-x", "--x", "---x", "-|x",
    "+-", "+--", "+---", "+----", "+-----------", "+-|+", "+--|+", "+---|+", "+-|-", "+-|=", "+---|=--", "+|-", "+|--", "+|=", "+|==", "+|=--",
    "+|===|+", "+|=|=|=", "+xxx", "+xxxx", "+-x", "+x-", "+-x-", "+x-x", "+--x", "+xx-", "+xx-|+", "+-xx|+", "+xxx-", "+xxx=", "+-x|+", "+-|x",
    "+|=x", "+|x=", "+|=|x",
};

/* As they are; with a crash at the end; with a size limit that leaves no partition but the last. */
struct history { struct rig *rig; const char *attempts; bool is_crash, is_small; unsigned batches; uint64_t calls_a_batch, most_calls; };

static void give_counters(struct rig *rig, unsigned batch)
{
    char counters[16];

    (void)snprintf(counters, sizeof counters, "%u", batch);
    store_snapshot(rig->store, 10 * batch, 10 * batch - 1, batch, str_of(counters));
}

static void attempt(struct history *history, char how, uint64_t nth)
{
    struct rig *rig = history->rig;

    put_batch(rig, ++history->batches, true);
    give_counters(rig, history->batches);
    kv_fault_commit_at(how == '-' ? 1 : how == '=' ? 2 : 0);
    kv_fault_at(how == 'x' ? nth : 0);
    turn_later(rig);
    if (how == 'x')
        history->most_calls = MG_MAX(history->most_calls, kv_fault_calls());
    kv_fault_commit_at(0);
    kv_fault_at(0);
}

static void check_state(const struct rig *rig, uint64_t batches)
{
    const struct store_state *state = store_recovered(rig->store);
    char counters[16];

    (void)snprintf(counters, sizeof counters, "%u", (unsigned)batches);
    assert_int_equal(state->c, 2 * batches);
    assert_int_equal(state->stored, 5 * batches);
    assert_int_equal(state->duplicate, 0);
    assert_int_equal(state->p, 10 * batches);
    assert_int_equal(state->watermark, batches ? 10 * batches - 1 : 0);
    assert_true(str_eq(state->snapshot, batches ? str_of(counters) : STR("")));
}

/* All of it, or the newest when the limit took the rest: each span and each edge once. */
static void check_content(const struct history *history)
{
    struct rig *rig = history->rig;
    uint64_t spans = 5 * history->batches, left = history->is_small ? rig_count(rig, spans) : spans;
    struct store_stats stats;

    rig_expect(rig, spans - left + 1, spans);
    assert_true(left > 0 && left % 5 == 0);
    assert_int_equal(count_calls(rig), left / 5 * history->calls_a_batch);
    expect_dropped(rig, history->batches - left / 5 + 1, history->batches);
    rig_turn(rig);
    store_stat(rig->store, &stats);
    assert_int_equal(stats.spans, left);
    assert_int_equal(stats.waiting_rows, 0);
}

/* What is beyond C comes again out of the journal. */
static void crash(struct history *history)
{
    struct rig *rig = history->rig;
    uint64_t told = rig->watermark, c;

    rig_reopen(rig);
    c = store_recovered(rig->store)->c;
    assert_int_equal(c % 2, 0);
    assert_true(store_recovered(rig->store)->watermark >= told);
    check_state(rig, c / 2);
    rig->position = c;
    rig->spans = 5 * c / 2;
    for (unsigned batch = (unsigned)(c / 2) + 1; batch <= history->batches; batch++)
        put_batch(rig, batch, true);
    give_counters(rig, history->batches);
}

static void settle(struct rig *rig)
{
    enum { TURNS = 4 };

    for (int i = 0; i < TURNS; i++)
        turn_later(rig);
    assert_int_equal(rig->n_done, rig->given.n);
    for (size_t i = 0; i + 1 < rig_partitions(rig); i++)
        assert_true(rig_partition(rig, i)->is_sealed);
}

static void on_line(void *owner, struct str line)
{
    (void)owner;
    if (!str_ends(line, STR(" 0 faults")))
        print_error("%.*s\n", STR_ARG(line));
}

static void check_files(struct rig *rig)
{
    rig_abandon(rig);
    if (store_check_dir(rig->store_dir, on_line, NULL, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    rig_open(rig);
}

static void live_through(struct history *history, uint64_t nth)
{
    struct rig *rig = history->rig;

    history->batches = 0;
    history->most_calls = 0;
    rig->watermark = 0;
    RIG_SET(rig, disk_max, history->is_small ? 1 : UINT64_C(1) << 40);
    for (const char *at = history->attempts; *at; at++) {
        if (*at == '|')
            rig_move_wall(rig->conf.roll_ns);
        else
            attempt(history, *at, nth);
    }
    if (history->is_crash)
        crash(history);
    settle(rig);
    if (history->is_small) /* so that there is something in the last one */
        attempt(history, '+', 0);
    assert_int_equal(rig->watermark, 10 * history->batches - 1);
    if (!history->is_crash)
        assert_int_equal(rig->stored, 5 * history->batches);
    check_content(history);
    check_files(rig);
    check_state(rig, history->batches);
    check_content(history);
    rig_abandon(rig);
    rig_anew(rig);
}

static uint64_t calls_a_batch(struct rig *rig)
{
    uint64_t calls;

    put_batch(rig, 1, true);
    turn_later(rig);
    calls = count_calls(rig);
    assert_true(calls > 0);
    rig_abandon(rig);
    rig_anew(rig);
    return calls;
}

/* Of the calls of 'x' every `step`-th one fails, another one in each history. */
static void live_through_all(struct rig *rig, bool is_crash, bool is_small, uint64_t step)
{
    struct history history = { .rig = rig, .is_crash = is_crash, .is_small = is_small, .calls_a_batch = calls_a_batch(rig) };

    for (size_t i = 0; i < MG_COUNT(histories); i++) {
        history.attempts = histories[i];
        for (uint64_t nth = 1 + i % step; nth == 1 + i % step || history.most_calls >= nth - step; nth += step)
            live_through(&history, nth);
    }
}

static void failed_and_denied_commits_lose_and_double_nothing(void **state)
{
    live_through_all(*state, false, false, 3);
}

static void nor_do_they_before_a_crash(void **state)
{
    live_through_all(*state, true, false, 4);
}

static void nor_do_they_when_retention_drops_what_was_rolled(void **state)
{
    live_through_all(*state, false, true, 8);
    live_through_all(*state, true, true, 8);
}

/* --- a file that cannot say ------------------------------------------------------------------------------ */

static void make_unsure(struct rig *rig)
{
    put_batch(rig, 1, true);
    turn_later(rig);
    put_batch(rig, 2, true);
    kv_fault_commit_at(1);
    turn_later(rig);
    kv_fault_commit_at(0);
}

/* Whatever a roll is due for: age, size, failures. */
static void a_partition_is_not_rolled_before_it_is_known_what_is_in_it(void **state)
{
    struct rig *rig = *state;
    uint64_t bytes;

    make_unsure(rig);
    bytes = partition_disk_bytes(rig_partition(rig, 0));
    rig_move_wall(rig->conf.roll_ns);
    RIG_SET(rig, disk_max, 16);
    for (unsigned i = 3; i < 12; i++) {
        put_batch(rig, i, true);
        kv_fault_at(1 + i % 2); /* to begin; to have the disk say so */
        turn_later(rig);
        kv_fault_at(0);
        assert_int_equal(rig_partitions(rig), 1);
        assert_int_equal(rig->n_done, 2);
        assert_int_equal(partition_disk_bytes(rig_partition(rig, 0)), bytes);
        rig_expect(rig, 1, 5); /* readers do not wait for it */
    }
    RIG_SET(rig, disk_max, UINT64_C(1) << 40);
    turn_later(rig);
    assert_int_equal(rig_partitions(rig), 2);
    assert_int_equal(rig_partition(rig, 0)->spans, 10);
    assert_int_equal(rig->n_done, 2 * 11);
    rig_expect(rig, 1, 55);
    rig_retain(rig);
    check_files(rig);
    rig_expect(rig, 1, 55);
}

/* Three that are not there are reason enough for another file, one that is there is not. */
static void a_commit_that_is_there_is_no_failure_of_its_partition(void **state)
{
    struct rig *rig = *state;

    make_unsure(rig);
    for (unsigned i = 3; i < 12; i++) {
        put_batch(rig, i, true);
        kv_fault_commit_at(1);
        turn_later(rig);
        kv_fault_commit_at(0);
        assert_int_equal(rig->n_done, 2 * (i - 1));
    }
    assert_int_equal(rig_partitions(rig), 1);
    rig_expect(rig, 1, 50);
}

static void what_the_last_commit_of_a_run_left_is_the_next_ones(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 5);
    rig_start(rig);
    put_batch(rig, 1, true); /* not due before the stop */
    kv_fault_commit_at(1);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_E_IO);
    kv_fault_commit_at(0);
    assert_non_null(store_take_back(rig->store));
    check_files(rig);
    assert_int_equal(store_recovered(rig->store)->c, 3);
    assert_int_equal(store_recovered(rig->store)->stored, 10);
    rig_expect(rig, 1, 10);
    expect_dropped(rig, 1, 1);
}

/* A state that cannot be read says nothing. */
static void a_damaged_state_does_not_count_as_absent(void **state)
{
    struct rig *rig = *state;
    struct partition *partition = rig_partition(rig, 0);
    struct kv_txn *txn;

    make_unsure(rig);
    assert_int_equal(kv_begin(&txn, partition->env, true, NULL), MG_OK);
    assert_int_equal(kv_put(txn, TABLE_META, STR("state"), STR("\1"), NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    for (int i = 0; i < 5; i++)
        turn_later(rig);
    assert_int_equal(rig_partitions(rig), 1);
    assert_int_equal(rig->n_done, 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(commits_denied_in_a_row_lose_and_double_nothing), T(a_crash_after_a_denied_commit_loses_and_doubles_nothing),
        T(what_a_denied_commit_brought_is_told_once), T(failed_and_denied_commits_lose_and_double_nothing), T(nor_do_they_before_a_crash),
        T(nor_do_they_when_retention_drops_what_was_rolled), T(a_partition_is_not_rolled_before_it_is_known_what_is_in_it),
        T(a_commit_that_is_there_is_no_failure_of_its_partition), T(what_the_last_commit_of_a_run_left_is_the_next_ones),
        T(a_damaged_state_does_not_count_as_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
