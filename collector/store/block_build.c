/* block_build.c - columns to a block.
 *
 * Fragments are gathered as row pointers (block_gather.c) and transposed at the end
 * (block_transpose.c), once they can be sorted by trace id. Here the columns are written out, each
 * as a segment of its own.
 *
 * Which form an attribute column takes is decided when all its values are there, and only what then
 * goes into a dictionary, or is a name or a key, gets a number in the block's string table; so that
 * table is written last. */
#include "store/block.h"

#include <assert.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "store/block_builder.h"
#include "store/block_tags.h"
#include "store/column.h"
#include "store/summary_build.h"

struct block_builder *block_builder_new(void)
{
    struct block_builder *b = MEM_NEW(struct block_builder);
    struct buf *bufs[] = { &b->wide, &b->raw,     &b->packed,    &b->body,      &b->block,
                           &b->run,  &b->summary, &b->catalogue, &b->attributes };

    for (size_t i = 0; i < MG_COUNT(bufs); i++)
        buf_init(bufs[i], BYTES_MAX);
    fragments_init(&b->gather, &b->texts);
    arena_init(&b->arena);
    b->zip = zip_new();
    b->told = told_new();
    return b;
}

void block_builder_free(struct block_builder **builder)
{
    struct block_builder *b = *builder;

    if (!b)
        return;
    struct buf *bufs[] = { &b->wide, &b->raw,     &b->packed,    &b->body,      &b->block,
                           &b->run,  &b->summary, &b->catalogue, &b->attributes };
    for (size_t i = 0; i < MG_COUNT(bufs); i++)
        buf_fini(bufs[i]);
    builder_free_rows(b);
    VEC_FINI(&b->strings);
    VEC_FINI(&b->blobs);
    VEC_FINI(&b->local);
    VEC_FINI(&b->ids);
    VEC_FINI(&b->touched);
    VEC_FINI(&b->slices);
    VEC_FINI(&b->entries);
    zip_free(&b->zip);
    told_free(&b->told);
    mem_free(b);
    *builder = NULL;
}

void block_add(struct block_builder *b, const struct fragment *fragment)
{
    block_add_chosen(b, fragment, BLOCK_ALL);
}

void block_add_chosen(struct block_builder *b, const struct fragment *fragment, enum block_choice choice)
{
    uint32_t flags = choice == BLOCK_STRAYS ? BLOCK_FLAG_STRAY : 0;

    assert(b->gather.parts.n == 0 || b->block_flags == flags);
    b->block_flags = flags;
    fragments_add(&b->gather, fragment, choice);
}

uint32_t block_rows(const struct block_builder *b)
{
    return (uint32_t)b->gather.rows.n;
}
size_t block_raw_bytes(const struct block_builder *b)
{
    return b->gather.raw_bytes;
}

/* --- segments --------------------------------------------------------------------------------- */
#define PACK_BYTES_MIN 24 /* nothing shorter gets shorter */
#define PROBE_BYTES                                                                                \
    ((size_t)4096) /* of ids: noise is told by a sample instead of being packed whole */

static bool is_noise(struct block_builder *b, struct str raw, bool may_be_noise)
{
    size_t packed;

    if (!may_be_noise || raw.len < 2 * PROBE_BYTES)
        return false;
    return !zip_zstd_pack(b->zip, raw.ptr, PROBE_BYTES, b->packed.ptr, b->packed.room, &packed) ||
           packed > PROBE_BYTES * 31 / 32;
}

/* Packs b->raw; false: it is to be stored as it is. */
static bool pack_raw(struct block_builder *b, bool may_be_noise)
{
    struct str raw = buf_str(&b->raw);
    size_t bytes;

    if (raw.len < PACK_BYTES_MIN)
        return false;
    buf_clear(&b->packed);
    enum mg_err err = buf_reserve(&b->packed, zip_zstd_bound(raw.len));
    if (err != MG_OK || is_noise(b, raw, may_be_noise) ||
        !zip_zstd_pack(b->zip, raw.ptr, raw.len, b->packed.ptr, b->packed.room, &bytes) ||
        bytes >= raw.len)
        return false;
    b->packed.len = bytes;
    return true;
}

