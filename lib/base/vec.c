/* vec.c - growth of the typed arrays: doubling, so that n pushes copy O(n) items in all. */
#include "base/vec.h"

#include <stdint.h>

#define ROOM_MIN 8

void vec_grow(void **at, size_t *room, size_t need, size_t item_bytes)
{
    size_t bytes, grown = *room > SIZE_MAX / 2 ? SIZE_MAX : *room * 2;

    if (grown < ROOM_MIN)
        grown = ROOM_MIN;
    if (grown < need)
        grown = need;
    if (__builtin_mul_overflow(grown, item_bytes, &bytes))
        bytes = SIZE_MAX; /* mem_grow refuses this, which ends the process as every lack does. */
    *at = mem_grow(*at, bytes);
    *room = grown;
}
