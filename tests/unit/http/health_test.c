/* grpc.health.v1 of a door with two services. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "h2_client.h"
#include "http/health.h"

#define CHECK   "/grpc.health.v1.Health/Check"
#define LIST    "/grpc.health.v1.Health/List"
#define SERVING "\x08\x01"

static const char *const services[] = {"a.B", "c.D"};
static struct http_health health = {.services = services, .n = MG_COUNT(services)};
static const struct http_route routes[] = {HTTP_HEALTH_ROUTES(&health)};

static void open_door(struct wire *wire, struct client *client)
{
    wire_init(wire);
    wire->options.routes = routes;
    wire->options.n_routes = MG_COUNT(routes);
    wire->options.scope = HTTP_SCOPE_ADMIN;
    wire_start(wire);
    client_init(client, wire, 65535);
}

static const struct seen *ask(struct client *client, const char *path, struct str framed)
{
    return call(client, &(struct ask){GRPC, .path = path, .body = framed});
}

/* With the prefix of a message. */
static const struct {
    struct str request;
    const char *status, *message;
} checks[] = {
    {STR_INIT("\0\0\0\0\0"), "0", ""},
    {STR_INIT("\0\0\0\0\2\x0a\0"), "0", ""}, /* the server as a whole */
    {STR_INIT("\0\0\0\0\5\x0a\3"
              "a.B"),
     "0", ""},
    {STR_INIT("\0\0\0\0\5\x0a\3"
              "c.D"),
     "0", ""},
    {STR_INIT("\0\0\0\0\x0a\x0a\3x.Y\x0a\3"
              "c.D"),
     "0", ""},                               /* the last one counts */
    {STR_INIT("\0\0\0\0\2\x08\5"), "0", ""}, /* of another type: unknown */
    {STR_INIT("\0\0\0\0\5\x0a\3x.Y"), "5", "unknown service"},
    {STR_INIT("\0\0\0\0\4\x0a\2"
              "a."),
     "5", "unknown service"},
    {STR_INIT("\0\0\0\0\6\x0a\4"
              "a.B "),
     "5", "unknown service"},
    {STR_INIT("\0\0\0\0\2\x0a\5"), "3", "malformed HealthCheckRequest"},
    {STR_INIT("\0\0\0\0\1\x0b"), "3", "malformed HealthCheckRequest"},
};

static void test_check(void **state)
{
    (void)state;
    struct wire wire;
    struct client *client = MEM_NEW(struct client);
    open_door(&wire, client);
    for (size_t i = 0; i < MG_COUNT(checks); i++) {
        const struct seen *seen = ask(client, CHECK, checks[i].request);
        if (strcmp(seen->grpc_status, checks[i].status) != 0 ||
            strcmp(seen->grpc_message, checks[i].message) != 0)
            fail_msg("%zu: %s %s", i, seen->grpc_status, seen->grpc_message);
        assert_string_equal(messages_of(seen), checks[i].status[0] == '0' ? SERVING "|" : "");
    }
    DONE(client);
}

static void test_list(void **state)
{
    (void)state;
    static const char want[] = "\0\0\0\0\x1e"
                               "\x0a\x06\x0a\0\x12\2" SERVING "\x0a\x09\x0a\3"
                               "a.B\x12\2" SERVING "\x0a\x09\x0a\3"
                               "c.D\x12\2" SERVING;
    struct wire wire;
    struct client *client = MEM_NEW(struct client);
    open_door(&wire, client);
    const struct seen *seen = ask(client, LIST, STR("\0\0\0\0\0"));
    assert_string_equal(seen->grpc_status, "0");
    assert_int_equal(seen->body.len, sizeof want - 1);
    assert_memory_equal(seen->body.ptr, want, sizeof want - 1);
    seen = ask(client, "/grpc.health.v1.Health/Watch", STR("\0\0\0\0\0"));
    assert_string_equal(seen->grpc_status, "12");
    DONE(client);
}

static void test_too_large(void **state)
{
    (void)state;
    static char text[5 + HTTP_HEALTH_BYTES_MAX + 1] = {0, 0, 0, 0x10, 1};
    struct wire wire;
    struct client *client = MEM_NEW(struct client);
    open_door(&wire, client);
    assert_string_equal(ask(client, CHECK, str_n(text, sizeof text))->grpc_status, "8");
    assert_string_equal(ask(client, LIST, str_n(text, sizeof text))->grpc_status, "8");
    DONE(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
