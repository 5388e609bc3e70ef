/* What is beside the policies: the entry span, reloads, classes, the floor, the ladder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "unit/sample/trial.h"

static const struct sample_trace plainly = { .n = 0 };

/* --- the entry ------------------------------------------------------------------------------------ */

/* Each span but the entry has an R that is dropped. */
#define IS    " ts=ot=rv:f0000000000000"
#define ISNOT " ts=ot=rv:00000000000000"
static const char *const entries[] = {
    "@0-9" IS,
    "@5-9" IS " | child @0-9" ISNOT,                         /* a root before all others */
    "span=9 @5-9" IS " | @6-9" ISNOT " | child @0-9" ISNOT,  /* of roots the earliest */
    "child span=9 @5-9" IS " | child @6-9" ISNOT,            /* without a root the earliest of all */
    "child span=3 @5-9" IS " | child span=4 @5-9" ISNOT,     /* and of those the least id */
    "child span=4294967296 @5-9" IS " | child span=8589934592 @5-9" ISNOT,
    "span=1 kind=2 @5-9" IS " | span=1 kind=3 @5-9" ISNOT,   /* two halves of one */
    "span=1 @5-8" IS " | span=1 @5-9" ISNOT,
    "span=1 @5-9 name=a" IS " | span=1 @5-9 name=b" ISNOT,
};

static void a_trace_has_one_entry_whatever_the_order(void **state)
{
    const struct trial_rules from = { .policies = "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 50}}]" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(entries); i++) {
        for (unsigned turn = 0; turn < 6; turn++) {
            struct bench bench;
            struct trial trial = { 0 };
            struct trial_spans spans;
            bench_init(&bench, &from);
            trial_spans(entries[i], &bench.arena, &spans);
            for (size_t k = 0; k < spans.n; k++) {
                size_t at = turn < 3 ? (k + turn) % spans.n : (spans.n - 1 - k + turn) % spans.n;
                trial_add(&trial, bench.sampler, &bench.rows, &spans.at[at]);
                if (turn & 1)
                    rows_next_epoch(&bench.rows);
            }
            assert_string_equal(bench_decide(&bench, &trial, &plainly), "kept policy a 0.5");
            bench_fini(&bench);
        }
    }
}

/* --- rules change --------------------------------------------------------------------------------- */

#define ERRORS "[{name: a, type: status_code, status_code: {status_codes: [ERROR]}}]"
#define SLOW_OR_X "[{name: slow, type: latency, latency: {threshold_ms: 50}}, {name: x, type: string_attribute, " \
                  "string_attribute: {key: k, values: [x]}}]"

static void facts_of_older_rules_are_gathered_again(void **state)
{
    struct bench bench;
    struct trial before = { 0 }, across = { 0 }, cut = { 0 };

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = ERRORS });
    bench_add(&bench, &before, "error @0-60 | child k:s=x");
    bench_add(&bench, &across, "error k:s=x");
    bench_reload(&bench, &(struct trial_rules){ .policies = SLOW_OR_X }, 2);
    bench_add(&bench, &across, "child ok");
    assert_string_equal(bench_decide(&bench, &before, &plainly), "kept policy slow 1");
    assert_string_equal(bench_decide(&bench, &across, &plainly), "kept policy x 1");
    assert_int_equal(across.facts.generation, 2);
    /* Live clears the facts of a record that it cuts: they are of fewer rows than there are. */
    bench_add(&bench, &cut, "k:s=x | child ok");
    cut.facts = (struct trace_facts){ 0 };
    assert_string_equal(bench_decide(&bench, &cut, &plainly), "kept policy x 1");
    cut.facts = (struct trace_facts){ 0 };
    bench_add(&bench, &cut, "child ok");
    assert_string_equal(bench_decide(&bench, &cut, &plainly), "kept policy x 1");
    bench_fini(&bench);
}

