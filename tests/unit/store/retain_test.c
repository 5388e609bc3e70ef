/* Rolling, sealing, dropping. */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"

static uint64_t dropped(struct rig *rig, unsigned reason)
{
    return metric_get(rig->store->metrics, STORE_unlinked, reason, 0);
}

/* --- rolling ---------------------------------------------------------------------------------------- */

static void a_partition_rolls_when_it_is_old(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_move_wall(rig->conf.roll_ns - 1);
    rig_commit(rig, 10);
    assert_int_equal(rig_partitions(rig), 1);
    rig_move_wall(1);
    rig_commit(rig, 10);
    assert_int_equal(rig_partitions(rig), 2);
    assert_int_equal(rig_partition(rig, 0)->spans, 20);
    assert_int_equal(rig_partition(rig, 1)->spans, 10);
    assert_int_equal(rig_partition(rig, 1)->first_wall_ns, rig_wall_ns());
    rig_expect(rig, 1, 30);
}

static void a_partition_rolls_when_it_is_large(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    RIG_SET(rig, disk_max, (partition_disk_bytes(rig_partition(rig, 0)) + 1) * 16);
    rig_commit(rig, 10); /* below, as it was before this commit */
    assert_int_equal(rig_partitions(rig), 1);
    RIG_SET(rig, disk_max, partition_disk_bytes(rig_partition(rig, 0)) * 16);
    rig_commit(rig, 10); /* at */
    assert_int_equal(rig_partitions(rig), 2);
    RIG_SET(rig, disk_max, UINT64_C(1) << 40);
    rig_commit(rig, 10);
    assert_int_equal(rig_partitions(rig), 2);
    rig_expect(rig, 1, 40);
}

static void an_empty_partition_never_rolls(void **state)
{
    struct rig *rig = *state;

    rig_move(10 * rig->conf.roll_ns);
    rig_turn(rig);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 1);
    assert_int_equal(rig->commits_told, 0);
}

static void a_roll_carries_where_recovery_starts(void **state)
{
    struct rig *rig = *state;
    const struct store_state *recovered;

    store_snapshot(rig->store, 50, 40, 30, STR("carried"));
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_roll(rig, 10);
    rig_reopen(rig);
    recovered = store_recovered(rig->store);
    assert_int_equal(recovered->commit, 3);
    assert_int_equal(recovered->c, 3);
    assert_int_equal(recovered->p, 50);
    assert_int_equal(recovered->watermark, 40);
    assert_int_equal(recovered->stored, 30);
    assert_true(str_eq(recovered->snapshot, STR("carried")));
    rig_expect(rig, 1, 30);
}

static void a_roll_that_fails_is_tried_again(void **state)
{
    struct rig *rig = *state;
    uint64_t n = 0;

    rig_commit(rig, 10);
    rig_move_wall(rig->conf.roll_ns);
    rig_put(rig, 100, 5);
    do {
        kv_fault_at(++n);
        rig_turn(rig);
        kv_fault_at(0);
        rig_move_mono(30 * RIG_SECOND);
        store_retain(rig->store); /* the failure may have been of a reopening */
        assert_in_range(rig_partitions(rig), 1, 2);
        rig_expect(rig, 1, rig->n_done == 2 ? 110 : 10);
    } while (rig->n_done < 2);
    assert_true(n > 10);
    assert_int_equal(rig_partitions(rig), 2);
    assert_int_equal(rig_partition(rig, 1)->number, 2);
}

static void an_idle_store_rolls_too(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_move(rig->conf.roll_ns - 1);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 1);
    rig_move(1);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
    assert_int_equal(rig->commits_told, 2);
    for (int i = 0; i < 3; i++) { /* one without blocks stays */
        rig_move(rig->conf.roll_ns);
        rig_turn(rig);
    }
    assert_int_equal(rig_partitions(rig), 2);
    assert_int_equal(rig->commits_told, 2);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->stored, 10);
    rig_expect(rig, 1, 10);
    rig_move(rig->conf.retention_ns);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 1);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->stored, 10); /* says the one that is left */
}

/* --- sealing ---------------------------------------------------------------------------------------- */

static void run(const char *command, char *out, size_t room)
{
    FILE *pipe = popen(command, "r");
    size_t n;

    assert_non_null(pipe);
    n = fread(out, 1, room - 1, pipe);
    out[n] = '\0';
    assert_int_equal(pclose(pipe), 0);
}

