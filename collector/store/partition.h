/* partition.h - one partition file: its environment, its blocks' bounds, its names (FORMAT.md 1, 2). Private to store.
 *
 * Counted: the store's list and every block list hold it; the last unref closes the environment. `blocks` and `names`
 * of the open partition and of the pins grow under the store's lock; those of a closed one never change. `env` of the open
 * partition is the block thread's; once closed it is asked for with partition_env (handles.h), which opens a sealed one when
 * it is needed. */
#pragma once
#include <stdatomic.h>
#include "base/list.h"
#include "base/vec.h"
#include "kv/kv.h"
#include "store/catalog.h"
#include "store/decisions.h"
#include "store/store.h"

enum { TABLE_BLK, TABLE_SUM, TABLE_RUN, TABLE_META, TABLE_DEP, TABLE_GEN, TABLES };
#define TABLES_BEFORE_RULES TABLE_GEN /* what a file of a version without sampling has: read as it is, completed when it is opened for writing */

#define PINS_NUMBER UINT32_MAX /* the archive: pins.mdb */

struct handles;
struct block_entry { uint64_t start_min_ns, start_max_ns; uint32_t number, rows, fragments, flags; };

struct partition {
    atomic_uint refs;
    uint32_t number;
    char *path;
    struct handles *handles; /* NULL: a tool's */
    struct kv_env *env;      /* of a sealed one: NULL while it is not needed; under the handles' lock */
    struct list handle_link; /* handles.open */
    uint64_t used_mono_ns;   /* when env was last asked for; under the handles' lock */
    struct kv_verified verified; /* the file as it was when it was opened read-only; under the handles' lock */
    bool is_sealed;          /* its environment is read-only whenever it is open */
    bool is_closed;          /* no more commits; waits to be sealed */
    bool says_sealed;        /* its meta does */
    VEC(struct block_entry) blocks; /* those whose summary can be read */
    uint32_t last_block;     /* highest block number, 0: none */
    uint64_t disk_bytes;     /* when it was last asked for; fixed once sealed */
    struct catalog *names;
    uint64_t spans, traces, first_wall_ns;
    struct store_state state;/* as of its last commit; snapshot is not kept here */
    struct decisions decisions; /* its NNNNNN.why */
    uint32_t rules;          /* the newest generation in its table; 0: none */
    bool lacks_rules;        /* it has no such table: of an earlier version */
};

/* What of a state goes from partition to partition and is not in store_state: live's snapshot, and entries whose tag
 * this version does not know. */
struct carried { struct buf snapshot, other; };
void carried_init(struct carried *carried);
void carried_fini(struct carried *carried);

/* `other`: entries with unknown tags, written as they are. first_wall_ns is tag 9. */
enum mg_err state_write(struct buf *out, const struct store_state *state, uint64_t first_wall_ns, struct str other) MG_MUST_USE;
/* The snapshot borrows from bytes. *other (may be NULL) gets the entries with unknown tags. */
enum mg_err state_read(struct str bytes, struct store_state *out, uint64_t *first_wall_ns, struct buf *other) MG_MUST_USE;

/* The numbers of the partition files in a directory, rising. */
struct partition_numbers { VEC(uint32_t) list; };
enum mg_err partition_list(const char *dir, struct partition_numbers *out, struct mg_why *why) MG_MUST_USE;

/* Opens the file and reads state, bounds and names; *carried may be NULL. E_ABSENT: it has no state, so nothing
 * was ever committed to it. E_FORMAT: damaged. E_UNSUPPORTED: of a later version. */
enum mg_err partition_open(struct partition **out, const char *dir, uint32_t number, bool sealed, struct carried *carried, struct mg_why *why) MG_MUST_USE;
/* Opens the file read-only and reads nothing of it: for tools. */
enum mg_err partition_open_raw(struct partition **out, const char *dir, uint32_t number, struct mg_why *why) MG_MUST_USE;
/* E_ABSENT: says no version, so it was never committed to. */
enum mg_err partition_check_version(const struct partition *partition, struct kv_txn *txn, struct mg_why *why) MG_MUST_USE;
/* E_ABSENT when nothing was ever committed to it, else E_FORMAT: for one whose state is not there. */
enum mg_err partition_without_state(const struct partition *partition, struct mg_why *why) MG_MUST_USE;
enum mg_err partition_create(struct partition **out, const char *dir, uint32_t number, struct mg_why *why) MG_MUST_USE;
/* For handles.c, under its lock: opens env read-only; closes the writable one, after which it counts as sealed; closes
 * what the list of open ones holds. */
enum mg_err partition_open_env(struct partition *partition, struct mg_why *why) MG_MUST_USE;
void partition_close_writable(struct partition *partition);
void partition_forget_handle(struct partition *partition);
uint64_t partition_disk_bytes(struct partition *partition); /* with its decisions; block thread */
struct partition *partition_ref(struct partition *partition);
void partition_unref(struct partition **partition);
void partition_unlink_lock(const struct partition *partition); /* LMDB's file for locks; nobody has it open for writing any more */
void partition_unlink(struct partition *partition); /* files go, the decisions' too; open handles stay good */
/* Adds a committed block to bounds and names; one whose summary is damaged is logged and left out. */
void partition_note_block(struct partition *partition, uint32_t number, struct str summary);
void partition_add_block(struct partition *partition, struct block_entry block);
void partition_key(uint32_t number, uint8_t key[4]);
char *partition_path(const char *dir, uint32_t number); /* new text; PINS_NUMBER: of pins.mdb */
