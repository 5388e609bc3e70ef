/* client.c - the pool: which call goes onto which connection, and how each call ends once.
 *
 * Connections are opened only while more calls wait than connections being opened will take. A call
 * that ends is moved to the list `ended`; only client_settle calls on_done, at the end of an event,
 * so that a user who makes a new call, or frees the client, from inside on_done never pulls the
 * floor from under a parser. Where no event is at hand, as in http_client_call, the call's timer
 * becomes one.
 *
 * The client struct outlives http_client_free until its last connection has gone, which is in the
 * loop's next turn: attempts to connect are cancelled, and the others are closed without a word.
 *
 * An idle connection that the peer closes is noticed at once, because the stream keeps reading.
 * What is left is the race in which the peer closes while our request is on its way: such a call is
 * sent once more, on a new connection, provided that sending it twice is harmless. */
#include "http/client_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/mem.h"
#include "codec/zip.h"
#include "http/field.h"
#include "http/grpc.h"
#include "net/tls.h"

#define CONNECTIONS_MAX_DEFAULT  4
#define TIMEOUT_MS_DEFAULT       10000
#define ANSWER_BYTES_MAX_DEFAULT (64u << 20)
#define SHOWN_TARGET_BYTES                                                                         \
    120 /* of a path in a sentence, so that the reason behind it still fits */

/* --- calls --- */

static void call_free(struct client_call *call)
{
    timer_free(&call->timer);
    buf_fini(&call->body);
    buf_fini(&call->answer.body);
    buf_fini(&call->answer.unpacked);
    arena_fini(&call->arena);
    mem_free(call);
}

/* Takes the call out of whatever list it is in. */
static void call_unlink(struct client_call *call)
{
    list_remove(&call->link);
    if (call->is_waiting)
        call->client->n_waiting--;
    if (call->is_ended)
        call->client->n_ended--;
    if (call->conn)
        call->conn->n_calls--;
    call->is_waiting = call->is_ended = false;
    call->conn = NULL;
}

static void call_set_ended(struct client_call *call, enum mg_err err)
{
    call_unlink(call);
    call->err = err;
    call->is_ended = true;
    call->client->n_ended++;
    list_add_last(&call->client->ended, &call->link);
    timer_start(call->timer, 0);
}

/* The path without its query: long, and possibly secret. */
static struct str shown_target(const struct client_call *call)
{
    const char *query = call->target.len ? memchr(call->target.ptr, '?', call->target.len) : NULL;
    size_t len = query ? (size_t)(query - call->target.ptr) : call->target.len;

    return str_n(call->target.ptr, MG_MIN(len, (size_t)SHOWN_TARGET_BYTES));
}

static void why_add_call(struct client_call *call, enum mg_err err)
{
    struct str target = shown_target(call), authority = call->client->authority;

    (void)mg_fail_in(&call->why, err, "%.*s http%s://%.*s%.*s", STR_ARG(call->method),
                     call->client->is_tls ? "s" : "", STR_ARG(authority),
                     STR_ARG(target)); /* returns err */
}

void client_call_fail(struct client_call *call, enum mg_err err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(call->why.text, sizeof call->why.text, format, args);
    va_end(args);
    why_add_call(call, err);
    call_set_ended(call, err);
}

/* Its sentence stands in call->why. */
static void call_refuse(struct client_call *call, enum mg_err err)
{
    why_add_call(call, err);
    call_set_ended(call, err);
}

void client_call_fail_limit(struct client_call *call, enum mg_err err)
{
    if (call->is_refused)
        call_refuse(call, err);
    else if (err == MG_E_TOO_BIG)
        client_call_fail(call, err, "the answer is larger than %" PRIu64 " bytes",
                         call->client->answer_bytes_max);
    else
        client_call_fail(call, err, "the answer's headers are larger than %d bytes",
                         CLIENT_HEADER_BYTES_MAX);
}

