/* peer.h - a TLS endpoint of the test's own: OpenSSL over memory, moved by a plain stream of the
 * pair's loop.
 *
 * What the code under test would never do, it does: send one byte at a time, leave without
 * close_notify, speak TLS 1.2, send bytes that are no TLS. Without a context it is a raw socket. */
#pragma once
#include <openssl/ssl.h>
#include "pair.h"

struct peer {
    struct pair *pair;
    struct stream *stream;
    SSL *ssl;       /* NULL: raw */
    struct buf got; /* plain bytes; of a raw peer what came */
    struct buf out; /* to be sent one byte a round */
    size_t out_at;
    bool is_slow; /* one byte a round of the loop */
    struct timer *step;
    bool is_secured, is_through; /* the handshake is done; close_notify came */
    int alert, warning;          /* the last alert of each level that came; -1: none */
    size_t sent_bytes;
    unsigned n_ends, n_closed;
    int close_server_at; /* bytes after which the pair's server end closes; -1: never */
    int cancel_at;       /* the same for `attempt` */
    struct stream_attempt **attempt;
};

/* Takes the context (NULL: raw); client or server by its method. */
void peer_init(struct peer *peer, struct pair *pair, SSL_CTX *context);
void peer_fini(struct peer *peer);
void peer_connect(struct peer *peer); /* to the pair's listener; connected when it returns */
void peer_accept(void *peer, struct stream *stream); /* a listener_fn */
void peer_write(struct peer *peer, const void *bytes, size_t len);
void peer_write_raw(struct peer *peer, const void *bytes, size_t len);
void peer_pump(struct peer *peer); /* after a call of SSL_… on peer->ssl */
