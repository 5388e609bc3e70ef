/* HTTP/2 and gRPC: a client session of nghttp2 on one side, frames written by hand where a client
 * would not send them. Whatever the client sends is delivered whole or one byte per call. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include "base/bytes.h"
#include "h2_client.h"

static void test_get(void **state)
{
    for (int slowly = 0; slowly < 2; slowly++) {
        CLIENT(client);
        client->is_slow = slowly;
        struct seen *seen = call(client, &get_root);
        assert_string_equal(seen->status, "200");
        assert_string_equal(seen->length, "4");
        assert_memory_equal(seen->body.ptr, "root", 4);
        assert_true(seen->is_closed);
        assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
}

static void test_plain_http(void **state)
{
    /* clang-format off */
    static const struct { struct ask ask; const char *status, *body; } cases[] = {
        { { .method = "POST", .path = "/echo", .body = STR_INIT("abc"), .has_body = true }, "200", "abc" },
        { { .method = "POST", .path = "/echo", .has_body = true }, "200", "" },
        { { .method = "POST", .path = "/echo" }, "200", "" },
        { { .method = "GET", .path = "/p/x%20y?q" }, "200", "x y" },
        { { .method = "GET", .path = "/nope" }, "404", NULL },
        { { .method = "GET", .path = "/echo" }, "405", NULL },
        { { .method = "HEAD", .path = "/" }, "200", "" },
        { { .method = "POST", .path = "/small", .body = STR_INIT("0123456789"), .has_body = true }, "200", "0123456789" },
        { { .method = "POST", .path = "/small", .body = STR_INIT("01234567890"), .has_body = true }, "413", NULL },
        { { .method = "POST", .path = "/small", .extra_name = "content-length", .extra_value = "11",
            .body = STR_INIT("01234567890"), .has_body = true }, "413", NULL },
        { { .method = "POST", .path = "/picky", .body = STR_INIT("abc"), .has_body = true }, "415", NULL },
        { { .method = "POST", .path = "/echo", .extra_name = "expect", .extra_value = "tea", .has_body = true }, "417", NULL },
        { { .method = "OPTIONS", .path = "*" }, "204", "" },
        { { .method = "GET", .path = "/", .extra_name = "host", .extra_value = "b" }, "400", NULL },
        { { .method = "GET", .path = "/", .extra_name = "host", .extra_value = "A" }, "200", "root" },
        { { .method = "GET", .path = "/#f" }, "400", NULL },
        { { .method = "POST", .path = "/echo", .type = "application/grpc", .body = STR_INIT("abc"), .has_body = true }, "200", "abc" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        for (int slowly = 0; slowly < 2; slowly++) {
            CLIENT(client);
            client->is_slow = slowly;
            struct seen *seen = call(client, &cases[i].ask);
            if (strcmp(seen->status, cases[i].status) != 0)
                fail_msg("case %zu: %s instead of %s", i, seen->status, cases[i].status);
            if (cases[i].body)
                assert_true(str_eq(buf_str(&seen->body), str_of(cases[i].body)));
            assert_true(seen->is_closed);
            assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
            /* The connection goes on. */
            assert_string_equal(call(client, &get_root)->status, "200");
            DONE(client);
        }
    }
}

