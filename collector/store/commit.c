/* commit.c - one commit of the block thread: batches to blocks, and what a failed one leaves (collector/README.md R4, FORMAT.md 6).
 *
 * All batches that wait become blocks in ONE transaction with the state that says so, so that a crash never leaves half a batch.
 * Their rows stay in the ring meanwhile, which makes a failed commit simple: everything is still there and is built again.
 *
 * When the commit itself fails nobody knows whether it is in the file: LMDB's last write may have reached the disk and been reported as
 * failed. To build it again beside what is there would store spans twice, here or after a roll in the next partition. So it is kept,
 * and before anything else is written or rolled the file is asked: a commit that is there is published like any other, one that is not is
 * forgotten. Until the file can say, nothing is committed. */
#include "store/private.h"
#include <assert.h>
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
    uint64_t block_rows;        /* store.block_spans when it began */
    struct store_state state;   /* what it makes of the last one's */
    struct buf carried;         /* its snapshot */
    struct store_batch *last;   /* it has all batches that waited, from the first to this one; NULL: none did */
    uint64_t batches, waiting_rows, dropped; /* of them */
    VEC(struct made) blocks;
    uint64_t rows, duplicates;
    struct decision_run run;    /* n 0: none */
    uint64_t wall_ns, first_wall_ns; /* first_wall_ns: of the partition */
    uint64_t snapshot;          /* number of the one in it */
    struct { uint32_t number; struct str text; } put; /* a generation of rules; 0: none. The text is there while it is written */
    bool is_quiet;              /* nobody is told: the opener is not ready for it */
    uint32_t rules;             /* newest generation that it writes; 0: none */
    bool is_given;              /* to LMDB: if that failed, it may be in the file */
};

static struct commit *commit_new(struct store *store)
{
    struct commit *commit = MEM_NEW(struct commit);

    commit->store = store;
    commit->block_rows = store_conf_now(store).block_rows;
    commit->wall_ns = store_wall(store);
    buf_init(&commit->carried, STORE_SNAPSHOT_MAX * 2);
    return commit;
}

static void commit_free(struct commit **pointer)
{
    struct commit *commit = MG_STEAL(*pointer);

    if (!commit)
        return;
    kv_abort(&commit->txn);
    for (size_t i = 0; i < commit->blocks.n; i++)
        buf_fini(&commit->blocks.at[i].summary);
    VEC_FINI(&commit->blocks);
    buf_fini(&commit->carried);
    mem_free(commit);
}

static struct store_batch *next_batch(const struct store_batch *batch)
{
    return batch->link.next ? MG_CONTAINER(batch->link.next, struct store_batch, link) : NULL;
}

/* --- blocks ----------------------------------------------------------------------------------------- */

static void note_block(struct commit *commit, uint32_t number, struct str summary)
{
    struct made made = { .number = number };

    buf_init(&made.summary, SIZE_MAX / 2);
    buf_put_str(&made.summary, summary);
    VEC_PUSH(&commit->blocks, made);
}

static enum mg_err put_block(struct commit *commit, struct block_builder *builder, struct mg_why *why)
{
    uint32_t number = commit->partition->last_block + (uint32_t)commit->blocks.n + 1;
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

/* Strays go apart, so that what they say of times does not become the ordinary block's (collector/README.md R7). */
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

    MG_TRY(put_fragment(commit, fragment, why));
    *left -= fragment->n;
    if (is_enough(store->own.builder, commit->block_rows, *left))
        MG_TRY(put_block(commit, store->own.builder, why));
    if (is_enough(store->own.strays, commit->block_rows, *left))
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

    for (struct store_batch *batch = store->own.first; batch; batch = next_batch(batch))
        MG_TRY(put_batch(commit, batch, &left, why));
    MG_TRY(put_rest(commit, store->own.builder, why));
    return put_rest(commit, store->own.strays, why);
}

/* --- decisions, rules, state ------------------------------------------------------------------------ */

/* Before the transaction that counts its bytes is committed. Without that they are beyond the end, and the next run goes over them. */
static enum mg_err append_decisions(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;
    struct decisions *decisions = &commit->partition->decisions;

    commit->run = (struct decision_run){ .at = decisions->length, .commit = store->own.state.commit + 1, .n = (uint32_t)store->own.decisions.n };
    return commit->run.n ? decisions_append(decisions, store->own.decisions.at, &commit->run, why) : MG_OK;
}

static enum mg_err put_generation(struct commit *commit, uint32_t number, struct str text, struct mg_why *why)
{
    uint8_t key[4];

