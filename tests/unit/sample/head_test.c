#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "base/mem.h"
#include "unit/sample/head_rig.h"

#define STATIC   "head.mode=static"
#define ADAPTIVE "head.mode=adaptive"
#define FILE_KEY "head.strategies_file=@file"

static const char full_file[] =
    "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":0.5,"
    "\"operation_strategies\":[{\"operation\":\"/all\",\"type\":\"probabilistic\",\"param\":0.25},"
    "{\"operation\":\"GET /health\",\"type\":\"probabilistic\",\"param\":0.9}]},"
    "\"service_strategies\":["
    "{\"service\":\"plain\",\"type\":\"probabilistic\",\"param\":0.8},"
    "{\"service\":\"ops\",\"type\":\"probabilistic\",\"param\":0.7,\"operation_strategies\":["
    "{\"operation\":\"/all\",\"type\":\"probabilistic\",\"param\":0.1},{\"operation\":\"/own\",\"type\":\"probabilistic\",\"param\":0.2}]},"
    "{\"service\":\"odd\",\"type\":\"const\",\"param\":1},"
    "{\"service\":\"limit\",\"type\":\"ratelimiting\",\"param\":8}]}";
static const char limit_file[] = "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":8},"
                                 "\"service_strategies\":[{\"service\":\"low\",\"type\":\"ratelimiting\",\"param\":0.5}]}";

/* --- what is told --------------------------------------------------------------------------------- */

