/* otlp_json_test.c - OTLP/JSON read leniently, written strictly, and both
 * together without loss. */
#include "model_help.h"

#include <math.h>
#include "model/otlp_json.h"

#define IDS "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\""

static struct str in_request(const char *members)
{
    return arena_printf(&help_arena,
                        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{" IDS "%s%s}]}]}]}",
                        *members ? "," : "", members);
}

/* JSON -> what the scanner tells of it; false: refused, with a sentence that names a byte. */
static bool told_of(struct str json, struct buf *told)
{
    struct otlp_json *reader = otlp_json_new();
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct mg_why why = { "" };
    struct buf proto;
    char *copy = mem_copy(json.ptr, json.len); /* exact size: a sanitizer sees a byte too far */

    buf_init(&proto, 1 << 20);
    buf_init(told, SIZE_MAX);
    enum mg_err err = otlp_json_to_proto(reader, str_n(copy, json.len), &proto, &why);
    if (err == MG_OK) {
        if (otlp_scan(scanner, buf_str(&proto), &telling, told, &why) != MG_OK)
            fail_msg("%.*s: %s", STR_ARG(json), why.text);
    } else {
        size_t at;
        assert_int_equal(err, MG_E_FORMAT);
        if (!str_find(str_of(why.text), STR("byte "), &at))
            fail_msg("no byte in '%s'", why.text);
    }
    mem_free(copy);
    buf_fini(&proto);
    otlp_scanner_free(&scanner);
    otlp_json_free(&reader);
    return err == MG_OK;
}

