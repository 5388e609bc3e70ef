/* pipe.c - one answer from a query thread to the loop of its request.
 *
 * The writer gathers small pieces in a buffer of its own. Nothing is decided on the wire until
 * FLUSH_BYTES came together: an answer that ends before gets a Content-Length, and one that fails
 * before is a clean error. From then on buffers are handed over under the pipe's lock, at most
 * `window` bytes ahead of what the socket (or the HTTP/2 stream) took, and the writer sleeps when
 * it is further ahead.
 *
 * Compression is the writer's work, and each hand-over ends in a flush: what was written when it
 * was made can be read at the other end. Ahead, and so in the window, is what was packed. The rest
 * of a pipe that hands nothing over is packed on the loop, as any whole answer.
 *
 * Messages of a gRPC call are handed over at once: how the call ends follows in its trailers
 * whenever that is known, so there is nothing to wait for.
 *
 * One message per pipe wakes the loop, posted when it is not on its way already. Two parties hold
 * the pipe, the writer until http_pipe_end and the loop until it has seen that end; the last one
 * frees it. The loop always sees the end, because a request whose pipe is open is owed, and a
 * server does not go before that. */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include "base/clock.h"
#include "codec/zip.h"
#include "http/conn.h"
#include "http/grpc.h"

#define FLUSH_BYTES     (64u * 1024)
#define WINDOW_BYTES    (1024u * 1024)
#define PROGRESS_NS     30000000000ull
#define TYPE_BYTES_MAX  128
#define VALUE_BYTES_MAX 96

struct block {
    struct block *next;
    struct buf bytes;
};

struct http_pipe {
    struct message mail; /* first */
    size_t window;
    uint64_t progress_ns; /* PROGRESS_NS; a test makes it short */
    bool is_grpc;         /* messages instead of a body */
    bool is_head;         /* what is written is only counted */
    bool reads_gzip;      /* the peer does */
    unsigned retry_s;     /* when it had better come again */
    struct mailbox *box;
    struct {
        struct http_request *request;
        bool has_begun; /* the head is on the wire */
    } own;              /* loop thread */
    struct {
        struct buf pending; /* not handed over */
        int status;
        char content_type[TYPE_BYTES_MAX];
        struct str header; /* its name; empty: none */
        char header_value[VALUE_BYTES_MAX];
        bool has_flushed, has_failed;
        bool is_packed;         /* decided at the first hand-over */
        struct zip_writer *zip; /* of a packed body that is sent; until the end */
    } writer; /* writer's thread; the loop reads it only after the first hand-over or the end */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t moved;
        struct block *head, **tail;
        size_t ahead;      /* bytes handed over and not yet sent */
        uint64_t moved_ns; /* last time `ahead` fell */
        bool is_posted, is_gone, has_ended;
        enum mg_err end_err;
        struct buf end_message;
    } shared;
};

struct http_pipe *http_pipe_new(struct http_request *request, size_t window)
{
    assert(!request->is_handler_done && request->has_body && !request->is_duplex);
    struct http_pipe *pipe = MEM_NEW(struct http_pipe);
    pipe->window = window ? window : WINDOW_BYTES;
    pipe->progress_ns = PROGRESS_NS;
    pipe->is_grpc = request->is_grpc;
    pipe->is_head = request->is_head;
    pipe->reads_gzip = !request->is_grpc && compress_is_wanted(request);
    pipe->retry_s = request_retry_s(request);
    pipe->box = request->server->pipes;
    pipe->own.request = request;
    pipe->writer.status = 200;
    buf_init(&pipe->writer.pending, SIZE_MAX);
    buf_init(&pipe->shared.end_message, 4096);
    pthread_mutex_init(&pipe->shared.lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pipe->shared.moved, &attr);
    pthread_condattr_destroy(&attr);
    pipe->shared.tail = &pipe->shared.head;
    request->is_handler_done = true;
    request->is_owed = true;
    request->pipe = pipe;
    pipe->shared.is_gone = request->is_gone;
    request_attach_pipe(request);
    return pipe;
}

static void free_pipe(struct http_pipe *pipe)
{
    while (pipe->shared.head) {
        struct block *block = pipe->shared.head;
        pipe->shared.head = block->next;
        buf_fini(&block->bytes);
        mem_free(block);
    }
    buf_fini(&pipe->writer.pending);
    buf_fini(&pipe->shared.end_message);
    pthread_cond_destroy(&pipe->shared.moved);
    pthread_mutex_destroy(&pipe->shared.lock);
    mem_free(pipe);
}

