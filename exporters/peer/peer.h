/* peer.h - the HTTP server at the other end of an exporter: its rows, its TLS, and what its answers
 * mean for a batch (OTLP specification, "Failures"). Used by otlp, zipkin and elasticsearch; each adds
 * what is in a body.
 *
 * What came back is judged by these rules. TAKEN: 2xx, gRPC status 0. RETRY with the peer's hint:
 * no connection, timeout, 429, 502, 503, 504; gRPC status 1, 4, 10, 11, 14, 15, and 8 with
 * RetryInfo. 401, 403 and gRPC's 16, 7 are RETRY: a credential is mended without losing what
 * waited. So are answers that nobody is there who could judge the batch, as from an ingress whose
 * backend is away, or to a wrong path: 404, 405, gRPC's 12, and redirects, which are not followed; the
 * reason names the rows to look at. REFUSED: everything else, with what the peer said, cut to 200
 * bytes. What refuses a request for its size alone (judge.c) is told apart for peer_send_parts.
 *
 * The files of TLS are looked at once a second: what has changed is taken for new connections, and files
 * that cannot be used leave the old ones in force, with a line in the log. Requests that are open end as
 * they began.
 *
 * Values of headers and the password of the URL are never logged, nor told as part of what the peer
 * said.
 *
 * Loop thread of its send, but peer_new and peer_free. */
#pragma once
#include "base/vec.h"
#include "codec/zip.h"
#include "http/client.h"
#include "send/send.h"

struct peer_conf {
    struct str endpoint;      /* "http://host:port/path" or https; empty: the exporter is off.
                               * "user:password@" before the host      is Basic authentication */
    struct conf_list headers; /* "name: value"; values may be secrets and are never logged */
    struct str ca, cert, key; /* PEM files: of the server's CA (else the system's), and our own */
    bool insecure;            /* true: any certificate is taken; said at every start */
};
#define PEER_ROWS(type, member, endpoint_help)                                                     \
    CONF_ROW(type, CONF_STR, "endpoint", member.endpoint, NULL, NULL, NULL, endpoint_help,         \
             CONF_NEEDS_RESTART),                                                                  \
        CONF_ROW_SECRET(type, CONF_LIST, "headers", member.headers,                                \
                        "Headers sent with every request, as \"name: value\".",                    \
                        CONF_NEEDS_RESTART),                                                       \
        CONF_ROW(                                                                                  \
            type, CONF_STR, "ca", member.ca, NULL, NULL, NULL,                                     \
            "PEM file of the CA that signed the server's certificate; empty: the system's CAs.",   \
            CONF_NEEDS_RESTART),                                                                   \
        CONF_ROW(type, CONF_STR, "cert", member.cert, NULL, NULL, NULL,                            \
                 "PEM file of our own certificate chain, for servers that want one.",              \
                 CONF_NEEDS_RESTART),                                                              \
        CONF_ROW(type, CONF_STR, "key", member.key, NULL, NULL, NULL,                              \
                 "PEM file of its private key.", CONF_NEEDS_RESTART),                              \
        CONF_ROW(type, CONF_BOOL, "insecure", member.insecure, "false", NULL, NULL,                \
                 "Takes any server certificate. For trials only.", CONF_NEEDS_RESTART)

struct peer;
/* Checks URL and headers, loads the files. E_FORMAT, E_IO name the row: "exporters.otlp.endpoint:
 * …". *conf and section must outlive it. */
enum mg_err peer_new(struct peer **out, const char *section, const struct peer_conf *conf,
                     struct mg_why *why) MG_MUST_USE;
void peer_free(struct peer **peer);
struct str peer_path(const struct peer *peer); /* of the URL, as written; "" when it has none */
/* HTTP/2 takes one connection, which carries all requests; HTTP/1.1 as many as batches may be in flight. */
enum mg_err peer_open(struct peer *peer, struct loop *loop, bool http2, uint64_t timeout_ns,
                      struct mg_why *why) MG_MUST_USE;
/* Requests that are open end with RETRY before it returns; what comes later is answered with RETRY
 * at once. */
void peer_close(struct peer *peer, void (*on_closed)(void *owner), void *owner);

struct peer_post {
    struct str path, content_type, encoding /* content-encoding or grpc-encoding; empty: none */,
        body;
    bool is_grpc;
    const char *method; /* NULL: POST */
    /* "exporters.otlp.protocol", static: what may be wrong besides the endpoint when no such service
     * is there. NULL: nothing. */
    const char *other_row;
};
/* What the server says of its refusal: grpc-message, the message of a google.rpc.Status, or the body.
 * As it came, any bytes. */
struct str peer_said(const struct http_answer *answer);

/* One request that is no batch's: on_done gets the verdict instead. Once, later; from inside only
 * when the peer is closed or was never opened. `answer` is borrowed, NULL when none came. */
typedef void peer_done_fn(void *owner, const struct send_result *result,
                          const struct http_answer *answer);
void peer_call(struct peer *peer, const struct peer_post *post, peer_done_fn *on_done, void *owner);

/* --- a batch, which may take several requests --- */
struct peer_part {
    uint32_t n;        /* items */
    struct str packed; /* with a length: the body, borrowed, packed as it goes; `body` is empty */
    struct buf body;
    VEC(size_t) ends; /* of text: where each of its items ends in it */
};
/* Bodies made of items, in one of two ways. Text that is put together here: `open` stands before the first item
 * of a body, `between` between two, `close` behind the last. Or one whole request, which goes as it is and is
 * cut when the peer takes less. */
struct peer_parts {
    const char *open, *between, *close;
    size_t part_bytes; /* of text: a body is cut before the item that would make it longer; an item that is
                          longer alone is a body alone. Less when the peer takes less */
    /* Of a whole request: appends the one with its items from `from` on and before `to`. E_FORMAT: it cannot be read. */
    enum mg_err (*cut)(struct str request, size_t from, size_t to, struct buf *out);
    enum zip_kind encoding; /* a body is packed when its turn comes, and the post says so; IDENTITY: it goes as it is */
    struct zip *zip;        /* that does it; outlives the sending. May be NULL with IDENTITY */
    struct send_progress done; /* items that are not sent again: send_batch.done where items are spans, or zero */
    VEC(struct peer_part) list;
};
void peer_parts_add(struct peer_parts *parts, struct str item); /* to text */
/* The request, packed as `encoding` says and borrowed until on_done, with so many items. */
void peer_parts_whole(struct peer_parts *parts, struct str packed, uint32_t items);
void peer_parts_fini(struct peer_parts *parts);
/* Looks into an answer to one part with so many items that means success so far: may turn it into RETRY or
 * REFUSED, or count refused items. The answer's body is empty when it could not be read (too large, or broken behind
 * a gRPC status 0). A reason must live until it returns to peer: use a literal, or memory of the
 * owner. NULL: a success is one. */
typedef void peer_part_fn(void *owner, const struct http_answer *answer, uint32_t items,
                          struct send_result *result);
/* Posts them one after the other, each when the one before was TAKEN; body and encoding of the post are not looked at.
 * A part that is too large for the peer (413, and what its library says instead) goes in two halves, and later ones
 * are at most three quarters of it, or 64 KiB. An item that is too large alone is left out, and counts as one refused
 * span. Takes the parts' memory. on_done as with peer_call, with answer NULL: TAKEN when all were, with
 * the sum of refused spans; else the first other verdict, and `done` tells how far it came. With no parts it is TAKEN
 * from inside. */
void peer_send_parts(struct peer *peer, const struct peer_post *post, struct peer_parts *parts,
                     peer_part_fn *judge, peer_done_fn *on_done, void *owner);
