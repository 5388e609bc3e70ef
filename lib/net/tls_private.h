/* tls_private.h - what the TLS files of net share. OpenSSL's headers stop here. */
#pragma once
#include <openssl/ssl.h>
#include "conf/conf.h"
#include "net/tls.h"

/* --- tls.c --- */
SSL *tls_context_session(
    const struct tls_context *context); /* returns a new one; NULL: no memory */
bool tls_context_is_server(const struct tls_context *context);
bool tls_context_verifies(
    const struct tls_context *context); /* a peer's certificate, if there is one */

/* --- tls_reason.c: what went wrong, in words for a person --- */
#define TLS_REASON_BYTES 320
/* Of the calling thread's OpenSSL errors, which are forgotten. `verified` is SSL_get_verify_result;
 * host: whom a client wanted, NULL at a server. Returns what the sentence is about. */
enum tls_failure tls_reason(char out[TLS_REASON_BYTES], long verified, const char *host);

/* --- tls_name.c: who a certificate is for --- */
/* One of its subject alternative names matches one of the list. No fallback to the common name. */
bool tls_name_matches(const X509 *certificate, const struct conf_list *allowed);
