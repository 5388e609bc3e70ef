/* zipkin_proto.c - one span of a zipkin.proto3 list to a draft (zipkin-api: zipkin.proto).
 *
 * More lenient than the JSON reader, as Zipkin's is: what it does not know, or knows with another
 * wire type, it leaves out, and half an annotation as well. Not so in the list itself. */
#include "model/zipkin_private.h"

enum { FIELD_SPANS = 1 };

static enum mg_err fail_wire(struct zipkin_source *source, struct str message)
{
    return zipkin_fail(source, "Malformed (the message at byte %zu is cut, or no protobuf)",
                       (size_t)(message.ptr - source->text.ptr));
}

/* Ids may be shorter than they are; *is_there: there is one, and not of zeros. */
static enum mg_err id_take(struct zipkin_source *source, const char *name, struct str id,
                           uint8_t *out, size_t bytes, bool *is_there)
{
    static const uint8_t zero[16];

    if (id.len > bytes)
        return zipkin_fail(source, "%s.length > %zu", name, 2 * bytes); /* in digits */
    memset(out, 0, bytes);
    if (id.len)
        memcpy(out + bytes - id.len, id.ptr, id.len);
    *is_there = memcmp(out, zero, bytes) != 0;
    return MG_OK;
}

static enum mg_err required_id_take(struct zipkin_source *source, const char *name, struct str id,
                                    uint8_t *out, size_t bytes, bool *has_id)
{
    bool is_there;

    MG_TRY(id_take(source, name, id, out, bytes, &is_there));
    if (id.len && !is_there)
        return zipkin_fail(source, "%s is all zeros", name);
    *has_id = is_there;
    return MG_OK;
}

/* Other than in text, ::ffff:1.2.3.4 stays what it is here, and ::1.2.3.4 does not. */
static void ip_take(struct zipkin_endpoint *out, struct str ip)
{
    static const uint8_t loopback[16] = { [15] = 1 };
    const uint8_t *bytes = wire_begin(ip);

    if (ip.len == 16 && memcmp(bytes, loopback, 12) == 0 && memcmp(bytes, loopback, 16) != 0)
        zipkin_endpoint_add(out, bytes + 12, 4);
    else if (ip.len == 4 || ip.len == 16)
        zipkin_endpoint_add(out, bytes, (unsigned)ip.len);
}

static enum mg_err endpoint_read(struct zipkin_source *source, struct str message,
                                 struct zipkin_endpoint *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    int32_t port;
    int got;

    *out = (struct zipkin_endpoint){ .service = STR("") };
    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(1, WIRE_BYTES):
            out->service = field.bytes;
            break;
        case WIRE_TAG(2, WIRE_BYTES): /* the length decides which address it is */
        case WIRE_TAG(3, WIRE_BYTES):
            ip_take(out, field.bytes);
            break;
        case WIRE_TAG(4, WIRE_VARINT):
            port = (int32_t)field.value;
            if (port < 0 || port > UINT16_MAX)
                return zipkin_fail(source, "invalid port %d", port);
            out->port = (uint16_t)port;
            break;
        }
    }
    return got < 0 ? fail_wire(source, message) : MG_OK;
}

static enum mg_err annotation_read(struct zipkin_source *source, struct str message,
                                   struct zipkin_draft *draft)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct zipkin_annotation annotation = { .value = STR("") };
    struct wire_field field;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(1, WIRE_FIXED64):
            annotation.timestamp_us = (int64_t)field.value;
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            annotation.value = field.bytes;
            break;
        }
    }
    if (got < 0)
        return fail_wire(source, message);
    if (annotation.timestamp_us && annotation.value.len)
        VEC_PUSH(&draft->annotations, annotation);
    return MG_OK;
}

static enum mg_err tag_read(struct zipkin_source *source, struct str message,
                            struct zipkin_draft *draft)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct zipkin_tag tag = { STR(""), STR("") };
    struct wire_field field;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1) {
        switch (WIRE_TAG(field.number, field.type)) {
        case WIRE_TAG(1, WIRE_BYTES):
            tag.key = field.bytes;
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            tag.value = field.bytes;
            break;
        }
    }
    if (got < 0)
        return fail_wire(source, message);
    if (tag.key.len)
        VEC_PUSH(&draft->tags, tag);
    return MG_OK;
}

