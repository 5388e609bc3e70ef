/* kafka_test.c - the wire against a broker in this process: what is published, and what each failure means for a batch. */
#include "mock.h"
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"
#include "unit/net/certs.h"
#include "unit/peer/log.h"

#define SECOND UINT64_C(1000000000)
enum { BATCHES_MAX = 64 };

struct job { struct send_batch batch; struct buf body; struct send_result result; char reason[300]; bool is_done; };
struct rig {
    struct mock mock;
    struct kafka_export_conf conf;
    struct str properties[4];
    struct loop *loop;
    struct timer *timer;
    struct kafka_export *export;
    struct send_wire wire;
    struct job jobs[BATCHES_MAX];
    size_t n_jobs, n_done;
    bool is_closed;
    uint64_t until_ns;
};
static struct rig rig;

void send_done(struct send_batch *batch, const struct send_result *result) /* the queue's, which is not here */
{
    struct job *job = MG_CONTAINER(batch, struct job, batch);

    assert_false(job->is_done);
    job->is_done = true;
    job->result = *result;
    snprintf(job->reason, sizeof job->reason, "%s", result->reason ? result->reason : "");
    rig.n_done++;
}

/* --- the loop, on this thread --- */

static void on_timer(void *owner)
{
    (void)owner;
    if (rig.n_done == rig.n_jobs || clock_mono_ns() > rig.until_ns)
        loop_stop(rig.loop);
    timer_start(rig.timer, 1);
}

static void on_closed(void *owner)
{
    (void)owner;
    rig.is_closed = true;
    loop_stop(rig.loop);
}

static void run_until_done(void)
{
    rig.until_ns = clock_mono_ns() + 30 * SECOND;
    timer_start(rig.timer, 1);
    loop_run(rig.loop);
    timer_stop(rig.timer);
    if (rig.n_done != rig.n_jobs)
        fail_msg("%zu of %zu batches", rig.n_done, rig.n_jobs);
}

static struct job *begin(size_t traces, size_t spans_each, size_t name_bytes)
{
    struct job *job = &rig.jobs[rig.n_jobs];
    size_t n = traces * spans_each;
    struct span *spans = mem_zero(n, sizeof *spans);
    const struct span **pointers = mem_zero(n, sizeof *pointers);
    char *name = mem_alloc(name_bytes);

    memset(name, 'n', name_bytes);
    for (size_t i = 0; i < n; i++) {
        spans[i].trace_id[0] = (uint8_t)(rig.n_jobs + 1);
        put_le32(&spans[i].trace_id[4], (uint32_t)(i % traces));
        put_le32(&spans[i].span_id[0], (uint32_t)i + 1);
        spans[i].name = str_n(name, name_bytes);
        pointers[i] = &spans[i];
    }
    buf_init(&job->body, 512 << 20);
    otlp_write_request(&job->body, pointers, n);
    job->batch = (struct send_batch){ .body = buf_str(&job->body), .spans = (uint32_t)n, .number = rig.n_jobs + 1 };
    rig.n_jobs++;
    rig.wire.send(rig.wire.wire, &job->batch);
    mem_free(name);
    mem_free(pointers);
    mem_free(spans);
    return job;
}

static struct job *send_batch(size_t traces, size_t spans_each, size_t name_bytes)
{
    struct job *job = begin(traces, spans_each, name_bytes);

    run_until_done();
    return job;
}

/* Until one is taken: a client may need a while, in which it refuses at once, to see that a broker is well again. */
static void send_until_taken(size_t traces, size_t spans_each, size_t name_bytes)
{
    uint64_t until_ns = clock_mono_ns() + 30 * SECOND;

    while (send_batch(traces, spans_each, name_bytes)->result.verdict == SEND_RETRY) {
        assert_true(clock_mono_ns() < until_ns);
        struct job *job = &rig.jobs[--rig.n_jobs]; /* its place is the next one's */
        buf_fini(&job->body);
        *job = (struct job){ 0 };
        rig.n_done--;
    }
    assert_int_equal(rig.jobs[rig.n_jobs - 1].result.verdict, SEND_TAKEN);
    assert_int_equal(rig.jobs[rig.n_jobs - 1].result.refused_spans, 0);
}

static void expect(const struct job *job, enum send_verdict verdict, uint32_t refused, const char *reason)
{
    if (job->result.verdict != verdict || job->result.refused_spans != refused || !strstr(job->reason, reason))
        fail_msg("verdict %d, %u refused: %s", (int)job->result.verdict, job->result.refused_spans, job->reason);
}

