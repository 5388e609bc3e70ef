#include "unit/http/client_peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"

#define READ_BYTES 4096

struct peer {
    pthread_t thread;
    int listener;
    const struct peer_step *steps;
    size_t n_steps;
    char url[40];
    /* The thread's, until it was joined. */
    struct buf requests;
    unsigned n_connections;
    bool has_refused;
};

static int listen_anywhere(char url[40])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 16) == 0);
    assert(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(url, 40, "http://127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

void peer_nobody(char url[40])
{
    close(listen_anywhere(url));
}

static int accept_next(struct peer *peer)
{
    int one = 1, fd = accept(peer->listener, NULL, NULL);

    if (fd >= 0) {
        peer->n_connections++;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    return fd;
}

/* --- HTTP/1.1 --- */

static size_t body_length(struct str head)
{
    size_t at;

    if (!str_find(head, STR("content-length: "), &at))
        return 0;
    return strtoul(head.ptr + at + 16, NULL, 10); /* ends at the line's end */
}

/* False when the client closed first. */
static bool read_request(struct peer *peer, int fd, bool head_only)
{
    size_t start = peer->requests.len, end, want = SIZE_MAX;
    char bytes[4096];

    while (peer->requests.len - start < want) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            return false;
        buf_put(&peer->requests, bytes, (size_t)n);
        struct str request = str_n(peer->requests.ptr + start, peer->requests.len - start);
        if (want == SIZE_MAX && str_find(request, STR("\r\n\r\n"), &end))
            want = end + 4 + (head_only ? 0 : body_length(str_n(request.ptr, end + 2)));
    }
    return true;
}

static void send_answer(int fd, const struct peer_step *step)
{
    size_t piece = step->one_byte ? 1 : step->answer.len;

    for (size_t at = 0; at < step->answer.len; at += piece) {
        if (send(fd, step->answer.ptr + at, piece, MSG_NOSIGNAL) < 0)
            return;
    }
}

static void wait_for_close(int fd, size_t step)
{
    char bytes[READ_BYTES];

    while (recv(fd, bytes, step, 0) > 0)
        ;
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static void *run_h1(void *argument)
{
    struct peer *peer = argument;
    int fd = -1;

    for (size_t i = 0; i < peer->n_steps;) {
        const struct peer_step *step = &peer->steps[i];
        if (fd < 0 && (fd = accept_next(peer)) < 0)
            return NULL;
        if (read_request(peer, fd, step->head_only)) {
            send_answer(fd, step);
            i++;
            if (step->then == PEER_KEEP)
                continue;
            if (step->then == PEER_WAIT)
                wait_for_close(fd, step->head_only ? 64 : READ_BYTES); /* slower than it is sent */
            if (step->then == PEER_RESET)
                reset(fd);
        }
        close(fd);
        fd = -1;
    }
    if (fd >= 0) {
        wait_for_close(fd, READ_BYTES); /* kept by the client until it is freed */
        close(fd);
    }
    return NULL;
}

/* --- HTTP/2 --- */

struct h2_stream {
    char path[64];
    struct buf in;
    struct str out; /* in `in`, or static */
    size_t sent;
    bool has_trailers;
};

struct h2_connection {
    struct peer *peer;
    int fd;
    bool must_close; /* after what is queued */
    bool is_deaf;    /* nothing passes any more, and TCP stays open */
};

#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, sizeof(v) - 1, 0      \
    }
static const nghttp2_nv status_200 = NV(":status", "200");
static const nghttp2_nv status_503 = NV(":status", "503");
static const nghttp2_nv status_413 = NV(":status", "413");
static const nghttp2_nv status_103 = NV(":status", "103");
static const nghttp2_nv type_text = NV("content-type", "text/plain");
static const nghttp2_nv type_grpc = NV("content-type", "application/grpc");
static const nghttp2_nv retry_after = NV("retry-after", "7");
static const nghttp2_nv grpc_ok = NV("grpc-status", "0");
static const nghttp2_nv grpc_busy = NV("grpc-status", "14");
static const nghttp2_nv grpc_gzip = NV("grpc-encoding", "gzip");
static const nghttp2_nv grpc_full = NV("grpc-status", "8");
/* google.rpc.Status{8, "slow", RetryInfo{2.5 s}} by google.rpc.status_pb2 (Python) */
static const nghttp2_nv grpc_details =
    NV("grpc-status-details-bin",
       "CAgSBHNsb3caNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIK"
       "CggIAhCAyrXuAQ");
static const nghttp2_nv grpc_text = NV("grpc-message", "come%20back %25");

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                        uint32_t *flags, nghttp2_data_source *source, void *owner)
{
    struct h2_stream *stream = source->ptr;
    size_t n = MG_MIN(room, stream->out.len - stream->sent);

    (void)owner;
    if (n)
        memcpy(out, stream->out.ptr + stream->sent, n);
    stream->sent += n;
    if (stream->sent == stream->out.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->has_trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, id, &grpc_ok, 1);
        }
    }
    return (ssize_t)n;
}

