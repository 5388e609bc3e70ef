/* private.h - what the files of net share: the loop's insides. libuv's header stops here. */
#pragma once
#include <uv.h>
#include "base/str.h"
#include "net/loop.h"

/* One read never takes more: large enough that a 1 MiB body costs 16 reads, small enough for L2. */
#define LOOP_READ_BYTES (64u * 1024)

struct loop {
    uv_loop_t uv;
    char *read_buffer; /* LOOP_READ_BYTES, one for all streams: on_data ends before the next read */
    char *plain_buffer; /* LOOP_READ_BYTES, the same for what TLS decrypts; NULL until the first */
    uv_async_t wake;    /* loop_stop from other threads */
    uv_prepare_t prepare; /* before the loop sleeps: deferred tasks, then the CPU time */
    uv_check_t check;     /* after the sockets' callbacks: deferred tasks */
    struct list tasks;    /* loop_task.link */
    struct {
        bool stop;       /* atomic */
        uint64_t cpu_ns; /* atomic, one writer */
    } shared;
};

/* "127.0.0.1:40213" or "[::1]:40213". */
#define ADDRESS_TEXT_BYTES (INET6_ADDRSTRLEN + 9)
void address_text(const struct sockaddr *address, char out[ADDRESS_TEXT_BYTES]);

/* Opens, binds and for SOCK_STREAM listens; non-blocking. Errors as listener_open. */
struct socket_options {
    struct str address;
    int type; /* SOCK_STREAM, SOCK_DGRAM */
    bool reuse_port, must_be_free;
    unsigned backlog; /* SOCK_STREAM; 0: 1024 */
};
enum mg_err socket_open(int *fd, const struct socket_options *options,
                        struct mg_why *why) MG_MUST_USE;
void socket_name(int fd, char out[ADDRESS_TEXT_BYTES]); /* its own address; empty: unknown */

/* --- a stream for those who make one -------------------------------------------------------------
 */
struct stream;
struct tls_context;
struct tls_stream;
/* A stream without a socket yet; closing it frees it (on_closed only when it is owned). */
struct stream *stream_new(struct loop *loop);
/* Takes the descriptor, also when it fails. */
int stream_adopt(struct stream *stream, int fd, const struct sockaddr *peer);
uv_tcp_t *stream_tcp(struct stream *stream);
void stream_set_peer(struct stream *stream, const struct sockaddr *peer);
/* Puts the TLS filter (tls_stream.h) below the face; the stream takes it. Before stream_own. */
void stream_secure(struct stream *stream, struct tls_stream *tls);

/* --- a stream for the filter in its middle: what is below it …
 * ------------------------------------ */
struct loop *stream_loop(const struct stream *stream);
struct tls_stream *stream_tls(const struct stream *stream);             /* NULL: plain */
void stream_send(struct stream *stream, const void *bytes, size_t len); /* as stream_write, raw */
void stream_send_end(struct stream *stream); /* FIN after what is queued */
void stream_send_or_drop(struct stream *stream, const void *bytes,
                         size_t len);                    /* never queues nor fails */
size_t stream_unsent(const struct stream *stream);       /* raw bytes in the queue */
void stream_poll(struct stream *stream, bool is_wanted); /* whether the socket is read */
bool stream_has_fin(const struct stream *stream);        /* the peer's, on the socket */
bool stream_is_closing(const struct stream *stream);
void stream_close_with(struct stream *stream, enum mg_err err);

/* --- … and what is above
 * -------------------------------------------------------------------------- */
bool stream_wants_data(const struct stream *stream); /* owned, not paused, not ended, not closing */
void stream_give_data(struct stream *stream, struct str bytes);
void stream_give_end(struct stream *stream);
void stream_give_drained(struct stream *stream); /* only when stream_queued() is 0 */