static const struct { const char *name; const char *sets[4], *file, *service, *want; } told_rows[] = {
    { "nothing configured: all", { STATIC }, NULL, "a", "P 1" },
    { "the default probability", { STATIC, "head.default_probability=0.3" }, NULL, "a", "P 0.3" },
    { "no name at all", { STATIC, "head.default_probability=0.3" }, NULL, "", "P 0.3" },
    { "an empty file", { STATIC, FILE_KEY }, "{}", "a", "P 1" },
    { "null is a file", { STATIC, FILE_KEY }, "null", "a", "P 1" },
    /* a class comes before the file: the built-in one has /health at 10 % */
    { "unknown: the default strategy", { STATIC, FILE_KEY }, full_file, "a", "P 0.5 | 0.5 0 | /all 0.25, GET /health 0.1" },
    { "a service of the file: operations of the default are merged in", { STATIC, FILE_KEY }, full_file, "plain",
      "P 0.8 | 0.8 0 | /all 0.25, GET /health 0.1" },
    { "the service's own operations win", { STATIC, FILE_KEY }, full_file, "ops", "P 0.7 | 0.7 0 | /all 0.1, /own 0.2, GET /health 0.1" },
    { "an unknown type: the default", { STATIC, FILE_KEY }, full_file, "odd", "P 0.5 | 0.5 0 | /all 0.25, GET /health 0.1" },
    { "a limit with operations of the default: the default's rate", { STATIC, FILE_KEY }, full_file, "limit",
      "L 8 | 0.5 0 | /all 0.25, GET /health 0.1" },
    { "a limit", { STATIC, FILE_KEY }, limit_file, "a", "L 8" },
    { "a limit is cut to a whole number", { STATIC, FILE_KEY }, limit_file, "low", "L 0" },
    { "an unknown type of the default strategy", { STATIC, FILE_KEY, "head.default_probability=0.2" },
      "{\"default_strategy\":{\"type\":\"x\"}}", "a", "P 0.2" },
    { "no default strategy: the configured default", { STATIC, FILE_KEY, "head.default_probability=0.2" },
      "{\"service_strategies\":[{\"service\":\"b\",\"type\":\"probabilistic\",\"param\":0.9}]}", "a", "P 0.2" },

    { "override of a service", { STATIC, FILE_KEY, "head.overrides=[{service: ops, probability: 0.05}]" }, full_file, "ops", "P 0.05" },
    { "... is for no other", { STATIC, FILE_KEY, "head.overrides=[{service: ops, probability: 0.05}]" }, full_file, "plain",
      "P 0.8 | 0.8 0 | /all 0.25, GET /health 0.1" },
    { "... also where the rows are the default's", { STATIC, FILE_KEY, "head.overrides=[{service: plain, probability: 0.05}]" }, full_file, "plain",
      "P 0.05" },
    { "... and ends a limit", { STATIC, FILE_KEY, "head.overrides=[{service: low, probability: 0.05}]" }, limit_file, "low", "P 0.05" },
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
    { "an override of a class", { STATIC, FILE_KEY, "head.overrides=[{class: health, probability: 0.7}]" }, full_file, "plain",
      "P 0.8 | 0.8 0 | /all 0.25, GET /health 0.7" },

    { "adaptive: nothing known", { ADAPTIVE }, NULL, "a", "P 0.001 | 0.001 0.0167 |" },
    { "adaptive: the lower bound", { ADAPTIVE, "head.min_samples_per_second=0.5" }, NULL, "", "P 0.001 | 0.001 0.5 |" },
    { "adaptive: the file until there is a result", { ADAPTIVE, FILE_KEY }, full_file, "ops",
      "P 0.7 | 0.7 0.0167 | /all 0.1, /own 0.2, GET /health 0.1" },
    { "adaptive: no limits", { ADAPTIVE, FILE_KEY }, limit_file, "a", "P 0.001 | 0.001 0.0167 |" },
    { "adaptive: an override", { ADAPTIVE, "head.overrides=[{service: a, probability: 1}, {service: b, target_samples_per_second: 5}]" }, NULL, "a",
      "P 1 | 1 0.0167 |" },
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
    rig_write(rig.file, limit_file);
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
    rig_write(rig.file, limit_file);
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
        { "[{service: a, probability: 1.5}]", "sampling.head.overrides 1 (line 1): override.probability is 1.5, which is above 1" },
        { "[{service: a, probability: -1}]", "sampling.head.overrides 1 (line 1): override.probability is -1, which is below 0" },
        { "[{service: a, probability: most}]", "sampling.head.overrides 1 (line 1): override.probability is 'most', not a number" },
        { "[{service: '', probability: 1}]", "sampling.head.overrides 1 (line 1): override.service is empty" },
        { "[{service: , probability: 1}]", "sampling.head.overrides 1 (line 1): override.service is missing" },
        { "[{operation: [a], probability: 1}]", "sampling.head.overrides 1 (line 1): override.operation is a list, not a text" },
        { "[{class: helth, probability: 1}]",
          "sampling.head.overrides 1 (line 1): there is no class 'helth': classes are those of sampling.classes" },
        { "[{servce: a, probability: 1}]", "sampling.head.overrides 1 (line 1): unknown key 'override.servce'; did you mean 'service'?" },
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

static void test_bad_file_at_start(void **state)
{
    static const struct { const char *file, *value; enum mg_err err; const char *want; } rows[] = {
        { NULL, "@file", MG_E_IO, "No such file or directory" },
        { "{", "@file", MG_E_FORMAT, "strategies.json: line 1" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":7}}", "@file", MG_E_FORMAT,
          "strategies.json: default_strategy: param 7 is no probability" },
        { NULL, "http://example.com/strategies.json", MG_E_UNSUPPORTED,
          "sampling.head.strategies_file 'http://example.com/strategies.json': strategies are read from files only" },
        { NULL, "https://example.com/", MG_E_UNSUPPORTED, "strategies are read from files only" },
        { NULL, "/dev", MG_E_FORMAT, "sampling.head.strategies_file: /dev is not a file" },
        { NULL, "/dev/zero", MG_E_FORMAT, "sampling.head.strategies_file: /dev/zero is not a file" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct head_rig rig;
        struct mg_why why = { "" };
        char set[256];
        rig_open(&rig);
        if (rows[i].file)
            rig_write(rig.file, rows[i].file);
        (void)snprintf(set, sizeof set, "head.strategies_file=%s", rows[i].value);
        assert_int_equal(rig_try(&rig, RIG_SETS(set), &why), rows[i].err);
        assert_true(str_starts(str_of(why.text), STR("sampling.head.strategies_file")));
        assert_non_null(strstr(why.text, rows[i].want));
        rig_start(&rig, RIG_SETS("head.default_probability=0.25"));
        assert_int_equal(rig_reload(&rig, RIG_SETS(set), &why), rows[i].err);
        assert_string_equal(rig_told(&rig, "a"), "P 0.25");
        rig_close(&rig);
    }
}

static void test_file_too_big(void **state)
{
    struct head_rig rig;
    struct mg_why why;
    struct buf text;

    (void)state;
    rig_open(&rig);
    buf_init(&text, SIZE_MAX);
    buf_put_text(&text, "{}");
    while (text.len < (4u << 20))
        buf_put_char(&text, ' ');
    buf_put_char(&text, '\0');
    rig_write(rig.file, text.ptr);
    assert_int_equal(rig_try(&rig, RIG_SETS(FILE_KEY), &why), MG_OK);
    text.ptr[text.len - 1] = ' ';
    buf_put_char(&text, '\0');
    rig_write(rig.file, text.ptr);
    assert_int_equal(rig_try(&rig, RIG_SETS(FILE_KEY), &why), MG_E_TOO_BIG);
    assert_non_null(strstr(why.text, "is larger than 4 MiB"));
    buf_fini(&text);
    rig_close(&rig);
}

/* --- the file changes ----------------------------------------------------------------------------- */

#define DEFAULT_IS(p) "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":" #p "}}"
#define TAKEN  "meshglass_sampling_strategies_reloads_total{result=\"taken\"}"
#define FAILED "meshglass_sampling_strategies_reloads_total{result=\"failed\"}"

static void expect_reload(struct head_rig *rig, const char *told, double taken, double failed)
{
    rig_pass(rig, 3);
    assert_string_equal(rig_told(rig, "a"), told);
    assert_true(rig_metric(rig, TAKEN) == taken);
    assert_true(rig_metric(rig, FAILED) == failed);
}

static void test_file_changes(void **state)
{
    struct head_rig rig;
    char other[128];

    (void)state;
    rig_open(&rig);
    rig_write(rig.file, DEFAULT_IS(0.5));
    rig_start(&rig, RIG_SETS(FILE_KEY, "head.reload_interval=2s"));
    expect_reload(&rig, "P 0.5", 0, 0);
    rig_write(rig.file, DEFAULT_IS(0.25));
    assert_string_equal(rig_told(&rig, "a"), "P 0.5"); /* nobody has looked */
    expect_reload(&rig, "P 0.25", 1, 0);
    expect_reload(&rig, "P 0.25", 1, 0);
    rig_write(rig.file, "{\"default_strategy\":");
    expect_reload(&rig, "P 0.25", 1, 1); /* the old ones stay */
    expect_reload(&rig, "P 0.25", 1, 1); /* and it is told once */
    rig_write(rig.file, "{\"default_strategy\":7}");
    expect_reload(&rig, "P 0.25", 1, 2);
    rig_write(rig.file, DEFAULT_IS(0.125));
    expect_reload(&rig, "P 0.125", 2, 2);
    assert_int_equal(unlink(rig.file), 0);
    expect_reload(&rig, "P 0.125", 2, 3);
    expect_reload(&rig, "P 0.125", 2, 3);
    rig_write(rig.file, DEFAULT_IS(0.0625));
    expect_reload(&rig, "P 0.0625", 3, 3);
    /* another file in its place, as old and as long: it is known by its inode */
    (void)snprintf(other, sizeof other, "%s.new", rig.file);
    rig_write(other, DEFAULT_IS(0.0125));
    struct stat file;
    assert_int_equal(stat(rig.file, &file), 0);
    const struct timespec times[2] = { file.st_mtim, file.st_mtim };
    assert_int_equal(utimensat(AT_FDCWD, other, times, 0), 0);
    assert_int_equal(rename(other, rig.file), 0);
    expect_reload(&rig, "P 0.0125", 4, 3);
    rig_close(&rig);
}

static void test_file_is_not_looked_at(void **state)
{
    struct head_rig rig;
    struct mg_why why;

    (void)state;
    rig_open(&rig);
    rig_write(rig.file, DEFAULT_IS(0.5));
    rig_start(&rig, RIG_SETS(FILE_KEY, "head.reload_interval=0"));
    rig_write(rig.file, DEFAULT_IS(0.25));
    expect_reload(&rig, "P 0.5", 0, 0);
    rig_pass(&rig, 1000);
    expect_reload(&rig, "P 0.5", 0, 0);
    assert_int_equal(rig_reload(&rig, RIG_SETS(FILE_KEY, "head.reload_interval=10s"), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "a"), "P 0.25");
    rig_write(rig.file, DEFAULT_IS(0.125));
    rig_pass(&rig, 10);
    assert_string_equal(rig_told(&rig, "a"), "P 0.125");
    /* a reload without the file forgets it */
    assert_int_equal(rig_reload(&rig, RIG_SETS("head.default_probability=0.75"), &why), MG_OK);
    assert_string_equal(rig_told(&rig, "a"), "P 0.75");
    rig_pass(&rig, 20);
    assert_string_equal(rig_told(&rig, "a"), "P 0.75");
    rig_close(&rig);
}

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

/* --- who asked ------------------------------------------------------------------------------------ */

static void test_asked(void **state)
{
    struct head_rig rig;
    char name[16];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(STATIC));
    (void)rig_told(&rig, "early"); /* before anything was seen of it */
    rig_count(&rig, rig_row(&rig, "early", "/x", ""), 1);
    rig_count(&rig, rig_row(&rig, "silent", "/x", ""), 1);
    rig_pass(&rig, 2);
    assert_true(rig_row_of(&rig, "early", "")->is_followed);
    assert_false(rig_row_of(&rig, "silent", "")->is_followed);
    rig_pass(&rig, 118);
    assert_true(rig_row_of(&rig, "early", "")->is_followed);
    rig_pass(&rig, 1);
    assert_false(rig_row_of(&rig, "early", "")->is_followed); /* two intervals ago */
    (void)rig_told(&rig, "silent");
    assert_true(rig_row_of(&rig, "silent", "")->is_followed);
    assert_false(rig_row_of(&rig, "", "")->is_followed);
    /* names that somebody made up are not remembered without end */
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        (void)rig_told(&rig, name);
    }
    rig_count(&rig, rig_row(&rig, "n0", "/x", ""), 1);
    rig_count(&rig, rig_row(&rig, "n4999", "/x", ""), 1);
    rig_pass(&rig, 1);
    assert_true(rig_row_of(&rig, "n0", "")->is_followed);
    assert_false(rig_row_of(&rig, "n4999", "")->is_followed); /* there was no room; it will ask again */
    (void)rig_told(&rig, "n4999");
    assert_true(rig_row_of(&rig, "n4999", "")->is_followed);
    /* too old ones make room */
    rig_pass(&rig, 180);
    (void)rig_told(&rig, "new");
    rig_count(&rig, rig_row(&rig, "new", "/x", ""), 1);
    rig_pass(&rig, 1);
    assert_true(rig_row_of(&rig, "new", "")->is_followed);
    rig_close(&rig);
}

