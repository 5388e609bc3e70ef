/* Who a certificate is for: made certificates against allow-lists. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include "certs.h"
#include "net/tls_private.h"

static struct certs certs;

static int set_up(void **state)
{
    (void)state;
    certs_init(&certs);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

/* `names` in OpenSSL's words; NULL: a certificate without any. */
static X509 *certificate_for(const char *names)
{
    certs_make(&certs, &(struct cert){.name = "it", .common_name = "common.test", .names = names});
    FILE *in = fopen(certs_path(&certs, "it.pem").ptr, "r");
    assert_non_null(in);
    X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
    assert_non_null(certificate);
    fclose(in);
    return certificate;
}

#define LONG_ENTRY "a-name-of-more-bytes-than-an-address-may-have-as-text.example.test"
#define LONG_NAME  "DNS:" LONG_ENTRY

static void test_matches(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *names, *entry; bool want; } cases[] = {
        { "DNS:a.test", "a.test", true },
        { "DNS:A.Test", "a.tEST", true },
        { "DNS:b.test,DNS:a.test", "a.test", true },                /* not only the first */
        { "URI:spiffe://mesh/x,DNS:a.test", "a.test", true },
        { "DNS:a.test", "*.test", true },
        { "DNS:a.example.test", "*.Example.test", true },
        { "DNS:*.example.test", "*.example.test", true },           /* the same words */
        { "URI:spiffe://mesh/ns/a", "spiffe://mesh/ns/a", true },
        { "URI:spiffe://mesh/ns/a", "spiffe://mesh/*", true },
        { "URI:spiffe://mesh/ns/a/sa/b", "spiffe://mesh/ns/*", true },
        { "URI:spiffe://mesh/ns/app-1", "spiffe://mesh/ns/app-*", true },
        { "IP:10.1.2.3", "10.1.2.3", true },
        { "IP:::1", "::1", true },
        { LONG_NAME, LONG_ENTRY, true },                            /* longer than any address */
        { "IP:2001:db8::1", "2001:0DB8:0::1", true },               /* another spelling */

        { "DNS:a.test", "b.test", false },
        { "DNS:a.test", "a.test.evil", false },
        { "DNS:evil.a.test", "a.test", false },
        { "DNS:a.test", "", false },
        { "DNS:a.test", "*", false },
        { "DNS:example.test", "*.example.test", false },            /* a label is missing */
        { "DNS:a.b.example.test", "*.example.test", false },        /* one too many */
        { "DNS:*.example.test", "a.example.test", false },          /* wildcards are the list's */
        { "DNS:x*.example.test", "*.example.test", false },
        { "DNS:.example.test", "*.example.test", false },           /* an empty label */
        { "DNS:aexample.test", "*example.test", false },
        { "DNS:a.example.test", "a.*.test", false },
        { NULL, "common.test", false },                             /* no fallback to the common name */
        { "DNS:a.test", "common.test", false },
        { "email:a@a.test", "a.test", false },
        { "URI:spiffe://mesh/ns/a", "spiffe://mesh/ns/A", false },  /* paths have case */
        { "URI:spiffe://mesh/ns/a", "spiffe://mesh/ns", false },
        { "URI:spiffe://mesh/ns/", "spiffe://mesh/ns/*", false },   /* nothing for the star */
        { "URI:spiffe://mesh.evil/a", "spiffe://mesh*", false },    /* no star in the authority */
        { "URI:spiffe://mesh/ns/a", "spiffe://*", false },
        { "URI:spiffe://mesh/ns/a/../../x", "spiffe://mesh/ns/a/*", false },
        { "URI:spiffe://mesh/ns/a/./b", "spiffe://mesh/ns/a/*", false },
        { "URI:spiffe://mesh/x/a", "spiffe://mesh/*/a", false },    /* a star in the middle is a letter */
        { "DNS:a.test", "spiffe://a.test", false },
        { "DNS:spiffe://a.test", "spiffe://a.test", false },
        { "URI:a.test", "a.test", false },                          /* not of its kind */
        { "IP:10.1.2.3", "10.1.2.4", false },
        { "IP:10.1.2.3", "10.1.2.*", false },
        { "DNS:10.1.2.3", "10.1.2.3", false },                      /* a name that looks like an address */
        { "IP:10.1.2.3", "::ffff:10.1.2.3", false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        X509 *certificate = certificate_for(cases[i].names);
        struct str entries[] = {STR("nobody.test"), str_of(cases[i].entry)};
        const struct conf_list last = {entries, 2}, first = {entries + 1, 1};
        if (tls_name_matches(certificate, &first) != cases[i].want)
            fail_msg("%s against %s", cases[i].names ? cases[i].names : "no names", cases[i].entry);
        assert_int_equal(tls_name_matches(certificate, &last), cases[i].want);
        assert_false(tls_name_matches(certificate, &(struct conf_list){0}));
        X509_free(certificate);
    }
}

/* "bank.test\0.evil.test" and kin: made by hand, because no tool writes them. */
static void test_odd_bytes(void **state)
{
    (void)state;
    static const struct {
        int type;
        const char *bytes;
        size_t len;
    } cases[] = {{GEN_DNS, "a.test\0.evil", 12},
                 {GEN_DNS, "", 0},
                 {GEN_IPADD, "\x0a\1\2", 3},
                 {GEN_IPADD, "", 0},
                 {GEN_URI, "x\0", 2}};
    struct str entries[] = {STR("a.test"), STR(""), STR("10.1.2.0"), STR("*.evil")};
    const struct conf_list allowed = {entries, MG_COUNT(entries)};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        X509 *certificate = X509_new();
        GENERAL_NAMES *names = GENERAL_NAMES_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *string = ASN1_STRING_type_new(cases[i].type == GEN_IPADD ? V_ASN1_OCTET_STRING
                                                                              : V_ASN1_IA5STRING);
        ASN1_STRING_set(string, cases[i].bytes, (int)cases[i].len);
        GENERAL_NAME_set0_value(name, cases[i].type, string);
        sk_GENERAL_NAME_push(names, name);
        assert_int_equal(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0), 1);
        assert_false(tls_name_matches(certificate, &allowed));
        GENERAL_NAMES_free(names);
        X509_free(certificate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_odd_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
