#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/random.h"
#include "codec/json.h"
#include "codec/json_write.h"

#define assert_str(s, text) assert_true(str_eq((s), str_of(text)))
#define BAD                 "\xef\xbf\xbd"

static void every_kind_compact(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 1000);
    json_writer_init(&w, &out, 0);
    json_object(&w);
    json_key_text(&w, "s");
    json_put_str(&w, STR("x"));
    json_key_text(&w, "a");
    json_array(&w);
    json_put_u64(&w, UINT64_MAX);
    json_put_i64(&w, INT64_MIN);
    json_put_u64_text(&w, 7);
    json_put_i64_text(&w, -7);
    json_put_bool(&w, true);
    json_put_bool(&w, false);
    json_put_null(&w);
    json_put_hex(&w, "\x01\xff", 2);
    json_put_base64(&w, "f", 1);
    json_put_raw(&w, STR("{\"r\":1}"));
    json_array_end(&w);
    json_key_text(&w, "o");
    json_object(&w);
    json_object_end(&w);
    json_key_text(&w, "e");
    json_array(&w);
    json_array_end(&w);
    json_key_text(&w, "d");
    json_put_double(&w, 0.5);
    json_object_end(&w);
    assert_int_equal(w.depth, 0);
    assert_int_equal(buf_err(&out), MG_OK);
    assert_str(buf_str(&out),
               "{\"s\":\"x\",\"a\":[18446744073709551615,-9223372036854775808,\"7\",\"-7\","
               "true,false,null,\"01ff\",\"Zg==\",{\"r\":1}],\"o\":{},\"e\":[],\"d\":0.5}");
    buf_fini(&out);
}

static void indented(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 1000);
    json_writer_init(&w, &out, 2);
    json_object(&w);
    json_key_text(&w, "a");
    json_array(&w);
    json_put_u64(&w, 1);
    json_object(&w);
    json_object_end(&w);
    json_array_end(&w);
    json_key_text(&w, "b");
    json_put_null(&w);
    json_object_end(&w);
    assert_str(buf_str(&out), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": null\n}");
    buf_fini(&out);
}

static const struct {
    const char *in, *out;
} strings[] = {
    {"", "\"\""},
    {"plain / text \x7f", "\"plain / text \x7f\""},
    {"\"\\", "\"\\\"\\\\\""},
    {"\b\t\n\f\r", "\"\\b\\t\\n\\f\\r\""},
    {"\x01\x1f", "\"\\u0001\\u001f\""},
    {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
    {"a\xff\"b", "\"a" BAD "\\\"b\""},
    {"\xed\xa0\x80", "\"" BAD BAD BAD "\""},
    {"\xe2\x82", "\"" BAD "\""},
    {"\xe2\x82\n", "\"" BAD "\\n\""},
};

static void escaping(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    for (size_t i = 0; i < MG_COUNT(strings); i++) {
        buf_clear(&out);
        json_escape(&out, str_of(strings[i].in));
        assert_str(buf_str(&out), strings[i].out);
    }
    buf_clear(&out);
    json_escape(&out, str_n("a\0b", 3));
    assert_str(buf_str(&out), "\"a\\u0000b\"");
    buf_clear(&out);
    json_escape(&out, (struct str){0});
    assert_str(buf_str(&out), "\"\"");
    buf_fini(&out);
}

/* By the rule alone, a byte at a time; what is no ASCII is no UTF-8 either here. */
static void expect_byte(struct buf *out, uint8_t byte)
{
    static const char letters[] = "btn\0fr"; /* of 8, 9, … */

    if (byte >= 0x80)
        buf_put_text(out, BAD);
    else if (byte == '"' || byte == '\\')
        buf_printf(out, "\\%c", byte);
    else if (byte >= 8 && byte <= 13 && letters[byte - 8])
        buf_printf(out, "\\%c", letters[byte - 8]);
    else
        buf_printf(out, byte < 0x20 ? "\\u%04x" : "%c", byte);
}

/* What one byte is must not change what the byte beside it is. */
static void every_byte_at_every_place(void **state)
{
    (void)state;
    enum { LEN = 25, BYTES = 256 };
    static const uint8_t others[] = {0, 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0xff};
    struct buf out, want;
    char text[LEN];
    buf_init(&out, 1000);
    buf_init(&want, 1000);
    for (size_t i = 0; i < (LEN - 1) * BYTES * MG_COUNT(others) * 2; i++) {
        size_t at = i / 2 / MG_COUNT(others) / BYTES, is_behind = i % 2;
        memset(text, 'a', LEN);
        text[at + is_behind] = (char)(i / 2 / MG_COUNT(others) % BYTES);
        text[at + !is_behind] = (char)others[i / 2 % MG_COUNT(others)];
        buf_clear(&out);
        buf_clear(&want);
        json_escape(&out, str_n(text, LEN));
        buf_put_char(&want, '"');
        for (size_t k = 0; k < LEN; k++)
            expect_byte(&want, (uint8_t)text[k]);
        buf_put_char(&want, '"');
        if (!str_eq(buf_str(&out), buf_str(&want)))
            fail_msg("%zu: %.*s", at, STR_ARG(buf_str(&out)));
    }
    buf_fini(&out);
    buf_fini(&want);
}

static void characters_at_every_place(void **state)
{
    (void)state;
    static const struct str characters[] = {STR_INIT("\xc3\xa9"), STR_INIT("\xe2\x82\xac"), STR_INIT("\xf0\x9f\x98\x80")};
    struct buf out, want;
    buf_init(&out, 1000);
    buf_init(&want, 1000);
    for (size_t i = 0; i < MG_COUNT(characters); i++)
        for (size_t before = 0; before < 20; before++)
            for (size_t n = 0; n <= characters[i].len; n++) { /* whole, and cut by the end */
                buf_clear(&out);
                buf_clear(&want);
                buf_printf(&want, "\"%.*s%.*s", (int)before, "aaaaaaaaaaaaaaaaaaaa", (int)n, characters[i].ptr);
                json_escape(&out, str_n(want.ptr + 1, want.len - 1));
                want.len = 1 + before;
                if (n > 0)
                    buf_put_str(&want, n == characters[i].len ? characters[i] : STR(BAD));
                buf_put_char(&want, '"');
                if (!str_eq(buf_str(&out), buf_str(&want)))
                    fail_msg("%zu, %zu bytes at %zu: %.*s", i, n, before, STR_ARG(buf_str(&out)));
            }
    buf_fini(&out);
    buf_fini(&want);
}

static const struct {
    double value;
    const char *text;
} doubles[] = {
    {0, "0"},
    {-0.0, "-0"},
    {1, "1"},
    {-3, "-3"},
    {0.1, "0.1"},
    {0.3, "0.3"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1e21, "1e+21"},
    {1e-7, "1e-07"},
    {123456789012, "123456789012"},
    {999999999999999, "999999999999999"},
    {1e15, "1e+15"},
    {9007199254740993.0, "9007199254740992"},
    {5e-324, "5e-324"},
    {DBL_MIN, "2.2250738585072014e-308"},
    {DBL_MAX, "1.7976931348623157e+308"},
    {1.0 / 3, "0.3333333333333333"},
    {NAN, "\"NaN\""},
    {INFINITY, "\"Infinity\""},
    {-INFINITY, "\"-Infinity\""},
};

static void shortest_doubles(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 100);
    for (size_t i = 0; i < MG_COUNT(doubles); i++) {
        buf_clear(&out);
        json_writer_init(&w, &out, 0);
        json_put_double(&w, doubles[i].value);
        if (!str_eq(buf_str(&out), str_of(doubles[i].text)))
            fail_msg("%.17g: %.*s", doubles[i].value, STR_ARG(buf_str(&out)));
    }
    buf_fini(&out);
}

