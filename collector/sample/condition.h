/* condition.h - what policies ask of single spans, each different question once; private to sample.
 *
 * A condition has a number below CONDITIONS_MAX, which is its bit in trace_facts.bits. Conditions on attributes are met by a span's own
 * attribute or by one of its resource; of a key that comes twice the first counts, as in the Collector. A value of another type
 * than the condition's never meets it. A span's empty text is met by no string condition, a resource's may match a pattern.
 *
 * The set is filled while rules are compiled and immutable afterwards: any thread. Strings belong to the rules' arena. */
#pragma once
#include "base/vec.h"
#include "codec/finder.h"
#include "model/span.h"

#define CONDITIONS_MAX 128

enum condition_type {
    CONDITION_NUMBER, CONDITION_TEXT, CONDITION_PATTERN, CONDITION_BOOLEAN, CONDITION_STATUS, CONDITION_TRACE_STATE,
    CONDITION_TRACE_FLAGS
};
struct condition {
    enum condition_type type;
    struct str key;               /* attribute or member of the trace state; empty: none */
    int64_t min, max;             /* NUMBER, both included */
    bool boolean;                 /* BOOLEAN */
    unsigned statuses;            /* STATUS: bit 1 << enum span_status */
    struct str *values;           /* TEXT, TRACE_STATE: sorted; PATTERN: the expressions */
    size_t n_values;
    struct finder **finders;      /* PATTERN: of the values; the set's */
};

/* An attribute that conditions ask about. */
struct condition_key {
    struct str name;
    VEC(uint8_t) conditions;      /* their numbers */
    bool asks_number, asks_text, asks_boolean;
};
struct condition_set {
    VEC(struct condition) all;
    VEC(struct condition_key) keys;
    VEC(struct str) fields;       /* attributes that `dynamic` policies make their keys of, each once */
    VEC(uint8_t) trace_states;    /* conditions of that type */
    uint64_t by_status[3][2];     /* the bits that a span with this status has */
    uint64_t by_sampled_flag[2];
};
void condition_set_fini(struct condition_set *set);
/* Finds or adds; copies what `condition` points to into the arena when it is new and sorts it. E_FORMAT for the 129th condition; for an
 * expression that does not compile, or is too long, what finder_compile says. */
enum mg_err condition_add(struct condition_set *set, struct arena *arena, const struct condition *condition, unsigned *number,
                          struct mg_why *why) MG_MUST_USE;
size_t condition_field_add(struct condition_set *set, struct arena *arena, struct str name);

static inline void bits_add(uint64_t bits[2], const uint64_t more[2])
{
    bits[0] |= more[0];
    bits[1] |= more[1];
}
static inline void bits_set(uint64_t bits[2], unsigned number) { bits[number >> 6] |= UINT64_C(1) << (number & 63); }
static inline bool bits_have(const uint64_t bits[2], unsigned number) { return bits[number >> 6] >> (number & 63) & 1; }

/* The conditions of a key that a value meets are added to bits. */
void condition_match_number(const struct condition_set *set, const struct condition_key *key, int64_t number, uint64_t bits[2]);
void condition_match_boolean(const struct condition_set *set, const struct condition_key *key, bool boolean, uint64_t bits[2]);
void condition_match_text(const struct condition_set *set, const struct condition_key *key, struct finder_scratch *scratch,
                          struct str text, uint64_t bits[2]);
/* The three above, by the type of a value that is not VALUE_OTHER. */
void condition_match_value(const struct condition_set *set, const struct condition_key *key, struct finder_scratch *scratch,
                           const struct value *value, uint64_t bits[2]);
/* A whole trace state. A malformed one meets nothing. */
void condition_match_trace_state(const struct condition_set *set, struct str trace_state, uint64_t bits[2]);
/* The attributes of a resource in wire form. */
void condition_match_resource(const struct condition_set *set, struct finder_scratch *scratch, struct str resource, uint64_t bits[2]);
