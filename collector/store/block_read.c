/* block_read.c - bytes to spans.
 *
 * Nothing in a block is believed: not the directory, not a length, not a number that leads
 * elsewhere. Each column is checked as a whole when it is opened (sizes, and that its numbers lead
 * into the tables), so that reading one value needs no test. Checksums find accidents; these checks
 * are for everything else.
 *
 * A row does not say where its values stand in the attribute columns: they are counted. Every 1,024
 * rows the counts of all columns are kept, and a fragment counts on from there, or from where the
 * last one ended, when fragments are read in order. */
#include "store/block_read.h"

#include <assert.h>
#include "base/mem.h"
#include "codec/hash.h"
#include "kv/kv.h"
#include "store/store.h"

/* A range is announced before it is read when more than two pages may be missing. */
enum { ANNOUNCE_BYTES_MIN = 8192 };

static enum mg_err damaged(struct mg_why *why, const char *what)
{
    return mg_fail(why, MG_E_FORMAT, "block: %s", what);
}

/* --- header and directory --------------------------------------------------------------------- */
static void read_entry(const uint8_t *at, struct segment_info *out)
{
    *out = (struct segment_info){
        .kind = at[0],
        .codec = at[1],
        .width = at[2],
        .type = at[3],
        .key = get_le32(at + 4),
        .offset = get_le32(at + 8),
        .packed = get_le32(at + 12),
        .raw_bytes = get_le32(at + 16),
        .count = get_le32(at + 20),
        .checksum = get_le64(at + 24),
    };
}

/* zstd: a compressed block of at least 3 bytes holds at most 128 KiB. */
static bool entry_is_sane(const struct block_reader *r, const struct segment_info *entry)
{
    if (entry->offset % 8 || entry->offset > r->block.len ||
        entry->packed > r->block.len - entry->offset)
        return false;
    if (entry->codec == CODEC_RAW)
        return entry->raw_bytes == entry->packed;
    return entry->codec == CODEC_ZSTD &&
           entry->raw_bytes / ((uint64_t)128 << 10) <= entry->packed / 3;
}

static bool fixed_count_is_sane(const struct block_reader *r, const struct segment_info *entry)
{
    if (entry->kind >= SEG_TRACE_IDS && entry->kind <= SEG_VOTES)
        return entry->count == r->fragments;
    if (entry->kind == SEG_NESTED_KEYS)
        return entry->count <= entry->raw_bytes;
    if (entry->kind == SEG_EXTERNAL || entry->kind == SEG_WIDE || entry->kind >= SEG_HAS_FIRST)
        return entry->count <= r->rows;
    return entry->kind < SEG_SPAN_IDS || entry->count == r->rows;
}

/* Unknown kinds are left alone: nothing in version 1 needs them. */
static enum mg_err read_directory(struct block_reader *r, struct mg_why *why)
{
    for (uint32_t i = 0; i < r->n_segments; i++) {
        struct segment_info *entry = &r->segments[i];
        read_entry((const uint8_t *)r->block.ptr + BLOCK_HEADER_BYTES +
                       (size_t)i * BLOCK_ENTRY_BYTES,
                   entry);
        if (!entry_is_sane(r, entry))
            return damaged(why, "a segment lies outside the block");
        if (entry->kind < SEG_FIXED_END) {
            if (r->fixed[entry->kind].segment || !fixed_count_is_sane(r, entry))
                return damaged(why, "a segment has a wrong count or stands twice");
            r->fixed[entry->kind].segment = i + 1;
        } else if (entry->kind == SEG_ATTRIBUTE) {
            if (entry->type == VALUE_EMPTY || entry->type > COLUMN_WIRE ||
                r->n_columns == BLOCK_COLUMNS_MAX || entry->count > BLOCK_VALUES_MAX)
                return damaged(why, "an attribute column of an unknown type, or too many");
            r->columns[r->n_columns++].segment = i;
        }
    }
    return MG_OK;
}

static enum mg_err read_header(struct block_reader *r, struct mg_why *why)
{
    const uint8_t *at = (const uint8_t *)r->block.ptr;

    if (r->block.len < BLOCK_HEADER_BYTES || r->block.len > UINT32_MAX ||
        memcmp(at, BLOCK_MAGIC, 6) != 0)
        return damaged(why, "no block header");
    if (get_le16(at + 6) != BLOCK_VERSION)
        return mg_fail(why, MG_E_FORMAT, "block: version %u is not known here", get_le16(at + 6));
    r->rows = get_le32(at + 8);
    r->fragments = get_le32(at + 12);
    r->flags = get_le32(at + 16);
    r->n_segments = get_le32(at + 20);
    if (r->n_segments > BLOCK_SEGMENTS_MAX ||
        (size_t)r->n_segments * BLOCK_ENTRY_BYTES > r->block.len - BLOCK_HEADER_BYTES)
        return damaged(why, "the directory is cut");
    if (r->rows == 0 || r->rows > BLOCK_ROWS_MAX || r->fragments == 0 || r->fragments > r->rows)
        return damaged(why, "wrong counts in the header");
    return MG_OK;
}

static enum mg_err check_head(const struct block_reader *r, struct mg_why *why)
{
    struct hash64_stream *stream = hash64_new();

