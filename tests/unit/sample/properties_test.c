/* What holds for all rules and all traces: rules and traces are drawn, from fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/mem.h"
#include "base/random.h"
#include "sample/policy.h"
#include "unit/sample/trial.h"

#define RULE_SETS  300
#define TRACES     8
#define SPANS_MAX  7
#define VARIANTS   4

/* --- drawing rules -------------------------------------------------------------------------------- */

enum { WITH_STATE = 1, WITH_NOT = 2, WITH_INVERSION = 4, WITH_DROP = 8, WITH_ALL = 15 };

static const char *const names[] = { "k", "n", "b", "http.route", "r" };
static const char *const texts[] = { "x", "y", "xy", "yy" };

static const char *draw(struct random *random, const char *const *from, size_t n)
{
    return from[random_below(random, n)];
}

static void put_condition(struct random *random, unsigned with, struct buf *out)
{
    const char *invert = with & WITH_INVERSION && random_below(random, 4) == 0 ? ", invert_match: true" : "";
    const char *key = draw(random, names, MG_COUNT(names)), *a = draw(random, texts, 4), *b = draw(random, texts, 4);

    switch (random_below(random, 5)) {
    case 0:
        buf_printf(out, "type: numeric_attribute, numeric_attribute: {key: %s, min_value: %d, max_value: 9%s}", key,
                   (int)random_below(random, 8) + 1, invert);
        return;
    case 1:
        buf_printf(out, "type: string_attribute, string_attribute: {key: %s, values: [%s, %s]%s}", key, a, b, invert);
        return;
    case 2:
        buf_printf(out, "type: string_attribute, string_attribute: {key: %s, values: ['^%s', '%s$'], enabled_regex_matching: true%s}", key, a,
                   b, invert);
        return;
    case 3:
        buf_printf(out, "type: boolean_attribute, boolean_attribute: {key: %s, value: %s%s}", key, random_below(random, 2) ? "true" : "false",
                   invert);
        return;
    default:
        buf_printf(out, "type: trace_state, trace_state: {key: %s, values: [%s]}", key[0] == 'h' ? "k" : key, a);
    }
}

/* "type: …" of something without parts. */
static void put_leaf(struct random *random, unsigned with, double scale, struct buf *out)
{
    switch (random_below(random, with & WITH_STATE ? 11 : 8)) {
    case 0: buf_printf(out, "type: latency, latency: {threshold_ms: %d}", (int)random_below(random, 200)); return;
    case 1: buf_printf(out, "type: latency, latency: {threshold_ms: 20, upper_threshold_ms: %d}", (int)random_below(random, 200) + 21); return;
    case 2: buf_printf(out, "type: status_code, status_code: {status_codes: [%s]}", random_below(random, 2) ? "ERROR" : "OK, UNSET"); return;
    case 3: buf_printf(out, "type: span_count, span_count: {min_spans: %d}", (int)random_below(random, SPANS_MAX) + 1); return;
    case 4: buf_put_text(out, random_below(random, 4) ? "type: trace_flags" : "type: always_sample"); return;
    case 5: buf_printf(out, "type: probabilistic, probabilistic: {sampling_percentage: %g}", scale * (double)random_below(random, 100)); return;
    case 8: buf_printf(out, "type: rate_limiting, rate_limiting: {spans_per_second: %d}", (int)random_below(random, 20) + 1); return;
    case 9: buf_printf(out, "type: probabilistic, probabilistic: {sampling_percentage: %g, hash_salt: s}", (double)random_below(random, 100));
        return;
    case 10: buf_put_text(out, "type: dynamic, dynamic: {goal_throughput_per_sec: 5, field_list: [k, root.n]}"); return;
    default: put_condition(random, with, out);
    }
}

static void put_policy(struct random *random, unsigned with, double scale, unsigned depth, struct buf *out);

static void put_parts(struct random *random, unsigned with, double scale, unsigned depth, struct buf *out)
{
    size_t n = random_below(random, 3) + 1;

    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s{name: part%zu, ", i ? ", " : "", i);
        put_policy(random, with & ~(unsigned)WITH_DROP, scale, depth + 1, out);
        buf_put_text(out, "}");
    }
}

static void put_policy(struct random *random, unsigned with, double scale, unsigned depth, struct buf *out)
{
    uint64_t kind = depth < 3 ? random_below(random, 10) : 0;

    if (kind == 9 && with & WITH_DROP) {
        buf_put_text(out, "type: drop, drop: {drop_sub_policy: [");
        put_parts(random, with, scale, depth, out);
        buf_put_text(out, "]}");
    } else if (kind == 8 && with & WITH_STATE) {
        buf_put_text(out, "type: composite, composite: {max_total_spans_per_second: 20, composite_sub_policy: [");
        put_parts(random, with, scale, depth, out);
        buf_put_text(out, "]}");
    } else if (kind == 7 && with & WITH_NOT) {
        buf_put_text(out, "type: not, not: {not_sub_policy: {");
        put_policy(random, with & ~(unsigned)WITH_DROP, scale, depth + 1, out);
        buf_put_text(out, "}}");
    } else if (kind >= 5) {
        buf_put_text(out, "type: and, and: {and_sub_policy: [");
        put_parts(random, with, scale, depth, out);
        buf_put_text(out, "]}");
    } else {
        put_leaf(random, with, scale, out);
    }
}

