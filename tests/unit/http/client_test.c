#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/mem.h"
#include "http/client_private.h"
#include "unit/base/assert_str.h"
#include "unit/http/client_peer.h"

#define RESULTS_MAX 16

struct result {
    enum mg_err err;
    int status, grpc_status;
    char body[256], content_type[64], retry_after[64], message[64];
    size_t body_len;
    struct mg_why why;
};

struct bench {
    struct loop *loop;
    struct http_client *client;
    size_t n_wanted, n;
    struct result results[RESULTS_MAX];
    bool frees_client; /* in on_done */
    bool is_gone;
};

static void on_gone(void *owner)
{
    struct bench *bench = owner;

    bench->is_gone = true;
    loop_stop(bench->loop);
}

static void text_of(char *out, size_t room, struct str s)
{
    size_t n = MG_MIN(s.len, room - 1);

    memcpy(out, s.ptr ? s.ptr : "", n);
    out[n] = '\0';
}

static void on_done(void *owner, enum mg_err err, const struct http_answer *answer,
                    const struct mg_why *why)
{
    struct bench *bench = owner;
    struct result *result = &bench->results[bench->n++];

    assert_true(bench->n <= RESULTS_MAX);
    result->err = err;
    result->status = answer->status;
    result->grpc_status = answer->grpc_status;
    result->body_len = answer->body.len;
    result->why = *why;
    text_of(result->body, sizeof result->body, answer->body);
    text_of(result->content_type, sizeof result->content_type, answer->content_type);
    text_of(result->retry_after, sizeof result->retry_after, answer->retry_after);
    text_of(result->message, sizeof result->message, answer->message);
    if (bench->frees_client && bench->client)
        http_client_close(&bench->client, on_gone, bench);
    if (bench->n >= bench->n_wanted)
        loop_stop(bench->loop);
}

static struct bench *bench_new(const char *url, struct http_client_options options)
{
    struct bench *bench = MEM_NEW(struct bench);

    bench->loop = loop_new();
    options.base_url = str_of(url);
    if (options.timeout_ms == 0)
        options.timeout_ms = 20000;
    assert_int_equal(http_client_new(&bench->client, bench->loop, &options, NULL), MG_OK);
    return bench;
}

static void bench_free(struct bench *bench)
{
    if (bench->client)
        http_client_close(&bench->client, on_gone, bench);
    assert_false(bench->is_gone && !bench->frees_client); /* never from inside */
    while (!bench->is_gone)
        loop_run(bench->loop);
    loop_free(&bench->loop);
    mem_free(bench);
}

static void bench_run(struct bench *bench, size_t n)
{
    bench->n_wanted = bench->n + n;
    loop_run(bench->loop);
    assert_int_equal(bench->n, bench->n_wanted);
}

static void ask(struct bench *bench, const char *method, const char *path, struct str body)
{
    size_t before = bench->n;
    const struct http_call call = {.method = method, .path = str_of(path), .body = body};

    http_client_call(bench->client, &call, on_done, bench);
    assert_int_equal(bench->n, before); /* never from inside */
}

static void ask_grpc(struct bench *bench, const char *path, struct str body)
{
    const struct http_call call = {
        .method = "POST", .path = str_of(path), .body = body, .is_grpc = true};

    http_client_call(bench->client, &call, on_done, bench);
}

/* One call that is waited for. Its result stays valid until the bench is freed. */
static const struct result *get(struct bench *bench, const char *method, const char *path)
{
    ask(bench, method, path, STR(""));
    bench_run(bench, 1);
    return &bench->results[bench->n - 1];
}

/* Of the calls from now on. Only what shall not be answered gets a short one: how fast the peer's thread
 * is decides nothing. */
static void set_deadline(struct bench *bench, uint64_t timeout_ms)
{
    bench->client->timeout_ms = timeout_ms;
}

/* The time of the call that was sent first on the only connection is over. */
static void expire(struct bench *bench)
{
    struct client_conn *conn = LIST_FIRST(&bench->client->conns, struct client_conn, link);
    assert_false(list_empty(&conn->calls));
    timer_start(LIST_FIRST(&conn->calls, struct client_call, link)->timer, 0);
}

static void assert_says(const struct result *result, enum mg_err err, const char *part)
{
    if (result->err != err || !strstr(result->why.text, part))
        fail_msg("got %s: %s; want '%s'", mg_err_name(result->err), result->why.text, part);
}

#define STEP(text, what)                                                                           \
    {                                                                                              \
        .answer = STR_INIT(text), .then = (what)                                                   \
    }
#define OK_KEEP STEP("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", PEER_KEEP)

/* --- HTTP/1.1 --- */

