#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
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
