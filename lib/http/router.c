/* router.c - a tree of path segments.
 *
 *     "" -> "api" -> "traces"  [GET /api/traces]
 *                      `-> {} [GET /api/traces/{id}]
 *        `-> rest  [GET / and a star]
 *
 * A node knows the routes that end at it and those whose star takes the rest. The walk goes into
 * the exact child first and comes back when nothing was found below it, so it can visit a node of
 * the tree once at most: the work is bounded by the table, not by the path. Parameters are only
 * remembered as slices on the way; they are decoded once the route is known. Names stay with the
 * routes, since two routes may name the same place differently. */
#include "http/router.h"

#include <assert.h>
#include "base/mem.h"
#include "base/vec.h"
#include "http/query_string.h"

struct route_list {
    VEC(const struct http_route *) rows; /* borrowed; one a method */
};

struct node {
    struct str segment;           /* in the table; empty for the root and a parameter */
    VEC(struct node *) exact;     /* owned */
    struct node *parameter;       /* owned; "{name}", or NULL */
    struct route_list here, rest; /* paths that end at this node; that go on with a star */
};

struct router {
    struct node root; /* the place before the first '/' */
};

/* Raw values in the order of the path. */
struct captures {
    struct str at[HTTP_PARAMS_MAX];
    size_t n;
};

/* --- building --- */

static bool is_parameter(struct str segment)
{
    if (segment.len && segment.ptr[0] == '{') {
        assert(segment.len > 2 && segment.ptr[segment.len - 1] == '}');
        return true;
    }
    assert(segment.len == 0 ||
           (!memchr(segment.ptr, '{', segment.len) && !memchr(segment.ptr, '*', segment.len)));
    return false;
}

static struct node *node_exact(const struct node *node, struct str segment)
{
    for (size_t i = 0; i < node->exact.n; i++) {
        if (str_eq(node->exact.at[i]->segment, segment))
            return node->exact.at[i];
    }
    return NULL;
}

static struct node *node_child(struct node *node, struct str segment)
{
    if (is_parameter(segment)) {
        if (!node->parameter)
            node->parameter = MEM_NEW(struct node);
        return node->parameter;
    }

    struct node *child = node_exact(node, segment);
    if (!child) {
        child = MEM_NEW(struct node);
        child->segment = segment;
        VEC_PUSH(&node->exact, child);
    }
    return child;
}

static const struct http_route *list_find(const struct route_list *list, struct str method)
{
    const struct http_route *grpc = NULL;
    bool is_head = str_eq(method, STR("HEAD"));

    for (size_t i = 0; i < list->rows.n; i++) {
        const struct http_route *row = list->rows.at[i];
        if (row->is_grpc)
            grpc = row;
        else if (str_eq(str_of(row->method), method) ||
                 (is_head && strcmp(row->method, "GET") == 0))
            return row;
    }
    return grpc;
}

static void list_add(struct route_list *list, const struct http_route *route)
{
    for (size_t i = 0; i < list->rows.n; i++) {
        const struct http_route *row = list->rows.at[i];
        assert(row->is_grpc != route->is_grpc ||
               (!row->is_grpc && strcmp(row->method, route->method) != 0));
    }
    VEC_PUSH(&list->rows, route);
}

static void router_add(struct router *router, const struct http_route *route)
{
    struct str rest = str_of(route->path), segment;
    struct node *node = &router->root;
    size_t n_parameters = 0;

    assert(rest.len && rest.ptr[0] == '/' && (route->is_grpc || route->method));
    assert(!route->on_message || (route->is_grpc && route->on_request));
    do {
        rest = str_n(rest.ptr + 1, rest.len - 1);
        if (str_eq(rest, STR("*"))) {
            assert(n_parameters < HTTP_PARAMS_MAX);
            list_add(&node->rest, route);
            return;
        }
        const char *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
        segment = str_n(rest.ptr, slash ? (size_t)(slash - rest.ptr) : rest.len);
        rest = str_n(rest.ptr + segment.len, rest.len - segment.len);
        n_parameters += is_parameter(segment);
        node = node_child(node, segment);
    } while (rest.len);
    assert(n_parameters <= HTTP_PARAMS_MAX);
    list_add(&node->here, route);
}

struct router *router_new(const struct http_route *routes, size_t n)
{
    struct router *router = MEM_NEW(struct router);

    for (size_t i = 0; i < n; i++)
        router_add(router, &routes[i]);
    return router;
}

