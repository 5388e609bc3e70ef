/* v3.c - five routes over job.h. Jaeger declares a stream of results and its gateway sends one: all
 * traces of a search are one `result`. */
#include "api/jaeger/v3.h"

#include "api/jaeger/job.h"
#include "api/jaeger/operations.h"
#include "api/jaeger/v3_json.h"
#include "api/jaeger/v3_params.h"
#include "api/jaeger/v3_summary.h"

#define NOT_FOUND "No traces found"

static void put_failure(struct json_writer *w, enum mg_err err, const char *message)
{
    json_object(w);
    json_key_text(w, "error");
    json_object(w);
    json_key_text(w, "httpCode");
    json_put_i64(w, mg_err_http(err));
    json_key_text(w, "message");
    json_put_str(w, str_of(message));
    json_object_end(w);
    json_object_end(w);
}

static struct job *v3_job(struct jaeger_api *api, const char *name,
                          enum mg_err (*produce)(struct job *, struct query *, struct mg_why *))
{
    return job_new(
        api, &(struct job_options){.name = name, .put_failure = put_failure, .produce = produce});
}

/* --- services and operations
 * -------------------------------------------------------------------------- */

static enum mg_err produce_services(struct job *job, struct query *query, struct mg_why *why)
{
    struct str *names;
    size_t n;

    MG_TRY(query_services(query, &names, &n, why));
    json_object(&job->w);
    json_key_text(&job->w, "services");
    json_array(&job->w);
    for (size_t i = 0; i < n; i++) {
        json_put_str(&job->w, names[i]);
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    json_object_end(&job->w);
    return MG_OK;
}

static void put_operation(struct json_writer *w, const struct catalog_operation *operation)
{
    json_object(w);
    json_key_text(w, "name");
    json_put_str(w, operation->name);
    json_key_text(w, "spanKind");
    json_put_str(w, operation_kind_v3(operation->kind));
    json_object_end(w);
}

static enum mg_err produce_operations(struct job *job, struct query *query, struct mg_why *why)
{
    struct catalog_operation *operations = NULL;
    size_t n = 0;

    if (job->service.len)
        MG_TRY(query_operations(query, job->service, &operations, &n, why));
    json_object(&job->w);
    json_key_text(&job->w, "operations");
    json_array(&job->w);
    for (size_t i = 0; i < n; i++) {
        if (!operation_is_shown(operations, i, operation_kind_v3, job->kind))
            continue;
        put_operation(&job->w, &operations[i]);
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    json_object_end(&job->w);
    return MG_OK;
}

void v3_on_services(void *owner, struct http_request *request)
{
    job_start(v3_job(owner, "services", produce_services), request, MG_OK, NULL);
}

void v3_on_operations(void *owner, struct http_request *request)
{
    struct job *job = v3_job(owner, "operations", produce_operations);
    struct mg_why why;

    enum mg_err err = v3_operations_parse(http_request_query(request), &job->search.arena,
                                          &job->service, &job->kind, &why);
    job_start(job, request, err, &why);
}

/* --- traces
 * ------------------------------------------------------------------------------------------- */

static void result_begin(struct json_writer *w)
{
    json_object(w);
    json_key_text(w, "result");
    json_object(w);
    json_key_text(w, "resourceSpans");
    json_array(w);
}

static void result_end(struct json_writer *w)
{
    json_array_end(w);
    json_object_end(w);
    json_object_end(w);
}

static enum mg_err on_trace(void *owner, const struct query_trace *trace)
{
    struct job *job = owner;

    job->n_found++;
    return v3_trace_write(&job->w, trace, job->search.raw, job_flush, job);
}

static enum mg_err produce_search(struct job *job, struct query *query, struct mg_why *why)
{
    result_begin(&job->w);
    MG_TRY(query_search(query, &job->search.search, on_trace, job, why));
    if (job->n_found == 0)
        return mg_fail(why, MG_E_ABSENT, NOT_FOUND);
    result_end(&job->w);
    return MG_OK;
}

static enum mg_err produce_trace(struct job *job, struct query *query, struct mg_why *why)
{
    struct query_trace trace;

    MG_TRY(job_trace(query, job->search.trace_ids[0], NOT_FOUND, &trace, why));
    result_begin(&job->w);
    MG_TRY(on_trace(job, &trace));
    result_end(&job->w);
    return MG_OK;
}

static enum mg_err on_summary(void *owner, const struct query_trace *trace)
{
    struct job *job = owner;

    v3_summary_write(&job->w, trace, job->search.raw);
    return query_answer_flush(&job->answer);
}

static enum mg_err produce_summaries(struct job *job, struct query *query, struct mg_why *why)
{
    json_object(&job->w);
    json_key_text(&job->w, "summaries");
    json_array(&job->w);
    MG_TRY(query_search(query, &job->search.search, on_summary, job, why));
    json_array_end(&job->w);
    json_object_end(&job->w);
    return MG_OK;
}

static void search(struct jaeger_api *api, struct http_request *request,
                   enum mg_err (*produce)(struct job *, struct query *, struct mg_why *))
{
    struct job *job = v3_job(api, "search", produce);
    struct mg_why why;

    enum mg_err err =
        v3_search_parse(http_request_query(request), api->traces_max, &job->search, &why);
    job_start(job, request, err, &why);
}

void v3_on_search(void *owner, struct http_request *request)
{
    search(owner, request, produce_search);
}

void v3_on_summaries(void *owner, struct http_request *request)
{
    search(owner, request, produce_summaries);
}

static enum mg_err take_trace(struct job *job, struct http_request *request, struct mg_why *why)
{
    struct jaeger_search *search = &job->search;
    struct str id = STR("");

    (void)http_request_param(request, "trace_id", &id); /* the route has it */
    search->trace_ids = arena_alloc(&search->arena, sizeof *search->trace_ids);
    search->n_trace_ids = 1;
    if (jaeger_id_parse(id, search->trace_ids[0], why) != MG_OK)
        return mg_fail_in(why, MG_E_FORMAT, "malformed parameter trace_id");
    return v3_trace_parse(http_request_query(request), &search->raw, why);
}

void v3_on_trace(void *owner, struct http_request *request)
{
    struct job *job = v3_job(owner, "trace", produce_trace);
    struct mg_why why;

    job_start(job, request, take_trace(job, request, &why), &why);
}
