/* answer.c - see answer.h. That a failure can take the place of what was written is the pipe's
 * doing: it holds back the first bytes. */
#include "api/answer/answer.h"

static bool is_gone(const struct query_job *job)
{
    return http_pipe_is_gone(((const struct query_answer *)job)->pipe);
}

static enum mg_err put_failure(struct query_answer *answer, enum mg_err err, const char *message)
{
    buf_clear(&answer->out);
    answer->options.put_failure(answer, err, message[0] ? message : mg_err_text(err));
    return http_pipe_write(answer->pipe, &answer->out);
}

static void end(struct query_answer *answer, enum mg_err err, const char *message)
{
    const char *type = answer->options.failure_type;
    struct http_pipe *pipe = answer->pipe;

    if (err && type && http_pipe_fail(pipe, err, type))
        err = put_failure(answer, err, message);
    answer->options.release(answer);
    http_pipe_end(&pipe, err, str_of(message));
}

static void run(struct query_job *job, struct query *query)
{
    struct query_answer *answer = MG_CONTAINER(job, struct query_answer, job);
    struct mg_why why = {""};

    answer->running = query;
    if (!answer->is_grpc)
        http_pipe_head(answer->pipe, 200, "application/json");
    enum mg_err err = answer->options.produce(answer, query, &why);
    if (!err && !answer->is_grpc)
        err = query_answer_send(answer);
    end(answer, err, why.text);
}

/* The longest piece is one value, a string that fills `memory_max`: escaped, and once more inside
 * the text of an array. */
static size_t out_limit(uint64_t memory_max)
{
    return 8 * (size_t)MG_MIN(memory_max, SIZE_MAX / 16) + 2 * QUERY_PIECE_BYTES;
}

void query_answer_init(struct query_answer *answer, const struct query_answer_options *options)
{
    *answer = (struct query_answer){.options = *options};
    answer->job = (struct query_job){.name = options->name, .run = run, .is_gone = is_gone};
    buf_init(&answer->out, out_limit(options->memory_max));
}

void query_answer_fini(struct query_answer *answer)
{
    buf_fini(&answer->out);
}

void query_answer_start(struct query_answer *answer, struct query_pool *pool,
                        struct http_request *request, enum mg_err err, const struct mg_why *why)
{
    answer->is_grpc = http_request_is_grpc(request);
    answer->pipe = http_pipe_new(request, 0);
    if (err) {
        end(answer, err, why->text);
        return;
    }
    err = query_submit(pool, &answer->job);
    if (err)
        end(answer, err, "too many queries are waiting, try again later");
}

/* A reader that is slow keeps this thread, but not its place in the pool. */
enum mg_err query_answer_send(struct query_answer *answer)
{
    MG_TRY(buf_err(&answer->out));
    query_pause(answer->running);
    enum mg_err err = answer->is_grpc ? http_pipe_message(answer->pipe, &answer->out)
                                      : http_pipe_write(answer->pipe, &answer->out);
    query_resume(answer->running);
    return err;
}

enum mg_err query_answer_flush(struct query_answer *answer)
{
    return answer->out.len < QUERY_PIECE_BYTES ? buf_err(&answer->out) : query_answer_send(answer);
}
