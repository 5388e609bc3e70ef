/* What is a policy, and what is said about YAML that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "sample/policy.h"
#include "unit/sample/trial.h"

static const char *const accepted[] = {
    "[]",
    "[{name: a, type: always_sample}]",
    "- name: a\n  type: latency\n  latency:\n    threshold_ms: 5000\n    upper_threshold_ms: 10000\n",
    "[{name: a, type: latency, latency: {threshold_ms: 0}}]",
    "[{name: 'my policy / 1', type: numeric_attribute, numeric_attribute: {key: k, min_value: -1}}]",
    "[{name: a, type: numeric_attribute, numeric_attribute: {key: k, max_value: 1, invert_match: false}}]",
    "[{name: a, type: numeric_attribute, numeric_attribute: {key: k, min_value: -9223372036854775808, max_value: 9223372036854775807}}]",
    "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 0.1}}]",
    "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 1000, hash_salt: x}}]",
    "[{name: a, type: status_code, status_code: {status_codes: [OK, ERROR, UNSET, OK]}}]",
    "[{name: a, type: string_attribute, string_attribute: {key: k, values: [a, b, 'c d', 3, true]}}]",
    "[{name: a, type: string_attribute, string_attribute: {key: k, values: ['a|b'], enabled_regex_matching: true, cache_max_size: 10}}]",
    "[{name: a, type: boolean_attribute, boolean_attribute: {key: k, value: false}}]",
    "[{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 35}}]",
    "[{name: a, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1024000, burst_capacity: 2048000}}]",
    "[{name: a, type: span_count, span_count: {min_spans: 2, max_spans: 2}}]",
    "[{name: a, type: trace_state, trace_state: {key: k, values: [v]}}]",
    "[{name: a, type: trace_flags}]",
    "[{name: a, type: and, and: {and_sub_policy: [{type: always_sample}, {name: x, type: trace_flags}]}}]",
    "[{name: a, type: not, not: {not_sub_policy: {name: x, type: trace_flags}}}]",
    "[{name: a, type: drop, drop: {drop_sub_policy: [{name: x, type: trace_flags}]}}]",
    "[{name: a, type: composite, composite: {max_total_spans_per_second: 1000, policy_order: [x, y], composite_sub_policy: "
    "[{name: y, type: always_sample}, {name: x, type: trace_flags}], rate_allocation: [{policy: x, percent: 50}, {policy: y}]}}]",
    "[{name: a, type: dynamic, dynamic: {goal_throughput_per_sec: 100, field_list: [http.route]}}]",
    "[{name: a, type: dynamic, dynamic: {goal_throughput_per_sec: 100, initial_sampling_rate: 10, adjustment_interval: 15s, weight: 0.5, "
    "max_keys: 500, age_out_value: 0.5, burst_multiple: 2, burst_detection_delay: 3, field_list: [http.route, root.http.status_code], "
    "use_trace_length: true}}]",
    /* 8 deep */
    "[{name: a, type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: "
    "{not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: "
    "{type: trace_flags}}}}}}}}}}}}}}}]",
};

static void policies_are_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(accepted); i++) {
        struct sample_rules *rules = trial_rules_new(&(struct trial_rules){ .policies = accepted[i] });
        sample_rules_unref(&rules);
        assert_null(rules);
    }
}

#define IN(type, conf) "- {name: a, type: " type ", " type ": {" conf "}}"
#define A "sampling.policies 1 'a' (line 1): "

