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
    assert_int_equal(verdict_bytes(table), 64 << 10);
    verdict_put(table, hash_of(2 * n), 1);
    assert_int_equal(verdict_find(table, hash_of(0)), 0);
    assert_int_equal(verdict_find(table, hash_of(n - 1)), 0);
    assert_int_equal(verdict_find(table, hash_of(n)), 1);
    assert_int_equal(verdict_find(table, hash_of(2 * n)), 1);
    assert_true(verdict_bytes(table) <= 64 << 10);
    verdict_table_free(&table);
}

static void test_begins_small(void **state)
{
    struct verdict_table *table = verdict_table_new((size_t)1 << 30);

    (void)state;
    assert_int_equal(verdict_bytes(table), 0);
    verdict_put(table, 1, 1);
    assert_true(verdict_bytes(table) <= 4096);
    verdict_table_free(&table);
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
    assert_true(verdict_bytes(table) <= 64 << 10);
    verdict_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_put_and_nothing_else),
        cmocka_unit_test(test_the_last_verdict_wins),
        cmocka_unit_test(test_old_ones_go_whole_generations_at_a_time),
        cmocka_unit_test(test_begins_small),
        cmocka_unit_test(test_what_is_read_back_never_replaces_nor_pushes_out),
        cmocka_unit_test(test_a_new_limit_takes_effect_when_it_fills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
