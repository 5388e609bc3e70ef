/* retain.c - the life of partition files after their first commit: roll, seal, drop (collector/README.md R8, R11).
 *
 * Closing a partition is three steps. At the roll it gets no more commits, but its writable environment may still serve
 * views. Then its decisions are merged, a part in each turn between commits, and the merged run and the index are written into it.
 * Once nobody uses the writable environment it is closed, and opened read-only when it is needed.
 *
 * Neither sealing nor dropping happens before the new partition has its first commit: until then the old one alone
 * says where recovery starts.
 *
 * Ages go by a wall clock that is not believed at once (struct clock_age).
 *
 * Below the floor of free space the oldest partition goes, one a look, because the file system takes its time to give the
 * space back. Only when none is left the store says it is full. What the log needs next is a floor for dropping alone: whether spans
 * can be taken without it is the log's to say. */
#include "store/private.h"
#include <assert.h>
#include <sys/statvfs.h>

#define ROLL_BYTES_MAX     (UINT64_C(4) << 30)
#define FIRST_COMMIT_BYTES (UINT64_C(1) << 20) /* more than a new partition takes */
/* A failed write may leave an environment that refuses everything; a new file may work. */
enum { FAILURES_A_PARTITION = 3 };
/* Decisions go by whole files: of so many an eighth at a time. */
enum { DECISION_FILES = 8 };
enum { STEPS_A_TURN = 4 }; /* of a merge: some 100,000 decisions, 30 ms, that a commit may have to wait for */

static bool disk_of_system(const char *dir, struct store_disk *out)
{
    struct statvfs disk;

    if (statvfs(dir, &disk) != 0)
        return false;
    *out = (struct store_disk){ (uint64_t)disk.f_blocks * disk.f_frsize, (uint64_t)disk.f_bavail * disk.f_frsize };
    return true;
}

static bool look_at_disk(const struct store *store, struct store_disk *out)
{
    return store->options.disk ? store->options.disk(store->dir, out) : disk_of_system(store->dir, out);
}

uint64_t store_disk_max(const struct store *store)
{
    uint64_t most = store_conf_now(store).disk_max;
    struct store_disk disk;

    if (most)
        return most;
    return look_at_disk(store, &disk) ? disk.total_bytes / 10 * 8 : UINT64_MAX;
}

bool store_lacks_room(const struct store *store)
{
    struct store_disk disk;

    return look_at_disk(store, &disk) && disk.free_bytes < FIRST_COMMIT_BYTES;
}

struct partition *store_open_partition(struct store *store)
{
    return store->shared.partitions.at[store->shared.partitions.n - 1];
}

static bool has_state(const struct partition *partition)
{
    return partition->state.commit > 0;
}

static bool age_is_over(struct store *store, const struct partition *partition)
{
    uint64_t wall = store_wall(store), roll = store_conf_now(store).roll_ns;

    /* Begun in what is the future since the clock was set back, it would be open until then. */
    return has_state(partition) && (wall >= partition->first_wall_ns + roll || wall + roll <= partition->first_wall_ns);
}

/* At least a `parts`-th of what may be kept of them. Where nothing may, a partition's go when it is closed for other reasons: a start
 * asks the open one what late spans follow, and partitions of one commit each would serve nobody. */
static bool has_decisions(const struct store *store, const struct partition *partition, unsigned parts)
{
    uint64_t most = store_conf_now(store).decisions_max;

    return most > 0 && partition->decisions.disk_bytes >= MG_MAX(most / parts, UINT64_C(1));
}

/* Retention takes closed partitions only, so spans must not stay in an open one when nothing comes any more, and decisions not when
 * they are too many without all others. */
bool store_roll_cannot_wait(struct store *store)
{
    const struct partition *partition = store_open_partition(store);

    if (!has_state(partition) || (partition->last_block == 0 && partition->decisions.length == 0))
        return false;
    return age_is_over(store, partition) || has_decisions(store, partition, 1);
}

static bool roll_is_due(struct store *store, struct partition *partition)
{
    uint64_t bytes_max = MG_MIN(ROLL_BYTES_MAX, store_disk_max(store) / 16);

    return has_state(partition) && (partition->is_closed || age_is_over(store, partition) ||
                                    partition_disk_bytes(partition) >= bytes_max ||
                                    has_decisions(store, partition, DECISION_FILES) ||
                                    store->own.failures >= FAILURES_A_PARTITION);
}

enum mg_err store_roll_if_due(struct store *store, struct mg_why *why)
{
    struct partition *old = store_open_partition(store), *fresh;

