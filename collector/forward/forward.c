/* How it works: batches stand in one list, in log order. `own.next` is the first that was not gathered to its end, the cursor how far it
 * is. gather.c copies its rows into the lots of streams; a stream is all exporters with equal rows. A lot that is full or old enough becomes a
 * parcel: one body, and for each exporter of the stream an item (a leg) that points to it.
 *
 *     batches  10  20  30  40      consumed = 20, next = 30 (half way)
 *     lots     kept [......]   everything [...........]
 *     targets  otlp put 20 done 10   kafka put 20 done 20     -> 10 is done
 *
 * An item carries the position of the last batch that is gathered to its end: all of that batch's spans are in it or in those before. A batch
 * is done when every target has done an item of its position or a later one. A stream that had nothing of a batch
 * puts an empty item.
 *
 * The queues' threads only push a leg back; everything else is this thread's, so nothing needs a count that two threads
 * change. */
#define _GNU_SOURCE /* pthread_setname_np */
#include "forward/private.h"
#include <assert.h>

#define STOP_STALL_NS (2 * SECOND_NS)
#define LOOK_NS (SECOND_NS / 10) /* how often a stall is looked for */

static const struct metric_row forward_metric_rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "forward/metrics.def"
#undef METRIC
};

/* --- parcels ---------------------------------------------------------------------------------------- */

static void on_item_done(struct send_item *item) /* the queue's thread */
{
    struct leg *leg = MG_CONTAINER(item, struct leg, item);
    struct forward *forward = leg->forward; /* the leg can go as soon as it is pushed */

    (void)queue_push(forward->returned, &leg->link); /* unbounded and never closed */
    queue_wake(forward->given);
}

static void parcel_free(struct forward *forward, struct parcel *parcel)
{
    forward->own.held_bytes -= parcel->body.len;
    list_remove(&parcel->link);
    buf_fini(&parcel->body);
    mem_free(parcel);
}

static void leg_send(struct forward *forward, struct parcel *parcel, unsigned target, uint32_t spans)
{
    struct leg *leg = &parcel->legs[parcel->left++];
    struct target *to = &forward->targets[target];

    to->put = MG_MAX(to->put, forward->own.consumed);
    *leg = (struct leg){ .item = { .body = parcel->body, .spans = spans, .position = to->put, .done = on_item_done },
                         .forward = forward, .parcel = parcel, .target = target };
    send_put(to->send, &leg->item);
}

static void put_parcel(struct forward *forward, struct stream *stream, target_set targets)
{
    size_t n = (size_t)__builtin_popcountll(targets);
    struct parcel *parcel = mem_zero(1, sizeof *parcel + n * sizeof parcel->legs[0]);
    uint32_t spans = stream->lot.n;

    buf_init(&parcel->body, SIZE_MAX);
    lot_write(&stream->lot, &parcel->body);
    if (list_empty(&forward->own.parcels))
        forward->own.moved_ns = forward->mono_ns();
    list_add_last(&forward->own.parcels, &parcel->link);
    forward->own.held_bytes += parcel->body.len;
    for (unsigned i = 0; i < forward->n; i++)
        if (targets >> i & 1)
            leg_send(forward, parcel, i, spans);
    metric_add(forward->metrics, FORWARD_spans, stream->take, 0, spans * n);
}

void forward_flush(struct forward *forward, struct stream *stream)
{
    target_set targets = stream->lot.n ? stream->lacking : 0;

    for (size_t i = 0; stream->lot.n == 0 && i < forward->n; i++)
        if (stream->members >> i & 1 && forward->targets[i].put < forward->own.consumed)
            targets |= (target_set)1 << i;
    if (targets)
        put_parcel(forward, stream, targets);
}

static void flush_all(struct forward *forward)
{
    for (size_t i = 0; i < forward->own.streams.n; i++)
        forward_flush(forward, &forward->own.streams.at[i]);
}

