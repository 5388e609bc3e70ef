/* view.h - a consistent look at all partitions and the archive for one query: counted handles, one read transaction a
 * partition, begun when first needed and held until the view is freed (nothing is ever deleted inside a partition, so a
 * reader costs the writer no space). Query threads; one view a thread. */
#pragma once
#include "store/catalog.h"
#include "store/edges.h"
#include "store/store.h"
#include "store/summary.h"

struct store_view;
struct block_info {                 /* newest first: by start_max_ns, descending */
    uint64_t start_min_ns, start_max_ns;
    uint32_t partition, number;     /* of the view; for the calls below */
    uint32_t rows, fragments;
    bool is_stray;                  /* spans far from their receive time; in this order like the others, so that a walk that stops at
                                       start_max_ns is right about them too */
};
struct store_view *store_view_new(struct store *store);
void store_view_free(struct store_view **view);
size_t store_view_blocks(const struct store_view *view, const struct block_info **blocks);
/* May this block match, by its summary? E_IO/E_FORMAT: the block is damaged; the caller goes on and reports. */
enum mg_err store_view_may_match(struct store_view *view, const struct block_info *block, const struct span_filter *filter, bool *may) MG_MUST_USE;
/* Opens a block. The reader is the view's, good until the next store_view_open or store_view_free: do not close it. The
 * last few are cached, so asking again for the same block is cheap. */
enum mg_err store_view_open(struct store_view *view, const struct block_info *block, struct block_reader **reader, struct mg_why *why) MG_MUST_USE;
/* Blocks that may hold fragments of a trace, by runs (fingerprints), those of the archive first; indexes into the array of
 * store_view_blocks, where the archive's blocks stand behind its count: a search does not see them. Returns the count, at
 * most room; store_view_find_most is always enough. */
size_t store_view_find(struct store_view *view, const uint8_t trace_id[16], uint32_t *at, size_t room);
size_t store_view_find_most(const struct store_view *view);
/* Edges of the minutes [first, last] (since 1970, receive time), as often as commits wrote them: the caller sums. */
enum mg_err store_view_edges(struct store_view *view, uint32_t first_minute, uint32_t last_minute,
                             edge_fn *on_edge, void *owner, struct mg_why *why) MG_MUST_USE;
/* What was decided about a trace, newest first: dropped ones from the `why` runs (by trace_hash; a false answer for an id never seen is one
 * in 10^11 for 100 M decisions), kept ones from the blocks, from the archive's only when nothing else knows the trace. At most `room`; *n is how many were written. Votes are in
 * the arena. What is damaged is left out and logged; E_FORMAT only when nothing else was found. */
struct store_decision { uint64_t outcome /* 0: kept without sampling */, wall_ns /* commit (kept), decision (dropped) */, position; uint32_t rows; bool is_kept; struct str votes; };
enum mg_err store_view_decisions(struct store_view *view, const uint8_t trace_id[16], struct arena *arena, struct store_decision *out, size_t room,
                                 size_t *n, struct mg_why *why) MG_MUST_USE;
void store_catalog(struct store *store, struct catalog *into); /* any thread: merges every partition's */
