/* summary.h - what a search may conclude about a block without opening it (FORMAT.md 4). */
#pragma once
#include "store/filter.h"
struct summary {
    uint32_t rows, fragments, flags;
    uint64_t start_min_ns, start_max_ns, duration_min_ns, duration_max_ns, block_bytes, wall_ns;
    bool operations_cut;
    struct str catalogue;  /* content of tag 10 */
    struct str attributes; /* content of tag 12; empty: not told */
};
enum mg_err summary_read(struct str bytes, struct summary *out) MG_MUST_USE;
bool summary_may_match(const struct summary *summary, const struct span_filter *filter);
/* Walks the catalogue: per operation, service repeated. */
typedef void summary_operation_fn(void *owner, struct str service, struct str operation, int kind);
enum mg_err summary_operations(const struct summary *summary, summary_operation_fn *on_operation, void *owner) MG_MUST_USE;
