/* dynamic.c - see dynamic.h. Followed are the documented behaviours of Refinery's EMAThroughputSampler: counts of an interval move into an
 * exponential moving average by key; the goal of the interval is shared by the logarithm of the averages; what a key does not need goes
 * to those after it, from the smallest on; a burst brings the adjustment forward. The order of keys is made one (average, then text), so equal
 * inputs give equal rates. */
#include "sample/dynamic.h"
#include <math.h>
#include <stdlib.h>
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

struct key { struct str text; /* own; any bytes, also zeroes */ double average, count, rate; };

struct dynamic {
    struct dynamic_conf conf;
    struct map by_text;             /* to number + 1 in `keys` */
    VEC(struct key) keys;
    struct key rest;                /* beyond max_keys */
    uint64_t begun_ns;              /* of the interval */
    uint32_t intervals;             /* adjusted so far */
    double counted, expected;       /* traces of this interval; what the averages say one has */
};

struct dynamic *dynamic_new(const struct dynamic_conf *conf)
{
    struct dynamic *dynamic = MEM_NEW(struct dynamic);

    dynamic->conf = *conf;
    dynamic->rest.rate = conf->initial_rate;
    return dynamic;
}

void dynamic_free(struct dynamic **dynamic)
{
    if (!*dynamic)
        return;
    for (size_t i = 0; i < (*dynamic)->keys.n; i++)
        mem_free((char *)(*dynamic)->keys.at[i].text.ptr);
    VEC_FINI(&(*dynamic)->keys);
    map_fini(&(*dynamic)->by_text);
    mem_free(*dynamic);
    *dynamic = NULL;
}

size_t dynamic_keys(const struct dynamic *dynamic)
{
    return dynamic->keys.n;
}

static struct key *key_of(struct dynamic *dynamic, struct str text)
{
    void **found = map_find(&dynamic->by_text, text);
    bool is_new;

    if (found)
        return &dynamic->keys.at[(uintptr_t)*found - 1];
    if (dynamic->keys.n >= dynamic->conf.max_keys)
        return &dynamic->rest;
    VEC_PUSH(&dynamic->keys, ((struct key){ .text = { str_text(text), text.len }, .rate = dynamic->intervals ? 1 : dynamic->conf.initial_rate }));
    *map_put(&dynamic->by_text, text, &is_new) = (void *)(uintptr_t)dynamic->keys.n; /* a number + 1 */
    return &dynamic->keys.at[dynamic->keys.n - 1];
}

/* --- adjustment ------------------------------------------------------------------------------------- */

static int by_average(const void *a, const void *b)
{
    const struct key *one = *(struct key *const *)a, *other = *(struct key *const *)b;

    if (one->average != other->average)
        return one->average < other->average ? -1 : 1;
    if (!one->text.ptr || !other->text.ptr)
        return one->text.ptr ? -1 : other->text.ptr ? 1 : 0;
    return str_cmp(one->text, other->text);
}

static void move_counts(const struct dynamic *dynamic, struct key *key, double per_interval)
{
    key->average += dynamic->conf.weight * (key->count * per_interval - key->average);
    key->count = 0;
}

/* Keys that have not been seen for so long that their average is nothing. */
static void forget(struct dynamic *dynamic)
{
    for (size_t i = 0; i < dynamic->keys.n;) {
        struct key *key = &dynamic->keys.at[i], *last = &dynamic->keys.at[dynamic->keys.n - 1];
        if (key->average >= dynamic->conf.age_out) {
            i++;
            continue;
        }
        map_remove(&dynamic->by_text, key->text, NULL);
        mem_free((char *)key->text.ptr);
        if (key != last) {
            *key = *last;
            *map_find(&dynamic->by_text, key->text) = (void *)(uintptr_t)(i + 1);
        }
        dynamic->keys.n--;
    }
}

/* Shares `goal` kept traces among keys that expect `average` each, by the logarithm of what they expect. */
static void share(struct key **keys, size_t n, double goal)
{
    double logs = 0;

    for (size_t i = 0; i < n; i++)
        logs += log10(fmax(keys[i]->average, 1)) + 1;
    for (size_t i = 0; i < n; i++) {
        double weight = log10(fmax(keys[i]->average, 1)) + 1, part = goal * weight / logs, kept = fmin(keys[i]->average, part);
        keys[i]->rate = kept > 0 ? fmax(1, keys[i]->average / kept) : 1;
        goal -= kept; /* what it does not use is there for those after it, which are larger */
        logs -= weight;
    }
}

static void adjust(struct dynamic *dynamic, double per_interval)
{
    struct key **order;
    size_t n;

    for (size_t i = 0; i < dynamic->keys.n; i++)
        move_counts(dynamic, &dynamic->keys.at[i], per_interval);
    move_counts(dynamic, &dynamic->rest, per_interval);
    forget(dynamic);
    order = mem_alloc((dynamic->keys.n + 1) * sizeof *order);
    for (n = 0; n < dynamic->keys.n; n++)
        order[n] = &dynamic->keys.at[n];
    if (dynamic->rest.average >= dynamic->conf.age_out)
        order[n++] = &dynamic->rest;
    qsort(order, n, sizeof(struct key *), by_average);
    share(order, n, dynamic->conf.goal * (double)dynamic->conf.interval_ns / 1e9);
    dynamic->expected = 0;
    for (size_t i = 0; i < n; i++)
        dynamic->expected += order[i]->average;
    mem_free(order);
    dynamic->counted = 0;
    dynamic->intervals += dynamic->intervals < UINT32_MAX;
}

/* Counts that have already passed what a whole interval has as a rule. */
static bool is_burst(const struct dynamic *dynamic)
{
    return dynamic->conf.burst_multiple > 0 && dynamic->intervals >= dynamic->conf.burst_delay && dynamic->expected > 0 &&
           dynamic->counted >= dynamic->conf.burst_multiple * dynamic->expected;
}

static void pass_time(struct dynamic *dynamic, uint64_t log_ns)
{
    uint64_t passed;

    if (dynamic->begun_ns == 0 || log_ns < dynamic->begun_ns)
        dynamic->begun_ns = log_ns;
    passed = log_ns - dynamic->begun_ns;
    if (passed < dynamic->conf.interval_ns && !is_burst(dynamic))
        return;
    /* A longer interval is brought to the common length. One cut short by a burst is not: a burst of a second would count as one of an
     * interval, and after it next to nothing would be kept for minutes. One that lasts brings the next adjustment as early. */
    adjust(dynamic, (double)dynamic->conf.interval_ns / (double)MG_MAX(passed, dynamic->conf.interval_ns));
    dynamic->begun_ns = log_ns;
}

uint64_t dynamic_threshold(struct dynamic *dynamic, struct str key, uint64_t log_ns)
{
    struct key *counted;

    pass_time(dynamic, log_ns);
    counted = key_of(dynamic, key);
    counted->count++;
    dynamic->counted++;
    return ot_threshold(1 / counted->rate);
}
