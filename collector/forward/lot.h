/* lot.h - encoded spans on their way into one OTLP request, grouped by resource and scope.
 *
 * Rows of equal (epoch, resource symbol, scope symbol) stand together, wherever they were between the others; equal resources of two
 * epochs (of two loops) do not meet. Within a group a span that was added later stands first: a fragment is walked from its newest row, so
 * the oldest comes first again. The lot copies spans; resources and scopes are the epochs', which must stay until it was written.
 * One thread. */
#pragma once
#include "base/buf.h"
#include "base/vec.h"
#include "row/row.h"

struct lot_key { const struct epoch *epoch; uint32_t resource, scope; /* symbols */ };
struct lot_group {
    struct lot_key key;
    size_t bytes;               /* of its spans, as fields */
    uint32_t newest;            /* number of the piece added last */
};
struct lot_piece { size_t at, len; uint32_t before; /* number of the group's piece before it; LOT_NONE: the first */ };
#define LOT_NONE UINT32_MAX

struct lot {
    uint32_t n;                 /* spans; may be read */
    size_t bytes;               /* of the request, at most; may be read */
    struct buf spans;           /* every span as a field, one after the other */
    VEC(struct lot_piece) pieces;
    VEC(struct lot_group) groups;
    VEC(uint32_t) slots;        /* open addressing: number of a group, or LOT_NONE; a power of two */
    uint32_t recent;            /* the group of the span before: most often the next one's too */
    uint64_t seed;
};
void lot_init(struct lot *lot);
void lot_fini(struct lot *lot);
/* `span`: the Span message of the row. False: the request would become larger than bytes_max, and nothing was added; an empty lot
 * takes any span. */
bool lot_add(struct lot *lot, const struct row *row, const struct epoch *epoch, struct str span, size_t bytes_max);
/* Appends the ExportTraceServiceRequest (nothing for an empty lot) and empties the lot. */
void lot_write(struct lot *lot, struct buf *out);
