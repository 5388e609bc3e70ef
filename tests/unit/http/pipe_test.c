/* An answer from another thread. Where the writer would block, it is a thread of its own; where
 * not, it is the test itself, one step after the other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "h2_client.h"

static void start(struct wire *wire, const char *request)
{
    wire_init(wire);
    wire_start(wire);
    wire_send(wire, request, strlen(request));
    assert_int_equal(wire->n_later, 1);
}

#define GET "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"

static enum mg_err write_text(struct http_pipe *pipe, size_t n, char c)
{
    struct buf bytes;
    buf_init(&bytes, n);
    for (size_t i = 0; i < n; i++)
        buf_put_char(&bytes, c);
    enum mg_err err = http_pipe_write(pipe, &bytes);
    assert_int_equal(bytes.len, 0);
    buf_fini(&bytes);
    return err;
}

static void test_small_answer_has_a_length(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    http_pipe_head(pipe, 202, "text/x");
    assert_int_equal(write_text(pipe, 3, 'a'), MG_OK);
    assert_int_equal(write_text(pipe, 2, 'b'), MG_OK);
    http_pipe_end(&pipe, MG_OK, STR(""));
    assert_null(pipe);
    wire_round(&wire);
    assert_string_equal(wire_answers(&wire), "202:aaabb");
    assert_true(wire_has(&wire, "Content-Length: 5\r\n"));
    assert_true(wire_has(&wire, "Content-Type: text/x\r\n"));
    wire_fini(&wire);
}

/* A small answer and a large one go different ways; neither a failure nor another head has it. */
static void test_a_header_more(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        enum mg_err err;
        bool is_headed_again, has_it;
    } rows[] = {{3, MG_OK, false, true},
                {100000, MG_OK, false, true},
                {3, MG_E_IO, false, false},
                {3, MG_OK, true, false},
                {100000, MG_OK, true, false}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct wire wire;
        start(&wire, GET);
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        http_pipe_head(pipe, 200, "text/x");
        http_pipe_header(pipe, STR("x-first"), STR("gives way"));
        http_pipe_header(pipe, STR("x-a"), STR("b; c=\"d\""));
        if (rows[i].is_headed_again)
            http_pipe_head(pipe, 201, "text/x");
        assert_int_equal(write_text(pipe, rows[i].n, 'a'), MG_OK);
        http_pipe_end(&pipe, rows[i].err, STR("x"));
        wire_round(&wire);
        assert_int_equal(wire_has(&wire, "\r\nx-a: b; c=\"d\"\r\n"), rows[i].has_it);
        assert_false(wire_has(&wire, "x-first"));
        wire_fini(&wire);
    }
}

static void test_a_failure_takes_the_place_of_what_was_written(void **state)
{
    (void)state;
    static const struct {
        enum mg_err err;
        const char *status;
        bool may_retry;
    } rows[] = {{MG_E_BUSY, "503", true},
                {MG_E_RATE, "429", true},
                {MG_E_TIMEOUT, "504", false},
                {MG_E_TOO_BIG, "413", false}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct wire wire;
        start(&wire, GET);
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        http_pipe_head(pipe, 200, "text/x");
        http_pipe_header(pipe, STR("x-a"), STR("b"));
        assert_int_equal(write_text(pipe, 65535, 'a'), MG_OK);
        assert_true(http_pipe_fail(pipe, rows[i].err, "text/y"));
        assert_int_equal(write_text(pipe, 3, 'f'), MG_OK);
        http_pipe_end(&pipe, MG_OK, STR(""));
        wire_round(&wire);
        assert_string_equal(wire_answers(&wire), rows[i].status);
        assert_true(wire_has(&wire, "Content-Type: text/y\r\n"));
        assert_true(wire_has(&wire, "\r\n\r\nfff"));
        assert_false(wire_has(&wire, "a: b"));
        assert_int_equal(wire_has(&wire, "retry-after: 1\r\n") ||
                             wire_has(&wire, "retry-after: 2\r\n") ||
                             wire_has(&wire, "retry-after: 3\r\n"),
                         rows[i].may_retry);
        wire_fini(&wire);
    }
}

static void test_what_was_flushed_is_not_taken_back(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    assert_int_equal(write_text(pipe, 65536, 'a'), MG_OK);
    wire_round(&wire);
    assert_false(http_pipe_fail(pipe, MG_E_BUSY, "text/y"));
    http_pipe_end(&pipe, MG_E_BUSY, STR("x"));
    wire_round(&wire);
    assert_non_null(strstr(wire_answers(&wire), "broken"));
    wire_fini(&wire);
}

