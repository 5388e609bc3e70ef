/* decisions.c - see decisions.h.
 *
 * A run is found by walking from head to head. A head that is damaged would hide all runs after it, so the next one is then looked for
 * by its magic, and believed when its checksum is right. A damaged count may also lead beside the next head; then the run
 * before is the suspect. */
#include "store/decisions.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/log.h"
#include "codec/hash.h"
#include "store/private.h"

enum { VERSION = 1, FLAG_MERGED = 1, SEED = 7, CHUNK_BYTES = 256 << 10, CHECKED_BYTES = 24 };
static const char magic[6] = "MGWHY";

char *decisions_path(const char *dir, uint32_t number)
{
    struct buf path;

    buf_init(&path, 4096);
    buf_printf(&path, "%s/%06u.why", dir, number);
    return buf_take(&path, NULL);
}

void decisions_init(struct decisions *decisions, const char *dir, uint32_t number)
{
    *decisions = (struct decisions){ .fd = -1 };
    if (number != PINS_NUMBER)
        decisions->path = decisions_path(dir, number);
}

static void close_fd(struct decisions *decisions)
{
    if (decisions->fd >= 0)
        close(decisions->fd);
    decisions->fd = -1;
}

void decisions_fini(struct decisions *decisions)
{
    if (!decisions->path)
        return;
    close_fd(decisions);
    VEC_FINI(&decisions->runs);
    mem_free(decisions->path);
}

/* --- plain reads and writes ----------------------------------------------------------------------------- */

enum mg_err decisions_pread(int fd, void *out, size_t bytes, uint64_t at, struct mg_why *why)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(fd, (char *)out + done, bytes - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return mg_fail_os(why, errno, "decisions: cannot read");
        if (got == 0)
            return mg_fail(why, MG_E_FORMAT, "decisions: the file ends at byte %llu", (unsigned long long)(at + done));
        done += (size_t)got;
    }
    return MG_OK;
}

enum mg_err decisions_pwrite(int fd, const void *bytes, size_t n, uint64_t at, struct mg_why *why)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(fd, (const char *)bytes + done, n - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return mg_fail_os(why, put < 0 ? errno : ENOSPC, "decisions: cannot write");
        done += (size_t)put;
    }
    return MG_OK;
}

/* --- heads ---------------------------------------------------------------------------------------------- */

void decisions_put_head(uint8_t head[DECISION_HEAD_BYTES], const struct decision_run *run)
{
    memset(head, 0, DECISION_HEAD_BYTES);
    memcpy(head, magic, sizeof magic);
    put_le16(head + 6, VERSION);
    put_le32(head + 8, run->n);
    put_le32(head + 12, run->is_merged ? FLAG_MERGED : 0);
    put_le64(head + 16, run->commit);
}

/* A run that could stand there: all of it lies before `limit`. */
static bool head_is_sound(const uint8_t *head, uint64_t at, uint64_t limit, struct decision_run *out)
{
    uint32_t flags = get_le32(head + 12);

    *out = (struct decision_run){ .at = at, .n = get_le32(head + 8), .commit = get_le64(head + 16), .is_merged = flags & FLAG_MERGED };
    return memcmp(head, magic, sizeof magic) == 0 && get_le16(head + 6) == VERSION && (flags & ~(uint32_t)FLAG_MERGED) == 0 && out->n > 0 &&
           decision_run_bytes(out->n) <= limit - at;
}

static bool read_head(int fd, uint64_t at, uint64_t limit, struct decision_run *out)
{
    uint8_t head[DECISION_HEAD_BYTES];

    return at < limit && limit - at >= sizeof head && decisions_pread(fd, head, sizeof head, at, NULL) == MG_OK &&
           head_is_sound(head, at, limit, out);
}

