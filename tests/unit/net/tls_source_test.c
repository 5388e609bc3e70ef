/* The context in force while files change under it. What is in force, a connection tells: the
 * server's certificate has the name of its generation. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "certs.h"
#include "pair.h"

struct rig {
    struct certs certs;
    struct tls_source *source;
    struct tls_context *client;
};

static void use(struct rig *rig, const char *generation)
{
    char from[64];
    snprintf(from, sizeof from, "%s.pem", generation);
    certs_copy(&rig->certs, from, "live.pem");
    snprintf(from, sizeof from, "%s.key", generation);
    certs_copy(&rig->certs, from, "live.key");
}

static int set_up(void **state)
{
    struct rig *rig = *state = mem_zero(1, sizeof *rig);
    certs_init(&rig->certs);
    certs_standard(&rig->certs);
    certs_make(&rig->certs,
               &(struct cert){.name = "one", .issuer = "ca", .names = "DNS:one.test,IP:127.0.0.1"});
    certs_make(&rig->certs,
               &(struct cert){.name = "two", .issuer = "ca", .names = "DNS:two.test,IP:127.0.0.1"});
    use(rig, "one");
    const struct tls_options server = {.cert_file = certs_path(&rig->certs, "live.pem"),
                                       .key_file = certs_path(&rig->certs, "live.key"),
                                       .min_version = TLS_1_3,
                                       .is_server = true};
    const struct tls_options client = {.ca_file = certs_path(&rig->certs, "ca.pem")};
    assert_int_equal(tls_source_new(&rig->source, &server, NULL), MG_OK);
    assert_int_equal(tls_context_new(&rig->client, &client, NULL), MG_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    tls_source_free(&rig->source);
    tls_context_unref(&rig->client);
    certs_fini(&rig->certs);
    mem_free(rig);
    return 0;
}

static void open_pair(struct rig *rig, struct pair *pair)
{
    pair_open_with(pair, &(struct pair_options){.source = rig->source, .context = rig->client});
}

static bool server_is(const struct pair *pair, const char *name)
{
    struct str entry = str_of(name);
    return stream_has_name(pair->client.stream, &(struct conf_list){&entry, 1});
}

static void assert_in_force(struct rig *rig, const char *name)
{
    struct pair pair;
    open_pair(rig, &pair);
    if (!server_is(&pair, name))
        fail_msg("the server is not %s", name);
    pair_close(&pair);
}

static bool server_has_5(struct pair *pair)
{
    return pair->server.got.len >= 5;
}

static bool client_has_5(struct pair *pair)
{
    return pair->client.got.len >= 5;
}

static void test_nothing_changes(void **state)
{
    struct rig *rig = *state;
    assert_false(tls_source_check(rig->source));
    assert_false(tls_source_check(rig->source));
    assert_in_force(rig, "one.test");
}

static void test_reload_with_an_open_connection(void **state)
{
    struct rig *rig = *state;
    struct pair pair;
    open_pair(rig, &pair);
    use(rig, "two");
    assert_true(tls_source_check(rig->source));
    assert_false(tls_source_check(rig->source)); /* once */
    assert_in_force(rig, "two.test");
    stream_write(pair.client.stream, "hello", 5); /* the old one goes on, both ways */
    pair_run(&pair, server_has_5);
    stream_write(pair.server.stream, "world", 5);
    pair_run(&pair, client_has_5);
    assert_true(server_is(&pair, "one.test"));
    pair_close(&pair);
}

/* A connection may outlive the source. */
static void test_source_goes_first(void **state)
{
    struct rig *rig = *state;
    struct pair pair;
    open_pair(rig, &pair);
    tls_source_free(&rig->source);
    tls_context_unref(&rig->client);
    stream_write(pair.client.stream, "hello", 5);
    pair_run(&pair, server_has_5);
    pair_close(&pair);
}

static void test_half_written_pair(void **state)
{
    struct rig *rig = *state;
    certs_copy(&rig->certs, "two.pem", "live.pem"); /* the key is still one's */
    assert_false(tls_source_check(rig->source));
    assert_false(tls_source_check(rig->source));
    assert_in_force(rig, "one.test");
    certs_copy(&rig->certs, "two.key", "live.key");
    assert_true(tls_source_check(rig->source));
    assert_in_force(rig, "two.test");
}

