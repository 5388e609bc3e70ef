/* The sentences for OpenSSL's errors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include "net/tls_private.h"

static void test_sentences(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { int lib, reason; long verified; const char *host, *want; } cases[] = {
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_CERT_HAS_EXPIRED, "h", "certificate has expired" },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_CERT_NOT_YET_VALID, NULL, "not valid yet" },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_HOSTNAME_MISMATCH, "a.test", "not issued for host a.test" },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_IP_ADDRESS_MISMATCH, "::1", "not issued for host ::1" },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_HOSTNAME_MISMATCH, NULL, "refused: " },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_CERT_REVOKED, "h", "refused: certificate revoked" },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "h", "authority that is not trusted" },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA, X509_V_OK, NULL, "it does not trust the authority" },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REQUIRED, X509_V_OK, "h", "requires a client certificate" },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_DECRYPT_ERROR, X509_V_OK, "h", "decrypt error" }, /* OpenSSL's own */
        { ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, X509_V_OK, "h", "speaks no TLS?" },
        { ERR_LIB_SSL, SSL_R_HTTP_REQUEST, X509_V_OK, NULL, "plain HTTP request" },
        { ERR_LIB_SSL, SSL_R_BAD_EXTENSION, X509_V_OK, NULL, "bad extension" },
        { ERR_LIB_EVP, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_OK, "h", "" }, /* another library's number */
        { 0, 0, X509_V_OK, NULL, "a fault in the TLS library" },               /* no error at all */
    };
    /* clang-format on */
    char out[TLS_REASON_BYTES];
    assert_int_equal(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL), 1); /* its words */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        ERR_clear_error();
        if (cases[i].lib)
            ERR_raise(cases[i].lib, cases[i].reason);
        ERR_raise(ERR_LIB_SSL, SSL_R_UNINITIALIZED); /* where it was noticed: not the reason */
        if (!cases[i].lib)
            ERR_clear_error();
        tls_reason(out, cases[i].verified, cases[i].host);
        if (!strstr(out, cases[i].want))
            fail_msg("row %zu: %s", i, out);
        assert_null(strstr(out, "uninitialized"));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

/* A host is as long as a name may be; the sentence is cut, not overrun. */
static void test_long_host(void **state)
{
    (void)state;
    char host[1001], out[TLS_REASON_BYTES];
    memset(host, 'a', 1000);
    host[1000] = '\0';
    ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
    tls_reason(out, X509_V_ERR_HOSTNAME_MISMATCH, host);
    assert_int_equal(strlen(out), TLS_REASON_BYTES - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_long_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
