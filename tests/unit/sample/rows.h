/* rows.h - spans as they stand in the ring: interned, copied to a segment, linked, for tests of what reads rows. */
#pragma once
#include "row/intern.h"
#include "row/segment.h"

struct rows {
    struct interner *interner;
    struct segment *segment;   /* of the newest epoch */
    struct segment *old[64];   /* kept until rows_free */
    size_t n_old;
};
void rows_init(struct rows *rows);
void rows_fini(struct rows *rows);
/* The resource's attributes in wire form: rows_resource(&buf, attrs, n), as span.h's `resource`. In `out`, which the caller owns. */
void rows_resource(struct buf *out, const struct attr *attrs, size_t n);
/* The span as a published row after `prev` (NULL: first of its trace). */
const struct row *rows_add(struct rows *rows, const struct span *span, const struct row *prev);
/* A new epoch from here on: the same names have other symbols. */
void rows_next_epoch(struct rows *rows);