static void span_members(void **state)
{
    static const struct { const char *members, *want;
    } rows[] = {
        { "", "" },
        /* ids: hex in either case, empty is absent; the length is the scanner's business */
        { "\"parentSpanId\":\"EEE19B7EC3C1B173\"", " parent=eee19b7ec3c1b173" },
        { "\"parentSpanId\":\"\"", "" },
        { "\"parentSpanId\":null", "" },
        { "\"parentSpanId\":\"eee19b7ec3c1b17\"", NULL },
        { "\"parentSpanId\":\"7uGbfsPBsXM=\"", NULL },
        { "\"parentSpanId\":12", NULL },
        { "\"parentSpanId\":\"xee19b7ec3c1b173\"", NULL },
        /* names: camel and snake */
        { "\"name\":\"n\"", " name=n" },
        { "\"trace_state\":\"a=1\"", " state=a=1" },
        { "\"TraceState\":\"a=1\"", "" },
        { "\"trace_State\":\"a=1\"", "" },
        { "\"traceState_\":\"a=1\"", "" },
        { "\"start_time_unix_nano\":\"7\",\"end_time_unix_nano\":8", " start=7 end=8" },
        { "\"name\":\"\\u00e9\\ud83d\\ude00\"", " name=\xc3\xa9\xf0\x9f\x98\x80" },
        { "\"name\":\"a\\ud800b\"", " name=a\xef\xbf\xbd"
                                    "b" },
        { "\"name\":\"\xff\"", " name=\xff" },
        { "\"name\":\"\"", "" },
        { "\"name\":5", NULL },
        { "\"name\":[]", NULL },
        { "\"name\":{}", NULL },
        { "\"name\":true", NULL },
        { "\"name\":\"a\nb\"", NULL },
        /* null is no key */
        { "\"name\":null,\"kind\":null,\"startTimeUnixNano\":null,\"attributes\":null,\"status\":"
          "null,\"flags\":null",
          "" },
        /* enums: numbers, their text, full names */
        { "\"kind\":2", " kind=2" },
        { "\"kind\":\"2\"", " kind=2" },
        { "\"kind\":\"SPAN_KIND_SERVER\"", " kind=2" },
        { "\"kind\":\"SPAN_KIND_UNSPECIFIED\"", "" },
        { "\"kind\":\"SPAN_KIND_CONSUMER\"", " kind=5" },
        { "\"kind\":99", " kind=99" },
        { "\"kind\":-1", " kind=-1" },
        { "\"kind\":2147483647", " kind=2147483647" },
        { "\"kind\":2147483648", NULL },
        { "\"kind\":\"SERVER\"", NULL },
        { "\"kind\":\"span_kind_server\"", NULL },
        { "\"kind\":\"\"", NULL },
        { "\"kind\":1.5", NULL },
        { "\"kind\":true", NULL },
        { "\"status\":{\"code\":\"STATUS_CODE_ERROR\",\"message\":\"m\"}", " code=2 message=m" },
        { "\"status\":{\"code\":1}", " code=1" },
        { "\"status\":{\"code\":\"STATUS_CODE_OK\"}", " code=1" },
        { "\"status\":{}", "" },
        { "\"status\":{\"code\":\"OK\"}", NULL },
        { "\"status\":[]", NULL },
        { "\"status\":2", NULL },
        /* integers: bare or as text, exact, integral in any spelling */
        { "\"startTimeUnixNano\":\"1544712660000000001\"", " start=1544712660000000001" },
        { "\"startTimeUnixNano\":1544712660000000001", " start=1544712660000000001" },
        { "\"startTimeUnixNano\":18446744073709551615", " start=-1" }, /* told as signed */
        { "\"startTimeUnixNano\":18446744073709551616", NULL },
        { "\"startTimeUnixNano\":1.5e18", " start=1500000000000000000" },
        { "\"startTimeUnixNano\":1.5E+18", " start=1500000000000000000" },
        { "\"startTimeUnixNano\":\"1e3\"", " start=1000" },
        { "\"startTimeUnixNano\":2.0", " start=2" },
        { "\"startTimeUnixNano\":1000e-3", " start=1" },
        { "\"startTimeUnixNano\":0e999999999999", "" },
        { "\"startTimeUnixNano\":1e999999999999", NULL },
        { "\"startTimeUnixNano\":1e-999999999999", NULL },
        { "\"startTimeUnixNano\":1e20", NULL },
        { "\"startTimeUnixNano\":1844674407370955161.5e1", " start=-1" },
        { "\"startTimeUnixNano\":-1", NULL },
        { "\"startTimeUnixNano\":-0", "" },
        { "\"startTimeUnixNano\":1.5", NULL },
        { "\"startTimeUnixNano\":\"\"", NULL },
        { "\"startTimeUnixNano\":\" 5\"", NULL },
        { "\"startTimeUnixNano\":\"5x\"", NULL },
        { "\"startTimeUnixNano\":\"0x5\"", NULL },
        { "\"startTimeUnixNano\":\"5.\"", NULL },
        { "\"startTimeUnixNano\":\".5e1\"", NULL },
        { "\"startTimeUnixNano\":\"1e\"", NULL },
        { "\"startTimeUnixNano\":\"-\"", NULL },
        { "\"startTimeUnixNano\":\"1.2.3\"", NULL },
        { "\"startTimeUnixNano\":[1]", NULL },
        { "\"flags\":257", " flags=257" },
        { "\"flags\":\"257\"", " flags=257" },
        { "\"flags\":4294967295", " flags=4294967295" },
        { "\"flags\":4294967296", NULL },
        { "\"flags\":-1", NULL },
        { "\"droppedAttributesCount\":1,\"dropped_events_count\":\"2\",\"droppedLinksCount\":3",
          " dropped_attrs=1 dropped_events=2 dropped_links=3" },
        { "\"droppedAttributesCount\":4294967296", NULL },
        /* unknown keys of any shape */
        { "\"x\":{\"a\":[1,{\"b\":[[]]},null,true,\"s\"]},\"name\":\"n\"", " name=n" },
        { "\"x\":[{\"name\":\"y\"}]", "" },
        { "\"x\":[1,]", NULL },
        { "\"\":1", "" },
        /* keys twice: the last one counts, whatever it is */
        { "\"name\":\"a\",\"kind\":1,\"name\":\"b\"", " name=b kind=1" },
        { "\"name\":\"a\",\"name\":null", "" },
        { "\"attributes\":[{\"key\":\"a\"},{\"key\":\"b\"}],\"attributes\":[{\"key\":\"c\"}]",
          " c:empty" },
        { "\"attributes\":[{\"key\":\"a\"}],\"attributes\":[]", "" },
        { "\"status\":{\"code\":2},\"status\":{\"message\":\"m\"}", " message=m" },
        { "\"kind\":1,\"attributes\":[{\"key\":\"a\"}],\"kind\":2,\"name\":\"n\",\"attributes\":[{"
          "\"key\":\"b\"}],\"name\":\"m\"",
          " name=m kind=2 b:empty" },
        { "\"start_time_unix_nano\":1,\"startTimeUnixNano\":2", " start=2" },
        /* lists */
        { "\"attributes\":{}", NULL },
        { "\"attributes\":[1]", NULL },
        { "\"attributes\":[[]]", NULL },
        { "\"attributes\":[null,{\"key\":\"a\"},null]", " a:empty" },
        { "\"attributes\":\"\"", NULL },
        { "\"attributes\":[{\"key\":1}]", NULL },
        { "\"attributes\":[{\"key\":\"a\",\"value\":1}]", NULL },
        { "\"events\":[{}],\"links\":[{}]", " events=5a00 links=6a00" },
        { "\"events\":[{\"timeUnixNano\":\"5\",\"name\":\"e\",\"attributes\":[],\"dropped_"
          "attributes_count\":1}]",
          " events=5a0e0905000000000000001201652001" },
        { "\"links\":[{\"traceId\":\"AB\",\"span_id\":\"\",\"traceState\":\"s\",\"flags\":1}]",
          " links=6a0d0a01ab12001a01733501000000" },
        { "\"links\":[{\"traceId\":\"A\"}]", NULL },
        /* what the writer adds for what has no name */
        { "\"meshglass.unknown\":\"oAYB\"", " unknown=a00601" },
        { "\"meshglass.unknown\":\"oAYB\",\"meshglass.unknown\":\"oAYC\"", " unknown=a00602" },
        { "\"meshglass.unknown\":[1]", "" },
        { "\"meshglass.unknown\":\"?\"", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf told, want;
        bool ok = told_of(in_request(rows[i].members), &told);
        buf_init(&want, SIZE_MAX);
        if (rows[i].want)
            buf_printf(&want, "R\nS\n0%s\n", rows[i].want);
        if (ok != (rows[i].want != NULL) || !str_eq(buf_str(&told), buf_str(&want)))
            fail_msg("%s: %.*s", rows[i].members, (int)told.len, told.ptr ? told.ptr : "");
        buf_fini(&told);
        buf_fini(&want);
    }
}

static void values(void **state)
{
    static const struct { const char *value, *want;
    } rows[] = {
        { "{}", "empty" },
        { "null", "empty" },
        { "{\"unknownValue\":1}", "empty" },
        { "{\"stringValue\":\"x\"}", "string:x" },
        { "{\"stringValue\":\"\"}", "string:" },
        { "{\"stringValue\":null}", "empty" },
        { "{\"string_value\":\"x\"}", "string:x" },
        { "{\"stringValue\":1}", NULL },
        { "{\"boolValue\":true}", "bool:1" },
        { "{\"boolValue\":false}", "bool:0" },
        { "{\"boolValue\":\"true\"}", NULL },
        { "{\"boolValue\":1}", NULL },
        { "{\"intValue\":\"5\"}", "int:5" },
        { "{\"intValue\":5}", "int:5" },
        { "{\"intValue\":0}", "int:0" },
        { "{\"intValue\":9007199254740993}", "int:9007199254740993" },
        { "{\"intValue\":\"9223372036854775807\"}", "int:9223372036854775807" },
        { "{\"intValue\":-9223372036854775808}", "int:-9223372036854775808" },
        { "{\"intValue\":9223372036854775808}", NULL },
        { "{\"intValue\":-9223372036854775809}", NULL },
        { "{\"intValue\":1e3}", "int:1000" },
        { "{\"intValue\":-1.25e2}", "int:-125" },
        { "{\"intValue\":1.5}", NULL },
        { "{\"intValue\":\"NaN\"}", NULL },
        { "{\"doubleValue\":1.5}", "double:1.5" },
        { "{\"doubleValue\":\"1.5\"}", "double:1.5" },
        { "{\"doubleValue\":3}", "double:3" },
        { "{\"doubleValue\":-0.0}", "double:-0" },
        { "{\"doubleValue\":\"NaN\"}", "double:nan" },
        { "{\"doubleValue\":\"Infinity\"}", "double:inf" },
        { "{\"doubleValue\":\"-Infinity\"}", "double:-inf" },
        { "{\"doubleValue\":\"inf\"}", "double:inf" },
        { "{\"doubleValue\":1e999}", NULL },
        { "{\"doubleValue\":\"1e999\"}", NULL },
        { "{\"doubleValue\":NaN}", NULL },
        { "{\"doubleValue\":\"x\"}", NULL },
        { "{\"doubleValue\":\"\"}", NULL },
        { "{\"doubleValue\":true}", NULL },
        { "{\"bytesValue\":\"AP8Q\"}", "bytes:00ff10" },
        { "{\"bytesValue\":\"-_8=\"}", "bytes:fbff" }, /* URL alphabet */
        { "{\"bytesValue\":\"+/8\"}", "bytes:fbff" },  /* no padding */
        { "{\"bytesValue\":\"\"}", "bytes:" },
        { "{\"bytesValue\":\"A\"}", NULL },
        { "{\"bytesValue\":\"A*\"}", NULL },
        { "{\"bytesValue\":1}", NULL },
        { "{\"arrayValue\":{}}", "array:" },
        { "{\"arrayValue\":{\"values\":null}}", "array:" },
        { "{\"arrayValue\":{\"values\":[]}}", "array:" },
        { "{\"arrayValue\":null}", "empty" },
        { "{\"array_value\":{\"values\":[{\"intValue\":1},null,{}]}}", "array:0a0218010a000a00" },
        { "{\"arrayValue\":{\"values\":{}}}", NULL },
        { "{\"arrayValue\":[]}", NULL },
        { "{\"arrayValue\":{\"values\":[1]}}", NULL },
        { "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"intValue\":1}}]}}",
          "map:0a070a016b12021801" },
        { "{\"kvlistValue\":{\"values\":[{}]}}", "map:0a00" },
        { "{\"kvlistValue\":{\"values\":[{\"key\":null}]}}", "map:0a00" },
        { "{\"kvlistValue\":{\"values\":[1]}}", NULL },
        /* two members, or one twice */
        { "{\"stringValue\":\"x\",\"intValue\":1}", "int:1" },
        { "{\"intValue\":1,\"stringValue\":\"x\"}", "string:x" },
        { "{\"intValue\":1,\"stringValue\":null}", "int:1" },
        { "{\"stringValue\":\"x\",\"intValue\":1,\"stringValue\":\"y\"}", "string:y" },
        { "{\"arrayValue\":{\"values\":[{}]},\"arrayValue\":{}}", "array:" },
        { "{\"arrayValue\":{},\"boolValue\":true}", "bool:1" },
        { "[]", NULL },
        { "\"x\"", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf told, want;
        struct str members = arena_printf(
            &help_arena, "\"attributes\":[{\"key\":\"a\",\"value\":%s}]", rows[i].value);
        bool ok = told_of(in_request(members.ptr), &told);
        buf_init(&want, SIZE_MAX);
        if (rows[i].want)
            buf_printf(&want, "R\nS\n0 a:%s\n", rows[i].want);
        if (ok != (rows[i].want != NULL) || !str_eq(buf_str(&told), buf_str(&want)))
            fail_msg("%s: %.*s", rows[i].value, (int)told.len, told.ptr ? told.ptr : "");
        buf_fini(&told);
        buf_fini(&want);
    }
}

static void documents(void **state)
{
    static const struct { const char *json, *want;
    } rows[] = {
        { "{}", "" },
        { "null", "" },
        { " \n{ } \t", "" },
        { "{\"resourceSpans\":[]}", "" },
        { "{\"resource_spans\":[{}]}", "R\n" },
        { "{\"resourceSpans\":null}", "" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[]}]}]}", "R\nS\n" },
        { "{\"resourceSpans\":[{\"resource\":{},\"schemaUrl\":\"u\",\"scopeSpans\":[{\"scope\":{"
          "\"name\":\"n\"}}]}]}",
          "R bytes=0a001a0175\nS bytes=0a030a016e\n" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}]}]}]}", "R\nS\n0 refused trace\n" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"ab\"}]}]}]}",
          "R\nS\n0 refused trace\n" },
        { "{\"resourceSpans\":[{\"instrumentationLibrarySpans\":[{\"spans\":[{}]}]}]}", "R\n" },
        { "", NULL },
        { " ", NULL },
        { "[]", NULL },
        { "1", NULL },
        { "\"x\"", NULL },
        { "{} {}", NULL }, /* text after the document */
        { "{}x", NULL },
        { "\xef\xbb\xbf{}", NULL }, /* BOM */
        { "{", NULL },
        { "{\"resourceSpans\":[", NULL },
        { "{\"resourceSpans\":[{}", NULL },
        { "{\"resourceSpans\":[{}}", NULL },
        { "{\"resourceSpans\":{}}", NULL },
        { "{\"resourceSpans\":[1]}", NULL },
        { "{resourceSpans:[]}", NULL },
        { "{\"resourceSpans\":[],}", NULL },
        { "{'resourceSpans':[]}", NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf told;
        bool ok = told_of(str_of(rows[i].json), &told);
        if (ok != (rows[i].want != NULL) || (ok && !str_eq(buf_str(&told), str_of(rows[i].want))))
            fail_msg("%s: %.*s", rows[i].json, (int)told.len, told.ptr ? told.ptr : "");
        buf_fini(&told);
    }
}

