/* The strategies file: at the start, when it changes, and when it is bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/log.h"
#include "sample/head_file.h"
#include "unit/sample/head_rig.h"

/* --- at the start -------------------------------------------------------------------------------- */

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
        { NULL, "/dev", MG_E_IO, "sampling.head.strategies_file: /dev is not a regular file" },
        { NULL, "/dev/zero", MG_E_IO, "sampling.head.strategies_file: /dev/zero is not a regular file" },
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

/* In the place of the file beside it, which is renamed when it is whole. */
static void test_a_pipe_is_not_waited_for_when_the_state_is_written(void **state)
{
    struct head_rig rig;
    struct mg_why why = { "" };
    char temporary[128];

    (void)state;
    rig_open(&rig);
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", rig.state);
    assert_int_equal(mkfifo(temporary, 0600), 0);
    assert_int_equal(head_file_write(rig.state, STR("{}"), &why), MG_E_IO);
    assert_non_null(strstr(why.text, "cannot write"));
    assert_int_equal(head_file_write(rig.state, STR("{}"), &why), MG_OK); /* it was in nobody's use */
    rig_close(&rig);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_file_at_start),
        cmocka_unit_test(test_a_pipe_is_not_waited_for_when_the_state_is_written),
        cmocka_unit_test(test_file_too_big),
        cmocka_unit_test(test_file_changes),
        cmocka_unit_test(test_file_is_not_looked_at),
    };

    log_configure(LOG_ERROR, LOG_LOGFMT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
