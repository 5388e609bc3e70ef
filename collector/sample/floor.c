/* floor.c - see floor.h. Operations are a hash table over a fixed pool, in the order in which they were last seen; the table is rebuilt
 * never: a removed entry's followers are shifted back.
 *
 * Durations go to a histogram of a quarter octave a bucket: what is above the bucket of the 99th percentile is slow. It is halved once a
 * minute, but not before it holds what a percentile needs: an operation with five traces a minute remembers longer.
 * Fairness: an operation that was lately granted less than its share of the burst (burst / operations that asked for the same kind in the last
 * minute, and one that may come) may use the bucket down to the bottom, one that was granted more only its upper half; so what one noisy
 * operation cannot have is there for the others.
 * Kinds are counted apart, or a flood of new operations would make the share of those with errors nothing. */
#include "sample/floor.h"
#include <math.h>
#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"

enum {
    OPERATIONS_MAX = 10000, BUCKETS = 160, SLOTS = 16384, NOBODY = UINT16_MAX,
    SLOW_LEAST = 20, HALVE_LEAST = 200, /* traces */
    UNIT = 8 /* of one trace in a bucket: halving must not take the single ones of the tail */
};
#define SECOND_NS UINT64_C(1000000000)
#define MINUTE_NS (60 * SECOND_NS)
#define DAY_NS (86400 * SECOND_NS)
#define BURST_S 10.0
#define BURST_LEAST 4.0

struct share {
    double granted;             /* of the last minute, decaying */
    uint64_t granted_ns;        /* as of */
    uint64_t asked_minute;      /* the last minute in which it asked */
};

struct operation {
    uint64_t hash;
    uint16_t older, newer;      /* by when it was last seen */
    bool is_known;              /* not new any more */
    uint16_t slow_from;         /* bucket; BUCKETS: nothing is slow yet */
    uint32_t seen;              /* in the histogram */
    uint32_t learnt;            /* since slow_from was found */
    uint64_t halved_ns;
    struct share shares[FLOOR_KINDS];
    uint16_t durations[BUCKETS];
};

struct floor {
    double rate;
    uint64_t bytes_max;
    double tokens;
    uint64_t now_ns;            /* the latest log time, or where the clock was set back to; 0: none yet */
    uint64_t day, bytes_today;
    uint64_t minute;            /* of `asking` */
    uint32_t asking[FLOOR_KINDS], asked[FLOOR_KINDS]; /* operations that asked in this minute, in the one before */
    uint64_t refused[FLOOR_KINDS];
    struct operation *pool[OPERATIONS_MAX]; /* made one by one */
    uint16_t n, oldest, newest;
    uint16_t slots[SLOTS];      /* place in the pool, NOBODY: free */
};

struct floor *floor_new(void)
{
    struct floor *floor = MEM_NEW(struct floor);

    for (size_t i = 0; i < SLOTS; i++)
        floor->slots[i] = NOBODY;
    floor->oldest = floor->newest = NOBODY;
    return floor;
}

void floor_free(struct floor **floor)
{
    if (!*floor)
        return;
    for (size_t i = 0; i < (*floor)->n; i++)
        mem_free((*floor)->pool[i]);
    mem_free(*floor);
    *floor = NULL;
}

static double burst_of(const struct floor *floor)
{
    return fmax(floor->rate * BURST_S, BURST_LEAST);
}

void floor_limit(struct floor *floor, double traces_per_second, uint64_t bytes_per_day)
{
    bool was_off = floor->rate <= 0;

    floor->rate = traces_per_second;
    floor->bytes_max = bytes_per_day;
    floor->tokens = was_off ? burst_of(floor) : fmin(floor->tokens, burst_of(floor));
}

/* --- operations ------------------------------------------------------------------------------------- */

static size_t home(uint64_t hash)
{
    return (hash * 0x9e3779b97f4a7c15u) >> 50; /* 14 bits */
}

static size_t find_slot(const struct floor *floor, uint64_t hash)
{
    size_t i = home(hash);

    while (floor->slots[i] != NOBODY && floor->pool[floor->slots[i]]->hash != hash)
        i = (i + 1) % SLOTS;
    return i;
}

static void unlink_operation(struct floor *floor, uint16_t at)
{
    const struct operation *operation = floor->pool[at];

    if (operation->older != NOBODY)
        floor->pool[operation->older]->newer = operation->newer;
    else
        floor->oldest = operation->newer;
    if (operation->newer != NOBODY)
        floor->pool[operation->newer]->older = operation->older;
    else
        floor->newest = operation->older;
}

