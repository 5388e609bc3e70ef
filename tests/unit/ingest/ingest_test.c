/* ingest_test.c - requests over HTTP and gRPC from the socket to the answer: OTLP, overload, hints, loud peers, the end. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bodies.h"
#include "http/conn.h"
#include "rig.h"

#define SECOND_NS UINT64_C(1000000000)
#define HTTP  INGEST_DOOR_OTLP_HTTP
#define PROTO "application/x-protobuf"

static void open_doors(struct rig *rig, bool http2)
{
    const struct http_route *routes;
    size_t n;

    rig_open(rig);
    routes = ingest_otlp_http_routes(&n);
    rig_serve(rig, routes, n, http2);
}

static void open_http(struct rig *rig)
{
    open_doors(rig, false);
}

static struct post otlp_post(const struct buf *body)
{
    return (struct post){ .path = "/v1/traces", .type = PROTO, .body = buf_str(body) };
}

static void otlp_is_answered_over_both(void **state)
{
    static const struct { bool is_grpc; uint32_t bad; } cases[] = { { false, 0 }, { false, 1 }, { true, 0 }, { true, 1 } };
    struct buf body;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig = { 0 };
        struct reply reply;
        const struct http_route *routes;
        size_t n;
        rig_open(&rig);
        routes = cases[i].is_grpc ? ingest_otlp_grpc_routes(&n) : ingest_otlp_http_routes(&n);
        rig_serve(&rig, routes, n, cases[i].is_grpc);
        otlp_named_body(&body, 1, 3, cases[i].bad);
        rig_post(&rig, &(struct post){ .path = cases[i].is_grpc ? "/opentelemetry.proto.collector.trace.v1.TraceService/Export" : "/v1/traces",
                                       .type = cases[i].is_grpc ? NULL : PROTO, .is_grpc = cases[i].is_grpc, .body = buf_str(&body) }, &reply);
        assert_int_equal(reply.status, 200);
        if (cases[i].is_grpc)
            assert_int_equal(reply.grpc_status, 0);
        assert_int_equal(reply.body_len > 0, cases[i].bad != 0); /* partial success */
        assert_string_equal(rig_names(&rig, 1), cases[i].bad ? "op1 op2" : "op0 op1 op2");
        buf_fini(&body);
        rig_close(&rig);
    }
}

static void bad_requests_are_refused_before_anything_is_taken(void **state)
{
    static const struct { const char *type, *encoding; struct str body; int status; enum ingest_outcome outcome; } cases[] = {
        { "text/plain", NULL, STR_INIT(""), 415, OUTCOME_MEDIA },
        { NULL, NULL, STR_INIT(""), 415, OUTCOME_MEDIA },
        { PROTO ";x", NULL, STR_INIT(""), 415, OUTCOME_MEDIA },
        { PROTO, "br", STR_INIT(""), 415, OUTCOME_ENCODING },
        { PROTO, "gzip", STR_INIT("x"), 400, OUTCOME_MALFORMED },
        { PROTO, NULL, STR_INIT("\xff"), 400, OUTCOME_MALFORMED },
        { "application/json", NULL, STR_INIT("[]"), 400, OUTCOME_MALFORMED },
    };
    struct rig rig = { 0 };
    struct reply reply;

    (void)state;
    open_http(&rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t before = rig_metric(&rig, INGEST_requests, HTTP, cases[i].outcome);
        rig_post(&rig, &(struct post){ .path = "/v1/traces", .type = cases[i].type, .encoding = cases[i].encoding, .body = cases[i].body }, &reply);
        assert_int_equal(reply.status, cases[i].status);
        assert_string_equal(reply.retry_after, "");
        assert_int_equal(rig_metric(&rig, INGEST_requests, HTTP, cases[i].outcome), before + 1);
    }
    assert_int_equal(rig_ledger(&rig).accepted, 0);
    rig_close(&rig);
}

static bool is_waiting(void *owner)
{
    return ((struct rig *)owner)->ingest->waiting > 0;
}

