/* head_file.c - see head_file.h. */
#include "sample/head_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"

#define READ_BYTES 16384

static enum mg_err read_all(int fd, const char *path, struct buf *out, struct mg_why *why)
{
    char block[READ_BYTES];
    ssize_t got;

    while ((got = read(fd, block, sizeof block)) != 0) {
        if (got < 0 && errno != EINTR)
            return mg_fail_os(why, errno, "cannot read %s", path);
        if (got > 0 && buf_append(out, block, (size_t)got) != MG_OK)
            return mg_fail(why, MG_E_TOO_BIG, "%s is larger than %zu MiB", path, out->limit >> 20);
    }
    return MG_OK;
}

enum mg_err head_file_read(const char *path, struct buf *out, struct file_stamp *stamp, struct mg_why *why)
{
    struct stat file;
    int fd;

    *stamp = (struct file_stamp){ 0 };
    MG_TRY(file_open_read(path, &fd, why));
    enum mg_err err = fstat(fd, &file) != 0 ? mg_fail_os(why, errno, "cannot read %s", path) : MG_OK;
    if (err == MG_OK) {
        *stamp = file_stamp_of(&file);
        err = read_all(fd, path, out, why);
    }
    (void)close(fd); /* nothing was written to it */
    return err;
}

static int write_new(const char *path, struct str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600); /* a FIFO would wait */
    int failed;

    if (fd < 0)
        return errno;
    failed = file_write_all(fd, bytes);
    if (!failed && fsync(fd) != 0)
        failed = errno;
    if (close(fd) != 0 && !failed)
        failed = errno;
    return failed;
}

enum mg_err head_file_write(const char *path, struct str bytes, struct mg_why *why)
{
    struct buf text;
    char *temporary;
    int failed;

    buf_init(&text, SIZE_MAX);
    buf_printf(&text, "%s.tmp", path);
    temporary = buf_take(&text, NULL);
    failed = write_new(temporary, bytes);
    if (!failed && rename(temporary, path) != 0)
        failed = errno;
    if (failed)
        (void)unlink(temporary); /* or the next write does */
    else
        failed = file_sync_parent(path);
    mem_free(temporary);
    return failed ? mg_fail_os(why, failed, "cannot write %s", path) : MG_OK;
}
