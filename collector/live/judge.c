/* judge.c - live's side of sampling: which rules are in force, what an earlier decision says, the overload ladder.
 *
 * A record whose trace was decided before follows that decision (R6): while the decided rows are still in the ring the older record tells
 * it, afterwards the verdict table does. At start the table gets back what the store has of the newest decisions, after the replay:
 * during it every decision of the log is met in its place, and a row must not follow one that comes later in the log. */
#include <assert.h>
#include "base/clock.h"
#include "live/private.h"
#include "store/view.h"

#define LADDER_HOLD_NS UINT64_C(2000000000)
#define FLOOR_BYTES_MAX 4096

static void on_recent(void *owner, uint64_t hash, uint64_t outcome)
{
    struct live *live = owner;

    live->own.recent.at[live->own.recent.n++] = (struct recent){ hash, outcome };
}

static void read_recent(struct live *live, uint64_t verdicts_bytes)
{
    size_t most = verdicts_bytes / 2 / sizeof(struct recent) * 3 / 4;

    live->own.recent.at = mem_alloc(MG_MAX(most, (size_t)1) * sizeof *live->own.recent.at);
    store_recent_verdicts(live->store, most, on_recent, live);
}

/* Operations that the store knows are not the first of their kind. */
static void know_operations(struct store *store, struct sampler *sampler)
{
    struct catalog *catalog = catalog_new();
    struct catalog_operation *operations;
    struct str *services;
    struct arena arena = { 0 };

    store_catalog(store, catalog);
    for (size_t i = 0, n = catalog_services(catalog, &arena, &services); i < n; i++)
        for (size_t k = 0, m = catalog_operations(catalog, services[i], &arena, &operations); k < m; k++)
            sampler_know(sampler, services[i], operations[k].name);
    arena_fini(&arena);
    catalog_free(&catalog);
}

static struct sampler *make_sampler(struct store *store, struct sample_rules *rules, uint32_t generation)
{
    const struct sampler_options options = { .rules = rules, .generation = generation };
    struct sampler *sampler = sampler_new(&options);

    know_operations(store, sampler);
    return sampler;
}

void judge_init(struct live *live)
{
    static const struct sample_conf off; /* what holds without a configuration */
    const struct sample_conf *sampling = live->options.sampling ? live->options.sampling : &off;
    struct sample_rules *rules = live->options.rules;

    live->own.has_overload = sampling->overload;
    live->own.verdicts = verdict_table_new(sampling->verdicts_bytes);
    ladder_init(&live->own.ladder, LADDER_HOLD_NS);
    buf_init(&live->own.floor, FLOOR_BYTES_MAX);
    pthread_mutex_init(&live->reload.lock, NULL);
    read_recent(live, sampling->verdicts_bytes); /* also when sampling is off: a reload may switch it on */
    if (!rules)
        return;
    live->own.sampler = make_sampler(live->store, rules, live->options.rules_generation);
    live->reload.is_sampling = true;
    tally_rules(&live->own.tally, rules, live->options.rules_generation);
}

void judge_fini(struct live *live)
{
    sampler_free(&live->own.sampler);
    sampler_free(&live->shared.rules.sampler);
    buf_fini(&live->own.floor);
    verdict_table_free(&live->own.verdicts);
    sample_rules_unref(&live->shared.rules.rules);
    mem_free(live->own.recent.at);
    VEC_FINI(&live->own.settled);
    VEC_FINI(&live->shared.policies);
    pthread_mutex_destroy(&live->reload.lock);
}

/* --- what the floor has used ------------------------------------------------------------------------ */

void judge_save_floor(struct live *live, struct buf *out)
{
    if (live->own.sampler)
        sampler_save(live->own.sampler, out);
    else
        buf_put_str(out, buf_str(&live->own.floor));
}

void judge_load_floor(struct live *live, struct str bytes)
{
    if (live->own.sampler) {
        sampler_load(live->own.sampler, bytes);
        return;
    }
    buf_clear(&live->own.floor);
    buf_put_str(&live->own.floor, bytes);
    if (buf_err(&live->own.floor) != MG_OK) /* no sampler wrote that */
        buf_clear(&live->own.floor);
}

