/* best.h - the newest traces among many hits: at most `limit`, each with its latest start. Private
 * to query.
 *
 * A trace that was pushed out need not be remembered: it comes back by a later hit only if that one
 * is newer than the oldest kept, and then that one counts. So memory is `limit` traces, however
 * many hits. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct best_trace {
    uint8_t id[16];
    uint64_t start_ns; /* latest start of a matching span so far */
    size_t at;         /* best's own */
};

struct best;
struct best *best_new(size_t limit); /* limit > 0 */
void best_free(struct best **best);
/* False: a hit with this start changes nothing, whatever trace it is of. */
bool best_wants(const struct best *best, uint64_t start_ns);
void best_offer(struct best *best, const uint8_t id[16], uint64_t start_ns);
/* Newest first, then by id; no offers afterwards. Valid until best_free. */
size_t best_sorted(struct best *best, struct best_trace *const **out);
