/* decision_test.c - the decisions record: what is written is read, and bad bytes are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "live/decision.h"

static void write_three(struct buf *body)
{
    static const struct decision all[] = {
        { .trace_id = { 1 }, .through = 1, .verdict = VERDICT_KEPT, .reason = REASON_ROOT },
        { .trace_id = { 2 }, .through = UINT64_MAX, .verdict = VERDICT_DROPPED, .reason = REASON_EARLY, .rules = UINT32_MAX },
        { .trace_id = { 3 }, .from = 299, .through = 300, .verdict = VERDICT_KEPT, .reason = REASON_DEADLINE, .rules = 7 },
    };

    buf_init(body, 4096);
    decision_list_begin(body);
    for (size_t i = 0; i < MG_COUNT(all); i++)
        decision_put(body, &all[i]);
}

static size_t read_all(struct str body, struct decision *last, enum mg_err *err)
{
    struct decision_reader reader;
    size_t n = 0;

    if ((*err = decision_read(&reader, body)) != MG_OK)
        return 0;
    while (reader.at < reader.end && (*err = decision_next(&reader, last)) == MG_OK)
        n++;
    return n;
}

static void reads_what_was_written(void **state)
{
    struct buf body;
    struct decision last;
    enum mg_err err;

    (void)state;
    write_three(&body);
    assert_int_equal(read_all(buf_str(&body), &last, &err), 3);
    assert_int_equal(err, MG_OK);
    assert_int_equal(last.trace_id[0], 3);
    assert_int_equal(last.from, 299);
    assert_int_equal(last.through, 300);
    assert_int_equal(last.verdict, VERDICT_KEPT);
    assert_int_equal(last.reason, REASON_DEADLINE);
    assert_int_equal(last.rules, 7);
    buf_fini(&body);
}

static void an_empty_list_is_fine(void **state)
{
    struct decision last;
    enum mg_err err;

    (void)state;
    assert_int_equal(read_all(STR("\x01"), &last, &err), 0);
    assert_int_equal(err, MG_OK);
}

static void every_cut_is_refused_or_ends_between_decisions(void **state)
{
    struct buf body;
    struct decision last;
    size_t clean = 0;

    (void)state;
    write_three(&body);
    for (size_t len = 0; len < body.len; len++) {
        enum mg_err err;
        (void)read_all(str_n(body.ptr, len), &last, &err);
        clean += err == MG_OK;
    }
    assert_int_equal(clean, 3); /* after the version, after the first, after the second */
    buf_fini(&body);
}

static void unknown_values_are_refused(void **state)
{
    static const struct { size_t at; char value; } cases[] = {
        { 0, 2 },       /* version */
        { 1 + 18, 0 },  /* verdict of the first decision, below */
        { 1 + 18, 3 },  /* and above */
        { 1 + 19, 0 },  /* reason */
        { 1 + 19, 4 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct buf body;
        struct decision last;
        enum mg_err err;
        write_three(&body);
        body.ptr[cases[i].at] = cases[i].value;
        assert_int_equal(read_all(buf_str(&body), &last, &err), 0);
        assert_int_equal(err, MG_E_FORMAT);
        buf_fini(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(an_empty_list_is_fine),
        cmocka_unit_test(every_cut_is_refused_or_ends_between_decisions),
        cmocka_unit_test(unknown_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
