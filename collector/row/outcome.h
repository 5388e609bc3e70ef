/* outcome.h - what was decided about a trace and why: one 64-bit word, the same in the journal, in the verdict table, in `why` runs and
 * in blocks.
 *
 *   bit 0        kept                       bits 18..37  threshold: 4 bits leading f's above 16 bits digits; all ones: OT_NEVER
 *   bits 1..3    trigger                    bits 38..61  rules
 *   bits 4..8    reason                     bits 62, 63  zero
 *   bit 9        estimate
 *   bits 10..17  policy
 *
 * The word 0 says that nothing is known: sampling is off, or an older version decided.
 *
 * Any thread; no state. */
#pragma once
#include "model/ot.h"
#include "model/span.h"

enum verdict { VERDICT_KEPT = 1, VERDICT_DROPPED = 2 };
/* What made the decision due. Journal and disk: numbers are never given again. */
enum trigger {
    TRIGGER_ROOT = 1,       /* the root was seen and the grace has passed */
    TRIGGER_DEADLINE = 2,   /* decision_wait after its first row */
    TRIGGER_EARLY = 3,      /* too many spans, or the ring was nearly full */
    TRIGGER_LATE = 4,       /* rows after the trace's decision, which they follow */
    TRIGGER_FIRST_MATCH = 5 /* sample_on_first_match, and a policy matched */
};
/* Why the verdict is what it is. The same about numbers. */
enum reason {
    REASON_NONE = 0,
    REASON_NO_RULES = 1,    /* kept: no policy is configured */
    REASON_POLICY = 2,      /* kept by the named policy */
    REASON_NO_POLICY = 3,   /* dropped: no policy sampled it */
    REASON_DROP = 4,        /* dropped by the named `drop` policy */
    REASON_INVERTED = 5,    /* dropped: an inverted condition of the named policy matched */
    REASON_CLASS = 6,       /* kept or dropped at the rate of the named class */
    REASON_CLASS_ERROR = 7, /* kept: an error inside the named class */
    REASON_FLOOR_ERROR = 8, /* kept by the floor: an error */
    REASON_FLOOR_SLOW = 9,  /* the slowest of its operation */
    REASON_FLOOR_NEW = 10,  /* the first of a new operation */
    REASON_OVERLOAD = 11    /* dropped: the ladder's second step */
};
struct outcome {
    enum verdict verdict;
    enum trigger trigger;
    enum reason reason;
    uint8_t policy;         /* number of its name in the generation's names, from 1; 0: none */
    bool is_estimate;       /* the probability was measured, not set: no `th` may be written */
    uint64_t threshold;     /* what it was kept at (ot_probability_shown): 0 certain. Dropped: what it fell below; OT_NEVER when nothing would have kept it */
    uint32_t rules;         /* generation of the rules, from 1, at most 2^24 - 1 */
};
uint64_t outcome_pack(const struct outcome *outcome); /* never 0; the threshold as ot_rounded() gives it */
/* False for 0 and for words that no outcome packs to. */
bool outcome_unpack(uint64_t word, struct outcome *out);
const char *trigger_name(enum trigger trigger);  /* "root", "deadline", "early", "late", "first_match" */
const char *reason_name(enum reason reason);     /* "policy", "floor_error", …; "" for REASON_NONE */
/* What the policies said about a trace: two bits each, four a byte, in the order of the policies, the first in the lowest bits. */
enum vote { VOTE_NOT_ASKED = 0, VOTE_NO = 1, VOTE_YES = 2, VOTE_DROP = 3 };
void vote_set(uint8_t *votes, size_t policy, enum vote vote); /* the bytes begin as zeros */
enum vote vote_get(struct str votes, size_t policy); /* policy from 0; beyond the end: not asked */
const char *vote_name(enum vote vote);           /* "not_asked", "no", "yes", "drop" */

/* The trace state of a kept span as others shall see it: th = max(its own, the outcome's) where that is above 0, no th when the
 * probability is an estimate; else the span's own. In the arena when it differs. word 0: the span's own. */
struct str outcome_trace_state(uint64_t word, struct str trace_state, struct arena *arena);
