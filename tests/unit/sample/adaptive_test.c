#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/log.h"
#include "base/random.h"
#include "model/ot.h"
#include "sample/adaptive.h"
#include "unit/sample/head_rig.h"

/* --- the calculation by itself -------------------------------------------------------------------- */

static const struct head_conf defaults = { .mode = HEAD_ADAPTIVE, .target = 1, .tolerance = 0.3, .buckets = 10, .used_buckets = 1,
                                           .initial_probability = 0.001, .min_probability = 0.00001 };

static const struct adaptive_rounds minutes = { .n = 10, .at = { { 60, 1, 1 }, { 60, 1, 1 }, { 60, 1, 1 }, { 60, 1, 1 }, { 60, 1, 1 },
                                                                 { 60, 1, 1 }, { 60, 1, 1 }, { 60, 1, 1 }, { 60, 1, 1 }, { 60, 1, 1 } } };

/* counts: of one-minute intervals, oldest first, -1: not seen. All with the same probability told. */
static struct adaptive counted(double probability, const int *counts, size_t n)
{
    struct adaptive a = { .probability = probability };

    for (size_t i = 0; i < n; i++)
        adaptive_add(&a, &(struct adaptive_sample){ counts[i] < 0 ? 0 : (uint64_t)counts[i], probability, counts[i] >= 0 }, NULL, 0, 10);
    return a;
}

