/* dead.c - what can never be taken: to the dead-letter topic, to the dead-letter file, or nowhere.
 *
 * A letter is finished when it is where it belongs: acknowledged by all replicas, or on disk. Until then it waits here, and is
 * tried again every few seconds: as long as that place is closed its partition commits no offset beyond it.
 *
 *     waiting ──▶ topic ──▶ acknowledged
 *        ▲          │ refused for good, or too often
 *        │          ├──▶ for_file ──▶ on disk         when there is a file
 *        └─ stopped ◀┘                                when there is none; its partition is paused
 *         once a minute */
#include "consume/private.h"
#include "base/clock.h"
#include "kafka/client.h"

enum { END_MS = 300, LINES_BYTES = 8 << 20, ATTEMPTS = 10, STOPPED_MS = 60000 };

void dead_init(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    list_init(&dead->waiting);
    list_init(&dead->for_file);
    list_init(&dead->stopped);
    dead->stopped_ns = STOPPED_MS * MS;
    dead->attempts_most = ATTEMPTS;
    dead->place = consume->conf->dead_letter_topic.len ? DEAD_TOPIC : consume->conf->dead_letter_file.len ? DEAD_FILE : DEAD_NOWHERE;
    if (consume->conf->dead_letter_file.len)
        dead->file = dead_file_new(consume->conf->dead_letter_file);
}

static void buried(struct letter *letter, enum dead_place place)
{
    const struct partition *partition = letter->partition;

    metric_add(letter->consume->metrics, CONSUME_dead_letters, place, 0, 1);
    if (letter->is_stopped && partition->stopped == 1)
        LOG(INFO, "kafka partition is no longer stopped", F_TEXT("topic", partition->topic), F_I64("partition", partition->number));
    take_finish(letter);
}

static void put_for_file(struct dead *dead, struct letter *letter)
{
    if (list_empty(&dead->for_file))
        dead->file_at_ns = 0;
    list_add_last(&dead->for_file, &letter->link);
}

static void put_for_topic(struct dead *dead, struct letter *letter)
{
    if (list_empty(&dead->waiting))
        dead->at_ns = 0;
    list_add_last(&dead->waiting, &letter->link);
}

void dead_take(struct letter *letter)
{
    static const char *const places[] = { "dead-letter topic", "dead-letter file", "nowhere: skipped" };
    struct dead *dead = &letter->consume->dead;

    LOG_EVERY(10, WARN, "kafka message cannot be taken", F_TEXT("to", places[dead->place]), F_TEXT("topic", letter->partition->topic),
              F_I64("partition", letter->message->partition), F_I64("offset", letter->message->offset), F_TEXT("error", letter->error));
    if (dead->place == DEAD_TOPIC)
        put_for_topic(dead, letter);
    else if (dead->place == DEAD_FILE)
        put_for_file(dead, letter);
    else
        buried(letter, DEAD_NOWHERE);
}

static void say_later(const char *reason)
{
    LOG_EVERY(60, ERROR, "kafka dead letters cannot be kept: they are tried again", F_TEXT("error", reason));
}

/* --- stopped partitions --- */

static void set_gauge(struct consume *consume)
{
    uint64_t n = 0;

    LIST_EACH(&consume->partitions, link)
        n += MG_CONTAINER(link, struct partition, link)->stopped > 0;
    metric_set_gauge(consume->metrics, CONSUME_stopped, 0, 0, (double)n);
}

static void stop_partition(struct letter *letter, const char *reason)
{
    struct consume *consume = letter->consume;
    struct partition *partition = letter->partition;

    if (list_empty(&consume->dead.stopped))
        consume->dead.stopped_at_ns = clock_mono_ns() + consume->dead.stopped_ns;
    list_add_last(&consume->dead.stopped, &letter->link);
    if (letter->is_stopped) /* tried again in vain */
        return;
    letter->is_stopped = true;
    consume->dead.stopped_bytes += take_cost(letter);
    if (partition->stopped++ > 0)
        return;
    LOG(ERROR, "kafka partition is stopped: its dead letter is refused too; mend kafka.dead_letter_topic, or set kafka.dead_letter_file",
        F_TEXT("topic", partition->topic), F_I64("partition", partition->number), F_I64("offset", letter->message->offset),
        F_STR("dead_letter_topic", consume->conf->dead_letter_topic), F_TEXT("error", reason));
    group_pace(consume, partition);
    set_gauge(consume);
}

void dead_let(struct letter *letter)
{
    struct consume *consume = letter->consume;
    struct partition *partition = letter->partition;

    if (!letter->is_stopped)
        return;
    consume->dead.stopped_bytes -= take_cost(letter);
    if (--partition->stopped > 0)
        return;
    set_gauge(consume);
    group_pace(consume, partition);
}

void dead_forget_stopped(struct consume *consume, const struct partition *of)
{
    for (struct list *link = consume->dead.stopped.next, *next; link != &consume->dead.stopped; link = next) {
        struct letter *letter = MG_CONTAINER(link, struct letter, link);
        next = link->next;
        if (letter->partition == of)
            take_forget(letter);
    }
}

