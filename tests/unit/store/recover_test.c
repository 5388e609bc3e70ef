/* What a start finds: after an orderly stop, after a crash, and when files are damaged. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"

static uint64_t damaged(struct rig *rig)
{
    struct store_stats stats;

    store_stat(rig->store, &stats);
    return stats.damaged;
}

static void what_was_not_committed_is_not_there(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_put(rig, 7, 5);
    rig_turn(rig);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->c, 1);
    rig_expect(rig, 1, 10);
    rig->spans = 10; /* the journal brings them again */
    rig->position = 1;
    rig_commit(rig, 7);
    rig_expect(rig, 1, 17);
}

/* A process that dies at once, its thread running and its environments open. What it flushed must be there; what it put
 * after that may be, but only whole. */
static void a_killed_process_leaves_what_it_committed(void **state)
{
    struct rig *rig = *state;
    int status;

    rig_abandon(rig);
    for (unsigned round = 0; round < 3; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            rig_open(rig);
            rig->spans = round * 20;
            rig->position = round * 2;
            rig_move_wall(round * rig->conf.roll_ns);
            rig_put(rig, 10, 5);
            rig_start(rig);
            store_flush(rig->store);
            rig_put(rig, 10, 5);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        rig_open(rig);
        uint64_t n = rig_count(rig, (round + 1) * 20);
        assert_true(n % 10 == 0 && n >= (round + 1) * 10);
        assert_int_equal(store_recovered(rig->store)->stored, n);
        assert_true(store_recovered(rig->store)->c > round * 2);
        assert_int_equal(rig_partitions(rig), round + 1);
        for (size_t i = 0; i + 1 < rig_partitions(rig); i++)
            assert_true(rig_partition(rig, i)->is_sealed && !rig_file_exists(rig, rig_partition(rig, i)->number, true));
        rig_abandon(rig);
    }
    rig_open(rig);
}

static void a_partition_left_unsealed_is_sealed(void **state)
{
    struct rig *rig = *state;
    struct buf value;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_roll(rig, 10);
    rig_reopen(rig);
    for (size_t i = 0; i < 2; i++) {
        assert_true(rig_partition(rig, i)->is_sealed);
        assert_true(rig_value(rig, i, TABLE_META, STR("sealed"), &value));
        buf_fini(&value);
    }
    assert_false(rig_partition(rig, 2)->is_sealed);
    rig_expect(rig, 1, 30);
    rig_commit(rig, 5);
    assert_int_equal(rig_partitions(rig), 3);
}

static void a_crash_in_the_middle_of_a_roll(void **state)
{
    struct rig *rig = *state;
    struct partition *fresh;

    store_snapshot(rig->store, 9, 8, 7, STR("s"));
    rig_commit(rig, 10);
    rig_abandon(rig);
    /* The new file is there, without a state; the old one is sealed already, or not. */
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        assert_int_equal(partition_create(&fresh, rig->store_dir, 7, &rig->why), MG_OK);
        partition_unref(&fresh);
        if (is_sealed)
            rig_change(rig, 1, TABLE_META, STR("sealed"), STR(""));
        rig_open(rig);
        assert_int_equal(rig_partitions(rig), 1 + is_sealed);
        assert_false(rig_file_exists(rig, 7, false));
        assert_false(rig_file_exists(rig, 7, true));
        assert_int_equal(store_recovered(rig->store)->p, 9);
        assert_int_equal(damaged(rig), 0);
        rig_expect(rig, 1, 10);
        rig_abandon(rig);
    }
    rig_open(rig);
    rig_commit(rig, 5);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->commit, 2);
    rig_expect(rig, 1, 15);
}

static void empty_files_do_not_gather(void **state)
{
    struct rig *rig = *state;
    static const off_t sizes[] = { 0, 1, 8191, 8192, 65536 };
    struct partition_numbers numbers;
    char path[128];

    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        rig_abandon(rig);
        rig_path(rig, 900, path);
        int fd = open(path, O_CREAT | O_WRONLY, 0600); /* created, and the power went */
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        close(fd);
        rig_open(rig);
        numbers = (struct partition_numbers){ { 0 } };
        assert_int_equal(partition_list(rig->store_dir, &numbers, &rig->why), MG_OK);
        assert_int_equal(numbers.list.n, 1);
        VEC_FINI(&numbers.list);
    }
}

