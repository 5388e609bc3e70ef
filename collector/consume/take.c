/* take.c - messages on their way: polled, given to a loop, finished.
 *
 * What is under way is counted with a fixed amount a message, so that many small ones are bounded too. A partition of which one
 * message hangs may not run ahead without an end either: group_pace pauses it. */
#include "consume/private.h"
#include "base/clock.h"

enum { MESSAGE_BYTES = 512, ROUND_MESSAGES = 256 };

uint64_t take_cost(const struct letter *letter)
{
    return letter->message->len + letter->message->key_len + MESSAGE_BYTES;
}

/* --- ends --- */

static void letter_free(struct letter *letter)
{
    struct consume *consume = letter->consume;

    list_remove(&letter->link);
    consume->in_flight -= take_cost(letter);
    dead_let(letter);
    letter->partition->under_way--;
    partition_release(letter->partition);
    rd_kafka_message_destroy(letter->message);
    mem_free(letter->error);
    mem_free(letter);
}

static void finish(struct consume *consume, struct partition *partition, int64_t offset)
{
    if (partition->is_lost)
        return;
    (void)tracker_finish(&partition->tracker, offset); /* it was given by take_polled */
    group_pace(consume, partition);
    consume->has_unstored = true;
}

void take_finish(struct letter *letter)
{
    finish(letter->consume, letter->partition, letter->message->offset);
    letter_free(letter);
}

void take_forget(struct letter *letter)
{
    letter_free(letter);
}

void take_forget_again(struct consume *consume, const struct partition *of)
{
    for (struct list *link = consume->again.next, *next; link != &consume->again; link = next) {
        struct letter *letter = MG_CONTAINER(link, struct letter, link);
        next = link->next;
        if (!of || letter->partition == of)
            take_forget(letter);
    }
}

/* --- ingest --- */

static void on_done(struct ingest_body *body, enum mg_err err, const struct mg_why *why) /* loop's thread */
{
    struct letter *letter = MG_CONTAINER(body, struct letter, body);
    struct consume *consume = letter->consume;

    letter->err = err;
    letter->error = err == MG_OK ? NULL : mem_text(why->text);
    (void)queue_push(consume->done, &letter->item); /* has no limit and is never closed */
    consume_wake(consume);
}

static void give(struct letter *letter)
{
    struct consume *consume = letter->consume;

    consume->given++;
    consume->turn = (consume->turn + 1) % consume->n_loops;
    ingest_take(consume->loops[consume->turn], &letter->body);
}

static enum ingest_protocol protocol_of(const struct consume *consume)
{
    static const enum ingest_protocol protocols[] = {
        [CONSUME_OTLP_PROTO] = INGEST_OTLP_PROTO, [CONSUME_OTLP_JSON] = INGEST_OTLP_JSON,
        [CONSUME_JAEGER_PROTO] = INGEST_JAEGER_SPAN, [CONSUME_ZIPKIN_JSON] = INGEST_ZIPKIN_JSON,
    };
    return protocols[consume->conf->encoding];
}

static void letter_begin(struct consume *consume, rd_kafka_message_t *message, struct partition *partition)
{
    struct letter *letter = MEM_NEW(struct letter);

    letter->body = (struct ingest_body){ .door = INGEST_DOOR_KAFKA, .protocol = protocol_of(consume), .encoding = ZIP_IDENTITY,
                                         .bytes = str_n(message->payload, message->len), .done = on_done };
    letter->consume = consume;
    letter->message = message;
    letter->partition = partition;
    partition->under_way++;
    consume->in_flight += take_cost(letter);
    give(letter);
}

static void busy(struct letter *letter)
{
    struct consume *consume = letter->consume;

    LOG_EVERY(60, WARN, "kafka messages wait: the collector cannot take them now", F_TEXT("error", letter->error));
    consume->is_refused = true;
    if (list_empty(&consume->again))
        consume->again_at_ns = consume_pause_ns(consume);
    list_add_last(&consume->again, &letter->link);
}