/* --- life --- */

static void property(const char *row)
{
    rig.properties[rig.conf.properties.n++] = str_of(row);
}

static int setup(void **state)
{
    (void)state;
    rig = (struct rig){ 0 };
    mock_open(&rig.mock);
    mock_topic(&rig.mock, "otlp_spans", 4);
    rig.conf = (struct kafka_export_conf){ .brokers = rig.mock.brokers, .topic = STR("otlp_spans"), .compression = 3,
                                           .properties = { rig.properties, 0 }, .send = { .timeout_ns = 10 * SECOND } };
    log_configure(LOG_ERROR + 1, LOG_LOGFMT);
    return 0;
}

static void start(void)
{
    struct mg_why why = { "" };

    rig.loop = loop_new();
    rig.timer = timer_new(rig.loop, on_timer, NULL);
    if (kafka_export_new(&rig.export, &rig.conf, &why) != MG_OK)
        fail_msg("%s", why.text);
    kafka_export_wire(rig.export, &rig.wire);
    assert_string_equal(rig.wire.name, "kafka");
    assert_int_equal(rig.wire.open(rig.wire.wire, rig.loop, &why), MG_OK);
}

static uint64_t close_wire(void)
{
    uint64_t begun_ns = clock_mono_ns();

    rig.wire.close(rig.wire.wire, on_closed, NULL);
    loop_run(rig.loop);
    assert_true(rig.is_closed);
    return clock_mono_ns() - begun_ns;
}

static int teardown(void **state)
{
    (void)state;
    if (rig.export && !rig.is_closed)
        assert_true(close_wire() < 2 * SECOND);
    kafka_export_free(&rig.export);
    timer_free(&rig.timer);
    loop_free(&rig.loop);
    for (size_t i = 0; i < rig.n_jobs; i++)
        buf_fini(&rig.jobs[i].body);
    mock_close(&rig.mock);
    return 0;
}

/* --- what is published --- */

struct tally { size_t spans; uint8_t trace_id[16]; };

static void ignore(void *owner, struct str part)
{
    (void)owner;
    (void)part;
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct tally *tally = owner;

    (void)ordinal;
    tally->spans++;
    memcpy(tally->trace_id, span->trace_id, 16);
}

static size_t spans_of(const struct mock_message *message)
{
    static const struct span_visitor visitor = { .on_resource = ignore, .on_scope = ignore, .on_span = on_span };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct tally tally = { 0 };
    char key[32];

    assert_int_equal(otlp_scan(scanner, str_n(message->value, message->value_len), &visitor, &tally, NULL), MG_OK);
    assert_int_equal(message->key_len, 32);
    hex_encode(tally.trace_id, 16, key);
    assert_memory_equal(message->key, key, 32);
    otlp_scanner_free(&scanner);
    return tally.spans;
}

static void a_batch_becomes_a_message_per_trace(void **state)
{
    size_t spans = 0;

    (void)state;
    start();
    expect(send_batch(20, 5, 10), SEND_TAKEN, 0, "");
    mock_read(&rig.mock, "otlp_spans", 4, 20);
    assert_int_equal(rig.mock.got.n, 20);
    for (size_t i = 0; i < 20; i++)
        spans += spans_of(&rig.mock.got.at[i]);
    assert_int_equal(spans, 100);
}

/* Partitions as Java's client chooses them (murmur2): found with org.apache.kafka.common.utils.Utils.murmur2 of kafka-clients 3.9.1. */
static void a_key_goes_where_other_clients_put_it(void **state)
{
    static const struct { const char *key; int32_t partition; } rows[] = {
        { "01000000000000000000000000000000", 2 }, { "01000000010000000000000000000000", 2 },
        { "01000000020000000000000000000000", 3 }, { "01000000030000000000000000000000", 0 },
    };
    (void)state;
    start();
    expect(send_batch(4, 1, 10), SEND_TAKEN, 0, "");
    mock_read(&rig.mock, "otlp_spans", 4, 4);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            if (memcmp(rig.mock.got.at[j].key, rows[i].key, 32) == 0)
                assert_int_equal(rig.mock.got.at[j].partition, rows[i].partition);
}

