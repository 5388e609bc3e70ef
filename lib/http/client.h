/* client.h - HTTP client: HTTP/1.1 with keep-alive and HTTP/2, plain or over TLS, with a connection
 * pool per origin. Used by the demo, by commands with --server, and by exporters.
 *
 * Loop thread only. Every call ends in exactly one on_done, never from inside http_client_call;
 * on_done may make calls and may free the client (not call a client that is being freed: asserted).
 * Bodies of answers are gathered up to answer_bytes_max, unless the call has on_body; header names
 * and values up to 64 KiB.
 *
 * MG_OK means that a whole answer came, whatever its status. Else, with a sentence that names the
 * method and the URL without its query: E_IO (refused, reset, closed early, client freed),
 * E_TIMEOUT, E_TOO_BIG, E_HEADERS, E_FORMAT (not HTTP, not one gRPC message; or a call that cannot
 * be sent), E_UNSUPPORTED (gRPC without HTTP/2; ALPN agreed on something else).
 *
 * A call that times out closes its connection with HTTP/1, for nothing can follow on it. With
 * HTTP/2 only its stream is reset, unless not one byte came on the connection since the call was
 * made (with on_body: since the last piece of its answer): such a connection may be dead without a
 * sign. It is given up, its other calls end with E_IO as when the peer had closed it, and the next
 * call opens a new one. So a peer that is silent for longer than timeout_ms over its one call loses
 * its connection, and so does one that allows no streams while a call waits for that long.
 *
 * Retries are the caller's business, with one exception: a call is sent a second time when the peer
 * is known not to have handled it (REFUSED_STREAM, GOAWAY), or when a kept connection was closed
 * before a byte of the answer came and the method is idempotent. */
#pragma once
#include "http/http.h"

struct http_client;
struct tls_context;
struct http_client_options {
    struct str base_url; /* url.h, with a path prefix; no user_info, no query (E_FORMAT) */
    /* For https; counted by the client. It must offer by ALPN what http2 says, "h2" or "http/1.1".
     * NULL: the system's CAs and TLS 1.2 or later, made with the first connection. */
    struct tls_context *tls;
    bool http2;                /* prior knowledge; over TLS ALPN must agree on it */
    unsigned connections_max;  /* 0: 4 */
    uint64_t timeout_ms;       /* per call; 0: 10 s; see http_call.on_body */
    uint64_t answer_bytes_max; /* 0: 64 MiB */
};
enum mg_err http_client_new(struct http_client **out, struct loop *loop,
                            const struct http_client_options *options,
                            struct mg_why *why) MG_MUST_USE;
/* Open calls end with E_IO before it returns, attempts to connect are called off, and connections
 * close in the loop's next turn. The loop must not be freed before that, so whoever frees the loop
 * next uses http_client_close, whose on_gone comes when nothing is left, never from inside. */
void http_client_free(struct http_client **client);
void http_client_close(struct http_client **client, void (*on_gone)(void *owner), void *owner);

struct http_answer {
    int status;      /* 0 when none came */
    int grpc_status; /* -1: not gRPC; an answer without one gets it from its HTTP status */
    struct str body; /* for gRPC the message, unpacked */
    struct str content_type;
    struct str retry_after;
    struct str location; /* as sent */
    struct str message; /* grpc-message, decoded */
    struct str details; /* grpc-status-details-bin, as sent: a google.rpc.Status in base64 */
};                      /* all borrowed during on_done */
typedef void http_done_fn(void *owner, enum mg_err err, const struct http_answer *answer,
                          const struct mg_why *why);
/* A piece of a body as it came, borrowed; the socket is not read before it returns, which is the
 * back-pressure for a body that goes to a file. It must not call the client. A failure ends the
 * call with that failure and its sentence. */
typedef enum mg_err http_body_fn(void *owner, struct str bytes, struct mg_why *why);
struct http_call {      /* all copied */
    const char *method; /* "GET", "POST" */
    struct str path;    /* with query */
    /* Names in small letters. Not those of http_is_hop_field, nor with gRPC content-type: those are
     * the client's own. */
    const struct http_header *headers;
    size_t n_headers;
    struct str body;
    bool is_grpc;       /* frames the body as one message; HTTP/2 only */
    bool is_compressed; /* gRPC: the body is compressed already, as the header grpc-encoding says;
                         * then the answer may be too, for some servers answer as they were asked */
    /* NULL: none. Else it gets the body of an answer with a status 2xx, of any size, and on_done an
     * empty one; other bodies are gathered. timeout_ms is then the longest silence, not the longest
     * call. An HTTP/1 body that only the connection's end ends counts as whole, as ever: who must
     * know looks at the bytes. Not for gRPC (E_UNSUPPORTED). */
    http_body_fn *on_body;
};
void http_client_call(struct http_client *client, const struct http_call *call,
                      http_done_fn *on_done, void *owner);

/* For commands: one call on a private loop, until the answer is here. *body is the caller's
 * (buf_fini); it and *status are written on success only. With on_body a body with a status 2xx
 * goes there, piece by piece, and *body stays empty; after a failure on_body may have seen a part.
 */
struct http_fetch {
    const char *method;
    struct str url, body;
    const struct http_header *headers;
    size_t n_headers;
    struct tls_context *tls; /* for https; NULL: the system's CAs */
    uint64_t timeout_ms;     /* 0: 10 s; with on_body the longest silence */
    http_body_fn *on_body;   /* NULL: the body is gathered */
    void *owner;
};
enum mg_err http_fetch(const struct http_fetch *fetch, int *status, struct buf *body,
                       struct mg_why *why) MG_MUST_USE;
