/* take_test.c - messages on their way: taken and durable, held back, given again, passed over. */
#include <sys/stat.h>
#include <unistd.h>
#include "kit.h"
#include "base/clock.h"

static struct kit kit;

static int teardown(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

static void messages_become_traces_and_are_committed(void **state)
{
    uint8_t traces[6];

    (void)state;
    kit_open(&kit, 2);
    for (int i = 0; i < 6; i++)
        traces[i] = kit_put(&kit, i % 2, 3);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(rig_names(&kit.rig, traces[i]), "op0 op1 op2");
    assert_int_equal(kit_metric(&kit, CONSUME_spans, 0), 18);
    assert_int_equal(rig_ledger(&kit.rig).accepted, 18);
    assert_true(kit_metric(&kit, CONSUME_bytes, 0) > 6 * 3);
    kit_until_committed(&kit, 0, 3); /* by itself, within about a second */
    kit_until_committed(&kit, 1, 3);
}

static void a_restart_goes_on_where_the_last_run_ended(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    (void)kit_put(&kit, 0, 2);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    kit_stop(&kit);
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), 1);
    (void)kit_put(&kit, 0, 2);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    assert_int_equal(rig_ledger(&kit.rig).accepted, 4);
}

static void an_empty_message_is_passed_over(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    kit_put_text(&kit, 0, STR(""));
    kit_put_text(&kit, 0, (struct str){ NULL, 0 });
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_EMPTY), 2);
    assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_NOWHERE), 0);
    kit_until_committed(&kit, 0, 3);
}

static void what_can_never_be_taken_is_passed_over_without_a_place_for_it(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    kit_put_text(&kit, 0, STR("\xff\xff"));
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_POISON), 1);
    assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_NOWHERE), 1);
    kit_until_committed(&kit, 0, 2);
}

/* Nothing is committed beyond it, and nothing else is polled meanwhile. */
static void what_cannot_be_taken_now_is_given_again(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    kit.rig.doors->is_closing = true; /* refuses everything, as a full disk does */
    (void)kit_put(&kit, 0, 2);
    kit_start(&kit);
    kit_until(&kit, CONSUME_retries, 0, 1);
    for (int i = 0; i < 3; i++)
        (void)kit_put(&kit, 0, 2);
    kit_until(&kit, CONSUME_retries, 0, 3);
    uint64_t refused = rig_metric(&kit.rig, INGEST_requests, INGEST_DOOR_KAFKA, OUTCOME_BUSY);
    assert_in_range(refused, 3, kit_metric(&kit, CONSUME_retries, 0) + 1); /* of one message only: all but the first are retries */
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
    kit.rig.doors->is_closing = false;
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 4);
    assert_int_equal(rig_ledger(&kit.rig).accepted, 8);
    kit_until_committed(&kit, 0, 4);
}

static size_t under_way;

/* Of the least that must come, however long it takes; only then what comes no more can be told from what comes late. */
static bool has_stood_still(void *owner)
{
    static uint64_t since_ns;
    const size_t *least = owner;
    size_t n = kit.rig.ingest->waiting;

    if (n != under_way || n < *least) {
        under_way = n;
        since_ns = clock_mono_ns();
    }
    return clock_mono_ns() - since_ns > UINT64_C(300000000);
}

static void no_more_is_polled_than_may_be_under_way(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    kit.conf.in_flight_bytes = 10000;
    for (int i = 0; i < 40; i++)
        (void)kit_put(&kit, 0, 20);
    rig_leave_credit(&kit.rig, 10);
    kit_start(&kit);
    rig_run(&kit.rig, has_stood_still, &(size_t){ 5 });
    assert_in_range(under_way, 5, 20); /* of about 1.1 KiB, and 512 bytes each */
    assert_true(kit.consume->in_flight < 10000 + 2000);
    rig_leave_credit(&kit.rig, 0);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 40);
    kit_until_committed(&kit, 0, 40);
}

/* --- a partition that is too wide --- */

enum { WIDTH = 20, BEHIND = 50 };

/* In partition 0 a message that hangs, since there is no place for dead letters at the moment, and many behind it. */
static void open_wide(void)
{
    kit_open(&kit, 2);
    kit_put_text(&kit, 0, STR("\xff"));
    for (int i = 0; i < BEHIND; i++)
        kit_put_text(&kit, 0, STR(""));
}

static void try_wide(void)
{
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    assert_int_equal(kit.consume->width_most, 131072);
    kit.consume->width_most = WIDTH;
}

static void expect_only_the_other(void)
{
    for (int i = 0; i < 5; i++)
        (void)kit_put(&kit, 1, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 5);
    kit_until_committed(&kit, 1, 5);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_EMPTY), WIDTH - 1); /* and no more */
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
}

/* What was behind it comes once each. */
static void expect_all_of_the_wide_one(void)
{
    kit_until_committed(&kit, 0, 1 + BEHIND);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_EMPTY), BEHIND);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_POISON), 1);
    (void)kit_put(&kit, 0, 1);
    kit_until_committed(&kit, 0, 2 + BEHIND);
}

