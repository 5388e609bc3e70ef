/* v3_params.c - each parameter is a row of spellings; the one that was found is the name in a
 * message, so that a person reads what was sent. */
#include "api/jaeger/v3_params.h"

#include "api/jaeger/go_text.h"
#include "api/jaeger/go_time.h"

#define SPELLINGS 3
struct spelled {
    const char *names[SPELLINGS];
};
static const struct spelled service_name = {{"query.serviceName", "query.service_name"}};
static const struct spelled operation_name = {{"query.operationName", "query.operation_name"}};
static const struct spelled start_min = {{"query.startTimeMin", "query.start_time_min"}};
static const struct spelled start_max = {{"query.startTimeMax", "query.start_time_max"}};
static const struct spelled duration_min = {{"query.durationMin", "query.duration_min"}};
static const struct spelled duration_max = {{"query.durationMax", "query.duration_max"}};
static const struct spelled depth = {
    {"query.searchDepth", "query.search_depth", "query.num_traces"}};
static const struct spelled attributes = {{"query.attributes"}};
static const struct spelled structured_filter = {{"query.filter"}};
static const struct spelled search_raw = {{"query.rawTraces", "query.raw_traces"}};
static const struct spelled trace_raw = {{"rawTraces", "raw_traces"}};
static const struct spelled start_hint = {{"startTime", "start_time"}};
static const struct spelled end_hint = {{"endTime", "end_time"}};
static const struct spelled span_kind = {{"spanKind", "span_kind"}};
static const struct spelled service = {{"service"}};

/* Empty when absent; *name is the spelling found. */
static struct str find(const struct jaeger_params *params, const struct spelled *spelled,
                       const char **name)
{
    struct str value = STR("");

    for (size_t i = 0; i < SPELLINGS && spelled->names[i] && value.len == 0; i++) {
        *name = spelled->names[i];
        value = jaeger_param(params, *name);
    }
    return value;
}

static struct str value_of(const struct jaeger_params *params, const struct spelled *spelled)
{
    const char *name;

    return find(params, spelled, &name);
}

static enum mg_err malformed(enum mg_err err, const char *name, struct mg_why *why)
{
    return err ? mg_fail_in(why, MG_E_FORMAT, "malformed parameter %s", name) : MG_OK;
}

/* --- single parameters
 * -------------------------------------------------------------------------------- */

static enum mg_err take_time(const struct jaeger_params *params, const struct spelled *spelled,
                             bool *is_given, uint64_t *ns, struct mg_why *why)
{
    const char *name;
    struct str text = find(params, spelled, &name);

    *is_given = text.len > 0;
    return *is_given ? malformed(go_time_parse(text, ns, why), name, why) : MG_OK;
}

static enum mg_err take_duration(const struct jaeger_params *params, const struct spelled *spelled,
                                 int64_t *ns, struct mg_why *why)
{
    const char *name;
    struct str text = find(params, spelled, &name);

    *ns = 0;
    return text.len ? malformed(go_duration_parse(text, ns, why), name, why) : MG_OK;
}

static enum mg_err take_bool(const struct jaeger_params *params, const struct spelled *spelled,
                             bool *out, struct mg_why *why)
{
    const char *name;
    struct str text = find(params, spelled, &name);

    *out = false;
    return text.len ? malformed(go_bool_parse(text, out, why), name, why) : MG_OK;
}

static enum mg_err take_depth(const struct jaeger_params *params, uint64_t traces_max,
                              uint32_t *limit, struct mg_why *why)
{
    const char *name;
    struct str text = find(params, &depth, &name);
    int64_t number = (int64_t)MG_MIN(traces_max, (uint64_t)JAEGER_LIMIT_DEFAULT);

    if (text.len)
        MG_TRY(malformed(go_int_parse(text, 32, &number, why), name, why));
    MG_TRY(jaeger_limit_check(name, number, traces_max, why));
    *limit = (uint32_t)number;
    return MG_OK;
}