static void test_broken_files(void **state)
{
    struct rig *rig = *state;
    static const char *const broken[] = {
        "", "garbage\n", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"};
    for (size_t i = 0; i < MG_COUNT(broken); i++) {
        certs_write(&rig->certs, "live.pem", broken[i]);
        assert_false(tls_source_check(rig->source));
        assert_in_force(rig, "one.test");
    }
    assert_int_equal(unlink(certs_path(&rig->certs, "live.pem").ptr), 0);
    assert_int_equal(unlink(certs_path(&rig->certs, "live.key").ptr), 0);
    assert_false(tls_source_check(rig->source));
    assert_in_force(rig, "one.test");
    use(rig, "two");
    assert_true(tls_source_check(rig->source));
    assert_in_force(rig, "two.test");
}

/* Kubernetes: live.pem -> ..data/live.pem, ..data -> generation; a turn of ..data changes both
 * files at once. */
static void test_symlinks(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(unlink(certs_path(&rig->certs, "live.pem").ptr), 0);
    assert_int_equal(unlink(certs_path(&rig->certs, "live.key").ptr), 0);
    assert_int_equal(symlink("data.pem", certs_path(&rig->certs, "live.pem").ptr), 0);
    assert_int_equal(symlink("data.key", certs_path(&rig->certs, "live.key").ptr), 0);
    assert_int_equal(symlink("two.pem", certs_path(&rig->certs, "data.pem").ptr), 0);
    assert_int_equal(symlink("two.key", certs_path(&rig->certs, "data.key").ptr), 0);
    assert_true(tls_source_check(rig->source));
    assert_in_force(rig, "two.test");
    assert_int_equal(symlink("one.pem", certs_path(&rig->certs, "turn.pem").ptr), 0);
    assert_int_equal(symlink("one.key", certs_path(&rig->certs, "turn.key").ptr), 0);
    assert_int_equal(
        rename(certs_path(&rig->certs, "turn.pem").ptr, certs_path(&rig->certs, "data.pem").ptr),
        0);
    assert_int_equal(
        rename(certs_path(&rig->certs, "turn.key").ptr, certs_path(&rig->certs, "data.key").ptr),
        0);
    assert_true(tls_source_check(rig->source));
    assert_in_force(rig, "one.test");
}

static void test_authority_changes(void **state)
{
    struct rig *rig = *state;
    tls_source_free(&rig->source);
    certs_copy(&rig->certs, "ca.pem", "clients.pem");
    const struct tls_options server = {.cert_file = certs_path(&rig->certs, "live.pem"),
                                       .key_file = certs_path(&rig->certs, "live.key"),
                                       .ca_file = certs_path(&rig->certs, "clients.pem"),
                                       .is_server = true};
    assert_int_equal(tls_source_new(&rig->source, &server, NULL), MG_OK);
    assert_false(tls_source_check(rig->source));
    certs_copy(&rig->certs, "other-ca.pem", "clients.pem");
    assert_true(tls_source_check(rig->source));
    certs_write(&rig->certs, "clients.pem", "none");
    assert_false(tls_source_check(rig->source));
}

/* The reason is said once for a state of the files, and again for another. */
static void test_reason_is_logged_once(void **state)
{
    struct rig *rig = *state;
    char text[4096] = "";
    int kept = dup(STDERR_FILENO),
        out = open(certs_path(&rig->certs, "log").ptr, O_CREAT | O_RDWR, 0600);
    dup2(out, STDERR_FILENO);
    certs_copy(&rig->certs, "two.pem", "live.pem");
    for (int i = 0; i < 5; i++)
        (void)tls_source_check(rig->source); /* refused, and that is the test */
    certs_write(&rig->certs, "live.pem", "garbage");
    for (int i = 0; i < 5; i++)
        (void)tls_source_check(rig->source);
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t n = pread(out, text, sizeof text - 1, 0);
    close(out);
    assert_true(n > 0);
    const char *first = strchr(text, '\n');
    assert_non_null(first);
    assert_ptr_equal(strchr(first + 1, '\n'), text + n - 1); /* two lines */
    assert_non_null(strstr(text, "live.key: the private key does not fit the certificate"));
    assert_non_null(strstr(first, "live.pem: holds no certificate"));
    assert_null(strstr(text, "PRIVATE KEY"));
}

static void test_first_load_fails(void **state)
{
    (void)state;
    struct tls_source *source = NULL;
    struct mg_why why;
    const struct tls_options options = {
        .cert_file = STR("/absent.pem"), .key_file = STR("/absent.key"), .is_server = true};
    assert_int_equal(tls_source_new(&source, &options, &why), MG_E_IO);
    assert_null(source);
    assert_non_null(strstr(why.text, "/absent.pem"));
    tls_source_free(&source);
}

static void *take_many(void *source)
{
    for (int i = 0; i < 20000; i++) {
        struct tls_context *context = tls_source_take(source);
        tls_context_unref(&context);
    }
    return NULL;
}

static void test_taken_by_other_threads(void **state)
{
    struct rig *rig = *state;
    pthread_t threads[2];
    for (size_t i = 0; i < MG_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, rig->source), 0);
    for (int i = 0; i < 10; i++) {
        use(rig, i % 2 ? "one" : "two");
        assert_true(tls_source_check(rig->source));
    }
    for (size_t i = 0; i < MG_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_in_force(rig, "one.test");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_changes),   CASE(test_reload_with_an_open_connection),
        CASE(test_source_goes_first), CASE(test_half_written_pair),
        CASE(test_broken_files),      CASE(test_symlinks),
        CASE(test_authority_changes), CASE(test_reason_is_logged_once),
        CASE(test_first_load_fails),  CASE(test_taken_by_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
