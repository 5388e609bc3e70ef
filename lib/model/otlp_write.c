/* otlp_write.c - spans back to protobuf.
 *
 * Fields go out in the order of their numbers and without defaults, as the SDKs' libraries write
 * them; what stayed in wire form is copied. Lengths of attributes are known before, those of what holds
 * them are filled in afterwards (wire_open, wire_close). */
#include "model/otlp_write.h"

#include "model/otlp_schema.h"

static size_t bytes_len(size_t len) /* of a field with a number below 16 */
{
    return 1 + varint_len(len) + len;
}

/* Of the AnyValue message. */
static size_t value_len(const struct value *value)
{
    switch (value->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        return bytes_len(value->str.len);
    case VALUE_ARRAY:
    case VALUE_KVLIST:
        return bytes_len(value->raw.len);
    case VALUE_BOOL:
        return 2;
    case VALUE_INT:
        return 1 + varint_len((uint64_t)value->i);
    case VALUE_DOUBLE:
        return 9;
    case VALUE_EMPTY:
    case VALUE_OTHER: /* written whole by otlp_put_attr */
        break;
    }
    return 0;
}

static uint8_t *bytes_put(uint8_t *p, uint32_t number, struct str bytes)
{
    p = put_varint(p, WIRE_TAG(number, WIRE_BYTES));
    p = put_varint(p, bytes.len);
    if (bytes.len)
        memcpy(p, bytes.ptr, bytes.len);
    return p + bytes.len;
}

static void value_put(uint8_t *p, const struct value *value)
{
    uint64_t bits;

    switch (value->type) {
    case VALUE_STRING:
        bytes_put(p, 1, value->str);
        break;
    case VALUE_BOOL:
        put_varint(put_varint(p, WIRE_TAG(2, WIRE_VARINT)), value->b);
        break;
    case VALUE_INT:
        put_varint(put_varint(p, WIRE_TAG(3, WIRE_VARINT)), (uint64_t)value->i);
        break;
    case VALUE_DOUBLE:
        memcpy(&bits, &value->d, sizeof bits);
        put_le64(put_varint(p, WIRE_TAG(4, WIRE_FIXED64)), bits);
        break;
    case VALUE_ARRAY:
        bytes_put(p, 5, value->raw);
        break;
    case VALUE_KVLIST:
        bytes_put(p, 6, value->raw);
        break;
    case VALUE_BYTES:
        bytes_put(p, 7, value->str);
        break;
    case VALUE_EMPTY:
    case VALUE_OTHER:
        break;
    }
}

/* Lengths first, so that nothing has to be moved: most of a span is this. */
void otlp_put_attr(struct buf *out, uint32_t number, const struct attr *attr)
{
    size_t value = value_len(&attr->value), key_value = bytes_len(attr->key.len) + bytes_len(value);
    uint32_t tag = WIRE_TAG(number, WIRE_BYTES);
    uint8_t *p;

    if (attr->value.type == VALUE_OTHER) {
        wire_put_bytes(out, number, attr->value.raw);
        return;
    }
    p = (uint8_t *)buf_extend(out, varint_len(tag) + varint_len(key_value) + key_value);
    if (!p)
        return;
    p = put_varint(put_varint(p, tag), key_value);
    p = bytes_put(p, 1, attr->key);
    p = put_varint(put_varint(p, WIRE_TAG(2, WIRE_BYTES)), value);
    value_put(p, &attr->value);
}

static void text_put(struct buf *out, uint32_t number, struct str text)
{
    if (text.len)
        wire_put_bytes(out, number, text);
}

static void number_put(struct buf *out, uint32_t number, uint64_t value)
{
    if (value)
        wire_put_varint(out, number, value);
}

static void time_put(struct buf *out, uint32_t number, uint64_t ns)
{
    if (ns)
        wire_put_fixed64(out, number, ns);
}

static void status_put(struct buf *out, const struct span *span)
{
    if (!span->status_code && !span->status_message.len)
        return;
    size_t mark = wire_open(out, 15);
    text_put(out, 2, span->status_message);
    number_put(out, 3, (uint64_t)(int64_t)span->status_code); /* negative ones take ten bytes */
    wire_close(out, mark);
}

void otlp_write_span(struct buf *out, const struct span *span)
{
    wire_put_bytes(out, 1, str_n(span->trace_id, sizeof span->trace_id));
    wire_put_bytes(out, 2, str_n(span->span_id, sizeof span->span_id));
    text_put(out, 3, span->trace_state);
    if (!span_is_root(span))
        wire_put_bytes(out, 4, str_n(span->parent_id, sizeof span->parent_id));
    text_put(out, 5, span->name);
    number_put(out, 6, (uint64_t)(int64_t)span->kind);
    time_put(out, 7, span->start_ns);
    time_put(out, 8, span->end_ns);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        otlp_put_attr(out, 9, &span->attrs[i]);
    number_put(out, 10, span->dropped_attrs);
    buf_put_str(out, span->events);
    number_put(out, 12, span->dropped_events);
    buf_put_str(out, span->links);
    number_put(out, 14, span->dropped_links);
    status_put(out, span);
    if (span->flags)
        wire_put_fixed32(out, 16, span->flags);
    buf_put_str(out, span->unknown);
}

void otlp_write_request(struct buf *out, const struct span *const *spans, size_t n)
{
    for (size_t i = 0; i < n;) {
        const struct span *first = spans[i];
        size_t resource = wire_open(out, 1);
        buf_put_str(out, first->resource);
        while (i < n && str_eq(spans[i]->resource, first->resource)) {
            struct str scope_bytes = spans[i]->scope;
            size_t scope = wire_open(out, 2);
            buf_put_str(out, scope_bytes);
            for (; i < n && str_eq(spans[i]->resource, first->resource) &&
                   str_eq(spans[i]->scope, scope_bytes); i++) {
                size_t span = wire_open(out, 2);
                otlp_write_span(out, spans[i]);
                wire_close(out, span);
            }
            wire_close(out, scope);
        }
        wire_close(out, resource);
    }
}
