/* block_decode.c - fragments of a block to spans. All columns are open and checked before the first
 * value is read (block_read.c, block_rows.c). */
#include "store/block_read.h"

#include <assert.h>
#include "kv/kv.h"

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
        return reader_damaged(d->why, "a fragment has too many values");
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
        return reader_damaged(d->why, "attributes in wire form are malformed");
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
        return reader_damaged(d->why, "a parent is outside its fragment");
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
    if (kinds_are_wide(kinds)) {
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
    reader_count_to(r, d.first);
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
