/* decisions_merge.c - the runs of a partition into one (decisions.h).
 *
 * A heap of runs, each with a window of its next entries, and three writers, because a run is three columns: all of it is streamed,
 * whatever its length. The checksum covers the columns one after the other, while they are written side by side, so it is made
 * from the written file, whose pages are still there. Where there are more runs than windows fit into memory, each
 * `fan_in` neighbours become one in a file without a name first; neighbours, so that equal hashes keep their order. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "store/private.h"

enum { WINDOW_ENTRIES = 512, COLUMN_BYTES = 256 << 10, COLUMNS = 3, ENTRIES_A_LOOK = 1 << 16 };

struct run_list { VEC(struct decision_run) at; };

struct source {
    struct decision_run run;
    uint32_t order;    /* of the run: the older one first */
    uint32_t next;     /* entry to be loaded next */
    uint32_t at, n;    /* in the window */
    struct decision *window;
};
struct column { uint64_t at; uint8_t *bytes; size_t n; };

struct merge {
    const struct decisions_merge_options *options;
    int in, out;
    struct source *sources;
    struct source **heap;
    size_t n;
    struct decision *windows;
    struct column columns[COLUMNS]; /* hashes, words, times */
    struct decision_run run;        /* being written */
};

/* --- columns out ---------------------------------------------------------------------------------------- */

static enum mg_err flush(struct merge *merge, struct column *column, struct mg_why *why)
{
    MG_TRY(decisions_pwrite(merge->out, column->bytes, column->n, column->at, why));
    column->at += column->n;
    column->n = 0;
    return MG_OK;
}

static enum mg_err put(struct merge *merge, const struct decision *entry, struct mg_why *why)
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

static void begin_columns(struct merge *merge)
{
    uint64_t at = merge->run.at + DECISION_HEAD_BYTES;

    for (size_t i = 0; i < COLUMNS; i++) {
        merge->columns[i].at = at + i * merge->run.n * 8;
        merge->columns[i].n = 0;
    }
}

static enum mg_err finish_run(struct merge *merge, struct mg_why *why)
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

static enum mg_err load(struct merge *merge, struct source *source, struct mg_why *why)
{
    source->at = 0;
    source->n = MG_MIN(source->run.n - source->next, (uint32_t)WINDOW_ENTRIES);
    MG_TRY(decisions_load(merge->in, &source->run, source->next, source->n, source->window, why));
    source->next += source->n;
    return MG_OK;
}

static enum mg_err advance(struct merge *merge, struct mg_why *why)
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

static enum mg_err begin_sources(struct merge *merge, const struct decision_run *runs, size_t n, struct mg_why *why)
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

/* Runs [runs, runs + n) to one at merge->run.at of the out file. */
static enum mg_err merge_group(struct merge *merge, const struct decision_run *runs, size_t n, struct mg_why *why)
{
    uint64_t entries = 0;

    for (size_t i = 0; i < n; i++)
        entries += runs[i].n;
    if (entries > UINT32_MAX)
        return mg_fail(why, MG_E_TOO_BIG, "decisions: a partition has more than 2^32 of them");
    merge->run.n = (uint32_t)entries;
    merge->run.commit = runs[n - 1].commit;
    begin_columns(merge);
    MG_TRY(begin_sources(merge, runs, n, why));
    for (uint32_t i = 0; merge->n; i++) {
        const struct source *top = merge->heap[0];
        if (i % ENTRIES_A_LOOK == 0 && merge->options->stop && *merge->options->stop)
            return mg_fail(why, MG_E_BUSY, "decisions: the store stops");
        MG_TRY(put(merge, &top->window[top->at], why));
        MG_TRY(advance(merge, why));
    }
    return finish_run(merge, why);
}

/* --- files ---------------------------------------------------------------------------------------------- */

static enum mg_err merge_round(struct merge *merge, const struct run_list *runs, struct run_list *out, struct mg_why *why)
{
    size_t fan_in = merge->options->fan_in;

    VEC_CLEAR(&out->at);
    merge->run.at = 0;
    for (size_t i = 0; i < runs->at.n; i += fan_in) {
        MG_TRY(merge_group(merge, &runs->at.at[i], MG_MIN(fan_in, runs->at.n - i), why));
        VEC_PUSH(&out->at, merge->run);
        merge->run.at += decision_run_bytes(merge->run.n);
    }
    return MG_OK;
}

/* As long as there are too many for one round. *runs and merge->in become those of the file without a name. */
static enum mg_err merge_down(struct merge *merge, struct run_list *runs, struct mg_why *why)
{
    struct run_list fewer = { { 0 } };
    enum mg_err err = MG_OK;