static const struct { const char *policies, *says; } refused[] = {
    /* --- policies ---------------------------------------------------------------------------------- */
    { "{name: a}", "sampling.policies (line 1) is not a list" },
    { "always", "sampling.policies (line 1) is not a list" },
    { "[always_sample]", "sampling.policies 1 (line 1): is not a map" },
    { "[[]]", "sampling.policies 1 (line 1): is not a map" },
    { "- {type: always_sample}", "sampling.policies 1 (line 1): name is missing" },
    { "- {name: '', type: always_sample}", "sampling.policies 1 (line 1): name is missing" },
    { "- {name: [a], type: always_sample}", "sampling.policies 1 (line 1): name is not a text" },
    { "- {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, type: trace_flags}",
      "sampling.policies 1 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' (line 1): name is longer than 100 bytes" },
    { "- {name: a}", A "type is missing" },
    { "- {name: a, type: [x]}", A "type is missing" },
    { "- {name: a, type: latenci}", A "unknown type 'latenci', and extensions are not supported; did you mean 'latency'?" },
    { "- {name: a, type: my_extension}",
      A "unknown type 'my_extension', and extensions are not supported (always_sample, latency, "
        "numeric_attribute, string_attribute, "
        "boolean_attribute, status_code, probabilistic, rate_limiting, bytes_limiting, span_count, trace_state, trace_flags, and, not, drop, "
        "composite, dynamic)" },
    { "- {name: a, type: ottl_condition, ottl_condition: {span: []}}",
      A "type 'ottl_condition' is not supported: there is no OTTL here; string_attribute, numeric_attribute, and, not do most of it" },
    { "- {name: a, type: always_sample, typ: b}", A "unknown key 'typ'; did you mean 'type'?" },
    { "- {name: a, type: always_sample, always_sample: {}}", A "'always_sample' does not belong to a policy of type 'always_sample'" },
    { "- {name: a, type: latency, probabilistic: {sampling_percentage: 1}}", A "'probabilistic' does not belong to a policy of type 'latency'" },
    { "- {name: a, type: latency}", A "latency is missing" },
    { "- {name: a, type: latency, latency: }", A "latency is missing" },
    { "- {name: a, type: latency, latency: 5}", A "latency is not a map" },
    { "- {name: a, type: latency, latency: [5]}", A "latency is not a map" },
    { "- {name: b, type: trace_flags}\n\n- {name: a, type: trace_flags}\n- name: b\n  type: always_sample\n",
      "sampling.policies 3 'b' (line 4): policy 1 has that name already" },
    /* --- latency, span_count ----------------------------------------------------------------------- */
    { IN("latency", ""), A "latency.threshold_ms is missing" },
    { IN("latency", "threshold_ms: "), A "latency.threshold_ms is missing" },
    { IN("latency", "threshold_ms: 5s"), A "latency.threshold_ms is '5s', not a whole number" },
    { IN("latency", "threshold_ms: 1.5"), A "latency.threshold_ms is '1.5', not a whole number" },
    { IN("latency", "threshold_ms: [1]"), A "latency.threshold_ms is a list, not a whole number" },
    { IN("latency", "threshold_ms: {a: 1}"), A "latency.threshold_ms is a map, not a whole number" },
    { IN("latency", "threshold_ms: -1"), A "latency.threshold_ms is -1, which is below 0" },
    { IN("latency", "threshold_ms: 9999999999999999999"), A "latency.threshold_ms is '9999999999999999999', not a whole number" },
    { IN("latency", "threshold_ms: 9000000000000000000"), A "latency.threshold_ms is 9000000000000000000, which is above 4611686018427387903" },
    { IN("latency", "threshold: 1"), A "unknown key 'latency.threshold'; did you mean 'threshold_ms'?" },
    { IN("latency", "threshold_ms: 5, upper_threshold_ms: 5"), A "latency.upper_threshold_ms is not above threshold_ms" },
    { IN("span_count", ""), A "span_count needs min_spans or max_spans" },
    { IN("span_count", "min_spans: 0"), A "span_count needs min_spans or max_spans" },
    { IN("span_count", "min_spans: 5, max_spans: 4"), A "span_count.max_spans is below min_spans" },
    { IN("span_count", "min_span: 5"), A "unknown key 'span_count.min_span'; did you mean 'min_spans'?" },
    /* --- attributes -------------------------------------------------------------------------------- */
    { IN("numeric_attribute", "min_value: 5"), A "numeric_attribute.key is missing" },
    { IN("numeric_attribute", "key: '', min_value: 5"), A "numeric_attribute.key is empty" },
    { IN("numeric_attribute", "key: [k], min_value: 5"), A "numeric_attribute.key is a list, not a text" },
    { IN("numeric_attribute", "key: k"), A "numeric_attribute needs min_value or max_value (0 counts as not given)" },
    { IN("numeric_attribute", "key: k, min_value: 0, max_value: 0"),
      A "numeric_attribute needs min_value or max_value (0 counts as not given)" },
    { IN("numeric_attribute", "key: k, min_value: 5, max_value: 4"), A "numeric_attribute.min_value is above max_value" },
    { IN("numeric_attribute", "key: k, min_value: 1e3"), A "numeric_attribute.min_value is '1e3', not a whole number" },
    { IN("numeric_attribute", "key: k, min_value: 1, invert_match: yes"), A "numeric_attribute.invert_match is 'yes', not true or false" },
    { IN("string_attribute", "key: k"), A "string_attribute.values is missing" },
    { IN("string_attribute", "key: k, values: []"), A "string_attribute.values is empty" },
    { IN("string_attribute", "key: k, values: x"), A "string_attribute.values is 'x', not a list" },
    { IN("string_attribute", "key: k, values: [x, '']"), A "string_attribute.values 2 is empty" },
    { IN("string_attribute", "key: k, values: [x, [y]]"), A "string_attribute.values 2 is not a text" },
    { IN("string_attribute", "values: [x]"), A "string_attribute.key is missing" },
    { IN("string_attribute", "key: k, values: [x], enabled_regex_matching: 'true'"),
      A "string_attribute.enabled_regex_matching is 'true', not true or false" },
    { IN("string_attribute", "key: k, values: [x], regex: true"),
      A "unknown key 'string_attribute.regex' (key, values, enabled_regex_matching, cache_max_size, invert_match)" },
    { IN("string_attribute", "key: k, values: [x], cache_max_size: -1"), A "string_attribute.cache_max_size is -1, which is below 0" },
    { IN("string_attribute", "key: k, values: [x, 'a(b'], enabled_regex_matching: true"), A "string_attribute.values 2: " },
    { IN("string_attribute", "key: k, values: ['(?=x)'], enabled_regex_matching: true"), A "string_attribute.values 1: " },
    { IN("boolean_attribute", "key: k"), A "boolean_attribute.value is missing" },
    { IN("boolean_attribute", "key: k, value: 1"), A "boolean_attribute.value is '1', not true or false" },
    { IN("boolean_attribute", "value: true"), A "boolean_attribute.key is missing" },
    { IN("status_code", ""), A "status_code.status_codes is missing" },
    { IN("status_code", "status_codes: []"), A "status_code.status_codes is empty" },
    { IN("status_code", "status_codes: ERROR"), A "status_code.status_codes is 'ERROR', not a list" },
    { IN("status_code", "status_codes: [OK, error]"), A "status_code.status_codes 2 is 'error', not OK, ERROR or UNSET" },
    { IN("trace_state", "values: [v]"), A "trace_state.key is missing" },
    { IN("trace_state", "key: k"), A "trace_state.values is missing" },
    { "- {name: a, type: trace_flags, trace_flags: {}}", A "'trace_flags' does not belong to a policy of type 'trace_flags'" },
    /* --- chance and limits ------------------------------------------------------------------------- */
    { IN("probabilistic", ""), A "probabilistic.sampling_percentage is missing" },
    { IN("probabilistic", "sampling_percentage: -1"), A "probabilistic.sampling_percentage is -1, which is below 0" },
    { IN("probabilistic", "sampling_percentage: 10%"), A "probabilistic.sampling_percentage is '10%', not a number" },
    { IN("probabilistic", "sampling_percentage: nan"), A "probabilistic.sampling_percentage is 'nan', not a number" },
    { IN("probabilistic", "sampling_percentage: 1, hash_salt: [x]"), A "probabilistic.hash_salt is a list, not a text" },
    { IN("probabilistic", "percentage: 1"), A "unknown key 'probabilistic.percentage' (sampling_percentage, hash_salt)" },
    { IN("rate_limiting", ""), A "rate_limiting.spans_per_second is missing" },
    { IN("rate_limiting", "spans_per_second: 0"), A "rate_limiting.spans_per_second is 0, which is below 1" },
    { IN("rate_limiting", "spans_per_second: 1, burst_capacity: 0"), A "rate_limiting.burst_capacity is 0, which is below 1" },
    { IN("rate_limiting", "bytes_per_second: 1"), A "unknown key 'rate_limiting.bytes_per_second'; did you mean 'spans_per_second'?" },
    { IN("bytes_limiting", "bytes_per_second: 1MiB"), A "bytes_limiting.bytes_per_second is '1MiB', not a whole number" },
    { IN("dynamic", "field_list: [a]"), A "dynamic.goal_throughput_per_sec is missing" },
    { IN("dynamic", "goal_throughput_per_sec: 0, field_list: [a]"), A "dynamic.goal_throughput_per_sec is 0, which is below 0.001" },
    { IN("dynamic", "goal_throughput_per_sec: 1"), A "dynamic.field_list is missing" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [root.]"), A "dynamic.field_list 1 is 'root.' without a key behind it" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]"),
      A "dynamic.field_list has more than 16 fields" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a], adjustment_interval: 15"),
      A "dynamic.adjustment_interval is '15', not a duration such as 15s" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a], adjustment_interval: 2h"),
      A "dynamic.adjustment_interval is 2h, which is not between 1s and 3600s" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a], weight: 1.5"), A "dynamic.weight is 1.5, which is above 1" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a], max_keys: 0"), A "dynamic.max_keys is 0, which is below 1" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a], initial_sampling_rate: 0.5"),
      A "dynamic.initial_sampling_rate is 0.5, which is below 1" },
    { IN("dynamic", "goal_throughput_per_sec: 1, field_list: [a], goal: 1"),
      A "unknown key 'dynamic.goal' (goal_throughput_per_sec, initial_sampling_rate, adjustment_interval, weight, max_keys, age_out_value, "
        "burst_multiple, burst_detection_delay, field_list, use_trace_length)" },
    /* --- of others --------------------------------------------------------------------------------- */
    { IN("and", ""), A "and.and_sub_policy is missing" },
    { IN("and", "and_sub_policy: []"), A "and.and_sub_policy is empty" },
    { IN("and", "and_sub_policy: {type: trace_flags}"), A "and.and_sub_policy is a map, not a list" },
    { IN("and", "sub_policy: []"), A "unknown key 'and.sub_policy'; did you mean 'and_sub_policy'?" },
    { "- name: a\n  type: and\n  and:\n    and_sub_policy:\n      - type: trace_flags\n      - name: slow\n        type: latency\n"
      "        latency: {threshold: 5}\n",
      A "and.and_sub_policy 2 'slow' (line 6): unknown key 'latency.threshold'; did you mean 'threshold_ms'?" },
    { IN("and", "and_sub_policy: [x]"), A "and.and_sub_policy 1 (line 1): is not a map" },
    { IN("and", "and_sub_policy: [{type: drop, drop: {drop_sub_policy: [{type: trace_flags}]}}]"),
      A "and.and_sub_policy 1 (line 1): 'drop' stands at top level only" },
    { IN("not", ""), A "not.not_sub_policy is missing" },
    { IN("not", "not_sub_policy: [{type: trace_flags}]"), A "not.not_sub_policy 1 (line 1): is not a map" },
    { IN("not", "not_sub_policy: {name: x}"), A "not.not_sub_policy 1 'x' (line 1): type is missing" },
    { IN("drop", "drop_sub_policy: []"), A "drop.drop_sub_policy is empty" },
    { IN("drop", "and_sub_policy: []"), A "unknown key 'drop.and_sub_policy'; did you mean 'drop_sub_policy'?" },
    { "[{name: a, type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: "
      "{not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: {type: not, not: {not_sub_policy: "
      "{type: not, not: {not_sub_policy: {type: trace_flags}}}}}}}}}}}}}}}}}]",
      A "not.not_sub_policy 1 (line 1): not.not_sub_policy 1 (line 1): not.not_sub_policy 1 (line 1): not.not_sub_policy 1 (line 1): "
        "not.not_sub_policy 1 (line 1): not.not_sub_policy 1 (line 1): not.not_sub_policy 1 (line 1): not.not_sub_policy 1 (line 1): "
        "policies are more than 8 deep" },
