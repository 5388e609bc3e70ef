/* search.c - the newest traces that have a matching span.
 *
 * First which, then what. The ring's rows and the blocks, newest start first, offer trace ids with
 * the start of a matching span; the newest `limit` are kept, and the walk ends where everything
 * further is older than all of them (collector/README.md R9). Then the traces are fetched whole, newest first,
 * in steps, so that an asker who reads slowly holds the ring segments of one step and not of the
 * whole answer.
 *
 * The step's rows are asked for anew, with a new view after them: rows and view of the first part
 * would miss what moved from ring to store in between.
 *
 * Service and operation are compared once a symbol and not once a row: the rows of a segment name
 * few. */
#include "query/private.h"

#include <stdlib.h>
#include "query/best.h"

enum { STEP_TRACES = 512, MEMO = 256 };
#define SCRATCH_BYTES 32768 /* kept in the arena between two rows */

/* --- the ring --------------------------------------------------------------------------------- */

static uint64_t start_max(const struct segment *segment)
{
    return atomic_load_explicit(&segment->start_max_ns, memory_order_relaxed);
}

struct ranked {
    uint64_t start_max_ns;
    struct segment *segment;
};

static int newest_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;

    if (left->start_max_ns != right->start_max_ns)
        return left->start_max_ns < right->start_max_ns ? 1 : -1;
    return 0;
}

/* Ranked by a copy: the range of an open segment widens while we sort. */
void ring_take(struct ring *ring, struct live *live)
{
    struct ranked *ranked;

    ring->n = live_segments(live, &ring->at);
    ranked = mem_alloc((ring->n + 1) * sizeof *ranked);
    for (size_t i = 0; i < ring->n; i++)
        ranked[i] = (struct ranked){ start_max(ring->at[i]), ring->at[i] };
    qsort(ranked, ring->n, sizeof *ranked, newest_first);
    for (size_t i = 0; i < ring->n; i++)
        ring->at[i] = ranked[i].segment;
    mem_free(ranked);
}

void ring_let_go(struct ring *ring)
{
    for (size_t i = 0; i < ring->n; i++)
        segment_unref(&ring->at[i]);
    mem_free(ring->at);
    *ring = (struct ring){ 0 };
}

/* What a symbol of the epoch said last time, by its low bits. */
struct memo {
    struct {
        uint32_t symbol;
        bool is_known, is_match;
    } at[MEMO];
};

struct finder {
    struct query *query;
    const struct span_filter *filter;
    struct span_filter rest; /* without service and operation */
    struct best *best;
    const struct epoch *epoch; /* of the memos */
    struct memo services, operations;
    uint64_t scanned; /* bytes of columns unpacked for it */
};

static bool memo_get(const struct memo *memo, uint32_t symbol, bool *known)
{
    *known = memo->at[symbol % MEMO].is_match;
    return memo->at[symbol % MEMO].is_known && memo->at[symbol % MEMO].symbol == symbol;
}

static bool memo_put(struct memo *memo, uint32_t symbol, bool is_match)
{
    memo->at[symbol % MEMO].symbol = symbol;
    memo->at[symbol % MEMO].is_known = true;
    return memo->at[symbol % MEMO].is_match = is_match;
}

static bool is_service(struct finder *finder, uint32_t resource)
{
    struct str service;
    bool known;

    if (!finder->filter->service.ptr)
        return true;
    if (memo_get(&finder->services, resource, &known))
        return known;
    service = view_service(epoch_text(finder->epoch, resource), &finder->query->scratch);
    return memo_put(&finder->services, resource, str_eq(service, finder->filter->service));
}

static bool is_operation(struct finder *finder, uint32_t name)
{
    struct str operation;
    bool known;

    if (!finder->filter->operation.ptr)
        return true;
    if (memo_get(&finder->operations, name, &known))
        return known;
    operation = view_operation(epoch_text(finder->epoch, name), &finder->query->scratch);
    return memo_put(&finder->operations, name, str_eq(operation, finder->filter->operation));
}

static bool is_match(struct finder *finder, const struct row *row)
{
    struct query *query = finder->query;

    if (query->scratch.bytes > SCRATCH_BYTES)
        arena_reset(&query->scratch);
    return is_service(finder, row->resource) && is_operation(finder, row->name) &&
           filter_match_row(&finder->rest, row, finder->epoch, &query->scratch, &query->text);
}

static enum mg_err search_segment(struct finder *finder, struct segment *segment,
                                  struct mg_why *why)
{
    const struct span_filter *filter = finder->filter;
    const char *end;
    /* Before the range is read, which then covers these rows. */
    const struct row *row = segment_first(segment, &end);
    uint32_t n = 0;

    if (!best_wants(finder->best, start_max(segment)) ||
        start_max(segment) < filter->start_min_ns ||
        atomic_load_explicit(&segment->start_min_ns, memory_order_relaxed) > filter->start_max_ns)
        return MG_OK;
    if (finder->epoch != segment->epoch) {
        memset(&finder->services, 0, sizeof finder->services);
        memset(&finder->operations, 0, sizeof finder->operations);
        finder->epoch = segment->epoch;
    }
    for (; (const char *)row < end; row = row_after(row)) {
        if (n++ % QUERY_STEP_ROWS == 0)
            MG_TRY(query_step(finder->query, why));
        if (row->start_ns < filter->start_min_ns || row->start_ns > filter->start_max_ns ||
            !best_wants(finder->best, row->start_ns))
            continue;
        if (is_match(finder, row))
            best_offer(finder->best, row->trace_id, row->start_ns);
    }
    return MG_OK;
}

