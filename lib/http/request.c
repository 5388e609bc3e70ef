/* request.c - what HTTP/1 and HTTP/2 share: the checks in their order, the body, the time.
 *
 * Who may free a request is the only subtle thing here. Two parties hold one: the wire (until
 * request_finish or request_gone) and the handler (is_owed: from on_request, or while it holds the
 * body, until it answers or releases). Whoever is last frees it. The server may answer before the
 * handler does (a deadline, a body that grows too large): the handler then sees a request that is
 * gone, exactly as if the peer had left, and its own answer is swallowed. */
#include "http/conn.h"
#include <assert.h>
#include "base/clock.h"
#include "http/field.h"
#include "http/grpc.h"

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

void request_drop_body(struct http_request *request)
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
    request_drop_body(request);
    out_fini(&request->out);
    recycle(request);
    if (server->drain.is_on)
        loop_defer(server->loop, &server->flush);
}

void request_free_when_done(struct http_request *request)
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
    request_free_when_done(request);
}

static void tell_gone(struct http_request *request)
{
    if (request->is_gone)
        return;
    request->is_gone = true;
    if (request->on_finished)
        request->on_finished(request->pipe); /* its writer may stop at once */
    if (!request->has_body)
        request_drop_body(request);
    if (request->on_gone && !request->is_handler_done)
        request->on_gone(request->on_gone_owner, request);
}

