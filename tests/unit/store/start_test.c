/* A start with a week of partitions. With MGTEST_BENCH=1 they have thousands of blocks each and the time is told; without, it is
 * a small week whose start must not open what it does not need. */
#include "unit/store/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/tagged.h"

enum { WEEK = 168, SERVICES = 20, OPERATIONS = 25 };

/* A summary as a block of a busy system has it. */
static void make_summary(struct buf *out, uint64_t start_ns)
{
    struct catalog *catalog = catalog_new();
    struct buf names;
    char service[32], operation[32];

    for (unsigned s = 0; s < SERVICES; s++)
        for (unsigned o = 0; o < OPERATIONS; o++) {
            (void)snprintf(service, sizeof service, "service-%u", s);
            (void)snprintf(operation, sizeof operation, "GET /api/v%u/things", o);
            catalog_add(catalog, str_of(service), str_of(operation), SPAN_SERVER);
        }
    buf_init(&names, 1 << 20);
    catalog_write(catalog, &names);
    catalog_free(&catalog);
    const uint64_t numbers[] = { 20000, 2000, start_ns, start_ns + 10 * RIG_SECOND, 1, RIG_SECOND, 0, 600000, start_ns };
    buf_clear(out);
    for (size_t i = 0; i < MG_COUNT(numbers); i++)
        tagged_put_u64(out, (uint32_t)i + 1, numbers[i]);
    tagged_put(out, 10, buf_str(&names));
    buf_fini(&names);
}

static void put_block(struct kv_txn *txn, uint32_t number, const struct buf *summary)
{
    uint8_t key[4], run[64 * 4];
    uint32_t fingerprint = number * 2654435761u;
    void *room;

    for (unsigned i = 0; i < 64; i++)
        put_le32(run + i * 4, (fingerprint >> 7) + i * 67108864u / 2);
    partition_key(number, key);
    assert_int_equal(kv_append(txn, TABLE_BLK, str_n(key, 4), 64, &room, NULL), MG_OK);
    memset(room, 0, 64); /* nobody looks into a block here */
    assert_int_equal(kv_put(txn, TABLE_SUM, str_n(key, 4), buf_str(summary), NULL), MG_OK);
    assert_int_equal(kv_put(txn, TABLE_RUN, str_n(key, 4), str_n(run, sizeof run), NULL), MG_OK);
}

static void make_partition(struct rig *rig, uint32_t number, unsigned n_blocks)
{
    struct store_state state = { .commit = number, .wall_ns = RIG_WALL, .snapshot = STR("") };
    struct partition *partition;
    struct kv_txn *txn;
    struct buf summary, bytes;

    buf_init(&summary, 1 << 20);
    buf_init(&bytes, 4096);
    assert_int_equal(partition_create(&partition, rig->store_dir, number, &rig->why), MG_OK);
    assert_int_equal(kv_begin(&txn, partition->env, true, NULL), MG_OK);
    make_summary(&summary, RIG_WALL + number * 3600 * RIG_SECOND);
    for (unsigned i = 1; i <= n_blocks; i++) {
        put_block(txn, i, &summary);
        partition_note_block(partition, i, buf_str(&summary));
    }
    assert_int_equal(state_write(&bytes, &state, RIG_WALL, STR("")), MG_OK);
    assert_int_equal(kv_put(txn, TABLE_META, STR("state"), buf_str(&bytes), NULL), MG_OK);
    assert_int_equal(kv_commit(&txn, NULL), MG_OK);
    if (number < WEEK)
        assert_int_equal(sealed_write(partition, &rig->why), MG_OK);
    partition_unref(&partition);
    buf_fini(&summary);
    buf_fini(&bytes);
}

static void time_look_up(struct rig *rig, const char *what)
{
    uint8_t id[16] = { 0 };
    uint32_t at[512];
    uint64_t begin = clock_mono_ns();
    struct store_view *view = store_view_new(rig->store);
    uint64_t made = clock_mono_ns();

    for (unsigned i = 0; i < 10; i++) {
        put_be64(id + 8, i);
        (void)store_view_find(view, id, at, MG_COUNT(at));
        if (i == 0)
            printf("%s: view %.2f ms, first look-up %.2f ms", what, (double)(made - begin) / 1e6, (double)(clock_mono_ns() - made) / 1e6);
    }
    printf(", ten %.2f ms\n", (double)(clock_mono_ns() - made) / 1e6);
    store_view_free(&view);
}

static void a_week_is_ready_soon(void **state)
{
    struct rig *rig = *state;
    bool is_bench = getenv("MGTEST_BENCH") != NULL;
    unsigned n_blocks = is_bench ? 2000 : 3;
    struct store_stats stats;

    rig_abandon(rig);
    for (uint32_t number = 1; number <= WEEK; number++)
        make_partition(rig, number, number < WEEK ? n_blocks : 3);
    for (int round = 0; round < 3; round++) {
        uint64_t begin = clock_mono_ns();
        rig_open(rig);
        uint64_t ready = clock_mono_ns();
        store_stat(rig->store, &stats);
        assert_int_equal(stats.partitions, WEEK);
        assert_int_equal(stats.blocks, (uint64_t)(WEEK - 1) * n_blocks + 3);
        assert_int_equal(handles_open(&rig->store->handles), 0);
        assert_int_equal(kv_env_count(), 1);
        if (is_bench) {
            printf("start with %u partitions of %u blocks: %.1f ms\n", WEEK, n_blocks, (double)(ready - begin) / 1e6);
            time_look_up(rig, "handles closed");
            time_look_up(rig, "handles open");
            assert_true(ready - begin < RIG_SECOND);
        }
        rig_abandon(rig);
    }
    rig_open(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(a_week_is_ready_soon, rig_setup, rig_teardown) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