/* A request that waits while only so many bytes are free, and is served when all are. */
static void assert_waits_and_goes_on(struct rig *rig, const struct buf *body, size_t free_bytes)
{
    const struct post post = otlp_post(body);
    struct reply reply;

    rig_leave_credit(rig, free_bytes);
    rig_begin(rig, &post, &reply);
    rig_run(rig, is_waiting, rig);
    assert_false(reply.is_done);
    rig_leave_credit(rig, 0);
    rig_run(rig, reply_is_done, &reply);
    assert_int_equal(reply.status, 200);
}

static void a_request_waits_at_its_head_and_then_goes_on(void **state)
{
    struct rig rig = { 0 };
    struct buf body;

    (void)state;
    open_http(&rig);
    otlp_named_body(&body, 1, 3, 0);
    assert_waits_and_goes_on(&rig, &body, 1); /* short: bodies stay unread */
    assert_int_equal(rig_ledger(&rig).accepted, 3);
    buf_fini(&body);
    rig_close(&rig);
}

static void large_body(struct buf *body)
{
    otlp_named_body(body, 1, 3, 0);
    body->limit = 4 << 20;
    while (body->len < 2000000) /* an unknown field */
        buf_put(body, "\x7a\x7e" "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                      "012345678901234567890123456789012345", 128);
}

static bool is_waiting_with_body(void *owner)
{
    struct waiter *waiter = LIST_FIRST(&((struct rig *)owner)->doors->waiting, struct waiter, link);

    return waiter && MG_CONTAINER(waiter, struct export, waiter)->has_body;
}

static void a_body_larger_than_what_is_free_waits_with_its_bytes(void **state)
{
    struct rig rig = { .conf = { .body_bytes_max = 4 << 20 } };
    struct buf body;

    (void)state;
    open_http(&rig);
    large_body(&body);
    assert_waits_and_goes_on(&rig, &body, (16 << 20) / 16 + 1000); /* not short, but less than twice the body */
    buf_fini(&body);
    rig_close(&rig);
}

/* The ring is 16 MiB: a sixteenth stays free, and room for what was let in lately, up to an eighth. */
static void heads_wait_for_the_bodies_that_were_let_in(void **state)
{
    static const struct { size_t unanswered, begun[2], body_rows, free_bytes; bool waits; } cases[] = {
        { 0, { 9, 9 }, 1 << 20, (1 << 20) - 1, true },     { 0, { 9, 9 }, 1 << 20, (1 << 20) + 9999, false },
        { 1, { 1, 0 }, 1 << 20, (2 << 20) - 1, true },     { 1, { 1, 0 }, 1 << 20, (2 << 20) + 9999, false },
        { 1, { 0, 1 }, 1 << 20, (2 << 20) - 1, true },     { 1, { 0, 1 }, 1 << 20, (2 << 20) + 9999, false },
        { 999, { 9, 9 }, 1 << 20, (3 << 20) - 1, true },   { 999, { 9, 9 }, 1 << 20, (3 << 20) + 9999, false },
        { 999, { 0, 0 }, 1 << 20, (1 << 20) + 9999, false }, /* they are slow */
        { 999, { 9, 9 }, 0, (1 << 20) + 9999, false },
    };
    struct buf body;

    (void)state;
    otlp_named_body(&body, 1, 3, 0);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig = { 0 };
        const struct post post = otlp_post(&body);
        struct reply reply;
        open_http(&rig);
        rig.doors->let_in = (struct let_in){ cases[i].unanswered, { cases[i].begun[0], cases[i].begun[1] },
                                             loop_now_ns(rig.loop) + 3600 * SECOND_NS /* no second ends meanwhile */, cases[i].body_rows };
        rig_leave_credit(&rig, cases[i].free_bytes);
        rig_begin(&rig, &post, &reply);
        rig_run(&rig, cases[i].waits ? is_waiting : reply_is_done, cases[i].waits ? (void *)&rig : &reply);
        rig.doors->let_in.unanswered -= cases[i].unanswered;
        rig_leave_credit(&rig, 0);
        rig_run(&rig, reply_is_done, &reply);
        assert_int_equal(reply.status, 200);
        assert_int_equal(rig_metric(&rig, INGEST_waits, 0, 0), cases[i].waits);
        rig_close(&rig);
    }
    buf_fini(&body);
}

