/* How it works: batches are read from the journal one after the other (`ahead` is the next one) and become
 * flights. A flight that is to be tried again leaves its body behind and becomes a ticket in `parked`; when
 * its time comes the body is read a second time, by a reader of its own, so that the first keeps its place.
 * So memory holds the bodies at the wire and one more, whatever the peer does.
 *
 * Does the peer refuse everything, or one batch only? Two different batches that failed, with no other answer
 * between or since, mean the peer. Then one batch probes at a time: at first such that were never tried, so
 * that a few poisonous ones cannot hold up the rest for ever. Any other answer ends that. Only the first
 * failure of a batch says something of the peer, or a few poisonous ones would make it look dead again and
 * again. One that failed, saw others answered, and failed again is doubtful: it keeps its own waits and never
 * has more than half of the places at the wire.
 *
 * read_to, the flights and the parked tickets together say what is finished; see state.h. */
#include "send/private.h"
#include <assert.h>
#include <stdio.h>
#include "base/log.h"
#include "base/mem.h"

/* --- reading --- */

void dispatch_unpark(struct send *send, size_t i)
{
    send->own.parked.at[i] = send->own.parked.at[send->own.parked.n - 1];
    send->own.parked.n--;
}

struct ticket dispatch_ahead(const struct send *send)
{
    const struct journal_record *record = &send->own.ahead.record;
    return (struct ticket){.number = record->position,
                           .wall_ns = record->wall_ns,
                           .bytes = record->head.len + record->body.len,
                           .spans = send->own.ahead.meta.spans};
}

void dispatch_pass(struct send *send)
{
    send->own.read_to = send->own.ahead.record.position;
    send->own.ahead.is_read = false;
    send->own.is_dirty = true;
}

static void read_failed(struct send *send, const struct mg_why *why)
{
    LOG_EVERY(60, WARN, "export queue cannot be read: it is tried again", F_TEXT("exporter", send->wire.name),
              F_WHY(why));
}

static enum mg_err next_read(struct send *send, struct journal_record *record, bool *is_record,
                             struct mg_why *why)
{
    struct journal_stats before;
    journal_stat(send->journal, &before);
    MG_TRY(journal_read(send->own.reader, send->own.read_to, record, is_record, why));
    bound_pass(send, *is_record ? record->position - 1 : before.next_position - 1, OUT_DISK, BOUND_DAMAGE);
    return MG_OK;
}

/* Is there a next batch? */
bool dispatch_fill(struct send *send)
{
    struct journal_record *record = &send->own.ahead.record;
    struct mg_why why = {""};
    bool is_record;

    while (!send->own.ahead.is_read) {
        if (send->mono_ns() < send->own.read_at_ns)
            return false;
        if (next_read(send, record, &is_record, &why) != MG_OK) {
            read_failed(send, &why);
            send->own.read_at_ns = send->mono_ns() + SEND_AGAIN_NS;
            return false;
        }
        if (!is_record)
            return false;
        send->own.ahead.meta = (struct record_meta){0};
        send->own.ahead.is_read = record_meta_read(record->head, &send->own.ahead.meta, &why) == MG_OK;
        if (!send->own.ahead.is_read) {
            struct ticket ticket = dispatch_ahead(send);
            bound_drop(send, &ticket, OUT_DISK, why.text);
            dispatch_pass(send);
        }
    }
    return true;
}

/* --- sending --- */

bool dispatch_is_down(const struct send *send)
{
    return send->own.failed >= 2;
}

/* The wait after the n-th failure: doubled each time, shortened by up to half; n is at least 1. */
static uint64_t wait_after(struct send *send, unsigned n, uint64_t hint_ms)
{
    const struct send_conf *conf = &send->own.conf;
    uint64_t wait = MG_MIN(conf->retry_initial_ns, conf->retry_max_ns);
    for (unsigned i = 1; i < n && wait < conf->retry_max_ns; i++)
        wait = MG_MIN(wait * 2, conf->retry_max_ns);
    wait -= random_below(&send->own.random, wait / 2 + 1);
    uint64_t hint = MG_MIN(hint_ms, SEND_HINT_MAX_NS / 1000000) * 1000000;
    return MG_MAX(wait, hint);
}

