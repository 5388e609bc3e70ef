/* edges.h - service edges: who called whom, per minute, counted at the decision, when parents are known.
 *
 * The block thread counts the fragments of a commit, kept or not, and writes the counts in the same transaction as C. So edges are
 * a function of the decisions up to C, exact over any crash, and need no job. An edge is a span whose parent span is in the same
 * fragment: parent's service -> its service, edges within one service included. Spans equal in every field count once. The
 * minute is the span's receive time.
 *
 * Table `dep` of a partition: key minute (u32 big-endian, since 1970), value: varint version 1, then for each edge varint
 * length and bytes of parent and of child, varint calls, varint errors (calls whose child has status ERROR).
 * Names are sanitised (view_service). Counter: block thread. Readers: any thread. */
#pragma once
#include "kv/kv.h"
#include "store/block.h"

struct edges;
struct edges *edges_new(void);
void edges_free(struct edges **edges);
void edges_add(struct edges *edges, const struct fragment *fragment);
/* Adds the counts to what the table holds for their minutes, once; then edges_clear, also when it failed: a commit that is
 * made again counts its batches again. */
enum mg_err edges_put(struct edges *edges, struct kv_txn *txn, unsigned table, struct mg_why *why) MG_MUST_USE;
void edges_clear(struct edges *edges);

typedef void edge_fn(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors);
enum mg_err edges_read(struct str value, edge_fn *on_edge, void *owner) MG_MUST_USE;
