/* head_private.h - struct head, shared by the files of it; private to sample.
 *
 *   head.c            life, the tick, and what live and the ladder tell
 *   head_follow.c     services and operations of which roots have come
 *   head_load.c       the strategies file
 *   head_calculate.c  what becomes of an interval's counts, and what is kept of it across a restart
 *   head_serve.c      the table, and those who ask */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/map.h"
#include "base/vec.h"
#include "sample/adaptive.h"
#include "sample/head_file.h"
#include "sample/head_table.h"
#include "sample/throughput.h"

#define HEAD_NO_SLOT SIZE_MAX

enum {
#define METRIC_ID(id) HEAD_##id
#define METRIC        METRIC_ENUM
#include "sample/metrics.def"
#undef METRIC
#undef METRIC_ID
};

struct service;
struct operation {
    struct head_seen seen;
    struct service *service;
    size_t slot;                   /* HEAD_NO_SLOT: a default that nothing was counted under */
    struct throughput_sums read;   /* as of the last interval */
    struct adaptive adaptive;
};
struct service {
    struct operation defaults;
    char *name;
    size_t n_slots;                /* its operations with one; without any the service goes */
    struct follower *follower;
};

struct head {
    struct {                       /* main thread */
        struct head_rules *rules;
        struct strategies *strategies; /* NULL: no file */
        struct file_stamp stamp;   /* of the file as last read, also when it was bad */
        uint64_t looked_ns, began_ns;  /* at the file; this interval */
        struct adaptive_round round;   /* the running one's factors */
        struct adaptive_rounds rounds;
        struct map services;       /* struct service */
        VEC(struct operation *) by_slot; /* NULL: none */
        VEC(struct head_seen *) seen;    /* sorted; scratch of make_table */
        uint64_t beyond;
        bool is_changed;           /* the table must be made anew */
    } own;
    struct {                       /* any thread, under the lock */
        pthread_mutex_t lock;
        struct head_table *table;
        struct map early;          /* service -> when it asked, in ns + 1 */
    } shared;
    _Atomic uint64_t factor;       /* bits of a double */
    struct throughput *throughput; /* has rules of its own */
    struct metric_set *metrics;
    const char *state_path;
    uint64_t (*mono_ns)(void);
};

double head_factor(const struct head *head);       /* what the ladder multiplies with; any thread */

/* Main thread, all of these. */
void head_follow_slots(struct head *head);         /* new slots of the throughput become operations */
struct operation *head_follow_slot(struct head *head, size_t slot); /* the same for one; it is in use */
void head_follow_rules(struct head *head);         /* rules are new: which of them apply to each operation */
void head_forget(struct head *head, struct operation *operation); /* and its service, when it was the last */
void head_follow_fini(struct head *head);

enum mg_err head_load_first(const struct head_rules *rules, struct strategies **out, struct file_stamp *stamp, struct mg_why *why) MG_MUST_USE;
void head_log_warnings(const struct head_rules *rules, const struct strategies *strategies);
void head_look_at_file(struct head *head, uint64_t now_ns);

void head_begin_interval(struct head *head, uint64_t now_ns);
void head_calculate(struct head *head, uint64_t now_ns);
void head_restore(struct head *head);

void head_make_table(struct head *head, uint64_t now_ns);
void head_serve_fini(struct head *head);
