/* answer.h - the answer to a request that takes a query: the request's pipe, the job of the query
 * pool that fills it, and how a failure is said.
 *
 * A handler makes a job of its own, whose first member is the answer, fills it on the loop and
 * gives it to query_answer_start. From then on the request is the pipe's, and the job the answer's:
 * it owns all that it needs, until `release`. `produce` runs on a query thread. A peer that goes,
 * or a deadline that passes, ends the query at its next step.
 *
 * HTTP: `produce` writes into `out` and calls query_answer_flush after each part that can be large.
 * Until bytes have left, a failure takes the place of what was written; later it cuts the
 * connection.
 *
 * gRPC: `produce` writes a message into `out` and sends it by query_answer_send, as often as there
 * are messages; a failure is the status of the call, before the first or behind any. */
#pragma once
#include "http/http.h"
#include "query/query.h"

#define QUERY_PIECE_BYTES ((size_t)64 * 1024)

struct query_answer;
struct query_answer_options {
    const char *name; /* query_job.name */
    enum mg_err (*produce)(struct query_answer *answer, struct query *query, struct mg_why *why);
    /* Query thread or loop, once: frees the job, query_answer_fini included. The end of the answer
     * leaves after it: whoever has seen that finds free what the job held. */
    void (*release)(struct query_answer *answer);
    /* Of what put_failure writes into `out`; NULL, as for gRPC: http_respond_error says it. */
    const char *failure_type;
    void (*put_failure)(struct query_answer *answer, enum mg_err err, const char *message);
    uint64_t memory_max; /* of what one piece is made from; each byte may be escaped to six */
};
struct query_answer {
    struct query_job job; /* first */
    struct query_answer_options options;
    struct http_pipe *pipe; /* its head is 200, application/json, unless `produce` changes it */
    struct query *running;  /* NULL until it runs */
    struct buf out;
    bool is_grpc;
};

void query_answer_init(struct query_answer *answer, const struct query_answer_options *options);
void query_answer_fini(struct query_answer *answer);
/* Loop. Takes the job; the request must be looked at no more. `err` is what reading its parameters
 * gave: a failure is answered without a query. */
void query_answer_start(struct query_answer *answer, struct query_pool *pool,
                        struct http_request *request, enum mg_err err, const struct mg_why *why);

/* Within `produce`: sends what is in `out` and empties it; _flush only from a piece on. */
enum mg_err query_answer_send(struct query_answer *answer) MG_MUST_USE;
enum mg_err query_answer_flush(struct query_answer *answer) MG_MUST_USE;
