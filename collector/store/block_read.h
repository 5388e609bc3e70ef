/* block_read.h - the inside of a block reader, for the search and the checker; private to the block
 * codec.
 *
 * Everything is opened when it is first asked for and then kept: a segment (bytes unpacked), a
 * column (lengths checked), the counts that lead from a row to its values. What a getter here
 * returns has been checked, so that the inline getters of column.h stay within it. */
#pragma once
#include "base/vec.h"
#include "store/block.h"
#include "store/block_format.h"
#include "store/column.h"

struct segment_info {
    uint8_t kind, codec, width, type;
    uint32_t key, offset, packed, raw_bytes, count;
    uint64_t checksum;
    bool is_open, is_owned; /* raw is here; and in memory of the reader */
    struct str raw;
};
struct reader_shape {
    uint32_t first, n;
}; /* in shape_attrs */
struct reader_attr {
    uint32_t key, column;
    uint8_t type;
}; /* column: NO_COLUMN for EMPTY */
#define NO_COLUMN UINT32_MAX

/* An attribute column; `open` says that the union is filled. */
struct reader_column {
    uint32_t segment;
    bool is_open;
    struct ints ints;        /* INT; BOOL and DOUBLE as planes */
    struct text_column text; /* the others */
};
/* A column of rows or fragments. */
struct fixed_column {
    uint32_t segment; /* + 1; 0: the block has none */
    bool is_open;
    struct ints ints;
    struct strings strings;
};

/* Values before a row: of external parents, wide enums, the has bits, and every attribute column.
 */
enum { COUNT_EXTERNAL, COUNT_WIDE, COUNT_HAS, COUNT_COLUMNS = COUNT_HAS + 8 };
#define CHUNK_ROWS 1024
/* A range is announced before it is read when more than two pages may be missing. */
#define ANNOUNCE_BYTES_MIN 8192

struct block_reader {
    bool is_announced; /* the whole block (kv_will_need) */
    struct str block;
    uint32_t rows, fragments, flags, n_segments;
    struct segment_info *segments;
    struct fixed_column fixed[SEG_FIXED_END];
    struct reader_column *columns;
    uint32_t n_columns;
    struct zip *zip;
    size_t memory;

    uint32_t *fragment_rows;     /* first row of each fragment, and the end; NULL: not opened */
    struct reader_shape *shapes; /* number - 1; NULL: not opened */
    struct reader_attr *shape_attrs;
    uint32_t n_shapes;
    int64_t *wide; /* kind, status; NULL: not opened */
    struct {
        uint32_t *at; /* per chunk COUNT_COLUMNS + n_columns; NULL: not counted */
        uint32_t n;   /* counters */
        uint32_t row; /* `now` holds for this row */
        uint32_t *now;
    } counts;
};

enum mg_err reader_fixed(struct block_reader *r, enum segment_kind kind,
                         struct mg_why *why); /* ints or ids of a kind */
enum mg_err reader_strings(struct block_reader *r, enum segment_kind kind, struct mg_why *why);
enum mg_err reader_fragments(struct block_reader *r, struct mg_why *why);
enum mg_err reader_shapes(struct block_reader *r, struct mg_why *why);
enum mg_err reader_column(struct block_reader *r, uint32_t column, struct mg_why *why);
enum mg_err reader_wide(struct block_reader *r, struct mg_why *why);
enum mg_err reader_counts(struct block_reader *r, struct mg_why *why);
enum mg_err reader_nested_key(struct block_reader *r, struct str key, bool *may_be,
                              struct mg_why *why); /* in an event or link */
/* The attribute keys of events and links; none when they are not known. */
typedef void nested_key_fn(void *owner, struct str key);
enum mg_err reader_nested_keys(struct block_reader *r, nested_key_fn *on_key, void *owner,
                               struct mg_why *why);
enum mg_err reader_segment(struct block_reader *r, uint32_t segment,
                           struct mg_why *why); /* unpacked */
void reader_count_to(struct block_reader *r,
                     uint32_t row); /* makes counts.now those of `row`; after reader_counts */
enum mg_err reader_damaged(struct mg_why *why, const char *what); /* E_FORMAT */

static inline const struct ints *fixed_ints(const struct block_reader *r, enum segment_kind kind)
{
    return &r->fixed[kind].ints;
}
static inline const struct strings *reader_table(const struct block_reader *r)
{
    return &r->fixed[SEG_STRINGS].strings;
}
static inline struct str reader_string(const struct block_reader *r, uint32_t number)
{
    return string_number(reader_table(r), number);
}
static inline bool kinds_are_wide(uint8_t kinds)
{
    return (kinds & 15) == KIND_WIDE || kinds >> 4 == KIND_WIDE;
}
static inline bool column_is_text(uint8_t type)
{
    return type == VALUE_STRING || (type >= VALUE_BYTES && type <= COLUMN_WIRE);
}
