/* policy.c - see policy.h.
 *
 * The Collector is followed in the order in which parts are asked: `and` stops at the first part that says no, so a limiter behind a
 * condition is charged for what meets the condition only; `composite` goes by the first part that says yes. In one place more is asked:
 * after a "no" by chance, to learn with which probability the whole would have said yes. State is not touched then.
 *
 * Where versions of the Collector differ:
 *   latency             without an upper bound from the threshold on (>=), with one above it (>), as the source has it; both of the whole
 *                       trace, while the Collector also takes a duration in between, which hangs on the order of arrival
 *   numeric_attribute   an omitted bound is open, and a bound of 0 counts as omitted, as in newer versions
 *   rate_limiting       a bucket with burst_capacity, as in newer versions, not a counter by the second
 *   not                 asks an inverted condition for its plain yes or no, as with the gate disableinvertdecisions
 *   composite           policy_order is obeyed, the total is a limit of all parts together, and a part without an allocation has an equal
 *                       share; in the Collector the order of the list counts, the total limits each part alone, and the share is 0 */
#include "sample/policy.h"
#include <math.h>
#include "base/mem.h"

#define NS_PER_S    UINT64_C(1000000000)
#define SLOT_NS     (5 * NS_PER_S)
#define SLOTS       12 /* the last minute */

/* How many traces asked for something, and were granted it. */
struct share {
    uint64_t slot; /* the newest, in SLOT_NS since 1970 */
    uint32_t asked[SLOTS], granted[SLOTS];
    uint64_t all_asked, all_granted; /* sums of the above */
};
struct policy_state {
    double tokens;           /* RATE, BYTES: of the bucket, as of at_ns */
    uint64_t at_ns;          /* 0: the bucket is full */
    uint64_t second, used;   /* COMPOSITE and its parts: spans of this second */
    struct share share;
    struct dynamic *dynamic; /* DYNAMIC */
};
struct policy_states {
    const struct condition_set *set;
    struct arena arena;      /* of the values that `dynamic` makes its key of */
    struct buf key;
    size_t n;
    struct policy_state at[];
};

/* --- state ---------------------------------------------------------------------------------------- */

/* Visits the nodes with state in the order in which they were numbered, which the text alone decides. */
static void take_states(const struct policy *policy, struct policy_states *states, const struct policy *old_policy,
                        struct policy_states *old)
{
    size_t n = policy->type == POLICY_COMPOSITE ? policy->n_parts + 1 : 1;

    if (!policy->has_state)
        return;
    if (policy->state != UINT32_MAX) {
        memcpy(&states->at[policy->state], &old->at[old_policy->state], n * sizeof *states->at);
        memset(&old->at[old_policy->state], 0, n * sizeof *old->at);
    }
    for (size_t i = 0; i < policy->n_parts; i++)
        take_states(&policy->parts[i], states, &old_policy->parts[i], old);
}

static void start_states(const struct policy *policy, struct policy_states *states)
{
    if (policy->type == POLICY_DYNAMIC)
        states->at[policy->state].dynamic = dynamic_new(&policy->dynamic.conf);
    for (size_t i = 0; i < policy->n_parts; i++)
        start_states(&policy->parts[i], states);
}

static const struct policy *find_same(const struct sample_rules *rules, const struct policy *policy)
{
    for (size_t i = 0; rules && i < rules->n_policies; i++)
        if (str_eq(rules->policies[i].name, policy->name) && str_eq(rules->policies[i].text, policy->text))
            return &rules->policies[i];
    return NULL;
}

struct policy_states *policy_states_new(const struct sample_rules *rules, struct policy_states *old, const struct sample_rules *old_rules)
{
    struct policy_states *states = mem_zero(1, sizeof *states + rules->n_states * sizeof states->at[0]);

    states->set = &rules->conditions;
    states->n = rules->n_states;
    buf_init(&states->key, 1 << 20);
    for (size_t i = 0; i < rules->n_policies; i++) {
        const struct policy *policy = &rules->policies[i];
        const struct policy *same = old ? find_same(old_rules, policy) : NULL;
        if (same)
            take_states(policy, states, same, old);
        else
            start_states(policy, states);
    }
    return states;
}

void policy_states_free(struct policy_states **pointer)
{
    struct policy_states *states = MG_STEAL(*pointer);

    if (!states)
        return;
    for (size_t i = 0; i < states->n; i++)
        dynamic_free(&states->at[i].dynamic);
    buf_fini(&states->key);
    arena_fini(&states->arena);
    mem_free(states);
}

