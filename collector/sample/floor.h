/* floor.h - what is always kept, within a budget: errors, the slowest of each operation, the first of a new operation.
 *
 * Budget: a bucket of traces/s (burst 10 s) and bytes a day (UTC, by log time). Errors may use all of it; slow and new ones only what leaves
 * half of the bucket, and of the day, to errors. Within a kind the budget is shared: each operation (service and name of the entry span) has a
 * share by max-min fairness, of traces over the last minute and of bytes over the day, so that one noisy operation never starves rare ones:
 * an operation below its fair share is granted before one above it. One above it has only the upper half of the
 * bucket, and of the day's bytes a half and as much of the other as the day has passed.
 * New: the first trace of an operation that could be kept. One that a drop policy or a class drops for good leaves the next one the first.
 * Slow: the duration is above the operation's 99th percentile of the last minutes (a decaying sketch), and at least 20 traces were seen.
 * Operations are followed up to 10,000, the least recently seen forgotten.
 *
 * One thread, time given, deterministic. */
#pragma once
#include "base/buf.h"
#include "base/str.h"

enum floor_kind { FLOOR_ERROR, FLOOR_SLOW, FLOOR_NEW, FLOOR_KINDS, FLOOR_NOT = FLOOR_KINDS };
struct floor;
enum floor_wish { FLOOR_ASKS, FLOOR_IS_KEPT, FLOOR_IS_DROPPED }; /* the last two whatever the floor says: it learns from them and grants nothing */
struct floor_ask {
    uint64_t operation;                   /* hash of service and name */
    uint64_t duration_ns, bytes, log_ns;
    bool has_error, is_whole;             /* whole: it has its root */
    enum floor_wish wish;
};
struct floor *floor_new(void);
void floor_free(struct floor **floor);
void floor_limit(struct floor *floor, double traces_per_second, uint64_t bytes_per_day);
/* Every decided trace is told to it, once (its durations are what "slow" is measured against). The kind it is kept for; FLOOR_NOT: none, or
 * over the budget, which is counted. */
enum floor_kind floor_decide(struct floor *floor, const struct floor_ask *ask);
void floor_know(struct floor *floor, uint64_t operation); /* not new any more */
struct floor_stats { uint64_t refused[FLOOR_KINDS], bytes_today, operations; };
void floor_stat(const struct floor *floor, struct floor_stats *out);
/* What a restart must keep, at most 1 KiB: the day's bytes, the operations that had much of them, and the level of the bucket, as of the log time
 * that goes on after it. load: also the shorter bytes of older versions, whose bucket is full; bad bytes are ignored. */
void floor_save(const struct floor *floor, struct buf *out);
void floor_load(struct floor *floor, struct str bytes);
