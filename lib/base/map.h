/* map.h - hash map from bytes to a pointer-sized value. Keys are copied. Open addressing, grows.
 * For read-mostly tables (routes, catalogues, names); the hot trace table and the dictionaries have
 * their own layouts. Hashing is seeded per process, so peers cannot aim collisions. One thread. */
#pragma once
#include "base/str.h"

struct map {
    struct map_slot *slots;
    size_t n, room; /* entries; slots (power of two) */
};

void map_init(struct map *map); /* zeroed memory is fine too */
void map_fini(struct map *map); /* values are the caller's */
void **map_find(const struct map *map, struct str key);           /* NULL: absent */
void **map_put(struct map *map, struct str key, bool *is_new);    /* finds or adds (value NULL) */
bool map_remove(struct map *map, struct str key, void **value);   /* value may be NULL */
/* Iteration in no order: `for (size_t i = 0; map_next(map, &i, &key, &value);)`. No changes meanwhile. */
bool map_next(const struct map *map, size_t *at, struct str *key, void **value);

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed); /* fast, not cryptographic */
uint64_t hash_seed(void);                                          /* random per process */
