/* trace_json.c - spans first, processes behind them, because a process gets its number when its
 * first span is written.
 *
 * Resources are told apart by their bytes, which is cheap and nearly always enough; those that are
 * new are rendered once and compared with what was rendered before, so that two orders of the same
 * attributes are one process.
 *
 * An error is kept in `err` and everything after it is skipped: the loops ask step() after each
 * part that can be large, which also hands bytes on. The scratch arena lives for one span. */
#include "api/jaeger/trace_json.h"

#include <stdio.h>
#include "api/jaeger/adjust.h"
#include "api/jaeger/params.h"
#include "api/jaeger/sampled.h"
#include "api/jaeger/tags.h"
#include "base/map.h"
#include "base/vec.h"
#include "model/jaeger_tags.h"

#define TEXT_KEPT 65536 /* bytes of scratch that stay allocated between values */

struct trace_writer {
    struct json_writer *w;
    bool raw;
    size_t n_added; /* tags that every process has from sampled.h */
    trace_json_flush_fn *flush;
    void *owner;
    enum mg_err err;
    char trace_id[32];
    size_t trace_id_len;
    struct arena scratch; /* one span's or one process's */
    struct tag_list tags;
    struct buf text; /* for tag_write */
    struct {
        struct map by_resource, by_content; /* -> number, from 1 */
        VEC(struct str) resources;          /* [number - 1]: the first one with that content */
        struct str last;                    /* neighbours often share one */
        size_t last_number;
    } processes;
};

static bool step(struct trace_writer *t)
{
    struct buf *out = t->w->out;

    if (!t->err && (out->failed || t->text.failed))
        t->err = MG_E_TOO_BIG;
    if (!t->err && t->flush && out->len >= TRACE_JSON_PIECE)
        t->err = t->flush(t->owner, out);
    return !t->err;
}

static void put_tag(struct trace_writer *t, struct json_writer *w, const struct attr *tag)
{
    tag_write(w, tag, &t->text);
    if (t->text.room > TEXT_KEPT && !t->text.failed)
        buf_shrink(&t->text, TEXT_KEPT);
}

static void put_tags(struct trace_writer *t, struct json_writer *w)
{
    for (size_t i = 0; i < t->tags.n && step(t); i++)
        put_tag(t, w, &t->tags.at[i]);
}

/* A derived tag that is an attribute too is said once; raw data is not compared. */
static void put_derived(struct trace_writer *t, const struct attr *derived, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (t->raw || !jaeger_tag_is_attr(&derived[i], t->tags.at, t->tags.n))
            put_tag(t, t->w, &derived[i]);
}

static void adjust_tags(struct trace_writer *t, bool format_ips)
{
    if (!t->raw)
        tag_list_adjust(&t->tags, format_ips, &t->scratch);
}

/* --- processes
 * ---------------------------------------------------------------------------------------- */

/* The name is the process's, and no tag. Raw, one that is no string would be lost. */
static bool is_process_tag(const struct trace_writer *t, const struct attr *attr)
{
    return !str_eq(attr->key, STR("service.name")) ||
           (t->raw && value_plain(&attr->value).type != VALUE_STRING);
}

static void collect_process_tags(struct trace_writer *t, const struct resource_view *view)
{
    struct attr attr;

    VEC_CLEAR(&t->tags);
    for (uint32_t i = 0; i < view->n; i++) {
        struct str message = view->attributes_owner[i];
        const uint8_t *at = wire_begin(message), *end = wire_end(message);
        while (attr_next(&at, end, 1, &attr) == 1)
            if (is_process_tag(t, &attr))
                tag_list_add(&t->tags, &attr);
    }
    adjust_tags(t, true);
}

/* Tags of ours do not count as the resource's. */
static struct str raw_service(const struct trace_writer *t, const struct resource_view *view)
{
    if (view->has_service_name)
        return view->service_name;
    return t->tags.n > t->n_added ? STR("") : STR("OTLPResourceNoServiceName");
}

