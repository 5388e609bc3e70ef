/* h2.c - HTTP/2 over nghttp2: bytes in, request_* calls out, answers in, bytes out.
 *
 * Flow control is the back-pressure. nghttp2 gives no window back by itself: what a body brought is
 * consumed at once while it is read, at the release while a handler holds it, when there is
 * memory again while there is none (gather.c), and when the answer of a call in both directions has
 * left as far as it must (duplex.c). A peer can therefore send one stream window ahead of
 * a held body and one connection window in all, and waits then.
 *
 * Answers are pulled: nghttp2 asks for the bytes of a stream when its windows allow, and mem_send
 * is asked only while the transport has room. Frames of one flush are gathered into one write.
 *
 * An answer that is complete before the request is: the rest of the body is read and thrown away,
 * up to DISCARD_BYTES_MAX and for LINGER_NS; only then follows RST_STREAM(NO_ERROR). Sent at once
 * it would be right as well (RFC 9113 8.1), but clients (curl 7.88) that find both in one read
 * report the reset and lose the answer. A connection that drains does not wait for it.
 *
 * Floods. Reset streams count against reset_max, also those that the peer made us reset; a request
 * whose stream was reset counts as a stream until its handler is done. Frames that cost work and
 * carry nothing (PING, SETTINGS, empty DATA) may come IDLE_FRAMES_MAX times between two that do;
 * PRIORITY is skipped unread. nghttp2 limits CONTINUATION frames, settings in one frame and
 * acknowledgements that the peer does not read. */
#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include "base/mem.h"
#include "http/conn.h"

#define COUNT_PERIOD_NS   10000000000ull /* resets and idle frames are counted over this time */
#define DISCARD_BYTES_MAX (1024u * 1024) /* of a body after its answer */
#define IDLE_FRAMES_MAX   500 /* nghttp2 itself gives up at 1000 answers that were not sent */
#define GOAWAY_WAIT_NS    1000000000ull /* for the PING that follows the first GOAWAY */
#define ANSWER_FIELDS_MAX 48
#define COPY_BYTES_MAX    4096u

enum drain { DRAIN_NOT, DRAIN_NOTICED, DRAIN_ANNOUNCED };

struct h2 {
    nghttp2_session *session;
    struct conn *conn;
    uint64_t period_ns; /* when the counts below began */
    uint64_t n_resets, n_idle_frames;
    enum drain drain;
    uint64_t drain_ns;
    uint64_t head_ns; /* when the open header block began; 0: none is open */
    bool is_terminated;
};

static uint64_t now_of(const struct h2 *h2)
{
    return server_now(h2->conn->server);
}

static struct http_request *find(struct h2 *h2, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(h2->session, stream_id);
}

static void forget(struct h2 *h2, int32_t stream_id)
{
    (void)nghttp2_session_set_stream_user_data(h2->session, stream_id,
                                               NULL); /* the stream may be gone already */
}

/* --- floods --- */
static void calm_down(struct h2 *h2)
{
    if (h2->is_terminated)
        return;
    h2->is_terminated = true;
    http_count_refused(h2->conn->server, "flood");
    (void)nghttp2_session_terminate_session(h2->session,
                                            NGHTTP2_ENHANCE_YOUR_CALM); /* only memory can fail */
}

static void roll_period(struct h2 *h2)
{
    uint64_t now = now_of(h2);
    if (now - h2->period_ns < COUNT_PERIOD_NS)
        return;
    h2->period_ns = now;
    h2->n_resets = h2->n_idle_frames = 0;
}

static void count_reset(struct h2 *h2)
{
    roll_period(h2);
    if (++h2->n_resets > h2->conn->server->conf.reset_max)
        calm_down(h2);
}

static void count_idle_frame(struct h2 *h2)
{
    roll_period(h2);
    if (++h2->n_idle_frames > IDLE_FRAMES_MAX)
        calm_down(h2);
}

/* --- a request comes --- */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = user_data;
    h2->head_ns = now_of(h2);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct conn *conn = h2->conn;
    if (conn->n_requests >= conn->server->conf.streams_max) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    struct http_request *request = request_new(conn);
    request->is_http2 = true;
    request->stream_id = frame->hd.stream_id;
    request->is_keep_alive = true;
    (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                               request); /* it exists: just begun */
    return 0;
}

