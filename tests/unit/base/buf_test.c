#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/mem.h"

static void assert_buf(const struct buf *buf, const char *want)
{
    assert_int_equal(buf->len, strlen(want));
    assert_memory_equal(buf_str(buf).ptr, want, buf->len);
}

static void zeroed_memory_takes_nothing(void **state)
{
    struct buf buf = { 0 };
    (void)state;
    assert_int_equal(buf_append(&buf, NULL, 0), MG_OK);
    assert_int_equal(buf_append(&buf, "a", 1), MG_E_TOO_BIG);
    assert_int_equal(buf_err(&buf), MG_E_TOO_BIG);
    buf_fini(&buf);
    buf_fini(&buf);
}

static void room_is_filled_by_the_caller(void **state)
{
    struct buf buf, none = { 0 };

    (void)state;
    buf_init(&buf, 10);
    buf_put_text(&buf, "ab");
    memcpy(buf_extend(&buf, 3), "cde", 3);
    memcpy(buf_extend(&buf, 5), "fghij", 5);
    assert_buf(&buf, "abcdefghij");
    assert_int_equal(buf_err(&buf), MG_OK);
    assert_null(buf_extend(&buf, 1));
    assert_int_equal(buf_err(&buf), MG_E_TOO_BIG);
    assert_null(buf_extend(&buf, 0)); /* after a refusal everything is refused */
    assert_buf(&buf, "abcdefghij");
    buf_clear(&buf);
    assert_null(buf_extend(&buf, SIZE_MAX));
    assert_int_equal(buf_err(&buf), MG_E_TOO_BIG);
    assert_null(buf_extend(&none, 0));
    assert_int_equal(buf_err(&none), MG_OK);
    buf_fini(&buf);
}

static void the_limit_is_exact(void **state)
{
    (void)state;
    for (size_t len = 99; len <= 101; len++) {
        struct buf whole, bytewise, printed;
        char text[102];
        memset(text, 'x', len);
        text[len] = '\0';
        buf_init(&whole, 100);
        buf_init(&bytewise, 100);
        buf_init(&printed, 100);
        assert_int_equal(buf_append(&whole, text, len), len <= 100 ? MG_OK : MG_E_TOO_BIG);
        for (size_t i = 0; i < len; i++)
            buf_put_char(&bytewise, 'x');
        buf_printf(&printed, "%s", text);
        assert_int_equal(whole.len, len <= 100 ? len : 0);
        assert_int_equal(bytewise.len, MG_MIN(len, (size_t)100));
        assert_int_equal(printed.len, whole.len);
        assert_int_equal(bytewise.failed, len > 100);
        assert_int_equal(printed.failed, len > 100);
        assert_true(whole.room <= 100 && bytewise.room <= 100 && printed.room <= 100);
        buf_fini(&whole);
        buf_fini(&bytewise);
        buf_fini(&printed);
    }
}

static void what_follows_a_refusal_is_refused(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 4);
    buf_put_text(&buf, "ab");
    buf_put_text(&buf, "cde");
    buf_put_char(&buf, 'f');
    buf_printf(&buf, "%d", 1);
    assert_buf(&buf, "ab");
    assert_int_equal(buf_append(&buf, "c", 1), MG_E_TOO_BIG);
    buf_clear(&buf);
    assert_int_equal(buf_err(&buf), MG_OK);
    assert_int_equal(buf_append(&buf, "cdef", 4), MG_OK);
    assert_buf(&buf, "cdef");
    buf_fini(&buf);
}

static void huge_requests_do_not_wrap(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, SIZE_MAX);
    buf_put_char(&buf, 'a');
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), MG_E_TOO_BIG);
    assert_int_equal(buf_reserve(&buf, SIZE_MAX - 1), MG_E_TOO_BIG);
    assert_int_equal(buf_err(&buf), MG_OK); /* a refused reserve marks nothing */
    assert_int_equal(buf_append(&buf, "b", 1), MG_OK);
    buf_fini(&buf);
}

