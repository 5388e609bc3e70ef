/* strategies.h - Jaeger's file of sampling strategies (reference: Jaeger "File strategies"); private to sample.
 *
 *   {"default_strategy":   {"type": "probabilistic", "param": 0.5, "operation_strategies": [{"operation": "/health", "type": …, "param": …}]},
 *    "service_strategies": [{"service": "foo", "type": "ratelimiting", "param": 5, "operation_strategies": […]}]}
 *
 * Read as Jaeger reads it: members that it does not know are passed over, null is as if absent, a missing param is 0, a rate is
 * cut to a whole number, a type that it does not know means the default probability, a rate limit of an operation is
 * left out; of two entries with one name the last counts. What was bent is told as warnings. Refused (E_FORMAT, with the place): no JSON,
 * a key twice, members of the wrong type, probabilities outside 0..1 and rates outside int32, which no client could obey.
 *
 * Immutable once parsed; main thread. */
#pragma once
#include "base/arena.h"
#include "sample/head.h"

#define STRATEGIES_BYTES_MAX    ((size_t)4 << 20)
#define STRATEGIES_WARNINGS_MAX 20

struct strategies_operation { struct str name; bool has_probability; double probability; }; /* none: the default's */
struct strategies_entry {
    struct str service;          /* empty: the default strategy */
    enum strategy_type type;
    bool has_probability;        /* false: of a type that is not known, or a rate limit */
    double probability;
    int32_t max_traces_per_second;
    struct strategies_operation *operations; /* sorted by name */
    size_t n_operations;
};
struct strategies {
    struct arena arena;
    bool has_fallback;           /* there is a default_strategy */
    struct strategies_entry fallback;
    struct strategies_entry *services; /* sorted by name */
    size_t n_services;
    struct str warnings[STRATEGIES_WARNINGS_MAX];
    size_t n_warnings;           /* may be more than are kept */
};

enum mg_err strategies_parse(struct strategies **out, struct str text, struct mg_why *why) MG_MUST_USE;
void strategies_free(struct strategies **strategies);
/* strategies may be NULL, as may entry. NULL: it says nothing about that name. */
const struct strategies_entry *strategies_service(const struct strategies *strategies, struct str service);
const struct strategies_operation *strategies_operation(const struct strategies_entry *entry, struct str operation);
