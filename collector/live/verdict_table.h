/* verdict_table.h - what was decided about traces whose rows have gone: late rows follow it (collector/README.md R6).
 *
 * From trace_hash to the outcome's word, 16 bytes an entry, two generations of at most half of `bytes_max` each: when the younger is
 * full the older one is forgotten and their roles change. Memory grows with what is put, so that an idle collector holds next
 * to nothing, and no call does more than a shard's work (4,096 entries), however large the table. Live thread only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verdict_table;
struct verdict_table *verdict_table_new(size_t bytes_max); /* at least 64 KiB */
void verdict_table_free(struct verdict_table **table);
/* A higher one holds for generations that begin later; by a lower one the younger is full at once if it holds more. */
void verdict_table_limit(struct verdict_table *table, size_t bytes_max);
uint64_t verdict_find(const struct verdict_table *table, uint64_t hash); /* 0: not known */
void verdict_put(struct verdict_table *table, uint64_t hash, uint64_t outcome); /* outcome not 0; replaces */
/* At start, newest first: never replaces, and is not put when the table would forget for it. False: full. */
bool verdict_put_old(struct verdict_table *table, uint64_t hash, uint64_t outcome);
size_t verdict_count(const struct verdict_table *table);
