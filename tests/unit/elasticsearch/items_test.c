/* items_test.c - answers to bulk requests, whole, filtered, partial and broken. Some are what
 * OpenSearch 2.13 answered. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "codec/json_read.h"
#include "elasticsearch/private.h"

#define FINE "{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":201}}"
#define ITEM(index, status, error) "{\"index\":{\"_index\":\"" index "\",\"status\":" #status ",\"error\":" error "}}"
#define FULL "{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"_type\":\"_doc\",\"_id\":\"1\",\"status\":429,\"error\":{\"type\":"     \
             "\"es_rejected_execution_exception\",\"reason\":\"rejected execution of coordinating operation\",\"caused_by\":{\"type\":" \
             "\"x\",\"reason\":\"y\"}}}}"
#define MAPPER "{\"type\":\"mapper_parsing_exception\",\"reason\":\"failed to parse field [duration]\"}"
#define ERRORS(items) "{\"took\":30,\"errors\":true,\"items\":[" items "]}"

/* What OpenSearch 2.13 answered: a document that does not fit the mapping; a disk that is nearly full; an index
 * that is closed to writers; a document that was there; a body that is no JSON. */
#define OPENSEARCH_MAPPER                                                                                                               \
    "{\"errors\":true,\"items\":[{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":400,\"error\":{\"type\":\"mapper_parsing_"    \
    "exception\",\"reason\":\"failed to parse field [duration] of type [long] in document with id '1'. Preview of field's value: 'x'\"" \
    "}}},{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":201}}]}"
#define OPENSEARCH_BLOCKED(status, reason)                                                                                              \
    "{\"errors\":true,\"items\":[{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"status\":" status ",\"error\":{\"type\":\"cluster_block"  \
    "_exception\",\"reason\":\"index [jaeger-span-2018-01-24] blocked by: [" reason "];\"}}}]}"
#define OPENSEARCH_CONFLICT                                                                                                             \
    "{\"errors\":true,\"items\":[{\"create\":{\"_index\":\"jaeger-span-2018-01-25\",\"status\":201}},{\"create\":{\"_index\":\"jaeger-span-"  \
    "2018-01-25\",\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"[2]: version conflict, document"  \
    " already exists (current version [1])\"}}}]}"
#define OPENSEARCH_WHOLE                                                                                                                \
    "{\"took\":4,\"errors\":true,\"items\":[{\"index\":{\"_index\":\"jaeger-span-2018-01-24\",\"_id\":\"1\",\"status\":400,\"error\":{\"type\":" \
    "\"mapper_parsing_exception\",\"reason\":\"failed to parse field [duration] of type [long] in document with id '1'. Preview of " \
    "field's value: 'x'\",\"caused_by\":{\"type\":\"illegal_argument_exception\",\"reason\":\"For input string: \\\"x\\\"\"}}}},{\"index\"" \
    ":{\"_index\":\"jaeger-span-2018-01-24\",\"_id\":\"2\",\"_version\":2,\"result\":\"updated\",\"_shards\":{\"total\":2,\"successful\":1"  \
    ",\"failed\":0},\"_seq_no\":1,\"_primary_term\":1,\"status\":200}}]}"
#define OPENSEARCH_NO_JSON                                                                                                              \
    "{\"error\":{\"root_cause\":[{\"type\":\"json_parse_exception\",\"reason\":\"Unrecognized token 'x'\"}],\"type\":\"json_parse_"      \
    "exception\",\"reason\":\"Unrecognized token 'x'\"},\"status\":400}"

