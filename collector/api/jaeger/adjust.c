/* adjust.c - two passes over small copies.
 *
 * Spans come by start, then span id, so that copies of one span stand together: only neighbours
 * with the same start and id are compared, through a digest that does not depend on the order of
 * attributes.
 *
 * Shared ids (Zipkin: client and server write one span id): each server gets a number that no span
 * of the trace has, counting up from 1. Used ids are sorted, so finding the next free one is a walk
 * and not a search. There are fewer spans than numbers, so one is always free. */
#include "api/jaeger/adjust.h"

#include <stdlib.h>
#include "api/jaeger/sampled.h"
#include "api/jaeger/tags.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "model/jaeger_tags.h"

/* --- identical spans
 * ---------------------------------------------------------------------------------- */

/* Scratch of one pass. */
struct twins {
    struct tag_list tags;
    struct map seen; /* digest -> place in the output + 1 */
};

static uint64_t resource_digest(struct str resource, struct tag_list *tags)
{
    struct resource_view view;

    resource_view(resource, &view);
    VEC_CLEAR(tags);
    for (uint32_t i = 0; i < view.n; i++)
        tag_list_add_message(tags, view.attributes_owner[i], 1);
    return tag_list_digest(tags);
}

static uint64_t scope_digest(struct str scope, struct tag_list *tags)
{
    struct scope_view view;

    scope_view(scope, &view);
    VEC_CLEAR(tags);
    tag_list_add_message(tags, view.message, 3);
    uint64_t named = hash_bytes(view.name.ptr, view.name.len, tag_list_digest(tags));
    return hash_bytes(view.version.ptr, view.version.len, named);
}

static uint64_t attributes_digest(const struct span *span, struct tag_list *tags)
{
    uint64_t sums[3] = {resource_digest(span->resource, tags), scope_digest(span->scope, tags)};

    VEC_CLEAR(tags);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        tag_list_add(tags, &span->attrs[i]);
    sums[2] = tag_list_digest(tags);
    return hash_bytes(sums, sizeof sums, hash_seed());
}

/* Everything but attributes, the resource and the scope. */
static bool frame_equal(const struct span *a, const struct span *b)
{
    struct span left = *a, right = *b;

    left.n_attrs = right.n_attrs = 0;
    left.resource = right.resource = left.scope = right.scope = STR("");
    return span_equal(&left, &right);
}

static bool is_twin(struct twins *twins, const struct adjusted_span *out, const struct span *span,
                    size_t place)
{
    uint64_t key = attributes_digest(span, &twins->tags);
    bool is_new;

    /* Frames that differ share a digest when attributes are the same; the frame's hash keeps them
     * apart. */
    uint64_t parts[] = {key,
                        span->end_ns,
                        (uint64_t)span->kind,
                        get_le64(span->parent_id),
                        hash_bytes(span->name.ptr, span->name.len, key),
                        hash_bytes(span->events.ptr, span->events.len, key),
                        hash_bytes(span->links.ptr, span->links.len, key)};
    key = hash_bytes(parts, sizeof parts, hash_seed());
    void **first = map_put(&twins->seen, str_n(&key, sizeof key), &is_new);
    if (!is_new)
        return frame_equal(out[(uintptr_t)*first - 1].span, span);
    *first = (void *)(uintptr_t)(place + 1);
    return false;
}

static bool same_place(const struct span *a, const struct span *b)
{
    return a->start_ns == b->start_ns && memcmp(a->span_id, b->span_id, sizeof a->span_id) == 0;
}

static size_t add(struct adjusted_span *out, size_t n, const struct span *span)
{
    out[n].span = span;
    memcpy(out[n].span_id, span->span_id, sizeof span->span_id);
    memcpy(out[n].parent_id, span->parent_id, sizeof span->parent_id);
    return n + 1;
}

static size_t without_twins(const struct query_trace *trace, struct adjusted_span *out)
{
    struct twins twins = {0};
    size_t n = 0;

    for (size_t from = 0, to; from < trace->n; from = to) {
        for (to = from + 1; to < trace->n && same_place(trace->spans[from], trace->spans[to]);)
            to++;
        map_fini(&twins.seen);
        for (size_t i = from; i < to; i++)
            if (to - from == 1 || !is_twin(&twins, out, trace->spans[i], n))
                n = add(out, n, trace->spans[i]);
    }
    map_fini(&twins.seen);
    tag_list_fini(&twins.tags);
    return n;
}

