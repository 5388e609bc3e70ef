/* transform.h - POST /api/transform: OTLP/JSON to the legacy trace JSON, for files that a user
 * drops into the UI. Nothing is stored and nothing is adjusted.
 *
 * Any content type is taken, since a browser sends text/plain. A body that is no OTLP/JSON is 400,
 * a content encoding 415. Spans that OTLP refuses (bad ids) are left out and told in `errors`. At
 * most TRANSFORM_UPLOADS_MAX bodies are in memory at a time; more are refused with a retry hint
 * before they are read. Owner: struct jaeger_api. Private to api/jaeger; jaeger_routes has it. */
#pragma once
#include "http/http.h"

#define TRANSFORM_UPLOADS_MAX 4

void transform_on_head(void *owner, struct http_request *request);
void transform_on_request(void *owner, struct http_request *request);
