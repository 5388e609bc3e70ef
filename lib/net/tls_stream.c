/* tls_stream.c - TLS between a stream's socket and its application.
 *
 *     take ──▶ in ──▶ OpenSSL ──▶ loop's plain buffer ──▶ on_data
 *              │ application pauses: the rest is copied to `held`
 *     write ─────────▶ OpenSSL ──▶ stream_send ──▶ kernel, or the stream's queue
 *
 * OpenSSL reads and writes through a BIO of ours, which never blocks a write: a record goes to the
 * kernel from OpenSSL's buffer, and only what the kernel refuses is copied. Reading ends with
 * "again" when `in` is empty, so there is no state in which OpenSSL waits for the socket to become
 * writable.
 *
 * Nothing calls OpenSSL while OpenSSL runs: on_data comes after SSL_read has returned, with up to
 * four records at once.
 *
 * A server that refuses a client still wants it to read why. Closing with unread bytes would reset
 * the connection and destroy the alert on its way, so the socket is half closed and read into
 * nothing for a moment (LINGER_MS, LINGER_BYTES_MAX). */
#include "net/tls_stream.h"
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_private.h"

#define HANDSHAKE_BYTES_MAX (64u * 1024) /* of the peer's; certificate chains need 10 KiB */
#define LINGER_MS           1000
#define LINGER_BYTES_MAX    (1024u * 1024)

enum state { HANDSHAKE, OPEN, FAILED };

struct tls_stream {
    struct stream *stream;
    struct tls_context *context; /* counted */
    SSL *ssl;
    enum state state;
    enum tls_failure failure;          /* of the handshake */
    plain_answer_fn *plain_answer;     /* of a server; NULL: none */
    char first[SSL3_RT_HEADER_LENGTH]; /* of the peer's bytes: all that OpenSSL judges them by */
    char *host;                        /* owned; of a client: whom it wants; NULL: a server */
    struct str in;                     /* ciphertext OpenSSL has not taken yet */
    char *held;       /* owned memory `in` points into; NULL: the loop's read buffer, or nothing */
    struct buf early; /* written before the end of the handshake */
    size_t handshake_bytes; /* taken from the peer */
    size_t linger_bytes;
    bool has_sent;       /* anything at all */
    bool wants_shutdown; /* when it is open */
    bool is_leaving;     /* the last word is being said: it must not queue */
    struct loop_task resume;
    struct timer *linger;
    tls_secured_fn *on_secured; /* NULL: told, or nobody waits */
    void *owner;
    char reason[TLS_REASON_BYTES]; /* for on_secured; empty: the connection was lost */
};

/* --- OpenSSL's view of the socket --- */

static void count_handshake(struct tls_stream *tls, struct str bytes)
{
    if (tls->handshake_bytes < sizeof tls->first)
        memcpy(tls->first + tls->handshake_bytes, bytes.ptr,
               MG_MIN(bytes.len, sizeof tls->first - tls->handshake_bytes));
    tls->handshake_bytes += bytes.len;
}

static int bio_read(BIO *bio, char *out, int room)
{
    struct tls_stream *tls = BIO_get_data(bio);
    size_t n = MG_MIN(tls->in.len, (size_t)MG_MAX(room, 0));

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, tls->in.ptr, n);
    if (tls->state == HANDSHAKE)
        count_handshake(tls, str_n(tls->in.ptr, n));
    tls->in = str_n(tls->in.ptr + n, tls->in.len - n);
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct tls_stream *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    tls->has_sent = true;
    if (tls->is_leaving)
        stream_send_or_drop(tls->stream, bytes, (size_t)len);
    else
        stream_send(tls->stream, bytes, (size_t)len);
    return len; /* also after an error: the stream is closing then */
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* there is nothing to flush; the rest is not supported */
}

static BIO_METHOD *bio_method; /* made once, for the life of the process */

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    assert(bio_method && "no memory for OpenSSL");
    (void)BIO_meth_set_read(bio_method, bio_read); /* setters: always 1 */
    (void)BIO_meth_set_write(bio_method, bio_write);
    (void)BIO_meth_set_ctrl(bio_method, bio_control);
}

static bool attach_bio(struct tls_stream *tls)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, make_bio_method); /* fails only for an invalid once control */
    BIO *bio = BIO_new(bio_method);
    if (!bio)
        return false;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio); /* takes it */
    return true;
}

/* --- the end --- */

static void drop_input(struct tls_stream *tls)
{
    tls->in = STR("");
    mem_free(MG_STEAL(tls->held));
}

static void on_linger_end(void *owner)
{
    struct tls_stream *tls = owner;
    stream_close_with(tls->stream, MG_E_IO);
}

