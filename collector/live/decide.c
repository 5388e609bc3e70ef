/* decide.c - which traces are due and why, and the way of their decisions into the log. */
#include "live/private.h"
#include "base/clock.h"

/* Due decisions are gathered for 10 ms, so that a busy log gets few records of many. */
#define GATHER_NS UINT64_C(10000000)
enum { DECISIONS_A_RECORD = 4096 };

/* --- into the log ----------------------------------------------------------------------------------- */

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

/* A log that refuses keeps its decisions in memory, and so do rules that wait for the store: their traces are simply undecided after a
 * crash, which also forgets the number of such rules. */
static void append(struct live *live, struct decided *decided)
{
    decided->record = (struct journal_record){ .kind = JOURNAL_DECISIONS, .wall_ns = decided->record.wall_ns,
                                               .body = buf_str(&decided->body), .done = on_decision_durable };
    if (!store_rules_wait(live->store) && journal_append(live->journal, &decided->record) == MG_OK)
        return;
    list_add_last(&live->own.failed, &decided->link);
    live->own.retry_at_mono_ns = clock_mono_ns() + SECOND_NS;
}

void live_retry_failed(struct live *live)
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

/* --- what is due -------------------------------------------------------------------------------------- */

static void decide_record(struct live *live, struct decided **open, struct trace *trace, enum trigger trigger)
{
    struct decision decision = { .from = trace->older && trace->older->is_decided ? trace->older->through : 0, .through = live->own.position };

    if (!*open) {
        *open = decided_new(live);
        (*open)->record.wall_ns = clock_wall_ns(); /* not when the log takes it, which may be much later */
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

void live_decide_due(struct live *live)
{
    const struct decision_conf *conf = &live->own.decisions;
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

uint64_t live_until_due_ns(const struct live *live)
{
    const struct decision_conf *conf = &live->own.decisions;
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
