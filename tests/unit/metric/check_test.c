/* Pages that are valid, and pages with one fault each: the line and the reason must be told. */
#include "metric/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define EOF_LINE "# EOF\n"
#define H(name) "# TYPE " name " histogram\n"
#define BUCKETS "x_bucket{le=\"1.0\"} 1\nx_bucket{le=\"+Inf\"} 2\n"

static void check(const char *page, enum metric_format format, const char *says)
{
    struct mg_why why = { { 0 } };
    enum mg_err err = metric_check(str_of(page), format, &why);

    if (!says && err != MG_OK)
        fail_msg("%s in:\n%s", why.text, page);
    if (says && (err != MG_E_FORMAT || !strstr(why.text, says)))
        fail_msg("'%s' does not say '%s' of:\n%s", why.text, says, page);
}

static void open_metrics_pages(void **state)
{
    static const struct {
        const char *page, *says;
    } cases[] = {
        { EOF_LINE, NULL },
        { "# EOF", NULL },
        { "a 1\n# EOF\n", NULL },
        { "# TYPE a counter\n# HELP a h\na_total 1\na_created 5.5\n# EOF\n", NULL },
        { "# HELP a \n# UNIT a \n# EOF\n", NULL },
        { "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n# EOF\n", NULL },
        { H("x") BUCKETS "x_sum 3\nx_count 2\n" EOF_LINE, NULL },
        { H("x") BUCKETS EOF_LINE, NULL },
        { H("x") "x_bucket{a=\"1\",le=\"+Inf\"} 1\nx_bucket{le=\"+Inf\",a=\"2\"} 1\n" EOF_LINE,
          NULL },
        { H("x") "x_bucket{le=\"+Inf\"} 1 1\nx_bucket{le=\"+Inf\"} 2 2\n" EOF_LINE, NULL },
        { H("x") "x_bucket{le=\"2.0\"} 1 # {t=\"1\"} 2\nx_bucket{le=\"+Inf\"} 2\n" EOF_LINE, NULL },
        { "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2\ng_gcount 2\ng_gsum 5\n# EOF\n", NULL },
        { "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n# EOF\n", NULL },
        { "# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n", NULL },
        { "# TYPE e stateset\ne{e=\"on\"} 1\ne{e=\"off\"} 0\n# EOF\n", NULL },
        { "# TYPE a gauge\na 1 1\na 2 1\na 3 2\n# EOF\n", NULL },
        { "# TYPE a counter\na_total 1 # {} 5\n# EOF\n", NULL },
        { "# TYPE \"a.b\" gauge\n{\"a.b\"} 1\n# EOF\n", NULL },
        { "# TYPE x_y gauge\n# TYPE x counter\n# EOF\n", NULL },

        { "", "line 1: the last line is not '# EOF'" },
        { "a 1\n", "line 2: the last line is not '# EOF'" },
        { "# EOF\na 1\n", "line 2: something after" },
        { "# EOF\n\n", "line 2: something after" },
        { "# EOFx\n", "line 1: neither" },
        { "\n# EOF\n", "line 1: an empty line" },
        { "a 1\r\n# EOF\n", "line 1: ends with a carriage return" },
        { "a{b=\"\xff\"} 1\n# EOF\n", "line 1: not UTF-8" },
        { "# a comment\n# EOF\n", "line 1: neither" },
        { "#TYPE a gauge\n# EOF\n", "line 1: neither" },
        { "# TYPE a\n# EOF\n", "line 1: '# KEYWORD name text'" },
        { "# TYPE a gauge \n# EOF\n", "line 1: not a type" },
        { "# TYPE a untyped\n# EOF\n", "line 1: not a type" },
        { "# TYPE a gauge\n# TYPE a gauge\n# EOF\n", "line 2: a second TYPE" },
        { "# HELP a x\n# HELP a x\n# EOF\n", "line 2: a second HELP" },
        { "# UNIT a_s s\n# UNIT a_s s\n# EOF\n", "line 2: a second UNIT" },
        { "# UNIT a seconds\n# EOF\n", "line 1: the family's name" },
        { "# UNIT seconds seconds\n# EOF\n", "line 1: the family's name" },
        { "# TYPE x_u info\n# UNIT x_u u\n# EOF\n", "info and stateset have no unit" },
        { "# TYPE a gauge\na 1\n# HELP a x\n# EOF\n", "line 3: metadata after" },
        { "a 1\n# TYPE a gauge\n# EOF\n", "line 2: metadata after" },
        { "# TYPE a counter\na 1\n# EOF\n",
          "line 2: a sample of the counter 'a' must end in _total" },
        { "# TYPE a_total counter\na_total 1\n# EOF\n", "must end in _total" },
        { "# TYPE a counter\na_total 1\na_sum 1\na_total 2\n# EOF\n", "line 4: this name belongs" },
        { "a 1\nb 1\na{x=\"1\"} 1\n# EOF\n", "line 3: this name belongs" },
        { "# TYPE a_created gauge\n# TYPE a counter\n# EOF\n",
          "line 2: the name 'a_created' clashes" },
        { H("x") "# TYPE x_count gauge\n# EOF\n", "line 2: this name belongs" },
        { "a 1\na 1\n# EOF\n", "line 2: this series is here already" },
        { "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n# EOF\n",
          "line 2: this series is here already" },
        { "a{b=\"\"} 1\na 1\n# EOF\n", "line 2: this series is here already" },
        { "a 0 1\na 0\n# EOF\n", "line 2: samples with and without timestamp" },
        { "a 0 2\na 0 1.5\n# EOF\n", "line 2: the timestamp goes back" },
        { "# TYPE a counter\na_total -1\n# EOF\n", "cannot be negative" },
        { "# TYPE a counter\na_total NaN\n# EOF\n", "cannot be NaN" },
        { "# TYPE i info\ni_info 2\n# EOF\n", "always 1" },
        { "# TYPE e stateset\ne 1\n# EOF\n", "needs a label named" },
        { "# TYPE e stateset\ne{e=\"x\"} 2\n# EOF\n", "0 or 1" },
        { "# TYPE s summary\ns 1\n# EOF\n", "needs 'quantile'" },
        { "# TYPE s summary\ns{quantile=\"1.01\"} 1\n# EOF\n", "from 0 to 1" },
        { "# TYPE s summary\ns{quantile=\"NaN\"} 1\n# EOF\n", "from 0 to 1" },
        { "# TYPE s summary\ns{quantile=\"1\"} -1\n# EOF\n", "cannot be negative" },
        { H("x") "x_bucket 1\n" EOF_LINE, "line 2: a bucket without 'le'" },
        { H("x") "x_bucket{le=\"z\"} 1\n" EOF_LINE, "line 2: 'le' is not a number" },
        { H("x") "x_bucket{le=\"+INF\"} 1\n" EOF_LINE, "infinity is written +Inf" },
        { H("x") "x_bucket{le=\"1.0\"} 1\n" EOF_LINE,
          "line 2: histogram 'x': the bucket le=\"+Inf\" is missing" },
        { H("x") "x_sum 1\nx_count 1\n" EOF_LINE, "the bucket le=\"+Inf\" is missing" },
        { H("x") "x_bucket{le=\"2\"} 1\nx_bucket{le=\"1\"} 1\n" EOF_LINE,
          "line 3: buckets must rise" },
        { H("x") "x_bucket{le=\"1\"} 1\nx_bucket{le=\"1.0\"} 1\n" EOF_LINE,
          "line 3: buckets must rise" },
        { H("x") "x_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\n" EOF_LINE,
          "line 3: buckets are cumulative" },
        { H("x") BUCKETS "x_sum 1\nx_count 3\n" EOF_LINE, "the count is not what" },
        { H("x") "x_count 3\nx_sum 1\n" BUCKETS EOF_LINE, "the count is not what" },
        { H("x") BUCKETS "x_sum 1\n" EOF_LINE, "a sum without a count" },
        { H("x") BUCKETS "x_count 2\n" EOF_LINE, "a count without a sum" },
        { H("x") "x_bucket{le=\"+Inf\"} 1.5\n" EOF_LINE, "a count is a whole number" },
        { H("x") "x_bucket{le=\"-1\"} 0\nx_bucket{le=\"+Inf\"} 0\nx_sum 0\nx_count 0\n" EOF_LINE,
          "negative buckets" },
        { H("x") "x_bucket{a=\"1\",le=\"1\"} 0\nx_bucket{a=\"2\",le=\"+Inf\"} "
                 "0\nx_bucket{a=\"1\",le=\"+Inf\"} 0\n" EOF_LINE,
          "line 4: the samples of one metric are not in one piece" },
        { H("x") "x_bucket{le=\"1\"} 1 1\nx_bucket{le=\"+Inf\"} 2 2\n" EOF_LINE,
          "the bucket le=\"+Inf\" is missing" },
        { H("x") "x_bucket{le=\"1\"} 1 # {} 1.5\nx_bucket{le=\"+Inf\"} 2\n" EOF_LINE,
          "not in its bucket" },
        { "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2\ng_gcount 2\ng_gsum -5\n# EOF\n",
          "_gsum is negative" },
        { "# TYPE a gauge\na 1 # {} 1\n# EOF\n", "only buckets and counter totals" },
        { "# TYPE a counter\na_created 1 # {} 1\n# EOF\n", "only buckets and counter totals" },
        { "a 1 \n# EOF\n", "line 1: " },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        check(cases[i].page, METRIC_OPENMETRICS_1_0, cases[i].says);
}

static void text_pages(void **state)
{
    static const struct {
        const char *page, *says;
    } cases[] = {
        { "", NULL },
        { "\n\n", NULL },
        { "a 1\n", NULL },
        { "# a comment\n#\n# TYPES of things\n  # HELPing\na 1 1234\n", NULL },
        { "# HELP a_total x \"y\" \\\\ \\n\n# TYPE a_total counter\na_total{b=\"c\",} 1\n", NULL },
        { "#TYPE a gauge\n#\tHELP\ta\th\na 1\n", NULL },
        { "# HELP a\na 1\n", NULL },
        { H("x") BUCKETS "x_sum 3\nx_count 2\n", NULL },
        { H("x") "x_bucket{a=\"1\",le=\"+Inf\"} 1\nx_bucket{a=\"2\",le=\"+Inf\"} 1\n"
                 "x_sum{a=\"1\"} 1\nx_sum{a=\"2\"} 1\nx_count{a=\"1\"} 1\nx_count{a=\"2\"} 1\n",
          NULL },
        { "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum -1\ns_count 1\n", NULL },
        { "# TYPE a untyped\na -1\n", NULL },
        { "# EOF\n", NULL }, /* a comment here */

        { "a 1", "does not end with a newline" },
        { "a 1\r\n", "line 1: ends with a carriage return" },
        { "a 1\nb \xc3\n", "line 2: not UTF-8" },
        { "# TYPE\n", "line 1: a metric name is expected" },
        { "# TYPE a\n", "line 1: not a type" },
        { "# TYPE a info\n", "line 1: not a type" },
        { "# TYPE a unknown\n", "line 1: not a type" },
        { "# TYPE a gauge x\n", "line 1: not a type" },
        { "# TYPE a-b gauge\n", "line 1: a blank is expected" },
        { "# HELP a \\\"\n", "line 1: HELP knows" },
        { "# HELP a \\\n", "line 1: HELP knows" },
        { "# TYPE a gauge\n\n# TYPE a gauge\n", "line 3: a second TYPE" },
        { "# HELP a x\n# HELP a x\n", "line 2: a second HELP" },
        { "a 1\n# TYPE a gauge\n", "line 2: metadata after" },
        { "a 1\nb 1\na{c=\"d\"} 1\n", "line 3: this name belongs" },
        { "a 1\na 2\n", "line 2: this series is here already" },
        { "a 1 1\na 2 2\n", "line 2: this series is here already" },
        { "a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 1\n", "line 2: this series is here already" },
        { H("x") "x 1\n", "line 2: a sample of the histogram 'x' must end in _bucket" },
        { H("x") BUCKETS "x_sum 1\nx_count 3\n", "the count is not what" },
        { H("x") BUCKETS, "_sum and _count are missing" },
        { H("x") BUCKETS "x_sum 1\n", "a sum without a count" },
        { H("x") "x_bucket{le=\"1\"} 1\nx_sum 1\nx_count 1\n",
          "the bucket le=\"+Inf\" is missing" },
        { H("x") "x_bucket{le=\"2\"} 1\nx_bucket{le=\"1\"} 1\n", "line 3: buckets must rise" },
        { H("x") "x_bucket{le=\"1\"} 2\nx_bucket{le=\"+Inf\"} 1\n",
          "line 3: buckets are cumulative" },
        { H("x") "x_bucket{le=\"+Inf\"} NaN\n", "line 2: buckets are cumulative" },
        { "# TYPE s summary\ns{quantile=\"2\"} 1\n", "from 0 to 1" },
        { H("x") BUCKETS "x_sum 1\nx_count 2\nx_count_total 1\nx_count 2\n",
          "line 7: this name belongs" },
        { "a 1.5 1.5\n", "line 1: '1.5' is not a timestamp" },
        { "a 1 # {} 1\n", "line 1: '#' is not a timestamp" },
        { "a{b=\"\\z\"} 1\n", "line 1: label 'b'" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        check(cases[i].page, METRIC_TEXT_0_0_4, cases[i].says);
}

static void exemplar_labels_are_limited_in_characters(void **state)
{
    (void)state;
    for (int n = 126; n <= 128; n++) { /* and one for the name */
        struct buf page;

        buf_init(&page, 4096);
        buf_put_text(&page, "# TYPE a counter\na_total 1 # {k=\"");
        for (int i = 0; i < n; i++)
            buf_put_text(&page, "\xe2\x98\x83");
        buf_put_text(&page, "\"} 1\n# EOF\n");
        assert_int_equal(metric_check(buf_str(&page), METRIC_OPENMETRICS_1_0, NULL),
                         n + 1 <= 128 ? MG_OK : MG_E_FORMAT);
        buf_fini(&page);
    }
}

static void every_cut_and_every_flip_is_survived(void **state)
{
    static const char page[] = "# TYPE x histogram\n# UNIT x \n# HELP x "
                               "a\\n\nx_bucket{a=\"\xc3\xa4\",le=\"1.0\"} 1 # {b=\"c\"} 0.5 1\n"
                               "x_bucket{a=\"\xc3\xa4\",le=\"+Inf\"} 2\nx_sum{a=\"\xc3\xa4\"} "
                               "3\nx_count{a=\"\xc3\xa4\"} 2\n# EOF\n";
    const size_t len = sizeof page - 1;

    (void)state;
    check(page, METRIC_OPENMETRICS_1_0, NULL);
    for (size_t n = 0; n < len - 1; n++) /* all but the newline after EOF */
        assert_int_equal(metric_check(str_n(page, n), METRIC_OPENMETRICS_1_0, NULL), MG_E_FORMAT);
    for (size_t n = 0; n < len; n++) {
        char copy[sizeof page];

        memcpy(copy, page, sizeof page);
        for (int bit = 0; bit < 8; bit++) {
            copy[n] = (char)(page[n] ^ 1 << bit);
            enum mg_err open = metric_check(str_n(copy, len), METRIC_OPENMETRICS_1_0, NULL);
            enum mg_err text = metric_check(str_n(copy, len), METRIC_TEXT_0_0_4, NULL);
            assert_true((open == MG_OK || open == MG_E_FORMAT) &&
                        (text == MG_OK || text == MG_E_FORMAT));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_metrics_pages),
        cmocka_unit_test(text_pages),
        cmocka_unit_test(exemplar_labels_are_limited_in_characters),
        cmocka_unit_test(every_cut_and_every_flip_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
