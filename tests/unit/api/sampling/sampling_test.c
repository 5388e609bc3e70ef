/* The HTTP doors: which requests are answered, with what, and which are refused. */
#include "door.h"
#include "codec/json.h"

static bool is_json(struct str text)
{
    MG_AUTO(json_free) struct json *root = NULL;

    return json_parse(&root, text, NULL) == MG_OK;
}

/* --- strategies -------------------------------------------------------------------------------------- */

static void answers_with_the_strategy(void **state)
{
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_http_routes);
    for (size_t i = 0; i < MG_COUNT(strategies); i++) {
        fake.strategy = strategies[i].strategy;
        struct reply reply = wire_ask(&wire, "GET", "/sampling?service=shop", "");
        assert_int_equal(reply.status, 200);
        assert_true(str_eq(reply_header(&reply, "content-type"), STR("application/json")));
        assert_ptr_equal(fake.asked_of, HEAD);
        if (!str_eq(reply.body, str_of(strategies[i].json)))
            fail_msg("row %zu: %.*s", i, STR_ARG(reply.body));
    }
    wire_fini(&wire);
}

/* As clients ask: Go without a path, JavaScript with its own, which does not escape; jaeger-client. */
static const struct {
    const char *target, *service;
} asked[] = {
    { "/?service=my+svc", "my svc" },
    { "/sampling?service=my%20svc", "my svc" },
    { "/api/sampling?service=a", "a" },
    { "/api/sampling/sampling?service=shop/cart:1", "shop/cart:1" },
    { "/any/thing%20else?x=1&service=a&y=service", "a" },
    { "/?service=caf%C3%A9", "caf\xc3\xa9" },
    { "/?service=a=b", "a=b" },
    { "/?service=", "" },
    { "/?service", "" },
    { "/?%73ervice=a", "a" },
    { "/?service=a&bad=%zz", "a" },
    { "/?service=a&service2=b&Service=c", "a" },
    { "/baggageRestrictions/?service=a", "a" },
};

static void takes_one_service(void **state)
{
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_http_routes);
    for (size_t i = 0; i < MG_COUNT(asked); i++) {
        struct reply reply = wire_ask(&wire, "GET", asked[i].target, "");
        if (reply.status != 200 || strcmp(fake.service, asked[i].service) != 0 || fake.service_len != strlen(asked[i].service))
            fail_msg("%s: %d '%s'", asked[i].target, reply.status, fake.service);
        assert_int_equal(fake.n_asked, i + 1);
    }
    wire_fini(&wire);
}

static void refuses_none_and_several(void **state)
{
    static const char *const targets[] = {
        "/", "/sampling", "/api/sampling?", "/?Service=a", "/?services=a", "/?service%00=a", "/?service=a&service=b", "/?service=a&service=a",
        "/?service=&service=", "/?service=a&x=1&service", "/?service=%zz", "/?service=100%", "/?service=%", "/?&&&=a", "/?service=a&%73ervice=b",
    };
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_http_routes);
    for (size_t i = 0; i < MG_COUNT(targets); i++) {
        struct reply reply = wire_ask(&wire, "GET", targets[i], "");
        if (reply.status != 400 || !str_eq(reply.body, STR("'service' parameter must be provided once\n")))
            fail_msg("%s: %d %.*s", targets[i], reply.status, STR_ARG(reply.body));
        assert_true(str_starts(reply_header(&reply, "content-type"), STR("text/plain")));
        assert_false(is_json(reply.body));
    }
    assert_int_equal(fake.n_asked, 0);
    wire_fini(&wire);
}

static void a_strategy_beyond_all_bounds_is_a_failure(void **state)
{
    struct strategy_operation large;
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_http_routes);
    make_large(&large);
    struct reply reply = wire_ask(&wire, "GET", "/?service=a", "");
    assert_int_equal(reply.status, 500);
    assert_true(str_eq(reply.body, STR("collector error: the strategy is larger than 4 MiB\n")));
    assert_false(is_json(reply.body));
    free_large(&large);
    wire_fini(&wire);
}

/* --- the rest ---------------------------------------------------------------------------------------- */

static void knows_of_no_baggage(void **state)
{
    static const char *const targets[] = { "/baggageRestrictions", "/baggageRestrictions?service=a", "/baggageRestrictions?service=a&service=b" };
    struct wire wire;

    (void)state;
    door_open(&wire, sampling_http_routes);
    for (size_t i = 0; i < MG_COUNT(targets); i++) {
        struct reply reply = wire_ask(&wire, "GET", targets[i], "");
        assert_int_equal(reply.status, 200);
        assert_true(str_eq(reply.body, STR("[]")));
        assert_true(str_eq(reply_header(&reply, "content-type"), STR("application/json")));
    }
    assert_int_equal(fake.n_asked, 0);
    wire_fini(&wire);
}

static const struct {
    const struct http_route *(*routes)(size_t *n);
    const char *method, *target;
    int status;
} others[] = {
    { sampling_http_routes, "HEAD", "/?service=a", 200 },
    { sampling_http_routes, "POST", "/?service=a", 405 },
    { sampling_http_routes, "PUT", "/sampling?service=a", 405 },
    { sampling_http_routes, "DELETE", "/baggageRestrictions", 405 },
    { sampling_http_routes, "GET", "/%zz?service=a", 400 },
    { sampling_thrift_http_routes, "GET", "/api/sampling?service=a", 200 },
    { sampling_thrift_http_routes, "GET", "/api/sampling/sampling?service=a", 200 },
    { sampling_thrift_http_routes, "GET", "/api/sampling", 400 },
    { sampling_thrift_http_routes, "GET", "/sampling?service=a", 404 },
    { sampling_thrift_http_routes, "GET", "/?service=a", 404 },
    { sampling_thrift_http_routes, "GET", "/api/sampling/x?service=a", 404 },
    { sampling_thrift_http_routes, "POST", "/api/sampling?service=a", 405 },
};

static void has_its_places_and_methods(void **state)
{
    (void)state;
    for (size_t i = 0; i < MG_COUNT(others); i++) {
        struct wire wire;
        door_open(&wire, others[i].routes);
        struct reply reply = wire_ask(&wire, others[i].method, others[i].target, "Content-Length: 0\r\n");
        if (reply.status != others[i].status)
            fail_msg("%s %s: %d", others[i].method, others[i].target, reply.status);
        assert_int_equal(fake.n_asked, others[i].status == 200 ? 1 : 0);
        wire_fini(&wire);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_with_the_strategy),
        cmocka_unit_test(takes_one_service),
        cmocka_unit_test(refuses_none_and_several),
        cmocka_unit_test(a_strategy_beyond_all_bounds_is_a_failure),
        cmocka_unit_test(knows_of_no_baggage),
        cmocka_unit_test(has_its_places_and_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
