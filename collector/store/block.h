/* block.h - rows to bytes and bytes to spans: the block codec of FORMAT.md 3.
 *
 * Builder: owned by the block thread. Fragments are added as chains of ring rows (row.prev, newest first), which
 * must stay readable until block_finish. Symbols are mapped lazily per epoch. Equal spans within one
 * decision are written once, the rest are counted duplicate.
 * Reader: any thread, over bytes that stay valid while it lives; columns are unpacked when they are first
 * needed and kept. Every length is checked: foreign bytes give E_FORMAT, never a wrong access. */
#pragma once
#include "codec/zip.h"
#include "row/fragment.h"
#include "row/segment.h"
#include "store/filter.h"

#define BLOCK_FLAG_STRAY 1u /* in header and summary: spans far from their receive time (collector/README.md R7) */
#define BLOCK_ROWS_MAX ((uint32_t)1 << 20) /* a block is finished before a fragment would pass it */

struct block_builder;
struct block_built {
    struct str block, summary, run; /* valid until the builder is used again */
    uint32_t rows, fragments;
    uint64_t duplicates;
    uint64_t start_min_ns, start_max_ns;
};
struct block_builder *block_builder_new(void);
void block_builder_free(struct block_builder **builder);
void block_add(struct block_builder *builder, const struct fragment *fragment); /* all rows */
/* Only the rows that are chosen; none: adds nothing. A parent among the others becomes an external one. The rows of one
 * block are all strays (which sets its flag) or none is added as such. */
enum block_choice { BLOCK_ALL, BLOCK_ORDINARY, BLOCK_STRAYS /* row_is_stray */ };
void block_add_chosen(struct block_builder *builder, const struct fragment *fragment, enum block_choice choice);
uint32_t block_rows(const struct block_builder *builder);     /* added so far, duplicates not counted */
size_t block_raw_bytes(const struct block_builder *builder);  /* of the rows added, and of their events in wire form */
/* Of at least one fragment; and starts anew. */
void block_finish(struct block_builder *builder, uint64_t wall_ns, struct block_built *out);

struct block_reader;
/* Borrows `block` until free. Checks header and directory; segments are checked when unpacked. */
enum mg_err block_open(struct block_reader **out, struct str block, struct mg_why *why) MG_MUST_USE;
void block_close(struct block_reader **reader);
uint32_t block_n_rows(const struct block_reader *reader);
uint32_t block_n_fragments(const struct block_reader *reader);
uint32_t block_flags(const struct block_reader *reader);
size_t block_memory(const struct block_reader *reader); /* bytes unpacked so far */

/* Fragments of a trace: [first, first + result). 0: not in this block. */
uint32_t block_find(struct block_reader *reader, const uint8_t trace_id[16], uint32_t *first);
struct block_fragment { uint8_t trace_id[16]; uint32_t rows; uint64_t position, outcome; struct str votes; /* the reader's */ };
enum mg_err block_fragment_info(struct block_reader *reader, uint32_t number, struct block_fragment *out);
/* The outcomes of all fragments, the last one first, without opening more than them and the trace ids; none when sampling was off.
 * Returning false ends it. */
typedef bool block_outcome_fn(void *owner, const uint8_t trace_id[16], uint64_t outcome);
enum mg_err block_outcomes(struct block_reader *reader, block_outcome_fn *on_outcome, void *owner, struct mg_why *why) MG_MUST_USE;
/* Decodes one fragment: rows of it, spans in the arena, slices into the reader or the arena. */
enum mg_err block_decode(struct block_reader *reader, uint32_t fragment, struct arena *arena, struct span **spans, uint32_t *n, struct mg_why *why) MG_MUST_USE;

/* Search by columns: dictionaries first, then masks over rows. on_hit for each matching row's fragment, at most
 * once a fragment, with the highest start of its matching rows; returning false ends the search. */
typedef bool block_hit_fn(void *owner, const uint8_t trace_id[16], uint64_t start_ns);
enum mg_err block_search(struct block_reader *reader, const struct span_filter *filter, block_hit_fn *on_hit, void *owner, struct mg_why *why) MG_MUST_USE;

/* Verifies checksums, counts, order, and decodes every fragment; compares with summary and run when given. */
enum mg_err block_check(struct str block, struct str summary, struct str run, struct mg_why *why) MG_MUST_USE;
/* Bytes by segment kind, for `store stats`: calls back with a name ("attribute http.method string"), packed and raw bytes. */
typedef void block_stat_fn(void *owner, const char *name, uint64_t packed, uint64_t raw);
enum mg_err block_stats(struct str block, block_stat_fn *on_segment, void *owner, struct mg_why *why) MG_MUST_USE;

uint32_t trace_fingerprint(const uint8_t trace_id[16]); /* of the run */
bool run_may_hold(struct str run, uint32_t fingerprint);
