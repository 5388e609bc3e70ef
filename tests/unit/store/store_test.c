/* The block thread's work: when it commits, what a commit holds, what happens when it fails. */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "row/segment.h"
#include "store/tagged.h"

static struct store_stats stats_of(struct rig *rig)
{
    struct store_stats stats;

    store_stat(rig->store, &stats);
    return stats;
}

/* --- when ------------------------------------------------------------------------------------------- */

static void a_block_is_written_when_it_is_full(void **state)
{
    struct rig *rig = *state;

    rig_put(rig, 99, 5);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 0);
    assert_int_equal(stats_of(rig).waiting_rows, 99);
    rig_put(rig, 1, 5);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 2);
    assert_int_equal(rig->stored, 100);
    assert_int_equal(stats_of(rig).blocks, 1);
    assert_int_equal(stats_of(rig).waiting_rows, 0);
    rig_expect(rig, 1, 100);
}

static void a_block_is_written_when_it_is_old(void **state)
{
    struct rig *rig = *state;

    rig_put(rig, 1, 1);
    rig_turn(rig);
    rig_move_mono(rig->conf.block_age_ns - 1);
    rig_put(rig, 1, 1); /* the age is that of the oldest */
    rig_turn(rig);
    assert_int_equal(rig->n_done, 0);
    rig_move_mono(1);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 2);
    rig_expect(rig, 1, 2);
}

static void nothing_waits_nothing_is_committed(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 5; i++) {
        rig_move_mono(60 * RIG_SECOND);
        store_hurry(rig->store);
        rig_turn(rig);
    }
    assert_int_equal(stats_of(rig).commits, 0);
    assert_int_equal(rig->commits_told, 0);
    rig_put(rig, 1, 1);
    rig_turn(rig); /* hurried long ago: does not count */
    assert_int_equal(stats_of(rig).commits, 0);
}

static void hurry_commits_what_was_put_before_it(void **state)
{
    struct rig *rig = *state;

    rig_put(rig, 1, 1);
    store_hurry(rig->store);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 1);
    rig_put(rig, 1, 1);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 1);
}

static void many_rows_become_even_blocks_in_one_commit(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;

    rig_put(rig, 340, 5);
    rig_turn(rig);
    assert_int_equal(stats_of(rig).commits, 1);
    struct store_view *view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(blocks[i].rows, i == 0 ? 140 : 100); /* the rest of 40 joined the last */
    store_view_free(&view);
    rig_expect(rig, 1, 340);
}

/* --- what ------------------------------------------------------------------------------------------- */

static void batches_come_back_once_in_order_with_the_chain_s_counts(void **state)
{
    struct rig *rig = *state;
    struct span spans[6];

    for (unsigned i = 0; i < 6; i++)
        rig_span(1 + i / 2, 1, &spans[i]); /* each twice */
    rig_put_spans(rig, spans, 6);
    rig->spans = 3;
    rig_put(rig, 10, 5);
    store_hurry(rig->store);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 2);
    assert_int_equal(rig->stored, 13);
    assert_int_equal(rig->duplicates, 3);
    rig_expect(rig, 1, 13);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->stored, 13);
    assert_int_equal(store_recovered(rig->store)->duplicate, 3);
    assert_int_equal(store_recovered(rig->store)->c, 2);
}

static void a_commit_says_where_recovery_starts(void **state)
{
    struct rig *rig = *state;
    const struct store_state *recovered = store_recovered(rig->store);

    assert_int_equal(recovered->commit, 0);
    assert_int_equal(recovered->c, 0);
    assert_int_equal(recovered->snapshot.len, 0);
    rig->position = 499;
    store_snapshot(rig->store, 480, 470, 99000, STR("as of 480"));
    rig_commit(rig, 10);
    assert_int_equal(rig->watermark, 470);
    rig_commit(rig, 10); /* without a new snapshot: the old one goes on */
    assert_int_equal(rig->watermark, 470);
    rig_reopen(rig);
    recovered = store_recovered(rig->store);
    assert_int_equal(recovered->commit, 2);
    assert_int_equal(recovered->c, 501);
    assert_int_equal(recovered->p, 480);
    assert_int_equal(recovered->watermark, 470);
    assert_int_equal(recovered->log_ns, 99000);
    assert_int_equal(recovered->wall_ns, RIG_WALL);
    assert_int_equal(recovered->stored, 20);
    assert_true(str_eq(recovered->snapshot, STR("as of 480")));
    assert_int_equal(stats_of(rig).c, 501);
    rig_expect(rig, 1, 20);
    rig->position = 501;
    rig_commit(rig, 1);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->commit, 3);
    assert_true(str_eq(store_recovered(rig->store)->snapshot, STR("as of 480")));
}