static void test_next(void **state)
{
    static const struct { const char *name; double probability; int counts[4]; size_t n; bool is_asked; double target, want; } rows[] = {
        { "on the target", 0.1, { 60 }, 1, true, 1, 0.1 },
        { "within the tolerance, above", 0.1, { 77 }, 1, true, 1, 0.1 },
        { "within the tolerance, below", 0.1, { 43 }, 1, true, 1, 0.1 },
        { "at the tolerance", 0.1, { 80 }, 1, true, 1, 0.075 },
        { "an increase that is no doubling", 0.1, { 40 }, 1, true, 1, 0.15 },
        { "a doubling", 0.1, { 30 }, 1, true, 1, 0.2 },
        { "an increase is at most a doubling", 0.1, { 6 }, 1, true, 1, 0.2 },
        { "nothing was sampled: a doubling", 0.1, { 0 }, 1, true, 1, 0.2 },
        { "a decrease is at once", 0.1, { 60000 }, 1, true, 1, 0.0001 },
        { "another target", 0.1, { 600 }, 1, true, 10, 0.1 },
        { "another target, a decrease", 0.1, { 1200 }, 1, true, 10, 0.05 },
        { "not above 1", 0.8, { 30 }, 1, true, 1, 1 },
        { "not below the least", 0.0001, { 6000 }, 1, true, 1, 0.00001 },
        { "nobody follows", 0.1, { 60000 }, 1, false, 1, 0.1 },
        { "nobody follows, nothing sampled", 0.1, { 0 }, 1, false, 1, 0.1 },
        { "only the newest counts", 0.1, { 6000, 6000, 30 }, 3, true, 1, 0.2 },
        { "an interval without a root is passed over", 0.1, { 6000, 30, -1 }, 3, true, 1, 0.2 },
        { "... also where it lowers", 0.1, { 30, 6000, -1 }, 3, true, 1, 0.001 },
        { "never seen", 0.1, { -1, -1 }, 2, true, 1, 0.1 },
        { "no interval yet", 0.1, { 0 }, 0, true, 1, 0.1 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct adaptive a = counted(rows[i].probability, rows[i].counts, rows[i].n);
        adaptive_measure(&a, &defaults, &minutes, rows[i].is_asked);
        double next = adaptive_next(&a, &defaults, &minutes, rows[i].target);
        if (fabs(next / rows[i].want - 1) > 1e-9)
            fail_msg("%s: %g, not %g", rows[i].name, next, rows[i].want);
        adaptive_fini(&a);
    }
}

static void test_weights(void **state)
{
    static const struct { uint64_t used; int counts[5]; double want; } rows[] = {
        { 1, { 60, 120, 180, 240, 300 }, 5 },
        { 2, { 60, 120, 180, 240, 300 }, (16 * 5 + 4) / 17.0 },
        { 3, { 60, 120, 180, 240, 300 }, (81 * 5 + 16 * 4 + 3) / 98.0 },
        { 60, { 60, 120, 180, 240, 300 }, (625 * 5 + 256 * 4 + 81 * 3 + 16 * 2 + 1) / 979.0 },
        { 2, { 60, 120, -1, -1, 300 }, (16 * 5 + 2) / 17.0 }, /* appearances, not intervals */
        { 2, { 60, 120, -1, 300, -1 }, (16 * 5 + 2) / 17.0 },
        { 3, { -1, -1, -1, -1, -1 }, 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct head_conf conf = defaults;
        struct adaptive a = counted(0.1, rows[i].counts, 5);
        conf.used_buckets = rows[i].used;
        adaptive_measure(&a, &conf, &minutes, true);
        assert_true(fabs(a.rate - rows[i].want) < 1e-9);
        adaptive_fini(&a);
    }
}

static void test_history(void **state)
{
    struct adaptive_rounds rounds = { .n = 0 };
    struct adaptive a = { .probability = 0.5 };

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        adaptive_round_add(&rounds, &(struct adaptive_round){ i + 1, 1, 1 }, i < 50 ? 60 : 3);
        adaptive_add(&a, &(struct adaptive_sample){ i, 0.5, i % 2 == 0 }, NULL, 0, i < 50 ? 60 : 3);
        assert_int_equal(a.silent, i % 2);
    }
    assert_int_equal(rounds.n, 3);
    assert_int_equal(a.n_samples, 3);
    assert_true(rounds.at[0].seconds == 100 && rounds.at[2].seconds == 98);
    assert_int_equal(a.samples[0].count, 99);
    assert_int_equal(a.samples[2].count, 97);
    adaptive_fini(&a);
    adaptive_fini(&a);
}

/* One interval with the given probability told, and what its roots say. */
static void test_followed(void **state)
{
    const uint64_t half = adaptive_threshold(ot_threshold(0.5)), third = adaptive_threshold(ot_threshold(1.0 / 3));
    const struct { const char *name; double told, factor_min; uint64_t values[3]; size_t n; bool is_asked, want; } rows[] = {
        { "asked", 0.1, 1, { 0 }, 0, true, true },
        { "not asked", 0.1, 1, { 0 }, 0, false, false },
        { "they say so, whether or not somebody asked", 0.1, 1, { adaptive_value(0.1) }, 1, false, true },
        { "they say another, and somebody asked", 0.1, 1, { adaptive_value(0.2) }, 1, true, false },
        { "one of several", 0.1, 1, { adaptive_value(1), adaptive_value(0.1) }, 2, false, true },
        { "none of several", 0.1, 1, { adaptive_value(1), adaptive_value(0.2), adaptive_value(0) }, 3, true, false },
        { "six decimals", 0.123456, 1, { adaptive_value(0.12345649) }, 1, false, true },
        { "six decimals, another", 0.123456, 1, { adaptive_value(0.1234566) }, 1, true, false },
        { "a threshold", 0.5, 1, { half }, 1, false, true },
        { "a threshold of four digits", 1.0 / 3, 1, { third }, 1, false, true },
        { "another threshold", 1.0 / 3, 1, { half }, 1, true, false },
        { "all, by a client of its own", 1.0 / 3, 1, { adaptive_threshold(0) }, 1, true, false },
        { "lowered by overload", 0.8, 0.125, { adaptive_value(0.1) }, 1, false, true },
        { "lowered by more than that", 0.8, 0.125, { adaptive_value(0.05) }, 1, false, false },
        { "a lowered threshold", 0.8, 0.125, { half }, 1, false, true },
        { "minus nothing", 0.1, 1, { adaptive_value(-0.0) }, 1, true, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct adaptive_rounds rounds = { .n = 1, .at = { { 60, rows[i].factor_min, 1 } } };
        struct adaptive a = { .probability = rows[i].told };
        adaptive_add(&a, &(struct adaptive_sample){ 60, rows[i].told, true }, rows[i].values, rows[i].n, 10);
        adaptive_measure(&a, &defaults, &rounds, rows[i].is_asked);
        if (a.is_followed != rows[i].want)
            fail_msg("%s", rows[i].name);
        /* what was found out holds while nothing is seen, whatever is told meanwhile */
        adaptive_add(&a, &(struct adaptive_sample){ 0, rows[i].told * 2, false }, NULL, 0, 10);
        rounds.n = 1;
        adaptive_measure(&a, &defaults, &rounds, rows[i].is_asked);
        assert_int_equal(a.is_followed, rows[i].want);
        adaptive_fini(&a);
    }
}

/* After a change some clients still had the value before: only what holds for all of them counts. */
static void test_range(void **state)
{
    static const struct { const char *name; double before, told; int count; double value, want; } rows[] = {
        { "raised to double, still half: they may all have had the old one", 0.1, 0.2, 30, 0, 0.2 },
        { "raised to double, and a quarter even so", 0.1, 0.2, 15, 0, 0.4 },
        { "lowered to a tenth, and still ten times", 0.1, 0.01, 600, 0, 0.01 },
        { "lowered to a tenth, and a hundred times", 0.1, 0.01, 6000, 0, 0.001 },
        { "they say it was the new one", 0.1, 0.2, 30, 0.2, 0.4 },
        { "they say it was the old one: nobody follows yet", 0.1, 0.2, 30, 0.1, 0.2 },
        { "no change, half", 0.2, 0.2, 30, 0, 0.4 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct adaptive a = { .probability = rows[i].told };
        const uint64_t value = adaptive_value(rows[i].value);
        adaptive_add(&a, &(struct adaptive_sample){ 60, rows[i].before, true }, NULL, 0, 10);
        adaptive_add(&a, &(struct adaptive_sample){ (uint64_t)rows[i].count, rows[i].told, true }, &value, rows[i].value > 0, 10);
        adaptive_measure(&a, &defaults, &minutes, true);
        double next = adaptive_next(&a, &defaults, &minutes, 1);
        if (fabs(next / rows[i].want - 1) > 1e-9)
            fail_msg("%s: %g, not %g", rows[i].name, next, rows[i].want);
        adaptive_fini(&a);
    }
}

/* Some go their own way: what they say is no measure of what was told. */
static void test_range_of_others(void **state)
{
    const uint64_t values[] = { adaptive_value(1), adaptive_value(0.1), adaptive_value(0.00002) };
    struct adaptive a = { .probability = 0.1 };

    (void)state;
    adaptive_add(&a, &(struct adaptive_sample){ 600, 0.1, true }, values, MG_COUNT(values), 10);
    adaptive_measure(&a, &defaults, &minutes, false);
    assert_true(a.is_followed);
    assert_true(fabs(adaptive_next(&a, &defaults, &minutes, 1) - 0.01) < 1e-9);
    adaptive_fini(&a);
}

static void test_lowered(void **state)
{
    (void)state;
    assert_true(adaptive_lowered(0.5, 1, 0.001) == 0.5);
    assert_true(adaptive_lowered(0.5, 0.25, 0.001) == 0.125);
    assert_true(adaptive_lowered(0.002, 0.25, 0.001) == 0.001);
    assert_true(adaptive_lowered(0.001, 0.25, 0.001) == 0.001);
    assert_true(adaptive_lowered(0.0001, 0.25, 0.001) == 0.0001);
    assert_true(adaptive_lowered(0, 0.25, 0.001) == 0);
}

/* --- clients -------------------------------------------------------------------------------------- */

enum says { SAYS_NOTHING, SAYS_JAEGER, SAYS_OTEL, SAYS_TH };
struct client {
    const char *service, *operation;
    double requests;            /* a second */
    uint64_t poll, phase;       /* seconds; poll 0: it never asks */
    enum says says;
    double own;                 /* its probability while it has not asked */
    double probability;         /* now */
    double sampled, bound;      /* not yet whole: samples, and samples by the lower bound */
    const struct row *row, *bound_row;
    bool draws;                 /* by chance, not evenly */
    struct random random;
};

static struct client client(const char *service, double requests, uint64_t poll, uint64_t phase, enum says says)
{
    struct client c = { .service = service, .operation = "GET /", .requests = requests, .poll = poll, .phase = phase, .says = says, .own = 0.001 };

    return c;
}

static void take(struct head_rig *rig, struct client *c, double probability)
{
    char says[64] = "", bound[64] = "";
    char th[OT_TH_MAX];

    c->probability = probability;
    if (c->says == SAYS_JAEGER) {
        (void)snprintf(says, sizeof says, "probabilistic %.17g", probability);
        (void)snprintf(bound, sizeof bound, "lowerbound %.17g", probability);
    } else if (c->says == SAYS_OTEL) {
        (void)snprintf(says, sizeof says, "otel probabilistic %.17g", probability);
        (void)snprintf(bound, sizeof bound, "otel ratelimiting 0.016666666666666666");
    } else if (c->says == SAYS_TH) {
        (void)ot_th_text(ot_threshold(probability), th);
        (void)snprintf(says, sizeof says, "ot=th:%s", th);
    }
    c->row = rig_row(rig, c->service, c->operation, says);
    c->bound_row = rig_row(rig, c->service, c->operation, bound);
}

/* The requests of a second; those that the probability leaves out may be taken by the lower bound. */
static void live_a_second(struct head_rig *rig, struct client *c, uint64_t now_s)
{
    double asked = c->draws ? 0 : c->requests * c->probability;
    uint64_t whole;

    if (!c->row)
        take(rig, c, c->own);
    if (c->poll && now_s % c->poll == c->phase % c->poll) {
        double told = rig_probability(rig, c->service, c->operation);
        if (told != c->probability)
            take(rig, c, told);
    }
    for (unsigned i = 0; c->draws && i < (unsigned)c->requests; i++)
        asked += random_unit(&c->random) < c->probability;
    c->sampled += asked;
    whole = (uint64_t)c->sampled;
    c->sampled -= (double)whole;
    rig_count(rig, c->row, whole);
    c->bound = MG_MIN(1.0, c->bound + 1.0 / 60);
    if (whole == 0 && c->bound >= 1 && c->requests > 0 && c->poll) {
        c->bound = 0;
        rig_count(rig, c->bound_row, 1);
    }
}

static void live_on(struct head_rig *rig, struct client *clients, size_t n, uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds; i++) {
        for (size_t k = 0; k < n; k++)
            live_a_second(rig, &clients[k], rig_now_ns() / RIG_SECOND);
        rig_pass(rig, 1);
    }
}

static double in_force(struct head_rig *rig, const struct client *c)
{
    const struct head_row *row = rig_row_of(rig, c->service, c->operation);

    return row ? row->probability : -1;
}

/* The rate that the probability in force gives is within the tolerance of the target; or it is 1, and there is no more. */
static void expect_converged(struct head_rig *rig, const struct client *c, double target, const char *name)
{
    double probability = in_force(rig, c), rate = probability * c->requests;

    if (probability == 1 && c->requests < target * 1.3)
        return;
    if (fabs(rate / target - 1) >= 0.3)
        fail_msg("%s: probability %g of %g requests a second: %g samples a second, not %g", name, probability, c->requests, rate, target);
    if (!rig_row_of(rig, c->service, c->operation)->is_followed)
        fail_msg("%s: is not followed", name);
}

static void sim_start(struct head_rig *rig)
{
    rig_open(rig);
    rig->keeps_state = false;
    rig_start(rig, RIG_SETS("head.mode=adaptive"));
}

/* Each way to say it, at rates from too little to very much, whenever in the minute it asks. */
static void test_steady(void **state)
{
    static const double rates[] = { 0.2, 1, 3, 20, 100, 1000, 50000 };

    (void)state;
    for (enum says says = SAYS_NOTHING; says <= SAYS_TH; says++)
        for (size_t i = 0; i < MG_COUNT(rates); i++) {
            struct head_rig rig;
            struct client c = client("shop", rates[i], 60, 59 - 8 * i, says);
            char name[64];
            sim_start(&rig);
            live_on(&rig, &c, 1, 3600);
            (void)snprintf(name, sizeof name, "says %d, rate %g", says, rates[i]);
            expect_converged(&rig, &c, 1, name);
            rig_close(&rig);
        }
}

static void test_by_chance(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct head_rig rig;
        struct client c = client("shop", 300, 60, 17 * seed, seed & 1 ? SAYS_JAEGER : SAYS_NOTHING);
        rig_open(&rig);
        rig.keeps_state = false;
        rig_start(&rig, RIG_SETS("head.mode=adaptive", "head.target_samples_per_second=5"));
        c.draws = true;
        random_init(&c.random, seed);
        live_on(&rig, &c, 1, 3600);
        expect_converged(&rig, &c, 5, "by chance");
        rig_close(&rig);
    }
}

/* The traffic is ten times as much, or a tenth. */
static void test_step(void **state)
{
    (void)state;
    for (enum says says = SAYS_NOTHING; says <= SAYS_TH; says++)
        for (unsigned up = 0; up < 2; up++) {
            struct head_rig rig;
            struct client c = client("shop", up ? 50 : 500, 60, 58, says);
            sim_start(&rig);
            live_on(&rig, &c, 1, 1800);
            expect_converged(&rig, &c, 1, "before the step");
            c.requests = up ? 500 : 50;
            live_on(&rig, &c, 1, 240);
            if (up) /* a decrease is at once: it takes a poll and two intervals */
                expect_converged(&rig, &c, 1, "soon after the step");
            live_on(&rig, &c, 1, 1560);
            expect_converged(&rig, &c, 1, up ? "step up" : "step down");
            rig_close(&rig);
        }
}

/* Three minutes in fifteen bring ten times as much; between them it comes back. */
static void test_bursts(void **state)
{
    (void)state;
    for (enum says says = SAYS_NOTHING; says <= SAYS_OTEL; says++) {
        struct head_rig rig;
        struct client c = client("shop", 100, 60, 31, says);
        sim_start(&rig);
        for (unsigned i = 0; i < 4; i++) {
            c.requests = 100;
            live_on(&rig, &c, 1, 720);
            expect_converged(&rig, &c, 1, "between bursts");
            c.requests = 1000;
            live_on(&rig, &c, 1, 180);
            assert_true(in_force(&rig, &c) <= 0.005);
        }
        rig_close(&rig);
    }
}

/* A burst before a silence is one burst, and an operation that is gone for long begins anew. */
static void test_silence(void **state)
{
    struct head_rig rig;
    struct client c = client("shop", 100, 60, 31, SAYS_JAEGER), other = client("shop", 10, 60, 31, SAYS_JAEGER);
    struct client both[2];
    double before;

    (void)state;
    sim_start(&rig);
    other.operation = "GET /other";
    both[0] = c;
    both[1] = other;
    live_on(&rig, both, 2, 1800);
    both[0].requests = 10000;
    live_on(&rig, both, 2, 20);
    both[0].requests = 0;
    live_on(&rig, both, 2, 60); /* the interval that it was in is over */
    before = in_force(&rig, &both[0]);
    assert_true(before < 0.001);
    live_on(&rig, both, 2, 480);
    assert_true(in_force(&rig, &both[0]) == before);
    live_on(&rig, both, 2, 120);
    assert_null(rig_row_of(&rig, "shop", "GET /"));
    assert_true(rig_probability(&rig, "shop", "GET /") == 0.001);
    expect_converged(&rig, &both[1], 1, "the other one");
    rig_close(&rig);
}

static void test_new_operation(void **state)
{
    struct head_rig rig;
    struct client clients[3] = { client("shop", 200, 60, 11, SAYS_JAEGER), client("shop", 30, 60, 11, SAYS_JAEGER),
                                 client("cart", 4000, 60, 47, SAYS_NOTHING) };

    (void)state;
    sim_start(&rig);
    clients[1].operation = "GET /new";
    live_on(&rig, clients, 1, 1800);
    live_on(&rig, clients, 3, 1800);
    expect_converged(&rig, &clients[0], 1, "the old one");
    expect_converged(&rig, &clients[1], 1, "the new one");
    expect_converged(&rig, &clients[2], 1, "the new service");
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 3);
    assert_true(rig_metric(&rig, "meshglass_sampling_services") == 2);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations_followed") == 3);
    rig_close(&rig);
}

