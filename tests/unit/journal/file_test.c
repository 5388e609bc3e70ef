/* Names, and the reads and writes that go on after a short one. */
#include "harness.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void names_are_read_in_one_form_only(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum file_kind kind;
        uint64_t number;
    } cases[] = {
        {"00000001.log", FILE_LOG, 1},
        {"00000042.spare", FILE_SPARE, 42},
        {"99999999.log", FILE_LOG, 99999999},
        {"100000000.log", FILE_LOG, 100000000},
        {"4611686018427387904.log", FILE_LOG, FORMAT_NUMBER_MAX},
        {"4611686018427387905.log", FILE_OTHER, 0},
        {"00000000.log", FILE_OTHER, 0},
        {"0000001.log", FILE_OTHER, 0},
        {"000000001.log", FILE_OTHER, 0},
        {"+0000001.log", FILE_OTHER, 0},
        {"-0000001.log", FILE_OTHER, 0},
        {"00000001.log~", FILE_OTHER, 0},
        {"00000001.LOG", FILE_OTHER, 0},
        {"00000001", FILE_OTHER, 0},
        {".log", FILE_OTHER, 0},
        {"", FILE_OTHER, 0},
        {"..", FILE_OTHER, 0},
        {"99999999999999999999999.log", FILE_OTHER, 0},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t number = 0;
        assert_int_equal(file_name_parse(cases[i].name, &number), cases[i].kind);
        assert_int_equal(number, cases[i].number);
    }
    char *path = file_path("/a/b", 7, FILE_SPARE);
    assert_string_equal(path, "/a/b/00000007.spare");
    mem_free(path);
}

static void vectors_are_written_whole(void **state)
{
    (void)state;
    static const size_t most[] = {0, 1, 2, 3, 5, 100};
    for (size_t i = 0; i < MG_COUNT(most); i++) {
        struct memfs fs;
        memfs_init(&fs);
        fs.write_max = most[i];
        int fd = fs.io.open(&fs, "/d/f", O_CREAT, 0600);
        struct iovec iov[] = {{"", 0}, {"ab", 2}, {"", 0}, {"cde", 3}, {"f", 1}, {"", 0}};
        char back[12];
        assert_int_equal(journal_io_write(&fs.io, fd, iov, MG_COUNT(iov), 3), MG_OK);
        memset(back, 'x', sizeof back);
        assert_int_equal(journal_io_read(&fs.io, fd, back, sizeof back, 0), MG_OK);
        assert_memory_equal(back, "\0\0\0abcdef\0\0\0", 12); /* zeros beyond the end */
        fs.io.close(&fs, fd);
        memfs_fini(&fs);
    }
}

static void errors_are_told(void **state)
{
    (void)state;
    struct memfs fs;
    struct iovec iov = {"ab", 2};
    char back[2];
    memfs_init(&fs);
    int fd = fs.io.open(&fs, "/d/f", O_CREAT, 0600);
    memfs_faults(&fs, 1, 0);
    assert_int_equal(journal_io_write(&fs.io, fd, &iov, 1, 0), MG_E_IO);
    memfs_faults(&fs, 1, 0);
    assert_int_equal(journal_io_read(&fs.io, fd, back, 2, 0), MG_E_IO);
    iov = (struct iovec){"ab", 2};
    fs.write_max = 1;
    memfs_faults(&fs, 2, 0); /* the continuation fails */
    assert_int_equal(journal_io_write(&fs.io, fd, &iov, 1, 0), MG_E_IO);
    fs.io.close(&fs, fd);
    memfs_fini(&fs);
}

/* A pipe in the place of a segment: the start must not wait for its writer. */
static void a_pipe_fails_when_it_is_read(void **state)
{
    (void)state;
    const struct journal_io *io = journal_io_os();
    char dir[] = "/tmp/file_test.XXXXXX", path[64], back[2];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/00000001.log", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = io->open(io->ctx, path, O_RDONLY, 0);
    assert_true(fd >= 0);
    assert_int_equal(journal_io_read(io, fd, back, sizeof back, 0), MG_E_IO);
    assert_int_equal(io->close(io->ctx, fd), 0);
    assert_int_equal(unlink(path) | rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_in_one_form_only),
        cmocka_unit_test(vectors_are_written_whole),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(a_pipe_fails_when_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
