/* sampling.h - the doors that tell SDKs how much to sample (reference: Jaeger remote sampling, HTTP and gRPC).
 *
 *   sampling_http 5778   GET / , /sampling, /api/sampling and every other path with ?service=NAME: strategy as JSON, enum as string,
 *                        probabilisticSampling always there but with a rate limit (strategy.h); /baggageRestrictions: []
 *   sampling_grpc 5779   jaeger.api_v2.SamplingManager/GetSamplingStrategy
 *   14268, 14250         the same, where Jaeger's v1 collectors had them: GET /api/sampling (and below it /sampling, which is what
 *                        JavaScript's sampler makes of it), SamplingManager
 *   query_http           GET /api/sampling/effective: the table in force with sources, for `sampling show` and the console
 *
 * Answers are made on the loop from an immutable table; nothing waits. The routes' owner is the struct head, also on
 * the ingest doors. Not exactly one `service`: 400, text, as Jaeger says it. */
#pragma once
#include "http/http.h"
#include "sample/head.h"

const struct http_route *sampling_http_routes(size_t *n);
const struct http_route *sampling_grpc_routes(size_t *n);        /* SamplingManager alone: beside PostSpans, where health is already */
const struct http_route *sampling_grpc_door_routes(size_t *n);   /* the whole sampling_grpc door: and health, whose rows keep their own owner */
const struct http_route *sampling_thrift_http_routes(size_t *n); /* beside Jaeger's Thrift door: /api/sampling */
const struct http_route *sampling_query_routes(size_t *n);       /* /api/sampling/effective */
