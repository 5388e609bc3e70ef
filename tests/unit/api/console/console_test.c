/* console_test.c - the console through a real server: what a browser gets, and what a page under
 * its policy may hold. */
#include "api/console/console.h"
#include "api/console/page.h"
#include "codec/zip.h"
#include "wire.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>
#include <cmocka.h>
#include "unit/base/assert_str.h"

#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static int setup(void **state)
{
    struct wire *wire = test_malloc(sizeof *wire);

    wire_init(wire);
    wire->options.routes = console_routes(&wire->options.n_routes);
    wire_start(wire);
    *state = wire;
    return 0;
}

static int teardown(void **state)
{
    struct wire *wire = *state;

    wire_fini(wire);
    test_free(wire);
    return 0;
}

static const struct console_file *file_named(const char *name)
{
    for (size_t i = 0; i < console_files_n; i++) {
        if (str_eq(console_files[i].name, str_of(name)))
            return &console_files[i];
    }
    fail_msg("there is no %s", name);
    return NULL;
}

static const char *type_for(struct str name)
{
    static const struct {
        const char *suffix, *type;
    } rows[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"}, /* a module of another type is not run */
        {".svg", "image/svg+xml"},
    };

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (str_ends(name, str_of(rows[i].suffix)))
            return rows[i].type;
    }
    fail_msg("%.*s is of no known kind", STR_ARG(name));
    return NULL;
}

/* --- routes ----------------------------------------------------------------------------------- */
static void other_places_lead_to_the_page(void **state)
{
    static const char *const places[] = {"/", "/console"};

    for (size_t i = 0; i < MG_COUNT(places); i++) {
        struct reply answer = wire_ask(*state, "GET", places[i], "");
        assert_int_equal(answer.status, 302);
        assert_str(reply_header(&answer, "location"), "/console/");
        assert_int_equal(answer.body.len, 0);
    }
}

static void the_folder_is_the_page(void **state)
{
    struct reply answer = wire_ask(*state, "GET", "/console/", "");

    assert_int_equal(answer.status, 200);
    assert_str(reply_header(&answer, "content-type"), "text/html; charset=utf-8");
    assert_true(str_eq(answer.body, file_named("index.html")->bytes));
}

static void every_file_is_reachable_with_its_type_and_the_policy(void **state)
{
    assert_true(console_files_n > 3);
    for (size_t i = 0; i < console_files_n; i++) {
        const struct console_file *file = &console_files[i];
        char path[256];
        snprintf(path, sizeof path, "/console/%.*s", STR_ARG(file->name));
        struct reply answer = wire_ask(*state, "GET", path, "");
        assert_int_equal(answer.status, 200);
        assert_true(str_eq(answer.body, file->bytes));
        assert_str(reply_header(&answer, "content-type"), type_for(file->name));
        assert_str(reply_header(&answer, "content-security-policy"), POLICY);
        assert_str(reply_header(&answer, "x-content-type-options"), "nosniff");
        assert_str(reply_header(&answer, "referrer-policy"), "no-referrer");
        assert_str(reply_header(&answer, "cache-control"), "no-cache");
        assert_true(str_eq(reply_header(&answer, "etag"), file->etag));
    }
}

static void files_leave_as_they_were_packed_at_build_time(void **state)
{
    struct zip *zip = zip_new();
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    for (size_t i = 0; i < console_files_n; i++) {
        const struct console_file *file = &console_files[i];
        char path[256], weak[64];
        snprintf(path, sizeof path, "/console/%.*s", STR_ARG(file->name));
        snprintf(weak, sizeof weak, "W/%.*s", STR_ARG(file->etag));
        struct reply answer = wire_ask(*state, "GET", path, "Accept-Encoding: gzip\r\n");
        assert_int_equal(answer.status, 200);
        assert_int_equal(file->gzip.len > 0, file->bytes.len >= 1024);
        assert_true(str_eq(answer.body, file->gzip.len ? file->gzip : file->bytes));
        assert_str(reply_header(&answer, "content-encoding"), file->gzip.len ? "gzip" : "");
        assert_true(str_eq(reply_header(&answer, "etag"), file->gzip.len ? str_of(weak) : file->etag));
        if (!file->gzip.len)
            continue;
        assert_true(file->gzip.len < file->bytes.len);
        assert_int_equal(zip_inflate(zip, ZIP_GZIP, file->gzip, 1 << 20, &bytes, NULL), MG_OK);
        assert_true(str_eq(buf_str(&bytes), file->bytes));
    }
    buf_fini(&bytes);
    zip_free(&zip);
}

