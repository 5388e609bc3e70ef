/* send.h - a durable queue and a sender: what every exporter shares.
 *
 * One struct send per exporter. It takes batches (OTLP protobuf requests), writes them to a journal of its own and hands them
 * one after the other, several at a time, to a wire, which speaks one protocol. A batch leaves the queue when the peer has
 * it, when the peer refused it for good, or when the queue is over its bound.
 *
 *   put (any thread) -> journal (durable) -> done: the giver may forget it -> wire -> taken | retry | refused
 *
 * Durable: what `done` was called for survives kill -9 and power loss; after a start it is sent again. At least once: a peer
 * may see a batch twice after a crash, never not at all. Batches may overtake each other while one is retried.
 *
 * Bounded: queue_bytes on disk. When it is full the oldest batches are dropped (spans counted, reason=queue_full, one log line
 * a minute) and what is new is taken: put never blocks and never refuses. Space is freed a segment at a time: a sixteenth of
 * queue_bytes at the start, 64 KiB to 64 MiB. A reload that changes queue_bytes counts at once, but two segments are the least there
 * can be until the next start: of less a line in the log says so. In memory are at most the batches in flight; all others, also those that wait for a retry,
 * are read from the journal when their turn comes. A batch that never succeeds holds back nothing but disk space; when 1024
 * wait for another attempt though the peer takes others, the one that was tried most is dropped for each new one (spans counted,
 * reason=too_old, one log line a minute).
 *
 * Retry: retry_initial, doubled up to retry_max, each time shortened by up to half at random; a longer hint of the peer wins, up
 * to an hour. For ever when retry_for is 0, else a batch is dropped when it is that old (reason=too_old). When two different
 * batches failed for the first time and nothing else was answered since, the peer refuses everything: one batch probes and the
 * others wait. Batches that failed, saw others answered and failed again have half of in_flight at most.
 *
 * `timeout` is for the wire to keep: it answers SEND_RETRY.
 *
 * A disk that writes nothing and fails nothing either stops neither the sending of what was read nor the end: what is given waits in
 * memory, within the bound of send_put, and send_stop leaves the threads that write to themselves. A disk that answers no read is
 * waited for.
 *
 * Threads: its own loop thread, its journal's, and one for the state file. It logs what an operator must know of it: when sending begins to fail and when
 * it works again, and once a minute what was refused or dropped. */
#pragma once
#include "codec/zip.h"
#include "conf/conf.h"
#include "journal/journal.h"
#include "metric/metric.h"
#include "net/loop.h"

#define SEND_IN_FLIGHT_MAX 64 /* the row's; a wire that needs room for each batch makes it for so many, since the row can change */
enum send_take { SEND_KEPT, SEND_EVERYTHING }; /* `take`: kept|everything */
struct send_conf {               /* rows of every exporter, by SEND_ROWS */
    int take;
    uint64_t queue_bytes;        /* 1GiB */
    uint64_t batch_spans, batch_wait_ns; /* 8192, 200ms: of collector/forward */
    uint64_t in_flight;          /* 4: batches at the wire at a time */
    uint64_t timeout_ns;         /* 10s: for one attempt */
    uint64_t retry_initial_ns, retry_max_ns, retry_for_ns; /* 1s, 30s, 0 */
};
/* The rows in an exporter's table: SEND_ROWS(struct otlp_export_conf, send) with `struct send_conf send` inside. */
#define SEND_ROWS(type, member) \
    CONF_ROW_CHOICE(type, "take", member.take, "kept", "kept|everything", "kept: traces that sampling kept; everything: all spans that were accepted."), \
    CONF_ROW(type, CONF_BYTES, "queue_bytes", member.queue_bytes, "1GiB", "1MiB", NULL, "Disk space of its queue; when it is full the oldest batches are dropped."), \
    CONF_ROW(type, CONF_U64, "batch_spans", member.batch_spans, "8192", "1", "100000", "Spans of a batch, at most."), \
    CONF_ROW(type, CONF_DURATION, "batch_wait", member.batch_wait_ns, "200ms", "0", "1m", "Time a batch waits for more spans."), \
    CONF_ROW(type, CONF_U64, "in_flight", member.in_flight, "4", "1", "64", "Batches sent at a time."), \
    CONF_ROW(type, CONF_DURATION, "timeout", member.timeout_ns, "10s", "10ms", "10m", "Time for the answer to one batch.", \
             CONF_NEEDS_RESTART), \
    CONF_ROW(type, CONF_DURATION, "retry_initial", member.retry_initial_ns, "1s", "1ms", "1h", "Wait before the first retry; doubled each time."), \
    CONF_ROW(type, CONF_DURATION, "retry_max", member.retry_max_ns, "30s", "1ms", "1h", "Longest wait between retries."), \
    CONF_ROW(type, CONF_DURATION, "retry_for", member.retry_for_ns, "0", "0", "365d", "Age at which a batch that could not be sent is dropped; 0: never.")

