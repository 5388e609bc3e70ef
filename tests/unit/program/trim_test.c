/* When memory that is free goes back to the system. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/err.h"
#include "program/trim.h"

static void what_stays_free_is_given_back(void **state)
{
    static const struct { const char *what; size_t mib[6]; const char *due; } cases[] = {
        { "after a burst, once", { 3, 3, 100, 100, 100, 100 }, "...x.." },
        { "free from the start", { 100, 100, 100, 100, 100, 100 }, ".x...." },
        { "too little", { 31, 31, 31, 31, 31, 31 }, "......" },
        { "just enough", { 0, 32, 32, 32, 32, 32 }, "..x..." },
        { "used again each time", { 100, 10, 100, 10, 100, 10 }, "......" },
        { "free, in use, and free", { 100, 100, 5, 100, 100, 100 }, ".x..x." },
        { "a little less of it", { 100, 100, 90, 100, 100, 100 }, ".x...." },
        { "more and more", { 40, 60, 80, 100, 120, 140 }, ".x..x." },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct trim trim = { 0 };
        for (size_t k = 0; k < MG_COUNT(cases[i].mib); k++)
            if (trim_is_due(&trim, cases[i].mib[k] << 20) != (cases[i].due[k] == 'x'))
                fail_msg("%s: %zu", cases[i].what, k);
    }
}

static void it_is_looked_at_now_and_then(void **state)
{
    struct trim trim = { 0 };

    (void)state;
    for (unsigned i = 0; i < 9; i++)
        trim_tick(&trim);
    assert_int_equal(trim.last, 0);
    trim_tick(&trim);
    assert_int_equal(trim.n_ticks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_free_is_given_back),
        cmocka_unit_test(it_is_looked_at_now_and_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
