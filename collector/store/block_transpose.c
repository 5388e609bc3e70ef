/* block_transpose.c - rows to columns.
 *
 * Every row is read once, front to back, in the order of the block. What a row names by symbols of
 * its epoch becomes numbers of the block at the first meeting; after that a field costs an array
 * access and a store. Shapes save looking for columns: the columns of a shape are found once, and a
 * row's values are appended along that list.
 *
 * A peer chooses keys, so the number of attribute columns has a limit; a row whose shape would pass
 * it keeps its attributes in wire form, in one column for all such rows. */
#include "store/block_builder.h"

#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "model/otlp_write.h"
#include "store/block_format.h"
#include "store/summary_build.h"

/* --- columns and shapes ----------------------------------------------------------------------- */
static uint64_t mix(uint64_t value)
{
    value *= UINT64_C(0x9e3779b97f4a7c15);
    return value ^ value >> 32;
}

/* The slot of that column: column + 1, or 0 where it would be put. */
static uint32_t *column_slot(struct block_builder *b, uint32_t key, uint32_t type)
{
    if (!b->column_slots.at) {
        b->column_slots.room = BLOCK_COLUMNS_MAX * 4;
        b->column_slots.at = mem_zero(b->column_slots.room, sizeof *b->column_slots.at);
    }
    size_t mask = b->column_slots.room - 1, slot = mix((uint64_t)key << 4 | type) & mask;
    for (uint32_t at; (at = b->column_slots.at[slot]) != 0; slot = (slot + 1) & mask)
        if (b->columns.at[at - 1].key == key && b->columns.at[at - 1].type == type)
            break;
    return &b->column_slots.at[slot];
}

static uint32_t column_number(struct block_builder *b, uint32_t key, uint32_t type)
{
    uint32_t *slot = column_slot(b, key, type);

    if (*slot)
        return *slot - 1;
    if (b->n_columns == b->columns.n)
        (void)VEC_ADD(&b->columns);
    b->columns.at[b->n_columns].key = key;
    b->columns.at[b->n_columns].type = type;
    *slot = ++b->n_columns;
    return b->n_columns - 1;
}

/* One place stays for the wire column. */
static bool shape_fits(struct block_builder *b, struct epoch_map *map, const struct shape *shape)
{
    uint32_t room = BLOCK_COLUMNS_MAX - 1 - b->n_columns;

    if (shape->n <= room)
        return true;
    for (uint32_t i = 0, more = 0; i < shape->n; i++)
        if (!*column_slot(b, texts_symbol(&b->texts, map, shape->attrs[i].key),
                          shape->attrs[i].type) &&
            ++more > room)
            return false;
    return true;
}

static void shape_slots_grow(struct block_builder *b)
{
    size_t room = b->shape_slots.room ? b->shape_slots.room * 2 : 1024;

    mem_free(b->shape_slots.at);
    b->shape_slots.at = mem_zero(room, sizeof *b->shape_slots.at);
    b->shape_slots.room = room;
    for (size_t i = 0; i < b->shapes.n; i++) {
        size_t slot = b->shapes.at[i].hash & (room - 1);
        while (b->shape_slots.at[slot])
            slot = (slot + 1) & (room - 1);
        b->shape_slots.at[slot] = (uint32_t)(i + 1);
    }
}

static bool shape_is(const struct block_builder *b, const struct block_shape *shape,
                     const struct block_shape *other)
{
    return shape->hash == other->hash && shape->n == other->n &&
           memcmp(&b->shape_columns.at[shape->first], &b->shape_columns.at[other->first],
                  shape->n * sizeof(uint32_t)) == 0;
}

/* The number of the shape whose columns were just pushed, from `first` on; they go again when it is
 * known. */
static uint32_t shape_number(struct block_builder *b, uint32_t first)
{
    uint32_t n = (uint32_t)b->shape_columns.n - first;
    struct block_shape shape = {
        first, n, hash_bytes(&b->shape_columns.at[first], n * sizeof(uint32_t), hash_seed())
    };

    if (b->shapes.n * 2 >= b->shape_slots.room)
        shape_slots_grow(b);
    size_t mask = b->shape_slots.room - 1, slot = shape.hash & mask;
    for (uint32_t at; (at = b->shape_slots.at[slot]) != 0; slot = (slot + 1) & mask) {
        if (shape_is(b, &b->shapes.at[at - 1], &shape)) {
            b->shape_columns.n = first;
            return at;
        }
    }
    VEC_PUSH(&b->shapes, shape);
    return b->shape_slots.at[slot] = (uint32_t)b->shapes.n;
}

