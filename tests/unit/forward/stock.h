/* stock.h - decided rows as live has them: in ring segments, a fragment's rows linked newest to oldest. For the tests of this folder. */
#pragma once
#include "base/vec.h"
#include "row/fragment.h"
#include "row/intern.h"
#include "row/segment.h"

struct stock {
    struct interner *interner;     /* one loop's */
    VEC(struct segment *) segments;
};

static inline void stock_init(struct stock *stock)
{
    *stock = (struct stock){ .interner = interner_new() };
}

static inline void stock_fini(struct stock *stock)
{
    for (size_t i = 0; i < stock->segments.n; i++)
        segment_unref(&stock->segments.at[i]);
    VEC_FINI(&stock->segments);
    interner_free(&stock->interner);
}

static inline struct row *stock_row(struct stock *stock, struct epoch *epoch, const struct row *row)
{
    struct segment *last = stock->segments.n ? stock->segments.at[stock->segments.n - 1] : NULL;
    struct row *copy = last && last->epoch == epoch ? segment_add(last, row) : NULL;

    if (!copy) {
        VEC_PUSH(&stock->segments, segment_new(epoch, row->bytes));
        copy = segment_add(stock->segments.at[stock->segments.n - 1], row);
    }
    return copy;
}

/* The spans as one fragment, the last of them its newest row. */
static inline struct fragment stock_fragment(struct stock *stock, const struct span *spans, uint32_t n, bool is_kept)
{
    struct fragment fragment = { .n = n, .is_kept = is_kept };
    struct row_batch *batch;
    const struct row *row;
    struct row *copy = NULL;

    interner_begin(stock->interner, 0);
    for (uint32_t i = 0; i < n; i++) {
        interner_resource(stock->interner, spans[i].resource);
        interner_scope(stock->interner, spans[i].scope);
        interner_span(stock->interner, &spans[i]);
    }
    batch = interner_end(stock->interner);
    row = (const struct row *)batch->rows;
    for (uint32_t i = 0; i < n; i++, row = row_after(row)) {
        copy = stock_row(stock, batch->epoch, row);
        copy->prev = fragment.last;
        fragment.last = copy;
        segment_publish(segment_of(copy));
    }
    memcpy(fragment.trace_id, spans[0].trace_id, sizeof fragment.trace_id);
    row_batch_free(&batch);
    return fragment;
}