#define PARTS "composite_sub_policy: [{name: x, type: trace_flags}, {name: y, type: always_sample}]"
    { IN("composite", PARTS), A "composite.max_total_spans_per_second is missing" },
    { IN("composite", "max_total_spans_per_second: 0, " PARTS), A "composite.max_total_spans_per_second is 0, which is below 1" },
    { IN("composite", "max_total_spans_per_second: 5"), A "composite.composite_sub_policy is missing" },
    { IN("composite", "max_total_spans_per_second: 5, composite_sub_policy: [{type: trace_flags}]"),
      A "composite.composite_sub_policy 1 has no name" },
    { IN("composite", "max_total_spans_per_second: 5, composite_sub_policy: [{name: x, type: trace_flags}, {name: x, type: trace_flags}]"),
      A "composite.composite_sub_policy 1 and 2 are both called 'x'" },
    { IN("composite", "max_total_spans_per_second: 5, policy_order: [x, z], " PARTS),
      A "composite.policy_order names 'z', which is no composite_sub_policy" },
    { IN("composite", "max_total_spans_per_second: 5, policy_order: [x], " PARTS),
      A "composite.policy_order names 1 of 2 policies; it must name all" },
    { IN("composite", "max_total_spans_per_second: 5, policy_order: [x, y, x], " PARTS), A "composite.policy_order names 'x' twice" },
    { IN("composite", "max_total_spans_per_second: 5, rate_allocation: [x], " PARTS), A "composite.rate_allocation 1 (line 1): is not a map" },
    { IN("composite", "max_total_spans_per_second: 5, rate_allocation: [{policy: z, percent: 5}], " PARTS),
      A "composite.rate_allocation 1 (line 1): policy names 'z', which is no composite_sub_policy" },
    { IN("composite", "max_total_spans_per_second: 5, rate_allocation: [{percent: 5}], " PARTS), A "composite.rate_allocation 1 (line 1): policy is missing" },
    { IN("composite", "max_total_spans_per_second: 5, rate_allocation: [{policy: x, percent: 101}], " PARTS),
      A "composite.rate_allocation 1 (line 1): percent is 101, which is above 100" },
    { IN("composite", "max_total_spans_per_second: 5, rate_allocation: [{policy: x, share: 1}], " PARTS),
      A "composite.rate_allocation 1 (line 1): unknown key 'share' (policy, percent)" },
};

