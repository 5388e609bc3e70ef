/* gRPC calls in both directions: messages wherever DATA cuts them, the ends of a call, its limits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "h2_client.h"

#define CHAT           GRPC, .path = "/t.S/Chat", .is_open_ended = true
#define BYTES(literal) STR_INIT(literal)

static const char *heard(struct wire *wire)
{
    buf_put_char(&wire->messages, '\0');
    wire->messages.len--;
    return wire->messages.ptr;
}

static void test_answers_before_the_half_close(void **state)
{
    for (int slowly = 0; slowly < 2; slowly++) {
        CLIENT(client);
        client->is_slow = slowly;
        int32_t id = submit(client, &(struct ask){CHAT, .body = FRAME("\4ping")});
        run(client);
        struct seen *seen = seen_of(client, id);
        assert_string_equal(seen->status, "200");
        assert_string_equal(seen->type, "application/grpc");
        assert_string_equal(messages_of(seen), "ping|");
        assert_string_equal(seen->grpc_status, "");
        client_more(client, id, STR("\0\0\0\0\5again"), false);
        assert_string_equal(messages_of(seen), "ping|again|");
        client_more(client, id, STR("\0\0\0\0\0"), false); /* an empty one */
        assert_string_equal(messages_of(seen), "ping|again||");
        assert_false(seen->is_closed);
        assert_int_equal(wire.n_requests, 0);
        client_more(client, id, STR(""), true);
        assert_int_equal(wire.n_requests, 1);
        assert_string_equal(seen->grpc_status, "0");
        assert_true(seen->has_trailers && seen->is_closed);
        assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
}

#define FOUR "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1d\0\0\0\0\2ef"
static void test_data_frames_mean_nothing(void **state)
{
    struct str all = STR(FOUR);
    for (size_t first = 0; first <= all.len; first++) {
        CLIENT(client);
        int32_t id = submit(client, &(struct ask){CHAT, .body = str_n(all.ptr, first)});
        run(client);
        client_more(client, id, str_n(all.ptr + first, all.len - first), true);
        struct seen *seen = seen_of(client, id);
        if (strcmp(heard(&wire), "abc||d|ef|") != 0 ||
            strcmp(messages_of(seen), "abc||d|ef|") != 0 || strcmp(seen->grpc_status, "0") != 0)
            fail_msg("cut at %zu: %s", first, heard(&wire));
        assert_int_equal(wire.server->gather.bytes, 0);
        DONE(client);
    }
    CLIENT(client); /* each byte in a frame of its own */
    int32_t id = submit(client, &(struct ask){CHAT});
    run(client);
    for (size_t i = 0; i < all.len; i++)
        client_more(client, id, str_n(all.ptr + i, 1), i + 1 == all.len);
    assert_string_equal(messages_of(seen_of(client, id)), "abc||d|ef|");
    assert_string_equal(seen_of(client, id)->grpc_status, "0");
    DONE(client);
}

/* What grpcio 1.85 (Python) sends for a call of three messages, each after the answer to the one
 * before: settings, HEADERS, a DATA frame and window updates for each, the half close. */
static const char grpcio_call[] =
    "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a00002404000000000000020000000000030000000000"
    "0400400000000500400000000600004000fe0300000001000004080000000000003f000100000004010000000000"
    "00e801040000000140053a70617468092f742e532f43686174400a3a617574686f726974790f3132372e302e302e"
    "313a35333136398386400c636f6e74656e742d74797065106170706c69636174696f6e2f67727063400274650874"
    "7261696c6572734014677270632d6163636570742d656e636f64696e67176964656e746974792c206465666c6174"
    "652c20677a6970400a757365722d6167656e7430677270632d707974686f6e2f312e38352e3320677270632d632f"
    "35382e302e3020286c696e75783b2063687474703229000d617574686f72697a6174696f6e124265617265722071"
    "756572792d746f6b656e00000408000000000100000005000009000000000001000000000470696e670000040800"
    "00000000000000050000040800000000010000000700000408000000000000000007000008060000000000b2b0ba"
    "4c20d8b50d0000040800000000010000000500000500000000000100000000000000040800000000000000000500"
    "00040800000000010000000800002d0000000000010000000028706f6e67706f6e67706f6e67706f6e67706f6e67"
    "706f6e67706f6e67706f6e67706f6e67706f6e670000040800000000000000000800000408000000000100000030"
    "00000000010000000100000408000000000000000030";

