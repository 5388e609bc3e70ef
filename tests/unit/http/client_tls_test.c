/* Client and server over TLS: both protocols by ALPN, certificates of either side, and every way in
 * which the two do not come together. Certificates are made when the test begins. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "base/mem.h"
#include "bare.h"
#include "http/auth.h"
#include "net/tls.h"
#include "scene.h"
#include "unit/net/certs.h"

#define LARGE_BYTES (5u * 1000 * 1000)

static struct certs certs;

/* --- the server --- */
static void on_root(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond(request, 200, "text/plain", STR("root"));
}

static void on_echo(void *owner, struct http_request *request)
{
    (void)owner;
    if (http_request_is_grpc(request))
        http_respond_grpc(request, http_request_body(request));
    else
        http_respond(request, 200, "text/plain", http_request_body(request));
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .on_request = on_root},
    {.method = "GET", .path = "/large", .on_request = scene_on_stream},
    {.method = "POST", .path = "/echo", .on_request = on_echo},
    {.method = "GET", .path = "/query", .on_request = on_root, .scope = HTTP_SCOPE_QUERY},
    {.path = "/t.S/Echo", .on_request = on_echo, .is_grpc = true},
};

/* --- the scene --- */
static struct str file(const char *stem, const char *suffix)
{
    char name[64];
    if (!stem)
        return STR("");
    snprintf(name, sizeof name, "%s.%s", stem, suffix);
    return certs_path(&certs, name);
}

struct setting {
    const char *server_alpn, *server_cert, *client_ca; /* cert NULL: "server" */
    const char *rows;                                  /* of auth.client_certificates; one */
    const char *names;                                 /* of tls.client_names; one */
};

static void open_with(struct scene *scene, const struct setting *setting)
{
    static struct str row, name;
    static struct conf_list names;
    const char *cert = setting->server_cert ? setting->server_cert : "server";
    const struct tls_options tls_options = {.cert_file = file(cert, "pem"),
                                            .key_file = file(cert, "key"),
                                            .ca_file = file(setting->client_ca, "pem"),
                                            .min_version = TLS_1_3,
                                            .is_server = true,
                                            .alpn = setting->server_alpn};
    struct tls_source *tls;
    struct mg_why why;
    if (tls_source_new(&tls, &tls_options, &why))
        fail_msg("%s", why.text);
    row = str_of(setting->rows);
    name = str_of(setting->names);
    names = (struct conf_list){.at = &name, .n = setting->names ? 1 : 0};
    struct http_auth_conf auth_conf = {
        .client_certificates = {.at = &row, .n = setting->rows ? 1 : 0}};
    struct http_options options = {
        .routes = routes, .n_routes = MG_COUNT(routes), .client_names = &names};
    if (http_auth_new(&options.auth, &auth_conf, &why))
        fail_msg("%s", why.text);
    scene_open(scene, options, tls);
    http_auth_unref(&options.auth);
    scene->stream_bytes = LARGE_BYTES;
}

static const char *url_of(const struct scene *scene, const char *path)
{
    static char url[96];
    snprintf(url, sizeof url, "https://127.0.0.1:%u%s", port_of(http_server_address(scene->server)),
             path);
    return url;
}

static struct tls_context *client_context(const char *alpn, const char *ca, const char *cert)
{
    const struct tls_options tls = {.cert_file = file(cert, "pem"),
                                    .key_file = file(cert, "key"),
                                    .ca_file = file(ca, "pem"),
                                    .min_version = TLS_1_2,
                                    .alpn = alpn};
    struct tls_context *context;
    struct mg_why why;
    if (tls_context_new(&context, &tls, &why))
        fail_msg("%s", why.text);
    return context;
}

/* alpn NULL: the client's own context, with the system's CAs. */
static void client_open(struct scene *scene, bool http2, const char *alpn, const char *ca,
                        const char *cert)
{
    struct tls_context *context = alpn ? client_context(alpn, ca, cert) : NULL;
    scene_client_open(scene, &(struct http_client_options){.base_url = str_of(url_of(scene, "")),
                                                           .tls = context,
                                                           .http2 = http2,
                                                           .timeout_ms = 20000});
    tls_context_unref(&context); /* the client has its own */
}

