/* powercut.c - LD_PRELOAD: the file calls of a program go to a disk with a volatile cache (disk.h),
 * whose power can be cut, and any of them can be made to fail.
 *
 *   POWERCUT_DIR=folder       the tree that is on that disk; nothing happens without it
 *   POWERCUT_SEED=n           of every choice at the cut
 *   POWERCUT_AFTER=n          the power goes during the n-th call; also at SIGUSR1. Exit status 137
 *   POWERCUT_NOSYNC=1         fsync and fdatasync claim success and do nothing
 *   POWERCUT_UNORDERED=1      names of one folder change in any order, see disk.h
 *   POWERCUT_SYNC_US=n        how long a sync takes (300)
 *   POWERCUT_WALL_S=n         the wall clock is n seconds ahead, so that what is on the disk is old
 *   POWERCUT_TRACE=file       one line a call: number, name, path
 *   FAULT_AT=n:error[:times]  the n-th call fails, and those after it up to `times` (1)
 *
 * An error is a name of read_fault(). SHORT writes half, in whole blocks, and says so (ENOSPC when
 * that is nothing); calls that do not write go on.
 *
 * A call is one that opens, changes or syncs something in the tree, in the order in which they take
 * the lock. The cut is during the call: a change has been made and may or may not survive, a sync
 * has not happened. At the end one line on stderr says how many calls there were, and at a cut what
 * became of the changes.
 *
 * One lock is held over every call except for the time a sync takes, so that nothing is half done
 * when the power goes, and threads meet between the steps as they do on a real disk. SIGUSR1 is
 * blocked in all threads and taken by a thread of our own: the cut runs where locks can be waited
 * for.
 *
 * Not modelled: writes through shared maps (the file is left alone), descriptors made by dup,
 * renamed or removed folders. The collector and LMDB do none of these, except for LMDB's lock file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "disk.h"

enum { DESCRIPTORS_MAX = 65536, EXIT_CUT = 137, FAULT_SHORT = -1, BLOCK_BYTES = 4096 };

/* A descriptor of something in the tree. */
struct open_file {
    struct disk_file *file; /* NULL: a folder */
    char *folder;
    bool is_durable; /* O_DSYNC or O_SYNC */
    bool is_append;
};

static struct {
    bool is_on;
    bool claims_only; /* POWERCUT_NOSYNC */
    uint64_t cut_at;  /* 0: never */
    uint64_t fault_at, fault_times;
    int fault;
    long sync_us;
    long wall_s;
    int trace_fd; /* -1: none */
} conf = {.trace_fd = -1};

static _Atomic(struct open_file *) descriptors[DESCRIPTORS_MAX];
static uint64_t calls; /* under the lock, like the next */
static bool cut_is_due;

/* --- the cut --- */

/* Ends the process; the lock is held and stays so. */
static _Noreturn void cut(void)
{
    struct disk_cut done;
    char line[256];

    disk_cut(&done);
    int n = snprintf(line, sizeof line,
                     "powercut: cut at call %llu: %u writes kept, %u torn, %u dropped; %u names "
                     "kept, %u undone\n",
                     (unsigned long long)calls, done.writes_kept, done.writes_torn,
                     done.writes_dropped, done.names_kept, done.names_undone);
    syscall(SYS_write, STDERR_FILENO, line, n);
    syscall(SYS_exit_group, EXIT_CUT);
    __builtin_unreachable();
}

static void *wait_for_signal(void *unused)
{
    sigset_t set;
    int got;

    (void)unused;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    while (sigwait(&set, &got) != 0)
        continue;
    pthread_mutex_lock(&disk_lock);
    cut();
}

/* --- settings --- */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "powercut: %s: %s\n", what, value);
    _exit(70);
}

