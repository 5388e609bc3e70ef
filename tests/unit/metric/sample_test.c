/* One line at a time: what is in it, and every way to spell it wrong, in each format. */
#include "metric/sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/base/group_arena.h"

enum { T = 1, O = 2 }; /* legal in text 0.0.4, in OpenMetrics */

static void lines_are_legal_in_their_formats(void **state)
{
    static const struct {
        const char *line;
        int legal;
    } cases[] = {
        { "a 1", T | O },
        { "a{} 1", T | O },
        { "a{b=\"c\"} 1", T | O },
        { "a:b 1", T | O },
        { "{\"a.b\"} 1", T | O },
        { "{\"a.b\",c=\"d\"} 1", T | O },
        { "a{\"x.y\"=\"z\"} 1", T | O },
        { "a{b=\"c\",d=\"\"} +Inf", T | O },
        { "a NaN", T | O },
        { "a -1.5e-3", T | O },
        { "a .5", T | O },
        { "a 5.", T | O },
        { "a 1 123", T | O },
        { "a 1 -123", T | O },
        { "a 1 1.5", O },
        { "a  1", T },
        { "a\t1", T },
        { " a 1", T },
        { "a 1 ", T },
        { "a 1 1 ", T },
        { "a {b=\"c\"} 1", T },
        { "a{ b = \"c\" , } 1", T },
        { "a{b=\"c\",} 1", T },
        { "a{b=\"c\"}1", T },
        { "a{b=\"c\"}  1\t2", T },
        { "a 0x1p-3", T },
        { "a 1 # {} 1", O },
        { "a 1 1 # {x=\"y\"} 1 2.5", O },
        { "a{b=\"\\z\"} 1", O },
        { "a{b=\"\\n\\\\\\\"\"} 1", T | O },
        { "a inf", T | O },
        { "a -Infinity", T | O },
        { "", 0 },
        { "1", 0 },
        { "a", 0 },
        { "a ", 0 },
        { "a-b 1", 0 },
        { "a.b 1", 0 },
        { "0a 1", 0 },
        { "a{b} 1", 0 },
        { "a{b=} 1", 0 },
        { "a{b=c} 1", 0 },
        { "a{b=\"c} 1", 0 },
        { "a{b=\"c\" 1", 0 },
        { "a{b=\"c\"", 0 },
        { "a{,} 1", 0 },
        { "a{b=\"c\",,d=\"e\"} 1", 0 },
        { "a{b=\"c\"d=\"e\"} 1", 0 },
        { "a{b=\"c\",b=\"d\"} 1", 0 },
        { "a{__name__=\"b\"} 1", 0 },
        { "a{1=\"c\"} 1", 0 },
        { "a{b:c=\"d\"} 1", 0 },
        { "a{\"\"=\"d\"} 1", 0 },
        { "{\"\"} 1", 0 },
        { "{} 1", 0 },
        { "{b=\"c\"} 1", 0 },
        { "a{\"b\"} 1", 0 },
        { "{\"a\",\"b\"} 1", 0 },
        { "a x", 0 },
        { "a 1_2", 0 },
        { "a 0x1", 0 },
        { "a 1 x", 0 },
        { "a 1 NaN", 0 },
        { "a 1 1 1", 0 },
        { "a 1 1_2", 0 },
        { "a 1e", 0 },
        { "a +", 0 },
        { "a .", 0 },
        { "a 1 #", 0 },
        { "a 1 # {}", 0 },
        { "a 1 # {} x", 0 },
        { "a 1 #{} 1", 0 },
        { "a 1 # {}1", 0 },
        { "a 1 # {} 1 ", 0 },
        { "a 1 # {} 1 1 ", 0 },
        { "a 1 # {} 1 Inf", 0 },
        { "a 1 # x 1", 0 },
        { "a{b=\"\\", 0 },
        { "a{b=\"\\\"} 1", 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        for (int format = 0; format < 2; format++) {
            struct metric_sample sample;
            struct mg_why why = { { 0 } };
            enum mg_err err = metric_sample_parse(
                &sample, str_of(cases[i].line), format ? METRIC_OPENMETRICS_1_0 : METRIC_TEXT_0_0_4,
                &arena, &why);
            bool is_legal = cases[i].legal & (format ? O : T);

            if ((err == MG_OK) != is_legal)
                fail_msg("'%s' in format %d: %s", cases[i].line, format, why.text);
            assert_true(err == MG_OK || why.text[0]);
        }
    }
}

static void a_sample_has_its_parts(void **state)
{
    struct metric_sample s;
    struct str line = STR("x_bucket{le=\"1.0\",b=\"q\\\"\\n\\z\"} 3 4.5 # {id=\"7\"} 0.5 6");

    (void)state;
    assert_int_equal(metric_sample_parse(&s, line, METRIC_OPENMETRICS_1_0, &arena, NULL), MG_OK);
    assert_true(str_eq(s.name, STR("x_bucket")));
    assert_int_equal(s.labels.n, 2);
    assert_true(str_eq(*metric_label_find(&s.labels, STR("le")), STR("1.0")));
    assert_true(str_eq(*metric_label_find(&s.labels, STR("b")), STR("q\"\n\\z")));
    assert_null(metric_label_find(&s.labels, STR("c")));
    assert_true(s.value == 3 && s.has_time && s.time == 4.5);
    assert_true(s.has_exemplar && s.exemplar_value == 0.5);
    assert_int_equal(s.exemplar_labels.n, 1);
    assert_int_equal(
        metric_sample_parse(&s, STR("{\"a b\",c=\"d\"} -Inf"), METRIC_TEXT_0_0_4, &arena, NULL),
        MG_OK);
    assert_true(str_eq(s.name, STR("a b")) && s.labels.n == 1 && s.value == -INFINITY &&
                !s.has_time);
}

/* Each part is in a heap block of its own size, so that the address sanitiser sees a read past it.
 */
static void every_cut_of_a_line_is_survived(void **state)
{
    static const char line[] = "ab{c=\"d\\\\\",e=\"f\"} 12 34.5 # {g=\"h\"} 1.5 99";

    (void)state;
    for (size_t n = 0; n < sizeof line; n++) {
        for (int format = 0; format < 2; format++) {
            char *part = mem_copy(line, n);
            struct metric_sample sample;
            enum mg_err err = metric_sample_parse(
                &sample, str_n(part, n), format ? METRIC_OPENMETRICS_1_0 : METRIC_TEXT_0_0_4,
                &arena, NULL);

            assert_true(err == MG_OK || err == MG_E_FORMAT);
            mem_free(part);
        }
    }
}

static void labels_and_digits_are_limited(void **state)
{
    (void)state;
    for (int n = 999; n <= 1001; n++) {
        struct metric_sample sample;
        struct buf line;

        buf_init(&line, 1 << 20);
        buf_put_text(&line, "a{");
        for (int i = 0; i < n; i++)
            buf_printf(&line, "%sl%d=\"v\"", i ? "," : "", i);
        buf_put_text(&line, "} 1");
        assert_int_equal(
            metric_sample_parse(&sample, buf_str(&line), METRIC_TEXT_0_0_4, &arena, NULL),
            n <= 1000 ? MG_OK : MG_E_FORMAT);
        buf_fini(&line);
    }
    for (size_t n = 510; n <= 512; n++) {
        char digits[512];
        double value;

        memset(digits, '0', sizeof digits);
        digits[n - 1] = '7';
        assert_int_equal(metric_number_parse(str_n(digits, n), METRIC_TEXT_0_0_4, &value),
                         n <= 511 ? MG_OK : MG_E_FORMAT);
        assert_true(n > 511 || value == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_legal_in_their_formats),
        cmocka_unit_test(a_sample_has_its_parts),
        cmocka_unit_test(every_cut_of_a_line_is_survived),
        cmocka_unit_test(labels_and_digits_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, group_arena_fini);
}
