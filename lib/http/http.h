/* http.h - the HTTP server: HTTP/1.1 (llhttp) and HTTP/2 (nghttp2) on the same port, plain or over
 * TLS, gRPC on top of HTTP/2 (unary, server-streaming, both directions), one router, streamed
 * answers with back-pressure.
 *
 * A server belongs to one loop; every function here is for that loop's thread, except http_pipe_*
 * (query threads write, see below). The life of a request:
 *
 *   headers complete -> route found -> route.on_head (may hold the body, may answer)
 *                    -> body gathered raw, as received, up to route.body_max or conf.body_bytes_max
 *                    -> route.on_request -> exactly one answer, now or later
 *
 * Order of checks: HTTP/1's version (505) and method (501 when no method of HTTP), path (404),
 * method (405 + Allow), what gRPC asks of a head, the caller (401, 403: http/auth.h), expectation
 * (417), then the handler: type, encoding, body. A handle is
 * valid until its answer is complete, its body until the answer is made. When the peer goes
 * earlier, on_gone is called once, http_request_is_gone turns true, and answering is a no-op that
 * still must be made exactly once. A peer that ends its sending side (FIN) is taken as gone while
 * no byte of the answer is due, as nginx, Envoy and Go's server do; an answer under way goes on.
 * The server may answer in a handler's place (body too large or too slow, gRPC deadline): the
 * handler sees the same. An answer is owed from on_request on, and while the body is held: then
 * releasing a request that is gone also ends the matter, on_request does not follow. In between
 * (on_head neither held nor answered) nothing is owed, and after on_gone the handle is invalid.
 *
 * Limits (rows of struct http_conf): header bytes (431), body bytes (413; 100-continue is not sent
 * for a declared length above it), streams, header and idle timeouts (408), a minimum body rate,
 * the memory of all bodies (below), rapid reset (more than reset_max streams reset by the peer
 * within 10 s -> GOAWAY ENHANCE_YOUR_CALM), floods of SETTINGS/PING, queue of pipelined requests.
 * Chunked together with Content-Length is refused (400). Answers on HTTP/1.1 keep the order of
 * pipelined requests.
 *
 * The memory of all bodies of all servers of the process has one budget, conf.bodies_bytes_max. A
 * body is charged with the memory it has, not with what was declared, from its first byte until its
 * answer is made, also after http_request_take_body. The rules:
 *   1. A body may take up to half of what the others leave of 3/4 of the budget; a small one
 *      (1/1024 of it) of all. So few never take everything, and small ones are served meanwhile.
 *   2. One that does not get what it needs waits unread, and without the 100 (Continue) that its
 *      peer may expect. When nothing more of it could be read for 5 s, then 503 / UNAVAILABLE with
 *      a hint of 1 to 3 s.
 *   3. One body in the process goes on beside the budget, so that bodies never wait for each other,
 *      and one that is larger than the budget gets in. The bound of all is then bodies_bytes_max,
 *      the largest body, and of each HTTP/1 connection that waits one read: 2 KiB when nothing of
 *      the body was taken yet, else 64 KiB.
 *   4. While somebody waits, a body that is read must bring 3 KiB and 1/256 of itself in every 3 s,
 *      else 503, unless others of its HTTP/2 connection wait or are held and keep the window; the
 *      one beside must be whole within body_timeout.
 *   5. What HTTP/2's windows allowed before a body had to wait or was held still comes. When one has
 *      grown so without room by rule 1, and all have more than 15/16 of the budget (small ones: than
 *      all of it), the largest of those that did is refused at once.
 * meshglass_http_bodies_bytes shows the memory, _http_body_waits_total the waits, and
 * _http_refused_total the reasons memory (no room) and stalled (too slow while others waited).
 *
 * A refusal that comes before the end of the body reaches its peer. HTTP/1 reads up to 256 KiB of
 * the rest and goes on, or closes and reads on for up to 5 s. HTTP/2 reads up to 1 MiB for up to
 * 5 s, and only then, or when it drains, resets the stream, with NO_ERROR. What is read so is not
 * kept.
 *
 * gRPC: a route with is_grpc takes POST with content-type application/grpc[+proto][;…] (else 415
 * with grpc-status 3, other methods 405 with grpc-status 13); exactly one
 * message (else 13) unless the route has on_message; encodings identity, gzip, deflate, zstd are
 * passed through raw, others 12 with grpc-accept-encoding; grpc-timeout: expired on arrival, while
 * handled or while messages are sent -> trailers with status 4; malformed: HTTP 400 + 13. Unknown
 * gRPC paths: trailers-only status 12.
 *
 * gzip: an answer of status 200 whose type is text, JSON, JavaScript, XML, SVG or OpenMetrics
 * depends on Accept-Encoding (RFC 9110 12.5.3), and says so in Vary. It leaves as gzip where gzip, or
 * "*", has a weight above 0 and not below what identity is given; whole ones from 1 KiB to 4 MiB,
 * files (http_file) from 1 KiB on, streamed ones of any size, each piece flushed. Where gzip is not
 * to be had, identity is sent, also to who refuses it. An etag becomes weak then, so that
 * etag_is_known finds it; 304 says the same. Failures, gRPC and other types leave as they are.
 * Handlers and writers of pipes know nothing of it; they never give content-encoding or
 * vary: accept-encoding themselves. Since the length of what was packed tells about its contents
 * (BREACH), no answer that suits may have a secret in it beside words of the caller's choice: none
 * has one, credentials are in no answer.
 *
 * TLS comes with listener_options.tls. The first bytes decide as on a plain port; a peer that
 * speaks HTTP/1 after ALPN chose h2, or the reverse, gets an error (400, GOAWAY HTTP_1_1_REQUIRED)
 * and the connection ends. A plain HTTP/1 request where TLS is spoken gets 400 in plain text, other
 * bytes an alert; meshglass_tls_handshake_failures_total counts both, and every other handshake
 * that failed, when the connection closes. listener_options.plain_answer is the server's. */
