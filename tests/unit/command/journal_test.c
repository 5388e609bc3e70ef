#include "unit/command/test.h"
#include "codec/zip.h"
#include "command/journal.h"
#include "ingest/rows.h"
#include "live/decision.h"

static void check(const struct journal_record *record, bool is_good, const char *want)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(journal_line(record, &out), is_good);
    buf_put_char(&out, '\0');
    assert_string_equal(out.ptr, want);
    buf_fini(&out);
}

#define COMMON(kind)                                                                               \
    "{\"position\":7,\"kind\":\"" kind                                                             \
    "\",\"log_ns\":5,\"wall_time\":\"2026-11-25T15:10:16.123Z\","                                  \
    "\"wall_ns\":1795619416123456789"
static struct journal_record record_of(enum journal_kind kind)
{
    return (struct journal_record){.kind = kind,
                                   .position = 7,
                                   .log_ns = 5,
                                   .wall_ns = 1795619416123456789,
                                   .encoding = ZIP_GZIP,
                                   .protocol = INGEST_OTLP_PROTO,
                                   .body = STR("\1\2\3")};
}

static void test_body(void **state)
{
    const struct run runs[] = {{0, 1}, {5, 2}};
    struct journal_record record = record_of(JOURNAL_BODY);
    struct buf head;

    (void)state;
    buf_init(&head, 64);
    body_head_write(&head, (struct left_out){runs, 2}, (struct left_out){runs, 1});
    record.head = buf_str(&head);
    check(&record, true,
          COMMON("body") ",\"protocol\":\"otlp_proto\",\"encoding\":\"gzip\",\"body_bytes\":3,"
                         "\"refused\":3,\"dropped\":1}");
    buf_fini(&head);
}

static void test_bodies_that_are_not_understood(void **state)
{
    struct journal_record record = record_of(JOURNAL_BODY);

    (void)state;
    record.protocol = 200;
    record.encoding = 200;
    record.head = STR("\xff");
    check(&record, false,
          COMMON("body") ",\"protocol\":\"unknown\",\"encoding\":\"unknown\",\"body_bytes\":3,"
                         "\"error\":\"the lists of refused and dropped spans cannot be read\"}");
    record.head = STR("");
    check(&record, false,
          COMMON("body") ",\"protocol\":\"unknown\",\"encoding\":\"unknown\",\"body_bytes\":3,"
                         "\"error\":\"the lists of refused and dropped spans cannot be read\"}");
}

#define ID "000102030405060708090a0b0c0d0e0f"
#define KEPT                                                                                       \
    "{\"trace_id\":\"" ID "\",\"through\":6,\"verdict\":\"kept\",\"trigger\":\"root\"}"
#define DROPPED                                                                                    \
    "{\"trace_id\":\"" ID                                                                          \
    "\",\"through\":300,\"verdict\":\"dropped\",\"trigger\":\"early\",\"reason\":\"class\",\"policy\":9,\"probability\":0.5,\"rules\":4}"

static void test_decisions(void **state)
{
    struct decision decision = {.through = 6, .outcome = {.verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT}};
    struct journal_record record = record_of(JOURNAL_DECISIONS);
    struct buf body;

    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        decision.trace_id[i] = i;
    buf_init(&body, 4096);
    decision_list_begin(&body);
    record.body = buf_str(&body);
    check(&record, true, COMMON("decisions") ",\"decisions\":[]}");
    decision_put(&body, &decision);
    decision.through = 300;
    decision.outcome = (struct outcome){.verdict = VERDICT_DROPPED, .trigger = TRIGGER_EARLY, .reason = REASON_CLASS,
                                        .policy = 9, .threshold = OT_NEVER / 2, .rules = 4};
    decision_put(&body, &decision);
    record.body = buf_str(&body);
    check(&record, true, COMMON("decisions") ",\"decisions\":[" KEPT "," DROPPED "]}");
    record.body.len--; /* cut: what can be read is shown */
    check(&record, false,
          COMMON("decisions") ",\"decisions\":[" KEPT "],\"error\":\"a decision cannot be read\"}");
    record.body = STR("");
    check(&record, false,
          COMMON("decisions") ",\"decisions\":[],\"error\":\"a decision cannot be read\"}");
    buf_fini(&body);
}

static void test_other_kinds(void **state)
{
    struct journal_record record = record_of(JOURNAL_SERIES);

    (void)state;
    check(&record, true, COMMON("series") ",\"body_bytes\":3}");
    record.kind = 99;
    check(&record, true, COMMON("unknown") ",\"body_bytes\":3}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_bodies_that_are_not_understood),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
