/* client_h1.c - one call at a time on an HTTP/1.1 connection; llhttp reads the answer.
 *
 * The parser starts afresh with every call and pauses behind the final answer. A byte after that
 * pause, or while no call is out, means that the two sides disagree about where answers end, so the
 * connection is not used again. */
#include "http/client_private.h"

#include <llhttp.h>
#include "base/mem.h"

struct h1 {
    llhttp_t parser;
    struct client_call *call; /* the one that is out; also first in conn->calls */
    struct buf name, value;   /* of the header being read */
    bool is_complete, is_keep_alive;
    enum mg_err err; /* why a callback stopped the parser */
};

static int stop(struct h1 *h1, enum mg_err err)
{
    h1->err = err;
    return HPE_USER;
}

static int on_begin(llhttp_t *parser)
{
    struct h1 *h1 = parser->data;

    h1->call->answer.is_started = true;
    return 0;
}

static int on_name(llhttp_t *parser, const char *bytes, size_t len)
{
    struct h1 *h1 = parser->data;
    enum mg_err err = buf_append(&h1->name, bytes, len);

    return err == MG_OK ? 0 : stop(h1, MG_E_HEADERS);
}

static int on_value(llhttp_t *parser, const char *bytes, size_t len)
{
    struct h1 *h1 = parser->data;
    enum mg_err err = buf_append(&h1->value, bytes, len);

    return err == MG_OK ? 0 : stop(h1, MG_E_HEADERS);
}

static int on_value_complete(llhttp_t *parser)
{
    struct h1 *h1 = parser->data;

    for (size_t i = 0; i < h1->name.len; i++) {
        char c = h1->name.ptr[i];
        if (c >= 'A' && c <= 'Z')
            h1->name.ptr[i] = (char)(c | 0x20);
    }
    enum mg_err err =
        client_call_on_header(h1->call, buf_str(&h1->name), str_trim(buf_str(&h1->value)));
    buf_clear(&h1->name);
    buf_clear(&h1->value);
    return err == MG_OK ? 0 : stop(h1, err);
}

static bool is_interim(const llhttp_t *parser)
{
    return parser->status_code / 100 == 1 && parser->status_code != 101;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct h1 *h1 = parser->data;

    if (is_interim(parser))
        return 0;
    h1->call->answer.status = parser->status_code;
    if (parser->status_code == 101) /* nobody asked for an upgrade */
        return stop(h1, MG_E_FORMAT);
    /* RFC 9112 6.3: these have no body, whatever length the headers speak of. */
    if (h1->call->is_head || parser->status_code == 204 || parser->status_code == 304)
        return 1;
    if ((parser->flags & F_CONTENT_LENGTH) && !client_call_is_streamed(h1->call) &&
        parser->content_length > h1->call->client->answer_bytes_max)
        return stop(h1, MG_E_TOO_BIG);
    return 0;
}

static int on_body(llhttp_t *parser, const char *bytes, size_t len)
{
    struct h1 *h1 = parser->data;
    enum mg_err err = client_call_on_body(h1->call, str_n(bytes, len));

    return err == MG_OK ? 0 : stop(h1, err);
}