/* --- the wire: one protocol, given by an exporter ------------------------------------------------- */
/* How far an attempt came. Kept in memory: a start begins with nothing. */
struct send_progress {
    uint32_t spans;              /* of those that are sent, the first so many have their answer */
    uint32_t refused;            /* so many of these the peer refused */
};
struct send_batch { /* send's memory, until send_done */
    struct str body;             /* an OTLP ExportTraceServiceRequest, protobuf, as send_wire.encoding says */
    uint32_t spans;
    struct send_progress done;   /* as the attempt before left it: a wire that can need not send them again */
    uint64_t number;             /* of the queue, rising */
};
enum send_verdict { SEND_TAKEN, SEND_RETRY, SEND_REFUSED };
struct send_result {
    enum send_verdict verdict;
    uint64_t retry_after_ms;     /* RETRY: the peer's hint; 0: none */
    uint32_t refused_spans;      /* TAKEN: of them the peer refused so many (partial success) */
    const char *reason;          /* RETRY, REFUSED: for the log */
    struct send_progress done;   /* RETRY, REFUSED: all that need not be sent again, what send_batch.done has included */
};
struct send_wire {
    const char *name;            /* "otlp": metric label, folder, log */
    enum zip_kind encoding;      /* of the batches that it is given: GZIP or ZSTD, packed once, for the queue and for the peer; IDENTITY: plain */
    /* All on send's loop thread. open: creates what needs the loop. send: answers with exactly one send_done, now or later, also
     * when it was closed meanwhile. close: aborts what is open (RETRY), then calls on_closed. */
    enum mg_err (*open)(void *wire, struct loop *loop, struct mg_why *why);
    void (*send)(void *wire, struct send_batch *batch);
    void (*close)(void *wire, void (*on_closed)(void *owner), void *owner);
    void *wire;
};
void send_done(struct send_batch *batch, const struct send_result *result); /* loop thread */

/* --- the queue ------------------------------------------------------------------------------------ */
struct send;
struct send_options {
    const char *dir;             /* data_dir/exporters/<name>; created 0700 */
    const struct send_conf *conf;/* copied; until send_reload */
    struct send_wire wire;       /* copied */
    struct metric_set *metrics;  /* of send_metrics_register, shared by all exporters */
    unsigned label;              /* its number among SEND_NAMES */
    const struct journal_io *io; /* NULL: the operating system */
    uint64_t (*mono_ns)(void), (*wall_ns)(void); /* NULL: the clocks; tests move them */
    uint64_t disk_end_ns;        /* 0: 1 s. A stop waits so long for what the disk has, and so long for its threads */
};
#define SEND_NAMES "otlp|zipkin|kafka|elasticsearch"
struct metric_set *send_metrics_register(struct metric_registry *registry); /* meshglass_export_*{exporter=…}; once, before threads start */

/* Opens its journal. Nothing is sent yet. */
enum mg_err send_open(struct send **out, const struct send_options *options, struct mg_why *why) MG_MUST_USE;
/* The position (of the collector's log, see send_item) up to which everything given is in the queue, was sent or was dropped. */
uint64_t send_recovered(const struct send *send);
enum mg_err send_start(struct send *send, struct mg_why *why) MG_MUST_USE;

struct send_item {               /* the giver's memory, until done */
    struct buf body;             /* OTLP request; empty: nothing to send, only the position moves */
    uint32_t spans;
    uint64_t position;           /* not falling; what a restart need not give again once done was called. When several items
                                  * make up one position, all but the last carry the position before */
    void (*done)(struct send_item *item); /* send's thread, in the order of send_put: must not block. Durable or counted as
                                  * dropped; never an error: while the disk refuses it comes later. See send_put for the one case
                                  * in which neither is decided yet */
    struct {
        struct queue_item put;   /* until the loop has it */
        struct list link;
        struct writing *writing; /* with the journal; else NULL */
        int state;
    } own;                       /* send's */
};
/* Any thread, after start; never blocks. While the disk refuses, items wait in memory: at most 64 MiB of bodies, then the oldest
 * are dropped (spans counted, reason=disk) and done. The oldest may be with the disk already, which has not answered: they are done
 * too, a copy of up to 16 MiB and one batch stays there, and they are counted as dropped when the disk refuses in the end, at the
 * latest by send_stop. An empty item is done after those before it; its position is noted within
 * a second, so that a crash may ask for it again. */
void send_put(struct send *send, struct send_item *item);
void send_reload(struct send *send, const struct send_conf *conf); /* any thread; copies */
/* Stops: nothing more is put; batches in flight get up to grace_ms, what is with the disk a second more; the rest stays in the queue.
 * Joins its threads. Items that the disk has not taken then are the giver's again without done; unless they were written all the same,
 * send_recovered of the next start is below them. When the threads that write do not end within another second they are left to
 * themselves, and a line in the log tells what was not written: *options->io must then outlive them. */
void send_stop(struct send *send, uint64_t grace_ms);
void send_ask_stop(struct send *send, uint64_t grace_ms); /* begins the stop, whose grace runs from here; send_stop ends it */
void send_close(struct send **send); /* what such threads still look at is freed when they end */

struct send_stats {
    uint64_t put_spans, sent_spans, refused_spans, dropped_full_spans, dropped_old_spans, dropped_disk_spans; /* since the start */
    uint64_t batches, retries;   /* batches: that left the queue; retries: attempts after a batch's first */
    uint64_t queued_bytes, queued_batches, oldest_wall_ns; /* of the queue now; 0: empty */
    char last_error[200];        /* "" when the last attempt was taken; the last line in the log of a stop has it */
};
void send_stat(const struct send *send, struct send_stats *out); /* any thread */
