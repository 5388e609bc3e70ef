/* One partition file: its name, its state, what is accepted when it is opened. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "store/tagged.h"

static const struct store_state full = { .commit = 7, .c = 100, .p = 90, .watermark = 91, .log_ns = UINT64_MAX, .wall_ns = 5,
                                         .stored = 1000, .duplicate = 3, .snapshot = STR_INIT("counters") };

/* --- state ------------------------------------------------------------------------------------------ */

static void a_state_reads_back(void **state)
{
    struct store_state got;
    struct buf bytes, other;
    uint64_t first_wall = 0;

    (void)state;
    buf_init(&bytes, 4096);
    buf_init(&other, 4096);
    assert_int_equal(state_write(&bytes, &full, 42, STR("")), MG_OK);
    assert_int_equal(state_read(buf_str(&bytes), &got, &first_wall, &other), MG_OK);
    assert_int_equal(first_wall, 42);
    assert_int_equal(other.len, 0);
    assert_true(str_eq(got.snapshot, full.snapshot));
    got.snapshot = full.snapshot;
    assert_memory_equal(&got, &full, sizeof full);
    buf_fini(&bytes);
    buf_fini(&other);
}

static void unknown_entries_are_carried(void **state)
{
    struct store_state got;
    struct buf bytes, other, again;
    uint64_t first_wall;
    struct str value;

    (void)state;
    buf_init(&bytes, 4096);
    buf_init(&other, 4096);
    buf_init(&again, 4096);
    tagged_put(&bytes, 77, STR("from a later version"));
    tagged_put_u64(&bytes, 1, 5);
    tagged_put(&bytes, 0, STR(""));
    assert_int_equal(state_read(buf_str(&bytes), &got, &first_wall, &other), MG_OK);
    assert_int_equal(got.commit, 5);
    assert_int_equal(state_write(&again, &got, 1, buf_str(&other)), MG_OK);
    assert_true(tagged_find(buf_str(&again), 77, &value));
    assert_true(str_eq(value, STR("from a later version")));
    assert_true(tagged_find(buf_str(&again), 0, &value));
    buf_fini(&bytes);
    buf_fini(&other);
    buf_fini(&again);
}

static void malformed_states_are_refused(void **state)
{
    static const struct { const char *name; struct str bytes; enum mg_err want; } cases[] = {
        { "empty", STR_INIT(""), MG_OK },
        { "a number", STR_INIT("\x01\x01\x05"), MG_OK },
        { "a number with more behind it", STR_INIT("\x01\x02\x05\x05"), MG_E_FORMAT },
        { "a number cut", STR_INIT("\x01\x01\x85"), MG_E_FORMAT },
        { "a number without bytes", STR_INIT("\x01\x00"), MG_E_FORMAT },
        { "a length beyond the end", STR_INIT("\x01\x02\x05"), MG_E_FORMAT },
        { "a tag alone", STR_INIT("\x01"), MG_E_FORMAT },
        { "counts", STR_INIT("\x08\x02\x05\x06"), MG_OK },
        { "one count", STR_INIT("\x08\x01\x05"), MG_E_FORMAT },
        { "three counts", STR_INIT("\x08\x03\x05\x06\x07"), MG_E_FORMAT },
        { "counts cut", STR_INIT("\x08\x02\x05\x86"), MG_E_FORMAT },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct store_state got;
        uint64_t first_wall;
        if (state_read(cases[i].bytes, &got, &first_wall, NULL) != cases[i].want)
            fail_msg("%s", cases[i].name);
    }
}

static void every_cut_of_a_state_is_refused_or_shorter(void **state)
{
    struct store_state got = { .c = 1 };
    struct buf bytes;
    uint64_t first_wall = 9;

    (void)state;
    buf_init(&bytes, 4096);
    assert_int_equal(state_write(&bytes, &full, 42, STR("")), MG_OK);
    for (size_t len = 0; len < bytes.len; len++) {
        enum mg_err err = state_read(str_n(bytes.ptr, len), &got, &first_wall, NULL);
        assert_true(err == MG_OK || err == MG_E_FORMAT);
        if (err == MG_OK)
            assert_int_equal(first_wall, 0); /* the last entry is not there */
    }
    buf_fini(&bytes);
}

