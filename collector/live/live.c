/* live.c - the steady state: a round takes everything that waits, applies it in order, decides what is due,
 * publishes the ledger, and only then lets the acks go, so that an acked span is already counted and visible.
 *
 * A decided trace keeps its record until the store and forward have it: look-ups find its rows, and a row that comes
 * meanwhile starts a new record in front of it. */
#include "live/private.h"
#include <assert.h>
#include "base/clock.h"

static const struct metric_row live_metric_rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "live/metrics.def"
#undef METRIC
};

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

/* --- the round -------------------------------------------------------------------------------------- */

static void send_acks(struct live *live)
{
    for (size_t i = 0; i < live->own.acks.n; i++) {
        live->own.acks.at[i]->err = MG_OK;
        live->own.acks.at[i]->ack(live->own.acks.at[i]);
    }
    VEC_CLEAR(&live->own.acks);
}

static void serve(struct live *live, struct queue_item *item)
{
    struct queue_item *next;

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
            live_on_lookup(live, note);
            break;
        }
    }
}

void live_serve_queue(struct live *live, uint64_t timeout_ns)
{
    serve(live, queue_take(live->queue, timeout_ns, NULL));
}

static void round_of(struct live *live, uint64_t timeout_ns)
{
    uint64_t begin_ns = clock_thread_cpu_ns(), inserted_ns;
    struct queue_item *items = queue_take(live->queue, timeout_ns, NULL);

    judge_take_reload(live); /* after the wait: a batch sent after a reload is judged by its rules */
    serve(live, items);
    live_publish(live);
    send_acks(live);
    inserted_ns = clock_thread_cpu_ns();
    if (!live->own.is_stopping) {
        judge_watch(live);
        live_decide_due(live);
        live_retry_failed(live);
    }
    if (live->own.is_dirty && clock_mono_ns() >= live->own.snapshot_at_mono_ns)
        live_snapshot(live);
    live_seal_old(live);
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
        round_of(live, live_until_due_ns(live));
    round_of(live, 0); /* what was pushed before the stop was seen */
    live_snapshot(live);
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
    pthread_mutex_lock(&live->shared.lock);
    live->shared.conf = *conf;
    live->shared.decisions = *decisions;
    pthread_mutex_unlock(&live->shared.lock);
    queue_wake(live->queue);
}

struct live *live_new(const struct live_options *options)
{
    struct live *live = MEM_NEW(struct live);

    live->options = *options;
    live->own.conf = live->shared.conf = *options->conf;
    live->own.decisions = live->shared.decisions = *options->decisions;
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
    live_read_snapshot(live, store_recovered(live->store));
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
