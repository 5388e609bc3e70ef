/* recover.c - what is found in the directory at start (FORMAT.md 1, 5).
 *
 * Every file is first looked at read-only; nobody else can write (data_dir/LOCK is held). The partition with the highest
 * commit is opened for writing, older ones that a crash left unsealed are sealed, sealed ones are closed until they are needed, damaged files are set aside in place:
 * counted, logged, not served. A file without a state never held a commit and is removed. Decisions about dropped traces stand beside
 * their partition's file, and go when that is gone.
 *
 * What cannot be read for a passing reason ends the start instead: without its newest partition the store would
 * recover from an older state, and the journal would bring what that partition holds a second time. */
#include "store/private.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

enum mg_err store_sync_dir(const char *dir, struct mg_why *why)
{
    int failed = file_sync_dir(dir);

    return failed ? mg_fail_os(why, failed, "cannot sync %s", dir) : MG_OK;
}

/* The directory of the store itself must survive a power cut like what is in it. */
static enum mg_err make_dir(const char *dir, struct mg_why *why)
{
    int failed;

    if (mkdir(dir, 0700) != 0)
        return errno == EEXIST ? MG_OK : mg_fail_os(why, errno, "cannot create %s", dir);
    failed = file_sync_parent(dir);
    return failed ? mg_fail_os(why, failed, "cannot sync the directory of %s", dir) : MG_OK;
}

/* Left by a crash, or an idle run, before its first commit: LMDB's both headers say so, and where one of them is damaged the file does not
 * open. It may be large: a first commit that found the disk full has written pages. */
static void remove_stateless(struct store *store, uint32_t number)
{
    char *path = partition_path(store->dir, number);
    struct partition gone = { .path = path };

    partition_unlink(&gone);
    mem_free(path);
}

/* An error may be of the moment; only one that comes again is taken for the file's. */
static enum mg_err open_twice(struct store *store, uint32_t number, struct partition **out, struct carried *carried, struct mg_why *why)
{
    enum mg_err err = partition_open(out, store->dir, number, true, carried, why);

    if (err != MG_OK && err != MG_E_ABSENT)
        err = partition_open(out, store->dir, number, true, carried, why);
    return err;
}

/* Looks at one file; a good one joins the list (read-only), what it carries replaces that of an older one. */
static enum mg_err look_at(struct store *store, uint32_t number, struct carried *scratch, struct mg_why *why)
{
    struct partition *partition;
    enum mg_err err = open_twice(store, number, &partition, scratch, why);

    store->own.next_number = number + 1;
    if (err == MG_E_ABSENT) {
        remove_stateless(store, number);
        return MG_OK;
    }
    if (err == MG_E_FORMAT || err == MG_E_TOO_BIG) {
        LOG(ERROR, "partition set aside", F_U64("number", number), F_WHY(why));
        store->shared.damaged++;
        store->own.damaged_number = number;
        return MG_OK;
    }
    MG_TRY(err);
    partition->handles = &store->handles;
    if (partition->says_sealed) {
        kv_env_unref(&partition->env); /* until it is needed */
        partition_unlink_lock(partition); /* left when the end came between the seal and it */
    }
    VEC_PUSH(&store->shared.partitions, partition);
    if (partition->state.commit < store->state.commit)
        return MG_OK;
    store->state = partition->state;
    struct carried older = store->recovered;
    store->recovered = *scratch;
    *scratch = older;
    return MG_OK;
}

static enum mg_err reopen(struct store *store, size_t i, bool sealed, struct mg_why *why)
{
    struct partition **at = &store->shared.partitions.at[i];
    uint32_t number = (*at)->number;
    struct partition *again;

    partition_unref(at);
    MG_TRY(partition_open(&again, store->dir, number, sealed, NULL, why));
    *at = again;
    again->handles = &store->handles;
    return MG_OK;
}

static enum mg_err seal_old(struct store *store, size_t i, struct mg_why *why)
{
    struct mg_why failed = { "" };

