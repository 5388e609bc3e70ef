/* How it works: everything that can be wrong in the rows is found when the peer is made; opening it
 * makes a client for the loop, in a line. Each request is a small object until its answer is judged.
 *
 * The files of TLS are looked at here, on the loop: a look is three stat() a second, and what is read when one
 * has changed are a few kilobytes. */
#include "peer/private.h"
#include <assert.h>
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls.h"

/* Answers are short; the longest is that of a bulk request of which every item failed. */
enum { ANSWER_BYTES_MAX = 32 << 20, LOOK_MS = 1000 };

struct peer {
    const char *section;
    const struct peer_conf *conf;
    struct target target;
    size_t part_most; /* peer_part_most */
    /* between open and close: */
    struct loop *loop;
    struct http_client_options options;
    struct tls_source *tls; /* NULL: no TLS, or nothing of ours to it */
    struct timer *look;     /* at its files */
    struct list lines;      /* line.link; a line may close after the peer was */
    struct line *current;   /* NULL: closed */
    void (*on_closed)(void *owner);
    void *closed_owner;
};

enum mg_err peer_new(struct peer **out, const char *section, const struct peer_conf *conf,
                     struct mg_why *why)
{
    struct target target;

    MG_TRY(target_init(&target, section, conf, why));
    struct peer *peer = MEM_NEW(struct peer);
    *peer = (struct peer){.section = section, .conf = conf, .target = target, .part_most = SIZE_MAX};
    list_init(&peer->lines);
    *out = peer;
    return MG_OK;
}

void peer_free(struct peer **at)
{
    struct peer *peer = MG_STEAL(*at);

    if (!peer)
        return;
    assert(!peer->current && list_empty(&peer->lines) && "closed first");
    target_fini(&peer->target);
    mem_free(peer);
}

struct str peer_path(const struct peer *peer)
{
    return peer->target.path;
}

size_t *peer_part_most(struct peer *peer)
{
    return &peer->part_most;
}

/* --- lines --- */

/* A client keeps the certificates that it was made with. When files change the next requests take a new line; those that are open
 * end on the old one, which closes with the last of them. */
struct line {
    struct peer *peer;
    struct http_client *client;
    size_t open; /* requests */
    bool is_closing;
    struct list link; /* peer.lines */
};

static enum mg_err line_open(struct peer *peer, struct mg_why *why)
{
    struct line *line = MEM_NEW(struct line);
    struct http_client_options options = peer->options;

    if (peer->tls)
        options.tls = tls_source_take(peer->tls);
    enum mg_err err = http_client_new(&line->client, peer->loop, &options, why);
    tls_context_unref(&options.tls); /* the client has its own */
    if (err != MG_OK) {
        mem_free(line);
        return err;
    }
    line->peer = peer;
    list_add_last(&peer->lines, &line->link);
    peer->current = line;
    return MG_OK;
}

static void on_line_closed(void *owner)
{
    struct line *line = owner;
    struct peer *peer = line->peer;

    list_remove(&line->link);
    mem_free(line);
    if (peer->on_closed && list_empty(&peer->lines)) {
        void (*on_closed)(void *owner) = MG_STEAL(peer->on_closed);
        on_closed(peer->closed_owner);
    }
}

static void line_close(struct line *line)
{
    if (line->is_closing)
        return;
    line->is_closing = true;
    http_client_close(&line->client, on_line_closed, line); /* what is open ends before it returns */
}

static void line_leave(struct line *line)
{
    line->open--;
    if (line->open == 0 && line != line->peer->current)
        line_close(line);
}

void peer_look(struct peer *peer)
{
    struct line *old = peer->current;
    struct mg_why why;

    if (!tls_source_check(peer->tls))
        return;
    if (line_open(peer, &why) != MG_OK) { /* the URL was read before: there is no reason known */
        LOG(ERROR, "an exporter goes on with its old certificates", F_TEXT("section", peer->section),
            F_WHY(&why));
        return;
    }
    if (old->open == 0)
        line_close(old);
}

