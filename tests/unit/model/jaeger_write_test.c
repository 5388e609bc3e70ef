/* jaeger_write_test.c - spans as Jaeger's protobuf and as its documents, and what comes back when
 * they are read again. */
#include "jaeger_encode.h"

#include <math.h>
#include "model/jaeger_tags.h"

static const uint8_t example_trace[16] = { 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
                                           0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c };
static const uint8_t example_span[8] = { 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31 };
static const uint8_t example_parent[8] = { 0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7 };

/* --- spans from words --------------------------------------------- */

static void put_word(struct buf *out, uint32_t number, struct str word)
{
    struct word_tag tag = word_tag(word);
    struct attr attr = { .key = tag.key };

    switch (tag.type) {
    case 's':
        attr.value = (struct value){ VALUE_STRING, .str = tag.text };
        break;
    case 'b':
        attr.value = (struct value){ VALUE_BOOL, .b = str_eq(tag.text, STR("true")) };
        break;
    case 'i':
        attr.value = (struct value){ VALUE_INT, .i = tag.i };
        break;
    case 'd':
        attr.value = (struct value){ VALUE_DOUBLE, .d = tag.d };
        break;
    case 'x':
        attr.value = (struct value){ VALUE_BYTES, .str = tag.text };
        break;
    case 'a': /* an array of that one text */
        attr.value = (struct value){ VALUE_ARRAY, .raw = field_bytes(1, field_bytes(1, tag.text)) };
        break;
    case 'm': /* a map of it */
        attr.value =
            (struct value){ VALUE_KVLIST,
                            .raw = field_bytes(1, join(field_bytes(1, STR("k")),
                                                       field_bytes(2, field_bytes(1, tag.text)))) };
        break;
    default:
        attr.value = (struct value){ VALUE_EMPTY, .i = 0 };
    }
    otlp_put_attr(out, number, &attr);
}

/* KeyValue fields with that number. */
static struct str words_bytes(const char *words, uint32_t number)
{
    struct str rest = or_empty(words), word;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    while (word_next(&rest, &word))
        put_word(&out, number, word);
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static uint32_t words_attrs(const char *words, const struct attr **out)
{
    struct str bytes = words_bytes(words, 1);
    const uint8_t *at = wire_begin(bytes), *end = wire_end(bytes);
    struct attr *attrs = arena_alloc(&help_arena, 64 * sizeof *attrs);
    uint32_t n = 0;

    while (n < 64 && attr_next(&at, end, 1, &attrs[n]) == 1)
        n++;
    *out = attrs;
    return n;
}

static struct str event_bytes(uint64_t time_ns, const char *name, const char *words)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    size_t mark = wire_open(&out, 11);
    wire_put_fixed64(&out, 1, time_ns);
    wire_put_bytes(&out, 2, str_of(name));
    buf_put_str(&out, words_bytes(words, 3));
    wire_close(&out, mark);
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static struct str link_bytes(const uint8_t trace_id[16], const uint8_t span_id[8],
                             const char *words)
{
    struct str ids = join(field_bytes(1, str_n(trace_id, 16)), field_bytes(2, str_n(span_id, 8)));

    return field_bytes(13, join(ids, words_bytes(words, 4)));
}

static struct span bare_span(const char *name, const char *words)
{
    struct span span = { .name = str_of(name), .start_ns = 1000000007, .end_ns = 3000000009 };

    memcpy(span.trace_id, example_trace, 16);
    memcpy(span.span_id, example_span, 8);
    span.n_attrs = words_attrs(words, &span.attrs);
    span.resource = field_bytes(1, words_bytes("service.name:s=svc", 1));
    return span;
}

static struct span worked_example(void)
{
    struct span span = bare_span("GET /cart", "http.status_code:i=500");

