/* Reads behind a file's end: zeroes where the map is guarded, the end of the process elsewhere.
 * Each case runs in a child. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/err.h"
#include "kv/guard.h"

enum { MAP_PAGES = 4 };

static size_t page_bytes;

struct mapped {
    int fd;
    struct stat st;
    const volatile unsigned char *at;
};

/* One page of 'x' in a map of four. The file has no name any more. */
static struct mapped map_file(void)
{
    char path[] = "/tmp/mg-guard-XXXXXX";
    struct mapped m = {.fd = mkstemp(path)};
    if (m.fd < 0 || ftruncate(m.fd, (off_t)page_bytes) < 0 || pwrite(m.fd, "x", 1, 0) != 1 ||
        fstat(m.fd, &m.st) < 0)
        abort();
    void *at = mmap(NULL, MAP_PAGES * page_bytes, PROT_READ, MAP_SHARED, m.fd, 0);
    if (at == MAP_FAILED)
        abort();
    m.at = at;
    unlink(path);
    return m;
}

/* Runs it in a child and returns its wait status; cmocka's handlers are not its business. */
static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGBUS, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        alarm(30);
        _exit(body());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int reads_guarded(void)
{
    struct mapped m = map_file();
    const void *guard = guard_add(&m.st);
    uint64_t faults = guard_faults();
    if (!guard || m.at[0] != 'x' || guard_faults() != faults)
        return 1;
    for (size_t i = page_bytes; i < MAP_PAGES * page_bytes; i += page_bytes / 2)
        if (m.at[i] != 0)
            return 2;
    if (guard_faults() != faults + MAP_PAGES - 1) /* a page is replaced once */
        return 3;
    if (m.at[0] != 'x')
        return 4;
    guard_remove(guard);
    return 0;
}

static int reads_unguarded(void)
{
    struct mapped m = map_file(), other = map_file();
    if (!guard_add(&m.st) || m.at[page_bytes] != 0)
        return 1;
    return 10 + other.at[page_bytes];
}

static int reads_after_removal(void)
{
    struct mapped m = map_file();
    const void *guard = guard_add(&m.st);
    if (!guard || m.at[page_bytes] != 0)
        return 1;
    guard_remove(guard);
    return 10 + m.at[2 * page_bytes];
}

static int reads_behind_the_map(void)
{
    struct mapped m = map_file();
    if (!guard_add(&m.st))
        return 1;
    munmap((void *)(m.at + 3 * page_bytes), page_bytes);
    return 10 + m.at[3 * page_bytes]; /* no SIGBUS but SIGSEGV, which is nobody's business here */
}

static int guards_many(void)
{
    struct mapped m = map_file();
    int fd = m.fd;
    const void *guards[2] = {guard_add(&m.st), NULL};
    m.at = mmap(NULL, MAP_PAGES * page_bytes, PROT_READ, MAP_SHARED, fd, 0);
    guards[1] = guard_add(&m.st); /* the other map of the same file */
    if (!guards[0] || !guards[1] || guards[0] == guards[1])
        return 1;
    if (m.at[page_bytes] != 0 || guard_add(&m.st))
        return 2;
    guard_remove(guards[0]);
    guard_remove(NULL);
    return m.at[2 * page_bytes];
}

static int guards_what_is_not_mapped(void)
{
    struct stat st;
    return stat("/", &st) == 0 && !guard_add(&st) ? 0 : 1;
}

static void assert_exits_well(int (*body)(void))
{
    int status = in_child(body);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A sanitizer's own handler ends the process with a status instead of the signal. */
static void assert_dies(int (*body)(void), int number)
{
    int status = in_child(body);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), number);
    else
        assert_true(WEXITSTATUS(status) != 0 && WEXITSTATUS(status) < 10);
}

static void a_guarded_map_reads_zeroes_behind_the_end(void **state)
{
    (void)state;
    assert_exits_well(reads_guarded);
}

static void two_maps_of_one_file_have_a_guard_each(void **state)
{
    (void)state;
    assert_exits_well(guards_many);
}

static void a_file_that_is_not_mapped_has_no_guard(void **state)
{
    (void)state;
    assert_exits_well(guards_what_is_not_mapped);
}

static void other_faults_end_the_process(void **state)
{
    (void)state;
    assert_dies(reads_unguarded, SIGBUS);
    assert_dies(reads_after_removal, SIGBUS);
    assert_dies(reads_behind_the_map, SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guarded_map_reads_zeroes_behind_the_end),
        cmocka_unit_test(two_maps_of_one_file_have_a_guard_each),
        cmocka_unit_test(a_file_that_is_not_mapped_has_no_guard),
        cmocka_unit_test(other_faults_end_the_process),
    };
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
