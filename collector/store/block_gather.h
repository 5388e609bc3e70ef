/* block_gather.h - fragments into rows to be written: chains turned round, equal spans left out,
 * parents found, long fragments cut. Private to the builder. */
#pragma once
#include "store/block.h"
#include "store/block_format.h"
#include "store/block_texts.h"

struct row_ref {
    const struct row *row;
    uint32_t epoch;  /* index into texts.epochs */
    uint16_t parent; /* FORMAT.md 3, kind 21 */
};
/* A fragment as it is written: at most BLOCK_FRAGMENT_ROWS_MAX rows, from `first` on. */
struct part {
    uint8_t trace_id[16];
    uint64_t position, outcome;
    struct str votes; /* the giver's */
    uint64_t start_min_ns;
    uint32_t first, n;
};
struct content_slot {
    uint64_t hash;
    uint32_t row;
}; /* row + 1; 0: empty */
struct gather {
    struct texts *texts;
    VEC(struct row_ref) rows;
    VEC(struct part) parts;
    uint64_t duplicates;
    size_t raw_bytes;
    uint64_t secret; /* odd; multiplier of the span id hash */
    struct {
        uint32_t *at;
        size_t room, used;
    } ids; /* of one fragment: span id to row + 1 */
    struct {
        struct content_slot *at;
        size_t room, used;
    } contents; /* of one fragment, where ids repeat */
    struct arena events; /* of one row, while they are hashed */
};
void fragments_init(struct gather *gather, struct texts *texts);
void fragments_fini(struct gather *gather);
void fragments_clear(struct gather *gather);
void fragments_add(struct gather *gather, const struct fragment *fragment, enum block_choice choice);
void fragments_sort(struct gather *gather); /* parts by trace id, equal ones in the order they came */
