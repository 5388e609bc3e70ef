/* grpc_traces.c - a span is written into a buffer of its own first: whether it still fits into the
 * message has to be known before it is there, as the lengths of the groups around it close behind
 * it.
 *
 * An error is kept in `err` and everything after it is skipped. */
#include "api/jaeger/grpc_traces.h"

#include "api/jaeger/groups.h"
#include "api/jaeger/shown.h"
#include "model/jaeger_write.h"
#include "model/otlp_write.h"

#define FRAME_BYTES 32 /* tags and lengths of a resource, a scope and a span */

struct messages {
    struct buf *out;
    struct buf piece; /* one span */
    struct shown shown;
    bool raw;
    size_t n; /* spans in `out` */
    grpc_message_fn *send;
    void *owner;
    enum mg_err err;
};

static void begin(struct messages *m, struct buf *out, bool raw, grpc_message_fn *send, void *owner)
{
    *m = (struct messages){.out = out, .raw = raw, .send = send, .owner = owner};
    buf_init(&m->piece, out->limit);
    shown_init(&m->shown, raw, out->limit);
}

static enum mg_err end(struct messages *m)
{
    shown_fini(&m->shown);
    buf_fini(&m->piece);
    return m->err;
}

static void flush(struct messages *m)
{
    if (m->n && !m->err)
        m->err = buf_err(m->out);
    if (m->n && !m->err)
        m->err = m->send(m->owner, m->out);
    m->n = 0;
}

/* Whether the span just made is whole. */
static bool is_whole(struct messages *m)
{
    if (!m->err)
        m->err = buf_err(&m->piece);
    if (!m->err)
        m->err = shown_err(&m->shown);
    return !m->err;
}

static bool is_full(const struct messages *m, size_t more)
{
    return m->n && m->out->len + m->piece.len + more + FRAME_BYTES > GRPC_MESSAGE_BYTES;
}

/* --- api_v2
 * ------------------------------------------------------------------------------------------- */

static void v2_span(struct messages *m, const struct adjusted_span *a)
{
    const struct span *span = a->span;

    if (!m->raw) {
        struct str resource = shown_resource(&m->shown, a->span->resource);
        struct str scope = shown_scope(&m->shown, a->span->scope);
        struct span *shown = shown_span(&m->shown, a);
        shown->resource = resource;
        shown->scope = scope;
        span = shown;
    }
    buf_clear(&m->piece);
    jaeger_write_span(&m->piece, span);
}

enum mg_err grpc_v2_trace(struct buf *out, const struct query_trace *trace, bool raw,
                          grpc_message_fn *send, void *owner)
{
    struct adjusted_span *spans;
    struct messages m;
    struct arena arena;

    arena_init(&arena);
    begin(&m, out, raw, send, owner);
    size_t n = trace_adjust(trace, raw, &arena, &spans);
    for (size_t i = 0; i < n && !m.err; i++) {
        v2_span(&m, &spans[i]);
        if (!is_whole(&m))
            break;
        if (m.n == GRPC_CHUNK_SPANS || is_full(&m, 0))
            flush(&m);
        wire_put_bytes(out, 1, buf_str(&m.piece));
        m.n++;
    }
    flush(&m);
    arena_fini(&arena);
    return end(&m);
}

/* --- api_v3
 * ------------------------------------------------------------------------------------------- */

/* The groups that are open in the message. */
struct open_groups {
    const struct place *at; /* a span in them; NULL: none is open */
    size_t resource, scope; /* marks */
};

static void close_groups(struct messages *m, struct open_groups *open, bool resource_too)
{
    wire_close(m->out, open->scope);
    if (resource_too)
        wire_close(m->out, open->resource);
}

static void open_groups(struct messages *m, struct open_groups *open, const struct place *place,
                        struct str resource, struct str scope)
{
    bool is_new_resource = !open->at || open->at->resource != place->resource;

    if (!is_new_resource && open->at->group == place->group)
        return;
    if (open->at)
        close_groups(m, open, is_new_resource);
    if (is_new_resource) {
        open->resource = wire_open(m->out, 1);
        buf_put_str(m->out, resource);
    }
    open->scope = wire_open(m->out, 2);
    buf_put_str(m->out, scope);
    open->at = place;
}

static void v3_flush(struct messages *m, struct open_groups *open)
{
    if (open->at)
        close_groups(m, open, true);
    open->at = NULL;
    flush(m);
}

static void v3_span(struct messages *m, struct open_groups *open, const struct adjusted_span *a,
                    const struct place *place)
{
    struct str resource = shown_resource(&m->shown, a->span->resource);
    struct str scope = shown_scope(&m->shown, a->span->scope);

    buf_clear(&m->piece);
    otlp_write_span(&m->piece, shown_span(&m->shown, a));
    if (!is_whole(m))
        return;
    if (is_full(m, resource.len + scope.len))
        v3_flush(m, open);
    open_groups(m, open, place, resource, scope);
    wire_put_bytes(m->out, 2, buf_str(&m->piece));
    m->n++;
}

enum mg_err grpc_v3_trace(struct buf *out, const struct query_trace *trace, bool raw,
                          grpc_message_fn *send, void *owner)
{
    struct open_groups open = {0};
    struct adjusted_span *spans;
    struct messages m;
    struct arena arena;

    arena_init(&arena);
    begin(&m, out, raw, send, owner);
    size_t n = trace_adjust(trace, raw, &arena, &spans);
    const struct place *places = spans_grouped(spans, n, &arena);
    for (size_t i = 0; i < n && !m.err; i++)
        v3_span(&m, &open, &spans[places[i].span], &places[i]);
    v3_flush(&m, &open);
    arena_fini(&arena);
    return end(&m);
}
