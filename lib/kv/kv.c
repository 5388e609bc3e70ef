/* How it works: a thin shell around LMDB. Every LMDB call that can fail goes through CALL, which is
 * the place where tests make it fail, and every failure goes through `failed`, which names it.
 *
 * LMDB's lock file uses POSIX record locks, which vanish when *any* descriptor of the file is
 * closed in the process. Opening one file writable twice would therefore silently end the exclusion
 * of writers, so a list of the writable environments refuses it. Sealed environments take no lock
 * and need no entry.
 *
 * LMDB changes a file by writing the older one of its two first pages. When that write fails, the disk may have the new page
 * and memory the old one, or the other way round, and a sync that has failed once does not write a page again. So before the next
 * write transaction both are written as memory has them, and synced. The end of a process does not change what is doubtful.
 *
 * Handles are opened in one transaction when the environment is opened: mdb_dbi_open is not safe
 * beside other transactions, and a handle belongs to its environment. */
#include "kv/kv.h"
#include "kv/guard.h"
#include "kv/verify.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"

enum { READERS_MAX = 512 }; /* read transactions at once; 64 bytes each in the lock file */

struct kv_env {
    MDB_env *mdb;           /* NULL only between a failed revival and the next one */
    char *path;
    struct kv_options options; /* as opened; path is ours */
    pthread_mutex_t lock;   /* of the four below, and of mdb while it is exchanged */
    unsigned n_txns;
    bool is_broken;         /* a commit failed: LMDB may refuse everything from now on */
    bool is_doubtful;       /* the disk may not have the first pages that memory has */
    const void *guard;      /* against damaged pages; NULL: none */
    _Atomic unsigned refs;
    bool sealed;
    bool is_claimed;        /* in the list of writable environments */
    struct list claim_link; /* writable.claims, under its lock */
    struct kv_verified file; /* as it was before it was opened; zeroed: it did not exist */
    unsigned n_tables;
    MDB_dbi tables[];
};

struct kv_txn {
    MDB_txn *mdb;
    struct kv_env *env; /* counted */
    bool is_write;
    bool has_failed;  /* a put failed: nothing of this transaction may be committed */
    unsigned cursors; /* open ones; zero when the transaction ends */
};

struct kv_cursor {
    MDB_cursor *mdb;
    struct kv_txn *txn;
    bool is_placed; /* on an entry: the next step is MDB_NEXT */
};

static struct {
    pthread_mutex_t lock;
    struct list claims; /* kv_env.claim_link */
} writable = {PTHREAD_MUTEX_INITIALIZER, {&writable.claims, &writable.claims}};

static _Atomic unsigned open_envs;
static _Atomic uint64_t read_errors;
static _Atomic uint64_t fault_nth; /* 0: off */
static _Atomic uint64_t fault_calls;
static _Atomic uint64_t fault_commit_nth; /* 0: off */
static _Atomic uint64_t fault_commits;

#define CALL(expression) (fault_is_now() ? EIO : (expression))

static bool fault_is_now(void)
{
    uint64_t call = atomic_fetch_add_explicit(&fault_calls, 1, memory_order_relaxed) + 1;
    return call == atomic_load_explicit(&fault_nth, memory_order_relaxed);
}

void kv_fault_at(uint64_t nth)
{
    atomic_store(&fault_calls, 0);
    atomic_store(&fault_nth, nth);
}

uint64_t kv_fault_calls(void)
{
    return atomic_load(&fault_calls);
}

/* The other half of what may happen to a commit: CALL fails it before, this one after it was made. */
static bool fault_hides_commit(void)
{
    uint64_t commit = atomic_fetch_add_explicit(&fault_commits, 1, memory_order_relaxed) + 1;
    return commit == atomic_load_explicit(&fault_commit_nth, memory_order_relaxed);
}

void kv_fault_commit_at(uint64_t nth)
{
    atomic_store(&fault_commits, 0);
    atomic_store(&fault_commit_nth, nth);
}

uint64_t kv_fault_commits(void)
{
    return atomic_load(&fault_commits);
}

/* What a code of LMDB or the operating system is called. MDB_KEYEXIST comes from MDB_APPEND only: a
 * key out of order, which is the caller's fault. */
