/* consume_test.c - settings that are refused, an end that never hangs, and the exchange of clients when their files change. */
#include "kit.h"
#include <poll.h>
#include "base/clock.h"
#include "unit/net/certs.h"
#include "unit/peer/log.h"

#define SECOND UINT64_C(1000000000)
static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_open(&kit, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

static void wrong_rows_are_named(void **state)
{
    static const struct { const char *property, *topic, *group, *dead_topic, *dead_file, *want; enum mg_err err; } rows[] = {
        { .property = "group.id=x", .want = "kafka.properties 1: 'group.id' is not set here" },
        { .property = "enable.auto.commit=true", .want = "kafka.properties 1: 'enable.auto.commit'" },
        { .property = "auto.commit.enable=true", .want = "kafka.properties 1: 'auto.commit.enable'" },
        { .property = "enable.auto.offset.store=true", .want = "kafka.properties 1: " },
        { .property = "metadata.broker.list=a:1", .want = "kafka.properties 1: " },
        { .property = "acks=1", .want = "kafka.properties 1: " },
        { .property = "log.queue=true", .want = "kafka.properties 1: " },
        { .property = "no.such.thing=1", .want = "no.such.thing" },
        { .property = "session.timeout.ms=never", .want = "'session.timeout.ms'" },
        { .property = "partition.assignment.strategy=none", .want = "kafka.properties" },
        { .topic = "", .want = "kafka.topics 1: " },
        { .topic = "^otlp", .want = "kafka.topics 1: '^otlp'" },
        { .group = "", .want = "kafka.group: " },
        { .dead_topic = "a b", .want = "kafka.dead_letter_topic: 'a b'" },
        { .dead_topic = TOPIC, .want = "kafka.dead_letter_topic: 'otlp_spans' is one of kafka.topics" },
        { .dead_topic = "dead", .dead_file = "/nowhere/dead.jsonl", .want = "kafka.dead_letter_file: cannot open", .err = MG_E_IO },
        { .dead_topic = "a/b", .dead_file = "/tmp", .want = "kafka.dead_letter_topic: 'a/b'" },
        { .dead_file = "/nowhere/dead.jsonl", .want = "kafka.dead_letter_file: cannot open /nowhere/dead.jsonl", .err = MG_E_IO },
    };
    const struct consume_conf fine = kit.conf;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = { "" };
        kit.conf = fine;
        kit.topics[0] = str_of(rows[i].topic ? rows[i].topic : TOPIC);
        kit.properties[0] = str_of(rows[i].property);
        kit.conf.properties.n = rows[i].property ? 1 : 0;
        kit.conf.group = str_of(rows[i].group ? rows[i].group : "g");
        kit.conf.dead_letter_topic = str_of(rows[i].dead_topic);
        kit.conf.dead_letter_file = str_of(rows[i].dead_file);
        assert_int_equal(kit_try(&kit, &why), rows[i].err ? rows[i].err : MG_E_FORMAT);
        assert_null(kit.consume);
        if (!strstr(why.text, rows[i].want))
            fail_msg("%zu: %s", i, why.text);
    }
    kit.conf = fine;
    kit.conf.topics.n = 0;
    assert_int_equal(kit_try(&kit, NULL), MG_E_FORMAT);
}

static uint64_t stopped_in(uint64_t timeout_ms)
{
    uint64_t begun_ns = clock_mono_ns();

    consume_stop(kit.consume, timeout_ms);
    return clock_mono_ns() - begun_ns;
}

static void it_can_be_freed_without_a_start(void **state)
{
    (void)state;
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    consume_stop(kit.consume, 1000);
    consume_free(&kit.consume);
    consume_free(&kit.consume);
}

static void a_stop_leaves_the_group(void **state)
{
    (void)state;
    kit_start(&kit);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1);
    assert_true(stopped_in(20000) < 20 * SECOND);
    assert_int_equal(kit_metric(&kit, CONSUME_rebalances, REBALANCE_REVOKED), 1);
    assert_true(stopped_in(20000) < 20 * SECOND); /* nothing more to do */
}

static void a_stop_does_not_hang_without_a_broker(void **state)
{
    (void)state;
    rd_kafka_mock_broker_set_down(kit.mock.cluster, 1);
    kit_start(&kit);
    assert_true(stopped_in(500) < 20 * SECOND);
}

static void a_stop_does_not_hang_when_the_broker_went(void **state)
{
    (void)state;
    (void)kit_put(&kit, 0, 1);
    kit_start(&kit);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 1);
    rd_kafka_mock_broker_set_rtt(kit.mock.cluster, 1, 60000);
    (void)stopped_in(500);
    rd_kafka_mock_broker_set_rtt(kit.mock.cluster, 1, 0);
}

