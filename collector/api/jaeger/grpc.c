/* grpc.c - the gRPC door: one row a method, which says how its request is read and what a query
 * thread sends for it. All methods share one handler, which finds the row by the path, and the job
 * of the HTTP routes.
 *
 * An answer of a unary method is a stream of one message: the failure of its query is then the
 * status of the call as well. */
#include <assert.h>
#include "api/jaeger/grpc_params.h"
#include "api/jaeger/grpc_traces.h"
#include "api/jaeger/jaeger.h"
#include "api/jaeger/job.h"
#include "api/jaeger/operations.h"
#include "api/jaeger/reflection.h"
#include "api/jaeger/v3_summary.h"
#include "base/clock.h"
#include "http/health.h"
#include "http/inflate.h"

#define NOT_FOUND         "trace not found"
#define V2                "jaeger.api_v2.QueryService"
#define V3                "jaeger.api_v3.QueryService"
#define REQUEST_BYTES_MAX (64 * 1024) /* before and after inflating: what a query over HTTP has */

typedef enum mg_err produce_fn(struct job *job, struct query *query, struct mg_why *why);

/* --- traces
 * ------------------------------------------------------------------------------------------- */

static enum mg_err send_v2_trace(void *owner, const struct query_trace *trace)
{
    struct job *job = owner;

    return grpc_v2_trace(&job->answer.out, trace, job->search.raw, job_message, job);
}

static enum mg_err send_v3_trace(void *owner, const struct query_trace *trace)
{
    struct job *job = owner;

    return grpc_v3_trace(&job->answer.out, trace, job->search.raw, job_message, job);
}

static enum mg_err one_trace(struct job *job, struct query *query, query_trace_fn *send,
                             struct mg_why *why)
{
    struct query_trace trace;

    MG_TRY(job_trace(query, job->search.trace_ids[0], NOT_FOUND, &trace, why));
    return send(job, &trace);
}

static enum mg_err v2_trace(struct job *job, struct query *query, struct mg_why *why)
{
    return one_trace(job, query, send_v2_trace, why);
}

static enum mg_err v3_trace(struct job *job, struct query *query, struct mg_why *why)
{
    return one_trace(job, query, send_v3_trace, why);
}

static enum mg_err v2_search(struct job *job, struct query *query, struct mg_why *why)
{
    return query_search(query, &job->search.search, send_v2_trace, job, why);
}

static enum mg_err v3_search(struct job *job, struct query *query, struct mg_why *why)
{
    return query_search(query, &job->search.search, send_v3_trace, job, why);
}

/* Summaries are small: several go together. */
static enum mg_err add_summary(void *owner, const struct query_trace *trace)
{
    struct job *job = owner;

    v3_summary_put(&job->answer.out, 1, trace, job->search.raw);
    return query_answer_flush(&job->answer);
}

static enum mg_err v3_summaries(struct job *job, struct query *query, struct mg_why *why)
{
    MG_TRY(query_search(query, &job->search.search, add_summary, job, why));
    return job->answer.out.len ? query_answer_send(&job->answer) : MG_OK;
}

static enum mg_err v2_archive(struct job *job, struct query *query, struct mg_why *why)
{
    MG_TRY(job_archive(query, job->search.trace_ids[0], NOT_FOUND, why));
    return query_answer_send(&job->answer);
}

/* --- services and operations
 * -------------------------------------------------------------------------- */

static enum mg_err services(struct job *job, struct query *query, struct mg_why *why)
{
    struct str *names;
    size_t n;

    MG_TRY(query_services(query, &names, &n, why));
    for (size_t i = 0; i < n; i++)
        wire_put_bytes(&job->answer.out, 1, names[i]);
    return query_answer_send(&job->answer);
}

static void put_operations(struct job *job, uint32_t number, operation_kind_fn *kind_of,
                           const struct catalog_operation *operations, size_t n)
{
    struct buf *out = &job->answer.out;

    for (size_t i = 0; i < n; i++) {
        if (!operation_is_shown(operations, i, kind_of, job->kind))
            continue;
        struct str kind = kind_of(operations[i].kind);
        size_t mark = wire_open(out, number);
        wire_put_bytes(out, 1, operations[i].name);
        if (kind.len)
            wire_put_bytes(out, 2, kind);
        wire_close(out, mark);
    }
}

/* For clients that know no other field; the list is sorted by name. */
static void put_names(struct job *job, const struct catalog_operation *operations, size_t n)
{
    struct str last = {NULL, 0};

    for (size_t i = 0; i < n; i++) {
        if (!operation_is_shown(operations, i, operation_kind_legacy, job->kind) ||
            (last.ptr && str_eq(last, operations[i].name)))
            continue;
        last = operations[i].name;
        wire_put_bytes(&job->answer.out, 1, last);
    }
}

static enum mg_err v2_operations(struct job *job, struct query *query, struct mg_why *why)
{
    struct catalog_operation *operations;
    size_t n;

    MG_TRY(query_operations(query, job->service, &operations, &n, why));
    put_names(job, operations, n);
    put_operations(job, 2, operation_kind_legacy, operations, n);
    return query_answer_send(&job->answer);
}

