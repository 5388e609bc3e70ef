/* Many traces at fixed ids: what is kept stands for all of them. With MGTEST_BENCH set, how long it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "unit/sample/trial.h"

#define OPERATIONS 20
#define TRACES     1000000

/* Traces of a root and a child each, whose rows are written once; ids, times and status change from trace to trace. */
struct site {
    struct sample_rules *rules;
    struct sampler *sampler;
    struct rows rows;
    struct arena arena;
    struct { struct row *root, *child; } operations[OPERATIONS];
    struct random random;
    uint64_t log_ns;
};

static void site_init(struct site *site, const struct trial_rules *from, uint64_t seed)
{
    *site = (struct site){ .rules = trial_rules_new(from), .log_ns = TRIAL_BEGIN };
    site->sampler = sampler_new(&(struct sampler_options){ .rules = site->rules, .generation = 1 });
    rows_init(&site->rows);
    random_init(&site->random, seed);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct trial_spans spans;
        char line[800];
        snprintf(line, sizeof line,
                 "name=GET-/op/%u http.request.method:s=GET url.path:s=/op/%u url.scheme:s=https http.response.status_code:i=200 "
                 "server.address:s=shop server.port:i=443 user_agent.original:s=curl network.protocol.version:s=1.1 client.address:s=10.0.0.%u "
                 "~service.name:s=service%u ~k8s.pod.name:s=pod ~deployment.environment.name:s=production | child name=SELECT kind=3 "
                 "db.system.name:s=postgresql db.namespace:s=shop db.operation.name:s=SELECT server.address:s=db%u ~service.name:s=service%u",
                 i, i, i, i % 5, i, i % 5);
        trial_spans(line, &site->arena, &spans);
        site->operations[i].root = (struct row *)(uintptr_t)rows_add(&site->rows, &spans.at[0], NULL);
        site->operations[i].child = (struct row *)(uintptr_t)rows_add(&site->rows, &spans.at[1], site->operations[i].root);
    }
}

static void site_fini(struct site *site)
{
    sampler_free(&site->sampler);
    sample_rules_unref(&site->rules);
    rows_fini(&site->rows);
    arena_fini(&site->arena);
}

/* One trace of the operation is decided. */
static void site_decide(struct site *site, unsigned operation, bool has_error, struct outcome *out)
{
    struct row *root = site->operations[operation].root, *child = site->operations[operation].child;
    struct trace_facts facts = { 0 };
    struct str votes;
    double u = 1 - random_unit(&site->random);

    put_be64(root->trace_id, random_u64(&site->random));
    put_be64(root->trace_id + 8, random_u64(&site->random));
    memcpy(child->trace_id, root->trace_id, 16);
    root->end_ns = root->start_ns + (uint64_t)(-log(u) * 20e6);
    child->status = has_error ? STATUS_ERROR : STATUS_UNSET;
    sampler_add(site->sampler, &facts, root);
    sampler_add(site->sampler, &facts, child);
    const struct sample_trace trace = { .last = child, .n = 2, .bytes = root->bytes + child->bytes, .facts = &facts, .trigger = TRIGGER_ROOT,
                                        .log_ns = site->log_ns };
    sampler_decide(site->sampler, &trace, out, &votes);
}

/* The first operation is common, each next one half as much, down to a floor. */
static unsigned draw_operation(struct random *random)
{
    unsigned i = 0;

    while (i < OPERATIONS - 1 && random_below(random, 100) < (i < 8 ? 50 : 80))
        i++;
    return i;
}

struct count { double truth, estimate, spread; uint64_t errors, kept_errors, kept; };

