/* job.c - see job.h. */
#include "api/jaeger/job.h"

#include <assert.h>
#include "base/mem.h"

static struct job *job_of(struct query_answer *answer)
{
    return MG_CONTAINER(answer, struct job, answer);
}

static enum mg_err produce(struct query_answer *answer, struct query *query, struct mg_why *why)
{
    struct job *job = job_of(answer);

    return job->options.produce(job, query, why);
}

static void put_failure(struct query_answer *answer, enum mg_err err, const char *message)
{
    struct job *job = job_of(answer);

    json_writer_init(&job->w, &answer->out, job->options.indent);
    job->options.put_failure(&job->w, err, message);
}

static void release(struct query_answer *answer)
{
    struct job *job = job_of(answer);

    if (job->is_upload)
        atomic_fetch_sub(&job->api->uploads, 1);
    buf_fini(&job->body);
    jaeger_search_fini(&job->search);
    query_answer_fini(answer);
    mem_free(job);
}

struct job *job_new(struct jaeger_api *api, const struct job_options *options)
{
    struct job *job = MEM_NEW(struct job);

    query_answer_init(&job->answer,
                      &(struct query_answer_options){
                          .name = options->name,
                          .produce = produce,
                          .release = release,
                          .failure_type = options->put_failure ? "application/json" : NULL,
                          .put_failure = put_failure,
                          .memory_max = api->memory_max,
                      });
    job->options = *options;
    job->api = api;
    json_writer_init(&job->w, &job->answer.out, options->indent);
    return job;
}

void job_start(struct job *job, struct http_request *request, enum mg_err err,
               const struct mg_why *why)
{
    query_answer_start(&job->answer, job->api->pool, request, err, why);
}

enum mg_err job_flush(void *owner, struct buf *out)
{
    struct job *job = owner;

    assert(out == &job->answer.out);
    return query_answer_flush(&job->answer);
}

enum mg_err job_message(void *owner, struct buf *message)
{
    struct job *job = owner;

    assert(message == &job->answer.out);
    return query_answer_send(&job->answer);
}

static bool is_somebodys(const uint8_t id[16])
{
    return get_le64(id) || get_le64(id + 8);
}

enum mg_err job_trace(struct query *query, const uint8_t id[16], const char *absent,
                      struct query_trace *out, struct mg_why *why)
{
    enum mg_err err = is_somebodys(id) ? query_trace(query, id, out, why) : MG_E_ABSENT;

    return err == MG_E_ABSENT ? mg_fail(why, err, "%s", absent) : err;
}

enum mg_err job_archive(struct query *query, const uint8_t id[16], const char *absent,
                        struct mg_why *why)
{
    enum mg_err err = is_somebodys(id) ? query_archive(query, id, why) : MG_E_ABSENT;

    return err == MG_E_ABSENT ? mg_fail(why, err, "%s", absent) : err;
}
