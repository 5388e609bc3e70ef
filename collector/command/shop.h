/* shop.h - traffic of a realistic shop, one trace at a time: the demo's source of spans.
 *
 * Nine services in a cluster (cast.h), gRPC and HTTP between them, PostgreSQL and Redis behind
 * them, Kafka in the middle; five kinds of visits, from the home page to an order. About 2 traces
 * of 100 hold an error, with its exception event, and 3 hold something slow. The consumer of an
 * order is a child of the producer and links to it. Names follow the semantic conventions 1.44.
 *
 * The same seed gives the same traces, apart from the time, which is a parameter. One thread. */
#pragma once
#include "command/cast.h"
#include "model/span.h"

enum { SHOP_SPANS_MIN = 5, SHOP_SPANS_MAX = 40, SHOP_ATTRS_MAX = 20 };

struct shop_span {
    struct span span;
    unsigned instance; /* cast.instances[…]: who exports it */
    enum scope scope;
    struct attr attrs[SHOP_ATTRS_MAX]; /* span.attrs */
};
struct shop_trace {
    const struct shop_span *spans; /* parents before their children */
    size_t n;
    bool has_error; /* at least one span has status ERROR */
    bool is_slow;
};
struct shop;
struct shop *shop_new(uint64_t seed);
void shop_free(struct shop **shop);
const struct cast *shop_cast(const struct shop *shop);
/* A trace whose last span ends at end_ns, at least an hour after 1970. Borrows until the next call.
 */
const struct shop_trace *shop_visit(struct shop *shop, uint64_t end_ns);
