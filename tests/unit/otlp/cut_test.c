/* cut_test.c - parts of a foreign client's request, to the byte as that client would have written them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mem.h"
#include "model/wire.h"
#include "otlp/cut.h"
#include "unit/otlp/cut_requests.h"

static struct buf unhex(const char *hex)
{
    struct buf bytes;
    size_t n = strlen(hex) / 2;
    buf_init(&bytes, SIZE_MAX);
    if (n)
        assert_true(hex_decode(str_of(hex), (uint8_t *)buf_extend(&bytes, n), n));
    return bytes;
}

static void assert_cut(const char *request, size_t from, size_t to, enum mg_err want_err, const char *want)
{
    struct buf whole = unhex(request), wanted = unhex(want), part;
    buf_init(&part, SIZE_MAX);
    assert_int_equal(request_cut(buf_str(&whole), from, to, &part), want_err);
    if (want_err == MG_OK && !str_eq(buf_str(&part), buf_str(&wanted)))
        fail_msg("%s from %zu to %zu is not %s", request, from, to, want);
    buf_fini(&whole);
    buf_fini(&wanted);
    buf_fini(&part);
}

static void test_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cut_parts); i++)
        assert_cut(cut_request_hex, cut_parts[i].from, cut_parts[i].to, MG_OK, cut_parts[i].hex);
}

/* Fields of a later protocol stay with every part that has their group. So does a field with the type of none: 2 as a number. */
static void test_unknown_fields(void **state)
{
#define REQUEST "7805"
#define FIRST(length, scope) "0a" length "1005" "12" scope
#define SECOND "0a051203120163" /* span c */
    static const char request[] = REQUEST FIRST("0c", "08" "7805" "120161" "120162") SECOND;
    (void)state;
    assert_cut(request, 0, 9, MG_OK, request);
    assert_cut(request, 0, 1, MG_OK, REQUEST FIRST("09", "05" "7805" "120161"));
    assert_cut(request, 1, 3, MG_OK, REQUEST FIRST("09", "05" "7805" "120162") SECOND);
    assert_cut(request, 2, 3, MG_OK, REQUEST SECOND);
    assert_cut(request, 3, 9, MG_OK, REQUEST);
}

/* More than 127 bytes in a group: its length takes two. */
static void test_long_groups(void **state)
{
    struct buf span, request, part;
    (void)state;
    buf_init(&span, SIZE_MAX);
    buf_init(&request, SIZE_MAX);
    buf_init(&part, SIZE_MAX);
    for (int i = 0; i < 100; i++)
        buf_put_char(&span, 's');
    for (int i = 0; i < 3; i++) {
        size_t resource = wire_open(&request, 1), scope = wire_open(&request, 2);
        wire_put_bytes(&request, 2, buf_str(&span));
        wire_put_bytes(&request, 2, buf_str(&span));
        wire_close(&request, scope);
        wire_close(&request, resource);
    }
    assert_int_equal(request_cut(buf_str(&request), 2, 4, &part), MG_OK);
    assert_true(str_eq(buf_str(&part), str_n(request.ptr + request.len / 3, request.len / 3)));
    buf_clear(&part);
    assert_int_equal(request_cut(buf_str(&request), 0, SIZE_MAX, &part), MG_OK);
    assert_true(str_eq(buf_str(&part), buf_str(&request)));
    buf_fini(&span);
    buf_fini(&request);
    buf_fini(&part);
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {"0a", "0aff", "0a0112", "0a0412021205", "0a021301", "00", "0b", "0a0212ff", "08"};
    struct buf request = unhex(cut_request_hex), part;
    (void)state;
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_cut(bad[i], 0, 9, MG_E_FORMAT, "");
    assert_cut("", 0, 9, MG_OK, "");
    buf_init(&part, SIZE_MAX);
    for (size_t len = 1; len < request.len; len++) { /* cut off anywhere: where no group ends it is noticed */
        char *copy = mem_copy(request.ptr, len); /* so that a read beyond it is noticed too */
        buf_clear(&part);
        (void)!request_cut(str_n(copy, len), 1, 4, &part);
        assert_true(part.len <= request.len);
        mem_free(copy);
    }
    buf_fini(&request);
    buf_fini(&part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_long_groups),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
