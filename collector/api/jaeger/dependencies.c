/* dependencies.c - GET /api/dependencies: who called whom in a window.
 *
 * Edges (store/edges.h) are counted at the decision and stored with the commit, so no job has to run
 * and any window is answered; the window counts whole minutes of receive time. Pairs are summed,
 * edges within one service included; what clients, servers and brokers say of a remote service by
 * the attribute peer.service is an edge too. A negative end or lookback is taken as zero. */
#include "api/jaeger/dependencies.h"

#include "api/jaeger/envelope.h"
#include "api/jaeger/go_text.h"
#include "api/jaeger/job.h"
#include "base/clock.h"

#define MS_NS            UINT64_C(1000000)
#define LOOKBACK_DEFAULT UINT64_C(86400000) /* ms */

static enum mg_err produce(struct job *job, struct query *query, struct mg_why *why)
{
    const struct span_filter *window = &job->search.search.filter;
    struct query_edge *edges;
    size_t n;

    MG_TRY(query_edges(query, window->start_min_ns, window->start_max_ns, &edges, &n, why));
    envelope_begin(&job->w);
    json_array(&job->w);
    for (size_t i = 0; i < n; i++) {
        if (job->service.len && !str_eq(edges[i].parent, job->service) &&
            !str_eq(edges[i].child, job->service))
            continue;
        json_object(&job->w);
        json_key_text(&job->w, "parent");
        json_put_str(&job->w, edges[i].parent);
        json_key_text(&job->w, "child");
        json_put_str(&job->w, edges[i].child);
        json_key_text(&job->w, "callCount");
        json_put_u64(&job->w, edges[i].calls);
        json_object_end(&job->w);
        MG_TRY(query_answer_flush(&job->answer));
    }
    json_array_end(&job->w);
    envelope_end(&job->w, 0);
    return MG_OK;
}

static enum mg_err take_ms(const struct jaeger_params *params, const char *name, uint64_t *ms,
                           struct mg_why *why)
{
    struct str text = jaeger_param(params, name);
    int64_t value;

    if (text.len == 0)
        return MG_OK;
    if (go_int_parse(text, 64, &value, why) != MG_OK)
        return mg_fail_in(why, MG_E_FORMAT, "unable to parse param '%s'", name);
    *ms = value < 0 ? 0 : (uint64_t)value;
    return MG_OK;
}

static enum mg_err take(struct job *job, struct str query, struct mg_why *why)
{
    uint64_t end_ms = clock_wall_ns() / MS_NS, lookback_ms = LOOKBACK_DEFAULT;
    struct span_filter *window = &job->search.search.filter;
    struct jaeger_params params;

    MG_TRY(jaeger_params_read(query, &job->search.arena, &params, why));
    MG_TRY(take_ms(&params, "endTs", &end_ms, why));
    MG_TRY(take_ms(&params, "lookback", &lookback_ms, why));
    end_ms = MG_MIN(end_ms, UINT64_MAX / MS_NS);
    window->start_max_ns = end_ms * MS_NS;
    window->start_min_ns = end_ms > lookback_ms ? (end_ms - lookback_ms) * MS_NS : 0;
    job->service = jaeger_param(&params, "service");
    return MG_OK;
}

void dependencies_on_request(void *owner, struct http_request *request)
{
    bool is_pretty = jaeger_is_pretty(http_request_query(request));
    const struct job_options options = {.name = "edges",
                                        .put_failure = envelope_failure,
                                        .produce = produce,
                                        .indent = is_pretty ? ENVELOPE_INDENT : 0};
    struct job *job = job_new(owner, &options);
    struct mg_why why = {""};

    job_start(job, request, take(job, http_request_query(request), &why), &why);
}