static void who_was_let_in_long_ago_is_slow(void **state)
{
    static const struct { uint64_t ago_ns; size_t want[2]; } cases[] = {
        { SECOND_NS - 1, { 5, 7 } }, { SECOND_NS, { 0, 5 } }, { 2 * SECOND_NS - 1, { 0, 5 } }, { 2 * SECOND_NS, { 0, 0 } }, { 9 * SECOND_NS, { 0, 0 } },
    };
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct let_in *let_in = &rig.doors->let_in;
        *let_in = (struct let_in){ .begun = { 5, 7 }, .second_ns = loop_now_ns(rig.loop) - cases[i].ago_ns };
        assert_false(is_short(rig.doors));
        assert_memory_equal(let_in->begun, cases[i].want, sizeof let_in->begun);
    }
    rig_close(&rig);
}

static bool is_let_in(void *owner)
{
    return ((struct rig *)owner)->doors->let_in.unanswered == 1;
}

static bool nobody_is_let_in(void *owner)
{
    return ((struct rig *)owner)->doors->let_in.unanswered == 0;
}

static void a_peer_that_goes_amid_its_body_is_let_out(void **state)
{
    static const char begun[] = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: " PROTO "\r\nContent-Length: 9\r\n\r\n12";
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct rig rig = { 0 };
    struct str host, port;
    uint64_t number;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    open_http(&rig);
    assert_true(fd >= 0 && str_split_at(http_server_address(rig.server), ':', &host, &port));
    assert_int_equal(str_u64(port, &number), MG_OK);
    to.sin_port = htons((uint16_t)number);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0); /* the backlog takes it */
    assert_int_equal(write(fd, begun, sizeof begun - 1), sizeof begun - 1);
    rig_run(&rig, is_let_in, &rig);
    close(fd);
    rig_run(&rig, nobody_is_let_in, &rig);
    rig_close(&rig);
}

/* Whoever waited its time at the head has none left for its body: the time is the request's. */
static void head_and_body_share_the_time_to_wait(void **state)
{
    static const struct { uint64_t waited_ns; bool is_refused; } cases[] = { { 0, false }, { 1800, false }, { 3600, true }, { 7200, true } };
    const size_t room = (16 << 20) / 16 + 1000; /* not short, but less than twice the body */
    struct buf body;

    (void)state;
    large_body(&body);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig = { .conf = { .body_bytes_max = 4 << 20, .wait_ns = 3600 * SECOND_NS } };
        const struct post post = otlp_post(&body);
        struct reply reply;
        struct waiter *waiter;
        open_http(&rig);
        rig_leave_credit(&rig, 1);
        rig_begin(&rig, &post, &reply);
        rig_run(&rig, is_waiting, &rig);
        waiter = LIST_FIRST(&rig.doors->waiting, struct waiter, link);
        MG_CONTAINER(waiter, struct export, waiter)->request->waited_ns = cases[i].waited_ns * SECOND_NS;
        rig_leave_credit(&rig, room);
        rig_run(&rig, cases[i].is_refused ? reply_is_done : is_waiting_with_body, cases[i].is_refused ? (void *)&reply : &rig);
        rig_leave_credit(&rig, 0);
        rig_run(&rig, reply_is_done, &reply);
        assert_int_equal(reply.status, cases[i].is_refused ? 503 : 200);
        assert_int_equal(rig_metric(&rig, INGEST_busy, HTTP, BUSY_WAIT), cases[i].is_refused);
        assert_int_equal(rig_metric(&rig, INGEST_bytes_received, HTTP, 0), body.len); /* also of one that is refused then */
        rig_close(&rig);
    }
    buf_fini(&body);
}

