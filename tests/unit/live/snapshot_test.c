/* snapshot_test.c - the counters by name and the floor's day come back after a restart, exactly, also what was saved while sampling is off. */
#include "rig.h"
#include <stdio.h>
#include "base/mem.h"
#include "base/vec.h"
#include "codec/utf8.h"

#define NOBODY "policies: [{name: nobody, type: string_attribute, string_attribute: {key: nobody, values: [x]}}]\nclasses: []\n"

static void start_with(struct rig *rig, const char *policies)
{
    rig_stop(rig);
    rig->policies = policies;
    rig_start(rig);
}

static void send(struct rig *rig, uint64_t trace, unsigned spans, bool error)
{
    assert_int_equal(rig_send(rig, (struct want){ .trace = trace, .first = 1, .spans = spans, .root = true, .error = error }), MG_OK);
}

static uint64_t tally_of(struct rig *rig, enum reason reason)
{
    struct live_policy *all;
    uint64_t traces = 0;
    size_t n = live_policies(rig->live, &all);

    for (size_t i = 0; i < n; i++)
        traces += all[i].reason == reason ? all[i].traces_kept + all[i].traces_sampled_out : 0;
    mem_free(all);
    return traces;
}

/* --- many names ------------------------------------------------------------------------------------- */

enum { NAMES = 150, NAME_BYTES = 100 /* the most that a policy may have */ };

/* "0007ööö…": a cut at an odd place, as that of a line is, would split a character. */
static void name_of(unsigned i, char name[NAME_BYTES + 1])
{
    size_t len = (size_t)snprintf(name, NAME_BYTES, "%04u", i);

    for (; len + 2 <= NAME_BYTES; len += 2)
        memcpy(name + len, "\xc3\xb6", 3);
}

/* Policy i keeps traces of i spans. */
static void many_policies(struct buf *out)
{
    char name[NAME_BYTES + 1];

    buf_init(out, 1 << 20);
    buf_put_text(out, "classes: []\npolicies:\n");
    for (unsigned i = 1; i <= NAMES; i++) {
        name_of(i, name);
        buf_printf(out, "- {name: \"%s\", type: span_count, span_count: {min_spans: %u, max_spans: %u}}\n", name, i, i);
    }
    buf_put_char(out, '\0');
    assert_int_equal(buf_err(out), MG_OK);
}

static void check_many(struct rig *rig, uint64_t times)
{
    struct live_policy *all;
    char name[NAME_BYTES + 1];

    assert_int_equal(live_policies(rig->live, &all), NAMES);
    for (unsigned i = 1; i <= NAMES; i++) {
        const struct live_policy *line = &all[i - 1];
        name_of(i, name);
        struct str cut = utf8_cut(str_of(name), sizeof line->name - 1);
        assert_int_equal(strlen(line->name), cut.len);
        assert_memory_equal(line->name, cut.ptr, cut.len);
        assert_true(utf8_valid(line->name, strlen(line->name)));
        assert_int_equal(line->reason, REASON_POLICY);
        assert_int_equal(line->kept, times * i);
        assert_int_equal(line->traces_kept, times);
        assert_int_equal(line->sampled_out + line->traces_sampled_out, 0);
    }
    mem_free(all);
}

static void many_lines_of_long_names_come_back_exactly(void **state)
{
    struct rig *rig = *state;
    uint64_t spans = NAMES * (NAMES + 1) / 2;
    struct buf policies;

    many_policies(&policies);
    start_with(rig, policies.ptr);
    for (unsigned i = 1; i <= NAMES; i++)
        send(rig, i, i, false);
    wait_stored(rig, spans);
    check_many(rig, 1);
    for (int round = 0; round < 2; round++) {
        rig_stop(rig);
        rig_start(rig);
        check_many(rig, 1);
        assert_int_equal(ledger_of(rig).accepted, spans);
    }
    for (unsigned i = 1; i <= NAMES; i++) /* and go on */
        send(rig, 1000 + i, i, false);
    wait_stored(rig, 2 * spans);
    check_many(rig, 2);
    buf_fini(&policies);
}

/* --- the floor's day -------------------------------------------------------------------------------- */

