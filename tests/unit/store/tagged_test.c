#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "store/tagged.h"

static void test_round_trip(void **state)
{
    static const uint64_t numbers[] = { 0, 1, 127, 128, UINT32_MAX, UINT64_MAX };
    struct str at, bytes;
    struct buf list;
    uint32_t tag;
    uint64_t value;

    (void)state;
    buf_init(&list, 1000);
    for (size_t i = 0; i < MG_COUNT(numbers); i++)
        tagged_put_u64(&list, (uint32_t)(i + 1), numbers[i]);
    tagged_put(&list, UINT32_MAX, STR(""));
    tagged_put(&list, 3, STR("again"));
    at = buf_str(&list);
    for (size_t i = 0; i < MG_COUNT(numbers); i++) {
        assert_int_equal(tagged_next(&at, &tag, &bytes), 1);
        assert_int_equal(tag, i + 1);
        assert_true(tagged_u64(bytes, &value));
        assert_true(value == numbers[i]);
    }
    assert_int_equal(tagged_next(&at, &tag, &bytes), 1);
    assert_int_equal(tag, UINT32_MAX);
    assert_int_equal(bytes.len, 0);
    assert_int_equal(tagged_next(&at, &tag, &bytes), 1);
    assert_true(str_eq(bytes, STR("again")));
    assert_int_equal(tagged_next(&at, &tag, &bytes), 0);
    assert_int_equal(tagged_next(&at, &tag, &bytes), 0);
    buf_fini(&list);
}

static void test_malformed(void **state)
{
    static const struct str cases[] = {
        STR_INIT("\x80"),     /* the tag is cut */
        STR_INIT("\x01"),     /* no length */
        STR_INIT("\x01\x01"), /* no byte */
        STR_INIT("\x01\x03"
                 "ab"),                       /* a byte is missing */
        STR_INIT("\x80\x80\x80\x80\x10\x00"), /* tag 2^32 */
        STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00"),
        STR_INIT("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                 "a"), /* length 2^64 - 1 */
    };
    struct str bytes = STR("kept");
    uint32_t tag = 77;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str at = cases[i];
        assert_int_equal(tagged_next(&at, &tag, &bytes), -1);
        assert_int_equal(tag, 77);
        assert_true(str_eq(bytes, STR("kept")));
        assert_false(tagged_find(cases[i], 1, &bytes));
    }
}

static void test_largest_tag(void **state)
{
    struct str at = STR("\xff\xff\xff\xff\x0f\x01x"), bytes;
    uint32_t tag;

    (void)state;
    assert_int_equal(tagged_next(&at, &tag, &bytes), 1);
    assert_true(tag == UINT32_MAX);
}

static void test_find(void **state)
{
    struct str list = STR("\x01\x01"
                          "a\x02\x02"
                          "bc\x01\x01"
                          "d"),
               bytes;

    (void)state;
    assert_true(tagged_find(list, 1, &bytes));
    assert_true(str_eq(bytes, STR("a")));
    assert_true(tagged_find(list, 2, &bytes));
    assert_true(str_eq(bytes, STR("bc")));
    assert_false(tagged_find(list, 3, &bytes));
    assert_false(tagged_find(STR(""), 1, &bytes));
}

static void test_u64_is_exact(void **state)
{
    static const struct {
        struct str bytes;
        bool want;
        uint64_t value;
    } cases[] = {
        { STR_INIT("\x00"), true, 0 },
        { STR_INIT("\xac\x02"), true, 300 },
        { STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true, UINT64_MAX },
        { STR_INIT(""), false, 0 },
        { STR_INIT("\x80"), false, 0 },
        { STR_INIT("\x01\x01"), false, 0 },
        { STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint64_t value = 5;
        assert_int_equal(tagged_u64(cases[i].bytes, &value), cases[i].want);
        assert_true(value == (cases[i].want ? cases[i].value : 5));
    }
}

static void test_full_buffer(void **state)
{
    struct buf list;

    (void)state;
    buf_init(&list, 5);
    tagged_put(&list, 1, STR("abc"));
    assert_int_equal(buf_err(&list), MG_OK);
    tagged_put(&list, 1, STR(""));
    assert_int_equal(buf_err(&list), MG_E_TOO_BIG);
    buf_fini(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_largest_tag),  cmocka_unit_test(test_find),
        cmocka_unit_test(test_u64_is_exact), cmocka_unit_test(test_full_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