static void put_process(struct trace_writer *t, struct json_writer *w, struct str resource)
{
    struct resource_view view;

    resource_view(resource, &view);
    collect_process_tags(t, &view);
    json_object(w);
    json_key_text(w, "serviceName");
    json_put_str(w, t->raw ? raw_service(t, &view) : view_service(resource, &t->scratch));
    json_key_text(w, "tags");
    json_array(w);
    put_tags(t, w);
    json_array_end(w);
    json_object_end(w);
}

static size_t process_by_content(struct trace_writer *t, struct str resource)
{
    struct json_writer w;
    struct buf content;
    bool is_new;

    buf_init(&content, t->w->out->limit);
    json_writer_init(&w, &content, 0);
    put_process(t, &w, resource);
    if (content.failed && !t->err)
        t->err = MG_E_TOO_BIG;
    void **number = map_put(&t->processes.by_content, buf_str(&content), &is_new);
    buf_fini(&content);
    if (is_new) {
        VEC_PUSH(&t->processes.resources, resource);
        *number = (void *)(uintptr_t)t->processes.resources.n;
    }
    return (uintptr_t)*number;
}

static size_t process_number(struct trace_writer *t, struct str resource)
{
    struct str last = t->processes.last;
    bool is_new;

    if (t->processes.last_number && last.ptr == resource.ptr && last.len == resource.len)
        return t->processes.last_number;
    void **number = map_put(&t->processes.by_resource, resource, &is_new);
    if (is_new)
        *number = (void *)(uintptr_t)process_by_content(t, resource);
    t->processes.last = resource;
    t->processes.last_number = (uintptr_t)*number;
    return t->processes.last_number;
}

static struct str process_name(size_t number, char room[24])
{
    return str_n(room, (size_t)snprintf(room, 24, "p%zu", number));
}

static void put_processes(struct trace_writer *t)
{
    char room[24];

    json_key_text(t->w, "processes");
    json_object(t->w);
    for (size_t i = 0; i < t->processes.resources.n && step(t); i++) {
        arena_reset(&t->scratch);
        json_key(t->w, process_name(i + 1, room));
        put_process(t, t->w, t->processes.resources.at[i]);
    }
    json_object_end(t->w);
}

/* --- references
 * --------------------------------------------------------------------------------------- */

static void put_reference(struct trace_writer *t, const struct jaeger_reference *reference)
{
    char text[32];

    json_object(t->w);
    json_key_text(t->w, "refType");
    json_put_str(t->w, reference->is_child_of ? STR("CHILD_OF") : STR("FOLLOWS_FROM"));
    json_key_text(t->w, "traceID");
    json_put_str(t->w, str_n(text, jaeger_id_text(reference->trace_id, text)));
    json_key_text(t->w, "spanID");
    json_put_hex(t->w, reference->span_id, sizeof reference->span_id);
    json_object_end(t->w);
}

static void put_references(struct trace_writer *t, const struct adjusted_span *a)
{
    struct jaeger_references references;
    struct jaeger_reference reference;

    json_key_text(t->w, "references");
    json_array(t->w);
    jaeger_references(&references, a->span, a->parent_id);
    while (step(t) && jaeger_reference_next(&references, &reference))
        if (t->raw || link_is_shown(reference.trace_id))
            put_reference(t, &reference);
    json_array_end(t->w);
}

/* --- tags and logs
 * ------------------------------------------------------------------------------------ */

static void put_span_tags(struct trace_writer *t, const struct span *span)
{
    struct jaeger_derived derived;

    jaeger_derive(span, &derived);
    span_tags(span, t->raw, &t->tags, &t->scratch);
    json_key_text(t->w, "tags");
    json_array(t->w);
    put_derived(t, derived.front, derived.n_front);
    put_tags(t, t->w);
    put_derived(t, derived.behind, derived.n_behind);
    json_array_end(t->w);
}

static void put_log(struct trace_writer *t, const struct event_view *event)
{
    struct attr name;

    VEC_CLEAR(&t->tags);
    tag_list_add_message(&t->tags, event->message, 3);
    adjust_tags(t, false);
    json_object(t->w);
    json_key_text(t->w, "timestamp");
    json_put_u64(t->w, event->time_ns / 1000);
    json_key_text(t->w, "fields");
    json_array(t->w);
    if (jaeger_event_field(event, &name))
        put_tag(t, t->w, &name);
    put_tags(t, t->w);
    json_array_end(t->w);
    json_object_end(t->w);
}