/* grpc.io, "HTTP to gRPC Status Code Mapping", for answers of something that is not gRPC. */
static int grpc_status_of_http(int status)
{
    switch (status) {
    case 400:
        return 13;
    case 401:
        return 16;
    case 403:
        return 7;
    case 404:
        return 12;
    case 429:
    case 502:
    case 503:
    case 504:
        return 14;
    case 431:
        return 13;
    default:
        return 2;
    }
}

/* No grpc-accept-encoding was sent, yet grpc-go packs its answer as the request was packed. */
static enum mg_err grpc_unpack(struct client_call *call, struct str packed)
{
    size_t limit = call->client->answer_bytes_max;
    struct zip *zip;
    enum zip_kind kind;

    if (!call->is_compressed || !zip_kind_parse(call->answer.grpc_encoding, &kind) ||
        kind == ZIP_IDENTITY)
        return MG_E_FORMAT;
    zip = zip_new();
    buf_init(&call->answer.unpacked, limit);
    enum mg_err err = zip_inflate(zip, kind, packed, limit, &call->answer.unpacked, NULL);
    zip_free(&zip);
    call->answer.message = buf_str(&call->answer.unpacked);
    return err;
}

static enum mg_err grpc_read_message(struct client_call *call)
{
    struct str message;
    bool is_compressed = false;

    MG_TRY(grpc_unframe(buf_str(&call->answer.body), &message, &is_compressed));
    if (is_compressed)
        return grpc_unpack(call, message);
    call->answer.message = message;
    return MG_OK;
}

void client_call_end(struct client_call *call)
{
    enum mg_err err;

    if (call->is_grpc && call->answer.grpc_status < 0) {
        call->answer.grpc_message =
            arena_printf(&call->arena, "HTTP status %d without grpc-status", call->answer.status);
        call->answer.grpc_status = grpc_status_of_http(call->answer.status);
    } else if (call->is_grpc && call->answer.grpc_status == 0 &&
               (err = grpc_read_message(call)) != MG_OK) {
        if (err == MG_E_TOO_BIG)
            client_call_fail_limit(call, err);
        else
            client_call_fail(call, MG_E_FORMAT, "the answer is not one %sgRPC message",
                             call->is_compressed ? "" : "uncompressed ");
        return;
    }
    call_set_ended(call, MG_OK);
}

/* Borrowed from the call: valid until it is freed. */
static struct http_answer call_answer(struct client_call *call, struct buf *message)
{
    struct http_answer answer = {
        .status = call->answer.status,
        .grpc_status = call->is_grpc ? call->answer.grpc_status : -1,
        .content_type = call->answer.content_type,
        .retry_after = call->answer.retry_after,
        .location = call->answer.location,
        .details = call->answer.details,
    };

    if (call->err == MG_OK && !call->is_grpc)
        answer.body = buf_str(&call->answer.body);
    if (call->err == MG_OK && answer.grpc_status == 0)
        answer.body = call->answer.message;
    buf_init(message, call->answer.grpc_message.len);
    grpc_message_unescape(message, call->answer.grpc_message);
    answer.message = buf_str(message);
    return answer;
}

static void call_deliver(struct client_call *call)
{
    struct buf message;
    struct http_answer answer = call_answer(call, &message);

    call->on_done(call->owner, call->err, &answer, &call->why);
    buf_fini(&message);
    call_free(call);
}

static void keep_first(struct client_call *call, struct str *slot, struct str value)
{
    if (!slot->ptr)
        *slot = arena_str(&call->arena, value);
}

static void set_deadline(struct client_call *call)
{
    call->asked_at = call->client->n_arrivals;
    timer_start(call->timer, call->client->timeout_ms);
}

/* What is streamed may take as long as it likes, but must not fall silent. */
static void note_progress(struct client_call *call)
{
    if (call->on_body)
        set_deadline(call);
}

enum mg_err client_call_on_header(struct client_call *call, struct str lower_name, struct str value)
{
    uint64_t status;

