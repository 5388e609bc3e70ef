/* loop.c - libuv behind opaque structs.
 *
 * Every handle lives in a struct of ours whose memory is freed by libuv's close callback, because
 * the loop still looks at a handle after uv_close. That is why loop_free runs the loop once more:
 * what was closed a moment ago is released there, and a handle that nobody closed is a mistake it
 * asserts on.
 *
 * A mailbox is a list under a mutex plus an async handle. Only the post that finds the list empty
 * wakes the loop, so that a burst costs one system call; the receiver takes the whole list with one
 * lock. A message posted by deliver itself waits for the next round, or a mailbox that feeds itself
 * would starve the sockets. */
#include "net/loop.h"
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include "base/clock.h"
#include "base/mem.h"
#include "net/private.h"

static void ignore_sigpipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* cannot fail for a valid signal number */
}

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    if (__atomic_load_n(&loop->shared.stop, __ATOMIC_ACQUIRE))
        uv_stop(&loop->uv);
}

static void run_tasks(struct loop *loop)
{
    while (!list_empty(&loop->tasks)) {
        struct loop_task *task = LIST_FIRST(&loop->tasks, struct loop_task, link);
        list_remove(&task->link);
        task->run(task->owner);
    }
}

static void on_check(uv_check_t *check)
{
    run_tasks(check->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    run_tasks(loop);
    __atomic_store_n(&loop->shared.cpu_ns, clock_thread_cpu_ns(), __ATOMIC_RELAXED);
}

struct loop *loop_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, ignore_sigpipe); /* only fails for an invalid once control */

    struct loop *loop = MEM_NEW(struct loop);
    int err = uv_loop_init(&loop->uv);
    assert(err == 0 && "no descriptors left for an event loop");
    err = uv_async_init(&loop->uv, &loop->wake, on_wake);
    assert(err == 0 && "no descriptors left for an event loop");
    (void)uv_prepare_init(&loop->uv, &loop->prepare); /* always 0 */
    (void)uv_check_init(&loop->uv, &loop->check);
    loop->wake.data = loop->prepare.data = loop->check.data = loop;
    (void)uv_prepare_start(&loop->prepare, on_prepare); /* fails only without a callback */
    (void)uv_check_start(&loop->check, on_check);
    list_init(&loop->tasks);
    loop->read_buffer = mem_alloc(LOOP_READ_BYTES);
    return loop;
}

static void assert_closing(uv_handle_t *handle, void *unused)
{
    (void)unused;
    assert(uv_is_closing(handle) && "a timer, mailbox, stream or listener outlives its loop");
    (void)handle;
}

void loop_free(struct loop **loop_at)
{
    struct loop *loop = MG_STEAL(*loop_at);
    if (!loop)
        return;
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_walk(&loop->uv, assert_closing, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* ends when the last close callback has run */
    int err = uv_loop_close(&loop->uv);
    assert(err == 0 && "something of the loop is still open");
    (void)err;
    mem_free(loop->read_buffer);
    mem_free(loop->plain_buffer);
    mem_free(loop);
}

void loop_run(struct loop *loop)
{
    if (!__atomic_load_n(&loop->shared.stop, __ATOMIC_ACQUIRE))
        (void)uv_run(&loop->uv,
                     UV_RUN_DEFAULT); /* says whether handles are left; they always are */
    on_prepare(&loop->prepare);
    __atomic_store_n(&loop->shared.stop, false, __ATOMIC_RELEASE);
}

void loop_stop(struct loop *loop)
{
    __atomic_store_n(&loop->shared.stop, true, __ATOMIC_RELEASE);
    (void)uv_async_send(&loop->wake); /* fails only for a handle that is no async */
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    if (!list_linked(&task->link))
        list_add_last(&loop->tasks, &task->link);
}

void loop_undefer(struct loop_task *task)
{
    list_remove(&task->link);
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return uv_now(&loop->uv) * 1000000u;
}

uint64_t loop_cpu_ns(const struct loop *loop)
{
    return __atomic_load_n(&loop->shared.cpu_ns, __ATOMIC_RELAXED);
}

/* --- timers --- */
struct timer {
    uv_timer_t uv; /* first: the close callback frees the whole */
    timer_fn *on_timer;
    void *owner;
};

static void free_handle(uv_handle_t *handle)
{
    mem_free(handle);
}

struct timer *timer_new(struct loop *loop, timer_fn *on_timer, void *owner)
{
    assert(loop && on_timer);
    struct timer *timer = MEM_NEW(struct timer);
    (void)uv_timer_init(&loop->uv, &timer->uv); /* always 0 */
    timer->on_timer = on_timer;
    timer->owner = owner;
    return timer;
}

static void on_uv_timer(uv_timer_t *uv)
{
    struct timer *timer = MG_CONTAINER(uv, struct timer, uv);
    timer->on_timer(timer->owner);
}

void timer_start(struct timer *timer, uint64_t delay_ms)
{
    /* The round's time is old before the first run and after a long callback; the delay counts from
     * now. */
    uv_update_time(timer->uv.loop);
    (void)uv_timer_start(&timer->uv, on_uv_timer, delay_ms, 0); /* fails only when closing */
}

void timer_stop(struct timer *timer)
{
    (void)uv_timer_stop(&timer->uv); /* always 0 */
}

void timer_free(struct timer **timer_at)
{
    struct timer *timer = MG_STEAL(*timer_at);
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, free_handle);
}

