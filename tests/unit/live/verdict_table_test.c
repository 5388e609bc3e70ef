/* What late rows find: the last verdict put, until a whole generation of newer ones has pushed it out; never a wrong one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "live/verdict_table.h"

static uint64_t hash_of(uint64_t i)
{
    uint64_t x = i * 0x9e3779b97f4a7c15u + 1;

    x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 29);
}

static void test_finds_what_was_put_and_nothing_else(void **state)
{
    struct verdict_table *table = verdict_table_new(1 << 20);

    (void)state;
    assert_int_equal(verdict_find(table, 7), 0);
    for (uint64_t i = 0; i < 20000; i++)
        verdict_put(table, hash_of(i), i + 1);
    for (uint64_t i = 0; i < 20000; i++)
        assert_int_equal(verdict_find(table, hash_of(i)), i + 1);
    for (uint64_t i = 20000; i < 40000; i++)
        assert_int_equal(verdict_find(table, hash_of(i)), 0);
    verdict_table_free(&table);
    assert_null(table);
    verdict_table_free(&table);
}

static void test_the_last_verdict_wins(void **state)
{
    struct verdict_table *table = verdict_table_new(1 << 20);

    (void)state;
    verdict_put(table, 5, 1);
    verdict_put(table, 5, 2);
    assert_int_equal(verdict_find(table, 5), 2);
    assert_int_equal(verdict_count(table), 1);
    verdict_table_free(&table);
}

static void test_old_ones_go_whole_generations_at_a_time(void **state)
{
    struct verdict_table *table = verdict_table_new(64 << 10); /* 2,048 entries a generation, three quarters used */
    uint64_t n = 1536;

    (void)state;
    for (uint64_t i = 0; i < 2 * n; i++)
        verdict_put(table, hash_of(i), 1);
    assert_int_equal(verdict_count(table), 2 * n);
    verdict_put(table, hash_of(2 * n), 1);
    assert_int_equal(verdict_count(table), n + 1);
    assert_int_equal(verdict_find(table, hash_of(0)), 0);
    assert_int_equal(verdict_find(table, hash_of(n - 1)), 0);
    assert_int_equal(verdict_find(table, hash_of(n)), 1);
    assert_int_equal(verdict_find(table, hash_of(2 * n)), 1);
    verdict_table_free(&table);
}

/* Of many shards: 65,536 entries a generation. */
static void test_large_generations_go_whole_too(void **state)
{
    struct verdict_table *table = verdict_table_new(2 << 20);
    uint64_t n = 49152;

    (void)state;
    for (uint64_t i = 0; i < 5 * n; i++) {
        verdict_put(table, hash_of(i), i + 1);
        assert_int_equal(verdict_count(table), i < 2 * n ? i + 1 : n + i % n + 1);
    }
    for (uint64_t i = 0; i < 5 * n; i++)
        assert_int_equal(verdict_find(table, hash_of(i)), i < 3 * n ? 0 : i + 1);
    verdict_table_free(&table);
}

static void test_what_is_known_takes_no_room(void **state)
{
    struct verdict_table *table = verdict_table_new(64 << 10);

    (void)state;
    for (uint64_t i = 0; i < 2 * 1536; i++)
        verdict_put(table, hash_of(i), 1);
    for (uint64_t i = 1536; i < 2 * 1536; i++)
        verdict_put(table, hash_of(i), 2); /* the younger is full, and has them all */
    assert_int_equal(verdict_find(table, hash_of(0)), 1);
    assert_int_equal(verdict_find(table, hash_of(1536)), 2);
    verdict_table_free(&table);
}

/* Hashes that are alike where a table without a secret would look, and the worst that a peer can send to it. */
static void test_hashes_that_share_bits(void **state)
{
    static const struct { unsigned shift; uint64_t rest; } cases[] = { { 0, 0 }, { 12, 0 }, { 24, 0 }, { 44, 0 }, { 44, (UINT64_C(1) << 44) - 1 } };
    uint64_t n = 20000;

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct verdict_table *table = verdict_table_new(4 << 20);
        for (uint64_t i = 0; i < n; i++)
            verdict_put(table, i << cases[c].shift | cases[c].rest, i + 1);
        assert_int_equal(verdict_count(table), n); /* no shard was full before its time */
        for (uint64_t i = 0; i < n; i++)
            assert_int_equal(verdict_find(table, i << cases[c].shift | cases[c].rest), i + 1);
        verdict_table_free(&table);
    }
}