/* --- the writer's side --- */
static void post_locked(struct http_pipe *pipe)
{
    if (!pipe->shared.is_posted) {
        pipe->shared.is_posted = true;
        mailbox_post(pipe->box, &pipe->mail);
    }
}

static void wait_until(struct http_pipe *pipe, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000u),
                             .tv_nsec = (long)(until_ns % 1000000000u)};
    (void)pthread_cond_timedwait(&pipe->shared.moved, &pipe->shared.lock,
                                 &until); /* the caller looks again */
}

/* Waits for room, under the lock. The first bytes always fit, or a block larger than the window
 * never would. */
static enum mg_err wait_for_room(struct http_pipe *pipe, size_t len)
{
    uint64_t since = clock_mono_ns();
    while (!pipe->shared.is_gone && pipe->shared.ahead > 0 &&
           pipe->shared.ahead + len > pipe->window) {
        uint64_t last = MG_MAX(since, pipe->shared.moved_ns);
        if (clock_mono_ns() >= last + pipe->progress_ns)
            return MG_E_TIMEOUT;
        wait_until(pipe, last + pipe->progress_ns);
    }
    return pipe->shared.is_gone ? MG_E_IO : MG_OK;
}

static void queue_locked(struct http_pipe *pipe, struct buf *bytes)
{
    if (bytes->len == 0) {
        buf_fini(bytes);
        return;
    }
    struct block *block = MEM_NEW(struct block);
    block->bytes = *bytes;
    *bytes = (struct buf){.limit = bytes->limit};
    pipe->shared.ahead += block->bytes.len;
    *pipe->shared.tail = block;
    pipe->shared.tail = &block->next;
}

static enum mg_err hand_over(struct http_pipe *pipe, struct buf *bytes)
{
    pthread_mutex_lock(&pipe->shared.lock);
    enum mg_err err = wait_for_room(pipe, bytes->len);
    if (err == MG_OK) {
        queue_locked(pipe, bytes);
        post_locked(pipe);
    }
    pthread_mutex_unlock(&pipe->shared.lock);
    pipe->writer.has_flushed |= err == MG_OK;
    pipe->writer.has_failed |= err != MG_OK;
    return err;
}

static void decide_packing(struct http_pipe *pipe)
{
    pipe->writer.is_packed =
        pipe->reads_gzip && compress_suits(pipe->writer.status, pipe->writer.content_type);
    if (pipe->writer.is_packed && !pipe->is_head)
        pipe->writer.zip = zip_writer_new();
}

static void pack(struct http_pipe *pipe, struct buf *bytes, bool is_last)
{
    if (!pipe->writer.zip)
        return;
    size_t limit = bytes->limit;
    struct buf packed;
    buf_init(&packed, SIZE_MAX);
    (void)!zip_writer_put(pipe->writer.zip, buf_str(bytes), is_last,
                          &packed); /* no limit to refuse it */
    buf_fini(bytes);
    *bytes = packed;
    bytes->limit = limit;
}

static enum mg_err flush(struct http_pipe *pipe, struct buf *bytes)
{
    if (!pipe->writer.has_flushed)
        decide_packing(pipe);
    pack(pipe, bytes, false);
    return hand_over(pipe, bytes);
}

void http_pipe_head(struct http_pipe *pipe, int status, const char *content_type)
{
    assert(!pipe->writer.has_flushed && !pipe->is_grpc);
    pipe->writer.status = status;
    pipe->writer.header = STR("");
    snprintf(pipe->writer.content_type, sizeof pipe->writer.content_type, "%s",
             content_type ? content_type : "");
}

void http_pipe_header(struct http_pipe *pipe, struct str lower_name, struct str value)
{
    assert(!pipe->writer.has_flushed && lower_name.len > 0 && value.len < VALUE_BYTES_MAX);
    for (size_t i = 0; i < value.len; i++)
        assert(value.ptr[i] >= ' ' && value.ptr[i] <= '~');
    pipe->writer.header = lower_name;
    snprintf(pipe->writer.header_value, VALUE_BYTES_MAX, "%.*s", STR_ARG(value));
}

