#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/clock.h"

static void texts_of_times(void **state)
{
    static const struct { uint64_t seconds, ns; const char *want; } cases[] = {
        { 0, 0, "1970-01-01T00:00:00.000Z" },
        { 0, 999999, "1970-01-01T00:00:00.000Z" },
        { 0, 1000000, "1970-01-01T00:00:00.001Z" },
        { 0, 999999999, "1970-01-01T00:00:00.999Z" },
        { 86399, 0, "1970-01-01T23:59:59.000Z" },
        { 86400, 0, "1970-01-02T00:00:00.000Z" },
        { 68169599, 0, "1972-02-28T23:59:59.000Z" },
        { 68169600, 0, "1972-02-29T00:00:00.000Z" },
        { 951782400, 0, "2000-02-29T00:00:00.000Z" },
        { 951868800, 0, "2000-03-01T00:00:00.000Z" },
        { 978307199, 0, "2000-12-31T23:59:59.000Z" },
        { 1677628799, 0, "2023-02-28T23:59:59.000Z" },
        { 1677628800, 0, "2023-03-01T00:00:00.000Z" },
        { 1795619416, 123000000, "2026-11-25T15:10:16.123Z" },
        { 4107542399, 0, "2100-02-28T23:59:59.000Z" },
        { 4107542400, 0, "2100-03-01T00:00:00.000Z" },
        { 18446744073, 709551615, "2554-07-21T23:34:33.709Z" },
    };
    char text[CLOCK_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clock_text(cases[i].seconds * 1000000000 + cases[i].ns, text);
        assert_string_equal(text, cases[i].want);
    }
}

static void clocks_run_forward(void **state)
{
    (void)state;
    uint64_t mono = clock_mono_ns(), cpu = clock_thread_cpu_ns();
    assert_true(mono > 0);
    assert_true(clock_mono_ns() >= mono);
    assert_true(clock_thread_cpu_ns() >= cpu);
    assert_true(clock_wall_ns() > 1600000000000000000); /* after 2020 */
}

#define S(seconds) ((seconds) * UINT64_C(1000000000))

/* One clock_age, looked at from the first row on. */
static void a_step_forward_is_believed_after_an_hour(void **state)
{
    static const struct { uint64_t wall_s, mono_s, want_s, step_s; } looks[] = {
        { 10000, 1, 10000, 0 },
        { 10060, 61, 10060, 0 },
        { 10661, 62, 10661, 0 },         /* ten minutes */
        { 11263, 63, 10662, 601 },       /* and more */
        { 11300, 100, 10699, 0 },        /* told once */
        { 14862, 3662, 14261, 0 },
        { 14863, 3663, 14863, 0 },       /* an hour */
        { 99000, 3664, 14864, 84136 },
        { 99001, 3665, 14865, 0 },
        { 14866, 3666, 14866, 0 },       /* corrected */
        { 99002, 3667, 14867, 84135 },   /* the hour begins anew */
        { 100000, 7266, 18466, 0 },
        { 100001, 7267, 100001, 0 },
        { 5, 7268, 5, 0 },               /* set back */
        { 6, 7269, 6, 0 },
    };
    struct clock_age age;
    (void)state;
    clock_age_begin(&age, S(10000), S(1));
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        uint64_t step, now = clock_age_now(&age, S(looks[i].wall_s), S(looks[i].mono_s), &step);
        if (now != S(looks[i].want_s) || step != S(looks[i].step_s))
            fail_msg("row %zu: %f, %f", i, (double)now / 1e9, (double)step / 1e9);
    }
    clock_age_begin(&age, S(99000), S(7270)); /* a start believes everything */
    assert_int_equal(clock_age_now(&age, S(99001), S(7271), &(uint64_t){0}), S(99001));
}

static void a_wait_goes_by_the_monotonic_clock(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    uint64_t until = clock_mono_ns() + 2000000;

    (void)state;
    clock_cond_init(&cond);
    pthread_mutex_lock(&lock);
    assert_false(clock_cond_wait_until(&cond, &lock, 0)); /* long past */
    while (clock_cond_wait_until(&cond, &lock, until))
        ;
    assert_true(clock_mono_ns() >= until);
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_times),
        cmocka_unit_test(clocks_run_forward),
        cmocka_unit_test(a_step_forward_is_believed_after_an_hour),
        cmocka_unit_test(a_wait_goes_by_the_monotonic_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
