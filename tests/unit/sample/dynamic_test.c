/* A goal of traces per second is met, whatever comes, and rare kinds of traffic are not lost for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <math.h>
#include <cmocka.h>
#include "base/bytes.h"
#include "base/random.h"
#include "sample/dynamic.h"

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)
#define HOUR 3600

static struct dynamic_conf conf_of(double goal)
{
    return (struct dynamic_conf){ .goal = goal, .initial_rate = 10, .interval_ns = 15 * SECOND, .weight = 0.5, .max_keys = 500, .age_out = 0.5,
                                  .burst_multiple = 2, .burst_delay = 3 };
}

static struct str key_text(unsigned i)
{
    static char text[20];

    return str_n(text, (size_t)snprintf(text, sizeof text, "key %u", i));
}

/* --- an hour of traffic --------------------------------------------------------------------------- */

enum { KEYS = 10 };
/* Traces of key i in second `s`. */
typedef unsigned traffic_fn(unsigned i, unsigned s);
struct hour { double came[KEYS], kept[KEYS], all_came, all_kept; uint64_t digest; };

static void count(struct hour *hour, unsigned i, uint64_t threshold, struct random *random)
{
    double is_kept = ot_keeps(threshold, random_u64(random) >> 8);

    assert_true(threshold < OT_NEVER);
    assert_true(ot_rounded(threshold) == threshold);
    hour->came[i]++;
    hour->kept[i] += is_kept;
    hour->all_came++;
    hour->all_kept += is_kept;
    hour->digest = (hour->digest ^ threshold) * UINT64_C(0x100000001b3);
}

/* Each trace at a time of its own within its second, the keys in turns. */
static struct hour spend_hour(const struct dynamic_conf *conf, traffic_fn *traffic)
{
    struct dynamic *dynamic = dynamic_new(conf);
    static const char names[] = "abcdefghij";
    struct hour hour = { 0 };
    struct random random;

    random_init(&random, 1);
    for (unsigned s = 0; s < HOUR; s++) {
        unsigned most = 0, of[KEYS];
        for (unsigned i = 0; i < KEYS; i++)
            most = MG_MAX(most, of[i] = traffic(i, s));
        for (unsigned n = 0; n < most; n++)
            for (unsigned i = 0; i < KEYS; i++)
                if (n < of[i])
                    count(&hour, i, dynamic_threshold(dynamic, str_n(&names[i], 1), START + s * SECOND + n * SECOND / most), &random);
        assert_true(dynamic_keys(dynamic) <= conf->max_keys);
    }
    dynamic_free(&dynamic);
    assert_null(dynamic);
    dynamic_free(&dynamic);
    return hour;
}

static unsigned steady(unsigned i, unsigned s)
{
    static const unsigned per_second[KEYS] = { 500, 200, 100, 40, 20, 8, 4, 2, 1, 0 };

    return i == 9 ? s % 60 == 7 : per_second[i];
}

static unsigned one_key(unsigned i, unsigned s)
{
    (void)s;
    return i == 0 ? 1000 : 0;
}

static unsigned equal_keys(unsigned i, unsigned s)
{
    (void)i, (void)s;
    return 90;
}

static unsigned ten_times(unsigned i, unsigned s)
{
    return steady(i, s) * (s >= HOUR / 2 && i < 9 ? 10 : 1);
}

static unsigned a_tenth(unsigned i, unsigned s)
{
    return i < 9 && s >= HOUR / 2 ? (steady(i, s) + 9) / 10 : steady(i, s);
}

static unsigned new_key(unsigned i, unsigned s)
{
    return i == 8 ? s >= HOUR / 2 ? 1000 : 0 : steady(i, s);
}

/* Half a minute of five times as much, every ten minutes. */
static unsigned bursts(unsigned i, unsigned s)
{
    return steady(i, s) * (s % 600 >= 300 && s % 600 < 330 && i < 9 ? 5 : 1);
}

static unsigned waves(unsigned i, unsigned s)
{
    return (unsigned)(steady(i, s) * (1.5 + sin(s / 300.0)));
}

