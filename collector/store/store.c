/* store.c - the block thread: what waits and when it is committed (commit.c), its life, and what others call
 * (collector/README.md R4). See store.h.
 *
 * Decided batches wait, unbuilt, until there are enough rows or the oldest is old enough; then all of them go into one commit. */
#include "store/private.h"
#include <assert.h>
#include "base/bytes.h"
#include "base/clock.h"

#define SECOND_NS UINT64_C(1000000000)
#define SNAPSHOT_NS (10 * SECOND_NS)
#define RETAIN_NS (60 * SECOND_NS)

static const struct metric_row store_metric_rows[] = {
#define METRIC(...) METRIC_TABLE(__VA_ARGS__)
#include "store/metrics.def"
#undef METRIC
};

uint64_t store_mono(const struct store *store)
{
    return store->options.mono_ns ? store->options.mono_ns() : clock_mono_ns();
}

uint64_t store_wall(const struct store *store)
{
    return store->options.wall_ns ? store->options.wall_ns() : clock_wall_ns();
}

/* --- the thread ------------------------------------------------------------------------------------- */

static uint64_t count_dropped(const struct store_batch *batch)
{
    uint64_t n = 0;

    for (size_t i = 0; i < batch->n; i++)
        n += !batch->fragments[i].is_kept;
    return n;
}

static void take(struct store *store, struct queue_item *item)
{
    for (struct queue_item *next; item; item = next) {
        struct store_batch *batch = MG_CONTAINER(item, struct store_batch, link);
        next = item->next;
        if (!store->own.first)
            store->own.since_mono_ns = store_mono(store);
        item->next = NULL;
        if (store->own.last)
            store->own.last->link.next = item;
        else
            store->own.first = batch;
        store->own.last = batch;
        store->own.rows += batch->rows;
        store->own.dropped += count_dropped(batch);
    }
}

static bool has_snapshot(struct store *store)
{
    bool has;

    pthread_mutex_lock(&store->shared.lock);
    has = store->shared.snapshot.number != store->shared.snapshot.committed;
    pthread_mutex_unlock(&store->shared.lock);
    return has;
}

/* When the next commit is due, on the monotonic clock; UINT64_MAX: nothing waits. */
static uint64_t commit_due(struct store *store)
{
    const struct store_conf conf = store_conf_now(store);
    uint64_t due = UINT64_MAX;

    if (store->own.first)
        due = store->own.is_hurried || store->own.rows >= conf.block_rows || store->own.dropped >= STORE_DROPPED_MAX
                  ? 0
                  : store->own.since_mono_ns + conf.block_age_ns;
    if (has_snapshot(store))
        due = MG_MIN(due, store->own.is_hurried ? 0 : store->own.committed_mono_ns + SNAPSHOT_NS);
    if (due > 0 && (store_rules_wait(store) || store_roll_cannot_wait(store)))
        due = 0;
    return MG_MAX(due, store->own.retry_mono_ns);
}

static uint64_t oldest_wall_ns(const struct store *store)
{
    for (size_t i = 0; i < store->shared.partitions.n; i++)
        if (store->shared.partitions.at[i]->spans > 0)
            return store->shared.partitions.at[i]->first_wall_ns;
    return 0;
}

static void publish_stats(struct store *store)
{
    struct store_stats stats = { .partitions = store->shared.partitions.n, .c = store->own.state.c, .p = store->own.state.p,
                                 .watermark = store->own.state.watermark, .cpu_ns = clock_thread_cpu_ns(),
                                 .waiting_rows = store->own.rows,
                                 .commits = metric_get(store->metrics, STORE_commits, 0, 0),
                                 .failed_commits = metric_get(store->metrics, STORE_failed_commits, 0, 0) };

    for (size_t i = 0; i < store->shared.partitions.n; i++) {
        struct partition *partition = store->shared.partitions.at[i];
        stats.blocks += partition->blocks.n;
        stats.spans += partition->spans;
        stats.traces += partition->traces;
        stats.disk_bytes += partition_disk_bytes(partition);
        stats.decisions += partition->decisions.entries;
        stats.decisions_bytes += partition->decisions.disk_bytes;
    }
    stats.pins_bytes = pins_disk_bytes(store);
    stats.disk_bytes += stats.pins_bytes;
    stats.open_partitions = handles_open(&store->handles);
    stats.is_full = store->is_full;
    stats.oldest_wall_ns = oldest_wall_ns(store);
    pthread_mutex_lock(&store->shared.lock);
    stats.damaged = store->shared.damaged;
    stats.pinned = store->pins.index.n;
    store->shared.stats = stats;
    pthread_mutex_unlock(&store->shared.lock);
}

