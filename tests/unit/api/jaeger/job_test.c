/* What every job of the folder does, seen through two routes, one of each API. */
#include "scene.h"

#define EMPTY "\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}"
#define ERROR(code, text)                                                                          \
    "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":" code              \
    ",\"msg\":\"" text "\"}]}"
#define WINDOW "query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2026-01-02T00:00:00Z"
#define FULL   "too many queries are waiting, try again later"

static bool is_hint(struct str seconds)
{
    return seconds.len == 1 && seconds.ptr[0] >= '1' && seconds.ptr[0] <= '3';
}

static void a_full_queue(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    fake.is_full = true;
    expect(&scene, "/api/services", 503, ERROR("503", FULL));
    assert_true(is_hint(scene.retry_after));
    expect(&scene, "/api/v3/services", 503,
           "{\"error\":{\"httpCode\":503,\"message\":\"" FULL "\"}}");
    assert_true(is_hint(scene.retry_after));
    ask(&scene, "GET", "/api/traces/x"); /* which takes no query */
    assert_int_equal(scene.status, 400);
    assert_int_equal(scene.retry_after.len, 0);
    fake.is_full = false;
    expect(&scene, "/api/services", 200, "{\"data\":[]," EMPTY);
    assert_int_equal(scene.retry_after.len, 0);
    tear_down(&scene);
}

/* Tens of megabytes through a pipe; and a failure when bytes have left is a broken answer, not a
 * short one. */
static void large_answers(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    fake.n_traces = 40000;
    ask(&scene, "GET", "/api/traces");
    assert_int_equal(scene.err, MG_OK);
    assert_true(scene.body.len > 40000 * 100);
    assert_true(str_ends(scene.body, STR("]," EMPTY)));
    ask(&scene, "GET", "/api/v3/traces?" WINDOW);
    assert_int_equal(scene.err, MG_OK);
    assert_true(scene.body.len > 40000 * 100);
    assert_true(str_ends(scene.body, STR("]}}")));
    ask(&scene, "GET", "/api/v3/trace-summaries?" WINDOW);
    assert_int_equal(scene.err, MG_OK);
    assert_true(scene.body.len > 40000 * 100);
    fake.err = MG_E_TIMEOUT;
    ask(&scene, "GET", "/api/traces");
    assert_int_equal(scene.err, MG_E_IO);
    ask(&scene, "GET", "/api/v3/traces?" WINDOW);
    assert_int_equal(scene.err, MG_E_IO);
    tear_down(&scene);
}

/* While nothing has left, what was written gives way to the failure. */
static void an_early_failure(void **state)
{
    struct scene scene;

    (void)state;
    set_up(&scene);
    fake.n_traces = 3;
    fake.err = MG_E_TIMEOUT;
    expect(&scene, "/api/traces", 504, ERROR("504", "the query failed"));
    expect(&scene, "/api/v3/traces?" WINDOW, 504,
           "{\"error\":{\"httpCode\":504,\"message\":\"the query failed\"}}");
    expect(&scene, "/api/v3/trace-summaries?" WINDOW, 504,
           "{\"error\":{\"httpCode\":504,\"message\":\"the query failed\"}}");
    tear_down(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue),
        cmocka_unit_test(large_answers),
        cmocka_unit_test(an_early_failure),
    };
    return cmocka_run_group_tests(tests, NULL, spans_fini);
}