static void errors_name_byte_and_field(void **state)
{
    static const struct { const char *json, *want; } rows[] = {
        { "{\"resourceSpans\":5}", "JSON byte 17: resourceSpans: must be an array" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"x0\"}]}]}]}",
          "JSON byte 54: traceId: is not an even number of hex digits" },
        { "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":1.5}]}]}]}",
          "JSON byte 51: kind: is not an integer, or out of range" },
    };
    struct otlp_json *reader = otlp_json_new();
    struct mg_why why;
    struct buf proto;

    (void)state;
    buf_init(&proto, SIZE_MAX);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        assert_int_equal(otlp_json_to_proto(reader, str_of(rows[i].json), &proto, &why),
                         MG_E_FORMAT);
        assert_string_equal(why.text, rows[i].want);
    }
    buf_fini(&proto);
    otlp_json_free(&reader);
    otlp_json_free(&reader);
}

/* Arrays in an attribute's value, as the scanner counts: 29 are 64 messages. */
static void nesting_is_limited(void **state)
{
    static const struct { unsigned arrays, maps; bool want; } rows[] = {
        { 28, 0, true }, { 29, 0, true }, { 30, 0, false }, { 31, 0, false }, { 20000, 0, false },
        { 27, 1, true }, { 28, 1, false }, { 0, 19, true }, { 0, 20, false },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf json, told;
        buf_init(&json, SIZE_MAX);
        buf_put_text(&json, "\"attributes\":[{\"key\":\"a\",\"value\":");
        for (unsigned k = 0; k < rows[i].arrays; k++)
            buf_put_text(&json, "{\"arrayValue\":{\"values\":[");
        for (unsigned k = 0; k < rows[i].maps; k++)
            buf_put_text(&json, "{\"kvlistValue\":{\"values\":[{\"value\":");
        buf_put_text(&json, "{\"intValue\":1}");
        for (unsigned k = 0; k < rows[i].maps; k++)
            buf_put_text(&json, "}]}}");
        for (unsigned k = 0; k < rows[i].arrays; k++)
            buf_put_text(&json, "]}}");
        buf_put_text(&json, "}]");
        buf_put_char(&json, '\0');
        if (told_of(in_request(json.ptr), &told) != rows[i].want)
            fail_msg("%u arrays, %u maps", rows[i].arrays, rows[i].maps);
        buf_fini(&json);
        buf_fini(&told);
    }
}

