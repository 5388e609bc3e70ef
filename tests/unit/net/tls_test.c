/* Contexts: which files are taken, and the rows of the section. What contexts do, tls_stream_test.c
 * sees. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "certs.h"
#include "net/tls_private.h"

static struct certs certs;

/* With the pass phrase "secret", in the form of today (PKCS #8) and in the one before. */
static void write_locked_keys(void)
{
    static const unsigned char secret[] = "secret";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *today = BIO_new_file(certs_path(&certs, "locked.key").ptr, "w");
    BIO *before = BIO_new_file(certs_path(&certs, "locked-old.key").ptr, "w");
    assert_int_equal(PEM_write_bio_PrivateKey(today, key, EVP_aes_256_cbc(), secret, 6, NULL, NULL),
                     1);
    assert_int_equal(
        PEM_write_bio_PrivateKey_traditional(before, key, EVP_aes_256_cbc(), secret, 6, NULL, NULL),
        1);
    BIO_free(today);
    BIO_free(before);
    EVP_PKEY_free(key);
}

static int set_up(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_standard(&certs);
    certs_make(&certs, &(struct cert){.name = "middle", .issuer = "ca", .is_authority = true});
    certs_make(&certs,
               &(struct cert){.name = "below", .issuer = "middle", .names = "DNS:below.test"});
    certs_write(&certs, "garbage.pem", "this is no certificate\n");
    certs_write(&certs, "broken.pem",
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    certs_write(&certs, "empty.pem", "");
    write_locked_keys();
    assert_int_equal(mkdir(certs_path(&certs, "folder").ptr, 0700), 0);
    assert_int_equal(mkfifo(certs_path(&certs, "pipe").ptr, 0600), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

static struct str path_or_none(const char *file)
{
    return file ? certs_path(&certs, file) : STR("");
}

static void test_files(void **state)
{
    (void)state;
    enum { CLIENT, SERVER };
    /* clang-format off */
    static const struct {
        const char *cert, *key, *ca; int side; const char *alpn; enum mg_err want; const char *sentence;
    } cases[] = {
        { "server.pem", "server.key", NULL, SERVER, NULL, MG_OK, NULL },
        { "server.pem", "server.key", "ca.pem", SERVER, "h2,http/1.1", MG_OK, NULL },
        { "below.pem", "below.key", NULL, SERVER, NULL, MG_OK, NULL },
        { "expired.pem", "expired.key", NULL, SERVER, NULL, MG_OK, NULL },   /* warned about */
        { NULL, NULL, NULL, CLIENT, NULL, MG_OK, NULL },
        { NULL, NULL, "ca.pem", CLIENT, "h2", MG_OK, NULL },
        { "client.pem", "client.key", "ca.pem", CLIENT, NULL, MG_OK, NULL },

        { NULL, NULL, NULL, SERVER, NULL, MG_E_FORMAT, "needs a certificate and its key" },
        { "server.pem", NULL, NULL, SERVER, NULL, MG_E_FORMAT, "the key is missing" },
        { NULL, "server.key", NULL, SERVER, NULL, MG_E_FORMAT, "the certificate is missing" },
        { "client.pem", NULL, NULL, CLIENT, NULL, MG_E_FORMAT, "the key is missing" },
        { "absent.pem", "server.key", NULL, SERVER, NULL, MG_E_IO, "absent.pem: No such file" },
        { "server.pem", "absent.key", NULL, SERVER, NULL, MG_E_IO, "absent.key: No such file" },
        { "server.pem", "server.key", "absent.pem", SERVER, NULL, MG_E_IO, "absent.pem: No such file" },
        { "folder", "server.key", NULL, SERVER, NULL, MG_E_IO, "folder is not a regular file" },
        { "pipe", "server.key", NULL, SERVER, NULL, MG_E_IO, "pipe is not a regular file" },
        { "server.pem", "pipe", NULL, SERVER, NULL, MG_E_IO, "pipe is not a regular file" },
        { "server.pem", "server.key", "pipe", SERVER, NULL, MG_E_IO, "pipe is not a regular file" },
        { NULL, NULL, "pipe", CLIENT, NULL, MG_E_IO, "pipe is not a regular file" },
        { "empty.pem", "server.key", NULL, SERVER, NULL, MG_E_FORMAT, "empty.pem: holds no certificate" },
        { "garbage.pem", "server.key", NULL, SERVER, NULL, MG_E_FORMAT, "garbage.pem: holds no certificate" },
        { "broken.pem", "server.key", NULL, SERVER, NULL, MG_E_FORMAT, "broken.pem: holds no certificate" },
        { "server.key", "server.key", NULL, SERVER, NULL, MG_E_FORMAT, "server.key: holds no certificate" },
        { "server.pem", "server.pem", NULL, SERVER, NULL, MG_E_FORMAT, "server.pem: holds no private key" },
        { "server.pem", "empty.pem", NULL, SERVER, NULL, MG_E_FORMAT, "empty.pem: holds no private key" },
        { "server.pem", "client.key", NULL, SERVER, NULL, MG_E_FORMAT, "client.key: the private key does not fit" },
        { "server.pem", "locked.key", NULL, SERVER, NULL, MG_E_FORMAT, "locked.key: the private key has a pass phrase" },
        { "server.pem", "locked-old.key", NULL, SERVER, NULL, MG_E_FORMAT, "has a pass phrase" },
        { "server.pem", "server.key", "garbage.pem", SERVER, NULL, MG_E_FORMAT, "garbage.pem: holds no certificate of an" },
        { NULL, NULL, "empty.pem", CLIENT, NULL, MG_E_FORMAT, "empty.pem: holds no certificate of an" },
        { NULL, NULL, NULL, CLIENT, "h2,,x", MG_E_FORMAT, "ALPN" },
        { NULL, NULL, NULL, CLIENT, "0123456789012345678901234567890123456789012345678901234567890123", MG_E_FORMAT, "ALPN" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct tls_options options = {.cert_file = path_or_none(cases[i].cert),
                                            .key_file = path_or_none(cases[i].key),
                                            .ca_file = path_or_none(cases[i].ca),
                                            .alpn = cases[i].alpn,
                                            .min_version = TLS_1_3,
                                            .is_server = cases[i].side == SERVER};
        struct tls_context *context = NULL;
        struct mg_why why = {""};
        enum mg_err err = tls_context_new(&context, &options, &why);
        if (err != cases[i].want || (err && !strstr(why.text, cases[i].sentence)))
            fail_msg("row %zu: %s %s", i, mg_err_name(err), why.text);
        assert_int_equal(context == NULL, err != MG_OK);
        tls_context_unref(&context);
        assert_null(context);
    }
}

static void test_what_is_no_path(void **state)
{
    (void)state;
    static char path[4096];
    memset(path, 'a', sizeof path);
    const struct {
        struct str path;
        enum mg_err want;
        const char *sentence;
    } cases[] = {
        {STR("/etc\0/x"), MG_E_FORMAT, "is not a path"},
        {str_n(path, 4096), MG_E_FORMAT, "'aaa"},        /* the end does not fit */
        {str_n(path, 4095), MG_E_IO, "cannot open aaa"}, /* the system's turn to refuse it */
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct tls_context *context;
        struct mg_why why;
        const struct tls_options options = {.ca_file = cases[i].path};
        assert_int_equal(tls_context_new(&context, &options, &why), cases[i].want);
        assert_non_null(strstr(why.text, cases[i].sentence));
    }
}

/* Whatever the keys: a server of the tests has an elliptic one, which many ciphers do not fit. */
static void test_ciphers(void **state)
{
    (void)state;
    struct tls_context *context;
    assert_int_equal(tls_context_new(&context, &(struct tls_options){0}, NULL), MG_OK);
    SSL *ssl = tls_context_session(context);
    STACK_OF(SSL_CIPHER) *ciphers = SSL_get1_supported_ciphers(ssl);
    assert_true(sk_SSL_CIPHER_num(ciphers) > 3);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
        int exchange = SSL_CIPHER_get_kx_nid(cipher), who = SSL_CIPHER_get_auth_nid(cipher);
        bool is_1_3 = exchange == NID_kx_any; /* all of them have it built in */
        if (!SSL_CIPHER_is_aead(cipher) || (!is_1_3 && exchange != NID_kx_ecdhe) ||
            (!is_1_3 && who != NID_auth_rsa && who != NID_auth_ecdsa))
            fail_msg("%s", SSL_CIPHER_get_name(cipher));
    }
    sk_SSL_CIPHER_free(ciphers);
    SSL_free(ssl);
    tls_context_unref(&context);
}

static void test_references(void **state)
{
    (void)state;
    struct tls_context *context, *second;
    assert_int_equal(tls_context_new(&context, &(struct tls_options){0}, NULL), MG_OK);
    second = tls_context_ref(context);
    tls_context_unref(&context);
    tls_context_unref(&second);
    tls_context_unref(&second); /* NULL */
}

/* --- rows --- */

static enum mg_err load(struct tls_conf *out, const char *const *sets, size_t n, struct conf **conf,
                        struct mg_why *why)
{
    const struct conf_section section = {"tls", tls_fields, tls_fields_n, out};
    return conf_load(conf, &section, 1, &(struct conf_source){.sets = sets, .n_sets = n}, why);
}

static void test_rows(void **state)
{
    (void)state;
    struct tls_conf conf = {0};
    struct conf *loaded;
    assert_int_equal(load(&conf, NULL, 0, &loaded, NULL), MG_OK);
    assert_int_equal(conf.min_version, TLS_1_3);
    assert_int_equal(conf.cert.len + conf.key.len + conf.client_ca.len + conf.client_names.n, 0);
    conf_free(&loaded);

    const char *const sets[] = {"tls.cert=/c.pem",       "tls.key=/c.key",
                                "tls.client_ca=/ca.pem", "tls.client_names=*.web.test",
                                "tls.min_version=1.2"};
    assert_int_equal(load(&conf, sets, MG_COUNT(sets), &loaded, NULL), MG_OK);
    assert_int_equal(conf.min_version, TLS_1_2);
    assert_true(str_eq(conf.cert, STR("/c.pem")) && str_eq(conf.key, STR("/c.key")));
    assert_true(str_eq(conf.client_ca, STR("/ca.pem")));
    assert_true(conf.client_names.n == 1 && str_eq(conf.client_names.at[0], STR("*.web.test")));
    conf_free(&loaded);
}

static void test_wrong_rows(void **state)
{
    (void)state;
    static const char *const wrong[] = {"tls.min_version=1.1",
                                        "tls.min_version=", "tls.version=1.3", "tls.certs=/x"};
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        struct tls_conf conf = {0};
        struct conf *loaded = NULL;
        struct mg_why why;
        assert_int_equal(load(&conf, &wrong[i], 1, &loaded, &why), MG_E_FORMAT);
        assert_null(loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),   cmocka_unit_test(test_what_is_no_path),
        cmocka_unit_test(test_ciphers), cmocka_unit_test(test_references),
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_wrong_rows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
