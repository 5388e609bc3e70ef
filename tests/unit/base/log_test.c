#define _GNU_SOURCE /* pipe2, O_DIRECT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"

/* stderr becomes a packet pipe: one read gives exactly what one write(2) sent. */
static struct { int read_end, saved; char text[8192]; } capture;

static void capture_begin(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_DIRECT | O_NONBLOCK), 0);
    capture.read_end = ends[0];
    capture.saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

/* The next line written, or NULL. */
static char *capture_next(void)
{
    ssize_t len = read(capture.read_end, capture.text, sizeof capture.text - 1);
    if (len <= 0)
        return NULL;
    capture.text[len] = '\0';
    return capture.text;
}

static void capture_end(void)
{
    dup2(capture.saved, STDERR_FILENO);
    close(capture.saved);
    close(capture.read_end);
}

/* The line behind its time stamp, whose form is checked here. */
static char *after_ts(char *line, const char *before)
{
    char now[CLOCK_TEXT_BYTES];
    assert_non_null(line);
    assert_memory_equal(line, before, strlen(before));
    clock_text(clock_wall_ns(), now);
    line += strlen(before);
    assert_memory_equal(line, now, 10); /* today; the rest moves on */
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    return line + 24;
}

#define ONE_LINE(out, format, before, ...)            \
    do {                                              \
        log_configure(LOG_DEBUG, (format));           \
        capture_begin();                              \
        LOG(INFO, __VA_ARGS__);                       \
        char *line_ = capture_next();                 \
        (out) = line_ ? strdup(line_) : NULL;         \
        bool is_one_ = !capture_next();               \
        capture_end();                                \
        assert_true(is_one_);                         \
        memmove((out), after_ts((out), (before)), strlen(after_ts((out), (before))) + 1); \
    } while (0)