static void a_closed_partition_is_sealed(void **state)
{
    struct rig *rig = *state;
    struct partition *old;
    struct buf value;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    old = rig_partition(rig, 0);
    assert_true(old->is_closed);
    assert_false(old->is_sealed);
    assert_true(rig_file_exists(rig, 1, true));
    rig_expect(rig, 1, 20);
    rig_retain(rig);
    assert_ptr_equal(rig_partition(rig, 0), old);
    assert_true(old->is_sealed);
    assert_false(rig_file_exists(rig, 1, true));
    assert_true(rig_file_exists(rig, 2, true));
    assert_null(old->env); /* until it is needed */
    assert_int_equal(kv_env_count(), 1);
    assert_true(rig_value(rig, 0, TABLE_META, STR("sealed"), &value));
    assert_int_equal(value.len, 0);
    buf_fini(&value);
    rig_expect(rig, 1, 20);
    assert_int_equal(kv_env_count(), 2);
}

static void lmdb_s_own_tool_reads_a_sealed_partition(void **state)
{
    struct rig *rig = *state;
    char command[256], path[128], out[4096];

    if (access("/usr/bin/mdb_stat", X_OK) != 0) {
        printf("skipped: no mdb_stat (lmdb-utils)\n");
        return;
    }
    rig_commit(rig, 10);
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    rig_path(rig, 1, path);
    (void)snprintf(command, sizeof command, "mdb_stat -n -a %s", path);
    run(command, out, sizeof out);
    assert_non_null(strstr(out, "Status of blk"));
    assert_non_null(strstr(out, "Status of meta"));
    assert_non_null(strstr(out, "Entries: 2"));
    rig_expect(rig, 1, 30);
}

static void sealing_waits_for_those_who_read(void **state)
{
    struct rig *rig = *state;
    struct store_view *reader, *other;

    rig_commit(rig, 10);
    reader = store_view_new(rig->store);
    other = store_view_new(rig->store);
    rig_expect_in(reader, 1, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    assert_true(rig_partition(rig, 0)->says_sealed);
    assert_false(rig_partition(rig, 0)->is_sealed);
    assert_true(rig_file_exists(rig, 1, true));
    rig_expect_in(reader, 1, 10);
    store_view_free(&reader);
    rig_retain(rig); /* the other one has not read yet, and reads the sealed file then */
    assert_true(rig_partition(rig, 0)->is_sealed);
    assert_false(rig_file_exists(rig, 1, true));
    rig_expect_in(other, 1, 10);
    store_view_free(&other);
    rig_expect(rig, 1, 20);
}

static void sealing_waits_for_the_new_partition_s_first_commit(void **state)
{
    struct rig *rig = *state;
    uint64_t calls;

    rig_commit(rig, 10);
    kv_fault_at(0);
    rig_roll(rig, 10);
    calls = kv_fault_calls(); /* of a roll and a commit: the last is its kv_commit */
    rig_move_wall(rig->conf.roll_ns);
    rig_put(rig, 10, 5);
    store_hurry(rig->store);
    kv_fault_at(calls);
    rig_turn(rig);
    kv_fault_at(0);
    assert_int_equal(rig_partitions(rig), 3);
    assert_int_equal(rig_partition(rig, 2)->state.commit, 0);
    rig_move(rig->conf.retention_ns * 2);
    store_retain(rig->store);
    assert_false(rig_partition(rig, 1)->is_sealed);
    assert_int_equal(rig_partitions(rig), 2); /* the middle one alone says where recovery starts: it must not go */
    rig_expect(rig, 11, 20);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->c, 2);
}

static void sealing_that_fails_leaves_everything_readable(void **state)
{
    struct rig *rig = *state;
    uint64_t n = 0;
    bool is_sealed;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    do { /* each time as far as the n-th call, then without a fault, from a partition that is to be sealed */
        kv_fault_at(++n);
        store_retain(rig->store);
        kv_fault_at(0);
        struct partition *last = rig_partition(rig, rig_partitions(rig) - 2);
        is_sealed = last->is_sealed;
        store_retain(rig->store);
        assert_true(last->is_sealed);
        rig_expect(rig, 1, 10 + n * 10);
        rig_roll(rig, 10);
    } while (!is_sealed || n < 14);
    assert_int_equal(rig->store->shared.damaged, 0);
    rig_reopen(rig);
    rig_expect(rig, 1, 10 + n * 10 + 10);
    for (size_t i = 0; i + 1 < rig_partitions(rig); i++)
        assert_true(rig_partition(rig, i)->is_sealed);
}