static void test_bytes_of_grpcio(void **state)
{
    (void)state;
    uint8_t bytes[sizeof grpcio_call / 2];
    assert_true(hex_decode(str_n(grpcio_call, sizeof grpcio_call - 1), bytes, sizeof bytes));
    for (int slowly = 0; slowly < 2; slowly++) {
        struct wire wire;
        wire_init(&wire);
        wire_start(&wire);
        (slowly ? wire_send_slowly : wire_send)(&wire, bytes, sizeof bytes);
        assert_string_equal(heard(&wire), "ping||pongpongpongpongpongpongpongpongpongpong|");
        assert_int_equal(wire.n_requests, 1);
        assert_int_equal(wire.n_gone, 0);
        assert_int_equal(wire.conn->n_requests, 0); /* answered whole */
        assert_false(wire.is_shut);
        wire_fini(&wire);
    }
}

static void test_a_large_message_in_many_frames(void **state)
{
    CLIENT(client);
    size_t len = 900000;
    struct buf bytes;
    buf_init(&bytes, len + 5);
    buf_put(&bytes, "\0\0\x0d\xbb\xa0", 5); /* 900000 */
    while (bytes.len < len + 5)
        buf_put_char(&bytes, (char)('a' + bytes.len % 26));
    struct seen *seen =
        call(client, &(struct ask){GRPC, .path = "/t.S/Chat", .body = buf_str(&bytes)});
    assert_string_equal(seen->grpc_status, "0");
    assert_int_equal(seen->body.len, bytes.len);
    assert_memory_equal(seen->body.ptr, bytes.ptr, bytes.len);
    assert_int_equal(wire.server->gather.bytes, 0);
    buf_fini(&bytes);
    DONE(client);
}

static void test_no_message_at_all(void **state)
{
    CLIENT(client);
    struct seen *seen = call(client, &(struct ask){GRPC, .path = "/t.S/Chat"});
    assert_int_equal(wire.n_requests, 1);
    assert_string_equal(seen->grpc_status, "0");
    assert_false(seen->has_trailers); /* trailers-only */
    assert_int_equal(seen->body.len, 0);
    DONE(client);
}

static void test_bad_messages(void **state)
{
    /* clang-format off */
    static const struct { const char *name, *path, *encoding; struct str bytes; const char *grpc, *accept; } cases[] = {
        { "at the limit", "/t.S/SmallChat", NULL, BYTES("\0\0\0\0\x0a" "0123456789"), "0", "" },
        { "above the limit", "/t.S/SmallChat", NULL, BYTES("\0\0\0\0\x0b" "01234567890"), "8", "" },
        { "only its prefix", "/t.S/SmallChat", NULL, BYTES("\0\0\0\0\x0b"), "8", "" },
        { "as large as can be", "/t.S/SmallChat", NULL, BYTES("\0\xff\xff\xff\xff"), "8", "" },
        { "compressed", "/t.S/Chat", "gzip", BYTES("\1\0\0\0\1a"), "12", "identity" },
        { "not compressed after all", "/t.S/Chat", "gzip", BYTES("\0\0\0\0\1a"), "0", "" },
        { "compressed by nothing", "/t.S/Chat", NULL, BYTES("\1\0\0\0\1a"), "13", "" },
        { "compressed by identity", "/t.S/Chat", "identity", BYTES("\1\0\0\0\1a"), "13", "" },
        { "unknown encoding", "/t.S/Chat", "lz4", BYTES("\0\0\0\0\1a"), "12", "identity,gzip,deflate,zstd" },
        { "unknown flag", "/t.S/Chat", NULL, BYTES("\2\0\0\0\1a"), "13", "" },
        { "cut", "/t.S/Chat", NULL, BYTES("\0\0\0\0\2a"), "13", "" },
        { "cut prefix", "/t.S/Chat", NULL, BYTES("\0\0"), "13", "" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases) * 4; i++) {
        size_t k = i / 4;
        bool after_good = i & 1, slowly = i & 2;
        if (after_good && strcmp(cases[k].name, "unknown encoding") == 0)
            continue; /* known at the head */
        CLIENT(client);
        client->is_slow = slowly;
        struct buf bytes;
        buf_init(&bytes, 1000);
        if (after_good)
            buf_put(&bytes, "\0\0\0\0\4good", 9);
        buf_put_str(&bytes, cases[k].bytes);
        struct seen *seen = call(client, &(struct ask){.method = "POST",
                                                       .type = "application/grpc",
                                                       .has_body = true,
                                                       .path = cases[k].path,
                                                       .encoding = cases[k].encoding,
                                                       .body = buf_str(&bytes)});
        if (strcmp(seen->grpc_status, cases[k].grpc) != 0)
            fail_msg("%s (%zu): %s %s", cases[k].name, i, seen->grpc_status, seen->grpc_message);
        if (!after_good)
            assert_string_equal(seen->accept, cases[k].accept);
        assert_int_equal(strncmp(messages_of(seen), "good|", 5) == 0, after_good);
        assert_string_equal(seen->status, "200");
        assert_true(seen->is_closed);
        bool is_fine = strcmp(cases[k].grpc, "0") == 0;
        assert_int_equal(wire.n_requests, is_fine);
        assert_int_equal(wire.n_gone, after_good && !is_fine); /* the handler hears of it */
        assert_int_equal(wire.conn->n_requests, 0);
        assert_int_equal(wire.server->gather.bytes, 0);
        buf_fini(&bytes);
        DONE(client);
    }
}

