/* edges.c - see edges.h. Everything is kept for one commit and reused: a table of the fragment's span ids, service names by
 * (epoch, resource), and counts by (minute, parent, child). */
#include "store/edges.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/utf8.h"

/* Rows that differ in nothing but payload are compared with that many at most: a peer that sends thousands of them
 * must not cost a square of time. */
enum { VERSION = 1, CACHE = 256, COMPARES_MAX = 256 };
enum { NAME_BYTES_MAX = 256, EDGES_MAX = 16384 };
/* Names are a peer's choice: long ones are cut, and beyond so many edges a minute all others are one. */
static const struct str other = STR_INIT("(other)");

struct count { uint32_t minute, parent, child; uint64_t calls, errors; };
struct cached { const struct epoch *epoch; uint32_t resource, service; };

struct edges {
    struct map services;            /* name -> number + 1 */
    VEC(struct str) names;          /* by number; in names_arena */
    struct arena names_arena, scratch;
    struct cached cache[CACHE];
    struct map counts;              /* struct count's first 12 bytes -> index + 1 */
    VEC(struct count) list;
    const struct row **ids;         /* open addressing by span id */
    size_t ids_room;                /* allocated */
    size_t ids_used;                /* of this fragment; a power of two */
    const struct row **others;      /* as ids, by header: rows whose id an unlike row has too; in use when has_others */
    size_t others_room;
    bool has_others;
    uint64_t seed;                  /* span ids are a peer's choice too */
};

struct edges *edges_new(void)
{
    struct edges *edges = MEM_NEW(struct edges);

    edges->seed = hash_seed() | 1;
    return edges;
}

void edges_clear(struct edges *edges)
{
    map_fini(&edges->services);
    map_fini(&edges->counts);
    edges->services = edges->counts = (struct map){ 0 };
    VEC_FINI(&edges->names);
    VEC_FINI(&edges->list);
    arena_fini(&edges->names_arena);
    arena_fini(&edges->scratch);
    mem_free(edges->ids);
    mem_free(edges->others);
    *edges = (struct edges){ .seed = edges->seed };
}

void edges_free(struct edges **edges)
{
    if (!*edges)
        return;
    edges_clear(*edges);
    mem_free(*edges);
    *edges = NULL;
}

/* --- counting --------------------------------------------------------------------------------------- */

