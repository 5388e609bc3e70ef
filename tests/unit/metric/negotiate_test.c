/* Accept headers of Prometheus, of browsers and of nobody. */
#include "metric/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8; escaping="
#define OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="
#define OLD "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping="

static void the_heaviest_known_format_wins(void **state)
{
    static const struct {
        const char *accept, *want;
    } cases[] = {
        { "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
          "application/openmetrics-text;version=0.0.1;q=0.5,text/"
          "plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
          "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
          OPEN "allow-utf-8" },
        { "", TEXT "underscores" },
        { "*/*", TEXT "underscores" },
        { "text/html, */*;q=0.1", TEXT "underscores" },
        { "text/*", TEXT "underscores" },
        { "application/json", TEXT "underscores" },
        { "text/plain", TEXT "underscores" },
        { "text/plain;version=0.0.4;escaping=values", TEXT "values" },
        { "text/plain;version=1.0.0", TEXT "underscores" },
        { "text/plain;version=1.0.0;escaping=allow-utf-8,text/plain;version=0.0.4;q=0.3",
          TEXT "allow-utf-8" },
        { "application/openmetrics-text", OLD "underscores" },
        { "application/openmetrics-text; version=1.0.0", OPEN "underscores" },
        { "Application/OpenMetrics-Text ; Version=\"1.0.0\" ; charset=utf-8", OPEN "underscores" },
        { "application/openmetrics-text;version=2.0.0", TEXT "underscores" },
        { "text/plain;q=0.5,application/openmetrics-text;version=1.0.0;q=0.501",
          OPEN "underscores" },
        { "text/plain;q=0.5,application/openmetrics-text;version=1.0.0;q=0.5", TEXT "underscores" },
        { "application/openmetrics-text;version=1.0.0;q=0,text/plain;q=0.1", TEXT "underscores" },
        { "application/openmetrics-text;version=1.0.0;q=0", TEXT "underscores" },
        { "application/openmetrics-text;version=1.0.0;q=x", OPEN "underscores" },
        { "application/openmetrics-text;version=1.0.0;escaping=dots", OPEN "underscores" },
        { "application/openmetrics-text;version=1.0.0;escaping=other", OPEN "underscores" },
        { ",,;;,=,;q=,", TEXT "underscores" },
        { "application/openmetrics-text;version=1.0.0;", OPEN "underscores" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        enum metric_format format,
            want = cases[i].want[0] == 't' ? METRIC_TEXT_0_0_4 : METRIC_OPENMETRICS_1_0;

        assert_string_equal(metric_negotiate(str_of(cases[i].accept), &format), cases[i].want);
        assert_int_equal(format, want);
    }
}

static void only_so_many_clauses_are_read(void **state)
{
    (void)state;
    for (int before = 31; before <= 33; before++) {
        enum metric_format format;
        struct buf accept;

        buf_init(&accept, 4096);
        for (int i = 0; i < before; i++)
            buf_put_text(&accept, "a/b,");
        buf_put_text(&accept, "application/openmetrics-text;version=1.0.0");
        (void)metric_negotiate(buf_str(&accept), &format); /* the format tells */
        assert_int_equal(format, before < 32 ? METRIC_OPENMETRICS_1_0 : METRIC_TEXT_0_0_4);
        buf_fini(&accept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heaviest_known_format_wins),
        cmocka_unit_test(only_so_many_clauses_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
