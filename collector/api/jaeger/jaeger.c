/* jaeger.c - the legacy routes, one shape each: parameters on the loop, then a job (job.h) that
 * writes the envelope. The table at the end has all routes of the folder. */
#include "api/jaeger/jaeger.h"

#include "api/jaeger/dependencies.h"
#include "api/jaeger/envelope.h"
#include "api/jaeger/job.h"
#include "api/jaeger/operations.h"
#include "api/jaeger/trace_json.h"
#include "api/jaeger/transform.h"
#include "api/jaeger/v3.h"
#include "base/clock.h"
#include "base/mem.h"

#define NOT_FOUND "trace not found"

static struct job *legacy_job(struct jaeger_api *api, struct http_request *request,
                              const char *name,
                              enum mg_err (*produce)(struct job *, struct query *, struct mg_why *))
{
    bool is_pretty = jaeger_is_pretty(http_request_query(request));

    return job_new(api, &(struct job_options){.name = name,
                                              .put_failure = envelope_failure,
                                              .produce = produce,
                                              .indent = is_pretty ? ENVELOPE_INDENT : 0});
}

/* --- services and operations
 * -------------------------------------------------------------------------- */

static enum mg_err produce_services(struct job *job, struct query *query, struct mg_why *why)
{
    struct str *names;
    size_t n;

    MG_TRY(query_services(query, &names, &n, why));
    envelope_begin(&job->w);
    json_array(&job->w);
    for (size_t i = 0; i < n; i++) {
        json_put_str(&job->w, names[i]);
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    envelope_end(&job->w, n);
    return MG_OK;
}

/* One operation under several kinds is one name here. */
static enum mg_err produce_names(struct job *job, struct query *query, struct mg_why *why)
{
    struct catalog_operation *operations;
    size_t n, total = 0;

    MG_TRY(query_operations(query, job->service, &operations, &n, why));
    envelope_begin(&job->w);
    if (n)
        json_array(&job->w);
    else
        json_put_null(&job->w); /* as Jaeger answers: only here, not in /api/operations */
    for (size_t i = 0; i < n; i++) {
        if (i && str_eq(operations[i - 1].name, operations[i].name))
            continue;
        json_put_str(&job->w, operations[i].name);
        total++;
        MG_TRY(query_answer_flush(&job->answer));
    }
    if (n)
        json_array_end(&job->w);
    envelope_end(&job->w, total);
    return MG_OK;
}

static void operation_write(struct json_writer *w, struct str name, struct str kind)
{
    json_object(w);
    json_key_text(w, "name");
    json_put_str(w, name);
    json_key_text(w, "spanKind");
    json_put_str(w, kind);
    json_object_end(w);
}

static enum mg_err produce_operations(struct job *job, struct query *query, struct mg_why *why)
{
    struct catalog_operation *operations;
    size_t n, total = 0;

    MG_TRY(query_operations(query, job->service, &operations, &n, why));
    envelope_begin(&job->w);
    json_array(&job->w);
    for (size_t i = 0; i < n; i++) {
        if (!operation_is_shown(operations, i, operation_kind_legacy, job->kind))
            continue;
        operation_write(&job->w, operations[i].name, operation_kind_legacy(operations[i].kind));
        total++;
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    envelope_end(&job->w, total);
    return MG_OK;
}

static void on_services(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;

    job_start(legacy_job(api, request, "services", produce_services), request, MG_OK, NULL);
}

static void on_names(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;
    struct job *job = legacy_job(api, request, "operations", produce_names);
    struct str service = STR("");

    (void)http_request_param(request, "service", &service); /* the route has it */
    job->service = arena_str(&job->search.arena, service);
    job_start(job, request, MG_OK, NULL);
}

static enum mg_err take_operations(struct job *job, struct str query, struct mg_why *why)
{
    struct jaeger_params params;

    MG_TRY(jaeger_params_read(query, &job->search.arena, &params, why));
    job->service = jaeger_param(&params, "service");
    job->kind = jaeger_param(&params, "spanKind");
    if (job->service.len == 0)
        return mg_fail(why, MG_E_FORMAT, "parameter 'service' is required");
    return MG_OK;
}

static void on_operations(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;
    struct job *job = legacy_job(api, request, "operations", produce_operations);
    struct mg_why why;

    job_start(job, request, take_operations(job, http_request_query(request), &why), &why);
}

/* --- traces
 * ------------------------------------------------------------------------------------------- */

static enum mg_err on_trace(void *owner, const struct query_trace *trace)
{
    struct job *job = owner;
    struct trace_json_options options = {.raw = job->search.raw};

    return trace_json_write(&job->w, trace, &options, job_flush, job);
}

static enum mg_err produce_search(struct job *job, struct query *query, struct mg_why *why)
{
    envelope_begin(&job->w);
    json_array(&job->w);
    MG_TRY(query_search(query, &job->search.search, on_trace, job, why));
    json_array_end(&job->w);
    envelope_end(&job->w, 0);
    return MG_OK;
}

static void missing_write(struct json_writer *w, const uint8_t id[16])
{
    char text[32];

    json_object(w);
    json_key_text(w, "msg");
    json_put_str(w, STR(NOT_FOUND));
    json_key_text(w, "traceID");
    json_put_str(w, str_n(text, jaeger_id_text(id, text)));
    json_object_end(w);
}

/* Moves the ids that are missing to the front; *n is how many. */
static enum mg_err write_found(struct job *job, struct query *query, size_t *n, struct mg_why *why)
{
    struct jaeger_search *search = &job->search;
    struct query_trace trace;

