/* jaeger_proto.c - jaeger.api_v2's messages (jaeger-idl: api_v2/model.proto) into raw spans.
 *
 * Checked while it is read: a known field of another wire type, and what is cut off, refuse the body. A message field given
 * twice is not joined, as protobuf would: the last one counts. Nobody writes it so. */
#include "model/jaeger_read.h"

#include <assert.h>

#define NS_PER_S 1000000000

enum value_number { NUMBER_STRING, NUMBER_BOOL, NUMBER_INT64, NUMBER_FLOAT64, NUMBER_BINARY };
enum { CHILD_OF = 0 };

/* The last field number that a message knows. */
enum { TIME_LAST = 2, TAG_LAST = 7, LOG_LAST = 2, REF_LAST = 3, PROCESS_LAST = 2, SPAN_LAST = 12, BATCH_LAST = 2, REQUEST_LAST = 1 };

#define VARINT(number)  WIRE_TAG(number, WIRE_VARINT)
#define FIXED64(number) WIRE_TAG(number, WIRE_FIXED64)
#define BYTES(number)   WIRE_TAG(number, WIRE_BYTES)

static enum mg_err malformed(const struct jaeger_raw *raw)
{
    return mg_fail(raw->why, MG_E_FORMAT, "protobuf: this is no jaeger.api_v2.%s: a field is cut off or of another wire type", raw->message);
}

/* What is left of a message: a field that is unknown is passed over, a known one that came here is of another type. */
static inline bool is_unknown(const struct wire_field *field, uint32_t last)
{
    return field->number > last;
}

/* --- parts --------------------------------------------- */

/* A Timestamp or a Duration; seconds and nanos may have any sign and size. False: malformed. */
static bool time_read(struct str message, __int128 *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    uint64_t seconds = 0, nanos = 0;
    int got;

    /* Nearly all of them are these two and no more. */
    if (at != end && *at == VARINT(1) && !(at = get_varint(at + 1, end, &seconds)))
        return false;
    if (at != end && *at == VARINT(2) && !(at = get_varint(at + 1, end, &nanos)))
        return false;
    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case VARINT(1):
            seconds = field.value;
            break;
        case VARINT(2):
            nanos = field.value;
            break;
        default:
            if (!is_unknown(&field, TIME_LAST))
                return false;
        }
    }
    *out = (__int128)(int64_t)seconds * NS_PER_S + (int32_t)nanos;
    return got == 0;
}

/* Every value field of a KeyValue, whatever its type says. */
struct tag {
    struct str text, binary;
    uint64_t integer, real;
    int32_t type;
    bool flag;
};

static struct value tag_value(const struct tag *tag)
{
    struct value value = { VALUE_STRING, .i = 0 }; /* the bytes beside a bool too: a copy is never half initialised */

    switch (tag->type) {
    case NUMBER_STRING:
        value.str = tag->text;
        return value;
    case NUMBER_BOOL:
        value.type = VALUE_BOOL;
        value.b = tag->flag;
        return value;
    case NUMBER_INT64:
        value.type = VALUE_INT;
        value.i = (int64_t)tag->integer;
        return value;
    case NUMBER_FLOAT64:
        value.type = VALUE_DOUBLE;
        memcpy(&value.d, &tag->real, sizeof tag->real);
        return value;
    case NUMBER_BINARY:
        value.type = VALUE_BYTES;
        value.str = tag->binary;
        return value;
    default:
        return JAEGER_UNKNOWN_VALUE;
    }
}

/* A field's tag, and a length of one byte; two bytes are there. */
static inline bool is_short(const uint8_t *at, uint8_t tag)
{
    return (get_le16(at) & 0x80ff) == tag;
}

/* What nearly all writers write: key, vType unless it is a text, that value, nothing else. False: any other, also malformed ones. */
__attribute__((always_inline)) static inline bool tag_read_usual(const uint8_t *at, const uint8_t *end, struct attr *out)
{
    size_t left = (size_t)(end - at), len;
    uint64_t number = 0;
    struct str key;

    if (left < 2 || !is_short(at, BYTES(1)) || (len = at[1]) > left - 2)
        return false;
    key = str_n(at + 2, len);
    at += 2 + len;
    left -= 2 + len;
    if (left >= 2 && is_short(at, BYTES(3)) && (len = at[1]) == left - 2) {
        *out = (struct attr){ key, { VALUE_STRING, .str = str_n(at + 2, len) } };
        return true;
    }
    if (left == 0) {
        *out = (struct attr){ key, { VALUE_STRING, .str = STR("") } };
        return true;
    }
    if (at[0] == BYTES(3)) {
        at = wire_varint(at + 1, end, &number);
        if (!at || number != (uint64_t)(end - at))
            return false;
        *out = (struct attr){ key, { VALUE_STRING, .str = str_n(at, (size_t)number) } };
        return true;
    }
    if (left < 4 || at[0] != VARINT(2) || at[1] != NUMBER_INT64 || at[2] != VARINT(5))
        return false;
    at = wire_varint(at + 3, end, &number);
    *out = (struct attr){ key, { VALUE_INT, .i = (int64_t)number } };
    return at == end;
}

