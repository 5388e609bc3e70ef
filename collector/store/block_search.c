/* block_search.c - which traces of a block hold a span that matches?
 *
 * One byte per row says whether the row still can match. Every part of the filter is asked of the
 * smallest thing that can answer: a service of each distinct resource, an operation of each
 * distinct string, a tag of each dictionary entry; the answers become a table, and the column of
 * numbers is run through it. A part that nothing satisfies ends the search. Services and operations
 * come first, being the cheapest; times come last, since they nearly always leave something, and
 * their columns are the largest.
 *
 * What must agree with filter.c is called from there; what is written again here, for speed, is the
 * comparison of numbers and of plain text. */
#define _GNU_SOURCE /* memmem */
#include "store/block.h"

#include <string.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "store/block_read.h"
#include "store/filter_tag.h"

struct search {
    struct block_reader *r;
    const struct span_filter *filter;
    struct mg_why *why;
    uint8_t *rows;        /* 1: may still match */
    uint8_t *tag_rows;    /* 1: the tag in hand holds */
    uint64_t *starts;     /* ns; NULL: not unpacked */
    uint32_t *row_shapes; /* NULL: not unpacked */
    struct buf scratch;
};

static bool any_set(const uint8_t *bytes, uint32_t n)
{
    return n && memchr(bytes, 1, n) != NULL;
}

/* --- comparing text --------------------------------------------------------------------------- */
/* Sanitising only ever makes text with U+FFFD in it: without that, and valid, a wanted text equals
 * nothing but the same bytes. */
static bool is_plain(struct str wanted)
{
    size_t at;

    return utf8_valid(wanted.ptr, wanted.len) && !str_find(wanted, STR("\xef\xbf\xbd"), &at);
}

static bool text_eq(struct str text, struct str wanted, bool wanted_is_plain)
{
    return wanted_is_plain ? str_eq(text, wanted) : filter_text_eq(text, wanted);
}

static bool may_hold(struct str bytes, struct str key)
{
    return key.len == 0 || (bytes.len && memmem(bytes.ptr, bytes.len, key.ptr, key.len));
}

/* --- tables and rows -------------------------------------------------------------------------- */
/* out[i] = table[ids[i]], or'ed. */
static void look_up(const struct ints *ids, const uint8_t *table, uint8_t *out)
{
    const uint8_t *low = ids->planes, *high = ids->planes + ids->n;

    switch (ids->width) {
    case 1:
        for (uint32_t i = 0; i < ids->n; i++)
            out[i] |= table[low[i]];
        break;
    case 2:
        for (uint32_t i = 0; i < ids->n; i++)
            out[i] |= table[low[i] | (uint32_t)high[i] << 8];
        break;
    default:
        for (uint32_t i = 0; i < ids->n; i++)
            out[i] |= table[ints_get(ids, i)];
    }
}

/* Keeps the rows that are marked in tag_rows; false: none is left. */
static bool keep_marked(struct search *s)
{
    uint32_t i = 0;

    if (!any_set(s->tag_rows, s->r->rows))
        return false;
    for (; i + 8 <= s->r->rows; i += 8)
        put_le64(s->rows + i, get_le64(s->rows + i) & get_le64(s->tag_rows + i));
    for (; i < s->r->rows; i++)
        s->rows[i] &= s->tag_rows[i];
    return any_set(s->rows, s->r->rows);
}

/* Keeps the rows whose number is marked in the table; false: none is left. */
static bool keep_rows(struct search *s, enum segment_kind kind, const uint8_t *table)
{
    memset(s->tag_rows, 0, s->r->rows);
    look_up(fixed_ints(s->r, kind), table, s->tag_rows);
    return keep_marked(s);
}

static enum mg_err row_shapes(struct search *s)
{
    if (s->row_shapes)
        return MG_OK;
    MG_TRY(reader_fixed(s->r, SEG_ROW_SHAPES, s->why));
    s->row_shapes = mem_alloc(s->r->rows * sizeof *s->row_shapes);
    ids_unpack(fixed_ints(s->r, SEG_ROW_SHAPES), 0, s->r->rows, s->row_shapes);
    return MG_OK;
}

