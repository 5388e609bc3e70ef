/* What leaves the queue without the peer's word: too old, damaged, or more than the queue holds. Each loss is counted, and told once a
 * minute. */
#include "send/private.h"
#include <stdio.h>
#include "base/log.h"

static const char *const outcome_names[] = {"sent", "refused", "queue_full", "too_old", "disk"};

/* --- what is gone --- */

static void loss_log(struct send *send, enum outcome outcome)
{
    struct send_loss *loss = &send->own.losses[outcome];
    LOG(WARN, "export lost spans", F_TEXT("exporter", send->wire.name), F_TEXT("outcome", outcome_names[outcome]),
        F_U64("spans", loss->spans), F_U64("batches", loss->batches), F_TEXT("reason", loss->reason));
    loss->spans = loss->batches = 0;
    loss->log_at_ns = send->mono_ns() + SEND_LOG_EVERY_NS;
}

void bound_lost(struct send *send, enum outcome outcome, uint64_t spans, uint64_t batches, const char *reason)
{
    struct send_loss *loss = &send->own.losses[outcome];
    send_count(send, outcome, spans, batches);
    loss->spans += spans;
    loss->batches += batches;
    snprintf(loss->reason, sizeof loss->reason, "%s", reason);
    send->own.is_dirty = true;
}

void bound_log_losses(struct send *send)
{
    uint64_t now = send->mono_ns();
    for (enum outcome outcome = OUT_REFUSED; outcome < OUT_COUNT; outcome++) {
        const struct send_loss *loss = &send->own.losses[outcome];
        if ((loss->spans || loss->batches) && now >= loss->log_at_ns)
            loss_log(send, outcome);
    }
}

void bound_leave(struct send *send, const struct ticket *ticket)
{
    send->own.batches--;
    send->own.spans -= ticket->spans;
    send->own.bytes -= (int64_t)ticket->bytes;
    send->own.is_dirty = true;
}

void bound_drop(struct send *send, const struct ticket *ticket, enum outcome outcome, const char *reason)
{
    const struct send_progress *done = &ticket->done;
    bound_leave(send, ticket);
    if (done->spans)
        send_count(send, OUT_SENT, done->spans - done->refused, 0);
    if (done->refused)
        bound_lost(send, OUT_REFUSED, done->refused, 0, "the peer refused a part");
    bound_lost(send, outcome, ticket->spans - done->spans, 1, reason);
}

void bound_missing(struct send *send, enum outcome outcome, uint64_t spans, uint64_t batches, const char *reason)
{
    if (!batches)
        return;
    send->own.batches -= (int64_t)batches;
    send->own.spans -= (int64_t)spans;
    bound_lost(send, outcome, spans, batches, reason);
}

void bound_pass(struct send *send, uint64_t position, enum outcome outcome, const char *reason)
{
    struct journal_survey survey;
    if (position <= send->own.read_to)
        return;
    journal_survey(send->journal, send->own.read_to, position, &survey);
    bound_missing(send, outcome, 0, survey.held, reason);
    send->own.read_to = position;
    send->own.is_dirty = true;
}

/* --- bounds --- */

static uint64_t believed_wall(struct send *send)
{
    uint64_t step, wall = clock_age_now(&send->own.age, send->wall_ns(), send->mono_ns(), &step);
    if (step && send->own.conf.retry_for_ns)
        LOG(WARN, "the wall clock was set forward: for an hour no batch is dropped for its age by that", F_TEXT("exporter", send->wire.name),
            F_U64("step_s", step / 1000000000));
    return wall;
}

bool bound_is_too_old(struct send *send, const struct ticket *ticket)
{
    uint64_t most = send->own.conf.retry_for_ns, now = believed_wall(send);
    return most && now > ticket->wall_ns && now - ticket->wall_ns >= most;
}

/* Tried batches, and while the peer refuses everything those that come next, too. */
static void drop_old(struct send *send)
{
    (void)believed_wall(send); /* a step is to be noticed when it comes, also while nothing is old */
    if (!send->own.conf.retry_for_ns)
        return;
    for (size_t i = send->own.parked.n; i-- > 0;) {
        struct ticket ticket = send->own.parked.at[i];
        if (ticket.attempts == 0 || !bound_is_too_old(send, &ticket))
            continue;
        dispatch_unpark(send, i);
        bound_drop(send, &ticket, OUT_TOO_OLD, "retry_for has passed");
    }
    while (dispatch_is_down(send) && dispatch_fill(send)) {
        struct ticket ticket = dispatch_ahead(send);
        if (!bound_is_too_old(send, &ticket))
            return;
        dispatch_pass(send);
        bound_drop(send, &ticket, OUT_TOO_OLD, "retry_for has passed");
    }
}

static void evict_unread(struct send *send, uint64_t position)
{
    static const char reason[] = "the queue is full";
    send->own.read_at_ns = 0; /* what could not be read a moment ago is tried once more before it is given up */
    while (send->own.read_to < position && dispatch_fill(send) && send->own.ahead.record.position <= position) {
        struct ticket ticket = dispatch_ahead(send);
        dispatch_pass(send);
        bound_drop(send, &ticket, OUT_QUEUE_FULL, reason);
    }
    bound_pass(send, position, OUT_QUEUE_FULL, reason); /* what is left cannot be read */
    send->own.read_at_ns = 0;
}

static void evict(struct send *send, uint64_t position)
{
    for (size_t i = send->own.parked.n; i-- > 0;) {
        struct ticket ticket = send->own.parked.at[i];
        if (ticket.number > position)
            continue;
        dispatch_unpark(send, i);
        bound_drop(send, &ticket, OUT_QUEUE_FULL, "the queue is full");
    }
    LIST_EACH(&send->own.flights, link) {
        struct flight *flight = MG_CONTAINER(link, struct flight, link);
        flight->is_evicted |= flight->ticket.number <= position;
    }
    evict_unread(send, position);
}

bool bound_work(struct send *send)
{
    uint64_t queue = send->own.conf.queue_bytes, segment = send->segment_bytes;
    uint64_t most = queue > 2 * segment ? queue - segment : segment; /* a recycled one is kept besides */
    uint64_t position = journal_trim_to_fit(send->journal, most);

    drop_old(send);
    if (position > dispatch_finished(send))
        evict(send, position);
    return position > send->own.trimmed_to;
}
