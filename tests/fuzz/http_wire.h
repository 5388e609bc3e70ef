/* http_wire.h - a server connection in memory for the two HTTP fuzz targets.
 *
 * The first byte of an input chooses how the rest is cut into reads and when held and waiting
 * requests go on, so that the fuzzer reaches the states between two packets. Every request that is
 * owed an answer gets one before the end: what the sanitizers say about memory then holds for the
 * whole life. */
#pragma once
#include <assert.h>
#include <stdlib.h>
#include "http/auth.h"
#include "http/conn.h"

#define OWED_MAX 512

struct fuzz_wire {
    struct http_server *server;
    struct conn *conn;
    struct http_request *owed[OWED_MAX];
    size_t n_owed;
    size_t queued;
    bool is_paused, is_closing;
};

static void fuzz_write(void *owner, const void *bytes, size_t len)
{
    (void)owner;
    static volatile char sink;
    for (size_t i = 0; i < len; i++)
        sink = ((const char *)bytes)[i]; /* so that uninitialised bytes are noticed */
    (void)sink;
}

static void fuzz_write_buf(void *owner, struct buf *buf)
{
    fuzz_write(owner, buf->ptr, buf->len);
    buf_fini(buf);
}

static size_t fuzz_queued(const void *owner)
{
    return ((const struct fuzz_wire *)owner)->queued;
}

static void fuzz_pause(void *owner)
{
    ((struct fuzz_wire *)owner)->is_paused = true;
}

static void fuzz_resume(void *owner)
{
    ((struct fuzz_wire *)owner)->is_paused = false;
}

static void fuzz_shutdown(void *owner)
{
    (void)owner;
}

static void fuzz_close(void *owner)
{
    ((struct fuzz_wire *)owner)->is_closing = true;
}

static const struct transport fuzz_transport = {
    .write = fuzz_write,
    .write_buf = fuzz_write_buf,
    .queued = fuzz_queued,
    .pause = fuzz_pause,
    .resume = fuzz_resume,
    .shutdown = fuzz_shutdown,
    .close = fuzz_close,
};

static void fuzz_now(void *owner, struct http_request *request)
{
    (void)owner;
    if (http_request_is_grpc(request))
        http_respond_grpc(request, http_request_body(request));
    else
        http_respond(request, 200, "text/plain", http_request_body(request));
}

static void fuzz_later(void *owner, struct http_request *request)
{
    struct fuzz_wire *wire = owner;
    if (wire->n_owed < OWED_MAX)
        wire->owed[wire->n_owed++] = request;
    else
        http_respond_error(request, MG_E_BUSY, STR("full"), 1);
}

static void fuzz_hold(void *owner, struct http_request *request)
{
    struct fuzz_wire *wire = owner;
    if (wire->n_owed == OWED_MAX)
        return;
    http_request_hold(request);
    wire->owed[wire->n_owed++] = request;
}

static void fuzz_chat_gone(void *owner, struct http_request *request)
{
    (void)owner;
    http_stream_end(request, 1, STR(""));
}

static void fuzz_chat(void *owner, struct http_request *request, struct str message)
{
    (void)owner;
    http_request_on_gone(request, fuzz_chat_gone, NULL);
    http_stream_message(request, message);
    if (message.len == 3)
        http_stream_end(request, 3, message);
}

static void fuzz_chat_end(void *owner, struct http_request *request)
{
    (void)owner;
    http_stream_end(request, 0, STR(""));
}

/* clang-format off */
static const struct http_route fuzz_routes[] = {
    { .method = "GET", .path = "/", .on_request = fuzz_now },
    { .method = "POST", .path = "/now", .on_request = fuzz_now },
    { .method = "POST", .path = "/later", .on_request = fuzz_later },
    { .method = "GET", .path = "/later", .on_request = fuzz_later },
    { .method = "POST", .path = "/held", .on_head = fuzz_hold, .on_request = fuzz_now, .body_max = 100 },
    { .method = "GET", .path = "/p/{a}/*", .on_request = fuzz_now },
    { .method = "POST", .path = "/s/M", .on_request = fuzz_now, .is_grpc = true },
    { .method = "POST", .path = "/s/L", .on_request = fuzz_later, .is_grpc = true },
    { .path = "/s/D", .on_message = fuzz_chat, .on_request = fuzz_chat_end, .is_grpc = true, .body_max = 50 },
    { .method = "POST", .path = "/q", .on_request = fuzz_now, .scope = HTTP_SCOPE_QUERY },
    { .method = "POST", .path = "/s/H", .on_head = fuzz_hold, .on_request = fuzz_now, .is_grpc = true },
};
/* clang-format on */

