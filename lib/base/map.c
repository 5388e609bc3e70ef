/* map.c - linear probing over a power of two of slots, at most three quarters full.
 *
 * A removal moves later members of the same run back (no tombstones), so a map that lives for weeks
 * does not slow down. Each slot keeps its hash: growing does not read the keys again, and a probe
 * compares keys only when all 64 bits agree.
 *
 * hash_bytes multiplies 64 by 64 bits and folds the halves, 16 bytes a step. Both factors of every
 * multiplication hold a secret that comes from the seed: with a public constant in one of them a
 * peer could choose input that makes it zero, which wipes out the other factor and with it the
 * seed. */
#include "base/map.h"

#include <assert.h>
#include <pthread.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"

#define ROOM_MIN 8

struct map_slot {
    uint64_t hash;
    char *key; /* owned; NULL: the slot is empty */
    size_t len;
    void *value;
};

void map_init(struct map *map)
{
    *map = (struct map){ 0 };
}

void map_fini(struct map *map)
{
    for (size_t i = 0; i < map->room; i++)
        mem_free(map->slots[i].key);
    mem_free(map->slots);
    *map = (struct map){ 0 };
}

/* The slot that holds the key, or the empty one where it would go. Needs one empty slot. */
static struct map_slot *slot_of(const struct map *map, struct str key, uint64_t hash)
{
    size_t mask = map->room - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->key)
            return slot;
        if (slot->hash == hash && str_eq(key, str_n(slot->key, slot->len)))
            return slot;
    }
}

static uint64_t hash_of(struct str key)
{
    return hash_bytes(key.ptr, key.len, hash_seed());
}

void **map_find(const struct map *map, struct str key)
{
    if (!map->n)
        return NULL;
    struct map_slot *slot = slot_of(map, key, hash_of(key));
    return slot->key ? &slot->value : NULL;
}

static void grow(struct map *map)
{
    struct map_slot *old = map->slots;
    size_t old_room = map->room, mask;

    map->room = old_room ? old_room * 2 : ROOM_MIN;
    map->slots = mem_zero(map->room, sizeof *map->slots);
    mask = map->room - 1;
    for (size_t i = 0; i < old_room; i++) {
        if (!old[i].key)
            continue;
        size_t to = old[i].hash & mask;
        while (map->slots[to].key)
            to = (to + 1) & mask;
        map->slots[to] = old[i];
    }
    mem_free(old);
}

void **map_put(struct map *map, struct str key, bool *is_new)
{
    uint64_t hash = hash_of(key);
    struct map_slot *slot = map->room ? slot_of(map, key, hash) : NULL;
    bool is_absent = !slot || !slot->key;

    if (is_new)
        *is_new = is_absent;
    if (!is_absent)
        return &slot->value;
    if (map->n + 1 > map->room / 4 * 3) {
        grow(map);
        slot = slot_of(map, key, hash);
    }
    *slot = (struct map_slot){ .hash = hash, .key = mem_copy(key.ptr, key.len), .len = key.len };
    map->n++;
    return &slot->value;
}

/* Fills the hole at `hole` with the next member of its run that may stand there, and so on. */
static void close_hole(struct map *map, size_t hole)
{
    size_t mask = map->room - 1;

    for (size_t i = (hole + 1) & mask; map->slots[i].key; i = (i + 1) & mask) {
        size_t home = map->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* Its home lies behind the hole: moved, it would not be found again. */
        map->slots[hole] = map->slots[i];
        hole = i;
    }
    map->slots[hole] = (struct map_slot){ 0 };
}

bool map_remove(struct map *map, struct str key, void **value)
{
    if (!map->n)
        return false;
    struct map_slot *slot = slot_of(map, key, hash_of(key));
    if (!slot->key)
        return false;
    if (value)
        *value = slot->value;
    mem_free(slot->key);
    map->n--;
    close_hole(map, (size_t)(slot - map->slots));
    return true;
}

bool map_next(const struct map *map, size_t *at, struct str *key, void **value)
{
    for (; *at < map->room; (*at)++) {
        const struct map_slot *slot = &map->slots[*at];
        if (!slot->key)
            continue;
        if (key)
            *key = str_n(slot->key, slot->len);
        if (value)
            *value = slot->value;
        (*at)++;
        return true;
    }
    return false;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Spreads every bit of the seed over the word. */
static uint64_t spread(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
    x = (x ^ (x >> 29)) * 0xa0761d6478bd642f;
    return x ^ (x >> 32);
}

/* All of up to 16 bytes in two words; overlapping reads cost less than a loop over the rest. */
static void read_short(const uint8_t *p, size_t len, uint64_t *a, uint64_t *b)
{
    if (len >= 8) {
        *a = get_le64(p);
        *b = get_le64(p + len - 8);
    } else if (len >= 4) {
        *a = get_le32(p);
        *b = get_le32(p + len - 4);
    } else if (len > 0) {
        *a = (uint64_t)p[0] << 16 | (uint64_t)p[len / 2] << 8 | p[len - 1];
        *b = 0;
    } else {
        *a = *b = 0;
    }
}

uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
    const uint8_t *p = bytes;
    uint64_t secret = spread(seed + 0x9e3779b97f4a7c15), chain = spread(secret ^ len);
    size_t left = len;
    uint64_t a, b;

    for (; left > 16; left -= 16, p += 16)
        chain = fold(get_le64(p) ^ secret, get_le64(p + 8) ^ chain) + secret;
    if (len > 16) {
        a = get_le64(p + left - 16);
        b = get_le64(p + left - 8);
    } else {
        read_short(p, left, &a, &b);
    }
    return spread(fold(a ^ secret, b ^ chain) ^ chain);
}

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;
static uint64_t process_seed;

static void seed_draw(void)
{
    random_bytes(&process_seed, sizeof process_seed);
}

uint64_t hash_seed(void)
{
    int status = pthread_once(&seed_once, seed_draw);

    assert(status == 0);
    (void)status;
    return process_seed;
}
