/* block_gather.c - fragments into rows to be written.
 *
 * Two tables serve one fragment. The first leads from a span id to the first row that has it: it
 * finds parents, and that ids repeat. Only where one repeats are contents hashed, into the second
 * table, so that a trace in which every span has one id costs no more than linear time.
 *
 * Both hash with what a peer does not know: the multiplier is secret, and texts are hashed with the
 * process's seed. */
#include "store/block_gather.h"

#include <assert.h>
#include <stdlib.h>
#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"

#define KEEP_SLOTS                                                                                 \
    ((size_t)1 << 17) /* larger tables are freed after the fragment that needed them */

void fragments_init(struct gather *gather, struct texts *texts)
{
    *gather = (struct gather){ .texts = texts, .secret = hash_bytes("span", 4, hash_seed()) | 1 };
}

void fragments_clear(struct gather *gather)
{
    VEC_CLEAR(&gather->rows);
    VEC_CLEAR(&gather->parts);
    gather->duplicates = 0;
    gather->raw_bytes = 0;
}

void fragments_fini(struct gather *gather)
{
    VEC_FINI(&gather->rows);
    VEC_FINI(&gather->parts);
    mem_free(gather->ids.at);
    mem_free(gather->contents.at);
    arena_fini(&gather->events);
}

/* --- contents --------------------------------------------------------------------------------- */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t text_hash(struct gather *gather, struct epoch_map *map, uint32_t symbol)
{
    uint32_t number = texts_symbol(gather->texts, map, symbol);

    return number ? gather->texts->list.at[number - 1].hash : 0;
}

static uint64_t bytes_hash(struct str bytes)
{
    return bytes.len ? hash_bytes(bytes.ptr, bytes.len, hash_seed()) | 1 : 0;
}

static uint64_t value_hash(struct gather *gather, struct epoch_map *map,
                           const struct row_value *value)
{
    uint64_t number = 0;

    switch (value->type) {
    case VALUE_EMPTY: return 0;
    case VALUE_BOOL: return value->b;
    case VALUE_INT: return (uint64_t)value->i;
    case VALUE_DOUBLE: memcpy(&number, &value->d, sizeof number); return number;
    default:
        return value->is_symbol ? text_hash(gather, map, value->symbol) : bytes_hash(value->bytes);
    }
}

static uint64_t content_hash(struct gather *gather, const struct row_ref *ref)
{
    struct epoch_map *map = &gather->texts->epochs.at[ref->epoch];
    const struct row *row = ref->row;
    uint64_t hash = mix(get_le64(row->span_id), get_le64(row->parent_id));
    struct row_cursor cursor;
    struct row_value value;
    struct row_rest rest;

    hash = mix(mix(hash, row->start_ns), row->end_ns);
    hash = mix(mix(hash, text_hash(gather, map, row->name)), row->flags);
    row_values(row, map->epoch, &cursor);
    while (row_next_value(&cursor, &value)) {
        hash = mix(mix(hash, text_hash(gather, map, value.key)), value.type);
        hash = mix(hash, value_hash(gather, map, &value));
    }
    row_read_rest(&cursor, &rest);
    hash = mix(mix(hash, (uint32_t)rest.kind), (uint32_t)rest.status);
    hash = mix(hash, value_hash(gather, map, &rest.status_message));
    hash = mix(hash, bytes_hash(row_events(&rest.events, &gather->events)));
    arena_reset(&gather->events);
    return mix(mix(hash, bytes_hash(rest.links)), bytes_hash(rest.unknown));
}

static bool rows_equal(struct gather *gather, const struct row_ref *a, const struct row_ref *b)
{
    return row_equal(a->row, gather->texts->epochs.at[a->epoch].epoch, b->row,
                     gather->texts->epochs.at[b->epoch].epoch);
}

/* Is the span there already? If not, it is from now on. */
static bool content_known(struct gather *gather, const struct row_ref *rows, uint32_t at)
{
    uint64_t hash = content_hash(gather, &rows[at]);
    size_t mask = gather->contents.used - 1, slot = hash & mask;

    for (; gather->contents.at[slot].row; slot = (slot + 1) & mask)
        if (gather->contents.at[slot].hash == hash &&
            rows_equal(gather, &rows[gather->contents.at[slot].row - 1], &rows[at]))
            return true;
    gather->contents.at[slot] = (struct content_slot){ hash, at + 1 };
    return false;
}