static void output_is_limited(void **state)
{
    struct otlp_json *reader = otlp_json_new();
    struct str json = in_request("\"name\":\"0123456789\",\"status\":{\"code\":1}");
    struct mg_why why;
    struct buf proto;

    (void)state;
    buf_init(&proto, SIZE_MAX);
    assert_int_equal(otlp_json_to_proto(reader, json, &proto, &why), MG_OK);
    size_t need = proto.len;
    buf_fini(&proto);
    for (size_t limit = 0; limit <= need + 1; limit++) {
        buf_init(&proto, limit);
        assert_int_equal(otlp_json_to_proto(reader, json, &proto, &why),
                         limit < need ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&proto);
    }
    otlp_json_free(&reader);
}

/* Every beginning of a text is refused: nothing is believed before its end. */
static void cut_anywhere(void **state)
{
    struct str json = in_request(
        "\"name\":\"n\\u00e9\",\"attributes\":[{\"key\":\"a\",\"value\":{\"intValue\":\"-12\"}}]");

    (void)state;
    for (size_t len = 0; len < json.len; len++) {
        struct buf told;
        assert_false(told_of(str_n(json.ptr, len), &told));
        buf_fini(&told);
    }
}

/* --- writing --------------------------------------------- */

static void json_of(struct buf *out, const struct span *span)
{
    struct json_writer w;

    buf_init(out, SIZE_MAX);
    json_writer_init(&w, out, 0);
    otlp_json_span(&w, span);
    assert_int_equal(buf_err(out), MG_OK);
}