    assert(!store->own.unsure); /* else its blocks might be there and in the next one */
    if (!roll_is_due(store, old))
        return MG_OK;
    MG_TRY(partition_create(&fresh, store->dir, store->own.next_number, why));
    fresh->handles = &store->handles;
    if (store_sync_dir(store->dir, why) != MG_OK) {
        partition_unlink(fresh);
        partition_unref(&fresh);
        return MG_E_IO;
    }
    store->own.next_number++;
    store->own.failures = 0;
    pthread_mutex_lock(&store->shared.lock);
    old->is_closed = true;
    VEC_PUSH(&store->shared.partitions, fresh);
    store_list_changed(store);
    pthread_mutex_unlock(&store->shared.lock);
    LOG(INFO, "partition closed", F_TEXT("path", old->path), F_U64("spans", old->spans));
    return MG_OK;
}

static const struct decisions_merge_options *merge_options(const struct store *store, struct decisions_merge_options *out)
{
    *out = (struct decisions_merge_options){ .dir = store->dir, .fan_in = DECISIONS_FAN_IN, .stop = &store->is_stopping };
    return out;
}

/* What is merged is read by what it says of itself, so that the list may follow the file. */
static void note_merged(struct store *store, struct partition *partition, const struct decision_run *run, unsigned damaged)
{
    if (damaged) {
        LOG(ERROR, "decisions damaged", F_TEXT("path", partition->decisions.path), F_U64("runs", damaged));
        if (store->metrics)
            metric_add(store->metrics, STORE_decisions_damaged, 0, 0, damaged);
        else
            store->own.damaged_decisions += damaged;
    }
    pthread_mutex_lock(&store->shared.lock);
    decisions_merged(&partition->decisions, run);
    pthread_mutex_unlock(&store->shared.lock);
}

enum mg_err store_merge_decisions(struct store *store, struct partition *partition, struct mg_why *why)
{
    struct decisions_merge_options options;
    struct decision_run run;
    unsigned damaged;

    if (partition->decisions.is_merged)
        return MG_OK;
    MG_TRY(decisions_merge(&partition->decisions, merge_options(store, &options), &run, &damaged, why));
    note_merged(store, partition, &run, damaged);
    return MG_OK;
}

void store_stop_merging(struct store *store, const struct partition *partition)
{
    if (partition && store->own.merging.of != partition)
        return;
    decisions_merging_free(&store->own.merging.at);
    store->own.merging.of = NULL;
}

/* A part of the work; the rest is another turn's, after what is to be committed. One partition's at a time. */
static enum mg_err merge_some(struct store *store, struct partition *partition, bool *is_done, struct mg_why *why)
{
    struct decisions_merge_options options;
    struct decision_run run;
    unsigned damaged;

    *is_done = partition->decisions.is_merged;
    if (*is_done || (store->own.merging.of && store->own.merging.of != partition))
        return MG_OK;
    if (!store->own.merging.of)
        MG_TRY(decisions_merging_new(&store->own.merging.at, &partition->decisions, merge_options(store, &options), why));
    store->own.merging.of = partition;
    for (unsigned i = 0; i < STEPS_A_TURN && !*is_done; i++)
        MG_TRY(decisions_merging_step(store->own.merging.at, is_done, why));
    if (!*is_done)
        return MG_OK;
    decisions_merging_result(store->own.merging.at, &run, &damaged);
    store_stop_merging(store, partition);
    note_merged(store, partition, &run, damaged);
    return MG_OK;
}

static enum mg_err write_seal(struct store *store, struct partition *partition, bool *is_done, struct mg_why *why)
{
    *is_done = partition->says_sealed;
    if (*is_done)
        return MG_OK;
    MG_TRY(merge_some(store, partition, is_done, why));
    return *is_done ? sealed_write(partition, why) : MG_OK;
}

static void seal(struct store *store, struct partition *partition)
{
    struct mg_why why = { "" };
    bool is_done;

    if (write_seal(store, partition, &is_done, &why) != MG_OK) {
        LOG(WARN, "partition not sealed, trying again", F_TEXT("path", partition->path), F_WHY(&why));
        store_stop_merging(store, partition);
        return;
    }
    if (is_done && partition_end_writing(partition))
        LOG(INFO, "partition sealed", F_TEXT("path", partition->path), F_U64("bytes", partition->disk_bytes));
}

void store_go_on_merging(struct store *store)
{
    struct partition *partition = store->own.merging.of;

    seal(store, partition);
    if (partition->says_sealed)
        store->own.retain_mono_ns = 0; /* others may wait for it */
}

static void seal_closed(struct store *store)
{
    if (!has_state(store_open_partition(store)))
        return;
    for (size_t i = 0; i + 1 < store->shared.partitions.n; i++)
        if (!store->shared.partitions.at[i]->is_sealed)
            seal(store, store->shared.partitions.at[i]);
}

/* Takes partition 0 off the list and its file off the disk. Whoever still reads it keeps it until done; a view may ask for it
 * only when its name is gone, so it is opened before that. */