static void test_failure_before_the_first_flush_is_clean(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    http_pipe_head(pipe, 200, "text/x");
    assert_int_equal(write_text(pipe, 1000, 'a'), MG_OK);
    http_pipe_end(&pipe, MG_E_TIMEOUT, STR("too slow"));
    wire_round(&wire);
    assert_string_equal(wire_answers(&wire), "504");
    assert_true(wire_has(&wire, "too slow"));
    assert_false(wire_has(&wire, "aaa"));
    wire_fini(&wire);
}

static void test_large_answer_is_chunked(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    http_pipe_head(pipe, 200, "text/x");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(write_text(pipe, 10000, 'a'), MG_OK);
        wire_round(&wire);
    }
    assert_true(wire.out.len > 100000); /* it is on its way before it ends */
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_true(wire_has(&wire, "Transfer-Encoding: chunked\r\n"));
    assert_int_equal(strncmp(wire_answers(&wire), "200:aaaa", 8), 0);
    assert_null(strstr(wire_answers(&wire), "broken"));
    wire_fini(&wire);
}

static void test_late_failure_breaks_the_answer(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    assert_int_equal(write_text(pipe, 100000, 'a'), MG_OK);
    wire_round(&wire);
    http_pipe_end(&pipe, MG_E_IO, STR("x"));
    wire_round(&wire);
    assert_null(wire.conn); /* without the last chunk */
    assert_non_null(strstr(wire_answers(&wire), "broken"));
    wire_fini(&wire);
}

static void test_head_request_gets_no_body(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, "HEAD /later HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 1000);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(write_text(pipe, 100000, 'a'), MG_OK); /* nor does the window fill */
        wire_round(&wire);
    }
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_false(wire_has(&wire, "aaa"));
    assert_non_null(wire.conn);
    assert_int_equal(wire.conn->n_requests, 0);
    wire_fini(&wire);
}

static void test_1_0_ends_with_the_connection(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    assert_int_equal(write_text(pipe, 100000, 'a'), MG_OK);
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_false(wire_has(&wire, "chunked"));
    assert_true(wire_has(&wire, "Connection: close\r\n"));
    assert_true(wire.is_shut);
    wire_fini(&wire);
}

static void test_peer_goes(void **state)
{
    (void)state;
    for (int begun = 0; begun < 2; begun++) {
        struct wire wire;
        start(&wire, GET);
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        assert_false(http_pipe_is_gone(pipe));
        if (begun) {
            assert_int_equal(write_text(pipe, 100000, 'a'), MG_OK);
            wire_round(&wire);
        }
        wire_reset(&wire);
        assert_true(http_pipe_is_gone(pipe));
        assert_int_equal(write_text(pipe, 10, 'a'), MG_E_IO);
        assert_int_equal(write_text(pipe, 100000, 'a'), MG_E_IO);
        assert_int_equal(wire.n_gone, 0);
        http_pipe_end(&pipe, MG_OK, STR(""));
        wire_round(&wire);
        assert_true(list_empty(&wire.server->orphans));
        wire_fini(&wire);
    }
}

/* A FIN while nothing of the answer left yet: the query may stop. One that is under way goes on. */
static void test_peer_ends(void **state)
{
    (void)state;
    for (int begun = 0; begun < 2; begun++) {
        struct wire wire;
        start(&wire, GET);
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        assert_int_equal(write_text(pipe, begun ? 100000 : 10, 'a'), MG_OK);
        wire_round(&wire);
        wire_end(&wire);
        assert_int_equal(http_pipe_is_gone(pipe), !begun);
        assert_int_equal(write_text(pipe, 10, 'a'), begun ? MG_OK : MG_E_IO);
        http_pipe_end(&pipe, MG_OK, STR(""));
        wire_round(&wire);
        assert_true(wire.conn == NULL || wire.is_shut);
        assert_true(begun ? strncmp(wire_answers(&wire), "200:aaaa", 8) == 0 : wire.out.len == 0);
        assert_null(strstr(wire_answers(&wire), "broken"));
        wire_fini(&wire);
    }
}

struct writer {
    struct http_pipe *pipe;
    size_t n_blocks;
    enum mg_err err;
    size_t written; /* atomic */
    bool is_done;   /* atomic */
};

