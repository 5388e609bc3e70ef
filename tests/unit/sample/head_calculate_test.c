/* What is kept across a restart; the calculation itself is in adaptive_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "unit/sample/head_rig.h"

/* --- the state ------------------------------------------------------------------------------------ */

static void test_bad_state(void **state)
{
#define OPERATION(rest) "{\"version\":1,\"operations\":[{\"service\":\"a\",\"operation\":\"/x\",\"probability\":0.5},{" rest "}]}"
    static const struct { const char *text, *told; } rows[] = {
        { "{\"version\":1,\"operations\":[{\"service\":\"a\",\"operation\":\"/x\",\"probability\":0.5}]}", "P 0.001 | 0.001 0.0167 | /x 0.5" },
        { "{\"version\":1,\"operations\":[{\"service\":\"a\",\"operation\":\"\",\"probability\":0.5}]}", "P 0.5 | 0.5 0.0167 |" },
        { "{\"version\":1,\"operations\":[{\"service\":\"a\",\"operation\":\"/x\",\"probability\":1e-30}]}", "P 0.001 | 0.001 0.0167 | /x 1e-05" },
        { "{\"version\":1,\"operations\":[]}", NULL },
        { "", NULL },
        { "{", NULL },
        { "[]", NULL },
        { "null", NULL },
        { "{\"operations\":[]}", NULL },
        { "{\"version\":2,\"operations\":[{\"service\":\"a\",\"operation\":\"/x\",\"probability\":0.5}]}", NULL },
        { "{\"version\":1,\"operations\":{}}", NULL },
        { "{\"version\":1}", NULL },
        { "{\"version\":1,\"operations\":[7]}", NULL },
        { OPERATION("\"service\":\"a\",\"operation\":\"/y\""), NULL },
        { OPERATION("\"service\":\"a\",\"operation\":\"/y\",\"probability\":0"), NULL },
        { OPERATION("\"service\":\"a\",\"operation\":\"/y\",\"probability\":1.01"), NULL },
        { OPERATION("\"service\":\"a\",\"operation\":\"/y\",\"probability\":\"0.5\""), NULL },
        { OPERATION("\"service\":1,\"operation\":\"/y\",\"probability\":0.5"), NULL },
        { OPERATION("\"service\":\"a\",\"probability\":0.5"), NULL },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct head_rig rig;
        rig_open(&rig);
        rig_write(rig.state, rows[i].text);
        rig_start(&rig, RIG_SETS(ADAPTIVE));
        assert_string_equal(rig_told(&rig, "a"), rows[i].told ? rows[i].told : "P 0.001 | 0.001 0.0167 |");
        rig_close(&rig);
    }
}

static void test_state_more_than_fits(void **state)
{
    struct head_rig rig;

    (void)state;
    rig_open(&rig);
    rig_write(rig.state, "{\"version\":1,\"operations\":[{\"service\":\"a\",\"operation\":\"/x\",\"probability\":0.5},"
                         "{\"service\":\"a\",\"operation\":\"/y\",\"probability\":0.25},{\"service\":\"\",\"operation\":\"/y\",\"probability\":0.25}]}");
    rig_start(&rig, RIG_SETS(ADAPTIVE, "head.operations_max=1"));
    assert_string_equal(rig_told(&rig, "a"), "P 0.001 | 0.001 0.0167 | /x 0.5");
    /* not in mode static */
    rig_start(&rig, RIG_SETS(STATIC));
    assert_string_equal(rig_told(&rig, "a"), "P 1");
    rig_close(&rig);
}

static void test_state_cannot_be_written(void **state)
{
    struct head_rig rig;

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(ADAPTIVE));
    rig_count(&rig, rig_row(&rig, "a", "/x", ""), 1);
    assert_int_equal(mkdir(rig.state, 0700), 0); /* a folder in its place */
    rig_pass(&rig, 60);
    assert_true(rig_metric(&rig, "meshglass_sampling_state_failures_total") == 1);
    assert_string_equal(rig_told(&rig, "a"), "P 0.001 | 0.001 0.0167 | /x 0.001");
    assert_int_equal(rmdir(rig.state), 0);
    rig_pass(&rig, 60);
    assert_true(rig_metric(&rig, "meshglass_sampling_state_failures_total") == 1);
    assert_true(rig_metric(&rig, "meshglass_sampling_calculation_seconds_count") == 2);
    assert_int_equal(access(rig.state, R_OK), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_state),
        cmocka_unit_test(test_state_more_than_fits),
        cmocka_unit_test(test_state_cannot_be_written),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
