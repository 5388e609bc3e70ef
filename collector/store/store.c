/* store.c - the block thread (DESIGN R4). See store.h.
 *
 * Decided batches wait, unbuilt, until there are enough rows or the oldest is old enough; then all of them become blocks in ONE transaction
 * with the state that says so, so that a crash never leaves half a batch. Their rows stay in the ring meanwhile,
 * which makes a failed commit simple: everything is still there and is built again. */
#include "store/private.h"
#include <assert.h>
#include "base/bytes.h"
#include "base/clock.h"

#define SECOND_NS UINT64_C(1000000000)
#define SNAPSHOT_NS (10 * SECOND_NS)
#define RETAIN_NS (60 * SECOND_NS)
#define BACK_OFF_MAX_NS (30 * SECOND_NS)
#define BLOCK_RAW_MAX ((size_t)1 << 30)
#define DROPPED_MAX 200000 /* decisions of a commit that are not waited beyond */
#define DECISIONS_KEPT_MAX (DROPPED_MAX * 2) /* entries whose memory stays */
#define PART_ROWS_MAX ((uint32_t)1 << 18)
#define PART_BYTES_MAX ((size_t)256 << 20)
enum { PART_SURELY_SMALL = 16 }; /* rows: a row is never larger than a body */

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

/* --- one commit ------------------------------------------------------------------------------------- */

struct made { uint32_t number; struct buf summary; };
struct commit {
    struct store *store;
    struct partition *partition;
    struct kv_txn *txn;
    VEC(struct made) blocks;
    uint64_t rows, duplicates;
    uint64_t wall_ns;
    uint64_t snapshot;          /* number of the one in it */
    struct decision_run run;    /* n 0: it has none */
    struct { uint32_t number; struct str text; } put; /* a generation of rules; 0: none */
    bool is_quiet;              /* nobody is told: the opener is not ready for it */
    uint32_t rules;             /* newest generation that it writes; 0: none */
};

static struct store_batch *next_batch(const struct store_batch *batch)
{
    return batch->link.next ? MG_CONTAINER(batch->link.next, struct store_batch, link) : NULL;
}

static enum mg_err put_block(struct commit *commit, struct block_builder *builder, struct mg_why *why)
{
    struct block_built built;
    struct made made = { 0 };
    uint8_t key[4];
    void *room;

    block_finish(builder, commit->wall_ns, &built);
    made.number = commit->partition->last_block + (uint32_t)commit->blocks.n + 1;
    partition_key(made.number, key);
    MG_TRY(kv_append(commit->txn, TABLE_BLK, str_n(key, 4), built.block.len, &room, why));
    memcpy(room, built.block.ptr, built.block.len);
    MG_TRY(kv_put(commit->txn, TABLE_SUM, str_n(key, 4), built.summary, why));
    MG_TRY(kv_put(commit->txn, TABLE_RUN, str_n(key, 4), built.run, why));
    commit->rows += built.rows;
    commit->duplicates += built.duplicates;
    buf_init(&made.summary, SIZE_MAX / 2);
    buf_put_str(&made.summary, built.summary);
    VEC_PUSH(&commit->blocks, made);
    return MG_OK;
}

/* The newest part of what is left of a fragment, small enough to join any block; *left is what remains. One request
 * may bring a trace of millions of spans, so the size of a fragment is a peer's choice. */
static struct fragment newest_part(struct fragment *left)
{
    struct fragment part = *left;
    const struct row *row = left->last;
    size_t bytes = 0;

    if (left->n <= PART_SURELY_SMALL) {
        left->n = 0;
        return part;
    }
    for (part.n = 0; left->n > 0 && part.n < PART_ROWS_MAX && (part.n == 0 || bytes < PART_BYTES_MAX); part.n++, left->n--) {
        bytes += row->bytes;
        row = row->prev;
    }
    left->last = row;
    return part;
}

static uint32_t count_strays(const struct fragment *part)
{
    const struct row *row = part->last;
    uint32_t n = 0;

    for (uint32_t i = 0; i < part->n; i++, row = row->prev)
        n += row_is_stray(row);
    return n;
}

static enum mg_err add_rows(struct commit *commit, struct block_builder *builder, const struct fragment *part, enum block_choice choice,
                            struct mg_why *why)
{
    if (block_rows(builder) > BLOCK_ROWS_MAX - part->n || block_raw_bytes(builder) >= BLOCK_RAW_MAX)
        MG_TRY(put_block(commit, builder, why));
    block_add_chosen(builder, part, choice);
    return MG_OK;
}