static const struct {
    const char *method, *answer;
    enum peer_then then;
    enum mg_err want;
    int status;
    const char *text; /* the body, or a part of the sentence */
} answers[] = {
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", PEER_KEEP, MG_OK, 200, "hello"},
    {"GET", "HTTP/1.1 200\r\ncontent-length:5\r\n\r\nhello", PEER_KEEP, MG_OK, 200, "hello"},
    {"GET",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: "
     "v\r\n\r\n",
     PEER_KEEP, MG_OK, 200, "hello"},
    {"GET", "HTTP/1.1 200 OK\r\n\r\nhello", PEER_CLOSE, MG_OK, 200, "hello"},
    {"GET", "HTTP/1.0 200 OK\r\n\r\nhello", PEER_CLOSE, MG_OK, 200, "hello"},
    {"GET", "HTTP/1.1 204 No Content\r\n\r\n", PEER_KEEP, MG_OK, 204, ""},
    {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", PEER_KEEP, MG_OK, 304, ""},
    {"POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PEER_KEEP, MG_OK, 200, ""},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", PEER_KEEP, MG_OK, 200, ""},
    {"GET",
     "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
     PEER_KEEP, MG_OK, 200, "hello"},
    {"GET", "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", PEER_KEEP, MG_OK, 503, "later"},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n0123456789abcdef", PEER_KEEP, MG_OK, 200,
     "0123456789abcdef"},

    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n0", PEER_WAIT, MG_E_TOO_BIG, 200,
     "larger than 16 bytes"},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg",
     PEER_WAIT, MG_E_TOO_BIG, 200, "larger than 16 bytes"},
    {"GET", "HTTP/1.1 200 OK\r\n\r\n0123456789abcdefg", PEER_WAIT, MG_E_TOO_BIG, 200,
     "larger than 16 bytes"},
    {"GET", "", PEER_CLOSE, MG_E_IO, 0, "closed before an answer came"},
    {"GET", "", PEER_RESET, MG_E_IO, 0, "reset before an answer came"},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Le", PEER_CLOSE, MG_E_IO, 0,
     "closed in the middle of the answer"},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", PEER_CLOSE, MG_E_IO, 200,
     "closed in the middle of the answer"},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\n", PEER_CLOSE,
     MG_E_IO, 200, "closed in the middle of the answer"},
    {"GET", "HTTP/1.1 103 Hints\r\n\r\n", PEER_CLOSE, MG_E_IO, 0,
     "closed in the middle of the answer"},
    {"GET", "SSH-2.0-OpenSSH_9.2\r\n", PEER_WAIT, MG_E_FORMAT, 0, "not HTTP/1.1"},
    {"GET", "HTTP/1.1 20x\r\n\r\n", PEER_WAIT, MG_E_FORMAT, 0, "not HTTP/1.1"},
    {"GET", "HTTP/1.1 200 OK\r\nBad\1Name: 1\r\n\r\n", PEER_WAIT, MG_E_FORMAT, 0, "not HTTP/1.1"},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", PEER_WAIT, MG_E_FORMAT, 0,
     "not HTTP/1.1"},
    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", PEER_WAIT, MG_E_FORMAT,
     200, "not HTTP/1.1"},
    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     PEER_WAIT, MG_E_FORMAT, 0, "not HTTP/1.1"},
    {"GET", "HTTP/1.1 101 Switch\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", PEER_WAIT,
     MG_E_FORMAT, 101, "not asked for"},
};

static void one_answer(size_t row, bool one_byte)
{
    const struct peer_step step = {
        .answer = str_of(answers[row].answer), .then = answers[row].then, .one_byte = one_byte};
    struct peer *peer = peer_start(&step, 1);
    struct bench *bench =
        bench_new(peer_url(peer), (struct http_client_options){.answer_bytes_max = 16});
    const struct result *result = get(bench, answers[row].method, "/a?secret=1");

    if (result->err != answers[row].want || result->status != answers[row].status)
        fail_msg("row %zu: %s, %d, %s", row, mg_err_name(result->err), result->status,
                 result->why.text);
    if (result->err == MG_OK) {
        assert_string_equal(result->body, answers[row].text);
        assert_string_equal(result->why.text, "");
    } else {
        assert_says(result, answers[row].want, answers[row].text);
        assert_non_null(strstr(result->why.text, peer_url(peer)));
        assert_null(strstr(result->why.text, "secret"));
        assert_int_equal(result->body_len, 0);
    }
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void reads_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(answers); i++) {
        one_answer(i, false);
        one_answer(i, true);
    }
}

static void writes_requests(void **state)
{
    (void)state;
    static const struct http_header headers[] = {{STR_INIT("content-type"), STR_INIT("text/plain")},
                                                 {STR_INIT("x-a"), STR_INIT("b c")}};
    static const struct peer_step steps[] = {
        STEP(
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nRetry-After:  7 \r\nContent-Length: 0\r\n\r\n",
            PEER_KEEP),
        STEP("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PEER_KEEP),
        STEP("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PEER_KEEP),
    };
    struct peer *peer = peer_start(steps, 3);
    char url[60], want[512];
    struct buf requests;

    snprintf(url, sizeof url, "%s/base/", peer_url(peer));
    struct bench *bench = bench_new(url, (struct http_client_options){.connections_max = 1});
    const struct http_call call = {.method = "POST",
                                   .path = STR("/v1/x?y=z"),
                                   .headers = headers,
                                   .n_headers = 2,
                                   .body = STR("body")};
    http_client_call(bench->client, &call, on_done, bench);
    ask(bench, "POST", "/empty", STR(""));
    ask(bench, "GET", "/", STR(""));
    bench_run(bench, 3);
    assert_string_equal(bench->results[0].content_type, "a/b");
    assert_string_equal(bench->results[0].retry_after, "7");
    assert_string_equal(bench->results[1].content_type, "");
    assert_int_equal(bench->results[0].grpc_status, -1);
    bench_free(bench);

    const char *host = strchr(url, ':') + 3;
    int host_len = (int)strcspn(host, "/");
    snprintf(
        want, sizeof want,
        "POST /base/v1/x?y=z HTTP/1.1\r\nhost: %.*s\r\ncontent-type: text/plain\r\nx-a: b c\r\n"
        "content-length: 4\r\n\r\nbody"
        "POST /base/empty HTTP/1.1\r\nhost: %.*s\r\ncontent-length: 0\r\n\r\n"
        "GET /base/ HTTP/1.1\r\nhost: %.*s\r\n\r\n",
        host_len, host, host_len, host, host_len, host);
    buf_init(&requests, 4096);
    assert_int_equal(peer_stop(peer, &requests), 1);
    buf_put_char(&requests, '\0');
    assert_string_equal(requests.ptr, want);
    buf_fini(&requests);
}

/* Two calls, one after the other: how many connections did it take? */
static const struct {
    struct peer_step first;
    unsigned connections;
} reuse[] = {
    {OK_KEEP, 1},
    {STEP("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", PEER_CLOSE), 2},
    {STEP("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", PEER_WAIT), 2},
    {STEP("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", PEER_WAIT), 2},
    {STEP("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", PEER_KEEP),
     1},
    {STEP("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", PEER_WAIT), 2},
    {STEP("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", PEER_WAIT), 2},
};

static void keeps_connections(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(reuse); i++) {
        const struct peer_step steps[] = {reuse[i].first, OK_KEEP};
        struct peer *peer = peer_start(steps, 2);
        struct bench *bench = bench_new(peer_url(peer), (struct http_client_options){0});
        assert_string_equal(get(bench, "GET", "/")->body, "ok");
        assert_string_equal(get(bench, "GET", "/")->body, "ok");
        bench_free(bench);
        assert_int_equal(peer_stop(peer, NULL), reuse[i].connections);
    }
}

static void queues_calls_in_order(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        STEP("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", PEER_KEEP),
        STEP("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n2", PEER_WAIT),
        STEP("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3", PEER_KEEP),
    };
    struct peer *peer = peer_start(steps, 3);
    struct bench *bench =
        bench_new(peer_url(peer), (struct http_client_options){.connections_max = 1});

    for (int i = 0; i < 3; i++)
        ask(bench, "GET", "/", STR(""));
    bench_run(bench, 3);
    assert_string_equal(bench->results[0].body, "1");
    assert_string_equal(bench->results[1].body, "2");
    assert_string_equal(bench->results[2].body, "3");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 2);
}