static uint32_t wire_shape(struct block_builder *b)
{
    if (!b->wire_shape) {
        uint32_t first = (uint32_t)b->shape_columns.n;
        VEC_PUSH(&b->shape_columns, column_number(b, 0, COLUMN_WIRE));
        b->wire_shape = shape_number(b, first);
    }
    return b->wire_shape;
}

static uint32_t learn_shape(struct block_builder *b, struct epoch_map *map, uint32_t number)
{
    const struct shape *shape = epoch_shape(map->epoch, number);
    uint32_t first = (uint32_t)b->shape_columns.n, found;

    if (shape_fits(b, map, shape)) {
        for (uint32_t i = 0; i < shape->n; i++) {
            uint32_t key = texts_symbol(&b->texts, map, shape->attrs[i].key);
            VEC_PUSH(&b->shape_columns, column_number(b, key, shape->attrs[i].type));
        }
        found = shape_number(b, first);
    } else {
        found = wire_shape(b);
    }
    epoch_map_reach(&map->shapes.at, &map->shapes.room, number);
    map->shapes.at[number] = found;
    VEC_PUSH(&map->shapes.touched, number);
    return found;
}

static inline uint32_t find_shape(struct block_builder *b, struct epoch_map *map, uint32_t number)
{
    if (number < map->shapes.room && map->shapes.at[number])
        return map->shapes.at[number];
    return number ? learn_shape(b, map, number) : 0;
}

/* --- transposing ------------------------------------------------------------------------------ */
static void triple_add(struct block_builder *b, uint32_t resource, uint32_t name, uint8_t kind);

static void triples_grow(struct block_builder *b)
{
    struct triple *old = b->triples.at;
    size_t old_room = b->triples.room;

    b->triples.room = old_room ? old_room * 2 : 1024;
    b->triples.at = mem_zero(b->triples.room, sizeof *b->triples.at);
    b->triples.n = 0;
    for (size_t i = 0; i < old_room; i++)
        if (old[i].is_used)
            triple_add(b, old[i].resource, old[i].name, old[i].kind);
    mem_free(old);
}

static void triple_add(struct block_builder *b, uint32_t resource, uint32_t name, uint8_t kind)
{
    if (b->triples.n * 2 >= b->triples.room)
        triples_grow(b);
    size_t mask = b->triples.room - 1;
    size_t slot = mix((uint64_t)resource << 35 ^ (uint64_t)name << 3 ^ kind) & mask;
    for (struct triple *at; (at = &b->triples.at[slot])->is_used; slot = (slot + 1) & mask)
        if (at->resource == resource && at->name == name && at->kind == kind)
            return;
    b->triples.at[slot] = (struct triple){ resource, name, kind, true };
    b->triples.n++;
}

static inline uint32_t value_number(struct block_builder *b, struct epoch_map *map,
                                    const struct row_value *value)
{
    return value->is_symbol ? texts_symbol(&b->texts, map, value->symbol)
                            : texts_inline(&b->texts, value->bytes);
}

static inline void put_value(struct block_builder *b, struct epoch_map *map,
                             struct attr_column *column, const struct row_value *value)
{
    uint64_t bits;

    switch (value->type) {
    case VALUE_EMPTY: break;
    case VALUE_BOOL: VEC_PUSH(&column->numbers, value->b); break;
    case VALUE_INT: VEC_PUSH(&column->numbers, (uint64_t)value->i); break;
    case VALUE_DOUBLE:
        memcpy(&bits, &value->d, sizeof bits);
        VEC_PUSH(&column->numbers, bits);
        break;
    default: VEC_PUSH(&column->texts, value_number(b, map, value));
    }
}

static void put_wire_values(struct block_builder *b, struct epoch_map *map, const struct row *row,
                            struct attr_column *column)
{
    struct span span;
    struct buf wire;

    row_decode(row, map->epoch, &b->arena, &span);
    buf_init(&wire, BYTES_MAX);
    for (uint32_t i = 0; i < span.n_attrs; i++)
        otlp_put_attr(&wire, 9, &span.attrs[i]);
    VEC_PUSH(&column->texts, texts_inline(&b->texts, arena_str(&b->arena, buf_str(&wire))));
    buf_fini(&wire);
}

