/* conn.h - the insides of the server: one connection, one request, and how the files of http share
 * them.
 *
 *   server.c   listeners, the list of connections, time, drain
 *   conn.c     bytes arrive: HTTP/1 or HTTP/2?; reading stops and starts; the end of a connection
 *   h1.c h2.c  one protocol each: bytes in, request_* calls out, answers in, bytes out
 *   request.c  what both protocols share: routing, checks, the body
 *   auth.c     who may ask; cors.c  which pages of a browser may
 *   answer.c   the answers: whole, in pieces, errors, gRPC's trailers
 *   compress.c which of them leave as gzip
 *   duplex.c   gRPC calls whose client streams
 *   gather.c   the memory of the bodies of all servers together
 *   pipe.c     an answer that another thread writes
 *
 * Everything is for the server's loop thread. Bytes never leave inside a call that came from a
 * handler or from the transport: conn_touch puts the connection on the server's dirty list, and
 * server_flush writes at the end of the loop's round. A connection is freed in conn_on_closed only,
 * and a request never inside its own handler, so pointers stay good for the length of a call. */
#pragma once
#include "base/arena.h"
#include "base/list.h"
#include "base/vec.h"
#include "http/http.h"
#include "http/out.h"
#include "http/pool.h"
#include "http/router.h"
#include "http/transport.h"
#include "net/loop.h"
#include "net/tls.h"

/* Above it nothing more is given to the transport, and reading stops. */
#define OUT_HIGH_BYTES (256u * 1024)
/* How long a closed connection still reads, so that no RST eats the answer; and an answered stream
 * the rest of its body. */
#define LINGER_NS          5000000000ull
/* How much is read at a time: of a body, and while a head is awaited. What comes with the head of a
 * request that is held, or for whose body there is no memory, is in nobody's budget. */
#define READ_BYTES      (64u * 1024)
#define HEAD_READ_BYTES 2048u
#define PIPELINE_MAX       16   /* HTTP/1 requests of one connection that wait for their answers */
#define HEADERS_MAX        256  /* fields of one request */
#define HEADER_COST_BYTES  32   /* RFC 9113 6.5.2: each field costs 32 more */
#define BODY_STEP_BYTES    1024 /* a body must bring it in every body_timeout: the minimum rate */
#define LENGTH_UNKNOWN     UINT64_MAX
#define SPARE_REQUESTS_MAX 32

/* --- one request --- */
struct answer {
    int status;
    const char *content_type; /* NULL: none */
    const struct http_header *headers;
    size_t n_headers;
    const struct http_header
        *trailers; /* HTTP/2 only; a trailers-only answer has them in headers */
    size_t n_trailers;
    uint64_t length;  /* of the body; LENGTH_UNKNOWN: streamed */
    bool is_bodiless; /* HEAD, 204, 304, trailers-only: nothing follows */
};

struct protocol {
    void (*send_continue)(struct http_request *request);
    void (*head)(struct http_request *request, const struct answer *answer);
    void (*data)(struct http_request *request, struct buf *bytes); /* takes */
    void (*end)(struct http_request *request);
    void (*cut)(struct http_request *request);     /* the peer must see that the answer is broken */
    void (*unheld)(struct http_request *request);  /* the body may come again */
    void (*abandon)(struct http_request *request); /* gone; its connection writes on */
};

struct http_request {
    struct conn *conn; /* NULL when it has gone */
    struct http_server *server;
    struct list link; /* conn.requests, conn.detached, server.orphans or server.spare */
    struct arena arena;

    struct str method, target, path, query;
    struct str authority; /* HTTP/2 */
    VEC(struct http_header) headers;
    size_t header_bytes; /* with the cost of each field */
    const struct http_route *route;
    struct http_params params;