static void take_pseudo_header(struct http_request *request, struct str name, struct str value)
{
    struct arena *arena = &request->arena;
    request->header_bytes += name.len + value.len + HEADER_COST_BYTES;
    if (request->header_bytes > request->server->conf.header_bytes_max)
        request_spoil_head(request, MG_E_HEADERS);
    else if (str_eq(name, STR(":method")))
        request->method = arena_str(arena, value);
    else if (str_eq(name, STR(":path")))
        request->target = arena_str(arena, value);
    else if (str_eq(name, STR(":authority")))
        request->authority = arena_str(arena, value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user_data)
{
    (void)session;
    (void)flags;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers are read and forgotten; nghttp2 bounds the block */
    struct http_request *request = find(user_data, frame->hd.stream_id);
    if (!request)
        return 0;
    struct str name_str = str_n(name, name_len), value_str = str_n(value, value_len);
    if (name_len && name[0] == ':')
        take_pseudo_header(request, name_str, value_str);
    else
        request_add_header(request, name_str, value_str);
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user_data)
{
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len,
        (void)flags, (void)user_data;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset; the default would drop the
                                                     field silently */
}

/* One host, and the same one where both forms are given. HTTP/1's name for it serves the handlers.
 */
static void check_authority(struct http_request *request)
{
    unsigned n_hosts = 0;
    for (size_t i = 0; i < request->headers.n; i++) {
        const struct http_header *header = &request->headers.at[i];
        if (!str_eq(header->name, STR("host")))
            continue;
        n_hosts++;
        if (request->authority.len && !str_eq_nocase(header->value, request->authority))
            request_spoil_head(request, MG_E_FORMAT);
        if (!request_is_valid_host(header->value))
            request_spoil_head(request, MG_E_FORMAT);
    }
    if (n_hosts > 1 || !request_is_valid_host(request->authority))
        request_spoil_head(request, MG_E_FORMAT);
    if (n_hosts == 0 && request->authority.len)
        request_add_header(request, STR("host"), request->authority);
}

static void complete_head(struct http_request *request, bool has_ended)
{
    check_authority(request);
    if (!request_set_target(request, request->target))
        request_spoil_head(request, MG_E_FORMAT);
    struct str length = http_request_header(request, STR("content-length"));
    uint64_t declared;
    if (length.len && str_u64(length, &declared) == MG_OK) /* nghttp2 has checked it */
        request->declared = MG_MIN(declared, LENGTH_UNKNOWN - 1);
    else if (has_ended)
        request->declared = 0;
    request_head_complete(request);
}

static void on_request_frame(struct h2 *h2, const nghttp2_frame *frame)
{
    struct http_request *request = find(h2, frame->hd.stream_id);
    bool has_ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    bool is_head = frame->hd.type == NGHTTP2_HEADERS;
    if (is_head)
        h2->head_ns = 0;
    if (is_head || frame->hd.length > 0 || has_ended)
        h2->n_idle_frames = 0;
    else
        count_idle_frame(h2);
    if (!request)
        return;
    if (is_head && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        complete_head(request, has_ended);
    if (has_ended)
        request_body_complete(request);
}

static void announce_end(struct h2 *h2)
{
    h2->drain = DRAIN_ANNOUNCED;
    (void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h2->session),
                                NGHTTP2_NO_ERROR, NULL, 0); /* only memory can fail */
}

/* It need not send the rest of its body: no work was wasted. */
static bool has_answer(struct h2 *h2, int32_t stream_id)
{
    const struct http_request *request = find(h2, stream_id);
    return request && request->is_end_sent;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    (void)session;
    struct h2 *h2 = user_data;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        on_request_frame(h2, frame);
        break;
    case NGHTTP2_RST_STREAM:
        if (!has_answer(h2, frame->hd.stream_id))
            count_reset(h2);
        break;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            count_idle_frame(h2);
        else if (h2->drain == DRAIN_NOTICED)
            announce_end(h2); /* what the peer sent before it saw the notice has arrived */
        break;
    case NGHTTP2_SETTINGS:
        count_idle_frame(h2);
        break;
    default:
        break;
    }
    return 0;
}

