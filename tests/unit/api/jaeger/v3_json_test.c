#include "spans.h"
#include "trees.h"
#include "api/jaeger/v3_json.h"

#define T32 "0102030405060708090a0b0c0d0e0f10"

static struct str written(struct span **spans, size_t n, bool raw)
{
    struct query_trace trace = {.spans = spans, .n = n};
    struct json_writer w;
    struct buf out;

    memcpy(trace.id, spans[0]->trace_id, sizeof trace.id);
    buf_init(&out, 16 << 20);
    json_writer_init(&w, &out, 0);
    json_array(&w);
    assert_int_equal(v3_trace_write(&w, &trace, raw, NULL, NULL), MG_OK);
    json_array_end(&w);
    assert_int_equal(w.depth, 0);
    return keep(&out);
}

/* The only span, with the empty scope around it taken away. */
static struct str span_text(struct span *span, bool raw)
{
    struct str json = written(&span, 1, raw), start = STR("\"scope\":{},\"spans\":[");
    size_t at;

    assert_true(str_find(json, start, &at));
    struct str rest = str_n(json.ptr + at + start.len, json.len - at - start.len);
    assert_true(str_ends(rest, STR("]}]}]")));
    return str_n(rest.ptr, rest.len - strlen("]}]}]"));
}

static void expect_span(struct span *span, bool raw, const char *want)
{
    assert_same_json(span_text(span, raw), str_of(want));
}

#define PLAIN                                                                                      \
    "\"traceId\":\"" T32 "\",\"spanId\":\"0000000000000001\",\"name\":\"op\",\"kind\":2,"          \
    "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"1001000000\",\"status\":{}"

static void a_plain_span(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);

    (void)state;
    assert_same_json(
        written(&span, 1, false),
        STR("[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":"
            "\"shop\"}}]},\"scopeSpans\":[{\"scope\":{},\"spans\":[{" PLAIN "}]}]}]"));
    expect_span(span, true, "{" PLAIN "}");
}

static void every_field(void **state)
{
    static const struct attr attrs[] = {A_INT("n", INT64_MIN), A_BOOL("b", true),
                                        A_DOUBLE("d", 0.5),    A_BYTES("raw", "\x01\x02"),
                                        A_EMPTY("none"),       A_STR("s", "x\"y")};
    struct span *span = span_of(1, 2, SPAN_CLIENT);

    (void)state;
    span->trace_state = STR("a=b");
    span->flags = 0x101;
    span->attrs = attrs;
    span->n_attrs = MG_COUNT(attrs);
    span->dropped_attrs = 3;
    span->dropped_events = 4;
    span->dropped_links = 5;
    span->status_code = STATUS_ERROR;
    span->status_message = STR("boom");
    span->events = event_of(1000500000, "retry", ATTRS(A_INT("n", 2)));
    span->links =
        link_of("ff000000000000000000000000000000", "0000000000000007", ATTRS(A_STR("k", "v")));
    expect_span(
        span, false,
        "{\"traceId\":\"" T32 "\",\"spanId\":\"0000000000000001\",\"traceState\":\"a=b\","
        "\"parentSpanId\":\"0000000000000002\",\"flags\":257,\"name\":\"op\",\"kind\":3,"
        "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"1001000000\",\"attributes\":["
        "{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
        "{\"key\":\"d\",\"value\":{\"doubleValue\":0.5}},"
        "{\"key\":\"n\",\"value\":{\"intValue\":\"-9223372036854775808\"}},"
        "{\"key\":\"none\",\"value\":{}},"
        "{\"key\":\"raw\",\"value\":{\"bytesValue\":\"AQI=\"}},"
        "{\"key\":\"s\",\"value\":{\"stringValue\":\"x\\\"y\"}}],\"droppedAttributesCount\":3,"
        "\"events\":[{\"timeUnixNano\":\"1000500000\",\"name\":\"retry\",\"attributes\":["
        "{\"key\":\"n\",\"value\":{\"intValue\":\"2\"}}]}],\"droppedEventsCount\":4,"
        "\"links\":[{\"traceId\":\"ff000000000000000000000000000000\",\"spanId\":"
        "\"0000000000000007\",\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}}]}],"
        "\"droppedLinksCount\":5,\"status\":{\"message\":\"boom\",\"code\":2}}");
}

