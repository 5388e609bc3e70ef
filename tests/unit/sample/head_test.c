/* What is told by whom, overrides and rows, and what the overload ladder makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "unit/sample/head_rig.h"

/* --- what is told --------------------------------------------------------------------------------- */

static const struct { const char *name; const char *sets[4], *file, *service, *want; } told_rows[] = {
    { "nothing configured: all", { STATIC }, NULL, "a", "P 1" },
    { "the default probability", { STATIC, "head.default_probability=0.3" }, NULL, "a", "P 0.3" },
    { "no name at all", { STATIC, "head.default_probability=0.3" }, NULL, "", "P 0.3" },
    { "an empty file", { STATIC, FILE_KEY }, "{}", "a", "P 1" },
    { "null is a file", { STATIC, FILE_KEY }, "null", "a", "P 1" },
    /* a class comes before the file: the built-in one has /health at 10 % */
    { "unknown: the default strategy", { STATIC, FILE_KEY }, rig_full_file, "a", "P 0.5 | 0.5 0 | /all 0.25, GET /health 0.1" },
    { "a service of the file: operations of the default are merged in", { STATIC, FILE_KEY }, rig_full_file, "plain",
      "P 0.8 | 0.8 0 | /all 0.25, GET /health 0.1" },
    { "the service's own operations win", { STATIC, FILE_KEY }, rig_full_file, "ops", "P 0.7 | 0.7 0 | /all 0.1, /own 0.2, GET /health 0.1" },
    { "an unknown type: the default", { STATIC, FILE_KEY }, rig_full_file, "odd", "P 0.5 | 0.5 0 | /all 0.25, GET /health 0.1" },
    { "a limit with operations of the default: the default's rate", { STATIC, FILE_KEY }, rig_full_file, "limit",
      "L 8 | 0.5 0 | /all 0.25, GET /health 0.1" },
    { "a limit", { STATIC, FILE_KEY }, rig_limit_file, "a", "L 8" },
    { "a limit is cut to a whole number", { STATIC, FILE_KEY }, rig_limit_file, "low", "L 0" },
    { "an unknown type of the default strategy", { STATIC, FILE_KEY, "head.default_probability=0.2" },
      "{\"default_strategy\":{\"type\":\"x\"}}", "a", "P 0.2" },
    { "no default strategy: the configured default", { STATIC, FILE_KEY, "head.default_probability=0.2" },
      "{\"service_strategies\":[{\"service\":\"b\",\"type\":\"probabilistic\",\"param\":0.9}]}", "a", "P 0.2" },

    { "override of a service", { STATIC, FILE_KEY, "head.overrides=[{service: ops, probability: 0.05}]" }, rig_full_file, "ops", "P 0.05" },
    { "... is for no other", { STATIC, FILE_KEY, "head.overrides=[{service: ops, probability: 0.05}]" }, rig_full_file, "plain",
      "P 0.8 | 0.8 0 | /all 0.25, GET /health 0.1" },
    { "... also where the rows are the default's", { STATIC, FILE_KEY, "head.overrides=[{service: plain, probability: 0.05}]" }, rig_full_file, "plain",
      "P 0.05" },
    { "... and ends a limit", { STATIC, FILE_KEY, "head.overrides=[{service: low, probability: 0.05}]" }, rig_limit_file, "low", "P 0.05" },
    { "override of an operation", { STATIC, "head.overrides=[{operation: /x, probability: 0}]" }, NULL, "a", "P 1 | 1 0 | /x 0" },
    { "override of both", { STATIC, "head.overrides=[{operation: /x, service: a, probability: 0.5}]" }, NULL, "a", "P 1 | 1 0 | /x 0.5" },
    { "... not of another service", { STATIC, "head.overrides=[{operation: /x, service: a, probability: 0.5}]" }, NULL, "b", "P 1" },
    { "the first that fits", { STATIC, "head.overrides=[{operation: /x, probability: 0.1}, {service: a, operation: /x, probability: 0.2}]" },
      NULL, "a", "P 1 | 1 0 | /x 0.1" },
    { "the first that fits, the other way", { STATIC, "head.overrides=[{service: a, operation: /x, probability: 0.2}, {operation: /x, probability: 0.1}]" },
      NULL, "a", "P 1 | 1 0 | /x 0.2" },
    { "a service before an operation", { STATIC, "head.overrides=[{service: a, probability: 0.2}, {operation: /x, probability: 0.1}]" },
      NULL, "a", "P 0.2" },
    { "an operation before a service", { STATIC, "head.overrides=[{operation: /x, probability: 0.1}, {service: a, probability: 0.2}]" },
      NULL, "a", "P 0.2 | 0.2 0 | /x 0.1" },
    { "an override of a class", { STATIC, FILE_KEY, "head.overrides=[{class: health, probability: 0.7}]" }, rig_full_file, "plain",
      "P 0.8 | 0.8 0 | /all 0.25, GET /health 0.7" },

    { "adaptive: nothing known", { ADAPTIVE }, NULL, "a", "P 0.001 | 0.001 0.0167 |" },
    { "adaptive: the lower bound", { ADAPTIVE, "head.min_samples_per_second=0.5" }, NULL, "", "P 0.001 | 0.001 0.5 |" },
    { "adaptive: the file until there is a result", { ADAPTIVE, FILE_KEY }, rig_full_file, "ops",
      "P 0.7 | 0.7 0.0167 | /all 0.1, /own 0.2, GET /health 0.1" },
    { "adaptive: no limits", { ADAPTIVE, FILE_KEY }, rig_limit_file, "a", "P 0.001 | 0.001 0.0167 |" },
    { "adaptive: an override", { ADAPTIVE, "head.overrides=[{service: a, probability: 1}, {service: b, target_samples_per_second: 5}]" }, NULL, "a",
      "P 1 | 1 0.0167 |" },
    { "adaptive: nor does one for all services", { ADAPTIVE, FILE_KEY, "head.overrides=[{operation: /x, target_samples_per_second: 5}]" }, rig_full_file,
      "ops", "P 0.7 | 0.7 0.0167 | /all 0.1, /own 0.2, GET /health 0.1" },
    { "adaptive: a target says no probability", { ADAPTIVE, "head.overrides=[{service: b, target_samples_per_second: 5}]" }, NULL, "b",
      "P 0.001 | 0.001 0.0167 |" },
};

