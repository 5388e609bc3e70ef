/* TLS against peers that are not ours: slow by the byte, silent, rude, older, or no TLS at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "net/tls_stream.h"
#include "tls_rig.h"

/* --- the log: first, because a line comes at most once in 10 s --- */

static void test_strangers_are_logged_once(void **state)
{
    (void)state;
    char text[4096] = "";
    int kept = dup(STDERR_FILENO),
        out = open(certs_path(&rig_certs, "log").ptr, O_CREAT | O_RDWR, 0600);
    dup2(out, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        struct rig rig;
        rig_open_raw(&rig);
        peer_write_raw(&rig.peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
        pair_run(&rig.pair, peer_has_heard_the_end);
        rig_close(&rig);
    }
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t n = pread(out, text, sizeof text - 1, 0);
    close(out);
    assert_true(n > 0);
    assert_ptr_equal(strchr(text, '\n'), text + n - 1); /* one line */
    assert_non_null(strstr(text, "peer=127.0.0.1:"));
    assert_non_null(strstr(text, "a plain HTTP request where TLS is spoken"));
}

/* --- what is no TLS --- */

static void test_no_tls(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *bytes; size_t len; enum tls_failure failure; } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, TLS_FAILURE_PLAIN},
        {"POST /v1/traces HTTP/1.1\r\n\r\n", 28, TLS_FAILURE_PLAIN},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, TLS_FAILURE_PLAIN},
        {"CONNECT a:1 HTTP/1.1\r\n\r\n", 24, TLS_FAILURE_PLAIN},
        {"HELLO you", 9, TLS_FAILURE_PLAIN},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, TLS_FAILURE_PLAIN},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, TLS_FAILURE_PLAIN},
        {"\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00\x00\x00", 12, TLS_FAILURE_OTHER}, /* a record longer than any */
        {"\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9, TLS_FAILURE_OTHER},              /* a server's greeting */
        {"\x17\x03\x03\x00\x05hello", 10, TLS_FAILURE_OTHER},                        /* data before any key */
        {"\x80\x0a\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01", 12, TLS_FAILURE_OTHER}, /* SSLv2 */
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig;
        rig_open_raw(&rig);
        peer_write_raw(&rig.peer, cases[i].bytes, cases[i].len);
        pair_run(&rig.pair, peer_has_heard_the_end);
        if (rig.peer.got.len != 7 || rig.peer.got.ptr[0] != 21 || rig.peer.got.ptr[5] != 2)
            fail_msg("row %zu: %zu bytes and no fatal alert", i, rig.peer.got.len);
        assert_int_equal(rig.peer.n_closed, 0); /* an end, not a reset */
        stream_close(rig.peer.stream);
        pair_run(&rig.pair, server_closed);
        assert_int_equal(rig.pair.server.err, MG_E_IO);
        assert_int_equal(rig.pair.server.got.len, 0);
        if (rig.pair.server.failure != cases[i].failure)
            fail_msg("row %zu: %d", i, rig.pair.server.failure);
        rig_close(&rig);
    }
}

/* The first 5 bytes choose the answer, however they are cut. */
static void test_plain_answer(void **state)
{
    (void)state;
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        struct rig rig;
        rig_open_raw(&rig);
        rig.peer.is_slow = is_slow;
        peer_write_raw(&rig.peer, "HELO you", 8);
        pair_run(&rig.pair, peer_has_heard_the_end);
        assert_true(str_eq(buf_str(&rig.peer.got), STR(RIG_PLAIN_ANSWER)));
        assert_int_equal(rig.peer.n_closed, 0); /* an end, not a reset */
        stream_close(rig.peer.stream);
        pair_run(&rig.pair, server_closed);
        assert_int_equal(rig.pair.server.failure, TLS_FAILURE_PLAIN);
        assert_int_equal(rig.pair.server.got.len, 0);
        rig_close(&rig);
    }
}

static void note(void *happened)
{
    *(bool *)happened = true;
}

