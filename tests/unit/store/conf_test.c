/* The defaults, and what is out of range. That each row changes behaviour is shown by store_test.c (block_spans,
 * block_age) and retain_test.c (retention, disk_max, partition_age),
 * disk_test.c (free_min), pins_test.c (pins_max) and why_test.c (decisions_max). */
#include "unit/conf/section.h"
#include "store/conf.h"

#define SECOND UINT64_C(1000000000)

static void defaults(void **state)
{
    struct store_conf conf = { 0 };
    const struct conf_section section = { "store", store_fields, store_fields_n, &conf };

    (void)state;
    assert_int_equal(section_load(&section, NULL), MG_OK);
    assert_int_equal(conf.retention_ns, 7 * 24 * 3600 * SECOND);
    assert_int_equal(conf.disk_max, 0);
    assert_int_equal(conf.free_min, UINT64_C(512) << 20);
    assert_int_equal(conf.pins_max, UINT64_C(1) << 30);
    assert_int_equal(conf.decisions_max, UINT64_C(2) << 30);
    assert_int_equal(conf.roll_ns, 3600 * SECOND);
    assert_int_equal(conf.block_rows, 20000);
    assert_int_equal(conf.block_age_ns, 10 * SECOND);
}

static void ranges(void **state)
{
    static const struct section_case cases[] = {
        { "store.retention=1m", MG_OK },         { "store.retention=59s", MG_E_FORMAT },
        { "store.retention=3650d", MG_OK },      { "store.retention=3651d", MG_E_FORMAT },
        { "store.partition_age=1s", MG_OK },     { "store.partition_age=999ms", MG_E_FORMAT },
        { "store.partition_age=24h", MG_OK },    { "store.partition_age=25h", MG_E_FORMAT },
        { "store.block_spans=1", MG_OK },        { "store.block_spans=0", MG_E_FORMAT },
        { "store.block_spans=200000", MG_OK },   { "store.block_spans=200001", MG_E_FORMAT },
        { "store.block_age=10ms", MG_OK },       { "store.block_age=9ms", MG_E_FORMAT },
        { "store.block_age=5m", MG_OK },         { "store.block_age=301s", MG_E_FORMAT },
        { "store.disk_max=0", MG_OK },           { "store.disk_max=-1", MG_E_FORMAT },
        { "store.free_min=0", MG_OK },           { "store.free_min=x", MG_E_FORMAT },
        { "store.pins_max=0", MG_OK },           { "store.pins_max=-1", MG_E_FORMAT },
        { "store.decisions_max=0", MG_OK },      { "store.decisions_max=2x", MG_E_FORMAT },
        { "store.retention_ns=7d", MG_E_FORMAT },
    };
    struct store_conf conf = { 0 };
    const struct conf_section section = { "store", store_fields, store_fields_n, &conf };

    (void)state;
    section_check(&section, cases, MG_COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(defaults), cmocka_unit_test(ranges) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
