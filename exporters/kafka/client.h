/* client.h - what the producer here and the consumer (collector/consume) have in common: librdkafka's settings with the user's
 * rows on top of ours, its log, and an end that takes a bounded time. Any thread. */
#pragma once
#include "base/err.h"
#include "conf/conf.h"

struct rd_kafka_s;      /* rd_kafka_t */
struct rd_kafka_conf_s; /* rd_kafka_conf_t */

struct kafka_setting { const char *name, *value; };
struct kafka_settings {
    const char *section;                     /* "exporters.kafka": begins every error */
    const struct conf_list *brokers;         /* row `brokers`: "host:port" */
    const struct conf_list *properties;      /* row `properties`: "key=value"; may override `ours` */
    const struct kafka_setting *ours; size_t n_ours;
    const char *const *fixed; size_t n_fixed; /* names, aliases too, that no property may set */
};
/* E_FORMAT names the row ("exporters.kafka.properties 2: …"). Values may be secrets: no error shows one. *out is given away to
 * kafka_client_new, or freed by kafka_conf_free. */
enum mg_err kafka_conf_new(struct rd_kafka_conf_s **out, const struct kafka_settings *settings, struct mg_why *why) MG_MUST_USE;
void kafka_conf_free(struct rd_kafka_conf_s **conf);
/* Of a librdkafka error: the broker refuses the record itself, so that no other attempt will change it. Not of its size, nor of what an
 * operator can mend. */
bool kafka_error_is_final(int code);
bool kafka_error_is_size(int code); /* larger than the topic, or the producer, takes */
enum mg_err kafka_topic_check(const char *row, struct str topic, struct mg_why *why) MG_MUST_USE;

/* Takes *conf, also when it fails: E_FORMAT for settings that do not go together and for files that cannot be read. */
enum mg_err kafka_client_new(struct rd_kafka_s **out, bool is_producer, struct rd_kafka_conf_s **conf, const char *section,
                             struct mg_why *why) MG_MUST_USE;
/* Destroys it; what does not end in time (a name that is still being looked up) ends by itself later. Nothing that was made with it
 * may be left, and a consumer must have left its group: it does not here. */
void kafka_client_end(struct rd_kafka_s **client, unsigned timeout_ms);