/* One that never closes is let go of all the same, but has a second to read the answer. */
static void test_refused_peer_that_stays(void **state)
{
    (void)state;
    struct rig rig;
    bool is_late = false;
    rig_open_raw(&rig);
    struct timer *late = timer_new(rig.pair.loop, note, &is_late);
    timer_start(late, 900); /* begun before the server's timer: due before it, too */
    peer_write_raw(&rig.peer, "GET / HTTP/1.1\r\n\r\n", 18);
    pair_run(&rig.pair, server_closed);
    assert_true(is_late);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    timer_free(&late);
    rig_close(&rig);
}

/* One that talks on is let go of at the first byte above 1 MiB. No round of the loop runs between
 * these calls, hence no timer either. */
static void test_refused_peer_that_talks_on(void **state)
{
    (void)state;
    static const char bytes[64 * 1024];
    struct rig rig;
    rig_open_raw(&rig);
    struct stream *server = rig.pair.server.stream;
    assert_null(stream_tls_reason(server));
    tls_stream_take(stream_tls(server), STR("GET / HTTP/1.1\r\n\r\n"));
    assert_non_null(stream_tls_reason(server));
    for (int i = 0; i < 16; i++)
        tls_stream_take(stream_tls(server), str_n(bytes, sizeof bytes));
    assert_false(stream_is_closing(server));
    tls_stream_take(stream_tls(server), STR("x"));
    assert_true(stream_is_closing(server));
    pair_run(&rig.pair, server_closed);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    assert_int_equal(rig.pair.server.failure, TLS_FAILURE_PLAIN);
    assert_int_equal(rig.pair.server.got.len, 0);
    rig_close(&rig);
}

static void test_silent_peer_that_leaves(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_raw(&rig);
    stream_close(rig.peer.stream);
    pair_run(&rig.pair, server_closed);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    assert_int_equal(rig.pair.server.failure, TLS_FAILURE_NONE); /* it only tried the port */
    rig_close(&rig);
}

static bool peer_is_sent(struct pair *pair)
{
    const struct peer *peer = &rig_of(pair)->peer;
    return peer->stream && stream_queued(peer->stream) == 0;
}

/* Whoever closes, and however little was said. */
static void test_unfinished_handshake(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {{"\x16", 1}, {"G", 1}, {"GET ", 4}, {"\x16\x03\x01\x00\x20\x01\x00\x00", 8}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig;
        rig_open_raw(&rig);
        peer_write_raw(&rig.peer, cases[i].bytes, cases[i].len);
        pair_run(&rig.pair, peer_is_sent);
        stream_shutdown(rig.peer.stream);
        pair_run(&rig.pair, server_closed);
        assert_int_equal(rig.pair.server.failure, TLS_FAILURE_UNFINISHED);
        assert_int_equal(rig.peer.got.len, 0);
        rig_close(&rig);
    }
}

/* A ClientHello of 100,000 bytes: the first 64 KiB are taken, and not one byte more. */
static void test_endless_handshake(void **state)
{
    (void)state;
    enum { RECORD = 5 + 16384, MOST = 64 * 1024 };
    static const char head[] = {22, 3, 1, 0x40, 0}, hello[] = {1, 0x01, (char)0x86, (char)0xa0};
    static char bytes[4 * RECORD];
    for (size_t i = 0; i < 4; i++)
        memcpy(bytes + i * RECORD, head, sizeof head);
    memcpy(bytes + sizeof head, hello, sizeof hello);
    struct rig rig;
    rig_open_raw(&rig);
    struct stream *server = rig.pair.server.stream;
    tls_stream_take(stream_tls(server), str_n(bytes, MOST));
    assert_null(stream_tls_reason(server));
    tls_stream_take(stream_tls(server), str_n(bytes + MOST, 1));
    assert_string_equal(stream_tls_reason(server), "the peer's handshake is longer than 64 KiB");
    pair_run(&rig.pair, peer_has_heard_the_end);
    pair_run(&rig.pair, server_closed);
    assert_int_equal(rig.pair.server.err, MG_E_IO);
    assert_int_equal(rig.pair.server.failure, TLS_FAILURE_OTHER);
    rig_close(&rig);
}

/* --- versions and ciphers --- */

