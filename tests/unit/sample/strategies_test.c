#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/mem.h"
#include "sample/strategies.h"

static void print_entry(struct buf *out, const struct strategies_entry *entry)
{
    if (entry->type == STRATEGY_RATE_LIMITING)
        buf_printf(out, "L%d", entry->max_traces_per_second);
    else if (entry->has_probability)
        buf_printf(out, "P%g", entry->probability);
    else
        buf_put_text(out, "P?");
    for (size_t i = 0; i < entry->n_operations; i++) {
        buf_printf(out, "%c%.*s=", i ? ',' : '(', STR_ARG(entry->operations[i].name));
        if (entry->operations[i].has_probability)
            buf_printf(out, "%g", entry->operations[i].probability);
        else
            buf_put_char(out, '?');
    }
    if (entry->n_operations)
        buf_put_char(out, ')');
}

/* "default: P0.5(/health=0); foo: P0.8(op1=0.2); bar: L5" */
static void print(struct buf *out, const struct strategies *strategies)
{
    if (strategies->has_fallback) {
        buf_put_text(out, "default: ");
        print_entry(out, &strategies->fallback);
    }
    for (size_t i = 0; i < strategies->n_services; i++) {
        buf_printf(out, "%s%.*s: ", out->len ? "; " : "", STR_ARG(strategies->services[i].service));
        print_entry(out, &strategies->services[i]);
    }
}

static void test_files(void **state)
{
    static const struct { const char *text, *want; size_t n_warnings; const char *warning; } rows[] = {
        /* the example of the reference */
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":0.5,"
          "\"operation_strategies\":[{\"operation\":\"/health\",\"type\":\"probabilistic\",\"param\":0.0}]},"
          "\"service_strategies\":[{\"service\":\"foo\",\"type\":\"probabilistic\",\"param\":0.8,"
          "\"operation_strategies\":[{\"operation\":\"op1\",\"type\":\"probabilistic\",\"param\":0.2}]},"
          "{\"service\":\"bar\",\"type\":\"ratelimiting\",\"param\":5}]}",
          "default: P0.5(/health=0); bar: L5; foo: P0.8(op1=0.2)", 0, NULL },
        { "{}", "", 0, NULL },
        { "null", "", 0, NULL },
        { " { } \n", "", 0, NULL },
        { "{\"default_strategy\":null,\"service_strategies\":null}", "", 0, NULL },
        { "{\"service_strategies\":[]}", "", 0, NULL },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":1,\"operation_strategies\":null}}", "default: P1", 0, NULL },
        { "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":0}}", "default: L0", 0, NULL },
        /* members that Jaeger does not know */
        { "{\"version\":3,\"default_strategy\":{\"type\":\"probabilistic\",\"param\":0.1,\"comment\":{\"a\":[1]}}}", "default: P0.1", 0, NULL },
        /* what is bent */
        { "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":0.5}}", "default: L0", 1, "default_strategy: param 0.5 is cut to 0" },
        { "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":2147483647}}", "default: L2147483647", 0, NULL },
        { "{\"default_strategy\":{\"type\":\"probabilistic\"}}", "default: P0", 1, "default_strategy: param is missing, which means 0" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":null}}", "default: P0", 1, "default_strategy: param is missing, which means 0" },
        { "{\"default_strategy\":{\"type\":\"const\",\"param\":1}}", "default: P?", 1,
          "default_strategy: unknown type 'const': the default probability is used" },
        { "{\"default_strategy\":{\"type\":\"Probabilistic\",\"param\":1}}", "default: P?", 1,
          "default_strategy: unknown type 'Probabilistic': the default probability is used" },
        { "{\"default_strategy\":{}}", "default: P?", 1, "default_strategy: unknown type '': the default probability is used" },
        { "{\"default_strategy\":{\"type\":null,\"param\":\"x\"}}", "default: P?", 1, NULL },
        { "{\"service_strategies\":[{\"service\":\"a\",\"type\":\"probabilistic\",\"param\":0.5,\"operation_strategies\":["
          "{\"operation\":\"/x\",\"type\":\"ratelimiting\",\"param\":1},{\"operation\":\"/y\",\"type\":\"adaptive\"}]}]}",
          "a: P0.5(/y=?)", 2, "service_strategies 1 'a', operation_strategies 1: operation '/x' is left out: an operation cannot have a rate limit" },
        { "{\"service_strategies\":[{\"type\":\"probabilistic\",\"param\":0.5}]}", ": P0.5", 1,
          "service_strategies 1: service is missing, so it is for no client" },
        /* twice: the last one counts */
        { "{\"service_strategies\":[{\"service\":\"b\",\"type\":\"ratelimiting\",\"param\":1},{\"service\":\"a\",\"type\":\"ratelimiting\",\"param\":2},"
          "{\"service\":\"b\",\"type\":\"ratelimiting\",\"param\":3}]}", "a: L2; b: L3", 1,
          "service_strategies: 1 services are named more than once: the last one counts" },
        { "{\"service_strategies\":[{\"service\":\"a\",\"type\":\"probabilistic\",\"param\":1,\"operation_strategies\":["
          "{\"operation\":\"y\",\"type\":\"probabilistic\",\"param\":0.1},{\"operation\":\"x\",\"type\":\"probabilistic\",\"param\":0.2},"
          "{\"operation\":\"y\",\"type\":\"probabilistic\",\"param\":0.3}]}]}", "a: P1(x=0.2,y=0.3)", 1,
          "service_strategies 1 'a': 1 operations are named more than once: the last one counts" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct strategies *strategies = NULL;
        struct mg_why why = { "" };
        struct buf text;
        buf_init(&text, 1 << 16);
        if (strategies_parse(&strategies, str_of(rows[i].text), &why) != MG_OK)
            fail_msg("%s\n%s", rows[i].text, why.text);
        print(&text, strategies);
        buf_put_char(&text, '\0');
        assert_string_equal(text.ptr, rows[i].want);
        assert_int_equal(strategies->n_warnings, rows[i].n_warnings);
        if (rows[i].warning)
            assert_string_equal(strategies->warnings[0].ptr, rows[i].warning);
        buf_fini(&text);
        strategies_free(&strategies);
    }
}

