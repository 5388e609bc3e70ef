/* Every placeholder of index.html in the spacings of the UI's versions, and what may be put
 * into them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "api/ui/page.h"
#include "base/arena.h"

#define VERSION "{\"gitCommit\":\"\",\"gitVersion\":\"1.2\",\"buildDate\":\"\"}"
#define STORAGE "{\"archiveStorage\":true,\"metricsStorage\":false}"
#define BACKEND                                                                                    \
    "{\"archiveStorage\":true,\"metricsStorage\":false,\"searchWithoutServiceName\":true,"         \
    "\"aiAssistant\":false}"
#define BASE "<base href=\"/\" data-inject-target=\"BASE_URL\" />"

static const struct page_values plain = {
    .base = STR_INIT("/"), .version = STR_INIT("1.2"), .has_archive = true};

static void expect(const char *html, const struct page_values *values, const char *want)
{
    struct mg_why why = {""};
    struct buf out;

    buf_init(&out, 1 << 20);
    if (page_fill(str_of(html), values, &out, &why) != MG_OK)
        fail_msg("%s: %s", html, why.text);
    if (!str_eq(buf_str(&out), str_of(want)))
        fail_msg("of   %s\ngot  %.*s\nwant %s", html, STR_ARG(buf_str(&out)), want);
    buf_fini(&out);
}

static void assignments(void **state)
{
    static const struct {
        const char *html, *want;
    } rows[] = {
        {"", ""},
        {"const JAEGER_VERSION = DEFAULT_VERSION;", "const JAEGER_VERSION = " VERSION ";"},
        {"var JAEGER_VERSION=DEFAULT_VERSION;x", "var JAEGER_VERSION = " VERSION ";x"},
        {"JAEGER_VERSION \t=\n  DEFAULT_VERSION;", "JAEGER_VERSION = " VERSION ";"},
        {"JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;",
         "JAEGER_STORAGE_CAPABILITIES = " STORAGE ";"},
        {"JAEGER_BACKEND_CAPABILITIES = DEFAULT_BACKEND_CAPABILITIES;",
         "JAEGER_BACKEND_CAPABILITIES = " BACKEND ";"},
        {"JAEGER_STORAGE_CAPABILITIES = DEFAULT_STORAGE_CAPABILITIES;"
         "JAEGER_BACKEND_CAPABILITIES =DEFAULT_BACKEND_CAPABILITIES;",
         "JAEGER_STORAGE_CAPABILITIES = " STORAGE ";JAEGER_BACKEND_CAPABILITIES = " BACKEND ";"},
        {"JAEGER_VERSION = DEFAULT_VERSION;JAEGER_VERSION = DEFAULT_VERSION;",
         "JAEGER_VERSION = " VERSION ";JAEGER_VERSION = " VERSION ";"},
        /* without a configuration its place stays as it is */
        {"JAEGER_CONFIG  = DEFAULT_CONFIG;", "JAEGER_CONFIG  = DEFAULT_CONFIG;"},
        {"// JAEGER_CONFIG_JS\nnext\nlast", "// JAEGER_CONFIG_JS\nnext\nlast"},
        /* no places */
        {"JAEGER_VERSION = DEFAULT_VERSION", "JAEGER_VERSION = DEFAULT_VERSION"},
        {"JAEGER_VERSION = DEFAULT_CONFIG;", "JAEGER_VERSION = DEFAULT_CONFIG;"},
        {"JAEGER_VERSION == DEFAULT_VERSION;", "JAEGER_VERSION == DEFAULT_VERSION;"},
        {"JAEGER_VERSIONS = DEFAULT_VERSION;", "JAEGER_VERSIONS = DEFAULT_VERSION;"},
        {"DEFAULT_VERSION = JAEGER_VERSION;", "DEFAULT_VERSION = JAEGER_VERSION;"},
        {"return JAEGER_VERSION;", "return JAEGER_VERSION;"},
        {"JAEGER_VERSION", "JAEGER_VERSION"},
        {"JAEGER_VERSION =", "JAEGER_VERSION ="},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        expect(rows[i].html, &plain, rows[i].want);
}

