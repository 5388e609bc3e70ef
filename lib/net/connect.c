/* connect.c - outgoing connections.
 *
 * A literal address skips the resolver. A name is looked up by getaddrinfo on a thread of its own,
 * and not by libuv's pool: a lookup that runs can be called back by nobody and may take half a
 * minute, and both the loop and the exit of the process would wait for the pool. Here a lookup that
 * nobody wants any more is left to its thread, which throws the result away:
 *
 *     attempt (loop)  <-- mailbox --  lookup (thread)      lookup.shared.box: NULL when abandoned
 *
 * Whoever is second, the loop that abandons or the thread that ends, frees the lookup. The number
 * of threads is bounded by LOOKUPS_MAX for the whole process.
 *
 * Addresses are tried one after the other within one deadline; the TLS handshake, when there is
 * one, ends the search with the first that answers, because its refusal is what the caller must
 * read. The attempt lives until the current uv_connect has called back, also after the caller was
 * told or has cancelled; everything else of it goes at that moment. */
#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "net/private.h"
#include "net/stream.h"
#include "net/tls_stream.h"

#define HOST_BYTES_MAX 255
#define LOOKUPS_MAX    64

struct lookup {
    struct message mail; /* first */
    char host[HOST_BYTES_MAX + 1];
    char port[8];
    int status;             /* of getaddrinfo */
    struct addrinfo *found; /* owned; these two are the thread's until the message was posted */
    struct {
        pthread_mutex_t lock;
        struct mailbox *box; /* the attempt's; NULL: nobody waits any more */
    } shared;                /* under the lock */
};

struct stream_attempt {
    struct loop *loop;
    struct timer *timer; /* NULL once the caller was told */
    stream_connected_fn *on_connected;
    void *owner;
    struct lookup *lookup;     /* running; else NULL */
    struct mailbox *box;       /* of the lookup; else NULL */
    uv_connect_t connect;      /* of `stream` */
    struct stream *stream;     /* being connected; NULL between addresses */
    struct stream *securing;   /* connected and in its TLS handshake; else NULL */
    struct tls_context *tls;   /* counted; NULL: plain */
    struct addrinfo *found;    /* from the resolver; NULL for a literal */
    const struct addrinfo *at; /* the next to try */
    struct sockaddr_storage literal;
    const char *reason; /* why the last address failed; static text */
    char host[HOST_BYTES_MAX + 1];
    char port[8];
};

/* --- the resolver's thread --- */

static int lookups_running; /* atomic */

static void lookup_free(struct lookup *lookup)
{
    if (lookup->found)
        freeaddrinfo(lookup->found);
    pthread_mutex_destroy(&lookup->shared.lock);
    mem_free(lookup);
    __atomic_sub_fetch(&lookups_running, 1, __ATOMIC_RELAXED);
}

static void *lookup_run(void *argument)
{
    struct lookup *lookup = argument;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};

    lookup->status = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
    if (lookup->status)
        lookup->found = NULL;
    pthread_mutex_lock(&lookup->shared.lock);
    bool is_wanted = lookup->shared.box != NULL;
    if (is_wanted)
        mailbox_post(lookup->shared.box, &lookup->mail);
    pthread_mutex_unlock(&lookup->shared.lock);
    if (!is_wanted)
        lookup_free(lookup);
    return NULL;
}

/* NULL: too many run, or the system has no thread left. */
static struct lookup *lookup_start(const char *host, const char *port, struct mailbox *box)
{
    pthread_attr_t attributes;
    pthread_t thread;