    note_progress(call);
    call->answer.header_bytes += lower_name.len + value.len;
    if (call->answer.header_bytes > CLIENT_HEADER_BYTES_MAX)
        return MG_E_HEADERS;
    if (str_eq(lower_name, STR("content-type")))
        keep_first(call, &call->answer.content_type, value);
    else if (str_eq(lower_name, STR("retry-after")))
        keep_first(call, &call->answer.retry_after, value);
    else if (str_eq(lower_name, STR("location")))
        keep_first(call, &call->answer.location, value);
    else if (str_eq(lower_name, STR("grpc-message")))
        keep_first(call, &call->answer.grpc_message, value);
    else if (str_eq(lower_name, STR("grpc-encoding")))
        keep_first(call, &call->answer.grpc_encoding, value);
    else if (str_eq(lower_name, STR("grpc-status-details-bin")))
        keep_first(call, &call->answer.details, value);
    else if (str_eq(lower_name, STR("grpc-status")))
        call->answer.grpc_status =
            str_u64(value, &status) == MG_OK && status <= 16 ? (int)status : 2;
    return MG_OK;
}

bool client_call_is_streamed(const struct client_call *call)
{
    return call->on_body && call->answer.status / 100 == 2;
}

enum mg_err client_call_on_body(struct client_call *call, struct str bytes)
{
    if (!client_call_is_streamed(call)) {
        note_progress(call);
        return buf_append(&call->answer.body, bytes.ptr, bytes.len);
    }
    enum mg_err err = call->on_body(call->owner, bytes, &call->why);
    call->is_refused = err != MG_OK;
    note_progress(call); /* its own time is not the peer's silence */
    return err;
}

/* --- connections --- */

static void client_settle(struct http_client *client);

bool client_call_retry(struct client_call *call)
{
    if (call->was_retried)
        return false;
    call->was_retried = true;
    call_unlink(call);
    buf_clear(&call->answer.body);
    call->answer.header_bytes = 0;
    call->body_sent = 0;
    list_add_first(&call->client->waiting, &call->link);
    call->is_waiting = true;
    call->client->n_waiting++;
    return true;
}

void client_conn_close(struct client_conn *conn)
{
    assert(conn->n_calls == 0);
    if (conn->is_closing)
        return;
    conn->is_closing = true;
    conn->client->n_open--;
    if (conn->stream)
        stream_close(conn->stream);
}

/* An HTTP/2 peer may allow no streams (RFC 9113 5.1.2: for short durations only). Who kept to it for a
 * call's whole time would keep its place in the pool for ever. */
static void close_useless(struct http_client *client)
{
    LIST_EACH(&client->conns, link)
    {
        struct client_conn *conn = MG_CONTAINER(link, struct client_conn, link);
        if (conn->stream && !conn->is_closing && conn->n_calls == 0 && client->kind->room(conn) == 0)
            client_conn_close(conn);
    }
}

/* Others that idle were most likely closed by the same event, a restart, and only do not know it
 * yet. */
static void close_idle(struct http_client *client)
{
    LIST_EACH(&client->conns, link)
    {
        struct client_conn *conn = MG_CONTAINER(link, struct client_conn, link);
        if (conn->stream && conn->n_calls == 0)
            client_conn_close(conn);
    }
}

static bool is_idempotent(struct str method)
{
    static const struct str methods[] = {STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("PUT"),
                                         STR_INIT("DELETE"), STR_INIT("OPTIONS")};

    for (size_t i = 0; i < MG_COUNT(methods); i++) {
        if (str_eq(method, methods[i]))
            return true;
    }
    return false;
}

/* The peer closed a kept connection while the request was on its way, and sending it again is
 * harmless. */
static bool is_stale(const struct client_conn *conn, const struct client_call *call)
{
    return conn->is_kept && !call->answer.is_started && is_idempotent(call->method);
}

