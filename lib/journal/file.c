/* A table of thin functions over the system calls. fallocate without support in the file system
 * falls back to ftruncate: the log then works, a full disk shows at the write instead of at the new
 * segment. */
#define _GNU_SOURCE /* fallocate */
#include "journal/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"

static int os_mkdir(void *ctx, const char *dir, unsigned mode)
{
    (void)ctx;
    return mkdir(dir, mode);
}

static int os_list(void *ctx, const char *dir, journal_name_fn *on_name, void *owner)
{
    (void)ctx;
    DIR *d = opendir(dir);
    if (!d)
        return -1;
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(d))) {
        on_name(owner, entry->d_name);
        errno = 0;
    }
    int code = errno;
    closedir(d);
    errno = code;
    return code ? -1 : 0;
}

static int os_size(void *ctx, int fd, uint64_t *file_bytes, uint64_t *disk_bytes)
{
    (void)ctx;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -1;
    *file_bytes = (uint64_t)st.st_size;
    *disk_bytes = (uint64_t)st.st_blocks * 512;
    return 0;
}

static int os_open(void *ctx, const char *path, int flags, unsigned mode)
{
    (void)ctx;
    return open(path, flags | O_CLOEXEC | O_NONBLOCK, mode); /* a FIFO would wait: it fails when it is read */
}

static int os_close(void *ctx, int fd)
{
    (void)ctx;
    return close(fd);
}

static long os_pwritev(void *ctx, int fd, const void *iovec, int n, int64_t offset)
{
    (void)ctx;
    return pwritev(fd, iovec, n, offset);
}

static long os_pread(void *ctx, int fd, void *out, size_t n, int64_t offset)
{
    (void)ctx;
    return pread(fd, out, n, offset);
}

static int os_fallocate(void *ctx, int fd, int64_t bytes)
{
    (void)ctx;
    int result;
    do
        result = fallocate(fd, 0, 0, bytes);
    while (result < 0 && errno == EINTR);
    if (result < 0 && errno == EOPNOTSUPP)
        result = ftruncate(fd, bytes);
    return result;
}

static int os_fdatasync(void *ctx, int fd)
{
    (void)ctx;
    return fdatasync(fd);
}

static int os_fsync_dir(void *ctx, const char *dir)
{
    (void)ctx;
    errno = file_sync_dir(dir);
    return errno ? -1 : 0;
}

static int os_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to);
}

static int os_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path);
}

static const struct journal_io os_io = {
    .mkdir = os_mkdir,
    .list = os_list,
    .size = os_size,
    .open = os_open,
    .close = os_close,
    .pwritev = os_pwritev,
    .pread = os_pread,
    .fallocate = os_fallocate,
    .fdatasync = os_fdatasync,
    .fsync_dir = os_fsync_dir,
    .rename = os_rename,
    .unlink = os_unlink,
};

const struct journal_io *journal_io_os(void)
{
    return &os_io;
}

static const char *const suffixes[] = {[FILE_LOG] = ".log", [FILE_SPARE] = ".spare"};

void file_name_write(char out[FILE_NAME_BYTES], uint64_t number, enum file_kind kind)
{
    snprintf(out, FILE_NAME_BYTES, "%08" PRIu64 "%s", number, suffixes[kind]);
}

enum file_kind file_name_parse(const char *name, uint64_t *number)
{
    char expected[FILE_NAME_BYTES];
    struct str digits, suffix;
    uint64_t value;

    if (!str_split_at(str_of(name), '.', &digits, &suffix) || str_u64(digits, &value) != MG_OK ||
        value > (uint64_t)1 << 62)
        return FILE_OTHER;
    for (enum file_kind kind = FILE_LOG; kind <= FILE_SPARE; kind++) {
        file_name_write(expected, value, kind);
        if (value > 0 && strcmp(expected, name) == 0) {
            *number = value;
            return kind;
        }
    }
    return FILE_OTHER;
}

char *file_path(const char *dir, uint64_t number, enum file_kind kind)
{
    char name[FILE_NAME_BYTES];
    size_t dir_len = strlen(dir);
    file_name_write(name, number, kind);
    size_t room = dir_len + 1 + strlen(name) + 1;
    char *path = mem_alloc(room);
    snprintf(path, room, "%s/%s", dir, name);
    return path;
}

/* Takes `bytes` off the front of the vectors. */
static void iov_advance(struct iovec **iov, int *n, size_t bytes)
{
    while (*n > 0 && bytes >= (*iov)->iov_len) {
        bytes -= (*iov)->iov_len;
        ++*iov;
        --*n;
    }
    if (*n > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + bytes;
        (*iov)->iov_len -= bytes;
    }
}

enum mg_err journal_io_write(const struct journal_io *io, int fd, struct iovec *iov, int n,
                             uint64_t offset)
{
    iov_advance(&iov, &n, 0);
    while (n > 0) {
        long written = io->pwritev(io->ctx, fd, iov, n, (int64_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = EIO; /* the call set none; the caller says why */
        if (written <= 0)
            return MG_E_IO;
        offset += (uint64_t)written;
        iov_advance(&iov, &n, (size_t)written);
    }
    return MG_OK;
}

enum mg_err journal_io_read(const struct journal_io *io, int fd, void *out, size_t bytes,
                            uint64_t offset)
{
    char *at = out;
    while (bytes > 0) {
        long got = io->pread(io->ctx, fd, at, bytes, (int64_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return MG_E_IO;
        if (got == 0) {
            memset(at, 0, bytes);
            return MG_OK;
        }
        at += got;
        bytes -= (size_t)got;
        offset += (uint64_t)got;
    }
    return MG_OK;
}
