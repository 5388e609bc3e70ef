/* Generations of sampling rules: a number is on disk before it is given, and is never given for another text. */
#include "unit/store/store_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "store/tools.h"

static uint32_t put(struct rig *rig, const char *text)
{
    uint32_t generation = 0;

    if (store_rules_put(rig->store, str_of(text), &generation, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    return generation;
}

/* NULL: it is not known. */
static void expect(struct rig *rig, uint32_t generation, const char *text)
{
    struct buf got;

    buf_init(&got, 2 << 20);
    assert_int_equal(store_rules_get(rig->store, generation, &got), text != NULL);
    if (text && !str_eq(buf_str(&got), str_of(text)))
        fail_msg("generation %u: %.*s", generation, STR_ARG(buf_str(&got)));
    buf_fini(&got);
}

static uint64_t commits(struct rig *rig)
{
    return metric_get(rig->store->metrics, STORE_commits, 0, 0);
}

static void another_text_is_another_generation(void **state)
{
    struct rig *rig = *state;

    expect(rig, 0, NULL);
    expect(rig, 1, NULL);
    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(put(rig, "b"), 2);
    assert_int_equal(put(rig, "a"), 3); /* only the newest is compared: decisions in between named the other */
    expect(rig, 1, "a");
    expect(rig, 2, "b");
    expect(rig, 3, "a");
    expect(rig, 4, NULL);
    expect(rig, UINT32_MAX, NULL);
}

static void the_same_text_costs_nothing(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put(rig, "a"), 1);
    uint64_t before = commits(rig);
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(commits(rig), before);
    rig_reopen(rig);
    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(commits(rig), 0);
    assert_int_equal(rig->commits_told, 0); /* before the start nobody is ready to be told */
}

/* The numbers are in the journal before the store has its first decision. */
static void a_number_survives_a_crash_before_the_first_commit(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put(rig, "a"), 1);
    rig_reopen(rig);
    expect(rig, 1, "a");
    assert_int_equal(put(rig, "b"), 2);
    rig_reopen(rig);
    expect(rig, 1, "a");
    expect(rig, 2, "b");
    const struct store_state *recovered = store_recovered(rig->store);
    assert_int_equal(recovered->c + recovered->p + recovered->watermark + recovered->stored, 0);
    assert_int_equal(rig_partitions(rig), 1);
    rig_commit(rig, 10);
    rig_expect(rig, 1, 10);
}

static void rules_survive_rolls_and_restarts(void **state)
{
    struct rig *rig = *state;
    char text[16];

    store_snapshot(rig->store, 9, 8, 7, STR("counters"));
    for (uint32_t i = 1; i <= 6; i++) {
        (void)snprintf(text, sizeof text, "rules %u", i);
        if (i % 3 == 0) /* the new partition's first transaction is the rules' own */
            rig_move_wall(rig->conf.roll_ns);
        assert_int_equal(put(rig, text), i);
        i % 2 ? rig_commit(rig, 10) : rig_roll(rig, 10);
        if (i % 3 == 1)
            rig_reopen(rig);
        rig_retain(rig);
        for (uint32_t k = 1; k <= i; k++) {
            (void)snprintf(text, sizeof text, "rules %u", k);
            expect(rig, k, text);
        }
    }
    assert_true(rig_partitions(rig) >= 5);
    rig_expect(rig, 1, 60);
    /* All but the open partition go: it carries them on. */
    RIG_SET(rig, disk_max, 1);
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 1);
    rig_reopen(rig);
    for (uint32_t k = 1; k <= 6; k++) {
        (void)snprintf(text, sizeof text, "rules %u", k);
        expect(rig, k, text);
    }
    assert_int_equal(put(rig, "rules 6"), 6);
    assert_int_equal(put(rig, "rules 7"), 7);
    assert_true(str_eq(store_recovered(rig->store)->snapshot, STR("counters")));
}

/* 5 texts of a MiB: a new partition takes over the newest four, the old one still has the first. */
static void at_most_four_mebibytes_are_carried_on(void **state)
{
    struct rig *rig = *state;
    size_t len = 1 << 20;
    char *text = mem_zero(len + 2, 1);
    uint32_t generation;
    struct buf value;
    uint8_t key[4];

    memset(text, 'x', len + 1);
    assert_int_equal(store_rules_put(rig->store, str_n(text, len + 1), &generation, &rig->why), MG_E_TOO_BIG);
    assert_non_null(strstr(rig->why.text, "1048577"));
    assert_int_equal(store_rules_put(rig->store, STR(""), &generation, &rig->why), MG_E_FORMAT);
    text[len] = 0;
    for (uint32_t i = 1; i <= 5; i++) {
        text[0] = (char)('0' + i);
        assert_int_equal(put(rig, text), i);
    }
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    for (uint32_t i = 1; i <= 5; i++) {
        partition_key(i, key);
        assert_int_equal(rig_value(rig, 1, TABLE_GEN, str_n(key, 4), &value), i > 1);
        buf_fini(&value);
        text[0] = (char)('0' + i);
        expect(rig, i, text);
    }
    RIG_SET(rig, disk_max, 1);
    store_retain(rig->store);
    expect(rig, 1, NULL);
    expect(rig, 2, memset(text, '2', 1));
    assert_int_equal(put(rig, "small"), 6);
    rig_reopen(rig);
    assert_int_equal(put(rig, "other"), 7);
    mem_free(text);
}