/* Field 1000 of ResourceSpans, which OTLP 0.15 gave up: its sender is told, and the number survives a restart. */
static void old_library_spans_are_refused(void **state)
{
    static const struct { const char *bytes; size_t len; uint32_t n; const char *told; } cases[] = {
        { "\x0a\x05\xc2\x3e\x02\x12\x00", 7, 1, "1 span refused: instrumentation_library_spans" },
        { "\x0a\x07\xc2\x3e\x04\x12\x00\x12\x00", 9, 2, "2 spans refused: instrumentation_library_spans" },
        { "\x0a\x0b\xc2\x3e\x02\x12\x00\x12\x04\x12\x02\x2a\x00", 13, 2, "2 spans refused; the first is number 0 of the request: trace_id" },
        { "\x0a\x03\xc2\x3e\x00", 5, 0, "" },
    };
    struct rig rig = { 0 };
    uint32_t refused = 0, unread = 0;

    (void)state;
    open_http(&rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct reply reply;
        rig_post(&rig, &(struct post){ .path = "/v1/traces", .type = PROTO, .body = str_n(cases[i].bytes, cases[i].len) }, &reply);
        assert_int_equal(reply.status, 200);
        assert_int_equal(reply.body_len > 0, cases[i].n > 0);
        assert_true(str_find(str_n(reply.body, reply.body_len), str_of(cases[i].told), &(size_t){ 0 }));
        refused += cases[i].n;
        unread += cases[i].n > 0 ? cases[i].n - (i == 2) : 0;
        assert_int_equal(rig_ledger(&rig).refused, refused);
        assert_int_equal(rig_metric(&rig, INGEST_spans_refused, HTTP, SPAN_LIBRARY), unread);
    }
    rig_restart(&rig);
    assert_int_equal(rig_ledger(&rig).refused, refused);
    rig_close(&rig);
}

enum { TURNS = 5 };
static bool all_wait(void *owner)
{
    return ((struct rig *)owner)->ingest->waiting == TURNS;
}

/* Its bytes stay in the socket, and the next ack lets two in; one that was read already waits too. */
static void a_request_waits_for_its_turn_in_the_log(void **state)
{
    struct rig rig = { 0 };
    struct given_body given;
    struct reply replies[TURNS];
    struct buf body;

    (void)state;
    open_doors(&rig, true); /* one connection, several requests */
    otlp_named_body(&body, 1, 3, 0);
    const struct post post = otlp_post(&body);
    rig.doors->in_log_bytes = IN_LOG_BYTES_MAX;
    for (size_t i = 0; i < TURNS; i++)
        rig_begin(&rig, &post, &replies[i]);
    rig_run(&rig, all_wait, &rig);
    rig_give(&rig, &given, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body));
    timer_stop(rig.doors->timer); /* its tick lets in more */
    rig.doors->in_log_bytes = 0;
    waiting_resume(rig.doors);
    assert_int_equal(rig.ingest->waiting, TURNS - 2);
    for (size_t i = 0; i < TURNS; i++) { /* each ack goes on by itself */
        rig_run(&rig, reply_is_done, &replies[i]);
        assert_int_equal(replies[i].status, 200);
    }
    rig_run(&rig, given_is_done, &given);
    assert_int_equal(given.err, MG_OK);
    assert_int_equal(rig_ledger(&rig).accepted, 3 * (TURNS + 1));
    assert_int_equal(rig.doors->in_log_bytes, 0);
    buf_fini(&body);
    rig_close(&rig);
}

static void assert_busy(struct rig *rig, const struct buf *body, enum ingest_busy reason)
{
    const struct post post = otlp_post(body);
    struct reply reply;

    rig_post(rig, &post, &reply);
    assert_int_equal(reply.status, 503);
    assert_in_range(reply.retry_after[0], '1', '3');
    assert_int_equal(rig_metric(rig, INGEST_busy, HTTP, reason), 1);
}