static enum mg_err err_of(int code)
{
    switch (code) {
    case MDB_MAP_FULL:
        return MG_E_TOO_BIG;
    case MDB_NOTFOUND:
    case ENOENT:
        return MG_E_ABSENT;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_BAD_VALSIZE:
    case MDB_INCOMPATIBLE:
        return MG_E_FORMAT;
    case MDB_KEYEXIST:
        return MG_E_INTERNAL;
    default:
        return MG_E_IO;
    }
}

static enum mg_err failed(struct mg_why *why, const struct kv_env *env, int code, const char *what)
{
    return mg_fail(why, err_of(code), "%s: %s: %s", env->path, what, mdb_strerror(code));
}

static MDB_val val_of(struct str s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)s.ptr};
}

static struct str str_of_val(MDB_val val)
{
    return (struct str){val.mv_data, val.mv_size};
}

/* --- environments --- */

static bool claims_hold(const struct kv_env *env)
{
    LIST_EACH(&writable.claims, link)
    {
        const struct kv_env *other = MG_CONTAINER(link, struct kv_env, claim_link);
        bool same_file = env->file.inode && env->file.inode == other->file.inode &&
                         env->file.device == other->file.device;
        if (same_file || strcmp(env->path, other->path) == 0)
            return true;
    }
    return false;
}

static enum mg_err claim(struct kv_env *env, struct mg_why *why)
{
    pthread_mutex_lock(&writable.lock);
    bool is_taken = claims_hold(env);
    if (!is_taken) {
        list_add_last(&writable.claims, &env->claim_link);
        env->is_claimed = true;
    }
    pthread_mutex_unlock(&writable.lock);
    if (is_taken)
        return mg_fail(why, MG_E_BUSY, "%s: already open for writing in this process", env->path);
    return MG_OK;
}

static void env_close(struct kv_env *env)
{
    guard_remove(MG_STEAL(env->guard));
    if (env->mdb)
        mdb_env_close(env->mdb);
    env->mdb = NULL;
}

static void env_free(struct kv_env **env)
{
    struct kv_env *e = *env;
    if (!e)
        return;
    env_close(e);
    pthread_mutex_destroy(&e->lock);
    if (e->is_claimed) {
        pthread_mutex_lock(&writable.lock);
        list_remove(&e->claim_link);
        pthread_mutex_unlock(&writable.lock);
    }
    mem_free(e->path);
    mem_free(e);
    *env = NULL;
}

static enum mg_err directory_sync(const struct kv_env *env, struct mg_why *why)
{
    int code = CALL(file_sync_parent(env->path));

    return code ? failed(why, env, code, "cannot sync the directory") : MG_OK;
}

static enum mg_err tables_open_in(struct kv_env *env, const struct kv_options *o, MDB_txn *txn,
                                  struct mg_why *why)
{
    for (unsigned i = 0; i < o->n_tables; i++) {
        int code =
            CALL(mdb_dbi_open(txn, o->tables[i], o->create ? MDB_CREATE : 0, &env->tables[i]));
        if (code)
            return mg_fail(why, err_of(code), "%s: cannot open the table %s: %s", env->path,
                           o->tables[i], mdb_strerror(code));
    }
    return MG_OK;
}

/* In a write transaction, so that nobody commits meanwhile. */
static int write_first_pages(const struct kv_env *env)
{
    MDB_stat stat;
    mdb_filehandle_t fd;
    int code = mdb_env_stat(env->mdb, &stat);

    if (!code)
        code = mdb_env_get_fd(env->mdb, &fd);
    if (code)
        return code;
    size_t bytes = (size_t)stat.ms_psize * 2;
    char *pages = mem_alloc(bytes);
    ssize_t done = pread(fd, pages, bytes, 0);
    if (done == (ssize_t)bytes)
        done = pwrite(fd, pages, bytes, 0);
    code = done < 0 ? errno : done < (ssize_t)bytes ? EIO : 0;
    mem_free(pages);
    if (!code && fdatasync(fd) != 0)
        code = errno;
    return code;
}

