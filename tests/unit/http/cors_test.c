/* Pages of a browser: origins, preflights, and what every answer says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "http/auth.h"
#include "wire.h"

#define ORIGINS_MAX 3
struct scene {
    struct wire wire;
    struct str origins[ORIGINS_MAX], headers[ORIGINS_MAX];
    struct http_cors_conf conf;
};

static struct conf_list list_of(const char *const *texts, struct str *out)
{
    size_t n = 0;
    for (; n < ORIGINS_MAX && texts[n]; n++)
        out[n] = str_of(texts[n]);
    return (struct conf_list){.at = out, .n = n};
}

static void start(struct scene *scene, const char *const *origins, const char *const *headers,
                  uint64_t max_age_ns)
{
    wire_init(&scene->wire);
    scene->conf = (struct http_cors_conf){.origins = list_of(origins, scene->origins),
                                          .headers = list_of(headers, scene->headers),
                                          .max_age_ns = max_age_ns};
    scene->wire.options.cors = &scene->conf;
    wire_start(&scene->wire);
}

static void send_text(struct wire *wire, const char *line, const char *headers)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_printf(&text, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, headers);
    wire_send(wire, text.ptr, text.len);
    buf_fini(&text);
}

/* The Origin is a page's: does an answer allow it, and in which words? */
static void test_origins(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *rows[ORIGINS_MAX], *origin, *want; } cases[] = {
        { { "https://a.test" }, "https://a.test", "https://a.test" },
        { { "https://a.test" }, "HTTPS://A.test", "HTTPS://A.test" }, /* echoed as it came */
        { { "https://A.test" }, "https://a.test", "https://a.test" },
        { { "https://a.test" }, "http://a.test", NULL },
        { { "https://a.test" }, "https://a.test:8443", NULL },
        { { "https://a.test" }, "https://a.test.invalid", NULL },
        { { "https://a.test" }, "https://ba.test", NULL },
        { { "https://a.test" }, "https://a", NULL },
        { { "https://a.test" }, "null", NULL },
        { { "https://a.test" }, "", NULL },
        { { "https://a.test", "http://b.test" }, "http://b.test", "http://b.test" },
        { { "https://*.a.test" }, "https://x.a.test", "https://x.a.test" },
        { { "https://*.a.test" }, "https://x.y.a.test", "https://x.y.a.test" },
        { { "https://*.a.test" }, "https://a.test", NULL },
        { { "https://*.a.test" }, "https://evil-a.test", NULL },
        { { "https://*.a.test" }, "https://x.a.test.invalid", NULL },
        { { "http://localhost:*" }, "http://localhost:3000", "http://localhost:3000" },
        { { "http://localhost:*" }, "http://localhost", NULL },
        { { "https://*" }, "https://x", "https://x" },
        { { "https://*" }, "http://x", NULL },
        { { "https://a*b*c" }, "https://abbcabc", "https://abbcabc" },
        { { "https://a*b*c" }, "https://abbcab", NULL },
        { { "https://a*b*c" }, "https://acb", NULL },
        { { "https://a**" }, "https://a", "https://a" },
        { { "null" }, "null", "null" },
        { { "*" }, "https://x", "*" },
        { { "*" }, "", NULL },
        { { "*", "https://a.test" }, "https://a.test", "https://a.test" }, /* the better one */
        { { "https://a.test" }, "https://a.test\r\nOrigin: https://a.test", NULL },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        char line[256];
        start(&scene, cases[i].rows, (const char *const[]){NULL}, 0);
        snprintf(line, sizeof line, "Origin: %s\r\n", cases[i].origin);
        send_text(&scene.wire, "GET /", *cases[i].origin ? line : "");
        assert_string_equal(wire_answers(&scene.wire), "200:root");
        assert_true(wire_has(&scene.wire, "vary: Origin\r\n")); /* also without: caches must know */
        snprintf(line, sizeof line, "access-control-allow-origin: %s\r\n",
                 cases[i].want ? cases[i].want : "");
        if (wire_has(&scene.wire, cases[i].want ? line : "access-control-") !=
            (cases[i].want != NULL))
            fail_msg("case %zu: %.*s", i, (int)scene.wire.out.len, scene.wire.out.ptr);
        assert_int_equal(wire_has(&scene.wire, "access-control-allow-credentials: true\r\n"),
                         cases[i].want && strcmp(cases[i].want, "*") != 0);
        wire_fini(&scene.wire);
    }
}

