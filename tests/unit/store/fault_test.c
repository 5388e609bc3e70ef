/* A store's whole life, put, commit, roll, seal, drop, reopen, again and again with the 1st, 2nd, ... call of the
 * key-value door failing. Whatever fails: no span is lost that was told to be stored, none is there twice, nothing leaks. */
#include "unit/store/store_rig.h"

#include "base/mem.h"

enum { TURNS_AFTER = 8 };

/* Turns with the clock moving past every back-off, until nothing waits. */
static void settle(struct rig *rig, size_t batches)
{
    for (int i = 0; i < TURNS_AFTER && rig->n_done < batches; i++) {
        rig_move_mono(30 * RIG_SECOND);
        rig_turn(rig);
    }
    assert_int_equal(rig->n_done, batches);
}

/* Traces that were not kept: as many as rounds of a hundred spans, each known once. */
#define DROPPED_TRACE(round) (1000000 + (round))
static void expect_dropped(struct rig *rig, uint64_t first, uint64_t last)
{
    for (uint64_t round = first; round <= last; round++)
        RIG_DECIDED(rig, DROPPED_TRACE(round), -7);
}

/* 95 spans as they come, a trace that is not kept, and one of five whose clocks are far off. */
static void put_and_turn(struct rig *rig)
{
    struct span strays[5];

    rig_put_decided(rig, &(struct rig_decided){ .trace = DROPPED_TRACE(rig->spans / 100 + 1), .outcome = rig_dropped(7) }, 1);
    rig_put(rig, 95, 5);
    for (int i = 0; i < 5; i++) {
        rig->spans++;
        rig_span(rig->spans, 1 + (rig->spans - 1) / 5, &strays[i]);
        strays[i].start_ns = i == 2 ? strays[i].start_ns : UINT64_C(4102444800) * RIG_SECOND; /* 2100 */
        strays[i].end_ns = strays[i].start_ns + 500;
    }
    rig_put_spans(rig, strays, 5);
    rig_turn(rig);
    rig_move_mono(60 * RIG_SECOND);
    rig_turn(rig);
}

static enum mg_err count_bytes(void *owner, const void *bytes, size_t len, struct mg_why *why)
{
    (void)bytes;
    (void)why;
    *(uint64_t *)owner += len;
    return MG_OK;
}

/* Neither may fail anything else; a trace that could not be pinned is not, and the caller was told. */
static unsigned pin_and_copy(struct rig *rig)
{
    struct mg_why why;
    struct span span;
    const struct span *at = &span;
    uint64_t bytes = 0;

    rig_span(1, 1, &span);
    unsigned pinned = store_pin(rig->store, &at, 1, 0, &why) == MG_OK;
    (void)!store_backup(rig->store, count_bytes, &bytes, &why);
    return pinned;
}

/* Four partitions: the first is dropped by age at the end, the others live. */
static unsigned live_through(struct rig *rig)
{
    unsigned pinned = 0;

    put_and_turn(rig);
    store_snapshot(rig->store, 10, 9, 8, STR("counters"));
    put_and_turn(rig);
    for (int i = 0; i < 3; i++) {
        rig_move_wall(rig->conf.roll_ns);
        put_and_turn(rig);
        if (i == 1)
            pinned = pin_and_copy(rig);
    }
    put_and_turn(rig);
    rig_retain(rig);
    return pinned;
}

static void check_counts(struct rig *rig, uint64_t spans)
{
    struct store_stats stats;

    assert_int_equal(rig->stored, spans);
    assert_int_equal(rig->duplicates, 0);
    rig_turn(rig);
    store_stat(rig->store, &stats);
    assert_int_equal(stats.damaged, 0);
    assert_int_equal(stats.waiting_rows, 0);
    assert_int_equal(stats.spans, spans);
}

static void check_recovered(struct rig *rig, uint64_t stored)
{
    const struct store_state *state = store_recovered(rig->store);

    assert_int_equal(state->stored, stored);
    assert_int_equal(state->c, rig->position);
    assert_int_equal(state->p, 10);
    assert_int_equal(state->watermark, 9);
    assert_true(str_eq(state->snapshot, STR("counters")));
}

/* What fails: a call that is not made, or a commit that is made. A pin that failed so may be there after a start. */
struct fault { void (*at)(uint64_t nth); uint64_t (*calls)(void); bool pins; };
static const struct fault of_calls = { kv_fault_at, kv_fault_calls, false }, of_commits = { kv_fault_commit_at, kv_fault_commits, true };

