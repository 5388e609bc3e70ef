/* scene.h - all routes of the folder through a real server and client on one loop. What the query
 * module answers is given by the test: its functions are defined here, and a job runs on a thread
 * of its own, as in the pool. For one file a program. */
#pragma once
#include "spans.h"
#include "trees.h"
#include <pthread.h>
#include <sched.h>
#include "api/jaeger/jaeger.h"
#include "http/client.h"
#include "http/conf.h"

#define T32 "0102030405060708090a0b0c0d0e0f10"

/* --- what stands in for collector/query
 * --------------------------------------------------------------- */

static struct {
    bool is_full;
    enum mg_err err; /* of every query, after `n_traces` traces of a search */
    size_t n_traces; /* that a search finds */
    struct str services[4];
    size_t n_services;
    struct catalog_operation operations[8];
    size_t n_operations;
    struct query_edge edges[4];
    size_t n_edges;
    uint64_t asked_from_ns, asked_to_ns;
    struct str asked_service, asked_operation;
    uint32_t asked_limit;
    size_t n_trace_queries;
    struct span *span;   /* the only one of the only trace, */
    struct span **spans; /* unless there are these */
    size_t n_spans;
    bool waits; /* a query for traces ends only when its asker has gone */
    pthread_t thread;
    bool has_thread;
    struct query_job *job;
} fake;

static inline void *run_job(void *unused)
{
    (void)unused;
    fake.job->run(fake.job, NULL);
    return NULL;
}

enum mg_err query_submit(struct query_pool *pool, struct query_job *job)
{
    (void)pool;
    if (fake.is_full)
        return MG_E_BUSY;
    fake.job = job;
    fake.has_thread = true;
    assert_int_equal(pthread_create(&fake.thread, NULL, run_job, NULL), 0);
    return MG_OK;
}

static inline enum mg_err failure(struct mg_why *why)
{
    return fake.err ? mg_fail(why, fake.err, "the query failed") : MG_OK;
}

enum mg_err query_services(struct query *query, struct str **out, size_t *n, struct mg_why *why)
{
    (void)query;
    MG_TRY(failure(why));
    *out = fake.services;
    *n = fake.n_services;
    return MG_OK;
}

enum mg_err query_operations(struct query *query, struct str service,
                             struct catalog_operation **out, size_t *n, struct mg_why *why)
{
    (void)query;
    MG_TRY(failure(why));
    fake.asked_service = arena_str(&spans_arena, service);
    *out = fake.operations;
    *n = fake.n_operations;
    return MG_OK;
}

static inline struct query_trace fake_trace(void)
{
    struct query_trace trace = {.spans = fake.spans ? fake.spans : &fake.span,
                                .n = fake.spans ? fake.n_spans : 1};

    memcpy(trace.id, trace.spans[0]->trace_id, sizeof trace.id);
    return trace;
}

static inline enum mg_err gone(struct mg_why *why)
{
    if (!fake.waits)
        return MG_OK;
    while (!fake.job->is_gone(fake.job))
        sched_yield();
    return mg_fail(why, MG_E_IO, "the asker has gone");
}

enum mg_err query_trace(struct query *query, const uint8_t id[16], struct query_trace *out,
                        struct mg_why *why)
{
    (void)query;
    MG_TRY(failure(why));
    MG_TRY(gone(why));
    fake.n_trace_queries++;
    *out = fake_trace();
    return memcmp(id, out->id, 16) == 0 ? MG_OK : mg_fail(why, MG_E_ABSENT, "nothing here");
}

enum mg_err query_search(struct query *query, const struct query_search *search,
                         query_trace_fn *on_trace, void *owner, struct mg_why *why)
{
    struct query_trace trace = fake_trace();

    (void)query;
    fake.asked_service = search->filter.service.ptr
                             ? arena_str(&spans_arena, search->filter.service)
                             : (struct str){NULL, 0};
    fake.asked_operation = search->filter.operation.ptr
                               ? arena_str(&spans_arena, search->filter.operation)
                               : (struct str){NULL, 0};
    fake.asked_limit = search->limit;
    MG_TRY(gone(why));
    for (size_t i = 0; i < fake.n_traces; i++)
        MG_TRY(on_trace(owner, &trace));
    return failure(why);
}

void query_pause(struct query *query)
{
    (void)query;
}

void query_resume(struct query *query)
{
    (void)query;
}

