/* tls_rig.h - our server and a foreign client, or our client and a foreign server, on one loop. */
#pragma once
#include "certs.h"
#include "peer.h"

struct rig {
    struct pair pair;
    struct peer peer;
    struct tls_source *source; /* of our server */
    unsigned n_attempted;      /* results of rig_attempt, the last one: */
    enum mg_err err;
    struct mg_why why;
};

#define RIG_PLAIN_ANSWER "not here\n" /* of our server, to "HELO …" without TLS */
extern struct certs rig_certs; /* certs_standard, between these two: the group's fixtures */
int rig_set_up(void **state);
int rig_tear_down(void **state);

SSL_CTX *peer_context(const SSL_METHOD *method, int version,
                      const char *cert); /* cert: stem or NULL */
/* Our server, and the peer is the test's to init. */
void rig_open_server(struct rig *rig, int min_version, bool wants_client);
void rig_open(struct rig *rig);   /* our server of TLS 1.3, and a client that speaks it */
void rig_secure(struct rig *rig); /* connects that client: through its handshake when it returns */
void rig_open_secured(struct rig *rig); /* both */
void rig_greet(struct rig *rig);        /* the client says "hello", and the server has heard it */
void rig_open_raw(struct rig *rig);     /* our server and a connected socket without TLS */
/* Our client, and a server of `version` (0: a socket without TLS). rig_attempt connects. */
void rig_open_client(struct rig *rig, int version, bool is_slow, struct tls_context **context);
struct stream_attempt *rig_attempt(struct rig *rig, struct tls_context *context,
                                   uint64_t timeout_ms);
void rig_close(struct rig *rig);

/* For pair_run. */
struct rig *rig_of(struct pair *pair);
bool server_has_5(struct pair *pair);
bool server_closed(struct pair *pair);
bool server_ended(struct pair *pair);
bool server_drained(struct pair *pair);
bool client_has_5(struct pair *pair);
bool peer_is_secured(struct pair *pair);
bool peer_has_5(struct pair *pair);
bool peer_is_through(struct pair *pair); /* close_notify, then FIN */
bool peer_has_heard_the_end(struct pair *pair);
bool is_attempted(struct pair *pair);
