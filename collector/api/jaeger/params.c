/* params.c - the pairs are decoded once into a list, then taken one parameter after the other in
 * the order in which Jaeger looks at them, so that of two mistakes the same one is reported.
 *
 * Tags are a map in Jaeger: of two with one key the last counts, and those of `tags` come after
 * those of `tag`. A query of 64 KiB holds thousands, so they are found through a map here too. */
#include "api/jaeger/params.h"

#include "api/jaeger/go_text.h"
#include "api/jaeger/tags.h"
#include "base/vec.h"
#include "codec/base64.h"
#include "codec/json_read.h"
#include "codec/utf8.h"
#include "http/http.h"

#define US_NS            UINT64_C(1000)
#define DEFAULT_RANGE_NS (UINT64_C(2) * 24 * 3600 * 1000000000)

/* --- pairs
 * -------------------------------------------------------------------------------------------- */

struct str jaeger_text(struct str text, struct arena *arena)
{
    struct str clean = utf8_clean(text, arena);

    return clean.ptr == text.ptr ? arena_str(arena, text) : clean;
}

enum mg_err jaeger_params_read(struct str query, struct arena *arena, struct jaeger_params *out,
                               struct mg_why *why)
{
    size_t room = 1, n = 0;
    struct str name, value;
    struct buf scratch;
    bool bad;

    for (size_t i = 0; i < query.len; i++)
        room += query.ptr[i] == '&';
    struct jaeger_param *at = arena_alloc(arena, room * sizeof *at);
    buf_init(&scratch, query.len);
    while (http_query_next(&query, &scratch, &name, &value, &bad))
        at[n++] = (struct jaeger_param){jaeger_text(name, arena), jaeger_text(value, arena)};
    buf_fini(&scratch);
    if (bad)
        return mg_fail(why, MG_E_FORMAT,
                       "malformed query string: a percent sign without two hex digits behind it");
    *out = (struct jaeger_params){at, n};
    return MG_OK;
}

struct str jaeger_param(const struct jaeger_params *params, const char *name)
{
    for (size_t i = 0; i < params->n; i++)
        if (str_eq(params->at[i].name, str_of(name)))
            return params->at[i].value;
    return STR("");
}

bool jaeger_is_pretty(struct str query)
{
    struct str name, value, found = STR("");
    bool bad, is_found = false;
    struct buf scratch;

    buf_init(&scratch, query.len);
    while (!is_found && (http_query_next(&query, &scratch, &name, &value, &bad) || bad)) {
        is_found = !bad && str_eq(name, STR("prettyPrint"));
        if (is_found)
            found = value;
    }
    bool is_pretty = found.len && !str_eq(found, STR("false"));
    buf_fini(&scratch);
    return is_pretty;
}

/* --- single parameters
 * -------------------------------------------------------------------------------- */

static enum mg_err param_fail(struct mg_why *why, const char *name)
{
    return mg_fail_in(why, MG_E_FORMAT, "unable to parse param '%s'", name);
}

/* Microseconds since 1970 to nanoseconds; `less_ns` within the last microsecond. Absent: *ns stays.
 */
static enum mg_err take_time(const struct jaeger_params *params, const char *name, uint64_t less_ns,
                             bool *is_given, uint64_t *ns, struct mg_why *why)
{
    struct str text = jaeger_param(params, name);
    int64_t us;

    *is_given = text.len > 0;
    if (!*is_given)
        return MG_OK;
    if (go_int_parse(text, 64, &us, why) != MG_OK)
        return param_fail(why, name);
    if (us < 0)
        *ns = 0;
    else
        *ns = (uint64_t)us > (UINT64_MAX - less_ns) / US_NS ? UINT64_MAX
                                                            : (uint64_t)us * US_NS + less_ns;
    return MG_OK;
}

uint64_t jaeger_start_default(uint64_t now_ns, uint64_t end_ns)
{
    uint64_t before_ns = MG_MIN(now_ns, end_ns);

    return before_ns > DEFAULT_RANGE_NS ? before_ns - DEFAULT_RANGE_NS : 0;
}

static enum mg_err take_window(const struct jaeger_params *params, uint64_t now_ns,
                               struct span_filter *filter, struct mg_why *why)
{
    uint64_t start_ns = 0, end_ns = now_ns;
    bool has_start, has_end;

