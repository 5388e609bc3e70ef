/* throughput.h - roots per service and operation: live counts, the main thread reads; private to sample.
 *
 * A table of slots that is only ever added to, so that its readers need no lock. A slot is live's to write while it is free or retired and
 * nobody's while it is in use, but for its counters, which live alone writes and anybody reads:
 *
 *   FREE ──live names it──▶ USED ──main: not seen for long──▶ RETIRED ──live, when it needs one──▶ FREE
 *
 * So a name is read without a lock from the moment the state says USED until the main thread itself retires the slot. A root that live
 * counts into a slot just being retired is lost; the next one gets a slot anew.
 *
 * What roots say about their sampling (adaptive.h: values) is kept for two intervals, the running one and the one before, in turns. */
#pragma once
#include "row/segment.h"
#include "sample/adaptive.h"

#define THROUGHPUT_NAME_MAX  1024          /* bytes; longer names are not followed */
#define THROUGHPUT_SLOTS_MAX (2 * 50000u)  /* operations and, for what is beyond their number, services */

struct throughput;
struct throughput *throughput_new(size_t operations_max);
void throughput_free(struct throughput **throughput);

/* Live's thread; or, before that runs, main. */
void throughput_count(struct throughput *t, const struct row *root, const struct epoch *epoch);
/* The slot of an operation, made when there is room; an empty operation is the service's default. SIZE_MAX: no room. */
size_t throughput_slot(struct throughput *t, struct str service, struct str operation);

/* Main thread. */
void throughput_limit(struct throughput *t, size_t operations_max);
size_t throughput_slots(const struct throughput *t);      /* that ever were in use */
bool throughput_is_used(const struct throughput *t, size_t i);
struct throughput_sums { uint64_t roots, sampled; };      /* since the slot came in use; sampled: those that count for a rate */
struct str throughput_service(const struct throughput *t, size_t i);    /* while it is in use; borrowed until it is retired */
struct str throughput_operation(const struct throughput *t, size_t i);
struct throughput_sums throughput_read(const struct throughput *t, size_t i);
void throughput_turn(struct throughput *t);               /* an interval ends, the next begins */
size_t throughput_values(const struct throughput *t, size_t i, uint64_t out[ADAPTIVE_VALUES_MAX]); /* of the one that ended last */
void throughput_retire(struct throughput *t, size_t i);
uint64_t throughput_beyond(const struct throughput *t);   /* roots that had no slot of their own */