/* b->raw becomes a segment; kind, width, type, key and count are the caller's. */
static void emit_segment(struct block_builder *b, struct segment_entry entry, bool may_be_noise)
{
    bool is_packed = pack_raw(b, may_be_noise);
    struct str bytes = buf_str(is_packed ? &b->packed : &b->raw);

    while (b->body.len % 8)
        buf_put_char(&b->body, 0);
    entry.codec = is_packed ? CODEC_ZSTD : CODEC_RAW;
    entry.offset = (uint32_t)b->body.len; /* the directory's length is added at the end */
    entry.packed = (uint32_t)bytes.len;
    entry.raw = (uint32_t)b->raw.len;
    entry.checksum = hash64(bytes.ptr, bytes.len, BLOCK_SEED_SEGMENT);
    buf_put_str(&b->body, bytes);
    VEC_PUSH(&b->entries, entry);
    buf_clear(&b->raw);
}

static void emit(struct block_builder *b, enum segment_kind kind, uint8_t width, size_t count)
{
    emit_segment(
        b,
        (struct segment_entry){ .kind = (uint8_t)kind, .width = width, .count = (uint32_t)count },
        kind == SEG_TRACE_IDS || kind == SEG_SPAN_IDS || kind == SEG_EXTERNAL);
}

static void emit_ints(struct block_builder *b, enum segment_kind kind, const uint64_t *values,
                      size_t n)
{
    if (n)
        emit(b, kind, column_put_ints(&b->raw, values, (uint32_t)n), n);
}

static void emit_ids(struct block_builder *b, enum segment_kind kind, const uint32_t *ids, size_t n)
{
    if (n)
        emit(b, kind, column_put_ids(&b->raw, ids, (uint32_t)n), n);
}

static void emit_strings(struct block_builder *b, enum segment_kind kind, const struct str *values,
                         size_t n)
{
    if (n) {
        column_put_strings(&b->raw, values, (uint32_t)n);
        emit(b, kind, 0, n);
    }
}

static void emit_bytes(struct block_builder *b, enum segment_kind kind, const void *bytes,
                       size_t len, size_t count)
{
    if (count) {
        buf_put(&b->raw, bytes, len);
        emit(b, kind, 0, count);
    }
}

static uint32_t string_of(struct block_builder *b, uint32_t number)
{
    struct text *text = number ? &b->texts.list.at[number - 1] : NULL;

    if (!text)
        return 0;
    if (!text->string) {
        VEC_PUSH(&b->strings, text->bytes);
        text->string = (uint32_t)b->strings.n;
    }
    return text->string;
}

static uint32_t blob_of(struct block_builder *b, uint32_t number)
{
    struct text *text = number ? &b->texts.list.at[number - 1] : NULL;

    if (!text)
        return 0;
    if (!text->blob) {
        VEC_PUSH(&b->blobs, text->bytes);
        text->blob = (uint32_t)b->blobs.n;
    }
    return text->blob;
}

/* Text numbers to string numbers, in place, and out. */
static void emit_texts(struct block_builder *b, enum segment_kind kind, uint32_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        numbers[i] = string_of(b, numbers[i]);
    emit_ids(b, kind, numbers, n);
}

static void emit_blob_ids(struct block_builder *b, enum segment_kind kind, uint32_t *numbers,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        numbers[i] = blob_of(b, numbers[i]);
    emit_ids(b, kind, numbers, n);
}

/* --- attribute columns ------------------------------------------------------------------------ */
/* What a text column holds, counted before a form is chosen. */
struct text_census {
    uint32_t distinct;
    uint64_t distinct_bytes, new_bytes; /* new: not in the string table yet */
    bool is_uuid, is_hex;
    size_t len; /* of the first value */
};

