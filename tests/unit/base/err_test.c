#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"

static void every_error_has_its_row(void **state)
{
    static const struct {
        enum mg_err err;
        const char *name;
        int http, grpc;
        bool may_retry;
    } cases[] = {
        { MG_OK, "OK", 200, 0, false },
        { MG_E_FORMAT, "E_FORMAT", 400, 3, false },
        { MG_E_TOO_BIG, "E_TOO_BIG", 413, 8, false },
        { MG_E_RATE, "E_RATE", 429, 8, true },
        { MG_E_BUSY, "E_BUSY", 503, 14, true },
        { MG_E_IO, "E_IO", 500, 13, false },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        assert_string_equal(mg_err_name(cases[i].err), cases[i].name);
        assert_int_equal(mg_err_http(cases[i].err), cases[i].http);
        assert_int_equal(mg_err_grpc(cases[i].err), cases[i].grpc);
        assert_int_equal(mg_err_may_retry(cases[i].err), cases[i].may_retry);
    }
    for (int err = 0; err < MG_ERR_COUNT; err++) {
        assert_true(strlen(mg_err_text((enum mg_err)err)) > 0);
        /* Exhausted without a hint is final for senders; the hint belongs to the busy ones only. */
        assert_int_equal(mg_err_may_retry((enum mg_err)err), err == MG_E_RATE || err == MG_E_BUSY);
    }
}

static void fail_says_the_sentence(void **state)
{
    struct mg_why why;
    (void)state;
    assert_int_equal(mg_fail(&why, MG_E_ABSENT, "no '%s' here", "x"), MG_E_ABSENT);
    assert_string_equal(why.text, "no 'x' here");
    assert_int_equal(mg_fail(NULL, MG_E_AUTH, "%d", 1), MG_E_AUTH);
}

static void fail_may_quote_the_old_sentence(void **state)
{
    struct mg_why why;
    (void)state;
    mg_fail(&why, MG_E_FORMAT, "inner");
    mg_fail(&why, MG_E_FORMAT, "outer (%s)", why.text);
    assert_string_equal(why.text, "outer (inner)");
}

static void fail_in_puts_the_context_in_front(void **state)
{
    struct mg_why why = { "bad port" }, empty = { "" };
    (void)state;
    assert_int_equal(mg_fail_in(&why, MG_E_FORMAT, "listen[%d]", 2), MG_E_FORMAT);
    assert_string_equal(why.text, "listen[2]: bad port");
    mg_fail_in(&empty, MG_E_FORMAT, "alone");
    assert_string_equal(empty.text, "alone");
    assert_int_equal(mg_fail_in(NULL, MG_E_IO, "x"), MG_E_IO);
}

static void fail_os_ends_with_the_reason(void **state)
{
    struct mg_why why;
    char text[500], want[200];
    (void)state;
    assert_int_equal(mg_fail_os(&why, ENOENT, "open %s", "a.yaml"), MG_E_IO);
    snprintf(want, sizeof want, "open a.yaml: %s", strerror(ENOENT));
    assert_string_equal(why.text, want);

    memset(text, 'p', sizeof text - 1); /* a path too long: the reason must survive */
    text[sizeof text - 1] = '\0';
    mg_fail_os(&why, ENOENT, "%s", text);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    assert_non_null(strstr(why.text, strerror(ENOENT)));
    assert_int_equal(mg_fail_os(NULL, EIO, "x"), MG_E_IO);
}

static void long_sentences_are_cut_at_the_size(void **state)
{
    struct mg_why why;
    char text[420];
    (void)state;
    for (size_t len = sizeof why.text - 2; len <= sizeof why.text + 1; len++) {
        memset(text, 'a', len);
        text[len] = '\0';
        mg_fail(&why, MG_E_FORMAT, "%s", text);
        assert_int_equal(strlen(why.text), MG_MIN(len, sizeof why.text - 1));
    }
}

static void a_cut_never_splits_a_character(void **state)
{
    static const char *const characters[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    struct mg_why why;
    char text[440];
    (void)state;
    for (size_t c = 0; c < MG_COUNT(characters); c++) {
        size_t width = strlen(characters[c]);
        for (size_t before = 0; before < width; before++) { /* every place of the cut in it */
            size_t len = before;
            memset(text, 'a', before);
            for (; len < 410; len += width)
                memcpy(text + len, characters[c], width);
            text[len] = '\0';
            mg_fail(&why, MG_E_FORMAT, "%s", text);
            assert_int_equal((strlen(why.text) - before) % width, 0);
            assert_true(strlen(why.text) + width > sizeof why.text - 1);

            struct mg_why inner = why;
            mg_fail_in(&inner, MG_E_FORMAT, "in");
            assert_int_equal((strlen(inner.text) - before - 4) % width, 0);
        }
    }
}

static enum mg_err tried(enum mg_err inner, int *reached)
{
    MG_TRY(inner);
    *reached = 1;
    return MG_OK;
}

static void try_returns_the_failure_at_once(void **state)
{
    int reached = 0;
    (void)state;
    assert_int_equal(tried(MG_E_BUSY, &reached), MG_E_BUSY);
    assert_int_equal(reached, 0);
    assert_int_equal(tried(MG_OK, &reached), MG_OK);
    assert_int_equal(reached, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_row),
        cmocka_unit_test(fail_says_the_sentence),
        cmocka_unit_test(fail_may_quote_the_old_sentence),
        cmocka_unit_test(fail_in_puts_the_context_in_front),
        cmocka_unit_test(fail_os_ends_with_the_reason),
        cmocka_unit_test(long_sentences_are_cut_at_the_size),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(try_returns_the_failure_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