static void a_large_trace_becomes_several_messages(void **state)
{
    size_t spans = 0;

    (void)state;
    property("message.max.bytes=20000");
    start();
    expect(send_batch(1, 100, 900), SEND_TAKEN, 0, "");
    mock_read(&rig.mock, "otlp_spans", 4, 5);
    for (size_t i = 0; i < rig.mock.got.n; i++) {
        assert_true(rig.mock.got.at[i].value_len <= 20000);
        assert_int_equal(rig.mock.got.at[i].partition, rig.mock.got.at[0].partition);
        spans += spans_of(&rig.mock.got.at[i]);
    }
    assert_int_equal(spans, 100);
}

static void many_batches_at_a_time(void **state)
{
    (void)state;
    start();
    for (size_t i = 0; i < 8; i++)
        (void)begin(500, 2, 10);
    run_until_done();
    for (size_t i = 0; i < 8; i++)
        expect(&rig.jobs[i], SEND_TAKEN, 0, "");
    mock_read(&rig.mock, "otlp_spans", 4, 4000);
    assert_int_equal(rig.mock.got.n, 4000);
}

static void an_empty_batch_is_taken(void **state)
{
    (void)state;
    start();
    rig.jobs[0].batch = (struct send_batch){ .body = STR("") };
    rig.n_jobs = 1;
    rig.wire.send(rig.wire.wire, &rig.jobs[0].batch);
    expect(&rig.jobs[0], SEND_TAKEN, 0, "");
}

/* --- failures --- */

static void a_malformed_batch_is_refused(void **state)
{
    (void)state;
    start();
    rig.jobs[0].batch = (struct send_batch){ .body = STR("\x0a\xff"), .spans = 1 };
    rig.n_jobs = 1;
    rig.wire.send(rig.wire.wire, &rig.jobs[0].batch);
    expect(&rig.jobs[0], SEND_REFUSED, 0, "not an ExportTraceServiceRequest");
}

static void a_span_over_the_limit_is_refused_alone(void **state)
{
    (void)state;
    property("message.max.bytes=5000");
    start();
    expect(send_batch(1, 1, 6000), SEND_REFUSED, 0, "larger than message.max.bytes (5000)");
    expect(send_batch(2, 2, 100), SEND_TAKEN, 0, "");
}

static void what_a_broker_says_decides(void **state)
{
    static const struct { rd_kafka_resp_err_t err; enum send_verdict want; const char *reason; } rows[] = {
        { RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, SEND_TAKEN, "" },               /* librdkafka tries again */
        { RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, SEND_TAKEN, "" },
        { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SEND_RETRY, "Topic authorization failed" },
        { RD_KAFKA_RESP_ERR_INVALID_RECORD, SEND_REFUSED, "otlp_spans" },
        { RD_KAFKA_RESP_ERR_POLICY_VIOLATION, SEND_REFUSED, "otlp_spans" },
        { RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, SEND_RETRY, "compress" },
    };
    (void)state;
    start();
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        rd_kafka_mock_push_request_errors(rig.mock.cluster, MOCK_PRODUCE, 1, rows[i].err);
        expect(send_batch(1, 3, 10), rows[i].want, 0, rows[i].reason);
        send_until_taken(1, 3, 10);
    }
}

