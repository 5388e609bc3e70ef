/* live.c - the steady state: a round takes everything that waits, applies it in order, decides what is due,
 * publishes the ledger, and only then lets the acks go, so that an acked span is already counted and visible.
 *
 * A decided trace keeps its record until the store and forward have it: look-ups find its rows, and a row that comes
 * meanwhile starts a new record in front of it. Rows are never copied or freed one by one: a segment goes
 * when its last held row is let go. */
#include "live/private.h"
#include <assert.h>
#include <unistd.h>
#include "base/clock.h"
#include "store/tagged.h"

#define SECOND_NS UINT64_C(1000000000)
/* Due decisions are gathered for 10 ms, so that a busy log gets few records of many. */
#define GATHER_NS UINT64_C(10000000)
#define SEGMENT_AGE_NS (60 * SECOND_NS)
enum { DECISIONS_A_RECORD = 4096 };
/* Few but huge spans must not make a block that passes its 32-bit offsets. */
#define TRACE_BYTES_MAX (UINT64_C(256) << 20)
enum { SNAPSHOT_ACCEPTED = 1, SNAPSHOT_REFUSED, SNAPSHOT_LATE, SNAPSHOT_SAMPLED_OUT, SNAPSHOT_LOST, SNAPSHOT_TALLY, SNAPSHOT_SAMPLER };

static const struct metric_row live_metric_rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "live/metrics.def"
#undef METRIC
};

/* --- ring ------------------------------------------------------------------------------------------- */

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

