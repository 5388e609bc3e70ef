/* answer.c - the answers of both protocols: whole ones, errors in the form of the door and the
 * request, gRPC's trailers, and the steps of an answer that comes piece by piece.
 *
 * Every answer passes begin() once, which is why it is the place where compression and CORS add
 * their headers. The number of a gRPC status is known at the end only, so a call that streams is
 * counted there. */
#include <assert.h>
#include "base/map.h"
#include "http/conn.h"
#include "http/etag.h"
#include "http/grpc.h"
#include "http/status.h"

#define ANSWER_HEADERS_MAX 32
#define ERROR_BYTES_MAX    (64u * 1024)
#define STATUS_HEADERS_MAX 4 /* fields that say how a gRPC call ended */

static void count(struct http_request *request, unsigned status_class)
{
    request->is_counted = true;
    http_count_request(request->server, status_class);
}

static void begin(struct http_request *request, struct answer *answer, unsigned status_class)
{
    assert(!request->is_answered && request->conn);
    request->is_answered = true;
    compress_add(request, answer);
    cors_add(request, answer);
    request->is_bodiless =
        answer->is_bodiless || request->is_head || answer->status == 204 || answer->status == 304;
    answer->is_bodiless = request->is_bodiless;
    if (!request->has_body && !request->is_duplex) /* whose messages still come */
        request_drop_body(request);
    request->step_ns = server_now(request->server);
    if (!request->is_streaming)
        count(request, status_class);
    request_protocol(request)->head(request, answer);
}

static void finish_out(struct http_request *request)
{
    request->is_out_ended = true;
    if (!request->is_owed) /* else the server answered, and the handler still reads the body */
        request_drop_body(request);
    request_protocol(request)->end(request);
}

static void put_body(struct http_request *request, struct str body)
{
    if (request->is_bodiless || body.len == 0)
        return;
    struct buf copy;
    buf_init(&copy, body.len);
    buf_put(&copy, body.ptr, body.len);
    request_protocol(request)->data(request, &copy);
}

static unsigned class_of(int http_status)
{
    return (unsigned)MG_MIN(MG_MAX(http_status / 100, 1), 5);
}

/* The body as it leaves. */
static void answer_whole(struct http_request *request, struct answer *answer, struct str body)
{
    answer->length = body.len;
    begin(request, answer, class_of(answer->status));
    put_body(request, body);
    finish_out(request);
}

