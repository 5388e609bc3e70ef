/* Names, numbers and labels that stand in files, dashboards and metrics; lists of doors in rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "door/door.h"

static void a_number_is_the_position_in_the_label(void **state)
{
    struct str label = STR(DOOR_HTTP_LABEL), name;
    enum door door = 0;

    (void)state;
    assert_true(str_cut(&label, '=', &name) && str_eq(name, STR("door")));
    while (str_cut(&label, '|', &name))
        assert_true(str_eq(name, str_of(door_names[door++])));
    assert_int_equal(door, DOOR_JAEGER_COMPACT);
    for (; door < DOORS; door++)
        assert_true(door_is_udp(door));
    assert_false(door_is_udp(DOOR_SAMPLING_GRPC));
}

static void names_stay(void **state)
{
    (void)state;
    assert_string_equal(DOOR_HTTP_LABEL, "door=otlp_grpc|otlp_http|query_http|metrics|health|zipkin|jaeger_grpc|jaeger_thrift_http|query_grpc|"
                                         "sampling_http|sampling_grpc|");
    assert_string_equal(door_names[DOOR_JAEGER_COMPACT], "jaeger_compact");
    assert_string_equal(door_names[DOOR_JAEGER_BINARY], "jaeger_binary");
}

static struct str entries[] = { STR_INIT("zipkin"), STR_INIT("jaeger_binary"), STR_INIT("Zipkin"), STR_INIT("zip"), STR_INIT("") };

static void a_list_names_doors_in_full(void **state)
{
    const struct conf_list none = { .n = 0 }, some = { .at = entries, .n = MG_COUNT(entries) };

    (void)state;
    assert_true(door_is_listed(DOOR_ZIPKIN, &some, false));
    assert_true(door_is_listed(DOOR_JAEGER_BINARY, &some, false));
    assert_false(door_is_listed(DOOR_HEALTH, &some, false));
    assert_false(door_is_listed(DOOR_HEALTH, &some, true));
    assert_false(door_is_listed(DOOR_HEALTH, &none, false));
    assert_true(door_is_listed(DOOR_HEALTH, &none, true));
}

static void what_is_no_door_is_refused(void **state)
{
    static const struct { size_t first, n; bool with_udp; const char *want; } cases[] = {
        { 0, 0, false, NULL }, { 0, 1, false, NULL }, { 0, 2, true, NULL },
        { 0, 2, false, "tls.doors: jaeger_binary is a UDP door, which cannot speak TLS" },
        { 1, 2, true, "tls.doors: 'Zipkin' is no door (see listen.*)" }, { 3, 1, true, "tls.doors: 'zip' is no door (see listen.*)" },
        { 4, 1, true, "tls.doors: '' is no door (see listen.*)" },
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const struct conf_list list = { .at = entries + cases[i].first, .n = cases[i].n };
        struct mg_why why = { "" };
        assert_int_equal(door_list_check("tls.doors", &list, cases[i].with_udp, &why), cases[i].want ? MG_E_FORMAT : MG_OK);
        assert_string_equal(why.text, cases[i].want ? cases[i].want : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_the_position_in_the_label),
        cmocka_unit_test(names_stay),
        cmocka_unit_test(a_list_names_doors_in_full),
        cmocka_unit_test(what_is_no_door_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