static int on_message_complete(llhttp_t *parser)
{
    struct h1 *h1 = parser->data;

    if (is_interim(parser))
        return 0;
    h1->is_complete = true;
    h1->is_keep_alive = llhttp_should_keep_alive(parser);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static void h1_open(struct client_conn *conn)
{
    struct h1 *h1 = MEM_NEW(struct h1);

    buf_init(&h1->name, CLIENT_HEADER_BYTES_MAX);
    buf_init(&h1->value, CLIENT_HEADER_BYTES_MAX);
    conn->protocol = h1;
}

static void h1_close(struct client_conn *conn)
{
    struct h1 *h1 = conn->protocol;

    buf_fini(&h1->name);
    buf_fini(&h1->value);
    mem_free(h1);
    conn->protocol = NULL;
}

static unsigned h1_room(const struct client_conn *conn)
{
    return conn->n_calls == 0;
}

static void put_head(struct buf *out, const struct client_call *call)
{
    buf_put_str(out, call->method);
    buf_put_char(out, ' ');
    buf_put_str(out, call->target);
    buf_put_text(out, " HTTP/1.1\r\nhost: ");
    buf_put_str(out, call->client->authority);
    buf_put_text(out, "\r\n");
    for (size_t i = 0; i < call->n_headers; i++) {
        buf_put_str(out, call->headers[i].name);
        buf_put_text(out, ": ");
        buf_put_str(out, call->headers[i].value);
        buf_put_text(out, "\r\n");
    }
    /* RFC 9110 8.6: a length also for an empty body, where the method is one that usually has a
     * body. */
    if (call->body.len || str_starts(call->method, STR("P"))) {
        buf_put_text(out, "content-length: ");
        buf_put_u64(out, call->body.len);
        buf_put_text(out, "\r\n");
    }
    buf_put_text(out, "\r\n");
}

static enum mg_err h1_send(struct client_conn *conn, struct client_call *call, struct mg_why *why)
{
    struct h1 *h1 = conn->protocol;
    struct buf head;

    buf_init(&head, CLIENT_HEADER_BYTES_MAX);
    put_head(&head, call);
    if (buf_err(&head) != MG_OK) {
        buf_fini(&head);
        return mg_fail(why, MG_E_HEADERS, "the request's headers are larger than %d bytes",
                       CLIENT_HEADER_BYTES_MAX);
    }
    llhttp_init(&h1->parser, HTTP_RESPONSE, &settings);
    h1->parser.data = h1;
    h1->call = call;
    h1->is_complete = false;
    h1->err = MG_OK;
    buf_clear(&h1->name);
    buf_clear(&h1->value);
    stream_write_buf(conn->stream, &head);
    buf_fini(&head);
    if (call->body.len)
        stream_write(conn->stream, call->body.ptr, call->body.len);
    return MG_OK;
}

/* The answer that is still to come cannot be told from the next one. */
static void h1_cancel(struct client_conn *conn, struct client_call *call)
{
    struct h1 *h1 = conn->protocol;

    (void)call; /* the only one */
    h1->call = NULL;
    client_conn_close(conn);
}

static void h1_complete(struct client_conn *conn, bool is_clean)
{
    struct h1 *h1 = conn->protocol;

    client_call_end(MG_STEAL(h1->call));
    conn->is_kept = true;
    /* With bytes of the request still queued the peer answered early and may never read them. */
    if (!is_clean || !h1->is_keep_alive || stream_queued(conn->stream) > 0)
        client_conn_close(conn);
}

static void h1_fail(struct client_conn *conn)
{
    struct h1 *h1 = conn->protocol;
    struct client_call *call = MG_STEAL(h1->call);

    if (call->is_refused || (h1->err != MG_OK && h1->err != MG_E_FORMAT))
        client_call_fail_limit(call, h1->err);
    else
        client_call_fail(call, MG_E_FORMAT, "the answer is not HTTP/1.1: %s",
                         h1->err ? "an upgrade that was not asked for"
                                 : llhttp_get_error_reason(&h1->parser));
    client_conn_close(conn);
}

static void h1_on_data(struct client_conn *conn, struct str bytes)
{
    struct h1 *h1 = conn->protocol;

    if (!h1->call) {
        client_conn_close(conn);
        return;
    }
    llhttp_errno_t result = llhttp_execute(&h1->parser, bytes.ptr, bytes.len);
    if (h1->is_complete)
        h1_complete(conn, llhttp_get_error_pos(&h1->parser) == bytes.ptr + bytes.len);
    else if (result != HPE_OK)
        h1_fail(conn);
}

static void h1_on_end(struct client_conn *conn)
{
    struct h1 *h1 = conn->protocol;

    if (!h1->call) {
        client_conn_close(conn);
        return;
    }
    (void)llhttp_finish(
        &h1->parser); /* completes an answer whose end is the connection's; else says nothing new */
    if (h1->is_complete) {
        h1_complete(conn, false);
        return;
    }
    h1->call = NULL;
    client_conn_lost(conn, "the connection was closed");
}

static void h1_on_drained(struct client_conn *conn)
{
    (void)conn; /* requests are written whole */
}

const struct conn_kind client_h1 = {
    .room_expected = 1,
    .open = h1_open,
    .close = h1_close,
    .room = h1_room,
    .send = h1_send,
    .cancel = h1_cancel,
    .on_data = h1_on_data,
    .on_end = h1_on_end,
    .on_drained = h1_on_drained,
};
