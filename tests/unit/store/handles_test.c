/* Sealed partitions are open while they are needed and not much longer. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kv/verify.h"

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
    RIG_SET(rig, disk_max, 1);
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

/* --- verified once ---------------------------------------------------------------------------------- */

enum { PAGE = 4096, FLAGS_AT = 10 };

/* Makes one page in use say that it is of another kind, which nothing but kv_verify looks at before it is read; its size and,
 * unless told otherwise, its time stay. */
static void damage_a_page(const char *path, bool keeps_time)
{
    int fd = open(path, O_RDWR);
    struct stat before;
    uint8_t byte, wrong;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &before), 0);
    for (off_t page = 2;; page++) {
        assert_int_equal(pread(fd, &byte, 1, page * PAGE + FLAGS_AT), 1);
        wrong = byte ^ 0x40;
        assert_int_equal(pwrite(fd, &wrong, 1, page * PAGE + FLAGS_AT), 1);
        if (kv_verify(path, NULL) == MG_E_FORMAT)
            break;
        assert_int_equal(pwrite(fd, &byte, 1, page * PAGE + FLAGS_AT), 1); /* not in use, or the middle of a value */
    }
    struct timespec times[2] = { before.st_atim, before.st_mtim };
    times[1].tv_sec += !keeps_time;
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static enum mg_err open_again(struct rig *rig, size_t i)
{
    struct kv_env *env = NULL;

    handles_close_idle(&rig->store->handles, 0);
    enum mg_err err = partition_env(rig_partition(rig, i), &env, &rig->why);
    kv_env_unref(&env);
    return err;
}

static void a_file_that_did_not_change_is_verified_once(void **state)
{
    struct rig *rig = *state;
    char path[128];

    make_sealed(rig); /* the start has verified all of them */
    for (size_t i = 0; i < 2; i++) {
        rig_path(rig, rig_partition(rig, i)->number, path);
        damage_a_page(path, i == 0);
    }
    assert_int_equal(open_again(rig, 0), MG_OK);
    assert_int_equal(open_again(rig, 0), MG_OK);
    for (int round = 0; round < 2; round++)
        assert_int_equal(open_again(rig, 1), MG_E_FORMAT);
    assert_int_equal(open_again(rig, 2), MG_OK);
    assert_int_equal(handles_open(&rig->store->handles), 1);
}

static void a_file_sealed_by_this_process_is_verified_too(void **state)
{
    struct rig *rig = *state;
    char path[128];

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_retain(rig); /* seals the first and closes it */
    rig_path(rig, rig_partition(rig, 0)->number, path);
    handles_close_idle(&rig->store->handles, 0);
    damage_a_page(path, true);
    for (int round = 0; round < 2; round++)
        assert_int_equal(open_again(rig, 0), MG_E_FORMAT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(a_look_opens_what_it_needs), T(idle_ones_are_closed), T(a_reader_keeps_what_is_closed), T(the_one_unused_for_longest_makes_room),
        T(a_view_may_read_what_was_dropped_before_it_looked), T(an_opening_that_fails_is_told_and_leaves_nothing),
        T(a_file_that_did_not_change_is_verified_once), T(a_file_sealed_by_this_process_is_verified_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
