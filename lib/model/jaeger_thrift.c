/* jaeger_thrift.c - Jaeger's Thrift structs (jaeger-idl: jaeger.thrift, agent.thrift) into raw spans.
 *
 * A known field number with another type than the IDL's is skipped, as Thrift's libraries do; when
 * it was a required one, that is noticed at the end of its struct. A tag's value is chosen by vType
 * alone: Node clients write all five value fields of every tag. */
#include "model/jaeger_read.h"

#include "codec/utf8.h"
#include "model/thrift.h"

#define METHOD_SHOWN_BYTES 64
#define NS_PER_US          1000

enum tag_type { TAG_STRING, TAG_DOUBLE, TAG_BOOL, TAG_LONG, TAG_BINARY };
enum { CHILD_OF = 0 };

/* --- required fields --------------------------------------------- */

struct rule {
    const char *name;
    uint32_t required;      /* bit i: field i */
    const char *fields[10]; /* their names */
};
#define FIELD(i) (UINT32_C(1) << (i))
static const struct rule args_rule = { "emitBatch", FIELD(1), { [1] = "batch" } };
static const struct rule batch_rule = { "Batch", FIELD(1) | FIELD(2), { [1] = "process", "spans" } };
static const struct rule process_rule = { "Process", FIELD(1), { [1] = "serviceName" } };
static const struct rule tag_rule = { "Tag", FIELD(1) | FIELD(2), { [1] = "key", "vType" } };
static const struct rule log_rule = { "Log", FIELD(1) | FIELD(2), { [1] = "timestamp", "fields" } };
static const struct rule ref_rule = { "SpanRef", FIELD(1) | FIELD(2) | FIELD(3) | FIELD(4), { [1] = "refType", "traceIdLow", "traceIdHigh", "spanId" } };
static const struct rule span_rule = {
    "Span", FIELD(1) | FIELD(2) | FIELD(3) | FIELD(4) | FIELD(5) | FIELD(7) | FIELD(8) | FIELD(9),
    { [1] = "traceIdLow", "traceIdHigh", "spanId", "parentSpanId", "operationName", [7] = "flags", "startTime", "duration" },
};

static void see(uint32_t *seen, const struct thrift_field *field)
{
    if (field->id > 0 && field->id < 32)
        *seen |= UINT32_C(1) << field->id;
}

static enum mg_err struct_refuse(const struct thrift_reader *r, const struct rule *rule, uint32_t missing, const struct jaeger_raw *raw)
{
    if (r->error)
        return mg_fail(raw->why, MG_E_FORMAT, "Thrift: %s, at byte %zu, in %s (span %u)", r->error, (size_t)(r->at - r->begin), rule->name,
                       raw->ordinal);
    return mg_fail(raw->why, MG_E_FORMAT, "Thrift: %s without %s, which is required (span %u)", rule->name,
                   rule->fields[__builtin_ctz(missing)], raw->ordinal);
}

/* At the end of a struct: is it well-formed, and is everything there? */
static inline enum mg_err struct_check(const struct thrift_reader *r, const struct rule *rule, uint32_t seen, const struct jaeger_raw *raw)
{
    uint32_t missing = rule->required & ~seen;

    return r->error || missing ? struct_refuse(r, rule, missing, raw) : MG_OK;
}

/* The header of a list of structs. */
static uint32_t structs_begin(struct thrift_reader *r)
{
    struct thrift_list list = thrift_list(r);

    if (list.n && list.type != THRIFT_STRUCT) {
        r->error = "a list holds something else than structs";
        return 0;
    }
    return list.n;
}

/* --- tags --------------------------------------------- */

/* Every field of a Tag, whatever its type says. */
struct tag {
    struct str text, binary;
    int64_t number;
    double real;
    int32_t type;
    bool flag;
};