/* --- shared span ids
 * ---------------------------------------------------------------------------------- */

struct ids {
    VEC(uint64_t) all, clients; /* big-endian numbers, sorted */
    size_t at;                  /* in `all`: those before are below `next` */
    uint64_t next;              /* the next number to try */
};

static int id_order(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static void ids_collect(struct ids *ids, const struct adjusted_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t id = get_be64(spans[i].span_id);
        VEC_PUSH(&ids->all, id);
        if (spans[i].span->kind == SPAN_CLIENT)
            VEC_PUSH(&ids->clients, id);
    }
    if (ids->clients.n == 0)
        return;
    qsort(ids->clients.at, ids->clients.n, sizeof *ids->clients.at, id_order);
    qsort(ids->all.at, ids->all.n, sizeof *ids->all.at, id_order);
    ids->next = 1;
}

static bool is_shared(const struct ids *ids, const struct adjusted_span *a)
{
    uint64_t id = get_be64(a->span_id);

    return a->span->kind == SPAN_SERVER && ids->clients.n > 0 &&
           bsearch(&id, ids->clients.at, ids->clients.n, sizeof id, id_order);
}

static uint64_t ids_take(struct ids *ids)
{
    while (ids->at < ids->all.n && ids->all.at[ids->at] <= ids->next)
        ids->next += ids->all.at[ids->at++] == ids->next;
    return ids->next++;
}

/* Gives every shared server a number; `moved` tells the last one for each id. `is_moved` marks the
 * servers. */
static void renumber(struct ids *ids, struct adjusted_span *spans, size_t n, struct map *moved,
                     bool *is_moved)
{
    for (size_t i = 0; i < n; i++) {
        struct adjusted_span *a = &spans[i];
        if (!is_shared(ids, a))
            continue;
        is_moved[i] = true;
        memcpy(a->parent_id, a->span_id, sizeof a->parent_id);
        put_be64(a->span_id, ids_take(ids));
        bool is_new;
        void **last = map_put(moved, str_n(a->parent_id, sizeof a->parent_id), &is_new);
        *last = a;
    }
}

static void split_shared_ids(struct adjusted_span *spans, size_t n, struct arena *arena)
{
    bool *is_moved = arena_zero(arena, n * sizeof *is_moved);
    struct ids ids = {0};
    struct map moved = {0};

    ids_collect(&ids, spans, n);
    renumber(&ids, spans, n, &moved, is_moved);
    for (size_t i = 0; moved.n && i < n; i++) {
        void **server = map_find(&moved, str_n(spans[i].parent_id, sizeof spans[i].parent_id));
        if (server &&
            !is_moved[i]) /* a server's parent is its client, also when there are several */
            memcpy(spans[i].parent_id, ((struct adjusted_span *)*server)->span_id,
                   sizeof spans[i].parent_id);
    }
    map_fini(&moved);
    VEC_FINI(&ids.all);
    VEC_FINI(&ids.clients);
}

size_t trace_adjust(const struct query_trace *trace, bool raw, struct arena *arena,
                    struct adjusted_span **out)
{
    struct adjusted_span *spans = arena_alloc(arena, trace->n * sizeof *spans);
    size_t n = 0;

    *out = spans;
    if (!raw) {
        n = without_twins(trace, spans);
        split_shared_ids(spans, n, arena);
    }
    for (size_t i = 0; raw && i < trace->n; i++)
        n = add(spans, n, trace->spans[i]);
    sampled_show(trace, spans, n, arena); /* last: twins are told by what was received */
    return n;
}

/* --- warnings
 * ----------------------------------------------------------------------------------------- */

struct warnings {
    VEC(struct str) list;
};

bool link_is_shown(const uint8_t trace_id[16])
{
    return get_le64(trace_id) || get_le64(trace_id + 8);
}

