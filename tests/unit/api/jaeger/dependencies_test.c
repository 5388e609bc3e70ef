/* GET /api/dependencies and POST /api/archive/{id} through a real server and client. */
#include "scene.h"

#include "base/clock.h"

#define MS    UINT64_C(1000000)
#define DAY   (86400000 * MS)
#define COUNT ",\"total\":0,\"limit\":0,\"offset\":0,\"errors\":"
#define EMPTY "{\"data\":[]" COUNT "null}"
#define ERROR(code, text)                                                                          \
    "{\"data\":null" COUNT "[{\"code\":" code ",\"msg\":\"" text "\"}]}"
#define NO_INT(name, text)                                                                         \
    ERROR("400", "unable to parse param '" name "': strconv.ParseInt: parsing \\\"" text           \
                 "\\\": invalid syntax")
#define NO_RANGE(name, text)                                                                       \
    ERROR("400", "unable to parse param '" name "': strconv.ParseInt: parsing \\\"" text           \
                 "\\\": value out of range")

/* --- windows ---------------------------------------------------------------------------------- */

static const struct {
    const char *query;
    uint64_t from_ns, to_ns; /* unless refused */
    const char *refused;
} windows[] = {
    { "endTs=1700000000000&lookback=3600000", UINT64_C(1699996400000) * MS,
      UINT64_C(1700000000000) * MS, NULL },
    { "lookback=604800000&endTs=1700000000000", UINT64_C(1699395200000) * MS,
      UINT64_C(1700000000000) * MS, NULL },
    { "endTs=1700000000000", UINT64_C(1700000000000) * MS - DAY, UINT64_C(1700000000000) * MS,
      NULL },
    { "endTs=1700000000000&lookback=", UINT64_C(1700000000000) * MS - DAY,
      UINT64_C(1700000000000) * MS, NULL },
    { "endTs=%31700000000000&lookback=%30", UINT64_C(1700000000000) * MS,
      UINT64_C(1700000000000) * MS, NULL },
    { "endTs=+5&endTs=9&lookback=1", 0, 0, NO_INT("endTs", " 5") }, /* a plus is a space */
    { "endTs=%2B5&endTs=9&lookback=1", 4 * MS, 5 * MS, NULL },     /* the first counts */
    { "endTs=5&lookback=5", 0, 5 * MS, NULL },
    { "endTs=5&lookback=4", 1 * MS, 5 * MS, NULL },
    { "endTs=5&lookback=6", 0, 5 * MS, NULL }, /* not before 1970 */
    { "endTs=0&lookback=1", 0, 0, NULL },
    { "endTs=-1&lookback=1", 0, 0, NULL },
    { "endTs=7&lookback=-1", 7 * MS, 7 * MS, NULL },
    { "endTs=18446744073709&lookback=0", UINT64_C(18446744073709) * MS,
      UINT64_C(18446744073709) * MS, NULL },
    { "endTs=18446744073710&lookback=0", UINT64_C(18446744073709) * MS,
      UINT64_C(18446744073709) * MS, NULL }, /* nanoseconds have no more */
    { "endTs=9223372036854775807&lookback=9223372036854775807", 0, UINT64_C(18446744073709) * MS,
      NULL },
    { "endTs=9223372036854775808", 0, 0, NO_RANGE("endTs", "9223372036854775808") },
    { "endTs=-9223372036854775808&lookback=0", 0, 0, NULL },
    { "endTs=-9223372036854775809", 0, 0, NO_RANGE("endTs", "-9223372036854775809") },
    { "lookback=9223372036854775808", 0, 0, NO_RANGE("lookback", "9223372036854775808") },
    { "endTs=x", 0, 0, NO_INT("endTs", "x") },
    { "endTs=1.5", 0, 0, NO_INT("endTs", "1.5") },
    { "endTs=1e3", 0, 0, NO_INT("endTs", "1e3") },
    { "endTs=0x10", 0, 0, NO_INT("endTs", "0x10") },
    { "endTs=1%200", 0, 0, NO_INT("endTs", "1 0") },
    { "endTs=2026-01-01", 0, 0, NO_INT("endTs", "2026-01-01") },
    { "endTs=1&lookback=1h", 0, 0, NO_INT("lookback", "1h") },
    { "endTs=1&lookback=-", 0, 0, NO_INT("lookback", "-") },
    { "endTs=x&lookback=y", 0, 0, NO_INT("endTs", "x") },
};

static void windows_are_read_or_refused(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(windows); i++) {
        const char *path =
            arena_printf(&spans_arena, "/api/dependencies?%s", windows[i].query).ptr;
        fake.asked_from_ns = fake.asked_to_ns = 1;
        if (windows[i].refused) {
            expect(&scene, path, 400, windows[i].refused);
            assert_int_equal(fake.asked_to_ns, 1); /* nobody was asked */
            continue;
        }
        expect(&scene, path, 200, EMPTY);
        if (fake.asked_from_ns != windows[i].from_ns || fake.asked_to_ns != windows[i].to_ns)
            fail_msg("%s: %llu %llu", path, (unsigned long long)fake.asked_from_ns,
                     (unsigned long long)fake.asked_to_ns);
    }
    tear_down(&scene);
}