static void a_put_that_fails_gives_no_number_twice(void **state)
{
    struct rig *rig = *state;
    uint32_t generation, tried = 0;
    enum mg_err err;
    uint64_t n = 2; /* a look at the newest text, which may fail: then it counts as another one */

    assert_int_equal(put(rig, "a"), 1);
    rig_start(rig);
    store_flush(rig->store);
    do {
        generation = 0;
        kv_fault_at(++n);
        err = store_rules_put(rig->store, STR("b"), &generation, &rig->why);
        kv_fault_at(0);
        tried++;
        if (err != MG_OK)
            assert_true(generation == 0 && rig->why.text[0]);
        expect(rig, 1, "a");
    } while (err != MG_OK);
    assert_true(n > 5 && generation > 2 && generation <= 1 + tried); /* those in between were not given, and are not now */
    expect(rig, generation, "b");
    for (uint32_t i = 2; i < generation; i++)
        expect(rig, i, NULL);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    rig_reopen(rig);
    expect(rig, generation, "b");
    assert_int_equal(put(rig, "c"), generation + 1);
}

/* A put at the start that finds the disk full. */
static uint32_t put_and_wait(struct rig *rig, const char *text)
{
    uint32_t generation;

    kv_fault_at(3); /* after a look at the newest text: the commit */
    generation = put(rig, text);
    kv_fault_at(0);
    assert_true(store_rules_wait(rig->store));
    expect(rig, generation, text);
    return generation;
}

static void rules_of_a_start_wait_for_a_commit(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put(rig, "a"), 1);
    assert_false(store_rules_wait(rig->store));
    assert_int_equal(put_and_wait(rig, "b"), 2);
    assert_int_equal(put(rig, "b"), 2); /* a reload that changes nothing */
    rig_turn(rig); /* within the back-off */
    assert_true(store_rules_wait(rig->store));
    rig_move_mono(RIG_SECOND);
    kv_fault_at(1);
    rig_turn(rig);
    kv_fault_at(0);
    assert_true(store_rules_wait(rig->store));
    rig_move_mono(2 * RIG_SECOND);
    rig_turn(rig); /* there is nothing else to commit */
    assert_false(store_rules_wait(rig->store));
    assert_int_equal(rig->commits_told, 1);
    rig_reopen(rig);
    expect(rig, 1, "a");
    expect(rig, 2, "b");
    assert_int_equal(put(rig, "b"), 2);
    assert_int_equal(put(rig, "c"), 3);
}

/* With one failure anywhere in the commit that has both, both are there or neither is. */
static void what_waiting_rules_decided_is_stored_with_them(void **state)
{
    struct rig *rig = *state;
    bool is_stored = false;
    uint64_t n = 0;

    while (!is_stored) {
        rig_abandon(rig);
        rig_anew(rig);
        assert_int_equal(put(rig, "a"), 1);
        rig_commit(rig, 5);
        assert_int_equal(put_and_wait(rig, "b"), 2);
        rig_move(rig->conf.roll_ns); /* its partition carries the first on */
        rig_put(rig, 10, 5);
        kv_fault_at(++n);
        rig_turn(rig);
        kv_fault_at(0);
        is_stored = rig->n_done == 2;
        assert_int_equal(store_rules_wait(rig->store), !is_stored);
        rig_reopen(rig);
        expect(rig, 1, "a");
        expect(rig, 2, is_stored ? "b" : NULL);
        rig_expect(rig, 1, is_stored ? 15 : 5);
    }
    assert_true(n > 10);
}

/* No log has its number: another text may have it. */
static void a_crash_forgets_rules_that_waited(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(put_and_wait(rig, "b"), 2);
    rig_reopen(rig);
    assert_false(store_rules_wait(rig->store));
    expect(rig, 1, "a");
    expect(rig, 2, NULL);
    assert_int_equal(put(rig, "c"), 2);
}

