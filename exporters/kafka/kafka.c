/* kafka.c - the wire of kafka.h.
 *
 * Two threads. send's loop cuts a batch into messages and hands them to librdkafka, which copies them and never blocks. A thread of
 * ours polls librdkafka, counts the reports of each batch and, with the last one, posts the batch (`flight`) back to the loop.
 *
 * A producer can come to its end: an idempotent one that has lost its place in a partition is of no use any more (a fatal error),
 * and what a topic takes may be less than the messages that were made; and it reads its certificates once. Then the polling thread
 * makes a new one, which for certificates must succeed before the old one ends. Whatever has no
 * report by then is answered RETRY: the `gone` message follows all reports of the old producer through the mailbox.
 *
 * The last report of a flight may come while the loop still hands over its messages; `left` therefore counts the hand-over too. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "kafka/kafka.h"
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/by_trace.h"
#include "kafka/client.h"
#include "kafka/files.h"

enum {
    POLL_MS = 1000,           /* it is woken when there is something to do */
    PURGE_MS = 300, END_MS = 200,
    DRAIN_STEP_MS = 100,
    DRAIN_MS = 3000,          /* for the acknowledgements of a producer that is well and is exchanged */
    AGAIN_MS = 1000,          /* between attempts to make a producer, and the hint meanwhile */
    LIMIT_LEAST = 16 << 10,   /* bytes; messages are not made smaller than this */
    RECORD_BYTES = 512        /* of a message's limit, for the key and what Kafka puts around */
};

#define COMPRESSIONS "none|gzip|snappy|lz4|zstd"
static const char *const compressions[] = { "none", "gzip", "snappy", "lz4", "zstd" };

const struct conf_field kafka_export_fields[] = {
    CONF_ROW(struct kafka_export_conf, CONF_LIST, "brokers", brokers, NULL, NULL, NULL,
             "Kafka brokers to begin with, as host:port; none: no export to Kafka.", CONF_NEEDS_RESTART),
    CONF_ROW(struct kafka_export_conf, CONF_STR, "topic", topic, "otlp_spans", NULL, NULL,
             "Topic that gets one OTLP protobuf message per trace of a batch, keyed by the trace id in hex.", CONF_NEEDS_RESTART),
    CONF_ROW_CHOICE(struct kafka_export_conf, "compression", compression, "lz4", COMPRESSIONS, "How message batches are compressed.",
                    CONF_NEEDS_RESTART),
    CONF_ROW_SECRET(struct kafka_export_conf, CONF_LIST, "properties", properties,
                    "Further settings of librdkafka as \"name=value\", for TLS, SASL and limits.", CONF_NEEDS_RESTART),
    SEND_ROWS(struct kafka_export_conf, send)
};
const size_t kafka_export_fields_n = MG_COUNT(kafka_export_fields);

struct outcome { bool must_retry; uint32_t refused; char reason[200]; };

struct mail { struct message message; bool is_gone; }; /* to the loop: in a flight, with its last report, or in a gone */

struct flight {
    struct mail mail;
    struct list link;         /* export.flights */
    struct send_batch *batch;
    unsigned generation;      /* of the producer that has it */
    size_t limit;             /* message.max.bytes of that producer */
    struct arena letters;     /* struct letter, one a message */
    _Atomic uint32_t left;    /* messages without a report, and 1 while they are handed over */
    struct outcome local, told; /* of the hand-over; of the reports (polling thread until left is 0) */
};
struct letter { struct flight *flight; uint32_t spans; };

struct gone { struct mail mail; unsigned generation; bool is_last; };

struct kafka_export {
    const struct kafka_export_conf *conf;
    char *topic;
    struct {                  /* send's loop */
        struct loop *loop;
        struct mailbox *mailbox;
        struct by_trace *by;
        struct list flights;
        bool is_closing;
        struct loop_task closed;
        void (*on_closed)(void *owner);
        void *closed_owner;
    } own;
    struct {                  /* polling thread */
        bool is_fatal, must_shrink;
        struct kafka_files *files;
        char last_error[200]; /* of connections, for the reason when nothing is answered */
    } poll;
    struct {                  /* under the lock */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        rd_kafka_t *producer; /* NULL: a new one is being made; only the polling thread changes it */
        rd_kafka_topic_t *topic;
        rd_kafka_queue_t *events;
        size_t limit;         /* message.max.bytes */
        unsigned generation;
        bool is_stopping;
    } shared;
    pthread_t thread;
};

