/* jaeger_proto.c - jaeger.api_v2's messages (jaeger.md 2.6) into raw spans.
 *
 * The whole body is compared with its shape first, so what reads fields here meets none that is cut
 * or of another wire type. A message field given twice is not joined, as protobuf would: the last
 * one counts. Nobody writes it so. */
#include "model/jaeger_read.h"

#include <assert.h>

#define DEPTH_MAX 8 /* request, batch, span, log, tag: five are there */
#define NS_PER_S  1000000000

enum value_number { NUMBER_STRING, NUMBER_BOOL, NUMBER_INT64, NUMBER_FLOAT64, NUMBER_BINARY };
enum { CHILD_OF = 0 };

/* --- shapes: a row's place is its field number --------------------------------------------- */

/* clang-format off */
#define ONE(name, kind)       { name, WIRE_KIND_##kind, false, NULL, NULL }
#define MANY(name, kind)      { name, WIRE_KIND_##kind, true, NULL, NULL }
#define MESSAGE(name, shape)  { name, WIRE_KIND_MESSAGE, false, &shape, NULL }
#define MESSAGES(name, shape) { name, WIRE_KIND_MESSAGE, true, &shape, NULL }
#define SHAPE(name, rows)     { name, rows, MG_COUNT(rows), false }
/* clang-format on */

static const struct wire_shape_field time_rows[] = { ONE("seconds", INT64), ONE("nanos", INT32) };
static const struct wire_shape time_shape = SHAPE("Timestamp", time_rows); /* and Duration */

static const struct wire_shape_field tag_rows[] = {
    ONE("key", STRING),   ONE("vType", INT32),     ONE("vStr", STRING),   ONE("vBool", BOOL),
    ONE("vInt64", INT64), ONE("vFloat64", DOUBLE), ONE("vBinary", BYTES),
};
static const struct wire_shape tag_shape = SHAPE("KeyValue", tag_rows);

static const struct wire_shape_field log_rows[] = { MESSAGE("timestamp", time_shape),
                                                    MESSAGES("fields", tag_shape) };
static const struct wire_shape log_shape = SHAPE("Log", log_rows);

static const struct wire_shape_field ref_rows[] = { ONE("traceId", BYTES), ONE("spanId", BYTES),
                                                    ONE("refType", INT32) };
static const struct wire_shape ref_shape = SHAPE("SpanRef", ref_rows);

static const struct wire_shape_field process_rows[] = { ONE("serviceName", STRING),
                                                        MESSAGES("tags", tag_shape) };
static const struct wire_shape process_shape = SHAPE("Process", process_rows);

static const struct wire_shape_field span_rows[] = {
    ONE("traceId", BYTES),
    ONE("spanId", BYTES),
    ONE("operationName", STRING),
    MESSAGES("references", ref_shape),
    ONE("flags", UINT32),
    MESSAGE("startTime", time_shape),
    MESSAGE("duration", time_shape),
    MESSAGES("tags", tag_shape),
    MESSAGES("logs", log_shape),
    MESSAGE("process", process_shape),
    ONE("processId", STRING),
    MANY("warnings", STRING),
};
static const struct wire_shape span_shape = SHAPE("Span", span_rows);

static const struct wire_shape_field batch_rows[] = { MESSAGES("spans", span_shape),
                                                      MESSAGE("process", process_shape) };
static const struct wire_shape batch_shape = SHAPE("Batch", batch_rows);

static const struct wire_shape_field request_rows[] = { MESSAGE("batch", batch_shape) };
static const struct wire_shape request_shape = SHAPE("PostSpansRequest", request_rows);

/* --- parts --------------------------------------------- */

/* A Timestamp or a Duration; seconds and nanos may have any sign and size. */
static __int128 time_read(struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    int64_t seconds = 0;
    int32_t nanos = 0;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            seconds = (int64_t)field.value;
        else if (field.number == 2)
            nanos = (int32_t)field.value;
    }
    return (__int128)seconds * NS_PER_S + nanos;
}

