#include "spans.h"
#include "trees.h"
#include "api/jaeger/trace_json.h"

#define T32 "0102030405060708090a0b0c0d0e0f10"

static struct str trace_of(struct span **spans, size_t n, bool raw)
{
    struct query_trace trace = {.spans = spans, .n = n};
    struct trace_json_options options = {.raw = raw};
    struct json_writer w;
    struct buf out;

    memcpy(trace.id, spans[0]->trace_id, sizeof trace.id);
    buf_init(&out, 16 << 20);
    json_writer_init(&w, &out, 0);
    assert_int_equal(trace_json_write(&w, &trace, &options, NULL, NULL), MG_OK);
    assert_int_equal(w.depth, 0);
    return keep(&out);
}

/* Everything from this key on up to the next one of the span. */
static struct str part_of(struct str json, const char *from, const char *to)
{
    size_t start, len;

    assert_true(str_find(json, str_of(from), &start));
    struct str rest = str_n(json.ptr + start + strlen(from), json.len - start - strlen(from));
    assert_true(str_find(rest, str_of(to), &len));
    return str_n(rest.ptr, len);
}

static struct str references(struct span *span, bool raw)
{
    return part_of(trace_of(&span, 1, raw), "\"references\":", ",\"startTime\"");
}
static struct str tags(struct span *span, bool raw)
{
    return part_of(trace_of(&span, 1, raw), "\"tags\":", ",\"logs\"");
}
static struct str logs(struct span *span, bool raw)
{
    return part_of(trace_of(&span, 1, raw), "\"logs\":", ",\"processID\"");
}
static struct str warnings(struct span *span, bool raw)
{
    return part_of(trace_of(&span, 1, raw),
                   "\"processID\":\"p1\",\"warnings\":", "}],\"processes\"");
}

static void assert_text(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("got  %.*s\nwant %s", STR_ARG(got), want);
}

/* --- a whole trace
 * ------------------------------------------------------------------------------------ */

static struct span *cart_span(void)
{
    static const struct attr attrs[] = {A_INT("http.status_code", 500)};
    struct span *span = span_of(0xb7ad6b7169203331, 0x00f067aa0ba902b7, SPAN_SERVER);

    assert_true(hex_decode(STR("0af7651916cd43dd8448eb211c80319c"), span->trace_id, 16));
    span->resource = resource_of(ATTRS(A_STR("service.name", "cart"), A_STR("host.name", "h1")));
    span->scope = scope_of("lib", "1.2");
    span->name = STR("GET /cart");
    span->start_ns = 1700000000123456789;
    span->end_ns = span->start_ns + 2500400;
    span->attrs = attrs;
    span->n_attrs = 1;
    span->status_code = STATUS_ERROR;
    span->status_message = STR("boom");
    span->events = event_of(span->start_ns + 1000000, "retry", ATTRS(A_INT("n", 2)));
    return span;
}

static void the_worked_example(void **state)
{
    struct span *span = cart_span();
    struct str want =
        STR("{\"traceID\":\"0af7651916cd43dd8448eb211c80319c\",\"spans\":[{\"traceID\":"
            "\"0af7651916cd43dd8448eb211c80319c\","
            "\"spanID\":\"b7ad6b7169203331\",\"operationName\":\"GET /cart\","
            "\"references\":[{\"refType\":\"CHILD_OF\",\"traceID\":"
            "\"0af7651916cd43dd8448eb211c80319c\",\"spanID\":\"00f067aa0ba902b7\"}],"
            "\"startTime\":1700000000123456,\"duration\":2500,"
            "\"tags\":[{\"key\":\"otel.scope.name\",\"type\":\"string\",\"value\":\"lib\"},{"
            "\"key\":\"otel.scope.version\",\"type\":\"string\",\"value\":\"1.2\"},"
            "{\"key\":\"http.status_code\",\"type\":\"int64\",\"value\":500},{\"key\":\"span."
            "kind\",\"type\":\"string\",\"value\":\"server\"},"
            "{\"key\":\"otel.status_code\",\"type\":\"string\",\"value\":\"ERROR\"},{\"key\":"
            "\"error\",\"type\":\"bool\",\"value\":true},"
            "{\"key\":\"otel.status_description\",\"type\":\"string\",\"value\":\"boom\"}],"
            "\"logs\":[{\"timestamp\":1700000000124456,\"fields\":[{\"key\":\"event\",\"type\":"
            "\"string\",\"value\":\"retry\"},{\"key\":\"n\",\"type\":\"int64\",\"value\":2}]}],"
            "\"processID\":\"p1\",\"warnings\":null}],"
            "\"processes\":{\"p1\":{\"serviceName\":\"cart\",\"tags\":[{\"key\":\"host.name\","
            "\"type\":\"string\",\"value\":\"h1\"}]}},\"warnings\":null}");

    (void)state;
    assert_same_json(trace_of(&span, 1, false), want);
    assert_same_json(trace_of(&span, 1, true), want);
    assert_true(str_eq(trace_of(&span, 1, false), want));
}

