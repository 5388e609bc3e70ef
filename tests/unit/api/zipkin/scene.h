/* scene.h - Zipkin's spans in a real data path (query/rig.h), and for those who ask for it a real
 * server with this folder's routes on a thread of its own, asked over a socket. In JSON of the
 * tests ' stands for the quote. For one file a program. */
#pragma once
#include "unit/query/rig.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "api/zipkin/zipkin.h"
#include "base/mem.h"
#include "http/conf.h"
#include "model/zipkin_scan.h"

/* --- spans ------------------------------------------------------------------------------------ */

/* A copy with quotes; mem_free. */
static inline char *scene_quoted(const char *text)
{
    char *copy = mem_text(text);

    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    return copy;
}

static inline void scene_resource(void *owner, struct str resource)
{
    interner_resource(owner, resource);
}

static inline void scene_scope(void *owner, struct str scope)
{
    interner_scope(owner, scope);
}

static inline void scene_span(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)ordinal;
    interner_span(owner, span);
}

static inline void scene_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    fail_msg("span %u: %s", ordinal, span_refusal_text(why));
}

struct scene_shot {
    struct live_batch batch;
    pthread_mutex_t lock;
    pthread_cond_t acked;
    bool is_acked;
};

static inline void scene_on_ack(struct live_batch *batch)
{
    struct scene_shot *shot = MG_CONTAINER(batch, struct scene_shot, batch);

    pthread_mutex_lock(&shot->lock);
    shot->is_acked = true;
    pthread_cond_signal(&shot->acked);
    pthread_mutex_unlock(&shot->lock);
}

static inline void scene_submit(struct rig *rig)
{
    struct scene_shot shot = {.lock = PTHREAD_MUTEX_INITIALIZER, .acked = PTHREAD_COND_INITIALIZER};

    shot.batch = (struct live_batch){.rows = interner_end(rig->interner), .ack = scene_on_ack};
    shot.batch.record.kind = JOURNAL_BODY;
    shot.batch.record.wall_ns = rig->wall_ns;
    shot.batch.record.body = STR("not replayed");
    live_submit(rig->live, &shot.batch);
    pthread_mutex_lock(&shot.lock);
    while (!shot.is_acked)
        pthread_cond_wait(&shot.acked, &shot.lock);
    pthread_mutex_unlock(&shot.lock);
    assert_int_equal(shot.batch.err, MG_OK);
    interner_recycle(rig->interner, &shot.batch.rows);
}

/* A list of Zipkin's spans, acked. */
static inline void scene_put(struct rig *rig, const char *json)
{
    static const struct span_visitor visitor = {scene_resource, scene_scope, scene_span,
                                                scene_refused};
    struct zipkin_scanner *scanner = zipkin_scanner_new();
    char *list = scene_quoted(json);
    struct mg_why why = {""};

    interner_begin(rig->interner, clock_mono_ns());
    if (zipkin_scan_json(scanner, str_of(list), &visitor, rig->interner, &why) != MG_OK)
        fail_msg("%s: %s", why.text, list);
    scene_submit(rig);
    mem_free(list);
    zipkin_scanner_free(&scanner);
}

/* --- a server --------------------------------------------------------------------------------- */

struct scene {
    struct rig rig;
    struct zipkin_conf conf;
    struct str keys[2];
    struct zipkin_api *api;
    struct loop *loop;
    struct http_server *server;
    struct http_route routes[40];
    pthread_t thread;
    uint16_t port;
    /* the last answer */
    int status;
    struct buf answer; /* all of it, NUL-terminated */
    struct str head, body;
};

static inline void *scene_run(void *loop)
{
    loop_run(loop);
    return NULL;
}

/* Ingest's half of the path /api/v2/spans. */
static inline void scene_on_post(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond(request, 202, NULL, STR(""));
}