static void put_values(struct block_builder *b, struct epoch_map *map, const struct row *row,
                       uint32_t shape, struct row_cursor *cursor)
{
    const uint32_t *column = &b->shape_columns.at[b->shapes.at[shape - 1].first];
    struct row_value value;

    if (shape == b->wire_shape) {
        row_skip_values(cursor);
        put_wire_values(b, map, row, &b->columns.at[*column]);
        return;
    }
    while (row_next_value(cursor, &value))
        put_value(b, map, &b->columns.at[*column++], &value);
}

static int32_t put_kinds(struct block_builder *b, uint32_t at, int32_t kind, int32_t status)
{
    bool is_kind_wide = kind < 0 || kind > 5, is_status_wide = status < 0 || status > 2;

    b->kinds.at[at] =
        (uint8_t)((is_kind_wide ? KIND_WIDE : kind) | (is_status_wide ? KIND_WIDE : status) << 4);
    if (is_kind_wide || is_status_wide) {
        buf_put_varint(&b->wide, zigzag(kind));
        buf_put_varint(&b->wide, zigzag(status));
        b->n_wide++;
    }
    return kind;
}

/* The key of a KeyValue; in the form that every SDK writes, key, value, end, nothing else is looked
 * at. */
static bool nested_key(struct str key_value, struct str *key)
{
    const uint8_t *p = wire_begin(key_value);
    struct attr attr;

    if (key_value.len > 4 && p[0] == WIRE_TAG(1, WIRE_BYTES) && p[1] < 0x80 &&
        p[1] + 4u <= key_value.len && p[p[1] + 2] == WIRE_TAG(2, WIRE_BYTES) &&
        p[p[1] + 3] < 0x80 && p[1] + 4u + p[p[1] + 3] == key_value.len) {
        *key = str_n(p + 2, p[1]);
        return true;
    }
    if (attr_decode(key_value, &attr) < 0)
        return false;
    *key = attr.key;
    return true;
}

/* Events of one kind have the same keys in the same order: the key after the last one is tried
 * before any hashing. */
static bool nested_expected(struct block_builder *b, struct str key)
{
    if (b->nested_next >= b->nested_keys.n)
        b->nested_next = 0;
    if (b->nested_keys.n == 0 || !str_eq(text_bytes(b, b->nested_keys.at[b->nested_next]), key))
        return false;
    b->nested_next++;
    return true;
}

static bool add_nested_key(struct block_builder *b, struct str key_value)
{
    struct str key;

    if (!nested_key(key_value, &key))
        return false;
    if (nested_expected(b, key))
        return true;
    uint32_t number = texts_number(&b->texts, key);
    uint32_t *nested = number ? &b->texts.list.at[number - 1].nested : &b->empty_nested;
    if (!*nested) {
        VEC_PUSH(&b->nested_keys, number);
        *nested = (uint32_t)b->nested_keys.n;
    }
    b->nested_next = *nested;
    return true;
}

/* Notes the keys of attributes, field `field` of each event or link, so that a search for another
 * key need not unpack them. */
static bool add_nested_keys(struct block_builder *b, struct str parts, uint32_t field)
{
    const uint8_t *at = wire_begin(parts), *end = wire_end(parts);
    struct wire_field part, inner;
    int more, more_inner = 0;

    while (more_inner == 0 && (more = wire_next(&at, end, &part)) == 1) {
        const uint8_t *in = wire_begin(part.bytes);
        if (part.type != WIRE_BYTES)
            return false;
        while ((more_inner = wire_next(&in, wire_end(part.bytes), &inner)) == 1)
            if (inner.number == field &&
                (inner.type != WIRE_BYTES || !add_nested_key(b, inner.bytes)))
                return false;
    }
    return more_inner == 0 && more == 0;
}

static void put_part(struct block_builder *b, unsigned number, struct str bytes,
                     uint32_t attribute_field)
{
    VEC_PUSH(&b->parts[number], bytes);
    if (attribute_field && !b->is_nested_unknown && !add_nested_keys(b, bytes, attribute_field))
        b->is_nested_unknown = true;
}