static const struct result *ask(struct scene *scene, const struct http_call *call)
{
    scene_call(scene, call);
    scene_wait(scene, scene->n_results + 1);
    return &scene->results[scene->n_results - 1];
}

static const struct http_call get_root = {.method = "GET", .path = STR_INIT("/")};
static const struct http_call get_query = {.method = "GET", .path = STR_INIT("/query")};
static const struct setting usual = {.server_alpn = "h2,http/1.1"};

/* --- the tests --- */
static struct {
    size_t bytes;
    bool is_pattern;
} streamed;

static enum mg_err on_piece(void *owner, struct str bytes, struct mg_why *why)
{
    (void)owner, (void)why;
    streamed.is_pattern = streamed.is_pattern && is_pattern_at(streamed.bytes, bytes);
    streamed.bytes += bytes.len;
    return MG_OK;
}

static void test_calls(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 16384, 16385, LARGE_BYTES};
    char *bytes = pattern_new(LARGE_BYTES);
    for (int http2 = 0; http2 < 2; http2++) {
        struct scene scene;
        open_with(&scene, &usual);
        client_open(&scene, http2, http2 ? "h2" : "http/1.1", "ca", NULL);
        for (size_t i = 0; i < MG_COUNT(sizes); i++) {
            const struct result *result =
                ask(&scene, &(struct http_call){.method = "POST",
                                                .path = STR("/echo"),
                                                .body = str_n(bytes, sizes[i])});
            if (result->err)
                fail_msg("%s", result->why);
            assert_int_equal(result->status, 200);
            assert_int_equal(result->body_len, sizes[i]);
            assert_true(result->is_pattern);
        }
        streamed.bytes = 0;
        streamed.is_pattern = true;
        const struct result *result =
            ask(&scene,
                &(struct http_call){.method = "GET", .path = STR("/large"), .on_body = on_piece});
        assert_int_equal(result->err, MG_OK);
        assert_int_equal(streamed.bytes, LARGE_BYTES);
        assert_true(streamed.is_pattern);
        assert_int_equal(http_server_connections(scene.server), 1); /* kept */
        scene_close(&scene);
    }
    mem_free(bytes);
}

static void test_grpc(void **state)
{
    (void)state;
    struct scene scene;
    open_with(&scene, &usual);
    client_open(&scene, true, "h2", "ca", NULL);
    const struct result *result = ask(&scene, &(struct http_call){.method = "POST",
                                                                  .path = STR("/t.S/Echo"),
                                                                  .body = STR("message"),
                                                                  .is_grpc = true});
    assert_int_equal(result->err, MG_OK);
    assert_int_equal(result->grpc_status, 0);
    assert_string_equal(result->body, "message");
    scene_close(&scene);
}