static void test_refused(void **state)
{
#define SERVICE(rest) "{\"service_strategies\":[{\"service\":\"ok\",\"type\":\"probabilistic\",\"param\":1},{\"service\":\"a\"," rest "}]}"
    static const struct { const char *text, *want; } rows[] = {
        { "", NULL },
        { "{", NULL },
        { "{}x", NULL },
        { "[]", "the file: not an object" },
        { "3", "the file: not an object" },
        { "\"probabilistic\"", "the file: not an object" },
        { "{\"default_strategy\":[]}", "default_strategy: not an object" },
        { "{\"default_strategy\":\"x\"}", "default_strategy: not an object" },
        { "{\"default_strategy\":{\"type\":1}}", "default_strategy: type is not a string" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":\"0.5\"}}", "default_strategy: param is not a number" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":true}}", "default_strategy: param is not a number" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":1.0000001}}",
          "default_strategy: param 1 is no probability: it must be between 0 and 1" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":-0.1}}",
          "default_strategy: param -0.1 is no probability: it must be between 0 and 1" },
        { "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":2147483648}}",
          "default_strategy: param 2.14748e+09 is no rate: it must be between 0 and 2147483647" },
        { "{\"default_strategy\":{\"type\":\"ratelimiting\",\"param\":-1}}",
          "default_strategy: param -1 is no rate: it must be between 0 and 2147483647" },
        { "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":1e999}}", NULL },
        { "{\"default_strategy\":{\"type\":\"a\",\"type\":\"b\"}}", NULL },
        { "{\"service_strategies\":{}}", "the file: service_strategies is not a list" },
        { "{\"service_strategies\":\"x\"}", "the file: service_strategies is not a list" },
        { "{\"service_strategies\":[null]}", "service_strategies 1: not an object" },
        { "{\"service_strategies\":[[]]}", "service_strategies 1: not an object" },
        { "{\"service_strategies\":[{\"service\":7}]}", "service_strategies 1: service is not a string" },
        { SERVICE("\"type\":\"probabilistic\",\"param\":2"), "service_strategies 2 'a': param 2 is no probability: it must be between 0 and 1" },
        { SERVICE("\"type\":\"probabilistic\",\"param\":1,\"operation_strategies\":{}"), "service_strategies 2 'a': operation_strategies is not a list" },
        { SERVICE("\"type\":\"probabilistic\",\"param\":1,\"operation_strategies\":[3]"),
          "service_strategies 2 'a', operation_strategies 1: not an object" },
        { SERVICE("\"type\":\"probabilistic\",\"param\":1,\"operation_strategies\":[{\"operation\":\"x\",\"type\":\"probabilistic\",\"param\":1},"
                  "{\"operation\":[],\"type\":\"probabilistic\",\"param\":1}]"),
          "service_strategies 2 'a', operation_strategies 2: operation is not a string" },
        { SERVICE("\"type\":\"probabilistic\",\"param\":1,\"operation_strategies\":[{\"operation\":\"x\",\"type\":\"probabilistic\",\"param\":7}]"),
          "service_strategies 2 'a', operation_strategies 1: param 7 is no probability: it must be between 0 and 1" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct strategies *strategies = NULL;
        struct mg_why why = { "" };
        assert_int_equal(strategies_parse(&strategies, str_of(rows[i].text), &why), MG_E_FORMAT);
        assert_null(strategies);
        if (rows[i].want)
            assert_string_equal(why.text, rows[i].want);
        assert_int_not_equal(why.text[0], 0);
    }
}