/* The peer closes a kept connection when the second request has already arrived. */
static const struct {
    const char *method;
    struct peer_step second, third;
    enum mg_err want;
    unsigned connections;
} stale[] = {
    {"GET", STEP("", PEER_CLOSE), OK_KEEP, MG_OK, 2},
    {"GET", STEP("", PEER_RESET), OK_KEEP, MG_OK, 2},
    {"GET", STEP("", PEER_CLOSE), STEP("", PEER_CLOSE), MG_E_IO, 2},
    {"GET", STEP("H", PEER_CLOSE), OK_KEEP, MG_E_IO, 1},
    {"POST", STEP("", PEER_CLOSE), OK_KEEP, MG_E_IO, 1},
    {"POST", STEP("", PEER_RESET), OK_KEEP, MG_E_IO, 1},
};

static void repeats_harmless_calls_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(stale); i++) {
        const struct peer_step steps[] = {OK_KEEP, stale[i].second, stale[i].third};
        struct peer *peer = peer_start(steps, 3);
        struct bench *bench = bench_new(peer_url(peer), (struct http_client_options){0});
        assert_string_equal(get(bench, "GET", "/")->body, "ok");
        const struct result *result = get(bench, stale[i].method, "/");
        if (result->err != stale[i].want)
            fail_msg("row %zu: %s", i, result->why.text);
        bench_free(bench);
        assert_int_equal(peer_stop(peer, NULL), stale[i].connections);
    }
}

static void takes_an_answer_before_the_body_was_read(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {.answer = STR_INIT("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
         .then = PEER_WAIT,
         .head_only = true},
        OK_KEEP,
    };
    struct peer *peer = peer_start(steps, 2);
    struct bench *bench = bench_new(peer_url(peer), (struct http_client_options){0});
    size_t len = 32 << 20;
    char *body = mem_zero(1, len);

    ask(bench, "POST", "/", str_n(body, len));
    bench_run(bench, 1);
    assert_int_equal(bench->results[0].status, 413);
    assert_string_equal(get(bench, "GET", "/")->body, "ok");
    mem_free(body);
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 2);
}

static void limits_header_bytes(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct buf answer;
        buf_init(&answer, 1 << 20);
        buf_put_text(&answer, "HTTP/1.1 204 No Content\r\nx: ");
        for (size_t i = 0; i < CLIENT_HEADER_BYTES_MAX - 1 + more; i++)
            buf_put_char(&answer, 'v');
        buf_put_text(&answer, "\r\n\r\n");
        const struct peer_step step = {.answer = buf_str(&answer),
                                       .then = more ? PEER_WAIT : PEER_KEEP};
        struct peer *peer = peer_start(&step, 1);
        struct bench *bench = bench_new(peer_url(peer), (struct http_client_options){0});
        assert_int_equal(get(bench, "GET", "/")->err, more ? MG_E_HEADERS : MG_OK);
        bench_free(bench);
        peer_stop(peer, NULL);
        buf_fini(&answer);
    }
}

static void gives_up_at_the_deadline(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK_KEEP, STEP("HTTP/1.1 200 OK\r\n", PEER_WAIT), OK_KEEP};
    struct peer *peer = peer_start(steps, 3);
    struct bench *bench =
        bench_new(peer_url(peer), (struct http_client_options){.connections_max = 1});
    assert_string_equal(get(bench, "GET", "/")->body, "ok");
    set_deadline(bench, 60);
    assert_says(get(bench, "GET", "/slow"), MG_E_TIMEOUT, "/slow: no answer within 60 ms");
    set_deadline(bench, 20000);
    assert_string_equal(get(bench, "GET", "/")->body, "ok");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 2);
}

static void waiting_has_a_deadline_too(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {OK_KEEP, STEP("", PEER_WAIT)};
    struct peer *peer = peer_start(steps, 2);
    struct bench *bench =
        bench_new(peer_url(peer), (struct http_client_options){.connections_max = 1});
    assert_string_equal(get(bench, "GET", "/")->body, "ok");
    set_deadline(bench, 60);
    ask(bench, "GET", "/1", STR(""));
    ask(bench, "GET", "/2", STR(""));
    bench->frees_client = true;
    bench_run(bench, 2);
    assert_says(&bench->results[1], MG_E_TIMEOUT, "/1: no answer within 60 ms");
    assert_says(&bench->results[2], MG_E_IO, "the client was closed");
    bench_free(bench);
    peer_stop(peer, NULL);
}

static void names_a_refused_origin(void **state)
{
    (void)state;
    char url[40];

    peer_nobody(url);
    struct bench *bench = bench_new(url, (struct http_client_options){.connections_max = 2});
    for (int i = 0; i < 5; i++)
        ask(bench, "POST", "/v1/traces", STR("x"));
    bench_run(bench, 5);
    for (int i = 0; i < 5; i++) {
        assert_says(&bench->results[i], MG_E_IO, "connection refused");
        assert_says(&bench->results[i], MG_E_IO, url);
        assert_int_equal(bench->results[i].status, 0);
    }
    bench_free(bench);
}

/* --- HTTP/2 --- */

static struct bench *bench_h2(struct peer *peer, struct http_client_options options)
{
    options.http2 = true;
    return bench_new(peer_url(peer), options);
}

