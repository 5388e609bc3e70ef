/* How it works: two readers for one message of two fields. JSON is no form that was asked for, but
 * some servers answer every request in it. */
#include "otlp/response.h"
#include "base/buf.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "model/wire.h"

static void take_message(struct response *out, struct str text)
{
    struct buf clean;

    text = utf8_cut(text, RESPONSE_MESSAGE_BYTES_MAX);
    buf_init(&clean, 3 * RESPONSE_MESSAGE_BYTES_MAX); /* a bad byte becomes three */
    utf8_sanitize(&clean, text);
    struct str message = utf8_cut(buf_str(&clean), RESPONSE_MESSAGE_BYTES_MAX);
    memcpy(out->message, message.ptr, message.len);
    out->message[message.len] = '\0';
    buf_fini(&clean);
}

static enum mg_err read_partial(struct str bytes, struct response *out)
{
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct wire_field field;
    int more;

    while ((more = wire_next(&at, end, &field)) == 1) {
        if (field.number == 1 && field.type == WIRE_VARINT)
            out->rejected_spans = field.value;
        if (field.number == 2 && field.type == WIRE_BYTES)
            take_message(out, field.bytes);
    }
    return more < 0 ? MG_E_FORMAT : MG_OK;
}

static enum mg_err read_proto(struct str body, struct response *out)
{
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    struct wire_field field;
    int more;

    while ((more = wire_next(&at, end, &field)) == 1)
        if (field.number == 1) {
            if (field.type != WIRE_BYTES)
                return MG_E_FORMAT;
            MG_TRY(read_partial(field.bytes, out));
        }
    return more < 0 ? MG_E_FORMAT : MG_OK;
}

/* 64-bit integers are texts, and numbers from those who do not know it. */
static enum mg_err read_count(const struct json *value, uint64_t *out)
{
    if (!value)
        return MG_OK;
    if (json_kind(value) == JSON_STRING)
        return str_u64(json_str(value), out);
    if (json_kind(value) != JSON_INT || json_int(value) < 0)
        return MG_E_FORMAT;
    *out = (uint64_t)json_int(value);
    return MG_OK;
}

static enum mg_err read_json(struct str body, struct response *out)
{
    MG_AUTO(json_free) struct json *root = NULL;
    const struct json *partial, *message;

    MG_TRY(json_parse(&root, body, NULL));
    if (json_kind(root) != JSON_OBJECT)
        return MG_E_FORMAT;
    partial = json_get(root, "partialSuccess");
    if (!partial)
        return MG_OK;
    MG_TRY(read_count(json_get(partial, "rejectedSpans"), &out->rejected_spans));
    message = json_get(partial, "errorMessage");
    if (message)
        take_message(out, json_str(message));
    return MG_OK;
}

enum mg_err response_read(struct str body, bool is_json, struct response *out)
{
    struct response read = {0};

    if (body.len)
        MG_TRY(is_json ? read_json(body, &read) : read_proto(body, &read));
    if (read.rejected_spans > INT64_MAX) /* it is an int64 */
        return MG_E_FORMAT;
    *out = read;
    return MG_OK;
}
