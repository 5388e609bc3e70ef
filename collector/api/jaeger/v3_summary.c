/* v3_summary.c - one pass over the adjusted spans, and one over their parents, once all ids are
 * known. Spans come by start, so the first root is the earliest. */
#include "api/jaeger/v3_summary.h"

#include <stdlib.h>
#include "api/jaeger/adjust.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/utf8.h"

struct service {
    struct str name;
    size_t spans, errors;
};

struct trace_summary {
    uint8_t id[16];
    bool raw;
    struct arena arena;               /* of what is told about the trace */
    const struct adjusted_span *root; /* the earliest span without a parent, or NULL */
    uint64_t start_ns, end_ns;
    size_t spans, errors, orphans;
    VEC(struct service) services;
    struct map by_name; /* -> place in services + 1 */
};

static struct service *service_of(struct trace_summary *summary, struct str name)
{
    bool is_new;
    void **place = map_put(&summary->by_name, name, &is_new);

    if (is_new) {
        VEC_PUSH(&summary->services, ((struct service){.name = name}));
        *place = (void *)(uintptr_t)summary->services.n;
    }
    return &summary->services.at[(uintptr_t)*place - 1];
}

static void count(struct trace_summary *summary, const struct adjusted_span *a,
                  struct str service_name)
{
    struct service *service = service_of(summary, service_name);
    size_t is_error = a->span->status_code == STATUS_ERROR;

    if (summary->spans == 0 || a->span->start_ns < summary->start_ns)
        summary->start_ns = a->span->start_ns;
    summary->end_ns = MG_MAX(summary->end_ns, a->span->start_ns + span_duration_ns(a->span));
    if (!summary->root && get_le64(a->parent_id) == 0)
        summary->root = a;
    summary->spans++;
    summary->errors += is_error;
    service->spans++;
    service->errors += is_error;
}

static void count_all(struct trace_summary *summary, const struct adjusted_span *spans, size_t n,
                      struct arena *arena)
{
    struct str last = {NULL, 0}, name = STR("");

    for (size_t i = 0; i < n; i++) {
        struct str resource = spans[i].span->resource;
        if (i == 0 || last.ptr != resource.ptr || last.len != resource.len)
            name = view_service(resource, arena);
        last = resource;
        count(summary, &spans[i], name);
    }
}

static size_t count_orphans(const struct adjusted_span *spans, size_t n)
{
    struct map ids = {0};
    size_t orphans = 0;
    bool is_new;

    for (size_t i = 0; i < n; i++)
        (void)map_put(&ids, str_n(spans[i].span_id, sizeof spans[i].span_id), &is_new);
    for (size_t i = 0; i < n; i++)
        orphans += get_le64(spans[i].parent_id) != 0 &&
                   !map_find(&ids, str_n(spans[i].parent_id, sizeof spans[i].parent_id));
    map_fini(&ids);
    return orphans;
}

static int service_order(const void *left, const void *right)
{
    return str_cmp(((const struct service *)left)->name, ((const struct service *)right)->name);
}

static void summary_of(struct trace_summary *summary, const struct query_trace *trace, bool raw)
{
    struct query_trace bare = *trace;
    struct adjusted_span *spans;

    bare.outcome = 0; /* a list of results does not say why each was kept */
    *summary = (struct trace_summary){.raw = raw};
    memcpy(summary->id, trace->id, sizeof summary->id);
    size_t n = trace_adjust(&bare, raw, &summary->arena, &spans);
    count_all(summary, spans, n, &summary->arena);
    summary->orphans = count_orphans(spans, n);
    if (summary->services.n)
        qsort(summary->services.at, summary->services.n, sizeof *summary->services.at,
              service_order);
}

static void summary_fini(struct trace_summary *summary)
{
    VEC_FINI(&summary->services);
    map_fini(&summary->by_name);
    arena_fini(&summary->arena);
}

