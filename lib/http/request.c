/* request.c - what HTTP/1 and HTTP/2 share: the checks in their order, the body, the answers.
 *
 * Who may free a request is the only subtle thing here. Two parties hold one: the wire (until
 * request_finish or request_gone) and the handler (is_owed: from on_request, or while it holds the
 * body, until it answers or releases). Whoever is last frees it. The server may answer before the
 * handler does (a deadline, a body that grows too large): the handler then sees a request that is
 * gone, exactly as if the peer had left, and its own answer is swallowed. */
#include "http/conn.h"
#include <assert.h>
#include <stdio.h>
#include "base/clock.h"
#include "http/grpc.h"
#include "http/status.h"

#define GRPC_ENCODINGS     "identity,gzip,deflate,zstd"
#define ANSWER_HEADERS_MAX 32
#define ERROR_BYTES_MAX    (64u * 1024)

static const struct protocol *protocol_of(const struct http_request *request)
{
    return request->is_http2 ? &h2_protocol : &h1_protocol;
}

/* --- life --- */
struct http_request *request_new(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct http_request *request = LIST_FIRST(&server->spare, struct http_request, link);
    if (request) {
        list_remove(&request->link);
        server->n_spare--;
    } else {
        request = MEM_NEW(struct http_request);
        arena_init(&request->arena);
    }
    request->conn = conn;
    request->server = server;
    request->declared = LENGTH_UNKNOWN;
    request->step_ns = server_now(server);
    list_add_last(&conn->requests, &request->link);
    conn->n_requests++;
    return request;
}

static void drop_body(struct http_request *request)
{
    pool_give(&request->server->pool, &request->body);
    request->message = STR("");
    gather_drop(request);
}

/* Keeps what is worth keeping warm: the arena's chunk and the header array. */
static void recycle(struct http_request *request)
{
    struct http_server *server = request->server;
    if (server->n_spare >= SPARE_REQUESTS_MAX) {
        arena_fini(&request->arena);
        VEC_FINI(&request->headers);
        mem_free(request);
        return;
    }
    struct http_request kept = {.arena = request->arena, .server = server};
    arena_reset(&kept.arena);
    kept.headers = request->headers;
    VEC_CLEAR(&kept.headers);
    *request = kept;
    list_add_first(&server->spare, &request->link);
    server->n_spare++;
}

void request_free(struct http_request *request)
{
    struct http_server *server = request->server;
    struct conn *conn = request->conn;
    list_remove(&request->link);
    if (conn) {
        conn->n_requests--;
        if (request->is_ready)
            conn->n_ready--;
        conn_touch(conn); /* there may be room for a further request now */
    }
    drop_body(request);
    out_fini(&request->out);
    recycle(request);
    if (server->drain.is_on)
        loop_defer(server->loop, &server->flush);
}

static void free_when_done(struct http_request *request)
{
    if (request->is_finished && !request->is_owed && !request->is_freeing_blocked)
        request_free(request);
}

void request_finish(struct http_request *request)
{
    if (request->is_finished)
        return;
    request->is_finished = true;
    if (request->is_ready) {
        request->is_ready = false;
        request->conn->n_ready--;
    }
    if (request->on_finished)
        request->on_finished(request->pipe);
    if (request->is_owed) {
        list_remove(&request->link);
        list_add_last(&request->conn->detached, &request->link);
    }
    free_when_done(request);
}

static void tell_gone(struct http_request *request)
{
    if (request->is_gone)
        return;
    request->is_gone = true;
    if (!request->has_body)
        drop_body(request);
    if (request->on_gone && !request->is_handler_done)
        request->on_gone(request->on_gone_owner, request);
}

void request_gone(struct http_request *request)
{
    request->is_freeing_blocked = true; /* on_gone may answer or release */
    if (!request->is_answered)
        http_count_request(request->server, 0);
    tell_gone(request);
    request->is_freeing_blocked = false;
    if (request->is_finished)
        free_when_done(request);
    else
        request_finish(request);
}

/* --- what came --- */
struct str http_request_method(const struct http_request *request)
{
    return request->method;
}

struct str http_request_path(const struct http_request *request)
{
    return request->path;
}

struct str http_request_query(const struct http_request *request)
{
    return request->query;
}

