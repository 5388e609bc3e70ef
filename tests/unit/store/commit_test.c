/* commit_test.c - a commit that is in the file although it failed, and what comes after it: the next one, a roll, a crash. */
#include "unit/store/store_rig.h"

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

/* Up to more than a partition is tried for; what is rolled away from keeps what is in it to itself. */
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
            assert_int_equal(rig->n_done, 0);
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
    turn_later(rig); /* with nothing new */
    assert_int_equal(rig->commits_told, 2);
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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(commits_denied_in_a_row_lose_and_double_nothing), T(a_crash_after_a_denied_commit_loses_and_doubles_nothing),
        T(what_a_denied_commit_brought_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
