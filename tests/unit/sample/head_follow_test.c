/* Which roots count for which operation, and how many are followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "base/mem.h"
#include "unit/sample/head_rig.h"

/* --- what is counted ------------------------------------------------------------------------------ */

static void test_not_counted(void **state)
{
    char long_name[1100];
    struct head_rig rig;

    (void)state;
    memset(long_name, 'x', sizeof long_name);
    long_name[1025] = '\0';
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(STATIC));
    rig_count(&rig, rig_row(&rig, "", "/a", ""), 3);         /* no service */
    rig_count(&rig, rig_row(&rig, "a", "", ""), 3);          /* no name */
    rig_count(&rig, rig_row(&rig, "a", "\xff", ""), 3);      /* no client could ask for it */
    rig_count(&rig, rig_row(&rig, "\xc3", "/a", ""), 3);
    rig_count(&rig, rig_row(&rig, long_name, "/a", ""), 3);  /* only in the metric */
    struct row *child = mem_copy(rig_row(&rig, "a", "/child", ""), rig_row(&rig, "a", "/child", "")->bytes);
    child->parent_id[3] = 1;
    head_count(rig.head, child, rig.rows.segment->epoch);
    mem_free(child);
    rig_pass(&rig, 61);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 0);
    assert_true(rig_metric(&rig, "meshglass_sampling_services") == 0);
    assert_true(rig_metric(&rig, "meshglass_sampling_roots_beyond_total") == 3);
    rig_count(&rig, rig_row(&rig, "a", long_name, ""), 6);   /* under the service's default */
    long_name[1024] = '\0';
    rig_count(&rig, rig_row(&rig, "a", long_name, ""), 6);
    rig_pass(&rig, 60);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 1);
    assert_true(rig_row_of(&rig, "a", "")->samples_per_second == 0.1);
    assert_true(rig_row_of(&rig, "a", long_name)->samples_per_second == 0.1);
    assert_true(rig_metric(&rig, "meshglass_sampling_roots_beyond_total") == 9);
    rig_close(&rig);
}

/* Symbols are of their epoch alone, and epochs come and go. */
static void test_epochs(void **state)
{
    struct head_rig rig;

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(STATIC));
    for (unsigned i = 0; i < 60; i++) {
        const struct row *one = rig_row(&rig, "s", i & 1 ? "/one" : "/two", "");
        const struct row *two = rig_row(&rig, "s", i & 1 ? "/two" : "/one", "");
        rig_count(&rig, one, 1);
        rig_count(&rig, two, 1);
        rig_count(&rig, one, 1);
        rows_next_epoch(&rig.rows);
    }
    rig_pass(&rig, 60);
    assert_true(rig_row_of(&rig, "s", "/one")->samples_per_second == 1.5);
    assert_true(rig_row_of(&rig, "s", "/two")->samples_per_second == 1.5);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 2);
    rig_close(&rig);
}

static void test_operations_max(void **state)
{
    struct head_rig rig;
    struct mg_why why;
    char name[16];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(STATIC, "head.operations_max=3"));
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "/%u", i);
        rig_count(&rig, rig_row(&rig, "a", name, ""), 60);
    }
    rig_count(&rig, rig_row(&rig, "b", "/0", ""), 60);
    rig_pass(&rig, 60);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 3);
    assert_true(rig_metric(&rig, "meshglass_sampling_roots_beyond_total") == 180);
    assert_true(rig_row_of(&rig, "a", "/2")->samples_per_second == 1);
    assert_null(rig_row_of(&rig, "a", "/3"));
    assert_true(rig_row_of(&rig, "a", "")->samples_per_second == 2);
    assert_true(rig_row_of(&rig, "b", "")->samples_per_second == 1);
    /* those not seen for ten intervals make room */
    for (unsigned minute = 0; minute < 10; minute++) {
        rig_count(&rig, rig_row(&rig, "b", "/0", ""), 60);
        rig_pass(&rig, 60);
    }
    assert_null(rig_row_of(&rig, "a", ""));
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 0);
    rig_count(&rig, rig_row(&rig, "b", "/0", ""), 60);
    rig_pass(&rig, 60);
    assert_true(rig_row_of(&rig, "b", "/0")->samples_per_second == 1);
    assert_true(rig_row_of(&rig, "b", "")->samples_per_second == 0);
    /* and a higher limit is in force at once */
    assert_int_equal(rig_reload(&rig, RIG_SETS(STATIC, "head.operations_max=4"), &why), MG_OK);
    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "/%u", i);
        rig_count(&rig, rig_row(&rig, "c", name, ""), 1);
    }
    rig_pass(&rig, 1);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 4);
    rig_close(&rig);
}

/* More names than there is room, again and again: slots, names and memories are used anew. */
static void test_endless_names(void **state)
{
    struct head_rig rig;
    char name[32];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(STATIC, "head.operations_max=100", "head.aggregation_buckets=2", "head.calculation_interval=1s"));
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(name, sizeof name, "/%u", i);
        rig_count(&rig, rig_row(&rig, i % 3 ? "a" : name, name, ""), 1);
        if (i % 50 == 49)
            rig_pass(&rig, 1);
    }
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") <= 100);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") >= 50);
    rig_pass(&rig, 3);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 0);
    assert_true(rig_metric(&rig, "meshglass_sampling_services") == 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_counted),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_operations_max),
        cmocka_unit_test(test_endless_names),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