static void refused_requests_get_a_hint_and_their_reason_is_counted(void **state)
{
    struct rig rig = { .conf = { .wait_ns = 1 } };
    struct buf body;

    (void)state;
    open_http(&rig);
    otlp_named_body(&body, 1, 3, 0);
    rig_leave_credit(&rig, 1);
    assert_busy(&rig, &body, BUSY_WAIT);
    assert_int_equal(rig_metric(&rig, INGEST_requests, HTTP, OUTCOME_BUSY), 1);
    assert_int_equal(rig_metric(&rig, INGEST_bytes_received, HTTP, 0), 0); /* the body was not read */
    buf_fini(&body);
    rig_close(&rig);
}

static void never(struct waiter *waiter, enum ingest_busy reason)
{
    (void)waiter;
    (void)reason;
    fail_msg("a quiet one was refused");
}

static bool waits_on(struct waiter *waiter)
{
    (void)waiter;
    return false;
}

static void a_loud_peer_is_refused_before_its_time(void **state)
{
    struct waiter quiet = { .give_up_ns = UINT64_MAX, .peer = talkers_peer(STR("10.0.0.1:1")), .serve = waits_on, .give_up = never };
    struct rig rig = { 0 };
    struct reply reply;
    struct buf body;

    (void)state;
    open_http(&rig);
    otlp_named_body(&body, 1, 30, 0);
    const struct post post = otlp_post(&body);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.status, 200); /* the client's address is known with what it sent */
    talkers_add(&rig.doors->talkers, quiet.peer, 10, loop_now_ns(rig.loop));
    assert_true(talkers_is_loud(&rig.doors->talkers, talkers_peer(STR("127.0.0.1:1")), loop_now_ns(rig.loop)));
    rig_leave_credit(&rig, 1);
    waiting_add(rig.doors, &quiet);
    assert_busy(&rig, &body, BUSY_TALKER);
    list_remove(&quiet.link);
    rig.ingest->waiting--;
    buf_fini(&body);
    rig_close(&rig);
}

static void on_closed(void *owner)
{
    ((struct rig *)owner)->is_idle = true;
}

static void at_the_end_whoever_waits_is_answered(void **state)
{
    struct rig rig = { 0 };
    struct reply waits, comes;
    struct buf body;

    (void)state;
    open_http(&rig);
    otlp_named_body(&body, 1, 3, 0);
    rig_leave_credit(&rig, 1);
    const struct post post = otlp_post(&body);
    rig_begin(&rig, &post, &waits);
    rig_run(&rig, is_waiting, &rig);
    ingest_loop_close(rig.doors, on_closed, &rig);
    assert_true(rig.is_idle);
    rig_leave_credit(&rig, 0);
    rig_post(&rig, &post, &comes);
    rig_run(&rig, reply_is_done, &waits);
    assert_int_equal(waits.status, 503);
    assert_int_equal(comes.status, 503);
    assert_int_equal(rig_metric(&rig, INGEST_busy, HTTP, BUSY_CLOSING), 2);
    buf_fini(&body);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(otlp_is_answered_over_both),
        cmocka_unit_test(bad_requests_are_refused_before_anything_is_taken),
        cmocka_unit_test(a_request_waits_at_its_head_and_then_goes_on),
        cmocka_unit_test(a_body_larger_than_what_is_free_waits_with_its_bytes),
        cmocka_unit_test(heads_wait_for_the_bodies_that_were_let_in),
        cmocka_unit_test(who_was_let_in_long_ago_is_slow),
        cmocka_unit_test(a_peer_that_goes_amid_its_body_is_let_out),
        cmocka_unit_test(head_and_body_share_the_time_to_wait),
        cmocka_unit_test(old_library_spans_are_refused),
        cmocka_unit_test(a_request_waits_for_its_turn_in_the_log),
        cmocka_unit_test(refused_requests_get_a_hint_and_their_reason_is_counted),
        cmocka_unit_test(a_loud_peer_is_refused_before_its_time),
        cmocka_unit_test(at_the_end_whoever_waits_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