static uint32_t number_of(struct edges *edges, struct str name)
{
    bool is_new;
    void **slot = map_put(&edges->services, name, &is_new);

    if (is_new) {
        VEC_PUSH(&edges->names, arena_str(&edges->names_arena, name));
        *slot = (void *)(uintptr_t)edges->names.n;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

static uint32_t service_of(struct edges *edges, const struct row *row)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    struct cached *cached = &edges->cache[(row->resource ^ (uintptr_t)epoch >> 6) % CACHE];

    if (cached->epoch != epoch || cached->resource != row->resource) {
        arena_reset(&edges->scratch);
        struct str name = view_service(epoch_text(epoch, row->resource), &edges->scratch);
        *cached = (struct cached){ epoch, row->resource, number_of(edges, utf8_cut(name, NAME_BYTES_MAX)) };
    }
    return cached->service;
}

static const struct row **place_of(struct edges *edges, const uint8_t id[8])
{
    size_t mask = edges->ids_used - 1;

    for (size_t i = hash_bytes(id, 8, edges->seed) & mask;; i = (i + 1) & mask)
        if (!edges->ids[i] || memcmp(edges->ids[i]->span_id, id, 8) == 0)
            return &edges->ids[i];
}

/* The first row with an id stands for it; whether another one is its copy is asked again when edges are counted. */
static void note_ids(struct edges *edges, const struct fragment *fragment)
{
    size_t room = 64;
    const struct row *row = fragment->last;

    while (room < (size_t)fragment->n * 2)
        room *= 2;
    if (room > edges->ids_room) {
        edges->ids = mem_grow(edges->ids, room * sizeof *edges->ids);
        edges->ids_room = room;
    }
    edges->ids_used = room;
    memset(edges->ids, 0, room * sizeof *edges->ids);
    for (uint32_t i = 0; i < fragment->n; i++, row = row->prev) {
        const struct row **place = place_of(edges, row->span_id);
        if (!*place)
            *place = row;
    }
}

static void count(struct edges *edges, const struct row *parent, const struct row *child)
{
    struct count one = { child->wall_s / 60, service_of(edges, parent), service_of(edges, child), 0, 0 };
    bool is_new;
    void **slot;

    if (edges->list.n >= EDGES_MAX && !map_find(&edges->counts, str_n(&one, 12)))
        one.parent = one.child = number_of(edges, other);
    slot = map_put(&edges->counts, str_n(&one, 12), &is_new);

    if (is_new) {
        VEC_PUSH(&edges->list, one);
        *slot = (void *)(uintptr_t)edges->list.n;
    }
    struct count *at = &edges->list.at[(uintptr_t)*slot - 1];
    at->calls++;
    at->errors += child->status == STATUS_ERROR;
}

static bool is_equal(const struct row *a, const struct row *b)
{
    return row_equal(a, segment_of(a)->epoch, b, segment_of(b)->epoch);
}

static void begin_others(struct edges *edges)
{
    if (edges->has_others)
        return;
    if (edges->others_room < edges->ids_room) {
        edges->others = mem_grow(edges->others, edges->ids_room * sizeof *edges->others);
        edges->others_room = edges->ids_room;
    }
    memset(edges->others, 0, edges->ids_used * sizeof *edges->others);
    edges->has_others = true;
}

/* Is it equal to one of the others? If not, it is one of them from now on. */
static bool is_known(struct edges *edges, const struct row *row)
{
    const uint64_t header[] = { get_le64(row->span_id), get_le64(row->parent_id), row->start_ns, row->end_ns };
    size_t mask = edges->ids_used - 1, at = hash_bytes(header, sizeof header, edges->seed) & mask;

    for (unsigned n = 0; edges->others[at]; at = (at + 1) & mask, n++)
        if (n == COMPARES_MAX)
            return false;
        else if (memcmp(edges->others[at]->span_id, row->span_id, 8) == 0 && is_equal(edges->others[at], row))
            return true;
    edges->others[at] = row;
    return false;
}

/* The one that stands for an id is counted itself; client and server of one call may share the id and both come twice. */
static bool is_copy(struct edges *edges, const struct row *row)
{
    const struct row *first = *place_of(edges, row->span_id);

    if (first == row)
        return false;
    if (is_equal(first, row))
        return true;
    begin_others(edges);
    return is_known(edges, row);
}

void edges_add(struct edges *edges, const struct fragment *fragment)
{
    const struct row *row = fragment->last;

    if (fragment->n < 2)
        return;
    note_ids(edges, fragment);
    edges->has_others = false;
    for (uint32_t i = 0; i < fragment->n; i++, row = row->prev) {
        const struct row *parent;
        if (get_le64(row->parent_id) == 0 || !(parent = *place_of(edges, row->parent_id)) || parent == row)
            continue;
        if (!is_copy(edges, row))
            count(edges, parent, row);
    }
}

/* --- bytes ------------------------------------------------------------------------------------------ */

static const uint8_t *read_name(const uint8_t *at, const uint8_t *end, struct str *out)
{
    uint64_t len;

    if (!(at = get_varint(at, end, &len)) || len > (uint64_t)(end - at))
        return NULL;
    *out = str_n(at, (size_t)len);
    return at + len;
}

enum mg_err edges_read(struct str value, edge_fn *on_edge, void *owner)
{
    const uint8_t *at = (const uint8_t *)value.ptr, *end = at + value.len;
    uint64_t version, calls, errors;

    if (!(at = get_varint(at, end, &version)) || version != VERSION)
        return MG_E_FORMAT;
    while (at < end) {
        struct str parent, child;
        if (!(at = read_name(at, end, &parent)) || !(at = read_name(at, end, &child)) ||
            !(at = get_varint(at, end, &calls)) || !(at = get_varint(at, end, &errors)))
            return MG_E_FORMAT;
        on_edge(owner, parent, child, calls, errors);
    }
    return MG_OK;
}

static void write_edge(struct buf *out, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    buf_put_varint(out, parent.len);
    buf_put_str(out, parent);
    buf_put_varint(out, child.len);
    buf_put_str(out, child);
    buf_put_varint(out, calls);
    buf_put_varint(out, errors);
}

struct merging { struct edges *edges; uint32_t minute; struct buf *out; size_t n; };

/* An edge that the table has: with what this commit adds, which is marked as done by its minute. */
static void merge_old(void *owner, struct str parent, struct str child, uint64_t calls, uint64_t errors)
{
    struct merging *merging = owner;
    struct edges *edges = merging->edges;
    void **a = map_find(&edges->services, parent), **b = map_find(&edges->services, child), **slot;

    if (a && b) {
        struct count key = { merging->minute, (uint32_t)((uintptr_t)*a - 1), (uint32_t)((uintptr_t)*b - 1), 0, 0 };
        if ((slot = map_find(&edges->counts, str_n(&key, 12)))) {
            struct count *at = &edges->list.at[(uintptr_t)*slot - 1];
            calls += at->calls;
            errors += at->errors;
            at->minute = UINT32_MAX;
        }
    }
    merging->n++;
    write_edge(merging->out, parent, child, calls, errors);
}

static enum mg_err put_minute(struct edges *edges, uint32_t minute, struct kv_txn *txn, unsigned table, struct buf *out, struct mg_why *why)
{
    struct merging merging = { edges, minute, out, 0 };
    struct count rest = { 0 };
    uint64_t read_errors = kv_read_errors();
    struct str old;
    uint8_t key[4];

    put_be32(key, minute);
    buf_clear(out);
    buf_put_varint(out, VERSION);
    if (kv_get(txn, table, str_n(key, 4), &old) && edges_read(old, merge_old, &merging) != MG_OK)
        LOG(ERROR, "edges of a minute damaged", F_U64("minute", minute)); /* what could be read goes on */
    if (kv_read_errors() != read_errors) /* it would count as an empty minute */
        return mg_fail(why, MG_E_IO, "the edges of minute %u cannot be read", minute);
    for (size_t i = 0; i < edges->list.n; i++) {
        struct count *at = &edges->list.at[i];
        if (at->minute != minute)
            continue;
        at->minute = UINT32_MAX;
        if (merging.n++ < EDGES_MAX) {
            write_edge(out, edges->names.at[at->parent], edges->names.at[at->child], at->calls, at->errors);
            continue;
        }
        rest.calls += at->calls;
        rest.errors += at->errors;
    }
    if (rest.calls) /* a reader sums what stands there twice */
        write_edge(out, other, other, rest.calls, rest.errors);
    return kv_put(txn, table, str_n(key, 4), buf_str(out), why);
}

enum mg_err edges_put(struct edges *edges, struct kv_txn *txn, unsigned table, struct mg_why *why)
{
    struct buf out;
    enum mg_err err = MG_OK;

    buf_init(&out, SIZE_MAX / 2); /* bounded by EDGES_MAX edges of two short names */
    for (size_t i = 0; err == MG_OK && i < edges->list.n; i++)
        if (edges->list.at[i].minute != UINT32_MAX)
            err = put_minute(edges, edges->list.at[i].minute, txn, table, &out, why);
    buf_fini(&out);
    return err;
}
