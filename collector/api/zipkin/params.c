/* params.c - the parameters that mean something are picked out of the query string in one pass,
 * then judged in the order in which Zipkin judges them, so that of two mistakes the same one is
 * told: what is no number first, what is out of range afterwards. */
#include "api/zipkin/params.h"

#include "base/bytes.h"
#include "base/map.h"
#include "codec/utf8.h"
#include "model/zipkin_write.h"

#define MS_US UINT64_C(1000)
#define US_NS UINT64_C(1000)

/* --- pairs ------------------------------------------------------------------------------------ */

enum param {
    PARAM_SERVICE,
    PARAM_REMOTE,
    PARAM_NAME,
    PARAM_ANNOTATIONS,
    PARAM_DURATION_MIN,
    PARAM_DURATION_MAX,
    PARAM_END,
    PARAM_LOOKBACK,
    PARAM_LIMIT,
    PARAM_KEY,
    PARAM_TRACE_IDS,
    PARAMS
};
static const char *const param_names[PARAMS] = {
    "serviceName", "remoteServiceName",
    "spanName",    "annotationQuery",
    "minDuration", "maxDuration",
    "endTs",       "lookback",
    "limit",       "key",
    "traceIds",
};

struct params {
    struct str at[PARAMS]; /* decoded, UTF-8; empty when absent */
    bool has[PARAMS];
};

struct str zipkin_name(struct arena *arena, struct str text)
{
    return zipkin_lower(arena, utf8_clean(text, arena));
}

static void take_pair(struct params *params, struct arena *arena, struct str name, struct str value)
{
    for (size_t i = 0; i < PARAMS; i++)
        if (!params->has[i] && str_eq(name, str_of(param_names[i]))) {
            params->at[i] = arena_str(arena, utf8_clean(value, arena));
            params->has[i] = true;
        }
}

static enum mg_err params_read(struct str query, struct arena *arena, struct params *out,
                               struct mg_why *why)
{
    struct str name, value;
    struct buf scratch;
    bool bad;

    *out = (struct params){0};
    for (size_t i = 0; i < PARAMS; i++)
        out->at[i] = STR("");
    buf_init(&scratch, query.len);
    while (http_query_next(&query, &scratch, &name, &value, &bad))
        take_pair(out, arena, name, value);
    buf_fini(&scratch);
    if (bad)
        return mg_fail(why, MG_E_FORMAT,
                       "malformed query string: a percent sign without two hex digits behind it");
    return MG_OK;
}