/* The loop does not run while the main thread waits: what is under way cannot finish, and is freed afterwards. */
static void what_is_under_way_gets_its_time_and_no_more(void **state)
{
    (void)state;
    rig_leave_credit(&kit.rig, 10);
    kit_start(&kit);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1);
    (void)kit_put(&kit, 0, 20);
    kit_until_waiting(&kit, 1);
    uint64_t ns = stopped_in(700);
    assert_in_range(ns, 7 * SECOND / 10, 20 * SECOND); /* to wait for what is under way would be for ever */
    rig_leave_credit(&kit.rig, 0);
    rig_run_until(&kit.rig, INGEST_requests, INGEST_DOOR_KAFKA, OUTCOME_ACCEPTED, 1);
    consume_free(&kit.consume);
    assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0); /* it comes again */
}

/* --- files --- */

static struct certs certs;
static char file[100], row[140];
static size_t generation;

static int setup_certs(void **state)
{
    certs_init(&certs);
    certs_standard(&certs);
    return setup(state);
}

static int teardown_certs(void **state)
{
    (void)teardown(state);
    certs_fini(&certs);
    return 0;
}

static void put_file(void) /* another each time, at once */
{
    char made[110];

    snprintf(made, sizeof made, "%s.made", file);
    FILE *out = fopen(made, "w");
    assert_non_null(out);
    assert_true(fprintf(out, "%zu", ++generation) > 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(rename(made, file), 0);
}

static void watch_file(const char *name)
{
    snprintf(file, sizeof file, "%s/ca.pem", kit.rig.dir);
    snprintf(row, sizeof row, "%s=%s", name, file);
    put_file();
    kit_property(&kit, row);
}

/* All that was taken is committed before, so that nothing comes twice. */
static void changed_files_make_a_new_client(void **state)
{
    (void)state;
    watch_file("ssl.ca.location"); /* without TLS it is not read */
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    rd_kafka_t *before = kit.consume->client;
    kit_go(&kit);
    for (uint64_t i = 1; i <= 3; i++) {
        for (int k = 0; k < 5; k++)
            (void)kit_put(&kit, 0, 2);
        kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 5 * i);
        put_file();
        kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1 + i);
        assert_int_equal(mock_committed(&kit.mock, "g", TOPIC, 0), (int64_t)(5 * i));
    }
    (void)kit_put(&kit, 0, 2);
    kit_until(&kit, CONSUME_messages, MESSAGE_TAKEN, 16);
    kit_until_committed(&kit, 0, 16);
    assert_int_equal(kit_metric(&kit, CONSUME_messages, MESSAGE_TAKEN), 16);
    assert_int_equal(kit_metric(&kit, CONSUME_rebalances, REBALANCE_REVOKED), 3);
    assert_int_equal(kit_metric(&kit, CONSUME_rebalances, REBALANCE_LOST), 0);
    consume_stop(kit.consume, 2000);
    assert_ptr_not_equal(kit.consume->client, before);
    assert_int_equal(rig_ledger(&kit.rig).accepted, 32);
}

/* An exchange that has begun while a message waits for credit. */
static void begin_exchange(const char *property)
{
    watch_file(property);
    rig_leave_credit(&kit.rig, 10);
    kit_start(&kit);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 1);
    (void)kit_put(&kit, 0, 20);
    kit_until_waiting(&kit, 1);
    put_file();
    kit_until(&kit, CONSUME_rebalances, REBALANCE_REVOKED, 1);
}

/* What hangs (no credit) is let go of; when ingest is done with it the exchange goes on, and it comes again. */
static void what_is_under_way_at_an_exchange_comes_again(void **state)
{
    (void)state;
    begin_exchange("ssl.certificate.location");
    assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0);
    rig_leave_credit(&kit.rig, 0);
    kit_until(&kit, CONSUME_rebalances, REBALANCE_ASSIGNED, 2);
    kit_until_committed(&kit, 0, 1);
}