static void value_take(const struct wire_field *field, struct value values[NUMBER_BINARY + 1])
{
    switch (field->number) {
    case 3:
        values[NUMBER_STRING].str = field->bytes;
        break;
    case 4:
        values[NUMBER_BOOL].b = field->value != 0;
        break;
    case 5:
        values[NUMBER_INT64].i = (int64_t)field->value;
        break;
    case 6:
        memcpy(&values[NUMBER_FLOAT64].d, &field->value, sizeof field->value);
        break;
    case 7:
        values[NUMBER_BINARY].str = field->bytes;
        break;
    }
}

static enum mg_err tag_read(struct jaeger_raw *raw, struct str message, struct jaeger_tags *tags,
                            const char *whose)
{
    struct value values[] = {
        [NUMBER_STRING] = { VALUE_STRING, .str = STR("") },
        [NUMBER_BOOL] = { VALUE_BOOL, .i = 0 },
        [NUMBER_INT64] = { VALUE_INT, .i = 0 },
        [NUMBER_FLOAT64] = { VALUE_DOUBLE, .d = 0 },
        [NUMBER_BINARY] = { VALUE_BYTES, .str = STR("") },
    };
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct attr *tag = jaeger_tag_add(raw, tags, whose);
    struct wire_field field;
    int32_t type = NUMBER_STRING;

    if (!tag)
        return MG_E_FORMAT;
    tag->key = STR("");
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            tag->key = field.bytes;
        else if (field.number == 2)
            type = (int32_t)field.value;
        else
            value_take(&field, values);
    }
    tag->value = type >= 0 && (size_t)type < MG_COUNT(values) ? values[type] : JAEGER_UNKNOWN_VALUE;
    return MG_OK;
}

static enum mg_err log_read(struct jaeger_raw *raw, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    __int128 time_ns = 0;

    VEC_CLEAR(&raw->fields);
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            time_ns = time_read(field.bytes);
        else if (field.number == 2)
            MG_TRY(tag_read(raw, field.bytes, &raw->fields, "log"));
    }
    jaeger_log_add(raw, jaeger_time(time_ns));
    return MG_OK;
}

/* 16 bytes, or 8 for the low half. */
static bool trace_id_take(struct str id, uint8_t out[16])
{
    memset(out, 0, 16);
    if (id.len != 16 && id.len != 8)
        return false;
    memcpy(out + 16 - id.len, id.ptr, id.len);
    return true;
}

static bool span_id_take(struct str id, uint8_t out[8])
{
    memset(out, 0, 8);
    if (id.len != 8)
        return false;
    memcpy(out, id.ptr, 8);
    return true;
}

static enum mg_err ref_read(struct jaeger_raw *raw, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct jaeger_ref ref = { .is_child_of = true };
    struct wire_field field;
    bool is_fine = true; /* an id that is not there is zero */

    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            is_fine &= trace_id_take(field.bytes, ref.trace_id) || field.bytes.len == 0;
        else if (field.number == 2)
            is_fine &= span_id_take(field.bytes, ref.span_id) || field.bytes.len == 0;
        else if (field.number == 3)
            ref.is_child_of = (int32_t)field.value == CHILD_OF;
    }
    if (!is_fine)
        return mg_fail(raw->why, MG_E_FORMAT,
                       "span %u: a reference's trace_id must be 16 or 8 bytes, its span_id 8",
                       raw->ordinal);
    jaeger_ref_add(raw, &ref);
    return MG_OK;
}

/* --- spans and processes --------------------------------------------- */

static enum mg_err warning_read(struct jaeger_raw *raw, struct str text)
{
    if (raw->warnings.n == JAEGER_TAGS_MAX)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: more than %d warnings", raw->ordinal,
                       JAEGER_TAGS_MAX);
    VEC_PUSH(&raw->warnings, text);
    return MG_OK;
}

struct ids_and_times {
    bool has_trace_id, has_span_id;
    __int128 start_ns, duration_ns;
};