static void count_traces(struct site *site, unsigned one_error_in, struct count counts[OPERATIONS])
{
    for (unsigned i = 0; i < TRACES; i++) {
        unsigned operation = draw_operation(&site->random);
        bool has_error = random_below(&site->random, one_error_in) == 0;
        struct count *count = &counts[operation];
        struct outcome outcome;
        site->log_ns += 1000000; /* 1,000 traces a second */
        site_decide(site, operation, has_error, &outcome);
        assert_false(outcome.is_estimate);
        double probability = ot_probability(outcome.threshold);
        bool is_kept = outcome.verdict == VERDICT_KEPT;
        count->truth++;
        count->errors += has_error;
        count->kept_errors += has_error && is_kept;
        count->kept += is_kept;
        if (is_kept)
            count->estimate += 1 / probability;
        if (probability < 1)
            count->spread += (1 - probability) / probability;
    }
}

static const struct { struct trial_rules rules; uint64_t seed; unsigned one_error_in; bool keeps_errors; } settings[] = {
    { { .policies = "[{name: some, type: probabilistic, probabilistic: {sampling_percentage: 1}}]" }, 1, 200, false },
    { { .policies = "[{name: some, type: probabilistic, probabilistic: {sampling_percentage: 1}}]", .floor_per_second = 5 }, 2, 200, false },
    { { .policies = "[{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}, "
                    "{name: some, type: probabilistic, probabilistic: {sampling_percentage: 1}}]", .floor_per_second = 5 }, 3, 200, true },
    { { .policies = "[{name: some, type: probabilistic, probabilistic: {sampling_percentage: 1}}, "
                    "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]", .is_first_match = true }, 4, 5, true },
};

static void adjusted_counts_tell_the_truth(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(settings); i++) {
        struct count counts[OPERATIONS] = { { 0 } };
        struct site site;
        uint64_t kept = 0;
        site_init(&site, &settings[i].rules, settings[i].seed);
        count_traces(&site, settings[i].one_error_in, counts);
        for (unsigned k = 0; k < OPERATIONS; k++) {
            double error = counts[k].estimate - counts[k].truth;
            kept += counts[k].kept;
            assert_true(counts[k].truth > 0);
            if (fabs(error) > 4 * sqrt(counts[k].spread))
                fail_msg("setting %zu, operation %u: %.0f instead of %.0f", i, k, counts[k].estimate, counts[k].truth);
            if (settings[i].keeps_errors)
                assert_int_equal(counts[k].errors, counts[k].kept_errors);
        }
        print_message("setting %zu: %d traces, %llu kept\n", i, TRACES, (unsigned long long)kept);
        site_fini(&site);
    }
}

static void one_health_check_in_ten_is_kept_and_every_error(void **state)
{
    struct trial_spans spans;
    struct site site;
    unsigned kept = 0, errors = 0, kept_errors = 0;

    (void)state;
    site_init(&site, &(struct trial_rules){ .policies = "[{name: all, type: always_sample}]", .classes = "null", .floor_per_second = 5 }, 5);
    trial_spans("name=GET-/healthz url.path:s=/healthz http.request.method:s=GET | child", &site.arena, &spans);
    site.operations[0].root = (struct row *)(uintptr_t)rows_add(&site.rows, &spans.at[0], NULL);
    site.operations[0].child = (struct row *)(uintptr_t)rows_add(&site.rows, &spans.at[1], site.operations[0].root);
    for (unsigned i = 0; i < 10100; i++) {
        struct outcome outcome;
        bool has_error = i % 101 == 100;
        site_decide(&site, 0, has_error, &outcome);
        bool is_kept = outcome.verdict == VERDICT_KEPT;
        assert_int_equal(outcome.reason, has_error ? REASON_CLASS_ERROR : REASON_CLASS);
        errors += has_error;
        kept_errors += has_error && is_kept;
        kept += !has_error && is_kept;
    }
    assert_int_equal(errors, 100);
    assert_int_equal(kept_errors, 100);
    assert_in_range(kept, 900, 1100);
    site_fini(&site);
}

/* --- how long it takes ---------------------------------------------------------------------------- */

