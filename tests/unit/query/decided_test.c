/* decided_test.c - why, over the whole data path: before the decision, on its way to the store, in
 * the store, after a restart and under new rules; and what a trace that is shown says about it. */
#include "rig.h"

static const char policies[] =
    "[{name: errors, type: status_code, status_code: {status_codes: [ERROR]}},"
    " {name: slow, type: latency, latency: {threshold_ms: 1000}}]";
static const char others[] = "[{name: everything, type: always_sample}, {name: errors, type: "
                             "status_code, status_code: {status_codes: [ERROR]}}]";

static const struct item failed[] = {
    {1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, STATUS_ERROR, NULL, NULL},
    {1, 2, 1, "shop", "query", 110, 10, SPAN_CLIENT, 0, NULL, NULL},
};
static const struct item fine[] = {
    {2, 1, 0, "shop", "GET /", 200, 50, SPAN_SERVER, 0, NULL, NULL},
};
static const struct item no_root[] = {
    {3, 2, 1, "shop", "query", 300, 10, SPAN_CLIENT, STATUS_ERROR, NULL, NULL},
};
static const struct item failed_late[] = {
    {1, 3, 2, "shop", "late", 120, 10, SPAN_CLIENT, 0, NULL, NULL},
};

static void assert_why(struct rig *rig, uint16_t trace, const char *want)
{
    struct ask ask = {.trace = trace};

    rig_ask(rig, &ask, "why", on_why_query);
    assert_int_equal(ask.err, MG_OK);
    assert_string_equal(ask.text.ptr, want);
    ask_fini(&ask);
}

static void on_told_query(struct ask *ask, struct query *query)
{
    struct outcome outcome;
    struct query_trace trace;
    uint8_t id[16];

    rig_trace_id(ask->trace, id);
    if ((ask->err = query_trace(query, id, &trace, &ask->why)) != MG_OK)
        return;
    buf_printf(&ask->text, "%zu %s %s", trace.n,
               outcome_unpack(trace.outcome, &outcome) ? reason_name(outcome.reason) : "-",
               trace.policy);
}

static void assert_told(struct rig *rig, uint16_t trace, const char *want)
{
    struct ask ask = {.trace = trace};

    rig_ask(rig, &ask, "trace", on_told_query);
    assert_int_equal(ask.err, want ? MG_OK : MG_E_ABSENT);
    assert_string_equal(ask.text.ptr, want ? want : "");
    ask_fini(&ask);
}

/* Decisions are made by a timer: what is asked has to be so some time, and then stays. */
static void await_decided(struct rig *rig, uint16_t trace)
{
    const struct timespec nap = {.tv_nsec = 1000000};

    for (bool is_pending = true; is_pending;) {
        struct ask ask = {.trace = trace};
        rig_ask(rig, &ask, "why", on_why_query);
        is_pending = strncmp(ask.text.ptr, "pending", 7) == 0;
        ask_fini(&ask);
        if (is_pending)
            nanosleep(&nap, NULL);
    }
}

static void from_the_first_span_to_the_store(void **state)
{
    struct rig rig = {.policies = policies};

    (void)state;
    rig_open(&rig);
    assert_why(&rig, 1, "unknown");
    RIG_PUT(&rig, no_root);
    assert_why(&rig, 3, "pending");
    assert_told(&rig, 3, "1 - ");
    RIG_PUT(&rig, failed);
    RIG_PUT(&rig, fine);
    await_decided(&rig, 1);
    await_decided(&rig, 2);
    assert_why(&rig, 1, "kept; kept policy errors errors:yes,slow:no (0)");
    assert_told(&rig, 1, "2 policy errors");
    assert_why(&rig, 2, "dropped; dropped no_policy  errors:no,slow:no (0)");
    rig_flush(&rig, 1); /* votes about what was dropped are not stored */
    assert_why(&rig, 1, "kept; kept policy errors errors:yes,slow:no (2)");
    assert_told(&rig, 1, "2 policy errors");
    assert_why(&rig, 2, "dropped; dropped no_policy  (0)");
    assert_told(&rig, 2, NULL);
    assert_why(&rig, 3, "pending");
    assert_why(&rig, 4, "unknown");
    rig_close(&rig);
}

static void names_outlive_their_rules(void **state)
{
    struct rig rig = {.policies = policies};

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, failed);
    RIG_PUT(&rig, fine);
    rig_flush(&rig, 0);
    rig.policies = others;
    rig_restart(&rig);
    assert_int_equal(rig.generation, 2);
    assert_why(&rig, 1, "kept; kept policy errors errors:yes,slow:no (2)");
    assert_why(&rig, 2, "dropped; dropped no_policy  (0)");
    assert_told(&rig, 1, "2 policy errors");
    rig_close(&rig);
}

static void late_spans_follow_and_the_first_decision_is_told(void **state)
{
    struct rig rig = {.policies = policies};

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, failed);
    rig_flush(&rig, 0);
    RIG_PUT(&rig, failed_late);
    rig_flush(&rig, 0);
    assert_told(&rig, 1, "3 policy errors");
    struct ask ask = {.trace = 1};
    rig_ask(&rig, &ask, "why", on_why_query);
    assert_int_equal(strncmp(ask.text.ptr, "kept; kept policy errors", 24), 0);
    assert_non_null(
        strstr(ask.text.ptr,
               "; kept policy errors errors:yes,slow:no (2)")); /* the older one, at the end */
    ask_fini(&ask);
    rig_close(&rig);
}

static void without_sampling_all_is_kept_for_no_reason(void **state)
{
    struct rig rig = {0};

    (void)state;
    rig_open(&rig);
    RIG_PUT(&rig, failed);
    RIG_PUT(&rig, no_root);
    await_decided(&rig, 1);
    assert_why(&rig, 1, "kept; kept -  (0)");
    assert_why(&rig, 3, "pending");
    rig_flush(&rig, 1);
    assert_why(&rig, 1, "kept; kept -  (2)");
    assert_told(&rig, 1, "2 - ");
    rig.policies = policies; /* switched on later: what was kept before has none */
    rig_restart(&rig);
    assert_why(&rig, 1, "kept; kept -  (2)");
    assert_told(&rig, 1, "2 - ");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_first_span_to_the_store),
        cmocka_unit_test(names_outlive_their_rules),
        cmocka_unit_test(late_spans_follow_and_the_first_decision_is_told),
        cmocka_unit_test(without_sampling_all_is_kept_for_no_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
