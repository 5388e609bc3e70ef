#include "spans.h"
#include "trees.h"
#include "api/jaeger/v3_summary.h"

#define T32 "0102030405060708090a0b0c0d0e0f10"

static struct str summary(struct span **spans, size_t n, bool raw)
{
    struct query_trace trace = {.spans = spans, .n = n};
    struct json_writer w;
    struct buf out;

    memcpy(trace.id, spans[0]->trace_id, sizeof trace.id);
    buf_init(&out, 1 << 20);
    json_writer_init(&w, &out, 0);
    v3_summary_write(&w, &trace, raw);
    assert_int_equal(w.depth, 0);
    return keep(&out);
}

static void expect(struct span **spans, size_t n, bool raw, const char *want)
{
    struct str got = summary(spans, n, raw);

    if (!str_eq(got, str_of(want)))
        fail_msg("got  %.*s\nwant %s", STR_ARG(got), want);
}

static struct span *span_at(uint64_t id, uint64_t parent, const char *service, uint64_t start_ns,
                            uint64_t end_ns)
{
    struct span *span = span_of(id, parent, SPAN_INTERNAL);
    struct attr name = {STR("service.name"), {.type = VALUE_STRING, .str = str_of(service)}};

    span->resource = resource_of(&name, 1);
    span->start_ns = start_ns;
    span->end_ns = end_ns;
    return span;
}

static void one_span(void **state)
{
    struct span *span = span_of(1, 0, SPAN_SERVER);

    (void)state;
    expect(&span, 1, false,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"shop\",\"rootOperationName\":\"op\","
           "\"minStartTimeUnixNano\":\"1000000000\",\"maxEndTimeUnixNano\":\"1001000000\","
           "\"spanCount\":1,\"services\":[{\"name\":\"shop\",\"spanCount\":1}]}");
}

static void a_trace(void **state)
{
    struct span *spans[] = {
        span_at(2, 1, "b", 5, 90),   span_at(1, 0, "c", 10, 50), span_at(3, 1, "a", 20, 30),
        span_at(4, 99, "a", 25, 26), span_at(5, 0, "z", 30, 40),
    };

    (void)state;
    spans[2]->status_code = STATUS_ERROR;
    spans[3]->status_code = STATUS_ERROR;
    spans[4]->status_code = STATUS_OK;
    spans[1]->name = STR("root");
    expect(spans, MG_COUNT(spans), false,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"c\",\"rootOperationName\":\"root\","
           "\"minStartTimeUnixNano\":\"5\",\"maxEndTimeUnixNano\":\"90\",\"spanCount\":5,"
           "\"errorSpanCount\":2,\"orphanSpanCount\":1,\"services\":["
           "{\"name\":\"a\",\"spanCount\":2,\"errorSpanCount\":2},{\"name\":\"b\",\"spanCount\":1},"
           "{\"name\":\"c\",\"spanCount\":1},{\"name\":\"z\",\"spanCount\":1}]}");
}

/* What is zero or empty is left out; there may be no root. */
static void left_out(void **state)
{
    struct span *span = span_at(1, 9, "a", 0, 0);

    (void)state;
    expect(&span, 1, false,
           "{\"traceId\":\"" T32 "\",\"spanCount\":1,\"orphanSpanCount\":1,"
           "\"services\":[{\"name\":\"a\",\"spanCount\":1}]}");
}

/* A span that is its own parent, and spans that are each other's, are no orphans and no roots. */
static void circles(void **state)
{
    struct span *spans[] = {span_at(1, 1, "a", 1, 2), span_at(2, 3, "a", 1, 2),
                            span_at(3, 2, "a", 1, 2)};

    (void)state;
    expect(spans, 3, false,
           "{\"traceId\":\"" T32 "\",\"minStartTimeUnixNano\":\"1\",\"maxEndTimeUnixNano\":\"2\","
           "\"spanCount\":3,\"services\":[{\"name\":\"a\",\"spanCount\":3}]}");
}

static void names_a_person_sees(void **state)
{
    struct span *span = span_at(1, 0, "", 1, 2);

    (void)state;
    span->name = STR("");
    expect(&span, 1, false,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"empty-service-name\","
           "\"rootOperationName\":\"empty-span-name\",\"minStartTimeUnixNano\":\"1\","
           "\"maxEndTimeUnixNano\":\"2\",\"spanCount\":1,\"services\":["
           "{\"name\":\"empty-service-name\",\"spanCount\":1}]}");
    expect(&span, 1, true,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"empty-service-name\","
           "\"minStartTimeUnixNano\":\"1\",\"maxEndTimeUnixNano\":\"2\",\"spanCount\":1,"
           "\"services\":[{\"name\":\"empty-service-name\",\"spanCount\":1}]}");
}

/* After the adjusters: a twin counts once, a server with its client's id is its child and no root,
 * an end before the start is the start. */
static void adjusted(void **state)
{
    struct span *client = span_of(7, 0, SPAN_CLIENT), *server = span_of(7, 0, SPAN_SERVER);
    struct span *twin = span_of(7, 0, SPAN_SERVER);
    struct span *spans[] = {server, client, twin};
    struct span *backwards = span_at(1, 0, "a", 100, 50);

    (void)state;
    server->name = twin->name = STR("server");
    expect(spans, 3, false,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"shop\",\"rootOperationName\":\"op\","
           "\"minStartTimeUnixNano\":\"1000000000\",\"maxEndTimeUnixNano\":\"1001000000\","
           "\"spanCount\":2,\"services\":[{\"name\":\"shop\",\"spanCount\":2}]}");
    expect(spans, 3, true,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"shop\",\"rootOperationName\":\"server\","
           "\"minStartTimeUnixNano\":\"1000000000\",\"maxEndTimeUnixNano\":\"1001000000\","
           "\"spanCount\":3,\"services\":[{\"name\":\"shop\",\"spanCount\":3}]}");
    expect(&backwards, 1, false,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"a\",\"rootOperationName\":\"op\","
           "\"minStartTimeUnixNano\":\"100\",\"maxEndTimeUnixNano\":\"100\","
           "\"spanCount\":1,\"services\":[{\"name\":\"a\",\"spanCount\":1}]}");
}

/* Times beyond int64 stay digits: the UI reads them as big integers. */
static void far_times(void **state)
{
    struct span *span = span_at(1, 0, "a", UINT64_MAX - 1, UINT64_MAX);

    (void)state;
    expect(&span, 1, false,
           "{\"traceId\":\"" T32 "\",\"rootServiceName\":\"a\",\"rootOperationName\":\"op\","
           "\"minStartTimeUnixNano\":\"18446744073709551614\","
           "\"maxEndTimeUnixNano\":\"18446744073709551615\","
           "\"spanCount\":1,\"services\":[{\"name\":\"a\",\"spanCount\":1}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_span),  cmocka_unit_test(a_trace),
        cmocka_unit_test(left_out),  cmocka_unit_test(circles),
        cmocka_unit_test(adjusted),  cmocka_unit_test(names_a_person_sees),
        cmocka_unit_test(far_times),
    };
    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
