/* ingest_test.c - requests over HTTP and gRPC from the socket to the answer: OTLP, overload, hints, loud peers, the end. */
#include "bodies.h"
#include "rig.h"

#define HTTP  INGEST_DOOR_OTLP_HTTP
#define PROTO "application/x-protobuf"

static void open_http(struct rig *rig)
{
    const struct http_route *routes;
    size_t n;

    rig_open(rig);
    routes = ingest_otlp_http_routes(&n);
    rig_serve(rig, routes, n, false);
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

static void a_body_larger_than_what_is_free_waits_with_its_bytes(void **state)
{
    struct rig rig = { 0 };
    struct buf body;

    (void)state;
    open_http(&rig);
    otlp_named_body(&body, 1, 3, 0);
    while (body.len < 900000) /* an unknown field */
        buf_put(&body, "\x7a\x7e" "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                       "012345678901234567890123456789012345", 128);
    assert_waits_and_goes_on(&rig, &body, (16 << 20) / 16 + 1000); /* not short, but less than twice the body */
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
        cmocka_unit_test(refused_requests_get_a_hint_and_their_reason_is_counted),
        cmocka_unit_test(a_loud_peer_is_refused_before_its_time),
        cmocka_unit_test(at_the_end_whoever_waits_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
