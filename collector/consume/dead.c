/* dead.c - what can never be taken: to the dead-letter topic, to the dead-letter file, or nowhere.
 *
 * A letter is finished when it is where it belongs: acknowledged by all replicas, or on disk. Until then it waits here, and is
 * tried again every few seconds: as long as that place is closed its partition commits no offset beyond it. */
#include "consume/private.h"
#include "base/clock.h"
#include "kafka/client.h"

enum { END_MS = 300, LINES_BYTES = 8 << 20 };

void dead_init(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    list_init(&dead->waiting);
    dead->place = consume->conf->dead_letter_topic.len ? DEAD_TOPIC : consume->conf->dead_letter_file.len ? DEAD_FILE : DEAD_NOWHERE;
    if (dead->place == DEAD_FILE)
        dead->file = dead_file_new(consume->conf->dead_letter_file);
}

static void buried(struct letter *letter)
{
    struct consume *consume = letter->consume;

    metric_add(consume->metrics, CONSUME_dead_letters, consume->dead.place, 0, 1);
    take_finish(letter);
}

void dead_take(struct letter *letter)
{
    static const char *const places[] = { "dead-letter topic", "dead-letter file", "nowhere: skipped" };
    struct dead *dead = &letter->consume->dead;

    LOG_EVERY(10, WARN, "kafka message cannot be taken", F_TEXT("to", places[dead->place]), F_TEXT("topic", letter->partition->topic),
              F_I64("partition", letter->message->partition), F_I64("offset", letter->message->offset), F_TEXT("error", letter->error));
    if (dead->place == DEAD_NOWHERE) {
        buried(letter);
        return;
    }
    if (list_empty(&dead->waiting))
        dead->at_ns = 0;
    list_add_last(&dead->waiting, &letter->link);
}

static void try_later(struct consume *consume, const char *reason)
{
    LOG_EVERY(60, ERROR, "kafka dead letters cannot be kept: they are tried again", F_TEXT("error", reason));
    consume->dead.at_ns = consume_pause_ns(consume);
}

/* --- the file --- */

static void put_line(struct buf *out, const struct letter *letter)
{
    const rd_kafka_message_t *message = letter->message;
    rd_kafka_timestamp_type_t type;

    dead_letter_line(out, &(struct dead_letter){
        .topic = str_of(letter->partition->topic), .partition = message->partition, .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type), .has_key = message->key != NULL,
        .key = str_n(message->key, message->key_len), .value = str_n(message->payload, message->len), .error = str_of(letter->error) });
}

/* Many at a time: one wait for the disk. */
static void write_some(struct consume *consume)
{
    struct dead *dead = &consume->dead;
    struct mg_why why = { "" };
    struct buf lines;
    size_t n = 0;

    buf_init(&lines, SIZE_MAX / 2); /* messages that are in memory, bounded by in_flight_bytes */
    LIST_EACH(&dead->waiting, link) {
        put_line(&lines, MG_CONTAINER(link, struct letter, link));
        n++;
        if (lines.len >= LINES_BYTES)
            break;
    }
    if (dead_file_write(dead->file, buf_str(&lines), &why) != MG_OK) {
        try_later(consume, why.text);
        n = 0;
    }
    for (; n > 0; n--)
        buried(LIST_FIRST(&dead->waiting, struct letter, link));
    buf_fini(&lines);
}

/* --- the topic --- */

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *report, void *owner)
{
    struct consume *consume = owner;
    struct letter *letter = report->_private;

    (void)producer;
    consume->dead.at_broker--;
    if (report->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        buried(letter);
        return;
    }
    list_add_last(&consume->dead.waiting, &letter->link);
    try_later(consume, rd_kafka_err2str(report->err));
}

static enum mg_err make_producer(struct consume *consume, struct mg_why *why)
{
    struct dead *dead = &consume->dead;
    char *topic;
    rd_kafka_conf_t *conf;

