/* tracker.h - what of one partition is finished: offsets are given in rising order, finished in any, and the offset to commit is
 * the first one that is not finished. Offsets may have gaps (compaction, transactions). Pure; one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tracker_slot { int64_t offset; bool is_done; };
struct tracker {
    struct tracker_slot *slots;  /* a ring: from the first that is not finished on */
    size_t first, n, room;       /* room: a power of two */
    int64_t end;                 /* past the last one given; zeroed memory: nothing was given */
};
void tracker_fini(struct tracker *tracker);
/* False, and nothing is noted, when the offset is not above all given before: the partition begins again. */
bool tracker_give(struct tracker *tracker, int64_t offset);
/* False when it was not given or is finished. */
bool tracker_finish(struct tracker *tracker, int64_t offset);
/* The offset to commit; -1 before anything was given. */
int64_t tracker_next(const struct tracker *tracker);
/* Offsets it has to remember: from the first that is not finished to the last. */
size_t tracker_width(const struct tracker *tracker);