/* Strays go apart, so that what they say of times does not become the ordinary block's (DESIGN R7). */
static enum mg_err add_part(struct commit *commit, const struct fragment *part, struct mg_why *why)
{
    struct store *store = commit->store;
    uint32_t strays = count_strays(part);

    if (strays < part->n)
        MG_TRY(add_rows(commit, store->own.builder, part, strays ? BLOCK_ORDINARY : BLOCK_ALL, why));
    if (strays == 0)
        return MG_OK;
    if (!store->own.strays)
        store->own.strays = block_builder_new();
    return add_rows(commit, store->own.strays, part, BLOCK_STRAYS, why);
}

static enum mg_err put_fragment(struct commit *commit, const struct fragment *fragment, struct mg_why *why)
{
    struct fragment left = *fragment;
    VEC(struct fragment) parts = { 0 };
    enum mg_err err = MG_OK;

    while (left.n > 0)
        VEC_PUSH(&parts, newest_part(&left));
    while (parts.n > 0 && err == MG_OK) {
        struct fragment part = VEC_POP(&parts); /* oldest first */
        err = add_part(commit, &part, why);
    }
    VEC_FINI(&parts);
    return err;
}

/* A small rest joins the block before it. */
static bool is_enough(const struct block_builder *builder, uint64_t most, uint64_t left)
{
    return builder && ((block_rows(builder) >= most && left > most / 2) || block_raw_bytes(builder) >= BLOCK_RAW_MAX);
}

static enum mg_err put_rest(struct commit *commit, struct block_builder *builder, struct mg_why *why)
{
    return builder && block_rows(builder) ? put_block(commit, builder, why) : MG_OK;
}

/* Not kept: its rows go with this commit, and what is remembered is who decided. */
static void note_decision(struct store *store, const struct store_batch *batch, const struct fragment *fragment)
{
    struct decision decision = { .word = fragment->outcome, .time_s = (uint32_t)(batch->wall_ns / SECOND_NS),
                                 .order = (uint32_t)store->own.decisions.n };

    if (!fragment->outcome)
        return;
    decision.hash = trace_hash(fragment->trace_id);
    VEC_PUSH(&store->own.decisions, decision);
}

static enum mg_err put_blocks(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;
    uint64_t left = store->own.rows, most = store->conf->block_rows;

    for (struct store_batch *batch = store->own.first; batch; batch = next_batch(batch)) {
        for (size_t i = 0; i < batch->n; i++) {
            const struct fragment *fragment = &batch->fragments[i];
            edges_add(store->own.edges, fragment);
            if (!fragment->is_kept) {
                note_decision(store, batch, fragment);
                continue;
            }
            MG_TRY(put_fragment(commit, fragment, why));
            left -= fragment->n;
            if (is_enough(store->own.builder, most, left))
                MG_TRY(put_block(commit, store->own.builder, why));
            if (is_enough(store->own.strays, most, left))
                MG_TRY(put_block(commit, store->own.strays, why));
        }
    }
    MG_TRY(put_rest(commit, store->own.builder, why));
    return put_rest(commit, store->own.strays, why);
}

/* Before the transaction that counts its bytes is committed. Without that they are beyond the end, and the next run goes over them. */
static enum mg_err append_decisions(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;

    if (store->own.decisions.n == 0)
        return MG_OK;
    return decisions_append(&commit->partition->decisions, store->own.decisions.at, (uint32_t)store->own.decisions.n,
                            store->own.state.commit + 1, &commit->run, why);
}

static enum mg_err put_rules(struct commit *commit, struct mg_why *why)
{
    uint8_t key[4];

    if (commit->partition->state.commit == 0)
        MG_TRY(store_carry_rules(commit->store, commit->txn, &commit->rules, why));
    if (!commit->put.number)
        return MG_OK;
    partition_key(commit->put.number, key);
    MG_TRY(kv_put(commit->txn, TABLE_GEN, str_n(key, 4), commit->put.text, why));
    commit->rules = commit->put.number;
    return MG_OK;
}

