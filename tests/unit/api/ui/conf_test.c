#include "api/ui/conf.h"
#include "unit/conf/section.h"

static void defaults(void **state)
{
    struct ui_conf conf = {0};
    const struct conf_section section = {"ui", ui_fields, ui_fields_n, &conf};
    struct conf *made;

    (void)state;
    assert_int_equal(conf_load(&made, &section, 1, &(struct conf_source){0}, NULL), MG_OK);
    assert_int_equal(conf.dir.len, 0);
    assert_int_equal(conf.config.len, 0);
    assert_true(str_eq(conf.base, STR("/")));
    assert_int_equal(conf.bytes_max, 64 << 20);
    conf_free(&made);
}

static void rows(void **state)
{
    static const struct section_case cases[] = {
        {"ui.dir=/x", MG_OK},
        {"ui.config=/x.json", MG_OK},
        {"ui.base_path=/jaeger", MG_OK},
        {"ui.bytes_max=1KiB", MG_OK},
        {"ui.bytes_max=1GiB", MG_OK},
        {"ui.bytes_max=1023", MG_E_FORMAT},
        {"ui.bytes_max=2GiB", MG_E_FORMAT},
        {"ui.direction=/x", MG_E_FORMAT},
    };
    struct ui_conf conf = {0};
    const struct conf_section section = {"ui", ui_fields, ui_fields_n, &conf};

    (void)state;
    section_check(&section, cases, MG_COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
