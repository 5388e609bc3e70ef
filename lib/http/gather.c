/* gather.c - one bound for the memory of all request bodies of a server, http.bodies_bytes_max.
 *
 * Above it no further body is read: HTTP/1 stops reading the socket, HTTP/2 opens no window. What
 * was allowed before still comes: one read of the loop, and on HTTP/2 a stream's window for each
 * stream, within the connection's window.
 *
 * Bodies that have begun could then wait for each other for ever, each holding a part of the memory
 * that another needs. So the oldest of those goes on alone, also above the bound, as soon as no
 * whole body is left whose handler will soon give its memory back. That is why a single body larger
 * than the bound still gets in, and why the sum stays below bound + one body (and those windows).
 * A peer cannot keep that place: while others wait, its body must be whole within body_timeout.
 *
 *     counted = growing + held (a handler has not asked for more) + whole (being handled)
 *
 * Counted is the memory, which may be up to twice the bytes that came. */
#include "http/conn.h"

void gather_init(struct gather *gather, uint64_t bytes_max)
{
    *gather = (struct gather){.bytes_max = bytes_max ? bytes_max : UINT64_MAX};
    list_init(&gather->growing);
    list_init(&gather->waiting);
}

/* Who may go on above the bound. */
static struct http_request *oldest(const struct gather *gather)
{
    return gather->whole_bytes ? NULL
                               : LIST_FIRST(&gather->growing, struct http_request, grow_link);
}

bool gather_may_read(const struct http_request *request)
{
    const struct gather *gather = &request->server->gather;
    return gather->bytes < gather->bytes_max || oldest(gather) == request;
}

bool gather_is_favoured(const struct conn *conn)
{
    const struct gather *gather = &conn->server->gather;
    const struct http_request *request = oldest(gather);
    return gather->bytes >= gather->bytes_max && request && request->conn == conn;
}

void gather_wait(struct http_request *request)
{
    if (!list_linked(&request->wait_link))
        list_add_last(&request->server->gather.waiting, &request->wait_link);
}

static void go_on(struct http_request *request)
{
    list_remove(&request->wait_link);
    request_body_resumes(request);
}

/* Memory was given back, or the oldest has changed. */
static void wake(struct gather *gather)
{
    if (gather->bytes < gather->bytes_max) {
        while (!list_empty(&gather->waiting))
            go_on(LIST_FIRST(&gather->waiting, struct http_request, wait_link));
        return;
    }
    /* Also when it does not wait: on HTTP/2 the others may have used up its connection's window. */
    struct http_request *first = oldest(gather);
    if (first)
        go_on(first);
}

void gather_count(struct http_request *request)
{
    struct gather *gather = &request->server->gather;
    gather->bytes += request->body.room - request->gathered_bytes;
    request->gathered_bytes = request->body.room;
    if (request->gathered_bytes && !request->is_held && !list_linked(&request->grow_link))
        list_add_last(&gather->growing, &request->grow_link);
}

static void stop_growing(struct gather *gather, struct http_request *request)
{
    if (gather->alone == request)
        gather->alone = NULL;
    list_remove(&request->grow_link);
}

void gather_whole(struct http_request *request)
{
    struct gather *gather = &request->server->gather;
    stop_growing(gather, request);
    if (list_linked(&request->wait_link))
        go_on(request);
    request->is_gathered = true;
    gather->whole_bytes += request->gathered_bytes;
    wake(gather);
}

void gather_drop(struct http_request *request)
{
    struct gather *gather = &request->server->gather;
    bool matters = request->gathered_bytes || list_linked(&request->grow_link);
    stop_growing(gather, request);
    list_remove(&request->wait_link);
    gather->bytes -= request->gathered_bytes;
    if (request->is_gathered)
        gather->whole_bytes -= request->gathered_bytes;
    request->gathered_bytes = 0;
    if (matters)
        wake(gather);
}

void gather_taken(struct http_request *request)
{
    struct gather *gather = &request->server->gather;
    stop_growing(gather, request);
    gather->bytes -= request->gathered_bytes;
    request->gathered_bytes = 0;
    wake(gather); /* of which it may be one */
}

void gather_tick(struct http_server *server, uint64_t now_ns)
{
    struct gather *gather = &server->gather;
    struct http_request *first = oldest(gather);
    bool is_alone = first && gather->bytes >= gather->bytes_max && !list_empty(&gather->waiting);
    if (!is_alone || gather->alone != first) {
        gather->alone = is_alone ? first : NULL;
        gather->alone_ns = now_ns;
    } else if (now_ns - gather->alone_ns >= server->conf.body_timeout_ns) {
        request_refuse(first, MG_E_SLOW, "slow", "the body came too slowly while others waited");
    }
}
