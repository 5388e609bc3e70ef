/* Who may come in: the rows, every scheme, and scopes over both protocols. The hashes are those of
 * coreutils' sha256sum. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "h2_client.h"
#include "http/auth.h"

#define INGEST "sha256:d6d21e6d4a9c969670e67b5ea4b746242a23ad9ec2e8eb78c8d36f577f00581e"
#define QUERY  "sha256:04e4a068a9c0132ba2f4b8462cadadc6bf60da54c7661d145202c68c7f689223"
#define ADMIN  "sha256:10a4c7c9fc5206d6f36dc6944a81bb6f4a3cb0e25014ae3b12e6c3e52712292a"
#define BOTH   "sha256:7b723e85828bb4432e6452501b6758d57b8c9cb1b60a75dbfc498cce52f811e0"
#define ANN                                                                                        \
    "sha256:c843b2a281bcf0636885c9f6f956dd2b15a7b417c6e53e00cdb7030e26f568f8" /* ann:pa:ss */
#define BOB "sha256:92AD3F808A5EB27B6360F58D945C9C7C174C55D801D7A5427C7C4A2F51F938C7" /* bob: */

/* --- rows --- */
static void test_rows(void **state)
{
    (void)state;
    enum { TOKENS, USERS, CERTIFICATES };
    /* clang-format off */
    static const struct { int row; const char *entries[2], *want; } cases[] = {
        { TOKENS, { "ci ingest " INGEST }, NULL },
        { TOKENS, { "ci ingest,query,admin " INGEST }, NULL },
        { TOKENS, { "ci query,query " INGEST }, NULL },
        { TOKENS, { " ci \t ingest\n" INGEST " " }, NULL },
        { TOKENS, { "ci ingest " INGEST, "ci ingest " QUERY }, NULL }, /* while it is exchanged */
        { TOKENS, { "ci ingest " BOB }, NULL }, /* capital hex digits */
        { USERS, { "ann admin " ANN }, NULL },
        { CERTIFICATES, { "spiffe://mesh/ns/a/sa/b ingest" }, NULL },
        { CERTIFICATES, { "*.example.com query,ingest" }, NULL },
        { TOKENS, { "" }, "auth.tokens, entry 1" },
        { TOKENS, { "ci" }, "auth.tokens, entry 1" },
        { TOKENS, { "ci ingest " INGEST, "ci ingest" }, "auth.tokens, entry 2" },
        { TOKENS, { "ci ingest " INGEST " x" }, "NAME SCOPE[,SCOPE] sha256:HEX" },
        { TOKENS, { "ci, ingest, query " INGEST }, "NAME SCOPE" },
        { TOKENS, { "ci write " INGEST }, "ingest, query, admin" },
        { TOKENS, { "ci Ingest " INGEST }, "ingest, query, admin" },
        { TOKENS, { "ci ingest, " INGEST }, "ingest, query, admin" },
        { TOKENS, { "ci ,ingest " INGEST }, "ingest, query, admin" },
        { TOKENS, { "ci ingest,,query " INGEST }, "ingest, query, admin" },
        { TOKENS, { "ci " INGEST " ingest" }, "ingest, query, admin" },
        { TOKENS, { "ci ingest d6d21e6d4a9c969670e67b5ea4b746242a23ad9ec2e8eb78c8d36f577f00581e" }, "64 hex digits" },
        { TOKENS, { "ci ingest sha256:" }, "64 hex digits" },
        { TOKENS, { "ci ingest sha256:d6d21e6d" }, "64 hex digits" },
        { TOKENS, { "ci ingest " INGEST "00" }, "64 hex digits" },
        { TOKENS, { "ci ingest sha256:g6d21e6d4a9c969670e67b5ea4b746242a23ad9ec2e8eb78c8d36f577f00581e" }, "64 hex digits" },
        { TOKENS, { "ci ingest SHA256:d6d21e6d4a9c969670e67b5ea4b746242a23ad9ec2e8eb78c8d36f577f00581e" }, "64 hex digits" },
        { TOKENS, { "ci ingest secret-token" }, "64 hex digits" },
        { TOKENS, { "a ingest " INGEST, "b query " INGEST }, "auth.tokens, entry 2: another entry has the same hash" },
        { USERS, { "ann admin" }, "auth.users, entry 1" },
        { USERS, { "ann admin pa:ss" }, "64 hex digits" },
        { CERTIFICATES, { "a.example.com" }, "auth.client_certificates, entry 1" },
        { CERTIFICATES, { "a.example.com query " INGEST }, "SAN SCOPE" },
        { CERTIFICATES, { "a.example.com none" }, "ingest, query, admin" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str entries[2] = {str_of(cases[i].entries[0]), str_of(cases[i].entries[1])};
        struct conf_list list = {.at = entries, .n = cases[i].entries[1] ? 2 : 1};
        struct http_auth_conf conf = {.tokens = {.n = 0}};
        *(struct conf_list *[]){&conf.tokens, &conf.users,
                                &conf.client_certificates}[cases[i].row] = list;
        struct http_auth *auth = NULL;
        struct mg_why why = {""};
        enum mg_err err = http_auth_new(&auth, &conf, &why);
        if (err != (cases[i].want ? MG_E_FORMAT : MG_OK))
            fail_msg("case %zu: %s", i, why.text);
        if (cases[i].want && !strstr(why.text, cases[i].want))
            fail_msg("case %zu: no '%s' in '%s'", i, cases[i].want, why.text);
        /* No word of an entry, which may be a secret in the wrong place. */
        assert_null(strstr(why.text, "d6d21e6d"));
        assert_null(strstr(why.text, "secret"));
        assert_int_equal(auth == NULL, cases[i].want != NULL);
        if (auth)
            assert_false(http_auth_is_empty(auth));
        http_auth_unref(&auth);
    }
}

static void test_nothing_configured(void **state)
{
    (void)state;
    struct http_auth_conf conf = {.tokens = {.n = 0}};
    struct http_auth *auth;
    assert_int_equal(http_auth_new(&auth, &conf, NULL), MG_OK);
    assert_true(http_auth_is_empty(auth));
    struct http_auth *second = http_auth_ref(auth);
    http_auth_unref(&auth);
    assert_null(auth);
    assert_true(http_auth_is_empty(second));
    http_auth_unref(&second);
    http_auth_unref(&second); /* NULL is fine */
}

/* --- requests --- */
#define TOKENS_N 4
static struct str tokens[TOKENS_N] = {
    STR_INIT("exporter ingest " INGEST),
    STR_INIT("grafana query " QUERY),
    STR_INIT("ops admin " ADMIN),
    STR_INIT("both ingest,query " BOTH),
};
static struct str users[] = {STR_INIT("ann query " ANN), STR_INIT("bob ingest " BOB)};
static struct str certificates[] = {STR_INIT("web.test ingest"), STR_INIT("ops.test admin"),
                                    STR_INIT("web.test query")};

enum { WITH_TOKENS = 1, WITH_USERS = 2, WITH_CERTIFICATES = 4, ASKS_NOBODY = 8 };

static struct http_auth *make_auth(unsigned what)
{
    struct http_auth_conf conf = {.tokens = {.n = 0}};
    if (what & WITH_TOKENS)
        conf.tokens = (struct conf_list){.at = tokens, .n = TOKENS_N};
    if (what & WITH_USERS)
        conf.users = (struct conf_list){.at = users, .n = MG_COUNT(users)};
    if (what & WITH_CERTIFICATES)
        conf.client_certificates =
            (struct conf_list){.at = certificates, .n = MG_COUNT(certificates)};
    struct http_auth *auth;
    struct mg_why why = {""};
    if (http_auth_new(&auth, &conf, &why))
        fail_msg("%s", why.text);
    return auth;
}

static void start(struct wire *wire, unsigned what, enum http_scope scope)
{
    wire_init(wire);
    struct http_auth *auth = make_auth(what);
    wire->options.auth = what & ASKS_NOBODY ? NULL : auth;
    wire->options.scope = scope;
    wire_start(wire);
    http_auth_unref(&auth); /* the server has its own */
}

static void ask_h1(struct wire *wire, const char *line, const char *authorization, const char *rest)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_printf(&text, "%s HTTP/1.1\r\nHost: a\r\n", line);
    if (authorization)
        buf_printf(&text, "Authorization: %s\r\n", authorization);
    buf_put_text(&text, rest ? rest : "\r\n");
    wire_send(wire, text.ptr, text.len);
    buf_fini(&text);
}

