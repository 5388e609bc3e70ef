/* edges.c - see edges.h. Everything is kept for one commit and reused: the fragment's spans with a table of their ids, names by
 * what they stand in (resource, shape, value of an epoch), and counts by (minute, parent, child).
 *
 * Three passes over a fragment: rows become spans, spans find their parents, and then, when it is known who has children,
 * each says whom it called. All work is bounded by the rows: what a peer can pile up on one id or in one line of ancestors is
 * looked at up to a limit. */
#include "store/edges.h"
#include "base/log.h"
#include "base/map.h"
#include "base/vec.h"
#include "codec/utf8.h"

enum { VERSION = 1, CACHE = 256, TWINS_MAX = 32, CLIMB_MAX = 64 };
enum { NAME_BYTES_MAX = 256, EDGES_MAX = 16384 };
#define NONE UINT32_MAX /* no span, no service */
/* Names are a peer's choice: long ones are cut, and beyond so many edges a minute all others are one. */
static const struct str other = STR_INIT("(other)");

struct count { uint32_t minute, parent, child; uint64_t calls, errors; };
struct cached { const struct epoch *epoch; uint32_t number, value; };

struct node {                   /* a span: its copies and pieces are one */
    uint64_t id;
    const struct row *row;      /* the first one that came with a parent: parent and minute are read from it */
    const struct row *peer;     /* where the remote name is looked for */
    uint32_t service;           /* NONE: unknown */
    uint32_t parent, twin;      /* nodes; twin: the next one of this id */
    uint8_t kind;               /* enum span_kind; 255: a number beyond it */
    bool is_error, has_child;
};

struct edges {
    struct map services;            /* name -> number + 1 */
    VEC(struct str) names;          /* by number; in names_arena */
    struct arena names_arena, scratch;
    struct cached resources[CACHE]; /* their service */
    struct cached shapes[CACHE];    /* where the remote name is among their values + 1; 0: they have none */
    struct cached remotes[CACHE];   /* symbols of remote names: their service */
    struct map counts;              /* struct count's first 12 bytes -> index + 1 */
    VEC(struct count) list;
    uint32_t recent[CACHE];         /* the same index by a hash of the numbers; a hint */
    VEC(struct node) nodes;         /* of this fragment */
    uint32_t *ids;                  /* open addressing by span id: the first node of an id + 1 */
    size_t ids_room;                /* allocated */
    size_t ids_used;                /* of this fragment; a power of two */
    bool has_twins;
    uint64_t seeds[2];              /* span ids are a peer's choice too */
};

struct edges *edges_new(void)
{
    struct edges *edges = MEM_NEW(struct edges);

    edges->seeds[0] = hash_seed();
    edges->seeds[1] = hash_bytes(edges->seeds, sizeof *edges->seeds, hash_seed()) | 1;
    return edges;
}

void edges_clear(struct edges *edges)
{
    map_fini(&edges->services);
    map_fini(&edges->counts);
    VEC_FINI(&edges->names);
    VEC_FINI(&edges->list);
    VEC_FINI(&edges->nodes);
    arena_fini(&edges->names_arena);
    arena_fini(&edges->scratch);
    mem_free(edges->ids);
    *edges = (struct edges){ .seeds = { edges->seeds[0], edges->seeds[1] } };
}

void edges_free(struct edges **edges)
{
    if (!*edges)
        return;
    edges_clear(*edges);
    mem_free(*edges);
    *edges = NULL;
}

/* --- names ------------------------------------------------------------------------------------------ */

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

static struct cached *cached_of(struct cached cache[CACHE], const struct epoch *epoch, uint32_t number)
{
    return &cache[(number ^ (uintptr_t)epoch >> 6) % CACHE];
}

static bool is_cached(const struct cached *cached, const struct epoch *epoch, uint32_t number)
{
    return cached->epoch == epoch && cached->number == number;
}