static const struct row { const char *body; uint32_t expected; enum mg_err err; uint32_t deferred, refused; const char *reason; } rows[] = {
    /* fine */
    { "{\"errors\":false}", 3, MG_OK, 0, 0, "" },
    { "{\"errors\":false,\"items\":[" FINE "]}", 3, MG_OK, 0, 0, "" }, /* the items are not looked at */
    { "{\"took\":30,\"errors\":false,\"items\":[" FINE, 1, MG_OK, 0, 0, "" },
    { ERRORS(FINE "," FINE), 2, MG_OK, 0, 0, "" },
    { ERRORS("{\"create\":{\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":\"exists\"}}}"), 1, MG_OK,
      0, 0, "" },
    { "{\"items\":[" FINE "],\"errors\":true}", 1, MG_OK, 0, 0, "" }, /* in another order */
    { OPENSEARCH_CONFLICT, 2, MG_OK, 0, 0, "" },
    /* refused */
    { OPENSEARCH_MAPPER, 2, MG_OK, 0, 1, "status 400, mapper_parsing_exception: failed to parse field [duration] of type [long]" },
    { OPENSEARCH_WHOLE, 2, MG_OK, 0, 1, "mapper_parsing_exception: failed to parse field" },
    { OPENSEARCH_BLOCKED("403", "FORBIDDEN/8/index write (api)"), 1, MG_OK, 0, 1, "FORBIDDEN/8" },
    { ERRORS(FINE "," ITEM("jaeger-span-2018-01-24", 400, MAPPER)), 2, MG_OK, 0, 1,
      "index jaeger-span-2018-01-24, status 400, mapper_parsing_exception: failed to parse field [duration]" },
    { ERRORS(ITEM("a", 400, MAPPER) "," ITEM("b", 404, "\"gone\"") "," FINE), 3, MG_OK, 0, 2, "index a, status 400" },
    { ERRORS(ITEM("a", 404, "{\"type\":\"document_missing_exception\"}")), 1, MG_OK, 0, 1, "status 404" },
    { ERRORS(ITEM("a", 400, "{\"type\":\"index_not_found_exception\"}")), 1, MG_OK, 0, 1, "status 400" },
    { ERRORS(ITEM("a", 413, "null")), 1, MG_OK, 0, 1, "index a, status 413, : " },
    { ERRORS(ITEM("a", 403, "{\"type\":\"cluster_block_exception\",\"reason\":\"read-only\"}")), 1, MG_OK, 0, 1, "read-only" },
    { ERRORS(ITEM("jaeger-service-2018-01-24", 400, MAPPER)), 1, MG_OK, 0, 0, "status 400" }, /* no span */
    { ERRORS(ITEM("x-jaeger-service-2018-01-24", 400, MAPPER)), 1, MG_OK, 0, 1, "status 400" }, /* not ours */
    { ERRORS(ITEM("a", 301, "{}")), 1, MG_OK, 0, 1, "status 301" },
    /* put off */
    { OPENSEARCH_BLOCKED("429", "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block"), 1,
      MG_OK, 1, 0, "flood-stage watermark" },
    { ERRORS(FULL "," FINE), 2, MG_OK, 1, 0, "status 429, es_rejected_execution_exception: rejected execution" },
    { ERRORS(ITEM("a", 500, "{\"reason\":\"r\"}")), 1, MG_OK, 1, 0, "status 500, : r" },
    { ERRORS(ITEM("a", 503, "{\"type\":\"unavailable_shards_exception\"}") "," FULL), 2, MG_OK, 2, 0, "status 503" },
    { ERRORS(ITEM("a", 400, MAPPER) "," FULL), 2, MG_OK, 1, 1, "status 429" }, /* the reason to wait is told */
    { ERRORS(ITEM("a", 403, "{\"type\":\"security_exception\",\"reason\":\"unauthorized\"}")), 1, MG_OK, 1, 0, "unauthorized" },
    { ERRORS(ITEM("a", 404, "{\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"}")), 1, MG_OK, 1, 0, "no such index" },
    { ERRORS(ITEM("jaeger-service-2018-01-24", 429, MAPPER)), 1, MG_OK, 1, 0, "status 429" },
    /* not of that form */
    { OPENSEARCH_NO_JSON, 1, MG_E_FORMAT, 0, 0, "" },
    { "", 1, MG_E_FORMAT, 0, 0, "" },
    { "{}", 1, MG_E_FORMAT, 0, 0, "" },
    { "[]", 1, MG_E_FORMAT, 0, 0, "" },
    { "null", 1, MG_E_FORMAT, 0, 0, "" },
    { "<html>Bad Gateway</html>", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":null}", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":\"false\"}", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"items\":[" FINE "]}", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":true}", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":true,\"items\":null}", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":true,\"items\":{}}", 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS(""), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS(FINE), 2, MG_E_FORMAT, 0, 0, "" },
    { ERRORS(FINE "," FINE), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":{}}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":{\"status\":\"201\"}}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":{\"status\":20.1}}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":{\"status\":0}}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":{\"status\":-201}}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":5}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("{\"index\":{\"status\":201},\"more\":{}}"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS("5"), 1, MG_E_FORMAT, 0, 0, "" },
    { ERRORS(FINE) "x", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":true,\"items\":[" FINE, 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":true,\"items\":[{\"index\":{\"status\":4", 1, MG_E_FORMAT, 0, 0, "" },
    { "{\"errors\":true,\"items\":[{\"index\":{\"error\":{\"type\":", 1, MG_E_FORMAT, 0, 0, "" },
};

static void test_rows(void **state)
{
    MG_AUTO(json_reader_free) struct json_reader *reader = json_reader_new(64);
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct items items = {.refused = 77};
        struct mg_why why = {""};
        enum mg_err err = items_read(reader, str_of(row->body), row->expected, STR("jaeger-service-"), &items, &why);
        if (err != row->err)
            fail_msg("row %zu: %s %s", i, mg_err_name(err), why.text);
        if (err != MG_OK) {
            assert_int_equal(items.refused, 77);
            assert_non_null(strstr(why.text, "bulk request"));
            continue;
        }
        if (items.deferred != row->deferred || items.refused != row->refused || !strstr(items.reason.text, row->reason) ||
            (row->reason[0] == '\0' && items.reason.text[0]))
            fail_msg("row %zu: %u %u '%s'", i, items.deferred, items.refused, items.reason.text);
    }
}

/* Every prefix of a partial answer is malformed, and reading it does no harm. */
static void test_cut_anywhere(void **state)
{
    static const char whole[] = ERRORS(ITEM("a", 400, MAPPER) "," FULL "," FINE);
    MG_AUTO(json_reader_free) struct json_reader *reader = json_reader_new(64);
    struct items items;
    (void)state;
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        struct buf copy; /* of its very size, for the sanitizer */
        buf_init(&copy, len);
        buf_put(&copy, whole, len);
        assert_int_equal(items_read(reader, buf_str(&copy), 3, STR("s"), &items, NULL), MG_E_FORMAT);
        buf_fini(&copy);
    }
    assert_int_equal(items_read(reader, STR(ERRORS(ITEM("a", 400, MAPPER) "," FULL "," FINE)), 3, STR("s"), &items, NULL), MG_OK);
}

static void test_depth_and_length(void **state)
{
    MG_AUTO(json_reader_free) struct json_reader *reader = json_reader_new(64);
    struct items items;
    struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    buf_put_text(&text, "{\"errors\":true,\"items\":[{\"index\":{\"status\":400,\"error\":{\"x\":");
    for (int i = 0; i < 1000; i++)
        buf_put_char(&text, '[');
    assert_int_equal(items_read(reader, buf_str(&text), 1, STR("s"), &items, NULL), MG_E_FORMAT);
    buf_clear(&text);
    buf_put_text(&text, "{\"errors\":true,\"items\":[{\"index\":{\"status\":400,\"_index\":\"");
    for (int i = 0; i < 10000; i++)
        buf_put_text(&text, "\xc3\xa4");
    buf_put_text(&text, "\",\"error\":\"");
    for (int i = 0; i < 10000; i++)
        buf_put_text(&text, "\xc3\xa4");
    buf_put_text(&text, "\"}}]}");
    assert_int_equal(items_read(reader, buf_str(&text), 1, STR("s"), &items, NULL), MG_OK);
    assert_int_equal(items.refused, 1);
    assert_true(strlen(items.reason.text) < 350);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_depth_and_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
