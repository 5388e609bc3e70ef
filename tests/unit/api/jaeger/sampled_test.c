/* What a decision adds to a trace that is shown, in all forms: legacy JSON, v3 JSON, both gRPC
 * services. */
#include <stdio.h>
#include "spans.h"
#include "trees.h"
#include "api/jaeger/grpc_traces.h"
#include "api/jaeger/sampled.h"
#include "api/jaeger/v3_json.h"
#include "api/jaeger/v3_summary.h"

/* --- words and traces
 * ---------------------------------------------------------------------------------- */

#define TENTH UINT64_C(0xe6660000000000)
static const struct outcome errors = {.verdict = VERDICT_KEPT,
                                      .trigger = TRIGGER_ROOT,
                                      .reason = REASON_POLICY,
                                      .policy = 1,
                                      .rules = 7};
static const struct outcome tenth = {.verdict = VERDICT_KEPT,
                                     .trigger = TRIGGER_ROOT,
                                     .reason = REASON_POLICY,
                                     .policy = 2,
                                     .threshold = TENTH,
                                     .rules = 7};
static const struct outcome measured = {.verdict = VERDICT_KEPT,
                                        .trigger = TRIGGER_ROOT,
                                        .reason = REASON_POLICY,
                                        .policy = 2,
                                        .is_estimate = true,
                                        .threshold = UINT64_C(1) << 55,
                                        .rules = 7};
static const struct outcome by_floor = {
    .verdict = VERDICT_KEPT, .trigger = TRIGGER_LATE, .reason = REASON_FLOOR_SLOW, .rules = 1};

static struct query_trace trace_of(struct span **spans, size_t n, const struct outcome *outcome,
                                   const char *policy)
{
    struct query_trace trace = {
        .spans = spans, .n = n, .outcome = outcome ? outcome_pack(outcome) : 0, .policy = policy};

    memcpy(trace.id, spans[0]->trace_id, sizeof trace.id);
    return trace;
}

static void put_tag(struct buf *out, const struct attr *tag)
{
    struct value value = value_plain(&tag->value);

    buf_printf(out, "%s%.*s=", out->len ? " " : "", STR_ARG(tag->key));
    value_text(out, &value);
    buf_printf(out, "/%d", (int)value.type);
}

/* --- tags
 * --------------------------------------------------------------------------------------------- */

static void which_tags(void **state)
{
    static const struct outcome no_reason = {.verdict = VERDICT_KEPT, .trigger = TRIGGER_ROOT};
    static const struct {
        const struct outcome *outcome;
        const char *policy, *want;
    } rows[] = {
        {&errors, "errors",
         "meshglass.sampling.reason=policy/1 meshglass.sampling.policy=errors/1 "
         "meshglass.sampling.probability=1/4 meshglass.sampling.rules=7/3"},
        {&measured, "some",
         "meshglass.sampling.reason=policy/1 meshglass.sampling.policy=some/1 "
         "meshglass.sampling.probability=0.5/4 meshglass.sampling.rules=7/3"},
        {&by_floor, "",
         "meshglass.sampling.reason=floor_slow/1 meshglass.sampling.probability=1/4 "
         "meshglass.sampling.rules=1/3"},
        {&errors, "", /* a name that is not known any more */
         "meshglass.sampling.reason=policy/1 meshglass.sampling.probability=1/4 "
         "meshglass.sampling.rules=7/3"},
        {&errors, NULL,
         "meshglass.sampling.reason=policy/1 meshglass.sampling.probability=1/4 "
         "meshglass.sampling.rules=7/3"},
        /* nothing to tell */
        {NULL, "", ""},
        {NULL, "errors", ""},
        {&no_reason, "", ""},
    };
    struct span *span = span_of(1, 0, SPAN_SERVER);
    struct attr tags[SAMPLED_TAGS];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct query_trace trace = trace_of(&span, 1, rows[i].outcome, rows[i].policy);
        struct buf text;
        buf_init(&text, 4096);
        size_t n = sampled_tags(&trace, tags);
        for (size_t k = 0; k < n; k++)
            put_tag(&text, &tags[k]);
        buf_put_char(&text, '\0');
        assert_string_equal(text.ptr, rows[i].want);
        buf_fini(&text);
    }
    struct query_trace damaged = {.outcome = UINT64_C(1) << 63 | 1, .policy = "x"};
    assert_int_equal(sampled_tags(&damaged, tags), 0);
}