/* --- verdicts --- */

static void note(struct outcome *outcome, const char *reason)
{
    snprintf(outcome->reason, sizeof outcome->reason, "%.*s", (int)sizeof outcome->reason - 1, reason); /* the rest can be done without */
}

static void must_retry(struct outcome *outcome, const char *reason)
{
    outcome->must_retry = true;
    note(outcome, reason);
}

static void is_refused(struct outcome *outcome, uint32_t spans, const char *reason)
{
    outcome->refused += spans;
    if (!outcome->must_retry)
        note(outcome, reason);
}

/* Everything but a final error is tried again, also what an operator has to mend (a topic that is not there, a right that is missing):
 * it would be lost otherwise. */
static void judge(struct kafka_export *export, struct letter *letter, rd_kafka_resp_err_t err)
{
    struct flight *flight = letter->flight;
    char reason[300];

    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (err == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT)
        snprintf(reason, sizeof reason, "no acknowledgement in time%s%s", export->poll.last_error[0] ? ": " : "", export->poll.last_error);
    else
        snprintf(reason, sizeof reason, "topic %s: %s", export->topic, rd_kafka_err2str(err));
    if (kafka_error_is_final(err) || (kafka_error_is_size(err) && flight->limit <= LIMIT_LEAST)) {
        is_refused(&flight->told, letter->spans, reason);
        return;
    }
    must_retry(&flight->told, reason);
    if (kafka_error_is_size(err) && flight->generation == export->shared.generation) /* only this thread changes it */
        export->poll.must_shrink = true;
}

/* --- answers: the loop --- */

static void flight_free(struct flight *flight)
{
    list_remove(&flight->link);
    arena_fini(&flight->letters);
    mem_free(flight);
}

static const struct outcome *worse_of(const struct flight *flight)
{
    if (flight->told.must_retry || (flight->told.refused > 0 && !flight->local.must_retry))
        return &flight->told;
    return &flight->local;
}

static void answer(struct flight *flight)
{
    const struct outcome *outcome = worse_of(flight);
    uint32_t refused = flight->local.refused + flight->told.refused;
    struct send_result result = { .verdict = SEND_TAKEN, .refused_spans = refused, .reason = outcome->reason };

    if (outcome->must_retry)
        result = (struct send_result){ .verdict = SEND_RETRY, .reason = outcome->reason };
    else if (refused > 0 && refused >= flight->batch->spans)
        result = (struct send_result){ .verdict = SEND_REFUSED, .reason = outcome->reason };
    send_done(flight->batch, &result);
    flight_free(flight);
}

static void answer_gone(struct kafka_export *export, const struct gone *gone)
{
    for (struct list *link = export->own.flights.next, *next; link != &export->own.flights; link = next) {
        struct flight *flight = MG_CONTAINER(link, struct flight, link);
        next = link->next;
        if (flight->generation > gone->generation)
            continue;
        must_retry(&flight->told, "the producer was closed before an acknowledgement");
        answer(flight);
    }
}

static void finish_closing(void *owner)
{
    struct kafka_export *export = owner;

    pthread_join(export->thread, NULL); /* its last message is here: it ends at once */
    by_trace_free(&export->own.by);
    mailbox_free(&export->own.mailbox);
    export->own.on_closed(export->own.closed_owner);
}

static void on_mail(void *owner, struct message *message)
{
    struct kafka_export *export = owner;
    struct mail *mail = MG_CONTAINER(message, struct mail, message);

    if (!mail->is_gone) {
        answer(MG_CONTAINER(mail, struct flight, mail));
        return;
    }
    struct gone *gone = MG_CONTAINER(mail, struct gone, mail);
    answer_gone(export, gone);
    if (gone->is_last)
        loop_defer(export->own.loop, &export->own.closed); /* not from inside the mailbox that it frees */
    mem_free(gone);
}

/* --- producer: main thread until the wire is open, then the polling thread --- */

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *report, void *owner)
{
    struct kafka_export *export = owner;
    struct letter *letter = report->_private;
    struct flight *flight = letter->flight;

    (void)producer;
    judge(export, letter, report->err);
    if (atomic_fetch_sub(&flight->left, 1) == 1)
        mailbox_post(export->own.mailbox, &flight->mail.message);
}

static void on_error(rd_kafka_t *producer, int err, const char *reason, void *owner)
{
    struct kafka_export *export = owner;

    (void)producer;
    snprintf(export->poll.last_error, sizeof export->poll.last_error, "%s", reason);
    if (err == RD_KAFKA_RESP_ERR__FATAL)
        export->poll.is_fatal = true;
}

