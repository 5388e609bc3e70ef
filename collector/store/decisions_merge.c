/* decisions_merge.c - the runs of a partition into one (decisions.h).
 *
 * A heap of runs, each with a window of its next entries, and three writers, because a run is three columns: all of it is streamed,
 * whatever its length. The checksum covers the columns one after the other, while they are written side by side, so it is made
 * from the written file, whose pages are still there. Where there are more runs than windows fit into memory, each
 * `fan_in` neighbours become one in a file without a name first; neighbours, so that equal hashes keep their order.
 *
 * All of it is done in slices, for the thread that merges also commits: some runs are verified, or some entries merged and synced, and what
 * comes next is in `struct decisions_merging`. What is not cut is the end, the checksum of what was written and a last sync. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "store/private.h"

enum { WINDOW_ENTRIES = 512, COLUMN_BYTES = 256 << 10, COLUMNS = 3, ENTRIES_A_SLICE = 1 << 15, ENTRIES_A_SYNC = 1 << 18, ENTRIES_A_VERIFYING = 1 << 19 };

struct source {
    struct decision_run run;
    uint32_t order;    /* of the run: the older one first */
    uint32_t next;     /* entry to be loaded next */
    uint32_t at, n;    /* in the window */
    struct decision *window;
};
struct column { uint64_t at; uint8_t *bytes; size_t n; };

struct decision_runs { VEC(struct decision_run) at; };
struct decisions_merging {
    const struct decisions *decisions;
    struct decisions_merge_options options;
    char *temporary;
    int in, out;
    size_t verified;                /* of the listed runs */
    struct decision_runs runs, fewer; /* of this pass; what it has made of them so far */
    size_t next;                    /* the run of this pass that the next group begins with */
    struct source *sources;         /* NULL: nothing is merged yet */
    struct source **heap;
    size_t n;                       /* in the heap; 0: no group is under way */
    struct decision *windows;
    struct column columns[COLUMNS]; /* hashes, words, times */
    struct decision_run run;        /* being written, then the result */
    uint32_t unsynced;              /* entries since the last sync of the temporary file */
    unsigned damaged;
    bool is_named;                  /* the temporary file is there */
    bool is_merged;                 /* the file was one run before */
};

/* --- columns out ---------------------------------------------------------------------------------------- */

static enum mg_err flush(struct decisions_merging *merge, struct column *column, struct mg_why *why)
{
    MG_TRY(decisions_pwrite(merge->out, column->bytes, column->n, column->at, why));
    column->at += column->n;
    column->n = 0;
    return MG_OK;
}

static enum mg_err put(struct decisions_merging *merge, const struct decision *entry, struct mg_why *why)
{
    struct column *columns = merge->columns;

    for (size_t i = 0; i < COLUMNS; i++)
        if (columns[i].n + 8 > COLUMN_BYTES)
            MG_TRY(flush(merge, &columns[i], why));
    put_le64(columns[0].bytes + columns[0].n, entry->hash);
    put_le64(columns[1].bytes + columns[1].n, entry->word);
    put_le32(columns[2].bytes + columns[2].n, entry->time_s);
    columns[0].n += 8;
    columns[1].n += 8;
    columns[2].n += 4;
    return MG_OK;
}

static void begin_columns(struct decisions_merging *merge)
{
    uint64_t at = merge->run.at + DECISION_HEAD_BYTES;

    for (size_t i = 0; i < COLUMNS; i++) {
        merge->columns[i].at = at + i * merge->run.n * 8;
        merge->columns[i].n = 0;
    }
}

static enum mg_err finish_run(struct decisions_merging *merge, struct mg_why *why)
{
    uint8_t head[DECISION_HEAD_BYTES];
    uint64_t checksum;

    for (size_t i = 0; i < COLUMNS; i++)
        MG_TRY(flush(merge, &merge->columns[i], why));
    decisions_put_head(head, &merge->run);
    MG_TRY(decisions_checksum(merge->out, head, &merge->run, &checksum, why));
    put_le64(head + DECISION_HEAD_BYTES - 8, checksum);
    return decisions_pwrite(merge->out, head, sizeof head, merge->run.at, why);
}

/* --- the heap ------------------------------------------------------------------------------------------- */

static bool is_before(const struct source *a, const struct source *b)
{
    uint64_t left = a->window[a->at].hash, right = b->window[b->at].hash;

    return left != right ? left < right : a->order < b->order;
}