/* --- resources
 * ---------------------------------------------------------------------------------------- */

static struct str attributes_of(struct str resource)
{
    struct resource_view view;
    struct attr attr;
    struct buf text;

    buf_init(&text, 1 << 16);
    resource_view(resource, &view);
    for (uint32_t i = 0; i < view.n; i++) {
        const uint8_t *at = wire_begin(view.attributes_owner[i]),
                      *end = wire_end(view.attributes_owner[i]);
        while (attr_next(&at, end, 1, &attr) == 1)
            put_tag(&text, &attr);
    }
    buf_printf(&text, " schema=%.*s dropped=%u", STR_ARG(view.schema_url), view.dropped_attrs);
    return keep(&text);
}

#define OURS                                                                                       \
    "meshglass.sampling.reason=policy/1 meshglass.sampling.policy=errors/1 "                       \
    "meshglass.sampling.probability=1/4 meshglass.sampling.rules=7/3"
#define A_B                                                                                        \
    "\x0a\x08\x0a\x01"                                                                             \
    "a\x12\x03\x0a\x01"                                                                            \
    "b" /* the attribute a=b of a Resource message */
#define IN_RESOURCE "\x0a\x0a" A_B

static void a_resource_keeps_all_that_it_has(void **state)
{
    static const struct {
        struct str resource;
        const char *want;
    } rows[] = {
        {STR_INIT(""), OURS " schema= dropped=0"},
        {STR_INIT("\x0a\x00"), OURS " schema= dropped=0"},
        {STR_INIT(IN_RESOURCE), OURS " a=b/1 schema= dropped=0"},
        {STR_INIT(IN_RESOURCE "\x1a\x01s"), OURS " a=b/1 schema=s dropped=0"},
        {STR_INIT("\x1a\x01s" IN_RESOURCE), OURS " a=b/1 schema=s dropped=0"},
        {STR_INIT("\x1a\x01s"), OURS " schema=s dropped=0"},
        {STR_INIT("\x0a\x0c\x10\x05" A_B), OURS " a=b/1 schema= dropped=5"},
        {STR_INIT(IN_RESOURCE IN_RESOURCE IN_RESOURCE IN_RESOURCE), /* as many as are looked into */
         OURS " a=b/1 a=b/1 a=b/1 a=b/1 schema= dropped=0"},
        {STR_INIT("\xfa\x01\x01z" IN_RESOURCE),
         OURS " a=b/1 schema= dropped=0"},                                   /* an unknown field */
        {STR_INIT(IN_RESOURCE "\x0a\x7f"), OURS " a=b/1 schema= dropped=0"}, /* cut */
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span *span = span_of(1, 0, SPAN_SERVER);
        struct query_trace trace = trace_of(&span, 1, &errors, "errors");
        struct adjusted_span *shown;
        struct str received = span->resource = rows[i].resource;
        assert_int_equal(trace_adjust(&trace, i % 2, &spans_arena, &shown), 1);
        struct str got = attributes_of(shown[0].span->resource);
        if (!str_eq(got, str_of(rows[i].want)))
            fail_msg("row %zu: got  %.*s\nwant %s", i, STR_ARG(got), rows[i].want);
        assert_ptr_equal(span->resource.ptr, received.ptr); /* the stored span is as it was */
        assert_int_equal(span->resource.len, received.len);
    }
}

static void spans_of_one_resource_share_what_is_shown(void **state)
{
    enum { N = 5 };
    struct span *spans[N];
    struct adjusted_span *shown;

    (void)state;
    for (size_t i = 0; i < N; i++)
        spans[i] = span_of(i + 1, 0, SPAN_SERVER); /* equal bytes, each in a place of its own */
    spans[3]->resource = resource_of(ATTRS(A_STR("service.name", "cart")));
    struct query_trace trace = trace_of(spans, N, &errors, "errors");
    assert_int_equal(trace_adjust(&trace, false, &spans_arena, &shown), N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(shown[i].span->resource.ptr == shown[0].span->resource.ptr, i != 3);
    assert_false(str_eq(shown[3].span->resource, shown[0].span->resource));
}

static void a_trace_with_nothing_to_tell_is_not_copied(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);
    struct query_trace trace = trace_of(&span, 1, NULL, "");
    struct adjusted_span *shown;

    (void)state;
    span->trace_state = STR("ot=th:c");
    for (int raw = 0; raw < 2; raw++) {
        assert_int_equal(trace_adjust(&trace, raw, &spans_arena, &shown), 1);
        assert_ptr_equal(shown[0].span, span);
    }
}