static void output_is_strict(void **state)
{
    const struct attr attrs[] = {
        { STR("s"), { .type = VALUE_STRING, .str = STR("x\"\n") } },
        { STR("b"), { .type = VALUE_BOOL, .b = false } },
        { STR("i"), { .type = VALUE_INT, .i = INT64_MIN } },
        { STR("d"), { .type = VALUE_DOUBLE, .d = -INFINITY } },
        { STR("y"), { .type = VALUE_BYTES, .str = STR("\xff") } },
        { STR("e"), { .type = VALUE_EMPTY } },
        { STR("a"), { .type = VALUE_ARRAY, .raw = STR("\x0a\x00\x0a\x02\x18\x01") } },
    };
    static const char want[] = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"k\","
                               "\"value\":{}}],\"droppedAttributesCount\":1},"
                               "\"scopeSpans\":[{\"scope\":{\"name\":\"n\"},\"spans\":[{"
                               "\"traceId\":\"ab000000000000000000000000000001\","
                               "\"spanId\":\"cd00000000000000\",\"traceState\":\"t\","
                               "\"parentSpanId\":\"0100000000000000\",\"name\":\"op\","
                               "\"kind\":2,\"startTimeUnixNano\":\"18446744073709551615\","
                               "\"endTimeUnixNano\":\"1\",\"attributes\":["
                               "{\"key\":\"s\",\"value\":{\"stringValue\":\"x\\\"\\n\"}},{\"key\":"
                               "\"b\",\"value\":{\"boolValue\":false}},"
                               "{\"key\":\"i\",\"value\":{\"intValue\":\"-9223372036854775808\"}},"
                               "{\"key\":\"d\",\"value\":{\"doubleValue\":\"-Infinity\"}},{\"key\":"
                               "\"y\",\"value\":{\"bytesValue\":\"/w==\"}},"
                               "{\"key\":\"e\",\"value\":{}},{\"key\":\"a\",\"value\":{"
                               "\"arrayValue\":{\"values\":[{},{\"intValue\":\"1\"}]}}}],"
                               "\"droppedAttributesCount\":1,\"events\":[{\"timeUnixNano\":\"5\"}],"
                               "\"droppedEventsCount\":2,"
                               "\"links\":[{\"traceId\":\"ab\"}],\"droppedLinksCount\":3,"
                               "\"status\":{\"message\":\"m\",\"code\":2},\"flags\":4294967295,"
                               "\"meshglass.unknown\":\"oAYB\"}],\"schemaUrl\":\"s\"}],"
                               "\"schemaUrl\":\"r\",\"meshglass.unknown\":\"oAYC\"}]}";
    struct span span = {
        .trace_id = { 0xab, [15] = 1 },
        .span_id = { 0xcd },
        .parent_id = { 1 },
        .start_ns = UINT64_MAX,
        .end_ns = 1,
        .name = STR("op"),
        .trace_state = STR("t"),
        .status_message = STR("m"),
        .kind = 2,
        .status_code = 2,
        .flags = UINT32_MAX,
        .dropped_attrs = 1,
        .dropped_events = 2,
        .dropped_links = 3,
        .attrs = attrs,
        .n_attrs = MG_COUNT(attrs),
        .events = hex("5a09 090500000000000000"),
        .links = hex("6a03 0a01ab"),
        .unknown = hex("a00601"),
        .resource = hex("0a07 0a05 0a016b 1200 1a0172 0a021001 a00602"),
        .scope = hex("0a03 0a016e 1a0173"),
    };
    struct buf out;

    (void)state;
    json_of(&out, &span);
    if (!str_eq(buf_str(&out), str_of(want)))
        fail_msg("%.*s", (int)out.len, out.ptr);
    buf_fini(&out);
}