static void census_add(struct text_census *census, const struct text *text)
{
    struct str bytes = text ? text->bytes : STR("");

    if (census->distinct++ == 0)
        census->len = bytes.len;
    census->distinct_bytes += bytes.len;
    census->new_bytes += text && !text->string ? bytes.len : 0;
    census->is_uuid = census->is_uuid && text_is_uuid(bytes);
    census->is_hex = census->is_hex && bytes.len == census->len && text_is_hex(bytes);
}

/* Numbers the column's distinct texts by first use: b->ids per value, b->touched the text numbers.
 */
static struct text_census take_census(struct block_builder *b, const struct attr_column *column)
{
    struct text_census census = { .is_uuid = true, .is_hex = true };
    size_t n = column->texts.n;

    VEC_RESERVE(&b->local, b->texts.list.n + 1);
    if (b->local.n < b->texts.list.n + 1) {
        memset(b->local.at + b->local.n, 0,
               (b->texts.list.n + 1 - b->local.n) * sizeof *b->local.at);
        b->local.n = b->texts.list.n + 1;
    }
    VEC_RESERVE(&b->ids, n);
    VEC_CLEAR(&b->touched);
    for (size_t i = 0; i < n; i++) {
        uint32_t number = column->texts.at[i], *local = &b->local.at[number];
        if (!*local) {
            census_add(&census, number ? &b->texts.list.at[number - 1] : NULL);
            VEC_PUSH(&b->touched, number);
            *local = (uint32_t)b->touched.n;
        }
        b->ids.at[i] = *local - 1;
    }
    for (size_t i = 0; i < b->touched.n; i++)
        b->local.at[b->touched.at[i]] = 0;
    return census;
}

/* Estimated packed bytes: text compresses to about a half, a number in a varint or a plane hardly.
 */
static enum text_form choose_form(const struct text_census *census, size_t n)
{
    uint64_t id_bytes = n * (census->distinct <= 1 ? 0 : census->distinct <= 256 ? 1 : 2);
    uint64_t dictionary = census->new_bytes / 2 + 2 * (uint64_t)census->distinct + id_bytes;
    uint64_t strings = census->distinct_bytes / 2 + 4 * (n - census->distinct) + n;

    if (census->is_uuid || census->is_hex)
        return dictionary + census->new_bytes / 12 < n * (census->is_uuid ? 16 : census->len / 2)
                   ? FORM_DICTIONARY
               : census->is_uuid ? FORM_UUID
                                 : FORM_HEX;
    return dictionary <= strings ? FORM_DICTIONARY : FORM_STRINGS;
}

static void put_dictionary(struct block_builder *b, size_t n)
{
    uint8_t count[4];

    put_le32(count, (uint32_t)b->touched.n);
    buf_put(&b->raw, count, sizeof count);
    for (size_t i = 0; i < b->touched.n; i++)
        buf_put_varint(&b->raw, string_of(b, b->touched.at[i]));
    size_t width_at = b->raw.len;
    buf_put_char(&b->raw, 0);
    uint8_t width = column_put_ids(&b->raw, b->ids.at, (uint32_t)n);
    b->raw.ptr[width_at] = (char)width;
}

static enum text_form put_texts(struct block_builder *b, const struct attr_column *column)
{
    struct text_census census = take_census(b, column);
    size_t n = column->texts.n;
    enum text_form form = choose_form(&census, n);

    if (column->type == COLUMN_WIRE)
        form = FORM_STRINGS;
    if (form == FORM_DICTIONARY) {
        put_dictionary(b, n);
    } else if (form == FORM_STRINGS) {
        VEC_RESERVE(&b->slices, n);
        for (size_t i = 0; i < n; i++)
            b->slices.at[i] = text_bytes(b, column->texts.at[i]);
        column_put_strings(&b->raw, b->slices.at, (uint32_t)n);
    } else {
        if (form == FORM_HEX)
            buf_put_char(&b->raw, (char)(census.len / 2));
        for (size_t i = 0; i < n; i++)
            text_pack(&b->raw, text_bytes(b, column->texts.at[i]));
    }
    return form;
}