static enum mg_err search_ring(struct finder *finder, const struct ring *ring, struct mg_why *why)
{
    for (size_t i = 0; i < ring->n; i++)
        MG_TRY(search_segment(finder, ring->at[i], why));
    return MG_OK;
}

/* --- the store -------------------------------------------------------------------------------- */

static bool on_hit(void *owner, const uint8_t trace_id[16], uint64_t start_ns)
{
    best_offer(owner, trace_id, start_ns);
    return true;
}

static enum mg_err search_block(struct finder *finder, struct store_view *view,
                                const struct block_info *block, struct mg_why *why)
{
    struct block_reader *reader;
    bool may = false;
    enum mg_err err = store_view_may_match(view, block, finder->filter, &may);

    if (err != MG_OK)
        return mg_fail(why, err, "block %u: its summary cannot be read", block->number);
    if (!may)
        return MG_OK;
    MG_TRY(store_view_open(view, block, &reader, why));
    err = block_search(reader, finder->filter, on_hit, finder->best, why);
    finder->scanned += block_memory(reader);
    return err;
}

static enum mg_err search_blocks(struct finder *finder, struct store_view *view, struct mg_why *why)
{
    const struct block_info *blocks;
    size_t n = store_view_blocks(view, &blocks);

    for (size_t i = 0; i < n; i++) {
        struct mg_why damage = { "" };
        MG_TRY(query_step(finder->query, why));
        if (finder->scanned > finder->query->conf->scan_bytes_max)
            return mg_fail(why, MG_E_TOO_BIG,
                           "the search would read more than %llu bytes (query.scan_bytes_max): narrow its "
                           "time window, or name a service or a tag",
                           (unsigned long long)finder->query->conf->scan_bytes_max);
        /* All further blocks end earlier still. */
        if (!best_wants(finder->best, blocks[i].start_max_ns) ||
            blocks[i].start_max_ns < finder->filter->start_min_ns)
            return MG_OK;
        if (search_block(finder, view, &blocks[i], &damage) != MG_OK)
            query_damaged(finder->query, &damage);
    }
    return MG_OK;
}

/* --- which ------------------------------------------------------------------------------------ */

/* Ring references before the view (R9); they can go once their rows were looked at. */
static enum mg_err find(struct finder *finder, struct mg_why *why)
{
    struct store_view *view;
    struct ring ring;
    enum mg_err err;

    ring_take(&ring, finder->query->options->live);
    err = search_ring(finder, &ring, why);
    ring_let_go(&ring);
    if (err != MG_OK)
        return err;
    view = store_view_new(finder->query->options->store);
    err = search_blocks(finder, view, why);
    store_view_free(&view);
    return err;
}

static enum mg_err find_best(struct query *query, const struct query_search *search,
                             struct best *best, struct mg_why *why)
{
    struct finder *finder = MEM_NEW(struct finder);
    enum mg_err err;

    finder->query = query;
    finder->filter = &search->filter;
    finder->rest = search->filter;
    finder->rest.service = finder->rest.operation = (struct str){ NULL, 0 };
    finder->best = best;
    err = find(finder, why);
    arena_reset(&query->scratch);
    buf_shrink(&query->text, 0);
    mem_free(finder);
    return err;
}

/* --- what ------------------------------------------------------------------------------------- */

static enum mg_err give_step(struct query *query, struct best_trace *const *traces, size_t n,
                             query_trace_fn *on_trace, void *owner, struct mg_why *why)
{
    uint8_t ids[STEP_TRACES][16];
    struct query_trace trace;

    for (size_t i = 0; i < n; i++)
        memcpy(ids[i], traces[i]->id, sizeof ids[i]);
    query_take(query, (const uint8_t(*)[16])ids, n);
    for (size_t i = 0; i < n; i++) {
        enum mg_err err = query_gather(query, (const uint8_t(*)[16])ids, i, &trace, why);
        if (err == MG_E_ABSENT)
            continue; /* retention was faster */
        MG_TRY(err);
        MG_TRY(on_trace(owner, &trace));
    }
    return MG_OK;
}

static enum mg_err give(struct query *query, struct best *best, query_trace_fn *on_trace,
                        void *owner, struct mg_why *why)
{
    struct best_trace *const *traces;
    size_t n = best_sorted(best, &traces);

    for (size_t i = 0; i < n; i += STEP_TRACES)
        MG_TRY(
            give_step(query, traces + i, MG_MIN(n - i, (size_t)STEP_TRACES), on_trace, owner, why));
    return MG_OK;
}

enum mg_err query_search(struct query *query, const struct query_search *search,
                         query_trace_fn *on_trace, void *owner, struct mg_why *why)
{
    uint64_t most = query->conf->traces_max;
    MG_AUTO(best_free) struct best *best = NULL;

    query_let_go(query);
    if (search->limit == 0)
        return mg_fail(why, MG_E_FORMAT, "limit must be at least 1");
    if (search->limit > most)
        return mg_fail(why, MG_E_TOO_BIG, "limit %u is larger than %llu (query.traces_max)",
                       search->limit, (unsigned long long)most);
    MG_TRY(query_step(query, why));
    best = best_new(search->limit);
    MG_TRY(find_best(query, search, best, why));
    return give(query, best, on_trace, owner, why);
}
