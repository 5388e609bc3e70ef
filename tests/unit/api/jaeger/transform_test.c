/* POST /api/transform through a real server and client. */
#include "scene.h"
#include "api/jaeger/job.h"
#include "api/jaeger/transform.h"

#define SPAN(trace, id, more)                                                                      \
    "{\"traceId\":\"" trace "\",\"spanId\":\"" id "\",\"name\":\"op\"," more                       \
    "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"1001000000\"}"
#define REQUEST(spans)                                                                             \
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"      \
    "{\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"spans\":[" spans "]}]}]}"
#define T1 "0102030405060708090a0b0c0d0e0f10"
#define T2 "00000000000000000000000000000002"

static void post(struct scene *scene, const char *path, const char *type, struct str body)
{
    const struct http_header headers[] = {{STR("content-type"), str_of(type)}};

    send_call(scene, &(struct http_call){.method = "POST",
                                         .path = str_of(path),
                                         .headers = headers,
                                         .n_headers = type ? 1 : 0,
                                         .body = body});
}

static void expect_body(struct scene *scene, int status, const char *want)
{
    if (scene->err || scene->status != status)
        fail_msg("%d %.*s", scene->status, STR_ARG(scene->body));
    assert_same_json(scene->body, str_of(want));
}

static struct str legacy_span(const char *trace, const char *id, const char *duration)
{
    return arena_printf(&spans_arena,
                        "{\"traceID\":\"%s\",\"spanID\":\"%s\",\"operationName\":\"op\","
                        "\"references\":[],\"startTime\":1000000,\"duration\":%s,\"tags\":[],"
                        "\"logs\":[],\"processID\":\"p1\",\"warnings\":null}",
                        trace, id, duration);
}

static void traces_are_grouped(void **state)
{
    static const char *const types[] = {"text/plain;charset=UTF-8", "application/json", NULL};
    struct scene scene;

    (void)state;
    set_up(&scene);
    struct str first = legacy_span(T1, "0000000000000001", "1000");
    struct str second = legacy_span(T1, "0000000000000003", "1000");
    struct str other = legacy_span("0000000000000002", "0000000000000002", "1000");
    struct str want = arena_printf(
        &spans_arena,
        "{\"data\":[{\"traceID\":\"" T1 "\",\"spans\":[%.*s,%.*s],\"processes\":{\"p1\":"
        "{\"serviceName\":\"shop\",\"tags\":[]}},\"warnings\":null},"
        "{\"traceID\":\"0000000000000002\",\"spans\":[%.*s],\"processes\":{\"p1\":"
        "{\"serviceName\":\"shop\",\"tags\":[]}},\"warnings\":null}],"
        "\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}",
        STR_ARG(first), STR_ARG(second), STR_ARG(other));
    for (size_t i = 0; i < MG_COUNT(types); i++) {
        post(&scene, "/api/transform", types[i],
             STR(REQUEST(SPAN(T1, "0000000000000001", "") "," SPAN(
                 T2, "0000000000000002", "") "," SPAN(T1, "0000000000000003", ""))));
        expect_body(&scene, 200, want.ptr);
        assert_true(str_eq(scene.content_type, STR("application/json")));
    }
    assert_int_equal(fake.n_trace_queries, 0);
    tear_down(&scene);
}

/* No adjusters: a span given twice stays twice, attributes keep their order. */
static void nothing_is_adjusted(void **state)
{
    static const char attributes[] =
        "\"attributes\":[{\"key\":\"b\",\"value\":{\"stringValue\":\"2\"}},"
        "{\"key\":\"a\",\"value\":{\"intValue\":\"1\"}}],";
    struct scene scene;
    size_t at;

    (void)state;
    set_up(&scene);
    struct str span =
        arena_printf(&spans_arena,
                     "{\"traceId\":\"" T1 "\",\"spanId\":\"0000000000000001\",\"name\":\"\",%s"
                     "\"startTimeUnixNano\":\"2000000\",\"endTimeUnixNano\":\"1000000\"}",
                     attributes);
    struct str body = arena_printf(
        &spans_arena, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[%.*s,%.*s]}]}]}",
        STR_ARG(span), STR_ARG(span));
    post(&scene, "/api/transform", "application/json", body);
    assert_int_equal(scene.status, 200);
    assert_true(str_find(scene.body, STR("\"operationName\":\"\""), &at));
    assert_true(str_find(scene.body, STR("\"duration\":-1000"), &at));
    assert_true(str_find(scene.body, STR("\"tags\":[{\"key\":\"b\""), &at));
    struct str rest = str_n(scene.body.ptr + at + 1, scene.body.len - at - 1);
    assert_true(str_find(rest, STR("\"tags\":[{\"key\":\"b\""), &at));
    tear_down(&scene);
}

static void empty_and_pretty(void **state)
{
    static const char *const bodies[] = {"{}", "null", "{\"resourceSpans\":[]}",
                                         "{\"resourceSpans\":[{\"scopeSpans\":[]}]}"};
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        post(&scene, "/api/transform", NULL, str_of(bodies[i]));
        expect_body(&scene, 200,
                    "{\"data\":[],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}");
    }
    post(&scene, "/api/transform?prettyPrint=true", NULL, STR("{}"));
    assert_true(str_starts(scene.body, STR("{\n    \"data\": []")));
    tear_down(&scene);
}

