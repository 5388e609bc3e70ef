/* The middle and the end of a TLS connection with a peer that is not ours: half close, truncation,
 * damage, what is written or paused before the handshake is over, new keys, and closing in every
 * state. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tls_rig.h"

/* --- the end of a connection --- */

static void test_truncation(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    peer_write(&rig.peer, "hello", 5);
    stream_shutdown(rig.peer.stream); /* FIN, and no close_notify */
    pair_run(&rig.pair, server_closed);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    assert_int_equal(rig.pair.server.n_ends, 0);
    assert_int_equal(rig.pair.server.got.len, 5); /* what came is not lost */
    rig_close(&rig);
}

static void test_clean_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    peer_write(&rig.peer, "hello", 5);
    SSL_shutdown(rig.peer.ssl);
    peer_pump(&rig.peer);
    stream_shutdown(rig.peer.stream);
    pair_run(&rig.pair, server_ended);
    assert_int_equal(rig.pair.server.n_closed, 0);
    stream_pause(rig.pair.server.stream);
    stream_resume(rig.pair.server.stream);
    stream_write(rig.pair.server.stream, "world", 5); /* half closed: this way is open */
    stream_shutdown(rig.pair.server.stream);
    pair_run(&rig.pair, peer_is_through);
    assert_int_equal(rig.peer.got.len, 5);
    assert_int_equal(rig.pair.server.n_ends, 1);
    rig_close(&rig);
}

/* stream_close says close_notify when all has left, so that a peer knows it has everything … */
static void test_close_is_clean(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    rig_greet(&rig);
    stream_write(rig.pair.server.stream, "world", 5);
    stream_close(rig.pair.server.stream);
    pair_run(&rig.pair, peer_is_through);
    assert_int_equal(rig.peer.got.len, 5);
    rig_close(&rig);
}

/* … and does not when it drops something. */
static void test_close_that_drops_is_not_clean(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    stream_pause(rig.peer.stream);
    char *bytes = mem_zero(1, 16u << 20);
    stream_write(rig.pair.server.stream, bytes, 16u << 20);
    mem_free(bytes);
    assert_true(stream_queued(rig.pair.server.stream) > 0);
    stream_close(rig.pair.server.stream);
    stream_resume(rig.peer.stream);
    pair_run(&rig.pair, peer_has_heard_the_end);
    assert_false(rig.peer.is_through);
    rig_close(&rig);
}

static void write_damaged_record(struct rig *rig)
{
    char record[5 + 32] = {23, 3, 3, 0, 32};
    peer_write_raw(&rig->peer, record, sizeof record);
}

static void test_damaged_record(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    rig_greet(&rig);
    write_damaged_record(&rig);
    pair_run(&rig.pair, peer_has_heard_the_end);
    assert_int_equal(rig.peer.alert, SSL_AD_BAD_RECORD_MAC);
    stream_close(rig.peer.stream);
    pair_run(&rig.pair, server_closed);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    assert_int_equal(rig.pair.server.failure, TLS_FAILURE_NONE); /* the handshake was fine */
    assert_int_equal(rig.pair.server.got.len, 5);
    rig_close(&rig);
}

/* It has said its own end already: there is nothing left to linger for. */
static void test_damaged_record_after_half_close(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    rig_greet(&rig);
    stream_shutdown(rig.pair.server.stream);
    pair_run(&rig.pair, peer_is_through);
    write_damaged_record(&rig);
    pair_run(&rig.pair, server_closed);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    rig_close(&rig);
}

/* --- before the handshake's end --- */

static void test_early_writes(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.peer.is_slow = true;
    peer_connect(&rig.peer);
    struct buf buf;
    buf_init(&buf, 10);
    buf_put(&buf, "lo", 2);
    stream_write(rig.pair.server.stream, "hel", 3);
    stream_write_buf(rig.pair.server.stream, &buf);
    stream_shutdown(rig.pair.server.stream);
    assert_int_equal(stream_queued(rig.pair.server.stream), 5);
    pair_run(&rig.pair, server_drained);
    assert_int_equal(stream_queued(rig.pair.server.stream), 0);
    pair_run(&rig.pair, peer_is_through);
    assert_memory_equal(rig.peer.got.ptr, "hello", 5);
    rig_greet(&rig); /* the other way is open */
    rig_close(&rig);
}

