/* zipkin_scan.c - a list is read twice: once to know that it is good and which spans go together,
 * once to visit them.
 *
 * Between the two nothing is kept of a span but where it stands and two hashes, of its resource and
 * of its scope: 16 bytes, so a list of the smallest spans (8 bytes in proto3) costs no more than a
 * list of large ones. Equal hashes only bring spans together; what they are visited under is
 * compared to the byte, and a collision costs one more call of on_resource.
 *
 * Groups come in the order of their first spans, and so do the spans of a group. */
#include "model/zipkin_scan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/map.h"
#include "model/zipkin_private.h"

#define JSON_DEPTH 256 /* unknown members may hold anything */

struct place {
    uint32_t resource, scope; /* hash; then the first span with it */
    uint32_t ordinal, offset;
};

struct zipkin_scanner {
    struct zipkin_source source;
    struct zipkin_draft draft;
    struct zipkin_builder builder;
    struct json_reader *json;
    VEC(struct place) places;
    struct buf mended;          /* the list, when it had to be changed */
    struct buf resource, scope; /* of the span being looked at */
};

struct zipkin_scanner *zipkin_scanner_new(void)
{
    struct zipkin_scanner *s = MEM_NEW(struct zipkin_scanner);

    /* None of these holds more than a few times what was received. */
    buf_init(&s->mended, SIZE_MAX);
    buf_init(&s->resource, SIZE_MAX);
    buf_init(&s->scope, SIZE_MAX);
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
    VEC_FINI(&s->places);
    buf_fini(&s->mended);
    buf_fini(&s->resource);
    buf_fini(&s->scope);
    mem_free(s);
    *scanner = NULL;
}