static void contents_begin(struct gather *gather)
{
    gather->contents.used = gather->ids.used;
    if (gather->contents.room < gather->contents.used) {
        gather->contents.room = gather->contents.used;
        mem_free(gather->contents.at);
        gather->contents.at = mem_alloc(gather->contents.room * sizeof *gather->contents.at);
    }
    memset(gather->contents.at, 0, gather->contents.used * sizeof *gather->contents.at);
}

/* --- span ids --------------------------------------------------------------------------------- */
static void ids_begin(struct gather *gather, uint32_t n)
{
    size_t used = 16;

    while (used < (size_t)n * 2)
        used *= 2;
    if (gather->ids.room < used) {
        gather->ids.room = used;
        mem_free(gather->ids.at);
        gather->ids.at = mem_alloc(used * sizeof *gather->ids.at);
    }
    memset(gather->ids.at, 0, used * sizeof *gather->ids.at);
    gather->ids.used = used;
    gather->contents.used = 0;
}

/* The slot of that id: where it is, or the empty place for it. */
static uint32_t *id_slot(struct gather *gather, const struct row_ref *rows, const uint8_t id[8])
{
    uint64_t wanted = get_le64(id);
    unsigned shift = 64 - (unsigned)__builtin_ctzll(gather->ids.used);
    size_t mask = gather->ids.used - 1, slot = (size_t)((wanted * gather->secret) >> shift);

    while (gather->ids.at[slot] && get_le64(rows[gather->ids.at[slot] - 1].row->span_id) != wanted)
        slot = (slot + 1) & mask;
    return &gather->ids.at[slot];
}

static void tables_end(struct gather *gather)
{
    if (gather->ids.room > KEEP_SLOTS) {
        mem_free(gather->ids.at);
        memset(&gather->ids, 0, sizeof gather->ids);
    }
    if (gather->contents.room > KEEP_SLOTS) {
        mem_free(gather->contents.at);
        memset(&gather->contents, 0, sizeof gather->contents);
    }
}

/* Keeps the first of equal rows, in place; returns how many are left. */
static uint32_t drop_duplicates(struct gather *gather, struct row_ref *rows, uint32_t n)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++) {
        rows[kept] = rows[i];
        uint32_t *slot = id_slot(gather, rows, rows[kept].row->span_id);
        if (*slot) {
            struct row_ref *first = &rows[*slot - 1];
            if (!gather->contents.used)
                contents_begin(gather);
            if (!first->parent) /* its content is not in the table yet; parents are found later */
                (void)content_known(gather, rows, *slot - 1); /* false: put in now */
            first->parent = 1;
            if (content_known(gather, rows, kept))
                continue;
        } else {
            *slot = kept + 1;
        }
        kept++;
    }
    return kept;
}

static void find_parents(struct gather *gather, struct row_ref *rows, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        rows[i].parent = 0;
        if (get_le64(rows[i].row->parent_id) == 0)
            continue;
        uint32_t at =
            *id_slot(gather, rows, rows[i].row->parent_id) - 1; /* absent: the largest number */
        rows[i].parent = at - first < n ? (uint16_t)(1 + at - first) : BLOCK_PARENT_EXTERNAL;
    }
}

/* --- fragments -------------------------------------------------------------------------------- */
static bool is_chosen(const struct row *row, enum block_choice choice)
{
    return choice == BLOCK_ALL || row_is_stray(row) == (choice == BLOCK_STRAYS);
}

static uint32_t count_chosen(const struct fragment *fragment, enum block_choice choice)
{
    const struct row *row = fragment->last;
    uint32_t n = 0;

    if (choice == BLOCK_ALL)
        return fragment->n;
    for (uint32_t i = fragment->n; i-- > 0; row = row->prev)
        n += is_chosen(row, choice);
    return n;
}

/* The chosen rows, oldest first, after those that are there. */
static struct row_ref *unchain(struct gather *gather, const struct fragment *fragment, uint32_t n,
                               enum block_choice choice)
{
    const struct row *row = fragment->last;
    const struct epoch *epoch = NULL;
    uint32_t number = 0;

