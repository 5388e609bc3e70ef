/* client_private.h - what the files of the HTTP client share.
 *
 *     http_client -- waiting --> call, call …            not on a connection yet
 *          |         ended   --> call …                  result known, on_done not called yet
 *          `-------- conns   --> conn -- calls --> call  sent, not answered
 *
 * A call is in exactly one of these lists. Nothing in here calls the user but client_settle, which
 * every event handler does last; until then all objects of the event stay alive. The exception is
 * on_body, which takes bytes and must not call back. */
#pragma once
#include "base/arena.h"
#include "base/list.h"
#include "http/client.h"
#include "http/url.h"

#define CLIENT_HEADER_BYTES_MAX 65536 /* names and values of one answer */

struct client_call {
    struct list link; /* one of the lists above */
    struct http_client *client;
    struct client_conn *conn; /* NULL unless sent */
    struct timer *timer;      /* the deadline; once it has ended, makes sure that it is delivered */
    http_done_fn *on_done;
    http_body_fn *on_body; /* NULL: bodies are gathered */
    void *owner;

    struct arena arena;        /* texts of the request and of the answer's headers */
    struct str method, target; /* target: prefix of the base URL and the path */
    struct http_header *headers;
    size_t n_headers;
    struct buf body; /* for gRPC with the prefix */
    bool is_grpc, is_compressed, is_head;
    bool is_waiting, is_ended;
    bool was_retried;
    uint64_t asked_at; /* client->n_arrivals when the deadline was set */
    bool is_refused;   /* by on_body, whose sentence stands in why */

    size_t body_sent;  /* HTTP/2: bytes given to nghttp2 */
    int32_t stream_id; /* HTTP/2 */

    struct {
        int status;                                         /* of the final answer */
        int grpc_status;                                    /* -1: none came */
        struct str content_type, retry_after, grpc_message; /* in the arena, as sent */
        struct str grpc_encoding, details, location;        /* the same */
        struct str message; /* gRPC, status 0: in body or unpacked */
        struct buf unpacked;
        struct buf body;
        size_t header_bytes;
        bool is_started; /* a byte came */
    } answer;
    enum mg_err err; /* of an ended call */
    struct mg_why why;
};

struct client_conn {
    struct list link; /* http_client.conns */
    struct http_client *client;
    struct stream_attempt *attempt; /* connecting; else NULL */
    struct stream *stream;          /* NULL while connecting */
    void *protocol;                 /* of the kind; NULL while connecting */
    struct list calls;              /* client_call.link */
    unsigned n_calls;
    uint64_t heard_at; /* client->n_arrivals at its last bytes; 0: none ever came */
    bool is_kept;      /* has answered: the peer may close it at any moment */
    bool is_last;      /* takes no more calls */
    bool is_closing;
};

/* HTTP/1.1 and HTTP/2 below the pool. None of these calls the user. */
struct conn_kind {
    unsigned room_expected; /* calls a connection that is not open yet will take */
    void (*open)(struct client_conn *conn);
    void (*close)(struct client_conn *conn); /* releases conn->protocol */
    unsigned (*room)(const struct client_conn *conn);
    enum mg_err (*send)(struct client_conn *conn, struct client_call *call, struct mg_why *why);
    /* The call, which has timed out and is in no list of the connection any more, leaves before its
     * answer is complete. */
    void (*cancel)(struct client_conn *conn, struct client_call *call);
    void (*on_data)(struct client_conn *conn, struct str bytes);
    void (*on_end)(struct client_conn *conn);
    void (*on_drained)(struct client_conn *conn);
};
extern const struct conn_kind client_h1, client_h2;

struct http_client {
    struct loop *loop;
    const struct conn_kind *kind;
    char *url; /* owned; the next three are parts of it */
    struct str host, authority, prefix;
    uint16_t port;
    bool is_tls;
    struct tls_context *tls; /* counted; NULL: plain, or the default one was not needed yet */
    unsigned connections_max;
    uint64_t timeout_ms, answer_bytes_max;
    struct list waiting, ended;          /* client_call.link */
    struct list conns;                   /* client_conn.link; closing ones too */
    unsigned n_waiting, n_ended, n_open; /* n_open: conns that are not closing */
    uint64_t n_arrivals;   /* bytes came so many times: a clock without two events in one moment */
    unsigned holds;        /* client_settle on the stack */
    bool is_closing;       /* freed once the last connection has gone */
    struct timer *closing; /* runs between http_client_close and the next turn, else NULL */
    void (*on_gone)(void *owner); /* called when freed; NULL: nobody asked */
    void *gone_owner;
};

/* Without user and password, which a call has in a header if at all. The sentence quotes the URL. */
enum mg_err client_url_read(struct str text, struct http_url *url, struct mg_why *why) MG_MUST_USE;

/* What came, from the kinds. On failure the kind ends the call and cancels it. */
enum mg_err client_call_on_header(struct client_call *call, struct str lower_name,
                                  struct str value) MG_MUST_USE;
enum mg_err client_call_on_body(struct client_call *call, struct str bytes) MG_MUST_USE;
/* The body is on_body's: the status is known and 2xx. */
bool client_call_is_streamed(const struct client_call *call);
void client_call_end(struct client_call *call); /* the answer is complete */
/* E_* with a sentence, which gets "METHOD URL: " in front. */
void client_call_fail(struct client_call *call, enum mg_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* err of client_call_on_header or client_call_on_body, told to the caller. */
void client_call_fail_limit(struct client_call *call, enum mg_err err);
/* Sends it once more when this is its first time; the peer is known not to have handled it. */
bool client_call_retry(struct client_call *call);

/* Ends (or retries) every call of a connection that is no use any more, and closes it. */
void client_conn_lost(struct client_conn *conn, const char *reason);
void client_conn_close(struct client_conn *conn); /* calls must have left */