static void the_goal_is_reached(void **state)
{
    static const struct { const char *name; traffic_fn *traffic; double goal; } rows[] = {
        { "steady", steady, 100 }, { "steady, small goal", steady, 10 }, { "one key", one_key, 100 }, { "equal keys", equal_keys, 100 },
        { "ten times", ten_times, 100 }, { "a tenth", a_tenth, 50 }, { "new key", new_key, 100 }, { "bursts", bursts, 100 }, { "waves", waves, 100 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct dynamic_conf conf = conf_of(rows[i].goal);
        struct hour hour = spend_hour(&conf, rows[i].traffic);
        double reached = hour.all_kept / HOUR / rows[i].goal;
        if (reached < 0.85 || reached > 1.15)
            fail_msg("%s: %g of the goal", rows[i].name, reached);
    }
}

static void less_than_the_goal_is_all_kept(void **state)
{
    struct dynamic_conf conf = conf_of(10000);

    (void)state;
    conf.initial_rate = 1;
    struct hour hour = spend_hour(&conf, steady);
    assert_true(hour.all_kept == hour.all_came);
}

/* Of 875 traces/s 100 are kept: those of kinds with up to 4 a second all, after the first interval. */
static void rare_kinds_keep_everything(void **state)
{
    struct dynamic_conf conf = conf_of(100);

    (void)state;
    conf.initial_rate = 1;
    struct hour hour = spend_hour(&conf, steady);
    for (unsigned i = 6; i < KEYS; i++)
        assert_true(hour.kept[i] == hour.came[i]);
    for (unsigned i = 1; i < KEYS; i++)
        assert_true(hour.kept[i] / hour.came[i] >= hour.kept[i - 1] / hour.came[i - 1]);
    assert_true(hour.kept[0] / hour.came[0] < 0.2);
}

static void the_same_hour_is_sampled_the_same(void **state)
{
    static traffic_fn *const traffics[] = { steady, new_key, bursts };
    const struct dynamic_conf conf = conf_of(100), other = conf_of(101);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(traffics); i++) {
        struct hour first = spend_hour(&conf, traffics[i]);
        assert_true(first.digest == spend_hour(&conf, traffics[i]).digest);
        assert_true(first.digest != spend_hour(&other, traffics[i]).digest);
    }
}

/* --- rates ---------------------------------------------------------------------------------------- */

static void the_first_interval_has_the_initial_rate(void **state)
{
    static const double rates[] = { 1, 2, 10, 1000 };

    (void)state;
    for (size_t r = 0; r < MG_COUNT(rates); r++) {
        struct dynamic_conf conf = conf_of(1);
        conf.initial_rate = rates[r];
        struct dynamic *dynamic = dynamic_new(&conf);
        for (unsigned i = 0; i < 15000; i++)
            assert_true(dynamic_threshold(dynamic, key_text(i % 600), START + i * (SECOND / 1000)) == ot_threshold(1 / rates[r]));
        assert_int_equal(dynamic_keys(dynamic), 500);
        assert_true(dynamic_threshold(dynamic, key_text(0), START + 15 * SECOND) != ot_threshold(1 / rates[r]) || rates[r] == 1 || rates[r] == 1000);
        dynamic_free(&dynamic);
    }
}

/* 3,000 traces of one key are 200/s, of which 100 are wanted; the average is half of it after one interval. */
static void rates_are_those_of_the_average(void **state)
{
    const struct dynamic_conf conf = conf_of(100);
    struct dynamic *dynamic = dynamic_new(&conf);
    static const double rates[] = { 1, 1.5, 1.75, 1.875 };

    (void)state;
    for (unsigned interval = 0; interval < 4; interval++) {
        for (unsigned i = 0; i < 3000; i++)
            (void)dynamic_threshold(dynamic, STR("a"), START + interval * 15 * SECOND + i * (SECOND / 200));
        assert_true(dynamic_threshold(dynamic, STR("a"), START + (interval + 1) * 15 * SECOND) >= ot_threshold(1 / rates[interval]));
        assert_true(dynamic_threshold(dynamic, STR("a"), START + (interval + 1) * 15 * SECOND) <= ot_threshold(1 / (rates[interval] * 1.01)));
    }
    dynamic_free(&dynamic);
}

