/* stream.c - a TCP stream on libuv, and the face of both kinds.
 *
 *     application      stream_write   stream_shutdown   on_data   on_end   on_drained
 *                            |               |             ^         ^         ^
 *     tls_stream.c           |  only when `tls` is set     |         |         |
 *                            v               v             |         |         |
 *     socket           stream_send    stream_send_end     on_read             on_written
 *
 * Reading: all streams of a loop read into one 64 KiB buffer, because on_data borrows only for the
 * call; an idle connection therefore costs its struct and nothing else.
 *
 * Writing: what the kernel takes at once (uv_try_write) is never copied. The rest waits in a list
 * of chunks; one uv_write with up to IOV_MAX_CHUNKS of them is in flight at a time, and small
 * writes are gathered in the last chunk meanwhile, so a slow peer costs one allocation per 16 KiB,
 * not per write. */
#include "net/stream.h"
#include <assert.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/private.h"
#include "net/tls_stream.h"

#define CHUNK_BYTES    (16u * 1024)
#define IOV_MAX_CHUNKS 16

struct chunk {
    struct chunk *next;
    char *bytes; /* owned */
    size_t len, room;
    size_t sent; /* only the first chunk: what uv_try_write took */
};

struct stream {
    uv_tcp_t tcp; /* first: the close callback finds the whole */
    struct loop *loop;
    const struct stream_events *events; /* NULL until owned */
    void *owner;
    struct chunk *head, **tail; /* waiting, the first `in_flight` of them given to libuv */
    unsigned in_flight;         /* chunks of the running uv_write; 0: none runs */
    unsigned read_most;         /* bytes of one read */
    size_t queued;              /* bytes in the chunks, less what was sent */
    enum mg_err err;            /* why it closes */
    struct tls_stream *tls;     /* owned; NULL: plain */
    bool wants_data;            /* the application has not paused */
    bool is_polling;            /* uv_read runs */
    bool has_fin;               /* the peer's FIN came: reading again would report it again */
    bool has_ended;             /* on_end was called */
    bool is_closing;
    bool wants_shutdown; /* after the chunks */
    uv_write_t write;
    uv_shutdown_t shutdown;
    char peer[ADDRESS_TEXT_BYTES];
};

struct stream *stream_new(struct loop *loop)
{
    struct stream *stream = MEM_NEW(struct stream);
    (void)uv_tcp_init(&loop->uv, &stream->tcp); /* fails only for a wrong family */
    stream->loop = loop;
    stream->read_most = LOOP_READ_BYTES;
    stream->tail = &stream->head;
    return stream;
}

int stream_adopt(struct stream *stream, int fd, const struct sockaddr *peer)
{
    int err = uv_tcp_open(&stream->tcp, fd);
    if (err) {
        close(fd);
        return err;
    }
    stream_set_peer(stream, peer);
    return 0;
}

uv_tcp_t *stream_tcp(struct stream *stream)
{
    return &stream->tcp;
}

void stream_set_peer(struct stream *stream, const struct sockaddr *peer)
{
    (void)uv_tcp_nodelay(&stream->tcp, 1); /* only latency is lost when the system refuses */
    address_text(peer, stream->peer);
}

struct str stream_peer(const struct stream *stream)
{
    return str_of(stream->peer);
}

void stream_secure(struct stream *stream, struct tls_stream *tls)
{
    assert(!stream->tls && !stream->events);
    stream->tls = tls;
}

struct loop *stream_loop(const struct stream *stream)
{
    return stream->loop;
}

struct tls_stream *stream_tls(const struct stream *stream)
{
    return stream->tls;
}

/* --- closing --- */
static void drop_first_chunk(struct stream *stream)
{
    struct chunk *chunk = stream->head;
    stream->head = chunk->next;
    if (!stream->head)
        stream->tail = &stream->head;
    mem_free(chunk->bytes);
    mem_free(chunk);
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = MG_CONTAINER((uv_tcp_t *)handle, struct stream, tcp);
    while (stream->head)
        drop_first_chunk(stream);
    if (stream->events)
        stream->events->on_closed(stream->owner, stream->err);
    tls_stream_free(&stream->tls);
    mem_free(stream);
}

bool stream_is_closing(const struct stream *stream)
{
    return stream->is_closing;
}