enum mg_err query_archive(struct query *query, const uint8_t id[16], struct mg_why *why)
{
    struct query_trace trace;

    return query_trace(query, id, &trace, why);
}

enum mg_err query_edges(struct query *query, uint64_t from_ns, uint64_t to_ns,
                        struct query_edge **out, size_t *n, struct mg_why *why)
{
    (void)query;
    MG_TRY(failure(why));
    fake.asked_from_ns = from_ns;
    fake.asked_to_ns = to_ns;
    *out = fake.edges;
    *n = fake.n_edges;
    return MG_OK;
}

/* --- the scene
 * ---------------------------------------------------------------------------------------- */

struct scene {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct jaeger_api *api;
    struct http_route routes[24];
    enum mg_err err;
    int status;
    struct str body, content_type, retry_after;
};

static inline void set_up(struct scene *scene)
{
    static const struct query_conf query_conf = {.memory_max = 1 << 20, .traces_max = 1000};
    const struct http_conf http_conf = {
        .header_bytes_max = 65536,
        .body_bytes_max = 65536,
        .streams_max = 16,
        .connections_max = 16,
        .header_timeout_ns = UINT64_C(60000000000),
        .idle_timeout_ns = UINT64_C(60000000000),
        .body_timeout_ns = UINT64_C(60000000000),
        .stream_window = 1 << 20,
        .connection_window = 1 << 22,
        .reset_max = 100,
    };
    struct mg_why why;
    size_t n;

    memset(&fake, 0, sizeof fake);
    fake.span = span_of(1, 0, SPAN_SERVER);
    *scene = (struct scene){.loop = loop_new(), .api = jaeger_api_new(NULL, &query_conf)};
    const struct http_route *routes = jaeger_routes(&n);
    assert_true(n <= MG_COUNT(scene->routes));
    for (size_t i = 0; i < n; i++) {
        scene->routes[i] = routes[i];
        scene->routes[i].owner = scene->api;
    }
    struct http_options options = {.conf = &http_conf, .routes = scene->routes, .n_routes = n};
    struct listener_options where = {.address = STR("127.0.0.1:0")};
    scene->server = http_server_new(scene->loop, &options);
    if (http_server_listen(scene->server, &where, &why) != MG_OK)
        fail_msg("%s", why.text);
    struct http_client_options to = {
        .base_url =
            arena_printf(&spans_arena, "http://%.*s", STR_ARG(http_server_address(scene->server))),
        .timeout_ms = 60000,
    };
    assert_int_equal(http_client_new(&scene->client, scene->loop, &to, &why), MG_OK);
}

static inline void on_done(void *owner, enum mg_err err, const struct http_answer *answer,
                           const struct mg_why *why)
{
    struct scene *scene = owner;

    (void)why;
    scene->err = err;
    scene->status = answer->status;
    scene->body = arena_str(&spans_arena, answer->body);
    scene->content_type = arena_str(&spans_arena, answer->content_type);
    scene->retry_after = arena_str(&spans_arena, answer->retry_after);
    loop_stop(scene->loop);
}

static inline void send_call(struct scene *scene, const struct http_call *call)
{
    fake.has_thread = false;
    http_client_call(scene->client, call, on_done, scene);
    loop_run(scene->loop);
    if (fake.has_thread)
        assert_int_equal(pthread_join(fake.thread, NULL), 0);
}

static inline void ask(struct scene *scene, const char *method, const char *path)
{
    send_call(scene, &(struct http_call){.method = method, .path = str_of(path)});
}

static inline void on_idle(void *owner)
{
    loop_stop(((struct scene *)owner)->loop);
}

static inline void tear_down(struct scene *scene)
{
    http_client_close(&scene->client, on_idle, scene);
    loop_run(scene->loop);
    http_server_drain(scene->server, 0, on_idle, scene);
    loop_run(scene->loop);
    http_server_free(&scene->server);
    loop_free(&scene->loop);
    jaeger_api_free(&scene->api);
}

static inline void expect(struct scene *scene, const char *path, int status, const char *body)
{
    ask(scene, "GET", path);
    if (scene->err || scene->status != status || !str_eq(scene->body, str_of(body)))
        fail_msg("%s\ngot  %d %.*s\nwant %d %s", path, scene->status, STR_ARG(scene->body), status,
                 body);
    assert_true(str_eq(scene->content_type, STR("application/json")));
}
