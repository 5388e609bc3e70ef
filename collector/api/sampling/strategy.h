/* strategy.h - a strategy in its two encodings, which say the same. Private to api/sampling.
 *
 * In JSON, what Jaeger's clients read: nothing but the known members; `probabilisticSampling` beside `operationSampling`,
 * with the same probability, and in every operation; never beside a rate limit, which it would make void. So a strategy
 * with operations is always a probabilistic one: clients look at the operations first in any case.
 *
 * An operation whose name is not UTF-8 is left out: no client could ask for it, and one such string makes a client refuse
 * the whole answer. Any thread; writers fail as their buf does. */
#pragma once
#include "codec/utf8.h"
#include "sample/head.h"

/* The largest answer: what gRPC clients take when nobody told them otherwise. */
#define STRATEGY_BYTES_MAX ((size_t)4 << 20)

void strategy_json(struct buf *out, const struct strategy *strategy);  /* protobuf's JSON, zeros written */
void strategy_proto(struct buf *out, const struct strategy *strategy); /* SamplingStrategyResponse */

static inline bool strategy_is_limit(const struct strategy *strategy)
{
    return strategy->type == STRATEGY_RATE_LIMITING && !strategy->has_operations;
}
static inline bool strategy_can_tell(const struct strategy_operation *operation)
{
    return utf8_valid(operation->name.ptr, operation->name.len);
}
