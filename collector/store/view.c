/* view.c - see view.h. The list of blocks is immutable and shared: it is made anew by the first view after a change, so
 * that a store of many blocks is sorted once a commit at most, and not once a query. */
#include "store/private.h"
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/bytes.h"
#include "store/summary.h"

enum { READERS = 8, READERS_BYTES_MAX = 256 << 20, HEAD_BYTES = 16 << 10 };

/* --- the shared list -------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
    const struct block_info *left = a, *right = b;

    if (left->start_max_ns != right->start_max_ns)
        return left->start_max_ns > right->start_max_ns ? -1 : 1;
    if (left->partition != right->partition)
        return left->partition > right->partition ? -1 : 1;
    return left->number > right->number ? -1 : left->number < right->number;
}

static size_t count_blocks(const struct block_list *list, size_t n_partitions)
{
    size_t n = 0;

    for (size_t i = 0; i < n_partitions; i++)
        n += list->partitions[i]->blocks.n;
    return n;
}

/* Last block first: nearly the order that is wanted. */
static struct block_info *put_partition(struct block_info *out, const struct partition *partition, size_t i)
{
    for (size_t k = partition->blocks.n; k-- > 0;) {
        const struct block_entry *entry = &partition->blocks.at[k];
        *out++ = (struct block_info){ .start_min_ns = entry->start_min_ns, .start_max_ns = entry->start_max_ns, .partition = (uint32_t)i,
                                      .number = entry->number, .rows = entry->rows, .fragments = entry->fragments,
                                      .is_stray = entry->flags & BLOCK_FLAG_STRAY };
    }
    return out;
}

/* Blocks come nearly sorted, as time goes on, but for strays and few others: those are taken out, sorted and merged in again. A
 * list of hundreds of thousands is made after each commit, under the lock. */
static void sort_blocks(struct block_info *blocks, size_t n)
{
    struct block_info *others = mem_alloc((n + 1) * sizeof *others);
    size_t kept = 0, n_others = 0;

    for (size_t i = 0; i < n; i++) {
        bool fits = !blocks[i].is_stray && (kept == 0 || newest_first(&blocks[kept - 1], &blocks[i]) < 0);
        if (fits)
            blocks[kept++] = blocks[i];
        else
            others[n_others++] = blocks[i];
    }
    if (n_others)
        qsort(others, n_others, sizeof *others, newest_first);
    for (size_t at = n; n_others > 0;) { /* from the end: what is kept moves up */
        bool take_other = kept == 0 || newest_first(&blocks[kept - 1], &others[n_others - 1]) < 0;
        blocks[--at] = take_other ? others[--n_others] : blocks[--kept];
    }
    mem_free(others);
}

static void make_places(struct block_list *list)
{
    list->places = mem_alloc((list->n_all + 1) * sizeof *list->places);
    for (size_t i = 0; i < list->n_all; i++) {
        const struct partition *partition = list->partitions[i];
        uint32_t most = partition->blocks.n ? partition->blocks.at[partition->blocks.n - 1].number : 0;
        list->places[i] = mem_alloc(((size_t)most + 1) * sizeof(uint32_t));
        memset(list->places[i], 0xff, ((size_t)most + 1) * sizeof(uint32_t));
        list->places[i][0] = most;
    }
    for (size_t i = 0; i < list->n_blocks_all; i++)
        list->places[list->blocks[i].partition][list->blocks[i].number] = (uint32_t)i;
}

static struct block_list *make_list(struct store *store)
{
    struct block_list *list = MEM_NEW(struct block_list);
    struct partition *pins = store->pins.partition;
    struct block_info *out;

    atomic_init(&list->refs, 1);
    list->n_partitions = list->n_all = store->shared.partitions.n;
    list->partitions = mem_alloc((list->n_partitions + 1) * sizeof *list->partitions);
    for (size_t i = 0; i < list->n_partitions; i++)
        list->partitions[i] = partition_ref(store->shared.partitions.at[i]);
    if (pins)
        list->partitions[list->n_all++] = partition_ref(pins);
    list->n_blocks = count_blocks(list, list->n_partitions);
    list->n_blocks_all = count_blocks(list, list->n_all);
    out = list->blocks = mem_alloc((list->n_blocks_all + 1) * sizeof *list->blocks);
    for (size_t i = list->n_partitions; i-- > 0;)
        out = put_partition(out, list->partitions[i], i);
    if (pins)
        (void)put_partition(out, pins, list->n_partitions);
    sort_blocks(list->blocks, list->n_blocks);
    make_places(list);
    return list;
}

