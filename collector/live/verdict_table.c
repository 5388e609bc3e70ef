/* verdict_table.c - two hash sets with linear probing; nothing is ever removed but a whole generation. */
#include "live/verdict_table.h"
#include "base/mem.h"
#include "base/str.h"

struct entry { uint64_t hash, outcome; }; /* outcome 0: free */
struct generation { struct entry *at; size_t room, used; }; /* room: a power of two, or 0 */

enum { ROOM_MIN = 256, BYTES_MIN = 64 << 10 };

struct verdict_table {
    struct generation young, old;
    size_t room_max;    /* entries of a generation: a power of two */
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

    verdict_table_limit(table, bytes_max);
    return table;
}

void verdict_table_free(struct verdict_table **table)
{
    if (!*table)
        return;
    mem_free((*table)->young.at);
    mem_free((*table)->old.at);
    mem_free(*table);
    *table = NULL;
}

/* The hash is XXH3's: any of its bits will do, but ids of a peer's choice must not cluster: the high ones. */
static struct entry *probe(const struct generation *generation, uint64_t hash)
{
    size_t mask = generation->room - 1;

    for (size_t i = (hash >> 24) & mask;; i = (i + 1) & mask)
        if (generation->at[i].outcome == 0 || generation->at[i].hash == hash)
            return &generation->at[i];
}

static const struct entry *find(const struct generation *generation, uint64_t hash)
{
    return generation->room ? probe(generation, hash) : NULL;
}

uint64_t verdict_find(const struct verdict_table *table, uint64_t hash)
{
    const struct entry *entry = find(&table->young, hash);

    if (entry && entry->outcome)
        return entry->outcome;
    entry = find(&table->old, hash);
    return entry ? entry->outcome : 0;
}

static bool is_full(const struct generation *generation)
{
    return generation->used >= generation->room - generation->room / 4;
}

static void grow(struct generation *generation)
{
    struct generation more = { .room = generation->room ? generation->room * 2 : ROOM_MIN, .used = generation->used };

    more.at = mem_zero(more.room, sizeof *more.at);
    for (size_t i = 0; i < generation->room; i++)
        if (generation->at[i].outcome)
            *probe(&more, generation->at[i].hash) = generation->at[i];
    mem_free(generation->at);
    *generation = more;
}

static void add(struct generation *generation, uint64_t hash, uint64_t outcome)
{
    struct entry *entry = probe(generation, hash);

    generation->used += entry->outcome == 0;
    *entry = (struct entry){ hash, outcome };
}

static bool has_room(struct verdict_table *table, struct generation *generation)
{
    if (generation->room == 0 || (is_full(generation) && generation->room < table->room_max))
        grow(generation);
    return !is_full(generation);
}

void verdict_put(struct verdict_table *table, uint64_t hash, uint64_t outcome)
{
    if (!has_room(table, &table->young)) {
        mem_free(table->old.at);
        table->old = table->young;
        table->young = (struct generation){ 0 };
        grow(&table->young);
    }
    add(&table->young, hash, outcome);
}

/* What is read back goes to the older generation, so that what comes next does not push it out at once, nor twice. */
bool verdict_put_old(struct verdict_table *table, uint64_t hash, uint64_t outcome)
{
    if (verdict_find(table, hash))
        return true;
    if (!has_room(table, &table->old))
        return false;
    add(&table->old, hash, outcome);
    return true;
}

size_t verdict_count(const struct verdict_table *table)
{
    return table->young.used + table->old.used;
}

size_t verdict_bytes(const struct verdict_table *table)
{
    return (table->young.room + table->old.room) * sizeof(struct entry);
}
