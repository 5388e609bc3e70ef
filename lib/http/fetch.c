/* fetch.c - one blocking call on a loop of its own.
 *
 * The loop is stopped only when the client has let go of its last connection, because a loop is
 * freed empty. */
#include "http/client_private.h"

#include "base/mem.h"

struct fetch {
    struct loop *loop;
    struct http_client *client;
    enum mg_err err;
    int status;
    struct buf body;
    struct mg_why why;
    http_body_fn *on_body; /* NULL: the body is gathered */
    void *body_owner;
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

    return fetch->on_body(fetch->body_owner, bytes, why);
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

/* Its path is put in from `url`. */
static void fetch_run(struct fetch *fetch, struct str url, uint64_t timeout_ms,
                      struct http_call *call)
{
    struct client_url parsed;

    fetch->err = client_url_parse(url, &parsed, &fetch->why);
    if (fetch->err != MG_OK)
        return;
    const struct http_client_options options = {
        .base_url = parsed.origin,
        .connections_max = 1,
        .timeout_ms = timeout_ms,
    };
    fetch->loop = loop_new();
    fetch->err = http_client_new(&fetch->client, fetch->loop, &options, &fetch->why);
    if (fetch->err == MG_OK) {
        char *target = target_of(parsed.rest);
        call->path = str_of(target);
        http_client_call(fetch->client, call, on_answer, fetch);
        loop_run(fetch->loop);
        mem_free(target);
    }
    loop_free(&fetch->loop);
}

static enum mg_err fetch_result(struct fetch *fetch, int *status, struct buf *body,
                                struct mg_why *why)
{
    if (fetch->err != MG_OK) {
        buf_fini(&fetch->body);
        return mg_fail(why, fetch->err, "%s", fetch->why.text);
    }
    *status = fetch->status;
    *body = fetch->body;
    return MG_OK;
}

enum mg_err http_fetch(const char *method, struct str url, struct str request_body,
                       const char *content_type, uint64_t timeout_ms, int *status, struct buf *body,
                       struct mg_why *why)
{
    struct fetch fetch = { .err = MG_OK };
    const struct http_header headers[] = { { STR("content-type"), str_of(content_type) } };
    struct http_call call = {
        .method = method,
        .headers = headers,
        .n_headers = content_type ? MG_COUNT(headers) : 0,
        .body = request_body,
    };

    fetch_run(&fetch, url, timeout_ms, &call);
    return fetch_result(&fetch, status, body, why);
}

enum mg_err http_fetch_to(const struct http_fetch_to *options, int *status, struct buf *body,
                          struct mg_why *why)
{
    struct fetch fetch = { .on_body = options->on_body, .body_owner = options->owner };
    struct http_call call = { .method = options->method, .on_body = on_piece };

    fetch_run(&fetch, options->url, options->silence_ms, &call);
    return fetch_result(&fetch, status, body, why);
}
