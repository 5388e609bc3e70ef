/* private.h - the inside of struct send, for the files of this folder and their tests.
 *
 *   send.c      life, the loop's thread, the tick, the state file, figures
 *   intake.c    what was put -> the journal -> done
 *   saver.c     the state file's thread
 *   dispatch.c  the journal -> the wire -> finished; retries, probing
 *   bound.c     what leaves without an answer: age, damage, space
 *
 * Everything under `own` is the loop thread's (and the opening thread's before it runs, the closing one's
 * after it ended); what givers, the journal's thread and send_stat touch is under `shared`. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"
#include "base/list.h"
#include "base/random.h"
#include "send/record.h"
#include "send/saver.h"
#include "send/send.h"
#include "send/state.h"

enum outcome { OUT_SENT, OUT_REFUSED, OUT_QUEUE_FULL, OUT_TOO_OLD, OUT_DISK, OUT_COUNT };

enum {
    SEND_TICK_MS = 20,
    SEND_PARKED_MAX = 1024, /* batches tried and not finished, while the peer works; then the worst one goes */
};
#define SEND_MEMORY_MAX     ((uint64_t)64 << 20)      /* bytes of items that are not yet durable */
#define SEND_LOT_BYTES      ((uint64_t)16 << 20)      /* given to the journal at a time */
#define SEND_HINT_MAX_NS    (UINT64_C(3600) * 1000000000) /* longest wait a peer may ask for */
#define SEND_STATE_EVERY_NS UINT64_C(1000000000)
#define SEND_LOG_EVERY_NS   (UINT64_C(60) * 1000000000)
#define SEND_AGAIN_NS       UINT64_C(1000000000)      /* after the disk failed */
#define SEND_SAVE_LATE_NS   (UINT64_C(5) * 1000000000) /* a state that takes longer holds up no release of space */
#define SEND_DISK_END_NS    UINT64_C(1000000000)

struct flight { /* a batch at the wire */
    struct send_batch batch; /* ours until send_done */
    struct buf body;         /* the batch's */
    struct send *send;
    struct ticket ticket;
    uint64_t begun_ns;
    bool is_probe;    /* begun while the peer refused everything */
    bool is_evicted;  /* it lost its place on disk to newer ones: this attempt is its last */
    struct list link; /* own.flights */
};

struct send_loss { /* the minute's line about spans that are gone */
    uint64_t spans, batches, log_at_ns;
    char reason[120];
};

enum send_life { SEND_OPEN, SEND_STARTED, SEND_STOPPING, SEND_STOPPED };

struct send {
    char *dir;
    struct send_wire wire;
    struct metric_set *metrics;
    unsigned label;
    const struct journal_io *io;
    uint64_t (*mono_ns)(void), (*wall_ns)(void);
    uint64_t disk_end_ns;
    struct journal *journal;
    struct saver *saver;
    uint64_t segment_bytes; /* of the journal */
    uint64_t recovered;     /* as of the opening */
    bool has_thread, has_ended;
    pthread_t thread;

    struct {
        struct send_conf conf; /* in force: shared's, as of the last wake */
        struct loop *loop;
        struct mailbox *mailbox;
        struct timer *timer;
        struct loop_task pump;
        struct zip *zip;
        struct random random;

        /* intake: every item that was put and not yet done, in order; send_item.own.link */
        struct list undone;
        uint64_t undone_bytes;
        size_t lot_left;      /* records that are with the journal; the next lot waits for all of them */
        uint64_t lot_at_ns;   /* not before: the disk failed a moment ago */
        uint64_t adrift, adrift_spans; /* batches with the journal whose items were let go of */
        bool is_disk_failing;
        uint64_t given;       /* send_item.position of the last item that was done */
        uint64_t noted;       /* journal position of the last one that has one */

        /* dispatch */
        struct journal_reader *reader, *searcher; /* of what comes next; of batches that are tried again */
        uint64_t read_to;                         /* taken from the journal up to here */
        struct {
            bool is_read;
            struct journal_record record; /* reader's memory */
            struct record_meta meta;
        } ahead;              /* the record after read_to */
        uint64_t read_at_ns;  /* not before: the disk failed a moment ago */
        struct clock_age age; /* retry_for goes by it */
        struct list flights;  /* flight.link */
        size_t n_flights;
        VEC(struct ticket) parked;
        bool is_turn_of_due;  /* the last turn at the wire was for one that is tried again */
        uint64_t run;         /* rises with every answer that was no retry */
        unsigned failed;      /* batches that failed for the first time since */
        unsigned probes;      /* that failed since the peer refuses everything */
        uint64_t probe_at_ns;
        bool is_failing;      /* as the log says */
        uint64_t fail_log_at_ns;
        struct send_loss losses[OUT_COUNT];
        int64_t batches, spans, bytes; /* in the queue; signed: a batch may be sent before its put is counted */

