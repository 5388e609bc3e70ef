/* take.h - one body on its way, whatever brought it: bound, credit, rows, log, ack.
 *
 * An HTTP request, a datagram and a Kafka message each embed a struct take and fill its first part. take_begin starts it; while
 * it answers false, nothing was done for want of credit or of a place in the log, and take_try is to be called again, or take_refuse. Every take ends in
 * exactly one call of `done`, which may come from inside these functions, and in which the take may be freed. All ends are
 * counted here. Loop thread only. */
#pragma once
#include "ingest/ingest.h"
#include "ingest/rows.h"

/* Metric label values, in the order of metrics.def. */
enum ingest_outcome { OUTCOME_ACCEPTED, OUTCOME_PARTIAL, OUTCOME_MALFORMED, OUTCOME_TOO_BIG, OUTCOME_MEDIA,
                      OUTCOME_ENCODING, OUTCOME_BUSY, OUTCOME_FAILED, OUTCOME_GONE };
enum ingest_busy {
    BUSY_WAIT,    /* no credit came in ingest.wait */
    BUSY_LOG,     /* nor did the journal take what was before it */
    BUSY_TALKER,  /* no credit, and this peer takes more than its share (talkers.h) */
    BUSY_CREDIT,  /* no credit, and this door does not wait */
    BUSY_BACKLOG, /* too many datagrams under way */
    BUSY_CLOSING,
    BUSY_JOURNAL, /* cannot be written */
    BUSY_DISK     /* is full */
};

struct take {
    struct ingest_loop *loop;
    enum ingest_door door;
    enum ingest_protocol protocol;
    enum zip_kind encoding;
    struct str bytes;             /* as received; must stay until done */
    uint64_t peer;                /* talkers_peer(); 0: nobody */
    bool may_wait;                /* also while the loop's rows in the log are many; else only credit can be wanting */
    void (*done)(struct take *take, enum mg_err err, const struct mg_why *why); /* MG_OK: durable and visible; *why is set otherwise */
    /* for done to read */
    uint32_t spans, dropped;
    struct refused refused;
    bool was_inflated;
    /* take's own */
    struct message message;       /* to the loop, after the ack */
    struct live_batch batch;
    struct buf head;
    size_t bound;                 /* bytes of the inflated body; 0: not known yet */
    size_t reserved;
    uint64_t begun_ns;
};

bool take_begin(struct take *take);
bool take_try(struct take *take);
/* Ends one that is not under way. */
void take_refuse(struct take *take, enum ingest_busy reason);
void take_end(struct take *take, enum mg_err err, const struct mg_why *why); /* MG_OK: there was nothing to take */

/* Whether nothing is taken at the moment, whoever asks, and why. */
bool take_is_refused(const struct ingest_loop *loop, enum ingest_busy *reason);

void take_count(const struct take *take, enum ingest_outcome outcome);
void take_acked(struct take *take); /* from the loop's mailbox */
