/* wait.h - who waits on a loop for credit of the ring, or for its turn in the log: requests at their head, and bodies that are here.
 *
 * A timer looks at the list every 20 ms while anything waits: credit comes back in bursts after commits, so waking each waiter by
 * itself would buy nothing. Small ones pass a large one: it has its time limit, and live makes room for it meanwhile. While
 * somebody quiet has to go on waiting for credit, waiters of loud peers (talkers.h) are refused at once; the others wait their time.
 * Turns in the log come with its acks, many in a moment: whoever waits only for that is served then. */
#pragma once
#include "ingest/take.h"

struct waiter {
    struct list link;    /* ingest_loop.waiting, oldest first */
    uint64_t give_up_ns; /* monotonic; 0: never, and then it makes nobody else give up either */
    uint64_t peer;       /* talkers_peer(); 0: nobody */
    bool (*serve)(struct waiter *waiter); /* true: it has what it waited for, or has ended; it may be freed */
    void (*give_up)(struct waiter *waiter, enum ingest_busy reason);
};
/* Serve or give_up follows, never from inside. */
void waiting_add(struct ingest_loop *loop, struct waiter *waiter);
void waiting_resume(struct ingest_loop *loop); /* after an ack */
/* Loop's timer; and when it closes, then nobody waits any more. */
void waiting_serve(struct ingest_loop *loop);