/* --- windows --- */
static void give_back(struct http_request *request)
{
    nghttp2_session *session = request->conn->h2->session;
    (void)nghttp2_session_consume(session, request->stream_id, request->unconsumed);
    (void)nghttp2_session_consume_stream(session, request->stream_id,
                                         request->withheld); /* fails only after a fatal error */
    request->conn->unconsumed -= request->unconsumed;
    request->unconsumed = request->withheld = 0;
}

static void lend_connection_window(struct http_request *request)
{
    (void)nghttp2_session_consume_connection(request->conn->h2->session, request->unconsumed);
    request->conn->unconsumed -= request->unconsumed;
    request->withheld += request->unconsumed;
    request->unconsumed = 0;
}

/* The stream gets no window. Nor does the connection, unless the one request that goes on beside
 * the budget is among its streams. */
static void keep_back(struct http_request *request, size_t len)
{
    request->unconsumed += len;
    request->conn->unconsumed += len;
    if (gather_is_favoured(request->conn))
        lend_connection_window(request);
}

/* --- the rest of a body whose answer is complete --- */
static bool is_discarded(const struct http_request *request)
{
    return request->is_end_sent && !request->has_body && !request->is_rest_cut;
}

static void cut_rest(struct http_request *request)
{
    request->is_rest_cut = true;
    (void)nghttp2_submit_rst_stream(request->conn->h2->session, NGHTTP2_FLAG_NONE,
                                    request->stream_id, NGHTTP2_NO_ERROR);
    conn_touch(request->conn);
}

/* The answer has left. A peer that waits for 100 (Continue) will send nothing. */
static void begin_discarding(struct http_request *request)
{
    request->end_ns = server_now(request->server);
    give_back(request);
    if (request->expects_continue || request->conn->has_ended || request->conn->is_draining ||
        request->thrown > DISCARD_BYTES_MAX)
        cut_rest(request);
}

static void cut_rests(struct conn *conn)
{
    LIST_EACH(&conn->requests, link)
    {
        struct http_request *request = MG_CONTAINER(link, struct http_request, link);
        if (is_discarded(request))
            cut_rest(request);
    }
}

/* While the answer is still under way, no window is opened beyond the bound. */
static void throw_away(struct http_request *request, size_t len)
{
    request->thrown += len;
    if (request->thrown <= DISCARD_BYTES_MAX) {
        (void)nghttp2_session_consume(request->conn->h2->session, request->stream_id, len);
        return;
    }
    keep_back(request, len);
    if (is_discarded(request))
        cut_rest(request);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t len, void *user_data)
{
    (void)flags;
    struct h2 *h2 = user_data;
    struct http_request *request = find(h2, stream_id);
    if (request && request_wants_body(request))
        request_body_data(request, str_n(data, len));
    if (request && !request_wants_body(request)) {
        throw_away(request, len);
    } else if (request && (request->is_held || duplex_is_behind(request))) {
        keep_back(request, len);
    } else if (request && !gather_may_read(request)) {
        keep_back(request, len);
        gather_wait(request);
    } else {
        (void)nghttp2_session_consume(session, stream_id, len); /* likewise */
    }
    if (request)
        gather_press(request); /* the window let it come, whether there is memory or not */
    return 0;
}

/* --- a stream ends --- */
static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data)
{
    (void)session, (void)error_code;
    struct h2 *h2 = user_data;
    struct http_request *request = find(h2, stream_id);
    if (!request)
        return 0;
    lend_connection_window(request); /* the stream has no window any more */
    request->withheld = 0;
    forget(h2, stream_id);
    h2->conn->wait_ns = now_of(h2);
    if (request->is_end_sent)
        request_finish(request);
    else
        request_gone(request);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct h2 *h2 = user_data;
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
        frame->rst_stream.error_code != NGHTTP2_REFUSED_STREAM)
        count_reset(h2); /* the peer can make us reset streams as well as reset them itself */
    /* Submitted together, nghttp2 would let the PING overtake the GOAWAY that it is to confirm. */
    if (frame->hd.type == NGHTTP2_GOAWAY && h2->drain == DRAIN_NOTICED)
        (void)nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, NULL);
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct http_request *request = find(h2, frame->hd.stream_id);
    if (!request)
        return 0;
    request->is_end_sent = true;
    if (!request->has_body)
        begin_discarding(request);
    return 0;
}