#define LIMIT(name, n) "{name: " name ", type: rate_limiting, rate_limiting: {spans_per_second: " n ", burst_capacity: 1}}"

static void state_goes_on_with_the_same_policy(void **state)
{
    static const struct { const char *policies, *says; } rows[] = {
        { "[" LIMIT("a", "1") "]", "dropped no_policy - 0.5" },
        { "[{name: z, type: trace_flags}, " LIMIT("a", "1") "]", "dropped no_policy - 0.5" },
        { "[{name: a, rate_limiting: {spans_per_second: 1, burst_capacity: 1}, type: rate_limiting}]", "kept policy a 1~" }, /* another text */
        { "[" LIMIT("b", "1") "]", "kept policy b 1~" },
        { "[" LIMIT("a", "2") "]", "kept policy a 1~" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct bench bench;
        struct trial first = { 0 }, second = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = "[" LIMIT("a", "1") "]" });
        bench_add(&bench, &first, "");
        assert_string_equal(bench_decide(&bench, &first, &plainly), "kept policy a 1~");
        bench_reload(&bench, &(struct trial_rules){ .policies = rows[i].policies }, 2);
        bench_add(&bench, &second, "");
        assert_string_equal(bench_decide(&bench, &second, &plainly), rows[i].says);
        bench_fini(&bench);
    }
}

static void state_inside_others_goes_on_too(void **state)
{
    static const char policies[] = "[{name: a, type: and, and: {and_sub_policy: [{type: composite, composite: {max_total_spans_per_second: 2, "
                                   "composite_sub_policy: [{name: p, type: always_sample}, {name: q, type: always_sample}]}}, "
                                   "{type: not, not: {not_sub_policy: {type: trace_flags}}}]}}]";
    struct bench bench;
    struct trial trial[3] = { { 0 } };

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = policies });
    bench_add(&bench, &trial[0], "");
    assert_string_equal(bench_decide(&bench, &trial[0], &plainly), "kept policy a 1~");
    bench_reload(&bench, &(struct trial_rules){ .policies = policies }, 2);
    bench_add(&bench, &trial[1], "");
    assert_string_equal(bench_decide(&bench, &trial[1], &plainly), "dropped no_policy - 0.5");
    bench_add(&bench, &trial[2], "");
    assert_string_equal(bench_decide(&bench, &trial[2], &(struct sample_trace){ .log_ns = TRIAL_BEGIN + 1000000000 }),
                        "kept policy a 0.6667~");
    bench_fini(&bench);
}

static void two_hundred_policies_have_fifty_bytes_of_votes(void **state)
{
    struct buf text;
    struct bench bench;
    struct trial trial = { 0 };
    struct outcome outcome;
    struct str votes;

    (void)state;
    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < 200; i++)
        buf_printf(&text, "- {name: p%u, type: span_count, span_count: {%s: %u}}\n", i, i % 3 ? "min_spans" : "max_spans", i + 1);
    buf_put_char(&text, '\0');
    bench_init(&bench, &(struct trial_rules){ .policies = text.ptr });
    bench_add(&bench, &trial, " | child | child | child | child");
    struct sample_trace trace = trial_ask(&trial, TRIAL_BEGIN);
    sampler_decide(bench.sampler, &trace, &outcome, &votes);
    assert_int_equal(votes.len, 50);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(vote_get(votes, i), (i % 3 ? 5 >= i + 1 : 5 <= i + 1) ? VOTE_YES : VOTE_NO);
    assert_int_equal(outcome.policy, 2);
    assert_int_equal(outcome.rules, 1);
    assert_int_equal(outcome.trigger, TRIGGER_ROOT);
    buf_fini(&text);
    bench_fini(&bench);
}

/* --- classes -------------------------------------------------------------------------------------- */

#define PROBES "[{name: probe, probability: 0.25, paths: [/probe]}, {name: all, probability: 1, paths: [/all]}, " \
               "{name: none, probability: 0, paths: [/none]}]"

