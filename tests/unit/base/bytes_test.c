#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/bytes.h"

static void wire_integers(void **state)
{
    static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 0xf8 };
    uint8_t out[8];
    (void)state;
    assert_int_equal(get_le16(in), 0x0201);
    assert_int_equal(get_be16(in), 0x0102);
    assert_int_equal(get_le32(in), 0x04030201);
    assert_int_equal(get_be32(in), 0x01020304);
    assert_int_equal(get_le64(in), 0xf807060504030201);
    assert_int_equal(get_be64(in), 0x01020304050607f8);
    assert_int_equal(get_be32(in + 1), 0x02030405); /* at an odd address */
    put_be64(out, 0x01020304050607f8);
    assert_memory_equal(out, in, 8);
    put_le64(out, 0xf807060504030201);
    assert_memory_equal(out, in, 8);
    put_be32(out, 0x01020304);
    put_be16(out + 4, 0x0506);
    assert_memory_equal(out, in, 6);
    put_le32(out, 0x04030201);
    put_le16(out + 4, 0x0605);
    assert_memory_equal(out, in, 6);
}

static void varints_round(void **state)
{
    static const struct { uint64_t value; size_t len; } cases[] = {
        { 0, 1 },           { 1, 1 },           { 127, 1 },        { 128, 2 },
        { 16383, 2 },       { 16384, 3 },       { UINT32_MAX, 5 }, { (1ull << 63) - 1, 9 },
        { 1ull << 63, 10 }, { UINT64_MAX, 10 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[10];
        uint64_t value = 42;
        const uint8_t *end = put_varint(bytes, cases[i].value);
        assert_int_equal(end - bytes, cases[i].len);
        assert_int_equal(varint_len(cases[i].value), cases[i].len);
        for (const uint8_t *cut = bytes; cut < end; cut++) { /* cut at every byte */
            assert_null(get_varint(bytes, cut, &value));
            assert_int_equal(value, 42);
        }
        assert_ptr_equal(get_varint(bytes, end, &value), end);
        assert_int_equal(value, cases[i].value);
    }
}

static void varints_beyond_64_bits_are_refused(void **state)
{
    uint64_t value = 42;
    static const uint8_t bit_65[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
    static const uint8_t byte_11[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                       0x80, 0x80, 0x80, 0x80, 0x00 };
    static const uint8_t padded[] = { 0x81, 0x80, 0x00 };
    (void)state;
    assert_null(get_varint(bit_65, bit_65 + sizeof bit_65, &value));
    assert_null(get_varint(byte_11, byte_11 + sizeof byte_11, &value));
    assert_int_equal(value, 42);
    assert_ptr_equal(get_varint(padded, padded + 3, &value), padded + 3); /* protobuf allows it */
    assert_int_equal(value, 1);
}

static void zigzags(void **state)
{
    static const struct { int64_t value; uint64_t wire; } cases[] = {
        { 0, 0 }, { -1, 1 }, { 1, 2 }, { -2, 3 },
        { INT64_MAX, UINT64_MAX - 1 }, { INT64_MIN, UINT64_MAX },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(zigzag(cases[i].value), cases[i].wire);
        assert_int_equal(unzigzag(cases[i].wire), cases[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_integers),
        cmocka_unit_test(varints_round),
        cmocka_unit_test(varints_beyond_64_bits_are_refused),
        cmocka_unit_test(zigzags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