    while (err == MG_OK && runs->at.n > merge->options->fan_in) {
        err = store_nameless(merge->options->dir, &merge->out, why);
        if (err != MG_OK)
            break;
        err = merge_round(merge, runs, &fewer, why);
        close(merge->in);
        merge->in = merge->out;
        merge->out = -1;
        struct run_list other = *runs;
        *runs = fewer;
        fewer = other;
    }
    VEC_FINI(&fewer.at);
    return err;
}

static enum mg_err write_file(struct merge *merge, const struct run_list *runs, const char *temporary, struct mg_why *why)
{
    merge->out = open(temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (merge->out < 0)
        return mg_fail_os(why, errno, "cannot create %s", temporary);
    merge->run = (struct decision_run){ .is_merged = true };
    MG_TRY(merge_group(merge, runs->at.at, runs->at.n, why));
    return fdatasync(merge->out) == 0 ? MG_OK : mg_fail_os(why, errno, "cannot sync %s", temporary);
}

static enum mg_err put_in_place(struct merge *merge, const struct run_list *runs, const char *path, struct mg_why *why)
{
    struct buf text;
    char *temporary;
    enum mg_err err;

    buf_init(&text, 8192);
    buf_printf(&text, "%s.tmp", path);
    temporary = buf_take(&text, NULL);
    err = write_file(merge, runs, temporary, why);
    if (err == MG_OK && rename(temporary, path) != 0)
        err = mg_fail_os(why, errno, "cannot rename %s", temporary);
    if (err != MG_OK)
        (void)unlink(temporary); /* or the next start does */
    else
        err = store_sync_dir(merge->options->dir, why);
    mem_free(temporary);
    return err;
}

static void merge_init(struct merge *merge, size_t n)
{
    n = MG_MIN(n, merge->options->fan_in);
    merge->sources = mem_alloc(n * sizeof *merge->sources);
    merge->heap = mem_alloc(n * sizeof *merge->heap);
    merge->windows = mem_alloc(n * WINDOW_ENTRIES * sizeof *merge->windows);
    for (size_t i = 0; i < COLUMNS; i++)
        merge->columns[i].bytes = mem_alloc(COLUMN_BYTES);
}

static void merge_fini(struct merge *merge)
{
    if (merge->in >= 0)
        close(merge->in);
    if (merge->out >= 0)
        close(merge->out);
    mem_free(merge->sources);
    mem_free(merge->heap);
    mem_free(merge->windows);
    for (size_t i = 0; i < COLUMNS; i++)
        mem_free(merge->columns[i].bytes);
}

/* Those whose checksums are right. Only a wrong one is damage: what cannot be read now may be read the next time. */
static enum mg_err sound_runs(const struct decisions *decisions, int fd, struct run_list *out, unsigned *damaged, struct mg_why *why)
{
    for (size_t i = 0; i < decisions->runs.n; i++) {
        const struct decision_run *run = &decisions->runs.at[i];
        enum mg_err err = decisions_verify(fd, run, why);
        if (err == MG_OK)
            VEC_PUSH(&out->at, *run);
        else if (err == MG_E_FORMAT)
            ++*damaged;
        else
            return err;
    }
    return MG_OK;
}

static enum mg_err merge_all(struct merge *merge, const struct decisions *decisions, struct decision_run *out, unsigned *damaged, struct mg_why *why)
{
    struct run_list runs = { { 0 } };
    enum mg_err err = sound_runs(decisions, merge->in, &runs, damaged, why);

    out->n = 0;
    if (err == MG_OK && runs.at.n) {
        merge_init(merge, runs.at.n);
        err = merge_down(merge, &runs, why);
        if (err == MG_OK)
            err = put_in_place(merge, &runs, decisions->path, why);
        if (err == MG_OK)
            *out = merge->run;
    } else if (err == MG_OK) {
        err = unlink(decisions->path) == 0 || errno == ENOENT ? store_sync_dir(merge->options->dir, why) : mg_fail_os(why, errno, "cannot unlink");
    }
    VEC_FINI(&runs.at);
    return err;
}

enum mg_err decisions_merge(const struct decisions *decisions, const struct decisions_merge_options *options, struct decision_run *out,
                            unsigned *damaged, struct mg_why *why)
{
    struct merge merge = { .options = options, .in = -1, .out = -1 };
    struct decision_run made = { 0 };
    unsigned left_out = 0;
    enum mg_err err;

    assert(options->fan_in >= 2);
    err = decisions_open(decisions->path, &merge.in, &made, why);
    if (err == MG_OK && made.n > 0)
        err = store_sync_dir(options->dir, why); /* renamed before, and what came next may have failed */
    else if (err == MG_OK && merge.in >= 0)
        err = merge_all(&merge, decisions, &made, &left_out, why);
    merge_fini(&merge);
    if (err != MG_OK)
        return mg_fail_in(why, err, "%s", decisions->path);
    *out = made;
    *damaged = left_out;
    return MG_OK;
}