static void test_grpc(void **state)
{
    /* clang-format off */
    static const struct { struct ask ask; const char *status, *grpc, *body; } cases[] = {
        { { GRPC, .path = "/t.S/Echo", .body = FRAME("\3abc") }, "200", "0", "abc" },
        { { GRPC, .path = "/t.S/Echo", .body = FRAME("\0") }, "200", "0", "" },
        { { .method = "POST", .type = "application/grpc+proto", .has_body = true, .path = "/t.S/Echo", .body = FRAME("\1a") }, "200", "0", "a" },
        { { .method = "POST", .type = "application/grpc;x=y", .has_body = true, .path = "/t.S/Echo", .body = FRAME("\1a") }, "200", "0", "a" },
        { { GRPC, .path = "/t.S/Echo", .encoding = "gzip", .body = STR_INIT("\1\0\0\0\1a") }, "200", "0", "a" },
        { { GRPC, .path = "/t.S/Echo", .encoding = "zstd", .body = FRAME("\1a") }, "200", "0", "a" },
        { { GRPC, .path = "/t.S/Echo", .timeout = "10S", .body = FRAME("\1a") }, "200", "0", "a" },
        { { GRPC, .path = "/t.S/Small", .body = FRAME("\012" "0123456789") }, "200", "0", "0123456789" },
        { { GRPC, .path = "/t.S/Small", .body = FRAME("\013" "01234567890") }, "200", "8", NULL },
        { { GRPC, .path = "/t.S/Busy", .body = FRAME("\1a") }, "200", "14", NULL },
        { { GRPC, .path = "/t.S/Nope", .body = FRAME("\1a") }, "200", "12", NULL },
        { { GRPC, .path = "/nope", .body = FRAME("\1a") }, "200", "12", NULL },
        { { GRPC, .path = "/t.S/Echo", .body = STR_INIT("") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .body = FRAME("\1a\0\0\0\0\1b") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .body = FRAME("\2a") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .body = STR_INIT("\0\0\0") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .body = STR_INIT("\2\0\0\0\1a") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .body = STR_INIT("\1\0\0\0\1a") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .encoding = "identity", .body = STR_INIT("\1\0\0\0\1a") }, "200", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .encoding = "lz4", .body = FRAME("\1a") }, "200", "12", NULL },
        { { GRPC, .path = "/t.S/Echo", .encoding = "GZIP", .body = FRAME("\1a") }, "200", "12", NULL },
        { { GRPC, .path = "/t.S/Echo", .timeout = "x", .body = FRAME("\1a") }, "400", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .timeout = "123456789S", .body = FRAME("\1a") }, "400", "13", NULL },
        { { GRPC, .path = "/t.S/Echo", .timeout = "0n", .body = FRAME("\1a") }, "200", "4", NULL },
        { { .method = "GET", .type = "application/grpc", .path = "/t.S/Echo" }, "405", "13", NULL },
        { { .method = "POST", .type = "application/grpc+json", .has_body = true, .path = "/t.S/Echo" }, "415", "3", NULL },
        { { .method = "POST", .type = "application/grpcx", .has_body = true, .path = "/t.S/Echo" }, "415", "3", NULL },
        { { .method = "POST", .type = "text/plain", .has_body = true, .path = "/t.S/Echo" }, "415", "3", NULL },
        { { .method = "POST", .has_body = true, .path = "/t.S/Echo" }, "415", "3", NULL },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        for (int slowly = 0; slowly < 2; slowly++) {
            CLIENT(client);
            client->is_slow = slowly;
            struct seen *seen = call(client, &cases[i].ask);
            if (strcmp(seen->status, cases[i].status) != 0 ||
                strcmp(seen->grpc_status, cases[i].grpc) != 0)
                fail_msg("case %zu: %s/%s instead of %s/%s (%s)", i, seen->status,
                         seen->grpc_status, cases[i].status, cases[i].grpc, seen->grpc_message);
            assert_string_equal(seen->type, "application/grpc");
            if (cases[i].body) {
                size_t len = strlen(cases[i].body);
                assert_true(seen->has_trailers);
                assert_int_equal(seen->body.len, 5 + len);
                assert_int_equal(get_be32(seen->body.ptr + 1), len);
                assert_memory_equal(seen->body.ptr + 5, cases[i].body, len);
            } else {
                assert_false(seen->has_trailers); /* trailers-only: everything in one HEADERS */
                assert_int_equal(seen->body.len, 0);
            }
            assert_true(seen->is_closed);
            assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
            DONE(client);
        }
    }
}

static void test_grpc_hints(void **state)
{
    CLIENT(client);
    struct seen *seen =
        call(client, &(struct ask){GRPC, .path = "/t.S/Busy", .body = FRAME("\1a")});
    assert_string_equal(seen->retry_info, "CgIIAg"); /* RetryInfo{2 s}: 0a 02 08 02 */
    assert_true(strlen(seen->details) > 10);
    assert_string_equal(seen->grpc_message, "full");
    seen = call(client, &(struct ask){GRPC, .path = "/t.S/Small",
                                      .body = FRAME("\013"
                                                    "01234567890")});
    assert_string_equal(seen->retry_info, "");
    seen = call(client,
                &(struct ask){GRPC, .path = "/t.S/Echo", .encoding = "lz4", .body = FRAME("\1a")});
    assert_string_equal(seen->accept, "identity,gzip,deflate,zstd");
    int32_t id = submit(client, &(struct ask){GRPC, .path = "/t.S/Later", .body = FRAME("\1a")});
    run(client);
    http_respond_error(wire.later[0], MG_E_ENCODING, STR(""), 0); /* a handler's refusal as well */
    run(client);
    assert_string_equal(seen_of(client, id)->grpc_status, "12");
    assert_string_equal(seen_of(client, id)->accept, "identity,gzip,deflate,zstd");
    seen = call(client, &(struct ask){.method = "PUT", .path = "/t.S/Echo"});
    assert_string_equal(seen->allow, "POST");
    DONE(client);
}

