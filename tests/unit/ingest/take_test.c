/* take_test.c - one body on its way, given by hand: rows, refusals, credit, the log, and every end counted once. */
#include "bodies.h"
#include "rig.h"
#include <stdio.h>
#include "attribute/attribute_rules.h"

#define KAFKA INGEST_DOOR_KAFKA

static void what_is_taken_is_durable_and_visible(void **state)
{
    struct rig rig = { 0 };
    struct given_body given;
    struct buf body, packed;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 3, 0);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.err, MG_OK);
    assert_int_equal(given.body.spans, 3);
    assert_int_equal(given.body.refused, 0);
    assert_string_equal(rig_names(&rig, 1), "op0 op1 op2");
    gzip_body(&packed, buf_str(&body));
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_GZIP, buf_str(&packed));
    assert_int_equal(given.err, MG_OK);
    assert_int_equal(rig_ledger(&rig).accepted, 6);
    assert_int_equal(rig_metric(&rig, INGEST_spans_accepted, KAFKA, 0), 6);
    assert_int_equal(rig_metric(&rig, INGEST_requests, KAFKA, OUTCOME_ACCEPTED), 2);
    assert_int_equal(rig_metric(&rig, INGEST_bytes_inflated, KAFKA, 0), 2 * body.len);
    assert_int_equal(rig_metric(&rig, INGEST_ack_seconds, KAFKA, 0), 2);
    buf_fini(&packed);
    buf_fini(&body);
    rig_close(&rig);
}

static void refused_spans_are_told_and_counted(void **state)
{
    struct rig rig = { 0 };
    struct given_body given;
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 4, 1u << 2);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.err, MG_OK);
    assert_int_equal(given.body.spans, 3);
    assert_int_equal(given.body.refused, 1);
    assert_string_equal(rig_names(&rig, 1), "op0 op1 op3");
    assert_int_equal(rig_ledger(&rig).refused, 1);
    assert_int_equal(rig_metric(&rig, INGEST_requests, KAFKA, OUTCOME_PARTIAL), 1);
    assert_int_equal(rig_metric(&rig, INGEST_spans_refused, KAFKA, SPAN_BAD_SPAN_ID), 1);
    buf_fini(&body);
    rig_close(&rig);
}

static void what_can_never_be_taken_ends_with_its_reason(void **state)
{
    static const struct { struct str bytes; enum zip_kind encoding; enum ingest_protocol protocol; enum mg_err want; enum ingest_outcome outcome; }
        cases[] = {
            { STR_INIT("\xff"), ZIP_IDENTITY, INGEST_OTLP_PROTO, MG_E_FORMAT, OUTCOME_MALFORMED },
            { STR_INIT("{"), ZIP_IDENTITY, INGEST_OTLP_JSON, MG_E_FORMAT, OUTCOME_MALFORMED },
            { STR_INIT("no gzip"), ZIP_GZIP, INGEST_OTLP_PROTO, MG_E_FORMAT, OUTCOME_MALFORMED },
            { STR_INIT(""), ZIP_GZIP, INGEST_OTLP_PROTO, MG_E_FORMAT, OUTCOME_MALFORMED },
            { STR_INIT("x"), ZIP_IDENTITY, (enum ingest_protocol)99, MG_E_FORMAT, OUTCOME_MALFORMED },
            { STR_INIT("x"), (enum zip_kind)99, INGEST_OTLP_PROTO, MG_E_ENCODING, OUTCOME_ENCODING },
        };
    struct rig rig = { .conf = { .body_bytes_max = 1024 } };
    struct given_body given;
    struct buf body;
    int64_t free_before;

    (void)state;
    rig_open(&rig);
    free_before = credit_free(&rig.credit);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t before = rig_metric(&rig, INGEST_requests, KAFKA, cases[i].outcome);
        rig_take(&rig, &given, cases[i].protocol, cases[i].encoding, cases[i].bytes);
        assert_int_equal(given.err, cases[i].want);
        assert_true(given.why.text[0] != '\0');
        assert_int_equal(rig_metric(&rig, INGEST_requests, KAFKA, cases[i].outcome), before + 1);
    }
    otlp_named_body(&body, 1, 100, 0);
    assert_true(body.len > 1024);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.err, MG_E_TOO_BIG);
    assert_int_equal(rig_metric(&rig, INGEST_requests, KAFKA, OUTCOME_TOO_BIG), 1);
    assert_int_equal(credit_free(&rig.credit), free_before);
    assert_int_equal(rig_ledger(&rig).accepted, 0);
    buf_fini(&body);
    rig_close(&rig);
}