static void damaged_files_are_set_aside_and_the_rest_serves(void **state)
{
    struct rig *rig = *state;
    char path[128];

    for (int i = 0; i < 3; i++)
        i ? rig_roll(rig, 10) : rig_commit(rig, 10);
    rig_abandon(rig);
    /* The oldest: rubbish. */
    rig_path(rig, 1, path);
    int fd = open(path, O_WRONLY);
    char rubbish[8192];
    memset(rubbish, 'x', sizeof rubbish);
    assert_int_equal(write(fd, rubbish, sizeof rubbish), sizeof rubbish);
    close(fd);
    rig_open(rig);
    assert_int_equal(damaged(rig), 1);
    rig_expect(rig, 11, 30);
    assert_true(rig_file_exists(rig, 1, false));
    rig_commit(rig, 10);
    rig_expect(rig, 11, 40);
    rig_abandon(rig);
    /* The newest: its state. */
    rig_change(rig, 3, TABLE_META, STR("state"), STR("\x01"));
    rig_open(rig);
    assert_int_equal(damaged(rig), 2);
    assert_int_equal(store_recovered(rig->store)->commit, 2);
    rig_expect(rig, 11, 20);
    assert_int_equal(rig_partition(rig, rig_partitions(rig) - 1)->number, 4); /* its number is not used again */
    assert_true(rig_file_exists(rig, 3, false));
}

