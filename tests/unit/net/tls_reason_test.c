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
    static const struct { int lib, reason; long verified; const char *host, *want; enum tls_failure failure; } cases[] = {
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_CERT_HAS_EXPIRED, "h", "certificate has expired", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_CERT_NOT_YET_VALID, NULL, "not valid yet", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_HOSTNAME_MISMATCH, "a.test", "not issued for host a.test", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_IP_ADDRESS_MISMATCH, "::1", "not issued for host ::1", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_HOSTNAME_MISMATCH, NULL, "refused: ", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_CERT_REVOKED, "h", "refused: certificate revoked", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "h", "authority that is not trusted", TLS_FAILURE_CERTIFICATE },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA, X509_V_OK, NULL, "it does not trust the authority", TLS_FAILURE_REFUSED },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REQUIRED, X509_V_OK, "h", "requires a client certificate", TLS_FAILURE_REFUSED },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_DECRYPT_ERROR, X509_V_OK, "h", "decrypt error", TLS_FAILURE_REFUSED }, /* OpenSSL's own */
        { ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, X509_V_OK, "h", "speaks no TLS?", TLS_FAILURE_PLAIN },
        { ERR_LIB_SSL, SSL_R_HTTP_REQUEST, X509_V_OK, NULL, "plain HTTP request", TLS_FAILURE_PLAIN },
        { ERR_LIB_SSL, SSL_R_BAD_EXTENSION, X509_V_OK, NULL, "bad extension", TLS_FAILURE_OTHER },
        { ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL, X509_V_OK, NULL, "no version of TLS", TLS_FAILURE_VERSION },
        { ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, X509_V_OK, NULL, "no cipher", TLS_FAILURE_OTHER },
        { ERR_LIB_SSL, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, X509_V_OK, NULL, "showed no certificate", TLS_FAILURE_NO_CERTIFICATE },
        { ERR_LIB_SSL, SSL_R_HTTPS_PROXY_REQUEST, X509_V_OK, NULL, "proxy request", TLS_FAILURE_PLAIN },
        { ERR_LIB_SSL, SSL_AD_REASON_OFFSET + SSL_AD_PROTOCOL_VERSION, X509_V_OK, NULL, "no version of TLS", TLS_FAILURE_VERSION },
        { ERR_LIB_EVP, SSL_R_CERTIFICATE_VERIFY_FAILED, X509_V_OK, "h", "", TLS_FAILURE_OTHER }, /* another library's number */
        { ERR_LIB_EVP, SSL_R_HTTP_REQUEST, X509_V_OK, "h", "", TLS_FAILURE_OTHER },
        { ERR_LIB_SSL, SSL_R_NO_PROTOCOLS_AVAILABLE, X509_V_OK, "h", "no version of TLS is left", TLS_FAILURE_VERSION },
        { 0, 0, X509_V_OK, NULL, "a fault in the TLS library", TLS_FAILURE_OTHER },               /* no error at all */
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
        enum tls_failure failure = tls_reason(out, cases[i].verified, cases[i].host);
        if (!strstr(out, cases[i].want) || failure != cases[i].failure)
            fail_msg("row %zu: %s, %d", i, out, failure);
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
    (void)tls_reason(out, X509_V_ERR_HOSTNAME_MISMATCH, host);
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