/* What the view calls a span without a service name is no service. */
static uint32_t service_find(struct edges *edges, struct str resource)
{
    struct resource_view view;

    resource_view(resource, &view);
    if (!view.service_name.len)
        return NONE;
    arena_reset(&edges->scratch);
    return number_of(edges, utf8_cut(view_service(resource, &edges->scratch), NAME_BYTES_MAX));
}

static uint32_t service_of(struct edges *edges, const struct row *row)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    struct cached *cached = cached_of(edges->resources, epoch, row->resource);

    if (!is_cached(cached, epoch, row->resource))
        *cached = (struct cached){ epoch, row->resource, service_find(edges, epoch_text(epoch, row->resource)) };
    return cached->value;
}

static uint32_t remote_find(struct edges *edges, struct str name)
{
    struct buf clean;

    if (!name.len)
        return NONE;
    name = utf8_cut(name, NAME_BYTES_MAX);
    if (utf8_valid(name.ptr, name.len))
        return number_of(edges, name);
    buf_init(&clean, 3 * NAME_BYTES_MAX);
    utf8_sanitize(&clean, name);
    uint32_t number = number_of(edges, utf8_cut(buf_str(&clean), NAME_BYTES_MAX));
    buf_fini(&clean);
    return number;
}

/* When there are several, the last one counts: that of an endpoint stands behind a tag of this name. */
static uint32_t peer_find(const struct epoch *epoch, const struct shape *shape)
{
    for (uint32_t i = shape->n; i > 0; i--)
        if (shape->attrs[i - 1].type == VALUE_STRING && str_eq(epoch_text(epoch, shape->attrs[i - 1].key), STR("peer.service")))
            return i;
    return 0;
}

static uint32_t peer_in_shape(struct edges *edges, const struct epoch *epoch, uint32_t shape)
{
    struct cached *cached = cached_of(edges->shapes, epoch, shape);

    if (!is_cached(cached, epoch, shape))
        *cached = (struct cached){ epoch, shape, peer_find(epoch, epoch_shape(epoch, shape)) };
    return cached->value;
}

static uint32_t remote_of(struct edges *edges, const struct row *row)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    struct row_cursor cursor;
    struct row_value value;
    uint32_t place = peer_in_shape(edges, epoch, row->shape);

    if (!place)
        return NONE;
    row_values(row, epoch, &cursor);
    while (cursor.i < place && row_next_value(&cursor, &value))
        ;
    if (!value.is_symbol)
        return remote_find(edges, value.bytes);
    struct cached *cached = cached_of(edges->remotes, epoch, value.symbol);
    if (!is_cached(cached, epoch, value.symbol))
        *cached = (struct cached){ epoch, value.symbol, remote_find(edges, epoch_text(epoch, value.symbol)) };
    return cached->value;
}

/* --- rows to spans ---------------------------------------------------------------------------------- */

static void begin_ids(struct edges *edges, uint32_t n)
{
    size_t room = 64;

    while (room < (size_t)n * 2)
        room *= 2;
    if (room > edges->ids_room) {
        edges->ids = mem_grow(edges->ids, room * sizeof *edges->ids);
        edges->ids_room = room;
    }
    edges->ids_used = room;
    memset(edges->ids, 0, room * sizeof *edges->ids);
}

