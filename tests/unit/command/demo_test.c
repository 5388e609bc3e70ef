#include "unit/command/test.h"
#include "command/demo.h"

#define DOORS(list)   "{\"state\":\"serving\",\"doors\":[" list "]}"
#define HTTP(address) "{\"door\":\"otlp_http\",\"address\":\"" address "\"}"
static const struct {
    const char *status, *door;
    enum mg_err want;
    const char *text;
} rows[] = {
    {DOORS(HTTP("127.0.0.1:4318")), "otlp_http", MG_OK, "127.0.0.1:4318"},
    {DOORS("{\"door\":\"health\",\"address\":\"127.0.0.1:1\"}," HTTP("[::1]:4318")), "otlp_http",
     MG_OK, "[::1]:4318"},
    {DOORS("{\"door\":\"otlp_grpc\",\"address\":\"127.0.0.1:4317\"}," HTTP("127.0.0.1:1")),
     "otlp_grpc", MG_OK, "127.0.0.1:4317"},
    {DOORS(HTTP("0.0.0.0:4318")), "otlp_http", MG_OK, "shop.example:4318"},
    {DOORS(HTTP("[::]:4318")), "otlp_http", MG_OK, "shop.example:4318"},
    {DOORS(HTTP("127.0.0.1:4318")), "otlp_grpc", MG_E_ABSENT,
     "the server has no open otlp_grpc door; give --endpoint"},
    {DOORS(HTTP("")), "otlp_http", MG_E_ABSENT,
     "the server has no open otlp_http door; give --endpoint"},
    {DOORS("{\"door\":\"otlp_http\"}"), "otlp_http", MG_E_ABSENT, "no open"},
    {DOORS("{\"door\":7,\"address\":7}"), "otlp_http", MG_E_ABSENT, "no open"},
    {DOORS("3"), "otlp_http", MG_E_ABSENT, "no open"},
    {DOORS(""), "otlp_http", MG_E_ABSENT, "no open"},
    {"{\"doors\":{}}", "otlp_http", MG_E_FORMAT, "no list of doors"},
    {"{}", "otlp_http", MG_E_FORMAT, "no list of doors"},
    {"[]", "otlp_http", MG_E_FORMAT, "no list of doors"},
    {"<html>", "otlp_http", MG_E_FORMAT, ""},
};

static void test_endpoint(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct buf out;
        struct mg_why why = {""};
        enum mg_err err;

        buf_init(&out, 4096);
        err = demo_door(str_of(rows[i].status), rows[i].door, STR("shop.example"), &out, &why);
        buf_put_char(&out, '\0');
        assert_int_equal(err, rows[i].want);
        if (err == MG_OK)
            assert_string_equal(out.ptr, rows[i].text);
        else
            assert_non_null(strstr(why.text, rows[i].text));
        buf_fini(&out);
    }
}

static void test_endpoint_of_a_literal(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(demo_door(STR(DOORS(HTTP("[::]:1"))), "otlp_http", STR("::1"), &out, NULL), MG_OK);
    assert_true(str_eq(buf_str(&out), STR("[::1]:1")));
    buf_fini(&out);
}

enum { MS = 1000000, VISIT = 17 };

/* Spans told in `ms`, when visits of 17 spans are told as soon as they are due, each `tick`
 * milliseconds. */
static uint64_t told(struct pace *pace, uint64_t *now, uint64_t ms, uint64_t tick)
{
    uint64_t spans = 0;

    for (uint64_t end = *now + ms * MS; *now < end;) {
        *now += tick * MS;
        for (; pace_is_due(pace, *now); spans += VISIT)
            pace_spend(pace, VISIT);
    }
    return spans;
}

static void test_the_rate_is_met(void **state)
{
    static const uint64_t rates[] = {1, 16, 17, 18, 100, 5000, 1000000};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rates); i++) {
        struct pace pace;
        uint64_t now = 12345, spans;
        pace_init(&pace, rates[i], now);
        spans = told(&pace, &now, 100000, 10);
        assert_in_range(spans, rates[i] * 100 - VISIT, rates[i] * 100 + VISIT);
    }
}

static void test_the_first_visit_comes_with_its_first_span(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace, 10, 0);
    assert_false(pace_is_due(&pace, 99 * MS));
    assert_true(pace_is_due(&pace, 100 * MS));
    pace_spend(&pace, VISIT);
    assert_false(pace_is_due(&pace, 1000 * MS));
    assert_false(pace_is_due(&pace, 1799 * MS));
    assert_true(pace_is_due(&pace, 1800 * MS));
}

static void test_a_stall_makes_no_burst(void **state)
{
    struct pace pace;
    uint64_t now = 0, spans = 0;

    (void)state;
    pace_init(&pace, 1000, now);
    for (now = 0; now < (uint64_t)60000 * MS; now += 10 * MS) /* due, but there is no room */
        (void)pace_is_due(&pace, now);
    for (; pace_is_due(&pace, now); spans += VISIT)
        pace_spend(&pace, VISIT);
    assert_in_range(spans, 250, 251 + VISIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoint),
        cmocka_unit_test(test_endpoint_of_a_literal),
        cmocka_unit_test(test_the_rate_is_met),
        cmocka_unit_test(test_the_first_visit_comes_with_its_first_span),
        cmocka_unit_test(test_a_stall_makes_no_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