static struct value tag_value(const struct tag *tag)
{
    switch (tag->type) {
    case TAG_STRING:
        return (struct value){ VALUE_STRING, .str = tag->text };
    case TAG_DOUBLE:
        return (struct value){ VALUE_DOUBLE, .d = tag->real };
    case TAG_BOOL: { /* the bytes beside the bool too, so that a copy is never half initialised */
        struct value value = { VALUE_BOOL, .i = 0 };
        value.b = tag->flag;
        return value;
    }
    case TAG_LONG:
        return (struct value){ VALUE_INT, .i = tag->number };
    case TAG_BINARY:
        return (struct value){ VALUE_BYTES, .str = tag->binary };
    default:
        return JAEGER_UNKNOWN_VALUE;
    }
}

/* A field's header in binary Thrift; four bytes are there. */
static inline bool has_field(const uint8_t *at, enum thrift_type type, uint16_t id)
{
    return get_be32(at) >> 8 == ((uint32_t)type << 16 | id);
}

/* What binary writers of texts and whole numbers write, but Node's: key, vType, the value, nothing else. The byte behind it; NULL: any
 * other, also malformed ones. */
static inline const uint8_t *tag_read_usual(const uint8_t *at, const uint8_t *end, struct attr *out)
{
    uint32_t len, type;

    if (end - at < 7 || !has_field(at, THRIFT_STRING, 1) || (len = get_be32(at + 3)) > (size_t)(end - at - 7))
        return NULL;
    out->key = str_n(at + 7, len);
    at += 7 + len;
    if (end - at < 7 + 11 + 1 || !has_field(at, THRIFT_I32, 2)) /* and a text's header, or a number, and the end */
        return NULL;
    type = get_be32(at + 3);
    at += 7;
    if (type == TAG_STRING && has_field(at, THRIFT_STRING, 3) && (len = get_be32(at + 3)) < (size_t)(end - at - 7)) {
        out->value = (struct value){ VALUE_STRING, .str = str_n(at + 7, len) };
        at += 7 + len;
    } else if (type == TAG_LONG && has_field(at, THRIFT_I64, 6)) {
        out->value = (struct value){ VALUE_INT, .i = (int64_t)get_be64(at + 3) };
        at += 11;
    } else {
        return NULL;
    }
    return *at == THRIFT_STOP ? at + 1 : NULL;
}

static __attribute__((noinline)) enum mg_err tag_read_any(struct jaeger_raw *raw, struct thrift_reader *r, struct attr *out)
{
    struct tag tag = { .text = STR(""), .binary = STR("") };
    struct thrift_field field;
    uint32_t seen = 0;

    out->key = STR("");
    thrift_struct(r);
    while (thrift_field(r, &field)) {
        switch (THRIFT_KEY(field.id, field.type)) {
        case THRIFT_KEY(1, THRIFT_STRING):
            out->key = thrift_string(r);
            break;
        case THRIFT_KEY(2, THRIFT_I32):
            tag.type = thrift_i32(r);
            break;
        case THRIFT_KEY(3, THRIFT_STRING):
            tag.text = thrift_string(r);
            break;
        case THRIFT_KEY(4, THRIFT_DOUBLE):
            tag.real = thrift_double(r);
            break;
        case THRIFT_KEY(5, THRIFT_BOOL):
            tag.flag = thrift_bool(r);
            break;
        case THRIFT_KEY(6, THRIFT_I64):
            tag.number = thrift_i64(r);
            break;
        case THRIFT_KEY(7, THRIFT_STRING):
            tag.binary = thrift_string(r);
            break;
        default:
            thrift_skip(r, field.type);
            continue;
        }
        see(&seen, &field);
    }
    MG_TRY(struct_check(r, &tag_rule, seen, raw));
    out->value = tag_value(&tag);
    return MG_OK;
}