/* Empty when there is no root. */
static struct str root_service(struct trace_summary *summary)
{
    return summary->root ? view_service(summary->root->span->resource, &summary->arena) : STR("");
}

static struct str root_operation(struct trace_summary *summary)
{
    struct str name = summary->root ? summary->root->span->name : STR("");

    if (!summary->root || summary->raw)
        return name;
    return view_operation(name, &summary->arena);
}

/* --- JSON
 * --------------------------------------------------------------------------------------------- */

static void put_count(struct json_writer *w, const char *key, size_t n)
{
    if (n == 0)
        return;
    json_key(w, str_of(key));
    json_put_u64(w, n);
}

static void put_text(struct json_writer *w, const char *key, struct str text)
{
    if (text.len == 0)
        return;
    json_key(w, str_of(key));
    json_put_str(w, text);
}

static void put_time(struct json_writer *w, const char *key, uint64_t ns)
{
    if (ns == 0)
        return;
    json_key(w, str_of(key));
    json_put_u64_text(w, ns);
}

static void put_services(struct json_writer *w, const struct service *services, size_t n)
{
    json_key_text(w, "services");
    json_array(w);
    for (size_t i = 0; i < n; i++) {
        json_object(w);
        json_key_text(w, "name");
        json_put_str(w, services[i].name);
        put_count(w, "spanCount", services[i].spans);
        put_count(w, "errorSpanCount", services[i].errors);
        json_object_end(w);
    }
    json_array_end(w);
}

void v3_summary_write(struct json_writer *w, const struct query_trace *trace, bool raw)
{
    struct trace_summary summary;

    summary_of(&summary, trace, raw);
    json_object(w);
    json_key_text(w, "traceId");
    json_put_hex(w, summary.id, sizeof summary.id);
    put_text(w, "rootServiceName", root_service(&summary));
    put_text(w, "rootOperationName", root_operation(&summary));
    put_time(w, "minStartTimeUnixNano", summary.start_ns);
    put_time(w, "maxEndTimeUnixNano", summary.end_ns);
    put_count(w, "spanCount", summary.spans);
    put_count(w, "errorSpanCount", summary.errors);
    put_count(w, "orphanSpanCount", summary.orphans);
    put_services(w, summary.services.at, summary.services.n);
    json_object_end(w);
    summary_fini(&summary);
}

/* --- protobuf
 * ----------------------------------------------------------------------------------------- */

static void wire_text(struct buf *out, uint32_t number, struct str text, struct arena *arena)
{
    if (text.len)
        wire_put_bytes(out, number, utf8_clean(text, arena));
}

static void wire_number(struct buf *out, uint32_t number, uint64_t value)
{
    if (value)
        wire_put_varint(out, number, value);
}

static void wire_time(struct buf *out, uint32_t number, uint64_t ns)
{
    if (ns)
        wire_put_fixed64(out, number, ns);
}

void v3_summary_put(struct buf *out, uint32_t number, const struct query_trace *trace, bool raw)
{
    struct trace_summary summary;
    size_t mark = wire_open(out, number);
    char id[32];

    summary_of(&summary, trace, raw);
    hex_encode(summary.id, sizeof summary.id, id);
    wire_put_bytes(out, 1, str_n(id, sizeof id));
    wire_text(out, 2, root_service(&summary), &summary.arena);
    wire_text(out, 3, root_operation(&summary), &summary.arena);
    wire_time(out, 4, summary.start_ns);
    wire_time(out, 5, summary.end_ns);
    wire_number(out, 6, summary.spans);
    wire_number(out, 7, summary.errors);
    wire_number(out, 8, summary.orphans);
    for (size_t i = 0; i < summary.services.n; i++) {
        const struct service *service = &summary.services.at[i];
        size_t entry = wire_open(out, 9);
        wire_text(out, 1, service->name, &summary.arena);
        wire_number(out, 2, service->spans);
        wire_number(out, 3, service->errors);
        wire_close(out, entry);
    }
    summary_fini(&summary);
    wire_close(out, mark);
}
