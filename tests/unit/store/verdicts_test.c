/* The newest decisions at a start: which, in which order, and how many. MGTEST_BENCH=1 tells how long a million takes. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"

struct told { VEC(uint64_t) hashes; VEC(int) policies; };

static void on_verdict(void *owner, uint64_t hash, uint64_t word)
{
    struct told *told = owner;
    struct outcome outcome;

    assert_true(outcome_unpack(word, &outcome));
    VEC_PUSH(&told->hashes, hash);
    VEC_PUSH(&told->policies, outcome.verdict == VERDICT_KEPT ? outcome.policy : -(int)outcome.policy);
}

static void ask(struct rig *rig, size_t max, struct told *told)
{
    VEC_CLEAR(&told->hashes);
    VEC_CLEAR(&told->policies);
    store_recent_verdicts(rig->store, max, on_verdict, told);
    assert_true(told->hashes.n <= max);
}

static void told_fini(struct told *told)
{
    VEC_FINI(&told->hashes);
    VEC_FINI(&told->policies);
}

/* What the first one told of a trace says; 0: nothing. */
static int first_of(const struct told *told, uint64_t trace)
{
    uint8_t id[16];

    rig_trace_id(trace, id);
    for (size_t i = 0; i < told->hashes.n; i++)
        if (told->hashes.at[i] == trace_hash(id))
            return told->policies.at[i];
    return 0;
}

static void move(void)
{
    rig_move(2 * RIG_SECOND);
}

static void an_empty_store_has_none(void **state)
{
    struct rig *rig = *state;
    struct told told = { .policies = { 0 } };

    ask(rig, 100, &told);
    assert_int_equal(told.hashes.n, 0);
    rig_commit(rig, 10); /* sampling is off */
    rig_reopen(rig);
    ask(rig, 100, &told);
    assert_int_equal(told.hashes.n, 0);
    told_fini(&told);
}

static void the_newest_come_first(void **state)
{
    static const int kinds[] = { 1, -2, 3, -4, -5, 6, 7, -8 }; /* trace 1 is kept, 2 dropped, … each in a commit of its own */
    struct rig *rig = *state;
    struct told told = { .policies = { 0 } };

    for (uint64_t i = 1; i <= MG_COUNT(kinds); i++, move())
        kinds[i - 1] > 0 ? rig_keep(rig, i, (unsigned)kinds[i - 1]) : rig_drop(rig, i, (unsigned)-kinds[i - 1]);
    rig_reopen(rig);
    for (size_t max = 0; max <= MG_COUNT(kinds) + 1; max++) {
        ask(rig, max, &told);
        assert_int_equal(told.hashes.n, MG_MIN(max, MG_COUNT(kinds)));
        for (size_t i = 0; i < told.hashes.n; i++)
            assert_int_equal(told.policies.at[i], kinds[MG_COUNT(kinds) - 1 - i]);
    }
    told_fini(&told);
}

/* One trace that was decided again and again; open, sealed, and over several partitions. */
static void of_one_trace_the_newest_is_first(void **state)
{
    struct rig *rig = *state;
    struct told told = { .policies = { 0 } };

    for (unsigned i = 1; i <= 5; i++, move()) {
        rig_drop(rig, 1, i);
        rig_drop(rig, 100 + i, i);
    }
    for (int is_sealed = 0; is_sealed < 2; is_sealed++) {
        rig_reopen(rig);
        ask(rig, 100, &told);
        assert_int_equal(told.hashes.n, 10 + is_sealed);
        assert_int_equal(first_of(&told, 1), -5);
        assert_int_equal(first_of(&told, 103), -3);
        if (!is_sealed) {
            rig_move_wall(rig->conf.roll_ns);
            rig_drop(rig, 200, 9);
            rig_retain(rig);
            assert_true(rig_partition(rig, 0)->decisions.is_merged);
        }
    }
    move();
    rig_keep(rig, 1, 8);
    rig_reopen(rig);
    ask(rig, 100, &told);
    assert_int_equal(first_of(&told, 1), 8);
    assert_int_equal(first_of(&told, 200), -9);
    told_fini(&told);
}

/* Of a merged run, which is in the order of hashes, those of the newest seconds. */
static void a_sealed_partition_gives_its_newest(void **state)
{
    struct rig *rig = *state;
    struct told told = { .policies = { 0 } };

    for (unsigned i = 1; i <= 10; i++, move()) {
        struct rig_decided decided[20];
        for (unsigned k = 0; k < 20; k++)
            decided[k] = (struct rig_decided){ .trace = i * 100 + k, .outcome = rig_dropped(i) };
        rig_put_decided(rig, decided, 20);
        store_hurry(rig->store);
        rig_turn(rig);
    }
    rig_keep(rig, 7, 77);
    rig_move_wall(rig->conf.roll_ns);
    rig_drop(rig, 9, 99);
    rig_retain(rig);
    rig_reopen(rig);
    assert_true(rig_partition(rig, 0)->decisions.is_merged);
    ask(rig, 62, &told);
    assert_int_equal(told.hashes.n, 62);
    assert_int_equal(told.policies.at[0], -99);
    assert_int_equal(told.policies.at[1], 77);
    for (size_t i = 2; i < 62; i++)
        assert_in_range(-told.policies.at[i], 8, 10);
    ask(rig, 12, &told); /* not even one second fits */
    assert_int_equal(told.hashes.n, 12);
    for (size_t i = 2; i < 12; i++)
        assert_int_equal(told.policies.at[i], -10);
    ask(rig, 10000, &told);
    assert_int_equal(told.hashes.n, 202);
    told_fini(&told);
}