static enum mg_err disagree(struct search *s)
{
    return mg_fail(s->why, MG_E_FORMAT, "block: rows and columns do not agree");
}

/* Marks the rows of marked values of an attribute column. */
static enum mg_err spread_column(struct search *s, uint32_t column, const uint8_t *hits, uint32_t n)
{
    uint32_t *per_shape = mem_zero((size_t)s->r->n_shapes + 1, sizeof *per_shape), at = 0;

    for (uint32_t i = 0; i < s->r->n_shapes; i++)
        for (uint32_t k = 0; k < s->r->shapes[i].n; k++)
            per_shape[i + 1] += s->r->shape_attrs[s->r->shapes[i].first + k].column == column;
    for (uint32_t row = 0; row < s->r->rows; row++) {
        uint32_t values = per_shape[s->row_shapes[row]];
        if (values > n - at)
            break;
        for (; values; values--)
            s->tag_rows[row] |= hits[at++];
    }
    mem_free(per_shape);
    return at == n ? MG_OK : disagree(s);
}

/* --- service, operation, times ---------------------------------------------------------------- */
static enum mg_err by_service(struct search *s, bool *is_left)
{
    MG_TRY(reader_fixed(s->r, SEG_RESOURCES, s->why));
    const struct strings *blobs = &s->r->fixed[SEG_BLOBS].strings;
    uint8_t *table = mem_zero((size_t)blobs->n + 1, 1);
    for (uint32_t i = 0; i <= blobs->n; i++)
        table[i] = filter_service(string_number(blobs, i), s->filter->service);
    *is_left = any_set(table, blobs->n + 1) && keep_rows(s, SEG_RESOURCES, table);
    mem_free(table);
    return MG_OK;
}

static enum mg_err by_operation(struct search *s, bool *is_left)
{
    MG_TRY(reader_fixed(s->r, SEG_NAMES, s->why));
    const struct strings *strings = reader_table(s->r);
    struct str wanted = s->filter->operation;
    bool plain = is_plain(wanted);
    uint8_t *table = mem_zero((size_t)strings->n + 1, 1);
    table[0] = filter_operation(STR(""), wanted);
    for (uint32_t i = 1; i <= strings->n; i++) {
        struct str text = strings_get(strings, i - 1);
        table[i] = text.len ? text_eq(text, wanted, plain) : table[0];
    }
    *is_left = any_set(table, strings->n + 1) && keep_rows(s, SEG_NAMES, table);
    mem_free(table);
    return MG_OK;
}

static enum mg_err unpack_starts(struct search *s)
{
    struct block_reader *r = s->r;

    MG_TRY(reader_fragments(r, s->why));
    MG_TRY(reader_fixed(r, SEG_STARTS, s->why));
    s->starts = mem_alloc(r->rows * sizeof *s->starts);
    ints_unpack(fixed_ints(r, SEG_STARTS), 0, r->rows, s->starts);
    for (uint32_t f = 0; f < r->fragments; f++) {
        uint64_t start = ints_get(fixed_ints(r, SEG_FRAGMENT_START), f);
        for (uint32_t row = r->fragment_rows[f]; row < r->fragment_rows[f + 1]; row++)
            s->starts[row] += start;
    }
    return MG_OK;
}

static enum mg_err by_duration(struct search *s)
{
    const struct span_filter *filter = s->filter;

    if (filter->duration_min_ns == 0 && filter->duration_max_ns == UINT64_MAX)
        return MG_OK;
    MG_TRY(reader_fixed(s->r, SEG_DURATIONS, s->why));
    uint64_t *durations = mem_alloc(s->r->rows * sizeof *durations);
    ints_unpack(fixed_ints(s->r, SEG_DURATIONS), 0, s->r->rows, durations);
    for (uint32_t i = 0; i < s->r->rows; i++) {
        uint64_t end = s->starts[i] + (uint64_t)unzigzag(durations[i]);
        uint64_t duration = end > s->starts[i] ? end - s->starts[i] : 0;
        s->rows[i] &= (duration >= filter->duration_min_ns) & (duration <= filter->duration_max_ns);
    }
    mem_free(durations);
    return MG_OK;
}