enum mg_err decisions_checksum(int fd, const uint8_t head[DECISION_HEAD_BYTES], const struct decision_run *run, uint64_t *out, struct mg_why *why)
{
    struct hash64_stream *stream = hash64_new();
    uint64_t at = run->at + DECISION_HEAD_BYTES, left = (uint64_t)run->n * DECISION_BYTES;
    char *chunk = mem_alloc(CHUNK_BYTES);
    enum mg_err err = MG_OK;

    hash64_begin(stream, SEED);
    hash64_add(stream, head, CHECKED_BYTES);
    while (left && err == MG_OK) {
        size_t n = (size_t)MG_MIN(left, (uint64_t)CHUNK_BYTES);
        err = decisions_pread(fd, chunk, n, at, why);
        if (err == MG_OK)
            hash64_add(stream, chunk, n);
        at += n;
        left -= n;
    }
    if (err == MG_OK)
        *out = hash64_end(stream);
    mem_free(chunk);
    hash64_free(&stream);
    return err;
}

enum mg_err decisions_verify(int fd, const struct decision_run *run, struct mg_why *why)
{
    uint8_t head[DECISION_HEAD_BYTES];
    uint64_t checksum;

    MG_TRY(decisions_pread(fd, head, sizeof head, run->at, why));
    MG_TRY(decisions_checksum(fd, head, run, &checksum, why));
    if (checksum != get_le64(head + CHECKED_BYTES))
        return mg_fail(why, MG_E_FORMAT, "decisions: the checksum of the run at byte %llu is wrong", (unsigned long long)run->at);
    return MG_OK;
}

/* --- which runs there are ------------------------------------------------------------------------------- */

/* The first place in [from, limit) where a run stands whose checksum is right; limit: none. */
static uint64_t find_run(int fd, uint64_t from, uint64_t limit)
{
    char *chunk = mem_alloc(CHUNK_BYTES);
    struct decision_run run;
    uint64_t found = limit;

    while (found == limit && limit > from && limit - from >= DECISION_HEAD_BYTES) {
        size_t n = (size_t)MG_MIN(limit - from, (uint64_t)CHUNK_BYTES);
        if (decisions_pread(fd, chunk, n, from, NULL) != MG_OK)
            break;
        struct str left = str_n(chunk, n);
        for (size_t at; found == limit && str_find(left, str_n(magic, sizeof magic), &at);) {
            uint64_t place = from + (uint64_t)(left.ptr + at - chunk);
            if (read_head(fd, place, limit, &run) && decisions_verify(fd, &run, NULL) == MG_OK)
                found = place;
            left = str_n(left.ptr + at + 1, left.len - at - 1);
        }
        from += n - (sizeof magic - 1); /* one may begin in this chunk and end in the next */
    }
    mem_free(chunk);
    return found;
}

/* No head stands at `at`, where the last run ends: either that run's count is damaged, or what stands there. */
static uint64_t walk_on(struct decisions *decisions, int fd, uint64_t at, uint64_t limit)
{
    const struct decision_run *last = decisions->runs.n ? &decisions->runs.at[decisions->runs.n - 1] : NULL;

    decisions->damaged++;
    if (last && decisions_verify(fd, last, NULL) != MG_OK) {
        at = last->at;
        decisions->runs.n--;
    }
    return find_run(fd, at + 1, limit);
}

static void walk(struct decisions *decisions, int fd, uint64_t limit)
{
    struct decision_run run;
    uint64_t at = 0;

    while (at < limit) {
        if (read_head(fd, at, limit, &run) && !run.is_merged) {
            VEC_PUSH(&decisions->runs, run);
            at += decision_run_bytes(run.n);
        } else {
            at = walk_on(decisions, fd, at, limit);
        }
    }
}

static void count_entries(struct decisions *decisions)
{
    decisions->entries = 0;
    for (size_t i = 0; i < decisions->runs.n; i++)
        decisions->entries += decisions->runs.at[i].n;
}

static void set_merged(struct decisions *decisions, const struct decision_run *run)
{
    VEC_CLEAR(&decisions->runs);
    VEC_PUSH(&decisions->runs, *run);
    decisions->is_merged = true;
    decisions->length = decision_run_bytes(run->n);
    decisions->entries = run->n;
}

