/* server.h - asking a running instance through its query_http door. Private to the module. */
#pragma once
#include "http/client.h"

#define SERVER_DEFAULT "http://127.0.0.1:16686"
struct server_args {
    const char *url;        /* --server */
    const char *token_file; /* NULL: none */
    const char *ca_file;    /* NULL: the system's CAs */
    const char *cert_file, *key_file; /* both or none */
};
#define SERVER_ARG_ROWS(type, member)                                                              \
    {.name = "--server",                                                                           \
     .kind = ARG_TEXT,                                                                             \
     .offset = offsetof(type, member.url),                                                         \
     .value = "URL",                                                                               \
     .help = "Base URL of the running collector's query_http door (" SERVER_DEFAULT ")."},         \
    {.name = "--token-file",                                                                       \
     .kind = ARG_TEXT,                                                                             \
     .offset = offsetof(type, member.token_file),                                                  \
     .value = "FILE",                                                                              \
     .help = "File with the bearer token to show; auth.tokens holds its hash."},                   \
    {.name = "--ca-file",                                                                          \
     .kind = ARG_TEXT,                                                                             \
     .offset = offsetof(type, member.ca_file),                                                     \
     .value = "FILE",                                                                              \
     .help = "PEM file of the CA that signed the collector's certificate."},                       \
    {.name = "--cert-file",                                                                        \
     .kind = ARG_TEXT,                                                                             \
     .offset = offsetof(type, member.cert_file),                                                   \
     .value = "FILE",                                                                              \
     .with = "--key-file",                                                                         \
     .help = "PEM file of the client certificate to show, where tls.client_ca asks for one."},     \
    {.name = "--key-file",                                                                         \
     .kind = ARG_TEXT,                                                                             \
     .offset = offsetof(type, member.key_file),                                                    \
     .value = "FILE",                                                                              \
     .with = "--cert-file",                                                                        \
     .help = "PEM file of its private key."}

/* What is shown to a server with every call. Zeroed memory is nothing. */
struct server_access {
    struct buf authorization; /* "Bearer …"; empty: none */
    struct tls_context *tls;  /* NULL: the system's CAs, and no certificate */
    struct http_header header;
    size_t n_headers;         /* 0 or 1 */
};
/* Reads the files; E_IO and E_FORMAT name them. `alpn`: "http/1.1", or "h2" for gRPC. */
enum mg_err server_access(const struct server_args *args, const char *alpn, struct server_access *out, struct mg_why *why) MG_MUST_USE;
void server_access_fini(struct server_access *access);

/* --- what a failure is told with --- */
/* The server's own words, as far as they are one line of text; else empty. */
struct str server_reason(struct str said);
#define SERVER_TOKEN_HINT "; see --token-file" /* behind 401 */
/* Behind a call's sentence: the option that helps; "": none does. */
const char *server_tls_hint(const struct mg_why *why);

/* base + path in a fresh buf, the caller's. */
void server_url(const char *base, const char *path, struct buf *url);
/* GET of the server's path; anything but 200 is a failure that names the URL and has the server's own words when they are one line.
 * *body is the caller's on success; with on_body (http_fetch) it stays empty, and silence_ms is the longest silence. */
struct server_sink { http_body_fn *on_body; void *owner; uint64_t silence_ms; };
enum mg_err server_get(const struct server_args *args, const char *path, const struct server_sink *sink, struct buf *body,
                       struct mg_why *why) MG_MUST_USE;