static void bases(void **state)
{
    static const struct {
        const char *html, *base, *want;
    } rows[] = {
        {"<html><head><title>", "/", "<html><head>" BASE "<title>"},
        {"<HTML><HEAD lang=\"en\">\n<title>", "/", "<HTML><HEAD lang=\"en\">" BASE "\n<title>"},
        {"<head><meta></head><head>", "/", "<head>" BASE "<meta></head><head>"},
        {"<head>", "/j/", "<head><base href=\"/j/\" data-inject-target=\"BASE_URL\" />"},
        {"<header><head>", "/", "<header><head>" BASE},
        {"<head", "/", "<head"},
        {"<body>", "/", "<body>"},
        /* up to 2.17 the page has one */
        {"<head><base href=\"/\" data-inject-target=\"BASE_URL\" />", "/", "<head>" BASE},
        {"<head>\n<base   href=\"/\"  data-inject-target=\"BASE_URL\"/>", "/a/b/",
         "<head>\n<base href=\"/a/b/\"  data-inject-target=\"BASE_URL\"/>"},
        /* from 2.18 a script makes it: no markup of its own */
        {"<head><script>'<base href=\"' + safe + '\" data-inject-target=\"BASE_URL\" />'</script>",
         "/",
         "<head>" BASE
         "<script>'<base href=\"' + safe + '\" data-inject-target=\"BASE_URL\" />'</script>"},
        {"<head><base href=\"/\">", "/", "<head>" BASE "<base href=\"/\">"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct page_values values = plain;
        values.base = str_of(rows[i].base);
        expect(rows[i].html, &values, rows[i].want);
    }
}

static void configurations(void **state)
{
    static const struct {
        const char *config, *want;
    } rows[] = {
        {"{}", "{}"},
        {"{\"a\":\"</script><!-- & >\"}",
         "{\"a\":\"\\u003c/script\\u003e\\u003c!-- \\u0026 \\u003e\"}"},
        {"{\"a\":\"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\"}",
         "{\"a\":\"\\u2028\\u2029\xe2\x80\xaa\xe2\x80\"}"},
        {"{\n  \"menu\": []\n}\n", "{\n  \"menu\": []\n}\n"},
    };
    char want[256];

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct page_values values = plain;
        values.config = str_of(rows[i].config);
        snprintf(want, sizeof want, "const JAEGER_CONFIG = %s; // JAEGER_CONFIG_JS\nnext",
                 rows[i].want);
        expect("const JAEGER_CONFIG = DEFAULT_CONFIG; // JAEGER_CONFIG_JS\nnext", &values, want);
    }
}

static void scripts(void **state)
{
    static const struct {
        const char *html, *want;
    } rows[] = {
        {"a\n  // JAEGER_CONFIG_JS\n  gone\nb", "a\n  function UIConfig(){}\nb"},
        {"// JAEGER_CONFIG_JS\n\nb", "function UIConfig(){}\nb"},
        {"// JAEGER_CONFIG_JS", "function UIConfig(){}\n"},
        {"// JAEGER_CONFIG_JS\ngone", "function UIConfig(){}\n"},
        {"// JAEGER_CONFIG_JS x\ngone\nJAEGER_CONFIG = DEFAULT_CONFIG;",
         "function UIConfig(){}\nJAEGER_CONFIG = DEFAULT_CONFIG;"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct page_values values = plain;
        values.script = STR("function UIConfig(){}");
        expect(rows[i].html, &values, rows[i].want);
    }
}

/* A configuration that nobody would ever see. */
static void no_place(void **state)
{
    static const struct {
        const char *html, *config, *script;
    } rows[] = {
        {"<head>", "{}", NULL},
        {"// JAEGER_CONFIG_JS\n\n", "{}", NULL},
        {"JAEGER_CONFIG = DEFAULT_CONFIG;", NULL, "function UIConfig(){}"},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct page_values values = plain;
        struct mg_why why;
        struct buf out;
        buf_init(&out, 4096);
        values.config = str_of(rows[i].config);
        values.script = str_of(rows[i].script);
        assert_int_equal(page_fill(str_of(rows[i].html), &values, &out, &why), MG_E_FORMAT);
        assert_non_null(strstr(why.text, "ui.config"));
        buf_fini(&out);
    }
}

static void a_version_cannot_end_the_script(void **state)
{
    struct page_values values = plain;

    (void)state;
    values.version = STR("</script>\"");
    values.has_metrics = true;
    values.has_archive = false;
    expect("JAEGER_VERSION = DEFAULT_VERSION;JAEGER_STORAGE_CAPABILITIES = "
           "DEFAULT_STORAGE_CAPABILITIES;",
           &values,
           "JAEGER_VERSION = {\"gitCommit\":\"\",\"gitVersion\":\"\\u003c/script\\u003e\\\"\","
           "\"buildDate\":\"\"};JAEGER_STORAGE_CAPABILITIES = "
           "{\"archiveStorage\":false,\"metricsStorage\":true};");
}

static void a_page_that_is_too_large(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 10);
    assert_int_equal(page_fill(STR("0123456789a"), &plain, &out, NULL), MG_E_TOO_BIG);
    buf_fini(&out);
}

