/* server.h - asking a running instance through its query_http door. Private to the module. */
#pragma once
#include "base/buf.h"

#define SERVER_DEFAULT "http://127.0.0.1:16686"
#define SERVER_ARG_ROW(type, member)                                                               \
    {                                                                                              \
        .name = "--server", .kind = ARG_TEXT, .offset = offsetof(type, member), .value = "URL",    \
        .help = "Base URL of the running collector's query_http door (" SERVER_DEFAULT ")."        \
    }

/* base + path in a fresh buf, the caller's. */
void server_url(const char *base, const char *path, struct buf *url);
/* GET base + path; anything but 200 is a failure that names the URL. *body is the caller's on
 * success. */
enum mg_err server_get(const char *base, const char *path, struct buf *body,
                       struct mg_why *why) MG_MUST_USE;
/* "127.0.0.1" of "http://127.0.0.1:16686/x"; brackets of an IPv6 address included. */
struct str server_host(const char *base);
