/* block_read.c - a block's header, directory, segments and fixed columns. Attributes of rows are
 * block_rows.c's, spans block_decode.c's.
 *
 * Nothing in a block is believed: not the directory, not a length, not a number that leads
 * elsewhere. Each column is checked as a whole when it is opened (sizes, and that its numbers lead
 * into the tables), so that reading one value needs no test. Checksums find accidents; these checks
 * are for everything else. */
#include "store/block_read.h"

#include "base/mem.h"
#include "codec/hash.h"
#include "kv/kv.h"
#include "store/store.h"

enum mg_err reader_damaged(struct mg_why *why, const char *what)
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
            return reader_damaged(why, "a segment lies outside the block");
        if (entry->kind < SEG_FIXED_END) {
            if (r->fixed[entry->kind].segment || !fixed_count_is_sane(r, entry))
                return reader_damaged(why, "a segment has a wrong count or stands twice");
            r->fixed[entry->kind].segment = i + 1;
        } else if (entry->kind == SEG_ATTRIBUTE) {
            if (entry->type == VALUE_EMPTY || entry->type > COLUMN_WIRE ||
                r->n_columns == BLOCK_COLUMNS_MAX || entry->count > BLOCK_VALUES_MAX)
                return reader_damaged(why, "an attribute column of an unknown type, or too many");
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
        return reader_damaged(why, "no block header");
    if (get_le16(at + 6) != BLOCK_VERSION)
        return mg_fail(why, MG_E_FORMAT, "block: version %u is not known here", get_le16(at + 6));
    r->rows = get_le32(at + 8);
    r->fragments = get_le32(at + 12);
    r->flags = get_le32(at + 16);
    r->n_segments = get_le32(at + 20);
    if (r->n_segments > BLOCK_SEGMENTS_MAX ||
        (size_t)r->n_segments * BLOCK_ENTRY_BYTES > r->block.len - BLOCK_HEADER_BYTES)
        return reader_damaged(why, "the directory is cut");
    if (r->rows == 0 || r->rows > BLOCK_ROWS_MAX || r->fragments == 0 || r->fragments > r->rows)
        return reader_damaged(why, "wrong counts in the header");
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
               : reader_damaged(why, "wrong checksum of the directory");
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
        return reader_damaged(why, "the rows of the fragments do not add up");
    }
    first[r->fragments] = r->rows;
    r->fragment_rows = first;
    r->memory += ((size_t)r->fragments + 1) * sizeof *first;
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