static enum mg_err by_times(struct search *s, bool *is_left)
{
    uint64_t min = s->filter->start_min_ns, max = s->filter->start_max_ns;

    MG_TRY(unpack_starts(s));
    for (uint32_t i = 0; i < s->r->rows; i++)
        s->rows[i] &= (s->starts[i] >= min) & (s->starts[i] <= max);
    MG_TRY(by_duration(s));
    *is_left = any_set(s->rows, s->r->rows);
    return MG_OK;
}

/* --- tags: derived ---------------------------------------------------------------------------- */
static enum mg_err tag_wide_kinds(struct search *s, const struct filter_tag *tag,
                                  const uint8_t *kinds)
{
    uint32_t at = 0, n = s->r->fixed[SEG_WIDE].segment
                             ? s->r->segments[s->r->fixed[SEG_WIDE].segment - 1].count
                             : 0;

    MG_TRY(reader_wide(s->r, s->why));
    for (uint32_t i = 0; i < s->r->rows; i++) {
        if ((kinds[i] & 15) != KIND_WIDE && kinds[i] >> 4 != KIND_WIDE)
            continue;
        if (at == n)
            return disagree(s);
        s->tag_rows[i] |= filter_kind_status(tag, (int32_t)s->r->wide[2 * (size_t)at],
                                             (int32_t)s->r->wide[2 * (size_t)at + 1]);
        at++;
    }
    return MG_OK;
}

static enum mg_err tag_kinds(struct search *s, const struct filter_tag *tag)
{
    uint8_t table[256] = { 0 };

    for (int kinds = 0; kinds < 256; kinds++)
        if ((kinds & 15) != KIND_WIDE && kinds >> 4 != KIND_WIDE)
            table[kinds] = filter_kind_status(tag, kinds & 15, kinds >> 4);
    bool is_wide = s->r->fixed[SEG_WIDE].segment != 0;
    if (!is_wide && !any_set(table, 256))
        return MG_OK;
    MG_TRY(reader_fixed(s->r, SEG_KINDS, s->why));
    const uint8_t *kinds = fixed_ints(s->r, SEG_KINDS)->planes;
    for (uint32_t i = 0; i < s->r->rows; i++)
        s->tag_rows[i] |= table[kinds[i]];
    return is_wide ? tag_wide_kinds(s, tag, kinds) : MG_OK;
}

/* Walks the rows that have an optional part; `at` numbers them. */
typedef bool part_fn(struct search *s, const struct filter_tag *tag, enum segment_kind kind,
                     uint32_t at);

static enum mg_err tag_parts(struct search *s, const struct filter_tag *tag, enum segment_kind kind,
                             part_fn *matches)
{
    unsigned bit = (unsigned)kind - SEG_HAS_FIRST;
    uint32_t at = 0, n = s->r->segments[s->r->fixed[kind].segment - 1].count;

    MG_TRY(reader_fixed(s->r, SEG_HAS, s->why));
    const uint8_t *has = fixed_ints(s->r, SEG_HAS)->planes;
    for (uint32_t i = 0; has && i < s->r->rows; i++) {
        if (!(has[i] >> bit & 1))
            continue;
        if (at == n)
            return disagree(s);
        if (s->rows[i] && !s->tag_rows[i])
            s->tag_rows[i] = matches(s, tag, kind, at);
        at++;
    }
    return at == n ? MG_OK : disagree(s);
}

static bool string_matches(struct search *s, const struct filter_tag *tag, enum segment_kind kind,
                           uint32_t at)
{
    return filter_text_eq(reader_string(s->r, (uint32_t)ints_get(fixed_ints(s->r, kind), at)),
                          tag->value);
}

static enum mg_err tag_strings(struct search *s, const struct filter_tag *tag,
                               enum segment_kind kind, bool is_wanted)
{
    if (!is_wanted || !s->r->fixed[kind].segment)
        return MG_OK;
    MG_TRY(reader_fixed(s->r, kind, s->why));
    return tag_parts(s, tag, kind, string_matches);
}