static void test_unary_routes_take_one_message(void **state)
{
    CLIENT(client);
    struct seen *seen = call(client, &(struct ask){GRPC, .path = "/t.S/Echo", .body = STR(FOUR)});
    assert_string_equal(seen->grpc_status, "13");
    DONE(client);
}

static void test_plain_http_is_refused(void **state)
{
    CLIENT(client);
    assert_string_equal(call(client, &(struct ask){.method = "POST", .path = "/t.S/Chat"})->status,
                        "415");
    assert_string_equal(call(client, &(struct ask){.method = "GET", .path = "/t.S/Chat"})->status,
                        "405");
    DONE(client);
}

/* What follows the handler's end is thrown away, and its own end is not asked for. */
static void test_the_handler_ends_first(void **state)
{
    static const bool firsts[] = {false, true};
    for (size_t i = 0; i < MG_COUNT(firsts); i++) {
        CLIENT(client);
        struct str bytes = firsts[i] ? STR("\0\0\0\0\3bye\0\0\0\0\1x\0\0\0\0\1y\0\0")
                                     : STR("\0\0\0\0\2hi\0\0\0\0\3bye\0\0\0\0\1x");
        int32_t id = submit(client, &(struct ask){CHAT, .body = bytes});
        run(client);
        struct seen *seen = seen_of(client, id);
        assert_string_equal(seen->grpc_status, "9");
        assert_string_equal(seen->grpc_message, "as you wish");
        assert_string_equal(messages_of(seen), firsts[i] ? "" : "hi|");
        assert_int_equal(seen->has_trailers, !firsts[i]);
        assert_false(seen->is_closed);
        client_outlast(client);
        assert_true(seen->is_closed);
        assert_int_equal(seen->error, NGHTTP2_NO_ERROR); /* RST_STREAM after the answer */
        assert_string_equal(heard(&wire), firsts[i] ? "bye|" : "hi|bye|");
        assert_int_equal(wire.n_requests, 0);
        assert_int_equal(wire.n_gone, 0);
        assert_string_equal(call(client, &get_root)->status, "200");
        DONE(client);
    }
}

/* After the client's end the handler may go on as long as it likes. */
static void test_the_handler_ends_last(void **state)
{
    CLIENT(client);
    wire.is_chat_kept = true;
    struct seen *seen =
        call(client, &(struct ask){GRPC, .path = "/t.S/Chat", .body = FRAME("\5quiet")});
    assert_int_equal(wire.n_later, 1);
    assert_string_equal(seen->status, "");
    for (int i = 0; i < 100; i++)
        wire_advance(&wire, 3600 * 1000);
    run(client);
    assert_false(seen->is_closed);
    http_stream_message(wire.later[0], STR("one"));
    run(client);
    assert_string_equal(messages_of(seen), "one|");
    wire_advance(&wire, 3600 * 1000);
    http_stream_message(wire.later[0], STR("two"));
    http_stream_end(wire.later[0], 14, STR("going away"));
    run(client);
    assert_string_equal(messages_of(seen), "one|two|");
    assert_string_equal(seen->grpc_status, "14");
    assert_int_equal(wire.conn->n_requests, 0);
    DONE(client);
}

