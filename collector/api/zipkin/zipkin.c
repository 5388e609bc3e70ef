/* zipkin.c - the routes: parameters on the loop, then a job (job.h). What needs no query is
 * answered on the loop. */
#include "api/zipkin/zipkin.h"

#include <stdlib.h>
#include "api/zipkin/find.h"
#include "api/zipkin/job.h"
#include "base/clock.h"
#include "base/mem.h"
#include "model/zipkin_write.h"

#define MS_NS            UINT64_C(1000000)
#define CACHE_NAMES      "max-age=300, must-revalidate"
#define CACHE_FEW        3       /* lists of so many services or values may change at once */
#define PAGE_LOOKBACK_MS 900000u /* what the page begins with: 15 minutes */

/* --- configuration ---------------------------------------------------------------------------- */

const struct conf_field zipkin_fields[] = {
    CONF_ROW(struct zipkin_conf, CONF_LIST, "autocomplete_keys", autocomplete_keys, NULL, NULL,
             NULL, "Tag keys whose values Zipkin's page offers."),
    CONF_ROW(struct zipkin_conf, CONF_DURATION, "lookback", lookback_ns, "24h", "1ms", "3650d",
             "How far a Zipkin request looks back when it does not say."),
    CONF_ROW(struct zipkin_conf, CONF_U64, "limit", limit, "10", "1", "1000000",
             "Traces that a Zipkin search answers with when it does not say."),
};
const size_t zipkin_fields_n = MG_COUNT(zipkin_fields);

static struct zipkin_defaults defaults_of(struct zipkin_api *api)
{
    return (struct zipkin_defaults){.now_ms = clock_wall_ns() / MS_NS,
                                    .lookback_ms = api->lookback_ns / MS_NS,
                                    .limit = api->limit,
                                    .limit_max = MG_MIN(api->traces_max, (uint64_t)INT32_MAX)};
}

/* What takes no query. cache_control NULL: none. */
static void respond_json(struct http_request *request, struct str body, const char *cache_control)
{
    const struct http_header header = {STR("cache-control"), str_of(cache_control)};

    http_respond_with(request, 200, "application/json", body, &header, cache_control ? 1 : 0);
}

/* --- names ------------------------------------------------------------------------------------ */

static void put_names(struct json_writer *w, const struct str *names, size_t n)
{
    json_array(w);
    for (size_t i = 0; i < n; i++)
        json_put_str(w, names[i]);
    json_array_end(w);
}

static void put_list(struct zipkin_job *job, const struct zipkin_names *names, bool may_cache)
{
    put_names(&job->w, names->at, names->n);
    if (may_cache)
        http_pipe_header(job->answer.pipe, STR("cache-control"), STR(CACHE_NAMES));
}

static enum mg_err produce_services(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    struct zipkin_names names;

    MG_TRY(zipkin_list_services(query, job->traces_max, &names, why));
    job->api->n_services = names.n;
    put_list(job, &names, names.n > CACHE_FEW);
    return MG_OK;
}

static enum mg_err produce_spans(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    struct zipkin_names names;

    MG_TRY(zipkin_list_spans(query, job->text, job->traces_max, &names, why));
    put_list(job, &names, job->api->n_services > CACHE_FEW);
    return MG_OK;
}

static enum mg_err produce_remote(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    struct zipkin_names names;

    MG_TRY(zipkin_list_remote(query, job->text, job->traces_max, &names, why));
    put_list(job, &names, job->api->n_services > CACHE_FEW);
    return MG_OK;
}

static bool is_offered(struct zipkin_api *api, struct str key)
{
    bool is_it = false;

    pthread_mutex_lock(&api->shared.lock);
    for (size_t i = 0; i < api->shared.keys.n && !is_it; i++)
        is_it = str_eq(api->shared.keys.at[i], key);
    pthread_mutex_unlock(&api->shared.lock);
    return is_it;
}

static enum mg_err produce_values(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    struct zipkin_names names = {0};

    if (is_offered(job->api, job->text))
        MG_TRY(zipkin_list_values(query, job->text, &job->window, job->traces_max, &names, why));
    put_list(job, &names, names.n > CACHE_FEW);
    return MG_OK;
}

static void on_services(void *owner, struct http_request *request)
{
    const struct zipkin_job_options options = {.name = "services", .produce = produce_services};

    zipkin_job_start(zipkin_job_new(owner, &options), request, MG_OK, NULL);
}

