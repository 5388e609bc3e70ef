/* Bytes and names that are to survive a power cut: what is written, which directory names a path, and which errno comes back. */
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/mem.h"

static void parents(void **state)
{
    static const struct { const char *path, *parent; } rows[] = {
        { "a", "." }, { "a/", "." }, { "a/b", "a" }, { "a/b/", "a" }, { "a//b", "a" }, { "/a", "/" }, { "//a", "/" }, { "/a/b", "/a" },
        { "/", "/" }, { "", "." }, { "./a", "." }, { "../a", ".." }
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *parent = file_parent(rows[i].path);
        assert_string_equal(parent, rows[i].parent);
        mem_free(parent);
    }
}

static void all_bytes_are_written(void **state)
{
    char name[] = "/tmp/file_test.XXXXXX", back[5] = "";
    int fd = mkstemp(name);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, STR("ab")), 0);
    assert_int_equal(file_write_all(fd, STR("")), 0);
    assert_int_equal(file_write_all(fd, STR("cde")), 0); /* at the file's position */
    assert_int_equal(pread(fd, back, sizeof back, 0), 5);
    assert_memory_equal(back, "abcde", 5);
    assert_int_equal(file_sync_parent(name), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(name), 0);
}

static void errors_come_back(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), reader = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_int_equal(file_write_all(full, STR("a")), ENOSPC);
    assert_int_equal(file_write_all(reader, STR("a")), EBADF);
    assert_int_equal(file_sync_dir("/nonexistent"), ENOENT);
    assert_int_equal(file_sync_dir("/dev/null"), ENOTDIR);
    assert_int_equal(file_sync_parent("/nonexistent/a"), ENOENT);
    assert_int_equal(close(full), 0);
    assert_int_equal(close(reader), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents), cmocka_unit_test(all_bytes_are_written), cmocka_unit_test(errors_come_back)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
