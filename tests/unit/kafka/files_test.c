/* files_test.c - which rows name files, what counts as a change of one, and until when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "kafka/files.h"
#include "unit/peer/log.h"

#define SECOND UINT64_C(1000000000)

static uint64_t now_ns;
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

static bool look(struct kafka_files *files)
{
    return kafka_files_changed(files, now_ns += SECOND);
}

static void expect(struct kafka_files *files, bool want)
{
    assert_int_equal(look(files), want);
    assert_int_equal(look(files), want); /* not taken */
    kafka_files_taken(files);
    assert_false(look(files));
}

static void a_change_is_one_until_it_is_taken(void **state)
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

static void what_changes_after_the_look_is_not_taken(void **state)
{
    (void)state;
    put(path, "one");
    struct kafka_files *files = watch("ssl.ca.location");
    put(path, "two two");
    assert_true(look(files));
    put(path, "three three");
    kafka_files_taken(files);
    expect(files, true);
    kafka_files_free(&files);
}

static void files_that_come_back_are_in_force(void **state)
{
    (void)state;
    put(path, "one");
    assert_int_equal(symlink(path, other), 0);
    snprintf(row, sizeof row, "ssl.ca.location=%s", other);
    struct kafka_files *files = kafka_files_new(&(struct conf_list){ &(struct str){ row, strlen(row) }, 1 });
    assert_int_equal(unlink(other), 0);
    assert_true(look(files));
    kafka_files_refused(files, &(struct mg_why){ "it is not there" });
    assert_int_equal(symlink(path, other), 0);
    assert_false(look(files));
    kafka_files_free(&files);
}

static void files_are_looked_at_once_a_second(void **state)
{
    static const struct { uint64_t after_ns; bool want; } rows[] = {
        { 0, false }, { SECOND - 1, false }, { SECOND, true }, { SECOND + 1, false }, { 2 * SECOND - 1, false }, { 2 * SECOND, true }
    };
    (void)state;
    put(path, "one");
    struct kafka_files *files = watch("ssl.ca.location");
    assert_false(look(files));
    put(path, "longer");
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_int_equal(kafka_files_changed(files, now_ns + rows[i].after_ns), rows[i].want);
    kafka_files_free(&files);
}

static bool is_refusal_logged(struct kafka_files *files, const char *reason)
{
    struct mg_why why = { "" };

    (void)mg_fail(&why, MG_E_FORMAT, "%s", reason);
    rig_log_begin();
    assert_true(look(files));
    kafka_files_refused(files, &why);
    return strstr(rig_log_end(), "kafka files not taken, the old ones stay in force") != NULL;
}

static void a_refusal_is_logged_once(void **state)
{
    (void)state;
    put(path, "one");
    struct kafka_files *files = watch("ssl.ca.location");
    put(path, "longer");
    assert_true(is_refusal_logged(files, "no certificate"));
    assert_false(is_refusal_logged(files, "no certificate"));
    assert_true(is_refusal_logged(files, "no memory"));
    assert_false(is_refusal_logged(files, "no memory"));
    put(path, "longer still"); /* another file, the same reason */
    assert_true(is_refusal_logged(files, "no memory"));
    kafka_files_taken(files);
    put(path, "one");
    assert_true(is_refusal_logged(files, "no memory"));
    kafka_files_free(&files);
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
        TEST(a_change_is_one_until_it_is_taken),
        TEST(what_changes_after_the_look_is_not_taken),
        TEST(files_that_come_back_are_in_force),
        TEST(files_are_looked_at_once_a_second),
        TEST(a_refusal_is_logged_once),
        TEST(a_link_is_followed),
        TEST(other_rows_are_no_files),
        TEST(rows_without_a_name_or_a_value_are_no_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
