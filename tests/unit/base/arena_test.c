#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/arena.h"

static void allocations_are_aligned_and_apart(void **state)
{
    struct arena arena = { 0 };
    char *at[500];
    (void)state;
    for (size_t i = 0; i < MG_COUNT(at); i++) {
        at[i] = arena_alloc(&arena, i);
        assert_int_equal((uintptr_t)at[i] % 16, 0);
        memset(at[i], (int)(i & 0xff), i);
    }
    for (size_t i = 1; i < MG_COUNT(at); i++) {
        assert_int_equal((uint8_t)at[i][0], i & 0xff);
        assert_int_equal((uint8_t)at[i][i - 1], i & 0xff);
    }
    assert_ptr_not_equal(at[0], at[1]);
    arena_fini(&arena);
    arena_fini(&arena);
}

static void large_ones_leave_the_current_chunk_in_use(void **state)
{
    struct arena arena;
    static const size_t sizes[] = { 16383, 16384, 16385, 65519, 65520, 65536, 65537, 1000000 };
    (void)state;
    arena_init(&arena);
    char *before = arena_alloc(&arena, 16);
    for (size_t i = 0; i < MG_COUNT(sizes); i++)
        memset(arena_alloc(&arena, sizes[i]), 1, sizes[i]);
    arena_reset(&arena);
    memset(arena_alloc(&arena, 1000000), 1, 1000000); /* the first one of an emptied arena */
    (void)before;
    arena_fini(&arena);
    memset(arena_alloc(&arena, 1000000), 1, 1000000);
    memset(arena_alloc(&arena, 10), 1, 10);
    char *small = arena_alloc(&arena, 16), *large = arena_alloc(&arena, 100000);
    assert_non_null(large);
    assert_ptr_equal(arena_alloc(&arena, 16), small + 16);
    arena_fini(&arena);
}

static void reset_keeps_one_small_chunk(void **state)
{
    struct arena arena = { 0 };
    (void)state;
    arena_reset(&arena);
    assert_int_equal(arena.bytes, 0);
    for (int i = 0; i < 300; i++)
        arena_alloc(&arena, 1000);
    assert_int_equal(arena.bytes, 300 * 1008);
    arena_reset(&arena);
    assert_int_equal(arena.bytes, 0);
    assert_non_null(arena.chunks);
    assert_true(arena.end - arena.at <= 65536);
    char *first = arena_alloc(&arena, 1);
    arena_reset(&arena);
    assert_ptr_equal(arena_alloc(&arena, 1), first);
    arena_fini(&arena);

    arena_alloc(&arena, 1000000);
    arena_reset(&arena);
    assert_null(arena.chunks);
    arena_fini(&arena);
}

static void zeroed_after_use(void **state)
{
    struct arena arena = { 0 };
    static const char zeros[100];
    (void)state;
    memset(arena_alloc(&arena, 100), 0xff, 100);
    arena_reset(&arena);
    assert_memory_equal(arena_zero(&arena, 100), zeros, 100);
    arena_fini(&arena);
}

static void texts(void **state)
{
    struct arena arena = { 0 };
    char source[] = "abc";
    (void)state;
    struct str copy = arena_str(&arena, str_n(source, 2));
    source[0] = 'x';
    assert_int_equal(copy.len, 2);
    assert_string_equal(copy.ptr, "ab");
    assert_string_equal(arena_str(&arena, (struct str){ 0 }).ptr, "");
    struct str printed = arena_printf(&arena, "%s=%05d", "n", 42);
    assert_string_equal(printed.ptr, "n=00042");
    assert_int_equal(printed.len, 7);
    assert_int_equal(arena_printf(&arena, "%s", "").len, 0);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(large_ones_leave_the_current_chunk_in_use),
        cmocka_unit_test(reset_keeps_one_small_chunk),
        cmocka_unit_test(zeroed_after_use),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
