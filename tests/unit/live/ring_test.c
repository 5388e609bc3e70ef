/* ring_test.c - how many bytes a trace is said to have: each of its events once, in wire form, whatever form they have in the row. */
#include "rig.h"
#include "live/private.h"

/* Two events, 0b 16 bytes long: time and name; and one whose attribute repeats. */
#define EVENT "\x5a\x0e\x09\x01\x02\x03\x04\x05\x06\x07\x08\x12\x03" "boo"
#define WITH_ATTRIBUTE "\x5a\x1d\x09\x01\x02\x03\x04\x05\x06\x07\x08\x12\x03" "boo" "\x1a\x0d\x0a\x04" "kind" "\x12\x05\x0a\x03" "abc"
#define ROW_BYTES 96 /* one without attributes: the header alone */

static uint64_t bytes_of(struct rig *rig, uint64_t trace, uint32_t rows)
{
    struct live_found found = found_of(rig, trace); /* live has applied it, and does nothing more with it */
    const struct trace *record;
    uint8_t id[16] = { 0 };

    assert_int_equal(found.traces[0].n, rows);
    live_found_fini(&found);
    put_le64(id, trace);
    record = trace_find(rig->live->own.traces, id);
    assert_false(record->is_decided);
    return record->bytes;
}

static void send(struct rig *rig, uint64_t trace, unsigned spans, struct str events)
{
    rig->events = events;
    assert_int_equal(rig_send(rig, (struct want){ .trace = trace, .first = 2, .spans = spans }), MG_OK);
}

static void rows_without_events_count_as_they_stand(void **state)
{
    struct rig *rig = *state;

    send(rig, 1, 1, STR(""));
    assert_int_equal(bytes_of(rig, 1, 1), ROW_BYTES);
    send(rig, 1, 9, STR(""));
    assert_int_equal(bytes_of(rig, 1, 10), 10 * ROW_BYTES);
}

static void events_count_once_and_in_wire_form(void **state)
{
    static const struct { const char *bytes; size_t len; } cases[] = {
#define CASE(bytes) { bytes, sizeof bytes - 1 }
        CASE(EVENT), CASE(EVENT EVENT), CASE(WITH_ATTRIBUTE), CASE(WITH_ATTRIBUTE WITH_ATTRIBUTE WITH_ATTRIBUTE),
        CASE("\x5a\x05\x12\x03" "boo"), /* without a time it stays as received */
        CASE("\x5a\x0e\x09\x01"),       /* cut: no event at all, as received too */
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t expected = ROW_BYTES + 1 /* how long they are */ + cases[i].len;
        /* The first teaches the epoch; later ones are a few symbols in the row. */
        send(rig, i + 1, 50, str_n(cases[i].bytes, cases[i].len));
        assert_int_equal(bytes_of(rig, i + 1, 50), 50 * expected);
    }
}

/* A trace that waits across a start has the same number when its rows come back. */
static void the_number_comes_back_with_the_rows(void **state)
{
    struct rig *rig = *state;
    uint64_t before;

    send(rig, 1, 50, STR(WITH_ATTRIBUTE EVENT));
    before = bytes_of(rig, 1, 50);
    assert_int_equal(before, 50 * (ROW_BYTES + 1 + sizeof WITH_ATTRIBUTE EVENT - 1));
    rig_stop(rig);
    rig_start(rig);
    assert_int_equal(bytes_of(rig, 1, 50), before);
}

/* What the limit goes by: so many bytes as it allows are kept, and not one more. */
static void bytes_limiting_goes_by_that_number(void **state)
{
    static const char policies[] = "policies: [{name: some, type: bytes_limiting, bytes_limiting: {bytes_per_second: 1, burst_capacity: 1160}}]\n"
                                   "classes: []\n";
    struct rig *rig = *state;
    struct live_ledger ledger;

    rig->policies = policies;
    rig_reload(rig);
    rig->events = STR(EVENT EVENT);
    assert_int_equal(ROW_BYTES + 1 + 32, 129);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = 1, .spans = 8, .root = true }), MG_OK);  /* 1,032 */
    ledger = wait_stored(rig, 8);
    assert_int_equal(ledger.sampled_out, 0);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 2, .first = 1, .spans = 2, .root = true }), MG_OK);  /* 258 of 128 that are left */
    assert_int_equal(wait_sampled_out(rig, 2).stored, 8);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_without_events_count_as_they_stand),
        TEST(events_count_once_and_in_wire_form),
        TEST(the_number_comes_back_with_the_rows),
        TEST(bytes_limiting_goes_by_that_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
