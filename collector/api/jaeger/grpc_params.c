/* grpc_params.c - a message is checked against its shape first, all levels at once; what reads it
 * afterwards walks it and cannot fail. Fields that are given several times are read as protobuf
 * does: the last one counts, messages are merged. */
#include "api/jaeger/grpc_params.h"

#include "model/wire.h"

#define SECOND_NS  1000000000
#define DEPTH_MAX  8
#define ID_BYTES   16
#define HALF_BYTES 8

/* --- shapes
 * ------------------------------------------------------------------------------------------- */

#define SHAPE(name_, ...)                                                                          \
    static const struct wire_shape_field name_##_shape_fields[] = {__VA_ARGS__};                   \
    static const struct wire_shape name_##_shape = {#name_, name_##_shape_fields,                  \
                                                    MG_COUNT(name_##_shape_fields), false}
#define FIELD(name_, kind_)                                                                        \
    {                                                                                              \
        .name = #name_, .kind = WIRE_KIND_##kind_                                                  \
    }
#define MESSAGE(name_, shape_)                                                                     \
    {                                                                                              \
        .name = #name_, .kind = WIRE_KIND_MESSAGE, .message = &shape_##_shape                      \
    }

SHAPE(moment, FIELD(seconds, INT64), FIELD(nanos, INT32)); /* Timestamp and Duration */
SHAPE(entry, FIELD(key, STRING), FIELD(value, STRING));
SHAPE(trace, FIELD(traceId, BYTES), MESSAGE(startTime, moment), MESSAGE(endTime, moment),
      FIELD(rawTraces, BOOL)); /* v3's id is a string, which is the same on the wire */
SHAPE(query, FIELD(serviceName, STRING), FIELD(operationName, STRING), MESSAGE(tags, entry),
      MESSAGE(startTimeMin, moment), MESSAGE(startTimeMax, moment), MESSAGE(durationMin, moment),
      MESSAGE(durationMax, moment), FIELD(searchDepth, INT32), FIELD(rawTraces, BOOL));
SHAPE(search, MESSAGE(query, query));
SHAPE(operations, FIELD(service, STRING), FIELD(spanKind, STRING));
SHAPE(dependencies, MESSAGE(startTime, moment), MESSAGE(endTime, moment));
static const struct wire_shape nothing_shape = {"nothing", NULL, 0, false};

static enum mg_err check(struct str message, const struct wire_shape *shape, struct mg_why *why)
{
    if (wire_check(message, shape, DEPTH_MAX) == WIRE_FINE)
        return MG_OK;
    return mg_fail(why, MG_E_FORMAT,
                   "malformed request: it is no protobuf message, or a field has another type");
}

/* --- times
 * -------------------------------------------------------------------------------------------- */

struct moment {
    bool is_given;
    int64_t seconds;
    int32_t nanos;
};

static void take_moment(struct str message, struct moment *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    out->is_given = true;
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            out->seconds = (int64_t)field.value;
        if (field.number == 2)
            out->nanos = (int32_t)field.value;
    }
}

static enum mg_err time_ns(const struct moment *moment, const char *name, uint64_t *ns,
                           struct mg_why *why)
{
    if (moment->nanos < 0 || moment->nanos >= SECOND_NS)
        return mg_fail(why, MG_E_FORMAT, "%s: nanos must be 0 to 999999999", name);
    if (moment->seconds < 0)
        *ns = 0;
    else if ((uint64_t)moment->seconds >= UINT64_MAX / SECOND_NS)
        *ns = UINT64_MAX;
    else
        *ns = (uint64_t)moment->seconds * SECOND_NS + (uint64_t)moment->nanos;
    return MG_OK;
}

/* What does not fit is the longest there is. */
static enum mg_err duration_ns(const struct moment *moment, const char *name, int64_t *ns,
                               struct mg_why *why)
{
    int64_t seconds = moment->seconds, nanos = moment->nanos;

