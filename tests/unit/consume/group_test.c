#define _GNU_SOURCE /* RTLD_NEXT */
/* group_test.c - partitions come and go: what is under way when they do, and which offsets are committed. */
#include <dlfcn.h>
#include <stdatomic.h>
#include "kit.h"
#include "base/clock.h"

static struct kit kit;

static int teardown(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

/* A second consumer in the same group, with doors of its own (the same loop) and metrics of its own. */
struct second { struct consume_conf conf; struct metric_registry *registry; struct consume *consume; };

static void second_start(struct second *second)
{
    second->conf = kit.conf;
    second->registry = metric_registry_new();
    assert_int_equal(consume_new(&second->consume, &(struct consume_options){ .conf = &second->conf, .metrics = second->registry }, NULL), MG_OK);
    consume_start(second->consume, &kit.rig.doors, 1);
}

static void second_stop(struct second *second)
{
    consume_stop(second->consume, 2000);
    consume_free(&second->consume);
    metric_registry_free(&second->registry);
}

static bool second_has_messages(void *owner)
{
    return metric_get(((struct second *)owner)->consume->metrics, CONSUME_messages, MESSAGE_TAKEN, 0) > 0;
}

static bool second_has_partitions(void *owner)
{
    return metric_get(((struct second *)owner)->consume->metrics, CONSUME_rebalances, REBALANCE_ASSIGNED, 0) > 0;
}

static bool partitions_have_gone(void *owner)
{
    (void)owner;
    return kit_metric(&kit, CONSUME_rebalances, REBALANCE_REVOKED) + kit_metric(&kit, CONSUME_rebalances, REBALANCE_LOST) > 0;
}

static bool every_trace_is_here(void *owner)
{
    uint8_t id[16] = { 0 };

    (void)owner;
    for (size_t i = 1; i <= kit.n; i++) {
        id[0] = (uint8_t)i;
        if (rig_rows(&kit.rig, id) == 0)
            return false;
    }
    return true;
}

/* This broker calls a commit in the middle of a rebalance a mistake, so that what was taken may come again: that nothing is taken
 * twice is for the end-to-end test, with a real one. */
static void partitions_are_shared_and_nothing_is_lost(const char *assignor)
{
    struct second second = { 0 };

    kit_open(&kit, 4);
    kit_property(&kit, assignor);
    for (int i = 0; i < 8; i++)
        (void)kit_put(&kit, i % 4, 2);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 8);
    second_start(&second);
    rig_run(&kit.rig, second_has_partitions, &second);
    rig_run(&kit.rig, partitions_have_gone, NULL);
    for (int i = 0; i < 8; i++)
        (void)kit_put(&kit, i % 4, 2);
    rig_run(&kit.rig, second_has_messages, &second);
    rig_run(&kit.rig, every_trace_is_here, NULL);
    second_stop(&second); /* what it had comes back */
    for (int i = 0; i < 4; i++)
        (void)kit_put(&kit, i, 2);
    rig_run(&kit.rig, every_trace_is_here, NULL);
    for (int i = 0; i < 4; i++)
        kit_until_committed(&kit, i, 5);
}

static void a_second_member_cooperative(void **state)
{
    (void)state;
    partitions_are_shared_and_nothing_is_lost("partition.assignment.strategy=cooperative-sticky");
}

static void a_second_member_eager(void **state)
{
    (void)state;
    partitions_are_shared_and_nothing_is_lost("partition.assignment.strategy=range");
}

/* A message hangs (no credit) in a partition that is taken away: it is let go after a while, and the new owner has it. */
static void what_does_not_come_to_rest_comes_again(void **state)
{
    struct second second = { 0 };

    (void)state;
    kit_open(&kit, 2);
    kit_property(&kit, "session.timeout.ms=7000"); /* longer than a partition is brought to rest */
    rig_leave_credit(&kit.rig, 10);
    kit_start(&kit);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1);
    for (int i = 0; i < 2; i++)
        (void)kit_put(&kit, i, 20);
    kit_until_waiting(&kit, 2);
    second_start(&second);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_REVOKED, 1);
    rig_run(&kit.rig, second_has_partitions, &second);
    rig_leave_credit(&kit.rig, 0);
    rig_run_until(&kit.rig, INGEST_requests, INGEST_DOOR_KAFKA, OUTCOME_ACCEPTED, 3); /* one of them twice */
    for (int i = 0; i < 2; i++)
        kit_until_committed(&kit, i, 1);
    second_stop(&second);
    assert_int_equal(rig_ledger(&kit.rig).accepted, 60);
}