static void flight_free(struct flight *flight)
{
    list_remove(&flight->link);
    buf_fini(&flight->body);
    mem_free(flight);
}

static void flight_begin(struct send *send, const struct ticket *ticket, struct buf body)
{
    struct flight *flight = MEM_NEW(struct flight);
    flight->send = send;
    flight->ticket = *ticket;
    flight->body = body;
    flight->batch = (struct send_batch){.body = buf_str(&body), .spans = ticket->spans, .done = ticket->done, .number = ticket->number};
    flight->begun_ns = send->mono_ns();
    flight->is_probe = dispatch_is_down(send);
    list_add_last(&send->own.flights, &flight->link);
    send->own.n_flights++;
    send->wire.send(send->wire.wire, &flight->batch); /* may be answered and gone already */
}

static void record_begin(struct send *send, const struct journal_record *record, const struct record_meta *meta,
                         const struct ticket *ticket)
{
    struct mg_why why = {""};
    struct buf body;
    buf_init(&body, SIZE_MAX);
    if (record_unpack(send->own.zip, send->wire.encoding, record, meta, &body, &why) == MG_OK) {
        flight_begin(send, ticket, body);
        return;
    }
    buf_fini(&body);
    bound_drop(send, ticket, OUT_DISK, why.text);
}

/* Gives up the doubtful one that was tried most. */
static bool doubtful_drop(struct send *send)
{
    size_t worst = SIZE_MAX;
    for (size_t i = 0; i < send->own.parked.n; i++) {
        const struct ticket *t = &send->own.parked.at[i];
        if (t->is_doubtful && (worst == SIZE_MAX || t->attempts > send->own.parked.at[worst].attempts))
            worst = i;
    }
    if (worst == SIZE_MAX)
        return false;
    struct ticket ticket = send->own.parked.at[worst];
    dispatch_unpark(send, worst);
    bound_drop(send, &ticket, OUT_TOO_OLD, "it fails while others succeed, and too many such wait");
    return true;
}

/* May one more become unfinished? A peer that is down costs no batch: its probes have all the room that the
 * state file has. Else what is doubtful makes room; without such the parked ones have to go first. */
static bool has_room(struct send *send)
{
    size_t n = send->own.parked.n + send->own.n_flights;
    if (dispatch_is_down(send))
        return n < STATE_UNFINISHED_MAX;
    return n < SEND_PARKED_MAX || doubtful_drop(send);
}

static bool begin_next(struct send *send)
{
    if (!dispatch_fill(send) || !has_room(send))
        return false;
    struct ticket ticket = dispatch_ahead(send);
    dispatch_pass(send);
    record_begin(send, &send->own.ahead.record, &send->own.ahead.meta, &ticket); /* still the reader's memory */
    return true;
}

static void begin_parked(struct send *send, size_t i)
{
    struct ticket *parked = &send->own.parked.at[i], ticket = *parked;
    struct journal_record record;
    struct record_meta meta;
    struct mg_why why = {""};
    bool is_record;

    if (journal_read(send->own.searcher, ticket.number - 1, &record, &is_record, &why) != MG_OK) {
        read_failed(send, &why);
        parked->attempts++; /* as if the peer had failed: others have their turn, and it gets old */
        parked->due_ns = send->mono_ns() + wait_after(send, parked->attempts, 0);
        return;
    }
    dispatch_unpark(send, i);
    if (!is_record || record.position != ticket.number)
        bound_drop(send, &ticket, OUT_DISK, BOUND_DAMAGE);
    else if (record_meta_read(record.head, &meta, &why) != MG_OK)
        bound_drop(send, &ticket, OUT_DISK, why.text);
    else
        record_begin(send, &record, &meta, &ticket);
}

static uint64_t doubtful_at_wire(const struct send *send)
{
    uint64_t n = 0;
    LIST_EACH(&send->own.flights, link)
        n += MG_CONTAINER(link, struct flight, link)->ticket.is_doubtful;
    return n;
}