void request_gone(struct http_request *request)
{
    request->is_freeing_blocked = true; /* on_gone may answer or release */
    if (!request->is_counted)
        http_count_request(request->server, 0);
    tell_gone(request);
    request->is_freeing_blocked = false;
    if (request->is_finished)
        request_free_when_done(request);
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

struct str http_request_peer(const struct http_request *request)
{
    return request->conn ? str_of(request->conn->peer) : STR("");
}

void http_request_take_body(struct http_request *request, struct buf *out, size_t *offset)
{
    *out = request->body;
    *offset = request->body_offset;
    request->body = (struct buf){0};
    request->message = STR(""); /* its memory counts until the answer */
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
    struct http_header header = {http_field_name(&request->arena, name),
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

bool request_is_token(struct str s)
{
    return http_is_token(s);
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

static bool is_known_grpc_encoding(struct str encoding)
{
    struct str list = STR(GRPC_ENCODINGS), name;
    while (str_cut(&list, ',', &name)) {
        if (str_eq(name, encoding))
            return true;
    }
    return encoding.len == 0;
}

/* The rules of http.h for a call; false: answered. */
static bool check_grpc_head(struct http_request *request)
{
    if (!str_eq(request->method, STR("POST"))) {
        struct http_header allow = {STR("allow"), STR("POST")};
        request_answer_grpc(request, mg_err_http(MG_E_METHOD), mg_err_grpc(MG_E_INTERNAL),
                            STR("gRPC calls are POST"), 0, &allow);
        return false;
    }
    if (!request->is_grpc) {
        request_answer_grpc(request, mg_err_http(MG_E_MEDIA), mg_err_grpc(MG_E_MEDIA),
                            STR("gRPC needs HTTP/2 and content-type application/grpc"), 0, NULL);
        return false;
    }
    if (!is_known_grpc_encoding(http_request_header(request, STR("grpc-encoding")))) {
        request_answer_error(request, MG_E_ENCODING, STR("the message encoding is not read here"),
                             0, NULL);
        return false;
    }
    struct str timeout = http_request_header(request, STR("grpc-timeout"));
    uint64_t ns;
    if (timeout.len == 0)
        return true;
    if (grpc_timeout_parse(timeout, &ns)) {
        request_answer_grpc(request, mg_err_http(MG_E_FORMAT), mg_err_grpc(MG_E_INTERNAL),
                            STR("malformed grpc-timeout"), 0, NULL);
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
        request_answer(request, 204, NULL, STR(""), &allow, 1);
        return false;
    }
    struct str allow = STR("");
    enum mg_err err =
        router_match(request->server->router, request->method, request->path, request->is_grpc,
                     &request->route, &request->params, &request->arena, &allow);
    if (err == MG_OK)
        return true;
    if (err == MG_E_METHOD && !request->is_grpc && cors_preflight(request, allow))
        return false;
    struct str message = STR("");
    if (err == MG_E_METHOD)
        message = arena_printf(&request->arena, "%.*s is not allowed here, only %.*s",
                               (int)MG_MIN(request->method.len, (size_t)32), request->method.ptr,
                               STR_ARG(allow));
    if (err == MG_E_ABSENT || err == MG_E_UNSUPPORTED)
        message = arena_printf(&request->arena, "nothing is served at %.*s",
                               (int)MG_MIN(request->path.len, (size_t)200), request->path.ptr);
    struct http_header others = {STR("allow"), allow};
    request_answer_error(request, err, message, 0, allow.len ? &others : NULL);
    return false;
}

static struct str expectation(const struct http_request *request)
{
    /* RFC 9110 10.1.1: ignored from HTTP/1.0. */
    return request->is_http10 ? STR("") : http_request_header(request, STR("expect"));
}

/* Known before any answer: after a refusal the body may come or not, so the connection must end. */
static void note_expectation(struct http_request *request)
{
    request->expects_continue =
        request->declared != 0 && str_eq_nocase(expectation(request), STR("100-continue"));
}

/* false: answered. */
static bool check_expectation(struct http_request *request)
{
    struct str expect = expectation(request);
    if (expect.len == 0 || str_eq_nocase(expect, STR("100-continue")))
        return true;
    request_refuse(request, MG_E_EXPECT, "expectation", "only 100-continue can be expected here");
    return false;
}

static void set_body_limit(struct http_request *request)
{
    uint64_t limit =
        request->route->body_max ? request->route->body_max : request->server->conf.body_bytes_max;
    limit = MG_MIN(limit, (uint64_t)SIZE_MAX / 8);
    request->body_limit = (size_t)limit + (request->is_grpc ? GRPC_PREFIX_BYTES : 0);
    buf_init(&request->body, request->body_limit);
}

void request_send_continue(struct http_request *request)
{
    if (!request->expects_continue || request->has_body)
        return;
    request->expects_continue = false;
    request_protocol(request)->send_continue(request);
}

/* After on_head and after a release: the body may come, or it is known to be too large. */
static void ask_for_body(struct http_request *request)
{
    if (request->is_answered || request->is_gone)
        return;
    if (!request->is_duplex && request->declared != LENGTH_UNKNOWN &&
        request->declared > request->body_limit) {
        request_refuse(request, MG_E_TOO_BIG, "body_bytes", "the body is larger than the limit");
        return;
    }
    if (request->is_held)
        return;
    request->step_ns = server_now(request->server);
    request->step_received = request->received;
    if (request->expects_continue && !gather_may_read(request))
        gather_wait(request); /* RFC 9110 10.1.1: its end may be the final status as well */
    else
        request_send_continue(request);
}

/* A table of several modules' routes names the owner of each. */
void *request_owner(const struct http_request *request)
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
    note_expectation(request);
    cors_look(request);
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
    if (!cors_admits(request) || !auth_admits(request) || !check_expectation(request))
        return;
    request->is_duplex = request->route->on_message != NULL;
    set_body_limit(request);
    if (request->route->on_head)
        request->route->on_head(request_owner(request), request);
    ask_for_body(request);
}

/* --- the body --- */
bool request_is_open(const struct http_request *request)
{
    return !request->is_answered || (request->is_streaming && !request->is_out_ended);
}

bool request_wants_body(const struct http_request *request)
{
    return request_is_open(request) && !request->is_gone;
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
    if (request->is_duplex) {
        duplex_data(request, bytes);
        return;
    }
    if (bytes.len > request->body_limit - request->body.len) {
        request_refuse(request, MG_E_TOO_BIG, "body_bytes", "the body is larger than the limit");
        return;
    }
    pool_grow(&request->server->pool, &request->body, bytes.len, http_request_length_hint(request));
    buf_put(&request->body, bytes.ptr, bytes.len);
    gather_count(request);
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
    if (request->deadline_ns &&
        clock_mono_ns() >= request->deadline_ns) { /* not the round's time */
        request_refuse(request, MG_E_TIMEOUT, "deadline", "the deadline passed");
        return;
    }
    if (request->is_duplex && !duplex_is_whole(request))
        return;
    request->is_owed = true;
    if (request->is_grpc && !request->is_duplex && !unframe(request))
        return;
    if (request->route->on_request)
        request->route->on_request(request_owner(request), request);
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

void request_pause(struct http_request *request)
{
    if (!request->paused_ns)
        request->paused_ns = server_now(request->server);
}

void request_resume(struct http_request *request)
{
    if (request->paused_ns)
        request->waited_ns += server_now(request->server) - request->paused_ns;
    request->paused_ns = 0;
}

uint64_t http_request_waited_ns(const struct http_request *request)
{
    uint64_t now_ns = server_now(request->server);
    return request->waited_ns + (request->paused_ns ? now_ns - request->paused_ns : 0);
}

void http_request_hold(struct http_request *request)
{
    assert(!request->is_handler_done && !request->has_body && !request->is_duplex);
    request_pause(request);
    request->is_held = true;
    request->is_owed = true;
}

void http_request_release(struct http_request *request)
{
    assert(request->is_held && !request->is_handler_done);
    request_resume(request);
    request->is_held = false;
    request->is_owed = false;
    if (request->is_finished || request->is_gone) {
        request_free_when_done(request);
        return;
    }
    if (!request->has_head)
        return;
    request_protocol(request)->unheld(request);
    if (!request->is_ready &&
        request->conn) { /* the rest follows at the end of the round: never from in here */
        request->is_ready = true;
        request->conn->n_ready++;
        conn_touch(request->conn);
    }
}

/* --- time --- */
/* A call in both directions may rest between two messages, but not within one. */
static uint64_t patience(const struct http_request *request)
{
    const struct http_conf *conf = &request->server->conf;
    return request->is_duplex && request->body.len == 0 ? conf->idle_timeout_ns
                                                        : conf->body_timeout_ns;
}

void request_tick(struct http_request *request, uint64_t now_ns)
{
    if (!request_is_open(request) || request->is_gone || !request->has_head)
        return;
    if (request->deadline_ns && now_ns >= request->deadline_ns) {
        request_refuse(request, MG_E_TIMEOUT, "deadline", "the deadline passed");
        return;
    }
    gather_pace(request, now_ns);
    if (list_linked(&request->wait_link)) {
        request->step_ns = now_ns; /* it is the server that does not read */
    } else if (!request->has_body && !request->is_held && now_ns > request->step_ns &&
               now_ns - request->step_ns >= patience(request)) {
        request_refuse(request, MG_E_SLOW, "slow", "the body came too slowly");
    }
}

void request_refuse(struct http_request *request, enum mg_err err, const char *reason,
                    const char *message)
{
    request_refuse_with(request, err, reason, message, NULL);
}

void request_refuse_with(struct http_request *request, enum mg_err err, const char *reason,
                         const char *message, const struct http_header *extra)
{
    if (!request_is_open(request) || request->is_gone)
        return;
    http_count_refused(request->server, reason);
    if (err == MG_E_TOO_BIG || err == MG_E_SLOW || request->head_err || err == MG_E_HEADERS ||
        err == MG_E_FORMAT)
        request->is_keep_alive = false; /* HTTP/1: what follows is not to be trusted or read */
    if (request->is_answered)
        request_end_messages_error(request, err, str_of(message));
    else
        request_answer_error(request, err, str_of(message), 0, extra);
    tell_gone(request);
}
