/* partition.c - see partition.h. */
#include "store/partition.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/log.h"
#include "store/handles.h"
#include "store/sealed.h"
#include "store/summary.h"
#include "store/tagged.h"

enum { FORMAT_VERSION = 1, FIRST_PAGES_BYTES = 8192, CREATING_COMMITS = 2 /* the tables, the version */ };
#define MAP_BYTES (UINT64_C(16) << 30)

#define STATE_BYTES_MAX ((size_t)STORE_SNAPSHOT_MAX * 2)

enum state_tag { STATE_COMMIT = 1, STATE_C, STATE_P, STATE_WATERMARK, STATE_LOG, STATE_WALL, STATE_SNAPSHOT, STATE_COUNTS,
                 STATE_FIRST_WALL, STATE_DECISIONS };

static const char *const table_names[TABLES] = { "blk", "sum", "run", "meta", "dep", "gen" };

void partition_key(uint32_t number, uint8_t key[4])
{
    put_be32(key, number);
}

char *partition_path(const char *dir, uint32_t number)
{
    struct buf path;

    buf_init(&path, 4096);
    if (number == PINS_NUMBER)
        buf_printf(&path, "%s/pins.mdb", dir);
    else
        buf_printf(&path, "%s/%06u.mdb", dir, number);
    return buf_take(&path, NULL);
}

static int by_number(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

/* Only a name that partition_path would make: "000007.mdb", not "7.mdb" or "0000007.mdb". */
static bool number_of(struct str name, uint32_t *number)
{
    char canonical[32];
    uint64_t value;

    if (!str_ends(name, STR(".mdb")) || str_u64(str_n(name.ptr, name.len - 4), &value) != MG_OK || value == 0 || value >= UINT32_MAX)
        return false;
    (void)snprintf(canonical, sizeof canonical, "%06u.mdb", (uint32_t)value);
    *number = (uint32_t)value;
    return str_eq(name, str_of(canonical));
}

enum mg_err partition_list(const char *dir, struct partition_numbers *out, struct mg_why *why)
{
    DIR *files = opendir(dir);
    struct dirent *entry;
    uint32_t number;
    int failed;

    if (!files)
        return mg_fail_os(why, errno, "cannot read %s", dir);
    while (errno = 0, (entry = readdir(files)))
        if (number_of(str_of(entry->d_name), &number))
            VEC_PUSH(&out->list, number);
    failed = errno;
    closedir(files);
    if (failed)
        return mg_fail_os(why, failed, "cannot read %s", dir);
    if (out->list.n)
        qsort(out->list.at, out->list.n, sizeof *out->list.at, by_number);
    return MG_OK;
}

/* --- state ------------------------------------------------------------------------------------------ */

void carried_init(struct carried *carried)
{
    buf_init(&carried->snapshot, STATE_BYTES_MAX);
    buf_init(&carried->other, STATE_BYTES_MAX);
}

void carried_fini(struct carried *carried)
{
    buf_fini(&carried->snapshot);
    buf_fini(&carried->other);
}

enum mg_err state_write(struct buf *out, const struct store_state *state, uint64_t first_wall_ns, struct str other)
{
    struct buf counts;

    buf_init(&counts, 64);
    buf_put_varint(&counts, state->stored);
    buf_put_varint(&counts, state->duplicate);
    tagged_put_u64(out, STATE_COMMIT, state->commit);
    tagged_put_u64(out, STATE_C, state->c);
    tagged_put_u64(out, STATE_P, state->p);
    tagged_put_u64(out, STATE_WATERMARK, state->watermark);
    tagged_put_u64(out, STATE_LOG, state->log_ns);
    tagged_put_u64(out, STATE_WALL, state->wall_ns);
    tagged_put(out, STATE_SNAPSHOT, state->snapshot);
    tagged_put(out, STATE_COUNTS, buf_str(&counts));
    tagged_put_u64(out, STATE_FIRST_WALL, first_wall_ns);
    if (state->decisions)
        tagged_put_u64(out, STATE_DECISIONS, state->decisions);
    buf_put_str(out, other);
    buf_fini(&counts);
    return buf_err(out);
}

static bool read_counts(struct str bytes, struct store_state *out)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr, *end = at + bytes.len;

    return (at = get_varint(at, end, &out->stored)) && (at = get_varint(at, end, &out->duplicate)) && at == end;
}