static void what_is_not_there_is_absent(void **state)
{
    static const char *const paths[] = {
        "/console/none.js",
        "/console/index.htm",
        "/console/index.html/",
        "/console/INDEX.HTML",
        "/console/a",
        "/console/zzz",
        "/console/index.html%00",
        "/console/..",
        "/console/../main.js",
        "/console/%2e%2e/main.js",
        "/console//index.html",
        "/console/page/index.html",
        "/consolex",
        "/index.html",
    };

    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        struct reply answer = wire_ask(*state, "GET", paths[i], "");
        /* A NUL in a parameter is the server's own refusal. */
        if (answer.status != 404 && !(answer.status == 400 && strstr(paths[i], "%00")))
            fail_msg("%s: %d", paths[i], answer.status);
    }
}

static void only_reading_is_a_method(void **state)
{
    struct reply head = wire_ask(*state, "HEAD", "/console/main.js", "");

    assert_int_equal(head.status, 200);
    assert_int_equal(head.body.len, 0);
    assert_str(reply_header(&head, "content-type"), "text/javascript; charset=utf-8");
    static const char *const methods[] = {"POST", "PUT", "DELETE"};
    for (size_t i = 0; i < MG_COUNT(methods); i++) {
        struct reply answer =
            wire_ask(*state, methods[i], "/console/main.js", "Content-Length: 0\r\n");
        assert_int_equal(answer.status, 405);
        assert_str(reply_header(&answer, "allow"), "GET, HEAD");
    }
}

/* --- If-None-Match ---------------------------------------------------------------------------- */
static void a_known_tag_is_answered_without_the_file(void **state)
{
    static const struct {
        const char *format;
        int want;
    } rows[] = {
        /* %s: the tag with its quotes */
        {"%s", 304},  {"W/%s", 304},      {"\"other\", %s", 304}, {"  %s ,\"other\"", 304},
        {"*", 304},   {"\"other\"", 200}, {"\"\"", 200},          {",,", 200},
        {"x%s", 200}, {"W/ %s", 200},     {"%sx", 200},
    };
    const struct console_file *file = file_named("console.css");
    char tag[64], value[160], line[256];

    snprintf(tag, sizeof tag, "%.*s", STR_ARG(file->etag));
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const char *mark = strstr(rows[i].format, "%s");
        if (mark)
            snprintf(value, sizeof value, "%.*s%s%s", (int)(mark - rows[i].format), rows[i].format,
                     tag, mark + 2);
        else
            snprintf(value, sizeof value, "%s", rows[i].format);
        snprintf(line, sizeof line, "If-None-Match: %s\r\n", value);
        struct reply answer = wire_ask(*state, "GET", "/console/console.css", line);
        if (answer.status != rows[i].want)
            fail_msg("%s: %d", value, answer.status);
        assert_true(str_eq(reply_header(&answer, "etag"), file->etag));
        assert_int_equal(answer.body.len, rows[i].want == 304 ? 0 : file->bytes.len);
        assert_str(reply_header(&answer, "cache-control"), "no-cache");
    }
}

static void tags_differ_from_file_to_file_and_are_strong(void **state)
{
    (void)state;
    for (size_t i = 0; i < console_files_n; i++) {
        struct str etag = console_files[i].etag;
        assert_true(etag.len > 10 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"');
        for (size_t j = i + 1; j < console_files_n; j++) {
            assert_false(str_eq(etag, console_files[j].etag));
            assert_true(str_cmp(console_files[i].name, console_files[j].name) < 0);
        }
    }
}

/* --- what the policy would refuse, or what would let data become markup ----------------------- */
static bool holds_nocase(struct str text, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= text.len; i++) {
        if (strncasecmp(text.ptr + i, word, len) == 0)
            return true;
    }
    return false;
}