static enum mg_err make_conf(const struct kafka_export_conf *conf, size_t limit, rd_kafka_conf_t **out, struct mg_why *why)
{
    static const char *const fixed[] = {
        "bootstrap.servers", "metadata.broker.list", "enable.idempotence", "acks", "request.required.acks", "partitioner",
        "compression.type", "compression.codec", "message.timeout.ms", "delivery.timeout.ms", "transactional.id",
        "delivery.report.only.error", "log.queue"
    };
    char timeout[24], bytes[24];
    const struct kafka_setting ours[] = {
        { "client.id", "meshglass" }, { "enable.idempotence", "true" }, { "acks", "all" }, { "partitioner", "murmur2_random" },
        { "compression.type", compressions[conf->compression] }, { "message.timeout.ms", timeout },
        { "queue.buffering.max.messages", "10000000" },        /* bounded by the batches at the wire */
        { "topic.metadata.propagation.max.ms", "5000" },       /* so that a topic that is not there is said before the timeout */
        { "log.connection.close", "false" }
    };

    snprintf(timeout, sizeof timeout, "%llu", (unsigned long long)(conf->send.timeout_ns / 1000000));
    MG_TRY(kafka_conf_new(out, &(struct kafka_settings){ .section = "exporters.kafka", .brokers = &conf->brokers,
                                                         .properties = &conf->properties, .ours = ours, .n_ours = MG_COUNT(ours),
                                                         .fixed = fixed, .n_fixed = MG_COUNT(fixed) }, why));
    snprintf(bytes, sizeof bytes, "%zu", limit);
    if (limit && rd_kafka_conf_set(*out, "message.max.bytes", bytes, NULL, 0) != RD_KAFKA_CONF_OK) {
        kafka_conf_free(out);
        return mg_fail(why, MG_E_FORMAT, "exporters.kafka.properties: message.max.bytes cannot be %s", bytes);
    }
    return MG_OK;
}

enum mg_err kafka_export_check(const struct kafka_export_conf *conf, struct mg_why *why)
{
    MG_AUTO(kafka_conf_free) rd_kafka_conf_t *client = NULL;

    MG_TRY(kafka_topic_check("exporters.kafka.topic", conf->topic, why));
    return make_conf(conf, 0, &client, why);
}

struct made { rd_kafka_t *producer; size_t limit; };

/* limit 0: as configured. */
static enum mg_err make_only(struct kafka_export *export, size_t limit, struct made *made, struct mg_why *why)
{
    rd_kafka_conf_t *conf;
    char bytes[24];
    size_t bytes_n = sizeof bytes;
    uint64_t made_limit;

    MG_TRY(make_conf(export->conf, limit, &conf, why));
    rd_kafka_conf_set_opaque(conf, export);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (rd_kafka_conf_get(conf, "message.max.bytes", bytes, &bytes_n) != RD_KAFKA_CONF_OK || str_u64(str_of(bytes), &made_limit) != MG_OK)
        made_limit = 1000000; /* its default; it always says a number */
    MG_TRY(kafka_client_new(&made->producer, true, &conf, "exporters.kafka", why));
    made->limit = (size_t)made_limit;
    return MG_OK;
}

static void install(struct kafka_export *export, const struct made *made)
{
    export->poll.is_fatal = export->poll.must_shrink = false;
    pthread_mutex_lock(&export->shared.lock);
    export->shared.producer = made->producer;
    export->shared.topic = rd_kafka_topic_new(made->producer, export->topic, NULL);
    export->shared.events = rd_kafka_queue_get_main(made->producer);
    export->shared.limit = made->limit;
    export->shared.generation++;
    pthread_mutex_unlock(&export->shared.lock);
}

static enum mg_err make_producer(struct kafka_export *export, size_t limit, struct mg_why *why)
{
    struct made made;

    MG_TRY(make_only(export, limit, &made, why));
    install(export, &made);
    return MG_OK;
}

static bool is_stopping(struct kafka_export *export)
{
    pthread_mutex_lock(&export->shared.lock);
    bool stops = export->shared.is_stopping;
    pthread_mutex_unlock(&export->shared.lock);
    return stops;
}