static void a_topic_that_takes_less_gets_smaller_messages(void **state)
{
    size_t spans = 0;

    (void)state;
    start();
    rd_kafka_mock_push_request_errors(rig.mock.cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    expect(send_batch(1, 800, 1000), SEND_RETRY, 0, "Message size too large");
    send_until_taken(1, 800, 1000);
    mock_read(&rig.mock, "otlp_spans", 4, 2);
    for (size_t i = 0; i < rig.mock.got.n; i++) {
        assert_true(rig.mock.got.at[i].value_len <= 500000);
        spans += spans_of(&rig.mock.got.at[i]);
    }
    assert_int_equal(spans % 800, 0);
}

/* Fatal for an idempotent producer: what is acknowledged twice, or not at all, can no longer be told. */
static void a_failed_producer_is_made_anew(void **state)
{
    (void)state;
    start();
    expect(send_batch(1, 3, 10), SEND_TAKEN, 0, "");
    rd_kafka_mock_push_request_errors(rig.mock.cluster, MOCK_PRODUCE, 1, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    send_until_taken(1, 3, 10);
}

/* --- files --- */

static void await_log(const char *text)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    uint64_t until_ns = clock_mono_ns() + 30 * SECOND;

    while (!strstr(rig_log_so_far(), text)) {
        if (clock_mono_ns() > until_ns)
            fail_msg("waited in vain for \"%s\"", text);
        nanosleep(&pause, NULL);
    }
}

static struct certs certs;
static char row[200];

static int setup_certs(void **state)
{
    certs_init(&certs);
    certs_standard(&certs);
    return setup(state);
}

static int teardown_certs(void **state)
{
    int code = teardown(state);

    certs_fini(&certs); /* while the wire is open it looks at them */
    return code;
}

static void ca_property(void)
{
    snprintf(row, sizeof row, "ssl.ca.location=%.*s", STR_ARG(certs_path(&certs, "now.pem")));
    property(row);
}

/* What is under way when the file changes is taken or comes again. */
static void changed_files_make_a_new_producer(void **state)
{
    (void)state;
    ca_property();
    certs_copy(&certs, "ca.pem", "now.pem");
    start();
    send_until_taken(3, 2, 10);
    log_configure(LOG_INFO, LOG_LOGFMT);
    for (int i = 0; i < 3; i++) {
        rig_log_begin();
        (void)begin(3, 2, 10);
        certs_copy(&certs, i % 2 ? "ca.pem" : "other-ca.pem", "now.pem");
        await_log("kafka files taken");
        run_until_done();
        send_until_taken(3, 2, 10);
        assert_null(strstr(rig_log_end(), "not taken"));
    }
}

/* Only with TLS are they read, so no broker is reached here: it is the producer that stays. */
static void files_that_cannot_be_used_leave_the_old_producer(void **state)
{
    static const char *const junk[] = { "no certificate", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };
    (void)state;
    property("security.protocol=ssl");
    ca_property();
    rig.conf.send.timeout_ns = SECOND / 2;
    assert_int_equal(kafka_export_new(&rig.export, &rig.conf, NULL), MG_E_FORMAT); /* at the start it is an error */
    certs_copy(&certs, "ca.pem", "now.pem");
    start();
    log_configure(LOG_WARN, LOG_LOGFMT);
    for (size_t i = 0; i < MG_COUNT(junk); i++) {
        rig_log_begin();
        certs_write(&certs, "now.pem", junk[i]);
        await_log("kafka files not taken, the old ones stay in force");
        (void)rig_log_end();
        assert_int_equal(send_batch(1, 1, 10)->result.verdict, SEND_RETRY); /* it still answers */
    }
    log_configure(LOG_INFO, LOG_LOGFMT);
    rig_log_begin();
    certs_copy(&certs, "other-ca.pem", "now.pem");
    await_log("kafka files taken");
    (void)rig_log_end();
}

/* No file can be opened any more, for a time: the same files are tried again. All numbers below the limit are the
 * test's, so that none gets free when librdkafka closes a connection. */
static void files_that_could_not_be_read_for_a_moment_are_taken(void **state)
{
    struct rlimit before, none;
    int held[32];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(held); i++)
        assert_true((held[i] = dup(STDERR_FILENO)) >= 0);
    property("security.protocol=ssl");
    ca_property();
    certs_copy(&certs, "ca.pem", "now.pem");
    certs_copy(&certs, "other-ca.pem", "next.pem");
    start();
    log_configure(LOG_INFO, LOG_LOGFMT);
    rig_log_begin();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)held[MG_COUNT(held) - 1] + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(rename(certs_path(&certs, "next.pem").ptr, certs_path(&certs, "now.pem").ptr), 0);
    await_log("kafka files not taken, the old ones stay in force");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    await_log("kafka files taken");
    (void)rig_log_end();
    for (size_t i = 0; i < MG_COUNT(held); i++)
        close(held[i]);
}

/* The old producer may have 3 s for what it has; who closes meanwhile does not wait for that. */
static void a_close_does_not_wait_for_an_exchange(void **state)
{
    (void)state;
    ca_property();
    certs_copy(&certs, "ca.pem", "now.pem");
    start();
    send_until_taken(1, 1, 10);
    rd_kafka_mock_broker_set_rtt(rig.mock.cluster, 1, 5000);
    (void)begin(5, 2, 100);
    certs_copy(&certs, "other-ca.pem", "now.pem");
    assert_true(close_wire() < 2 * SECOND);
    assert_int_equal(rig.n_done, rig.n_jobs);
    expect(&rig.jobs[rig.n_jobs - 1], SEND_RETRY, 0, "");
}

