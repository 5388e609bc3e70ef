/* tls_stream.h - the TLS filter in the middle of a stream; used by stream.c, listener.c and
 * connect.c.
 *
 * One filter per stream, on the stream's thread. It encrypts what is written at once and leaves the
 * ciphertext to the stream's own queue, so there is one queue and one count; only what is written
 * before the handshake's end waits here as plain text. Ciphertext that came and may not be given to
 * the application yet (it has paused) is kept, at most one read of 64 KiB, and nothing more is read
 * meanwhile. A handshake goes on while the application pauses: it holds 64 KiB at the most. */
#pragma once
#include "net/private.h"
#include "net/tls.h"

/* reason: NULL when the handshake is done and the stream is the caller's; else a sentence, and the
 * stream is gone. Once; never from inside tls_stream_start. */
typedef void tls_secured_fn(void *owner, struct stream *stream, const char *reason);

struct tls_stream;
/* Takes the context. `host`: of a client, to be checked against the certificate; NULL: of a server.
 * NULL with a reason when OpenSSL refuses, for instance a host that cannot stand in a certificate.
 */
struct tls_stream *tls_stream_new(struct stream *stream, struct tls_context *context,
                                  const char *host, const char **reason);
/* Of a server: listener_options.plain_answer. */
void tls_stream_set_plain_answer(struct tls_stream *tls, plain_answer_fn *plain_answer);
void tls_stream_free(struct tls_stream **tls); /* tells on_secured that it failed, when it waits */
/* A client's first message. Later a failure closes the stream, and on_secured comes after that. */
void tls_stream_start(struct tls_stream *tls, tls_secured_fn *on_secured, void *owner);
void tls_stream_abandon(struct tls_stream *tls); /* nobody waits for on_secured any more */

/* From the socket. */
void tls_stream_take(struct tls_stream *tls, struct str bytes); /* borrowed during the call */
void tls_stream_end(struct tls_stream *tls);                    /* the peer's FIN */
/* From the application. */
void tls_stream_write(struct tls_stream *tls, const void *bytes, size_t len);
void tls_stream_shutdown(struct tls_stream *tls);
void tls_stream_pace(struct tls_stream *tls); /* it has paused or resumed; gives nothing at once */
size_t
tls_stream_waiting(const struct tls_stream *tls); /* plain bytes that wait for the handshake */
/* The stream closes: nothing of the filter runs any more. Clean: says close_notify when all that
 * was written has left. */
void tls_stream_leave(struct tls_stream *tls, bool is_clean);
