/* private.h - what the files of ingest share. */
#pragma once
#include "base/list.h"
#include "base/log.h"
#include "ingest/ingest.h"
#include "ingest/rows.h"

enum ingest_metric {
#define METRIC_ID(id) INGEST_##id
#define METRIC(...) METRIC_ENUM(__VA_ARGS__)
#include "ingest/metrics.def"
#undef METRIC
#undef METRIC_ID
    INGEST_METRICS
};
enum ingest_door { DOOR_OTLP_GRPC, DOOR_OTLP_HTTP };                       /* label values, in the order of metrics.def */
enum ingest_outcome { OUTCOME_ACCEPTED, OUTCOME_PARTIAL, OUTCOME_MALFORMED, OUTCOME_TOO_BIG, OUTCOME_MEDIA,
                      OUTCOME_ENCODING, OUTCOME_BUSY, OUTCOME_FAILED, OUTCOME_GONE };

struct ingest {
    struct ingest_options options;
    _Atomic(const struct ingest_conf *) conf; /* as of the last reload */
    struct metric_set *metrics;
    _Atomic uint64_t waiting;
};

struct ingest_loop {
    struct ingest *ingest;
    struct loop *loop;
    struct mailbox *acks;
    struct timer *timer;          /* polls waiters; also lets buffers go when idle */
    struct list waiting;          /* export.link, oldest first */
    struct rows_maker *maker;
    size_t in_log;                /* exports between submit and ack */
    uint64_t busy_at_ns;          /* last export */
    bool is_closing;
    void (*on_idle)(void *owner);
    void *idle_owner;
};

/* One export request from its head to its answer. */
struct export {
    struct message message;       /* to the loop, after the ack */
    struct live_batch batch;
    struct ingest_loop *loop;
    struct http_request *request;
    enum ingest_door door;
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    bool has_body;                /* else it waits at its head */
    bool waits;
    struct list link;             /* ingest_loop.waiting */
    uint64_t give_up_ns, begun_ns;
    size_t bound;                 /* of the inflated body; 0: not known yet */
    size_t reserved;
    struct buf body, head;
    size_t body_offset;
    struct refused refused;
};

/* otlp.c: what kind of body this is, from the head; fails with the answer's error. */
enum mg_err otlp_kind(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why);
void otlp_answer(struct export *export, uint32_t accepted);
/* admit.c */
void ingest_on_head(void *owner, struct http_request *request, enum ingest_door door);
void ingest_on_request(void *owner, struct http_request *request, enum ingest_door door);
