/* h1.c - HTTP/1.1 over llhttp: bytes in, request_* calls out, answers in, bytes out.
 *
 * The head of a request is gathered whole before llhttp sees it. That costs a copy only when a head
 * comes in pieces, makes every span that llhttp reports complete, and lets one strict look at the
 * lines refuse what llhttp takes and proxies disagree about: bare LF, folded lines, NUL, names that
 * are no tokens. The body goes to llhttp as it comes.
 *
 * Parsing stops, and with it the reading of the socket, while a handler holds the body, while there
 * is no memory for it (gather.c), and while PIPELINE_MAX requests wait; what was read already is
 * kept in `input`. Answers leave in the order of the requests: only the first of conn.requests
 * writes, the others collect in their own `out`. */
#include <assert.h>
#include <llhttp.h>
#include <stdio.h>
#include "base/mem.h"
#include "http/conn.h"

/* Of an unread body, read so that the connection can go on. */
#define DISCARD_BYTES_MAX (256u * 1024)
/* Chunk sizes, extensions and trailers beyond 16 a body byte. */
#define FRAMING_BYTES_MAX (16u * 1024)
/* Smaller writes are gathered, larger ones keep their memory. */
#define COPY_BYTES_MAX 4096u

struct h1 {
    llhttp_t parser;
    struct buf input; /* read and not yet parsed: part of a head, or what waits behind a limit */
    size_t line_at; /* where the current line of the head begins, in input or in what was passed */
    size_t scanned; /* bytes of the head that hold no further line end */
    bool is_in_body;
    bool is_stopped; /* nothing more is parsed; what comes is thrown away */
    bool has_served; /* a request was answered: idle_timeout applies, not header_timeout */
    bool is_at_body; /* the head was parsed, llhttp was not asked yet whether a body follows */
    uint64_t framing_bytes, body_bytes, thrown_bytes; /* of the current message */
    struct http_request *current; /* its body is being read; NULL: it was answered and has gone */
    struct conn *conn;
    struct str name; /* header field being reported */
    unsigned n_hosts, n_transfer_codings;
    bool is_chunked;
};

/* --- llhttp's callbacks --- */
static struct str extend(struct str so_far, const char *at, size_t len)
{
    bool is_next = so_far.len && so_far.ptr + so_far.len == at;
    return is_next ? str_n(so_far.ptr, so_far.len + len) : str_n(at, len);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct h1 *h1 = parser->data;
    struct http_request *request = h1->current;
    request->target = extend(request->target, at, len); /* resolved in check_head */
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct h1 *h1 = parser->data;
    if (!h1->is_in_body) /* trailers are read and forgotten */
        h1->name = extend(h1->name, at, len);
    return 0;
}

static void take_header(struct h1 *h1, struct str name, struct str value)
{
    struct http_request *request = h1->current;
    if (!request_is_token(name))
        request_spoil_head(request, MG_E_FORMAT);
    if (str_eq_nocase(name, STR("host"))) {
        h1->n_hosts++;
        if (!request_is_valid_host(str_trim(value)))
            request_spoil_head(request, MG_E_FORMAT);
    } else if (str_eq_nocase(name, STR("transfer-encoding"))) {
        /* Only chunked is understood, and once: anything else is how requests are smuggled. */
        h1->n_transfer_codings++;
        h1->is_chunked = true;
        if (h1->n_transfer_codings > 1 || !str_eq_nocase(str_trim(value), STR("chunked")))
            request_spoil_head(request, MG_E_FORMAT);
    }
    request_add_header(request, name, value);
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct h1 *h1 = parser->data;
    if (h1->is_in_body)
        return 0;
    take_header(h1, h1->name, str_n(at, len));
    h1->name = STR("");
    return 0;
}

static int on_head_end(llhttp_t *parser)
{
    parser->upgrade = 0; /* Upgrade is an offer that may be ignored (RFC 9110 7.8), and always is */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct h1 *h1 = parser->data;
    h1->body_bytes += len;
    if (h1->current && request_wants_body(h1->current)) {
        request_body_data(h1->current, str_n(at, len));
    } else {
        h1->thrown_bytes += len;
        if (h1->current)
            request_body_data(h1->current, str_n(at, len)); /* counts, for the timeout */
    }
    return 0;
}

static int on_message_end(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_message_end,
};

