/* ingest.h - the trace doors: admission, inflate, scan and intern; the answer after the commit (collector/README.md R2, R10).
 *
 * One struct ingest for the program, one ingest_loop per loop. Whatever brought a body, it passes the same steps on its loop:
 *
 *   head     (HTTP) type and encoding are checked; while little credit is free the body stays unread
 *   credit   the inflated bound is reserved; a request waits for it up to ingest.wait, else 503 with a hint; a datagram never waits
 *   rows     inflate, scan, attribute rules, intern: a malformed body ends here, nothing is logged
 *   log      the body as received goes to the journal; live puts the rows into the ring
 *   answer   success, or partial success naming the refused spans
 *
 * Replay sends logged bodies through the same steps without admission. While credit is short, those who sent more than their
 * share lately are refused first (talkers.h). */
#pragma once
#include "codec/zip.h"
#include "door/door.h"
#include "http/http.h"
#include "ingest/conf.h"
#include "live/live.h"

/* What a body is; stored in journal records, so numbers are never used again for another one. */
enum ingest_protocol {
    INGEST_OTLP_PROTO = 1, INGEST_OTLP_JSON = 2, INGEST_ZIPKIN_JSON = 3, INGEST_ZIPKIN_PROTO = 4,
    INGEST_JAEGER_POST_SPANS = 5, INGEST_JAEGER_HTTP_BINARY = 6, INGEST_JAEGER_UDP_COMPACT = 7, INGEST_JAEGER_UDP_BINARY = 8,
    INGEST_JAEGER_SPAN = 9
};
/* Where a body comes from: the label of metrics.def. */
#define INGEST_DOOR_ID(id, ...) INGEST_DOOR_##id,
enum ingest_door { DOOR_ROWS(INGEST_DOOR_ID, DOOR_LEFT_OUT, INGEST_DOOR_ID) INGEST_DOOR_KAFKA, INGEST_DOORS };

struct attribute_rules;
struct ingest;
struct ingest_options {
    const struct ingest_conf *conf; /* with it and `rules` each loop begins: both must stay until the last one is made */
    struct live *live;
    struct journal *journal;
    struct store *store;
    struct credit *credit;
    struct metric_registry *metrics;
    struct attribute_rules *rules;  /* ingest.rules, compiled; NULL: none */
};
struct ingest *ingest_new(const struct ingest_options *options);
void ingest_free(struct ingest **ingest); /* after its loops */

struct ingest_loop;
struct ingest_loop *ingest_loop_new(struct ingest *ingest, struct loop *loop);
/* Loop thread, for bodies that are read later: every loop has limits and rules of its own, so that no body looks at what another thread
 * may change. Rows are copied, rules counted: of the old ones nothing is kept. */
void ingest_loop_reload(struct ingest_loop *loop, const struct ingest_conf *conf, struct attribute_rules *rules);
/* Loop thread. Closes the UDP doors; requests that wait are answered with 503; then on_idle is called when the last one in the log
 * is answered. */
void ingest_loop_close(struct ingest_loop *loop, void (*on_idle)(void *owner), void *owner);
void ingest_loop_free(struct ingest_loop **loop); /* loop thread, after on_idle */

/* The routes of a door; their owner (http_options.owner) is the ingest_loop. */
const struct http_route *ingest_otlp_http_routes(size_t *n);
const struct http_route *ingest_otlp_grpc_routes(size_t *n);
const struct http_route *ingest_zipkin_routes(size_t *n);      /* POST /api/v2/spans, GET /health; the query half of the door is api/zipkin's */
const struct http_route *ingest_jaeger_grpc_routes(size_t *n); /* CollectorService/PostSpans, grpc.health.v1 */
const struct http_route *ingest_jaeger_http_routes(size_t *n); /* POST /api/traces, Thrift */

/* A UDP door on this loop (INGEST_DOOR_JAEGER_COMPACT or _BINARY). Nothing is ever answered: a datagram that is malformed or finds
 * no credit is counted and gone. Closed by ingest_loop_close. */
struct udp_options;
enum mg_err ingest_udp_open(struct ingest_loop *loop, enum ingest_door door, const struct udp_options *where, struct mg_why *why) MG_MUST_USE;
struct str ingest_udp_address(const struct ingest_loop *loop, enum ingest_door door); /* with the real port */

/* A body that did not come by HTTP (a Kafka message). The giver's memory until done, which comes once, on the loop's thread,
 * never from inside ingest_take: MG_OK: durable and visible. E_FORMAT, E_TOO_BIG, E_ENCODING: it can never be taken. E_BUSY: not
 * now, come again later. It waits for credit without a limit while the loop lives (E_BUSY when it closes): the giver bounds what
 * is under way. No more may be given after ingest_loop_close's on_idle. */
struct ingest_body {
    enum ingest_door door;
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    struct str bytes;                /* must stay until done */
    uint32_t spans, refused;         /* set before done */
    void (*done)(struct ingest_body *body, enum mg_err err, const struct mg_why *why);
};
void ingest_take(struct ingest_loop *loop, struct ingest_body *body); /* any thread */

/* live_options.replay: owner is a struct ingest_replay. Reads the journal from the store's watermark. */
struct ingest_replay {
    const struct ingest_conf *conf;
    struct journal *journal;
    struct metric_set *metrics;        /* ingest_metrics() */
    struct attribute_rules *rules;     /* ingest.rules, compiled; NULL: none. Borrowed. Rules that drop are passed over here */
    uint64_t after;                    /* watermark - 1 */
    _Atomic uint64_t done, total;      /* records, for progress; any thread reads */
};
enum mg_err ingest_replay(struct ingest_replay *replay, struct live *live, struct mg_why *why);
struct metric_set *ingest_metrics(struct ingest *ingest);
