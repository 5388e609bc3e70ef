/* floor.c - see floor.h. Operations are a hash table over a fixed pool, in the order in which they were last seen; the table is rebuilt
 * never: a removed entry's followers are shifted back.
 *
 * Durations go to a histogram of a quarter octave a bucket: what is above the bucket of the 99th percentile is slow. It is halved once a
 * minute, but not before it holds what a percentile needs: an operation with five traces a minute remembers longer.
 * Fairness: an operation that was lately granted less than its share of the burst (burst / operations that asked for the same kind in the last
 * minute, and one that may come) may use the bucket down to the bottom, one that was granted more only its upper half; so what one noisy
 * operation cannot have is there for the others.
 * The day's bytes are shared by the same rule, among the operations that asked today, or yesterday when those were more: at midnight nobody has
 * asked yet. Those that had much of the day are listed besides, so that a restart, which forgets the operations, gives them no new share.
 * Kinds are counted apart, or a flood of new operations would make the share of those with errors nothing. */
#include "sample/floor.h"
#include <math.h>
#include "base/bytes.h"
#include "base/map.h"
#include "base/mem.h"

enum {
    HEAVY_MAX = 32, /* so many can have had more than a 32nd of the day */
    OPERATIONS_MAX = 10000, BUCKETS = 160, SLOTS = 16384, NOBODY = UINT16_MAX,
    SLOW_LEAST = 20, HALVE_LEAST = 200, /* traces */
    UNIT = 8 /* of one trace in a bucket: halving must not take the single ones of the tail */
};
#define SECOND_NS UINT64_C(1000000000)
#define MINUTE_NS (60 * SECOND_NS)
#define DAY_NS (86400 * SECOND_NS)
#define BURST_S 10.0
#define BURST_LEAST 4.0
#define TOKEN_UNIT 1000.0 /* of a saved token */

struct share {
    double granted;             /* of the last minute, decaying */
    uint64_t granted_ns;        /* as of */
    uint64_t asked_minute;      /* the last minute in which it asked */
    uint64_t asked_day, bytes;  /* the last day in which it asked, and what it was granted then */
};

struct heavy { uint64_t operation, kind, bytes; };
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
    uint32_t asking_today[FLOOR_KINDS], asked_yesterday[FLOOR_KINDS];
    struct heavy heavy[HEAVY_MAX]; /* of today */
    size_t n_heavy;
    bool is_running;            /* false: nothing was asked since it was made or loaded */
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

static void turn_day(struct floor *floor, uint64_t day)
{
    for (size_t kind = 0; kind < FLOOR_KINDS; kind++) {
        floor->asked_yesterday[kind] = day == floor->day + 1 ? floor->asking_today[kind] : 0;
        floor->asking_today[kind] = 0;
    }
    floor->bytes_today = 0;
    floor->n_heavy = 0;
}

/* The day's bytes go on when the clock is set back, until the next midnight; those of a file only on the day they are of. */
static void pass_days(struct floor *floor, uint64_t day)
{
    if (floor->is_running ? day > floor->day : day != floor->day)
        turn_day(floor, day);
    floor->day = day;
}

/* Log times a little behind are of other doors. What is further behind is a clock that was set back: waiting for it to come again would be
 * a budget of nothing until then. */
