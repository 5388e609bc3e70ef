/* replay.c - R5: the log read again from the watermark, through the same state as in ordinary work.
 *
 * Rows go into the ring. A decision takes the rows it took then: those of its trace up to the
 * through-position, and they go to whoever lacks them: the store, when the decision's position is above C, forward, when it is above
 * F (the least of the exporters'; those that are further leave it out themselves). At or below both the rows are let go.
 * What lies at or below P is in the recovered counters already. No decision of our own is made before the log's end.
 *
 *     C < F   crash between a queue's sync and the store's commit: to the store alone
 *     F < C   a queue's disk was slow, or its exporter is new: to forward alone; they are counted stored
 *
 * The watermark never passed rows that either lacked, so none are missing. Rows that both had can be here too, because
 * others of their segment were held. */
#include "live/private.h"

#define PUMP_NS UINT64_C(50000000)

/* Rows are only freed by the store and forward; when nothing is on its way there, the budget was lowered, and then the
 * ring may pass it until the ordinary decisions have brought it down again. */
static void wait_for_room(struct live *live, size_t bytes)
{
    while (!live->own.is_stopping && credit_free(live->credit) < (int64_t)bytes &&
           live->own.undecided < live->own.held) {
        live_hurry(live);
        live_serve_queue(live, PUMP_NS);
        live_publish(live);
    }
}

enum mg_err live_replay_rows(struct live *live, const struct journal_record *record, struct row_batch *rows, uint32_t refused)
{
    size_t used = rows->n ? rows->bytes + rows->epoch_growth : 0;

    if (live->own.is_stopping)
        return MG_E_BUSY;
    wait_for_room(live, used);
    credit_give(live->credit, -(int64_t)used);
    live->own.position = MG_MAX(live->own.position, record->position);
    live->own.log_ns = record->log_ns;
    live_insert(live, rows, record);
    for (size_t i = 0; i < live->own.big.n; i++)
        live->own.big.at[i]->is_big = false; /* the log may hold its decision; else its next span finds it big again */
    for (size_t i = 0; i < live->own.settled.n; i++)
        live->own.settled.at[i]->is_settled = false;
    VEC_CLEAR(&live->own.big);
    VEC_CLEAR(&live->own.settled);
    if (record->position > live->own.counted_from) {
        live->own.ledger.accepted += rows->n;
        live->own.ledger.refused += refused;
    }
    metric_add(live->metrics, LIVE_replayed, 0, 0, 1);
    live->own.is_dirty = true;
    live_publish(live);
    return MG_OK;
}

uint32_t live_rows_after(const struct row *row, uint32_t n, uint64_t position)
{
    uint32_t after = 0;

    for (; after < n && segment_of(row)->live.first_position + row->record > position; after++)
        row = row->prev;
    return after;
}

/* Rows that a decision does not take stay undecided, in a record of their own: n rows, the newest of them `last`. `outcome`: what they
 * follow; 0: nothing. */
static void keep_apart(struct live *live, const uint8_t trace_id[16], const struct row *last, uint32_t n, bool is_late, uint64_t outcome)
{
    struct trace *rest = trace_add(live->own.traces, trace_id);

    rest->last = last;
    rest->n = n;
    rest->is_late = is_late;
    rest->outcome = outcome;
    rest->first_log_ns = live->own.log_ns;
    list_add_last(&live->own.by_deadline, &rest->deadline_link);
    for (uint32_t i = 0; i < n; i++, last = last->prev) {
        rest->has_root |= row_is_root(last);
        rest->bytes += live_row_bytes(last);
    }
    if (rest->has_root)
        rest->root_log_ns = live->own.log_ns;
    if (outcome)
        list_add_last(&live->own.by_late, &rest->root_link);
    else if (rest->has_root)
        list_add_last(&live->own.by_root, &rest->root_link);
}

/* Rows beyond `through` came after the decision was made, though before it was in the log: they are late, and follow it. */
static void keep_later(struct live *live, const struct trace *trace, const struct row *last, uint32_t n, const struct decision *decision)
{
    if (!trace->is_late) /* else they were counted when they came */
        live->own.ledger.late += live_rows_after(last, n, live->own.counted_from);
    keep_apart(live, trace->id, last, n, true, live->own.sampler ? word_of(&decision->outcome) : 0);
}