static void test_deadline_while_handled(void **state)
{
    CLIENT(client);
    int32_t id = submit(
        client, &(struct ask){GRPC, .path = "/t.S/Later", .timeout = "20S", .body = FRAME("\1a")});
    run(client);
    assert_int_equal(wire.n_later, 1);
    wire_advance(&wire, 19999);
    run(client);
    assert_false(seen_of(client, id)->is_closed);
    wire_advance(&wire, 2);
    run(client);
    assert_string_equal(seen_of(client, id)->grpc_status, "4");
    assert_true(seen_of(client, id)->is_closed);
    assert_int_equal(wire.n_gone, 1);
    http_respond_grpc(wire.later[0], STR("late")); /* swallowed */
    run(client);
    assert_int_equal(wire.conn->n_requests, 0);
    DONE(client);
}

static void test_answer_before_the_body(void **state)
{
    CLIENT(client);
    int32_t id = submit(client, &(struct ask){.method = "POST",
                                              .path = "/picky",
                                              .body = STR_INIT("abc"),
                                              .has_body = true,
                                              .is_open_ended = true});
    run(client);
    struct seen *seen = seen_of(client, id);
    assert_string_equal(seen->status, "415");
    assert_false(seen->is_closed); /* the answer comes alone: a reset beside it would hide it */
    client_outlast(client);
    assert_true(seen->is_closed); /* RST_STREAM(NO_ERROR) */
    assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
    assert_string_equal(call(client, &get_root)->status, "200");
    DONE(client);
}

/* Frames of a kind that the server has sent. */
static unsigned n_frames(const struct wire *wire, uint8_t kind)
{
    unsigned n = 0;
    for (size_t at = 0; at + 9 <= wire->out.len; at += 9 + (get_be32(wire->out.ptr + at) >> 8))
        n += (uint8_t)wire->out.ptr[at + 3] == kind;
    return n;
}

#define DISCARDED (1024u * 1024) /* of a body after its answer */

/* The rest of a body that was refused is read, so that the answer is all that its peer sees. */
static void test_the_rest_is_read(void **state)
{
    /* clang-format off */
    static const struct { struct ask ask; size_t len; bool is_cut; const char *status, *grpc; } cases[] = {
        { { .method = "POST", .path = "/picky", .has_body = true }, 1, false, "415", "" },
        { { .method = "POST", .path = "/picky", .has_body = true }, 300000, false, "415", "" },
        { { .method = "POST", .path = "/nope", .has_body = true }, DISCARDED, false, "404", "" },
        { { .method = "POST", .path = "/nope", .has_body = true }, DISCARDED + 1, true, "404", "" },
        { { .method = "POST", .path = "/nope", .has_body = true }, 20 * DISCARDED, true, "404", "" },
        { { GRPC, .path = "/t.S/Nope" }, 300000, false, "200", "12" },
        { { GRPC, .path = "/t.S/Nope" }, 5 * DISCARDED, true, "200", "12" },
        { { .method = "POST", .path = "/small", .has_body = true }, 300000, false, "413", "" },
        { { GRPC, .path = "/t.S/Small" }, 300000, false, "200", "8" },
        { { GRPC, .path = "/t.S/Echo", .encoding = "lzma" }, 300000, false, "200", "12" },
    };
    /* clang-format on */
    char *body = mem_zero(1, 20 * DISCARDED);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        CLIENT(client);
        struct ask ask = cases[i].ask;
        ask.body = str_n(body, cases[i].len);
        struct seen *seen = call(client, &ask);
        assert_string_equal(seen->status, cases[i].status);
        assert_string_equal(seen->grpc_status, cases[i].grpc);
        assert_true(seen->is_closed);
        assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
        if (n_frames(&wire, NGHTTP2_RST_STREAM) != cases[i].is_cut)
            fail_msg("row %zu", i);
        if (cases[i].len > 2 * DISCARDED + wire.conf.stream_window)
            assert_true(client->send.len > 0);
        assert_int_equal(wire.server->gather.bytes, 0);
        assert_string_equal(call(client, &get_root)->status, "200");
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
    mem_free(body);
}

