#include "peer.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>

static void at_byte(struct peer *peer)
{
    struct pair *pair = peer->pair;
    if (peer->close_server_at == (int)peer->sent_bytes && pair->server.stream)
        stream_close(pair->server.stream);
    if (peer->cancel_at == (int)peer->sent_bytes && peer->attempt) {
        stream_connect_cancel(peer->attempt);
        pair_check(pair);
    }
}

static void on_step(void *owner)
{
    struct peer *peer = owner;
    if (!peer->stream || peer->out_at == peer->out.len)
        return;
    stream_write(peer->stream, peer->out.ptr + peer->out_at++, 1);
    peer->sent_bytes++;
    at_byte(peer);
    timer_start(peer->step, 0);
}

void peer_write_raw(struct peer *peer, const void *bytes, size_t len)
{
    if (!peer->is_slow) {
        stream_write(peer->stream, bytes, len);
        return;
    }
    buf_put(&peer->out, bytes, len);
    timer_start(peer->step, 0);
}

static void send_all(struct peer *peer)
{
    char bytes[16384];
    size_t n;
    while (peer->stream && BIO_read_ex(SSL_get_wbio(peer->ssl), bytes, sizeof bytes, &n))
        peer_write_raw(peer, bytes, n);
}

static void read_all(struct peer *peer)
{
    char bytes[16384];
    size_t n;
    while (SSL_read_ex(peer->ssl, bytes, sizeof bytes, &n))
        buf_put(&peer->got, bytes, n);
    if (SSL_get_shutdown(peer->ssl) & SSL_RECEIVED_SHUTDOWN)
        peer->is_through = true;
}

void peer_pump(struct peer *peer)
{
    if (!peer->is_secured)
        peer->is_secured = SSL_do_handshake(peer->ssl) == 1;
    if (peer->is_secured)
        read_all(peer);
    ERR_clear_error();
    send_all(peer);
}

void peer_write(struct peer *peer, const void *bytes, size_t len)
{
    size_t done;
    assert_int_equal(SSL_write_ex(peer->ssl, bytes, len, &done), 1);
    send_all(peer);
}

/* --- the stream's events --- */

static void on_data(void *owner, struct str bytes)
{
    struct peer *peer = owner;
    if (peer->ssl) {
        assert_int_equal(BIO_write(SSL_get_rbio(peer->ssl), bytes.ptr, (int)bytes.len), bytes.len);
        peer_pump(peer);
    } else {
        buf_put(&peer->got, bytes.ptr, bytes.len);
    }
    pair_check(peer->pair);
}

static void on_end(void *owner)
{
    struct peer *peer = owner;
    peer->n_ends++;
    pair_check(peer->pair);
}

static void on_drained(void *owner)
{
    (void)owner;
}

static void on_closed(void *owner, enum mg_err err)
{
    struct peer *peer = owner;
    (void)err;
    peer->stream = NULL;
    peer->n_closed++;
    pair_check(peer->pair);
}

static void own(struct peer *peer, struct stream *stream)
{
    static const struct stream_events events = {on_data, on_end, on_drained, on_closed};
    peer->stream = stream;
    stream_own(stream, &events, peer);
    if (peer->ssl)
        peer_pump(peer);
    pair_check(peer->pair);
}

void peer_accept(void *owner, struct stream *stream)
{
    own(owner, stream);
}

static struct peer *connecting; /* by peer_connect */

static void on_connected(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    struct peer *peer = owner;
    if (err)
        fail_msg("%s", why->text);
    own(peer, stream);
}

static bool is_connected(struct pair *pair)
{
    return connecting->stream && pair->server.stream;
}

void peer_connect(struct peer *peer)
{
    const struct stream_target target = {
        .host = STR("127.0.0.1"), .port = pair_port(peer->pair), .timeout_ms = 5000};
    connecting = peer;
    stream_connect(peer->pair->loop, &target, on_connected, peer);
    pair_run(peer->pair, is_connected);
}

/* --- life --- */

static void on_info(const SSL *ssl, int where, int value)
{
    struct peer *peer = SSL_get_app_data(ssl);
    if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT)
        return;
    if (value >> 8 == SSL3_AL_FATAL)
        peer->alert = value & 0xff;
    else
        peer->warning = value & 0xff;
}

void peer_init(struct peer *peer, struct pair *pair, SSL_CTX *context)
{
    *peer = (struct peer){
        .pair = pair, .alert = -1, .warning = -1, .close_server_at = -1, .cancel_at = -1};
    buf_init(&peer->got, 1 << 28);
    buf_init(&peer->out, 1 << 20);
    peer->step = timer_new(pair->loop, on_step, peer);
    if (!context)
        return;
    peer->ssl = SSL_new(context);
    SSL_CTX_free(context);
    assert_non_null(peer->ssl);
    SSL_set_bio(peer->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_app_data(peer->ssl, peer);
    SSL_set_info_callback(peer->ssl, on_info);
    if (SSL_is_server(peer->ssl))
        SSL_set_accept_state(peer->ssl);
    else
        SSL_set_connect_state(peer->ssl);
}

static struct peer *closing; /* by peer_fini */

static bool is_closed(struct pair *pair)
{
    (void)pair;
    return !closing->stream;
}

void peer_fini(struct peer *peer)
{
    timer_free(&peer->step);
    if (peer->stream)
        stream_close(peer->stream);
    closing = peer;
    pair_run(peer->pair, is_closed);
    SSL_free(peer->ssl);
    buf_fini(&peer->got);
    buf_fini(&peer->out);
}