static const struct {
    const char *path;
    enum mg_err want;
    int status;
    const char *text;
    unsigned connections;
} h2_answers[] = {
    {"/hello", MG_OK, 200, "hello", 1},
    {"/interim", MG_OK, 200, "hello", 1},
    {"/bare", MG_OK, 503, "", 1},
    {"/refuse-once", MG_OK, 200, "other", 1},
    {"/goaway-once", MG_OK, 200, "other", 2},
    {"/refuse", MG_E_IO, 0, "reset by the peer (REFUSED_STREAM)", 1},
    {"/reset", MG_E_IO, 0, "reset by the peer (INTERNAL_ERROR)", 1},
    {"/close", MG_E_IO, 0, "closed before an answer came", 1},
    {"/cut", MG_E_IO, 200, "closed in the middle of the answer", 1},
    {"/big", MG_E_TOO_BIG, 200, "larger than 16 bytes", 1},
};

static void reads_http2_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(h2_answers); i++) {
        struct peer *peer = peer_start_h2();
        struct bench *bench = bench_h2(peer, (struct http_client_options){.answer_bytes_max = 16});
        const struct result *result = get(bench, "GET", h2_answers[i].path);
        if (result->err != h2_answers[i].want || result->status != h2_answers[i].status)
            fail_msg("%s: %s, %d, %s", h2_answers[i].path, mg_err_name(result->err), result->status,
                     result->why.text);
        if (result->err == MG_OK)
            assert_string_equal(result->body, h2_answers[i].text);
        else
            assert_says(result, h2_answers[i].want, h2_answers[i].text);
        bench_free(bench);
        assert_int_equal(peer_stop(peer, NULL), h2_answers[i].connections);
    }
}

static void http2_connections_survive_their_streams(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){.answer_bytes_max = 16});

    assert_int_equal(get(bench, "GET", "/reset")->err, MG_E_IO);
    assert_int_equal(get(bench, "GET", "/big")->err, MG_E_TOO_BIG);
    const struct result *result = get(bench, "GET", "/hello");
    assert_string_equal(result->body, "hello");
    assert_string_equal(result->content_type, "text/plain");
    assert_string_equal(result->retry_after, "7");
    assert_int_equal(result->grpc_status, -1);
    assert_string_equal(get(bench, "HEAD", "/bare")->body, "");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

/* The peer allows 2 streams at a time. */
static void shares_an_http2_connection(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){.connections_max = 1});

    for (int i = 0; i < 8; i++)
        ask(bench, "POST", "/echo", STR("echo"));
    bench_run(bench, 8);
    for (int i = 0; i < 8; i++)
        assert_string_equal(bench->results[i].body, "echo");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void http2_repeats_harmless_calls_once(void **state)
{
    (void)state;
    for (int is_post = 0; is_post < 2; is_post++) {
        struct peer *peer = peer_start_h2();
        struct bench *bench = bench_h2(peer, (struct http_client_options){0});
        assert_string_equal(get(bench, "GET", "/hello")->body, "hello");
        assert_int_equal(get(bench, is_post ? "POST" : "GET", "/close-once")->err,
                         is_post ? MG_E_IO : MG_OK);
        bench_free(bench);
        assert_int_equal(peer_stop(peer, NULL), is_post ? 1 : 2);
    }
}

/* It accepts, reads, and never sends a byte; what it says on the second connection shows that there
 * is one. */
static void http2_leaves_a_connection_that_never_spoke(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        STEP("", PEER_WAIT),
        STEP("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", PEER_WAIT),
    };
    struct peer *peer = peer_start(steps, 2);
    struct bench *bench = bench_h2(peer, (struct http_client_options){.timeout_ms = 400});

    ask_grpc(bench, "/s/Echo", STR("ping"));
    bench_run(bench, 1);
    assert_says(&bench->results[0], MG_E_TIMEOUT, "/s/Echo: no answer within 400 ms");
    set_deadline(bench, 20000);
    ask_grpc(bench, "/s/Echo", STR("ping"));
    bench_run(bench, 1);
    assert_says(&bench->results[1], MG_E_IO, "does not speak HTTP/2");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 2);
}

/* The connection has answered and then goes dead under a call. One that was asked later is sent
 * again where that is harmless. */
static void http2_leaves_a_connection_that_fell_silent(void **state)
{
    (void)state;
    for (int is_post = 0; is_post < 2; is_post++) {
        struct peer *peer = peer_start_h2();
        struct bench *bench = bench_h2(peer, (struct http_client_options){.connections_max = 1});
        assert_string_equal(get(bench, "GET", "/hello")->body, "hello");
        assert_string_equal(get(bench, "GET", "/hello")->body, "hello"); /* SETTINGS are through */
        ask(bench, "POST", "/deaf", STR(""));
        ask(bench, is_post ? "POST" : "GET", "/hello", STR(""));
        expire(bench);
        bench_run(bench, 2);
        assert_says(&bench->results[2], MG_E_TIMEOUT, "/deaf: no answer");
        if (is_post)
            assert_says(&bench->results[3], MG_E_IO,
                        "the connection fell silent and was given up before an answer came");
        else
            assert_string_equal(bench->results[3].body, "hello");
        assert_string_equal(get(bench, "POST", "/hello")->body, "hello");
        bench_free(bench);
        assert_int_equal(peer_stop(peer, NULL), 2);
    }
}

/* RFC 9113 5.1.2: a peer may allow no streams at all, which it should for short durations only. */
static void http2_leaves_a_connection_that_gives_no_streams(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){.connections_max = 1});

    assert_string_equal(get(bench, "GET", "/no-more-streams")->body, "hello");
    ask(bench, "POST", "/hello", STR(""));
    struct client_call *waits = LIST_FIRST(&bench->client->waiting, struct client_call, link);
    assert_false(list_empty(&bench->client->waiting));
    timer_start(waits->timer, 0);
    bench_run(bench, 1);
    assert_says(&bench->results[1], MG_E_TIMEOUT, "/hello: no free connection within 20000 ms");
    assert_string_equal(get(bench, "POST", "/hello")->body, "hello");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 2);
}