/* A letter that waits, and one that stopped its partition, are forgotten and come again; the topic's producer is a new one, too. */
static void dead_letters_outlive_an_exchange(void **state)
{
    static const unsigned attempts[] = { 1, 1000 };
    rd_kafka_resp_err_t errors[200];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(errors); i++)
        errors[i] = RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    for (size_t i = 0; i < MG_COUNT(attempts); i++) {
        kit_close(&kit);
        kit_open(&kit, 2);
        mock_topic(&kit.mock, "dead", 1);
        kit.conf.dead_letter_topic = STR("dead");
        watch_file("ssl.key.location");
        kit_put_text(&kit, 0, STR("\xff"));
        (void)kit_put(&kit, 1, 1);
        rd_kafka_mock_push_request_errors_array(kit.mock.cluster, MOCK_PRODUCE, MG_COUNT(errors), errors);
        assert_int_equal(kit_try(&kit, NULL), MG_OK);
        kit.consume->dead.attempts_most = attempts[i];
        kit_go(&kit);
        kit_until(&kit, CONSUME_messages, MESSAGE_POISON, 1);
        put_file();
        kit_until(&kit, CONSUME_messages, MESSAGE_POISON, 2);
        assert_int_equal(kit_metric(&kit, CONSUME_dead_letters, DEAD_TOPIC), 0);
        rd_kafka_mock_clear_request_errors(kit.mock.cluster, MOCK_PRODUCE);
        put_file();
        kit_until(&kit, CONSUME_dead_letters, DEAD_TOPIC, 1);
        kit_until_committed(&kit, 0, 1);
        kit_until_committed(&kit, 1, 1);
        kit_until_gauge(&kit, "meshglass_kafka_stopped_partitions", 0);
    }
}

static size_t logged(const char *text)
{
    size_t n = 0;

    for (const char *at = rig_log_so_far(); (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static void await_log(const char *text, size_t n)
{
    uint64_t until_ns = clock_mono_ns() + 30 * SECOND;

    while (logged(text) < n) {
        if (clock_mono_ns() > until_ns)
            fail_msg("waited in vain for \"%s\"", text);
        (void)poll(NULL, 0, 1);
    }
}

/* Only with TLS are they read, so no broker is reached here: it is the client that stays. */
static void files_that_cannot_be_used_leave_the_old_client(void **state)
{
    static const char *const junk[] = { "no certificate", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };

    (void)state;
    certs_copy(&certs, "ca.pem", "now.pem");
    snprintf(row, sizeof row, "ssl.ca.location=%.*s", STR_ARG(certs_path(&certs, "now.pem")));
    kit_property(&kit, row);
    kit_property(&kit, "security.protocol=ssl");
    assert_int_equal(kit_try(&kit, NULL), MG_OK);
    rd_kafka_t *before = kit.consume->client;
    log_configure(LOG_INFO, LOG_LOGFMT);
    rig_log_begin();
    kit_go(&kit);
    for (size_t i = 0; i < MG_COUNT(junk); i++) {
        certs_write(&certs, "now.pem", junk[i]);
        await_log("kafka files not taken, the old ones stay in force", i + 1);
    }
    consume_stop(kit.consume, 500);
    assert_ptr_equal(kit.consume->client, before);
    consume_free(&kit.consume);
    assert_int_equal(kit_try(&kit, NULL), MG_E_FORMAT); /* at the start it is an error */
    assert_null(strstr(rig_log_end(), "kafka files taken"));
    certs_copy(&certs, "ca.pem", "now.pem");
    kit_start(&kit);
    rig_log_begin();
    certs_write(&certs, "now.pem", junk[0]);
    await_log("kafka files not taken, the old ones stay in force", 1);
    certs_copy(&certs, "other-ca.pem", "now.pem");
    await_log("kafka files taken: the group is joined anew", 1);
    (void)rig_log_end();
}

static void a_stop_does_not_wait_for_an_exchange(void **state)
{
    (void)state;
    begin_exchange("ssl.crl.location");
    assert_true(stopped_in(300) < 5 * SECOND);
    rig_leave_credit(&kit.rig, 0);
    rig_run_until(&kit.rig, INGEST_requests, INGEST_DOOR_KAFKA, OUTCOME_ACCEPTED, 1);
    consume_free(&kit.consume);
    assert_true(mock_committed(&kit.mock, "g", TOPIC, 0) <= 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(wrong_rows_are_named),
        TEST(it_can_be_freed_without_a_start),
        TEST(a_stop_leaves_the_group),
        TEST(a_stop_does_not_hang_without_a_broker),
        TEST(a_stop_does_not_hang_when_the_broker_went),
        TEST(what_is_under_way_gets_its_time_and_no_more),
        TEST(changed_files_make_a_new_client),
        TEST(what_is_under_way_at_an_exchange_comes_again),
        TEST(dead_letters_outlive_an_exchange),
        cmocka_unit_test_setup_teardown(files_that_cannot_be_used_leave_the_old_client, setup_certs, teardown_certs),
        TEST(a_stop_does_not_wait_for_an_exchange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
