/* rig.h - for the tests of all exporters that post to an HTTP server: a loop, a real server on it that answers
 * as it is told and keeps what it got, and the queue's side of a wire. Bodies of batches are made here too. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/vec.h"
#include "http/http.h"
#include "send/send.h"
#include "unit/peer/log.h"

struct rig_answer {
    int status;              /* 0: 200 */
    const char *type;        /* NULL: text/plain */
    const char *body;        /* NULL: empty */
    const char *retry_after; /* NULL: none */
    int grpc_status;         /* of a gRPC call, whose message is `body` then; 0: fine, with `bytes` */
    struct str bytes;        /* instead of body when it has a length */
    bool is_held;            /* not before rig_close */
    bool echoes;             /* the body is what came in the header x-token */
};
struct rig_request { /* memory of the rig */
    struct str method, path, query, type, encoding, authorization, token, agent, body;
};
struct rig_result {
    enum send_verdict verdict;
    uint64_t retry_after_ms;
    uint32_t refused_spans;
    struct send_progress done;
    char reason[500];
};

#define RIG_BATCHES_MAX 8
struct rig {
    struct loop *loop;
    struct http_conf conf;
    struct http_server *server;
    struct tls_source *tls;
    struct timer *deadline;
    struct zip *zip; /* packs batches as the wire takes them */
    struct arena arena;
    const struct rig_answer *answers; /* one a request; the last one for all that follow */
    size_t n_answers;
    VEC(struct rig_request) requests;
    VEC(struct http_request *) held;
    struct send_wire wire;
    bool has_wire, is_gone;
    struct send_progress done; /* of the batches to come */
    struct send_batch batches[RIG_BATCHES_MAX];
    struct rig_result results[RIG_BATCHES_MAX];
    size_t n_sent, n_done;
    char url[80];                     /* of the server */
};
void rig_open(struct rig *rig, struct tls_source *tls); /* NULL: plain. Taken */
void rig_wire(struct rig *rig, const struct send_wire *wire); /* opens it */
void rig_script(struct rig *rig, const struct rig_answer *answers, size_t n); /* begins again, forgets requests */
/* Sends one batch and runs until it is done. */
const struct rig_result *rig_send(struct rig *rig, struct str body, uint32_t spans);
/* Sends a batch more and does not wait; its number. */
size_t rig_begin(struct rig *rig, struct str body, uint32_t spans);
void rig_wait(struct rig *rig); /* until all are done */
void rig_run_until_requests(struct rig *rig, size_t n);
void rig_close_wire(struct rig *rig);
void rig_close(struct rig *rig);

/* --- OTLP requests --- */
struct rig_span {
    const char *service, *name;
    uint8_t trace, span, parent; /* last byte of the id; a zero trace or span makes a bad id */
    uint64_t start_ns, end_ns;
    size_t padding; /* bytes of an attribute */
};
void rig_put_span(struct buf *out, const struct rig_span *span); /* a ResourceSpans each */
