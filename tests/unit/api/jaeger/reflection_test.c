/* Questions and answers of server reflection; calls are in grpc_test.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "api/jaeger/reflection.h"
#include "model/wire.h"

static struct reflection reflection;

enum { FILE_NAME = 3, SYMBOL = 4, EXTENSION = 5, NUMBERS = 6, SERVICES = 7 };

static bool find(struct str message, uint32_t number, struct str *out)
{
    const uint8_t *at = wire_begin(message), *end = wire_end(message);
    struct wire_field field;
    bool is_there = false;
    int got;

    while ((got = wire_next(&at, end, &field)) == 1)
        if (field.number == number && field.type == WIRE_BYTES) {
            *out = field.bytes;
            is_there = true;
        }
    assert_int_equal(got, 0);
    return is_there;
}

static void put_names(char *text, size_t room, struct str list, uint32_t number)
{
    const uint8_t *at = wire_begin(list), *end = wire_end(list);
    struct wire_field field;
    struct str name;

    while (wire_next(&at, end, &field) == 1)
        if (field.number == number && find(field.bytes, 1, &name))
            snprintf(text + strlen(text), room - strlen(text), "%s%.*s", text[0] ? " " : "",
                     STR_ARG(name));
}

/* "files: …" in their order, "services: …", "extensions of …: n", "error 5: …". */
static const char *answer_text(struct str answer)
{
    static char text[2048];
    struct str part, name = STR("");

    text[0] = '\0';
    if (find(answer, 4, &part)) {
        put_names(text, sizeof text, part, 1);
    } else if (find(answer, 6, &part)) {
        put_names(text, sizeof text, part, 1);
    } else if (find(answer, 5, &part)) {
        (void)find(part, 1, &name);
        snprintf(text, sizeof text, "extensions of %.*s: %s", STR_ARG(name),
                 part.len == name.len + 2 ? "none" : "some");
    } else if (find(answer, 7, &part)) {
        const uint8_t *at = wire_begin(part);
        struct wire_field code = { 0 };
        assert_int_equal(wire_next(&at, wire_end(part), &code), 1);
        (void)find(part, 2, &name);
        snprintf(text, sizeof text, "error %u: %.*s", (unsigned)code.value, STR_ARG(name));
    }
    return text;
}

static const char *ask(struct str request, struct buf *out)
{
    struct mg_why why;

    buf_clear(out);
    if (reflection_answer(&reflection, request, out, &why) != MG_OK)
        return "refused";
    return answer_text(buf_str(out));
}

#define COMMON   "opentelemetry/proto/common/v1/common.proto"
#define RESOURCE "opentelemetry/proto/resource/v1/resource.proto"
#define TRACE    "opentelemetry/proto/trace/v1/trace.proto"
#define TRACES   TRACE " " COMMON " " RESOURCE
#define DURATION "google/protobuf/duration.proto"
#define STAMP    "google/protobuf/timestamp.proto"
#define MODEL    "jaeger/api_v2/model.proto"
#define V2       "jaeger/api_v2/query.proto " DURATION " " STAMP " " MODEL
#define V3       "jaeger/api_v3/query_service.proto " DURATION " " STAMP " " TRACES
#define HEALTH   "grpc/health/v1/health.proto"
#define NO(name) "error 5: there is no symbol " name