void zipkin_scanner_decay(struct zipkin_scanner *s)
{
    arena_fini(&s->builder.kept);
    VEC_FINI(&s->builder.attrs);
    VEC_FINI(&s->builder.use);
    buf_shrink(&s->builder.scratch, 0);
    buf_shrink(&s->builder.parts, 0);
    buf_shrink(&s->builder.spelled, 0);
    buf_shrink(&s->builder.wrapped, 0);
    json_reader_free(&s->builder.json);
    json_reader_free(&s->json);
    zipkin_draft_fini(&s->draft);
    VEC_FINI(&s->places);
    buf_shrink(&s->mended, 0);
    buf_shrink(&s->resource, 0);
    buf_shrink(&s->scope, 0);
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
    struct zipkin_endpoint nobody = { .service = STR("") };

    draft->span = (struct zipkin_span){ .name = STR(""), .local = nobody, .remote = nobody };
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

/* --- first walk --------------------------------------------- */

static void group_look(struct zipkin_scanner *s)
{
    zipkin_build_begin(&s->builder, &s->draft);
    buf_clear(&s->resource);
    buf_clear(&s->scope);
    zipkin_build_resource(&s->builder, &s->resource);
    zipkin_build_scope(&s->builder, &s->scope);
}

static enum mg_err list_check(struct zipkin_scanner *s, const struct zipkin_format *format)
{
    struct zipkin_source *source = &s->source;
    bool is_end = false;

    VEC_CLEAR(&s->places);
    for (size_t at = 0;;) {
        source->ordinal = (uint32_t)s->places.n;
        MG_TRY(format->seek(source, &at, &is_end));
        if (is_end)
            return MG_OK;
        struct place place = { .ordinal = source->ordinal, .offset = (uint32_t)at };
        MG_TRY(format->read(source, &at, &s->draft));
        group_look(s);
        place.resource = (uint32_t)hash_bytes(s->resource.ptr, s->resource.len, 0);
        place.scope = s->scope.len ? (uint32_t)hash_bytes(s->scope.ptr, s->scope.len, 0) : 0;
        VEC_PUSH(&s->places, place);
    }
}

static int place_order(const void *a, const void *b)
{
    const struct place *left = a, *right = b;

    if (left->resource != right->resource)
        return left->resource < right->resource ? -1 : 1;
    if (left->scope != right->scope)
        return left->scope < right->scope ? -1 : 1;
    return left->ordinal < right->ordinal ? -1 : left->ordinal > right->ordinal;
}

static bool is_one_group(const struct place *places, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (places[i].resource != places[0].resource || places[i].scope != places[0].scope)
            return false;
    return true;
}

/* By hashes first, to find the groups; then by where each group begins. */
static void places_group(struct place *places, size_t n)
{
    if (is_one_group(places, n))
        return;
    qsort(places, n, sizeof *places, place_order);
    for (size_t from = 0, to; from < n; from = to) {
        uint32_t resource = places[from].resource, scope = places[from].scope;
        uint32_t first = UINT32_MAX, scope_first = places[from].ordinal;
        for (to = from; to < n && places[to].resource == resource; to++)
            first = MG_MIN(first, places[to].ordinal);
        for (size_t i = from; i < to; i++) {
            if (places[i].scope != scope) {
                scope = places[i].scope;
                scope_first = places[i].ordinal;
            }
            places[i].resource = first;
            places[i].scope = scope_first;
        }
    }
    qsort(places, n, sizeof *places, place_order);
}

/* --- second walk --------------------------------------------- */

struct visit {
    const struct span_visitor *visitor;
    void *owner;
    struct str resource, scope; /* announced */
    bool is_begun;
};

static void announce(struct zipkin_scanner *s, struct visit *visit)
{
    bool is_new = !visit->is_begun || !str_eq(visit->resource, buf_str(&s->resource));

    if (is_new) {
        visit->resource = arena_str(&s->builder.kept, buf_str(&s->resource));
        visit->visitor->on_resource(visit->owner, visit->resource);
    }
    if (is_new || !str_eq(visit->scope, buf_str(&s->scope))) {
        visit->scope = arena_str(&s->builder.kept, buf_str(&s->scope));
        visit->visitor->on_scope(visit->owner, visit->scope);
    }
    visit->is_begun = true;
}

static void list_visit(struct zipkin_scanner *s, const struct zipkin_format *format,
                       struct visit *visit)
{
    struct span span;

    for (size_t i = 0; i < s->places.n; i++) {
        size_t at = s->places.at[i].offset;
        enum mg_err err = format->read(&s->source, &at, &s->draft);
        assert(err == MG_OK); /* the same bytes as before */
        (void)err;
        group_look(s);
        announce(s, visit);
        zipkin_build_span(&s->builder, &span);
        span.resource = visit->resource;
        span.scope = visit->scope;
        visit->visitor->on_span(visit->owner, &span, s->places.at[i].ordinal);
    }
}

static enum mg_err list_scan(struct zipkin_scanner *s, const struct zipkin_format *format,
                             struct str text, struct visit *visit, struct mg_why *why)
{
    if (text.len > UINT32_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "a list of spans of more than 4 GiB");
    arena_reset(&s->builder.kept);
    if (!s->builder.json)
        s->builder.json = json_reader_new(ZIPKIN_ATTRS_DEPTH);
    s->builder.text = text;
    s->source = (struct zipkin_source){
        .text = text, .json = format == &zipkin_json ? s->json : NULL, .why = why,
        .member = STR("")
    };
    MG_TRY(list_check(s, format));
    places_group(s->places.at, s->places.n);
    list_visit(s, format, visit);
    return MG_OK;
}

enum mg_err zipkin_scan_json(struct zipkin_scanner *s, struct str body,
                             const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    struct visit visit = { .visitor = visitor, .owner = owner };

    if (!s->json)
        s->json = json_reader_new(JSON_DEPTH);
    return list_scan(s, &zipkin_json, zipkin_json_mend(body, &s->mended), &visit, why);
}

enum mg_err zipkin_scan_proto(struct zipkin_scanner *s, struct str body,
                              const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    struct visit visit = { .visitor = visitor, .owner = owner };

    return list_scan(s, &zipkin_proto, body, &visit, why);
}
