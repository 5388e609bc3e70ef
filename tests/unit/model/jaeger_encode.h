/* jaeger_encode.h - described spans as Jaeger's bytes: Thrift in both encodings, and protobuf. Written for the tests, from
 * jaeger-idl's model.proto and jaeger.thrift; shares nothing with what it tests. */
#pragma once
#include "jaeger_help.h"

/* --- Thrift --------------------------------------------- */

enum { T_BOOL = 2, T_DOUBLE = 4, T_I32 = 8, T_I64 = 10, T_STRING = 11, T_STRUCT = 12, T_LIST = 15 };

struct thrift_out {
    struct buf out;
    bool compact;
    int last[16];                 /* of each struct that is open */
    unsigned depth;
    const char *in[16];           /* their names */
    const char *omit_in;          /* this field of such structs is left out */
    int omit;
    bool extra;                   /* every struct gets fields that nobody knows */
};

static inline void t_byte(struct thrift_out *t, unsigned byte)
{
    buf_put_char(&t->out, (char)byte);
}

static inline void t_number(struct thrift_out *t, int64_t value, unsigned bytes)
{
    uint8_t be[8];

    if (t->compact) {
        buf_put_varint(&t->out, zigzag(value));
        return;
    }
    put_be64(be, (uint64_t)value);
    buf_put(&t->out, be + 8 - bytes, bytes);
}

static inline void t_count(struct thrift_out *t, size_t n)
{
    if (t->compact)
        buf_put_varint(&t->out, n);
    else
        t_number(t, (int64_t)n, 4);
}

static inline unsigned t_code(const struct thrift_out *t, int type)
{
    static const uint8_t compact[] = { [3] = 3, [T_DOUBLE] = 7, [6] = 4, [T_I32] = 5, [T_I64] = 6, [T_STRING] = 8,
                                       [T_STRUCT] = 12, [13] = 11, [14] = 10, [T_LIST] = 9, [T_BOOL] = 1 };

    return t->compact ? compact[type] : (unsigned)type;
}

/* False: this field is to be left out. */
static inline bool t_field(struct thrift_out *t, int type, int id, unsigned code)
{
    unsigned top = t->depth - 1;

    if (t->omit_in && id == t->omit && strcmp(t->omit_in, t->in[top]) == 0)
        return false;
    if (!t->compact) {
        t_byte(t, (unsigned)type);
        t_number(t, id, 2);
        return true;
    }
    int delta = id - t->last[top];
    if (delta > 0 && delta < 16) {
        t_byte(t, (unsigned)delta << 4 | code);
    } else {
        t_byte(t, code);
        t_number(t, id, 2);
    }
    t->last[top] = id;
    return true;
}

static inline void t_i64(struct thrift_out *t, int id, int64_t value)
{
    if (t_field(t, T_I64, id, 6))
        t_number(t, value, 8);
}

static inline void t_i32(struct thrift_out *t, int id, int32_t value)
{
    if (t_field(t, T_I32, id, 5))
        t_number(t, value, 4);
}

static inline void t_str(struct thrift_out *t, int id, struct str text)
{
    if (!t_field(t, T_STRING, id, 8))
        return;
    t_count(t, text.len);
    buf_put_str(&t->out, text);
}

static inline void t_bool(struct thrift_out *t, int id, bool value)
{
    if (t_field(t, T_BOOL, id, value ? 1 : 2) && !t->compact)
        t_byte(t, value);
}

static inline void t_double(struct thrift_out *t, int id, double value)
{
    uint8_t bytes[8];
    uint64_t bits;

    if (!t_field(t, T_DOUBLE, id, 7))
        return;
    memcpy(&bits, &value, sizeof bits);
    if (t->compact)
        put_le64(bytes, bits);
    else
        put_be64(bytes, bits);
    buf_put(&t->out, bytes, sizeof bytes);
}

