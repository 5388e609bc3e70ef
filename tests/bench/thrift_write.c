/* thrift_write.c - see thrift_write.h. */
#include "thrift_write.h"
#include <stdlib.h>
#include "model/wire.h"

enum { T_BOOL = 2, T_DOUBLE = 4, T_I32 = 8, T_I64 = 10, T_STRING = 11, T_STRUCT = 12, T_LIST = 15 };

static void put_field(struct buf *out, int type, int id)
{
    const char head[] = { (char)type, 0, (char)id };

    buf_put(out, head, sizeof head);
}

static void put_stop(struct buf *out)
{
    buf_put(out, "", 1);
}

static void put_i32(struct buf *out, int id, uint32_t value)
{
    char bytes[4];

    put_field(out, T_I32, id);
    put_be32(bytes, value);
    buf_put(out, bytes, sizeof bytes);
}

static void put_i64(struct buf *out, int type, int id, uint64_t value)
{
    char bytes[8];

    put_field(out, type, id);
    put_be64(bytes, value);
    buf_put(out, bytes, sizeof bytes);
}

static void put_string(struct buf *out, int id, struct str text)
{
    char bytes[4];

    put_field(out, T_STRING, id);
    put_be32(bytes, (uint32_t)text.len);
    buf_put(out, bytes, sizeof bytes);
    buf_put_str(out, text);
}

static void put_list(struct buf *out, int id, uint32_t n)
{
    char head[5] = { T_STRUCT };

    put_field(out, T_LIST, id);
    put_be32(head + 1, n);
    buf_put(out, head, sizeof head);
}

static bool next(const uint8_t **at, struct str message, struct wire_field *field)
{
    int got = wire_next(at, wire_end(message), field);

    if (got < 0)
        abort();
    return got == 1;
}

static uint32_t count(struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message);
    struct wire_field field;
    uint32_t n = 0;

    while (next(&at, message, &field))
        n += field.number == number;
    return n;
}

/* Timestamp and Duration alike. */
static uint64_t micros(struct str time)
{
    const uint8_t *at = wire_begin(time);
    uint64_t seconds = 0, nanos = 0;
    struct wire_field field;

    while (next(&at, time, &field))
        *(field.number == 1 ? &seconds : &nanos) = field.value;
    return seconds * 1000000 + nanos / 1000;
}

static void put_tag(struct buf *out, struct str tag)
{
    static const uint8_t types[] = { 0, 2, 3, 1, 4 }; /* api_v2's numbers as Thrift's */
    const uint8_t *at = wire_begin(tag);
    struct wire_field field, value = { 0 };
    uint64_t type = 0;

    while (next(&at, tag, &field))
        if (field.number == 1)
            put_string(out, 1, field.bytes);
        else if (field.number == 2)
            type = field.value;
        else
            value = field;
    put_i32(out, 2, types[type]);
    if (type == 0 || type == 4) {
        put_string(out, type == 0 ? 3 : 7, value.bytes);
    } else if (type == 1) {
        put_field(out, T_BOOL, 5);
        buf_put(out, value.value ? "\1" : "\0", 1);
    } else {
        put_i64(out, type == 2 ? T_I64 : T_DOUBLE, type == 2 ? 6 : 4, value.value);
    }
    put_stop(out);
}

static void put_tags(struct buf *out, int id, struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message);
    struct wire_field field;

    put_list(out, id, count(message, number));
    while (next(&at, message, &field))
        if (field.number == number)
            put_tag(out, field.bytes);
}

static void put_logs(struct buf *out, struct str span)
{
    const uint8_t *at = wire_begin(span), *in;
    struct wire_field log, field;

    put_list(out, 11, count(span, 9));
    while (next(&at, span, &log)) {
        if (log.number != 9)
            continue;
        for (in = wire_begin(log.bytes); next(&in, log.bytes, &field);)
            if (field.number == 1)
                put_i64(out, T_I64, 1, micros(field.bytes));
        put_tags(out, 2, log.bytes, 2);
        put_stop(out);
    }
}

/* CHILD_OF of the same trace is the parent, as clients write it. */
static uint64_t parent_of(struct str span)
{
    const uint8_t *at = wire_begin(span), *in;
    struct wire_field reference, field;

    while (next(&at, span, &reference)) {
        uint64_t id = 0, type = 0;
        if (reference.number != 4)
            continue;
        for (in = wire_begin(reference.bytes); next(&in, reference.bytes, &field);)
            if (field.number == 2)
                id = get_be64(field.bytes.ptr);
            else if (field.number == 3)
                type = field.value;
        if (type == 0)
            return id;
    }
    return 0;
}

static void put_span(struct buf *out, struct str span)
{
    const uint8_t *at = wire_begin(span);
    struct wire_field field;

    put_i64(out, T_I64, 4, parent_of(span));
    while (next(&at, span, &field)) {
        if (field.number == 1) {
            put_i64(out, T_I64, 1, get_be64(field.bytes.ptr + 8));
            put_i64(out, T_I64, 2, get_be64(field.bytes.ptr));
        } else if (field.number == 2) {
            put_i64(out, T_I64, 3, get_be64(field.bytes.ptr));
        } else if (field.number == 3) {
            put_string(out, 5, field.bytes);
        } else if (field.number == 6 || field.number == 7) {
            put_i64(out, T_I64, field.number == 6 ? 8 : 9, micros(field.bytes));
        }
    }
    put_i32(out, 7, 1);
    put_tags(out, 10, span, 8);
    put_logs(out, span);
    put_stop(out);
}

static struct str process_of(struct str spans)
{
    const uint8_t *at = wire_begin(spans), *in;
    struct str process = STR("");
    struct wire_field span, field;

    while (next(&at, spans, &span))
        for (in = wire_begin(span.bytes); next(&in, span.bytes, &field);)
            if (field.number == 10)
                process = field.bytes;
    return process;
}

void thrift_write_batch(struct buf *out, struct str spans, uint32_t n)
{
    const uint8_t *at = wire_begin(spans);
    struct str process = process_of(spans);
    struct wire_field field;

    put_field(out, T_STRUCT, 1);
    for (const uint8_t *in = wire_begin(process); next(&in, process, &field);)
        if (field.number == 1)
            put_string(out, 1, field.bytes);
    put_tags(out, 2, process, 2);
    put_stop(out);
    put_list(out, 2, n);
    while (next(&at, spans, &field))
        put_span(out, field.bytes);
    put_stop(out);
}
