#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/list.h"

struct item { int number; struct list link; };

static void assert_order(struct list *head, const int *want, size_t n)
{
    size_t i = 0;
    LIST_EACH(head, link) {
        assert_true(i < n);
        assert_int_equal(MG_CONTAINER(link, struct item, link)->number, want[i++]);
    }
    assert_int_equal(i, n);
}

static void links_keep_their_order(void **state)
{
    struct list head = { 0 };
    struct item a = { .number = 1 }, b = { .number = 2 }, c = { .number = 3 };
    (void)state;
    assert_true(list_empty(&head)); /* zeroed counts as empty */
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(LIST_FIRST(&head, struct item, link));
    list_add_last(&head, &b.link);
    list_add_last(&head, &c.link);
    list_add_first(&head, &a.link);
    assert_false(list_empty(&head));
    assert_ptr_equal(LIST_FIRST(&head, struct item, link), &a);
    assert_order(&head, (const int[]){ 1, 2, 3 }, 3);
    list_remove(&b.link);
    assert_order(&head, (const int[]){ 1, 3 }, 2);
    assert_false(list_linked(&b.link));
    assert_true(list_linked(&a.link));
    list_remove(&a.link);
    list_remove(&c.link);
    assert_true(list_empty(&head));
}

static void removing_twice_is_fine(void **state)
{
    struct list head;
    struct item a = { 0 };
    (void)state;
    list_init(&head);
    list_remove(&a.link);
    list_add_first(&head, &a.link);
    list_remove(&a.link);
    list_remove(&a.link);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_keep_their_order),
        cmocka_unit_test(removing_twice_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