static void try_stopped(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    if (list_empty(&dead->stopped) || clock_mono_ns() < dead->stopped_at_ns)
        return;
    while (!list_empty(&dead->stopped)) {
        struct letter *letter = LIST_FIRST(&dead->stopped, struct letter, link);
        list_remove(&letter->link);
        put_for_topic(dead, letter);
    }
}

/* What an operator can mend is among it: then the file has it, or the attempts of a stopped partition find it mended. */
static bool is_refusal(rd_kafka_resp_err_t err)
{
    return kafka_error_is_final(err) || kafka_error_is_size(err) || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION ||
           err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
}

static bool is_purge(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
}

/* The topic does not have it. It is in no list. */
static void topic_failed(struct letter *letter, rd_kafka_resp_err_t err)
{
    struct dead *dead = &letter->consume->dead;

    if (is_purge(err)) { /* by dead_disconnect: its offset was not committed, so it comes again */
        take_forget(letter);
        return;
    }
    letter->attempts++;
    if (!is_refusal(err) && letter->attempts < dead->attempts_most) {
        list_add_last(&dead->waiting, &letter->link);
        dead->at_ns = consume_pause_ns(letter->consume);
        say_later(rd_kafka_err2str(err));
    } else if (dead->file) {
        LOG_EVERY(60, WARN, "kafka dead letters are refused by their topic: they go to the file", F_TEXT("error", rd_kafka_err2str(err)));
        put_for_file(dead, letter);
    } else {
        stop_partition(letter, rd_kafka_err2str(err));
    }
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
    LIST_EACH(&dead->for_file, link) {
        put_line(&lines, MG_CONTAINER(link, struct letter, link));
        n++;
        if (lines.len >= LINES_BYTES)
            break;
    }
    if (dead_file_write(dead->file, buf_str(&lines), &why) != MG_OK) {
        say_later(why.text);
        dead->file_at_ns = consume_pause_ns(consume);
        n = 0;
    }
    for (; n > 0; n--)
        buried(LIST_FIRST(&dead->for_file, struct letter, link), DEAD_FILE);
    buf_fini(&lines);
}

/* --- the topic --- */

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *report, void *owner)
{
    struct consume *consume = owner;
    struct letter *letter = report->_private;

    (void)producer;
    consume->dead.at_broker--;
    if (report->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        buried(letter, DEAD_TOPIC);
    else
        topic_failed(letter, report->err);
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
        say_later(why.text);
        dead->at_ns = consume_pause_ns(consume);
        return;
    }
    while (!list_empty(&dead->waiting) && clock_mono_ns() >= dead->at_ns) {
        struct letter *letter = LIST_FIRST(&dead->waiting, struct letter, link);
        rd_kafka_resp_err_t err = produce(dead, letter);
        list_remove(&letter->link);
        if (err)
            topic_failed(letter, err);
        else
            dead->at_broker++;
    }
}

/* --- all --- */

void dead_serve(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    if (dead->producer)
        (void)rd_kafka_poll(dead->producer, 0);
    try_stopped(consume);
    if (!list_empty(&dead->waiting) && clock_mono_ns() >= dead->at_ns)
        produce_some(consume);
    if (!list_empty(&dead->for_file) && clock_mono_ns() >= dead->file_at_ns)
        write_some(consume);
}

bool dead_is_idle(const struct consume *consume)
{
    const struct dead *dead = &consume->dead;

    return list_empty(&dead->waiting) && list_empty(&dead->for_file) && dead->at_broker == 0;
}

uint64_t dead_wait_ns(const struct consume *consume, uint64_t now_ns)
{
    const struct dead *dead = &consume->dead;
    const struct { const struct list *list; uint64_t at_ns; } lists[] = {
        { &dead->waiting, dead->at_ns }, { &dead->for_file, dead->file_at_ns }, { &dead->stopped, dead->stopped_at_ns }
    };
    uint64_t wait_ns = UINT64_MAX;

    for (size_t i = 0; i < MG_COUNT(lists); i++)
        if (!list_empty(lists[i].list))
            wait_ns = MG_MIN(wait_ns, lists[i].at_ns > now_ns ? lists[i].at_ns - now_ns : 0);
    return wait_ns;
}

void dead_forget(struct consume *consume)
{
    struct dead *dead = &consume->dead;
    struct list *const lists[] = { &dead->waiting, &dead->for_file, &dead->stopped };

    for (size_t i = 0; i < MG_COUNT(lists); i++)
        while (!list_empty(lists[i]))
            take_forget(LIST_FIRST(lists[i], struct letter, link));
}

/* Letters that have no report are let go by the purge's. */
void dead_disconnect(struct consume *consume)
{
    struct dead *dead = &consume->dead;

    if (!dead->producer)
        return;
    (void)rd_kafka_purge(dead->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    (void)rd_kafka_flush(dead->producer, END_MS);
    rd_kafka_queue_io_event_enable(dead->events, -1, NULL, 0);
    rd_kafka_queue_destroy(dead->events);
    rd_kafka_topic_destroy(dead->topic);
    kafka_client_end(&dead->producer, END_MS);
}

void dead_fini(struct consume *consume)
{
    dead_disconnect(consume);
    dead_forget(consume);
    dead_file_free(&consume->dead.file);
}