static void list_of_service(struct zipkin_api *api, struct http_request *request,
                            const struct zipkin_job_options *options)
{
    struct zipkin_job *job = zipkin_job_new(api, options);
    struct mg_why why;

    enum mg_err err =
        zipkin_service_parse(http_request_query(request), &job->arena, &job->text, &why);
    zipkin_job_start(job, request, err, &why);
}

static void on_spans(void *owner, struct http_request *request)
{
    list_of_service(owner, request,
                    &(struct zipkin_job_options){.name = "operations", .produce = produce_spans});
}

static void on_remote(void *owner, struct http_request *request)
{
    list_of_service(owner, request,
                    &(struct zipkin_job_options){.name = "search", .produce = produce_remote});
}

static void on_keys(void *owner, struct http_request *request)
{
    struct zipkin_api *api = owner;
    struct json_writer w;
    struct buf out;

    buf_init(&out, NAMES_BYTES_MAX); /* a configuration file is smaller */
    json_writer_init(&w, &out, 0);
    pthread_mutex_lock(&api->shared.lock);
    put_names(&w, api->shared.keys.at, api->shared.keys.n);
    pthread_mutex_unlock(&api->shared.lock);
    respond_json(request, buf_str(&out), CACHE_NAMES);
    buf_fini(&out);
}

static void on_values(void *owner, struct http_request *request)
{
    struct zipkin_api *api = owner;
    const struct zipkin_job_options options = {.name = "search", .produce = produce_values};
    struct zipkin_job *job = zipkin_job_new(api, &options);
    uint64_t lookback_ns = api->lookback_ns, now_ns = clock_wall_ns();
    struct mg_why why;

    enum mg_err err = zipkin_key_parse(http_request_query(request), &job->arena, &job->text, &why);
    job->window =
        (struct zipkin_window){now_ns > lookback_ns ? now_ns - lookback_ns : 0, UINT64_MAX};
    zipkin_job_start(job, request, err, &why);
}

/* --- traces ----------------------------------------------------------------------------------- */

static enum mg_err put_trace(struct zipkin_job *job, const struct query_trace *trace)
{
    struct arena arena = {0};
    enum mg_err err = MG_OK;

    json_array(&job->w);
    for (size_t i = 0; i < trace->n && !err; i++) {
        struct zipkin_span view;
        zipkin_view(trace->spans[i], &arena, &view);
        zipkin_write_span(&job->w, &view);
        arena_reset(&arena);
        err = query_answer_flush(&job->answer);
    }
    json_array_end(&job->w);
    arena_fini(&arena);
    return err;
}

/* One that is absent is left out. */
static enum mg_err put_trace_of(struct zipkin_job *job, struct query *query, const uint8_t id[16],
                                struct mg_why *why)
{
    struct query_trace trace;
    enum mg_err err = query_trace(query, id, &trace, why);

    if (err == MG_E_ABSENT)
        return MG_OK;
    MG_TRY(err);
    return put_trace(job, &trace);
}

static enum mg_err produce_search(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    struct zipkin_found *found;
    size_t n;

    MG_TRY(zipkin_find(query, &job->search, job->traces_max, &found, &n, why));
    json_array(&job->w);
    for (size_t i = 0; i < n; i++)
        MG_TRY(put_trace_of(job, query, found[i].id, why));
    json_array_end(&job->w);
    return MG_OK;
}

static enum mg_err produce_many(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    json_array(&job->w);
    for (size_t i = 0; i < job->n_ids; i++)
        MG_TRY(put_trace_of(job, query, job->ids[i], why));
    json_array_end(&job->w);
    return MG_OK;
}

static enum mg_err produce_trace(struct zipkin_job *job, struct query *query, struct mg_why *why)
{
    struct query_trace trace;
    char text[32];
    enum mg_err err = query_trace(query, job->ids[0], &trace, why);

    if (err == MG_E_ABSENT)
        return mg_fail(why, err, "%.*s not found", (int)zipkin_trace_id_text(job->ids[0], text),
                       text);
    MG_TRY(err);
    return put_trace(job, &trace);
}

static void on_search(void *owner, struct http_request *request)
{
    const struct zipkin_job_options options = {.name = "search", .produce = produce_search};
    const struct zipkin_defaults defaults = defaults_of(owner);
    struct zipkin_job *job = zipkin_job_new(owner, &options);
    struct mg_why why;

    enum mg_err err = zipkin_search_parse(http_request_query(request), &defaults, &job->arena,
                                          &job->search, &why);
    zipkin_job_start(job, request, err, &why);
}

