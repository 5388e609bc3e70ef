/* client_test.c - settings for librdkafka: what is refused, by which row, and that no value shows. */
#define _GNU_SOURCE /* syscall */
#include "mock.h"
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "kafka/client.h"
#include "unit/peer/log.h"

static const char *const fixed[] = { "bootstrap.servers", "metadata.broker.list", "acks" };
static const struct kafka_setting ours[] = { { "client.id", "meshglass" }, { "acks", "all" } };

static enum mg_err make(const char *broker, const char *const *properties, rd_kafka_conf_t **out, struct mg_why *why)
{
    struct str brokers[1] = { str_of(broker) }, rows[4];
    struct conf_list broker_list = { brokers, 1 }, property_list = { rows, 0 };

    for (; properties[property_list.n]; property_list.n++)
        rows[property_list.n] = str_of(properties[property_list.n]);
    return kafka_conf_new(out, &(struct kafka_settings){ .section = "exporters.kafka", .brokers = &broker_list, .properties = &property_list,
                                                         .ours = ours, .n_ours = MG_COUNT(ours), .fixed = fixed, .n_fixed = MG_COUNT(fixed) }, why);
}

static const char *value_of(rd_kafka_conf_t *conf, const char *name)
{
    static char value[200];
    size_t len = sizeof value;

    assert_int_equal(rd_kafka_conf_get(conf, name, value, &len), RD_KAFKA_CONF_OK);
    return value;
}

