/* Free space: a floor, what happens below it, and when the store is full (collector/README.md R11).
 * And a new configuration while it runs. */
#include "unit/store/store_rig.h"

#include "base/mem.h"

#define FLOOR (UINT64_C(800) << 20)

static void look(struct rig *rig, uint64_t free_bytes)
{
    rig_disk.free_bytes = free_bytes;
    rig_move_mono(RIG_SECOND);
    rig_turn(rig);
}

static bool no_disk(const char *dir, struct store_disk *out)
{
    (void)dir;
    (void)out;
    return false;
}

static void below_the_floor_the_oldest_go_one_by_one(void **state)
{
    struct rig *rig = *state;

    RIG_SET(rig, free_min, FLOOR);
    rig_commit(rig, 10);
    for (int i = 0; i < 3; i++)
        rig_roll(rig, 10);
    look(rig, FLOOR + 1);
    assert_int_equal(rig_partitions(rig), 4);
    look(rig, FLOOR);
    assert_int_equal(rig_partitions(rig), 4);
    look(rig, FLOOR - 1);
    assert_int_equal(rig_partitions(rig), 3);
    assert_false(store_is_full(rig->store));
    rig_expect(rig, 11, 40);
    look(rig, FLOOR);
    assert_int_equal(rig_partitions(rig), 3);
    look(rig, 0);
    look(rig, 0);
    assert_int_equal(rig_partitions(rig), 1);
    assert_false(store_is_full(rig->store)); /* there was one to drop */
    look(rig, 0);
    assert_true(store_is_full(rig->store));
    rig_expect(rig, 31, 40);
    assert_int_equal(metric_get(rig->store->metrics, STORE_unlinked, 2, 0), 3);
    rig_commit(rig, 10); /* what was taken in is stored all the same */
    rig_expect(rig, 31, 50);
}

static void full_ends_an_eighth_above_the_floor(void **state)
{
    struct rig *rig = *state;
    struct store_stats stats;

    RIG_SET(rig, free_min, FLOOR);
    static const struct { uint64_t free_bytes; bool is_full; } cases[] = {
        { FLOOR, false }, { FLOOR - 1, true }, { FLOOR, true }, { FLOOR + FLOOR / 8 - 1, true }, { FLOOR + FLOOR / 8, false },
        { FLOOR, false }, { 0, true }, { UINT64_MAX, false },
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        look(rig, cases[i].free_bytes);
        if (store_is_full(rig->store) != cases[i].is_full)
            fail_msg("case %zu", i);
        store_stat(rig->store, &stats);
        assert_int_equal(stats.is_full, cases[i].is_full);
    }
}

static void a_floor_of_zero_is_off(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    look(rig, 0);
    assert_false(store_is_full(rig->store));
    assert_int_equal(rig_partitions(rig), 2);
    RIG_SET(rig, free_min, 1);
    look(rig, 0);
    assert_int_equal(rig_partitions(rig), 1);
    look(rig, 0);
    assert_true(store_is_full(rig->store));
    RIG_SET(rig, free_min, 0);
    look(rig, 0);
    assert_false(store_is_full(rig->store));
}

static void the_disk_is_looked_at_after_a_commit_and_each_second(void **state)
{
    struct rig *rig = *state;

    RIG_SET(rig, free_min, FLOOR);
    look(rig, UINT64_MAX);
    rig_disk.free_bytes = 0;
    rig_turn(rig); /* within the second */
    assert_false(store_is_full(rig->store));
    rig_commit(rig, 10);
    assert_true(store_is_full(rig->store));
}

static uint64_t wanted_bytes;

static uint64_t wanted(void *owner)
{
    (void)owner;
    return wanted_bytes;
}

#define WANTED (UINT64_C(64) << 20)
#define WITH_REST (WANTED + WANTED / 16)