static const struct { const char *policies, *trace, *says; uint64_t overload; } classed[] = {
    { ERRORS, "url.path:s=/probe r=c0000000000000", "kept class probe 0.25", 0 },
    { ERRORS, "url.path:s=/probe r=bfffffffffffff", "dropped class probe 0.25", 0 },
    { ERRORS, "url.path:s=/probe r=0 | child error", "kept class_error probe 1", 0 },
    { ERRORS, "url.path:s=/other error r=0", "kept policy a 1", 0 },
    { ERRORS, "url.path:s=/other r=0 | child url.path:s=/probe", "dropped no_policy - 0", 0 }, /* what matters is the entry */
    { "[{name: a, type: always_sample}]", "url.path:s=/probe r=0", "dropped class probe 0.25", 0 },
    { "[{name: d, type: drop, drop: {drop_sub_policy: [{type: status_code, status_code: {status_codes: [ERROR]}}]}}]",
      "url.path:s=/probe error", "dropped drop d 0", 0 },
    { NULL, "url.path:s=/probe r=0", "dropped class probe 0.25", 0 },
    { NULL, "url.path:s=/all r=0", "kept class all 1", 0 },
    { NULL, "url.path:s=/none r=ffffffffffffff", "dropped class none 0", 0 },
    { NULL, "url.path:s=/none r=ffffffffffffff error", "kept class_error none 1", 0 },
    { NULL, "url.path:s=/probe r=c0000000000000", "dropped overload probe 0.125", UINT64_C(0xe0000000000000) },
    { NULL, "url.path:s=/probe r=e0000000000000", "kept class probe 0.125", UINT64_C(0xe0000000000000) },
    { NULL, "url.path:s=/all r=0", "kept class all 1", UINT64_C(0xe0000000000000) },
};

static void classes_decide_by_their_rate_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(classed); i++) {
        struct bench bench;
        struct trial trial = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = classed[i].policies, .classes = PROBES });
        bench_add(&bench, &trial, classed[i].trace);
        const char *says = bench_decide(&bench, &trial, &(struct sample_trace){ .overload_threshold = classed[i].overload });
        if (strcmp(says, classed[i].says) != 0)
            fail_msg("%zu: %s\n  wanted: %s\n  got:    %s", i, classed[i].trace, classed[i].says, says);
        bench_fini(&bench);
    }
}

/* A class would decide otherwise: as long as the entry may be of one, no match is for good. */
static void a_match_waits_for_the_entry(void **state)
{
    static const struct { const char *trace; bool is_settled; } rows[] = {
        { "child error", false }, { "child error | ok", true }, { "child error | url.path:s=/probe", false }, { "error", true },
        { "error url.path:s=/probe", false }, { "ok", false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct bench bench;
        struct trial trial = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = ERRORS, .classes = PROBES, .is_first_match = true });
        bench_add(&bench, &trial, rows[i].trace);
        assert_int_equal(trial.is_settled, rows[i].is_settled);
        bench_fini(&bench);
    }
}

/* --- the floor ------------------------------------------------------------------------------------ */

static const struct { const char *policies, *trace, *says; uint64_t overload; bool is_first_match; } floored[] = {
    /* An error is kept for itself: before what would be drawn, after what is sure. */
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 50}}]", "error r=0", "kept floor_error - 1", 0, false },
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 50}}]", "error r=ffffffffffffff", "kept floor_error - 1", 0, false },
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 50}}]", "error r=ffffffffffffff", "kept floor_error - 1", 0, true },
    { "[{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 9}}]", "error", "kept floor_error - 1", 0, false },
    { ERRORS, "error", "kept policy a 1", 0, false },
    { "[{name: a, type: trace_flags}]", "error", "kept floor_error - 1", 0, false },
    { "[{name: d, type: drop, drop: {drop_sub_policy: [{type: always_sample}]}}]", "error", "dropped drop d 0", 0, false },
    { "[{name: i, type: string_attribute, string_attribute: {key: k, values: [x], invert_match: true}}]", "error k:s=x",
      "dropped inverted i 0", 0, false },
    { "[{name: a, type: trace_flags}]", "error url.path:s=/probe", "kept class_error probe 1", 0, false },
    /* Without policies all is kept anyway, until there is overload. */
    { NULL, "error r=0", "kept no_rules - 1", 0, false },
    { NULL, "error r=0", "kept floor_error - 1", UINT64_C(0xf0000000000000), false },
};