static struct str last_word(const struct tls_stream *tls)
{
    /* OpenSSL has no alert for bytes that are no TLS; to a client that does speak it, any is
     * better than silence: fatal, unexpected_message (RFC 8446 6). */
    static const char alert[] = {21, 3, 3, 0, 2, 2, 10};
    struct str answer = STR("");

    if (tls->has_sent)
        return answer;
    if (tls->failure == TLS_FAILURE_PLAIN && tls->plain_answer)
        answer = tls->plain_answer(str_n(tls->first, sizeof tls->first));
    return answer.len ? answer : str_n(alert, sizeof alert);
}

static void linger(struct tls_stream *tls)
{
    struct str word = last_word(tls);

    /* First, because each of the others may close the stream, and that frees the timer. */
    tls->linger = timer_new(stream_loop(tls->stream), on_linger_end, tls);
    timer_start(tls->linger, LINGER_MS);
    stream_send(tls->stream, word.ptr, word.len);
    stream_send_end(tls->stream);
    stream_poll(tls->stream, true);
}

/* The reason is in tls->reason. */
static void fail(struct tls_stream *tls, enum tls_failure failure)
{
    if (tls->state == HANDSHAKE)
        tls->failure = failure;
    tls->state = FAILED;
    drop_input(tls);
    buf_fini(&tls->early);
    if (!tls->on_secured)
        LOG_EVERY(10, WARN, "tls connection failed", F_STR("peer", stream_peer(tls->stream)),
                  F_TEXT("error", tls->reason));
    if (tls->host || stream_has_fin(tls->stream))
        stream_close_with(tls->stream, MG_E_IO);
    else if (!stream_is_closing(tls->stream))
        linger(tls);
}

static void fail_with(struct tls_stream *tls, enum tls_failure failure, const char *reason)
{
    snprintf(tls->reason, sizeof tls->reason, "%s", reason);
    fail(tls, failure);
}

/* Takes the sentence from OpenSSL; nothing when its write failed, because then the stream closes.
 */
static void fail_ssl(struct tls_stream *tls)
{
    enum tls_failure failure = tls_reason(tls->reason, SSL_get_verify_result(tls->ssl), tls->host);
    if (!stream_is_closing(tls->stream))
        fail(tls, failure);
}

/* --- out --- */

static void encrypt(struct tls_stream *tls, const void *bytes, size_t len)
{
    size_t done;

    ERR_clear_error();
    if (SSL_write_ex(tls->ssl, bytes, len, &done) != 1)
        fail_ssl(tls);
}

static void say_end(struct tls_stream *tls)
{
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl); /* 0: the peer's is still to come; it cannot fail in OPEN */
    stream_send_end(tls->stream);
}

void tls_stream_write(struct tls_stream *tls, const void *bytes, size_t len)
{
    if (len == 0 || stream_is_closing(tls->stream))
        return;
    if (tls->state == HANDSHAKE)
        buf_put(&tls->early, bytes, len);
    else if (tls->state == OPEN)
        encrypt(tls, bytes, len);
}

void tls_stream_shutdown(struct tls_stream *tls)
{
    if (tls->state == HANDSHAKE)
        tls->wants_shutdown = true;
    else if (tls->state == OPEN && !stream_is_closing(tls->stream))
        say_end(tls);
}

size_t tls_stream_waiting(const struct tls_stream *tls)
{
    return tls->early.len;
}

/* --- the handshake --- */

/* A ticket lives for hours, and its certificate may have expired meanwhile. */
static bool has_stale_certificate(const struct tls_stream *tls)
{
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);

    return certificate && tls_context_verifies(tls->context) && SSL_session_reused(tls->ssl) &&
           X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

static void write_early(struct tls_stream *tls)
{
    struct buf early = tls->early;

    tls->early = (struct buf){0};
    if (early.len > 0)
        encrypt(tls, early.ptr, early.len);
    if (tls->wants_shutdown && tls->state == OPEN && !stream_is_closing(tls->stream))
        say_end(tls);
    if (early.len > 0)
        stream_give_drained(tls->stream);
    buf_fini(&early);
}

static void secured(struct tls_stream *tls)
{
    if (has_stale_certificate(tls)) {
        fail_with(tls, TLS_FAILURE_CERTIFICATE,
                  "the peer's certificate has expired since its session began");
        return;
    }
    tls->state = OPEN;
    write_early(tls);
    tls_secured_fn *on_secured = MG_STEAL(tls->on_secured);
    if (on_secured)
        on_secured(tls->owner, tls->stream, NULL);
}

