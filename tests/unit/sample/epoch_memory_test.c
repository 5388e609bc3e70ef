/* Which epoch has which place, and what is remembered of its symbols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/random.h"
#include "sample/epoch_memory.h"

/* --- places --------------------------------------------------------------------------------------- */

static void an_epoch_keeps_its_place(void **state)
{
    struct epoch_memory memory = { 0 };
    size_t places[EPOCH_MEMORIES];
    bool is_new;

    (void)state;
    for (uint64_t i = 0; i < EPOCH_MEMORIES; i++) {
        places[i] = epoch_memory_find(&memory, i + 1, &is_new);
        assert_true(is_new);
        for (uint64_t k = 0; k < i; k++)
            assert_int_not_equal(places[k], places[i]);
    }
    for (uint64_t i = 0; i < EPOCH_MEMORIES; i++) {
        assert_int_equal(epoch_memory_find(&memory, i + 1, &is_new), places[i]);
        assert_false(is_new);
    }
}

static void the_least_recently_used_goes(void **state)
{
    struct epoch_memory memory = { 0 };
    size_t second = 0;
    bool is_new;

    (void)state;
    for (uint64_t serial = 1; serial <= EPOCH_MEMORIES; serial++) {
        size_t place = epoch_memory_find(&memory, serial, &is_new);
        second = serial == 2 ? place : second;
    }
    (void)epoch_memory_find(&memory, 1, &is_new);
    assert_false(is_new);
    assert_int_equal(epoch_memory_find(&memory, 1000, &is_new), second);
    assert_true(is_new);
    (void)epoch_memory_find(&memory, 1, &is_new);
    assert_false(is_new);
    (void)epoch_memory_find(&memory, 2, &is_new);
    assert_true(is_new);
}

static void a_real_epoch_is_found_by_its_serial(void **state)
{
    struct epoch *one = epoch_new(1), *other = epoch_new(1);
    struct epoch_memory memory = { 0 };
    bool is_new;

    (void)state;
    size_t place = epoch_memory_place(&memory, one, &is_new);
    assert_true(is_new);
    assert_int_equal(epoch_memory_place(&memory, one, &is_new), place);
    assert_false(is_new);
    assert_int_not_equal(epoch_memory_place(&memory, other, &is_new), place);
    assert_true(is_new);
    assert_int_equal(epoch_memory_place(&memory, one, &is_new), place);
    assert_false(is_new);
    epoch_unref(&one);
    epoch_unref(&other);
}

/* --- symbols -------------------------------------------------------------------------------------- */

static void a_table_remembers_and_grows(void **state)
{
    static const struct symbol_table_size sizes[] = { { 4, 2, 1 << 20 }, { 4, 64, 1 << 20 } };

    (void)state;
    for (size_t s = 0; s < MG_COUNT(sizes); s++) {
        struct symbol_table table = { 0 };
        struct random random;
        uint64_t keys[5000];
        random_init(&random, s);
        assert_null(symbol_table_find(&table, 1, 4));
        for (uint32_t i = 0; i < MG_COUNT(keys); i++) {
            keys[i] = i % 2 ? i : random_u64(&random) | 1u << 20; /* near ones and far ones; never 0 */
            assert_null(symbol_table_find(&table, keys[i], 4));
            *(uint32_t *)symbol_table_add(&table, keys[i], &sizes[s]) = i;
            assert_true(table.n * 2 <= table.room);
        }
        for (uint32_t i = 0; i < MG_COUNT(keys); i++)
            assert_int_equal(*(uint32_t *)symbol_table_find(&table, keys[i], 4), i);
        assert_null(symbol_table_find(&table, UINT64_MAX, 4));
        symbol_table_fini(&table);
        assert_null(symbol_table_find(&table, keys[0], 4));
        symbol_table_fini(&table);
    }
}

static void a_full_table_begins_anew(void **state)
{
    static const struct symbol_table_size size = { 16, 4, 16 };
    struct symbol_table table = { 0 };

    (void)state;
    for (uint64_t key = 1; key <= 1000; key++) {
        memset(symbol_table_add(&table, key, &size), (int)key, 16);
        assert_true(table.room <= 16 && table.n <= 8);
        assert_int_equal(*(uint8_t *)symbol_table_find(&table, key, 16), (uint8_t)key);
    }
    assert_null(symbol_table_find(&table, 1, 16));
    symbol_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_keeps_its_place),
        cmocka_unit_test(the_least_recently_used_goes),
        cmocka_unit_test(a_real_epoch_is_found_by_its_serial),
        cmocka_unit_test(a_table_remembers_and_grows),
        cmocka_unit_test(a_full_table_begins_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
