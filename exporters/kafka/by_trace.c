/* by_trace.c - how: the request is walked once, noting where each span lies and under which resource and scope; the notes are
 * sorted by trace id, in their order within a trace, so that what shared a resource or scope still stands together. No span is
 * decoded but for its trace id. */
#include "kafka/by_trace.h"
#include <stdlib.h>
#include "base/arena.h"
#include "base/vec.h"
#include "model/wire.h"

enum { TRACE_ID_BYTES = 16, FRAME_BYTES = 6 /* tag and length of a message of up to 2 GiB */, KEEP_BYTES = 1 << 20 };

struct scope {
    struct str resource, bytes;  /* ResourceSpans and ScopeSpans messages without their field 2 */
    uint32_t resource_number;
};
struct piece {
    uint8_t trace_id[TRACE_ID_BYTES];
    uint32_t number, scope;
    struct str span;             /* the field, with tag and length */
};
struct by_trace {
    struct arena arena;
    VEC(struct scope) scopes;
    VEC(struct piece) pieces;
    uint32_t resources;
    size_t at;                   /* first piece that was not given */
    struct buf value;
};

struct by_trace *by_trace_new(void)
{
    struct by_trace *by = MEM_NEW(struct by_trace);

    buf_init(&by->value, SIZE_MAX / 2); /* never more than the request and its resources again */
    return by;
}

void by_trace_free(struct by_trace **pointer)
{
    struct by_trace *by = MG_STEAL(*pointer);

    if (!by)
        return;
    arena_fini(&by->arena);
    VEC_FINI(&by->scopes);
    VEC_FINI(&by->pieces);
    buf_fini(&by->value);
    mem_free(by);
}

/* --- reading --- */

static enum mg_err malformed(struct mg_why *why)
{
    return mg_fail(why, MG_E_FORMAT, "the batch is not an ExportTraceServiceRequest");
}

/* The message without its field 2, in memory of the arena. */
static enum mg_err rest_of(struct by_trace *by, struct str message, struct str *out, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    char *to = arena_alloc(&by->arena, message.len);
    struct wire_field field;
    size_t n = 0;
    int more;

    while ((more = wire_next(&at, end, &field)) > 0)
        if (field.number != 2) {
            memcpy(to + n, field.whole.ptr, field.whole.len);
            n += field.whole.len;
        }
    *out = str_n(to, n);
    return more == 0 ? MG_OK : malformed(why);
}

static enum mg_err read_span(struct by_trace *by, const struct wire_field *span, struct mg_why *why)
{
    const uint8_t *at = wire_begin(span->bytes), *end = wire_end(span->bytes);
    struct piece piece = { .number = (uint32_t)by->pieces.n, .scope = (uint32_t)by->scopes.n - 1, .span = span->whole };
    struct str trace_id = { NULL, 0 };
    struct wire_field field;
    int more;

    while ((more = wire_next(&at, end, &field)) > 0)
        if (field.number == 1)
            trace_id = field.bytes;
    if (more < 0)
        return malformed(why);
    if (trace_id.len != TRACE_ID_BYTES)
        return mg_fail(why, MG_E_FORMAT, "a span of the batch has a trace id of %zu bytes", trace_id.len);
    memcpy(piece.trace_id, trace_id.ptr, TRACE_ID_BYTES);
    VEC_PUSH(&by->pieces, piece);
    return MG_OK;
}

static enum mg_err read_scope(struct by_trace *by, struct str message, struct str resource, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct scope scope = { .resource = resource, .resource_number = by->resources };
    struct wire_field field;
    int more;

    MG_TRY(rest_of(by, message, &scope.bytes, why));
    VEC_PUSH(&by->scopes, scope);
    while ((more = wire_next(&at, end, &field)) > 0)
        if (field.number == 2 && field.type == WIRE_BYTES)
            MG_TRY(read_span(by, &field, why));
    return more == 0 ? MG_OK : malformed(why);
}

