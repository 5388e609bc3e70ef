/* rows.c - see rows.h. */
#include "unit/sample/rows.h"
#include <assert.h>
#include "model/otlp_write.h"

void rows_init(struct rows *rows)
{
    *rows = (struct rows){ .interner = interner_new() };
}

void rows_fini(struct rows *rows)
{
    if (rows->segment)
        segment_unref(&rows->segment);
    for (size_t i = 0; i < rows->n_old; i++)
        segment_unref(&rows->old[i]);
    interner_free(&rows->interner);
}

void rows_resource(struct buf *out, const struct attr *attrs, size_t n)
{
    struct buf resource;

    buf_init(&resource, 1 << 20);
    for (size_t i = 0; i < n; i++)
        otlp_put_attr(&resource, 1, &attrs[i]);
    wire_put_bytes(out, 1, buf_str(&resource));
    buf_fini(&resource);
}

static void retire(struct rows *rows)
{
    assert(rows->n_old < MG_COUNT(rows->old));
    rows->old[rows->n_old++] = MG_STEAL(rows->segment);
}

const struct row *rows_add(struct rows *rows, const struct span *span, const struct row *prev)
{
    struct row_batch *batch;
    struct row *row = NULL;

    interner_begin(rows->interner, 1);
    interner_resource(rows->interner, span->resource);
    interner_scope(rows->interner, span->scope);
    interner_span(rows->interner, span);
    batch = interner_end(rows->interner);
    if (rows->segment && rows->segment->epoch != batch->epoch)
        retire(rows);
    if (rows->segment)
        row = segment_add(rows->segment, (const struct row *)batch->rows);
    if (!row) {
        if (rows->segment)
            retire(rows);
        rows->segment = segment_new(batch->epoch, batch->bytes);
        row = segment_add(rows->segment, (const struct row *)batch->rows);
    }
    row->prev = prev;
    segment_publish(rows->segment);
    row_batch_free(&batch);
    return row;
}

void rows_next_epoch(struct rows *rows)
{
    interner_free(&rows->interner);
    rows->interner = interner_new();
}