static void take_what_came(struct store *store, uint64_t wait_ns)
{
    take(store, queue_take(store->queue, wait_ns, NULL));
    if (atomic_exchange(&store->is_hurried, false)) {
        store->own.is_hurried = true;
        take(store, queue_take(store->queue, 0, NULL)); /* what was put before it was hurried is meant */
    }
    if (!store->own.first && !has_snapshot(store))
        store->own.is_hurried = false;
}

void store_turn(struct store *store, uint64_t wait_ns)
{
    struct mg_why why = { "" };

    take_what_came(store, wait_ns);
    store_answer_rules(store);
    if (commit_due(store) <= store_mono(store) && store_commit(store, &why) == MG_OK) /* else logged, counted and tried again */
        store_retain_decisions(store);
    if (store->own.merging.of)
        store_go_on_merging(store);
    if (store_mono(store) >= store->own.retain_mono_ns) {
        store_retain(store);
        store->own.retain_mono_ns = store_mono(store) + MG_MIN(RETAIN_NS, store_conf_now(store).roll_ns);
    }
    if (store_mono(store) >= store->own.look_mono_ns) {
        store_look_at_disk(store);
        handles_close_idle(&store->handles, HANDLES_IDLE_NS);
        store->own.look_mono_ns = store_mono(store) + SECOND_NS;
    }
    publish_stats(store);
}

/* At most a second: an age of the wall clock may be over by then. */
static uint64_t time_to_wait(struct store *store)
{
    uint64_t now = store_mono(store), due = MG_MIN(commit_due(store), store->own.retain_mono_ns);

    return store->is_hurried || store->own.merging.of || due <= now ? 0 : MG_MIN(due - now, SECOND_NS);
}

static void *store_main(void *argument)
{
    struct store *store = argument;

    while (!store->is_stopping)
        store_turn(store, time_to_wait(store));
    take(store, queue_take(store->queue, 0, NULL));
    store_answer_rules(store);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------- */

static void on_scrape(void *owner)
{
    struct store *store = owner;
    struct store_stats stats;

    store_stat(store, &stats);
    const struct { unsigned row; uint64_t value; } gauges[] = {
        { STORE_partitions, stats.partitions }, { STORE_blocks, stats.blocks }, { STORE_spans, stats.spans },
        { STORE_fragments, stats.traces }, { STORE_disk_bytes, stats.disk_bytes },
        { STORE_waiting_rows, stats.waiting_rows }, { STORE_damaged, stats.damaged },
        { STORE_full, stats.is_full }, { STORE_open_partitions, stats.open_partitions },
        { STORE_pinned, stats.pinned }, { STORE_pins_bytes, stats.pins_bytes },
        { STORE_decisions, stats.decisions }, { STORE_decisions_bytes, stats.decisions_bytes },
    };
    for (size_t i = 0; i < MG_COUNT(gauges); i++)
        metric_set_gauge(store->metrics, gauges[i].row, 0, 0, (double)gauges[i].value);
}

static void begin_where_it_ended(struct store *store)
{
    const struct store_state *state = &store->state;
    struct snapshot *snapshot = &store->shared.snapshot;

    store->own.state = *state;
    buf_put_str(&store->own.carried, state->snapshot);
    snapshot->p = state->p;
    snapshot->watermark = state->watermark;
    snapshot->log_ns = state->log_ns;
    buf_put_str(&snapshot->bytes, state->snapshot);
    store->own.committed_mono_ns = store_mono(store);
    clock_age_begin(&store->own.retain_clock, store_wall(store), store_mono(store));
}

enum mg_err store_open(struct store **out, const struct store_options *options, struct mg_why *why)
{
    MG_AUTO(store_close) struct store *store = MEM_NEW(struct store);

    store->options = *options;
    store->shared.conf = *options->conf;
    handles_init(&store->handles, HANDLES_MAX, options->mono_ns);
    pthread_mutex_init(&store->pins.lock, NULL);
    store->dir = mem_text(options->dir);
    store->queue = queue_new(0);
    pthread_mutex_init(&store->shared.lock, NULL);
    pthread_cond_init(&store->shared.committed, NULL);
    carried_init(&store->recovered);
    buf_init(&store->own.carried, STORE_SNAPSHOT_MAX * 2);
    buf_init(&store->shared.snapshot.bytes, STORE_SNAPSHOT_MAX * 2);
    store->own.builder = block_builder_new();
    store->own.edges = edges_new();
    MG_TRY(store_recover(store, why));
    begin_where_it_ended(store);
    store->metrics = metric_register(options->metrics, store_metric_rows, MG_COUNT(store_metric_rows));
    metric_on_scrape(options->metrics, on_scrape, store);
    metric_add(store->metrics, STORE_decisions_damaged, 0, 0, store->own.damaged_decisions);
    publish_stats(store);
    *out = MG_STEAL(store);
    return MG_OK;
}

const struct store_state *store_recovered(const struct store *store)
{
    return &store->state;
}

enum mg_err store_start(struct store *store, struct mg_why *why)
{
    int failed = pthread_create(&store->thread, NULL, store_main, store);

    if (failed)
        return mg_fail_os(why, failed, "cannot start the block thread");
    store->is_started = true;
    return MG_OK;
}

enum mg_err store_stop(struct store *store, struct mg_why *why)
{
    enum mg_err err = MG_OK;

    if (!store->is_started)
        return MG_OK;
    store->is_stopping = true;
    queue_wake(store->queue);
    pthread_join(store->thread, NULL);
    store->is_started = false;
    if (store->own.first || has_snapshot(store))
        err = store_commit(store, why);
    publish_stats(store);
    return err;
}

struct store_batch *store_take_back(struct store *store)
{
    struct store_batch *first = store->own.first;

    assert(!store->is_started);
    store->own.first = store->own.last = NULL;
    store->own.rows = store->own.dropped = 0;
    return first;
}

void store_reload(struct store *store, const struct store_conf *conf)
{
    pthread_mutex_lock(&store->shared.lock);
    store->shared.conf = *conf;
    pthread_mutex_unlock(&store->shared.lock);
}

struct store_conf store_conf_now(const struct store *store)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&store->shared.lock; /* changes nothing that a caller sees */
    struct store_conf conf;

    pthread_mutex_lock(lock);
    conf = store->shared.conf;
    pthread_mutex_unlock(lock);
    return conf;
}

