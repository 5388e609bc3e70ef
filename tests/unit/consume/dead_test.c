/* dead_test.c - what can never be taken: where it goes, and that its offset waits until it is there. */
#include <sys/stat.h>
#include <unistd.h>
#include "kit.h"
#include "base/clock.h"
#include "unit/peer/log.h"

#define STOPPED "meshglass_kafka_stopped_partitions"
static struct kit kit;

static int teardown(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

static void to_a_topic_with_everything_it_had(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    (void)kit_put(&kit, 0, 1);
    kit_put_text(&kit, 0, STR("\xff\xff poison"));
    mock_put(&kit.mock, TOPIC, &(struct mock_put){ .value = STR("\xfe"), .partition = 0 }); /* neither key nor header */
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 2);
    kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 2);
    kit_until_committed(&kit, 0, 4);
    mock_read(&kit.mock, "dead", 1, 2);
    assert_int_equal(kit.mock.got.n, 2);
    const struct mock_message *first = &kit.mock.got.at[0], *second = &kit.mock.got.at[1];
    assert_memory_equal(first->key, "key", 3);
    assert_int_equal(first->value_len, 9);
    assert_memory_equal(first->value, "\xff\xff poison", 9);
    static const char want[] = "a=b\nmeshglass.topic=otlp_spans\nmeshglass.partition=0\nmeshglass.offset=1\nmeshglass.timestamp=";
    assert_memory_equal(first->headers, want, sizeof want - 1);
    assert_non_null(strstr(first->headers, "\nmeshglass.error="));
    assert_null(second->key);
    assert_non_null(strstr(second->headers, "meshglass.offset=2\n"));
    assert_null(strstr(second->headers, "a=b"));
}

/* A reason that may pass. */
static void a_topic_that_fails_is_tried_again(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    kit_put_text(&kit, 0, STR("\xff"));
    (void)kit_put(&kit, 0, 1);
    rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_PRODUCE, 2, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                                      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1); /* others go on */
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
    kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
    kit_until_committed(&kit, 0, 2);
    assert_int_equal(kit_gauge(&kit, STOPPED), 0);
}

static void expect_lines(const char *path, size_t n, const char *begins)
{
    char line[1000];
    size_t lines = 0;
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (lines++ == 0)
            assert_memory_equal(line, begins, strlen(begins));
        assert_non_null(strstr(line, "\"error\":\""));
        assert_memory_equal(line + strlen(line) - 3, "\"}\n", 3);
    }
    fclose(file);
    assert_int_equal(lines, n);
}

static void to_a_file(void **state)
{
    char path[128];

    (void)state;
    kit_open(&kit, 1);
    snprintf(path, sizeof path, "%s/dead.jsonl", kit.rig.dir);
    kit.conf.dead_letter_file = str_of(path);
    for (int i = 0; i < 5; i++)
        kit_put_text(&kit, 0, STR("\xff\xff"));
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_dead_letters, DEAD_FILE, 5);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    kit_until_committed(&kit, 0, 6);
    expect_lines(path, 5, "{\"topic\":\"otlp_spans\",\"partition\":0,\"offset\":0,\"timestamp\":");
}

static void a_file_that_cannot_be_written_is_tried_again(void **state)
{
    char folder[100], path[128];

    (void)state;
    kit_open(&kit, 1);
    snprintf(folder, sizeof folder, "%s/dead", kit.rig.dir);
    snprintf(path, sizeof path, "%s/dead.jsonl", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    kit.conf.dead_letter_file = str_of(path);
    kit_start(&kit);
    assert_int_equal(unlink(path), 0); /* as at the start, but the folder goes too */
    assert_int_equal(rmdir(folder), 0);
    kit_put_text(&kit, 0, STR("\xff"));
    (void)kit_put(&kit, 0, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_POISON, 1);
    assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_FILE), 0);
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
    assert_int_equal(mkdir(folder, 0700), 0);
    kit_until(&kit, CONSUME_dead_letters, DEAD_FILE, 1);
    kit_until_committed(&kit, 0, 2);
    expect_lines(path, 1, "{\"topic\":");
}

/* --- a topic that refuses for good --- */

static void topic_and_file(char path[128])
{
    kit_open(&kit, 1);
    kit_property(&kit, "topic.metadata.propagation.max.ms=300");
    mock_topic(&kit.mock, "dead", 1);
    snprintf(path, 128, "%s/dead.jsonl", kit.rig.dir);
    kit.conf.dead_letter_topic = STR("dead");
    kit.conf.dead_letter_file = str_of(path);
}