/* What was calculated is told at once after a start, and goes on from there. */
static void test_restart(void **state)
{
    struct head_rig rig;
    struct client clients[2] = { client("shop", 200, 60, 11, SAYS_JAEGER), client("cart", 3000, 60, 47, SAYS_NOTHING) };
    double before[2];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS("head.mode=adaptive"));
    live_on(&rig, clients, 2, 1800);
    for (size_t i = 0; i < 2; i++)
        before[i] = in_force(&rig, &clients[i]);
    rig_start(&rig, RIG_SETS("head.mode=adaptive"));
    for (size_t i = 0; i < 2; i++) {
        assert_true(in_force(&rig, &clients[i]) == before[i]);
        assert_true(rig_probability(&rig, clients[i].service, "GET /") == before[i]);
    }
    for (unsigned minute = 0; minute < 30; minute++) {
        live_on(&rig, clients, 2, 60);
        expect_converged(&rig, &clients[0], 1, "after the restart");
        expect_converged(&rig, &clients[1], 1, "after the restart");
    }
    /* those that do not come back are forgotten like others */
    rig_start(&rig, RIG_SETS("head.mode=adaptive"));
    live_on(&rig, clients, 1, 540);
    assert_true(in_force(&rig, &clients[1]) > 0);
    live_on(&rig, clients, 1, 120);
    assert_true(in_force(&rig, &clients[1]) == -1);
    rig_close(&rig);
}