static void http2_keeps_a_connection_that_answers_others(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){.connections_max = 1});

    assert_string_equal(get(bench, "GET", "/hello")->body, "hello");
    ask(bench, "GET", "/silent", STR(""));
    assert_string_equal(get(bench, "GET", "/hello")->body, "hello");
    expire(bench);
    bench_run(bench, 1);
    assert_says(&bench->results[2], MG_E_TIMEOUT, "/silent: no answer within 20000 ms");
    assert_string_equal(get(bench, "GET", "/hello")->body, "hello");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void sends_large_http2_bodies(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){0});
    size_t len = 3 << 20;
    char *body = mem_zero(1, len);

    ask(bench, "POST", "/echo", str_n(body, len));
    bench_run(bench, 1);
    assert_int_equal(bench->results[0].err, MG_OK);
    assert_int_equal(bench->results[0].body_len, len);
    ask(bench, "POST", "/early", str_n(body, len)); /* answered while the body is on its way */
    bench_run(bench, 1);
    assert_int_equal(bench->results[1].status, 413);
    assert_string_equal(bench->results[1].body, "too much");
    assert_string_equal(get(bench, "GET", "/hello")->body, "hello");
    mem_free(body);
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void notices_a_peer_without_http2(void **state)
{
    (void)state;
    static const struct peer_step step =
        STEP("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", PEER_WAIT);
    struct peer *peer = peer_start(&step, 1);
    struct bench *bench = bench_h2(peer, (struct http_client_options){0});

    assert_says(get(bench, "GET", "/"), MG_E_IO, "does not speak HTTP/2");
    bench_free(bench);
    peer_stop(peer, NULL);
}

static const struct {
    const char *path;
    enum mg_err want;
    int grpc_status;
    const char *body, *text; /* text: grpc-message or the sentence */
} grpc_answers[] = {
    {"/s/Echo", MG_OK, 0, "ping", ""},
    {"/s/Busy", MG_OK, 14, "", "come back %"},
    {"/s/Bare", MG_OK, 14, "", "HTTP status 503 without grpc-status"},
    {"/s/Other", MG_OK, 2, "", "HTTP status 200 without grpc-status"},
    {"/s/Two", MG_E_FORMAT, 0, "", "not one uncompressed gRPC message"},
    {"/s/Empty", MG_E_FORMAT, 0, "", "not one uncompressed gRPC message"},
    {"/s/Flag", MG_E_FORMAT, 0, "", "not one uncompressed gRPC message"},
    {"/s/Packed", MG_E_FORMAT, 0, "",
     "not one uncompressed gRPC message"}, /* nobody asked for it */
    {"/reset", MG_E_IO, -1, "", "reset by the peer"},
};

static void calls_grpc(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){0});
    struct buf requests;
    size_t at;

    for (size_t i = 0; i < MG_COUNT(grpc_answers); i++) {
        ask_grpc(bench, grpc_answers[i].path, STR("ping"));
        bench_run(bench, 1);
        const struct result *result = &bench->results[i];
        if (result->err != grpc_answers[i].want ||
            result->grpc_status != grpc_answers[i].grpc_status)
            fail_msg("%s: %s, %d, %s", grpc_answers[i].path, mg_err_name(result->err),
                     result->grpc_status, result->why.text);
        assert_string_equal(result->body, grpc_answers[i].body);
        if (result->err == MG_OK)
            assert_string_equal(result->message, grpc_answers[i].text);
        else
            assert_says(result, result->err, grpc_answers[i].text);
    }
    ask_grpc(bench, "/s/Echo", STR(""));
    bench_run(bench, 1);
    assert_int_equal(bench->results[bench->n - 1].grpc_status, 0);
    assert_int_equal(bench->results[bench->n - 1].body_len, 0);
    bench_free(bench);

    buf_init(&requests, 1 << 20);
    assert_int_equal(peer_stop(peer, &requests), 1);
    assert_true(str_find(buf_str(&requests),
                         STR(":path: /s/Echo\nte: trailers\ncontent-type: application/grpc\n"),
                         &at));
    buf_fini(&requests);
}

/* What was asked packed may be answered packed. */
static void unpacks_grpc_answers(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum mg_err want;
        size_t body_len;
    } cases[] = {
        {"/s/Packed", MG_OK, 9},     {"/s/PackedBadly", MG_E_FORMAT, 0},
        {"/s/Flag", MG_E_FORMAT, 0}, /* without grpc-encoding */
        {"/s/Two", MG_E_FORMAT, 0},  {"/s/Hello", MG_OK, 0},
    };

    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){0});
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct http_header gzip = {STR("grpc-encoding"), STR("gzip")};
        const struct http_call call = {.method = "POST",
                                       .path = str_of(cases[i].path),
                                       .headers = &gzip,
                                       .n_headers = 1,
                                       .body = STR("ping"),
                                       .is_grpc = true,
                                       .is_compressed = true};
        http_client_call(bench->client, &call, on_done, bench);
        bench_run(bench, 1);
        const struct result *result = &bench->results[i];
        if (result->err != cases[i].want || result->body_len != cases[i].body_len)
            fail_msg("%s: %s, %zu", cases[i].path, mg_err_name(result->err), result->body_len);
    }
    assert_memory_equal(bench->results[0].body,
                        "\x0a\x07\x08\x03\x12\x03"
                        "bad",
                        9);
    bench_free(bench);
    peer_stop(peer, NULL);
}

/* --- bodies as they come --- */

struct sink {
    struct bench *bench; /* the owner of on_done, too */
    char text[64];
    size_t len, refuse_at; /* bytes; 0: never */
    enum mg_err refusal;
    unsigned stall_ms;   /* a call: a slow disk */
    uint64_t timeout_ms; /* the client's from the first byte on; 0: as it was */
};

static enum mg_err take(void *owner, struct str bytes, struct mg_why *why)
{
    struct sink *sink = owner;
    const struct timespec stall = {.tv_nsec = (long)sink->stall_ms * 1000000};

