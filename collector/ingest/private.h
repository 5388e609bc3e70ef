/* private.h - what the files of ingest share. */
#pragma once
#include "base/list.h"
#include "base/log.h"
#include "http/inflate.h"
#include "ingest/ingest.h"
#include "ingest/talkers.h"
#include "ingest/take.h"
#include "ingest/wait.h"

enum { INGEST_POLL_MS = 20 };
enum ingest_metric {
#define METRIC_ID(id) INGEST_##id
#define METRIC(...) METRIC_ENUM(__VA_ARGS__)
#include "ingest/metrics.def"
#undef METRIC
#undef METRIC_ID
    INGEST_METRICS
};

struct ingest {
    struct ingest_options options;
    struct metric_set *metrics;
    _Atomic uint64_t waiting;
    _Atomic unsigned n_loops;
};

struct udp_door;
struct datagrams {            /* udp.c: under way, and memory for the next */
    struct list spare;        /* datagram.link */
    size_t spare_bytes;
    size_t n, bytes;          /* under way */
};

struct let_in {               /* requests whose bodies may come, or are here */
    size_t unanswered;
    size_t begun[2];              /* in this second, and in the one before */
    uint64_t second_ns;           /* when this one began */
    size_t body_rows;             /* bytes of a body's rows, lately */
};

struct ingest_loop {
    struct ingest *ingest;
    struct loop *loop;
    struct mailbox *acks;         /* take.message */
    struct mailbox *given;        /* given.message: of ingest_take, to begin in the next round */
    struct timer *timer;          /* serves waiters; also lets buffers go when idle */
    struct list waiting;          /* waiter.link, oldest first */
    unsigned may_release;         /* heads whose bodies may be read before the next ack or tick */
    struct rows_maker *maker;     /* has the rules in force */
    uint64_t body_bytes_max, wait_ns; /* of ingest_conf */
    struct talkers talkers;
    struct udp_door *udp[2];      /* compact, binary; NULL: not open */
    struct datagrams datagrams;
    _Atomic size_t n_given;       /* not begun; any thread adds */
    size_t in_log;                /* takes between submit and ack, */
    size_t in_log_bytes;          /* and their rows */
    struct let_in let_in;
    uint64_t busy_at_ns;          /* last body */
    bool is_closing;
    void (*on_idle)(void *owner);
    void *idle_owner;
};

/* --- HTTP doors: admit.c is what they share --------------------------------------------------------- */

/* Enough for a group of the journal at any rate that a loop can give; more would only wait there, in memory. */
#define IN_LOG_BYTES_MAX ((size_t)2 << 20)
static inline bool is_behind(const struct ingest_loop *loop)
{
    return loop->in_log_bytes >= IN_LOG_BYTES_MAX;
}
bool is_short(struct ingest_loop *loop);

struct export;
struct body_door {
    enum ingest_door door;
    /* What kind of body this is, from the head; fails with the answer's error. */
    enum mg_err (*kind)(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why);
    bool takes_empty;         /* a body of no bytes is a request without spans, whatever its encoding */
    void (*answer)(const struct export *export);
    void (*fail)(const struct export *export, enum mg_err err, struct str message); /* NULL: http_respond_error */
};

/* One export request from its head to its answer. */
struct export {
    struct take take;
    struct waiter waiter;
    const struct body_door *door;
    struct http_request *request;
    bool has_body;                /* else it waits at its head */
    struct buf body;
};

void admit_on_head(struct ingest_loop *loop, struct http_request *request, const struct body_door *door);
void admit_on_request(struct ingest_loop *loop, struct http_request *request, const struct body_door *door);
bool admit_is_serving(void *owner); /* the ingest_loop: for health */
/* The header's media type without parameters; "" when parameters are malformed. */
struct str media_type(struct str header);

/* --- udp.c ------------------------------------------------------------------------------------------- */
void udp_doors_close(struct ingest_loop *loop);
void udp_doors_free(struct ingest_loop *loop); /* when no datagram is under way */
void udp_doors_count(struct ingest_loop *loop); /* what the kernel dropped since the last time */
void udp_doors_decay(struct ingest_loop *loop); /* gives spare memory back */