/* Told by what was received: one that differs in the trace state alone is another span. */
static void twins_stay_twins(void **state)
{
    struct span *spans[3] = {span_of(1, 0, SPAN_SERVER), span_of(1, 0, SPAN_SERVER),
                             span_of(1, 0, SPAN_SERVER)};
    struct adjusted_span *shown;

    (void)state;
    spans[2]->trace_state = STR("a=b");
    struct query_trace trace = trace_of(spans, 3, &tenth, "tenth");
    assert_int_equal(trace_adjust(&trace, false, &spans_arena, &shown), 2);
    assert_int_equal(trace_adjust(&trace, true, &spans_arena, &shown), 3);
}

/* --- in every form
 * ------------------------------------------------------------------------------------ */

static struct str legacy(const struct query_trace *trace, bool raw)
{
    const struct trace_json_options options = {.raw = raw};
    struct json_writer w;
    struct buf out;

    buf_init(&out, 1 << 20);
    json_writer_init(&w, &out, 0);
    assert_int_equal(trace_json_write(&w, trace, &options, NULL, NULL), MG_OK);
    return keep(&out);
}

static struct str v3(const struct query_trace *trace, bool raw)
{
    struct json_writer w;
    struct buf out;

    buf_init(&out, 1 << 20);
    json_writer_init(&w, &out, 0);
    json_array(&w);
    assert_int_equal(v3_trace_write(&w, trace, raw, NULL, NULL), MG_OK);
    json_array_end(&w);
    return keep(&out);
}

static enum mg_err on_message(void *owner, struct buf *message)
{
    *(struct str *)owner = arena_str(&spans_arena, buf_str(message));
    buf_clear(message);
    return MG_OK;
}

/* The only message. */
static struct str message_of(const struct query_trace *trace, bool raw, bool is_v2)
{
    struct str message = STR("");
    struct buf out;

    buf_init(&out, 1 << 20);
    assert_int_equal(
        (is_v2 ? grpc_v2_trace : grpc_v3_trace)(&out, trace, raw, on_message, &message), MG_OK);
    buf_fini(&out);
    return message;
}

/* The content of the first field with that number; empty: there is none. */
static struct str field_of(struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == number)
            return field.bytes;
    return STR("");
}

/* Tags of api_v2: "key=string" or "key=number". */
static struct str v2_tags(struct str message, uint32_t number)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field tag, field;
    struct buf text;

    buf_init(&text, 1 << 16);
    while (wire_next(&at, end, &tag) == 1) {
        if (tag.number != number)
            continue;
        const uint8_t *p = wire_begin(tag.bytes), *stop = wire_end(tag.bytes);
        while (wire_next(&p, stop, &field) == 1) {
            double number_ = 0;
            if (field.number == 1)
                buf_printf(&text, "%s%.*s=", text.len ? " " : "", STR_ARG(field.bytes));
            else if (field.number == 3)
                buf_put_str(&text, field.bytes);
            else if (field.number == 5)
                buf_printf(&text, "int %llu", (unsigned long long)field.value);
            else if (field.number == 6) {
                memcpy(&number_, &field.value, sizeof number_);
                buf_printf(&text, "double %g", number_);
            }
        }
    }
    return keep(&text);
}

static bool holds(struct str text, const char *what)
{
    size_t at;

    return str_find(text, str_of(what), &at);
}

static void assert_holds(struct str text, const char *what)
{
    if (!holds(text, what))
        fail_msg("no %s\nin %.*s", what, STR_ARG(text));
}

static void assert_lacks(struct str text, const char *what)
{
    if (holds(text, what))
        fail_msg("%s\nin %.*s", what, STR_ARG(text));
}

static const char legacy_tags[] =
    "{\"key\":\"meshglass.sampling.policy\",\"type\":\"string\",\"value\":\"errors\"},"
    "{\"key\":\"meshglass.sampling.probability\",\"type\":\"float64\",\"value\":1},"
    "{\"key\":\"meshglass.sampling.reason\",\"type\":\"string\",\"value\":\"policy\"},"
    "{\"key\":\"meshglass.sampling.rules\",\"type\":\"int64\",\"value\":7}";