static void node_fini(struct node *node)
{
    for (size_t i = 0; i < node->exact.n; i++) {
        node_fini(node->exact.at[i]);
        mem_free(node->exact.at[i]);
    }
    if (node->parameter)
        node_fini(node->parameter);
    mem_free(node->parameter);
    VEC_FINI(&node->exact);
    VEC_FINI(&node->here.rows);
    VEC_FINI(&node->rest.rows);
}

void router_free(struct router **router)
{
    if (!*router)
        return;
    node_fini(&(*router)->root);
    mem_free(*router);
    *router = NULL;
}

/* --- matching --- */

static const struct route_list *node_walk(const struct node *node, struct str path,
                                          struct captures *captures);

/* The path behind the segment that led to this node: "" or "/…". */
static const struct route_list *node_arrive(const struct node *node, struct str path,
                                            struct captures *captures)
{
    if (path.len)
        return node_walk(node, path, captures);
    return node->here.rows.n ? &node->here : NULL;
}

/* path starts with '/'. */
static const struct route_list *node_walk(const struct node *node, struct str path,
                                          struct captures *captures)
{
    struct str tail = str_n(path.ptr + 1, path.len - 1);
    const char *slash = tail.len ? memchr(tail.ptr, '/', tail.len) : NULL;
    struct str segment = str_n(tail.ptr, slash ? (size_t)(slash - tail.ptr) : tail.len);
    struct str after = str_n(tail.ptr + segment.len, tail.len - segment.len);
    const struct route_list *found = NULL;
    const struct node *child = node_exact(node, segment);
    size_t n_before = captures->n;

    if (child)
        found = node_arrive(child, after, captures);
    if (!found && node->parameter && segment.len) {
        captures->at[captures->n++] = segment;
        found = node_arrive(node->parameter, after, captures);
        if (!found)
            captures->n = n_before;
    }
    if (!found && node->rest.rows.n) {
        captures->at[captures->n++] = tail;
        found = &node->rest;
    }
    return found;
}

static void allow_put(struct arena *arena, struct str *allow, const char *method)
{
    *allow = allow->len ? arena_printf(arena, "%.*s, %s", STR_ARG(*allow), method)
                        : arena_str(arena, str_of(method));
}

static struct str list_allow(const struct route_list *list, struct arena *arena)
{
    struct str allow = STR("");

    for (size_t i = 0; i < list->rows.n; i++) {
        const char *method = list->rows.at[i]->method;
        allow_put(arena, &allow, method);
        if (strcmp(method, "GET") == 0)
            allow_put(arena, &allow, "HEAD");
    }
    return allow;
}

/* Takes the next "{name}" or the star off the route's path. */
static struct str name_next(struct str *pattern)
{
    const char *open = memchr(pattern->ptr, '{', pattern->len);

    if (!open)
        return STR("*");
    size_t start = (size_t)(open - pattern->ptr) + 1;
    const char *close = memchr(open, '}', pattern->len - start + 1);
    struct str name = str_n(open + 1, (size_t)(close - open) - 1);
    *pattern = str_n(close, pattern->len - start - name.len);
    return name;
}

static enum mg_err params_decode(const struct http_route *route, const struct captures *captures,
                                 struct arena *arena, struct http_params *params)
{
    struct http_params decoded = { .n = captures->n };
    struct str pattern = str_of(route->path);

    for (size_t i = 0; i < captures->n; i++) {
        char *out = arena_alloc(arena, captures->at[i].len);
        size_t len;
        MG_TRY(percent_decode(captures->at[i], false, out, &len));
        if (memchr(out, '\0', len)) /* would be cut where it becomes a file's name */
            return MG_E_FORMAT;
        decoded.at[i] = (struct http_param_pair){ name_next(&pattern), str_n(out, len) };
    }
    *params = decoded;
    return MG_OK;
}

enum mg_err router_match(const struct router *router, struct str method, struct str path,
                         bool is_grpc, const struct http_route **route, struct http_params *params,
                         struct arena *arena, struct str *allow)
{
    struct captures captures = { .n = 0 };
    const struct route_list *list = NULL;

    if (path.len && path.ptr[0] == '/')
        list = node_walk(&router->root, path, &captures);
    if (!list)
        return is_grpc ? MG_E_UNSUPPORTED : MG_E_ABSENT;

    const struct http_route *found = list_find(list, method);
    if (!found) {
        *allow = list_allow(list, arena);
        return MG_E_METHOD;
    }
    MG_TRY(params_decode(found, &captures, arena, params));
    *route = found;
    return MG_OK;
}