static enum mg_err missing(enum param param, struct mg_why *why)
{
    return mg_fail(why, MG_E_FORMAT, "Mandatory parameter/header/attribute is missing: %s",
                   param_names[param]);
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* Absent or empty: *out stays. */
static enum mg_err take_number(const struct params *params, enum param param, int64_t most,
                               int64_t *out, struct mg_why *why)
{
    struct str text = params->at[param], digits = text;
    int64_t number;

    if (text.len == 0)
        return MG_OK;
    if (text.len > 1 && text.ptr[0] == '+' && text.ptr[1] != '-')
        digits = str_n(text.ptr + 1, text.len - 1);
    if (str_i64(digits, &number) != MG_OK || number > most || number < -most - 1)
        return mg_fail(why, MG_E_FORMAT, "%s must be a whole number from %lld to %lld, not '%.*s'",
                       param_names[param], (long long)(-most - 1), (long long)most, STR_ARG(text));
    *out = number;
    return MG_OK;
}

struct numbers {
    int64_t end_ms, lookback_ms, limit, duration_min_us, duration_max_us;
    bool has_min, has_max;
};

static enum mg_err take_numbers(const struct params *params, const struct zipkin_defaults *defaults,
                                struct numbers *out, struct mg_why *why)
{
    *out = (struct numbers){
        .end_ms = (int64_t)MG_MIN(defaults->now_ms, (uint64_t)INT64_MAX),
        .lookback_ms = (int64_t)MG_MIN(defaults->lookback_ms, (uint64_t)INT64_MAX),
        .limit = (int64_t)MG_MIN(defaults->limit, defaults->limit_max),
        .has_min = params->at[PARAM_DURATION_MIN].len > 0,
        .has_max = params->at[PARAM_DURATION_MAX].len > 0,
    };
    MG_TRY(take_number(params, PARAM_DURATION_MIN, INT64_MAX, &out->duration_min_us, why));
    MG_TRY(take_number(params, PARAM_DURATION_MAX, INT64_MAX, &out->duration_max_us, why));
    MG_TRY(take_number(params, PARAM_END, INT64_MAX, &out->end_ms, why));
    MG_TRY(take_number(params, PARAM_LOOKBACK, INT64_MAX, &out->lookback_ms, why));
    return take_number(params, PARAM_LIMIT, INT32_MAX, &out->limit, why);
}

static enum mg_err judge_durations(const struct numbers *numbers, struct mg_why *why)
{
    if (!numbers->has_min && numbers->has_max)
        return mg_fail(why, MG_E_FORMAT, "maxDuration is only valid with minDuration");
    if (numbers->has_min && numbers->duration_min_us <= 0)
        return mg_fail(why, MG_E_FORMAT, "minDuration <= 0");
    if (numbers->has_max && numbers->duration_max_us < numbers->duration_min_us)
        return mg_fail(why, MG_E_FORMAT, "maxDuration < minDuration");
    return MG_OK;
}

static enum mg_err judge_numbers(const struct numbers *numbers,
                                 const struct zipkin_defaults *defaults, struct mg_why *why)
{
    if (numbers->end_ms <= 0)
        return mg_fail(why, MG_E_FORMAT, "endTs <= 0");
    if (numbers->limit <= 0)
        return mg_fail(why, MG_E_FORMAT, "limit <= 0");
    if (numbers->lookback_ms <= 0)
        return mg_fail(why, MG_E_FORMAT, "lookback <= 0");
    MG_TRY(judge_durations(numbers, why));
    if ((uint64_t)numbers->limit > defaults->limit_max)
        return mg_fail(why, MG_E_FORMAT, "limit %lld is above query.traces_max (%llu)",
                       (long long)numbers->limit, (unsigned long long)defaults->limit_max);
    return MG_OK;
}

/* a * b, or the largest number. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;

    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

static uint64_t begin_ms(const struct numbers *numbers)
{
    return numbers->end_ms > numbers->lookback_ms
               ? (uint64_t)(numbers->end_ms - numbers->lookback_ms)
               : 0;
}

/* --- annotationQuery -------------------------------------------------------------------------- */

/* As Java does it: everything up to the space. */
static struct str trim(struct str text)
{
    while (text.len && (uint8_t)text.ptr[0] <= ' ')
        text = str_n(text.ptr + 1, text.len - 1);
    while (text.len && (uint8_t)text.ptr[text.len - 1] <= ' ')
        text.len--;
    return text;
}

/* A key alone says less than the same key with a value, which it leaves in force. */
static void term_put(struct zipkin_search *search, struct zipkin_term term, bool is_word)
{
    for (size_t i = 0; i < search->n_terms; i++)
        if (str_eq(search->terms[i].key, term.key)) {
            if (!is_word)
                search->terms[i] = term;
            return;
        }
    search->terms[search->n_terms++] = term;
}

static void take_term(struct zipkin_search *search, struct str text)
{
    struct str key, value;
    bool is_word = !str_split_at(text, '=', &key, &value);

    if (is_word) {
        key = text;
        value = STR("");
    }
    term_put(search, (struct zipkin_term){trim(key), trim(value)}, is_word);
}

static void take_terms(struct zipkin_search *search, struct str text, struct arena *arena)
{
    const struct str separator = STR(" and ");
    size_t at;

    if (text.len == 0)
        return;
    search->terms = arena_alloc(arena, ZIPKIN_TERMS_MAX * sizeof *search->terms);
    for (size_t n = 1; n < ZIPKIN_TERMS_MAX && str_find(text, separator, &at); n++) {
        take_term(search, str_n(text.ptr, at));
        text = str_n(text.ptr + at + separator.len, text.len - at - separator.len);
    }
    take_term(search, text);
}

/* --- a search --------------------------------------------------------------------------------- */

enum mg_err zipkin_search_parse(struct str query, const struct zipkin_defaults *defaults,
                                struct arena *arena, struct zipkin_search *out, struct mg_why *why)
{
    struct numbers numbers;
    struct params params;

    MG_TRY(params_read(query, arena, &params, why));
    MG_TRY(take_numbers(&params, defaults, &numbers, why));
    MG_TRY(judge_numbers(&numbers, defaults, why));
    struct zipkin_search search = {
        .service = zipkin_name(arena, params.at[PARAM_SERVICE]),
        .remote = zipkin_name(arena, params.at[PARAM_REMOTE]),
        .name = zipkin_name(arena, params.at[PARAM_NAME]),
        .duration_min_us = (uint64_t)numbers.duration_min_us,
        .duration_max_us = numbers.has_max ? (uint64_t)numbers.duration_max_us : UINT64_MAX,
        .start_min_us = times(begin_ms(&numbers), MS_US),
        .start_max_us = times((uint64_t)numbers.end_ms, MS_US),
        .limit = (uint32_t)numbers.limit,
    };
    if (str_eq(search.name, STR("all")))
        search.name = STR("");
    take_terms(&search, params.at[PARAM_ANNOTATIONS], arena);
    *out = search;
    return MG_OK;
}

/* --- the other paths -------------------------------------------------------------------------- */

enum mg_err zipkin_window_parse(struct str query, const struct zipkin_defaults *defaults,
                                struct zipkin_window *out, struct mg_why *why)
{
    struct arena arena = {0};
    struct numbers numbers;
    struct params params;

