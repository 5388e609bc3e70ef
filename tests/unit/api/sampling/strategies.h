/* strategies.h - strategies with both of their encodings. The bytes were written by Python's protobuf 7.36, and what
 * strategy.h says of the shapes stands there literally. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "sample/head.h"

#define PROBABILISTIC(rate) "{\"strategyType\":\"PROBABILISTIC\",\"probabilisticSampling\":{\"samplingRate\":" rate "}"
#define OPERATIONS(rate, lower, list)                                                                                     \
    PROBABILISTIC(rate) ",\"operationSampling\":{\"defaultSamplingProbability\":" rate                                    \
                        ",\"defaultLowerBoundTracesPerSecond\":" lower ",\"perOperationStrategies\":[" list               \
                        "],\"defaultUpperBoundTracesPerSecond\":0}}"
#define OPERATION(name, rate) "{\"operation\":\"" name "\",\"probabilisticSampling\":{\"samplingRate\":" rate "}}"
#define LIMIT(n) "{\"strategyType\":\"RATE_LIMITING\",\"rateLimitingSampling\":{\"maxTracesPerSecond\":" n "}}"

static const struct strategy_operation get_a[] = { { STR_INIT("GET /a"), 0.5 } };
static const struct strategy_operation three[] = { { STR_INIT("GET /a"), 0.5 }, { STR_INIT(""), 0 }, { STR_INIT("caf\xc3\xa9"), 1 } };
/* Only the first one can be told. */
static const struct strategy_operation bad_names[] = { { STR_INIT("GET /a"), 0.5 }, { STR_INIT("\xff"), 0.5 }, { STR_INIT("\xed\xa0\x80"), 0.5 } };

static const struct {
    struct strategy strategy;
    const char *json, *hex;
} strategies[] = {
    { { .type = STRATEGY_PROBABILISTIC, .probability = 0.42 }, PROBABILISTIC("0.42") "}", "120909e17a14ae47e1da3f" },
    { { .type = STRATEGY_PROBABILISTIC, .probability = 0 }, PROBABILISTIC("0") "}", "1200" },
    { { .type = STRATEGY_PROBABILISTIC, .probability = 1 }, PROBABILISTIC("1") "}", "120909000000000000f03f" },
    /* The service's probability is there as well, and must not be told. */
    { { .type = STRATEGY_RATE_LIMITING, .probability = 0.42, .max_traces_per_second = 42 }, LIMIT("42"), "08011a02082a" },
    { { .type = STRATEGY_RATE_LIMITING, .max_traces_per_second = 0 }, LIMIT("0"), "08011a00" },
    { { .type = STRATEGY_RATE_LIMITING, .max_traces_per_second = -1 }, LIMIT("-1"), "08011a0b08ffffffffffffffffff01" },
    { { .type = STRATEGY_PROBABILISTIC, .probability = 0.001, .has_operations = true, .default_lower_bound = 1 / 60.0,
        .operations = get_a, .n_operations = 1 },
      OPERATIONS("0.001", "0.016666666666666666", OPERATION("GET /a", "0.5")),
      "120909fca9f1d24d62503f222709fca9f1d24d62503f11111111111111913f1a130a06474554202f61120909000000000000e03f" },
    { { .type = STRATEGY_PROBABILISTIC, .probability = 0.25, .has_operations = true }, OPERATIONS("0.25", "0", ""),
      "120909000000000000d03f220909000000000000d03f" },
    { { .type = STRATEGY_PROBABILISTIC, .probability = 0.5, .has_operations = true, .default_lower_bound = 1 / 60.0,
        .operations = three, .n_operations = 3 },
      OPERATIONS("0.5", "0.016666666666666666", OPERATION("GET /a", "0.5") "," OPERATION("", "0") "," OPERATION("caf\xc3\xa9", "1")),
      "120909000000000000e03f223f09000000000000e03f11111111111111913f1a130a06474554202f61120909000000000000e03f1a0212001a120a05636166c3a9"
      "120909000000000000f03f" },
    /* A rate limit with operations: they go first in every client. */
    { { .type = STRATEGY_RATE_LIMITING, .probability = 0.25, .max_traces_per_second = 5, .has_operations = true },
      OPERATIONS("0.25", "0", ""), "120909000000000000d03f220909000000000000d03f" },
    { { .type = STRATEGY_PROBABILISTIC, .probability = 0.001, .has_operations = true, .default_lower_bound = 1 / 60.0,
        .operations = bad_names, .n_operations = 3 },
      OPERATIONS("0.001", "0.016666666666666666", OPERATION("GET /a", "0.5")),
      "120909fca9f1d24d62503f222709fca9f1d24d62503f11111111111111913f1a130a06474554202f61120909000000000000e03f" },
};