/* --- writing --- */
static void write_scratch(struct conn *conn)
{
    struct buf *scratch = &conn->server->scratch;
    if (scratch->len)
        conn_write(conn, scratch->ptr, scratch->len);
    buf_clear(scratch);
}

/* false: the session cannot go on. */
static bool pull_frames(struct conn *conn)
{
    struct buf *scratch = &conn->server->scratch;
    while (conn_has_room(conn)) {
        const uint8_t *frame;
        ssize_t n = nghttp2_session_mem_send(conn->h2->session, &frame);
        if (n <= 0) {
            write_scratch(conn);
            return n == 0;
        }
        if (scratch->len + (size_t)n > OUT_SCRATCH_BYTES)
            write_scratch(conn);
        if ((size_t)n > OUT_SCRATCH_BYTES)
            conn_write(conn, frame, (size_t)n);
        else
            buf_put(scratch, frame, (size_t)n);
    }
    write_scratch(conn);
    return true;
}

/* --- life --- */
static nghttp2_session_callbacks *new_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks))
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    return callbacks;
}

static nghttp2_option *new_option(void)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option))
        return NULL;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1); /* they serve priorities, which are not used */
    nghttp2_option_set_max_send_header_block_length(option, 256u * 1024);
#ifdef MG_NGHTTP2_RESET_LIMIT
    /* Ours counts by configuration; the library's would end the connection with another reason. */
    nghttp2_option_set_stream_reset_rate_limit(option, 1u << 30, 1u << 30);
#endif
    return option;
}

static int submit_settings(struct h2 *h2)
{
    const struct http_conf *conf = &h2->conn->server->conf;
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
         (uint32_t)MG_MIN(conf->streams_max, (uint64_t)INT32_MAX)},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
         (uint32_t)MG_MIN(conf->stream_window, (uint64_t)INT32_MAX)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
         (uint32_t)MG_MIN(conf->header_bytes_max, (uint64_t)UINT32_MAX)},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int err = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, MG_COUNT(entries));
    if (err)
        return err;
    return nghttp2_session_set_local_window_size(
        h2->session, NGHTTP2_FLAG_NONE, 0,
        (int32_t)MG_MIN(conf->connection_window, (uint64_t)INT32_MAX));
}

bool h2_start(struct conn *conn)
{
    struct h2 *h2 = MEM_NEW(struct h2);
    h2->conn = conn;
    conn->h2 = h2;
    h2->period_ns = conn->wait_ns = now_of(h2);
    nghttp2_session_callbacks *callbacks = new_callbacks();
    nghttp2_option *option = new_option();
    int err = callbacks && option ? nghttp2_session_server_new2(&h2->session, callbacks, h2, option)
                                  : NGHTTP2_ERR_NOMEM;
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return err == 0 && submit_settings(h2) == 0;
}

void h2_refuse(struct conn *conn, const char *message)
{
    http_count_refused(conn->server, "malformed");
    (void)nghttp2_submit_goaway(conn->h2->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_HTTP_1_1_REQUIRED,
                                (const uint8_t *)message,
                                strlen(message)); /* only memory can fail */
    (void)pull_frames(conn);
    conn_finish(conn);
}

void h2_free(struct h2 **h2_at)
{
    struct h2 *h2 = MG_STEAL(*h2_at);
    if (!h2)
        return;
    nghttp2_session_del(h2->session);
    mem_free(h2);
}

void h2_on_data(struct conn *conn, struct str bytes)
{
    struct h2 *h2 = conn->h2;
    ssize_t n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);
    if (n == NGHTTP2_ERR_FLOODED)
        calm_down(h2);
    if (n < 0) {
        (void)pull_frames(conn); /* the GOAWAY, if it still comes to one */
        conn_finish(conn);
        return;
    }
    conn_touch(conn);
}

void h2_on_end(struct conn *conn)
{
    cut_rests(conn);
    conn_touch(conn); /* ends in the flush, after the answers that are under way */
}