enum going { BY_RESET, BY_RST, BY_FIN };
static void test_the_peer_goes(void **state)
{
    /* clang-format off */
    static const struct { struct str sent; enum going how; bool is_kept; unsigned n_gone; } cases[] = {
        { BYTES(""), BY_RESET, false, 0 }, { BYTES(""), BY_RST, false, 0 }, { BYTES(""), BY_FIN, false, 0 },
        { BYTES("\0\0\0\0"), BY_RST, false, 0 },
        { BYTES("\0\0\0\0\5quiet"), BY_RESET, false, 1 }, { BYTES("\0\0\0\0\5quiet"), BY_RST, false, 1 },
        { BYTES("\0\0\0\0\5quiet"), BY_FIN, false, 1 }, { BYTES("\0\0\0\0\5quiet\0\0"), BY_RST, false, 1 },
        { BYTES("\0\0\0\0\2hi"), BY_RESET, false, 1 }, { BYTES("\0\0\0\0\2hi"), BY_RST, false, 1 },
        { BYTES("\0\0\0\0\2hi"), BY_FIN, false, 1 },
        { BYTES("\0\0\0\0\2hi"), BY_RST, true, 1 }, { BYTES("\0\0\0\0\2hi"), BY_FIN, true, 1 },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        CLIENT(client);
        wire.is_chat_kept = cases[i].is_kept;
        struct ask ask = {CHAT, .body = cases[i].sent};
        ask.is_open_ended = !cases[i].is_kept;
        int32_t id = submit(client, &ask);
        run(client);
        assert_int_equal(wire.n_gone, 0);
        if (cases[i].how == BY_RESET) {
            wire_reset(&wire);
        } else if (cases[i].how == BY_FIN) {
            wire_end(&wire);
        } else {
            (void)nghttp2_submit_rst_stream(client->session, 0, id, NGHTTP2_CANCEL);
            run(client);
            assert_int_equal(wire.conn->n_requests, 0);
        }
        if (wire.n_gone != cases[i].n_gone)
            fail_msg("case %zu: %u", i, wire.n_gone);
        if (cases[i].how == BY_FIN)
            assert_true(wire.conn == NULL || wire.is_shut);
        assert_true(list_empty(&wire.server->orphans));
        assert_int_equal(wire.server->gather.bytes, 0);
        DONE(client);
    }
}

/* on_gone was not asked for: the handler's end comes some time later. */
static void test_an_end_that_nobody_reads(void **state)
{
    CLIENT(client);
    wire.is_chat_kept = true;
    call(client, &(struct ask){GRPC, .path = "/t.S/Chat", .body = FRAME("\5quiet")});
    http_request_on_gone(wire.later[0], NULL, NULL);
    wire_reset(&wire);
    assert_true(http_request_is_gone(wire.later[0]));
    http_stream_message(wire.later[0], STR("x"));
    http_stream_end(wire.later[0], 0, STR(""));
    assert_true(list_empty(&wire.server->orphans));
    DONE(client);
}