static void on_trace(void *owner, struct http_request *request)
{
    const struct zipkin_job_options options = {.name = "trace", .produce = produce_trace};
    struct zipkin_job *job = zipkin_job_new(owner, &options);
    struct str id = STR("");
    struct mg_why why;

    (void)http_request_param(request, "id", &id); /* the route has it */
    job->ids = arena_alloc(&job->arena, sizeof *job->ids);
    zipkin_job_start(job, request, zipkin_trace_id_parse(id, job->ids[0], &why), &why);
}

static void on_many(void *owner, struct http_request *request)
{
    const struct zipkin_job_options options = {.name = "trace", .produce = produce_many};
    struct zipkin_job *job = zipkin_job_new(owner, &options);
    struct mg_why why;

    enum mg_err err = zipkin_trace_ids_parse(http_request_query(request), &job->arena, &job->ids,
                                             &job->n_ids, &why);
    zipkin_job_start(job, request, err, &why);
}

/* --- dependencies ----------------------------------------------------------------------------- */

static int by_names(const void *a, const void *b)
{
    const struct query_edge *left = a, *right = b;
    int order = str_cmp(left->parent, right->parent);

    return order ? order : str_cmp(left->child, right->child);
}

static void put_link(struct json_writer *w, const struct query_edge *link)
{
    json_object(w);
    json_key_text(w, "parent");
    json_put_str(w, link->parent);
    json_key_text(w, "child");
    json_put_str(w, link->child);
    json_key_text(w, "callCount");
    json_put_u64(w, link->calls);
    if (link->errors) {
        json_key_text(w, "errorCount");
        json_put_u64(w, link->errors);
    }
    json_object_end(w);
}

/* Edges whose names differ in case only are one link; those within one service are none. Returns
 * how many are left. */
static size_t join_edges(struct query_edge *edges, size_t n, struct arena *arena)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        edges[i].parent = zipkin_name(arena, edges[i].parent);
        edges[i].child = zipkin_name(arena, edges[i].child);
    }
    if (n > 1)
        qsort(edges, n, sizeof *edges, by_names);
    for (size_t i = 0; i < n; i++) {
        if (str_eq(edges[i].parent, edges[i].child))
            continue;
        if (kept && by_names(&edges[kept - 1], &edges[i]) == 0) {
            edges[kept - 1].calls += edges[i].calls;
            edges[kept - 1].errors += edges[i].errors;
        } else {
            edges[kept++] = edges[i];
        }
    }
    return kept;
}

static enum mg_err produce_dependencies(struct zipkin_job *job, struct query *query,
                                        struct mg_why *why)
{
    struct query_edge *edges;
    size_t n;

