/* target_test.c - what is checked of an exporter's rows, and that no secret is told when something is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "peer/private.h"
#include "unit/net/certs.h"

static struct certs certs;

static enum mg_err init(struct target *target, const char *endpoint, struct mg_why *why)
{
    static struct peer_conf conf;
    conf = (struct peer_conf){.endpoint = str_of(endpoint), .ca = STR(""), .cert = STR(""), .key = STR("")};
    return target_init(target, "exporters.x", &conf, why);
}

static void test_endpoints(void **state)
{
    static const struct { const char *endpoint, *origin, *path; bool is_tls; const char *authorization; } cases[] = {
        { "http://localhost:4318", "http://localhost:4318", "", false, NULL },
        { "http://h", "http://h", "", false, NULL },
        { "https://h:443/", "https://h:443", "/", true, NULL },
        { "http://[::1]:9200/a/b/", "http://[::1]:9200", "/a/b/", false, NULL },
        { "https://h/api/v2/spans", "https://h", "/api/v2/spans", true, NULL },
        { "http://elastic:changeme@h:9200", "http://h:9200", "", false, "Basic ZWxhc3RpYzpjaGFuZ2VtZQ==" },
        { "http://u:a:b@h", "http://h", "", false, "Basic dTphOmI=" },
        { "http://u@h/p", "http://h", "/p", false, "Basic dTo=" },
        { "http://:p@h", "http://h", "", false, "Basic OnA=" },
        { "https://us%20er:p%40ss%2Fw%25@h", "https://h", "", true, "Basic dXMgZXI6cEBzcy93JQ==" },
        { "http://u:p@q@h", "http://h", "", false, "Basic dTpwQHE=" },
        { "http://h/a%40b", "http://h", "/a%40b", false, NULL },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct target target;
        struct mg_why why;
        if (init(&target, cases[i].endpoint, &why) != MG_OK)
            fail_msg("%s: %s", cases[i].endpoint, why.text);
        assert_true(str_eq(target.origin, str_of(cases[i].origin)));
        assert_true(str_eq(target.path, str_of(cases[i].path)));
        assert_int_equal(target.is_tls, cases[i].is_tls);
        assert_int_equal(target.headers.n, cases[i].authorization ? 1 : 0);
        if (cases[i].authorization) {
            assert_true(str_eq(target.headers.at[0].name, STR("authorization")));
            if (!str_eq(target.headers.at[0].value, str_of(cases[i].authorization)))
                fail_msg("%s: %.*s", cases[i].endpoint, STR_ARG(target.headers.at[0].value));
        }
        target_fini(&target);
    }
}

static void test_bad_endpoints(void **state)
{
    static const char *const cases[] = {
        "", "h:4317", "ftp://SECRET@h", "http://h?SECRET=1", "http://h/p?SECRET", "http://h#SECRET", "http://u:SECRET@", "http://u:SECRET/x@h",
        "http://u:12/SECRET@h", "http://u:SECRET?@h", "http://u:SECRET#@h", "http://u:SECRET%@h", "http://u:SECRET%4@h",
        "http://u:SECRET%zz@h", "http://u:SECRET%0a@h", "http://u%3a:SECRET@h", "http://u:SECRET@h:port", "http://u:SECRET@h/x@y",
        "https://u:SECRET@[h", "u:SECRET@h:9200", "http://u:SECRET @h",
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct target target;
        struct mg_why why;
        assert_int_equal(init(&target, cases[i], &why), MG_E_FORMAT);
        if (!str_starts(str_of(why.text), STR("exporters.x.endpoint: ")) || strstr(why.text, "SECRET"))
            fail_msg("%s: %s", cases[i], why.text);
        assert_null(target.arena.chunks);
    }
}

static enum mg_err init_headers(struct target *target, const char *endpoint, const char *const *headers, size_t n,
                                struct mg_why *why)
{
    static struct str list[4];
    static struct peer_conf conf;
    for (size_t i = 0; i < n; i++)
        list[i] = str_of(headers[i]);
    conf = (struct peer_conf){.endpoint = str_of(endpoint), .headers = {.at = list, .n = n}};
    return target_init(target, "exporters.x", &conf, why);
}

static void test_headers(void **state)
{
    static const struct { const char *in, *name, *value; } cases[] = {
        { "x-token: abc", "x-token", "abc" },
        { "X-Scope-OrgID:tenant 1  ", "x-scope-orgid", "tenant 1" },
        { "authorization: Bearer a:b=", "authorization", "Bearer a:b=" },
        { "x-empty:", "x-empty", "" },
        { "user-agent: mine/1", "user-agent", "mine/1" },
        { "x!#$%&'*+-.^_`|~9: \xc3\xa4", "x!#$%&'*+-.^_`|~9", "\xc3\xa4" },
        { "x: a\tb", "x", "a\tb" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct target target;
        struct mg_why why;
        if (init_headers(&target, "http://h", &cases[i].in, 1, &why) != MG_OK)
            fail_msg("%s: %s", cases[i].in, why.text);
        assert_true(str_eq(target.headers.at[0].name, str_of(cases[i].name)));
        assert_true(str_eq(target.headers.at[0].value, str_of(cases[i].value)));
        assert_int_equal(target.has_agent, strcmp(cases[i].name, "user-agent") == 0);
        target_fini(&target);
    }
}

static void test_bad_headers(void **state)
{
    static const struct { const char *endpoint, *one, *two, *want; } cases[] = {
        { "http://h", "Bearer SECRET", NULL, "number 1 is not of the form" },
        { "http://h", "x-a: 1", "SECRET", "number 2 is not of the form" },
        { "http://h", "", NULL, "number 1 is not of the form" },
        { "http://h", ": SECRET", NULL, "number 1 has a malformed name" },
        { "http://h", "Bearer SECRET: x", NULL, "number 1 has a malformed name" },
        { "http://h", "x-\xc3\xa4: SECRET", NULL, "malformed name" },
        { "http://h", "x(y): SECRET", NULL, "malformed name" },
        { "http://h", ":path: SECRET", NULL, "malformed name" },
        { "http://h", "x-a: SECRET\r\nx-b: 1", NULL, "the value of 'x-a' has control characters" },
        { "http://h", "x-a: SECRET\x7f", NULL, "control characters" },
        { "http://h", "x-a: 1", "X-A: SECRET", "'x-a' is there twice" },
        { "http://u:p@h", "Authorization: SECRET", NULL, "'authorization' is there twice, or is given by the endpoint" },
        { "http://h", "Host: SECRET", NULL, "'host' is set by the exporter itself" },
        { "http://h", "connection: SECRET", NULL, "'connection' is set" },
        { "http://h", "content-length: 1", NULL, "'content-length' is set" },
        { "http://h", "transfer-encoding: SECRET", NULL, "'transfer-encoding' is set" },
        { "http://h", "upgrade: SECRET", NULL, "'upgrade' is set" },
        { "http://h", "te: SECRET", NULL, "'te' is set" },
        { "http://h", "trailer: SECRET", NULL, "'trailer' is set" },
        { "http://h", "expect: 100-continue", NULL, "'expect' is set" },
        { "http://h", "keep-alive: SECRET", NULL, "'keep-alive' is set" },
        { "http://h", "Content-Type: SECRET", NULL, "'content-type' is set" },
        { "http://h", "content-encoding: SECRET", NULL, "'content-encoding' is set" },
        { "http://h", "accept-encoding: SECRET", NULL, "'accept-encoding' is set" },
        { "http://h", "grpc-timeout: 1S", NULL, "'grpc-timeout' is set" },
        { "http://h", "GRPC-Encoding: SECRET", NULL, "'grpc-encoding' is set" },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const char *headers[] = {cases[i].one, cases[i].two};
        struct target target;
        struct mg_why why;
        assert_int_equal(init_headers(&target, cases[i].endpoint, headers, cases[i].two ? 2 : 1, &why), MG_E_FORMAT);
        if (!str_starts(str_of(why.text), STR("exporters.x.headers: ")) || !strstr(why.text, cases[i].want) ||
            strstr(why.text, "SECRET"))
            fail_msg("%s: %s", cases[i].one, why.text);
        assert_null(target.arena.chunks);
    }
}

static void test_files(void **state)
{
    static const struct { const char *endpoint, *ca, *cert, *key; enum mg_err err; const char *want; } cases[] = {
        { "https://h", "ca.pem", NULL, NULL, MG_OK, NULL },
        { "https://h", NULL, "client.pem", "client.key", MG_OK, NULL },
        { "https://h", "ca.pem", "client.pem", "client.key", MG_OK, NULL },
        { "http://h", "ca.pem", NULL, NULL, MG_E_FORMAT, "exporters.x.ca: is for https" },
        { "http://h", NULL, "client.pem", "client.key", MG_E_FORMAT, "exporters.x.cert: is for https" },
        { "http://h", NULL, NULL, "client.key", MG_E_FORMAT, "exporters.x.key: is for https" },
        { "https://h", NULL, "client.pem", NULL, MG_E_FORMAT, "exporters.x.key: is needed as well" },
        { "https://h", NULL, NULL, "client.key", MG_E_FORMAT, "exporters.x.cert: is needed as well" },
        { "https://h", "absent.pem", NULL, NULL, MG_E_IO, "exporters.x.ca: " },
        { "https://h", "client.key", NULL, NULL, MG_E_FORMAT, "exporters.x.ca: " },
        { "https://h", NULL, "absent.pem", "client.key", MG_E_IO, "exporters.x.cert: " },
        { "https://h", NULL, "client.pem", "absent.key", MG_E_IO, "exporters.x.cert: " },
        { "https://h", NULL, "client.pem", "server.key", MG_E_FORMAT, "exporters.x.cert: " },
    };
    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str none = STR("");
        struct peer_conf conf = {.endpoint = str_of(cases[i].endpoint),
                                 .ca = cases[i].ca ? certs_path(&certs, cases[i].ca) : none,
                                 .cert = cases[i].cert ? certs_path(&certs, cases[i].cert) : none,
                                 .key = cases[i].key ? certs_path(&certs, cases[i].key) : none};
        struct target target;
        struct mg_why why;
        enum mg_err err = target_init(&target, "exporters.x", &conf, &why);
        if (err != cases[i].err || (err != MG_OK && !str_starts(str_of(why.text), str_of(cases[i].want))))
            fail_msg("row %zu: %s", i, err == MG_OK ? "fine" : why.text);
        target_fini(&target);
    }
}

static void test_secrets(void **state)
{
    const char *header = "x-auth: Bearer  abcdefgh";
    static const char *const want[] = {"s3cret", "Basic dTpzM2NyZXQ=", "dTpzM2NyZXQ=", "Bearer  abcdefgh", "abcdefgh"};
    struct target target;
    struct mg_why why;
    (void)state;
    assert_int_equal(init_headers(&target, "http://u:s3cret@h", &header, 1, &why), MG_OK);
    assert_int_equal(target.secrets.n, MG_COUNT(want));
    for (size_t i = 0; i < MG_COUNT(want); i++)
        assert_true(str_eq(target.secrets.at[i], str_of(want[i])));
    target_fini(&target);
}

static int make(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_standard(&certs);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_bad_endpoints),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
