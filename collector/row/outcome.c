/* outcome.c - see outcome.h. A rounded threshold is a run of f's and four digits, so its length and those digits are all of it:
 *
 *   fff9724 0000000   ->  3 | 9724
 *   ffffffffffff80    -> 12 | 8000       (digits beyond the fourteenth are zeros)
 *   OT_NEVER          -> 15 | ffff
 *
 * Several codes would read as one threshold (0 | ffff is 4 | 0000), so a code counts only when it is what its threshold gives. */
#include "row/outcome.h"

#include <assert.h>

enum {
    TRIGGER_SHIFT = 1,
    REASON_SHIFT = 4,
    ESTIMATE_SHIFT = 9,
    POLICY_SHIFT = 10,
    THRESHOLD_SHIFT = 18,
    RULES_SHIFT = 38,
    END_SHIFT = 62, /* zeros from here */

    CODE_NEVER = 0xfffff,
    DIGITS = 14,
    RULES_MAX = (1 << 24) - 1
};

static const char *const triggers[] = {
    [TRIGGER_ROOT] = "root", [TRIGGER_DEADLINE] = "deadline",       [TRIGGER_EARLY] = "early",
    [TRIGGER_LATE] = "late", [TRIGGER_FIRST_MATCH] = "first_match",
};
static const char *const reasons[] = {
    [REASON_NONE] = "",
    [REASON_NO_RULES] = "no_rules",
    [REASON_POLICY] = "policy",
    [REASON_NO_POLICY] = "no_policy",
    [REASON_DROP] = "drop",
    [REASON_INVERTED] = "inverted",
    [REASON_CLASS] = "class",
    [REASON_CLASS_ERROR] = "class_error",
    [REASON_FLOOR_ERROR] = "floor_error",
    [REASON_FLOOR_SLOW] = "floor_slow",
    [REASON_FLOOR_NEW] = "floor_new",
    [REASON_OVERLOAD] = "overload",
};

static uint64_t threshold_code(uint64_t threshold)
{
    unsigned run = 0;
    uint64_t digits = threshold << 8; /* the first of the fourteen on top */

    if (threshold == OT_NEVER)
        return CODE_NEVER;
    for (; digits >> 60 == 0xf; digits <<= 4)
        run++;
    return (uint64_t)run << 16 | digits >> 48;
}

static bool threshold_of(uint64_t code, uint64_t *out)
{
    unsigned run = (unsigned)(code >> 16);
    uint64_t threshold = OT_NEVER;

    if (code != CODE_NEVER) {
        if (run > DIGITS)
            return false;
        uint64_t run_bits = run ? ~UINT64_C(0) << (64 - 4 * run) : 0;
        threshold = (run_bits | (code & 0xffff) << 48 >> 4 * run) >> 8;
    }
    *out = threshold;
    return threshold_code(threshold) == code;
}

static bool is_trigger(uint64_t trigger)
{
    return trigger >= TRIGGER_ROOT && trigger < MG_COUNT(triggers);
}

uint64_t outcome_pack(const struct outcome *outcome)
{
    assert(outcome->verdict == VERDICT_KEPT || outcome->verdict == VERDICT_DROPPED);
    assert(is_trigger(outcome->trigger) && outcome->reason < MG_COUNT(reasons));
    assert(outcome->threshold <= OT_NEVER && outcome->rules <= RULES_MAX);
    return (uint64_t)(outcome->verdict == VERDICT_KEPT) | (uint64_t)outcome->trigger << TRIGGER_SHIFT |
           (uint64_t)outcome->reason << REASON_SHIFT | (uint64_t)outcome->is_estimate << ESTIMATE_SHIFT |
           (uint64_t)outcome->policy << POLICY_SHIFT |
           threshold_code(ot_rounded(outcome->threshold)) << THRESHOLD_SHIFT |
           (uint64_t)outcome->rules << RULES_SHIFT;
}

bool outcome_unpack(uint64_t word, struct outcome *out)
{
    uint64_t trigger = word >> TRIGGER_SHIFT & 0x7, reason = word >> REASON_SHIFT & 0x1f, threshold;

    if (word >> END_SHIFT || !is_trigger(trigger) || reason >= MG_COUNT(reasons) ||
        !threshold_of(word >> THRESHOLD_SHIFT & 0xfffff, &threshold))
        return false;
    *out = (struct outcome){
        .verdict = word & 1 ? VERDICT_KEPT : VERDICT_DROPPED,
        .trigger = (enum trigger)trigger,
        .reason = (enum reason)reason,
        .policy = (uint8_t)(word >> POLICY_SHIFT),
        .is_estimate = word >> ESTIMATE_SHIFT & 1,
        .threshold = threshold,
        .rules = word >> RULES_SHIFT & RULES_MAX,
    };
    return true;
}

const char *trigger_name(enum trigger trigger)
{
    assert(is_trigger(trigger));
    return triggers[trigger];
}

const char *reason_name(enum reason reason)
{
    assert(reason < MG_COUNT(reasons));
    return reasons[reason];
}

enum { VOTES_A_BYTE = 4, VOTE_BITS = 2, VOTE_MASK = 3 };

static unsigned vote_shift(size_t policy)
{
    return (unsigned)(policy % VOTES_A_BYTE * VOTE_BITS);
}

void vote_set(uint8_t *votes, size_t policy, enum vote vote)
{
    uint8_t *byte = &votes[policy / VOTES_A_BYTE];
    unsigned shift = vote_shift(policy);

    assert(vote <= VOTE_DROP);
    *byte = (uint8_t)((*byte & ~(VOTE_MASK << shift)) | vote << shift);
}

enum vote vote_get(struct str votes, size_t policy)
{
    if (policy / VOTES_A_BYTE >= votes.len)
        return VOTE_NOT_ASKED;
    return (enum vote)((uint8_t)votes.ptr[policy / VOTES_A_BYTE] >> vote_shift(policy) & VOTE_MASK);
}

const char *vote_name(enum vote vote)
{
    static const char *const names[] = {
        [VOTE_NOT_ASKED] = "not_asked", [VOTE_NO] = "no", [VOTE_YES] = "yes", [VOTE_DROP] = "drop"
    };

    assert(vote < MG_COUNT(names));
    return names[vote];
}

struct str outcome_trace_state(uint64_t word, struct str trace_state, struct arena *arena)
{
    struct outcome outcome;
    struct ot_state own;

    if (!outcome_unpack(word, &outcome) || outcome.verdict != VERDICT_KEPT)
        return trace_state;
    if (outcome.is_estimate)
        return ot_write_th(trace_state, OT_NEVER, arena);
    ot_read(trace_state, &own);
    /* A stage can only raise the threshold. What its sender kept at less than ours was kept at that. */
    if (outcome.threshold == 0 || (own.has_th && own.th >= outcome.threshold))
        return trace_state;
    return ot_write_th(trace_state, outcome.threshold, arena);
}