    if (nanos <= -SECOND_NS || nanos >= SECOND_NS)
        return mg_fail(why, MG_E_FORMAT, "%s: nanos must be within a second", name);
    if ((seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0))
        return mg_fail(why, MG_E_FORMAT, "%s: seconds and nanos must have one sign", name);
    if (seconds >= INT64_MAX / SECOND_NS)
        *ns = INT64_MAX;
    else if (seconds <= INT64_MIN / SECOND_NS)
        *ns = INT64_MIN;
    else
        *ns = seconds * SECOND_NS + nanos;
    return MG_OK;
}

/* --- ends
 * --------------------------------------------------------------------------------------------- */

enum mg_err grpc_read_nothing(struct str message, const struct grpc_limits *limits,
                              struct grpc_asked *out, struct mg_why *why)
{
    (void)limits;
    MG_TRY(check(message, &nothing_shape, why));
    *out = (struct grpc_asked){0};
    return MG_OK;
}

/* `read` fills an asked that is the caller's only when nothing failed. */
static enum mg_err guarded(enum mg_err err, struct grpc_asked *asked, struct grpc_asked *out)
{
    if (err)
        jaeger_search_fini(&asked->search);
    else
        *out = *asked;
    return err;
}

/* --- one trace
 * ---------------------------------------------------------------------------------------- */

struct trace_fields {
    struct str id;
    struct moment start, end;
    bool raw;
};

static enum mg_err take_trace(struct str message, struct trace_fields *out, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    uint64_t ns;

    MG_TRY(check(message, &trace_shape, why));
    *out = (struct trace_fields){.id = STR("")};
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            out->id = field.bytes;
        if (field.number == 2)
            take_moment(field.bytes, &out->start);
        if (field.number == 3)
            take_moment(field.bytes, &out->end);
        if (field.number == 4)
            out->raw = field.value != 0;
    }
    MG_TRY(time_ns(&out->start, "start_time", &ns, why));
    return time_ns(&out->end, "end_time", &ns, why);
}

static void give_trace(const uint8_t id[ID_BYTES], bool raw, struct grpc_asked *out)
{
    *out = (struct grpc_asked){.search = {.raw = raw, .n_trace_ids = 1}};
    out->search.trace_ids = arena_alloc(&out->search.arena, sizeof *out->search.trace_ids);
    memcpy(out->search.trace_ids[0], id, ID_BYTES);
}

enum mg_err grpc_read_v2_trace(struct str message, const struct grpc_limits *limits,
                               struct grpc_asked *out, struct mg_why *why)
{
    uint8_t id[ID_BYTES] = {0};
    struct trace_fields fields;

    (void)limits;
    MG_TRY(take_trace(message, &fields, why));
    if (fields.id.len != 0 && fields.id.len != ID_BYTES && fields.id.len != HALF_BYTES)
        return mg_fail(why, MG_E_FORMAT, "a trace id has 16 bytes, or 8; this one has %zu",
                       fields.id.len);
    if (fields.id.len)
        memcpy(id + ID_BYTES - fields.id.len, fields.id.ptr, fields.id.len);
    if (get_le64(id) == 0 && get_le64(id + HALF_BYTES) == 0)
        return mg_fail(why, MG_E_FORMAT, "uninitialized TraceID is not allowed");
    give_trace(id, fields.raw, out);
    return MG_OK;
}

enum mg_err grpc_read_v3_trace(struct str message, const struct grpc_limits *limits,
                               struct grpc_asked *out, struct mg_why *why)
{
    struct trace_fields fields;
    uint8_t id[ID_BYTES];

    (void)limits;
    MG_TRY(take_trace(message, &fields, why));
    if (jaeger_id_parse(fields.id, id, why) != MG_OK)
        return mg_fail_in(why, MG_E_FORMAT, "malform trace ID");
    give_trace(id, fields.raw, out);
    return MG_OK;
}

/* --- searches
 * ----------------------------------------------------------------------------------------- */

struct query_fields {
    bool is_given, raw, has_filter;
    struct str service, operation;
    struct jaeger_tag_set tags;
    struct moment start_min, start_max, duration_min, duration_max;
    int32_t depth;
};

static void take_entry(struct str message, struct jaeger_tag_set *tags, struct arena *arena)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct str key = STR(""), value = STR("");
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            key = field.bytes;
        if (field.number == 2)
            value = field.bytes;
    }
    jaeger_tag_put(tags, jaeger_text(key, arena), jaeger_text(value, arena));
}