    if (!number)
        return MG_OK;
    partition_key(number, key);
    MG_TRY(kv_put(commit->txn, TABLE_GEN, str_n(key, 4), text, why));
    commit->rules = number;
    return MG_OK;
}

static enum mg_err put_rules(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;

    if (commit->partition->state.commit == 0)
        MG_TRY(store_carry_rules(store, commit->txn, &commit->rules, why));
    MG_TRY(put_generation(commit, store->shared.waiting_rules.generation, buf_str(&store->shared.waiting_rules.text), why));
    return put_generation(commit, commit->put.number, commit->put.text, why);
}

static void take_waiting(struct commit *commit)
{
    struct store *store = commit->store;
    struct store_state *state = &commit->state;

    for (struct store_batch *batch = store->own.first; batch; batch = next_batch(batch)) {
        state->c = batch->position;
        state->log_ns = MG_MAX(state->log_ns, batch->log_ns);
        commit->batches++;
    }
    commit->last = store->own.last;
    commit->waiting_rows = store->own.rows;
    commit->dropped = store->own.dropped;
}

static void take_snapshot(struct commit *commit)
{
    struct store *store = commit->store;
    const struct snapshot *snapshot = &store->shared.snapshot;
    struct store_state *state = &commit->state;

    pthread_mutex_lock(&store->shared.lock);
    if (snapshot->number != snapshot->committed) {
        state->p = snapshot->p;
        state->watermark = snapshot->watermark;
        state->log_ns = MG_MAX(state->log_ns, snapshot->log_ns);
        buf_put_str(&commit->carried, buf_str(&snapshot->bytes));
    } else {
        buf_put_str(&commit->carried, buf_str(&store->own.carried));
    }
    commit->snapshot = snapshot->number;
    pthread_mutex_unlock(&store->shared.lock);
    state->snapshot = buf_str(&commit->carried);
}

static void make_state(struct commit *commit)
{
    struct store_state *state = &commit->state;

    *state = commit->store->own.state;
    state->commit++;
    state->wall_ns = commit->wall_ns;
    state->stored += commit->rows;
    state->duplicate += commit->duplicates;
    state->decisions = commit->partition->decisions.length + (commit->run.n ? decision_run_bytes(commit->run.n) : 0);
    commit->first_wall_ns = commit->partition->first_wall_ns ? commit->partition->first_wall_ns : commit->wall_ns;
    take_waiting(commit);
    take_snapshot(commit);
}

static enum mg_err put_state(struct commit *commit, struct mg_why *why)
{
    struct buf bytes;
    enum mg_err err;

    make_state(commit);
    buf_init(&bytes, SIZE_MAX / 2); /* what it is made of has limits */
    err = state_write(&bytes, &commit->state, commit->first_wall_ns, buf_str(&commit->store->recovered.other));
    if (err == MG_OK)
        err = kv_put(commit->txn, TABLE_META, STR("state"), buf_str(&bytes), why);
    buf_fini(&bytes);
    return err;
}

static enum mg_err write_commit(struct commit *commit, struct mg_why *why)
{
    MG_TRY(store_roll_if_due(commit->store, why));
    commit->partition = store_open_partition(commit->store);
    MG_TRY(kv_begin(&commit->txn, commit->partition->env, true, why));
    MG_TRY(put_blocks(commit, why));
    MG_TRY(edges_put(commit->store->own.edges, commit->txn, TABLE_DEP, why));
    MG_TRY(put_rules(commit, why));
    MG_TRY(append_decisions(commit, why));
    MG_TRY(put_state(commit, why));
    commit->is_given = true;
    return kv_commit(&commit->txn, why);
}

/* --- afterwards ------------------------------------------------------------------------------------- */

/* Views see it. */
static void show_commit(struct commit *commit)
{
    struct store *store = commit->store;
    struct partition *partition = commit->partition;

    pthread_mutex_lock(&store->shared.lock);
    for (size_t i = 0; i < commit->blocks.n; i++)
        partition_note_block(partition, commit->blocks.at[i].number, buf_str(&commit->blocks.at[i].summary));
    partition->first_wall_ns = commit->first_wall_ns;
    partition->state = commit->state;
    if (commit->run.n)
        decisions_added(&partition->decisions, &commit->run);
    if (commit->rules) {
        partition->rules = commit->rules;
        store->shared.rules = MG_MAX(store->shared.rules, commit->rules);
        store->own.rules_gap = 0;
        if (commit->rules >= store->shared.waiting_rules.generation)
            store_end_waiting(store);
    }
    if (commit->blocks.n)
        store_list_changed(store);
    pthread_mutex_unlock(&store->shared.lock);
}