void client_conn_lost(struct client_conn *conn, const char *reason)
{
    const char *tls = conn->stream ? stream_tls_reason(conn->stream) : NULL;
    struct client_call *call;
    bool was_stale = false;

    conn->is_last = true;
    while ((call = LIST_FIRST(&conn->calls, struct client_call, link)) != NULL) {
        if (is_stale(conn, call) && client_call_retry(call))
            was_stale = true;
        else
            client_call_fail(call, MG_E_IO, "%s %s%s%s", reason,
                             call->answer.is_started ? "in the middle of the answer"
                                                     : "before an answer came",
                             tls ? ": " : "", tls ? tls : "");
    }
    client_conn_close(conn);
    if (was_stale)
        close_idle(conn->client);
}

/* The last event of a connection. */
static void conn_gone(struct client_conn *conn)
{
    struct http_client *client = conn->client;

    list_remove(&conn->link);
    if (conn->protocol)
        client->kind->close(conn);
    mem_free(conn);
    client_settle(client);
}

static void on_stream_data(void *owner, struct str bytes)
{
    struct client_conn *conn = owner;
    struct http_client *client = conn->client;

    conn->heard_at = ++client->n_arrivals;
    if (!conn->is_closing)
        client->kind->on_data(conn, bytes);
    client_settle(client);
}

static void on_stream_end(void *owner)
{
    struct client_conn *conn = owner;
    struct http_client *client = conn->client;

    if (!conn->is_closing)
        client->kind->on_end(conn);
    client_settle(client);
}

static void on_stream_drained(void *owner)
{
    struct client_conn *conn = owner;
    struct http_client *client = conn->client;

    if (!conn->is_closing)
        client->kind->on_drained(conn);
    client_settle(client);
}

static void on_stream_closed(void *owner, enum mg_err err)
{
    struct client_conn *conn = owner;

    if (!conn->is_closing)
        client_conn_lost(conn,
                         err == MG_OK ? "the connection was closed" : "the connection was reset");
    conn_gone(conn);
}

static const struct stream_events conn_events = {
    .on_data = on_stream_data,
    .on_end = on_stream_end,
    .on_drained = on_stream_drained,
    .on_closed = on_stream_closed,
};

/* One attempt answers for one call, or for all when there is no connection to wait for: they must
 * not fail one after the other against an origin that is down. */
static void connect_failed(struct http_client *client, enum mg_err err, const char *reason)
{
    struct client_call *call;

    while ((call = LIST_FIRST(&client->waiting, struct client_call, link)) != NULL) {
        client_call_fail(call, err, "%s", reason);
        if (client->n_open > 0)
            return;
    }
}

/* What is spoken must be what the handshake agreed on. HTTP/2 is never guessed. */
static enum mg_err check_alpn(const struct http_client *client, struct str agreed,
                              struct mg_why *why)
{
    bool is_h2 = str_eq(agreed, STR("h2"));

    if (client->kind == &client_h2 && !is_h2)
        return mg_fail(why, MG_E_UNSUPPORTED,
                       "the server did not agree on HTTP/2 (ALPN h2) in the TLS handshake");
    if (client->kind != &client_h2 && agreed.len && !str_eq(agreed, STR("http/1.1")))
        return mg_fail(why, MG_E_UNSUPPORTED,
                       "the TLS handshake agreed on '%.*s', and the client speaks HTTP/1.1",
                       STR_ARG(agreed));
    return MG_OK;
}

static void on_connected(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    struct client_conn *conn = owner;
    struct http_client *client = conn->client;
    struct mg_why mismatch;

    conn->attempt = NULL;
    if (!stream) {
        client_conn_close(conn);
        connect_failed(client, err, why->text);
        conn_gone(conn);
        return;
    }
    conn->stream = stream;
    stream_own(stream, &conn_events, conn);
    if (client->is_tls && check_alpn(client, stream_alpn(stream), &mismatch) != MG_OK) {
        client_conn_close(conn);
        connect_failed(client, MG_E_UNSUPPORTED, mismatch.text);
    } else {
        client->kind->open(conn);
    }
    client_settle(client);
}

/* The system's CAs take a while to read, so the default context is made when it is first needed,
 * and once. */
