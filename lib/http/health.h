/* health.h - grpc.health.v1 ("GRPC Health Checking Protocol") for a door that speaks gRPC: Check and List; Watch is not
 * served (status 12).
 *
 * A door opens when it can serve and closes before the program stops; what may come in between, such
 * as a full disk, is_serving tells of all services together. The server as a whole is the empty
 * name. Nobody has to be known to ask. */
#pragma once
#include "http/http.h"

#define HTTP_HEALTH_BYTES_MAX 4096 /* of a request, before and after inflating */

struct http_health {
    const char *const *services; /* full names */
    size_t n;
    bool (*is_serving)(void *owner); /* owner: http_options.owner; NULL: always */
};
http_handler_fn http_health_check, http_health_list; /* owner: the struct http_health */

/* Two rows of a table of routes; `health` is not const because an owner is not. */
#define HTTP_HEALTH_ROUTE(method_, handler, health)                                                \
    {                                                                                              \
        .path = "/grpc.health.v1.Health/" method_, .on_request = (handler),                        \
        .body_max = HTTP_HEALTH_BYTES_MAX, .is_grpc = true, .scope = HTTP_SCOPE_OPEN,              \
        .owner = (health)                                                                          \
    }
#define HTTP_HEALTH_ROUTES(health)                                                                 \
    HTTP_HEALTH_ROUTE("Check", http_health_check, health),                                         \
        HTTP_HEALTH_ROUTE("List", http_health_list, health)
