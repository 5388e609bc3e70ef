/* head_test.c - which spans of a body became no rows: collecting, writing, reading both versions, and what is no head. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "ingest/head.h"

static const struct run refused_runs[] = { { 0, 1 }, { 3, 20 }, { 200, 70000 }, { UINT32_MAX - 10, 9 } };
static const struct run dropped_runs[] = { { 1, 2 }, { 100, 1 } };
static const struct left_out refused = { refused_runs, MG_COUNT(refused_runs) }, dropped = { dropped_runs, MG_COUNT(dropped_runs) };

static void both_lists_are_read_back(void **state)
{
    const struct { struct left_out refused, dropped; uint32_t n_refused, n_dropped; } cases[] = {
        { { 0 }, { 0 }, 0, 0 },
        { refused, { 0 }, 1 + 20 + 70000 + 9, 0 },
        { { 0 }, dropped, 0, 3 },
        { refused, dropped, 1 + 20 + 70000 + 9, 3 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct body_head head;
        struct buf bytes;
        buf_init(&bytes, 256);
        body_head_write(&bytes, cases[i].refused, cases[i].dropped);
        assert_int_equal(body_head_read(buf_str(&bytes), &head), MG_OK);
        assert_int_equal(head.n_refused, cases[i].n_refused);
        assert_int_equal(head.n_dropped, cases[i].n_dropped);
        assert_int_equal(head.refused.n, cases[i].refused.n);
        assert_int_equal(head.dropped.n, cases[i].dropped.n);
        if (head.refused.n)
            assert_memory_equal(head.refused.at, refused_runs, sizeof refused_runs);
        if (head.dropped.n)
            assert_memory_equal(head.dropped.at, dropped_runs, sizeof dropped_runs);
        body_head_fini(&head);
        for (size_t len = 0; len < bytes.len; len++)
            assert_int_equal(body_head_read(str_n(bytes.ptr, len), &head), MG_E_FORMAT);
        buf_put_char(&bytes, 0);
        assert_int_equal(body_head_read(buf_str(&bytes), &head), MG_E_FORMAT); /* more than a head */
        buf_fini(&bytes);
    }
}

static void the_first_version_is_read(void **state)
{
    struct body_head head;

    (void)state;
    assert_int_equal(body_head_read(STR("\x01\x00"), &head), MG_OK);
    assert_int_equal(head.n_refused + head.n_dropped, 0);
    body_head_fini(&head);
    assert_int_equal(body_head_read(STR("\x01\x02\x03\x02\x00\x01"), &head), MG_OK);
    assert_int_equal(head.refused.n, 2);
    assert_int_equal(head.refused.at[0].first, 3);
    assert_int_equal(head.refused.at[1].first, 5);
    assert_int_equal(head.n_refused, 3);
    assert_int_equal(head.dropped.n, 0);
    body_head_fini(&head);
}

static void what_is_no_head_is_refused(void **state)
{
    static const struct str cases[] = {
        STR_INIT(""),
        STR_INIT("\x00"),                                     /* version 0 */
        STR_INIT("\x03\x00\x00"),                             /* of a later version */
        STR_INIT("\x01"),
        STR_INIT("\x01\xff\xff\xff\x7f"),                     /* more runs than there are bytes */
        STR_INIT("\x01\x01\x05\x00"),                         /* an empty run */
        STR_INIT("\x01\x00\x00"),                             /* the first version has one list */
        STR_INIT("\x02\x00"),                                 /* the second has two */
        STR_INIT("\x02\x00\x01\x05\x00"),
        STR_INIT("\x02\x00\xff\xff\xff\x7f"),
        STR_INIT("\x02\x01\xff\xff\xff\xff\x0f\x01\x00"),     /* beyond the last ordinal */
        STR_INIT("\x02\x01\xff\xff\xff\xff\xff\x7f\x01\x00"), /* a step above 32 bits */
        STR_INIT("\x02\x01\x00\xff\xff\xff\xff\xff\x7f\x00"),
        STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), /* no varint */
    };
    struct body_head head;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_int_equal(body_head_read(cases[i], &head), MG_E_FORMAT);
}

static void ordinals_are_collected_in_any_order(void **state)
{
    static const struct { const char *in, *want; } cases[] = { /* digits are ordinals; "first+n" are runs */
        { "", "" },
        { "0123", "0+4" },
        { "0146", "0+2 4+1 6+1" },
        { "3210", "0+4" },
        { "57046", "0+1 4+4" },
        { "901", "0+2 9+1" },
        { "1204", "0+3 4+1" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct run_list list = { 0 };
        struct buf text;
        buf_init(&text, 256);
        for (int round = 0; round < 2; round++) { /* a cleared list is as good as a new one */
            run_list_clear(&list);
            buf_clear(&text);
            for (const char *digit = cases[i].in; *digit; digit++)
                run_list_add(&list, (uint32_t)(*digit - '0'));
            struct left_out got = run_list_end(&list);
            for (size_t k = 0; k < got.n; k++)
                buf_printf(&text, "%s%u+%u", k ? " " : "", got.at[k].first, got.at[k].n);
            buf_put_char(&text, '\0');
            assert_string_equal(text.ptr, cases[i].want);
            for (uint32_t ordinal = 0; ordinal < 12; ordinal++)
                assert_int_equal(left_out_has(got, ordinal), strchr(cases[i].in, '0' + (int)ordinal) != NULL && ordinal < 10);
        }
        buf_fini(&text);
        run_list_fini(&list);
    }
}

static void a_span_is_found_in_long_lists(void **state)
{
    (void)state;
    assert_true(left_out_has(refused, 0));
    assert_false(left_out_has(refused, 1));
    assert_true(left_out_has(refused, 3));
    assert_true(left_out_has(refused, 22));
    assert_false(left_out_has(refused, 23));
    assert_true(left_out_has(refused, 70199));
    assert_false(left_out_has(refused, 70200));
    assert_true(left_out_has(refused, UINT32_MAX - 2));
    assert_false(left_out_has(refused, UINT32_MAX - 1));
    assert_false(left_out_has((struct left_out){ 0 }, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_lists_are_read_back),
        cmocka_unit_test(the_first_version_is_read),
        cmocka_unit_test(what_is_no_head_is_refused),
        cmocka_unit_test(ordinals_are_collected_in_any_order),
        cmocka_unit_test(a_span_is_found_in_long_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