/* Tables are made in one transaction: a file with some of them is another version's, and nobody's to remove. */
static void a_file_with_other_tables_ends_the_start(void **state)
{
    static const char *const tables[] = { "blk", "meta" };
    struct rig *rig = *state;
    struct kv_env *env;
    struct kv_txn *txn;
    char path[128];

    rig_abandon(rig);
    rig_path(rig, 3, path);
    const struct kv_options options = { .path = path, .map_bytes = 1 << 20, .tables = tables, .n_tables = 2, .create = true };
    assert_int_equal(kv_env_open(&env, &options, NULL), MG_OK);
    assert_int_equal(kv_begin(&txn, env, true, NULL), MG_OK);
    assert_int_equal(kv_put(txn, 1, STR("format"), STR("\x01\x00\x00\x00"), NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    kv_env_unref(&env);
    assert_int_equal(rig_try_open(rig), MG_E_UNSUPPORTED);
    assert_non_null(strstr(rig->why.text, "000003.mdb"));
    assert_true(rig_file_exists(rig, 3, false));
    rig_anew(rig);
}

/* What a first commit wrote before it found the disk full. */
/* As any damaged file; nothing waits until somebody writes to it. */
static void a_pipe_in_the_place_of_a_partition_is_set_aside(void **state)
{
    struct rig *rig = *state;
    char path[128];

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_abandon(rig);
    rig_path(rig, 1, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    rig_open(rig);
    assert_int_equal(damaged(rig), 1);
    rig_expect(rig, 11, 20);
    rig_commit(rig, 10);
    rig_expect(rig, 11, 30);
    assert_true(rig_file_exists(rig, 1, false));
}

static void pages_that_were_never_committed_go(void **state)
{
    struct rig *rig = *state;
    struct partition *fresh;
    char path[128], page[4096];
    int fd;

    rig_commit(rig, 10);
    rig_abandon(rig);
    assert_int_equal(partition_create(&fresh, rig->store_dir, 5, &rig->why), MG_OK);
    partition_unref(&fresh);
    rig_path(rig, 5, path);
    memset(page, 'x', sizeof page);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    for (int i = 0; i < 100; i++)
        assert_int_equal(write(fd, page, sizeof page), sizeof page);
    assert_int_equal(close(fd), 0);
    rig_open(rig);
    assert_int_equal(damaged(rig), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    rig_expect(rig, 1, 10);
}

/* A file that had commits and lost its state is not removed. */
static void a_large_file_without_a_state_is_kept(void **state)
{
    struct rig *rig = *state;
    struct partition *fresh;
    struct buf large;
    char path[128];

    rig_abandon(rig);
    assert_int_equal(partition_create(&fresh, rig->store_dir, 5, &rig->why), MG_OK);
    partition_unref(&fresh);
    buf_init(&large, 1 << 20);
    for (int i = 0; i < 200000; i++)
        buf_put_char(&large, 'x');
    rig_change(rig, 5, TABLE_BLK, STR("\x00\x00\x00\x01"), buf_str(&large));
    buf_fini(&large);
    rig_open(rig);
    assert_int_equal(damaged(rig), 1);
    rig_path(rig, 5, path);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_later_version_ends_the_start(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_abandon(rig);
    rig_change(rig, 1, TABLE_META, STR("format"), STR("\x02\x00\x00\x00"));
    assert_int_equal(rig_try_open(rig), MG_E_UNSUPPORTED);
    assert_non_null(strstr(rig->why.text, "format 2"));
    assert_int_equal(kv_env_count(), 0);
    rig_change(rig, 1, TABLE_META, STR("format"), STR("\x01\x00\x00\x00"));
    rig_open(rig);
    rig_expect(rig, 1, 10);
}

static void a_partition_that_comes_back_is_served_and_not_written(void **state)
{
    struct rig *rig = *state;
    char path[128], away[128];

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_commit(rig, 10); /* number 2, commit 3 */
    rig_abandon(rig);
    rig_path(rig, 2, path);
    rig_path(rig, 2, away);
    away[strlen(away) - 1] = 'x';
    assert_int_equal(rename(path, away), 0);
    rig_open(rig);
    assert_int_equal(store_recovered(rig->store)->commit, 1);
    rig->spans = 30;
    rig_move_wall(rig->conf.roll_ns);
    rig_commit(rig, 10); /* commit 2, in a partition of its own */
    uint32_t number = rig_partition(rig, rig_partitions(rig) - 1)->number;
    rig_abandon(rig);
    assert_int_equal(number, 2);
    char third[128];
    rig_path(rig, 3, third);
    rig_path(rig, 2, path);
    assert_int_equal(rename(path, third), 0);
    assert_int_equal(rename(away, path), 0);
    rig_open(rig); /* 2 holds commit 3, 3 holds commit 2 */
    assert_int_equal(store_recovered(rig->store)->commit, 3);
    rig_expect(rig, 1, 40);
    assert_int_equal(rig_partitions(rig), 4);
    for (size_t i = 0; i < 3; i++)
        assert_true(rig_partition(rig, i)->is_sealed);
    rig_commit(rig, 5);
    rig_reopen(rig);
    assert_int_equal(store_recovered(rig->store)->commit, 4);
    rig_expect(rig, 1, 45);
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
    struct rig *rig = *state;
    char good[sizeof rig->store_dir];

    rig_abandon(rig);
    memcpy(good, rig->store_dir, sizeof good);
    (void)snprintf(rig->store_dir, sizeof rig->store_dir, "/nowhere/at/all");
    assert_int_equal(rig_try_open(rig), MG_E_IO);
    assert_non_null(strstr(rig->why.text, "/nowhere/at/all"));
    memcpy(rig->store_dir, good, sizeof good);
    rig_open(rig);
}

/* One error of the moment anywhere in the start: it fails with a reason, or everything is there. */
static void an_error_at_the_start_loses_nothing(void **state)
{
    struct rig *rig = *state;
    bool is_over = false;

    rig_commit(rig, 10);
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    rig_roll(rig, 10);
    rig_abandon(rig);
    for (uint64_t n = 1; !is_over; n++) {
        kv_fault_at(n);
        enum mg_err err = rig_try_open(rig);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        if (err != MG_OK) {
            assert_true(err == MG_E_IO || err == MG_E_FORMAT);
            assert_true(rig->why.text[0]);
            assert_int_equal(kv_env_count(), 0);
            continue;
        }
        assert_int_equal(damaged(rig), 0);
        assert_int_equal(store_recovered(rig->store)->commit, 4);
        rig_expect(rig, 1, 40);
        rig_abandon(rig);
        assert_int_equal(kv_env_count(), 0);
    }
    rig_open(rig);
    rig_expect(rig, 1, 40);
}

/* A new partition is needed, and one call fails; is_full: for want of room. Whether it was opened without a partition to write to. */
static bool opens_without(struct rig *rig, bool is_full)
{
    bool is_over = false;

    rig_disk.free_bytes = UINT64_C(1048576) - is_full;
    for (uint64_t n = 1; !is_over; n++) {
        kv_fault_at(n);
        enum mg_err err = rig_try_open(rig);
        is_over = kv_fault_calls() < n;
        kv_fault_at(0);
        if (err != MG_OK)
            continue;
        rig_expect(rig, 1, 10);
        if (rig_partitions(rig) == 1)
            return true;
        rig_abandon(rig);
    }
    return false;
}

static void without_room_for_a_new_partition_what_is_there_is_served(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_abandon(rig);
    rig_change(rig, 1, TABLE_META, STR("sealed"), STR(""));
    assert_false(opens_without(rig, false));
    assert_true(opens_without(rig, true));
    rig_turn(rig);
    rig_retain(rig);
    assert_int_equal(rig_partitions(rig), 1);
    rig->spans = 10;
    rig->position = 1;
    rig_put(rig, 5, 5);
    rig_turn(rig);
    for (int fails = 1; fails >= 0; fails--) { /* the first commit begins with it, as soon as it can */
        kv_fault_at(fails);
        rig_move_mono(60 * RIG_SECOND);
        rig_turn(rig);
        kv_fault_at(0);
        assert_int_equal(rig_partitions(rig), 2 - fails);
    }
    rig_expect(rig, 1, 15);
    rig_reopen(rig);
    assert_int_equal(rig_partitions(rig), 2);
    rig_expect(rig, 1, 15);
    rig_commit(rig, 5);
    rig_expect(rig, 1, 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(what_was_not_committed_is_not_there), T(a_killed_process_leaves_what_it_committed), T(a_partition_left_unsealed_is_sealed),
        T(a_crash_in_the_middle_of_a_roll), T(empty_files_do_not_gather), T(damaged_files_are_set_aside_and_the_rest_serves),
        T(a_pipe_in_the_place_of_a_partition_is_set_aside), T(pages_that_were_never_committed_go), T(a_large_file_without_a_state_is_kept), T(a_file_with_other_tables_ends_the_start),
        T(a_later_version_ends_the_start),
        T(a_partition_that_comes_back_is_served_and_not_written), T(a_directory_that_cannot_be_made_is_told),
        T(an_error_at_the_start_loses_nothing), T(without_room_for_a_new_partition_what_is_there_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
