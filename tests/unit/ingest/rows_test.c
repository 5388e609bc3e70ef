/* rows_test.c - a body to rows: protocols, encodings, refused spans, attribute rules, what replay leaves out, limits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "bodies.h"
#include "ingest/rows.h"

static enum mg_err make(struct rows_maker *maker, enum ingest_protocol protocol, enum zip_kind encoding, struct str body, size_t limit,
                        const struct body_head *replayed, uint32_t *rows, uint32_t *refused)
{
    const struct rows_body given = { protocol, encoding, body, limit };
    struct rows_result result;
    struct mg_why why = { "" };
    enum mg_err err = rows_make(maker, &given, replayed, &result, &why);

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
    otlp_body(&body, 20, 0);
    buf_init(&packed, 1 << 20);
    for (size_t i = 0; i < MG_COUNT(kinds); i++) {
        struct str sent = buf_str(&body);
        if (kinds[i] != ZIP_IDENTITY) {
            buf_clear(&packed);
            assert_int_equal(zip_deflate(zip, kinds[i], buf_str(&body), &packed), MG_OK);
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
    otlp_body(&body, 10, 1u << 3 | 1u << 9);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 8);
    assert_int_equal(refused, 2);
    assert_int_equal(rows_refused(maker).n, 2);
    assert_int_equal(rows_refused(maker).at[0].first, 3);
    assert_int_equal(rows_refused(maker).at[1].first, 9);
    otlp_body(&again, 10, 7u << 4);
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
    static const struct run refused_out[] = { { 0, 1 }, { 9, 3 } }, dropped_out[] = { { 4, 1 } };
    const struct body_head head = { .refused = { refused_out, 2 }, .dropped = { dropped_out, 1 } };
    struct rows_maker *maker = rows_maker_new();
    struct buf body;
    uint32_t rows, refused;

    (void)state;
    otlp_body(&body, 10, 0);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, &head, &rows, &refused), MG_OK);
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
    otlp_body(&body, 5, 0);
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

/* Spans of two services in turns: they are visited grouped, their ordinals are those of the list. */
static const char zipkin_list[] =
    "[{\"traceId\":\"a1\",\"id\":\"1\",\"name\":\"get\",\"localEndpoint\":{\"serviceName\":\"a\"},\"tags\":{\"noise\":\"1\"}},"
    "{\"traceId\":\"a1\",\"id\":\"2\",\"name\":\"put\",\"localEndpoint\":{\"serviceName\":\"b\"}},"
    "{\"traceId\":\"a1\",\"id\":\"3\",\"name\":\"get\",\"localEndpoint\":{\"serviceName\":\"a\"},\"tags\":{\"noise\":\"1\"}},"
    "{\"traceId\":\"a1\",\"id\":\"4\",\"name\":\"put\",\"localEndpoint\":{\"serviceName\":\"b\"},\"tags\":{\"noise\":\"1\"}},"
    "{\"traceId\":\"a1\",\"id\":\"5\",\"name\":\"del\",\"localEndpoint\":{\"serviceName\":\"b\"}}]";