static void link_row(struct live *live, struct row *row, uint64_t log_ns, bool is_counted)
{
    struct trace *trace = undecided_record(live, row->trace_id, log_ns);

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
    trace->bytes += row->bytes + row_events_bytes(row); /* What the store makes of it. */
    if (!trace->is_big && (trace->n >= live->conf->trace_spans_max || trace->bytes >= TRACE_BYTES_MAX)) {
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

/* --- decisions -------------------------------------------------------------------------------------- */

struct decided *decided_new(struct live *live)
{
    struct decided *decided = MEM_NEW(struct decided);

    decided->live = live;
    buf_init(&decided->body, SIZE_MAX / 2);
    return decided;
}

void decided_free(struct decided **decided)
{
    list_remove(&(*decided)->link);
    buf_fini(&(*decided)->body);
    VEC_FINI(&(*decided)->traces);
    VEC_FINI(&(*decided)->fragments);
    arena_fini(&(*decided)->votes);
    mem_free(*decided);
    *decided = NULL;
}

void decided_add(struct decided *decided, struct trace *trace, const struct outcome *outcome, struct str votes)
{
    struct fragment fragment = { .last = trace->last, .n = trace->n, .is_kept = outcome->verdict == VERDICT_KEPT,
                                 .outcome = word_of(outcome) };

    memcpy(fragment.trace_id, trace->id, sizeof fragment.trace_id);
    if (votes.len)
        fragment.votes = arena_str(&decided->votes, votes);
    trace->is_decided = true;
    trace->outcome = fragment.outcome;
    trace->decision.by = decided;
    trace->decision.at = decided->fragments.n;
    decided->kept_rows += fragment.is_kept ? trace->n : 0;
    VEC_PUSH(&decided->traces, trace);
    VEC_PUSH(&decided->fragments, fragment);
}

static void on_decision_durable(struct journal_record *record, enum mg_err err)
{
    struct decided *decided = MG_CONTAINER(record, struct decided, record);

    decided->err = err;
    decided->note.kind = NOTE_DECIDED;
    queue_push(decided->live->queue, &decided->note.link);
}

/* A log that refuses keeps its decisions in memory: their traces are simply undecided after a crash. */
static void append(struct live *live, struct decided *decided)
{
    decided->record = (struct journal_record){ .kind = JOURNAL_DECISIONS, .wall_ns = clock_wall_ns(),
                                               .body = buf_str(&decided->body), .done = on_decision_durable };
    if (journal_append(live->journal, &decided->record) == MG_OK)
        return;
    list_add_last(&live->own.failed, &decided->link);
    live->own.retry_at_mono_ns = clock_mono_ns() + SECOND_NS;
}

static void retry_failed(struct live *live)
{
    struct list again;

    if (list_empty(&live->own.failed) || clock_mono_ns() < live->own.retry_at_mono_ns)
        return;
    list_init(&again);
    while (!list_empty(&live->own.failed)) {
        struct list *link = live->own.failed.next;
        list_remove(link);
        list_add_last(&again, link);
    }
    while (!list_empty(&again)) {
        struct decided *decided = LIST_FIRST(&again, struct decided, link);
        list_remove(&decided->link);
        append(live, decided);
    }
}

static void finish_decided(struct live *live, struct decided **open)
{
    struct decided *decided = MG_STEAL(*open);

    if (!decided)
        return;
    append(live, decided);
}

static void decide_record(struct live *live, struct decided **open, struct trace *trace, enum trigger trigger)
{
    struct decision decision = { .from = trace->older && trace->older->is_decided ? trace->older->through : 0, .through = live->own.position };

    if (!*open) {
        *open = decided_new(live);
        decision_list_begin(&(*open)->body);
    }
    memcpy(decision.trace_id, trace->id, sizeof decision.trace_id);
    judge_decide(live, trace, trigger, &decision.outcome, &decision.votes);
    judge_remember(live, trace->id, &decision.outcome);
    decision_put(&(*open)->body, &decision);
    live_forget_pending(live, trace);
    trace->through = live->own.position;
    live->own.undecided -= trace->n;
    decided_add(*open, trace, &decision.outcome, decision.votes);
    metric_add(live->metrics, LIVE_decisions, (unsigned)decision.outcome.trigger - 1, 0, 1);
    if (decision.outcome.reason != REASON_NONE)
        metric_add(live->metrics, LIVE_sampled, (unsigned)decision.outcome.reason - 1, decision.outcome.verdict == VERDICT_DROPPED, 1);
}

/* After a replay that found a decision lost, a trace can have an older record that is undecided too: both go into one
 * log record, so that a crash never finds only one of them. */
static void decide(struct live *live, struct decided **open, struct trace *trace, enum trigger trigger)
{
    for (; trace; trace = trace->older)
        if (!trace->is_decided)
            decide_record(live, open, trace, trigger);
    if ((*open)->traces.n >= DECISIONS_A_RECORD)
        finish_decided(live, open);
}

/* The share of the ring that will come back without a further decision. What waits for an exporter's queue alone counts too: to decide
 * more would not bring it back sooner, so a slow queue never makes decisions early beyond what the ring's low mark asks for. */
static int64_t coming_back(const struct live *live)
{
    size_t held = live->own.held;

    if (held == 0)
        return 0;
    return (int64_t)((double)live->own.ring_bytes * (double)(held - live->own.undecided) / (double)held);
}

void live_hurry(struct live *live)
{
    if (live->own.with_store > 0)
        store_hurry(live->store);
    if (live->options.forward && live->own.undecided < live->own.held)
        forward_hurry(live->options.forward);
}

static void relieve(struct live *live, struct decided **open)
{
    int64_t low = (int64_t)MG_MAX(live->credit->budget / 4, credit_wanted(live->credit));

    if (credit_free(live->credit) >= low)
        return;
    while (!list_empty(&live->own.by_deadline) && credit_free(live->credit) + coming_back(live) < low)
        decide(live, open, LIST_FIRST(&live->own.by_deadline, struct trace, deadline_link), TRIGGER_EARLY);
    live_hurry(live);
}

static void decide_listed(struct live *live, struct decided **open, struct trace *const *traces, size_t n, enum trigger trigger)
{
    for (size_t i = 0; i < n; i++)
        if (!traces[i]->is_decided)
            decide(live, open, traces[i], trigger);
}

static void decide_due(struct live *live)
{
    const struct decision_conf *conf = live->decisions;
    uint64_t now = journal_time_ns(live->journal);
    struct decided *open = NULL;
    struct trace *trace;

    if (clock_mono_ns() < live->own.decide_at_mono_ns)
        return;
    live->own.decide_at_mono_ns = clock_mono_ns() + GATHER_NS;
    decide_listed(live, &open, live->own.big.at, live->own.big.n, TRIGGER_EARLY);
    decide_listed(live, &open, live->own.settled.at, live->own.settled.n, TRIGGER_FIRST_MATCH);
    VEC_CLEAR(&live->own.big);
    VEC_CLEAR(&live->own.settled);
    while ((trace = LIST_FIRST(&live->own.by_late, struct trace, root_link)) &&
           trace->first_log_ns + conf->root_grace_ns <= now)
        decide(live, &open, trace, TRIGGER_LATE);
    while ((trace = LIST_FIRST(&live->own.by_root, struct trace, root_link)) &&
           trace->root_log_ns + conf->root_grace_ns <= now)
        decide(live, &open, trace, TRIGGER_ROOT);
    while ((trace = LIST_FIRST(&live->own.by_deadline, struct trace, deadline_link)) &&
           trace->first_log_ns + conf->decision_wait_ns <= now)
        decide(live, &open, trace, TRIGGER_DEADLINE);
    relieve(live, &open);
    finish_decided(live, &open);
}

static uint64_t until_due_ns(const struct live *live)
{
    const struct decision_conf *conf = live->decisions;
    uint64_t now = journal_time_ns(live->journal), due = now + SECOND_NS;
    const struct trace *trace;

    if ((trace = LIST_FIRST(&live->own.by_root, struct trace, root_link)))
        due = MG_MIN(due, trace->root_log_ns + conf->root_grace_ns);
    if ((trace = LIST_FIRST(&live->own.by_late, struct trace, root_link)))
        due = MG_MIN(due, trace->first_log_ns + conf->root_grace_ns);
    if ((trace = LIST_FIRST(&live->own.by_deadline, struct trace, deadline_link)))
        due = MG_MIN(due, trace->first_log_ns + conf->decision_wait_ns);
    if (live->own.settled.n > 0)
        due = now;
    return due > now ? due - now + GATHER_NS : GATHER_NS;
}

/* --- what comes in ---------------------------------------------------------------------------------- */

static void on_batch(struct live *live, struct live_batch *batch)
{
    live->own.position = batch->record.position;
    live->own.log_ns = batch->record.log_ns;
    live->own.ledger.accepted += batch->rows->n;
    live->own.ledger.refused += batch->refused;
    live_insert(live, batch->rows, &batch->record);
    if (batch->rows->n == 0)
        credit_give(live->credit, (int64_t)batch->reserved);
    live->own.is_dirty = true;
    VEC_PUSH(&live->own.acks, batch);
}

static void on_stored(struct store_batch *batch) /* block thread */
{
    struct decided *decided = MG_CONTAINER(batch, struct decided, batch);

    decided->note.kind = NOTE_STORED;
    queue_push(decided->live->queue, &decided->note.link);
}

static void on_forwarded(struct forward_batch *batch) /* forward's thread */
{
    struct decided *decided = MG_CONTAINER(batch, struct decided, forward);

    decided->forwarded.kind = NOTE_FORWARDED;
    queue_push(decided->live->queue, &decided->forwarded.link);
}

static void give_to_store(struct live *live, struct decided *decided)
{
    decided->batch = (struct store_batch){ .position = decided->record.position, .log_ns = decided->record.log_ns, .wall_ns = decided->record.wall_ns,
                                           .fragments = decided->fragments.at, .n = decided->fragments.n, .rows = decided->kept_rows,
                                           .done = on_stored };
    decided->waits++;
    live->own.with_store++;
    store_put(live->store, &decided->batch);
}

static void give_to_forward(struct live *live, struct decided *decided)
{
    decided->forward = (struct forward_batch){ .position = decided->record.position, .fragments = decided->fragments.at,
                                               .n = decided->fragments.n, .done = on_forwarded };
    decided->waits++;
    forward_put(live->options.forward, &decided->forward);
}

static void on_one_done(struct live *live, struct decided *decided)
{
    live->own.is_dirty = true; /* the watermark can rise */
    if (--decided->waits > 0)
        return;
    for (size_t i = 0; i < decided->traces.n; i++)
        live_release(live, decided->traces.at[i]);
    decided_free(&decided);
}

void live_close_traces(struct live *live, struct decided *decided)
{
    uint64_t position = decided->record.position;

    for (size_t i = 0; i < decided->fragments.n; i++)
        decided->fragments.at[i].position = position;
    list_add_last(&live->own.given, &decided->link);
    decided->waits = 1; /* for this function */
    if (position > live->own.stored_from)
        give_to_store(live, decided);
    if (position > live->own.forwarded_from)
        give_to_forward(live, decided);
    on_one_done(live, decided);
}

void live_count_decision(struct live *live, const struct outcome *outcome, uint32_t rows)
{
    if (outcome->verdict == VERDICT_DROPPED)
        live->own.ledger.sampled_out += rows;
    if (outcome->reason != REASON_NONE)
        tally_count(&live->own.tally, outcome_pack(outcome), rows);
}

static void count_decided(struct live *live, const struct decided *decided)
{
    for (size_t i = 0; i < decided->fragments.n; i++) {
        const struct fragment *fragment = &decided->fragments.at[i];
        struct outcome outcome = { .verdict = VERDICT_KEPT };
        (void)outcome_unpack(fragment->outcome, &outcome); /* 0: sampling was off */
        live_count_decision(live, &outcome, fragment->n);
        if (!fragment->is_kept)
            live->own.ledger.pending -= fragment->n;
    }
}

static void on_decided(struct live *live, struct decided *decided)
{
    if (decided->err != MG_OK) {
        LOG_EVERY(10, WARN, "decisions not durable, trying again", F_TEXT("error", mg_err_text(decided->err)));
        list_add_last(&live->own.failed, &decided->link);
        live->own.retry_at_mono_ns = clock_mono_ns() + SECOND_NS;
        return;
    }
    live->own.position = decided->record.position;
    live->own.log_ns = decided->record.log_ns;
    count_decided(live, decided);
    live_close_traces(live, decided);
}

/* One commit's batches at once, so that the ledger never balances only in part. */
static void on_store_done(struct live *live, struct decided *decided)
{
    struct store_batch *batch = &decided->batch, *next;

    live->own.ledger.stored += batch->stored;
    live->own.ledger.duplicate += batch->duplicates;
    for (; batch; batch = next) {
        next = batch->link.next ? MG_CONTAINER(batch->link.next, struct store_batch, link) : NULL;
        live->own.ledger.pending -= batch->rows;
        live->own.with_store--;
        on_one_done(live, MG_CONTAINER(batch, struct decided, batch));
    }
}

/* --- look-ups --------------------------------------------------------------------------------------- */

struct lookup {
    struct live_note note;
    const uint8_t (*ids)[16];
    struct live_found *found;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_answered;
};

static bool holds(const struct live_found *found, const struct segment *segment)
{
    for (size_t i = found->n_segments; i-- > 0;)
        if (found->segments[i] == segment)
            return true;
    return false;
}

static void hold(struct live_found *found, struct segment *segment)
{
    /* Rows of a trace come from few segments, one after the other: the last ones are looked at first. */
    if (holds(found, segment))
        return;
    if ((found->n_segments & (found->n_segments - 1)) == 0)
        found->segments = mem_grow(found->segments, MG_MAX((size_t)1, found->n_segments * 2) * sizeof *found->segments);
    found->segments[found->n_segments++] = segment_ref(segment);
}

static void tell_decision(const struct trace *trace, struct live_rows *rows)
{
    const struct decided *decided = trace->decision.by;
    const struct fragment *fragment = &decided->fragments.at[trace->decision.at];

    if (fragment->votes.len)
        rows->votes = str_n(str_text(fragment->votes), fragment->votes.len);
    rows->outcome = fragment->outcome;
    rows->decided_wall_ns = decided->record.wall_ns;
}

/* A trace that is stored and waits for forward alone is found here and in the store: who asks both shows spans that are equal in
 * every field once (R9), as it must for a commit between its two questions. */
static void collect(struct live *live, const uint8_t id[16], struct live_rows *rows, struct live_found *found)
{
    struct trace *newest = trace_find(live->own.traces, id);
    size_t n = 0;

    for (const struct trace *trace = newest; trace; trace = trace->older)
        n += trace->n;
    rows->at = n ? mem_alloc(n * sizeof *rows->at) : NULL;
    for (const struct trace *trace = newest; trace; trace = trace->older) {
        const struct row *row = trace->last;
        if (!trace->is_decided)
            rows->is_pending = true;
        else if (rows->decided_wall_ns == 0)
            tell_decision(trace, rows);
        for (uint32_t i = 0; i < trace->n; i++, row = row->prev) {
            rows->at[rows->n++] = row;
            hold(found, segment_of(row));
        }
    }
}

static void on_lookup(struct live *live, struct lookup *lookup)
{
    for (size_t i = 0; i < lookup->found->n; i++)
        collect(live, lookup->ids[i], &lookup->found->traces[i], lookup->found);
    pthread_mutex_lock(&lookup->lock);
    lookup->is_answered = true;
    pthread_cond_signal(&lookup->answered);
    pthread_mutex_unlock(&lookup->lock);
}

void live_lookup(struct live *live, const uint8_t (*trace_ids)[16], size_t n, struct live_found *out)
{
    struct lookup lookup = { .note.kind = NOTE_LOOKUP, .ids = trace_ids, .found = out };

    *out = (struct live_found){ .traces = mem_zero(n ? n : 1, sizeof *out->traces), .n = n };
    pthread_mutex_init(&lookup.lock, NULL);
    pthread_cond_init(&lookup.answered, NULL);
    queue_push(live->queue, &lookup.note.link);
    pthread_mutex_lock(&lookup.lock);
    while (!lookup.is_answered)
        pthread_cond_wait(&lookup.answered, &lookup.lock);
    pthread_mutex_unlock(&lookup.lock);
    pthread_cond_destroy(&lookup.answered);
    pthread_mutex_destroy(&lookup.lock);
}

void live_found_fini(struct live_found *found)
{
    for (size_t i = 0; i < found->n; i++) {
        mem_free(found->traces[i].at);
        mem_free((char *)found->traces[i].votes.ptr); /* tell_decision's copy, or NULL */
    }
    for (size_t i = 0; i < found->n_segments; i++)
        segment_unref(&found->segments[i]);
    mem_free(found->traces);
    mem_free(found->segments);
    *found = (struct live_found){ 0 };
}

size_t live_segments(struct live *live, struct segment ***out)
{
    size_t n = 0;

    pthread_mutex_lock(&live->shared.lock);
    *out = mem_alloc((live->shared.n_segments + 1) * sizeof **out);
    LIST_EACH(&live->shared.ring, link)
        (*out)[n++] = segment_ref(MG_CONTAINER(link, struct segment, live.link));
    pthread_mutex_unlock(&live->shared.lock);
    return n;
}

/* --- the round -------------------------------------------------------------------------------------- */

/* A trickle would keep an open segment, and with it the watermark, for as long as it takes to fill. */
static void seal_old(struct live *live)
{
    uint64_t before = clock_mono_ns() - SEGMENT_AGE_NS;

    while (live->own.n_open > 0 && live->own.open[0]->live.opened_mono_ns < before)
        seal(live, 0);
}

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
        sampler_save(live->own.sampler, &part);
    if (part.len)
        tagged_put(list, tag, buf_str(&part));
    buf_fini(&part);
}

static void snapshot(struct live *live)
{
    struct buf bytes;

    buf_init(&bytes, STORE_SNAPSHOT_MAX);
    tagged_put_u64(&bytes, SNAPSHOT_ACCEPTED, live->own.ledger.accepted);
    tagged_put_u64(&bytes, SNAPSHOT_REFUSED, live->own.ledger.refused);
    tagged_put_u64(&bytes, SNAPSHOT_LATE, live->own.ledger.late);
    tagged_put_u64(&bytes, SNAPSHOT_SAMPLED_OUT, live->own.ledger.sampled_out);
    tagged_put_u64(&bytes, SNAPSHOT_LOST, live->own.ledger.lost);
    put_part(live, &bytes, SNAPSHOT_TALLY);
    if (live->own.sampler)
        put_part(live, &bytes, SNAPSHOT_SAMPLER);
    store_snapshot(live->store, live->own.position, watermark(live), live->own.log_ns, buf_str(&bytes));
    buf_fini(&bytes);
    live->own.is_dirty = false;
    live->own.snapshot_at_mono_ns = clock_mono_ns() + SECOND_NS;
}

static void read_snapshot(struct live *live, const struct store_state *state)
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
        if (tag == SNAPSHOT_SAMPLER && live->own.sampler)
            sampler_load(live->own.sampler, bytes);
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

static void send_acks(struct live *live)
{
    for (size_t i = 0; i < live->own.acks.n; i++) {
        live->own.acks.at[i]->err = MG_OK;
        live->own.acks.at[i]->ack(live->own.acks.at[i]);
    }
    VEC_CLEAR(&live->own.acks);
}

void live_serve_queue(struct live *live, uint64_t timeout_ns)
{
    struct queue_item *item = queue_take(live->queue, timeout_ns, NULL), *next;

    for (; item; item = next) {
        struct live_note *note = MG_CONTAINER(item, struct live_note, link);
        next = item->next;
        switch ((enum note_kind)note->kind) {
        case NOTE_BATCH:
            on_batch(live, MG_CONTAINER(note, struct live_batch, note));
            break;
        case NOTE_DECIDED:
            on_decided(live, MG_CONTAINER(note, struct decided, note));
            break;
        case NOTE_STORED:
            on_store_done(live, MG_CONTAINER(note, struct decided, note));
            break;
        case NOTE_FORWARDED:
            on_one_done(live, MG_CONTAINER(note, struct decided, forwarded));
            break;
        case NOTE_LOOKUP:
            on_lookup(live, MG_CONTAINER(note, struct lookup, note));
            break;
        }
    }
}

static void round_of(struct live *live, uint64_t timeout_ns)
{
    uint64_t begin_ns = clock_thread_cpu_ns(), inserted_ns;

    judge_take_rules(live);
    live_serve_queue(live, timeout_ns);
    live_publish(live);
    send_acks(live);
    inserted_ns = clock_thread_cpu_ns();
    if (!live->own.is_stopping) {
        judge_watch(live);
        decide_due(live);
        retry_failed(live);
    }
    if (live->own.is_dirty && clock_mono_ns() >= live->own.snapshot_at_mono_ns)
        snapshot(live);
    seal_old(live);
    judge_count(live);
    live_count_cpu(live, STAGE_INSERT, inserted_ns - begin_ns);
    live_count_cpu(live, STAGE_DECIDE, clock_thread_cpu_ns() - inserted_ns);
    pthread_mutex_lock(&live->shared.lock);
    live->shared.stats.cpu_ns = clock_thread_cpu_ns();
    pthread_mutex_unlock(&live->shared.lock);
}

static void *live_main(void *argument)
{
    struct live *live = argument;
    struct mg_why why = { "" };
    enum mg_err err = MG_OK;

    if (live->options.replay)
        err = live->options.replay(live->options.owner, live, &why);
    if (err == MG_OK)
        judge_after_replay(live);
    if (err == MG_OK)
        live_reconcile(live);
    if (err == MG_OK && live->own.is_stopping)
        err = mg_fail(&why, MG_E_BUSY, "stopped while the log was read");
    if (err == MG_OK)
        err = journal_start(live->journal, &why);
    live_publish(live);
    if (live->options.ready)
        live->options.ready(live->options.owner, err, &why);
    if (err != MG_OK)
        return NULL; /* the log was not read to its end: nothing of this state may be kept */
    while (!live->own.is_stopping)
        round_of(live, until_due_ns(live));
    round_of(live, 0); /* what was pushed before the stop was seen */
    snapshot(live);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------- */

void live_count_cpu(struct live *live, enum live_stage stage, uint64_t ns)
{
    metric_add(live->metrics, LIVE_stage_cpu, stage, 0, ns);
}

/* What the threads below live have used since the last scrape. */
static void count_others(struct live *live)
{
    uint64_t forward_ns = live->options.forward ? forward_cpu_ns(live->options.forward) : 0;
    struct journal_stats journal;
    struct store_stats store;

    journal_stat(live->journal, &journal);
    store_stat(live->store, &store);
    pthread_mutex_lock(&live->shared.lock);
    live_count_cpu(live, STAGE_JOURNAL, journal.writer_cpu_ns - live->shared.journal_cpu_ns);
    live_count_cpu(live, STAGE_BLOCK, store.cpu_ns - live->shared.block_cpu_ns);
    live_count_cpu(live, STAGE_FORWARD, forward_ns - live->shared.forward_cpu_ns);
    live->shared.journal_cpu_ns = journal.writer_cpu_ns;
    live->shared.block_cpu_ns = store.cpu_ns;
    live->shared.forward_cpu_ns = forward_ns;
    pthread_mutex_unlock(&live->shared.lock);
}

static void on_scrape(void *owner)
{
    struct live *live = owner;
    struct live_ledger ledger;
    struct live_stats stats;

    count_others(live);
    live_ledger(live, &ledger);
    live_stat(live, &stats);
    metric_set_gauge(live->metrics, LIVE_ladder, 0, 0, (double)live->ladder_step);
    metric_set_gauge(live->metrics, LIVE_verdicts, 0, 0, (double)stats.verdicts);
    const struct { unsigned row; double value; } gauges[] = {
        { LIVE_spans_accepted, (double)ledger.accepted },   { LIVE_spans_stored, (double)ledger.stored },
        { LIVE_spans_sampled_out, (double)ledger.sampled_out }, { LIVE_spans_duplicate, (double)ledger.duplicate },
        { LIVE_spans_pending, (double)ledger.pending },     { LIVE_spans_refused, (double)ledger.refused },
        { LIVE_spans_late, (double)ledger.late },           { LIVE_spans_lost, (double)ledger.lost },           { LIVE_traces, (double)stats.traces },
        { LIVE_ring_bytes, (double)stats.ring_bytes },      { LIVE_ring_budget, (double)live->credit->budget },
        { LIVE_ring_segments, (double)stats.ring_segments }, { LIVE_position, (double)stats.position },
    };
    for (size_t i = 0; i < MG_COUNT(gauges); i++)
        metric_set_gauge(live->metrics, gauges[i].row, 0, 0, gauges[i].value);
}

void live_reload(struct live *live, const struct live_conf *conf, const struct decision_conf *decisions)
{
    live->conf = conf;
    live->decisions = decisions;
}

struct live *live_new(const struct live_options *options)
{
    struct live *live = MEM_NEW(struct live);

    live->options = *options;
    live_reload(live, options->conf, options->decisions);
    live->journal = options->journal;
    live->store = options->store;
    live->credit = options->credit;
    live->queue = queue_new(0);
    live->metrics = metric_register(options->metrics, live_metric_rows, MG_COUNT(live_metric_rows));
    metric_on_scrape(options->metrics, on_scrape, live);
    live->own.traces = trace_table_new();
    list_init(&live->own.by_deadline);
    list_init(&live->own.by_root);
    list_init(&live->own.by_late);
    list_init(&live->own.failed);
    list_init(&live->own.given);
    live->own.forwarded_from = options->forward ? forward_recovered(options->forward) : UINT64_MAX;
    pthread_mutex_init(&live->shared.lock, NULL);
    list_init(&live->shared.ring);
    tally_init(&live->own.tally, live->store);
    judge_init(live);
    read_snapshot(live, store_recovered(live->store));
    live->own.tally.is_changed = true;
    live_publish(live);
    return live;
}

void live_start(struct live *live)
{
    int failed = pthread_create(&live->thread, NULL, live_main, live);

    assert(failed == 0);
    live->is_started = true;
}

static void on_batch_durable(struct journal_record *record, enum mg_err err)
{
    struct live_batch *batch = MG_CONTAINER(record, struct live_batch, record);

    if (err == MG_OK) {
        batch->note.kind = NOTE_BATCH;
        queue_push(batch->live->queue, &batch->note.link);
        return;
    }
    credit_give(batch->live->credit, (int64_t)batch->reserved);
    batch->err = err;
    batch->ack(batch);
}

void live_submit(struct live *live, struct live_batch *batch)
{
    enum mg_err err;

    batch->live = live;
    batch->record.done = on_batch_durable;
    if ((err = journal_append(live->journal, &batch->record)) != MG_OK)
        on_batch_durable(&batch->record, err);
}

void live_cancel(struct live *live)
{
    live->own.is_stopping = true;
    queue_wake(live->queue);
}

void live_stop(struct live *live)
{
    if (!live->is_started)
        return;
    live_cancel(live);
    pthread_join(live->thread, NULL);
    live->is_started = false;
}

static void free_decided(struct list *list)
{
    while (!list_empty(list)) {
        struct decided *decided = LIST_FIRST(list, struct decided, link);
        decided_free(&decided);
    }
}

void live_free(struct live **pointer)
{
    struct live *live = *pointer;

    if (!live)
        return;
    assert(!live->is_started);
    live_serve_queue(live, 0);
    (void)store_take_back(live->store); /* what the store or a queue could not take is in `given`; it stays in the journal */
    free_decided(&live->own.given);
    free_decided(&live->own.failed);
    while (!list_empty(&live->shared.ring)) {
        struct segment *segment = LIST_FIRST(&live->shared.ring, struct segment, live.link);
        list_remove(&segment->live.link);
        segment_unref(&segment);
    }
    trace_table_free(&live->own.traces);
    judge_fini(live);
    tally_fini(&live->own.tally);
    VEC_FINI(&live->own.acks);
    VEC_FINI(&live->own.big);
    queue_free(&live->queue);
    pthread_mutex_destroy(&live->shared.lock);
    mem_free(live);
    *pointer = NULL;
}

void live_ledger(const struct live *live, struct live_ledger *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&live->shared.lock; /* taking a lock changes nothing a reader sees */

    pthread_mutex_lock(lock);
    *out = live->shared.ledger;
    pthread_mutex_unlock(lock);
}

void live_stat(const struct live *live, struct live_stats *out)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&live->shared.lock;

    pthread_mutex_lock(lock);
    *out = live->shared.stats;
    pthread_mutex_unlock(lock);
}

size_t live_policies(struct live *live, struct live_policy **out)
{
    size_t n;

    pthread_mutex_lock(&live->shared.lock);
    n = live->shared.policies.n;
    *out = mem_alloc((n + 1) * sizeof **out);
    if (n)
        memcpy(*out, live->shared.policies.at, n * sizeof **out);
    pthread_mutex_unlock(&live->shared.lock);
    return n;
}