static void test_the_rest_is_not_awaited_for_ever(void **state)
{
    CLIENT(client);
    char *body = mem_zero(1, 300000);
    int32_t id = submit(client, &(struct ask){.method = "POST",
                                              .path = "/picky",
                                              .body = str_n(body, 300000),
                                              .has_body = true,
                                              .is_open_ended = true});
    run(client);
    wire_advance(&wire, LINGER_NS / 1000000 - 100);
    client_more(client, id, STR("a"), false); /* does not move the time */
    assert_int_equal(n_frames(&wire, NGHTTP2_RST_STREAM), 0);
    wire_advance(&wire, 100);
    run(client);
    assert_int_equal(n_frames(&wire, NGHTTP2_RST_STREAM), 1);
    assert_true(seen_of(client, id)->is_closed);
    assert_int_equal(seen_of(client, id)->error, NGHTTP2_NO_ERROR);
    assert_int_equal(wire.conn->n_requests, 0);
    mem_free(body);
    DONE(client);
}

/* No window beyond the usual one, and none at all after the bound while the answer is not taken. */
static void test_windows_of_the_rest(void **state)
{
    CLIENT_WITH(client, 0, (void)0); /* takes no DATA, so the answer stays */
    char *body = mem_zero(1, 8 * DISCARDED);
    int32_t id = submit(client, &(struct ask){.method = "POST",
                                              .path = "/nope",
                                              .body = str_n(body, 8 * DISCARDED),
                                              .has_body = true});
    run(client);
    size_t sent = 8 * DISCARDED - client->send.len;
    assert_true(sent > DISCARDED && sent <= DISCARDED + wire.conf.stream_window);
    assert_true(nghttp2_session_get_stream_remote_window_size(client->session, id) <=
                (int32_t)wire.conf.stream_window);
    assert_false(seen_of(client, id)->is_closed);
    client_fini(client);
    mem_free(client);
    mem_free(body);
    wire_fini(&wire);
}

/* What was kept back while a handler held the body comes when it has refused it. */
static void test_the_rest_of_a_held_body(void **state)
{
    CLIENT(client);
    size_t len = wire.conf.stream_window + 300000;
    char *body = mem_zero(1, len);
    int32_t id = submit(
        client, &(struct ask){
                    .method = "POST", .path = "/held", .body = str_n(body, len), .has_body = true});
    run(client);
    assert_int_equal(client->send.len, 300000);
    http_respond_error(wire.later[0], MG_E_BUSY, STR("not now"), 1);
    run(client);
    assert_string_equal(seen_of(client, id)->status, "503");
    assert_true(seen_of(client, id)->is_closed);
    assert_int_equal(n_frames(&wire, NGHTTP2_RST_STREAM), 0);
    mem_free(body);
    DONE(client);
}

/* Who waits for 100 (Continue), or has closed its side, sends nothing more: nothing is awaited. */
static void test_no_rest_is_expected(void **state)
{
    for (int by_end = 0; by_end < 2; by_end++) {
        CLIENT(client);
        struct ask ask = {
            .method = "POST", .path = "/picky", .has_body = true, .is_open_ended = true};
        if (!by_end) {
            ask.extra_name = "expect";
            ask.extra_value = "100-continue";
        }
        int32_t id = submit(client, &ask);
        run(client);
        assert_string_equal(seen_of(client, id)->status, "415");
        assert_int_equal(seen_of(client, id)->is_closed, !by_end);
        if (by_end)
            wire_end(&wire);
        assert_int_equal(n_frames(&wire, NGHTTP2_RST_STREAM), 1);
        DONE(client);
    }
}

/* A peer that resets what was answered wasted no work, so it is no flood; what is not answered is.
 */
static void test_resets_of_the_rest_do_not_count(void **state)
{
    static const char *const paths[] = {"/picky", "/echo"};
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        CLIENT(client);
        for (unsigned n = 0; n < 2 * wire.conf.reset_max; n++) {
            int32_t id = submit(client, &(struct ask){.method = "POST",
                                                      .path = paths[i],
                                                      .has_body = true,
                                                      .is_open_ended = true});
            run(client);
            (void)nghttp2_submit_rst_stream(client->session, 0, id, NGHTTP2_CANCEL);
            run(client);
        }
        assert_int_equal(client->n_goaway > 0, i);
        DONE(client);
    }
}

static void test_continue(void **state)
{
    CLIENT(client);
    struct seen *seen = call(client, &(struct ask){.method = "POST",
                                                   .path = "/echo",
                                                   .extra_name = "expect",
                                                   .extra_value = "100-continue",
                                                   .body = STR_INIT("abc"),
                                                   .has_body = true});
    assert_int_equal(seen->n_continue, 1);
    assert_string_equal(seen->status, "200");
    DONE(client);
}