static void drop_oldest(struct store *store, unsigned reason)
{
    static const char *const reasons[] = { "age", "size", "free space" };
    struct partition *oldest = store->shared.partitions.at[0];
    struct mg_why why = { "" };

    store_stop_merging(store, oldest);
    if (partition_keep_open(oldest, &why) != MG_OK && partition_keep_open(oldest, &why) != MG_OK)
        LOG(WARN, "partition dropped that cannot be opened", F_WHY(&why));
    pthread_mutex_lock(&store->shared.lock);
    VEC_REMOVE(&store->shared.partitions, 0);
    store_list_changed(store);
    pthread_mutex_unlock(&store->shared.lock);
    LOG(INFO, "partition dropped", F_TEXT("path", oldest->path), F_TEXT("reason", reasons[reason]),
        F_U64("spans", oldest->spans));
    metric_add(store->metrics, STORE_unlinked, reason, 0, 1);
    partition_unlink(oldest);
    partition_unref(&oldest);
}

static uint64_t disk_bytes(struct store *store)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < store->shared.partitions.n; i++)
        bytes += partition_disk_bytes(store->shared.partitions.at[i]);
    return bytes + pins_disk_bytes(store);
}

static bool may_drop(const struct store *store)
{
    return store->shared.partitions.n > 1 && has_state(store->shared.partitions.at[1]);
}

/* Only what `why` knows of them goes; the partition and its spans stay. */
static void drop_decisions(struct store *store, struct partition *partition)
{
    store_stop_merging(store, partition);
    LOG(INFO, "decisions dropped", F_TEXT("path", partition->decisions.path), F_U64("decisions", partition->decisions.entries));
    pthread_mutex_lock(&store->shared.lock);
    decisions_forget(&partition->decisions);
    pthread_mutex_unlock(&store->shared.lock);
    decisions_unlink(&partition->decisions);
    metric_add(store->metrics, STORE_decisions_unlinked, 0, 0, 1);
}

void store_retain_decisions(struct store *store)
{
    uint64_t bytes = 0, most = store_conf_now(store).decisions_max;

    for (size_t i = 0; i < store->shared.partitions.n; i++)
        bytes += store->shared.partitions.at[i]->decisions.disk_bytes;
    for (size_t i = 0; bytes > most && i + 1 < store->shared.partitions.n; i++) {
        struct partition *partition = store->shared.partitions.at[i];
        uint64_t freed = partition->decisions.disk_bytes;
        if (!freed)
            continue;
        drop_decisions(store, partition);
        bytes -= freed;
    }
}

static uint64_t believed_wall(struct store *store)
{
    uint64_t step, wall = clock_age_now(&store->own.retain_clock, store_wall(store), store_mono(store), &step);

    if (step)
        LOG(WARN, "the wall clock was set forward: for an hour nothing is dropped for its age by that", F_U64("step_s", step / 1000000000));
    return wall;
}

/* A partition that was closed in what is the future since the clock was set back is at least as old as the next one that was not. */
static bool is_over_retention(const struct store *store, uint64_t wall)
{
    for (size_t i = 0; i + 1 < store->shared.partitions.n; i++) {
        uint64_t closed = store->shared.partitions.at[i]->state.wall_ns;
        if (closed <= wall)
            return wall - closed >= store_conf_now(store).retention_ns;
    }
    return false;
}

void store_retain(struct store *store)
{
    uint64_t wall = believed_wall(store), most = store_disk_max(store);

    seal_closed(store);
    while (may_drop(store) && is_over_retention(store, wall))
        drop_oldest(store, 0);
    store_retain_decisions(store);
    while (may_drop(store) && disk_bytes(store) > most)
        drop_oldest(store, 1);
}

/* An eighth of the floor above it before the store takes spans again, so that it does not change its mind each second. */
static bool is_below_floor(const struct store *store, uint64_t floor)
{
    struct store_disk disk;

    return floor && look_at_disk(store, &disk) && disk.free_bytes < (store->is_full ? floor + floor / 8 : floor);
}

/* A sixteenth on top, for what the file system needs for itself. */
static bool lacks_wanted(const struct store *store)
{
    uint64_t wanted = store->options.wanted ? store->options.wanted(store->options.owner) : 0;
    struct store_disk disk;

    return wanted && look_at_disk(store, &disk) && disk.free_bytes < wanted + wanted / 16;
}

void store_look_at_disk(struct store *store)
{
    uint64_t floor = store_conf_now(store).free_min;
    bool is_full = is_below_floor(store, floor);

    if ((is_full || lacks_wanted(store)) && may_drop(store)) {
        drop_oldest(store, 2);
        is_full = is_full && store->is_full;
    }
    if (is_full != store->is_full)
        LOG(WARN, is_full ? "store full: free space is below store.free_min and no partition is left to drop" : "store no longer full",
            F_U64("free_min", floor));
    store->is_full = is_full;
}

bool store_is_full(const struct store *store)
{
    return store->is_full;
}