static void on_look(void *owner)
{
    struct peer *peer = owner;

    timer_start(peer->look, LOOK_MS);
    peer_look(peer);
}

/* --- open and close --- */

/* Without these rows the client's own default serves. */
static enum mg_err tls_make(struct peer *peer, bool http2, struct mg_why *why)
{
    const struct peer_conf *conf = peer->conf;
    const struct tls_options options = {.cert_file = conf->cert,
                                        .key_file = conf->key,
                                        .ca_file = conf->ca,
                                        .min_version = TLS_1_2,
                                        .is_unverified = conf->insecure,
                                        .alpn = http2 ? "h2" : "http/1.1"};

    if (!peer->target.is_tls || !(conf->ca.len || conf->cert.len || conf->insecure))
        return MG_OK;
    if (conf->insecure)
        LOG(WARN,
            "an exporter takes any server certificate: what it sends can be read and changed on "
            "the way",
            F_TEXT("section", peer->section), F_STR("server", peer->target.origin));
    enum mg_err err = tls_source_new(&peer->tls, &options, why);
    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "%s", peer->section);
}

enum mg_err peer_open(struct peer *peer, struct loop *loop, bool http2, uint64_t timeout_ns,
                      struct mg_why *why)
{
    assert(!peer->current && list_empty(&peer->lines));
    peer->loop = loop;
    peer->options = (struct http_client_options){.base_url = peer->target.origin,
                                                 .http2 = http2,
                                                 .connections_max = http2 ? 1 : SEND_IN_FLIGHT_MAX,
                                                 .timeout_ms = MG_MAX(timeout_ns / 1000000, UINT64_C(1)),
                                                 .answer_bytes_max = ANSWER_BYTES_MAX};
    MG_TRY(tls_make(peer, http2, why));
    enum mg_err err = line_open(peer, why);
    if (err != MG_OK) {
        tls_source_free(&peer->tls);
        return mg_fail_in(why, err, "%s.endpoint", peer->section);
    }
    if (peer->tls) {
        peer->look = timer_new(loop, on_look, peer);
        timer_start(peer->look, LOOK_MS);
    }
    return MG_OK;
}

void peer_close(struct peer *peer, void (*on_closed)(void *owner), void *owner)
{
    assert(peer->current);
    peer->current = NULL;
    peer->on_closed = on_closed;
    peer->closed_owner = owner;
    timer_free(&peer->look);
    tls_source_free(&peer->tls);
    for (struct list *link = peer->lines.next, *next; link != &peer->lines; link = next) {
        next = link->next; /* a line goes later, never from inside */
        line_close(MG_CONTAINER(link, struct line, link));
    }
}

/* --- requests --- */

struct request {
    struct line *line;
    struct asked asked;
    peer_done_fn *on_done;
    void *owner;
};

static void on_answer(void *owner, enum mg_err err, const struct http_answer *answer,
                      const struct mg_why *why)
{
    struct request *request = owner;
    struct verdict verdict;

    judge_answer(&verdict, &request->line->peer->target, &request->asked, err, answer, why,
                 clock_wall_ns());
    request->on_done(request->owner, &verdict.result, answer->status ? answer : NULL);
    line_leave(request->line);
    mem_free(request);
}

static void add_header(struct http_header *headers, size_t *n, struct str name, struct str value)
{
    if (value.len)
        headers[(*n)++] = (struct http_header){.name = name, .value = value};
}

static void call(const struct peer *peer, const struct peer_post *post, struct request *request)
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
    peer->current->open++;
    http_client_call(peer->current->client,
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
    if (!peer->current) {
        on_done(owner,
                &(struct send_result){.verdict = SEND_RETRY, .reason = "the exporter is closed"},
                NULL);
        return;
    }
    struct request *request = MEM_NEW(struct request);
    *request = (struct request){
        .line = peer->current,
        .asked = {.is_grpc = post->is_grpc, .other_row = post->other_row},
        .on_done = on_done,
        .owner = owner};
    call(peer, post, request);
}
