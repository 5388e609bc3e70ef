#include "http/auth.h"
#include "http/conf.h"
#include "unit/conf/section.h"

static void test_defaults(void **state)
{
    (void)state;
    struct http_conf http = {0};
    const struct conf_section section = {"http", http_fields, http_fields_n, &http};
    assert_int_equal(section_load(&section, NULL), MG_OK);
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
}

static void test_values(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct section_case cases[] = {
        { "http.header_bytes_max=1KiB", MG_OK },    { "http.header_bytes_max=1023", MG_E_FORMAT },
        { "http.streams_max=1", MG_OK },            { "http.streams_max=0", MG_E_FORMAT },
        { "http.connections_max=1", MG_OK },        { "http.connections_max=0", MG_E_FORMAT },
        { "http.idle_timeout=24h", MG_OK },         { "http.idle_timeout=25h", MG_E_FORMAT },
        { "http.stream_window=64KiB", MG_OK },      { "http.stream_window=65535", MG_E_FORMAT },
        { "http.bodies_bytes_max=64KiB", MG_OK },   { "http.bodies_bytes_max=65535", MG_E_FORMAT },
        { "http.body_bytes_max=1MiB", MG_E_FORMAT } /* not a key of this section */
    };
    /* clang-format on */
    struct http_conf http = {0};
    const struct conf_section section = {"http", http_fields, http_fields_n, &http};
    section_check(&section, cases, MG_COUNT(cases));
}

static void test_auth_and_cors(void **state)
{
    (void)state;
    struct http_auth_conf auth = {.tokens = {.n = 0}};
    struct http_cors_conf cors = {.max_age_ns = 1};
    struct conf_section sections[] = {
        {"auth", http_auth_fields, http_auth_fields_n, &auth},
        {"cors", http_cors_fields, http_cors_fields_n, &cors},
    };
    struct conf *conf;
    struct mg_why why = {""};
    struct conf_source source = {.n_sets = 0};
    if (conf_load(&conf, sections, MG_COUNT(sections), &source, &why))
        fail_msg("%s", why.text);
    assert_int_equal(auth.tokens.n + auth.users.n + auth.client_certificates.n, 0);
    assert_int_equal(cors.origins.n + cors.headers.n, 0);
    assert_int_equal(cors.max_age_ns, 0);
    conf_free(&conf);

    static const char *const sets[] = {"auth.tokens=ci ingest sha256:00",
                                       "auth.users=u query sha256:00",
                                       "auth.client_certificates=a.test admin",
                                       "cors.origins=https://*.a.test",
                                       "cors.headers=x-a",
                                       "cors.max_age=10m"};
    source = (struct conf_source){.sets = sets, .n_sets = MG_COUNT(sets)};
    if (conf_load(&conf, sections, MG_COUNT(sections), &source, &why))
        fail_msg("%s", why.text);
    assert_true(str_eq(auth.tokens.at[0], STR("ci ingest sha256:00")));
    assert_true(str_eq(auth.users.at[0], STR("u query sha256:00")));
    assert_true(str_eq(auth.client_certificates.at[0], STR("a.test admin")));
    assert_true(str_eq(cors.origins.at[0], STR("https://*.a.test")));
    assert_true(str_eq(cors.headers.at[0], STR("x-a")));
    assert_int_equal(cors.max_age_ns, 600000000000u);
    conf_free(&conf);

    static const char *const bad[] = {"cors.max_age=25h", "cors.max_age=-1s", "auth.token=x",
                                      "cors.origin=x"};
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        source = (struct conf_source){.sets = &bad[i], .n_sets = 1};
        assert_int_equal(conf_load(&conf, sections, MG_COUNT(sections), &source, &why),
                         MG_E_FORMAT);
    }
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_auth_and_cors),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
