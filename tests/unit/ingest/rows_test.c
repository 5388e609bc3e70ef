/* rows_test.c - a body to rows: encodings, JSON, refused spans, what replay leaves out, limits, and the record's head. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "ingest/rows.h"
#include "model/otlp_write.h"

/* n spans of one trace; those whose bit is set in `bad` have no span id. */
static void make_body(struct buf *out, unsigned n, uint32_t bad)
{
    struct buf spans, one, scope;

    buf_init(out, 1 << 20);
    buf_init(&spans, 1 << 20);
    buf_init(&one, 1 << 16);
    buf_init(&scope, 1 << 20);
    for (unsigned i = 0; i < n; i++) {
        struct span span = { .trace_id = { 7 }, .name = STR("op"), .kind = SPAN_SERVER, .start_ns = 1, .end_ns = 2 };
        span.span_id[0] = bad >> i & 1 ? 0 : (uint8_t)(i + 1);
        buf_clear(&one);
        otlp_write_span(&one, &span);
        otlp_put_field(&spans, 2, buf_str(&one));
    }
    otlp_put_field(&scope, 2, buf_str(&spans));
    otlp_put_field(out, 1, buf_str(&scope));
    buf_fini(&spans);
    buf_fini(&one);
    buf_fini(&scope);
}

static enum mg_err make(struct rows_maker *maker, enum ingest_protocol protocol, enum zip_kind encoding, struct str body, size_t limit,
                        const struct left_out *left_out, uint32_t *rows, uint32_t *refused)
{
    struct rows_result result;
    struct mg_why why = { "" };
    enum mg_err err = rows_make(maker, protocol, encoding, body, limit, left_out, &result, &why);

    if (err != MG_OK) {
        assert_true(why.text[0] != '\0');
        return err;
    }
    *rows = result.rows->n;
    *refused = result.refused.n;
    rows_recycle(maker, &result.rows);
    return MG_OK;
}

static void every_encoding_gives_the_same_rows(void **state)
{
    static const enum zip_kind kinds[] = { ZIP_IDENTITY, ZIP_GZIP, ZIP_DEFLATE, ZIP_ZSTD };
    struct rows_maker *maker = rows_maker_new();
    struct zip *zip = zip_new();
    struct buf body, packed;
    uint32_t rows, refused;

    (void)state;
    make_body(&body, 20, 0);
    buf_init(&packed, 1 << 20);
    for (size_t i = 0; i < MG_COUNT(kinds); i++) {
        struct str sent = buf_str(&body);
        if (kinds[i] != ZIP_IDENTITY) {
            buf_clear(&packed);
            assert_int_equal(zip_deflate(zip, kinds[i], 0, buf_str(&body), &packed), MG_OK);
            sent = buf_str(&packed);
        }
        assert_int_equal(make(maker, INGEST_OTLP_PROTO, kinds[i], sent, 1 << 20, NULL, &rows, &refused), MG_OK);
        assert_int_equal(rows, 20);
        assert_int_equal(refused, 0);
        assert_int_equal(make(maker, INGEST_OTLP_PROTO, kinds[i], sent, body.len, NULL, &rows, &refused), MG_OK); /* at the limit */
        assert_int_equal(make(maker, INGEST_OTLP_PROTO, kinds[i], sent, body.len - 1, NULL, &rows, &refused), MG_E_TOO_BIG);
    }
    buf_fini(&body);
    buf_fini(&packed);
    zip_free(&zip);
    rows_maker_free(&maker);
}

static void bad_spans_are_refused_alone(void **state)
{
    struct rows_maker *maker = rows_maker_new();
    struct buf body, again;
    uint32_t rows, refused;

    (void)state;
    make_body(&body, 10, 1u << 3 | 1u << 9);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 8);
    assert_int_equal(refused, 2);
    assert_int_equal(rows_refused(maker).n, 2);
    assert_int_equal(rows_refused(maker).at[0].first, 3);
    assert_int_equal(rows_refused(maker).at[1].first, 9);
    make_body(&again, 10, 7u << 4);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&again), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(refused, 3);
    assert_int_equal(rows_refused(maker).n, 1); /* one run */
    assert_int_equal(rows_refused(maker).at[0].n, 3);
    buf_fini(&again);
    buf_fini(&body);
    rows_maker_free(&maker);
}