static void a_body_without_spans_needs_no_log(void **state)
{
    struct rig rig = { .rules = { "drop if name ~ \"op\"" } };
    struct given_body given;
    struct journal_stats stats;
    struct buf body;
    int64_t free_before;

    (void)state;
    rig_open(&rig);
    free_before = credit_free(&rig.credit);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, STR(""));
    assert_int_equal(given.err, MG_OK);
    otlp_named_body(&body, 1, 5, 0);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body)); /* all five are dropped */
    assert_int_equal(given.err, MG_OK);
    assert_int_equal(given.body.spans, 0);
    assert_int_equal(rig_metric(&rig, INGEST_spans_dropped, KAFKA, 0), 5);
    assert_int_equal(rig_metric(&rig, INGEST_requests, KAFKA, OUTCOME_ACCEPTED), 2);
    journal_stat(rig.journal, &stats);
    assert_int_equal(stats.records, 0);
    assert_int_equal(credit_free(&rig.credit), free_before);
    buf_fini(&body);
    rig_close(&rig);
}

static void a_reload_takes_other_rules_and_limits(void **state)
{
    struct ingest_conf small = { .body_bytes_max = 10, .wait_ns = 1 };
    struct str line = STR("drop if name = \"op1\"");
    const struct conf_list list = { &line, 1 };
    struct rig rig = { 0 };
    struct given_body given;
    struct attribute_rules *rules;
    struct mg_why why;
    struct buf body;

    (void)state;
    rig_open(&rig);
    assert_int_equal(attribute_rules_new(&rules, &list, &why), MG_OK);
    otlp_named_body(&body, 1, 3, 0);
    ingest_loop_reload(rig.doors, &rig.conf, rules);
    attribute_rules_unref(&rules); /* the loop has its own */
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.body.spans, 2);
    assert_string_equal(rig_names(&rig, 1), "op0 op2");
    ingest_loop_reload(rig.doors, &rig.conf, NULL);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.body.spans, 3);
    ingest_loop_reload(rig.doors, &small, NULL);
    memset(&small, 0, sizeof small); /* it was copied */
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.err, MG_E_TOO_BIG);
    buf_fini(&body);
    rig_close(&rig);
}

static bool is_waiting(void *owner)
{
    return ((struct rig *)owner)->ingest->waiting > 0;
}

static void a_body_waits_for_its_credit_without_a_limit(void **state)
{
    struct rig rig = { .conf = { .wait_ns = 1 } };
    struct given_body given[3];
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 20, 0);
    rig_leave_credit(&rig, body.len); /* twice as much is reserved */
    for (size_t i = 0; i < MG_COUNT(given); i++)
        rig_give(&rig, &given[i], INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    rig_run(&rig, is_waiting, &rig);
    waiting_serve(rig.doors);
    assert_int_equal(rig.ingest->waiting, 3); /* ingest.wait is for requests */
    rig_leave_credit(&rig, 0);
    for (size_t i = 0; i < MG_COUNT(given); i++) {
        if (!given[i].is_done)
            rig_run(&rig, given_is_done, &given[i]);
        assert_int_equal(given[i].err, MG_OK);
        assert_int_equal(given[i].body.spans, 20);
    }
    assert_int_equal(rig.ingest->waiting, 0);
    assert_int_equal(rig_metric(&rig, INGEST_waits, 0, 0), 3);
    buf_fini(&body);
    rig_close(&rig);
}

static struct attribute_rules *rules_that_drop(unsigned number)
{
    char text[64];
    struct str line = str_n(text, (size_t)snprintf(text, sizeof text, "drop if name = \"op%u\"", number));
    const struct conf_list list = { &line, 1 };
    struct attribute_rules *rules;

    assert_int_equal(attribute_rules_new(&rules, &list, NULL), MG_OK);
    memset(text, 'x', sizeof text); /* nothing of the configuration is needed any more */
    return rules;
}

