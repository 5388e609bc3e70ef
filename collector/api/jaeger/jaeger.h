/* jaeger.h - Jaeger's query APIs: the legacy one over HTTP and /api/v3 on query_http, and
 * jaeger.api_v2 and jaeger.api_v3 over gRPC on query_grpc; shapes, units, statuses, id rules and
 * adjustments as the Jaeger servers of the field answer them, over live and store.
 *
 * Loop side: parameters are parsed on the loop (a bad one is answered at once), the query runs on a
 * query thread and streams its JSON through an http_pipe. `jaeger_routes` are handed to the
 * query_http server; the program copies the table and sets each owner to its struct jaeger_api, one
 * per program, read-only after new but for counters of transform.h (any thread) and reflection.h
 * (the loop of query_grpc).
 *
 * HTTP: every answer, failures included, is the envelope of envelope.h in application/json,
 * until bytes have left: from then on a failure cuts the connection. A query that finds no room
 * (503) carries Retry-After.
 *
 * gRPC: requests by the rules of grpc_params.h, traces as grpc_traces.h says, a message at a time
 * as fast as the client reads. Failures are the status of the call, also behind messages. The door
 * answers grpc.health.v1 (http/health.h) and server reflection (reflection.h) too. */
#pragma once
#include "http/http.h"
#include "query/query.h"

struct jaeger_api;
struct jaeger_api *jaeger_api_new(struct query_pool *pool,
                                  const struct query_conf *conf); /* conf is copied */
/* Any thread; copies. */
void jaeger_api_reload(struct jaeger_api *api, const struct query_conf *conf);
void jaeger_api_free(struct jaeger_api **api); /* after the pool is gone */
const struct http_route *jaeger_routes(size_t *n);
/* For one loop; http_options.owner is the struct jaeger_api. */
const struct http_route *jaeger_grpc_routes(size_t *n);