static void test_deadline(void **state)
{
    /* clang-format off */
    static const struct { struct str sent; bool is_ended; const char *answers; unsigned n_gone; } cases[] = {
        { BYTES(""), false, "", 0 },
        { BYTES("\0\0\0\0\2hi\0\0"), false, "hi|", 1 },
        { BYTES("\0\0\0\0\5quiet"), false, "", 1 },
        { BYTES("\0\0\0\0\2hi"), true, "hi|", 1 },
        { BYTES(""), true, "", 1 },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        CLIENT(client);
        wire.is_chat_kept = true;
        struct ask ask = {CHAT, .timeout = "20S", .body = cases[i].sent};
        ask.is_open_ended = !cases[i].is_ended;
        int32_t id = submit(client, &ask);
        run(client);
        wire_advance(&wire, 19999);
        run(client);
        struct seen *seen = seen_of(client, id);
        assert_false(seen->is_closed);
        wire_advance(&wire, 2);
        run(client);
        assert_string_equal(seen->grpc_status, "4");
        assert_string_equal(messages_of(seen), cases[i].answers);
        assert_int_equal(seen->is_closed, cases[i].is_ended);
        assert_int_equal(wire.n_gone, cases[i].n_gone);
        client_outlast(client);
        assert_true(seen->is_closed);
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
}

/* Between two messages a client may rest, within one it may not. */
static void test_slow_clients(void **state)
{
    /* clang-format off */
    static const struct { struct str sent; unsigned fine_ms, late_ms; } cases[] = {
        { BYTES(""), 299900, 200 },
        { BYTES("\0\0\0\0\2hi"), 299900, 200 },
        { BYTES("\0\0\0\0\2hi\0"), 29900, 200 },
        { BYTES("\0\0\0\0\2h"), 29900, 200 },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        CLIENT(client);
        int32_t id = submit(client, &(struct ask){CHAT, .body = cases[i].sent});
        run(client);
        struct seen *seen = seen_of(client, id);
        wire_advance(&wire, cases[i].fine_ms);
        run(client);
        assert_false(seen->is_closed);
        wire_advance(&wire, cases[i].late_ms);
        run(client);
        assert_string_equal(seen->grpc_status, "4");
        client_outlast(client);
        assert_true(seen->is_closed);
        assert_int_equal(wire.conn->n_requests, 0);
        DONE(client);
    }
}

/* A client that sends and does not read: its window stays shut while OUT_HIGH_BYTES wait. Also
 * where its connection's is open for the sake of a body that goes on beside the budget. */
static void test_back_pressure(void **state)
{
    for (int has_beside = 0; has_beside < 2; has_beside++) {
        CLIENT_WITH(client, 0, /* opens no window for the answer */
                    (wire.conf.stream_window = 65535, wire.conf.bodies_bytes_max = 1 << 20));
        struct buf bytes;
        buf_init(&bytes, 1 << 22);
        for (int i = 0; i < 1000; i++) {
            buf_put(&bytes, "\0\0\0\4\0", 5); /* 1024 */
            for (int k = 0; k < 1024; k++)
                buf_put_char(&bytes, 'a');
        }
        if (has_beside)
            call(client, &(struct ask){.method = "POST",
                                       .path = "/later",
                                       .has_body = true,
                                       .body = buf_str(&bytes)});
        assert_int_equal(gather_is_favoured(wire.conn), has_beside);
        int32_t id = submit(client, &(struct ask){CHAT, .body = buf_str(&bytes)});
        run(client);
        struct seen *seen = seen_of(client, id);
        assert_int_equal(seen->body.len, 0);
        assert_true(wire.messages.len >= OUT_HIGH_BYTES - 2000);
        assert_true(wire.messages.len < OUT_HIGH_BYTES + 2 * 65535);
        assert_true(client->send.len > 500000); /* it waits at the sender */
        nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 22};
        assert_int_equal(nghttp2_submit_settings(client->session, 0, &entry, 1), 0);
        (void)nghttp2_session_set_local_window_size(client->session, 0, 0, 1 << 22);
        run(client);
        assert_int_equal(client->send.len, 0);
        client_more(client, id, STR(""), true);
        assert_int_equal(seen->body.len, bytes.len);
        assert_string_equal(seen->grpc_status, "0");
        if (has_beside)
            http_respond(wire.later[0], 200, NULL, STR("x"));
        buf_fini(&bytes);
        DONE(client);
    }
}