static void test_what_is_read_back_never_replaces_nor_pushes_out(void **state)
{
    struct verdict_table *table = verdict_table_new(64 << 10);
    uint64_t i = 0;

    (void)state;
    verdict_put(table, hash_of(0), 9);
    while (verdict_put_old(table, hash_of(i), 1))
        i++;
    assert_int_equal(i, 1537); /* the first was known already */
    assert_int_equal(verdict_find(table, hash_of(0)), 9);
    assert_int_equal(verdict_find(table, hash_of(1)), 1);
    for (uint64_t k = 0; k < 1500; k++)
        verdict_put(table, hash_of(100000 + k), 2);
    assert_int_equal(verdict_find(table, hash_of(1)), 1);
    verdict_table_free(&table);
}

static void test_a_new_limit_takes_effect_when_it_fills(void **state)
{
    struct verdict_table *table = verdict_table_new(64 << 10);

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        verdict_put(table, hash_of(i), 1);
    verdict_table_limit(table, 1 << 20);
    for (uint64_t i = 1000; i < 20000; i++)
        verdict_put(table, hash_of(i), 1);
    assert_int_equal(verdict_find(table, hash_of(0)), 1);
    verdict_table_limit(table, 0); /* the least */
    for (uint64_t i = 20000; i < 60000; i++)
        verdict_put(table, hash_of(i), 1);
    assert_int_equal(verdict_find(table, hash_of(59999)), 1);
    assert_true(verdict_count(table) <= 2 * 1536);
    verdict_table_free(&table);
}

static void test_a_lower_limit_makes_the_younger_full_at_once(void **state)
{
    struct verdict_table *table = verdict_table_new(2 << 20);

    (void)state;
    for (uint64_t i = 0; i < 40000; i++)
        verdict_put(table, hash_of(i), 1);
    verdict_table_limit(table, 64 << 10);
    assert_int_equal(verdict_find(table, hash_of(0)), 1); /* nothing goes before something comes */
    for (uint64_t i = 40000; i < 40000 + 1536; i++)
        verdict_put(table, hash_of(i), 1);
    assert_int_equal(verdict_count(table), 40000 + 1536);
    verdict_put(table, hash_of(50000), 1);
    assert_int_equal(verdict_count(table), 1536 + 1);
    assert_int_equal(verdict_find(table, hash_of(0)), 0);
    assert_int_equal(verdict_find(table, hash_of(40000)), 1);
    for (uint64_t i = 60000; i < 60000 + 6 * 1536; i++) /* while the large one is still going */
        verdict_put(table, hash_of(i), 1);
    assert_int_equal(verdict_find(table, hash_of(60000 + 6 * 1536 - 1)), 1);
    verdict_table_limit(table, 2 << 20);
    verdict_table_free(&table); /* with some of it left */
}

static void test_an_empty_one_is_freed(void **state)
{
    struct verdict_table *table = verdict_table_new((size_t)1 << 40); /* of which nothing is taken yet */

    (void)state;
    assert_int_equal(verdict_count(table), 0);
    assert_int_equal(verdict_find(table, 0), 0);
    verdict_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put_and_nothing_else),
        cmocka_unit_test(test_the_last_verdict_wins),
        cmocka_unit_test(test_old_ones_go_whole_generations_at_a_time),
        cmocka_unit_test(test_large_generations_go_whole_too),
        cmocka_unit_test(test_what_is_known_takes_no_room),
        cmocka_unit_test(test_hashes_that_share_bits),
        cmocka_unit_test(test_what_is_read_back_never_replaces_nor_pushes_out),
        cmocka_unit_test(test_a_new_limit_takes_effect_when_it_fills),
        cmocka_unit_test(test_a_lower_limit_makes_the_younger_full_at_once),
        cmocka_unit_test(test_an_empty_one_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