static void take_query_field(const struct wire_field *field, struct query_fields *q,
                             struct arena *arena)
{
    switch (field->number) {
    case 1:
        q->service = field->bytes;
        break;
    case 2:
        q->operation = field->bytes;
        break;
    case 3:
        take_entry(field->bytes, &q->tags, arena);
        break;
    case 4:
        take_moment(field->bytes, &q->start_min);
        break;
    case 5:
        take_moment(field->bytes, &q->start_max);
        break;
    case 6:
        take_moment(field->bytes, &q->duration_min);
        break;
    case 7:
        take_moment(field->bytes, &q->duration_max);
        break;
    case 8:
        q->depth = (int32_t)field->value;
        break;
    case 9:
        q->raw = field->value != 0;
        break;
    case 10:
        q->has_filter = true;
        break;
    }
}

static void take_queries(struct str message, struct query_fields *q, struct arena *arena)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field, member;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number != 1)
            continue;
        const uint8_t *p = wire_begin(field.bytes), *stop = wire_end(field.bytes);
        q->is_given = true;
        while (wire_next(&p, stop, &member) == 1)
            take_query_field(&member, q, arena);
    }
}

/* What both services ask alike; the window is theirs. */
static enum mg_err give_search(const struct query_fields *q, const struct grpc_limits *limits,
                               struct jaeger_search *out, struct mg_why *why)
{
    struct span_filter *filter = &out->search.filter;
    int64_t depth = q->depth, min_ns, max_ns;

    filter->service = jaeger_wanted(jaeger_text(q->service, &out->arena));
    filter->operation = jaeger_wanted(jaeger_text(q->operation, &out->arena));
    if (depth == 0)
        depth = (int64_t)MG_MIN(limits->traces_max, (uint64_t)GRPC_DEPTH_DEFAULT);
    MG_TRY(jaeger_limit_check("search_depth", depth, limits->traces_max, why));
    MG_TRY(duration_ns(&q->duration_min, "duration_min", &min_ns, why));
    MG_TRY(duration_ns(&q->duration_max, "duration_max", &max_ns, why));
    jaeger_durations_set(filter, min_ns, max_ns);
    out->search.limit = (uint32_t)depth;
    out->raw = q->raw;
    return MG_OK;
}

static enum mg_err v2_window(const struct query_fields *q, const struct grpc_limits *limits,
                             struct span_filter *filter, struct mg_why *why)
{
    MG_TRY(time_ns(&q->start_min, "start_time_min", &filter->start_min_ns, why));
    MG_TRY(time_ns(&q->start_max, "start_time_max", &filter->start_max_ns, why));
    if (!q->start_max.is_given)
        filter->start_max_ns = limits->now_ns;
    if (!q->start_min.is_given)
        filter->start_min_ns = jaeger_start_default(limits->now_ns, filter->start_max_ns);
    return MG_OK;
}

static enum mg_err v3_window(const struct query_fields *q, const struct grpc_limits *limits,
                             struct span_filter *filter, struct mg_why *why)
{
    (void)limits;
    if (!q->start_min.is_given || !q->start_max.is_given)
        return mg_fail(why, MG_E_FORMAT, "start time min and max are required parameters");
    MG_TRY(time_ns(&q->start_min, "start_time_min", &filter->start_min_ns, why));
    MG_TRY(time_ns(&q->start_max, "start_time_max", &filter->start_max_ns, why));
    if (filter->start_min_ns >= filter->start_max_ns)
        return mg_fail(why, MG_E_FORMAT, "start_time_min must be before start_time_max");
    if (q->has_filter)
        return mg_fail(why, MG_E_FORMAT,
                       "filter: structured filters are not read here, use attributes");
    return MG_OK;
}

typedef enum mg_err window_fn(const struct query_fields *q, const struct grpc_limits *limits,
                              struct span_filter *filter, struct mg_why *why);