/* One that never reads ends as every answer that is stuck. */
static void test_an_answer_that_is_not_read(void **state)
{
    CLIENT_WITH(client, 0, (void)0);
    int32_t id = submit(client, &(struct ask){CHAT, .body = FRAME("\2hi")});
    run(client);
    wire_advance(&wire, 31000);
    run(client);
    assert_true(seen_of(client, id)->is_closed);
    assert_int_equal(seen_of(client, id)->error, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(wire.n_gone, 1);
    assert_int_equal(wire.conn->n_requests, 0);
    DONE(client);
}

/* The memory of all bodies is used up by another: the messages wait, and go on. */
static void test_memory_of_all_bodies(void **state)
{
    enum { MESSAGE = 400000 }; /* more than half of 3/4 of the budget */
    CLIENT_WITH(client, 65535,
                (wire.conf.bodies_bytes_max = 1 << 20, wire.conf.body_bytes_max = 1 << 22,
                 wire.conf.stream_window = 65536));
    struct str large = str_n(mem_zero(1, 1 << 21), 1 << 21);
    call(client,
         &(struct ask){.method = "POST", .path = "/later", .has_body = true, .body = large});
    assert_int_equal(wire.n_later, 1);
    assert_true(wire.server->gather.bytes >= 1 << 21);
    struct buf bytes;
    buf_init(&bytes, 1 << 22);
    for (int i = 0; i < 5; i++) {
        buf_put(&bytes, "\0\0\6\x1a\x80", 5); /* 400000 */
        for (int k = 0; k < MESSAGE; k++)
            buf_put_char(&bytes, 'a');
    }
    int32_t id = submit(client, &(struct ask){CHAT, .body = buf_str(&bytes)});
    run(client);
    assert_false(list_empty(&wire.server->gather.waiting));
    assert_true(client->send.len > 0);
    http_respond(wire.later[0], 200, NULL, STR("x"));
    run(client);
    client_more(client, id, STR(""), true);
    assert_int_equal(seen_of(client, id)->body.len, bytes.len);
    assert_string_equal(seen_of(client, id)->grpc_status, "0");
    assert_int_equal(wire.server->gather.bytes, 0);
    buf_fini(&bytes);
    mem_free((char *)large.ptr);
    DONE(client);
}

/* Bodies of which the first has the place beside the budget, and the others most of the budget. */
static void use_up_memory(struct client *client)
{
    static const size_t sizes[] = {1 << 21, 300000, 100000};
    char *bytes = mem_zero(1, sizes[0]);
    for (size_t i = 0; i < MG_COUNT(sizes); i++)
        call(client, &(struct ask){.method = "POST",
                                   .path = "/later",
                                   .has_body = true,
                                   .body = str_n(bytes, sizes[i])});
    assert_int_equal(client->wire->n_later, MG_COUNT(sizes));
    assert_true(client->wire->later[0]->is_beside);
    assert_in_range(gather_bytes_of_all(), 600000, 700000);
    mem_free(bytes);
}

static void answer_all(struct wire *wire)
{
    for (size_t i = 0; i < wire->n_later; i++) {
        if (wire->later[i])
            http_respond(wire->later[i], 200, NULL, STR("x"));
    }
}

#define SHORT_CONF (wire.conf.bodies_bytes_max = 1 << 20, wire.conf.body_bytes_max = 1 << 22)

/* What is handed on where it lies needs no memory: it neither waits nor keeps the place from those
 * who need it. */
static void test_whole_messages_need_no_memory(void **state)
{
    CLIENT_WITH(client, 65535, SHORT_CONF);
    use_up_memory(client);
    int32_t id = submit(client, &(struct ask){CHAT, .body = FRAME("\4ping")});
    run(client);
    struct seen *seen = seen_of(client, id);
    assert_string_equal(messages_of(seen), "ping|");
    assert_true(list_empty(&wire.server->gather.waiting));
    http_respond(MG_STEAL(wire.later[0]), 200, NULL, STR("x"));
    run(client);
    client_more(client, id, STR("\0\0\0\0\5again"), false);
    assert_null(wire.server->gather.beside);
    client_more(client, id, STR(""), true);
    assert_string_equal(messages_of(seen), "ping|again|");
    assert_string_equal(seen->grpc_status, "0");
    answer_all(&wire);
    DONE(client);
}

/* A cut message takes the place or waits; whole, it has neither place nor memory, and the next one
 * comes at once. */
static void test_a_cut_message_while_memory_is_short(void **state)
{
    enum { MESSAGE = 200000, PART = 50000 };
    static const bool is_place_free[] = {true, false};
    for (size_t i = 0; i < MG_COUNT(is_place_free); i++) {
        CLIENT_WITH(client, 65535, SHORT_CONF);
        use_up_memory(client);
        if (is_place_free[i])
            http_respond(MG_STEAL(wire.later[0]), 200, NULL, STR("x"));
        struct buf bytes;
        buf_init(&bytes, MESSAGE + 5);
        buf_put(&bytes, "\0\0\3\x0d\x40", 5); /* 200000 */
        while (bytes.len < MESSAGE + 5)
            buf_put_char(&bytes, 'a');
        int32_t id = submit(client, &(struct ask){CHAT, .body = str_n(bytes.ptr, PART)});
        run(client);
        const struct gather *gather = &wire.server->gather;
        assert_int_equal(list_empty(&gather->waiting), is_place_free[i]);
        assert_int_equal(gather->beside->is_duplex, is_place_free[i]);
        client_more(client, id, str_n(bytes.ptr + PART, bytes.len - PART), false);
        assert_true(list_empty(&gather->waiting));
        assert_ptr_equal(gather->beside, wire.later[0]);
        client_more(client, id, STR("\0\0\0\0\5again"), true);
        struct seen *seen = seen_of(client, id);
        assert_int_equal(seen->body.len, bytes.len + 10);
        assert_string_equal(seen->grpc_status, "0");
        answer_all(&wire);
        assert_int_equal(gather_bytes_of_all(), 0);
        buf_fini(&bytes);
        DONE(client);
    }
}

static void test_classes_of_the_ends(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { struct str sent; const char *class; } cases[] = {
        { BYTES("\0\0\0\0\2hi"), "2xx" }, { BYTES(""), "2xx" },
        { BYTES("\0\0\0\0\2hi\0\0\0\0\3bye"), "4xx" }, { BYTES("\0\0\0\0\3bye"), "4xx" },
        { BYTES("\0\0\0\0\2hi\2\0\0\0\0"), "5xx" },
    };
    /* clang-format on */
    struct metric_registry *registry = metric_registry_new();
    struct metric_set *set = http_metrics_register(registry, "door=0|1|2|3|4|5");
    for (size_t i = 0; i <= MG_COUNT(cases); i++) {
        struct wire wire;
        wire_init(&wire);
        wire.options.metrics = set;
        wire.options.metric_door = (unsigned)i;
        wire_start(&wire);
        struct client *client = MEM_NEW(struct client);
        client_init(client, &wire, 65535);
        if (i < MG_COUNT(cases)) {
            call(client, &(struct ask){GRPC, .path = "/t.S/Chat", .body = cases[i].sent});
        } else { /* the peer goes in the middle */
            submit(client, &(struct ask){CHAT, .body = FRAME("\2hi")});
            run(client);
            wire_reset(&wire);
        }
        struct buf text;
        char line[160];
        size_t at;
        buf_init(&text, 1 << 20);
        metric_write(registry, METRIC_TEXT_0_0_4, &text);
        snprintf(line, sizeof line, "meshglass_http_requests_total{door=\"%zu\",class=\"%s\"} 1\n", i,
                 i < MG_COUNT(cases) ? cases[i].class : "none");
        if (!str_find(buf_str(&text), str_of(line), &at))
            fail_msg("case %zu: no %s", i, line);
        buf_fini(&text);
        DONE(client);
    }
    metric_registry_free(&registry);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_before_the_half_close),
        cmocka_unit_test(test_data_frames_mean_nothing),
        cmocka_unit_test(test_bytes_of_grpcio),
        cmocka_unit_test(test_a_large_message_in_many_frames),
        cmocka_unit_test(test_no_message_at_all),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_unary_routes_take_one_message),
        cmocka_unit_test(test_plain_http_is_refused),
        cmocka_unit_test(test_the_handler_ends_first),
        cmocka_unit_test(test_the_handler_ends_last),
        cmocka_unit_test(test_the_peer_goes),
        cmocka_unit_test(test_an_end_that_nobody_reads),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_an_answer_that_is_not_read),
        cmocka_unit_test(test_memory_of_all_bodies),
        cmocka_unit_test(test_whole_messages_need_no_memory),
        cmocka_unit_test(test_a_cut_message_while_memory_is_short),
        cmocka_unit_test(test_classes_of_the_ends),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
