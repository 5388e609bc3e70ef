/* tally.h - the ledger by who decided: one line for each policy or class, and for each reason that has no name.
 *
 * Counted when a decision is applied, durable, in log order; so it is a function of a prefix of the log like every other
 * counter, and travels in the snapshot. Names, not numbers, so that it goes on when the rules change; one that is longer than a line holds
 * is cut between characters. When there are 1,000 lines, names that have none yet are counted under "…", each reason apart. Live thread. */
#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "live/live.h"

struct tally {
    struct store *store;        /* knows the names of all generations */
    /* Those of the last tally_rules and of the one before, whose decisions are still under way: their names are at hand. */
    struct { struct sample_rules *rules; uint32_t generation; } known[2];
    VEC(struct live_policy) lines;
    struct map by_key;          /* rules, policy and reason of an outcome: its line + 1 */
    bool is_changed;            /* since it was last cleared by its reader */
};
#define TALLY_KEYS_MAX 65536    /* then all are forgotten; lines stay */
void tally_init(struct tally *tally, struct store *store);
void tally_fini(struct tally *tally);
/* The rules in force; a reference is taken. */
void tally_rules(struct tally *tally, struct sample_rules *rules, uint32_t generation);
/* word: outcome.h, not 0. Reads the store for the first decision of each name of a generation that is not at hand. */
void tally_count(struct tally *tally, uint64_t word, uint32_t spans);
void tally_write(const struct tally *tally, struct buf *out); /* one entry of a snapshot */
void tally_read(struct tally *tally, struct str bytes);       /* malformed: what could be read */