/* A list of policies, NUL-terminated. */
static void put_rules(uint64_t seed, unsigned with, double scale, struct buf *out)
{
    struct random random;

    random_init(&random, seed);
    buf_clear(out);
    size_t n = random_below(&random, 6) + 1;
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "- {name: p%zu, ", i);
        put_policy(&random, with, scale, 0, out);
        buf_put_text(out, "}\n");
    }
    buf_put_char(out, '\0');
}

/* --- drawing traces ------------------------------------------------------------------------------- */

static void put_span(struct random *random, size_t i, struct buf *out)
{
    static const char *const words[] = { "error", "ok", "flags=1", "kind=3", "name=other", "status=9" };
    unsigned start = (unsigned)random_below(random, 100);

    buf_printf(out, "%s @%u-%u", i > 0 && random_below(random, 8) ? " child" : "", start, start + (unsigned)random_below(random, 120));
    for (uint64_t k = random_below(random, 3); k > 0; k--)
        buf_printf(out, " %s", draw(random, words, MG_COUNT(words)));
    for (uint64_t k = random_below(random, 6); k > 0; k--) {
        const char *where = random_below(random, 5) ? "" : "~", *name = draw(random, names, MG_COUNT(names));
        switch (random_below(random, 4)) {
        case 0: buf_printf(out, " %s%s:i=%d", where, name, (int)random_below(random, 12)); break;
        case 1: buf_printf(out, " %s%s:b=%s", where, name, random_below(random, 2) ? "true" : "false"); break;
        default: buf_printf(out, " %s%s:s=%s", where, name, draw(random, texts, MG_COUNT(texts)));
        }
    }
    if (random_below(random, 6) == 0)
        buf_printf(out, " ts=%s=%s", random_below(random, 2) ? "k" : "n", draw(random, texts, MG_COUNT(texts)));
    else if (random_below(random, 10) == 0)
        buf_printf(out, " ts=ot=rv:%014llx", (unsigned long long)(random_u64(random) >> 8));
}

static void put_trace(struct random *random, struct buf *out)
{
    size_t n = random_below(random, SPANS_MAX) + 1;

    buf_clear(out);
    buf_printf(out, "r=%llx", (unsigned long long)(random_u64(random) >> 8));
    for (size_t i = 0; i < n; i++) {
        buf_put_text(out, i ? " | " : " ");
        put_span(random, i, out);
    }
    buf_put_char(out, '\0');
}

struct traces { struct trial_spans at[TRACES]; struct arena arena; };

static void draw_traces(uint64_t seed, struct traces *out)
{
    struct random random;
    struct buf line;

    random_init(&random, seed);
    buf_init(&line, 1 << 16);
    *out = (struct traces){ 0 };
    for (size_t i = 0; i < TRACES; i++) {
        put_trace(&random, &line);
        trial_spans(line.ptr, &out->arena, &out->at[i]);
        for (size_t k = 0; k < out->at[i].n; k++)
            out->at[i].at[k].trace_id[0] = (uint8_t)i;
    }
    buf_fini(&line);
}

/* --- deciding them -------------------------------------------------------------------------------- */

struct decision { struct outcome outcome; uint8_t votes[50]; size_t n_votes; };

static void decide_all(struct sampler *sampler, struct trial *trials, struct decision *out)
{
    for (size_t i = 0; i < TRACES; i++) {
        struct sample_trace trace = trial_ask(&trials[i], TRIAL_BEGIN + i * 30000000);
        struct str votes;
        out[i] = (struct decision){ 0 };
        sampler_decide(sampler, &trace, &out[i].outcome, &votes);
        memcpy(out[i].votes, votes.ptr, votes.len);
        out[i].n_votes = votes.len;
    }
}

static void assert_same(const struct decision *a, const struct decision *b, const char *rules)
{
    for (size_t i = 0; i < TRACES; i++)
        if (outcome_pack(&a[i].outcome) != outcome_pack(&b[i].outcome) || a[i].n_votes != b[i].n_votes ||
            memcmp(a[i].votes, b[i].votes, a[i].n_votes) != 0)
            fail_msg("%s\n  trace %zu: %s %s %d against %s %s %d", rules, i, a[i].outcome.verdict == VERDICT_KEPT ? "kept" : "dropped",
                     reason_name(a[i].outcome.reason), a[i].outcome.policy, b[i].outcome.verdict == VERDICT_KEPT ? "kept" : "dropped",
                     reason_name(b[i].outcome.reason), b[i].outcome.policy);
}

