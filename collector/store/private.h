/* private.h - the store's state, shared by store.c, commit.c, recover.c, retain.c, pins.c, backup.c and view.c.
 *
 * `own` is the block thread's (and the opener's before start). Everything in `shared` is under its lock. */
#pragma once
#include <pthread.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/edges.h"
#include "store/handles.h"
#include "store/sealed.h"
#include "store/view.h"

enum store_metric {
#define METRIC_ID(id) STORE_##id
#define METRIC(...) METRIC_ENUM(__VA_ARGS__)
#include "store/metrics.def"
#undef METRIC
#undef METRIC_ID
    STORE_METRICS
};

/* An immutable list of partitions and of their blocks, newest first; views share it. Behind the n_blocks blocks of the
 * partitions stand those of the pins, whose partition is then the last one, number n_partitions. */
struct block_list {
    atomic_uint refs;
    struct partition **partitions;
    size_t n_partitions, n_all;    /* without the pins; with them */
    struct block_info *blocks;
    size_t n_blocks, n_blocks_all;
    uint32_t **places;             /* of each partition: [0] highest number, then number -> index in blocks, UINT32_MAX: not there */
};
struct block_list *block_list_take(struct store *store); /* any thread: referenced */
void block_list_unref(struct block_list **list);

struct snapshot {
    uint64_t p, watermark, log_ns;
    struct buf bytes;
    uint64_t number, committed;        /* of this one; of the one in the last commit: equal when nothing waits */
};

/* The archive (pins.c). `lock` is held for a whole pinning and taken before shared.lock. */
struct pin { uint32_t fingerprint, block; };
struct pins {
    pthread_mutex_t lock;
    struct partition *partition;       /* NULL: nothing was pinned yet; changes under both locks */
    VEC(struct pin) index;             /* under shared.lock */
    struct interner *interner;         /* NULL until needed */
    struct block_builder *builder;
    struct mg_why damage;              /* not empty: the file was set aside */
    _Atomic uint64_t disk_bytes;
};

struct commit; /* commit.c */
struct store {
    struct store_options options;
    struct handles handles;
    struct pins pins;
    _Atomic bool is_full;
    char *dir;
    struct metric_set *metrics;
    struct queue *queue;
    pthread_t thread;
    bool is_started;
    struct store_state state;          /* as recovered, for its reader; constant after open */
    struct carried recovered;          /* of `state`; its unknown entries go into every commit */
    struct {
        struct block_builder *builder, *strays; /* strays: NULL until there is one */
        struct edges *edges;           /* of the commit being made */
        struct store_state state;      /* as committed; snapshot in `carried` */
        struct buf carried;
        struct store_batch *first, *last; /* waiting batches, chained by link */
        uint64_t rows;                 /* of them, kept */
        uint64_t dropped;              /* fragments of them that are not kept */
        VEC(struct decision) decisions; /* of the commit being made */
        uint64_t since_mono_ns;        /* of the oldest */
        uint64_t committed_mono_ns;    /* last commit */
        uint64_t retry_mono_ns, back_off_ns; /* not before, after a failure */
        struct commit *unsure;         /* the last one, when LMDB said it failed: it may be in the open partition; NULL: none */
        unsigned failures;             /* of commits, since the last good one or roll */
        bool is_hurried;               /* what waits is due now */
        uint64_t retain_mono_ns, look_mono_ns; /* the next retention; the next look at the disk */
        struct clock_age retain_clock;
        uint32_t next_number;          /* of the next partition */
        struct { struct partition *of; struct decisions_merging *at; } merging; /* decisions of a partition that is to be sealed; NULL: none */
        uint64_t damaged_decisions;    /* places left out, before there is a metric to count them */
        uint32_t damaged_number;       /* highest number of a partition that was set aside at start; 0: none */
        uint32_t next_rules;           /* the next generation; one that was tried and failed is not given again */
        uint32_t rules_gap;            /* generation that the next new partition says was the newest, without a text; 0: none */
    } own;
    struct {
        pthread_mutex_t lock;
        pthread_cond_t committed;      /* for store_flush */
        struct store_conf conf;        /* as of the last reload */
        VEC(struct partition *) partitions; /* by number; the last one is open, but see store_open_partition */
        struct block_list *list;       /* cached; NULL: something changed */
        struct snapshot snapshot;      /* the newest given */
        struct store_stats stats;
        uint64_t put, done;            /* batches */
        size_t damaged;
        uint32_t rules;                /* the newest generation; 0: none */
        struct rules_order *rules_order; /* for the block thread; NULL: none */
        struct { uint32_t generation; struct buf text; } waiting_rules; /* for a commit that succeeds; 0: none. Only the block thread, and
                                        * the opener before it, changes them */
    } shared;
    _Atomic bool is_hurried, is_stopping;
};