static void logfmt_values(void **state)
{
    static const struct { struct str in; const char *want; } cases[] = {
        { STR_INIT("plain"), "plain" },
        { STR_INIT("/a/b:1?x&y"), "/a/b:1?x&y" },
        { STR_INIT(""), "\"\"" },
        { STR_INIT("two words"), "\"two words\"" },
        { STR_INIT("a=b"), "\"a=b\"" },
        { STR_INIT("say \"hi\""), "\"say \\\"hi\\\"\"" },
        { STR_INIT("back\\slash"), "\"back\\\\slash\"" },
        { STR_INIT("a\nlevel=error"), "\"a\\nlevel=error\"" },
        { STR_INIT("\r\t"), "\"\\r\\t\"" },
        { STR_INIT("nul\0esc\x1b[2J\x7f"), "\"nul\\x00esc\\x1b[2J\\x7f\"" },
        { STR_INIT("caf\xc3\xa9 \xf0\x9f\x98\x80"), "\"caf\xc3\xa9 \xf0\x9f\x98\x80\"" },
        { STR_INIT("\xff"), "\"\\xff\"" },
        { STR_INIT("\xc3"), "\"\\xc3\"" },                         /* cut short */
        { STR_INIT("\xc0\xaf"), "\"\\xc0\\xaf\"" },              /* overlong */
        { STR_INIT("\xe0\x80\xaf"), "\"\\xe0\\x80\\xaf\"" },   /* overlong */
        { STR_INIT("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"" },   /* a surrogate */
        { STR_INIT("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\"" }, /* too high */
        { STR_INIT("\xc2\x85\xe2\x80\xa8\xe2\x80\xae"), "\"\\u0085\\u2028\\u202e\"" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        char *got, want[200];
        ONE_LINE(got, LOG_LOGFMT, "ts=", "it happened", F_STR("key", cases[i].in));
        snprintf(want, sizeof want, " level=info event=\"it happened\" key=%s\n", cases[i].want);
        assert_string_equal(got, want);
        free(got);
    }
}

static void json_values(void **state)
{
    static const struct { struct str in; const char *want; } cases[] = {
        { STR_INIT("plain"), "plain" },
        { STR_INIT(""), "" },
        { STR_INIT("a\"b\\"), "a\\\"b\\\\" },
        { STR_INIT("\n\r\t"), "\\n\\r\\t" },
        { STR_INIT("\0\x1b\x7f"), "\\u0000\\u001b\\u007f" },
        { STR_INIT("caf\xc3\xa9"), "caf\xc3\xa9" },
        { STR_INIT("\xff."), "\xef\xbf\xbd." },
        { STR_INIT("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd" },
        { STR_INIT("\xe2\x80\xa8"), "\\u2028" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        char *got, want[200];
        ONE_LINE(got, LOG_JSON, "{\"ts\":\"", "it", F_STR("key", cases[i].in));
        snprintf(want, sizeof want, "\",\"level\":\"info\",\"event\":\"it\",\"key\":\"%s\"}\n",
                 cases[i].want);
        assert_string_equal(got, want);
        free(got);
    }
}

static void numbers_and_flags(void **state)
{
    char *got;
    (void)state;
    ONE_LINE(got, LOG_LOGFMT, "ts=", "e", F_U64("u", UINT64_MAX), F_I64("i", -5), F_NUM("d", 0.1),
             F_NUM("third", 1.0 / 3), F_NUM("n", NAN), F_NUM("m", -INFINITY), F_BOOL("t", true),
             F_BOOL("f", false), F_TEXT("null", NULL));
    assert_string_equal(got, " level=info event=e u=18446744073709551615 i=-5 d=0.1 "
                             "third=0.33333333333333331 n=nan m=-inf t=true f=false null=\"\"\n");
    free(got);
    ONE_LINE(got, LOG_JSON, "{\"ts\":\"", "e", F_NUM("n", NAN), F_NUM("p", INFINITY),
             F_NUM("d", 2.5), F_BOOL("t", true));
    assert_string_equal(got, "\",\"level\":\"info\",\"event\":\"e\",\"n\":\"nan\",\"p\":\"inf\","
                             "\"d\":2.5,\"t\":true}\n");
    free(got);
}

static void an_event_needs_no_fields(void **state)
{
    char *got;
    (void)state;
    ONE_LINE(got, LOG_LOGFMT, "ts=", "stopped");
    assert_string_equal(got, " level=info event=stopped\n");
    free(got);
}

static void long_lines_are_cut_and_still_one_write(void **state)
{
    static char text[5000];
    char *got;
    (void)state;
    memset(text, '\n', sizeof text);
    for (size_t len = 1023; len <= 1025; len++) { /* bare values at the limit */
        static char plain[1025];
        memset(plain, 'a', sizeof plain);
        ONE_LINE(got, LOG_LOGFMT, "ts=", "e", F_STR("k", str_n(plain, len)));
        assert_int_equal(strstr(got, "\xe2\x80\xa6") != NULL, len > 1024);
        free(got);
    }
    struct str value = str_n(text, sizeof text);
    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        ONE_LINE(got, (enum log_format)format, format == LOG_JSON ? "{\"ts\":\"" : "ts=", "e",
                 F_STR("a", value), F_STR("b", value), F_STR("c", value), F_STR("d", value),
                 F_U64("small", 7));
        size_t len = strlen(got);
        assert_true(len < 4096 - 24);
        assert_null(memchr(got, '\n', len - 1));
        assert_non_null(strstr(got, format == LOG_JSON ? ",\"small\":7,\"cut\":true}\n"
                                                       : " small=7 cut=true\n"));
        assert_null(strstr(got, format == LOG_JSON ? "\"d\":" : " d="));
        free(got);
    }
}

static void levels_below_are_silent(void **state)
{
    static const struct { const char *name; enum mg_err want; enum log_level level; } cases[] = {
        { "debug", MG_OK, LOG_DEBUG }, { "info", MG_OK, LOG_INFO }, { "warn", MG_OK, LOG_WARN },
        { "error", MG_OK, LOG_ERROR }, { "", MG_E_FORMAT, 0 },      { "INFO", MG_E_FORMAT, 0 },
        { "inf", MG_E_FORMAT, 0 },     { "warning", MG_E_FORMAT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        enum log_level level = LOG_ERROR;
        assert_int_equal(log_level_parse(str_of(cases[i].name), &level), cases[i].want);
        assert_int_equal(level, cases[i].want == MG_OK ? cases[i].level : LOG_ERROR);
    }
    log_configure(LOG_WARN, LOG_LOGFMT);
    assert_false(log_enabled(LOG_DEBUG));
    assert_false(log_enabled(LOG_INFO));
    assert_true(log_enabled(LOG_WARN));
    assert_true(log_enabled(LOG_ERROR));
    capture_begin();
    LOG(INFO, "silent", F_U64("n", 1));
    char *line = capture_next();
    capture_end();
    assert_null(line);
}

static void errno_survives(void **state)
{
    (void)state;
    log_configure(LOG_INFO, LOG_LOGFMT);
    int saved = dup(STDERR_FILENO);
    close(STDERR_FILENO); /* the write fails with EBADF */
    errno = ENOENT;
    LOG(ERROR, "nowhere to go");
    int after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(after, ENOENT);
}

static void limits_count_what_they_leave_out(void **state)
{
    struct log_limit limit = { 0 };
    uint64_t left_out = 42;
    (void)state;
    assert_true(log_allow(&limit, 3600, &left_out));
    assert_int_equal(left_out, 0);
    assert_false(log_allow(&limit, 3600, &left_out));
    assert_false(log_allow(&limit, UINT32_MAX, &left_out));
    limit.last_mono_ns = clock_mono_ns() + 1000000000000; /* another thread's later time */
    assert_false(log_allow(&limit, 3600, &left_out));
    limit.last_mono_ns = 1; /* as if the hour had passed */
    assert_true(log_allow(&limit, 0, &left_out));
    assert_int_equal(left_out, 3);
    assert_true(log_allow(&limit, 0, &left_out));
    assert_int_equal(left_out, 0);
}

static void log_every_writes_once(void **state)
{
    (void)state;
    log_configure(LOG_INFO, LOG_LOGFMT);
    capture_begin();
    for (int i = 0; i < 5; i++)
        LOG_EVERY(3600, WARN, "peer misbehaves", F_U64("n", 1));
    char *line = capture_next(), *got = line ? strdup(line) : NULL;
    line = capture_next();
    capture_end();
    assert_null(line);
    assert_string_equal(after_ts(got, "ts="),
                        " level=warn event=\"peer misbehaves\" n=1 suppressed=0\n");
    free(got);
}

enum { THREADS = 4, LINES = 50 };

static void *log_many(void *argument)
{
    (void)argument;
    for (uint64_t i = 0; i < LINES; i++)
        LOG(INFO, "from a thread", F_U64("n", i));
    return NULL;
}

static void threads_never_mix_their_lines(void **state)
{
    pthread_t threads[THREADS];
    size_t n = 0, whole = 0;
    (void)state;
    log_configure(LOG_INFO, LOG_LOGFMT);
    capture_begin();
    fcntl(STDERR_FILENO, F_SETFL, O_DIRECT); /* writers wait for the reader below */
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, log_many, NULL);
    while (n < THREADS * LINES) {
        char *line = capture_next();
        if (!line)
            continue;
        n++;
        size_t len = strlen(line);
        whole += memcmp(line, "ts=", 3) == 0 && memchr(line, '\n', len) == line + len - 1;
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    capture_end();
    assert_int_equal(whole, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_values),
        cmocka_unit_test(json_values),
        cmocka_unit_test(numbers_and_flags),
        cmocka_unit_test(an_event_needs_no_fields),
        cmocka_unit_test(long_lines_are_cut_and_still_one_write),
        cmocka_unit_test(levels_below_are_silent),
        cmocka_unit_test(errno_survives),
        cmocka_unit_test(limits_count_what_they_leave_out),
        cmocka_unit_test(log_every_writes_once),
        cmocka_unit_test(threads_never_mix_their_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