enum mg_err state_read(struct str bytes, struct store_state *out, uint64_t *first_wall_ns, struct buf *other)
{
    struct store_state state = { .snapshot = STR("") };
    uint64_t first_wall = 0;
    uint64_t *const numbers[] = { [STATE_COMMIT] = &state.commit, [STATE_C] = &state.c, [STATE_P] = &state.p,
                                  [STATE_WATERMARK] = &state.watermark, [STATE_LOG] = &state.log_ns,
                                  [STATE_WALL] = &state.wall_ns, [STATE_FIRST_WALL] = &first_wall,
                                  [STATE_DECISIONS] = &state.decisions };
    struct str value;
    uint32_t tag;
    int got;

    while ((got = tagged_next(&bytes, &tag, &value)) == 1) {
        bool good = true;
        if (tag == STATE_SNAPSHOT)
            state.snapshot = value;
        else if (tag == STATE_COUNTS)
            good = read_counts(value, &state);
        else if (tag < MG_COUNT(numbers) && numbers[tag])
            good = tagged_u64(value, numbers[tag]);
        else if (other)
            tagged_put(other, tag, value);
        if (!good)
            return MG_E_FORMAT;
    }
    if (got < 0 || (other && other->failed))
        return MG_E_FORMAT;
    *out = state;
    *first_wall_ns = first_wall;
    return MG_OK;
}

/* --- reading a file --------------------------------------------------------------------------------- */

static void note_name(void *owner, struct str service, struct str operation, int kind)
{
    catalog_add(owner, service, operation, kind);
}

void partition_add_block(struct partition *partition, struct block_entry block)
{
    VEC_PUSH(&partition->blocks, block);
    partition->last_block = block.number;
    partition->spans += block.rows;
    partition->traces += block.fragments;
}

void partition_note_block(struct partition *partition, uint32_t number, struct str bytes)
{
    struct summary summary;

    partition->last_block = number;
    if (summary_read(bytes, &summary) != MG_OK || summary_operations(&summary, note_name, partition->names) != MG_OK) {
        LOG(ERROR, "summary damaged", F_TEXT("path", partition->path), F_U64("block", number));
        return;
    }
    partition_add_block(partition, (struct block_entry){ summary.start_min_ns, summary.start_max_ns, number, summary.rows,
                                                         summary.fragments, summary.flags });
}

/* A file without a version or a state is one that was created and no more, by two transactions. Of one with more the page
 * that held them is damaged. */
enum mg_err partition_without_state(const struct partition *partition, struct mg_why *why)
{
    if (kv_env_commits(partition->env) <= CREATING_COMMITS)
        return mg_fail(why, MG_E_ABSENT, "%s: nothing was ever committed to it", partition->path);
    return mg_fail(why, MG_E_FORMAT, "%s: its state is missing", partition->path);
}

enum mg_err partition_check_version(const struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct str value;

    if (!kv_get(txn, TABLE_META, STR("format"), &value))
        return partition_without_state(partition, why);
    if (value.len != 4)
        return mg_fail(why, MG_E_FORMAT, "%s: its version is malformed", partition->path);
    if (get_le32(value.ptr) != FORMAT_VERSION)
        return mg_fail(why, MG_E_UNSUPPORTED, "%s: format %u is not read here, only %u; use the program that wrote it, or move the file away",
                       partition->path, get_le32(value.ptr), FORMAT_VERSION);
    return MG_OK;
}

static enum mg_err read_state(struct partition *partition, struct kv_txn *txn, struct carried *carried, struct mg_why *why)
{
    struct str value;

    MG_TRY(partition_check_version(partition, txn, why));
    if (!kv_get(txn, TABLE_META, STR("state"), &value))
        return partition_without_state(partition, why);
    if (carried) {
        buf_clear(&carried->snapshot);
        buf_clear(&carried->other);
    }
    if (state_read(value, &partition->state, &partition->first_wall_ns, carried ? &carried->other : NULL) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "%s: its state is malformed", partition->path);
    if (carried)
        buf_put_str(&carried->snapshot, partition->state.snapshot);
    partition->state.snapshot = STR("");
    partition->says_sealed = kv_get(txn, TABLE_META, STR("sealed"), &value);
    return carried ? buf_err(&carried->snapshot) : MG_OK;
}

