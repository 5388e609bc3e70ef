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
        { .trace_id = { 1 }, .through = 1, .outcome = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT } },
        { .trace_id = { 2 }, .through = UINT64_MAX,
          .outcome = { .verdict = VERDICT_DROPPED, .trigger = TRIGGER_EARLY, .reason = REASON_NO_POLICY, .threshold = OT_NEVER, .rules = (1 << 24) - 1 } },
        { .trace_id = { 3 }, .from = 299, .through = 300, .votes = STR_INIT("\x1b\x02"),
          .outcome = { .verdict = VERDICT_KEPT, .trigger = TRIGGER_DEADLINE, .reason = REASON_POLICY, .policy = 3, .threshold = OT_NEVER / 2, .rules = 7 } },
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
    assert_int_equal(last.outcome.verdict, VERDICT_KEPT);
    assert_int_equal(last.outcome.trigger, TRIGGER_DEADLINE);
    assert_int_equal(last.outcome.reason, REASON_POLICY);
    assert_int_equal(last.outcome.policy, 3);
    assert_int_equal(last.outcome.threshold, OT_NEVER / 2);
    assert_int_equal(last.outcome.rules, 7);
    assert_true(str_eq(last.votes, STR("\x1b\x02")));
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

static void what_an_earlier_version_wrote_is_read(void **state)
{
    static const char body[] = "\x01" "0123456789abcdef" "\x05" "\x09" "\x02" "\x03" "\x07"; /* dropped, early, rules 7 */
    struct decision last;
    enum mg_err err;

    (void)state;
    assert_int_equal(read_all(str_n(body, sizeof body - 1), &last, &err), 1);
    assert_int_equal(err, MG_OK);
    assert_int_equal(last.from, 5);
    assert_int_equal(last.through, 9);
    assert_int_equal(last.outcome.verdict, VERDICT_DROPPED);
    assert_int_equal(last.outcome.trigger, TRIGGER_EARLY);
    assert_int_equal(last.outcome.reason, REASON_NONE);
    assert_int_equal(last.votes.len, 0);
}

#define ID "0123456789abcdef"
static void unknown_values_are_refused(void **state)
{
    static const struct { const char *bytes; size_t n; } cases[] = {
#define CASE(bytes) { bytes, sizeof bytes - 1 }
        CASE("\x03" ID "\x01\x02\x01\x00"),             /* version */
        CASE("\x00" ID "\x01\x02\x01\x00"),
        CASE("\x02" ID "\x01\x02\x00\x00"),             /* outcome: nothing */
        CASE("\x02" ID "\x01\x02\x01\x00"),             /* no trigger */
        CASE("\x02" ID "\x01\x02\x0f\x00"),             /* a trigger that nothing is */
        CASE("\x02" ID "\x01\x02\x03\x05vote"),         /* votes beyond the end */
        CASE("\x02" ID "\x01\x02\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        CASE("\x02" ID "\x01\x02\x03\x41" "0123456789012345678901234567890123456789012345678901234567890123x"), /* more than 64 */
        CASE("\x01" ID "\x01\x02\x00\x01\x00"),         /* verdict below, above */
        CASE("\x01" ID "\x01\x02\x03\x01\x00"),
        CASE("\x01" ID "\x01\x02\x01\x00\x00"),         /* trigger below, above */
        CASE("\x01" ID "\x01\x02\x01\x04\x00"),
        CASE("\x01" ID "\x01\x02\x01\x01"),             /* no rules */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct decision last;
        enum mg_err err;
        size_t n = read_all(str_n(cases[i].bytes, cases[i].n), &last, &err);
        if (n != 0 || err != MG_E_FORMAT)
            fail_msg("case %zu: %zu read, %s", i, n, mg_err_text(err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(an_empty_list_is_fine),
        cmocka_unit_test(every_cut_is_refused_or_ends_between_decisions),
        cmocka_unit_test(what_an_earlier_version_wrote_is_read),
        cmocka_unit_test(unknown_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