static int txn_begin(struct kv_env *env, bool write, MDB_txn **out)
{
    int code = CALL(mdb_txn_begin(env->mdb, NULL, write ? 0 : MDB_RDONLY, out));
    if (code || !write || !env->is_doubtful)
        return code;
    code = CALL(write_first_pages(env));
    env->is_doubtful = code != 0;
    if (code)
        mdb_txn_abort(*out);
    return code;
}

static enum mg_err tables_open(struct kv_env *env, const struct kv_options *o, struct mg_why *why)
{
    MDB_txn *txn;
    int code = txn_begin(env, o->create, &txn);
    if (code)
        return failed(why, env, code, "cannot begin");
    enum mg_err err = tables_open_in(env, o, txn, why);
    if (err == MG_OK && (code = fault_is_now() ? EIO : 0))
        err = failed(why, env, code, "cannot commit the tables");
    if (err != MG_OK) {
        mdb_txn_abort(txn);
        return err;
    }
    code = mdb_txn_commit(txn); /* of a read transaction too: an abort would close the handles */
    return code ? failed(why, env, code, "cannot commit the tables") : MG_OK;
}

/* Reading a page of the map beyond the file's end is a SIGBUS. A file may legitimately be shorter than its last page
 * number says (pages allocated and freed again were never written), so a hole is put there; a page that was cut off
 * reads as zeroes, which is neither a branch nor a leaf, and no value's checksum. */
static enum mg_err cover_pages(struct kv_env *env, struct mg_why *why)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    mdb_filehandle_t fd;
    int code = mdb_env_info(env->mdb, &info);

    if (!code)
        code = mdb_env_stat(env->mdb, &stat);
    if (!code)
        code = mdb_env_get_fd(env->mdb, &fd);
    if (code || fstat(fd, &file) < 0)
        return failed(why, env, code ? code : errno, "cannot open");
    if (info.me_last_pgno >= (uint64_t)INT64_MAX / stat.ms_psize)
        return mg_fail(why, MG_E_FORMAT, "%s: its meta page is malformed", env->path);
    if (!env->guard)
        env->guard = guard_add(&file);
    off_t bytes = (off_t)(info.me_last_pgno + 1) * (off_t)stat.ms_psize;
    if (file.st_size >= bytes)
        return MG_OK;
    int writable_fd = open(env->path, O_WRONLY | O_CLOEXEC);
    code = writable_fd < 0 || ftruncate(writable_fd, bytes) < 0 ? errno : 0;
    if (writable_fd >= 0)
        close(writable_fd);
    if (!code)
        return MG_OK;
    return mg_fail(why, MG_E_FORMAT, "%s: it ends at byte %lld of %lld and cannot be lengthened: %s", env->path,
                   (long long)file.st_size, (long long)bytes, mdb_strerror(code));
}

/* Looking at all pages takes milliseconds a GB, and a sealed file is opened again and again. */
static enum mg_err verify(const struct kv_env *env, struct kv_verified *verified,
                          struct mg_why *why)
{
    if (!env->file.inode || (verified && memcmp(verified, &env->file, sizeof *verified) == 0))
        return MG_OK;
    MG_TRY(kv_verify(env->path, why));
    if (verified)
        *verified = env->file;
    return MG_OK;
}

/* LMDB maps its lock file, which it makes sparse: on a full disk the first touch would be SIGBUS. */
static enum mg_err reserve_lock(const struct kv_env *env, struct mg_why *why)
{
    enum { LOCK_BYTES = 64 + READERS_MAX * 64 }; /* a header and one cache line a reader, rounded up below */
    char path[PATH_MAX];
    int fd, err;

    if (snprintf(path, sizeof path, "%s-lock", env->path) >= (int)sizeof path)
        return MG_OK; /* LMDB itself will say what it thinks of such a path */
    if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600)) < 0)
        return mg_fail_os(why, errno, "cannot open %s", path);
    err = posix_fallocate(fd, 0, (LOCK_BYTES + 8191) / 4096 * 4096);
    close(fd);
    return err == 0 || err == EOPNOTSUPP || err == EINVAL ? MG_OK : mg_fail_os(why, err, "cannot make room for %s", path);
}

