/* job.c - a job writes into a buffer of its own and gives it to the pipe once TRACE_JSON_PIECE
 * bytes have come together. Until then the answer can still become a clean failure: what was
 * written is dropped and the document of the failure takes its place. That is why the first bytes
 * wait here and not in the pipe, which could not give them back. */
#include "api/jaeger/job.h"

#include "base/mem.h"

#define JSON_TYPE "application/json"
#define FULL      "too many queries are waiting, try again later"

static struct job *job_of(struct query_job *query)
{
    return MG_CONTAINER(query, struct job, query);
}

static bool is_gone(const struct query_job *query)
{
    return http_pipe_is_gone(((const struct job *)query)->pipe);
}

static bool is_grpc(const struct job *job)
{
    return !job->options.put_failure;
}

static void put_failure(struct job *job, enum mg_err err, const char *message)
{
    buf_clear(&job->out);
    json_writer_init(&job->w, &job->out, job->options.indent);
    job->options.put_failure(&job->w, err, message[0] ? message : mg_err_text(err));
}

/* A reader that is slow keeps this thread, but not its place in the pool. */
static enum mg_err send(struct job *job, struct buf *out)
{
    if (job->running)
        query_pause(job->running);
    enum mg_err err =
        is_grpc(job) ? http_pipe_message(job->pipe, out) : http_pipe_write(job->pipe, out);
    if (job->running)
        query_resume(job->running);
    return err;
}

static void finish(struct job *job, enum mg_err err, const struct mg_why *why)
{
    if (!err)
        err = buf_err(&job->out);
    if (err && !job->has_begun) {
        put_failure(job, err, why->text);
        http_pipe_head(job->pipe, mg_err_http(err), JSON_TYPE);
        err = MG_OK;
    }
    if (!err)
        err = send(job, &job->out);
    http_pipe_end(&job->pipe, err, STR(""));
}

static void run(struct query_job *query_job, struct query *query)
{
    struct job *job = job_of(query_job);
    struct mg_why why = {""};

    if (!is_grpc(job))
        http_pipe_head(job->pipe, 200, JSON_TYPE);
    job->running = query;
    enum mg_err err = job->options.produce(job, query, &why);
    if (is_grpc(job))
        http_pipe_end(&job->pipe, err, str_of(why.text));
    else
        finish(job, err, &why);
    job_free(&job);
}

/* The longest piece between two flushes is one value: a string that fills a query's memory, each
 * byte escaped to six, once more inside the text of an array. */
static size_t out_limit(const struct jaeger_api *api)
{
    size_t memory = (size_t)MG_MIN(api->conf->memory_max, SIZE_MAX / 16);

    return 8 * memory + 2 * TRACE_JSON_PIECE;
}

struct job *job_new(struct jaeger_api *api, const struct job_options *options)
{
    struct job *job = MEM_NEW(struct job);

    job->query = (struct query_job){.name = options->name, .run = run, .is_gone = is_gone};
    job->options = *options;
    job->api = api;
    buf_init(&job->out, out_limit(api));
    json_writer_init(&job->w, &job->out, options->indent);
    return job;
}

void job_free(struct job **pointer)
{
    struct job *job = *pointer;

    if (!job)
        return;
    if (job->is_upload)
        atomic_fetch_sub(&job->api->uploads, 1);
    buf_fini(&job->body);
    buf_fini(&job->out);
    jaeger_search_fini(&job->search);
    mem_free(job);
    *pointer = NULL;
}

static void refuse(struct job *job, struct http_request *request, enum mg_err err, const char *text)
{
    if (is_grpc(job)) {
        http_respond_error(request, err, str_of(text), 0);
        return;
    }
    put_failure(job, err, text);
    http_respond(request, mg_err_http(err), JSON_TYPE, buf_str(&job->out));
}

void job_start(struct job *job, struct http_request *request, enum mg_err err,
               const struct mg_why *why)
{
    if (err) {
        refuse(job, request, err, why->text);
        job_free(&job);
        return;
    }
    job->pipe = http_pipe_new(request, 0);
    err = query_submit(job->api->pool, &job->query);
    if (!err)
        return;
    if (!is_grpc(job))
        put_failure(job, err, FULL);
    http_pipe_end(&job->pipe, err, is_grpc(job) ? STR(FULL) : buf_str(&job->out));
    job_free(&job);
}

enum mg_err job_flush(void *owner, struct buf *out)
{
    struct job *job = owner;

    if (out->len < TRACE_JSON_PIECE)
        return MG_OK;
    job->has_begun = true;
    return send(job, out);
}

enum mg_err job_message(void *owner, struct buf *message)
{
    MG_TRY(buf_err(message));
    return send(owner, message);
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