static void other_yaml_is_refused_by_name(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(refused); i++) {
        const struct trial_rules from = { .policies = refused[i].policies };
        struct sample_rules *rules = NULL;
        struct mg_why why = { "" };
        size_t len = strlen(refused[i].says);
        enum mg_err err = trial_rules_try(&rules, &from, &why);
        bool is_open_ended = refused[i].says[len - 1] == ' '; /* the rest is finder.h's */
        assert_null(rules);
        if (err != MG_E_FORMAT || (is_open_ended ? strncmp(why.text, refused[i].says, len) : strcmp(why.text, refused[i].says)))
            print_error("%s\n  wanted: %s\n  got:    %s: %s\n", refused[i].policies, refused[i].says, mg_err_name(err), why.text), wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* --- limits --------------------------------------------------------------------------------------- */

static enum mg_err try_many(size_t n, const char *format, struct mg_why *why)
{
    struct sample_rules *rules = NULL;
    struct buf text;
    enum mg_err err;

    buf_init(&text, 1 << 22);
    buf_put_char(&text, '[');
    for (size_t i = 0; i < n; i++) {
        char item[200];
        assert_true(snprintf(item, sizeof item, format, (int)i, (int)i) < (int)sizeof item);
        buf_put_text(&text, item);
    }
    buf_put_text(&text, "]");
    buf_put_char(&text, '\0');
    err = trial_rules_try(&rules, &(struct trial_rules){ .policies = text.ptr }, why);
    buf_fini(&text);
    sample_rules_unref(&rules);
    return err;
}

static void there_are_limits(void **state)
{
    static const char flags[] = "{name: p%d, type: trace_flags},";
    static const char numbers[] = "{name: p%d, type: numeric_attribute, numeric_attribute: {key: k, min_value: 1%d}},";
    struct mg_why why = { "" };

    (void)state;
    assert_int_equal(try_many(199, flags, &why), MG_OK);
    assert_int_equal(try_many(200, flags, &why), MG_OK);
    assert_int_equal(try_many(201, flags, &why), MG_E_FORMAT);
    assert_string_equal(why.text, "sampling.policies (line 1) has 201 policies; at most 200 are possible");
    assert_int_equal(try_many(128, numbers, &why), MG_OK);
    assert_int_equal(try_many(129, numbers, &why), MG_E_FORMAT);
    assert_string_equal(why.text, "sampling.policies 129 'p128' (line 1): more than 128 different conditions on spans");
}

/* --- what is made of them -------------------------------------------------------------------------- */

static void a_composite_shares_out_its_spans(void **state)
{
    static const struct { const char *allocation; uint64_t shares[3]; } rows[] = {
        { "", { 33, 33, 33 } },
        { ", rate_allocation: [{policy: x, percent: 50}, {policy: y, percent: 25}]", { 50, 25, 33 } },
        { ", rate_allocation: [{policy: y, percent: 0}, {policy: z, percent: 100}]", { 33, 33, 100 } },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        char text[400];
        snprintf(text, sizeof text, "[{name: a, type: composite, composite: {max_total_spans_per_second: 100, composite_sub_policy: "
                 "[{name: x, type: always_sample}, {name: y, type: always_sample}, {name: z, type: always_sample}]%s}}]", rows[i].allocation);
        struct sample_rules *rules = trial_rules_new(&(struct trial_rules){ .policies = text });
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(rules->policies[0].composite.shares[k], rows[i].shares[k]);
        sample_rules_unref(&rules);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_are_accepted),
        cmocka_unit_test(other_yaml_is_refused_by_name),
        cmocka_unit_test(there_are_limits),
        cmocka_unit_test(a_composite_shares_out_its_spans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