/* Errors are kept by the floor up to 300 bytes a day: a row has 96. */
static void floor_of(struct rig *rig)
{
    rig->next.floor_traces_per_second = 1000;
    rig->next.floor_bytes_per_day = 300;
    start_with(rig, NOBODY);
    send(rig, 1, 3, true);
    wait_stored(rig, 3);
    assert_int_equal(tally_of(rig, REASON_FLOOR_ERROR), 1);
}

static void is_used_up(struct rig *rig, uint64_t trace)
{
    uint64_t before = ledger_of(rig).sampled_out;

    send(rig, trace, 1, true);
    wait_sampled_out(rig, before + 1);
    assert_int_equal(tally_of(rig, REASON_FLOOR_ERROR), 1);
}

static void off_and_on_again(struct rig *rig, uint64_t trace)
{
    uint64_t stored = ledger_of(rig).stored;

    rig->policies = NULL;
    rig_reload(rig);
    send(rig, trace, 1, true); /* kept without a word: live has taken the reload */
    wait_stored(rig, stored + 1);
    rig->policies = NOBODY;
    rig_reload(rig);
}

static void the_floor_has_its_day_again_after_a_restart(void **state)
{
    struct rig *rig = *state;

    floor_of(rig);
    is_used_up(rig, 2);
    start_with(rig, NOBODY);
    is_used_up(rig, 3);
}

static void sampling_off_and_on_gives_no_new_day(void **state)
{
    struct rig *rig = *state;

    floor_of(rig);
    off_and_on_again(rig, 10);
    is_used_up(rig, 2);
    off_and_on_again(rig, 11);
    is_used_up(rig, 3);
}

static void a_restart_while_sampling_is_off_gives_no_new_day(void **state)
{
    struct rig *rig = *state;

    floor_of(rig);
    for (int i = 0; i < 2; i++) /* off at the stop, through two starts */
        start_with(rig, NULL);
    rig->policies = NOBODY;
    rig_reload(rig);
    is_used_up(rig, 2);
}

static void reloads_that_follow_at_once_change_nothing_of_it(void **state)
{
    struct rig *rig = *state;

    floor_of(rig);
    for (int i = 0; i < 3; i++) {
        rig->policies = i % 2 ? NOBODY : NULL;
        rig_reload(rig);
    }
    rig->policies = NOBODY;
    rig_reload(rig);
    rig_reload(rig);
    is_used_up(rig, 2);
}

/* --- what the sampler that a reload makes knows ----------------------------------------------------- */

static void a_reload_that_switches_on_knows_the_operations_of_the_store(void **state)
{
    struct rig *rig = *state; /* off */

    send(rig, 1, 1, false);
    wait_stored(rig, 1);
    rig->next.floor_traces_per_second = 1000;
    rig->next.floor_bytes_per_day = 1 << 20;
    rig->policies = NOBODY;
    rig_reload(rig);
    send(rig, 2, 1, false);
    assert_int_equal(wait_sampled_out(rig, 1).stored, 1);
    assert_int_equal(tally_of(rig, REASON_FLOOR_NEW), 0);
    assert_int_equal(tally_of(rig, REASON_NO_POLICY), 1);
}

static void an_operation_that_the_store_does_not_know_is_new(void **state)
{
    struct rig *rig = *state;

    rig->next.floor_traces_per_second = 1000;
    rig->next.floor_bytes_per_day = 1 << 20;
    rig->policies = NOBODY;
    rig_reload(rig);
    send(rig, 2, 1, false);
    assert_int_equal(wait_stored(rig, 1).sampled_out, 0);
    assert_int_equal(tally_of(rig, REASON_FLOOR_NEW), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(many_lines_of_long_names_come_back_exactly),
        TEST(the_floor_has_its_day_again_after_a_restart),
        TEST(sampling_off_and_on_gives_no_new_day),
        TEST(a_restart_while_sampling_is_off_gives_no_new_day),
        TEST(reloads_that_follow_at_once_change_nothing_of_it),
        TEST(a_reload_that_switches_on_knows_the_operations_of_the_store),
        TEST(an_operation_that_the_store_does_not_know_is_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