static void test_who_comes_together(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        struct setting server; bool http2; const char *alpn, *ca, *cert; enum mg_err want; const char *why[2];
    } cases[] = {
        { { .server_alpn = "h2,http/1.1" }, true, "h2", "ca", NULL, MG_OK, { NULL } },
        { { .server_alpn = "h2,http/1.1" }, true, "h2,http/1.1", "ca", NULL, MG_OK, { NULL } },
        { { .server_alpn = "h2,http/1.1" }, false, "http/1.1", "ca", NULL, MG_OK, { NULL } },
        { { .server_alpn = NULL }, false, "http/1.1", "ca", NULL, MG_OK, { NULL } }, /* nothing agreed: HTTP/1.1 */
        /* ALPN */
        { { .server_alpn = NULL }, true, "h2", "ca", NULL, MG_E_UNSUPPORTED, { "GET https://127.0.0.1", "ALPN h2" } },
        { { .server_alpn = "http/1.1" }, true, "h2,http/1.1", "ca", NULL, MG_E_UNSUPPORTED, { "ALPN h2" } },
        { { .server_alpn = "h2,http/1.1" }, false, "h2,http/1.1", "ca", NULL, MG_E_UNSUPPORTED, { "agreed on 'h2'" } },
        { { .server_alpn = "http/1.1" }, true, "h2", "ca", NULL, MG_E_UNSUPPORTED, { "ALPN h2" } },
        /* the server's certificate */
        { { .server_alpn = "h2,http/1.1" }, false, "http/1.1", "other-ca", NULL, MG_E_IO, { "GET https://127.0.0.1", TLS_SAYS_UNTRUSTED } },
        { { .server_alpn = "h2,http/1.1", .server_cert = "expired" }, false, "http/1.1", "ca", NULL, MG_E_IO, { "expired" } },
        { { .server_alpn = "h2,http/1.1", .server_cert = "elsewhere" }, true, "h2", "ca", NULL, MG_E_IO, { "certificate" } },
        { { .server_alpn = "h2,http/1.1" }, false, NULL, NULL, NULL, MG_E_IO, { "certificate" } }, /* the system does not know the CA */
        { { .server_alpn = "h2,http/1.1" }, true, NULL, NULL, NULL, MG_E_IO, { "certificate" } },
        /* the client's */
        { { .server_alpn = "h2,http/1.1", .client_ca = "ca" }, true, "h2", "ca", "client", MG_OK, { NULL } },
        { { .server_alpn = "h2,http/1.1", .client_ca = "ca" }, false, "http/1.1", "ca", "client", MG_OK, { NULL } },
        { { .server_alpn = "h2,http/1.1", .client_ca = "ca" }, false, "http/1.1", "ca", NULL, MG_E_IO, { "GET https://", ": the peer " TLS_SAYS_WANTS_CERTIFICATE } },
        { { .server_alpn = "h2,http/1.1", .client_ca = "ca" }, true, "h2", "ca", NULL, MG_E_IO, { "GET https://", ": the peer " TLS_SAYS_WANTS_CERTIFICATE } },
        { { .server_alpn = "h2,http/1.1", .client_ca = "ca" }, false, "http/1.1", "ca", "client-other", MG_E_IO, { "GET https://", ": the peer refused our certificate" } },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        open_with(&scene, &cases[i].server);
        client_open(&scene, cases[i].http2, cases[i].alpn, cases[i].ca, cases[i].cert);
        const struct result *result = ask(&scene, &get_root);
        if (result->err != cases[i].want)
            fail_msg("case %zu: %s %s", i, mg_err_name(result->err), result->why);
        for (size_t k = 0; k < 2 && cases[i].why[k]; k++) {
            if (!strstr(result->why, cases[i].why[k]))
                fail_msg("case %zu: no '%s' in '%s'", i, cases[i].why[k], result->why);
        }
        if (!result->err)
            assert_string_equal(result->body, "root");
        scene_close(&scene);
    }
}

/* The names of a verified client certificate: who may come at all, and what a row gives them. */
static void test_client_names(void **state)
{
    (void)state;
#define SPIFFE "spiffe://mesh/ns/shop/sa/web"
    /* clang-format off */
    static const struct { const char *rows, *names; int root, query; const char *body; } cases[] = {
        { NULL, NULL, 200, 200, "root" },
        { "web.test query", NULL, 200, 200, "root" },
        { SPIFFE " admin", NULL, 200, 200, "root" },
        { "*.test query", "web.test", 200, 200, "root" },
        { "web.test ingest", NULL, 200, 403, "'web.test' lacks the scope query\n" },
        { "other.test query", NULL, 200, 403, NULL },
        { NULL, SPIFFE, 200, 200, "root" },
        { NULL, "other.test", 403, 403, "none of the client certificate's names is in tls.client_names\n" },
        { "web.test query", "other.test", 403, 403, NULL },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases) * 2; i++) {
        size_t k = i / 2;
        bool http2 = i % 2;
        struct setting setting = {.server_alpn = "h2,http/1.1",
                                  .client_ca = "ca",
                                  .rows = cases[k].rows,
                                  .names = cases[k].names};
        struct scene scene;
        open_with(&scene, &setting);
        client_open(&scene, http2, http2 ? "h2" : "http/1.1", "ca", "client");
        const struct result *result = ask(&scene, &get_root);
        if (result->status != cases[k].root)
            fail_msg("case %zu: %d %s", k, result->status, result->why);
        result = ask(&scene, &get_query);
        if (result->status != cases[k].query)
            fail_msg("case %zu: %d %s", k, result->status, result->why);
        if (cases[k].body)
            assert_true(str_starts(str_of(cases[k].body), str_of(result->body)));
        scene_close(&scene);
    }
}