/* A server has nothing to say before the peer has, and OpenSSL, when it is asked, takes its buffers: peers that say nothing would cost them. */
static bool is_silent(const struct tls_stream *tls)
{
    return !tls->host && tls->in.len == 0 && tls->handshake_bytes == 0;
}

static void shake_hands(struct tls_stream *tls)
{
    if (is_silent(tls))
        return;
    ERR_clear_error();
    int done = SSL_do_handshake(tls->ssl);
    if (stream_is_closing(tls->stream))
        return;
    if (done == 1)
        secured(tls);
    else if (SSL_get_error(tls->ssl, done) != SSL_ERROR_WANT_READ)
        fail_ssl(tls);
    else if (tls->handshake_bytes > HANDSHAKE_BYTES_MAX)
        fail_with(tls, TLS_FAILURE_OTHER, "the peer's handshake is longer than 64 KiB");
}

/* --- in --- */

enum after { MORE, EMPTY, ENDED, BROKEN };

static enum after judge(struct tls_stream *tls)
{
    switch (SSL_get_error(tls->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
        return EMPTY;
    case SSL_ERROR_ZERO_RETURN:
        return ENDED;
    default: /* the sentence now: on_data may cause other errors */
        (void)tls_reason(tls->reason, SSL_get_verify_result(tls->ssl), tls->host);
        return BROKEN;
    }
}

/* Fills the loop's buffer with whole records, so that no plain bytes are left inside OpenSSL. */
static size_t decrypt(struct tls_stream *tls, char *plain, enum after *after)
{
    size_t n = 0, got;

    ERR_clear_error();
    *after = MORE;
    while (*after == MORE && LOOP_READ_BYTES - n >= SSL3_RT_MAX_PLAIN_LENGTH) {
        if (SSL_read_ex(tls->ssl, plain + n, LOOP_READ_BYTES - n, &got) == 1)
            n += got;
        else
            *after = judge(tls);
    }
    return n;
}

/* False: there is no more for now. */
static bool give_some(struct tls_stream *tls)
{
    struct loop *loop = stream_loop(tls->stream);
    enum after after;

    if (!loop->plain_buffer)
        loop->plain_buffer = mem_alloc(LOOP_READ_BYTES);
    size_t n = decrypt(tls, loop->plain_buffer, &after);
    if (n > 0)
        stream_give_data(tls->stream, str_n(loop->plain_buffer, n));
    if (after == ENDED && stream_wants_data(tls->stream)) /* else OpenSSL says it again later */
        stream_give_end(tls->stream);
    else if (after == BROKEN && tls->state == OPEN && !stream_is_closing(tls->stream))
        fail(tls, TLS_FAILURE_NONE); /* the handshake was fine */
    return after == MORE;
}

static void hold_rest(struct tls_stream *tls)
{
    if (tls->in.len == 0)
        drop_input(tls);
    else if (!tls->held)
        tls->in.ptr = tls->held = mem_copy(tls->in.ptr, tls->in.len);
}

static void choose_polling(struct tls_stream *tls)
{
    bool is_due = tls->state != OPEN || stream_wants_data(tls->stream);

    stream_poll(tls->stream, is_due && tls->in.len == 0);
}

/* As far as the bytes and the application allow. */
static void advance(struct tls_stream *tls)
{
    if (tls->state == HANDSHAKE)
        shake_hands(tls);
    while (tls->state == OPEN && stream_wants_data(tls->stream) && give_some(tls))
        ;
    hold_rest(tls);
    choose_polling(tls);
}

void tls_stream_take(struct tls_stream *tls, struct str bytes)
{
    if (tls->state == FAILED) {
        tls->linger_bytes += bytes.len;
        if (tls->linger_bytes > LINGER_BYTES_MAX)
            stream_close_with(tls->stream, MG_E_IO);
        return;
    }
    assert(tls->in.len == 0 && "the socket is not read while something is held");
    tls->in = bytes;
    advance(tls);
}

/* Without close_notify it may be an attacker's cut; after it, nobody reads any more (has_ended). */
void tls_stream_end(struct tls_stream *tls)
{
    if (tls->state == HANDSHAKE && (tls->host || tls->handshake_bytes > 0))
        fail_with(tls, TLS_FAILURE_UNFINISHED,
                  "the peer closed the connection during the TLS handshake");
    else
        stream_close_with(tls->stream,
                          MG_E_IO); /* a client that said nothing only tried the port */
}

/* --- pausing --- */

static void on_resume(void *owner)
{
    struct tls_stream *tls = owner;
    if (!stream_is_closing(tls->stream))
        advance(tls);
}

void tls_stream_pace(struct tls_stream *tls)
{
    if (stream_wants_data(tls->stream))
        loop_defer(stream_loop(tls->stream), &tls->resume);
    else
        choose_polling(tls);
}

/* --- life --- */

static bool set_host(struct tls_stream *tls, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);

