/* zipkin_test.c - the Zipkin door from outside: statuses and sentences, and that what was answered is there. */
#include "bodies.h"
#include "rig.h"

#define JSON  "application/json"
#define PROTO "application/x-protobuf"
#define SPAN  "{\"traceId\":\"0100000000000000\",\"id\":\"1\",\"name\":\"get\",\"localEndpoint\":{\"serviceName\":\"a\"}}"

static void open_door(struct rig *rig)
{
    const struct http_route *routes;
    size_t n;

    rig_open(rig);
    routes = ingest_zipkin_routes(&n);
    rig_serve(rig, routes, n, false);
}

static const struct {
    const char *type, *encoding;
    struct str body;
    bool is_gzipped;       /* by us; else the body is sent as it is, whatever the header says */
    int status;
    const char *text;      /* that the body holds */
    enum ingest_outcome outcome;
} rows[] = {
    { JSON, NULL, STR_INIT("[" SPAN "]"), false, 202, "", OUTCOME_ACCEPTED },
    { JSON, NULL, STR_INIT("[" SPAN "," SPAN "]"), false, 202, "", OUTCOME_ACCEPTED },
    { NULL, NULL, STR_INIT("[" SPAN "]"), false, 202, "", OUTCOME_ACCEPTED },
    { "text/plain;charset=UTF-8", NULL, STR_INIT("[" SPAN "]"), false, 202, "", OUTCOME_ACCEPTED },
    { "nonsense;", NULL, STR_INIT("[" SPAN "]"), false, 202, "", OUTCOME_ACCEPTED },
    { JSON, "identity", STR_INIT("[" SPAN "]"), false, 202, "", OUTCOME_ACCEPTED },
    { JSON, "gzip", STR_INIT("[" SPAN "]"), true, 202, "", OUTCOME_ACCEPTED },
    { JSON, "x-gzip", STR_INIT("[" SPAN "]"), true, 202, "", OUTCOME_ACCEPTED },
    { JSON, NULL, STR_INIT("[]"), false, 202, "", OUTCOME_ACCEPTED },
    { JSON, NULL, STR_INIT(""), false, 202, "", OUTCOME_ACCEPTED },
    { JSON, "gzip", STR_INIT(""), false, 202, "", OUTCOME_ACCEPTED },
    { PROTO, NULL, STR_INIT(""), false, 202, "", OUTCOME_ACCEPTED },
    { JSON, NULL, STR_INIT("{}"), false, 400, "Expected a JSON_V2 encoded list", OUTCOME_MALFORMED },
    { JSON, NULL, STR_INIT("null"), false, 400, "Expected a JSON_V2 encoded list", OUTCOME_MALFORMED },
    { JSON, NULL, STR_INIT(" [" SPAN "]"), false, 400, "Expected a JSON_V2 encoded list", OUTCOME_MALFORMED },
    { JSON, NULL, STR_INIT("[" SPAN), false, 400, "reading List<Span> from json", OUTCOME_MALFORMED },
    { JSON, NULL, STR_INIT("[" SPAN ",]"), false, 400, "", OUTCOME_MALFORMED },
    { JSON, NULL, STR_INIT("[" SPAN ",{\"traceId\":\"0\",\"id\":\"1\"}]"), false, 400, "traceId is all zeros", OUTCOME_MALFORMED },
    { JSON, NULL, STR_INIT("[{\"traceId\":\"1\"}]"), false, 400, "reading List<Span> from json", OUTCOME_MALFORMED },
    { PROTO, NULL, STR_INIT("[" SPAN "]"), false, 400, "from proto3", OUTCOME_MALFORMED },
    { PROTO, NULL, STR_INIT("\x0a\x7f\x01"), false, 400, "from proto3", OUTCOME_MALFORMED },
    { JSON, "gzip", STR_INIT("[" SPAN "]"), false, 400, "Cannot gunzip spans", OUTCOME_MALFORMED },
    { JSON, "gzip", STR_INIT("{}"), true, 400, "Expected a JSON_V2 encoded list", OUTCOME_MALFORMED },
    { JSON, "GZIP", STR_INIT("[" SPAN "]"), true, 400, "encoding 'GZIP'", OUTCOME_ENCODING },
    { JSON, "deflate", STR_INIT("[" SPAN "]"), false, 400, "encoding 'deflate'", OUTCOME_ENCODING },
    { JSON, "br", STR_INIT("[" SPAN "]"), false, 400, "encoding 'br'", OUTCOME_ENCODING },
    { JSON, "zstd", STR_INIT("[" SPAN "]"), false, 400, "encoding 'zstd'", OUTCOME_ENCODING },
};

