/* wire.h - a server and one connection of it over memory instead of a socket: what the peer sends
 * is an argument, what it receives is a buffer, and time is moved by hand. */
#pragma once
#include "http/conn.h"

#define WIRE_LATER_MAX 512

struct wire {
    struct loop *loop;
    struct http_conf conf; /* set before wire_start; the defaults of the rows */
    struct http_options options;
    struct http_server *server;
    struct conn *conn; /* NULL once closed */
    struct buf out;    /* everything the server wrote */
    struct buf unread; /* sent by the peer while the server did not read */
    size_t read_most;  /* what the server reads at a time */
    size_t queued;     /* what the transport claims not to have sent yet */
    bool is_paused, is_shut, is_closing, has_pending_end;

    struct http_request
        *later[WIRE_LATER_MAX]; /* waiting for the test, in their order; NULL: it went */
    size_t n_later;
    unsigned n_heads, n_requests, n_gone;
    struct buf messages; /* of calls in both directions, each with '|' behind it */
    bool is_chat_kept;   /* their end goes to `later` instead of being answered */
    uint64_t now_ns;

    /* What TLS claims to know; NULL: nothing. Set before the peer sends. */
    const char *alpn;
    const char *san; /* of a verified client certificate */
};

void wire_init(struct wire *wire);    /* conf has its defaults */
void wire_start(struct wire *wire);   /* server and connection */
void wire_connect(struct wire *wire); /* a further connection, after the first was closed */
void wire_fini(struct wire *wire);
void wire_send(struct wire *wire, const void *bytes, size_t len);
void wire_send_slowly(struct wire *wire, const void *bytes, size_t len); /* one byte a call */
void wire_end(struct wire *wire);                                        /* the peer's FIN */
void wire_reset(struct wire *wire);                                      /* the peer's RST */
void wire_sent(struct wire *wire);                                       /* queued falls to 0 */
void wire_advance(struct wire *wire, uint64_t ms); /* moves the time and ticks */
void wire_round(struct wire *wire);                /* one round of the loop: mailboxes deliver */
/* Statuses of the HTTP/1 answers in `out`, bodies of 2xx, then "eof" when the server half closed or
 * closed: "200:root 404 eof". Broken answers give "broken". */
const char *wire_answers(struct wire *wire);
bool wire_has(const struct wire *wire, const char *text); /* somewhere in `out` */

/* One HTTP/1 request and its answer, which stays in `out` until the next. */
struct reply {
    int status;
    struct str head, body;
};
struct reply wire_ask(struct wire *wire, const char *method, const char *path,
                      const char *more); /* header lines, each with its CR LF */
struct str reply_header(const struct reply *reply, const char *name); /* empty: none */

/* Routes: GET /, /later, /p/{name}, /missing-handler ; POST /echo, /later, /held (holds), /small
 * (10 bytes), /picky (415 at the head), /busy; gRPC /t.S/Echo, /t.S/Later, /t.S/Held, /t.S/Busy,
 * /t.S/Small (10 bytes). With scopes: GET /open, /query, /admin, POST /ingest, gRPC /t.S/Query.
 *
 * Both directions: /t.S/Chat, /t.S/SmallChat (10 bytes a message): every message is sent back, but
 * "quiet" not, and "bye" ends the call with status 9. */
extern const struct http_route wire_routes[];
extern const size_t wire_routes_n;
