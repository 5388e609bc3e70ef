/* wire.c - see wire.h. Reads stop as with a socket: bytes that come while the server has paused
 * wait. */
#include "wire.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "usual_conf.h"

/* --- handlers --- */
static void on_root(void *owner, struct http_request *request)
{
    ((struct wire *)owner)->n_requests++;
    http_respond(request, 200, "text/plain", STR("root"));
}

static void on_echo(void *owner, struct http_request *request)
{
    ((struct wire *)owner)->n_requests++;
    http_respond(request, 200, "text/plain", http_request_body(request));
}

static void on_param(void *owner, struct http_request *request)
{
    (void)owner;
    struct str name = STR("none");
    (void)http_request_param(request, "name", &name);
    http_respond(request, 200, "text/plain", name);
}

static void on_later_gone(void *owner, struct http_request *request)
{
    struct wire *wire = owner;
    (void)request;
    wire->n_gone++;
}

static void on_later(void *owner, struct http_request *request)
{
    struct wire *wire = owner;
    wire->n_requests++;
    assert_true(wire->n_later < WIRE_LATER_MAX);
    wire->later[wire->n_later++] = request;
    http_request_on_gone(request, on_later_gone, wire);
}

static void on_held_head(void *owner, struct http_request *request)
{
    struct wire *wire = owner;
    wire->n_heads++;
    wire->later[wire->n_later++] = request;
    http_request_on_gone(request, on_later_gone, wire);
    http_request_hold(request);
}

static void on_counted_head(void *owner, struct http_request *request)
{
    (void)request;
    ((struct wire *)owner)->n_heads++;
}

static void on_picky_head(void *owner, struct http_request *request)
{
    ((struct wire *)owner)->n_heads++;
    http_respond_error(request, MG_E_MEDIA, STR("not that"), 0);
}

static void on_busy(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond_error(request, MG_E_BUSY, STR("full"), 2);
}

static void on_grpc_echo(void *owner, struct http_request *request)
{
    ((struct wire *)owner)->n_requests++;
    http_respond_grpc(request, http_request_body(request));
}

static void on_chat_gone(void *owner, struct http_request *request)
{
    ((struct wire *)owner)->n_gone++;
    http_stream_end(request, 1, STR("nobody reads this"));
}

static void on_chat_message(void *owner, struct http_request *request, struct str message)
{
    struct wire *wire = owner;
    http_request_on_gone(request, on_chat_gone, wire);
    buf_put_str(&wire->messages, message);
    buf_put_char(&wire->messages, '|');
    if (str_eq(message, STR("bye")))
        http_stream_end(request, 9, STR("as you wish"));
    else if (!str_eq(message, STR("quiet")))
        http_stream_message(request, message);
}

static void on_chat_end(void *owner, struct http_request *request)
{
    struct wire *wire = owner;
    wire->n_requests++;
    assert_int_equal(http_request_body(request).len, 0);
    if (wire->is_chat_kept) {
        wire->later[wire->n_later++] = request;
        http_request_on_gone(request, on_chat_gone, wire);
    } else {
        http_stream_end(request, 0, STR(""));
    }
}