static __attribute__((noinline)) enum mg_err tag_read_any(struct jaeger_raw *raw, struct str message, struct attr *attr)
{
    struct tag tag = { .text = STR(""), .binary = STR(""), .type = NUMBER_STRING };
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    int got;

    attr->key = STR("");
    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case BYTES(1):
            attr->key = field.bytes;
            break;
        case VARINT(2):
            tag.type = (int32_t)field.value;
            break;
        case BYTES(3):
            tag.text = field.bytes;
            break;
        case VARINT(4):
            tag.flag = field.value != 0;
            break;
        case VARINT(5):
            tag.integer = field.value;
            break;
        case FIXED64(6):
            tag.real = field.value;
            break;
        case BYTES(7):
            tag.binary = field.bytes;
            break;
        default:
            if (!is_unknown(&field, TAG_LAST))
                return malformed(raw);
        }
    }
    attr->value = tag_value(&tag);
    return got == 0 ? MG_OK : malformed(raw);
}

static enum mg_err tag_read(struct jaeger_raw *raw, struct str message, struct jaeger_tags *tags, const char *whose)
{
    struct attr *attr = jaeger_tag_add(raw, tags, whose);

    if (!attr)
        return MG_E_FORMAT;
    return tag_read_usual(wire_begin(message), wire_end(message), attr) ? MG_OK : tag_read_any(raw, message, attr);
}

/* The usual ones of a span's tags, from here to the first field that is none; while there is room. Most of a span is these. */
static const uint8_t *tags_read_usual(struct jaeger_tags *tags, const uint8_t *at, const uint8_t *end)
{
    size_t room = MG_MIN(tags->room, (size_t)JAEGER_TAGS_MAX), n = tags->n, len;

    for (; n < room && end - at >= 2 && is_short(at, BYTES(8)); n++, at += 2 + len) {
        len = at[1];
        if (len > (size_t)(end - at - 2) || !tag_read_usual(at + 2, at + 2 + len, &tags->at[n]))
            break;
    }
    tags->n = n;
    return at;
}

static enum mg_err log_read(struct jaeger_raw *raw, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    __int128 time_ns = 0;
    int got;

    VEC_CLEAR(&raw->fields);
    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case BYTES(1):
            if (!time_read(field.bytes, &time_ns))
                return malformed(raw);
            break;
        case BYTES(2):
            MG_TRY(tag_read(raw, field.bytes, &raw->fields, "log"));
            break;
        default:
            if (!is_unknown(&field, LOG_LAST))
                return malformed(raw);
        }
    }
    if (got < 0)
        return malformed(raw);
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
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case BYTES(1):
            is_fine &= trace_id_take(field.bytes, ref.trace_id) || field.bytes.len == 0;
            break;
        case BYTES(2):
            is_fine &= span_id_take(field.bytes, ref.span_id) || field.bytes.len == 0;
            break;
        case VARINT(3):
            ref.is_child_of = (int32_t)field.value == CHILD_OF;
            break;
        default:
            if (!is_unknown(&field, REF_LAST))
                return malformed(raw);
        }
    }
    if (got < 0)
        return malformed(raw);
    if (!is_fine)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: a reference's trace_id must be 16 or 8 bytes, its span_id 8", raw->ordinal);
    jaeger_ref_add(raw, &ref);
    return MG_OK;
}

/* --- spans and processes --------------------------------------------- */

static enum mg_err warning_read(struct jaeger_raw *raw, struct str text)
{
    if (raw->warnings.n == JAEGER_TAGS_MAX)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: more than %d warnings", raw->ordinal, JAEGER_TAGS_MAX);
    VEC_PUSH(&raw->warnings, text);
    return MG_OK;
}

struct ids_and_times {
    bool has_trace_id, has_span_id;
    __int128 start_ns, duration_ns;
};