static void the_floor_stands_between_sure_and_chance(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(floored); i++) {
        struct bench bench;
        struct trial trial = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = floored[i].policies, .classes = PROBES, .floor_per_second = 5,
                                                  .is_first_match = floored[i].is_first_match });
        bench_add(&bench, &trial, floored[i].trace);
        const char *says = bench_decide(&bench, &trial, &(struct sample_trace){ .overload_threshold = floored[i].overload });
        if (strcmp(says, floored[i].says) != 0)
            fail_msg("%zu: %s\n  wanted: %s\n  got:    %s", i, floored[i].trace, floored[i].says, says);
        bench_fini(&bench);
    }
}

static void a_new_operation_is_kept_once_and_known_ones_are_not(void **state)
{
    static const struct { const char *trace, *says; } rows[] = {
        { "~service.name:s=shop name=known", "dropped no_policy - 0" },
        { "~service.name:s=shop name=new", "kept floor_new - 1" },
        { "~service.name:s=shop name=new", "dropped no_policy - 0" },
        { "~service.name:s=other name=known", "kept floor_new - 1" },
        { "name=known", "dropped no_policy - 0" },
    };
    struct sampler_stats stats;
    struct bench bench;

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = "[{name: a, type: trace_flags}]", .floor_per_second = 5 });
    sampler_know(bench.sampler, STR("shop"), STR("known"));
    sampler_know(bench.sampler, STR("missing-service-name"), STR("known"));
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct trial trial = { 0 };
        bench_add(&bench, &trial, rows[i].trace);
        const char *says = bench_decide(&bench, &trial, &plainly);
        if (strcmp(says, rows[i].says) != 0)
            fail_msg("%zu: %s\n  wanted: %s\n  got:    %s", i, rows[i].trace, rows[i].says, says);
    }
    sampler_stat(bench.sampler, &stats);
    assert_true(stats.floor_bytes_today > 0);
    bench_fini(&bench);
}

/* What is dropped for good, whatever the floor says, was not the first of its operation: one that could be kept is. */
static void the_first_that_could_be_kept_is_the_new_one(void **state)
{
#define DROP "[{name: d, type: drop, drop: {drop_sub_policy: [{type: string_attribute, string_attribute: {key: k, values: [x]}}]}}, " \
             "{name: a, type: trace_flags}]"
#define INVERTED "[{name: i, type: string_attribute, string_attribute: {key: k, values: [x], invert_match: true}}, {name: a, type: trace_flags}]"
#define FLAGGED "[{name: a, type: trace_flags}]"
    static const struct { const char *policies, *first, *says, *second, *then; } rows[] = {
        { DROP, "k:s=x", "dropped drop d 0", "k:s=y", "kept floor_new - 1" },
        { INVERTED, "k:s=x", "dropped inverted i 0", "k:s=y", "kept floor_new - 1" },
        { FLAGGED, "url.path:s=/probe r=0", "dropped class probe 0.25", "k:s=y", "kept floor_new - 1" },
        { FLAGGED, "url.path:s=/probe r=ffffffffffffff", "kept class probe 0.25", "k:s=y", "dropped no_policy - 0" },
        { FLAGGED, "flags=1", "kept policy a 1", "k:s=y", "dropped no_policy - 0" },
        { FLAGGED, "k:s=x", "kept floor_new - 1", "k:s=y", "dropped no_policy - 0" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct bench bench;
        struct trial first = { 0 }, second = { 0 }, third = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = rows[i].policies, .classes = PROBES, .floor_per_second = 5 });
        bench_add(&bench, &first, rows[i].first);
        assert_string_equal(bench_decide(&bench, &first, &plainly), rows[i].says);
        bench_add(&bench, &second, rows[i].second);
        assert_string_equal(bench_decide(&bench, &second, &plainly), rows[i].then);
        bench_add(&bench, &third, rows[i].second);
        assert_string_equal(bench_decide(&bench, &third, &plainly), "dropped no_policy - 0");
        bench_fini(&bench);
    }
}

