/* How it works: everything that can be wrong in the rows is found when the peer is made; opening it
 * makes a client for the loop. Each request is a small object until its answer is judged. */
#include "peer/private.h"
#include <assert.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

/* Answers are short; the longest is that of a bulk request of which every item failed. */
enum { ANSWER_BYTES_MAX = 32 << 20 };

struct peer {
    const char *section;
    const struct peer_conf *conf;
    struct target target;
    struct http_client *client; /* between open and close */
};

enum mg_err peer_new(struct peer **out, const char *section, const struct peer_conf *conf,
                     struct mg_why *why)
{
    struct target target;

    MG_TRY(target_init(&target, section, conf, why));
    struct peer *peer = MEM_NEW(struct peer);
    *peer = (struct peer){.section = section, .conf = conf, .target = target};
    *out = peer;
    return MG_OK;
}

void peer_free(struct peer **at)
{
    struct peer *peer = MG_STEAL(*at);

    if (!peer)
        return;
    assert(!peer->client && "closed first");
    target_fini(&peer->target);
    mem_free(peer);
}

struct str peer_path(const struct peer *peer)
{
    return peer->target.path;
}

/* --- open and close --- */

/* NULL when the client's own default serves. */
static enum mg_err tls_make(const struct peer *peer, bool http2, struct tls_context **out,
                            struct mg_why *why)
{
    const struct peer_conf *conf = peer->conf;
    const struct tls_options options = {.cert_file = conf->cert,
                                        .key_file = conf->key,
                                        .ca_file = conf->ca,
                                        .min_version = TLS_1_2,
                                        .is_unverified = conf->insecure,
                                        .alpn = http2 ? "h2" : "http/1.1"};

    *out = NULL;
    if (!peer->target.is_tls || !(conf->ca.len || conf->cert.len || conf->insecure))
        return MG_OK;
    if (conf->insecure)
        LOG(WARN,
            "an exporter takes any server certificate: what it sends can be read and changed on "
            "the way",
            F_TEXT("section", peer->section), F_STR("server", peer->target.origin));
    enum mg_err err = tls_context_new(out, &options, why);
    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "%s", peer->section);
}

enum mg_err peer_open(struct peer *peer, struct loop *loop, bool http2, unsigned connections,
                      uint64_t timeout_ns, struct mg_why *why)
{
    struct http_client_options options = {.base_url = peer->target.origin,
                                          .http2 = http2,
                                          .connections_max = connections,
                                          .timeout_ms = MG_MAX(timeout_ns / 1000000, UINT64_C(1)),
                                          .answer_bytes_max = ANSWER_BYTES_MAX};

    assert(!peer->client);
    MG_TRY(tls_make(peer, http2, &options.tls, why));
    enum mg_err err = http_client_new(&peer->client, loop, &options, why);
    tls_context_unref(&options.tls); /* the client has its own */
    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "%s.endpoint", peer->section);
}

void peer_close(struct peer *peer, void (*on_closed)(void *owner), void *owner)
{
    assert(peer->client);
    http_client_close(&peer->client, on_closed, owner);
}

/* --- requests --- */

struct request {
    struct peer *peer;
    bool is_grpc;
    peer_done_fn *on_done;
    void *owner;
};

static void on_answer(void *owner, enum mg_err err, const struct http_answer *answer,
                      const struct mg_why *why)
{
    struct request *request = owner;
    struct verdict verdict;

    judge_answer(&verdict, &request->peer->target, request->is_grpc, err, answer, why,
                 clock_wall_ns());
    request->on_done(request->owner, &verdict.result, answer->status ? answer : NULL);
    mem_free(request);
}

static void add_header(struct http_header *headers, size_t *n, struct str name, struct str value)
{
    if (value.len)
        headers[(*n)++] = (struct http_header){.name = name, .value = value};
}

static void call(struct peer *peer, const struct peer_post *post, struct request *request)
{
    enum { OWN_HEADERS = 3 };
    const struct target *target = &peer->target;
    struct http_header *headers = mem_zero(target->headers.n + OWN_HEADERS, sizeof *headers);
    size_t n = 0;

    add_header(headers, &n, STR("user-agent"),
               target->has_agent ? STR("") : STR("meshglass/" MESHGLASS_VERSION));
    add_header(headers, &n, STR("content-type"),
               post->is_grpc ? STR("") : post->content_type); /* gRPC's is the client's */
    add_header(headers, &n, post->is_grpc ? STR("grpc-encoding") : STR("content-encoding"),
               post->encoding);
    for (size_t i = 0; i < target->headers.n; i++)
        headers[n++] = target->headers.at[i];
    http_client_call(peer->client,
                     &(struct http_call){.method = post->method ? post->method : "POST",
                                         .path = post->path,
                                         .headers = headers,
                                         .n_headers = n,
                                         .body = post->body,
                                         .is_grpc = post->is_grpc,
                                         .is_compressed = post->is_grpc && post->encoding.len > 0},
                     on_answer, request);
    mem_free(headers);
}

void peer_call(struct peer *peer, const struct peer_post *post, peer_done_fn *on_done, void *owner)
{
    if (!peer->client) {
        on_done(owner,
                &(struct send_result){.verdict = SEND_RETRY, .reason = "the exporter is closed"},
                NULL);
        return;
    }
    struct request *request = MEM_NEW(struct request);
    *request = (struct request){
        .peer = peer, .is_grpc = post->is_grpc, .on_done = on_done, .owner = owner};
    call(peer, post, request);
}

/* --- batches --- */

struct delivery {
    struct send_batch *batch;
    peer_judge_fn *judge;
    void *owner;
};

static void on_delivered(void *owner, const struct send_result *result,
                         const struct http_answer *answer)
{
    struct delivery *delivery = owner;
    struct send_batch *batch = delivery->batch;
    struct send_result judged = *result;

    if (judged.verdict == SEND_TAKEN && delivery->judge)
        delivery->judge(delivery->owner, answer, &judged);
    judged.refused_spans = MG_MIN(judged.refused_spans, batch->spans);
    mem_free(delivery);
    send_done(batch, &judged);
}

void peer_post(struct peer *peer, const struct peer_post *post, struct send_batch *batch,
               peer_judge_fn *judge, void *owner)
{
    struct delivery *delivery = MEM_NEW(struct delivery);

    *delivery = (struct delivery){.batch = batch, .judge = judge, .owner = owner};
    peer_call(peer, post, on_delivered, delivery);
}