/* Whoever gives them is the only one that holds them once the loop has others. */
static void the_old_rules_go_with_the_next_reload(void **state)
{
    struct rig rig = { .rules = { "drop if name = \"op0\"" } };
    struct attribute_rules *rules, *old = NULL;
    struct given_body given;
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 3, 0);
    for (unsigned i = 0; i < 100; i++) {
        rules = rules_that_drop(i % 3);
        ingest_loop_reload(rig.doors, &rig.conf, rules);
        assert_true(!old || old->refs == 1);
        attribute_rules_unref(&old);
        old = rules;
        rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
        assert_int_equal(given.body.spans, 2);
    }
    ingest_loop_reload(rig.doors, &rig.conf, NULL);
    assert_int_equal(old->refs, 1);
    attribute_rules_unref(&old);
    assert_int_equal(rig.compiled->refs, 1);
    buf_fini(&body);
    rig_close(&rig);
}

static void a_body_that_waited_meets_the_rules_in_force(void **state)
{
    struct rig rig = { .rules = { "drop if name = \"op0\"" } };
    struct attribute_rules *rules = rules_that_drop(1);
    struct given_body given;
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 3, 0);
    rig_leave_credit(&rig, 10);
    rig_give(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    rig_run(&rig, is_waiting, &rig);
    ingest_loop_reload(rig.doors, &rig.conf, rules);
    attribute_rules_unref(&rules);
    rig_leave_credit(&rig, 0);
    rig_run(&rig, given_is_done, &given);
    assert_string_equal(rig_names(&rig, 1), "op0 op2");
    buf_fini(&body);
    rig_close(&rig);
}

static void on_closed(void *owner)
{
    ((struct rig *)owner)->is_idle = true;
}

static void closing_refuses_what_waits_and_what_comes(void **state)
{
    struct rig rig = { 0 };
    struct given_body waits, given;
    struct buf body;

    (void)state;
    rig_open(&rig);
    otlp_named_body(&body, 1, 20, 0);
    rig_leave_credit(&rig, 10);
    rig_give(&rig, &waits, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    rig_run(&rig, is_waiting, &rig);
    rig_give(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body)); /* not begun yet */
    ingest_loop_close(rig.doors, on_closed, &rig);
    assert_true(waits.is_done);
    assert_int_equal(waits.err, MG_E_BUSY);
    assert_false(rig.is_idle);
    rig_run(&rig, given_is_done, &given);
    assert_int_equal(given.err, MG_E_BUSY);
    assert_true(rig.is_idle);
    assert_int_equal(rig_metric(&rig, INGEST_busy, KAFKA, BUSY_CLOSING), 2);
    assert_int_equal(rig_ledger(&rig).accepted, 0);
    buf_fini(&body);
    rig_close(&rig);
}

static void a_journal_that_is_gone_refuses_and_gives_the_credit_back(void **state)
{
    struct rig rig = { 0 };
    struct given_body given;
    struct buf body;
    int64_t free_before;

    (void)state;
    rig_open(&rig);
    free_before = credit_free(&rig.credit);
    otlp_named_body(&body, 1, 3, 0);
    journal_stop(rig.journal);
    rig_take(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    assert_int_equal(given.err, MG_E_BUSY);
    assert_int_equal(given.body.spans, 0);
    assert_int_equal(rig_metric(&rig, INGEST_busy, KAFKA, BUSY_JOURNAL), 1);
    assert_int_equal(rig_metric(&rig, INGEST_requests, KAFKA, OUTCOME_BUSY), 1);
    assert_int_equal(credit_free(&rig.credit), free_before);
    buf_fini(&body);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_durable_and_visible),
        cmocka_unit_test(refused_spans_are_told_and_counted),
        cmocka_unit_test(what_can_never_be_taken_ends_with_its_reason),
        cmocka_unit_test(a_body_without_spans_needs_no_log),
        cmocka_unit_test(a_reload_takes_other_rules_and_limits),
        cmocka_unit_test(the_old_rules_go_with_the_next_reload),
        cmocka_unit_test(a_body_that_waited_meets_the_rules_in_force),
        cmocka_unit_test(a_body_waits_for_its_credit_without_a_limit),
        cmocka_unit_test(closing_refuses_what_waits_and_what_comes),
        cmocka_unit_test(a_journal_that_is_gone_refuses_and_gives_the_credit_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