static inline bool t_list(struct thrift_out *t, int id, int type, unsigned n)
{
    if (!t_field(t, T_LIST, id, 9))
        return false;
    if (!t->compact) {
        t_byte(t, (unsigned)type);
        t_number(t, n, 4);
    } else if (n < 15) {
        t_byte(t, n << 4 | t_code(t, type));
    } else {
        t_byte(t, 15u << 4 | t_code(t, type));
        t_count(t, n);
    }
    return true;
}

static inline void t_open(struct thrift_out *t, const char *name)
{
    t->in[t->depth] = name;
    t->last[t->depth++] = 0;
}

/* One field of every type and shape, none of which Jaeger has. */
static inline void t_extras(struct thrift_out *t)
{
    t_bool(t, 100, true);
    t_double(t, 300, 1.5);
    t_i64(t, -7, 5);
    if (t_list(t, 101, T_LIST, 1)) { /* a list of a list of two booleans */
        if (t->compact)
            t_byte(t, 2 << 4 | 1);
        else
            buf_put(&t->out, "\x02\0\0\0\x02", 5);
        buf_put(&t->out, t->compact ? "\1\2" : "\1\0", 2);
    }
    if (t_field(t, 13, 102, 11)) { /* a map of one i32 to a struct without fields */
        if (t->compact)
            buf_put(&t->out, "\x01\x5c\x02\x00", 4);
        else
            buf_put(&t->out, "\x08\x0c\0\0\0\1\0\0\0\1\0", 11);
    }
    if (t_field(t, 13, 103, 11)) { /* an empty map */
        if (t->compact)
            t_byte(t, 0);
        else
            buf_put(&t->out, "\x08\x0c\0\0\0\0", 6);
    }
    if (t_field(t, 3, 104, 3))
        t_byte(t, 9);
    if (t_field(t, 6, 105, 4))
        t_number(t, -9, 2);
}

static inline void t_close(struct thrift_out *t)
{
    if (t->extra)
        t_extras(t);
    t_byte(t, 0);
    t->depth--;
}

static inline void t_tag(struct thrift_out *t, struct str word)
{
    static const char types[] = "sdbix"; /* places are vType */
    struct word_tag tag = word_tag(word);
    const char *type = strchr(types, tag.type);

    t_open(t, "Tag");
    t_str(t, 1, tag.key);
    t_i32(t, 2, type ? (int32_t)(type - types) : 9);
    switch (tag.type) {
    case 's':
        t_str(t, 3, tag.text);
        break;
    case 'd':
        t_double(t, 4, tag.d);
        break;
    case 'b':
        t_bool(t, 5, str_eq(tag.text, STR("true")));
        break;
    case 'i':
        t_i64(t, 6, tag.i);
        break;
    case 'x':
        t_str(t, 7, tag.text);
        break;
    }
    t_close(t);
}

static inline void t_tags(struct thrift_out *t, int id, struct str words)
{
    struct str word;

    if (!t_list(t, id, T_STRUCT, words_count(words)))
        return;
    while (word_next(&words, &word))
        t_tag(t, word);
}

static inline void t_logs(struct thrift_out *t, struct str logs)
{
    struct str log, word, copy = logs;
    unsigned n = 0;

    while (str_cut(&copy, ';', &log))
        n++;
    if (!n || !t_list(t, 11, T_STRUCT, n))
        return;
    while (str_cut(&logs, ';', &log)) {
        int64_t time_us = 0;
        assert_true(word_next(&log, &word));
        assert_int_equal(str_i64(word, &time_us), MG_OK);
        t_open(t, "Log");
        t_i64(t, 1, time_us);
        t_tags(t, 2, log);
        t_close(t);
    }
}

static inline void t_refs(struct thrift_out *t, struct str refs)
{
    struct str word;
    unsigned n = words_count(refs);

    if (!n || !t_list(t, 6, T_STRUCT, n))
        return;
    while (word_next(&refs, &word)) {
        struct word_ref ref = word_ref(word);
        t_open(t, "SpanRef");
        t_i32(t, 1, ref.child_of ? 0 : 1);
        t_i64(t, 2, (int64_t)ref.trace_low);
        t_i64(t, 3, 0);
        t_i64(t, 4, (int64_t)ref.span);
        t_close(t);
    }
}