static void settings_are_taken(void **state)
{
    static const struct { const char *rows[4]; const char *name, *want; } cases[] = {
        { { NULL }, "client.id", "meshglass" },
        { { NULL }, "acks", "-1" },
        { { NULL }, "bootstrap.servers", "[::1]:9092" },
        { { "client.id=other" }, "client.id", "other" },                         /* over ours */
        { { "linger.ms=7", "linger.ms=9" }, "linger.ms", "9" },
        { { "security.protocol=sasl_ssl", "sasl.mechanisms=SCRAM-SHA-512", "sasl.username=me" }, "security.protocol", "sasl_ssl" },
        { { "sasl.mechanism=PLAIN" }, "sasl.mechanisms", "PLAIN" },              /* an alias */
        { { " sasl.password = a=b " }, "sasl.password", "a=b " },                /* librdkafka leaves out spaces in front */
        { { "ssl.ca.location=" }, "client.id", "meshglass" },
        { { "topic.metadata.refresh.interval.ms=1000" }, "topic.metadata.refresh.interval.ms", "1000" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rd_kafka_conf_t *conf = NULL;
        struct mg_why why = { "" };
        if (make("[::1]:9092", cases[i].rows, &conf, &why) != MG_OK)
            fail_msg("%zu: %s", i, why.text);
        assert_string_equal(value_of(conf, cases[i].name), cases[i].want);
        kafka_conf_free(&conf);
        kafka_conf_free(&conf);
    }
}

static void wrong_rows_are_named(void **state)
{
    static const struct { const char *rows[4]; const char *want; const char *never; } cases[] = {
        { { "linger.ms" }, "exporters.kafka.properties 1: must be name=value", "linger" },
        { { "=5" }, "exporters.kafka.properties 1: must be name=value", NULL },
        { { " =hunter2" }, "exporters.kafka.properties 1: must be name=value", "hunter2" },
        { { "" }, "exporters.kafka.properties 1: must be", NULL },
        { { "client.id=x", "acks=1" }, "exporters.kafka.properties 2: 'acks' is not set here", NULL },
        { { "Acks=1" }, "exporters.kafka.properties 1: 'Acks' is not set here", NULL },
        { { "bootstrap.servers=h:1" }, "'bootstrap.servers' is not set here", "h:1" },
        { { "metadata.broker.list=h:1" }, "'metadata.broker.list' is not set here", NULL },
        { { "client.id=x", "linger.ms=5", "no.such=hunter2" }, "exporters.kafka.properties 3: ", "hunter2" },
        { { "no.such=x" }, "no.such", NULL },
        { { "security.protocol=hunter2" }, "exporters.kafka.properties 1: librdkafka does not take this value of 'security.protocol'", "hunter2" },
        { { "linger.ms=hunter2" }, "'linger.ms'", "hunter2" },
        { { "linger.ms=-1" }, "exporters.kafka.properties 1: ", NULL },
        { { "linger.ms=99999999" }, "exporters.kafka.properties 1: ", NULL },
        { { "dr_msg_cb=1" }, "exporters.kafka.properties 1: ", NULL },
        { { "opaque=1" }, "exporters.kafka.properties 1: ", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rd_kafka_conf_t *conf = NULL;
        struct mg_why why = { "" };
        assert_int_equal(make("h:9092", cases[i].rows, &conf, &why), MG_E_FORMAT);
        assert_null(conf);
        if (!strstr(why.text, cases[i].want) || (cases[i].never && strstr(why.text, cases[i].never)))
            fail_msg("%zu: %s", i, why.text);
    }
}

static void brokers_are_host_and_port(void **state)
{
    static const struct { const char *broker; enum mg_err want; } cases[] = {
        { "localhost:9092", MG_OK }, { "10.0.0.1:1", MG_OK }, { "[::1]:65535", MG_OK }, { "a-b.example:9092", MG_OK },
        { "localhost", MG_E_FORMAT }, { "", MG_E_FORMAT }, { ":9092", MG_E_FORMAT }, { "localhost:", MG_E_FORMAT },
        { "localhost:0", MG_E_FORMAT }, { "localhost:65536", MG_E_FORMAT }, { "localhost:x", MG_E_FORMAT },
        { "a:1,b:2", MG_E_FORMAT }, { "a b:1", MG_E_FORMAT }, { "plaintext://a:1", MG_E_FORMAT }, { "[::1]", MG_E_FORMAT }, { "[::1:9092", MG_E_FORMAT },
    };
    static const char *const none[] = { NULL };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rd_kafka_conf_t *conf = NULL;
        struct mg_why why = { "" };
        enum mg_err err = make(cases[i].broker, none, &conf, &why);
        if (err != cases[i].want)
            fail_msg("%s: %s %s", cases[i].broker, mg_err_name(err), why.text);
        if (err != MG_OK)
            assert_non_null(strstr(why.text, "exporters.kafka.brokers 1: "));
        kafka_conf_free(&conf);
    }
}

static void topics_are_names(void **state)
{
    char longest[251];

    (void)state;
    memset(longest, 'a', sizeof longest);
    assert_int_equal(kafka_topic_check("r", STR("otlp_spans"), NULL), MG_OK);
    assert_int_equal(kafka_topic_check("r", STR("A.b-9_"), NULL), MG_OK);
    assert_int_equal(kafka_topic_check("r", str_n(longest, 249), NULL), MG_OK);
    static const char *const wrong[] = { "", ".", "..", "a b", "^otlp.*", "a/b", "ä" };
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        struct mg_why why = { "" };
        assert_int_equal(kafka_topic_check("row", str_of(wrong[i]), &why), MG_E_FORMAT);
        assert_non_null(strstr(why.text, "row: "));
    }
    assert_int_equal(kafka_topic_check("r", str_n(longest, 250), NULL), MG_E_FORMAT);
}

static enum mg_err start(bool is_producer, const char *const *properties, struct mg_why *why)
{
    rd_kafka_conf_t *conf = NULL;
    rd_kafka_t *client = NULL;

    assert_int_equal(make("127.0.0.1:1", properties, &conf, why), MG_OK);
    enum mg_err err = kafka_client_new(&client, is_producer, &conf, "exporters.kafka", why);
    assert_null(conf);
    assert_true((client != NULL) == (err == MG_OK));
    kafka_client_end(&client, 5000);
    assert_null(client);
    kafka_client_end(&client, 5000);
    return err;
}

