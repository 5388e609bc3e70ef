/* dead_file_test.c - lines of the dead-letter file, rotation, and what happens when it cannot be written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include "consume/dead_file.h"

static void a_line_says_where_a_message_was(void **state)
{
    static const struct { struct dead_letter letter; const char *want; } rows[] = {
        { { .topic = STR_INIT("otlp_spans"), .partition = 3, .offset = 17, .timestamp_ms = 1700000000000, .has_key = true, .key = STR_INIT("k\xff"),
            .value = STR_INIT("\x00\x01\x02"), .error = STR_INIT("it is \"malformed\"\n") },
          "{\"topic\":\"otlp_spans\",\"partition\":3,\"offset\":17,\"timestamp\":1700000000000,\"key\":\"a/8=\",\"value\":\"AAEC\","
          "\"error\":\"it is \\\"malformed\\\"\\n\"}\n" },
        { { .topic = STR_INIT("t"), .offset = INT64_MAX, .timestamp_ms = -1, .value = STR_INIT("v"), .error = STR_INIT("\xff") },
          "{\"topic\":\"t\",\"partition\":0,\"offset\":9223372036854775807,\"timestamp\":null,\"key\":null,\"value\":\"dg==\",\"error\":\"\xef\xbf\xbd\"}\n" },
        { { .topic = STR_INIT("t"), .has_key = true, .timestamp_ms = 0 },
          "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":0,\"key\":\"\",\"value\":\"\",\"error\":\"\"}\n" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf line;
        buf_init(&line, 1 << 20);
        dead_letter_line(&line, &rows[i].letter);
        buf_put_char(&line, '\0');
        assert_string_equal(line.ptr, rows[i].want);
        buf_fini(&line);
    }
}

static char folder[64], path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "dead_file_test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/dead.jsonl", folder);
    return 0;
}

static int teardown(void **state)
{
    char command[100];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void expect(const char *at, const char *want)
{
    char have[1000] = "";
    FILE *file = fopen(at, "r");

    assert_non_null(file);
    have[fread(have, 1, sizeof have - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(have, want);
}

static void lines_are_appended(void **state)
{
    struct dead_file *file = dead_file_new(str_of(path));
    struct stat stat_;

    (void)state;
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(dead_file_write(file, STR(""), NULL), MG_OK);
    assert_int_equal(dead_file_write(file, STR("a\n"), NULL), MG_OK);
    assert_int_equal(dead_file_write(file, STR("b\nc\n"), NULL), MG_OK);
    assert_int_equal(stat(path, &stat_), 0);
    assert_int_equal(stat_.st_mode & 0777, 0600);
    dead_file_free(&file);
    file = dead_file_new(str_of(path));
    assert_int_equal(dead_file_write(file, STR("d\n"), NULL), MG_OK);
    expect(path, "a\nb\nc\nd\n");
    dead_file_free(&file);
    dead_file_free(&file);
}

static void a_rotated_file_is_made_anew(void **state)
{
    struct dead_file *file = dead_file_new(str_of(path));
    char other[160];

    (void)state;
    snprintf(other, sizeof other, "%s.1", path);
    assert_int_equal(dead_file_write(file, STR("a\n"), NULL), MG_OK);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(dead_file_write(file, STR("b\n"), NULL), MG_OK);
    expect(other, "a\n");
    expect(path, "b\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dead_file_write(file, STR("c\n"), NULL), MG_OK);
    expect(path, "c\n");
    assert_int_equal(truncate(path, 0), 0); /* copytruncate */
    assert_int_equal(dead_file_write(file, STR("d\n"), NULL), MG_OK);
    expect(path, "d\n");
    dead_file_free(&file);
}

static void what_is_no_file_is_an_error(void **state)
{
    static const char *const places[] = { "/nowhere/at/all", "/dev/null", "/", "dead_file_test.fifo" };

    (void)state;
    (void)unlink(places[3]);
    assert_int_equal(mkfifo(places[3], 0600), 0);
    for (size_t i = 0; i < MG_COUNT(places); i++) {
        struct dead_file *file = dead_file_new(str_of(places[i]));
        struct mg_why why = { "" };
        assert_int_equal(dead_file_write(file, STR("a\n"), &why), MG_E_IO);
        assert_non_null(strstr(why.text, places[i]));
        dead_file_free(&file);
    }
    assert_int_equal(unlink(places[3]), 0);
}

/* The disk is full in the middle of a line: RLIMIT_FSIZE stands for it. */
static void half_a_line_is_taken_back(void **state)
{
    struct dead_file *file = dead_file_new(str_of(path));
    struct rlimit before, limit;
    struct mg_why why = { "" };

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(dead_file_write(file, STR("whole\n"), NULL), MG_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum mg_err err = dead_file_write(file, STR("cut in the middle\n"), &why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, MG_E_IO);
    assert_non_null(strstr(why.text, "cannot write"));
    expect(path, "whole\n");
    assert_int_equal(dead_file_write(file, STR("again\n"), NULL), MG_OK);
    expect(path, "whole\nagain\n");
    dead_file_free(&file);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_line_says_where_a_message_was),
        TEST(lines_are_appended),
        TEST(a_rotated_file_is_made_anew),
        TEST(what_is_no_file_is_an_error),
        TEST(half_a_line_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