static void every_protocol_has_its_scanner(void **state)
{
    static const struct { enum ingest_protocol protocol; enum captured body; } cases[] = {
        { INGEST_ZIPKIN_PROTO, CAPTURED_ZIPKIN_MIN },
        { INGEST_ZIPKIN_PROTO, CAPTURED_ZIPKIN_FULL },
        { INGEST_JAEGER_HTTP_BINARY, CAPTURED_THRIFT_MIN },
        { INGEST_JAEGER_UDP_COMPACT, CAPTURED_COMPACT_MIN },
        { INGEST_JAEGER_UDP_COMPACT, CAPTURED_COMPACT_FULL },
    };
    struct rows_maker *maker = rows_maker_new();
    uint32_t rows, refused;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct buf body;
        captured_body(&body, cases[i].body);
        assert_int_equal(make(maker, cases[i].protocol, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_OK);
        assert_int_equal(rows, 1);
        assert_int_equal(make(maker, cases[i].protocol, ZIP_IDENTITY, str_n(body.ptr, body.len - 1), 1 << 20, NULL, &rows, &refused),
                         MG_E_FORMAT);
        rows_decay(maker);
        buf_fini(&body);
    }
    assert_int_equal(make(maker, INGEST_ZIPKIN_JSON, ZIP_IDENTITY, str_of(zipkin_list), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 5);
    rows_maker_free(&maker);
}

static void a_body_of_one_protocol_is_none_of_another(void **state)
{
    static const struct { enum ingest_protocol protocol; enum captured body; } cases[] = {
        { INGEST_ZIPKIN_JSON, CAPTURED_ZIPKIN_FULL },       { INGEST_JAEGER_HTTP_BINARY, CAPTURED_COMPACT_FULL },
        { INGEST_JAEGER_UDP_COMPACT, CAPTURED_THRIFT_MIN },  { INGEST_JAEGER_UDP_BINARY, CAPTURED_COMPACT_FULL },
        { INGEST_OTLP_JSON, CAPTURED_ZIPKIN_FULL },         { (enum ingest_protocol)0, CAPTURED_ZIPKIN_FULL },
        { (enum ingest_protocol)200, CAPTURED_ZIPKIN_FULL },
    };
    struct rows_maker *maker = rows_maker_new();
    uint32_t rows, refused;

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct buf body;
        captured_body(&body, cases[i].body);
        assert_int_equal(make(maker, cases[i].protocol, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_E_FORMAT);
        buf_fini(&body);
    }
    rows_maker_free(&maker);
}

/* --- attribute rules --------------------------------------------------------------------------------- */

static struct attribute_rules *rules_of(const char *text)
{
    struct str line = str_of(text);
    const struct conf_list list = { &line, 1 };
    struct attribute_rules *rules;
    struct mg_why why;

    if (attribute_rules_new(&rules, &list, &why) != MG_OK)
        fail_msg("%s", why.text);
    return rules;
}

static void assert_runs(struct left_out got, const struct run *want, size_t n)
{
    assert_int_equal(got.n, n);
    if (n)
        assert_memory_equal(got.at, want, n * sizeof *want);
}

static void a_rule_drops_spans_and_their_ordinals_are_told(void **state)
{
    static const struct { const char *rule; uint32_t rows; struct run dropped[3]; size_t n; } cases[] = {
        { "drop if name = \"get\"", 3, { { 0, 1 }, { 2, 1 } }, 2 },
        { "drop if service = \"b\"", 2, { { 1, 1 }, { 3, 2 } }, 2 },
        { "drop if span.noise exists", 2, { { 0, 1 }, { 2, 2 } }, 2 }, /* visited 0 2 3: services a, a, b */
        { "drop if not name = \"none\"", 0, { { 0, 5 } }, 1 },
        { "drop if name = \"none\"", 5, { { 0, 0 } }, 0 },
    };
    const struct rows_body body = { INGEST_ZIPKIN_JSON, ZIP_IDENTITY, str_of(zipkin_list), 1 << 20 };
    struct rows_maker *maker = rows_maker_new();

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct attribute_rules *rules = rules_of(cases[i].rule);
        struct rows_result result;
        struct mg_why why;
        rows_maker_rules(maker, rules);
        attribute_rules_unref(&rules); /* the maker has its own */
        assert_int_equal(rows_make(maker, &body, NULL, &result, &why), MG_OK);
        assert_int_equal(result.rows->n, cases[i].rows);
        assert_int_equal(result.dropped, 5 - cases[i].rows);
        assert_int_equal(result.refused.n, 0);
        assert_runs(rows_dropped(maker), cases[i].dropped, cases[i].n);
        assert_runs(rows_refused(maker), NULL, 0);
        rows_recycle(maker, &result.rows);
    }
    rows_maker_free(&maker);
}

