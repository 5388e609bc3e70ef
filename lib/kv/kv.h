/* kv.h - the only door to LMDB: one file per environment (NOSUBDIR), counted handles, short transactions,
 * and a fault hook that fails the n-th call in tests.
 *
 * An environment is opened writable (at most once per process and file) or sealed (RDONLY | NOLOCK: the
 * file will never be written again). Named tables are opened with the environment and their handles are
 * fixed from then on. Keys and values are bytes; a value read is valid until its transaction ends.
 *
 * Threads: a write transaction belongs to one thread; read transactions to the one that began them
 * (MDB_NOTLS). kv_env_ref/unref from any thread; the last unref closes.
 * Errors: E_IO with LMDB's text; a full map is E_TOO_BIG; a file that is no LMDB file, of another version
 * or damaged is E_FORMAT; an absent file or table at open is E_ABSENT; a second writable open of one file
 * is E_BUSY; a key that LMDB cannot hold (empty, over 511 bytes) is E_FORMAT; a missing key is a value
 * (false). After any failed put the whole transaction must be aborted; kv_commit then refuses and aborts.
 * When kv_commit fails without that, the transaction may be in the file all the same. The next write transaction shows whether it
 * is: one begins only when the disk has what it shows (E_IO until then), also the first one after a file was opened. Readers
 * do not wait for the disk.
 * Commits are synced (never NOSYNC), and creating a file syncs its directory.
 *
 * A file shorter than its meta page says is lengthened with a hole when it is opened: LMDB reads through a map, where
 * a missing page would be a SIGBUS. The pages that were cut off then read as zeroes, which is damage that is found; pages that
 * were allocated and never written are missing legitimately. A file that cannot be lengthened is E_FORMAT.
 *
 * LMDB keeps its reader table in "<path>-lock" beside a file opened writable; it may be unlinked once the
 * writable environment has closed. Reading ahead is off: announce large values with kv_will_need. */
#pragma once
#include "base/str.h"

struct kv_env;
struct kv_txn;

/* What a file was when it was last verified (kv/verify.h); zeroed: it never was. */
struct kv_verified { uint64_t device, inode, bytes; int64_t changed_s, changed_ns; /* the content, by mtime */ };

struct kv_options {
    const char *path;
    uint64_t map_bytes;        /* address space, costs nothing until used */
    const char *const *tables; /* names; index in this array is the table number */
    unsigned n_tables;
    bool sealed;               /* RDONLY | NOLOCK */
    bool create;               /* writable only: create file (mode 0600) and tables */
    struct kv_verified *verified; /* sealed only; NULL or the caller's memory of this path: a file that is still what
                                     it says is not verified again. kv_env_open writes it and keeps no pointer */
};
enum mg_err kv_env_open(struct kv_env **out, const struct kv_options *options, struct mg_why *why) MG_MUST_USE;
struct kv_env *kv_env_ref(struct kv_env *env); /* a transaction holds one too */
void kv_env_unref(struct kv_env **env);
uint64_t kv_env_disk_bytes(const struct kv_env *env); /* st_blocks * 512 */
unsigned kv_env_refs(const struct kv_env *env);       /* holders now; more may come unless the caller keeps others from env */
uint64_t kv_env_commits(const struct kv_env *env);    /* write transactions ever committed to the file, by its meta page */
bool kv_env_is_sealed(const struct kv_env *env);
int kv_env_fd(const struct kv_env *env);              /* of the file, to pread from while env is referenced; do not close */
/* Writes a consistent copy of the last commit to the descriptor, from its offset on, while others read and write. Any
 * thread; a write transaction that is open elsewhere is waited for. */
enum mg_err kv_env_copy(struct kv_env *env, int fd, struct mg_why *why) MG_MUST_USE;
unsigned kv_env_count(void);                          /* open environments, for leak tests */

enum mg_err kv_begin(struct kv_txn **out, struct kv_env *env, bool write, struct mg_why *why) MG_MUST_USE;
enum mg_err kv_commit(struct kv_txn **txn, struct mg_why *why) MG_MUST_USE; /* ends it either way */
void kv_abort(struct kv_txn **txn);                                       /* NULL is fine */

enum mg_err kv_put(struct kv_txn *txn, unsigned table, struct str key, struct str value, struct mg_why *why) MG_MUST_USE;
/* Appends a key greater than all present (MDB_APPEND) and returns memory to fill before the next call. */
enum mg_err kv_append(struct kv_txn *txn, unsigned table, struct str key, size_t bytes, void **room, struct mg_why *why) MG_MUST_USE;
/* false: absent. A read error is reported as absent and counted: kv_read_errors(). */
bool kv_get(struct kv_txn *txn, unsigned table, struct str key, struct str *value);
/* Walks a table in key order: *cursor NULL first; ends it (and frees) by returning false, or kv_cursor_end.
 * Every cursor ends before its transaction. */
struct kv_cursor;
bool kv_next(struct kv_txn *txn, unsigned table, struct kv_cursor **cursor, struct str *key, struct str *value);
/* Begins (or moves) a walk at the first key that is not below `from`; go on with kv_next. */
bool kv_seek(struct kv_txn *txn, unsigned table, struct kv_cursor **cursor, struct str from, struct str *key, struct str *value);
bool kv_seek_last(struct kv_txn *txn, unsigned table, struct str *key, struct str *value);
void kv_cursor_end(struct kv_cursor **cursor);
uint64_t kv_entries(struct kv_txn *txn, unsigned table);
void kv_will_need(const void *bytes, size_t len); /* announces a range of a mapped value (MADV_WILLNEED) */
uint64_t kv_read_errors(void);

/* Fault injection: the n-th fallible call from now fails with E_IO (0: off). Test builds and tools. */
void kv_fault_at(uint64_t nth);
uint64_t kv_fault_calls(void); /* fallible calls since kv_fault_at */
/* The n-th commit of a write transaction from now is made and yet said to have failed with E_IO, as when the disk reports an
 * error about a page that it has written (0: off). Commits since kv_fault_commit_at. */
void kv_fault_commit_at(uint64_t nth);
uint64_t kv_fault_commits(void);