    VEC_RESERVE(&gather->rows, gather->rows.n + n);
    struct row_ref *rows = &gather->rows.at[gather->rows.n];
    for (uint32_t i = n; i > 0; row = row->prev) {
        if (!is_chosen(row, choice))
            continue;
        i--;
        const struct epoch *of_row = segment_of(row)->epoch;
        if (of_row != epoch) {
            epoch = of_row;
            number = (uint32_t)texts_epoch(gather->texts, epoch);
        }
        rows[i] = (struct row_ref){ .row = row, .epoch = number };
    }
    return rows;
}

static uint32_t row_n_values(const struct gather *gather, const struct row_ref *ref)
{
    return epoch_shape(gather->texts->epochs.at[ref->epoch].epoch, ref->row->shape)->n;
}

/* How many of `n` rows fit into one part. Values are only counted where they could be too many. */
static uint32_t part_rows(const struct gather *gather, const struct row_ref *rows, uint32_t n)
{
    uint64_t values = 0;

    n = MG_MIN(n, (uint32_t)BLOCK_FRAGMENT_ROWS_MAX);
    if (n <= 512)
        return n;
    for (uint32_t i = 0; i < n; i++) {
        values += row_n_values(gather, &rows[i]);
        if (i && values > BLOCK_FRAGMENT_VALUES_MAX)
            return i;
    }
    return n;
}

static void add_parts(struct gather *gather, const struct fragment *fragment, struct row_ref *rows,
                      uint32_t n)
{
    for (uint32_t done = 0, count; done < n; done += count) {
        struct part part = { .position = fragment->position,
                             .outcome = fragment->outcome,
                             .votes = fragment->votes,
                             .start_min_ns = UINT64_MAX };
        count = part_rows(gather, rows + done, n - done);
        memcpy(part.trace_id, fragment->trace_id, sizeof part.trace_id);
        part.first = (uint32_t)gather->rows.n + done;
        part.n = count;
        for (uint32_t i = done; i < done + count; i++) {
            part.start_min_ns = MG_MIN(part.start_min_ns, rows[i].row->start_ns);
            gather->raw_bytes += rows[i].row->bytes + row_events_bytes(rows[i].row);
        }
        find_parents(gather, rows, done, count);
        VEC_PUSH(&gather->parts, part);
    }
}

void fragments_add(struct gather *gather, const struct fragment *fragment, enum block_choice choice)
{
    uint32_t all = count_chosen(fragment, choice);

    assert(fragment->n > 0 && gather->rows.n + all <= BLOCK_ROWS_MAX);
    if (all == 0)
        return;
    struct row_ref *rows = unchain(gather, fragment, all, choice);
    ids_begin(gather, all);
    uint32_t n = drop_duplicates(gather, rows, all);
    add_parts(gather, fragment, rows, n);
    gather->rows.n += n;
    gather->duplicates += all - n;
    tables_end(gather);
}

/* What is sorted instead of parts: 24 bytes, compared as numbers. qsort is not stable; `at` makes
 * it so. */
struct part_key {
    uint64_t high, low;
    uint32_t at;
};

static int compare_keys(const void *left, const void *right)
{
    const struct part_key *a = left, *b = right;

    if (a->high != b->high)
        return a->high > b->high ? 1 : -1;
    if (a->low != b->low)
        return a->low > b->low ? 1 : -1;
    return a->at > b->at ? 1 : -1;
}

void fragments_sort(struct gather *gather)
{
    size_t n = gather->parts.n;
    struct part_key *keys = mem_alloc(n * sizeof *keys);
    struct part *sorted = mem_alloc(n * sizeof *sorted);

    for (size_t i = 0; i < n; i++) {
        const uint8_t *id = gather->parts.at[i].trace_id;
        keys[i] = (struct part_key){ get_be64(id), get_be64(id + 8), (uint32_t)i };
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++)
        sorted[i] = gather->parts.at[keys[i].at];
    if (n)
        memcpy(gather->parts.at, sorted, n * sizeof *sorted);
    mem_free(sorted);
    mem_free(keys);
}
