/* The defaults, and what is out of range. That each row changes behaviour is shown by the tests of
 * the limits: pool_test.c (threads, queue_max, timeout, memory_max), search_test.c (traces_max). */
#include "unit/conf/section.h"
#include "query/query.h"

static void test_defaults(void **state)
{
    struct query_conf conf = { 0 };
    const struct conf_section section = { "query", query_fields, query_fields_n, &conf };

    (void)state;
    assert_int_equal(section_load(&section, NULL), MG_OK);
    assert_int_equal(conf.threads, 4);
    assert_int_equal(conf.queue_max, 64);
    assert_int_equal(conf.timeout_ns, 30000000000);
    assert_int_equal(conf.memory_max, 512 << 20);
    assert_int_equal(conf.traces_max, 10000);
    assert_int_equal(conf.scan_bytes_max, UINT64_C(64) << 30);
}

static void test_ranges(void **state)
{
    static const struct section_case cases[] = {
        { "query.threads=1", MG_OK },         { "query.threads=64", MG_OK },
        { "query.threads=0", MG_E_FORMAT },   { "query.threads=65", MG_E_FORMAT },
        { "query.queue_max=1", MG_OK },       { "query.queue_max=0", MG_E_FORMAT },
        { "query.timeout=1ms", MG_OK },       { "query.timeout=1us", MG_E_FORMAT },
        { "query.memory_max=1MiB", MG_OK },   { "query.memory_max=1KiB", MG_E_FORMAT },
        { "query.traces_max=1", MG_OK },      { "query.traces_max=0", MG_E_FORMAT },
        { "query.scan_bytes_max=64KiB", MG_OK }, { "query.scan_bytes_max=1KiB", MG_E_FORMAT },
        { "query.trace_max=1", MG_E_FORMAT },
    };
    struct query_conf conf = { 0 };
    const struct conf_section section = { "query", query_fields, query_fields_n, &conf };

    (void)state;
    section_check(&section, cases, MG_COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_defaults),
                                        cmocka_unit_test(test_ranges) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
