/* client_h2.c - many calls on one HTTP/2 connection; nghttp2 does the protocol.
 *
 * nghttp2 knows a call as the user data of its stream. A call that leaves early takes itself out of
 * that place, so nghttp2 never holds a pointer to a call that may be gone; the body is read through
 * the same place. Bytes to send are fetched from nghttp2 only while little is queued on the stream,
 * which lets it order frames of several streams fairly. */
#include "http/client_private.h"

#include <nghttp2/nghttp2.h>
#include "base/mem.h"

#define STREAMS_MAX       100
#define STREAM_WINDOW     (1 << 20)
#define CONNECTION_WINDOW (4 << 20)
#define QUEUED_HIGH       (256u << 10)

struct h2 {
    nghttp2_session *session;
    bool has_settings; /* the peer speaks HTTP/2 */
};

static struct client_call *call_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* The stream forgets its call, and is reset unless both sides are through. */
static void detach(nghttp2_session *session, int32_t stream_id, bool is_through)
{
    (void)nghttp2_session_set_stream_user_data(session, stream_id,
                                               NULL); /* fails for a closed stream */
    if (!is_through)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id,
                                        NGHTTP2_CANCEL); /* fails only out of memory */
}

/* Ends a call from inside a callback of nghttp2. */
static void stream_fail(nghttp2_session *session, struct client_call *call, enum mg_err err)
{
    detach(session, call->stream_id, false);
    client_call_fail_limit(call, err);
}

/* --- what comes --- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct client_call *call = call_of(session, frame->hd.stream_id);

    (void)conn;
    if (call)
        call->answer.is_started = true;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *conn)
{
    struct client_call *call = call_of(session, frame->hd.stream_id);
    uint64_t status;

    (void)flags, (void)conn;
    if (!call)
        return 0;
    if (str_eq(str_n(name, name_len), STR(":status"))) {
        if (str_u64(str_n(value, value_len), &status) == MG_OK)
            call->answer.status = (int)status; /* three digits, as nghttp2 has checked */
        return 0;
    }
    if (call->answer.status < 200) /* of an interim answer */
        return 0;
    enum mg_err err = client_call_on_header(call, str_n(name, name_len), str_n(value, value_len));
    if (err != MG_OK)
        stream_fail(session, call, err);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t len, void *conn)
{
    struct client_call *call = call_of(session, stream_id);

    (void)flags, (void)conn;
    if (!call)
        return 0;
    enum mg_err err = client_call_on_body(call, str_n(bytes, len));
    if (err != MG_OK)
        stream_fail(session, call, err);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct client_conn *conn = owner;
    struct h2 *h2 = conn->protocol;

    if (frame->hd.type == NGHTTP2_SETTINGS)
        h2->has_settings = true;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        conn->is_last = true;
    bool can_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    struct client_call *call = can_end ? call_of(session, frame->hd.stream_id) : NULL;
    if (!call || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;

    /* An answer before the request was sent whole: nothing more of the request is wanted. */
    detach(session, call->stream_id, call->body_sent == call->body.len);
    conn->is_kept = true;
    client_call_end(call);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *conn)
{
    struct client_call *call = call_of(session, stream_id);

    (void)conn;
    if (!call)
        return 0;
    /* RFC 9113 8.7: REFUSED_STREAM says that nothing was handled; nghttp2 also reports it for the
     * streams above the last one that a GOAWAY names. */
    if (code == NGHTTP2_REFUSED_STREAM && !call->answer.is_started && client_call_retry(call))
        return 0;
    client_call_fail(call, MG_E_IO, "the stream was reset by the peer (%s)",
                     nghttp2_http2_strerror(code));
    return 0;
}

/* --- what goes --- */

/* Goes on until the stream holds some back: only then does its drained event bring us here again,
 * for none follows a write that the kernel took at once. */
static void h2_flush(struct client_conn *conn)
{
    struct h2 *h2 = conn->protocol;
    const uint8_t *bytes;
    ssize_t n = 1;

    while (n > 0 && stream_queued(conn->stream) < QUEUED_HIGH) {
        struct buf out;
        buf_init(&out, SIZE_MAX); /* bounded by the loop */
        while (out.len < QUEUED_HIGH && (n = nghttp2_session_mem_send(h2->session, &bytes)) > 0)
            buf_put(&out, bytes, (size_t)n);
        if (out.len)
            stream_write_buf(conn->stream, &out);
        buf_fini(&out);
    }
}

/* After every turn: is the connection still of use? */
static void h2_review(struct client_conn *conn)
{
    struct h2 *h2 = conn->protocol;

    h2_flush(conn);
    if (conn->is_last && conn->n_calls == 0)
        client_conn_close(conn);
    else if (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session))
        client_conn_lost(conn, h2->has_settings
                                   ? "the HTTP/2 connection was ended"
                                   : "the peer does not speak HTTP/2: the connection was ended");
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *conn)
{
    struct client_call *call = call_of(session, stream_id);

    (void)source, (void)conn;
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    size_t n = MG_MIN(room, call->body.len - call->body_sent);
    memcpy(out, call->body.ptr + call->body_sent, n);
    call->body_sent += n;
    if (call->body_sent == call->body.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void nv_put(nghttp2_nv *nv, size_t *n, struct str name, struct str value)
{
    nv[(*n)++] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
                               .namelen = name.len,
                               .value = (uint8_t *)(uintptr_t)value.ptr,
                               .valuelen = value.len };
}

static nghttp2_nv *put_head(struct client_call *call, size_t *n)
{
    nghttp2_nv *nv = arena_zero(&call->arena, (call->n_headers + 7) * sizeof *nv);

    *n = 0;
    nv_put(nv, n, STR(":method"), call->method);
    nv_put(nv, n, STR(":scheme"), call->client->is_tls ? STR("https") : STR("http"));
    nv_put(nv, n, STR(":authority"), call->client->authority);
    nv_put(nv, n, STR(":path"), call->target);
    if (call->is_grpc) {
        nv_put(nv, n, STR("te"), STR("trailers"));
        nv_put(nv, n, STR("content-type"), STR("application/grpc"));
    } else if (call->body.len) {
        nv_put(nv, n, STR("content-length"), arena_printf(&call->arena, "%zu", call->body.len));
    }
    for (size_t i = 0; i < call->n_headers; i++)
        nv_put(nv, n, call->headers[i].name, call->headers[i].value);
    return nv;
}

static enum mg_err h2_send(struct client_conn *conn, struct client_call *call, struct mg_why *why)
{
    struct h2 *h2 = conn->protocol;
    const nghttp2_data_provider body = { .read_callback = read_body };
    size_t n;
    nghttp2_nv *nv = put_head(call, &n);

    int32_t id =
        nghttp2_submit_request(h2->session, NULL, nv, n, call->body.len ? &body : NULL, call);
    if (id < 0)
        return mg_fail(why, MG_E_IO, "HTTP/2: %s", nghttp2_strerror(id));
    call->stream_id = id;
    h2_flush(conn);
    return MG_OK;
}

/* --- the connection --- */

static nghttp2_session *session_new(struct client_conn *conn)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    int err = nghttp2_session_client_new(&session, callbacks, conn);
    nghttp2_session_callbacks_del(callbacks);
    return err == 0 ? session : NULL;
}