static const struct {
    uint32_t number;
    const char *content, *want;
} rows[] = {
    {SERVICES, "",
     "jaeger.api_v2.QueryService jaeger.api_v3.QueryService grpc.health.v1.Health "
     "grpc.reflection.v1.ServerReflection grpc.reflection.v1alpha.ServerReflection"},
    {SERVICES, "*",
     "jaeger.api_v2.QueryService jaeger.api_v3.QueryService grpc.health.v1.Health "
     "grpc.reflection.v1.ServerReflection grpc.reflection.v1alpha.ServerReflection"},
    {FILE_NAME, STAMP, STAMP},
    {FILE_NAME, "jaeger/api_v2/model.proto", MODEL " " DURATION " " STAMP},
    {FILE_NAME, "jaeger/api_v2/query.proto", V2},
    {FILE_NAME, TRACE, TRACES},
    {FILE_NAME, "", "error 5: there is no file "},
    {FILE_NAME, "query.proto", "error 5: there is no file query.proto"},
    {FILE_NAME, "/etc/passwd", "error 5: there is no file /etc/passwd"},
    {FILE_NAME, STAMP "x", "error 5: there is no file " STAMP "x"},
    {SYMBOL, "jaeger.api_v2.QueryService", V2},
    {SYMBOL, "jaeger.api_v2.QueryService.GetTrace", V2},
    {SYMBOL, "jaeger.api_v3.QueryService.FindTraceSummaries", V3},
    {SYMBOL, "jaeger.api_v2.FindTracesRequest", V2},
    {SYMBOL, "jaeger.api_v2.TraceQueryParameters.TagsEntry", V2}, /* what a map is made of */
    {SYMBOL, "jaeger.api_v2.Span", MODEL " " DURATION " " STAMP},
    {SYMBOL, "jaeger.api_v2.Span.operation_name", MODEL " " DURATION " " STAMP},
    {SYMBOL, "jaeger.api_v2.ValueType", MODEL " " DURATION " " STAMP},
    {SYMBOL, "jaeger.api_v2.FLOAT64", MODEL " " DURATION " " STAMP},
    {SYMBOL, "opentelemetry.proto.trace.v1.Span.Event", TRACES},
    {SYMBOL, "opentelemetry.proto.trace.v1.Span.SPAN_KIND_SERVER", TRACES},
    {SYMBOL, "opentelemetry.proto.common.v1.AnyValue.value", COMMON}, /* the oneof */
    {SYMBOL, "google.protobuf.Timestamp", STAMP},
    {SYMBOL, "grpc.health.v1.Health.Check", HEALTH},
    {SYMBOL, "grpc.health.v1.HealthCheckResponse.ServingStatus", HEALTH},
    {SYMBOL, "grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"},
    {SYMBOL, "grpc.reflection.v1alpha.ServerReflectionRequest.message_request",
     "grpc/reflection/v1alpha/reflection.proto"},
    {SYMBOL, "", NO("")},
    {SYMBOL, ".", NO(".")},
    {SYMBOL, "jaeger", NO("jaeger")},
    {SYMBOL, "jaeger.api_v2", NO("jaeger.api_v2")}, /* a package is no symbol */
    {SYMBOL, "jaeger.api_v2.", NO("jaeger.api_v2.")},
    {SYMBOL, "jaeger.api_v2.Span.", NO("jaeger.api_v2.Span.")},
    {SYMBOL, "jaeger.api_v2..Span", NO("jaeger.api_v2..Span")},
    {SYMBOL, ".jaeger.api_v2.Span", NO(".jaeger.api_v2.Span")},
    {SYMBOL, "jaeger.api_v2.span", NO("jaeger.api_v2.span")},
    {SYMBOL, "jaeger.api_v2.Spa", NO("jaeger.api_v2.Spa")},
    {SYMBOL, "jaeger.api_v2x.Span", NO("jaeger.api_v2x.Span")},
    {SYMBOL, "jaeger.api_v2.Span.operation_name.x", NO("jaeger.api_v2.Span.operation_name.x")},
    {SYMBOL, "jaeger.api_v2.ValueType.FLOAT64", NO("jaeger.api_v2.ValueType.FLOAT64")},
    {SYMBOL, "grpc.health.v1.Health.Watch", NO("grpc.health.v1.Health.Watch")},
    {SYMBOL, "jaeger.api_v2.metrics.MetricsQueryService",
     NO("jaeger.api_v2.metrics.MetricsQueryService")},
    {EXTENSION, "\x0a\x12jaeger.api_v2.Span\x10\x05",
     "error 5: there is no such extension of jaeger.api_v2.Span"},
    {EXTENSION, "", "error 5: there is no such extension of "},
    {EXTENSION, "\xff", "error 5: there is no such extension of "},
    {NUMBERS, "jaeger.api_v2.Span", "extensions of jaeger.api_v2.Span: none"},
    {NUMBERS, "jaeger.api_v2.Spam", "error 5: there is no message jaeger.api_v2.Spam"},
    {NUMBERS, "jaeger.api_v2.QueryService",
     "error 5: there is no message jaeger.api_v2.QueryService"},
    {NUMBERS, "jaeger.api_v2.ValueType", "error 5: there is no message jaeger.api_v2.ValueType"},
    {NUMBERS, "", "error 5: there is no message "},
    {8, "x", "error 3: the request asks for nothing that is known here"},
    {2, "x", "error 3: the request asks for nothing that is known here"},
};