static void nested_values(void **state)
{
    /* ["x", [], {"k": 1}], with a member that is not known and a value given twice */
    static const struct attr attrs[] = {
        A_ARRAY("a", "\x0a\x03\x0a\x01x\x0a\x02\x2a\x00\x0a\x0b\x32\x09\x0a\x07\x0a\x01k\x12\x02"
                     "\x18\x01\x0a\x06\x0a\x01z\x10\x01\x78"),
        A_MAP("m", "\x0a\x07\x0a\x01q\x12\x02\x10\x01"),
    };
    struct span *span = span_of(1, 0, SPAN_SERVER);

    (void)state;
    span->attrs = attrs;
    span->n_attrs = MG_COUNT(attrs);
    expect_span(span, false,
                "{" PLAIN ",\"attributes\":[{\"key\":\"a\",\"value\":{\"arrayValue\":{\"values\":["
                "{\"stringValue\":\"x\"},{\"arrayValue\":{\"values\":[]}},{\"kvlistValue\":"
                "{\"values\":[{\"key\":\"k\",\"value\":{\"intValue\":\"1\"}}]}},"
                "{\"boolValue\":true}]}}},"
                "{\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"q\",\"value\":"
                "{\"boolValue\":true}}]}}}]}");
}

/* Arrays inside each other, far deeper than anything that is accepted. */
static void deep_values(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);
    struct attr attr = {STR("deep"), {.type = VALUE_ARRAY, .raw = STR("")}};

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct buf any, array;
        buf_init(&any, SIZE_MAX);
        buf_init(&array, SIZE_MAX);
        wire_put_bytes(&any, 5, attr.value.raw);
        wire_put_bytes(&array, 1, buf_str(&any));
        buf_fini(&any);
        attr.value.raw = keep(&array);
        if (i != 29 && i != 100 && i != 199)
            continue;
        span->attrs = &attr;
        span->n_attrs = 1;
        struct str text = span_text(span, true);
        unsigned opened = 0, closed = 0;
        for (size_t k = 0; k < text.len; k++) {
            opened += text.ptr[k] == '{' || text.ptr[k] == '[';
            closed += text.ptr[k] == '}' || text.ptr[k] == ']';
        }
        assert_int_equal(opened, closed);
        assert_true(opened > 3 * 29 && opened < 3 * 70);
    }
}