/* librdkafka remembers the pause, for when it comes back. */
static void a_partition_that_was_paused_comes_back_as_any_other(void **state)
{
    rd_kafka_resp_err_t errors[200];
    struct second second = { 0 };

    (void)state;
    kit_open(&kit, 1);
    kit_property(&kit, "session.timeout.ms=7000"); /* longer than a partition is brought to rest */
    kit_property(&kit, "partition.assignment.strategy=range");
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    kit_put_text(&kit, 0, STR("\xff"));
    for (int i = 0; i < 9; i++)
        kit_put_text(&kit, 0, STR(""));
    for (size_t i = 0; i < MG_COUNT(errors); i++)
        errors[i] = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    rd_kafka_mock_push_request_errors_array(kit.mock.cluster, MOCK_PRODUCE, MG_COUNT(errors), errors);
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    kit.consume->width_most = 5;
    kit_go(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_EMPTY, 4);
    second_start(&second);
    rig_run(&kit.rig, partitions_have_gone, NULL);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_EMPTY), 4);
    rd_kafka_mock_clear_request_errors(kit.mock.cluster, MOCK_PRODUCE);
    kit_until_committed(&kit, 0, 10);
    second_stop(&second);
    (void)kit_put(&kit, 0, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    kit_until_committed(&kit, 0, 11);
}

static void a_commit_that_fails_is_tried_again(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    (void)kit_put(&kit, 0, 1);
    rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_OFFSET_COMMIT, 1, RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    kit_until(&kit, CONSUME_commits, 1, 1);
    kit_until_committed(&kit, 0, 1);
    kit_until(&kit, CONSUME_commits, 0, 1);
}

/* --- stores that are refused --- */

/* librdkafka's, which refuses partition `refused` so often. */
static _Atomic int refused = -1;
static _Atomic unsigned refusals, refused_calls;

rd_kafka_resp_err_t rd_kafka_offsets_store(rd_kafka_t *client, rd_kafka_topic_partition_list_t *offsets)
{
    rd_kafka_resp_err_t (*real)(rd_kafka_t *, rd_kafka_topic_partition_list_t *) =
        (rd_kafka_resp_err_t (*)(rd_kafka_t *, rd_kafka_topic_partition_list_t *))dlsym(RTLD_NEXT, "rd_kafka_offsets_store");
    rd_kafka_topic_partition_t *one = rd_kafka_topic_partition_list_find(offsets, TOPIC, refused);

    if (!one || refusals == 0)
        return real(client, offsets);
    refusals--;
    refused_calls++;
    rd_kafka_topic_partition_list_t *others = rd_kafka_topic_partition_list_copy(offsets);
    (void)rd_kafka_topic_partition_list_del(others, TOPIC, refused);
    rd_kafka_resp_err_t err = others->cnt > 0 ? real(client, others) : RD_KAFKA_RESP_ERR__STATE;
    rd_kafka_topic_partition_list_destroy(others);
    one->err = RD_KAFKA_RESP_ERR__STATE;
    return err;
}

static void refuse_stores(int partition, unsigned n)
{
    refused = partition;
    refusals = n;
    refused_calls = 0;
}

/* One message, after which nothing else happens. */
static void a_refused_offset_is_stored_again(void **state)
{
    static const unsigned times[] = { 1, 2, 4 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(times); i++) {
        kit_open(&kit, 1);
        refuse_stores(0, times[i]);
        (void)kit_put(&kit, 0, 1);
        kit_start(&kit);
        kit_until_committed(&kit, 0, 1);
        assert_int_equal(refused_calls, times[i]);
        kit_close(&kit);
    }
    kit_open(&kit, 1); /* for the teardown */
}

