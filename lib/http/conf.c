/* conf.c - the rows of the `http` section. body_bytes_max has none: it is the program's
 * ingest.body_bytes_max, because one number must rule before and after inflating. */
#include "http/conf.h"
#include <stddef.h>

#define ROW(type, key, field, def, min, max, help)                                                 \
    CONF_ROW(struct http_conf, type, key, field, def, min, max, help)

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
        "Time a connection may be idle between requests."),
    ROW(CONF_DURATION, "body_timeout", body_timeout_ns, "30s", "10ms", "1h",
        "Time for the next 1 KiB of a body to arrive, and for an answer to make progress."),
    ROW(CONF_BYTES, "stream_window", stream_window, "1MiB", "64KiB", "1GiB",
        "HTTP/2 receive window of a stream."),
    ROW(CONF_BYTES, "connection_window", connection_window, "4MiB", "64KiB", "1GiB",
        "HTTP/2 receive window of a connection."),
    ROW(CONF_BYTES, "bodies_bytes_max", bodies_bytes_max, "256MiB", "64KiB", NULL,
        "Memory of all request bodies of a door and loop; above it further bodies wait unread."),
    ROW(CONF_U64, "reset_max", reset_max, "1000", "1", "1000000",
        "HTTP/2 streams a peer may reset within 10 s before its connection ends."),
};
/* clang-format on */
const size_t http_fields_n = MG_COUNT(http_fields);