/* Adjusted: order, doubles, addresses, links to nowhere, warnings. Raw shows what is stored. */
static void adjustments(void **state)
{
    static const struct attr attrs[] = {A_STR("b", "1"), A_INT("peer.ipv4", 0x7f000001),
                                        A_STR("a", "1"), A_STR("b", "1"),
                                        A_ARRAY("@jaeger@warnings", "\x0a\x05\x0a\x03old")};
    struct span *span = span_of(1, 0, SPAN_SERVER);

    (void)state;
    span->attrs = attrs;
    span->n_attrs = MG_COUNT(attrs);
    span->end_ns = span->start_ns - 1;
    span->events = joined(event_of(2, "second", NO_ATTRS), event_of(1, "first", NO_ATTRS));
    span->links = link_of("00000000000000000000000000000000", "0000000000000007", NO_ATTRS);
    expect_span(
        span, false,
        "{\"traceId\":\"" T32 "\",\"spanId\":\"0000000000000001\",\"name\":\"op\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"1000000000\",\"attributes\":["
        "{\"key\":\"@jaeger@warnings\",\"value\":{\"arrayValue\":{\"values\":["
        "{\"stringValue\":\"old\"},{\"stringValue\":\"Negative duration detected, sanitizing end "
        "timestamp. Original end timestamp: 1970-01-01T00:00:00.999999999Z, adjusted to: "
        "1970-01-01T00:00:01.000000000Z\"},{\"stringValue\":\"Invalid span link removed\"}]}}},"
        "{\"key\":\"a\",\"value\":{\"stringValue\":\"1\"}},"
        "{\"key\":\"b\",\"value\":{\"stringValue\":\"1\"}},"
        "{\"key\":\"peer.ipv4\",\"value\":{\"stringValue\":\"127.0.0.1\"}}],"
        "\"events\":[{\"timeUnixNano\":\"1\",\"name\":\"first\"},"
        "{\"timeUnixNano\":\"2\",\"name\":\"second\"}],\"status\":{}}");
    expect_span(
        span, true,
        "{\"traceId\":\"" T32 "\",\"spanId\":\"0000000000000001\",\"name\":\"op\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"999999999\",\"attributes\":["
        "{\"key\":\"b\",\"value\":{\"stringValue\":\"1\"}},"
        "{\"key\":\"peer.ipv4\",\"value\":{\"intValue\":\"2130706433\"}},"
        "{\"key\":\"a\",\"value\":{\"stringValue\":\"1\"}},"
        "{\"key\":\"b\",\"value\":{\"stringValue\":\"1\"}},"
        "{\"key\":\"@jaeger@warnings\",\"value\":{\"arrayValue\":{\"values\":["
        "{\"stringValue\":\"old\"}]}}}],"
        "\"events\":[{\"timeUnixNano\":\"2\",\"name\":\"second\"},"
        "{\"timeUnixNano\":\"1\",\"name\":\"first\"}],\"links\":[{\"traceId\":"
        "\"00000000000000000000000000000000\",\"spanId\":\"0000000000000007\"}],\"status\":{}}");
}

static void names_a_person_sees(void **state)
{
    static const struct {
        const char *name, *shown;
    } rows[] = {{"", "empty-span-name"}, {"x", "x"}};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span *span = span_of(1, 0, SPAN_SERVER);
        size_t at;
        span->name = str_of(rows[i].name);
        struct str want = arena_printf(&spans_arena, "\"name\":\"%s\"", rows[i].shown);
        assert_true(str_find(span_text(span, false), want, &at));
        want = arena_printf(&spans_arena, "\"name\":\"%s\"", rows[i].name);
        assert_true(str_find(span_text(span, true), want, &at));
    }
}

static void service_names(void **state)
{
    const struct {
        struct str resource;
        const char *adjusted, *raw;
    } rows[] = {
        {STR(""), "missing-service-name", NULL},
        {resource_of(ATTRS(A_STR("service.name", ""))), "empty-service-name",
         "\"stringValue\":\"\""},
        {resource_of(ATTRS(A_INT("service.name", 5))), "service-name-wrong-type",
         "\"intValue\":\"5\""},
        {resource_of(ATTRS(A_STR("service.name", "a"), A_STR("service.name", "b"))), "b",
         "\"stringValue\":\"a\""},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span *span = span_of(1, 0, SPAN_SERVER);
        size_t at;
        span->resource = rows[i].resource;
        struct str want = arena_printf(
            &spans_arena,
            "[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":"
            "\"%s\"}}]}",
            rows[i].adjusted);
        struct str got = written(&span, 1, false);
        if (!str_starts(got, want))
            fail_msg("%.*s", STR_ARG(got));
        got = written(&span, 1, true);
        assert_true(rows[i].raw ? str_find(got, str_of(rows[i].raw), &at)
                                : str_starts(got, STR("[{\"resource\":{}")));
    }
}

