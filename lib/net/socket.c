/* socket.c - addresses, and sockets that are bound to one; listeners and datagrams use it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "net/private.h"
#include "base/str.h"

#define HOST_BYTES_MAX 255

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

static enum mg_err resolve(const struct socket_options *options, struct addrinfo **out,
                           struct mg_why *why)
{
    struct str address = options->address;
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
                             .ai_socktype = options->type,
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
    int fd = socket(where->ai_family, where->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* For datagrams SO_REUSEADDR would let a second program in. */
    if ((where->ai_socktype == SOCK_STREAM && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1)) ||
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
/* 0 or the negated errno. */
static int start(int fd, const struct addrinfo *where, unsigned backlog)
{
    return where->ai_socktype == SOCK_STREAM && listen(fd, (int)backlog) ? -errno : 0;
}

static int check_free(const struct addrinfo *where)
{
    int fd = bind_socket(where, false);
    if (fd < 0)
        return fd;
    int error = start(fd, where, 1);
    close(fd);
    return error;
}

static int open_socket(const struct addrinfo *where, const struct socket_options *options)
{
    if (options->reuse_port && options->must_be_free) {
        int err = check_free(where);
        if (err < 0)
            return err;
    }
    int fd = bind_socket(where, options->reuse_port);
    if (fd < 0)
        return fd;
    int err = start(fd, where, options->backlog ? options->backlog : 1024);
    if (err < 0)
        close(fd);
    return err < 0 ? err : fd;
}

/* IPv4 first: a client that is told "localhost" mostly tries 127.0.0.1. */
static int open_first(const struct addrinfo *found, const struct socket_options *options)
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

enum mg_err socket_open(int *out, const struct socket_options *options, struct mg_why *why)
{
    struct addrinfo *found;
    MG_TRY(resolve(options, &found, why));
    int fd = open_first(found, options);
    freeaddrinfo(found);
    if (fd == -EADDRINUSE)
        return mg_fail(why, MG_E_IO, "cannot listen on %.*s: address already in use",
                       STR_ARG(options->address));
    if (fd < 0)
        return mg_fail_os(why, -fd, "cannot listen on %.*s", STR_ARG(options->address));
    *out = fd;
    return MG_OK;
}

void socket_name(int fd, char out[ADDRESS_TEXT_BYTES])
{
    struct sockaddr_storage name;
    socklen_t len = sizeof name;
    out[0] = '\0';
    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0)
        address_text((struct sockaddr *)&name, out);
}
