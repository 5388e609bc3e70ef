#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include "base/mem.h"
#include "http/router.h"
#include "unit/base/assert_str.h"

#define ROUTE(m, p)                                                                                \
    {                                                                                              \
        .method = (m), .path = (p)                                                                 \
    }
static const struct http_route routes[] = {
    ROUTE("GET", "/"),
    ROUTE("GET", "/api/traces"),
    ROUTE("GET", "/api/traces/{id}"),
    ROUTE("POST", "/api/traces/{trace}/archive"),
    ROUTE("DELETE", "/api/traces/{trace}"),
    ROUTE("GET", "/api/traces/latest"),
    ROUTE("GET", "/api/traces/latest/raw"),
    ROUTE("GET", "/api/services/{service}/operations/{operation}"),
    ROUTE("POST", "/v1/traces"),
    ROUTE("GET", "/static/*"),
    ROUTE("GET", "/static/fixed"),
    ROUTE("GET", "/tenants/{tenant}/*"),
    { .path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export", .is_grpc = true },
    ROUTE("GET", "/p/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}"),
};

static const struct {
    const char *method, *path;
    bool is_grpc;
    enum mg_err want;
    const char *route; /* or the Allow header */
    const char *params;
} cases[] = {
    { "GET", "/", false, MG_OK, "/", "" },
    { "HEAD", "/", false, MG_OK, "/", "" },
    { "GET", "/api/traces", false, MG_OK, "/api/traces", "" },
    { "GET", "/api/traces/abc", false, MG_OK, "/api/traces/{id}", "id=abc;" },
    { "DELETE", "/api/traces/abc", false, MG_OK, "/api/traces/{trace}", "trace=abc;" },
    { "GET", "/api/traces/latest", false, MG_OK, "/api/traces/latest", "" },
    { "POST", "/api/traces/latest/archive", false, MG_OK, "/api/traces/{trace}/archive",
      "trace=latest;" },
    { "GET", "/api/traces/latest/raw", false, MG_OK, "/api/traces/latest/raw", "" },
    { "GET", "/api/traces/a%2Fb%20c+d", false, MG_OK, "/api/traces/{id}", "id=a/b c+d;" },
    { "GET", "/api/traces/%2525", false, MG_OK, "/api/traces/{id}", "id=%25;" },
    { "GET", "/api/services/s/operations/GET%20%2Fx", false, MG_OK,
      "/api/services/{service}/operations/{operation}", "service=s;operation=GET /x;" },
    { "GET", "/static/", false, MG_OK, "/static/*", "*=;" },
    { "GET", "/static/a/b.js", false, MG_OK, "/static/*", "*=a/b.js;" },
    { "GET", "/static/fixed", false, MG_OK, "/static/fixed", "" },
    { "GET", "/static/fixed/more", false, MG_OK, "/static/*", "*=fixed/more;" },
    { "GET", "/tenants/t/", false, MG_OK, "/tenants/{tenant}/*", "tenant=t;*=;" },
    { "GET", "/tenants/t/x%20y/z", false, MG_OK, "/tenants/{tenant}/*", "tenant=t;*=x y/z;" },
    { "GET", "/p/1/2/3/4/5/6/7/8", false, MG_OK, "/p/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}",
      "a=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;" },
    { "POST", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", true, MG_OK,
      "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "" },
    { "GET", "/opentelemetry.proto.collector.trace.v1.TraceService/Export", false, MG_OK,
      "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "" },
    { "POST", "/v1/traces", true, MG_OK, "/v1/traces", "" },

    { "GET", "", false, MG_E_ABSENT, "", "" },
    { "OPTIONS", "*", false, MG_E_ABSENT, "", "" },
    { "GET", "api/traces", false, MG_E_ABSENT, "", "" },
    { "GET", "//", false, MG_E_ABSENT, "", "" },
    { "GET", "/api", false, MG_E_ABSENT, "", "" },
    { "GET", "/API/traces", false, MG_E_ABSENT, "", "" },
    { "GET", "/api/traces/", false, MG_E_ABSENT, "", "" },
    { "GET", "/api/traces/abc/", false, MG_E_ABSENT, "", "" },
    { "GET", "/api//traces", false, MG_E_ABSENT, "", "" },
    { "GET", "/api/traces/a/b/c", false, MG_E_ABSENT, "", "" },
    { "GET", "/api%2Ftraces", false, MG_E_ABSENT, "", "" },
    { "GET", "/static", false, MG_E_ABSENT, "", "" },
    { "GET", "/tenants//x", false, MG_E_ABSENT, "", "" },
    { "GET", "/tenants/t", false, MG_E_ABSENT, "", "" },
    { "GET", "/p/1/2/3/4/5/6/7", false, MG_E_ABSENT, "", "" },
    { "GET", "/p/1/2/3/4/5/6/7/8/9", false, MG_E_ABSENT, "", "" },
    { "POST", "/some.Service/Method", true, MG_E_UNSUPPORTED, "", "" },
    { "POST", "/some.Service/Method", false, MG_E_ABSENT, "", "" },
    { "POST", "/opentelemetry.proto.collector.trace.v1.TraceService/Other", true, MG_E_UNSUPPORTED,
      "", "" },
    { "GET", "/v1/traces", false, MG_E_METHOD, "POST", "" },
    { "HEAD", "/v1/traces", false, MG_E_METHOD, "POST", "" },
    { "get", "/", false, MG_E_METHOD, "GET, HEAD", "" },
    { "PUT", "/api/traces/abc", false, MG_E_METHOD, "GET, HEAD, DELETE", "" },
    { "DELETE", "/api/traces/latest", false, MG_E_METHOD, "GET, HEAD", "" },
    { "POST", "/static/%zz", false, MG_E_METHOD, "GET, HEAD", "" },
    { "GET", "/api/traces/%", false, MG_E_FORMAT, "", "" },
    { "GET", "/api/traces/%2", false, MG_E_FORMAT, "", "" },
    { "GET", "/api/traces/%2g", false, MG_E_FORMAT, "", "" },
    { "GET", "/api/traces/a%00b", false, MG_E_FORMAT, "", "" },
    { "GET", "/static/x%", false, MG_E_FORMAT, "", "" },
};

static void params_text(struct buf *out, const struct http_params *params)
{
    for (size_t i = 0; i < params->n; i++)
        buf_printf(out, "%.*s=%.*s;", STR_ARG(params->at[i].name), STR_ARG(params->at[i].value));
}

static void finds_routes(void **state)
{
    (void)state;
    struct router *router = router_new(routes, MG_COUNT(routes));
    struct arena arena = { 0 };
    struct buf text;
    buf_init(&text, 1024);

    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct http_route *route = NULL;
        struct http_params params = { .n = 99 };
        struct str allow = STR("");
        enum mg_err err = router_match(router, str_of(cases[i].method), str_of(cases[i].path),
                                       cases[i].is_grpc, &route, &params, &arena, &allow);
        if (err != cases[i].want)
            fail_msg("%s %s: %s", cases[i].method, cases[i].path, mg_err_name(err));
        if (err == MG_OK) {
            assert_str(str_of(route->path), cases[i].route);
            buf_clear(&text);
            params_text(&text, &params);
            assert_str(buf_str(&text), cases[i].params);
        } else {
            assert_null(route);
            assert_int_equal(params.n, 99);
            assert_str(allow, cases[i].route);
        }
        arena_reset(&arena);
    }
    buf_fini(&text);
    arena_fini(&arena);
    router_free(&router);
    assert_null(router);
    router_free(&router);
}

static void is_empty_without_routes(void **state)
{
    (void)state;
    struct router *router = router_new(NULL, 0);
    struct arena arena = { 0 };
    const struct http_route *route;
    struct http_params params;
    struct str allow;

    assert_int_equal(
        router_match(router, STR("GET"), STR("/"), false, &route, &params, &arena, &allow),
        MG_E_ABSENT);
    router_free(&router);
    arena_fini(&arena);
}

/* A path of many segments costs no more than the table is deep. */
static void ends_early_on_long_paths(void **state)
{
    (void)state;
    static const struct http_route table[] = { ROUTE("GET", "/{a}/{b}/x"), ROUTE("GET", "/a/{b}/y"),
                                               ROUTE("GET", "/{a}/b/z") };
    struct router *router = router_new(table, MG_COUNT(table));
    struct arena arena = { 0 };
    const struct http_route *route;
    struct http_params params;
    struct str allow;
    struct buf path;

    buf_init(&path, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_put_text(&path, "/a");
    assert_int_equal(
        router_match(router, STR("GET"), buf_str(&path), false, &route, &params, &arena, &allow),
        MG_E_ABSENT);
    assert_int_equal(
        router_match(router, STR("GET"), STR("/a/b/x"), false, &route, &params, &arena, &allow),
        MG_OK);
    assert_ptr_equal(route, &table[0]);
    assert_int_equal(params.n, 2);
    assert_str(params.at[1].value, "b");
    buf_fini(&path);
    router_free(&router);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_routes),
        cmocka_unit_test(is_empty_without_routes),
        cmocka_unit_test(ends_early_on_long_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
