/* HTTP/1: every row is sent whole and one byte per call, and must answer the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "wire.h"

#define H "Host: a\r\n"

struct row {
    const char *name, *send;
    size_t len;
    const char *want;
};
#define ROW(name, send, want)                                                                      \
    {                                                                                              \
        name, send, sizeof(send) - 1, want                                                         \
    }

/* clang-format off: one row a line */
static const struct row rows[] = {
    ROW("plain", "GET / HTTP/1.1\r\n" H "\r\n", "200:root"),
    ROW("two in a row", "GET / HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n" H "\r\n",
        "200:root 200:root"),
    ROW("close asked",
        "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
        "200:root eof"),
    ROW("1.0 closes", "GET / HTTP/1.0\r\n\r\n", "200:root eof"),
    ROW("1.0 keeps alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200:root"),
    ROW("blank lines before", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "200:root"),
    ROW("absolute form", "GET http://a/p/x HTTP/1.1\r\n" H "\r\n", "200:x"),
    ROW("absolute form without a path", "GET http://a:80 HTTP/1.1\r\n" H "\r\n", "200:root"),
    ROW("absolute form, https", "GET HTTPS://a/ HTTP/1.1\r\n" H "\r\n", "200:root"),
    ROW("absolute form with a user", "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("absolute form without a host", "GET http:/// HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("another scheme", "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("options star", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "204"),
    ROW("get star", "GET * HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("connect", "CONNECT a:1 HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("query", "GET /p/y?a=1&b HTTP/1.1\r\n" H "\r\n", "200:y"),
    ROW("escaped parameter", "GET /p/a%2Fb HTTP/1.1\r\n" H "\r\n", "200:a/b"),
    ROW("broken escape", "GET /p/a%2 HTTP/1.1\r\n" H "\r\n", "400"),
    ROW("fragment", "GET /p/y#f HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("unknown path", "GET /nope HTTP/1.1\r\n" H "\r\n", "404"),
    ROW("other method", "GET /echo HTTP/1.1\r\n" H "\r\n", "405"),
    ROW("unknown method", "FOO / HTTP/1.1\r\n" H "\r\n", "501 eof"),
    ROW("longer than a known method", "GETX / HTTP/1.1\r\n" H "\r\n", "501 eof"),
    ROW("unknown method behind another", "GET / HTTP/1.1\r\n" H "\r\nFOO / HTTP/1.1\r\n" H "\r\n",
        "200:root 501 eof"),
    ROW("a method that is no token", "G(T / HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("lower-case method", "get / HTTP/1.1\r\n" H "\r\n", "501 eof"),
    ROW("a route without a handler", "GET /missing-handler HTTP/1.1\r\n" H "\r\n", "500"),
    ROW("upgrade is ignored",
        "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\n" H
        "\r\n",
        "200:root 200:root"),

    ROW("length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", "200:abc"),
    ROW("length, then another",
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" H "\r\n",
        "200:abc 200:root"),
    ROW("no body", "POST /echo HTTP/1.1\r\n" H "\r\n", "200"),
    ROW("length 0", "POST /echo HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "200"),
    ROW("chunked",
        "POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "200:abcde"),
    ROW("chunked in capitals",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "200:abc"),
    ROW("chunk extension",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        "200:abc"),
    ROW("trailers",
        "POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n" H
        "\r\n",
        "200:abc 200:root"),
    ROW("a trailer is no header",
        "POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\nExpect: x\r\n\r\n",
        "200"),
    ROW("body at the limit", "POST /small HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n0123456789",
        "200:0123456789"),
    ROW("body above the limit",
        "POST /small HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n01234567890", "413 eof"),
    ROW("chunks at the limit",
        "POST /small HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
        "200:0123456789"),
    ROW("chunks above the limit",
        "POST /small HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n",
        "413 eof"),
    ROW("refused at the head",
        "POST /picky HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" H "\r\n",
        "415 200:root"),
    ROW("refused by path, body skipped",
        "POST /nope HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" H "\r\n",
        "404 200:root"),
    ROW("refused by path, chunks skipped",
        "POST /nope HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
        "404 200:root"),
    ROW("a body too long to skip", "POST /nope HTTP/1.1\r\n" H "Content-Length: 999999\r\n\r\nabc",
        "404 eof"),

    ROW("continue",
        "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        "100 200:abc"),
    ROW("continue in capitals",
        "POST /echo HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc",
        "100 200:abc"),
    ROW("continue, chunked",
        "POST /echo HTTP/1.1\r\n" H
        "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "100 200"),
    ROW("continue without a body", "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n",
        "200"),
    ROW("continue above the limit",
        "POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 11\r\n\r\n",
        "413 eof"),
    ROW("continue refused at the head",
        "POST /picky HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        "415 eof"),
    ROW("continue where nothing is: the body may follow or not",
        "POST /nope HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", "404 eof"),
    ROW("continue to 1.0 is ignored",
        "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        "200:abc eof"),
    ROW("unknown expectation",
        "POST /echo HTTP/1.1\r\n" H
        "Expect: tea\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" H "\r\n",
        "417 200:root"),
    ROW("path before expectation", "POST /nope HTTP/1.1\r\n" H "Expect: tea\r\n\r\n", "404"),

    ROW("no host", "GET / HTTP/1.1\r\n\r\n", "400 eof"),
    ROW("two hosts", "GET / HTTP/1.1\r\n" H H "\r\n", "400 eof"),
    ROW("two hosts on 1.0", "GET / HTTP/1.0\r\n" H H "\r\n", "400 eof"),
    ROW("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "200:root"),
    ROW("host with a port", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200:root"),
    ROW("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 eof"),
    ROW("host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400 eof"),
    ROW("host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 eof"),

    ROW("length and chunked",
        "POST /echo HTTP/1.1\r\n" H
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunked and length",
        "POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("two lengths",
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "400 eof"),
    ROW("a list of lengths", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc",
        "400 eof"),
    ROW("signed length", "POST /echo HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc", "400 eof"),
    ROW("negative length", "POST /echo HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc", "400 eof"),
    ROW("hexadecimal length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc",
        "400 eof"),
    ROW("empty length", "POST /echo HTTP/1.1\r\n" H "Content-Length:\r\n\r\nabc", "400 eof"),
    ROW("huge length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n",
        "400 eof"),
    ROW("length beyond the limit of all",
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 18446744073709551615\r\n\r\n", "413 eof"),
    ROW("other coding", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("coding list",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400 eof"),
    ROW("chunked not last",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("identity", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", "400 eof"),
    ROW("empty coding", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunked twice",
        "POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunked on 1.0", "POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunk size in words",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunk size with 0x",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunk size with a sign",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunk size with a blank",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunk size too large",
        "POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n11111111111111113\r\nabc\r\n",
        "400 eof"),
    ROW("chunk without its end",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
        "400 eof"),
    ROW("chunk with a bare LF",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        "400 eof"),

    ROW("bare LF", "GET / HTTP/1.1\nHost: a\n\n", "400 eof"),
    ROW("bare LF in the head", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "400 eof"),
    ROW("bare CR", "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", "400 eof"),
    ROW("NUL in a value", "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", "400 eof"),
    ROW("control byte in a value",
        "GET / HTTP/1.1\r\n" H "X: a\x01"
        "b\r\n\r\n",
        "400 eof"),
    ROW("folded line", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", "400 eof"),
    ROW("folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 eof"),
    ROW("folded with a tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", "400 eof"),
    ROW("blank before the colon", "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n", "400 eof"),
    ROW("no name", "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", "400 eof"),
    ROW("no colon", "GET / HTTP/1.1\r\n" H "X\r\n\r\n", "400 eof"),
    ROW("name with brackets", "GET / HTTP/1.1\r\n" H "X(y): a\r\n\r\n", "400 eof"),
    ROW("two blanks in the first line", "GET  / HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("a blank after the version", "GET / HTTP/1.1 \r\n" H "\r\n", "400 eof"),
    ROW("a tab in the first line", "GET\t/ HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("a blank in the path", "GET /a b HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("control byte in the path", "GET /\x01 HTTP/1.1\r\n" H "\r\n", "400 eof"),
    ROW("no version", "GET /\r\n\r\n", "400 eof"),
    ROW("version 2.0", "GET / HTTP/2.0\r\n" H "\r\n", "505 eof"),
    ROW("version 1.2", "GET / HTTP/1.2\r\n" H "\r\n", "505 eof"),
    ROW("version 0.9", "GET / HTTP/0.9\r\n" H "\r\n", "505 eof"),
    ROW("version 1.11", "GET / HTTP/1.11\r\n" H "\r\n", "400 eof"),
    ROW("version without digits", "GET / HTTP/x.y\r\n" H "\r\n", "400 eof"),
    ROW("unknown method and version", "FOO / HTTP/3.0\r\n" H "\r\n", "505 eof"),
    ROW("lower-case version", "GET / http/1.1\r\n" H "\r\n", "400 eof"),
    ROW("preface cut", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "400 eof"),
    ROW("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "400 eof"),
    ROW("good, then bad", "GET / HTTP/1.1\r\n" H "\r\nGARBAGE\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
        "200:root 400 eof"),
    ROW("gRPC on HTTP/1",
        "POST /t.S/Echo HTTP/1.1\r\n" H
        "Content-Type: application/grpc\r\nContent-Length: 0\r\n\r\n",
        "415"),
};
/* clang-format on */

static void test_rows(void **state)
{
    (void)state;
    unsigned n_wrong = 0;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        for (int slowly = 0; slowly < 2; slowly++) {
            struct wire wire;
            wire_init(&wire);
            wire_start(&wire);
            (slowly ? wire_send_slowly : wire_send)(&wire, rows[i].send, rows[i].len);
            const char *got = wire_answers(&wire);
            if (strcmp(got, rows[i].want) != 0) {
                n_wrong++;
                print_error("%s (%s): want '%s', got '%s'\n", rows[i].name,
                            slowly ? "slowly" : "whole", rows[i].want, got);
            }
            wire_fini(&wire);
        }
    }
    assert_int_equal(n_wrong, 0);
}

static void send_text(struct wire *wire, const char *text)
{
    wire_send(wire, text, strlen(text));
}

#define WIRE(name)                                                                                 \
    (void)state;                                                                                   \
    struct wire name;                                                                              \
    wire_init(&name);                                                                              \
    wire_start(&name)

static void test_head_limit(void **state)
{
    (void)state;
    for (int over = -1; over <= 1; over++) {
        for (int cut = 0; cut < 2; cut++) {
            WIRE(wire);
            struct buf head;
            buf_init(&head, 1 << 20);
            buf_put_text(&head, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
            while (head.len < wire.conf.header_bytes_max - 4 + (size_t)(over + 1) - 1)
                buf_put_char(&head, 'x');
            buf_put_text(&head, "\r\n\r\n");
            assert_int_equal(head.len, wire.conf.header_bytes_max + (size_t)(over + 1) - 1);
            wire_send(&wire, head.ptr, cut ? 1000 : head.len);
            if (cut)
                wire_send(&wire, head.ptr + 1000, head.len - 1000);
            assert_string_equal(wire_answers(&wire), over > 0 ? "431 eof" : "200:root");
            buf_fini(&head);
            wire_fini(&wire);
        }
    }
}

static void test_endless_head(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 5000 && wire.conn && !wire.is_shut; i++)
        send_text(&wire, "X: 0123456789abcdef\r\n");
    assert_string_equal(wire_answers(&wire), "431 eof");
    wire_fini(&wire);
}

static void test_header_count(void **state)
{
    (void)state;
    for (unsigned n = HEADERS_MAX - 1; n <= HEADERS_MAX + 1; n++) {
        WIRE(wire);
        send_text(&wire, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < n; i++)
            send_text(&wire, "X: y\r\n");
        send_text(&wire, "\r\n");
        assert_string_equal(wire_answers(&wire), n > HEADERS_MAX ? "431 eof" : "200:root");
        wire_fini(&wire);
    }
}

static void test_answers_keep_their_order(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\nGET /p/second HTTP/1.1\r\n" H
                     "\r\nGET /later HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(wire.n_later, 2);
    assert_int_equal(wire.out.len, 0);
    http_respond(wire.later[1], 200, NULL, STR("third"));
    wire_send(&wire, "", 0);
    assert_int_equal(wire.out.len, 0);
    http_respond(wire.later[0], 200, NULL, STR("first"));
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:first 200:second 200:third");
    wire_fini(&wire);
}

static void test_pipeline_limit(void **state)
{
    WIRE(wire);
    for (unsigned i = 0; i < PIPELINE_MAX + 4; i++)
        send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(wire.n_later, PIPELINE_MAX);
    assert_true(wire.is_paused);
    http_respond(wire.later[0], 200, NULL, STR("a"));
    wire_send(&wire, "", 0);
    assert_int_equal(wire.n_later, PIPELINE_MAX + 1);
    assert_true(wire.is_paused);
    for (size_t i = 1; i < wire.n_later; i++) {
        http_respond(wire.later[i], 200, NULL, STR("b"));
        wire_send(&wire, "", 0);
    }
    assert_int_equal(wire.n_later, PIPELINE_MAX + 4);
    assert_false(wire.is_paused);
    wire_fini(&wire);
}

static void test_held_body_is_not_read(void **state)
{
    for (int continues = 0; continues < 2; continues++) {
        WIRE(wire);
        send_text(&wire, continues ? "POST /held HTTP/1.1\r\n" H
                                     "Expect: 100-continue\r\nContent-Length: 6\r\n\r\nabc"
                                   : "POST /held HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nabc");
        assert_int_equal(wire.n_heads, 1);
        assert_true(wire.is_paused);
        send_text(&wire, "def");
        assert_int_equal(wire.unread.len, 3);
        assert_string_equal(wire_answers(&wire), "");
        http_request_release(wire.later[0]);
        assert_int_equal(wire.n_requests, 0); /* never from inside the release */
        wire_send(&wire, "", 0);
        assert_string_equal(wire_answers(&wire), continues ? "100 200:abcdef" : "200:abcdef");
        assert_false(wire.is_paused);
        wire_fini(&wire);
    }
}

/* What comes with the head of a held request is memory that nobody bounds. */
static void test_little_is_read_before_a_body(void **state)
{
    WIRE(wire);
    assert_int_equal(wire.read_most, HEAD_READ_BYTES);
    send_text(&wire, "POST /held HTTP/1.1\r\n" H "Content-");
    assert_int_equal(wire.read_most, HEAD_READ_BYTES);
    send_text(&wire, "Length: 6\r\n\r\nabc");
    http_request_release(wire.later[0]);
    wire_send(&wire, "", 0);
    assert_int_equal(wire.read_most, 65536);
    send_text(&wire, "def");
    assert_string_equal(wire_answers(&wire), "200:abcdef");
    assert_int_equal(wire.read_most, HEAD_READ_BYTES);
    send_text(&wire, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(wire.read_most, HEAD_READ_BYTES);
    wire_fini(&wire);
}

static void test_held_without_a_body(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET /held HTTP/1.1\r\n" H "\r\n");
    assert_string_equal(wire_answers(&wire), "");
    http_request_release(wire.later[0]);
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:root");
    wire_fini(&wire);
}

static void test_held_then_refused(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /held HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nabc");
    http_respond_error(wire.later[0], MG_E_BUSY, STR("full"), 0);
    wire_send(&wire, "defGET / HTTP/1.1\r\n" H "\r\n", 31);
    assert_string_equal(wire_answers(&wire), "503 200:root");
    size_t at;
    assert_true(str_find(buf_str(&wire.out), STR("retry-after: "), &at));
    wire_fini(&wire);
}

static void test_held_too_large_is_refused_at_once(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /small-held HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n");
    assert_string_equal(wire_answers(&wire), "413 eof");
    assert_int_equal(wire.n_gone, 1);
    assert_true(http_request_is_gone(wire.later[0]));
    http_request_release(wire.later[0]); /* still owed, and ends it */
    wire_fini(&wire);
}

static void test_held_and_the_peer_goes(void **state)
{
    for (int releases = 0; releases < 2; releases++) {
        WIRE(wire);
        send_text(&wire, "POST /held HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nabc");
        wire_reset(&wire);
        assert_int_equal(wire.n_gone, 1);
        assert_true(http_request_is_gone(wire.later[0]));
        if (releases)
            http_request_release(wire.later[0]);
        else
            http_respond(wire.later[0], 200, NULL, STR("x"));
        assert_int_equal(wire.n_requests, 0);
        wire_fini(&wire);
    }
}

static void test_handler_and_the_peer_goes(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H "\r\n");
    wire_reset(&wire);
    assert_int_equal(wire.n_gone, 2);
    http_respond(wire.later[1], 200, NULL, STR("x"));
    http_respond_error(wire.later[0], MG_E_BUSY, STR("x"), 1);
    wire_fini(&wire);
}

/* Who has sent its FIN is gone for a request that is still worked on, as with nginx. */
static void test_end_while_handled(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H
                     "\r\nGET / HTTP/1.1\r\n" H "\r\n");
    wire_end(&wire);
    assert_int_equal(wire.n_gone, 2);
    assert_true(http_request_is_gone(wire.later[0]));
    assert_string_equal(wire_answers(&wire), "200:root eof"); /* was answered before */
    http_respond(wire.later[1], 200, NULL, STR("x"));
    http_respond(wire.later[0], 200, NULL, STR("x"));
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:root eof");
    wire_fini(&wire);
}

/* An answer that was begun goes on, whole. */
static void test_end_behind_an_answer_under_way(void **state)
{
    WIRE(wire);
    wire.queued = OUT_HIGH_BYTES;
    send_text(&wire, "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
    wire.is_paused = false; /* the end arrives although nothing is read */
    wire_end(&wire);
    assert_string_equal(wire_answers(&wire), "");
    wire_sent(&wire);
    assert_string_equal(wire_answers(&wire), "200:abc eof");
    wire_fini(&wire);
}

static void test_end_while_requests_wait_their_turn(void **state)
{
    WIRE(wire);
    for (int i = 0; i < PIPELINE_MAX + 3; i++)
        send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(wire.n_requests, PIPELINE_MAX);
    conn_on_end(wire.conn);
    wire_send(&wire, "", 0);
    assert_int_equal(wire.n_gone, PIPELINE_MAX);
    assert_int_equal(wire.n_requests, PIPELINE_MAX);
    assert_null(wire.conn);
    for (int i = 0; i < PIPELINE_MAX; i++)
        http_respond(wire.later[i], 200, NULL, STR("x"));
    wire_fini(&wire);
}

static void test_end_inside_a_request(void **state)
{
    static const char *const cuts[] = {
        "", "GE", "GET / HTTP/1.1\r\n", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab",
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"};
    for (size_t i = 0; i < MG_COUNT(cuts); i++) {
        WIRE(wire);
        send_text(&wire, cuts[i]);
        wire_end(&wire);
        assert_string_equal(wire_answers(&wire), "eof");
        assert_int_equal(wire.n_requests, 0);
        wire_fini(&wire);
    }
}

static void test_end_behind_a_held_body(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /held HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
    wire_end(&wire); /* not seen while nothing is read */
    http_request_release(wire.later[0]);
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:abc eof");
    wire_fini(&wire);
}

static void test_timeouts(void **state)
{
    /* clang-format off */
    static const struct { const char *send; uint64_t before_ms, after_ms; const char *want; } cases[] = {
        { "", 9900, 10100, "eof" },                                               /* nothing at all */
        { "P", 9900, 10100, "eof" },                                              /* might become a preface */
        { "GET / HT", 9900, 10100, "408 eof" },                                   /* slow head */
        { "GET / HTTP/1.1\r\n" H "\r\n", 299000, 301000, "200:root eof" },        /* idle */
        { "GET / HTTP/1.1\r\n" H "\r\nGET", 9900, 10100, "200:root 408 eof" },    /* slow second head */
        { "POST /echo HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc", 29900, 30100, "408 eof" },
        { "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 29900, 30100, "408 eof" },
        { "POST /nope HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc", 29900, 30100, "404 eof" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        WIRE(wire);
        send_text(&wire, cases[i].send);
        wire_advance(&wire, cases[i].before_ms);
        assert_null(strstr(wire_answers(&wire), "eof"));
        wire_advance(&wire, cases[i].after_ms - cases[i].before_ms);
        assert_string_equal(wire_answers(&wire), cases[i].want);
        wire_advance(&wire, 6000); /* lingering ends too */
        assert_null(wire.conn);
        wire_fini(&wire);
    }
}

static void test_held_body_has_no_timeout(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /held HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
    wire_advance(&wire, 60000);
    assert_string_equal(wire_answers(&wire), "");
    http_request_release(wire.later[0]);
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:abc");
    wire_fini(&wire);
}

static void test_answer_that_is_not_taken(void **state)
{
    WIRE(wire);
    wire.queued = OUT_HIGH_BYTES;
    send_text(&wire, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(wire.out.len, 0);
    assert_true(wire.is_paused);
    wire_advance(&wire, 1000);
    wire_advance(&wire, 29000);
    assert_non_null(wire.conn);
    wire_advance(&wire, 2000);
    assert_null(wire.conn);
    wire_fini(&wire);
}

static void test_output_waits_for_room(void **state)
{
    WIRE(wire);
    wire.queued = OUT_HIGH_BYTES;
    send_text(&wire, "GET / HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(wire.out.len, 0);
    wire_sent(&wire);
    assert_string_equal(wire_answers(&wire), "200:root");
    assert_false(wire.is_paused);
    wire_fini(&wire);
}

static void test_drain(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\n");
    conn_drain(wire.conn);
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "");
    http_respond(wire.later[0], 200, NULL, STR("x"));
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:x eof");
    size_t at;
    assert_true(str_find(buf_str(&wire.out), STR("Connection: close\r\n"), &at));
    wire_fini(&wire);
}

static void test_drain_idle(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET / HTTP/1.1\r\n" H "\r\n");
    conn_drain(wire.conn);
    wire_send(&wire, "", 0);
    assert_string_equal(wire_answers(&wire), "200:root eof");
    wire_fini(&wire);
}

static void test_head_request(void **state)
{
    WIRE(wire);
    send_text(&wire, "HEAD / HTTP/1.1\r\n" H "\r\n");
    struct str want =
        STR("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nvary: Accept-Encoding\r\n"
            "Content-Length: 4\r\n\r\n");
    assert_int_equal(wire.out.len, want.len);
    assert_memory_equal(wire.out.ptr, want.ptr, want.len);
    wire_fini(&wire);
}

static void test_hint_costs_no_memory(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1048576\r\n\r\nabc");
    struct http_request *request = LIST_FIRST(&wire.conn->requests, struct http_request, link);
    assert_int_equal(request->body.len, 3);
    assert_true(request->body.room <= 4096);
    wire_fini(&wire);
}

static void test_framing_flood(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;");
    for (int i = 0; i < 5000 && wire.conn && !wire.is_shut; i++)
        send_text(&wire, "aaaaaaaaaaaaaaaa");
    assert_string_equal(wire_answers(&wire), "400 eof");
    wire_fini(&wire);
}

static void test_tiny_chunks_are_fine(void **state)
{
    WIRE(wire);
    send_text(&wire, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20000; i++)
        send_text(&wire, "1\r\nx\r\n");
    send_text(&wire, "0\r\n\r\n");
    assert_int_equal(strncmp(wire_answers(&wire), "200:xxxx", 8), 0);
    wire_fini(&wire);
}

static void test_header_injection(void **state)
{
    WIRE(wire);
    send_text(&wire, "GET /later HTTP/1.1\r\n" H "\r\n");
    struct http_header headers[] = {{STR("location"), STR("x\r\nSet-Cookie: y")},
                                    {STR("etag"), STR("1")}};
    http_respond_with(wire.later[0], 302, NULL, STR(""), headers, 2);
    wire_send(&wire, "", 0);
    size_t at;
    assert_false(str_find(buf_str(&wire.out), STR("Set-Cookie"), &at));
    assert_true(str_find(buf_str(&wire.out), STR("etag: 1\r\n"), &at));
    wire_fini(&wire);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_endless_head),
        cmocka_unit_test(test_header_count),
        cmocka_unit_test(test_answers_keep_their_order),
        cmocka_unit_test(test_pipeline_limit),
        cmocka_unit_test(test_held_body_is_not_read),
        cmocka_unit_test(test_little_is_read_before_a_body),
        cmocka_unit_test(test_held_without_a_body),
        cmocka_unit_test(test_held_then_refused),
        cmocka_unit_test(test_held_too_large_is_refused_at_once),
        cmocka_unit_test(test_held_and_the_peer_goes),
        cmocka_unit_test(test_handler_and_the_peer_goes),
        cmocka_unit_test(test_end_while_handled),
        cmocka_unit_test(test_end_behind_an_answer_under_way),
        cmocka_unit_test(test_end_while_requests_wait_their_turn),
        cmocka_unit_test(test_end_inside_a_request),
        cmocka_unit_test(test_end_behind_a_held_body),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_held_body_has_no_timeout),
        cmocka_unit_test(test_answer_that_is_not_taken),
        cmocka_unit_test(test_output_waits_for_room),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_idle),
        cmocka_unit_test(test_head_request),
        cmocka_unit_test(test_hint_costs_no_memory),
        cmocka_unit_test(test_framing_flood),
        cmocka_unit_test(test_tiny_chunks_are_fine),
        cmocka_unit_test(test_header_injection),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
