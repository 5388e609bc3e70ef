/* consume.c - see consume.h. The settings, the life, and the thread: one wait (an eventfd that librdkafka and the loops write),
 * then whatever there is to do, none of which waits but a commit before partitions are given back.
 *
 * in_flight_bytes bounds what was polled. librdkafka fetches ahead besides: as a rule it stops a second when its queue is full, so the
 * queue's size is also the rate per second at which a backlog is worked off; FETCH_AHEAD is a compromise, and a property
 * (queued.max.messages.kbytes, queued.min.messages) may choose otherwise. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "consume/private.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "kafka/client.h"

#define FETCH_AHEAD_KBYTES "32768"
#define FETCH_AHEAD_MESSAGES "50000"
enum { IDLE_MS = 1000, PAUSE_LEAST_MS = 1000, PAUSE_MOST_MS = 3000, END_MS = 300, WIDTH_MOST = 1 << 17 };

const struct conf_field consume_fields[] = {
    CONF_ROW(struct consume_conf, CONF_LIST, "brokers", brokers, NULL, NULL, NULL,
             "Kafka brokers to begin with, as host:port; none: nothing is consumed.", CONF_NEEDS_RESTART),
    CONF_ROW(struct consume_conf, CONF_LIST, "topics", topics, "otlp_spans", NULL, NULL, "Topics with traces.", CONF_NEEDS_RESTART),
    CONF_ROW(struct consume_conf, CONF_STR, "group", group, "meshglass", NULL, NULL,
             "Consumer group; its members share the partitions, and a new group begins at the earliest message.", CONF_NEEDS_RESTART),
    CONF_ROW_CHOICE(struct consume_conf, "encoding", encoding, "otlp_proto", "otlp_proto|otlp_json|jaeger_proto|zipkin_json",
                    "What a message is: an OTLP request, one Jaeger span (api_v2), or a list of Zipkin spans.", CONF_NEEDS_RESTART),
    CONF_ROW(struct consume_conf, CONF_STR, "dead_letter_topic", dead_letter_topic, NULL, NULL, NULL,
             "Topic that gets messages which can never be taken, with the reason in a header. A partition whose message it refuses too is "
             "stopped, unless there is a file.", CONF_NEEDS_RESTART),
    CONF_ROW(struct consume_conf, CONF_STR, "dead_letter_file", dead_letter_file, NULL, NULL, NULL,
             "File that gets messages which can never be taken, as JSON lines; with a topic, those that the topic refuses. Neither this nor a "
             "topic: they are skipped.", CONF_NEEDS_RESTART),
    CONF_ROW(struct consume_conf, CONF_BYTES, "in_flight_bytes", in_flight_bytes, "16MiB", "64KiB", "4GiB",
             "Messages under way between Kafka and the journal; beyond that nothing is polled.", CONF_NEEDS_RESTART),
    CONF_ROW_SECRET(struct consume_conf, CONF_LIST, "properties", properties,
                    "Further settings of librdkafka as \"name=value\", for TLS, SASL and limits.", CONF_NEEDS_RESTART),
};
const size_t consume_fields_n = MG_COUNT(consume_fields);

static const struct metric_row rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "consume/metrics.def"
#undef METRIC
};

/* --- settings --- */

enum mg_err consume_client_conf(const struct consume_conf *conf, bool is_producer, rd_kafka_conf_t **out, struct mg_why *why)
{
    static const char *const fixed[] = {
        "bootstrap.servers", "metadata.broker.list", "group.id", "enable.auto.commit", "auto.commit.enable", "enable.auto.offset.store",
        "acks", "request.required.acks", "transactional.id", "delivery.report.only.error", "log.queue"
    };
    char *group = str_text(conf->group);
    const struct kafka_setting consumer[] = {
        { "client.id", "meshglass" }, { "group.id", group }, { "enable.auto.commit", "true" }, { "auto.commit.interval.ms", "1000" },
        { "enable.auto.offset.store", "false" }, /* group.c stores */
        { "auto.offset.reset", "earliest" }, { "partition.assignment.strategy", "cooperative-sticky" }, { "check.crcs", "true" },
        { "queued.max.messages.kbytes", FETCH_AHEAD_KBYTES }, { "queued.min.messages", FETCH_AHEAD_MESSAGES },
        { "fetch.max.bytes", "4194304" }, { "log.connection.close", "false" }
    };
    static const struct kafka_setting producer[] = {
        { "client.id", "meshglass" }, { "acks", "all" }, { "message.timeout.ms", "30000" },
        { "message.max.bytes", "1000000000" }, /* what the topic takes is the broker's to say */
        { "log.connection.close", "false" }
    };
    const struct kafka_settings settings = {
        .section = "kafka", .brokers = &conf->brokers, .properties = &conf->properties, .fixed = fixed, .n_fixed = MG_COUNT(fixed),
        .ours = is_producer ? producer : consumer, .n_ours = is_producer ? MG_COUNT(producer) : MG_COUNT(consumer) };
    enum mg_err err = kafka_conf_new(out, &settings, why);

    mem_free(group);
    return err;
}