static enum mg_err span_field_read(struct jaeger_raw *raw, const struct wire_field *field,
                                   struct ids_and_times *told)
{
    switch (field->number) {
    case 1:
        told->has_trace_id = trace_id_take(field->bytes, raw->trace_id);
        return MG_OK;
    case 2:
        told->has_span_id = span_id_take(field->bytes, raw->span_id);
        return MG_OK;
    case 3:
        raw->name = field->bytes;
        return MG_OK;
    case 4:
        return ref_read(raw, field->bytes);
    case 6:
        told->start_ns = time_read(field->bytes);
        return MG_OK;
    case 7:
        told->duration_ns = time_read(field->bytes);
        return MG_OK;
    case 8:
        return tag_read(raw, field->bytes, &raw->tags, "span");
    case 9:
        return log_read(raw, field->bytes);
    case 10:
        raw->process = field->bytes;
        raw->has_process = true;
        return MG_OK;
    case 12:
        return warning_read(raw, field->bytes);
    default: /* flags have no place in OTLP's span (5.2); process_id means something in a Trace only
              */
        return MG_OK;
    }
}

enum mg_err jaeger_proto_span(struct jaeger_raw *raw, struct str whole)
{
    const uint8_t *at = wire_begin(whole), *end = wire_end(whole);
    struct ids_and_times told = { .has_trace_id = false };
    struct wire_field field;

    jaeger_raw_reset(raw);
    while (wire_next(&at, end, &field) == 1)
        MG_TRY(span_field_read(raw, &field, &told));
    if (!told.has_trace_id)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: trace_id must be 16 or 8 bytes",
                       raw->ordinal);
    if (!told.has_span_id)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: span_id must be 8 bytes", raw->ordinal);
    raw->start_ns = jaeger_time(told.start_ns);
    raw->end_ns = jaeger_time((__int128)raw->start_ns + told.duration_ns);
    return jaeger_raw_check(raw);
}

enum mg_err jaeger_proto_process(struct jaeger_raw *raw, struct str message, struct str *service,
                                 struct jaeger_tags *tags)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    *service = STR("");
    VEC_CLEAR(tags);
    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            *service = field.bytes;
        else if (field.number == 2)
            MG_TRY(tag_read(raw, field.bytes, tags, "process"));
    }
    return MG_OK;
}

/* --- bodies --------------------------------------------- */

static enum mg_err span_found(struct jaeger_scanner *s, struct str message)
{
    MG_TRY(jaeger_proto_span(jaeger_scanner_raw(s), message));
    return jaeger_found_span(s, message);
}

/* The batch's process, wherever it stands: spans are compared with it. */
static enum mg_err batch_process_read(struct jaeger_scanner *s, struct str batch)
{
    const uint8_t *at = wire_begin(batch), *end = wire_end(batch);
    struct jaeger_raw *raw = jaeger_scanner_raw(s);
    struct wire_field field;
    struct str process = STR(""), service;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == 2)
            process = field.bytes;
    if (!process.len)
        return MG_OK;
    MG_TRY(jaeger_proto_process(raw, process, &service, &raw->tags));
    jaeger_found_process(s, process, service, &raw->tags);
    return MG_OK;
}

static enum mg_err batch_read(struct jaeger_scanner *s, struct str batch)
{
    const uint8_t *at = wire_begin(batch), *end = wire_end(batch);
    struct wire_field field;

    MG_TRY(batch_process_read(s, batch));
    while (wire_next(&at, end, &field) == 1)
        if (field.number == 1)
            MG_TRY(span_found(s, field.bytes));
    return MG_OK;
}

static enum mg_err request_read(struct jaeger_scanner *s, struct str body)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct wire_field field;
    struct str batch = STR("");

    while (wire_next(&at, end, &field) == 1)
        if (field.number == 1)
            batch = field.bytes;
    return batch_read(s, batch);
}

enum mg_err jaeger_proto_walk(struct jaeger_scanner *s, enum jaeger_wire wire, struct str body)
{
    const struct wire_shape *shape = wire == JAEGER_SPAN ? &span_shape : &request_shape;

    assert(wire == JAEGER_SPAN || wire == JAEGER_POST_SPANS);
    if (wire_check(body, shape, DEPTH_MAX) != WIRE_FINE)
        return mg_fail(
            jaeger_scanner_raw(s)->why, MG_E_FORMAT,
            "protobuf: this is no jaeger.api_v2.%s: a field is cut off or of another wire type",
            shape->name);
    return wire == JAEGER_SPAN ? span_found(s, body) : request_read(s, body);
}
