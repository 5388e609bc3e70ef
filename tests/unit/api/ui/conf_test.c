#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "api/ui/conf.h"

static enum mg_err load(const char *set, struct ui_conf *conf, struct conf **made)
{
    const struct conf_section section = {
        .prefix = "ui", .fields = ui_fields, .n_fields = ui_fields_n, .target = conf};
    struct mg_why why;

    *made = NULL;
    return conf_load(made, &section, 1, &(struct conf_source){.sets = &set, .n_sets = set != NULL},
                     &why);
}

static void defaults(void **state)
{
    struct ui_conf conf = {0};
    struct conf *made;

    (void)state;
    assert_int_equal(load(NULL, &conf, &made), MG_OK);
    assert_int_equal(conf.dir.len, 0);
    assert_int_equal(conf.config.len, 0);
    assert_true(str_eq(conf.base, STR("/")));
    assert_int_equal(conf.bytes_max, 64 << 20);
    conf_free(&made);
}

static void rows(void **state)
{
    static const struct {
        const char *set;
        enum mg_err err;
    } cases[] = {
        {"ui.dir=/x", MG_OK},
        {"ui.config=/x.json", MG_OK},
        {"ui.base_path=/jaeger", MG_OK},
        {"ui.bytes_max=1KiB", MG_OK},
        {"ui.bytes_max=1GiB", MG_OK},
        {"ui.bytes_max=1023", MG_E_FORMAT},
        {"ui.bytes_max=2GiB", MG_E_FORMAT},
        {"ui.direction=/x", MG_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct ui_conf conf = {0};
        struct conf *made;
        assert_int_equal(load(cases[i].set, &conf, &made), cases[i].err);
        conf_free(&made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
