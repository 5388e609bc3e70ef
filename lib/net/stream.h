/* stream.h - listeners and byte streams: TCP, or TLS over it, behind the same face.
 *
 * Loop thread only. Memory is the caller's again after on_closed; the stream itself is gone then.
 * Writes are queued without limit by the stream, so the writer watches stream_queued() and stops
 * producing above its high-water mark until on_drained. Reads stop while paused: that is how every
 * limit reaches the peer. While paused nothing is noticed of a peer that went, because nothing is
 * polled. */
#pragma once
#include "base/buf.h"
#include "net/loop.h"

struct stream;
struct stream_events {
    void (*on_data)(void *owner, struct str bytes); /* borrowed during the call; at most 64 KiB */
    void (*on_end)(void *owner);     /* the peer will send no more; writing is still possible.
                                      * TLS: after its close_notify; a bare FIN, which anybody
                                      * between could send, closes with E_IO */
    void (*on_drained)(void *owner); /* stream_queued() has fallen to 0; not called when a
                                      * write left at once */
    void (*on_closed)(void *owner,
                      enum mg_err err); /* last call; err MG_OK when we closed it, else E_IO */
};

void stream_own(struct stream *stream, const struct stream_events *events,
                void *owner); /* starts reading */
void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);
/* Of the socket at a time, from the next read on; 64 KiB at most, and at first. What a paused stream
 * has read already is memory of its owner: who expects to pause reads little. */
void stream_read_most(struct stream *stream, size_t bytes);
void stream_write(struct stream *stream, const void *bytes,
                  size_t len); /* copies what the kernel does not take at once */
void stream_write_buf(struct stream *stream,
                      struct buf *buf);            /* takes the memory, leaves buf empty */
size_t stream_queued(const struct stream *stream); /* bytes accepted and not yet sent */
void stream_shutdown(
    struct stream *stream);               /* half close after what is queued; no write after it */
void stream_close(struct stream *stream); /* at once, queued bytes are dropped; on_closed follows.
                                           * Again, or after an error: nothing happens */
struct str stream_peer(const struct stream *stream); /* "127.0.0.1:40213" */

struct listener;
struct tls_source;
struct tls_context;
typedef void listener_fn(void *owner, struct stream *stream); /* takes the stream */
/* What a peer that speaks no TLS is told, instead of an alert, before the connection ends: by its
 * first 5 bytes; static text. Empty: the alert. */
typedef struct str plain_answer_fn(struct str first);
struct listener_options {
    struct str address; /* "host:port", "[v6]:port"; port 0: the system chooses */
    bool reuse_port;    /* SO_REUSEPORT: several loops listen on one address */
    bool must_be_free; /* with reuse_port: refused when anybody listens there already; for the first
                        * listener of a door, or a second instance would silently share the port */
    unsigned backlog;  /* 0: 1024 */
    struct tls_source *tls; /* NULL: plain; outlives the listener. Each connection takes the context
                             * in force when it comes; the stream is given at once, and data flows
                             * after the handshake, which begins with stream_own and goes on while
                             * the stream is paused. One that fails ends with E_IO, and
                             * stream_tls_failure (tls.h) tells why */
    plain_answer_fn *plain_answer; /* with `tls`; NULL: none */
};
/* E_IO names the address, and when it is taken, says so ("address already in use"); E_FORMAT for an
 * address that is none. A host name is resolved here, blocking, IPv4 first. "[::]" also takes IPv4.
 * Stops accepting (and tries again with a timer) while the process is out of descriptors. */
enum mg_err listener_open(struct listener **out, struct loop *loop,
                          const struct listener_options *options, listener_fn *on_accept,
                          void *owner, struct mg_why *why) MG_MUST_USE;
struct str listener_address(const struct listener *listener); /* with the real port */
void listener_pause(struct listener *listener); /* new connections wait in the backlog */
void listener_resume(struct listener *listener);
void listener_close(struct listener **listener); /* stops accepting at once */

/* Outgoing: resolves the name and connects, trying each address in turn, in `timeout_ms` together.
 * on_connected takes the stream, or gets NULL and an error (E_TIMEOUT, E_IO); it comes once, never
 * from inside stream_connect. The handle is valid until then, or until it is cancelled. A lookup
 * that runs is not waited for by anybody, neither the loop nor the end of the process. */
struct stream_attempt;
typedef void stream_connected_fn(void *owner, struct stream *stream, enum mg_err err,
                                 const struct mg_why *why);
struct stream_target {
    struct str host;
    uint16_t port;
    uint64_t timeout_ms;     /* handshake included */
    struct tls_context *tls; /* NULL: plain; borrowed for the call. Else a client's: the certificate
                              * must be of `host`, and SNI says so */
};
struct stream_attempt *stream_connect(struct loop *loop, const struct stream_target *target,
                                      stream_connected_fn *on_connected, void *owner);
/* on_connected is not called; sets the caller's pointer to NULL, which is fine to begin with. */
void stream_connect_cancel(struct stream_attempt **attempt);
