/* commit.c - one commit of the block thread: batches to blocks, and what a failed one leaves (DESIGN R4, FORMAT.md 6).
 *
 * All batches that wait become blocks in ONE transaction with the state that says so, so that a crash never leaves half a batch.
 * Their rows stay in the ring meanwhile, which makes a failed commit simple: everything is still there and is built again.
 *
 * When the commit itself fails nobody knows whether it is in the file: LMDB's last write may have reached the disk and been reported as
 * failed. To build it again beside what is there would store spans twice, and to write over the decisions that it counts would
 * lose them in the next crash. So the next commit first reads the state: when the failed one is there it goes on from it
 * with the batches that are beyond its C, and its blocks and runs are published with its own; when it is not, the file is
 * synced first, so that the disk says so too. */
#include "store/private.h"
#include <errno.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/clock.h"

#define SECOND_NS UINT64_C(1000000000)
#define BACK_OFF_MAX_NS (30 * SECOND_NS)
#define BLOCK_RAW_MAX ((size_t)1 << 30)
#define DECISIONS_KEPT_MAX (STORE_DROPPED_MAX * 2) /* entries whose memory stays */
#define PART_ROWS_MAX ((uint32_t)1 << 18)
#define PART_BYTES_MAX ((size_t)256 << 20)
enum { PART_SURELY_SMALL = 16 }; /* rows: a row is never larger than a body */

struct made { uint32_t number; struct buf summary; };
struct commit {
    struct store *store;
    struct partition *partition;
    struct kv_txn *txn;
    struct store_state base;    /* what it goes on from: the last one, or a failed one that is in the file */
    VEC(struct made) blocks;    /* of that failed one too, and so are rows, duplicates and runs */
    uint64_t rows, duplicates;
    struct decision_runs runs;
    uint64_t decisions;         /* bytes of the file that it holds good */
    uint64_t wall_ns, first_wall_ns; /* first_wall_ns: of the partition */
    uint64_t snapshot;          /* number of the one in it */
    struct { uint32_t number; struct str text; } put; /* a generation of rules; 0: none */
    bool is_quiet;              /* nobody is told: the opener is not ready for it */
    uint32_t rules;             /* newest generation that it writes; 0: none */
};

static struct store_batch *next_batch(const struct store_batch *batch)
{
    return batch->link.next ? MG_CONTAINER(batch->link.next, struct store_batch, link) : NULL;
}

/* --- what the last one left ------------------------------------------------------------------------- */

static void note_block(struct commit *commit, uint32_t number, struct str summary)
{
    struct made made = { .number = number };

    buf_init(&made.summary, SIZE_MAX / 2);
    buf_put_str(&made.summary, summary);
    VEC_PUSH(&commit->blocks, made);
}

static uint32_t next_block(const struct commit *commit)
{
    return commit->partition->last_block + (uint32_t)commit->blocks.n + 1;
}

/* Blocks have no gaps (FORMAT.md 1). */
static void take_blocks(struct commit *commit)
{
    struct str summary;
    uint8_t key[4];

    for (partition_key(next_block(commit), key); kv_get(commit->txn, TABLE_SUM, str_n(key, 4), &summary); partition_key(next_block(commit), key))
        note_block(commit, next_block(commit), summary);
}

static enum mg_err take_over(struct commit *commit, const struct store_state *found, struct mg_why *why)
{
    const struct store_state *last = &commit->store->own.state;
    struct str key, text;

    LOG(WARN, "a commit that had failed is in the file", F_TEXT("path", commit->partition->path), F_U64("commit", found->commit));
    commit->base = *found;
    commit->base.stored = last->stored;
    commit->base.duplicate = last->duplicate;
    commit->rows = found->stored - last->stored;
    commit->duplicates = found->duplicate - last->duplicate;
    take_blocks(commit);
    if (kv_seek_last(commit->txn, TABLE_GEN, &key, &text) && key.len == 4)
        commit->rules = get_be32(key.ptr);
    commit->decisions = found->decisions;
    return decisions_list(&commit->partition->decisions, found->decisions, &commit->runs, why);
}

static enum mg_err look_at_failed(struct commit *commit, struct mg_why *why)
{
    struct store_state found;
    struct str value;

    if (!kv_get(commit->txn, TABLE_META, STR("state"), &value))
        return MG_OK; /* the partition has none yet */
    if (state_read(value, &found, &commit->first_wall_ns, NULL) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "%s: its state is malformed", commit->partition->path);
    found.snapshot = STR(""); /* each commit brings its own */
    return found.commit > commit->base.commit ? take_over(commit, &found, why) : MG_OK;
}

/* What the transaction goes on from. */
static enum mg_err find_base(struct commit *commit, struct mg_why *why)
{
    struct partition *partition = commit->partition;
    uint64_t errors = kv_read_errors();

    commit->base = commit->store->own.state;
    commit->first_wall_ns = partition->first_wall_ns;
    commit->decisions = partition->decisions.length;
    if (!partition->is_unsure)
        return MG_OK;
    MG_TRY(look_at_failed(commit, why));
    if (kv_read_errors() != errors)
        return mg_fail(why, MG_E_IO, "%s: what a failed commit left cannot be read", partition->path);
    /* The state that was just read may be in memory only, and the failed one on the disk. */
    return fdatasync(kv_env_fd(partition->env)) == 0 ? MG_OK : mg_fail_os(why, errno, "cannot sync %s", partition->path);
}

/* It is in the failed one. */
static bool is_there(const struct commit *commit, const struct store_batch *batch)
{
    return commit->base.commit > commit->store->own.state.commit && batch->position <= commit->base.c;
}

