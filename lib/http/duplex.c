/* duplex.c - gRPC calls whose client streams: each message is handed to route.on_message as soon as
 * it is whole, wherever DATA frames cut it.
 *
 * A message that lies whole in one piece is handed on where it is. Of one that is cut, the parts
 * are gathered in the request's body, which is empty between two messages: it is counted with the
 * other bodies (gather.c) only while it holds something. The buffer leaves the request before the
 * handler sees it, so that the handler may end the call without pulling the message from under
 * itself.
 *
 * A handler is owed an end from its first message on, or from on_request. */
#include <assert.h>
#include "base/bytes.h"
#include "http/conn.h"
#include "http/grpc.h"

static void refuse_compressed(struct http_request *request)
{
    struct str encoding = http_request_header(request, STR("grpc-encoding"));
    struct http_header accept = {STR("grpc-accept-encoding"), STR("identity")};
    if (encoding.len == 0 || str_eq(encoding, STR("identity")))
        request_refuse(request, MG_E_INTERNAL, "malformed",
                       "compressed message without grpc-encoding");
    else
        request_refuse_with(request, MG_E_ENCODING, "malformed",
                            "messages of this call must not be compressed", &accept);
}

/* false: answered. */
static bool check_prefix(struct http_request *request, const char *prefix)
{
    if (prefix[0] == 1)
        refuse_compressed(request);
    else if (prefix[0] != 0)
        request_refuse(request, MG_E_INTERNAL, "malformed", "malformed message prefix");
    else if (get_be32(prefix + 1) > request->body_limit - GRPC_PREFIX_BYTES)
        request_refuse(request, MG_E_TOO_BIG, "body_bytes", "a message is larger than the limit");
    return request_wants_body(request);
}

static void deliver(struct http_request *request, struct str message)
{
    request->is_owed = true;
    request->step_ns = server_now(request->server);
    request->route->on_message(request_owner(request), request, message);
}

/* Hands on a message that lies whole at the front of *bytes; false: it does not. */
static bool take_whole(struct http_request *request, struct str *bytes)
{
    if (request->body.len || bytes->len < GRPC_PREFIX_BYTES)
        return false;
    size_t len = get_be32(bytes->ptr + 1);
    if (bytes->len - GRPC_PREFIX_BYTES < len)
        return false;
    struct str message = str_n(bytes->ptr + GRPC_PREFIX_BYTES, len);
    const char *prefix = bytes->ptr;
    *bytes = str_n(message.ptr + len, bytes->len - GRPC_PREFIX_BYTES - len);
    if (check_prefix(request, prefix))
        deliver(request, message);
    return true;
}

/* Length of what is being gathered: the prefix, then the message with it. */
static size_t wanted(const struct http_request *request)
{
    const struct buf *body = &request->body;
    if (body->len < GRPC_PREFIX_BYTES)
        return GRPC_PREFIX_BYTES;
    return GRPC_PREFIX_BYTES + (size_t)get_be32(body->ptr + 1);
}

static void deliver_gathered(struct http_request *request)
{
    struct buf whole = request->body;
    buf_init(&request->body, request->body_limit);
    gather_taken(request);
    deliver(request, str_n(whole.ptr + GRPC_PREFIX_BYTES, whole.len - GRPC_PREFIX_BYTES));
    pool_give(&request->server->pool, &whole);
}

static void gather_part(struct http_request *request, struct str *bytes)
{
    struct buf *body = &request->body;
    size_t want = wanted(request), n = MG_MIN(want - body->len, bytes->len);
    if (body->len == 0) {
        request->step_ns = server_now(request->server); /* the time for its next KiB begins */
        request->step_received = request->received;
    }
    pool_grow(&request->server->pool, body, n, want);
    buf_put(body, bytes->ptr, n);
    gather_count(request);
    *bytes = str_n(bytes->ptr + n, bytes->len - n);
    if (body->len == GRPC_PREFIX_BYTES && !check_prefix(request, body->ptr))
        return;
    if (body->len >= GRPC_PREFIX_BYTES && body->len == wanted(request))
        deliver_gathered(request);
}

void duplex_data(struct http_request *request, struct str bytes)
{
    while (bytes.len && request_wants_body(request)) {
        if (!take_whole(request, &bytes))
            gather_part(request, &bytes);
    }
}

bool duplex_is_whole(struct http_request *request)
{
    if (request->body.len == 0)
        return true;
    request_refuse(request, MG_E_INTERNAL, "malformed", "the last message is cut");
    return false;
}

bool duplex_is_behind(const struct http_request *request)
{
    return request->is_duplex && request->out.bytes >= OUT_HIGH_BYTES;
}

void http_stream_message(struct http_request *request, struct str message)
{
    assert(request->is_duplex && !request->is_handler_done && message.len <= UINT32_MAX);
    if (request->is_gone)
        return;
    if (!request->is_answered)
        request_start_messages(request);
    request_put_message(request, message);
}

void http_stream_end(struct http_request *request, int grpc_status, struct str message)
{
    assert(request->is_duplex);
    if (!request_take_turn(request))
        return;
    if (request->is_answered)
        request_end_messages(request, grpc_status, message, 0);
    else
        request_answer_grpc(request, 200, grpc_status, message, 0, NULL);
}