static void test_a_long_origin_is_none(void **state)
{
    (void)state;
    for (int len = 511; len <= 513; len++) {
        struct scene scene;
        char line[1000];
        start(&scene, (const char *const[]){"https://*0*0*0*0*b", NULL},
              (const char *const[]){NULL}, 0);
        snprintf(line, sizeof line, "Origin: https://%0*db\r\n", len - 9, 0);
        send_text(&scene.wire, "GET /", line);
        assert_string_equal(wire_answers(&scene.wire), "200:root");
        assert_int_equal(wire_has(&scene.wire, "access-control-"), len <= 512);
        wire_fini(&scene.wire);
    }
}

#define ASK(method) "Origin: https://a.test\r\nAccess-Control-Request-Method: " method "\r\n"
#define WANT(names) "Access-Control-Request-Headers: " names "\r\n"

static void test_preflights(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *line, *ask, *rows[ORIGINS_MAX], *status, *want[4]; } cases[] = {
        { "OPTIONS /echo", ASK("POST"), { NULL }, "204",
          { "access-control-allow-origin: https://a.test\r\n", "access-control-allow-methods: POST\r\n",
            "access-control-allow-credentials: true\r\n", "access-control-max-age: 600\r\n" } },
        { "OPTIONS /later", ASK("GET"), { NULL }, "204", { "access-control-allow-methods: GET, HEAD, POST\r\n" } },
        { "OPTIONS /later", ASK("POST"), { NULL }, "204", { "access-control-allow-methods: GET, HEAD, POST\r\n" } },
        { "OPTIONS /p/x?y=z", ASK("GET"), { NULL }, "204", { "access-control-allow-methods: GET, HEAD\r\n" } },
        { "OPTIONS /ingest", ASK("POST"), { NULL }, "204", { "access-control-allow-methods: POST\r\n" } }, /* asks nobody */
        { "OPTIONS /echo", ASK("POST") WANT("content-type"), { NULL }, "204", { "access-control-allow-headers: content-type\r\n" } },
        { "OPTIONS /echo", ASK("POST") WANT("Content-Type,authorization, X-Requested-With"), { NULL }, "204",
          { "access-control-allow-headers: Content-Type,authorization, X-Requested-With\r\n" } },
        { "OPTIONS /echo", ASK("POST") WANT("range,,"), { NULL }, "204", { "access-control-allow-headers: range,,\r\n" } },
        { "OPTIONS /echo", ASK("POST") WANT(""), { NULL }, "204", { "access-control-allow-methods: POST\r\n" } },
        { "OPTIONS /echo", ASK("POST") WANT("x-tenant"), { "X-Tenant" }, "204", { "access-control-allow-headers: x-tenant\r\n" } },
        { "OPTIONS /echo", ASK("POST") WANT("x-any,y"), { "*" }, "204", { "access-control-allow-headers: x-any,y\r\n" } },
        /* refused, without a word of why: a browser understands nothing else */
        { "OPTIONS /echo", ASK("GET"), { NULL }, "204", { NULL } },
        { "OPTIONS /echo", ASK("post"), { NULL }, "204", { NULL } },
        { "OPTIONS /echo", ASK("POST") WANT("x-tenant"), { NULL }, "204", { NULL } },
        { "OPTIONS /echo", ASK("POST") WANT("content-type,x-tenant"), { "x-other" }, "204", { NULL } },
        { "OPTIONS /echo", ASK("POST") WANT("a b"), { "*" }, "204", { NULL } },
        { "OPTIONS /echo", "Origin: https://b.test\r\nAccess-Control-Request-Method: POST\r\n", { NULL }, "204", { NULL } },
        /* no preflight */
        { "OPTIONS /echo", "", { NULL }, "405", { "allow: POST\r\n" } },
        { "OPTIONS /echo", "Origin: https://a.test\r\n", { NULL }, "405", { "access-control-allow-origin: https://a.test\r\n" } },
        { "OPTIONS /echo", "Access-Control-Request-Method: POST\r\n", { NULL }, "405", { "allow: POST\r\n" } },
        { "DELETE /echo", ASK("POST"), { NULL }, "405", { "access-control-allow-origin: https://a.test\r\n" } },
        { "OPTIONS /nope", ASK("POST"), { NULL }, "404", { "access-control-allow-origin: https://a.test\r\n" } },
        { "OPTIONS *", ASK("POST"), { NULL }, "204", { "allow: GET, HEAD, POST, OPTIONS\r\n" } },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        struct wire *wire = &scene.wire;
        start(&scene, (const char *const[]){"https://a.test", NULL}, cases[i].rows, 600999999999u);
        send_text(wire, cases[i].line, cases[i].ask);
        if (strcmp(wire_answers(wire), cases[i].status) != 0)
            fail_msg("case %zu: %s", i, wire_answers(wire));
        for (size_t k = 0; k < 4 && cases[i].want[k]; k++) {
            if (!wire_has(wire, cases[i].want[k]))
                fail_msg("case %zu: no '%s' in %.*s", i, cases[i].want[k], (int)wire->out.len,
                         wire->out.ptr);
        }
        bool is_preflight =
            strcmp(cases[i].status, "204") == 0 && !wire_has(wire, "allow: GET, HEAD, POST, O");
        if (is_preflight) {
            assert_true(wire_has(wire, "vary: Origin, Access-Control-Request-Method, "
                                       "Access-Control-Request-Headers\r\n"));
            assert_false(wire_has(wire, "Content-Length"));
            assert_false(wire_has(wire, "vary: Origin\r\n"));
            assert_int_equal(wire_has(wire, "access-control-"), cases[i].want[0] != NULL);
        }
        assert_int_equal(wire->n_requests, 0);
        wire_fini(wire);
    }
}

