/* verdicts.c - the newest decisions, for the verdict table at start (store.h, collector/README.md R5).
 *
 * In the open partition runs and blocks are walked back together, by time, for each commit wrote at most one run and its blocks. A sealed
 * partition has one run in the order of hashes: of it those of the newest seconds are taken that there is room for, after the
 * partition's blocks, which are few beside it. Of equal hashes the newest comes first, so that the first one told is the one to believe. */
#include <unistd.h>
#include "base/bytes.h"
#include "store/private.h"
#include "store/summary.h"

#define SECOND_NS UINT64_C(1000000000)
enum { LOAD = 4096, AGES = 1 << 16 };

struct recent {
    size_t left;
    store_verdict_fn *on_verdict;
    void *owner;
    struct partition *partition;
    struct kv_txn *txn;     /* of its blocks; NULL: they cannot be read */
    uint32_t block;         /* the next one to be told; 0: all were */
    uint64_t block_wall_s;  /* of its commit */
    int fd;                 /* of its decisions; -1: none */
    struct decision *entries;
};

static bool tell(struct recent *recent, uint64_t hash, uint64_t word)
{
    struct outcome outcome;

    if (recent->left == 0)
        return false;
    if (outcome_unpack(word, &outcome)) { /* 0: kept without sampling, of which nothing is known */
        recent->left--;
        recent->on_verdict(recent->owner, hash, word);
    }
    return true;
}

/* --- blocks --------------------------------------------------------------------------------------------- */

static bool on_outcome(void *owner, const uint8_t trace_id[16], uint64_t outcome)
{
    return tell(owner, trace_hash(trace_id), outcome);
}

static bool value_of(struct recent *recent, unsigned table, struct str *value)
{
    uint8_t key[4];

    partition_key(recent->block, key);
    return kv_get(recent->txn, table, str_n(key, 4), value);
}

/* When the next block was committed; a summary that cannot be read says nothing, and the block is told at once. */
static void look_at_block(struct recent *recent)
{
    struct summary summary;
    struct str value;

    recent->block_wall_s = UINT64_MAX;
    if (recent->block && value_of(recent, TABLE_SUM, &value) && summary_read(value, &summary) == MG_OK)
        recent->block_wall_s = summary.wall_ns / SECOND_NS;
}

static void tell_block(struct recent *recent)
{
    struct block_reader *reader;
    struct mg_why why = { "" };
    struct str value;
    bool is_fine = value_of(recent, TABLE_BLK, &value);

    if (is_fine && (is_fine = block_open(&reader, value, &why) == MG_OK)) {
        is_fine = block_outcomes(reader, on_outcome, recent, &why) == MG_OK;
        block_close(&reader);
    }
    if (!is_fine)
        LOG(ERROR, "verdicts of a block left out", F_TEXT("path", recent->partition->path), F_U64("block", recent->block), F_WHY(&why));
    recent->block--;
    look_at_block(recent);
}

/* Those of commits not before that second. */
static void tell_blocks_since(struct recent *recent, uint64_t wall_s)
{
    while (recent->left && recent->block && recent->block_wall_s >= wall_s)
        tell_block(recent);
}

/* --- runs ----------------------------------------------------------------------------------------------- */

/* Entries whose time is `since` or later, from the last one on. */
static enum mg_err tell_run(struct recent *recent, const struct decision_run *run, uint32_t since_s, struct mg_why *why)
{
    for (uint32_t end = run->n, n; end && recent->left; end -= n) {
        n = MG_MIN(end, (uint32_t)LOAD);
        MG_TRY(decisions_load(recent->fd, run, end - n, n, recent->entries, why));
        for (uint32_t i = n; i-- > 0;)
            if (recent->entries[i].time_s >= since_s && !tell(recent, recent->entries[i].hash, recent->entries[i].word))
                break;
    }
    return MG_OK;
}

typedef void time_fn(void *owner, uint32_t time_s);

static enum mg_err each_time(struct recent *recent, const struct decision_run *run, time_fn *on_time, void *owner, struct mg_why *why)
{
    uint32_t times[1024];

