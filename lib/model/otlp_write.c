/* otlp_write.c - spans back to protobuf.
 *
 * Fields go out in the order of their numbers and without defaults, as the SDKs' libraries write
 * them; what stayed in wire form is copied. Lengths are filled in afterwards (wire_open,
 * wire_close). */
#include "model/otlp_write.h"

#include "model/otlp_schema.h"

void otlp_put_field(struct buf *out, uint32_t number, struct str bytes)
{
    wire_put_bytes(out, number, bytes);
}

static void value_put(struct buf *out, const struct value *value)
{
    uint64_t bits;

    switch (value->type) {
    case VALUE_STRING:
        wire_put_bytes(out, 1, value->str);
        break;
    case VALUE_BOOL:
        wire_put_varint(out, 2, value->b);
        break;
    case VALUE_INT:
        wire_put_varint(out, 3, (uint64_t)value->i);
        break;
    case VALUE_DOUBLE:
        memcpy(&bits, &value->d, sizeof bits);
        wire_put_fixed64(out, 4, bits);
        break;
    case VALUE_ARRAY:
        wire_put_bytes(out, 5, value->raw);
        break;
    case VALUE_KVLIST:
        wire_put_bytes(out, 6, value->raw);
        break;
    case VALUE_BYTES:
        wire_put_bytes(out, 7, value->str);
        break;
    case VALUE_EMPTY:
    case VALUE_OTHER: /* written whole by otlp_put_attr */
        break;
    }
}

void otlp_put_attr(struct buf *out, uint32_t number, const struct attr *attr)
{
    if (attr->value.type == VALUE_OTHER) {
        wire_put_bytes(out, number, attr->value.raw);
        return;
    }
    size_t key_value = wire_open(out, number);
    wire_put_bytes(out, 1, attr->key);
    size_t value = wire_open(out, 2);
    value_put(out, &attr->value);
    wire_close(out, value);
    wire_close(out, key_value);
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
