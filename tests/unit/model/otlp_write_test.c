/* otlp_write_test.c - spans as protobuf: exact bytes, groups, and that scanning gives them back. */
#include "model_help.h"

static const uint8_t trace_id[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static const uint8_t span_id[8] = { 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18 };

static struct span bare_span(void)
{
    struct span span = { .name = STR("") };

    memcpy(span.trace_id, trace_id, sizeof trace_id);
    memcpy(span.span_id, span_id, sizeof span_id);
    return span;
}

static void defaults_are_left_out(void **state)
{
    struct span span = bare_span();
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    otlp_write_span(&out, &span);
    assert_true(str_eq(buf_str(&out), hex(IDS_HEX)));
    buf_fini(&out);
}

static void known_fields_in_order(void **state)
{
    const struct attr attrs[] = {
        { STR("a"), { .type = VALUE_STRING, .str = STR("x") } },
        { STR("b"), { .type = VALUE_BOOL, .b = false } },
        { STR("c"), { .type = VALUE_INT, .i = -1 } },
        { STR("d"), { .type = VALUE_DOUBLE, .d = 1.5 } },
        { STR("e"), { .type = VALUE_BYTES, .str = STR("\xff") } },
        { STR("f"), { .type = VALUE_ARRAY, .raw = STR("\x0a\x00") } },
        { STR("g"), { .type = VALUE_KVLIST, .raw = STR("") } },
        { STR("h"), { .type = VALUE_EMPTY } },
        { STR("i"), { .type = VALUE_OTHER, .raw = STR("\x18\x05") } },
    };
    static const char want[] = IDS_HEX
        "1a0174 2208 0100000000000000 2a016e 30ffffffffffffffffff01 39 0100000000000000 41 "
        "0200000000000000"
        "4a08 0a0161 1203 0a0178 4a07 0a0162 1202 1000 4a10 0a0163 120b 18ffffffffffffffffff01"
        "4a0e 0a0164 1209 21 000000000000f83f 4a08 0a0165 1203 3a01ff 4a09 0a0166 1204 2a02 0a00"
        "4a07 0a0167 1202 3200 4a05 0a0168 1200 4a02 1805"
        "5003 5a00 6004 6a00 7005 7a05 12016d 1802 8501 01020304 a00601";
    struct span span = bare_span();
    struct buf out;

    (void)state;
    span.trace_state = STR("t");
    span.parent_id[0] = 1;
    span.name = STR("n");
    span.kind = -1;
    span.start_ns = 1;
    span.end_ns = 2;
    span.attrs = attrs;
    span.n_attrs = MG_COUNT(attrs);
    span.dropped_attrs = 3;
    span.events = STR("\x5a\x00");
    span.dropped_events = 4;
    span.links = STR("\x6a\x00");
    span.dropped_links = 5;
    span.status_message = STR("m");
    span.status_code = 2;
    span.flags = 0x04030201;
    span.unknown = STR("\xa0\x06\x01");
    buf_init(&out, SIZE_MAX);
    otlp_write_span(&out, &span);
    assert_true(str_eq(buf_str(&out), hex(want)));
    buf_fini(&out);
}

static void groups_are_shared(void **state)
{
    static const struct { const char *groups, *want;
    } rows[] = {
        { "", "" },
        { "Aa", "R bytes=1a0141 S bytes=1a0161 0" },
        { "AaAa", "R bytes=1a0141 S bytes=1a0161 0 1" },
        { "AaAb", "R bytes=1a0141 S bytes=1a0161 0 S bytes=1a0162 1" },
        { "AaBa", "R bytes=1a0141 S bytes=1a0161 0 R bytes=1a0142 S bytes=1a0161 1" },
        { "AaBaAa", "R bytes=1a0141 S bytes=1a0161 0 R bytes=1a0142 S bytes=1a0161 1 R "
                    "bytes=1a0141 S bytes=1a0161 2" },
        { "AaAbBbBb",
          "R bytes=1a0141 S bytes=1a0161 0 S bytes=1a0162 1 R bytes=1a0142 S bytes=1a0162 2 3" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span spans[4];
        const struct span *list[4];
        size_t n = strlen(rows[i].groups) / 2;
        struct buf out, told;
        for (size_t k = 0; k < n; k++) {
            spans[k] = bare_span();
            spans[k].resource = field_bytes(3, str_n(&rows[i].groups[k * 2], 1));
            spans[k].scope = field_bytes(3, str_n(&rows[i].groups[k * 2 + 1], 1));
            list[k] = &spans[k];
        }
        buf_init(&out, SIZE_MAX);
        buf_init(&told, SIZE_MAX);
        otlp_write_request(&out, list, n);
        struct otlp_scanner *scanner = otlp_scanner_new(NULL);
        assert_int_equal(otlp_scan(scanner, buf_str(&out), &telling, &told, NULL), MG_OK);
        for (size_t k = 0; k < told.len; k++)
            if (told.ptr[k] == '\n')
                told.ptr[k] = ' ';
        if (!str_eq(str_trim(buf_str(&told)), str_of(rows[i].want)))
            fail_msg("%s: %.*s", rows[i].groups, (int)told.len, told.ptr);
        otlp_scanner_free(&scanner);
        buf_fini(&out);
        buf_fini(&told);
    }
}

static void pieces(void **state)
{
    const struct attr attr = { STR("k"), { .type = VALUE_INT, .i = 300 } };
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    wire_put_bytes(&out, 1000, STR("ab"));
    otlp_put_attr(&out, 1, &attr);
    assert_true(str_eq(buf_str(&out), hex("c23e026162 0a08 0a016b 1203 18ac02")));
    buf_fini(&out);
}

static void a_full_buffer_is_told(void **state)
{
    struct span span = bare_span();
    const struct span *list = &span;
    struct buf out;

    (void)state;
    for (size_t limit = 0; limit <= 35;
         limit++) { /* the span is 28 bytes, three groups around it 6 */
        buf_init(&out, limit);
        otlp_write_request(&out, &list, 1);
        assert_int_equal(buf_err(&out), limit < 34 ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&out);
    }
}

static void as_protobuf(void *owner, const struct span *span, struct buf *request)
{
    (void)owner;
    otlp_write_request(request, &span, 1);
}

static void foreign_spans_come_back(void **state)
{
    static const struct { const char *name; uint32_t spans;
    } rows[] = {
        { "every_field", 1 }, { "two_groups", 4 }, { "bad_ids", 1 },
        { "nested29", 1 },    { "scattered", 2 },  { "empty", 0 },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct str body = seed("otlp_scan/%s", rows[i].name);
        assert_int_equal(all_come_back(body, as_protobuf, NULL), rows[i].spans);
    }
}

static void real_spans_come_back(void **state)
{
    (void)state;
    if (!traffic_comes_back(as_protobuf, NULL))
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_left_out),
        cmocka_unit_test(known_fields_in_order),
        cmocka_unit_test(groups_are_shared),
        cmocka_unit_test(pieces),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(foreign_spans_come_back),
        cmocka_unit_test(real_spans_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