#define ALL (WITH_TOKENS | WITH_USERS)
static void test_scopes_and_schemes(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *line, *authorization, *want; } cases[] = {
        /* each scope */
        { "GET /open", NULL, "200:root" },
        { "GET /open", "Bearer nonsense", "200:root" }, /* nobody is asked */
        { "GET /query", "Bearer query-token", "200:root" },
        { "GET /query", "Bearer ingest-token", "403" },
        { "GET /query", "Bearer admin-token", "200:root" }, /* admin includes query */
        { "GET /query", "Bearer both-token", "200:root" },
        { "GET /admin", "Bearer admin-token", "200:root" },
        { "GET /admin", "Bearer query-token", "403" },
        { "GET /admin", "Bearer both-token", "403" },
        { "POST /ingest", "Bearer ingest-token", "200" },
        { "POST /ingest", "Bearer both-token", "200" },
        { "POST /ingest", "Bearer admin-token", "403" }, /* but not ingest */
        { "POST /ingest", "Bearer query-token", "403" },
        { "GET /", "Bearer ingest-token", "200:root" }, /* the door's */
        { "GET /", "Bearer query-token", "403" },
        { "GET /", NULL, "401" },
        { "HEAD /query", NULL, "401" },
        /* each scheme */
        { "GET /query", "bearer query-token", "200:root" },
        { "GET /query", "BEARER   query-token", "200:root" },
        { "GET /query", "Basic YW5uOnBhOnNz", "200:root" },
        { "GET /query", "basic YW5uOnBhOnNz", "200:root" },
        { "POST /ingest", "Basic Ym9iOg==", "200" }, /* an empty password */
        { "GET /query", "Basic Ym9iOg==", "403" },
        { "GET /query", NULL, "401" },
        { "GET /query", "", "401" },
        { "GET /query", "Bearer", "401" },
        { "GET /query", "Bearer ", "401" },
        { "GET /query", "query-token", "401" },
        { "GET /query", "Bearer query-toke", "401" },
        { "GET /query", "Bearer query-tokens", "401" },
        { "GET /query", "Bearer Query-Token", "401" },
        { "GET /query", "Bearer query-token, Bearer query-token", "401" },
        { "GET /query", "Bearer " QUERY, "401" }, /* the hash is no secret */
        { "GET /query", "Digest query-token", "401" },
        { "GET /query", "Digest YW5uOnBhOnNz", "401" }, /* Basic's, and another scheme */
        { "GET /query", "Basic query-token", "401" },
        { "GET /query", "Basic cXVlcnktdG9rZW4=", "401" }, /* a token is no user */
        { "GET /query", "Bearer ann:pa:ss", "401" },       /* a user is no token */
        { "GET /query", "Bearer YW5uOnBhOnNz", "401" },
        { "GET /query", "Basic YW5uOnBhOnNz!", "401" },
        { "GET /query", "Basic", "401" },
        /* what comes before */
        { "GET /nope", NULL, "404" },
        { "DELETE /query", NULL, "405" },
        { "OPTIONS /query", NULL, "405" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        start(&wire, ALL, HTTP_SCOPE_INGEST);
        ask_h1(&wire, cases[i].line, cases[i].authorization, NULL);
        const char *got = strncmp(cases[i].line, "HEAD", 4) == 0 ? "401" : wire_answers(&wire);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s with %s: %s", cases[i].line, cases[i].authorization, got);
        assert_int_equal(wire_has(&wire, "www-authenticate: Bearer realm=\"meshglass\", Basic "
                                         "realm=\"meshglass\"\r\n"),
                         strcmp(cases[i].want, "401") == 0);
        assert_false(wire_has(&wire, "-token")); /* nothing of it is repeated */
        wire_fini(&wire);
    }
}

