/* strategies_fuzz.c - a byte of mode and factor, then a strategies file.
 *
 * What is taken must be sound: lists sorted and without doubles, every name found again, all probabilities between 0 and 1. And what clients
 * are told of it must be so as well, for each service, for its operations and for a service that the file does not name. */
#include <assert.h>
#include <stdlib.h>
#include "sample/head_table.h"

static void check_probability(double probability)
{
    assert(probability >= 0 && probability <= 1);
}

static void check_entry(const struct strategies_entry *entry)
{
    assert(!entry->has_probability || entry->type == STRATEGY_PROBABILISTIC);
    check_probability(entry->probability);
    assert(entry->max_traces_per_second >= 0);
    for (size_t i = 0; i < entry->n_operations; i++) {
        check_probability(entry->operations[i].probability);
        assert(i == 0 || str_cmp(entry->operations[i - 1].name, entry->operations[i].name) < 0);
        assert(strategies_operation(entry, entry->operations[i].name) == &entry->operations[i]);
    }
}

static void check_told(const struct head_table *table, struct str service, double factor)
{
    struct arena arena = { 0 };
    struct strategy told;

    head_table_answer(table, service, factor, &arena, &told);
    check_probability(told.probability);
    assert(told.max_traces_per_second >= 0);
    assert(told.has_operations || told.n_operations == 0);
    for (size_t i = 0; i < told.n_operations; i++) {
        check_probability(told.operations[i].probability);
        assert(i == 0 || str_cmp(told.operations[i - 1].name, told.operations[i].name) < 0);
    }
    arena_fini(&arena);
}

static void check_table(const struct strategies *strategies, bool is_adaptive, double factor)
{
    const struct head_conf conf = { .mode = is_adaptive ? HEAD_ADAPTIVE : HEAD_STATIC, .default_probability = 1, .initial_probability = 0.001,
                                    .min_probability = 0.00001 };
    const struct sample_conf sampling = { 0 };
    struct head_rules *rules;
    struct head_table *table;
    struct head_row *rows;
    struct arena arena = { 0 };
    size_t n;

    if (head_rules_new(&rules, &conf, &sampling, NULL) != MG_OK)
        abort();
    table = head_table_new(rules, strategies, NULL, 0);
    check_told(table, STR("nobody"), factor);
    for (size_t i = 0; i < strategies->n_services && i < 100; i++)
        check_told(table, strategies->services[i].service, factor);
    head_table_rows(table, factor, 0, &arena, &rows, &n);
    for (size_t i = 0; i < n; i++)
        check_probability(rows[i].probability);
    arena_fini(&arena);
    head_table_unref(&table);
    head_rules_free(&rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strategies *strategies;
    struct mg_why why = { "" };

    if (size == 0)
        return 0;
    enum mg_err err = strategies_parse(&strategies, str_n(data + 1, size - 1), &why);
    if (err != MG_OK) {
        assert(why.text[0]);
        return 0;
    }
    check_entry(&strategies->fallback);
    for (size_t i = 0; i < strategies->n_services; i++) {
        check_entry(&strategies->services[i]);
        assert(i == 0 || str_cmp(strategies->services[i - 1].service, strategies->services[i].service) < 0);
    }
    check_table(strategies, data[0] & 1, 1.0 / (1 << (data[0] >> 1 & 7)));
    strategies_free(&strategies);
    return 0;
}