static void sift_down(struct source **heap, size_t n, size_t i)
{
    struct source *moving = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_before(heap[child + 1], heap[child]))
            child++;
        if (!is_before(heap[child], moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static enum mg_err load(struct decisions_merging *merge, struct source *source, struct mg_why *why)
{
    source->at = 0;
    source->n = MG_MIN(source->run.n - source->next, (uint32_t)WINDOW_ENTRIES);
    MG_TRY(decisions_load(merge->in, &source->run, source->next, source->n, source->window, why));
    source->next += source->n;
    return MG_OK;
}

static enum mg_err advance(struct decisions_merging *merge, struct mg_why *why)
{
    struct source *top = merge->heap[0];

    if (++top->at == top->n) {
        MG_TRY(load(merge, top, why));
        if (top->n == 0)
            merge->heap[0] = merge->heap[--merge->n];
    }
    if (merge->n)
        sift_down(merge->heap, merge->n, 0);
    return MG_OK;
}

static enum mg_err begin_sources(struct decisions_merging *merge, const struct decision_run *runs, size_t n, struct mg_why *why)
{
    merge->n = n;
    for (size_t i = 0; i < n; i++) {
        struct source *source = &merge->sources[i];
        *source = (struct source){ .run = runs[i], .order = (uint32_t)i, .window = merge->windows + i * WINDOW_ENTRIES };
        MG_TRY(load(merge, source, why));
        merge->heap[i] = source;
    }
    for (size_t i = n / 2; i-- > 0;)
        sift_down(merge->heap, n, i);
    return MG_OK;
}

/* --- groups of runs ------------------------------------------------------------------------------------- */

static bool is_last_pass(const struct decisions_merging *merge)
{
    return merge->runs.at.n <= merge->options.fan_in;
}

/* The next runs of this pass to one at merge->run.at of the out file. */
static enum mg_err begin_group(struct decisions_merging *merge, struct mg_why *why)
{
    const struct decision_run *runs = &merge->runs.at.at[merge->next];
    size_t n = MG_MIN(merge->options.fan_in, merge->runs.at.n - merge->next);
    uint64_t entries = 0;

    for (size_t i = 0; i < n; i++)
        entries += runs[i].n;
    if (entries > UINT32_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "decisions: a partition has more than 2^32 of them");
    merge->run.n = (uint32_t)entries;
    merge->run.commit = runs[n - 1].commit;
    merge->next += n;
    begin_columns(merge);
    return begin_sources(merge, runs, n, why);
}

static enum mg_err end_group(struct decisions_merging *merge, struct mg_why *why)
{
    MG_TRY(finish_run(merge, why));
    VEC_PUSH(&merge->fewer.at, merge->run);
    merge->run.at += decision_run_bytes(merge->run.n);
    return MG_OK;
}

static enum mg_err go_on_with_group(struct decisions_merging *merge, struct mg_why *why)
{
    for (uint32_t i = 0; merge->n && i < ENTRIES_A_SLICE; i++) {
        const struct source *top = merge->heap[0];
        MG_TRY(put(merge, &top->window[top->at], why));
        MG_TRY(advance(merge, why));
    }
    if (merge->n == 0)
        return end_group(merge, why);
    /* So that there is not all of it to be synced at the end; what is made before the last pass need not be. */
    if (!merge->is_named || (merge->unsynced += ENTRIES_A_SLICE) < ENTRIES_A_SYNC)
        return MG_OK;
    merge->unsynced = 0;
    return fdatasync(merge->out) == 0 ? MG_OK : mg_fail_os(why, errno, "cannot sync %s", merge->temporary);
}

/* --- passes --------------------------------------------------------------------------------------------- */

static enum mg_err begin_pass(struct decisions_merging *merge, struct mg_why *why)
{
    merge->next = 0;
    merge->run = (struct decision_run){ .is_merged = is_last_pass(merge) };
    if (!is_last_pass(merge))
        return store_nameless(merge->options.dir, &merge->out, why);
    merge->out = open(merge->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (merge->out < 0)
        return mg_fail_os(why, errno, "cannot create %s", merge->temporary);
    merge->is_named = true;
    return MG_OK;
}

/* The runs of the file without a name are those of the next pass. */
static void end_pass(struct decisions_merging *merge)
{
    struct decision_runs other = merge->runs;

    close(merge->in);
    merge->in = merge->out;
    merge->out = -1;
    merge->runs = merge->fewer;
    merge->fewer = other;
    VEC_CLEAR(&merge->fewer.at);
}

static enum mg_err put_in_place(struct decisions_merging *merge, struct mg_why *why)
{
    if (fdatasync(merge->out) != 0)
        return mg_fail_os(why, errno, "cannot sync %s", merge->temporary);
    if (rename(merge->temporary, merge->decisions->path) != 0)
        return mg_fail_os(why, errno, "cannot rename %s", merge->temporary);
    merge->is_named = false;
    merge->run = merge->fewer.at.at[0];
    return store_sync_dir(merge->options.dir, why);
}

static enum mg_err go_on_merging(struct decisions_merging *merge, bool *is_done, struct mg_why *why)
{
    if (merge->out < 0)
        MG_TRY(begin_pass(merge, why));
    if (merge->n == 0)
        MG_TRY(begin_group(merge, why));
    MG_TRY(go_on_with_group(merge, why));
    if (merge->n > 0 || merge->next < merge->runs.at.n)
        return MG_OK;
    *is_done = is_last_pass(merge);
    if (*is_done)
        return put_in_place(merge, why);
    end_pass(merge);
    return MG_OK;
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static void make_room(struct decisions_merging *merge)
{
    size_t n = MG_MIN(merge->runs.at.n, merge->options.fan_in);

    merge->sources = mem_alloc(n * sizeof *merge->sources);
    merge->heap = mem_alloc(n * sizeof *merge->heap);
    merge->windows = mem_alloc(n * WINDOW_ENTRIES * sizeof *merge->windows);
    for (size_t i = 0; i < COLUMNS; i++)
        merge->columns[i].bytes = mem_alloc(COLUMN_BYTES);
}

/* Those whose checksum is right. Only a wrong one is damage: what cannot be read now may be read the next time. */
static enum mg_err go_on_verifying(struct decisions_merging *merge, struct mg_why *why)
{
    uint64_t entries = 0;

    for (; merge->verified < merge->decisions->runs.n && entries < ENTRIES_A_VERIFYING; merge->verified++) {
        const struct decision_run *run = &merge->decisions->runs.at[merge->verified];
        enum mg_err err = decisions_verify(merge->in, run, why);
        if (err == MG_OK)
            VEC_PUSH(&merge->runs.at, *run);
        else if (err == MG_E_FORMAT)
            merge->damaged++;
        else
            return err;
        entries += run->n;
    }
    return MG_OK;
}

static enum mg_err remove_file(const struct decisions_merging *merge, struct mg_why *why)
{
    if (unlink(merge->decisions->path) != 0 && errno != ENOENT)
        return mg_fail_os(why, errno, "cannot unlink");
    return store_sync_dir(merge->options.dir, why);
}

enum mg_err decisions_merging_step(struct decisions_merging *merge, bool *is_done, struct mg_why *why)
{
    enum mg_err err = MG_OK;

    *is_done = false;
    if (merge->options.stop && *merge->options.stop)
        return mg_fail(why, MG_E_BUSY, "decisions: the store stops");
    if (merge->in < 0 || merge->is_merged) {
        *is_done = true;
        err = merge->is_merged ? store_sync_dir(merge->options.dir, why) : MG_OK; /* it was renamed, and what came next may have failed */
    } else if (merge->verified < merge->decisions->runs.n) {
        err = go_on_verifying(merge, why);
    } else if (merge->runs.at.n == 0) {
        *is_done = true;
        err = remove_file(merge, why);
    } else {
        if (!merge->sources)
            make_room(merge);
        err = go_on_merging(merge, is_done, why);
    }
    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "%s", merge->decisions->path);
}

void decisions_merging_result(const struct decisions_merging *merge, struct decision_run *out, unsigned *damaged)
{
    *out = merge->run;
    *damaged = merge->damaged;
}

enum mg_err decisions_merging_new(struct decisions_merging **out, const struct decisions *decisions, const struct decisions_merge_options *options,
                                  struct mg_why *why)
{
    struct decisions_merging *merge = MEM_NEW(struct decisions_merging);
    enum mg_err err;
    struct buf text;

    assert(options->fan_in >= 2);
    *merge = (struct decisions_merging){ .decisions = decisions, .options = *options, .in = -1, .out = -1 };
    buf_init(&text, 8192);
    buf_printf(&text, "%s.tmp", decisions->path);
    merge->temporary = buf_take(&text, NULL);
    err = decisions_open(decisions->path, &merge->in, &merge->run, why);
    merge->is_merged = merge->run.n > 0;
    if (err != MG_OK) {
        decisions_merging_free(&merge);
        return mg_fail_in(why, err, "%s", decisions->path);
    }
    *out = merge;
    return MG_OK;
}

void decisions_merging_free(struct decisions_merging **pointer)
{
    struct decisions_merging *merge = MG_STEAL(*pointer);

    if (!merge)
        return;
    if (merge->is_named)
        (void)unlink(merge->temporary); /* or the next start does */
    if (merge->in >= 0)
        close(merge->in);
    if (merge->out >= 0)
        close(merge->out);
    VEC_FINI(&merge->runs.at);
    VEC_FINI(&merge->fewer.at);
    mem_free(merge->sources);
    mem_free(merge->heap);
    mem_free(merge->windows);
    for (size_t i = 0; i < COLUMNS; i++)
        mem_free(merge->columns[i].bytes);
    mem_free(merge->temporary);
    mem_free(merge);
}

enum mg_err decisions_merge(const struct decisions *decisions, const struct decisions_merge_options *options, struct decision_run *out,
                            unsigned *damaged, struct mg_why *why)
{
    MG_AUTO(decisions_merging_free) struct decisions_merging *merge = NULL;

    MG_TRY(decisions_merging_new(&merge, decisions, options, why));
    for (bool is_done = false; !is_done;)
        MG_TRY(decisions_merging_step(merge, &is_done, why));
    decisions_merging_result(merge, out, damaged);
    return MG_OK;
}