void store_close(struct store **pointer)
{
    struct store *store = MG_STEAL(*pointer);

    if (!store)
        return;
    assert(!store->is_started);
    store_stop_merging(store, NULL);
    store_forget_unsure(store);
    pthread_mutex_lock(&store->shared.lock);
    store_list_changed(store);
    pthread_mutex_unlock(&store->shared.lock);
    for (size_t i = 0; i < store->shared.partitions.n; i++)
        partition_unref(&store->shared.partitions.at[i]);
    VEC_FINI(&store->shared.partitions);
    pins_fini(store);
    handles_fini(&store->handles);
    block_builder_free(&store->own.builder);
    block_builder_free(&store->own.strays);
    edges_free(&store->own.edges);
    VEC_FINI(&store->own.decisions);
    buf_fini(&store->own.carried);
    store_end_waiting(store);
    buf_fini(&store->shared.snapshot.bytes);
    carried_fini(&store->recovered);
    queue_free(&store->queue);
    pthread_cond_destroy(&store->shared.committed);
    pthread_mutex_destroy(&store->shared.lock);
    mem_free(store->dir);
    mem_free(store);
}

/* --- what others call ------------------------------------------------------------------------------- */

void store_put(struct store *store, struct store_batch *batch)
{
    queue_push(store->queue, &batch->link);
    pthread_mutex_lock(&store->shared.lock); /* after the push: a flush that counts it finds it in the queue */
    store->shared.put++;
    pthread_mutex_unlock(&store->shared.lock);
}

void store_hurry(struct store *store)
{
    store->is_hurried = true;
    queue_wake(store->queue);
}

void store_flush(struct store *store)
{
    assert(store->is_started);
    pthread_mutex_lock(&store->shared.lock);
    uint64_t batches = store->shared.put, snapshots = store->shared.snapshot.number;
    pthread_mutex_unlock(&store->shared.lock);
    store_hurry(store);
    pthread_mutex_lock(&store->shared.lock);
    while (store->shared.done < batches || store->shared.snapshot.committed < snapshots)
        pthread_cond_wait(&store->shared.committed, &store->shared.lock);
    pthread_mutex_unlock(&store->shared.lock);
}

void store_snapshot(struct store *store, uint64_t p, uint64_t watermark, uint64_t log_ns, struct str bytes)
{
    struct snapshot *snapshot = &store->shared.snapshot;

    assert(bytes.len <= STORE_SNAPSHOT_MAX);
    pthread_mutex_lock(&store->shared.lock);
    if (snapshot->p != p || snapshot->watermark != watermark || snapshot->log_ns != log_ns ||
        !str_eq(buf_str(&snapshot->bytes), bytes)) {
        snapshot->p = p;
        snapshot->watermark = watermark;
        snapshot->log_ns = log_ns;
        buf_clear(&snapshot->bytes);
        buf_put_str(&snapshot->bytes, bytes);
        snapshot->number++;
    }
    pthread_mutex_unlock(&store->shared.lock);
}

void store_stat(struct store *store, struct store_stats *out)
{
    pthread_mutex_lock(&store->shared.lock);
    *out = store->shared.stats;
    pthread_mutex_unlock(&store->shared.lock);
}