/* Lets one that waits go on: the newest or the oldest. */
static void fuzz_go_on(struct fuzz_wire *wire, bool newest)
{
    if (wire->n_owed == 0)
        return;
    size_t i = newest ? wire->n_owed - 1 : 0;
    struct http_request *request = wire->owed[i];
    wire->n_owed--;
    memmove(&wire->owed[i], &wire->owed[i + 1], (wire->n_owed - i) * sizeof wire->owed[0]);
    if (request->is_held)
        http_request_release(request);
    else
        http_respond(request, 200, NULL, STR("later"));
}

static void fuzz_settle(struct fuzz_wire *wire)
{
    server_flush(wire->server);
    if (wire->is_closing && wire->conn) {
        struct conn *conn = MG_STEAL(wire->conn);
        conn_on_closed(conn);
        server_flush(wire->server);
    }
}

static void fuzz_feed(struct fuzz_wire *wire, unsigned how, const uint8_t *bytes, size_t len)
{
    size_t step = how % 4 == 0 ? len + 1 : how % 4 == 1 ? 1 : how % 4 == 2 ? 7 : 64;
    for (size_t at = 0, round = 1; at < len && wire->conn; round++) {
        /* Whatever blocks must end: the peer would otherwise wait for ever, and so would this loop.
         */
        if (wire->is_paused || (how & 16 && round % 3 == 0))
            fuzz_go_on(wire, how & 32);
        if (how & 64 && round % 5 == 0) {
            wire->queued = round % 2 ? OUT_HIGH_BYTES : 0;
            if (wire->queued == 0)
                conn_on_drained(wire->conn);
        }
        if (!wire->is_paused) {
            size_t n = MG_MIN(step, len - at);
            conn_on_data(wire->conn, str_n(bytes + at, n));
            at += n;
        } else if (wire->queued) {
            wire->queued = 0;
            conn_on_drained(wire->conn);
        } else if (wire->n_owed == 0) {
            fuzz_settle(wire);
            assert(!wire->is_paused || wire->is_closing ||
                   !wire->conn); /* nothing is owed and nothing is read: it hangs */
        }
        fuzz_settle(wire);
    }
}

static void fuzz_run(const char *prefix, const uint8_t *data, size_t size)
{
    static const struct http_conf conf = {
        .header_bytes_max = 2048,
        .body_bytes_max = 4096,
        .bodies_bytes_max = 8192,
        .streams_max = 20,
        .connections_max = 10,
        .header_timeout_ns = 10000000000u,
        .idle_timeout_ns = 100000000000u,
        .body_timeout_ns = 30000000000u,
        .stream_window = 65536,
        .connection_window = 65536,
        .reset_max = 50,
    };
    static struct str token = STR_INIT(
        "a query sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"); /* "a"
                                                                                             */
    static struct str user = STR_INIT(
        "b ingest sha256:8c8e2d54bf0bd72aeef5ae5d8c18d6e8bdc5e0e8ad6a8f4a3bd3d0df21f5bc5c");
    static struct str origin = STR_INIT("https://*.a"), any = STR_INIT("*");
    static const struct http_auth_conf auth_conf = {.tokens = {&token, 1}, .users = {&user, 1}};
    static const struct http_cors_conf cors = {.origins = {&origin, 1}, .headers = {&any, 1}};
    struct http_auth *auth = NULL;
    if (size == 0)
        return;
    if (http_auth_new(&auth, &auth_conf, NULL))
        abort();
    unsigned how = data[0];
    struct fuzz_wire wire = {0};
    struct loop *loop = loop_new();
    struct http_options options = {.conf = &conf,
                                   .routes = fuzz_routes,
                                   .n_routes = MG_COUNT(fuzz_routes),
                                   .owner = &wire,
                                   .auth = auth,
                                   .cors = &cors,
                                   .is_otlp = how & 128};
    wire.server = http_server_new(loop, &options);
    http_auth_unref(&auth);
    wire.conn = conn_new(wire.server, &fuzz_transport, &wire, STR("fuzz"));
    fuzz_feed(&wire, how & ~(unsigned)(16 | 64), (const uint8_t *)prefix, strlen(prefix));
    fuzz_feed(&wire, how, data + 1, size - 1);
    if (wire.conn && how & 8)
        conn_on_end(wire.conn);
    fuzz_settle(&wire);
    server_tick(wire.server, server_now(wire.server) + 40000000000u);
    fuzz_settle(&wire);
    if (wire.conn && how & 4) {
        struct conn *conn = MG_STEAL(wire.conn);
        conn_on_closed(conn);
    }
    while (wire.n_owed)
        fuzz_go_on(&wire, true);
    fuzz_settle(&wire);
    while (wire.n_owed) /* a release may have brought a further request */
        fuzz_go_on(&wire, true);
    if (wire.conn)
        conn_on_closed(wire.conn);
    while (wire.n_owed)
        fuzz_go_on(&wire, true);
    http_server_free(&wire.server);
    loop_free(&loop);
}