static void what_does_not_go_together_is_said(void **state)
{
    static const struct { const char *rows[4]; enum mg_err want; } cases[] = {
        { { NULL }, MG_OK },
        { { "enable.idempotence=true" }, MG_OK },
        { { "enable.idempotence=true", "max.in.flight=50" }, MG_E_FORMAT },
        { { "security.protocol=ssl", "ssl.ca.location=/nowhere/ca.pem" }, MG_E_FORMAT },
        { { "security.protocol=ssl", "ssl.certificate.pem=hunter2" }, MG_E_FORMAT },
        { { "security.protocol=sasl_plaintext", "sasl.mechanism=NONE" }, MG_E_FORMAT },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct mg_why why = { "" };
        enum mg_err err = start(true, cases[i].rows, &why);
        if (err != cases[i].want)
            fail_msg("%zu: %s %s", i, mg_err_name(err), why.text);
        if (err != MG_OK) {
            assert_non_null(strstr(why.text, "exporters.kafka.properties: "));
            assert_null(strstr(why.text, "hunter2"));
        }
    }
}

/* With a broker that is not there, and one whose name takes its time. */
static void the_end_takes_no_longer_than_said(void **state)
{
    static const char *const brokers[] = { "127.0.0.1:1", "10.255.255.1:9092", "no-such-name.invalid:9092" };
    static const char *const none[] = { NULL };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(brokers); i++) {
        rd_kafka_conf_t *conf;
        rd_kafka_t *client;
        assert_int_equal(make(brokers[i], none, &conf, NULL), MG_OK);
        assert_int_equal(kafka_client_new(&client, true, &conf, "exporters.kafka", NULL), MG_OK);
        uint64_t begun_ns = clock_mono_ns();
        kafka_client_end(&client, 500);
        assert_true(clock_mono_ns() - begun_ns < UINT64_C(10000000000)); /* a connection is tried for 30 s */
    }
}

/* The C library's, for everybody; with a wall clock of its own for the thread that sets `step_s`, as if it had been stepped since the
 * kernel, which keeps the time of waits, was asked. */
static _Thread_local int64_t step_s;

int clock_gettime(clockid_t id, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, id, out);

    if (result == 0 && id == CLOCK_REALTIME)
        out->tv_sec += step_s;
    return result;
}

/* Back: it is waited for all the same, and not left to itself at once. Ahead: it is waited for no longer than said. */
static void a_step_of_the_wall_clock_changes_no_wait(void **state)
{
    static const char *const brokers[] = { "127.0.0.1:1", "10.255.255.1:9092", "no-such-name.invalid:9092" };
    static const int64_t steps_s[] = { -3600, 3600, -86400 * 365, 86400 * 365 };
    static const char *const none[] = { NULL };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(steps_s); i++)
        for (size_t k = 0; k < MG_COUNT(brokers); k++) {
            rd_kafka_conf_t *conf;
            rd_kafka_t *client;
            assert_int_equal(make(brokers[k], none, &conf, NULL), MG_OK);
            assert_int_equal(kafka_client_new(&client, true, &conf, "exporters.kafka", NULL), MG_OK);
            bool ends_at_once = k == 0; /* nobody listens there */
            uint64_t begun_ns = clock_mono_ns();
            rig_log_begin();
            step_s = steps_s[i];
            kafka_client_end(&client, ends_at_once ? 10000 : 500);
            step_s = 0;
            bool was_left = strstr(rig_log_end(), "takes long to end") != NULL;
            assert_true(clock_mono_ns() - begun_ns < UINT64_C(8000000000));
            if (ends_at_once)
                assert_false(was_left);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_taken),
        cmocka_unit_test(wrong_rows_are_named),
        cmocka_unit_test(brokers_are_host_and_port),
        cmocka_unit_test(topics_are_names),
        cmocka_unit_test(what_does_not_go_together_is_said),
        cmocka_unit_test(the_end_takes_no_longer_than_said),
        cmocka_unit_test(a_step_of_the_wall_clock_changes_no_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