    MG_TRY(consume_client_conf(consume->conf, true, &conf, why));
    rd_kafka_conf_set_opaque(conf, consume);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    MG_TRY(kafka_client_new(&dead->producer, true, &conf, "kafka", why));
    topic = str_text(consume->conf->dead_letter_topic);
    dead->topic = rd_kafka_topic_new(dead->producer, topic, NULL);
    mem_free(topic);
    dead->events = rd_kafka_queue_get_main(dead->producer);
    rd_kafka_queue_io_event_enable(dead->events, consume->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    return MG_OK;
}

static void put_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
    (void)rd_kafka_header_add(headers, name, -1, value, -1); /* fails for no reason that can occur */
}

static void put_number(rd_kafka_headers_t *headers, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    put_header(headers, name, text);
}

static rd_kafka_headers_t *headers_of(const struct letter *letter)
{
    const rd_kafka_message_t *message = letter->message;
    rd_kafka_headers_t *received, *headers;
    rd_kafka_timestamp_type_t type;

    if (rd_kafka_message_headers(message, &received) == RD_KAFKA_RESP_ERR_NO_ERROR)
        headers = rd_kafka_headers_copy(received);
    else
        headers = rd_kafka_headers_new(5);
    put_header(headers, "meshglass.topic", letter->partition->topic);
    put_number(headers, "meshglass.partition", message->partition);
    put_number(headers, "meshglass.offset", message->offset);
    put_number(headers, "meshglass.timestamp", rd_kafka_message_timestamp(message, &type));
    put_header(headers, "meshglass.error", letter->error);
    return headers;
}

static rd_kafka_resp_err_t produce(struct dead *dead, struct letter *letter)
{
    const rd_kafka_message_t *message = letter->message;
    rd_kafka_headers_t *headers = headers_of(letter);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        dead->producer, RD_KAFKA_V_RKT(dead->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(message->key, message->key_len),
        RD_KAFKA_V_VALUE(message->payload, message->len), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(letter), RD_KAFKA_V_END);

    if (err)
        rd_kafka_headers_destroy(headers); /* else the producer's */
    return err;
}

static void produce_some(struct consume *consume)
{
    struct dead *dead = &consume->dead;
    struct mg_why why = { "" };

    if (!dead->producer && make_producer(consume, &why) != MG_OK) {
        try_later(consume, why.text);
        return;
    }
    while (!list_empty(&dead->waiting)) {
        struct letter *letter = LIST_FIRST(&dead->waiting, struct letter, link);
        rd_kafka_resp_err_t err = produce(dead, letter);
        if (err) {
            try_later(consume, rd_kafka_err2str(err));
            return;
        }
        list_remove(&letter->link);
        dead->at_broker++;
    }
}

/* --- all --- */

void dead_serve(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    if (dead->producer)
        (void)rd_kafka_poll(dead->producer, 0);
    if (list_empty(&dead->waiting) || clock_mono_ns() < dead->at_ns)
        return;
    if (dead->place == DEAD_FILE)
        write_some(consume);
    else
        produce_some(consume);
}

bool dead_is_idle(const struct consume *consume)
{
    return list_empty(&consume->dead.waiting) && consume->dead.at_broker == 0;
}

uint64_t dead_wait_ns(const struct consume *consume, uint64_t now_ns)
{
    if (list_empty(&consume->dead.waiting))
        return UINT64_MAX;
    return consume->dead.at_ns > now_ns ? consume->dead.at_ns - now_ns : 0;
}

/* Letters that have no report are let go by the purge's. */
void dead_fini(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    if (dead->producer) {
        (void)rd_kafka_purge(dead->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
        (void)rd_kafka_flush(dead->producer, END_MS);
        rd_kafka_queue_io_event_enable(dead->events, -1, NULL, 0);
        rd_kafka_queue_destroy(dead->events);
        rd_kafka_topic_destroy(dead->topic);
        kafka_client_end(&dead->producer, END_MS);
    }
    while (!list_empty(&dead->waiting))
        take_forget(LIST_FIRST(&dead->waiting, struct letter, link));
    dead_file_free(&dead->file);
}
