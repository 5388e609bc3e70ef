/* Sealed partitions are open while they are needed and not much longer. */
#include "unit/store/store_rig.h"

/* Four sealed partitions and the open one, spans 1 to 50; nothing sealed is open. */
static void make_sealed(struct rig *rig)
{
    rig_commit(rig, 10);
    for (int i = 0; i < 4; i++)
        rig_roll(rig, 10);
    rig_retain(rig);
    rig_reopen(rig);
    assert_int_equal(handles_open(&rig->store->handles), 0);
    assert_int_equal(kv_env_count(), 1);
}

static void take(struct rig *rig, size_t i)
{
    struct kv_env *env;

    assert_int_equal(partition_env(rig_partition(rig, i), &env, &rig->why), MG_OK);
    kv_env_unref(&env);
}

static void a_look_opens_what_it_needs(void **state)
{
    struct rig *rig = *state;
    const struct block_info *blocks;
    struct block_reader *reader;
    struct store_view *view;

    make_sealed(rig);
    view = store_view_new(rig->store);
    assert_int_equal(store_view_blocks(view, &blocks), 5);
    assert_int_equal(handles_open(&rig->store->handles), 0);
    assert_int_equal(store_view_open(view, &blocks[4], &reader, &rig->why), MG_OK);
    assert_int_equal(handles_open(&rig->store->handles), 1);
    assert_int_equal(store_view_open(view, &blocks[0], &reader, &rig->why), MG_OK); /* the open one is no handle */
    assert_int_equal(handles_open(&rig->store->handles), 1);
    store_view_free(&view);
    rig_expect(rig, 1, 50);
    assert_int_equal(handles_open(&rig->store->handles), 4);
}

static void idle_ones_are_closed(void **state)
{
    struct rig *rig = *state;

    make_sealed(rig);
    rig_expect(rig, 1, 50);
    rig_move_mono(HANDLES_IDLE_NS - 1);
    rig_turn(rig);
    assert_int_equal(handles_open(&rig->store->handles), 4);
    take(rig, 2);
    rig_move_mono(RIG_SECOND);
    rig_turn(rig);
    assert_int_equal(handles_open(&rig->store->handles), 1);
    assert_non_null(rig_partition(rig, 2)->env);
    assert_int_equal(kv_env_count(), 2);
    rig_move_mono(HANDLES_IDLE_NS);
    rig_turn(rig);
    assert_int_equal(kv_env_count(), 1);
    rig_expect(rig, 1, 50);
}

static void a_reader_keeps_what_is_closed(void **state)
{
    struct rig *rig = *state;
    struct store_view *view;

    make_sealed(rig);
    view = store_view_new(rig->store);
    rig_expect_in(view, 1, 50);
    handles_close_idle(&rig->store->handles, 0);
    assert_int_equal(handles_open(&rig->store->handles), 0);
    assert_int_equal(kv_env_count(), 5); /* the view's */
    rig_expect_in(view, 1, 50);
    store_view_free(&view);
    assert_int_equal(kv_env_count(), 1);
}

static void the_one_unused_for_longest_makes_room(void **state)
{
    struct rig *rig = *state;

    make_sealed(rig);
    rig->store->handles.most = 3;
    for (size_t i = 0; i < 3; i++)
        take(rig, i);
    assert_int_equal(handles_open(&rig->store->handles), 3);
    take(rig, 0); /* now 1 is the oldest */
    take(rig, 3);
    assert_int_equal(handles_open(&rig->store->handles), 3);
    assert_non_null(rig_partition(rig, 0)->env);
    assert_null(rig_partition(rig, 1)->env);
    rig_expect(rig, 1, 50);
    assert_int_equal(handles_open(&rig->store->handles), 3);
}

static void a_view_may_read_what_was_dropped_before_it_looked(void **state)
{
    struct rig *rig = *state;
    struct store_view *view;

    make_sealed(rig);
    view = store_view_new(rig->store);
    rig->conf.disk_max = 1;
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 1);
    assert_false(rig_file_exists(rig, 1, false));
    handles_close_idle(&rig->store->handles, 0);
    rig_expect_in(view, 1, 50);
    store_view_free(&view);
    assert_int_equal(kv_env_count(), 1);
    rig_expect(rig, 41, 50);
}

static void an_opening_that_fails_is_told_and_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct kv_env *env = NULL;
    uint64_t n = 0;

    make_sealed(rig);
    do {
        kv_fault_at(++n);
        if (partition_env(rig_partition(rig, 0), &env, &rig->why) != MG_OK) {
            assert_null(env);
            assert_int_equal(handles_open(&rig->store->handles), 0);
            assert_int_equal(kv_env_count(), 1);
        }
        kv_fault_at(0);
    } while (!env);
    assert_true(n > 5);
    kv_env_unref(&env);
    assert_int_equal(handles_open(&rig->store->handles), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_look_opens_what_it_needs), T(idle_ones_are_closed), T(a_reader_keeps_what_is_closed), T(the_one_unused_for_longest_makes_room),
        T(a_view_may_read_what_was_dropped_before_it_looked), T(an_opening_that_fails_is_told_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