static void put_logs(struct trace_writer *t, const struct span *span)
{
    struct event_view *events;
    size_t n = span_events(span, t->raw, &t->scratch, &events);

    json_key_text(t->w, "logs");
    json_array(t->w);
    for (size_t i = 0; i < n && step(t); i++)
        put_log(t, &events[i]);
    json_array_end(t->w);
}

static void put_warnings(struct trace_writer *t, const struct span *span)
{
    struct str *warnings = NULL;
    size_t n = t->raw ? 0 : span_warnings(span, &t->scratch, &warnings);

    json_key_text(t->w, "warnings");
    if (n == 0) {
        json_put_null(t->w);
        return;
    }
    json_array(t->w);
    for (size_t i = 0; i < n && step(t); i++)
        json_put_str(t->w, warnings[i]);
    json_array_end(t->w);
}

/* --- spans
 * -------------------------------------------------------------------------------------------- */

/* Microseconds, truncated. Only raw data shows an end before the start as what it is. */
static int64_t duration_us(const struct trace_writer *t, const struct span *span)
{
    if (t->raw && span->end_ns < span->start_ns)
        return -(int64_t)((span->start_ns - span->end_ns) / 1000);
    return (int64_t)(span_duration_ns(span) / 1000);
}

static void put_span(struct trace_writer *t, const struct adjusted_span *a)
{
    const struct span *span = a->span;
    struct json_writer *w = t->w;
    char room[24];

    arena_reset(&t->scratch);
    size_t process = process_number(t, span->resource);
    json_object(w);
    json_key_text(w, "traceID");
    json_put_str(w, str_n(t->trace_id, t->trace_id_len));
    json_key_text(w, "spanID");
    json_put_hex(w, a->span_id, sizeof a->span_id);
    json_key_text(w, "operationName");
    json_put_str(w, t->raw ? span->name : view_operation(span->name, &t->scratch));
    put_references(t, a);
    json_key_text(w, "startTime");
    json_put_u64(w, span->start_ns / 1000);
    json_key_text(w, "duration");
    json_put_i64(w, duration_us(t, span));
    put_span_tags(t, span);
    put_logs(t, span);
    json_key_text(w, "processID");
    json_put_str(w, process_name(process, room));
    put_warnings(t, span);
    json_object_end(w);
}

static void put_trace(struct trace_writer *t, const struct adjusted_span *spans, size_t n)
{
    json_object(t->w);
    json_key_text(t->w, "traceID");
    json_put_str(t->w, str_n(t->trace_id, t->trace_id_len));
    json_key_text(t->w, "spans");
    json_array(t->w);
    for (size_t i = 0; i < n && step(t); i++)
        put_span(t, &spans[i]);
    json_array_end(t->w);
    put_processes(t);
    json_key_text(t->w, "warnings");
    json_put_null(t->w);
    json_object_end(t->w);
    (void)step(t); /* t->err says it */
}

static void writer_fini(struct trace_writer *t)
{
    map_fini(&t->processes.by_resource);
    map_fini(&t->processes.by_content);
    VEC_FINI(&t->processes.resources);
    tag_list_fini(&t->tags);
    buf_fini(&t->text);
    arena_fini(&t->scratch);
}

enum mg_err trace_json_write(struct json_writer *w, const struct query_trace *trace,
                             const struct trace_json_options *options, trace_json_flush_fn *flush,
                             void *owner)
{
    struct trace_writer t = {.w = w, .raw = options->raw, .flush = flush, .owner = owner};
    struct adjusted_span *spans;
    struct attr added[SAMPLED_TAGS];
    struct arena arena;

    arena_init(&arena);
    buf_init(&t.text, w->out->limit);
    t.n_added = sampled_tags(trace, added);
    t.trace_id_len = jaeger_id_text(trace->id, t.trace_id);
    size_t n = trace_adjust(trace, t.raw, &arena, &spans);
    put_trace(&t, spans, n);
    arena_fini(&arena);
    writer_fini(&t);
    return t.err;
}