static enum mg_err read_resource(struct by_trace *by, struct str message, struct mg_why *why)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    struct str resource;
    int more;

    MG_TRY(rest_of(by, message, &resource, why));
    by->resources++;
    while ((more = wire_next(&at, end, &field)) > 0)
        if (field.number == 2 && field.type == WIRE_BYTES)
            MG_TRY(read_scope(by, field.bytes, resource, why));
    return more == 0 ? MG_OK : malformed(why);
}

static int compare(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    int order = memcmp(x->trace_id, y->trace_id, TRACE_ID_BYTES);

    return order ? order : (x->number > y->number) - (x->number < y->number);
}

enum mg_err by_trace_read(struct by_trace *by, struct str request, struct mg_why *why)
{
    const uint8_t *at = wire_begin(request), *end = wire_end(request);
    struct wire_field field;
    int more;

    arena_reset(&by->arena);
    VEC_CLEAR(&by->scopes);
    VEC_CLEAR(&by->pieces);
    by->resources = 0;
    by->at = 0;
    while ((more = wire_next(&at, end, &field)) > 0)
        if (field.number == 1 && field.type == WIRE_BYTES)
            MG_TRY(read_resource(by, field.bytes, why));
    if (more < 0)
        return malformed(why);
    if (by->pieces.n > 0)
        qsort(by->pieces.at, by->pieces.n, sizeof *by->pieces.at, compare);
    return MG_OK;
}

/* --- writing --- */

/* What the piece adds to a message that so far ends with `before` (NULL: it is empty). */
static size_t cost_of(const struct by_trace *by, const struct piece *before, const struct piece *piece)
{
    const struct scope *scope = &by->scopes.at[piece->scope];
    size_t cost = piece->span.len;

    if (!before || before->scope != piece->scope)
        cost += scope->bytes.len + FRAME_BYTES;
    if (!before || by->scopes.at[before->scope].resource_number != scope->resource_number)
        cost += scope->resource.len + FRAME_BYTES;
    return cost;
}

static size_t count_fitting(const struct by_trace *by, size_t bytes_max)
{
    const struct piece *first = &by->pieces.at[by->at], *end = by->pieces.at + by->pieces.n, *piece = first + 1;
    size_t bytes = cost_of(by, NULL, first);

    for (; piece < end && memcmp(piece->trace_id, first->trace_id, TRACE_ID_BYTES) == 0; piece++) {
        size_t cost = cost_of(by, piece - 1, piece);
        if (bytes + cost > bytes_max)
            break;
        bytes += cost;
    }
    return (size_t)(piece - first);
}

static void write_pieces(struct by_trace *by, const struct piece *piece, const struct piece *end)
{
    struct buf *out = &by->value;

    while (piece < end) {
        const struct scope *first = &by->scopes.at[piece->scope];
        size_t resource = wire_open(out, 1);
        buf_put_str(out, first->resource);
        while (piece < end && by->scopes.at[piece->scope].resource_number == first->resource_number) {
            uint32_t number = piece->scope;
            size_t scope = wire_open(out, 2);
            buf_put_str(out, by->scopes.at[number].bytes);
            for (; piece < end && piece->scope == number; piece++)
                buf_put_str(out, piece->span);
            wire_close(out, scope);
        }
        wire_close(out, resource);
    }
}

bool by_trace_next(struct by_trace *by, size_t bytes_max, struct by_trace_message *out)
{
    if (by->at == by->pieces.n) {
        buf_shrink(&by->value, KEEP_BYTES);
        return false;
    }
    const struct piece *first = &by->pieces.at[by->at];
    size_t n = count_fitting(by, bytes_max);
    buf_clear(&by->value);
    write_pieces(by, first, first + n);
    hex_encode(first->trace_id, TRACE_ID_BYTES, out->key);
    out->value = buf_str(&by->value);
    out->spans = (uint32_t)n;
    by->at += n;
    return true;
}
