/* row.c - reading rows.
 *
 * Rows are written by this process and never come from outside, so the cursor trusts them: it has
 * the row's end as a bound only because the varint reader wants one, and asserts that it was not
 * needed. row_is_sound is the opposite: it believes nothing, walks with checks of its own, and is
 * what tests and fuzzing hold against the cursor. */
#include "row/row.h"

#include "row/events.h"

static inline void take_text(const uint8_t **at, const uint8_t *end, struct row_value *value)
{
    uint64_t word = take_varint(at, end);

    value->is_symbol = !(word & 1);
    if (value->is_symbol)
        value->symbol = (uint32_t)(word >> 1);
    else
        value->bytes = take_bytes(at, (size_t)(word >> 1));
}

size_t row_events_bytes(const struct row *row)
{
    const uint8_t *at = row->payload;

    return row->has & ROW_HAS_EVENTS ? (size_t)take_varint(&at, row_end(row)) : 0;
}

void row_values(const struct row *row, const struct epoch *epoch, struct row_cursor *cursor)
{
    *cursor = (struct row_cursor){
        .row = row, .epoch = epoch, .shape = epoch_shape(epoch, row->shape), .at = row->payload
    };
    if (row->has & ROW_HAS_EVENTS)
        while (*cursor->at++ >= 0x80)
            ;
}

bool row_next_value(struct row_cursor *cursor, struct row_value *value)
{
    if (cursor->i == cursor->shape->n)
        return false;
    const struct shape_attr *attr = &cursor->shape->attrs[cursor->i++];
    const uint8_t *end = row_end(cursor->row);

    value->key = attr->key;
    value->type = (enum value_type)attr->type;
    value->is_symbol = false;
    switch (value->type) {
    case VALUE_EMPTY:
        value->i = 0;
        break;
    case VALUE_BOOL:
        value->b = *cursor->at++ != 0;
        break;
    case VALUE_INT:
        value->i = unzigzag(take_varint(&cursor->at, end));
        break;
    case VALUE_DOUBLE:
        memcpy(&value->d, cursor->at, 8);
        cursor->at += 8;
        break;
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
    case VALUE_OTHER:
        take_text(&cursor->at, end, value);
        break;
    }
    return true;
}

void row_skip_values(struct row_cursor *cursor)
{
    struct row_value value;

    while (row_next_value(cursor, &value))
        ;
}

static void read_text_parts(const struct row *row, const uint8_t **at, struct row_rest *rest)
{
    if (row->has & ROW_HAS_TRACE_STATE)
        take_text(at, row_end(row), &rest->trace_state);
    if (row->has & ROW_HAS_STATUS_MESSAGE)
        take_text(at, row_end(row), &rest->status_message);
}

static uint32_t read_count(const struct row *row, enum row_has bit, const uint8_t **at)
{
    return row->has & bit ? (uint32_t)take_varint(at, row_end(row)) : 0;
}

static struct str read_part(const struct row *row, enum row_has bit, const uint8_t **at)
{
    if (!(row->has & bit))
        return (struct str){ "", 0 };
    return take_bytes(at, (size_t)take_varint(at, row_end(row)));
}

void row_read_rest(const struct row_cursor *cursor, struct row_rest *rest)
{
    static const struct row_value absent = { .type = VALUE_STRING, .is_symbol = true };
    const struct row *row = cursor->row;
    const uint8_t *at = cursor->at;

    assert(cursor->i == cursor->shape->n);
    *rest = (struct row_rest){
        .kind = row->kind, .status = row->status, .trace_state = absent, .status_message = absent
    };
    read_text_parts(row, &at, rest);
    rest->dropped_attrs = read_count(row, ROW_HAS_DROPPED_ATTRS, &at);
    rest->dropped_events = read_count(row, ROW_HAS_DROPPED_EVENTS, &at);
    rest->dropped_links = read_count(row, ROW_HAS_DROPPED_LINKS, &at);
    rest->links = read_part(row, ROW_HAS_LINKS, &at);
    rest->unknown = read_part(row, ROW_HAS_UNKNOWN, &at);
    if (row->has & ROW_HAS_WIDE) {
        rest->kind = (int32_t)unzigzag(take_varint(&at, row_end(row)));
        rest->status = (int32_t)unzigzag(take_varint(&at, row_end(row)));
    }
    rest->events = (struct row_events){
        .row = row, .epoch = cursor->epoch, .at = at, .bytes = row_events_bytes(row)
    };
}

/* --- whole spans ---------------------------------------------------------------------------- */

static struct str text_of(const struct row_value *value, const struct epoch *epoch)
{
    return value->is_symbol ? epoch_text(epoch, value->symbol) : value->bytes;
}

