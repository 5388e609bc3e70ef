/* dependencies.h - GET /api/dependencies; a handler of jaeger_routes, owner: struct jaeger_api. Loop thread. */
#pragma once
#include "http/http.h"
void dependencies_on_request(void *owner, struct http_request *request);