static void a_partition_that_cannot_be_opened_is_told_and_tried_again(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct block_reader *reader;
    struct store_view *view;
    char path[128], away[160];
    uint32_t at[8];
    uint8_t id[16] = { 0 };

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    rig_path(rig, 1, path);
    (void)snprintf(away, sizeof away, "%s-away", path);
    assert_int_equal(rename(path, away), 0);
    view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), 2);
    assert_int_equal(store_view_open(view, &blocks[0], &reader, &rig->why), MG_OK);
    assert_int_equal(store_view_open(view, &blocks[1], &reader, &rig->why), MG_E_ABSENT);
    assert_non_null(strstr(rig->why.text, "000001.mdb"));
    put_be64(id + 8, 1);
    assert_int_equal(store_view_find(view, id, at, 8), 0);
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(store_view_find(view, id, at, 8), 1);
    rig_expect_in(view, 1, 20);
    store_view_free(&view);
}

/* --- dropping --------------------------------------------------------------------------------------- */

static void retention_goes_by_the_last_commit(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_move_wall(RIG_SECOND);
    rig_commit(rig, 10);
    uint64_t last = rig_wall_ns();
    rig_roll(rig, 10);
    rig_retain(rig);
    rig_move(last + rig->conf.retention_ns - rig_wall_ns() - 1);
    store_retain(rig->store);
    rig_expect(rig, 1, 30);
    rig_move_wall(1);
    store_retain(rig->store);
    rig_expect(rig, 21, 30);
    assert_false(rig_file_exists(rig, 1, false));
    assert_int_equal(dropped(rig, 0), 1);
    assert_int_equal(dropped(rig, 1), 0);
    assert_int_equal(kv_env_count(), 1);
}

static void the_open_partition_is_never_dropped(void **state)
{
    struct rig *rig = *state;

    RIG_SET(rig, roll_ns, 3650 * 24 * 3600 * RIG_SECOND);
    rig_commit(rig, 10);
    rig_move(rig->conf.retention_ns * 2);
    RIG_SET(rig, disk_max, 1);
    store_retain(rig->store);
    rig_expect(rig, 1, 10);
    assert_int_equal(dropped(rig, 0) + dropped(rig, 1), 0);
}

static void a_dropped_partition_stays_with_its_views(void **state)
{
    struct rig *rig = *state;
    struct store_view *view, *sealed;

    rig_commit(rig, 10);
    view = store_view_new(rig->store);
    rig_expect_in(view, 1, 10); /* its transaction has begun */
    sealed = store_view_new(rig->store); /* its has not */
    rig_roll(rig, 10);
    rig_move_mono(rig->conf.roll_ns); /* as it has moved the wall clock */
    rig_move(rig->conf.retention_ns - rig->conf.roll_ns);
    rig_turn(rig); /* rolls the open one by age, and drops the first */
    assert_false(rig_file_exists(rig, 1, false));
    assert_false(rig_file_exists(rig, 1, true));
    rig_expect(rig, 11, 20);
    rig_expect_in(view, 1, 10);
    rig_expect_in(sealed, 1, 10);
    assert_int_equal(kv_env_count(), 3);
    store_view_free(&view);
    assert_int_equal(kv_env_count(), 3);
    store_view_free(&sealed);
    assert_int_equal(kv_env_count(), 2);
}

static void the_size_limit_drops_the_oldest(void **state)
{
    struct rig *rig = *state;
    struct store_stats stats;
    uint64_t bytes[4], sum = 0;

    rig_commit(rig, 10);
    for (int i = 0; i < 3; i++)
        rig_roll(rig, 10);
    rig_retain(rig);
    for (size_t i = 0; i < 4; i++)
        sum += bytes[i] = partition_disk_bytes(rig_partition(rig, i));
    store_stat(rig->store, &stats);
    assert_int_equal(stats.disk_bytes, sum);
    RIG_SET(rig, disk_max, sum + 1); /* below */
    store_retain(rig->store);
    RIG_SET(rig, disk_max, sum); /* at */
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 4);
    RIG_SET(rig, disk_max, sum - 1); /* above */
    store_retain(rig->store);
    rig_expect(rig, 11, 40);
    struct store_view *view = store_view_new(rig->store);
    RIG_SET(rig, disk_max, 1);
    store_retain(rig->store);
    rig_expect_in(view, 11, 40);
    rig_expect(rig, 31, 40);
    store_view_free(&view);
    assert_int_equal(dropped(rig, 1), 3);
    assert_int_equal(kv_env_count(), 1);
    rig_reopen(rig);
    rig_expect(rig, 31, 40);
    assert_int_equal(store_recovered(rig->store)->stored, 40);
}