static void a_span_with_nothing(void **state)
{
    struct span *span = span_of(1, 0, SPAN_UNSPECIFIED);

    (void)state;
    memset(span->trace_id, 0, 8);
    span->resource = STR("");
    span->name = STR("");
    span->start_ns = span->end_ns = 0;
    assert_text(trace_of(&span, 1, false),
                "{\"traceID\":\"090a0b0c0d0e0f10\",\"spans\":[{\"traceID\":\"090a0b0c0d0e0f10\","
                "\"spanID\":\"0000000000000001\","
                "\"operationName\":\"empty-span-name\",\"references\":[],\"startTime\":0,"
                "\"duration\":0,\"tags\":[],\"logs\":[],"
                "\"processID\":\"p1\",\"warnings\":null}],"
                "\"processes\":{\"p1\":{\"serviceName\":\"missing-service-name\",\"tags\":[]}},"
                "\"warnings\":null}");
    assert_text(trace_of(&span, 1, true),
                "{\"traceID\":\"090a0b0c0d0e0f10\",\"spans\":[{\"traceID\":\"090a0b0c0d0e0f10\","
                "\"spanID\":\"0000000000000001\","
                "\"operationName\":\"\",\"references\":[],\"startTime\":0,\"duration\":0,\"tags\":["
                "],\"logs\":[],"
                "\"processID\":\"p1\",\"warnings\":null}],"
                "\"processes\":{\"p1\":{\"serviceName\":\"OTLPResourceNoServiceName\",\"tags\":[]}}"
                ",\"warnings\":null}");
}

/* --- times
 * -------------------------------------------------------------------------------------------- */

static const struct {
    uint64_t start_ns, end_ns;
    const char *want, *want_raw;
    bool is_warned;
} times[] = {
    {1999, 2998, "1,\"duration\":0", "1,\"duration\":0", false},
    {1000, 1000, "1,\"duration\":0", "1,\"duration\":0", false},
    {1000, 2000, "1,\"duration\":1", "1,\"duration\":1", false},
    {5000, 4000, "5,\"duration\":0", "5,\"duration\":-1", true},
    {5000, 4999, "5,\"duration\":0", "5,\"duration\":0", true},
    {UINT64_MAX, 0, "18446744073709551,\"duration\":0",
     "18446744073709551,\"duration\":-18446744073709551", true},
    {0, UINT64_MAX, "0,\"duration\":18446744073709551", "0,\"duration\":18446744073709551", false},
};

static void times_in_microseconds(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(times); i++) {
        struct span *span = span_of(1, 0, 0);
        span->start_ns = times[i].start_ns;
        span->end_ns = times[i].end_ns;
        assert_text(part_of(trace_of(&span, 1, false), "\"startTime\":", ",\"tags\""),
                    times[i].want);
        assert_text(part_of(trace_of(&span, 1, true), "\"startTime\":", ",\"tags\""),
                    times[i].want_raw);
        assert_int_equal(str_starts(warnings(span, false), STR("[\"Negative duration detected")),
                         times[i].is_warned);
        assert_text(warnings(span, true), "null");
    }
}

/* --- references
 * --------------------------------------------------------------------------------------- */

#define REF(type, trace, span)                                                                     \
    "{\"refType\":\"" type "\",\"traceID\":\"" trace "\",\"spanID\":\"" span "\"}"