static bool count_outcome(void *owner, const uint8_t trace_id[16], uint64_t outcome)
{
    *(uint64_t *)owner += trace_id[15] && outcome;
    return true;
}

static void only_two_segments_are_unpacked(void **state)
{
    struct rig *rig = *state;
    struct rig_decided decided[50];
    struct block_reader *reader;
    struct buf value;
    uint64_t n = 0;
    uint8_t key[4];

    for (unsigned k = 0; k < 50; k++)
        decided[k] = (struct rig_decided){ .trace = k + 1, .outcome = rig_kept(1 + k % 3), .is_kept = true };
    rig_put_decided(rig, decided, 50);
    store_hurry(rig->store);
    rig_turn(rig);
    partition_key(1, key);
    assert_true(rig_value(rig, 0, TABLE_BLK, str_n(key, 4), &value));
    assert_int_equal(block_open(&reader, buf_str(&value), &rig->why), MG_OK);
    assert_int_equal(block_outcomes(reader, count_outcome, &n, &rig->why), MG_OK);
    assert_int_equal(n, 50);
    assert_in_range(block_memory(reader), 1, 50 * (16 + 8));
    block_close(&reader);
    buf_fini(&value);
}

static void flip_outcome(struct buf *value)
{
    value->ptr[40] ^= 1; /* of the directory */
}

static void what_is_damaged_is_left_out(void **state)
{
    struct rig *rig = *state;
    struct told told = { .policies = { 0 } };
    char path[128];
    uint8_t byte;

    rig_keep(rig, 1, 1);
    move();
    rig_keep(rig, 2, 2);
    for (unsigned i = 3; i <= 5; i++, move())
        rig_drop(rig, i, i);
    rig_abandon(rig);
    rig_change_block(rig, 1, TABLE_BLK, 1, flip_outcome);
    rig_why_path(rig, 1, path);
    int fd = open(path, O_RDWR);
    off_t at = (off_t)decision_run_bytes(1) + DECISION_HEAD_BYTES + 8; /* the word of the second */
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 2;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    rig_open(rig);
    ask(rig, 100, &told);
    assert_int_equal(told.hashes.n, 3);
    assert_int_equal(first_of(&told, 1), 0);
    assert_int_equal(first_of(&told, 2), 2);
    assert_int_equal(first_of(&told, 3), -3);
    assert_int_equal(first_of(&told, 4), 0);
    assert_int_equal(first_of(&told, 5), -5);
    told_fini(&told);
}

static void count(void *owner, uint64_t hash, uint64_t word)
{
    *(uint64_t *)owner += hash ^ word;
}

static void bench(void **state)
{
    enum { BATCH = 20000, BATCHES = 55 };
    struct rig *rig = *state;
    struct rig_decided *decided = mem_zero(BATCH, sizeof *decided);
    uint64_t sum = 0;

    RIG_SET(rig, block_rows, 20000);
    for (unsigned i = 0; i < BATCHES; i++, rig_move(RIG_SECOND)) {
        for (unsigned k = 0; k < BATCH; k++)
            decided[k] = (struct rig_decided){ .trace = (uint64_t)i * BATCH + k, .outcome = k % 10 ? rig_dropped(1) : rig_kept(1), .is_kept = k % 10 == 0 };
        rig_put_decided(rig, decided, BATCH);
        store_hurry(rig->store);
        rig_turn(rig);
        rows_forget(&rig->rows);
    }
    for (int round = 0; round < 4; round++) {
        rig_reopen(rig);
        uint64_t begin = clock_mono_ns();
        store_recent_verdicts(rig->store, 1000000, count, &sum);
        printf("a million verdicts %s: %.1f ms\n", round < 2 ? "of an open partition" : "of a sealed one", (double)(clock_mono_ns() - begin) / 1e6);
        if (round == 1) {
            rig_move_wall(rig->conf.roll_ns);
            rig_drop(rig, 1, 1);
            rig_retain(rig);
        }
    }
    assert_int_not_equal(sum, 0);
    mem_free(decided);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(an_empty_store_has_none), T(the_newest_come_first), T(of_one_trace_the_newest_is_first), T(a_sealed_partition_gives_its_newest),
        T(only_two_segments_are_unpacked), T(what_is_damaged_is_left_out),
    };
    const struct CMUnitTest benches[] = { T(bench) };

    if (getenv("MGTEST_BENCH"))
        return cmocka_run_group_tests(benches, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
