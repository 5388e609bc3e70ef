/* gate.c - LD_PRELOAD: two calls on the files of the log, steered from outside while the program runs.
 *
 *   GATE_READ=file       a read of the log writes to the file, so that a test knows it came, and waits while the file exists;
 *                        GATE_PASS=n lets n of them through first
 *   GATE_SYNC_FAILS=file the next fdatasync of the log fails with EIO and takes the file away
 *
 * powercut.c fails a call by its number, which must be known before the start; here a test says "now". Reads of the first
 * thread never wait: it looks at the segments when it opens the log, and what is to be held is the replay. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_long reads;

static bool is_log(int fd)
{
    char link[64], path[PATH_MAX];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return false;
    path[len] = 0;
    return strstr(path, "/journal/") && strstr(path, ".log");
}

static void wait_at_gate(void)
{
    const char *gate = getenv("GATE_READ"), *pass = getenv("GATE_PASS");
    const struct timespec moment = {.tv_nsec = 1000000};

    if (!gate || atomic_fetch_add(&reads, 1) < (pass ? strtol(pass, NULL, 10) : 0))
        return;
    int fd = open(gate, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "held\n", 5) < 0)
        perror("gate");
    close(fd);
    while (access(gate, F_OK) == 0)
        nanosleep(&moment, NULL);
}

ssize_t pread64(int fd, void *out, size_t bytes, off64_t offset)
{
    static ssize_t (*next)(int, void *, size_t, off64_t);

    if (!next)
        next = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    if (gettid() != getpid() && is_log(fd))
        wait_at_gate();
    return next(fd, out, bytes, offset);
}

ssize_t pread(int fd, void *out, size_t bytes, off_t offset)
{
    return pread64(fd, out, bytes, offset);
}

int fdatasync(int fd)
{
    static int (*next)(int);
    const char *gate = getenv("GATE_SYNC_FAILS");

    if (!next)
        next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (gate && is_log(fd) && unlink(gate) == 0) {
        errno = EIO;
        return -1;
    }
    return next(fd);
}
