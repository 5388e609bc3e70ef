/* best.c - a heap with the worst trace at its root, and a map from trace id to its place.
 *
 * Most hits of a large search are older than everything kept: best_wants turns them away with one
 * comparison, before anything is hashed. */
#include "query/best.h"

#include <assert.h>
#include <stdlib.h>
#include "base/map.h"
#include "base/vec.h"

struct best {
    size_t limit;
    VEC(struct best_trace *) heap; /* owned */
    struct map places;             /* id -> struct best_trace */
};

static struct str key_of(const uint8_t id[16])
{
    return str_n(id, 16);
}

/* Older, or as old and later by id: a comes after b in the answer. */
static bool is_worse(const struct best_trace *a, const struct best_trace *b)
{
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns;
    return memcmp(a->id, b->id, sizeof a->id) > 0;
}

struct best *best_new(size_t limit)
{
    struct best *best = MEM_NEW(struct best);

    assert(limit > 0);
    best->limit = limit;
    return best;
}

void best_free(struct best **pointer)
{
    struct best *best = *pointer;

    if (!best)
        return;
    for (size_t i = 0; i < best->heap.n; i++)
        mem_free(best->heap.at[i]);
    VEC_FINI(&best->heap);
    map_fini(&best->places);
    mem_free(best);
    *pointer = NULL;
}

/* --- heap ------------------------------------------------------------------------------------- */

static void put(struct best *best, size_t at, struct best_trace *trace)
{
    best->heap.at[at] = trace;
    trace->at = at;
}

static void sift_up(struct best *best, struct best_trace *trace)
{
    size_t at = trace->at;

    for (; at > 0 && is_worse(trace, best->heap.at[(at - 1) / 2]); at = (at - 1) / 2)
        put(best, at, best->heap.at[(at - 1) / 2]);
    put(best, at, trace);
}

static void sift_down(struct best *best, struct best_trace *trace)
{
    size_t at = trace->at, child;

    while ((child = 2 * at + 1) < best->heap.n) {
        if (child + 1 < best->heap.n && is_worse(best->heap.at[child + 1], best->heap.at[child]))
            child++;
        if (!is_worse(best->heap.at[child], trace))
            break;
        put(best, at, best->heap.at[child]);
        at = child;
    }
    put(best, at, trace);
}

/* --- hits ------------------------------------------------------------------------------------- */

bool best_wants(const struct best *best, uint64_t start_ns)
{
    return best->heap.n < best->limit || start_ns >= best->heap.at[0]->start_ns;
}

static void add(struct best *best, const struct best_trace *hit)
{
    struct best_trace *trace = mem_copy(hit, sizeof *hit);

    trace->at = best->heap.n;
    VEC_PUSH(&best->heap, trace);
    sift_up(best, trace);
    *map_put(&best->places, key_of(trace->id), NULL) = trace;
}

static void replace_worst(struct best *best, const struct best_trace *hit)
{
    struct best_trace *trace = best->heap.at[0];

    map_remove(&best->places, key_of(trace->id), NULL);
    *trace = *hit;
    sift_down(best, trace);
    *map_put(&best->places, key_of(trace->id), NULL) = trace;
}

void best_offer(struct best *best, const uint8_t id[16], uint64_t start_ns)
{
    struct best_trace hit = { .start_ns = start_ns };
    struct best_trace *known;
    void **place;

    if (!best_wants(best, start_ns))
        return;
    memcpy(hit.id, id, sizeof hit.id);
    if ((place = map_find(&best->places, key_of(id)))) {
        known = *place;
        known->start_ns = MG_MAX(known->start_ns, start_ns);
        sift_down(best, known);
    } else if (best->heap.n < best->limit) {
        add(best, &hit);
    } else if (is_worse(best->heap.at[0], &hit)) {
        replace_worst(best, &hit);
    }
}

static int newest_first(const void *a, const void *b)
{
    const struct best_trace *left = *(struct best_trace *const *)a,
                            *right = *(struct best_trace *const *)b;

    return is_worse(left, right) ? 1 : is_worse(right, left) ? -1 : 0;
}

size_t best_sorted(struct best *best, struct best_trace *const **out)
{
    if (best->heap.n > 0)
        qsort(best->heap.at, best->heap.n, sizeof *best->heap.at, newest_first);
    *out = best->heap.at;
    return best->heap.n;
}
