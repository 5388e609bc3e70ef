/* private.h - the inside of struct forward, for the files of this folder.
 *
 *   forward.c   life, the thread's round, parcels on their way to the queues and back
 *   gather.c    who wants which rows: from fragments to the lots of streams
 *
 * All of `own` is forward's thread's, and before and after it the owner's. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/list.h"
#include "base/vec.h"
#include "forward/forward.h"
#include "forward/lot.h"

enum forward_metric {
#define METRIC_ID(id) FORWARD_##id
#define METRIC(...) METRIC_ENUM(__VA_ARGS__)
#include "forward/metrics.def"
#undef METRIC
#undef METRIC_ID
};
#define SECOND_NS UINT64_C(1000000000)
enum { TARGETS_MAX = 64 };

typedef uint64_t target_set; /* bit i: target i */

struct target {
    struct send *send;
    struct send_conf conf;
    uint64_t recovered;
    uint64_t put, done; /* positions of its last item that was put, and that was done; at first recovered */
};

struct stream {
    enum send_take take;
    uint64_t spans_max, wait_ns;
    size_t bytes_max;
    target_set members;
    target_set lacking; /* of them: those that do not have what the lot holds, nor the batch that is being gathered */
    struct lot lot;
    uint64_t since_ns;  /* of the lot's first span */
};

struct cursor { /* in own.next */
    bool is_begun;
    size_t fragment;
    const struct row *row;
    uint32_t taken; /* rows of the fragment */
};

struct leg {
    struct send_item item;
    struct queue_item link; /* forward.returned */
    struct forward *forward;
    struct parcel *parcel;
    unsigned target;
};
struct parcel {
    struct list link; /* own.parcels */
    struct buf body;  /* of all legs: their items' bodies point to it, and queues only read */
    size_t left;      /* legs not yet done */
    struct leg legs[];
};

struct forward {
    uint64_t (*mono_ns)(void);
    struct metric_set *metrics;
    struct target targets[TARGETS_MAX];
    size_t n;
    struct queue *given;    /* forward_batch.link */
    struct queue *returned; /* leg.link; who pushes wakes `given` */
    pthread_t thread;
    bool is_started;
    atomic_bool is_stopping, is_hurried;
    _Atomic uint64_t cpu_ns;
    struct {
        VEC(struct stream) streams;
        struct queue_item *first, **tail; /* batches not yet done */
        size_t n_batches;
        struct forward_batch *next; /* the first that is not gathered to its end; NULL: all are */
        struct cursor cursor;
        uint64_t consumed; /* position of the last batch that was gathered to its end */
        struct arena arena;
        struct buf span;
        uint64_t encoded;    /* spans, not yet in the metric */
        struct list parcels; /* parcel.link */
        size_t held_bytes;   /* of their bodies */
        uint64_t moved_ns;   /* when a queue took something last, or the first parcel was put */
        bool is_lifted;      /* the bound is, because the queues take nothing */
    } own; /* forward's thread, and before and after it the owner's */
    struct {
        pthread_mutex_t lock;
        VEC(struct send_conf) confs; /* to be taken over; empty: none */
    } shared; /* any thread, under the lock */
};

static inline struct forward_batch *batch_of(struct queue_item *item)
{
    return item ? MG_CONTAINER(item, struct forward_batch, link) : NULL;
}

/* forward.c */
/* What the stream's lot holds goes to its queues; else only the position, to those that do not have it yet. */
void forward_flush(struct forward *forward, struct stream *stream);

/* gather.c */
void gather_streams(struct forward *forward);      /* makes them anew, of the targets' rows; the lots must be empty */
void gather_streams_fini(struct forward *forward);
void gather(struct forward *forward);              /* what was given, as far as there is room */
void gather_aim(struct forward *forward, const struct forward_batch *batch); /* who lacks this batch? */