    assert_true(sink->len + bytes.len < sizeof sink->text);
    memcpy(sink->text + sink->len, bytes.ptr, bytes.len);
    sink->len += bytes.len;
    if (sink->timeout_ms)
        set_deadline(sink->bench, sink->timeout_ms);
    nanosleep(&stall, NULL);
    if (sink->refuse_at && sink->len >= sink->refuse_at)
        return mg_fail(why, sink->refusal, "no room for more");
    return MG_OK;
}

static void on_sunk(void *owner, enum mg_err err, const struct http_answer *answer,
                    const struct mg_why *why)
{
    on_done(((struct sink *)owner)->bench, err, answer, why);
}

static const struct result *stream(struct bench *bench, struct sink *sink, const char *path)
{
    const struct http_call call = {.method = "GET", .path = str_of(path), .on_body = take};

    sink->bench = bench;
    http_client_call(bench->client, &call, on_sunk, sink);
    bench_run(bench, 1);
    return &bench->results[bench->n - 1];
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
static const struct {
    const char *answer;
    enum peer_then then;
    size_t refuse_at;
    enum mg_err refusal, want;
    const char *streamed, *text; /* text: the gathered body, or a part of the sentence */
} streams[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n0123456789abcdefg", PEER_KEEP, 0, MG_OK, MG_OK,
     "0123456789abcdefg", ""},
    {CHUNKED "11\r\n0123456789abcdefg\r\n3\r\nhij\r\n0\r\n\r\n", PEER_KEEP, 0, MG_OK, MG_OK,
     "0123456789abcdefghij", ""},
    {"HTTP/1.0 206 OK\r\n\r\n0123456789abcdefg", PEER_CLOSE, 0, MG_OK, MG_OK, "0123456789abcdefg",
     ""},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PEER_KEEP, 0, MG_OK, MG_OK, "", ""},
    {"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", PEER_KEEP, 0, MG_OK, MG_OK, "",
     "later"},
    {"HTTP/1.1 301 X\r\nContent-Length: 5\r\n\r\nthere", PEER_KEEP, 0, MG_OK, MG_OK, "", "there"},

    {"HTTP/1.1 503 Busy\r\nContent-Length: 17\r\n\r\n0", PEER_WAIT, 0, MG_OK, MG_E_TOO_BIG, "",
     "larger than 16 bytes"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", PEER_CLOSE, 0, MG_OK, MG_E_IO, "hell",
     "closed in the middle of the answer"},
    {CHUNKED "2\r\nhe\r\n", PEER_CLOSE, 0, MG_OK, MG_E_IO, "he",
     "closed in the middle of the answer"},
    {CHUNKED "2\r\nhe\r\n", PEER_RESET, 0, MG_OK, MG_E_IO, "he", "in the middle of the answer"},
    {CHUNKED "2\r\nhe\r\nx", PEER_WAIT, 0, MG_OK, MG_E_FORMAT, "he", "not HTTP/1.1"},
    {CHUNKED "2\r\nhe\r\n2\r\nll\r\n", PEER_WAIT, 3, MG_E_IO, MG_E_IO, NULL, "no room for more"},
    {CHUNKED "2\r\nhe\r\n2\r\nll\r\n", PEER_WAIT, 1, MG_E_FORMAT, MG_E_FORMAT, NULL,
     "no room for more"},
    {CHUNKED "2\r\nhe\r\n2\r\nll\r\n", PEER_WAIT, 4, MG_E_TOO_BIG, MG_E_TOO_BIG, NULL,
     "no room for more"},
};

static void streams_one(size_t row, bool one_byte)
{
    const struct peer_step step = {
        .answer = str_of(streams[row].answer), .then = streams[row].then, .one_byte = one_byte};
    struct peer *peer = peer_start(&step, 1);
    struct bench *bench =
        bench_new(peer_url(peer), (struct http_client_options){.answer_bytes_max = 16});
    struct sink sink = {.refuse_at = streams[row].refuse_at, .refusal = streams[row].refusal};
    const struct result *result = stream(bench, &sink, "/a?secret=1");

    if (result->err != streams[row].want)
        fail_msg("row %zu: %s, %d, %s", row, mg_err_name(result->err), result->status,
                 result->why.text);
    if (streams[row].then != PEER_RESET && streams[row].streamed)
        assert_string_equal(sink.text, streams[row].streamed);
    if (result->err == MG_OK)
        assert_string_equal(result->body, streams[row].text);
    else
        assert_says(result, streams[row].want, streams[row].text);
    assert_null(strstr(result->why.text, "secret"));
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void streams_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(streams); i++) {
        streams_one(i, false);
        streams_one(i, true);
    }
}

/* The user's own time is back-pressure: all of it together is longer than the timeout, which counts
 * from the first byte on: what comes at once is not judged by its speed. */
static void streams_may_take_long_but_not_fall_silent(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        STEP(CHUNKED "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n0\r\n\r\n", PEER_KEEP),
        STEP(CHUNKED "1\r\na\r\n", PEER_WAIT),
    };
    struct peer *peer = peer_start(steps, 2);
    struct bench *bench = bench_new(peer_url(peer), (struct http_client_options){0});
    struct sink slow = {.stall_ms = 100, .timeout_ms = 300}, silent = {.timeout_ms = 300};

    assert_int_equal(stream(bench, &slow, "/")->err, MG_OK);
    assert_string_equal(slow.text, "abcd");
    set_deadline(bench, 20000);
    assert_says(stream(bench, &silent, "/"), MG_E_TIMEOUT, "no more of the answer within 300 ms");
    assert_string_equal(silent.text, "a");
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void streams_http2_bodies(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){.answer_bytes_max = 4});
    struct sink hello = {0}, refused = {.refuse_at = 1, .refusal = MG_E_IO};

    assert_int_equal(stream(bench, &hello, "/hello")->err, MG_OK);
    assert_string_equal(hello.text, "hello");
    assert_int_equal(bench->results[0].body_len, 0);
    assert_says(stream(bench, &refused, "/hello"), MG_E_IO, "no room for more");
    struct sink again = {0};
    assert_int_equal(stream(bench, &again, "/hello")->err, MG_OK); /* only the stream was reset */
    bench_free(bench);
    assert_int_equal(peer_stop(peer, NULL), 1);
}