static void the_oldest_go_for_what_the_log_needs_whatever_the_floor_is(void **state)
{
    static const uint64_t floors[] = { 0, 1, WANTED / 8, WANTED, FLOOR };
    struct rig *rig = *state;

    rig->store->options.wanted = wanted;
    rig_commit(rig, 10);
    for (size_t i = 0; i < MG_COUNT(floors); i++)
        rig_roll(rig, 10);
    for (size_t i = 0; i < MG_COUNT(floors); i++) {
        size_t before = rig_partitions(rig);
        RIG_SET(rig, free_min, floors[i]);
        wanted_bytes = WANTED;
        look(rig, MG_MAX(WITH_REST, floors[i]));
        assert_int_equal(rig_partitions(rig), before);
        look(rig, WITH_REST - 1);
        assert_int_equal(rig_partitions(rig), before - 1);
        wanted_bytes = 0; /* a recycled segment is there */
        look(rig, MG_MAX(UINT64_C(1), floors[i]));
        assert_int_equal(rig_partitions(rig), before - 1);
        assert_false(store_is_full(rig->store));
    }
    assert_int_equal(metric_get(rig->store->metrics, STORE_unlinked, 2, 0), MG_COUNT(floors));
    rig_expect(rig, 51, 60);
}

/* The log refuses by itself, and with a reason of its own. */
static void what_the_log_needs_makes_no_store_full(void **state)
{
    struct rig *rig = *state;

    rig->store->options.wanted = wanted;
    RIG_SET(rig, free_min, FLOOR / 100);
    wanted_bytes = WANTED;
    rig_commit(rig, 10);
    look(rig, FLOOR / 100);
    assert_false(store_is_full(rig->store));
    look(rig, FLOOR / 100 - 1);
    assert_true(store_is_full(rig->store));
    rig_disk.free_bytes = FLOOR / 100 + FLOOR / 800;
    rig_move_wall(rig->conf.roll_ns);
    rig_commit(rig, 10); /* no longer, and the one it closes goes for the log */
    assert_false(store_is_full(rig->store));
    assert_int_equal(rig_partitions(rig), 1);
    rig_expect(rig, 11, 20);
    rig->store->options.disk = no_disk;
    look(rig, 0);
    assert_false(store_is_full(rig->store));
}

/* The partition that alone says where recovery starts must not go. */
static void the_floor_spares_what_recovery_needs(void **state)
{
    struct rig *rig = *state;
    uint64_t calls;

    RIG_SET(rig, free_min, FLOOR);
    rig_commit(rig, 10);
    kv_fault_at(0);
    rig_roll(rig, 10);
    calls = kv_fault_calls();
    rig_move_wall(rig->conf.roll_ns);
    rig_put(rig, 10, 5);
    store_hurry(rig->store);
    kv_fault_at(calls);
    rig_turn(rig); /* rolled, and its first commit failed */
    kv_fault_at(0);
    assert_int_equal(rig_partition(rig, rig_partitions(rig) - 1)->state.commit, 0);
    for (int i = 0; i < 4; i++) {
        rig_disk.free_bytes = 0;
        store_look_at_disk(rig->store);
    }
    assert_int_equal(rig_partitions(rig), 2);
    assert_true(store_is_full(rig->store));
    rig_expect(rig, 11, 20);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->c, 2);
}

static void the_archive_counts_for_the_size_limit(void **state)
{
    struct rig *rig = *state;
    struct span span;
    const struct span *at = &span;
    uint64_t sum = 0;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig);
    for (size_t i = 0; i < 2; i++)
        sum += partition_disk_bytes(rig_partition(rig, i));
    RIG_SET(rig, disk_max, sum);
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 2);
    rig_span(1, 1, &span);
    assert_int_equal(store_pin(rig->store, &at, 1, 0, &rig->why), MG_OK);
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 1);
    assert_int_equal(rig_find(rig, 1), 1); /* the archive itself stays */
}

static void a_new_configuration_counts_at_once(void **state)
{
    struct rig *rig = *state;
    struct store_conf next = rig->conf;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    next.retention_ns = RIG_SECOND;
    next.block_rows = 5;
    store_reload(rig->store, &next);
    rig_put(rig, 5, 5);
    rig_turn(rig);
    assert_int_equal(rig->n_done, 3); /* block_rows */
    rig_move_wall(RIG_SECOND);
    rig_retain(rig);
    assert_int_equal(rig_partitions(rig), 1); /* retention */
    store_reload(rig->store, &rig->conf);
    rig_expect(rig, 11, 25);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(below_the_floor_the_oldest_go_one_by_one), T(full_ends_an_eighth_above_the_floor), T(a_floor_of_zero_is_off),
        T(the_disk_is_looked_at_after_a_commit_and_each_second), T(the_floor_spares_what_recovery_needs),
        T(the_oldest_go_for_what_the_log_needs_whatever_the_floor_is), T(what_the_log_needs_makes_no_store_full),
        T(the_archive_counts_for_the_size_limit), T(a_new_configuration_counts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
