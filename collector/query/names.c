/* names.c - services and operations: the store's catalogue and the ring's rows.
 *
 * The store keeps its names; the ring has only rows, up to millions of them, of few different
 * names. A row's (epoch, resource, name, kind) decides its names, so each combination is looked at
 * once. A small table in front of the set of them, where a newer entry pushes an older one out,
 * answers for nearly all rows with one comparison; the set behind it costs a hash and is asked for
 * the rest. */
#include "query/private.h"

#include "base/map.h"

enum { RECENT = 4096 }; /* 96 KiB: stays in the cache beside the rows */
#define SCRATCH_BYTES 32768

struct combination {
    const struct epoch *epoch;
    uint32_t resource, name, kind, zero;
};
_Static_assert(sizeof(struct combination) == 24, "compared as bytes: no padding");

struct names {
    struct query *query;
    struct catalog *catalog;
    struct str service; /* NULL: services are wanted, their operations are not */
    struct map seen;    /* struct combination -> nothing */
    struct combination recent[RECENT];
};

static uint32_t kind_of(const struct row *row)
{
    return row->kind <= SPAN_CONSUMER
               ? row->kind
               : SPAN_UNSPECIFIED; /* numbers without a name, as the catalogue has it */
}

static size_t place_of(const struct combination *key)
{
    uint64_t mixed = ((uint64_t)key->resource << 32 ^ (uint64_t)key->kind << 28 ^ key->name ^
                      (uintptr_t)key->epoch) *
                     0x9e3779b97f4a7c15u;

    return (size_t)(mixed >> 52); /* RECENT is 2^12 */
}

static void add_names(struct names *names, const struct combination *key)
{
    struct arena *scratch = &names->query->scratch;
    struct str service = view_service(epoch_text(key->epoch, key->resource), scratch);

    if (!names->service.ptr)
        catalog_add(names->catalog, service, STR(""), SPAN_UNSPECIFIED);
    else if (str_eq(service, names->service))
        catalog_add(names->catalog, service,
                    view_operation(epoch_text(key->epoch, key->name), scratch), (int)key->kind);
    if (scratch->bytes > SCRATCH_BYTES)
        arena_reset(scratch);
}

static void look_at(struct names *names, const struct combination *key)
{
    struct combination *recent = &names->recent[place_of(key)];
    bool is_new;

    if (memcmp(recent, key, sizeof *key) == 0)
        return;
    *recent = *key;
    map_put(&names->seen, str_n(key, sizeof *key), &is_new);
    if (is_new)
        add_names(names, key);
}

static enum mg_err add_segment(struct names *names, struct segment *segment, struct mg_why *why)
{
    bool has_operations = names->service.ptr != NULL;
    const char *end;
    const struct row *row = segment_first(segment, &end);
    uint32_t n = 0;

    for (; (const char *)row < end; row = row_after(row)) {
        struct combination key = { segment->epoch, row->resource, has_operations ? row->name : 0,
                                   has_operations ? kind_of(row) : 0, 0 };
        if (n++ % QUERY_STEP_ROWS == 0)
            MG_TRY(query_step(names->query, why));
        look_at(names, &key);
    }
    return MG_OK;
}

/* All segments are held to the end: the address of an epoch is its identity here. */
static enum mg_err add_ring(struct names *names, struct mg_why *why)
{
    enum mg_err err = MG_OK;
    struct ring ring;

    ring_take(&ring, names->query->options->live);
    for (size_t i = 0; i < ring.n && err == MG_OK; i++)
        err = add_segment(names, ring.at[i], why);
    ring_let_go(&ring);
    arena_reset(&names->query->scratch);
    return err;
}

static enum mg_err gather(struct query *query, struct str service, struct catalog *catalog,
                          struct mg_why *why)
{
    struct names *names = MEM_NEW(struct names);
    enum mg_err err;

    names->query = query;
    names->catalog = catalog;
    names->service = service;
    err = add_ring(names, why);
    map_fini(&names->seen);
    mem_free(names);
    if (err != MG_OK)
        return err;
    store_catalog(query->options->store,
                  catalog); /* after the ring: what moves meanwhile is seen twice */
    return query_step(query, why);
}

enum mg_err query_services(struct query *query, struct str **out, size_t *n, struct mg_why *why)
{
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new();

    MG_TRY(gather(query, (struct str){ NULL, 0 }, catalog, why));
    *n = catalog_services(catalog, &query->own, out);
    return query_step(query, why);
}

enum mg_err query_operations(struct query *query, struct str service,
                             struct catalog_operation **out, size_t *n, struct mg_why *why)
{
    MG_AUTO(catalog_free) struct catalog *catalog = catalog_new();

    MG_TRY(gather(query, service.ptr ? service : STR(""), catalog, why));
    *n = catalog_operations(catalog, service, &query->own, out);
    return query_step(query, why);
}