static enum mg_err v3_operations(struct job *job, struct query *query, struct mg_why *why)
{
    struct catalog_operation *operations;
    size_t n;

    MG_TRY(query_operations(query, job->service, &operations, &n, why));
    put_operations(job, 1, operation_kind_v3, operations, n);
    return query_answer_send(&job->answer);
}

/* --- dependencies
 * ------------------------------------------------------------------------------------- */

/* DependencyLink and Dependency have the same fields, as far as there is something to say. */
static enum mg_err dependencies(struct job *job, struct query *query, struct mg_why *why)
{
    const struct span_filter *window = &job->search.search.filter;
    struct query_edge *edges = NULL;
    size_t n = 0;

    if (window->start_min_ns <= window->start_max_ns)
        MG_TRY(query_edges(query, window->start_min_ns, window->start_max_ns, &edges, &n, why));
    for (size_t i = 0; i < n; i++) {
        size_t mark = wire_open(&job->answer.out, 1);
        wire_put_bytes(&job->answer.out, 1, edges[i].parent);
        wire_put_bytes(&job->answer.out, 2, edges[i].child);
        wire_put_varint(&job->answer.out, 3, edges[i].calls);
        wire_close(&job->answer.out, mark);
    }
    return query_answer_send(&job->answer);
}

/* --- methods
 * ------------------------------------------------------------------------------------------ */

/* clang-format off */
#define METHODS(X)                                                                                 \
    /* path                       query_job.name  the request                the answer */         \
    X(V2 "/GetTrace",             "trace",        grpc_read_v2_trace,        v2_trace)             \
    X(V2 "/ArchiveTrace",         "archive",      grpc_read_v2_trace,        v2_archive)           \
    X(V2 "/FindTraces",           "search",       grpc_read_v2_search,       v2_search)            \
    X(V2 "/GetServices",          "services",     grpc_read_nothing,         services)             \
    X(V2 "/GetOperations",        "operations",   grpc_read_v2_operations,   v2_operations)        \
    X(V2 "/GetDependencies",      "edges",        grpc_read_v2_dependencies, dependencies)         \
    X(V3 "/GetTrace",             "trace",        grpc_read_v3_trace,        v3_trace)             \
    X(V3 "/FindTraces",           "search",       grpc_read_v3_search,       v3_search)            \
    X(V3 "/FindTraceSummaries",   "search",       grpc_read_v3_search,       v3_summaries)         \
    X(V3 "/GetServices",          "services",     grpc_read_nothing,         services)             \
    X(V3 "/GetOperations",        "operations",   grpc_read_v3_operations,   v3_operations)        \
    X(V3 "/GetDependencies",      "edges",        grpc_read_v3_dependencies, dependencies)
/* clang-format on */

static const struct method {
    const char *path, *name;
    grpc_read_fn *read;
    produce_fn *produce;
} methods[] = {
#define AS_METHOD(path_, name_, read_, produce_) {"/" path_, name_, read_, produce_},
    METHODS(AS_METHOD)
#undef AS_METHOD
};

/* The router compares paths as they were sent: one that came here is in the table. */
static const struct method *method_at(struct str path)
{
    size_t i = 0;

    while (i < MG_COUNT(methods) && !str_eq(path, str_of(methods[i].path)))
        i++;
    assert(i < MG_COUNT(methods));
    return &methods[i];
}

static enum mg_err read_request(struct job *job, const struct method *method,
                                struct http_request *request, struct mg_why *why)
{
    const struct grpc_limits limits = {.now_ns = clock_wall_ns(),
                                       .traces_max = job->api->traces_max};
    struct grpc_asked asked;
    struct str message;
    struct buf room;

    buf_init(&room, REQUEST_BYTES_MAX);
    enum mg_err err = http_request_inflate(request, REQUEST_BYTES_MAX, &room, &message, why);
    if (!err)
        err = method->read(message, &limits, &asked, why);
    buf_fini(&room);
    MG_TRY(err);
    job->search = asked.search;
    job->service = asked.service;
    job->kind = asked.kind;
    return MG_OK;
}

static void on_call(void *owner, struct http_request *request)
{
    const struct method *method = method_at(http_request_path(request));
    struct job *job =
        job_new(owner, &(struct job_options){.name = method->name, .produce = method->produce});
    struct mg_why why = {""};

    job_start(job, request, read_request(job, method, request, &why), &why);
}

const struct http_route *jaeger_grpc_routes(size_t *n)
{
    static const char *const served[] = {V2, V3};
    static struct http_health health = {.services = served, .n = MG_COUNT(served)};
    static const struct http_route routes[] = {
#define AS_ROUTE(path_, name_, read_, produce_)                                                    \
    {.path = "/" path_,                                                                            \
     .on_request = on_call,                                                                        \
     .body_max = REQUEST_BYTES_MAX,                                                                \
     .is_grpc = true,                                                                              \
     .scope = HTTP_SCOPE_QUERY},
        METHODS(AS_ROUTE)
#undef AS_ROUTE
            REFLECTION_ROUTE("v1"),
        REFLECTION_ROUTE("v1alpha"),
        HTTP_HEALTH_ROUTES(&health),
    };

    *n = MG_COUNT(routes);
    return routes;
}
