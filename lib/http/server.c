/* server.c - listeners, the connections of one loop, their time, and their end.
 *
 * Time is one timer for all connections. It looks at each of them at a fraction of the shortest
 * timeout, so that no request starts or moves a timer; only a call with a deadline of its own
 * brings it forward. With no connection and no kept memory it does not run at all.
 *
 * Output leaves at the end of the loop's round (server_flush): acknowledgements of many requests
 * come in one message from the journal, and so leave with one write a connection. */
#include <assert.h>
#include "http/auth.h"
#include "http/conn.h"
#include "net/tls.h"

#define TICK_MS_MIN 5
#define TICK_MS_MAX 500
#define DECAY_NS    1000000000ull

/* --- the transport of a real connection --- */
static void io_write(void *owner, const void *bytes, size_t len)
{
    stream_write(owner, bytes, len);
}

static void io_write_buf(void *owner, struct buf *buf)
{
    stream_write_buf(owner, buf);
}

static size_t io_queued(const void *owner)
{
    return stream_queued(owner);
}

static void io_pause(void *owner)
{
    stream_pause(owner);
}

static void io_resume(void *owner)
{
    stream_resume(owner);
}

static void io_read_most(void *owner, size_t bytes)
{
    stream_read_most(owner, bytes);
}

static void io_shutdown(void *owner)
{
    stream_shutdown(owner);
}

static void io_close(void *owner)
{
    stream_close(owner);
}

static struct str io_alpn(const void *owner)
{
    return stream_alpn(owner);
}

static bool io_has_certificate(const void *owner)
{
    return stream_has_certificate(owner);
}

static bool io_has_name(const void *owner, const struct conf_list *allowed)
{
    return stream_has_name(owner, allowed);
}

static const struct transport stream_transport = {
    .write = io_write,
    .write_buf = io_write_buf,
    .queued = io_queued,
    .pause = io_pause,
    .resume = io_resume,
    .read_most = io_read_most,
    .shutdown = io_shutdown,
    .close = io_close,
    .alpn = io_alpn,
    .has_certificate = io_has_certificate,
    .has_name = io_has_name,
};

static void on_data(void *owner, struct str bytes)
{
    conn_on_data(owner, bytes);
}

static void on_end(void *owner)
{
    conn_on_end(owner);
}

static void on_drained(void *owner)
{
    conn_on_drained(owner);
}

static void on_closed(void *owner, enum mg_err err)
{
    struct conn *conn = owner;
    (void)err; /* why a peer went makes no difference */
    http_count_handshake(conn->server, stream_tls_failure(conn->io_owner));
    conn_on_closed(conn);
}

static const struct stream_events stream_events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
};

static void on_accept(void *owner, struct stream *stream)
{
    struct http_server *server = owner;
    struct conn *conn = conn_new(server, &stream_transport, stream, stream_peer(stream));
    stream_own(stream, &stream_events, conn);
    server_wake_at(server, server_now(server) + server->tick_ms * 1000000u);
    if (server->n_conns >= server->conf.connections_max && server->listener) {
        http_count_accept_pause(server);
        listener_pause(server->listener);
    }
}

/* To whoever takes a TLS door for a plain one. No more of the request is looked at. */
static struct str answer_plain(struct str first)
{
    static const char *const starts[] = {"GET ",     "HEAD ",    "POST ",  "PUT ",  "DELETE ",
                                         "CONNECT ", "OPTIONS ", "TRACE ", "PATCH "};
    for (size_t i = 0; i < MG_COUNT(starts); i++) {
        if (memcmp(first.ptr, starts[i], MG_MIN(first.len, strlen(starts[i]))) == 0)
            return STR("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Connection: close\r\n\r\n"
                       "TLS is spoken here: use https instead of plain http\n");
    }
    return STR("");
}

/* --- time --- */
uint64_t server_now(const struct http_server *server)
{
    return loop_now_ns(server->loop);
}

void server_wake_at(struct http_server *server, uint64_t at_ns)
{
    if (server->due_ns && server->due_ns <= at_ns)
        return;
    uint64_t now = server_now(server);
    server->due_ns = MG_MAX(at_ns, now + 1);
    timer_start(server->timer, (server->due_ns - now + 999999) / 1000000);
}

static uint64_t nearest_deadline(const struct conn *conn)
{
    uint64_t nearest = UINT64_MAX;
    LIST_EACH(&conn->requests, link)
    {
        const struct http_request *request = MG_CONTAINER(link, struct http_request, link);
        if (request->deadline_ns && request_is_open(request))
            nearest = MG_MIN(nearest, request->deadline_ns);
    }
    return nearest;
}

static void close_all(struct http_server *server)
{
    LIST_EACH(&server->conns, link)
    conn_close(MG_CONTAINER(link, struct conn, link)); /* freed later, in conn_on_closed */
}

void server_tick(struct http_server *server, uint64_t now_ns)
{
    uint64_t next = now_ns + server->tick_ms * 1000000u;
    bool has_kept = true;
    for (struct list *link = server->conns.next, *after; link != &server->conns; link = after) {
        after = link->next;
        struct conn *conn = MG_CONTAINER(link, struct conn, link);
        conn_tick(conn, now_ns);
        next = MG_MIN(next, nearest_deadline(conn));
    }
    gather_tick(server, now_ns);
    if (server->drain.is_on && now_ns >= server->drain.until_ns)
        close_all(server);
    if (now_ns - server->decay_ns >= DECAY_NS) {
        server->decay_ns = now_ns;
        has_kept = pool_decay(&server->pool);
    }
    if (server->n_conns || has_kept || server->drain.is_on)
        server_wake_at(server, MG_MAX(next, now_ns + TICK_MS_MIN * 1000000u));
}