static void pass_time(struct floor *floor, uint64_t log_ns)
{
    uint64_t minute;

    if (log_ns > floor->now_ns && floor->now_ns > 0)
        floor->tokens = fmin(burst_of(floor), floor->tokens + (double)(log_ns - floor->now_ns) / 1e9 * floor->rate);
    if (log_ns > floor->now_ns || floor->now_ns - log_ns > MINUTE_NS)
        floor->now_ns = log_ns;
    pass_days(floor, floor->now_ns / DAY_NS);
    floor->is_running = true;
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

/* The same of the day's bytes that the kind has. Minutes and days are counted from 1, so that one that never asked has not asked today. */
static bool had_its_bytes(struct floor *floor, struct share *share, enum floor_kind kind, uint64_t bytes_max)
{
    if (share->asked_day != floor->day + 1) {
        share->asked_day = floor->day + 1;
        share->bytes = 0;
        floor->asking_today[kind]++;
    }
    return (double)share->bytes >= (double)bytes_max / (MG_MAX(floor->asking_today[kind], floor->asked_yesterday[kind]) + 1.0);
}

static bool has_tokens(struct floor *floor, struct share *share, enum floor_kind kind)
{
    bool is_error = kind == FLOOR_ERROR;
    double kept_free = (is_error ? 0 : 0.5) + (had_its_share(floor, share, kind) ? is_error ? 0.5 : 0.25 : 0);

    return floor->tokens >= 1 + kept_free * (burst_of(floor) - 1) - 1e-9;
}

/* The half that is left to those below their share comes free as the day passes: what they did not need is not lost. */
static bool has_bytes(struct floor *floor, struct share *share, enum floor_kind kind, uint64_t bytes)
{
    uint64_t bytes_max = kind == FLOOR_ERROR ? floor->bytes_max : floor->bytes_max / 2;

    if (had_its_bytes(floor, share, kind, bytes_max))
        bytes_max = bytes_max / 2 + (uint64_t)((double)(bytes_max / 2) * ((double)(floor->now_ns % DAY_NS) / (double)DAY_NS));
    return bytes <= bytes_max && floor->bytes_today <= bytes_max - bytes;
}

static void note_heavy(struct floor *floor, const struct heavy *heavy)
{
    if (heavy->bytes <= floor->bytes_max / HEAVY_MAX)
        return;
    for (size_t i = 0; i < floor->n_heavy; i++)
        if (floor->heavy[i].operation == heavy->operation && floor->heavy[i].kind == heavy->kind) {
            floor->heavy[i].bytes = heavy->bytes;
            return;
        }
    if (floor->n_heavy < HEAVY_MAX) /* or else the limit was raised meanwhile */
        floor->heavy[floor->n_heavy++] = *heavy;
}

static bool grant(struct floor *floor, struct operation *operation, enum floor_kind kind, const struct floor_ask *ask)
{
    struct share *share = &operation->shares[kind];
    bool has_room = has_bytes(floor, share, kind, ask->bytes); /* both are asked: each counts who asks */

    if (!has_tokens(floor, share, kind) || !has_room) {
        floor->refused[kind]++;
        return false;
    }
    floor->tokens -= 1;
    floor->bytes_today += ask->bytes;
    share->granted += 1;
    share->bytes += ask->bytes;
    note_heavy(floor, &(struct heavy){ operation->hash, kind, share->bytes });
    return true;
}

static enum floor_kind kind_of(const struct operation *operation, const struct floor_ask *ask, bool is_slow)
{
    if (ask->has_error)
        return FLOOR_ERROR;
    if (!operation->is_known && ask->is_whole)
        return FLOOR_NEW;
    return is_slow ? FLOOR_SLOW : FLOOR_NOT;
}

enum floor_kind floor_decide(struct floor *floor, const struct floor_ask *ask)
{
    struct operation *operation;
    enum floor_kind kind;
    bool is_slow, is_kept;

    if (floor->rate <= 0 || floor->bytes_max == 0)
        return FLOOR_NOT;
    pass_time(floor, ask->log_ns);
    operation = operation_of(floor, ask->operation);
    is_slow = learn(operation, ask->duration_ns, floor->now_ns);
    kind = ask->wish == FLOOR_ASKS ? kind_of(operation, ask, is_slow) : FLOOR_NOT;
    if (kind != FLOOR_NOT && !grant(floor, operation, kind, ask))
        kind = FLOOR_NOT;
    is_kept = kind != FLOOR_NOT || ask->wish == FLOOR_IS_KEPT;
    operation->is_known |= is_kept && ask->is_whole; /* of those that are dropped, or refused, the next one is the first */
    return kind;
}

void floor_stat(const struct floor *floor, struct floor_stats *out)
{
    *out = (struct floor_stats){ .bytes_today = floor->bytes_today, .operations = floor->n };
    memcpy(out->refused, floor->refused, sizeof out->refused);
}

/* --- across a restart ------------------------------------------------------------------------------- */

void floor_save(const struct floor *floor, struct buf *out)
{
    buf_put_varint(out, floor->day);
    buf_put_varint(out, floor->bytes_today);
    buf_put_varint(out, floor->now_ns);
    buf_put_varint(out, (uint64_t)llround(fmax(0, floor->tokens) * TOKEN_UNIT));
    for (size_t i = 0; i < floor->n_heavy; i++) {
        buf_put_varint(out, floor->heavy[i].operation);
        buf_put_varint(out, floor->heavy[i].kind);
        buf_put_varint(out, floor->heavy[i].bytes);
    }
}

struct saved { uint64_t words[4 + 3 * HEAVY_MAX]; size_t n; };

static bool read_saved(struct str bytes, struct saved *out)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr, *end = at + bytes.len;

    for (*out = (struct saved){ .n = 0 }; at != end; out->n++)
        if (out->n == MG_COUNT(out->words) || !(at = get_varint(at, end, &out->words[out->n])))
            return false;
    if (out->n == 2) /* of an older version */
        return true;
    if (out->n < 4 || (out->n - 4) % 3 != 0 || (out->words[2] > 0 && out->words[2] / DAY_NS != out->words[0]))
        return false;
    for (size_t i = 4; i < out->n; i += 3)
        if (out->words[i + 1] >= FLOOR_KINDS)
            return false;
    return true;
}

static void load_heavy(struct floor *floor, const struct heavy *heavy)
{
    struct share *share = &operation_of(floor, heavy->operation)->shares[heavy->kind];

    share->asked_day = floor->day + 1;
    share->bytes = heavy->bytes;
    floor->asking_today[heavy->kind]++;
    floor->heavy[floor->n_heavy++] = *heavy;
}

void floor_load(struct floor *floor, struct str bytes)
{
    struct saved saved;

    if (!read_saved(bytes, &saved))
        return;
    turn_day(floor, saved.words[0]);
    floor->day = saved.words[0];
    floor->bytes_today = saved.words[1];
    floor->now_ns = saved.words[2];
    floor->tokens = floor->now_ns > 0 ? fmin(burst_of(floor), (double)saved.words[3] / TOKEN_UNIT) : burst_of(floor);
    floor->is_running = false;
    for (size_t i = 4; i < saved.n; i += 3)
        load_heavy(floor, &(struct heavy){ saved.words[i], saved.words[i + 1], saved.words[i + 2] });
}