    MG_TRY(take_time(params, "start", 0, &has_start, &start_ns, why));
    MG_TRY(take_time(params, "end", US_NS - 1, &has_end, &end_ns, why));
    filter->start_min_ns = has_start ? start_ns : jaeger_start_default(now_ns, end_ns);
    filter->start_max_ns = end_ns;
    return MG_OK;
}

static enum mg_err take_duration(const struct jaeger_params *params, const char *name, int64_t *ns,
                                 struct mg_why *why)
{
    struct str text = jaeger_param(params, name);

    *ns = 0;
    if (text.len && go_duration_parse(text, ns, why) != MG_OK)
        return param_fail(why, name);
    return MG_OK;
}

/* Nothing is shorter than a negative bound. */
void jaeger_durations_set(struct span_filter *filter, int64_t min_ns, int64_t max_ns)
{
    filter->duration_min_ns = min_ns > 0 ? (uint64_t)min_ns : 0;
    filter->duration_max_ns = max_ns > 0 ? (uint64_t)max_ns : UINT64_MAX;
    if (max_ns < 0) {
        filter->duration_min_ns = 1;
        filter->duration_max_ns = 0;
    }
}

static enum mg_err take_raw(const struct jaeger_params *params, bool *raw, struct mg_why *why)
{
    struct str text = jaeger_param(params, "raw");

    *raw = false;
    if (text.len && go_bool_parse(text, raw, why) != MG_OK)
        return param_fail(why, "raw");
    return MG_OK;
}

static enum mg_err take_limit(const struct jaeger_params *params, int64_t *limit,
                              struct mg_why *why)
{
    struct str text = jaeger_param(params, "limit");

    *limit = JAEGER_LIMIT_DEFAULT;
    return text.len ? go_int_parse(text, 32, limit, why) : MG_OK;
}

enum mg_err jaeger_trace_parse(struct str query, bool *raw, struct mg_why *why)
{
    struct jaeger_params params;
    struct span_filter hints;
    struct arena arena;

    arena_init(&arena);
    enum mg_err err = jaeger_params_read(query, &arena, &params, why);
    if (!err)
        err = take_window(&params, 0, &hints, why);
    if (!err)
        err = take_raw(&params, raw, why);
    arena_fini(&arena);
    return err;
}

/* --- tags
 * --------------------------------------------------------------------------------------------- */

void jaeger_tag_put(struct jaeger_tag_set *set, struct str key, struct str value)
{
    bool is_new;
    void **place = map_put(&set->places, key, &is_new);

    if (is_new) {
        VEC_PUSH(&set->list, ((struct filter_tag){.key = key, .value = value}));
        *place = (void *)(uintptr_t)set->list.n;
    } else {
        set->list.at[(uintptr_t)*place - 1].value = value;
    }
}

static enum mg_err json_fail(struct mg_why *why, const char *detail)
{
    return mg_fail(why, MG_E_FORMAT, "%s", detail);
}

static enum mg_err type_fail(struct mg_why *why, const struct json_reader *reader,
                             enum json_token token, const char *wanted)
{
    const char *found = token == JSON_TOKEN_OBJECT                              ? "object"
                        : token == JSON_TOKEN_ARRAY                             ? "array"
                        : token == JSON_TOKEN_STRING                            ? "string"
                        : token == JSON_TOKEN_NUMBER                            ? "number"
                        : token == JSON_TOKEN_TRUE || token == JSON_TOKEN_FALSE ? "bool"
                                                                                : NULL;

    if (!found)
        return json_fail(why, json_reader_error(reader)[0] ? json_reader_error(reader)
                                                           : "unexpected end of JSON input");
    return mg_fail(why, MG_E_FORMAT, "json: cannot unmarshal %s into Go value of type %s", found,
                   wanted);
}

static enum mg_err members_read(struct json_reader *reader, struct jaeger_tag_set *set,
                                struct arena *arena, struct mg_why *why)
{
    enum json_token token;

    while ((token = json_next(reader)) == JSON_TOKEN_KEY) {
        struct str key = arena_str(arena, json_text(reader)), value = STR("");
        token = json_next(reader);
        if (token == JSON_TOKEN_STRING)
            value = arena_str(arena, json_text(reader));
        else if (token != JSON_TOKEN_NULL) /* which Go reads as an empty string */
            return type_fail(why, reader, token, "string");
        jaeger_tag_put(set, key, value);
    }
    return token == JSON_TOKEN_OBJECT_END ? MG_OK : json_fail(why, json_reader_error(reader));
}