static enum mg_err read_search(struct str message, const struct grpc_limits *limits,
                               window_fn *window, struct grpc_asked *out, struct mg_why *why)
{
    struct grpc_asked asked = {0};
    struct query_fields q = {.service = STR(""), .operation = STR("")};
    struct span_filter *filter = &asked.search.search.filter;

    MG_TRY(check(message, &search_shape, why));
    take_queries(message, &q, &asked.search.arena);
    enum mg_err err = q.is_given ? MG_OK : mg_fail(why, MG_E_FORMAT, "missing query");
    if (!err)
        err = window(&q, limits, filter, why);
    if (!err)
        err = give_search(&q, limits, &asked.search, why);
    jaeger_tag_set_end(&q.tags, err ? NULL : filter, &asked.search.arena);
    return guarded(err, &asked, out);
}

enum mg_err grpc_read_v2_search(struct str message, const struct grpc_limits *limits,
                                struct grpc_asked *out, struct mg_why *why)
{
    return read_search(message, limits, v2_window, out, why);
}

enum mg_err grpc_read_v3_search(struct str message, const struct grpc_limits *limits,
                                struct grpc_asked *out, struct mg_why *why)
{
    return read_search(message, limits, v3_window, out, why);
}

/* --- operations
 * --------------------------------------------------------------------------------------- */

enum mg_err grpc_read_v2_operations(struct str message, const struct grpc_limits *limits,
                                    struct grpc_asked *out, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct str service = STR(""), kind = STR("");
    struct wire_field field;

    (void)limits;
    MG_TRY(check(message, &operations_shape, why));
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            service = field.bytes;
        if (field.number == 2)
            kind = field.bytes;
    }
    *out = (struct grpc_asked){0};
    out->service = jaeger_text(service, &out->search.arena);
    out->kind = jaeger_text(kind, &out->search.arena);
    return MG_OK;
}

enum mg_err grpc_read_v3_operations(struct str message, const struct grpc_limits *limits,
                                    struct grpc_asked *out, struct mg_why *why)
{
    struct grpc_asked asked;

    MG_TRY(grpc_read_v2_operations(message, limits, &asked, why));
    enum mg_err err = asked.service.len ? MG_OK : mg_fail(why, MG_E_FORMAT, "service is required");
    return guarded(err, &asked, out);
}

/* --- dependencies
 * ------------------------------------------------------------------------------------- */

struct window_fields {
    struct moment start, end;
};

static enum mg_err take_window(struct str message, struct window_fields *out, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    MG_TRY(check(message, &dependencies_shape, why));
    *out = (struct window_fields){0};
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            take_moment(field.bytes, &out->start);
        if (field.number == 2)
            take_moment(field.bytes, &out->end);
    }
    return MG_OK;
}

static enum mg_err give_window(const struct window_fields *fields, struct grpc_asked *out,
                               struct mg_why *why)
{
    struct grpc_asked asked = {0};
    struct span_filter *filter = &asked.search.search.filter;

    MG_TRY(time_ns(&fields->start, "start_time", &filter->start_min_ns, why));
    MG_TRY(time_ns(&fields->end, "end_time", &filter->start_max_ns, why));
    *out = asked;
    return MG_OK;
}

enum mg_err grpc_read_v2_dependencies(struct str message, const struct grpc_limits *limits,
                                      struct grpc_asked *out, struct mg_why *why)
{
    struct window_fields fields;

    (void)limits;
    MG_TRY(take_window(message, &fields, why));
    if (!fields.start.is_given || !fields.end.is_given)
        return mg_fail(why, MG_E_FORMAT, "StartTime and EndTime must be initialized.");
    return give_window(&fields, out, why);
}

enum mg_err grpc_read_v3_dependencies(struct str message, const struct grpc_limits *limits,
                                      struct grpc_asked *out, struct mg_why *why)
{
    struct window_fields fields;
    struct grpc_asked asked;

    (void)limits;
    MG_TRY(take_window(message, &fields, why));
    if (!fields.start.is_given)
        return mg_fail(why, MG_E_FORMAT, "start_time is required");
    if (!fields.end.is_given)
        return mg_fail(why, MG_E_FORMAT, "end_time is required");
    MG_TRY(give_window(&fields, &asked, why));
    if (asked.search.search.filter.start_max_ns <= asked.search.search.filter.start_min_ns)
        return mg_fail(why, MG_E_FORMAT, "end_time must be after start_time");
    *out = asked;
    return MG_OK;
}
