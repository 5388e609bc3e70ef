/* job.h - what all requests of this folder have in common: parameters on the loop, then a job on a
 * query thread that streams its answer. Private to api/jaeger.
 *
 * A handler makes a job, fills it on the loop and gives it to job_start, which answers at once when
 * a parameter was bad. The job owns everything it needs, names included: the request is the pipe's
 * from then on. A peer that goes, or a deadline that passes, ends the query at its next step.
 *
 * HTTP: `produce` writes JSON into `w` and calls job_flush after each part that can be large. Until
 * bytes have left, a failure becomes a clean answer in the words of the job's API; later it cuts
 * the connection. gRPC: `produce` writes a message into `out` and sends it by job_message, as often
 * as there are messages; a failure is the status of the call, before the first or behind any. */
#pragma once
#include <stdatomic.h>
#include "api/jaeger/params.h"
#include "api/jaeger/reflection.h"
#include "api/jaeger/trace_json.h"
#include "codec/json_write.h"
#include "http/http.h"
#include "query/query.h"

struct jaeger_api {
    struct query_pool *pool;
    _Atomic(const struct query_conf *) conf; /* as of the last reload */
    atomic_uint uploads;                     /* bodies of /api/transform in memory; any thread */
    struct reflection reflection;
};

struct job;
/* Writes one document that says what failed. */
typedef void job_failure_fn(struct json_writer *w, enum mg_err err, const char *message);

struct job_options {
    const char *name;            /* query_job.name */
    job_failure_fn *put_failure; /* NULL: a gRPC call */
    enum mg_err (*produce)(struct job *job, struct query *query, struct mg_why *why);
    unsigned indent; /* spaces a level; 0: compact */
};
struct job {
    struct query_job query; /* first; the pool's view of it */
    struct job_options options;
    struct jaeger_api *api;
    struct query *running; /* NULL until it runs */
    struct http_pipe *pipe;
    struct buf out;
    struct json_writer w;
    bool has_begun;              /* bytes have gone to the pipe */
    struct jaeger_search search; /* its arena holds all texts of the job */
    struct str service, kind;
    size_t n_found;  /* traces written */
    struct buf body; /* an upload's, counted in api->uploads while is_upload */
    size_t body_offset;
    bool is_upload;
};

struct job *job_new(struct jaeger_api *api, const struct job_options *options);
void job_free(struct job **job);
/* Takes the job; the request must be looked at no more. `err` is what reading its parameters gave:
 * a failure is answered at once. */
void job_start(struct job *job, struct http_request *request, enum mg_err err,
               const struct mg_why *why);
/* trace_json_flush_fn, `job` being the owner. */
enum mg_err job_flush(void *job, struct buf *out) MG_MUST_USE;

/* gRPC: sends what is in the buffer and empties it. Owner: the job. */
enum mg_err job_message(void *job, struct buf *message) MG_MUST_USE;

/* The trace, or E_ABSENT with that sentence; an all-zero id is nobody's. */
enum mg_err job_trace(struct query *query, const uint8_t id[16], const char *absent,
                      struct query_trace *out, struct mg_why *why) MG_MUST_USE;
/* The same for query_archive. */
enum mg_err job_archive(struct query *query, const uint8_t id[16], const char *absent,
                        struct mg_why *why) MG_MUST_USE;
