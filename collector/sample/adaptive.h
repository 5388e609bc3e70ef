/* adaptive.h - the adaptive calculation of one operation's probability (reference: Jaeger "Adaptive algorithm"); private to sample.
 *
 * Pure: what was counted is given, once an interval. Main thread.
 *
 * A probability that clients were told is the operation's own times the overload ladder's factor (adaptive_lowered), so everything that
 * compares with what clients report does it with ranges: between the lowest and the highest factor of an interval. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sample/conf.h"

/* A probability that roots said they were sampled with: a double's bits as a tag has it, or a threshold of tracestate. */
#define ADAPTIVE_THRESHOLD  (UINT64_C(1) << 63)
#define ADAPTIVE_VALUES_MAX 10 /* distinct ones of an interval; more are not remembered */
uint64_t adaptive_value(double probability);       /* not negative */
uint64_t adaptive_threshold(uint64_t threshold);   /* below OT_NEVER */
bool adaptive_value_eq(uint64_t a, uint64_t b);    /* the same to six decimals, as Jaeger compares */

#define ADAPTIVE_ROUNDS_MAX 60
struct adaptive_round { double seconds, factor_min, factor_max; }; /* one interval, of all operations */
struct adaptive_rounds { struct adaptive_round at[ADAPTIVE_ROUNDS_MAX]; size_t n; }; /* newest first */
void adaptive_round_add(struct adaptive_rounds *rounds, const struct adaptive_round *round, size_t keep);

struct adaptive_sample {
    uint64_t count;      /* sampled roots */
    double told;         /* in force then, without factor */
    bool is_seen;        /* there was a root, perhaps one that does not count */
};
struct adaptive {        /* of one operation; zeroed: nothing known */
    double probability;  /* in force, without factor */
    double rate;         /* sampled roots a second, weighted */
    bool is_followed;    /* clients go by what they are told, as far as is known */
    uint64_t values[ADAPTIVE_VALUES_MAX]; /* of the newest interval in which it was seen */
    size_t n_values;     /* 0: its roots say nothing */
    struct adaptive_sample *samples;      /* newest first; room for conf->buckets */
    size_t n_samples, silent;             /* intervals since it was seen */
};
void adaptive_fini(struct adaptive *a);
/* An interval has passed. values are looked at when it was seen. */
void adaptive_add(struct adaptive *a, const struct adaptive_sample *sample, const uint64_t *values, size_t n_values, size_t keep);
/* is_asked: a client asked for the service's strategy within the last two intervals. Sets rate and is_followed. */
void adaptive_measure(struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, bool is_asked);
/* The next probability, after adaptive_measure. */
double adaptive_next(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, double target);

/* A factor below 1 lowers it, but not below the least probability: what is there already stays. */
static inline double adaptive_lowered(double probability, double factor, double least)
{
    double lowered = probability * factor;

    return probability <= least ? probability : lowered > least ? lowered : least;
}