        /* the state file */
        bool is_dirty;
        bool is_saving;       /* saver has it; what follows is of that one */
        uint64_t saved_at_ns; /* when it was given */
        uint64_t finished;    /* to be released once it is written */
        uint64_t trimmed_to;
        uint64_t save_log_at_ns;

        bool is_stopping, is_closing, is_closed;
        uint64_t stop_by_ns;
    } own;

    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed; /* has_opened, is_disk_over */
        struct queue_item *put, **put_tail;           /* items, by own.put */
        struct queue_item *returned, **returned_tail; /* struct writing, from the journal's thread */
        struct message wake;
        bool is_woken;          /* the message is on its way */
        struct mailbox *mailbox; /* own's, while it can be posted to */
        enum send_life life;
        uint64_t grace_ns;
        struct send_conf conf;  /* of the last send_reload */
        bool has_opened;        /* the wire answered: */
        enum mg_err open_err;
        struct mg_why open_why;
        bool is_disk_over; /* stopped: the threads that write have ended */
        bool is_orphan;    /* closed before that: who ends them frees all */
        struct send_stats stats;
    } shared; /* any thread, under the lock */
};

/* send.c */
void send_wake(struct send *send);  /* under the lock; any thread */
void send_tick(struct send *send);  /* everything that is due now; loop thread */

/* metrics.c */
void send_count(struct send *send, enum outcome outcome, uint64_t spans, uint64_t batches);
void send_count_attempt(struct send *send, uint64_t ns, bool is_retry);
void send_gauges(struct send *send, const struct send_stats *stats);

/* intake.c */
enum item_state { ITEM_WAITING, ITEM_APPENDED, ITEM_DURABLE, ITEM_GONE /* empty or dropped */ };
enum mg_err intake_recover(struct send *send, const struct state *state, struct mg_why *why) MG_MUST_USE;
void intake_take(struct send *send, struct queue_item *put, struct queue_item *written);
void intake_work(struct send *send);      /* appends, and tells the owners */
bool intake_has_hole(const struct send *send); /* an item is not written, and one after it is */
bool intake_is_idle(struct send *send);   /* nothing is with the journal, nor could be given to it now */
struct intake_left {
    uint64_t batches, spans; /* that are the givers' again */
    uint64_t adrift;         /* batches that are the disk's, and counted as dropped */
};
struct intake_left intake_abandon(struct send *send, struct queue_item *written); /* after the end */
void intake_free(struct queue_item *written); /* what came back later still */

/* dispatch.c */
void dispatch_pump(void *send);           /* a loop_task */
bool dispatch_is_down(const struct send *send); /* the peer refuses everything */
bool dispatch_fill(struct send *send);    /* is there a next batch? Then own.ahead is it, */
struct ticket dispatch_ahead(const struct send *send); /* this its ticket, */
void dispatch_pass(struct send *send);    /* and this takes it */
void dispatch_unpark(struct send *send, size_t i);
uint64_t dispatch_finished(const struct send *send); /* every batch up to here is finished */
uint64_t dispatch_oldest(const struct send *send);   /* wall time; 0: the queue is empty */
void dispatch_state(const struct send *send, struct state *state); /* read_to and the unfinished; adds */

/* bound.c */
#define BOUND_DAMAGE "batches of the queue are damaged or missing"
bool bound_work(struct send *send);       /* age and disk space; true: a trim is needed now */
bool bound_is_too_old(struct send *send, const struct ticket *ticket);
void bound_leave(struct send *send, const struct ticket *ticket); /* the sums */
void bound_drop(struct send *send, const struct ticket *ticket, enum outcome outcome, const char *reason);
void bound_lost(struct send *send, enum outcome outcome, uint64_t spans, uint64_t batches, const char *reason);
/* Batches of the queue that cannot be read: their bytes, and what is not known of their spans, stay in the sums until it is empty. */
void bound_missing(struct send *send, enum outcome outcome, uint64_t spans, uint64_t batches, const char *reason);
void bound_pass(struct send *send, uint64_t position, enum outcome outcome, const char *reason); /* read_to moves there; what it
                                           * passes over and a segment holds is lost. What none holds send_open counted */
void bound_log_losses(struct send *send);