static void test_depth_and_size(void **state)
{
    struct strategies *strategies = NULL;
    struct mg_why why;
    struct buf text;

    (void)state;
    buf_init(&text, SIZE_MAX);
    for (unsigned i = 0; i < 100000; i++)
        buf_put_text(&text, "[");
    assert_int_equal(strategies_parse(&strategies, buf_str(&text), &why), MG_E_FORMAT);
    buf_clear(&text);
    buf_put_text(&text, "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":1}}");
    while (text.len < STRATEGIES_BYTES_MAX)
        buf_put_char(&text, ' ');
    assert_int_equal(strategies_parse(&strategies, buf_str(&text), &why), MG_OK);
    strategies_free(&strategies);
    buf_put_char(&text, ' ');
    assert_int_equal(strategies_parse(&strategies, buf_str(&text), &why), MG_E_TOO_BIG);
    assert_null(strategies);
    assert_string_equal(why.text, "the strategies are larger than 4 MiB");
    buf_fini(&text);
}

/* A file of nothing but mistakes is still one file: few sentences, all counted. */
static void test_many_warnings(void **state)
{
    struct strategies *strategies = NULL;
    struct mg_why why;
    struct buf text;

    (void)state;
    buf_init(&text, SIZE_MAX);
    buf_put_text(&text, "{\"service_strategies\":[");
    for (unsigned i = 0; i < 1000; i++)
        buf_printf(&text, "%s{\"service\":\"s%u\",\"type\":\"x\"}", i ? "," : "", i);
    buf_put_text(&text, "]}");
    assert_int_equal(strategies_parse(&strategies, buf_str(&text), &why), MG_OK);
    assert_int_equal(strategies->n_services, 1000);
    assert_int_equal(strategies->n_warnings, 1000);
    assert_string_equal(strategies->warnings[STRATEGIES_WARNINGS_MAX - 1].ptr,
                        "service_strategies 20 's19': unknown type 'x': the default probability is used");
    strategies_free(&strategies);
    buf_fini(&text);
}

static void test_look_up(void **state)
{
    static const char text[] = "{\"default_strategy\":{\"type\":\"probabilistic\",\"param\":0.5},\"service_strategies\":["
                               "{\"service\":\"b\",\"type\":\"probabilistic\",\"param\":0.2,\"operation_strategies\":["
                               "{\"operation\":\"q\",\"type\":\"probabilistic\",\"param\":0.1},{\"operation\":\"p\",\"type\":\"probabilistic\",\"param\":0.3}]},"
                               "{\"service\":\"a\",\"type\":\"probabilistic\",\"param\":0.1},{\"type\":\"probabilistic\",\"param\":0.9}]}";
    struct strategies *strategies = NULL;
    const struct strategies_entry *b;
    struct mg_why why;

    (void)state;
    assert_int_equal(strategies_parse(&strategies, str_of(text), &why), MG_OK);
    b = strategies_service(strategies, STR("b"));
    assert_non_null(b);
    assert_true(b->probability == 0.2);
    assert_true(strategies_operation(b, STR("p"))->probability == 0.3);
    assert_null(strategies_operation(b, STR("")));
    assert_null(strategies_operation(b, STR("pp")));
    assert_null(strategies_operation(NULL, STR("p")));
    assert_null(strategies_operation(&strategies->fallback, STR("p")));
    assert_null(strategies_service(strategies, STR("c")));
    assert_null(strategies_service(strategies, STR(""))); /* the nameless entry is for nobody */
    assert_null(strategies_service(NULL, STR("a")));
    strategies_free(&strategies);
    assert_null(strategies);
    strategies_free(&strategies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),         cmocka_unit_test(test_refused), cmocka_unit_test(test_depth_and_size),
        cmocka_unit_test(test_many_warnings), cmocka_unit_test(test_look_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