size_t policy_states_keys(const struct policy_states *states)
{
    size_t n = 0;

    for (size_t i = 0; i < states->n; i++)
        n += states->at[i].dynamic ? dynamic_keys(states->at[i].dynamic) : 0;
    return n;
}

/* --- what was granted of late --------------------------------------------------------------------- */

static void share_turn(struct share *share, uint64_t log_ns)
{
    uint64_t slot = log_ns / SLOT_NS;

    if (slot <= share->slot)
        return;
    for (uint64_t gone = MG_MIN(slot - share->slot, (uint64_t)SLOTS); gone > 0; gone--) { /* of the slots up to the new one */
        size_t i = (size_t)((slot - gone + 1) % SLOTS);
        share->all_asked -= share->asked[i];
        share->all_granted -= share->granted[i];
        share->asked[i] = share->granted[i] = 0;
    }
    share->slot = slot;
}

static void share_count(struct share *share, uint64_t log_ns, bool is_granted)
{
    share_turn(share, log_ns);
    share->asked[share->slot % SLOTS]++;
    share->all_asked++;
    if (is_granted) {
        share->granted[share->slot % SLOTS]++;
        share->all_granted++;
    }
}

static double share_of(const struct share *share)
{
    return share->all_asked ? (double)share->all_granted / (double)share->all_asked : 1;
}

/* --- asking --------------------------------------------------------------------------------------- */

static const struct ruling never = { OT_NEVER, 0, false, false };
static const struct ruling surely = { 0, 1, true, false };

static struct ruling decided(bool is_yes)
{
    return is_yes ? surely : never;
}

static bool is_never(const struct ruling *ruling)
{
    return !ruling->is_estimate && ruling->threshold == OT_NEVER;
}

static bool is_within(uint64_t n, uint64_t min, uint64_t max)
{
    return n >= min && (max == 0 || n <= max);
}

static bool has_latency(const struct policy *policy, uint64_t duration_ms)
{
    if (policy->latency.max_ms == 0)
        return duration_ms >= policy->latency.min_ms;
    return duration_ms > policy->latency.min_ms && duration_ms <= policy->latency.max_ms;
}

