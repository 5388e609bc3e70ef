/* adaptive.c - see adaptive.h.
 *
 * Jaeger's steps, by their numbers in the reference, and where they are left:
 *
 *   1    there is one node: no records to join, no leader, and no calculation_delay, which waits for records of others. The result is
 *        served at once; Jaeger's serving side reloads it only where the process does not lead, so a single node never does.
 *   5    "p0 is always followed" is not needed, and would move the probability of clients that never ask: those of an
 *        operation without a result are told p0, and say so where they say anything. Where roots say nothing, the service's asking counts.
 *   6    clients poll, so roots of the interval after a change were sampled partly with the value before: corrected by the plain
 *        quotient a late client swings for ever (a loop with a delay of one step). What was counted is therefore taken as a range,
 *        from "all of it with the lowest value they may have had" to "all with the highest", and only what holds for the
 *        whole range changes anything. In a steady state the range is one number, and this is Jaeger's step 6. The same
 *        range makes the overload ladder's factor harmless: it explains fewer roots, which are then no reason to raise. And
 *        a burst before a silence, which step 2 finds again in each interval of the silence, lowers once and not down to the least. */
#include "sample/adaptive.h"
#include <math.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "model/ot.h"

#define INCREASE_MAX 2.0   /* times, in one step */
#define NOTHING      1e-10 /* a rate below is none */
#define DECIMALS     1e6   /* Jaeger compares "%.6f" */

/* --- values --------------------------------------------------------------------------------------- */

uint64_t adaptive_value(double probability)
{
    uint64_t bits;

    memcpy(&bits, &probability, sizeof bits);
    return bits & ~ADAPTIVE_THRESHOLD; /* -0 */
}

uint64_t adaptive_threshold(uint64_t threshold)
{
    return ADAPTIVE_THRESHOLD | threshold;
}

static double probability_of(uint64_t value)
{
    double probability;

    if (value & ADAPTIVE_THRESHOLD)
        return ot_probability(value & ~ADAPTIVE_THRESHOLD);
    memcpy(&probability, &value, sizeof probability);
    return probability;
}

static double decimals(double probability)
{
    return floor(probability * DECIMALS + 0.5);
}

bool adaptive_value_eq(uint64_t a, uint64_t b)
{
    if ((a | b) & ADAPTIVE_THRESHOLD)
        return a == b;
    return decimals(probability_of(a)) == decimals(probability_of(b));
}

struct range { double low, high; };

/* A threshold has four digits, and is compared as such. */
static bool lies_in(uint64_t value, struct range range)
{
    if (value & ADAPTIVE_THRESHOLD)
        return (value & ~ADAPTIVE_THRESHOLD) >= ot_threshold(range.high) && (value & ~ADAPTIVE_THRESHOLD) <= ot_threshold(range.low);
    return decimals(probability_of(value)) >= decimals(range.low) && decimals(probability_of(value)) <= decimals(range.high);
}

/* --- what is kept --------------------------------------------------------------------------------- */

static size_t one_more(size_t n, size_t keep)
{
    size_t most = MG_MIN(keep, (size_t)ADAPTIVE_ROUNDS_MAX);

    return MG_MIN(n + 1, most);
}

void adaptive_round_add(struct adaptive_rounds *rounds, const struct adaptive_round *round, size_t keep)
{
    rounds->n = one_more(rounds->n, keep);
    memmove(&rounds->at[1], &rounds->at[0], (rounds->n - 1) * sizeof rounds->at[0]);
    rounds->at[0] = *round;
}

void adaptive_fini(struct adaptive *a)
{
    mem_free(a->samples);
    *a = (struct adaptive){ 0 };
}

void adaptive_add(struct adaptive *a, const struct adaptive_sample *sample, const uint64_t *values, size_t n_values, size_t keep)
{
    size_t n = one_more(a->n_samples, keep);

    a->samples = mem_grow(a->samples, n * sizeof *a->samples); /* `keep` may be another one after a reload */
    memmove(&a->samples[1], &a->samples[0], (n - 1) * sizeof a->samples[0]);
    a->samples[0] = *sample;
    a->n_samples = n;
    a->silent = sample->is_seen ? 0 : a->silent + 1;
    if (!sample->is_seen)
        return;
    a->n_values = MG_MIN(n_values, (size_t)ADAPTIVE_VALUES_MAX);
    for (size_t i = 0; i < a->n_values; i++)
        a->values[i] = values[i];
}