static struct block_list *list_ref(struct block_list *list)
{
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    return list;
}

struct block_list *block_list_take(struct store *store)
{
    struct block_list *list;

    pthread_mutex_lock(&store->shared.lock);
    if (!store->shared.list)
        store->shared.list = make_list(store);
    list = list_ref(store->shared.list);
    pthread_mutex_unlock(&store->shared.lock);
    return list;
}

void block_list_unref(struct block_list **pointer)
{
    struct block_list *list = MG_STEAL(*pointer);

    if (!list || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < list->n_all; i++) {
        partition_unref(&list->partitions[i]);
        mem_free(list->places[i]);
    }
    mem_free(list->places);
    mem_free(list->partitions);
    mem_free(list->blocks);
    mem_free(list);
}

void store_list_changed(struct store *store)
{
    block_list_unref(&store->shared.list);
}

/* --- a view ----------------------------------------------------------------------------------------- */

struct cached { const struct block_info *block; struct block_reader *reader; uint64_t used; };

struct store_view {
    struct store *store;
    struct block_list *list;
    struct kv_txn **txns;      /* a partition each, the archive last; NULL until needed */
    struct cached readers[READERS];
    uint64_t clock;
};

struct store_view *store_view_new(struct store *store)
{
    struct store_view *view = MEM_NEW(struct store_view);

    view->store = store;
    view->list = block_list_take(store);
    view->txns = mem_zero(view->list->n_all + 1, sizeof *view->txns);
    return view;
}

void store_view_free(struct store_view **pointer)
{
    struct store_view *view = MG_STEAL(*pointer);

    if (!view)
        return;
    for (size_t i = 0; i < READERS; i++)
        block_close(&view->readers[i].reader);
    for (size_t i = 0; i < view->list->n_all; i++)
        kv_abort(&view->txns[i]);
    mem_free(view->txns);
    block_list_unref(&view->list);
    mem_free(view);
}

size_t store_view_blocks(const struct store_view *view, const struct block_info **blocks)
{
    *blocks = view->list->blocks;
    return view->list->n_blocks;
}

static enum mg_err txn_of(struct store_view *view, uint32_t partition, struct kv_txn **txn, struct mg_why *why)
{
    MG_AUTO(kv_env_unref) struct kv_env *env = NULL; /* the transaction holds its own */

    if (!view->txns[partition]) {
        MG_TRY(partition_env(view->list->partitions[partition], &env, why));
        MG_TRY(kv_begin(&view->txns[partition], env, false, why));
    }
    *txn = view->txns[partition];
    return MG_OK;
}

static enum mg_err value_of(struct store_view *view, const struct block_info *block, unsigned table, struct str *value, struct mg_why *why)
{
    struct kv_txn *txn = NULL;
    uint8_t key[4];

    MG_TRY(txn_of(view, block->partition, &txn, why));
    partition_key(block->number, key);
    if (!kv_get(txn, table, str_n(key, 4), value))
        return mg_fail(why, MG_E_FORMAT, "%s: block %u is missing", view->list->partitions[block->partition]->path, block->number);
    return MG_OK;
}

enum mg_err store_view_may_match(struct store_view *view, const struct block_info *block, const struct span_filter *filter, bool *may)
{
    struct summary summary;
    struct str value;

    if (block->start_max_ns < filter->start_min_ns || block->start_min_ns > filter->start_max_ns) {
        *may = false;
        return MG_OK;
    }
    MG_TRY(value_of(view, block, TABLE_SUM, &value, NULL));
    MG_TRY(summary_read(value, &summary));
    *may = summary_may_match(&summary, filter);
    return MG_OK;
}

/* --- readers ---------------------------------------------------------------------------------------- */

/* The slot for one more reader: an empty one, or the one unused for longest; all older ones go when memory is short. */
static struct cached *slot_for_one(struct store_view *view)
{
    struct cached *oldest = &view->readers[0];
    size_t bytes = 0;

    for (size_t i = 0; i < READERS; i++) {
        struct cached *cached = &view->readers[i];
        if (cached->reader)
            bytes += block_memory(cached->reader);
        if (cached->used < oldest->used)
            oldest = cached;
    }
    for (size_t i = 0; bytes > READERS_BYTES_MAX && i < READERS; i++) {
        block_close(&view->readers[i].reader);
        view->readers[i] = (struct cached){ 0 };
    }
    block_close(&oldest->reader);
    *oldest = (struct cached){ 0 };
    return oldest;
}

