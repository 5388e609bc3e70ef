/* job.h - what all requests of this folder have in common: parameters on the loop, then a job on a
 * query thread. Private to api/zipkin.
 *
 * A handler makes a job, fills it on the loop and starts it; a parameter that was bad is answered
 * at once. The job owns everything it needs: the request is somebody else's from then on. There are
 * two kinds:
 *
 * - a streamed one gives its JSON to an http_pipe: `produce` writes into `w` and calls
 * zipkin_job_flush after each part that can be large. Until bytes have left, a failure becomes a
 * clean answer.
 * - a listed one is answered whole, on the loop, because it may carry a header, which a pipe does
 *   not: the job comes back through a mailbox of its own. */
#pragma once
#include <stdatomic.h>
#include "api/zipkin/names.h"
#include "codec/json_write.h"
#include "net/loop.h"

#define JSON_TYPE "application/json"

struct zipkin_api {
    struct query_pool *pool;
    _Atomic(const struct query_conf *) query; /* as of the last reload */
    _Atomic(const struct zipkin_conf *) conf;
    struct str version;
};

struct zipkin_job;
struct zipkin_job_options {
    const char *name; /* query_job.name */
    enum mg_err (*produce)(struct zipkin_job *job, struct query *query, struct mg_why *why);
};
struct zipkin_job {
    struct query_job query; /* first; the pool's view of it */
    struct zipkin_job_options options;
    struct zipkin_api *api;
    uint64_t traces_max; /* query.traces_max when it began */
    struct arena arena;  /* of what was asked for: */
    struct zipkin_search search;
    struct zipkin_window window;
    struct str text; /* a service or a key */
    uint8_t (*ids)[16];
    size_t n_ids;
    struct buf out;
    struct json_writer w;
    struct { /* streamed */
        struct http_pipe *pipe;
        struct query *running; /* NULL until it runs */
        bool has_begun;        /* bytes have gone to the pipe */
    } stream;
    struct { /* listed */
        struct message mail;
        struct mailbox *box;
        struct http_request *request; /* loop thread */
        atomic_bool is_gone;          /* any thread */
        bool may_cache;               /* produce says so */
        enum mg_err err;
        struct mg_why why;
    } list;
};

struct zipkin_job *zipkin_job_new(struct zipkin_api *api, const struct zipkin_job_options *options);
void zipkin_job_free(struct zipkin_job **job);
/* These take the job; the request must be looked at no more. `err` is what reading its parameters
 * gave. */
void zipkin_job_stream(struct zipkin_job *job, struct http_request *request, enum mg_err err,
                       const struct mg_why *why);
void zipkin_job_list(struct zipkin_job *job, struct http_request *request, enum mg_err err,
                     const struct mg_why *why);
enum mg_err
zipkin_job_flush(struct zipkin_job *job) MG_MUST_USE; /* of a streamed one, within produce */

/* The failure as text, its sentence to the letter; with Retry-After when trying again may help. */
void zipkin_answer_failure(struct http_request *request, enum mg_err err, const struct mg_why *why);
/* JSON that carries the header cache-control, when that is not NULL. */
void zipkin_answer_json(struct http_request *request, struct str body, const char *cache_control);
#define CACHE_NAMES "max-age=300, must-revalidate"