/* Clients that go by a configuration of their own. */
static void test_not_followed(void **state)
{
    static const struct { const char *name; double own; uint64_t poll; enum says says; } rows[] = {
        { "never asks, says nothing", 1, 0, SAYS_NOTHING },
        { "never asks, says nothing, with little", 0.0001, 0, SAYS_NOTHING },
        { "never asks, says its own", 1, 0, SAYS_JAEGER },
        { "never asks, says its own, in the other spelling", 0.05, 0, SAYS_OTEL },
        { "never asks, says its own threshold", 0.25, 0, SAYS_TH },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct head_rig rig;
        struct client c = client("shop", 40, rows[i].poll, 0, rows[i].says);
        sim_start(&rig);
        c.own = rows[i].own;
        live_on(&rig, &c, 1, 1200);
        if (in_force(&rig, &c) != 0.001)
            fail_msg("%s: %g", rows[i].name, in_force(&rig, &c));
        assert_false(rig_row_of(&rig, "shop", "GET /")->is_followed);
        rig_close(&rig);
    }
}

/* They asked for half an hour and then no more: the probability stays where it was, whatever comes. */
static void test_followed_no_more(void **state)
{
    struct head_rig rig;
    struct client c = client("shop", 100, 60, 5, SAYS_NOTHING);
    double before;

    (void)state;
    sim_start(&rig);
    live_on(&rig, &c, 1, 1800);
    before = in_force(&rig, &c);
    c.poll = 0;
    live_on(&rig, &c, 1, 180);
    c.probability = 1;
    live_on(&rig, &c, 1, 600);
    assert_true(in_force(&rig, &c) == before);
    assert_false(rig_row_of(&rig, "shop", "GET /")->is_followed);
    rig_close(&rig);
}