    MG_TRY(query_edges(query, job->window.from_ns, job->window.to_ns, &edges, &n, why));
    n = join_edges(edges, n, query_arena(query));
    json_array(&job->w);
    for (size_t i = 0; i < n; i++) {
        put_link(&job->w, &edges[i]);
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    return MG_OK;
}

static void on_dependencies(void *owner, struct http_request *request)
{
    const struct zipkin_job_options options = {.name = "edges", .produce = produce_dependencies};
    const struct zipkin_defaults defaults = defaults_of(owner);
    struct zipkin_job *job = zipkin_job_new(owner, &options);
    struct mg_why why;

    enum mg_err err =
        zipkin_window_parse(http_request_query(request), &defaults, &job->window, &why);
    zipkin_job_start(job, request, err, &why);
}

/* --- what the page and probes ask for --------------------------------------------------------- */

static void put_null(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_put_null(w);
}

static void put_config(struct json_writer *w, const struct zipkin_defaults *defaults)
{
    json_object(w);
    json_key_text(w, "environment");
    json_put_str(w, STR(""));
    json_key_text(w, "queryLimit");
    json_put_u64(w, MG_MIN(defaults->limit, defaults->limit_max)); /* which the page asks for */
    json_key_text(w, "defaultLookback");
    json_put_u64(w, MG_MIN(defaults->lookback_ms, (uint64_t)PAGE_LOOKBACK_MS));
    json_key_text(w, "searchEnabled");
    json_put_bool(w, true);
    put_null(w, STR("logsUrl"));
    put_null(w, STR("supportUrl"));
    put_null(w, STR("archivePostUrl"));
    put_null(w, STR("archiveUrl"));
    json_key_text(w, "dependency");
    json_object(w);
    json_key_text(w, "enabled");
    json_put_bool(w, true);
    json_key_text(w, "lowErrorRate");
    json_put_double(w, 0.5);
    json_key_text(w, "highErrorRate");
    json_put_double(w, 0.75);
    json_object_end(w);
    json_object_end(w);
}

static void on_config(void *owner, struct http_request *request)
{
    const struct zipkin_defaults defaults = defaults_of(owner);
    struct json_writer w;
    struct buf out;

    buf_init(&out, 1024);
    json_writer_init(&w, &out, 0);
    put_config(&w, &defaults);
    respond_json(request, buf_str(&out), "max-age=600");
    buf_fini(&out);
}

static void on_info(void *owner, struct http_request *request)
{
    const struct zipkin_api *api = owner;
    struct json_writer w;
    struct buf out;

    buf_init(&out, 1024);
    json_writer_init(&w, &out, 0);
    json_object(&w);
    json_key_text(&w, "zipkin");
    json_object(&w);
    json_key_text(&w, "version");
    json_put_str(&w, api->version);
    json_key_text(&w, "commit");
    json_put_str(&w, STR(""));
    json_object_end(&w);
    json_object_end(&w);
    respond_json(request, buf_str(&out), NULL);
    buf_fini(&out);
}

/* --- life ------------------------------------------------------------------------------------- */

struct zipkin_api *zipkin_api_new(struct query_pool *pool, const struct query_conf *query,
                                  const struct zipkin_conf *conf, const char *version)
{
    struct zipkin_api *api = MEM_NEW(struct zipkin_api);

    api->pool = pool;
    pthread_mutex_init(&api->shared.lock, NULL);
    zipkin_api_reload(api, query, conf);
    api->version = str_of(version);
    return api;
}

static struct conf_list copy_list(const struct conf_list *from, struct arena *arena)
{
    struct conf_list list = {arena_zero(arena, from->n * sizeof *list.at), from->n};

    for (size_t i = 0; i < from->n; i++)
        list.at[i] = arena_str(arena, from->at[i]);
    return list;
}

void zipkin_api_reload(struct zipkin_api *api, const struct query_conf *query,
                       const struct zipkin_conf *conf)
{
    struct arena arena = {0}, old;

    const struct conf_list keys = copy_list(&conf->autocomplete_keys, &arena);
    api->memory_max = query->memory_max;
    api->traces_max = query->traces_max;
    api->lookback_ns = conf->lookback_ns;
    api->limit = conf->limit;
    pthread_mutex_lock(&api->shared.lock);
    old = api->shared.arena;
    api->shared.arena = arena;
    api->shared.keys = keys;
    pthread_mutex_unlock(&api->shared.lock);
    arena_fini(&old);
}

void zipkin_api_free(struct zipkin_api **pointer)
{
    struct zipkin_api *api = MG_STEAL(*pointer);

    if (!api)
        return;
    arena_fini(&api->shared.arena);
    pthread_mutex_destroy(&api->shared.lock);
    mem_free(api);
}

#define GET(path_, handler_, scope_)                                                               \
    {                                                                                              \
        .method = "GET", .path = path_, .on_request = handler_, .scope = scope_                    \
    }
#define BOTH(path_, handler_)                                                                      \
    GET("/api/v2/" path_, handler_, HTTP_SCOPE_QUERY),                                             \
        GET("/zipkin/api/v2/" path_, handler_, HTTP_SCOPE_QUERY)

const struct http_route *zipkin_api_routes(size_t *n)
{
    static const struct http_route routes[] = {
        BOTH("services", on_services),
        BOTH("spans", on_spans),
        BOTH("remoteServices", on_remote),
        BOTH("traces", on_search),
        BOTH("trace/{id}", on_trace),
        BOTH("traceMany", on_many),
        BOTH("dependencies", on_dependencies),
        BOTH("autocompleteKeys", on_keys),
        BOTH("autocompleteValues", on_values),
        GET("/zipkin/config.json", on_config, HTTP_SCOPE_QUERY),
        GET("/info", on_info, HTTP_SCOPE_OPEN),
    };

    *n = MG_COUNT(routes);
    return routes;
}
