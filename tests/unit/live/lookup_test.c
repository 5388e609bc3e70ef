/* lookup_test.c - what a look-up says of a trace's rows and of the decision about them, at each stage of its life. */
#include "rig.h"
#include <unistd.h>

#define ERRORS "policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]\nclasses: []\n"

static int setup(void **state)
{
    struct rig *rig;

    if (rig_setup(state) != 0)
        return -1;
    rig = *state;
    rig_stop(rig);
    rig->policies = ERRORS;
    rig->store_conf.block_age_ns = 3600 * SECOND; /* only store_flush commits */
    rig_start(rig);
    return 0;
}

static void send(struct rig *rig, uint64_t first, unsigned spans, bool root)
{
    assert_int_equal(rig_send(rig, (struct want){ .trace = 1, .first = first, .spans = spans, .root = root, .error = true }), MG_OK);
}

static bool is_given(struct rig *rig)
{
    struct live_found found = found_of(rig, 1);
    bool is_decided = found.traces[0].outcome != 0;

    live_found_fini(&found);
    return is_decided;
}

static void check(struct rig *rig, size_t rows, bool is_pending, bool is_decided)
{
    struct live_found found = found_of(rig, 1);
    const struct live_rows *trace = &found.traces[0];
    struct outcome outcome;

    assert_int_equal(trace->n, rows);
    assert_int_equal(trace->is_pending, is_pending);
    assert_int_equal(outcome_unpack(trace->outcome, &outcome), is_decided);
    assert_int_equal(trace->decided_wall_ns != 0, is_decided);
    assert_int_equal(trace->votes.len, is_decided ? 1 : 0);
    if (is_decided) {
        assert_int_equal(outcome.verdict, VERDICT_KEPT);
        assert_int_equal(outcome.trigger, TRIGGER_ROOT);
        assert_int_equal(outcome.reason, REASON_POLICY);
        assert_int_equal(vote_get(trace->votes, 0), VOTE_YES);
    }
    live_found_fini(&found);
}

static void nothing_is_known_of_a_trace_that_never_came(void **state)
{
    check(*state, 0, false, false);
}

static void an_undecided_trace_is_pending(void **state)
{
    struct rig *rig = *state;

    send(rig, 2, 3, false);
    check(rig, 3, true, false);
}

/* Both at a time: what was decided, and that spans wait which came after it. */
static void late_spans_wait_beside_the_decision(void **state)
{
    struct rig *rig = *state;

    send(rig, 1, 3, true);
    AWAIT(is_given(rig));
    check(rig, 3, false, true);
    rig->decisions.root_grace_ns = 3600 * SECOND;
    rig_reload_rows(rig);
    send(rig, 10, 2, false);
    check(rig, 5, true, true);
}

/* The decided rows have left: late ones tell that they wait, the store tells what was decided. */
static void late_spans_wait_alone_when_the_decision_is_stored(void **state)
{
    struct rig *rig = *state;
    size_t n;

    send(rig, 1, 3, true);
    AWAIT(is_given(rig));
    while (in_ring(rig, 1))
        store_flush(rig->store);
    check(rig, 0, false, false);
    rig->decisions.root_grace_ns = 3600 * SECOND;
    rig_reload_rows(rig);
    send(rig, 10, 2, false);
    check(rig, 2, true, false);
    assert_int_not_equal(word_in_store(rig, 1, &n), 0);
    assert_int_equal(n, 1);
}

static void many_traces_are_answered_at_once(void **state)
{
    struct rig *rig = *state;
    uint8_t ids[3][16] = { { 0 } };
    struct live_found found;

    send(rig, 2, 3, false);
    assert_int_equal(rig_send(rig, (struct want){ .trace = 3, .first = 2, .spans = 4 }), MG_OK);
    for (size_t i = 0; i < MG_COUNT(ids); i++)
        put_le64(ids[i], i + 1);
    live_lookup(rig->live, (const uint8_t (*)[16])ids, MG_COUNT(ids), &found);
    assert_int_equal(found.traces[0].n, 3);
    assert_int_equal(found.traces[1].n, 0);
    assert_int_equal(found.traces[2].n, 4);
    assert_int_equal(found.n_segments, 1);
    live_found_fini(&found);
    live_lookup(rig->live, (const uint8_t (*)[16])ids, 0, &found);
    assert_int_equal(found.n_segments, 0);
    live_found_fini(&found);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_known_of_a_trace_that_never_came),
        TEST(an_undecided_trace_is_pending),
        TEST(late_spans_wait_beside_the_decision),
        TEST(late_spans_wait_alone_when_the_decision_is_stored),
        TEST(many_traces_are_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
