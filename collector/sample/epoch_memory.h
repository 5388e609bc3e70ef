/* epoch_memory.h - what is remembered about epochs without a reference to them; private to sample. One thread.
 *
 * epoch_memory says which of EPOCH_MEMORIES places an epoch's memory has: an epoch is known by its serial, as a pointer comes back once its
 * epoch has gone, and the least recently used place is given to a new one. What lies at a place is the owner's, who clears it when told to.
 *
 * symbol_table remembers one value for a number made of symbols. It grows up to a size, and beyond that forgets all and begins anew:
 * what is in it can always be found out again. */
#pragma once
#include "base/mem.h"
#include "row/epoch.h"

#define EPOCH_MEMORIES 64

struct epoch_memory { uint64_t serials[EPOCH_MEMORIES], used[EPOCH_MEMORIES], clock; size_t last; }; /* all zero: none yet */
size_t epoch_memory_find(struct epoch_memory *memory, uint64_t serial, bool *is_new);
/* The place of the epoch's memory. *is_new: it had none; what another has left there must be forgotten. */
static inline size_t epoch_memory_place(struct epoch_memory *memory, const struct epoch *epoch, bool *is_new)
{
    uint64_t serial = epoch_serial(epoch);

    *is_new = false;
    if (memory->serials[memory->last] == serial)
        return memory->last;
    return epoch_memory_find(memory, serial, is_new);
}

struct symbol_table {
    uint64_t *keys;        /* open addressing, at most half full; 0: the slot is empty */
    void *values;          /* of the same number of slots */
    size_t n, room;
};
struct symbol_table_size { size_t value_bytes, first, most; }; /* slots: powers of two */
void symbol_table_fini(struct symbol_table *table); /* empty again */
/* A place for a key that is not there, filled by the caller: good until the next one. */
void *symbol_table_add(struct symbol_table *table, uint64_t key, const struct symbol_table_size *size);

static inline size_t symbol_table_slot(const struct symbol_table *table, uint64_t key)
{
    size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (table->room - 1);

    while (table->keys[at] && table->keys[at] != key)
        at = (at + 1) & (table->room - 1);
    return at;
}

/* The value of a key, which is not 0; NULL: not there. Good until the next one is added. */
static inline void *symbol_table_find(const struct symbol_table *table, uint64_t key, size_t value_bytes)
{
    if (table->room == 0)
        return NULL;
    size_t at = symbol_table_slot(table, key);
    return table->keys[at] ? (char *)table->values + at * value_bytes : NULL;
}