static void burst_runs(unsigned delay, double multiple, bool is_early)
{
    struct dynamic_conf conf = conf_of(10);
    uint64_t now = START, before;

    conf.burst_delay = delay;
    conf.burst_multiple = multiple;
    struct dynamic *dynamic = dynamic_new(&conf);
    for (unsigned i = 0; i < 15 * 20 * 10; i++, now += SECOND / 20) /* ten intervals of 20/s */
        (void)dynamic_threshold(dynamic, STR("a"), now);
    before = dynamic_threshold(dynamic, STR("a"), now);
    for (unsigned i = 0; i < 1500; i++, now += SECOND / 500) /* three seconds of 500/s */
        (void)dynamic_threshold(dynamic, STR("a"), now);
    assert_int_equal(dynamic_threshold(dynamic, STR("a"), now) > before, is_early);
    dynamic_free(&dynamic);
}

static void a_burst_brings_the_adjustment_forward(void **state)
{
    (void)state;
    burst_runs(3, 2, true);
    burst_runs(0, 2, true);
    burst_runs(3, 4.5, true);
    burst_runs(3, 0, false);      /* off */
    burst_runs(3, 6, false);      /* not so large */
    burst_runs(1000, 2, false);   /* too early */
}

/* --- keys ----------------------------------------------------------------------------------------- */

static void keys_are_bounded(void **state)
{
    static const uint32_t maxima[] = { 0, 1, 2, 500 };

    (void)state;
    for (size_t m = 0; m < MG_COUNT(maxima); m++) {
        struct dynamic_conf conf = conf_of(50);
        double kept = 0;
        conf.max_keys = maxima[m];
        struct dynamic *dynamic = dynamic_new(&conf);
        struct random random;
        random_init(&random, 9);
        for (unsigned i = 0; i < 600 * 500; i++) { /* 500/s of 100,000 kinds, for ten minutes */
            uint64_t threshold = dynamic_threshold(dynamic, key_text((unsigned)random_below(&random, 100000)), START + i * (SECOND / 500));
            kept += ot_keeps(threshold, random_u64(&random) >> 8);
            assert_true(dynamic_keys(dynamic) <= maxima[m]);
        }
        assert_true(kept / 600 < 50 * 1.3);
        assert_true(kept / 600 > 50 * 0.7);
        dynamic_free(&dynamic);
    }
}

/* What is beyond max_keys has a rate of its own, that of its number; when it is rare, it is kept. */
static void the_rest_is_rare_or_many(void **state)
{
    struct dynamic_conf conf = conf_of(10);
    uint64_t now = START;

    (void)state;
    conf.max_keys = 1;
    struct dynamic *dynamic = dynamic_new(&conf);
    for (unsigned i = 0; i < 100 * 300; i++, now += SECOND / 100) { /* 100/s, half of them the rest's */
        (void)dynamic_threshold(dynamic, STR("a"), now);
        (void)dynamic_threshold(dynamic, key_text(i), now);
    }
    assert_true(dynamic_threshold(dynamic, STR("x"), now) > ot_threshold(0.2));
    for (unsigned i = 0; i < 100 * 600; i++, now += SECOND / 100)
        (void)dynamic_threshold(dynamic, STR("a"), now);
    assert_int_equal(dynamic_keys(dynamic), 1);
    assert_int_equal(dynamic_threshold(dynamic, STR("x"), now), 0);
    dynamic_free(&dynamic);
}

static void keys_that_are_not_seen_are_forgotten(void **state)
{
    const struct dynamic_conf conf = conf_of(100);
    struct dynamic *dynamic = dynamic_new(&conf);
    uint64_t now = START;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        (void)dynamic_threshold(dynamic, key_text(i), now);
    assert_int_equal(dynamic_keys(dynamic), 300);
    /* one trace: an average of 0.5, then 0.25 */
    (void)dynamic_threshold(dynamic, STR("a"), now += 15 * SECOND);
    assert_int_equal(dynamic_keys(dynamic), 301);
    (void)dynamic_threshold(dynamic, STR("a"), now += 15 * SECOND);
    assert_int_equal(dynamic_keys(dynamic), 1);
    for (unsigned i = 0; i < 300; i += 7) /* and can come again */
        assert_int_equal(dynamic_threshold(dynamic, key_text(i), now), 0);
    assert_int_equal(dynamic_keys(dynamic), 44);
    dynamic_free(&dynamic);
}

