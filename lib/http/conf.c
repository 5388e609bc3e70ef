/* conf.c - the rows of the sections `http`, `auth` and `cors`. body_bytes_max has none: it is a
 * row of the program, where one number must rule before and after inflating. */
#include "http/conf.h"
#include <stddef.h>
#include "http/auth.h"

#define ROW(type, key, field, def, min, max, help)                                                 \
    CONF_ROW(struct http_conf, type, key, field, def, min, max, help, CONF_NEEDS_RESTART)
#define AUTH_LIST(key, field, help)                                                                \
    CONF_ROW(struct http_auth_conf, CONF_LIST, key, field, NULL, NULL, NULL, help)
#define CORS_ROW(type, key, field, max, help)                                                      \
    CONF_ROW(struct http_cors_conf, type, key, field, NULL, NULL, max, help)

/* clang-format off */
const struct conf_field http_fields[] = {
    ROW(CONF_BYTES, "header_bytes_max", header_bytes_max, "64KiB", "1KiB", "1MiB",
        "Largest header section of a request."),
    ROW(CONF_U64, "streams_max", streams_max, "256", "1", "100000",
        "Concurrent HTTP/2 streams of a connection."),
    ROW(CONF_U64, "connections_max", connections_max, "10000", "1", "1000000",
        "Open connections of a door and loop; further ones wait in the backlog."),
    ROW(CONF_DURATION, "header_timeout", header_timeout_ns, "10s", "10ms", "10m",
        "Time for the headers of a request to arrive."),
    ROW(CONF_DURATION, "idle_timeout", idle_timeout_ns, "5m", "10ms", "24h",
        "Time a connection may be idle between requests, and a gRPC stream from a client between messages."),
    ROW(CONF_DURATION, "body_timeout", body_timeout_ns, "30s", "10ms", "1h",
        "Time for the next 1 KiB of a body to arrive, and for an answer to make progress."),
    ROW(CONF_BYTES, "stream_window", stream_window, "1MiB", "64KiB", "1GiB",
        "HTTP/2 receive window of a stream."),
    ROW(CONF_BYTES, "connection_window", connection_window, "4MiB", "64KiB", "1GiB",
        "HTTP/2 receive window of a connection."),
    ROW(CONF_BYTES, "bodies_bytes_max", bodies_bytes_max, "256MiB", "64KiB", NULL,
        "Memory of the request bodies of the process but one, which may be of any size; when it is short, bodies wait up to 5 s unread and are then refused with 503, as are those that stall, and those that HTTP/2's windows let grow."),
    ROW(CONF_U64, "reset_max", reset_max, "1000", "1", "1000000",
        "HTTP/2 streams a peer may reset within 10 s before its connection ends."),
};

const struct conf_field http_auth_fields[] = {
    AUTH_LIST("tokens", tokens,
        "Bearer tokens: \"NAME SCOPE[,SCOPE] sha256:HEX\", HEX of the token; scopes ingest, query, admin."),
    AUTH_LIST("users", users,
        "Basic auth: \"NAME SCOPE[,SCOPE] sha256:HEX\", HEX of user:password. Generated passwords only."),
    AUTH_LIST("client_certificates", client_certificates,
        "Verified client certificates: \"SAN SCOPE[,SCOPE]\"; \"*.\" in front matches one label. Needs tls.client_ca."),
};
const struct conf_field http_cors_fields[] = {
    CORS_ROW(CONF_LIST, "origins", origins, NULL,
        "Pages that may read answers, as https://*.example.com; a star is any run of characters, and alone any page, but without credentials."),
    CORS_ROW(CONF_LIST, "headers", headers, NULL,
        "Request headers that such pages may send besides Accept, Accept-Language, Authorization, Content-Language, Content-Type, Range "
        "and X-Requested-With; a star alone is any."),
    CORS_ROW(CONF_DURATION, "max_age", max_age_ns, "24h",
        "Time a browser may remember a permission, in whole seconds; 0 means its own default."),
};
/* clang-format on */
const size_t http_fields_n = MG_COUNT(http_fields);
const size_t http_auth_fields_n = MG_COUNT(http_auth_fields);
const size_t http_cors_fields_n = MG_COUNT(http_cors_fields);