static enum tls_failure failure_after_close(struct rig *rig)
{
    if (rig->peer.stream)
        stream_close(rig->peer.stream);
    pair_run(&rig->pair, server_closed);
    return rig->pair.server.failure;
}

static void test_versions(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { int lowest, version; const char *ciphers; bool is_fine; int alert; } cases[] = {
        { TLS_1_3, TLS1_3_VERSION, NULL, true, -1 },
        { TLS_1_2, TLS1_3_VERSION, NULL, true, -1 },
        { TLS_1_2, TLS1_2_VERSION, NULL, true, -1 },
        { TLS_1_2, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true, -1 },
        { TLS_1_3, TLS1_2_VERSION, NULL, false, SSL_AD_PROTOCOL_VERSION },
        { TLS_1_2, TLS1_1_VERSION, "ALL:@SECLEVEL=0", false, SSL_AD_PROTOCOL_VERSION },
        { TLS_1_2, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false, SSL_AD_HANDSHAKE_FAILURE }, /* CBC */
        { TLS_1_2, TLS1_2_VERSION, "AES128-GCM-SHA256", false, SSL_AD_HANDSHAKE_FAILURE },         /* no ECDHE */
        { TLS_1_2, TLS1_2_VERSION, "aNULL:@SECLEVEL=0", false, SSL_AD_HANDSHAKE_FAILURE },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig;
        rig_open_server(&rig, cases[i].lowest, false);
        peer_init(&rig.peer, &rig.pair, peer_context(TLS_client_method(), cases[i].version, NULL));
        if (cases[i].ciphers)
            assert_int_equal(SSL_set_cipher_list(rig.peer.ssl, cases[i].ciphers), 1);
        peer_connect(&rig.peer);
        if (cases[i].is_fine) {
            pair_run(&rig.pair, peer_is_secured);
            rig_greet(&rig);
        } else {
            pair_run(&rig.pair, peer_has_heard_the_end);
        }
        if (rig.peer.alert != cases[i].alert)
            fail_msg("row %zu: alert %d", i, rig.peer.alert);
        assert_int_equal(rig.peer.is_secured, cases[i].is_fine);
        assert_int_equal(failure_after_close(&rig), cases[i].is_fine ? TLS_FAILURE_NONE
                                                    : cases[i].alert == SSL_AD_PROTOCOL_VERSION
                                                        ? TLS_FAILURE_VERSION
                                                        : TLS_FAILURE_OTHER);
        rig_close(&rig);
    }
}

/* The alert tells the client why, in TLS 1.2 during and in 1.3 after its handshake. */
static void test_alerts_for_client_certificates(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *cert;
        int alert;
    } cases[] = {
        {TLS1_2_VERSION, "client", -1},
        {TLS1_3_VERSION, "client", -1},
        {TLS1_2_VERSION, NULL, SSL_AD_HANDSHAKE_FAILURE},
        {TLS1_3_VERSION, NULL, SSL_AD_CERTIFICATE_REQUIRED},
        {TLS1_2_VERSION, "client-other", SSL_AD_UNKNOWN_CA},
        {TLS1_3_VERSION, "client-other", SSL_AD_UNKNOWN_CA},
        {TLS1_2_VERSION, "client-expired", SSL_AD_CERTIFICATE_EXPIRED},
        {TLS1_3_VERSION, "client-expired", SSL_AD_CERTIFICATE_EXPIRED},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig;
        rig_open_server(&rig, TLS_1_2, true);
        peer_init(&rig.peer, &rig.pair,
                  peer_context(TLS_client_method(), cases[i].version, cases[i].cert));
        peer_connect(&rig.peer);
        if (cases[i].alert < 0) {
            pair_run(&rig.pair, peer_is_secured);
            rig_greet(&rig);
            assert_true(stream_has_certificate(rig.pair.server.stream));
            assert_int_equal(sk_X509_NAME_num(SSL_get0_peer_CA_list(rig.peer.ssl)), 1);
        } else {
            pair_run(&rig.pair, peer_has_heard_the_end);
            assert_int_equal(rig.pair.server.got.len, 0);
        }
        if (rig.peer.alert != cases[i].alert)
            fail_msg("row %zu: alert %d", i, rig.peer.alert);
        assert_int_equal(failure_after_close(&rig), cases[i].alert < 0 ? TLS_FAILURE_NONE
                                                    : cases[i].cert    ? TLS_FAILURE_CERTIFICATE
                                                                    : TLS_FAILURE_NO_CERTIFICATE);
        rig_close(&rig);
    }
}

