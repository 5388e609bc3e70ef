/* rows.c - spans as decided fragments of ring rows. */
#include "unit/store/rows.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/zip.h"
#include "model/otlp_write.h"

void rows_init(struct rows *rows)
{
    *rows = (struct rows){ .loops = { interner_new(), interner_new() } };
}

void rows_forget(struct rows *rows)
{
    for (size_t i = 0; i < rows->segments.n; i++)
        segment_unref(&rows->segments.at[i]);
    VEC_CLEAR(&rows->segments);
    VEC_CLEAR(&rows->traces);
    VEC_CLEAR(&rows->all);
    map_fini(&rows->by_id);
    rows->open[0] = rows->open[1] = NULL;
}

void rows_fini(struct rows *rows)
{
    rows_forget(rows);
    VEC_FINI(&rows->segments);
    VEC_FINI(&rows->traces);
    VEC_FINI(&rows->all);
    interner_free(&rows->loops[0]);
    interner_free(&rows->loops[1]);
}

static struct row *ring_row(struct rows *rows, struct epoch *epoch, const struct row *row)
{
    struct segment **open = &rows->open[rows->loop];
    struct row *copy = *open && (*open)->epoch == epoch ? segment_add(*open, row) : NULL;

    if (!copy) {
        *open = segment_new(epoch, row->bytes);
        VEC_PUSH(&rows->segments, *open);
        copy = segment_add(*open, row);
    }
    assert(copy);
    copy->wall_s = rows->wall_s ? rows->wall_s : (uint32_t)MG_MIN(row->start_ns / 1000000000u, UINT64_C(0xffffffff));
    segment_publish(*open);
    return copy;
}

static void insert(struct rows *rows, struct row *row)
{
    bool is_new;
    void **at = map_put(&rows->by_id, str_n(row->trace_id, 16), &is_new);

    if (is_new) {
        struct fragment fragment = { .position = 1000 + rows->traces.n, .is_kept = true };
        memcpy(fragment.trace_id, row->trace_id, 16);
        VEC_PUSH(&rows->traces, fragment);
        *at = (void *)(uintptr_t)rows->traces.n;
    }
    struct fragment *trace = &rows->traces.at[(uintptr_t)*at - 1];
    row->prev = trace->last;
    trace->last = row;
    trace->n++;
    VEC_PUSH(&rows->all, row);
}

static void take_batch(struct rows *rows)
{
    struct row_batch *batch = interner_end(rows->loops[rows->loop]);
    const char *at = batch->rows;

    for (uint32_t i = 0; i < batch->n; i++) {
        const struct row *row = (const struct row *)at;
        insert(rows, ring_row(rows, batch->epoch, row));
        at += row->bytes;
    }
    interner_recycle(rows->loops[rows->loop], &batch);
}

static void on_resource(void *owner, struct str resource)
{
    interner_resource(owner, resource);
}
static void on_scope(void *owner, struct str scope)
{
    interner_scope(owner, scope);
}
static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    (void)ordinal;
    interner_span(owner, span);
}
static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
}

void rows_body(struct rows *rows, struct str otlp)
{
    static const struct span_visitor visitor = { on_resource, on_scope, on_span, on_refused };
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct interner *interner = rows->loops[rows->loop];

    interner_begin(interner, 1);
    enum mg_err err = otlp_scan(scanner, otlp, &visitor, interner, NULL);
    assert(err == MG_OK);
    otlp_scanner_free(&scanner);
    take_batch(rows);
}

void rows_span(struct rows *rows, const struct span *span)
{
    struct interner *interner = rows->loops[rows->loop];

    interner_begin(interner, 1);
    interner_resource(interner, span->resource);
    interner_scope(interner, span->scope);
    interner_span(interner, span);
    take_batch(rows);
}

