#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/vec.h"

struct pair { int a; double b; };

static void push_and_pop(void **state)
{
    VEC(int) numbers = { 0 };
    (void)state;
    for (int i = 0; i < 1000; i++)
        VEC_PUSH(&numbers, i);
    assert_int_equal(numbers.n, 1000);
    assert_true(numbers.room >= 1000 && numbers.room < 2000);
    for (int i = 999; i >= 0; i--)
        assert_int_equal(VEC_POP(&numbers), i);
    assert_int_equal(numbers.n, 0);
    VEC_FINI(&numbers);
    assert_null(numbers.at);
    VEC_FINI(&numbers);
}

static void added_items_are_zeroed(void **state)
{
    VEC(struct pair) pairs = { 0 };
    (void)state;
    VEC_PUSH(&pairs, ((struct pair){ 1, 2 }));
    VEC_CLEAR(&pairs);
    struct pair *pair = VEC_ADD(&pairs);
    assert_int_equal(pair->a, 0);
    assert_true(pair->b == 0);
    assert_int_equal(pairs.n, 1);
    VEC_FINI(&pairs);
}

static void remove_keeps_the_order(void **state)
{
    static const struct { size_t at; const char *left; } cases[] = {
        { 0, "bcd" }, { 1, "acd" }, { 3, "abc" },
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        VEC(char) letters = { 0 };
        for (char c = 'a'; c <= 'd'; c++)
            VEC_PUSH(&letters, c);
        VEC_REMOVE(&letters, cases[i].at);
        assert_int_equal(letters.n, 3);
        assert_memory_equal(letters.at, cases[i].left, 3);
        VEC_FINI(&letters);
    }
}

static void reserve_is_exact_when_large(void **state)
{
    VEC(char) bytes = { 0 };
    (void)state;
    VEC_RESERVE(&bytes, 1);
    assert_int_equal(bytes.room, 8);
    VEC_RESERVE(&bytes, 8);
    assert_int_equal(bytes.room, 8);
    VEC_RESERVE(&bytes, 1000);
    assert_int_equal(bytes.room, 1000);
    assert_int_equal(bytes.n, 0);
    VEC_FINI(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_and_pop),
        cmocka_unit_test(added_items_are_zeroed),
        cmocka_unit_test(remove_keeps_the_order),
        cmocka_unit_test(reserve_is_exact_when_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
