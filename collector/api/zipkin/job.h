/* job.h - what all requests of this folder have in common: parameters on the loop, then a job on a
 * query thread that streams its answer (answer/answer.h). Private to api/zipkin.
 *
 * A handler makes a job, fills it on the loop and starts it. The job owns everything it needs.
 * `produce` writes JSON into `w`. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "api/answer/answer.h"
#include "api/zipkin/names.h"
#include "codec/json_write.h"

struct zipkin_api {
    struct query_pool *pool;
    _Atomic uint64_t memory_max, traces_max, lookback_ns, limit; /* as of the last reload; any thread */
    struct {
        pthread_mutex_t lock;
        struct arena arena;
        struct conf_list keys; /* zipkin.autocomplete_keys, in the arena */
    } shared; /* any thread, under the lock */
    atomic_size_t n_services; /* in the last list of them */
    struct str version;
};

struct zipkin_job;
struct zipkin_job_options {
    const char *name; /* query_answer_options.name */
    enum mg_err (*produce)(struct zipkin_job *job, struct query *query, struct mg_why *why);
};
struct zipkin_job {
    struct query_answer answer; /* first */
    struct zipkin_job_options options;
    struct zipkin_api *api;
    uint64_t traces_max; /* query.traces_max when it began */
    struct arena arena;  /* of what was asked for: */
    struct zipkin_search search;
    struct zipkin_window window;
    struct str text; /* a service or a key */
    uint8_t (*ids)[16];
    size_t n_ids;
    struct json_writer w;
};

struct zipkin_job *zipkin_job_new(struct zipkin_api *api, const struct zipkin_job_options *options);
/* Takes the job; the request must be looked at no more. `err` is what reading its parameters gave.
 */
void zipkin_job_start(struct zipkin_job *job, struct http_request *request, enum mg_err err,
                      const struct mg_why *why);