static void respond(nghttp2_session *session, int32_t id, struct h2_stream *stream,
                    const nghttp2_nv *nv, size_t n, struct str out)
{
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_out};

    stream->out = out;
    nghttp2_submit_response(session, id, nv, n, out.len || stream->has_trailers ? &body : NULL);
}

static void respond_grpc(nghttp2_session *session, int32_t id, struct h2_stream *stream,
                         struct str out)
{
    const nghttp2_nv head[] = {status_200, type_grpc};

    stream->has_trailers = true;
    respond(session, id, stream, head, 2, out);
}

/* A packed message, as grpc-go answers a packed request. */
static void respond_packed(nghttp2_session *session, int32_t id, struct h2_stream *stream,
                           struct str out)
{
    const nghttp2_nv head[] = {status_200, type_grpc, grpc_gzip};

    stream->has_trailers = true;
    respond(session, id, stream, head, 3, out);
}

/* 0a 07 08 03 12 03 "bad" by gzip (Python). */
#define PACKED                                                                                     \
    "\1\0\0\0\x1d\x1f\x8b\x08\0\0\0\0\0\x02\x03\xe3\x62\xe7\x60\x16\x62\x4e\x4a\x4c\x01\0\x05\x20" \
    "\x66"                                                                                         \
    "\xb9\x09\0\0\0"

static void answer(struct h2_connection *connection, nghttp2_session *session, int32_t id,
                   struct h2_stream *stream)
{
    static char big[100000];
    const nghttp2_nv text[] = {status_200, type_text, retry_after};
    const nghttp2_nv trailers_only[] = {status_200, type_grpc, grpc_busy, grpc_text};
    const nghttp2_nv bare[] = {status_503, retry_after};
    struct str path = str_of(stream->path);
    bool may_refuse = !connection->peer->has_refused;

    if (str_eq(path, STR("/hello")))
        respond(session, id, stream, text, 3, STR("hello"));
    else if (str_eq(path, STR("/echo")))
        respond(session, id, stream, text, 2, buf_str(&stream->in));
    else if (str_eq(path, STR("/big")))
        respond(session, id, stream, text, 2, str_n(big, sizeof big));
    else if (str_eq(path, STR("/interim"))) {
        nghttp2_submit_headers(session, 0, id, NULL, &status_103, 1, NULL);
        respond(session, id, stream, text, 3, STR("hello"));
    } else if (str_eq(path, STR("/s/Echo")))
        respond_grpc(session, id, stream, buf_str(&stream->in));
    else if (str_eq(path, STR("/s/Two")))
        respond_grpc(session, id, stream, STR("\0\0\0\0\1a\0\0\0\0\1b"));
    else if (str_eq(path, STR("/s/Empty")))
        respond_grpc(session, id, stream, STR(""));
    else if (str_eq(path, STR("/s/Flag")))
        respond_grpc(session, id, stream, STR("\1\0\0\0\1a"));
    else if (str_eq(path, STR("/s/Packed")))
        respond_packed(session, id, stream, STR(PACKED));
    else if (str_eq(path, STR("/s/PackedBadly")))
        respond_packed(session, id, stream, STR("\1\0\0\0\x04\x1f\x8b\x08\0"));
    else if (str_eq(path, STR("/s/Full")))
        respond(session, id, stream,
                (const nghttp2_nv[]){status_200, type_grpc, grpc_full, grpc_details}, 4, STR(""));
    else if (str_eq(path, STR("/s/Busy")))
        respond(session, id, stream, trailers_only, 4, STR(""));
    else if (str_eq(path, STR("/s/Bare")) || str_eq(path, STR("/bare")))
        respond(session, id, stream, bare, 2, STR(""));
    else if (str_eq(path, STR("/refuse")) || (str_eq(path, STR("/refuse-once")) && may_refuse)) {
        connection->peer->has_refused = true;
        nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_REFUSED_STREAM);
    } else if (str_eq(path, STR("/reset")))
        nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_INTERNAL_ERROR);
    else if (str_eq(path, STR("/goaway-once")) && may_refuse) {
        connection->peer->has_refused = true;
        nghttp2_submit_goaway(session, 0, 0, NGHTTP2_NO_ERROR, NULL, 0);
        connection->must_close = true;
    } else if (str_eq(path, STR("/close-once")) && may_refuse) {
        connection->peer->has_refused = true;
        connection->must_close = true;
    } else if (str_eq(path, STR("/no-more-streams"))) {
        const nghttp2_settings_entry none = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0};
        nghttp2_submit_settings(session, 0, &none, 1);
        respond(session, id, stream, text, 3, STR("hello"));
    } else if (str_eq(path, STR("/deaf")))
        connection->is_deaf = true;
    else if (str_eq(path, STR("/close")))
        connection->must_close = true;
    else if (str_eq(path, STR("/cut"))) {
        nghttp2_submit_headers(session, 0, id, NULL, text, 2, NULL);
        connection->must_close = true;
    } else if (!str_eq(path, STR("/silent")))
        respond(session, id, stream, text, 2, STR("other"));
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct h2_stream *stream = MEM_NEW(struct h2_stream);

    (void)owner;
    buf_init(&stream->in, 1 << 24);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *owner)
{
    struct h2_connection *connection = owner;
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    buf_printf(&connection->peer->requests, "%.*s: %.*s\n", (int)name_len, name, (int)value_len,
               value);
    if (stream && str_eq(str_n(name, name_len), STR(":path")))
        snprintf(stream->path, sizeof stream->path, "%.*s", (int)value_len, value);
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *owner)
{
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

    (void)flags, (void)owner;
    if (stream)
        buf_put(&stream->in, bytes, len);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct h2_connection *connection = owner;
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (!stream || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && strcmp(stream->path, "/early") == 0)
        respond(session, frame->hd.stream_id, stream, &status_413, 1, STR("too much"));
    else if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && strcmp(stream->path, "/early") != 0)
        answer(connection, session, frame->hd.stream_id, stream);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
    struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

    (void)owner, (void)code;
    if (stream) {
        buf_fini(&stream->in);
        mem_free(stream);
        nghttp2_session_set_stream_user_data(session, id, NULL);
    }
    return 0;
}