/* The plain quotient never settles for a client that asks just before the calculation: its loop has a delay of a whole step. */
static void test_late_clients(void **state)
{
    static const struct { const char *name; uint64_t poll; enum says says; } rows[] = {
        { "each minute, says nothing", 60, SAYS_NOTHING },
        { "each two minutes, says nothing", 120, SAYS_NOTHING },
        { "each minute, says it", 60, SAYS_JAEGER },
        { "each three minutes, says it", 180, SAYS_JAEGER },
        { "each three minutes, in the other spelling", 180, SAYS_OTEL },
        { "each four minutes, a threshold", 240, SAYS_TH },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        for (uint64_t phase = 0; phase < 60; phase += 7) {
            struct head_rig rig;
            struct client c = client("shop", 150, rows[i].poll, phase, rows[i].says);
            sim_start(&rig);
            live_on(&rig, &c, 1, 3000);
            for (unsigned minute = 0; minute < 10; minute++) {
                live_on(&rig, &c, 1, 60);
                if (fabs(in_force(&rig, &c) * c.requests - 1) >= 0.3)
                    fail_msg("%s, at second %u: %g samples a second", rows[i].name, (unsigned)phase, in_force(&rig, &c) * c.requests);
            }
            rig_close(&rig);
        }
}

/* Several instances that ask at any time of the minute, and one that never does. */
static void test_many_instances(void **state)
{
    struct client clients[21];
    struct head_rig rig;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(clients); i++)
        clients[i] = client("shop", 10, 60, 3 * i, i % 2 ? SAYS_JAEGER : SAYS_OTEL);
    clients[20].poll = 0;
    clients[20].requests = 0.5;
    clients[20].own = 1;
    sim_start(&rig);
    live_on(&rig, clients, MG_COUNT(clients), 3600);
    /* the half a second of the one that goes its own way counts as well */
    assert_true(fabs(in_force(&rig, &clients[0]) * 200 + 0.5 - 1) < 0.3);
    rig_close(&rig);
}