/* Zipkin's numbers are not OTLP's. */
static const char *kind_of(uint64_t number)
{
    static const int kinds[] = {
        SPAN_UNSPECIFIED, SPAN_CLIENT, SPAN_SERVER, SPAN_PRODUCER, SPAN_CONSUMER
    };

    return number < MG_COUNT(kinds) ? zipkin_kinds[kinds[number]] : NULL;
}

/* What is no signed long above 0 is absent. */
static uint64_t micros_of(uint64_t value)
{
    return value > INT64_MAX ? 0 : value;
}

static enum mg_err field_take(struct zipkin_source *source, const struct wire_field *field,
                              struct zipkin_draft *draft)
{
    struct zipkin_span *span = &draft->span;
    bool has_parent;

    switch (WIRE_TAG(field->number, field->type)) {
    case WIRE_TAG(1, WIRE_BYTES):
        return required_id_take(source, "traceId", field->bytes, span->trace_id, 16,
                                &draft->has_trace_id);
    case WIRE_TAG(2, WIRE_BYTES):
        return id_take(source, "parentId", field->bytes, span->parent_id, 8, &has_parent);
    case WIRE_TAG(3, WIRE_BYTES):
        return required_id_take(source, "id", field->bytes, span->id, 8, &draft->has_id);
    case WIRE_TAG(4, WIRE_VARINT):
        span->kind = kind_of(field->value);
        return MG_OK;
    case WIRE_TAG(5, WIRE_BYTES):
        span->name = field->bytes;
        return MG_OK;
    case WIRE_TAG(6, WIRE_FIXED64):
        span->timestamp_us = micros_of(field->value);
        return MG_OK;
    case WIRE_TAG(7, WIRE_VARINT):
        span->duration_us = micros_of(field->value);
        return MG_OK;
    case WIRE_TAG(8, WIRE_BYTES):
        return endpoint_read(source, field->bytes, &span->local);
    case WIRE_TAG(9, WIRE_BYTES):
        return endpoint_read(source, field->bytes, &span->remote);
    case WIRE_TAG(10, WIRE_BYTES):
        return annotation_read(source, field->bytes, draft);
    case WIRE_TAG(11, WIRE_BYTES):
        return tag_read(source, field->bytes, draft);
    case WIRE_TAG(12, WIRE_VARINT):
        span->is_debug = field->value != 0;
        return MG_OK;
    case WIRE_TAG(13, WIRE_VARINT):
        span->is_shared = field->value != 0;
        return MG_OK;
    default:
        return MG_OK;
    }
}

static enum mg_err proto_read(struct zipkin_source *source, size_t *at, struct zipkin_draft *draft)
{
    const uint8_t *begin = wire_begin(source->text), *end = wire_end(source->text);
    const uint8_t *p = begin + *at;
    struct wire_field field;
    int got;

    zipkin_draft_begin(draft);
    if (wire_next(&p, end, &field) != 1)
        return fail_wire(source, str_n(begin + *at, 0));
    if (field.number != FIELD_SPANS || field.type != WIRE_BYTES)
        return zipkin_fail(source, "Malformed (field %u at byte %zu is no span)", field.number,
                           *at);
    *at = (size_t)(p - begin);
    p = wire_begin(field.bytes);
    end = wire_end(field.bytes);
    struct str message = field.bytes;
    while ((got = wire_next(&p, end, &field)) == 1)
        MG_TRY(field_take(source, &field, draft));
    if (got < 0)
        return fail_wire(source, message);
    return zipkin_draft_end(source, draft);
}

static enum mg_err proto_seek(struct zipkin_source *source, size_t *at, bool *is_end)
{
    *is_end = *at == source->text.len;
    return MG_OK;
}

const struct zipkin_format zipkin_proto = { proto_seek, proto_read };