static void test_refusals_say_what_is_missing(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { unsigned what; const char *authorization, *want[3]; } cases[] = {
        { WITH_TOKENS, NULL, { "401 Unauthorized\r\n", "www-authenticate: Bearer realm=\"meshglass\"\r\n", "a credential is needed" } },
        { WITH_USERS, NULL, { "401 Unauthorized\r\n", "www-authenticate: Basic realm=\"meshglass\"\r\n" } },
        { WITH_CERTIFICATES, NULL, { "403 Forbidden\r\n", "auth.client_certificates" } },
        { WITH_TOKENS, "Bearer ingest-token", { "403 Forbidden\r\n", "'exporter' lacks the scope query" } },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        start(&wire, cases[i].what, HTTP_SCOPE_OPEN);
        ask_h1(&wire, "GET /query", cases[i].authorization, NULL);
        for (size_t k = 0; k < 3 && cases[i].want[k]; k++) {
            if (!wire_has(&wire, cases[i].want[k]))
                fail_msg("case %zu: no '%s' in %.*s", i, cases[i].want[k], (int)wire.out.len,
                         wire.out.ptr);
        }
        wire_fini(&wire);
    }
}

static void test_otlp_doors_answer_with_a_status(void **state)
{
    (void)state;
    struct wire wire;
    wire_init(&wire);
    struct http_auth *auth = make_auth(ALL);
    wire.options.auth = auth;
    wire.options.is_otlp = true;
    wire_start(&wire);
    http_auth_unref(&auth);
    ask_h1(&wire, "POST /ingest", NULL,
           "Content-Type: application/x-protobuf\r\nContent-Length: 3\r\n\r\nabc");
    assert_string_equal(wire_answers(&wire), "401");
    assert_true(wire_has(&wire, "application/x-protobuf"));
    assert_true(wire_has(&wire, "\x08\x10\x12")); /* code 16 */
    ask_h1(&wire, "POST /ingest", "Bearer query-token",
           "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    assert_string_equal(wire_answers(&wire), "401 403");
    assert_true(wire_has(&wire, "\"code\":7"));
    wire_fini(&wire);
}

/* The body is thrown away, not kept, and one that is long costs the connection instead. */
static void test_refused_bodies_are_not_read(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *rest; bool sends, ends; } cases[] = {
        { "Content-Length: 3\r\n\r\n", true, false },
        { "Content-Length: 900000\r\n\r\n", false, true },
        { "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", false, true }, /* may come or not */
        { "Transfer-Encoding: chunked\r\n\r\n", false, false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        start(&wire, ALL, HTTP_SCOPE_OPEN);
        ask_h1(&wire, "POST /ingest", NULL, cases[i].rest);
        assert_int_equal(wire.n_heads, 0); /* on_head was not asked */
        assert_int_equal(wire.n_requests, 0);
        assert_int_equal(wire.server->gather.bytes, 0);
        assert_false(wire_has(&wire, "100 Continue"));
        if (cases[i].sends) {
            wire_send(&wire, "abc", 3);
            ask_h1(&wire, "GET /open", NULL, NULL);
        }
        assert_string_equal(wire_answers(&wire), cases[i].sends  ? "401 200:root"
                                                 : cases[i].ends ? "401 eof"
                                                                 : "401");
        wire_fini(&wire);
    }
}

/* --- doors --- */
static void test_doors(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { unsigned what; enum http_scope scope; const char *line, *want; } cases[] = {
        { ASKS_NOBODY, HTTP_SCOPE_QUERY, "GET /", "200:root" },
        { ASKS_NOBODY, HTTP_SCOPE_QUERY, "GET /admin", "200:root" },
        { ALL, HTTP_SCOPE_QUERY, "GET /", "401" },
        { ALL, HTTP_SCOPE_INGEST, "GET /", "401" },
        { ALL, HTTP_SCOPE_OPEN, "GET /", "200:root" },
        { ALL, HTTP_SCOPE_DOOR, "GET /", "200:root" }, /* counts as open */
        { ALL, HTTP_SCOPE_DOOR, "GET /query", "401" },
        { 0, HTTP_SCOPE_ADMIN, "GET /", "200:root" }, /* nothing is configured */
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        start(&wire, cases[i].what, cases[i].scope);
        ask_h1(&wire, cases[i].line, NULL, NULL);
        if (strcmp(wire_answers(&wire), cases[i].want) != 0)
            fail_msg("case %zu: %s", i, wire_answers(&wire));
        wire_fini(&wire);
    }
}

/* --- certificates --- */
static void test_certificates(void **state)
{
    (void)state;
    static struct str allowed[] = {STR_INIT("web.test"), STR_INIT("ops.test")};
    static const struct conf_list names = {.at = allowed, .n = 2};
    static const struct conf_list nobody = {.n = 0};
    /* clang-format off */
    static const struct { unsigned what; const struct conf_list *names; const char *san, *line, *authorization, *want; } cases[] = {
        { WITH_CERTIFICATES, NULL, "web.test", "POST /ingest", NULL, "200" },
        { WITH_CERTIFICATES, NULL, "web.test", "GET /query", NULL, "200:root" }, /* by the other entry */
        { WITH_CERTIFICATES, NULL, "web.test", "GET /admin", NULL, "403" },
        { WITH_CERTIFICATES, NULL, "ops.test", "GET /admin", NULL, "200:root" },
        { WITH_CERTIFICATES, NULL, "ops.test", "POST /ingest", NULL, "403" },
        { WITH_CERTIFICATES, NULL, "else.test", "GET /query", NULL, "403" },
        { WITH_CERTIFICATES, NULL, NULL, "GET /query", NULL, "403" },
        { WITH_CERTIFICATES | ALL, NULL, "else.test", "GET /query", NULL, "401" },
        { WITH_CERTIFICATES | ALL, NULL, NULL, "GET /query", "Bearer query-token", "200:root" },
        { WITH_CERTIFICATES | ALL, NULL, "ops.test", "GET /query", "Bearer ingest-token", "403" }, /* the header counts */
        { WITH_CERTIFICATES | ALL, NULL, "ops.test", "GET /query", "Bearer unknown", "401" },
        { ALL, NULL, "web.test", "GET /query", NULL, "401" }, /* no row says what it is good for */
        /* tls.client_names */
        { 0, &names, "web.test", "GET /query", NULL, "200:root" },
        { 0, &names, NULL, "GET /query", NULL, "200:root" }, /* a connection without */
        { 0, &names, "else.test", "GET /query", NULL, "403" },
        { 0, &names, "else.test", "GET /open", NULL, "403" },
        { 0, &nobody, "else.test", "GET /query", NULL, "200:root" },
        { ALL, &names, "else.test", "GET /query", "Bearer query-token", "403" },
        { ALL, &names, "web.test", "GET /query", "Bearer query-token", "200:root" },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        wire_init(&wire);
        struct http_auth *auth = make_auth(cases[i].what);
        wire.options.auth = auth;
        wire.options.client_names = cases[i].names;
        wire.san = cases[i].san;
        wire_start(&wire);
        http_auth_unref(&auth);
        ask_h1(&wire, cases[i].line, cases[i].authorization, NULL);
        ask_h1(&wire, cases[i].line, cases[i].authorization, NULL); /* what is remembered */
        char twice[64];
        snprintf(twice, sizeof twice, "%s %s", cases[i].want, cases[i].want);
        if (strcmp(wire_answers(&wire), twice) != 0)
            fail_msg("case %zu: %s", i, wire_answers(&wire));
        if (cases[i].names && strcmp(cases[i].want, "403") == 0)
            assert_true(wire_has(&wire, "tls.client_names"));
        wire_fini(&wire);
    }
}

static void test_reload(void **state)
{
    (void)state;
    struct wire wire;
    start(&wire, ALL | WITH_CERTIFICATES, HTTP_SCOPE_OPEN);
    wire.san = "web.test";
    ask_h1(&wire, "GET /query", NULL, NULL);
    ask_h1(&wire, "GET /query", "Basic YW5uOnBhOnNz", NULL);
    struct http_auth *only_tokens = make_auth(WITH_TOKENS);
    http_server_reload(wire.server, &(struct http_options){.conf = &wire.conf, .auth = only_tokens});
    http_auth_unref(&only_tokens);
    ask_h1(&wire, "GET /query", NULL,
           NULL); /* what was remembered of the certificate counts no more */
    ask_h1(&wire, "GET /query", "Basic YW5uOnBhOnNz", NULL);
    ask_h1(&wire, "GET /query", "Bearer query-token", NULL);
    assert_string_equal(wire_answers(&wire), "200:root 200:root 401 401 200:root");
    http_server_reload(wire.server, &(struct http_options){.conf = &wire.conf});
    ask_h1(&wire, "GET /admin", NULL, NULL);
    assert_string_equal(wire_answers(&wire), "200:root 200:root 401 401 200:root 200:root");
    wire_fini(&wire);
}

/* --- HTTP/2 and gRPC --- */
static void test_grpc(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { struct ask ask; const char *status, *grpc, *message; } cases[] = {
        { { GRPC, .path = "/t.S/Query", .body = FRAME("\1a"), .extra_name = "authorization", .extra_value = "Bearer query-token" }, "200", "0", "" },
        { { GRPC, .path = "/t.S/Query", .body = FRAME("\1a") }, "200", "16", "a credential is needed, and none that is known was shown" },
        { { GRPC, .path = "/t.S/Query", .body = FRAME("\1a"), .extra_name = "authorization", .extra_value = "Bearer x" }, "200", "16", NULL },
        { { GRPC, .path = "/t.S/Query", .body = FRAME("\1a"), .extra_name = "authorization", .extra_value = "Bearer ingest-token" },
          "200", "7", "'exporter' lacks the scope query" },
        { { GRPC, .path = "/t.S/Query", .is_open_ended = true }, "200", "16", NULL }, /* at the head */
        { { GRPC, .path = "/t.S/Chat", .is_open_ended = true }, "200", "16", NULL },
        { { GRPC, .path = "/t.S/Nope", .body = FRAME("\1a") }, "200", "12", NULL },
        { { .method = "GET", .path = "/query" }, "401", "", NULL },
        { { .method = "GET", .path = "/query", .extra_name = "authorization", .extra_value = "Basic YW5uOnBhOnNz" }, "200", "", NULL },
        { { .method = "POST", .path = "/ingest", .has_body = true, .is_open_ended = true }, "401", "", NULL },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct wire wire;
        start(&wire, ALL, HTTP_SCOPE_INGEST);
        struct client *client = MEM_NEW(struct client);
        client_init(client, &wire, 65535);
        struct seen *seen = call(client, &cases[i].ask);
        if (strcmp(seen->status, cases[i].status) != 0 ||
            strcmp(seen->grpc_status, cases[i].grpc) != 0)
            fail_msg("case %zu: %s/%s", i, seen->status, seen->grpc_status);
        if (cases[i].message)
            assert_string_equal(seen->grpc_message, cases[i].message);
        client_outlast(client);
        assert_true(seen->is_closed);
        assert_int_equal(seen->error, NGHTTP2_NO_ERROR);
        assert_int_equal(wire.n_heads, 0);
        DONE(client);
    }
}

static void test_metrics(void **state)
{
    (void)state;
    struct metric_registry *registry = metric_registry_new();
    struct wire wire;
    wire_init(&wire);
    struct http_auth *auth = make_auth(ALL);
    wire.options.auth = auth;
    wire.options.metrics = http_metrics_register(registry, "door=front|back");
    wire.options.metric_door = 1;
    wire_start(&wire);
    http_auth_unref(&auth);
    ask_h1(&wire, "GET /query", NULL, NULL);
    ask_h1(&wire, "GET /query", "Bearer ingest-token", NULL);
    ask_h1(&wire, "GET /query", "Bearer ingest-token", NULL);
    struct buf text;
    buf_init(&text, 1 << 20);
    metric_write(registry, METRIC_TEXT_0_0_4, &text);
    size_t at;
    assert_true(str_find(buf_str(&text),
                         STR("meshglass_http_refused_total{door=\"back\",reason=\"auth\"} 1\n"),
                         &at));
    assert_true(str_find(buf_str(&text),
                         STR("meshglass_http_refused_total{door=\"back\",reason=\"denied\"} 2\n"),
                         &at));
    buf_fini(&text);
    wire_fini(&wire);
    metric_registry_free(&registry);
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nothing_configured),
        cmocka_unit_test(test_scopes_and_schemes),
        cmocka_unit_test(test_refusals_say_what_is_missing),
        cmocka_unit_test(test_otlp_doors_answer_with_a_status),
        cmocka_unit_test(test_refused_bodies_are_not_read),
        cmocka_unit_test(test_doors),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_grpc),
        cmocka_unit_test(test_metrics),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
