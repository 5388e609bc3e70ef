#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"

static void sizes_of_zero_are_valid(void **state)
{
    (void)state;
    char *a = mem_alloc(0), *b = mem_zero(0, 8), *c = mem_copy(NULL, 0), *d = mem_grow(NULL, 0);
    assert_true(a && b && c && d);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(d);
    mem_free(NULL);
}

static void copies_and_growth(void **state)
{
    (void)state;
    char *text = mem_text("abc");
    text = mem_grow(text, 1000);
    assert_string_equal(text, "abc");
    mem_free(text);
    char *bytes = mem_copy("a\0b", 3);
    assert_memory_equal(bytes, "a\0b", 3);
    mem_free(bytes);
}

static void mapped_pages_are_zero(void **state)
{
    (void)state;
    char *pages = mem_map(10000);
    assert_int_equal(pages[0], 0);
    assert_int_equal(pages[9999], 0);
    memset(pages, 1, 10000);
    mem_unmap(pages, 10000);
    mem_unmap(NULL, 1);
}

static void map_too_much(void)
{
    mem_map((size_t)1 << 62);
}

static void overflow_a_product(void)
{
    mem_zero(SIZE_MAX / 2, 3);
}

/* Runs f in a child, which must abort with one line on stderr. */
static void assert_aborts(void (*f)(void), const char *want)
{
    int ends[2], status;
    char line[200] = { 0 };
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        f();
        _exit(0);
    }
    close(ends[1]);
    assert_true(read(ends[0], line, sizeof line - 1) > 0);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_string_equal(line, want);
}

static void running_out_aborts_with_a_line(void **state)
{
    (void)state;
    assert_aborts(map_too_much, "meshglass: out of memory: 4611686018427387904 bytes refused\n");
    assert_aborts(overflow_a_product,
                  "meshglass: out of memory: 18446744073709551615 bytes refused\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_zero_are_valid),
        cmocka_unit_test(copies_and_growth),
        cmocka_unit_test(mapped_pages_are_zero),
        cmocka_unit_test(running_out_aborts_with_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