static void test_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(told_rows); i++) {
        struct head_rig rig;
        rig_open(&rig);
        if (told_rows[i].file)
            rig_write(rig.file, told_rows[i].file);
        rig_start(&rig, told_rows[i].sets);
        const char *told = rig_told(&rig, told_rows[i].service);
        if (strcmp(told, told_rows[i].want) != 0)
            fail_msg("%s:\n  told %s\n  want %s", told_rows[i].name, told, told_rows[i].want);
        rig_close(&rig);
    }
}

/* Operations that were seen: those of a class are told, others are as their service. */
static void test_seen_operations(void **state)
{
    struct head_rig rig;

    (void)state;
    rig_open(&rig);
    rig_write(rig.file, rig_limit_file);
    rig_start(&rig, RIG_SETS(STATIC, "head.default_probability=0.5"));
    rig_count(&rig, rig_row(&rig, "shop", "GET /healthz", ""), 1);
    rig_count(&rig, rig_row(&rig, "shop", "GET /cart", ""), 1);
    assert_string_equal(rig_told(&rig, "shop"), "P 0.5"); /* the main thread has not seen them */
    rig_pass(&rig, 1);
    assert_string_equal(rig_told(&rig, "shop"), "P 0.5 | 0.5 0 | GET /healthz 0.1");
    assert_string_equal(rig_told(&rig, "other"), "P 0.5");
    assert_string_equal(rig_row_of(&rig, "", "")->source, "default");
    assert_string_equal(rig_row_of(&rig, "shop", "")->source, "default");
    assert_string_equal(rig_row_of(&rig, "shop", "GET /cart")->source, "default");
    assert_string_equal(rig_row_of(&rig, "shop", "GET /healthz")->source, "class");
    assert_true(rig_row_of(&rig, "shop", "GET /healthz")->probability == 0.1);
    assert_null(rig_row_of(&rig, "other", ""));
    assert_true(rig_metric(&rig, "meshglass_sampling_operations") == 2);
    assert_true(rig_metric(&rig, "meshglass_sampling_services") == 1);
    assert_true(rig_metric(&rig, "meshglass_sampling_operations_by_probability{probability=\"0.1\"}") == 2);
    assert_true(rig_metric(&rig, "meshglass_sampling_strategy_requests_total{strategy=\"probabilistic\"}") == 2);
    assert_true(rig_metric(&rig, "meshglass_sampling_strategy_requests_total{strategy=\"operations\"}") == 1);
    /* a rate limit cannot be told with probabilities: the class says nothing then */
    struct mg_why why;
    assert_int_equal(rig_reload(&rig, RIG_SETS(STATIC, FILE_KEY), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "shop"), "L 8");
    assert_int_equal(rig_reload(&rig, RIG_SETS(STATIC, FILE_KEY, "head.overrides=[{class: health, probability: 0.3}]"), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "shop"), "L 8");
    /* the lists of classes is not this section's */
    assert_int_equal(rig_reload(&rig, RIG_SETS(STATIC, "classes=[]"), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "shop"), "P 1");
    rig_close(&rig);
}

