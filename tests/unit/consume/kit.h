/* kit.h - a consumer between a broker in this process and the whole way in of tests/unit/ingest, whose loop is the test's thread. */
#pragma once
#include "unit/ingest/rig.h"
#include "unit/ingest/bodies.h"
#include "unit/kafka/mock.h"
#include "consume/private.h"

#define TOPIC "otlp_spans"
struct kit {
    struct rig rig;
    struct mock mock;
    struct consume_conf conf;
    struct str topics[1], properties[6];     /* the first two properties are the kit's: quick rebalances */
    struct metric_registry *registry; /* the consumer's, one a run */
    struct consume *consume;
    size_t n;                     /* traces that kit_put made */
};
void kit_open(struct kit *kit, int partitions);
enum mg_err kit_try(struct kit *kit, struct mg_why *why);  /* consume_new */
void kit_start(struct kit *kit);                           /* kit_try and kit_go */
void kit_go(struct kit *kit);
void kit_stop(struct kit *kit);  /* stops and frees the consumer */
void kit_property(struct kit *kit, const char *row);
void kit_close(struct kit *kit);
/* Puts an OTLP message of so many spans, a trace of its own (from 1 on), and gives the trace's first byte. */
uint8_t kit_put(struct kit *kit, int32_t partition, unsigned spans);
void kit_put_text(struct kit *kit, int32_t partition, struct str value);
uint64_t kit_gauge(struct kit *kit, const char *name); /* without labels */
void kit_until_gauge(struct kit *kit, const char *name, uint64_t value);
uint64_t kit_metric(struct kit *kit, enum consume_metric row, unsigned i);
void kit_until(struct kit *kit, enum consume_metric row, unsigned i, uint64_t value); /* runs the loop until it is reached */
void kit_until_committed(struct kit *kit, int32_t partition, int64_t offset);
void kit_until_waiting(struct kit *kit, size_t n); /* for credit */