static void attr_fill(const struct row_value *from, const struct epoch *epoch, struct attr *to)
{
    to->key = epoch_text(epoch, from->key);
    to->value = (struct value){ .type = from->type };
    switch (from->type) {
    case VALUE_EMPTY:
        break;
    case VALUE_BOOL:
        to->value.b = from->b;
        break;
    case VALUE_INT:
        to->value.i = from->i;
        break;
    case VALUE_DOUBLE:
        to->value.d = from->d;
        break;
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
    case VALUE_OTHER:
        to->value.str = text_of(from, epoch);
        break;
    }
}

static void rest_fill(const struct row_rest *rest, const struct epoch *epoch, struct arena *arena,
                      struct span *out)
{
    out->trace_state = text_of(&rest->trace_state, epoch);
    out->status_message = text_of(&rest->status_message, epoch);
    out->kind = rest->kind;
    out->status_code = rest->status;
    out->dropped_attrs = rest->dropped_attrs;
    out->dropped_events = rest->dropped_events;
    out->dropped_links = rest->dropped_links;
    out->events = row_events(&rest->events, arena);
    out->links = rest->links;
    out->unknown = rest->unknown;
}

void row_decode(const struct row *row, const struct epoch *epoch, struct arena *arena,
                struct span *out)
{
    struct row_cursor cursor;
    struct row_value value;
    struct row_rest rest;

    row_values(row, epoch, &cursor);
    struct attr *attrs = arena_alloc(arena, cursor.shape->n * sizeof *attrs);
    for (uint32_t i = 0; row_next_value(&cursor, &value); i++)
        attr_fill(&value, epoch, &attrs[i]);
    row_read_rest(&cursor, &rest);

    *out = (struct span){
        .start_ns = row->start_ns,
        .end_ns = row->end_ns,
        .name = epoch_text(epoch, row->name),
        .flags = row->flags,
        .attrs = attrs,
        .n_attrs = cursor.shape->n,
        .resource = epoch_text(epoch, row->resource),
        .scope = epoch_text(epoch, row->scope),
    };
    memcpy(out->trace_id, row->trace_id, sizeof out->trace_id);
    memcpy(out->span_id, row->span_id, sizeof out->span_id);
    memcpy(out->parent_id, row->parent_id, sizeof out->parent_id);
    rest_fill(&rest, epoch, arena, out);
}

/* --- equality ------------------------------------------------------------------------------- */

struct pair {
    const struct row *a, *b;
    const struct epoch *epoch_a, *epoch_b;
};

/* Within one epoch a byte string has one symbol; between epochs the bytes decide. */
static bool symbols_equal(const struct pair *pair, uint32_t a, uint32_t b)
{
    if (pair->epoch_a == pair->epoch_b)
        return a == b;
    return str_eq(epoch_text(pair->epoch_a, a), epoch_text(pair->epoch_b, b));
}

/* One may stand in its row and the other be a symbol, also within one epoch. */
static bool texts_equal(const struct pair *pair, const struct row_value *a,
                        const struct row_value *b)
{
    if (a->is_symbol && b->is_symbol)
        return symbols_equal(pair, a->symbol, b->symbol);
    return str_eq(text_of(a, pair->epoch_a), text_of(b, pair->epoch_b));
}

static bool values_equal(const struct pair *pair, const struct row_value *a,
                         const struct row_value *b)
{
    if (a->type != b->type || !symbols_equal(pair, a->key, b->key))
        return false;
    switch (a->type) {
    case VALUE_EMPTY:
        return true;
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_INT:
        return a->i == b->i;
    case VALUE_DOUBLE:
        return memcmp(&a->d, &b->d, sizeof a->d) == 0;
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
    case VALUE_OTHER:
        return texts_equal(pair, a, b);
    }
    return false;
}

static bool headers_equal(const struct pair *pair)
{
    const struct row *a = pair->a, *b = pair->b;

    return memcmp(a->trace_id, b->trace_id, sizeof a->trace_id) == 0 &&
           memcmp(a->span_id, b->span_id, sizeof a->span_id) == 0 &&
           memcmp(a->parent_id, b->parent_id, sizeof a->parent_id) == 0 &&
           a->start_ns == b->start_ns && a->end_ns == b->end_ns && a->flags == b->flags &&
           a->has == b->has && a->kind == b->kind && a->status == b->status &&
           symbols_equal(pair, a->name, b->name) && symbols_equal(pair, a->scope, b->scope) &&
           symbols_equal(pair, a->resource, b->resource);
}

