/* admin.h - the doors for operators: /status on health, /metrics on metrics, /api/meshglass/v1/{status,ledger,why/{id},backup}
 * on query_http.
 *
 * One struct admin for the program, filled by main.c before the first door opens; what changes later is atomic or under
 * its lock. Every answer is made on the loop from counters that others publish: nothing here waits, but the backup (backup.h) and
 * why (why.h), which a query thread writes. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "http/http.h"
#include "live/live.h"

enum admin_state { ADMIN_STARTING, ADMIN_SERVING, ADMIN_STOPPING };
enum { ADMIN_DOORS_MAX = 16, ADMIN_RATE_SAMPLES = 11 };
struct admin_door { const char *name; char address[80]; };

struct admin {
    struct live *live;
    struct store *store;
    struct journal *journal;
    struct query_pool *queries;            /* for the backup and for why */
    struct credit *credit;
    struct metric_registry *registry;
    const char *data_dir, *version;
    uint64_t started_wall_ns, started_mono_ns;
    const _Atomic uint64_t *replay_done, *replay_total;
    _Atomic int state;                     /* enum admin_state */
    atomic_bool is_backing_up;             /* any thread */
    struct {
        pthread_mutex_t lock;
        struct admin_door doors[ADMIN_DOORS_MAX];
        size_t n_doors;
        struct { uint64_t mono_ns, accepted; } samples[ADMIN_RATE_SAMPLES]; /* newest last */
        size_t n_samples;
    } shared;
};
void admin_init(struct admin *admin);
void admin_fini(struct admin *admin);
void admin_add_door(struct admin *admin, const char *name, struct str address); /* any thread */
void admin_tick(struct admin *admin, uint64_t mono_ns); /* about once a second: spans/s over the last ten */
double admin_spans_per_second(struct admin *admin);
/* "" when serving; else why not, for people: "starting: 120 of 300 log records read". */
void admin_reason(struct admin *admin, struct buf *out);

/* Routes of the three doors; their owner is the struct admin. */
const struct http_route *admin_health_routes(size_t *n);
const struct http_route *admin_metrics_routes(size_t *n);
const struct http_route *admin_query_routes(size_t *n); /* /api/meshglass/v1/… on query_http */