static const char legacy_raw_tags[] =
    "{\"key\":\"meshglass.sampling.reason\",\"type\":\"string\",\"value\":\"policy\"},"
    "{\"key\":\"meshglass.sampling.policy\",\"type\":\"string\",\"value\":\"errors\"},"
    "{\"key\":\"meshglass.sampling.probability\",\"type\":\"float64\",\"value\":1},"
    "{\"key\":\"meshglass.sampling.rules\",\"type\":\"int64\",\"value\":7}";

static struct str text_of(const char *format, const char *a, const char *b)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    buf_printf(&out, format, a, b);
    return keep(&out);
}

static void legacy_processes_have_the_tags(void **state)
{
    struct span *spans[2] = {span_of(1, 0, SPAN_SERVER), span_of(2, 1, SPAN_CLIENT)};
    struct str json;

    (void)state;
    spans[0]->resource =
        resource_of(ATTRS(A_STR("service.name", "shop"), A_STR("z", "1"), A_STR("a", "2")));
    spans[1]->resource =
        resource_of(ATTRS(A_STR("a", "2"), A_STR("z", "1"), A_STR("service.name", "shop")));
    struct query_trace trace = trace_of(spans, 2, &errors, "errors");
    json = legacy(&trace, false);
    assert_holds(json, text_of("\"processes\":{\"p1\":{\"serviceName\":\"shop\",\"tags\":["
                               "{\"key\":\"a\",\"type\":\"string\",\"value\":\"2\"},%s,"
                               "{\"key\":\"z\",\"type\":\"string\",\"value\":\"1\"}]}}%s",
                               legacy_tags, "")
                           .ptr);
    assert_lacks(json, "\"p2\""); /* two orders of the same attributes are still one process */
    assert_lacks(json, "w3c.tracestate");
    json = legacy(&trace, true);
    assert_holds(json, text_of("\"p1\":{\"serviceName\":\"shop\",\"tags\":[%s,{\"key\":\"z\"%s",
                               legacy_raw_tags, "")
                           .ptr);
    assert_holds(json, text_of("\"p2\":{\"serviceName\":\"shop\",\"tags\":[%s,{\"key\":\"a\"%s",
                               legacy_raw_tags, "")
                           .ptr);
    trace.outcome = 0;
    for (int raw = 0; raw < 2; raw++)
        assert_lacks(legacy(&trace, raw), "meshglass");
}

/* Ours are not the resource's: it has no attributes, as before. */
static void a_raw_process_without_attributes_has_its_name(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);

    (void)state;
    span->resource = STR("");
    struct query_trace trace = trace_of(&span, 1, &errors, "errors");
    assert_holds(legacy(&trace, true), "\"serviceName\":\"OTLPResourceNoServiceName\"");
    assert_holds(legacy(&trace, false), "\"serviceName\":\"missing-service-name\"");
    span->resource = resource_of(ATTRS(A_STR("a", "b")));
    assert_holds(legacy(&trace, true), "\"serviceName\":\"\"");
    trace.outcome = 0;
    span->resource = STR("");
    assert_holds(legacy(&trace, true), "\"serviceName\":\"OTLPResourceNoServiceName\"");
}

static void v3_resources_have_the_attributes(void **state)
{
    static const char ours[] =
        "{\"key\":\"meshglass.sampling.policy\",\"value\":{\"stringValue\":\"errors\"}},"
        "{\"key\":\"meshglass.sampling.probability\",\"value\":{\"doubleValue\":1}},"
        "{\"key\":\"meshglass.sampling.reason\",\"value\":{\"stringValue\":\"policy\"}},"
        "{\"key\":\"meshglass.sampling.rules\",\"value\":{\"intValue\":\"7\"}},"
        "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]";
    struct span *spans[2] = {span_of(1, 0, SPAN_SERVER), span_of(2, 1, SPAN_CLIENT)};
    struct query_trace trace = trace_of(spans, 2, &errors, "errors");
    size_t n = 0, at;

    (void)state;
    struct str json = v3(&trace, false);
    assert_holds(json, ours);
    for (struct str rest = json; str_find(rest, STR("\"resource\":"), &at); n++)
        rest = str_n(rest.ptr + at + 1, rest.len - at - 1);
    assert_int_equal(n, 1); /* one group still */
    assert_holds(v3(&trace, true), "\"attributes\":[{\"key\":\"meshglass.sampling.reason\"");
    trace.outcome = 0;
    for (int raw = 0; raw < 2; raw++)
        assert_lacks(v3(&trace, raw), "meshglass");
}

