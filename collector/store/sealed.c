/* sealed.c - see sealed.h.
 *
 * The runs of a partition are merged with a heap straight into the room that LMDB gives: they may be as large as memory
 * that LMDB keeps for the transaction anyway, and a second copy of that is not needed.
 *
 * Fingerprints are evenly spread, so the place of one is guessed from its value, the guess is widened until it encloses the
 * place, and the rest is a binary search: two or three pages of a run of any length. */
#include "store/sealed.h"
#include <stdlib.h>
#include "base/bytes.h"
#include "codec/hash.h"
#include "store/block.h"
#include "store/summary.h"

enum { VERSION = 1, HEAD_BYTES = 16, PAIR_BYTES = 8, ENTRY_BYTES = 32, SEED_RUN = 4, SEED_INDEX = 5 };
#define INDEX_BYTES_MAX ((size_t)1 << 30)

static void write_head(uint8_t *at, size_t bytes, uint32_t n, uint64_t seed)
{
    put_le32(at + 8, VERSION);
    put_le32(at + 12, n);
    put_le64(at, hash64(at + 8, bytes - 8, seed));
}

static bool head_is_sound(struct str value, uint64_t item_bytes, uint32_t *n)
{
    if (value.len < HEAD_BYTES || get_le32(value.ptr + 8) != VERSION)
        return false;
    *n = get_le32(value.ptr + 12);
    return *n <= (value.len - HEAD_BYTES) / item_bytes;
}

static bool checksum_is_right(struct str value, uint64_t seed)
{
    return hash64(value.ptr + 8, value.len - 8, seed) == get_le64(value.ptr);
}

/* --- merging ---------------------------------------------------------------------------------------- */

struct source { const uint8_t *at, *end; uint32_t fingerprint, block; };
struct merge { VEC(struct source) heap; uint64_t n; };

static bool is_before(const struct source *a, const struct source *b)
{
    return a->fingerprint != b->fingerprint ? a->fingerprint < b->fingerprint : a->block < b->block;
}

