#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mem.h"
#include "base/random.h"
#include "store/column.h"

static void check_ints(const uint64_t *values, uint32_t n, unsigned want_width)
{
    uint64_t unpacked[8] = { 0 };
    struct ints ints;
    struct buf out;

    buf_init(&out, 4096);
    uint8_t width = column_put_ints(&out, values, n);
    assert_int_equal(width, want_width);
    assert_int_equal(out.len, 8 + (size_t)n * width);
    assert_true(ints_open(&ints, buf_str(&out), n, width));
    ints_unpack(&ints, 0, n, unpacked);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(ints_get(&ints, i) == values[i]);
        assert_true(unpacked[i] == values[i]);
    }
    if (n > 1) {
        ints_unpack(&ints, 1, n - 1, unpacked);
        assert_true(unpacked[0] == values[1] && unpacked[n - 2] == values[n - 1]);
    }
    assert_false(ints_open(&ints, str_n(out.ptr, out.len - 1), n, width));
    assert_false(ints_open(&ints, buf_str(&out), n + 1, width + (width == 0)));
    assert_false(ints_open(&ints, buf_str(&out), n, 9));
    buf_fini(&out);
}

static void test_ints(void **state)
{
    static const struct {
        uint64_t values[4];
        uint32_t n, width;
    } cases[] = {
        { { 7 }, 1, 0 },
        { { 7, 7, 7 }, 3, 0 },
        { { 0, 255 }, 2, 1 },
        { { 1000, 1255, 1000 }, 3, 1 },
        { { 1000, 1256 }, 2, 2 },
        { { 0, 65536 }, 2, 3 },
        { { 0, (UINT64_C(1) << 32) - 1 }, 2, 4 },
        { { 0, UINT64_C(1) << 32 }, 2, 5 },
        { { 0, UINT64_MAX, 1, 2 }, 4, 8 },
        { { UINT64_MAX, UINT64_MAX - 1 }, 2, 1 },
        { { (uint64_t)INT64_MIN, (uint64_t)INT64_MAX }, 2, 1 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        check_ints(cases[i].values, cases[i].n, cases[i].width);
}

static void test_ids(void **state)
{
    static const struct {
        uint32_t values[3];
        unsigned width;
    } cases[] = {
        { { 0, 0, 0 }, 0 },     { { 0, 1, 255 }, 1 },        { { 256, 1, 0 }, 2 },
        { { 65536, 0, 3 }, 3 }, { { UINT32_MAX, 9, 0 }, 4 },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint32_t unpacked[3], most = 0;
        struct ints ids;
        struct buf out;
        buf_init(&out, 100);
        assert_int_equal(column_put_ids(&out, cases[i].values, 3), cases[i].width);
        assert_true(ids_open(&ids, buf_str(&out), 3, cases[i].width));
        ids_unpack(&ids, 0, 3, unpacked);
        assert_memory_equal(unpacked, cases[i].values, sizeof unpacked);
        for (size_t k = 0; k < 3; k++)
            most = MG_MAX(most, cases[i].values[k]);
        assert_true(ids_below(&ids, (uint64_t)most + 1));
        assert_false(ids_below(&ids, most));
        assert_false(ids_open(&ids, buf_str(&out), 4, cases[i].width + 1));
        buf_fini(&out);
    }
}

/* Of every width and of counts about a piece's, with limits at, beside and far from the largest value. */
static void test_ids_below(void **state)
{
    static const uint32_t counts[] = { 1, 2, 63, 64, 65, 127, 128, 511, 512, 513, 2000 };
    static const uint64_t limits[] = { 1, 2, 255, 256, 257, 65535, 65536, UINT64_C(1) << 32, UINT64_MAX };
    struct random random;

    (void)state;
    random_init(&random, 3);
    for (unsigned round = 0; round < 400; round++) {
        uint32_t n = counts[random_below(&random, MG_COUNT(counts))], values[2000], most = 0;
        unsigned shift = (unsigned)random_below(&random, 32);
        struct ints ids;
        struct buf out;
        for (uint32_t i = 0; i < n; i++) {
            values[i] = (uint32_t)random_u64(&random) >> shift;
            most = MG_MAX(most, values[i]);
        }
        buf_init(&out, 1 << 20);
        uint8_t width = column_put_ids(&out, values, n);
        assert_true(ids_open(&ids, buf_str(&out), n, width));
        for (size_t i = 0; i < MG_COUNT(limits); i++)
            assert_int_equal(ids_below(&ids, limits[i]), most < limits[i]);
        for (uint64_t limit = most > 300 ? most - 300 : 1; limit < (uint64_t)most + 300; limit++)
            assert_int_equal(ids_below(&ids, limit), most < limit);
        buf_fini(&out);
    }
}

static void test_strings(void **state)
{
    char long_text[300];
    struct str values[] = {
        STR(""), STR("a"), { long_text, sizeof long_text }, STR(""), STR("bc")
    };
    struct strings strings = { 0 };
    struct buf out;

    (void)state;
    memset(long_text, 'x', sizeof long_text);
    buf_init(&out, 4096);
    column_put_strings(&out, values, MG_COUNT(values));
    assert_true(strings_open(&strings, buf_str(&out), MG_COUNT(values)));
    for (uint32_t i = 0; i < MG_COUNT(values); i++)
        assert_true(str_eq(strings_get(&strings, i), values[i]));
    strings_fini(&strings);
    for (size_t len = 0; len < out.len; len++) {
        char *cut = mem_copy(out.ptr, len);
        assert_false(strings_open(&strings, str_n(cut, len), MG_COUNT(values)));
        mem_free(cut);
    }
    assert_false(strings_open(&strings, buf_str(&out), MG_COUNT(values) - 1));
    assert_false(strings_open(&strings, buf_str(&out), MG_COUNT(values) + 1));
    assert_false(strings_open(&strings, buf_str(&out), UINT32_MAX));
    buf_fini(&out);
}

static void test_malformed_strings(void **state)
{
    static const struct {
        struct str raw;
        uint32_t n;
    } cases[] = {
        { STR_INIT("\x01\x00\x00\x00\x02"
                   "a"),
          1 }, /* more than there is */
        { STR_INIT("\x01\x00\x00\x00\x00"
                   "a"),
          1 },                                   /* a byte over */
        { STR_INIT("\xff\xff\xff\xff\x00"), 1 }, /* lengths beyond the end */
        { STR_INIT("\x01\x00\x00\x00\x80"
                   "a"),
          1 }, /* a length is cut */
        { STR_INIT("\x0a\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                   "a"),
          1 },
        { STR_INIT("\x02\x00\x00\x00\x01\x00"
                   "a"),
          1 }, /* a length over */
        { STR_INIT("\x00\x00\x00"), 0 },
    };
    struct strings strings;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_false(strings_open(&strings, cases[i].raw, cases[i].n));
    assert_true(strings_open(&strings, STR("\x00\x00\x00\x00"), 0));
    strings_fini(&strings);
}

static void test_packed_texts(void **state)
{
    static const struct {
        struct str text;
        bool is_uuid, is_hex;
    } cases[] = {
        { STR_INIT("d9428888-122b-11e1-b85c-61cd3cbb3210"), true, false },
        { STR_INIT("D9428888-122b-11e1-b85c-61cd3cbb3210"), false, false },
        { STR_INIT("d9428888-122b-11e1-b85c-61cd3cbb321"), false, false },
        { STR_INIT("d9428888-122b-11e1-b85c-61cd3cbb32100"), false, false },
        { STR_INIT("d9428888-122b-11e1-b85c161cd3cbb3210"), false, false },
        { STR_INIT("d9428888--22b-11e1-b85c-61cd3cbb3210"), false, false },
        { STR_INIT("g9428888-122b-11e1-b85c-61cd3cbb3210"), false, false },
        { STR_INIT("0af9"), false, true },
        { STR_INIT("0af"), false, false },
        { STR_INIT(""), false, false },
        { STR_INIT("0aF9"), false, false },
        { STR_INIT("0a:9"), false, false },
        { STR_INIT("0a`9"), false, false },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        assert_int_equal(text_is_uuid(cases[i].text), cases[i].is_uuid);
        assert_int_equal(text_is_hex(cases[i].text), cases[i].is_hex);
    }
}

static void check_packed(enum text_form form, struct str first, struct str second, struct str wrong)
{
    struct text_column column;
    struct arena arena = { 0 };
    uint8_t packed[255];
    struct buf raw;

    buf_init(&raw, 1000);
    if (form == FORM_HEX)
        buf_put_char(&raw, (char)(first.len / 2));
    text_pack(&raw, first);
    text_pack(&raw, second);
    assert_true(text_column_open(&column, buf_str(&raw), 2, form, 0));
    assert_true(str_eq(text_column_get(&column, 0, NULL, &arena), first));
    assert_true(str_eq(text_column_get(&column, 1, NULL, &arena), second));
    assert_true(text_column_pack(&column, second, packed));
    assert_memory_equal(packed, column.packed + column.packed_bytes, column.packed_bytes);
    assert_false(text_column_pack(&column, wrong, packed));
    assert_false(text_column_pack(&column, STR(""), packed));
    text_column_fini(&column);
    assert_false(text_column_open(&column, buf_str(&raw), 3, form, 0));
    assert_false(text_column_open(&column, str_n(raw.ptr, raw.len - 1), 2, form, 0));
    assert_false(text_column_open(&column, STR(""), 1, form, 0));
    buf_fini(&raw);
    arena_fini(&arena);
}

static void test_packed_columns(void **state)
{
    char longest[510], longer[512];

    (void)state;
    check_packed(FORM_UUID, STR("d9428888-122b-11e1-b85c-61cd3cbb3210"),
                 STR("00000000-ffff-0000-9999-aaaaaaaaaaaa"), STR("00"));
    check_packed(FORM_HEX, STR("00ff"), STR("abcd"), STR("abcdef"));
    memset(longest, 'a', sizeof longest);
    memset(longer, 'a', sizeof longer);
    assert_true(text_is_hex(str_n(longest, sizeof longest)));
    assert_false(text_is_hex(str_n(longer, sizeof longer)));
    check_packed(FORM_HEX, str_n(longest, sizeof longest), str_n(longest, sizeof longest),
                 str_n(longer, sizeof longer));
}

static void test_dictionaries(void **state)
{
    static const struct {
        struct str raw;
        uint32_t n;
        bool want;
    } cases[] = {
        { STR_INIT("\x02\x00\x00\x00\x01\x02\x01\x00\x01\x01"), 3, true },
        { STR_INIT("\x01\x00\x00\x00\x00\x00"), 3, true },                  /* all equal: no ids */
        { STR_INIT("\x02\x00\x00\x00\x01\x02\x01\x00\x01\x02"), 3, false }, /* id 2 of 2 */
        { STR_INIT("\x02\x00\x00\x00\x01\x03\x01\x00\x01\x01"), 3, false }, /* string 3 of 2 */
        { STR_INIT("\x02\x00\x00\x00\x01\x02\x01\x00\x01"), 3, false },     /* an id is missing */
        { STR_INIT("\x02\x00\x00\x00\x01\x02\x09\x00\x01\x01"), 3, false }, /* width 9 */
        { STR_INIT("\x02\x00\x00\x00\x01\x02"), 3, false },                 /* no width */
        { STR_INIT("\x00\x00\x00\x00\x00"), 1, false }, /* a value of an empty dictionary */
        { STR_INIT("\xff\xff\xff\xff\x01"), 3, false },
        { STR_INIT("\x01\x00\x00\x00"), 1, false },
        { STR_INIT(""), 1, false },
    };
    struct text_column column;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        assert_int_equal(text_column_open(&column, cases[i].raw, cases[i].n, FORM_DICTIONARY, 2),
                         cases[i].want);
        if (cases[i].want)
            text_column_fini(&column);
    }
    assert_false(text_column_open(&column, cases[0].raw, 3, 0, 2));
    assert_false(text_column_open(&column, cases[0].raw, 3, 5, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ints),         cmocka_unit_test(test_ids),
        cmocka_unit_test(test_ids_below),    cmocka_unit_test(test_strings),
        cmocka_unit_test(test_malformed_strings), cmocka_unit_test(test_packed_texts),
        cmocka_unit_test(test_packed_columns),    cmocka_unit_test(test_dictionaries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
