#define _GNU_SOURCE /* nftw */
#include "certs.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY_S (24 * 3600)

void certs_init(struct certs *certs)
{
    *certs = (struct certs){.dir = "/tmp/meshglass-certs-XXXXXX"};
    assert_non_null(mkdtemp(certs->dir));
}

static int remove_one(const char *path, const struct stat *at, int kind, struct FTW *where)
{
    (void)at, (void)kind, (void)where;
    return remove(path);
}

void certs_fini(struct certs *certs)
{
    assert_int_equal(nftw(certs->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

struct str certs_path(struct certs *certs, const char *file)
{
    static char paths[16][128];
    static unsigned n;
    char *path = paths[n++ % MG_COUNT(paths)];
    snprintf(path, sizeof paths[0], "%s/%s", certs->dir, file);
    return str_of(path);
}

static FILE *open_new(struct certs *certs)
{
    FILE *out = fopen(certs_path(certs, "new").ptr, "w");
    assert_non_null(out);
    return out;
}

static void put_in_place(struct certs *certs, FILE *out, const char *file)
{
    assert_int_equal(fclose(out), 0);
    assert_int_equal(rename(certs_path(certs, "new").ptr, certs_path(certs, file).ptr), 0);
}

void certs_write(struct certs *certs, const char *file, const char *text)
{
    FILE *out = open_new(certs);
    assert_true(fputs(text, out) >= 0);
    put_in_place(certs, out, file);
}

void certs_copy(struct certs *certs, const char *from, const char *to)
{
    char bytes[16384];
    FILE *in = fopen(certs_path(certs, from).ptr, "r"), *out = open_new(certs);
    assert_non_null(in);
    size_t n = fread(bytes, 1, sizeof bytes, in);
    assert_true(n > 0 && n < sizeof bytes);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    put_in_place(certs, out, to);
}

/* --- making --- */

static struct str file_of(struct certs *certs, const char *stem, const char *suffix)
{
    char file[64];
    snprintf(file, sizeof file, "%s.%s", stem, suffix);
    return certs_path(certs, file);
}

static X509 *read_certificate(struct certs *certs, const char *stem)
{
    FILE *in = fopen(file_of(certs, stem, "pem").ptr, "r");
    assert_non_null(in);
    X509 *certificate = PEM_read_X509(in, NULL, NULL, NULL);
    assert_non_null(certificate);
    fclose(in);
    return certificate;
}

static EVP_PKEY *read_key(struct certs *certs, const char *stem)
{
    FILE *in = fopen(file_of(certs, stem, "key").ptr, "r");
    assert_non_null(in);
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    assert_non_null(key);
    fclose(in);
    return key;
}

static void extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *build(const struct cert *cert, EVP_PKEY *key, X509 *issuer)
{
    static long serial;
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    const char *name = cert->common_name ? cert->common_name : cert->name;
    bool is_default = !cert->from_days && !cert->to_days;

    issuer = issuer ? issuer : certificate;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), (is_default ? -1 : cert->from_days) * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (is_default ? 1 : cert->to_days) * DAY_S);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
                               0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    X509_set_pubkey(certificate, key);
    extend(certificate, issuer, NID_basic_constraints,
           cert->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (cert->names)
        extend(certificate, issuer, NID_subject_alt_name, cert->names);
    return certificate;
}

static void store(struct certs *certs, const struct cert *cert, X509 *certificate, EVP_PKEY *key,
                  X509 *issuer)
{
    FILE *out = open_new(certs);
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    if (issuer && X509_name_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(issuer)) != 0)
        assert_int_equal(PEM_write_X509(out, issuer), 1);
    char file[64];
    snprintf(file, sizeof file, "%s.pem", cert->name);
    put_in_place(certs, out, file);
    out = open_new(certs);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    snprintf(file, sizeof file, "%s.key", cert->name);
    put_in_place(certs, out, file);
}

void certs_make(struct certs *certs, const struct cert *cert)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *issuer = cert->issuer ? read_certificate(certs, cert->issuer) : NULL;
    EVP_PKEY *issuer_key = cert->issuer ? read_key(certs, cert->issuer) : NULL;
    X509 *certificate = build(cert, key, issuer);

    assert_true(X509_sign(certificate, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
    store(certs, cert, certificate, key, issuer);
    X509_free(certificate);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
}

void certs_standard(struct certs *certs)
{
#define HERE "DNS:localhost,IP:127.0.0.1,IP:::1"
    static const struct cert standard[] = {
        {.name = "ca", .is_authority = true},
        {.name = "other-ca", .is_authority = true},
        {.name = "server", .issuer = "ca", .names = HERE},
        {.name = "expired", .issuer = "ca", .names = HERE, .from_days = -9, .to_days = -2},
        {.name = "future", .issuer = "ca", .names = HERE, .from_days = 2, .to_days = 9},
        {.name = "elsewhere", .issuer = "ca", .names = "DNS:elsewhere.test"},
        {.name = "common", .issuer = "ca", .common_name = "localhost"},
        {.name = "client",
         .issuer = "ca",
         .names = "DNS:web.test,URI:spiffe://mesh/ns/shop/sa/web"},
        {.name = "client-expired",
         .issuer = "ca",
         .names = "DNS:web.test",
         .from_days = -9,
         .to_days = -2},
        {.name = "client-other", .issuer = "other-ca", .names = "DNS:web.test"},
        {.name = "self", .names = HERE},
    };
    for (size_t i = 0; i < MG_COUNT(standard); i++)
        certs_make(certs, &standard[i]);
}
