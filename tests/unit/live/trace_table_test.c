/* trace_table_test.c - the table against a plain model, under growth, removal and records that follow one another. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/random.h"
#include "live/trace_table.h"

enum { IDS = 5000 };

static void make_id(uint32_t i, uint8_t id[16])
{
    memset(id, 0, 16);
    put_le32(id, i + 1); /* the worst kind of ids: small numbers */
}

static void agrees_with_a_model(void **state)
{
    struct trace_table *table = trace_table_new();
    static struct trace *model[IDS];
    struct random random;
    size_t n = 0;

    (void)state;
    random_init(&random, 7);
    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t i = (uint32_t)random_below(&random, IDS);
        uint8_t id[16];
        make_id(i, id);
        assert_ptr_equal(trace_find(table, id), model[i]);
        if (!model[i] && random_below(&random, 3)) {
            model[i] = trace_add(table, id);
            assert_memory_equal(model[i]->id, id, 16);
            n++;
        } else if (model[i]) {
            trace_remove(table, model[i]);
            model[i] = NULL;
            n--;
        }
        assert_int_equal(trace_count(table), n);
    }
    trace_table_free(&table);
    assert_null(table);
}

static void records_of_one_trace_are_chained_newest_first(void **state)
{
    struct trace_table *table = trace_table_new();
    uint8_t id[16] = { 9 };
    struct trace *first = trace_add(table, id), *second = trace_add(table, id), *third = trace_add(table, id);

    (void)state;
    assert_ptr_equal(trace_find(table, id), third);
    assert_ptr_equal(third->older, second);
    assert_ptr_equal(second->older, first);
    trace_remove(table, second); /* out of the middle */
    assert_ptr_equal(third->older, first);
    trace_remove(table, third);
    assert_ptr_equal(trace_find(table, id), first);
    trace_remove(table, first);
    assert_null(trace_find(table, id));
    assert_int_equal(trace_count(table), 0);
    trace_table_free(&table);
}

static void an_emptied_table_gives_memory_back(void **state)
{
    struct trace_table *table = trace_table_new();
    size_t small = trace_table_bytes(table);
    static struct trace *traces[100000];
    uint8_t id[16];

    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        make_id(i, id);
        traces[i] = trace_add(table, id);
    }
    assert_true(trace_table_bytes(table) > 100 * small);
    for (uint32_t i = 0; i < 100000; i++)
        trace_remove(table, traces[i]);
    assert_int_equal(trace_table_bytes(table), small);
    make_id(1, id);
    assert_null(trace_find(table, id));
    trace_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model),
        cmocka_unit_test(records_of_one_trace_are_chained_newest_first),
        cmocka_unit_test(an_emptied_table_gives_memory_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