#define OTHER32 "ffffffffffffffffffffffffffffffff"
#define CHILD   ATTRS(A_STR("opentracing.ref_type", "child_of"))
#define FOLLOWS ATTRS(A_STR("opentracing.ref_type", "follows_from"))

static void references_of_parents_and_links(void **state)
{
    struct span *span = span_of(1, 0xabc, 0);
    struct str to_parent = link_of(T32, "0000000000000abc", NO_ATTRS);
    struct str to_parent_as_child = link_of(T32, "0000000000000abc", CHILD);
    struct str elsewhere = link_of(OTHER32, "0000000000000abc", CHILD);

    (void)state;
    assert_text(references(span, false), "[" REF("CHILD_OF", T32, "0000000000000abc") "]");
    span->links = to_parent;
    assert_text(references(span, false), "[" REF("FOLLOWS_FROM", T32, "0000000000000abc") "]");
    span->links = to_parent_as_child;
    assert_text(references(span, false), "[" REF("CHILD_OF", T32, "0000000000000abc") "]");
    span->links = joined(to_parent_as_child, to_parent);
    assert_text(references(span, false), "[" REF("FOLLOWS_FROM", T32, "0000000000000abc") "]");
    span->links = joined(elsewhere, to_parent);
    assert_text(references(span, false), "[" REF("FOLLOWS_FROM", T32, "0000000000000abc") "," REF(
                                             "CHILD_OF", OTHER32, "0000000000000abc") "]");
    put_be64(span->parent_id, 0);
    assert_text(references(span, false), "[" REF("CHILD_OF", OTHER32, "0000000000000abc") "," REF(
                                             "FOLLOWS_FROM", T32, "0000000000000abc") "]");
}

static void links_of_odd_shapes(void **state)
{
    struct span *span = span_of(1, 0, 0);

    (void)state;
    span->links = link_of("0000000000000000000000000000002a", "000000000000000b", FOLLOWS);
    assert_text(references(span, false),
                "[" REF("FOLLOWS_FROM", "000000000000002a", "000000000000000b") "]");
    span->links = link_of(OTHER32, "", ATTRS(A_INT("opentracing.ref_type", 1)));
    assert_text(references(span, false), "[" REF("FOLLOWS_FROM", OTHER32, "0000000000000000") "]");
    span->links = link_of(OTHER32, "01", ATTRS(A_STR("opentracing.ref_type", "CHILD_OF")));
    assert_text(references(span, false), "[" REF("FOLLOWS_FROM", OTHER32, "0000000000000000") "]");
    span->links = link_of("", "000000000000000b", NO_ATTRS);
    assert_text(references(span, false), "[]");
    assert_text(warnings(span, false), "[\"Invalid span link removed\"]");
    assert_text(references(span, true),
                "[" REF("FOLLOWS_FROM", "0000000000000000", "000000000000000b") "]");
    assert_text(warnings(span, true), "null");
    span->links = STR("\x6a\x7f");
    assert_text(references(span, false), "[]");
}

static void shared_ids_are_split(void **state)
{
    struct span *client = span_of(0xa, 0, SPAN_CLIENT), *server = span_of(0xa, 0, SPAN_SERVER);
    struct span *child = span_of(0xb, 0xa, 0);
    struct span *spans[] = {client, server, child};

    (void)state;
    struct str json = trace_of(spans, 3, false);
    assert_text(part_of(json,
                        "\"spanID\":\"0000000000000001\",\"operationName\":\"op\",\"references\":",
                        ",\"startTime\""),
                "[" REF("CHILD_OF", T32, "000000000000000a") "]");
    assert_text(part_of(json,
                        "\"spanID\":\"000000000000000b\",\"operationName\":\"op\",\"references\":",
                        ",\"startTime\""),
                "[" REF("CHILD_OF", T32, "0000000000000001") "]");
}

/* --- tags
 * --------------------------------------------------------------------------------------------- */

#define S_TAG(key, value) "{\"key\":\"" key "\",\"type\":\"string\",\"value\":\"" value "\"}"
#define I_TAG(key, value) "{\"key\":\"" key "\",\"type\":\"int64\",\"value\":" value "}"
#define ERROR_TAG         "{\"key\":\"error\",\"type\":\"bool\",\"value\":true}"

