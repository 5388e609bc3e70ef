/* backup.c - see backup.h. The job's thread blocks where the reader is slow (http_pipe_write), and a reader who takes nothing for 30 s
 * loses the answer: nobody holds the place for ever. The place is free before the end of the answer leaves, so that who has
 * seen the end may ask again. */
#include "api/admin/backup.h"
#include "api/admin/admin.h"
#include "api/answer/answer.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

#define RETRY_AFTER_S 30

struct backup_job {
    struct query_answer answer; /* first */
    struct admin *admin;
    uint64_t bytes;
};

static enum mg_err write_piece(void *owner, const void *bytes, size_t len, struct mg_why *why)
{
    struct backup_job *job = owner;
    struct buf piece;
    enum mg_err err;

    buf_init(&piece, len);
    buf_put(&piece, bytes, len);
    err = http_pipe_write(job->answer.pipe, &piece);
    buf_fini(&piece);
    if (err != MG_OK)
        return mg_fail(why, err, err == MG_E_TIMEOUT ? "the reader took nothing for 30 s" : "the reader has gone");
    job->bytes += len;
    return MG_OK;
}

static enum mg_err produce(struct query_answer *answer, struct query *query, struct mg_why *why)
{
    struct backup_job *job = MG_CONTAINER(answer, struct backup_job, answer);

    query_pause(query); /* it copies and waits for its reader: other queries may have the place */
    http_pipe_head(answer->pipe, 200, "application/x-tar");
    http_pipe_header(answer->pipe, STR("content-disposition"), STR("attachment; filename=\"meshglass-backup.tar\""));
    enum mg_err err = store_backup(job->admin->store, write_piece, job, why);
    if (err != MG_OK)
        LOG(WARN, "backup failed", F_WHY(why), F_U64("bytes", job->bytes));
    else
        LOG(INFO, "backup made", F_U64("bytes", job->bytes));
    query_resume(query);
    return err;
}

static void release(struct query_answer *answer)
{
    struct backup_job *job = MG_CONTAINER(answer, struct backup_job, answer);

    atomic_store(&job->admin->is_backing_up, false);
    query_answer_fini(answer);
    mem_free(job);
}

/* A HEAD would copy everything to throw it away. */
static void refuse_head(struct http_request *request)
{
    static const struct http_header allow = { STR_INIT("allow"), STR_INIT("GET") };

    http_respond_with(request, mg_err_http(MG_E_METHOD), "text/plain", STR(""), &allow, 1);
}

void admin_on_backup(void *owner, struct http_request *request)
{
    static const struct query_answer_options options = { .name = "backup", .produce = produce, .release = release };
    struct admin *admin = owner;

    if (!str_eq(http_request_method(request), STR("GET"))) {
        refuse_head(request);
        return;
    }
    if (atomic_exchange(&admin->is_backing_up, true)) {
        http_respond_error(request, MG_E_BUSY, STR("a backup is being made already; try again when it has ended"), RETRY_AFTER_S);
        return;
    }
    struct backup_job *job = MEM_NEW(struct backup_job);
    query_answer_init(&job->answer, &options);
    job->admin = admin;
    query_answer_start(&job->answer, admin->queries, request, MG_OK, NULL);
}