static void newer_rules_are_refused_or_stored_with_those_that_wait(void **state)
{
    struct rig *rig = *state;
    uint32_t generation = 77;

    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(put_and_wait(rig, "b"), 2);
    kv_fault_at(1);
    assert_int_equal(store_rules_put(rig->store, STR("c"), &generation, &rig->why), MG_E_IO);
    kv_fault_at(0);
    assert_int_equal(generation, 77);
    assert_true(store_rules_wait(rig->store));
    expect(rig, 2, "b");
    assert_int_equal(put(rig, "a"), 4); /* the newest is the one that waits */
    assert_false(store_rules_wait(rig->store));
    rig_reopen(rig);
    expect(rig, 2, "b");
    expect(rig, 3, NULL);
    expect(rig, 4, "a");
}

static void the_thread_stores_what_waits(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put_and_wait(rig, "a"), 1);
    rig_move_mono(RIG_SECOND);
    rig_start(rig);
    rig_put(rig, 10, 5);
    store_flush(rig->store);
    assert_false(store_rules_wait(rig->store));
    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(put(rig, "b"), 2);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    rig_reopen(rig);
    expect(rig, 1, "a");
    expect(rig, 2, "b");
    rig_expect(rig, 1, 10);
}

/* The roll's copying with one failure anywhere: the next attempt has them all. */
static void a_roll_that_fails_loses_no_rules(void **state)
{
    struct rig *rig = *state;
    uint64_t n = 0;

    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(put(rig, "b"), 2);
    rig_commit(rig, 10);
    rig_move_wall(rig->conf.roll_ns);
    rig_put(rig, 100, 5);
    do {
        kv_fault_at(++n);
        rig_turn(rig);
        kv_fault_at(0);
        rig_move_mono(30 * RIG_SECOND);
        expect(rig, 1, "a");
        expect(rig, 2, "b");
    } while (rig->n_done < 2);
    assert_int_equal(rig_partitions(rig), 2);
    RIG_SET(rig, disk_max, 1);
    store_retain(rig->store);
    assert_int_equal(rig_partitions(rig), 1);
    expect(rig, 1, "a");
    expect(rig, 2, "b");
}

static void the_block_thread_is_waited_for(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put(rig, "a"), 1);
    rig_start(rig);
    assert_int_equal(put(rig, "a"), 1);
    for (uint32_t i = 2; i < 10; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "rules %u", i);
        rig_put(rig, 10, 5);
        assert_int_equal(put(rig, text), i);
        expect(rig, i, text);
    }
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    assert_int_equal(put(rig, "after the end"), 10);
    rig_reopen(rig);
    expect(rig, 9, "rules 9");
    expect(rig, 10, "after the end");
    rig_expect(rig, 1, 80);
}

static void an_order_that_fails_is_told(void **state)
{
    struct rig *rig = *state;
    uint32_t generation = 77;

    rig_start(rig);
    store_flush(rig->store);
    kv_fault_at(1);
    assert_int_equal(store_rules_put(rig->store, STR("a"), &generation, &rig->why), MG_E_IO);
    kv_fault_at(0);
    assert_int_equal(generation, 77);
    assert_true(rig->why.text[0]);
    assert_true(put(rig, "a") >= 2);
}

/* Its number was not given, and is known all the same. */
static void rules_of_a_commit_that_failed_and_is_there_are_known(void **state)
{
    struct rig *rig = *state;
    uint32_t generation = 77;
    char text[] = "b"; /* not there any more when it is found */

    assert_int_equal(put(rig, "a"), 1);
    rig_start(rig);
    store_flush(rig->store);
    kv_fault_commit_at(1);
    assert_int_equal(store_rules_put(rig->store, str_of(text), &generation, &rig->why), MG_E_IO);
    kv_fault_commit_at(0);
    text[0] = '?';
    assert_int_equal(generation, 77);
    expect(rig, 2, NULL);
    assert_int_equal(store_stop(rig->store, &rig->why), MG_OK);
    rig_move_mono(60 * RIG_SECOND);
    rig_commit(rig, 5);
    expect(rig, 2, "b");
    assert_int_equal(put(rig, "b"), 2);
    assert_int_equal(put(rig, "c"), 3);
    rig_roll(rig, 5);
    rig_reopen(rig);
    expect(rig, 2, "b");
    expect(rig, 3, "c");
}

static void waiting_rules_of_a_commit_that_is_there_wait_no_longer(void **state)
{
    struct rig *rig = *state;
    char text[] = "b";

    assert_int_equal(put(rig, "a"), 1);
    kv_fault_commit_at(1);
    assert_int_equal(put(rig, text), 2);
    kv_fault_commit_at(0);
    text[0] = '?';
    assert_true(store_rules_wait(rig->store));
    expect(rig, 2, "b");
    rig_move_mono(RIG_SECOND);
    rig_turn(rig);
    assert_false(store_rules_wait(rig->store));
    rig_reopen(rig);
    expect(rig, 2, "b");
    assert_int_equal(put(rig, "c"), 3);
}

