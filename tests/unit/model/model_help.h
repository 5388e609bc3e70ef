/* model_help.h - what the tests of model share: bytes from hex, a text form of spans to compare
 * with, and the corpora. One program, one thread. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/arena.h"
#include "base/mem.h"
#include "codec/zip.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"

#define TRACE_HEX "0a10 0102030405060708090a0b0c0d0e0f10"
#define SPAN_HEX  "1208 1112131415161718"
#define IDS_HEX   TRACE_HEX SPAN_HEX

static struct arena help_arena;

static inline int help_fini(void **state)
{
    (void)state;
    arena_fini(&help_arena);
    return 0;
}

/* "0a 01 61" -> bytes; spaces are free. */
static inline struct str hex(const char *text)
{
    size_t len = strlen(text), n = 0;
    char *digits = arena_alloc(&help_arena, len + 1);
    uint8_t *bytes = arena_alloc(&help_arena, len / 2 + 1);

    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ')
            digits[n++] = text[i];
    if (!hex_decode(str_n(digits, n), bytes, n / 2))
        fail_msg("bad hex: %s", text);
    return str_n(bytes, n / 2);
}

static inline struct str field_bytes(uint32_t number, struct str content)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    wire_put_bytes(&out, number, content);
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static inline struct str join(struct str a, struct str b)
{
    char *both = arena_alloc(&help_arena, a.len + b.len + 1);

    if (a.len)
        memcpy(both, a.ptr, a.len);
    if (b.len)
        memcpy(both + a.len, b.ptr, b.len);
    return str_n(both, a.len + b.len);
}

/* A request with one group and this Span message. */
static inline struct str request_of(struct str span)
{
    return field_bytes(1, field_bytes(2, field_bytes(2, span)));
}

/* A KeyValue "d" whose value is an int inside `maps` maps inside `arrays` arrays. */
static inline struct str nested_attr(unsigned arrays, unsigned maps)
{
    struct str any = hex("1801");

    for (unsigned i = 0; i < maps; i++)
        any = field_bytes(6, field_bytes(1, join(hex("0a016b"), field_bytes(2, any))));
    for (unsigned i = 0; i < arrays; i++)
        any = field_bytes(5, field_bytes(1, any));
    return join(hex("0a0164"), field_bytes(2, any));
}

/* --- spans as text: only what differs from nothing ---------------------------------------------
 */

static inline void put_hex(struct buf *out, const char *name, struct str bytes)
{
    if (!bytes.len)
        return;
    buf_printf(out, " %s=", name);
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(out, "%02x", (uint8_t)bytes.ptr[i]);
}

static inline void put_number(struct buf *out, const char *name, int64_t value)
{
    if (value)
        buf_printf(out, " %s=%" PRId64, name, value);
}

static inline void put_text(struct buf *out, const char *name, struct str text)
{
    if (text.len)
        buf_printf(out, " %s=%.*s", name, STR_ARG(text));
}

static inline void put_attr(struct buf *out, const struct attr *attr)
{
    static const char *const types[] = { "empty", "string", "bool", "int",  "double",
                                         "bytes", "array",  "map",  "other" };
    const struct value *v = &attr->value;

    buf_printf(out, " %.*s:%s", STR_ARG(attr->key), types[v->type]);
    switch (v->type) {
    case VALUE_EMPTY:
        break;
    case VALUE_BOOL:
        buf_printf(out, ":%d", v->b);
        break;
    case VALUE_INT:
        buf_printf(out, ":%" PRId64, v->i);
        break;
    case VALUE_DOUBLE:
        buf_printf(out, ":%g", v->d);
        break;
    case VALUE_STRING:
        buf_printf(out, ":%.*s", STR_ARG(v->str));
        break;
    default:
        buf_put_text(out, ":");
        for (size_t i = 0; i < v->raw.len; i++)
            buf_printf(out, "%02x", (uint8_t)v->raw.ptr[i]);
    }
}

/* Everything but the trace and span id. */
static inline void put_span(struct buf *out, const struct span *span)
{
    if (!span_is_root(span))
        put_hex(out, "parent", str_n(span->parent_id, 8));
    put_text(out, "state", span->trace_state);
    put_text(out, "name", span->name);
    put_number(out, "kind", span->kind);
    put_number(out, "start", (int64_t)span->start_ns);
    put_number(out, "end", (int64_t)span->end_ns);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        put_attr(out, &span->attrs[i]);
    put_number(out, "dropped_attrs", span->dropped_attrs);
    put_hex(out, "events", span->events);
    put_number(out, "dropped_events", span->dropped_events);
    put_hex(out, "links", span->links);
    put_number(out, "dropped_links", span->dropped_links);
    put_number(out, "code", span->status_code);
    put_text(out, "message", span->status_message);
    put_number(out, "flags", span->flags);
    put_hex(out, "unknown", span->unknown);
}

/* --- a visitor that writes down what it is told --------------------------------------------- */

static inline void told_resource(void *owner, struct str resource)
{
    buf_put_text(owner, "R");
    put_hex(owner, "bytes", resource);
    buf_put_text(owner, "\n");
}

static inline void told_scope(void *owner, struct str scope)
{
    buf_put_text(owner, "S");
    put_hex(owner, "bytes", scope);
    buf_put_text(owner, "\n");
}

