/* segment.h - ring segments: 1 MiB of anonymous memory, aligned to its size, rows of one epoch.
 *
 * Live alone writes: it copies rows in, links and publishes them. A segment is read by anybody who
 * holds a reference, up to its published bytes; rows below that never change. segment_of() finds
 * the segment of a row by its address. A row larger than a segment gets an oversize segment of its
 * own. `live` fields are the live thread's. A segment is freed when live and the last reader have
 * let go; it is in no list then. Freed ordinary segments are kept for reuse (touching fresh memory
 * costs seven times as much) up to 32 MiB; segment_pool_trim, called from a timer, lowers that. */
#pragma once
#include <stdatomic.h>
#include "base/list.h"
#include "row/row.h"

#define SEGMENT_BYTES ((size_t)1 << 20)

struct segment {
    atomic_uint refs;
    _Atomic size_t published;     /* bytes of rows readable, from segment_rows() */
    _Atomic uint64_t start_min_ns, start_max_ns; /* of start times: all published rows lie within */
    struct epoch *epoch;          /* counted */
    size_t room;                  /* bytes for rows */
    size_t mapped;                /* bytes of the mapping */
    struct {
        struct list link;         /* the ring, oldest first */
        uint64_t opened_mono_ns;      /* when live took it */
        uint64_t first_position;  /* of its first row */
        size_t used;
        size_t charge;            /* credit bytes to give back */
        uint32_t rows, held;      /* rows; rows not yet stored or dropped */
        bool sealed;              /* no more rows */
    } live;
};

/* Room for at least one such row; refs = 1; takes a reference of the epoch. */
struct segment *segment_new(struct epoch *epoch, size_t row_bytes);
struct segment *segment_ref(struct segment *segment);  /* by a holder, or under the ring's lock */
void segment_unref(struct segment **segment);          /* any thread */
void segment_pool_trim(size_t keep_bytes);             /* any thread */
size_t segment_pool_bytes(void);

static inline struct segment *segment_of(const struct row *row)
{
    return (struct segment *)((uintptr_t)row & ~(SEGMENT_BYTES - 1));
}
static inline char *segment_rows(struct segment *segment) { return (char *)(segment + 1); }
/* Live: copies the row in and returns where it stands (not yet published); counts it in rows and
 * held, widens the range of start times. */
struct row *segment_add(struct segment *segment, const struct row *row); /* NULL: no room */
void segment_publish(struct segment *segment);
/* Reader: first row and the end of what is published now. */
static inline const struct row *segment_first(struct segment *segment, const char **end)
{
    size_t bytes = atomic_load_explicit(&segment->published, memory_order_acquire);
    *end = segment_rows(segment) + bytes;
    return (const struct row *)segment_rows(segment);
}
static inline const struct row *row_after(const struct row *row)
{
    return (const struct row *)((const char *)row + row->bytes);
}