struct str http_request_header(const struct http_request *request, struct str lower_name)
{
    struct str value = STR("");
    bool is_found = false;
    struct arena *arena = &((struct http_request *)request)->arena; /* memory, not state */
    for (size_t i = 0; i < request->headers.n; i++) {
        const struct http_header *header = &request->headers.at[i];
        if (!str_eq(header->name, lower_name))
            continue;
        value = is_found ? arena_printf(arena, "%.*s, %.*s", STR_ARG(value), STR_ARG(header->value))
                         : header->value;
        is_found = true;
    }
    return value;
}

bool http_request_param(const struct http_request *request, const char *name, struct str *value)
{
    for (size_t i = 0; i < request->params.n; i++) {
        if (str_eq(request->params.at[i].name, str_of(name))) {
            *value = request->params.at[i].value;
            return true;
        }
    }
    return false;
}

struct str http_request_body(struct http_request *request)
{
    return request->is_grpc ? request->message : buf_str(&request->body);
}

bool http_request_is_grpc(const struct http_request *request)
{
    return request->is_grpc;
}

struct str http_request_encoding(const struct http_request *request)
{
    if (request->is_grpc)
        return request->is_grpc_compressed ? http_request_header(request, STR("grpc-encoding"))
                                           : STR("");
    return http_request_header(request, STR("content-encoding"));
}

uint64_t http_request_length_hint(const struct http_request *request)
{
    return request->declared == LENGTH_UNKNOWN ? 0 : request->declared;
}

uint64_t http_request_deadline_ns(const struct http_request *request)
{
    return request->deadline_ns;
}

struct loop *http_request_loop(const struct http_request *request)
{
    return request->server->loop;
}

struct str http_request_peer(const struct http_request *request)
{
    return request->conn ? str_of(request->conn->peer) : STR("");
}

void http_request_take_body(struct http_request *request, struct buf *out, size_t *offset)
{
    *out = request->body;
    *offset = request->body_offset;
    request->body = (struct buf){0};
    request->message = STR("");
    gather_drop(request);
}

bool http_request_is_gone(const struct http_request *request)
{
    return request->is_gone;
}

void http_request_on_gone(struct http_request *request, http_handler_fn *on_gone, void *owner)
{
    request->on_gone = on_gone;
    request->on_gone_owner = owner;
}

/* --- the head --- */
static struct str lower_copy(struct arena *arena, struct str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] | 0x20 : s.ptr[i]);
    copy[s.len] = '\0';
    return str_n(copy, s.len);
}

void request_spoil_head(struct http_request *request, enum mg_err err)
{
    if (!request->head_err)
        request->head_err = err;
}

void request_add_header(struct http_request *request, struct str name, struct str value)
{
    request->header_bytes += name.len + value.len + (request->is_http2 ? HEADER_COST_BYTES : 0);
    if (request->headers.n >= HEADERS_MAX ||
        request->header_bytes > request->server->conf.header_bytes_max) {
        request_spoil_head(request, MG_E_HEADERS);
        return;
    }
    struct http_header header = {lower_copy(&request->arena, name),
                                 arena_str(&request->arena, str_trim(value))};
    VEC_PUSH(&request->headers, header);
}

bool request_set_target(struct http_request *request, struct str target)
{
    request->target = arena_str(&request->arena, target);
    struct str rest = request->target;
    if (!str_split_at(rest, '?', &request->path, &request->query)) {
        request->path = rest;
        request->query = STR("");
    }
    if (memchr(rest.ptr, '#', rest.len))
        return false; /* RFC 9112 3.2: a fragment is no part of a request target */
    if (str_eq(rest, STR("*")))
        return str_eq(request->method, STR("OPTIONS"));
    return rest.len > 0 && rest.ptr[0] == '/';
}

/* RFC 3986 3.2: host and port; no user information, which nobody may send in Host. */
bool request_is_valid_host(struct str host)
{
    static const char marks[] = "-._~!$&'()*+,;=:[]%";
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!is_alnum && (c == '\0' || !strchr(marks, c)))
            return false;
    }
    return true;
}

/* "application/grpc", "+proto", parameters; any case, as media types are. */
static bool is_grpc_type(struct str type)
{
    struct str base = STR("application/grpc");
    if (type.len < base.len || !str_eq_nocase(str_n(type.ptr, base.len), base))
        return false;
    struct str rest = str_n(type.ptr + base.len, type.len - base.len);
    struct str suffix = STR("+proto");
    if (rest.len >= suffix.len && str_eq_nocase(str_n(rest.ptr, suffix.len), suffix))
        rest = str_n(rest.ptr + suffix.len, rest.len - suffix.len);
    rest = str_trim(rest);
    return rest.len == 0 || rest.ptr[0] == ';';
}