/* --- tags: wire-form parts -------------------------------------------------------------------- */
static bool events_match(struct search *s, const struct filter_tag *tag, enum segment_kind kind,
                         uint32_t at)
{
    struct str part = strings_get(&s->r->fixed[kind].strings, at);

    if (!may_hold(part, tag->key))
        return false;
    return kind == SEG_EVENTS ? filter_events(part, tag, &s->scratch)
                              : filter_links(part, tag, &s->scratch);
}

/* Is there a row that has that part and is still to be decided? */
static enum mg_err part_is_open(struct search *s, enum segment_kind kind, bool *is_open)
{
    unsigned bit = (unsigned)kind - SEG_HAS_FIRST;

    MG_TRY(reader_fixed(s->r, SEG_HAS, s->why));
    const uint8_t *has = fixed_ints(s->r, SEG_HAS)->planes;
    *is_open = false;
    for (uint32_t i = 0; has && !*is_open && i < s->r->rows; i++)
        *is_open = s->rows[i] && !s->tag_rows[i] && has[i] >> bit & 1;
    return MG_OK;
}

static enum mg_err tag_events(struct search *s, const struct filter_tag *tag,
                              enum segment_kind kind)
{
    bool is_open;

    if (!s->r->fixed[kind].segment)
        return MG_OK;
    MG_TRY(part_is_open(s, kind, &is_open)); /* they are the largest columns */
    if (!is_open)
        return MG_OK;
    MG_TRY(reader_segment(s->r, s->r->fixed[kind].segment - 1, s->why));
    if (!may_hold(s->r->segments[s->r->fixed[kind].segment - 1].raw, tag->key))
        return MG_OK;
    MG_TRY(reader_strings(s->r, kind, s->why));
    return tag_parts(s, tag, kind, events_match);
}

typedef bool blob_fn(struct str blob, const struct filter_tag *tag, struct buf *scratch);

/* The rows' numbers are only unpacked when a blob matches. */
static enum mg_err tag_blobs(struct search *s, const struct filter_tag *tag, enum segment_kind kind,
                             blob_fn *matches)
{
    MG_TRY(reader_strings(s->r, SEG_BLOBS, s->why));
    const struct strings *blobs = &s->r->fixed[SEG_BLOBS].strings;
    struct str key = tag->key;
    if (kind == SEG_SCOPES) /* derived tags have keys that do not stand in the bytes */
        key = STR("");
    else if (str_starts(key, STR("resource.")))
        key = str_n(key.ptr + 9, key.len - 9);
    uint8_t *table = mem_zero((size_t)blobs->n + 1, 1);
    for (uint32_t i = 1; i <= blobs->n; i++) {
        struct str blob = strings_get(blobs, i - 1);
        table[i] = may_hold(blob, key) && matches(blob, tag, &s->scratch);
    }
    enum mg_err err = MG_OK;
    if (any_set(table, blobs->n + 1)) {
        err = reader_fixed(s->r, kind, s->why);
        if (err == MG_OK)
            look_up(fixed_ints(s->r, kind), table, s->tag_rows);
    }
    mem_free(table);
    return err;
}

/* --- tags: attribute columns ------------------------------------------------------------------ */
static void hit_bools(const struct ints *values, struct str wanted, uint8_t *hits)
{
    bool wants_true = str_eq(wanted, STR("true"));

    if (!wants_true && !str_eq(wanted, STR("false")))
        return;
    for (uint32_t i = 0; i < values->n; i++)
        hits[i] = (values->planes[i] != 0) == wants_true;
}

static void hit_ints(struct search *s, const struct ints *values, struct str wanted, uint8_t *hits)
{
    struct value value = { .type = VALUE_INT };

    /* "007" is a number, but no value's text. */
    if (str_i64(wanted, &value.i) != MG_OK || !filter_value_eq(&value, wanted, &s->scratch))
        return;
    for (uint32_t i = 0; i < values->n; i++)
        hits[i] = ints_get(values, i) == (uint64_t)value.i;
}