    hash64_begin(stream, BLOCK_SEED_HEAD);
    hash64_add(stream, r->block.ptr, 24);
    hash64_add(stream, r->block.ptr + BLOCK_HEADER_BYTES,
               (size_t)r->n_segments * BLOCK_ENTRY_BYTES);
    uint64_t checksum = hash64_end(stream);
    hash64_free(&stream);
    return checksum == get_le64(r->block.ptr + 24)
               ? MG_OK
               : damaged(why, "wrong checksum of the directory");
}

enum mg_err block_open(struct block_reader **out, struct str block, struct mg_why *why)
{
    MG_AUTO(block_close) struct block_reader *r = MEM_NEW(struct block_reader);

    r->block = block;
    MG_TRY(read_header(r, why));
    MG_TRY(check_head(r, why));
    r->segments = mem_zero(r->n_segments, sizeof *r->segments);
    r->columns = mem_zero(MG_MIN(r->n_segments, (uint32_t)BLOCK_COLUMNS_MAX), sizeof *r->columns);
    MG_TRY(read_directory(r, why));
    *out = MG_STEAL(r);
    return MG_OK;
}

static void close_columns(struct block_reader *r)
{
    for (uint32_t i = 0; i < r->n_columns; i++)
        text_column_fini(&r->columns[i].text);
    for (size_t i = 0; i < MG_COUNT(r->fixed); i++)
        strings_fini(&r->fixed[i].strings);
    for (uint32_t i = 0; r->segments && i < r->n_segments; i++)
        if (r->segments[i].is_owned)
            mem_free((void *)(uintptr_t)r->segments[i].raw.ptr);
}

void block_close(struct block_reader **reader)
{
    struct block_reader *r = *reader;

    if (!r)
        return;
    close_columns(r);
    mem_free(r->segments);
    mem_free(r->columns);
    mem_free(r->fragment_rows);
    mem_free(r->shapes);
    mem_free(r->shape_attrs);
    mem_free(r->wide);
    mem_free(r->counts.at);
    mem_free(r->counts.now);
    zip_free(&r->zip);
    mem_free(r);
    *reader = NULL;
}

uint32_t block_n_rows(const struct block_reader *r)
{
    return r->rows;
}
uint32_t block_flags(const struct block_reader *r)
{
    return r->flags;
}

uint32_t block_n_fragments(const struct block_reader *r)
{
    return r->fragments;
}
size_t block_memory(const struct block_reader *r)
{
    return r->memory;
}

/* --- segments and columns --------------------------------------------------------------------- */
static bool unpack(struct block_reader *r, struct segment_info *s, struct str packed)
{
    if (zip_bound(ZIP_ZSTD, packed, s->raw_bytes) != s->raw_bytes)
        return false;
    if (!r->zip)
        r->zip = zip_new();
    char *raw = mem_alloc(s->raw_bytes);
    s->raw = str_n(raw, s->raw_bytes);
    s->is_owned = zip_zstd_unpack(r->zip, packed.ptr, packed.len, raw, s->raw_bytes);
    if (!s->is_owned)
        mem_free(raw);
    return s->is_owned;
}

enum mg_err reader_segment(struct block_reader *r, uint32_t segment, struct mg_why *why)
{
    struct segment_info *s = &r->segments[segment];

    if (s->is_open)
        return MG_OK;
    struct str packed = str_n(r->block.ptr + s->offset, s->packed);
    /* Cold pages come in one read instead of one fault each. */
    if (packed.len > ANNOUNCE_BYTES_MIN && !r->is_announced)
        kv_will_need(packed.ptr, packed.len);
    if (hash64(packed.ptr, packed.len, BLOCK_SEED_SEGMENT) != s->checksum)
        return mg_fail(why, MG_E_FORMAT, "block: wrong checksum of segment kind %u", s->kind);
    if (s->codec == CODEC_RAW)
        s->raw = packed;
    else if (!unpack(r, s, packed))
        return mg_fail(why, MG_E_FORMAT, "block: segment kind %u does not unpack", s->kind);
    if (s->is_owned)
        r->memory += s->raw_bytes;
    s->is_open = true;
    return MG_OK;
}

/* What a fixed kind's numbers must be below; UINT64_MAX: anything. */
static enum mg_err fixed_limit(struct block_reader *r, enum segment_kind kind, uint64_t *limit,
                               struct mg_why *why)
{
    *limit = UINT64_MAX;
    switch (kind) {
    case SEG_NAMES:
    case SEG_TRACE_STATES:
    case SEG_MESSAGES:
        MG_TRY(reader_strings(r, SEG_STRINGS, why));
        *limit = (uint64_t)reader_table(r)->n + 1;
        break;
    case SEG_RESOURCES:
    case SEG_SCOPES:
        MG_TRY(reader_strings(r, SEG_BLOBS, why));
        *limit = (uint64_t)r->fixed[SEG_BLOBS].strings.n + 1;
        break;
    case SEG_ROW_SHAPES:
        MG_TRY(reader_shapes(r, why));
        *limit = (uint64_t)r->n_shapes + 1;
        break;
    default: break;
    }
    return MG_OK;
}

/* Kinds whose values stand in the segment one after the other: bytes of one value; 0: another form.
 */