static void answer_error(struct http_request *request, enum mg_err err, struct str message,
                         unsigned retry_after_s, struct str allow);
static void answer_grpc_refusal(struct http_request *request, int http_status, int grpc_status,
                                struct str message, const struct http_header *extra);
static void answer_simple(struct http_request *request, int status, const char *content_type,
                          struct str body, const struct http_header *headers, size_t n_headers);

static bool is_known_grpc_encoding(struct str encoding)
{
    struct str list = STR(GRPC_ENCODINGS), name;
    while (str_cut(&list, ',', &name)) {
        if (str_eq(name, encoding))
            return true;
    }
    return encoding.len == 0;
}

/* The rules of otlp.md 9 for a call; false: answered. */
static bool check_grpc_head(struct http_request *request)
{
    if (!str_eq(request->method, STR("POST"))) {
        struct http_header allow = {STR("allow"), STR("POST")};
        answer_grpc_refusal(request, mg_err_http(MG_E_METHOD), mg_err_grpc(MG_E_INTERNAL),
                            STR("gRPC calls are POST"), &allow);
        return false;
    }
    if (!request->is_grpc) {
        answer_grpc_refusal(request, mg_err_http(MG_E_MEDIA), mg_err_grpc(MG_E_MEDIA),
                            STR("gRPC needs HTTP/2 and content-type application/grpc"), NULL);
        return false;
    }
    if (!is_known_grpc_encoding(http_request_header(request, STR("grpc-encoding")))) {
        answer_error(request, MG_E_ENCODING, STR("the message encoding is not read here"), 0,
                     STR(""));
        return false;
    }
    struct str timeout = http_request_header(request, STR("grpc-timeout"));
    uint64_t ns;
    if (timeout.len == 0)
        return true;
    if (grpc_timeout_parse(timeout, &ns)) {
        answer_grpc_refusal(request, mg_err_http(MG_E_FORMAT), mg_err_grpc(MG_E_INTERNAL),
                            STR("malformed grpc-timeout"), NULL);
        return false;
    }
    if (ns == 0) {
        request_refuse(request, MG_E_TIMEOUT, "deadline", "the deadline had passed on arrival");
        return false;
    }
    request->deadline_ns = server_now(request->server) + ns;
    server_wake_at(request->server, request->deadline_ns);
    return true;
}

/* false: answered. */
static bool find_route(struct http_request *request)
{
    if (str_eq(request->path, STR("*"))) { /* OPTIONS * asks the server as a whole */
        struct http_header allow = {STR("allow"), STR("GET, HEAD, POST, OPTIONS")};
        answer_simple(request, 204, NULL, STR(""), &allow, 1);
        return false;
    }
    struct str allow = STR("");
    enum mg_err err =
        router_match(request->server->router, request->method, request->path, request->is_grpc,
                     &request->route, &request->params, &request->arena, &allow);
    if (err == MG_OK)
        return true;
    struct str message = str_of(mg_err_text(err));
    if (err == MG_E_ABSENT || err == MG_E_UNSUPPORTED)
        message = arena_printf(&request->arena, "nothing is served at %.*s",
                               (int)MG_MIN(request->path.len, (size_t)200), request->path.ptr);
    answer_error(request, err, message, 0, allow);
    return false;
}

/* false: answered. */
static bool check_expectation(struct http_request *request)
{
    struct str expect = http_request_header(request, STR("expect"));
    if (expect.len == 0 || request->is_http10) /* RFC 9110 10.1.1: ignored from HTTP/1.0 */
        return true;
    if (!str_eq_nocase(expect, STR("100-continue"))) {
        request_refuse(request, MG_E_EXPECT, "expectation",
                       "only 100-continue can be expected here");
        return false;
    }
    request->expects_continue = request->declared != 0;
    return true;
}

static void set_body_limit(struct http_request *request)
{
    uint64_t limit =
        request->route->body_max ? request->route->body_max : request->server->conf.body_bytes_max;
    limit = MG_MIN(limit, (uint64_t)SIZE_MAX / 8);
    request->body_limit = (size_t)limit + (request->is_grpc ? GRPC_PREFIX_BYTES : 0);
    buf_init(&request->body, request->body_limit);
}