/* clang-format off */
const struct http_route wire_routes[] = {
    { .method = "GET", .path = "/", .on_request = on_root },
    { .method = "GET", .path = "/later", .on_request = on_later },
    { .method = "POST", .path = "/later", .on_request = on_later },
    { .method = "GET", .path = "/p/{name}", .on_request = on_param },
    { .method = "GET", .path = "/missing-handler" },
    { .method = "POST", .path = "/echo", .on_request = on_echo },
    { .method = "POST", .path = "/held", .on_head = on_held_head, .on_request = on_echo },
    { .method = "GET", .path = "/held", .on_head = on_held_head, .on_request = on_root },
    { .method = "POST", .path = "/small", .on_request = on_echo, .body_max = 10 },
    { .method = "POST", .path = "/small-held", .on_head = on_held_head, .on_request = on_echo, .body_max = 10 },
    { .method = "POST", .path = "/picky", .on_head = on_picky_head, .on_request = on_echo },
    { .method = "POST", .path = "/busy", .on_request = on_busy },
    { .method = "POST", .path = "/t.S/Echo", .on_request = on_grpc_echo, .is_grpc = true },
    { .method = "POST", .path = "/t.S/Later", .on_request = on_later, .is_grpc = true },
    { .method = "POST", .path = "/t.S/Held", .on_head = on_held_head, .on_request = on_grpc_echo, .is_grpc = true },
    { .method = "POST", .path = "/t.S/Busy", .on_request = on_busy, .is_grpc = true },
    { .method = "POST", .path = "/t.S/Small", .on_request = on_grpc_echo, .body_max = 10, .is_grpc = true },
    { .path = "/t.S/Chat", .on_message = on_chat_message, .on_request = on_chat_end, .is_grpc = true },
    { .path = "/t.S/SmallChat", .on_message = on_chat_message, .on_request = on_chat_end, .body_max = 10, .is_grpc = true },
    { .method = "GET", .path = "/open", .on_request = on_root, .scope = HTTP_SCOPE_OPEN },
    { .method = "GET", .path = "/query", .on_request = on_root, .scope = HTTP_SCOPE_QUERY },
    { .method = "GET", .path = "/admin", .on_request = on_root, .scope = HTTP_SCOPE_ADMIN },
    { .method = "POST", .path = "/ingest", .on_head = on_counted_head, .on_request = on_echo, .scope = HTTP_SCOPE_INGEST },
    { .path = "/t.S/Query", .on_request = on_grpc_echo, .is_grpc = true, .scope = HTTP_SCOPE_QUERY },
};
/* clang-format on */
const size_t wire_routes_n = MG_COUNT(wire_routes);

/* --- the transport --- */
static void wire_write(void *owner, const void *bytes, size_t len)
{
    struct wire *wire = owner;
    assert_false(wire->is_shut);
    buf_put(&wire->out, bytes, len);
    buf_put_char(&wire->out, '\0'); /* tests read numbers with sscanf, which looks for an end */
    wire->out.len--;
}

static void wire_write_buf(void *owner, struct buf *buf)
{
    wire_write(owner, buf->ptr, buf->len);
    buf_fini(buf);
}

static size_t wire_queued(const void *owner)
{
    return ((const struct wire *)owner)->queued;
}

static void wire_pause(void *owner)
{
    ((struct wire *)owner)->is_paused = true;
}

static void wire_read_most(void *owner, size_t bytes)
{
    ((struct wire *)owner)->read_most = bytes;
}

static void wire_resume(void *owner)
{
    ((struct wire *)owner)->is_paused = false;
}

static void wire_shutdown(void *owner)
{
    ((struct wire *)owner)->is_shut = true;
}

static void wire_close(void *owner)
{
    ((struct wire *)owner)->is_closing = true;
}

static struct str wire_alpn(const void *owner)
{
    return str_of(((const struct wire *)owner)->alpn);
}

static bool wire_has_certificate(const void *owner)
{
    return ((const struct wire *)owner)->san != NULL;
}

static bool wire_has_name(const void *owner, const struct conf_list *allowed)
{
    const struct wire *wire = owner;
    for (size_t i = 0; wire->san && i < allowed->n; i++) {
        if (str_eq(allowed->at[i], str_of(wire->san)))
            return true;
    }
    return false;
}

static const struct transport transport = {
    .write = wire_write,
    .write_buf = wire_write_buf,
    .queued = wire_queued,
    .pause = wire_pause,
    .resume = wire_resume,
    .read_most = wire_read_most,
    .shutdown = wire_shutdown,
    .close = wire_close,
    .alpn = wire_alpn,
    .has_certificate = wire_has_certificate,
    .has_name = wire_has_name,
};

