/* attribute_rules.h - what a list of rules is compiled to; private to attribute.
 *
 * Immutable after attribute_rules_new, any thread. Strings, keys, needles and terms belong to the arena.
 *
 * A key of a rule has a bit. The bits of a span's attributes are collected in one pass (rules_bits), and a rule none of whose keys can
 * be there is passed over without looking at the attributes again. */
#pragma once
#include <stdatomic.h>
#include "attribute/attribute.h"
#include "base/arena.h"
#include "base/vec.h"
#include "codec/finder.h"

#define RULES_MAX 256
enum { ON_RESOURCE = 1, ON_SPAN = 2 };
enum action {
    ACTION_INSERT, ACTION_UPDATE, ACTION_UPSERT, ACTION_DELETE, ACTION_RENAME, ACTION_HASH, ACTION_REDACT_KEYS,
    ACTION_REDACT_PATTERN, ACTION_DROP
};

struct rule_key { struct str name; uint64_t bit; };

/* A word of `redact keys`. */
struct needle {
    struct str front; /* before the last dot; empty: any */
    struct str last;  /* looked for in the last part; lower case */
    uint32_t letters; /* of `last`: bit c & 31 of every character */
};

/* Where a value comes from. */
enum source { FROM_RULE, FROM_SPAN, FROM_RESOURCE };
struct operand {
    enum source source;
    struct value value;  /* FROM_RULE */
    struct rule_key key; /* FROM_SPAN, FROM_RESOURCE */
    uint32_t slot;       /* FROM_RESOURCE: where the resource's value is kept for spans */
};

enum subject { SUBJECT_KEY, SUBJECT_SERVICE, SUBJECT_NAME, SUBJECT_KIND, SUBJECT_STATUS };
enum test {
    TEST_EXISTS, TEST_IS, TEST_IS_NOT, TEST_LESS, TEST_AT_MOST, TEST_MORE, TEST_AT_LEAST, TEST_MATCHES
};
struct term {
    enum subject subject;
    struct operand left;   /* SUBJECT_KEY */
    enum test test;
    struct operand right;
    struct finder *finder; /* TEST_MATCHES */
    bool is_negated;
    bool is_of_resource;   /* can be told when the resource is seen */
};

struct rule {
    enum action action;
    unsigned where;        /* ON_RESOURCE | ON_SPAN */
    struct rule_key *keys; /* insert, update, upsert, rename: one */
    size_t n_keys;
    uint64_t bits;         /* of all keys */
    struct rule_key renamed;
    struct operand value;  /* insert, update, upsert */
    struct needle *needles;
    size_t n_needles;
    struct finder *finder; /* redact pattern */
    struct term *terms;
    size_t n_terms;
};

struct attribute_rules {
    atomic_uint refs;
    struct arena arena;
    VEC(struct rule) rules;
    VEC(struct finder *) finders;   /* all of the rules and terms */
    uint64_t wanted[256];           /* key_mark -> bits of the keys that have it */
    uint32_t n_slots;
    bool needs_resource;            /* a rule changes, or asks about, the resource */
    bool needs_span;
};

/* A number that equal keys share, cheap to make. */
static inline uint8_t key_mark(struct str key)
{
    if (key.len == 0)
        return 0;
    const uint8_t *p = (const uint8_t *)key.ptr;
    return (uint8_t)(key.len * 29 + p[key.len - 1] * 7 + p[key.len / 2] * 13 + p[key.len / 4]);
}
static inline uint64_t rules_bits(const struct attribute_rules *rules, struct str key)
{
    return rules->wanted[key_mark(key)];
}