static enum mg_err take_window(const struct jaeger_params *params, struct span_filter *filter,
                               struct mg_why *why)
{
    bool has_min, has_max;

    MG_TRY(take_time(params, &start_min, &has_min, &filter->start_min_ns, why));
    MG_TRY(take_time(params, &start_max, &has_max, &filter->start_max_ns, why));
    if (!has_min || !has_max)
        return mg_fail(why, MG_E_FORMAT, "%s and %s are required", start_min.names[0],
                       start_max.names[0]);
    if (filter->start_min_ns >= filter->start_max_ns)
        return mg_fail(why, MG_E_FORMAT, "%s must be before %s", start_min.names[0],
                       start_max.names[0]);
    return MG_OK;
}

static enum mg_err take_durations(const struct jaeger_params *params, struct span_filter *filter,
                                  struct mg_why *why)
{
    int64_t min_ns, max_ns;

    MG_TRY(take_duration(params, &duration_min, &min_ns, why));
    MG_TRY(take_duration(params, &duration_max, &max_ns, why));
    jaeger_durations_set(filter, min_ns, max_ns);
    return MG_OK;
}

static enum mg_err take_filters(const struct jaeger_params *params, struct arena *arena,
                                struct span_filter *filter, struct mg_why *why)
{
    const char *name;
    struct str text = find(params, &attributes, &name);

    if (text.len)
        MG_TRY(malformed(jaeger_tags_json(text, arena, filter, why), name, why));
    if (find(params, &structured_filter, &name).len)
        return mg_fail(why, MG_E_FORMAT,
                       "malformed parameter %s: structured filters are not read here, use %s", name,
                       attributes.names[0]);
    return MG_OK;
}

/* --- whole requests
 * ----------------------------------------------------------------------------------- */

static enum mg_err search_read(const struct jaeger_params *params, uint64_t traces_max,
                               struct jaeger_search *out, struct mg_why *why)
{
    struct span_filter *filter = &out->search.filter;

    filter->service = jaeger_wanted(value_of(params, &service_name));
    filter->operation = jaeger_wanted(value_of(params, &operation_name));
    MG_TRY(take_window(params, filter, why));
    MG_TRY(take_depth(params, traces_max, &out->search.limit, why));
    MG_TRY(take_durations(params, filter, why));
    MG_TRY(take_filters(params, &out->arena, filter, why));
    return take_bool(params, &search_raw, &out->raw, why);
}

enum mg_err v3_search_parse(struct str query, uint64_t traces_max, struct jaeger_search *out,
                            struct mg_why *why)
{
    struct jaeger_search search = {0};
    struct jaeger_params params;

    enum mg_err err = jaeger_params_read(query, &search.arena, &params, why);
    if (!err)
        err = search_read(&params, traces_max, &search, why);
    if (err) {
        jaeger_search_fini(&search);
        return err;
    }
    *out = search;
    return MG_OK;
}

static enum mg_err trace_read(const struct jaeger_params *params, bool *raw, struct mg_why *why)
{
    bool is_given;
    uint64_t ns;

    MG_TRY(take_time(params, &start_hint, &is_given, &ns, why));
    MG_TRY(take_time(params, &end_hint, &is_given, &ns, why));
    return take_bool(params, &trace_raw, raw, why);
}

enum mg_err v3_trace_parse(struct str query, bool *raw, struct mg_why *why)
{
    struct jaeger_params params;
    struct arena arena;

    arena_init(&arena);
    enum mg_err err = jaeger_params_read(query, &arena, &params, why);
    if (!err)
        err = trace_read(&params, raw, why);
    arena_fini(&arena);
    return err;
}

enum mg_err v3_operations_parse(struct str query, struct arena *arena, struct str *service_out,
                                struct str *kind, struct mg_why *why)
{
    struct jaeger_params params;

    MG_TRY(jaeger_params_read(query, arena, &params, why));
    *service_out = value_of(&params, &service);
    *kind = value_of(&params, &span_kind);
    return MG_OK;
}