    for (uint32_t done = 0, n; done < run->n; done += n) {
        n = MG_MIN(run->n - done, (uint32_t)MG_COUNT(times));
        MG_TRY(decisions_load_times(recent->fd, run, done, n, times, why));
        for (uint32_t i = 0; i < n; i++)
            on_time(owner, times[i]);
    }
    return MG_OK;
}

static void note_newest(void *owner, uint32_t time_s)
{
    uint32_t *newest = owner;

    *newest = MG_MAX(*newest, time_s);
}

struct ages { uint32_t newest_s; uint32_t *count; };

static void count_age(void *owner, uint32_t time_s)
{
    struct ages *ages = owner;

    ages->count[MG_MIN(ages->newest_s - time_s, (uint32_t)AGES - 1)]++;
}

/* The second from which on there is room for all; the newest one when even that has too many. */
static uint32_t since_when(const struct ages *ages, size_t room)
{
    size_t sum = 0;
    uint32_t age = 0;

    while (age < AGES && (sum += ages->count[age]) <= room)
        age++;
    if (age == AGES)
        return 0;
    age = MG_MAX(age, 1u) - 1;
    return ages->newest_s > age ? ages->newest_s - age : 0;
}

static enum mg_err tell_merged(struct recent *recent, const struct decision_run *run, uint32_t newest_s, struct mg_why *why)
{
    struct ages ages = { .newest_s = newest_s };
    uint32_t since_s = 0;
    enum mg_err err = MG_OK;

    if (run->n > recent->left) {
        ages.count = mem_zero(AGES, sizeof *ages.count);
        err = each_time(recent, run, count_age, &ages, why);
        since_s = since_when(&ages, recent->left);
        mem_free(ages.count);
    }
    return err == MG_OK ? tell_run(recent, run, since_s, why) : err;
}

static void tell_one_run(struct recent *recent, const struct decision_run *run)
{
    struct mg_why why = { "" };
    uint32_t newest_s = 0;
    enum mg_err err = decisions_verify(recent->fd, run, &why);

    if (err == MG_OK)
        err = each_time(recent, run, note_newest, &newest_s, &why);
    /* A block of a later second is of this commit, or of a newer one. */
    if (err == MG_OK)
        tell_blocks_since(recent, run->is_merged ? 0 : (uint64_t)newest_s + 1);
    if (err == MG_OK)
        err = run->is_merged ? tell_merged(recent, run, newest_s, &why) : tell_run(recent, run, 0, &why);
    if (err != MG_OK)
        LOG(ERROR, "decisions damaged", F_TEXT("path", recent->partition->decisions.path), F_WHY(&why));
}

/* --- partitions ----------------------------------------------------------------------------------------- */

static void tell_partition(struct recent *recent, struct partition *partition)
{
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;
    const struct decisions *decisions = &partition->decisions;
    struct decision_run merged = { 0 };
    struct mg_why why = { "" };

    recent->partition = partition;
    recent->block = 0;
    if (partition_env(partition, &env, &why) == MG_OK && kv_begin(&recent->txn, env, false, &why) == MG_OK)
        recent->block = partition->last_block;
    else
        LOG(ERROR, "verdicts of a partition left out", F_WHY(&why));
    look_at_block(recent);
    if (decisions->runs.n && decisions_open(decisions->path, &recent->fd, &merged, &why) != MG_OK)
        LOG(ERROR, "verdicts of a partition left out", F_WHY(&why));
    for (size_t i = decisions->runs.n; recent->fd >= 0 && recent->left && i-- > 0;)
        tell_one_run(recent, &decisions->runs.at[i]);
    tell_blocks_since(recent, 0);
    if (recent->fd >= 0)
        close(recent->fd);
    recent->fd = -1;
    kv_abort(&recent->txn);
}

void store_recent_verdicts(struct store *store, size_t max, store_verdict_fn *on_verdict, void *owner)
{
    struct recent recent = { .left = max, .on_verdict = on_verdict, .owner = owner, .fd = -1, .entries = mem_alloc(LOAD * sizeof(struct decision)) };

    for (size_t i = store->shared.partitions.n; recent.left && i-- > 0;)
        tell_partition(&recent, store->shared.partitions.at[i]);
    mem_free(recent.entries);
}