static bool double_is(struct search *s, double d, struct str wanted)
{
    struct value value = { .type = VALUE_DOUBLE, .d = d };

    return filter_value_eq(&value, wanted, &s->scratch);
}

/* A finite double other than zero is the only one with its text. Zeros and what is not finite are
 * asked once for each sign. */
static void hit_doubles(struct search *s, const struct ints *values, struct str wanted,
                        uint8_t *hits)
{
    const uint64_t sign = UINT64_C(1) << 63, infinity = UINT64_C(0x7ff) << 52;
    uint64_t want_bits = 0;
    double number;
    bool is_number =
        str_double(wanted, &number) == MG_OK && number != 0 && double_is(s, number, wanted);
    bool is_zero[2] = { double_is(s, 0.0, wanted), double_is(s, -0.0, wanted) };
    bool is_infinite[2] = { double_is(s, __builtin_inf(), wanted),
                            double_is(s, -__builtin_inf(), wanted) };
    bool is_nan = double_is(s, __builtin_nan(""), wanted);

    if (is_number)
        memcpy(&want_bits, &number, sizeof want_bits);
    for (uint32_t i = 0; i < values->n; i++) {
        uint64_t bits = ints_get(values, i), size = bits & ~sign;
        if (size == 0)
            hits[i] = is_zero[bits >> 63];
        else if (size >= infinity)
            hits[i] = size > infinity ? is_nan : is_infinite[bits >> 63];
        else
            hits[i] = is_number && bits == want_bits;
    }
}

static bool text_hit(struct search *s, struct str text, uint8_t type, struct str wanted, bool plain)
{
    struct value value = { .type = (enum value_type)type };

    if (type == VALUE_STRING)
        return text_eq(text, wanted, plain);
    value.str = text;
    return filter_value_eq(&value, wanted, &s->scratch);
}

static void hit_dictionary(struct search *s, const struct text_column *column, uint8_t type,
                           struct str wanted, uint8_t *hits)
{
    uint8_t *table = mem_zero(column->dictionary.n, 1);
    bool plain = is_plain(wanted);

    for (uint32_t i = 0; i < column->dictionary.n; i++)
        table[i] =
            text_hit(s, reader_string(s->r, column->dictionary.numbers[i]), type, wanted, plain);
    if (any_set(table, column->dictionary.n))
        look_up(&column->dictionary.ids, table, hits);
    mem_free(table);
}

static void hit_packed(struct search *s, const struct text_column *column, uint8_t type,
                       struct str wanted, uint8_t *hits)
{
    uint8_t packed[255];
    struct arena arena = { 0 };