/* --- the round -------------------------------------------------------------------------------------- */

static void take_given(struct forward *forward, struct queue_item *item)
{
    for (struct queue_item *next; item; item = next) {
        next = item->next;
        item->next = NULL;
        *forward->own.tail = item;
        forward->own.tail = &item->next;
        forward->own.n_batches++;
        if (!forward->own.next)
            forward->own.next = batch_of(item);
    }
}

static void take_returned(struct forward *forward)
{
    struct queue_item *item = queue_take(forward->returned, 0, NULL);

    if (item)
        forward->own.moved_ns = forward->mono_ns();
    for (struct queue_item *next; item; item = next) {
        struct leg *leg = MG_CONTAINER(item, struct leg, link);
        next = item->next;
        forward->targets[leg->target].done = leg->item.position;
        if (--leg->parcel->left == 0)
            parcel_free(forward, leg->parcel);
    }
}

static void take_confs(struct forward *forward)
{
    bool is_new;

    pthread_mutex_lock(&forward->shared.lock);
    is_new = forward->shared.confs.n > 0;
    for (size_t i = 0; i < forward->shared.confs.n; i++)
        forward->targets[i].conf = forward->shared.confs.at[i];
    VEC_CLEAR(&forward->shared.confs);
    pthread_mutex_unlock(&forward->shared.lock);
    if (!is_new)
        return;
    flush_all(forward);
    gather_streams(forward);
    if (forward->own.cursor.is_begun)
        gather_aim(forward, forward->own.next);
}

static uint64_t due_ns(const struct stream *stream)
{
    return stream->lot.n ? stream->since_ns + stream->wait_ns : 0;
}

static void flush_due(struct forward *forward)
{
    bool is_hurried = atomic_exchange(&forward->is_hurried, false) || atomic_load(&forward->is_stopping);
    uint64_t now = forward->mono_ns();

    for (size_t i = 0; i < forward->own.streams.n; i++)
        if (is_hurried || due_ns(&forward->own.streams.at[i]) <= now)
            forward_flush(forward, &forward->own.streams.at[i]);
}

static void tell_done(struct forward *forward)
{
    struct forward_batch *batch;
    uint64_t done = UINT64_MAX;

    for (size_t i = 0; i < forward->n; i++)
        done = MG_MIN(done, forward->targets[i].done);
    while ((batch = batch_of(forward->own.first)) && batch != forward->own.next && batch->position <= done) {
        forward->own.first = batch->link.next;
        if (!forward->own.first)
            forward->own.tail = &forward->own.first;
        forward->own.n_batches--;
        batch->done(batch); /* its memory may be gone */
    }
}

static uint64_t until_due_ns(const struct forward *forward)
{
    uint64_t now = forward->mono_ns(), wait = UINT64_MAX;

    for (size_t i = 0; i < forward->own.streams.n; i++) {
        const struct stream *stream = &forward->own.streams.at[i];
        if (stream->lot.n)
            wait = MG_MIN(wait, due_ns(stream) > now ? due_ns(stream) - now : 0);
    }
    if (forward->own.next || atomic_load(&forward->is_stopping))
        wait = MG_MIN(wait, LOOK_NS);
    return wait;
}

static void round_of(struct forward *forward)
{
    take_given(forward, queue_take(forward->given, until_due_ns(forward), NULL));
    take_returned(forward);
    take_confs(forward);
    gather(forward);
    flush_due(forward);
    tell_done(forward);
    metric_add(forward->metrics, FORWARD_encoded, 0, 0, forward->own.encoded);
    forward->own.encoded = 0;
    metric_set_gauge(forward->metrics, FORWARD_waiting_batches, 0, 0, (double)forward->own.n_batches);
    metric_set_gauge(forward->metrics, FORWARD_waiting_bytes, 0, 0, (double)forward->own.held_bytes);
    atomic_store(&forward->cpu_ns, clock_thread_cpu_ns());
}