/* --- what the operator wrote
 * -------------------------------------------------------------------------- */

static void config_texts(void **state)
{
    static const struct {
        const char *text;
        enum mg_err err;
    } rows[] = {
        {"{}", MG_OK},
        {" {\"a\": [1, {}]} \n", MG_OK},
        {"", MG_E_FORMAT},
        {"[]", MG_E_FORMAT},
        {"null", MG_E_FORMAT},
        {"{", MG_E_FORMAT},
        {"{} x", MG_E_FORMAT},
        {"{'a':1}", MG_E_FORMAT},
        {"{\"a\":1,\"a\":2}", MG_E_FORMAT},
        {"{\"a\":\"\xff\"}", MG_E_FORMAT},
        {"alert(1)", MG_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = {""};
        if (page_config_check(str_of(rows[i].text), &why) != rows[i].err)
            fail_msg("%s: %s", rows[i].text, why.text);
    }
}

static void script_texts(void **state)
{
    static const struct {
        const char *text;
        enum mg_err err;
    } rows[] = {
        {"function UIConfig() { return {}; }", MG_OK},
        {"const x = function () {};\nfunction\n UIConfig (){}", MG_OK},
        {"function UIConfig", MG_E_FORMAT},
        {"function UIConfigs(){}", MG_E_FORMAT},
        {"UIConfig = () => ({})", MG_E_FORMAT},
        {"", MG_E_FORMAT},
        {"function UIConfig(){} // </script>", MG_E_FORMAT},
        {"function UIConfig(){ '</SCRIPT' }", MG_E_FORMAT},
        {"function UIConfig(){} <!--", MG_E_FORMAT},
        {"function UIConfig(){ '<script' }", MG_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = {""};
        if (page_script_check(str_of(rows[i].text), &why) != rows[i].err)
            fail_msg("%s: %s", rows[i].text, why.text);
    }
}

static void base_paths(void **state)
{
    static const struct {
        const char *text, *base; /* NULL: refused */
    } rows[] = {
        {"", "/"},
        {"/", "/"},
        {"/jaeger", "/jaeger/"},
        {"/jaeger/", "/jaeger/"},
        {"/a/b-c_d.e~f", "/a/b-c_d.e~f/"},
        {"jaeger", NULL},
        {"//evil.example", NULL},
        {"/a//b", NULL},
        {"/a\"", NULL},
        {"/<x>", NULL},
        {"/a b", NULL},
        {"/a?b", NULL},
        {"/\xc3\xa4", NULL},
        {"/%41", NULL},
        {"http://x/", NULL},
    };
    struct arena arena = {0};

    (void)state;
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct mg_why why = {""};
        struct str base;
        enum mg_err err = page_base_check(str_of(rows[i].text), &arena, &base, &why);
        assert_int_equal(err, rows[i].base ? MG_OK : MG_E_FORMAT);
        if (!err)
            assert_true(str_eq(base, str_of(rows[i].base)));
    }
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments),
        cmocka_unit_test(bases),
        cmocka_unit_test(configurations),
        cmocka_unit_test(scripts),
        cmocka_unit_test(no_place),
        cmocka_unit_test(a_version_cannot_end_the_script),
        cmocka_unit_test(a_page_that_is_too_large),
        cmocka_unit_test(config_texts),
        cmocka_unit_test(script_texts),
        cmocka_unit_test(base_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
