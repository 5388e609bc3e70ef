#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int file_write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        bytes = str_n(bytes.ptr + n, bytes.len - (size_t)n);
    }
    return 0;
}

int file_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;

    if (fd >= 0)
        (void)close(fd); /* nothing was written to it */
    return failed;
}

char *file_parent(const char *path)
{
    size_t end = strlen(path);

    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    while (end > 1 && path[end - 1] == '/')
        end--;
    return end ? str_text(str_n(path, end)) : mem_text(".");
}

int file_sync_parent(const char *path)
{
    char *parent = file_parent(path);
    int failed = file_sync_dir(parent);

    mem_free(parent);
    return failed;
}

enum mg_err file_open_read(const char *path, int *fd, struct mg_why *why)
{
    struct stat file;
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (opened < 0)
        return mg_fail_os(why, errno, "cannot open %s", path);
    enum mg_err err = fstat(opened, &file) != 0 ? mg_fail_os(why, errno, "cannot read %s", path) : MG_OK;
    if (err == MG_OK && !S_ISREG(file.st_mode))
        err = mg_fail(why, MG_E_IO, "%s is not a regular file", path);
    if (err == MG_OK)
        *fd = opened;
    else
        (void)close(opened); /* nothing was written to it */
    return err;
}

static uint64_t ns_of(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

struct file_stamp file_stamp_of(const struct stat *file)
{
    return (struct file_stamp){ file->st_dev, file->st_ino, (uint64_t)file->st_size, ns_of(&file->st_mtim), ns_of(&file->st_ctim) };
}

bool file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

void file_look(const char *path, struct file_stamp *out)
{
    struct stat file;

    *out = stat(path, &file) == 0 ? file_stamp_of(&file) : (struct file_stamp){ 0 };
}
