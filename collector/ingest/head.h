/* head.h - the head of a body record in the log: which spans of the body became no rows.
 *
 * Spans are named by their ordinal in the body, as runs: a request may hold millions of them.
 *
 *   varint 2 | refused | dropped      a list: varint runs, then for each the distance from the end of the one before and its length
 *   varint 1 | refused                the first version, still read
 *
 * Refused: malformed alone, the rest went on; the ledger counts them. Dropped: taken by a rule of ingest.rules; they are nobody's
 * mistake, so the ledger does not know them. Replay leaves out both, and decides nothing anew. */
#pragma once
#include "base/buf.h"
#include "base/vec.h"

struct run { uint32_t first, n; };
struct left_out { const struct run *at; size_t n; }; /* rising, without overlap */
bool left_out_has(struct left_out list, uint32_t ordinal);

/* Ordinals as they come; most come rising, a list of Zipkin's may not. Zeroed memory is empty. */
struct run_list { VEC(struct run) runs; bool is_mixed; };
void run_list_add(struct run_list *list, uint32_t ordinal); /* each once */
struct left_out run_list_end(struct run_list *list);        /* borrows until the list is changed */
void run_list_clear(struct run_list *list);
void run_list_fini(struct run_list *list);

struct body_head {
    struct left_out refused, dropped;
    uint32_t n_refused, n_dropped; /* spans */
};
void body_head_write(struct buf *head, struct left_out refused, struct left_out dropped);
enum mg_err body_head_read(struct str head, struct body_head *out) MG_MUST_USE; /* E_FORMAT */
void body_head_fini(struct body_head *head); /* of one that was read */
