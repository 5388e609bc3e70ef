/* wire_test.c - the field walker, the shape checker, and writing with lengths filled in later. */
#include "model_help.h"
#include "model/otlp_schema.h"

static void wire_next_takes_fields_apart(void **state)
{
    static const struct {
        const char *in;
        int want;
        uint32_t number;
        enum wire_type type;
        uint64_t value;  /* or the content's length */
    } rows[] = {
        { "", 0, 0, 0, 0 },
        { "0800", 1, 1, WIRE_VARINT, 0 },
        { "087f", 1, 1, WIRE_VARINT, 127 },
        { "088001", 1, 1, WIRE_VARINT, 128 },
        { "08ffffffffffffffffff01", 1, 1, WIRE_VARINT, UINT64_MAX },
        { "088000", 1, 1, WIRE_VARINT, 0 }, /* longer than needed, and legal */
        { "090100000000000080", 1, 1, WIRE_FIXED64, UINT64_C(0x8000000000000001) },
        { "0d01000080", 1, 1, WIRE_FIXED32, 0x80000001 },
        { "0a00", 1, 1, WIRE_BYTES, 0 },
        { "0a026162", 1, 1, WIRE_BYTES, 2 },
        { "850101000000", 1, 16, WIRE_FIXED32, 1 },
        { "f8ffffff0f05", 1, 536870911, WIRE_VARINT, 5 }, /* the largest number */
        { "880001", 1, 1, WIRE_VARINT, 1 },                /* a tag longer than needed */
        { "f8ffffff1f05", -1, 0, 0, 0 },                    /* above it */
        { "0000", -1, 0, 0, 0 },
        { "0500000000", -1, 0, 0, 0 },                      /* number 0, fixed32 */
        { "0b0c", -1, 0, 0, 0 },                            /* groups */
        { "0c", -1, 0, 0, 0 },
        { "0e01", -1, 0, 0, 0 },                            /* wire types 6, 7 */
        { "0f01", -1, 0, 0, 0 },
        { "08", -1, 0, 0, 0 },
        { "0880", -1, 0, 0, 0 },
        { "08ffffffffffffffffff02", -1, 0, 0, 0 },          /* more than 64 bits */
        { "0880808080808080808080 01", -1, 0, 0, 0 },       /* eleven bytes */
        { "09 01020304050607", -1, 0, 0, 0 },
        { "0d 010203", -1, 0, 0, 0 },
        { "0a", -1, 0, 0, 0 },
        { "0a0261", -1, 0, 0, 0 },
        { "0affffffffffffffffff01", -1, 0, 0, 0 },
        { "80", -1, 0, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str in = hex(rows[i].in);
        const uint8_t *at = wire_begin(in);
        struct wire_field field = { .number = 0 };
        int got = wire_next(&at, wire_end(in), &field);
        if (got != rows[i].want)
            fail_msg("%s: %d", rows[i].in, got);
        assert_ptr_equal(at, got == 1 ? wire_end(in) : wire_begin(in));
        if (got != 1)
            continue;
        assert_int_equal(field.number, rows[i].number);
        assert_int_equal(field.type, rows[i].type);
        assert_true(str_eq(field.whole, in));
        assert_true((field.type == WIRE_BYTES ? field.bytes.len : field.value) == rows[i].value);
    }
}

static void wire_check_knows_types_and_depth(void **state)
{
    static const struct {
        const char *name, *in;
        const struct wire_shape *shape;
        unsigned depth;
        enum wire_verdict want;
    } rows[] = {
        { "empty", "", &otlp_span, 1, WIRE_FINE },
        { "empty, no depth", "", &otlp_span, 0, WIRE_TOO_DEEP },
        { "unknown field", "a00607", &otlp_span, 1, WIRE_FINE },
        { "unknown bytes are not looked into", "a2060107", &otlp_span, 1, WIRE_FINE },
        { "reserved status field, any type", "0a0107 0807", &otlp_status, 1, WIRE_FINE },
        { "varint for bytes", "0801", &otlp_span, 1, WIRE_MALFORMED },
        { "fixed32 for varint", "1d00000000", &otlp_status, 1, WIRE_MALFORMED },
        { "varint for fixed32", "800101", &otlp_span, 1, WIRE_MALFORMED },
        { "varint for fixed64", "3801", &otlp_span, 1, WIRE_MALFORMED },
        { "cut", "0a02 01", &otlp_span, 1, WIRE_MALFORMED },
        { "message in message", "7a00", &otlp_span, 2, WIRE_FINE },
        { "message in message, too deep", "7a00", &otlp_span, 1, WIRE_TOO_DEEP },
        { "message in message, malformed", "7a0108", &otlp_span, 2, WIRE_MALFORMED },
        { "back out of a message", "7a021802 0801", &otlp_span, 2, WIRE_MALFORMED },
        { "back out of two", "4a06 0a0161 1201 22", &otlp_span, 3, WIRE_MALFORMED },
        { "value", "4a07 0a0161 12021801", &otlp_span, 3, WIRE_FINE },
        { "value, too deep", "4a07 0a0161 12021801", &otlp_span, 2, WIRE_TOO_DEEP },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        enum wire_verdict got = wire_check(hex(rows[i].in), rows[i].shape, rows[i].depth);
        if (got != rows[i].want)
            fail_msg("%s: %d", rows[i].name, got);
    }
}

static void wire_check_takes_any_depth_without_recursion(void **state)
{
    struct str key_value = nested_attr(61, 0); /* 2 + 2 * 61 messages */

    (void)state;
    assert_int_equal(wire_check(key_value, &otlp_key_value, 124), WIRE_FINE);
    assert_int_equal(wire_check(key_value, &otlp_key_value, 123), WIRE_TOO_DEEP);
    assert_int_equal(wire_check(nested_attr(63, 0), &otlp_key_value, WIRE_DEPTH_MAX), WIRE_FINE);
    assert_int_equal(wire_check(nested_attr(64, 0), &otlp_key_value, WIRE_DEPTH_MAX),
                     WIRE_TOO_DEEP);
    assert_int_equal(wire_check(nested_attr(3000, 0), &otlp_key_value, WIRE_DEPTH_MAX),
                     WIRE_TOO_DEEP);
}

static void lengths_are_filled_in(void **state)
{
    static const size_t lens[] = { 0, 1, 127, 128, 16383, 16384, 2097151, 2097152 };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(lens); i++) {
        struct buf out, want, content;
        buf_init(&out, SIZE_MAX);
        buf_init(&want, SIZE_MAX);
        buf_init(&content, SIZE_MAX);
        for (size_t k = 0; k < lens[i]; k++)
            buf_put_char(&content, (char)(k * 7));
        wire_put_bytes(&want, 300, buf_str(&content));
        struct str inner = field_bytes(2, buf_str(&want));
        buf_clear(&want);
        wire_put_bytes(&want, 1, inner);

        size_t a = wire_open(&out, 1), b = wire_open(&out, 2), c = wire_open(&out, 300);
        buf_put_str(&out, buf_str(&content));
        wire_close(&out, c);
        wire_close(&out, b);
        wire_close(&out, a);
        assert_true(str_eq(buf_str(&out), buf_str(&want)));
        buf_fini(&out);
        buf_fini(&want);
        buf_fini(&content);
    }
}

