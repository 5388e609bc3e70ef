/* private.h - what the answers under /api/meshglass/v1 have in common. Private to api/admin. */
#pragma once
#include "codec/json_write.h"
#include "http/http.h"

bool admin_wants_pretty(const struct http_request *request);    /* ?prettyPrint */
void admin_put_time(struct json_writer *w, uint64_t wall_ns);   /* RFC 3339; 0: "" */