static enum mg_err make_context(struct http_client *client, struct mg_why *why)
{
    const struct tls_options options = {
        .min_version = TLS_1_2,
        .alpn = client->kind == &client_h2 ? "h2" : "http/1.1",
    };

    if (!client->is_tls || client->tls)
        return MG_OK;
    return tls_context_new(&client->tls, &options, why);
}

static void conn_open(struct http_client *client)
{
    struct mg_why why;
    enum mg_err err = make_context(client, &why);

    if (err != MG_OK) {
        connect_failed(client, err, why.text);
        return;
    }
    struct client_conn *conn = MEM_NEW(struct client_conn);
    conn->client = client;
    list_init(&conn->calls);
    list_add_last(&client->conns, &conn->link);
    client->n_open++;
    const struct stream_target target = {.host = client->host,
                                         .port = client->port,
                                         .timeout_ms = client->timeout_ms,
                                         .tls = client->tls};
    conn->attempt = stream_connect(client->loop, &target, on_connected, conn);
}

/* --- the pool --- */

static struct client_conn *conn_with_room(struct http_client *client, unsigned *room_expected)
{
    *room_expected = 0;
    LIST_EACH(&client->conns, link)
    {
        struct client_conn *conn = MG_CONTAINER(link, struct client_conn, link);
        if (conn->is_closing || conn->is_last)
            continue;
        if (!conn->stream)
            *room_expected += client->kind->room_expected;
        else if (client->kind->room(conn) > 0)
            return conn;
    }
    return NULL;
}

static void call_send(struct client_call *call, struct client_conn *conn)
{
    call_unlink(call);
    call->conn = conn;
    list_add_last(&conn->calls, &call->link);
    conn->n_calls++;

    enum mg_err err = call->client->kind->send(conn, call, &call->why);
    if (err != MG_OK)
        call_refuse(call, err);
}

/* Gives waiting calls to connections, and opens connections for those that are left. */
static void client_pump(struct http_client *client)
{
    struct client_call *call;
    unsigned room_expected;

    while (!client->is_closing &&
           (call = LIST_FIRST(&client->waiting, struct client_call, link)) != NULL) {
        struct client_conn *conn = conn_with_room(client, &room_expected);
        if (conn)
            call_send(call, conn);
        else if (room_expected < client->n_waiting && client->n_open < client->connections_max)
            conn_open(client);
        else
            break;
    }
}

static void client_destroy(struct http_client *client)
{
    void (*on_gone)(void *owner) = client->on_gone;
    void *owner = client->gone_owner;

    tls_context_unref(&client->tls);
    mem_free(client->url);
    mem_free(client);
    if (on_gone)
        on_gone(owner);
}

/* Last thing of every event: tells the users, gives out what is free, and lets go of a closed
 * client. Calls that end meanwhile have their own timers, or a user who repeats a call that cannot
 * succeed would be answered for ever; but a client that is being freed tells everybody now. */
static void client_settle(struct http_client *client)
{
    struct client_call *call;

    client->holds++;
    for (unsigned n = client->n_ended; n > 0 || client->is_closing; n--) {
        call = LIST_FIRST(&client->ended, struct client_call, link);
        if (!call)
            break;
        call_unlink(call);
        call_deliver(call);
    }
    client_pump(client);
    client->holds--;
    if (client->is_closing && !client->closing && client->holds == 0 && list_empty(&client->conns))
        client_destroy(client);
}

/* --- requests --- */

static void on_call_timer(void *owner)
{
    struct client_call *call = owner;
    struct http_client *client = call->client;
    struct client_conn *conn = call->conn;

    if (call->is_ended) {
        client_settle(client);
        return;
    }
    const char *what = conn ? "no answer" : "no free connection";
    client_call_fail(call, MG_E_TIMEOUT, "%s within %" PRIu64 " ms",
                     call->on_body && call->answer.is_started ? "no more of the answer" : what,
                     client->timeout_ms);
    if (conn)
        client->kind->cancel(conn, call);
    else
        close_useless(client);
    client_settle(client);
}