static void link_newest(struct floor *floor, uint16_t at)
{
    struct operation *operation = floor->pool[at];

    operation->older = floor->newest;
    operation->newer = NOBODY;
    if (floor->newest != NOBODY)
        floor->pool[floor->newest]->newer = at;
    else
        floor->oldest = at;
    floor->newest = at;
}

static void free_slot(struct floor *floor, size_t hole)
{
    floor->slots[hole] = NOBODY;
    for (size_t i = (hole + 1) % SLOTS; floor->slots[i] != NOBODY; i = (i + 1) % SLOTS) {
        size_t want = home(floor->pool[floor->slots[i]]->hash);
        bool may_move = hole <= i ? want <= hole || want > i : want <= hole && want > i;
        if (!may_move)
            continue;
        floor->slots[hole] = floor->slots[i];
        floor->slots[i] = NOBODY;
        hole = i;
    }
}

/* A place for one more: a new one, or that of the operation that was not seen for longest. */
static uint16_t take_place(struct floor *floor)
{
    uint16_t at = floor->n;

    if (floor->n < OPERATIONS_MAX) {
        floor->pool[floor->n++] = mem_alloc(sizeof **floor->pool);
        return at;
    }
    at = floor->oldest;
    free_slot(floor, find_slot(floor, floor->pool[at]->hash));
    unlink_operation(floor, at);
    return at;
}

static struct operation *operation_of(struct floor *floor, uint64_t hash)
{
    size_t slot = find_slot(floor, hash);
    uint16_t at = floor->slots[slot];

    if (at != NOBODY) {
        unlink_operation(floor, at);
        link_newest(floor, at);
        return floor->pool[at];
    }
    at = take_place(floor);
    *floor->pool[at] = (struct operation){ .hash = hash, .slow_from = BUCKETS };
    floor->slots[find_slot(floor, hash)] = at;
    link_newest(floor, at);
    return floor->pool[at];
}

void floor_know(struct floor *floor, uint64_t operation)
{
    operation_of(floor, operation)->is_known = true;
}

/* --- slow ------------------------------------------------------------------------------------------- */

/* Quarter octaves from 1 us on; the last bucket is open. */
static uint16_t bucket_of(uint64_t duration_ns)
{
    unsigned octave;
    uint64_t us = duration_ns / 1000;

    if (us < 4)
        return (uint16_t)us;
    octave = 63 - (unsigned)__builtin_clzll(us);
    return (uint16_t)MG_MIN((unsigned)BUCKETS - 1, 4 * (octave - 1) + (unsigned)(us >> (octave - 2) & 3));
}

static void halve(struct operation *operation)
{
    operation->seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        operation->seen += operation->durations[i] /= 2;
}

static void find_slow(struct operation *operation)
{
    uint32_t above = 0, at = BUCKETS;

    operation->learnt = 0;
    operation->slow_from = BUCKETS;
    if (operation->seen < SLOW_LEAST * UNIT)
        return;
    while (at > 0 && (above + operation->durations[at - 1]) * 100 <= operation->seen)
        above += operation->durations[--at];
    operation->slow_from = (uint16_t)at;
}

/* True: it is slower than nearly all before it. */
static bool learn(struct operation *operation, uint64_t duration_ns, uint64_t now_ns)
{
    uint16_t bucket = bucket_of(duration_ns);
    bool is_slow = operation->seen >= SLOW_LEAST * UNIT && bucket >= operation->slow_from;

    if ((now_ns - operation->halved_ns >= MINUTE_NS && operation->seen >= HALVE_LEAST * UNIT) || /* also when the clock was set back: once */
        operation->durations[bucket] > UINT16_MAX - UNIT) {
        halve(operation);
        operation->halved_ns = now_ns;
    }
    operation->durations[bucket] += UNIT;
    operation->seen += UNIT;
    if (++operation->learnt >= SLOW_LEAST)
        find_slow(operation);
    return is_slow;
}

/* --- budget ----------------------------------------------------------------------------------------- */

/* The day's bytes go on when the clock is set back, until the next midnight; those of a file only on the day they are of. */
static void pass_days(struct floor *floor, uint64_t day, bool is_first)
{
    if (is_first ? day != floor->day : day > floor->day)
        floor->bytes_today = 0;
    floor->day = day;
}