static void set_attrs(struct span *span, const struct attr *attrs, size_t n)
{
    span->attrs = attrs;
    span->n_attrs = (uint32_t)n;
}

static void order_of_tags(void **state)
{
    static const struct attr attrs[] = {A_INT("z", 1), A_INT("a", 2), A_INT("span.a", 3)};
    struct span *span = span_of(1, 0, SPAN_CONSUMER);

    (void)state;
    set_attrs(span, attrs, 3);
    span->scope = scope_of("n", "v");
    span->status_code = STATUS_OK;
    span->status_message = STR("m");
    span->trace_state = STR("a=b");
    assert_text(
        tags(span, false),
        "[" S_TAG("otel.scope.name", "n") "," S_TAG("otel.scope.version", "v") "," I_TAG("a", "2") "," I_TAG(
            "span.a",
            "3") "," I_TAG("z",
                           "1") "," S_TAG("span.kind",
                                          "consumer") "," S_TAG("otel.status_code",
                                                                "OK") "," S_TAG("otel.status_"
                                                                                "description",
                                                                                "m") "," S_TAG("w3c"
                                                                                               ".tr"
                                                                                               "ace"
                                                                                               "sta"
                                                                                               "te",
                                                                                               "a="
                                                                                               "b") "]");
    assert_text(
        tags(span, true),
        "[" S_TAG("otel.scope.name", "n") "," S_TAG("otel.scope.version", "v") "," I_TAG("z", "1") "," I_TAG(
            "a",
            "2") "," I_TAG("span.a",
                           "3") "," S_TAG("span.kind",
                                          "consumer") "," S_TAG("otel.status_code",
                                                                "OK") "," S_TAG("otel.status_"
                                                                                "description",
                                                                                "m") "," S_TAG("w3c"
                                                                                               ".tr"
                                                                                               "ace"
                                                                                               "sta"
                                                                                               "te",
                                                                                               "a="
                                                                                               "b") "]");
}

static const struct {
    int32_t kind, status;
    const char *want;
} derived[] = {
    {SPAN_UNSPECIFIED, STATUS_UNSET, "[]"},
    {SPAN_INTERNAL, STATUS_UNSET, "[" S_TAG("span.kind", "internal") "]"},
    {SPAN_SERVER, STATUS_UNSET, "[" S_TAG("span.kind", "server") "]"},
    {SPAN_CLIENT, STATUS_UNSET, "[" S_TAG("span.kind", "client") "]"},
    {SPAN_PRODUCER, STATUS_UNSET, "[" S_TAG("span.kind", "producer") "]"},
    {SPAN_CONSUMER, STATUS_OK,
     "[" S_TAG("span.kind", "consumer") "," S_TAG("otel.status_code", "OK") "]"},
    {6, STATUS_ERROR, "[" S_TAG("otel.status_code", "ERROR") "," ERROR_TAG "]"},
    {-1, 3, "[]"},
};

static void derived_tags(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(derived); i++) {
        struct span *span = span_of(1, 0, derived[i].kind);
        span->status_code = derived[i].status;
        assert_text(tags(span, false), derived[i].want);
        assert_text(tags(span, true), derived[i].want);
    }
}

/* The UI warns about a tag that is there twice with the same value. */
static void nothing_is_said_twice(void **state)
{
    static const struct attr attrs[] = {A_STR("span.kind", "server"), A_BOOL("error", true),
                                        A_STR("otel.scope.name", "n"), A_INT("a", 1),
                                        A_INT("a", 1)};
    static const struct attr differing[] = {A_STR("error", "true"), A_STR("span.kind", "client")};
    struct span *span = span_of(1, 0, SPAN_SERVER);

    (void)state;
    span->status_code = STATUS_ERROR;
    span->scope = scope_of("n", "");
    set_attrs(span, attrs, 5);
    assert_text(tags(span, false),
                "[" I_TAG("a", "1") "," ERROR_TAG "," S_TAG("otel.scope.name", "n") "," S_TAG(
                    "span.kind", "server") "," S_TAG("otel.status_code", "ERROR") "]");
    span->scope = STR("");
    set_attrs(span, differing, 2);
    assert_text(tags(span, false),
                "[" S_TAG("error", "true") "," S_TAG("span.kind", "client") "," S_TAG(
                    "span.kind", "server") "," S_TAG("otel.status_code", "ERROR") "," ERROR_TAG
                                                                                  "]");
}