    memcpy(span.parent_id, example_parent, 8);
    span.start_ns = 1700000000123456789;
    span.end_ns = span.start_ns + 2500400;
    span.kind = SPAN_SERVER;
    span.status_code = STATUS_ERROR;
    span.status_message = STR("boom");
    span.resource = field_bytes(1, words_bytes("service.name:s=cart host.name:s=h1", 1));
    span.scope = field_bytes(1, join(field_bytes(1, STR("lib")), field_bytes(2, STR("1.2"))));
    span.events = event_bytes(span.start_ns + 1000000, "retry", "n:i=2");
    return span;
}

/* --- api_v2 as text --------------------------------------------- */

static struct str written(const struct span *span)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    jaeger_write_span(&out, span);
    assert_int_equal(buf_err(&out), MG_OK);
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static void say_tag(struct buf *out, struct str message)
{
    static const char types[] = "sbidx";
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct str key = STR(""), text = STR(""), bytes = STR("");
    struct wire_field field;
    uint64_t type = 0, number = 0;
    double d = 0;

    while (wire_next(&at, end, &field) == 1) {
        if (field.number == 1)
            key = field.bytes;
        else if (field.number == 2)
            type = field.value;
        else if (field.number == 3)
            text = field.bytes;
        else if (field.number == 4 || field.number == 5)
            number = field.value;
        else if (field.number == 6)
            memcpy(&d, &field.value, sizeof d);
        else if (field.number == 7)
            bytes = field.bytes;
    }
    assert_true(type < 5);
    assert_true(utf8_valid(key.ptr, key.len) && utf8_valid(text.ptr, text.len));
    buf_printf(out, " %.*s:%c=", STR_ARG(key), types[type]);
    if (type == 0)
        buf_put_str(out, text);
    else if (type == 4)
        say_id(out, (const uint8_t *)bytes.ptr, bytes.len);
    else if (type == 3)
        buf_printf(out, "%g", d);
    else
        buf_printf(out, "%" PRId64, (int64_t)number);
}

static void say_ref(struct buf *out, struct str message)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    buf_put_text(out, " ref");
    while (wire_next(&at, end, &field) == 1) {
        if (field.type == WIRE_BYTES) {
            buf_put_char(out, ' ');
            say_id(out, (const uint8_t *)field.bytes.ptr, field.bytes.len);
        } else {
            buf_put_text(out, " follows");
        }
    }
}

/* Names, references, tags, logs, process and warnings of a written span, in their order. */
static struct str span_text(const struct span *span)
{
    static const char *const starts[] = { [3] = " op=", [12] = " warning=" };
    struct str message = written(span);
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field, inner;
    struct buf out;

    buf_init(&out, SIZE_MAX);
    while (wire_next(&at, end, &field) == 1) {
        const uint8_t *p = wire_begin(field.bytes), *stop = wire_end(field.bytes);
        if (field.number == 3 || field.number == 12) {
            assert_true(utf8_valid(field.bytes.ptr, field.bytes.len));
            buf_printf(&out, "%s%.*s", starts[field.number], STR_ARG(field.bytes));
        } else if (field.number == 4) {
            say_ref(&out, field.bytes);
        } else if (field.number == 8) {
            say_tag(&out, field.bytes);
        } else if (field.number == 9 || field.number == 10) {
            buf_put_text(&out, field.number == 9 ? " log" : " process");
            while (wire_next(&p, stop, &inner) == 1) {
                if (inner.number == 2)
                    say_tag(&out, inner.bytes);
                else if (field.number == 10)
                    buf_printf(&out, " %.*s", STR_ARG(inner.bytes));
            }
        }
    }
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

static struct str document_of(const struct span *span)
{
    struct buf out, scratch;
    struct json_writer w;