bool http_pipe_fail(struct http_pipe *pipe, enum mg_err err, const char *content_type)
{
    if (pipe->writer.has_flushed)
        return false;
    char hint[16];
    int len = snprintf(hint, sizeof hint, "%u", pipe->retry_s);
    buf_clear(&pipe->writer.pending);
    http_pipe_head(pipe, mg_err_http(err), content_type);
    if (mg_err_may_retry(err))
        http_pipe_header(pipe, STR("retry-after"), str_n(hint, (size_t)len));
    return true;
}

static enum mg_err write_bytes(struct http_pipe *pipe, struct buf *bytes)
{
    struct buf *pending = &pipe->writer.pending;
    if (pending->len == 0 && bytes->len >= FLUSH_BYTES)
        return flush(pipe, bytes);
    if (pending->len == 0 && bytes->room >= bytes->len) { /* take the memory instead of copying */
        buf_fini(pending);
        *pending = *bytes;
        pending->limit = SIZE_MAX / 4;
        *bytes = (struct buf){.limit = bytes->limit};
    } else {
        buf_put(pending, bytes->ptr, bytes->len);
    }
    return pending->len >= FLUSH_BYTES ? flush(pipe, pending) : MG_OK;
}

enum mg_err http_pipe_write(struct http_pipe *pipe, struct buf *bytes)
{
    assert(!pipe->is_grpc);
    if (http_pipe_is_gone(pipe) || pipe->writer.has_failed) {
        buf_clear(bytes);
        return MG_E_IO;
    }
    enum mg_err err = bytes->len ? write_bytes(pipe, bytes) : MG_OK;
    size_t limit = bytes->limit;
    buf_fini(bytes); /* what was copied or refused */
    bytes->limit = limit;
    return err;
}

/* Moving the bytes up costs less than a block of its own for five. */
static enum mg_err put_prefix(struct buf *message)
{
    size_t len = message->len;
    if (len > UINT32_MAX)
        return MG_E_TOO_BIG;
    message->limit = SIZE_MAX / 4; /* the caller's own, not what it may grow by here */
    MG_TRY(buf_reserve(message, GRPC_PREFIX_BYTES));
    if (len)
        memmove(message->ptr + GRPC_PREFIX_BYTES, message->ptr, len);
    grpc_prefix((uint8_t *)message->ptr, false, (uint32_t)len);
    message->len += GRPC_PREFIX_BYTES;
    return MG_OK;
}

enum mg_err http_pipe_message(struct http_pipe *pipe, struct buf *message)
{
    assert(pipe->is_grpc);
    size_t limit = message->limit;
    enum mg_err err =
        http_pipe_is_gone(pipe) || pipe->writer.has_failed ? MG_E_IO : put_prefix(message);
    if (!err)
        err = hand_over(pipe, message);
    buf_fini(message); /* what was refused */
    message->limit = limit;
    return err;
}

void http_pipe_end(struct http_pipe **pipe_at, enum mg_err err, struct str message)
{
    struct http_pipe *pipe = MG_STEAL(*pipe_at);
    if (!err && pipe->writer.has_failed)
        err = MG_E_IO;
    if (!err)
        pack(pipe, &pipe->writer.pending, true);
    zip_writer_free(&pipe->writer.zip);
    pthread_mutex_lock(&pipe->shared.lock);
    /* The rest is smaller than FLUSH_BYTES and does not wait for room. */
    if (!err && pipe->writer.has_flushed)
        queue_locked(pipe, &pipe->writer.pending);
    pipe->shared.has_ended = true;
    pipe->shared.end_err = err;
    buf_put(&pipe->shared.end_message, message.ptr,
            MG_MIN(message.len, pipe->shared.end_message.limit));
    post_locked(pipe);
    pthread_mutex_unlock(&pipe->shared.lock); /* the loop may free the pipe from here on */
}

bool http_pipe_is_gone(const struct http_pipe *pipe)
{
    return __atomic_load_n(&pipe->shared.is_gone, __ATOMIC_ACQUIRE);
}

/* --- the loop's side --- */
static void on_sent(void *owner, size_t payload_bytes)
{
    struct http_pipe *pipe = owner;
    pthread_mutex_lock(&pipe->shared.lock);
    pipe->shared.ahead -= MG_MIN(payload_bytes, pipe->shared.ahead);
    pipe->shared.moved_ns = clock_mono_ns();
    pthread_cond_signal(&pipe->shared.moved);
    pthread_mutex_unlock(&pipe->shared.lock);
}