/* --- answers --- */
static nghttp2_nv field(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
                        NGHTTP2_NV_FLAG_NONE};
}

static void submit_trailers(struct http_request *request)
{
    nghttp2_nv fields[ANSWER_FIELDS_MAX];
    for (size_t i = 0; i < request->n_trailers; i++)
        fields[i] = field(request->trailers[i].name, request->trailers[i].value);
    (void)nghttp2_submit_trailer(request->conn->h2->session, request->stream_id, fields,
                                 request->n_trailers);
}

static void h2_unheld(struct http_request *request);

static ssize_t on_pull(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    (void)session, (void)stream_id, (void)user_data;
    struct http_request *request = source->ptr;
    size_t done = 0, payload = 0;
    while (done < room && request->out.bytes) {
        struct str front = out_front(&request->out);
        size_t n = MG_MIN(front.len, room - done);
        memcpy(out + done, front.ptr, n);
        payload += out_consume(&request->out, n);
        done += n;
    }
    if (done)
        request->step_ns = server_now(request->server);
    if (payload && request->on_sent)
        request->on_sent(request->pipe, payload);
    if (request->is_duplex && (request->unconsumed || request->withheld) &&
        !duplex_is_behind(request))
        h2_unheld(request);
    if (request->out.bytes == 0 && request->is_out_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (request->n_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(request);
        }
    } else if (done == 0) {
        request->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)done;
}

static void resume(struct http_request *request)
{
    if (request->is_deferred) {
        request->is_deferred = false;
        (void)nghttp2_session_resume_data(request->conn->h2->session,
                                          request->stream_id); /* or it was reset */
    }
    conn_touch(request->conn);
}

static void h2_head(struct http_request *request, const struct answer *answer)
{
    nghttp2_nv fields[ANSWER_FIELDS_MAX];
    char status[8], length[24];
    size_t n = 0;
    assert(answer->n_headers + 4 <= ANSWER_FIELDS_MAX && answer->n_trailers <= ANSWER_FIELDS_MAX);
    int len = snprintf(status, sizeof status, "%d", answer->status);
    fields[n++] = field(STR(":status"), str_n(status, (size_t)len));
    if (answer->content_type)
        fields[n++] = field(STR("content-type"), str_of(answer->content_type));
    if (request->server->options.server_name)
        fields[n++] = field(STR("server"), str_of(request->server->options.server_name));
    bool has_length =
        answer->length != LENGTH_UNKNOWN && answer->status != 204 && answer->status != 304;
    if (has_length && !request->is_grpc) {
        len = snprintf(length, sizeof length, "%llu", (unsigned long long)answer->length);
        fields[n++] = field(STR("content-length"), str_n(length, (size_t)len));
    }
    for (size_t i = 0; i < answer->n_headers; i++)
        fields[n++] = field(answer->headers[i].name, answer->headers[i].value);
    request->trailers = answer->trailers;
    request->n_trailers = answer->n_trailers;
    nghttp2_data_provider pull = {.source.ptr = request, .read_callback = on_pull};
    bool has_data = !answer->is_bodiless && answer->length != 0;
    (void)nghttp2_submit_response(request->conn->h2->session, request->stream_id, fields, n,
                                  has_data ? &pull : NULL);
    conn_touch(request->conn);
}

static void h2_data(struct http_request *request, struct buf *bytes)
{
    bool is_payload = request->on_sent != NULL;
    if (request->out.bytes == 0)
        request->step_ns = server_now(request->server); /* from now on the peer must take it */
    if (bytes->len <= COPY_BYTES_MAX) {
        out_put(&request->out, bytes->ptr, bytes->len, is_payload);
        buf_fini(bytes);
    } else {
        out_take(&request->out, bytes, is_payload);
    }
    resume(request);
}

static void h2_end(struct http_request *request)
{
    resume(request);
}

static void h2_cut(struct http_request *request)
{
    (void)nghttp2_submit_rst_stream(request->conn->h2->session, NGHTTP2_FLAG_NONE,
                                    request->stream_id, NGHTTP2_INTERNAL_ERROR);
    conn_touch(request->conn);
}