/* Adds the spans of all traces in an order of `random`'s, with new epochs now and then; NULL: as they stand. */
struct arrival { struct random *random; struct sampler *sampler; struct rows *rows; };

static void add_all(const struct arrival *arrival, const struct traces *traces, size_t from, size_t to, struct trial *trials)
{
    size_t order[TRACES * TRIAL_SPANS_MAX], n = 0;

    for (size_t i = 0; i < TRACES; i++)
        for (size_t k = 0; k < traces->at[i].n; k++)
            order[n++] = i * TRIAL_SPANS_MAX + k;
    for (size_t i = n; arrival->random && i > 1; i--) {
        size_t at = random_below(arrival->random, i), other = order[i - 1];
        order[i - 1] = order[at];
        order[at] = other;
    }
    for (size_t i = from * n / 10; i < to * n / 10; i++) {
        size_t trace = order[i] / TRIAL_SPANS_MAX;
        if (arrival->random && random_below(arrival->random, 6) == 0)
            rows_next_epoch(arrival->rows);
        trial_add(&trials[trace], arrival->sampler, arrival->rows, &traces->at[trace].at[order[i] % TRIAL_SPANS_MAX]);
    }
}

static void order_and_epochs_do_not_matter(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 1; seed <= RULE_SETS; seed++) {
        struct decision first[TRACES], other[TRACES];
        struct random random;
        struct traces traces;
        random_init(&random, seed);
        put_rules(seed, WITH_ALL, 1, &text);
        draw_traces(seed, &traces);
        struct sample_rules *rules = trial_rules_new(&(struct trial_rules){ .policies = text.ptr, .floor_per_second = seed % 2 ? 5 : 0,
                                                                            .is_first_match = seed % 3 == 0 });
        for (unsigned variant = 0; variant < VARIANTS; variant++) {
            struct sampler *sampler = sampler_new(&(struct sampler_options){ .rules = rules, .generation = 1 });
            struct trial trials[TRACES] = { { 0 } };
            struct rows rows;
            rows_init(&rows);
            add_all(&(struct arrival){ variant ? &random : NULL, sampler, &rows }, &traces, 0, 10, trials);
            decide_all(sampler, trials, variant ? other : first);
            if (variant)
                assert_same(first, other, text.ptr);
            sampler_free(&sampler);
            rows_fini(&rows);
        }
        sample_rules_unref(&rules);
        arena_fini(&traces.arena);
    }
    buf_fini(&text);
}

static void a_reload_gives_what_fresh_facts_give(void **state)
{
    struct buf before, after;

    (void)state;
    buf_init(&before, 1 << 20);
    buf_init(&after, 1 << 20);
    for (uint64_t seed = 1; seed <= RULE_SETS; seed++) {
        struct decision reloaded[TRACES], fresh[TRACES];
        struct traces traces;
        put_rules(seed, WITH_ALL, 1, &before);
        put_rules(seed + 100000, WITH_ALL, 1, &after);
        draw_traces(seed, &traces);
        struct sample_rules *old = trial_rules_new(&(struct trial_rules){ .policies = before.ptr, .floor_per_second = 5 });
        struct sample_rules *new = trial_rules_new(&(struct trial_rules){ .policies = after.ptr, .floor_per_second = 5 });
        for (unsigned turn = 0; turn < 2; turn++) {
            struct sampler *sampler = sampler_new(&(struct sampler_options){ .rules = turn ? new : old, .generation = 1 + turn });
            struct trial trials[TRACES] = { { 0 } };
            struct rows rows;
            rows_init(&rows);
            add_all(&(struct arrival){ NULL, sampler, &rows }, &traces, 0, seed % 11, trials);
            if (turn == 0)
                sampler_reload(sampler, new, 2);
            add_all(&(struct arrival){ NULL, sampler, &rows }, &traces, seed % 11, 10, trials);
            decide_all(sampler, trials, turn ? fresh : reloaded);
            sampler_free(&sampler);
            rows_fini(&rows);
        }
        assert_same(reloaded, fresh, after.ptr);
        sample_rules_unref(&old);
        sample_rules_unref(&new);
        arena_fini(&traces.arena);
    }
    buf_fini(&before);
    buf_fini(&after);
}

/* --- chance --------------------------------------------------------------------------------------- */