/* Log times a little behind are of other doors. What is further behind is a clock that was set back: waiting for it to come again would be
 * a budget of nothing until then. */
static void pass_time(struct floor *floor, uint64_t log_ns)
{
    bool is_first = floor->now_ns == 0;
    uint64_t minute;

    if (log_ns > floor->now_ns)
        floor->tokens = fmin(burst_of(floor), floor->tokens + (double)(log_ns - floor->now_ns) / 1e9 * (is_first ? 0 : floor->rate));
    if (log_ns > floor->now_ns || floor->now_ns - log_ns > MINUTE_NS)
        floor->now_ns = log_ns;
    pass_days(floor, floor->now_ns / DAY_NS, is_first);
    minute = floor->now_ns / MINUTE_NS;
    if (minute == floor->minute)
        return;
    for (size_t kind = 0; kind < FLOOR_KINDS; kind++) {
        floor->asked[kind] = minute == floor->minute + 1 ? floor->asking[kind] : 0;
        floor->asking[kind] = 0;
    }
    floor->minute = minute;
}

/* Has the operation had its share? A share is of the burst: one of a minute's grants would be more than the bucket holds. */
static bool had_its_share(struct floor *floor, struct share *share, enum floor_kind kind)
{
    double passed = (double)(floor->now_ns - MG_MIN(floor->now_ns, share->granted_ns)) / (double)SECOND_NS;

    if (share->asked_minute != floor->minute) {
        share->asked_minute = floor->minute;
        floor->asking[kind]++;
    }
    share->granted *= exp(-passed / BURST_S);
    share->granted_ns = floor->now_ns;
    return share->granted >= burst_of(floor) / (MG_MAX(floor->asking[kind], floor->asked[kind]) + 1.0);
}

static bool grant(struct floor *floor, struct operation *operation, enum floor_kind kind, const struct floor_ask *ask)
{
    bool is_error = kind == FLOOR_ERROR;
    struct share *share = &operation->shares[kind];
    double kept_free = (is_error ? 0 : 0.5) + (had_its_share(floor, share, kind) ? is_error ? 0.5 : 0.25 : 0);
    uint64_t bytes_max = is_error ? floor->bytes_max : floor->bytes_max / 2;

    if (floor->tokens < 1 + kept_free * (burst_of(floor) - 1) - 1e-9 || ask->bytes > bytes_max || floor->bytes_today > bytes_max - ask->bytes) {
        floor->refused[kind]++;
        return false;
    }
    floor->tokens -= 1;
    floor->bytes_today += ask->bytes;
    share->granted += 1;
    return true;
}

enum floor_kind floor_decide(struct floor *floor, const struct floor_ask *ask, bool wants)
{
    struct operation *operation;
    enum floor_kind kind = FLOOR_NOT;
    bool is_slow;

    if (floor->rate <= 0 || floor->bytes_max == 0)
        return FLOOR_NOT;
    pass_time(floor, ask->log_ns);
    operation = operation_of(floor, ask->operation);
    is_slow = learn(operation, ask->duration_ns, floor->now_ns);
    if (ask->has_error)
        kind = FLOOR_ERROR;
    else if (!operation->is_known && ask->is_whole)
        kind = FLOOR_NEW;
    else if (is_slow)
        kind = FLOOR_SLOW;
    if (!wants || kind == FLOOR_NOT || !grant(floor, operation, kind, ask)) {
        operation->is_known |= !wants && ask->is_whole; /* it is kept by another; refused, the next one is the first */
        return FLOOR_NOT;
    }
    operation->is_known |= ask->is_whole;
    return kind;
}

void floor_stat(const struct floor *floor, struct floor_stats *out)
{
    *out = (struct floor_stats){ .bytes_today = floor->bytes_today, .operations = floor->n };
    memcpy(out->refused, floor->refused, sizeof out->refused);
}

void floor_save(const struct floor *floor, struct buf *out)
{
    buf_put_varint(out, floor->day);
    buf_put_varint(out, floor->bytes_today);
}

void floor_load(struct floor *floor, struct str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr, *end = at + bytes.len;
    uint64_t day, used;

    if (!(at = get_varint(at, end, &day)) || !(at = get_varint(at, end, &used)) || at != end)
        return;
    floor->day = day;
    floor->bytes_today = used;
    floor->now_ns = 0;
}