/* After on_head and after a release: the body may come, or it is known to be too large. */
static void ask_for_body(struct http_request *request)
{
    if (request->is_answered || request->is_gone)
        return;
    if (request->declared != LENGTH_UNKNOWN && request->declared > request->body_limit) {
        request_refuse(request, MG_E_TOO_BIG, "body_bytes", "the body is larger than the limit");
        return;
    }
    if (request->is_held)
        return;
    request->step_ns = server_now(request->server);
    request->step_received = request->received;
    if (request->expects_continue) {
        request->expects_continue = false;
        protocol_of(request)->send_continue(request);
    }
}

/* A table of several modules' routes names the owner of each. */
static void *route_owner(const struct http_request *request)
{
    return request->route->owner ? request->route->owner : request->server->options.owner;
}

static void refuse_bad_head(struct http_request *request)
{
    static const struct {
        enum mg_err err;
        const char *reason, *message;
    } refusals[] = {
        {MG_E_HEADERS, "headers", "the headers are larger than the limit"},
        {MG_E_VERB, "malformed", "the method is not known here"},
        {MG_E_VERSION, "malformed", "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here"},
        {MG_E_FORMAT, "malformed", "malformed request head"},
    };
    for (size_t i = 0; i < MG_COUNT(refusals); i++) {
        if (refusals[i].err == request->head_err)
            request_refuse(request, refusals[i].err, refusals[i].reason, refusals[i].message);
    }
}

void request_head_complete(struct http_request *request)
{
    request->has_head = true;
    request->is_grpc =
        request->is_http2 && is_grpc_type(http_request_header(request, STR("content-type")));
    request->is_head = str_eq(request->method, STR("HEAD"));
    if (request->head_err) {
        refuse_bad_head(request);
        return;
    }
    if (!find_route(request))
        return;
    if (request->route->is_grpc && !check_grpc_head(request))
        return;
    if (!request->route->is_grpc)
        request->is_grpc = false; /* the handler says what it thinks of the type, as plain HTTP */
    if (!check_expectation(request))
        return;
    set_body_limit(request);
    if (request->route->on_head)
        request->route->on_head(route_owner(request), request);
    ask_for_body(request);
}

/* --- the body --- */
bool request_wants_body(const struct http_request *request)
{
    return !request->is_answered && !request->is_gone;
}

void request_body_data(struct http_request *request, struct str bytes)
{
    request->received += bytes.len;
    if (request->received - request->step_received >= BODY_STEP_BYTES) {
        request->step_received = request->received;
        request->step_ns = server_now(request->server);
    }
    if (!request_wants_body(request) || bytes.len == 0)
        return;
    if (bytes.len > request->body_limit - request->body.len) {
        request_refuse(request, MG_E_TOO_BIG, "body_bytes", "the body is larger than the limit");
        return;
    }
    pool_grow(&request->server->pool, &request->body, bytes.len, http_request_length_hint(request));
    buf_put(&request->body, bytes.ptr, bytes.len);
    gather_count(request);
}

void request_body_resumes(struct http_request *request)
{
    request->step_ns = server_now(request->server); /* while it waited, no time passed */
    request->step_received = request->received;
    protocol_of(request)->unheld(request);
}

/* false: answered. */
static bool unframe(struct http_request *request)
{
    enum mg_err err =
        grpc_unframe(buf_str(&request->body), &request->message, &request->is_grpc_compressed);
    if (err) {
        http_respond_grpc_error(request, mg_err_grpc(MG_E_INTERNAL),
                                STR("cardinality violation: exactly one message is expected"));
        return false;
    }
    request->body_offset = GRPC_PREFIX_BYTES;
    struct str encoding = http_request_header(request, STR("grpc-encoding"));
    if (request->is_grpc_compressed && (encoding.len == 0 || str_eq(encoding, STR("identity")))) {
        http_respond_grpc_error(request, mg_err_grpc(MG_E_INTERNAL),
                                STR("compressed message without grpc-encoding"));
        return false;
    }
    return true;
}

static void dispatch(struct http_request *request)
{
    if (request->deadline_ns && clock_mono_ns() >= request->deadline_ns) { /* not the round's time */
        request_refuse(request, MG_E_TIMEOUT, "deadline", "the deadline passed");
        return;
    }
    request->is_owed = true;
    if (request->is_grpc && !unframe(request))
        return;
    if (request->route->on_request)
        request->route->on_request(route_owner(request), request);
    else
        http_respond_error(request, MG_E_INTERNAL, STR(""), 0);
}

