/* credit.h - the byte budget of the ring, as admission sees it (collector/README.md R10).
 *
 * A door reserves a bound of what a body can become before inflating it; live exchanges the reservation for
 * the rows' real size at insert, and gives that back when the rows leave the ring. So an insert never finds the ring
 * full and mailboxes never grow beyond credits. Any thread; a reservation larger than the whole budget is cut
 * to it, so that a request as large as the ring gets in alone. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct credit {
    size_t budget;          /* bytes; fixed after init */
    _Atomic int64_t free;   /* may dip below zero for an instant, by an exchange */
    _Atomic size_t wanted;  /* largest reservation that waits; whoever makes room takes it */
};

static inline void credit_init(struct credit *credit, size_t budget)
{
    credit->budget = budget;
    atomic_init(&credit->free, (int64_t)budget);
}
/* Takes *bytes (cut to the budget) when they are free. */
static inline bool credit_take(struct credit *credit, size_t *bytes)
{
    int64_t want = (int64_t)(*bytes < credit->budget ? *bytes : credit->budget);
    int64_t have = atomic_load_explicit(&credit->free, memory_order_relaxed);

    do {
        if (have < want)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&credit->free, &have, have - want,
                                                    memory_order_acq_rel, memory_order_relaxed));
    *bytes = (size_t)want;
    return true;
}
static inline void credit_give(struct credit *credit, int64_t bytes) /* negative: takes without asking */
{
    atomic_fetch_add_explicit(&credit->free, bytes, memory_order_acq_rel);
}
/* A waiter says what it needs; live makes that much room. */
static inline void credit_want(struct credit *credit, size_t bytes)
{
    size_t have = atomic_load_explicit(&credit->wanted, memory_order_relaxed);

    bytes = bytes < credit->budget ? bytes : credit->budget;
    while (have < bytes && !atomic_compare_exchange_weak(&credit->wanted, &have, bytes))
        ;
}
static inline size_t credit_wanted(struct credit *credit)
{
    return atomic_exchange(&credit->wanted, 0);
}
static inline int64_t credit_free(const struct credit *credit)
{
    return atomic_load_explicit(&credit->free, memory_order_relaxed);
}