static enum mg_err json_tags_read(struct str text, struct jaeger_tag_set *set, struct arena *arena,
                                  struct mg_why *why)
{
    MG_AUTO(json_reader_free) struct json_reader *reader = json_reader_new(4);

    json_reader_begin(reader, text);
    enum json_token token = json_next(reader);
    if (token == JSON_TOKEN_OBJECT)
        MG_TRY(members_read(reader, set, arena, why));
    else if (token != JSON_TOKEN_NULL)
        return type_fail(why, reader, token, "map[string]string");
    if (json_next(reader) != JSON_TOKEN_END)
        return json_fail(why, json_reader_error(reader));
    return MG_OK;
}

static enum mg_err tags_read(const struct jaeger_params *params, struct jaeger_tag_set *set,
                             struct arena *arena, struct mg_why *why)
{
    for (size_t i = 0; i < params->n; i++) {
        struct str text = params->at[i].value, key, value;
        if (!str_eq(params->at[i].name, STR("tag")))
            continue;
        if (!str_split_at(text, ':', &key, &value))
            return mg_fail(why, MG_E_FORMAT,
                           "malformed 'tag' parameter, expecting key:value, received: %.*s",
                           STR_ARG(text));
        jaeger_tag_put(set, key, value);
    }
    for (size_t i = 0; i < params->n; i++) {
        if (str_eq(params->at[i].name, STR("where"))) {
            struct filter_tag condition;
            MG_TRY(filter_where_parse(params->at[i].value, &condition, why));
            VEC_PUSH(&set->list, condition);
        }
        if (str_eq(params->at[i].name, STR("tags")) &&
            json_tags_read(params->at[i].value, set, arena, why) != MG_OK)
            return mg_fail_in(why, MG_E_FORMAT,
                              "malformed 'tags' parameter, cannot unmarshal JSON");
    }
    return MG_OK;
}

void jaeger_tag_set_end(struct jaeger_tag_set *set, struct span_filter *filter, struct arena *arena)
{
    if (filter && set->list.n) {
        struct filter_tag *tags = arena_alloc(arena, set->list.n * sizeof *tags);
        memcpy(tags, set->list.at, set->list.n * sizeof *tags);
        filter->tags = tags;
        filter->n_tags = set->list.n;
    }
    VEC_FINI(&set->list);
    map_fini(&set->places);
}

static enum mg_err take_tags(const struct jaeger_params *params, struct arena *arena,
                             struct span_filter *filter, struct mg_why *why)
{
    struct jaeger_tag_set set = {0};
    enum mg_err err = tags_read(params, &set, arena, why);

    jaeger_tag_set_end(&set, err ? NULL : filter, arena);
    return err;
}

enum mg_err jaeger_tags_json(struct str text, struct arena *arena, struct span_filter *filter,
                             struct mg_why *why)
{
    struct jaeger_tag_set set = {0};
    enum mg_err err = json_tags_read(text, &set, arena, why);

    jaeger_tag_set_end(&set, err ? NULL : filter, arena);
    return err;
}

/* --- trace ids
 * ---------------------------------------------------------------------------------------- */

static bool base64_id(struct str text, uint8_t id[16])
{
    struct buf bytes;

    if (text.len != 24 || !str_ends(text, STR("==")) || memchr(text.ptr, '-', text.len) ||
        memchr(text.ptr, '_', text.len))
        return false;
    buf_init(&bytes, 18);
    bool is_id = base64_decode(text, &bytes) == MG_OK && bytes.len == 16;
    if (is_id)
        memcpy(id, bytes.ptr, 16);
    buf_fini(&bytes);
    return is_id;
}

enum mg_err jaeger_id_parse(struct str text, uint8_t id[16], struct mg_why *why)
{
    size_t n_high = text.len > 16 ? text.len - 16 : 0;
    uint64_t high = 0, low;

    if (base64_id(text, id))
        return MG_OK;
    if (text.len > 32)
        return mg_fail(why, MG_E_FORMAT, "TraceID cannot be longer than 32 hex characters: %.*s",
                       STR_ARG(text));
    if (n_high)
        MG_TRY(go_hex_parse(str_n(text.ptr, n_high), &high, why));
    MG_TRY(go_hex_parse(str_n(text.ptr + n_high, text.len - n_high), &low, why));
    put_be64(id, high);
    put_be64(id + 8, low);
    return MG_OK;
}