/* --- threads -------------------------------------------------------------------------------------- */

enum { COUNTED_NAMES = 40 };
struct crowd {
    struct head_rig *rig;
    const struct row *rows[2 * COUNTED_NAMES];
    atomic_bool is_over;
    atomic_uint asked;
};

static void *count_for_ever(void *owner)
{
    struct crowd *crowd = owner;

    for (size_t i = 0; !atomic_load(&crowd->is_over); i++)
        rig_count(crowd->rig, crowd->rows[i % MG_COUNT(crowd->rows)], 1);
    return NULL;
}

static void *ask_for_ever(void *owner)
{
    struct crowd *crowd = owner;
    struct arena arena = { 0 };

    while (!atomic_load(&crowd->is_over)) {
        struct strategy told;
        struct head_row *rows;
        size_t n;
        head_strategy(crowd->rig->head, STR("a"), &arena, &told);
        if (told.n_operations > COUNTED_NAMES || (told.n_operations > 0 && told.operations[0].name.ptr[0] != '/'))
            abort();
        head_strategy(crowd->rig->head, STR("never seen"), &arena, &told);
        head_effective(crowd->rig->head, &arena, &rows, &n);
        if (n == 0 || rows[0].service.len != 0)
            abort();
        head_overload(crowd->rig->head, 0.5);
        arena_reset(&arena);
        atomic_fetch_add(&crowd->asked, 1);
    }
    arena_fini(&arena);
    return NULL;
}