enum mg_err store_view_open(struct store_view *view, const struct block_info *block, struct block_reader **reader, struct mg_why *why)
{
    struct cached *slot;
    struct str value;

    for (size_t i = 0; i < READERS; i++)
        if (view->readers[i].block == block) {
            view->readers[i].used = ++view->clock;
            *reader = view->readers[i].reader;
            return MG_OK;
        }
    MG_TRY(value_of(view, block, TABLE_BLK, &value, why));
    kv_will_need(value.ptr, MG_MIN(value.len, (size_t)HEAD_BYTES)); /* header and directory; its segments when they are read */
    slot = slot_for_one(view);
    MG_TRY(block_open(&slot->reader, value, why));
    slot->block = block;
    slot->used = ++view->clock;
    *reader = slot->reader;
    return MG_OK;
}

/* --- a trace's blocks ------------------------------------------------------------------------------- */

struct finding { struct store_view *view; uint32_t *at; size_t n, room; };

/* A block that was committed after the list was made is left out. */
static void add_place(struct finding *finding, uint32_t partition, uint32_t number)
{
    const uint32_t *places = finding->view->list->places[partition];
    uint32_t place = number >= 1 && number <= places[0] ? places[number] : UINT32_MAX;

    if (place != UINT32_MAX && finding->n < finding->room)
        finding->at[finding->n++] = place;
}

static void find_in_merged(struct finding *finding, const struct merged_run *run, uint32_t partition, uint32_t fingerprint)
{
    uint32_t last = 0; /* a block may have the fingerprint twice */

    for (uint32_t i = merged_run_seek(run, fingerprint); i < run->n && merged_run_fingerprint(run, i) == fingerprint; i++) {
        uint32_t number = merged_run_block(run, i);
        if (number != last)
            add_place(finding, partition, number);
        last = number;
    }
}

static void find_in_runs(struct finding *finding, struct kv_txn *txn, uint32_t partition, uint32_t fingerprint)
{
    struct kv_cursor *cursor = NULL;
    struct str key, run;

    while (kv_next(txn, TABLE_RUN, &cursor, &key, &run))
        if (key.len == 4 && get_be32(key.ptr) != RUN_MERGED && run_may_hold(run, fingerprint))
            add_place(finding, partition, get_be32(key.ptr));
}

static void find_pinned(struct finding *finding, uint32_t fingerprint)
{
    struct store_view *view = finding->view;
    uint32_t numbers[64];
    size_t n;

    if (view->list->n_all == view->list->n_partitions)
        return;
    pthread_mutex_lock(&view->store->shared.lock);
    n = pins_find(view->store, fingerprint, numbers, MG_COUNT(numbers));
    pthread_mutex_unlock(&view->store->shared.lock);
    for (size_t i = 0; i < n; i++)
        add_place(finding, (uint32_t)view->list->n_partitions, numbers[i]);
}

size_t store_view_find(struct store_view *view, const uint8_t trace_id[16], uint32_t *at, size_t room)
{
    struct finding finding = { view, at, 0, room };
    uint32_t fingerprint = trace_fingerprint(trace_id);

    find_pinned(&finding, fingerprint);
    for (uint32_t i = 0; i < view->list->n_partitions; i++) {
        struct kv_txn *txn = NULL;
        struct merged_run run;
        struct mg_why why;
        if (txn_of(view, i, &txn, &why) != MG_OK) {
            LOG_EVERY(10, ERROR, "partition left out of a look-up", F_WHY(&why));
            continue;
        }
        if (merged_run_get(txn, &run))
            find_in_merged(&finding, &run, i, fingerprint);
        else
            find_in_runs(&finding, txn, i, fingerprint);
    }
    return finding.n;
}

size_t store_view_find_most(const struct store_view *view)
{
    return view->list->n_blocks_all;
}

/* --- what was decided about a trace ----------------------------------------------------------------------- */

enum { DECISIONS_SORTED = 4096 }; /* gathered before all but the newest are forgotten: late spans may make thousands of one trace */

struct deciding {
    struct store_view *view;
    struct arena *arena;
    const uint8_t *trace_id;
    size_t room;
    VEC(struct store_decision) list;
    struct mg_why damage;          /* the first part that was left out */
};

static int latest_first(const void *a, const void *b)
{
    const struct store_decision *left = a, *right = b;

    if (left->wall_ns != right->wall_ns)
        return left->wall_ns > right->wall_ns ? -1 : 1;
    if (left->is_kept != right->is_kept)
        return left->is_kept ? -1 : 1;
    if (left->position != right->position)
        return left->position > right->position ? -1 : 1;
    return left->outcome > right->outcome ? -1 : left->outcome < right->outcome;
}