static void test_held_body_stops_at_the_window(void **state)
{
    CLIENT(client);
    size_t total = 3 * wire.conf.stream_window / 2;
    wire.conf.body_bytes_max = total; /* the server has its own copy: set below */
    wire.server->conf.body_bytes_max = total;
    char *body = mem_zero(1, total);
    int32_t id = submit(client, &(struct ask){.method = "POST",
                                              .path = "/held",
                                              .body = str_n(body, total),
                                              .has_body = true});
    run(client);
    struct http_request *request = wire.later[0];
    assert_int_equal(request->received, wire.conf.stream_window);
    assert_int_equal(client->send.len, total - wire.conf.stream_window);
    /* Another stream is not held up. */
    assert_int_equal(nghttp2_session_get_remote_window_size(client->session) > 0, 1);
    http_request_release(request);
    run(client);
    assert_int_equal(client->send.len, 0);
    assert_string_equal(seen_of(client, id)->status, "200");
    assert_int_equal(seen_of(client, id)->body.len, total);
    mem_free(body);
    DONE(client);
}

/* The connection's window comes back also for bodies that nobody consumed. */
static void test_window_comes_back_after_resets(void **state)
{
    CLIENT(client);
    char *body = mem_zero(1, 900000);
    for (int i = 0; i < 8; i++) {
        int32_t id = submit(client, &(struct ask){.method = "POST",
                                                  .path = "/held",
                                                  .body = str_n(body, 900000),
                                                  .has_body = true,
                                                  .is_open_ended = true});
        run(client);
        assert_int_equal(client->send.len, 0);
        assert_int_equal(nghttp2_submit_rst_stream(client->session, 0, id, NGHTTP2_CANCEL), 0);
        run(client);
        assert_int_equal(wire.n_gone, i + 1);
        http_request_release(wire.later[i]);
    }
    assert_int_equal(wire.conn->n_requests, 0);
    mem_free(body);
    DONE(client);
}

static void test_large_answer_respects_windows(void **state)
{
    CLIENT(client);
    int32_t id = submit(client, &(struct ask){.method = "GET", .path = "/later"});
    run(client);
    size_t len = 3000000;
    char *body = mem_zero(1, len);
    client->is_deaf = true;
    http_respond(wire.later[0], 200, NULL, str_n(body, len));
    run(client);
    assert_true(wire.out.len - client->read < 80000); /* one window of 65535 */
    client->is_deaf = false;
    run(client);
    assert_int_equal(seen_of(client, id)->body.len, len);
    mem_free(body);
    DONE(client);
}