static void next_state(struct commit *commit, struct store_state *state, struct buf *carried)
{
    struct store *store = commit->store;
    const struct snapshot *snapshot = &store->shared.snapshot;

    *state = store->own.state;
    state->commit++;
    state->wall_ns = commit->wall_ns;
    state->stored += commit->rows;
    state->duplicate += commit->duplicates;
    state->decisions = commit->run.n ? commit->run.at + decision_run_bytes(commit->run.n) : commit->partition->decisions.length;
    for (struct store_batch *batch = store->own.first; batch; batch = next_batch(batch)) {
        state->c = batch->position;
        state->log_ns = MG_MAX(state->log_ns, batch->log_ns);
    }
    buf_clear(carried);
    pthread_mutex_lock(&store->shared.lock);
    if (snapshot->number != snapshot->committed) {
        state->p = snapshot->p;
        state->watermark = snapshot->watermark;
        state->log_ns = MG_MAX(state->log_ns, snapshot->log_ns);
        buf_put_str(carried, buf_str(&snapshot->bytes));
    } else {
        buf_put_str(carried, buf_str(&store->own.carried));
    }
    commit->snapshot = snapshot->number;
    pthread_mutex_unlock(&store->shared.lock);
    state->snapshot = buf_str(carried);
}

static enum mg_err put_state(struct commit *commit, const struct store_state *state, struct mg_why *why)
{
    uint64_t first = commit->partition->first_wall_ns ? commit->partition->first_wall_ns : commit->wall_ns;
    struct buf bytes;
    enum mg_err err;

    buf_init(&bytes, SIZE_MAX / 2); /* what it is made of has limits */
    err = state_write(&bytes, state, first, buf_str(&commit->store->recovered.other));
    if (err == MG_OK)
        err = kv_put(commit->txn, TABLE_META, STR("state"), buf_str(&bytes), why);
    buf_fini(&bytes);
    return err;
}

static enum mg_err write_commit(struct commit *commit, struct store_state *state, struct buf *carried, struct mg_why *why)
{
    MG_TRY(store_roll_if_due(commit->store, why));
    commit->partition = store_open_partition(commit->store);
    MG_TRY(kv_begin(&commit->txn, commit->partition->env, true, why));
    MG_TRY(put_blocks(commit, why));
    MG_TRY(edges_put(commit->store->own.edges, commit->txn, TABLE_DEP, why));
    MG_TRY(put_rules(commit, why));
    MG_TRY(append_decisions(commit, why));
    next_state(commit, state, carried);
    MG_TRY(put_state(commit, state, why));
    return kv_commit(&commit->txn, why);
}

/* The commit is on disk: views see it, batches go back to their givers, the journal may be trimmed. */
static void publish_commit(struct commit *commit, const struct store_state *state)
{
    struct store *store = commit->store;
    struct partition *partition = commit->partition;
    struct store_batch *first = store->own.first;
    uint64_t batches = 0;

    for (struct store_batch *batch = first; batch; batch = next_batch(batch))
        batches++;
    store->own.state = *state;
    pthread_mutex_lock(&store->shared.lock);
    for (size_t i = 0; i < commit->blocks.n; i++)
        partition_note_block(partition, commit->blocks.at[i].number, buf_str(&commit->blocks.at[i].summary));
    if (!partition->first_wall_ns)
        partition->first_wall_ns = commit->wall_ns;
    partition->state = *state;
    if (commit->run.n)
        decisions_added(&partition->decisions, &commit->run);
    if (commit->rules) {
        partition->rules = commit->rules;
        store->shared.rules = MG_MAX(store->shared.rules, commit->rules);
        store->own.rules_gap = 0;
    }
    if (commit->blocks.n)
        store_list_changed(store);
    pthread_mutex_unlock(&store->shared.lock);
    store->own.first = store->own.last = NULL;
    store->own.rows = store->own.dropped = 0;
    if (store->options.committed && !commit->is_quiet)
        store->options.committed(store->options.owner, state->watermark);
    if (first) {
        first->stored = commit->rows;
        first->duplicates = commit->duplicates;
        first->done(first);
    }
    pthread_mutex_lock(&store->shared.lock);
    store->shared.done += batches;
    store->shared.snapshot.committed = commit->snapshot;
    pthread_cond_broadcast(&store->shared.committed);
    pthread_mutex_unlock(&store->shared.lock);
}

static void empty(struct block_builder *builder)
{
    struct block_built unused;

    if (builder && block_rows(builder))
        block_finish(builder, 0, &unused);
}

