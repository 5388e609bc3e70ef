/* lookup.c - what other threads may ask: rows of traces by a message to live's thread, everything else out of what was published last. */
#include "live/private.h"

/* --- rows of traces --------------------------------------------------------------------------------- */

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

void live_on_lookup(struct live *live, struct live_note *note)
{
    struct lookup *lookup = MG_CONTAINER(note, struct lookup, note);

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

/* --- what was published ----------------------------------------------------------------------------- */

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