void stream_close_with(struct stream *stream, enum mg_err err)
{
    if (stream->is_closing)
        return;
    if (stream->tls)
        tls_stream_leave(stream->tls, err == MG_OK);
    stream->is_closing = true;
    stream->err = err;
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

void stream_close(struct stream *stream)
{
    stream_close_with(stream, MG_OK);
}

/* --- reading --- */
static void give_read_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct stream *stream = MG_CONTAINER((uv_tcp_t *)handle, struct stream, tcp);
    *out = uv_buf_init(stream->loop->read_buffer, stream->read_most);
}

bool stream_wants_data(const struct stream *stream)
{
    return stream->events && stream->wants_data && !stream->has_ended && !stream->is_closing;
}

void stream_give_data(struct stream *stream, struct str bytes)
{
    stream->events->on_data(stream->owner, bytes);
}

void stream_give_end(struct stream *stream)
{
    stream->has_ended = true;
    stream->events->on_end(stream->owner);
}

bool stream_has_fin(const struct stream *stream)
{
    return stream->has_fin;
}

static void on_fin(struct stream *stream)
{
    stream->has_fin = true;
    stream->is_polling = false; /* libuv has stopped by itself */
    if (stream->tls)
        tls_stream_end(stream->tls);
    else
        stream_give_end(stream);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct stream *stream = MG_CONTAINER((uv_tcp_t *)handle, struct stream, tcp);
    if (n == UV_EOF)
        on_fin(stream);
    else if (n < 0)
        stream_close_with(stream, MG_E_IO);
    else if (n > 0 && stream->tls)
        tls_stream_take(stream->tls, str_n(buf->base, (size_t)n));
    else if (n > 0)
        stream_give_data(stream, str_n(buf->base, (size_t)n));
}

void stream_poll(struct stream *stream, bool is_wanted)
{
    if (is_wanted == stream->is_polling || stream->has_fin || stream->is_closing)
        return;
    stream->is_polling = is_wanted;
    if (!is_wanted)
        (void)uv_read_stop((uv_stream_t *)&stream->tcp); /* always 0 */
    else if (uv_read_start((uv_stream_t *)&stream->tcp, give_read_buffer, on_read))
        stream_close_with(stream, MG_E_IO);
}

static void read_or_not(struct stream *stream)
{
    if (stream->tls)
        tls_stream_pace(stream->tls);
    else
        stream_poll(stream, stream->wants_data);
}

void stream_resume(struct stream *stream)
{
    if (stream->wants_data || stream->has_ended || stream->is_closing)
        return;
    stream->wants_data = true;
    read_or_not(stream);
}

void stream_pause(struct stream *stream)
{
    stream->wants_data = false;
    read_or_not(stream);
}

void stream_read_most(struct stream *stream, size_t bytes)
{
    assert(bytes > 0);
    stream->read_most = (unsigned)MG_MIN(bytes, (size_t)LOOP_READ_BYTES);
}

void stream_own(struct stream *stream, const struct stream_events *events, void *owner)
{
    assert(events->on_data && events->on_end && events->on_drained && events->on_closed);
    stream->events = events;
    stream->owner = owner;
    stream_resume(stream);
}

/* --- writing --- */
static void write_more(struct stream *stream);

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    /* A peer that went is reported by the read side; there is nothing to add here. */
    (void)shutdown;
    (void)status;
}

static void shutdown_when_empty(struct stream *stream)
{
    if (!stream->wants_shutdown || stream->head || stream->is_closing)
        return;
    stream->wants_shutdown = false;
    if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shutdown))
        stream_close_with(stream, MG_E_IO);
}

void stream_give_drained(struct stream *stream)
{
    if (stream->events && !stream->is_closing && stream_queued(stream) == 0)
        stream->events->on_drained(stream->owner);
}

static void on_written(uv_write_t *write, int status)
{
    struct stream *stream = MG_CONTAINER(write, struct stream, write);
    for (; stream->in_flight > 0; stream->in_flight--) {
        stream->queued -= stream->head->len - stream->head->sent;
        drop_first_chunk(stream);
    }
    if (stream->is_closing)
        return;
    if (status < 0) {
        stream_close_with(stream, MG_E_IO);
        return;
    }
    write_more(stream);
    if (stream->head)
        return;
    shutdown_when_empty(stream);
    stream_give_drained(stream);
}

