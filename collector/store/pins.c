/* pins.c - the archive: traces that somebody wants to keep longer than retention does (FORMAT.md 1).
 *
 * It is a partition of its own that grows by one block a pinned trace. A trace comes back here as decoded spans, so they
 * are made rows again, the same way ingest makes them, and then a block, the same way a commit does. To find one there is a
 * list of fingerprints in memory: a scan of some ten thousand numbers costs less than keeping them sorted is worth.
 *
 * The archive is nobody's recovery: when its file is damaged it is set aside where it is, and pinning is refused. */
#include "store/private.h"
#include <assert.h>
#include <errno.h>
#include <unistd.h>
#include "base/bytes.h"
#include "row/intern.h"

#define RAW_BYTES_MAX ((size_t)1 << 30) /* of a trace's rows: a block's offsets have four bytes */

/* --- what is there ---------------------------------------------------------------------------------- */

static void note_pin(struct store *store, uint32_t block, struct str run)
{
    for (size_t i = 0; i + 4 <= run.len; i += 4) {
        struct pin pin = { get_le32(run.ptr + i), block };
        if (i == 0 || pin.fingerprint != store->pins.index.at[store->pins.index.n - 1].fingerprint)
            VEC_PUSH(&store->pins.index, pin);
    }
}

size_t pins_find(const struct store *store, uint32_t fingerprint, uint32_t *numbers, size_t room)
{
    size_t n = 0;

    for (size_t i = store->pins.index.n; i-- > 0 && n < room;)
        if (store->pins.index.at[i].fingerprint == fingerprint)
            numbers[n++] = store->pins.index.at[i].block;
    return n;
}

uint64_t pins_disk_bytes(struct store *store)
{
    return store->pins.disk_bytes;
}

static enum mg_err read_runs(struct store *store, struct partition *partition, struct mg_why *why)
{
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    struct kv_cursor *cursor = NULL;
    uint64_t errors = kv_read_errors();
    struct str key, run;

    MG_TRY(kv_begin(&txn, partition->env, false, why));
    while (kv_next(txn, TABLE_RUN, &cursor, &key, &run))
        if (key.len == 4)
            note_pin(store, get_be32(key.ptr), run);
    if (kv_read_errors() != errors)
        return mg_fail(why, MG_E_FORMAT, "%s: it cannot be read to its end", partition->path);
    return MG_OK;
}

static enum mg_err open_pins(struct store *store, struct partition **out, struct mg_why *why)
{
    enum mg_err err = partition_open(out, store->dir, PINS_NUMBER, false, NULL, why);

    if (err != MG_OK && err != MG_E_ABSENT)
        err = partition_open(out, store->dir, PINS_NUMBER, false, NULL, why); /* the error may be of the moment */
    MG_TRY(err);
    (*out)->handles = &store->handles;
    if (read_runs(store, *out, why) == MG_OK)
        return MG_OK;
    VEC_CLEAR(&store->pins.index);
    err = read_runs(store, *out, why);
    if (err != MG_OK)
        partition_unref(out);
    return err;
}

enum mg_err pins_recover(struct store *store, struct mg_why *why)
{
    struct partition *partition = NULL;
    char *path = partition_path(store->dir, PINS_NUMBER);
    bool exists = access(path, F_OK) == 0;
    enum mg_err err;

    mem_free(path);
    if (!exists)
        return MG_OK;
    err = open_pins(store, &partition, why);
    if (err == MG_E_ABSENT) /* never committed to: made anew by the first pinning */
        return MG_OK;
    if (err == MG_E_FORMAT || err == MG_E_TOO_BIG) {
        LOG(ERROR, "archive set aside", F_WHY(why));
        store->pins.damage = *why;
        store->shared.damaged++;
        VEC_CLEAR(&store->pins.index);
        return MG_OK;
    }
    MG_TRY(err);
    store->pins.partition = partition;
    store->pins.disk_bytes = partition_disk_bytes(partition);
    return MG_OK;
}

void pins_fini(struct store *store)
{
    struct pins *pins = &store->pins;

    partition_unref(&pins->partition);
    VEC_FINI(&pins->index);
    interner_free(&pins->interner);
    block_builder_free(&pins->builder);
    pthread_mutex_destroy(&pins->lock);
}

/* --- spans to a block ------------------------------------------------------------------------------- */

struct pinning {
    struct store *store;
    struct fragment fragment;
    VEC(struct segment *) segments;
    struct block_built built;
};

static struct row *add_row(struct pinning *pinning, struct epoch *epoch, const struct row *row)
{
    size_t n = pinning->segments.n;
    struct row *copy = n ? segment_add(pinning->segments.at[n - 1], row) : NULL;

    if (copy)
        return copy;
    VEC_PUSH(&pinning->segments, segment_new(epoch, row->bytes));
    copy = segment_add(pinning->segments.at[n], row);
    assert(copy);
    return copy;
}

static void chain_rows(struct pinning *pinning, const struct row_batch *batch)
{
    const struct row *row = (const struct row *)batch->rows;

    for (uint32_t i = 0; i < batch->n; i++, row = row_after(row)) {
        struct row *copy = add_row(pinning, batch->epoch, row);
        copy->prev = pinning->fragment.last;
        pinning->fragment.last = copy;
        pinning->fragment.n++;
    }
    memcpy(pinning->fragment.trace_id, pinning->fragment.last->trace_id, sizeof pinning->fragment.trace_id);
}

static enum mg_err intern(struct pinning *pinning, const struct span *const *spans, size_t n, struct mg_why *why)
{
    struct pins *pins = &pinning->store->pins;
    struct row_batch *batch;
    enum mg_err err = MG_OK;