static void test_answer_that_is_not_read(void **state)
{
    CLIENT_WITH(client, 0, (void)0); /* opens no window at all */
    int32_t id = submit(client, &get_root);
    run(client);
    assert_string_equal(seen_of(client, id)->status, "200");
    assert_false(seen_of(client, id)->is_closed);
    wire_advance(&wire, 31000);
    run(client);
    assert_true(seen_of(client, id)->is_closed);
    assert_int_equal(seen_of(client, id)->error, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(wire.conn->n_requests, 0);
    DONE(client);
}

static void test_slow_body(void **state)
{
    /* clang-format off */
    static const struct { struct ask ask; const char *status, *grpc; } cases[] = {
        { { .method = "POST", .path = "/echo", .body = STR_INIT("abc"), .has_body = true, .is_open_ended = true }, "408", "" },
        { { GRPC, .path = "/t.S/Echo", .body = STR_INIT("abc"), .is_open_ended = true }, "200", "4" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        CLIENT(client);
        int32_t id = submit(client, &cases[i].ask);
        run(client);
        wire_advance(&wire, 29900);
        run(client);
        assert_false(seen_of(client, id)->is_closed);
        wire_advance(&wire, 200);
        run(client);
        assert_string_equal(seen_of(client, id)->status, cases[i].status);
        assert_string_equal(seen_of(client, id)->grpc_status, cases[i].grpc);
        client_outlast(client);
        assert_true(seen_of(client, id)->is_closed);
        assert_int_equal(client->n_goaway, 0); /* only the stream */
        DONE(client);
    }
}

static void test_drain(void **state)
{
    CLIENT(client);
    int32_t id = submit(client, &(struct ask){.method = "GET", .path = "/later"});
    run(client);
    conn_drain(wire.conn);
    run(client);
    assert_int_equal(client->n_goaway,
                     2); /* the notice, and after the PING's answer the real one */
    assert_int_equal(client->last_stream[0], INT32_MAX);
    assert_int_equal(client->last_stream[1], id);
    assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
    assert_false(wire.is_shut);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    run(client);
    assert_string_equal(seen_of(client, id)->status, "200");
    assert_true(wire.is_shut);
    DONE(client);
}

/* Whose answer is there is not waited for, whether it came before or after; whose is not, is. */
static void test_drain_cuts_rests(void **state)
{
    CLIENT(client);
    struct ask ask = {.method = "POST", .path = "/picky", .has_body = true, .is_open_ended = true};
    int32_t before = submit(client, &ask);
    run(client);
    ask.path = "/held";
    int32_t after = submit(client, &ask);
    run(client);
    ask.path = "/echo";
    int32_t unanswered = submit(client, &ask);
    run(client);
    assert_string_equal(seen_of(client, before)->status, "415");
    assert_false(seen_of(client, before)->is_closed);
    conn_drain(wire.conn);
    run(client);
    assert_true(seen_of(client, before)->is_closed);
    http_respond_error(wire.later[0], MG_E_BUSY, STR(""), 1);
    run(client);
    assert_string_equal(seen_of(client, after)->status, "503");
    assert_true(seen_of(client, after)->is_closed);
    assert_int_equal(seen_of(client, before)->error, NGHTTP2_NO_ERROR);
    assert_int_equal(seen_of(client, after)->error, NGHTTP2_NO_ERROR);
    assert_false(seen_of(client, unanswered)->is_closed);
    assert_false(wire.is_shut);
    client_more(client, unanswered, STR("abc"), true);
    assert_string_equal(seen_of(client, unanswered)->status, "200");
    assert_true(wire.is_shut);
    DONE(client);
}

static void test_drain_without_an_answer_to_the_ping(void **state)
{
    CLIENT(client);
    call(client, &get_root);
    client->is_deaf = true;
    conn_drain(wire.conn);
    run(client);
    assert_false(wire.is_shut);
    wire_advance(&wire, 1100);
    run(client);
    assert_true(wire.is_shut);
    DONE(client);
}

static void test_idle_connection_is_drained(void **state)
{
    CLIENT(client);
    call(client, &get_root);
    wire_advance(&wire, 299000);
    run(client);
    assert_int_equal(client->n_goaway, 0);
    wire_advance(&wire, 2000);
    run(client);
    assert_int_equal(client->n_goaway,
                     1); /* it reads no further, having no stream; nor does it answer the PING */
    assert_int_equal(client->goaway_error, NGHTTP2_NO_ERROR);
    wire_advance(&wire, 1100);
    assert_true(wire.is_shut);
    DONE(client);
}

static void test_rapid_reset(void **state)
{
    CLIENT(client);
    for (unsigned i = 0; i <= wire.conf.reset_max && wire.conn && !wire.is_shut; i++) {
        assert_int_equal(client->n_goaway, 0);
        int32_t id = submit(client, &(struct ask){.method = "GET", .path = "/later"});
        run(client);
        (void)nghttp2_submit_rst_stream(client->session, 0, id, NGHTTP2_CANCEL);
        run(client);
    }
    assert_int_equal(client->n_goaway, 1);
    assert_int_equal(client->goaway_error, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(wire.n_gone, wire.conf.reset_max + 1);
    for (size_t i = 0; i < wire.n_later; i++)
        http_respond(wire.later[i], 200, NULL, STR("x"));
    DONE(client);
}

/* A reset stream still counts while its handler works. */
static void test_reset_does_not_buy_more_work(void **state)
{
    CLIENT_WITH(client, 65535, wire.conf.streams_max = 4);
    for (int i = 0; i < 8; i++) {
        int32_t id = submit(client, &(struct ask){.method = "GET", .path = "/later"});
        run(client);
        (void)nghttp2_submit_rst_stream(client->session, 0, id, NGHTTP2_CANCEL);
        run(client);
    }
    assert_int_equal(wire.n_later, 4);
    int32_t id = submit(client, &get_root);
    run(client);
    assert_int_equal(seen_of(client, id)->error, NGHTTP2_REFUSED_STREAM);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    assert_string_equal(call(client, &get_root)->status, "200");
    for (size_t i = 1; i < wire.n_later; i++)
        http_respond(wire.later[i], 200, NULL, STR("x"));
    DONE(client);
}

static void test_peer_goes(void **state)
{
    CLIENT(client);
    submit(client, &(struct ask){.method = "GET", .path = "/later"});
    submit(client, &(struct ask){.method = "POST",
                                 .path = "/held",
                                 .body = STR_INIT("abc"),
                                 .has_body = true,
                                 .is_open_ended = true});
    run(client);
    assert_int_equal(wire.n_later, 2);
    wire_reset(&wire);
    assert_int_equal(wire.n_gone, 2);
    http_request_release(wire.later[1]);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    DONE(client);
}

static void test_headers_too_large(void **state)
{
    for (int over = 0; over < 2; over++) {
        CLIENT_WITH(client, 65535, wire.conf.header_bytes_max = 4096);
        char value[4096];
        /* Four pseudo-headers and "x": the sum of names, values and 32 each is exactly the limit,
         * or one more. */
        size_t fixed =
            (7 + 3 + 32) + (7 + 4 + 32) + (5 + 1 + 32) + (10 + 1 + 32) + (1 + 32) + (4 + 1 + 32);
        size_t len = 4096 - fixed + (size_t)over;
        memset(value, 'v', len);
        value[len] = '\0';
        struct seen *seen = call(
            client,
            &(struct ask){.method = "GET", .path = "/", .extra_name = "x", .extra_value = value});
        assert_string_equal(seen->status, over ? "431" : "200");
        assert_string_equal(call(client, &get_root)->status, "200");
        DONE(client);
    }
}

/* --- frames that no client library sends --- */
struct raw {
    struct wire wire;
    struct buf out; /* what is to be sent: at first the preface and empty SETTINGS */
};

static void raw_frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};
    put_be32(head + 5, stream);
    buf_put(&raw->out, head, sizeof head);
    buf_put(&raw->out, payload, len);
}

static void raw_open(struct raw *raw)
{
    wire_init(&raw->wire);
    wire_start(&raw->wire);
    buf_init(&raw->out, 1 << 24);
    buf_put_text(&raw->out, PREFACE);
    raw_frame(raw, NGHTTP2_SETTINGS, 0, 0, "", 0);
}

static void raw_close(struct raw *raw)
{
    buf_fini(&raw->out);
    wire_fini(&raw->wire);
}

/* The error code of the GOAWAY in what the server wrote; -1: none. */
static int64_t goaway_of(const struct wire *wire)
{
    for (size_t at = 0; at + 9 <= wire->out.len;) {
        const uint8_t *frame = (const uint8_t *)wire->out.ptr + at;
        size_t len = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        if (frame[3] == NGHTTP2_GOAWAY && len >= 8)
            return get_be32(frame + 13);
        at += 9 + len;
    }
    return -1;
}

static const uint8_t get_block[] = {0x82, 0x84, 0x86,
                                    0x41, 0x01, 'a'}; /* GET, "/", http, authority a */

static void test_floods(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *name; uint8_t type, flags; uint32_t stream; size_t len; } floods[] = {
        { "ping", NGHTTP2_PING, 0, 0, 8 },
        { "settings", NGHTTP2_SETTINGS, 0, 0, 0 },
        { "empty data", NGHTTP2_DATA, 0, 1, 0 },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(floods); i++) {
        for (int n = 490; n <= 510; n += 20) {
            struct raw raw;
            raw_open(&raw);
            static const uint8_t post_block[] = {0x83, 0x04, 0x05, '/',  'e',  'c',
                                                 'h',  'o',  0x86, 0x41, 0x01, 'a'};
            raw_frame(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, post_block,
                      sizeof post_block);
            for (int k = 0; k < n; k++)
                raw_frame(&raw, floods[i].type, floods[i].flags, floods[i].stream,
                          "\0\0\0\0\0\0\0\0", floods[i].len);
            wire_send(&raw.wire, raw.out.ptr, raw.out.len);
            int64_t want = n > 500 ? NGHTTP2_ENHANCE_YOUR_CALM : -1;
            if (goaway_of(&raw.wire) != want)
                fail_msg("%s: %d frames gave %lld", floods[i].name, n,
                         (long long)goaway_of(&raw.wire));
            raw_close(&raw);
        }
    }
}

