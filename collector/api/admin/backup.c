/* backup.c - see backup.h. The job's thread blocks where the reader is slow (http_pipe_write), and a reader who takes nothing for 30 s
 * loses the answer: nobody holds the place for ever. The place is free before the end of the answer leaves, so that who has
 * seen the end may ask again. */
#include "api/admin/backup.h"
#include "api/admin/admin.h"
#include "base/log.h"
#include "base/mem.h"
#include "query/query.h"
#include "store/store.h"

#define FILE_NAME "meshglass-backup.tar"
#define RETRY_AFTER_S 30

struct backup_job {
    struct query_job query; /* first */
    struct admin *admin;
    struct http_pipe *pipe;
    uint64_t bytes;
};

static bool is_gone(const struct query_job *query)
{
    return http_pipe_is_gone(((const struct backup_job *)query)->pipe);
}

static enum mg_err write_piece(void *owner, const void *bytes, size_t len, struct mg_why *why)
{
    struct backup_job *job = owner;
    struct buf piece;
    enum mg_err err;

    buf_init(&piece, len);
    buf_put(&piece, bytes, len);
    err = http_pipe_write(job->pipe, &piece);
    buf_fini(&piece);
    if (err != MG_OK)
        return mg_fail(why, err, err == MG_E_TIMEOUT ? "the reader took nothing for 30 s" : "the reader has gone");
    job->bytes += len;
    return MG_OK;
}

static void run(struct query_job *query_job, struct query *query)
{
    struct backup_job *job = MG_CONTAINER(query_job, struct backup_job, query);
    struct mg_why why = { "" };
    enum mg_err err;

    query_pause(query); /* it copies and waits for its reader: other queries may have the place */
    http_pipe_head(job->pipe, 200, "application/x-tar");
    http_pipe_attachment(job->pipe, FILE_NAME);
    err = store_backup(job->admin->store, write_piece, job, &why);
    if (err != MG_OK)
        LOG(WARN, "backup failed", F_WHY(&why), F_U64("bytes", job->bytes));
    else
        LOG(INFO, "backup made", F_U64("bytes", job->bytes));
    query_resume(query);
    atomic_store(&job->admin->is_backing_up, false);
    http_pipe_end(&job->pipe, err, str_of(why.text));
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
    struct admin *admin = owner;
    struct backup_job *job;
    enum mg_err err;

    if (!str_eq(http_request_method(request), STR("GET"))) {
        refuse_head(request);
        return;
    }
    if (atomic_exchange(&admin->is_backing_up, true)) {
        http_respond_error(request, MG_E_BUSY, STR("a backup is being made already; try again when it has ended"), RETRY_AFTER_S);
        return;
    }
    job = MEM_NEW(struct backup_job);
    job->query = (struct query_job){ .name = "backup", .run = run, .is_gone = is_gone };
    job->admin = admin;
    job->pipe = http_pipe_new(request, 0);
    err = query_submit(admin->queries, &job->query);
    if (err == MG_OK)
        return;
    atomic_store(&admin->is_backing_up, false);
    http_pipe_end(&job->pipe, err, STR("too many queries are waiting, try again later"));
    mem_free(job);
}