static void done(struct letter *letter)
{
    struct consume *consume = letter->consume;

    consume->given--;
    switch (letter->err) {
    case MG_OK:
        consume->is_refused = false;
        metric_add(consume->metrics, CONSUME_messages, MESSAGE_TAKEN, 0, 1);
        metric_add(consume->metrics, CONSUME_spans, 0, 0, letter->body.spans);
        take_finish(letter);
        break;
    case MG_E_FORMAT:
    case MG_E_TOO_BIG:
    case MG_E_ENCODING:
        if (letter->partition->is_lost) { /* its next owner will judge it too: one dead letter is enough */
            take_forget(letter);
            break;
        }
        metric_add(consume->metrics, CONSUME_messages, MESSAGE_POISON, 0, 1);
        dead_take(letter);
        break;
    default:
        if (letter->partition->is_lost || atomic_load(&consume->is_stopping))
            take_forget(letter); /* it comes again, to whoever has the partition then */
        else
            busy(letter);
    }
}

void take_done(struct consume *consume)
{
    struct queue_item *item = queue_take(consume->done, 0, NULL);

    while (item) {
        struct letter *letter = MG_CONTAINER(item, struct letter, item);
        item = item->next;
        done(letter);
    }
}

void take_again(struct consume *consume)
{
    if (list_empty(&consume->again) || clock_mono_ns() < consume->again_at_ns)
        return;
    while (!list_empty(&consume->again)) {
        struct letter *letter = LIST_FIRST(&consume->again, struct letter, link);
        list_remove(&letter->link);
        mem_free(letter->error);
        letter->error = NULL;
        metric_add(consume->metrics, CONSUME_retries, 0, 0, 1);
        give(letter);
    }
}

/* --- polling --- */

static void unreadable(struct consume *consume, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return;
    if (message->err == RD_KAFKA_RESP_ERR__BAD_MSG || message->err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION)
        metric_add(consume->metrics, CONSUME_messages, MESSAGE_UNREADABLE, 0, 1);
    LOG_EVERY(30, WARN, "kafka partition cannot be read", F_TEXT("topic", message->rkt ? rd_kafka_topic_name(message->rkt) : ""),
              F_I64("partition", message->partition), F_I64("offset", message->offset), F_TEXT("error", rd_kafka_message_errstr(message)));
}

static struct partition *partition_of(struct consume *consume, const rd_kafka_message_t *message)
{
    struct partition *partition = group_find(consume, rd_kafka_topic_name(message->rkt), message->partition);

    if (!partition)
        return NULL;
    if (!tracker_give(&partition->tracker, message->offset)) {
        partition = group_renew(consume, partition);
        (void)tracker_give(&partition->tracker, message->offset); /* the first */
    }
    if (partition->begin < 0)
        partition->begin = message->offset;
    group_pace(consume, partition);
    return partition;
}

void take_polled(struct consume *consume, rd_kafka_message_t *message)
{
    struct partition *partition;

    if (message->err) {
        unreadable(consume, message);
        rd_kafka_message_destroy(message);
        return;
    }
    partition = partition_of(consume, message);
    if (!partition) { /* no longer ours */
        rd_kafka_message_destroy(message);
        return;
    }
    metric_add(consume->metrics, CONSUME_bytes, 0, 0, message->len + message->key_len);
    if (message->len > 0) {
        letter_begin(consume, message, partition);
        return;
    }
    metric_add(consume->metrics, CONSUME_messages, MESSAGE_EMPTY, 0, 1); /* a tombstone: of no meaning here */
    finish(consume, partition, message->offset);
    rd_kafka_message_destroy(message);
}

/* What is stopped holds up no other partition, as long as it is no more than all others may be. */
static bool has_bytes(const struct consume *consume)
{
    uint64_t most = consume->conf->in_flight_bytes;

    return consume->in_flight - MG_MIN(consume->dead.stopped_bytes, most) < most;
}

static bool has_room(const struct consume *consume)
{
    bool is_retrying = consume->given > 0 || !list_empty(&consume->again);

    return !(consume->is_refused && is_retrying) && has_bytes(consume);
}

bool take_some(struct consume *consume)
{
    if (!has_room(consume))
        return false;
    for (unsigned i = 0; i < ROUND_MESSAGES && has_bytes(consume); i++) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(consume->messages, 0);
        if (!message)
            return false;
        take_polled(consume, message);
    }
    return true;
}