static void *run_writer(void *arg)
{
    struct writer *writer = arg;
    writer->err = MG_OK;
    for (size_t i = 0; i < writer->n_blocks && !writer->err; i++) {
        writer->err = write_text(writer->pipe, 70000, 'a');
        if (!writer->err)
            __atomic_add_fetch(&writer->written, 70000, __ATOMIC_RELAXED);
    }
    http_pipe_end(&writer->pipe, writer->err, STR("stopped"));
    __atomic_store_n(&writer->is_done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* The socket takes nothing: the writer is at most a window ahead, and goes on when it takes. */
static void test_window(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    wire.queued = OUT_HIGH_BYTES;
    struct writer writer = {.pipe = http_pipe_new(wire.later[0], 200000), .n_blocks = 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_writer, &writer), 0);
    while (__atomic_load_n(&writer.written, __ATOMIC_RELAXED) < 140000)
        wire_round(&wire);
    for (int i = 0; i < 20; i++)
        wire_round(&wire);
    assert_int_equal(__atomic_load_n(&writer.written, __ATOMIC_RELAXED),
                     140000); /* 210000 would be over it */
    assert_int_equal(wire.out.len, 0);
    while (!__atomic_load_n(&writer.is_done, __ATOMIC_ACQUIRE)) {
        wire_sent(&wire);
        wire_round(&wire);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    wire_round(&wire);
    assert_int_equal(writer.err, MG_OK);
    assert_true(wire.out.len > 50 * 70000);
    assert_null(strstr(wire_answers(&wire), "broken"));
    wire_fini(&wire);
}

static void test_blocked_writer_hears_that_the_peer_went(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    wire.queued = OUT_HIGH_BYTES;
    struct writer writer = {.pipe = http_pipe_new(wire.later[0], 100000), .n_blocks = 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_writer, &writer), 0);
    while (__atomic_load_n(&writer.written, __ATOMIC_RELAXED) < 70000)
        wire_round(&wire);
    wire_reset(&wire);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(writer.err, MG_E_IO);
    wire_round(&wire);
    assert_true(list_empty(&wire.server->orphans));
    wire_fini(&wire);
}

static void test_no_progress(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    wire.queued = OUT_HIGH_BYTES;
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 100000);
    pipe_set_progress_limit(pipe, 1);
    assert_int_equal(write_text(pipe, 70000, 'a'), MG_OK);
    assert_int_equal(write_text(pipe, 70000, 'a'), MG_E_TIMEOUT);
    assert_int_equal(write_text(pipe, 1, 'a'), MG_E_IO); /* and stays failed */
    http_pipe_end(&pipe, MG_OK, STR(""));                /* which is no success */
    wire_round(&wire);
    assert_null(wire.conn);
    wire_fini(&wire);
}

static void test_a_block_larger_than_the_window(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 1000);
    assert_int_equal(write_text(pipe, 500000, 'a'), MG_OK);
    wire_round(&wire);
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_int_equal(strncmp(wire_answers(&wire), "200:aaaa", 8), 0);
    wire_fini(&wire);
}

static void test_pipe_of_a_request_that_is_gone(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, GET);
    wire_reset(&wire);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    assert_true(http_pipe_is_gone(pipe));
    http_pipe_end(&pipe, MG_OK, STR(""));
    wire_round(&wire);
    assert_true(list_empty(&wire.server->orphans));
    wire_fini(&wire);
}

/* --- gRPC: any number of messages, then a status --- */
static enum mg_err write_message(struct http_pipe *pipe, const char *text)
{
    struct buf message;
    buf_init(&message, strlen(text)); /* no room for the prefix in it */
    buf_put_text(&message, text);
    enum mg_err err = http_pipe_message(pipe, &message);
    assert_int_equal(message.len, 0);
    assert_int_equal(message.limit, strlen(text));
    buf_fini(&message);
    return err;
}

#define LATER GRPC, .path = "/t.S/Later", .body = FRAME("\1q")
/* timeout: a request is also judged by the real clock when it is whole, so a moved one needs a long one. */
static struct seen *ask(struct client *client, const char *timeout)
{
    int32_t id = submit(client, &(struct ask){LATER, .timeout = timeout});
    run(client);
    assert_int_equal(client->wire->n_later, 1);
    return seen_of(client, id);
}

static void move(struct client *client)
{
    wire_round(client->wire);
    run(client);
}

