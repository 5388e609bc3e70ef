/* stream.c - a TCP stream on libuv.
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
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/private.h"

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
    size_t queued;              /* bytes in the chunks, less what was sent */
    enum mg_err err;            /* why it closes */
    bool is_reading;
    bool has_ended; /* the peer's FIN came: reading again would report it again */
    bool is_closing;
    bool wants_shutdown; /* after the chunks */
    uv_write_t write;
    uv_shutdown_t shutdown;
    char peer[ADDRESS_TEXT_BYTES];
};

void address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    out[0] = '\0';
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        (void)uv_ip4_name(v4, host, sizeof host); /* the room is sufficient by definition */
        snprintf(out, ADDRESS_TEXT_BYTES, "%s:%u", host, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        (void)uv_ip6_name(v6, host, sizeof host);
        snprintf(out, ADDRESS_TEXT_BYTES, "[%s]:%u", host, ntohs(v6->sin6_port));
    }
}

struct stream *stream_new(struct loop *loop)
{
    struct stream *stream = MEM_NEW(struct stream);
    (void)uv_tcp_init(&loop->uv, &stream->tcp); /* fails only for a wrong family */
    stream->loop = loop;
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
    mem_free(stream);
}

static void close_with(struct stream *stream, enum mg_err err)
{
    if (stream->is_closing)
        return;
    stream->is_closing = true;
    stream->err = err;
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

void stream_close(struct stream *stream)
{
    close_with(stream, MG_OK);
}

/* --- reading --- */
static void give_read_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct stream *stream = MG_CONTAINER((uv_tcp_t *)handle, struct stream, tcp);
    *out = uv_buf_init(stream->loop->read_buffer, LOOP_READ_BYTES);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct stream *stream = MG_CONTAINER((uv_tcp_t *)handle, struct stream, tcp);
    if (n > 0) {
        stream->events->on_data(stream->owner, str_n(buf->base, (size_t)n));
    } else if (n == UV_EOF) {
        stream->has_ended = true;
        stream->is_reading = false;
        stream->events->on_end(stream->owner);
    } else if (n < 0) {
        close_with(stream, MG_E_IO);
    }
}

void stream_resume(struct stream *stream)
{
    if (stream->is_reading || stream->has_ended || stream->is_closing)
        return;
    stream->is_reading = true;
    if (uv_read_start((uv_stream_t *)&stream->tcp, give_read_buffer, on_read))
        close_with(stream, MG_E_IO);
}

void stream_pause(struct stream *stream)
{
    stream->is_reading = false;
    (void)uv_read_stop((uv_stream_t *)&stream->tcp); /* always 0 */
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
        close_with(stream, MG_E_IO);
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
        close_with(stream, MG_E_IO);
        return;
    }
    write_more(stream);
    if (!stream->head && !stream->is_closing) {
        shutdown_when_empty(stream);
        stream->events->on_drained(stream->owner);
    }
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
        close_with(stream, MG_E_IO);
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
            close_with(stream, MG_E_IO);
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

void stream_write(struct stream *stream, const void *bytes, size_t len)
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

void stream_write_buf(struct stream *stream, struct buf *buf)
{
    size_t len;
    char *bytes = buf_take(buf, &len);
    size_t done = len;
    if (!stream->is_closing && len > 0)
        done = stream->head ? 0 : try_write(stream, bytes, len);
    if (done >= len)
        mem_free(bytes);
    else
        queue_chunk(stream, bytes, len, len, done);
}

size_t stream_queued(const struct stream *stream)
{
    return stream->queued;
}

void stream_shutdown(struct stream *stream)
{
    stream->wants_shutdown = true;
    shutdown_when_empty(stream);
}