    buf_init(&out, SIZE_MAX);
    buf_init(&scratch, SIZE_MAX);
    json_writer_init(&w, &out, 0);
    jaeger_write_document(&w, span, &scratch);
    assert_int_equal(buf_err(&out), MG_OK);
    assert_true(utf8_valid(out.ptr, out.len));
    struct str copy = arena_str(&help_arena, buf_str(&out));
    buf_fini(&out);
    buf_fini(&scratch);
    return copy;
}

/* --- the worked example --------------------------------------------- */

/* Made with model_pb2 of the Python exporter jaeger-proto-grpc 1.21, SerializeToString. */
static const char example_hex[] =
    "0a100af7651916cd43dd8448eb211c80319c1208b7ad6b71692033311a09474554202f63617274221c0a100af765"
    "1916cd43dd8448eb211c80319c120800f067aa0ba902b7320b0880e2cfaa0610959aef3a3a0510b0ce980142160a"
    "0f6f74656c2e73636f70652e6e616d651a036c696242190a126f74656c2e73636f70652e76657273696f6e1a0331"
    "2e3242170a10687474702e7374617475735f636f6465100228f40342130a097370616e2e6b696e641a0673657276"
    "657242190a106f74656c2e7374617475735f636f64651a054552524f52420b0a056572726f7210012001421f0a17"
    "6f74656c2e7374617475735f6465736372697074696f6e1a04626f6f6d4a260a0b0880e2cfaa0610d59eac3b120e"
    "0a056576656e741a05726574727912070a016e1002280252170a0463617274120f0a09686f73742e6e616d651a02"
    "6831";

static void example_as_protobuf(void **state)
{
    struct span span = worked_example();

    (void)state;
    assert_true(str_eq(written(&span), hex(example_hex)));
}

static void example_as_document(void **state)
{
    static const char want[] =
        "{\"traceID\":\"0af7651916cd43dd8448eb211c80319c\",\"spanID\":\"b7ad6b7169203331\","
        "\"operationName\":\"GET /cart\","
        "\"references\":[{\"refType\":\"CHILD_OF\",\"traceID\":"
        "\"0af7651916cd43dd8448eb211c80319c\",\"spanID\":\"00f067aa0ba902b7\"}],"
        "\"startTime\":1700000000123456,\"startTimeMillis\":1700000000123,\"duration\":2500,"
        "\"tags\":[{\"key\":\"otel.scope.name\",\"type\":\"string\",\"value\":\"lib\"},"
        "{\"key\":\"otel.scope.version\",\"type\":\"string\",\"value\":\"1.2\"},"
        "{\"key\":\"http.status_code\",\"type\":\"int64\",\"value\":\"500\"},"
        "{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"server\"},"
        "{\"key\":\"otel.status_code\",\"type\":\"string\",\"value\":\"ERROR\"},"
        "{\"key\":\"error\",\"type\":\"bool\",\"value\":\"true\"},"
        "{\"key\":\"otel.status_description\",\"type\":\"string\",\"value\":\"boom\"}],"
        "\"logs\":[{\"timestamp\":1700000000124456,\"fields\":[{\"key\":\"event\",\"type\":"
        "\"string\",\"value\":\"retry\"},"
        "{\"key\":\"n\",\"type\":\"int64\",\"value\":\"2\"}]}],"
        "\"process\":{\"serviceName\":\"cart\",\"tags\":[{\"key\":\"host.name\",\"type\":"
        "\"string\",\"value\":\"h1\"}]}}";
    struct span span = worked_example();

    (void)state;
    expect_text("5.3", "document", document_of(&span), want);
}

static void example_comes_back(void **state)
{
    struct span span = worked_example();

    (void)state;
    expect_text("5.3", "span", scan_text(JAEGER_SPAN, written(&span)),
                "R service.name:s=cart host.name:s=h1\nS lib/1.2\n"
                "0 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331<00f067aa0ba902b7 'GET /cart' "
                "1700000000123456789..1700000000125957189 server ERROR(boom) http.status_code:i=500"
                " | log 1700000000124456789 'retry' n:i=2\n");
}

/* --- tags --------------------------------------------- */

struct tag_row {
    const char *attrs;
    int32_t kind, status;
    const char *message, *state, *want;
};
static const struct tag_row tag_rows[] = {
    { NULL, 0, 0, "", "", " op=n process svc" },
    { "s:s=x b:b=true i:i=-3 d:d=1.5 x:x=00ff", 0, 0, "", "",
      " op=n s:s=x b:b=1 i:i=-3 d:d=1.5 x:x=00ff process svc" },
    { "s:s= b:b=false i:i=0 d:d=0 x:x=", 0, 0, "", "",
      " op=n s:s= b:b=0 i:i=0 d:d=0 x:x= process svc" },
    { "e:-= a:a=q m:m=v", 0, 0, "", "", " op=n e:s= a:s=[\"q\"] m:s={\"k\":\"v\"} process svc" },
    { "z:i=1 a:i=2 z:i=1", 0, 0, "", "", " op=n z:i=1 a:i=2 z:i=1 process svc" },
    { NULL, SPAN_CLIENT, 0, "", "", " op=n span.kind:s=client process svc" },
    { NULL, SPAN_INTERNAL, 0, "", "", " op=n span.kind:s=internal process svc" },
    { NULL, 17, 0, "", "", " op=n process svc" },
    { NULL, -1, 0, "", "", " op=n process svc" },
    { NULL, 0, STATUS_OK, "", "", " op=n otel.status_code:s=OK process svc" },
    { NULL, 0, STATUS_ERROR, "", "", " op=n otel.status_code:s=ERROR error:b=1 process svc" },
    { NULL, 0, 9, "", "", " op=n process svc" },
    { NULL, 0, 0, "m", "t=1",
      " op=n otel.status_description:s=m w3c.tracestate:s=t=1 process svc" },
    /* what an attribute says already */
    { "span.kind:s=client", SPAN_CLIENT, 0, "", "", " op=n span.kind:s=client process svc" },
    { "span.kind:s=server", SPAN_CLIENT, 0, "", "",
      " op=n span.kind:s=server span.kind:s=client process svc" },
    { "span.kind:i=3", SPAN_CLIENT, 0, "", "",
      " op=n span.kind:i=3 span.kind:s=client process svc" },
    { "error:b=true k:i=1", 0, STATUS_ERROR, "", "",
      " op=n error:b=1 k:i=1 otel.status_code:s=ERROR process svc" },
    { "error:b=false", 0, STATUS_ERROR, "", "",
      " op=n error:b=0 otel.status_code:s=ERROR error:b=1 process svc" },
    { "error:s=true", 0, STATUS_ERROR, "", "",
      " op=n error:s=true otel.status_code:s=ERROR error:b=1 process svc" },
    /* what is not UTF-8 (3.8) */
    { "a:s=\xff", 0, 0, "", "", " op=n a:x=ff process svc" },
    { "\xff:s=v \xfe:i=7", 0, 0, "", "",
      " op=n invalid-tag-key-1:x=ff3a76 invalid-tag-key-2:x=fe3a37 process svc" },
    { "\xff:s=\xfe", 0, 0, "", "", " op=n invalid-tag-key-1:x=ff3afe process svc" },
    { NULL, 0, 0, "\xff", "\xfe",
      " op=n otel.status_description:x=ff w3c.tracestate:x=fe process svc" },
    { "a:a=\xff", 0, 0, "", "", " op=n a:s=[\"\xef\xbf\xbd\"] process svc" },
    /* warnings */
    { "@jaeger@warnings:a=careful k:i=1", 0, 0, "", "", " op=n k:i=1 process svc warning=careful" },
    { "@jaeger@warnings:a=\xff", 0, 0, "", "", " op=n process svc warning=\xef\xbf\xbd" },
    { "@jaeger@warnings:s=x", 0, 0, "", "", " op=n @jaeger@warnings:s=x process svc" },
};

static struct span tag_row_span(const struct tag_row *row)
{
    struct span span = bare_span("n", row->attrs);

