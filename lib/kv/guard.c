/* guard.c - see guard.h. The handler looks through a fixed table of ranges and lays one anonymous page of zeroes over the page that
 * faulted; the read is then simply made again. mmap is a plain system call here, so that is safe in a handler. Only a page
 * behind the end of the file can fault; should a damaged file grow over it later, the zeroes stay until it is opened anew. */
#define _GNU_SOURCE
#include "kv/guard.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { GUARDS_MAX = 1024 };

static struct { _Atomic uintptr_t begin, end; } guards[GUARDS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of writers; the handler only reads */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t faults;

static bool is_guarded(uintptr_t at)
{
    for (size_t i = 0; i < GUARDS_MAX; i++)
        if (at >= guards[i].begin && at < guards[i].end)
            return true;
    return false;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)info->si_addr;

    (void)context;
    if (is_guarded(at) && mmap((void *)(at & ~(page_bytes - 1)), page_bytes, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
        faults++;
        return;
    }
    signal(number, SIG_DFL); /* the read is made again, and ends the process */
}

static void install(void)
{
    struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_RESTART };

    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

/* One line of /proc/self/maps: begin-end perms offset major:minor inode path */
static bool find_map(const struct stat *file, uintptr_t *begin, uintptr_t *end)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool is_found = false;

    while (maps && !is_found && fgets(line, sizeof line, maps)) {
        unsigned long long from, to, offset, inode;
        unsigned major_number, minor_number;
        if (sscanf(line, "%llx-%llx %*s %llx %x:%x %llu", &from, &to, &offset, &major_number, &minor_number, &inode) != 6)
            continue;
        is_found = offset == 0 && inode == file->st_ino && major_number == major(file->st_dev) &&
                   minor_number == minor(file->st_dev) && !is_guarded((uintptr_t)from);
        *begin = (uintptr_t)from;
        *end = (uintptr_t)to;
    }
    if (maps)
        fclose(maps);
    return is_found;
}

const void *guard_add(const struct stat *file)
{
    uintptr_t begin, end;
    const void *guard = NULL;

    pthread_once(&once, install);
    pthread_mutex_lock(&lock);
    bool is_mapped = find_map(file, &begin, &end);
    for (size_t i = 0; is_mapped && !guard && i < GUARDS_MAX; i++) {
        if (guards[i].end)
            continue;
        guards[i].begin = begin;
        guards[i].end = end;
        guard = &guards[i];
    }
    pthread_mutex_unlock(&lock);
    return guard;
}

void guard_remove(const void *guard)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; guard && i < GUARDS_MAX; i++)
        if (guard == &guards[i])
            guards[i].end = guards[i].begin = 0;
    pthread_mutex_unlock(&lock);
}

uint64_t guard_faults(void)
{
    return faults;
}