static uint64_t fnv1a(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* A hash of its own is no question of R: nobody behind us can tell from the trace id who was kept. */
static struct ruling ask_hash(const struct policy *policy, const struct question *question)
{
    uint64_t hash = fnv1a(UINT64_C(0xcbf29ce484222325), policy->hashed.salt.ptr, policy->hashed.salt.len);

    hash = fnv1a(hash, question->trace->last->trace_id, 16);
    return (struct ruling){ 0, policy->hashed.probability, hash <= policy->hashed.threshold, true };
}

uint64_t hashed_threshold(double ratio)
{
    unsigned __int128 product, rest, half;
    int exponent, extra = 0;

    if (!(ratio > 0))
        return 0;
    if (ratio >= 1)
        return UINT64_MAX;
    product = (unsigned __int128)ldexp(frexp(ratio, &exponent), 53) * UINT64_MAX;
    while (product >> 64 >> extra)
        extra++;
    if (extra > 0) { /* half to even */
        rest = product & (((unsigned __int128)1 << extra) - 1);
        half = (unsigned __int128)1 << (extra - 1);
        product >>= extra;
        product += rest > half || (rest == half && product & 1);
    }
    int shift = 53 - exponent - extra; /* not below 0: the ratio is below 1, and the product has at most 117 bits */
    return shift > 127 ? 0 : (uint64_t)(product >> shift);
}

/* A token bucket. One that has never been asked is full; one trace larger than the bucket never passes. */
static struct ruling ask_limit(const struct policy *policy, struct policy_state *state, uint64_t n, uint64_t log_ns, bool may_spend)
{
    bool is_yes;

    if (!may_spend)
        return (struct ruling){ 0, share_of(&state->share), false, true };
    if (state->at_ns == 0)
        state->tokens = policy->limit.burst;
    else if (log_ns > state->at_ns)
        state->tokens = MG_MIN(policy->limit.burst, state->tokens + (double)(log_ns - state->at_ns) / 1e9 * policy->limit.per_second);
    if (state->at_ns == 0 || log_ns > state->at_ns)
        state->at_ns = MG_MAX(log_ns, UINT64_C(1));
    is_yes = (double)n <= state->tokens;
    if (is_yes)
        state->tokens -= (double)n;
    share_count(&state->share, log_ns, is_yes);
    return (struct ruling){ 0, share_of(&state->share), is_yes, true };
}

static struct ruling ask_and(const struct policy *policy, struct policy_states *states, const struct question *question, bool may_spend)
{
    struct ruling all = surely;

    for (size_t i = 0; i < policy->n_parts; i++) {
        struct ruling part = policy_ask(&policy->parts[i], states, question, may_spend && all.is_yes);
        if (is_never(&part))
            return never;
        all.threshold = MG_MAX(all.threshold, part.threshold);
        all.share *= part.share;
        all.is_yes &= part.is_yes;
        all.is_estimate |= part.is_estimate;
    }
    return all;
}

static struct ruling ask_not(const struct policy *policy, struct policy_states *states, const struct question *question, bool may_spend)
{
    struct ruling ruling = policy_ask(&policy->parts[0], states, question, may_spend);

    if (is_never(&ruling))
        return surely;
    if (ruling_is_sure(&ruling))
        return never;
    return (struct ruling){ 0, 1 - ruling_probability(&ruling), !ruling.is_yes, true };
}

/* True: the part's budget of this second, and the whole, have room for so many spans, which are taken. */
static bool spend(const struct policy *policy, struct policy_state *state, size_t part, uint64_t n, uint64_t log_ns)
{
    if (log_ns / NS_PER_S > state->second) {
        state->second = log_ns / NS_PER_S;
        for (size_t i = 0; i <= policy->n_parts; i++)
            state[i].used = 0;
    }
    if (state[0].used + n > policy->composite.total || state[1 + part].used + n > policy->composite.shares[part])
        return false;
    state[0].used += n;
    state[1 + part].used += n;
    return true;
}

/* The first part that says yes decides, also when its budget then says no. */
static struct ruling ask_composite(const struct policy *policy, struct policy_states *states, const struct question *question,
                                   bool may_spend)
{
    struct policy_state *state = &states->at[policy->state];
    struct ruling missed = never;

    for (size_t i = 0; i < policy->n_parts; i++) {
        struct ruling part = policy_ask(&policy->parts[i], states, question, may_spend);
        struct share *share = &state[1 + i].share;
        bool is_granted = false, is_asked = part.is_yes && may_spend;
        if (is_never(&part))
            continue;
        if (is_asked) {
            is_granted = spend(policy, state, i, question->trace->n, question->trace->log_ns);
            share_count(share, question->trace->log_ns, is_granted);
        }
        const struct ruling ruling = { part.threshold, part.share * share_of(share), is_granted, true };
        if (part.is_yes)
            return ruling;
        if (ruling_probability(&ruling) >= ruling_probability(&missed))
            missed = ruling;
    }
    return missed;
}

static struct ruling ask_dynamic(const struct policy *policy, struct policy_states *states, const struct question *question, bool may_spend)
{
    uint64_t threshold;

    if (!may_spend)
        return (struct ruling){ OT_NEVER, 0, false, true };
    arena_reset(&states->arena);
    dynamic_key(policy, question, states->set, &states->arena, &states->key);
    threshold = dynamic_threshold(states->at[policy->state].dynamic, buf_str(&states->key), question->trace->log_ns);
    return (struct ruling){ threshold, 1, ot_keeps(threshold, question->randomness), false };
}

struct ruling policy_ask(const struct policy *policy, struct policy_states *states, const struct question *question, bool may_spend)
{
    const struct sample_trace *trace = question->trace;

    switch (policy->type) {
    case POLICY_ALWAYS:
        return surely;
    case POLICY_CONDITION:
        return decided(bits_have(question->bits, policy->condition) != policy->is_inverted);
    case POLICY_LATENCY:
        return decided(has_latency(policy, question->duration_ms));
    case POLICY_SPAN_COUNT:
        return decided(is_within(trace->n, policy->span_count.min, policy->span_count.max));
    case POLICY_PROBABILISTIC:
        return (struct ruling){ policy->threshold, 1, ot_keeps(policy->threshold, question->randomness), false };
    case POLICY_HASHED:
        return ask_hash(policy, question);
    case POLICY_RATE:
        return ask_limit(policy, &states->at[policy->state], trace->n, trace->log_ns, may_spend);
    case POLICY_BYTES:
        return ask_limit(policy, &states->at[policy->state], trace->bytes, trace->log_ns, may_spend);
    case POLICY_AND:
    case POLICY_DROP:
        return ask_and(policy, states, question, may_spend);
    case POLICY_NOT:
        return ask_not(policy, states, question, may_spend);
    case POLICY_COMPOSITE:
        return ask_composite(policy, states, question, may_spend);
    case POLICY_DYNAMIC:
        return ask_dynamic(policy, states, question, may_spend);
    }
    return never;
}
