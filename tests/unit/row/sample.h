/* sample.h - spans that exercise every field of a row, for the tests of this folder.
 *
 * sample_span(i) fills one of SAMPLES spans; their bytes are static or belong to the arena. */
#pragma once
#include "row/intern.h"

#define S_STR(text)  { .type = VALUE_STRING, .str = STR_INIT(text) }
#define S_BYTES(text){ .type = VALUE_BYTES, .str = STR_INIT(text) }
#define S_RAW(t, text) { .type = VALUE_##t, .raw = STR_INIT(text) }
#define S_INT(n)     { .type = VALUE_INT, .i = (n) }
#define S_DOUBLE(n)  { .type = VALUE_DOUBLE, .d = (n) }
#define S_BOOL(n)    { .type = VALUE_BOOL, .b = (n) }
#define S_EMPTY      { .type = VALUE_EMPTY }

static const struct attr sample_types[] = {
    { STR_INIT("s"), S_STR("text") },
    { STR_INIT("b"), S_BYTES("\x00\xff\x80") },
    { STR_INIT("a"), S_RAW(ARRAY, "\x0a\x03\x0a\x01x") },
    { STR_INIT("m"), S_RAW(KVLIST, "\x0a\x03\x0a\x01k") },
    { STR_INIT("o"), S_RAW(OTHER, "\x0a\x01o\x18\x05") },
    { STR_INIT("i"), S_INT(INT64_MIN) },
    { STR_INIT("j"), S_INT(INT64_MAX) },
    { STR_INIT("z"), S_INT(0) },
    { STR_INIT("d"), S_DOUBLE(-0.0) },
    { STR_INIT("n"), S_DOUBLE(__builtin_nan("0x123")) },
    { STR_INIT("t"), S_BOOL(true) },
    { STR_INIT("f"), S_BOOL(false) },
    { STR_INIT("e"), S_EMPTY },
};
static const struct attr sample_keys[] = {
    { STR_INIT(""), S_STR("") },  { STR_INIT("k"), S_STR("1") },
    { STR_INIT("k"), S_STR("2") }, { STR_INIT("k"), S_INT(1) },
    { STR_INIT(""), S_EMPTY },     { STR_INIT("k\0k"), S_STR("\0") },
    { STR_INIT("\xff"), S_STR("\xc0") }, { STR_INIT("k"), S_STR("1") },
};

enum sample {
    SAMPLE_NOTHING, SAMPLE_TYPES, SAMPLE_KEYS, SAMPLE_PARTS, SAMPLE_NUMBERS,
    SAMPLE_KIND_254, SAMPLE_KIND_255, SAMPLE_KIND_256, SAMPLE_KIND_NEGATIVE,
    SAMPLE_STATUS_WIDE, SAMPLE_BOTH_WIDE,
    SAMPLE_VALUE_1024, SAMPLE_VALUE_1025, SAMPLE_VALUE_HUGE,
    SAMPLE_ATTRS_64, SAMPLE_ATTRS_65, SAMPLE_ATTRS_4096,
    SAMPLE_EVENTS_HUGE, SAMPLE_STATE_LONG, SAMPLES
};

static struct str sample_fill(struct arena *arena, size_t len, char c)
{
    char *text = arena_alloc(arena, len);
    memset(text, c, len);
    return str_n(text, len);
}

static inline void sample_attrs(struct arena *arena, struct span *span, uint32_t n)
{
    struct attr *attrs = arena_alloc(arena, n * sizeof *attrs);

    for (uint32_t i = 0; i < n; i++) {
        attrs[i].key = arena_printf(arena, "key.%u", i % 100);
        attrs[i].value = sample_types[i % MG_COUNT(sample_types)].value;
    }
    span->attrs = attrs;
    span->n_attrs = n;
}

static inline void sample_value(struct arena *arena, struct span *span, size_t len)
{
    struct attr *attr = arena_zero(arena, sizeof *attr);

    attr->key = STR("long");
    attr->value = (struct value){ .type = VALUE_STRING, .str = sample_fill(arena, len, 'v') };
    span->attrs = attr;
    span->n_attrs = 1;
}

static inline void sample_span(struct arena *arena, enum sample i, struct span *span)
{
    *span = (struct span){ 0 };
    if (i == SAMPLE_NOTHING)
        return;
    memset(span->trace_id, 0x11, 16);
    memset(span->span_id, 0x22, 8);
    span->start_ns = 1000;
    span->end_ns = 2000;
    span->name = STR("GET /");
    span->kind = SPAN_SERVER;
    span->resource = STR("\x0a\x00");
    span->scope = STR("\x1a\x01s");
    switch (i) {
    case SAMPLE_TYPES:
        span->attrs = sample_types;
        span->n_attrs = MG_COUNT(sample_types);
        break;
    case SAMPLE_KEYS:
        span->attrs = sample_keys;
        span->n_attrs = MG_COUNT(sample_keys);
        break;
    case SAMPLE_PARTS:
        memset(span->parent_id, 0x33, 8);
        span->trace_state = STR("ot=th:8");
        span->status_message = STR("no\xff");
        span->status_code = STATUS_ERROR;
        span->dropped_attrs = 1;
        span->dropped_events = 128;
        span->dropped_links = UINT32_MAX;
        span->events = STR("\x5a\x02\x12\x00");
        span->links = STR("\x6a\x00");
        span->unknown = STR("\xa0\x06\x01");
        break;
    case SAMPLE_NUMBERS:
        span->start_ns = UINT64_MAX;
        span->end_ns = 0;
        span->flags = UINT32_MAX;
        break;
    case SAMPLE_KIND_254: span->kind = 254; break;
    case SAMPLE_KIND_255: span->kind = 255; break;
    case SAMPLE_KIND_256: span->kind = 256; break;
    case SAMPLE_KIND_NEGATIVE: span->kind = -1; break;
    case SAMPLE_STATUS_WIDE: span->status_code = INT32_MAX; break;
    case SAMPLE_BOTH_WIDE: span->kind = INT32_MIN; span->status_code = 255; break;
    case SAMPLE_VALUE_1024: sample_value(arena, span, 1024); break;
    case SAMPLE_VALUE_1025: sample_value(arena, span, 1025); break;
    case SAMPLE_VALUE_HUGE: sample_value(arena, span, (size_t)3 << 20); break;
    case SAMPLE_ATTRS_64: sample_attrs(arena, span, 64); break;
    case SAMPLE_ATTRS_65: sample_attrs(arena, span, 65); break;
    case SAMPLE_ATTRS_4096: sample_attrs(arena, span, 4096); break;
    case SAMPLE_EVENTS_HUGE: span->events = sample_fill(arena, ((size_t)1 << 20) + 1, 'e'); break;
    case SAMPLE_STATE_LONG:
        span->trace_state = sample_fill(arena, 1025, 's');
        span->status_message = sample_fill(arena, 4000, 'm');
        break;
    default: break;
    }
}

static inline void sample_intern(struct interner *interner, const struct span *span)
{
    interner_resource(interner, span->resource);
    interner_scope(interner, span->scope);
    interner_span(interner, span);
}
static inline const struct row *batch_first(const struct row_batch *batch)
{
    return (const struct row *)batch->rows;
}
static inline const struct row *batch_next(const struct row *row)
{
    return (const struct row *)((const char *)row + row->bytes);
}