/* The usual ones of n tags, up to the first that is none; while there is room. How many they were. */
static uint32_t tags_read_usual(struct thrift_reader *r, struct jaeger_tags *tags, uint32_t n)
{
    size_t room = MG_MIN(tags->room, (size_t)JAEGER_TAGS_MAX), left = MG_MIN(room - tags->n, (size_t)n), read = 0;
    const uint8_t *at = r->at, *end = r->end, *behind;

    if (r->is_compact)
        return 0;
    for (; read < left && (behind = tag_read_usual(at, end, &tags->at[tags->n + read])); read++)
        at = behind;
    r->at = at;
    tags->n += read;
    return (uint32_t)read;
}

static enum mg_err tags_read(struct jaeger_raw *raw, struct thrift_reader *r,
                             struct jaeger_tags *tags, const char *whose)
{
    uint32_t n = structs_begin(r);

    while (n -= tags_read_usual(r, tags, n), n > 0) {
        struct attr *tag = jaeger_tag_add(raw, tags, whose);
        if (!tag)
            return MG_E_FORMAT;
        MG_TRY(tag_read_any(raw, r, tag));
        n--;
    }
    return MG_OK;
}

/* --- logs and references --------------------------------------------- */

static enum mg_err log_read(struct jaeger_raw *raw, struct thrift_reader *r)
{
    struct thrift_field field;
    int64_t timestamp_us = 0;
    uint32_t seen = 0;

    VEC_CLEAR(&raw->fields);
    thrift_struct(r);
    while (thrift_field(r, &field)) {
        switch (THRIFT_KEY(field.id, field.type)) {
        case THRIFT_KEY(1, THRIFT_I64):
            timestamp_us = thrift_i64(r);
            break;
        case THRIFT_KEY(2, THRIFT_LIST):
            MG_TRY(tags_read(raw, r, &raw->fields, "log"));
            break;
        default:
            thrift_skip(r, field.type);
            continue;
        }
        see(&seen, &field);
    }
    MG_TRY(struct_check(r, &log_rule, seen, raw));
    jaeger_log_add(raw, jaeger_time((__int128)timestamp_us * NS_PER_US));
    return MG_OK;
}

static enum mg_err ref_read(struct jaeger_raw *raw, struct thrift_reader *r)
{
    struct jaeger_ref ref = { .is_child_of = false };
    struct thrift_field field;
    uint32_t seen = 0;

    thrift_struct(r);
    while (thrift_field(r, &field)) {
        switch (THRIFT_KEY(field.id, field.type)) {
        case THRIFT_KEY(1, THRIFT_I32):
            ref.is_child_of = thrift_i32(r) == CHILD_OF;
            break;
        case THRIFT_KEY(2, THRIFT_I64):
            put_be64(ref.trace_id + 8, (uint64_t)thrift_i64(r));
            break;
        case THRIFT_KEY(3, THRIFT_I64):
            put_be64(ref.trace_id, (uint64_t)thrift_i64(r));
            break;
        case THRIFT_KEY(4, THRIFT_I64):
            put_be64(ref.span_id, (uint64_t)thrift_i64(r));
            break;
        default:
            thrift_skip(r, field.type);
            continue;
        }
        see(&seen, &field);
    }
    MG_TRY(struct_check(r, &ref_rule, seen, raw));
    jaeger_ref_add(raw, &ref);
    return MG_OK;
}

static enum mg_err each_read(struct jaeger_raw *raw, struct thrift_reader *r,
                             enum mg_err (*one)(struct jaeger_raw *, struct thrift_reader *))
{
    uint32_t n = structs_begin(r);

    for (uint32_t i = 0; i < n; i++)
        MG_TRY(one(raw, r));
    return MG_OK;
}

/* --- spans --------------------------------------------- */

struct times {
    int64_t start_us, duration_us;
};

/* The fields that are numbers. */
static bool number_read(struct jaeger_raw *raw, struct thrift_reader *r, int16_t id,
                        struct times *times)
{
    int64_t number = thrift_i64(r);