static void read_fault(const char *text)
{
    static const struct {
        const char *name;
        int code;
    } errors[] = {{"EIO", EIO},
                  {"ENOSPC", ENOSPC},
                  {"EMFILE", EMFILE},
                  {"EDQUOT", EDQUOT},
                  {"SHORT", FAULT_SHORT}};
    char *end;

    conf.fault_at = strtoull(text, &end, 10);
    conf.fault_times = 1;
    for (size_t i = 0; *end == ':' && i < sizeof errors / sizeof errors[0]; i++) {
        size_t len = strlen(errors[i].name);
        const char *after = end + 1 + len;
        if (strncmp(end + 1, errors[i].name, len) != 0 || (*after && *after != ':'))
            continue;
        conf.fault = errors[i].code;
        if (*after)
            conf.fault_times = strtoull(after + 1, NULL, 10);
    }
    if (!conf.fault || !conf.fault_at)
        refuse("FAULT_AT is not n:error", text);
}

static void start_thread(void)
{
    sigset_t set;
    pthread_t thread;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* every later thread inherits it */
    if (pthread_create(&thread, NULL, wait_for_signal, NULL) != 0)
        refuse("cannot start a thread", strerror(errno));
    pthread_detach(thread);
}

static __attribute__((constructor)) void begin(void)
{
    const char *dir = getenv("POWERCUT_DIR"), *fault = getenv("FAULT_AT"),
               *trace = getenv("POWERCUT_TRACE");
    if (!dir)
        return;
    char *root = realpath(dir, NULL);
    if (!root)
        refuse("POWERCUT_DIR is not there", dir);
    if (fault)
        read_fault(fault);
    disk_init(root, number_of("POWERCUT_SEED", 1), number_of("POWERCUT_UNORDERED", 0) != 0);
    free(root);
    conf.cut_at = number_of("POWERCUT_AFTER", 0);
    conf.claims_only = number_of("POWERCUT_NOSYNC", 0) != 0;
    conf.sync_us = (long)number_of("POWERCUT_SYNC_US", 300);
    conf.wall_s = (long)number_of("POWERCUT_WALL_S", 0);
    if (trace)
        conf.trace_fd = (int)syscall(SYS_openat, AT_FDCWD, trace,
                                     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    start_thread();
    conf.is_on = true;
}

static __attribute__((destructor)) void end(void)
{
    if (!conf.is_on)
        return;
    pthread_mutex_lock(&disk_lock);
    fprintf(stderr, "powercut: ended after %llu calls\n", (unsigned long long)calls);
    disk_fini();
    conf.is_on = false;
    pthread_mutex_unlock(&disk_lock);
}

/* --- a call --- */

static void trace_call(const char *name, const char *path)
{
    char line[512];
    if (conf.trace_fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%llu %s %s\n", (unsigned long long)calls, name, path);
    syscall(SYS_write, conf.trace_fd, line, n < (int)sizeof line ? n : (int)sizeof line - 1);
}

/* Counts a call and takes the lock. 0: go on; FAULT_SHORT; else the error it must fail with. */
static int call_begin(const char *name, const char *path)
{
    pthread_mutex_lock(&disk_lock);
    calls++;
    trace_call(name, path);
    cut_is_due = calls == conf.cut_at;
    bool fails =
        conf.fault_at && calls >= conf.fault_at && calls - conf.fault_at < conf.fault_times;
    return fails ? conf.fault : 0;
}

static void call_end(void)
{
    int code = errno;
    if (cut_is_due)
        cut();
    pthread_mutex_unlock(&disk_lock);
    errno = code;
}

static int call_failed(int code)
{
    call_end();
    errno = code;
    return -1;
}

/* The time a sync takes, without the lock. */
static void call_waits(void)
{
    struct timespec time = {.tv_sec = conf.sync_us / 1000000,
                            .tv_nsec = conf.sync_us % 1000000 * 1000};
    pthread_mutex_unlock(&disk_lock);
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&disk_lock);
}

/* NULL: not of the tree. Whoever closes a descriptor another thread uses has a bug of its own. */
static struct open_file *open_file_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MAX
               ? atomic_load_explicit(&descriptors[fd], memory_order_acquire)
               : NULL;
}

static struct disk_file *file_of(int fd)
{
    struct open_file *open_file = open_file_of(fd);
    return open_file ? open_file->file : NULL;
}