/* --- reload ----------------------------------------------------------------------------------------- */

/* The catalog can be large: so a sampler that will be needed is made here, and live's thread only takes it. It is when the rules given
 * before were none. One that still waits goes with rules that switch sampling off again, and takes newer ones with live. */
void live_reload_rules(struct live *live, const struct sample_conf *sampling, struct sample_rules *rules, uint32_t generation)
{
    struct sampler *made = NULL, *unused = NULL;

    pthread_mutex_lock(&live->reload.lock);
    if (rules && !live->reload.is_sampling)
        made = make_sampler(live->store, rules, generation);
    live->reload.is_sampling = rules != NULL;
    pthread_mutex_lock(&live->shared.lock);
    live->shared.rules.has_overload = sampling->overload;
    live->shared.rules.verdicts_bytes = sampling->verdicts_bytes;
    sample_rules_unref(&live->shared.rules.rules);
    live->shared.rules.rules = rules ? sample_rules_ref(rules) : NULL;
    live->shared.rules.generation = generation;
    live->shared.rules.is_new = true;
    if (!rules)
        unused = MG_STEAL(live->shared.rules.sampler);
    else if (made)
        live->shared.rules.sampler = made;
    pthread_mutex_unlock(&live->shared.lock);
    sampler_free(&unused);
    pthread_mutex_unlock(&live->reload.lock);
    queue_wake(live->queue);
}

static void switch_off(struct live *live)
{
    if (!live->own.sampler)
        return;
    judge_count(live);
    buf_clear(&live->own.floor);
    sampler_save(live->own.sampler, &live->own.floor);
    assert(buf_err(&live->own.floor) == MG_OK);
    sampler_free(&live->own.sampler);
}

/* Made: not NULL while sampling is off; when it was switched off and on again in between, the old one goes on. */
static void switch_on(struct live *live, struct sampler **made, struct sample_rules *rules, uint32_t generation)
{
    assert(live->own.sampler || *made);
    if (!live->own.sampler) {
        live->own.sampler = MG_STEAL(*made);
        live->own.told = (struct sampler_stats){ 0 };
        sampler_load(live->own.sampler, buf_str(&live->own.floor));
    }
    sampler_reload(live->own.sampler, rules, generation);
    tally_rules(&live->own.tally, rules, generation);
}

void judge_take_reload(struct live *live)
{
    struct sample_rules *rules;
    struct sampler *made;
    uint32_t generation;
    uint64_t verdicts_bytes;
    bool is_new, has_overload;

    pthread_mutex_lock(&live->shared.lock);
    live->own.conf = live->shared.conf;
    live->own.decisions = live->shared.decisions;
    is_new = live->shared.rules.is_new;
    has_overload = live->shared.rules.has_overload;
    verdicts_bytes = live->shared.rules.verdicts_bytes;
    rules = MG_STEAL(live->shared.rules.rules);
    generation = live->shared.rules.generation;
    made = MG_STEAL(live->shared.rules.sampler);
    live->shared.rules.is_new = false;
    pthread_mutex_unlock(&live->shared.lock);
    if (!is_new)
        return;
    live->own.has_overload = has_overload;
    verdict_table_limit(live->own.verdicts, verdicts_bytes);
    if (rules)
        switch_on(live, &made, rules, generation);
    else
        switch_off(live);
    live->own.is_dirty = true;
    sampler_free(&made);
    sample_rules_unref(&rules);
}

/* --- decisions -------------------------------------------------------------------------------------- */

void judge_row(struct live *live, struct trace *trace, const struct row *row, bool is_counted)
{
    if (is_counted && live->options.head) /* also without tail sampling: what clients are told goes by it */
        head_count(live->options.head, row, segment_of(row)->epoch);
    if (!live->own.sampler || !sampler_add(live->own.sampler, &trace->facts, row) || trace->is_settled)
        return;
    trace->is_settled = true;
    VEC_PUSH(&live->own.settled, trace);
}

uint64_t judge_follow(const struct live *live, const struct trace *trace)
{
    if (!live->own.sampler)
        return 0;
    if (trace->older && trace->older->outcome)
        return trace->older->outcome;
    return verdict_find(live->own.verdicts, trace_hash(trace->id));
}