/* Then it refuses in the broker's place until it has asked for the topic again: those letters go to the file too. */
static bool librdkafka_remembers(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

static void what_the_topic_refuses_goes_to_the_file(void **state)
{
    static const rd_kafka_resp_err_t errors[] = {
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED
    };
    char path[128];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(errors); i++) {
        topic_and_file(path);
        kit_put_text(&kit, 0, STR("\xff"));
        (void)kit_put(&kit, 0, 1);
        rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_PRODUCE, 1, errors[i]);
        kit_start(&kit);
        kit_until(&kit, CONSUME_dead_letters, DEAD_FILE, 1); /* at the first attempt */
        assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_TOPIC), 0);
        kit_until_committed(&kit, 0, 2);
        expect_lines(path, 1, "{\"topic\":\"otlp_spans\",\"partition\":0,\"offset\":0,");
        int64_t end = 2;
        do {
            kit_put_text(&kit, 0, STR("\xfe")); /* the topic is still the place for others */
            kit_until_committed(&kit, 0, ++end);
        } while (kit_metric(&kit, CONSUME_dead_letters, DEAD_TOPIC) == 0 && librdkafka_remembers(errors[i]) && end < 50);
        assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_TOPIC), 1);
        assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_FILE), end - 2);
        kit_close(&kit);
    }
    kit_open(&kit, 1); /* for the teardown */
}

static void what_a_topic_that_is_not_there_would_get_goes_to_the_file(void **state)
{
    char path[128];

    (void)state;
    topic_and_file(path);
    rd_kafka_mock_topic_set_error(kit.mock.cluster, "dead", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    for (int i = 0; i < 3; i++)
        kit_put_text(&kit, 0, STR("\xff"));
    kit_start(&kit);
    kit_until(&kit, CONSUME_dead_letters, DEAD_FILE, 3);
    kit_until_committed(&kit, 0, 3);
    expect_lines(path, 3, "{\"topic\":");
}

/* Whatever the reason: it was tried often enough. */
static void what_was_tried_too_often_goes_to_the_file(void **state)
{
    char path[128];

    (void)state;
    topic_and_file(path);
    kit_put_text(&kit, 0, STR("\xff"));
    rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_PRODUCE, 2, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                                      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    assert_int_equal(kit.consume->dead.attempts_most, 10);
    kit.consume->dead.attempts_most = 2;
    kit_go(&kit);
    kit_until(&kit, CONSUME_dead_letters, DEAD_FILE, 1);
    kit_until_committed(&kit, 0, 1);
    assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_TOPIC), 0);
}

/* --- and no file: the partition is stopped --- */

static void open_stoppable(uint64_t stopped_ms)
{
    kit_open(&kit, 2);
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    assert_int_equal(kit.consume->dead.stopped_ns, 60000 * MS);
    kit.consume->dead.stopped_ns = stopped_ms * MS;
}

static void a_stopped_partition_goes_on_when_the_topic_is_mended(void **state)
{
    (void)state;
    open_stoppable(4000);
    kit_put_text(&kit, 0, STR("\xff"));
    rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    kit_go(&kit);
    kit_until_gauge(&kit, STOPPED, 1);
    for (int i = 0; i < 5; i++)
        (void)kit_put(&kit, 0, 1); /* of this nothing is polled */
    (void)kit_put(&kit, 1, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    kit_until_committed(&kit, 1, 1);
    uint64_t taken = kit_metric(&kit, CONSUME_messages, MESSAGE_TAKEN);
    if (kit_gauge(&kit, STOPPED) == 1) /* this machine may be slow */
        assert_int_equal(taken, 1);
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
    kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 6);
    kit_until_committed(&kit, 0, 6);
    assert_int_equal(kit_gauge(&kit, STOPPED), 0);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_TAKEN), 6); /* none of them twice */
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_POISON), 1);
}

/* Tried again in vain it stays stopped, and is counted once. */
static void a_stopped_partition_stays_stopped_while_the_topic_refuses(void **state)
{
    rd_kafka_resp_err_t errors[200];

    (void)state;
    open_stoppable(100);
    kit_put_text(&kit, 0, STR("\xff"));
    for (size_t i = 0; i < MG_COUNT(errors); i++)
        errors[i] = RD_KAFKA_RESP_ERR_INVALID_RECORD;
    rd_kafka_mock_push_request_errors_array(kit.mock.cluster, MOCK_PRODUCE, MG_COUNT(errors), errors);
    kit_go(&kit);
    kit_until_gauge(&kit, STOPPED, 1);
    for (int i = 0; i < 5; i++) { /* a lag is measured five times a second: time for some attempts */
        uint64_t spent = clock_mono_ns() + 200 * MS;
        while (clock_mono_ns() < spent)
            assert_int_equal(kit_gauge(&kit, STOPPED), 1);
    }
    assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_TOPIC), 0);
    rd_kafka_mock_clear_request_errors(kit.mock.cluster, MOCK_PRODUCE);
    kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
    kit_until_committed(&kit, 0, 1);
    kit_until_gauge(&kit, STOPPED, 0);
}

