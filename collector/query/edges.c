/* edges.c - service edges of a window: what the store's commits counted, summed by pair. Names from
 * store pages are copied at their first sight; the sums live in the query's own arena.
 *
 * Counting cannot be ended from within, so what comes after the query was stopped is skipped. */
#include "query/private.h"

#include <stdlib.h>

#include "base/map.h"

#define MINUTE_NS UINT64_C(60000000000)

struct sums {
    struct query *query;
    enum mg_err err;
    struct mg_why *why;
    struct map pairs; /* length of parent, parent, child -> struct query_edge */
    struct buf key;
    size_t n, seen;
};

static void add_edge(void *owner, struct str parent, struct str child, uint64_t calls,
                     uint64_t errors)
{
    struct sums *sums = owner;
    struct arena *arena = query_arena(sums->query);
    struct query_edge *edge;
    void **slot;
    bool is_new;

    if (sums->err == MG_OK && sums->seen++ % QUERY_STEP_ROWS == 0)
        sums->err = query_step(sums->query, sums->why);
    if (sums->err == MG_OK)
        sums->err = query_room(sums->query, parent.len + child.len + sizeof *edge, sums->why);
    if (sums->err != MG_OK)
        return;
    buf_clear(&sums->key);
    buf_put_varint(&sums->key, parent.len);
    buf_put_str(&sums->key, parent);
    buf_put_str(&sums->key, child);
    slot = map_put(&sums->pairs, buf_str(&sums->key), &is_new);
    if (is_new) {
        edge = ARENA_NEW(arena, struct query_edge);
        edge->parent = arena_str(arena, parent);
        edge->child = arena_str(arena, child);
        *slot = edge;
        sums->n++;
    }
    edge = *slot;
    edge->calls += calls;
    edge->errors += errors;
}

static int by_names(const void *a, const void *b)
{
    const struct query_edge *left = a, *right = b;
    int order = str_cmp(left->parent, right->parent);

    return order ? order : str_cmp(left->child, right->child);
}

static uint32_t minute_of(uint64_t ns)
{
    return (uint32_t)MG_MIN(ns / MINUTE_NS, UINT64_C(0xffffffff));
}

static enum mg_err sum_up(struct sums *sums, uint64_t from_ns, uint64_t to_ns, struct mg_why *why)
{
    struct store_view *view = store_view_new(sums->query->options->store);
    enum mg_err err =
        store_view_edges(view, minute_of(from_ns), minute_of(to_ns), add_edge, sums, why);

    store_view_free(&view);
    if (sums->err != MG_OK)
        return sums->err;
    return err == MG_E_FORMAT ? MG_E_IO : err; /* a damaged file is not the asker's mistake */
}

static enum mg_err list(struct sums *sums, struct query_edge **out, size_t *n, struct mg_why *why)
{
    struct query_edge *edges;
    struct str key;
    void *value;
    size_t k = 0;

    MG_TRY(query_room(sums->query, (sums->n + 1) * sizeof *edges, why));
    edges = arena_alloc(query_arena(sums->query), (sums->n + 1) * sizeof *edges);
    for (size_t i = 0; map_next(&sums->pairs, &i, &key, &value);)
        edges[k++] = *(struct query_edge *)value;
    qsort(edges, k, sizeof *edges, by_names);
    *out = edges;
    *n = k;
    return MG_OK;
}

enum mg_err query_edges(struct query *query, uint64_t from_ns, uint64_t to_ns,
                        struct query_edge **out, size_t *n, struct mg_why *why)
{
    struct sums sums = { .query = query, .why = why };
    enum mg_err err;

    MG_TRY(query_step(query, why));
    buf_init(&sums.key, SIZE_MAX / 2); /* two names, each cut by the store */
    err = sum_up(&sums, from_ns, to_ns, why);
    if (err == MG_OK)
        err = list(&sums, out, n, why);
    map_fini(&sums.pairs);
    buf_fini(&sums.key);
    return err;
}
