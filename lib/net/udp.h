/* udp.h - datagrams in. Loop thread only. */
#pragma once
#include "net/stream.h"

struct udp;
/* Borrowed during the call; at most 65,535 bytes, whole. `peer` as of stream_peer. */
typedef void udp_fn(void *owner, struct str datagram, struct str peer);
struct udp_options {
    struct str address;
    bool reuse_port, must_be_free; /* as of listener_options */
    unsigned receive_bytes;        /* SO_RCVBUF; 0: 4 MiB, or what the system allows */
};
/* Errors as listener_open. Several datagrams are taken a system call (recvmmsg) while more are
 * waiting. */
enum mg_err udp_open(struct udp **out, struct loop *loop, const struct udp_options *options,
                     udp_fn *on_datagram, void *owner, struct mg_why *why) MG_MUST_USE;
struct str udp_address(const struct udp *udp); /* with the real port */
/* Datagrams the kernel dropped because the socket's buffer was full (SO_RXQ_OVFL). The count comes
 * with the next datagram that was kept. Any thread. */
uint64_t udp_dropped(const struct udp *udp);
void udp_close(struct udp **udp); /* no call after this; also from inside on_datagram */