void h1_start(struct conn *conn)
{
    struct h1 *h1 = MEM_NEW(struct h1);
    h1->conn = conn;
    buf_init(&h1->input, SIZE_MAX); /* bounded by the head's limit and one read of the transport */
    conn->h1 = h1;
    conn->wait_ns = server_now(conn->server);
}

void h1_free(struct h1 **h1_at)
{
    struct h1 *h1 = MG_STEAL(*h1_at);
    if (!h1)
        return;
    buf_fini(&h1->input);
    mem_free(h1);
}

/* --- the head --- */
enum scan { SCAN_MORE, SCAN_DONE, SCAN_BAD };

/* Looks for the empty line. Strict: lines end in CR LF, no CR or NUL elsewhere, none begins with a
 * blank. */
static enum scan scan_head(struct h1 *h1, struct str bytes, size_t *head_len)
{
    for (;;) {
        const char *lf = memchr(bytes.ptr + h1->scanned, '\n', bytes.len - h1->scanned);
        if (!lf) {
            h1->scanned = bytes.len;
            return SCAN_MORE;
        }
        struct str line = str_n(bytes.ptr + h1->line_at, (size_t)(lf - bytes.ptr) - h1->line_at);
        h1->scanned = h1->line_at = (size_t)(lf - bytes.ptr) + 1;
        if (line.len == 0 || line.ptr[line.len - 1] != '\r')
            return SCAN_BAD;
        line.len--;
        if (line.len == 0) {
            *head_len = h1->line_at;
            return SCAN_DONE;
        }
        if (line.ptr[0] == ' ' || line.ptr[0] == '\t' || memchr(line.ptr, '\r', line.len) ||
            memchr(line.ptr, '\0', line.len))
            return SCAN_BAD;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "METHOD target HTTP/1.x" with single spaces; llhttp would take several. */
static enum mg_err check_request_line(struct str head)
{
    struct str line, method, target;
    if (!str_cut(&head, '\r', &line) || !str_cut(&line, ' ', &method) ||
        !str_cut(&line, ' ', &target) || !request_is_token(method) || target.len == 0)
        return MG_E_FORMAT;
    if (line.len != strlen("HTTP/1.1") || !str_starts(line, STR("HTTP/")) ||
        !is_digit(line.ptr[5]) || line.ptr[6] != '.' || !is_digit(line.ptr[7]))
        return MG_E_FORMAT;
    if (str_eq(line, STR("HTTP/1.1")) || str_eq(line, STR("HTTP/1.0")))
        return MG_OK;
    /* HTTP/2's preface is no request; broken, it came here. */
    return str_eq(method, STR("PRI")) ? MG_E_FORMAT : MG_E_VERSION;
}

/* "http://host:port/path" → "/path" (RFC 9112 3.2.2: a server must take it). */
static struct str origin_form(struct str target, bool *is_bad)
{
    static const struct str schemes[] = {STR_INIT("http://"), STR_INIT("https://")};
    for (size_t i = 0; i < MG_COUNT(schemes); i++) {
        if (target.len < schemes[i].len ||
            !str_eq_nocase(str_n(target.ptr, schemes[i].len), schemes[i]))
            continue;
        struct str rest = str_n(target.ptr + schemes[i].len, target.len - schemes[i].len);
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
            end++;
        *is_bad = end == 0 || !request_is_valid_host(str_n(rest.ptr, end));
        if (end == rest.len)
            return STR("/");
        if (rest.ptr[end] == '?') /* no path: the root, with the query */
            *is_bad = true;
        return str_n(rest.ptr + end, rest.len - end);
    }
    return target;
}

static void check_head(struct h1 *h1)
{
    struct http_request *request = h1->current;
    const llhttp_t *parser = &h1->parser;
    request->is_http10 = parser->http_minor == 0;
    request->method = str_of(llhttp_method_name(parser->method));
    bool is_bad_target = false;
    struct str target = origin_form(request->target, &is_bad_target);
    bool has_length = parser->flags & F_CONTENT_LENGTH;
    if (is_bad_target || !request_set_target(request, target) || h1->n_hosts > 1 ||
        (h1->n_hosts == 0 && !request->is_http10) ||
        (h1->is_chunked && (has_length || request->is_http10)))
        request_spoil_head(request, MG_E_FORMAT);
    request->is_keep_alive = !request->head_err && llhttp_should_keep_alive(parser);
    request->declared = has_length       ? MG_MIN(parser->content_length, LENGTH_UNKNOWN - 1)
                        : h1->is_chunked ? LENGTH_UNKNOWN
                                         : 0;
}

static void stop(struct h1 *h1)
{
    h1->is_stopped = true;
    h1->is_in_body = h1->is_at_body = false;
    h1->current = NULL;
    buf_shrink(&h1->input, 0);
    h1->line_at = h1->scanned = 0;
}

static void begin_request(struct h1 *h1)
{
    llhttp_init(&h1->parser, HTTP_REQUEST, &settings);
    h1->parser.data = h1;
    h1->current = request_new(h1->conn);
    h1->name = STR("");
    h1->n_hosts = h1->n_transfer_codings = 0;
    h1->is_chunked = false;
    h1->framing_bytes = h1->body_bytes = h1->thrown_bytes = 0;
}

/* A request that is none: answered in its turn, and the last of this connection. */
static void refuse_head(struct h1 *h1, enum mg_err err, const char *reason, const char *message)
{
    begin_request(h1);
    struct http_request *request = h1->current;
    request->has_head = request->has_body = true;
    request_refuse(request, err, reason, message);
    stop(h1);
}

static enum mg_err run_parser(struct h1 *h1, struct str head)
{
    MG_TRY(check_request_line(head));
    llhttp_errno_t result = llhttp_execute(&h1->parser, head.ptr, head.len);
    if (result == HPE_INVALID_METHOD) /* a token, as was just seen: RFC 9110 9.1 */
        return MG_E_VERB;
    if (result != HPE_PAUSED || llhttp_get_error_pos(&h1->parser) != head.ptr + head.len)
        return MG_E_FORMAT;
    llhttp_resume(&h1->parser);
    return MG_OK;
}

static void parse_head(struct h1 *h1, struct str head)
{
    begin_request(h1);
    struct http_request *request = h1->current;
    enum mg_err err = run_parser(h1, head);
    if (err)
        request_spoil_head(request, err);
    check_head(h1);
    request->target = STR(""); /* pointed into the input */
    h1->is_in_body = h1->is_at_body = true;
    request_head_complete(request);
    if (request->head_err)
        stop(h1);
}

static void skip_blank_lines(struct str *bytes)
{
    /* RFC 9112 2.2: at least one empty line before a request is ignored. */
    while (bytes->len >= 2 && bytes->ptr[0] == '\r' && bytes->ptr[1] == '\n')
        *bytes = str_n(bytes->ptr + 2, bytes->len - 2);
}

/* false: the rest needs more bytes. */
static bool read_head(struct h1 *h1, struct str *bytes)
{
    if (h1->scanned == 0)
        skip_blank_lines(bytes);
    if (bytes->len == 0 || (bytes->len == 1 && bytes->ptr[0] == '\r'))
        return false;
    size_t head_len = 0, limit = h1->conn->server->conf.header_bytes_max;
    enum scan scan = scan_head(h1, *bytes, &head_len);
    if (scan == SCAN_BAD) {
        refuse_head(h1, MG_E_FORMAT, "malformed", "malformed request head");
    } else if ((scan == SCAN_DONE && head_len > limit) ||
               (scan == SCAN_MORE && bytes->len > limit)) {
        refuse_head(h1, MG_E_HEADERS, "headers", "the headers are larger than the limit");
    } else if (scan == SCAN_DONE) {
        h1->line_at = h1->scanned = 0;
        parse_head(h1, str_n(bytes->ptr, head_len));
        *bytes = str_n(bytes->ptr + head_len, bytes->len - head_len);
        return true;
    }
    return false;
}

/* --- the body --- */
static void end_message(struct h1 *h1)
{
    struct http_request *request = h1->current;
    h1->is_in_body = false;
    h1->current = NULL;
    h1->conn->wait_ns = server_now(h1->conn->server);
    if (!request)
        return;
    bool is_last = !request->is_keep_alive;
    request_body_complete(request);
    if (is_last)
        stop(h1);
}

/* The framing is broken, or costs more than it carries: nothing after it can be trusted. */
static void fail_body(struct h1 *h1)
{
    if (h1->current) {
        h1->current->is_keep_alive = false;
        request_refuse(h1->current, MG_E_FORMAT, "malformed", "malformed chunked body");
    }
    stop(h1);
}

static void read_body(struct h1 *h1, struct str *bytes)
{
    uint64_t body_before = h1->body_bytes;
    h1->is_at_body = false;
    llhttp_errno_t result = llhttp_execute(&h1->parser, bytes->ptr, bytes->len);
    size_t used = bytes->len;
    if (result == HPE_PAUSED) {
        used = (size_t)(llhttp_get_error_pos(&h1->parser) - bytes->ptr);
        llhttp_resume(&h1->parser);
    }
    h1->framing_bytes += used - (size_t)(h1->body_bytes - body_before);
    *bytes = str_n(bytes->ptr + used, bytes->len - used);
    if ((result != HPE_OK && result != HPE_PAUSED) ||
        h1->framing_bytes > FRAMING_BYTES_MAX + 16 * h1->body_bytes) {
        fail_body(h1);
    } else if (result == HPE_PAUSED) {
        end_message(h1);
    } else if (h1->thrown_bytes > DISCARD_BYTES_MAX ||
               (h1->current && h1->current->is_answered && !h1->current->is_keep_alive)) {
        stop(h1); /* the answer is on its way; then the connection ends */
    }
}

/* --- reading --- */
/* The memory of all bodies is used up. */
static bool must_wait(const struct h1 *h1)
{
    const struct http_request *request = h1->current;
    return h1->is_in_body && request && request->declared != 0 && request_wants_body(request) &&
           !gather_may_read(request);
}

static bool is_blocked(const struct h1 *h1)
{
    if (h1->is_in_body)
        return must_wait(h1) ||
               (h1->current && h1->current->is_held && request_wants_body(h1->current));
    return h1->conn->n_requests >= PIPELINE_MAX;
}

/* Parses as far as the limits allow; returns what is left. */
static struct str parse(struct h1 *h1, struct str bytes)
{
    while (!h1->is_stopped && !is_blocked(h1) && h1->conn->phase == CONN_H1) {
        if (h1->is_in_body) {
            size_t before = bytes.len;
            read_body(h1, &bytes);
            if (h1->is_in_body && bytes.len == before)
                break;
        } else if (!read_head(h1, &bytes)) {
            break;
        }
    }
    return h1->is_stopped ? STR("") : bytes;
}

static void keep_input(struct h1 *h1, struct str rest)
{
    struct buf *input = &h1->input;
    if (rest.len == 0) {
        buf_shrink(input, 0); /* an idle connection keeps no memory */
    } else if (input->len && rest.ptr >= input->ptr && rest.ptr <= input->ptr + input->len) {
        memmove(input->ptr, rest.ptr, rest.len);
        input->len = rest.len;
    } else {
        buf_clear(input);
        buf_put(input, rest.ptr, rest.len);
    }
}

static void update_reading(struct h1 *h1)
{
    struct conn *conn = h1->conn;
    if (must_wait(h1) && !h1->current->is_held)
        gather_wait(h1->current);
    if (conn->phase != CONN_H1)
        return;
    conn_read_most(conn, h1->is_in_body ? READ_BYTES : HEAD_READ_BYTES);
    conn_set_reading(conn, conn_has_room(conn) && (h1->is_stopped || !is_blocked(h1)));
}

void h1_on_data(struct conn *conn, struct str bytes)
{
    struct h1 *h1 = conn->h1;
    if (h1->is_stopped)
        return;
    if (h1->input.len == 0) {
        keep_input(h1, parse(h1, bytes));
        if (!h1->is_in_body && h1->input.len)
            conn->wait_ns = server_now(conn->server); /* a head began */
    } else {
        buf_put(&h1->input, bytes.ptr, bytes.len);
        keep_input(h1, parse(h1, buf_str(&h1->input)));
    }
    update_reading(h1);
    conn_touch(conn);
}

void h1_on_end(struct conn *conn)
{
    stop(conn->h1);
    conn_touch(conn); /* closes when nothing is left to answer */
}

void h1_refuse(struct conn *conn, const char *message)
{
    refuse_head(conn->h1, MG_E_FORMAT, "malformed", message);
    conn_touch(conn);
}

/* --- answers --- */
static const char *reason_phrase(int status)
{
    /* clang-format off */
    static const struct { int status; const char *phrase; } phrases[] = {
        { 200, "OK" }, { 202, "Accepted" }, { 204, "No Content" },
        { 301, "Moved Permanently" }, { 302, "Found" }, { 304, "Not Modified" },
        { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
        { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" },
        { 413, "Content Too Large" }, { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" }, { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
        { 501, "Not Implemented" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(phrases); i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Status";
}

static void put(struct http_request *request, struct str s)
{
    out_put(&request->out, s.ptr, s.len, false);
}

static void put_header(struct http_request *request, struct str name, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0')
            return; /* a value that would end the header section is not sent at all */
    }
    put(request, name);
    put(request, STR(": "));
    put(request, value);
    put(request, STR("\r\n"));
}

/* An unread body that is too long to be read and thrown away costs the connection. */
static bool must_close(const struct h1 *h1, const struct http_request *request)
{
    const struct conn *conn = h1->conn;
    bool is_last = conn->requests.prev == &request->link;
    if (!request->is_keep_alive || ((conn->is_draining || conn->has_ended) && is_last))
        return true;
    if (request->has_body || h1->current != request)
        return false;
    return request->expects_continue || (request->declared != LENGTH_UNKNOWN &&
                                         request->declared - request->received > DISCARD_BYTES_MAX);
}

static void put_framing(struct http_request *request, const struct answer *answer)
{
    char number[24];
    if (answer->length != LENGTH_UNKNOWN && answer->status != 204 && answer->status != 304) {
        int len = snprintf(number, sizeof number, "%llu", (unsigned long long)answer->length);
        put_header(request, STR("Content-Length"), str_n(number, (size_t)len));
    } else if (answer->length == LENGTH_UNKNOWN && !request->is_http10 && answer->status != 204 &&
               answer->status != 304) {
        put_header(request, STR("Transfer-Encoding"), STR("chunked"));
        request->is_chunked_out = !answer->is_bodiless;
    }
}

static void h1_head(struct http_request *request, const struct answer *answer)
{
    struct h1 *h1 = request->conn->h1;
    char line[64];
    int len = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", answer->status,
                       reason_phrase(answer->status));
    put(request, str_n(line, (size_t)len));
    if (request->server->options.server_name)
        put_header(request, STR("Server"), str_of(request->server->options.server_name));
    if (answer->content_type)
        put_header(request, STR("Content-Type"), str_of(answer->content_type));
    for (size_t i = 0; i < answer->n_headers; i++)
        put_header(request, answer->headers[i].name, answer->headers[i].value);
    put_framing(request, answer);
    /* An answer without a length to an HTTP/1.0 client ends with the connection. */
    if (must_close(h1, request) || (request->is_http10 && answer->length == LENGTH_UNKNOWN)) {
        request->is_keep_alive = false;
        put_header(request, STR("Connection"), STR("close"));
    } else if (request->is_http10) {
        put_header(request, STR("Connection"), STR("keep-alive"));
    }
    put(request, STR("\r\n"));
    conn_touch(request->conn);
}

static void h1_data(struct http_request *request, struct buf *bytes)
{
    bool is_payload = request->on_sent != NULL;
    if (request->is_chunked_out && bytes->len) {
        char size[24];
        int len = snprintf(size, sizeof size, "%zx\r\n", bytes->len);
        put(request, str_n(size, (size_t)len));
    }
    bool has_bytes = bytes->len > 0;
    if (bytes->len <= COPY_BYTES_MAX) {
        out_put(&request->out, bytes->ptr, bytes->len, is_payload);
        buf_fini(bytes);
    } else {
        out_take(&request->out, bytes, is_payload);
    }
    if (request->is_chunked_out && has_bytes)
        put(request, STR("\r\n"));
    conn_touch(request->conn);
}

static void h1_end(struct http_request *request)
{
    if (request->is_chunked_out)
        put(request, STR("0\r\n\r\n"));
    conn_touch(request->conn);
}

static void h1_cut(struct http_request *request)
{
    conn_close(
        request->conn); /* without the last chunk or the promised length the peer sees the break */
}

static void h1_send_continue(struct http_request *request)
{
    put(request, STR("HTTP/1.1 100 Continue\r\n\r\n")); /* in its turn, like the answer */
    conn_touch(request->conn);
}

static void h1_unheld(struct http_request *request)
{
    conn_touch(request->conn);
}

static void h1_abandon(struct http_request *request)
{
    stop(request->conn->h1);
}

const struct protocol h1_protocol = {
    .send_continue = h1_send_continue,
    .head = h1_head,
    .data = h1_data,
    .end = h1_end,
    .cut = h1_cut,
    .unheld = h1_unheld,
    .abandon = h1_abandon,
};

/* --- writing --- */
static void write_scratch(struct conn *conn)
{
    struct buf *scratch = &conn->server->scratch;
    if (scratch->len)
        conn_write(conn, scratch->ptr, scratch->len);
    buf_clear(scratch);
}

static void tell_sent(struct http_request *request, size_t payload)
{
    request->step_ns = server_now(request->server);
    if (payload && request->on_sent)
        request->on_sent(request->pipe, payload);
}

static void pump(struct conn *conn, struct http_request *request)
{
    struct buf *scratch = &conn->server->scratch;
    while (request->out.bytes && conn_has_room(conn) && conn->phase == CONN_H1) {
        struct str front = out_front(&request->out);
        struct buf whole;
        size_t payload;
        if (front.len > COPY_BYTES_MAX && out_move_front(&request->out, &whole, &payload)) {
            write_scratch(conn);
            conn_write_buf(conn, &whole);
        } else {
            if (scratch->len >= OUT_SCRATCH_BYTES)
                write_scratch(conn);
            size_t n = MG_MIN(front.len, OUT_SCRATCH_BYTES - scratch->len);
            buf_put(scratch, front.ptr, n);
            payload = out_consume(&request->out, n);
        }
        tell_sent(request, payload);
    }
}

/* Writes answers in their order; true: the connection goes on. */
static bool write_answers(struct conn *conn)
{
    struct h1 *h1 = conn->h1;
    struct http_request *request;
    while ((request = LIST_FIRST(&conn->requests, struct http_request, link)) != NULL) {
        pump(conn, request);
        if (!request->is_out_ended || request->out.bytes)
            break;
        bool is_last = !request->is_keep_alive;
        if (h1->current == request)
            h1->current = NULL; /* the rest of its body is thrown away */
        h1->has_served = true;
        conn->wait_ns = server_now(conn->server);
        request_finish(request);
        if (is_last) {
            write_scratch(conn);
            conn_finish(conn);
            return false;
        }
    }
    write_scratch(conn);
    return conn->phase == CONN_H1;
}

void h1_flush(struct conn *conn)
{
    struct h1 *h1 = conn->h1;
    size_t before;
    bool has_work;
    do {
        conn_run_ready(conn);
        if (!write_answers(conn))
            return;
        before = h1->input.len;
        has_work = (before || h1->is_at_body) && !is_blocked(h1) && !h1->is_stopped;
        if (has_work)
            keep_input(h1, parse(h1, buf_str(&h1->input)));
    } while (has_work ? before == 0 || h1->input.len != before : conn->n_ready > 0);
    bool is_over = h1->is_stopped || conn->has_ended ||
                   (conn->is_draining && !h1->is_in_body && h1->input.len == 0);
    if (is_over && list_empty(&conn->requests))
        conn_finish(conn);
    else
        update_reading(h1);
}

void h1_drain(struct conn *conn)
{
    conn_touch(conn); /* an idle one ends in the flush, the others with their last answer */
}

/* --- time --- */
void h1_tick(struct conn *conn, uint64_t now_ns)
{
    struct h1 *h1 = conn->h1;
    const struct http_conf *conf = &conn->server->conf;
    uint64_t waited = now_ns > conn->wait_ns ? now_ns - conn->wait_ns : 0;
    if (h1->current) {
        request_tick(h1->current, now_ns);
    } else if (h1->is_in_body) {
        if (waited >= conf->body_timeout_ns)
            conn_finish(conn); /* answered long ago, and still no end of the body */
    } else if (h1->input.len > 0 && !is_blocked(h1)) {
        if (waited >= conf->header_timeout_ns)
            refuse_head(h1, MG_E_SLOW, "slow", "the headers came too slowly");
    } else if (list_empty(&conn->requests)) {
        if (waited >= (h1->has_served ? conf->idle_timeout_ns : conf->header_timeout_ns))
            conn_finish(conn); /* nothing was asked: nothing is answered */
    }
    if (conn->phase == CONN_H1)
        conn_touch(conn);
}
