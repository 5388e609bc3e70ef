/* jaeger_test.c - the Jaeger doors over HTTP and gRPC from outside. */
#include "bodies.h"
#include "rig.h"

#define PATH      "/jaeger.api_v2.CollectorService/PostSpans"
#define THRIFT    "application/x-thrift"
#define GRPC_OK   0
#define GRPC_INVALID_ARGUMENT 3
#define GRPC_TOO_BIG 8
#define GRPC_UNIMPLEMENTED 12
#define GRPC_UNAVAILABLE 14

static void open_thrift(struct rig *rig)
{
    const struct http_route *routes;
    size_t n;

    rig_open(rig);
    routes = ingest_jaeger_http_routes(&n);
    rig_serve(rig, routes, n, false);
}

static void open_grpc(struct rig *rig)
{
    const struct http_route *routes;
    size_t n;

    rig_open(rig);
    routes = ingest_jaeger_grpc_routes(&n);
    rig_serve(rig, routes, n, true);
}

/* --- Thrift over HTTP ------------------------------------------------------------------------------- */

static void every_type_and_encoding_is_answered_as_jaeger_does(void **state)
{
    static const struct { const char *type, *encoding; bool is_gzipped; int status; const char *text; enum ingest_outcome outcome; } cases[] = {
        { THRIFT, NULL, false, 202, "", OUTCOME_ACCEPTED },
        { "application/vnd.apache.thrift.binary", NULL, false, 202, "", OUTCOME_ACCEPTED },
        { THRIFT "; charset=utf-8", NULL, false, 202, "", OUTCOME_ACCEPTED },
        { "Application/X-Thrift", NULL, false, 202, "", OUTCOME_ACCEPTED },
        { THRIFT, "gzip", true, 202, "", OUTCOME_ACCEPTED },
        { NULL, NULL, false, 400, "Cannot parse content type: ", OUTCOME_MEDIA },
        { THRIFT ";charset", NULL, false, 400, "Cannot parse content type: ", OUTCOME_MEDIA },
        { "application/json", NULL, false, 400, "Unsupported content type: application/json", OUTCOME_MEDIA },
        { "application/vnd.apache.thrift.compact", NULL, false, 400, "Unsupported content type: ", OUTCOME_MEDIA },
        { THRIFT, "br", false, 400, "Unable to process request body: ", OUTCOME_ENCODING },
        { THRIFT, "gzip", false, 400, "Unable to process request body: ", OUTCOME_MALFORMED },
    };
    struct rig rig = { 0 };
    struct buf body, packed;

    (void)state;
    open_thrift(&rig);
    captured_body(&body, CAPTURED_THRIFT_MIN);
    gzip_body(&packed, buf_str(&body));
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct post post = { .path = "/api/traces?format=jaeger.thrift", .type = cases[i].type, .encoding = cases[i].encoding,
                                   .body = cases[i].is_gzipped ? buf_str(&packed) : buf_str(&body) };
        uint64_t before = rig_metric(&rig, INGEST_requests, INGEST_DOOR_JAEGER_HTTP, cases[i].outcome);
        struct reply reply;
        rig_post(&rig, &post, &reply);
        if (reply.status != cases[i].status || !strstr(reply.body, cases[i].text))
            fail_msg("row %zu: %d %s", i, reply.status, reply.body);
        if (reply.status == 202)
            assert_int_equal(reply.body_len, 0);
        assert_int_equal(rig_metric(&rig, INGEST_requests, INGEST_DOOR_JAEGER_HTTP, cases[i].outcome), before + 1);
    }
    assert_int_equal(rig_ledger(&rig).accepted, 5);
    buf_fini(&packed);
    buf_fini(&body);
    rig_close(&rig);
}

static void a_body_that_is_no_batch_is_refused_whole(void **state)
{
    struct rig rig = { 0 };
    struct buf body, datagram;
    struct reply reply;
    struct post post = { .path = "/api/traces", .type = THRIFT };

    (void)state;
    open_thrift(&rig);
    captured_body(&body, CAPTURED_THRIFT_MIN);
    captured_body(&datagram, CAPTURED_COMPACT_MIN);
    for (size_t len = 0; len < body.len; len += 5) {
        post.body = str_n(body.ptr, len);
        rig_post(&rig, &post, &reply);
        assert_int_equal(reply.status, 400);
        assert_non_null(strstr(reply.body, "Unable to process request body: "));
    }
    post.body = buf_str(&datagram);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.status, 400);
    assert_int_equal(rig_ledger(&rig).accepted, 0);
    buf_fini(&datagram);
    buf_fini(&body);
    rig_close(&rig);
}