static void test_malformed_frames(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *name; uint8_t type, flags; uint32_t stream; const char *payload; size_t len; int64_t want; } cases[] = {
        { "data on stream 0", NGHTTP2_DATA, 0, 0, "x", 1, NGHTTP2_PROTOCOL_ERROR },
        { "data on an idle stream", NGHTTP2_DATA, 0, 5, "x", 1, NGHTTP2_PROTOCOL_ERROR },
        { "headers on an even stream", NGHTTP2_HEADERS, 4, 2, "\x82\x84\x86", 3, NGHTTP2_PROTOCOL_ERROR },
        { "broken header block", NGHTTP2_HEADERS, 5, 1, "\xff\xff\xff\xff\xff\xff", 6, NGHTTP2_COMPRESSION_ERROR },
        { "continuation alone", NGHTTP2_CONTINUATION, 4, 1, "\x82", 1, NGHTTP2_PROTOCOL_ERROR },
        { "short ping", NGHTTP2_PING, 0, 0, "1234", 4, NGHTTP2_FRAME_SIZE_ERROR },
        { "window update of 0", NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR },
        { "settings with a rest", NGHTTP2_SETTINGS, 0, 0, "\0\3\0\0", 4, NGHTTP2_FRAME_SIZE_ERROR },
        { "push promise", NGHTTP2_PUSH_PROMISE, 4, 1, "\0\0\0\2\x82", 5, NGHTTP2_PROTOCOL_ERROR },
        { "unknown type", 0x42, 0, 1, "x", 1, -1 },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        for (int slowly = 0; slowly < 2; slowly++) {
            struct raw raw;
            raw_open(&raw);
            raw_frame(&raw, cases[i].type, cases[i].flags, cases[i].stream, cases[i].payload,
                      cases[i].len);
            (slowly ? wire_send_slowly : wire_send)(&raw.wire, raw.out.ptr, raw.out.len);
            if (goaway_of(&raw.wire) != cases[i].want)
                fail_msg("%s: %lld", cases[i].name, (long long)goaway_of(&raw.wire));
            assert_int_equal(raw.wire.is_shut, cases[i].want >= 0);
            assert_int_equal(raw.wire.n_requests, 0);
            raw_close(&raw);
        }
    }
}

