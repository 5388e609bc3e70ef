/* spans.h - spans, resources, events and links from literals, for the tests of this folder. Memory
 * is one arena of the program's. One thread. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/otlp_write.h"

static struct arena spans_arena;

#define A_STR(k, text)                                                                             \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_STRING, .str = STR_INIT(text)                                            \
        }                                                                                          \
    }
#define A_BYTES(k, text)                                                                           \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_BYTES, .str = STR_INIT(text)                                             \
        }                                                                                          \
    }
#define A_ARRAY(k, raw_)                                                                           \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_ARRAY, .raw = STR_INIT(raw_)                                             \
        }                                                                                          \
    }
#define A_MAP(k, raw_)                                                                             \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_KVLIST, .raw = STR_INIT(raw_)                                            \
        }                                                                                          \
    }
#define A_OTHER(k, raw_)                                                                           \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_OTHER, .raw = STR_INIT(raw_)                                             \
        }                                                                                          \
    }
#define A_INT(k, n)                                                                                \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_INT, .i = (n)                                                            \
        }                                                                                          \
    }
#define A_DOUBLE(k, n)                                                                             \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_DOUBLE, .d = (n)                                                         \
        }                                                                                          \
    }
#define A_BOOL(k, n)                                                                               \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_BOOL, .b = (n)                                                           \
        }                                                                                          \
    }
#define A_EMPTY(k)                                                                                 \
    {                                                                                              \
        STR_INIT(k),                                                                               \
        {                                                                                          \
            .type = VALUE_EMPTY                                                                    \
        }                                                                                          \
    }
#define ATTRS(...)                                                                                 \
    (const struct attr[]){__VA_ARGS__}, MG_COUNT(((const struct attr[]){__VA_ARGS__}))
#define NO_ATTRS NULL, 0

static inline struct str keep(struct buf *from)
{
    struct str copy = arena_str(&spans_arena, buf_str(from));

    buf_fini(from);
    return copy;
}

static inline struct str joined(struct str a, struct str b)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    buf_put_str(&out, a);
    buf_put_str(&out, b);
    return keep(&out);
}

static inline void put_attrs(struct buf *out, uint32_t field, const struct attr *attrs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        otlp_put_attr(out, field, &attrs[i]);
}

static inline struct str resource_of(const struct attr *attrs, size_t n)
{
    struct buf inner, out;

    buf_init(&inner, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    put_attrs(&inner, 1, attrs, n);
    wire_put_bytes(&out, 1, buf_str(&inner));
    buf_fini(&inner);
    return keep(&out);
}

static inline struct str scope_of(const char *name, const char *version)
{
    struct buf inner, out;

    buf_init(&inner, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    wire_put_bytes(&inner, 1, str_of(name));
    wire_put_bytes(&inner, 2, str_of(version));
    wire_put_bytes(&out, 1, buf_str(&inner));
    buf_fini(&inner);
    return keep(&out);
}

static inline struct str event_of(uint64_t time_ns, const char *name, const struct attr *attrs,
                                  size_t n)
{
    struct buf inner, out;

    buf_init(&inner, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    wire_put_fixed64(&inner, 1, time_ns);
    wire_put_bytes(&inner, 2, str_of(name));
    put_attrs(&inner, 3, attrs, n);
    wire_put_bytes(&out, 11, buf_str(&inner));
    buf_fini(&inner);
    return keep(&out);
}

/* Ids in hex, of any length. */
static inline struct str link_of(const char *trace_id, const char *span_id,
                                 const struct attr *attrs, size_t n)
{
    uint8_t id[32];
    struct buf inner, out;

    buf_init(&inner, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    assert_true(hex_decode(str_of(trace_id), id, strlen(trace_id) / 2));
    wire_put_bytes(&inner, 1, str_n(id, strlen(trace_id) / 2));
    assert_true(hex_decode(str_of(span_id), id, strlen(span_id) / 2));
    wire_put_bytes(&inner, 2, str_n(id, strlen(span_id) / 2));
    put_attrs(&inner, 4, attrs, n);
    wire_put_bytes(&out, 13, buf_str(&inner));
    buf_fini(&inner);
    return keep(&out);
}

/* A span of trace 0102…10 that starts at 1 s and takes 1 ms, of service "shop". */
static inline struct span *span_of(uint64_t id, uint64_t parent, int32_t kind)
{
    static const uint8_t trace_id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct span *span = ARENA_NEW(&spans_arena, struct span);

    memcpy(span->trace_id, trace_id, sizeof trace_id);
    put_be64(span->span_id, id);
    put_be64(span->parent_id, parent);
    span->kind = kind;
    span->start_ns = 1000000000;
    span->end_ns = 1001000000;
    span->name = STR("op");
    span->resource = resource_of(ATTRS(A_STR("service.name", "shop")));
    return span;
}

static inline int spans_fini(void **state)
{
    (void)state;
    arena_fini(&spans_arena);
    return 0;
}