static void assert_without(const struct console_file *file, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (holds_nocase(file->bytes, words[i]))
            fail_msg("%.*s holds '%s'", STR_ARG(file->name), words[i]);
    }
}

/* An attribute that begins with "on", as in onclick="…". */
static bool has_inline_handler(struct str text)
{
    for (size_t i = 0; i + 3 < text.len; i++) {
        if ((text.ptr[i] != ' ' && text.ptr[i] != '\n') ||
            strncasecmp(text.ptr + i + 1, "on", 2) != 0)
            continue;
        size_t at = i + 3;
        while (at < text.len && ((text.ptr[at] | 0x20) >= 'a' && (text.ptr[at] | 0x20) <= 'z'))
            at++;
        if (at < text.len && text.ptr[at] == '=')
            return true;
    }
    return false;
}

static void the_markup_has_nothing_inline(void **state)
{
    static const char *const words[] = {
        "<style", " style=", "javascript:", "http://", "https://", "<base"};
    const struct console_file *file = file_named("index.html");
    struct str rest = file->bytes, tag;

    (void)state;
    assert_without(file, words, MG_COUNT(words));
    assert_false(has_inline_handler(file->bytes));
    assert_true(has_inline_handler(STR("<p onclick=\"f()\">")));
    assert_false(has_inline_handler(STR("<p one two=\"f()\">")));
    /* Every script has an address and nothing between its tags. */
    unsigned n_scripts = 0;
    while (str_cut(&rest, '<', &tag)) {
        if (!str_starts(tag, STR("script")))
            continue;
        n_scripts++;
        assert_true(holds_nocase(tag, " src=\""));
        assert_true(str_ends(str_trim(tag), STR(">")));
    }
    assert_int_equal(n_scripts, 1);
}

static void the_scripts_never_turn_text_into_markup_or_code(void **state)
{
    static const char *const words[] = {
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "setAttribute('style'",
        "DOMParser",
        "createContextualFragment",
        "localStorage",
        "https://",
    };

    (void)state;
    for (size_t i = 0; i < console_files_n; i++) {
        if (str_ends(console_files[i].name, STR(".js")))
            assert_without(&console_files[i], words, MG_COUNT(words));
    }
}

/* The name in from './name' or src="name"; what is imported must have been compiled in. */
static void check_references(const struct console_file *file, const char *before, char after)
{
    struct str rest = file->bytes, name, behind;
    size_t at;

    while (str_find(rest, str_of(before), &at)) {
        rest = str_n(rest.ptr + at + strlen(before), rest.len - at - strlen(before));
        if (!str_split_at(rest, after, &name, &behind) || name.len > 64 ||
            (name.len && name.ptr[0] == '#'))
            continue;
        char text[65];
        snprintf(text, sizeof text, "%.*s", STR_ARG(name));
        (void)file_named(text);
    }
}

static void what_a_file_names_is_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < console_files_n; i++) {
        const struct console_file *file = &console_files[i];
        if (str_ends(file->name, STR(".js")))
            check_references(file, "from './", '\'');
        if (!str_ends(file->name, STR(".html")))
            continue;
        check_references(file, "src=\"", '"');
        check_references(file, "href=\"", '"');
    }
}

int main(void)
{
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SERVED(other_places_lead_to_the_page),
        SERVED(the_folder_is_the_page),
        SERVED(every_file_is_reachable_with_its_type_and_the_policy),
        SERVED(files_leave_as_they_were_packed_at_build_time),
        SERVED(what_is_not_there_is_absent),
        SERVED(only_reading_is_a_method),
        SERVED(a_known_tag_is_answered_without_the_file),
        cmocka_unit_test(tags_differ_from_file_to_file_and_are_strong),
        cmocka_unit_test(the_markup_has_nothing_inline),
        cmocka_unit_test(the_scripts_never_turn_text_into_markup_or_code),
        cmocka_unit_test(what_a_file_names_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