static void a_state_that_does_not_fit_is_no_state(void **state)
{
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 4096);
    assert_int_equal(state_write(&bytes, &full, 42, STR("")), MG_OK);
    size_t len = bytes.len;
    buf_fini(&bytes);
    for (int less = -1; less <= 1; less++) {
        buf_init(&bytes, len - (size_t)less);
        assert_int_equal(state_write(&bytes, &full, 42, STR("")), less > 0 ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&bytes);
    }
}

/* --- files ------------------------------------------------------------------------------------------ */

static void touch(const struct rig *rig, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", rig->dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void only_partition_names_are_listed(void **state)
{
    static const char *const names[] = { "000012.mdb", "000002.mdb", "1000000.mdb", "000002.mdb-lock", "2.mdb", "0000003.mdb", "000000.mdb",
                                         "00000x.mdb", ".mdb", "4294967295.mdb", "4294967294.mdb", "99999999999.mdb", "000004.mdb.bak", "+00005.mdb" };
    static const uint32_t want[] = { 2, 12, 1000000, UINT32_MAX - 1 };
    struct rig *rig = *state;
    struct partition_numbers numbers = { { 0 } };
    struct mg_why why;

    for (size_t i = 0; i < MG_COUNT(names); i++)
        touch(rig, names[i]);
    assert_int_equal(partition_list(rig->dir, &numbers, &why), MG_OK);
    assert_int_equal(numbers.list.n, MG_COUNT(want));
    assert_memory_equal(numbers.list.at, want, sizeof want);
    VEC_FINI(&numbers.list);
    assert_int_equal(partition_list("/nowhere/at/all", &numbers, &why), MG_E_IO);
}

static void a_new_file_holds_a_version_and_no_state(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct mg_why why;
    struct kv_txn *txn;
    struct stat file;
    char path[128];

    assert_int_equal(partition_create(&partition, rig->store_dir, 9, &why), MG_OK);
    rig_path(rig, 9, path);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    assert_int_equal(kv_begin(&txn, partition->env, false, &why), MG_OK);
    assert_int_equal(partition_check_version(partition, txn, &why), MG_OK);
    kv_abort(&txn);
    partition_unref(&partition);
    assert_int_equal(partition_open(&partition, rig->store_dir, 9, true, NULL, &why), MG_E_ABSENT);
    assert_int_equal(partition_open(&partition, rig->store_dir, 10, true, NULL, &why), MG_E_ABSENT);
}

static void a_created_file_replaces_what_was_left(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct mg_why why;
    char path[128];

    rig_path(rig, 9, path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(write(fd, "rubbish", 7), 7);
    close(fd);
    assert_int_equal(partition_open(&partition, rig->store_dir, 9, true, NULL, &why), MG_E_FORMAT);
    assert_int_equal(partition_create(&partition, rig->store_dir, 9, &why), MG_OK);
    partition_unref(&partition);
}

static void a_file_is_read_with_all_it_says(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct carried carried;
    struct mg_why why;

    store_snapshot(rig->store, 1, 1, 1, STR("numbers"));
    rig_commit(rig, 30);
    rig_commit(rig, 12);
    rig_abandon(rig);
    carried_init(&carried);
    assert_int_equal(partition_open(&partition, rig->store_dir, 1, true, &carried, &why), MG_OK);
    assert_int_equal(partition->spans, 42);
    assert_int_equal(partition->traces, 9);
    assert_int_equal(partition->blocks.n, 2);
    assert_int_equal(partition->last_block, 2);
    assert_int_equal(partition->state.commit, 2);
    assert_int_equal(partition->state.stored, 42);
    assert_int_equal(partition->first_wall_ns, RIG_WALL);
    assert_false(partition->says_sealed);
    assert_true(str_eq(buf_str(&carried.snapshot), STR("numbers")));
    assert_int_equal(partition->state.snapshot.len, 0);
    partition_unref(&partition);
    carried_fini(&carried);
    rig_open(rig);
}

static void bad_summaries(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct mg_why why;
    uint8_t key[4];

    for (int i = 0; i < 3; i++)
        rig_commit(rig, 10);
    rig_abandon(rig);
    /* One that cannot be read is left out, and the next block does not take its number. */
    partition_key(3, key);
    rig_change(rig, 1, TABLE_SUM, str_n(key, 4), STR("\x01"));
    assert_int_equal(partition_open(&partition, rig->store_dir, 1, true, NULL, &why), MG_OK);
    assert_int_equal(partition->blocks.n, 2);
    assert_int_equal(partition->spans, 20);
    assert_int_equal(partition->last_block, 3);
    partition_unref(&partition);
    rig_open(rig);
    rig->spans = 20;
    rig_commit(rig, 5);
    rig_expect(rig, 1, 25);
    rig_abandon(rig);
    partition_key(6, key);
    rig_change(rig, 1, TABLE_SUM, str_n(key, 4), STR("\x01"));
    assert_int_equal(partition_open(&partition, rig->store_dir, 1, true, NULL, &why), MG_E_FORMAT); /* a gap */
    rig_open(rig);
}

static void a_key_of_a_wrong_size_is_damage(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct mg_why why;

    rig_commit(rig, 10);
    rig_abandon(rig);
    rig_change(rig, 1, TABLE_SUM, STR("\x00\x00\x00\x01\x00"), STR("x"));
    assert_int_equal(partition_open(&partition, rig->store_dir, 1, true, NULL, &why), MG_E_FORMAT);
    rig_open(rig);
}

static void bad_meta(void **state)
{
    static const struct { const char *key; struct str value; enum mg_err want; } cases[] = {
        { "format", STR_INIT("\x02\x00\x00\x00"), MG_E_UNSUPPORTED },
        { "format", STR_INIT("\x01\x00\x00"), MG_E_FORMAT },
        { "format", STR_INIT("\x01\x00\x00\x00\x00"), MG_E_FORMAT },
        { "format", STR_INIT("\x01\x00\x00\x00"), MG_OK },
        { "state", STR_INIT("\x01"), MG_E_FORMAT },
        { "state", STR_INIT("\x01\x01\x01"), MG_OK },
        { "something new", STR_INIT("x"), MG_OK },
        { "sealed", STR_INIT(""), MG_OK },
    };
    struct rig *rig = *state;
    struct mg_why why;

    rig_commit(rig, 10);
    rig_abandon(rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct partition *partition = NULL;
        rig_change(rig, 1, TABLE_META, str_of(cases[i].key), cases[i].value);
        if (partition_open(&partition, rig->store_dir, 1, true, NULL, &why) != cases[i].want)
            fail_msg("case %zu", i);
        if (partition)
            assert_int_equal(partition->says_sealed, i + 1 == MG_COUNT(cases));
        partition_unref(&partition);
    }
    rig_open(rig);
}

static void a_value_that_cannot_be_read_is_not_taken_for_an_absent_one(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct mg_why why;
    enum mg_err err = MG_E_IO;
    unsigned failures = 0;

    for (int i = 0; i < 3; i++)
        rig_commit(rig, 10);
    rig_abandon(rig);
    for (uint64_t n = 1; err != MG_OK; n++) {
        kv_fault_at(n);
        err = partition_open(&partition, rig->store_dir, 1, true, NULL, &why);
        kv_fault_at(0);
        failures += err != MG_OK;
        assert_int_not_equal(err, MG_E_ABSENT);
        assert_int_equal(kv_env_count(), err == MG_OK ? 1 : 0);
    }
    assert_int_equal(partition->spans, 30);
    assert_true(failures >= 10);
    partition_unref(&partition);
    rig_open(rig);
}

static void an_unlinked_file_stays_readable(void **state)
{
    struct rig *rig = *state;
    struct partition *partition;
    struct mg_why why;
    struct kv_txn *txn;
    struct str value;

    rig_commit(rig, 10);
    partition = partition_ref(rig_partition(rig, 0));
    partition_unlink(partition);
    assert_false(rig_file_exists(rig, 1, false));
    assert_false(rig_file_exists(rig, 1, true));
    assert_int_equal(kv_begin(&txn, partition->env, false, &why), MG_OK);
    assert_true(kv_get(txn, TABLE_META, STR("state"), &value));
    kv_abort(&txn);
    partition_unref(&partition);
    partition_unref(&partition); /* NULL by now */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_reads_back),
        cmocka_unit_test(unknown_entries_are_carried),
        cmocka_unit_test(malformed_states_are_refused),
        cmocka_unit_test(every_cut_of_a_state_is_refused_or_shorter),
        cmocka_unit_test(a_state_that_does_not_fit_is_no_state),
        T(only_partition_names_are_listed), T(a_new_file_holds_a_version_and_no_state), T(a_created_file_replaces_what_was_left),
        T(a_file_is_read_with_all_it_says), T(bad_summaries), T(a_key_of_a_wrong_size_is_damage), T(bad_meta),
        T(a_value_that_cannot_be_read_is_not_taken_for_an_absent_one), T(an_unlinked_file_stays_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