static void test_messages_leave_at_once(void **state)
{
    CLIENT(client);
    struct seen *seen = ask(client, NULL);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
    assert_int_equal(write_message(pipe, "one"), MG_OK);
    move(client);
    assert_string_equal(seen->status, "200");
    assert_string_equal(seen->type, "application/grpc");
    assert_string_equal(messages_of(seen), "one|");
    assert_int_equal(write_message(pipe, ""), MG_OK);
    assert_int_equal(write_message(pipe, "three"), MG_OK);
    move(client);
    assert_string_equal(messages_of(seen), "one||three|");
    assert_string_equal(seen->grpc_status, "");
    assert_false(seen->is_closed);
    http_pipe_end(&pipe, MG_OK, STR("not shown"));
    move(client);
    assert_string_equal(messages_of(seen), "one||three|");
    assert_string_equal(seen->grpc_status, "0");
    assert_string_equal(seen->grpc_message, "");
    assert_true(seen->has_trailers && seen->is_closed);
    assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
    assert_int_equal(wire.conn->n_requests, 0);
    DONE(client);
}

static void test_ends_of_a_call(void **state)
{
    /* clang-format off */
    static const struct { unsigned n; enum mg_err err; const char *text, *status, *message; bool may_retry; } cases[] = {
        { 0, MG_OK, "", "0", "", false },
        { 0, MG_E_ABSENT, "no such trace", "5", "no such trace", false },
        { 0, MG_E_BUSY, "", "14", "overloaded, try again later", true },
        { 1, MG_OK, "", "0", "", false },
        { 3, MG_E_ABSENT, "it went", "5", "it went", false },
        { 1, MG_E_TOO_BIG, "", "8", "larger than a configured limit", false },
        { 2, MG_E_BUSY, "full", "14", "full", true },
        { 1, MG_E_INTERNAL, "100% \xc3\xa4", "13", "100%25 %C3%A4", false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases) * 2; i++) {
        size_t k = i / 2;
        CLIENT(client);
        struct seen *seen = ask(client, NULL);
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        for (unsigned n = 0; n < cases[k].n; n++) {
            assert_int_equal(write_message(pipe, "m"), MG_OK);
            if (i % 2)
                move(client); /* else the end comes in the same message to the loop */
        }
        http_pipe_end(&pipe, cases[k].err, str_of(cases[k].text));
        move(client);
        assert_string_equal(seen->status, "200");
        assert_string_equal(seen->grpc_status, cases[k].status);
        assert_string_equal(seen->grpc_message, cases[k].message);
        assert_int_equal(seen->body.len, cases[k].n * 6);
        assert_int_equal(seen->has_trailers, cases[k].n > 0);
        assert_int_equal(strncmp(seen->retry_info, "CgIIA", 5) == 0, cases[k].may_retry);
        assert_int_equal(seen->error, NGHTTP2_NO_ERROR); /* no broken answer, whatever happened */
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
}

static void test_a_message_larger_than_the_window(void **state)
{
    CLIENT(client);
    (void)nghttp2_session_set_local_window_size(client->session, 0, 0, 1 << 22);
    struct seen *seen = ask(client, NULL);
    struct http_pipe *pipe = http_pipe_new(wire.later[0], 1000);
    struct buf message;
    buf_init(&message, 500000);
    while (message.len < 500000)
        buf_put_char(&message, 'a');
    assert_int_equal(http_pipe_message(pipe, &message), MG_OK);
    move(client);
    http_pipe_end(&pipe, MG_OK, STR(""));
    move(client);
    assert_int_equal(seen->body.len, 500005);
    assert_memory_equal(seen->body.ptr, "\0\0\x07\xa1\x20", 5);
    assert_string_equal(seen->grpc_status, "0");
    DONE(client);
}

static void test_cancelled_calls(void **state)
{
    for (unsigned begun = 0; begun < 4; begun++) {
        CLIENT(client);
        ask(client, NULL);
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        if (begun & 1) {
            assert_int_equal(write_message(pipe, "m"), MG_OK);
            move(client);
        }
        if (begun & 2)
            assert_int_equal(write_message(pipe, "on its way"), MG_OK);
        (void)nghttp2_submit_rst_stream(client->session, 0, 1, NGHTTP2_CANCEL);
        run(client);
        assert_true(http_pipe_is_gone(pipe));
        assert_int_equal(write_message(pipe, "m"), MG_E_IO);
        http_pipe_end(&pipe, MG_OK, STR(""));
        move(client);
        assert_int_equal(wire.conn->n_requests, 0);
        assert_int_equal(wire.n_gone, 0);
        assert_string_equal(call(client, &get_root)->status, "200");
        DONE(client);
    }
}

static void test_deadline_of_a_call(void **state)
{
    for (unsigned begun = 0; begun < 4; begun++) {
        CLIENT(client);
        struct seen *seen = ask(client, "20S");
        struct http_pipe *pipe = http_pipe_new(wire.later[0], 0);
        if (begun & 1) {
            assert_int_equal(write_message(pipe, "m"), MG_OK);
            move(client);
        }
        wire_advance(&wire, 19999);
        assert_false(http_pipe_is_gone(pipe));
        if (begun & 2)
            assert_int_equal(write_message(pipe, "too late"), MG_OK);
        wire_advance(&wire, 2);
        run(client);
        assert_string_equal(seen->grpc_status, "4");
        assert_string_equal(seen->grpc_message, "the deadline passed");
        assert_string_equal(messages_of(seen), begun & 1 ? "m|" : "");
        assert_true(seen->is_closed);
        assert_true(http_pipe_is_gone(pipe));
        assert_int_equal(write_message(pipe, "m"), MG_E_IO);
        http_pipe_end(&pipe, begun & 1 ? MG_OK : MG_E_IO, STR("x"));
        move(client);
        assert_string_equal(messages_of(seen), begun & 1 ? "m|" : "");
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
}

static void *run_message_writer(void *arg)
{
    struct writer *writer = arg;
    char text[70001];
    memset(text, 'a', 70000);
    text[70000] = '\0';
    writer->err = MG_OK;
    for (size_t i = 0; i < writer->n_blocks && !writer->err; i++) {
        writer->err = write_message(writer->pipe, text);
        if (!writer->err)
            __atomic_add_fetch(&writer->written, 70000, __ATOMIC_RELAXED);
    }
    http_pipe_end(&writer->pipe, writer->err, STR("stopped"));
    __atomic_store_n(&writer->is_done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* The peer opens no window: the writer is at most a window ahead, and does not sleep past the
 * deadline. */
static void test_blocked_writer_hears_of_the_deadline(void **state)
{
    CLIENT_WITH(client, 0, (void)0);
    ask(client, "20S");
    struct writer writer = {.pipe = http_pipe_new(wire.later[0], 200000), .n_blocks = 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_message_writer, &writer), 0);
    while (__atomic_load_n(&writer.written, __ATOMIC_RELAXED) < 140000)
        move(client);
    for (int i = 0; i < 20; i++)
        move(client);
    assert_int_equal(__atomic_load_n(&writer.written, __ATOMIC_RELAXED), 140000);
    wire_advance(&wire, 20001);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(writer.err, MG_E_IO);
    move(client);
    wire_advance(&wire, 31000); /* the trailers stand behind what is not taken */
    run(client);
    assert_int_equal(wire.conn->n_requests, 0);
    DONE(client);
}

static void test_window_of_messages(void **state)
{
    CLIENT(client);
    (void)nghttp2_session_set_local_window_size(client->session, 0, 0, 1 << 24);
    struct seen *seen = ask(client, NULL);
    struct writer writer = {.pipe = http_pipe_new(wire.later[0], 200000), .n_blocks = 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_message_writer, &writer), 0);
    while (!__atomic_load_n(&writer.is_done, __ATOMIC_ACQUIRE))
        move(client);
    assert_int_equal(pthread_join(thread, NULL), 0);
    move(client);
    assert_int_equal(writer.err, MG_OK);
    assert_int_equal(seen->body.len, 50 * 70005);
    assert_string_equal(seen->grpc_status, "0");
    DONE(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_answer_has_a_length),
        cmocka_unit_test(test_a_header_more),
        cmocka_unit_test(test_a_failure_takes_the_place_of_what_was_written),
        cmocka_unit_test(test_what_was_flushed_is_not_taken_back),
        cmocka_unit_test(test_failure_before_the_first_flush_is_clean),
        cmocka_unit_test(test_large_answer_is_chunked),
        cmocka_unit_test(test_late_failure_breaks_the_answer),
        cmocka_unit_test(test_head_request_gets_no_body),
        cmocka_unit_test(test_1_0_ends_with_the_connection),
        cmocka_unit_test(test_peer_goes),
        cmocka_unit_test(test_peer_ends),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_blocked_writer_hears_that_the_peer_went),
        cmocka_unit_test(test_no_progress),
        cmocka_unit_test(test_a_block_larger_than_the_window),
        cmocka_unit_test(test_pipe_of_a_request_that_is_gone),
        cmocka_unit_test(test_messages_leave_at_once),
        cmocka_unit_test(test_ends_of_a_call),
        cmocka_unit_test(test_a_message_larger_than_the_window),
        cmocka_unit_test(test_cancelled_calls),
        cmocka_unit_test(test_deadline_of_a_call),
        cmocka_unit_test(test_blocked_writer_hears_of_the_deadline),
        cmocka_unit_test(test_window_of_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
