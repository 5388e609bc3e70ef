/* queue.h - the bounded hand-over between threads that may block (journal, live, block, query).
 * Request loops receive through net/mailbox.h instead.
 *
 * Intrusive, many senders, one receiver, first in first out. queue_push never blocks and never
 * allocates; it refuses only beyond `limit` (0: unbounded because the senders hold credits), and
 * after queue_close. The receiver takes everything at once, which costs one lock per wake-up. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_item { struct queue_item *next; };
struct queue;

struct queue *queue_new(size_t limit);
void queue_free(struct queue **queue); /* must be empty or its items owned elsewhere */
/* Any thread. Gives the item away; false: full or closed, the item is still the caller's. */
bool queue_push(struct queue *queue, struct queue_item *item);
/* Receiver. Waits up to timeout_ns (0: does not wait; UINT64_MAX: for ever) and returns the whole
 * list, oldest first, or NULL on timeout, wake, or when closed and empty (then *closed, if given). */
struct queue_item *queue_take(struct queue *queue, uint64_t timeout_ns, bool *closed);
void queue_wake(struct queue *queue);  /* any thread: makes one queue_take return early */
void queue_close(struct queue *queue); /* any thread: no more pushes; take drains, then says closed */
size_t queue_length(struct queue *queue);