static bool has_between(struct str text, char first, char last)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] >= first && text.ptr[i] <= last)
            return true;
    return false;
}

static enum mg_err header_check(const struct client_call *call, const struct http_header *header,
                                struct mg_why *why)
{
    if (!http_is_token(header->name) || has_between(header->name, 'A', 'Z') ||
        !http_is_field_value(header->value))
        return mg_fail(why, MG_E_FORMAT, "the header '%.*s' has a malformed name or value",
                       STR_ARG(header->name));
    if (http_is_hop_field(header->name) ||
        (call->is_grpc && str_eq(header->name, STR("content-type"))))
        return mg_fail(why, MG_E_FORMAT, "the header '%.*s' is the client's own",
                       STR_ARG(header->name));
    return MG_OK;
}

/* What would break out of its line in a request is refused here, for both protocols. */
static enum mg_err call_check(const struct client_call *call, struct str path, struct mg_why *why)
{
    if (call->is_grpc && call->client->kind != &client_h2)
        return mg_fail(why, MG_E_UNSUPPORTED, "gRPC needs a client with HTTP/2");
    if (call->is_grpc && call->on_body)
        return mg_fail(why, MG_E_UNSUPPORTED, "the answer of a gRPC call cannot be streamed");
    if (call->is_grpc && call->body.limit > UINT32_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "a gRPC message is at most 4 GiB");
    if (!http_is_token(call->method) || has_between(call->method, 'a', 'z'))
        return mg_fail(why, MG_E_FORMAT, "the method is not a word in capitals");
    if (!str_starts(path, STR("/")) || !http_is_field_value(path) || has_between(path, '\t', ' '))
        return mg_fail(why, MG_E_FORMAT, "the path must start with '/' and hold no spaces");
    for (size_t i = 0; i < call->n_headers; i++)
        MG_TRY(header_check(call, &call->headers[i], why));
    return MG_OK;
}

static void call_copy_body(struct client_call *call, struct str body)
{
    buf_init(&call->body, body.len + GRPC_PREFIX_BYTES);
    if (call->is_grpc) {
        uint8_t prefix[GRPC_PREFIX_BYTES];
        grpc_prefix(prefix, call->is_compressed, (uint32_t)body.len);
        buf_put(&call->body, prefix, sizeof prefix);
    }
    buf_put_str(&call->body, body);
}

static struct client_call *call_new(struct http_client *client, const struct http_call *call)
{
    struct client_call *c = MEM_NEW(struct client_call);

    c->client = client;
    c->is_grpc = call->is_grpc;
    c->is_compressed = call->is_compressed;
    c->is_head = strcmp(call->method, "HEAD") == 0;
    c->method = arena_str(&c->arena, str_of(call->method));
    c->target = arena_printf(&c->arena, "%.*s%.*s", STR_ARG(client->prefix), STR_ARG(call->path));
    c->n_headers = call->n_headers;
    c->headers = arena_zero(&c->arena, call->n_headers * sizeof *c->headers);
    for (size_t i = 0; i < call->n_headers; i++) {
        c->headers[i].name = arena_str(&c->arena, call->headers[i].name);
        c->headers[i].value = arena_str(&c->arena, call->headers[i].value);
    }
    call_copy_body(c, call->body);
    buf_init(&c->answer.body, client->answer_bytes_max);
    c->answer.grpc_status = -1;
    c->timer = timer_new(client->loop, on_call_timer, c);
    return c;
}

void http_client_call(struct http_client *client, const struct http_call *call,
                      http_done_fn *on_done, void *owner)
{
    assert(client && !client->is_closing && call->method && on_done);
    struct client_call *c = call_new(client, call);

    c->on_done = on_done;
    c->on_body = call->on_body;
    c->owner = owner;
    enum mg_err err = call_check(c, call->path, &c->why);
    if (err != MG_OK) {
        call_refuse(c, err);
        return;
    }
    set_deadline(c);
    list_add_last(&client->waiting, &c->link);
    c->is_waiting = true;
    client->n_waiting++;
    client_pump(client);
}