static void a_snapshot_is_committed_alone_after_ten_seconds(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 1);
    store_snapshot(rig->store, 10, 9, 8, STR("a"));
    rig_move_mono(10 * RIG_SECOND - 1);
    rig_turn(rig);
    assert_int_equal(rig->commits_told, 1);
    store_snapshot(rig->store, 20, 19, 18, STR("b"));
    rig_move_mono(1);
    rig_turn(rig);
    assert_int_equal(rig->commits_told, 2);
    assert_int_equal(rig->watermark, 19);
    assert_int_equal(stats_of(rig).blocks, 1);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->p, 20);
    assert_true(str_eq(store_recovered(rig->store)->snapshot, STR("b")));
    rig_expect(rig, 1, 1);
}

static void a_snapshot_that_says_nothing_new_is_not_committed(void **state)
{
    static const struct { uint64_t p, watermark, log_ns; struct str bytes; bool is_new; } cases[] = {
        { 10, 9, 8, STR_INIT("a"), false }, { 11, 9, 8, STR_INIT("a"), true }, { 11, 10, 8, STR_INIT("a"), true },
        { 11, 10, 9, STR_INIT("a"), true }, { 11, 10, 9, STR_INIT("b"), true }, { 11, 10, 9, STR_INIT("b"), false },
    };
    struct rig *rig = *state;

    store_snapshot(rig->store, 10, 9, 8, STR("a"));
    store_hurry(rig->store);
    rig_turn(rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t before = rig->commits_told;
        store_snapshot(rig->store, cases[i].p, cases[i].watermark, cases[i].log_ns, cases[i].bytes);
        rig_move_mono(60 * RIG_SECOND);
        rig_turn(rig);
        assert_int_equal(rig->commits_told - before, cases[i].is_new);
    }
    rig_reopen(rig); /* the same as was recovered is nothing new either */
    uint64_t before = rig->commits_told;
    store_snapshot(rig->store, 11, 10, 9, STR("b"));
    rig_move_mono(60 * RIG_SECOND);
    rig_turn(rig);
    assert_int_equal(rig->commits_told, before);
}

static void unknown_state_entries_survive_commits_and_rolls(void **state)
{
    struct rig *rig = *state;
    struct buf bytes;
    struct store_state some = { .commit = 1, .c = 4, .stored = 10, .snapshot = STR("s") };
    struct str value;

    rig_commit(rig, 10);
    rig_abandon(rig);
    buf_init(&bytes, 4096);
    assert_int_equal(state_write(&bytes, &some, RIG_WALL, STR("\x63\x03new")), MG_OK);
    rig_change(rig, 1, TABLE_META, STR("state"), buf_str(&bytes));
    buf_fini(&bytes);
    rig_open(rig);
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    struct kv_txn *txn;
    assert_int_equal(kv_begin(&txn, rig_partition(rig, 1)->env, false, NULL), MG_OK);
    assert_true(kv_get(txn, TABLE_META, STR("state"), &value));
    assert_true(tagged_find(value, 0x63, &value));
    assert_true(str_eq(value, STR("new")));
    kv_abort(&txn);
}

static void on_alone_done(struct store_batch *first)
{
    assert_null(first->link.next);
}