static inline void t_span(struct thrift_out *t, const struct described *span, uint64_t id)
{
    t_open(t, "Span");
    t_i64(t, 1, TRACE_LOW);
    t_i64(t, 2, 0);
    t_i64(t, 3, (int64_t)id);
    t_i64(t, 4, (int64_t)span->parent);
    t_str(t, 5, or_empty(span->name));
    t_refs(t, or_empty(span->refs));
    t_i32(t, 7, 1);
    t_i64(t, 8, span->start_us);
    t_i64(t, 9, span->duration_us);
    if (span->tags)
        t_tags(t, 10, str_of(span->tags));
    t_logs(t, or_empty(span->logs));
    t_close(t);
}

static inline void t_batch(struct thrift_out *t, const struct batch_described *batch)
{
    t_open(t, "Batch");
    if (t_field(t, T_STRUCT, 1, 12)) {
        t_open(t, "Process");
        t_str(t, 1, or_empty(batch->service));
        if (batch->process)
            t_tags(t, 2, str_of(batch->process));
        t_close(t);
    }
    if (t_list(t, 2, T_STRUCT, (unsigned)batch->n))
        for (size_t i = 0; i < batch->n; i++)
            t_span(t, &batch->spans[i], SPAN_FIRST + i);
    t_i64(t, 3, 77); /* seqNo */
    t_close(t);
}

static inline void t_message(struct thrift_out *t, const char *method, unsigned type)
{
    size_t len = strlen(method);

    if (t->compact) {
        t_byte(t, 0x82);
        t_byte(t, type << 5 | 1);
        buf_put_varint(&t->out, 3);
        t_count(t, len);
        buf_put_text(&t->out, method);
    } else {
        t_number(t, (int64_t)(0x80010000u | type), 4);
        t_count(t, len);
        buf_put_text(&t->out, method);
        t_number(t, 3, 4);
    }
}

static inline struct str t_take(struct thrift_out *t)
{
    struct str copy = arena_str(&help_arena, buf_str(&t->out));

    buf_fini(&t->out);
    return copy;
}

struct thrift_how { const char *method, *omit_in; unsigned type; int omit; bool extra; };

/* With what is to be wrong about it; NULL: nothing. */
static inline struct str thrift_of(enum jaeger_wire wire, const struct batch_described *batch, const struct thrift_how *how)
{
    static const struct thrift_how plain = { "emitBatch", NULL, 4, 0, false };
    struct thrift_out t = { .compact = wire == JAEGER_UDP_COMPACT };

    if (!how)
        how = &plain;
    t.omit_in = how->omit_in;
    t.omit = how->omit;
    t.extra = how->extra;
    buf_init(&t.out, SIZE_MAX);
    if (wire == JAEGER_HTTP_BINARY) {
        t_batch(&t, batch);
        return t_take(&t);
    }
    t_message(&t, how->method, how->type);
    t_open(&t, "args");
    if (t_field(&t, T_STRUCT, 1, 12))
        t_batch(&t, batch);
    t_close(&t);
    return t_take(&t);
}

/* --- protobuf --------------------------------------------- */

static inline void p_tag(struct buf *out, uint32_t number, struct str word)
{
    static const char types[] = "sbidx"; /* places are v_type */
    struct word_tag tag = word_tag(word);
    const char *type = strchr(types, tag.type);
    size_t mark = wire_open(out, number);
    uint64_t bits;

    wire_put_bytes(out, 1, tag.key);
    wire_put_varint(out, 2, type ? (uint64_t)(type - types) : 9);
    if (tag.type == 's')
        wire_put_bytes(out, 3, tag.text);
    else if (tag.type == 'b')
        wire_put_varint(out, 4, str_eq(tag.text, STR("true")));
    else if (tag.type == 'i')
        wire_put_varint(out, 5, (uint64_t)tag.i);
    else if (tag.type == 'x')
        wire_put_bytes(out, 7, tag.text);
    memcpy(&bits, &tag.d, sizeof bits);
    if (tag.type == 'd')
        wire_put_fixed64(out, 6, bits);
    wire_close(out, mark);
}

