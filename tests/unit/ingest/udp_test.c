/* udp_test.c - datagrams from a socket to the ring, and all the ways in which one is counted and gone. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bodies.h"
#include "net/udp.h"
#include "rig.h"

#define COMPACT INGEST_DOOR_JAEGER_COMPACT
#define BINARY  INGEST_DOOR_JAEGER_BINARY

static void open_door(struct rig *rig, enum ingest_door door)
{
    const struct udp_options where = { .address = STR("127.0.0.1:0") };
    struct mg_why why = { "" };

    if (ingest_udp_open(rig->doors, door, &where, &why) != MG_OK)
        fail_msg("%s", why.text);
}

static void send_to(struct rig *rig, enum ingest_door door, struct str bytes, unsigned n)
{
    struct str address = ingest_udp_address(rig->doors, door), host, port;
    struct sockaddr_in to = { .sin_family = AF_INET };
    uint64_t number;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && str_split_at(address, ':', &host, &port));
    assert_int_equal(str_u64(port, &number), MG_OK);
    assert_true(number > 0);
    to.sin_port = htons((uint16_t)number);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(sendto(fd, bytes.ptr, bytes.len, 0, (struct sockaddr *)&to, sizeof to), bytes.len);
    close(fd);
}

/* jaeger-client of Node.js: strict binary header, ONEWAY emitBatch, then the batch, the same struct as over HTTP. */
static void binary_message(struct buf *out)
{
    struct buf batch;

    captured_body(&batch, CAPTURED_THRIFT_MIN);
    buf_init(out, 65536);
    buf_put(out, "\x80\x01\x00\x04\x00\x00\x00\x09" "emitBatch" "\0\0\0\0" "\x0c\x00\x01", 24);
    buf_put_str(out, buf_str(&batch));
    buf_put_char(out, 0);
    buf_fini(&batch);
}

static void both_doors_take_what_clients_send(void **state)
{
    struct rig rig = { 0 };
    struct buf body;

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    open_door(&rig, BINARY);
    captured_body(&body, CAPTURED_COMPACT_MIN);
    send_to(&rig, COMPACT, buf_str(&body), 1);
    buf_fini(&body);
    captured_body(&body, CAPTURED_COMPACT_FULL);
    send_to(&rig, COMPACT, buf_str(&body), 1);
    rig_run_until(&rig, INGEST_spans_accepted, COMPACT, 0, 2);
    buf_fini(&body);
    binary_message(&body);
    send_to(&rig, BINARY, buf_str(&body), 3);
    rig_run_until(&rig, INGEST_spans_accepted, BINARY, 0, 3);
    assert_int_equal(rig_ledger(&rig).accepted, 5);
    assert_int_equal(rig_metric(&rig, INGEST_requests, COMPACT, OUTCOME_ACCEPTED), 2);
    assert_int_equal(rig.doors->datagrams.n, 0);
    assert_int_equal(rig.doors->datagrams.bytes, 0);
    rig_restart(&rig); /* and they are in the log */
    assert_int_equal(rig_ledger(&rig).accepted, 5);
    buf_fini(&body);
    rig_close(&rig);
}

static void what_is_no_batch_is_counted_and_gone(void **state)
{
    struct rig rig = { 0 };
    struct buf body;
    unsigned sent = 0;

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    captured_body(&body, CAPTURED_COMPACT_MIN);
    for (size_t len = 1; len < body.len; len += 9, sent++)
        send_to(&rig, COMPACT, str_n(body.ptr, len), 1);
    send_to(&rig, COMPACT, STR("hello"), 1);
    send_to(&rig, COMPACT, STR(""), 1);
    sent += 2;
    rig_run_until(&rig, INGEST_requests, COMPACT, OUTCOME_MALFORMED, sent);
    send_to(&rig, COMPACT, buf_str(&body), 1);
    rig_run_until(&rig, INGEST_spans_accepted, COMPACT, 0, 1);
    assert_int_equal(rig_ledger(&rig).accepted, 1);
    buf_fini(&body);
    rig_close(&rig);
}

static void one_without_credit_is_gone_at_once(void **state)
{
    struct rig rig = { 0 };
    struct buf body;

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    captured_body(&body, CAPTURED_COMPACT_MIN);
    rig_leave_credit(&rig, 1);
    send_to(&rig, COMPACT, buf_str(&body), 5);
    rig_run_until(&rig, INGEST_busy, COMPACT, BUSY_CREDIT, 5);
    assert_int_equal(rig_metric(&rig, INGEST_requests, COMPACT, OUTCOME_BUSY), 5);
    assert_int_equal(rig.ingest->waiting, 0);
    assert_int_equal(rig.doors->datagrams.n, 0);
    rig_leave_credit(&rig, 0);
    send_to(&rig, COMPACT, buf_str(&body), 1);
    rig_run_until(&rig, INGEST_spans_accepted, COMPACT, 0, 1);
    buf_fini(&body);
    rig_close(&rig);
}