static size_t plain_bytes(enum segment_kind kind)
{
    switch (kind) {
    case SEG_TRACE_IDS: return 16;
    case SEG_SPAN_IDS:
    case SEG_EXTERNAL: return 8;
    case SEG_KINDS:
    case SEG_HAS: return 1;
    default: return 0;
    }
}

static bool open_form(struct ints *ints, enum segment_kind kind, const struct segment_info *s)
{
    size_t plain = plain_bytes(kind);

    if (plain) {
        *ints = (struct ints){ .planes = (const uint8_t *)s->raw.ptr, .n = s->count, .width = 0 };
        return s->raw.len == s->count * plain;
    }
    switch (kind) {
    case SEG_PARENTS: return ids_open(ints, s->raw, s->count, 2);
    case SEG_OUTCOMES: return ids_open(ints, s->raw, s->count, BLOCK_OUTCOME_PLANES);
    case SEG_NAMES:
    case SEG_RESOURCES:
    case SEG_SCOPES:
    case SEG_ROW_SHAPES:
    case SEG_TRACE_STATES:
    case SEG_MESSAGES: return ids_open(ints, s->raw, s->count, s->width);
    default: return ints_open(ints, s->raw, s->count, s->width);
    }
}

/* Absent: only the kinds of which a block may have none. */
static enum mg_err fixed_absent(struct block_reader *r, enum segment_kind kind, struct mg_why *why)
{
    if (kind < SEG_HAS && kind != SEG_EXTERNAL && kind != SEG_OUTCOMES)
        return mg_fail(why, MG_E_FORMAT, "block: no segment of kind %d", (int)kind);
    r->fixed[kind].is_open = true;
    return MG_OK;
}

enum mg_err reader_fixed(struct block_reader *r, enum segment_kind kind, struct mg_why *why)
{
    struct fixed_column *column = &r->fixed[kind];
    uint64_t limit;

    if (column->is_open)
        return MG_OK;
    if (!column->segment)
        return fixed_absent(r, kind, why);
    MG_TRY(fixed_limit(r, kind, &limit, why));
    MG_TRY(reader_segment(r, column->segment - 1, why));
    if (!open_form(&column->ints, kind, &r->segments[column->segment - 1]) ||
        (limit != UINT64_MAX && !ids_below(&column->ints, limit)))
        return mg_fail(why, MG_E_FORMAT, "block: segment kind %d is malformed", (int)kind);
    column->is_open = true;
    return MG_OK;
}

enum mg_err reader_strings(struct block_reader *r, enum segment_kind kind, struct mg_why *why)
{
    struct fixed_column *column = &r->fixed[kind];

    if (column->is_open || !column->segment) /* absent: none */
        return MG_OK;
    MG_TRY(reader_segment(r, column->segment - 1, why));
    const struct segment_info *s = &r->segments[column->segment - 1];
    if (!strings_open(&column->strings, s->raw, s->count))
        return mg_fail(why, MG_E_FORMAT, "block: strings of kind %d are malformed", (int)kind);
    r->memory += ((size_t)s->count + 1) * sizeof(uint32_t);
    column->is_open = true;
    return MG_OK;
}

enum mg_err reader_fragments(struct block_reader *r, struct mg_why *why)
{
    uint64_t at = 0;

    if (r->fragment_rows)
        return MG_OK;
    for (int kind = SEG_TRACE_IDS; kind <= SEG_FRAGMENT_POSITION; kind++)
        MG_TRY(reader_fixed(r, (enum segment_kind)kind, why));
    uint32_t *first = mem_alloc(((size_t)r->fragments + 1) * sizeof *first);
    for (uint32_t i = 0; i < r->fragments; i++) {
        uint64_t rows = ints_get(fixed_ints(r, SEG_FRAGMENT_ROWS), i);
        first[i] = (uint32_t)at;
        at += rows;
        if (rows == 0 || rows > BLOCK_FRAGMENT_ROWS_MAX) {
            at = UINT64_MAX;
            break;
        }
    }
    if (at != r->rows) {
        mem_free(first);
        return damaged(why, "the rows of the fragments do not add up");
    }
    first[r->fragments] = r->rows;
    r->fragment_rows = first;
    r->memory += ((size_t)r->fragments + 1) * sizeof *first;
    return MG_OK;
}

/* --- shapes ----------------------------------------------------------------------------------- */
static uint32_t find_column(const struct block_reader *r, const uint32_t *slots, size_t mask,
                            uint32_t key, uint8_t type)
{
    size_t slot = ((size_t)key * 31 + type) & mask;

    for (; slots[slot]; slot = (slot + 1) & mask) {
        const struct segment_info *s = &r->segments[r->columns[slots[slot] - 1].segment];
        if (s->key == key && s->type == type)
            return slots[slot] - 1;
    }
    return NO_COLUMN;
}

#define COLUMN_SLOTS ((size_t)BLOCK_COLUMNS_MAX * 2)

static bool index_columns(const struct block_reader *r, uint32_t *slots)
{
    for (uint32_t i = 0; i < r->n_columns; i++) {
        const struct segment_info *s = &r->segments[r->columns[i].segment];
        if (s->key > reader_table(r)->n ||
            find_column(r, slots, COLUMN_SLOTS - 1, s->key, s->type) != NO_COLUMN)
            return false;
        size_t slot = ((size_t)s->key * 31 + s->type) & (COLUMN_SLOTS - 1);
        while (slots[slot])
            slot = (slot + 1) & (COLUMN_SLOTS - 1);
        slots[slot] = i + 1;
    }
    return true;
}