static void test_no_max_age(void **state)
{
    (void)state;
    struct scene scene;
    start(&scene, (const char *const[]){"https://a.test", NULL}, (const char *const[]){NULL}, 0);
    send_text(&scene.wire, "OPTIONS /echo", ASK("POST"));
    assert_true(wire_has(&scene.wire, "access-control-allow-methods: POST\r\n"));
    assert_false(wire_has(&scene.wire, "max-age"));
    wire_fini(&scene.wire);
}

/* A page must be able to read why it failed. */
static void test_errors_are_readable(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *line, *status; } cases[] = {
        { "GET /nope", "404" }, { "DELETE /echo", "405" }, { "POST /busy", "503" }, { "POST /picky", "415" },
        { "GET /missing-handler", "500" }, { "POST /ingest", "401" },
    };
    /* clang-format on */
    struct str token =
        STR("a query sha256:04e4a068a9c0132ba2f4b8462cadadc6bf60da54c7661d145202c68c7f689223");
    struct http_auth_conf conf = {.tokens = {.at = &token, .n = 1}};
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        struct http_auth *auth;
        start(&scene, (const char *const[]){"https://a.test", NULL}, (const char *const[]){NULL},
              0);
        assert_int_equal(http_auth_new(&auth, &conf, NULL), MG_OK);
        http_server_reload(scene.wire.server, &(struct http_options){.conf = &scene.wire.conf, .auth = auth, .cors = &scene.conf});
        http_auth_unref(&auth);
        send_text(&scene.wire, cases[i].line, "Origin: https://a.test\r\n");
        assert_string_equal(wire_answers(&scene.wire), cases[i].status);
        assert_true(wire_has(&scene.wire, "access-control-allow-origin: https://a.test\r\n"));
        assert_true(wire_has(&scene.wire, "vary: Origin\r\n"));
        wire_fini(&scene.wire);
    }
}

