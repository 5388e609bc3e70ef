/* The legacy routes through a real server and client. */
#include "scene.h"

#define EMPTY "\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}"
#define ERROR(code, text)                                                                          \
    "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":" code              \
    ",\"msg\":\"" text "\"}]}"

/* --- services and operations
 * -------------------------------------------------------------------------- */

static void services(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/services", 200, "{\"data\":[]," EMPTY);
    fake.services[0] = STR("a");
    fake.services[1] = STR("b\"");
    fake.n_services = 2;
    expect(&scene, "/api/services", 200,
           "{\"data\":[\"a\",\"b\\\"\"],\"total\":2,\"limit\":0,\"offset\":0,\"errors\":null}");
    fake.err = MG_E_TIMEOUT;
    expect(&scene, "/api/services", 504, ERROR("504", "the query failed"));
    tear_down(&scene);
}

static void operations(void **state)
{
    const struct catalog_operation list[] = {
        {STR("a"), 0},           {STR("a"), SPAN_SERVER}, {STR("a"), 17},
        {STR("b"), SPAN_CLIENT}, {STR("b"), SPAN_SERVER},
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/services/unknown/operations", 200, "{\"data\":null," EMPTY);
    expect(&scene, "/api/operations?service=unknown", 200, "{\"data\":[]," EMPTY);
    memcpy(fake.operations, list, sizeof list);
    fake.n_operations = MG_COUNT(list);
    expect(&scene, "/api/services/a%2Fb+c%252F/operations", 200,
           "{\"data\":[\"a\",\"b\"],\"total\":2,\"limit\":0,\"offset\":0,\"errors\":null}");
    assert_true(str_eq(fake.asked_service, STR("a/b+c%2F")));
    expect(&scene, "/api/operations?service=x+y", 200,
           "{\"data\":[{\"name\":\"a\",\"spanKind\":\"\"},{\"name\":\"a\",\"spanKind\":\"server\"},"
           "{\"name\":\"b\",\"spanKind\":\"client\"},{\"name\":\"b\",\"spanKind\":\"server\"}],"
           "\"total\":4,\"limit\":0,\"offset\":0,\"errors\":null}");
    assert_true(str_eq(fake.asked_service, STR("x y")));
    expect(&scene, "/api/operations?service=x&spanKind=client", 200,
           "{\"data\":[{\"name\":\"b\",\"spanKind\":\"client\"}],\"total\":1,\"limit\":0,"
           "\"offset\":0,\"errors\":null}");
    expect(&scene, "/api/operations?service=x&spanKind=nothing", 200, "{\"data\":[]," EMPTY);
    expect(&scene, "/api/operations", 400, ERROR("400", "parameter 'service' is required"));
    expect(&scene, "/api/operations?service=", 400,
           ERROR("400", "parameter 'service' is required"));
    fake.err = MG_E_IO;
    expect(&scene, "/api/operations?service=x", 500, ERROR("500", "the query failed"));
    expect(&scene, "/api/services/x/operations", 500, ERROR("500", "the query failed"));
    tear_down(&scene);
}

/* --- traces
 * ------------------------------------------------------------------------------------------- */

static struct str trace_text(void)
{
    return STR(
        "{\"traceID\":\"" T32 "\",\"spans\":[{\"traceID\":\"" T32
        "\",\"spanID\":\"0000000000000001\","
        "\"operationName\":\"op\",\"references\":[],\"startTime\":1000000,\"duration\":1000,"
        "\"tags\":[{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"server\"}],\"logs\":[],"
        "\"processID\":\"p1\",\"warnings\":null}],"
        "\"processes\":{\"p1\":{\"serviceName\":\"shop\",\"tags\":[]}},\"warnings\":null}");
}

static const char *envelope(const char *before, const char *after)
{
    return arena_printf(&spans_arena, "%s%.*s%s", before, STR_ARG(trace_text()), after).ptr;
}

static void one_trace(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/traces/" T32, 200, envelope("{\"data\":[", "]," EMPTY));
    expect(&scene, "/api/traces/" T32 "?raw=true&start=1&end=2", 200,
           envelope("{\"data\":[", "]," EMPTY));
    expect(&scene, "/api/traces/AQIDBAUGBwgJCgsMDQ4PEA%3D%3D", 200,
           envelope("{\"data\":[", "]," EMPTY));
    expect(&scene, "/api/traces/1", 404, ERROR("404", "trace not found"));
    fake.n_trace_queries = 0;
    expect(&scene, "/api/traces/0", 404, ERROR("404", "trace not found"));
    expect(&scene, "/api/traces/00000000000000000000000000000000", 404,
           ERROR("404", "trace not found"));
    assert_int_equal(fake.n_trace_queries, 0);
    expect(&scene, "/api/traces/xyz", 400,
           ERROR("400", "strconv.ParseUint: parsing \\\"xyz\\\": invalid syntax"));
    expect(&scene, "/api/traces/" T32 "0", 400,
           ERROR("400", "TraceID cannot be longer than 32 hex characters: " T32 "0"));
    expect(
        &scene, "/api/traces/1?raw=x", 400,
        ERROR("400",
              "unable to parse param 'raw': strconv.ParseBool: parsing \\\"x\\\": invalid syntax"));
    fake.err = MG_E_TOO_BIG;
    expect(&scene, "/api/traces/" T32, 413, ERROR("413", "the query failed"));
    ask(&scene, "GET", "/api/traces/");
    assert_int_equal(scene.status, 404);
    tear_down(&scene);
}