/* --- random spans ----------------------------------------------------------------------------- */
static const char *const texts[] = {
    "",
    "GET",
    "POST /cart",
    "true",
    "42",
    "0",
    "-0",
    "1.5",
    "NaN",
    "Infinity",
    "bad\xff\xfe",
    "\xef\xbf\xbd",
    "bad\xef\xbf\xbd\xef\xbf\xbd",
    "server",
    "ok",
    "0123456789abcdef0123456789abcdef",
    "00ff",
    "0123456789ABCDEF",
    "d9428888-122b-11e1-b85c-61cd3cbb3210",
    "D9428888-122B-11E1-B85C-61CD3CBB3210",
    "[\"x\",\"y\"]",
    "{\"x\":1}",
    "empty-span-name",
    "\xc3\xa4\xc3\xb6",
};
static const char *const keys[] = {
    "",           "http.method", "http.status_code", "error",           "span.kind", "k", "user.id",
    "resource.x", "x",           "bad\xffkey",       "otel.scope.name",
};

static struct str random_text(struct random *random, struct arena *arena)
{
    uint64_t pick = random_below(random, 40);

    if (pick < MG_COUNT(texts))
        return str_of(texts[pick]);
    if (pick == 39) { /* too long for a symbol */
        char *text = arena_alloc(arena, 2000);
        memset(text, 'a' + (int)random_below(random, 3), 2000);
        return str_n(text, 2000);
    }
    if (pick == 38)
        return arena_printf(arena, "%08x-0000-4000-8000-%012x", (unsigned)random_u64(random),
                            (unsigned)random_u64(random));
    return arena_printf(arena, "text %u", (unsigned)random_below(random, 50));
}

static struct str random_raw(struct random *random, struct arena *arena, enum value_type type)
{
    struct buf out;

    buf_init(&out, 4096);
    for (uint64_t n = random_below(random, 3); n; n--) {
        struct attr attr = { random_text(random, arena),
                             { .type = VALUE_STRING, .str = random_text(random, arena) } };
        if (type == VALUE_ARRAY) {
            size_t value = wire_open(&out, 1);
            wire_put_bytes(&out, 1, attr.value.str);
            wire_close(&out, value);
        } else {
            otlp_put_attr(&out, 1, &attr);
        }
    }
    struct str raw = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return raw;
}

static uint64_t random_number(struct random *random)
{
    static const uint64_t odd[] = {
        0, 1, 42, 200, 404, UINT64_MAX, (uint64_t)INT64_MAX, (uint64_t)INT64_MIN, 255, 256, 65536
    };
    uint64_t pick = random_below(random, 20);

    return pick < MG_COUNT(odd) ? odd[pick] : random_u64(random) >> random_below(random, 64);
}

static double random_double(struct random *random)
{
    static const double odd[] = { 0.0,   -0.0,  1.5, 42, __builtin_inf(), -__builtin_inf(),
                                  1e308, 5e-324 };
    uint64_t pick = random_below(random, 12), bits = random_u64(random);
    double d;

    if (pick < MG_COUNT(odd))
        return odd[pick];
    memcpy(&d, &bits, sizeof d); /* NaN payloads too */
    return d;
}

static struct value random_value(struct random *random, struct arena *arena)
{
    struct value value = { .type = (enum value_type)random_below(random, VALUE_OTHER) };

    if (random_below(random, 2))
        value.type = VALUE_STRING;
    switch (value.type) {
    case VALUE_BOOL: value.b = random_below(random, 2); break;
    case VALUE_INT: value.i = (int64_t)random_number(random); break;
    case VALUE_DOUBLE: value.d = random_double(random); break;
    case VALUE_STRING:
    case VALUE_BYTES: value.str = random_text(random, arena); break;
    case VALUE_ARRAY:
    case VALUE_KVLIST: value.raw = random_raw(random, arena, value.type); break;
    default: value.type = VALUE_EMPTY;
    }
    return value;
}

static void random_attrs(struct random *random, struct arena *arena, struct span *out)
{
    uint32_t n = (uint32_t)random_below(random, 6);
    struct attr *attrs = arena_zero(arena, n * sizeof *attrs);

    for (uint32_t i = 0; i < n; i++)
        attrs[i] = (struct attr){ str_of(keys[random_below(random, MG_COUNT(keys))]),
                                  random_value(random, arena) };
    out->attrs = attrs;
    out->n_attrs = n;
}

/* Fields `number` of a message, each holding attributes as field `inner`: events, links, resources.
 */
