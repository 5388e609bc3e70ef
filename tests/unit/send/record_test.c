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

/* Whatever the wire takes when it is read. */
static void assert_unpacks(struct zip *zip, const struct journal_record *record, const struct record_meta *meta, struct str plain)
{
    static const enum zip_kind wanted[] = {ZIP_IDENTITY, ZIP_GZIP, ZIP_ZSTD};
    for (size_t i = 0; i < MG_COUNT(wanted); i++) {
        struct buf body, back;
        buf_init(&body, SIZE_MAX);
        buf_init(&back, SIZE_MAX);
        assert_int_equal(record_unpack(zip, wanted[i], record, meta, &body, NULL), MG_OK);
        assert_int_equal(zip_inflate(zip, wanted[i], buf_str(&body), plain.len, &back, NULL), MG_OK);
        assert_true(str_eq(buf_str(&back), plain));
        if (record->encoding == wanted[i])
            assert_true(str_eq(buf_str(&body), record->body));
        buf_fini(&body);
        buf_fini(&back);
    }
}

static void what_is_packed_is_unpacked(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        bool is_noise;
        enum zip_kind wanted, kind;
    } cases[] = {
        {1, false, ZIP_IDENTITY, ZIP_IDENTITY},     {1023, false, ZIP_IDENTITY, ZIP_IDENTITY}, {1024, false, ZIP_IDENTITY, ZIP_ZSTD},
        {100000, false, ZIP_IDENTITY, ZIP_ZSTD},    {1024, true, ZIP_IDENTITY, ZIP_IDENTITY},  {100000, true, ZIP_IDENTITY, ZIP_IDENTITY},
        {5000000, false, ZIP_IDENTITY, ZIP_ZSTD},   {1, false, ZIP_GZIP, ZIP_GZIP},            {100000, true, ZIP_GZIP, ZIP_GZIP},
        {5000000, false, ZIP_GZIP, ZIP_GZIP},       {1, true, ZIP_ZSTD, ZIP_ZSTD},             {100000, false, ZIP_ZSTD, ZIP_ZSTD},
    };
    struct zip *zip = zip_new();
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct send_item item = {.spans = 8192, .position = UINT64_MAX - i};
        struct journal_record record;
        struct record_meta meta;
        body_fill(&item.body, cases[i].bytes, cases[i].is_noise);
        assert_int_equal(record_pack(zip, cases[i].wanted, &item, i % 2, 77, &record), MG_OK);
        assert_int_equal(record.encoding, cases[i].kind);
        assert_int_equal(record.kind, JOURNAL_BODY);
        assert_int_equal(record.wall_ns, 77);
        assert_int_equal(record_meta_read(record.head, &meta, NULL), MG_OK);
        assert_int_equal(meta.spans, 8192);
        assert_int_equal(meta.position, UINT64_MAX - i);
        assert_int_equal(meta.plain_bytes, cases[i].bytes);
        assert_int_equal(meta.is_first, i % 2);
        assert_unpacks(zip, &record, &meta, buf_str(&item.body));
        record_release(&record);
        record_release(&record); /* fine */
        buf_fini(&item.body);
    }
    zip_free(&zip);
}

static void too_large_a_request_is_refused(void **state)
{
    (void)state;
    static char byte;
    struct zip *zip = zip_new();
    struct journal_record record = {.encoding = 99};
    struct send_item item = {.spans = 1, .body = {.ptr = &byte, .len = ((size_t)1 << 30) + 1}}; /* nobody looks at it */
    for (enum zip_kind wanted = ZIP_IDENTITY; wanted <= ZIP_ZSTD; wanted++)
        assert_int_equal(record_pack(zip, wanted, &item, false, 0, &record), MG_E_TOO_BIG);
    assert_int_equal(record.encoding, 99);
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

static void refused(struct zip *zip, const struct journal_record *record, const struct record_meta *meta)
{
    struct mg_why why = {""};
    struct buf body;
    buf_init(&body, SIZE_MAX);
    assert_int_equal(record_unpack(zip, ZIP_IDENTITY, record, meta, &body, &why), MG_E_FORMAT);
    assert_true(why.text[0]);
    buf_fini(&body);
}

static void bodies_that_do_not_fit_their_head_are_refused(void **state)
{
    (void)state;
    static const enum zip_kind wanted[] = {ZIP_IDENTITY, ZIP_GZIP};
    static const int64_t off[] = {-1, 1, -10000, 100000};
    static const uint8_t encodings[] = {ZIP_IDENTITY, ZIP_GZIP, ZIP_DEFLATE, ZIP_ZSTD, 200};
    struct zip *zip = zip_new();
    struct send_item item = {.spans = 1};
    body_fill(&item.body, 10000, false);
    for (size_t w = 0; w < MG_COUNT(wanted); w++) {
        struct journal_record packed, record;
        struct record_meta meta, wrong;
        assert_int_equal(record_pack(zip, wanted[w], &item, false, 0, &packed), MG_OK);
        assert_int_equal(record_meta_read(packed.head, &meta, NULL), MG_OK);
        for (size_t i = 0; i < MG_COUNT(off); i++) {
            wrong = meta;
            wrong.plain_bytes = (uint64_t)((int64_t)wrong.plain_bytes + off[i]);
            refused(zip, &packed, &wrong);
        }
        for (size_t cut = 0; cut < packed.body.len; cut++) {
            record = packed;
            record.body.len = cut;
            refused(zip, &record, &meta);
        }
        for (size_t i = 0; i < MG_COUNT(encodings); i++) {
            record = packed;
            record.encoding = encodings[i];
            if (record.encoding != packed.encoding)
                refused(zip, &record, &meta);
        }
        record_release(&packed);
    }
    buf_fini(&item.body);
    zip_free(&zip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_unpacked),
        cmocka_unit_test(too_large_a_request_is_refused),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(malformed_heads_are_refused),
        cmocka_unit_test(bodies_that_do_not_fit_their_head_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