#define TEN_POLICIES \
    "- {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}\n" \
    "- {name: slow, type: latency, latency: {threshold_ms: 2000}}\n" \
    "- {name: server-errors, type: numeric_attribute, numeric_attribute: {key: http.response.status_code, min_value: 500, max_value: 599}}\n" \
    "- {name: debug, type: boolean_attribute, boolean_attribute: {key: app.debug, value: true}}\n" \
    "- {name: payments, type: string_attribute, string_attribute: {key: service.name, values: [payments, billing]}}\n" \
    "- {name: admin, type: string_attribute, string_attribute: {key: url.path, values: ['^/admin', '/debug/'], enabled_regex_matching: true}}\n" \
    "- {name: large, type: span_count, span_count: {min_spans: 500}}\n" \
    "- {name: staging, type: and, and: {and_sub_policy: [{type: string_attribute, string_attribute: {key: deployment.environment.name, " \
    "values: [staging]}}, {type: probabilistic, probabilistic: {sampling_percentage: 50}}]}}\n" \
    "- {name: spiders, type: drop, drop: {drop_sub_policy: [{type: string_attribute, string_attribute: {key: user_agent.original, " \
    "values: ['(?i)bot|spider'], enabled_regex_matching: true}}]}}\n" \
    "- {name: rest, type: probabilistic, probabilistic: {sampling_percentage: 1}}\n"

static void measure(const char *what, const struct trial_rules *from)
{
    enum { ROUNDS = 2000, REPEATS = 5 };
    struct site site;
    struct outcome outcome;
    struct str votes;
    uint64_t add_ns = UINT64_MAX, decide_ns = UINT64_MAX;

    site_init(&site, from, 6);
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        struct trace_facts facts[OPERATIONS];
        uint64_t begin_ns = clock_thread_cpu_ns();
        for (unsigned i = 0; i < ROUNDS; i++) {
            memset(facts, 0, sizeof facts);
            for (unsigned k = 0; k < OPERATIONS; k++) {
                sampler_add(site.sampler, &facts[k], site.operations[k].root);
                sampler_add(site.sampler, &facts[k], site.operations[k].child);
            }
        }
        uint64_t middle_ns = clock_thread_cpu_ns();
        for (unsigned i = 0; i < ROUNDS * OPERATIONS; i++) {
            struct row *child = site.operations[i % OPERATIONS].child;
            const struct sample_trace trace = { .last = child, .n = 2, .bytes = 400, .facts = &facts[i % OPERATIONS], .log_ns = site.log_ns };
            put_be64(site.operations[i % OPERATIONS].root->trace_id + 8, i * UINT64_C(0x9e3779b97f4a7c15));
            site.log_ns += 1000000;
            sampler_decide(site.sampler, &trace, &outcome, &votes);
        }
        add_ns = MG_MIN(add_ns, middle_ns - begin_ns);
        decide_ns = MG_MIN(decide_ns, clock_thread_cpu_ns() - middle_ns);
    }
    print_message("%s: %.1f ns a row, %.1f ns a decision\n", what, (double)add_ns / (ROUNDS * OPERATIONS * 2),
                  (double)decide_ns / (ROUNDS * OPERATIONS));
    site_fini(&site);
}

static void time_is_told(void **state)
{
    (void)state;
    if (!getenv("MGTEST_BENCH"))
        skip();
    measure("no policy, no class, no floor", &(struct trial_rules){ .policies = NULL });
    measure("10 policies, no class, no floor", &(struct trial_rules){ .policies = TEN_POLICIES });
    measure("10 policies, built-in classes", &(struct trial_rules){ .policies = TEN_POLICIES, .classes = "null" });
    measure("10 policies, built-in classes, floor", &(struct trial_rules){ .policies = TEN_POLICIES, .classes = "null", .floor_per_second = 5 });
    measure("10 policies, the first match, built-in classes, floor",
            &(struct trial_rules){ .policies = TEN_POLICIES, .classes = "null", .floor_per_second = 5, .is_first_match = true });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjusted_counts_tell_the_truth),
        cmocka_unit_test(one_health_check_in_ten_is_kept_and_every_error),
        cmocka_unit_test(time_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
