/* udp.c - datagrams in.
 *
 * The socket is our own and libuv only polls it: libuv's reader hands no control messages on, and
 * the count of what the kernel dropped comes in one (SO_RXQ_OVFL). The count travels with a
 * datagram, so drops are known when the next one that was kept is read.
 *
 * Buffers are pages of the kernel's that cost nothing until a datagram of their size comes: small
 * datagrams touch one page of each. */
#define _GNU_SOURCE /* recvmmsg */
#include "net/udp.h"
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/private.h"

#define BATCH           32
#define BATCHES_A_ROUND 4 /* then the loop's other sockets get their turn */
#define DATAGRAM_BYTES  (64u * 1024)
#define RECEIVE_BYTES   (4u * 1024 * 1024)

struct slot {
    struct sockaddr_storage peer;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint32_t))];
    struct iovec part;
};

struct udp {
    uv_poll_t poll; /* first: the close callback frees the whole */
    int fd;
    udp_fn *on_datagram;
    void *owner;
    char *bytes; /* BATCH * DATAGRAM_BYTES, mapped */
    struct slot slots[BATCH];
    struct mmsghdr heads[BATCH];
    struct sockaddr_storage peer; /* whose text stands in peer_text */
    char peer_text[ADDRESS_TEXT_BYTES];
    uint32_t kernel_drops; /* the kernel's count, which wraps */
    char address[ADDRESS_TEXT_BYTES];
    struct {
        uint64_t dropped; /* atomic, one writer */
    } shared;
};

static void count_drops(struct udp *udp, struct msghdr *head)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(head); at; at = CMSG_NXTHDR(head, at)) {
        uint32_t drops;
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SO_RXQ_OVFL)
            continue;
        memcpy(&drops, CMSG_DATA(at), sizeof drops);
        __atomic_store_n(&udp->shared.dropped,
                         udp->shared.dropped + (uint32_t)(drops - udp->kernel_drops),
                         __ATOMIC_RELAXED);
        udp->kernel_drops = drops;
    }
}

/* Most datagrams come from the sender of the one before. */
static struct str name_peer(struct udp *udp, const struct sockaddr_storage *peer, socklen_t len)
{
    if (len > sizeof *peer || memcmp(peer, &udp->peer, len) != 0) {
        memcpy(&udp->peer, peer, MG_MIN((size_t)len, sizeof *peer));
        address_text((const struct sockaddr *)&udp->peer, udp->peer_text);
    }
    return str_of(udp->peer_text);
}

/* The kernel has overwritten the lengths of the round before. */
static void lay_out(struct udp *udp)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct slot *slot = &udp->slots[i];
        slot->part = (struct iovec){udp->bytes + (size_t)i * DATAGRAM_BYTES, DATAGRAM_BYTES};
        udp->heads[i].msg_hdr = (struct msghdr){.msg_name = &slot->peer,
                                                .msg_namelen = sizeof slot->peer,
                                                .msg_iov = &slot->part,
                                                .msg_iovlen = 1,
                                                .msg_control = slot->control,
                                                .msg_controllen = sizeof slot->control};
    }
}

/* False: nothing more waits, or the owner has closed. */
static bool take_batch(struct udp *udp)
{
    lay_out(udp);
    int n = recvmmsg(udp->fd, udp->heads, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        struct msghdr *head = &udp->heads[i].msg_hdr;
        count_drops(udp, head);
        struct str peer = name_peer(udp, head->msg_name, head->msg_namelen);
        udp->on_datagram(udp->owner, str_n(head->msg_iov->iov_base, udp->heads[i].msg_len), peer);
        if (uv_is_closing((uv_handle_t *)&udp->poll))
            return false;
    }
    return n == BATCH; /* an error of one sender (ICMP) is told once and gone */
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void start_polling(struct udp *udp)
{
    (void)uv_poll_start(&udp->poll, UV_READABLE, on_readable); /* fails only when closing */
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct udp *udp = MG_CONTAINER(poll, struct udp, poll);
    for (unsigned i = 0; i < BATCHES_A_ROUND && take_batch(udp); i++)
        ;
    if (status < 0 && !uv_is_closing((uv_handle_t *)poll))
        start_polling(udp); /* libuv stops after an error, which reading has taken off the socket */
}

/* --- opening --- */

/* FORCE goes beyond the system's limit, for those who may; else the kernel cuts it to the limit.
 * Either way a smaller buffer only drops earlier, and that is counted. */
static void set_options(int fd, unsigned receive_bytes)
{
    int bytes = receive_bytes ? (int)MG_MIN(receive_bytes, 1u << 30) : (int)RECEIVE_BYTES, on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on,
                     sizeof on); /* without it the count stays 0 */
}

static void on_closed(uv_handle_t *handle)
{
    struct udp *udp = MG_CONTAINER((uv_poll_t *)handle, struct udp, poll);
    mem_unmap(udp->bytes, (size_t)BATCH * DATAGRAM_BYTES);
    mem_free(udp);
}

enum mg_err udp_open(struct udp **out, struct loop *loop, const struct udp_options *options,
                     udp_fn *on_datagram, void *owner, struct mg_why *why)
{
    const struct socket_options where = {.address = options->address,
                                         .type = SOCK_DGRAM,
                                         .reuse_port = options->reuse_port,
                                         .must_be_free = options->must_be_free};
    int fd;
    MG_TRY(socket_open(&fd, &where, why));
    set_options(fd, options->receive_bytes);

    struct udp *udp = MEM_NEW(struct udp);
    int err = uv_poll_init(&loop->uv, &udp->poll, fd);
    if (err) {
        mem_free(udp);
        close(fd);
        return mg_fail_os(why, -err, "cannot poll %.*s", STR_ARG(options->address));
    }
    udp->fd = fd;
    udp->on_datagram = on_datagram;
    udp->owner = owner;
    udp->bytes = mem_map((size_t)BATCH * DATAGRAM_BYTES);
    socket_name(fd, udp->address);
    start_polling(udp);
    *out = udp;
    return MG_OK;
}

struct str udp_address(const struct udp *udp)
{
    return str_of(udp->address);
}

uint64_t udp_dropped(const struct udp *udp)
{
    return __atomic_load_n(&udp->shared.dropped, __ATOMIC_RELAXED);
}

void udp_close(struct udp **udp_at)
{
    struct udp *udp = MG_STEAL(*udp_at);

    if (!udp)
        return;
    uv_close((uv_handle_t *)&udp->poll, on_closed);
    close(udp->fd); /* uv_close has taken it out of the poll set already */
}
