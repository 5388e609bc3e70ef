#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/queue.h"

struct item { struct queue_item link; unsigned sender, number; };

static void items_come_in_order_and_all_at_once(void **state)
{
    struct queue *queue = queue_new(0);
    struct item items[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_true(queue_push(queue, &items[i].link));
    assert_int_equal(queue_length(queue), 3);
    struct queue_item *at = queue_take(queue, UINT64_MAX, NULL);
    assert_int_equal(queue_length(queue), 0);
    for (unsigned i = 0; i < 3; i++, at = at->next)
        assert_int_equal(MG_CONTAINER(at, struct item, link)->number, i);
    assert_null(at);
    assert_true(queue_push(queue, &items[0].link)); /* the tail was set back */
    assert_ptr_equal(queue_take(queue, 0, NULL), &items[0].link);
    queue_free(&queue);
    assert_null(queue);
    queue_free(&queue);
}

static void the_limit_is_exact(void **state)
{
    struct queue *queue = queue_new(2);
    struct item items[3] = { 0 };
    (void)state;
    assert_true(queue_push(queue, &items[0].link));
    assert_true(queue_push(queue, &items[1].link));
    assert_false(queue_push(queue, &items[2].link));
    assert_int_equal(queue_length(queue), 2);
    assert_ptr_equal(queue_take(queue, 0, NULL), &items[0].link);
    assert_true(queue_push(queue, &items[2].link));
    assert_ptr_equal(queue_take(queue, 0, NULL), &items[2].link);
    assert_null(items[2].link.next);
    queue_free(&queue);
}

static void an_empty_queue_does_not_hold(void **state)
{
    struct queue *queue = queue_new(0);
    bool closed = true;
    (void)state;
    assert_null(queue_take(queue, 0, &closed));
    assert_false(closed);
    uint64_t before = clock_mono_ns();
    closed = true;
    assert_null(queue_take(queue, 2000000, &closed));
    assert_true(clock_mono_ns() - before >= 2000000);
    assert_false(closed);
    queue_free(&queue);
}

static void a_wake_ends_one_take(void **state)
{
    struct queue *queue = queue_new(0);
    bool closed = true;
    (void)state;
    queue_wake(queue);
    queue_wake(queue);
    assert_null(queue_take(queue, UINT64_MAX, &closed)); /* would hang without the wake */
    assert_false(closed);
    uint64_t before = clock_mono_ns();
    assert_null(queue_take(queue, 1000000, NULL)); /* both wakes were one */
    assert_true(clock_mono_ns() - before >= 1000000);
    queue_wake(queue);
    assert_null(queue_take(queue, UINT64_MAX - 1, NULL)); /* a deadline beyond the clock */
    queue_free(&queue);
}

static void a_closed_queue_drains_first(void **state)
{
    struct queue *queue = queue_new(0);
    struct item items[2] = { 0 };
    bool closed = true;
    (void)state;
    assert_true(queue_push(queue, &items[0].link));
    queue_close(queue);
    assert_false(queue_push(queue, &items[1].link));
    assert_ptr_equal(queue_take(queue, UINT64_MAX, &closed), &items[0].link);
    assert_false(closed);
    assert_null(queue_take(queue, UINT64_MAX, &closed));
    assert_true(closed);
    queue_free(&queue);
}

enum { SENDERS = 4, EACH = 5000 };
struct sender { pthread_t thread; struct queue *queue; struct item items[EACH]; };
static struct sender senders[SENDERS];

static void *send_all(void *argument)
{
    struct sender *sender = argument;
    for (unsigned i = 0; i < EACH; i++) {
        sender->items[i].number = i;
        sender->items[i].sender = (unsigned)(sender - senders);
        while (!queue_push(sender->queue, &sender->items[i].link))
            sched_yield(); /* full: the receiver is on its way */
    }
    return NULL;
}

static void many_senders_lose_nothing(void **state)
{
    struct queue *queue = queue_new(100);
    unsigned next[SENDERS] = { 0 }, n = 0;
    (void)state;
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].queue = queue;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    while (n < SENDERS * EACH) {
        struct queue_item *at = queue_take(queue, UINT64_MAX, NULL), *following;
        for (unsigned batch = 0; at; at = following, n++) {
            struct item *item = MG_CONTAINER(at, struct item, link);
            following = at->next;
            assert_true(++batch <= 100);
            assert_int_equal(item->number, next[item->sender]++); /* in order for each sender */
        }
    }
    for (size_t i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_null(queue_take(queue, 0, NULL));
    queue_free(&queue);
}

static void *close_it(void *queue)
{
    queue_close(queue);
    return NULL;
}

static void *wake_it(void *queue)
{
    queue_wake(queue);
    return NULL;
}

static void other_threads_end_a_wait(void **state)
{
    struct queue *queue = queue_new(0);
    pthread_t thread;
    bool closed = true;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, wake_it, queue), 0);
    assert_null(queue_take(queue, UINT64_MAX, &closed));
    assert_false(closed);
    pthread_join(thread, NULL);
    assert_int_equal(pthread_create(&thread, NULL, close_it, queue), 0);
    assert_null(queue_take(queue, UINT64_MAX, &closed));
    assert_true(closed);
    pthread_join(thread, NULL);
    queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_and_all_at_once),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(an_empty_queue_does_not_hold),
        cmocka_unit_test(a_wake_ends_one_take),
        cmocka_unit_test(a_closed_queue_drains_first),
        cmocka_unit_test(many_senders_lose_nothing),
        cmocka_unit_test(other_threads_end_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
