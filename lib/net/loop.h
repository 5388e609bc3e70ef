/* loop.h - one event loop on one thread; timers and mailboxes hang on it.
 *
 * Everything that is created with a loop is used on that loop's thread only, except mailbox_post,
 * loop_stop and loop_cpu_ns. Callbacks are never called before the function that received them has
 * returned. The first loop_new makes the process ignore SIGPIPE: a peer that went is an error of
 * its stream, not a signal. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"

struct loop;
struct loop *loop_new(void);
/* After loop_run returned, on any thread that now owns the loop; asserts that timers, mailboxes,
 * streams and listeners were freed or closed, and lets their last callbacks run. */
void loop_free(struct loop **loop);
void loop_run(
    struct loop *loop); /* on the calling thread, until loop_stop; may be called again later */
void loop_stop(struct loop *loop); /* any thread; before loop_run: that run returns at once */
uint64_t loop_now_ns(const struct loop *loop); /* monotonic, as of this round, whole milliseconds */
uint64_t loop_cpu_ns(
    const struct loop *loop); /* CPU of the loop's thread, as of the last round; any thread */

/* A one-shot timer; restarting moves it. */
struct timer;
typedef void timer_fn(void *owner);
struct timer *timer_new(struct loop *loop, timer_fn *on_timer, void *owner);
void timer_start(struct timer *timer, uint64_t delay_ms);
void timer_stop(struct timer *timer);
void timer_free(struct timer **timer); /* no call after this */

/* Work put off to the end of this round of the loop, once however often it is asked for: many
 * answers of one round then leave with one write. Zeroed memory with `run` and `owner` set is
 * ready. */
struct loop_task {
    void (*run)(void *owner);
    void *owner;
    struct list link; /* loop's tasks; linked while it waits */
};
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_undefer(struct loop_task *task); /* fine when it does not wait */

/* The only way data crosses to a loop thread. A message is the sender's until
 * mailbox_post, the receiver's from then on; messages of one sender arrive in their order; delivery
 * is never inside mailbox_post. */
struct message {
    struct message *next;
};
typedef void mailbox_fn(void *owner, struct message *message);
struct mailbox;
struct mailbox *mailbox_new(struct loop *loop, mailbox_fn *deliver, void *owner);
void mailbox_post(struct mailbox *box, struct message *message); /* any thread; never fails */
void mailbox_free(struct mailbox **box); /* loop thread; nobody may post any more; delivers what is
                                            waiting first */

/* Process signals, on one loop of the program only. */
typedef void signal_fn(void *owner, int number);
struct signal_watch;
struct signal_watch *signal_watch_new(struct loop *loop, int number, signal_fn *on_signal,
                                      void *owner);
void signal_watch_free(struct signal_watch **watch);