/* One request may hold more spans of one trace than a block may: they are stored in parts. Rows are copies of one. */
static void a_trace_larger_than_a_block_is_stored_in_parts(void **state)
{
    enum { SPANS = (1 << 20) + 1000 };
    struct rig *rig = *state;
    struct rows *rows = &rig->rows;
    VEC(struct segment *) segments = { 0 };
    struct span span;
    const struct row *prev = NULL;
    const struct block_info *blocks;
    uint64_t n = 0;

    RIG_SET(rig, block_rows, 200000);
    rig_span(1, 1, &span);
    rows_span(rows, &span);
    const struct row *model = rows->all.at[0];
    for (uint64_t number = 1; number <= SPANS; number++) {
        struct row *row = segments.n ? segment_add(segments.at[segments.n - 1], model) : NULL;
        if (!row) {
            VEC_PUSH(&segments, segment_new(segment_of(model)->epoch, model->bytes));
            row = segment_add(segments.at[segments.n - 1], model);
        }
        put_be64(row->span_id, number);
        row->prev = prev;
        prev = row;
    }
    struct fragment fragment = { .last = prev, .n = SPANS, .is_kept = true };
    put_be64(fragment.trace_id + 8, 1);
    struct store_batch batch = { .position = 1, .fragments = &fragment, .n = 1, .rows = SPANS, .done = on_alone_done };
    store_put(rig->store, &batch);
    rig_turn(rig);
    assert_int_equal(batch.stored, SPANS);
    struct store_view *view = store_view_new(rig->store);
    size_t n_blocks = store_view_blocks(view, &blocks);
    assert_true(n_blocks >= 2);
    for (size_t i = 0; i < n_blocks; i++) {
        assert_in_range(blocks[i].rows, 1, BLOCK_ROWS_MAX);
        n += blocks[i].rows;
    }
    assert_int_equal(n, SPANS);
    rig_expect_in(view, 1, SPANS);
    store_view_free(&view);
    for (size_t i = 0; i < segments.n; i++)
        segment_unref(&segments.at[i]);
    VEC_FINI(&segments);
}

/* --- when it fails ---------------------------------------------------------------------------------- */

static void fail_once(struct rig *rig)
{
    uint64_t failed = stats_of(rig).failed_commits;

    kv_fault_at(1);
    rig_turn(rig);
    kv_fault_at(0);
    assert_int_equal(stats_of(rig).failed_commits, failed + 1);
}

static void a_failed_commit_keeps_everything_and_is_tried_again(void **state)
{
    struct rig *rig = *state;
    static const unsigned waits[] = { 1, 2, 4, 8, 16, 30, 30 };

    rig_put(rig, 100, 5);
    store_snapshot(rig->store, 7, 6, 5, STR("snapshot"));
    for (size_t i = 0; i < MG_COUNT(waits); i++) {
        fail_once(rig);
        rig_move_mono(waits[i] * RIG_SECOND - 1);
        store_hurry(rig->store);
        rig_turn(rig); /* not yet, however urgent */
        assert_int_equal(stats_of(rig).failed_commits, i + 1);
        assert_int_equal(rig->n_done, 0);
        assert_int_equal(rig->commits_told, 0);
        assert_int_equal(stats_of(rig).waiting_rows, 100);
        rig_move_mono(1);
    }
    rig_turn(rig);
    assert_int_equal(rig->n_done, 1);
    assert_int_equal(rig->watermark, 6);
    rig_expect(rig, 1, 100);
    rig_put(rig, 100, 5);
    fail_once(rig);
    rig_move_mono(RIG_SECOND); /* the wait begins anew */
    rig_turn(rig);
    rig_expect(rig, 1, 200);
    rig_reopen(rig);
    assert_true(str_eq(store_recovered(rig->store)->snapshot, STR("snapshot")));
    rig_expect(rig, 1, 200);
}

static void a_snapshot_whose_commit_failed_is_committed_later(void **state)
{
    struct rig *rig = *state;

    store_snapshot(rig->store, 7, 6, 5, STR("snapshot"));
    store_hurry(rig->store);
    fail_once(rig);
    store_snapshot(rig->store, 7, 6, 5, STR("snapshot"));
    rig_move_mono(10 * RIG_SECOND);
    rig_turn(rig);
    assert_int_equal(rig->watermark, 6);
}

static void a_partition_that_keeps_failing_is_left_for_a_new_one(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_put(rig, 100, 5);
    for (int i = 0; i < 3; i++) {
        fail_once(rig);
        assert_int_equal(rig_partitions(rig), 1);
        rig_move_mono(30 * RIG_SECOND);
    }
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
    rig_expect(rig, 1, 110);
    rig_reopen(rig);
    rig_expect(rig, 1, 110);
    assert_int_equal(store_recovered(rig->store)->stored, 110);
}

