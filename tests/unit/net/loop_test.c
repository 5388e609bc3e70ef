#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"

static void stop(void *owner)
{
    loop_stop(owner);
}

static void test_stop_before_run(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    loop_stop(loop);
    loop_run(loop); /* returns */
    struct timer *timer = timer_new(loop, stop, loop);
    timer_start(timer, 1);
    loop_run(loop); /* and runs again afterwards */
    timer_free(&timer);
    assert_null(timer);
    loop_free(&loop);
    assert_null(loop);
    loop_free(&loop);
}

static void test_now(void **state)
{
    (void)state;
    uint64_t before = clock_mono_ns();
    struct loop *loop = loop_new();
    uint64_t seen = loop_now_ns(loop);
    assert_in_range(seen, before / 1000000 * 1000000, clock_mono_ns());
    loop_free(&loop);
}

/* --- timers --- */
struct order {
    struct loop *loop;
    char text[16];
    size_t n;
    struct timer *a, *b, *c;
};

static void on_a(void *owner)
{
    struct order *order = owner;
    order->text[order->n++] = 'a';
    timer_stop(order->b);
    timer_start(order->a, 5); /* a restart */
    if (order->n == 2)
        loop_stop(order->loop);
}

static void on_b(void *owner)
{
    struct order *order = owner;
    order->text[order->n++] = 'b';
}

static void test_timers(void **state)
{
    (void)state;
    struct order order = {.loop = loop_new()};
    order.a = timer_new(order.loop, on_a, &order);
    order.b = timer_new(order.loop, on_b, &order);
    order.c = timer_new(order.loop, on_b, &order);
    timer_start(order.b, 1000);
    timer_start(order.a, 1);
    timer_start(order.c, 0);
    timer_free(&order.c); /* no call after this */
    loop_run(order.loop);
    assert_string_equal(order.text, "aa");
    timer_free(&order.a);
    timer_free(&order.b);
    loop_free(&order.loop);
}

/* --- deferred work --- */
struct deferred {
    struct loop *loop;
    struct loop_task task, other;
    unsigned n;
};

static void run_task(void *owner)
{
    struct deferred *deferred = owner;
    if (++deferred->n == 3)
        loop_stop(deferred->loop);
    else
        loop_defer(deferred->loop, &deferred->task);
}

static void must_not_run(void *owner)
{
    (void)owner;
    fail();
}

static void test_defer(void **state)
{
    (void)state;
    struct deferred deferred = {.loop = loop_new()};
    deferred.task = (struct loop_task){.run = run_task, .owner = &deferred};
    deferred.other = (struct loop_task){.run = must_not_run};
    loop_defer(deferred.loop, &deferred.other);
    loop_undefer(&deferred.other);
    loop_undefer(&deferred.other);
    loop_defer(deferred.loop, &deferred.task);
    loop_defer(deferred.loop, &deferred.task); /* once */
    assert_int_equal(deferred.n, 0);
    loop_run(deferred.loop);
    assert_int_equal(deferred.n, 3);
    loop_free(&deferred.loop);
}

/* --- mailboxes --- */
#define SENDERS 4
#define EACH    5000

struct note {
    struct message message;
    unsigned sender, number;
};
struct inbox {
    struct loop *loop;
    struct mailbox *box;
    unsigned next[SENDERS], total;
};

static void deliver(void *owner, struct message *message)
{
    struct inbox *inbox = owner;
    struct note *note = (struct note *)message;
    assert_int_equal(note->number, inbox->next[note->sender]);
    inbox->next[note->sender]++;
    mem_free(note);
    if (++inbox->total == SENDERS * EACH)
        loop_stop(inbox->loop);
}

struct sender {
    struct mailbox *box;
    unsigned number;
};

static void *send_notes(void *arg)
{
    struct sender *sender = arg;
    for (unsigned i = 0; i < EACH; i++) {
        struct note *note = MEM_NEW(struct note);
        note->sender = sender->number;
        note->number = i;
        mailbox_post(sender->box, &note->message);
    }
    return NULL;
}

static void test_mailbox_keeps_the_order_of_a_sender(void **state)
{
    (void)state;
    struct inbox inbox = {.loop = loop_new()};
    inbox.box = mailbox_new(inbox.loop, deliver, &inbox);
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){inbox.box, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_notes, &senders[i]), 0);
    }
    loop_run(inbox.loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(inbox.next[i], EACH);
    }
    mailbox_free(&inbox.box);
    loop_free(&inbox.loop);
}

struct self {
    struct loop *loop;
    struct mailbox *box;
    struct message messages[4];
    unsigned n;
    bool is_inside;
};

static void deliver_self(void *owner, struct message *message)
{
    struct self *self = owner;
    (void)message;
    assert_false(self->is_inside);
    self->is_inside = true;
    self->n++;
    if (self->n < 3)
        mailbox_post(self->box, &self->messages[self->n]); /* not delivered from in here */
    self->is_inside = false;
    if (self->n == 3)
        loop_stop(self->loop);
}

static void test_mailbox_posts_to_itself(void **state)
{
    (void)state;
    struct self self = {.loop = loop_new()};
    self.box = mailbox_new(self.loop, deliver_self, &self);
    mailbox_post(self.box, &self.messages[0]);
    assert_int_equal(self.n, 0);
    loop_run(self.loop);
    assert_int_equal(self.n, 3);
    mailbox_free(&self.box);
    loop_free(&self.loop);
}

static void count_delivery(void *owner, struct message *message)
{
    (void)message;
    (*(unsigned *)owner)++;
}

static void test_mailbox_free_delivers_what_waits(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    unsigned n = 0;
    struct mailbox *box = mailbox_new(loop, count_delivery, &n);
    struct message messages[3];
    for (int i = 0; i < 3; i++)
        mailbox_post(box, &messages[i]);
    mailbox_free(&box);
    assert_null(box);
    assert_int_equal(n, 3);
    loop_free(&loop);
}

static void on_signal(void *owner, int number)
{
    assert_int_equal(number, SIGUSR1);
    loop_stop(owner);
}

static void test_signal(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct signal_watch *watch = signal_watch_new(loop, SIGUSR1, on_signal, loop);
    raise(SIGUSR1);
    loop_run(loop);
    signal_watch_free(&watch);
    loop_free(&loop);
}

static void burn(void *owner)
{
    uint64_t start = clock_thread_cpu_ns();
    while (clock_thread_cpu_ns() - start < 3000000)
        ;
    loop_stop(owner);
}

static void test_cpu_is_counted(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct timer *timer = timer_new(loop, burn, loop);
    timer_start(timer, 0);
    loop_run(loop);
    assert_true(loop_cpu_ns(loop) >= 3000000);
    timer_free(&timer);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_before_run),
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_defer),
        cmocka_unit_test(test_mailbox_keeps_the_order_of_a_sender),
        cmocka_unit_test(test_mailbox_posts_to_itself),
        cmocka_unit_test(test_mailbox_free_delivers_what_waits),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_cpu_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