static void any_text_is_a_key(void **state)
{
    static const struct str keys[] = { STR(""), STR("a"), STR("A"), STR("\xff\xfe"), STR("a b\xe2\x80\xa2" "c") };
    const struct dynamic_conf conf = conf_of(1);
    struct dynamic *dynamic = dynamic_new(&conf);

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        (void)dynamic_threshold(dynamic, keys[i % MG_COUNT(keys)], START + i * (SECOND / 10));
    assert_int_equal(dynamic_keys(dynamic), MG_COUNT(keys));
    dynamic_free(&dynamic);
}

/* --- time ----------------------------------------------------------------------------------------- */

static void time_set_back_does_no_harm(void **state)
{
    static const uint64_t backs[] = { 1, SECOND, 15 * SECOND, 3600 * SECOND, START };

    (void)state;
    for (size_t b = 0; b < MG_COUNT(backs); b++) {
        const struct dynamic_conf conf = conf_of(100);
        struct dynamic *dynamic = dynamic_new(&conf);
        struct random random;
        double kept = 0;
        random_init(&random, 2);
        for (unsigned i = 0; i < 1200 * 500; i++) {
            uint64_t threshold = dynamic_threshold(dynamic, key_text(i % 3), START + i * (SECOND / 500) - (i >= 300 * 500 ? backs[b] : 0));
            kept += ot_keeps(threshold, random_u64(&random) >> 8);
        }
        assert_true(kept / 1200 > 85 && kept / 1200 < 115);
        dynamic_free(&dynamic);
    }
}

static void time_out_of_order_changes_little(void **state)
{
    const struct dynamic_conf conf = conf_of(100);
    struct dynamic *dynamic = dynamic_new(&conf);
    struct random random;
    double kept = 0;

    (void)state;
    random_init(&random, 4);
    for (unsigned i = 0; i < 1200 * 500; i++) {
        uint64_t now = START + i * (SECOND / 500) - random_below(&random, SECOND);
        kept += ot_keeps(dynamic_threshold(dynamic, key_text(i % 3), now), random_u64(&random) >> 8);
    }
    assert_true(kept / 1200 > 85 && kept / 1200 < 115);
    dynamic_free(&dynamic);
}

/* A night without traffic, and any jump: rates stay within what a threshold can say. */
static void any_time_is_fine(void **state)
{
    static const uint64_t times[] = { 0, 1, UINT64_MAX, START, 0, UINT64_MAX - 1, START + 86400 * SECOND, START };
    const struct dynamic_conf conf = conf_of(1);
    struct dynamic *dynamic = dynamic_new(&conf);

    (void)state;
    for (unsigned i = 0; i < 10000; i++)
        assert_true(dynamic_threshold(dynamic, key_text(i % 5), times[i / 10 % MG_COUNT(times)]) < OT_NEVER);
    dynamic_free(&dynamic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_goal_is_reached),
        cmocka_unit_test(less_than_the_goal_is_all_kept),
        cmocka_unit_test(rare_kinds_keep_everything),
        cmocka_unit_test(the_same_hour_is_sampled_the_same),
        cmocka_unit_test(the_first_interval_has_the_initial_rate),
        cmocka_unit_test(rates_are_those_of_the_average),
        cmocka_unit_test(a_burst_brings_the_adjustment_forward),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(the_rest_is_rare_or_many),
        cmocka_unit_test(keys_that_are_not_seen_are_forgotten),
        cmocka_unit_test(any_text_is_a_key),
        cmocka_unit_test(time_set_back_does_no_harm),
        cmocka_unit_test(time_out_of_order_changes_little),
        cmocka_unit_test(any_time_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
