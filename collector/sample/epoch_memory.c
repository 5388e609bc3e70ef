/* epoch_memory.c - see epoch_memory.h. Keys and values lie apart: a search reads keys alone. */
#include "sample/epoch_memory.h"

size_t epoch_memory_find(struct epoch_memory *memory, uint64_t serial, bool *is_new)
{
    size_t found = 0;

    for (size_t i = 0; i < EPOCH_MEMORIES; i++) {
        if (memory->serials[i] == serial) {
            found = i;
            break;
        }
        if (memory->used[i] < memory->used[found])
            found = i;
    }
    *is_new = memory->serials[found] != serial;
    memory->serials[found] = serial;
    memory->used[found] = ++memory->clock;
    memory->last = found;
    return found;
}

void symbol_table_fini(struct symbol_table *table)
{
    mem_free(table->keys);
    mem_free(table->values);
    *table = (struct symbol_table){ 0 };
}

static void grow(struct symbol_table *table, const struct symbol_table_size *size)
{
    struct symbol_table grown = { .n = table->n, .room = table->room ? table->room * 2 : size->first };

    grown.keys = mem_zero(grown.room, sizeof *grown.keys);
    grown.values = mem_zero(grown.room, size->value_bytes);
    for (size_t i = 0; i < table->room; i++) {
        if (!table->keys[i])
            continue;
        size_t at = symbol_table_slot(&grown, table->keys[i]);
        grown.keys[at] = table->keys[i];
        memcpy((char *)grown.values + at * size->value_bytes, (const char *)table->values + i * size->value_bytes, size->value_bytes);
    }
    symbol_table_fini(table);
    *table = grown;
}

static void make_room(struct symbol_table *table, const struct symbol_table_size *size)
{
    if ((table->n + 1) * 2 <= table->room)
        return;
    if (table->room < size->most) {
        grow(table, size);
        return;
    }
    memset(table->keys, 0, table->room * sizeof *table->keys);
    table->n = 0;
}

void *symbol_table_add(struct symbol_table *table, uint64_t key, const struct symbol_table_size *size)
{
    make_room(table, size);
    size_t at = symbol_table_slot(table, key);
    table->keys[at] = key;
    table->n++;
    return (char *)table->values + at * size->value_bytes;
}
