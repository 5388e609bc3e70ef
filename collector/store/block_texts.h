/* block_texts.h - one numbering for the byte strings of all epochs in a block, private to the
 * builder.
 *
 * Numbers are from 1; 0 is the empty string. Equal symbols, of whichever epoch, have one number.
 * Texts are borrowed from epochs and rows until texts_clear. */
#pragma once
#include "base/vec.h"
#include "row/segment.h"

struct text {
    struct str bytes;
    uint64_t hash;         /* 0 for bytes that stood in a row: not looked for */
    uint32_t string, blob; /* numbers in the block; 0: none yet */
    uint32_t
        nested; /* of the keys of attributes in events and links: its index there + 1; 0: is none */
};
/* What the symbols and shapes of one epoch are called here. The arrays are zero except where
 * touched, so that a new block costs what the last one used and not what the epoch could hold. */
struct epoch_map {
    const struct epoch *epoch; /* NULL: a spare with zeroed arrays */
    struct {
        uint32_t *at;
        size_t room;
        VEC(uint32_t) touched;
    } texts, shapes;
};
struct texts {
    VEC(struct text) list; /* number - 1 */
    struct {
        uint32_t *at;
        size_t room, n;
    } slots; /* hash to number; open addressing */
    VEC(struct epoch_map) epochs;
};

void texts_fini(struct texts *texts);
void texts_clear(struct texts *texts);
size_t texts_epoch(struct texts *texts, const struct epoch *epoch); /* index into epochs */
/* The slow half of texts_symbol, and the number of bytes that should be found again. */
uint32_t texts_learn(struct texts *texts, struct epoch_map *map, uint32_t symbol);
uint32_t texts_number(struct texts *texts, struct str bytes);
uint32_t texts_inline(struct texts *texts,
                      struct str bytes); /* not looked for: always a new number */
/* Room for `index` in one of a map's arrays, new places zero. */
void epoch_map_reach(uint32_t **at, size_t *room, size_t index);

static inline uint32_t texts_symbol(struct texts *texts, struct epoch_map *map, uint32_t symbol)
{
    if (symbol < map->texts.room && map->texts.at[symbol])
        return map->texts.at[symbol];
    return symbol ? texts_learn(texts, map, symbol) : 0;
}