/* The budget is for what would be lost. */
static void what_is_kept_or_dropped_for_sure_costs_the_floor_nothing(void **state)
{
    static const struct { const char *policies, *trace; } rows[] = {
        { ERRORS, "error" },
        { NULL, "error" },
        { ERRORS, "error url.path:s=/probe" },
        { ERRORS, "ok url.path:s=/probe" },
        { "[{name: d, type: drop, drop: {drop_sub_policy: [{type: always_sample}]}}]", "error" },
        { "[{name: i, type: string_attribute, string_attribute: {key: k, values: [x], invert_match: true}}]", "error k:s=x" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct bench bench;
        struct trial trial = { 0 };
        struct sampler_stats stats;
        bench_init(&bench, &(struct trial_rules){ .policies = rows[i].policies, .classes = PROBES, .floor_per_second = 5 });
        bench_add(&bench, &trial, rows[i].trace);
        bench_decide(&bench, &trial, &plainly);
        sampler_stat(bench.sampler, &stats);
        assert_int_equal(stats.floor_bytes_today, 0);
        bench_fini(&bench);
    }
}

static void the_floors_day_survives_a_restart(void **state)
{
    struct sampler_stats before, after;
    struct bench a, b;
    struct trial trial = { 0 };
    struct buf saved;

    (void)state;
    bench_init(&a, &(struct trial_rules){ .policies = "[{name: a, type: trace_flags}]", .floor_per_second = 5 });
    bench_init(&b, &(struct trial_rules){ .policies = "[{name: a, type: trace_flags}]", .floor_per_second = 5 });
    bench_add(&a, &trial, "error");
    assert_string_equal(bench_decide(&a, &trial, &plainly), "kept floor_error - 1");
    buf_init(&saved, 4096);
    sampler_save(a.sampler, &saved);
    sampler_load(b.sampler, STR("no bytes of a sampler"));
    sampler_load(b.sampler, buf_str(&saved));
    sampler_stat(a.sampler, &before);
    sampler_stat(b.sampler, &after);
    assert_true(before.floor_bytes_today > 0);
    assert_int_equal(before.floor_bytes_today, after.floor_bytes_today);
    buf_fini(&saved);
    bench_fini(&a);
    bench_fini(&b);
}

/* --- overload ------------------------------------------------------------------------------------- */

#define HALF    UINT64_C(0x80000000000000)
#define QUARTER UINT64_C(0xc0000000000000)
static const struct { const char *policies, *trace, *says; uint64_t overload; } overloads[] = {
    { NULL, "r=c0000000000000", "kept no_rules - 0.25", QUARTER },
    { NULL, "r=bfffffffffffff", "dropped overload - 0.25", QUARTER },
    { NULL, "r=0", "kept no_rules - 1", 0 },
    { ERRORS, "error r=0", "kept policy a 1", QUARTER },
    { ERRORS, "ok r=0", "dropped no_policy - 0", QUARTER },
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 50}}]", "r=90000000000000", "dropped overload a 0.25", QUARTER },
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 50}}]", "r=d0000000000000", "kept policy a 0.25", QUARTER },
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 12.5}}]", "r=f0000000000000", "kept policy a 0.125", QUARTER },
    { "[{name: a, type: probabilistic, probabilistic: {sampling_percentage: 12.5}}]", "r=d0000000000000", "dropped no_policy - 0.125", QUARTER },
    { "[{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 5}}]", "r=90000000000000", "kept policy a 0.5~", HALF },
    { "[{name: a, type: rate_limiting, rate_limiting: {spans_per_second: 5}}]", "r=10000000000000", "dropped overload a 0.5~", HALF },
    { "[{name: a, type: not, not: {not_sub_policy: {type: probabilistic, probabilistic: {sampling_percentage: 50}}}}]", "r=10000000000000",
      "dropped overload a 0.25~", HALF },
};