static void does_not_stream_grpc(void **state)
{
    (void)state;
    struct peer *peer = peer_start_h2();
    struct bench *bench = bench_h2(peer, (struct http_client_options){0});
    const struct http_call call = {
        .method = "POST", .path = STR("/s/Echo"), .is_grpc = true, .on_body = take};

    http_client_call(bench->client, &call, on_done, bench);
    bench_run(bench, 1);
    assert_says(&bench->results[0], MG_E_UNSUPPORTED, "cannot be streamed");
    bench_free(bench);
    peer_stop(peer, NULL);
}

/* --- both --- */

static void refuses_wrong_calls(void **state)
{
    (void)state;
    static const struct {
        struct http_header header;
        const char *method, *path;
        bool is_grpc;
        enum mg_err want;
    } calls[] = {
        {{STR_INIT("x"), STR_INIT("y")}, "POST", "/s/m", true, MG_E_UNSUPPORTED},
        {{STR_INIT("x"), STR_INIT("y")}, "get", "/", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "", "/", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "GET / HTTP/1.1\r\n\r\nGET", "/", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "GET", "", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "GET", "a", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "GET", "/a b", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "GET", "/a\r\nb", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y")}, "GET", "/a\tb", false, MG_E_FORMAT},
        {{STR_INIT(""), STR_INIT("y")}, "GET", "/", false, MG_E_FORMAT},
        {{STR_INIT("X"), STR_INIT("y")}, "GET", "/", false, MG_E_FORMAT},
        {{STR_INIT("x:"), STR_INIT("y")}, "GET", "/", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y\r\nz: 1")}, "GET", "/", false, MG_E_FORMAT},
        {{STR_INIT("x"), STR_INIT("y\0")}, "GET", "/", false, MG_E_FORMAT},
        {{STR_INIT("content-length"), STR_INIT("1")}, "GET", "/", false, MG_E_FORMAT},
        {{STR_INIT("transfer-encoding"), STR_INIT("chunked")}, "GET", "/", false, MG_E_FORMAT},
    };
    char url[40];

    peer_nobody(url);
    struct bench *bench = bench_new(url, (struct http_client_options){0});
    for (size_t i = 0; i < MG_COUNT(calls); i++) {
        const struct http_call call = {.method = calls[i].method,
                                       .path = str_of(calls[i].path),
                                       .headers = &calls[i].header,
                                       .n_headers = 1,
                                       .is_grpc = calls[i].is_grpc};
        http_client_call(bench->client, &call, on_done, bench);
    }
    assert_int_equal(bench->n, 0);
    bench_run(bench, MG_COUNT(calls));
    for (size_t i = 0; i < MG_COUNT(calls); i++) {
        if (bench->results[i].err != calls[i].want)
            fail_msg("row %zu: %s %s", i, mg_err_name(bench->results[i].err),
                     bench->results[i].why.text);
    }
    bench_free(bench);
}

/* A user who repeats at once what cannot succeed gets no more than one answer a turn of the loop.
 */
static void on_done_again(void *owner, enum mg_err err, const struct http_answer *answer,
                          const struct mg_why *why)
{
    struct bench *bench = owner;
    const struct http_call call = {.method = "GET", .path = STR("no")};

    (void)answer, (void)why;
    assert_int_equal(err, MG_E_FORMAT);
    if (++bench->n < 1000)
        http_client_call(bench->client, &call, on_done_again, bench);
    else
        loop_stop(bench->loop);
}

static void may_call_from_on_done(void **state)
{
    (void)state;
    const struct http_call call = {.method = "GET", .path = STR("no")};
    char url[40];

    peer_nobody(url);
    struct bench *bench = bench_new(url, (struct http_client_options){0});
    http_client_call(bench->client, &call, on_done_again, bench);
    loop_run(bench->loop);
    assert_int_equal(bench->n, 1000);
    bench_free(bench);
}

static void free_ends_open_calls(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {STEP("", PEER_WAIT)};
    for (int http2 = 0; http2 < 2; http2++) {
        struct peer *peer = http2 ? peer_start_h2() : peer_start(steps, 1);
        struct bench *bench = bench_new(
            peer_url(peer), (struct http_client_options){.http2 = http2, .connections_max = 1});
        ask(bench, "GET", "no", STR("")); /* ended, not yet told */
        ask(bench, "GET", "/silent", STR(""));
        ask(bench, "GET", "/silent", STR(""));
        bench_run(bench, 1);
        ask(bench, "GET", "no", STR(""));
        http_client_close(&bench->client, on_gone, bench);
        assert_null(bench->client);
        assert_int_equal(bench->n, 4);
        for (size_t i = 2; i < bench->n; i++)
            assert_says(&bench->results[i], MG_E_IO, "the client was closed");
        http_client_free(&bench->client); /* NULL is fine */
        bench_free(bench);
        peer_stop(peer, NULL);
    }
}

static void refuse_url(const char *url, bool is_base, const char *want)
{
    struct http_client *client;
    struct http_client_options options = {.base_url = str_of(url)};
    struct http_fetch fetch = {.method = "GET", .url = options.base_url};
    struct mg_why why = {""};
    struct buf body;
    int status;

    assert_int_equal(is_base ? http_client_new(&client, NULL, &options, &why)
                             : http_fetch(&fetch, &status, &body, &why),
                     MG_E_FORMAT);
    if (!strstr(why.text, want) || strstr(why.text, "secret"))
        fail_msg("%s: %s", url, why.text);
}

static void refuses_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *want;
    } cases[] = {
        {"ftp://a", "'ftp://a' is not of the form http[s]://host:port: it must begin with http"},
        {"http://a:0/x", "'http://a:0/x' is not of the form http[s]://host:port: the port must be"},
        {"http://user:secret@a", "'***@a' is not of the form http[s]://host:port: user and password"},
        {"http://@a", "'***@a' is not of"},
        {"user:secret@a", "'***@a' is not of"},
        {"http://user:se@secret@a b", "'***@a b' is not of"},
        {"http://user:1/secret@a", "'***@a' is not of"},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        refuse_url(cases[i].url, true, cases[i].want);
        refuse_url(cases[i].url, false, cases[i].want);
    }
    refuse_url("http://a/x?y", true, "a base URL has no query");
    refuse_url("http://a#y", true, "a base URL has no query");
}