/* The ladder takes a part; the calculation must not give it back, nor overshoot when it ends. */
static void test_overload(void **state)
{
    (void)state;
    for (enum says says = SAYS_NOTHING; says <= SAYS_TH; says++) {
        struct head_rig rig;
        struct client c = client("shop", 400, 60, 40, says);
        double before;
        sim_start(&rig);
        live_on(&rig, &c, 1, 2400);
        before = in_force(&rig, &c);
        head_overload(rig.head, 0.125);
        live_on(&rig, &c, 1, 900);
        assert_true(in_force(&rig, &c) == before / 8);
        head_overload(rig.head, 1);
        assert_true(in_force(&rig, &c) == before);
        live_on(&rig, &c, 1, 300);
        assert_true(in_force(&rig, &c) == before);
        rig_close(&rig);
    }
}

static void test_targets(void **state)
{
    struct head_rig rig;
    struct client clients[3] = { client("shop", 400, 60, 40, SAYS_NOTHING), client("cart", 400, 60, 20, SAYS_NOTHING),
                                 client("shop", 400, 60, 40, SAYS_NOTHING) };

    (void)state;
    clients[2].operation = "GET /healthz";
    clients[2].own = 0.1;
    rig_open(&rig);
    rig.keeps_state = false;
    rig_start(&rig, RIG_SETS("head.mode=adaptive", "head.overrides=[{service: cart, target_samples_per_second: 10}]"));
    live_on(&rig, clients, 3, 3600);
    expect_converged(&rig, &clients[0], 1, "the common target");
    expect_converged(&rig, &clients[1], 10, "its own target");
    assert_true(in_force(&rig, &clients[2]) == 0.1); /* of a class, which comes before the calculation */
    assert_string_equal(rig_row_of(&rig, "shop", "GET /healthz")->source, "class");
    assert_string_equal(rig_row_of(&rig, "shop", "GET /")->source, "adaptive");
    assert_true(fabs(rig_row_of(&rig, "cart", "GET /")->samples_per_second - 10) < 3);
    /* a target for the class puts the calculation in its place */
    struct mg_why why;
    assert_int_equal(rig_reload(&rig, RIG_SETS("head.mode=adaptive", "head.overrides=[{class: health, target_samples_per_second: 2}]"), &why), MG_OK);
    live_on(&rig, clients, 3, 1800);
    expect_converged(&rig, &clients[1], 1, "the common target again");
    expect_converged(&rig, &clients[2], 2, "the class's target");
    assert_int_equal(rig_reload(&rig, RIG_SETS("head.mode=static", "head.default_probability=0.5"), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "cart"), "P 0.5");
    assert_string_equal(rig_told(&rig, "shop"), "P 0.5 | 0.5 0 | GET /healthz 0.1");
    rig_close(&rig);
}