/* --- mailboxes --- */
struct mailbox {
    uv_async_t async; /* first: the close callback frees the whole */
    struct {
        mailbox_fn *deliver;
        void *owner;
        struct message *head; /* taken and not yet delivered */
    } own;                    /* receiver's thread only */
    struct {
        pthread_mutex_t lock;
        struct message *head, **tail;
    } shared; /* any thread, under the lock */
};

static struct message *take_all(struct mailbox *box)
{
    pthread_mutex_lock(&box->shared.lock);
    struct message *head = box->shared.head;
    box->shared.head = NULL;
    box->shared.tail = &box->shared.head;
    pthread_mutex_unlock(&box->shared.lock);
    return head;
}

static void deliver_taken(struct mailbox *box)
{
    while (box->own.head) {
        struct message *message = box->own.head;
        box->own.head = message->next;
        message->next = NULL;
        box->own.deliver(box->own.owner, message);
    }
}

static void on_mail(uv_async_t *async)
{
    struct mailbox *box = MG_CONTAINER(async, struct mailbox, async);
    box->own.head = take_all(box);
    deliver_taken(box);
}

struct mailbox *mailbox_new(struct loop *loop, mailbox_fn *deliver, void *owner)
{
    assert(loop && deliver);
    struct mailbox *box = MEM_NEW(struct mailbox);
    int err = uv_async_init(&loop->uv, &box->async, on_mail);
    assert(err == 0 && "the loop's wake-up descriptor exists since loop_new");
    (void)err;
    box->own.deliver = deliver;
    box->own.owner = owner;
    pthread_mutex_init(&box->shared.lock, NULL);
    box->shared.tail = &box->shared.head;
    return box;
}

void mailbox_post(struct mailbox *box, struct message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&box->shared.lock);
    bool was_empty = box->shared.head == NULL;
    *box->shared.tail = message;
    box->shared.tail = &message->next;
    /* Under the lock: otherwise the receiver could take the message and free the mailbox in
     * between. */
    if (was_empty)
        (void)uv_async_send(&box->async); /* fails only for a handle that is no async */
    pthread_mutex_unlock(&box->shared.lock);
}

static void on_mailbox_closed(uv_handle_t *handle)
{
    struct mailbox *box = MG_CONTAINER((uv_async_t *)handle, struct mailbox, async);
    pthread_mutex_destroy(&box->shared.lock);
    mem_free(box);
}

void mailbox_free(struct mailbox **box_at)
{
    struct mailbox *box = MG_STEAL(*box_at);
    if (!box)
        return;
    /* Also when called from inside deliver: the outer round finds its list empty. */
    do
        deliver_taken(box);
    while ((box->own.head = take_all(box)) != NULL);
    uv_close((uv_handle_t *)&box->async, on_mailbox_closed);
}

/* --- signals --- */
struct signal_watch {
    uv_signal_t uv; /* first: the close callback frees the whole */
    signal_fn *on_signal;
    void *owner;
};

static void on_uv_signal(uv_signal_t *uv, int number)
{
    struct signal_watch *watch = MG_CONTAINER(uv, struct signal_watch, uv);
    watch->on_signal(watch->owner, number);
}

struct signal_watch *signal_watch_new(struct loop *loop, int number, signal_fn *on_signal,
                                      void *owner)
{
    struct signal_watch *watch = MEM_NEW(struct signal_watch);
    int err = uv_signal_init(&loop->uv, &watch->uv);
    assert(err == 0 && "no descriptors left for signals");
    watch->on_signal = on_signal;
    watch->owner = owner;
    err = uv_signal_start(&watch->uv, on_uv_signal, number);
    assert(err == 0 && "a signal that cannot be watched");
    (void)err;
    return watch;
}

void signal_watch_free(struct signal_watch **watch_at)
{
    struct signal_watch *watch = MG_STEAL(*watch_at);
    if (watch)
        uv_close((uv_handle_t *)&watch->uv, free_handle);
}