static void bodies_that_are_no_otlp(void **state)
{
    static const char *const bodies[] = {
        "",
        "x",
        "[]",
        "{",
        "{} {}",
        "{\"resourceSpans\":5}",
        "nul",
        "\xff",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"xyz\"}]}]}]}",
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(bodies); i++) {
        post(&scene, "/api/transform", "text/plain", str_of(bodies[i]));
        if (scene.status != 400 ||
            !str_starts(scene.body,
                        STR("{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":["
                            "{\"code\":400,\"msg\":\"cannot unmarshal OTLP : ")))
            fail_msg("%s: %d %.*s", bodies[i], scene.status, STR_ARG(scene.body));
    }
    ask(&scene, "GET", "/api/transform");
    assert_int_equal(scene.status, 405);
    tear_down(&scene);
}

/* Refused spans are told, the others shown. */
static void refused_spans(void **state)
{
    struct scene scene;
    size_t at;

    (void)state;
    set_up(&scene);
    post(&scene, "/api/transform", NULL,
         STR(REQUEST(SPAN("01", "0000000000000001", "") "," SPAN(
             T1, "0000000000000001", "") "," SPAN(T1, "0000000000000000", ""))));
    assert_int_equal(scene.status, 200);
    assert_true(str_starts(scene.body, STR("{\"data\":[{\"traceID\":\"" T1 "\"")));
    assert_true(str_find(scene.body,
                         STR("\"errors\":[{\"msg\":\"spans left out: 2; the first "
                             "because trace_id must be 16 bytes"),
                         &at));
    tear_down(&scene);
}

static void encodings(void **state)
{
    static const struct {
        const char *encoding;
        int status;
    } rows[] = {{"identity", 200}, {"gzip", 415}, {"br", 415}};
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct http_header header = {STR("content-encoding"), str_of(rows[i].encoding)};
        send_call(&scene, &(struct http_call){.method = "POST",
                                              .path = STR("/api/transform"),
                                              .headers = &header,
                                              .n_headers = 1,
                                              .body = STR("{}")});
        assert_int_equal(scene.status, rows[i].status);
    }
    tear_down(&scene);
}

/* The place of an upload is free again however it ended: done, refused, too large. */
static void places_are_given_back(void **state)
{
    char *large = test_malloc(70000);
    struct scene scene;

    (void)state;
    set_up(&scene);
    memset(large, ' ', 70000);
    for (unsigned i = 0; i < 2 * TRANSFORM_UPLOADS_MAX; i++) {
        post(&scene, "/api/transform", NULL, STR("{}"));
        assert_int_equal(scene.status, 200);
        post(&scene, "/api/transform", NULL, STR("x"));
        assert_int_equal(scene.status, 400);
        post(&scene, "/api/transform", NULL, str_n(large, 70000)); /* above body_bytes_max */
        assert_int_equal(scene.status, 413);
        fake.is_full = true;
        post(&scene, "/api/transform", NULL, STR("{}"));
        assert_int_equal(scene.status, 503);
        fake.is_full = false;
    }
    test_free(large);
    tear_down(&scene);
}

/* One place too few: refused with a hint, before the body is read. */
static void too_many(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    atomic_store(&scene.api->uploads, TRANSFORM_UPLOADS_MAX - 1);
    post(&scene, "/api/transform", NULL, STR("{}"));
    assert_int_equal(scene.status, 200);
    atomic_store(&scene.api->uploads, TRANSFORM_UPLOADS_MAX);
    post(&scene, "/api/transform", NULL, STR("{}"));
    assert_int_equal(scene.status, 503);
    assert_true(scene.retry_after.len > 0);
    assert_int_equal(atomic_load(&scene.api->uploads), TRANSFORM_UPLOADS_MAX);
    tear_down(&scene);
}

/* Spans that need more than query.memory_max (1 MiB here) when they are spread out. */
static void memory(void **state)
{
    struct scene scene;
    struct buf body;
    size_t at;

    (void)state;
    set_up(&scene);
    buf_init(&body, 1 << 20);
    buf_put_text(&body, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"" T1
                        "\",\"spanId\":\"0000000000000001\",\"attributes\":[{}");
    for (unsigned i = 1; i < 4096; i++)
        buf_put_text(&body, ",{}");
    buf_put_text(&body, "]}");
    for (unsigned i = 0; i < 4; i++) {
        buf_put_text(&body,
                     ",{\"traceId\":\"" T1 "\",\"spanId\":\"0000000000000001\",\"attributes\":[{}");
        for (unsigned k = 1; k < 4096; k++)
            buf_put_text(&body, ",{}");
        buf_put_text(&body, "]}");
    }
    buf_put_text(&body, "]}]}]}");
    assert_true(body.len < 65536);
    struct query_conf limits = {.memory_max = 5 * 4096 * sizeof(struct attr), .traces_max = 1000};
    jaeger_api_reload(scene.api, &limits);
    post(&scene, "/api/transform", NULL, buf_str(&body));
    assert_int_equal(scene.status, 413);
    assert_true(str_find(scene.body, STR("query.memory_max"), &at));
    limits.memory_max = 1 << 20;
    jaeger_api_reload(scene.api, &limits);
    post(&scene, "/api/transform", NULL, buf_str(&body));
    assert_int_equal(scene.status, 200);
    buf_fini(&body);
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traces_are_grouped),
        cmocka_unit_test(nothing_is_adjusted),
        cmocka_unit_test(empty_and_pretty),
        cmocka_unit_test(bodies_that_are_no_otlp),
        cmocka_unit_test(refused_spans),
        cmocka_unit_test(encodings),
        cmocka_unit_test(places_are_given_back),
        cmocka_unit_test(too_many),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