    if (type == VALUE_STRING) {
        if (!text_column_pack(column, wanted, packed))
            return;
        for (uint32_t i = 0; i < column->n; i++)
            hits[i] = memcmp(column->packed + (size_t)i * column->packed_bytes, packed,
                             column->packed_bytes) == 0;
        return;
    }
    for (uint32_t i = 0; i < column->n; i++) {
        hits[i] = text_hit(s, text_column_get(column, i, reader_table(s->r), &arena), type, wanted,
                           false);
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

static void hit_texts(struct search *s, const struct text_column *column, uint8_t type,
                      struct str wanted, uint8_t *hits)
{
    bool plain = is_plain(wanted);

    if (column->form == FORM_DICTIONARY) {
        hit_dictionary(s, column, type, wanted, hits);
    } else if (column->form == FORM_STRINGS) {
        for (uint32_t i = 0; i < column->n; i++)
            hits[i] = text_hit(s, strings_get(&column->strings, i), type, wanted, plain);
    } else {
        hit_packed(s, column, type, wanted, hits);
    }
}

/* Every op but equality: whether it is there is known from the column; numbers are compared. */
static void hit_numbers(struct search *s, const struct reader_column *column, uint8_t type,
                        const struct filter_tag *tag, uint8_t *hits)
{
    struct arena arena = { 0 };
    uint32_t n = type == VALUE_STRING ? column->text.n : column->ints.n;

    for (uint32_t i = 0; i < n; i++) {
        if (type == VALUE_INT) {
            hits[i] = filter_number_holds((double)(int64_t)ints_get(&column->ints, i), tag);
        } else if (type == VALUE_DOUBLE) {
            uint64_t bits = ints_get(&column->ints, i);
            double number;
            memcpy(&number, &bits, sizeof number);
            hits[i] = filter_number_holds(number, tag);
        } else {
            hits[i] = filter_text_holds(text_column_get(&column->text, i, reader_table(s->r), &arena), tag);
            arena_reset(&arena);
        }
    }
    arena_fini(&arena);
}

static void hit_dictionary_numbers(struct search *s, const struct text_column *column,
                                   const struct filter_tag *tag, uint8_t *hits)
{
    uint8_t *table = mem_zero(column->dictionary.n, 1);

    for (uint32_t i = 0; i < column->dictionary.n; i++)
        table[i] = filter_text_holds(reader_string(s->r, column->dictionary.numbers[i]), tag);
    if (any_set(table, column->dictionary.n))
        look_up(&column->dictionary.ids, table, hits);
    mem_free(table);
}

static void hit_op(struct search *s, const struct reader_column *column, uint8_t type, uint32_t count,
                   const struct filter_tag *tag, uint8_t *hits)
{
    if (tag->op == TAG_EXISTS)
        memset(hits, 1, count);
    else if (type == VALUE_STRING && column->text.form == FORM_DICTIONARY)
        hit_dictionary_numbers(s, &column->text, tag, hits);
    else if (type == VALUE_INT || type == VALUE_DOUBLE || type == VALUE_STRING)
        hit_numbers(s, column, type, tag, hits);
}

static void hit_wire(struct search *s, const struct text_column *column,
                     const struct filter_tag *tag, uint8_t *hits)
{
    struct arena arena = { 0 };

    for (uint32_t i = 0; i < column->n; i++) {
        struct str wire = text_column_get(column, i, reader_table(s->r), &arena);
        hits[i] = may_hold(wire, tag->key) && filter_attributes(wire, 9, tag, &s->scratch);
    }
    arena_fini(&arena);
}

static enum mg_err tag_column(struct search *s, const struct filter_tag *tag, uint32_t number)
{
    MG_TRY(reader_column(s->r, number, s->why));
    const struct reader_column *column = &s->r->columns[number];
    const struct segment_info *segment = &s->r->segments[column->segment];
    uint8_t *hits = mem_zero(segment->count, 1);
    if (segment->type == COLUMN_WIRE)
        hit_wire(s, &column->text, tag, hits);
    else if (tag->op != TAG_EQUALS)
        hit_op(s, column, segment->type, segment->count, tag, hits);
    else if (segment->type == VALUE_BOOL)
        hit_bools(&column->ints, tag->value, hits);
    else if (segment->type == VALUE_INT)
        hit_ints(s, &column->ints, tag->value, hits);
    else if (segment->type == VALUE_DOUBLE)
        hit_doubles(s, &column->ints, tag->value, hits);
    else
        hit_texts(s, &column->text, segment->type, tag->value, hits);
    enum mg_err err = MG_OK;
    if (any_set(hits, segment->count)) { /* rows are only asked for when there is something to spread */
        err = row_shapes(s);
        if (err == MG_OK)
            err = spread_column(s, number, hits, segment->count);
    }
    mem_free(hits);
    return err;
}

/* EMPTY values have no column; their text is empty. */
static enum mg_err tag_empty(struct search *s, const struct filter_tag *tag)
{
    if (tag->op == TAG_EQUALS ? tag->value.len > 0 : tag->op != TAG_EXISTS)
        return MG_OK;
    MG_TRY(row_shapes(s));
    uint8_t *table = mem_zero((size_t)s->r->n_shapes + 1, 1);
    for (uint32_t i = 0; i < s->r->n_shapes; i++)
        for (uint32_t k = 0; k < s->r->shapes[i].n; k++) {
            const struct reader_attr *attr = &s->r->shape_attrs[s->r->shapes[i].first + k];
            table[i + 1] |=
                attr->type == VALUE_EMPTY && str_eq(reader_string(s->r, attr->key), tag->key);
        }
    look_up(fixed_ints(s->r, SEG_ROW_SHAPES), table, s->tag_rows);
    mem_free(table);
    return MG_OK;
}

static enum mg_err tag_attributes(struct search *s, const struct filter_tag *tag)
{
    MG_TRY(reader_strings(s->r, SEG_STRINGS, s->why));
    MG_TRY(tag_empty(s, tag));
    for (uint32_t i = 0; i < s->r->n_columns; i++) {
        const struct segment_info *segment = &s->r->segments[s->r->columns[i].segment];
        if (segment->key > reader_table(s->r)->n)
            return disagree(s);
        if (segment->type == COLUMN_WIRE || str_eq(reader_string(s->r, segment->key), tag->key))
            MG_TRY(tag_column(s, tag, i));
    }
    return MG_OK;
}

static enum mg_err by_tag(struct search *s, const struct filter_tag *tag, bool *is_left)
{
    bool may_be_nested;

    memset(s->tag_rows, 0, s->r->rows);
    MG_TRY(tag_kinds(s, tag));
    MG_TRY(tag_strings(s, tag, SEG_MESSAGES, filter_wants_description(tag)));
    MG_TRY(tag_strings(s, tag, SEG_TRACE_STATES, filter_wants_trace_state(tag)));
    MG_TRY(tag_attributes(s, tag));
    MG_TRY(tag_blobs(s, tag, SEG_RESOURCES, filter_resource));
    MG_TRY(tag_blobs(s, tag, SEG_SCOPES, filter_scope));
    MG_TRY(reader_nested_key(s->r, tag->key, &may_be_nested, s->why));
    if (may_be_nested) {
        MG_TRY(tag_events(s, tag, SEG_EVENTS));
        MG_TRY(tag_events(s, tag, SEG_LINKS));
    }
    *is_left = keep_marked(s);
    return MG_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */
static enum mg_err narrow(struct search *s, bool *is_left)
{
    if (s->filter->service.ptr)
        MG_TRY(by_service(s, is_left));
    if (*is_left && s->filter->operation.ptr)
        MG_TRY(by_operation(s, is_left));
    for (size_t i = 0; *is_left && i < s->filter->n_tags; i++)
        MG_TRY(by_tag(s, &s->filter->tags[i], is_left));
    return *is_left ? by_times(s, is_left) : MG_OK;
}

static void report(struct search *s, block_hit_fn *on_hit, void *owner)
{
    const uint8_t *ids = fixed_ints(s->r, SEG_TRACE_IDS)->planes;
    bool wants_more = true;

    for (uint32_t f = 0; wants_more && f < s->r->fragments; f++) {
        uint32_t first = s->r->fragment_rows[f], end = s->r->fragment_rows[f + 1];
        uint64_t start = 0;
        if (!any_set(s->rows + first, end - first))
            continue;
        for (uint32_t i = first; i < end; i++)
            if (s->rows[i])
                start = MG_MAX(start, s->starts[i]);
        wants_more = on_hit(owner, ids + (size_t)f * 16, start);
    }
}

enum mg_err block_search(struct block_reader *reader, const struct span_filter *filter,
                         block_hit_fn *on_hit, void *owner, struct mg_why *why)
{
    struct search s = { .r = reader, .filter = filter, .why = why };
    bool is_left = true;

    s.rows = mem_alloc(reader->rows);
    s.tag_rows = mem_alloc(reader->rows);
    memset(s.rows, 1, reader->rows);
    buf_init(&s.scratch, 0); /* its users set the limit */
    enum mg_err err = narrow(&s, &is_left);
    if (err == MG_OK && is_left)
        report(&s, on_hit, owner);
    mem_free(s.rows);
    mem_free(s.tag_rows);
    mem_free(s.starts);
    mem_free(s.row_shapes);
    buf_fini(&s.scratch);
    return err;
}