/* One decision may have several fragments: a long one is cut, and strays go apart. */
static bool is_same_decision(const struct store_decision *a, const struct store_decision *b)
{
    return a->is_kept && b->is_kept && a->wall_ns == b->wall_ns && a->position == b->position && a->outcome == b->outcome;
}

static void keep_newest(struct deciding *deciding)
{
    struct store_decision *list = deciding->list.at;
    size_t n = 0;

    if (deciding->list.n > 1)
        qsort(list, deciding->list.n, sizeof *list, latest_first);
    for (size_t i = 0; i < deciding->list.n; i++) {
        if (n && is_same_decision(&list[n - 1], &list[i]))
            list[n - 1].rows += list[i].rows;
        else if (n < deciding->room)
            list[n++] = list[i];
        else
            break;
    }
    deciding->list.n = n;
}

static void add_decision(struct deciding *deciding, const struct store_decision *decision)
{
    if (deciding->list.n >= DECISIONS_SORTED + deciding->room)
        keep_newest(deciding);
    VEC_PUSH(&deciding->list, *decision);
}

static void note_damage(struct deciding *deciding, const struct mg_why *why)
{
    LOG_EVERY(10, ERROR, "left out of a trace's decisions", F_WHY(why));
    if (!deciding->damage.text[0])
        deciding->damage = *why;
}

static enum mg_err add_kept(struct deciding *deciding, const struct block_info *block, struct mg_why *why)
{
    struct block_fragment fragment;
    struct block_reader *reader;
    struct summary summary;
    struct str bytes;
    uint32_t first = 0, n;

    MG_TRY(value_of(deciding->view, block, TABLE_SUM, &bytes, why));
    if (summary_read(bytes, &summary) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, "the summary of block %u is damaged", block->number);
    MG_TRY(store_view_open(deciding->view, block, &reader, why));
    n = block_find(reader, deciding->trace_id, &first);
    for (uint32_t i = first; i < first + n; i++) {
        if (block_fragment_info(reader, i, &fragment) != MG_OK)
            return mg_fail(why, MG_E_FORMAT, "the outcomes of block %u are damaged", block->number);
        add_decision(deciding, &(struct store_decision){ .outcome = fragment.outcome, .wall_ns = summary.wall_ns, .position = fragment.position,
                                                         .rows = fragment.rows, .is_kept = true,
                                                         .votes = arena_str(deciding->arena, fragment.votes) });
    }
    return MG_OK;
}

static size_t find_all(struct store_view *view, const uint8_t trace_id[16], uint32_t **at)
{
    size_t most = store_view_find_most(view), room = MG_MIN((size_t)64, most), n;

    for (;; room = MG_MIN(room * 4, most)) {
        *at = mem_alloc(room * sizeof **at);
        n = store_view_find(view, trace_id, *at, room);
        if (n < room || room == most)
            return n;
        mem_free(*at);
    }
}

static void add_blocks(struct deciding *deciding, const uint32_t *at, size_t n, bool of_archive)
{
    const struct block_list *list = deciding->view->list;
    struct mg_why why;

    for (size_t i = 0; i < n; i++)
        if ((at[i] >= list->n_blocks) == of_archive && add_kept(deciding, &list->blocks[at[i]], &why) != MG_OK)
            note_damage(deciding, &why);
}

struct run_copy { VEC(struct decision_run) at; };

static enum mg_err find_in_run(struct deciding *deciding, int fd, const struct decision_run *run, struct decision *found, struct mg_why *why)
{
    size_t n;

    MG_TRY(decisions_find(fd, run, trace_hash(deciding->trace_id), found, deciding->room, &n, why));
    for (size_t i = 0; i < n; i++) {
        struct outcome outcome;
        if (!outcome_unpack(found[i].word, &outcome))
            return mg_fail(why, MG_E_FORMAT, "a decision is damaged");
        add_decision(deciding, &(struct store_decision){ .outcome = found[i].word, .wall_ns = found[i].time_s * UINT64_C(1000000000),
                                                         .votes = STR("") });
    }
    return MG_OK;
}

/* The newest run first: where there are many of a long list, all but the newest are forgotten anyway. */
static void add_runs(struct deciding *deciding, const struct partition *partition, int fd, const struct decision_run *runs, size_t n)
{
    struct decision *found = mem_alloc((deciding->room + 1) * sizeof *found);
    struct mg_why why;

    while (n-- > 0)
        if (find_in_run(deciding, fd, &runs[n], found, &why) != MG_OK) {
            mg_fail_in(&why, MG_E_FORMAT, "%s", partition->decisions.path);
            note_damage(deciding, &why);
        }
    mem_free(found);
}