    switch (id) {
    case 1:
        put_be64(raw->trace_id + 8, (uint64_t)number);
        return true;
    case 2:
        put_be64(raw->trace_id, (uint64_t)number);
        return true;
    case 3:
        put_be64(raw->span_id, (uint64_t)number);
        return true;
    case 4:
        put_be64(raw->parent_id, (uint64_t)number);
        return true;
    case 8:
        times->start_us = number;
        return true;
    case 9:
        times->duration_us = number;
        return true;
    default: /* not known, and read over */
        return false;
    }
}

static enum mg_err span_read(struct jaeger_raw *raw, struct thrift_reader *r)
{
    struct times times = { 0, 0 };
    struct thrift_field field;
    uint32_t seen = 0;

    jaeger_raw_reset(raw);
    thrift_struct(r);
    while (thrift_field(r, &field)) {
        switch (THRIFT_KEY(field.id, field.type)) {
        case THRIFT_KEY(5, THRIFT_STRING):
            raw->name = thrift_string(r);
            break;
        case THRIFT_KEY(6, THRIFT_LIST):
            MG_TRY(each_read(raw, r, ref_read));
            break;
        case THRIFT_KEY(7, THRIFT_I32): /* flags have no place in OTLP's span (5.2) */
            (void)thrift_i32(r);
            break;
        case THRIFT_KEY(10, THRIFT_LIST):
            MG_TRY(tags_read(raw, r, &raw->tags, "span"));
            break;
        case THRIFT_KEY(11, THRIFT_LIST):
            MG_TRY(each_read(raw, r, log_read));
            break;
        default:
            if (field.type != THRIFT_I64)
                thrift_skip(r, field.type);
            else if (number_read(raw, r, field.id, &times))
                break;
            continue;
        }
        see(&seen, &field);
    }
    MG_TRY(struct_check(r, &span_rule, seen, raw));
    raw->start_ns = jaeger_time((__int128)times.start_us * NS_PER_US);
    raw->end_ns = jaeger_time((__int128)raw->start_ns + (__int128)times.duration_us * NS_PER_US);
    return jaeger_raw_check(raw);
}

/* --- batches and messages --------------------------------------------- */

static enum mg_err process_read(struct jaeger_scanner *s, struct thrift_reader *r)
{
    struct jaeger_raw *raw = jaeger_scanner_raw(s);
    struct str service = STR("");
    struct thrift_field field;
    uint32_t seen = 0;

    VEC_CLEAR(&raw->tags);
    thrift_struct(r);
    while (thrift_field(r, &field)) {
        switch (THRIFT_KEY(field.id, field.type)) {
        case THRIFT_KEY(1, THRIFT_STRING):
            service = thrift_string(r);
            break;
        case THRIFT_KEY(2, THRIFT_LIST):
            MG_TRY(tags_read(raw, r, &raw->tags, "process"));
            break;
        default:
            thrift_skip(r, field.type);
            continue;
        }
        see(&seen, &field);
    }
    MG_TRY(struct_check(r, &process_rule, seen, raw));
    jaeger_found_process(s, STR(""), service, &raw->tags);
    return MG_OK;
}

static enum mg_err spans_read(struct jaeger_scanner *s, struct thrift_reader *r)
{
    struct jaeger_raw *raw = jaeger_scanner_raw(s);
    uint32_t n = structs_begin(r);

    for (uint32_t i = 0; i < n; i++) {
        MG_TRY(span_read(raw, r));
        MG_TRY(jaeger_found_span(s, STR(""))); /* of the batch's process, all of them */
    }
    return MG_OK;
}

/* The last process of a batch; what is wrong further on is found when it is read. */
static enum mg_err process_find(struct jaeger_scanner *s, struct thrift_reader r)
{
    struct thrift_field field;
    enum mg_err err = MG_OK;

    thrift_struct(&r);
    while (err == MG_OK && thrift_field(&r, &field)) {
        if (THRIFT_KEY(field.id, field.type) == THRIFT_KEY(1, THRIFT_STRUCT))
            err = process_read(s, &r);
        else
            thrift_skip(&r, field.type);
    }
    return err;
}

