/* intern.h - spans in, rows out, while the request's bytes are hot: the loop's half of the way.
 *
 * An interner belongs to one loop. A batch is one journal record's rows: begin, one call per span,
 * end. The batch's memory belongs to the batch; give it back with interner_recycle on the loop that
 * made it (which keeps a few for reuse, and lets them go when idle), or free it anywhere.
 *
 * What becomes a symbol: names, keys, resource, scope. Values, status messages and trace states
 * too, unless they are longer than 1 KiB, or their type is OTHER, or their key (or the part) has
 * shown (over 60 % new values among at least 256) that it does not repeat: then its values stand in
 * the row for the rest of the epoch. Of events, what stands behind the time (events.h), by the same
 * rule for each name, up to 4 KiB.
 *
 * Slices given to interner_resource and _scope must live until the next such call or the end. */
#pragma once
#include "row/row.h"

struct row_batch {
    struct epoch *epoch;         /* counted */
    char *rows;                  /* row after row; row->bytes leads to the next */
    size_t bytes;
    uint32_t n;
    size_t epoch_growth;         /* bytes the dictionary grew by this batch: charged with rows */
    uint64_t bad_strings;        /* new to the dictionary, or in the row, and not UTF-8 */
};

struct interner;
struct interner *interner_new(void);
void interner_free(struct interner **interner);
/* Takes a new epoch when the old one is full. No group is set then: both are empty. */
void interner_begin(struct interner *interner, uint64_t now_mono_ns);
void interner_resource(struct interner *interner, struct str resource);
void interner_scope(struct interner *interner, struct str scope);
void interner_span(struct interner *interner, const struct span *span);
struct row_batch *interner_end(struct interner *interner); /* a new batch, also with n = 0 */
void interner_abort(struct interner *interner);  /* forgets the rows since begin; symbols stay */
void interner_recycle(struct interner *interner, struct row_batch **batch); /* loop thread */
void row_batch_free(struct row_batch **batch);             /* any thread */
/* Upper bound of rows + dictionary bytes that `body_bytes` of OTLP can become, for admission. */
size_t interner_bound(size_t body_bytes);
/* Call when idle: gives pooled memory and the idle epoch back. */
void interner_decay(struct interner *interner);