/* Live counts, loops ask, the main thread calculates, forgets and reloads. */
static void test_threads(void **state)
{
    struct crowd crowd = { 0 };
    struct head_rig rig;
    struct mg_why why;
    pthread_t threads[3];

    (void)state;
    rig_open(&rig);
    rig_start(&rig, RIG_SETS(ADAPTIVE, "head.calculation_interval=1s", "head.aggregation_buckets=1", "head.operations_max=30"));
    crowd.rig = &rig;
    for (unsigned i = 0; i < COUNTED_NAMES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "/%u", i);
        crowd.rows[i] = rig_row(&rig, "a", name, "probabilistic 0.001");
        crowd.rows[COUNTED_NAMES + i] = rig_row(&rig, "b", name, "ot=th:8");
    }
    assert_int_equal(pthread_create(&threads[0], NULL, count_for_ever, &crowd), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, ask_for_ever, &crowd), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, ask_for_ever, &crowd), 0);
    for (unsigned i = 0; i < 300 || atomic_load(&crowd.asked) < 100; i++) {
        rig_pass(&rig, 1 + i % 2);
        if (i % 50 == 49)
            assert_int_equal(rig_reload(&rig, RIG_SETS(ADAPTIVE, "head.calculation_interval=1s", "head.aggregation_buckets=1",
                                                       i % 100 == 99 ? "head.operations_max=10" : "head.operations_max=60"), &why), MG_OK);
    }
    atomic_store(&crowd.is_over, true);
    for (size_t i = 0; i < MG_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(rig_metric(&rig, "meshglass_sampling_roots_beyond_total") > 0);
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
        cmocka_unit_test(test_bad_file_at_start),
        cmocka_unit_test(test_file_too_big),
        cmocka_unit_test(test_file_changes),
        cmocka_unit_test(test_file_is_not_looked_at),
        cmocka_unit_test(test_not_counted),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_operations_max),
        cmocka_unit_test(test_endless_names),
        cmocka_unit_test(test_bad_state),
        cmocka_unit_test(test_state_more_than_fits),
        cmocka_unit_test(test_state_cannot_be_written),
        cmocka_unit_test(test_asked),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_rows),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