static enum mg_err batch_read(struct jaeger_scanner *s, struct thrift_reader *r)
{
    const struct thrift_reader start = *r;
    struct thrift_field field;
    uint32_t seen = 0;

    thrift_struct(r);
    while (thrift_field(r, &field)) {
        switch (THRIFT_KEY(field.id, field.type)) {
        case THRIFT_KEY(1, THRIFT_STRUCT):
            MG_TRY(process_read(s, r));
            break;
        case THRIFT_KEY(2, THRIFT_LIST):
            if (!(seen & (FIELD(1) | FIELD(2)))) /* clients send it first; spans stand before it, and it is looked for once */
                MG_TRY(process_find(s, start));
            MG_TRY(spans_read(s, r));
            break;
        default: /* seqNo and stats tell about the client, not about spans */
            thrift_skip(r, field.type);
            continue;
        }
        see(&seen, &field);
    }
    return struct_check(r, &batch_rule, seen, jaeger_scanner_raw(s));
}

static enum mg_err method_refuse(const struct jaeger_raw *raw, struct str name)
{
    struct buf shown;

    if (str_eq(name, STR("emitZipkinBatch")))
        return mg_fail(raw->why, MG_E_FORMAT,
                       "Thrift: emitZipkinBatch is not served; let the client send Jaeger spans "
                       "(emitBatch), or Zipkin's by HTTP");
    buf_init(&shown, SIZE_MAX);
    utf8_sanitize(&shown, str_n(name.ptr, MG_MIN(name.len, (size_t)METHOD_SHOWN_BYTES)));
    enum mg_err err =
        mg_fail(raw->why, MG_E_FORMAT, "Thrift: no such method: '%.*s'; emitBatch is served",
                STR_ARG(buf_str(&shown)));
    buf_fini(&shown);
    return err;
}

static enum mg_err message_begin(const struct jaeger_raw *raw, struct thrift_reader *r)
{
    struct thrift_message message = thrift_message(r);

    if (r->error)
        return mg_fail(raw->why, MG_E_FORMAT, "Thrift: %s, at byte %zu of the message's header",
                       r->error, (size_t)(r->at - r->begin));
    if (message.type != THRIFT_CALL && message.type != THRIFT_ONEWAY)
        return mg_fail(raw->why, MG_E_FORMAT, "Thrift: a message of type %u, which is no call",
                       message.type);
    if (!str_eq(message.name, STR("emitBatch")))
        return method_refuse(raw, message.name);
    return MG_OK;
}

static enum mg_err args_read(struct jaeger_scanner *s, struct thrift_reader *r)
{
    struct thrift_field field;
    uint32_t seen = 0;

    thrift_struct(r);
    while (thrift_field(r, &field)) {
        if (THRIFT_KEY(field.id, field.type) != THRIFT_KEY(1, THRIFT_STRUCT)) {
            thrift_skip(r, field.type);
            continue;
        }
        MG_TRY(batch_read(s, r));
        see(&seen, &field);
    }
    return struct_check(r, &args_rule, seen, jaeger_scanner_raw(s));
}

enum mg_err jaeger_thrift_walk(struct jaeger_scanner *s, enum jaeger_wire wire, struct str body)
{
    const struct jaeger_raw *raw = jaeger_scanner_raw(s);
    struct thrift_reader r;

    thrift_init(&r, wire == JAEGER_UDP_COMPACT, body);
    if (wire == JAEGER_HTTP_BINARY) {
        MG_TRY(batch_read(s, &r));
    } else {
        MG_TRY(message_begin(raw, &r));
        MG_TRY(args_read(s, &r));
    }
    if (r.at != r.end)
        return mg_fail(raw->why, MG_E_FORMAT,
                       "Thrift: %zu bytes follow the batch; send one batch at a time",
                       (size_t)(r.end - r.at));
    return MG_OK;
}