/* The oldest that is due. A doubtful one may take the whole timeout, so they never have all places. */
static bool begin_due(struct send *send)
{
    uint64_t now = send->mono_ns(), most_doubtful = MG_MAX(send->own.conf.in_flight / 2, (uint64_t)1);
    bool takes_doubtful = doubtful_at_wire(send) < most_doubtful;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < send->own.parked.n; i++) {
        const struct ticket *t = &send->own.parked.at[i];
        if (t->due_ns <= now && (takes_doubtful || !t->is_doubtful) &&
            (best == SIZE_MAX || t->number < send->own.parked.at[best].number))
            best = i;
    }
    if (best == SIZE_MAX)
        return false;
    begin_parked(send, best);
    return true;
}

/* By turns one that is tried again and a new one, so that neither kind holds up the other. */
static bool begin_one(struct send *send)
{
    send->own.is_turn_of_due = !send->own.is_turn_of_due;
    if (send->own.is_turn_of_due)
        return begin_due(send) || begin_next(send);
    return begin_next(send) || begin_due(send);
}

/* The one that was tried least. */
static void begin_probe(struct send *send)
{
    size_t best = 0;
    if (begin_next(send) || send->own.parked.n == 0)
        return;
    for (size_t i = 1; i < send->own.parked.n; i++) {
        const struct ticket *t = &send->own.parked.at[i], *b = &send->own.parked.at[best];
        if (t->attempts < b->attempts || (t->attempts == b->attempts && t->number < b->number))
            best = i;
    }
    begin_parked(send, best);
}

void dispatch_pump(void *owner)
{
    struct send *send = owner;
    uint64_t most = send->own.conf.in_flight;

    while (!send->own.is_stopping && !dispatch_is_down(send) && send->own.n_flights < most)
        if (!begin_one(send))
            return;
    if (!send->own.is_stopping && dispatch_is_down(send) && send->own.n_flights == 0 &&
        send->mono_ns() >= send->own.probe_at_ns)
        begin_probe(send);
}

/* --- answers --- */

static void error_keep(struct send *send, const char *reason)
{
    struct send_stats *stats = &send->shared.stats;
    pthread_mutex_lock(&send->shared.lock);
    snprintf(stats->last_error, sizeof stats->last_error, "%s", reason);
    pthread_mutex_unlock(&send->shared.lock);
}

/* The peer answers: what waited for that need not wait longer, but for what fails all the same. */
static void peer_works(struct send *send)
{
    bool was_down = dispatch_is_down(send);
    send->own.run++;
    send->own.failed = send->own.probes = 0;
    for (size_t i = 0; i < send->own.parked.n && was_down; i++)
        if (!send->own.parked.at[i].is_doubtful)
            send->own.parked.at[i].due_ns = 0;
    if (!send->own.is_failing)
        return;
    send->own.is_failing = false;
    LOG(INFO, "export works again", F_TEXT("exporter", send->wire.name),
        F_U64("waiting_spans", (uint64_t)MG_MAX(send->own.spans, (int64_t)0)));
}

static void peer_fails(struct send *send, const char *reason)
{
    uint64_t now = send->mono_ns();
    if (send->own.is_failing || now < send->own.fail_log_at_ns)
        return;
    send->own.is_failing = true;
    send->own.fail_log_at_ns = now + SEND_LOG_EVERY_NS;
    LOG(WARN, "export fails: its batches wait", F_TEXT("exporter", send->wire.name), F_TEXT("reason", reason));
}

/* The failure counts for the batch and, when it is its first and the second one's, for the peer. */
static void failure_count(struct send *send, struct flight *flight, uint64_t hint_ms)
{
    struct ticket *ticket = &flight->ticket;
    bool was_down = dispatch_is_down(send);
    ticket->attempts++;
    if (!ticket->failed_run)
        send->own.failed++;
    ticket->is_doubtful |= ticket->failed_run && ticket->failed_run != send->own.run;
    ticket->failed_run = send->own.run;
    ticket->due_ns = send->mono_ns() + wait_after(send, ticket->attempts, hint_ms);
    if (!dispatch_is_down(send))
        return;
    if (flight->is_probe || !was_down)
        send->own.probes++;
    uint64_t probe_at = send->mono_ns() + wait_after(send, send->own.probes, hint_ms);
    if (flight->is_probe || !was_down)
        send->own.probe_at_ns = probe_at;
    else /* it was at the wire when the others failed: only its hint counts */
        send->own.probe_at_ns = MG_MAX(send->own.probe_at_ns, hint_ms ? probe_at : 0);
}