static void malformed_queries_are_refused(void **state)
{
    static const char *const paths[] = {
        "/api/dependencies?endTs=%zz",
        "/api/dependencies?service=%",
        "/api/dependencies?%4",
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        fake.asked_to_ns = 1;
        ask(&scene, "GET", paths[i]);
        assert_int_equal(scene.status, 400);
        assert_true(str_starts(scene.body, STR("{\"data\":null" COUNT "[{\"code\":400,\"msg\":")));
        assert_int_equal(fake.asked_to_ns, 1);
    }
    tear_down(&scene);
}

static void the_last_day_unless_told(void **state)
{
    static const struct {
        const char *path;
        uint64_t lookback_ns;
    } cases[] = { { "/api/dependencies", DAY },
                  { "/api/dependencies?endTs=", DAY },
                  { "/api/dependencies?lookback=60000", 60000 * MS } };
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t before = clock_wall_ns() / MS * MS;
        expect(&scene, cases[i].path, 200, EMPTY);
        assert_true(fake.asked_to_ns >= before && fake.asked_to_ns <= clock_wall_ns());
        assert_int_equal(fake.asked_to_ns - fake.asked_from_ns, cases[i].lookback_ns);
    }
    tear_down(&scene);
}

/* --- edges ------------------------------------------------------------------------------------ */

#define AB "{\"parent\":\"a\",\"child\":\"b\",\"callCount\":12}"
#define AA "{\"parent\":\"a\",\"child\":\"a\",\"callCount\":1}"
#define CB "{\"parent\":\"c \\\"\",\"child\":\"b\",\"callCount\":18446744073709551615}"
#define DE "{\"parent\":\"d\",\"child\":\"a&e+\",\"callCount\":3}"

static void edges_of_a_service(void **state)
{
    static const struct {
        const char *query, *want;
    } cases[] = {
        { "", AB "," AA "," CB "," DE },
        { "service=", AB "," AA "," CB "," DE },
        { "services=a", AB "," AA "," CB "," DE }, /* not a parameter */
        { "service=a", AB "," AA },
        { "service=b", AB "," CB },
        { "service=d", DE },
        { "service=c%20%22", CB },
        { "service=c+%22", CB },
        { "service=a%26e%2B", DE },
        { "service=b&service=d", AB "," CB }, /* the first counts */
        { "service=A", "" },
        { "service=a%26e", "" },
        { "service=nobody", "" },
        { "service=%00", "" },
        { "service=%FF", "" },
    };
    const struct query_edge edges[] = { { STR("a"), STR("b"), 12, 3 },
                                        { STR("a"), STR("a"), 1, 0 },
                                        { STR("c \""), STR("b"), UINT64_MAX, 0 },
                                        { STR("d"), STR("a&e+"), 3, 3 } };
    struct scene scene;

    (void)state;
    set_up(&scene);
    memcpy(fake.edges, edges, sizeof edges);
    fake.n_edges = MG_COUNT(edges);
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        expect(&scene, arena_printf(&spans_arena, "/api/dependencies?%s", cases[i].query).ptr, 200,
               arena_printf(&spans_arena, "{\"data\":[%s]" COUNT "null}", cases[i].want).ptr);
    tear_down(&scene);
}

static void pretty_and_failed_answers(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    fake.edges[0] = (struct query_edge){ STR("a"), STR("b"), 1, 0 };
    fake.n_edges = 1;
    expect(&scene, "/api/dependencies?prettyPrint=true", 200,
           "{\n    \"data\": [\n        {\n            \"parent\": \"a\",\n            \"child\": "
           "\"b\",\n            \"callCount\": 1\n        }\n    ],\n    \"total\": 0,\n    "
           "\"limit\": 0,\n    \"offset\": 0,\n    \"errors\": null\n}");
    ask(&scene, "GET", "/api/dependencies?prettyPrint=true&endTs=x");
    assert_int_equal(scene.status, 400);
    assert_true(str_starts(scene.body, STR("{\n    \"data\": null,\n")));
    fake.err = MG_E_TIMEOUT;
    expect(&scene, "/api/dependencies", 504, ERROR("504", "the query failed"));
    fake.err = MG_E_IO;
    expect(&scene, "/api/dependencies", 500, ERROR("500", "the query failed"));
    fake.is_full = true;
    ask(&scene, "GET", "/api/dependencies");
    assert_int_equal(scene.status, 503);
    ask(&scene, "POST", "/api/dependencies");
    assert_int_equal(scene.status, 405);
    ask(&scene, "GET", "/api/dependencies/x");
    assert_int_equal(scene.status, 404);
    tear_down(&scene);
}

static void head_has_no_body(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    ask(&scene, "HEAD", "/api/dependencies");
    assert_int_equal(scene.status, 200);
    assert_int_equal(scene.body.len, 0);
    ask(&scene, "HEAD", "/api/dependencies?endTs=x");
    assert_int_equal(scene.status, 400);
    tear_down(&scene);
}