static enum mg_err check_topics(const struct consume_conf *conf, struct mg_why *why)
{
    char row[40];

    if (conf->topics.n == 0)
        return mg_fail(why, MG_E_FORMAT, "kafka.topics: at least one is needed");
    for (size_t i = 0; i < conf->topics.n; i++) {
        snprintf(row, sizeof row, "kafka.topics %zu", i + 1);
        MG_TRY(kafka_topic_check(row, conf->topics.at[i], why));
        if (str_eq(conf->topics.at[i], conf->dead_letter_topic))
            return mg_fail(why, MG_E_FORMAT, "kafka.dead_letter_topic: '%.*s' is one of kafka.topics: dead letters would come back",
                           STR_ARG(conf->dead_letter_topic));
    }
    return MG_OK;
}

enum mg_err consume_check(const struct consume_conf *conf, struct mg_why *why)
{
    MG_AUTO(kafka_conf_free) rd_kafka_conf_t *client = NULL;

    MG_TRY(check_topics(conf, why));
    if (conf->group.len == 0)
        return mg_fail(why, MG_E_FORMAT, "kafka.group: must not be empty");
    if (conf->dead_letter_topic.len)
        MG_TRY(kafka_topic_check("kafka.dead_letter_topic", conf->dead_letter_topic, why));
    return consume_client_conf(conf, false, &client, why);
}

/* --- waiting --- */

void consume_wake(struct consume *consume)
{
    if (!atomic_exchange(&consume->is_woken, true))
        (void)!write(consume->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t)); /* fails only when it is as awake as can be */
}

void consume_wait(struct consume *consume, uint64_t ns)
{
    struct pollfd fd = { .fd = consume->wake_fd, .events = POLLIN };
    uint64_t count;

    if (ns > 0)
        (void)poll(&fd, 1, (int)((ns + MS - 1) / MS));
    (void)!read(consume->wake_fd, &count, sizeof count); /* does not block; nothing there: time is up */
    atomic_store(&consume->is_woken, false);
}

uint64_t consume_pause_ns(struct consume *consume)
{
    return clock_mono_ns() + (PAUSE_LEAST_MS + random_below(&consume->random, PAUSE_MOST_MS - PAUSE_LEAST_MS)) * MS;
}

static uint64_t idle_ns(const struct consume *consume)
{
    uint64_t now_ns = clock_mono_ns(), until_ns = now_ns + MG_MIN(IDLE_MS * MS, dead_wait_ns(consume, now_ns));

    if (consume->has_unstored)
        until_ns = MG_MIN(until_ns, consume->store_at_ns);
    if (!list_empty(&consume->again))
        until_ns = MG_MIN(until_ns, consume->again_at_ns);
    return until_ns > now_ns ? until_ns - now_ns : 0;
}

/* --- the thread --- */

static bool work(struct consume *consume)
{
    bool has_more;

    take_done(consume);
    group_serve(consume);
    dead_serve(consume);
    take_again(consume);
    has_more = take_some(consume);
    group_store(consume);
    metric_set_gauge(consume->metrics, CONSUME_in_flight, 0, 0, (double)consume->in_flight);
    return has_more;
}

/* Nothing new is polled. */
static void come_to_rest(struct consume *consume)
{
    uint64_t now_ns, until_ns = atomic_load(&consume->stop_by_ns);

    take_forget_again(consume, NULL);
    while ((consume->given > 0 || !dead_is_idle(consume)) && (now_ns = clock_mono_ns()) < until_ns) {
        uint64_t dead_ns = dead_wait_ns(consume, now_ns);
        consume_wait(consume, MG_MIN(until_ns - now_ns, dead_ns));
        take_done(consume);
        dead_serve(consume);
        group_serve(consume);
    }
}

static enum mg_err make_client(struct consume *consume, rd_kafka_t **out, struct mg_why *why)
{
    rd_kafka_conf_t *conf;

    MG_TRY(consume_client_conf(consume->conf, false, &conf, why));
    rd_kafka_conf_set_opaque(conf, consume);
    group_conf(conf);
    return kafka_client_new(out, false, &conf, "kafka", why);
}

