/* usual_conf.h - a server's limits for tests that are not about them: large, and slow to strike. */
#pragma once
#include "http/http.h"

static inline struct http_conf usual_conf(void)
{
    return (struct http_conf){
        .header_bytes_max = 64 * 1024,
        .body_bytes_max = 64 * 1024 * 1024,
        .streams_max = 100,
        .connections_max = 100,
        .header_timeout_ns = 10000000000u,
        .idle_timeout_ns = 300000000000u,
        .body_timeout_ns = 30000000000u,
        .stream_window = 1024 * 1024,
        .connection_window = 4 * 1024 * 1024,
        .reset_max = 100,
    };
}
