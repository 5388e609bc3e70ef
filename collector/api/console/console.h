/* console.h - the built-in console: a page under /console/ that shows state, ledger, search,
 * traces.
 *
 * The page is compiled in and constant, and asks only the public API of its own origin. The routes
 * keep no state and ignore their owner, so one table serves every loop thread. Nothing can fail but
 * the name of a file: then 404. */
#pragma once
#include "http/http.h"

/* GET /, /console (both lead to /console/) and everything under /console/. Static. */
const struct http_route *console_routes(size_t *n);