/* --- archive ---------------------------------------------------------------------------------- */

#define ARCHIVED "{\"data\":[]" COUNT "[]}"

static void post(struct scene *scene, const char *path, int status, const char *body)
{
    ask(scene, "POST", path);
    if (scene->status != status || !str_eq(scene->body, str_of(body)))
        fail_msg("%s\ngot  %d %.*s\nwant %d %s", path, scene->status, STR_ARG(scene->body), status,
                 body);
    assert_true(str_eq(scene->content_type, STR("application/json")));
}

static void a_trace_is_archived(void **state)
{
    static const struct {
        const char *id;
        int status;
        const char *want;
        size_t n_queries;
    } cases[] = {
        { T32, 200, ARCHIVED, 1 },
        { "0102030405060708090A0B0C0D0E0F10", 200, ARCHIVED, 1 },
        { "102030405060708090a0b0c0d0e0f10", 200, ARCHIVED, 1 },
        { "AQIDBAUGBwgJCgsMDQ4PEA%3D%3D", 200, ARCHIVED, 1 },
        { T32 "?start=1&end=2", 200, ARCHIVED, 1 },
        { "1", 404, ERROR("404", "trace not found"), 1 },
        { "ffffffffffffffffffffffffffffffff", 404, ERROR("404", "trace not found"), 1 },
        { "0", 404, ERROR("404", "trace not found"), 0 },
        { "00000000000000000000000000000000", 404, ERROR("404", "trace not found"), 0 },
        { "xyz", 400, ERROR("400", "strconv.ParseUint: parsing \\\"xyz\\\": invalid syntax"), 0 },
        { "-1", 400, ERROR("400", "strconv.ParseUint: parsing \\\"-1\\\": invalid syntax"), 0 },
        { T32 "0", 400,
          ERROR("400", "TraceID cannot be longer than 32 hex characters: " T32 "0"), 0 },
        { T32 "?start=x", 400,
          ERROR("400", "unable to parse param 'start': strconv.ParseInt: parsing \\\"x\\\": "
                       "invalid syntax"),
          0 },
        { T32 "?end=1.5", 400,
          ERROR("400", "unable to parse param 'end': strconv.ParseInt: parsing \\\"1.5\\\": "
                       "invalid syntax"),
          0 },
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        fake.n_trace_queries = 0;
        post(&scene, arena_printf(&spans_arena, "/api/archive/%s", cases[i].id).ptr,
             cases[i].status, cases[i].want);
        assert_int_equal(fake.n_trace_queries, cases[i].n_queries);
    }
    tear_down(&scene);
}

/* The UI sends neither a body nor a type; what others send is not looked at. */
static void what_is_posted_does_not_matter(void **state)
{
    static const struct http_header types[] = {
        { STR_INIT("content-type"), STR_INIT("application/json") },
        { STR_INIT("content-type"), STR_INIT("text/plain;charset=UTF-8") },
    };
    struct scene scene;

    (void)state;
    set_up(&scene);
    for (size_t i = 0; i < MG_COUNT(types); i++) {
        send_call(&scene, &(struct http_call){ .method = "POST",
                                               .path = STR("/api/archive/" T32),
                                               .headers = &types[i],
                                               .n_headers = 1,
                                               .body = STR("not JSON") });
        assert_int_equal(scene.status, 200);
        assert_true(str_eq(scene.body, STR(ARCHIVED)));
    }
    tear_down(&scene);
}

static void archiving_that_fails(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    fake.err = MG_E_IO;
    post(&scene, "/api/archive/" T32, 500, ERROR("500", "the query failed"));
    fake.err = MG_E_TOO_BIG;
    post(&scene, "/api/archive/" T32, 413, ERROR("413", "the query failed"));
    fake.is_full = true;
    ask(&scene, "POST", "/api/archive/" T32);
    assert_int_equal(scene.status, 503);
    fake.is_full = false;
    fake.err = MG_OK;
    ask(&scene, "POST", "/api/archive/1?prettyPrint=true");
    assert_int_equal(scene.status, 404);
    assert_true(str_starts(scene.body, STR("{\n    \"data\": null,\n")));
    ask(&scene, "GET", "/api/archive/" T32);
    assert_int_equal(scene.status, 405);
    ask(&scene, "POST", "/api/archive/");
    assert_int_equal(scene.status, 404);
    ask(&scene, "POST", "/api/archive");
    assert_int_equal(scene.status, 404);
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_read_or_refused),
        cmocka_unit_test(malformed_queries_are_refused),
        cmocka_unit_test(the_last_day_unless_told),
        cmocka_unit_test(edges_of_a_service),
        cmocka_unit_test(pretty_and_failed_answers),
        cmocka_unit_test(head_has_no_body),
        cmocka_unit_test(a_trace_is_archived),
        cmocka_unit_test(what_is_posted_does_not_matter),
        cmocka_unit_test(archiving_that_fails),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