static void no_broker_means_retry_with_its_reason(void **state)
{
    (void)state;
    rig.conf.send.timeout_ns = SECOND / 2;
    start();
    assert_int_equal(rd_kafka_mock_broker_set_down(rig.mock.cluster, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
    expect(send_batch(3, 3, 10), SEND_RETRY, 0, "no acknowledgement in time");
    assert_int_equal(rd_kafka_mock_broker_set_up(rig.mock.cluster, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
    send_until_taken(3, 3, 10);
}

static void closing_answers_what_is_open_and_does_not_hang(void **state)
{
    (void)state;
    start();
    rd_kafka_mock_broker_set_rtt(rig.mock.cluster, 1, 5000);
    for (size_t i = 0; i < 3; i++)
        (void)begin(50, 2, 100);
    assert_true(close_wire() < 3 * SECOND / 2);
    assert_int_equal(rig.n_done, 3);
    for (size_t i = 0; i < 3; i++)
        expect(&rig.jobs[i], SEND_RETRY, 0, "");
}

static void a_closed_wire_answers_retry(void **state)
{
    (void)state;
    start();
    rig.wire.close(rig.wire.wire, on_closed, NULL);
    (void)begin(1, 1, 10);
    assert_int_equal(rig.n_done, 1);
    expect(&rig.jobs[0], SEND_RETRY, 0, "closing");
    loop_run(rig.loop);
    assert_true(rig.is_closed);
}

static void what_is_wrong_is_said_at_the_start(void **state)
{
    static const struct { const char *property, *topic, *want; } rows[] = {
        { "acks=1", "t", "exporters.kafka.properties 1: 'acks'" },
        { "compression.type=gzip", "t", "exporters.kafka.properties 1: 'compression.type'" },
        { "compression.codec=gzip", "t", "exporters.kafka.properties 1: 'compression.codec'" },
        { "partitioner=random", "t", "exporters.kafka.properties 1: 'partitioner'" },
        { "enable.idempotence=false", "t", "exporters.kafka.properties 1: 'enable.idempotence'" },
        { "delivery.timeout.ms=5", "t", "exporters.kafka.properties 1: 'delivery.timeout.ms'" },
        { "transactional.id=x", "t", "exporters.kafka.properties 1: 'transactional.id'" },
        { "delivery.report.only.error=true", "t", "exporters.kafka.properties 1: " },
        { "max.in.flight=50", "t", "exporters.kafka.properties: " },
        { "client.id=x", "no topic", "exporters.kafka.topic: 'no topic'" },
        { "client.id=x", "", "exporters.kafka.topic: " },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = { "" };
        rig.conf.properties.n = 0;
        property(rows[i].property);
        rig.conf.topic = str_of(rows[i].topic);
        assert_int_equal(kafka_export_new(&rig.export, &rig.conf, &why), MG_E_FORMAT);
        assert_null(rig.export);
        if (!strstr(why.text, rows[i].want))
            fail_msg("%s", why.text);
    }
}

static void it_can_be_freed_without_an_open(void **state)
{
    (void)state;
    assert_int_equal(kafka_export_new(&rig.export, &rig.conf, NULL), MG_OK);
    kafka_export_free(&rig.export);
    kafka_export_free(&rig.export);
}

int main(void)
{
#define TEST(f)       cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CERTS_TEST(f) cmocka_unit_test_setup_teardown(f, setup_certs, teardown_certs)
    const struct CMUnitTest tests[] = {
        TEST(a_batch_becomes_a_message_per_trace),
        TEST(a_key_goes_where_other_clients_put_it),
        TEST(a_large_trace_becomes_several_messages),
        TEST(many_batches_at_a_time),
        TEST(an_empty_batch_is_taken),
        TEST(a_malformed_batch_is_refused),
        TEST(a_span_over_the_limit_is_refused_alone),
        TEST(what_a_broker_says_decides),
        TEST(a_topic_that_takes_less_gets_smaller_messages),
        TEST(a_failed_producer_is_made_anew),
        CERTS_TEST(changed_files_make_a_new_producer),
        CERTS_TEST(files_that_cannot_be_used_leave_the_old_producer),
        CERTS_TEST(files_that_could_not_be_read_for_a_moment_are_taken),
        CERTS_TEST(a_close_does_not_wait_for_an_exchange),
        TEST(no_broker_means_retry_with_its_reason),
        TEST(closing_answers_what_is_open_and_does_not_hang),
        TEST(a_closed_wire_answers_retry),
        TEST(what_is_wrong_is_said_at_the_start),
        TEST(it_can_be_freed_without_an_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