static bool read_attr(const struct block_reader *r, const uint32_t *slots, const uint8_t **at,
                      const uint8_t *end, struct reader_attr *out)
{
    uint64_t key, type;
    const uint8_t *p = get_varint(*at, end, &key);

    if (p)
        p = get_varint(p, end, &type);
    if (!p || key > reader_table(r)->n || type > COLUMN_WIRE)
        return false;
    *out = (struct reader_attr){ (uint32_t)key, NO_COLUMN, (uint8_t)type };
    if (type != VALUE_EMPTY)
        out->column = find_column(r, slots, COLUMN_SLOTS - 1, out->key, out->type);
    *at = p;
    return type == VALUE_EMPTY || out->column != NO_COLUMN;
}

static bool read_shapes(struct block_reader *r, const uint32_t *slots, struct str raw)
{
    const uint8_t *at = (const uint8_t *)raw.ptr, *end = at + raw.len;
    uint32_t n_attrs = 0;
    uint64_t n;

    for (uint32_t i = 0; i < r->n_shapes; i++) {
        at = get_varint(at, end, &n);
        if (!at || n > (uint64_t)(end - at) / 2 || n > BLOCK_ROW_VALUES_MAX)
            return false;
        r->shapes[i] = (struct reader_shape){ n_attrs, (uint32_t)n };
        for (; n; n--, n_attrs++)
            if (!read_attr(r, slots, &at, end, &r->shape_attrs[n_attrs]))
                return false;
        /* The wire column stands for all attributes, so it is alone. */
        for (uint32_t k = r->shapes[i].first; r->shapes[i].n > 1 && k < n_attrs; k++)
            if (r->shape_attrs[k].type == COLUMN_WIRE)
                return false;
    }
    return at == end;
}

enum mg_err reader_shapes(struct block_reader *r, struct mg_why *why)
{
    uint32_t segment = r->fixed[SEG_SHAPES].segment;

    if (r->shapes || !segment)
        return MG_OK;
    MG_TRY(reader_strings(r, SEG_STRINGS, why));
    MG_TRY(reader_segment(r, segment - 1, why));
    const struct segment_info *s = &r->segments[segment - 1];
    if (s->count > s->raw.len)
        return damaged(why, "the shapes are malformed");
    uint32_t *slots = mem_zero(COLUMN_SLOTS, sizeof *slots);
    r->n_shapes = s->count;
    r->shapes = mem_alloc(s->count * sizeof *r->shapes);
    r->shape_attrs = mem_alloc(s->raw.len / 2 * sizeof *r->shape_attrs + 1);
    bool is_fine = index_columns(r, slots) && read_shapes(r, slots, s->raw);
    mem_free(slots);
    if (is_fine) {
        r->memory += s->count * sizeof *r->shapes + s->raw.len / 2 * sizeof *r->shape_attrs;
        return MG_OK;
    }
    mem_free(r->shapes);
    mem_free(r->shape_attrs);
    r->shapes = NULL;
    r->shape_attrs = NULL;
    r->n_shapes = 0;
    return damaged(why, "the shapes are malformed");
}

enum mg_err reader_column(struct block_reader *r, uint32_t number, struct mg_why *why)
{
    struct reader_column *column = &r->columns[number];
    struct segment_info *s = &r->segments[column->segment];
    bool is_fine;

    if (column->is_open)
        return MG_OK;
    MG_TRY(reader_strings(r, SEG_STRINGS, why));
    MG_TRY(reader_segment(r, column->segment, why));
    switch (s->type) {
    case VALUE_BOOL: is_fine = ids_open(&column->ints, s->raw, s->count, 1); break;
    case VALUE_INT: is_fine = ints_open(&column->ints, s->raw, s->count, s->width); break;
    case VALUE_DOUBLE: is_fine = ids_open(&column->ints, s->raw, s->count, 8); break;
    default:
        is_fine = text_column_open(&column->text, s->raw, s->count, s->width, reader_table(r)->n);
        r->memory += is_fine ? ((size_t)column->text.dictionary.n + column->text.strings.n) *
                                   sizeof(uint32_t)
                             : 0;
    }
    column->is_open = is_fine;
    return is_fine ? MG_OK : damaged(why, "an attribute column is malformed");
}

enum mg_err reader_wide(struct block_reader *r, struct mg_why *why)
{
    uint32_t segment = r->fixed[SEG_WIDE].segment;

    if (r->wide || !segment)
        return MG_OK;
    MG_TRY(reader_segment(r, segment - 1, why));
    const struct segment_info *s = &r->segments[segment - 1];
    const uint8_t *at = (const uint8_t *)s->raw.ptr, *end = at + s->raw.len;
    int64_t *wide = mem_zero((size_t)s->count * 2 + 1, sizeof *wide);
    for (size_t i = 0; at && i < (size_t)s->count * 2; i++) {
        uint64_t value = 0;
        at = get_varint(at, end, &value);
        wide[i] = unzigzag(value);
        if (wide[i] < INT32_MIN || wide[i] > INT32_MAX)
            at = NULL;
    }
    if (at != end) {
        mem_free(wide);
        return damaged(why, "the wide enums are malformed");
    }
    r->wide = wide;
    return MG_OK;
}