static void grpc_processes_and_resources_have_them(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);
    struct query_trace trace = trace_of(&span, 1, &errors, "errors");

    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        struct str process = field_of(field_of(message_of(&trace, raw, true), 1), 10);
        struct str tags = v2_tags(process, 2);
        assert_true(str_eq(field_of(process, 1), STR("shop")));
        assert_holds(tags, "meshglass.sampling.reason=policy");
        assert_holds(tags, "meshglass.sampling.policy=errors");
        assert_holds(tags, "meshglass.sampling.probability=double 1");
        assert_holds(tags, "meshglass.sampling.rules=int 7");
        struct str resource = field_of(message_of(&trace, raw, false), 1);
        struct str attributes = attributes_of(resource);
        assert_holds(attributes, "meshglass.sampling.probability=1/4");
        assert_holds(attributes, "meshglass.sampling.rules=7/3");
        assert_holds(attributes, "service.name=shop/1");
    }
    trace.outcome = 0;
    for (int i = 0; i < 4; i++)
        assert_lacks(message_of(&trace, i & 1, i & 2), "meshglass");
}

static void a_trace_state_shows_only_a_probability_below_one(void **state)
{
    static const struct {
        const struct outcome *outcome;
        const char *received, *want;
    } rows[] = {
        {&tenth, "", "ot=th:e666"},
        {&tenth, "a=b", "ot=th:e666,a=b"},
        {&errors, "", ""},
        {&errors, "a=b", "a=b"},
        {&measured, "a=b", "a=b"},
        {&by_floor, "", ""},
        {NULL, "", ""},
        {NULL, "ot=th:c,a=b", "ot=th:c,a=b"},
        {&errors, "ot=th:c", "ot=th:c"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct span *span = span_of(1, 0, SPAN_SERVER);
        struct query_trace trace = trace_of(&span, 1, rows[i].outcome, "p");
        span->trace_state = str_of(rows[i].received);
        for (int raw = 0; raw < 2; raw++) {
            struct str shown =
                text_of("\"key\":\"w3c.tracestate\",\"type\":\"string\",\"value\":\"%s\"%s",
                        rows[i].want, "");
            struct str tags = v2_tags(field_of(message_of(&trace, raw, true), 1), 8);
            struct str scope = field_of(field_of(message_of(&trace, raw, false), 1), 2);
            assert_true(str_eq(field_of(field_of(scope, 2), 3), str_of(rows[i].want)));
            if (rows[i].want[0] == '\0') {
                assert_lacks(legacy(&trace, raw), "tracestate");
                assert_lacks(v3(&trace, raw), "traceState");
                assert_lacks(tags, "tracestate");
                continue;
            }
            assert_holds(legacy(&trace, raw), shown.ptr);
            assert_holds(v3(&trace, raw), text_of("\"traceState\":\"%s\"%s", rows[i].want, "").ptr);
            assert_holds(tags, text_of("w3c.tracestate=%s%s", rows[i].want, "").ptr);
        }
        assert_true(str_eq(span->trace_state, str_of(rows[i].received)));
    }
}

static void a_list_of_results_does_not_tell(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);
    struct query_trace trace = trace_of(&span, 1, &tenth, "tenth");
    struct str texts[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct json_writer w;
        struct buf out;
        buf_init(&out, 1 << 16);
        json_writer_init(&w, &out, 0);
        v3_summary_write(&w, &trace, false);
        texts[i] = keep(&out);
        trace.outcome = 0;
    }
    assert_same_json(texts[0], texts[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_tags),
        cmocka_unit_test(a_resource_keeps_all_that_it_has),
        cmocka_unit_test(spans_of_one_resource_share_what_is_shown),
        cmocka_unit_test(a_trace_with_nothing_to_tell_is_not_copied),
        cmocka_unit_test(twins_stay_twins),
        cmocka_unit_test(legacy_processes_have_the_tags),
        cmocka_unit_test(a_raw_process_without_attributes_has_its_name),
        cmocka_unit_test(v3_resources_have_the_attributes),
        cmocka_unit_test(grpc_processes_and_resources_have_them),
        cmocka_unit_test(a_trace_state_shows_only_a_probability_below_one),
        cmocka_unit_test(a_list_of_results_does_not_tell),
    };
    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
