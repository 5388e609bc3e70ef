/* auth.h - who may come in: bearer tokens, basic auth, names of client certificates; and which
 * pages of a browser may read the answers (CORS).
 *
 * A struct http_auth is made from rows, immutable, shared by all servers. A caller shows one
 * credential: an Authorization header, or where there is none a verified client certificate that a
 * row names. What it may do are scopes: ingest, query, admin (admin includes query). A door has a
 * scope and a route may demand another. Nothing configured: everybody may do everything, as at a
 * door whose http_options.auth is NULL.
 *
 *   401 / 16  no credential, or one that is not known: WWW-Authenticate names the schemes. The
 *             message does not say which part was wrong
 *   403 / 7   known, but the scope is missing, or the certificate's names are not in
 *             tls.client_names: the message names the scope or the row. Also when only certificates
 *             are configured and none that is known was shown, since no scheme could be named
 *
 * Secrets stand hashed in the configuration: "sha256:" and 64 hex digits of the token, or of
 * "user:password" for basic auth, so they must be generated ones (docs say how: `openssl rand
 * -base64 32`). Compared in constant time, over all entries. Nothing of a credential is ever logged
 * or answered but the entry's name; two entries may have the same name, as while a secret is
 * exchanged. */
#pragma once
#include "conf/conf.h"
#include "http/http.h"

struct http_auth_conf {
    struct conf_list tokens;              /* "NAME SCOPE[,SCOPE…] sha256:HEX" */
    struct conf_list users;               /* the same; HEX is of "user:password" */
    struct conf_list client_certificates; /* "SAN SCOPE[,SCOPE…]", SAN as in tls.client_names */
};
extern const struct conf_field http_auth_fields[];
extern const size_t http_auth_fields_n;

struct http_auth;
/* Copies. E_FORMAT names the row and the entry's number, never a word of the entry. */
enum mg_err http_auth_new(struct http_auth **out, const struct http_auth_conf *conf,
                          struct mg_why *why) MG_MUST_USE;
struct http_auth *http_auth_ref(struct http_auth *auth); /* any thread */
void http_auth_unref(struct http_auth **auth);           /* any thread */
bool http_auth_is_empty(const struct http_auth *auth);   /* nobody is asked */

struct http_cors_conf {
    /* Such as "https://app-*.example.com": '*' is any run of characters; "*" alone is any origin,
     * but without credentials. Empty: no CORS header at all. */
    struct conf_list origins;
    /* Allowed beyond the safelist, x-requested-with, content-type and authorization; "*": any. */
    struct conf_list headers;
    uint64_t max_age_ns; /* whole seconds are said; 0: not said */
};
extern const struct conf_field http_cors_fields[];
extern const size_t http_cors_fields_n;
/* E_FORMAT: an origin that no browser would ever send, as one with a '/' at its end; a header that
 * has no name. Names the row and the entry's number, never a word of the entry: it may be long, or
 * a secret in the wrong place. For the start and a reload. */
enum mg_err http_cors_check(const struct http_cors_conf *conf, struct mg_why *why) MG_MUST_USE;
