/* dead_test.c - what can never be taken: where it goes, and that its offset waits until it is there. */
#include <sys/stat.h>
#include <unistd.h>
#include "kit.h"

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

static void a_topic_that_refuses_is_tried_again(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    mock_topic(&kit.mock, "dead", 1);
    kit.conf.dead_letter_topic = STR("dead");
    kit_put_text(&kit, 0, STR("\xff"));
    (void)kit_put(&kit, 0, 1);
    rd_kafka_mock_push_request_errors(kit.mock.cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1); /* others go on */
    assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), -1);
    kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
    kit_until_committed(&kit, 0, 2);
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

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        TEST(to_a_topic_with_everything_it_had),
        TEST(a_topic_that_refuses_is_tried_again),
        TEST(to_a_file),
        TEST(a_file_that_cannot_be_written_is_tried_again),
        TEST(a_stop_does_not_wait_for_a_place_that_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