/* A file whose partition was dropped since is gone, and so are its decisions. */
static void add_dropped(struct deciding *deciding, const struct partition *partition)
{
    struct store *store = deciding->view->store;
    struct run_copy runs = { { 0 } };
    struct decision_run merged;
    struct mg_why why;
    int fd = -1;

    pthread_mutex_lock(&store->shared.lock);
    VEC_RESERVE(&runs.at, partition->decisions.runs.n);
    for (size_t i = 0; i < partition->decisions.runs.n; i++)
        VEC_PUSH(&runs.at, partition->decisions.runs.at[i]);
    pthread_mutex_unlock(&store->shared.lock);
    if (runs.at.n && decisions_open(partition->decisions.path, &fd, &merged, &why) != MG_OK)
        note_damage(deciding, &why);
    if (fd >= 0) {
        add_runs(deciding, partition, fd, merged.n ? &merged : runs.at.at, merged.n ? 1 : runs.at.n);
        close(fd);
    }
    VEC_FINI(&runs.at);
}

static void decide(struct deciding *deciding)
{
    struct store_view *view = deciding->view;
    uint32_t *at;
    size_t n = find_all(view, deciding->trace_id, &at);

    add_blocks(deciding, at, n, false);
    for (size_t i = view->list->n_partitions; i-- > 0;)
        add_dropped(deciding, view->list->partitions[i]);
    if (deciding->list.n == 0) /* the archive has copies, which say when they were pinned: of use when there is nothing else */
        add_blocks(deciding, at, n, true);
    keep_newest(deciding);
    mem_free(at);
}

enum mg_err store_view_decisions(struct store_view *view, const uint8_t trace_id[16], struct arena *arena, struct store_decision *out, size_t room,
                                 size_t *n, struct mg_why *why)
{
    struct deciding deciding = { .view = view, .arena = arena, .trace_id = trace_id, .room = room };
    enum mg_err err = MG_OK;

    decide(&deciding);
    if (deciding.list.n == 0 && deciding.damage.text[0])
        err = mg_fail(why, MG_E_FORMAT, "%s", deciding.damage.text);
    if (err == MG_OK) {
        if (deciding.list.n)
            memcpy(out, deciding.list.at, deciding.list.n * sizeof *out);
        *n = deciding.list.n;
    }
    VEC_FINI(&deciding.list);
    return err;
}

/* --- names and edges --------------------------------------------------------------------------------------- */

/* Names of closed partitions never change, so only those of the open one are read under the lock: merging a week of
 * partitions there would keep the block thread and every new view waiting. */
void store_catalog(struct store *store, struct catalog *into)
{
    VEC(struct partition *) closed = { 0 };

    pthread_mutex_lock(&store->shared.lock);
    for (size_t i = 0; i + 1 < store->shared.partitions.n; i++)
        VEC_PUSH(&closed, partition_ref(store->shared.partitions.at[i]));
    catalog_merge(into, store->shared.partitions.at[store->shared.partitions.n - 1]->names);
    pthread_mutex_unlock(&store->shared.lock);
    while (closed.n > 0) {
        struct partition *partition = VEC_POP(&closed); /* newest first: what does not fit is old */
        catalog_merge(into, partition->names);
        partition_unref(&partition);
    }
    VEC_FINI(&closed);
}

enum mg_err store_view_edges(struct store_view *view, uint32_t first_minute, uint32_t last_minute, edge_fn *on_edge, void *owner, struct mg_why *why)
{
    uint8_t from[4];

    put_be32(from, first_minute);
    for (uint32_t i = 0; i < view->list->n_partitions; i++) {
        struct kv_cursor *cursor = NULL;
        struct kv_txn *txn = NULL;
        struct str key, value;
        enum mg_err err = MG_OK;
        MG_TRY(txn_of(view, i, &txn, why));
        for (bool more = kv_seek(txn, TABLE_DEP, &cursor, str_n(from, 4), &key, &value);
             more && err == MG_OK && key.len == 4 && get_be32(key.ptr) <= last_minute;
             more = kv_next(txn, TABLE_DEP, &cursor, &key, &value))
            err = edges_read(value, on_edge, owner);
        kv_cursor_end(&cursor);
        if (err != MG_OK)
            return mg_fail(why, err, "%s: edges are malformed", view->list->partitions[i]->path);
    }
    return MG_OK;
}
