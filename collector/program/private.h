/* private.h - the running program, shared by its files. The main thread's, save what says otherwise. */
#pragma once
#include <pthread.h>
#include "api/admin/admin.h"
#include "api/console/console.h"
#include "api/jaeger/jaeger.h"
#include "api/sampling/sampling.h"
#include "api/ui/ui.h"
#include "api/zipkin/zipkin.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "command/command.h"
#include "command/settings.h"
#include "consume/consume.h"
#include "forward/forward.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "live/live.h"
#include "net/loop.h"
#include "program/trim.h"
#include "query/query.h"
#include "store/store.h"

enum { LOOPS_MAX = 256, EXPORTERS = 4 };

struct program;
struct worker {
    struct program *program;
    pthread_t thread;
    struct loop *loop;
    struct mailbox *orders;
    uint64_t counted_cpu_ns;
    struct signal_watch *signals[3];
    struct ingest_loop *ingest;
    struct http_server *servers[DOORS];
};
/* The routes of one door, put together from several modules; each route has its owner. */
struct door_routes { struct http_route *at; size_t n; };

struct exporter {
    struct send *send;                  /* NULL: off */
    void *object;                       /* the wire's owner */
};

struct program {
    /* A reload frees the settings that were in force, save those of the start: rows that need a restart borrow from these, and so do
     * Kafka's consumer, the wires of exporters, the replay and tls.client_names. Of all others nobody keeps a pointer: what a reload may
     * change is copied by the module that reads it, given to a loop on that loop (worker_call waits for it), or counted. */
    struct settings *started;
    struct settings *settings;          /* in force; those of the start until the first reload */
    struct config_args args;
    char *data_dir, *store_dir, *journal_dir, *head_state;
    int lock_fd;
    struct metric_registry *registry;
    struct metric_set *http_metrics;
    struct tls_source *tls;             /* NULL: plain */
    struct store *store;
    struct journal *journal;
    struct trim trim;
    bool is_refusing;                   /* as it was said last: the journal cannot be written */
    struct credit credit;
    struct metric_set *send_metrics;
    struct exporter exporters[EXPORTERS];
    struct forward *forward;            /* NULL: no exporter */
    struct head *head;
    uint32_t rules_generation;          /* of settings->sample_rules */
    struct live *live;
    struct ingest *ingest;
    struct ingest_replay replay;
    struct consume *consume;            /* NULL: no Kafka */
    struct query_pool *queries;
    struct jaeger_api *jaeger;
    struct zipkin_api *zipkin;
    struct ui *ui;                      /* loop 0 looks at it */
    struct door_routes query_routes, zipkin_routes, jaeger_grpc_routes, jaeger_http_routes;
    struct admin admin;
    struct worker workers[LOOPS_MAX];
    size_t n_workers;
    struct {                            /* what the main thread waits for */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool is_replaying, is_ready, is_stopping, is_reloading;
        enum mg_err ready_err;
        struct mg_why ready_why;
        size_t busy;                    /* servers and ingest loops that have not come to rest */
    } wait;
};

/* workers.c */
typedef enum mg_err worker_fn(struct worker *worker, void *argument, struct mg_why *why);
void workers_start(struct program *program);
enum mg_err worker_call(struct worker *worker, worker_fn *run, void *argument, struct mg_why *why); /* on its loop; waits for it */
void workers_tick(struct program *program);
void workers_stop(struct program *program);
void program_busy(struct program *program);        /* any thread: one more that must come to rest */
void program_rests(void *program);                 /* any thread: one has */
/* doors.c */
void doors_init(struct program *program);          /* the tables of routes */
enum mg_err doors_load_tls(struct program *program, struct mg_why *why);
enum mg_err door_open(struct program *program, enum door door, struct mg_why *why);
enum mg_err doors_drain(struct worker *worker, void *argument, struct mg_why *why);  /* worker_fn */
enum mg_err doors_close(struct worker *worker, void *argument, struct mg_why *why);  /* worker_fn */
enum mg_err doors_reload(struct worker *worker, void *argument, struct mg_why *why); /* worker_fn: what of the settings the loop looks at */
void doors_warn(struct program *program);          /* of every door that stands open beyond loopback */
void doors_fini(struct program *program);
/* exports.c */
enum mg_err exports_open(struct program *program, struct mg_why *why);
enum mg_err exports_start(struct program *program, struct mg_why *why);
void exports_reload(struct program *program);
void exports_stop(struct program *program);
void exports_close(struct program *program);
/* reload.c */
enum mg_err ui_open_for(struct ui **out, const struct settings *settings, struct mg_why *why);
/* Before `now` is read: rows that need a restart keep what `old` has. Appends the keys that were changed in vain: "threads, tls.cert". */
void reload_keep_started(struct settings *now, const struct settings *old, struct buf *keys);
void program_reload(struct program *program);