/* Resources and scopes that come in turns are written once each, in the order of appearance. */
static void groups(void **state)
{
    struct str a = resource_of(ATTRS(A_STR("service.name", "a")));
    struct str b = resource_of(ATTRS(A_STR("service.name", "b")));
    struct str one = scope_of("one", "1"), two = scope_of("two", "");
    const struct {
        struct str resource, scope;
    } rows[] = {{b, one}, {a, one}, {b, two}, {a, one}, {b, one}};
    struct span *spans[MG_COUNT(rows)];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        spans[i] = span_of(i + 1, 0, SPAN_INTERNAL);
        spans[i]->start_ns += i;
        spans[i]->resource = rows[i].resource;
        spans[i]->scope = rows[i].scope;
    }
    struct str got = written(spans, MG_COUNT(spans), false), rest = got, part;
    struct buf seen;
    buf_init(&seen, 4096);
    while (str_cut(&rest, '"', &part)) { /* the texts that tell the order */
        bool is_told = str_eq(part, STR("a")) || str_eq(part, STR("b")) ||
                       str_eq(part, STR("one")) || str_eq(part, STR("two")) ||
                       (part.len == 16 && str_starts(part, STR("000000000000000")));
        if (is_told)
            buf_printf(&seen, "%.*s ", STR_ARG(part));
    }
    assert_true(str_eq(buf_str(&seen), STR("b one 0000000000000001 0000000000000005 two "
                                           "0000000000000003 a one 0000000000000002 "
                                           "0000000000000004 ")));
    buf_fini(&seen);
}

/* The same spans as in the legacy JSON: twins once, a shared id split. */
static void whole_spans_are_adjusted(void **state)
{
    struct span *client = span_of(7, 0, SPAN_CLIENT), *server = span_of(7, 0, SPAN_SERVER);
    struct span *twin = span_of(7, 0, SPAN_SERVER);
    struct span *spans[] = {client, server, twin};
    size_t at;

    (void)state;
    struct str got = written(spans, 3, false);
    assert_true(str_find(
        got, STR("\"spanId\":\"0000000000000001\",\"parentSpanId\":\"0000000000000007\""), &at));
    assert_false(str_find(got, STR("\"spanId\":\"0000000000000002\""), &at));
    got = written(spans, 3, true);
    assert_false(str_find(got, STR("\"spanId\":\"0000000000000001\""), &at));
}

static enum mg_err refuse(void *owner, struct buf *out)
{
    unsigned *n = owner;

    assert_true(out->len >= TRACE_JSON_PIECE);
    buf_clear(out);
    return ++*n == 3 ? MG_E_IO : MG_OK;
}

/* Bytes are handed on in pieces; a refusal ends the writing; a limit that is too small is told. */
static void pieces(void **state)
{
    enum { SPANS = 5000 };
    struct span **spans = arena_alloc(&spans_arena, SPANS * sizeof *spans);
    struct query_trace trace = {.spans = spans, .n = SPANS};
    struct json_writer w;
    struct buf out;
    unsigned n = 0;

    (void)state;
    for (size_t i = 0; i < SPANS; i++)
        spans[i] = span_of(i + 1, 0, SPAN_SERVER);
    buf_init(&out, 2 * TRACE_JSON_PIECE);
    json_writer_init(&w, &out, 0);
    assert_int_equal(v3_trace_write(&w, &trace, false, refuse, &n), MG_E_IO);
    assert_int_equal(n, 3);
    buf_clear(&out);
    json_writer_init(&w, &out, 0);
    assert_int_equal(v3_trace_write(&w, &trace, false, NULL, NULL), MG_E_TOO_BIG);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_span),
        cmocka_unit_test(every_field),
        cmocka_unit_test(nested_values),
        cmocka_unit_test(deep_values),
        cmocka_unit_test(adjustments),
        cmocka_unit_test(names_a_person_sees),
        cmocka_unit_test(service_names),
        cmocka_unit_test(groups),
        cmocka_unit_test(whole_spans_are_adjusted),
        cmocka_unit_test(pieces),
    };
    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
