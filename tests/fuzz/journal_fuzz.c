/* A segment image as the newest file of a log, behind a journal_io in memory.
 *
 * The first byte chooses: bit 0 makes the checksums right wherever a header stands, so that
 * mutations get past them; bit 1 puts the image in as the older of two segments, the other one
 * being the image's second half; bit 2 cuts the reads short. The rest is the image, number 1.
 *
 * Whatever the bytes are: no crash, positions strictly rise and are above `after`, log time fits,
 * records lie in the image, and a log that was opened can be continued above everything that was
 * read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "journal/file.h"
#include "journal/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 8, WRITTEN_MAX = 1 << 20 };

struct file {
    char name[FILE_NAME_BYTES]; /* empty: there is none */
    uint8_t *bytes;
    size_t n;
};

static struct file files[FILES_MAX];
static size_t read_max;

static void expect(bool is_true)
{
    if (!is_true)
        abort();
}

static struct file *file_find(const char *path)
{
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < FILES_MAX; i++)
        if (files[i].name[0] && strcmp(files[i].name, slash + 1) == 0)
            return &files[i];
    errno = ENOENT;
    return NULL;
}

static void name_set(struct file *file, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = strlen(slash + 1);
    expect(len < sizeof file->name);
    memcpy(file->name, slash + 1, len + 1);
}

static void file_drop(struct file *file)
{
    mem_free(file->bytes);
    *file = (struct file){0};
}

static int on_mkdir(void *ctx, const char *dir, unsigned mode)
{
    (void)ctx, (void)dir, (void)mode;
    return 0;
}

static int on_list(void *ctx, const char *dir, journal_name_fn *on_name, void *owner)
{
    (void)ctx, (void)dir;
    for (size_t i = 0; i < FILES_MAX; i++)
        if (files[i].name[0])
            on_name(owner, files[i].name);
    return 0;
}

static int on_size(void *ctx, int fd, uint64_t *file_bytes, uint64_t *disk_bytes)
{
    (void)ctx;
    *file_bytes = *disk_bytes = files[fd].n;
    return 0;
}

static int on_open(void *ctx, const char *path, int flags, unsigned mode)
{
    struct file *file = file_find(path);
    (void)ctx, (void)flags, (void)mode;
    for (size_t i = 0; i < FILES_MAX && !file; i++) {
        if (!files[i].name[0]) {
            file = &files[i];
            name_set(file, path);
        }
    }
    return file ? (int)(file - files) : -1;
}

static int on_fd(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return 0;
}

static int on_fallocate(void *ctx, int fd, int64_t bytes)
{
    (void)ctx;
    expect(bytes <= WRITTEN_MAX);
    files[fd].bytes = mem_grow(files[fd].bytes, (size_t)bytes);
    memset(files[fd].bytes, 0, (size_t)bytes);
    files[fd].n = (size_t)bytes;
    return 0;
}

static long on_pwritev(void *ctx, int fd, const void *vectors, int n, int64_t offset)
{
    const struct iovec *iov = vectors;
    size_t at = (size_t)offset;
    (void)ctx;
    for (int i = 0; i < n; at += iov[i].iov_len, i++) {
        expect(at <= files[fd].n && iov[i].iov_len <= files[fd].n - at);
        memcpy(files[fd].bytes + at, iov[i].iov_base, iov[i].iov_len);
    }
    return (long)(at - (size_t)offset);
}

static long on_pread(void *ctx, int fd, void *out, size_t n, int64_t offset)
{
    size_t at = MG_MIN((size_t)offset, files[fd].n);
    size_t left = MG_MIN(n, files[fd].n - at);
    size_t len = MG_MIN(left, read_max);
    (void)ctx;
    if (len > 0)
        memcpy(out, files[fd].bytes + at, len);
    return (long)len;
}

static int on_dir(void *ctx, const char *dir)
{
    (void)ctx, (void)dir;
    return 0;
}

static int on_rename(void *ctx, const char *from, const char *to)
{
    struct file *file = file_find(from), *over = file_find(to);
    (void)ctx;
    expect(file && !over);
    name_set(file, to);
    return 0;
}

static int on_unlink(void *ctx, const char *path)
{
    struct file *file = file_find(path);
    (void)ctx;
    if (!file)
        return -1;
    file_drop(file);
    return 0;
}

static const struct journal_io io = {
    on_mkdir,     on_list, on_size, on_open,   on_fd,     on_pwritev, on_pread,
    on_fallocate, on_fd,   on_dir,  on_rename, on_unlink, NULL,
};

/* --- making checksums right --- */

