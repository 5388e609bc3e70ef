/* trace_table.c - linear probing over (fingerprint, record) pairs, deleted by shifting back, so that a table
 * that lives for months needs no tombstones. Records come from chunks of 256; a chunk is never moved, so pointers
 * to records stay good; the table gives its memory back when it has become almost empty. */
#include "live/trace_table.h"
#include "base/map.h"
#include "base/mem.h"

enum { CHUNK_TRACES = 256, SLOTS_MIN = 256 };

struct slot { uint64_t fingerprint; struct trace *trace; };
struct chunk { struct chunk *next; struct trace traces[CHUNK_TRACES]; };

struct trace_table {
    struct slot *slots;
    size_t room, used;      /* slots; distinct ids */
    size_t records, chunks;
    struct trace *free;
    struct chunk *first;
    uint64_t seed;
};

struct trace_table *trace_table_new(void)
{
    struct trace_table *table = MEM_NEW(struct trace_table);

    table->seed = hash_seed();
    table->room = SLOTS_MIN;
    table->slots = mem_zero(table->room, sizeof *table->slots);
    return table;
}

static void free_chunks(struct trace_table *table)
{
    for (struct chunk *chunk = table->first, *next; chunk; chunk = next) {
        next = chunk->next;
        mem_free(chunk);
    }
    table->first = NULL;
    table->free = NULL;
    table->chunks = 0;
}

void trace_table_free(struct trace_table **table)
{
    if (!*table)
        return;
    free_chunks(*table);
    mem_free((*table)->slots);
    mem_free(*table);
    *table = NULL;
}

/* Trace ids are random as a rule, but peers choose them: mixing with a seed keeps probes short. */
static uint64_t fingerprint_of(const struct trace_table *table, const uint8_t id[16])
{
    uint64_t low = get_le64(id), high = get_le64(id + 8);
    __uint128_t product = (__uint128_t)(low ^ table->seed) * (high ^ 0x9e3779b97f4a7c15u);
    uint64_t mixed = (uint64_t)product ^ (uint64_t)(product >> 64);

    return (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9u | 1;
}

static struct slot *probe(const struct trace_table *table, uint64_t fingerprint, const uint8_t id[16])
{
    size_t mask = table->room - 1;

    for (size_t i = (fingerprint >> 20) & mask;; i = (i + 1) & mask) {
        struct slot *slot = &table->slots[i];
        if (!slot->trace ||
            (slot->fingerprint == fingerprint && memcmp(slot->trace->id, id, 16) == 0))
            return slot;
    }
}

static void resize(struct trace_table *table, size_t room)
{
    struct slot *old = table->slots;
    size_t old_room = table->room;

    table->slots = mem_zero(room, sizeof *table->slots);
    table->room = room;
    for (size_t i = 0; i < old_room; i++)
        if (old[i].trace)
            *probe(table, old[i].fingerprint, old[i].trace->id) = old[i];
    mem_free(old);
}

struct trace *trace_find(const struct trace_table *table, const uint8_t id[16])
{
    return probe(table, fingerprint_of(table, id), id)->trace;
}

void trace_prefetch(const struct trace_table *table, const uint8_t id[16])
{
    __builtin_prefetch(&table->slots[(fingerprint_of(table, id) >> 20) & (table->room - 1)]);
}

static struct trace *take_record(struct trace_table *table)
{
    struct trace *trace = table->free;

    if (!trace) {
        struct chunk *chunk = mem_alloc(sizeof *chunk);
        chunk->next = table->first;
        table->first = chunk;
        table->chunks++;
        for (size_t i = 0; i < CHUNK_TRACES; i++) {
            chunk->traces[i].older = table->free;
            table->free = &chunk->traces[i];
        }
        trace = table->free;
    }
    table->free = trace->older;
    *trace = (struct trace){ 0 };
    table->records++;
    return trace;
}

struct trace *trace_add(struct trace_table *table, const uint8_t id[16])
{
    uint64_t fingerprint = fingerprint_of(table, id);
    struct trace *trace = take_record(table);
    struct slot *slot;

    memcpy(trace->id, id, 16);
    slot = probe(table, fingerprint, id);
    trace->older = slot->trace;
    if (!slot->trace)
        table->used++;
    *slot = (struct slot){ fingerprint, trace };
    if (table->used > table->room / 2)
        resize(table, table->room * 2);
    return trace;
}

/* Closes the hole by moving back every later entry of the run that may stand here. */
static void remove_slot(struct trace_table *table, struct slot *slot)
{
    size_t mask = table->room - 1, hole = (size_t)(slot - table->slots);

    for (size_t i = (hole + 1) & mask; table->slots[i].trace; i = (i + 1) & mask) {
        size_t home = (table->slots[i].fingerprint >> 20) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = (struct slot){ 0 };
    table->used--;
}

void trace_remove(struct trace_table *table, struct trace *trace)
{
    struct slot *slot = probe(table, fingerprint_of(table, trace->id), trace->id);
    struct trace **at = &slot->trace;

    while (*at != trace)
        at = &(*at)->older;
    *at = trace->older;
    if (!slot->trace)
        remove_slot(table, slot);
    trace->older = table->free;
    table->free = trace;
    table->records--;
    if (table->records == 0 && table->chunks > 4) { /* idle: the memory of the last rush goes */
        free_chunks(table);
        resize(table, SLOTS_MIN);
    }
}

size_t trace_count(const struct trace_table *table)
{
    return table->records;
}

size_t trace_table_bytes(const struct trace_table *table)
{
    return table->room * sizeof *table->slots + table->chunks * sizeof(struct chunk);
}
