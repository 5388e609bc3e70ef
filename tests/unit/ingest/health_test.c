/* health_test.c - grpc.health.v1 on both doors that speak gRPC: each knows its own service. */
#include "bodies.h"
#include "http/health.h"
#include "model/wire.h"
#include "rig.h"

#define OTLP   "opentelemetry.proto.collector.trace.v1.TraceService"
#define JAEGER "jaeger.api_v2.CollectorService"
enum { OK = 0, INVALID_ARGUMENT = 3, NOT_FOUND = 5, TOO_BIG = 8, UNIMPLEMENTED = 12 };

typedef const struct http_route *routes_fn(size_t *n);
static const struct { routes_fn *routes; const char *service, *other; size_t others; /* bytes of the entries of further services */ } doors[] = {
    { ingest_otlp_grpc_routes, OTLP, JAEGER, 0 },
    { ingest_jaeger_grpc_routes, JAEGER, OTLP, 2 + 2 + sizeof "jaeger.api_v2.SamplingManager" - 1 + 4 },
};

static void check(struct rig *rig, struct str request, int want)
{
    struct reply reply;

    rig_post(rig, &(struct post){ .path = "/grpc.health.v1.Health/Check", .is_grpc = true, .body = request }, &reply);
    assert_int_equal(reply.grpc_status, want);
    if (want == OK) {
        assert_int_equal(reply.body_len, 2);
        assert_memory_equal(reply.body, "\x08\x01", 2); /* SERVING */
    }
}

static void check_service(struct rig *rig, const char *service, int want)
{
    struct buf request;

    buf_init(&request, 256);
    wire_put_bytes(&request, 1, str_of(service));
    check(rig, buf_str(&request), want);
    buf_fini(&request);
}

static void a_door_serves_its_own_service(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(doors); i++) {
        struct rig rig = { 0 };
        const struct http_route *routes;
        size_t n;
        rig_open(&rig);
        routes = doors[i].routes(&n);
        rig_serve(&rig, routes, n, true);
        check(&rig, STR(""), OK);
        check_service(&rig, "", OK);
        check_service(&rig, doors[i].service, OK);
        check_service(&rig, doors[i].other, NOT_FOUND);
        check_service(&rig, "nonsense", NOT_FOUND);
        check(&rig, STR("\x0a\x05x"), INVALID_ARGUMENT);
        check(&rig, STR("\x08\x05"), OK); /* a field of another type is unknown */
        rig_close(&rig);
    }
}

static void list_names_the_server_and_its_service(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(doors); i++) {
        struct rig rig = { 0 };
        struct reply reply;
        const struct http_route *routes;
        struct str body, found;
        size_t n, at;
        rig_open(&rig);
        routes = doors[i].routes(&n);
        rig_serve(&rig, routes, n, true);
        rig_begin(&rig, &(struct post){ .path = "/grpc.health.v1.Health/List", .is_grpc = true, .body = STR("") }, &reply);
        rig_run(&rig, reply_is_done, &reply);
        assert_int_equal(reply.grpc_status, OK);
        found = str_of(doors[i].service);
        body = str_n(reply.body, reply.body_len);
        assert_memory_equal(body.ptr, "\x0a\x06\x0a\x00\x12\x02\x08\x01\x0a", 9);
        assert_int_equal(body.len, 8 + 2 + 2 + found.len + 4 + doors[i].others);
        assert_true(str_find(body, found, &at));
        assert_memory_equal(body.ptr + at + found.len, "\x12\x02\x08\x01", 4);
        rig_post(&rig, &(struct post){ .path = "/grpc.health.v1.Health/Watch", .is_grpc = true, .body = STR("") }, &reply);
        assert_int_equal(reply.grpc_status, UNIMPLEMENTED);
        rig_close(&rig);
    }
}

/* What keeps a door from taking anything is seen from outside, so that a balancer goes elsewhere. */
static void a_door_that_takes_nothing_is_not_serving(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(doors); i++) {
        struct rig rig = { 0 };
        struct reply reply;
        const struct http_route *routes;
        size_t n;
        rig_open(&rig);
        routes = doors[i].routes(&n);
        rig_serve(&rig, routes, n, true);
        rig.doors->is_closing = true;
        rig_post(&rig, &(struct post){ .path = "/grpc.health.v1.Health/Check", .is_grpc = true, .body = STR("") }, &reply);
        assert_int_equal(reply.grpc_status, OK);
        assert_memory_equal(reply.body, "\x08\x02", 2);
        rig_post(&rig, &(struct post){ .path = "/grpc.health.v1.Health/List", .is_grpc = true, .body = STR("") }, &reply);
        assert_memory_equal(reply.body, "\x0a\x06\x0a\x00\x12\x02\x08\x02\x0a", 9);
        rig.doors->is_closing = false;
        check(&rig, STR(""), OK);
        rig_close(&rig);
    }
}

static void zipkin_door_says_whether_it_takes_spans(void **state)
{
    struct rig rig = { 0 };
    const struct http_route *routes;
    size_t n;

    (void)state;
    rig_open(&rig);
    routes = ingest_zipkin_routes(&n);
    rig_serve(&rig, routes, n, false);
    for (unsigned is_closing = 0; is_closing < 2; is_closing++) {
        struct reply reply;
        rig.doors->is_closing = is_closing;
        rig_post(&rig, &(struct post){ .method = "GET", .path = "/health" }, &reply);
        assert_int_equal(reply.status, is_closing ? 503 : 200);
        assert_string_equal(reply.body, is_closing ? "{\"status\":\"DOWN\",\"zipkin\":{\"status\":\"DOWN\",\"details\":{\"meshglass\":{\"status\":\"DOWN\"}}}}"
                                                   : "{\"status\":\"UP\",\"zipkin\":{\"status\":\"UP\",\"details\":{\"meshglass\":{\"status\":\"UP\"}}}}");
    }
    rig.doors->is_closing = false;
    rig_close(&rig);
}

static void a_compressed_check_is_read_and_a_broken_one_refused(void **state)
{
    struct rig rig = { 0 };
    const struct http_route *routes;
    struct buf request, packed;
    struct reply reply;
    struct post post = { .path = "/grpc.health.v1.Health/Check", .is_grpc = true, .encoding = "gzip", .is_compressed = true };
    size_t n;

    (void)state;
    rig_open(&rig);
    routes = ingest_jaeger_grpc_routes(&n);
    rig_serve(&rig, routes, n, true);
    buf_init(&request, 1 << 16);
    wire_put_bytes(&request, 1, STR(JAEGER));
    gzip_body(&packed, buf_str(&request));
    post.body = buf_str(&packed);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.grpc_status, OK);
    post.body = buf_str(&request);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.grpc_status, INVALID_ARGUMENT);
    buf_fini(&packed);
    for (size_t i = 0; i < 2 * HTTP_HEALTH_BYTES_MAX; i++)
        buf_put_char(&request, 'x');
    gzip_body(&packed, buf_str(&request));
    post.body = buf_str(&packed);
    rig_post(&rig, &post, &reply);
    assert_int_equal(reply.grpc_status, TOO_BIG);
    buf_fini(&packed);
    buf_fini(&request);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_door_serves_its_own_service),
        cmocka_unit_test(list_names_the_server_and_its_service),
        cmocka_unit_test(a_door_that_takes_nothing_is_not_serving),
        cmocka_unit_test(zipkin_door_says_whether_it_takes_spans),
        cmocka_unit_test(a_compressed_check_is_read_and_a_broken_one_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
