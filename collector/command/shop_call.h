/* shop_call.h - how the services of the demo's shop reach each other and their databases. A call is
 * a client span at the caller and a server span at the callee; it begins, the callee works below
 * `server`, and it ends with how it went. Private to the shop's files. */
#pragma once
#include "command/shop_scene.h"

struct call {
    struct shop_span *client, *server;
};

/* gRPC. What failed on the way (tale.failed) gives the status; shop_rpc_end returns is_fine. */
struct call shop_rpc_begin(struct shop *shop, const struct shop_span *from, enum service to,
                           struct str method, uint64_t *now);
bool shop_rpc_end(struct shop *shop, const struct call *call, uint64_t *now, bool is_fine);
/* A POST. */
struct call shop_http_begin(struct shop *shop, const struct shop_span *from, enum service to,
                            struct str route, uint64_t *now);
bool shop_http_end(struct shop *shop, const struct call *call, uint64_t *now, bool is_fine);
/* The place where a service finds out: its span gets the exception. */
void shop_raise(struct shop *shop, struct shop_span *server, uint64_t now);

/* PostgreSQL and Redis; false: it failed, and the span says so. */
bool shop_sql(struct shop *shop, const struct shop_span *from, struct str summary, struct str query,
              uint64_t *now);
bool shop_redis(struct shop *shop, const struct shop_span *from, struct str command,
                struct str query, uint64_t *now);