/* The optional parts; returns the kind. */
static int32_t put_rest(struct block_builder *b, struct epoch_map *map, uint32_t at,
                        const struct row *row, const struct row_cursor *cursor)
{
    struct row_rest rest;

    row_read_rest(cursor, &rest);
    if (row->has & ROW_HAS_TRACE_STATE)
        VEC_PUSH(&b->trace_states, value_number(b, map, &rest.trace_state));
    if (row->has & ROW_HAS_STATUS_MESSAGE)
        VEC_PUSH(&b->messages, value_number(b, map, &rest.status_message));
    if (row->has & ROW_HAS_DROPPED_ATTRS)
        VEC_PUSH(&b->dropped[0], rest.dropped_attrs);
    if (row->has & ROW_HAS_DROPPED_EVENTS)
        VEC_PUSH(&b->dropped[1], rest.dropped_events);
    if (row->has & ROW_HAS_DROPPED_LINKS)
        VEC_PUSH(&b->dropped[2], rest.dropped_links);
    if (row->has & ROW_HAS_EVENTS)
        put_part(b, 0, row_events(&rest.events, &b->arena), 3);
    if (row->has & ROW_HAS_LINKS)
        put_part(b, 1, rest.links, 4);
    if (row->has & ROW_HAS_UNKNOWN)
        put_part(b, 2, rest.unknown, 0);
    return put_kinds(b, at, rest.kind, rest.status);
}

static void put_times(struct block_builder *b, uint32_t at, const struct row *row,
                      uint64_t fragment_start)
{
    uint64_t duration = row->end_ns > row->start_ns ? row->end_ns - row->start_ns : 0;

    b->starts.at[at] = row->start_ns - fragment_start;
    b->durations.at[at] = zigzag((int64_t)(row->end_ns - row->start_ns));
    b->start_max = MG_MAX(b->start_max, row->start_ns);
    b->duration_min = MG_MIN(b->duration_min, duration);
    b->duration_max = MG_MAX(b->duration_max, duration);
}

/* Row columns have room for all rows before the first is put. */
#define ROW_COLUMN(column, count) (VEC_RESERVE(&b->column, (count)), b->column.n = (count))

static void reserve_rows(struct block_builder *b)
{
    size_t n = b->gather.rows.n;

    ROW_COLUMN(span_ids, n * 8);
    ROW_COLUMN(parents, n);
    ROW_COLUMN(starts, n);
    ROW_COLUMN(durations, n);
    ROW_COLUMN(names, n);
    ROW_COLUMN(resources, n);
    ROW_COLUMN(scopes, n);
    ROW_COLUMN(flags, n);
    ROW_COLUMN(kinds, n);
    ROW_COLUMN(has, n);
    ROW_COLUMN(row_shapes, n);
}

static void put_row(struct block_builder *b, uint32_t at, const struct row_ref *ref,
                    uint64_t fragment_start)
{
    struct epoch_map *map = &b->texts.epochs.at[ref->epoch];
    const struct row *row = ref->row;
    struct row_cursor cursor;
    uint32_t shape = find_shape(b, map, row->shape);

    memcpy(&b->span_ids.at[(size_t)at * 8], row->span_id, 8);
    b->parents.at[at] = ref->parent;
    if (ref->parent == BLOCK_PARENT_EXTERNAL)
        VEC_PUSH(&b->external, get_le64(row->parent_id));
    put_times(b, at, row, fragment_start);
    b->names.at[at] = texts_symbol(&b->texts, map, row->name);
    b->resources.at[at] = texts_symbol(&b->texts, map, row->resource);
    b->scopes.at[at] = texts_symbol(&b->texts, map, row->scope);
    b->flags.at[at] = row->flags;
    b->has.at[at] = (uint8_t)row->has;
    b->row_shapes.at[at] = shape;
    if (shape || row->has) {
        row_values(row, map->epoch, &cursor);
        if (shape)
            put_values(b, map, row, shape, &cursor);
    }
    int32_t kind =
        row->has ? put_rest(b, map, at, row, &cursor) : put_kinds(b, at, row->kind, row->status);
    triple_add(b, b->resources.at[at], b->names.at[at], catalogue_kind(kind));
}

#define PREFETCH_ROWS 4

static void prefetch_row(const struct row *row)
{
    for (size_t at = 0; at < 256; at += 64)
        __builtin_prefetch((const char *)row + at);
}

