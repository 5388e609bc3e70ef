/* Services and operations: sorted, merged, and bounded. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "store/catalog.h"

static struct str number_text(struct arena *arena, const char *word, unsigned i)
{
    return arena_printf(arena, "%s-%05u", word, i);
}

static void names_come_sorted_and_once(void **state)
{
    static const struct { const char *service, *operation; int kind; } given[] = {
        { "shop", "GET /", 2 }, { "cart", "add", 3 }, { "shop", "GET /", 2 }, { "shop", "GET /", 3 }, { "shop", "", 0 },
        { "", "nameless service", 1 }, { "shop", "GET", 2 },
    };
    static const struct { const char *name; int kind; } want[] = { { "", 0 }, { "GET", 2 }, { "GET /", 2 }, { "GET /", 3 } };
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new();
    MG_AUTO(arena_fini) struct arena arena = { 0 };
    struct catalog_operation *operations;
    struct str *services;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(given); i++)
        catalog_add(catalog, str_of(given[i].service), str_of(given[i].operation), given[i].kind);
    assert_int_equal(catalog_services(catalog, &arena, &services), 3);
    assert_true(str_eq(services[0], STR("")));
    assert_true(str_eq(services[1], STR("cart")));
    assert_true(str_eq(services[2], STR("shop")));
    assert_int_equal(catalog_operations(catalog, STR("shop"), &arena, &operations), MG_COUNT(want));
    for (size_t i = 0; i < MG_COUNT(want); i++) {
        assert_true(str_eq(operations[i].name, str_of(want[i].name)));
        assert_int_equal(operations[i].kind, want[i].kind);
    }
}

static void what_is_not_there_has_no_names(void **state)
{
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new();
    MG_AUTO(arena_fini) struct arena arena = { 0 };
    struct catalog_operation *operations;
    struct str *services;

    (void)state;
    assert_int_equal(catalog_services(catalog, &arena, &services), 0);
    assert_int_equal(catalog_operations(catalog, STR("shop"), &arena, &operations), 0);
    assert_null(operations);
    catalog_add(catalog, STR("shop"), STR("x"), 1);
    assert_int_equal(catalog_operations(catalog, STR("sho"), &arena, &operations), 0);
    assert_int_equal(catalog_operations(catalog, STR("shop\0"), &arena, &operations), 0);
    catalog_free(&catalog);
    catalog_free(&catalog);
}

static void long_names_are_cut_and_found_all_the_same(void **state)
{
    static const size_t lengths[] = { 0, 1, CATALOG_NAME_BYTES - 1, CATALOG_NAME_BYTES, CATALOG_NAME_BYTES + 1, 70000 };
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new();
    MG_AUTO(arena_fini) struct arena arena = { 0 };
    char *text = arena_alloc(&arena, 70000);
    struct catalog_operation *operations;
    struct str *services;

    (void)state;
    memset(text, 'x', 70000);
    for (size_t i = 0; i < MG_COUNT(lengths); i++)
        catalog_add(catalog, str_n(text, 70000), str_n(lengths[i] ? text : NULL, lengths[i]), 255);
    assert_int_equal(catalog_services(catalog, &arena, &services), 1);
    assert_int_equal(services[0].len, CATALOG_NAME_BYTES);
    assert_int_equal(catalog_operations(catalog, str_n(text, 70000), &arena, &operations), 4); /* the last three are one */
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(operations[i].name.len, lengths[i]);
        assert_int_equal(operations[i].kind, 255);
    }
}

static void a_merge_changes_only_its_target(void **state)
{
    MG_AUTO(catalog_free) struct catalog *into = catalog_new(), *from = catalog_new();
    MG_AUTO(arena_fini) struct arena arena = { 0 };
    struct catalog_operation *operations;
    struct str *services;

    (void)state;
    catalog_add(into, STR("a"), STR("1"), 1);
    catalog_add(from, STR("a"), STR("2"), 2);
    catalog_add(from, STR("b"), STR("1"), 1);
    catalog_merge(into, from);
    catalog_merge(into, from);
    assert_int_equal(catalog_services(into, &arena, &services), 2);
    assert_int_equal(catalog_operations(into, STR("a"), &arena, &operations), 2);
    assert_int_equal(catalog_operations(from, STR("a"), &arena, &operations), 1);
}

static void operations_are_bounded_and_services_still_come(void **state)
{
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new(), *merged = catalog_new();
    MG_AUTO(arena_fini) struct arena arena = { 0 };
    struct catalog_operation *operations;
    struct str *services;

    (void)state;
    for (unsigned i = 1; i < CATALOG_NAMES_MAX; i++)
        catalog_add(catalog, STR("noisy"), number_text(&arena, "op", i), 1);
    assert_int_equal(catalog_operations(catalog, STR("noisy"), &arena, &operations), CATALOG_NAMES_MAX - 1);
    catalog_add(catalog, STR("noisy"), STR("the last"), 1);
    assert_int_equal(catalog_operations(catalog, STR("noisy"), &arena, &operations), CATALOG_NAMES_MAX);
    catalog_add(catalog, STR("noisy"), STR("one more"), 1);
    catalog_add(catalog, STR("quiet"), STR("GET /"), 2);
    assert_int_equal(catalog_operations(catalog, STR("noisy"), &arena, &operations), CATALOG_NAMES_MAX);
    assert_int_equal(catalog_operations(catalog, STR("quiet"), &arena, &operations), 0);
    assert_int_equal(catalog_services(catalog, &arena, &services), 2);
    catalog_add(catalog, STR("noisy"), STR("the last"), 1); /* known: nothing changes */
    assert_int_equal(catalog_operations(catalog, STR("noisy"), &arena, &operations), CATALOG_NAMES_MAX);
    catalog_add(merged, STR("first"), STR("x"), 1);
    catalog_merge(merged, catalog);
    assert_int_equal(catalog_operations(merged, STR("noisy"), &arena, &operations), CATALOG_NAMES_MAX - 1);
}

static void services_are_bounded(void **state)
{
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new();
    MG_AUTO(arena_fini) struct arena arena = { 0 };
    struct str *services;

    (void)state;
    for (unsigned i = 0; i < CATALOG_NAMES_MAX; i++)
        catalog_add(catalog, number_text(&arena, "service", i), STR("x"), 1);
    assert_int_equal(catalog_services(catalog, &arena, &services), CATALOG_NAMES_MAX);
    catalog_add(catalog, STR("one more"), STR("x"), 1);
    assert_int_equal(catalog_services(catalog, &arena, &services), CATALOG_NAMES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_sorted_and_once),
        cmocka_unit_test(what_is_not_there_has_no_names),
        cmocka_unit_test(long_names_are_cut_and_found_all_the_same),
        cmocka_unit_test(a_merge_changes_only_its_target),
        cmocka_unit_test(operations_are_bounded_and_services_still_come),
        cmocka_unit_test(services_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
