/* rig.h - a whole data path in a fresh directory: journal, store, live and a query pool, for the
 * tests of this folder.
 *
 * Spans are rows of a table. A trace is decided as soon as its root (parent 0) is durable, and
 * waits in the ring until rig_flush; a trace, or a late part of one, without a root stays in the
 * ring. So a test chooses where its spans are. The store's clock stands still unless moved: it
 * commits only when it is told to. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "base/clock.h"
#include "query/private.h"

struct item {
    uint16_t trace;
    uint8_t id, parent;         /* parent 0: a root */
    const char *service, *name; /* service NULL: no resource at all */
    uint64_t start, duration;
    int kind, status;
    const char *key, *value; /* an attribute, when key is not NULL */
};

struct rig {
    char dir[64];
    char journal_dir[80], store_dir[80];
    struct journal *journal;
    struct store *store;
    struct live *live;
    struct credit credit;
    struct metric_registry *metrics;
    struct live_conf live_conf;
    struct decision_conf decisions;
    struct store_conf store_conf;
    struct query_conf query_conf;
    struct interner *interner;
    struct query_pool *pool;
    const char *policies; /* YAML list of sampling.policies, no classes and no floor; NULL: sampling is off */
    uint32_t generation;  /* of these rules, in the store */
    uint64_t idle_ns; /* of query threads; 0: default */
    uint64_t wall_ns; /* when what is put was received */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t ready;
    bool is_ready; /* live serves */
    enum mg_err start_err;
    struct metric_set *query_metrics; /* the pool's, known after the first query */
};

/* Zeroed, or with limits of its own in query_conf (zero: default) and idle_ns. */
void rig_open(struct rig *rig);
void rig_close(struct rig *rig);   /* and removes the directory */
void rig_restart(struct rig *rig); /* orderly; the store stays */
/* The same, and damages a block of the first partition meanwhile, from its byte `from` on. */
void rig_restart_damaged(struct rig *rig, uint32_t block, size_t from);
/* The same, and what the first partition says about the edges of a minute becomes `value`. */
void rig_restart_with_edges(struct rig *rig, uint32_t minute, struct str value);
/* The same, and the file of the archive becomes one that cannot be read. */
void rig_restart_without_archive(struct rig *rig);

/* One record; returns when acked. */
void rig_put(struct rig *rig, const struct item *items, size_t n);
#define RIG_PUT(rig, items) rig_put((rig), (items), MG_COUNT(items))
/* Stores what is decided, until only `pending` spans are left in the ring. */
void rig_flush(struct rig *rig, uint64_t pending);
uint64_t rig_pending(struct rig *rig);

/* A query by name: run calls back on the query thread, rig_ask returns when it has ended. */
struct ask {
    struct query_job job;
    void (*on_query)(struct ask *ask, struct query *query);
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool is_ended;
    struct rig *rig;
    /* for on_query */
    enum mg_err err;
    struct mg_why why;
    struct query_search search;
    uint16_t trace;
    struct str service;
    struct buf text; /* the answer */
    uint64_t passes_ns; /* rig_ask_late */
};
void rig_ask(struct rig *rig, struct ask *ask, const char *name,
             void (*on_query)(struct ask *, struct query *));
/* The same on a clock that stands still: passes_ns go by when the query has begun. Leaves the clock
 * real again. */
void rig_ask_late(struct rig *rig, struct ask *ask, const char *name,
                  void (*on_query)(struct ask *, struct query *), uint64_t passes_ns);
/* What may go by, and what may not, with a timeout_ns of RIG_TIMEOUT_NS. */
#define RIG_TIMEOUT_NS UINT64_C(1000000000)
struct rig_delay {
    uint64_t passes_ns;
    enum mg_err want;
};
#define RIG_DELAYS 5
extern const struct rig_delay rig_delays[RIG_DELAYS];

void ask_init(struct ask *ask, struct rig *rig, const char *name,
              void (*on_query)(struct ask *, struct query *));
void ask_wait(struct ask *ask);
void ask_fini(struct ask *ask);

/* Ready-made on_query. Texts: "3:2 1:5" is trace 3 with 2 spans, then trace 1 with 5. */
void on_trace_query(struct ask *ask,
                    struct query *query); /* ask.trace; text "id:start:name …" of each span */
void on_search_query(struct ask *ask, struct query *query);   /* ask.search */
void on_services_query(struct ask *ask, struct query *query); /* "a,b" */
void on_operations_query(struct ask *ask,
                         struct query *query); /* ask.service; "name/kind,name/kind" */

void on_why_query(struct ask *ask, struct query *query); /* ask.trace; "kept policy errors (3); …" */

void rig_trace_id(uint16_t trace, uint8_t id[16]);
void assert_trace(struct rig *rig, uint16_t trace, const char *want); /* NULL: E_ABSENT */
void assert_search(struct rig *rig, const struct span_filter *filter, uint32_t limit,
                   const char *want);
extern const struct span_filter any_span;

/* The clock of query pools: real until moved. */
uint64_t rig_clock(void);
void rig_clock_set(uint64_t mono_ns); /* stands still from then on; 0: real again */
uint64_t rig_metric(struct rig *rig, enum query_metric row, unsigned label);
void rig_store_clock_move(uint64_t ns); /* of every rig */
