/* Which traces are of one kind to a `dynamic` policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "sample/policy.h"
#include "unit/sample/trial.h"

#define KEYED(conf) "[{name: a, type: dynamic, dynamic: {goal_throughput_per_sec: 1, " conf "}}]"
#define V "\x1f"
#define F "\x1e"
static const struct { const char *policies, *trace, *key; } keys[] = {
    { KEYED("field_list: [k]"), "k:s=x", "x" V F },
    { KEYED("field_list: [k]"), "z:s=x", F },
    { KEYED("field_list: [k]"), "k:s=y | child k:s=x | child k:s=y | child k:s=x", "x" V "y" V F },
    { KEYED("field_list: [k]"), "k:i=-5 | child k:b=true | child k:d=1.5", "-5" V "1.5" V "true" V F },
    { KEYED("field_list: [k]"), "~k:s=r | child k:s=x", "r" V "x" V F },
    { KEYED("field_list: [k]"), "k:s=x ~k:s=r", "x" V F },      /* the span's own, else the resource's */
    { KEYED("field_list: [k]"), "k:s=x k:s=y", "x" V F },
    { KEYED("field_list: [k, n]"), "k:s=x n:i=7 | child n:i=9", "x" V F "7" V "9" V F },
    { KEYED("field_list: [n, k]"), "k:s=x n:i=7", "7" V F "x" V F },
    { KEYED("field_list: [root.k]"), "k:s=x | child k:s=y", "x" V F },
    { KEYED("field_list: [root.k]"), "child k:s=y | k:s=x", "x" V F },
    { KEYED("field_list: [root.k, k]"), "k:s=x | child k:s=y", "x" V F "x" V "y" V F },
    { KEYED("field_list: [k], use_trace_length: true"), "k:s=x | child | child", "x" V F "3" },
    { KEYED("field_list: [k]"), "k:s= | child k:s=x", V "x" V F },
};

static void make_key(struct bench *bench, struct trial *trial, struct buf *key)
{
    struct memo *memo = memo_new(&bench->rules->conditions, bench->rules->classes);
    const struct sample_trace trace = trial_ask(trial, TRIAL_BEGIN);
    const struct question question = { .trace = &trace, .memo = memo };
    struct arena arena = { 0 };

    dynamic_key(&bench->rules->policies[0], &question, &bench->rules->conditions, &arena, key);
    arena_fini(&arena);
    memo_free(&memo);
}

static void a_key_is_the_values_of_its_fields(void **state)
{
    struct buf key;

    (void)state;
    buf_init(&key, 1 << 20);
    for (size_t i = 0; i < MG_COUNT(keys); i++) {
        struct bench bench;
        struct trial trial = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = keys[i].policies });
        bench_add(&bench, &trial, keys[i].trace);
        make_key(&bench, &trial, &key);
        if (!str_eq(buf_str(&key), str_of(keys[i].key)))
            fail_msg("%zu: %s: %.*s", i, keys[i].trace, STR_ARG(buf_str(&key)));
        bench_fini(&bench);
    }
    buf_fini(&key);
}

/* Of many values the smallest count, in whatever order they come; long keys are replaced by their hash. */
static void a_key_is_bounded(void **state)
{
    struct buf key, first;

    (void)state;
    buf_init(&key, 1 << 20);
    buf_init(&first, 1 << 20);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct bench bench;
        struct trial trial = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = KEYED("field_list: [k]") });
        for (unsigned i = 0; i < 300; i++) {
            char line[40];
            snprintf(line, sizeof line, "child k:s=%03u", turn ? 299 - i : i);
            bench_add(&bench, &trial, line);
        }
        make_key(&bench, &trial, turn ? &key : &first);
        bench_fini(&bench);
    }
    assert_int_equal(first.len, 100 * 4 + 1);
    assert_true(str_starts(buf_str(&first), STR("000" V "001" V)));
    assert_true(str_ends(buf_str(&first), STR("099" V F)));
    assert_true(str_eq(buf_str(&first), buf_str(&key)));
    buf_fini(&key);
    buf_fini(&first);
}

static void long_values_and_keys_are_cut(void **state)
{
    struct bench bench;
    struct trial trial = { 0 };
    struct buf key, line;

    (void)state;
    buf_init(&key, 1 << 20);
    buf_init(&line, 1 << 20);
    bench_init(&bench, &(struct trial_rules){ .policies = KEYED("field_list: [k]") });
    buf_put_text(&line, "k:s=");
    for (unsigned i = 0; i < 300; i++)
        buf_put_char(&line, 'x');
    buf_put_char(&line, '\0');
    bench_add(&bench, &trial, line.ptr);
    make_key(&bench, &trial, &key);
    assert_int_equal(key.len, 256 + 2);
    for (unsigned i = 0; i < 10; i++) {
        line.ptr[4] = (char)('a' + i);
        bench_add(&bench, &trial, line.ptr);
    }
    make_key(&bench, &trial, &key);
    assert_int_equal(key.len, 16);
    buf_fini(&line);
    buf_fini(&key);
    bench_fini(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_values_of_its_fields),
        cmocka_unit_test(a_key_is_bounded),
        cmocka_unit_test(long_values_and_keys_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
