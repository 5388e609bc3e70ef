/* consume_test.c - settings that are refused, and an end that never hangs. */
#include "kit.h"
#include "base/clock.h"

#define SECOND UINT64_C(1000000000)
static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

static void wrong_rows_are_named(void **state)
{
    static const struct { const char *property, *topic, *group, *dead_topic, *dead_file, *want; enum mg_err err; } rows[] = {
        { .property = "group.id=x", .want = "kafka.properties 1: 'group.id' is not set here" },
        { .property = "enable.auto.commit=true", .want = "kafka.properties 1: 'enable.auto.commit'" },
        { .property = "auto.commit.enable=true", .want = "kafka.properties 1: 'auto.commit.enable'" },
        { .property = "enable.auto.offset.store=true", .want = "kafka.properties 1: " },
        { .property = "metadata.broker.list=a:1", .want = "kafka.properties 1: " },
        { .property = "acks=1", .want = "kafka.properties 1: " },
        { .property = "log.queue=true", .want = "kafka.properties 1: " },
        { .property = "no.such.thing=1", .want = "no.such.thing" },
        { .property = "session.timeout.ms=never", .want = "'session.timeout.ms'" },
        { .property = "partition.assignment.strategy=none", .want = "kafka.properties" },
        { .topic = "", .want = "kafka.topics 1: " },
        { .topic = "^otlp", .want = "kafka.topics 1: '^otlp'" },
        { .group = "", .want = "kafka.group: " },
        { .dead_topic = "a b", .want = "kafka.dead_letter_topic: 'a b'" },
        { .dead_topic = TOPIC, .want = "kafka.dead_letter_topic: 'otlp_spans' is one of kafka.topics" },
        { .dead_topic = "dead", .dead_file = "/nowhere/dead.jsonl", .want = "kafka.dead_letter_file: cannot open", .err = MG_E_IO },
        { .dead_topic = "a/b", .dead_file = "/tmp", .want = "kafka.dead_letter_topic: 'a/b'" },
        { .dead_file = "/nowhere/dead.jsonl", .want = "kafka.dead_letter_file: cannot open /nowhere/dead.jsonl", .err = MG_E_IO },
    };
    const struct consume_conf fine = kit.conf;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = { "" };
        kit.conf = fine;
        kit.topics[0] = str_of(rows[i].topic ? rows[i].topic : TOPIC);
        kit.properties[0] = str_of(rows[i].property);
        kit.conf.properties.n = rows[i].property ? 1 : 0;
        kit.conf.group = str_of(rows[i].group ? rows[i].group : "g");
        kit.conf.dead_letter_topic = str_of(rows[i].dead_topic);
        kit.conf.dead_letter_file = str_of(rows[i].dead_file);
        assert_int_equal(kit_try(&kit, &why), rows[i].err ? rows[i].err : MG_E_FORMAT);
        assert_null(kit.consume);
        if (!strstr(why.text, rows[i].want))
            fail_msg("%zu: %s", i, why.text);
    }
    kit.conf = fine;
    kit.conf.topics.n = 0;
    assert_int_equal(kit_try(&kit, NULL), MG_E_FORMAT);
}

static uint64_t stopped_in(uint64_t timeout_ms)
{
    uint64_t begun_ns = clock_mono_ns();

    consume_stop(kit.consume, timeout_ms);
    return clock_mono_ns() - begun_ns;
}

static void it_can_be_freed_without_a_start(void **state)
{
    (void)state;
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    consume_stop(kit.consume, 1000);
    consume_free(&kit.consume);
    consume_free(&kit.consume);
}

static void a_stop_leaves_the_group(void **state)
{
    (void)state;
    kit_start(&kit);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1);
    assert_true(stopped_in(2000) < 2 * SECOND);
    assert_int_equal(kit_metric(&kit, CONSUME_rebalances, REBALANCE_REVOKED), 1);
    assert_true(stopped_in(2000) < SECOND); /* nothing more to do */
}

static void a_stop_does_not_hang_without_a_broker(void **state)
{
    (void)state;
    rd_kafka_mock_broker_set_down(kit.mock.cluster, 1);
    kit_start(&kit);
    assert_true(stopped_in(500) < 2 * SECOND);
}

static void a_stop_does_not_hang_when_the_broker_went(void **state)
{
    (void)state;
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    rd_kafka_mock_broker_set_rtt(kit.mock.cluster, 1, 60000);
    (void)stopped_in(500);
    rd_kafka_mock_broker_set_rtt(kit.mock.cluster, 1, 0);
}

/* The loop does not run while the main thread waits: what is under way cannot finish, and is freed afterwards. */
static void what_is_under_way_gets_its_time_and_no_more(void **state)
{
    (void)state;
    rig_leave_credit(&kit.rig, 10);
    kit_start(&kit);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1);
    (void)kit_put(&kit, 0, 20);
    kit_until_waiting(&kit, 1);
    uint64_t ns = stopped_in(700);
    assert_in_range(ns, 7 * SECOND / 10, 3 * SECOND);
    rig_leave_credit(&kit.rig, 0);
    rig_run_until(&kit.rig, INGEST_requests, INGEST_DOOR_KAFKA, OUTCOME_ACCEPTED, 1);
    consume_free(&kit.consume);
    assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0); /* it comes again */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wrong_rows_are_named),
        TEST(it_can_be_freed_without_a_start),
        TEST(a_stop_leaves_the_group),
        TEST(a_stop_does_not_hang_without_a_broker),
        TEST(a_stop_does_not_hang_when_the_broker_went),
        TEST(what_is_under_way_gets_its_time_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
