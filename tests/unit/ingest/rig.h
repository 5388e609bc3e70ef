/* rig.h - a whole way in: a loop on the test's thread with its doors, journal, store and live in a fresh directory.
 *
 * The rig of tests/unit/query makes rows by hand and starts without a replay; here rows come from bodies, and a restart reads the
 * log again through ingest_replay. Traces without a root stay in the ring, so a test can look at them. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "http/client.h"
#include "ingest/private.h"

struct rig {
    /* set before rig_open; zero: a default */
    struct ingest_conf conf;
    const char *rules[4];             /* ingest.rules */

    char dir[64], store_dir[96], journal_dir[96];
    struct live_conf live_conf;
    struct decision_conf decisions;
    struct store_conf store_conf;
    struct metric_registry *registry;
    struct store *store;
    struct journal *journal;
    struct credit credit;
    struct live *live;
    struct attribute_rules *compiled;
    struct ingest *ingest;
    struct loop *loop;
    struct ingest_loop *doors;
    struct ingest_replay replay;
    struct http_server *server;
    struct http_client *client;
    size_t held;                      /* credit that rig_hold_credit took */
    bool is_idle;                     /* doors, server or client have come to rest */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ready;
    enum mg_err ready_err;
};
void rig_open(struct rig *rig);
void rig_restart(struct rig *rig);    /* an orderly stop; then the log is replayed, with the rules in rig.rules */
void rig_close(struct rig *rig);

/* Runs the loop until the answer is yes; fails after 20 s. */
void rig_run(struct rig *rig, bool (*is_done)(void *owner), void *owner);
void rig_run_until(struct rig *rig, enum ingest_metric row, unsigned i, unsigned j, uint64_t value); /* metric == value */

/* Leaves only so many bytes of the ring's credit; 0 gives all back. */
void rig_leave_credit(struct rig *rig, size_t bytes);
struct live_ledger rig_ledger(struct rig *rig);
/* Names of a trace's spans in the ring, sorted: "op0 op2"; the id's first byte, the rest zero. */
const char *rig_names(struct rig *rig, uint8_t trace);
size_t rig_rows(struct rig *rig, const uint8_t id[16]);
uint64_t rig_metric(struct rig *rig, enum ingest_metric row, unsigned i, unsigned j);

/* ingest_take, and the loop until done. */
struct given_body { struct ingest_body body; bool is_done; enum mg_err err; struct mg_why why; };
void rig_give(struct rig *rig, struct given_body *given, enum ingest_protocol protocol, enum zip_kind encoding, struct str bytes);
bool given_is_done(void *given);
void rig_take(struct rig *rig, struct given_body *given, enum ingest_protocol protocol, enum zip_kind encoding, struct str bytes);

/* A server with these routes on a port of the system's choice, and a client of it. */
void rig_serve(struct rig *rig, const struct http_route *routes, size_t n, bool http2);
struct reply { bool is_done; int status, grpc_status; char body[1024], retry_after[16], message[400]; size_t body_len; };
struct post { const char *method, *path, *type, *encoding; struct str body; bool is_grpc, is_compressed; };
void rig_post(struct rig *rig, const struct post *post, struct reply *reply); /* and the loop until it is here */
void rig_begin(struct rig *rig, const struct post *post, struct reply *reply);
bool reply_is_done(void *reply);