enum mg_err reader_nested_keys(struct block_reader *r, nested_key_fn *on_key, void *owner,
                               struct mg_why *why)
{
    uint32_t segment = r->fixed[SEG_NESTED_KEYS].segment;

    if (!segment)
        return MG_OK;
    MG_TRY(reader_strings(r, SEG_STRINGS, why));
    MG_TRY(reader_segment(r, segment - 1, why));
    const struct segment_info *s = &r->segments[segment - 1];
    const uint8_t *at = (const uint8_t *)s->raw.ptr, *end = at + s->raw.len;
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t number = 0;
        at = get_varint(at, end, &number);
        if (!at || number > reader_table(r)->n)
            return damaged(why, "the nested keys are malformed");
        on_key(owner, reader_string(r, (uint32_t)number));
    }
    return at == end ? MG_OK : damaged(why, "the nested keys are malformed");
}

struct wanted_key {
    struct str key;
    bool is_found;
};

static void on_nested_key(void *owner, struct str key)
{
    struct wanted_key *wanted = owner;

    wanted->is_found = wanted->is_found || str_eq(key, wanted->key);
}

enum mg_err reader_nested_key(struct block_reader *r, struct str key, bool *may_be,
                              struct mg_why *why)
{
    struct wanted_key wanted = { .key = key };

    MG_TRY(reader_nested_keys(r, on_nested_key, &wanted, why));
    *may_be = wanted.is_found || !r->fixed[SEG_NESTED_KEYS].segment;
    return MG_OK;
}

/* --- where a row's values stand --------------------------------------------------------------- */
static bool is_wide(uint8_t kinds)
{
    return (kinds & 15) == KIND_WIDE || kinds >> 4 == KIND_WIDE;
}

/* Counts the parts of a row beside its attributes. */
static inline void count_rest(const struct block_reader *r, uint32_t row, uint64_t *counts)
{
    const uint8_t *has = fixed_ints(r, SEG_HAS)->planes;

    counts[COUNT_EXTERNAL] += ints_get(fixed_ints(r, SEG_PARENTS), row) == BLOCK_PARENT_EXTERNAL;
    counts[COUNT_WIDE] += is_wide(fixed_ints(r, SEG_KINDS)->planes[row]);
    if (has && has[row])
        for (unsigned bit = 0; bit < 8; bit++)
            counts[COUNT_HAS + bit] += has[row] >> bit & 1;
}

/* Rows [first, first + n) by shapes: a shape is counted once with the number of its rows. */
static void count_chunk(const struct block_reader *r, uint32_t first, uint32_t n,
                        uint32_t *of_shape, uint64_t *counts)
{
    uint32_t shapes[CHUNK_ROWS];

    ids_unpack(fixed_ints(r, SEG_ROW_SHAPES), first, n, shapes);
    for (uint32_t i = 0; i < n; i++) {
        count_rest(r, first + i, counts);
        of_shape[shapes[i]]++;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rows = of_shape[shapes[i]];
        if (!rows || !shapes[i])
            continue;
        of_shape[shapes[i]] = 0;
        const struct reader_shape *shape = &r->shapes[shapes[i] - 1];
        for (uint32_t k = 0; k < shape->n; k++)
            if (r->shape_attrs[shape->first + k].column != NO_COLUMN)
                counts[COUNT_COLUMNS + r->shape_attrs[shape->first + k].column] += rows;
    }
}

static uint32_t fixed_count(const struct block_reader *r, enum segment_kind kind)
{
    return r->fixed[kind].segment ? r->segments[r->fixed[kind].segment - 1].count : 0;
}

/* The counts of all rows must be what the directory says: from then on no position leads outside a
 * column. */
static bool totals_agree(const struct block_reader *r, const uint64_t *counts)
{
    if (counts[COUNT_EXTERNAL] != fixed_count(r, SEG_EXTERNAL) ||
        counts[COUNT_WIDE] != fixed_count(r, SEG_WIDE))
        return false;
    for (int bit = 0; bit < 8; bit++)
        if (counts[COUNT_HAS + bit] != fixed_count(r, (enum segment_kind)(SEG_HAS_FIRST + bit)))
            return false;
    for (uint32_t i = 0; i < r->n_columns; i++)
        if (counts[COUNT_COLUMNS + i] != r->segments[r->columns[i].segment].count)
            return false;
    return true;
}

static bool count_all(struct block_reader *r, uint64_t *counts, uint32_t *of_shape)
{
    uint32_t chunk = 0;

    for (uint32_t row = 0; row < r->rows; row += CHUNK_ROWS, chunk++) {
        uint32_t *at = r->counts.at + (size_t)chunk * r->counts.n;
        for (uint32_t i = 0; i < r->counts.n; i++)
            at[i] = (uint32_t)counts[i];
        count_chunk(r, row, MG_MIN(r->rows - row, (uint32_t)CHUNK_ROWS), of_shape, counts);
    }
    return totals_agree(r, counts);
}

enum mg_err reader_counts(struct block_reader *r, struct mg_why *why)
{
    static const enum segment_kind needed[] = { SEG_PARENTS, SEG_KINDS, SEG_HAS, SEG_ROW_SHAPES };

