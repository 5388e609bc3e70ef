/* tally.h - the ledger by who decided: one line for each policy or class, and for each reason that has no name.
 *
 * Counted when a decision is applied, durable, in log order; so it is a function of a prefix of the log like every other
 * counter, and travels in the snapshot. Names, not numbers, so that it goes on when the rules change. At most 1,000 lines; what
 * comes after is counted under "…". Live thread. */
#pragma once
#include "base/vec.h"
#include "live/live.h"

struct tally {
    struct store *store;        /* knows the names of all generations */
    VEC(struct live_policy) lines;
    struct { uint32_t key, line; } recent[256]; /* by hash of the key: rules << 8 | policy, or the reason; line + 1 */
    uint8_t recent_reason[256];
    bool is_changed;            /* since it was last cleared by its reader */
};
void tally_init(struct tally *tally, struct store *store);
void tally_fini(struct tally *tally);
/* word: outcome.h, not 0. */
void tally_count(struct tally *tally, uint64_t word, uint32_t spans);
void tally_write(const struct tally *tally, struct buf *out); /* one entry of a snapshot */
void tally_read(struct tally *tally, struct str bytes);       /* malformed: what could be read */
