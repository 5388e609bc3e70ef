/* groups.c - each span is placed in a group, numbered in the order in which groups appear, and the
 * places are sorted. */
#include "api/jaeger/groups.h"

#include <stdlib.h>
#include "base/map.h"

static size_t number_of(struct map *map, struct str key)
{
    bool is_new;
    void **number = map_put(map, key, &is_new);

    if (is_new)
        *number = (void *)(uintptr_t)map->n;
    return (uintptr_t)*number;
}

static bool is_same(struct str a, struct str b)
{
    return a.ptr == b.ptr && a.len == b.len;
}

/* Neighbours often share resource and scope, bytes and all: then nothing is looked up. */
static void place_spans(const struct adjusted_span *spans, size_t n, struct place *places)
{
    struct map resources = {0}, groups = {0};
    struct buf key;

    buf_init(&key, SIZE_MAX); /* as long as a scope, which was accepted */
    for (size_t i = 0; i < n; i++) {
        const struct span *span = spans[i].span, *last = i ? spans[i - 1].span : NULL;
        if (last && is_same(span->resource, last->resource) && is_same(span->scope, last->scope)) {
            places[i] = places[i - 1];
        } else {
            size_t resource = number_of(&resources, span->resource);
            buf_clear(&key);
            buf_put(&key, &resource, sizeof resource);
            buf_put_str(&key, span->scope);
            places[i] = (struct place){resource, number_of(&groups, buf_str(&key)), 0};
        }
        places[i].span = i;
    }
    buf_fini(&key);
    map_fini(&resources);
    map_fini(&groups);
}

static int place_order(const void *left, const void *right)
{
    const struct place *a = left, *b = right;

    if (a->resource != b->resource)
        return a->resource < b->resource ? -1 : 1;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return (a->span > b->span) - (a->span < b->span);
}

struct place *spans_grouped(const struct adjusted_span *spans, size_t n, struct arena *arena)
{
    struct place *places = arena_alloc(arena, n * sizeof *places);

    place_spans(spans, n, places);
    qsort(places, n, sizeof *places, place_order);
    return places;
}