#pragma once
#include "base/buf.h"
#include "metric/metric.h"
#include "net/stream.h"

struct http_auth;
struct http_cors_conf;
struct conf_list;

struct http_conf {              /* rows in http/conf.h */
    uint64_t header_bytes_max;  /* bytes of one request's header section, 64 KiB */
    uint64_t body_bytes_max;    /* bytes as received; the program sets it from ingest's row */
    uint64_t streams_max;       /* concurrent streams a connection, 256 */
    uint64_t connections_max;   /* a server (loop), 10000 */
    uint64_t header_timeout_ns; /* until the headers are complete, 10 s */
    uint64_t idle_timeout_ns;   /* between requests, 5 min */
    uint64_t body_timeout_ns;   /* for the next 1 KiB of a body that is read; without progress of
                                 * an answer; for the body beside the budget; 30 s */
    uint64_t stream_window;     /* HTTP/2 receive window of a stream, 1 MiB */
    uint64_t connection_window; /* 4 MiB */
    uint64_t reset_max;         /* peer resets in 10 s, 1000 */
    uint64_t bodies_bytes_max;  /* memory of all bodies of all servers, 256 MiB; see above. 0: no
                                 * bound. Servers of one process have the same */
};

struct http_server;
struct http_request;
typedef void http_handler_fn(void *owner, struct http_request *request);

/* One message of a client-streaming gRPC call, without its prefix; borrowed. */
typedef void http_message_fn(void *owner, struct http_request *request, struct str message);
/* What a caller must be allowed to do (http/auth.h). DOOR: what the door says. OPEN: nothing. */
enum http_scope {
    HTTP_SCOPE_DOOR,
    HTTP_SCOPE_OPEN,
    HTTP_SCOPE_INGEST,
    HTTP_SCOPE_QUERY,
    HTTP_SCOPE_ADMIN
};

struct http_route {
    const char *method; /* "GET" (also answers HEAD), "POST" …; for gRPC ignored */
    /* "/api/traces/{id}"; "{name}" one segment (percent-decoded once), trailing "/ *" (no space)
     * the rest */
    const char *path;
    http_handler_fn *on_head; /* NULL: none. May call http_request_hold or answer */
    http_handler_fn *on_request;
    uint64_t body_max; /* 0: conf.body_bytes_max; with on_message of each message */
    bool is_grpc;
    enum http_scope scope; /* 0: the door's */
    /* A gRPC method whose client streams: each message as it comes, then on_request for the end of
     * the client's side (its body is empty); not after http_stream_end. Answers go through
     * http_stream_*; owed from the first of these calls on. The body cannot be held. Compressed
     * messages end the call (12). A client may rest idle_timeout between two messages, and
     * body_timeout within one. NULL: unary or server-streaming. */
    http_message_fn *on_message;
    void *owner; /* given to its handlers instead of http_options.owner; NULL: that one */
};

