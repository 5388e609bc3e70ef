#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "http/conf.h"

static enum mg_err load(struct http_conf *target, const char *set, struct conf **conf,
                        struct mg_why *why)
{
    struct conf_section section = {
        .prefix = "http", .fields = http_fields, .n_fields = http_fields_n, .target = target};
    struct conf_source source = {.sets = &set, .n_sets = set ? 1 : 0};
    return conf_load(conf, &section, 1, &source, why);
}

static void test_defaults(void **state)
{
    (void)state;
    struct http_conf http = {0};
    struct conf *conf;
    struct mg_why why = {""};
    if (load(&http, NULL, &conf, &why))
        fail_msg("%s", why.text);
    assert_int_equal(http.header_bytes_max, 65536);
    assert_int_equal(http.streams_max, 256);
    assert_int_equal(http.connections_max, 10000);
    assert_int_equal(http.header_timeout_ns, 10000000000u);
    assert_int_equal(http.idle_timeout_ns, 300000000000u);
    assert_int_equal(http.body_timeout_ns, 30000000000u);
    assert_int_equal(http.stream_window, 1048576);
    assert_int_equal(http.connection_window, 4194304);
    assert_int_equal(http.reset_max, 1000);
    assert_int_equal(http.bodies_bytes_max, 256 << 20);
    assert_int_equal(http.body_bytes_max, 0); /* the program's to set */
    conf_free(&conf);
}

static void test_values(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *set; enum mg_err want; } cases[] = {
        { "http.header_bytes_max=1KiB", MG_OK },    { "http.header_bytes_max=1023", MG_E_FORMAT },
        { "http.streams_max=1", MG_OK },            { "http.streams_max=0", MG_E_FORMAT },
        { "http.connections_max=1", MG_OK },        { "http.connections_max=0", MG_E_FORMAT },
        { "http.idle_timeout=24h", MG_OK },         { "http.idle_timeout=25h", MG_E_FORMAT },
        { "http.stream_window=64KiB", MG_OK },      { "http.stream_window=65535", MG_E_FORMAT },
        { "http.bodies_bytes_max=64KiB", MG_OK },   { "http.bodies_bytes_max=65535", MG_E_FORMAT },
        { "http.body_bytes_max=1MiB", MG_E_FORMAT } /* not a key of this section */
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct http_conf http = {0};
        struct conf *conf = NULL;
        struct mg_why why = {""};
        if (load(&http, cases[i].set, &conf, &why) != cases[i].want)
            fail_msg("%s: %s", cases[i].set, why.text);
        conf_free(&conf);
    }
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