static void h2_open(struct client_conn *conn)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
    };
    struct h2 *h2 = MEM_NEW(struct h2);

    h2->session = session_new(conn);
    conn->protocol = h2;
    if (!h2->session) { /* only out of memory */
        client_conn_lost(conn, "HTTP/2 cannot be set up: the connection was ended");
        return;
    }
    (void)nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                  MG_COUNT(settings)); /* fails only for wrong values */
    (void)nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                CONNECTION_WINDOW); /* likewise */
    h2_flush(conn);
}

static void h2_close(struct client_conn *conn)
{
    struct h2 *h2 = conn->protocol;

    nghttp2_session_del(h2->session);
    mem_free(h2);
    conn->protocol = NULL;
}

static unsigned h2_room(const struct client_conn *conn)
{
    const struct h2 *h2 = conn->protocol;
    uint32_t most =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    if (!nghttp2_session_check_request_allowed(h2->session))
        return 0;
    most = MG_MIN(most, (uint32_t)STREAMS_MAX);
    return most > conn->n_calls ? most - conn->n_calls : 0;
}

/* A slow answer costs its stream only. But a connection on which nothing at all came in the call's
 * whole time may be dead without a sign: a proxy or a firewall that forgot it keeps TCP content,
 * and every later call would time out on it too. */
static void h2_cancel(struct client_conn *conn, struct client_call *call)
{
    struct h2 *h2 = conn->protocol;

    if (conn->heard_at <= call->asked_at) {
        client_conn_lost(conn, "the connection fell silent and was given up");
        return;
    }
    detach(h2->session, call->stream_id, false);
    h2_review(conn);
}

static void h2_on_data(struct client_conn *conn, struct str bytes)
{
    struct h2 *h2 = conn->protocol;
    ssize_t n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);

    if (n < 0) {
        client_conn_lost(conn, "the peer broke HTTP/2's rules: the connection was ended");
        return;
    }
    h2_review(conn);
}

static void h2_on_end(struct client_conn *conn)
{
    client_conn_lost(conn, "the connection was closed");
}

const struct conn_kind client_h2 = {
    .room_expected = STREAMS_MAX,
    .open = h2_open,
    .close = h2_close,
    .room = h2_room,
    .send = h2_send,
    .cancel = h2_cancel,
    .on_data = h2_on_data,
    .on_end = h2_on_end,
    .on_drained = h2_review,
};
