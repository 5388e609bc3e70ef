#include "unit/command/test.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "command/offline.h"
#include "command/settings.h"

struct fixture {
    char root[64];
    char path[128];
};

static const char *in(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s%s", f->root, name);
    return f->path;
}

static int begin(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);

    snprintf(f->root, sizeof f->root, "/tmp/meshglass-offline-XXXXXX");
    *state = f;
    if (!mkdtemp(f->root))
        return -1;
    mkdir(in(f, "/data"), 0700);
    mkdir(in(f, "/data/journal"), 0700);
    mkdir(in(f, "/data/exporters"), 0700);
    mkdir(in(f, "/data/exporters/otlp"), 0700);
    mkdir(in(f, "/data/exporters/otlp/journal"), 0700);
    mkdir(in(f, "/copy"), 0700);
    mkdir(in(f, "/empty"), 0700);
    close(open(in(f, "/copy/00000001.log"), O_CREAT | O_WRONLY, 0600));
    close(open(in(f, "/data/journal/00000001.log"), O_CREAT | O_WRONLY, 0600));
    close(open(in(f, "/file"), O_CREAT | O_WRONLY, 0600));
    return 0;
}

static int end(void **state)
{
    static const char *const names[] = {"/data/exporters/otlp/journal",
                                        "/data/exporters/otlp",
                                        "/data/exporters",
                                        "/data/journal/00000001.log",
                                        "/data/journal",
                                        "/copy/00000001.log",
                                        "/empty",
                                        "/data/LOCK",
                                        "/data",
                                        "/copy",
                                        "/file",
                                        ""};
    struct fixture *f = *state;

    for (size_t i = 0; i < MG_COUNT(names); i++)
        remove(in(f, names[i]));
    mem_free(f);
    return 0;
}

static const struct {
    const char *name, *dir;
    bool has_lock;
} rows[] = {
    {"/data", "/data/journal", true},
    {"/data/", "/data/journal", true},
    {"/data/journal", "/data/journal", true},
    {"/data/journal/../journal", "/data/journal", true},
    {"/data/exporters/otlp", "/data/exporters/otlp/journal", true},
    {"/copy", "/copy", false},
};

static void test_directories(void **state)
{
    struct fixture *f = *state;

    close(open(in(f, "/data/LOCK"), O_CREAT | O_WRONLY, 0600));
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct offline offline;
        struct mg_why why = {""};
        assert_int_equal(
            offline_open(&offline, "test", in(f, rows[i].name), "journal", ".log", &why), MG_OK);
        assert_string_equal(offline.dir, in(f, rows[i].dir));
        assert_int_equal(offline.lock >= 0, rows[i].has_lock);
        offline_close(&offline);
    }
}

static void test_a_directory_in_use_is_refused(void **state)
{
    struct fixture *f = *state;
    struct offline offline;
    struct mg_why why;
    int lock;

    assert_int_equal(data_dir_lock(in(f, "/data"), true, &lock, &why), MG_OK);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (!rows[i].has_lock)
            continue;
        assert_int_equal(
            offline_open(&offline, "test", in(f, rows[i].name), "journal", ".log", &why),
            MG_E_BUSY);
        assert_non_null(strstr(why.text, "in use by process"));
    }
    close(lock);
    assert_int_equal(offline_open(&offline, "test", in(f, "/data"), "journal", ".log", &why),
                     MG_OK);
    offline_close(&offline);
}

static void test_what_is_no_directory_is_refused(void **state)
{
    static const char *const names[] = {"/absent", "/file", "/file/journal", "/data/absent",
                                        "/empty"};
    struct fixture *f = *state;

    for (size_t i = 0; i < MG_COUNT(names); i++) {
        struct offline offline;
        struct mg_why why = {""};
        assert_int_not_equal(
            offline_open(&offline, "test", in(f, names[i]), "journal", ".log", &why), MG_OK);
        assert_non_null(strstr(why.text, in(f, names[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_directories, begin, end),
        cmocka_unit_test_setup_teardown(test_a_directory_in_use_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_no_directory_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