    span.kind = row->kind;
    span.status_code = row->status;
    span.status_message = str_of(row->message);
    span.trace_state = str_of(row->state);
    return span;
}

static void tags_in_their_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(tag_rows); i++) {
        struct span span = tag_row_span(&tag_rows[i]);
        expect_text("tags", "span", span_text(&span), tag_rows[i].want);
    }
}

static const struct {
    const char *name, *resource, *want;
} name_rows[] = {
    { "", NULL, " op=empty-span-name process missing-service-name" },
    { "a\xff", NULL, " op=a\xef\xbf\xbd invalid-span-name:x=61ff process missing-service-name" },
    { "n", "service.name:s=", " op=n process empty-service-name" },
    { "n", "service.name:i=3 k:i=1", " op=n process service-name-wrong-type k:i=1" },
    { "n", "service.name:s=a\xff", " op=n process a\xef\xbf\xbd" },
    { "n", "k:s=\xff \xfe:i=1 service.name:s=s",
      " op=n process s k:x=ff invalid-tag-key-1:x=fe3a31" },
};

static void names_can_be_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(name_rows); i++) {
        struct span span = bare_span(name_rows[i].name, NULL);
        span.resource =
            name_rows[i].resource ? field_bytes(1, words_bytes(name_rows[i].resource, 1)) : STR("");
        expect_text("names", "span", span_text(&span), name_rows[i].want);
        (void)document_of(&span); /* valid UTF-8 too */
    }
}

