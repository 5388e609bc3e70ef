/* snapshot.c - the counters as of a position: into the store for the next start, and to those who ask. */
#include "live/private.h"
#include <assert.h>
#include "base/clock.h"
#include "store/tagged.h"

enum { SNAPSHOT_ACCEPTED = 1, SNAPSHOT_REFUSED, SNAPSHOT_LATE, SNAPSHOT_SAMPLED_OUT, SNAPSHOT_LOST, SNAPSHOT_TALLY, SNAPSHOT_SAMPLER };

static uint64_t watermark(struct live *live)
{
    const struct segment *oldest = LIST_FIRST(&live->shared.ring, struct segment, live.link);
    uint64_t next = live->own.position + 1;

    return oldest ? MG_MIN(next, oldest->live.first_position) : next;
}

static void put_part(struct live *live, struct buf *list, uint32_t tag)
{
    struct buf part;

    buf_init(&part, 1u << 20);
    if (tag == SNAPSHOT_TALLY)
        tally_write(&live->own.tally, &part);
    else
        judge_save_floor(live, &part);
    assert(buf_err(&part) == MG_OK); /* a line is 200 bytes at most, and their number is limited */
    if (part.len)
        tagged_put(list, tag, buf_str(&part));
    buf_fini(&part);
}

void live_snapshot(struct live *live)
{
    struct buf bytes;

    buf_init(&bytes, STORE_SNAPSHOT_MAX);
    tagged_put_u64(&bytes, SNAPSHOT_ACCEPTED, live->own.ledger.accepted);
    tagged_put_u64(&bytes, SNAPSHOT_REFUSED, live->own.ledger.refused);
    tagged_put_u64(&bytes, SNAPSHOT_LATE, live->own.ledger.late);
    tagged_put_u64(&bytes, SNAPSHOT_SAMPLED_OUT, live->own.ledger.sampled_out);
    tagged_put_u64(&bytes, SNAPSHOT_LOST, live->own.ledger.lost);
    put_part(live, &bytes, SNAPSHOT_TALLY);
    put_part(live, &bytes, SNAPSHOT_SAMPLER);
    assert(buf_err(&bytes) == MG_OK);
    store_snapshot(live->store, live->own.position, watermark(live), live->own.log_ns, buf_str(&bytes));
    buf_fini(&bytes);
    live->own.is_dirty = false;
    live->own.snapshot_at_mono_ns = clock_mono_ns() + SECOND_NS;
}

void live_read_snapshot(struct live *live, const struct store_state *state)
{
    struct live_ledger *ledger = &live->own.ledger;
    uint64_t *const fields[] = { [SNAPSHOT_ACCEPTED] = &ledger->accepted, [SNAPSHOT_REFUSED] = &ledger->refused,
                                 [SNAPSHOT_LATE] = &ledger->late, [SNAPSHOT_SAMPLED_OUT] = &ledger->sampled_out,
                                 [SNAPSHOT_LOST] = &ledger->lost };
    struct str at = state->snapshot, bytes;
    uint32_t tag;

    while (tagged_next(&at, &tag, &bytes) == 1) {
        if (tag < MG_COUNT(fields) && fields[tag])
            (void)tagged_u64(bytes, fields[tag]); /* unreadable: stays zero */
        if (tag == SNAPSHOT_TALLY)
            tally_read(&live->own.tally, bytes);
        if (tag == SNAPSHOT_SAMPLER)
            judge_load_floor(live, bytes);
    }
    ledger->stored = state->stored;
    ledger->duplicate = state->duplicate;
    live->own.counted_from = state->p;
    live->own.stored_from = state->c;
    live->own.position = MG_MAX(state->p, state->c);
    live->own.log_ns = state->log_ns;
}

void live_publish(struct live *live)
{
    const struct trace *oldest = LIST_FIRST(&live->own.by_deadline, struct trace, deadline_link);

    pthread_mutex_lock(&live->shared.lock);
    if (live->own.tally.is_changed) {
        VEC_CLEAR(&live->shared.policies);
        for (size_t i = 0; i < live->own.tally.lines.n; i++)
            VEC_PUSH(&live->shared.policies, live->own.tally.lines.at[i]);
        live->own.tally.is_changed = false;
    }
    live->shared.ledger = live->own.ledger;
    live->shared.stats = (struct live_stats){
        .position = live->own.position, .watermark = watermark(live), .traces = trace_count(live->own.traces),
        .verdicts = verdict_count(live->own.verdicts), .ring_bytes = live->own.ring_bytes, .ring_segments = live->shared.n_segments,
        .oldest_pending_ns = oldest && live->own.log_ns > oldest->first_log_ns ? live->own.log_ns - oldest->first_log_ns : 0,
        .cpu_ns = live->shared.stats.cpu_ns };
    pthread_mutex_unlock(&live->shared.lock);
}
