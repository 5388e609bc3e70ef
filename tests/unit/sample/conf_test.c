/* The rows of the section `sampling`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "sample/conf.h"

static enum mg_err load(const char *const *sets, size_t n, struct sample_conf *out, struct conf **conf, struct mg_why *why)
{
    const struct conf_section section = { .prefix = "sampling", .fields = sample_fields, .n_fields = sample_fields_n, .target = out };

    *out = (struct sample_conf){ 0 };
    return conf_load(conf, &section, 1, &(struct conf_source){ .sets = sets, .n_sets = n }, why);
}

static void defaults_are_as_documented(void **state)
{
    struct sample_conf conf;
    struct conf *loaded = NULL;

    (void)state;
    assert_int_equal(load(NULL, 0, &conf, &loaded, NULL), MG_OK);
    assert_true(conf.enabled);
    assert_false(conf.sample_on_first_match);
    assert_null(conf.policies);
    assert_null(conf.classes);
    assert_true(conf.floor_traces_per_second == 5);
    assert_int_equal(conf.floor_bytes_per_day, UINT64_C(1) << 30);
    assert_int_equal(conf.verdicts_bytes, 32 << 20);
    assert_true(conf.overload);
    conf_free(&loaded);
}

static void lists_are_taken_as_they_stand(void **state)
{
    const char *const sets[] = { "sampling.policies=[{name: all, type: always_sample}]", "sampling.classes=[]",
                                 "sampling.floor.traces_per_second=0", "sampling.verdicts_bytes=64KiB" };
    struct sample_conf conf;
    struct conf *loaded = NULL;

    (void)state;
    assert_int_equal(load(sets, MG_COUNT(sets), &conf, &loaded, NULL), MG_OK);
    assert_int_equal(yaml_count(conf.policies), 1);
    assert_int_equal(yaml_kind(conf.classes), YAML_LIST);
    assert_true(conf.floor_traces_per_second == 0);
    conf_free(&loaded);
}

static void other_values_are_refused(void **state)
{
    static const char *const sets[] = {
        "sampling.enabled=yes", "sampling.policies=[", "sampling.floor.traces_per_second=-1", "sampling.floor.bytes_per_day=much",
        "sampling.verdicts_bytes=65535", "sampling.overload=", "sampling.policy=[]",
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(sets); i++) {
        struct sample_conf conf;
        struct conf *loaded = NULL;
        assert_int_equal(load(&sets[i], 1, &conf, &loaded, NULL), MG_E_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(lists_are_taken_as_they_stand),
        cmocka_unit_test(other_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