/* --- blocks ----------------------------------------------------------------------------------------- */

static enum mg_err put_block(struct commit *commit, struct block_builder *builder, struct mg_why *why)
{
    uint32_t number = next_block(commit);
    struct block_built built;
    uint8_t key[4];
    void *room;

    block_finish(builder, commit->wall_ns, &built);
    partition_key(number, key);
    MG_TRY(kv_append(commit->txn, TABLE_BLK, str_n(key, 4), built.block.len, &room, why));
    memcpy(room, built.block.ptr, built.block.len);
    MG_TRY(kv_put(commit->txn, TABLE_SUM, str_n(key, 4), built.summary, why));
    MG_TRY(kv_put(commit->txn, TABLE_RUN, str_n(key, 4), built.run, why));
    commit->rows += built.rows;
    commit->duplicates += built.duplicates;
    note_block(commit, number, built.summary);
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

static enum mg_err put_kept(struct commit *commit, const struct fragment *fragment, uint64_t *left, struct mg_why *why)
{
    struct store *store = commit->store;
    uint64_t most = store->conf->block_rows;

    MG_TRY(put_fragment(commit, fragment, why));
    *left -= fragment->n;
    if (is_enough(store->own.builder, most, *left))
        MG_TRY(put_block(commit, store->own.builder, why));
    if (is_enough(store->own.strays, most, *left))
        MG_TRY(put_block(commit, store->own.strays, why));
    return MG_OK;
}

static enum mg_err put_batch(struct commit *commit, const struct store_batch *batch, uint64_t *left, struct mg_why *why)
{
    struct store *store = commit->store;

    for (size_t i = 0; i < batch->n; i++) {
        const struct fragment *fragment = &batch->fragments[i];
        edges_add(store->own.edges, fragment);
        if (fragment->is_kept)
            MG_TRY(put_kept(commit, fragment, left, why));
        else
            note_decision(store, batch, fragment);
    }
    return MG_OK;
}

static enum mg_err put_blocks(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;
    uint64_t left = store->own.rows;

    for (struct store_batch *batch = store->own.first; batch; batch = next_batch(batch)) {
        if (is_there(commit, batch))
            left -= batch->rows;
        else
            MG_TRY(put_batch(commit, batch, &left, why));
    }
    MG_TRY(put_rest(commit, store->own.builder, why));
    return put_rest(commit, store->own.strays, why);
}

/* --- decisions, rules, state ------------------------------------------------------------------------ */

/* After each commit that may be on the disk comes a higher number, in whatever partition: the newest one is told by it. */
static uint64_t next_number(const struct commit *commit)
{
    return MG_MAX(commit->base.commit, commit->store->own.tried) + 1;
}

/* Before the transaction that counts its bytes is committed. Without that they are beyond the end, and the next run goes over them; find_base
 * has seen to it that no state on the disk counts them. */
static enum mg_err append_decisions(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;
    struct decision_run run = { .at = commit->decisions, .commit = next_number(commit), .n = (uint32_t)store->own.decisions.n };

    if (run.n == 0)
        return MG_OK;
    MG_TRY(decisions_append(&commit->partition->decisions, store->own.decisions.at, &run, why));
    VEC_PUSH(&commit->runs.at, run);
    commit->decisions = run.at + decision_run_bytes(run.n);
    return MG_OK;
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

    *state = commit->base;
    state->commit = next_number(commit);
    state->wall_ns = commit->wall_ns;
    state->stored += commit->rows;
    state->duplicate += commit->duplicates;
    state->decisions = commit->decisions;
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
    struct buf bytes;
    enum mg_err err;

    if (!commit->first_wall_ns)
        commit->first_wall_ns = commit->wall_ns;
    buf_init(&bytes, SIZE_MAX / 2); /* what it is made of has limits */
    err = state_write(&bytes, state, commit->first_wall_ns, buf_str(&commit->store->recovered.other));
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
    MG_TRY(find_base(commit, why));
    MG_TRY(put_blocks(commit, why));
    MG_TRY(edges_put(commit->store->own.edges, commit->txn, TABLE_DEP, why));
    MG_TRY(put_rules(commit, why));
    MG_TRY(append_decisions(commit, why));
    next_state(commit, state, carried);
    MG_TRY(put_state(commit, state, why));
    commit->store->own.tried = state->commit;
    commit->partition->is_unsure = true;
    MG_TRY(kv_commit(&commit->txn, why));
    commit->partition->is_unsure = false;
    return MG_OK;
}

/* --- afterwards ------------------------------------------------------------------------------------- */

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
    partition->first_wall_ns = commit->first_wall_ns;
    partition->state = *state;
    for (size_t i = 0; i < commit->runs.at.n; i++)
        decisions_added(&partition->decisions, &commit->runs.at.at[i]);
    if (commit->rules) {
        partition->rules = commit->rules;
        store->shared.rules = MG_MAX(store->shared.rules, commit->rules);
        if (commit->rules >= store->own.rules_gap) /* not an older one that a failed commit had carried */
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
    VEC_FINI(&commit->runs.at);
    buf_fini(&carried);
    return err;
}

enum mg_err store_commit(struct store *store, struct mg_why *why)
{
    struct commit commit = { .store = store, .wall_ns = store_wall(store) };

    return make_commit(&commit, why);
}

enum mg_err store_commit_rules(struct store *store, uint32_t number, struct str text, struct mg_why *why)
{
    struct commit commit = { .store = store, .wall_ns = store_wall(store), .put = { number, text }, .is_quiet = !store->is_started };

    return make_commit(&commit, why);
}