static enum mg_err read_summaries(struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct kv_cursor *cursor = NULL;
    struct str key, value;

    while (kv_next(txn, TABLE_SUM, &cursor, &key, &value)) {
        /* Without gaps (FORMAT.md 1): whoever makes a table by number relies on it. */
        if (key.len != 4 || get_be32(key.ptr) != partition->last_block + 1) {
            kv_cursor_end(&cursor);
            return mg_fail(why, MG_E_FORMAT, "%s: the summary after that of block %u is not the next one's", partition->path,
                           partition->last_block);
        }
        partition_note_block(partition, get_be32(key.ptr), value);
    }
    return MG_OK;
}

/* Thousands of summaries are one value in a sealed partition. Where that is damaged the summaries serve. */
static enum mg_err read_blocks(struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct str index;

    if (!partition->says_sealed || !kv_get(txn, TABLE_META, STR("index"), &index))
        return read_summaries(partition, txn, why);
    kv_will_need(index.ptr, index.len);
    if (sealed_index_read(index, partition) == MG_OK)
        return MG_OK;
    LOG(ERROR, "index damaged, reading summaries instead", F_TEXT("path", partition->path));
    return read_summaries(partition, txn, why);
}

static struct partition *partition_new(const char *dir, uint32_t number)
{
    struct partition *partition = MEM_NEW(struct partition);

    atomic_init(&partition->refs, 1);
    partition->number = number;
    partition->path = partition_path(dir, number);
    partition->names = catalog_new();
    decisions_init(&partition->decisions, dir, number);
    return partition;
}