static void listed_traces(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/traces?traceID=" T32 "&service=ignored&limit=0", 200,
           envelope("{\"data\":[", "]," EMPTY));
    expect(&scene, "/api/traces?traceID=1&traceID=" T32 "&traceID=0&traceID=10000000000000002", 200,
           envelope(
               "{\"data\":[",
               "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":["
               "{\"msg\":\"trace not found\",\"traceID\":\"0000000000000001\"},"
               "{\"msg\":\"trace not found\",\"traceID\":\"0000000000000000\"},"
               "{\"msg\":\"trace not found\",\"traceID\":\"00000000000000010000000000000002\"}]}"));
    expect(&scene, "/api/traces?traceID=1", 200,
           "{\"data\":[],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":["
           "{\"msg\":\"trace not found\",\"traceID\":\"0000000000000001\"}]}");
    expect(
        &scene, "/api/traces?traceID=x", 400,
        ERROR("400",
              "cannot parse traceID param: strconv.ParseUint: parsing \\\"x\\\": invalid syntax"));
    fake.err = MG_E_IO;
    expect(&scene, "/api/traces?traceID=1", 500, ERROR("500", "the query failed"));
    tear_down(&scene);
}

static void searches(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/traces", 200, "{\"data\":[]," EMPTY);
    assert_null(fake.asked_service.ptr);
    assert_int_equal(fake.asked_limit, 100);
    fake.n_traces = 1;
    expect(&scene, "/api/traces?service=shop&operation=a%20b&limit=7&lookback=1h", 200,
           envelope("{\"data\":[", "]," EMPTY));
    assert_true(str_eq(fake.asked_service, STR("shop")));
    assert_true(str_eq(fake.asked_operation, STR("a b")));
    assert_int_equal(fake.asked_limit, 7);
    expect(&scene, "/api/traces?limit=x", 400,
           ERROR("400", "strconv.ParseInt: parsing \\\"x\\\": invalid syntax"));
    expect(&scene, "/api/traces?limit=0", 500,
           ERROR("500", "search depth must be greater than 0 and less than max traces"));
    expect(&scene, "/api/traces?tag=a", 400,
           ERROR("400", "malformed 'tag' parameter, expecting key:value, received: a"));
    fake.err = MG_E_TIMEOUT; /* after a trace was written */
    expect(&scene, "/api/traces", 504, ERROR("504", "the query failed"));
    tear_down(&scene);
}

static void pretty_answers(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/services?prettyPrint=true", 200,
           "{\n    \"data\": [],\n    \"total\": 0,\n    \"limit\": 0,\n    \"offset\": 0,\n    "
           "\"errors\": null\n}");
    expect(&scene, "/api/services?prettyPrint=false", 200, "{\"data\":[]," EMPTY);
    expect(&scene, "/api/traces/1?prettyPrint=1", 404,
           "{\n    \"data\": null,\n    \"total\": 0,\n    \"limit\": 0,\n    \"offset\": 0,\n    "
           "\"errors\": [\n"
           "        {\n            \"code\": 404,\n            \"msg\": \"trace not found\"\n      "
           "  }\n    ]\n}");
    ask(&scene, "GET", "/api/traces/" T32 "?prettyPrint=true");
    assert_true(str_starts(
        scene.body, STR("{\n    \"data\": [\n        {\n            \"traceID\": \"" T32 "\"")));
    assert_same_json(scene.body, str_of(envelope("{\"data\":[", "]," EMPTY)));
    tear_down(&scene);
}

static void head_has_no_body(void **state)
{
    static const char *const paths[] = {"/api/services", "/api/traces/" T32, "/api/traces",
                                        "/api/operations?service=x"};
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        ask(&scene, "HEAD", paths[i]);
        assert_int_equal(scene.status, 200);
        assert_int_equal(scene.body.len, 0);
    }
    ask(&scene, "HEAD", "/api/traces/1");
    assert_int_equal(scene.status, 404);
    ask(&scene, "POST", "/api/services");
    assert_int_equal(scene.status, 405);
    ask(&scene, "GET", "/api/unknown");
    assert_int_equal(scene.status, 404);
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services),         cmocka_unit_test(operations),
        cmocka_unit_test(one_trace),        cmocka_unit_test(listed_traces),
        cmocka_unit_test(searches),         cmocka_unit_test(pretty_answers),
        cmocka_unit_test(head_has_no_body),

    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
