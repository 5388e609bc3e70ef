/* consume.h - Kafka in: a consumer group whose offsets are committed only after the journal commit.
 *
 * One thread polls librdkafka; each message goes to a loop, in turn, as an ingest_body, and its offset is stored when it and all before
 * it in its partition are durable. Under way are at most in_flight_bytes: beyond that nothing is polled. librdkafka fetches ahead up to
 * 32 MiB or 50,000 messages besides (queued.max.messages.kbytes and queued.min.messages in `properties`). A message that can never be taken
 * (malformed, too big) goes to the dead-letter topic, or to the dead-letter file, and counts as done once it is there; with neither configured it is
 * counted, logged (rate limited) and skipped.
 *
 * The topic may refuse it too: because there is no such topic, or no right to it, because it takes no record of that size or kind, or ten times for
 * whatever reason. Then it goes to the file, when there is one as well. Else its partition is stopped: an ERROR in the log says so, the gauge
 * meshglass_kafka_stopped_partitions counts it, nothing of it is polled or committed beyond the message, and the others go on (what is held back may be
 * in_flight_bytes once more). The topic is asked again once a minute; when it takes the message, the partition goes on by itself. A file that cannot be
 * written is tried again every 1 to 3 s.
 *
 * A partition of which 131,072 messages wait behind one that is not finished is paused until half of them are gone; the others go on.
 *
 * The files that `properties` name for TLS (ssl.ca.location and its like) are looked at about once a second: when one has changed, what is
 * under way gets 5 s, offsets are committed, the group is left, and joined again with new connections, also of the dead-letter topic. With
 * files that cannot be used the old connections stay, and they are tried again.
 *
 * One that cannot be taken now (the journal refuses, the disk is full) is given again every 1 to 3 s, and
 * nothing is polled meanwhile. At a rebalance, partitions that are taken away are first brought to rest (5 s) and their offsets committed. At least
 * once: after a crash some messages come again; spans equal in every field are counted duplicate. */
#pragma once
#include "ingest/ingest.h"

enum consume_encoding { CONSUME_OTLP_PROTO, CONSUME_OTLP_JSON, CONSUME_JAEGER_PROTO, CONSUME_ZIPKIN_JSON };
struct consume_conf {            /* section kafka */
    struct conf_list brokers;    /* empty: off */
    struct conf_list topics;     /* otlp_spans */
    struct str group;            /* meshglass */
    int encoding;                /* otlp_proto|otlp_json|jaeger_proto|zipkin_json */
    struct str dead_letter_topic, dead_letter_file;
    uint64_t in_flight_bytes;    /* 16MiB */
    struct conf_list properties; /* "key=value" of librdkafka, for TLS and SASL; what this module needs fixed is refused by name */
};
extern const struct conf_field consume_fields[];
extern const size_t consume_fields_n;

struct consume_options {
    const struct consume_conf *conf;
    struct metric_registry *metrics;
};
struct consume;
/* What consume_new refuses of the rows themselves: no file is looked at, and no broker. Any thread. */
enum mg_err consume_check(const struct consume_conf *conf, struct mg_why *why) MG_MUST_USE;
/* E_FORMAT names a row: kafka.properties 2: …. The group is not joined yet. Main thread, before
 * others run: it registers its metrics. */
enum mg_err consume_new(struct consume **out, const struct consume_options *options, struct mg_why *why) MG_MUST_USE;
void consume_start(struct consume *consume, struct ingest_loop *const *loops, size_t n); /* the array is copied */
/* Main thread, while the loops run: polls no more, waits for what is under way (at most timeout_ms), commits, leaves the group, joins. */
void consume_stop(struct consume *consume, uint64_t timeout_ms);
void consume_ask_stop(struct consume *consume, uint64_t timeout_ms); /* begins it; the time runs from here */
void consume_free(struct consume **consume);
