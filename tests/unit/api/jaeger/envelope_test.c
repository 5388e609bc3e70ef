/* The five keys are always there, in Jaeger's order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/jaeger/envelope.h"

static void expect(struct buf *out, const char *want)
{
    if (!str_eq(buf_str(out), str_of(want)))
        fail_msg("got  %.*s\nwant %s", STR_ARG(buf_str(out)), want);
    buf_clear(out);
}

static void envelopes(void **state)
{
    struct json_writer w;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    json_writer_init(&w, &out, 0);
    envelope_begin(&w);
    json_put_null(&w);
    envelope_end(&w, 7);
    assert_int_equal(w.depth, 0);
    expect(&out, "{\"data\":null,\"total\":7,\"limit\":0,\"offset\":0,\"errors\":null}");
    json_writer_init(&w, &out, 0);
    envelope_begin(&w);
    json_array(&w);
    json_array_end(&w);
    envelope_counts(&w, 0);
    json_put_bool(&w, true);
    envelope_close(&w);
    expect(&out, "{\"data\":[],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":true}");
    buf_fini(&out);
}

static void failures(void **state)
{
    struct json_writer w;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    json_writer_init(&w, &out, 0);
    envelope_failure(&w, MG_E_ABSENT, "trace not \"found\"");
    assert_int_equal(w.depth, 0);
    expect(&out, "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":404,"
                 "\"msg\":\"trace not \\\"found\\\"\"}]}");
    json_writer_init(&w, &out, ENVELOPE_INDENT);
    envelope_failure(&w, MG_E_IO, "");
    expect(&out,
           "{\n    \"data\": null,\n    \"total\": 0,\n    \"limit\": 0,\n    \"offset\": 0,\n"
           "    \"errors\": [\n        {\n            \"code\": 500,\n            \"msg\": \"\"\n"
           "        }\n    ]\n}");
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(envelopes), cmocka_unit_test(failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