void judge_decide(struct live *live, struct trace *trace, enum trigger trigger, struct outcome *out, struct str *votes)
{
    const struct sample_trace asked = {
        .last = trace->last, .n = trace->n, .bytes = trace->bytes, .facts = &trace->facts, .trigger = trigger, .log_ns = journal_time_ns(live->journal),
        .overload_threshold = live->own.has_overload ? ladder_threshold(&live->own.ladder) : 0 };

    *votes = STR("");
    if (!live->own.sampler) {
        *out = (struct outcome){ .verdict = VERDICT_KEPT, .trigger = trigger };
        return;
    }
    if (outcome_unpack(trace->outcome, out))
        out->trigger = TRIGGER_LATE;
    else
        sampler_decide(live->own.sampler, &asked, out, votes);
}

void judge_remember(struct live *live, const uint8_t trace_id[16], const struct outcome *outcome)
{
    if (live->own.sampler && outcome->reason != REASON_NONE)
        verdict_put(live->own.verdicts, trace_hash(trace_id), outcome_pack(outcome));
}

/* Undecided records of traces that were decided before the log's beginning turn out to be late. */
static void find_late(struct live *live)
{
    LIST_EACH(&live->own.by_deadline, link) {
        struct trace *trace = MG_CONTAINER(link, struct trace, deadline_link);
        if (trace->is_late || !(trace->outcome = judge_follow(live, trace)))
            continue;
        trace->is_late = true;
        live->own.ledger.late += live_rows_after(trace->last, trace->n, live->own.counted_from);
        list_remove(&trace->root_link);
        list_add_last(&live->own.by_late, &trace->root_link);
    }
}

void judge_after_replay(struct live *live)
{
    for (size_t i = 0; i < live->own.recent.n; i++)
        if (!verdict_put_old(live->own.verdicts, live->own.recent.at[i].hash, live->own.recent.at[i].outcome))
            break;
    find_late(live);
    mem_free(live->own.recent.at);
    live->own.recent.at = NULL;
    live->own.recent.n = 0;
}

/* --- overload --------------------------------------------------------------------------------------- */

static void on_step(struct live *live, double pressure)
{
    const struct ladder *ladder = &live->own.ladder;

    live->ladder_step = ladder->step;
    if (ladder->step != LADDER_NONE)
        metric_add(live->metrics, LIVE_ladder_steps, (unsigned)ladder->step - 1, 0, 1);
    LOG(WARN, ladder->step == LADDER_NONE ? "overload is over" : "overload: less is kept", F_TEXT("step", ladder_name(ladder->step)),
        F_U64("ring_percent", (uint64_t)(pressure * 100)), F_U64("head_rates_divided_by", UINT64_C(1) << ladder->head_shift),
        F_U64("traces_divided_by", UINT64_C(1) << ladder->tail_shift));
}

void judge_watch(struct live *live)
{
    struct ladder *ladder = &live->own.ladder;
    double free = (double)credit_free(live->credit), pressure = 1 - free / (double)live->credit->budget, factor = ladder_head_factor(ladder);

    if (!live->own.sampler || !live->own.has_overload)
        pressure = 0;
    if (ladder_observe(ladder, pressure, clock_mono_ns()))
        on_step(live, pressure);
    if (live->options.head && ladder_head_factor(ladder) != factor)
        head_overload(live->options.head, ladder_head_factor(ladder));
}

enum ladder_step live_ladder(const struct live *live)
{
    return (enum ladder_step)live->ladder_step;
}

void judge_count(struct live *live)
{
    struct sampler_stats stats;

    if (!live->own.sampler)
        return;
    sampler_stat(live->own.sampler, &stats);
    for (unsigned i = 0; i < MG_COUNT(stats.floor_refused); i++)
        if (stats.floor_refused[i] > live->own.told.floor_refused[i])
            metric_add(live->metrics, LIVE_floor_refused, i, 0, stats.floor_refused[i] - live->own.told.floor_refused[i]);
    live->own.told = stats;
}