    struct buf body;                 /* as received; the pool's memory */
    size_t body_offset;              /* GRPC_PREFIX_BYTES for gRPC */
    struct str message;              /* gRPC: within body */
    size_t body_limit;               /* bytes, prefix included */
    uint64_t declared;               /* Content-Length; LENGTH_UNKNOWN: none */
    uint64_t received;               /* body bytes, kept or not */
    uint64_t step_ns, step_received; /* when and at how much the current body step began */
    uint64_t deadline_ns;            /* grpc-timeout; 0: none */

    http_handler_fn *on_gone;
    void *on_gone_owner;
    void (*on_sent)(void *owner, size_t payload_bytes); /* a pipe's credit; NULL: none */
    void (*on_finished)(void *owner);                   /* its request goes */
    void *pipe;

    bool has_cors;          /* its answer depends on the Origin */
    struct str cors_origin; /* Access-Control-Allow-Origin of its answer; empty: none */

    size_t gathered_bytes; /* memory of the body, counted by gather.c, also when it was taken */
    struct list overgrown_link;      /* gather.overgrown */
    struct list wait_link;           /* gather.waiting */
    uint64_t paused_ns, waited_ns;   /* since when its body is held or waits, 0: it does not; how long before */
    uint64_t wait_ns, wait_received; /* when and at how much its wait began */
    uint64_t pace_ns, pace_received; /* while others wait: when and at how much its pace began */

    struct out out;
    const struct http_header *trailers; /* in arena */
    size_t n_trailers;
    int stream_id;       /* HTTP/2 */
    uint64_t unconsumed; /* HTTP/2: window not given back, because the body is held or waits;
                          * part of conn.unconsumed */
    uint64_t withheld;   /* HTTP/2: likewise, but the connection's window was given back */
    uint64_t thrown;     /* HTTP/2: body bytes that came after the answer was begun */
    uint64_t end_ns;     /* HTTP/2: when END_STREAM went out */

    bool is_http2, is_grpc, is_head, is_http10;
    bool is_grpc_compressed;
    bool is_keep_alive;    /* HTTP/1: wanted by the peer */
    bool expects_continue; /* and has not got it */
    bool has_head;         /* headers complete, checks done */
    bool has_body;         /* complete */
    bool is_beside;        /* gather.c does not count its memory in the budget */
    bool is_held;
    bool is_owed;         /* the handler must still answer: on_request was called, or it is held */
    bool is_handler_done; /* the handler answered */
    bool is_answered;     /* an answer was begun on the wire */
    bool is_bodiless;     /* its answer has only a head */
    bool is_packed;       /* its answer is gzip */
    bool is_ready;        /* complete, and on_request is due at the next flush */
    bool is_streaming;    /* gRPC messages have begun to leave: how the call ends is still open */
    bool is_duplex;       /* its route takes messages one by one (duplex.c) */
    bool is_counted;      /* in the metrics */
    bool is_out_ended;    /* the answer is complete in `out` */
    bool is_chunked_out;  /* HTTP/1 */
    bool is_deferred;     /* HTTP/2: the sender waits for data */
    bool is_end_sent;     /* HTTP/2: END_STREAM went out */
    bool is_rest_cut;     /* HTTP/2: and RST_STREAM after it */
    bool is_gone;         /* the handler's answer has no reader any more */
    bool is_finished;     /* the protocol is done with it */
    bool is_freeing_blocked; /* request_gone is on the stack */
    enum mg_err head_err;    /* what is wrong with the head; answered when it is complete */
};

struct http_request *request_new(struct conn *conn);
void request_pause(struct http_request *request); /* its body is not read from now on, for want of room */
void request_resume(struct http_request *request);
/* Copies both; the name in lower case. Too many or too large: E_HEADERS. */
void request_add_header(struct http_request *request, struct str name, struct str value);
/* The part of the target before '?' and after; false: not a path. */
bool request_set_target(struct http_request *request, struct str target);
/* The head is no good; what was found first is what the peer is told. */
void request_spoil_head(struct http_request *request, enum mg_err err);
void request_head_complete(struct http_request *request); /* routes, checks, on_head */
void request_send_continue(struct http_request *request); /* to who waits for it, once */
void request_body_data(struct http_request *request, struct str bytes);
void request_body_complete(struct http_request *request);
/* The peer or the time ended it: on_gone once; freed as soon as the handler owes nothing. */
void request_gone(struct http_request *request);
/* The answer has left: freed (a handler that answered owes nothing). */
void request_finish(struct http_request *request);
/* An answer of the server's own, also while the handler still works on it (then on_gone). */
void request_refuse(struct http_request *request, enum mg_err err, const char *reason,
                    const char *message);