static nghttp2_session *session_new(struct h2_connection *connection)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2}};
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;

    assert(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    assert(nghttp2_session_server_new(&session, callbacks, connection) == 0);
    nghttp2_session_callbacks_del(callbacks);
    assert(nghttp2_submit_settings(session, 0, settings, 1) == 0);
    return session;
}

static bool send_frames(nghttp2_session *session, int fd)
{
    const uint8_t *bytes;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(session, &bytes)) > 0) {
        for (ssize_t at = 0, sent; at < n; at += sent) {
            sent = send(fd, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (sent < 0)
                return false;
        }
    }
    return n == 0;
}

/* Streams that the connection's end leaves open are not reported by nghttp2. */
static void close_streams(nghttp2_session *session)
{
    for (int32_t id = 1; id < 1000; id += 2) {
        if (nghttp2_session_find_stream(session, id))
            (void)on_close(session, id, 0, NULL);
    }
}

static void serve_h2(struct peer *peer, int fd)
{
    struct h2_connection connection = {.peer = peer, .fd = fd};
    nghttp2_session *session = session_new(&connection);
    uint8_t bytes[1 << 16];

    while (send_frames(session, fd) && !connection.must_close) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0 || nghttp2_session_mem_recv(session, bytes, (size_t)n) < 0)
            break;
        if (connection.is_deaf) {
            wait_for_close(fd, READ_BYTES);
            break;
        }
    }
    close_streams(session);
    nghttp2_session_del(session);
}

static void *run_h2(void *argument)
{
    struct peer *peer = argument;
    int fd;

    while ((fd = accept_next(peer)) >= 0) {
        serve_h2(peer, fd);
        (void)shutdown(fd, SHUT_WR); /* a close with unread bytes would reset */
        wait_for_close(fd, READ_BYTES);
        close(fd);
    }
    return NULL;
}

/* --- both --- */

static struct peer *start(void *(*run)(void *), const struct peer_step *steps, size_t n)
{
    struct peer *peer = MEM_NEW(struct peer);

    buf_init(&peer->requests, 1 << 24);
    peer->listener = listen_anywhere(peer->url);
    peer->steps = steps;
    peer->n_steps = n;
    assert(pthread_create(&peer->thread, NULL, run, peer) == 0);
    return peer;
}

struct peer *peer_start(const struct peer_step *steps, size_t n)
{
    return start(run_h1, steps, n);
}

struct peer *peer_start_h2(void)
{
    return start(run_h2, NULL, 0);
}

const char *peer_url(const struct peer *peer)
{
    return peer->url;
}

unsigned peer_stop(struct peer *peer, struct buf *requests)
{
    (void)shutdown(peer->listener, SHUT_RDWR); /* accept returns */
    assert(pthread_join(peer->thread, NULL) == 0);
    close(peer->listener);
    unsigned n = peer->n_connections;
    if (requests)
        buf_put_str(requests, buf_str(&peer->requests));
    buf_fini(&peer->requests);
    mem_free(peer);
    return n;
}