/* --- life --- */
void wire_init(struct wire *wire)
{
    *wire = (struct wire){.loop = loop_new()};
    wire->conf = usual_conf();
    wire->conf.body_bytes_max = 1024 * 1024;
    wire->conf.reset_max = 20;
    wire->options = (struct http_options){.routes = wire_routes, .n_routes = wire_routes_n};
    buf_init(&wire->out, 64 * 1024 * 1024);
    buf_init(&wire->unread, 64 * 1024 * 1024);
    buf_init(&wire->messages, 64 * 1024 * 1024);
}

void wire_connect(struct wire *wire)
{
    assert_null(wire->conn);
    wire->is_paused = wire->is_shut = wire->is_closing = false;
    buf_clear(&wire->out);
    buf_clear(&wire->unread);
    wire->conn = conn_new(wire->server, &transport, wire, STR("10.0.0.1:1234"));
}

void wire_start(struct wire *wire)
{
    wire->options.conf = &wire->conf;
    wire->options.owner = wire;
    wire->server = http_server_new(wire->loop, &wire->options);
    wire->now_ns = server_now(wire->server);
    wire_connect(wire);
}

static void close_now(struct wire *wire)
{
    struct conn *conn = MG_STEAL(wire->conn);
    wire->is_closing = true;
    if (conn)
        conn_on_closed(conn);
}

static bool is_reading(const struct wire *wire)
{
    return wire->conn && !wire->is_closing && !wire->is_paused;
}

/* As a socket does: a read at a time. */
static void deliver(struct wire *wire)
{
    struct buf bytes = wire->unread;
    size_t at = 0;
    buf_init(&wire->unread, 64 * 1024 * 1024);
    while (at < bytes.len && is_reading(wire)) {
        size_t n = MG_MIN(bytes.len - at, (size_t)65536);
        conn_on_data(wire->conn, str_n(bytes.ptr + at, n));
        server_flush(wire->server);
        at += n;
    }
    struct buf later = wire->unread; /* what a handler sent meanwhile */
    buf_init(&wire->unread, 64 * 1024 * 1024);
    if (wire->conn) {
        buf_put(&wire->unread, bytes.ptr + at, bytes.len - at);
        buf_put_str(&wire->unread, buf_str(&later));
    }
    buf_fini(&bytes);
    buf_fini(&later);
}

/* What a loop does at the end of its round. */
static void settle(struct wire *wire)
{
    server_flush(wire->server);
    while (is_reading(wire) && wire->unread.len)
        deliver(wire);
    if (wire->conn && !wire->is_closing && !wire->is_paused && wire->has_pending_end) {
        wire->has_pending_end = false;
        conn_on_end(wire->conn);
        server_flush(wire->server);
    }
    if (wire->is_closing)
        close_now(wire);
    server_flush(wire->server);
}

void wire_fini(struct wire *wire)
{
    if (wire->server) {
        close_now(wire);
        server_flush(wire->server);
        http_server_free(&wire->server);
    }
    buf_fini(&wire->out);
    buf_fini(&wire->unread);
    buf_fini(&wire->messages);
    loop_free(&wire->loop);
}

void wire_send(struct wire *wire, const void *bytes, size_t len)
{
    if (!wire->conn)
        return;
    buf_put(&wire->unread, bytes, len);
    settle(wire);
}

void wire_send_slowly(struct wire *wire, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        wire_send(wire, (const char *)bytes + i, 1);
}

void wire_end(struct wire *wire)
{
    wire->has_pending_end = true;
    settle(wire);
}

void wire_reset(struct wire *wire)
{
    close_now(wire);
    settle(wire);
}

void wire_sent(struct wire *wire)
{
    wire->queued = 0;
    if (wire->conn)
        conn_on_drained(wire->conn);
    settle(wire);
}

void wire_advance(struct wire *wire, uint64_t ms)
{
    wire->now_ns += ms * 1000000u;
    server_tick(wire->server, wire->now_ns);
    settle(wire);
}

static void stop_loop(void *owner)
{
    loop_stop(owner);
}

void wire_round(struct wire *wire)
{
    struct timer *timer = timer_new(wire->loop, stop_loop, wire->loop);
    timer_start(timer, 1);
    loop_run(wire->loop);
    timer_free(&timer);
    settle(wire);
}

