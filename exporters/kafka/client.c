/* client.c - see client.h.
 *
 * librdkafka writes the values it refuses into its errors, and a value may be a password in the wrong place; such an error is
 * said in other words. Its log goes to ours: warnings at most one every ten seconds, the rest at level debug. */
#include "kafka/client.h"
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { SYSLOG_WARNING = 4, TOPIC_BYTES_MAX = 249 };

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    if (level <= SYSLOG_WARNING)
        LOG_EVERY(10, WARN, "kafka client", F_TEXT("facility", facility), F_TEXT("text", text));
    else
        LOG(DEBUG, "kafka client", F_TEXT("facility", facility), F_TEXT("text", text));
}

/* --- settings --- */

static enum mg_err broker_check(struct str broker, struct mg_why *why)
{
    struct str host, port;
    uint64_t number;

    if (broker.len > 0 && broker.ptr[0] == '[') { /* [::1]:9092 */
        if (!str_split_at(broker, ']', &host, &port) || !str_starts(port, STR(":")))
            return mg_fail(why, MG_E_FORMAT, "must be host:port");
        port = str_n(port.ptr + 1, port.len - 1);
    } else if (!str_split_at(broker, ':', &host, &port)) {
        return mg_fail(why, MG_E_FORMAT, "must be host:port");
    }
    if (host.len == 0 || str_u64(port, &number) != MG_OK || number == 0 || number > UINT16_MAX)
        return mg_fail(why, MG_E_FORMAT, "must be host:port");
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] <= ' ' || host.ptr[i] == ',' || host.ptr[i] == '/')
            return mg_fail(why, MG_E_FORMAT, "must be one host:port");
    return MG_OK;
}

static enum mg_err set_brokers(rd_kafka_conf_t *conf, const struct kafka_settings *settings, struct mg_why *why)
{
    char error[256];
    struct buf all;
    rd_kafka_conf_res_t result;

    for (size_t i = 0; i < settings->brokers->n; i++) {
        enum mg_err err = broker_check(settings->brokers->at[i], why);
        if (err != MG_OK)
            return mg_fail_in(why, err, "%s.brokers %zu", settings->section, i + 1);
    }
    buf_init(&all, 1 << 20);
    for (size_t i = 0; i < settings->brokers->n; i++) {
        if (i > 0)
            buf_put_char(&all, ',');
        buf_put_str(&all, settings->brokers->at[i]);
    }
    buf_put_char(&all, '\0');
    result = rd_kafka_conf_set(conf, "bootstrap.servers", all.ptr, error, sizeof error);
    buf_fini(&all);
    return result == RD_KAFKA_CONF_OK ? MG_OK : mg_fail(why, MG_E_FORMAT, "%s.brokers: %s", settings->section, error);
}

static enum mg_err set_ours(rd_kafka_conf_t *conf, const struct kafka_settings *settings, struct mg_why *why)
{
    char error[256];

    for (size_t i = 0; i < settings->n_ours; i++)
        if (rd_kafka_conf_set(conf, settings->ours[i].name, settings->ours[i].value, error, sizeof error) != RD_KAFKA_CONF_OK)
            return mg_fail(why, MG_E_FORMAT, "%s: librdkafka refuses %s=%s: %s", settings->section, settings->ours[i].name,
                           settings->ours[i].value, error);
    return MG_OK;
}

static bool is_fixed(const struct kafka_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->n_fixed; i++)
        if (str_eq_nocase(str_of(settings->fixed[i]), str_of(name)))
            return true;
    return false;
}

static enum mg_err set_property(rd_kafka_conf_t *conf, const struct kafka_settings *settings, const char *name, const char *value,
                                struct mg_why *why)
{
    char error[256];

    if (is_fixed(settings, name))
        return mg_fail(why, MG_E_FORMAT, "'%s' is not set here: it has a row of its own, or must be as it is", name);
    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) == RD_KAFKA_CONF_OK)
        return MG_OK;
    if (*value && strstr(error, value))
        return mg_fail(why, MG_E_FORMAT, "librdkafka does not take this value of '%s'", name);
    return mg_fail(why, MG_E_FORMAT, "'%s': %s", name, error);
}

static enum mg_err set_row(rd_kafka_conf_t *conf, const struct kafka_settings *settings, struct str row, struct mg_why *why)
{
    struct str before, after;

    if (!str_split_at(row, '=', &before, &after) || str_trim(before).len == 0)
        return mg_fail(why, MG_E_FORMAT, "must be name=value, with a name of librdkafka's configuration");
    char *name = str_text(str_trim(before)), *value = str_text(after);
    enum mg_err err = set_property(conf, settings, name, value, why);
    mem_free(name);
    mem_free(value);
    return err;
}