/* --- what it says --------------------------------------------------------------------------------- */

static struct range told_in(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, size_t i)
{
    double told = a->samples[i].told;

    return (struct range){ adaptive_lowered(told, rounds->at[i].factor_min, conf->min_probability),
                           adaptive_lowered(told, rounds->at[i].factor_max, conf->min_probability) };
}

static size_t n_known(const struct adaptive *a, const struct adaptive_rounds *rounds)
{
    return MG_MIN(a->n_samples, rounds->n);
}

/* Was the value told in one of the intervals, from the newest to the n-th? */
static bool was_told(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, size_t n, uint64_t value)
{
    for (size_t i = 0; i < n; i++)
        if (lies_in(value, told_in(a, conf, rounds, i)))
            return true;
    return false;
}

/* Step 5. */
static bool is_followed(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, bool is_asked)
{
    if (a->n_values == 0)
        return is_asked;
    if (!a->samples[0].is_seen)
        return a->is_followed;
    for (size_t i = 0; i < a->n_values; i++)
        if (was_told(a, conf, rounds, 1, a->values[i]))
            return true;
    return false;
}

/* Steps 2 and 3: the newest weighs most. */
static double weighted_rate(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds)
{
    double rates[ADAPTIVE_ROUNDS_MAX], sum = 0, weights = 0;
    size_t n = 0;

    for (size_t i = 0; i < n_known(a, rounds) && n < conf->used_buckets; i++)
        if (a->samples[i].is_seen)
            rates[n++] = (double)a->samples[i].count / rounds->at[i].seconds;
    for (size_t k = 0; k < n; k++) {
        double weight = pow((double)(n - k), 4);
        sum += weight * rates[k];
        weights += weight;
    }
    return n ? sum / weights : 0;
}

void adaptive_measure(struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, bool is_asked)
{
    if (n_known(a, rounds) == 0)
        return;
    a->is_followed = is_followed(a, conf, rounds, is_asked);
    a->rate = weighted_rate(a, conf, rounds);
}

/* --- what follows from it ------------------------------------------------------------------------- */

static void widen(struct range *range, struct range by)
{
    range->low = MG_MIN(range->low, by.low);
    range->high = MG_MAX(range->high, by.high);
}

/* What the counted roots were sampled with. Those that say it do so; others had what was told in their interval or in the one before, or
 * their service would not have asked in time. */
static struct range sampled_with(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds)
{
    struct range range = { INFINITY, 0 };
    size_t n = n_known(a, rounds), n_used = 0;

    for (size_t i = 0; i < a->n_values; i++)
        if (was_told(a, conf, rounds, n, a->values[i]))
            widen(&range, (struct range){ probability_of(a->values[i]), probability_of(a->values[i]) });
    for (size_t i = 0; a->n_values == 0 && i < n && n_used < conf->used_buckets; i++) {
        if (!a->samples[i].is_seen)
            continue;
        n_used++;
        widen(&range, told_in(a, conf, rounds, i));
        if (i + 1 < n)
            widen(&range, told_in(a, conf, rounds, i + 1));
    }
    if (range.high <= 0) /* what was told was 0, or is no longer known */
        widen(&range, told_in(a, conf, rounds, 0));
    range.low = MG_MAX(range.low, conf->min_probability);
    range.high = MG_MAX(range.high, range.low);
    return range;
}

static bool has_samples(const struct adaptive *a, const struct adaptive_rounds *rounds)
{
    for (size_t i = 0; i < n_known(a, rounds); i++)
        if (a->samples[i].is_seen)
            return true;
    return false;
}

/* The rate there would be with the probability now in force: the value of the range that asks for the least change. */
static double rate_now(const struct adaptive *a, struct range sampled, double target)
{
    double least = a->rate * a->probability / sampled.high, most = a->rate * a->probability / sampled.low;

    return target < least ? least : target > most ? most : target;
}

double adaptive_next(const struct adaptive *a, const struct head_conf *conf, const struct adaptive_rounds *rounds, double target)
{
    double next = a->probability, rate;

    if (!a->is_followed || !has_samples(a, rounds))
        return next;
    rate = rate_now(a, sampled_with(a, conf, rounds), target);
    if (fabs(rate - target) / target < conf->tolerance)
        return next;
    next = rate < NOTHING ? next * INCREASE_MAX : MG_MIN(next * target / rate, next * INCREASE_MAX);
    return MG_MIN(1.0, MG_MAX(conf->min_probability, next));
}