static enum mg_err span_field_read(struct jaeger_raw *raw, const struct wire_field *field, struct ids_and_times *told)
{
    switch (WIRE_TAG(field->number, field->type)) {
    case BYTES(1):
        told->has_trace_id = trace_id_take(field->bytes, raw->trace_id);
        return MG_OK;
    case BYTES(2):
        told->has_span_id = span_id_take(field->bytes, raw->span_id);
        return MG_OK;
    case BYTES(3):
        raw->name = field->bytes;
        return MG_OK;
    case BYTES(4):
        return ref_read(raw, field->bytes);
    case BYTES(6):
        return time_read(field->bytes, &told->start_ns) ? MG_OK : malformed(raw);
    case BYTES(7):
        return time_read(field->bytes, &told->duration_ns) ? MG_OK : malformed(raw);
    case BYTES(8):
        return tag_read(raw, field->bytes, &raw->tags, "span");
    case BYTES(9):
        return log_read(raw, field->bytes);
    case BYTES(10):
        raw->process = field->bytes;
        raw->has_process = true;
        return MG_OK;
    case BYTES(12):
        return warning_read(raw, field->bytes);
    case VARINT(5): /* flags have no place in OTLP's span (5.2) */
    case BYTES(11): /* process_id means something in a Trace only */
        return MG_OK;
    default:
        return is_unknown(field, SPAN_LAST) ? MG_OK : malformed(raw);
    }
}

enum mg_err jaeger_proto_span(struct jaeger_raw *raw, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct ids_and_times told = { .has_trace_id = false };
    struct wire_field field;
    int got;

    jaeger_raw_reset(raw);
    while (at = tags_read_usual(&raw->tags, at, end), (got = wire_next(&at, end, &field)) == 1)
        MG_TRY(span_field_read(raw, &field, &told));
    if (got < 0)
        return malformed(raw);
    if (!told.has_trace_id)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: trace_id must be 16 or 8 bytes", raw->ordinal);
    if (!told.has_span_id)
        return mg_fail(raw->why, MG_E_FORMAT, "span %u: span_id must be 8 bytes", raw->ordinal);
    raw->start_ns = jaeger_time(told.start_ns);
    raw->end_ns = jaeger_time((__int128)raw->start_ns + told.duration_ns);
    return jaeger_raw_check(raw);
}

enum mg_err jaeger_proto_process(struct jaeger_raw *raw, struct str message, struct str *service, struct jaeger_tags *tags)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    int got;

    *service = STR("");
    VEC_CLEAR(tags);
    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case BYTES(1):
            *service = field.bytes;
            break;
        case BYTES(2):
            MG_TRY(tag_read(raw, field.bytes, tags, "process"));
            break;
        default:
            if (!is_unknown(&field, PROCESS_LAST))
                return malformed(raw);
        }
    }
    return got == 0 ? MG_OK : malformed(raw);
}

/* --- bodies --------------------------------------------- */

static enum mg_err span_found(struct jaeger_scanner *s, struct str message)
{
    MG_TRY(jaeger_proto_span(jaeger_scanner_raw(s), message));
    return jaeger_found_span(s, message);
}

/* The last field of that number, wherever it stands. */
static enum mg_err find_last(const struct jaeger_raw *raw, struct str message, uint32_t number, uint32_t last, struct str *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    int got;

    *out = STR("");
    while ((got = wire_next(&at, end, &field)) == 1) {
        if (!is_unknown(&field, last) && field.type != WIRE_BYTES)
            return malformed(raw);
        if (field.number == number)
            *out = field.bytes;
    }
    return got == 0 ? MG_OK : malformed(raw);
}

/* The process first: spans stand before it. */
static enum mg_err batch_read(struct jaeger_scanner *s, struct str batch)
{
    const uint8_t *at = wire_begin(batch), *end = wire_end(batch);
    struct jaeger_raw *raw = jaeger_scanner_raw(s);
    struct wire_field field;
    struct str process, service;

    MG_TRY(find_last(raw, batch, 2, BATCH_LAST, &process));
    if (process.len) {
        MG_TRY(jaeger_proto_process(raw, process, &service, &raw->tags));
        jaeger_found_process(s, process, service, &raw->tags);
    }
    while (wire_next(&at, end, &field) == 1)
        if (field.number == 1)
            MG_TRY(span_found(s, field.bytes));
    return MG_OK;
}

enum mg_err jaeger_proto_walk(struct jaeger_scanner *s, enum jaeger_wire wire, struct str body)
{
    struct jaeger_raw *raw = jaeger_scanner_raw(s);
    struct str batch;

    assert(wire == JAEGER_SPAN || wire == JAEGER_POST_SPANS);
    raw->message = wire == JAEGER_SPAN ? "Span" : "PostSpansRequest";
    if (wire == JAEGER_SPAN)
        return span_found(s, body);
    MG_TRY(find_last(raw, body, 1, REQUEST_LAST, &batch));
    return batch_read(s, batch);
}
