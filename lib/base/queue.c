/* queue.c - a list under a mutex, with a condition on the monotonic clock.
 *
 * Not lock-free: the receiver empties the list in one critical section of a few instructions, so
 * senders meet each other far more often than they meet the receiver, and the lists they would need
 * instead lose the exact length that the limit is about.
 *
 * The condition is signalled with the lock held. A receiver that sees `closed` may free the queue
 * at once; a signal after the unlock would then touch freed memory. */
#include "base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include "base/clock.h"
#include "base/mem.h"

#define NS_PER_S 1000000000u

struct queue {
    size_t limit; /* items; 0: none. Constant */
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed; /* an item into an empty list, woken, or closed */
        struct queue_item *first, **last;
        size_t n;
        bool is_woken, is_closed;
    } shared; /* any thread, under the lock */
};

static void must(int status)
{
    assert(status == 0); /* These fail only for a misused lock. */
    (void)status;
}

struct queue *queue_new(size_t limit)
{
    struct queue *queue = MEM_NEW(struct queue);
    pthread_condattr_t attributes;

    queue->limit = limit;
    queue->shared.last = &queue->shared.first;
    must(pthread_mutex_init(&queue->shared.lock, NULL));
    must(pthread_condattr_init(&attributes));
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    must(pthread_cond_init(&queue->shared.changed, &attributes));
    must(pthread_condattr_destroy(&attributes));
    return queue;
}

void queue_free(struct queue **queue)
{
    if (!*queue)
        return;
    must(pthread_cond_destroy(&(*queue)->shared.changed));
    must(pthread_mutex_destroy(&(*queue)->shared.lock));
    mem_free(*queue);
    *queue = NULL;
}

bool queue_push(struct queue *queue, struct queue_item *item)
{
    must(pthread_mutex_lock(&queue->shared.lock));
    bool is_full = queue->limit && queue->shared.n >= queue->limit;
    bool is_taken = !is_full && !queue->shared.is_closed;
    if (is_taken) {
        bool was_empty = !queue->shared.first;
        item->next = NULL;
        *queue->shared.last = item;
        queue->shared.last = &item->next;
        queue->shared.n++;
        if (was_empty)
            must(pthread_cond_signal(&queue->shared.changed));
    }
    must(pthread_mutex_unlock(&queue->shared.lock));
    return is_taken;
}

/* Waits, with the lock held, until there is a reason to return or the deadline has passed. */
static void wait_for_reason(struct queue *queue, uint64_t timeout_ns)
{
    uint64_t deadline_ns = 0;
    if (timeout_ns != UINT64_MAX &&
        __builtin_add_overflow(clock_mono_ns(), timeout_ns, &deadline_ns))
        timeout_ns = UINT64_MAX; /* Further off than the clock can count. */
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / NS_PER_S),
        .tv_nsec = (long)(deadline_ns % NS_PER_S),
    };

    while (!queue->shared.first && !queue->shared.is_woken && !queue->shared.is_closed) {
        if (timeout_ns == UINT64_MAX) {
            must(pthread_cond_wait(&queue->shared.changed, &queue->shared.lock));
            continue;
        }
        int status =
            pthread_cond_timedwait(&queue->shared.changed, &queue->shared.lock, &deadline);
        if (status == ETIMEDOUT)
            return;
        must(status);
    }
}

struct queue_item *queue_take(struct queue *queue, uint64_t timeout_ns, bool *closed)
{
    must(pthread_mutex_lock(&queue->shared.lock));
    if (timeout_ns)
        wait_for_reason(queue, timeout_ns);
    struct queue_item *items = queue->shared.first;
    bool is_closed = queue->shared.is_closed;
    queue->shared.first = NULL;
    queue->shared.last = &queue->shared.first;
    queue->shared.n = 0;
    queue->shared.is_woken = false;
    must(pthread_mutex_unlock(&queue->shared.lock));
    if (closed)
        *closed = !items && is_closed;
    return items;
}

void queue_wake(struct queue *queue)
{
    must(pthread_mutex_lock(&queue->shared.lock));
    queue->shared.is_woken = true;
    must(pthread_cond_signal(&queue->shared.changed));
    must(pthread_mutex_unlock(&queue->shared.lock));
}

void queue_close(struct queue *queue)
{
    must(pthread_mutex_lock(&queue->shared.lock));
    queue->shared.is_closed = true;
    must(pthread_cond_signal(&queue->shared.changed));
    must(pthread_mutex_unlock(&queue->shared.lock));
}

size_t queue_length(struct queue *queue)
{
    must(pthread_mutex_lock(&queue->shared.lock));
    size_t n = queue->shared.n;
    must(pthread_mutex_unlock(&queue->shared.lock));
    return n;
}
