/* mock.h - librdkafka's own broker in this process: speaks the protocol on a port of the system's choice, and fails as it is told. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include "base/vec.h"
#include "conf/conf.h"

enum { MOCK_PRODUCE = 0, MOCK_METADATA = 3, MOCK_OFFSET_COMMIT = 8 }; /* ApiKey */

struct mock_message { char *key, *value; size_t key_len, value_len; int32_t partition; int64_t offset; char *headers; };
struct mock {
    rd_kafka_t *owner, *putter, *checker; /* of mock_put and mock_committed; NULL: not used yet */
    rd_kafka_mock_cluster_t *cluster;
    struct str address;
    struct conf_list brokers;     /* the address */
    VEC(struct mock_message) got; /* of mock_read */
};
void mock_open(struct mock *mock);
void mock_close(struct mock *mock);
void mock_topic(struct mock *mock, const char *topic, int partitions);
/* Reads a topic from the start until there are n messages; fails after 20 s. More than n may come. */
void mock_read(struct mock *mock, const char *topic, int partitions, size_t n);
struct mock_put { struct str key, value; int32_t partition; bool has_header; };
void mock_put(struct mock *mock, const char *topic, const struct mock_put *put); /* and waits for the acknowledgement */
/* One group a mock. */
int64_t mock_committed(struct mock *mock, const char *group, const char *topic, int32_t partition); /* -1: nothing */