static void overload_is_503_with_a_hint(void **state)
{
    struct rig rig = { .conf = { .wait_ns = 1 } };
    struct post post = { .path = "/api/traces", .type = THRIFT };
    struct reply reply;
    struct buf body;

    (void)state;
    open_thrift(&rig);
    captured_body(&body, CAPTURED_THRIFT_MIN);
    post.body = buf_str(&body);
    rig_leave_credit(&rig, 1);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.body, "Cannot submit Jaeger batch: "));
    assert_in_range(reply.retry_after[0], '1', '3');
    buf_fini(&body);
    rig_close(&rig);
}

/* --- gRPC ------------------------------------------------------------------------------------------- */

/* PostSpansRequest { 1: Batch { 1: Span { 1: trace_id, 2: span_id, 3: operation_name }, 2: Process { 1: service_name } } } */
static const struct str post_spans = STR_INIT("\x0a\x2b"
                                              "\x0a\x22" "\x0a\x10" "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "\x12\x08" "\0\0\0\0\0\0\0\1" "\x1a\x04" "call"
                                              "\x12\x05" "\x0a\x03" "svc");

static void post_spans_is_answered_with_an_empty_message(void **state)
{
    struct rig rig = { 0 };
    struct reply reply;
    struct buf packed;

    (void)state;
    open_grpc(&rig);
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = post_spans }, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.grpc_status, GRPC_OK);
    assert_int_equal(reply.body_len, 0);
    assert_string_equal(rig_names(&rig, 1), "call");
    gzip_body(&packed, post_spans);
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = buf_str(&packed), .encoding = "gzip", .is_compressed = true }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_OK);
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = STR("") }, &reply); /* no batch */
    assert_int_equal(reply.grpc_status, GRPC_OK);
    assert_int_equal(rig_ledger(&rig).accepted, 2);
    assert_int_equal(rig_metric(&rig, INGEST_spans_accepted, INGEST_DOOR_JAEGER_GRPC, 0), 2);
    buf_fini(&packed);
    rig_close(&rig);
}

static void what_is_wrong_with_a_call_is_its_status(void **state)
{
    struct rig rig = { .conf = { .body_bytes_max = 4096 } };
    struct reply reply;
    struct buf big, packed;

    (void)state;
    open_grpc(&rig);
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = STR("\x0a\x7f") }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_INVALID_ARGUMENT);
    assert_true(reply.message[0] != '\0');
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = post_spans, .encoding = "gzip", .is_compressed = true }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_INVALID_ARGUMENT);
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = post_spans, .encoding = "br", .is_compressed = true }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_UNIMPLEMENTED);
    rig_post(&rig, &(struct post){ .path = "/jaeger.api_v2.CollectorService/GetSpans", .is_grpc = true, .body = post_spans }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_UNIMPLEMENTED);
    buf_init(&big, 1 << 20);
    for (size_t i = 0; i < 5000; i++)
        buf_put_char(&big, 'x');
    gzip_body(&packed, buf_str(&big));
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = buf_str(&packed), .encoding = "gzip", .is_compressed = true }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_TOO_BIG);
    assert_int_equal(rig_ledger(&rig).accepted, 0);
    buf_fini(&packed);
    buf_fini(&big);
    rig_close(&rig);
}

static void overload_is_unavailable(void **state)
{
    struct rig rig = { .conf = { .wait_ns = 1 } };
    struct reply reply;

    (void)state;
    open_grpc(&rig);
    rig_leave_credit(&rig, 1);
    rig_post(&rig, &(struct post){ .path = PATH, .is_grpc = true, .body = post_spans }, &reply);
    assert_int_equal(reply.grpc_status, GRPC_UNAVAILABLE);
    assert_int_equal(rig_metric(&rig, INGEST_busy, INGEST_DOOR_JAEGER_GRPC, BUSY_WAIT), 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_and_encoding_is_answered_as_jaeger_does),
        cmocka_unit_test(a_body_that_is_no_batch_is_refused_whole),
        cmocka_unit_test(overload_is_503_with_a_hint),
        cmocka_unit_test(post_spans_is_answered_with_an_empty_message),
        cmocka_unit_test(what_is_wrong_with_a_call_is_its_status),
        cmocka_unit_test(overload_is_unavailable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
