/* kafka.h - publishes batches to Kafka (librdkafka): idempotent producer, acks=all, OTLP protobuf, one message per trace of a batch, keyed by
 * the trace id in hex, so that a trace's spans meet in one partition (murmur2, as Java clients place them).
 *
 * The files that `properties` name for TLS (ssl.ca.location and its like) are looked at about once a second: when one has changed a new
 * producer takes the place of the old one, which gets 3 s for what it has; with files that cannot be used the old one stays, and they are
 * tried again.
 *
 * A batch is TAKEN when every message of it was acknowledged. librdkafka's threads only post to the loop. */
#pragma once
#include "send/send.h"

struct kafka_export_conf {
    struct send_conf send;
    struct conf_list brokers;    /* empty: off */
    struct str topic;            /* otlp_spans */
    int compression;             /* none|gzip|snappy|lz4|zstd */
    struct conf_list properties; /* "key=value" of librdkafka, for TLS and SASL; what this module needs fixed is refused by name */
};
extern const struct conf_field kafka_export_fields[]; /* section exporters.kafka */
extern const size_t kafka_export_fields_n;
struct kafka_export;
/* What kafka_export_new refuses of the rows themselves: no file is looked at, and no broker. Any thread. */
enum mg_err kafka_export_check(const struct kafka_export_conf *conf, struct mg_why *why) MG_MUST_USE;
enum mg_err kafka_export_new(struct kafka_export **out, const struct kafka_export_conf *conf, struct mg_why *why) MG_MUST_USE;
void kafka_export_wire(struct kafka_export *export, struct send_wire *out);
void kafka_export_free(struct kafka_export **export);
