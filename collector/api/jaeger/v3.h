/* v3.h - the handlers of /api/v3 (jaeger-idl: api_v3/query_service.proto), in the words of Jaeger's HTTP gateway: plain
 * documents, and failures as {"error":{"httpCode":404,"message":"…"}}. Owner: struct jaeger_api.
 * What is said in jaeger.h about failures and streaming holds here too: one document, sent in
 * pieces while it is made. Private to api/jaeger; jaeger_routes has them. */
#pragma once
#include "http/http.h"

void v3_on_services(void *owner, struct http_request *request);
void v3_on_operations(void *owner, struct http_request *request);
void v3_on_search(void *owner, struct http_request *request);    /* 404 when nothing is found */
void v3_on_trace(void *owner, struct http_request *request);     /* path parameter trace_id */
void v3_on_summaries(void *owner, struct http_request *request); /* 200 when nothing is found */