static void emit_column(struct block_builder *b, const struct attr_column *column)
{
    struct segment_entry entry = { .kind = SEG_ATTRIBUTE,
                                   .type = (uint8_t)column->type,
                                   .key = string_of(b, column->key) };
    size_t n = column->texts.n + column->numbers.n;

    if (n == 0) { /* EMPTY */
        builder_tell_column(b, column, 0);
        return;
    }
    entry.count = (uint32_t)n;
    if (column->type == VALUE_BOOL) {
        column_put_planes(&b->raw, column->numbers.at, entry.count, 1);
    } else if (column->type == VALUE_INT) {
        entry.width = column_put_ints(&b->raw, column->numbers.at, entry.count);
    } else if (column->type == VALUE_DOUBLE) {
        column_put_planes(&b->raw, column->numbers.at, entry.count, 8);
    } else {
        entry.width = (uint8_t)put_texts(b, column);
    }
    builder_tell_column(b, column, entry.width);
    emit_segment(b, entry,
                 column->texts.n && (entry.width == FORM_UUID || entry.width == FORM_HEX));
}

static void emit_shapes(struct block_builder *b)
{
    for (size_t i = 0; i < b->shapes.n; i++) {
        const struct block_shape *shape = &b->shapes.at[i];
        buf_put_varint(&b->raw, shape->n);
        for (uint32_t k = 0; k < shape->n; k++) {
            const struct attr_column *column =
                &b->columns.at[b->shape_columns.at[shape->first + k]];
            buf_put_varint(&b->raw, string_of(b, column->key));
            buf_put_varint(&b->raw, column->type);
        }
    }
    if (b->shapes.n)
        emit(b, SEG_SHAPES, 0, b->shapes.n);
}

static int compare_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* Absent when there are no events and links, or when they were not understood: then a search looks
 * at them all. */
static void emit_nested_keys(struct block_builder *b)
{
    uint32_t *keys = b->nested_keys.at;

    if (b->is_nested_unknown || b->parts[0].n + b->parts[1].n == 0)
        return;
    for (size_t i = 0; i < b->nested_keys.n; i++)
        keys[i] = string_of(b, keys[i]);
    if (b->nested_keys.n)
        qsort(keys, b->nested_keys.n, sizeof *keys, compare_u32);
    for (size_t i = 0; i < b->nested_keys.n; i++)
        buf_put_varint(&b->raw, keys[i]);
    emit(b, SEG_NESTED_KEYS, 0, b->nested_keys.n);
}

/* --- the whole -------------------------------------------------------------------------------- */
static void emit_fragments(struct block_builder *b)
{
    size_t n = b->gather.parts.n;
    uint64_t *numbers = mem_alloc(3 * n * sizeof *numbers);

    for (size_t i = 0; i < n; i++) {
        const struct part *part = &b->gather.parts.at[i];
        buf_put(&b->raw, part->trace_id, sizeof part->trace_id);
        numbers[i] = part->n;
        numbers[n + i] = part->start_min_ns;
        numbers[2 * n + i] = part->position;
    }
    emit(b, SEG_TRACE_IDS, 0, n);
    emit_ints(b, SEG_FRAGMENT_ROWS, numbers, n);
    emit_ints(b, SEG_FRAGMENT_START, numbers + n, n);
    emit_ints(b, SEG_FRAGMENT_POSITION, numbers + 2 * n, n);
    mem_free(numbers);
}