static void test_not_configured(void **state)
{
    (void)state;
    static const struct http_cors_conf empty = {.max_age_ns = 1000000000u};
    const struct http_cors_conf *confs[] = {NULL, &empty};
    for (size_t i = 0; i < MG_COUNT(confs); i++) {
        struct wire wire;
        wire_init(&wire);
        wire.options.cors = confs[i];
        wire_start(&wire);
        send_text(&wire, "GET /", "Origin: https://a.test\r\n");
        send_text(&wire, "OPTIONS /echo", ASK("POST"));
        assert_string_equal(wire_answers(&wire), "200:root 405");
        assert_false(wire_has(&wire, "access-control-"));
        assert_false(wire_has(&wire, "vary: Origin"));
        wire_fini(&wire);
    }
}

/* Nobody asks before such a request, and what it does is done. */
static void test_other_sites_may_not_write(void **state)
{
    (void)state;
    #define FROM(site) "Sec-Fetch-Site: " site "\r\nContent-Length: 0\r\n"
    #define PAGE "Origin: https://a.test\r\n"
    /* clang-format off */
    static const struct { const char *row, *line, *headers, *want; } cases[] = {
        { NULL, "POST /echo", PAGE FROM("cross-site"), "403" },
        { NULL, "POST /echo", PAGE FROM("CROSS-SITE"), "403" },
        { NULL, "POST /echo", "Origin: null\r\n" FROM("cross-site"), "403" },
        { NULL, "POST /echo", FROM("cross-site"), "403" },
        { "https://b.test", "POST /echo", PAGE FROM("cross-site"), "403" },
        { "https://a.test", "POST /echo", PAGE FROM("cross-site"), "200" },
        { "*", "POST /echo", PAGE FROM("cross-site"), "200" },
        { NULL, "POST /echo", PAGE FROM("same-origin"), "200" },
        { NULL, "POST /echo", PAGE FROM("same-site"), "200" },
        { NULL, "POST /echo", FROM("none"), "200" },
        { NULL, "POST /echo", PAGE "Content-Length: 0\r\n", "200" }, /* no browser of these years, or an SDK */
        { NULL, "GET /", PAGE FROM("cross-site"), "200" }, /* a link to it */
        { NULL, "HEAD /", PAGE FROM("cross-site"), "200" },
    };
    /* clang-format on */
    #undef FROM
    #undef PAGE
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        start(&scene, (const char *const[]){cases[i].row, NULL}, (const char *const[]){NULL}, 0);
        send_text(&scene.wire, cases[i].line, cases[i].headers);
        if (!str_starts(str_of(wire_answers(&scene.wire)), str_of(cases[i].want)))
            fail_msg("%zu: %s", i, wire_answers(&scene.wire));
        wire_fini(&scene.wire);
    }
}

/* A request keeps what was in force when its head came, and nothing of the old rows is read. */
static void test_reload(void **state)
{
    (void)state;
    struct scene scene;
    struct wire *wire = &scene.wire;
    start(&scene, (const char *const[]){"https://a.test", NULL}, (const char *const[]){NULL}, 0);
    send_text(wire, "GET /later", "Origin: https://a.test\r\n");
    struct str row = STR("https://b.test");
    struct http_cors_conf next = {.origins = {.at = &row, .n = 1}};
    http_server_reload(wire->server, &(struct http_options){.conf = &wire->conf, .cors = &next});
    memset(&scene.conf, 0xff, sizeof scene.conf);
    http_respond(wire->later[0], 200, NULL, STR("old"));
    send_text(wire, "GET /", "Origin: https://a.test\r\n");
    assert_string_equal(wire_answers(wire), "200:old 200:root");
    size_t at, again;
    struct str line = STR("access-control-allow-origin: https://a.test\r\n");
    assert_true(str_find(buf_str(&wire->out), line, &at));
    assert_false(str_find(str_n(wire->out.ptr + at + 1, wire->out.len - at - 1), line, &again));
    wire_fini(wire);
}