    if (store->shared.partitions.at[i]->says_sealed)
        return MG_OK;
    MG_TRY(reopen(store, i, false, why));
    struct partition *partition = store->shared.partitions.at[i];
    if (store_merge_decisions(store, partition, &failed) != MG_OK || sealed_write(partition, &failed) != MG_OK) {
        LOG(WARN, "partition not sealed, trying again", F_TEXT("path", partition->path), F_WHY(&failed));
        return MG_OK; /* no reason not to serve what is there */
    }
    (void)partition_end_writing(partition); /* nobody else has it yet */
    return MG_OK;
}

/* The last one goes on when it holds the newest commit. It does not when a partition came back that had been set aside, or was set
 * aside after it, nor when its decisions were merged already: then all are sealed. */
static bool goes_on(const struct store *store, const struct partition *last)
{
    return last && !last->says_sealed && last->state.commit == store->state.commit && last->number > store->own.damaged_number &&
           !last->decisions.is_merged;
}

static enum mg_err open_newest(struct store *store, struct mg_why *why)
{
    struct partition *fresh;
    size_t n = store->shared.partitions.n;
    const struct partition *last = n ? store->shared.partitions.at[n - 1] : NULL;
    bool is_one_open = goes_on(store, last);

    for (size_t i = 0; i + (is_one_open ? 1 : 0) < n; i++)
        MG_TRY(seal_old(store, i, why));
    if (is_one_open) {
        MG_TRY(reopen(store, n - 1, false, why));
        decisions_cut(&store->shared.partitions.at[n - 1]->decisions);
        return MG_OK;
    }
    enum mg_err err = partition_create(&fresh, store->dir, store->own.next_number, why);
    if (err == MG_E_IO && last && store_lacks_room(store)) { /* the last one is closed: the next commit begins with a new one */
        LOG(WARN, "no room for a new partition: what is there is served, and the next commits try again", F_WHY(why));
        store->shared.partitions.at[n - 1]->is_closed = true;
        return MG_OK;
    }
    MG_TRY(err);
    store->own.next_number++;
    fresh->handles = &store->handles;
    VEC_PUSH(&store->shared.partitions, fresh);
    return store_sync_dir(store->dir, why);
}

/* Of all partitions, one that was set aside newer than the rest may have given numbers that nobody can read. */
static void recover_rules(struct store *store)
{
    enum { GAP = 4096 };
    uint32_t newest_number = 0;

    for (size_t i = 0; i < store->shared.partitions.n; i++) {
        const struct partition *partition = store->shared.partitions.at[i];
        store->shared.rules = MG_MAX(store->shared.rules, partition->rules);
        newest_number = partition->number;
    }
    if (store->own.damaged_number > newest_number)
        store->shared.rules = store->own.rules_gap = store->shared.rules + GAP;
    store->own.next_rules = store->shared.rules + 1;
}

static void tell_damaged_decisions(struct store *store)
{
    for (size_t i = 0; i < store->shared.partitions.n; i++) {
        const struct decisions *decisions = &store->shared.partitions.at[i]->decisions;
        if (!decisions->damaged)
            continue;
        store->own.damaged_decisions += decisions->damaged;
        LOG(ERROR, "decisions damaged", F_TEXT("path", decisions->path), F_U64("places", decisions->damaged));
    }
}

enum mg_err store_recover(struct store *store, struct mg_why *why)
{
    struct partition_numbers numbers = { { 0 } };
    struct carried scratch;
    enum mg_err err;

    MG_TRY(make_dir(store->dir, why));
    store->own.next_number = 1;
    carried_init(&scratch);
    err = partition_list(store->dir, &numbers, why);
    for (size_t i = 0; err == MG_OK && i < numbers.list.n; i++)
        err = look_at(store, numbers.list.at[i], &scratch, why);
    VEC_FINI(&numbers.list);
    carried_fini(&scratch);
    MG_TRY(err);
    store->state.snapshot = buf_str(&store->recovered.snapshot);
    recover_rules(store);
    decisions_sweep(store->dir);
    MG_TRY(open_newest(store, why));
    tell_damaged_decisions(store);
    return pins_recover(store, why);
}