static struct str random_part(struct random *random, struct arena *arena, uint32_t number,
                              uint32_t inner)
{
    struct span with = { 0 };
    struct buf out;

    buf_init(&out, 1 << 16);
    for (uint64_t n = random_below(random, 3); n; n--) {
        size_t part = wire_open(&out, number);
        if (number == 1 && random_below(random, 2)) {
            struct attr name = { STR("service.name"), random_value(random, arena) };
            otlp_put_attr(&out, inner, &name);
        }
        random_attrs(random, arena, &with);
        if (number == 1 && inner == 3 && random_below(random, 2))
            wire_put_bytes(&out, 1, random_text(random, arena)); /* the scope's name */
        for (uint32_t i = 0; i < with.n_attrs; i++)
            otlp_put_attr(&out, inner, &with.attrs[i]);
        wire_close(&out, part);
    }
    struct str bytes = arena_str(arena, buf_str(&out));
    buf_fini(&out);
    return bytes;
}

static void random_rest(struct random *random, struct arena *arena, struct span *out)
{
    switch (random_below(random, 8)) {
    case 0:
        out->trace_state = random_text(random, arena);
        out->dropped_attrs = UINT32_MAX;
        break;
    case 1:
        out->status_message = random_text(random, arena);
        out->dropped_events = 1;
        break;
    case 2:
        out->kind = (int32_t)random_u64(random);
        out->dropped_links = (uint32_t)random_u64(random);
        break;
    case 3:
        out->status_code = random_below(random, 2) ? 3 : -1;
        out->unknown = STR("\xf8\x07\x01"); /* field 127, a varint */
        break;
    case 4: out->events = random_part(random, arena, 11, 3); break;
    case 5: out->links = random_part(random, arena, 13, 4); break;
    default: break;
    }
}

void random_span(struct random *random, unsigned traces, struct arena *arena, struct span *out)
{
    *out = (struct span){
        .start_ns = random_below(random, 8)
                        ? UINT64_C(1700000000000000000) + random_below(random, 1000) * 1000000
                        : random_number(random),
        .kind = (int32_t)random_below(random, 7),
        .status_code = (int32_t)random_below(random, 3),
        .flags = random_below(random, 4) ? 1 : (uint32_t)random_u64(random),
        .trace_state = STR(""),
        .status_message = STR(""),
        .events = STR(""),
        .links = STR(""),
        .unknown = STR(""),
    };
    out->end_ns = random_below(random, 8) ? out->start_ns + random_below(random, 1000) * 100000
                                          : random_number(random);
    put_le64(out->trace_id, 1 + random_below(random, traces));
    put_le64(out->span_id, 1 + random_below(random, 40));
    put_le64(out->parent_id, random_below(random, 60));
    out->name = random_text(random, arena);
    random_attrs(random, arena, out);
    random_rest(random, arena, out);
    out->resource = random_part(random, arena, 1, 1);
    out->scope = random_part(random, arena, 1, 3);
}

/* --- the corpus ------------------------------------------------------------------------------- */
static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    char bytes[65536];
    size_t n;

    if (!file)
        return false;
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_put(out, bytes, n);
    fclose(file);
    return !out->failed;
}

bool corpus_load(struct str *corpus)
{
    const char *folder = getenv("MGTEST_CORPORA");
    struct buf packed, plain;
    char path[4096];
    bool is_there;

    (void)snprintf(path, sizeof path, "%s/astronomy-oteltraces.zst",
                   folder ? folder : MGTEST_CORPORA);
    buf_init(&packed, (size_t)256 << 20);
    buf_init(&plain, (size_t)256 << 20);
    is_there = read_file(path, &packed);
    if (is_there) {
        struct zip *zip = zip_new();
        is_there =
            zip_inflate(zip, ZIP_ZSTD, buf_str(&packed), (size_t)256 << 20, &plain, NULL) == MG_OK;
        zip_free(&zip);
    }
    buf_fini(&packed);
    if (!is_there) {
        printf("skipped: no corpus at %s (set MGTEST_CORPORA)\n", path);
        buf_fini(&plain);
        return false;
    }
    corpus->ptr = buf_take(&plain, &corpus->len);
    return true;
}

bool corpus_next(struct str *rest, struct str *body)
{
    if (rest->len < 4)
        return false;
    size_t len = get_be32(rest->ptr);
    assert(len <= rest->len - 4);
    *body = str_n(rest->ptr + 4, len);
    *rest = str_n(rest->ptr + 4 + len, rest->len - 4 - len);
    return true;
}