static void a_full_buffer_fails_wherever_it_ends(void **state)
{
    char filler[200] = { 0 };

    (void)state;
    for (size_t limit = 0; limit < 210; limit++) {
        struct buf out;
        buf_init(&out, limit);
        size_t outer = wire_open(&out, 1), inner = wire_open(&out, 2);
        buf_put(&out, filler, sizeof filler);
        wire_close(&out, inner);
        wire_close(&out, outer);
        /* 2 tags, 2 lengths of 2 bytes, 200 bytes */
        assert_int_equal(buf_err(&out), limit < 206 ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&out);
    }
}

static void scalars_are_written(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    wire_put_varint(&out, 3, UINT64_MAX);
    wire_put_fixed32(&out, 16, 0x01020304);
    wire_put_fixed64(&out, 1, 5);
    wire_put_bytes(&out, 536870911, STR("x"));
    assert_true(
        str_eq(buf_str(&out),
               hex("18ffffffffffffffffff01 85010403 0201 090500000000000000 faffffff0f0178")));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_next_takes_fields_apart),
        cmocka_unit_test(wire_check_knows_types_and_depth),
        cmocka_unit_test(wire_check_takes_any_depth_without_recursion),
        cmocka_unit_test(lengths_are_filled_in),
        cmocka_unit_test(a_full_buffer_fails_wherever_it_ends),
        cmocka_unit_test(scalars_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