/* The log is not slow enough in a test; what would be under way is claimed instead. */
static void what_is_under_way_is_bounded(void **state)
{
    static const struct { size_t n, bytes; bool is_taken; } cases[] = {
        { 4095, 0, true }, { 4096, 0, false }, { 0, (16 << 20) - 2048, true }, { 0, (16 << 20) - 2047, false },
    };
    struct rig rig = { 0 };
    struct buf body;
    uint64_t taken = 0, gone = 0;

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    captured_body(&body, CAPTURED_COMPACT_MIN);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        rig.doors->datagrams.n += cases[i].n;
        rig.doors->datagrams.bytes += cases[i].bytes;
        send_to(&rig, COMPACT, buf_str(&body), 1);
        if (cases[i].is_taken)
            rig_run_until(&rig, INGEST_spans_accepted, COMPACT, 0, ++taken);
        else
            rig_run_until(&rig, INGEST_busy, COMPACT, BUSY_BACKLOG, ++gone);
        rig.doors->datagrams.n -= cases[i].n;
        rig.doors->datagrams.bytes -= cases[i].bytes;
    }
    buf_fini(&body);
    rig_close(&rig);
}

struct burst { struct rig *rig; struct str bytes; uint64_t sent; };

/* The kernel tells what it dropped with the next datagram that it takes, so one more is sent with every look. */
static bool has_ended(void *owner)
{
    struct burst *burst = owner;
    struct rig *rig = burst->rig;

    udp_doors_count(rig->doors);
    if (rig->doors->datagrams.n == 0 &&
        rig_metric(rig, INGEST_requests, COMPACT, OUTCOME_ACCEPTED) + rig_metric(rig, INGEST_requests, COMPACT, OUTCOME_BUSY) +
                rig_metric(rig, INGEST_kernel_dropped, 0, 0) == burst->sent)
        return true;
    send_to(rig, COMPACT, burst->bytes, 1);
    burst->sent++;
    return false;
}

static void a_burst_is_taken_or_counted_and_memory_comes_back(void **state)
{
    struct rig rig = { 0 };
    struct buf body;
    struct burst burst;

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    captured_body(&body, CAPTURED_COMPACT_MIN);
    burst = (struct burst){ &rig, buf_str(&body), 20000 };
    send_to(&rig, COMPACT, buf_str(&body), 20000); /* far more than the socket holds */
    rig_run(&rig, has_ended, &burst);
    assert_int_equal(rig_ledger(&rig).accepted, rig_metric(&rig, INGEST_spans_accepted, COMPACT, 0));
    assert_true(rig_metric(&rig, INGEST_spans_accepted, COMPACT, 0) > 0);
    assert_true(rig_metric(&rig, INGEST_kernel_dropped, 0, 0) > 0);
    assert_true(rig.doors->datagrams.spare_bytes <= 1 << 20);
    udp_doors_decay(rig.doors);
    assert_int_equal(rig.doors->datagrams.spare_bytes, 0);
    assert_true(list_empty(&rig.doors->datagrams.spare));
    buf_fini(&body);
    rig_close(&rig);
}

static void take_one(struct rig *rig, struct str bytes)
{
    uint64_t taken = rig_metric(rig, INGEST_spans_accepted, COMPACT, 0);

    send_to(rig, COMPACT, bytes, 1);
    rig_run_until(rig, INGEST_spans_accepted, COMPACT, 0, taken + 1);
}

static bool has_rested(void *owner)
{
    return ((struct rig *)owner)->doors->datagrams.spare_bytes == 0;
}

static void spare_memory_has_a_bound_and_goes_when_the_loop_is_idle(void **state)
{
    struct rig rig = { 0 };
    struct buf body;

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    captured_body(&body, CAPTURED_COMPACT_MIN);
    rig.doors->datagrams.spare_bytes = 1 << 20; /* as if so much were there */
    take_one(&rig, buf_str(&body));
    assert_true(list_empty(&rig.doors->datagrams.spare));
    rig.doors->datagrams.spare_bytes = 0;
    take_one(&rig, buf_str(&body));
    assert_false(list_empty(&rig.doors->datagrams.spare));
    rig.doors->busy_at_ns = 0; /* long ago */
    timer_start(rig.doors->timer, 0);
    rig_run(&rig, has_rested, &rig);
    assert_true(list_empty(&rig.doors->datagrams.spare));
    buf_fini(&body);
    rig_close(&rig);
}

static void an_address_that_is_taken_is_named(void **state)
{
    struct rig rig = { 0 };
    struct mg_why why = { "" };
    char text[64];

    (void)state;
    rig_open(&rig);
    open_door(&rig, COMPACT);
    snprintf(text, sizeof text, "%.*s", STR_ARG(ingest_udp_address(rig.doors, COMPACT)));
    const struct udp_options taken = { .address = str_of(text) }, nonsense = { .address = STR("nonsense") };
    assert_int_equal(ingest_udp_open(rig.doors, BINARY, &taken, &why), MG_E_IO);
    assert_non_null(strstr(why.text, text));
    assert_int_equal(ingest_udp_open(rig.doors, BINARY, &nonsense, &why), MG_E_FORMAT);
    open_door(&rig, BINARY);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_doors_take_what_clients_send),
        cmocka_unit_test(what_is_no_batch_is_counted_and_gone),
        cmocka_unit_test(one_without_credit_is_gone_at_once),
        cmocka_unit_test(what_is_under_way_is_bounded),
        cmocka_unit_test(a_burst_is_taken_or_counted_and_memory_comes_back),
        cmocka_unit_test(spare_memory_has_a_bound_and_goes_when_the_loop_is_idle),
        cmocka_unit_test(an_address_that_is_taken_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