static void test_rows(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct { const char *origins[ORIGINS_MAX], *headers[ORIGINS_MAX]; enum mg_err want; } cases[] = {
        { { NULL }, { NULL }, MG_OK },
        { { "*" }, { "*" }, MG_OK },
        { { "null", "https://*.a.test", "http://[::1]:80" }, { "x-a", "Y" }, MG_OK },
        { { "chrome-extension://abc" }, { NULL }, MG_OK },
        { { "https://a.test/" }, { NULL }, MG_E_FORMAT },
        { { "https://a.test/x" }, { NULL }, MG_E_FORMAT },
        { { "a.test" }, { NULL }, MG_E_FORMAT },
        { { "https://" }, { NULL }, MG_E_FORMAT },
        { { "://a" }, { NULL }, MG_E_FORMAT },
        { { "" }, { NULL }, MG_E_FORMAT },
        { { "https://a.test https://b.test" }, { NULL }, MG_E_FORMAT },
        { { "https://a.test b.test" }, { NULL }, MG_E_FORMAT },
        { { "*", "b" }, { NULL }, MG_E_FORMAT },
        { { "*" }, { "x y" }, MG_E_FORMAT },
        { { "*" }, { "x:" }, MG_E_FORMAT },
        { { "*" }, { "" }, MG_E_FORMAT },
    };
    /* clang-format on */
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str origins[ORIGINS_MAX], headers[ORIGINS_MAX];
        struct http_cors_conf conf = {.origins = list_of(cases[i].origins, origins),
                                      .headers = list_of(cases[i].headers, headers)};
        struct mg_why why = {""};
        if (http_cors_check(&conf, &why) != cases[i].want)
            fail_msg("case %zu: %s", i, why.text);
        assert_int_equal(why.text[0] != '\0', cases[i].want != MG_OK);
    }
}

/* What stands in the wrong place may be long, or a secret. */
static void test_refusals_repeat_no_word(void **state)
{
    (void)state;
    char long_word[2001];
    memset(long_word, 'a', sizeof long_word - 1);
    long_word[0] = ' ';
    long_word[sizeof long_word - 1] = '\0';
    const char *words[] = {"ann:aaa@host", "aaa\xff\xfe\n", long_word};
    for (size_t i = 0; i < MG_COUNT(words) * 2; i++) {
        bool is_origin = i % 2;
        struct str rows[] = {STR("*"), str_of(words[i / 2])}, star = STR("*");
        struct http_cors_conf conf = {
            .origins = {.at = is_origin ? rows : &star, .n = is_origin ? 2 : 1},
            .headers = {.at = rows, .n = is_origin ? 0 : 2}};
        struct mg_why why;
        assert_int_equal(http_cors_check(&conf, &why), MG_E_FORMAT);
        assert_true(str_starts(str_of(why.text),
                               is_origin
                                   ? STR("cors.origins 2: never an origin: write scheme://host")
                                   : STR("cors.headers 2: not a header's name: ")));
        assert_null(strstr(why.text, "aaa"));
    }
}

static void test_headers_that_need_no_row(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool is_allowed;
    } cases[] = {
        {"accept", true},           {"Accept-Language", true},   {"authorization", true},
        {"content-type", true},     {"content-language", true},  {"range", true},
        {"x-requested-with", true}, {"content-encoding", false}, {"if-none-match", false},
        {"traceparent", false},     {"cookie", false},           {"x-accept", false},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct scene scene;
        char ask[256];
        start(&scene, (const char *const[]){"https://a.test", NULL}, (const char *const[]){NULL},
              0);
        snprintf(ask, sizeof ask, ASK("POST") "Access-Control-Request-Headers: %s\r\n",
                 cases[i].header);
        send_text(&scene.wire, "OPTIONS /echo", ask);
        if (wire_has(&scene.wire, "access-control-allow-headers: ") != cases[i].is_allowed)
            fail_msg("%s", cases[i].header);
        wire_fini(&scene.wire);
    }
}

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_a_long_origin_is_none),
        cmocka_unit_test(test_preflights),
        cmocka_unit_test(test_no_max_age),
        cmocka_unit_test(test_errors_are_readable),
        cmocka_unit_test(test_not_configured),
        cmocka_unit_test(test_other_sites_may_not_write),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refusals_repeat_no_word),
        cmocka_unit_test(test_headers_that_need_no_row),
    };
    /* clang-format on */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
