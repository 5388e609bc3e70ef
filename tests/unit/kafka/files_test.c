/* files_test.c - which rows name files, and what counts as a change of one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kafka/files.h"

static char dir[] = "/tmp/kafka_files_XXXXXX", path[60], other[60], row[100];

static int setup(void **state)
{
    (void)state;
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.pem", dir);
    snprintf(other, sizeof other, "%s/b.pem", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(dir);
}

static void put(const char *at, const char *text)
{
    FILE *file = fopen(at, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct kafka_files *watch(const char *name)
{
    snprintf(row, sizeof row, "%s=%s", name, path);
    struct str rows[] = { STR("linger.ms=5"), str_of(row) };
    return kafka_files_new(&(struct conf_list){ rows, MG_COUNT(rows) });
}

static void expect(struct kafka_files *files, bool want)
{
    assert_int_equal(kafka_files_changed(files), want);
    assert_false(kafka_files_changed(files)); /* once */
}

static void a_change_is_told_once(void **state)
{
    static const char *const names[] = {
        "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location", " ssl.ca.location "
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        put(path, "one");
        struct kafka_files *files = watch(names[i]);
        expect(files, false);
        put(path, "longer");                    /* size */
        expect(files, true);
        put(other, "longer");
        assert_int_equal(rename(other, path), 0); /* another file of the same size */
        expect(files, true);
        assert_int_equal(unlink(path), 0);
        expect(files, true);
        expect(files, false);                   /* not there, again */
        put(path, "x");
        expect(files, true);
        kafka_files_free(&files);
        assert_null(files);
    }
}

static void a_link_is_followed(void **state)
{
    (void)state;
    put(other, "one");
    assert_int_equal(symlink(other, path), 0);
    struct kafka_files *files = watch("ssl.ca.location");
    expect(files, false);
    put(other, "two two");
    expect(files, true);
    kafka_files_free(&files);
}

static void other_rows_are_no_files(void **state)
{
    static const char *const names[] = { "ssl.ca.pem", "ssl.key.password", "client.id", "SSL.CA.LOCATION", "ssl.ca.location.x", "" };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        put(path, "one");
        struct kafka_files *files = watch(names[i]);
        put(path, "longer");
        expect(files, false);
        kafka_files_free(&files);
    }
}

static void rows_without_a_name_or_a_value_are_no_files(void **state)
{
    struct str rows[] = { STR("ssl.ca.location"), STR("ssl.ca.location="), STR("ssl.ca.location= "), STR("="), STR("") };
    struct kafka_files *files = kafka_files_new(&(struct conf_list){ rows, MG_COUNT(rows) });
    struct kafka_files *none = kafka_files_new(&(struct conf_list){ NULL, 0 });

    (void)state;
    expect(files, false);
    expect(none, false);
    kafka_files_free(&files);
    kafka_files_free(&none);
    kafka_files_free(&none);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_change_is_told_once),
        TEST(a_link_is_followed),
        TEST(other_rows_are_no_files),
        TEST(rows_without_a_name_or_a_value_are_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