static void questions(void **state)
{
    struct buf request, out;

    (void)state;
    buf_init(&request, 4096);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        buf_clear(&request);
        wire_put_bytes(&request, rows[i].number, str_of(rows[i].content));
        const char *got = ask(buf_str(&request), &out);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%u %s\ngot  %s\nwant %s", rows[i].number, rows[i].content, got, rows[i].want);
        struct str original;
        assert_true(find(buf_str(&out), 2, &original));
        assert_true(str_eq(original, buf_str(&request)));
    }
    buf_fini(&request);
    buf_fini(&out);
}

static void frames(void **state)
{
    struct str host;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    assert_string_equal(ask(STR(""), &out),
                        "error 3: the request asks for nothing that is known here");
    assert_string_equal(ask(STR("\x1a"), &out), "refused");
    assert_string_equal(ask(STR("\x1a\x05x"), &out), "refused");
    assert_string_equal(ask(STR("\x1b"), &out), "refused");
    assert_string_equal(ask(STR("\x18\x01"), &out), /* a number where a name belongs */
                        "error 3: the request asks for nothing that is known here");
    assert_string_equal(ask(STR("\x0a\x01h\x22\x01x\x1a\x01y"), &out), /* the last of the oneof */
                        "error 5: there is no file y");
    assert_true(find(buf_str(&out), 1, &host));
    assert_true(str_eq(host, STR("h")));
    buf_fini(&out);
    buf_init(&out, 100); /* an answer that does not fit is none */
    assert_string_equal(ask(STR("\x3a\x00"), &out), "refused");
    buf_fini(&out);
}

static void expect_declared(struct str type)
{
    struct buf request, out;

    buf_init(&request, 256);
    buf_init(&out, 1 << 20);
    assert_true(str_starts(type, STR(".")));
    wire_put_bytes(&request, SYMBOL, str_n(type.ptr + 1, type.len - 1));
    if (!str_ends(str_of(ask(buf_str(&request), &out)), STR(".proto")))
        fail_msg("%.*s", STR_ARG(type));
    buf_fini(&request);
    buf_fini(&out);
}

static size_t check_service(struct str service)
{
    const uint8_t *at = wire_begin(service), *end = wire_end(service);
    struct wire_field method;
    struct str input, output;
    size_t n = 0;

    while (wire_next(&at, end, &method) == 1) {
        if (method.number != 2)
            continue;
        assert_true(find(method.bytes, 2, &input) && find(method.bytes, 3, &output));
        expect_declared(input);
        expect_declared(output);
        n++;
    }
    return n;
}

/* Everything that a method takes or gives is described. */
static void types_of_methods(void **state)
{
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < reflection.files.n; i++) {
        struct str file = reflection.files.at[i].bytes;
        const uint8_t *at = wire_begin(file), *end = wire_end(file);
        struct wire_field field;
        while (wire_next(&at, end, &field) == 1)
            if (field.number == 6)
                n += check_service(field.bytes);
    }
    assert_int_equal(n, 6 + 6 + 2 + 1 + 1);
}

static int set_up(void **state)
{
    (void)state;
    reflection_init(&reflection);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reflection_fini(&reflection);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions),
        cmocka_unit_test(frames),
        cmocka_unit_test(types_of_methods),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