static void stored_warnings_are_no_tag(void **state)
{
    static const struct attr attrs[] = {A_ARRAY("@jaeger@warnings", "\x0a\x03\x0a\x01x"),
                                        A_INT("a", 1)};
    struct span *span = span_of(1, 0, 0);

    (void)state;
    set_attrs(span, attrs, 2);
    assert_text(tags(span, false), "[" I_TAG("a", "1") "]");
    assert_text(warnings(span, false), "[\"x\"]");
    assert_text(tags(span, true),
                "[" S_TAG("@jaeger@warnings", "[\\\"x\\\"]") "," I_TAG("a", "1") "]");
    assert_text(warnings(span, true), "null");
}

static void names_that_are_not_utf8(void **state)
{
    struct span *span = span_of(1, 0, 0);

    (void)state;
    span->name = STR("a\xff");
    assert_text(part_of(trace_of(&span, 1, false), "\"operationName\":", ",\"references\""),
                "\"a\xef\xbf\xbd\"");
    assert_text(tags(span, false),
                "[{\"key\":\"invalid-span-name\",\"type\":\"binary\",\"value\":\"Yf8=\"}]");
    assert_text(tags(span, true), "[]");
    span->resource = resource_of(ATTRS(A_STR("service.name", "s\xff")));
    assert_text(part_of(trace_of(&span, 1, false), "\"serviceName\":", ",\"tags\""),
                "\"s\xef\xbf\xbd\"");
}

/* --- logs
 * --------------------------------------------------------------------------------------------- */

static void logs_by_time_and_event_first(void **state)
{
    struct span *span = span_of(1, 0, 0);

    (void)state;
    span->events = joined(joined(event_of(3999, "late", ATTRS(A_INT("z", 1), A_INT("a", 2))),
                                 event_of(1000, "one", NO_ATTRS)),
                          event_of(1000, "two", NO_ATTRS));
    assert_text(
        logs(span, false),
        "[{\"timestamp\":1,\"fields\":[" S_TAG(
            "event",
            "one") "]},{\"timestamp\":1,\"fields\":[" S_TAG("event",
                                                            "two") "]},{\"timestamp\":3,\"fields\":"
                                                                   "[" S_TAG("event",
                                                                             "late") "," I_TAG("a",
                                                                                               "2") "," I_TAG("z",
                                                                                                              "1") "]}]");
    assert_text(
        logs(span, true),
        "[{\"timestamp\":3,\"fields\":[" S_TAG("event", "late") "," I_TAG("z", "1") "," I_TAG(
            "a",
            "2") "]},{\"timestamp\":1,\"fields\":[" S_TAG("event",
                                                          "one") "]},{\"timestamp\":1,\"fields\":"
                                                                 "[" S_TAG("event", "two") "]}]");
}

static void events_of_odd_shapes(void **state)
{
    struct span *span = span_of(1, 0, 0);

    (void)state;
    span->events = event_of(1000, "name", ATTRS(A_STR("a", "b"), A_STR("event", "mine")));
    assert_text(logs(span, false),
                "[{\"timestamp\":1,\"fields\":[" S_TAG("a", "b") "," S_TAG("event", "mine") "]}]");
    span->events = event_of(0, "", NO_ATTRS);
    assert_text(logs(span, false), "[{\"timestamp\":0,\"fields\":[]}]");
    span->events = event_of(0, "", ATTRS(A_INT("ip", 1)));
    assert_text(logs(span, false), "[{\"timestamp\":0,\"fields\":[" I_TAG("ip", "1") "]}]");
    span->events = STR("\x5a\x00\x5a\x7f");
    assert_text(logs(span, false), "[{\"timestamp\":0,\"fields\":[]}]");
}

/* --- processes
 * ---------------------------------------------------------------------------------------- */