static enum mg_err env_start(struct kv_env *env, const struct kv_options *o, struct mg_why *why)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
    if (o->sealed)
        flags |= MDB_RDONLY | MDB_NOLOCK;
    MG_TRY(verify(env, o->verified, why));
    if (!o->sealed)
        MG_TRY(reserve_lock(env, why));
    int code = CALL(mdb_env_create(&env->mdb));
    if (!code)
        code = mdb_env_set_mapsize(env->mdb, o->map_bytes);
    if (!code)
        code = mdb_env_set_maxdbs(env->mdb, o->n_tables ? o->n_tables : 1);
    if (!code)
        code = mdb_env_set_maxreaders(env->mdb, READERS_MAX);
    if (!code)
        code = CALL(mdb_env_open(env->mdb, env->path, flags, 0600));
    if (code)
        return failed(why, env, code, "cannot open");
    MG_TRY(cover_pages(env, why));
    if (!o->sealed) {
        int dead; /* slots of readers that were killed would keep old pages for ever */
        mdb_reader_check(env->mdb, &dead);
    }
    return tables_open(env, o, why);
}

/* The file's identity, once it exists: two paths may name one file. */
static bool env_identify(struct kv_env *env)
{
    struct stat st;
    if (stat(env->path, &st) < 0)
        return false;
    env->file = (struct kv_verified){.device = st.st_dev,
                                     .inode = st.st_ino,
                                     .bytes = (uint64_t)st.st_size,
                                     .changed_s = st.st_mtim.tv_sec,
                                     .changed_ns = st.st_mtim.tv_nsec};
    return true;
}

/* LMDB's environment does not outlive a failed write of its meta page: it refuses even readers. The file is sound, so it is
 * opened again as soon as the last transaction of the old environment has ended. Under the lock. */
static enum mg_err revive(struct kv_env *env, struct mg_why *why)
{
    if (env->mdb && (!env->is_broken || env->n_txns > 0))
        return MG_OK;
    env_close(env);
    enum mg_err err = env_start(env, &env->options, why);
    if (err != MG_OK)
        env_close(env);
    else
        env->is_broken = false;
    return err;
}

enum mg_err kv_env_open(struct kv_env **out, const struct kv_options *options, struct mg_why *why)
{
    assert(!options->sealed || !options->create);
    assert(options->sealed || !options->verified); /* a file that is written to changes */
    size_t bytes = sizeof(struct kv_env) + options->n_tables * sizeof(MDB_dbi);
    MG_AUTO(env_free) struct kv_env *env = mem_zero(1, bytes);

    env->path = mem_text(options->path);
    env->options = *options;
    env->options.path = env->path;
    env->options.create = false;
    env->options.verified = NULL;
    pthread_mutex_init(&env->lock, NULL);
    env->sealed = options->sealed;
    env->n_tables = options->n_tables;
    atomic_init(&env->refs, 1);
    bool exists = env->is_doubtful = env_identify(env);
    if (!exists && !options->create)
        return mg_fail(why, MG_E_ABSENT, "%s: there is no such file", env->path);
    if (!options->sealed)
        MG_TRY(claim(env, why));
    MG_TRY(env_start(env, options, why));
    if (!exists) {
        MG_TRY(directory_sync(env, why));
        pthread_mutex_lock(&writable.lock);
        env_identify(env);
        pthread_mutex_unlock(&writable.lock);
    }
    atomic_fetch_add(&open_envs, 1);
    *out = MG_STEAL(env);
    return MG_OK;
}

struct kv_env *kv_env_ref(struct kv_env *env)
{
    atomic_fetch_add_explicit(&env->refs, 1, memory_order_relaxed);
    return env;
}

void kv_env_unref(struct kv_env **env)
{
    struct kv_env *e = MG_STEAL(*env);
    if (!e || atomic_fetch_sub(&e->refs, 1) > 1)
        return;
    env_free(&e);
    atomic_fetch_sub(&open_envs, 1);
}