static enum mg_err open_file(const char *path, int *fd, struct stat *file, struct mg_why *why)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold the start */
    if (*fd < 0)
        return errno == ENOENT ? MG_OK : mg_fail_os(why, errno, "cannot open %s", path);
    if (fstat(*fd, file) == 0 && S_ISREG(file->st_mode))
        return MG_OK;
    mg_fail(why, MG_E_IO, "%s is no file that can be read", path);
    close(*fd);
    *fd = -1;
    return MG_E_IO;
}

static bool read_merged(int fd, const struct stat *file, struct decision_run *out)
{
    return read_head(fd, 0, (uint64_t)file->st_size, out) && out->is_merged && decision_run_bytes(out->n) == (uint64_t)file->st_size;
}

enum mg_err decisions_open(const char *path, int *fd, struct decision_run *merged, struct mg_why *why)
{
    struct stat file;

    merged->n = 0;
    MG_TRY(open_file(path, fd, &file, why));
    if (*fd >= 0 && !read_merged(*fd, &file, merged))
        merged->n = 0;
    return MG_OK;
}

void decisions_read(struct decisions *decisions, uint64_t length)
{
    struct mg_why why = { "" };
    struct decision_run merged;
    struct stat file;
    int fd;

    if (!decisions->path)
        return;
    VEC_CLEAR(&decisions->runs);
    decisions->length = length;
    if (open_file(decisions->path, &fd, &file, &why) != MG_OK) {
        LOG(ERROR, "decisions cannot be read", F_WHY(&why));
        decisions->damaged++;
        return;
    }
    if (fd < 0) {
        decisions->length = 0;
        return;
    }
    decisions->disk_bytes = (uint64_t)file.st_blocks * 512;
    if (read_merged(fd, &file, &merged)) {
        set_merged(decisions, &merged);
    } else {
        walk(decisions, fd, MG_MIN(length, (uint64_t)file.st_size));
        decisions->damaged += length > (uint64_t)file.st_size;
        count_entries(decisions);
    }
    close(fd);
}

