#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/mem.h"
#include "store/block_format.h"
#include "store/summary.h"
#include "store/summary_build.h"
#include "store/tagged.h"

static struct summary sample(struct buf *catalogue)
{
    struct catalogue_entry entries[] = {
        { STR("web"), STR("GET"), 2 }, { STR("cart"), STR("add"), 3 },
        { STR("web"), STR("GET"), 2 }, { STR("web"), STR("GET"), 1 },
        { STR("web"), STR(""), 0 },
    };

    buf_clear(catalogue);
    assert_false(catalogue_write(catalogue, entries, MG_COUNT(entries)));
    return (struct summary){
        .rows = 10,
        .fragments = 4,
        .start_min_ns = 1000,
        .start_max_ns = 2000,
        .duration_min_ns = 5,
        .duration_max_ns = 50,
        .block_bytes = 12345,
        .wall_ns = 99,
        .catalogue = buf_str(catalogue),
    };
}

static void on_operation(void *owner, struct str service, struct str operation, int kind)
{
    buf_printf(owner, "%.*s/%.*s/%d ", STR_ARG(service), STR_ARG(operation), kind);
}

static void test_round_trip(void **state)
{
    struct buf catalogue, bytes, text;
    struct summary read, written;

    (void)state;
    buf_init(&catalogue, 4096);
    buf_init(&bytes, 4096);
    buf_init(&text, 4096);
    written = sample(&catalogue);
    written.attributes = STR("any bytes");
    summary_write(&bytes, &written);
    tagged_put(&bytes, 99, STR("of a later version"));
    assert_int_equal(summary_read(buf_str(&bytes), &read), MG_OK);
    assert_int_equal(read.rows, 10);
    assert_int_equal(read.fragments, 4);
    assert_int_equal(read.start_min_ns, 1000);
    assert_int_equal(read.start_max_ns, 2000);
    assert_int_equal(read.duration_min_ns, 5);
    assert_int_equal(read.duration_max_ns, 50);
    assert_int_equal(read.block_bytes, 12345);
    assert_int_equal(read.wall_ns, 99);
    assert_false(read.operations_cut);
    assert_true(str_eq(read.attributes, STR("any bytes")));
    assert_int_equal(summary_operations(&read, on_operation, &text), MG_OK);
    assert_true(str_eq(buf_str(&text), STR("cart/add/3 web//0 web/GET/1 web/GET/2 ")));
    buf_fini(&catalogue);
    buf_fini(&bytes);
    buf_fini(&text);
}

static void test_missing_or_malformed(void **state)
{
    struct buf catalogue, bytes;
    struct summary read = { .rows = 77 }, written;

    (void)state;
    buf_init(&catalogue, 4096);
    buf_init(&bytes, 4096);
    written = sample(&catalogue);
    summary_write(&bytes, &written);
    for (size_t len = 0; len < bytes.len; len++) /* the catalogue comes last */
        assert_int_equal(summary_read(str_n(bytes.ptr, len), &read), MG_E_FORMAT);
    for (uint32_t left_out = 1; left_out <= SUMMARY_CATALOGUE; left_out++) {
        struct str at = buf_str(&bytes), content;
        struct buf without;
        uint32_t tag;
        buf_init(&without, 4096);
        while (tagged_next(&at, &tag, &content) == 1)
            if (tag != left_out)
                tagged_put(&without, tag, content);
        assert_int_equal(summary_read(buf_str(&without), &read), MG_E_FORMAT);
        tagged_put(&without, left_out, left_out == SUMMARY_CATALOGUE ? STR("") : STR("\x80"));
        assert_int_equal(summary_read(buf_str(&without), &read),
                         left_out == SUMMARY_CATALOGUE ? MG_OK : MG_E_FORMAT);
        buf_fini(&without);
    }
    tagged_put_u64(&bytes, SUMMARY_ROWS, UINT64_C(1) << 32);
    assert_int_equal(summary_read(buf_str(&bytes), &read), MG_E_FORMAT);
    buf_fini(&catalogue);
    buf_fini(&bytes);
}