/* The wire is done with the request. Before the writer's end that means that the peer went. */
static void on_finished(void *owner)
{
    struct http_pipe *pipe = owner;
    pthread_mutex_lock(&pipe->shared.lock);
    __atomic_store_n(&pipe->shared.is_gone, true, __ATOMIC_RELEASE);
    pthread_cond_signal(&pipe->shared.moved);
    pthread_mutex_unlock(&pipe->shared.lock);
}

void request_attach_pipe(struct http_request *request)
{
    request->on_sent = on_sent;
    request->on_finished = on_finished;
}

static void detach(struct http_request *request)
{
    request->on_sent = NULL;
    request->on_finished = NULL;
    request->pipe = NULL;
}

static size_t extra_header(const struct http_pipe *pipe, struct http_header *out)
{
    *out = (struct http_header){pipe->writer.header, str_of(pipe->writer.header_value)};
    return pipe->writer.header.len ? 1 : 0;
}

static void begin_answer(struct http_pipe *pipe)
{
    struct http_request *request = pipe->own.request;
    pipe->own.has_begun = true;
    if (pipe->is_grpc) {
        request_start_messages(request);
        return;
    }
    const char *type = pipe->writer.content_type;
    struct http_header extra;
    size_t n = extra_header(pipe, &extra);
    request->is_packed = pipe->writer.is_packed;
    request_start_stream(request, pipe->writer.status, *type ? type : NULL, &extra, n);
}

static void stream_blocks(struct http_pipe *pipe, struct block *block)
{
    struct http_request *request = pipe->own.request;
    bool is_live = !request->is_gone && !request->is_finished;
    if (block && is_live && !pipe->own.has_begun)
        begin_answer(pipe);
    while (block) {
        struct block *next = block->next;
        if (is_live)
            request_stream(request, &block->bytes);
        buf_fini(&block->bytes);
        mem_free(block);
        block = next;
    }
}

/* Of one that was begun. */
static void end_answer(struct http_pipe *pipe, enum mg_err err)
{
    struct http_request *request = pipe->own.request;
    if (pipe->is_grpc && err)
        request_end_messages_error(request, err, buf_str(&pipe->shared.end_message));
    else if (pipe->is_grpc)
        request_end_messages(request, 0, STR(""), 0);
    else if (!err)
        request_end_stream(request, true);
    detach(request);
    if (err && !pipe->is_grpc)
        request_end_stream(request, false);
}

static void end_without_messages(struct http_request *request)
{
    if (request_take_turn(request))
        request_answer_grpc(request, 200, 0, STR(""), 0, NULL);
}

/* The writer has let go: everything in the pipe is the loop's now. */
static void finish_request(struct http_pipe *pipe)
{
    struct http_request *request = pipe->own.request;
    enum mg_err err = pipe->shared.end_err;
    bool has_begun = pipe->own.has_begun;
    request->is_owed = false;
    if (request->is_finished) {
        request_free(request);
        return;
    }
    if (request->is_gone) { /* the server answered in its place; the wire still works on that */
        detach(request);
        return;
    }
    if (has_begun) {
        end_answer(pipe, err);
        return;
    }
    detach(request);
    request->is_handler_done = false; /* the answer is made by the ordinary calls */
    const char *type = pipe->writer.content_type;
    struct http_header extra;
    size_t n = extra_header(pipe, &extra);
    if (err)
        http_respond_error(request, err, buf_str(&pipe->shared.end_message), 0);
    else if (pipe->is_grpc)
        end_without_messages(request);
    else
        http_respond_with(request, pipe->writer.status, *type ? type : NULL,
                          buf_str(&pipe->writer.pending), &extra, n);
}

void server_pipe_mail(void *owner, struct message *message)
{
    (void)owner;
    struct http_pipe *pipe = (struct http_pipe *)message;
    pthread_mutex_lock(&pipe->shared.lock);
    struct block *blocks = pipe->shared.head;
    pipe->shared.head = NULL;
    pipe->shared.tail = &pipe->shared.head;
    bool has_ended = pipe->shared.has_ended;
    pipe->shared.is_posted = false;
    pthread_mutex_unlock(&pipe->shared.lock);
    stream_blocks(pipe, blocks);
    if (has_ended) {
        finish_request(pipe);
        free_pipe(pipe);
    }
}

void pipe_set_progress_limit(struct http_pipe *pipe, uint64_t ns)
{
    pipe->progress_ns = ns;
}
