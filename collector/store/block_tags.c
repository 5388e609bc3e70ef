/* block_tags.c - what a block tells of its attributes.
 *
 * The builder knows the distinct texts of a column when it has chosen the dictionary for it, and
 * tells those; what it wrote in another form is not looked at, which is why telling costs next to
 * nothing a span. A reader finds the same in dictionaries, blobs and shapes. */
#include "store/block_tags.h"

#include "base/mem.h"

/* Of a column whose texts are not told. Only a string is compared as a number. */
static unsigned open_flags(uint32_t type)
{
    return type == VALUE_STRING ? TOLD_OPEN : TOLD_TEXT_OPEN;
}

static bool is_dictionary(uint32_t type, unsigned form)
{
    return type == VALUE_STRING && form == FORM_DICTIONARY;
}

/* Blobs that are named as resources, and those named as scopes, each once. */
struct blob_uses {
    uint8_t *as_resource, *as_scope; /* by blob number; owned */
};

static struct blob_uses blob_uses_new(size_t blobs)
{
    return (struct blob_uses){ mem_zero(blobs + 1, 1), mem_zero(blobs + 1, 1) };
}

static void blob_uses_free(struct blob_uses *uses)
{
    mem_free(uses->as_resource);
    mem_free(uses->as_scope);
}

static void mark(uint8_t *used, const uint32_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        used[numbers[i]] = 1;
}

static void tell_blob(struct told *told, const struct blob_uses *uses, size_t number,
                      struct str blob)
{
    if (uses->as_resource[number])
        told_put_resource(told, blob);
    if (uses->as_scope[number])
        told_put_scope(told, blob);
}

/* --- the builder ------------------------------------------------------------------------------ */
#define PREFETCH_TEXTS 8

/* Texts lie in the epochs, where nothing has led to most of them since their rows were made. */
static void tell_texts(struct block_builder *b, struct told_key key)
{
    for (size_t i = 0; i < b->touched.n; i++) {
        if (i + PREFETCH_TEXTS < b->touched.n)
            __builtin_prefetch(text_bytes(b, b->touched.at[i + PREFETCH_TEXTS]).ptr);
        told_put_text(b->told, key, text_bytes(b, b->touched.at[i]));
    }
}

void builder_tell_column(struct block_builder *b, const struct attr_column *column, unsigned form)
{
    if (column->type == COLUMN_WIRE) {
        told_open_all(b->told);
        return;
    }
    struct told_key key = told_put_key(b->told, text_bytes(b, column->key));
    if (column->type == VALUE_EMPTY)
        told_put_text(b->told, key, STR(""));
    else if (!column_is_text((uint8_t)column->type))
        told_put_numbers(b->told, key, (enum value_type)column->type, column->numbers.at,
                         column->numbers.n);
    else if (!is_dictionary(column->type, form))
        told_open_key(b->told, key, open_flags(column->type));
    else
        tell_texts(b, key);
}

void builder_tell_rest(struct block_builder *b)
{
    struct blob_uses uses = blob_uses_new(b->blobs.n);

    mark(uses.as_resource, b->resources.at, b->resources.n);
    mark(uses.as_scope, b->scopes.at, b->scopes.n);
    for (size_t i = 0; i < b->blobs.n; i++)
        tell_blob(b->told, &uses, i + 1, b->blobs.at[i]);
    blob_uses_free(&uses);
    if (b->is_nested_unknown)
        told_open_all(b->told);
    for (size_t i = 0; i < b->nested_keys.n; i++)
        told_open_key(b->told, told_put_key(b->told, text_bytes(b, b->nested_keys.at[i])),
                      TOLD_OPEN);
}

/* --- the reader ------------------------------------------------------------------------------- */
static void tell_numbers(const struct ints *ints, struct told *told, struct told_key key,
                         enum value_type type)
{
    uint64_t *values = mem_alloc(ints->n * sizeof *values);

    ints_unpack(ints, 0, ints->n, values);
    told_put_numbers(told, key, type, values, ints->n);
    mem_free(values);
}

static enum mg_err tell_column(struct block_reader *r, uint32_t number, struct told *told,
                               struct mg_why *why)
{
    const struct reader_column *column = &r->columns[number];
    const struct segment_info *segment = &r->segments[column->segment];

    if (segment->type == COLUMN_WIRE) {
        told_open_all(told);
        return MG_OK;
    }
    MG_TRY(reader_column(r, number, why));
    if (segment->key > reader_table(r)->n)
        return mg_fail(why, MG_E_FORMAT, "block: an attribute column has no key");
    struct told_key key = told_put_key(told, reader_string(r, segment->key));
    if (!column_is_text(segment->type))
        tell_numbers(&column->ints, told, key, (enum value_type)segment->type);
    else if (!is_dictionary(segment->type, column->text.form))
        told_open_key(told, key, open_flags(segment->type));
    else
        for (uint32_t i = 0; i < column->text.dictionary.n; i++)
            told_put_text(told, key, reader_string(r, column->text.dictionary.numbers[i]));
    return MG_OK;
}

/* EMPTY values stand in the shapes alone. */
static void tell_empty(const struct block_reader *r, struct told *told)
{
    for (uint32_t i = 0; i < r->n_shapes; i++)
        for (uint32_t k = 0; k < r->shapes[i].n; k++) {
            const struct reader_attr *attr = &r->shape_attrs[r->shapes[i].first + k];
            if (attr->type == VALUE_EMPTY)
                told_put_text(told, told_put_key(told, reader_string(r, attr->key)), STR(""));
        }
}

static void mark_rows(const struct block_reader *r, enum segment_kind kind, uint8_t *used)
{
    const struct ints *ids = fixed_ints(r, kind);

    for (uint32_t i = 0; i < ids->n; i++)
        used[ints_get(ids, i)] = 1;
}

static enum mg_err tell_blobs(struct block_reader *r, struct told *told, struct mg_why *why)
{
    const struct strings *blobs = &r->fixed[SEG_BLOBS].strings;

    MG_TRY(reader_fixed(r, SEG_RESOURCES, why));
    MG_TRY(reader_fixed(r, SEG_SCOPES, why));
    struct blob_uses uses = blob_uses_new(blobs->n);
    mark_rows(r, SEG_RESOURCES, uses.as_resource);
    mark_rows(r, SEG_SCOPES, uses.as_scope);
    for (uint32_t i = 1; i <= blobs->n; i++)
        tell_blob(told, &uses, i, string_number(blobs, i));
    blob_uses_free(&uses);
    return MG_OK;
}

static void open_nested_key(void *owner, struct str key)
{
    told_open_key(owner, told_put_key(owner, key), TOLD_OPEN);
}

/* Without a list of their keys events and links may hold anything. */
static enum mg_err tell_nested(struct block_reader *r, struct told *told, struct mg_why *why)
{
    bool is_there = r->fixed[SEG_EVENTS].segment || r->fixed[SEG_LINKS].segment;

    if (is_there && !r->fixed[SEG_NESTED_KEYS].segment)
        told_open_all(told);
    return reader_nested_keys(r, open_nested_key, told, why);
}

enum mg_err reader_tell(struct block_reader *r, struct told *told, struct mg_why *why)
{
    MG_TRY(reader_strings(r, SEG_STRINGS, why));
    MG_TRY(reader_shapes(r, why));
    for (uint32_t i = 0; i < r->n_columns; i++)
        MG_TRY(tell_column(r, i, told, why));
    tell_empty(r, told);
    MG_TRY(tell_blobs(r, told, why));
    return tell_nested(r, told, why);
}