static const struct {
    const char *name, *attrs, *want;
} event_rows[] = {
    { "e", "k:i=1", " op=n log event:s=e k:i=1 process svc" },
    { "", "k:i=1", " op=n log k:i=1 process svc" },
    { "e", "event:s=x", " op=n log event:s=x process svc" },
    { "e", "k:i=1 event:i=2", " op=n log k:i=1 event:i=2 process svc" },
    { "\xff", NULL, " op=n log event:x=ff process svc" },
    { "e", "\xff:i=1", " op=n log event:s=e invalid-tag-key-1:x=ff3a31 process svc" },
};

static void events_become_logs(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(event_rows); i++) {
        struct span span = bare_span("n", NULL);
        span.events = event_bytes(5, event_rows[i].name, event_rows[i].attrs);
        expect_text("events", "span", span_text(&span), event_rows[i].want);
    }
}

/* --- references --------------------------------------------- */

#define REF(trace, span) " ref " trace " " span
#define T                "0af7651916cd43dd8448eb211c80319c"
#define P                "00f067aa0ba902b7"
#define S                "b7ad6b7169203331"

static const uint8_t no_trace[16];
static const struct {
    bool has_parent, to_parent, to_nowhere, to_self;
    const char *type, *want;
} ref_rows[] = {
    { false, false, false, false, NULL, "" },
    { true, false, false, false, NULL, REF(T, P) },
    { false, false, false, true, NULL, REF(T, S) " follows" },
    { false, false, false, true, "opentracing.ref_type:s=child_of", REF(T, S) },
    { false, false, false, true, "opentracing.ref_type:s=other", REF(T, S) " follows" },
    { false, false, false, true, "opentracing.ref_type:i=1", REF(T, S) " follows" },
    { true, false, false, true, NULL, REF(T, P) REF(T, S) " follows" },
    { true, true, false, false, NULL, REF(T, P) " follows" },
    { true, true, false, false, "opentracing.ref_type:s=child_of", REF(T, P) },
    { true, true, false, true, NULL, REF(T, P) " follows" REF(T, S) " follows" },
    { false, true, false, false, NULL, REF(T, P) " follows" },
    { false, false, true, false, NULL, "" },
    { true, false, true, true, NULL, REF(T, P) REF(T, S) " follows" },
};

static void links_become_references(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(ref_rows); i++) {
        struct span span = bare_span("n", NULL);
        char want[512];
        span.links = STR("");
        if (ref_rows[i].has_parent)
            memcpy(span.parent_id, example_parent, 8);
        if (ref_rows[i].to_nowhere)
            span.links = join(span.links, link_bytes(no_trace, example_span, ref_rows[i].type));
        if (ref_rows[i].to_parent)
            span.links =
                join(span.links, link_bytes(example_trace, example_parent, ref_rows[i].type));
        if (ref_rows[i].to_self)
            span.links =
                join(span.links, link_bytes(example_trace, example_span, ref_rows[i].type));
        snprintf(want, sizeof want, " op=n%s process svc", ref_rows[i].want);
        expect_text(want, "span", span_text(&span), want);
    }
}

