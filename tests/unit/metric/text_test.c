/* Number forms, escaping, and the names of families. */
#include "metric/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>

static void assert_text(struct buf *buf, const char *want)
{
    if (!str_eq(buf_str(buf), str_of(want)))
        fail_msg("'%.*s' is not '%s'", STR_ARG(buf_str(buf)), want);
    buf_clear(buf);
}

static void numbers_are_short_and_exact(void **state)
{
    static const struct {
        double value;
        const char *text, *canonical;
    } cases[] = {
        { 0, "0", "0.0" },
        { -0.0, "-0", "-0.0" },
        { 1, "1", "1.0" },
        { 0.005, "0.005", "0.005" },
        { 0.1, "0.1", "0.1" },
        { 10, "10", "10.0" },
        { 1027, "1027", "1027.0" },
        { 999999, "999999", "999999.0" },
        { 100000, "100000", "100000.0" },
        { 1e6, "1e+06", "1e+06" },
        { 52350976, "5.2350976e+07", "5.2350976e+07" },
        { 0.0001, "0.0001", "0.0001" },
        { 0.00001, "1e-05", "1e-05" },
        { 2.5, "2.5", "2.5" },
        { -1.5, "-1.5", "-1.5" },
        { 1e100, "1e+100", "1e+100" },
        { 0.30000000000000004, "0.30000000000000004", "0.30000000000000004" },
        { NAN, "NaN", "NaN" },
        { INFINITY, "+Inf", "+Inf" },
        { -INFINITY, "-Inf", "-Inf" },
    };
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        metric_text_double(&buf, cases[i].value);
        assert_text(&buf, cases[i].text);
        metric_text_canonical(&buf, cases[i].value);
        assert_text(&buf, cases[i].canonical);
    }
    buf_fini(&buf);
}

static void extreme_numbers_read_back(void **state)
{
    static const double values[] = { DBL_MAX, DBL_MIN, -DBL_MAX, 4.9e-324, 1.0 / 3, 123456.789 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(values); i++) {
        struct buf buf;

        buf_init(&buf, 1000);
        metric_text_double(&buf, values[i]);
        buf_put_char(&buf, '\0');
        assert_true(strtod(buf.ptr, NULL) == values[i]);
        buf_fini(&buf);
    }
}

static void seconds_are_exact(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 1, "0.000000001" },
        { 999999999, "0.999999999" },
        { 1000000000, "1" },
        { 1500000000, "1.5" },
        { 1000000010, "1.00000001" },
        { UINT64_MAX, "18446744073.709551615" },
    };
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        metric_text_seconds(&buf, cases[i].ns);
        assert_text(&buf, cases[i].text);
    }
    buf_fini(&buf);
}

static void heads_differ_by_format(void **state)
{
    static const struct {
        enum metric_format format;
        enum metric_kind kind;
        const char *name, *help, *want;
    } cases[] = {
        { METRIC_TEXT_0_0_4, METRIC_COUNTER, "a_total", "x",
          "# TYPE a_total counter\n# HELP a_total x\n" },
        { METRIC_OPENMETRICS_1_0, METRIC_COUNTER, "a_total", "x",
          "# TYPE a counter\n# HELP a x\n" },
        { METRIC_OPENMETRICS_1_0, METRIC_SECONDS, "a_seconds_total", "x",
          "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds x\n" },
        { METRIC_OPENMETRICS_1_0, METRIC_GAUGE, "a_total", "x",
          "# TYPE a_total gauge\n# HELP a_total x\n" },
        { METRIC_TEXT_0_0_4, METRIC_HISTOGRAM, "a_seconds", "x",
          "# TYPE a_seconds histogram\n# HELP a_seconds x\n" },
        { METRIC_OPENMETRICS_1_0, METRIC_GAUGE, "a_bytes", "",
          "# TYPE a_bytes gauge\n# UNIT a_bytes bytes\n# HELP a_bytes \n" },
        { METRIC_TEXT_0_0_4, METRIC_GAUGE, "a", "q\"\\\n",
          "# TYPE a gauge\n# HELP a q\"\\\\\\n\n" },
        { METRIC_OPENMETRICS_1_0, METRIC_GAUGE, "a", "q\"\\\n",
          "# TYPE a gauge\n# HELP a q\\\"\\\\\\n\n" },
    };
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        metric_text_head(&buf, cases[i].format, cases[i].kind, cases[i].name, cases[i].help);
        assert_text(&buf, cases[i].want);
    }
    buf_fini(&buf);
}

static void labels_are_escaped(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    metric_text_name(&buf, "a", "_count");
    metric_text_label(&buf, STR("x"), STR("\"\\\n\t\xc3\xa4"), true);
    metric_text_label(&buf, STR("y"), STR(""), false);
    assert_text(&buf, "a_count{x=\"\\\"\\\\\\n\t\xc3\xa4\",y=\"\"");
    metric_text_end(&buf, METRIC_TEXT_0_0_4);
    assert_text(&buf, "");
    metric_text_end(&buf, METRIC_OPENMETRICS_1_0);
    assert_text(&buf, "# EOF\n");
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_short_and_exact), cmocka_unit_test(extreme_numbers_read_back),
        cmocka_unit_test(seconds_are_exact),           cmocka_unit_test(heads_differ_by_format),
        cmocka_unit_test(labels_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