struct http_options {
    const struct http_conf *conf;    /* copied */
    const struct http_route *routes; /* borrowed until free */
    size_t n_routes;
    void *owner;                /* given to every handler */
    struct metric_set *metrics; /* http's own rows (http/metrics.def), NULL: none */
    unsigned metric_door;       /* position in the label that the rows were registered with */
    const char *server_name;    /* Server header; NULL: none */
    struct http_auth *auth;     /* NULL: this door asks nobody. Counted by the server */
    enum http_scope scope;      /* of routes that name none; HTTP_SCOPE_DOOR counts as OPEN */
    /* tls.client_names: a connection whose certificate has none of them gets 403 on every route.
     * Borrowed until free; NULL or empty: not checked. */
    const struct conf_list *client_names;
    const struct http_cors_conf *cors; /* borrowed until http_server_reload or free; NULL: none */
    bool is_otlp; /* error bodies are google.rpc.Status in the request's encoding; else text */
};
struct http_server *http_server_new(struct loop *loop, const struct http_options *options);
enum mg_err http_server_listen(struct http_server *server, const struct listener_options *where,
                               struct mg_why *why) MG_MUST_USE;
struct str http_server_address(const struct http_server *server); /* with the real port */
/* Stops accepting, sends GOAWAY / Connection: close, lets running requests finish; after grace_ms
 * closes what is left. on_idle is called when the last connection has gone and every owed answer
 * was made; it may free the server. */
void http_server_drain(struct http_server *server, uint64_t grace_ms, void (*on_idle)(void *owner),
                       void *owner);
void http_server_free(struct http_server **server); /* after drain */
/* New auth, cors and conf->body_bytes_max for requests whose heads are complete later; nothing is kept
 * of the old ones, and no other option is looked at. Loop thread; `auth` is counted, `cors` borrowed
 * until the next call or free. */
void http_server_reload(struct http_server *server, const struct http_options *options);
size_t http_server_connections(const struct http_server *server);
void *http_server_owner(const struct http_server *server); /* http_options.owner */
/* Gives the memory of a body that was taken back to the server's pool, so that the next one finds
 * it warm. Loop thread; buf_fini does as well, only slower. */
void http_server_recycle(struct http_server *server, struct buf *body);
struct http_server *http_request_server(const struct http_request *request);
/* http's own rows (metrics.def); before threads start. `doors`: the label of the program's doors,
 * "door=api|status"; borrowed until the registry is freed. */
struct metric_set *http_metrics_register(struct metric_registry *registry, const char *doors);

/* --- what came --- */
struct str http_request_method(const struct http_request *request);
struct str http_request_path(const struct http_request *request);  /* as sent, no query */
struct str http_request_query(const struct http_request *request); /* after '?', raw */
/* Empty when absent; several are joined by ", ". */
struct str http_request_header(const struct http_request *request, struct str lower_name);
/* A path parameter, decoded; false: the route has none of that name. */
bool http_request_param(const struct http_request *request, const char *name, struct str *value);
/* Raw; for gRPC the message without its prefix. Valid until the answer is made. */
struct str http_request_body(struct http_request *request);
bool http_request_is_grpc(const struct http_request *request);
/* content-encoding, or grpc-encoding when the message's flag is set. */
struct str http_request_encoding(const struct http_request *request);
uint64_t http_request_length_hint(const struct http_request *request); /* Content-Length, or 0 */
struct str http_request_peer(const struct http_request *request);
/* Moves the body out (the request keeps none); *out must be a fresh buf. Its memory counts until
 * the answer is made: give it back then. */
void http_request_take_body(struct http_request *request, struct buf *out, size_t *offset);
/* Percent-decoding iterator over a query string: false at the end; E_FORMAT sets *bad. '+' is a
 * space. */
bool http_query_next(struct str *rest, struct buf *scratch, struct str *key, struct str *value,
                     bool *bad);

/* From on_head: reads no (more) body, which is back-pressure to the peer. With HTTP/2 up to one
 * stream window still comes. Body and grpc-timeout limits: the deadline runs on, the body's time
 * does not. While a body is held HTTP/1 does not notice a peer that goes. */
void http_request_hold(struct http_request *request);
/* on_request follows, never from inside this call. */
void http_request_release(struct http_request *request);
/* How long its body was not read because it was held, or waited for memory (rule 2). */
uint64_t http_request_waited_ns(const struct http_request *request);
bool http_request_is_gone(const struct http_request *request);
void http_request_on_gone(struct http_request *request, http_handler_fn *on_gone, void *owner);