/* While sampling is off nobody has an outcome, and the block has neither segment. */
static void emit_decisions(struct block_builder *b)
{
    size_t n = b->gather.parts.n;
    uint64_t *words = mem_alloc(n * sizeof *words), any = 0;
    size_t vote_bytes = 0;

    VEC_RESERVE(&b->slices, n);
    for (size_t i = 0; i < n; i++) {
        any |= words[i] = b->gather.parts.at[i].outcome;
        b->slices.at[i] = b->gather.parts.at[i].votes;
        vote_bytes += b->slices.at[i].len;
    }
    if (any) {
        column_put_planes(&b->raw, words, (uint32_t)n, BLOCK_OUTCOME_PLANES);
        emit(b, SEG_OUTCOMES, BLOCK_OUTCOME_PLANES, n);
    }
    if (vote_bytes)
        emit_strings(b, SEG_VOTES, b->slices.at, n);
    mem_free(words);
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

static void emit_rows(struct block_builder *b)
{
    size_t n = b->parents.n;

    emit_bytes(b, SEG_SPAN_IDS, b->span_ids.at, b->span_ids.n, n);
    column_put_planes(&b->raw, b->parents.at, (uint32_t)n, 2);
    emit(b, SEG_PARENTS, 2, n);
    emit_bytes(b, SEG_EXTERNAL, b->external.at, b->external.n * 8, b->external.n);
    emit_ints(b, SEG_STARTS, b->starts.at, n);
    emit_ints(b, SEG_DURATIONS, b->durations.at, n);
    emit_texts(b, SEG_NAMES, b->names.at, n);
    emit_blob_ids(b, SEG_RESOURCES, b->resources.at, n);
    emit_blob_ids(b, SEG_SCOPES, b->scopes.at, n);
    emit_bytes(b, SEG_KINDS, b->kinds.at, n, n);
    emit_bytes(b, SEG_WIDE, b->wide.ptr, b->wide.len, b->n_wide);
    emit_ints(b, SEG_FLAGS, b->flags.at, n);
    emit_ids(b, SEG_ROW_SHAPES, b->row_shapes.at, n);
    if (!all_zero(b->has.at, n))
        emit_bytes(b, SEG_HAS, b->has.at, n, n);
    emit_texts(b, SEG_TRACE_STATES, b->trace_states.at, b->trace_states.n);
    emit_texts(b, SEG_MESSAGES, b->messages.at, b->messages.n);
    for (unsigned i = 0; i < 3; i++)
        emit_ints(b, SEG_DROPPED_ATTRS + i, b->dropped[i].at, b->dropped[i].n);
    for (unsigned i = 0; i < 3; i++)
        emit_strings(b, SEG_EVENTS + i, b->parts[i].at, b->parts[i].n);
}

static void put_entry(uint8_t *at, const struct segment_entry *entry, uint32_t body_offset)
{
    at[0] = entry->kind;
    at[1] = entry->codec;
    at[2] = entry->width;
    at[3] = entry->type;
    put_le32(at + 4, entry->key);
    put_le32(at + 8, entry->offset + body_offset);
    put_le32(at + 12, entry->packed);
    put_le32(at + 16, entry->raw);
    put_le32(at + 20, entry->count);
    put_le64(at + 24, entry->checksum);
}

static void assemble(struct block_builder *b)
{
    size_t directory = b->entries.n * BLOCK_ENTRY_BYTES,
           head_bytes = BLOCK_HEADER_BYTES + directory;
    struct hash64_stream *stream = hash64_new();

    buf_clear(&b->block);
    enum mg_err err = buf_reserve(&b->block, head_bytes + b->body.len);
    assert(err == MG_OK);
    uint8_t *at = (uint8_t *)b->block.ptr;
    memset(at, 0, BLOCK_HEADER_BYTES);
    memcpy(at, BLOCK_MAGIC, 6);
    put_le16(at + 6, BLOCK_VERSION);
    put_le32(at + 8, (uint32_t)b->parents.n);
    put_le32(at + 12, (uint32_t)b->gather.parts.n);
    put_le32(at + 16, b->block_flags);
    put_le32(at + 20, (uint32_t)b->entries.n);
    for (size_t i = 0; i < b->entries.n; i++)
        put_entry(at + BLOCK_HEADER_BYTES + i * BLOCK_ENTRY_BYTES, &b->entries.at[i],
                  (uint32_t)head_bytes);
    hash64_begin(stream, BLOCK_SEED_HEAD);
    hash64_add(stream, at, 24);
    hash64_add(stream, at + BLOCK_HEADER_BYTES, directory);
    put_le64(at + 24, hash64_end(stream));
    hash64_free(&stream);
    b->block.len = head_bytes;
    buf_put_str(&b->block, buf_str(&b->body));
    assert(!b->block.failed && !b->body.failed && !b->raw.failed);
}

static bool write_catalogue(struct block_builder *b)
{
    struct str *services = mem_zero(b->blobs.n + 1, sizeof *services);
    struct catalogue_entry *entries = mem_zero(b->triples.n, sizeof *entries);
    size_t n = 0;

    for (size_t i = 0; i < b->triples.room; i++) {
        const struct triple *triple = &b->triples.at[i];
        if (!triple->is_used)
            continue;
        struct str *service = &services[blob_of(b, triple->resource)];
        if (!service->ptr)
            *service = view_service(text_bytes(b, triple->resource), &b->arena);
        entries[n++] = (struct catalogue_entry){
            *service, view_operation(text_bytes(b, triple->name), &b->arena), triple->kind
        };
    }
    buf_clear(&b->catalogue);
    bool is_cut = catalogue_write(&b->catalogue, entries, n);
    mem_free(entries);
    mem_free(services);
    return is_cut;
}

static void write_summary(struct block_builder *b, uint64_t wall_ns, struct block_built *out)
{
    struct summary summary = {
        .rows = (uint32_t)b->parents.n,
        .fragments = (uint32_t)b->gather.parts.n,
        .start_min_ns = out->start_min_ns,
        .start_max_ns = b->start_max,
        .duration_min_ns = b->duration_min,
        .duration_max_ns = b->duration_max,
        .block_bytes = b->block.len,
        .wall_ns = wall_ns,
        .flags = b->block_flags,
    };

    summary.operations_cut = write_catalogue(b);
    summary.catalogue = buf_str(&b->catalogue);
    buf_clear(&b->attributes);
    told_write(b->told, &b->attributes);
    summary.attributes = buf_str(&b->attributes);
    buf_clear(&b->summary);
    summary_write(&b->summary, &summary);
}

static void write_run(struct block_builder *b)
{
    size_t n = b->gather.parts.n;
    uint32_t *run = mem_alloc(n * sizeof *run);

    for (size_t i = 0; i < n; i++)
        run[i] = trace_fingerprint(b->gather.parts.at[i].trace_id);
    qsort(run, n, sizeof *run, compare_u32);
    buf_clear(&b->run);
    buf_put(&b->run, run, n * sizeof *run);
    mem_free(run);
}

static void clear_builder(struct block_builder *b)
{
    builder_clear_rows(b);
    VEC_CLEAR(&b->strings);
    VEC_CLEAR(&b->blobs);
    VEC_CLEAR(&b->entries);
    buf_clear(&b->body);
}

void block_finish(struct block_builder *b, uint64_t wall_ns, struct block_built *out)
{
    *out = (struct block_built){ .start_min_ns = UINT64_MAX };
    assert(b->gather.parts.n);
    fragments_sort(&b->gather);
    for (size_t i = 0; i < b->gather.parts.n; i++)
        out->start_min_ns = MG_MIN(out->start_min_ns, b->gather.parts.at[i].start_min_ns);
    builder_transpose(b);

    emit_fragments(b);
    emit_decisions(b);
    emit_rows(b);
    for (uint32_t i = 0; i < b->n_columns; i++)
        emit_column(b, &b->columns.at[i]);
    emit_shapes(b);
    builder_tell_rest(b);
    emit_nested_keys(b);
    emit_strings(b, SEG_BLOBS, b->blobs.at, b->blobs.n);
    emit_strings(b, SEG_STRINGS, b->strings.at,
                 b->strings.n); /* last: the others number what is in it */
    assemble(b);
    write_summary(b, wall_ns, out);
    write_run(b);

    out->block = buf_str(&b->block);
    out->summary = buf_str(&b->summary);
    out->run = buf_str(&b->run);
    out->rows = (uint32_t)b->parents.n;
    out->fragments = (uint32_t)b->gather.parts.n;
    out->duplicates = b->gather.duplicates;
    out->start_max_ns = b->start_max;
    clear_builder(b);
}
