/* job.h - what all requests of this folder have in common: parameters on the loop, then a job on a
 * query thread that streams its answer (answer/answer.h). Private to api/jaeger.
 *
 * A handler makes a job, fills it on the loop and gives it to job_start, which answers when a
 * parameter was bad. The job owns everything it needs, names included.
 *
 * HTTP: `produce` writes JSON into `w`, failures are in the words of the job's API. gRPC: it writes
 * messages into `answer.out`. */
#pragma once
#include <stdatomic.h>
#include "api/answer/answer.h"
#include "api/jaeger/params.h"
#include "api/jaeger/reflection.h"
#include "api/jaeger/trace_json.h"
#include "codec/json_write.h"

struct jaeger_api {
    struct query_pool *pool;
    _Atomic uint64_t memory_max, traces_max; /* of query_conf, as of the last reload; any thread */
    atomic_uint uploads;                     /* bodies of /api/transform in memory; any thread */
    struct reflection reflection;
};

struct job;
/* Writes one document that says what failed. */
typedef void job_failure_fn(struct json_writer *w, enum mg_err err, const char *message);

struct job_options {
    const char *name;            /* query_answer_options.name */
    job_failure_fn *put_failure; /* NULL: a gRPC call */
    enum mg_err (*produce)(struct job *job, struct query *query, struct mg_why *why);
    unsigned indent; /* spaces a level; 0: compact */
};
struct job {
    struct query_answer answer; /* first */
    struct job_options options;
    struct jaeger_api *api;
    struct json_writer w;
    struct jaeger_search search; /* its arena holds all texts of the job */
    struct str service, kind;
    size_t n_found;  /* traces written */
    struct buf body; /* an upload's, counted in api->uploads while is_upload */
    size_t body_offset;
    bool is_upload;
};

struct job *job_new(struct jaeger_api *api, const struct job_options *options);
/* Takes the job; the request must be looked at no more. `err` is what reading its parameters gave.
 */
void job_start(struct job *job, struct http_request *request, enum mg_err err,
               const struct mg_why *why);
/* query_answer_flush and query_answer_send as trace_json_flush_fn and grpc_message_fn; owner: the
 * job. */
enum mg_err job_flush(void *job, struct buf *out) MG_MUST_USE;
enum mg_err job_message(void *job, struct buf *message) MG_MUST_USE;

/* The trace, or E_ABSENT with that sentence; an all-zero id is nobody's. */
enum mg_err job_trace(struct query *query, const uint8_t id[16], const char *absent,
                      struct query_trace *out, struct mg_why *why) MG_MUST_USE;
/* The same for query_archive. */
enum mg_err job_archive(struct query *query, const uint8_t id[16], const char *absent,
                        struct mg_why *why) MG_MUST_USE;
