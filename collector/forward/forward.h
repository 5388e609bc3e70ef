/* forward.h - decided rows on their way to the exporters' queues (collector/README.md R3, R4): row -> model -> OTLP -> exporters/send.
 *
 * One thread. Live gives each durable batch of decisions, in log order; its fragments are decoded, grouped by resource and scope into OTLP
 * requests of up to batch_spans (and 4 MB: what OTLP receivers take by default), and put into the queue of every exporter that takes them:
 * kept traces, with the threshold of their decision in the trace state (row/outcome.h), or everything, as received. done is called when
 * every queue holds them durably (or counted them dropped): until then the rows stay in the ring. A span is encoded once for both kinds
 * where that makes no difference, and exporters with equal rows (take, batch_spans, batch_wait) share the requests.
 *
 * Each exporter has its own position: what a restart gives again is left out for those that have it.
 *
 * Bounded: while 32 MiB of requests wait for the queues' disks, nothing more is encoded, so that a slow disk is felt at the door (R10).
 * A queue that takes nothing for 5 s is no longer waited for: its own bound then decides what is dropped. */
#pragma once
#include "row/fragment.h"
#include "send/send.h"

struct forward_target { struct send *send; const struct send_conf *conf; }; /* send: opened; started before forward_start. conf: copied */
struct forward_options {
    const struct forward_target *targets; /* copied */
    size_t n;                  /* 1 to 64 */
    struct metric_registry *metrics;
    uint64_t (*mono_ns)(void); /* NULL: clock_mono_ns; tests move it */
};
struct forward;
struct forward *forward_new(const struct forward_options *options);
uint64_t forward_recovered(const struct forward *forward); /* the least position of the targets */
/* The greatest one. The log must not give a position up to it again (journal_options.floor_position): a target would take what
 * is new for what it has. A log that was removed, or lost its tail in a power cut, would. */
uint64_t forward_newest(const struct forward *forward);
void forward_start(struct forward *forward);

struct forward_batch {
    struct queue_item link;
    uint64_t position;                 /* of its decision record; rising */
    const struct fragment *fragments;  /* the giver's memory until done; is_kept tells the verdict, outcome the probability */
    size_t n;
    void (*done)(struct forward_batch *batch); /* forward's thread; once, in the order of positions; must not block */
};
void forward_put(struct forward *forward, struct forward_batch *batch); /* live's thread */
void forward_hurry(struct forward *forward); /* any thread: memory is needed, what is gathered does not wait for more */
/* New rows of the exporters (take, batch_spans, batch_wait), in the order of options.targets. Any thread; copied. */
void forward_reload(struct forward *forward, const struct send_conf *const *confs);
uint64_t forward_cpu_ns(const struct forward *forward); /* any thread: of forward's thread so far */
/* Puts what was given, waits until the queues hold it or have taken nothing for 2 s, joins. Before send_stop. Batches whose done
 * was not called are the giver's again, and in the journal. */
void forward_stop(struct forward *forward);
void forward_free(struct forward **forward); /* after send_stop */