/* Operations without a number of their own share the service's default, which is calculated for all of them. */
static void test_beyond(void **state)
{
    struct head_rig rig;
    struct client clients[5];
    static const char *const names[] = { "/0", "/1", "/2", "/3", "/4" };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(clients); i++) {
        clients[i] = client("shop", 100, 60, 40, SAYS_NOTHING);
        clients[i].operation = names[i];
    }
    rig_open(&rig);
    rig.keeps_state = false;
    rig_start(&rig, RIG_SETS("head.mode=adaptive", "head.operations_max=2"));
    live_on(&rig, clients, MG_COUNT(clients), 3600);
    for (size_t i = 0; i < 2; i++)
        expect_converged(&rig, &clients[i], 1, "followed");
    assert_null(rig_row_of(&rig, "shop", "/2"));
    assert_true(fabs(rig_row_of(&rig, "shop", "")->probability * 300 - 1) < 0.3);
    assert_true(rig_probability(&rig, "shop", "/4") == rig_row_of(&rig, "shop", "")->probability);
    assert_true(rig_probability(&rig, "cart", "/4") == 0.001);
    rig_close(&rig);
}

/* What roots say that cannot be so, or says nothing about the probability. */
static void test_what_roots_say(void **state)
{
    static const struct { const char *says; bool counts, is_followed; } rows[] = {
        { "", true, true },                           /* the service has asked */
        { "probabilistic 0.001", true, true },
        { "probabilistic 0.002", true, false },
        { "text probabilistic 0.001", true, true },
        { "text probabilistic 0.002", true, false },
        { "otel probabilistic 0.001", true, true },
        { "otel probabilistic 0.002", true, false },
        { "lowerbound 0.001", false, true },
        { "lowerbound 0.002", false, false },
        { "ratelimiting 0.5", false, true },
        { "const 1", false, false },
        { "const true", false, false },
        { "ot=th:0", true, false },
        { "ot=th:ffbe77", true, true },               /* 0.001 */
        { "ot=th:ffbe78", true, false },
        { "ot=rv:ffbe7612345678", true, true },       /* no threshold: nothing is said */
        { "ot=th:xyz", true, true },
        { "jaeger_remote 0.002", true, true },        /* not a type that says a probability */
        { "probabilistic x", true, true },
        { "probabilistic -0.5", true, true },
        { "probabilistic 1e30", true, true },
        { "text probabilistic ", true, true },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct head_rig rig;
        sim_start(&rig);
        (void)rig_told(&rig, "shop");
        rig_count(&rig, rig_row(&rig, "shop", "GET /", rows[i].says), 60);
        rig_pass(&rig, 60);
        const struct head_row *row = rig_row_of(&rig, "shop", "GET /");
        if (row->samples_per_second != rows[i].counts || row->is_followed != rows[i].is_followed)
            fail_msg("'%s': %g samples a second, followed %d", rows[i].says, row->samples_per_second, row->is_followed);
        rig_close(&rig);
    }
}

