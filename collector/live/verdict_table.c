/* verdict_table.c - two generations, each of many small hash tables with linear probing; nothing is ever removed but a whole generation.
 *
 * Live's thread must not stop for a large table: so a generation is cut into shards by the hash, and a put that finds its shard full doubles
 * that one alone, 64 KiB at most. Nor is a forgotten generation given back at once: each later put frees one shard of it. */
#include "live/verdict_table.h"
#include "base/map.h"
#include "base/vec.h"

struct entry { uint64_t hash, outcome; }; /* outcome 0: free */
struct shard { struct entry *at; uint32_t room, used; }; /* room: a power of two, or 0 */
struct generation {
    struct shard *shards;
    size_t n;           /* of them: a power of two; 0: nothing was put yet */
    size_t shard_max;   /* entries of a shard: a power of two */
    size_t used;
};

enum { SHARD_MIN = 16, SHARD_BITS = 12, SHARD_MAX = 1 << SHARD_BITS, ROOM_MIN = 256, BYTES_MIN = 64 << 10 };

struct verdict_table {
    struct generation young, old;
    VEC(struct generation) forgotten; /* going shard by shard, from its end */
    size_t room_max;    /* entries of a generation: a power of two */
    uint64_t seed;
};

void verdict_table_limit(struct verdict_table *table, size_t bytes_max)
{
    size_t room = ROOM_MIN;

    while (room * 2 * sizeof(struct entry) <= MG_MAX(bytes_max, (size_t)BYTES_MIN) / 2)
        room *= 2;
    table->room_max = room;
}

struct verdict_table *verdict_table_new(size_t bytes_max)
{
    struct verdict_table *table = MEM_NEW(struct verdict_table);

    table->seed = hash_seed();
    verdict_table_limit(table, bytes_max);
    return table;
}

static void free_shard(struct generation *generation)
{
    mem_free(generation->shards[--generation->n].at);
    if (generation->n == 0)
        mem_free(generation->shards);
}

static void free_generation(struct generation *generation)
{
    while (generation->n > 0)
        free_shard(generation);
}

void verdict_table_free(struct verdict_table **table)
{
    if (!*table)
        return;
    free_generation(&(*table)->young);
    free_generation(&(*table)->old);
    for (size_t i = 0; i < (*table)->forgotten.n; i++)
        free_generation(&(*table)->forgotten.at[i]);
    VEC_FINI(&(*table)->forgotten);
    mem_free(*table);
    *table = NULL;
}

/* The ids are of a peer's choice and their hash is known to all: without a secret they could be chosen to meet in one place. */
static uint64_t place_of(const struct verdict_table *table, uint64_t hash)
{
    return hash_bytes(&hash, sizeof hash, table->seed);
}

/* The lowest bits tell the place in a shard. */
static struct shard *shard_of(const struct generation *generation, uint64_t place)
{
    return &generation->shards[(place >> SHARD_BITS) & (generation->n - 1)];
}

static struct entry *probe(const struct shard *shard, uint64_t place, uint64_t hash)
{
    size_t mask = shard->room - 1;

    for (size_t i = place & mask;; i = (i + 1) & mask)
        if (shard->at[i].outcome == 0 || shard->at[i].hash == hash)
            return &shard->at[i];
}

/* NULL: not there. */
static struct entry *find(const struct generation *generation, uint64_t place, uint64_t hash)
{
    const struct shard *shard = generation->n ? shard_of(generation, place) : NULL;
    struct entry *entry = shard && shard->room ? probe(shard, place, hash) : NULL;

    return entry && entry->outcome ? entry : NULL;
}

uint64_t verdict_find(const struct verdict_table *table, uint64_t hash)
{
    uint64_t place = place_of(table, hash);
    const struct entry *entry = find(&table->young, place, hash);

    if (!entry)
        entry = find(&table->old, place, hash);
    return entry ? entry->outcome : 0;
}

static void grow(const struct verdict_table *table, struct shard *shard)
{
    struct shard more = { .room = shard->room ? shard->room * 2 : SHARD_MIN, .used = shard->used };

    more.at = mem_zero(more.room, sizeof *more.at);
    for (size_t i = 0; i < shard->room; i++)
        if (shard->at[i].outcome)
            *probe(&more, place_of(table, shard->at[i].hash), shard->at[i].hash) = shard->at[i];
    mem_free(shard->at);
    *shard = more;
}

static void begin(const struct verdict_table *table, struct generation *generation)
{
    generation->shard_max = MG_MIN(table->room_max, (size_t)SHARD_MAX);
    generation->n = table->room_max / generation->shard_max;
    generation->shards = mem_zero(generation->n, sizeof *generation->shards);
}

/* Adds what it does not have. False: it is full, as a whole, or, what chance hardly ever makes, where this one belongs. */
static bool add(const struct verdict_table *table, struct generation *generation, uint64_t place, uint64_t hash, uint64_t outcome)
{
    struct shard *shard;

    if (generation->n == 0)
        begin(table, generation);
    shard = shard_of(generation, place);
    if (generation->used >= MG_MIN(generation->n * generation->shard_max, table->room_max) / 4 * 3)
        return false;
    if (shard->used >= shard->room / 8 * 7 && shard->room == generation->shard_max)
        return false;
    if (shard->used >= shard->room / 4 * 3 && shard->room < generation->shard_max)
        grow(table, shard);
    *probe(shard, place, hash) = (struct entry){ hash, outcome };
    shard->used++;
    generation->used++;
    return true;
}

static void forget_some(struct verdict_table *table)
{
    size_t n = table->forgotten.n;

    if (n == 0)
        return;
    free_shard(&table->forgotten.at[n - 1]);
    if (table->forgotten.at[n - 1].n == 0)
        table->forgotten.n--;
}

static void turn(struct verdict_table *table)
{
    if (table->old.n > 0)
        VEC_PUSH(&table->forgotten, table->old);
    table->old = table->young;
    table->young = (struct generation){ 0 };
}

void verdict_put(struct verdict_table *table, uint64_t hash, uint64_t outcome)
{
    uint64_t place = place_of(table, hash);
    struct entry *entry = find(&table->young, place, hash);

    forget_some(table);
    if (entry) {
        entry->outcome = outcome;
        return;
    }
    if (add(table, &table->young, place, hash, outcome))
        return;
    turn(table);
    (void)add(table, &table->young, place, hash, outcome); /* an empty one has room */
}

/* What is read back goes to the older generation, so that what comes next does not push it out at once, nor twice. */
bool verdict_put_old(struct verdict_table *table, uint64_t hash, uint64_t outcome)
{
    return verdict_find(table, hash) || add(table, &table->old, place_of(table, hash), hash, outcome);
}

size_t verdict_count(const struct verdict_table *table)
{
    return table->young.used + table->old.used;
}