/* --- life --- */

/* What stands before an '@' may be a password, and is not repeated. */
static enum mg_err fail_url(struct str text, const char *reason, struct mg_why *why)
{
    size_t at = text.len;

    while (at > 0 && text.ptr[at - 1] != '@')
        at--;
    return mg_fail(why, MG_E_FORMAT, "'%s%.*s' is not of the form http[s]://host:port: %s",
                   at ? "***@" : "", (int)(text.len - at), text.ptr + at, reason);
}

enum mg_err client_url_read(struct str text, struct http_url *url, struct mg_why *why)
{
    struct mg_why inner = {""};

    if (http_url_read(text, url, &inner) != MG_OK)
        return fail_url(text, inner.text, why);
    if (url->user_info.ptr)
        return fail_url(text, "user and password are not taken here", why);
    return MG_OK;
}

static enum mg_err base_url_read(struct str text, struct http_url *url, struct mg_why *why)
{
    MG_TRY(client_url_read(text, url, why));
    if (url->query.len)
        return fail_url(text, "a base URL has no query", why);
    while (str_ends(url->path, STR("/")))
        url->path.len--;
    return MG_OK;
}

enum mg_err http_client_new(struct http_client **out, struct loop *loop,
                            const struct http_client_options *options, struct mg_why *why)
{
    struct http_url url;
    char *copy = str_text(options->base_url); /* the parts of the URL are slices of it */
    enum mg_err err = base_url_read(str_n(copy, options->base_url.len), &url, why);

    if (err != MG_OK) {
        mem_free(copy);
        return err;
    }
    struct http_client *client = MEM_NEW(struct http_client);
    client->url = copy;
    client->host = url.host;
    client->authority = url.authority;
    client->prefix = url.path;
    client->port = url.port;
    client->is_tls = url.is_tls;
    client->tls = url.is_tls && options->tls ? tls_context_ref(options->tls) : NULL;
    client->loop = loop;
    client->kind = options->http2 ? &client_h2 : &client_h1;
    client->connections_max =
        options->connections_max ? options->connections_max : CONNECTIONS_MAX_DEFAULT;
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS_DEFAULT;
    client->answer_bytes_max =
        options->answer_bytes_max ? options->answer_bytes_max : ANSWER_BYTES_MAX_DEFAULT;
    list_init(&client->waiting);
    list_init(&client->ended);
    list_init(&client->conns);
    *out = client;
    return MG_OK;
}

static void fail_all(struct list *calls)
{
    struct client_call *call;

    while ((call = LIST_FIRST(calls, struct client_call, link)) != NULL)
        client_call_fail(call, MG_E_IO, "the client was closed");
}

/* A connection that is open goes with its stream's last event; one that never was, goes here. */
static void conn_end(struct client_conn *conn)
{
    fail_all(&conn->calls);
    client_conn_close(conn);
    if (conn->attempt) {
        stream_connect_cancel(&conn->attempt);
        list_remove(&conn->link);
        mem_free(conn);
    }
}

void http_client_free(struct http_client **client_at)
{
    struct http_client *client = MG_STEAL(*client_at);

    if (!client)
        return;
    client->is_closing = true;
    fail_all(&client->waiting);
    for (struct list *link = client->conns.next, *next; link != &client->conns; link = next) {
        next = link->next;
        conn_end(MG_CONTAINER(link, struct client_conn, link));
    }
    client_settle(client);
}

static void on_closing_timer(void *owner)
{
    struct http_client *client = owner;

    timer_free(&client->closing);
    client_settle(client);
}

void http_client_close(struct http_client **client_at, void (*on_gone)(void *owner), void *owner)
{
    struct http_client *client = *client_at;

    client->on_gone = on_gone;
    client->gone_owner = owner;
    client->closing = timer_new(client->loop, on_closing_timer, client);
    timer_start(client->closing, 0);
    http_client_free(client_at);
}