void request_answer(struct http_request *request, int status, const char *content_type,
                    struct str body, const struct http_header *headers, size_t n_headers)
{
    MG_AUTO(buf_fini) struct buf packed = {0};
    struct answer answer = {.status = status,
                            .content_type = content_type,
                            .headers = headers,
                            .n_headers = n_headers};
    request->is_packed = compress_body(request, status, content_type, body, &packed);
    answer_whole(request, &answer, request->is_packed ? buf_str(&packed) : body);
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

/* grpc-status and what goes with it; returns how many were written. */
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

void request_answer_grpc(struct http_request *request, int http_status, int grpc_status,
                         struct str message, unsigned retry_after_s,
                         const struct http_header *extra)
{
    struct http_header headers[STATUS_HEADERS_MAX + 1];
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
                              unsigned retry_after_s, const struct http_header *extra)
{
    struct http_header headers[2];
    size_t n = 0;
    if (retry_after_s)
        headers[n++] = (struct http_header){STR("retry-after"),
                                            arena_printf(&request->arena, "%u", retry_after_s)};
    if (extra)
        headers[n++] = *extra;
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
    request_answer(request, mg_err_http(err), type, buf_str(&body), headers, n);
    buf_fini(&body);
}

unsigned request_retry_s(const struct http_request *request)
{
    struct str peer = http_request_peer(request);
    return 1 + (unsigned)(hash_bytes(peer.ptr, peer.len, 0) % 3);
}

/* Never 0: SDKs take it as "at once". Never a hint where a retry is pointless. */
static unsigned retry_hint(const struct http_request *request, enum mg_err err,
                           unsigned retry_after_s)
{
    if (!mg_err_may_retry(err))
        return 0;
    return retry_after_s ? retry_after_s : request_retry_s(request);
}

static struct str text_or_default(enum mg_err err, struct str message)
{
    if (message.len == 0)
        message = str_of(mg_err_text(err));
    return str_n(message.ptr, MG_MIN(message.len, (size_t)4096));
}

void request_answer_error(struct http_request *request, enum mg_err err, struct str message,
                          unsigned retry_after_s, const struct http_header *extra)
{
    message = text_or_default(err, message);
    retry_after_s = retry_hint(request, err, retry_after_s);
    struct http_header accept = {STR("grpc-accept-encoding"), STR(GRPC_ENCODINGS)};
    if (request->is_grpc && err == MG_E_ENCODING && !extra)
        extra = &accept;
    if (request->is_grpc)
        request_answer_grpc(request, 200, mg_err_grpc(err), message, retry_after_s, extra);
    else
        answer_http_error(request, err, message, retry_after_s, extra);
}

bool request_take_turn(struct http_request *request)
{
    assert(!request->is_handler_done && "a request is answered exactly once");
    request->is_handler_done = true;
    request->is_owed = false;
    if (!request->is_gone) {
        if (request->is_held) {
            request_protocol(request)->unheld(request); /* still held: asks for no memory */
            request->is_held = false;
        }
        return true;
    }
    request_free_when_done(request);
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
    if (request_take_turn(request))
        request_answer(request, status, content_type, body, headers, n_headers);
}

void http_respond_file(struct http_request *request, const struct http_file *file,
                       const struct http_header *headers, size_t n_headers)
{
    struct http_header all[ANSWER_HEADERS_MAX];
    bool is_known = etag_is_known(http_request_header(request, STR("if-none-match")), file->etag);
    struct answer answer = {.status = is_known ? 304 : 200,
                            .content_type = is_known ? NULL : file->type,
                            .headers = all,
                            .n_headers = n_headers + 1};

    assert(n_headers < ANSWER_HEADERS_MAX);
    all[0] = (struct http_header){STR("etag"), file->etag};
    memcpy(all + 1, headers, n_headers * sizeof *headers);
    if (!request_take_turn(request))
        return;
    request->is_packed = !is_known && file->gzip.len && compress_is_wanted(request);
    answer_whole(request, &answer,
                 is_known ? STR("") : request->is_packed ? file->gzip : file->bytes);
}

void http_respond_error(struct http_request *request, enum mg_err err, struct str message,
                        unsigned retry_after_s)
{
    assert(err != MG_OK);
    if (request_take_turn(request))
        request_answer_error(request, err, message, retry_after_s, NULL);
}

void request_put_message(struct http_request *request, struct str message)
{
    struct buf framed;
    uint8_t prefix[GRPC_PREFIX_BYTES];
    buf_init(&framed, message.len + sizeof prefix);
    grpc_prefix(prefix, false, (uint32_t)message.len);
    (void)!buf_reserve(&framed, message.len + sizeof prefix); /* its limit is exactly that */
    buf_put(&framed, prefix, sizeof prefix);
    buf_put_str(&framed, message);
    request_protocol(request)->data(request, &framed);
}

void http_respond_grpc(struct http_request *request, struct str message)
{
    assert(request->is_grpc && message.len <= UINT32_MAX);
    if (!request_take_turn(request))
        return;
    struct http_header *trailers = ARENA_NEW(&request->arena, struct http_header);
    *trailers = (struct http_header){STR("grpc-status"), STR("0")};
    struct answer answer = {.status = 200,
                            .content_type = "application/grpc",
                            .length = LENGTH_UNKNOWN,
                            .trailers = trailers,
                            .n_trailers = 1};
    begin(request, &answer, 2);
    request_put_message(request, message);
    finish_out(request);
}

void http_respond_grpc_error(struct http_request *request, int grpc_status, struct str message)
{
    assert(grpc_status != 0);
    if (!request_take_turn(request))
        return;
    if (request->is_grpc)
        request_answer_grpc(request, 200, grpc_status, message, 0, NULL);
    else
        request_answer_error(request, MG_E_INTERNAL, message, 0, NULL);
}

/* --- streamed answers, for pipe.c and duplex.c --- */
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
    request_protocol(request)->data(request, bytes);
}

void request_end_stream(struct http_request *request, bool is_whole)
{
    if (is_whole)
        finish_out(request);
    else
        request_protocol(request)->cut(request);
}

void request_start_messages(struct http_request *request)
{
    struct answer answer = {
        .status = 200, .content_type = "application/grpc", .length = LENGTH_UNKNOWN};
    request->is_streaming = true;
    begin(request, &answer, 0);
}

void request_end_messages(struct http_request *request, int grpc_status, struct str message,
                          unsigned retry_after_s)
{
    struct http_header *trailers =
        arena_zero(&request->arena, STATUS_HEADERS_MAX * sizeof *trailers);
    request->n_trailers =
        grpc_status_headers(request, grpc_status, message, retry_after_s, trailers);
    request->trailers = trailers;
    count(request, grpc_class(grpc_status));
    finish_out(request);
}

void request_end_messages_error(struct http_request *request, enum mg_err err, struct str message)
{
    request_end_messages(request, mg_err_grpc(err), text_or_default(err, message),
                         retry_hint(request, err, 0));
}