static void every_row_is_answered_as_zipkin_does(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    open_door(&rig);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct post post = { .path = "/api/v2/spans", .type = rows[i].type, .encoding = rows[i].encoding, .body = rows[i].body };
        uint64_t before = rig_metric(&rig, INGEST_requests, INGEST_DOOR_ZIPKIN, rows[i].outcome);
        struct reply reply;
        struct buf packed = { 0 };
        if (rows[i].is_gzipped) {
            gzip_body(&packed, rows[i].body);
            post.body = buf_str(&packed);
        }
        rig_post(&rig, &post, &reply);
        if (reply.status != rows[i].status || !strstr(reply.body, rows[i].text))
            fail_msg("row %zu: %d %s", i, reply.status, reply.body);
        if (reply.status == 202)
            assert_int_equal(reply.body_len, 0);
        assert_string_equal(reply.retry_after, "");
        assert_int_equal(rig_metric(&rig, INGEST_requests, INGEST_DOOR_ZIPKIN, rows[i].outcome), before + 1);
        buf_fini(&packed);
    }
    rig_close(&rig);
}

static void a_cut_gzip_body_is_told_at_every_byte(void **state)
{
    struct rig rig = { 0 };
    struct buf packed;

    (void)state;
    open_door(&rig);
    gzip_body(&packed, STR("[" SPAN "]"));
    for (size_t len = 1; len < packed.len; len += 7) {
        const struct post post = { .path = "/api/v2/spans", .type = JSON, .encoding = "gzip", .body = str_n(packed.ptr, len) };
        struct reply reply;
        rig_post(&rig, &post, &reply);
        assert_int_equal(reply.status, 400);
        assert_non_null(strstr(reply.body, "Cannot gunzip spans"));
    }
    buf_fini(&packed);
    rig_close(&rig);
}

static void nothing_else_is_served_at_its_routes(void **state)
{
    static const struct { const char *method, *path; int status; } cases[] = {
        { "POST", "/api/v2/spans/", 404 }, { "POST", "/api/v1/spans", 404 }, { "POST", "/", 404 },
        { "POST", "/zipkin/api/v2/spans", 404 }, { "POST", "/api/v2/trace", 404 }, { "DELETE", "/api/v2/spans", 405 },
    };
    struct rig rig = { 0 };

    (void)state;
    open_door(&rig);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct post post = { .method = cases[i].method, .path = cases[i].path, .type = JSON, .body = STR("[]") };
        struct reply reply;
        rig_post(&rig, &post, &reply);
        assert_int_equal(reply.status, cases[i].status);
    }
    rig_close(&rig);
}

static void captured_bytes_of_clients_are_there_afterwards(void **state)
{
    static const enum captured vectors[] = { CAPTURED_ZIPKIN_MIN, CAPTURED_ZIPKIN_FULL };
    struct rig rig = { 0 };

    (void)state;
    open_door(&rig);
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        struct post post = { .path = "/api/v2/spans", .type = PROTO };
        struct reply reply;
        struct buf body;
        captured_body(&body, vectors[i]);
        post.body = buf_str(&body);
        rig_post(&rig, &post, &reply);
        assert_int_equal(reply.status, 202);
        assert_int_equal(rig_ledger(&rig).accepted, i + 1);
        buf_fini(&body);
    }
    assert_int_equal(rig_metric(&rig, INGEST_spans_accepted, INGEST_DOOR_ZIPKIN, 0), 2);
    rig_close(&rig);
}

static void one_bad_span_keeps_all_out(void **state)
{
    const struct post post = { .path = "/api/v2/spans", .type = JSON, .body = STR("[" SPAN "," SPAN ",{\"id\":\"1\"}]") };
    struct rig rig = { 0 };
    struct reply reply;

    (void)state;
    open_door(&rig);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.status, 400);
    assert_int_equal(rig_ledger(&rig).accepted, 0);
    assert_int_equal(rig_ledger(&rig).refused, 0); /* single spans are refused by OTLP only */
    rig_close(&rig);
}

static void overload_is_503_with_a_hint(void **state)
{
    const struct post post = { .path = "/api/v2/spans", .type = JSON, .body = STR("[" SPAN "]") };
    struct rig rig = { .conf = { .wait_ns = 1 } };
    struct reply reply;

    (void)state;
    open_door(&rig);
    rig_leave_credit(&rig, 1);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.status, 503);
    assert_in_range(reply.retry_after[0], '1', '3');
    assert_int_equal(reply.retry_after[1], '\0');
    assert_int_equal(rig_metric(&rig, INGEST_busy, INGEST_DOOR_ZIPKIN, BUSY_WAIT), 1);
    rig_leave_credit(&rig, 0);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.status, 202);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_answered_as_zipkin_does),
        cmocka_unit_test(a_cut_gzip_body_is_told_at_every_byte),
        cmocka_unit_test(nothing_else_is_served_at_its_routes),
        cmocka_unit_test(captured_bytes_of_clients_are_there_afterwards),
        cmocka_unit_test(one_bad_span_keeps_all_out),
        cmocka_unit_test(overload_is_503_with_a_hint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
