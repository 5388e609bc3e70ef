/* job.c - see job.h. */
#include "api/zipkin/job.h"

#include "base/mem.h"

static struct zipkin_job *job_of(struct query_answer *answer)
{
    return MG_CONTAINER(answer, struct zipkin_job, answer);
}

static enum mg_err produce(struct query_answer *answer, struct query *query, struct mg_why *why)
{
    struct zipkin_job *job = job_of(answer);

    return job->options.produce(job, query, why);
}

/* Its sentence to the letter. */
static void put_failure(struct query_answer *answer, enum mg_err err, const char *message)
{
    (void)err;
    buf_put_text(&answer->out, message);
}

static void release(struct query_answer *answer)
{
    struct zipkin_job *job = job_of(answer);

    arena_fini(&job->arena);
    query_answer_fini(answer);
    mem_free(job);
}

struct zipkin_job *zipkin_job_new(struct zipkin_api *api, const struct zipkin_job_options *options)
{
    struct zipkin_job *job = MEM_NEW(struct zipkin_job);

    query_answer_init(&job->answer, &(struct query_answer_options){
                                        .name = options->name,
                                        .produce = produce,
                                        .release = release,
                                        .failure_type = "text/plain; charset=utf-8",
                                        .put_failure = put_failure,
                                        .memory_max = api->memory_max,
                                    });
    job->options = *options;
    job->api = api;
    job->traces_max = api->traces_max;
    json_writer_init(&job->w, &job->answer.out, 0);
    return job;
}

void zipkin_job_start(struct zipkin_job *job, struct http_request *request, enum mg_err err,
                      const struct mg_why *why)
{
    query_answer_start(&job->answer, job->api->pool, request, err, why);
}
