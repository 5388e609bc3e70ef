/* Tickets: a client that comes back with one is known without a second look at its certificate,
 * unless something has changed since. Without one nobody is known. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include "tls_rig.h"

#define DAY_S (24 * 3600)

static time_t moved_s; /* what the wall clock is ahead */

/* In place of the system's: the one that OpenSSL compares certificates with. */
time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += moved_s;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* `client-brief` ends in a minute: its day began that long ago. */
static int set_up(void **state)
{
    rig_set_up(state);
    moved_s = 60 - DAY_S;
    certs_make(&rig_certs,
               &(struct cert){.name = "client-brief", .issuer = "ca", .names = "DNS:web.test"});
    moved_s = 0;
    return 0;
}

/* --- one server, one connection after the other --- */

static void connect_peer(struct rig *rig, SSL_SESSION *session)
{
    if (session)
        assert_int_equal(SSL_set_session(rig->peer.ssl, session), 1);
    rig_secure(rig);
}

static void connect_new_peer(struct rig *rig, int version, const char *cert, SSL_SESSION *session)
{
    peer_init(&rig->peer, &rig->pair, peer_context(TLS_client_method(), version, cert));
    connect_peer(rig, session);
}

/* Returns the session with its ticket. */
static SSL_SESSION *serve(struct rig *rig)
{
    rig_greet(rig);
    stream_write(rig->pair.server.stream, "world", 5);
    pair_run(&rig->pair, peer_has_5); /* the tickets came before it */
    SSL_SESSION *session = SSL_get1_session(rig->peer.ssl);
    SSL_set_shutdown(rig->peer.ssl,
                     SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or it forgets the session */
    return session;
}

static void part(struct rig *rig)
{
    if (rig->pair.server.stream)
        stream_close(rig->pair.server.stream);
    pair_run(&rig->pair, server_closed);
    rig->pair.server.n_closed = 0;
    buf_fini(&rig->pair.server.got);
    peer_fini(&rig->peer);
}

static void close_server(struct rig *rig)
{
    pair_close(&rig->pair);
    tls_source_free(&rig->source);
}

/* --- who is still known --- */

/* The certificate is remembered. After a reload the ticket is worth nothing, so that an authority
 * that was taken away lets nobody in. */
static void test_tickets(void **state)
{
    (void)state;
    struct rig rig;
    SSL_SESSION *session = NULL;
    rig_open_server(&rig, TLS_1_3, true);
    for (int round = 0; round < 3; round++) {
        connect_new_peer(&rig, TLS1_3_VERSION, "client", session);
        SSL_SESSION_free(session);
        session = serve(&rig);
        assert_int_equal(SSL_session_reused(rig.peer.ssl), round == 1);
        assert_true(stream_has_certificate(rig.pair.server.stream));
        struct str entry = STR("web.test");
        assert_true(stream_has_name(rig.pair.server.stream, &(struct conf_list){&entry, 1}));
        part(&rig);
        if (round == 1) {
            certs_copy(&rig_certs, "ca.pem", "ca.pem");
            assert_true(tls_source_check(rig.source));
        }
    }
    SSL_SESSION_free(session);
    close_server(&rig);
}

/* TLS 1.2 without tickets would need a table of sessions here. */
static void test_no_table_of_sessions(void **state)
{
    (void)state;
    struct rig rig;
    SSL_SESSION *session = NULL;
    rig_open_server(&rig, TLS_1_2, false);
    for (int round = 0; round < 2; round++) {
        peer_init(&rig.peer, &rig.pair, peer_context(TLS_client_method(), TLS1_2_VERSION, NULL));
        SSL_set_options(rig.peer.ssl, SSL_OP_NO_TICKET);
        connect_peer(&rig, session);
        SSL_SESSION_free(session);
        session = serve(&rig);
        assert_false(SSL_session_reused(rig.peer.ssl));
        part(&rig);
    }
    SSL_SESSION_free(session);
    close_server(&rig);
}

static bool has_expired(const struct peer *peer)
{
    const X509 *certificate = SSL_get_certificate(peer->ssl);
    return X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

static void assert_refused(struct rig *rig)
{
    peer_write(&rig->peer, "hello", 5);
    pair_run(&rig->pair, peer_has_heard_the_end);
    if (rig->peer.stream)
        stream_close(rig->peer.stream);
    pair_run(&rig->pair, server_closed);
    assert_int_equal(rig->pair.server.err, MG_E_IO);
    assert_int_equal(rig->pair.server.failure, TLS_FAILURE_CERTIFICATE);
    assert_int_equal(rig->pair.server.got.len, 0); /* nothing of it came through */
    part(rig);
}

/* A ticket may outlive its certificate, which OpenSSL looks at in a full handshake only. */
static void test_certificate_that_expires_meanwhile(void **state)
{
    (void)state;
    static const struct {
        const char *cert;
        bool is_asked_for;
        int later_s;
        bool has_expired, is_refused;
    } cases[] = {
        {"client", true, 120, false, false},
        {"client-brief", true, 0, false, false},
        {"client-brief", true, 120, true, true},
        {"client-brief", false, 120, true, false}, /* nobody looks at it */
    };
    for (size_t i = 0; i < 2 * MG_COUNT(cases); i++) {
        int version = i % 2 ? TLS1_3_VERSION : TLS1_2_VERSION;
        struct rig rig;
        rig_open_server(&rig, TLS_1_2, cases[i / 2].is_asked_for);
        connect_new_peer(&rig, version, cases[i / 2].cert, NULL);
        SSL_SESSION *session = serve(&rig);
        part(&rig);
        moved_s = cases[i / 2].later_s;
        connect_new_peer(&rig, version, cases[i / 2].cert, session);
        SSL_SESSION_free(session);
        assert_int_equal(has_expired(&rig.peer), cases[i / 2].has_expired);
        assert_true(SSL_session_reused(rig.peer.ssl));
        if (cases[i / 2].is_refused) {
            assert_refused(&rig);
        } else {
            SSL_SESSION_free(serve(&rig));
            part(&rig);
            assert_int_equal(rig.pair.server.failure, TLS_FAILURE_NONE);
        }
        moved_s = 0;
        close_server(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_no_table_of_sessions),
        cmocka_unit_test(test_certificate_that_expires_meanwhile),
    };
    return cmocka_run_group_tests(tests, set_up, rig_tear_down);
}