static inline void scene_serve(struct scene *scene)
{
    static const struct http_conf http = {
        .header_bytes_max = 65536,
        .body_bytes_max = 65536,
        .streams_max = 16,
        .connections_max = 64,
        .header_timeout_ns = UINT64_C(60000000000),
        .idle_timeout_ns = UINT64_C(60000000000),
        .body_timeout_ns = UINT64_C(60000000000),
        .stream_window = 1 << 20,
        .connection_window = 1 << 22,
        .reset_max = 100,
    };
    struct listener_options where = {.address = STR("127.0.0.1:0")};
    struct mg_why why;
    size_t n;

    const struct http_route *routes = zipkin_api_routes(&n);
    assert_true(n < MG_COUNT(scene->routes));
    memcpy(scene->routes, routes, n * sizeof *routes);
    for (size_t i = 0; i < n; i++)
        scene->routes[i].owner = scene->api;
    scene->routes[n++] =
        (struct http_route){.method = "POST", .path = "/api/v2/spans", .on_request = scene_on_post};
    struct http_options options = {.conf = &http, .routes = scene->routes, .n_routes = n};
    scene->loop = loop_new();
    scene->server = http_server_new(scene->loop, &options);
    if (http_server_listen(scene->server, &where, &why) != MG_OK)
        fail_msg("%s", why.text);
    struct str address = http_server_address(scene->server), host, port;
    uint64_t number;
    assert_true(str_split_at(address, ':', &host, &port));
    assert_int_equal(str_u64(port, &number), MG_OK);
    scene->port = (uint16_t)number;
    assert_int_equal(pthread_create(&scene->thread, NULL, scene_run, scene->loop), 0);
}

static inline void scene_open(struct scene *scene)
{
    rig_open(&scene->rig);
    scene->keys[0] = STR("http.method");
    scene->keys[1] = STR("error");
    if (!scene->conf.limit)
        scene->conf = (struct zipkin_conf){.autocomplete_keys = {scene->keys, 2},
                                           .lookback_ns = UINT64_C(86400000000000),
                                           .limit = 10};
    scene->api = zipkin_api_new(scene->rig.pool, &scene->rig.query_conf, &scene->conf, "1.2.3");
    buf_init(&scene->answer, 256 << 20);
    scene_serve(scene);
}

static inline void scene_on_idle(void *owner)
{
    loop_stop(((struct scene *)owner)->loop);
}

static inline void scene_close(struct scene *scene)
{
    loop_stop(scene->loop);
    assert_int_equal(pthread_join(scene->thread, NULL), 0);
    http_server_drain(scene->server, 0, scene_on_idle, scene);
    loop_run(scene->loop);
    http_server_free(&scene->server);
    loop_free(&scene->loop);
    rig_close(&scene->rig);
    zipkin_api_free(&scene->api);
    buf_fini(&scene->answer);
}

static inline int scene_connect(const struct scene *scene)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(scene->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static inline void scene_send(int fd, const char *method, const char *target)
{
    char request[8192];
    int n = snprintf(request, sizeof request,
                     "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                     method, target);

    assert_true(n > 0 && (size_t)n < sizeof request);
    assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
}

static inline void scene_receive(struct scene *scene, int fd)
{
    size_t at;
    ssize_t n;

    buf_clear(&scene->answer);
    do {
        assert_int_equal(buf_reserve(&scene->answer, 65536), MG_OK);
        n = recv(fd, scene->answer.ptr + scene->answer.len, 65536, 0);
        assert_true(n >= 0);
        scene->answer.len += (size_t)n;
    } while (n > 0);
    buf_put_char(&scene->answer, '\0');
    assert_int_equal(close(fd), 0);
    struct str all = str_n(scene->answer.ptr, scene->answer.len - 1);
    if (!str_starts(all, STR("HTTP/1.1 ")) || !str_find(all, STR("\r\n\r\n"), &at))
        fail_msg("no answer: %.*s", STR_ARG(all));
    scene->status = (all.ptr[9] - '0') * 100 + (all.ptr[10] - '0') * 10 + all.ptr[11] - '0';
    scene->head = str_n(all.ptr, at + 2);
    scene->body = str_n(all.ptr + at + 4, all.len - at - 4);
}

static inline void scene_call(struct scene *scene, const char *method, const char *target)
{
    int fd = scene_connect(scene);

    scene_send(fd, method, target);
    scene_receive(scene, fd);
}

/* The value of a header, empty when absent; its name in the case our server writes it in. */
static inline struct str scene_header(const struct scene *scene, const char *name)
{
    struct str rest = scene->head, line, key, value;

    while (str_cut(&rest, '\n', &line))
        if (str_split_at(line, ':', &key, &value) && str_eq_nocase(key, str_of(name)))
            return str_trim(str_n(value.ptr, value.len - 1));
    return STR("");
}

static inline void scene_expect(struct scene *scene, const char *target, int status,
                                const char *body)
{
    char *want = status == 200 ? scene_quoted(body) : mem_text(body); /* JSON, or a sentence */

    scene_call(scene, "GET", target);
    if (scene->status != status || !str_eq(scene->body, str_of(want)))
        fail_msg("%s\n got %d %.*s\nwant %d %s", target, scene->status, STR_ARG(scene->body),
                 status, want);
    assert_true(str_eq(scene_header(scene, "content-type"),
                       status == 200 ? STR("application/json") : STR("text/plain; charset=utf-8")));
    mem_free(want);
}
