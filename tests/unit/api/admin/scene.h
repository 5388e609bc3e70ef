/* scene.h - all routes of the folder on one door, through a real server and client on one loop. What the
 * modules below answer is given by the test: their functions are defined here, and a job runs on a thread of its own, as in
 * the pool. For one file a program. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include "api/admin/admin.h"
#include "base/mem.h"
#include "http/client.h"
#include "journal/journal.h"
#include "query/query.h"
#include "store/store.h"

/* --- what stands in for live, store, journal and query ---------------------------------------------- */

static struct {
    struct live_ledger ledger;
    struct live_policy policies[8];
    size_t n_policies;
    enum ladder_step ladder;
    struct live_stats live;
    struct store_stats store;
    struct journal_stats journal;
    bool is_full, is_refusing, has_no_room;
    size_t backup_bytes;         /* that store_backup writes, then: */
    enum mg_err backup_err;
    struct query_why why;        /* what query_why finds, or its failure */
    enum mg_err why_err;
    uint8_t asked_id[16];
    unsigned n_jobs;
    char job_name[16];
    struct query_job *job;
    pthread_t thread;
    bool has_thread;
} fake;

void live_ledger(const struct live *live, struct live_ledger *out)
{
    (void)live;
    *out = fake.ledger;
}

size_t live_policies(struct live *live, struct live_policy **out)
{
    (void)live;
    *out = NULL;
    if (fake.n_policies) {
        *out = mem_alloc(sizeof fake.policies);
        memcpy(*out, fake.policies, sizeof fake.policies);
    }
    return fake.n_policies;
}

enum ladder_step live_ladder(const struct live *live)
{
    (void)live;
    return fake.ladder;
}

void live_stat(const struct live *live, struct live_stats *out)
{
    (void)live;
    *out = fake.live;
}

void store_stat(struct store *store, struct store_stats *out)
{
    (void)store;
    *out = fake.store;
}

bool store_is_full(const struct store *store)
{
    (void)store;
    return fake.is_full;
}

void journal_stat(const struct journal *journal, struct journal_stats *out)
{
    (void)journal;
    *out = fake.journal;
}

bool journal_refusing(const struct journal *journal)
{
    (void)journal;
    return fake.is_refusing;
}

enum mg_err store_backup(struct store *store, backup_write_fn *write, void *owner, struct mg_why *why)
{
    static const char piece[1000] = "piece";

    (void)store;
    for (size_t left = fake.backup_bytes; left > 0;) {
        size_t n = MG_MIN(left, sizeof piece);
        MG_TRY(write(owner, piece, n, why));
        left -= n;
    }
    return fake.backup_err ? mg_fail(why, fake.backup_err, "the disk under the copy is full") : MG_OK;
}

enum mg_err query_why(struct query *query, const uint8_t id[16], struct query_why *out, struct mg_why *why)
{
    (void)query;
    memcpy(fake.asked_id, id, sizeof fake.asked_id);
    if (fake.why_err)
        return mg_fail(why, fake.why_err, "the query failed");
    *out = fake.why;
    return MG_OK;
}

static inline void *run_job(void *unused)
{
    (void)unused;
    fake.job->run(fake.job, NULL);
    return NULL;
}

void query_pause(struct query *query)
{
    (void)query;
}

void query_resume(struct query *query)
{
    (void)query;
}

enum mg_err query_submit(struct query_pool *pool, struct query_job *job)
{
    (void)pool;
    if (fake.has_no_room)
        return MG_E_BUSY;
    assert_false(job->is_gone(job));
    fake.n_jobs++;
    snprintf(fake.job_name, sizeof fake.job_name, "%s", job->name);
    fake.job = job;
    fake.has_thread = true;
    assert_int_equal(pthread_create(&fake.thread, NULL, run_job, NULL), 0);
    return MG_OK;
}

/* --- the scene -------------------------------------------------------------------------------------- */

struct scene {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct http_route routes[16];
    struct admin admin;
    struct credit credit;
    _Atomic uint64_t replay_done, replay_total;
    enum mg_err err;
    int status;
    char content_type[128], retry_after[16];
    struct buf body;
};