/* commit.c: block thread. All that waits, and the snapshot; a failed one is logged and counted. */
#define STORE_DROPPED_MAX 200000 /* decisions of a commit that are not waited beyond */
enum mg_err store_commit(struct store *store, struct mg_why *why) MG_MUST_USE;
void store_forget_unsure(struct store *store); /* at the end: what is in the file is then the next start's */
/* What a commit does besides: a generation of rules is put. */
enum mg_err store_commit_rules(struct store *store, uint32_t number, struct str text, struct mg_why *why) MG_MUST_USE;
/* One turn of the block thread: waits up to wait_ns, commits what is due, retains. Tests turn a store by hand. */
void store_turn(struct store *store, uint64_t wait_ns);
struct store_conf store_conf_now(const struct store *store); /* any thread, not under the lock */
uint64_t store_mono(const struct store *store);
uint64_t store_wall(const struct store *store);
/* Block thread. The last one; after a start on a full disk it is closed, until the first commit makes one. */
struct partition *store_open_partition(struct store *store);
void store_list_changed(struct store *store);                 /* under the lock */
/* retain.c: rolling, sealing, dropping. Block thread. */
bool store_roll_cannot_wait(struct store *store); /* for the next commit: one must be made for it */
enum mg_err store_roll_if_due(struct store *store, struct mg_why *why);
void store_retain(struct store *store);
void store_retain_decisions(struct store *store); /* drops the oldest decisions above store.decisions_max; not the open partition's */
uint64_t store_disk_max(const struct store *store);
bool store_lacks_room(const struct store *store); /* for a new partition */
void store_look_at_disk(struct store *store); /* drops one partition below the floor or what is wanted, or says the store is full */
/* pins.c */
enum mg_err pins_recover(struct store *store, struct mg_why *why) MG_MUST_USE;
void pins_fini(struct store *store);
uint64_t pins_disk_bytes(struct store *store); /* any thread */
/* Under shared.lock. Blocks of the archive that may hold the trace, as numbers; at most room. */
size_t pins_find(const struct store *store, uint32_t fingerprint, uint32_t *numbers, size_t room);
/* generations.c: block thread, or the opener. carry: the newest generations go into a new partition's first transaction. */
struct rules_order; /* of store_rules_put, on its stack */
enum mg_err store_carry_rules(struct store *store, struct kv_txn *txn, uint32_t *newest, struct mg_why *why) MG_MUST_USE;
void store_answer_rules(struct store *store);
void store_end_waiting(struct store *store); /* under the lock: the rules that waited are in a commit */
/* backup.c: a file in dir that has no name. */
enum mg_err store_nameless(const char *dir, int *fd, struct mg_why *why) MG_MUST_USE;
/* retain.c: one more part of the merge that is under way (own.merging.of), and the seal after the last; the merge of a partition (NULL: any)
 * is given up; all of it at once, for a start. */
void store_go_on_merging(struct store *store);
void store_stop_merging(struct store *store, const struct partition *partition);
enum mg_err store_merge_decisions(struct store *store, struct partition *partition, struct mg_why *why) MG_MUST_USE;
/* recover.c */
enum mg_err store_recover(struct store *store, struct mg_why *why);
enum mg_err store_sync_dir(const char *dir, struct mg_why *why);
