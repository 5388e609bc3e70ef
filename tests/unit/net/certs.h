/* certs.h - certificates made at test time, as PEM files in a folder of their own.
 *
 * `certs_standard` makes the set every test of TLS begins with; a test adds its own by certs_make.
 * A certificate NAME is NAME.pem (own certificate first, then its issuer's unless that is a root)
 * and NAME.key. */
#pragma once
#include "base/str.h"

struct certs {
    char dir[64];
};

struct cert {
    const char *name;        /* stem of the files */
    const char *issuer;      /* stem of an earlier one; NULL: signed by itself */
    const char *names;       /* subjectAltName as OpenSSL's configuration writes it; NULL: none */
    const char *common_name; /* NULL: `name` */
    bool is_authority;
    int from_days, to_days; /* from now; both 0: yesterday until tomorrow */
};

void certs_init(struct certs *certs);
void certs_fini(struct certs *certs); /* removes the folder */
void certs_make(struct certs *certs, const struct cert *cert);
/* ca, other-ca; by ca: server (localhost, 127.0.0.1, ::1), expired, future, elsewhere
 * (elsewhere.test), common (localhost as common name only), client (DNS web.test, URI
 * spiffe://mesh/ns/shop/sa/web), client-expired; by other-ca: client-other; by nobody: self
 * (localhost, 127.0.0.1). */
void certs_standard(struct certs *certs);
/* dir/file; the last 16 stay valid, of all folders together. One thread. */
struct str certs_path(struct certs *certs, const char *file);
void certs_write(struct certs *certs, const char *file,
                 const char *text); /* a new inode, renamed over */
void certs_copy(struct certs *certs, const char *from, const char *to); /* the same way */