static void test_fetch(void **state)
{
    (void)state;
    struct scene scene;
    open_with(&scene, &usual);
    const char *url = url_of(&scene, "/");
    /* The server's loop does not run: only the address matters, and that the scheme is taken. */
    struct buf body;
    struct mg_why why;
    int status;
    const struct http_fetch fetch = {.method = "GET", .url = str_of(url), .timeout_ms = 200};
    assert_int_equal(http_fetch(&fetch, &status, &body, &why), MG_E_TIMEOUT);
    assert_non_null(strstr(why.text, url));
    scene_close(&scene);
}

/* --- a peer that does not keep to what it agreed on --- */
static void stop_loop(void *loop)
{
    loop_stop(loop);
}

static void test_http1_after_h2_was_agreed_on(void **state)
{
    (void)state;
    struct scene scene;
    open_with(&scene, &usual);
    struct tls_context *context = client_context("h2", "ca", NULL);
    struct bare bare = {.on_change = stop_loop, .owner = scene.loop};
    bare_dial(&bare, scene.loop, http_server_address(scene.server), context);
    while (!bare.stream)
        loop_run(scene.loop);
    assert_true(stream_is_tls(bare.stream));
    assert_true(str_eq(stream_alpn(bare.stream), STR("h2")));
    bare_send(&bare, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while (!bare.is_closed)
        loop_run(scene.loop);
    size_t at;
    assert_true(str_starts(buf_str(&bare.got), STR("HTTP/1.1 400 ")));
    assert_true(str_find(buf_str(&bare.got), STR("TLS agreed on h2"), &at));
    bare_fini(&bare);
    tls_context_unref(&context);
    scene_close(&scene);
}

/* --- a peer that does not know of TLS --- */
static void test_plain_request(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *bytes; bool is_told; } cases[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true }, { "GET /", true }, { "HEAD / HTTP/1.0\r\n\r\n", true },
        { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true }, { "PUT / HTTP/1.1\r\n", true },
        { "DELETE / HTTP/1.1\r\n\r\n", true }, { "OPTIONS * HTTP/1.1\r\n\r\n", true }, { "CONNECT a:1 HTTP/1.1\r\n\r\n", true },
        { "TRACE / HTTP/1.1\r\n\r\n", true }, { "PATCH / HTTP/1.1\r\n\r\n", true },
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false }, { "get / HTTP/1.1\r\n\r\n", false }, { "GETS / HTTP/1.1\r\n\r\n", false },
        { " GET / HTTP/1.1\r\n\r\n", false }, { "SSH-2.0-a\r\n", false }, { "HTTP/1.1 200 OK\r\n\r\n", false }, { "POSTS", false },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        struct bare bare = {.on_change = stop_loop};
        open_with(&scene, &usual);
        bare.owner = scene.loop;
        bare_dial(&bare, scene.loop, http_server_address(scene.server), NULL);
        while (!bare.stream)
            loop_run(scene.loop);
        bare_send(&bare, cases[i].bytes);
        while (!bare.is_closed)
            loop_run(scene.loop);
        struct str got = buf_str(&bare.got);
        size_t at;
        bool is_told = str_starts(got, STR("HTTP/1.1 400 Bad Request\r\n")) &&
                       str_find(got, STR("Connection: close\r\n"), &at) &&
                       str_find(got, STR("\r\n\r\nTLS is spoken here"), &at);
        if (is_told != cases[i].is_told || !bare.has_ended)
            fail_msg("case %zu: %.*s", i, STR_ARG(got));
        assert_true(is_told || got.len == 7); /* an alert */
        bare_fini(&bare);
        scene_close(&scene);
    }
}

static int make_certs(void **state)
{
    (void)state;
    certs_init(&certs);
    certs_standard(&certs);
    return 0;
}

static int remove_certs(void **state)
{
    (void)state;
    certs_fini(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_grpc),
        cmocka_unit_test(test_who_comes_together),
        cmocka_unit_test(test_client_names),
        cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_http1_after_h2_was_agreed_on),
        cmocka_unit_test(test_plain_request),
    };
    pattern_init();
    return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
