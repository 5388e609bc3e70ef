/* zipkin_scan.c - a list is walked once, each span visited as soon as it was read. A scope is told whenever it differs from the span before.
 *
 * A resource is told once, for it may cost its hearers much: spans of another one than the first are left for later, put in order by a
 * hash of their resource, and read again. Of those nothing is kept but where they stand: 24 bytes. Equal hashes only bring spans
 * together; what they are visited under is compared to the byte, and a collision costs one more call of on_resource. */
#include "model/zipkin_scan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/map.h"
#include "model/zipkin_private.h"

#define JSON_DEPTH 256 /* unknown members may hold anything */

struct place { uint64_t hash; /* of its resource; then the first ordinal with it */ uint32_t ordinal, offset; };

struct zipkin_scanner {
    struct zipkin_source source;
    struct zipkin_draft draft;
    struct zipkin_builder builder;
    struct span span;           /* the current one; what Zipkin has not stays empty */
    struct json_reader *json;
    const struct span_visitor *visitor; /* of this scan, with its owner */
    void *owner;
    struct buf part;            /* a resource or a scope being built */
    struct str resource, scope; /* told last */
    bool is_begun;              /* something was told */
    uint64_t seed;
    VEC(struct place) places;   /* spans that are left for later */
};

struct zipkin_scanner *zipkin_scanner_new(void)
{
    struct zipkin_scanner *s = MEM_NEW(struct zipkin_scanner);

    /* None of these holds more than a few times what was received. */
    buf_init(&s->part, SIZE_MAX);
    s->seed = hash_seed();
    s->span.unknown = STR("");
    buf_init(&s->builder.scratch, SIZE_MAX);
    buf_init(&s->builder.parts, SIZE_MAX);
    buf_init(&s->builder.spelled, SIZE_MAX);
    buf_init(&s->builder.wrapped, SIZE_MAX);
    return s;
}

void zipkin_scanner_free(struct zipkin_scanner **scanner)
{
    struct zipkin_scanner *s = *scanner;

    if (!s)
        return;
    zipkin_builder_fini(&s->builder);
    zipkin_draft_fini(&s->draft);
    json_reader_free(&s->json);
    buf_fini(&s->part);
    VEC_FINI(&s->places);
    mem_free(s);
    *scanner = NULL;
}

void zipkin_scanner_decay(struct zipkin_scanner *s)
{
    arena_fini(&s->builder.kept);
    VEC_FINI(&s->builder.attrs);
    VEC_FINI(&s->builder.use);
    VEC_FINI(&s->builder.told_tags);
    buf_shrink(&s->builder.scratch, 0);
    buf_shrink(&s->builder.parts, 0);
    buf_shrink(&s->builder.spelled, 0);
    buf_shrink(&s->builder.wrapped, 0);
    json_reader_free(&s->builder.json);
    json_reader_free(&s->json);
    zipkin_draft_fini(&s->draft);
    buf_shrink(&s->part, 0);
    VEC_FINI(&s->places);
}

/* --- for both readers --------------------------------------------- */

enum mg_err zipkin_fail(struct zipkin_source *source, const char *format, ...)
{
    char reason[320];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return mg_fail(source->why, MG_E_FORMAT, "%s reading List<Span> from %s", reason,
                   source->json ? "json" : "proto3");
}

void zipkin_draft_begin(struct zipkin_draft *draft)
{
    struct zipkin_span *span = &draft->span;

    memset(span->parent_id, 0, sizeof span->parent_id);
    span->kind = NULL;
    span->name = STR("");
    span->timestamp_us = span->duration_us = 0;
    zipkin_endpoint_clear(&span->local);
    zipkin_endpoint_clear(&span->remote);
    span->is_debug = span->is_shared = false;
    draft->has_trace_id = draft->has_id = false;
    VEC_CLEAR(&draft->tags);
    VEC_CLEAR(&draft->annotations);
}

enum mg_err zipkin_draft_end(struct zipkin_source *source, struct zipkin_draft *draft)
{
    struct zipkin_span *span = &draft->span;

    if (!draft->has_trace_id || !draft->has_id)
        return zipkin_fail(source, "Missing :%s%s", draft->has_trace_id ? "" : " traceId",
                           draft->has_id ? "" : " id");
    if (memcmp(span->parent_id, span->id, sizeof span->id) == 0)
        memset(span->parent_id, 0, sizeof span->parent_id);
    if (span->kind == zipkin_kinds[SPAN_CLIENT])
        span->is_shared = false; /* the server is who shares */
    VEC_RESERVE(&draft->spare, draft->tags.n);
    draft->tags.n = zipkin_tags_settle(draft->tags.at, draft->tags.n, draft->spare.at);
    return MG_OK;
}