static void records_seal(uint8_t *group, size_t left, uint64_t number)
{
    struct hash64_stream *hash = hash64_new();
    struct journal_record record;
    for (size_t at = FORMAT_GROUP_HEAD; at + FORMAT_RECORD_HEAD <= left;
         at += record_bytes(&record)) {
        put_le64(group + at + 48, hash64(group + at, 48, number));
        if (!record_head_read(group + at, number, &record) || record_bytes(&record) > left - at)
            break;
        hash64_begin(hash, number);
        hash64_add(hash, group + at, 56);
        hash64_add(hash, group + at + FORMAT_RECORD_HEAD, record.head.len + record.body.len);
        put_le64(group + at + 56, hash64_end(hash));
    }
    hash64_free(&hash);
}

static void image_seal(uint8_t *image, size_t n, uint64_t number)
{
    if (n >= FORMAT_SEGMENT_HEAD) {
        put_le64(image + 16, number);
        put_le64(image + 120, hash64(image, 120, number));
    }
    for (size_t at = FORMAT_PAGE; at + FORMAT_GROUP_HEAD <= n; at += FORMAT_PAGE) {
        if (memcmp(image + at, "MGJG", 4) != 0)
            continue;
        put_le64(image + at + 32, number);
        put_le64(image + at + 56, hash64(image + at, 56, number));
        records_seal(image + at, n - at, number);
    }
}

static void file_add(uint64_t number, const uint8_t *bytes, size_t n, bool is_sealed)
{
    struct file *file = &files[number - 1];
    file_name_write(file->name, number, FILE_LOG);
    file->bytes = mem_copy(bytes, n);
    file->n = n;
    if (is_sealed)
        image_seal(file->bytes, n, number);
}

/* --- what must hold --- */

struct seen {
    uint64_t position, records, sum;
};

static enum mg_err on_record(void *owner, const struct journal_record *record)
{
    struct seen *seen = owner;
    expect(record->position > seen->position);
    expect(record->head.len <= WRITTEN_MAX && record->body.len <= WRITTEN_MAX);
    for (size_t i = 0; i < record->head.len; i++)
        seen->sum += (uint8_t)record->head.ptr[i];
    for (size_t i = 0; i < record->body.len; i++)
        seen->sum += (uint8_t)record->body.ptr[i];
    seen->position = record->position;
    seen->records++;
    return MG_OK;
}

static void on_done(struct journal_record *record, enum mg_err err)
{
    (void)record;
    expect(err == MG_OK);
}

static struct seen replay(struct journal *journal, uint64_t after)
{
    struct seen seen = {.position = after};
    expect(journal_replay(journal, after, on_record, &seen, NULL) == MG_OK);
    return seen;
}

/* Appends one record, closes, and finds it again behind all that was there. */
static void continue_log(const struct journal_options *options, struct journal *journal,
                         const struct seen *seen)
{
    struct journal_record record = {
        .kind = JOURNAL_BODY, .head = STR("h"), .body = STR("b"), .done = on_done};
    expect(journal_start(journal, NULL) == MG_OK);
    expect(journal_append(journal, &record) == MG_OK);
    journal_close(&journal);
    expect(record.position > seen->position);
    if (record.position >= FORMAT_NUMBER_MAX / 2) /* used up: journal_open says so from now on */
        return;
    expect(journal_open(&journal, options, NULL) == MG_OK);
    struct seen again = replay(journal, 0);
    expect(again.records == seen->records + 1 && again.position == record.position);
    journal_close(&journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > WRITTEN_MAX / 2)
        return 0;
    struct journal_options options = {.dir = "/log", .segment_bytes = 16 << 10, .io = &io};
    struct journal *journal = NULL;
    bool is_sealed = data[0] & 1;
    size_t first = data[0] & 2 ? format_align((size - 1) / 2, FORMAT_PAGE) : size - 1;
    first = MG_MIN(first, size - 1);
    read_max = data[0] & 4 ? 1000 : SIZE_MAX;
    file_add(1, data + 1, first, is_sealed);
    if (data[0] & 2)
        file_add(2, data + 1 + first, size - 1 - first, is_sealed);

    if (journal_open(&journal, &options, NULL) == MG_OK) {
        struct seen seen = replay(journal, 0);
        if (seen.records > 0) {
            struct seen rest = replay(journal, seen.position - 1);
            expect(rest.records == 1);
        }
        continue_log(&options, journal, &seen);
    }
    for (size_t i = 0; i < FILES_MAX; i++)
        file_drop(&files[i]);
    return 0;
}