static void processes_are_shared(void **state)
{
    struct span *spans[6];

    (void)state;
    for (uint64_t i = 0; i < 6; i++)
        spans[i] = span_of(i + 1, 0, 0);
    spans[0]->resource =
        resource_of(ATTRS(A_STR("service.name", "b"), A_INT("x", 1), A_INT("a", 2)));
    spans[1]->resource = resource_of(ATTRS(A_STR("service.name", "a")));
    spans[2]->resource = spans[0]->resource;
    spans[3]->resource =
        resource_of(ATTRS(A_INT("a", 2), A_INT("x", 1), A_STR("service.name", "b")));
    spans[4]->resource = resource_of(ATTRS(A_STR("service.name", "a"), A_INT("x", 1)));
    spans[5]->resource =
        joined(spans[1]->resource, STR("\x1a\x01s")); /* a schema URL is not shown */
    struct str json = trace_of(spans, 6, false), rest = json;
    const char *const want[] = {"p1", "p2", "p1", "p1", "p3", "p2"};
    for (size_t i = 0, at; i < 6; i++) {
        assert_true(str_find(rest, STR("\"processID\":\""), &at));
        rest = str_n(rest.ptr + at + 13, rest.len - at - 13);
        assert_true(str_starts(rest, str_of(want[i])));
    }
    assert_text(part_of(json, "\"processes\":", ",\"warnings\":null}"),
                "{\"p1\":{\"serviceName\":\"b\",\"tags\":[" I_TAG("a", "2") "," I_TAG(
                    "x", "1") "]},"
                              "\"p2\":{\"serviceName\":\"a\",\"tags\":[]},\"p3\":{\"serviceName\":"
                              "\"a\",\"tags\":[" I_TAG("x", "1") "]}}");
}

static const struct {
    struct attr attrs[2];
    size_t n;
    const char *want, *want_raw;
} services[] = {
    {{A_STR("service.name", "a")}, 1, "\"a\",\"tags\":[]", "\"a\",\"tags\":[]"},
    {{A_STR("service.name", "")}, 1, "\"empty-service-name\",\"tags\":[]", "\"\",\"tags\":[]"},
    {{A_INT("service.name", 5)},
     1,
     "\"service-name-wrong-type\",\"tags\":[]",
     "\"\",\"tags\":[" I_TAG("service.name", "5") "]"},
    {{A_INT("a", 5)},
     1,
     "\"missing-service-name\",\"tags\":[" I_TAG("a", "5") "]",
     "\"\",\"tags\":[" I_TAG("a", "5") "]"},
    {{A_STR("", "")},
     0,
     "\"missing-service-name\",\"tags\":[]",
     "\"OTLPResourceNoServiceName\",\"tags\":[]"},
    {{A_STR("service.name", "a"), A_STR("service.name", "b")},
     2,
     "\"b\",\"tags\":[]",
     "\"b\",\"tags\":[]"},
    {{A_STR("service.name", "a"), A_INT("ip", 1)},
     2,
     "\"a\",\"tags\":[" S_TAG("ip", "0.0.0.1") "]",
     "\"a\",\"tags\":[" I_TAG("ip", "1") "]"},
};

static void names_of_services(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(services); i++) {
        struct span *span = span_of(1, 0, 0);
        span->resource = resource_of(services[i].attrs, services[i].n);
        assert_text(
            part_of(trace_of(&span, 1, false), "\"p1\":{\"serviceName\":", "}},\"warnings\""),
            services[i].want);
        assert_text(
            part_of(trace_of(&span, 1, true), "\"p1\":{\"serviceName\":", "}},\"warnings\""),
            services[i].want_raw);
    }
}

/* --- streaming
 * ---------------------------------------------------------------------------------------- */

struct stream {
    size_t bytes, largest, calls;
    size_t fail_at; /* number of the call that fails; 0: none */
    uint64_t hash;
};

static enum mg_err take(void *owner, struct buf *out)
{
    struct stream *stream = owner;

    assert_true(out->len >= TRACE_JSON_PIECE);
    stream->largest = MG_MAX(stream->largest, out->len);
    if (++stream->calls == stream->fail_at)
        return MG_E_IO;
    for (size_t i = 0; i < out->len; i++)
        stream->hash = stream->hash * 31 + (unsigned char)out->ptr[i];
    stream->bytes += out->len;
    buf_clear(out);
    return MG_OK;
}

