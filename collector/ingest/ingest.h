/* ingest.h - the OTLP trace doors: admission, inflate, scan and intern; the answer after the commit (DESIGN R2, R10; otlp.md 2, 3, 9).
 *
 * One struct ingest for the program, one ingest_loop per loop; a door hands its routes with a struct
 * ingest_door as owner. A request passes these steps on its loop:
 *
 *   head     type and encoding are checked; while little credit is free the body stays unread
 *   body     the inflated bound is reserved; the request waits for it up to ingest.wait, else 503 with a hint
 *   rows     inflate, (JSON to protobuf,) scan, intern: a malformed body ends here, nothing is logged
 *   log      the body as received goes to the journal; live puts the rows into the ring
 *   answer   success, or partial success naming the refused spans
 *
 * Replay sends logged bodies through the same steps without admission. */
#pragma once
#include "http/http.h"
#include "ingest/conf.h"
#include "live/live.h"

enum ingest_protocol { INGEST_OTLP_PROTO = 1, INGEST_OTLP_JSON = 2 }; /* stored in journal records */

struct ingest;
struct ingest_options {
    const struct ingest_conf *conf;
    struct live *live;
    struct journal *journal;
    struct store *store;
    struct credit *credit;
    struct metric_registry *metrics;
};
struct ingest *ingest_new(const struct ingest_options *options);
/* Any thread; the old rows must stay readable until ingest_free. */
void ingest_reload(struct ingest *ingest, const struct ingest_conf *conf);
void ingest_free(struct ingest **ingest); /* after its loops */

struct ingest_loop;
struct ingest_loop *ingest_loop_new(struct ingest *ingest, struct loop *loop);
/* Loop thread. Requests that wait are answered with 503; then on_idle is called when the last one in the log is answered. */
void ingest_loop_close(struct ingest_loop *loop, void (*on_idle)(void *owner), void *owner);
void ingest_loop_free(struct ingest_loop **loop); /* loop thread, after on_idle */

/* The routes of a door; their owner (http_options.owner) is the ingest_loop. */
const struct http_route *ingest_otlp_http_routes(size_t *n);
const struct http_route *ingest_otlp_grpc_routes(size_t *n);

/* live_options.replay: owner is a struct ingest_replay. Reads the journal from the store's watermark. */
struct ingest_replay {
    const struct ingest_conf *conf;
    struct journal *journal;
    struct metric_set *metrics;        /* ingest_metrics() */
    uint64_t after;                    /* watermark - 1 */
    _Atomic uint64_t done, total;      /* records, for progress; any thread reads */
};
enum mg_err ingest_replay(struct ingest_replay *replay, struct live *live, struct mg_why *why);
struct metric_set *ingest_metrics(struct ingest *ingest);