    tls->host = mem_text(host);
    size_t len = strlen(host);
    if (len > 0 && host[len - 1] == '.') /* a name's root is no part of a certificate's names */
        tls->host[len - 1] = '\0';
    if (X509_VERIFY_PARAM_set1_ip_asc(param, tls->host) == 1)
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(param, tls->host, 0) == 1 &&
           SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1;
}

static bool prepare(struct tls_stream *tls, const char *host)
{
    tls->ssl = tls_context_session(tls->context);
    if (!tls->ssl || !attach_bio(tls))
        return false;
    if (!host) {
        SSL_set_accept_state(tls->ssl);
        return true;
    }
    SSL_set_connect_state(tls->ssl);
    return set_host(tls, host);
}

struct tls_stream *tls_stream_new(struct stream *stream, struct tls_context *context,
                                  const char *host, const char **reason)
{
    struct tls_stream *tls = MEM_NEW(struct tls_stream);

    assert(tls_context_is_server(context) == !host);
    tls->stream = stream;
    tls->context = context;
    tls->in = STR("");
    tls->resume = (struct loop_task){.run = on_resume, .owner = tls};
    buf_init(&tls->early, SIZE_MAX); /* as the stream's queue: the writer watches stream_queued */
    if (prepare(tls, host))
        return tls;
    ERR_clear_error();
    tls_stream_free(&tls);
    *reason = "the host cannot stand in a certificate";
    return NULL;
}

void tls_stream_set_plain_answer(struct tls_stream *tls, plain_answer_fn *plain_answer)
{
    tls->plain_answer = plain_answer;
}

void tls_stream_free(struct tls_stream **tls_at)
{
    struct tls_stream *tls = MG_STEAL(*tls_at);

    if (!tls)
        return;
    if (tls->on_secured)
        tls->on_secured(tls->owner, NULL,
                        tls->reason[0] ? tls->reason
                                       : "the connection was lost during the TLS handshake");
    SSL_free(tls->ssl);
    tls_context_unref(&tls->context);
    drop_input(tls);
    buf_fini(&tls->early);
    mem_free(tls->host);
    mem_free(tls);
}

void tls_stream_start(struct tls_stream *tls, tls_secured_fn *on_secured, void *owner)
{
    tls->on_secured = on_secured;
    tls->owner = owner;
    advance(tls);
}

void tls_stream_abandon(struct tls_stream *tls)
{
    tls->on_secured = NULL;
}

void tls_stream_leave(struct tls_stream *tls, bool is_clean)
{
    loop_undefer(&tls->resume);
    timer_free(&tls->linger);
    if (!is_clean || tls->state != OPEN || stream_unsent(tls->stream) > 0 ||
        SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN)
        return;
    tls->is_leaving = true;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl); /* 0: the peer's is not waited for */
}

/* --- what is known of the peer --- */

bool stream_is_tls(const struct stream *stream)
{
    return stream_tls(stream) != NULL;
}

enum tls_failure stream_tls_failure(const struct stream *stream)
{
    const struct tls_stream *tls = stream_tls(stream);

    if (tls && tls->state == HANDSHAKE && tls->handshake_bytes > 0)
        return TLS_FAILURE_UNFINISHED;
    return tls ? tls->failure : TLS_FAILURE_NONE;
}

const char *stream_tls_reason(const struct stream *stream)
{
    const struct tls_stream *tls = stream_tls(stream);

    return tls && tls->state == FAILED ? tls->reason : NULL;
}

struct str stream_alpn(const struct stream *stream)
{
    const struct tls_stream *tls = stream_tls(stream);
    const unsigned char *name = NULL;
    unsigned len = 0;

    if (tls)
        SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return name ? str_n(name, len) : STR("");
}

/* NULL: none, or nobody has verified it. */
static const X509 *verified_certificate(const struct stream *stream)
{
    const struct tls_stream *tls = stream_tls(stream);

    if (!tls || tls->state == HANDSHAKE || !tls_context_verifies(tls->context) ||
        SSL_get_verify_result(tls->ssl) != X509_V_OK)
        return NULL;
    return SSL_get0_peer_certificate(tls->ssl);
}

bool stream_has_certificate(const struct stream *stream)
{
    return verified_certificate(stream) != NULL;
}

bool stream_has_name(const struct stream *stream, const struct conf_list *allowed)
{
    const X509 *certificate = verified_certificate(stream);

    return certificate && tls_name_matches(certificate, allowed);
}