void request_refuse_with(struct http_request *request, enum mg_err err, const char *reason,
                         const char *message, const struct http_header *extra);
void request_tick(struct http_request *request, uint64_t now_ns);
void request_free(struct http_request *request);
void request_drop_body(struct http_request *request);
void request_free_when_done(struct http_request *request);
bool request_wants_body(const struct http_request *request); /* bytes are kept, not thrown away */
bool request_is_open(const struct http_request *request);    /* its answer can still be decided */
void *request_owner(const struct http_request *request);     /* of its handlers */
bool request_is_valid_host(struct str host);
bool request_is_token(struct str s);

/* --- answers (answer.c) --- */
#define GRPC_ENCODINGS "identity,gzip,deflate,zstd"
/* The handler's one answer. false: nobody reads it; the request may be freed already. */
bool request_take_turn(struct http_request *request);
void request_answer(struct http_request *request, int status, const char *content_type,
                    struct str body, const struct http_header *headers, size_t n_headers);
/* 1 to 3 s, by the peer's address and port: not all of them come again at once. */
unsigned request_retry_s(const struct http_request *request);
/* In the form of the door and the request. retry_after_s 0: request_retry_s. extra: a header or
 * trailer more; NULL: none. */
void request_answer_error(struct http_request *request, enum mg_err err, struct str message,
                          unsigned retry_after_s, const struct http_header *extra);
/* Trailers only. */
void request_answer_grpc(struct http_request *request, int http_status, int grpc_status,
                         struct str message, unsigned retry_after_s,
                         const struct http_header *extra);
/* Steps of an answer. `buf` is taken. With request.is_packed the bytes are gzip already. */
void request_start_stream(struct http_request *request, int status, const char *content_type,
                          const struct http_header *headers, size_t n_headers);
void request_stream(struct http_request *request, struct buf *bytes);
void request_end_stream(struct http_request *request, bool is_whole);
/* The same for gRPC: any number of messages, then how it ended. */
void request_start_messages(struct http_request *request);
void request_put_message(struct http_request *request, struct str message);
void request_end_messages(struct http_request *request, int grpc_status, struct str message,
                          unsigned retry_after_s);
void request_end_messages_error(struct http_request *request, enum mg_err err, struct str message);

/* --- gzip (compress.c); the rules are in http.h --- */
bool compress_reads_gzip(struct str accept_encoding);
bool compress_is_wanted(const struct http_request *request); /* its Accept-Encoding */
bool compress_suits(int status, const char *content_type);   /* whatever the size. Any thread */
/* A whole body as gzip: true, and *out is it. Else *out may hold rests. */
bool compress_body(const struct http_request *request, int status, const char *content_type,
                   struct str body, struct buf *out);
void compress_add(struct http_request *request, struct answer *answer); /* its headers */

/* --- gRPC calls whose client streams (duplex.c) --- */
void duplex_data(struct http_request *request, struct str bytes);
bool duplex_is_whole(struct http_request *request); /* at the client's end; false: answered */
/* So much of its answer waits that no more is read. */
bool duplex_is_behind(const struct http_request *request);

/* --- who may ask (auth.c, cors.c) --- */
void auth_set(struct http_server *server, struct http_auth *auth); /* counted */
bool auth_admits(struct http_request *request);                    /* false: answered */
void cors_look(struct http_request *request);                      /* before any answer */
bool cors_admits(struct http_request *request); /* may a page of another site do this? false: answered */
/* Answers an OPTIONS that asks for a page's sake. allow: methods of the path. false: it is none. */
bool cors_preflight(struct http_request *request, struct str allow);
void cors_add(struct http_request *request, struct answer *answer); /* its headers */