/* --- slow by the byte --- */

static void test_server_of_a_slow_client(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < MG_COUNT(versions); i++) {
        struct rig rig;
        rig_open_server(&rig, TLS_1_2, true);
        peer_init(&rig.peer, &rig.pair, peer_context(TLS_client_method(), versions[i], "client"));
        rig.peer.is_slow = true;
        rig_secure(&rig);
        rig_greet(&rig);
        peer_write(&rig.peer, "again", 5);
        SSL_shutdown(rig.peer.ssl);
        peer_pump(&rig.peer);
        pair_run(&rig.pair, server_ended);
        assert_int_equal(rig.pair.server.got.len, 10);
        assert_memory_equal(rig.pair.server.got.ptr, "helloagain", 10);
        stream_write(rig.pair.server.stream, "world", 5);
        pair_run(&rig.pair, peer_has_5);
        rig_close(&rig);
    }
}

static void test_client_of_a_slow_server(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < MG_COUNT(versions); i++) {
        struct rig rig;
        struct tls_context *context;
        rig_open_client(&rig, versions[i], true, &context);
        rig_attempt(&rig, context, 15000);
        tls_context_unref(&context); /* the attempt has its own */
        pair_run(&rig.pair, is_attempted);
        assert_int_equal(rig.err, MG_OK);
        stream_write(rig.pair.client.stream, "hello", 5);
        pair_run(&rig.pair, peer_has_5);
        peer_write(&rig.peer, "world", 5);
        pair_run(&rig.pair, client_has_5);
        rig_close(&rig);
    }
}

/* --- a client of ours and servers that are none --- */

static bool peer_has_greeting(struct pair *pair)
{
    return rig_of(pair)->peer.got.len > 5;
}

static void test_client_on_a_plain_port(void **state)
{
    (void)state;
    static const struct {
        const char *answer; /* NULL: closes */
        const char *sentence;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "speaks no TLS?"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "speaks no TLS?"},
        {NULL, "closed the connection during the TLS handshake"},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct rig rig;
        struct tls_context *context;
        rig_open_client(&rig, 0, false, &context);
        rig_attempt(&rig, context, 15000);
        pair_run(&rig.pair, peer_has_greeting);
        if (cases[i].answer)
            peer_write_raw(&rig.peer, cases[i].answer, strlen(cases[i].answer));
        else
            stream_shutdown(rig.peer.stream);
        pair_run(&rig.pair, is_attempted);
        assert_int_equal(rig.err, MG_E_IO);
        if (!strstr(rig.why.text, cases[i].sentence))
            fail_msg("row %zu: %s", i, rig.why.text);
        tls_context_unref(&context);
        rig_close(&rig);
    }
}

static void test_handshake_that_takes_too_long(void **state)
{
    (void)state;
    struct rig rig;
    struct tls_context *context;
    rig_open_client(&rig, 0, false, &context);
    rig_attempt(&rig, context, 100);
    pair_run(&rig.pair, is_attempted);
    assert_int_equal(rig.err, MG_E_TIMEOUT);
    assert_non_null(strstr(rig.why.text, "TLS handshake"));
    tls_context_unref(&context);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_are_logged_once),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_plain_answer),
        cmocka_unit_test(test_refused_peer_that_stays),
        cmocka_unit_test(test_refused_peer_that_talks_on),
        cmocka_unit_test(test_silent_peer_that_leaves),
        cmocka_unit_test(test_unfinished_handshake),
        cmocka_unit_test(test_endless_handshake),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_alerts_for_client_certificates),
        cmocka_unit_test(test_server_of_a_slow_client),
        cmocka_unit_test(test_client_of_a_slow_server),
        cmocka_unit_test(test_client_on_a_plain_port),
        cmocka_unit_test(test_handshake_that_takes_too_long),
    };
    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