    enum mg_err err = params_read(query, &arena, &params, why);
    if (!err && params.at[PARAM_END].len == 0)
        err = missing(PARAM_END, why);
    params.at[PARAM_LIMIT] = params.at[PARAM_DURATION_MIN] = params.at[PARAM_DURATION_MAX] =
        STR(""); /* unknown ones here */
    if (!err)
        err = take_numbers(&params, defaults, &numbers, why);
    if (!err)
        err = judge_numbers(&numbers, defaults, why);
    arena_fini(&arena);
    if (err)
        return err;
    out->from_ns = times(begin_ms(&numbers), MS_US * US_NS);
    out->to_ns = times((uint64_t)numbers.end_ms, MS_US * US_NS);
    return MG_OK;
}

static enum mg_err take_mandatory(struct str query, enum param param, struct arena *arena,
                                  struct str *out, struct mg_why *why)
{
    struct params params;

    MG_TRY(params_read(query, arena, &params, why));
    if (!params.has[param])
        return missing(param, why);
    *out = params.at[param];
    return MG_OK;
}

enum mg_err zipkin_service_parse(struct str query, struct arena *arena, struct str *service,
                                 struct mg_why *why)
{
    struct str text;

    MG_TRY(take_mandatory(query, PARAM_SERVICE, arena, &text, why));
    *service = zipkin_name(arena, text);
    return MG_OK;
}

enum mg_err zipkin_key_parse(struct str query, struct arena *arena, struct str *key,
                             struct mg_why *why)
{
    struct str text;

    MG_TRY(take_mandatory(query, PARAM_KEY, arena, &text, why));
    if (text.len == 0)
        return mg_fail(why, MG_E_FORMAT, "key was empty");
    *key = text;
    return MG_OK;
}

/* --- trace ids -------------------------------------------------------------------------------- */

static bool is_lower_hex(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!(text.ptr[i] >= '0' && text.ptr[i] <= '9') &&
            !(text.ptr[i] >= 'a' && text.ptr[i] <= 'f'))
            return false;
    return true;
}

/* Foreign bytes: what is no UTF-8 does not get into the sentence. */
static enum mg_err not_hex(struct str text, struct mg_why *why)
{
    struct arena arena = {0};

    text = utf8_clean(text, &arena);
    enum mg_err err =
        mg_fail(why, MG_E_FORMAT, "%.*s should be lower-hex encoded with no prefix", STR_ARG(text));
    arena_fini(&arena);
    return err;
}

enum mg_err zipkin_trace_id_parse(struct str text, uint8_t out[16], struct mg_why *why)
{
    if (text.len == 0)
        return mg_fail(why, MG_E_FORMAT, "traceId is empty");
    if (text.len > 32)
        return mg_fail(why, MG_E_FORMAT, "traceId.length > 32");
    if (!is_lower_hex(text))
        return not_hex(text, why);
    uint8_t id[16];
    if (!trace_id_parse(text, id)) /* of hex digits only zeros are none */
        return mg_fail(why, MG_E_FORMAT, "traceId is all zeros");
    memcpy(out, id, sizeof id);
    return MG_OK;
}

static enum mg_err put_trace_id(struct map *seen, struct str text, uint8_t out[16],
                                struct mg_why *why)
{
    bool is_new;

    MG_TRY(zipkin_trace_id_parse(text, out, why));
    (void)map_put(seen, str_n(out, 16), &is_new); /* only the key counts */
    return is_new ? MG_OK : mg_fail(why, MG_E_FORMAT, "redundant traceId: %.*s", STR_ARG(text));
}

static enum mg_err put_trace_ids(struct str text, uint8_t (*ids)[16], size_t n, struct map *seen,
                                 struct mg_why *why)
{
    for (size_t i = 0; i < n; i++) {
        struct str id, rest;
        if (!str_split_at(text, ',', &id, &rest)) {
            id = text;
            rest = STR("");
        }
        MG_TRY(put_trace_id(seen, id, ids[i], why));
        text = rest;
    }
    return MG_OK;
}

enum mg_err zipkin_trace_ids_parse(struct str query, struct arena *arena, uint8_t (**out)[16],
                                   size_t *n, struct mg_why *why)
{
    struct map seen = {0};
    struct str text;
    size_t count = 1;

    MG_TRY(take_mandatory(query, PARAM_TRACE_IDS, arena, &text, why));
    if (text.len == 0)
        return mg_fail(why, MG_E_FORMAT, "traceIds parameter is empty");
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    if (count > ZIPKIN_TRACES_MAX)
        return mg_fail(why, MG_E_FORMAT, "traceIds holds %zu ids, at most %d are answered at once",
                       count, ZIPKIN_TRACES_MAX);
    uint8_t(*ids)[16] = arena_alloc(arena, count * sizeof *ids);
    enum mg_err err = put_trace_ids(text, ids, count, &seen, why);
    map_fini(&seen);
    if (err)
        return err;
    if (count == 1)
        return mg_fail(why, MG_E_FORMAT,
                       "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace");
    *out = ids;
    *n = count;
    return MG_OK;
}

size_t zipkin_trace_id_text(const uint8_t id[16], char out[32])
{
    size_t skipped = get_le64(id) == 0 ? 8 : 0;

    hex_encode(id + skipped, 16 - skipped, out);
    return 2 * (16 - skipped);
}