/* --- pipes (pipe.c) --- */
void request_attach_pipe(struct http_request *request);
void pipe_set_progress_limit(struct http_pipe *pipe, uint64_t ns); /* for tests; default 30 s */

/* --- one connection --- */
enum conn_phase { CONN_SNIFF, CONN_H1, CONN_H2, CONN_LINGER, CONN_CLOSED, CONN_PHASES };

struct h1;
struct h2;
struct conn {
    struct http_server *server;
    struct list link;       /* server.conns */
    struct list dirty_link; /* server.dirty */
    const struct transport *io;
    void *io_owner;
    enum conn_phase phase;
    bool is_paused;       /* reading */
    bool is_draining;     /* no further requests */
    bool has_ended;       /* the peer sends no more */
    struct list requests; /* request.link; HTTP/1: in their order */
    struct list detached; /* request.link: the wire is done with them, the handler is not */
    size_t n_requests;   /* in both lists: a peer that resets streams does not get more work done */
    size_t n_ready;      /* with is_ready */
    uint64_t unconsumed; /* HTTP/2: of the connection's window, by all requests */
    uint64_t wait_ns;    /* since when it waits: for a head, a request, the end of lingering */
    uint64_t sent_ns;    /* last time output moved, or began to wait */
    size_t last_queued;
    size_t n_sniffed; /* bytes of the preface that matched */
    struct h1 *h1;
    struct h2 *h2;
    struct { /* what its client certificate is good for, found when it is first asked */
        unsigned generation; /* http_server.auth.generation it was found with; 0: not yet */
        unsigned scopes;
        struct str name;           /* of the row's entry, which lives as long as that generation */
        bool is_checked, is_named; /* against tls.client_names */
    } certificate;
    char peer[64];
};

struct conn *conn_new(struct http_server *server, const struct transport *io, void *io_owner,
                      struct str peer);
void conn_on_data(struct conn *conn, struct str bytes);
void conn_on_end(struct conn *conn);
void conn_on_drained(struct conn *conn);
void conn_on_closed(struct conn *conn); /* frees it */
void conn_touch(struct conn *conn); /* has output, or something to process: before the round ends */
void conn_flush(struct conn *conn);
void conn_tick(struct conn *conn, uint64_t now_ns);
void conn_run_ready(struct conn *conn); /* on_request of what was released */
void conn_drain(struct conn *conn);
void conn_finish(struct conn *conn); /* writes what is there, half closes, lingers, closes */
void conn_close(struct conn *conn);  /* at once */
void conn_set_reading(struct conn *conn, bool wanted);
void conn_read_most(struct conn *conn, size_t bytes); /* at a time */
/* Writes and counts. */
void conn_write(struct conn *conn, const void *bytes, size_t len);
void conn_write_buf(struct conn *conn, struct buf *buf);
static inline size_t conn_queued(const struct conn *conn)
{
    return conn->io->queued(conn->io_owner);
}
static inline bool conn_has_room(const struct conn *conn)
{
    return conn_queued(conn) < OUT_HIGH_BYTES;
}

extern const struct protocol h1_protocol, h2_protocol;
static inline const struct protocol *request_protocol(const struct http_request *request)
{
    return request->is_http2 ? &h2_protocol : &h1_protocol;
}
void h1_start(struct conn *conn);
void h1_on_data(struct conn *conn, struct str bytes);
void h1_on_end(struct conn *conn);
void h1_flush(struct conn *conn);
void h1_tick(struct conn *conn, uint64_t now_ns);
void h1_drain(struct conn *conn);
void h1_refuse(struct conn *conn, const char *message); /* what comes is not read at all */
void h1_free(struct h1 **h1);
bool h2_start(struct conn *conn);
void h2_on_data(struct conn *conn, struct str bytes);
void h2_on_end(struct conn *conn);
void h2_flush(struct conn *conn);
void h2_tick(struct conn *conn, uint64_t now_ns);
void h2_drain(struct conn *conn);
void h2_refuse(struct conn *conn, const char *message);
void h2_free(struct h2 **h2);

