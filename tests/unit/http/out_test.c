#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mem.h"
#include "http/out.h"

static void take_text(struct out *out, const char *text, bool is_payload)
{
    struct buf buf;
    buf_init(&buf, 1000);
    buf_put_text(&buf, text);
    out_take(out, &buf, is_payload);
    assert_int_equal(buf.len, 0);
}

static void test_order_and_payload(void **state)
{
    (void)state;
    for (size_t step = 1; step < 12; step++) {
        struct out out = {0};
        out_put(&out, "head", 4, false);
        out_put(&out, "", 0, true);
        out_put(&out, "er", 2, false); /* gathered */
        out_put(&out, "pay", 3, true);
        take_text(&out, "load", true);
        take_text(&out, "", true);
        out_put(&out, "end", 3, false);
        assert_int_equal(out.bytes, 16);
        char got[32];
        size_t n = 0, payload = 0;
        while (out.bytes) {
            struct str front = out_front(&out);
            assert_true(front.len > 0);
            size_t len = MG_MIN(front.len, step);
            memcpy(got + n, front.ptr, len);
            n += len;
            payload += out_consume(&out, len);
        }
        assert_int_equal(n, 16);
        assert_memory_equal(got, "headerpayloadend", 16);
        assert_int_equal(payload, 7);
        assert_int_equal(out_front(&out).len, 0);
        assert_int_equal(out_consume(&out, 0), 0);
        out_fini(&out);
    }
}

static void test_move(void **state)
{
    (void)state;
    struct out out = {0};
    struct buf buf;
    size_t payload;
    assert_false(out_move_front(&out, &buf, &payload));
    take_text(&out, "abc", true);
    take_text(&out, "def", false);
    assert_true(out_move_front(&out, &buf, &payload));
    assert_true(str_eq(buf_str(&buf), STR("abc")));
    assert_int_equal(payload, 3);
    buf_fini(&buf);
    assert_int_equal(out_consume(&out, 1), 0);
    assert_false(out_move_front(&out, &buf, &payload)); /* begun */
    assert_int_equal(out.bytes, 2);
    out_fini(&out);
    assert_int_equal(out.bytes, 0);
    out_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_payload),
        cmocka_unit_test(test_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
