/* url.h - the URL of a server, taken apart: for the client, for exporters, and for those who
 * compare places. Any thread; no state.
 *
 * What is read is http[s]://[user_info@]host[:port][path][?query][#fragment], the scheme in small
 * letters. In brackets stands an IPv6 address, with its zone as the system writes it
 * ("[fe80::1%eth0]"); whether a host can be one is the resolver's to say. No port, or none behind
 * the colon, is the scheme's. A URL may be of any length.
 *
 * Refused with E_FORMAT: what begins otherwise, spaces and control characters (NUL is one)
 * anywhere, no host, a bracket that is not closed or followed by anything but a port, a port that
 * is not in digits from 1 to 65535. And an '@' behind the host: it means that a
 * '/', '?' or '#' of a password was not written as %XX, so that the rest of the password would pass
 * for a path, and be told.
 *
 * The sentence says what is wrong ("it names no host") and repeats nothing of the text, which may
 * be a password wherever it is wrong. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct http_url {         /* parts of the text, as written there */
    bool is_tls;          /* https */
    struct str user_info; /* up to the last '@' before the host; ptr is NULL without one */
    struct str authority; /* "host:port", never user_info */
    struct str host;      /* of it, without brackets */
    uint16_t port;
    struct str path;  /* empty, or from the '/' on */
    struct str query; /* from the '?' or '#' on, to the end; may be empty */
};
enum mg_err http_url_read(struct str text, struct http_url *url, struct mg_why *why) MG_MUST_USE;
/* The part "host[:port]" alone. usual_port: when it says none; 0: it must. */
enum mg_err http_host_read(struct str text, uint16_t usual_port, struct str *host, uint16_t *port,
                           struct mg_why *why) MG_MUST_USE;