static void a_shown_parent_counts(void **state)
{
    struct span span = bare_span("n", NULL);
    struct jaeger_references refs;
    struct jaeger_reference ref;

    (void)state;
    span.links = link_bytes(example_trace, example_parent, NULL);
    jaeger_references(&refs, &span, example_parent); /* though the span itself has none */
    assert_true(jaeger_reference_next(&refs, &ref));
    assert_false(ref.is_child_of);
    assert_memory_equal(ref.span_id, example_parent, 8);
    assert_false(jaeger_reference_next(&refs, &ref));
}

/* --- times --------------------------------------------- */

static const struct {
    uint64_t start, end;
    const char *back, *document;
} time_rows[] = {
    { 0, 0, "0..0", "\"startTime\":0,\"startTimeMillis\":0,\"duration\":0," },
    { 1999, 2998, "1999..2998", "\"startTime\":1,\"startTimeMillis\":0,\"duration\":0," },
    { 5000000000, 4999999999, "5000000000..4999999999",
      "\"startTime\":5000000,\"startTimeMillis\":5000,\"duration\":0," },
    { 5000000000, 1000000000, "5000000000..1000000000",
      "\"startTime\":5000000,\"startTimeMillis\":5000,\"duration\":0," },
    { UINT64_MAX, 0, "18446744073709551615..0",
      "\"startTime\":18446744073709551,\"startTimeMillis\":18446744073709,\"duration\":0," },
    { 0, UINT64_MAX, "0..18446744073709551615",
      "\"startTime\":0,\"startTimeMillis\":0,\"duration\":18446744073709551," },
};

static void times_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(time_rows); i++) {
        struct span span = bare_span("n", NULL);
        char want[256];
        size_t at;
        span.start_ns = time_rows[i].start;
        span.end_ns = time_rows[i].end;
        snprintf(want, sizeof want, "R service.name:s=svc\nS /\n0 " T "-" S " 'n' %s\n",
                 time_rows[i].back);
        expect_text("times", "span", scan_text(JAEGER_SPAN, written(&span)), want);
        assert_true(str_find(document_of(&span), str_of(time_rows[i].document), &at));
    }
}

/* --- documents --------------------------------------------- */

#define TAG(key, type, value) "{\"key\":\"" key "\",\"type\":\"" type "\",\"value\":\"" value "\"}"

static const struct {
    const char *attr, *want;
} value_rows[] = {
    { "k:s=a\"b", TAG("k", "string", "a\\\"b") },
    { "k:b=true", TAG("k", "bool", "true") },
    { "k:b=false", TAG("k", "bool", "false") },
    { "k:i=-9223372036854775808", TAG("k", "int64", "-9223372036854775808") },
    { "k:i=9223372036854775807", TAG("k", "int64", "9223372036854775807") },
    { "k:d=1.5", TAG("k", "float64", "1.5") },
    { "k:d=1e300", TAG("k", "float64", "1e+300") },
    { "k:x=00ff", TAG("k", "binary", "00ff") },
    { "k:x=", TAG("k", "binary", "") },
    { "k:a=q", TAG("k", "string", "[\\\"q\\\"]") },
    { "k:-=", TAG("k", "string", "") },
    { "k:s=\xff", TAG("k", "binary", "ff") },
    { "\xff:s=v", TAG("invalid-tag-key-1", "binary", "ff3a76") },
    { "@jaeger@warnings:a=w", TAG("@jaeger@warnings", "string", "[\\\"w\\\"]") },
};

static void document_values_are_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(value_rows); i++) {
        struct span span = bare_span("n", value_rows[i].attr);
        char want[256];
        size_t at;
        snprintf(want, sizeof want, "\"tags\":[%s],\"logs\":[],", value_rows[i].want);
        struct str document = document_of(&span);
        if (!str_find(document, str_of(want), &at))
            fail_msg("%s is not in %.*s", want, STR_ARG(document));
    }
}