static void add_stored(struct warnings *warnings, const struct attr *attr)
{
    struct str array = value_plain(&attr->value).raw, text;
    const uint8_t *at = wire_begin(array), *end = wire_end(array);

    while (jaeger_warning_next(&at, end, &text) == 1)
        VEC_PUSH(&warnings->list, text);
}

/* RFC 3339 with nanoseconds: the two times may be as close as that. */
static struct str time_text(uint64_t ns, struct arena *arena)
{
    char text[CLOCK_TEXT_BYTES];

    clock_text(ns, text);
    return arena_printf(arena, "%.19s.%09uZ", text, (unsigned)(ns % 1000000000));
}

static struct str negative_duration(const struct span *span, struct arena *arena)
{
    return arena_printf(
        arena,
        "Negative duration detected, sanitizing end timestamp. Original end timestamp: %.*s, "
        "adjusted to: %.*s",
        STR_ARG(time_text(span->end_ns, arena)), STR_ARG(time_text(span->start_ns, arena)));
}

static void add_links(struct warnings *warnings, struct str links)
{
    const uint8_t *at = wire_begin(links), *end = wire_end(links);
    struct link_view link;

    while (link_next(&at, end, &link) == 1)
        if (!link_is_shown(link.trace_id))
            VEC_PUSH(&warnings->list, STR("Invalid span link removed"));
}

size_t span_warnings(const struct span *span, struct arena *arena, struct str **out)
{
    struct warnings warnings = {0};

    for (uint32_t i = 0; i < span->n_attrs; i++)
        if (jaeger_attr_is_warnings(&span->attrs[i]))
            add_stored(&warnings, &span->attrs[i]);
    if (span->end_ns < span->start_ns)
        VEC_PUSH(&warnings.list, negative_duration(span, arena));
    add_links(&warnings, span->links);

    size_t n = warnings.list.n;
    *out = n ? arena_alloc(arena, n * sizeof **out) : NULL;
    if (n)
        memcpy(*out, warnings.list.at, n * sizeof **out);
    VEC_FINI(&warnings.list);
    return n;
}

/* --- attributes and events
 * ---------------------------------------------------------------------------- */

void span_tags(const struct span *span, bool raw, struct tag_list *tags, struct arena *arena)
{
    struct attr name;

    VEC_CLEAR(tags);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        if (raw || !jaeger_attr_is_warnings(&span->attrs[i]))
            tag_list_add(tags, &span->attrs[i]);
    if (raw)
        return;
    if (jaeger_name_tag(span, &name))
        tag_list_add(tags, &name);
    tag_list_adjust(tags, true, arena);
}

void resource_tags(struct str resource, bool raw, struct tag_list *tags, struct arena *arena)
{
    struct attr attr, name = {STR("service.name"), {.type = VALUE_STRING}};
    struct resource_view view;

    resource_view(resource, &view);
    VEC_CLEAR(tags);
    for (uint32_t i = 0; i < view.n; i++) {
        struct str message = view.attributes_owner[i];
        const uint8_t *at = wire_begin(message), *end = wire_end(message);
        while (attr_next(&at, end, 1, &attr) == 1)
            if (raw || !str_eq(attr.key, name.key))
                tag_list_add(tags, &attr);
    }
    if (raw)
        return;
    name.value.str = view_service(resource, arena);
    tag_list_add(tags, &name);
    tag_list_adjust(tags, true, arena);
}

/* In the order received the messages lie behind one another: that is the place. */
static int event_order(const void *left, const void *right)
{
    const struct event_view *a = left, *b = right;
    int order = (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);

    return order ? order : (a->message.ptr > b->message.ptr) - (a->message.ptr < b->message.ptr);
}

size_t span_events(const struct span *span, bool raw, struct arena *arena, struct event_view **out)
{
    const uint8_t *at = wire_begin(span->events), *end = wire_end(span->events);
    VEC(struct event_view) events = {0};
    struct event_view event;

    while (event_next(&at, end, &event) == 1)
        VEC_PUSH(&events, event);
    if (!raw && events.n > 1)
        qsort(events.at, events.n, sizeof *events.at, event_order);

    size_t n = events.n;
    *out = n ? arena_alloc(arena, n * sizeof **out) : NULL;
    if (n)
        memcpy(*out, events.at, n * sizeof **out);
    VEC_FINI(&events);
    return n;
}
