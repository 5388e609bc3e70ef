/* job.c - a streamed job writes into a buffer of its own and gives it to the pipe once PIECE_BYTES
 * have come together: what waits here can still be taken back and become a failure. */
#include "api/zipkin/job.h"

#include "base/mem.h"

#define PIECE_BYTES 32768
#define TEXT_TYPE   "text/plain; charset=utf-8"
#define TOO_MANY    "too many queries are waiting, try again later"

/* --- answers ---------------------------------------------------------------------------------- */

static struct str sentence_of(enum mg_err err, const struct mg_why *why)
{
    return str_of(why->text[0] ? why->text : mg_err_text(err));
}

void zipkin_answer_failure(struct http_request *request, enum mg_err err, const struct mg_why *why)
{
    if (mg_err_may_retry(err))
        http_respond_error(request, err, sentence_of(err, why), 0);
    else
        http_respond(request, mg_err_http(err), TEXT_TYPE, sentence_of(err, why));
}

void zipkin_answer_json(struct http_request *request, struct str body, const char *cache_control)
{
    const struct http_header header = {STR("cache-control"), str_of(cache_control)};

    http_respond_with(request, 200, JSON_TYPE, body, &header, cache_control ? 1 : 0);
}

/* --- life ------------------------------------------------------------------------------------- */

/* The longest piece between two flushes is one span, which fills a query's memory at most, each of
 * its bytes escaped to six. */
static size_t out_limit(const struct query_conf *query)
{
    size_t memory = (size_t)MG_MIN(query->memory_max, SIZE_MAX / 16);

    return 8 * memory + 2 * PIECE_BYTES;
}

struct zipkin_job *zipkin_job_new(struct zipkin_api *api, const struct zipkin_job_options *options)
{
    const struct query_conf *query = api->query;
    struct zipkin_job *job = MEM_NEW(struct zipkin_job);

    job->query.name = options->name;
    job->options = *options;
    job->api = api;
    job->traces_max = query->traces_max;
    buf_init(&job->out, out_limit(query));
    json_writer_init(&job->w, &job->out, 0);
    return job;
}

void zipkin_job_free(struct zipkin_job **pointer)
{
    struct zipkin_job *job = *pointer;

    if (!job)
        return;
    buf_fini(&job->out);
    arena_fini(&job->arena);
    mem_free(job);
    *pointer = NULL;
}

static enum mg_err produce(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    MG_TRY(job->options.produce(job, query, why));
    return buf_err(&job->out);
}

/* --- streamed --------------------------------------------------------------------------------- */

static bool is_stream_gone(const struct query_job *query)
{
    return http_pipe_is_gone(((const struct zipkin_job *)query)->stream.pipe);
}

/* A reader that is slow keeps this thread, but not its place in the pool. */
static enum mg_err send(struct zipkin_job *job)
{
    query_pause(job->stream.running);
    enum mg_err err = http_pipe_write(job->stream.pipe, &job->out);
    query_resume(job->stream.running);
    return err;
}

enum mg_err zipkin_job_flush(struct zipkin_job *job)
{
    MG_TRY(buf_err(&job->out));
    if (job->out.len < PIECE_BYTES)
        return MG_OK;
    job->stream.has_begun = true;
    return send(job);
}

static void run_stream(struct query_job *query_job, struct query *query)
{
    struct zipkin_job *job = MG_CONTAINER(query_job, struct zipkin_job, query);
    struct mg_why why = {""};
    enum mg_err err;

    job->stream.running = query;
    http_pipe_head(job->stream.pipe, 200, JSON_TYPE);
    err = produce(job, query, &why);
    if (err && !job->stream.has_begun) {
        buf_clear(&job->out);
        buf_put_str(&job->out, sentence_of(err, &why));
        http_pipe_head(job->stream.pipe, mg_err_http(err), TEXT_TYPE);
        err = MG_OK;
    }
    if (!err)
        err = send(job);
    http_pipe_end(&job->stream.pipe, err, STR(""));
    zipkin_job_free(&job);
}

void zipkin_job_stream(struct zipkin_job *job, struct http_request *request, enum mg_err err,
                       const struct mg_why *why)
{
    if (err) {
        zipkin_answer_failure(request, err, why);
        zipkin_job_free(&job);
        return;
    }
    job->query.run = run_stream;
    job->query.is_gone = is_stream_gone;
    job->stream.pipe = http_pipe_new(request, 0);
    err = query_submit(job->api->pool, &job->query);
    if (!err)
        return;
    http_pipe_end(&job->stream.pipe, err, STR(TOO_MANY));
    zipkin_job_free(&job);
}

/* --- listed ----------------------------------------------------------------------------------- */

static bool is_list_gone(const struct query_job *query)
{
    return ((const struct zipkin_job *)query)->list.is_gone;
}

static void on_gone(void *owner, struct http_request *request)
{
    struct zipkin_job *job = owner;

    (void)request;
    job->list.is_gone = true;
}

/* The loop may free the job as soon as it is posted. */
static void run_list(struct query_job *query_job, struct query *query)
{
    struct zipkin_job *job = MG_CONTAINER(query_job, struct zipkin_job, query);

    job->list.err = produce(job, query, &job->list.why);
    mailbox_post(job->list.box, &job->list.mail);
}

static void finish_list(struct zipkin_job *job)
{
    struct http_request *request = job->list.request;

    if (job->list.err)
        zipkin_answer_failure(request, job->list.err, &job->list.why);
    else
        zipkin_answer_json(request, buf_str(&job->out), job->list.may_cache ? CACHE_NAMES : NULL);
    mailbox_free(&job->list.box);
    zipkin_job_free(&job);
}

static void on_mail(void *owner, struct message *mail)
{
    (void)mail;
    finish_list(owner);
}

void zipkin_job_list(struct zipkin_job *job, struct http_request *request, enum mg_err err,
                     const struct mg_why *why)
{
    if (err) {
        zipkin_answer_failure(request, err, why);
        zipkin_job_free(&job);
        return;
    }
    job->query.run = run_list;
    job->query.is_gone = is_list_gone;
    job->list.request = request;
    job->list.box = mailbox_new(http_request_loop(request), on_mail, job);
    http_request_on_gone(request, on_gone, job);
    err = query_submit(job->api->pool, &job->query);
    if (!err)
        return;
    job->list.err = mg_fail(&job->list.why, err, TOO_MANY);
    finish_list(job);
}
