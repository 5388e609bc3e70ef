/* A batch as a journal record: both directions, and heads and bodies that nobody wrote. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/mem.h"
#include "base/random.h"
#include "send/record.h"

static void body_fill(struct buf *body, size_t bytes, bool is_noise)
{
    struct random random;
    random_init(&random, bytes);
    buf_init(body, SIZE_MAX);
    for (size_t i = 0; i < bytes; i++)
        buf_put_char(body, (char)(is_noise ? random_u64(&random) : i % 50));
}

static void what_is_packed_is_unpacked(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        bool is_noise;
        enum zip_kind kind;
    } cases[] = {
        {1, false, ZIP_IDENTITY},    {1023, false, ZIP_IDENTITY}, {1024, false, ZIP_ZSTD},
        {100000, false, ZIP_ZSTD},   {1024, true, ZIP_IDENTITY},  {100000, true, ZIP_IDENTITY},
        {5000000, false, ZIP_ZSTD},
    };
    struct zip *zip = zip_new();
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct send_item item = {.spans = 8192, .position = UINT64_MAX - i};
        struct journal_record record;
        struct record_meta meta;
        char *plain;
        body_fill(&item.body, cases[i].bytes, cases[i].is_noise);
        record_pack(zip, &item, i % 2, 77, &record);
        assert_int_equal(record.encoding, cases[i].kind);
        assert_int_equal(record.kind, JOURNAL_BODY);
        assert_int_equal(record.wall_ns, 77);
        assert_int_equal(record_meta_read(record.head, &meta, NULL), MG_OK);
        assert_int_equal(meta.spans, 8192);
        assert_int_equal(meta.position, UINT64_MAX - i);
        assert_int_equal(meta.plain_bytes, cases[i].bytes);
        assert_int_equal(meta.is_first, i % 2);
        assert_int_equal(record_unpack(zip, &record, &meta, &plain, NULL), MG_OK);
        assert_memory_equal(plain, item.body.ptr, cases[i].bytes);
        mem_free(plain);
        record_release(&record);
        record_release(&record); /* fine */
        buf_fini(&item.body);
    }
    zip_free(&zip);
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    struct record_meta meta;
    static const char head[] = "\x01\x01\x63\xff\x7f\x02\x05\x03\x07\x04\x09";
    assert_int_equal(record_meta_read(str_n(head, sizeof head - 1), &meta, NULL), MG_OK);
    assert_int_equal(meta.position, 5);
    assert_int_equal(meta.spans, 7);
    assert_int_equal(meta.plain_bytes, 9);
    assert_false(meta.is_first);
}

static void malformed_heads_are_refused(void **state)
{
    (void)state;
#define HEAD(bytes) { bytes, sizeof(bytes) - 1 }
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {NULL, 0},
        HEAD(""),
        HEAD("\x01"),
        HEAD("\x02\x05"),                             /* no version */
        HEAD("\x01\x02"),                             /* a later one */
        HEAD("\x01\x00"),
        HEAD("\x01\x01\x02"),                         /* cut */
        HEAD("\x01\x01\x02\x80"),
        HEAD("\x01\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* over 64 bits */
        HEAD("\x01\x01\x03\x80\x80\x80\x80\x10"),     /* 2^32 spans */
        HEAD("\x01\x01\x04\x81\x80\x80\x80\x04"),     /* a request of 1 GiB and 1 byte */
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct record_meta meta = {.position = 99};
        struct mg_why why = {""};
        assert_int_equal(record_meta_read(str_n(cases[i].bytes, cases[i].len), &meta, &why), MG_E_FORMAT);
        assert_int_equal(meta.position, 99);
        assert_true(why.text[0]);
    }
}

static void bodies_that_do_not_fit_their_head_are_refused(void **state)
{
    (void)state;
    struct zip *zip = zip_new();
    struct send_item item = {.spans = 1};
    struct record_meta meta, wrong;
    struct journal_record packed, record;
    char *plain = NULL;
    body_fill(&item.body, 10000, false);
    record_pack(zip, &item, false, 0, &packed);
    assert_int_equal(record_meta_read(packed.head, &meta, NULL), MG_OK);

    static const int64_t off[] = {-1, 1, -10000, 100000};
    for (size_t i = 0; i < MG_COUNT(off); i++) {
        wrong = meta;
        wrong.plain_bytes = (uint64_t)((int64_t)wrong.plain_bytes + off[i]);
        assert_int_equal(record_unpack(zip, &packed, &wrong, &plain, NULL), MG_E_FORMAT);
    }
    for (size_t cut = 0; cut < packed.body.len; cut++) {
        record = packed;
        record.body.len = cut;
        assert_int_equal(record_unpack(zip, &record, &meta, &plain, NULL), MG_E_FORMAT);
    }
    static const uint8_t encodings[] = {ZIP_IDENTITY, ZIP_GZIP, ZIP_DEFLATE, 200};
    for (size_t i = 0; i < MG_COUNT(encodings); i++) {
        record = packed;
        record.encoding = encodings[i];
        assert_int_equal(record_unpack(zip, &record, &meta, &plain, NULL), MG_E_FORMAT);
    }
    assert_null(plain);
    record_release(&packed);
    buf_fini(&item.body);
    zip_free(&zip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_unpacked),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(malformed_heads_are_refused),
        cmocka_unit_test(bodies_that_do_not_fit_their_head_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
