/* jaeger.h - Jaeger's legacy HTTP query API on query_http: /api/services,
 * /api/services/{service}/operations, /api/operations, /api/traces, /api/traces/{id}; shapes,
 * units, statuses, id rules and adjustments as the Jaeger servers of the field answer them, over
 * live and store.
 *
 * Loop side: parameters are parsed on the loop (a bad one is answered at once), the query runs on a
 * query thread and streams its JSON through an http_pipe. `jaeger_routes` are handed to the
 * query_http server; the program copies the table and sets each owner to its struct jaeger_api, one
 * per program, read-only after new.
 *
 * Every answer, failures included, is the envelope of jaeger.md 1.2 in application/json, until
 * bytes have left: from then on a failure cuts the connection. A query that finds no room (503)
 * comes in text/plain, with Retry-After. */
#pragma once
#include "http/http.h"
#include "query/query.h"

struct jaeger_api;
struct jaeger_api *jaeger_api_new(struct query_pool *pool,
                                  const struct query_conf *conf); /* conf is copied */
/* Any thread; *conf, and the one before, must stay readable until jaeger_api_free. */
void jaeger_api_reload(struct jaeger_api *api, const struct query_conf *conf);
void jaeger_api_free(struct jaeger_api **api);                    /* after the pool is gone */
const struct http_route *jaeger_routes(size_t *n);