static inline void told_span(void *owner, const struct span *span, uint32_t ordinal)
{
    buf_printf(owner, "%u", ordinal);
    put_span(owner, span);
    buf_put_text(owner, "\n");
}

static inline void told_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    static const char *const names[] = { "trace", "span", "parent", "attrs" };

    buf_printf(owner, "%u refused %s\n", ordinal, names[why]);
}

static const struct span_visitor telling = { told_resource, told_scope, told_span, told_refused };

/* Writes every span as a request of its own: two scans saw the same when their bytes are equal. */
static inline void written_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static inline void written_span(void *owner, const struct span *span, uint32_t ordinal)
{
    buf_put_varint(owner, ordinal);
    otlp_write_request(owner, &span, 1);
}

static inline void written_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    buf_printf(owner, "%u refused %d", ordinal, why);
}

static const struct span_visitor writing = { written_group, written_group, written_span,
                                             written_refused };

/* --- spans that come back as they were ------------------------------------------------------- */

static inline void unchanged_span(void *owner, const struct span *span, uint32_t ordinal)
{
    const struct span *const *want = owner;
    struct buf told;

    assert_int_equal(ordinal, 0);
    if (span_equal(span, *want))
        return;
    buf_init(&told, SIZE_MAX);
    put_span(&told, *want);
    buf_put_text(&told, "\nbecame");
    put_span(&told, span);
    fail_msg("%.*s", (int)told.len, told.ptr);
}

static inline void none_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
    fail();
}

static const struct span_visitor unchanged = { written_group, written_group, unchanged_span,
                                               none_refused };

/* The way a span goes and comes back: appends a request with nothing but it. */
typedef void back_fn(void *owner, const struct span *span, struct buf *request);
struct coming_back {
    struct otlp_scanner *scanner;
    back_fn *go;
    void *owner;
    uint32_t n;
};

static inline void span_comes_back(void *owner, const struct span *span, uint32_t ordinal)
{
    struct coming_back *back = owner;
    struct buf request;

    (void)ordinal;
    buf_init(&request, SIZE_MAX);
    back->go(back->owner, span, &request);
    assert_int_equal(otlp_scan(back->scanner, buf_str(&request), &unchanged, &span, NULL), MG_OK);
    buf_fini(&request);
    back->n++;
}

static inline void ignore_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
}

/* Every span of the body; returns how many there were. */
static inline uint32_t all_come_back(struct str body, back_fn *go, void *owner)
{
    static const struct span_visitor visitor = { written_group, written_group, span_comes_back,
                                                 ignore_refused };
    struct otlp_scanner *outer = otlp_scanner_new(NULL);
    struct coming_back back = { otlp_scanner_new(NULL), go, owner, 0 };

    assert_int_equal(otlp_scan(outer, body, &visitor, &back, NULL), MG_OK);
    otlp_scanner_free(&back.scanner);
    otlp_scanner_free(&outer);
    return back.n;
}

/* --- corpora --------------------------------------------- */

static inline bool file_read(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char block[65536];
    size_t n;

    if (!file)
        return false;
    buf_init(out, SIZE_MAX);
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        buf_put(out, block, n);
    fclose(file);
    return true;
}

/* A file of the fuzz targets' corpora, as "otlp_scan/two_groups". */
__attribute__((format(printf, 1, 2))) static inline struct str seed(const char *format, ...)
{
    char path[4096] = SEEDS_DIR "/";
    size_t len = strlen(path);
    struct buf bytes;
    va_list args;

    va_start(args, format);
    vsnprintf(path + len, sizeof path - len, format, args);
    va_end(args);
    if (!file_read(path, &bytes))
        fail_msg("cannot read %s", path);
    struct str copy = arena_str(&help_arena, buf_str(&bytes));
    buf_fini(&bytes);
    return copy;
}

/* The astronomy corpus, inflated; false, with a word about it, where it is absent. */
static inline bool astronomy_read(struct buf *out)
{
    const char *folder = getenv("MGTEST_CORPORA");
    char path[4096];
    struct mg_why why;
    struct buf packed;

    snprintf(path, sizeof path, "%s/astronomy-oteltraces.zst", folder ? folder : CORPORA_DIR);
    if (!file_read(path, &packed)) {
        print_message("skipped: no corpus at %s\n", path);
        return false;
    }
    struct zip *zip = zip_new();
    buf_init(out, (size_t)1 << 30);
    if (zip_inflate(zip, ZIP_ZSTD, buf_str(&packed), (size_t)1 << 30, out, &why) != MG_OK)
        fail_msg("%s: %s", path, why.text);
    zip_free(&zip);
    buf_fini(&packed);
    return true;
}

static inline bool record_next(struct str *rest, struct str *record)
{
    if (rest->len < 4)
        return false;
    size_t len = get_be32(rest->ptr);
    assert_true(len <= rest->len - 4);
    *record = str_n(rest->ptr + 4, len);
    *rest = str_n(rest->ptr + 4 + len, rest->len - 4 - len);
    return true;
}

/* The first records of the astronomy corpus; false where it is absent. */
static inline bool traffic_comes_back(back_fn *go, void *owner)
{
    struct buf corpus;
    struct str rest, record;

    if (!astronomy_read(&corpus))
        return false;
    rest = buf_str(&corpus);
    for (unsigned i = 0; i < 20 && record_next(&rest, &record); i++)
        assert_true(all_come_back(record, go, owner) > 0);
    buf_fini(&corpus);
    return true;
}