static bool rests_equal(const struct pair *pair, const struct row_rest *a,
                        const struct row_rest *b)
{
    return a->kind == b->kind && a->status == b->status &&
           a->dropped_attrs == b->dropped_attrs && a->dropped_events == b->dropped_events &&
           a->dropped_links == b->dropped_links &&
           texts_equal(pair, &a->trace_state, &b->trace_state) &&
           texts_equal(pair, &a->status_message, &b->status_message) &&
           events_equal(&a->events, &b->events) && str_eq(a->links, b->links) &&
           str_eq(a->unknown, b->unknown);
}

bool row_equal(const struct row *a, const struct epoch *epoch_a, const struct row *b,
               const struct epoch *epoch_b)
{
    const struct pair pair = { a, b, epoch_a, epoch_b };
    struct row_cursor at_a, at_b;
    struct row_value value_a, value_b;
    struct row_rest rest_a, rest_b;

    if (!headers_equal(&pair))
        return false;
    if (epoch_a == epoch_b && a->shape == b->shape && a->bytes == b->bytes &&
        memcmp(a->payload, b->payload, a->bytes - sizeof *a) == 0)
        return true;
    row_values(a, epoch_a, &at_a);
    row_values(b, epoch_b, &at_b);
    if (at_a.shape->n != at_b.shape->n)
        return false;
    while (row_next_value(&at_a, &value_a) && row_next_value(&at_b, &value_b))
        if (!values_equal(&pair, &value_a, &value_b))
            return false;
    row_read_rest(&at_a, &rest_a);
    row_read_rest(&at_b, &rest_b);
    return rests_equal(&pair, &rest_a, &rest_b);
}

/* --- soundness ------------------------------------------------------------------------------ */

#define HAS_ALL (ROW_HAS_WIDE * 2 - 1)

static void check_text(struct checker *c)
{
    uint64_t word = check_varint(c);

    if (word & 1)
        check_bytes(c, word >> 1);
    else
        (void)check_symbol(c, word >> 1); /* The mark of failure is enough. */
}

static void check_value(struct checker *c, unsigned type)
{
    switch (type) {
    case VALUE_EMPTY:
        break;
    case VALUE_BOOL:
        check_bytes(c, 1);
        break;
    case VALUE_INT:
        (void)check_varint(c); /* Every number is one. */
        break;
    case VALUE_DOUBLE:
        check_bytes(c, 8);
        break;
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_KVLIST:
    case VALUE_OTHER:
        check_text(c);
        break;
    default:
        c->failed = true;
    }
}

static void check_number(struct checker *c, bool is_signed)
{
    uint64_t value = check_varint(c);

    if (is_signed ? unzigzag(value) != (int32_t)unzigzag(value) : value > UINT32_MAX)
        c->failed = true;
}

static void check_rest(struct checker *c, unsigned has)
{
    for (unsigned bit = ROW_HAS_TRACE_STATE; bit <= ROW_HAS_WIDE; bit <<= 1) {
        if (!(has & bit) || bit == ROW_HAS_EVENTS)
            continue;
        if (bit <= ROW_HAS_STATUS_MESSAGE) {
            check_text(c);
        } else if (bit <= ROW_HAS_DROPPED_LINKS) {
            check_number(c, false);
        } else if (bit <= ROW_HAS_UNKNOWN) {
            check_bytes(c, check_varint(c));
        } else {
            check_number(c, true);
            check_number(c, true);
        }
    }
}

static bool check_pad(const struct checker *c)
{
    if (c->failed || c->end - c->at >= 8)
        return false;
    for (const uint8_t *p = c->at; p < c->end; p++)
        if (*p)
            return false;
    return true;
}

bool row_is_sound(const struct row *row, const struct epoch *epoch)
{
    struct checker c = { .symbols = epoch_symbols(epoch) };
    bool is_wide = row->kind == 255 || row->status == 255;

    if (row->bytes < sizeof *row || row->bytes % 8 || row->has & ~HAS_ALL ||
        row->name > c.symbols || row->resource > c.symbols || row->scope > c.symbols ||
        row->shape > epoch_shapes(epoch) || is_wide != !!(row->has & ROW_HAS_WIDE))
        return false;
    c.at = row->payload;
    c.end = row_end(row);
    uint64_t events = row->has & ROW_HAS_EVENTS ? check_varint(&c) : 0;
    c.failed |= events == 0 && row->has & ROW_HAS_EVENTS;
    const struct shape *shape = epoch_shape(epoch, row->shape);
    for (uint32_t i = 0; i < shape->n; i++) {
        if (shape->attrs[i].key > c.symbols)
            return false;
        check_value(&c, shape->attrs[i].type);
    }
    check_rest(&c, row->has);
    events_check(&c, events, epoch);
    return check_pad(&c);
}