/* --- opening and closing --- */

static void remember(int fd, const char *path, int flags)
{
    struct stat st;
    struct open_file *open_file = calloc(1, sizeof *open_file);

    if (!open_file || fd >= DESCRIPTORS_MAX || fstat(fd, &st) < 0)
        refuse("cannot follow", path);
    if (S_ISREG(st.st_mode))
        open_file->file = disk_file_open(fd, path);
    else
        open_file->folder = strdup(path);
    open_file->is_durable = (flags & O_DSYNC) != 0; /* O_SYNC contains it */
    open_file->is_append = (flags & O_APPEND) != 0;
    atomic_store_explicit(&descriptors[fd], open_file, memory_order_release);
}

static int open_inside(const char *path, int flags, mode_t mode)
{
    struct stat st;
    int code = call_begin("open", path);
    if (code > 0)
        return call_failed(code);
    bool is_new = lstat(path, &st) < 0 && (flags & O_CREAT);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_TRUNC, mode);
    if (fd >= 0) {
        remember(fd, path, flags);
        if (is_new)
            disk_created(path);
        if ((flags & O_TRUNC) && file_of(fd)) {
            disk_resize(file_of(fd), 0);
            syscall(SYS_ftruncate, fd, 0);
        }
    }
    call_end();
    return fd;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    char *inside = conf.is_on ? disk_path(folder, path) : NULL;
    if (!inside)
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    int fd = open_inside(inside, flags, mode);
    int code = errno;
    free(inside);
    errno = code;
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    bool has_mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    return has_mode ? va_arg(arguments, mode_t) : 0;
}

#define OPEN_BODY(folder)                                                                          \
    va_list arguments;                                                                             \
    va_start(arguments, flags);                                                                    \
    mode_t mode = mode_of(flags, arguments);                                                       \
    va_end(arguments);                                                                             \
    return open_any(folder, path, flags, mode)

int open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int openat(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder);
}

int openat64(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* What a fortified build calls when it sees no mode. */
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int folder, const char *path, int flags);
int __openat_2(int folder, const char *path, int flags)
{
    return open_any(folder, path, flags, 0);
}

int close(int fd)
{
    struct open_file *open_file = open_file_of(fd);
    if (!open_file)
        return (int)syscall(SYS_close, fd);
    pthread_mutex_lock(
        &disk_lock); /* not a call that is counted: it neither fails nor changes anything */
    atomic_store(&descriptors[fd], NULL);
    int result = (int)syscall(SYS_close, fd);
    if (open_file->file)
        disk_file_close(open_file->file);
    free(open_file->folder);
    free(open_file);
    pthread_mutex_unlock(&disk_lock);
    return result;
}