    if (__atomic_add_fetch(&lookups_running, 1, __ATOMIC_RELAXED) > LOOKUPS_MAX) {
        __atomic_sub_fetch(&lookups_running, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    struct lookup *lookup = MEM_NEW(struct lookup);
    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    snprintf(lookup->port, sizeof lookup->port, "%s", port);
    pthread_mutex_init(&lookup->shared.lock, NULL);
    lookup->shared.box = box;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int err = pthread_create(&thread, &attributes, lookup_run, lookup);
    pthread_attr_destroy(&attributes);
    if (err) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

/* --- the end of an attempt --- */

static void free_when_idle(struct stream_attempt *attempt)
{
    if (!attempt->timer && !attempt->stream)
        mem_free(attempt);
}

/* The result is thrown away by whoever sees it: the mailbox's last delivery or the thread. */
static void abandon_lookup(struct stream_attempt *attempt)
{
    struct lookup *lookup = MG_STEAL(attempt->lookup);

    if (lookup) {
        pthread_mutex_lock(&lookup->shared.lock);
        lookup->shared.box = NULL;
        pthread_mutex_unlock(&lookup->shared.lock);
    }
    mailbox_free(&attempt->box); /* a result that was posted already comes to on_resolved */
}

/* Nothing of the attempt is open afterwards but a socket that is being closed. */
static void end(struct stream_attempt *attempt)
{
    timer_free(&attempt->timer);
    abandon_lookup(attempt);
    if (attempt->found)
        freeaddrinfo(MG_STEAL(attempt->found));
    attempt->at = NULL;
    if (attempt->stream)
        stream_close(attempt->stream); /* on_connect follows with UV_ECANCELED */
    if (attempt->securing) {
        tls_stream_abandon(stream_tls(attempt->securing));
        stream_close(MG_STEAL(attempt->securing));
    }
    tls_context_unref(&attempt->tls);
}

static void finish(struct stream_attempt *attempt, struct stream *stream, enum mg_err err,
                   const char *reason)
{
    struct mg_why why = {""};

    if (err)
        (void)mg_fail(&why, err, "cannot connect to %s:%s: %s", attempt->host, attempt->port,
                      reason); /* returns err */
    end(attempt);
    attempt->on_connected(attempt->owner, stream, err, &why);
    free_when_idle(attempt);
}

void stream_connect_cancel(struct stream_attempt **attempt_at)
{
    struct stream_attempt *attempt = MG_STEAL(*attempt_at);

    if (!attempt)
        return;
    assert(attempt->timer && "the attempt has ended: its handle is not valid any more");
    end(attempt);
    free_when_idle(attempt);
}

/* --- its steps --- */

static bool start_connect(struct stream_attempt *attempt, const struct sockaddr *address);

static void try_next(struct stream_attempt *attempt)
{
    while (attempt->at) {
        const struct addrinfo *at = attempt->at;
        attempt->at = at->ai_next;
        if (start_connect(attempt, at->ai_addr))
            return;
    }
    finish(attempt, NULL, MG_E_IO, attempt->reason);
}

static void name_peer(struct stream *stream)
{
    struct sockaddr_storage peer = {0};
    int len = sizeof peer;

    (void)uv_tcp_getpeername(stream_tcp(stream), (struct sockaddr *)&peer, &len); /* a name only */
    stream_set_peer(stream, (struct sockaddr *)&peer);
}

static void on_secured(void *owner, struct stream *stream, const char *reason)
{
    struct stream_attempt *attempt = owner;

    attempt->securing = NULL;
    finish(attempt, stream, reason ? MG_E_IO : MG_OK, reason);
}

static void secure(struct stream_attempt *attempt, struct stream *stream)
{
    const char *reason;
    struct tls_stream *tls =
        tls_stream_new(stream, tls_context_ref(attempt->tls), attempt->host, &reason);

    if (!tls) {
        stream_close(stream);
        finish(attempt, NULL, MG_E_IO, reason);
        return;
    }
    stream_secure(stream, tls);
    attempt->securing = stream;
    tls_stream_start(tls, on_secured, attempt);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct stream_attempt *attempt = MG_CONTAINER(connect, struct stream_attempt, connect);
    struct stream *stream = MG_STEAL(attempt->stream);

    if (!attempt->timer) { /* the caller was told or cancelled: the stream is being closed */
        free_when_idle(attempt);
    } else if (status == 0) {
        name_peer(stream);
        if (attempt->tls)
            secure(attempt, stream);
        else
            finish(attempt, stream, MG_OK, NULL);
    } else {
        attempt->reason = uv_strerror(status);
        stream_close(stream);
        try_next(attempt);
    }
}

static bool start_connect(struct stream_attempt *attempt, const struct sockaddr *address)
{
    struct stream *stream = stream_new(attempt->loop);
    int err = uv_tcp_connect(&attempt->connect, stream_tcp(stream), address, on_connect);

    if (err) {
        attempt->reason = uv_strerror(err);
        stream_close(stream);
        return false;
    }
    attempt->stream = stream;
    return true;
}

static void on_resolved(void *owner, struct message *message)
{
    struct stream_attempt *attempt = owner;
    struct lookup *lookup = (struct lookup *)message;

    /* The thread posts under the lock: once it is ours, the thread looks at nothing any more. */
    pthread_mutex_lock(&lookup->shared.lock);
    pthread_mutex_unlock(&lookup->shared.lock);
    bool is_wanted = MG_STEAL(attempt->lookup) != NULL;
    if (is_wanted) {
        attempt->reason = gai_strerror(lookup->status ? lookup->status : EAI_NONAME);
        attempt->at = attempt->found = MG_STEAL(lookup->found);
    }
    lookup_free(lookup);
    if (!is_wanted)
        return;
    mailbox_free(&attempt->box);
    try_next(attempt);
}

static void on_timeout(void *owner)
{
    struct stream_attempt *attempt = owner;

    finish(attempt, NULL, MG_E_TIMEOUT,
           attempt->securing ? "the TLS handshake has not ended in time" : "no answer in time");
}

/* Failures that are known at once are told from the loop, never from inside stream_connect. */
static void on_failed_at_once(void *owner)
{
    struct stream_attempt *attempt = owner;

    finish(attempt, NULL, MG_E_IO, attempt->reason);
}

static void fail_soon(struct stream_attempt *attempt, const char *reason)
{
    attempt->reason = reason;
    timer_free(&attempt->timer);
    attempt->timer = timer_new(attempt->loop, on_failed_at_once, attempt);
    timer_start(attempt->timer, 0);
}

static void start_lookup(struct stream_attempt *attempt)
{
    attempt->box = mailbox_new(attempt->loop, on_resolved, attempt);
    attempt->lookup = lookup_start(attempt->host, attempt->port, attempt->box);
    if (!attempt->lookup)
        fail_soon(attempt, "too many names are being looked up");
}

static bool parse_literal(struct stream_attempt *attempt, uint16_t port)
{
    return uv_ip4_addr(attempt->host, port, (struct sockaddr_in *)&attempt->literal) == 0 ||
           uv_ip6_addr(attempt->host, port, (struct sockaddr_in6 *)&attempt->literal) == 0;
}

static struct stream_attempt *attempt_new(struct loop *loop, struct str host, uint16_t port)
{
    struct stream_attempt *attempt = MEM_NEW(struct stream_attempt);

    attempt->loop = loop;
    attempt->timer = timer_new(loop, on_timeout, attempt);
    memcpy(attempt->host, host.ptr, MG_MIN(host.len, (size_t)HOST_BYTES_MAX));
    snprintf(attempt->port, sizeof attempt->port, "%u", port);
    return attempt;
}

struct stream_attempt *stream_connect(struct loop *loop, const struct stream_target *target,
                                      stream_connected_fn *on_connected, void *owner)
{
    struct str host = target->host;
    uint16_t port = target->port;

    assert(loop && on_connected);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_n(host.ptr + 1, host.len - 2);
    struct stream_attempt *attempt = attempt_new(loop, host, port);

    attempt->on_connected = on_connected;
    attempt->owner = owner;
    attempt->tls = target->tls ? tls_context_ref(target->tls) : NULL;
    timer_start(attempt->timer, target->timeout_ms);
    if (host.len == 0 || host.len > HOST_BYTES_MAX || memchr(host.ptr, '\0', host.len))
        fail_soon(attempt, "not a host name");
    else if (!parse_literal(attempt, port))
        start_lookup(attempt);
    else if (!start_connect(attempt, (struct sockaddr *)&attempt->literal))
        fail_soon(attempt, attempt->reason);
    return attempt;
}