static enum mg_err stream_trace(const struct query_trace *trace, struct stream *stream,
                                size_t limit)
{
    struct trace_json_options options = {0};
    struct json_writer w;
    struct buf out;

    buf_init(&out, limit);
    json_writer_init(&w, &out, 4);
    enum mg_err err = trace_json_write(&w, trace, &options, take, stream);
    stream->bytes += out.len;
    for (size_t i = 0; i < out.len; i++)
        stream->hash = stream->hash * 31 + (unsigned char)out.ptr[i];
    buf_fini(&out);
    return err;
}

/* 60,000 spans pass through a buffer of a hundred kilobytes. */
static void large_traces_in_a_bounded_buffer(void **state)
{
    enum { N = 60000 };
    static struct span *spans[N];
    struct query_trace trace = {.spans = spans, .n = N};
    struct stream stream = {0};

    (void)state;
    for (size_t i = 0; i < N; i++) {
        spans[i] = span_of(i + 1, i, SPAN_INTERNAL);
        spans[i]->resource = spans[0]->resource;
    }
    memcpy(trace.id, spans[0]->trace_id, 16);
    assert_int_equal(stream_trace(&trace, &stream, 100000), MG_OK);
    assert_true(stream.bytes > 20000000);
    assert_true(stream.largest < 70000);
}

/* Also when one span is all of it. */
static void large_spans_in_a_bounded_buffer(void **state)
{
    enum { N = 20000 };
    static struct attr attrs[N];
    struct span *span = span_of(1, 0, 0);
    struct query_trace trace = {.spans = &span, .n = 1};
    struct stream stream = {0};
    struct buf events;

    (void)state;
    for (size_t i = 0; i < N; i++)
        attrs[i] = (struct attr){arena_printf(&spans_arena, "key-%zu", i),
                                 {.type = VALUE_INT, .i = (int64_t)i}};
    set_attrs(span, attrs, N);
    span->resource = resource_of(attrs, N);
    buf_init(&events, SIZE_MAX);
    for (size_t i = 0; i < 2000; i++)
        buf_put_str(&events, event_of(i, "e", attrs, 10));
    span->events = keep(&events);
    assert_int_equal(stream_trace(&trace, &stream, 4 << 20),
                     MG_OK); /* a process is rendered once as a whole */
    assert_true(stream.bytes > 8000000);
    assert_true(stream.largest < 70000);
}

static void a_failing_reader_ends_it(void **state)
{
    enum { N = 2000 };
    static struct span *spans[N];
    struct query_trace trace = {.spans = spans, .n = N};
    struct stream stream = {.fail_at = 2};

    (void)state;
    for (size_t i = 0; i < N; i++)
        spans[i] = span_of(i + 1, i, SPAN_INTERNAL);
    assert_int_equal(stream_trace(&trace, &stream, 100000), MG_E_IO);
    assert_int_equal(stream.calls, 2);
}

static void a_value_beyond_the_limit(void **state)
{
    static char text[1000];
    struct span *span = span_of(1, 0, 0);
    struct query_trace trace = {.spans = &span, .n = 1};
    struct stream stream = {0};

    (void)state;
    memset(text, '\x01', sizeof text); /* six bytes each */
    span->name = str_n(text, sizeof text);
    assert_int_equal(stream_trace(&trace, &stream, 6000), MG_E_TOO_BIG);
    assert_int_equal(stream_trace(&trace, &stream, 8000), MG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example),
        cmocka_unit_test(a_span_with_nothing),
        cmocka_unit_test(times_in_microseconds),
        cmocka_unit_test(references_of_parents_and_links),
        cmocka_unit_test(links_of_odd_shapes),
        cmocka_unit_test(shared_ids_are_split),
        cmocka_unit_test(order_of_tags),
        cmocka_unit_test(derived_tags),
        cmocka_unit_test(nothing_is_said_twice),
        cmocka_unit_test(stored_warnings_are_no_tag),
        cmocka_unit_test(names_that_are_not_utf8),
        cmocka_unit_test(logs_by_time_and_event_first),
        cmocka_unit_test(events_of_odd_shapes),
        cmocka_unit_test(processes_are_shared),
        cmocka_unit_test(names_of_services),
        cmocka_unit_test(large_traces_in_a_bounded_buffer),
        cmocka_unit_test(large_spans_in_a_bounded_buffer),
        cmocka_unit_test(a_failing_reader_ends_it),
        cmocka_unit_test(a_value_beyond_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
