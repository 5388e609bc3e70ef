#include "pair.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

void pair_check(struct pair *pair)
{
    if (pair->is_done && pair->is_done(pair))
        loop_stop(pair->loop);
}

static void on_data(void *owner, struct str bytes)
{
    struct end *end = owner;
    assert_true(bytes.len > 0 && bytes.len <= 64 * 1024);
    assert_true(!end->pause_at || end->got.len < end->pause_at); /* it has not paused */
    buf_put(&end->got, bytes.ptr, bytes.len);
    if (end->pause_at && end->got.len >= end->pause_at)
        stream_pause(end->stream);
    if (end->closes_on_data)
        stream_close(end->stream);
    pair_check(end->pair);
}

static void on_end(void *owner)
{
    struct end *end = owner;
    end->n_ends++;
    if (end->closes_on_end)
        stream_close(end->stream);
    pair_check(end->pair);
}

static void on_drained(void *owner)
{
    struct end *end = owner;
    assert_int_equal(stream_queued(end->stream), 0);
    end->n_drained++;
    pair_check(end->pair);
}

static void on_closed(void *owner, enum mg_err err)
{
    struct end *end = owner;
    end->n_closed++;
    end->err = err;
    end->failure = stream_tls_failure(end->stream);
    end->stream = NULL;
    pair_check(end->pair);
}

static const struct stream_events events = {on_data, on_end, on_drained, on_closed};

static void own(struct pair *pair, struct end *end, struct stream *stream)
{
    end->pair = pair;
    end->stream = stream;
    buf_init(&end->got, 1 << 28);
    stream_own(stream, &events, end);
}

static void on_accept(void *owner, struct stream *stream)
{
    struct pair *pair = owner;
    own(pair, &pair->server, stream);
    pair_check(pair);
}

void pair_own_client(struct pair *pair, struct stream *stream)
{
    own(pair, &pair->client, stream);
}

static void on_connected(void *owner, struct stream *stream, enum mg_err err,
                         const struct mg_why *why)
{
    struct pair *pair = owner;
    pair->has_failed = err != MG_OK;
    pair->connect_err = err;
    pair->why = *why;
    if (stream)
        pair_own_client(pair, stream);
    pair_check(pair);
}

static bool is_connected(struct pair *pair)
{
    return pair->has_failed || (pair->server.stream && pair->client.stream);
}

static bool is_client_connected(struct pair *pair)
{
    return pair->has_failed || pair->client.stream;
}

static void on_deadline(void *owner)
{
    (void)owner;
    fail_msg("nothing happened for 20 s");
}

void pair_run(struct pair *pair, bool (*is_done)(struct pair *pair))
{
    pair->is_done = is_done;
    timer_start(pair->deadline, 20000);
    if (!is_done(pair))
        loop_run(pair->loop);
    timer_stop(pair->deadline);
    pair->is_done = NULL;
}

uint16_t pair_port(const struct pair *pair)
{
    struct str host, port_text;
    uint64_t port;
    assert_true(str_split_at(listener_address(pair->listener), ':', &host, &port_text));
    assert_int_equal(str_u64(port_text, &port), MG_OK);
    return (uint16_t)port;
}

void pair_open_with(struct pair *pair, const struct pair_options *options)
{
    *pair = (struct pair){.loop = loop_new()};
    pair->deadline = timer_new(pair->loop, on_deadline, pair);
    struct mg_why why;
    struct listener_options where = {.address = STR("127.0.0.1:0"),
                                     .tls = options->source,
                                     .plain_answer = options->plain_answer};
    listener_fn *taker = options->on_accept ? options->on_accept : on_accept;
    void *taker_owner = options->on_accept ? options->accept_owner : pair;
    if (listener_open(&pair->listener, pair->loop, &where, taker, taker_owner, &why))
        fail_msg("%s", why.text);
    if (options->is_lone)
        return;
    const struct stream_target target = {
        .host = str_of(options->host ? options->host : "127.0.0.1"),
        .port = pair_port(pair),
        .timeout_ms = 5000,
        .tls = options->context,
    };
    stream_connect(pair->loop, &target, on_connected, pair);
    pair_run(pair, options->on_accept ? is_client_connected : is_connected);
    if (pair->has_failed && !options->may_fail)
        fail_msg("%s", pair->why.text);
    listener_close(&pair->listener);
}

void pair_open(struct pair *pair)
{
    pair_open_with(pair, &(struct pair_options){0});
}

static bool is_closed(struct pair *pair)
{
    return !pair->server.stream && !pair->client.stream;
}

void pair_close(struct pair *pair)
{
    listener_close(&pair->listener);
    if (pair->server.stream)
        stream_close(pair->server.stream);
    if (pair->client.stream)
        stream_close(pair->client.stream);
    pair_run(pair, is_closed);
    buf_fini(&pair->server.got);
    buf_fini(&pair->client.got);
    timer_free(&pair->deadline);
    loop_free(&pair->loop);
}