static void test_malformed_catalogues(void **state)
{
    static const struct str cases[] = {
        STR_INIT(""),
        STR_INIT("\x01"),
        STR_INIT("\x02\x01"
                 "a\x00"),
        STR_INIT("\x01\x05"
                 "a\x00"),
        STR_INIT("\x01\x01"
                 "a\x01\x01"
                 "b"),
        STR_INIT("\x01\x01"
                 "a\x01"),
        STR_INIT("\x00x"),
        STR_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        STR_INIT("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    };
    struct span_filter filter = { .service = STR("x"),
                                  .start_max_ns = UINT64_MAX,
                                  .duration_max_ns = UINT64_MAX };
    struct buf text;

    (void)state;
    buf_init(&text, 4096);
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct summary summary = { .catalogue = cases[i], .start_max_ns = 1, .duration_max_ns = 1 };
        assert_int_equal(summary_operations(&summary, on_operation, &text), MG_E_FORMAT);
        assert_true(summary_may_match(&summary, &filter)); /* nothing is ruled out */
    }
    buf_fini(&text);
}

#define ANY .start_max_ns = UINT64_MAX, .duration_max_ns = UINT64_MAX

static void test_may_match(void **state)
{
    static const struct {
        struct span_filter filter;
        bool want;
    } cases[] = {
        { { ANY }, true },
        { { .service = STR_INIT("web"), ANY }, true },
        { { .service = STR_INIT("WEB"), ANY }, false },
        { { .service = STR_INIT(""), ANY }, false },
        { { .operation = STR_INIT("add"), ANY }, true },
        { { .service = STR_INIT("web"), .operation = STR_INIT("add"), ANY }, false },
        { { .service = STR_INIT("cart"), .operation = STR_INIT("add"), ANY }, true },
        { { .start_min_ns = 2000, ANY }, true },
        { { .start_min_ns = 2001, ANY }, false },
        { { .start_max_ns = 1000, .duration_max_ns = UINT64_MAX }, true },
        { { .start_max_ns = 999, .duration_max_ns = UINT64_MAX }, false },
        { { .duration_min_ns = 50, ANY }, true },
        { { .duration_min_ns = 51, ANY }, false },
        { { .start_max_ns = UINT64_MAX, .duration_max_ns = 5 }, true },
        { { .start_max_ns = UINT64_MAX, .duration_max_ns = 4 }, false },
    };
    struct buf catalogue;

    (void)state;
    buf_init(&catalogue, 4096);
    struct summary summary = sample(&catalogue);
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        assert_int_equal(summary_may_match(&summary, &cases[i].filter), cases[i].want);
    summary.operations_cut = true; /* then no name can be told to be absent */
    struct span_filter absent = { .service = STR("nobody"), ANY };
    assert_true(summary_may_match(&summary, &absent));
    absent.start_min_ns = 2001;
    assert_false(summary_may_match(&summary, &absent));
    buf_fini(&catalogue);
}

/* A summary without attributes, or with malformed ones, rules out no tag; its times and names rule out as ever. */
static void test_attributes(void **state)
{
    static const struct filter_tag tag = { .key = STR_INIT("k"), .value = STR_INIT("v") };
    static const struct str contents[] = { { NULL, 0 }, STR_INIT(""), STR_INIT("\0\0"), STR_INIT("\0\1\0\0\0"), STR_INIT("\1\0\0\0\0"),
                                           STR_INIT("\0\0\0\0\0") };
    struct buf catalogue;

    (void)state;
    buf_init(&catalogue, 4096);
    struct summary summary = sample(&catalogue);
    for (size_t i = 0; i < MG_COUNT(contents); i++) {
        struct span_filter filter = { .tags = &tag, .n_tags = 1, ANY };
        summary.attributes = contents[i];
        bool says_none = i + 1 == MG_COUNT(contents);
        assert_int_equal(summary_may_match(&summary, &filter), !says_none);
        filter.service = STR("web");
        assert_int_equal(summary_may_match(&summary, &filter), !says_none);
        filter.service = STR("nobody");
        assert_false(summary_may_match(&summary, &filter));
        filter.service.ptr = NULL;
        filter.start_min_ns = 2001;
        assert_false(summary_may_match(&summary, &filter));
        filter.n_tags = 0;
        filter.start_min_ns = 0;
        assert_true(summary_may_match(&summary, &filter));
    }
    buf_fini(&catalogue);
}

static void count_operation(void *owner, struct str service, struct str operation, int kind)
{
    (void)service;
    (void)operation;
    (void)kind;
    ++*(size_t *)owner;
}

static void test_catalogue_limit(void **state)
{
    static const size_t sizes[] = { 0, 1, SUMMARY_OPERATIONS_MAX - 1, SUMMARY_OPERATIONS_MAX,
                                    SUMMARY_OPERATIONS_MAX + 1 };
    struct arena arena = { 0 };
    struct buf catalogue;

    (void)state;
    buf_init(&catalogue, 1 << 20);
    for (size_t i = 0; i < MG_COUNT(sizes); i++) {
        struct catalogue_entry *entries = mem_zero(sizes[i] + 1, sizeof *entries);
        size_t found = 0;
        for (size_t k = 0; k < sizes[i]; k++)
            entries[k] = (struct catalogue_entry){ arena_printf(&arena, "s%zu", k % 7),
                                                   arena_printf(&arena, "o%zu", k), 1 };
        buf_clear(&catalogue);
        assert_int_equal(catalogue_write(&catalogue, entries, sizes[i]),
                         sizes[i] > SUMMARY_OPERATIONS_MAX);
        struct summary summary = { .catalogue = buf_str(&catalogue) };
        assert_int_equal(summary_operations(&summary, count_operation, &found), MG_OK);
        assert_int_equal(found, MG_MIN(sizes[i], (size_t)SUMMARY_OPERATIONS_MAX));
        mem_free(entries);
    }
    buf_fini(&catalogue);
    arena_fini(&arena);
}

static void test_kind_byte(void **state)
{
    (void)state;
    assert_int_equal(catalogue_kind(0), 0);
    assert_int_equal(catalogue_kind(5), 5);
    assert_int_equal(catalogue_kind(6), 0);
    assert_int_equal(catalogue_kind(-1), 0);
    assert_int_equal(catalogue_kind(INT32_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),           cmocka_unit_test(test_missing_or_malformed),
        cmocka_unit_test(test_malformed_catalogues), cmocka_unit_test(test_may_match),
        cmocka_unit_test(test_catalogue_limit),      cmocka_unit_test(test_kind_byte),
        cmocka_unit_test(test_attributes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