/* More poison than may be under way: what is stopped is no reason to poll nothing of the others. */
static void much_poison_in_one_partition_stops_no_other(void **state)
{
    enum { N = 300 };
    static char poison[1000];
    rd_kafka_resp_err_t errors[400];

    (void)state;
    open_stoppable(60000);
    kit.conf.in_flight_bytes = 128 << 10;
    memset(poison, 0xff, sizeof poison);
    for (int i = 0; i < N; i++)
        kit_put_text(&kit, 0, str_n(poison, sizeof poison));
    for (size_t i = 0; i < MG_COUNT(errors); i++)
        errors[i] = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    rd_kafka_mock_push_request_errors_array(kit.mock.cluster, MOCK_PRODUCE, MG_COUNT(errors), errors);
    kit_go(&kit);
    kit_until_gauge(&kit, STOPPED, 1);
    rd_kafka_mock_clear_request_errors(kit.mock.cluster, MOCK_PRODUCE); /* to be able to put */
    for (int i = 0; i < 50; i++)
        (void)kit_put(&kit, 1, 1);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 50);
    kit_until_committed(&kit, 1, 50);
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
}

static void a_stop_does_not_wait_for_a_stopped_partition(void **state)
{
    (void)state;
    open_stoppable(60000);
    kit_put_text(&kit, 0, STR("\xff"));
    rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    kit_go(&kit);
    kit_until_gauge(&kit, STOPPED, 1);
    uint64_t begun_ns = clock_mono_ns();
    consume_stop(kit.consume, 20000);
    assert_true(clock_mono_ns() - begun_ns < 20000 * MS); /* nor for the time that a partition is brought to rest */
    consume_free(&kit.consume);
    assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0);
    kit_start(&kit); /* it comes again, to a topic that takes it */
    kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
    kit_until_committed(&kit, 0, 1);
}

static void a_stop_does_not_wait_for_a_place_that_is_closed(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    kit_put_text(&kit, 0, STR("\xff"));
    rd_kafka_mock_topic_set_error(kit.mock.cluster, "dead", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_POISON, 1);
    kit_stop(&kit);
    assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0);
}

/* A letter that the broker does not answer for: the stop gives it up, which is no failure of the topic. */
static void a_stop_gives_up_what_has_no_answer(void **state)
{
    static const unsigned attempts[] = { 1, 10 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(attempts); i++) {
        kit_open(&kit, 1);
        mock_topic(&kit.mock, "dead", 1);
        kit.conf.dead_letter_topic = STR("dead");
        kit_put_text(&kit, 0, STR("\xff"));
        rd_kafka_mock_broker_push_request_error_rtts(kit.mock.cluster, 1, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 60000);
        assert_int_equal(kit_try(&kit, NULL), MG_OK);
        kit.consume->dead.attempts_most = attempts[i];
        kit_go(&kit);
        kit_until(&kit, CONSUME_messages, MESSAGE_POISON, 1);
        consume_stop(kit.consume, 300);
        assert_int_equal(kit.consume->dead.at_broker, 1);
        log_configure(LOG_WARN, LOG_LOGFMT);
        rig_log_begin();
        consume_free(&kit.consume);
        const char *log = rig_log_end();
        log_configure(LOG_ERROR + 1, LOG_LOGFMT);
        assert_null(strstr(log, "dead letter"));
        assert_int_equal(kit_gauge(&kit, STOPPED), 0);
        assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0);
        kit_start(&kit); /* it comes again */
        kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
        kit_until_committed(&kit, 0, 1);
        if (i + 1 < MG_COUNT(attempts))
            kit_close(&kit);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(to_a_topic_with_everything_it_had),
        TEST(a_topic_that_fails_is_tried_again),
        TEST(to_a_file),
        TEST(a_file_that_cannot_be_written_is_tried_again),
        TEST(what_the_topic_refuses_goes_to_the_file),
        TEST(what_a_topic_that_is_not_there_would_get_goes_to_the_file),
        TEST(what_was_tried_too_often_goes_to_the_file),
        TEST(a_stopped_partition_goes_on_when_the_topic_is_mended),
        TEST(a_stopped_partition_stays_stopped_while_the_topic_refuses),
        TEST(much_poison_in_one_partition_stops_no_other),
        TEST(a_stop_does_not_wait_for_a_stopped_partition),
        TEST(a_stop_does_not_wait_for_a_place_that_is_closed),
        TEST(a_stop_gives_up_what_has_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