/* Those that came after a commit which had failed stay. */
static void give_back(struct commit *commit)
{
    struct store *store = commit->store;
    struct store_batch *first = store->own.first;

    if (!commit->last)
        return;
    store->own.first = next_batch(commit->last);
    if (!store->own.first)
        store->own.last = NULL;
    store->own.rows -= commit->waiting_rows;
    store->own.dropped -= commit->dropped;
    commit->last->link.next = NULL;
    first->stored = commit->rows;
    first->duplicates = commit->duplicates;
    first->done(first);
}

/* The commit is on disk: views see it, the journal may be trimmed, batches go back to their givers. */
static void publish_commit(struct commit *commit)
{
    struct store *store = commit->store;
    struct buf old = store->own.carried;

    store->own.carried = commit->carried;
    commit->carried = old;
    commit->state.snapshot = buf_str(&store->own.carried);
    store->own.state = commit->state;
    show_commit(commit);
    if (store->options.committed && !commit->is_quiet)
        store->options.committed(store->options.owner, commit->state.watermark);
    give_back(commit);
    pthread_mutex_lock(&store->shared.lock);
    store->shared.done += commit->batches;
    store->shared.snapshot.committed = commit->snapshot;
    pthread_cond_broadcast(&store->shared.committed);
    pthread_mutex_unlock(&store->shared.lock);
    store->own.failures = 0;
    store->own.look_mono_ns = 0;
    metric_add(store->metrics, STORE_commits, 0, 0, 1);
}

/* --- one that failed -------------------------------------------------------------------------------- */

static enum mg_err is_in_file(const struct commit *commit, struct kv_txn *txn, bool *is_there, struct mg_why *why)
{
    const char *path = commit->partition->path;
    uint64_t first_wall_ns, errors = kv_read_errors();
    struct store_state found = { .commit = 0 };
    struct str value;

    if (kv_get(txn, TABLE_META, STR("state"), &value) && state_read(value, &found, &first_wall_ns, NULL) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "%s: its state is malformed", path);
    if (kv_read_errors() != errors) /* looks like none */
        return mg_fail(why, MG_E_IO, "%s: what a failed commit left cannot be read", path);
    *is_there = found.commit == commit->state.commit;
    return MG_OK;
}

/* A write transaction, as only that is shown what the disk has (kv.h); nothing is written. */
static enum mg_err settle(struct store *store, struct mg_why *why)
{
    struct commit *unsure = store->own.unsure;
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    bool is_there = false;

    if (!unsure)
        return MG_OK;
    MG_TRY(kv_begin(&txn, unsure->partition->env, true, why));
    MG_TRY(is_in_file(unsure, txn, &is_there, why));
    if (is_there) {
        LOG(WARN, "a commit that had failed is in the file", F_TEXT("path", unsure->partition->path), F_U64("commit", unsure->state.commit));
        publish_commit(unsure);
    }
    store_forget_unsure(store);
    return MG_OK;
}

void store_forget_unsure(struct store *store)
{
    commit_free(&store->own.unsure);
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

static enum mg_err try_commit(struct commit *commit, struct mg_why *why)
{
    MG_TRY(settle(commit->store, why));
    return write_commit(commit, why);
}

/* Takes the commit. */
static enum mg_err make_commit(struct commit *commit, struct mg_why *why)
{
    struct store *store = commit->store;
    uint64_t begin = clock_mono_ns();
    enum mg_err err = try_commit(commit, why);

    kv_abort(&commit->txn);
    edges_clear(store->own.edges);
    forget_decisions(store);
    if (err == MG_OK) {
        publish_commit(commit);
        store->own.back_off_ns = store->own.retry_mono_ns = 0;
        store->own.is_hurried = false;
    } else {
        commit_failed(store, why);
        if (commit->is_given)
            store->own.unsure = MG_STEAL(commit);
    }
    store->own.committed_mono_ns = store_mono(store);
    metric_observe(store->metrics, STORE_commit_seconds, 0, 0, clock_mono_ns() - begin);
    commit_free(&commit);
    return err;
}

enum mg_err store_commit(struct store *store, struct mg_why *why)
{
    return make_commit(commit_new(store), why);
}

enum mg_err store_commit_rules(struct store *store, uint32_t number, struct str text, struct mg_why *why)
{
    struct commit *commit = commit_new(store);

    commit->put.number = number;
    commit->put.text = text;
    commit->is_quiet = !store->is_started;
    return make_commit(commit, why);
}
