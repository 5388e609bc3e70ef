#include "rig.h"

#include <stdio.h>

static const struct item some[] = {
    { 1, 1, 0, "shop", "GET /", 100, 50, SPAN_SERVER, 0, NULL, NULL },
    { 1, 2, 1, "shop", "query", 120, 10, SPAN_CLIENT, 0, NULL, NULL },
    { 1, 3, 1, "shop", "query", 120, 10, SPAN_SERVER, 0, NULL, NULL },
    { 1, 4, 1, "db", "query", 120, 10, SPAN_SERVER, 0, NULL, NULL },
};
static const struct item more[] = {
    { 2, 1, 0, "cart", "add", 100, 50, SPAN_INTERNAL, 0, NULL, NULL },
    { 2, 2, 1, "shop", "", 120, 10, 77, 0, NULL, NULL },
    { 2, 3, 1, "shop", "\xff", 120, 10, -1, 0, NULL, NULL },
    { 2, 4, 1, NULL, "x", 120, 10, 0, 0, NULL, NULL },
    { 2, 5, 1, "", "x", 120, 10, 0, 0, NULL, NULL },
};

static void assert_services(struct rig *rig, const char *want)
{
    struct ask ask = { 0 };

    rig_ask(rig, &ask, "services", on_services_query);
    assert_int_equal(ask.err, MG_OK);
    assert_string_equal(ask.text.ptr, want);
    ask_fini(&ask);
}

static void assert_operations(struct rig *rig, struct str service, const char *want)
{
    struct ask ask = { .service = service };

    rig_ask(rig, &ask, "operations", on_operations_query);
    assert_int_equal(ask.err, MG_OK);
    assert_string_equal(ask.text.ptr, want);
    ask_fini(&ask);
}

static void assert_more(struct rig *rig)
{
    assert_services(rig, "cart,db,empty-service-name,missing-service-name,shop");
    assert_operations(rig, STR("shop"), "GET //2,empty-span-name/0,query/2,query/3,\xef\xbf\xbd/0");
    assert_operations(rig, STR("missing-service-name"), "x/0");
    assert_operations(rig, STR("sho"), "");
    assert_operations(rig, STR(""), "");
    assert_operations(rig, (struct str){ NULL, 0 }, "");
}

static void test_ring_store_both(void **state)
{
    struct rig rig = { 0 };

    (void)state;
    rig_open(&rig);
    assert_services(&rig, "");
    assert_operations(&rig, STR("shop"), "");
    RIG_PUT(&rig, some);
    assert_services(&rig, "db,shop");
    assert_operations(&rig, STR("shop"), "GET //2,query/2,query/3");
    assert_operations(&rig, STR("db"), "query/2");
    rig_flush(&rig, 0);
    assert_services(&rig, "db,shop");
    assert_operations(&rig, STR("shop"), "GET //2,query/2,query/3");
    RIG_PUT(&rig, more);
    assert_more(&rig);
    rig_flush(&rig, 0);
    assert_more(&rig);
    rig_restart(&rig);
    assert_more(&rig);
    rig_close(&rig);
}

/* More combinations than the small table holds, each many times. */
static void test_many_operations(void **state)
{
    enum { NAMES = 9000 };
    struct item *items = mem_zero(NAMES, sizeof *items);
    char(*names)[16] = mem_zero(NAMES, sizeof *names);
    struct ask ask = { .service = STR_INIT("shop") };
    struct rig rig = { 0 };
    size_t commas = 0;

    (void)state;
    rig_open(&rig);
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof names[i], "op %zu", i);
        items[i] =
            (struct item){ 1, (uint8_t)i, 1, "shop", names[i], 100, 1, SPAN_SERVER, 0, NULL, NULL };
    }
    for (int i = 0; i < 3; i++)
        rig_put(&rig, items, NAMES);
    rig_ask(&rig, &ask, "operations", on_operations_query);
    for (size_t i = 0; i < ask.text.len; i++)
        commas += ask.text.ptr[i] == ',';
    assert_int_equal(commas, NAMES - 1);
    ask_fini(&ask);
    rig_close(&rig);
    mem_free(items);
    mem_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_store_both),
        cmocka_unit_test(test_many_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
