/* ring.c - rows into the ring and out of it, and the records of their traces.
 *
 * Rows are never copied again or freed one by one: a segment goes when its last held row is let go. */
#include "live/private.h"
#include <assert.h>
#include "base/clock.h"

#define SEGMENT_AGE_NS (60 * SECOND_NS)
/* Few but huge spans must not make a block that passes its 32-bit offsets. */
#define TRACE_BYTES_MAX (UINT64_C(256) << 20)

/* --- segments --------------------------------------------------------------------------------------- */

/* One for each loop's epoch and some for epochs that end. */
static size_t open_max(const struct live *live)
{
    return MG_MIN(MG_COUNT(live->own.open), live->options.loops + 2);
}

static void ring_drop(struct live *live, struct segment *segment)
{
    pthread_mutex_lock(&live->shared.lock);
    list_remove(&segment->live.link);
    live->shared.n_segments--;
    pthread_mutex_unlock(&live->shared.lock);
    live->own.ring_bytes -= segment->live.charge;
    credit_give(live->credit, (int64_t)segment->live.charge);
    segment_unref(&segment);
}

/* No more rows for it; an empty one goes at once. */
static void seal(struct live *live, size_t i)
{
    struct segment *segment = live->own.open[i];

    segment_publish(segment);
    segment->live.sealed = true;
    memmove(&live->own.open[i], &live->own.open[i + 1],
            (live->own.n_open - i - 1) * sizeof live->own.open[0]);
    live->own.n_open--;
    if (segment->live.held == 0)
        ring_drop(live, segment);
}

static struct segment *open_segment(struct live *live, struct epoch *epoch, size_t row_bytes, uint64_t position)
{
    struct segment *segment = segment_new(epoch, row_bytes);

    if (live->own.n_open >= open_max(live))
        seal(live, 0);
    segment->live.first_position = position;
    segment->live.opened_mono_ns = clock_mono_ns();
    live->own.open[live->own.n_open++] = segment;
    pthread_mutex_lock(&live->shared.lock);
    list_add_last(&live->shared.ring, &segment->live.link);
    live->shared.n_segments++;
    pthread_mutex_unlock(&live->shared.lock);
    return segment;
}

/* Copies the row to the segment its epoch writes to. */
static struct row *ring_add(struct live *live, struct epoch *epoch, const struct row *row, uint64_t position)
{
    struct row *copy;

    for (size_t i = 0; i < live->own.n_open; i++) {
        if (live->own.open[i]->epoch != epoch)
            continue;
        if ((copy = segment_add(live->own.open[i], row)))
            return copy;
        seal(live, i);
        break;
    }
    copy = segment_add(open_segment(live, epoch, row->bytes, position), row);
    assert(copy);
    return copy;
}

static void charge(struct live *live, struct segment *segment, size_t bytes)
{
    segment->live.charge += bytes;
    live->own.ring_bytes += bytes;
}

/* A trickle would keep an open segment, and with it the watermark, for as long as it takes to fill. */
void live_seal_old(struct live *live)
{
    uint64_t now_ns = clock_mono_ns();

    while (live->own.n_open > 0 && now_ns - live->own.open[0]->live.opened_mono_ns > SEGMENT_AGE_NS)
        seal(live, 0);
}

/* --- traces ----------------------------------------------------------------------------------------- */

static struct trace *undecided_record(struct live *live, const uint8_t id[16], uint64_t log_ns)
{
    struct trace *trace = trace_find(live->own.traces, id);

    if (trace && !trace->is_decided)
        return trace;
    trace = trace_add(live->own.traces, id);
    trace->first_log_ns = log_ns;
    trace->outcome = judge_follow(live, trace);
    trace->is_late = trace->older || trace->outcome;
    list_add_last(&live->own.by_deadline, &trace->deadline_link);
    if (trace->outcome)
        list_add_last(&live->own.by_late, &trace->root_link);
    return trace;
}

uint64_t live_row_bytes(const struct row *row)
{
    struct row_cursor cursor;
    struct row_rest rest;

    if (!(row->has & ROW_HAS_EVENTS))
        return row->bytes;
    row_values(row, segment_of(row)->epoch, &cursor);
    row_skip_values(&cursor);
    row_read_rest(&cursor, &rest);
    return (uint64_t)(rest.events.at - (const uint8_t *)row) + rest.events.bytes;
}

/* The record lives as long as the row that made it, which holds its segment: so the segment pays. Nobody reserved for it; the next
 * request feels it. */
static void charge_record(struct live *live, struct segment *segment)
{
    charge(live, segment, TRACE_RECORD_BYTES);
    credit_give(live->credit, -(int64_t)TRACE_RECORD_BYTES);
}

static void link_row(struct live *live, struct row *row, uint64_t log_ns, bool is_counted)
{
    struct trace *trace = undecided_record(live, row->trace_id, log_ns);

    if (trace->n == 0)
        charge_record(live, segment_of(row));
    row->prev = trace->last;
    trace->last = row;
    trace->n++;
    if (trace->is_late && is_counted)
        live->own.ledger.late++;
    if (!trace->has_root && row_is_root(row)) {
        trace->has_root = true;
        trace->root_log_ns = log_ns;
        if (!trace->outcome)
            list_add_last(&live->own.by_root, &trace->root_link);
    }
    judge_row(live, trace, row, is_counted);
    trace->bytes += live_row_bytes(row);
    if (!trace->is_big && (trace->n >= live->own.conf.trace_spans_max || trace->bytes >= TRACE_BYTES_MAX)) {
        trace->is_big = true;
        VEC_PUSH(&live->own.big, trace);
    }
}

void live_insert(struct live *live, const struct row_batch *rows, const struct journal_record *record)
{
    const struct row *row = (const struct row *)rows->rows;
    struct segment *segment = NULL;
    bool is_counted = record->position > live->own.counted_from;

    for (uint32_t i = 0; i < rows->n; i++, row = row_after(row)) {
        struct row *copy = ring_add(live, rows->epoch, row, record->position);
        segment = segment_of(copy);
        copy->record = (uint32_t)(record->position - segment->live.first_position);
        copy->wall_s = (uint32_t)(record->wall_ns / SECOND_NS);
        link_row(live, copy, record->log_ns, is_counted);
        charge(live, segment, row->bytes);
    }
    if (!segment)
        return;
    charge(live, segment, rows->epoch_growth);
    segment_publish(segment);
    live->own.held += rows->n;
    live->own.undecided += rows->n;
    live->own.ledger.pending += rows->n;
}

void live_forget_pending(struct live *live, struct trace *trace)
{
    (void)live;
    list_remove(&trace->deadline_link);
    list_remove(&trace->root_link);
}

void live_release(struct live *live, struct trace *trace)
{
    const struct row *row = trace->last;

    for (uint32_t i = 0; i < trace->n; i++) {
        struct segment *segment = segment_of(row);
        row = row->prev; /* read before the segment can go */
        if (--segment->live.held > 0)
            continue;
        if (segment->live.sealed) {
            ring_drop(live, segment);
            continue;
        }
        /* Nothing in an open segment is held any more: an idle collector gives its ring back. */
        for (size_t k = 0; k < live->own.n_open; k++)
            if (live->own.open[k] == segment) {
                seal(live, k);
                break;
            }
    }
    live->own.held -= trace->n;
    trace_remove(live->own.traces, trace);
}