static void damaged_parts_are_told(void **state)
{
    struct span span = { .trace_id = { 1 }, .span_id = { 1 }, .events = STR("\x5a\x05") };
    size_t at;
    struct buf out;

    (void)state;
    json_of(&out, &span);
    assert_true(str_find(buf_str(&out), STR("{\"meshglass.unknown\":\""), &at));
    buf_fini(&out);
}

static void take_json(void *owner, const struct span *span, uint32_t ordinal)
{
    struct json_writer w;

    (void)ordinal;
    json_writer_init(&w, owner, 0);
    otlp_json_span(&w, span);
}

static void none_refused(void *owner, enum span_refusal why, uint32_t ordinal);
static const struct span_visitor taking = { written_group, written_group, take_json, none_refused };

static void json_of_body(struct str body, struct buf *out)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);

    buf_init(out, SIZE_MAX);
    assert_int_equal(otlp_scan(scanner, body, &taking, out, NULL), MG_OK);
    otlp_scanner_free(&scanner);
}

/* Parts in wire form that another writer would order otherwise: the bytes change, what they say
 * does not. */
static void odd_parts_keep_their_meaning(void **state)
{
    static const struct { const char *fields, *shows;
    } rows[] = {
        { "5a05 1203 ffffff", "\"events\":[{\"name\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
                              "\"meshglass.unknown\":\"EgP///8=\"}]" },
        { "5a08 1203 ffffff 120161", "\"events\":[{\"name\":\"a\"}]" },
        { "5a0c 120165 090500000000000000",
          "\"events\":[{\"timeUnixNano\":\"5\",\"name\":\"e\"}]" },
        { "4a0d 0a0161 1208 2a06 0a04 0a02ff80",
          "{\"values\":[{\"stringValue\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"meshglass.unknown\":\"CgL/"
          "gA==\"}]}" },
        { "4a0d 0a0161 1208 2a06 0a04 1801 0a00", "{\"values\":[{\"stringValue\":\"\"}]}" },
        { "4a0e 0a0161 1209 2a07 0a05 0a01ff 1801",
          "{\"values\":[{\"intValue\":\"1\"}]}" }, /* overruled */
        { "4a11 0a0161 120c 2a04 0a021801 2a04 0a021802",
          "{\"values\":[{\"intValue\":\"1\"},{\"intValue\":\"2\"}]}" },
        { "4a0f 0a0161 120a 2a04 0a021801 1801 2a00", "\"value\":{\"arrayValue\":{}}" },
        { "5a0e 1a05 0a0161 1200 1a05 0a0162 1200",
          "[{\"key\":\"a\",\"value\":{}},{\"key\":\"b\",\"value\":{}}]" },
    };
    struct otlp_json *reader = otlp_json_new();

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf first, second, proto;
        size_t at;
        json_of_body(request_of(join(hex(IDS_HEX), hex(rows[i].fields))), &first);
        if (!str_find(buf_str(&first), str_of(rows[i].shows), &at))
            fail_msg("row %zu: %.*s", i, (int)first.len, first.ptr);
        buf_init(&proto, SIZE_MAX);
        assert_int_equal(otlp_json_to_proto(reader, buf_str(&first), &proto, NULL), MG_OK);
        json_of_body(buf_str(&proto), &second);
        if (!str_eq(buf_str(&first), buf_str(&second)))
            fail_msg("row %zu: %.*s", i, (int)second.len, second.ptr);
        buf_fini(&first);
        buf_fini(&second);
        buf_fini(&proto);
    }
    otlp_json_free(&reader);
}

