/* What is read from a URL, what is none, and that no error repeats a word of one. */
#include "http/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/base/assert_str.h"

static void parts_are_read(void **state)
{
    static const struct {
        const char *url, *user_info, *authority, *host; /* user_info NULL: none */
        uint16_t port;
        const char *path, *query;
    } cases[] = {
        {"http://a", NULL, "a", "a", 80, "", ""},
        {"http://a:8080", NULL, "a:8080", "a", 8080, "", ""},
        {"http://a:", NULL, "a:", "a", 80, "", ""},
        {"http://a:1", NULL, "a:1", "a", 1, "", ""},
        {"http://a:65535/", NULL, "a:65535", "a", 65535, "/", ""},
        {"http://a:00080", NULL, "a:00080", "a", 80, "", ""},
        {"http://127.0.0.1:1/x/y?z", NULL, "127.0.0.1:1", "127.0.0.1", 1, "/x/y", "?z"},
        {"http://a?q", NULL, "a", "a", 80, "", "?q"},
        {"http://a#f", NULL, "a", "a", 80, "", "#f"},
        {"http://a/x#f?g", NULL, "a", "a", 80, "/x", "#f?g"},
        {"http://a/x?y#z", NULL, "a", "a", 80, "/x", "?y#z"},
        {"http://a//x/", NULL, "a", "a", 80, "//x/", ""},
        {"http://a/http://b:1", NULL, "a", "a", 80, "/http://b:1", ""},
        {"http://a/b%40c%00", NULL, "a", "a", 80, "/b%40c%00", ""},
        {"http://\xc3\xa4/\xff", NULL, "\xc3\xa4", "\xc3\xa4", 80, "/\xff", ""},
        {"https://a", NULL, "a", "a", 443, "", ""},
        {"https://A.example:8443/x", NULL, "A.example:8443", "A.example", 8443, "/x", ""},
        {"http://[::1]", NULL, "[::1]", "::1", 80, "", ""},
        {"http://[::1]:4318/v1", NULL, "[::1]:4318", "::1", 4318, "/v1", ""},
        {"https://[::1]", NULL, "[::1]", "::1", 443, "", ""},
        {"https://[::1]:", NULL, "[::1]:", "::1", 443, "", ""},
        {"http://[::ffff:10.0.0.1]:1", NULL, "[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, "", ""},
        {"http://[fe80::1%eth0]:1", NULL, "[fe80::1%eth0]:1", "fe80::1%eth0", 1, "", ""},
        {"http://u:p@a", "u:p", "a", "a", 80, "", ""},
        {"http://u@a:1/p", "u", "a:1", "a", 1, "/p", ""},
        {"http://:p@[::1]:1", ":p", "[::1]:1", "::1", 1, "", ""},
        {"http://@a", "", "a", "a", 80, "", ""},
        {"http://u:p@q@a", "u:p@q", "a", "a", 80, "", ""},
        {"http://a:1@b:2", "a:1", "b:2", "b", 2, "", ""},
        {"http://u:[p]@a", "u:[p]", "a", "a", 80, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct http_url url;
        struct mg_why why = {""};
        if (http_url_read(str_of(cases[i].url), &url, &why) != MG_OK)
            fail_msg("%s: %s", cases[i].url, why.text);
        assert_int_equal(url.is_tls, str_starts(str_of(cases[i].url), STR("https:")));
        assert_int_equal(url.user_info.ptr != NULL, cases[i].user_info != NULL);
        assert_str(url.user_info, cases[i].user_info ? cases[i].user_info : "");
        assert_str(url.authority, cases[i].authority);
        assert_str(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_str(url.path, cases[i].path);
        assert_str(url.query, cases[i].query);
    }
}

static void refuse(struct str text, const char *want)
{
    struct http_url url = {.port = 7};
    struct mg_why why = {""};

    if (http_url_read(text, &url, &why) != MG_E_FORMAT || !strstr(why.text, want))
        fail_msg("%.*s: '%s', not '%s'", STR_ARG(text), why.text, want);
    assert_int_equal(url.port, 7); /* nothing is written */
    assert_null(strstr(why.text, "SECRET"));
}

#define SCHEME  "it must begin with http:// or https://"
#define CONTROL "spaces and control characters"
#define HOST    "it names no host"
#define BRACKET "behind '['"
#define PORT    "the port must be a number from 1 to 65535"
#define AT      "'@' behind the host"

static void what_is_none_is_refused(void **state)
{
    static const struct {
        const char *url, *want;
    } cases[] = {
        {"", SCHEME},
        {"a", SCHEME},
        {"a:80", SCHEME},
        {"localhost:4318", SCHEME},
        {"//a", SCHEME},
        {"http", SCHEME},
        {"http:", SCHEME},
        {"http:/a", SCHEME},
        {"http:a", SCHEME},
        {"HTTP://a", SCHEME},
        {"Https://a", SCHEME},
        {"HTTPS://u:SECRET@a", SCHEME},
        {"httpss://a", SCHEME},
        {"ftp://SECRET@a", SCHEME},
        {" http://a", SCHEME},
        {"u:SECRET@a", SCHEME},
        {"http://", HOST},
        {"https://", HOST},
        {"http:///x", HOST},
        {"http://:80", HOST},
        {"http://:", HOST},
        {"http://?q", HOST},
        {"http://#f", HOST},
        {"http://u:SECRET@", HOST},
        {"http://u:SECRET@:80", HOST},
        {"http://u:SECRET@/x", HOST},
        {"http://[]", HOST},
        {"http://[]:80", HOST},
        {"http://::1", HOST},
        {"http://[", BRACKET},
        {"http://[::1", BRACKET},
        {"http://[::1/]", BRACKET},
        {"http://[::1]80", BRACKET},
        {"http://[::1]x", BRACKET},
        {"http://[::1]]", BRACKET},
        {"http://[[::1]]:80", BRACKET},
        {"https://u:SECRET@[a", BRACKET},
        {"http://a:0", PORT},
        {"http://a:00", PORT},
        {"http://a:65536", PORT},
        {"http://a:4294967376", PORT},
        {"http://a:18446744073709551696", PORT},
        {"http://a:+80", PORT},
        {"http://a:-80", PORT},
        {"http://a:8x", PORT},
        {"http://a:0x50", PORT},
        {"http://a:%38", PORT},
        {"http://a:80:80", PORT},
        {"http://[::1]:0", PORT},
        {"http://[::1]::80", PORT},
        {"http://fe80::1", PORT},
        {"http://u:SECRET@a:port", PORT},
        {"http://a b", CONTROL},
        {"http://a/x y", CONTROL},
        {"http://a/x\ty", CONTROL},
        {"http://a/x\r\ny", CONTROL},
        {"http://a\n", CONTROL},
        {"http://a\x7f", CONTROL},
        {"http://a:80 ", CONTROL},
        {"http://u:SECRET @a", CONTROL},
        {"http://u:SECRET@a b", CONTROL},
        {"http://u:SECRET/x@a", AT},
        {"http://u:12/SECRET@a", AT},
        {"http://u:SECRET?@a", AT},
        {"http://u:SECRET#@a", AT},
        {"http://u:SECRET@a/x@y", AT},
        {"http://a/@", AT},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++)
        refuse(str_of(cases[i].url), cases[i].want);
}

/* In memory of its own, so that a sanitizer sees who reads beyond. */
static enum mg_err read_copy(struct str text)
{
    char *copy = mem_copy(text.ptr, text.len);
    struct http_url url;
    struct mg_why why = {""};
    enum mg_err err = http_url_read(str_n(copy, text.len), &url, &why);

    assert_int_equal(why.text[0] != '\0', err != MG_OK);
    assert_null(strstr(why.text, "SECRET"));
    mem_free(copy);
    return err;
}

static void every_byte_is_met_at_every_place(void **state)
{
    char text[] = "https://u:SECRET@[fe80::1%e0]:80/p?q#f";
    size_t len = strlen(text);

    (void)state;
    assert_int_equal(read_copy(str_n(text, len)), MG_OK);
    for (size_t at = 0; at < len; at++) {
        char was = text[at];
        for (int byte = 0; byte < 256; byte++) {
            text[at] = (char)byte;
            enum mg_err err = read_copy(str_n(text, len));
            if (byte <= ' ' || byte == 0x7f)
                assert_int_equal(err, MG_E_FORMAT);
        }
        text[at] = was;
        (void)read_copy(str_n(text, at)); /* cut there, it may be one or none */
    }
    assert_int_equal(read_copy(str_n(text, len + 1)), MG_E_FORMAT); /* the NUL behind it */
}

static void length_does_not_matter(void **state)
{
    enum { LONG = 1 << 20 };
    static const char *const before[] = {"http://", "http://a/", "http://a?",
                                         "http://u:", "http://["};
    static const char *const behind[] = {"", "", "", "@a", "]:80"};
    char *text = mem_alloc(LONG + 32);

    (void)state;
    for (size_t i = 0; i < MG_COUNT(before); i++) {
        struct http_url url;
        size_t n = strlen(before[i]), m = strlen(behind[i]);
        memcpy(text, before[i], n);
        memset(text + n, '1', LONG);
        memcpy(text + n + LONG, behind[i], m);
        assert_int_equal(http_url_read(str_n(text, n + LONG + m), &url, NULL), MG_OK);
        assert_int_equal(url.user_info.len + url.host.len + url.path.len + url.query.len,
                         n + LONG + m - strlen("http://") - (i == 3 ? 1 : 0) - (i == 4 ? 5 : 0));
    }
    memcpy(text, "http://a:", 9);
    memset(text + 9, '1', LONG);
    refuse(str_n(text, 9 + LONG), PORT);
    mem_free(text);
}

static void a_host_alone_is_read(void **state)
{
    static const struct {
        const char *text;
        uint16_t usual;
        const char *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"a:1", 0, "a", 1},
        {"a", 7, "a", 7},
        {"[::1]:65535", 0, "::1", 65535},
        {"[::1]", 7, "::1", 7},
        {"0.0.0.0:1", 0, "0.0.0.0", 1},
        {"a", 0, NULL, 0},
        {"a:", 0, NULL, 0},
        {"a:0", 0, NULL, 0},
        {"a:0", 7, NULL, 0},
        {"[::1]", 0, NULL, 0},
        {"[::1", 7, NULL, 0},
        {":1", 7, NULL, 0},
        {"", 7, NULL, 0},
        {NULL, 7, NULL, 0},
        {"::1", 7, NULL, 0},
        {"a:65536", 7, NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        struct str host = STR("untouched");
        uint16_t port = 9;
        enum mg_err err = http_host_read(str_of(cases[i].text), cases[i].usual, &host, &port, NULL);
        assert_int_equal(err, cases[i].host ? MG_OK : MG_E_FORMAT);
        assert_str(host, cases[i].host ? cases[i].host : "untouched");
        assert_int_equal(port, cases[i].host ? cases[i].port : 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(every_byte_is_met_at_every_place),
        cmocka_unit_test(length_does_not_matter),
        cmocka_unit_test(a_host_alone_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
