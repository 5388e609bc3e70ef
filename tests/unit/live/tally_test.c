/* tally_test.c - spans by who decided: counted, written, read back; bad bytes do no harm. Names of policies: judge_test.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "live/tally.h"

static uint64_t word(enum verdict verdict, enum reason reason)
{
    const struct outcome outcome = { .verdict = verdict, .trigger = TRIGGER_ROOT, .reason = reason, .rules = 1 };

    return outcome_pack(&outcome);
}

static void counts_by_reason_and_verdict(void **state)
{
    struct tally tally;

    (void)state;
    tally_init(&tally, NULL);
    tally_count(&tally, word(VERDICT_KEPT, REASON_NO_RULES), 5);
    tally_count(&tally, word(VERDICT_DROPPED, REASON_NO_POLICY), 7);
    tally_count(&tally, word(VERDICT_KEPT, REASON_NO_RULES), 2);
    tally_count(&tally, 0, 100); /* sampling was off */
    tally_count(&tally, UINT64_MAX, 100);
    assert_int_equal(tally.lines.n, 2);
    assert_int_equal(tally.lines.at[0].kept, 7);
    assert_int_equal(tally.lines.at[0].traces_kept, 2);
    assert_int_equal(tally.lines.at[0].sampled_out, 0);
    assert_int_equal(tally.lines.at[1].sampled_out, 7);
    assert_int_equal(tally.lines.at[1].traces_sampled_out, 1);
    assert_true(tally.is_changed);
    tally_fini(&tally);
}

static void reads_what_was_written_and_goes_on(void **state)
{
    struct tally tally, again;
    struct buf bytes;

    (void)state;
    tally_init(&tally, NULL);
    tally_count(&tally, word(VERDICT_DROPPED, REASON_OVERLOAD), 300);
    tally_count(&tally, word(VERDICT_KEPT, REASON_FLOOR_SLOW), 1);
    buf_init(&bytes, 4096);
    tally_write(&tally, &bytes);
    tally_init(&again, NULL);
    tally_read(&again, buf_str(&bytes));
    tally_count(&again, word(VERDICT_DROPPED, REASON_OVERLOAD), 1);
    assert_int_equal(again.lines.n, 2);
    assert_int_equal(again.lines.at[0].reason, REASON_OVERLOAD);
    assert_int_equal(again.lines.at[0].sampled_out, 301);
    assert_int_equal(again.lines.at[1].kept, 1);
    tally_fini(&again);
    for (size_t len = 0; len < bytes.len; len++) { /* cut anywhere: what was whole is there */
        tally_init(&again, NULL);
        tally_read(&again, str_n(bytes.ptr, len));
        assert_true(again.lines.n < 2);
        tally_fini(&again);
    }
    buf_fini(&bytes);
    tally_fini(&tally);
}

static void bad_bytes_are_left(void **state)
{
    static const struct { const char *bytes; size_t n; } cases[] = {
#define CASE(bytes) { bytes, sizeof bytes - 1 }
        CASE("\x0c\x01\x01\x01\x01\x00"),     /* a reason that nothing is */
        CASE("\x01\x01\x01\x01\x01\x40"       /* a name longer than a line's */
             "0123456789012345678901234567890123456789012345678901234567890123"),
        CASE("\x01\x01\x01\x01\x01\x05name"), /* beyond the end */
        CASE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct tally tally;
        tally_init(&tally, NULL);
        tally_read(&tally, str_n(cases[i].bytes, cases[i].n));
        assert_int_equal(tally.lines.n, 0);
        tally_fini(&tally);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_reason_and_verdict),
        cmocka_unit_test(reads_what_was_written_and_goes_on),
        cmocka_unit_test(bad_bytes_are_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
