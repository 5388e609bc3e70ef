/* listener.c - listening sockets.
 *
 * The socket is our own and libuv only polls it. libuv's listener would, when descriptors run out,
 * accept and close whatever waits; clients lose data when a connection is dropped that way, so here
 * accepting stops for a moment and the connections stay in the kernel's backlog.
 *
 * It stops while some descriptors are left: whoever opens as many connections as there may be must
 * not keep the rest of the process from opening its files. */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/private.h"
#include "net/stream.h"
#include "net/tls_stream.h"

#define RETRY_MS          100 /* pause of accepting when descriptors are out */
#define ACCEPTS_PER_ROUND 32  /* then the connections that are here get their turn */
#define RESERVE_SHARE     8   /* of the descriptors that a process may have, for others than connections */
#define RESERVE_MAX       1024

struct listener {
    uv_poll_t poll; /* first: the close callback frees the whole */
    int fd;
    struct loop *loop;
    struct timer *retry;
    struct tls_source *tls;        /* NULL: plain */
    plain_answer_fn *plain_answer; /* NULL: none */
    listener_fn *on_accept;
    void *owner;
    bool is_paused;
    int first_reserved; /* a connection with this descriptor or a higher one is the last for now */
    char address[ADDRESS_TEXT_BYTES];
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void start_polling(struct listener *listener)
{
    if (!listener->is_paused)
        (void)uv_poll_start(&listener->poll, UV_READABLE,
                            on_readable); /* fails only when closing */
}

/* The kernel gives the lowest descriptor that is free. An eventfd, as ThreadSanitizer knows who makes one: it
 * sees neither fcntl duplicate a descriptor nor libuv close one, and would take the next owner of a number
 * for a race with the last. */
static bool has_descriptor(const struct listener *listener)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0 && fd < listener->first_reserved;
}

static void stop_for_a_moment(struct listener *listener)
{
    (void)uv_poll_stop(&listener->poll); /* always 0 */
    timer_start(listener->retry, RETRY_MS);
}

static void on_retry(void *owner)
{
    start_polling(owner);
}

static int first_reserved(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur > INT_MAX)
        return INT_MAX;
    return (int)(files.rlim_cur - MG_MIN(files.rlim_cur / RESERVE_SHARE, (rlim_t)RESERVE_MAX));
}

static bool is_out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* False: OpenSSL has no memory for one more. */
static bool secure(struct listener *listener, struct stream *stream)
{
    const char *reason;
    if (!listener->tls)
        return true;
    struct tls_stream *tls = tls_stream_new(stream, tls_source_take(listener->tls), NULL, &reason);
    if (!tls)
        return false;
    tls_stream_set_plain_answer(tls, listener->plain_answer);
    stream_secure(stream, tls);
    return true;
}

/* One connection; false when there is none or none can be taken now. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof peer;
    int fd =
        accept4(listener->fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        if (is_out_of_resources(error)) {
            stop_for_a_moment(listener);
            return false;
        }
        /* A peer that went before we looked (ECONNABORTED and kin) is not the end of the queue. */
        return error != EAGAIN && error != EBADF;
    }
    struct stream *stream = stream_new(listener->loop);
    if (stream_adopt(stream, fd, (struct sockaddr *)&peer) || !secure(listener, stream))
        stream_close(stream);
    else
        listener->on_accept(listener->owner, stream);
    return fd < listener->first_reserved; /* else the next round looks what is left */
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *listener = MG_CONTAINER(poll, struct listener, poll);
    if (!has_descriptor(listener)) { /* or each of many listeners would take one more */
        stop_for_a_moment(listener);
        return;
    }
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        if (uv_is_closing((uv_handle_t *)poll) || listener->is_paused || !accept_one(listener))
            return;
    }
}

/* --- opening --- */
enum mg_err listener_open(struct listener **out, struct loop *loop,
                          const struct listener_options *options, listener_fn *on_accept,
                          void *owner, struct mg_why *why)
{
    const struct socket_options where = {.address = options->address,
                                         .type = SOCK_STREAM,
                                         .reuse_port = options->reuse_port,
                                         .must_be_free = options->must_be_free,
                                         .backlog = options->backlog};
    int fd;
    MG_TRY(socket_open(&fd, &where, why));

    struct listener *listener = MEM_NEW(struct listener);
    int err = uv_poll_init(&loop->uv, &listener->poll, fd);
    if (err) {
        mem_free(listener);
        close(fd);
        return mg_fail_os(why, -err, "cannot poll %.*s", STR_ARG(options->address));
    }
    listener->fd = fd;
    listener->loop = loop;
    listener->tls = options->tls;
    listener->plain_answer = options->plain_answer;
    listener->on_accept = on_accept;
    listener->owner = owner;
    listener->first_reserved = first_reserved();
    listener->retry = timer_new(loop, on_retry, listener);
    socket_name(fd, listener->address);
    start_polling(listener);
    *out = listener;
    return MG_OK;
}

struct str listener_address(const struct listener *listener)
{
    return str_of(listener->address);
}

void listener_pause(struct listener *listener)
{
    listener->is_paused = true;
    (void)uv_poll_stop(&listener->poll); /* always 0 */
}

void listener_resume(struct listener *listener)
{
    listener->is_paused = false;
    start_polling(listener);
}

static void on_listener_closed(uv_handle_t *handle)
{
    mem_free(MG_CONTAINER((uv_poll_t *)handle, struct listener, poll));
}

void listener_close(struct listener **listener_at)
{
    struct listener *listener = MG_STEAL(*listener_at);
    if (!listener)
        return;
    timer_free(&listener->retry);
    uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
    close(listener->fd); /* uv_close has taken it out of the poll set already */
}
