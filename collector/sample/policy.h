/* policy.h - policies as they are compiled, and what they say about a trace; private to sample.
 *
 * A policy is a tree, immutable, any thread. What some have of state (what a limiter has left, what `dynamic` has counted) is apart, in
 * policy_states, which the sampler's thread owns: a node that has state has its number. */
#pragma once
#include <stdatomic.h>
#include "sample/class.h"
#include "sample/condition.h"
#include "sample/dynamic.h"
#include "sample/memo.h"
#include "sample/sampler.h"

enum policy_type {
    POLICY_ALWAYS, POLICY_CONDITION, POLICY_LATENCY, POLICY_PROBABILISTIC, POLICY_HASHED, POLICY_RATE, POLICY_BYTES, POLICY_SPAN_COUNT,
    POLICY_AND, POLICY_NOT, POLICY_DROP, POLICY_COMPOSITE, POLICY_DYNAMIC
};

struct dynamic_field { size_t field; /* of condition_set.fields */ bool is_of_root; };
struct policy {
    enum policy_type type;
    struct str name;
    struct str text;            /* top level: as it was written, by which a reload knows it again */
    bool is_inverted;           /* CONDITION: invert_match */
    bool has_state;             /* it, or a part of it */
    bool is_lasting;            /* once it says yes, further rows do not change that; nor does chance */
    uint32_t state;             /* number of its state; COMPOSITE: those of its parts' budgets follow */
    struct policy *parts;       /* AND, NOT, DROP, COMPOSITE (there in the order in which they are asked) */
    size_t n_parts;
    union {
        unsigned condition;                                                         /* CONDITION */
        struct { uint64_t min_ms, max_ms; } latency;                                /* max 0: none */
        uint64_t threshold;                                                         /* PROBABILISTIC */
        struct { struct str salt; uint64_t threshold; double probability; } hashed; /* HASHED */
        struct { double per_second, burst; } limit;                                 /* RATE: spans, BYTES: bytes */
        struct { uint64_t min, max; } span_count;                                   /* max 0: none */
        struct { uint64_t total; uint64_t *shares; } composite;                     /* spans a second, in all and by part */
        struct { struct dynamic_conf conf; struct dynamic_field *fields; size_t n_fields; bool has_length; } dynamic;
    };
};

struct sample_rules {
    atomic_uint refs;
    struct arena arena;         /* of everything below that is not said to be elsewhere */
    struct policy *policies;
    size_t n_policies;
    uint32_t n_states;
    struct condition_set conditions;
    struct classes *classes;
    bool is_first_match;
    double floor_traces_per_second;
    uint64_t floor_bytes_per_day;
    struct buf text;
};

/* policy_parse.c: fills policies, conditions and n_states. */
enum mg_err policies_parse(struct sample_rules *rules, const struct yaml *list, struct mg_why *why) MG_MUST_USE;
/* The Collector's threshold for FNV-1a 64: the ratio of 2^64 - 1, as math/big computes it with 64 bits. */
uint64_t hashed_threshold(double ratio);

/* --- state ---------------------------------------------------------------------------------------- */

struct policy_states;
/* For a sampler with these rules; state of policies that `old` has with the same name and text is taken out of it. old may be NULL. */
struct policy_states *policy_states_new(const struct sample_rules *rules, struct policy_states *old, const struct sample_rules *old_rules);
void policy_states_free(struct policy_states **states);
size_t policy_states_keys(const struct policy_states *states); /* of all `dynamic` policies */

/* --- asking --------------------------------------------------------------------------------------- */

/* A policy keeps a trace when R >= threshold and chance that is not R's is with it, which it is in `share` of all cases. */
struct ruling {
    uint64_t threshold;
    double share;
    bool is_yes;      /* what it says of this trace */
    bool is_estimate; /* the probability was measured, or is not of R alone */
};
static inline double ruling_probability(const struct ruling *ruling) { return ot_probability(ruling->threshold) * ruling->share; }
static inline bool ruling_is_sure(const struct ruling *ruling)
{
    return ruling->is_yes && ruling->threshold == 0 && !ruling->is_estimate;
}

struct question {
    const struct sample_trace *trace;
    uint64_t bits[2];
    uint64_t duration_ms;
    uint64_t randomness;
    struct memo *memo;
};
/* may_spend false: tells the probability and leaves all state as it is; what is_yes says then means nothing where there is state. */
struct ruling policy_ask(const struct policy *policy, struct policy_states *states, const struct question *question, bool may_spend);

/* dynamic_key.c: the key of a trace, in `key`, which is cleared. */
void dynamic_key(const struct policy *policy, const struct question *question, const struct condition_set *set, struct arena *arena,
                 struct buf *key);