static const struct {
    double value;
    const char *want;
} double_rows[] = {
    { (double)NAN, TAG("k", "string", "NaN") },
    { (double)INFINITY, TAG("k", "string", "Infinity") },
    { (double)-INFINITY, TAG("k", "string", "-Infinity") },
    { 1e300, TAG("k", "float64", "1e+300") },
    { -5e-324, TAG("k", "float64", "-5e-324") },
};

static void document_doubles_that_json_has_not_are_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(double_rows); i++) {
        struct attr attr = { STR("k"), { VALUE_DOUBLE, .d = double_rows[i].value } };
        struct span span = bare_span("n", NULL);
        size_t at;
        span.attrs = &attr;
        span.n_attrs = 1;
        assert_true(str_find(document_of(&span), str_of(double_rows[i].want), &at));
    }
}

static void document_flags_fit(void **state)
{
    static const struct {
        uint32_t flags;
        const char *want;
    } rows[] = {
        { 0, "\"spanID\":\"" S "\",\"operationName\"" },
        { 1, "\"flags\":1,\"operationName\"" },
        { 0x301, "\"flags\":769,\"operationName\"" },
        { UINT32_MAX, "\"flags\":2147483647,\"operationName\"" },
        { 0x80000000, "\"spanID\":\"" S "\",\"operationName\"" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span span = bare_span("n", NULL);
        size_t at;
        span.flags = rows[i].flags;
        assert_true(str_find(document_of(&span), str_of(rows[i].want), &at));
    }
}

static void service_documents(void **state)
{
    struct json_writer w;
    struct buf out;

    (void)state;
    buf_init(&out, SIZE_MAX);
    json_writer_init(&w, &out, 0);
    jaeger_write_service_document(&w, STR("s\"v"), STR("GET /\xff"));
    expect_text("service", "document", buf_str(&out),
                "{\"serviceName\":\"s\\\"v\",\"operationName\":\"GET /\xef\xbf\xbd\"}");
    buf_fini(&out);
}

/* --- what goes wrong --------------------------------------------- */

static void a_full_buffer_is_told(void **state)
{
    struct span span = worked_example();
    size_t whole = written(&span).len;

    (void)state;
    for (size_t limit = 0; limit <= whole; limit++) {
        struct buf out;
        buf_init(&out, limit);
        jaeger_write_span(&out, &span);
        assert_int_equal(buf_err(&out), limit < whole ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&out);
    }
}

static void a_full_scratch_is_told(void **state)
{
    struct span span = bare_span("n", "k:a=0123456789");
    struct buf out, scratch;
    struct json_writer w;

    (void)state;
    for (size_t limit = 13; limit <= 14; limit++) { /* ["0123456789"] takes 14 */
        buf_init(&out, SIZE_MAX);
        buf_init(&scratch, limit);
        json_writer_init(&w, &out, 0);
        jaeger_write_document(&w, &span, &scratch);
        assert_int_equal(buf_err(&out), limit == 13 ? MG_E_TOO_BIG : MG_OK);
        buf_fini(&out);
        buf_fini(&scratch);
    }
}

/* Rows come back from disks: a part that is malformed ends there, and nothing else breaks. */
static void malformed_parts_are_left_out(void **state)
{
    struct span span = worked_example();
    struct str parts[] = { STR("\xff"), STR("\x0a\x7f"), STR("\x5a\x02\x0a"),
                           STR("\x6a\x03\x0a\x01"), STR("\x0a\x02\x0a\x05") };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(parts); i++) {
        struct attr attr = { STR("@jaeger@warnings"), { VALUE_ARRAY, .raw = parts[i] } };
        span.events = span.links = span.resource = span.scope = parts[i];
        span.attrs = &attr;
        span.n_attrs = 1;
        expect_text("parts", "span", span_text(&span),
                    " op=GET /cart ref " T " " P
                    " span.kind:s=server otel.status_code:s=ERROR error:b=1"
                    " otel.status_description:s=boom process missing-service-name");
        (void)document_of(&span);
        attr.value = (struct value){ VALUE_OTHER, .raw = parts[i] };
        (void)span_text(&span);
        (void)document_of(&span);
    }
}