/* --- reading what came back --- */
static bool header_value(struct str head, const char *name, struct str *value)
{
    struct str line;
    while (str_cut(&head, '\n', &line)) {
        struct str key, rest;
        if (str_split_at(line, ':', &key, &rest) && str_eq_nocase(key, str_of(name))) {
            *value = str_trim(rest);
            if (value->len && value->ptr[value->len - 1] == '\r')
                value->len--;
            return true;
        }
    }
    return false;
}

/* Takes a chunked body off the front; false: broken or incomplete. */
static bool take_chunks(struct str *rest, struct buf *body)
{
    for (;;) {
        struct str line;
        size_t size = 0;
        if (!memchr(rest->ptr, '\n', rest->len) || !str_cut(rest, '\n', &line))
            return false;
        if (sscanf(line.ptr, "%zx", &size) != 1 || rest->len < size + 2)
            return false;
        buf_put(body, rest->ptr, size);
        *rest = str_n(rest->ptr + size + 2, rest->len - size - 2);
        if (size == 0)
            return true;
    }
}

static bool take_answer(struct str *rest, struct buf *text)
{
    size_t end;
    int status;
    if (!str_find(*rest, STR("\r\n\r\n"), &end) || sscanf(rest->ptr, "HTTP/1.1 %d ", &status) != 1)
        return false;
    struct str head = str_n(rest->ptr, end + 4), value;
    *rest = str_n(rest->ptr + end + 4, rest->len - end - 4);
    buf_printf(text, "%s%d", text->len ? " " : "", status);
    struct buf body;
    buf_init(&body, 64 * 1024 * 1024);
    bool is_fine = true;
    uint64_t length;
    if (header_value(head, "transfer-encoding", &value)) {
        is_fine = take_chunks(rest, &body);
    } else if (header_value(head, "content-length", &value)) {
        is_fine = str_u64(value, &length) == MG_OK && length <= rest->len;
        if (is_fine) {
            buf_put(&body, rest->ptr, length);
            *rest = str_n(rest->ptr + length, rest->len - length);
        }
    }
    if (status / 100 == 2 && body.len)
        buf_printf(text, ":%.*s", (int)MG_MIN(body.len, (size_t)60), body.ptr);
    buf_fini(&body);
    return is_fine;
}

const char *wire_answers(struct wire *wire)
{
    static char answer[4096];
    struct buf text;
    buf_init(&text, sizeof answer - 1);
    struct str rest = buf_str(&wire->out);
    bool is_fine = true;
    while (rest.len && is_fine)
        is_fine = take_answer(&rest, &text);
    if (!is_fine)
        buf_put_text(&text, " broken");
    if (wire->is_shut || !wire->conn)
        buf_put_text(&text, text.len ? " eof" : "eof");
    snprintf(answer, sizeof answer, "%.*s", STR_ARG(buf_str(&text)));
    buf_fini(&text);
    return answer;
}

bool wire_has(const struct wire *wire, const char *text)
{
    size_t at;
    return str_find(buf_str(&wire->out), str_of(text), &at);
}

struct reply wire_ask(struct wire *wire, const char *method, const char *path, const char *more)
{
    char request[1024];
    size_t end, len = (size_t)snprintf(request, sizeof request,
                                       "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, path, more);
    assert_true(len < sizeof request);
    buf_clear(&wire->out);
    wire_send(wire, request, len);
    struct str out = buf_str(&wire->out);
    assert_true(str_find(out, STR("\r\n\r\n"), &end));
    struct reply reply = {.head = str_n(out.ptr, end + 2),
                          .body = str_n(out.ptr + end + 4, out.len - end - 4)};
    assert_int_equal(sscanf(out.ptr, "HTTP/1.1 %d ", &reply.status), 1);
    return reply;
}

struct str reply_header(const struct reply *reply, const char *name)
{
    struct str value;
    return header_value(reply->head, name, &value) ? value : STR("");
}
