/* Bytes and names that are to survive a power cut: what is written, which directory names a path, and which errno comes back. And what a
 * file is known again by. */
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* A pipe without a writer would hold whoever opens it, and a device has no end. */
static void only_a_regular_file_is_opened_to_be_read(void **state)
{
    char dir[] = "/tmp/file_test.XXXXXX", file[64], pipe[64], link_name[64];
    const struct { const char *path, *want; } rows[] = {
        { pipe, "pipe is not a regular file" }, { dir, "is not a regular file" }, { "/dev/zero", "/dev/zero is not a regular file" },
        { "/nonexistent/a", "cannot open /nonexistent/a: No such file or directory" }, { "", "cannot open" }, { file, NULL }, { link_name, NULL },
    };

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(pipe, sizeof pipe, "%s/pipe", dir);
    snprintf(link_name, sizeof link_name, "%s/link", dir);
    assert_int_equal(close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(symlink("file", link_name), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mg_why why = { "" };
        int fd = -7;
        assert_int_equal(file_open_read(rows[i].path, &fd, &why), rows[i].want ? MG_E_IO : MG_OK);
        if (rows[i].want && (fd != -7 || !strstr(why.text, rows[i].want)))
            fail_msg("%s: %s", rows[i].path, why.text);
        if (!rows[i].want)
            assert_int_equal(close(fd), 0);
    }
    assert_int_equal(unlink(file) | unlink(pipe) | unlink(link_name) | rmdir(dir), 0);
}

static void a_file_is_known_again(void **state)
{
    char name[] = "/tmp/file_test.XXXXXX", link_name[] = "/tmp/file_test.XXXXXX";
    const struct file_stamp none = { 0 };
    struct file_stamp stamp, opened, through_link;
    struct stat file;
    int fd = mkstemp(name);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &file), 0);
    file_look(name, &stamp);
    opened = file_stamp_of(&file);
    assert_true(file_stamp_eq(&stamp, &opened));
    assert_false(file_stamp_eq(&stamp, &none));
    assert_int_equal(close(mkstemp(link_name)), 0);
    assert_int_equal(unlink(link_name), 0);
    assert_int_equal(symlink(name, link_name), 0);
    file_look(link_name, &through_link);
    assert_true(file_stamp_eq(&stamp, &through_link));
    assert_int_equal(unlink(link_name), 0);
    assert_int_equal(unlink(name), 0);
    file_look(name, &stamp);
    assert_true(file_stamp_eq(&stamp, &none));
    file_look("", &stamp);
    assert_true(file_stamp_eq(&stamp, &none));
    assert_int_equal(close(fd), 0);
}

static void each_part_of_a_stamp_counts(void **state)
{
    const struct file_stamp one = { 1, 2, 3, 4, 5 };
    const struct file_stamp others[] = { { 9, 2, 3, 4, 5 }, { 1, 9, 3, 4, 5 }, { 1, 2, 9, 4, 5 }, { 1, 2, 3, 9, 5 }, { 1, 2, 3, 4, 9 } };

    (void)state;
    assert_true(file_stamp_eq(&one, &one));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(file_stamp_eq(&one, &others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents), cmocka_unit_test(all_bytes_are_written), cmocka_unit_test(errors_come_back),
        cmocka_unit_test(only_a_regular_file_is_opened_to_be_read),
        cmocka_unit_test(a_file_is_known_again), cmocka_unit_test(each_part_of_a_stamp_counts)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