static void through_json(void *owner, const struct span *span, struct buf *request)
{
    struct mg_why why;
    struct buf json;

    json_of(&json, span);
    if (otlp_json_to_proto(owner, buf_str(&json), request, &why) != MG_OK)
        fail_msg("%s", why.text);
    buf_fini(&json);
}

static uint32_t round_all(struct str body)
{
    struct otlp_json *reader = otlp_json_new();
    uint32_t n = all_come_back(body, through_json, reader);

    otlp_json_free(&reader);
    return n;
}

/* span -> JSON -> protobuf -> span is the same span, for parts as this writer would order them. */
static void nothing_is_lost(void **state)
{
    static const char *const fields[] = {
        "",
        "1a03613d31 2208 2122232425262728 2a026f70 3002",
        "30ffffffffffffffffff01",
        "85010103 0000",
        "39 ffffffffffffffff 41 0100000000000000",
        "2a02ff80", /* a name that is not UTF-8 */
        "1a0480808080",
        "4a08 0a01ff 1203 0a01ff",              /* key and value neither */
        "4a0e 0a0161 1209 21 010000000000f87f", /* NaN with a payload */
        "4a0e 0a0161 1209 21 000000000000f87f",
        "4a0e 0a0161 1209 21 0000000000000080", /* -0 */
        "4a0e 0a0161 1209 21 9a9999999999b93f",
        "4a0e 0a0161 1209 21 0100000000000000", /* the smallest double */
        "4a05 0a0161 1200",
        "4a08 0a0161 1203 3a01ff",
        "4a09 0a0161 1204 2a02 0a00",
        "4a0b 0a0161 1206 2a04 0a023a00",
        "4a09 0a0161 1202 1805 1802",
        "4a09 0a0161 1204 1805 4801", /* unknown in a value */
        "4a07 0a0161 1202 4001",
        "5a00 5a0c 090500000000000000 120165",
        "5a03 a00601",
        "5a07 1a05 0a0161 1200",
        "6a1c" IDS_HEX,
        "6a03 0a01ab",
        "6a08 0a01ab 3501020304",
        "6a04 a2060107",
        "7a021802",
        "7a04 0805 1802",
        "7a04 1202ff80",
        "5001 6002 7003",
        "a00601 a2060107 85 0700000000",
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(fields); i++) {
        struct otlp_scanner *scanner = otlp_scanner_new(NULL);
        struct str body = request_of(join(hex(IDS_HEX), hex(fields[i])));
        struct buf told;
        buf_init(&told, SIZE_MAX);
        bool is_fine = otlp_scan(scanner, body, &telling, &told, NULL) == MG_OK;
        buf_fini(&told);
        otlp_scanner_free(&scanner);
        if (!is_fine)
            fail_msg("row %zu is malformed", i);
        assert_int_equal(round_all(body), 1);
    }
    for (unsigned arrays = 0; arrays <= 29; arrays++)
        assert_int_equal(
            round_all(request_of(join(hex(IDS_HEX), field_bytes(9, nested_attr(arrays, 0))))), 1);
    for (unsigned maps = 0; maps <= 19; maps++)
        assert_int_equal(
            round_all(request_of(join(hex(IDS_HEX), field_bytes(9, nested_attr(0, maps))))), 1);
}

