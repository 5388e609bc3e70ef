/* trim.c - free memory that was given back still counts as free for malloc. So what counts here is how much more is free than was at
 * the last time, or than was at its least since. */
#include "program/trim.h"

#include <malloc.h>
#include "base/err.h"

enum { TICKS = 10 };
#define WORTH_BYTES ((size_t)32 << 20) /* touching it again costs, and looking for it holds up who allocates */

bool trim_is_due(struct trim *trim, size_t free_bytes)
{
    size_t stayed_free = MG_MIN(trim->last, free_bytes);

    trim->floor = MG_MIN(trim->floor, free_bytes);
    trim->last = free_bytes;
    if (stayed_free < trim->floor + WORTH_BYTES)
        return false;
    trim->floor = free_bytes;
    return true;
}

void trim_tick(struct trim *trim)
{
    if (++trim->n_ticks < TICKS)
        return;
    trim->n_ticks = 0;
    if (trim_is_due(trim, mallinfo2().fordblks))
        (void)malloc_trim(0);
}
