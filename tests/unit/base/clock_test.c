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
        cmocka_unit_test(a_wait_goes_by_the_monotonic_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