/* Returns how often something failed. */
static uint64_t live_through_each(struct rig *rig, const struct fault *fault)
{
    bool is_over = false;
    uint64_t n = 0;

    while (!is_over) {
        fault->at(++n);
        unsigned pinned = live_through(rig);
        is_over = fault->calls() < n;
        fault->at(0);
        settle(rig, 18);
        rig_retain(rig);
        check_counts(rig, 600);
        rig_expect(rig, 1, 600);
        expect_dropped(rig, 1, 6);
        size_t partitions = rig_partitions(rig);
        assert_int_equal(partitions, 4);
        for (size_t i = 0; i + 1 < partitions; i++)
            assert_true(rig_partition(rig, i)->is_sealed && !rig_file_exists(rig, rig_partition(rig, i)->number, true));
        assert_int_equal(kv_env_count(), partitions + (rig->store->pins.partition != NULL));
        assert_int_equal(rig->store->pins.index.n, pinned);
        rig_reopen(rig);
        check_recovered(rig, 600);
        rig_expect(rig, 1, 600);
        expect_dropped(rig, 1, 6);
        assert_in_range(rig->store->pins.index.n, pinned, fault->pins ? 1 : pinned);
        assert_int_equal(rig_find(rig, 1), 1 + rig->store->pins.index.n);
        rig_abandon(rig);
        assert_int_equal(kv_env_count(), 0);
        rig_anew(rig);
    }
    return n;
}

static void nothing_is_lost_or_doubled_by_one_failure(void **state)
{
    assert_true(live_through_each(*state, &of_calls) > 60);
}

static void nothing_is_lost_or_doubled_by_a_commit_that_is_made_and_denied(void **state)
{
    assert_true(live_through_each(*state, &of_commits) > 12);
}

/* A view is open all the while, and the size limit drops partitions under it. */
static void nothing_is_lost_under_a_view_by_one_failure(void **state)
{
    struct rig *rig = *state;
    bool is_over = false;
    uint64_t n = 0;

    while (!is_over) {
        put_and_turn(rig);
        struct store_view *view = store_view_new(rig->store);
        kv_fault_at(++n);
        for (int i = 0; i < 2; i++) {
            rig_move_wall(rig->conf.roll_ns);
            put_and_turn(rig);
        }
        RIG_SET(rig, disk_max, 1);
        store_retain(rig->store);
        RIG_SET(rig, disk_max, UINT64_C(1) << 40);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        settle(rig, 9);
        rig_expect_in(view, 1, 100);
        store_view_free(&view);
        assert_int_equal(rig->stored, 300);
        uint64_t left = rig_count(rig, 300);
        assert_true(left >= 100 && left % 100 == 0);
        rig_expect(rig, 301 - left, 300);
        expect_dropped(rig, 4 - left / 100, 3);
        assert_int_equal(kv_env_count(), rig_partitions(rig));
        rig_reopen(rig);
        rig_expect(rig, 301 - left, 300);
        expect_dropped(rig, 4 - left / 100, 3);
        assert_int_equal(store_recovered(rig->store)->stored, 300);
        rig_abandon(rig);
        rig_anew(rig);
    }
    assert_true(n > 30);
}

/* The start with a failure, work after it, and a start without. */
static void nothing_is_lost_by_a_failure_at_the_start(void **state)
{
    struct rig *rig = *state;
    bool is_over = false;
    uint64_t n = 0;

    while (!is_over) {
        live_through(rig);
        rig_abandon(rig);
        kv_fault_at(++n);
        enum mg_err err = rig_try_open(rig);
        is_over = kv_fault_calls() < n;
        if (err != MG_OK) {
            kv_fault_at(0);
            assert_int_equal(kv_env_count(), 0);
            rig_open(rig);
        }
        put_and_turn(rig);
        kv_fault_at(0);
        settle(rig, 3);
        rig_expect(rig, 1, 700);
        expect_dropped(rig, 1, 7);
        rig_reopen(rig);
        check_recovered(rig, 700);
        rig_expect(rig, 1, 700);
        expect_dropped(rig, 1, 7);
        rig_abandon(rig);
        rig_anew(rig);
    }
    assert_true(n > 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(nothing_is_lost_or_doubled_by_one_failure), T(nothing_is_lost_or_doubled_by_a_commit_that_is_made_and_denied),
        T(nothing_is_lost_under_a_view_by_one_failure), T(nothing_is_lost_by_a_failure_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