static void a_refused_offset_holds_up_no_other_partition(void **state)
{
    (void)state;
    kit_open(&kit, 2);
    refuse_stores(1, UINT32_MAX);
    (void)kit_put(&kit, 1, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    for (int i = 1; i <= 3; i++) {
        (void)kit_put(&kit, 0, 1);
        kit_until_committed(&kit, 0, i);
    }
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 1), -1);
    refusals = 0;
    kit_until_committed(&kit, 1, 1);
}

/* It waits longer each time: in 3 s 200 + 400 + 800 + 1600 ms, and not every 200. */
static void a_refused_offset_is_not_stored_all_the_time(void **state)
{
    (void)state;
    kit_open(&kit, 2);
    refuse_stores(0, UINT32_MAX);
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    uint64_t until_ns = clock_mono_ns() + 3000 * MS;
    for (uint64_t n = 2; clock_mono_ns() < until_ns; n++) { /* the other one is busy */
        (void)kit_put(&kit, 1, 1);
        kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, n);
    }
    assert_in_range(refused_calls, 2, 6);
    refusals = 0;
}

/* What was finished meanwhile is stored with it, and a stop commits it, whatever the wait. */
static void a_stop_stores_what_was_refused(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    refuse_stores(0, 3);
    (void)kit_put(&kit, 0, 1);
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 2);
    kit_stop(&kit);
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), 2);
    refusals = 0;
}

static void a_topic_that_comes_later_is_found(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    kit.topics[0] = STR("later");
    kit_property(&kit, "topic.metadata.refresh.interval.ms=200");
    kit_start(&kit);
    mock_put(&kit.mock, "later", &(struct mock_put){ .value = STR("\x0a\x00"), .partition = 0 });
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
}

/* At the start and in the middle: it is counted, and goes on when the broker is back. */
static void a_broker_may_be_away(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    (void)kit_put(&kit, 0, 1);
    rd_kafka_mock_broker_set_down(kit.mock.cluster, 1);
    kit_property(&kit, "reconnect.backoff.max.ms=200");
    kit_start(&kit);
    kit_until(&kit, CONSUME_connection_errors, CONNECTION_TRANSPORT, 1);
    kit_until(&kit, CONSUME_connection_errors, CONNECTION_ALL_DOWN, 1);
    rd_kafka_mock_broker_set_up(kit.mock.cluster, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    rd_kafka_mock_broker_set_down(kit.mock.cluster, 1);
    rd_kafka_mock_broker_set_up(kit.mock.cluster, 1);
    (void)kit_put(&kit, 0, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 2);
    kit_until_committed(&kit, 0, 2);
    for (unsigned reason = CONNECTION_AUTHENTICATION; reason <= CONNECTION_OTHER; reason++)
        if (reason != CONNECTION_TRANSPORT && reason != CONNECTION_ALL_DOWN)
            assert_int_equal(kit_metric(&kit, CONSUME_connection_errors, reason), 0);
}

static void a_broker_that_is_there_is_no_error(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    for (unsigned reason = CONNECTION_AUTHENTICATION; reason <= CONNECTION_OTHER; reason++)
        assert_int_equal(kit_metric(&kit, CONSUME_connection_errors, reason), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_second_member_cooperative),
        TEST(a_second_member_eager),
        TEST(what_does_not_come_to_rest_comes_again),
        TEST(a_partition_that_was_paused_comes_back_as_any_other),
        TEST(a_commit_that_fails_is_tried_again),
        TEST(a_refused_offset_is_stored_again),
        TEST(a_refused_offset_holds_up_no_other_partition),
        TEST(a_refused_offset_is_not_stored_all_the_time),
        TEST(a_stop_stores_what_was_refused),
        TEST(a_topic_that_comes_later_is_found),
        TEST(a_broker_may_be_away),
        TEST(a_broker_that_is_there_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