/* The same request by another implementation, as protobuf and as JSON. */
static void foreign_json_is_foreign_protobuf(void **state)
{
    static const char *const names[] = { "every_field", "two_groups", "bad_ids", "nested29",
                                         "empty" };
    struct otlp_json *reader = otlp_json_new();
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(names); i++) {
        struct str json = seed("otlp_json/%s.json", names[i]);
        struct str proto = seed("otlp_scan/%s", names[i]);
        struct buf ours, from_json, from_proto;
        struct mg_why why;
        buf_init(&ours, SIZE_MAX);
        buf_init(&from_json, SIZE_MAX);
        buf_init(&from_proto, SIZE_MAX);
        if (otlp_json_to_proto(reader, json, &ours, &why) != MG_OK)
            fail_msg("%s: %s", names[i], why.text);
        assert_int_equal(otlp_scan(scanner, buf_str(&ours), &telling, &from_json, NULL), MG_OK);
        assert_int_equal(otlp_scan(scanner, proto, &telling, &from_proto, NULL), MG_OK);
        if (!str_eq(buf_str(&from_json), buf_str(&from_proto)))
            fail_msg("%s:\n%.*s\n%.*s", names[i], (int)from_json.len, from_json.ptr,
                     (int)from_proto.len, from_proto.ptr);
        buf_fini(&ours);
        buf_fini(&from_json);
        buf_fini(&from_proto);
    }
    otlp_scanner_free(&scanner);
    otlp_json_free(&reader);
}

static void real_traffic_survives(void **state)
{
    struct otlp_json *reader = otlp_json_new();

    (void)state;
    bool is_there = traffic_comes_back(through_json, reader);
    otlp_json_free(&reader);
    if (!is_there)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(span_members),
        cmocka_unit_test(values),
        cmocka_unit_test(documents),
        cmocka_unit_test(errors_name_byte_and_field),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(output_is_limited),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(output_is_strict),
        cmocka_unit_test(damaged_parts_are_told),
        cmocka_unit_test(odd_parts_keep_their_meaning),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(foreign_json_is_foreign_protobuf),
        cmocka_unit_test(real_traffic_survives),
    };
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
