/* Which protocol is it? The preface cut at every byte, and texts that leave it at every byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/bytes.h"
#include "wire.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define LEN (sizeof preface - 1)

static void test_preface_cut_anywhere(void **state)
{
    (void)state;
    static const char settings[] = "\0\0\0\4\0\0\0\0\0";
    for (size_t cut = 1; cut < LEN; cut++) {
        struct wire wire;
        wire_init(&wire);
        wire_start(&wire);
        wire_send(&wire, preface, cut);
        assert_int_equal(wire.conn->phase, CONN_SNIFF);
        assert_int_equal(wire.out.len, 0);
        wire_send(&wire, preface + cut, LEN - cut);
        wire_send(&wire, settings, sizeof settings - 1);
        assert_int_equal(wire.conn->phase, CONN_H2);
        assert_true(wire.out.len > 9); /* our SETTINGS */
        assert_false(wire.is_shut);
        wire_fini(&wire);
    }
}

static void test_leaving_the_preface_anywhere(void **state)
{
    (void)state;
    for (size_t keep = 0; keep < LEN; keep++) {
        for (int slowly = 0; slowly < 2; slowly++) {
            char text[LEN + 16];
            memcpy(text, preface, keep);
            memcpy(text + keep, "!\r\n\r\n\r\n", 7); /* so that every one comes to an end */
            struct wire wire;
            wire_init(&wire);
            wire_start(&wire);
            (slowly ? wire_send_slowly : wire_send)(&wire, text, keep + 7);
            assert_string_equal(wire_answers(&wire), "400 eof");
            wire_fini(&wire);
        }
    }
}

static void test_methods_that_begin_like_it(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *send, *want; } cases[] = {
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "200:x" },
        { "PUT / HTTP/1.1\r\nHost: a\r\n\r\n", "405" },
        { "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "405" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        wire_init(&wire);
        wire_start(&wire);
        wire_send_slowly(&wire, cases[i].send, strlen(cases[i].send));
        assert_string_equal(wire_answers(&wire), cases[i].want);
        wire_fini(&wire);
    }
}

/* The payload of the GOAWAY in what was written: last stream, code, words. false: none. */
static bool find_goaway(const struct wire *wire, struct str *payload)
{
    for (size_t at = 0; at + 9 <= wire->out.len;) {
        const uint8_t *frame = (const uint8_t *)wire->out.ptr + at;
        size_t len = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        *payload = str_n(frame + 9, len);
        if (frame[3] == 7)
            return true;
        at += 9 + len;
    }
    return false;
}

static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
static const char settings[] = "\0\0\0\4\0\0\0\0\0";

/* Over TLS the bytes decide as ever, but must not contradict what ALPN agreed on. */
static void test_alpn(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *alpn; bool speaks_h2, is_fine; } cases[] = {
        { NULL, false, true }, { NULL, true, true },
        { "h2", true, true }, { "http/1.1", false, true },
        { "h2", false, false }, { "http/1.1", true, false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases) * 2; i++) {
        void (*send)(struct wire *, const void *, size_t) = i % 2 ? wire_send_slowly : wire_send;
        size_t k = i / 2;
        struct wire wire;
        struct str goaway;
        wire_init(&wire);
        wire.alpn = cases[k].alpn;
        wire_start(&wire);
        if (cases[k].speaks_h2) {
            send(&wire, preface, LEN);
            send(&wire, settings, sizeof settings - 1);
            assert_int_equal(find_goaway(&wire, &goaway), !cases[k].is_fine);
            if (!cases[k].is_fine) {
                size_t at;
                assert_int_equal(get_be32(goaway.ptr + 4), 0xd); /* HTTP_1_1_REQUIRED */
                assert_true(str_find(goaway, STR("this is HTTP/2"), &at));
            }
        } else {
            send(&wire, get, sizeof get - 1);
            assert_string_equal(wire_answers(&wire), cases[k].is_fine ? "200:root" : "400 eof");
            size_t at;
            assert_int_equal(str_find(buf_str(&wire.out), STR("TLS agreed on h2"), &at),
                             !cases[k].is_fine);
        }
        assert_int_equal(wire.is_shut, !cases[k].is_fine);
        assert_int_equal(wire.n_requests, cases[k].is_fine && !cases[k].speaks_h2);
        wire_fini(&wire);
    }
}

static void test_lingering_reads_and_forgets(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    wire_send(&wire, "BAD\r\n\r\n", 7);
    assert_true(wire.is_shut);
    assert_false(wire.is_paused);
    size_t len = wire.out.len;
    wire_send(&wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    assert_int_equal(wire.out.len, len);
    wire_advance(&wire, 4900);
    assert_non_null(wire.conn);
    wire_advance(&wire, 200);
    assert_null(wire.conn);
    wire_fini(&wire);
}

static void test_the_peer_ends_the_lingering(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    wire_send(&wire, "BAD\r\n\r\n", 7);
    assert_non_null(wire.conn);
    wire_end(&wire);
    assert_null(wire.conn);
    wire_fini(&wire);
}

static void test_end_before_the_first_byte(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    wire_start(&wire);
    wire_end(&wire);
    assert_null(wire.conn);
    assert_int_equal(wire.out.len, 0);
    wire_fini(&wire);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preface_cut_anywhere),
        cmocka_unit_test(test_leaving_the_preface_anywhere),
        cmocka_unit_test(test_methods_that_begin_like_it),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_lingering_reads_and_forgets),
        cmocka_unit_test(test_the_peer_ends_the_lingering),
        cmocka_unit_test(test_end_before_the_first_byte),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