static void fetches(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        STEP("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", PEER_KEEP),
        STEP("", PEER_WAIT),
        STEP("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", PEER_KEEP),
    };
    struct peer *peer = peer_start(steps, 3);
    struct buf body = {0}, requests;
    struct mg_why why = {""};
    char url[80];
    int status = 0;
    const struct http_header plain = {STR("content-type"), STR("text/plain")};
    struct http_fetch fetch = {
        .method = "POST", .body = STR("x"), .headers = &plain, .n_headers = 1, .timeout_ms = 20000};

    snprintf(url, sizeof url, "%s?a=b#part", peer_url(peer));
    fetch.url = str_of(url);
    assert_int_equal(http_fetch(&fetch, &status, &body, &why), MG_OK);
    assert_int_equal(status, 200);
    assert_str(buf_str(&body), "hello");
    buf_fini(&body);
    snprintf(url, sizeof url, "%s/x", peer_url(peer));
    fetch = (struct http_fetch){.method = "GET", .url = str_of(url), .timeout_ms = 60};
    assert_int_equal(http_fetch(&fetch, &status, &body, &why), MG_E_TIMEOUT);
    assert_int_equal(status, 200); /* untouched */
    assert_non_null(strstr(why.text, url));
    fetch.timeout_ms = 20000;
    assert_int_equal(http_fetch(&fetch, &status, &body, NULL), MG_OK);
    assert_int_equal(status, 404);
    assert_int_equal(body.len, 0);
    buf_fini(&body);

    buf_init(&requests, 4096);
    assert_int_equal(peer_stop(peer, &requests), 3);
    assert_true(str_starts(buf_str(&requests), STR("POST /?a=b HTTP/1.1\r\n")));
    buf_fini(&requests);

    peer_nobody(url);
    fetch = (struct http_fetch){.method = "GET", .url = str_of(url), .timeout_ms = 20000};
    assert_int_equal(http_fetch(&fetch, &status, &body, &why), MG_E_IO);
    assert_non_null(strstr(why.text, "connection refused"));
}

static void fetches_into_a_sink(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        STEP(CHUNKED "5\r\nhello\r\n0\r\n\r\n", PEER_CLOSE),
        STEP("HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", PEER_CLOSE),
        STEP(CHUNKED "2\r\nhe\r\n", PEER_CLOSE),
        STEP(CHUNKED "2\r\nhe\r\n", PEER_WAIT),
        STEP(CHUNKED "2\r\nhe\r\n", PEER_WAIT),
    };
    static const struct {
        size_t refuse_at;
        enum mg_err want;
        int status;
        const char *streamed, *text;
    } rows[] = {
        {0, MG_OK, 200, "hello", ""},
        {0, MG_OK, 503, "", "later"},
        {0, MG_E_IO, 0, "he", "in the middle of the answer"},
        {0, MG_E_TIMEOUT, 0, NULL, "answer within 60 ms"}, /* what came by then */
        {2, MG_E_IO, 0, "he", "no room for more"},
    };
    struct peer *peer = peer_start(steps, MG_COUNT(steps));

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct sink sink = {.refuse_at = rows[i].refuse_at, .refusal = MG_E_IO};
        const struct http_fetch options = {.method = "GET",
                                           .url = str_of(peer_url(peer)),
                                           .timeout_ms = i == 3 ? 60 : 20000,
                                           .on_body = take,
                                           .owner = &sink};
        struct mg_why why = {""};
        struct buf body = {0};
        int status = 0;
        enum mg_err err = http_fetch(&options, &status, &body, &why);
        if (err != rows[i].want || status != rows[i].status)
            fail_msg("row %zu: %s, %d, %s", i, mg_err_name(err), status, why.text);
        if (rows[i].streamed)
            assert_string_equal(sink.text, rows[i].streamed);
        if (err == MG_OK)
            assert_str(buf_str(&body), rows[i].text);
        else
            assert_non_null(strstr(why.text, rows[i].text));
        buf_fini(&body);
    }
    peer_stop(peer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_urls),
        cmocka_unit_test(reads_answers),
        cmocka_unit_test(writes_requests),
        cmocka_unit_test(keeps_connections),
        cmocka_unit_test(queues_calls_in_order),
        cmocka_unit_test(repeats_harmless_calls_once),
        cmocka_unit_test(takes_an_answer_before_the_body_was_read),
        cmocka_unit_test(limits_header_bytes),
        cmocka_unit_test(gives_up_at_the_deadline),
        cmocka_unit_test(waiting_has_a_deadline_too),
        cmocka_unit_test(names_a_refused_origin),
        cmocka_unit_test(reads_http2_answers),
        cmocka_unit_test(http2_connections_survive_their_streams),
        cmocka_unit_test(shares_an_http2_connection),
        cmocka_unit_test(http2_repeats_harmless_calls_once),
        cmocka_unit_test(http2_leaves_a_connection_that_never_spoke),
        cmocka_unit_test(http2_leaves_a_connection_that_fell_silent),
        cmocka_unit_test(http2_leaves_a_connection_that_gives_no_streams),
        cmocka_unit_test(http2_keeps_a_connection_that_answers_others),
        cmocka_unit_test(sends_large_http2_bodies),
        cmocka_unit_test(notices_a_peer_without_http2),
        cmocka_unit_test(calls_grpc),
        cmocka_unit_test(unpacks_grpc_answers),
        cmocka_unit_test(streams_bodies),
        cmocka_unit_test(streams_may_take_long_but_not_fall_silent),
        cmocka_unit_test(streams_http2_bodies),
        cmocka_unit_test(does_not_stream_grpc),
        cmocka_unit_test(refuses_wrong_calls),
        cmocka_unit_test(may_call_from_on_done),
        cmocka_unit_test(free_ends_open_calls),
        cmocka_unit_test(fetches),
        cmocka_unit_test(fetches_into_a_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