static void test_pause_before_the_handshake(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    peer_connect(&rig.peer);
    stream_pause(rig.pair.server.stream);
    pair_run(&rig.pair, peer_is_secured); /* goes on */
    stream_write(rig.pair.server.stream, "world", 5);
    peer_write(&rig.peer, "hello", 5);
    pair_run(&rig.pair, peer_has_5); /* the server was ready, and nothing was given to it */
    assert_int_equal(rig.pair.server.got.len, 0);
    stream_resume(rig.pair.server.stream);
    pair_run(&rig.pair, server_has_5);
    rig_close(&rig);
}

/* --- after it --- */

static void test_new_keys(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_secured(&rig);
    assert_int_equal(SSL_key_update(rig.peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    rig_greet(&rig);
    stream_write(rig.pair.server.stream, "world", 5);
    pair_run(&rig.pair, peer_has_5);
    rig_close(&rig);
}

static bool peer_is_warned(struct pair *pair)
{
    return rig_of(pair)->peer.warning >= 0;
}

static void assert_refuses_to_renegotiate(struct rig *rig)
{
    assert_int_equal(SSL_renegotiate(rig->peer.ssl), 1);
    (void)SSL_do_handshake(
        rig->peer.ssl); /* asks; the answer is a warning, at which OpenSSL gives up */
    peer_pump(&rig->peer);
    pair_run(&rig->pair, peer_is_warned);
    assert_int_equal(rig->peer.warning, SSL_AD_NO_RENEGOTIATION);
}

static void test_server_refuses_to_renegotiate(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_server(&rig, TLS_1_2, false);
    peer_init(&rig.peer, &rig.pair, peer_context(TLS_client_method(), TLS1_2_VERSION, NULL));
    rig_secure(&rig);
    rig_greet(&rig);
    assert_refuses_to_renegotiate(&rig);
    rig_close(&rig);
}

static void test_client_refuses_to_renegotiate(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_context *context;
    rig_open_client(&rig, TLS1_2_VERSION, false, &context);
    rig_attempt(&rig, context, 15000);
    tls_context_unref(&context);
    pair_run(&rig.pair, is_attempted);
    assert_int_equal(rig.err, MG_OK);
    assert_refuses_to_renegotiate(&rig);
    rig_close(&rig);
}

/* --- closing in every state; the sanitizer looks for what is left --- */

static bool peer_is_served_or_closed(struct pair *pair)
{
    return server_closed(pair) || rig_of(pair)->peer.got.len >= 5;
}

static bool is_attempted_or_cancelled(struct pair *pair)
{
    return is_attempted(pair) || !*rig_of(pair)->peer.attempt;
}

static void test_server_closes_at_every_byte(void **state)
{
    (void)state;
    bool is_over = false;
    for (int at = 1; !is_over; at += 7) {
        struct rig rig;
        rig_open_server(&rig, TLS_1_3, true);
        peer_init(&rig.peer, &rig.pair,
                  peer_context(TLS_client_method(), TLS1_3_VERSION, "client"));
        rig.peer.is_slow = true;
        rig.peer.close_server_at = at;
        peer_connect(&rig.peer);
        if (rig.pair.server.stream)
            stream_write(rig.pair.server.stream, "world",
                         5); /* waits for the handshake; the last round gets it */
        pair_run(&rig.pair, peer_is_served_or_closed);
        is_over = rig.pair.server.n_closed == 0;
        rig_close(&rig);
    }
}

static void test_client_cancels_at_every_byte(void **state)
{
    (void)state;
    bool is_over = false;
    for (int at = 1; !is_over; at += 29) {
        struct rig rig;
        struct tls_context *context;
        rig_open_client(&rig, TLS1_3_VERSION, true, &context);
        struct stream_attempt *handle = rig_attempt(&rig, context, 15000);
        rig.peer.attempt = &handle;
        rig.peer.cancel_at = at;
        pair_run(&rig.pair, is_attempted_or_cancelled);
        is_over = rig.n_attempted > 0;
        tls_context_unref(&context);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_clean_end),
        cmocka_unit_test(test_close_is_clean),
        cmocka_unit_test(test_close_that_drops_is_not_clean),
        cmocka_unit_test(test_damaged_record),
        cmocka_unit_test(test_damaged_record_after_half_close),
        cmocka_unit_test(test_early_writes),
        cmocka_unit_test(test_pause_before_the_handshake),
        cmocka_unit_test(test_new_keys),
        cmocka_unit_test(test_server_refuses_to_renegotiate),
        cmocka_unit_test(test_client_refuses_to_renegotiate),
        cmocka_unit_test(test_server_closes_at_every_byte),
        cmocka_unit_test(test_client_cancels_at_every_byte),
    };
    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