/* --- answers --- */
struct http_header {
    struct str name, value; /* names lower case; "content-type" has its own argument */
};
/* Copies body, or packs it, see above. HEAD sends no body, but the head that GET would have. */
void http_respond(struct http_request *request, int status, const char *content_type,
                  struct str body);
void http_respond_with(struct http_request *request, int status, const char *content_type,
                       struct str body, const struct http_header *headers, size_t n_headers);
/* A body that is there before it is asked for: its tag and its gzip are made once, not at each request. */
struct http_file {
    struct str bytes;
    struct str gzip; /* of bytes; empty: it leaves as it is */
    struct str etag; /* strong, quoted */
    const char *type;
};
/* The gzip of such a body, in the arena; empty where it would not leave so. Any thread. */
struct arena;
struct str http_file_pack(const char *type, struct str bytes, struct arena *arena);
/* 200, or 304 to who names the tag; with the headers and the tag in both. */
void http_respond_file(struct http_request *request, const struct http_file *file,
                       const struct http_header *headers, size_t n_headers);
/* The failure in the form of this door and this request: google.rpc.Status (protobuf or JSON), gRPC
 * trailers, or text; Retry-After / RetryInfo (also in the trailer google.rpc.retryinfo-bin) when
 * err has a retry hint. retry_after_s 0: 1 to 3 s, by the peer's address and port, so that not all
 * come again at once. */
void http_respond_error(struct http_request *request, enum mg_err err, struct str message,
                        unsigned retry_after_s);
void http_respond_grpc(struct http_request *request, struct str message); /* OK, one message */
void http_respond_grpc_error(struct http_request *request, int grpc_status, struct str message);

/* --- streamed answers from another thread --- */
/* A pipe carries one answer from a query thread to its request's loop, at most `window` bytes
 * ahead. http_pipe_new on the loop thread, from on_request or later; then the pipe belongs to the
 * writer thread until http_pipe_end. The window counts what leaves: bytes after packing, of which a
 * pipe keeps 360 KiB of state until its end. It is the request's answer: no other may be made, and
 * on_gone is not called any more. */
struct http_pipe;
struct http_pipe *http_pipe_new(struct http_request *request, size_t window); /* 0: 1 MiB */
/* Until something was flushed, which decides status and headers: a small answer that ends before
 * gets a Content-Length, and an error can still be a clean status. */
void http_pipe_head(struct http_pipe *pipe, int status, const char *content_type);
/* Behind http_pipe_head, which forgets it, until something was flushed: one header more, the last
 * one given. What http_pipe_end says of a failure does not carry it. The name is borrowed; the
 * value has at most 95 bytes. */
void http_pipe_header(struct http_pipe *pipe, struct str lower_name, struct str value);
/* Takes back what was written and makes the head that of a failure whose document is written next:
 * the status of err, and Retry-After when err has a retry hint, as http_respond_error does with 0.
 * false: something was flushed, which only http_pipe_end can still break off. */
bool http_pipe_fail(struct http_pipe *pipe, enum mg_err err, const char *content_type);
/* Takes the memory, empties buf; packs on this thread what suits. Blocks while the window is full.
 * E_IO: the peer has gone (stop producing); E_TIMEOUT: no progress for 30 s. */
enum mg_err http_pipe_write(struct http_pipe *pipe, struct buf *bytes) MG_MUST_USE;
/* gRPC, server-streaming: one message (its prefix is put here), instead of http_pipe_head and
 * http_pipe_write, which a gRPC request must not have; blocks and fails like http_pipe_write, also
 * with E_IO after the deadline, and with E_TOO_BIG above 4 GiB. Leaves at once. Empties buf.
 * http_pipe_end then ends the stream with the status of err, also after messages have left. */
enum mg_err http_pipe_message(struct http_pipe *pipe, struct buf *message) MG_MUST_USE;
/* Ends the answer; when nothing was flushed yet and err is a failure, answers as http_respond_error
 * would; later failures cut the connection so that the peer sees a broken answer, not a short one.
 */
void http_pipe_end(struct http_pipe **pipe, enum mg_err err, struct str message);
bool http_pipe_is_gone(const struct http_pipe *pipe); /* any thread */

/* --- gRPC calls in both directions, loop thread --- */
/* From on_message or on_request of a route with on_message, or later: one message to the peer,
 * copied. Queued without a bound, so the answer to a message must be of its size's order; no more
 * of the peer's messages is asked for while 256 KiB wait. */
void http_stream_message(struct http_request *request, struct str message);
/* The answer's end, once, also when the request is gone. grpc_status 0: fine. */
void http_stream_end(struct http_request *request, int grpc_status, struct str message);