void request_body_complete(struct http_request *request)
{
    request->has_body = true;
    if (!request_wants_body(request))
        return;
    gather_whole(request);
    if (!request->is_held)
        dispatch(request);
}

void conn_run_ready(struct conn *conn)
{
    /* A handler may end any request of the list, so the search starts again after each. */
    while (conn->n_ready > 0) {
        struct http_request *request = NULL;
        LIST_EACH(&conn->requests, link)
        {
            request = MG_CONTAINER(link, struct http_request, link);
            if (request->is_ready)
                break;
        }
        assert(request && request->is_ready);
        request->is_ready = false;
        conn->n_ready--;
        ask_for_body(request);
        if (request->has_body && request_wants_body(request) && !request->is_held)
            dispatch(request);
    }
}

void http_request_hold(struct http_request *request)
{
    assert(!request->is_handler_done && !request->has_body);
    request->is_held = true;
    request->is_owed = true;
}

void http_request_release(struct http_request *request)
{
    assert(request->is_held && !request->is_handler_done);
    request->is_held = false;
    request->is_owed = false;
    if (request->is_finished || request->is_gone) {
        free_when_done(request);
        return;
    }
    if (!request->has_head)
        return;
    if (!request->has_body)
        gather_count(request);
    protocol_of(request)->unheld(request);
    if (!request->is_ready &&
        request->conn) { /* the rest follows at the end of the round: never from in here */
        request->is_ready = true;
        request->conn->n_ready++;
        conn_touch(request->conn);
    }
}

/* --- time --- */
void request_tick(struct http_request *request, uint64_t now_ns)
{
    if (request->is_answered || request->is_gone || !request->has_head)
        return;
    if (request->deadline_ns && now_ns >= request->deadline_ns) {
        request_refuse(request, MG_E_TIMEOUT, "deadline", "the deadline passed");
    } else if (list_linked(&request->wait_link)) {
        request->step_ns = now_ns; /* it is the server that does not read */
    } else if (!request->has_body && !request->is_held && now_ns > request->step_ns &&
               now_ns - request->step_ns >= request->server->conf.body_timeout_ns) {
        request_refuse(request, MG_E_SLOW, "slow", "the body came too slowly");
    }
}

/* --- answers --- */
static void begin(struct http_request *request, struct answer *answer, unsigned status_class)
{
    assert(!request->is_answered && request->conn);
    request->is_answered = true;
    request->is_bodiless =
        answer->is_bodiless || request->is_head || answer->status == 204 || answer->status == 304;
    answer->is_bodiless = request->is_bodiless;
    if (!request->has_body)
        drop_body(request);
    request->step_ns = server_now(request->server);
    http_count_request(request->server, status_class);
    protocol_of(request)->head(request, answer);
}

static void finish_out(struct http_request *request)
{
    request->is_out_ended = true;
    if (!request->is_owed) /* else the server answered, and the handler still reads the body */
        drop_body(request);
    protocol_of(request)->end(request);
}

static void put_body(struct http_request *request, struct str body)
{
    if (request->is_bodiless || body.len == 0)
        return;
    struct buf copy;
    buf_init(&copy, body.len);
    buf_put(&copy, body.ptr, body.len);
    protocol_of(request)->data(request, &copy);
}

static unsigned class_of(int http_status)
{
    return (unsigned)MG_MIN(MG_MAX(http_status / 100, 1), 5);
}

static void answer_simple(struct http_request *request, int status, const char *content_type,
                          struct str body, const struct http_header *headers, size_t n_headers)
{
    struct answer answer = {.status = status,
                            .content_type = content_type,
                            .headers = headers,
                            .n_headers = n_headers,
                            .length = body.len};
    begin(request, &answer, class_of(status));
    put_body(request, body);
    finish_out(request);
}

/* The class of the HTTP status that stands for a gRPC status. */
static unsigned grpc_class(int grpc_status)
{
    static const uint32_t callers_fault = 1u << 1 | 1u << 3 | 1u << 5 | 1u << 6 | 1u << 7 |
                                          1u << 8 | 1u << 9 | 1u << 11 | 1u << 12 | 1u << 16;
    if (grpc_status == 0)
        return 2;
    return grpc_status > 0 && grpc_status < 32 && (callers_fault >> grpc_status & 1) ? 4 : 5;
}

