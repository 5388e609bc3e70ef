/* Which operations are shown, under both names for a kind without one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/jaeger/operations.h"

static const struct catalog_operation list[] = {
    {STR_INIT("a"), -5},          {STR_INIT("a"), 0},  {STR_INIT("a"), SPAN_INTERNAL},
    {STR_INIT("a"), SPAN_SERVER}, {STR_INIT("a"), 17}, {STR_INIT("b"), 0},
    {STR_INIT("b"), SPAN_CLIENT}, {STR_INIT("c"), 17},
};

static const struct {
    operation_kind_fn *kind_of;
    const char *wanted, *shown; /* places in the list */
} rows[] = {
    {operation_kind_legacy, "", "0235678"},     {operation_kind_v3, "", "03567"},
    {operation_kind_legacy, "internal", "2"},   {operation_kind_v3, "internal", "057"},
    {operation_kind_legacy, "server", "3"},     {operation_kind_v3, "server", "3"},
    {operation_kind_legacy, "unspecified", ""}, {operation_kind_v3, "unspecified", ""},
    {operation_kind_legacy, "SERVER", ""},      {operation_kind_v3, "CLIENT", ""},
};

static void each_name_and_kind_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        for (size_t k = 0; k < MG_COUNT(list); k++) {
            bool is_wanted = strchr(rows[i].shown, (int)('0' + k)) != NULL;
            if (operation_is_shown(list, k, rows[i].kind_of, str_of(rows[i].wanted)) != is_wanted)
                fail_msg("row %zu, operation %zu", i, k);
        }
}

static void kinds_without_a_name(void **state)
{
    (void)state;
    assert_true(str_eq(operation_kind_legacy(0), STR("")));
    assert_true(str_eq(operation_kind_legacy(99), STR("")));
    assert_true(str_eq(operation_kind_v3(0), STR("internal")));
    assert_true(str_eq(operation_kind_v3(-1), STR("internal")));
    assert_true(str_eq(operation_kind_v3(SPAN_PRODUCER), STR("producer")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_and_kind_once),
        cmocka_unit_test(kinds_without_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
