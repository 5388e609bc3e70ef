/* block_rows.c - which attributes a row has, and where its values stand.
 *
 * A row does not say where its values stand in the attribute columns: they are counted. Every 1,024
 * rows the counts of all columns are kept, and a fragment counts on from there, or from where the
 * last one ended, when fragments are read in order. */
#include "store/block_read.h"

#include "base/mem.h"

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
        return reader_damaged(why, "the shapes are malformed");
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
    return reader_damaged(why, "the shapes are malformed");
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
    return is_fine ? MG_OK : reader_damaged(why, "an attribute column is malformed");
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
        return reader_damaged(why, "the wide enums are malformed");
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
            return reader_damaged(why, "the nested keys are malformed");
        on_key(owner, reader_string(r, (uint32_t)number));
    }
    return at == end ? MG_OK : reader_damaged(why, "the nested keys are malformed");
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
/* Counts the parts of a row beside its attributes. */
static inline void count_rest(const struct block_reader *r, uint32_t row, uint64_t *counts)
{
    const uint8_t *has = fixed_ints(r, SEG_HAS)->planes;

    counts[COUNT_EXTERNAL] += ints_get(fixed_ints(r, SEG_PARENTS), row) == BLOCK_PARENT_EXTERNAL;
    counts[COUNT_WIDE] += kinds_are_wide(fixed_ints(r, SEG_KINDS)->planes[row]);
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
        return reader_damaged(why, "rows and columns do not agree");
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
void reader_count_to(struct block_reader *r, uint32_t row)
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