static void replay_leaves_out_exactly_what_it_is_told(void **state)
{
    static const struct run out[] = { { 0, 1 }, { 4, 1 }, { 9, 3 } };
    const struct left_out left_out = { out, MG_COUNT(out) };
    struct rows_maker *maker = rows_maker_new();
    struct buf body;
    uint32_t rows, refused;

    (void)state;
    make_body(&body, 10, 0);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, &left_out, &rows, &refused), MG_OK);
    assert_int_equal(rows, 7);
    buf_fini(&body);
    rows_maker_free(&maker);
}

static void json_is_the_same_request(void **state)
{
    static const struct { const char *text; enum mg_err want; uint32_t rows, refused; } cases[] = {
        { "{}", MG_OK, 0, 0 },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"5B8EFFF798038103D269B633813FC60C\",\"spanId\":"
          "\"EEE19B7EC3C1B174\",\"name\":\"n\"}]}]}]}", MG_OK, 1, 0 },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"\",\"spanId\":\"EEE19B7EC3C1B174\"}]}]}]}", MG_OK, 0, 1 },
        { "", MG_E_FORMAT, 0, 0 },
        { "[]", MG_E_FORMAT, 0, 0 },
        { "{\"resourceSpans\":7}", MG_E_FORMAT, 0, 0 },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"zz\"}]}]}]}", MG_E_FORMAT, 0, 0 },
        { "{} {}", MG_E_FORMAT, 0, 0 },
    };
    struct rows_maker *maker = rows_maker_new();

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        uint32_t rows = 0, refused = 0;
        assert_int_equal(make(maker, INGEST_OTLP_JSON, ZIP_IDENTITY, str_of(cases[i].text), 1 << 20, NULL, &rows, &refused), cases[i].want);
        assert_int_equal(rows, cases[i].rows);
        assert_int_equal(refused, cases[i].refused);
    }
    rows_maker_free(&maker);
}

static void after_a_malformed_body_the_next_one_is_fine(void **state)
{
    struct rows_maker *maker = rows_maker_new();
    struct buf body;
    uint32_t rows, refused;

    (void)state;
    make_body(&body, 5, 0);
    for (size_t len = 1; len < body.len; len++) /* every cut of a nested message is malformed */
        assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, str_n(body.ptr, len), 1 << 20, NULL, &rows, &refused), MG_E_FORMAT);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_GZIP, STR("no gzip"), 1 << 20, NULL, &rows, &refused), MG_E_FORMAT);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 5);
    rows_decay(maker);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 5);
    buf_fini(&body);
    rows_maker_free(&maker);
}

static void the_head_is_read_back_and_bad_ones_are_refused(void **state)
{
    static const struct run runs[] = { { 0, 1 }, { 3, 20 }, { 200, 70000 }, { UINT32_MAX - 10, 9 } };
    struct run *got;
    uint32_t spans;
    size_t n;
    struct buf head;

    (void)state;
    buf_init(&head, 256);
    refused_head_write(&head, (struct left_out){ runs, MG_COUNT(runs) });
    assert_int_equal(refused_head_read(buf_str(&head), &got, &n, &spans), MG_OK);
    assert_int_equal(n, MG_COUNT(runs));
    assert_int_equal(spans, 1 + 20 + 70000 + 9);
    assert_memory_equal(got, runs, sizeof runs);
    mem_free(got);
    for (size_t len = 0; len < head.len; len++)
        assert_int_equal(refused_head_read(str_n(head.ptr, len), &got, &n, &spans), MG_E_FORMAT);
    assert_int_equal(refused_head_read(STR("\x02\x00"), &got, &n, &spans), MG_E_FORMAT);         /* version */
    assert_int_equal(refused_head_read(STR("\x01\xff\xff\xff\x7f"), &got, &n, &spans), MG_E_FORMAT); /* more than there is */
    assert_int_equal(refused_head_read(STR("\x01\x01\x05\x00"), &got, &n, &spans), MG_E_FORMAT); /* an empty run */
    buf_fini(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_gives_the_same_rows),
        cmocka_unit_test(bad_spans_are_refused_alone),
        cmocka_unit_test(replay_leaves_out_exactly_what_it_is_told),
        cmocka_unit_test(json_is_the_same_request),
        cmocka_unit_test(after_a_malformed_body_the_next_one_is_fine),
        cmocka_unit_test(the_head_is_read_back_and_bad_ones_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