void decisions_cut(const struct decisions *decisions)
{
    int fd = decisions->path && !decisions->is_merged ? open(decisions->path, O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat file;

    if (fd < 0)
        return;
    if (fstat(fd, &file) == 0 && (uint64_t)file.st_size > decisions->length && ftruncate(fd, (off_t)decisions->length) != 0)
        LOG(WARN, "decisions not cut", F_TEXT("path", decisions->path), F_I64("errno", errno));
    close(fd);
}

void decisions_forget(struct decisions *decisions)
{
    close_fd(decisions);
    VEC_CLEAR(&decisions->runs);
    decisions->length = decisions->entries = decisions->disk_bytes = 0;
    decisions->is_merged = false;
}

void decisions_unlink(const struct decisions *decisions)
{
    if (decisions->path && unlink(decisions->path) != 0 && errno != ENOENT)
        LOG(ERROR, "decisions not unlinked", F_TEXT("path", decisions->path), F_I64("errno", errno));
}

void decisions_merged(struct decisions *decisions, const struct decision_run *run)
{
    struct stat file;

    decisions_forget(decisions);
    if (run->n == 0)
        return;
    set_merged(decisions, run);
    if (stat(decisions->path, &file) == 0)
        decisions->disk_bytes = (uint64_t)file.st_blocks * 512;
}

/* --- appending ------------------------------------------------------------------------------------------ */

static int by_hash(const void *a, const void *b)
{
    const struct decision *left = a, *right = b;

    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static uint8_t *make_run(const struct decision *entries, const struct decision_run *run)
{
    uint8_t *bytes = mem_alloc((size_t)decision_run_bytes(run->n)), *hashes = bytes + DECISION_HEAD_BYTES;
    uint8_t *words = hashes + (size_t)run->n * 8, *times = words + (size_t)run->n * 8;
    struct hash64_stream *stream = hash64_new();

    for (uint32_t i = 0; i < run->n; i++) {
        put_le64(hashes + (size_t)i * 8, entries[i].hash);
        put_le64(words + (size_t)i * 8, entries[i].word);
        put_le32(times + (size_t)i * 4, entries[i].time_s);
    }
    decisions_put_head(bytes, run);
    hash64_begin(stream, SEED);
    hash64_add(stream, bytes, CHECKED_BYTES);
    hash64_add(stream, hashes, (size_t)run->n * DECISION_BYTES);
    put_le64(bytes + CHECKED_BYTES, hash64_end(stream));
    hash64_free(&stream);
    return bytes;
}

/* The directory too, when this may be the file's first run: its name must survive as long as the state that counts its bytes. */
static enum mg_err open_for_append(struct decisions *decisions, struct mg_why *why)
{
    int failed;

    if (decisions->fd >= 0)
        return MG_OK;
    decisions->fd = open(decisions->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (decisions->fd < 0)
        return mg_fail_os(why, errno, "cannot open %s", decisions->path);
    failed = decisions->length ? 0 : file_sync_parent(decisions->path);
    return failed ? mg_fail_os(why, failed, "cannot sync the directory of %s", decisions->path) : MG_OK;
}

static enum mg_err append(struct decisions *decisions, const uint8_t *bytes, const struct decision_run *run, struct mg_why *why)
{
    struct stat file;

    MG_TRY(open_for_append(decisions, why));
    MG_TRY(decisions_pwrite(decisions->fd, bytes, (size_t)decision_run_bytes(run->n), run->at, why));
    if (fdatasync(decisions->fd) != 0)
        return mg_fail_os(why, errno, "cannot sync the decisions");
    if (fstat(decisions->fd, &file) == 0)
        decisions->disk_bytes = (uint64_t)file.st_blocks * 512;
    return MG_OK;
}

enum mg_err decisions_append(struct decisions *decisions, struct decision *entries, const struct decision_run *run, struct mg_why *why)
{
    uint8_t *bytes;
    enum mg_err err;

    assert(run->n > 0 && run->at >= decisions->length && !decisions->is_merged);
    qsort(entries, run->n, sizeof *entries, by_hash);
    bytes = make_run(entries, run);
    err = append(decisions, bytes, run, why);
    mem_free(bytes);
    if (err != MG_OK) {
        mg_fail_in(why, err, "%s", decisions->path);
        close_fd(decisions); /* opened anew by the next one: the failure may be the descriptor's */
    }
    return err;
}

void decisions_added(struct decisions *decisions, const struct decision_run *run)
{
    VEC_PUSH(&decisions->runs, *run);
    decisions->length = run->at + decision_run_bytes(run->n);
    decisions->entries += run->n;
}

/* --- at start ------------------------------------------------------------------------------------------- */

static bool is_left_over(const char *dir, struct str name)
{
    struct str stem;
    uint64_t number;
    char *path;
    bool is_gone;

    if (str_ends(name, STR(".why.tmp")))
        return true;
    if (!str_ends(name, STR(".why")))
        return false;
    stem = str_n(name.ptr, name.len - 4);
    if (str_u64(stem, &number) != MG_OK || number == 0 || number >= PINS_NUMBER)
        return false;
    path = partition_path(dir, (uint32_t)number);
    is_gone = access(path, F_OK) != 0 && errno == ENOENT;
    mem_free(path);
    return is_gone;
}

static bool remove_from(const char *dir, const char *name)
{
    char path[4096];

    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path && unlink(path) == 0;
}

void decisions_sweep(const char *dir)
{
    DIR *files = opendir(dir);
    struct dirent *entry;

    while (files && (entry = readdir(files))) {
        if (!is_left_over(dir, str_of(entry->d_name)))
            continue;
        if (remove_from(dir, entry->d_name))
            LOG(INFO, "decisions without a partition removed", F_TEXT("name", entry->d_name));
    }
    if (files)
        closedir(files);
}
