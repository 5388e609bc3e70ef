/* block_builder.h - what a block is while it is made; private to the builder's two halves.
 *
 * block_transpose.c fills the columns from rows, block_build.c writes them out. The columns hold
 * text numbers (block_texts.h) until they are written. */
#pragma once
#include "base/vec.h"
#include "store/block.h"
#include "store/block_gather.h"

struct attr_column {
    uint32_t key;          /* text number */
    uint32_t type;         /* enum value_type or COLUMN_WIRE */
    VEC(uint32_t) texts;   /* STRING, BYTES, ARRAY, KVLIST, OTHER, WIRE */
    VEC(uint64_t) numbers; /* BOOL, INT, DOUBLE */
};
struct block_shape { /* in shape_columns */
    uint32_t first, n;
    uint64_t hash;
};
struct segment_entry {
    uint8_t kind, codec, width, type;
    uint32_t key, offset, packed, raw, count;
    uint64_t checksum;
};
struct triple {
    uint32_t resource, name;
    uint8_t kind;
    bool is_used;
};

struct block_builder {
    struct texts texts;
    struct gather gather;
    uint32_t block_flags; /* of the block being made */
    struct zip *zip;
    struct arena arena; /* what lives until the block is finished */

    VEC(struct attr_column) columns; /* n_columns are in use; the rest keep their memory */
    uint32_t n_columns;
    struct {
        uint32_t *at;
        size_t room;
    } column_slots;                 /* key and type to column + 1 */
    VEC(struct block_shape) shapes; /* number - 1 */
    VEC(uint32_t) shape_columns;
    struct {
        uint32_t *at;
        size_t room;
    } shape_slots;
    uint32_t wire_shape; /* 0: not needed yet */

    VEC(uint8_t) span_ids, kinds, has;
    VEC(uint64_t) starts, durations, flags, dropped[3];
    VEC(uint32_t) names, resources, scopes, row_shapes, trace_states, messages;
    VEC(uint64_t) parents, external;
    VEC(struct str) parts[3];  /* events, links, unknown */
    VEC(uint32_t) nested_keys; /* text numbers */
    size_t nested_next;        /* index of the key that is expected next */
    bool is_nested_unknown;    /* events or links could not be looked into */
    uint32_t empty_nested;     /* text.nested of the empty key */
    struct buf wide;
    uint32_t n_wide;
    uint64_t start_max, duration_min, duration_max;
    struct {
        struct triple *at;
        size_t room, n;
    } triples; /* for the catalogue */

    VEC(struct str) strings, blobs;    /* number - 1 */
    VEC(uint32_t) local, ids, touched; /* scratch of one column */
    VEC(struct str) slices;
    VEC(struct segment_entry) entries;
    struct buf raw, packed, body, block, summary, catalogue, attributes, run;
    struct told *told; /* of the summary's attributes */
};

#define BYTES_MAX ((size_t)UINT32_MAX) /* of a block: its offsets have four bytes */

static inline struct str text_bytes(const struct block_builder *b, uint32_t number)
{
    return number ? b->texts.list.at[number - 1].bytes : STR("");
}

void builder_transpose(struct block_builder *b); /* b->gather, sorted, into the columns */
void builder_clear_rows(
    struct block_builder *b); /* keeps memory for the next block, within reason */
void builder_free_rows(struct block_builder *b);
