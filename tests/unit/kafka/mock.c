/* mock.c - see mock.h. */
#include "mock.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[200];

    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        fail_msg("%s", error);
}

static rd_kafka_t *client(struct mock *mock, rd_kafka_type_t type, const char *group)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[200];

    set(conf, "bootstrap.servers", mock->address.ptr);
    set(conf, "log_level", "2"); /* brokers that go away are part of the tests */
    if (type == RD_KAFKA_CONSUMER) {
        set(conf, "group.id", group);
        set(conf, "enable.auto.commit", "false");
        set(conf, "auto.offset.reset", "earliest");
    }
    rd_kafka_t *made = rd_kafka_new(type, conf, error, sizeof error);
    if (!made)
        fail_msg("%s", error);
    return made;
}

void mock_open(struct mock *mock)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[200];

    *mock = (struct mock){ 0 };
    set(conf, "log_level", "2"); /* it has no brokers, and says so */
    mock->owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    assert_non_null(mock->owner);
    mock->cluster = rd_kafka_mock_cluster_new(mock->owner, 1);
    assert_non_null(mock->cluster);
    mock->address = str_of(rd_kafka_mock_cluster_bootstraps(mock->cluster));
    mock->brokers = (struct conf_list){ &mock->address, 1 };
}

static void forget(struct mock *mock)
{
    for (size_t i = 0; i < mock->got.n; i++) {
        mem_free(mock->got.at[i].key);
        mem_free(mock->got.at[i].value);
        mem_free(mock->got.at[i].headers);
    }
    VEC_CLEAR(&mock->got);
}

void mock_close(struct mock *mock)
{
    forget(mock);
    VEC_FINI(&mock->got);
    if (mock->putter)
        rd_kafka_destroy(mock->putter);
    if (mock->checker)
        rd_kafka_destroy_flags(mock->checker, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->owner);
}

void mock_topic(struct mock *mock, const char *topic, int partitions)
{
    assert_int_equal(rd_kafka_mock_topic_create(mock->cluster, topic, partitions, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
}

static char *headers_of(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t len;
    struct buf text;

    buf_init(&text, 1 << 16);
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR)
        for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
            buf_printf(&text, "%s=%.*s\n", name, (int)len, (const char *)value);
    buf_put_char(&text, '\0');
    return buf_take(&text, NULL);
}

static void keep(struct mock *mock, const rd_kafka_message_t *message)
{
    struct mock_message *kept = VEC_ADD(&mock->got);

    kept->key = message->key ? mem_copy(message->key, message->key_len) : NULL;
    kept->key_len = message->key_len;
    kept->value = mem_copy(message->payload, message->len);
    kept->value_len = message->len;
    kept->partition = message->partition;
    kept->offset = message->offset;
    kept->headers = headers_of(message);
}

void mock_read(struct mock *mock, const char *topic, int partitions, size_t n)
{
    rd_kafka_t *consumer = client(mock, RD_KAFKA_CONSUMER, "reader");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    uint64_t until_ns = clock_mono_ns() + UINT64_C(20000000000);

    forget(mock);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(consumer, list), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(list);
    while (mock->got.n < n) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
        if (message && !message->err)
            keep(mock, message);
        if (message)
            rd_kafka_message_destroy(message);
        if (clock_mono_ns() > until_ns)
            fail_msg("%s: %zu of %zu messages", topic, mock->got.n, n);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

void mock_put(struct mock *mock, const char *topic, const struct mock_put *put)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);

    if (!mock->putter)
        mock->putter = client(mock, RD_KAFKA_PRODUCER, NULL);
    if (put->has_header)
        assert_int_equal(rd_kafka_header_add(headers, "a", -1, "b", -1), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_producev(mock->putter, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(put->partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                       RD_KAFKA_V_KEY(put->key.ptr, put->key.len), RD_KAFKA_V_VALUE((void *)put->value.ptr, put->value.len),
                                       RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(mock->putter, 20000), RD_KAFKA_RESP_ERR_NO_ERROR);
}

int64_t mock_committed(struct mock *mock, const char *group, const char *topic, int32_t partition)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    int64_t offset;

    if (!mock->checker)
        mock->checker = client(mock, RD_KAFKA_CONSUMER, group);
    rd_kafka_topic_partition_list_add(list, topic, partition);
    assert_int_equal(rd_kafka_committed(mock->checker, list, 20000), RD_KAFKA_RESP_ERR_NO_ERROR);
    offset = list->elems[0].offset < 0 ? -1 : list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return offset;
}