static void test_overload(void **state)
{
    struct head_rig rig;

    (void)state;
    rig_open(&rig);
    rig_write(rig.file, rig_limit_file);
    rig_start(&rig, RIG_SETS(STATIC, "head.overrides=[{operation: /x, probability: 0}, {operation: /y, probability: 0.00002}]"));
    assert_string_equal(rig_told(&rig, "a"), "P 1 | 1 0 | /x 0, /y 2e-05");
    head_overload(rig.head, 0.25);
    assert_string_equal(rig_told(&rig, "a"), "P 0.25 | 0.25 0 | /x 0, /y 1e-05"); /* not below the least; 0 stays */
    head_overload(rig.head, 1.0 / 64);
    assert_string_equal(rig_told(&rig, "a"), "P 0.015625 | 0.015625 0 | /x 0, /y 1e-05");
    assert_true(rig_row_of(&rig, "", "")->probability == 1.0 / 64);
    rig_pass(&rig, 1);
    assert_true(rig_metric(&rig, "meshglass_sampling_head_factor") == 1.0 / 64);
    head_overload(rig.head, 1);
    assert_string_equal(rig_told(&rig, "a"), "P 1 | 1 0 | /x 0, /y 2e-05");
    rig_start(&rig, RIG_SETS(STATIC, FILE_KEY));
    head_overload(rig.head, 0.25);
    assert_string_equal(rig_told(&rig, "a"), "L 2");
    head_overload(rig.head, 1.0 / 64);
    assert_string_equal(rig_told(&rig, "a"), "L 1"); /* not below one */
    assert_string_equal(rig_told(&rig, "low"), "L 0");
    rig_close(&rig);
}

/* --- errors of the configuration ------------------------------------------------------------------ */