static void on_timer(void *owner)
{
    struct http_server *server = owner;
    server->due_ns = 0;
    server_tick(server, server_now(server));
}

/* --- the end of a round --- */
/* Last in its callers: on_idle may free the server. */
static void check_drained(struct http_server *server)
{
    if (!server->drain.is_on || server->n_conns || !list_empty(&server->orphans))
        return;
    server->drain.is_on = false;
    server->drain.on_idle(server->drain.owner);
}

void server_flush(struct http_server *server)
{
    while (!list_empty(&server->dirty)) {
        struct conn *conn = LIST_FIRST(&server->dirty, struct conn, dirty_link);
        list_remove(&conn->dirty_link);
        conn_flush(conn);
    }
    check_drained(server);
}

static void on_flush(void *owner)
{
    server_flush(owner);
}

void server_conn_gone(struct http_server *server)
{
    server->n_conns--;
    if (server->listener && server->n_conns + 1 == server->conf.connections_max)
        listener_resume(server->listener);
    if (server->drain.is_on)
        loop_defer(server->loop, &server->flush);
}

/* --- life --- */
static uint64_t choose_tick_ms(const struct http_conf *conf)
{
    uint64_t shortest = MG_MIN(conf->header_timeout_ns, conf->idle_timeout_ns);
    shortest = MG_MIN(shortest, conf->body_timeout_ns);
    return MG_MIN(MG_MAX(shortest / 4 / 1000000, (uint64_t)TICK_MS_MIN), (uint64_t)TICK_MS_MAX);
}

struct http_server *http_server_new(struct loop *loop, const struct http_options *options)
{
    assert(options->conf && options->conf->header_bytes_max && options->conf->streams_max &&
           options->conf->connections_max && options->conf->body_bytes_max);
    struct http_server *server = MEM_NEW(struct http_server);
    server->loop = loop;
    server->options = *options;
    server->conf = *options->conf;
    server->router = router_new(options->routes, options->n_routes);
    list_init(&server->conns);
    list_init(&server->dirty);
    list_init(&server->orphans);
    list_init(&server->spare);
    server->flush = (struct loop_task){.run = on_flush, .owner = server};
    server->timer = timer_new(loop, on_timer, server);
    server->tick_ms = choose_tick_ms(&server->conf);
    gather_init(server);
    server->pipes = mailbox_new(loop, server_pipe_mail, server);
    buf_init(&server->scratch, OUT_SCRATCH_BYTES);
    auth_set(server, options->auth);
    return server;
}

void http_server_reload(struct http_server *server, const struct http_options *options)
{
    auth_set(server, options->auth);
    server->options.cors = options->cors;
    server->conf.body_bytes_max = options->conf->body_bytes_max;
}

enum mg_err http_server_listen(struct http_server *server, const struct listener_options *where,
                               struct mg_why *why)
{
    struct listener_options options = *where;
    assert(!server->listener);
    options.plain_answer = answer_plain;
    return listener_open(&server->listener, server->loop, &options, on_accept, server, why);
}

struct str http_server_address(const struct http_server *server)
{
    return server->listener ? listener_address(server->listener) : STR("");
}

size_t http_server_connections(const struct http_server *server)
{
    return server->n_conns;
}

void *http_server_owner(const struct http_server *server)
{
    return server->options.owner;
}

void http_server_recycle(struct http_server *server, struct buf *body)
{
    pool_give(&server->pool, body);
}

struct http_server *http_request_server(const struct http_request *request)
{
    return request->server;
}

void http_server_drain(struct http_server *server, uint64_t grace_ms, void (*on_idle)(void *owner),
                       void *owner)
{
    assert(!server->drain.is_on && on_idle);
    listener_close(&server->listener);
    server->drain.is_on = true;
    server->drain.until_ns = server_now(server) + grace_ms * 1000000u;
    server->drain.on_idle = on_idle;
    server->drain.owner = owner;
    LIST_EACH(&server->conns, link)
    conn_drain(MG_CONTAINER(link, struct conn, link));
    server_wake_at(server, server->drain.until_ns);
    loop_defer(server->loop,
               &server->flush); /* on_idle comes from there, never from inside this call */
}

static void free_spare(struct http_server *server)
{
    while (!list_empty(&server->spare)) {
        struct http_request *request = LIST_FIRST(&server->spare, struct http_request, link);
        list_remove(&request->link);
        arena_fini(&request->arena);
        VEC_FINI(&request->headers);
        mem_free(request);
    }
}

void http_server_free(struct http_server **server_at)
{
    struct http_server *server = MG_STEAL(*server_at);
    if (!server)
        return;
    assert(server->n_conns == 0 && list_empty(&server->orphans) && "drain before free");
    listener_close(&server->listener);
    loop_undefer(&server->flush);
    timer_free(&server->timer);
    gather_fini(server);
    mailbox_free(&server->pipes);
    router_free(&server->router);
    free_spare(server);
    pool_fini(&server->pool);
    buf_fini(&server->scratch);
    http_auth_unref(&server->auth.rows);
    mem_free(server);
}
