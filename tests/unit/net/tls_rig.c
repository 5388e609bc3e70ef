#include "tls_rig.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

struct certs rig_certs;

int rig_set_up(void **state)
{
    (void)state;
    certs_init(&rig_certs);
    certs_standard(&rig_certs);
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    certs_fini(&rig_certs);
    return 0;
}

SSL_CTX *peer_context(const SSL_METHOD *method, int version, const char *cert)
{
    char name[64];
    SSL_CTX *context = SSL_CTX_new(method);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    if (!cert)
        return context;
    snprintf(name, sizeof name, "%s.pem", cert);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(context, certs_path(&rig_certs, name).ptr),
                     1);
    snprintf(name, sizeof name, "%s.key", cert);
    assert_int_equal(
        SSL_CTX_use_PrivateKey_file(context, certs_path(&rig_certs, name).ptr, SSL_FILETYPE_PEM),
        1);
    return context;
}

static struct str answer_plain(struct str first)
{
    assert_int_equal(first.len, 5);
    return str_eq(first, STR("HELO ")) ? STR(RIG_PLAIN_ANSWER) : STR("");
}

void rig_open_server(struct rig *rig, int min_version, bool wants_client)
{
    *rig = (struct rig){0};
    const struct tls_options options = {.cert_file = certs_path(&rig_certs, "server.pem"),
                                        .key_file = certs_path(&rig_certs, "server.key"),
                                        .ca_file = wants_client ? certs_path(&rig_certs, "ca.pem")
                                                                : STR(""),
                                        .min_version = min_version,
                                        .is_server = true};
    assert_int_equal(tls_source_new(&rig->source, &options, NULL), MG_OK);
    pair_open_with(&rig->pair, &(struct pair_options){.source = rig->source,
                                                      .is_lone = true,
                                                      .plain_answer = answer_plain});
}

void rig_open(struct rig *rig)
{
    rig_open_server(rig, TLS_1_3, false);
    peer_init(&rig->peer, &rig->pair, peer_context(TLS_client_method(), TLS1_3_VERSION, NULL));
}

void rig_open_raw(struct rig *rig)
{
    rig_open_server(rig, TLS_1_3, false);
    peer_init(&rig->peer, &rig->pair, NULL);
    peer_connect(&rig->peer);
}

void rig_close(struct rig *rig)
{
    peer_fini(&rig->peer);
    pair_close(&rig->pair);
    tls_source_free(&rig->source);
}

struct rig *rig_of(struct pair *pair)
{
    return MG_CONTAINER(pair, struct rig, pair);
}
bool server_has_5(struct pair *pair)
{
    return pair->server.got.len >= 5;
}
bool server_closed(struct pair *pair)
{
    return pair->server.n_closed > 0;
}
bool server_ended(struct pair *pair)
{
    return pair->server.n_ends > 0;
}
bool server_drained(struct pair *pair)
{
    return pair->server.n_drained > 0;
}
bool peer_is_secured(struct pair *pair)
{
    return rig_of(pair)->peer.is_secured;
}
bool peer_has_5(struct pair *pair)
{
    return rig_of(pair)->peer.got.len >= 5;
}
bool peer_is_through(struct pair *pair)
{
    return rig_of(pair)->peer.is_through && rig_of(pair)->peer.n_ends > 0;
}
bool peer_has_heard_the_end(struct pair *pair)
{
    return rig_of(pair)->peer.n_ends > 0 || rig_of(pair)->peer.n_closed > 0;
}

void rig_secure(struct rig *rig)
{
    peer_connect(&rig->peer);
    pair_run(&rig->pair, peer_is_secured);
}

void rig_open_secured(struct rig *rig)
{
    rig_open(rig);
    rig_secure(rig);
}

void rig_greet(struct rig *rig)
{
    peer_write(&rig->peer, "hello", 5);
    pair_run(&rig->pair, server_has_5);
}

void rig_open_client(struct rig *rig, int version, bool is_slow, struct tls_context **context)
{
    *rig = (struct rig){0};
    assert_int_equal(
        tls_context_new(context, &(struct tls_options){.ca_file = certs_path(&rig_certs, "ca.pem")},
                        NULL),
        MG_OK);
    pair_open_with(&rig->pair, &(struct pair_options){.is_lone = true,
                                                      .on_accept = peer_accept,
                                                      .accept_owner = &rig->peer});
    peer_init(&rig->peer, &rig->pair,
              version ? peer_context(TLS_server_method(), version, "server") : NULL);
    rig->peer.is_slow = is_slow;
}

static void on_attempted(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    struct rig *rig = owner;
    rig->n_attempted++;
    rig->err = err;
    rig->why = *why;
    if (stream)
        pair_own_client(&rig->pair, stream);
    pair_check(&rig->pair);
}

bool is_attempted(struct pair *pair)
{
    return rig_of(pair)->n_attempted > 0;
}

bool client_has_5(struct pair *pair)
{
    return pair->client.got.len >= 5;
}

struct stream_attempt *rig_attempt(struct rig *rig, struct tls_context *context,
                                   uint64_t timeout_ms)
{
    const struct stream_target target = {.host = STR("127.0.0.1"),
                                         .port = pair_port(&rig->pair),
                                         .timeout_ms = timeout_ms,
                                         .tls = context};
    return stream_connect(rig->pair.loop, &target, on_attempted, rig);
}