static void at_replay_a_rule_drops_nothing_and_the_head_decides(void **state)
{
    static const struct run dropped[] = { { 1, 1 }, { 3, 2 } };
    const struct body_head head = { .dropped = { dropped, 2 } }, empty = { 0 };
    const struct rows_body body = { INGEST_ZIPKIN_JSON, ZIP_IDENTITY, str_of(zipkin_list), 1 << 20 };
    struct rows_maker *maker = rows_maker_new();
    struct attribute_rules *rules = rules_of("drop if name = \"get\"");
    struct rows_result result;
    struct mg_why why;

    (void)state;
    rows_maker_rules(maker, rules);
    assert_int_equal(rows_make(maker, &body, &head, &result, &why), MG_OK);
    assert_int_equal(result.rows->n, 2);
    assert_int_equal(result.dropped, 0);
    rows_recycle(maker, &result.rows);
    assert_int_equal(rows_make(maker, &body, &empty, &result, &why), MG_OK);
    assert_int_equal(result.rows->n, 5);
    rows_recycle(maker, &result.rows);
    rows_maker_rules(maker, NULL);
    assert_int_equal(rows_make(maker, &body, NULL, &result, &why), MG_OK);
    assert_int_equal(result.rows->n, 5);
    rows_recycle(maker, &result.rows);
    attribute_rules_unref(&rules);
    rows_maker_free(&maker);
}

static void refused_and_dropped_spans_are_told_apart(void **state)
{
    static const struct run refused[] = { { 1, 1 }, { 4, 1 } }, dropped[] = { { 0, 1 }, { 2, 2 }, { 5, 1 } };
    struct rows_maker *maker = rows_maker_new();
    struct attribute_rules *rules = rules_of("drop if name = \"op\"");
    struct rows_result result;
    struct mg_why why;
    struct buf bytes;

    (void)state;
    otlp_body(&bytes, 6, 1u << 1 | 1u << 4);
    const struct rows_body body = { INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&bytes), 1 << 20 };
    rows_maker_rules(maker, rules);
    assert_int_equal(rows_make(maker, &body, NULL, &result, &why), MG_OK);
    assert_int_equal(result.rows->n, 0);
    assert_runs(rows_refused(maker), refused, 2);
    assert_runs(rows_dropped(maker), dropped, 3);
    rows_recycle(maker, &result.rows);
    attribute_rules_unref(&rules);
    rows_maker_free(&maker);
    buf_fini(&bytes);
}

/* 20 spans of a request that is smaller than what the rule adds to them. */
static void what_rules_add_counts_at_the_door_and_not_at_replay(void **state)
{
    static const struct body_head empty = { 0 };
    const size_t added = 20 * (1 + 100);
    struct rows_maker *maker = rows_maker_new();
    struct attribute_rules *rules = rules_of("insert k = \"0123456789012345678901234567890123456789012345678901234567890123456789"
                                             "012345678901234567890123456789\"");
    struct rows_result result;
    struct mg_why why;
    uint32_t rows, refused;
    struct buf body;

    (void)state;
    otlp_body(&body, 20, 0);
    assert_true(body.len < added);
    rows_maker_rules(maker, rules);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), added, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 20);
    const struct rows_body given = { INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), added - 1 };
    assert_int_equal(rows_make(maker, &given, NULL, &result, &why), MG_E_TOO_BIG);
    assert_string_equal(why.text, "the attributes that ingest.rules add make this request larger than 2019 bytes (ingest.body_bytes_max)");
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), added - 1, &empty, &rows, &refused), MG_OK);
    assert_int_equal(rows, 20);
    assert_int_equal(make(maker, INGEST_OTLP_PROTO, ZIP_IDENTITY, buf_str(&body), 1 << 20, NULL, &rows, &refused), MG_OK);
    assert_int_equal(rows, 20);
    attribute_rules_unref(&rules);
    rows_maker_free(&maker);
    buf_fini(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_gives_the_same_rows),
        cmocka_unit_test(bad_spans_are_refused_alone),
        cmocka_unit_test(replay_leaves_out_exactly_what_it_is_told),
        cmocka_unit_test(json_is_the_same_request),
        cmocka_unit_test(after_a_malformed_body_the_next_one_is_fine),
        cmocka_unit_test(every_protocol_has_its_scanner),
        cmocka_unit_test(a_body_of_one_protocol_is_none_of_another),
        cmocka_unit_test(a_rule_drops_spans_and_their_ordinals_are_told),
        cmocka_unit_test(at_replay_a_rule_drops_nothing_and_the_head_decides),
        cmocka_unit_test(refused_and_dropped_spans_are_told_apart),
        cmocka_unit_test(what_rules_add_counts_at_the_door_and_not_at_replay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