static void install_client(struct consume *consume, rd_kafka_t *client)
{
    consume->client = client;
    (void)rd_kafka_poll_set_consumer(client); /* a consumer of a group can */
    consume->events = rd_kafka_queue_get_consumer(client);
    consume->messages = rd_kafka_queue_new(client);
    rd_kafka_queue_io_event_enable(consume->events, consume->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    rd_kafka_queue_io_event_enable(consume->messages, consume->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* Its messages have gone before it. */
static void end_client(struct consume *consume)
{
    if (!consume->client)
        return;
    rd_kafka_queue_io_event_enable(consume->messages, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(consume->events, -1, NULL, 0);
    rd_kafka_queue_destroy(consume->messages);
    rd_kafka_queue_destroy(consume->events);
    kafka_client_end(&consume->client, END_MS);
}

/* False: it is time to stop, and something is still under way. What is not finished comes again. */
static bool leave_and_let_go(struct consume *consume)
{
    group_leave(consume);
    for (;;) {
        take_forget_again(consume, NULL);
        dead_forget(consume);
        if (consume->in_flight == 0)
            break;
        if (atomic_load(&consume->is_stopping))
            return false;
        consume_wait(consume, IDLE_MS * MS);
        take_done(consume);
        dead_serve(consume);
    }
    group_free(consume);
    return true;
}

/* Both clients read their files once, when they are made. Files that cannot be used leave the old ones, and the group, as they are. */
static void take_files(struct consume *consume)
{
    struct mg_why why = { "" };
    rd_kafka_t *client;

    if (make_client(consume, &client, &why) != MG_OK) {
        kafka_files_refused(consume->files, &why);
        return;
    }
    if (!leave_and_let_go(consume)) {
        kafka_client_end(&client, END_MS);
        return;
    }
    kafka_files_taken(consume->files);
    dead_disconnect(consume);
    end_client(consume);
    install_client(consume, client);
    if (group_join(consume, &why) != MG_OK)
        LOG(ERROR, "kafka is no longer consumed", F_WHY(&why));
    else
        LOG(INFO, "kafka files taken: the group is joined anew", F_STR("group", consume->conf->group));
}

static void *run(void *owner)
{
    struct consume *consume = owner;
    bool has_more = true;

    while (!atomic_load(&consume->is_stopping)) {
        consume_wait(consume, has_more ? 0 : idle_ns(consume));
        has_more = work(consume);
        if (kafka_files_changed(consume->files, clock_mono_ns()))
            take_files(consume);
    }
    come_to_rest(consume);
    group_leave(consume);
    return NULL;
}

/* --- life --- */

static struct consume *make(const struct consume_options *options)
{
    struct consume *consume = MEM_NEW(struct consume);
    uint64_t seed;

    consume->conf = options->conf;
    consume->wake_fd = -1;
    consume->done = queue_new(0);
    list_init(&consume->partitions);
    list_init(&consume->again);
    random_bytes(&seed, sizeof seed);
    random_init(&consume->random, seed);
    consume->width_most = WIDTH_MOST;
    consume->files = kafka_files_new(&consume->conf->properties);
    dead_init(consume);
    return consume;
}

enum mg_err consume_new(struct consume **out, const struct consume_options *options, struct mg_why *why)
{
    MG_TRY(consume_check(options->conf, why));
    MG_AUTO(consume_free) struct consume *consume = make(options);
    rd_kafka_t *client;
    enum mg_err err;

    consume->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (consume->wake_fd < 0)
        return mg_fail_os(why, errno, "kafka: eventfd");
    if (consume->dead.file && (err = dead_file_write(consume->dead.file, STR(""), why)) != MG_OK)
        return mg_fail_in(why, err, "kafka.dead_letter_file");
    MG_TRY(make_client(consume, &client, why));
    install_client(consume, client);
    consume->metrics = metric_register(options->metrics, rows, MG_COUNT(rows));
    *out = MG_STEAL(consume);
    return MG_OK;
}

void consume_start(struct consume *consume, struct ingest_loop *const *loops, size_t n)
{
    struct mg_why why = { "" };
    int code;

    consume->n_loops = n;
    consume->loops = mem_copy(loops, n * sizeof(struct ingest_loop *));
    if (group_join(consume, &why) != MG_OK) {
        LOG(ERROR, "kafka is not consumed", F_WHY(&why));
        return;
    }
    code = pthread_create(&consume->thread, NULL, run, consume);
    if (code) {
        LOG(ERROR, "kafka is not consumed: no thread", F_TEXT("error", strerror(code)));
        return;
    }
    pthread_setname_np(consume->thread, "kafka-in");
    consume->has_thread = true;
}

void consume_ask_stop(struct consume *consume, uint64_t timeout_ms)
{
    if (!consume->has_thread || consume->is_stopping)
        return;
    atomic_store(&consume->stop_by_ns, clock_mono_ns() + timeout_ms * MS);
    atomic_store(&consume->is_stopping, true);
    (void)!write(consume->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void consume_stop(struct consume *consume, uint64_t timeout_ms)
{
    if (!consume->has_thread)
        return;
    consume_ask_stop(consume, timeout_ms);
    pthread_join(consume->thread, NULL);
    consume->has_thread = false;
}

/* The loops have ended: what they still had is in `done`. Messages go before the client they came from. */
static void free_letters(struct consume *consume)
{
    struct queue_item *item = queue_take(consume->done, 0, NULL);

    while (item) {
        struct letter *letter = MG_CONTAINER(item, struct letter, item);
        item = item->next;
        take_forget(letter);
    }
    take_forget_again(consume, NULL);
}

void consume_free(struct consume **pointer)
{
    struct consume *consume = MG_STEAL(*pointer);

    if (!consume)
        return;
    consume_stop(consume, 0);
    free_letters(consume);
    dead_fini(consume);
    group_free(consume);
    end_client(consume);
    kafka_files_free(&consume->files);
    queue_free(&consume->done);
    if (consume->wake_fd >= 0)
        close(consume->wake_fd);
    mem_free(consume->loops);
    mem_free(consume);
}
