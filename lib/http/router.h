/* router.h - from a method and a path to a route of the table a server was created with.
 *
 * Built once, immutable afterwards, so any thread may match. The table is borrowed until
 * router_free. Order of preference at every segment: the exact text, then "{name}", then a trailing
 * star; the first path that fits decides, also when another path would have had the method. A wrong
 * shape of a route (no leading '/', a brace inside a segment, more than 8 parameters, the same
 * method and path twice) is a programmer's mistake and asserts.
 *
 * Exact segments are compared with the path as sent, undecoded; a parameter is decoded once, so
 * that "%2F" inside a segment is part of its value and never a separator. */
#pragma once
#include "base/arena.h"
#include "http/http.h"

#define HTTP_PARAMS_MAX 8
struct http_param_pair {
    struct str name, value;
};
struct http_params {
    struct http_param_pair at[HTTP_PARAMS_MAX];
    size_t n;
};

struct router;
struct router *router_new(const struct http_route *routes, size_t n);
void router_free(struct router **router);

/* Finds the route of a path (without its query). Names in *params point into the table,
 * values into `arena`. The rest of a path that a trailing star took is the parameter "*", decoded,
 * possibly empty.
 *
 * E_ABSENT: no such path; E_UNSUPPORTED instead when is_grpc. E_METHOD: the path has no such
 * method, and *allow (in arena) is the value of the Allow header. E_FORMAT: a malformed percent
 * escape, or a decoded NUL, in a parameter. HEAD is served by GET routes. A gRPC route is found by
 * its path alone, whatever the method and is_grpc are: refusing a method or a content type there is
 * the server's decision. Nothing but *allow is written on failure. */
enum mg_err router_match(const struct router *router, struct str method, struct str path,
                         bool is_grpc, const struct http_route **route, struct http_params *params,
                         struct arena *arena, struct str *allow) MG_MUST_USE;