/* What the damaged one gave cannot be known. */
static void numbers_of_a_damaged_partition_are_left_alone(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(put(rig, "a"), 1);
    rig_commit(rig, 10);
    rig_roll(rig, 10);
    assert_int_equal(put(rig, "b"), 2);
    rig_abandon(rig);
    rig_change(rig, 2, TABLE_META, STR("state"), STR("\x01"));
    rig_open(rig);
    assert_int_equal(rig_partition(rig, rig_partitions(rig) - 1)->number, 3); /* 1 was not sealed, and does not go on */
    expect(rig, 1, "a");
    expect(rig, 2, NULL);
    rig_reopen(rig); /* a crash before anything was committed */
    uint32_t next = put(rig, "a");
    assert_true(next > 1000);
    rig_reopen(rig);
    assert_int_equal(put(rig, "a"), next);
    assert_int_equal(put(rig, "c"), next + 1);
    expect(rig, next - 1, NULL);
    expect(rig, 1, "a");
    rig_expect(rig, 1, 10);
}

static void a_gap_is_told_by_a_commit_without_rules(void **state)
{
    struct rig *rig = *state;

    rig_commit(rig, 10);
    rig_roll(rig, 10);
    assert_int_equal(put(rig, "b"), 1);
    rig_abandon(rig);
    rig_change(rig, 2, TABLE_META, STR("state"), STR("\x01"));
    rig_open(rig);
    rig->spans = 20;
    rig_commit(rig, 10); /* sampling is off in this run */
    rig_roll(rig, 10);
    rig_reopen(rig);
    assert_true(put(rig, "c") > 1000);
}

static void the_last_number_is_the_last(void **state)
{
    struct rig *rig = *state;
    uint32_t generation;

    rig->store->own.next_rules = (1u << 24) - 1;
    assert_int_equal(put(rig, "a"), (1u << 24) - 1);
    assert_int_equal(store_rules_put(rig->store, STR("b"), &generation, &rig->why), MG_E_TOO_BIG);
    rig_reopen(rig);
    assert_int_equal(put(rig, "a"), (1u << 24) - 1);
    assert_int_equal(store_rules_put(rig->store, STR("b"), &generation, &rig->why), MG_E_TOO_BIG);
}

static void copy_fixture(const struct rig *rig, const char *name)
{
    char from[512], to[512], bytes[65536];
    ssize_t n;

    (void)snprintf(from, sizeof from, "%s/store-v1/%s", MGTEST_FIXTURES, name);
    (void)snprintf(to, sizeof to, "%s/%s", rig->store_dir, name);
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

static void no_line(void *owner, struct str line)
{
    (void)owner;
    (void)line;
}

/* Files of a version that had no rules: the open one gets their table, the sealed one stays as it is. */
static void a_store_of_an_earlier_version_learns_rules(void **state)
{
    struct rig *rig = *state;

    rig_abandon(rig);
    copy_fixture(rig, "000001.mdb");
    copy_fixture(rig, "000002.mdb");
    copy_fixture(rig, "pins.mdb");
    rig_open(rig);
    assert_int_equal(rig_partitions(rig), 2);
    assert_true(rig_partition(rig, 0)->lacks_rules);
    assert_false(rig_partition(rig, 1)->lacks_rules);
    expect(rig, 1, NULL);
    assert_int_equal(put(rig, "a"), 1);
    assert_int_equal(rig_find(rig, 201), 2); /* one is the archive's */
    rig_drop(rig, 5000, 3);
    RIG_DECIDED(rig, 5000, -3);
    rig_reopen(rig);
    expect(rig, 1, "a");
    RIG_DECIDED(rig, 5000, -3);
    assert_int_equal(rig_find(rig, 201), 2);
    rig_abandon(rig);
    if (store_check_dir(rig->store_dir, no_line, NULL, &rig->why) != MG_OK)
        fail_msg("%s", rig->why.text);
    rig_open(rig);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        T(another_text_is_another_generation), T(the_same_text_costs_nothing), T(a_number_survives_a_crash_before_the_first_commit),
        T(rules_survive_rolls_and_restarts), T(at_most_four_mebibytes_are_carried_on), T(a_put_that_fails_gives_no_number_twice),
        T(rules_of_a_start_wait_for_a_commit), T(what_waiting_rules_decided_is_stored_with_them), T(a_crash_forgets_rules_that_waited),
        T(newer_rules_are_refused_or_stored_with_those_that_wait), T(the_thread_stores_what_waits),
        T(waiting_rules_of_a_commit_that_is_there_wait_no_longer),
        T(rules_of_a_commit_that_failed_and_is_there_are_known), T(a_roll_that_fails_loses_no_rules), T(the_block_thread_is_waited_for),
        T(an_order_that_fails_is_told),
        T(numbers_of_a_damaged_partition_are_left_alone), T(a_gap_is_told_by_a_commit_without_rules), T(the_last_number_is_the_last),
        T(a_store_of_an_earlier_version_learns_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
