/* The table in force, as JSON. */
#include <math.h>

#include "door.h"

#define PATH "/api/sampling/effective"

static void expect(struct wire *wire, const char *want)
{
    struct reply reply = wire_ask(wire, "GET", PATH, "");

    assert_int_equal(reply.status, 200);
    assert_true(str_eq(reply_header(&reply, "content-type"), STR("application/json")));
    if (!str_eq(reply.body, str_of(want)))
        fail_msg("%.*s", STR_ARG(reply.body));
}

static void shows_every_row_in_its_order(void **state)
{
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_query_routes);
    expect(&wire, "{\"data\":[]}");
    assert_ptr_equal(fake.asked_of, HEAD);
    fake.rows[0] = (struct head_row){ STR(""), STR(""), 1, 0, "default", false, false, 0 };
    fake.rows[1] = (struct head_row){ STR("cart"), STR("GET \"a\""), 0.001, 0.25, "adaptive", true, false, 0 };
    fake.rows[2] = (struct head_row){ STR("cart"), STR("bad \xff"), 0, 12, "override", false, false, 0 };
    fake.n_rows = 3;
    expect(&wire, "{\"data\":["
                  "{\"service\":\"\",\"operation\":\"\",\"probability\":1,\"samples_per_second\":0,\"source\":\"default\",\"is_followed\":false},"
                  "{\"service\":\"cart\",\"operation\":\"GET \\\"a\\\"\",\"probability\":0.001,\"samples_per_second\":0.25,\"source\":\"adaptive\","
                  "\"is_followed\":true},"
                  "{\"service\":\"cart\",\"operation\":\"bad \xef\xbf\xbd\",\"probability\":0,\"samples_per_second\":12,\"source\":\"override\","
                  "\"is_followed\":false}]}");
    wire_fini(&wire);
}

static void what_was_not_counted_is_null(void **state)
{
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_query_routes);
    fake.rows[0] = (struct head_row){ STR("cart"), STR(""), 0.5, NAN, "file", false, true, 7 };
    fake.n_rows = 1;
    expect(&wire, "{\"data\":[{\"service\":\"cart\",\"operation\":\"\",\"probability\":0.5,\"max_traces_per_second\":7,\"samples_per_second\":null,\"source\":\"file\","
                  "\"is_followed\":false}]}");
    wire_fini(&wire);
}

static void is_all_there_is(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
    } rows[] = {
        { "POST", PATH, 405 }, { "DELETE", PATH, 405 }, { "GET", PATH "/", 404 }, { "GET", "/api/sampling", 404 }, { "HEAD", PATH, 200 },
    };
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_query_routes);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct reply reply = wire_ask(&wire, rows[i].method, rows[i].path, "Content-Length: 0\r\n");
        if (reply.status != rows[i].status)
            fail_msg("%s %s: %d", rows[i].method, rows[i].path, reply.status);
    }
    wire_fini(&wire);
}

/* Too much for an answer is a failure that says what to do. */
static void has_an_end(void **state)
{
    enum { NAME = 17 << 20, ROWS = MG_COUNT(fake.rows) };
    char *name = mem_alloc(NAME);
    struct wire wire;

    (void)state;
    memset(name, 'x', NAME);
    door_open(&wire, sampling_query_routes);
    for (size_t i = 0; i < ROWS; i++)
        fake.rows[i] = (struct head_row){ str_n(name, NAME), STR(""), 1, 0, "file", false, false, 0 };
    fake.n_rows = ROWS;
    struct reply reply = wire_ask(&wire, "GET", PATH, "");
    assert_int_equal(reply.status, 500);
    assert_true(str_starts(reply.body, STR("the table is larger than 64 MiB: lower sampling.head.operations_max")));
    wire_fini(&wire);
    mem_free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_every_row_in_its_order),
        cmocka_unit_test(what_was_not_counted_is_null),
        cmocka_unit_test(is_all_there_is),
        cmocka_unit_test(has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
