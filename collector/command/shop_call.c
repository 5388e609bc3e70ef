/* shop_call.c - see shop_call.h. */
#include "command/shop_call.h"

enum { RPC_PORT = 8080 };

static struct call call_begin(struct shop *shop, const struct shop_span *from, enum service to,
                              enum scope scope, struct str name, uint64_t *now)
{
    struct tale *tale = &shop->tale;
    unsigned instance = tale_instance(tale, to);
    struct call call;

    call.client = shop_begin(shop, from, from->instance, scope, SPAN_CLIENT, name, *now);
    shop_put_peer(call.client, service_name(to), RPC_PORT);
    shop_put_network(call.client, shop->cast->instances[instance].address, RPC_PORT);
    *now += tale_work(tale, 180);
    call.server = shop_begin(shop, call.client, instance, scope, SPAN_SERVER, name, *now);
    shop_put_network(call.server, shop->cast->instances[from->instance].address, shop_port(shop));
    return call;
}

static void call_end(struct shop *shop, const struct call *call, uint64_t *now)
{
    call->server->span.end_ns = *now;
    *now += tale_work(&shop->tale, 180);
    call->client->span.end_ns = *now;
}

struct call shop_rpc_begin(struct shop *shop, const struct shop_span *from, enum service to,
                           struct str method, uint64_t *now)
{
    struct call call = call_begin(shop, from, to, SCOPE_RPC, method, now);

    for (int i = 0; i < 2; i++) {
        struct shop_span *side = i ? call.server : call.client;
        SPAN_TEXT(side, "rpc.system.name", STR("grpc"));
        SPAN_TEXT(side, "rpc.method", method);
    }
    return call;
}

bool shop_rpc_end(struct shop *shop, const struct call *call, uint64_t *now, bool is_fine)
{
    const struct failure *failed = &shop->tale.failed;
    struct str status = is_fine ? STR("OK") : failed->rpc_status;

    SPAN_TEXT(call->client, "rpc.status_code", status);
    SPAN_TEXT(call->server, "rpc.status_code", status);
    if (!is_fine && failed->is_server_error)
        span_error(&shop->tale, call->server, status);
    if (!is_fine)
        span_error(&shop->tale, call->client, status);
    call_end(shop, call, now);
    return is_fine;
}

void shop_raise(struct shop *shop, struct shop_span *server, uint64_t now)
{
    span_exception(&shop->tale, server, now, &shop->tale.failed);
}

struct call shop_http_begin(struct shop *shop, const struct shop_span *from, enum service to,
                            struct str route, uint64_t *now)
{
    struct arena *arena = &shop->tale.arena;
    struct str name = arena_printf(arena, "POST %.*s", STR_ARG(route));
    struct call call = call_begin(shop, from, to, SCOPE_HTTP, name, now);

    SPAN_TEXT(call.client, "http.request.method", STR("POST"));
    SPAN_TEXT(call.client, "url.full",
              arena_printf(arena, "http://%.*s:%d%.*s", STR_ARG(service_name(to)), RPC_PORT,
                           STR_ARG(route)));
    SPAN_TEXT(call.client, "url.template", route);
    SPAN_TEXT(call.server, "http.request.method", STR("POST"));
    SPAN_TEXT(call.server, "url.scheme", STR("http"));
    SPAN_TEXT(call.server, "url.path", route);
    SPAN_TEXT(call.server, "http.route", route);
    shop_put_peer(call.server, service_name(to), RPC_PORT);
    SPAN_TEXT(call.server, "network.protocol.version", STR("1.1"));
    return call;
}

bool shop_http_end(struct shop *shop, const struct call *call, uint64_t *now, bool is_fine)
{
    for (int i = 0; i < 2; i++) {
        struct shop_span *side = i ? call->server : call->client;
        SPAN_INT(side, "http.response.status_code", is_fine ? 200 : 500);
        if (!is_fine)
            span_error(&shop->tale, side, STR("500"));
    }
    call_end(shop, call, now);
    return is_fine;
}

/* --- databases ------------------------------------------------------------------------------- */

bool shop_sql(struct shop *shop, const struct shop_span *from, struct str summary, struct str query,
              uint64_t *now)
{
    struct shop_span *span =
        shop_begin(shop, from, from->instance, SCOPE_SQL, SPAN_CLIENT, summary, *now);
    struct str operation, collection;
    bool is_fine = true;

    (void)str_split_at(summary, ' ', &operation, &collection); /* "SELECT products" */
    SPAN_TEXT(span, "db.system.name", STR("postgresql"));
    SPAN_TEXT(span, "db.namespace", STR("shop"));
    SPAN_TEXT(span, "db.operation.name", operation);
    SPAN_TEXT(span, "db.collection.name", collection);
    SPAN_TEXT(span, "db.query.summary", summary);
    SPAN_TEXT(span, "db.query.text", query);
    shop_put_peer(span, STR("postgres"), 5432);
    shop_put_network(span, STR("10.42.2.40"), 5432);
    shop_work(shop, now, 1800, FAULT_SQL);
    if (shop_fails(shop, FAULT_SQL)) {
        *now += 2000000000;
        SPAN_TEXT(span, "db.response.status_code", STR("57014"));
        span_error(&shop->tale, span, STR("57014"));
        is_fine = false;
    }
    span->span.end_ns = *now;
    return is_fine;
}

bool shop_redis(struct shop *shop, const struct shop_span *from, struct str command,
                struct str query, uint64_t *now)
{
    struct shop_span *span =
        shop_begin(shop, from, from->instance, SCOPE_REDIS, SPAN_CLIENT, command, *now);
    bool is_cart = shop->cast->instances[from->instance].service == SERVICE_CART, is_fine = true;

    SPAN_TEXT(span, "db.system.name", STR("redis"));
    SPAN_TEXT(span, "db.namespace", STR("0"));
    SPAN_TEXT(span, "db.operation.name", command);
    SPAN_TEXT(span, "db.query.text", query);
    shop_put_peer(span, STR("redis"), 6379);
    shop_work(shop, now, 350, is_cart ? FAULT_CART_STORE : FAULT_NONE);
    if (is_cart && shop_fails(shop, FAULT_CART_STORE)) {
        span_error(&shop->tale, span, shop_failure(FAULT_CART_STORE)->type);
        is_fine = false;
    } else {
        shop_put_network(span, STR("10.42.3.41"), 6379);
    }
    span->span.end_ns = *now;
    return is_fine;
}
