/* pair.h - a listener and both ends of one connection on one loop. Every end counts what it hears.
 */
#pragma once
#include "base/mem.h"
#include "net/stream.h"
#include "net/tls.h"

struct end {
    struct pair *pair;
    struct stream *stream;
    struct buf got;
    size_t pause_at; /* pauses itself at so many bytes; 0: never */
    bool closes_on_data, closes_on_end, stops_on_drained;
    unsigned n_ends, n_drained, n_closed;
    enum mg_err err;
    enum tls_failure failure; /* of its handshake, when it has closed */
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct end server, client;
    enum mg_err connect_err; /* then client.stream is NULL */
    struct mg_why why;
    bool has_failed;
    bool (*is_done)(struct pair *pair); /* asked after every event */
    struct timer *deadline;
};

struct pair_options {
    struct tls_source *source;   /* of the server; NULL: plain */
    struct tls_context *context; /* of the client; NULL: plain */
    const char *host;            /* NULL: 127.0.0.1 */
    bool may_fail;               /* to connect */
    bool is_lone;                /* no client is made; the listener stays until pair_close */
    plain_answer_fn *plain_answer;
    listener_fn *on_accept;      /* NULL: the server's end takes the stream */
    void *accept_owner;
};
void pair_open(struct pair *pair); /* connected when it returns */
void pair_open_with(struct pair *pair, const struct pair_options *options);
uint16_t pair_port(const struct pair *pair); /* while there is a listener */
void pair_own_client(struct pair *pair,
                     struct stream *stream); /* for a test that connects by itself */
void pair_check(struct pair *pair);          /* something has happened that is_done may look at */
void pair_run(struct pair *pair, bool (*is_done)(struct pair *pair)); /* fails after 20 s */
void pair_close(struct pair *pair);