static inline void p_tags(struct buf *out, uint32_t number, struct str words)
{
    struct str word;

    while (word_next(&words, &word))
        p_tag(out, number, word);
}

/* Seconds towards zero and nanos of the same sign. */
static inline void p_time(struct buf *out, uint32_t number, int64_t us)
{
    size_t mark = wire_open(out, number);

    wire_put_varint(out, 1, (uint64_t)(us / 1000000));
    wire_put_varint(out, 2, (uint64_t)(us % 1000000 * 1000));
    wire_close(out, mark);
}

static inline void p_ref(struct buf *out, const struct word_ref *ref)
{
    uint8_t trace_id[16] = { 0 }, span_id[8];
    size_t mark = wire_open(out, 4);

    put_be64(trace_id + 8, ref->trace_low);
    put_be64(span_id, ref->span);
    wire_put_bytes(out, 1, str_n(trace_id, 16));
    wire_put_bytes(out, 2, str_n(span_id, 8));
    wire_put_varint(out, 3, ref->child_of ? 0 : 1);
    wire_close(out, mark);
}

static inline void p_refs(struct buf *out, const struct described *span)
{
    struct word_ref parent = { true, TRACE_LOW, span->parent };
    struct str refs = or_empty(span->refs), word;

    if (span->parent)
        p_ref(out, &parent);
    while (word_next(&refs, &word)) {
        struct word_ref ref = word_ref(word);
        p_ref(out, &ref);
    }
}

static inline void p_logs(struct buf *out, struct str logs)
{
    struct str log, word;

    while (str_cut(&logs, ';', &log)) {
        int64_t time_us = 0;
        assert_true(word_next(&log, &word));
        assert_int_equal(str_i64(word, &time_us), MG_OK);
        size_t mark = wire_open(out, 9);
        p_time(out, 1, time_us);
        p_tags(out, 2, log);
        wire_close(out, mark);
    }
}

static inline void p_process(struct buf *out, uint32_t number, const char *service, const char *tags)
{
    size_t mark = wire_open(out, number);

    wire_put_bytes(out, 1, or_empty(service));
    p_tags(out, 2, or_empty(tags));
    wire_close(out, mark);
}

static inline void p_span(struct buf *out, const struct described *span, uint64_t id)
{
    uint8_t trace_id[16] = { 0 }, span_id[8];

    put_be64(trace_id + 8, TRACE_LOW);
    put_be64(span_id, id);
    wire_put_bytes(out, 1, str_n(trace_id, 16));
    wire_put_bytes(out, 2, str_n(span_id, 8));
    wire_put_bytes(out, 3, or_empty(span->name));
    p_refs(out, span);
    wire_put_varint(out, 5, 1);
    p_time(out, 6, span->start_us);
    p_time(out, 7, span->duration_us);
    p_tags(out, 8, or_empty(span->tags));
    p_logs(out, or_empty(span->logs));
    if (span->service)
        p_process(out, 10, span->service, span->process);
    wire_put_bytes(out, 11, STR("p1")); /* process_id, which says nothing here */
}

static inline struct str proto_of(enum jaeger_wire wire, const struct batch_described *batch)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    if (wire == JAEGER_SPAN) {
        p_span(&out, &batch->spans[0], SPAN_FIRST);
        p_process(&out, 10, batch->service, batch->process);
    } else {
        size_t mark = wire_open(&out, 1);
        for (size_t i = 0; i < batch->n; i++) {
            size_t span = wire_open(&out, 1);
            p_span(&out, &batch->spans[i], SPAN_FIRST + i);
            wire_close(&out, span);
        }
        p_process(&out, 2, batch->service, batch->process);
        wire_close(&out, mark);
    }
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static inline struct str body_of(enum jaeger_wire wire, const struct batch_described *batch)
{
    return wire == JAEGER_POST_SPANS || wire == JAEGER_SPAN ? proto_of(wire, batch) : thrift_of(wire, batch, NULL);
}