static void the_ladder_takes_what_is_not_certain(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(overloads); i++) {
        struct bench bench;
        struct trial trial = { 0 };
        bench_init(&bench, &(struct trial_rules){ .policies = overloads[i].policies });
        bench_add(&bench, &trial, overloads[i].trace);
        const char *says = bench_decide(&bench, &trial, &(struct sample_trace){ .overload_threshold = overloads[i].overload });
        if (strcmp(says, overloads[i].says) != 0)
            fail_msg("%zu: %s\n  wanted: %s\n  got:    %s", i, overloads[i].trace, overloads[i].says, says);
        bench_fini(&bench);
    }
}

/* --- dynamic -------------------------------------------------------------------------------------- */

#define KEYED(conf) "[{name: a, type: dynamic, dynamic: {goal_throughput_per_sec: 1, " conf "}}]"

/* The rate before the first adjustment is 1 in 10. */
static void dynamic_keeps_by_its_threshold(void **state)
{
    struct sampler_stats stats;
    struct bench bench;
    struct trial kept = { 0 }, dropped = { 0 };

    (void)state;
    bench_init(&bench, &(struct trial_rules){ .policies = KEYED("field_list: [k]") });
    bench_add(&bench, &kept, "k:s=x r=e6666666666667");
    assert_string_equal(bench_decide(&bench, &kept, &plainly), "kept policy a 0.1");
    bench_add(&bench, &dropped, "k:s=y r=e5000000000000");
    assert_string_equal(bench_decide(&bench, &dropped, &plainly), "dropped no_policy - 0.1");
    sampler_stat(bench.sampler, &stats);
    assert_int_equal(stats.dynamic_keys, 2);
    bench_reload(&bench, &(struct trial_rules){ .policies = KEYED("field_list: [k]") }, 2);
    sampler_stat(bench.sampler, &stats);
    assert_int_equal(stats.dynamic_keys, 2);
    bench_reload(&bench, &(struct trial_rules){ .policies = KEYED("field_list: [n]") }, 3);
    sampler_stat(bench.sampler, &stats);
    assert_int_equal(stats.dynamic_keys, 0);
    bench_fini(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_has_one_entry_whatever_the_order),
        cmocka_unit_test(facts_of_older_rules_are_gathered_again),
        cmocka_unit_test(state_goes_on_with_the_same_policy),
        cmocka_unit_test(state_inside_others_goes_on_too),
        cmocka_unit_test(two_hundred_policies_have_fifty_bytes_of_votes),
        cmocka_unit_test(classes_decide_by_their_rate_alone),
        cmocka_unit_test(a_match_waits_for_the_entry),
        cmocka_unit_test(the_floor_stands_between_sure_and_chance),
        cmocka_unit_test(a_new_operation_is_kept_once_and_known_ones_are_not),
        cmocka_unit_test(the_first_that_could_be_kept_is_the_new_one),
        cmocka_unit_test(what_is_kept_or_dropped_for_sure_costs_the_floor_nothing),
        cmocka_unit_test(the_floors_day_survives_a_restart),
        cmocka_unit_test(the_ladder_takes_what_is_not_certain),
        cmocka_unit_test(dynamic_keeps_by_its_threshold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