void builder_transpose(struct block_builder *b)
{
    uint32_t at = 0;

    b->duration_min = UINT64_MAX;
    reserve_rows(b);
    for (size_t p = 0; p < b->gather.parts.n; p++) {
        const struct part *part = &b->gather.parts.at[p];
        const struct row_ref *rows = &b->gather.rows.at[part->first];
        if (p + 1 < b->gather.parts.n) /* within a fragment rows of one time lie near each other;
                                          the next is elsewhere */
            for (uint32_t i = 0; i < MG_MIN(b->gather.parts.at[p + 1].n, (uint32_t)PREFETCH_ROWS);
                 i++)
                prefetch_row(b->gather.rows.at[b->gather.parts.at[p + 1].first + i].row);
        for (uint32_t i = 0; i < part->n; i++) {
            if (i + PREFETCH_ROWS < part->n)
                prefetch_row(rows[i + PREFETCH_ROWS].row);
            put_row(b, at++, &rows[i], part->start_min_ns);
        }
    }
}

/* --- memory ----------------------------------------------------------------------------------- */
static void free_columns(struct block_builder *b)
{
    for (size_t i = 0; i < b->columns.n; i++) {
        VEC_FINI(&b->columns.at[i].texts);
        VEC_FINI(&b->columns.at[i].numbers);
    }
    VEC_FINI(&b->columns);
}

static void free_row_columns(struct block_builder *b)
{
    VEC_FINI(&b->span_ids);
    VEC_FINI(&b->kinds);
    VEC_FINI(&b->has);
    VEC_FINI(&b->starts);
    VEC_FINI(&b->durations);
    VEC_FINI(&b->flags);
    VEC_FINI(&b->names);
    VEC_FINI(&b->resources);
    VEC_FINI(&b->scopes);
    VEC_FINI(&b->row_shapes);
    VEC_FINI(&b->trace_states);
    VEC_FINI(&b->messages);
    VEC_FINI(&b->parents);
    VEC_FINI(&b->external);
    VEC_FINI(&b->nested_keys);
    for (size_t i = 0; i < 3; i++) {
        VEC_FINI(&b->dropped[i]);
        VEC_FINI(&b->parts[i]);
    }
}

static void clear_columns(struct block_builder *b)
{
    for (uint32_t i = 0; i < b->n_columns; i++) {
        VEC_CLEAR(&b->columns.at[i].texts);
        VEC_CLEAR(&b->columns.at[i].numbers);
    }
    if (b->n_columns > 512) /* a peer's doing: the memory of so many columns is not kept */
        free_columns(b);
    b->n_columns = 0;
    b->wire_shape = 0;
    VEC_CLEAR(&b->shapes);
    VEC_CLEAR(&b->shape_columns);
    if (b->column_slots.at)
        memset(b->column_slots.at, 0, b->column_slots.room * sizeof *b->column_slots.at);
    if (b->shape_slots.at)
        memset(b->shape_slots.at, 0, b->shape_slots.room * sizeof *b->shape_slots.at);
    if (b->triples.at)
        memset(b->triples.at, 0, b->triples.room * sizeof *b->triples.at);
    b->triples.n = 0;
}

static void clear_rows(struct block_builder *b)
{
    VEC_CLEAR(&b->span_ids);
    VEC_CLEAR(&b->kinds);
    VEC_CLEAR(&b->has);
    VEC_CLEAR(&b->starts);
    VEC_CLEAR(&b->durations);
    VEC_CLEAR(&b->flags);
    VEC_CLEAR(&b->names);
    VEC_CLEAR(&b->resources);
    VEC_CLEAR(&b->scopes);
    VEC_CLEAR(&b->row_shapes);
    VEC_CLEAR(&b->trace_states);
    VEC_CLEAR(&b->messages);
    VEC_CLEAR(&b->parents);
    VEC_CLEAR(&b->external);
    VEC_CLEAR(&b->nested_keys);
    b->nested_next = 0;
    b->is_nested_unknown = false;
    b->empty_nested = 0;
    for (size_t i = 0; i < 3; i++) {
        VEC_CLEAR(&b->dropped[i]);
        VEC_CLEAR(&b->parts[i]);
    }
    buf_clear(&b->wide);
    b->n_wide = 0;
    b->start_max = b->duration_max = 0;
}

void builder_clear_rows(struct block_builder *b)
{
    clear_columns(b);
    clear_rows(b);
    fragments_clear(&b->gather);
    texts_clear(&b->texts);
    arena_reset(&b->arena);
}

void builder_free_rows(struct block_builder *b)
{
    free_columns(b);
    free_row_columns(b);
    VEC_FINI(&b->shapes);
    VEC_FINI(&b->shape_columns);
    mem_free(b->column_slots.at);
    mem_free(b->shape_slots.at);
    mem_free(b->triples.at);
    fragments_fini(&b->gather);
    texts_fini(&b->texts);
    arena_fini(&b->arena);
}