/* Cuts the record down to the rows with from < position <= through; false: it has none. */
static bool cut_to(struct live *live, struct trace *trace, const struct decision *decision)
{
    uint32_t later = live_rows_after(trace->last, trace->n, decision->through);
    uint32_t from = live_rows_after(trace->last, trace->n, decision->from), n = trace->n;
    const struct row *last = trace->last, *row = trace->last;

    if (from <= later)
        return false;
    if (later > 0 || n > from)
        trace->facts = (struct trace_facts){ 0 }; /* of more rows than it has now: gathered anew when it is decided */
    for (uint32_t i = 0; i < from; i++) {
        if (i == later)
            trace->last = row;
        row = row->prev;
    }
    trace->n = from - later;
    if (n > from)
        keep_apart(live, trace->id, row, n - from, trace->is_late, trace->outcome);
    if (later > 0)
        keep_later(live, trace, last, later, decision);
    return true;
}

/* The undecided record whose rows this is about; NULL: they lie before the watermark, so they are in the store. */
static struct trace *record_of(struct live *live, const struct decision *decision)
{
    struct trace *trace = trace_find(live->own.traces, decision->trace_id);

    for (; trace; trace = trace->older)
        if (!trace->is_decided && cut_to(live, trace, decision))
            return trace;
    return NULL;
}

/* Returns true when the trace now belongs to `decided`. */
static bool apply(struct live *live, const struct decision *decision, uint64_t position, struct decided *decided)
{
    struct trace *trace = record_of(live, decision);
    bool is_kept = decision->outcome.verdict != VERDICT_DROPPED, to_store = position > live->own.stored_from;

    judge_remember(live, decision->trace_id, &decision->outcome);
    if (!trace)
        return false;
    if (decision->outcome.trigger == TRIGGER_LATE && !trace->is_late)
        live->own.ledger.late += live_rows_after(trace->last, trace->n, live->own.counted_from);
    live_forget_pending(live, trace);
    trace->through = decision->through;
    live->own.undecided -= trace->n;
    if (position > live->own.counted_from)
        live_count_decision(live, &decision->outcome, trace->n);
    if (!is_kept || !to_store)
        live->own.ledger.pending -= trace->n;
    if (!to_store && position <= live->own.forwarded_from) {
        live_release(live, trace);
        return false;
    }
    decided_add(decided, trace, &decision->outcome, decision->votes);
    return true;
}

enum mg_err live_replay_decisions(struct live *live, const struct journal_record *record, struct mg_why *why)
{
    struct decided *decided = decided_new(live);
    struct decision_reader reader;
    struct decision decision;
    enum mg_err err = decision_read(&reader, record->body);
    bool any = false;

    live->own.position = MG_MAX(live->own.position, record->position);
    live->own.log_ns = record->log_ns;
    while (err == MG_OK && reader.at < reader.end)
        if ((err = decision_next(&reader, &decision)) == MG_OK)
            any |= apply(live, &decision, record->position, decided);
    decided->record.position = record->position;
    decided->record.log_ns = record->log_ns;
    decided->record.wall_ns = record->wall_ns;
    if (any)
        live_close_traces(live, decided);
    else
        decided_free(&decided);
    metric_add(live->metrics, LIVE_replayed, 0, 0, 1);
    live->own.is_dirty = true;
    if (err != MG_OK)
        return mg_fail(why, err, "decisions record at position %llu is malformed", (unsigned long long)record->position);
    return live->own.is_stopping ? MG_E_BUSY : MG_OK;
}

void live_reconcile(struct live *live)
{
    struct live_ledger *ledger = &live->own.ledger;
    uint64_t found = ledger->stored + ledger->sampled_out + ledger->duplicate + ledger->pending;

    if (ledger->accepted == found)
        return;
    LOG(ERROR, "the log is not whole: a part of it was damaged or removed, or this is a restored backup, which has no pending spans",
        F_U64("spans_lost", ledger->accepted > found ? ledger->accepted - found : 0), F_U64("accepted", ledger->accepted), F_U64("found", found));
    if (ledger->accepted > found)
        ledger->lost += ledger->accepted - found;
    ledger->accepted = found; /* stored ones can be more: their count is as of C, that of the accepted as of P */
    live->own.is_dirty = true;
}