static void *map(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    struct disk_file *file = file_of(fd);
    if (file && !(flags & MAP_ANONYMOUS)) {
        pthread_mutex_lock(&disk_lock);
        disk_mapped(file, (protection & PROT_WRITE) && (flags & MAP_TYPE) != MAP_PRIVATE);
        pthread_mutex_unlock(&disk_lock);
    }
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return map(address, bytes, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return map(address, bytes, protection, flags, fd, offset);
}

/* --- writing --- */

static size_t bytes_of(const struct iovec *vectors, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += vectors[i].iov_len;
    return bytes;
}

/* The first half of the bytes, in whole blocks of a file system: that is what a disk that is nearly
 * full takes. */
static ssize_t write_half(int fd, const struct iovec *vectors, int n, off_t at)
{
    size_t left = bytes_of(vectors, n) / 2 / BLOCK_BYTES * BLOCK_BYTES, done = 0;
    if (left == 0) {
        errno = ENOSPC;
        return -1;
    }
    for (int i = 0; i < n && left > done; i++) {
        size_t bytes = vectors[i].iov_len < left - done ? vectors[i].iov_len : left - done;
        long put = syscall(SYS_pwrite64, fd, vectors[i].iov_base, bytes, at + (off_t)done);
        if (put < 0)
            return -1;
        done += (size_t)put;
    }
    return (ssize_t)done;
}

static ssize_t write_kernel(int fd, const struct iovec *vectors, int n, off_t at, bool is_short)
{
    if (is_short)
        return write_half(fd, vectors, n, at);
    return syscall(SYS_pwritev, fd, vectors, n, (unsigned long)at, 0UL);
}

static ssize_t write_at(const char *name, int fd, const struct iovec *vectors, int n, off_t at)
{
    struct open_file *open_file = open_file_of(fd);
    int code = call_begin(name, disk_file_path(open_file->file));
    if (code > 0)
        return call_failed(code);
    uint64_t change = disk_write(open_file->file, (uint64_t)at, bytes_of(vectors, n));
    ssize_t put = write_kernel(fd, vectors, n, at, code == FAULT_SHORT);
    if (put >= 0 && open_file->is_durable && !cut_is_due) {
        int error = errno;
        call_waits();
        disk_write_durable(open_file->file, change);
        errno = error;
    }
    call_end();
    return put;
}

/* Writes at the descriptor's place and moves it. */
static ssize_t write_on(const char *name, int fd, const struct iovec *vectors, int n)
{
    struct stat st;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (open_file_of(fd)->is_append && fstat(fd, &st) == 0)
        at = st.st_size;
    ssize_t put = write_at(name, fd, vectors, n, at);
    if (put > 0)
        lseek(fd, at + put, SEEK_SET);
    return put;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    struct iovec vector = {(void *)bytes, n};
    return file_of(fd) ? write_on("write", fd, &vector, 1) : syscall(SYS_write, fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *vectors, int n)
{
    return file_of(fd) ? write_on("writev", fd, vectors, n) : syscall(SYS_writev, fd, vectors, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    struct iovec vector = {(void *)bytes, n};
    return file_of(fd) ? write_at("pwrite", fd, &vector, 1, at)
                       : syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    return pwrite(fd, bytes, n, at);
}

ssize_t pwritev(int fd, const struct iovec *vectors, int n, off_t at)
{
    return file_of(fd) ? write_at("pwritev", fd, vectors, n, at)
                       : syscall(SYS_pwritev, fd, vectors, n, (unsigned long)at, 0UL);
}

ssize_t pwritev64(int fd, const struct iovec *vectors, int n, off64_t at)
{
    return pwritev(fd, vectors, n, at);
}

ssize_t pwritev2(int fd, const struct iovec *vectors, int n, off_t at, int flags)
{
    if (!file_of(fd))
        return syscall(SYS_pwritev2, fd, vectors, n, (unsigned long)at, 0UL, flags);
    return at == -1 ? write_on("pwritev2", fd, vectors, n)
                    : write_at("pwritev2", fd, vectors, n, at);
}

ssize_t pwritev64v2(int fd, const struct iovec *vectors, int n, off64_t at, int flags)
{
    return pwritev2(fd, vectors, n, at, flags);
}

/* --- sizes --- */

int ftruncate(int fd, off_t size)
{
    struct disk_file *file = file_of(fd);
    if (!file)
        return (int)syscall(SYS_ftruncate, fd, size);
    int code = call_begin("ftruncate", disk_file_path(file));
    if (code > 0)
        return call_failed(code);
    disk_resize(file, (uint64_t)size);
    int result = (int)syscall(SYS_ftruncate, fd, size);
    call_end();
    return result;
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t bytes)
{
    struct disk_file *file = file_of(fd);
    struct stat st;
    if (!file)
        return (int)syscall(SYS_fallocate, fd, mode, at, bytes);
    int code = call_begin("fallocate", disk_file_path(file));
    if (code > 0)
        return call_failed(code);
    if (mode & ~FALLOC_FL_KEEP_SIZE)
        disk_write(file, (uint64_t)at, (uint64_t)bytes);
    else if (!mode && fstat(fd, &st) == 0 && at + bytes > st.st_size)
        disk_resize(file, (uint64_t)(at + bytes));
    int result = (int)syscall(SYS_fallocate, fd, mode, at, bytes);
    call_end();
    return result;
}

int fallocate64(int fd, int mode, off64_t at, off64_t bytes)
{
    return fallocate(fd, mode, at, bytes);
}

int posix_fallocate(int fd, off_t at, off_t bytes)
{
    return fallocate(fd, 0, at, bytes) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off64_t at, off64_t bytes)
{
    return posix_fallocate(fd, at, bytes);
}

/* --- syncing --- */

/* A sync that only claims is still a call that can fail. false: nothing more is to be done. */
static bool sync_begin(const char *name, const char *path, struct disk_file *file, int *result)
{
    int code = call_begin(name, path);
    *result = 0;
    if (cut_is_due)
        cut();
    if (code > 0) {
        if (file)
            disk_sync_failed(file);
        *result = call_failed(code);
        return false;
    }
    if (conf.claims_only)
        call_end();
    return !conf.claims_only;
}

static int sync_file(const char *name, struct disk_file *file)
{
    int result;
    if (!sync_begin(name, disk_file_path(file), file, &result))
        return result;
    uint64_t begun = disk_sync_begin(file);
    call_waits();
    disk_sync_end(file, begun);
    pthread_mutex_unlock(&disk_lock);
    return 0;
}

static int sync_folder(const char *name, const char *path)
{
    int result;
    if (!sync_begin(name, path, NULL, &result))
        return result;
    uint64_t begun = disk_now();
    call_waits();
    disk_sync_folder(path, begun);
    pthread_mutex_unlock(&disk_lock);
    return 0;
}

static int sync_any(const char *name, int fd, long number)
{
    struct open_file *open_file = open_file_of(fd);
    if (!open_file)
        return (int)syscall(number, fd);
    return open_file->file ? sync_file(name, open_file->file)
                           : sync_folder(name, open_file->folder);
}

int fsync(int fd)
{
    return sync_any("fsync", fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_any("fdatasync", fd, SYS_fdatasync);
}

int syncfs(int fd)
{
    int result;
    if (!open_file_of(fd))
        return (int)syscall(SYS_syncfs, fd);
    if (sync_begin("syncfs", "", NULL, &result)) {
        disk_sync_all();
        call_end();
    }
    return result;
}

/* --- the clock --- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += conf.wall_s;
    return result;
}

/* --- names --- */

/* One path of a call that has two or one; free() each. */
#define NAME_BODY(name, path, kernel, model)                                                       \
    if (!path)                                                                                     \
        return (int)(kernel);                                                                      \
    int code = call_begin(name, path);                                                             \
    int result = code > 0 ? -1 : (model);                                                          \
    int error = code > 0 ? code : errno;                                                           \
    call_end();                                                                                    \
    free(path);                                                                                    \
    errno = error;                                                                                 \
    return result

int mkdirat(int folder, const char *path, mode_t mode)
{
    char *inside = conf.is_on ? disk_path(folder, path) : NULL;
    NAME_BODY("mkdir", inside, syscall(SYS_mkdirat, folder, path, mode), disk_mkdir(inside, mode));
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int folder, const char *path, int flags)
{
    char *inside = conf.is_on && !(flags & AT_REMOVEDIR) ? disk_path(folder, path) : NULL;
    NAME_BODY("unlink", inside, syscall(SYS_unlinkat, folder, path, flags), disk_unlink(inside));
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

static int rename_inside(char *from, const char *to)
{
    NAME_BODY("rename", from, 0, disk_rename(from, to));
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    char *inside = conf.is_on ? disk_path(to_folder, to) : NULL;
    char *old = inside ? disk_path(from_folder, from) : NULL;
    if (!old) {
        free(inside);
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
    }
    int result = rename_inside(old, inside);
    int code = errno;
    free(inside);
    errno = code;
    return result;
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static int link_inside(const char *from, const char *to)
{
    if (syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0) < 0)
        return -1;
    disk_created(to);
    return 0;
}

int link(const char *from, const char *to)
{
    char *inside = conf.is_on ? disk_path(AT_FDCWD, to) : NULL;
    NAME_BODY("link", inside, syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0),
              link_inside(from, inside));
}