static void on_retry(struct send *send, struct flight *flight, const struct send_result *result)
{
    const char *reason = result->reason ? result->reason : "no reason given";
    if (!send->own.is_closing) { /* else our own doing: it stays in the queue as it was */
        error_keep(send, reason);
        peer_fails(send, reason);
        failure_count(send, flight, result->retry_after_ms);
    }
    if (flight->is_evicted)
        bound_drop(send, &flight->ticket, OUT_QUEUE_FULL, "the queue is full");
    else if (!send->own.is_closing && bound_is_too_old(send, &flight->ticket))
        bound_drop(send, &flight->ticket, OUT_TOO_OLD, reason);
    else
        VEC_PUSH(&send->own.parked, flight->ticket);
}

static void on_taken(struct send *send, const struct flight *flight, const struct send_result *result)
{
    uint32_t refused = MG_MIN(result->refused_spans, flight->ticket.spans);
    bound_leave(send, &flight->ticket);
    send_count(send, OUT_SENT, flight->ticket.spans - refused, 1);
    if (refused)
        bound_lost(send, OUT_REFUSED, refused, 0, result->reason ? result->reason : "the peer refused a part");
    error_keep(send, "");
    peer_works(send);
}

static void on_refused(struct send *send, const struct flight *flight, const struct send_result *result)
{
    const char *reason = result->reason ? result->reason : "no reason given";
    bound_drop(send, &flight->ticket, OUT_REFUSED, reason);
    error_keep(send, reason);
    peer_works(send);
}

void send_done(struct send_batch *batch, const struct send_result *result)
{
    struct flight *flight = MG_CONTAINER(batch, struct flight, batch);
    struct send *send = flight->send;

    assert(list_linked(&flight->link) && send->own.n_flights > 0);
    send->own.n_flights--;
    flight->ticket.done.spans = MG_MIN(result->done.spans, flight->ticket.spans);
    flight->ticket.done.refused = MG_MIN(result->done.refused, flight->ticket.done.spans);
    send_count_attempt(send, send->mono_ns() - flight->begun_ns, flight->ticket.attempts > 0);
    switch (result->verdict) {
    case SEND_TAKEN:
        on_taken(send, flight, result);
        break;
    case SEND_RETRY:
        on_retry(send, flight, result);
        break;
    case SEND_REFUSED:
        on_refused(send, flight, result);
        break;
    }
    flight_free(flight);
    if (!send->own.is_closing)
        loop_defer(send->own.loop, &send->own.pump);
}

/* --- what is left --- */

uint64_t dispatch_finished(const struct send *send)
{
    uint64_t first = send->own.read_to + 1;
    for (size_t i = 0; i < send->own.parked.n; i++)
        first = MG_MIN(first, send->own.parked.at[i].number);
    LIST_EACH(&send->own.flights, link) {
        const struct flight *flight = MG_CONTAINER(link, struct flight, link);
        if (!flight->is_evicted)
            first = MG_MIN(first, flight->ticket.number);
    }
    return first - 1;
}

uint64_t dispatch_oldest(const struct send *send)
{
    uint64_t oldest = send->own.ahead.is_read ? send->own.ahead.record.wall_ns : UINT64_MAX;
    for (size_t i = 0; i < send->own.parked.n; i++)
        oldest = MG_MIN(oldest, send->own.parked.at[i].wall_ns);
    LIST_EACH(&send->own.flights, link)
        oldest = MG_MIN(oldest, MG_CONTAINER(link, struct flight, link)->ticket.wall_ns);
    return oldest == UINT64_MAX ? 0 : oldest;
}

void dispatch_state(const struct send *send, struct state *state)
{
    state->read_to = send->own.read_to;
    for (size_t i = 0; i < send->own.parked.n; i++)
        VEC_PUSH(&state->unfinished, send->own.parked.at[i]);
    LIST_EACH(&send->own.flights, link) {
        const struct flight *flight = MG_CONTAINER(link, struct flight, link);
        if (!flight->is_evicted)
            VEC_PUSH(&state->unfinished, flight->ticket);
    }
}