static inline void add_routes(struct scene *scene, struct http_options *options, const struct http_route *routes, size_t n)
{
    assert_true(options->n_routes + n <= MG_COUNT(scene->routes));
    for (size_t i = 0; i < n; i++)
        scene->routes[options->n_routes++] = routes[i];
}

static inline void listen_and_connect(struct scene *scene, const struct http_options *options)
{
    struct listener_options where = { .address = STR("127.0.0.1:0") };
    struct mg_why why;
    char url[64];

    scene->server = http_server_new(scene->loop, options);
    if (http_server_listen(scene->server, &where, &why) != MG_OK)
        fail_msg("%s", why.text);
    snprintf(url, sizeof url, "http://%.*s", STR_ARG(http_server_address(scene->server)));
    struct http_client_options to = { .base_url = str_of(url), .timeout_ms = 60000 };
    assert_int_equal(http_client_new(&scene->client, scene->loop, &to, &why), MG_OK);
}

static inline void set_up(struct scene *scene)
{
    static const struct http_conf conf = {
        .header_bytes_max = 65536, .body_bytes_max = 65536, .streams_max = 16, .connections_max = 16,
        .header_timeout_ns = UINT64_C(60000000000), .idle_timeout_ns = UINT64_C(60000000000),
        .body_timeout_ns = UINT64_C(60000000000), .stream_window = 1 << 20, .connection_window = 1 << 22, .reset_max = 100,
    };
    struct http_options options = { .conf = &conf, .routes = scene->routes, .owner = &scene->admin };
    size_t n;

    memset(&fake, 0, sizeof fake);
    memset(scene, 0, sizeof *scene);
    credit_init(&scene->credit, 4096);
    scene->admin = (struct admin){ .credit = &scene->credit, .registry = metric_registry_new(), .data_dir = "/", .version = "1.2.3",
                                   .started_wall_ns = UINT64_C(1700000000000000000), .replay_done = &scene->replay_done,
                                   .replay_total = &scene->replay_total, .state = ADMIN_SERVING };
    admin_init(&scene->admin);
    buf_init(&scene->body, 16 << 20);
    const struct http_route *health = admin_health_routes(&n);
    add_routes(scene, &options, health, n);
    const struct http_route *metrics = admin_metrics_routes(&n);
    add_routes(scene, &options, metrics, n);
    const struct http_route *query = admin_query_routes(&n);
    add_routes(scene, &options, query, n);
    scene->loop = loop_new();
    listen_and_connect(scene, &options);
}

static inline void on_done(void *owner, enum mg_err err, const struct http_answer *answer, const struct mg_why *why)
{
    struct scene *scene = owner;

    (void)why;
    scene->err = err;
    scene->status = answer->status;
    snprintf(scene->content_type, sizeof scene->content_type, "%.*s", STR_ARG(answer->content_type));
    snprintf(scene->retry_after, sizeof scene->retry_after, "%.*s", STR_ARG(answer->retry_after));
    buf_clear(&scene->body);
    buf_put_str(&scene->body, answer->body);
    loop_stop(scene->loop);
}

static inline void ask_with(struct scene *scene, const struct http_call *call)
{
    fake.has_thread = false;
    http_client_call(scene->client, call, on_done, scene);
    loop_run(scene->loop);
    if (fake.has_thread)
        assert_int_equal(pthread_join(fake.thread, NULL), 0);
}

static inline void ask(struct scene *scene, const char *method, const char *path)
{
    ask_with(scene, &(struct http_call){ .method = method, .path = str_of(path) });
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
    metric_registry_free(&scene->admin.registry);
    admin_fini(&scene->admin);
    buf_fini(&scene->body);
}

static inline bool says(const struct scene *scene, const char *text)
{
    size_t at;

    return str_find(buf_str(&scene->body), str_of(text), &at);
}

static inline int scene_begin(void **state)
{
    struct scene *scene = MEM_NEW(struct scene);

    set_up(scene);
    *state = scene;
    return 0;
}

static inline int scene_end(void **state)
{
    struct scene *scene = *state;

    tear_down(scene);
    mem_free(scene);
    return 0;
}
