/* Equal questions are one, and what a trace state and a resource must be like to be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "model/otlp_write.h"
#include "sample/policy.h"
#include "unit/sample/trial.h"

static void equal_questions_are_one_condition(void **state)
{
    static const struct { const char *policies; size_t n; } rows[] = {
        { "[{name: a, type: trace_flags}, {name: b, type: not, not: {not_sub_policy: {type: trace_flags}}}]", 1 },
        { "[{name: a, type: status_code, status_code: {status_codes: [OK, ERROR]}}, "
          "{name: b, type: status_code, status_code: {status_codes: [ERROR, OK, OK]}}]", 1 },
        { "[{name: a, type: status_code, status_code: {status_codes: [OK]}}, "
          "{name: b, type: status_code, status_code: {status_codes: [ERROR]}}]", 2 },
        { "[{name: a, type: string_attribute, string_attribute: {key: k, values: [x, y]}}, "
          "{name: b, type: string_attribute, string_attribute: {key: k, values: [y, x], invert_match: true}}]", 1 },
        { "[{name: a, type: string_attribute, string_attribute: {key: k, values: [x]}}, "
          "{name: b, type: string_attribute, string_attribute: {key: k, values: [x], enabled_regex_matching: true}}]", 2 },
        { "[{name: a, type: trace_state, trace_state: {key: k, values: [x]}}, "
          "{name: b, type: string_attribute, string_attribute: {key: k, values: [x]}}]", 2 },
        { "[{name: a, type: boolean_attribute, boolean_attribute: {key: k, value: true}}, "
          "{name: b, type: boolean_attribute, boolean_attribute: {key: k, value: false}}]", 2 },
        { "[{name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: 1, max_value: 0}}, "
          "{name: b, type: numeric_attribute, numeric_attribute: {key: k, min_value: 1}}, {name: c, type: always_sample}]", 1 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct sample_rules *rules = trial_rules_new(&(struct trial_rules){ .policies = rows[i].policies });
        assert_int_equal(rules->conditions.all.n, rows[i].n);
        sample_rules_unref(&rules);
    }
}

/* --- trace states ---------------------------------------------------------------------------------- */

#define LONG_64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_256 LONG_64 LONG_64 LONG_64 LONG_64
#define TEN(x)   x "1=a," x "2=a," x "3=a," x "4=a," x "5=a," x "6=a," x "7=a," x "8=a," x "9=a," x "0=a,"

static const struct { const char *text; bool is_met; } states[] = {
    { "k=v", true },
    { " k=v ,\tb=c", true },
    { ",,k=v,", true },
    { "0key=x,k=v", true },
    { "a_-*/@b=x,k=v", true },
    { LONG_256 "=x,k=v", true },
    { LONG_256 "a=x,k=v", false },
    { "x=" LONG_256 ",k=v", true },
    { "x=" LONG_256 "a,k=v", false },
    { TEN("a") TEN("b") TEN("c") "x=y,k=v", true },       /* 32 members */
    { TEN("a") TEN("b") TEN("c") "x=y,z=y,k=v", false },  /* 33 */
    { "x= a b,k=v", true },
    { "", false },
    { "k=w", false },
    { "k=", false },
    { "k", false },
    { "=v", false },
    { "k=v,=x", false },
    { "k=v,K=x", false },
    { "k=v,_a=x", false },
    { "k=v,a b=x", false },
    { "k=v,a=\x7f", false },
    { "k=v,a=\xc3\xa4", false },
    { "k=v,a=b=c", false },
    { "k=v,k=v", false },
};

static void a_malformed_trace_state_meets_nothing(void **state)
{
    struct sample_rules *rules = trial_rules_new(&(struct trial_rules){
        .policies = "[{name: a, type: trace_state, trace_state: {key: k, values: [v]}}]" });

    (void)state;
    for (size_t i = 0; i < MG_COUNT(states); i++) {
        uint64_t bits[2] = { 0 };
        condition_match_trace_state(&rules->conditions, str_of(states[i].text), bits);
        if (bits_have(bits, 0) != states[i].is_met)
            fail_msg("%s", states[i].text);
    }
    sample_rules_unref(&rules);
}

/* --- resources ------------------------------------------------------------------------------------- */

static void put_resource(struct buf *out, const char *key, const char *value)
{
    const struct attr attr = { .key = str_of(key), .value = { .type = VALUE_STRING, .str = str_of(value) } };

    rows_resource(out, &attr, 1);
}

/* A resource message may be given in pieces, which protobuf joins. */
static void a_resource_in_pieces_is_one(void **state)
{
    static const struct { const char *pieces[3][2]; bool is_met; } rows[] = {
        { { { "k", "v" } }, true },
        { { { "a", "b" }, { "k", "v" } }, true },
        { { { "k", "x" }, { "k", "v" } }, false },
        { { { "k", "v" }, { "k", "x" } }, true },
        { { { "a", "b" } }, false },
        { { { NULL } }, false },
    };
    struct sample_rules *rules = trial_rules_new(&(struct trial_rules){
        .policies = "[{name: a, type: string_attribute, string_attribute: {key: k, values: [v]}}]" });

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        uint64_t bits[2] = { 0 };
        struct buf resource;
        buf_init(&resource, 4096);
        for (size_t k = 0; k < 3 && rows[i].pieces[k][0]; k++)
            put_resource(&resource, rows[i].pieces[k][0], rows[i].pieces[k][1]);
        condition_match_resource(&rules->conditions, NULL, buf_str(&resource), bits);
        assert_int_equal(bits_have(bits, 0), rows[i].is_met);
        buf_fini(&resource);
    }
    sample_rules_unref(&rules);
}

static void a_malformed_resource_meets_nothing_more(void **state)
{
    static const struct str texts[] = {
        STR_INIT("\n"), STR_INIT("\n\5"), STR_INIT("\n\3\n\5k"), STR_INIT("\xff\xff\xff"), STR_INIT("\n\2\n\1")
    };
    struct sample_rules *rules = trial_rules_new(&(struct trial_rules){
        .policies = "[{name: a, type: string_attribute, string_attribute: {key: k, values: [v]}}]" });

    (void)state;
    for (size_t i = 0; i < MG_COUNT(texts); i++) {
        uint64_t bits[2] = { 0 };
        condition_match_resource(&rules->conditions, NULL, texts[i], bits);
        assert_int_equal(bits[0] | bits[1], 0);
    }
    sample_rules_unref(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_questions_are_one_condition),
        cmocka_unit_test(a_malformed_trace_state_meets_nothing),
        cmocka_unit_test(a_resource_in_pieces_is_one),
        cmocka_unit_test(a_malformed_resource_meets_nothing_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