/* Nothing is handed to it from here on. What it has may take drain_ms; then the reports of the rest are fetched for a short time. */
static void end_producer(struct kafka_export *export, unsigned drain_ms)
{
    pthread_mutex_lock(&export->shared.lock);
    rd_kafka_t *producer = MG_STEAL(export->shared.producer);
    rd_kafka_topic_t *topic = MG_STEAL(export->shared.topic);
    rd_kafka_queue_t *events = MG_STEAL(export->shared.events);
    pthread_mutex_unlock(&export->shared.lock);

    if (!producer)
        return;
    for (unsigned ms = 0; ms < drain_ms && rd_kafka_outq_len(producer) > 0 && !is_stopping(export); ms += DRAIN_STEP_MS)
        (void)rd_kafka_flush(producer, DRAIN_STEP_MS);
    (void)rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    (void)rd_kafka_flush(producer, PURGE_MS); /* serves the reports meanwhile */
    rd_kafka_queue_destroy(events);
    rd_kafka_topic_destroy(topic);
    kafka_client_end(&producer, END_MS);
}

static void post_gone(struct kafka_export *export, bool is_last)
{
    struct gone *gone = MEM_NEW(struct gone);

    gone->generation = export->shared.generation;
    gone->mail.is_gone = true;
    gone->is_last = is_last;
    mailbox_post(export->own.mailbox, &gone->mail.message);
}

/* --- the polling thread --- */

/* True: it is time to stop. */
static bool pause_for(struct kafka_export *export, unsigned ms)
{
    uint64_t until_ns = clock_mono_ns() + (uint64_t)ms * 1000000;

    pthread_mutex_lock(&export->shared.lock);
    while (!export->shared.is_stopping && clock_cond_wait_until(&export->shared.changed, &export->shared.lock, until_ns))
        ;
    bool is_stopping = export->shared.is_stopping;
    pthread_mutex_unlock(&export->shared.lock);
    return is_stopping;
}

static void renew(struct kafka_export *export)
{
    size_t limit = export->shared.limit;
    struct mg_why why = { "" };

    if (export->poll.is_fatal) {
        LOG_EVERY(10, WARN, "kafka producer failed: a new one is made", F_TEXT("error", export->poll.last_error));
    } else {
        limit = MG_MAX(limit / 2, (size_t)LIMIT_LEAST);
        LOG(WARN, "kafka topic does not take messages of this size: smaller ones are made from now on; set message.max.bytes",
            F_TEXT("topic", export->topic), F_U64("bytes", limit));
    }
    end_producer(export, 0);
    post_gone(export, false);
    while (make_producer(export, limit, &why) != MG_OK) {
        LOG_EVERY(60, ERROR, "kafka producer cannot be made", F_WHY(&why));
        if (pause_for(export, AGAIN_MS))
            return;
    }
}

/* Files that cannot be used leave the old producer, and its connections, as they are. */
static void take_files(struct kafka_export *export)
{
    struct made made;
    struct mg_why why = { "" };

    if (make_only(export, export->shared.limit, &made, &why) != MG_OK) {
        kafka_files_refused(export->poll.files, &why);
        return;
    }
    kafka_files_taken(export->poll.files);
    end_producer(export, DRAIN_MS);
    post_gone(export, false);
    install(export, &made);
    LOG(INFO, "kafka files taken: a new producer is made", F_TEXT("topic", export->topic));
}

static void *poll_run(void *owner)
{
    struct kafka_export *export = owner;

    while (!is_stopping(export)) {
        (void)rd_kafka_poll(export->shared.producer, POLL_MS); /* only this thread changes it */
        if ((export->poll.is_fatal || export->poll.must_shrink) && !is_stopping(export))
            renew(export);
        else if (kafka_files_changed(export->poll.files, clock_mono_ns()) && !is_stopping(export))
            take_files(export);
    }
    end_producer(export, 0);
    post_gone(export, true);
    return NULL;
}

/* --- the wire: the loop --- */

static enum mg_err on_open(void *wire, struct loop *loop, struct mg_why *why)
{
    struct kafka_export *export = wire;
    int code;

    export->own.loop = loop;
    export->own.closed = (struct loop_task){ .run = finish_closing, .owner = export };
    export->own.mailbox = mailbox_new(loop, on_mail, export);
    export->own.by = by_trace_new();
    code = pthread_create(&export->thread, NULL, poll_run, export);
    if (code) {
        by_trace_free(&export->own.by);
        mailbox_free(&export->own.mailbox);
        return mg_fail_os(why, code, "cannot start the thread of the kafka producer");
    }
    pthread_setname_np(export->thread, "kafka-out");
    return MG_OK;
}

