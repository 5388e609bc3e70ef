/* wait.c - see wait.h. */
#include "ingest/private.h"

/* All bodies at once would only wait in memory: while there are acks each lets two in, else a tick lets some begin. */
enum { RELEASE_AN_ACK = 2, RELEASE_A_TICK = 16 };

static void enter(struct ingest_loop *loop, struct waiter *waiter, struct list *before)
{
    list_add_last(before, &waiter->link);
    loop->ingest->waiting++;
}

static void leave(struct ingest_loop *loop, struct waiter *waiter)
{
    list_remove(&waiter->link);
    loop->ingest->waiting--;
}

void waiting_add(struct ingest_loop *loop, struct waiter *waiter)
{
    metric_add(loop->ingest->metrics, INGEST_waits, 0, 0, 1);
    if (list_empty(&loop->waiting))
        timer_start(loop->timer, INGEST_POLL_MS);
    enter(loop, waiter, &loop->waiting);
}

/* false: it goes on waiting. */
static bool serve(struct ingest_loop *loop, struct waiter *waiter, bool is_outdone)
{
    struct list *next = waiter->link.next;

    leave(loop, waiter); /* it may be freed in serve */
    if (waiter->serve(waiter))
        return true;
    if (loop->is_closing)
        waiter->give_up(waiter, BUSY_CLOSING);
    else if (is_outdone)
        waiter->give_up(waiter, BUSY_TALKER);
    else if (waiter->give_up_ns && loop_now_ns(loop->loop) >= waiter->give_up_ns)
        waiter->give_up(waiter, is_behind(loop) ? BUSY_LOG : BUSY_WAIT);
    else {
        enter(loop, waiter, next);
        return false;
    }
    return true;
}

/* Those of loud peers, or those of the others. True: one with a time limit goes on waiting. */
static bool serve_all(struct ingest_loop *loop, bool loud, bool is_outdone)
{
    uint64_t now_ns = loop_now_ns(loop->loop);
    bool has_limit, one_waits = false;

    for (struct list *link = loop->waiting.next, *next; link != &loop->waiting; link = next) {
        struct waiter *waiter = MG_CONTAINER(link, struct waiter, link);
        next = link->next;
        has_limit = waiter->give_up_ns != 0;
        if (talkers_is_loud(&loop->talkers, waiter->peer, now_ns) == loud && !serve(loop, waiter, is_outdone))
            one_waits |= has_limit;
    }
    return one_waits;
}

void waiting_serve(struct ingest_loop *loop)
{
    loop->may_release = RELEASE_A_TICK;
    bool quiet_waits = serve_all(loop, false, false);

    (void)serve_all(loop, true, quiet_waits && (is_short(loop) || !is_behind(loop))); /* what is left comes next time */
}

void waiting_resume(struct ingest_loop *loop)
{
    loop->may_release = RELEASE_AN_ACK;
    for (struct list *link = loop->waiting.next, *next; link != &loop->waiting && !is_behind(loop) && !is_short(loop); link = next) {
        next = link->next;
        (void)serve(loop, MG_CONTAINER(link, struct waiter, link), false);
    }
}