/* --- there and back --------------------------------------------- */

/* What 5.2 makes of what 5.1 made; NULL: the same tags again. */
static const struct {
    const char *attrs;
    int32_t kind, status;
    const char *message, *state, *want;
} back_rows[] = {
    { "a:s=x b:b=true i:i=-3 d:d=1.5 x:x=00ff", 0, 0, "", "",
      " a:s=x b:b=true i:i=-3 d:d=1.5 x:x=00ff" },
    { "e:-= a:a=q", 0, 0, "", "", " e:s= a:s=[\"q\"]" },
    { NULL, SPAN_PRODUCER, STATUS_OK, "", "t=1", " producer OK state=t=1" },
    { "k:i=1", SPAN_CLIENT, STATUS_ERROR, "m", "", " client ERROR(m) k:i=1" },
    { "error:b=true span.kind:s=client", SPAN_CLIENT, STATUS_ERROR, "", "", " client ERROR" },
    { "span.kind:s=server", SPAN_CLIENT, 0, "", "", " client span.kind:s=server" },
    { NULL, 0, 0, "m", "", " otel.status_description:s=m" },
    { "http.status_code:i=503", SPAN_SERVER, 0, "", "", " server ERROR http.status_code:i=503" },
    { "a:s=\xff", 0, 0, "", "", " a:x=ff" },
    { "k:i=1 @jaeger@warnings:a=w", 0, 0, "", "", " k:i=1 @jaeger@warnings:a=[\"w\"]" },
};

static void spans_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(back_rows); i++) {
        struct tag_row row = { back_rows[i].attrs,   back_rows[i].kind,  back_rows[i].status,
                               back_rows[i].message, back_rows[i].state, NULL };
        struct span span = tag_row_span(&row);
        char want[512];
        snprintf(want, sizeof want,
                 "R service.name:s=svc\nS /\n0 " T "-" S " 'n' 1000000007..3000000009%s\n",
                 back_rows[i].want);
        expect_text("back", "span", scan_text(JAEGER_SPAN, written(&span)), want);
    }
}

static void links_come_back(void **state)
{
    struct span span = bare_span("n", NULL);

    (void)state;
    memcpy(span.parent_id, example_parent, 8);
    span.links =
        join(link_bytes(example_trace, example_parent, NULL),
             link_bytes(example_trace, example_span, "opentracing.ref_type:s=child_of lost:i=1"));
    expect_text("links", "span", scan_text(JAEGER_SPAN, written(&span)),
                "R service.name:s=svc\nS /\n0 " T "-" S "<" S " 'n' 1000000007..3000000009"
                " | link " T "-" P " opentracing.ref_type:s=follows_from\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_as_protobuf),
        cmocka_unit_test(example_as_document),
        cmocka_unit_test(example_comes_back),
        cmocka_unit_test(tags_in_their_order),
        cmocka_unit_test(names_can_be_shown),
        cmocka_unit_test(events_become_logs),
        cmocka_unit_test(links_become_references),
        cmocka_unit_test(a_shown_parent_counts),
        cmocka_unit_test(times_come_back),
        cmocka_unit_test(document_values_are_texts),
        cmocka_unit_test(document_doubles_that_json_has_not_are_texts),
        cmocka_unit_test(document_flags_fit),
        cmocka_unit_test(service_documents),
        cmocka_unit_test(a_full_buffer_is_told),
        cmocka_unit_test(a_full_scratch_is_told),
        cmocka_unit_test(malformed_parts_are_left_out),
        cmocka_unit_test(spans_come_back),
        cmocka_unit_test(links_come_back),
    };

    (void)telling;
    (void)writing;
    return cmocka_run_group_tests(tests, NULL, help_fini);
}
