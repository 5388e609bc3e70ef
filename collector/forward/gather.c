/* How it works: a stream is all exporters with equal rows. Each row is encoded once, or twice where its trace state tells a probability that
 * not all shall see, and copied into the lot of every stream that wants it. A lot is flushed when the next row does not fit, and at the end of
 * a batch, so that the last span of a batch takes its position along. */
#include "forward/private.h"
#include "base/log.h"
#include "model/otlp_write.h"
#include "row/segment.h"

#define STALL_NS (5 * SECOND_NS) /* no longer waited for: see the header */
/* Below 4 MiB, the default of gRPC's libraries, and so of most receivers: beyond it they refuse a request for good. */
#define LOT_BYTES_MAX ((size_t)4000000)
#define HELD_BYTES_MAX ((size_t)32 << 20)

/* --- streams ---------------------------------------------------------------------------------------- */

static struct stream *stream_for(struct forward *forward, const struct send_conf *conf)
{
    /* A request larger than the queue would be dropped by it. */
    size_t bytes_max = (size_t)MG_MIN((uint64_t)LOT_BYTES_MAX, conf->queue_bytes / 4);
    struct stream *stream;

    for (size_t i = 0; i < forward->own.streams.n; i++) {
        stream = &forward->own.streams.at[i];
        if (stream->take == (enum send_take)conf->take && stream->spans_max == conf->batch_spans &&
            stream->wait_ns == conf->batch_wait_ns && stream->bytes_max == bytes_max)
            return stream;
    }
    stream = VEC_ADD(&forward->own.streams);
    stream->take = (enum send_take)conf->take;
    stream->spans_max = conf->batch_spans;
    stream->wait_ns = conf->batch_wait_ns;
    stream->bytes_max = bytes_max;
    lot_init(&stream->lot);
    return stream;
}

void gather_streams_fini(struct forward *forward)
{
    for (size_t i = 0; i < forward->own.streams.n; i++)
        lot_fini(&forward->own.streams.at[i].lot);
    VEC_FINI(&forward->own.streams);
}

void gather_streams(struct forward *forward)
{
    gather_streams_fini(forward);
    for (size_t i = 0; i < forward->n; i++)
        stream_for(forward, &forward->targets[i].conf)->members |= (target_set)1 << i;
}

static target_set without(const struct forward *forward, target_set members, uint64_t position)
{
    target_set lacking = 0;

    for (size_t i = 0; i < forward->n; i++)
        if (members >> i & 1 && forward->targets[i].recovered < position)
            lacking |= (target_set)1 << i;
    return lacking;
}

static bool wants(const struct stream *stream, bool is_kept)
{
    return stream->lacking && (is_kept || stream->take == SEND_EVERYTHING);
}

static bool is_wanted_by(const struct forward *forward, enum send_take take, bool is_kept)
{
    for (size_t i = 0; i < forward->own.streams.n; i++)
        if (forward->own.streams.at[i].take == take && wants(&forward->own.streams.at[i], is_kept))
            return true;
    return false;
}

static bool is_wanted(const struct forward *forward, bool is_kept)
{
    return is_wanted_by(forward, SEND_KEPT, is_kept) || is_wanted_by(forward, SEND_EVERYTHING, is_kept);
}

/* --- gathering -------------------------------------------------------------------------------------- */

static bool is_full(const struct stream *stream)
{
    return stream->lot.n >= stream->spans_max;
}

static bool has_room(struct forward *forward)
{
    if (forward->own.held_bytes < HELD_BYTES_MAX)
        forward->own.is_lifted = false;
    else if (!forward->own.is_lifted && forward->mono_ns() - forward->own.moved_ns >= STALL_NS) {
        LOG_EVERY(60, WARN, "queues of exporters take nothing: they are no longer waited for",
                  F_U64("waiting_bytes", forward->own.held_bytes));
        forward->own.is_lifted = true;
    }
    return forward->own.held_bytes < HELD_BYTES_MAX || forward->own.is_lifted;
}