enum mg_err kafka_conf_new(struct rd_kafka_conf_s **out, const struct kafka_settings *settings, struct mg_why *why)
{
    MG_AUTO(kafka_conf_free) rd_kafka_conf_t *conf = rd_kafka_conf_new();

    MG_TRY(set_brokers(conf, settings, why));
    MG_TRY(set_ours(conf, settings, why));
    for (size_t i = 0; i < settings->properties->n; i++) {
        enum mg_err err = set_row(conf, settings, settings->properties->at[i], why);
        if (err != MG_OK)
            return mg_fail_in(why, err, "%s.properties %zu", settings->section, i + 1);
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    *out = MG_STEAL(conf);
    return MG_OK;
}

void kafka_conf_free(struct rd_kafka_conf_s **conf)
{
    if (*conf)
        rd_kafka_conf_destroy(*conf);
    *conf = NULL;
}

bool kafka_error_is_final(int code)
{
    return code == RD_KAFKA_RESP_ERR_INVALID_RECORD || code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP ||
           code == RD_KAFKA_RESP_ERR_POLICY_VIOLATION || code == RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT;
}

bool kafka_error_is_size(int code)
{
    return code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
}

enum mg_err kafka_topic_check(const char *row, struct str topic, struct mg_why *why)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    bool is_fine = topic.len > 0 && topic.len <= TOPIC_BYTES_MAX && !str_eq(topic, STR(".")) && !str_eq(topic, STR(".."));

    for (size_t i = 0; i < topic.len; i++)
        is_fine &= memchr(allowed, topic.ptr[i], sizeof allowed - 1) != NULL;
    if (!is_fine)
        return mg_fail(why, MG_E_FORMAT, "%s: '%.*s' is no topic name: 1 to %d letters, digits, '.', '_' and '-'", row,
                       (int)MG_MIN(topic.len, (size_t)TOPIC_BYTES_MAX), topic.ptr, TOPIC_BYTES_MAX);
    return MG_OK;
}

/* --- life --- */

enum mg_err kafka_client_new(struct rd_kafka_s **out, bool is_producer, struct rd_kafka_conf_s **conf, const char *section,
                             struct mg_why *why)
{
    char error[300];
    rd_kafka_t *client = rd_kafka_new(is_producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, *conf, error, sizeof error);

    if (!client) {
        kafka_conf_free(conf);
        return mg_fail(why, MG_E_FORMAT, "%s.properties: %s", section, error);
    }
    *conf = NULL; /* the client's */
    *out = client;
    return MG_OK;
}

/* Of the one who waits and the thread that destroys, the last one frees it. */
struct ending {
    rd_kafka_t *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over, is_left;
};

static struct ending *ending_new(rd_kafka_t *client)
{
    struct ending *ending = MEM_NEW(struct ending);

    ending->client = client;
    pthread_mutex_init(&ending->lock, NULL);
    clock_cond_init(&ending->changed);
    return ending;
}

static void ending_free(struct ending *ending)
{
    pthread_cond_destroy(&ending->changed);
    pthread_mutex_destroy(&ending->lock);
    mem_free(ending);
}

static void destroy(rd_kafka_t *client)
{
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static void *ending_run(void *owner)
{
    struct ending *ending = owner;

    destroy(ending->client);
    pthread_mutex_lock(&ending->lock);
    ending->is_over = true;
    bool is_left = ending->is_left;
    pthread_cond_signal(&ending->changed);
    pthread_mutex_unlock(&ending->lock);
    if (is_left)
        ending_free(ending);
    return NULL;
}

/* False: the time has come, and it is the thread's. */
static bool ending_await(struct ending *ending, unsigned timeout_ms)
{
    uint64_t until_ns = clock_mono_ns() + (uint64_t)timeout_ms * 1000000;

    pthread_mutex_lock(&ending->lock);
    while (!ending->is_over && clock_cond_wait_until(&ending->changed, &ending->lock, until_ns))
        ;
    bool is_over = ending->is_over;
    ending->is_left = !is_over;
    pthread_mutex_unlock(&ending->lock);
    return is_over;
}

void kafka_client_end(struct rd_kafka_s **client, unsigned timeout_ms)
{
    rd_kafka_t *ended = MG_STEAL(*client);
    pthread_t thread;

    if (!ended)
        return;
    struct ending *ending = ending_new(ended);
    if (pthread_create(&thread, NULL, ending_run, ending) != 0) {
        destroy(ended);
        ending_free(ending);
    } else if (ending_await(ending, timeout_ms)) {
        pthread_join(thread, NULL);
        ending_free(ending);
    } else {
        LOG(WARN, "a kafka client takes long to end: it is left to itself");
        pthread_detach(thread);
    }
}