    *n = 0;
    for (size_t i = 0; i < search->n_trace_ids; i++) {
        enum mg_err err = job_trace(query, search->trace_ids[i], NOT_FOUND, &trace, why);
        if (err == MG_E_ABSENT) {
            memmove(search->trace_ids[(*n)++], search->trace_ids[i], sizeof search->trace_ids[i]);
            continue;
        }
        MG_TRY(err);
        MG_TRY(on_trace(job, &trace));
    }
    return MG_OK;
}

static enum mg_err produce_listed(struct job *job, struct query *query, struct mg_why *why)
{
    size_t n_missing;

    envelope_begin(&job->w);
    json_array(&job->w);
    MG_TRY(write_found(job, query, &n_missing, why));
    json_array_end(&job->w);
    if (n_missing == 0) {
        envelope_end(&job->w, 0);
        return MG_OK;
    }
    envelope_counts(&job->w, 0);
    json_array(&job->w);
    for (size_t i = 0; i < n_missing; i++) {
        missing_write(&job->w, job->search.trace_ids[i]);
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    envelope_close(&job->w);
    return MG_OK;
}

static enum mg_err produce_trace(struct job *job, struct query *query, struct mg_why *why)
{
    struct query_trace trace;

    MG_TRY(job_trace(query, job->search.trace_ids[0], NOT_FOUND, &trace, why));
    envelope_begin(&job->w);
    json_array(&job->w);
    MG_TRY(on_trace(job, &trace));
    json_array_end(&job->w);
    envelope_end(&job->w, 0);
    return MG_OK;
}

static void on_search(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;
    struct job *job = legacy_job(api, request, "search", produce_search);
    struct mg_why why;

    enum mg_err err = jaeger_search_parse(http_request_query(request), clock_wall_ns(),
                                          api->traces_max, &job->search, &why);
    if (!err && job->search.n_trace_ids) {
        job->answer.job.name = "trace";
        job->options.produce = produce_listed;
    }
    job_start(job, request, err, &why);
}

static enum mg_err take_trace(struct job *job, struct http_request *request, struct mg_why *why)
{
    struct jaeger_search *search = &job->search;
    struct str id = STR("");

    (void)http_request_param(request, "id", &id); /* the route has it */
    search->trace_ids = arena_alloc(&search->arena, sizeof *search->trace_ids);
    search->n_trace_ids = 1;
    MG_TRY(jaeger_id_parse(id, search->trace_ids[0], why));
    return jaeger_trace_parse(http_request_query(request), &search->raw, why);
}

static void on_one_trace(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;
    struct job *job = legacy_job(api, request, "trace", produce_trace);
    struct mg_why why;

    job_start(job, request, take_trace(job, request, &why), &why);
}

/* --- archive
 * -------------------------------------------------------------------------------------------- */

static enum mg_err produce_archived(struct job *job, struct query *query, struct mg_why *why)
{
    MG_TRY(job_archive(query, job->search.trace_ids[0], NOT_FOUND, why));
    envelope_begin(&job->w);
    json_array(&job->w);
    json_array_end(&job->w);
    envelope_counts(&job->w, 0);
    json_array(&job->w); /* as Jaeger answers: an empty list here, not null */
    json_array_end(&job->w);
    envelope_close(&job->w);
    return MG_OK;
}

static void on_archive(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;
    struct job *job = legacy_job(api, request, "archive", produce_archived);
    struct mg_why why;

    job_start(job, request, take_trace(job, request, &why), &why);
}

/* --- life
 * --------------------------------------------------------------------------------------------- */

struct jaeger_api *jaeger_api_new(struct query_pool *pool, const struct query_conf *conf)
{
    struct jaeger_api *api = MEM_NEW(struct jaeger_api);

    api->pool = pool;
    jaeger_api_reload(api, conf);
    reflection_init(&api->reflection);
    return api;
}

void jaeger_api_reload(struct jaeger_api *api, const struct query_conf *conf)
{
    api->memory_max = conf->memory_max;
    api->traces_max = conf->traces_max;
}

void jaeger_api_free(struct jaeger_api **api)
{
    if (*api)
        reflection_fini(&(*api)->reflection);
    mem_free(*api);
    *api = NULL;
}

const struct http_route *jaeger_routes(size_t *n)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/api/services", .on_request = on_services},
        {.method = "GET", .path = "/api/services/{service}/operations", .on_request = on_names},
        {.method = "GET", .path = "/api/operations", .on_request = on_operations},
        {.method = "GET", .path = "/api/traces", .on_request = on_search},
        {.method = "GET", .path = "/api/traces/{id}", .on_request = on_one_trace},
        {.method = "POST", .path = "/api/archive/{id}", .on_request = on_archive},
        {.method = "GET", .path = "/api/dependencies", .on_request = dependencies_on_request},
        {.method = "POST",
         .path = "/api/transform",
         .on_head = transform_on_head,
         .on_request = transform_on_request},
        {.method = "GET", .path = "/api/v3/services", .on_request = v3_on_services},
        {.method = "GET", .path = "/api/v3/operations", .on_request = v3_on_operations},
        {.method = "GET", .path = "/api/v3/traces", .on_request = v3_on_search},
        {.method = "GET", .path = "/api/v3/traces/{trace_id}", .on_request = v3_on_trace},
        {.method = "GET", .path = "/api/v3/trace-summaries", .on_request = v3_on_summaries},
    };

    *n = MG_COUNT(routes);
    return routes;
}
