/* tls.h - TLS for listeners and outgoing streams: contexts, reload, what is known of the peer
 * (OpenSSL 3).
 *
 * A context is immutable and counted; a stream keeps the one it began with, so a reload changes new
 * connections only. A source holds the context in force and makes a new one when a file changes;
 * when that fails the old one stays, and the reason is logged once with the file's name. TLS 1.3,
 * or 1.2 from tls.min_version on (then only ECDHE with AEAD); no compression, no renegotiation,
 * tickets on. Private keys and their passwords never reach a log, and a key with a pass phrase is
 * refused: nobody is there to type it. Why a connection failed is logged at most once in 10 s. */
#pragma once
#include "conf/conf.h"
#include "net/stream.h"

enum { TLS_1_2, TLS_1_3 }; /* tls_conf.min_version, order of the row's choices */
struct tls_conf {          /* the rows of a `tls` section of doors */
    struct str cert, key;  /* PEM files: chain and key; both or none */
    struct str client_ca;  /* PEM; set: a client must show a certificate of this CA */
    /* SAN allow-list, see stream_has_name; empty: any of the CA */
    struct conf_list client_names;
    int min_version;
};
extern const struct conf_field tls_fields[];
extern const size_t tls_fields_n;

struct tls_context;
struct tls_options {
    struct str cert_file, key_file; /* a server must have both; a client may */
    /* Server: of clients, which then must show a certificate; client: of servers, empty: the
     * system's. An intermediate authority may stand for itself. */
    struct str ca_file;
    int min_version;
    bool is_server;
    bool is_unverified; /* client: takes any certificate; warned about at start by whoever offers
                         * that row */
    const char *alpn;   /* "h2,http/1.1": server: by its preference, and without any when there is
                         * none in common; client: offered. NULL: none */
};
/* E_IO: a file cannot be read; E_FORMAT: it holds no certificate or key, the key has a pass phrase
 * or does not fit the certificate; E_UNSUPPORTED: this OpenSSL cannot do it. An expired certificate
 * is only warned about. */
enum mg_err tls_context_new(struct tls_context **out, const struct tls_options *options,
                            struct mg_why *why) MG_MUST_USE;
struct tls_context *tls_context_ref(struct tls_context *context); /* any thread */
void tls_context_unref(struct tls_context **context);             /* any thread */

struct tls_source;
enum mg_err tls_source_new(struct tls_source **out, const struct tls_options *options,
                           struct mg_why *why) MG_MUST_USE;
void tls_source_free(struct tls_source **source);               /* streams go on */
struct tls_context *tls_source_take(struct tls_source *source); /* counted; any thread */
/* One thread, about once a second: looks at the files (mtime, size, inode; symlinks of Kubernetes
 * secrets too), and reads them when one has changed: blocking. True: exchanged. */
bool tls_source_check(struct tls_source *source);

/* --- what a stream knows of its handshake; loop thread --- */
enum tls_failure {
    TLS_FAILURE_NONE,           /* it is done, or the peer has not said a word yet */
    TLS_FAILURE_NO_CERTIFICATE, /* the peer showed none, and one is asked for */
    TLS_FAILURE_CERTIFICATE,    /* the peer's is not to be trusted */
    TLS_FAILURE_VERSION,        /* no version in common */
    TLS_FAILURE_PLAIN,          /* what came is no TLS */
    TLS_FAILURE_REFUSED,        /* the peer ended it by an alert: our certificate, mostly */
    TLS_FAILURE_UNFINISHED,     /* it was begun, and one side closed the connection */
    TLS_FAILURE_OTHER           /* as no cipher in common */
};
enum tls_failure stream_tls_failure(const struct stream *stream); /* from on_closed */
/* From on_closed, also when the handshake was done: with TLS 1.3 a client learns only then that its
 * certificate is refused. A sentence; NULL: TLS did not end it. */
const char *stream_tls_reason(const struct stream *stream);
/* Parts of such sentences, and of those of stream_connect, for who can say what helps. */
#define TLS_SAYS_UNTRUSTED         "not trusted here"
#define TLS_SAYS_WANTS_CERTIFICATE "requires a client certificate"
/* The rest: once it is done. */
bool stream_is_tls(const struct stream *stream);          /* also before it */
struct str stream_alpn(const struct stream *stream);      /* "h2", "http/1.1"; empty: none chosen */
bool stream_has_certificate(const struct stream *stream); /* of the peer, verified */
/* One of the SANs of that certificate matches one of the list (an empty list: false): a DNS name
 * in any case, "*." for one label; a URI to the letter, "*" at its end for the rest of the path; an
 * IP address. Each is compared with its own kind only, and the common name with none. */
bool stream_has_name(const struct stream *stream, const struct conf_list *allowed);