static void h2_send_continue(struct http_request *request)
{
    nghttp2_nv status = field(STR(":status"), STR("100"));
    (void)nghttp2_submit_headers(request->conn->h2->session, NGHTTP2_FLAG_NONE, request->stream_id,
                                 NULL, &status, 1, NULL);
    conn_touch(request->conn);
}

/* While a request of the connection goes on beside the budget, its other streams must not have used
 * up the connection's window. */
static void free_connection_window(struct conn *conn)
{
    LIST_EACH(&conn->requests, link)
    lend_connection_window(MG_CONTAINER(link, struct http_request, link));
}

static void h2_unheld(struct http_request *request)
{
    if (!request->is_held && !request->has_body && request_wants_body(request) &&
        !gather_may_read(request)) {
        gather_wait(request); /* released, and still there is no room */
        return;
    }
    give_back(request);
    if (gather_is_favoured(request->conn))
        free_connection_window(request->conn);
    conn_touch(request->conn);
}

static void h2_abandon(struct http_request *request)
{
    struct h2 *h2 = request->conn->h2;
    forget(h2, request->stream_id);
    (void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, request->stream_id,
                                    NGHTTP2_CANCEL); /* only memory can fail */
}

const struct protocol h2_protocol = {
    .send_continue = h2_send_continue,
    .head = h2_head,
    .data = h2_data,
    .end = h2_end,
    .cut = h2_cut,
    .unheld = h2_unheld,
    .abandon = h2_abandon,
};

void h2_flush(struct conn *conn)
{
    struct h2 *h2 = conn->h2;
    conn_run_ready(conn);
    if (!pull_frames(conn)) {
        conn_close(conn);
        return;
    }
    if (conn->phase != CONN_H2)
        return;
    bool is_over =
        !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
    if (is_over || (conn->has_ended && list_empty(&conn->requests)))
        conn_finish(conn);
    else
        conn_set_reading(conn, conn_has_room(conn));
}

void h2_drain(struct conn *conn)
{
    struct h2 *h2 = conn->h2;
    if (h2->drain != DRAIN_NOT)
        return;
    /* RFC 9113 6.8: first a GOAWAY that refuses nothing, and a PING; the real one when its answer is
     * here. */
    h2->drain = DRAIN_NOTICED;
    h2->drain_ns = now_of(h2);
    cut_rests(conn);
    (void)nghttp2_submit_shutdown_notice(h2->session); /* the PING follows in on_frame_send */
    conn_touch(conn);
}

/* --- time --- */
static bool is_answer_stuck(const struct http_request *request, uint64_t now_ns)
{
    return request->is_answered && request->out.bytes && now_ns > request->step_ns &&
           now_ns - request->step_ns >= request->server->conf.body_timeout_ns;
}

void h2_tick(struct conn *conn, uint64_t now_ns)
{
    struct h2 *h2 = conn->h2;
    const struct http_conf *conf = &conn->server->conf;
    for (struct list *link = conn->requests.next, *next; link != &conn->requests; link = next) {
        next = link->next; /* a tick frees nothing but its own request */
        struct http_request *request = MG_CONTAINER(link, struct http_request, link);
        if (is_answer_stuck(request, now_ns))
            h2_cut(request); /* the peer opens no window for it */
        else if (is_discarded(request) && now_ns > request->end_ns &&
                 now_ns - request->end_ns >= LINGER_NS)
            cut_rest(request);
        else
            request_tick(request, now_ns);
    }
    uint64_t waited = now_ns > conn->wait_ns ? now_ns - conn->wait_ns : 0;
    if (h2->drain == DRAIN_NOTICED && now_ns > h2->drain_ns &&
        now_ns - h2->drain_ns >= GOAWAY_WAIT_NS)
        announce_end(h2);
    if (h2->head_ns && now_ns > h2->head_ns && now_ns - h2->head_ns >= conf->header_timeout_ns)
        conn_finish(conn); /* HEADERS without its CONTINUATION blocks the whole connection */
    else if (list_empty(&conn->requests) && waited >= conf->idle_timeout_ns)
        h2_drain(conn);
    if (conn->phase == CONN_H2)
        conn_touch(conn);
}