static bool is_over(const struct forward *forward)
{
    return !forward->own.first || forward->mono_ns() - forward->own.moved_ns >= STOP_STALL_NS;
}

static void *forward_main(void *argument)
{
    struct forward *forward = argument;
    bool is_stopping;

    pthread_setname_np(pthread_self(), "forward");
    do {
        is_stopping = atomic_load(&forward->is_stopping); /* before the round: it takes all that was put before the stop */
        round_of(forward);
    } while (!is_stopping || !is_over(forward));
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------- */

struct forward *forward_new(const struct forward_options *options)
{
    struct forward *forward = MEM_NEW(struct forward);

    assert(options->n > 0 && options->n <= TARGETS_MAX);
    forward->mono_ns = options->mono_ns ? options->mono_ns : clock_mono_ns;
    forward->metrics = metric_register(options->metrics, forward_metric_rows, MG_COUNT(forward_metric_rows));
    forward->n = options->n;
    for (size_t i = 0; i < options->n; i++) {
        uint64_t recovered = send_recovered(options->targets[i].send);
        forward->targets[i] = (struct target){ options->targets[i].send, *options->targets[i].conf, recovered, recovered, recovered };
    }
    forward->given = queue_new(0);
    forward->returned = queue_new(0);
    forward->own.tail = &forward->own.first;
    buf_init(&forward->own.span, SIZE_MAX);
    list_init(&forward->own.parcels);
    pthread_mutex_init(&forward->shared.lock, NULL);
    gather_streams(forward);
    return forward;
}

uint64_t forward_recovered(const struct forward *forward)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < forward->n; i++)
        least = MG_MIN(least, forward->targets[i].recovered);
    return least;
}

uint64_t forward_newest(const struct forward *forward)
{
    uint64_t most = 0;

    for (size_t i = 0; i < forward->n; i++)
        most = MG_MAX(most, forward->targets[i].recovered);
    return most;
}

void forward_start(struct forward *forward)
{
    int failed = pthread_create(&forward->thread, NULL, forward_main, forward);

    assert(failed == 0);
    forward->is_started = true;
}

void forward_put(struct forward *forward, struct forward_batch *batch)
{
    (void)queue_push(forward->given, &batch->link); /* unbounded and never closed: the ring's credit bounds what is given */
}

void forward_hurry(struct forward *forward)
{
    atomic_store(&forward->is_hurried, true);
    queue_wake(forward->given);
}

void forward_reload(struct forward *forward, const struct send_conf *const *confs)
{
    pthread_mutex_lock(&forward->shared.lock);
    VEC_CLEAR(&forward->shared.confs);
    for (size_t i = 0; i < forward->n; i++)
        VEC_PUSH(&forward->shared.confs, *confs[i]);
    pthread_mutex_unlock(&forward->shared.lock);
    queue_wake(forward->given);
}

uint64_t forward_cpu_ns(const struct forward *forward)
{
    return atomic_load(&((struct forward *)forward)->cpu_ns); /* a load that the type wants to write */
}

void forward_stop(struct forward *forward)
{
    if (!forward->is_started)
        return;
    atomic_store(&forward->is_stopping, true);
    queue_wake(forward->given);
    pthread_join(forward->thread, NULL);
    forward->is_started = false;
}

void forward_free(struct forward **pointer)
{
    struct forward *forward = *pointer;

    if (!forward)
        return;
    assert(!forward->is_started);
    while (!list_empty(&forward->own.parcels))
        parcel_free(forward, LIST_FIRST(&forward->own.parcels, struct parcel, link));
    gather_streams_fini(forward);
    arena_fini(&forward->own.arena);
    buf_fini(&forward->own.span);
    queue_free(&forward->given);
    queue_free(&forward->returned);
    VEC_FINI(&forward->shared.confs);
    pthread_mutex_destroy(&forward->shared.lock);
    mem_free(forward);
    *pointer = NULL;
}