/* More values than are remembered: those that came first count. */
static void test_many_values(void **state)
{
    struct head_rig rig;
    char says[64];

    (void)state;
    sim_start(&rig);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 12; i++) {
            (void)snprintf(says, sizeof says, "probabilistic %g", i == 9 + round ? 0.001 : 0.01 * (i + 1));
            rig_count(&rig, rig_row(&rig, "shop", "GET /", says), 5);
        }
        rig_pass(&rig, 60);
        assert_int_equal(rig_row_of(&rig, "shop", "GET /")->is_followed, round == 0);
    }
    /* those that are the same to six decimals are one */
    for (unsigned i = 0; i < 12; i++) {
        (void)snprintf(says, sizeof says, "probabilistic %.12g", i == 11 ? 0.001 : 0.01 + 1e-8 * i);
        rig_count(&rig, rig_row(&rig, "shop", "GET /", says), 5);
    }
    rig_pass(&rig, 60);
    assert_true(rig_row_of(&rig, "shop", "GET /")->is_followed);
    /* and an interval does not inherit those of another */
    rig_count(&rig, rig_row(&rig, "shop", "GET /", "probabilistic 0.001"), 60);
    rig_pass(&rig, 60);
    assert_true(rig_row_of(&rig, "shop", "GET /")->is_followed);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_followed),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_range_of_others),
        cmocka_unit_test(test_lowered),
        cmocka_unit_test(test_steady),
        cmocka_unit_test(test_by_chance),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_new_operation),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_not_followed),
        cmocka_unit_test(test_followed_no_more),
        cmocka_unit_test(test_late_clients),
        cmocka_unit_test(test_many_instances),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_beyond),
        cmocka_unit_test(test_what_roots_say),
        cmocka_unit_test(test_many_values),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