static void eighty_percent_of_the_disk_is_the_default(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(store_disk_max(rig->store), UINT64_C(1) << 40);
    RIG_SET(rig, disk_max, 0);
    assert_true(store_disk_max(rig->store) > 1 << 20);
    assert_true(store_disk_max(rig->store) < UINT64_C(1) << 60);
}

static void the_catalog_forgets_what_retention_dropped(void **state)
{
    struct rig *rig = *state;
    struct arena arena = { 0 };
    struct span span;
    struct str *services;

    rig_span(1, 3, &span);
    rig_put_spans(rig, &span, 1);
    rig->spans = 1;
    store_hurry(rig->store);
    rig_turn(rig);
    rig_span(2, 4, &span);
    rig_move_wall(rig->conf.roll_ns);
    rig_put_spans(rig, &span, 1);
    store_hurry(rig->store);
    rig_turn(rig);
    assert_int_equal(rig_partitions(rig), 2);
    for (int dropped_it = 0; dropped_it < 2; dropped_it++) {
        struct catalog *catalog = catalog_new();
        store_catalog(rig->store, catalog);
        assert_int_equal(catalog_services(catalog, &arena, &services), 2 - dropped_it);
        assert_true(str_eq(services[0], dropped_it ? STR("service-4") : STR("service-3")));
        catalog_free(&catalog);
        RIG_SET(rig, disk_max, 1);
        store_retain(rig->store);
    }
    arena_fini(&arena);
}

static uint64_t oldest(struct rig *rig)
{
    struct store_stats stats;

    rig_turn(rig);
    store_stat(rig->store, &stats);
    return stats.oldest_wall_ns;
}

static void the_oldest_is_of_the_first_commit_with_spans(void **state)
{
    struct rig *rig = *state;
    uint64_t begun[4];

    assert_int_equal(oldest(rig), 0);
    store_snapshot(rig->store, 1, 1, 1, STR("counters"));
    rig_move_mono(10 * RIG_SECOND);
    assert_int_equal(oldest(rig), 0); /* a commit without spans */
    rig_drop(rig, 5000, 3);
    assert_int_equal(oldest(rig), 0); /* nor with decisions alone */
    for (size_t i = 0; i < MG_COUNT(begun); i++) {
        rig_roll(rig, 10);
        begun[i] = rig_wall_ns();
        rig_move_wall(60 * RIG_SECOND);
        rig_commit(rig, 10);
        assert_int_equal(oldest(rig), begun[0]);
    }
    rig_reopen(rig);
    assert_int_equal(oldest(rig), begun[0]);
    rig_move(rig->conf.retention_ns - (rig_wall_ns() - begun[0] - 60 * RIG_SECOND));
    rig_retain(rig); /* by age */
    assert_int_equal(oldest(rig), begun[1]);
    rig_disk.free_bytes = 0;
    RIG_SET(rig, free_min, 1);
    store_look_at_disk(rig->store);
    assert_int_equal(oldest(rig), begun[2]);
    RIG_SET(rig, free_min, 0);
    RIG_SET(rig, disk_max, 1);
    rig_retain(rig); /* by size: only the open one stays, which has no spans yet */
    assert_int_equal(oldest(rig), 0);
    rig_reopen(rig);
    assert_int_equal(oldest(rig), 0);
    RIG_SET(rig, disk_max, UINT64_C(1) << 40);
    rig_commit(rig, 10);
    assert_int_equal(oldest(rig), rig_partition(rig, 0)->first_wall_ns);
    rig_expect(rig, 81, 90);
}

/* --- a wall clock that is set ----------------------------------------------------------------------- */

#define YEAR (365 * 24 * 3600 * RIG_SECOND)
#define HOUR (3600 * RIG_SECOND)

static void three_closed(struct rig *rig) /* spans 1 to 10, 11 to 20, 21 to 30, an hour apart, and 31 to 40 in the open one */
{
    rig_commit(rig, 10);
    for (unsigned i = 0; i < 3; i++) {
        rig_roll(rig, 10);
        rig_move_mono(rig->conf.roll_ns);
        rig_retain(rig);
    }
    assert_int_equal(rig_partitions(rig), 4);
}