static void test_bad_overrides(void **state)
{
    static const struct { const char *list, *want; } rows[] = {
        { "{service: a, probability: 1}", "sampling.head.overrides (line 1) is not a list" },
        { "[a]", "sampling.head.overrides 1 (line 1): is not a map such as {service: shop, probability: 0.5}" },
        { "[[]]", "sampling.head.overrides 1 (line 1): is not a map such as {service: shop, probability: 0.5}" },
        { "[{probability: 1}]", "sampling.head.overrides 1 (line 1): needs service, operation, both of them, or class alone" },
        { "[{service: a, class: health, probability: 1}]",
          "sampling.head.overrides 1 (line 1): needs service, operation, both of them, or class alone" },
        { "[{operation: a, class: health, probability: 1}]",
          "sampling.head.overrides 1 (line 1): needs service, operation, both of them, or class alone" },
        { "[{service: a}]", "sampling.head.overrides 1 (line 1): needs either probability or target_samples_per_second" },
        { "[{service: a, probability: 1, target_samples_per_second: 1}]",
          "sampling.head.overrides 1 (line 1): needs either probability or target_samples_per_second" },
        { "[{service: a, target_samples_per_second: 1}]",
          "sampling.head.overrides 1 (line 1): target_samples_per_second needs sampling.head.mode adaptive" },
        { "[{service: a, probability: 1.5}]", "sampling.head.overrides 1 (line 1): probability is 1.5, which is above 1" },
        { "[{service: a, probability: -1}]", "sampling.head.overrides 1 (line 1): probability is -1, which is below 0" },
        { "[{service: a, probability: most}]", "sampling.head.overrides 1 (line 1): probability is 'most', not a number" },
        { "[{service: '', probability: 1}]", "sampling.head.overrides 1 (line 1): service is empty" },
        { "[{service: , probability: 1}]", "sampling.head.overrides 1 (line 1): service is missing" },
        { "[{operation: [a], probability: 1}]", "sampling.head.overrides 1 (line 1): operation is a list, not a text" },
        { "[{class: helth, probability: 1}]",
          "sampling.head.overrides 1 (line 1): there is no class 'helth': classes are those of sampling.classes" },
        { "[{servce: a, probability: 1}]", "sampling.head.overrides 1 (line 1): unknown key 'servce'; did you mean 'service'?" },
        { "[{service: a, probability: 1},\n {service: b}]",
          "sampling.head.overrides 2 (line 2): needs either probability or target_samples_per_second" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct head_rig rig;
        struct mg_why why = { "" };
        char set[512];
        rig_open(&rig);
        (void)snprintf(set, sizeof set, "head.overrides=%s", rows[i].list);
        assert_int_equal(rig_try(&rig, RIG_SETS(STATIC, set), &why), MG_E_FORMAT);
        assert_string_equal(why.text, rows[i].want);
        /* at a reload nothing has changed */
        rig_start(&rig, RIG_SETS(STATIC, "head.default_probability=0.25"));
        assert_int_equal(rig_reload(&rig, RIG_SETS(STATIC, set), &why), MG_E_FORMAT);
        assert_string_equal(rig_told(&rig, "a"), "P 0.25");
        rig_close(&rig);
    }
}

static void test_too_many_overrides(void **state)
{
    struct head_rig rig;
    struct mg_why why;
    struct buf set;

    (void)state;
    rig_open(&rig);
    buf_init(&set, 1 << 20);
    buf_put_text(&set, "head.overrides=[");
    for (unsigned i = 0; i < 1000; i++)
        buf_printf(&set, "%s{service: s%u, probability: 0.5}", i ? ", " : "", i);
    size_t at = set.len;
    buf_put_text(&set, "]");
    buf_put_char(&set, '\0');
    assert_int_equal(rig_try(&rig, RIG_SETS(set.ptr), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "s999"), "P 0.5");
    set.len = at;
    buf_put_text(&set, ", {service: more, probability: 1}]");
    buf_put_char(&set, '\0');
    assert_int_equal(rig_try(&rig, RIG_SETS(set.ptr), &why), MG_E_TOO_BIG);
    buf_fini(&set);
    rig_close(&rig);
}

/* --- rows ----------------------------------------------------------------------------------------- */

static void test_rows(void **state)
{
    static const char *const bad[] = {
        "mode=dynamic", "reload_interval=2d", "default_probability=1.1", "default_probability=-0.1", "target_samples_per_second=0",
        "delta_tolerance=-1", "calculation_interval=0", "calculation_interval=2h", "aggregation_buckets=0", "aggregation_buckets=61",
        "calculation_buckets=0", "initial_sampling_probability=0", "initial_sampling_probability=2", "min_sampling_probability=0",
        "min_samples_per_second=-1", "operations_max=0", "operations_max=50001", "strategies=x",
    };
    struct head_conf conf = { 0 };
    const struct conf_section section = { "sampling.head", head_fields, head_fields_n, &conf };
    struct conf *loaded;
    struct mg_why why;

    (void)state;
    assert_int_equal(conf_load(&loaded, &section, 1, &(struct conf_source){ 0 }, &why), MG_OK);
    assert_int_equal(conf.mode, HEAD_STATIC);
    assert_int_equal(conf.file.len, 0);
    assert_int_equal(conf.reload_ns, 10 * RIG_SECOND);
    assert_true(conf.default_probability == 1 && conf.target == 1 && conf.tolerance == 0.3);
    assert_int_equal(conf.interval_ns, 60 * RIG_SECOND);
    assert_int_equal(conf.buckets, 10);
    assert_int_equal(conf.used_buckets, 1);
    assert_true(conf.initial_probability == 0.001 && conf.min_probability == 0.00001 && conf.min_samples_per_second == 1.0 / 60);
    assert_int_equal(conf.operations_max, 2000);
    assert_null(conf.overrides);
    conf_free(&loaded);
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        char set[128];
        (void)snprintf(set, sizeof set, "sampling.head.%s", bad[i]);
        if (conf_load(&loaded, &section, 1, &(struct conf_source){ .sets = (const char *const[]){ set }, .n_sets = 1 }, &why) != MG_E_FORMAT)
            fail_msg("%s was taken", set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_seen_operations),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_bad_overrides),
        cmocka_unit_test(test_too_many_overrides),
        cmocka_unit_test(test_rows),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