/* Created, and the power went before the first sync: without a first page, or with zeroes there. */
static bool is_unwritten(const char *path)
{
    static const char zeroes[FIRST_PAGES_BYTES];
    char first[FIRST_PAGES_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    ssize_t got = fd >= 0 ? pread(fd, first, sizeof first, 0) : -1;

    if (fd >= 0)
        close(fd);
    return got >= 0 && (got < (ssize_t)sizeof first || memcmp(first, zeroes, sizeof first) == 0);
}

/* All tables are made in one transaction, so a file has all of its version's or none. */
static bool has_tables(const char *path)
{
    const struct kv_options options = { .path = path, .map_bytes = MAP_BYTES, .tables = &table_names[TABLE_META], .n_tables = 1, .sealed = true };
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;

    return kv_env_open(&env, &options, NULL) != MG_E_ABSENT;
}

static bool was_committed_to(const char *path)
{
    const struct kv_options options = { .path = path, .map_bytes = MAP_BYTES, .sealed = true };
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL;

    return kv_env_open(&env, &options, NULL) == MG_OK && kv_env_commits(env) > 0;
}

/* A table is not there: another version's file, a damaged one, or one whose tables were never committed. */
static enum mg_err without_tables(const struct partition *partition, struct mg_why *why)
{
    if (has_tables(partition->path))
        return mg_fail(why, MG_E_UNSUPPORTED, "%s: a table is missing; use the program that wrote it, or move the file away", partition->path);
    if (was_committed_to(partition->path))
        return mg_fail(why, MG_E_FORMAT, "%s: its tables are missing", partition->path);
    return MG_E_ABSENT;
}

static enum mg_err open_tables(struct partition *partition, unsigned n, bool sealed, bool create, struct mg_why *why)
{
    const struct kv_options options = { .path = partition->path, .map_bytes = MAP_BYTES, .tables = table_names,
                                        .n_tables = n, .sealed = sealed, .create = create,
                                        .verified = sealed ? &partition->verified : NULL };

    return kv_env_open(&partition->env, &options, why);
}

/* A file of a version that knew no rules. What is written to gets their table; the rest stays as it is. */
static enum mg_err open_without_rules(struct partition *partition, bool sealed, struct mg_why *why)
{
    MG_TRY(open_tables(partition, TABLES_BEFORE_RULES, sealed, false, why));
    if (sealed || partition->number == PINS_NUMBER) {
        partition->lacks_rules = true;
        return MG_OK;
    }
    kv_env_unref(&partition->env);
    return open_tables(partition, TABLES, false, true, why);
}

static enum mg_err open_env(struct partition *partition, bool sealed, bool create, struct mg_why *why)
{
    enum mg_err err = MG_E_ABSENT;

    if (!create && is_unwritten(partition->path))
        return mg_fail(why, MG_E_ABSENT, "%s: nothing was ever committed to it", partition->path);
    if (!partition->lacks_rules)
        err = open_tables(partition, TABLES, sealed, create, why);
    if (err == MG_E_ABSENT && !create)
        err = open_without_rules(partition, sealed, why);
    if (err == MG_E_ABSENT)
        err = without_tables(partition, why);
    MG_TRY(err);
    if (partition->is_sealed && partition->disk_bytes)
        return MG_OK; /* opened again: others read these meanwhile */
    partition->is_sealed = sealed;
    partition->disk_bytes = kv_env_disk_bytes(partition->env);
    return MG_OK;
}

static void read_rules(struct partition *partition, struct kv_txn *txn)
{
    struct str key, text;

    if (!partition->lacks_rules && kv_seek_last(txn, TABLE_GEN, &key, &text) && key.len == 4)
        partition->rules = get_be32(key.ptr);
}

enum mg_err partition_open(struct partition **out, const char *dir, uint32_t number, bool sealed, struct carried *carried, struct mg_why *why)
{
    MG_AUTO(partition_unref) struct partition *partition = partition_new(dir, number);
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    uint64_t errors = kv_read_errors();
    enum mg_err err;

    MG_TRY(open_env(partition, sealed, false, why));
    MG_TRY(kv_begin(&txn, partition->env, false, why));
    if ((err = read_state(partition, txn, carried, why)) == MG_OK)
        err = read_blocks(partition, txn, why);
    if (err == MG_OK)
        read_rules(partition, txn);
    kv_abort(&txn);
    /* A value that cannot be read looks like an absent one: without this a damaged file would pass for a shorter one. */
    if (kv_read_errors() != errors)
        return mg_fail(why, MG_E_FORMAT, "%s: it cannot be read to its end", partition->path);
    if (err == MG_OK) {
        decisions_read(&partition->decisions, partition->state.decisions);
        *out = MG_STEAL(partition);
    }
    return err;
}

enum mg_err partition_open_raw(struct partition **out, const char *dir, uint32_t number, struct mg_why *why)
{
    MG_AUTO(partition_unref) struct partition *partition = partition_new(dir, number);

    MG_TRY(open_env(partition, true, false, why));
    *out = MG_STEAL(partition);
    return MG_OK;
}

enum mg_err partition_create(struct partition **out, const char *dir, uint32_t number, struct mg_why *why)
{
    MG_AUTO(partition_unref) struct partition *partition = partition_new(dir, number);
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    uint8_t version[4];

    put_le32(version, FORMAT_VERSION);
    partition_unlink(partition); /* left by a crash before its first commit */
    MG_TRY(open_env(partition, false, true, why));
    MG_TRY(kv_begin(&txn, partition->env, true, why));
    MG_TRY(kv_put(txn, TABLE_META, STR("format"), str_n(version, sizeof version), why));
    MG_TRY(kv_commit(&txn, why));
    *out = MG_STEAL(partition);
    return MG_OK;
}

void partition_unlink_lock(const struct partition *partition)
{
    char lock[4096 + sizeof "-lock"];

    (void)snprintf(lock, sizeof lock, "%s-lock", partition->path);
    (void)unlink(lock); /* absent for a sealed one */
}

enum mg_err partition_open_env(struct partition *partition, struct mg_why *why)
{
    return open_env(partition, true, false, why);
}

void partition_close_writable(struct partition *partition)
{
    partition->disk_bytes = kv_env_disk_bytes(partition->env);
    kv_env_unref(&partition->env);
    partition_unlink_lock(partition);
    partition->is_sealed = true;
}

uint64_t partition_disk_bytes(struct partition *partition)
{
    if (!partition->is_sealed && partition->env)
        partition->disk_bytes = kv_env_disk_bytes(partition->env);
    return partition->disk_bytes + partition->decisions.disk_bytes;
}

struct partition *partition_ref(struct partition *partition)
{
    atomic_fetch_add_explicit(&partition->refs, 1, memory_order_relaxed);
    return partition;
}

void partition_unref(struct partition **pointer)
{
    struct partition *partition = MG_STEAL(*pointer);

    if (!partition || atomic_fetch_sub_explicit(&partition->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (partition->handles)
        partition_forget_handle(partition);
    kv_env_unref(&partition->env);
    catalog_free(&partition->names);
    decisions_fini(&partition->decisions);
    VEC_FINI(&partition->blocks);
    mem_free(partition->path);
    mem_free(partition);
}

void partition_unlink(struct partition *partition)
{
    decisions_unlink(&partition->decisions);
    if (unlink(partition->path) != 0 && errno != ENOENT)
        LOG(ERROR, "partition not unlinked", F_TEXT("path", partition->path), F_I64("errno", errno));
    partition_unlink_lock(partition);
}
