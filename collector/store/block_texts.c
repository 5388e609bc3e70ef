/* block_texts.c - one numbering for the byte strings of all epochs in a block.
 *
 * A row names its strings by symbols of its loop's epoch. The first time a symbol is met its bytes
 * are hashed and looked for, so that two loops' symbols for the same bytes meet; every other time
 * it is one array access. Hashes are seeded per process: symbols are peers' bytes. */
#include "store/block_texts.h"

#include "base/map.h"
#include "base/mem.h"

#define SPARE_EPOCHS 8 /* maps whose arrays are kept for the next block */

static void map_release(struct epoch_map *map)
{
    mem_free(map->texts.at);
    mem_free(map->shapes.at);
    VEC_FINI(&map->texts.touched);
    VEC_FINI(&map->shapes.touched);
}

void texts_fini(struct texts *texts)
{
    for (size_t i = 0; i < texts->epochs.n; i++)
        map_release(&texts->epochs.at[i]);
    VEC_FINI(&texts->epochs);
    VEC_FINI(&texts->list);
    mem_free(texts->slots.at);
    *texts = (struct texts){ 0 };
}

static void map_clear(struct epoch_map *map)
{
    for (size_t i = 0; i < map->texts.touched.n; i++)
        map->texts.at[map->texts.touched.at[i]] = 0;
    for (size_t i = 0; i < map->shapes.touched.n; i++)
        map->shapes.at[map->shapes.touched.at[i]] = 0;
    VEC_CLEAR(&map->texts.touched);
    VEC_CLEAR(&map->shapes.touched);
    map->epoch = NULL;
}

void texts_clear(struct texts *texts)
{
    for (size_t i = 0; i < texts->epochs.n; i++)
        map_clear(&texts->epochs.at[i]);
    while (texts->epochs.n > SPARE_EPOCHS)
        map_release(&VEC_POP(&texts->epochs));
    VEC_CLEAR(&texts->list);
    if (texts->slots.n)
        memset(texts->slots.at, 0, texts->slots.room * sizeof *texts->slots.at);
    texts->slots.n = 0;
}

size_t texts_epoch(struct texts *texts, const struct epoch *epoch)
{
    size_t i = 0;

    while (i < texts->epochs.n && texts->epochs.at[i].epoch && texts->epochs.at[i].epoch != epoch)
        i++;
    if (i == texts->epochs.n)
        (void)VEC_ADD(&texts->epochs);
    texts->epochs.at[i].epoch = epoch;
    return i;
}

void epoch_map_reach(uint32_t **at, size_t *room, size_t index)
{
    size_t old = *room, more = old ? old : 1024;

    if (index < old)
        return;
    while (more <= index)
        more *= 2;
    *at = mem_grow(*at, more * sizeof **at);
    memset(*at + old, 0, (more - old) * sizeof **at);
    *room = more;
}

static void slots_grow(struct texts *texts)
{
    size_t room = texts->slots.room ? texts->slots.room * 2 : 4096;

    mem_free(texts->slots.at);
    texts->slots.at = mem_zero(room, sizeof *texts->slots.at);
    texts->slots.room = room;
    for (size_t i = 0; i < texts->list.n; i++) {
        uint64_t hash = texts->list.at[i].hash;
        size_t slot = hash & (room - 1);
        if (!hash)
            continue;
        while (texts->slots.at[slot])
            slot = (slot + 1) & (room - 1);
        texts->slots.at[slot] = (uint32_t)(i + 1);
    }
}

static uint32_t texts_add(struct texts *texts, struct str bytes, uint64_t hash)
{
    VEC_PUSH(&texts->list, ((struct text){ .bytes = bytes, .hash = hash }));
    return (uint32_t)texts->list.n;
}

uint32_t texts_inline(struct texts *texts, struct str bytes)
{
    return bytes.len ? texts_add(texts, bytes, 0) : 0;
}

uint32_t texts_number(struct texts *texts, struct str bytes)
{
    if (bytes.len == 0)
        return 0;
    if (texts->slots.n * 2 >= texts->slots.room)
        slots_grow(texts);
    uint64_t hash = hash_bytes(bytes.ptr, bytes.len, hash_seed()) | 1;
    size_t mask = texts->slots.room - 1, slot = hash & mask;
    for (uint32_t number; (number = texts->slots.at[slot]) != 0; slot = (slot + 1) & mask) {
        const struct text *text = &texts->list.at[number - 1];
        if (text->hash == hash && str_eq(text->bytes, bytes))
            return number;
    }
    texts->slots.n++;
    return texts->slots.at[slot] = texts_add(texts, bytes, hash);
}

uint32_t texts_learn(struct texts *texts, struct epoch_map *map, uint32_t symbol)
{
    uint32_t number = texts_number(texts, epoch_text(map->epoch, symbol));

    epoch_map_reach(&map->texts.at, &map->texts.room, symbol);
    map->texts.at[symbol] = number;
    VEC_PUSH(&map->texts.touched, symbol);
    return number;
}