static void sift_down(struct source *heap, size_t n, size_t i)
{
    struct source moving = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* The runs of all blocks; false: one is malformed or cannot be read, or there are too many. */
static bool gather_runs(struct kv_txn *txn, struct merge *merge)
{
    uint64_t errors = kv_read_errors();
    struct kv_cursor *cursor = NULL;
    struct str key, run;
    bool is_fine = true;

    while (is_fine && kv_next(txn, TABLE_RUN, &cursor, &key, &run)) {
        if (key.len == 4 && get_be32(key.ptr) == RUN_MERGED)
            continue;
        is_fine = key.len == 4 && run.len % 4 == 0 && (merge->n += run.len / 4) < UINT32_MAX;
        if (is_fine && run.len)
            VEC_PUSH(&merge->heap, ((struct source){ (const uint8_t *)run.ptr, (const uint8_t *)run.ptr + run.len,
                                                     get_le32(run.ptr), get_be32(key.ptr) }));
    }
    kv_cursor_end(&cursor);
    for (size_t i = merge->heap.n / 2; i-- > 0;)
        sift_down(merge->heap.at, merge->heap.n, i);
    return is_fine && kv_read_errors() == errors; /* an error looks like the end */
}

/* The least pair; then the next one of its run takes its place. */
static struct source take_least(struct merge *merge)
{
    struct source *top = &merge->heap.at[0], least = *top;

    top->at += 4;
    if (top->at < top->end)
        top->fingerprint = get_le32(top->at);
    else
        *top = merge->heap.at[--merge->heap.n];
    if (merge->heap.n)
        sift_down(merge->heap.at, merge->heap.n, 0);
    return least;
}

static enum mg_err write_run(const struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct merge merge = { .n = 0 };
    enum mg_err err = MG_OK;
    uint8_t key[4], *out;
    void *room;

    partition_key(RUN_MERGED, key);
    if (!gather_runs(txn, &merge))
        err = mg_fail(why, MG_E_FORMAT, "%s: a run is malformed or cannot be read", partition->path);
    size_t bytes = HEAD_BYTES + (size_t)merge.n * PAIR_BYTES;
    if (err == MG_OK)
        err = kv_append(txn, TABLE_RUN, str_n(key, 4), bytes, &room, why);
    if (err == MG_OK) {
        out = (uint8_t *)room + HEAD_BYTES;
        for (uint64_t i = 0; i < merge.n; i++, out += PAIR_BYTES) {
            struct source least = take_least(&merge);
            put_le32(out, least.fingerprint);
            put_le32(out + 4, least.block);
        }
        write_head(room, bytes, (uint32_t)merge.n, SEED_RUN);
    }
    VEC_FINI(&merge.heap);
    return err;
}

/* --- reading a merged run --------------------------------------------------------------------------- */

bool merged_run_open(struct str value, struct merged_run *out)
{
    uint32_t n;

    if (!head_is_sound(value, PAIR_BYTES, &n) || value.len != HEAD_BYTES + (size_t)n * PAIR_BYTES)
        return false;
    *out = (struct merged_run){ (const uint8_t *)value.ptr + HEAD_BYTES, n };
    return true;
}

bool merged_run_get(struct kv_txn *txn, struct merged_run *out)
{
    struct str value;
    uint8_t key[4];

    partition_key(RUN_MERGED, key);
    return kv_get(txn, TABLE_RUN, str_n(key, 4), &value) && merged_run_open(value, out);
}

uint32_t merged_run_fingerprint(const struct merged_run *run, uint32_t at)
{
    return get_le32(run->pairs + (size_t)at * PAIR_BYTES);
}

uint32_t merged_run_block(const struct merged_run *run, uint32_t at)
{
    return get_le32(run->pairs + (size_t)at * PAIR_BYTES + 4);
}

uint32_t merged_run_seek(const struct merged_run *run, uint32_t fingerprint)
{
    uint64_t guess = (uint64_t)fingerprint * run->n >> 32, low = guess, high = guess;

    /* Pairs below `low` are below the fingerprint, those from `high` on are not. */
    for (uint64_t step = 32; low > 0 && merged_run_fingerprint(run, (uint32_t)low - 1) >= fingerprint; step *= 4) {
        high = low - 1;
        low = low > step ? low - step : 0;
    }
    if (low == guess)
        for (uint64_t step = 32; high < run->n && merged_run_fingerprint(run, (uint32_t)high) < fingerprint; step *= 4) {
            low = high + 1;
            high = MG_MIN(high + step, (uint64_t)run->n);
        }
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (merged_run_fingerprint(run, (uint32_t)middle) < fingerprint)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

enum mg_err merged_run_check(struct str value, struct kv_txn *txn, struct mg_why *why)
{
    struct merge merge = { .n = 0 };
    struct merged_run run;
    bool is_equal;

    if (!merged_run_open(value, &run))
        return mg_fail(why, MG_E_FORMAT, "merged run: it is malformed");
    if (!checksum_is_right(value, SEED_RUN))
        return mg_fail(why, MG_E_FORMAT, "merged run: its checksum is wrong");
    if (!txn)
        return MG_OK;
    is_equal = gather_runs(txn, &merge) && merge.n == run.n;
    for (uint32_t i = 0; is_equal && i < run.n; i++) {
        struct source least = take_least(&merge);
        is_equal = least.fingerprint == merged_run_fingerprint(&run, i) && least.block == merged_run_block(&run, i);
    }
    VEC_FINI(&merge.heap);
    return is_equal ? MG_OK : mg_fail(why, MG_E_FORMAT, "merged run: it is not that of the blocks' runs");
}

/* --- the index -------------------------------------------------------------------------------------- */

void sealed_index_make(const struct partition *partition, struct buf *out)
{
    uint8_t entry[ENTRY_BYTES] = { 0 };

    buf_put(out, entry, HEAD_BYTES);
    for (size_t i = 0; i < partition->blocks.n; i++) {
        const struct block_entry *block = &partition->blocks.at[i];
        put_le64(entry, block->start_min_ns);
        put_le64(entry + 8, block->start_max_ns);
        put_le32(entry + 16, block->rows);
        put_le32(entry + 20, block->fragments);
        put_le32(entry + 24, block->flags);
        put_le32(entry + 28, block->number);
        buf_put(out, entry, sizeof entry);
    }
    catalog_write(partition->names, out);
    if (!out->failed)
        write_head((uint8_t *)out->ptr, out->len, (uint32_t)partition->blocks.n, SEED_INDEX);
}

static void note_name(void *owner, struct str service, struct str operation, int kind)
{
    catalog_add(owner, service, operation, kind);
}

static struct block_entry read_entry(const char *at)
{
    return (struct block_entry){ .start_min_ns = get_le64(at), .start_max_ns = get_le64(at + 8), .rows = get_le32(at + 16),
                                 .fragments = get_le32(at + 20), .flags = get_le32(at + 24), .number = get_le32(at + 28) };
}

enum mg_err sealed_index_read(struct str value, struct partition *partition)
{
    struct summary names = { 0 };
    struct catalog *catalog;
    const char *at = value.ptr + HEAD_BYTES;
    uint32_t n, last = 0;

    if (!head_is_sound(value, ENTRY_BYTES, &n) || !checksum_is_right(value, SEED_INDEX))
        return MG_E_FORMAT;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = get_le32(at + (size_t)i * ENTRY_BYTES + 28);
        if (number <= last || number == RUN_MERGED)
            return MG_E_FORMAT;
        last = number;
    }
    names.catalogue = str_n(at + (size_t)n * ENTRY_BYTES, value.len - HEAD_BYTES - (size_t)n * ENTRY_BYTES);
    catalog = catalog_new();
    if (summary_operations(&names, note_name, catalog) != MG_OK) {
        catalog_free(&catalog);
        return MG_E_FORMAT;
    }
    catalog_free(&partition->names);
    partition->names = catalog;
    for (uint32_t i = 0; i < n; i++, at += ENTRY_BYTES)
        partition_add_block(partition, read_entry(at));
    return MG_OK;
}

static enum mg_err write_index(const struct partition *partition, struct kv_txn *txn, struct mg_why *why)
{
    struct buf index;
    enum mg_err err;

    buf_init(&index, INDEX_BYTES_MAX);
    sealed_index_make(partition, &index);
    err = buf_err(&index);
    if (err == MG_OK)
        err = kv_put(txn, TABLE_META, STR("index"), buf_str(&index), why);
    buf_fini(&index);
    return err;
}

enum mg_err sealed_write(struct partition *partition, struct mg_why *why)
{
    MG_AUTO(kv_abort) struct kv_txn *txn = NULL;
    struct str value;

    MG_TRY(kv_begin(&txn, partition->env, true, why));
    if (!kv_get(txn, TABLE_META, STR("sealed"), &value)) { /* else a commit that had failed is there */
        MG_TRY(write_run(partition, txn, why));
        MG_TRY(write_index(partition, txn, why));
        MG_TRY(kv_put(txn, TABLE_META, STR("sealed"), STR(""), why));
        MG_TRY(kv_commit(&txn, why));
    }
    partition->says_sealed = true;
    return MG_OK;
}