    if (r->counts.at)
        return MG_OK;
    for (size_t i = 0; i < MG_COUNT(needed); i++)
        MG_TRY(reader_fixed(r, needed[i], why));
    uint32_t chunks = (r->rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    r->counts.n = COUNT_COLUMNS + r->n_columns;
    r->counts.at = mem_alloc((size_t)chunks * r->counts.n * sizeof(uint32_t));
    uint64_t *counts = mem_zero(r->counts.n, sizeof *counts);
    uint32_t *of_shape = mem_zero((size_t)r->n_shapes + 1, sizeof *of_shape);
    bool is_fine = count_all(r, counts, of_shape);
    mem_free(counts);
    mem_free(of_shape);
    if (!is_fine) {
        mem_free(r->counts.at);
        r->counts.at = NULL;
        return damaged(why, "rows and columns do not agree");
    }
    r->counts.now = mem_copy(r->counts.at, r->counts.n * sizeof(uint32_t));
    r->counts.row = 0;
    r->memory += (size_t)(chunks + 1) * r->counts.n * sizeof(uint32_t);
    return MG_OK;
}

static void count_row(const struct block_reader *r, uint32_t row, uint32_t *now)
{
    uint64_t rest[COUNT_COLUMNS] = { 0 };
    uint32_t shape = (uint32_t)ints_get(fixed_ints(r, SEG_ROW_SHAPES), row);

    count_rest(r, row, rest);
    for (unsigned i = 0; i < COUNT_COLUMNS; i++)
        now[i] += (uint32_t)rest[i];
    if (!shape)
        return;
    const struct reader_attr *attr = &r->shape_attrs[r->shapes[shape - 1].first];
    for (uint32_t k = 0; k < r->shapes[shape - 1].n; k++)
        if (attr[k].column != NO_COLUMN)
            now[COUNT_COLUMNS + attr[k].column]++;
}

/* Makes counts.now those of `row`. */
static void count_to(struct block_reader *r, uint32_t row)
{
    if (r->counts.row > row || r->counts.row / CHUNK_ROWS < row / CHUNK_ROWS) {
        uint32_t chunk = row / CHUNK_ROWS;
        memcpy(r->counts.now, r->counts.at + (size_t)chunk * r->counts.n,
               r->counts.n * sizeof(uint32_t));
        r->counts.row = chunk * CHUNK_ROWS;
    }
    for (; r->counts.row < row; r->counts.row++)
        count_row(r, r->counts.row, r->counts.now);
}

/* --- fragments -------------------------------------------------------------------------------- */
uint32_t block_find(struct block_reader *r, const uint8_t trace_id[16], uint32_t *first)
{
    uint32_t low = 0, high = r->fragments, n = 0;

    if (reader_fragments(r, NULL) != MG_OK) /* damaged: what is there cannot be told */
        return 0;
    const uint8_t *ids = fixed_ints(r, SEG_TRACE_IDS)->planes;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(ids + (size_t)middle * 16, trace_id, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    while (low + n < r->fragments && memcmp(ids + ((size_t)low + n) * 16, trace_id, 16) == 0)
        n++;
    *first = low;
    return n;
}

static uint64_t outcome_of(const struct block_reader *r, uint32_t fragment)
{
    return r->fixed[SEG_OUTCOMES].segment ? ints_get(fixed_ints(r, SEG_OUTCOMES), fragment) : 0;
}

enum mg_err block_fragment_info(struct block_reader *r, uint32_t number,
                                struct block_fragment *out)
{
    assert(number < r->fragments);
    MG_TRY(reader_fragments(r, NULL));
    MG_TRY(reader_fixed(r, SEG_OUTCOMES, NULL));
    MG_TRY(reader_strings(r, SEG_VOTES, NULL));
    const struct fixed_column *votes = &r->fixed[SEG_VOTES];
    memcpy(out->trace_id, fixed_ints(r, SEG_TRACE_IDS)->planes + (size_t)number * 16, 16);
    out->rows = r->fragment_rows[number + 1] - r->fragment_rows[number];
    out->position = ints_get(fixed_ints(r, SEG_FRAGMENT_POSITION), number);
    out->outcome = outcome_of(r, number);
    out->votes = votes->segment ? strings_get(&votes->strings, number) : STR("");
    return MG_OK;
}

enum mg_err block_outcomes(struct block_reader *r, block_outcome_fn *on_outcome, void *owner,
                           struct mg_why *why)
{
    if (!r->fixed[SEG_OUTCOMES].segment)
        return MG_OK;
    MG_TRY(reader_fixed(r, SEG_OUTCOMES, why));
    MG_TRY(reader_fixed(r, SEG_TRACE_IDS, why));
    const uint8_t *ids = fixed_ints(r, SEG_TRACE_IDS)->planes;
    for (uint32_t i = r->fragments; i-- > 0;)
        if (!on_outcome(owner, ids + (size_t)i * 16, outcome_of(r, i)))
            break;
    return MG_OK;
}

struct decoder {
    struct block_reader *r;
    struct arena *arena;
    struct mg_why *why;
    uint32_t first, n; /* rows of the fragment */
    uint64_t start_ns;
    const uint8_t *trace_id;
};

static enum mg_err open_for_decode(struct block_reader *r, struct mg_why *why)
{
    MG_TRY(reader_fragments(r, why));
    for (int kind = SEG_SPAN_IDS; kind <= SEG_DROPPED_LINKS; kind++)
        if (kind != SEG_WIDE)
            MG_TRY(reader_fixed(r, (enum segment_kind)kind, why));
    MG_TRY(reader_wide(r, why));
    return reader_counts(r, why);
}

/* Attribute columns are opened only if a row of the fragment has a value in them. */
static enum mg_err open_row_columns(struct decoder *d, uint64_t *values)
{
    uint32_t last = 0;

    for (uint32_t row = d->first; row < d->first + d->n; row++) {
        uint32_t number = (uint32_t)ints_get(fixed_ints(d->r, SEG_ROW_SHAPES), row);
        if (!number)
            continue;
        const struct reader_shape *shape = &d->r->shapes[number - 1];
        *values += shape->n;
        if (number == last)
            continue;
        last = number;
        for (uint32_t k = 0; k < shape->n; k++)
            if (d->r->shape_attrs[shape->first + k].column != NO_COLUMN)
                MG_TRY(reader_column(d->r, d->r->shape_attrs[shape->first + k].column, d->why));
    }
    return MG_OK;
}

static enum mg_err open_fragment(struct decoder *d)
{
    uint64_t values = 0;

    MG_TRY(open_row_columns(d, &values));
    if (values > (d->n == 1 ? BLOCK_ROW_VALUES_MAX : BLOCK_FRAGMENT_VALUES_MAX))
        return damaged(d->why, "a fragment has too many values");
    for (unsigned i = 0; i < d->n; i++) {
        const uint8_t *has = fixed_ints(d->r, SEG_HAS)->planes;
        for (unsigned bit = 5; has && bit < 8; bit++)
            if (has[d->first + i] >> bit & 1)
                MG_TRY(reader_strings(d->r, (enum segment_kind)(SEG_HAS_FIRST + bit), d->why));
    }
    return MG_OK;
}

static void read_value(const struct decoder *d, const struct reader_attr *attr, uint32_t at,
                       struct value *out)
{
    const struct reader_column *column = &d->r->columns[attr->column];
    uint64_t bits;

    *out = (struct value){ .type = (enum value_type)attr->type };
    switch (attr->type) {
    case VALUE_BOOL: out->b = ints_get(&column->ints, at) != 0; break;
    case VALUE_INT: out->i = (int64_t)ints_get(&column->ints, at); break;
    case VALUE_DOUBLE:
        bits = ints_get(&column->ints, at);
        memcpy(&out->d, &bits, sizeof bits);
        break;
    default: out->str = text_column_get(&column->text, at, reader_table(d->r), d->arena);
    }
}

static enum mg_err read_wire_attrs(const struct decoder *d, struct str wire, struct span *span)
{
    const uint8_t *at = wire_begin(wire), *end = wire_end(wire);
    struct attr attr;
    int more;

    while ((more = attr_next(&at, end, 9, &attr)) == 1)
        span->n_attrs++;
    if (more < 0 || span->n_attrs > BLOCK_ROW_VALUES_MAX)
        return damaged(d->why, "attributes in wire form are malformed");
    struct attr *attrs = arena_alloc(d->arena, span->n_attrs * sizeof *attrs);
    at = wire_begin(wire);
    for (uint32_t i = 0; i < span->n_attrs; i++)
        (void)attr_next(&at, end, 9, &attrs[i]); /* read once already */
    span->attrs = attrs;
    return MG_OK;
}

static enum mg_err read_attrs(const struct decoder *d, uint32_t row, struct span *span)
{
    uint32_t number = (uint32_t)ints_get(fixed_ints(d->r, SEG_ROW_SHAPES), row);

    if (!number)
        return MG_OK;
    const struct reader_shape *shape = &d->r->shapes[number - 1];
    const struct reader_attr *attr = &d->r->shape_attrs[shape->first];
    uint32_t *now = d->r->counts.now + COUNT_COLUMNS;
    if (shape->n == 1 && attr->type == COLUMN_WIRE)
        return read_wire_attrs(d,
                               text_column_get(&d->r->columns[attr->column].text,
                                               now[attr->column]++, reader_table(d->r), d->arena),
                               span);
    struct attr *attrs = arena_alloc(d->arena, shape->n * sizeof *attrs);
    for (uint32_t k = 0; k < shape->n; k++, attr++) {
        attrs[k].key = reader_string(d->r, attr->key);
        if (attr->column == NO_COLUMN)
            attrs[k].value = (struct value){ .type = VALUE_EMPTY };
        else
            read_value(d, attr, now[attr->column]++, &attrs[k].value);
    }
    span->attrs = attrs;
    span->n_attrs = shape->n;
    return MG_OK;
}

static enum mg_err read_parent(const struct decoder *d, uint32_t row, struct span *span)
{
    uint32_t parent = (uint32_t)ints_get(fixed_ints(d->r, SEG_PARENTS), row);

    if (parent == BLOCK_PARENT_EXTERNAL) {
        uint32_t at = d->r->counts.now[COUNT_EXTERNAL]++;
        memcpy(span->parent_id, fixed_ints(d->r, SEG_EXTERNAL)->planes + (size_t)at * 8, 8);
    } else if (parent > d->n) {
        return damaged(d->why, "a parent is outside its fragment");
    } else if (parent) {
        memcpy(span->parent_id,
               fixed_ints(d->r, SEG_SPAN_IDS)->planes + ((size_t)d->first + parent - 1) * 8, 8);
    }
    return MG_OK;
}

static void read_kinds(const struct decoder *d, uint32_t row, struct span *span)
{
    uint8_t kinds = fixed_ints(d->r, SEG_KINDS)->planes[row];

    span->kind = kinds & 15;
    span->status_code = kinds >> 4;
    if (is_wide(kinds)) {
        const int64_t *wide = &d->r->wide[2 * (size_t)d->r->counts.now[COUNT_WIDE]++];
        span->kind = (int32_t)wide[0];
        span->status_code = (int32_t)wide[1];
    }
}

/* One optional part: its bit is set, its counter moves on. */
static void read_part(const struct decoder *d, unsigned bit, struct span *span)
{
    uint32_t at = d->r->counts.now[COUNT_HAS + bit]++;
    const struct fixed_column *column = &d->r->fixed[SEG_HAS_FIRST + bit];
    struct str *const texts[] = { &span->trace_state, &span->status_message };
    uint32_t *const numbers[] = { &span->dropped_attrs, &span->dropped_events,
                                  &span->dropped_links };
    struct str *const parts[] = { &span->events, &span->links, &span->unknown };

    if (bit < 2)
        *texts[bit] = reader_string(d->r, (uint32_t)ints_get(&column->ints, at));
    else if (bit < 5)
        *numbers[bit - 2] = (uint32_t)ints_get(&column->ints, at);
    else
        *parts[bit - 5] = strings_get(&column->strings, at);
}

static struct str blob(const struct decoder *d, enum segment_kind kind, uint32_t row)
{
    return string_number(&d->r->fixed[SEG_BLOBS].strings,
                         (uint32_t)ints_get(fixed_ints(d->r, kind), row));
}

static enum mg_err read_row(const struct decoder *d, uint32_t row, struct span *span)
{
    const uint8_t *has = fixed_ints(d->r, SEG_HAS)->planes;

    memset(span, 0, sizeof *span);
    memcpy(span->trace_id, d->trace_id, 16);
    memcpy(span->span_id, fixed_ints(d->r, SEG_SPAN_IDS)->planes + (size_t)row * 8, 8);
    span->start_ns = d->start_ns + ints_get(fixed_ints(d->r, SEG_STARTS), row);
    span->end_ns =
        span->start_ns + (uint64_t)unzigzag(ints_get(fixed_ints(d->r, SEG_DURATIONS), row));
    span->name = reader_string(d->r, (uint32_t)ints_get(fixed_ints(d->r, SEG_NAMES), row));
    span->flags = (uint32_t)ints_get(fixed_ints(d->r, SEG_FLAGS), row);
    span->resource = blob(d, SEG_RESOURCES, row);
    span->scope = blob(d, SEG_SCOPES, row);
    span->trace_state = span->status_message = span->events = span->links = span->unknown = STR("");
    read_kinds(d, row, span);
    for (unsigned bit = 0; has && has[row] && bit < 8; bit++)
        if (has[row] >> bit & 1)
            read_part(d, bit, span);
    MG_TRY(read_parent(d, row, span));
    return read_attrs(d, row, span);
}

enum mg_err block_decode(struct block_reader *r, uint32_t fragment, struct arena *arena,
                         struct span **spans, uint32_t *n, struct mg_why *why)
{
    assert(fragment < r->fragments);
    if (!r->is_announced && r->block.len > ANNOUNCE_BYTES_MIN) { /* every segment is needed */
        kv_will_need(r->block.ptr, r->block.len);
        r->is_announced = true;
    }
    MG_TRY(open_for_decode(r, why));
    struct decoder d = {
        .r = r,
        .arena = arena,
        .why = why,
        .first = r->fragment_rows[fragment],
        .n = r->fragment_rows[fragment + 1] - r->fragment_rows[fragment],
        .start_ns = ints_get(fixed_ints(r, SEG_FRAGMENT_START), fragment),
        .trace_id = fixed_ints(r, SEG_TRACE_IDS)->planes + (size_t)fragment * 16,
    };
    MG_TRY(open_fragment(&d));
    count_to(r, d.first);
    struct span *out = arena_alloc(arena, d.n * sizeof *out);
    for (uint32_t i = 0; i < d.n; i++) {
        r->counts.row =
            UINT32_MAX; /* a row that fails leaves the counts in between: they are made anew */
        MG_TRY(read_row(&d, d.first + i, &out[i]));
    }
    r->counts.row = d.first + d.n;
    *spans = out;
    *n = d.n;
    return MG_OK;
}

/* --- runs ------------------------------------------------------------------------------------- */
uint64_t trace_hash(const uint8_t trace_id[16])
{
    return hash64(trace_id, 16, BLOCK_SEED_TRACE);
}

uint32_t trace_fingerprint(const uint8_t trace_id[16])
{
    return (uint32_t)(trace_hash(trace_id) >> 32);
}

bool run_may_hold(struct str run, uint32_t fingerprint)
{
    size_t low = 0, n = run.len / 4, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (get_le32(run.ptr + middle * 4) < fingerprint)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && get_le32(run.ptr + low * 4) == fingerprint;
}