static void a_clock_that_is_wrong_for_a_while_drops_nothing(void **state)
{
    struct rig *rig = *state;

    three_closed(rig);
    rig_move_wall(YEAR);
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    rig_move(HOUR - 1);
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    rig_move_wall(-YEAR); /* corrected */
    store_retain(rig->store);
    rig_move(2 * HOUR);
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    rig_move_wall(YEAR); /* the hour begins anew */
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    assert_int_equal(dropped(rig, 0), 0);
}

static void a_clock_that_stays_ahead_is_believed_after_an_hour(void **state)
{
    struct rig *rig = *state;

    three_closed(rig);
    rig_move_wall(YEAR);
    store_retain(rig->store);
    rig_move(HOUR - 1);
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    rig_move(1);
    store_retain(rig->store);
    rig_expect(rig, 31, 40);
    assert_int_equal(dropped(rig, 0), 3);
}

static void ages_go_on_while_a_step_is_not_believed(void **state)
{
    struct rig *rig = *state;

    three_closed(rig);
    uint64_t closed = rig_partition(rig, 0)->state.wall_ns;
    rig_move(closed + rig->conf.retention_ns - rig_wall_ns() - 1);
    store_retain(rig->store);
    rig_move_wall(YEAR);
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    rig_move(1);
    store_retain(rig->store);
    rig_expect(rig, 11, 40);
    assert_int_equal(dropped(rig, 0), 1);
}

static void a_small_step_is_believed_at_once(void **state)
{
    struct rig *rig = *state;

    three_closed(rig);
    uint64_t closed = rig_partition(rig, 0)->state.wall_ns;
    rig_move(closed + rig->conf.retention_ns - rig_wall_ns() - 600 * RIG_SECOND);
    store_retain(rig->store);
    rig_expect(rig, 1, 40);
    rig_move_wall(600 * RIG_SECOND);
    store_retain(rig->store);
    rig_expect(rig, 11, 40);
}

static void what_was_closed_in_the_future_does_not_stay_until_then(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_move_wall(YEAR);
    rig_commit(rig, 10); /* into a second one, by its age */
    rig_move_wall(rig->conf.roll_ns);
    rig_commit(rig, 10); /* the second one is closed, and the third is of the future too */
    rig_move_wall(-YEAR);
    rig_commit(rig, 10);
    assert_int_equal(rig_partitions(rig), 4); /* the third one does not wait for its time */
    rig_roll(rig, 10);
    rig_retain(rig);
    rig_expect(rig, 1, 50);
    uint64_t closed = rig_partition(rig, 3)->state.wall_ns;
    rig_reopen(rig);
    rig_move(closed + rig->conf.retention_ns - rig_wall_ns() - 1);
    store_retain(rig->store);
    rig_expect(rig, 11, 50); /* the first one was of the past */
    rig_move(1);
    store_retain(rig->store);
    rig_expect(rig, 41, 50);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(the_oldest_is_of_the_first_commit_with_spans),
        T(a_partition_rolls_when_it_is_old), T(a_partition_rolls_when_it_is_large), T(an_empty_partition_never_rolls),
        T(a_roll_carries_where_recovery_starts), T(a_roll_that_fails_is_tried_again), T(an_idle_store_rolls_too),
        T(a_closed_partition_is_sealed), T(lmdb_s_own_tool_reads_a_sealed_partition), T(sealing_waits_for_those_who_read),
        T(sealing_waits_for_the_new_partition_s_first_commit), T(sealing_that_fails_leaves_everything_readable),
        T(a_partition_that_cannot_be_opened_is_told_and_tried_again), T(retention_goes_by_the_last_commit),
        T(the_open_partition_is_never_dropped), T(a_dropped_partition_stays_with_its_views), T(the_size_limit_drops_the_oldest),
        T(eighty_percent_of_the_disk_is_the_default), T(the_catalog_forgets_what_retention_dropped),
        T(a_clock_that_is_wrong_for_a_while_drops_nothing), T(a_clock_that_stays_ahead_is_believed_after_an_hour),
        T(ages_go_on_while_a_step_is_not_believed), T(a_small_step_is_believed_at_once),
        T(what_was_closed_in_the_future_does_not_stay_until_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