/* hash_bytes of eight bytes would cost as much as everything else here. */
static uint64_t hash_id(const struct edges *edges, uint64_t id)
{
    unsigned __int128 product = (unsigned __int128)(id ^ edges->seeds[0]) * edges->seeds[1];

    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static uint32_t *place_of(const struct edges *edges, uint64_t id)
{
    size_t mask = edges->ids_used - 1;

    for (size_t i = hash_id(edges, id) & mask;; i = (i + 1) & mask)
        if (!edges->ids[i] || edges->nodes.at[edges->ids[i] - 1].id == id)
            return &edges->ids[i];
}

/* Copies are equal in every field, pieces, as Zipkin merges them, in what is known of both. */
static bool is_same_span(const struct node *a, const struct node *b)
{
    return (a->service == b->service || a->service == NONE || b->service == NONE) &&
           (a->kind == b->kind || a->kind == SPAN_UNSPECIFIED || b->kind == SPAN_UNSPECIFIED);
}

static void join(struct edges *edges, struct node *into, const struct node *piece)
{
    if (into->service == NONE)
        into->service = piece->service;
    if (into->kind == SPAN_UNSPECIFIED)
        into->kind = piece->kind;
    into->is_error |= piece->is_error;
    if (row_is_root(into->row))
        into->row = piece->row;
    if (remote_of(edges, into->peer) == NONE)
        into->peer = piece->peer;
}

/* Its id has been seen: it is one of those spans, or one more of this id. */
static void add_twin(struct edges *edges, uint32_t first, const struct node *node)
{
    unsigned n = 0;

    for (uint32_t i = first; i != NONE; i = edges->nodes.at[i].twin, n++)
        if (is_same_span(&edges->nodes.at[i], node)) {
            join(edges, &edges->nodes.at[i], node);
            return;
        }
    if (n == TWINS_MAX)
        return;
    edges->has_twins = true;
    uint32_t next = edges->nodes.at[first].twin;
    edges->nodes.at[first].twin = (uint32_t)edges->nodes.n;
    VEC_PUSH(&edges->nodes, *node);
    edges->nodes.at[edges->nodes.n - 1].twin = next;
}

static void take_spans(struct edges *edges, const struct fragment *fragment)
{
    const struct row *row = fragment->last;

    begin_ids(edges, fragment->n);
    edges->has_twins = false;
    VEC_CLEAR(&edges->nodes);
    VEC_RESERVE(&edges->nodes, fragment->n);
    for (uint32_t i = 0; i < fragment->n; i++, row = row->prev) {
        struct node node = { .id = get_le64(row->span_id), .row = row, .peer = row, .service = service_of(edges, row),
                             .parent = NONE, .twin = NONE, .kind = row->kind, .is_error = row->status == STATUS_ERROR };
        uint32_t *place = place_of(edges, node.id);
        if (*place) {
            add_twin(edges, *place - 1, &node);
            continue;
        }
        VEC_PUSH(&edges->nodes, node);
        *place = (uint32_t)edges->nodes.n;
    }
}

/* --- parents ---------------------------------------------------------------------------------------- */

static uint32_t client_half(const struct edges *edges, const struct node *server)
{
    uint32_t i = *place_of(edges, server->id) - 1;

    while (i != NONE && edges->nodes.at[i].kind != SPAN_CLIENT)
        i = edges->nodes.at[i].twin;
    return i;
}

/* Of the spans of one id the parent is the one that serves in the child's service, else the client, as in Zipkin's tree, else
 * the one that came last. */
static uint32_t half_for(const struct edges *edges, uint32_t first, uint32_t service)
{
    uint32_t best = first, best_rank = 0;

    for (uint32_t i = first; i != NONE; i = edges->nodes.at[i].twin) {
        const struct node *node = &edges->nodes.at[i];
        uint32_t rank = node->kind == SPAN_CLIENT ? 2 : service != NONE && node->service == service ? 3 : 1;
        if (rank > best_rank) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}

static uint32_t parent_of(const struct edges *edges, const struct node *node)
{
    uint64_t id = get_le64(node->row->parent_id);
    uint32_t found = NONE;

    if (edges->has_twins && node->kind == SPAN_SERVER)
        found = client_half(edges, node);
    if (found != NONE || id == 0 || id == node->id)
        return found;
    found = *place_of(edges, id);
    return found ? half_for(edges, found - 1, node->service) : NONE;
}

static void find_parents(struct edges *edges)
{
    for (size_t i = 0; i < edges->nodes.n; i++) {
        struct node *node = &edges->nodes.at[i];
        node->parent = parent_of(edges, node);
        if (node->parent != NONE)
            edges->nodes.at[node->parent].has_child = true;
    }
}

/* The service of the nearest other ancestor that has one. */
static uint32_t ancestor_of(const struct edges *edges, const struct node *node)
{
    const struct node *at = node;

    for (unsigned n = 0; n <= CLIMB_MAX && at->parent != NONE; n++) {
        at = &edges->nodes.at[at->parent];
        if (at == node)
            return NONE;
        if (at->service != NONE)
            return at->service;
    }
    return NONE;
}

/* --- counting --------------------------------------------------------------------------------------- */

static size_t index_of(struct edges *edges, struct count one)
{
    bool is_new;
    void **slot;

    if (edges->list.n >= EDGES_MAX && !map_find(&edges->counts, str_n(&one, 12)))
        one.parent = one.child = number_of(edges, other);
    slot = map_put(&edges->counts, str_n(&one, 12), &is_new);
    if (is_new) {
        VEC_PUSH(&edges->list, one);
        *slot = (void *)(uintptr_t)edges->list.n;
    }
    return (uintptr_t)*slot - 1;
}

static void count(struct edges *edges, const struct node *node, uint32_t parent, uint32_t child, bool is_error)
{
    struct count one = { node->row->wall_s / 60, parent, child, 0, 0 };
    uint32_t *recent = &edges->recent[(one.minute + parent * 31 + child * 17) % CACHE];

    if (parent == NONE || child == NONE)
        return;
    if (!*recent || memcmp(&edges->list.at[*recent - 1], &one, 12) != 0)
        *recent = (uint32_t)index_of(edges, one) + 1;
    struct count *at = &edges->list.at[*recent - 1];
    at->calls++;
    at->errors += is_error;
}

/* A client that failed fails the call that its child serves, but for one that shares its id, as Zipkin's DependencyLinker counts. */
static bool is_failed(const struct edges *edges, const struct node *node)
{
    if (node->is_error || node->kind != SPAN_SERVER || node->parent == NONE)
        return node->is_error;
    const struct node *parent = &edges->nodes.at[node->parent];
    return parent->kind == SPAN_CLIENT && parent->is_error && parent->id != node->id;
}

/* Whom the span names that will not tell of it by a span of its own. */
static uint32_t callee_of(struct edges *edges, const struct node *node)
{
    bool is_leaf = !node->has_child && (node->kind == SPAN_CLIENT || node->kind == SPAN_UNSPECIFIED);

    return is_leaf || node->kind == SPAN_PRODUCER ? remote_of(edges, node->peer) : NONE;
}

static uint32_t caller_named(struct edges *edges, const struct node *node, uint32_t ancestor)
{
    bool is_asked = node->kind == SPAN_CONSUMER || (node->kind == SPAN_SERVER && ancestor == NONE);
    uint32_t remote = is_asked ? remote_of(edges, node->peer) : NONE;

    return remote == NONE ? ancestor : remote;
}

static void link_span(struct edges *edges, const struct node *node)
{
    uint32_t own = node->service, ancestor = ancestor_of(edges, node), callee = callee_of(edges, node);
    bool is_error = is_failed(edges, node);
    bool makes_call = callee != NONE || node->kind == SPAN_CLIENT || node->kind == SPAN_PRODUCER;

    count(edges, node, own == NONE && node->kind == SPAN_CLIENT ? ancestor : own, callee, is_error);
    /* The error of who makes a call is of that call, not of the one that led to it. */
    count(edges, node, caller_named(edges, node, ancestor), own, is_error && !makes_call);
}

void edges_add(struct edges *edges, const struct fragment *fragment)
{
    take_spans(edges, fragment);
    find_parents(edges);
    for (size_t i = 0; i < edges->nodes.n; i++)
        link_span(edges, &edges->nodes.at[i]);
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