static void write_more(struct stream *stream)
{
    uv_buf_t bufs[IOV_MAX_CHUNKS];
    unsigned n = 0;
    for (struct chunk *chunk = stream->head; chunk && n < IOV_MAX_CHUNKS; chunk = chunk->next)
        bufs[n++] = (uv_buf_t){.base = chunk->bytes + chunk->sent, .len = chunk->len - chunk->sent};
    if (n == 0)
        return;
    stream->in_flight = n;
    if (uv_write(&stream->write, (uv_stream_t *)&stream->tcp, bufs, n, on_written)) {
        stream->in_flight = 0;
        stream_close_with(stream, MG_E_IO);
    }
}

/* Returns how much the kernel took; SIZE_MAX after an error. */
static size_t try_write(struct stream *stream, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        /* uv_try_write answers with an int: a piece stays below. */
        uv_buf_t buf = {.base = (char *)bytes + done, .len = MG_MIN(len - done, (size_t)1 << 30)};
        int n = uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1);
        if (n == UV_EAGAIN || n == 0)
            break;
        if (n < 0) {
            stream_close_with(stream, MG_E_IO);
            return SIZE_MAX;
        }
        done += (size_t)n;
    }
    return done;
}

static void queue_chunk(struct stream *stream, char *bytes, size_t len, size_t room, size_t sent)
{
    struct chunk *chunk = MEM_NEW(struct chunk);
    *chunk = (struct chunk){.bytes = bytes, .len = len, .room = room, .sent = sent};
    *stream->tail = chunk;
    stream->tail = &chunk->next;
    stream->queued += len - sent;
    if (stream->in_flight == 0)
        write_more(stream);
}

/* Adds to the last chunk when it waits and has room: libuv does not look at it yet. */
static bool gather(struct stream *stream, const void *bytes, size_t len)
{
    if (stream->tail == &stream->head)
        return false;
    struct chunk *last = MG_CONTAINER(stream->tail, struct chunk, next);
    unsigned index = 0;
    for (struct chunk *chunk = stream->head; chunk != last && index < stream->in_flight;
         chunk = chunk->next)
        index++;
    if (index < stream->in_flight || last->room - last->len < len)
        return false;
    memcpy(last->bytes + last->len, bytes, len);
    last->len += len;
    stream->queued += len;
    return true;
}

void stream_send(struct stream *stream, const void *bytes, size_t len)
{
    if (stream->is_closing || len == 0)
        return;
    size_t done = 0;
    if (!stream->head) {
        done = try_write(stream, bytes, len);
        if (done >= len) /* also after an error */
            return;
    }
    const char *rest = (const char *)bytes + done;
    len -= done;
    if (gather(stream, rest, len))
        return;
    size_t room = MG_MAX(len, (size_t)CHUNK_BYTES);
    char *copy = mem_alloc(room);
    memcpy(copy, rest, len);
    queue_chunk(stream, copy, len, room, 0);
}

void stream_send_or_drop(struct stream *stream, const void *bytes, size_t len)
{
    uv_buf_t buf = {.base = (char *)bytes, .len = len};
    (void)uv_try_write((uv_stream_t *)&stream->tcp, &buf, 1); /* a last word, heard or not */
}

void stream_send_end(struct stream *stream)
{
    stream->wants_shutdown = true;
    shutdown_when_empty(stream);
}

size_t stream_unsent(const struct stream *stream)
{
    return stream->queued;
}

static void send_buf(struct stream *stream, char *bytes, size_t len)
{
    size_t done = len;
    if (!stream->is_closing && len > 0)
        done = stream->head ? 0 : try_write(stream, bytes, len);
    if (done >= len)
        mem_free(bytes);
    else
        queue_chunk(stream, bytes, len, len, done);
}

/* --- the face --- */
void stream_write(struct stream *stream, const void *bytes, size_t len)
{
    if (stream->tls)
        tls_stream_write(stream->tls, bytes, len);
    else
        stream_send(stream, bytes, len);
}

void stream_write_buf(struct stream *stream, struct buf *buf)
{
    size_t len;
    char *bytes = buf_take(buf, &len);
    if (!stream->tls) {
        send_buf(stream, bytes, len);
        return;
    }
    tls_stream_write(stream->tls, bytes, len); /* encrypts, which is a copy */
    mem_free(bytes);
}

size_t stream_queued(const struct stream *stream)
{
    return stream->queued + (stream->tls ? tls_stream_waiting(stream->tls) : 0);
}

void stream_shutdown(struct stream *stream)
{
    if (stream->tls)
        tls_stream_shutdown(stream->tls);
    else
        stream_send_end(stream);
}
