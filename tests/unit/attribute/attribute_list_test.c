#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "attribute/attribute_list.h"

static struct attr int_attr(const char *key, int64_t i)
{
    return (struct attr){ str_of(key), { .type = VALUE_INT, .i = i } };
}

static const struct rule_key a = { STR_INIT("a"), 1 }, b = { STR_INIT("b"), 2 };

static struct attribute_rules *rules_for_a(void)
{
    static struct attribute_rules rules;

    rules.wanted[key_mark(a.name)] = a.bit;
    return &rules;
}

static void borrows_until_changed(void **state)
{
    struct attr attrs[] = { int_attr("a", 1), int_attr("b", 2), int_attr("a", 3) };
    struct attr_list list = { 0 };

    (void)state;
    attr_list_borrow(&list, rules_for_a(), attrs, 3);
    assert_ptr_equal(list.at, attrs);
    assert_false(list.is_changed);
    assert_int_equal(list.bits & a.bit, a.bit);
    assert_ptr_equal(attr_list_find(&list, &a), &attrs[2]); /* the last one */
    attr_list_change(&list)[0].value.i = 9;
    assert_true(list.is_changed);
    assert_ptr_equal(list.at, list.own.at);
    assert_int_equal(list.at[0].value.i, 9);
    assert_int_equal(attrs[0].value.i, 1);
    attr_list_change(&list)[1].value.i = 8;
    assert_int_equal(list.at[0].value.i, 9);
    attr_list_borrow(&list, rules_for_a(), attrs, 1); /* the next span */
    assert_ptr_equal(list.at, attrs);
    assert_false(list.is_changed);
    attr_list_fini(&list);
}

static void appends_and_removes(void **state)
{
    struct attr attrs[] = { int_attr("a", 1), int_attr("c", 2), int_attr("a", 3) };
    struct attr_list list = { 0 };
    struct value seven = { .type = VALUE_INT, .i = 7 };

    (void)state;
    attr_list_borrow(&list, rules_for_a(), attrs, 3);
    attr_list_remove(&list, &b);
    assert_false(list.is_changed);
    assert_null(attr_list_find(&list, &b));
    attr_list_append(&list, &b, &seven);
    assert_int_equal(list.n, 4);
    assert_int_equal(attr_list_find(&list, &b)->value.i, 7);
    attr_list_remove(&list, &a);
    assert_int_equal(list.n, 2);
    assert_true(str_eq(list.at[0].key, STR("c")) && str_eq(list.at[1].key, STR("b")));
    assert_null(attr_list_find(&list, &a));
    attr_list_remove(&list, &b);
    assert_int_equal(list.n, 1);
    attr_list_borrow(&list, rules_for_a(), NULL, 0);
    attr_list_append(&list, &a, &seven);
    assert_int_equal(list.n, 1);
    for (int i = 0; i < 100; i++)
        attr_list_append(&list, &a, &seven);
    assert_int_equal(list.n, 101);
    attr_list_fini(&list);
}

static void marks_are_of_the_bytes(void **state)
{
    static const char *const keys[] = { "", "a", "\xff", "ab", "http.method" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(keys); i++) {
        char copy[32];
        size_t n = strlen(keys[i]);
        memcpy(copy, keys[i], n);
        assert_int_equal(key_mark(str_n(copy, n)), key_mark(str_of(keys[i])));
    }
    assert_int_equal(key_mark(str_n(NULL, 0)), key_mark(STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borrows_until_changed),
        cmocka_unit_test(appends_and_removes),
        cmocka_unit_test(marks_are_of_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