/* Full lots are flushed only here and at a batch's end, so that the last span of a batch takes its position along. */
static void offer(struct forward *forward, struct stream *stream, const struct row *row, const struct epoch *epoch)
{
    struct str span = buf_str(&forward->own.span);

    if (is_full(stream))
        forward_flush(forward, stream);
    if (!lot_add(&stream->lot, row, epoch, span, stream->bytes_max)) {
        forward_flush(forward, stream);
        (void)lot_add(&stream->lot, row, epoch, span, stream->bytes_max); /* it is empty: true */
    }
    if (stream->lot.n == 1)
        stream->since_ns = forward->mono_ns();
}

static void encode(struct forward *forward, const struct span *span)
{
    buf_clear(&forward->own.span);
    otlp_write_span(&forward->own.span, span);
    forward->own.encoded++;
}

static void offer_all(struct forward *forward, enum send_take take, bool is_kept, const struct row *row, const struct epoch *epoch)
{
    for (size_t i = 0; i < forward->own.streams.n; i++)
        if (forward->own.streams.at[i].take == take && wants(&forward->own.streams.at[i], is_kept))
            offer(forward, &forward->own.streams.at[i], row, epoch);
}

/* Who takes everything gets the span as received: to that one no trace was sampled here. Who takes what was kept has to
 * learn how many traces each of them stands for. */
static void gather_row(struct forward *forward, const struct row *row, const struct fragment *fragment)
{
    const struct epoch *epoch = segment_of(row)->epoch;
    bool is_kept = fragment->is_kept, is_encoded = false;
    struct str told;
    struct span span;

    arena_reset(&forward->own.arena);
    row_decode(row, epoch, &forward->own.arena, &span);
    told = is_kept ? outcome_trace_state(fragment->outcome, span.trace_state, &forward->own.arena) : span.trace_state;
    if (is_wanted_by(forward, SEND_EVERYTHING, is_kept)) {
        encode(forward, &span);
        offer_all(forward, SEND_EVERYTHING, is_kept, row, epoch);
        is_encoded = str_eq(told, span.trace_state);
    }
    if (!is_wanted_by(forward, SEND_KEPT, is_kept))
        return;
    span.trace_state = told;
    if (!is_encoded)
        encode(forward, &span);
    offer_all(forward, SEND_KEPT, is_kept, row, epoch);
}

/* Who lacks this batch? A lot whose spans others lack goes first. */
void gather_aim(struct forward *forward, const struct forward_batch *batch)
{
    for (size_t i = 0; i < forward->own.streams.n; i++) {
        struct stream *stream = &forward->own.streams.at[i];
        target_set lacking = without(forward, stream->members, batch->position);
        if (stream->lot.n && lacking != stream->lacking)
            forward_flush(forward, stream);
        stream->lacking = lacking;
    }
}

/* From the cursor on; false: there is no room for more. */
static bool gather_batch(struct forward *forward, const struct forward_batch *batch)
{
    struct cursor *at = &forward->own.cursor;

    for (; at->fragment < batch->n; at->fragment++) {
        const struct fragment *fragment = &batch->fragments[at->fragment];
        if (!is_wanted(forward, fragment->is_kept))
            continue;
        if (at->taken == 0)
            at->row = fragment->last;
        for (; at->taken < fragment->n; at->taken++) {
            if (!has_room(forward))
                return false;
            gather_row(forward, at->row, fragment);
            at->row = at->row->prev;
        }
        at->taken = 0;
    }
    return true;
}

void gather(struct forward *forward)
{
    for (struct forward_batch *batch; (batch = forward->own.next);) {
        if (!forward->own.cursor.is_begun)
            gather_aim(forward, batch);
        forward->own.cursor.is_begun = true;
        if (!gather_batch(forward, batch))
            return;
        forward->own.cursor = (struct cursor){ 0 };
        forward->own.consumed = batch->position;
        forward->own.next = batch_of(batch->link.next);
        for (size_t i = 0; i < forward->own.streams.n; i++)
            if (is_full(&forward->own.streams.at[i]))
                forward_flush(forward, &forward->own.streams.at[i]);
    }
}
