#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "base/str.h"
#include "codec/hash.h"

/* The published values of XXH3 64: what is stored must never change with the library. */
static void known_values(void **state)
{
    (void)state;
    assert_true(hash64("", 0, 0) == 0x2d06800538d394c2u);
    assert_true(hash64("a", 1, 0) == 0xe6c632b61e964e1fu);
    assert_true(hash64("abc", 3, 0) == 0x78af5f94892f3950u);
    assert_true(hash64(NULL, 0, 0) == hash64("", 0, 0));
}

static void seed_and_every_byte_count(void **state)
{
    (void)state;
    char bytes[300] = {0};
    assert_true(hash64("abc", 3, 0) != hash64("abc", 3, 1));
    for (size_t len = 1; len <= sizeof bytes; len++) {
        uint64_t before = hash64(bytes, len, 7);
        bytes[len - 1] ^= 1;
        assert_true(hash64(bytes, len, 7) != before);
        assert_true(hash64(bytes, len - 1, 7) != before);
        bytes[len - 1] ^= 1;
    }
}

static void pieces_equal_the_whole(void **state)
{
    (void)state;
    uint8_t bytes[2000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 256);
    struct hash64_stream *stream = hash64_new();
    assert_true(hash64_end(stream) == hash64("", 0, 0));
    for (size_t piece = 1; piece < 700; piece += 37) {
        hash64_begin(stream, piece);
        for (size_t at = 0; at < sizeof bytes; at += piece)
            hash64_add(stream, bytes + at, at + piece > sizeof bytes ? sizeof bytes - at : piece);
        hash64_add(stream, NULL, 0);
        assert_true(hash64_end(stream) == hash64(bytes, sizeof bytes, piece));
        assert_true(hash64_end(stream) == hash64_end(stream));
    }
    hash64_free(&stream);
    assert_null(stream);
    hash64_free(&stream);
}

/* FIPS 180-2, appendix B, and the empty message. */
static void sha256_of_known_messages(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *message, *want; } cases[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint8_t got[SHA256_BYTES], want[SHA256_BYTES];
        sha256(cases[i].message, strlen(cases[i].message), got);
        assert_true(hex_decode(str_of(cases[i].want), want, sizeof want));
        assert_memory_equal(got, want, sizeof want);
        assert_true(sha256_eq(got, want));
    }
    uint8_t empty[SHA256_BYTES], none[SHA256_BYTES];
    sha256("", 0, empty);
    sha256(NULL, 0, none);
    assert_memory_equal(empty, none, sizeof none);
}

static void sha256_eq_looks_at_every_bit(void **state)
{
    (void)state;
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
    sha256("a", 1, a);
    for (size_t bit = 0; bit < 8 * sizeof a; bit++) {
        memcpy(b, a, sizeof b);
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(sha256_eq(a, b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(seed_and_every_byte_count),
        cmocka_unit_test(pieces_equal_the_whole),
        cmocka_unit_test(sha256_of_known_messages),
        cmocka_unit_test(sha256_eq_looks_at_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