static struct str arena_buf(struct arena *arena, struct buf *buf)
{
    struct str copy = arena_str(arena, buf_str(buf));
    buf_fini(buf);
    return copy;
}

/* grpc-status and what goes with it; returns how many were written (at most 4). */
static size_t grpc_status_headers(struct http_request *request, int grpc_status, struct str message,
                                  unsigned retry_after_s, struct http_header *out)
{
    struct arena *arena = &request->arena;
    size_t n = 0;
    out[n++] = (struct http_header){STR("grpc-status"), arena_printf(arena, "%d", grpc_status)};
    if (message.len) {
        struct buf text;
        buf_init(&text, ERROR_BYTES_MAX);
        grpc_message_escape(&text, str_n(message.ptr, MG_MIN(message.len, (size_t)2048)));
        out[n++] = (struct http_header){STR("grpc-message"), arena_buf(arena, &text)};
    }
    if (retry_after_s) {
        struct buf details, retry;
        buf_init(&details, ERROR_BYTES_MAX);
        buf_init(&retry, ERROR_BYTES_MAX);
        status_details_bin(&details, grpc_status, message, retry_after_s);
        status_retryinfo_bin(&retry, retry_after_s);
        out[n++] = (struct http_header){STR("grpc-status-details-bin"), arena_buf(arena, &details)};
        out[n++] = (struct http_header){STR("google.rpc.retryinfo-bin"), arena_buf(arena, &retry)};
    }
    return n;
}

static void answer_grpc(struct http_request *request, int http_status, int grpc_status,
                        struct str message, unsigned retry_after_s, const struct http_header *extra)
{
    struct http_header headers[6];
    size_t n = grpc_status_headers(request, grpc_status, message, retry_after_s, headers);
    if (extra)
        headers[n++] = *extra;
    struct answer answer = {.status = http_status,
                            .content_type = "application/grpc",
                            .headers = headers,
                            .n_headers = n,
                            .is_bodiless = true};
    begin(request, &answer, http_status == 200 ? grpc_class(grpc_status) : class_of(http_status));
    finish_out(request);
}

static void answer_grpc_refusal(struct http_request *request, int http_status, int grpc_status,
                                struct str message, const struct http_header *extra)
{
    answer_grpc(request, http_status, grpc_status, message, 0, extra);
}

static bool wants_json(const struct http_request *request)
{
    /* The request's own encoding; where it had none that OTLP knows, people read JSON more easily.
     */
    struct str type = http_request_header(request, STR("content-type")), base, parameters;
    if (!str_split_at(type, ';', &base, &parameters))
        base = type;
    return !str_eq_nocase(str_trim(base), STR("application/x-protobuf"));
}

static void answer_http_error(struct http_request *request, enum mg_err err, struct str message,
                              unsigned retry_after_s, struct str allow)
{
    struct http_header headers[2];
    size_t n = 0;
    if (retry_after_s)
        headers[n++] = (struct http_header){STR("retry-after"),
                                            arena_printf(&request->arena, "%u", retry_after_s)};
    if (allow.len)
        headers[n++] = (struct http_header){STR("allow"), allow};
    struct buf body;
    buf_init(&body, ERROR_BYTES_MAX);
    const char *type = "text/plain; charset=utf-8";
    if (request->server->options.is_otlp) {
        bool as_json = wants_json(request);
        type = as_json ? "application/json" : "application/x-protobuf";
        status_body(&body, err, message, retry_after_s, as_json);
    } else {
        buf_put_str(&body, message);
        buf_put_char(&body, '\n');
    }
    answer_simple(request, mg_err_http(err), type, buf_str(&body), headers, n);
    buf_fini(&body);
}

static void answer_error(struct http_request *request, enum mg_err err, struct str message,
                         unsigned retry_after_s, struct str allow)
{
    if (message.len == 0)
        message = str_of(mg_err_text(err));
    message.len = MG_MIN(message.len, (size_t)4096);
    /* Never 0: SDKs take it as "at once". Never a hint where a retry is pointless. */
    retry_after_s = mg_err_may_retry(err) ? MG_MAX(retry_after_s, 1u) : 0;
    if (!request->is_grpc) {
        answer_http_error(request, err, message, retry_after_s, allow);
        return;
    }
    struct http_header accept = {STR("grpc-accept-encoding"), STR(GRPC_ENCODINGS)};
    answer_grpc(request, 200, mg_err_grpc(err), message, retry_after_s,
                err == MG_E_ENCODING ? &accept : NULL);
}