static void any_double_reads_back(void **state)
{
    (void)state;
    struct random random;
    struct buf out;
    struct json_writer w;
    random_init(&random, 5);
    buf_init(&out, 100);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_u64(&random);
        double value;
        memcpy(&value, &bits, 8);
        if (!isfinite(value))
            continue;
        buf_clear(&out);
        json_writer_init(&w, &out, 0);
        json_put_double(&w, value);
        buf_put_char(&out, '\0');
        assert_true(strtod(out.ptr, NULL) == value);
    }
    buf_fini(&out);
}

/* jansson exports functions with two of the writer's names; both must keep working in one program.
 */
static void writer_and_tree_in_one_program(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    struct json *root = NULL;
    buf_init(&out, 1000);
    json_writer_init(&w, &out, 0);
    json_array(&w);
    json_object(&w);
    json_object_end(&w);
    json_array_end(&w);
    assert_int_equal(json_parse(&root, buf_str(&out), NULL), MG_OK);
    assert_int_equal(json_count(root), 1);
    assert_int_equal(json_kind(json_at(root, 0)), JSON_OBJECT);
    json_free(&root);
    buf_fini(&out);
}

static void deepest_level_and_limit_of_the_buf(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    for (size_t limit = 127; limit <= 129; limit++) {
        buf_init(&out, limit);
        json_writer_init(&w, &out, 0);
        for (int i = 0; i < 64; i++)
            json_array(&w);
        for (int i = 0; i < 64; i++)
            json_array_end(&w);
        assert_int_equal(buf_err(&out), limit < 128 ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&out);
    }
    buf_init(&out, 10);
    json_writer_init(&w, &out, 0);
    json_put_base64(&w, "123456789", 9);
    assert_int_equal(buf_err(&out), MG_E_TOO_BIG);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_compact),
        cmocka_unit_test(indented),
        cmocka_unit_test(escaping),
        cmocka_unit_test(every_byte_at_every_place),
        cmocka_unit_test(characters_at_every_place),
        cmocka_unit_test(shortest_doubles),
        cmocka_unit_test(any_double_reads_back),
        cmocka_unit_test(writer_and_tree_in_one_program),
        cmocka_unit_test(deepest_level_and_limit_of_the_buf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