static void forget_decisions(struct store *store)
{
    if (store->own.decisions.room > DECISIONS_KEPT_MAX)
        VEC_FINI(&store->own.decisions);
    VEC_CLEAR(&store->own.decisions);
}

static void commit_failed(struct store *store, const struct mg_why *why)
{
    empty(store->own.builder);
    empty(store->own.strays);
    store->own.failures++;
    store->own.back_off_ns = MG_MIN(BACK_OFF_MAX_NS, MG_MAX(SECOND_NS, store->own.back_off_ns * 2));
    store->own.retry_mono_ns = store_mono(store) + store->own.back_off_ns;
    metric_add(store->metrics, STORE_failed_commits, 0, 0, 1);
    LOG(ERROR, "store commit failed, trying again", F_WHY(why), F_U64("retry_ms", store->own.back_off_ns / 1000000),
        F_U64("waiting_spans", store->own.rows));
}

static enum mg_err make_commit(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;
    struct store_state state;
    struct buf carried;
    uint64_t begin = clock_mono_ns();
    enum mg_err err;

    buf_init(&carried, STORE_SNAPSHOT_MAX * 2);
    err = write_commit(commit, &state, &carried, why);
    kv_abort(&commit->txn);
    edges_clear(store->own.edges);
    forget_decisions(store);
    if (err == MG_OK) {
        struct buf old = store->own.carried;
        store->own.carried = carried;
        carried = old;
        state.snapshot = buf_str(&store->own.carried);
        publish_commit(commit, &state);
        store->own.back_off_ns = store->own.retry_mono_ns = store->own.failures = 0;
        store->own.is_hurried = false;
        store->own.look_mono_ns = 0;
        metric_add(store->metrics, STORE_commits, 0, 0, 1);
    } else {
        commit_failed(store, why);
    }
    store->own.committed_mono_ns = store_mono(store);
    metric_observe(store->metrics, STORE_commit_seconds, 0, 0, clock_mono_ns() - begin);
    for (size_t i = 0; i < commit->blocks.n; i++)
        buf_fini(&commit->blocks.at[i].summary);
    VEC_FINI(&commit->blocks);
    buf_fini(&carried);
    return err;
}

static enum mg_err commit_now(struct store *store, struct mg_why *why)
{
    struct commit commit = { .store = store, .wall_ns = store_wall(store) };

    return make_commit(&commit, why);
}

enum mg_err store_commit_rules(struct store *store, uint32_t number, struct str text, struct mg_why *why)
{
    struct commit commit = { .store = store, .wall_ns = store_wall(store), .put = { number, text }, .is_quiet = !store->is_started };

    return make_commit(&commit, why);
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
    uint64_t due = UINT64_MAX;

    if (store->own.first)
        due = store->own.is_hurried || store->own.rows >= store->conf->block_rows || store->own.dropped >= DROPPED_MAX
                  ? 0
                  : store->own.since_mono_ns + store->conf->block_age_ns;
    if (has_snapshot(store))
        due = MG_MIN(due, store->own.is_hurried ? 0 : store->own.committed_mono_ns + SNAPSHOT_NS);
    if (due > 0 && store_is_idle_too_long(store))
        due = 0;
    return MG_MAX(due, store->own.retry_mono_ns);
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
    stats.oldest_wall_ns = store->shared.partitions.at[0]->state.wall_ns;
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
    if (commit_due(store) <= store_mono(store))
        (void)commit_now(store, &why); /* logged, counted and tried again */
    if (store_mono(store) >= store->own.retain_mono_ns) {
        store_retain(store);
        store->own.retain_mono_ns = store_mono(store) + MG_MIN(RETAIN_NS, store->conf->roll_ns);
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

    return store->is_hurried || due <= now ? 0 : MG_MIN(due - now, SECOND_NS);
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
}

enum mg_err store_open(struct store **out, const struct store_options *options, struct mg_why *why)
{
    MG_AUTO(store_close) struct store *store = MEM_NEW(struct store);

    store->options = *options;
    store->conf = options->conf;
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
        err = commit_now(store, why);
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
    store->conf = conf;
}

void store_close(struct store **pointer)
{
    struct store *store = MG_STEAL(*pointer);

    if (!store)
        return;
    assert(!store->is_started);
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
