/* fetch.c - one blocking call on a loop of its own.
 *
 * The loop is stopped only when the client has let go of its last connection, because a loop is
 * freed empty. */
#include "http/client_private.h"

#include "base/mem.h"

struct fetch {
    const struct http_fetch *wanted;
    struct loop *loop;
    struct http_client *client;
    enum mg_err err;
    int status;
    struct buf body;
    struct mg_why why;
};

static void on_client_gone(void *owner)
{
    struct fetch *fetch = owner;

    loop_stop(fetch->loop);
}

static void on_answer(void *owner, enum mg_err err, const struct http_answer *answer,
                      const struct mg_why *why)
{
    struct fetch *fetch = owner;

    fetch->err = err;
    fetch->status = answer->status;
    fetch->why = *why;
    buf_init(&fetch->body, answer->body.len);
    buf_put_str(&fetch->body, answer->body);
    http_client_close(&fetch->client, on_client_gone, fetch);
}

static enum mg_err on_piece(void *owner, struct str bytes, struct mg_why *why)
{
    struct fetch *fetch = owner;

    return fetch->wanted->on_body(fetch->wanted->owner, bytes, why);
}

/* "" and "?query" mean the root; a fragment stays at home. */
static char *target_of(struct str rest)
{
    struct buf target;
    struct str fragment;

    (void)str_split_at(rest, '#', &rest, &fragment); /* false leaves rest as it is */
    buf_init(&target, rest.len + 2);
    if (!str_starts(rest, STR("/")))
        buf_put_char(&target, '/');
    buf_put_str(&target, rest);
    buf_put_char(&target, '\0');
    return buf_take(&target, NULL);
}

static void call(struct fetch *fetch, struct str rest)
{
    const struct http_fetch *wanted = fetch->wanted;
    char *target = target_of(rest);
    const struct http_call call = {
        .method = wanted->method,
        .path = str_of(target),
        .headers = wanted->headers,
        .n_headers = wanted->n_headers,
        .body = wanted->body,
        .on_body = wanted->on_body ? on_piece : NULL,
    };

    http_client_call(fetch->client, &call, on_answer, fetch);
    loop_run(fetch->loop);
    mem_free(target);
}

static void run(struct fetch *fetch)
{
    struct str url = fetch->wanted->url;
    struct http_url parsed;

    fetch->err = client_url_read(url, &parsed, &fetch->why);
    if (fetch->err != MG_OK)
        return;
    const struct http_client_options options = {
        .base_url = str_n(url.ptr, (size_t)(parsed.path.ptr - url.ptr)),
        .tls = fetch->wanted->tls,
        .connections_max = 1,
        .timeout_ms = fetch->wanted->timeout_ms,
    };
    fetch->loop = loop_new();
    fetch->err = http_client_new(&fetch->client, fetch->loop, &options, &fetch->why);
    if (fetch->err == MG_OK)
        call(fetch, str_n(parsed.path.ptr, parsed.path.len + parsed.query.len));
    loop_free(&fetch->loop);
}

enum mg_err http_fetch(const struct http_fetch *wanted, int *status, struct buf *body,
                       struct mg_why *why)
{
    struct fetch fetch = { .wanted = wanted };

    run(&fetch);
    if (fetch.err != MG_OK) {
        buf_fini(&fetch.body);
        return mg_fail(why, fetch.err, "%s", fetch.why.text);
    }
    *status = fetch.status;
    *body = fetch.body;
    return MG_OK;
}