static void decide_fresh(const struct trial_rules *from, const struct traces *traces, struct decision *out, struct trial *trials)
{
    struct sample_rules *rules = trial_rules_new(from);
    struct sampler *sampler = sampler_new(&(struct sampler_options){ .rules = rules, .generation = 1 });
    struct rows rows;

    rows_init(&rows);
    memset(trials, 0, TRACES * sizeof *trials);
    add_all(&(struct arrival){ NULL, sampler, &rows }, traces, 0, 10, trials);
    decide_all(sampler, trials, out);
    rows_fini(&rows);
    sampler_free(&sampler);
    sample_rules_unref(&rules);
}

/* What is kept at some probabilities is kept at all higher ones, and what it is kept at lies below its R. */
static void thresholds_are_nested(void **state)
{
    static const double scales[] = { 0.01, 0.1, 0.5, 0.9, 1 };
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 1; seed <= RULE_SETS; seed++) {
        struct decision last[TRACES] = { 0 }, now[TRACES];
        struct trial trials[TRACES];
        struct traces traces;
        draw_traces(seed, &traces);
        for (size_t i = 0; i < MG_COUNT(scales); i++) {
            put_rules(seed, 0, scales[i], &text);
            decide_fresh(&(struct trial_rules){ .policies = text.ptr }, &traces, now, trials);
            for (size_t k = 0; k < TRACES; k++) {
                if (last[k].outcome.verdict == VERDICT_KEPT)
                    assert_int_equal(now[k].outcome.verdict, VERDICT_KEPT);
                if (last[k].outcome.verdict)
                    assert_true(now[k].outcome.threshold <= last[k].outcome.threshold);
                assert_false(now[k].outcome.is_estimate);
            }
            memcpy(last, now, sizeof last);
        }
        arena_fini(&traces.arena);
    }
    buf_fini(&text);
}

/* The word that is stored tells the same. */
static void outcomes_are_what_words_can_hold(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 1; seed <= RULE_SETS; seed++) {
        struct decision now[TRACES];
        struct trial trials[TRACES];
        struct traces traces;
        draw_traces(seed, &traces);
        put_rules(seed, WITH_ALL, 1, &text);
        decide_fresh(&(struct trial_rules){ .policies = text.ptr, .floor_per_second = 2 }, &traces, now, trials);
        for (size_t i = 0; i < TRACES; i++) {
            const struct outcome *wanted = &now[i].outcome;
            struct outcome got;
            assert_true(outcome_unpack(outcome_pack(wanted), &got));
            assert_int_equal(got.verdict, wanted->verdict);
            assert_int_equal(got.reason, wanted->reason);
            assert_int_equal(got.policy, wanted->policy);
            assert_int_equal(got.threshold, wanted->threshold);
            assert_int_equal(got.is_estimate, wanted->is_estimate);
            assert_true(wanted->threshold == 0 || wanted->verdict == VERDICT_DROPPED || wanted->reason == REASON_POLICY ||
                        wanted->is_estimate); /* spared by a drop policy that goes by chance */
        }
        arena_fini(&traces.arena);
    }
    buf_fini(&text);
}

/* --- deciding early ------------------------------------------------------------------------------- */

/* Once a match is for good, rows to come change neither the verdict nor the probability. */
static void a_settled_match_stays(void **state)
{
    unsigned settled = 0;
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (uint64_t seed = 1; seed <= RULE_SETS * 3; seed++) {
        struct traces traces;
        put_rules(seed, seed % 2 ? WITH_ALL : WITH_STATE | WITH_NOT, 1, &text);
        draw_traces(seed, &traces);
        struct sample_rules *rules = trial_rules_new(&(struct trial_rules){ .policies = text.ptr, .is_first_match = true });
        for (size_t i = 0; i < TRACES; i++) {
            struct outcome then = { 0 }, now;
            struct trial trial = { 0 };
            struct rows rows;
            rows_init(&rows);
            for (size_t k = 0; k < traces.at[i].n; k++) {
                struct sampler *sampler = sampler_new(&(struct sampler_options){ .rules = rules, .generation = 1 });
                struct str votes;
                trial_add(&trial, sampler, &rows, &traces.at[i].at[k]);
                struct sample_trace trace = trial_ask(&trial, TRIAL_BEGIN);
                sampler_decide(sampler, &trace, &now, &votes);
                sampler_free(&sampler);
                if (then.verdict && (then.verdict != now.verdict || then.threshold != now.threshold || then.is_estimate != now.is_estimate))
                    fail_msg("%s\n  trace %zu, row %zu", text.ptr, i, k);
                if (trial.is_settled)
                    then = now;
            }
            settled += trial.is_settled;
            rows_fini(&rows);
        }
        sample_rules_unref(&rules);
        arena_fini(&traces.arena);
    }
    assert_true(settled > RULE_SETS);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_and_epochs_do_not_matter),
        cmocka_unit_test(a_reload_gives_what_fresh_facts_give),
        cmocka_unit_test(thresholds_are_nested),
        cmocka_unit_test(outcomes_are_what_words_can_hold),
        cmocka_unit_test(a_settled_match_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