uint64_t kv_env_disk_bytes(const struct kv_env *env)
{
    struct stat st;
    return stat(env->path, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

unsigned kv_env_refs(const struct kv_env *env)
{
    return atomic_load(&env->refs);
}

uint64_t kv_env_commits(const struct kv_env *env)
{
    MDB_envinfo info;
    return env->mdb && mdb_env_info(env->mdb, &info) == 0 ? info.me_last_txnid : 0;
}

bool kv_env_is_sealed(const struct kv_env *env)
{
    return env->sealed;
}

int kv_env_fd(const struct kv_env *env)
{
    mdb_filehandle_t fd = -1;
    (void)mdb_env_get_fd(env->mdb, &fd); /* an open environment has one */
    return fd;
}

enum mg_err kv_env_copy(struct kv_env *env, int fd, struct mg_why *why)
{
    pthread_mutex_lock(&env->lock);
    enum mg_err err = revive(env, why);
    env->n_txns += err == MG_OK; /* it reads: the environment must stay */
    pthread_mutex_unlock(&env->lock);
    MG_TRY(err);
    int code = CALL(mdb_env_copyfd2(env->mdb, fd, 0));
    pthread_mutex_lock(&env->lock);
    env->n_txns--;
    pthread_mutex_unlock(&env->lock);
    return code ? failed(why, env, code, "cannot copy") : MG_OK;
}

unsigned kv_env_count(void)
{
    return atomic_load(&open_envs);
}

/* --- transactions --- */

enum mg_err kv_begin(struct kv_txn **out, struct kv_env *env, bool write, struct mg_why *why)
{
    assert(!write || !env->sealed);
    MDB_txn *mdb;
    int code = 0;
    pthread_mutex_lock(&env->lock);
    enum mg_err err = revive(env, why);
    if (err == MG_OK) {
        code = txn_begin(env, write, &mdb);
        env->is_broken |= code == MDB_PANIC;
        env->n_txns += !code;
    }
    pthread_mutex_unlock(&env->lock);
    MG_TRY(err);
    if (code)
        return failed(why, env, code, "cannot begin a transaction");
    struct kv_txn *txn = MEM_NEW(struct kv_txn);
    txn->mdb = mdb;
    txn->env = kv_env_ref(env);
    txn->is_write = write;
    *out = txn;
    return MG_OK;
}

static void txn_free(struct kv_txn **txn)
{
    struct kv_env *env = (*txn)->env;
    pthread_mutex_lock(&env->lock);
    env->n_txns--;
    pthread_mutex_unlock(&env->lock);
    kv_env_unref(&(*txn)->env);
    mem_free(*txn);
    *txn = NULL;
}

enum mg_err kv_commit(struct kv_txn **txn, struct mg_why *why)
{
    struct kv_txn *t = *txn;
    assert(t->cursors == 0);
    int code = t->has_failed ? MDB_BAD_TXN : fault_is_now() ? EIO : 0;
    if (code)
        mdb_txn_abort(t->mdb);
    else
        code = mdb_txn_commit(t->mdb);
    if (!code && t->is_write && fault_hides_commit())
        code = EIO;
    enum mg_err err = code ? failed(why, t->env, code, "cannot commit") : MG_OK;
    if (code && t->is_write) {
        pthread_mutex_lock(&t->env->lock);
        t->env->is_broken = t->env->is_doubtful = true;
        pthread_mutex_unlock(&t->env->lock);
    }
    txn_free(txn);
    return err;
}

void kv_abort(struct kv_txn **txn)
{
    if (!*txn)
        return;
    assert((*txn)->cursors == 0);
    mdb_txn_abort((*txn)->mdb);
    txn_free(txn);
}

static MDB_dbi table_of(const struct kv_txn *txn, unsigned table)
{
    assert(table < txn->env->n_tables);
    return txn->env->tables[table];
}

static enum mg_err put(struct kv_txn *txn, unsigned table, struct str key, MDB_val *value,
                       unsigned flags, struct mg_why *why)
{
    assert(txn->is_write);
    MDB_val k = val_of(key);
    int code = CALL(mdb_put(txn->mdb, table_of(txn, table), &k, value, flags));
    if (!code)
        return MG_OK;
    txn->has_failed = true;
    return failed(why, txn->env, code, "cannot write");
}

enum mg_err kv_put(struct kv_txn *txn, unsigned table, struct str key, struct str value,
                   struct mg_why *why)
{
    MDB_val v = val_of(value);
    return put(txn, table, key, &v, 0, why);
}

enum mg_err kv_append(struct kv_txn *txn, unsigned table, struct str key, size_t bytes, void **room,
                      struct mg_why *why)
{
    MDB_val v = {.mv_size = bytes};
    MG_TRY(put(txn, table, key, &v, MDB_APPEND | MDB_RESERVE, why));
    *room = v.mv_data;
    return MG_OK;
}

/* true: found. Everything but "not there" is counted, because the callers see an absent key. */
static bool found(int code)
{
    if (code && code != MDB_NOTFOUND)
        atomic_fetch_add_explicit(&read_errors, 1, memory_order_relaxed);
    return code == 0;
}

bool kv_get(struct kv_txn *txn, unsigned table, struct str key, struct str *value)
{
    MDB_val k = val_of(key), v;
    if (!found(CALL(mdb_get(txn->mdb, table_of(txn, table), &k, &v))))
        return false;
    *value = str_of_val(v);
    return true;
}

/* --- cursors --- */

static bool cursor_open(struct kv_txn *txn, unsigned table, struct kv_cursor **cursor)
{
    MDB_cursor *mdb;
    if (*cursor)
        return true;
    if (!found(CALL(mdb_cursor_open(txn->mdb, table_of(txn, table), &mdb))))
        return false;
    *cursor = MEM_NEW(struct kv_cursor);
    (*cursor)->mdb = mdb;
    (*cursor)->txn = txn;
    txn->cursors++;
    return true;
}

void kv_cursor_end(struct kv_cursor **cursor)
{
    if (!*cursor)
        return;
    mdb_cursor_close((*cursor)->mdb);
    (*cursor)->txn->cursors--;
    mem_free(*cursor);
    *cursor = NULL;
}

static bool cursor_step(struct kv_cursor **cursor, MDB_cursor_op op, MDB_val k, struct str *key,
                        struct str *value)
{
    MDB_val v;
    if (!found(CALL(mdb_cursor_get((*cursor)->mdb, &k, &v, op)))) {
        kv_cursor_end(cursor);
        return false;
    }
    (*cursor)->is_placed = true;
    *key = str_of_val(k);
    *value = str_of_val(v);
    return true;
}

bool kv_next(struct kv_txn *txn, unsigned table, struct kv_cursor **cursor, struct str *key,
             struct str *value)
{
    if (!cursor_open(txn, table, cursor))
        return false;
    MDB_cursor_op op = (*cursor)->is_placed ? MDB_NEXT : MDB_FIRST;
    return cursor_step(cursor, op, (MDB_val){0}, key, value);
}

bool kv_seek(struct kv_txn *txn, unsigned table, struct kv_cursor **cursor, struct str from,
             struct str *key, struct str *value)
{
    if (!cursor_open(txn, table, cursor))
        return false;
    MDB_cursor_op op = from.len ? MDB_SET_RANGE : MDB_FIRST; /* LMDB refuses an empty key */
    return cursor_step(cursor, op, val_of(from), key, value);
}

bool kv_seek_last(struct kv_txn *txn, unsigned table, struct str *key, struct str *value)
{
    struct kv_cursor *cursor = NULL;
    if (!cursor_open(txn, table, &cursor))
        return false;
    bool is_found = cursor_step(&cursor, MDB_LAST, (MDB_val){0}, key, value);
    kv_cursor_end(&cursor);
    return is_found;
}

uint64_t kv_entries(struct kv_txn *txn, unsigned table)
{
    MDB_stat stat;
    return found(CALL(mdb_stat(txn->mdb, table_of(txn, table), &stat))) ? stat.ms_entries : 0;
}

void kv_will_need(const void *bytes, size_t len)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)bytes & ~(page - 1);
    if (len > 0)
        (void)madvise((void *)from, (uintptr_t)bytes + len - from, MADV_WILLNEED); /* advice only */
}

uint64_t kv_read_errors(void)
{
    return atomic_load_explicit(&read_errors, memory_order_relaxed);
}
