/* The routes of /api/v3 through a real server and client. */
#include "scene.h"

#define WINDOW            "query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z"
#define ERROR(code, text) "{\"error\":{\"httpCode\":" code ",\"message\":\"" text "\"}}"
#define RESULT                                                                                     \
    "{\"result\":{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","    \
    "\"value\":{\"stringValue\":\"shop\"}}]},\"scopeSpans\":[{\"scope\":{},\"spans\":["            \
    "{\"traceId\":\"" T32 "\",\"spanId\":\"0000000000000001\",\"name\":\"op\",\"kind\":2,"         \
    "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"1001000000\",\"status\":{}}]}]}]}" \
    "}"

static void services(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/v3/services", 200, "{\"services\":[]}");
    fake.services[0] = STR("a");
    fake.services[1] = STR("b\"");
    fake.n_services = 2;
    expect(&scene, "/api/v3/services", 200, "{\"services\":[\"a\",\"b\\\"\"]}");
    fake.err = MG_E_IO;
    expect(&scene, "/api/v3/services", 500, ERROR("500", "the query failed"));
    tear_down(&scene);
}

/* Kinds without a name are internal, each operation once a kind. */
static void operations(void **state)
{
    const struct catalog_operation list[] = {
        {STR("a"), -5},          {STR("a"), 0},  {STR("a"), SPAN_INTERNAL},
        {STR("a"), SPAN_SERVER}, {STR("a"), 17}, {STR("b"), SPAN_CLIENT},
        {STR("c"), 17},
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/v3/operations?service=unknown", 200, "{\"operations\":[]}");
    memcpy(fake.operations, list, sizeof list);
    fake.n_operations = MG_COUNT(list);
    expect(&scene, "/api/v3/operations?service=a%2Fb+c", 200,
           "{\"operations\":[{\"name\":\"a\",\"spanKind\":\"internal\"},"
           "{\"name\":\"a\",\"spanKind\":\"server\"},{\"name\":\"b\",\"spanKind\":\"client\"},"
           "{\"name\":\"c\",\"spanKind\":\"internal\"}]}");
    assert_true(str_eq(fake.asked_service, STR("a/b c")));
    expect(&scene, "/api/v3/operations?service=x&spanKind=server", 200,
           "{\"operations\":[{\"name\":\"a\",\"spanKind\":\"server\"}]}");
    expect(&scene, "/api/v3/operations?service=x&span_kind=internal", 200,
           "{\"operations\":[{\"name\":\"a\",\"spanKind\":\"internal\"},"
           "{\"name\":\"c\",\"spanKind\":\"internal\"}]}");
    expect(&scene, "/api/v3/operations?service=x&spanKind=nothing", 200, "{\"operations\":[]}");
    expect(&scene, "/api/v3/operations", 200, "{\"operations\":[]}");
    expect(&scene, "/api/v3/operations?service=", 200, "{\"operations\":[]}");
    ask(&scene, "GET", "/api/v3/operations?service=%");
    assert_int_equal(scene.status, 400);
    fake.err = MG_E_TIMEOUT;
    expect(&scene, "/api/v3/operations?service=x", 504, ERROR("504", "the query failed"));
    tear_down(&scene);
}

static void one_trace(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/v3/traces/" T32, 200, RESULT);
    expect(&scene,
           "/api/v3/traces/" T32 "?rawTraces=true&start_time=2026-01-01T00:00:00+01:00"
           "&end_time=2026-01-02T00:00:00Z",
           200, RESULT);
    expect(&scene, "/api/v3/traces/AQIDBAUGBwgJCgsMDQ4PEA%3D%3D", 200, RESULT);
    expect(&scene, "/api/v3/traces/1", 404, ERROR("404", "No traces found"));
    fake.n_trace_queries = 0;
    expect(&scene, "/api/v3/traces/00000000000000000000000000000000", 404,
           ERROR("404", "No traces found"));
    assert_int_equal(fake.n_trace_queries, 0);
    expect(&scene, "/api/v3/traces/xyz", 400,
           ERROR("400", "malformed parameter trace_id: strconv.ParseUint: parsing \\\"xyz\\\": "
                        "invalid syntax"));
    expect(&scene, "/api/v3/traces/" T32 "?rawTraces=x", 400,
           ERROR("400", "malformed parameter rawTraces: strconv.ParseBool: parsing \\\"x\\\": "
                        "invalid syntax"));
    fake.err = MG_E_TOO_BIG;
    expect(&scene, "/api/v3/traces/" T32, 413, ERROR("413", "the query failed"));
    ask(&scene, "GET", "/api/v3/traces/");
    assert_int_equal(scene.status, 404);
    tear_down(&scene);
}

static void searches(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/v3/traces?" WINDOW, 404, ERROR("404", "No traces found"));
    assert_null(fake.asked_service.ptr);
    assert_int_equal(fake.asked_limit, 100);
    fake.n_traces = 1;
    expect(&scene,
           "/api/v3/traces?" WINDOW "&query.service_name=shop&query.operationName=a%20b"
           "&query.num_traces=7",
           200, RESULT);
    assert_true(str_eq(fake.asked_service, STR("shop")));
    assert_true(str_eq(fake.asked_operation, STR("a b")));
    assert_int_equal(fake.asked_limit, 7);
    expect(&scene, "/api/v3/traces", 400,
           ERROR("400", "query.startTimeMin and query.startTimeMax are required"));
    expect(&scene, "/api/v3/traces?" WINDOW "&query.searchDepth=0", 500,
           ERROR("500", "search depth must be greater than 0 and less than max traces"));
    fake.n_traces = 2; /* one result holds both */
    ask(&scene, "GET", "/api/v3/traces?" WINDOW);
    assert_int_equal(scene.status, 200);
    struct json *tree;
    struct mg_why why;
    assert_int_equal(json_parse(&tree, scene.body, &why), MG_OK);
    assert_int_equal(json_count(tree), 1);
    assert_int_equal(json_count(json_get(json_get(tree, "result"), "resourceSpans")), 2);
    json_free(&tree);
    tear_down(&scene);
}

static void summaries(void **state)
{
    static const char item[] =
        "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"shop\",\"rootOperationName\":\"op\","
        "\"minStartTimeUnixNano\":\"1000000000\",\"maxEndTimeUnixNano\":\"1001000000\","
        "\"spanCount\":1,\"services\":[{\"name\":\"shop\",\"spanCount\":1}]}";
    struct scene scene;

    (void)state;
    set_up(&scene);
    expect(&scene, "/api/v3/trace-summaries?" WINDOW, 200, "{\"summaries\":[]}");
    fake.n_traces = 2;
    expect(&scene, "/api/v3/trace-summaries?" WINDOW "&query.serviceName=shop&query.searchDepth=20",
           200, arena_printf(&spans_arena, "{\"summaries\":[%s,%s]}", item, item).ptr);
    assert_true(str_eq(fake.asked_service, STR("shop")));
    assert_int_equal(fake.asked_limit, 20);
    expect(&scene, "/api/v3/trace-summaries", 400,
           ERROR("400", "query.startTimeMin and query.startTimeMax are required"));
    expect(&scene, "/api/v3/trace-summaries?" WINDOW "&query.durationMin=x", 400,
           ERROR("400", "malformed parameter query.durationMin: time: invalid duration \\\"x\\\""));
    tear_down(&scene);
}

static void methods_and_other_paths(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
    } rows[] = {
        {"HEAD", "/api/v3/services", 200}, {"POST", "/api/v3/services", 405},
        {"POST", "/api/v3/traces", 405},   {"GET", "/api/v3", 404},
        {"GET", "/api/v3/", 404},          {"GET", "/api/v3/dependencies", 404},
        {"HEAD", "/api/v3/traces/1", 404}, {"GET", "/api/v3/traces/a/b", 404},
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        ask(&scene, rows[i].method, rows[i].path);
        if (scene.status != rows[i].status)
            fail_msg("%s %s: %d", rows[i].method, rows[i].path, scene.status);
    }
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services),  cmocka_unit_test(operations),
        cmocka_unit_test(one_trace), cmocka_unit_test(searches),
        cmocka_unit_test(summaries), cmocka_unit_test(methods_and_other_paths),
    };
    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