void zipkin_draft_fini(struct zipkin_draft *draft)
{
    VEC_FINI(&draft->tags);
    VEC_FINI(&draft->spare);
    VEC_FINI(&draft->annotations);
}

/* --- the walk --------------------------------------------- */

static void build_resource(struct zipkin_scanner *s)
{
    buf_clear(&s->part);
    zipkin_build_resource(&s->builder, &s->part);
}

static void tell_resource(struct zipkin_scanner *s)
{
    build_resource(s);
    zipkin_build_note_resource(&s->builder);
    s->resource = arena_str(&s->builder.kept, buf_str(&s->part));
    s->visitor->on_resource(s->owner, s->resource);
}

static void tell_scope(struct zipkin_scanner *s)
{
    buf_clear(&s->part);
    zipkin_build_scope(&s->builder, &s->part);
    s->scope = s->part.len ? arena_str(&s->builder.kept, buf_str(&s->part)) : STR("");
    s->visitor->on_scope(s->owner, s->scope);
}

/* The current draft. is_new: its resource was not told yet. */
static void visit(struct zipkin_scanner *s, bool is_new)
{
    if (is_new)
        tell_resource(s);
    if (is_new || zipkin_build_is_scope_new(&s->builder))
        tell_scope(s);
    s->is_begun = true;
    zipkin_build_span(&s->builder, &s->span);
    s->span.resource = s->resource;
    s->span.scope = s->scope;
    s->visitor->on_span(s->owner, &s->span, s->source.ordinal);
}

static void visit_or_leave(struct zipkin_scanner *s, size_t offset)
{
    zipkin_build_begin(&s->builder, &s->draft);
    if (!s->is_begun || !zipkin_build_is_resource_new(&s->builder)) {
        visit(s, !s->is_begun);
        return;
    }
    build_resource(s);
    VEC_PUSH(&s->places, ((struct place){ hash_bytes(s->part.ptr, s->part.len, s->seed), s->source.ordinal, (uint32_t)offset }));
}

static int place_order(const void *a, const void *b)
{
    const struct place *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->ordinal < right->ordinal ? -1 : left->ordinal > right->ordinal;
}

/* By hashes first, to find what goes together; then by where each begins. */
static void places_sort(struct place *places, size_t n)
{
    qsort(places, n, sizeof *places, place_order);
    for (size_t from = 0, to; from < n; from = to) {
        uint64_t hash = places[from].hash;
        uint32_t first = places[from].ordinal;
        for (to = from; to < n && places[to].hash == hash; to++)
            places[to].hash = first;
    }
    qsort(places, n, sizeof *places, place_order);
}

static void visit_left(struct zipkin_scanner *s, const struct zipkin_format *format)
{
    if (s->places.n == 0)
        return;
    places_sort(s->places.at, s->places.n);
    for (size_t i = 0; i < s->places.n; i++) {
        size_t at = s->places.at[i].offset;
        enum mg_err err = format->read(&s->source, &at, &s->draft);
        assert(err == MG_OK); /* the same bytes as before */
        (void)err;
        s->source.ordinal = s->places.at[i].ordinal;
        zipkin_build_begin(&s->builder, &s->draft);
        visit(s, zipkin_build_is_resource_new(&s->builder));
    }
}

static enum mg_err list_scan(struct zipkin_scanner *s, const struct zipkin_format *format, struct str text, struct mg_why *why)
{
    bool is_end = false;

    if (text.len > UINT32_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "a list of spans of more than 4 GiB");
    arena_reset(&s->builder.kept);
    VEC_CLEAR(&s->builder.told_tags);
    VEC_CLEAR(&s->places);
    if (!s->builder.json)
        s->builder.json = json_reader_new(ZIPKIN_ATTRS_DEPTH);
    s->builder.text = text;
    s->is_begun = false;
    s->source = (struct zipkin_source){
        .text = text, .json = format == &zipkin_json ? s->json : NULL, .why = why, .value = { .key = STR("") }
    };
    for (size_t at = 0;; s->source.ordinal++) {
        MG_TRY(format->seek(&s->source, &at, &is_end));
        if (is_end)
            break;
        size_t offset = at;
        MG_TRY(format->read(&s->source, &at, &s->draft));
        visit_or_leave(s, offset);
    }
    visit_left(s, format);
    return MG_OK;
}

enum mg_err zipkin_scan_json(struct zipkin_scanner *s, struct str body, const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    if (!s->json) {
        s->json = json_reader_new(JSON_DEPTH);
        json_reader_be_lenient(s->json);
    }
    s->visitor = visitor;
    s->owner = owner;
    return list_scan(s, &zipkin_json, body, why);
}

enum mg_err zipkin_scan_proto(struct zipkin_scanner *s, struct str body, const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    s->visitor = visitor;
    s->owner = owner;
    return list_scan(s, &zipkin_proto, body, why);
}