    if (!pins->interner)
        pins->interner = interner_new();
    interner_begin(pins->interner, store_mono(pinning->store));
    for (size_t i = 0; i < n; i++) {
        interner_resource(pins->interner, spans[i]->resource);
        interner_scope(pins->interner, spans[i]->scope);
        interner_span(pins->interner, spans[i]);
    }
    batch = interner_end(pins->interner);
    if (batch->bytes > RAW_BYTES_MAX)
        err = mg_fail(why, MG_E_TOO_BIG, "the trace is too large to be pinned: %zu bytes", batch->bytes);
    else
        chain_rows(pinning, batch);
    row_batch_free(&batch);
    interner_free(&pins->interner); /* people pin now and then: nothing is kept for the next time */
    return err;
}

static void make_block(struct pinning *pinning)
{
    struct pins *pins = &pinning->store->pins;

    if (!pins->builder)
        pins->builder = block_builder_new();
    block_add(pins->builder, &pinning->fragment);
    block_finish(pins->builder, store_wall(pinning->store), &pinning->built);
}

/* --- the file --------------------------------------------------------------------------------------- */

static enum mg_err create(struct store *store, struct partition **out, struct mg_why *why)
{
    MG_AUTO(partition_unref) struct partition *fresh = NULL;

    MG_TRY(partition_create(&fresh, store->dir, PINS_NUMBER, why));
    MG_TRY(store_sync_dir(store->dir, why));
    fresh->handles = &store->handles;
    *out = MG_STEAL(fresh);
    return MG_OK;
}

static enum mg_err put(struct pinning *pinning, struct partition *partition, struct store_state *state, struct mg_why *why)
{
    const struct block_built *built = &pinning->built;
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    struct buf bytes;
    enum mg_err err;
    uint8_t key[4];

    partition_key(partition->last_block + 1, key); /* a pin that failed may be there all the same, and goes */
    MG_TRY(kv_begin(&txn, partition->env, true, why));
    MG_TRY(kv_put(txn, TABLE_BLK, str_n(key, 4), built->block, why));
    MG_TRY(kv_put(txn, TABLE_SUM, str_n(key, 4), built->summary, why));
    MG_TRY(kv_put(txn, TABLE_RUN, str_n(key, 4), built->run, why));
    buf_init(&bytes, 4096);
    err = state_write(&bytes, state, partition->first_wall_ns ? partition->first_wall_ns : state->wall_ns, STR(""));
    if (err == MG_OK)
        err = kv_put(txn, TABLE_META, STR("state"), buf_str(&bytes), why);
    buf_fini(&bytes);
    MG_TRY(err);
    return kv_commit(&txn, why);
}

static enum mg_err commit(struct pinning *pinning, struct mg_why *why)
{
    struct store *store = pinning->store;
    MG_AUTO(partition_unref) struct partition *fresh = NULL;
    struct partition *partition = store->pins.partition;
    struct store_state state = { .wall_ns = store_wall(store), .snapshot = STR("") };
    uint64_t used = pins_disk_bytes(store), most = store_conf_now(store).pins_max;

    if (pinning->built.block.len > most || used > most - pinning->built.block.len)
        return mg_fail(why, MG_E_TOO_BIG, "the archive is full: %llu of %llu bytes are used (store.pins_max)", (unsigned long long)used,
                       (unsigned long long)most);
    if (!partition) {
        MG_TRY(create(store, &fresh, why));
        partition = fresh;
    }
    state.commit = partition->state.commit + 1;
    MG_TRY(put(pinning, partition, &state, why));
    pthread_mutex_lock(&store->shared.lock);
    if (fresh)
        store->pins.partition = MG_STEAL(fresh);
    partition_note_block(partition, partition->last_block + 1, pinning->built.summary);
    partition->state = state;
    if (!partition->first_wall_ns)
        partition->first_wall_ns = state.wall_ns;
    note_pin(store, partition->last_block, pinning->built.run);
    store_list_changed(store);
    pthread_mutex_unlock(&store->shared.lock);
    store->pins.disk_bytes = partition_disk_bytes(partition);
    return MG_OK;
}

static enum mg_err pin(struct pinning *pinning, const struct span *const *spans, size_t n, struct mg_why *why)
{
    if (pinning->store->pins.damage.text[0])
        return mg_fail(why, MG_E_FORMAT, "the archive is damaged and was set aside: %s", pinning->store->pins.damage.text);
    MG_TRY(intern(pinning, spans, n, why));
    make_block(pinning);
    return commit(pinning, why);
}

enum mg_err store_pin(struct store *store, const struct span *const *spans, size_t n, uint64_t outcome, struct mg_why *why)
{
    struct pinning pinning = { .store = store, .fragment = { .is_kept = true, .outcome = outcome } };
    enum mg_err err;

    if (n == 0)
        return mg_fail(why, MG_E_FORMAT, "a trace without spans cannot be pinned");
    if (n > BLOCK_ROWS_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "the trace is too large to be pinned: %zu spans, at most %u", n, BLOCK_ROWS_MAX);
    for (size_t i = 1; i < n; i++)
        if (memcmp(spans[i]->trace_id, spans[0]->trace_id, 16) != 0)
            return mg_fail(why, MG_E_FORMAT, "spans of different traces cannot be pinned as one");
    pthread_mutex_lock(&store->pins.lock);
    err = pin(&pinning, spans, n, why);
    block_builder_free(&store->pins.builder);
    pthread_mutex_unlock(&store->pins.lock);
    for (size_t i = 0; i < pinning.segments.n; i++)
        segment_unref(&pinning.segments.at[i]);
    VEC_FINI(&pinning.segments);
    return err;
}