/* --- the memory of bodies (gather.c) --- */
struct gather {
    uint64_t bytes_max;          /* of all servers of the process */
    uint64_t bytes;              /* of this server's requests, the one beside included */
    struct list overgrown;       /* request.overgrown_link: not complete, and had no room to grow */
    struct list waiting;         /* request.wait_link: not read until told, by wait_ns */
    struct http_request *beside; /* of this server: not counted in the budget; NULL: none */
    uint64_t beside_ns;          /* since when others wait for it to be whole */
    struct timer *poll;          /* while somebody waits: whether others gave memory back */
    bool is_serving;
};

void gather_init(struct http_server *server);
void gather_fini(struct http_server *server);
bool gather_may_read(const struct http_request *request); /* more of its body */
void gather_wait(struct http_request *request);   /* protocol.unheld follows, or a refusal */
void gather_count(struct http_request *request);  /* its body may have grown */
void gather_whole(struct http_request *request);  /* no more will come */
void gather_drop(struct http_request *request);   /* nobody has its body any more */
void gather_taken(struct http_request *request);  /* nor now, but there is more to come */
void gather_press(struct http_request *request);  /* bytes of it came that could not be refused */
bool gather_is_favoured(const struct conn *conn); /* a request of it goes on beside the budget */
void gather_pace(struct http_request *request, uint64_t now_ns); /* refuses it when it is slow */
void gather_tick(struct http_server *server, uint64_t now_ns);
uint64_t gather_bytes_of_all(void); /* any thread */

/* --- the server --- */
struct http_server {
    struct loop *loop;
    struct http_options options;
    struct http_conf conf;
    struct router *router;
    struct listener *listener;
    struct list conns; /* conn.link */
    size_t n_conns;
    struct list dirty;   /* conn.dirty_link */
    struct list orphans; /* request.link: the connection went, the handler has not answered */
    struct list spare;   /* request.link: their arenas are warm */
    size_t n_spare;
    struct loop_task flush;
    struct timer *timer;      /* runs while there is a connection or a kept buffer */
    uint64_t tick_ms, due_ns; /* period; when the timer fires next, 0: it does not run */
    uint64_t decay_ns;
    struct mailbox *pipes;
    struct pool pool;
    struct gather gather;
    struct {
        struct http_auth *rows; /* counted; NULL: nobody is asked */
        unsigned generation;    /* from 1, with each reload */
    } auth;
    struct buf scratch; /* OUT_SCRATCH_BYTES, gathers small writes of one flush */
    struct {
        bool is_on;
        uint64_t until_ns;
        void (*on_idle)(void *owner);
        void *owner;
    } drain;
};
#define OUT_SCRATCH_BYTES (64u * 1024)

uint64_t server_now(const struct http_server *server);
void server_flush(struct http_server *server);
void server_tick(struct http_server *server,
                 uint64_t now_ns); /* what the timer does; a test moves the time */
void server_wake_at(struct http_server *server, uint64_t at_ns);
void server_conn_gone(struct http_server *server);
void server_pipe_mail(void *owner, struct message *message); /* pipe.c */

/* --- its metrics --- */
void http_count_conn(struct http_server *server, int by);
void http_count_request(struct http_server *server,
                        unsigned status_class); /* 0: gone without an answer */
void http_count_refused(struct http_server *server, const char *reason);
void http_count_handshake(struct http_server *server, enum tls_failure failure); /* NONE: nothing */
void http_count_body_wait(struct http_server *server);
void http_count_accept_pause(struct http_server *server);
void http_count_bytes(struct http_server *server, size_t in, size_t out);