static void a_partition_that_is_too_wide_waits_alone(void **state)
{
    char folder[100], path[128];

    (void)state;
    open_wide();
    snprintf(folder, sizeof folder, "%s/dead", kit.rig.dir);
    snprintf(path, sizeof path, "%s/dead.jsonl", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    kit.conf.dead_letter_file = str_of(path);
    try_wide();
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    kit_go(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_EMPTY, WIDTH - 1);
    expect_only_the_other();
    assert_int_equal(mkdir(folder, 0700), 0);
    expect_all_of_the_wide_one();
}

/* Too wide first and stopped then. */
static void stop_wide(uint64_t stopped_ms)
{
    rd_kafka_resp_err_t errors[200];

    open_wide();
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    for (size_t i = 0; i < MG_COUNT(errors); i++)
        errors[i] = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    rd_kafka_mock_push_request_errors_array(kit.mock.cluster, MOCK_PRODUCE, MG_COUNT(errors), errors);
    try_wide();
    kit.consume->dead.attempts_most = 2;
    kit.consume->dead.stopped_ns = stopped_ms * MS;
    kit_go(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_EMPTY, WIDTH - 1);
    kit_until_gauge(&kit, "meshglass_kafka_stopped_partitions", 1);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_EMPTY), WIDTH - 1);
    rd_kafka_mock_clear_request_errors(kit.mock.cluster, MOCK_PRODUCE); /* to be able to put */
}

static void a_stopped_partition_that_is_too_wide_waits_alone(void **state)
{
    (void)state;
    stop_wide(60000);
    expect_only_the_other();
}

static void a_stopped_partition_that_is_too_wide_goes_on_when_it_is_neither(void **state)
{
    (void)state;
    stop_wide(1000);
    expect_all_of_the_wide_one();
    assert_int_equal(kit_gauge(&kit, "meshglass_kafka_stopped_partitions"), 0);
}

/* Nothing hangs: it is as wide as what is under way, and never stays paused. */
static void a_partition_that_shrinks_goes_on(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    for (int i = 0; i < 40; i++)
        (void)kit_put(&kit, 0, 20);
    rig_leave_credit(&kit.rig, 10);
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    kit.consume->width_most = 4;
    kit_go(&kit);
    kit_until_waiting(&kit, 4);
    rig_run(&kit.rig, has_stood_still, &(size_t){ 4 });
    assert_int_equal(under_way, 4);
    rig_leave_credit(&kit.rig, 0);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 40);
    kit_until_committed(&kit, 0, 40);
    assert_int_equal(rig_ledger(&kit.rig).accepted, 800);
}

static void every_encoding_has_its_reader(void **state)
{
    static const struct { enum consume_encoding encoding; struct str value; uint64_t spans; } rows[] = {
        { CONSUME_OTLP_JSON, STR_INIT("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\","
                                      "\"spanId\":\"0102030405060708\",\"name\":\"a\"}]}]}]}"), 1 },
        { CONSUME_ZIPKIN_JSON, STR_INIT("[{\"traceId\":\"0102030405060708\",\"id\":\"0102030405060709\",\"name\":\"a\"},"
                                        "{\"traceId\":\"0102030405060708\",\"id\":\"010203040506070a\"}]"), 2 },
        /* jaeger.api_v2.Span { trace_id span_id operation_name start_time duration process { service_name } } */
        { CONSUME_JAEGER_PROTO, STR_INIT("\x0a\x10" "0123456789abcdef" "\x12\x08" "01234567" "\x1a\x02op" "\x32\x02\x08\x05" "\x3a\x02\x08\x01"
                                         "\x52\x06\x0a\x04shop"), 1 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        kit_open(&kit, 1);
        kit.conf.encoding = rows[i].encoding;
        kit_put_text(&kit, 0, rows[i].value);
        kit_put_text(&kit, 0, STR("{"));
        kit_start(&kit);
        kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
        kit_until(&kit, CONSUME_messages, MESSAGE_POISON, 1);
        assert_int_equal(kit_metric(&kit, CONSUME_spans, 0), rows[i].spans);
        if (i + 1 < MG_COUNT(rows))
            kit_close(&kit);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages_become_traces_and_are_committed),
        TEST(a_restart_goes_on_where_the_last_run_ended),
        TEST(an_empty_message_is_passed_over),
        TEST(what_can_never_be_taken_is_passed_over_without_a_place_for_it),
        TEST(what_cannot_be_taken_now_is_given_again),
        TEST(no_more_is_polled_than_may_be_under_way),
        TEST(a_partition_that_is_too_wide_waits_alone),
        TEST(a_stopped_partition_that_is_too_wide_waits_alone),
        TEST(a_stopped_partition_that_is_too_wide_goes_on_when_it_is_neither),
        TEST(a_partition_that_shrinks_goes_on),
        TEST(every_encoding_has_its_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