static void reserve_makes_room_to_write_into(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 10);
    assert_int_equal(buf_reserve(&buf, 11), MG_E_TOO_BIG);
    assert_int_equal(buf_reserve(&buf, 10), MG_OK);
    memcpy(buf.ptr, "0123456789", 10);
    buf.len = 10;
    assert_int_equal(buf_reserve(&buf, 0), MG_OK);
    assert_int_equal(buf_reserve(&buf, 1), MG_E_TOO_BIG);
    assert_buf(&buf, "0123456789");
    buf_fini(&buf);
}

static void numbers(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 1000);
    buf_put_u64(&buf, 0);
    buf_put_char(&buf, ' ');
    buf_put_u64(&buf, UINT64_MAX);
    buf_put_char(&buf, ' ');
    buf_put_i64(&buf, INT64_MIN);
    buf_put_char(&buf, ' ');
    buf_put_i64(&buf, INT64_MAX);
    buf_put_char(&buf, ' ');
    buf_put_i64(&buf, -7);
    assert_buf(&buf, "0 18446744073709551615 -9223372036854775808 9223372036854775807 -7");
    buf_clear(&buf);
    buf_put_varint(&buf, 300);
    assert_buf(&buf, "\xac\x02");
    buf_fini(&buf);

    buf_init(&buf, 2);
    buf_put_i64(&buf, -12); /* whole or not at all */
    assert_int_equal(buf.len, 0);
    assert_true(buf.failed);
    buf_fini(&buf);
}

static void printing_grows(void **state)
{
    struct buf buf;
    char text[300];
    (void)state;
    memset(text, 'y', 299);
    text[299] = '\0';
    buf_init(&buf, 1000);
    buf_printf(&buf, "%s", "");
    assert_int_equal(buf.len, 0);
    buf_printf(&buf, "%d-", 5);
    buf_printf(&buf, "%s", text);
    assert_int_equal(buf.len, 301);
    assert_memory_equal(buf.ptr, "5-yyy", 5);
    assert_memory_equal(buf.ptr + 298, "yyy", 3);
    buf_fini(&buf);
}

static void taking_ends_with_a_nul(void **state)
{
    struct buf buf;
    size_t len = 9;
    (void)state;
    buf_init(&buf, 3);
    char *empty = buf_take(&buf, &len);
    assert_string_equal(empty, "");
    assert_int_equal(len, 0);
    buf_put_text(&buf, "abc"); /* full, and still ended */
    char *text = buf_take(&buf, NULL);
    assert_string_equal(text, "abc");
    assert_null(buf.ptr);
    buf_put_text(&buf, "abcd");
    assert_true(buf.failed);
    buf_fini(&buf);
    mem_free(empty);
    mem_free(text);
}

static void shrinking_gives_memory_back(void **state)
{
    struct buf buf;
    (void)state;
    buf_init(&buf, 10000);
    assert_int_equal(buf_reserve(&buf, 5000), MG_OK);
    buf_shrink(&buf, 5000);
    assert_int_equal(buf.room, 5000);
    buf_put_char(&buf, 'a');
    buf_shrink(&buf, 100);
    assert_int_equal(buf.room, 100);
    assert_int_equal(buf.len, 0);
    buf_put_char(&buf, 'a');
    buf_shrink(&buf, 0);
    assert_int_equal(buf.room, 0);
    buf_put_char(&buf, 'b');
    assert_buf(&buf, "b");
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_memory_takes_nothing),
        cmocka_unit_test(room_is_filled_by_the_caller),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(what_follows_a_refusal_is_refused),
        cmocka_unit_test(huge_requests_do_not_wrap),
        cmocka_unit_test(reserve_makes_room_to_write_into),
        cmocka_unit_test(numbers),
        cmocka_unit_test(printing_grows),
        cmocka_unit_test(taking_ends_with_a_nul),
        cmocka_unit_test(shrinking_gives_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
