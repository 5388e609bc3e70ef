#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "codec/base64.h"

#define assert_str(s, text) assert_true(str_eq((s), str_of(text)))

/* RFC 4648 10. */
static const struct {
    const char *bytes, *padded, *bare;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static void vectors_both_ways(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100);
    for (size_t i = 0; i < MG_COUNT(vectors); i++) {
        buf_clear(&out);
        base64_encode(&out, vectors[i].bytes, strlen(vectors[i].bytes), true);
        assert_str(buf_str(&out), vectors[i].padded);
        buf_clear(&out);
        base64_encode(&out, vectors[i].bytes, strlen(vectors[i].bytes), false);
        assert_str(buf_str(&out), vectors[i].bare);
        buf_clear(&out);
        assert_int_equal(base64_decode(str_of(vectors[i].padded), &out), MG_OK);
        assert_str(buf_str(&out), vectors[i].bytes);
        buf_clear(&out);
        assert_int_equal(base64_decode(str_of(vectors[i].bare), &out), MG_OK);
        assert_str(buf_str(&out), vectors[i].bytes);
    }
    buf_fini(&out);
}

static void both_alphabets_and_appending(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100);
    assert_int_equal(base64_decode(STR("+/+/"), &out), MG_OK);
    assert_int_equal(base64_decode(STR("-_-_"), &out), MG_OK);
    assert_str(buf_str(&out), "\xfb\xff\xbf\xfb\xff\xbf");
    buf_clear(&out);
    base64_encode(&out, "\xfb\xff\xbf", 3, true);
    base64_encode(&out, "", 0, true);
    assert_str(buf_str(&out), "+/+/");
    buf_fini(&out);
}

static void refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "A",
        "AAAAA",
        "=",
        "==",
        "====",
        "A===",
        "AA=",
        "AAA==",
        "AAAA=",
        "AAAA==",
        "AA==AA==",
        "=AAA",
        "AA=A",
        "A A=",
        "AAA\n",
        "AAAA\n",
        "AA*A",
        "AA\x80"
        "A",
        "AA.A",
        /* bits that no byte takes */
        "Zh==",
        "Zh",
        "Zm9=",
        "Zm9",
        "//",
        "_-9",
        "/x==",
        "/x",
    };
    struct buf out;
    buf_init(&out, 100);
    buf_put_text(&out, "kept");
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        assert_int_equal(base64_decode(str_of(wrong[i]), &out), MG_E_FORMAT);
        assert_str(buf_str(&out), "kept");
    }
    assert_int_equal(base64_decode(str_n("AA\0A", 4), &out), MG_E_FORMAT);
    buf_fini(&out);
}

static void limits_at_below_and_above(void **state)
{
    (void)state;
    for (size_t limit = 5; limit <= 7; limit++) {
        struct buf out;
        buf_init(&out, limit);
        enum mg_err want = limit < 6 ? MG_E_TOO_BIG : MG_OK;
        assert_int_equal(base64_decode(STR("Zm9vYmFy"), &out), want);
        assert_int_equal(out.len, want == MG_OK ? 6 : 0);
        buf_fini(&out);
    }
    for (size_t limit = 7; limit <= 9; limit++) {
        struct buf out;
        buf_init(&out, limit);
        base64_encode(&out, "foobar", 6, true);
        assert_int_equal(buf_err(&out), limit < 8 ? MG_E_TOO_BIG : MG_OK);
        assert_int_equal(out.len, limit < 8 ? 0 : 8);
        buf_fini(&out);
    }
}

static void every_length_and_byte_survives(void **state)
{
    (void)state;
    uint8_t bytes[260];
    struct buf text, back;
    buf_init(&text, 1000);
    buf_init(&back, 1000);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        buf_clear(&text);
        buf_clear(&back);
        base64_encode(&text, bytes, len, len % 2);
        assert_int_equal(base64_decode(buf_str(&text), &back), MG_OK);
        assert_true(str_eq(buf_str(&back), str_n(bytes, len)));
    }
    buf_fini(&text);
    buf_fini(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_both_ways),
        cmocka_unit_test(both_alphabets_and_appending),
        cmocka_unit_test(refused),
        cmocka_unit_test(limits_at_below_and_above),
        cmocka_unit_test(every_length_and_byte_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
