/* response_test.c - ExportTraceServiceResponse as servers send it; protobuf bytes by protoc (google.protobuf 6,
 * Python) from the published schema. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "otlp/response.h"

#define BYTES(text) STR_INIT(text)

static const struct row { struct str body; bool is_json; enum mg_err err; uint64_t rejected; const char *message; } rows[] = {
    /* protobuf */
    { BYTES(""), false, MG_OK, 0, "" },
    { BYTES("\x0a\x00"), false, MG_OK, 0, "" }, /* the OpenTelemetry Collector's full success */
    { BYTES("\x0a\x07\x08\x03\x12\x03" "bad"), false, MG_OK, 3, "bad" },
    { BYTES("\x0a\x04\x12\x02hi"), false, MG_OK, 0, "hi" },
    { BYTES("\x0a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), false, MG_OK, INT64_MAX, "" },
    { BYTES("\x0a\x02\x08\x01\x0a\x02\x08\x02"), false, MG_OK, 2, "" }, /* given twice: the last one */
    { BYTES("\x12\x01x\x0a\x02\x08\x01\x18\x05"), false, MG_OK, 1, "" }, /* unknown fields */
    { BYTES("\x0a\x04\x12\x02\xff" "a"), false, MG_OK, 0, "\xef\xbf\xbd" "a" },
    { BYTES("\x0a\x03\x0a\x01x"), false, MG_OK, 0, "" }, /* field 1 of a wrong type: as unknown */
    { BYTES("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), false, MG_E_FORMAT, 0, "" }, /* -1 */
    { BYTES("\x0a\x07\x08\x03\x12\x03" "ba"), false, MG_E_FORMAT, 0, "" },
    { BYTES("\x0a"), false, MG_E_FORMAT, 0, "" },
    { BYTES("\x0a\x05\x12\x7f" "bad"), false, MG_E_FORMAT, 0, "" },
    { BYTES("\x08\x03"), false, MG_E_FORMAT, 0, "" },
    { BYTES("<html>moved</html>"), false, MG_E_FORMAT, 0, "" },
    { BYTES("{}"), false, MG_E_FORMAT, 0, "" },
    { BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), false, MG_E_FORMAT, 0, "" },
    /* JSON */
    { BYTES("{}"), true, MG_OK, 0, "" },
    { BYTES(""), true, MG_OK, 0, "" },
    { BYTES("{\"partialSuccess\":{}}"), true, MG_OK, 0, "" },
    { BYTES("{\"partialSuccess\":null}"), true, MG_OK, 0, "" },
    { BYTES("{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"bad\"}}"), true, MG_OK, 3, "bad" },
    { BYTES("{\"partialSuccess\":{\"rejectedSpans\":4}}"), true, MG_OK, 4, "" },
    { BYTES("{\"x\":[1],\"partialSuccess\":{\"errorMessage\":\"hm\"}}"), true, MG_OK, 0, "hm" },
    { BYTES("{\"partialSuccess\":{\"rejectedSpans\":\"-3\"}}"), true, MG_E_FORMAT, 0, "" },
    { BYTES("{\"partialSuccess\":{\"rejectedSpans\":-3}}"), true, MG_E_FORMAT, 0, "" },
    { BYTES("{\"partialSuccess\":{\"rejectedSpans\":\"18446744073709551615\"}}"), true, MG_E_FORMAT, 0, "" },
    { BYTES("{\"partialSuccess\":{\"rejectedSpans\":[]}}"), true, MG_E_FORMAT, 0, "" },
    { BYTES("[]"), true, MG_E_FORMAT, 0, "" },
    { BYTES("{\"partialSuccess\":"), true, MG_E_FORMAT, 0, "" },
    { BYTES("\x0a\x00"), true, MG_E_FORMAT, 0, "" },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct response response = {.rejected_spans = 77};
        enum mg_err err = response_read(rows[i].body, rows[i].is_json, &response);
        if (err != rows[i].err)
            fail_msg("row %zu: %s", i, mg_err_name(err));
        if (err != MG_OK) {
            assert_int_equal(response.rejected_spans, 77); /* written on success only */
            continue;
        }
        assert_int_equal(response.rejected_spans, rows[i].rejected);
        assert_string_equal(response.message, rows[i].message);
    }
}

static void test_long_message_is_cut(void **state)
{
    char body[1003] = "\x0a\xe8\x07\x12\xe5\x07"; /* 1000 bytes, of them 997 of text */
    struct response response;
    (void)state;
    memset(body + 6, 'm', 997);
    body[6 + 199] = '\xc3', body[6 + 200] = '\xa4'; /* a character of two bytes where it is cut */
    assert_int_equal(response_read(str_n(body, sizeof body), false, &response), MG_OK);
    assert_int_equal(strlen(response.message), 199);
    memset(body + 6, 0xff, 997); /* bytes that grow when they are replaced */
    assert_int_equal(response_read(str_n(body, sizeof body), false, &response), MG_OK);
    assert_int_equal(strlen(response.message), 198);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_long_message_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
