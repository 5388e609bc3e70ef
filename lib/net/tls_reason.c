/* tls_reason.c - sentences for OpenSSL's errors, and the few kinds that are counted.
 *
 * Three tables: what is wrong with a certificate (X509_V_ERR_…), what the peer told us in an alert,
 * and what we made of its bytes. What stands in none keeps OpenSSL's own words. */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include "net/tls_private.h"

struct sentence {
    long code;
    const char *text;
};

#define UNTRUSTED "the peer's certificate comes from an authority that is " TLS_SAYS_UNTRUSTED

static const struct sentence certificates[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "the peer's certificate has expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "the peer's certificate is not valid yet"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
     "the peer's certificate is self-signed and " TLS_SAYS_UNTRUSTED},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, UNTRUSTED},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, UNTRUSTED},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNTRUSTED},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, UNTRUSTED},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "the peer's certificate is forged: its signature is wrong"},
    {X509_V_ERR_INVALID_PURPOSE, "the peer's certificate may not be used for this (key usage)"},
};

static const struct sentence alerts[] = {
    {SSL_AD_HANDSHAKE_FAILURE, "the peer found no common cipher or kind of certificate"},
    {SSL_AD_BAD_CERTIFICATE, "the peer refused our certificate"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, "the peer refused our certificate: not a kind it supports"},
    {SSL_AD_CERTIFICATE_REVOKED, "the peer refused our certificate: revoked"},
    {SSL_AD_CERTIFICATE_EXPIRED, "the peer refused our certificate: it has expired"},
    {SSL_AD_CERTIFICATE_UNKNOWN, "the peer refused our certificate"},
    {SSL_AD_UNKNOWN_CA, "the peer refused our certificate: it does not trust the authority"},
    {SSL_AD_ACCESS_DENIED, "the peer denied access to our certificate"},
    {SSL_AD_PROTOCOL_VERSION, "the peer speaks no version of TLS that is spoken here"},
    {SSL_AD_CERTIFICATE_REQUIRED, "the peer " TLS_SAYS_WANTS_CERTIFICATE},
    {SSL_AD_UNRECOGNIZED_NAME, "the peer does not serve that host name"},
    {SSL_AD_NO_APPLICATION_PROTOCOL, "the peer speaks none of our application protocols (ALPN)"},
};

static const struct sentence mistakes[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "wrong version number: the peer speaks no TLS?"},
    {SSL_R_HTTP_REQUEST, "a plain HTTP request where TLS is spoken"},
    {SSL_R_HTTPS_PROXY_REQUEST, "a plain HTTP proxy request where TLS is spoken"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "the peer speaks no version of TLS that is spoken here"},
    {SSL_R_NO_PROTOCOLS_AVAILABLE, "no version of TLS is left to speak"},
    {SSL_R_NO_SHARED_CIPHER, "the peer offers no cipher that is spoken here"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the peer showed no certificate"},
};

static const char *find(const struct sentence *table, size_t n, long code)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].code == code)
            return table[i].text;
    return NULL;
}

static void certificate_reason(char out[TLS_REASON_BYTES], long verified, const char *host)
{
    const char *text = find(certificates, MG_COUNT(certificates), verified);
    if (host &&
        (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH))
        snprintf(out, TLS_REASON_BYTES, "the peer's certificate is not issued for host %s", host);
    else if (text)
        snprintf(out, TLS_REASON_BYTES, "%s", text);
    else
        snprintf(out, TLS_REASON_BYTES, "the peer's certificate is refused: %s",
                 X509_verify_cert_error_string(verified));
}

static enum tls_failure failure_of(unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return TLS_FAILURE_OTHER;
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return TLS_FAILURE_NO_CERTIFICATE;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_AD_REASON_OFFSET + SSL_AD_PROTOCOL_VERSION:
        return TLS_FAILURE_VERSION;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
        return TLS_FAILURE_PLAIN;
    default:
        return reason > SSL_AD_REASON_OFFSET ? TLS_FAILURE_REFUSED : TLS_FAILURE_OTHER;
    }
}

enum tls_failure tls_reason(char out[TLS_REASON_BYTES], long verified, const char *host)
{
    unsigned long error = ERR_peek_error(); /* the first: later ones say where it was noticed */
    int reason = ERR_GET_REASON(error);
    const char *words = error ? ERR_reason_error_string(error) : NULL;
    const char *text = NULL;

    ERR_clear_error();
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        certificate_reason(out, verified, host);
        return TLS_FAILURE_CERTIFICATE;
    }
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET)
        text = find(alerts, MG_COUNT(alerts), reason - SSL_AD_REASON_OFFSET);
    else if (ERR_GET_LIB(error) == ERR_LIB_SSL)
        text = find(mistakes, MG_COUNT(mistakes), reason);
    snprintf(out, TLS_REASON_BYTES, "%s",
             text    ? text
             : words ? words
                     : "a fault in the TLS library");
    return failure_of(error);
}
