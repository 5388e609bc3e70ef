/* sampling.c - the doors over HTTP. Some clients ask twenty times a second, so an answer is a look into a table and a few
 * hundred bytes.
 *
 * No failure may look like a strategy: one client applies whatever parses, whatever the status says. */
#include "api/sampling/sampling.h"
#include "api/sampling/strategy.h"

/* The only `service` of the query, copied; false: there is none, or several. A pair with a malformed escape is none, as in Go. */
static bool one_service(struct str query, struct arena *arena, struct str *service)
{
    struct str key, value;
    struct buf scratch;
    size_t n = 0;
    bool is_bad;

    buf_init(&scratch, query.len);
    while (http_query_next(&query, &scratch, &key, &value, &is_bad) || is_bad)
        if (!is_bad && str_eq(key, STR("service")) && n++ == 0)
            *service = arena_str(arena, value);
    buf_fini(&scratch);
    return n == 1;
}

static void respond_strategy(struct head *head, struct http_request *request, struct str service, struct arena *arena)
{
    struct strategy strategy;
    struct buf body;

    head_strategy(head, service, arena, &strategy);
    buf_init(&body, STRATEGY_BYTES_MAX);
    strategy_json(&body, &strategy);
    if (buf_err(&body) != MG_OK)
        http_respond_error(request, MG_E_INTERNAL, STR("collector error: the strategy is larger than 4 MiB"), 0);
    else
        http_respond(request, 200, "application/json", buf_str(&body));
    buf_fini(&body);
}

static void on_strategy(void *owner, struct http_request *request)
{
    struct arena arena = { 0 };
    struct str service;

    if (one_service(http_request_query(request), &arena, &service))
        respond_strategy(owner, request, service, &arena);
    else
        http_respond_error(request, MG_E_FORMAT, STR("'service' parameter must be provided once"), 0);
    arena_fini(&arena);
}

/* Jaeger never had any; its classic clients ask all the same. */
static void on_baggage(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond(request, 200, "application/json", STR("[]"));
}

const struct http_route *sampling_http_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "GET", .path = "/baggageRestrictions", .on_request = on_baggage },
        { .method = "GET", .path = "/*", .on_request = on_strategy },
    };

    *n = MG_COUNT(routes);
    return routes;
}

const struct http_route *sampling_thrift_http_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "GET", .path = "/api/sampling", .on_request = on_strategy, .scope = HTTP_SCOPE_INGEST },
        { .method = "GET", .path = "/api/sampling/sampling", .on_request = on_strategy, .scope = HTTP_SCOPE_INGEST }, /* what OpenTelemetry's JavaScript makes of it */
    };

    *n = MG_COUNT(routes);
    return routes;
}
