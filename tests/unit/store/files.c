/* files.c - see files.h. */
#define _GNU_SOURCE
#include "unit/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    uint64_t calls, nth;
    int error;
    void (*hook)(void *owner);
    void *owner;
} files;

void files_fail_at(uint64_t nth, int error)
{
    files.calls = 0;
    files.nth = error ? nth : 0;
    files.error = error;
    files.hook = NULL;
}

void files_look_at(uint64_t nth, void (*hook)(void *owner), void *owner)
{
    files.calls = 0;
    files.nth = nth;
    files.error = 0;
    files.hook = hook;
    files.owner = owner;
}

uint64_t files_calls(void)
{
    return files.calls;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_ours(const char *path)
{
    return ends_with(path, ".why") || ends_with(path, ".why.tmp") || ends_with(path, "/store");
}

static bool is_ours_open(int fd)
{
    char link[64], path[PATH_MAX];

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return false;
    path[len] = 0;
    return is_ours(path);
}

static bool is_now(bool ours)
{
    if (!ours)
        return false;
    if (++files.calls != files.nth)
        return false;
    if (!files.hook)
        return true;
    files.hook(files.owner);
    return false;
}

static int fail(void)
{
    errno = files.error == FILES_SHORT ? EIO : files.error;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    bool ours = is_ours_open(fd), is_next = ours && files.calls + 1 == files.nth;

    if (is_next && !files.hook && files.error == FILES_SHORT) {
        files.error = ENOSPC; /* of the rest, which comes next */
        return syscall(SYS_pwrite64, fd, bytes, (n + 1) / 2, at);
    }
    if (is_next && files.hook)
        (void)!syscall(SYS_pwrite64, fd, bytes, n / 2, at);
    return is_now(ours) ? fail() : syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    return pwrite64(fd, bytes, n, at);
}

int fdatasync(int fd)
{
    return is_now(is_ours_open(fd)) ? fail() : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return is_now(is_ours_open(fd)) ? fail() : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    return is_now(is_ours(to)) ? fail() : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    return is_now(is_ours(path)) ? fail() : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