/* False: the producer takes no more at the moment. */
static bool hand_over(struct kafka_export *export, struct flight *flight, const struct by_trace_message *message)
{
    struct letter *letter = ARENA_NEW(&flight->letters, struct letter);
    char reason[200];
    rd_kafka_resp_err_t err;

    *letter = (struct letter){ flight, message->spans };
    atomic_fetch_add(&flight->left, 1);
    if (rd_kafka_produce(export->shared.topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)message->value.ptr,
                         message->value.len, message->key, BY_TRACE_KEY_BYTES, letter) == 0)
        return true;
    err = rd_kafka_last_error();
    atomic_fetch_sub(&flight->left, 1);
    if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        snprintf(reason, sizeof reason, "a span of %zu bytes is larger than message.max.bytes (%zu)", message->value.len, flight->limit);
        is_refused(&flight->local, message->spans, reason);
        return true;
    }
    snprintf(reason, sizeof reason, "topic %s: %s", export->topic, rd_kafka_err2str(err));
    must_retry(&flight->local, reason);
    return false;
}

static void send_messages(struct kafka_export *export, struct flight *flight)
{
    struct by_trace_message message;
    size_t limit;

    pthread_mutex_lock(&export->shared.lock);
    flight->generation = export->shared.generation;
    flight->limit = limit = export->shared.limit;
    limit = limit > 2 * RECORD_BYTES ? limit - RECORD_BYTES : limit / 2;
    if (!export->shared.producer)
        must_retry(&flight->local, "the producer is being made anew");
    else
        while (by_trace_next(export->own.by, limit, &message) && hand_over(export, flight, &message))
            ;
    pthread_mutex_unlock(&export->shared.lock);
}

static void refuse(struct send_batch *batch, const char *reason)
{
    send_done(batch, &(struct send_result){ .verdict = SEND_REFUSED, .reason = reason });
}

static void on_send(void *wire, struct send_batch *batch)
{
    struct kafka_export *export = wire;
    struct mg_why why = { "" };

    if (export->own.is_closing) {
        send_done(batch, &(struct send_result){ .verdict = SEND_RETRY, .reason = "closing" });
        return;
    }
    if (by_trace_read(export->own.by, batch->body, &why) != MG_OK) {
        refuse(batch, why.text);
        return;
    }
    struct flight *flight = MEM_NEW(struct flight);
    flight->batch = batch;
    atomic_store(&flight->left, 1);
    list_add_last(&export->own.flights, &flight->link);
    send_messages(export, flight);
    if (atomic_fetch_sub(&flight->left, 1) == 1)
        answer(flight);
}

static void on_close(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct kafka_export *export = wire;

    export->own.is_closing = true;
    export->own.on_closed = on_closed;
    export->own.closed_owner = owner;
    pthread_mutex_lock(&export->shared.lock);
    export->shared.is_stopping = true;
    pthread_cond_signal(&export->shared.changed);
    if (export->shared.events)
        rd_kafka_queue_yield(export->shared.events);
    pthread_mutex_unlock(&export->shared.lock);
}

/* --- life --- */

enum mg_err kafka_export_new(struct kafka_export **out, const struct kafka_export_conf *conf, struct mg_why *why)
{
    MG_AUTO(kafka_export_free) struct kafka_export *export = MEM_NEW(struct kafka_export);

    export->conf = conf;
    list_init(&export->own.flights);
    pthread_mutex_init(&export->shared.lock, NULL);
    clock_cond_init(&export->shared.changed);
    export->poll.files = kafka_files_new(&conf->properties);
    MG_TRY(kafka_export_check(conf, why));
    export->topic = str_text(conf->topic);
    MG_TRY(make_producer(export, 0, why));
    *out = MG_STEAL(export);
    return MG_OK;
}

void kafka_export_wire(struct kafka_export *export, struct send_wire *out)
{
    *out = (struct send_wire){ .name = "kafka", .open = on_open, .send = on_send, .close = on_close, .wire = export };
}

void kafka_export_free(struct kafka_export **pointer)
{
    struct kafka_export *export = MG_STEAL(*pointer);

    if (!export)
        return;
    end_producer(export, 0); /* when the wire was never opened */
    kafka_files_free(&export->poll.files);
    pthread_cond_destroy(&export->shared.changed);
    pthread_mutex_destroy(&export->shared.lock);
    mem_free(export->topic);
    mem_free(export);
}