void request_refuse(struct http_request *request, enum mg_err err, const char *reason,
                    const char *message)
{
    if (request->is_answered || request->is_gone)
        return;
    http_count_refused(request->server, reason);
    if (err == MG_E_TOO_BIG || err == MG_E_SLOW || request->head_err || err == MG_E_HEADERS ||
        err == MG_E_FORMAT)
        request->is_keep_alive = false; /* HTTP/1: what follows is not to be trusted or read */
    answer_error(request, err, str_of(message), 0, STR(""));
    tell_gone(request);
}

/* The handler's one answer. false: nobody reads it; the request may be freed already. */
static bool take_turn(struct http_request *request)
{
    assert(!request->is_handler_done && "a request is answered exactly once");
    request->is_handler_done = true;
    request->is_owed = false;
    if (!request->is_gone) {
        if (request->is_held) {
            request->is_held = false;
            protocol_of(request)->unheld(request);
        }
        return true;
    }
    free_when_done(request);
    return false;
}

void http_respond(struct http_request *request, int status, const char *content_type,
                  struct str body)
{
    http_respond_with(request, status, content_type, body, NULL, 0);
}

void http_respond_with(struct http_request *request, int status, const char *content_type,
                       struct str body, const struct http_header *headers, size_t n_headers)
{
    assert(n_headers <= ANSWER_HEADERS_MAX);
    if (take_turn(request))
        answer_simple(request, status, content_type, body, headers, n_headers);
}

void http_respond_error(struct http_request *request, enum mg_err err, struct str message,
                        unsigned retry_after_s)
{
    assert(err != MG_OK);
    if (take_turn(request))
        answer_error(request, err, message, retry_after_s, STR(""));
}

void http_respond_grpc(struct http_request *request, struct str message)
{
    assert(request->is_grpc && message.len <= UINT32_MAX);
    if (!take_turn(request))
        return;
    struct http_header *trailers = ARENA_NEW(&request->arena, struct http_header);
    *trailers = (struct http_header){STR("grpc-status"), STR("0")};
    struct answer answer = {.status = 200,
                            .content_type = "application/grpc",
                            .length = LENGTH_UNKNOWN,
                            .trailers = trailers,
                            .n_trailers = 1};
    begin(request, &answer, 2);
    struct buf framed;
    buf_init(&framed, message.len + GRPC_PREFIX_BYTES);
    uint8_t prefix[GRPC_PREFIX_BYTES];
    grpc_prefix(prefix, false, (uint32_t)message.len);
    (void)!buf_reserve(&framed, message.len + sizeof prefix); /* its limit is exactly that */
    buf_put(&framed, prefix, sizeof prefix);
    buf_put(&framed, message.ptr, message.len);
    protocol_of(request)->data(request, &framed);
    finish_out(request);
}

void http_respond_grpc_error(struct http_request *request, int grpc_status, struct str message)
{
    assert(grpc_status != 0);
    if (!take_turn(request))
        return;
    if (request->is_grpc)
        answer_grpc(request, 200, grpc_status, message, 0, NULL);
    else
        answer_error(request, MG_E_INTERNAL, message, 0, STR(""));
}

/* --- streamed answers, for pipe.c --- */
void request_start_stream(struct http_request *request, int status, const char *content_type,
                          const struct http_header *headers, size_t n_headers)
{
    struct answer answer = {.status = status,
                            .content_type = content_type,
                            .headers = headers,
                            .n_headers = n_headers,
                            .length = LENGTH_UNKNOWN};
    begin(request, &answer, class_of(status));
}

void request_stream(struct http_request *request, struct buf *bytes)
{
    if (request->is_bodiless) {
        size_t len = bytes->len;
        buf_fini(bytes);
        if (request->on_sent)
            request->on_sent(request->pipe,
                             len); /* HEAD: sent, as far as the writer is concerned */
        return;
    }
    protocol_of(request)->data(request, bytes);
}

void request_end_stream(struct http_request *request, bool is_whole)
{
    if (is_whole)
        finish_out(request);
    else
        protocol_of(request)->cut(request);
}
