/* What is remembered of an epoch is of that epoch, and what was forgotten is found out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "sample/memo.h"
#include "unit/sample/trial.h"

/* --- epochs --------------------------------------------------------------------------------------- */

#define FIND_X "[{name: a, type: string_attribute, string_attribute: {key: k, values: [x]}}, " \
               "{name: b, type: string_attribute, string_attribute: {key: k, values: ['^y+$'], enabled_regex_matching: true}}, " \
               "{name: c, type: numeric_attribute, numeric_attribute: {key: n, min_value: 5}}]"

/* The same symbols mean other texts in each epoch; there are more epochs than are remembered, and their memory comes back. */
static void each_epoch_has_its_own_symbols(void **state)
{
    static const struct { const char *trace, *says; } rows[] = {
        { "k:s=x", "kept policy a 1" }, { "k:s=z", "dropped no_policy - 0" }, { "k:s=yy", "kept policy b 1" },
        { "z:s=x", "dropped no_policy - 0" }, { "n:i=5", "kept policy c 1" }, { "~k:s=x", "kept policy a 1" },
        { "~k:s=w", "dropped no_policy - 0" }, { "x:s=k n:i=4", "dropped no_policy - 0" },
    };
    struct bench bench;

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = FIND_X });
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned k = 0; k < 3; k++) {
            struct trial trial = { 0 };
            unsigned at = (i * 5 + k * 3) % MG_COUNT(rows);
            bench_add(&bench, &trial, rows[at].trace);
            assert_string_equal(bench_decide(&bench, &trial, &(struct sample_trace){ 0 }), rows[at].says);
        }
        rows_fini(&bench.rows);
        rows_init(&bench.rows);
    }
    bench_fini(&bench);
}

/* Back and forth between more epochs than are remembered. */
static void a_forgotten_epoch_is_learned_again(void **state)
{
    enum { EPOCHS = 80 };
    static struct rows rows[EPOCHS];
    struct bench bench;

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = FIND_X });
    for (unsigned i = 0; i < EPOCHS; i++)
        rows_init(&rows[i]);
    for (unsigned i = 0; i < 3 * EPOCHS; i++) {
        struct trial_spans spans;
        struct trial trial = { 0 };
        trial_spans(i % 3 ? "k:s=no ~k:s=x" : "k:s=no ~k:s=y-", &bench.arena, &spans);
        trial_add(&trial, bench.sampler, &rows[i * 7 % EPOCHS], &spans.at[0]);
        assert_string_equal(bench_decide(&bench, &trial, &(struct sample_trace){ 0 }), i % 3 ? "kept policy a 1" : "dropped no_policy - 0");
    }
    for (unsigned i = 0; i < EPOCHS; i++)
        rows_fini(&rows[i]);
    bench_fini(&bench);
}

/* --- values that are no symbols, or no plain ones ----------------------------------------------------- */

static void long_values_stand_in_the_row(void **state)
{
    static const struct trial_rules from = {
        .policies = "[{name: a, type: string_attribute, string_attribute: {key: k, values: ['end$'], enabled_regex_matching: true}}]" };
    struct trial_spans spans;
    struct bench bench;
    char value[3000];

    (void)state;
    memset(value, 'x', sizeof value);
    bench_init(&bench, &from);
    for (unsigned i = 0; i < 4; i++) {
        const struct attr attr = { .key = STR("k"), .value = { .type = VALUE_STRING, .str = { value, sizeof value } } };
        struct trial trial = { 0 };
        memcpy(value + sizeof value - 3, i & 1 ? "end" : "not", 3);
        trial_spans("", &bench.arena, &spans);
        spans.at[0].attrs = &attr;
        spans.at[0].n_attrs = 1;
        trial_add(&trial, bench.sampler, &bench.rows, &spans.at[0]);
        assert_string_equal(bench_decide(&bench, &trial, &(struct sample_trace){ 0 }), i & 1 ? "kept policy a 1" : "dropped no_policy - 0");
    }
    bench_fini(&bench);
}

/* A KeyValue with a field of a later version beside its value. */
static void what_is_known_of_a_value_counts(void **state)
{
    static const struct { const char *bytes; size_t len; const char *says; } rows[] = {
        { "\n\1k\22\3\n\1x\230\1\1", 11, "kept policy a 1" },
        { "\n\1k\22\3\n\1z\230\1\1", 11, "dropped no_policy - 0" },
        { "\n\1n\22\2\30\11\230\1\1", 10, "kept policy c 1" },
        { "\n\1n\22\2\30\1\230\1\1", 10, "dropped no_policy - 0" },
        { "\n\1k\230\1\1", 6, "dropped no_policy - 0" },
    };
    struct bench bench;

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = FIND_X });
    for (size_t i = 0; i < MG_COUNT(rows) * 2; i++) {
        size_t at = i % MG_COUNT(rows);
        const struct attr attr = { .key = str_n(rows[at].bytes + 2, 1), .value = { .type = VALUE_OTHER, .raw = { rows[at].bytes, rows[at].len } } };
        struct trial_spans spans;
        struct trial trial = { 0 };
        trial_spans("", &bench.arena, &spans);
        spans.at[0].attrs = &attr;
        spans.at[0].n_attrs = 1;
        trial_add(&trial, bench.sampler, &bench.rows, &spans.at[0]);
        assert_string_equal(bench_decide(&bench, &trial, &(struct sample_trace){ 0 }), rows[at].says);
    }
    bench_fini(&bench);
}

/* More symbols than are remembered, then the first ones again. Each value comes twice in a row: what comes once does not become a symbol. */
static void many_values_are_forgotten_and_found_again(void **state)
{
    struct bench bench;

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = FIND_X });
    for (unsigned i = 0; i < 170000; i++) {
        unsigned number = i / 2 % 40000;
        char line[60];
        struct trial trial = { 0 };
        snprintf(line, sizeof line, number % 100 ? "k:s=value%u" : "k:s=x", number);
        bench_add(&bench, &trial, line);
        assert_string_equal(bench_decide(&bench, &trial, &(struct sample_trace){ 0 }), number % 100 ? "dropped no_policy - 0" : "kept policy a 1");
        if (i % 1000 == 0)
            arena_reset(&bench.arena);
        if (i % 3000 == 2999) {
            segment_unref(&bench.rows.segment);
            bench.rows.segment = NULL;
        }
    }
    bench_fini(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_epoch_has_its_own_symbols),
        cmocka_unit_test(a_forgotten_epoch_is_learned_again),
        cmocka_unit_test(long_values_stand_in_the_row),
        cmocka_unit_test(what_is_known_of_a_value_counts),
        cmocka_unit_test(many_values_are_forgotten_and_found_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
