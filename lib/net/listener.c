/* listener.c - listening sockets.
 *
 * The socket is our own and libuv only polls it. libuv's listener would, when descriptors run out,
 * accept and close whatever waits; clients lose data when a connection is dropped that way, so here
 * accepting stops for a moment and the connections stay in the kernel's backlog. */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/private.h"
#include "net/stream.h"

#define RETRY_MS          100 /* pause of accepting when descriptors are out */
#define ACCEPTS_PER_ROUND 32  /* then the connections that are here get their turn */
#define HOST_BYTES_MAX    255

struct listener {
    uv_poll_t poll; /* first: the close callback frees the whole */
    int fd;
    struct loop *loop;
    struct timer *retry;
    listener_fn *on_accept;
    void *owner;
    bool is_paused;
    char address[ADDRESS_TEXT_BYTES];
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void start_polling(struct listener *listener)
{
    if (!listener->is_paused)
        (void)uv_poll_start(&listener->poll, UV_READABLE,
                            on_readable); /* fails only when closing */
}

static void on_retry(void *owner)
{
    start_polling(owner);
}

static bool is_out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
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
            (void)uv_poll_stop(&listener->poll); /* always 0 */
            timer_start(listener->retry, RETRY_MS);
            return false;
        }
        /* A peer that went before we looked (ECONNABORTED and kin) is not the end of the queue. */
        return error != EAGAIN && error != EBADF;
    }
    struct stream *stream = stream_new(listener->loop);
    if (stream_adopt(stream, fd, (struct sockaddr *)&peer))
        stream_close(stream);
    else
        listener->on_accept(listener->owner, stream);
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *listener = MG_CONTAINER(poll, struct listener, poll);
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        if (uv_is_closing((uv_handle_t *)poll) || listener->is_paused || !accept_one(listener))
            return;
    }
}

/* --- opening --- */
static enum mg_err resolve(struct str address, struct addrinfo **out, struct mg_why *why)
{
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return mg_fail(why, MG_E_FORMAT, "'%.*s' is not host:port", STR_ARG(address));
    struct str host = str_n(address.ptr, colon - 1);
    struct str port_text = str_n(address.ptr + colon, address.len - colon);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_n(host.ptr + 1, host.len - 2);
    uint64_t port;
    if (host.len == 0 || host.len > HOST_BYTES_MAX || str_u64(port_text, &port) || port > 65535)
        return mg_fail(why, MG_E_FORMAT, "'%.*s' is not host:port", STR_ARG(address));

    char host_text[HOST_BYTES_MAX + 1], service[8];
    memcpy(host_text, host.ptr, host.len);
    host_text[host.len] = '\0';
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int err = getaddrinfo(host_text, service, &hints, out);
    if (err)
        return mg_fail(why, MG_E_IO, "cannot resolve '%s': %s", host_text, gai_strerror(err));
    return MG_OK;
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* Returns a bound descriptor or the negated errno. */
static int bind_socket(const struct addrinfo *where, bool reuse_port)
{
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
        (where->ai_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) ||
        (reuse_port && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
        bind(fd, where->ai_addr, where->ai_addrlen)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* With SO_REUSEPORT the kernel lets a second program of the same user in. A plain bind tells; two
 * programs that start in the same instant can still both pass. */
static int check_free(const struct addrinfo *where)
{
    int fd = bind_socket(where, false);
    if (fd < 0)
        return fd;
    int error = listen(fd, 1) ? errno : 0;
    close(fd);
    return -error;
}

static int open_socket(const struct addrinfo *where, const struct listener_options *options)
{
    if (options->reuse_port && options->must_be_free) {
        int err = check_free(where);
        if (err < 0)
            return err;
    }
    int fd = bind_socket(where, options->reuse_port);
    if (fd >= 0 && listen(fd, options->backlog ? (int)options->backlog : 1024)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* IPv4 first: a client that is told "localhost" mostly tries 127.0.0.1. */
static int open_first(const struct addrinfo *found, const struct listener_options *options)
{
    static const int families[] = {AF_INET, AF_INET6};
    int fd = -EADDRNOTAVAIL;
    for (size_t i = 0; i < MG_COUNT(families); i++) {
        for (const struct addrinfo *at = found; at; at = at->ai_next) {
            if (at->ai_family != families[i])
                continue;
            fd = open_socket(at, options);
            if (fd >= 0 || fd == -EADDRINUSE)
                return fd;
        }
    }
    return fd;
}

static void name_socket(struct listener *listener)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    if (getsockname(listener->fd, (struct sockaddr *)&name, &len) == 0)
        address_text((struct sockaddr *)&name, listener->address);
}

enum mg_err listener_open(struct listener **out, struct loop *loop,
                          const struct listener_options *options, listener_fn *on_accept,
                          void *owner, struct mg_why *why)
{
    struct addrinfo *found;
    MG_TRY(resolve(options->address, &found, why));
    int fd = open_first(found, options);
    freeaddrinfo(found);
    if (fd == -EADDRINUSE)
        return mg_fail(why, MG_E_IO, "cannot listen on %.*s: address already in use",
                       STR_ARG(options->address));
    if (fd < 0)
        return mg_fail_os(why, -fd, "cannot listen on %.*s", STR_ARG(options->address));

    struct listener *listener = MEM_NEW(struct listener);
    int err = uv_poll_init(&loop->uv, &listener->poll, fd);
    if (err) {
        mem_free(listener);
        close(fd);
        return mg_fail_os(why, -err, "cannot poll %.*s", STR_ARG(options->address));
    }
    listener->fd = fd;
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->owner = owner;
    listener->retry = timer_new(loop, on_retry, listener);
    name_socket(listener);
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