static void a_new_partition_that_fails_is_not_left_for_another(void **state)
{
    struct rig *rig = *state;

    rig_put(rig, 100, 5);
    for (int i = 0; i < 7; i++) {
        fail_once(rig);
        rig_move_mono(30 * RIG_SECOND);
    }
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 1);
    rig_expect(rig, 1, 100);
}

/* --- with the thread -------------------------------------------------------------------------------- */

static void flush_waits_for_batches_and_snapshot(void **state)
{
    struct rig *rig = *state;

    rig_start(rig);
    store_flush(rig->store); /* nothing waits */
    for (unsigned i = 1; i <= 20; i++) {
        rig_put(rig, 3, 3);
        if (i % 2)
            store_snapshot(rig->store, i, i, i, STR("x"));
        store_flush(rig->store);
        assert_int_equal(rig->n_done, i);
        if (i % 2)
            assert_int_equal(rig->watermark, i);
    }
    store_snapshot(rig->store, 100, 100, 100, STR("alone"));
    store_flush(rig->store);
    assert_int_equal(rig->watermark, 100);
    rig_expect(rig, 1, 60);
}

static void stop_commits_what_was_put(void **state)
{
    struct rig *rig = *state;

    rig_start(rig);
    rig_put(rig, 3, 3);
    store_snapshot(rig->store, 5, 4, 3, STR("last"));
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    assert_int_equal(rig->n_done, 1);
    assert_int_equal(rig->watermark, 4);
    rig_reopen(rig);
    assert_true(str_eq(store_recovered(rig->store)->snapshot, STR("last")));
    rig_expect(rig, 1, 3);
    rig_start(rig);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK); /* nothing runs: nothing to do */
    assert_int_equal(rig->commits_told, 1);
}

static void stop_tells_when_the_last_commit_fails(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 1);
    rig_put(rig, 3, 3); /* not old enough: only the stop commits it */
    rig_start(rig);
    kv_fault_at(1);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_E_IO);
    kv_fault_at(0);
    assert_int_equal(rig->n_done, 1);
    rig_reopen(rig);
    rig_expect(rig, 1, 1);
}

static void a_store_that_was_never_started_stops(void **state)
{
    struct rig *rig = *state;
    struct store *none = NULL;

    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    store_close(&none);
}

/* Nobody but their giver can free them, and their done would say that they are stored. */
static void what_the_last_commit_could_not_store_is_given_back(void **state)
{
    struct rig *rig = *state;
    struct store_batch *first;
    size_t n = 0;

    assert_null(store_take_back(rig->store));
    rig_start(rig);
    kv_fault_at(1);
    rig_put(rig, 10, 5);
    rig_put(rig, 10, 5);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_E_IO);
    kv_fault_at(0);
    first = store_take_back(rig->store);
    for (struct queue_item *item = first ? &first->link : NULL; item; item = item->next)
        n++;
    assert_int_equal(n, 2);
    assert_int_equal(rig->n_done, 0);
    assert_null(store_take_back(rig->store));
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->stored, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_block_is_written_when_it_is_full), T(a_block_is_written_when_it_is_old), T(nothing_waits_nothing_is_committed),
        T(hurry_commits_what_was_put_before_it), T(many_rows_become_even_blocks_in_one_commit),
        T(batches_come_back_once_in_order_with_the_chain_s_counts), T(a_commit_says_where_recovery_starts),
        T(a_snapshot_is_committed_alone_after_ten_seconds), T(a_snapshot_that_says_nothing_new_is_not_committed),
        T(unknown_state_entries_survive_commits_and_rolls), T(a_trace_larger_than_a_block_is_stored_in_parts),
        T(a_failed_commit_keeps_everything_and_is_tried_again), T(a_snapshot_whose_commit_failed_is_committed_later),
        T(a_partition_that_keeps_failing_is_left_for_a_new_one), T(a_new_partition_that_fails_is_not_left_for_another),
        T(flush_waits_for_batches_and_snapshot), T(stop_commits_what_was_put), T(stop_tells_when_the_last_commit_fails),
        T(a_store_that_was_never_started_stops),
        T(what_the_last_commit_could_not_store_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