size_t jaeger_id_text(const uint8_t id[16], char text[32])
{
    size_t skipped = get_le64(id) == 0 ? 8 : 0;

    hex_encode(id + skipped, 16 - skipped, text);
    return 2 * (16 - skipped);
}

static enum mg_err ids_read(const struct jaeger_params *params, uint64_t traces_max,
                            struct map *seen, struct jaeger_search *out, struct mg_why *why)
{
    for (size_t i = 0; i < params->n; i++) {
        uint8_t *id = out->trace_ids[out->n_trace_ids];
        bool is_new;
        if (!str_eq(params->at[i].name, STR("traceID")))
            continue;
        if (jaeger_id_parse(params->at[i].value, id, why) != MG_OK)
            return mg_fail_in(why, MG_E_FORMAT, "cannot parse traceID param");
        (void)map_put(seen, str_n(id, 16), &is_new); /* only the key counts */
        out->n_trace_ids += is_new;
        if (out->n_trace_ids > traces_max)
            return mg_fail(why, MG_E_FORMAT,
                           "more 'traceID' parameters than query.traces_max (%llu)",
                           (unsigned long long)traces_max);
    }
    return MG_OK;
}

static enum mg_err take_ids(const struct jaeger_params *params, uint64_t traces_max,
                            struct jaeger_search *out, struct mg_why *why)
{
    struct map seen = {0};

    out->trace_ids = arena_alloc(&out->arena, (params->n + 1) * sizeof *out->trace_ids);
    enum mg_err err = ids_read(params, traces_max, &seen, out, why);
    map_fini(&seen);
    return err;
}

/* --- the search
 * --------------------------------------------------------------------------------------- */

struct str jaeger_wanted(struct str name)
{
    return name.len ? name : (struct str){NULL, 0};
}

enum mg_err jaeger_limit_check(const char *name, int64_t limit, uint64_t traces_max,
                               struct mg_why *why)
{
    if (limit <= 0)
        return mg_fail(why, MG_E_INTERNAL,
                       "search depth must be greater than 0 and less than max traces");
    if ((uint64_t)limit > traces_max)
        return mg_fail(why, MG_E_FORMAT, "'%s' %lld is above query.traces_max (%llu)", name,
                       (long long)limit, (unsigned long long)traces_max);
    return MG_OK;
}

static enum mg_err search_read(const struct jaeger_params *params, uint64_t now_ns,
                               uint64_t traces_max, struct jaeger_search *out, struct mg_why *why)
{
    struct span_filter *filter = &out->search.filter;
    int64_t limit, min_ns, max_ns;

    filter->service = jaeger_wanted(jaeger_param(params, "service"));
    filter->operation = jaeger_wanted(jaeger_param(params, "operation"));
    MG_TRY(take_window(params, now_ns, filter, why));
    MG_TRY(take_tags(params, &out->arena, filter, why));
    MG_TRY(take_limit(params, &limit, why));
    MG_TRY(take_duration(params, "minDuration", &min_ns, why));
    MG_TRY(take_duration(params, "maxDuration", &max_ns, why));
    MG_TRY(take_raw(params, &out->raw, why));
    MG_TRY(take_ids(params, traces_max, out, why));
    if (min_ns && max_ns && max_ns < min_ns)
        return mg_fail(why, MG_E_FORMAT, "'maxDuration' should be greater than 'minDuration'");
    jaeger_durations_set(filter, min_ns, max_ns);
    if (out->n_trace_ids == 0)
        MG_TRY(jaeger_limit_check("limit", limit, traces_max, why));
    out->search.limit = limit > 0 ? (uint32_t)limit : 0;
    return MG_OK;
}

enum mg_err jaeger_search_parse(struct str query, uint64_t now_ns, uint64_t traces_max,
                                struct jaeger_search *out, struct mg_why *why)
{
    struct jaeger_search search = {0};
    struct jaeger_params params;

    enum mg_err err = jaeger_params_read(query, &search.arena, &params, why);
    if (!err)
        err = search_read(&params, now_ns, traces_max, &search, why);
    if (err) {
        jaeger_search_fini(&search);
        return err;
    }
    *out = search;
    return MG_OK;
}

void jaeger_search_fini(struct jaeger_search *search)
{
    arena_fini(&search->arena);
    *search = (struct jaeger_search){0};
}