static void test_header_block_that_never_ends(void **state)
{
    (void)state;
    struct raw raw;
    raw_open(&raw);
    raw_frame(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, get_block, sizeof get_block);
    wire_send(&raw.wire, raw.out.ptr, raw.out.len);
    wire_advance(&raw.wire, 9900);
    assert_false(raw.wire.is_shut);
    wire_advance(&raw.wire, 200);
    assert_true(raw.wire.is_shut);
    assert_int_equal(raw.wire.n_requests, 0);
    raw_close(&raw);
}

static void test_many_continuations(void **state)
{
    (void)state;
    struct raw raw;
    raw_open(&raw);
    raw_frame(&raw, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, get_block, sizeof get_block);
    for (int i = 0; i < 20; i++)
        raw_frame(&raw, NGHTTP2_CONTINUATION, 0, 1, "", 0);
    raw_frame(&raw, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, "", 0);
    wire_send(&raw.wire, raw.out.ptr, raw.out.len);
    assert_int_equal(raw.wire.n_requests, 0);
    assert_true(raw.wire.conn == NULL || raw.wire.is_shut);
    raw_close(&raw);
}

/* As on HTTP/1: a request that is worked on has lost its reader, an answer that was begun has not.
 */
static void test_end_of_input(void **state)
{
    CLIENT(client);
    int32_t id = submit(client, &(struct ask){.method = "GET", .path = "/later"});
    run(client);
    wire.queued = OUT_HIGH_BYTES;
    int32_t begun = submit(client, &(struct ask){.method = "GET", .path = "/"});
    run(client);
    wire.is_paused = false; /* the end arrives although nothing is read */
    wire_end(&wire);
    assert_int_equal(wire.n_gone, 1);
    assert_non_null(wire.conn);
    wire_sent(&wire);
    run(client);
    assert_string_equal(seen_of(client, id)->status, "");
    assert_string_equal(seen_of(client, begun)->status, "200");
    assert_null(wire.conn);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    DONE(client);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_plain_http),
        cmocka_unit_test(test_grpc),
        cmocka_unit_test(test_grpc_hints),
        cmocka_unit_test(test_deadline_while_handled),
        cmocka_unit_test(test_answer_before_the_body),
        cmocka_unit_test(test_the_rest_is_read),
        cmocka_unit_test(test_the_rest_is_not_awaited_for_ever),
        cmocka_unit_test(test_windows_of_the_rest),
        cmocka_unit_test(test_the_rest_of_a_held_body),
        cmocka_unit_test(test_no_rest_is_expected),
        cmocka_unit_test(test_resets_of_the_rest_do_not_count),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_held_body_stops_at_the_window),
        cmocka_unit_test(test_window_comes_back_after_resets),
        cmocka_unit_test(test_large_answer_respects_windows),
        cmocka_unit_test(test_answer_that_is_not_read),
        cmocka_unit_test(test_slow_body),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_cuts_rests),
        cmocka_unit_test(test_drain_without_an_answer_to_the_ping),
        cmocka_unit_test(test_idle_connection_is_drained),
        cmocka_unit_test(test_rapid_reset),
        cmocka_unit_test(test_reset_does_not_buy_more_work),
        cmocka_unit_test(test_peer_goes),
        cmocka_unit_test(test_headers_too_large),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_malformed_frames),
        cmocka_unit_test(test_header_block_that_never_ends),
        cmocka_unit_test(test_many_continuations),
        cmocka_unit_test(test_end_of_input),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
