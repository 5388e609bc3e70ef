/* trim.h - memory that malloc keeps after a burst goes back to the system once it has stayed free: an arena gives back by itself only
 * what lies at its end. Main thread, about once a second. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct trim {             /* zeroed: new */
    unsigned n_ticks;
    size_t last, floor;   /* free bytes: when looked at last; given back already, or in use since */
};
void trim_tick(struct trim *trim);
/* The decision alone: `free_bytes` is what malloc has free now, looked at about every ten seconds. */
bool trim_is_due(struct trim *trim, size_t free_bytes);
