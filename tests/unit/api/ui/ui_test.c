/* A small UI of our own through a real server: what a browser gets. */
#include "folder.h"
#include "wire.h"
#include "api/ui/ui.h"
#include "unit/base/assert_str.h"

#define PAGE                                                                                       \
    "<html><head></head><script>\n// JAEGER_CONFIG_JS\n\n"                                         \
    "const JAEGER_CONFIG = DEFAULT_CONFIG;\nconst JAEGER_VERSION = DEFAULT_VERSION;</script>"
#define SCRIPT "console.log('ui')"

struct scene {
    struct folder folder;
    struct ui_conf conf;
    struct ui *ui; /* what the routes look at */
    struct wire *wire;
    struct http_route routes[8];
};

static void on_elsewhere(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond(request, 200, "text/plain", STR("elsewhere"));
}

static void put_routes(struct scene *scene)
{
    static const struct http_route others[] = {
        {.method = "GET", .path = "/api/traces/{id}", .on_request = on_elsewhere},
        {.method = "GET", .path = "/console/*", .on_request = on_elsewhere},
    };
    size_t n;
    const struct http_route *routes = ui_routes(&n);

    assert_true(n + MG_COUNT(others) <= MG_COUNT(scene->routes));
    for (size_t i = 0; i < n; i++) {
        scene->routes[i] = routes[i];
        scene->routes[i].owner = &scene->ui;
    }
    memcpy(scene->routes + n, others, sizeof others);
    scene->wire->options.routes = scene->routes;
    scene->wire->options.n_routes = n + MG_COUNT(others);
}

static int setup(void **state)
{
    struct scene *scene = test_calloc(1, sizeof *scene);

    folder_init(&scene->folder);
    folder_put(&scene->folder, "index.html", STR(PAGE));
    folder_put(&scene->folder, "robots.txt", STR("not to be seen"));
    folder_dir(&scene->folder, "static");
    folder_put(&scene->folder, "static/index-Ab3dE6gH.js", STR(SCRIPT));
    folder_put(&scene->folder, "static/favicon.ico", STR("icon"));
    folder_dir(&scene->folder, "static/js");
    folder_put(&scene->folder, "static/js/a b.css", STR("css"));
    scene->conf =
        (struct ui_conf){.dir = str_of(scene->folder.path), .base = STR("/"), .bytes_max = 1 << 20};
    scene->wire = test_malloc(sizeof *scene->wire);
    wire_init(scene->wire);
    put_routes(scene);
    wire_start(scene->wire);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;

    wire_fini(scene->wire);
    ui_free(&scene->ui);
    folder_fini(&scene->folder);
    test_free(scene->wire);
    test_free(scene);
    return 0;
}

static enum mg_err open_ui(struct scene *scene, struct mg_why *why)
{
    struct ui_options options = {.conf = &scene->conf, .version = "9.8", .has_archive = true};

    ui_free(&scene->ui);
    return ui_open(&scene->ui, &options, why);
}

static void must_open(struct scene *scene)
{
    struct mg_why why = {""};

    if (open_ui(scene, &why) != MG_OK)
        fail_msg("%s", why.text);
}

static struct reply ask(struct scene *scene, const char *method, const char *path, const char *more)
{
    return wire_ask(scene->wire, method, path, more);
}

static bool has(struct str text, const char *part)
{
    size_t at;

    return str_find(text, str_of(part), &at);
}

/* --- what is served
 * ----------------------------------------------------------------------------------- */

static void the_page_is_everywhere(void **state)
{
    static const char *const paths[] = {
        "/",
        "/search",
        "/search?service=a&start=1",
        "/trace/0102030405060708090a0b0c0d0e0f10",
        "/trace/a...b",
        "/trace/AQID%2BBAU%2FBgcI%3D",
        "/dependencies",
        "/deep-dependencies",
        "/quality-metrics",
        "/monitor",
        "/robots.txt",
        "/index.html",
        "/a/b/c",
        "/..",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/apis",
        "/statics/x",
        "/console",
    };

    must_open(*state);
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        struct reply answer = ask(*state, "GET", paths[i], "");
        if (answer.status != 200)
            fail_msg("%s: %d", paths[i], answer.status);
        assert_str(reply_header(&answer, "content-type"), "text/html; charset=utf-8");
        assert_str(reply_header(&answer, "cache-control"), "no-cache");
        assert_str(
            answer.body,
            "<html><head><base href=\"/\" data-inject-target=\"BASE_URL\" /></head><script>\n"
            "// JAEGER_CONFIG_JS\n\nconst JAEGER_CONFIG = DEFAULT_CONFIG;\n"
            "const JAEGER_VERSION = {\"gitCommit\":\"\",\"gitVersion\":\"9.8\","
            "\"buildDate\":\"\"};</script>");
    }
}

static void files_of_static(void **state)
{
    static const struct {
        const char *path, *type, *cache, *body;
    } rows[] = {
        {"/static/index-Ab3dE6gH.js", "text/javascript; charset=utf-8",
         "public, max-age=31536000, immutable", SCRIPT},
        {"/static/favicon.ico", "image/x-icon", "no-cache", "icon"},
        {"/static/js/a%20b.css", "text/css; charset=utf-8", "no-cache", "css"},
        {"/static/js%2Fa%20b.css", "text/css; charset=utf-8", "no-cache", "css"},
        {"/static/favicon.ico?v=1", "image/x-icon", "no-cache", "icon"},
    };

    must_open(*state);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct reply answer = ask(*state, "GET", rows[i].path, "");
        assert_int_equal(answer.status, 200);
        assert_str(reply_header(&answer, "content-type"), rows[i].type);
        assert_str(reply_header(&answer, "cache-control"), rows[i].cache);
        assert_str(reply_header(&answer, "x-content-type-options"), "nosniff");
        assert_str(answer.body, rows[i].body);
    }
}

static void what_is_not_there(void **state)
{
    static const char *const paths[] = {
        "/static",
        "/static/",
        "/static/none.js",
        "/static/js",
        "/static/js/",
        "/static/../index.html",
        "/static/..%2findex.html",
        "/static/%2e%2e/robots.txt",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/.",
        "/static/favicon.ico%00.js",
        "/static/favicon.ico/",
        "/static/FAVICON.ICO",
        "/api",
        "/api/",
        "/api/unknown",
        "/api/traces",
        "/api/v3/dependencies",
        "/api/../search",
    };

    must_open(*state);
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        struct reply answer = ask(*state, "GET", paths[i], "");
        if (strstr(paths[i], "%00")) { /* the server's own refusal */
            assert_int_equal(answer.status, 400);
            continue;
        }
        if (answer.status != 404)
            fail_msg("%s: %d", paths[i], answer.status);
        assert_str(answer.body, "404 page not found\n");
        assert_true(str_starts(reply_header(&answer, "content-type"), STR("text/plain")));
    }
}

static void other_routes_win(void **state)
{
    static const char *const paths[] = {"/api/traces/1", "/console/", "/console/x"};

    must_open(*state);
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        struct reply answer = ask(*state, "GET", paths[i], "");
        assert_str(answer.body, "elsewhere");
    }
}

static void methods(void **state)
{
    must_open(*state);
    struct reply answer = ask(*state, "HEAD", "/search", "");
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, 0);
    answer = ask(*state, "HEAD", "/static/favicon.ico", "");
    assert_int_equal(answer.status, 200);
    assert_str(reply_header(&answer, "content-length"), "4");
    static const char *const paths[] = {"/", "/search", "/static/favicon.ico"};
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        answer = ask(*state, "POST", paths[i], "Content-Length: 0\r\n");
        assert_int_equal(answer.status, 405);
    }
}

static void known_files_are_not_sent_again(void **state)
{
    static const char *const paths[] = {"/", "/trace/1", "/static/favicon.ico",
                                        "/static/index-Ab3dE6gH.js"};
    char line[128];

    must_open(*state);
    for (size_t i = 0; i < MG_COUNT(paths); i++) {
        struct reply answer = ask(*state, "GET", paths[i], "");
        snprintf(line, sizeof line, "If-None-Match: %.*s\r\n",
                 STR_ARG(reply_header(&answer, "etag")));
        answer = ask(*state, "GET", paths[i], line);
        assert_int_equal(answer.status, 304);
        assert_int_equal(answer.body.len, 0);
        assert_true(reply_header(&answer, "cache-control").len > 0);
        answer = ask(*state, "GET", paths[i], "If-None-Match: \"other\"\r\n");
        assert_int_equal(answer.status, 200);
    }
}

/* Packed when it was opened; the page as well, which is below the size that pays here. */
static void files_leave_packed(void **state)
{
    struct scene *scene = *state;
    char script[8192], line[160];

    memset(script, 'x', sizeof script);
    folder_put(&scene->folder, "static/large.js", str_n(script, sizeof script));
    folder_put(&scene->folder, "static/large.png", str_n(script, sizeof script));
    must_open(scene);
    struct reply plain = ask(scene, "GET", "/static/large.js", "");
    assert_true(str_eq(plain.body, str_n(script, sizeof script)));
    assert_str(reply_header(&plain, "vary"), "Accept-Encoding");
    snprintf(line, sizeof line, "Accept-Encoding: gzip\r\nIf-None-Match: W/%.*s\r\n",
             STR_ARG(reply_header(&plain, "etag")));
    struct reply packed = ask(scene, "GET", "/static/large.js", "Accept-Encoding: gzip\r\n");
    assert_str(reply_header(&packed, "content-encoding"), "gzip");
    assert_str(reply_header(&packed, "vary"), "Accept-Encoding");
    assert_str(reply_header(&packed, "cache-control"), "no-cache");
    assert_true(str_starts(reply_header(&packed, "etag"), STR("W/\"")));
    assert_true(packed.body.len < sizeof script / 2);
    assert_int_equal(ask(scene, "GET", "/static/large.js", line).status, 304);
    static const char *const as_they_are[] = {"/", "/static/large.png", "/static/favicon.ico"};
    for (size_t i = 0; i < MG_COUNT(as_they_are); i++) {
        struct reply answer = ask(scene, "GET", as_they_are[i], "Accept-Encoding: gzip\r\n");
        assert_int_equal(reply_header(&answer, "content-encoding").len, 0);
    }
}

static void without_a_ui(void **state)
{
    static const char *const absent[] = {"/search", "/static/favicon.ico", "/trace/1", "/api/x"};
    struct reply answer = ask(*state, "GET", "/", "");

    assert_int_equal(answer.status, 302);
    assert_str(reply_header(&answer, "location"), "/console/");
    for (size_t i = 0; i < MG_COUNT(absent); i++) {
        answer = ask(*state, "GET", absent[i], "");
        assert_int_equal(answer.status, 404);
    }
    /* A reload exchanges what the owner points to. */
    must_open(*state);
    answer = ask(*state, "GET", "/", "");
    assert_int_equal(answer.status, 200);
    ui_free(&((struct scene *)*state)->ui);
    answer = ask(*state, "GET", "/", "");
    assert_int_equal(answer.status, 302);
}

/* --- configuration
 * ------------------------------------------------------------------------------------ */

static void a_configuration(void **state)
{
    struct scene *scene = *state;
    char path[256];

    folder_put(&scene->folder, "ui.json", STR("{\"menu\": [\"</script>\"]}"));
    snprintf(path, sizeof path, "%s", folder_at(&scene->folder, "ui.json"));
    scene->conf.config = str_of(path);
    must_open(scene);
    struct reply answer = ask(scene, "GET", "/", "");
    assert_true(has(answer.body, "JAEGER_CONFIG = {\"menu\": [\"\\u003c/script\\u003e\"]};"));
    folder_put(&scene->folder, "ui.js", STR("function UIConfig() { return { a: 1 }; }"));
    snprintf(path, sizeof path, "%s", folder_at(&scene->folder, "ui.js"));
    scene->conf.config = str_of(path);
    must_open(scene);
    answer = ask(scene, "GET", "/", "");
    assert_true(
        has(answer.body, "<script>\nfunction UIConfig() { return { a: 1 }; }\nconst JAEGER"));
}

static void a_base_path(void **state)
{
    struct scene *scene = *state;

    scene->conf.base = STR("/jaeger");
    must_open(scene);
    struct reply answer = ask(scene, "GET", "/trace/1", "");
    assert_true(has(answer.body, "<head><base href=\"/jaeger/\" "));
}

/* --- what cannot be opened
 * ---------------------------------------------------------------------------- */

static void refused(struct scene *scene, enum mg_err err, const char *part)
{
    struct mg_why why = {""};

    assert_int_equal(open_ui(scene, &why), err);
    assert_null(scene->ui);
    if (!strstr(why.text, part) || !strstr(why.text, "ui.dir"))
        fail_msg("'%s' does not say '%s'", why.text, part);
}

static void directories_that_are_no_ui(void **state)
{
    struct scene *scene = *state;
    char path[256];

    snprintf(path, sizeof path, "%s/none", scene->folder.path);
    scene->conf.dir = str_of(path);
    refused(scene, MG_E_ABSENT, "there is no file");
    scene->conf.dir = str_of(scene->folder.path);
    assert_int_equal(unlink(folder_at(&scene->folder, "index.html")), 0);
    refused(scene, MG_E_ABSENT, "index.html");
    assert_int_equal(symlink("robots.txt", folder_at(&scene->folder, "index.html")), 0);
    refused(scene, MG_E_FORMAT, "is a link");
    assert_int_equal(unlink(folder_at(&scene->folder, "index.html")), 0);
    folder_put(&scene->folder, "index.html", STR(PAGE));
    assert_int_equal(rename(folder_at(&scene->folder, "static"), path), 0);
    refused(scene, MG_E_ABSENT, "static");
}

static void limits(void **state)
{
    struct scene *scene = *state;
    uint64_t bytes = strlen(PAGE) + strlen(SCRIPT) + 4 + 3;

    scene->conf.bytes_max = bytes;
    must_open(scene);
    scene->conf.bytes_max = bytes - 1;
    refused(scene, MG_E_TOO_BIG, "ui.bytes_max");
    scene->conf.bytes_max = 1;
    refused(scene, MG_E_TOO_BIG, "ui.bytes_max");
}

static void configurations_that_are_none(void **state)
{
    static const struct {
        const char *name, *text, *part;
        enum mg_err err;
    } rows[] = {
        {"bad.json", "{", "ui.config", MG_E_FORMAT},
        {"list.json", "[]", "a JSON object", MG_E_FORMAT},
        {"bad.js", "UIConfig = 1", "function UIConfig", MG_E_FORMAT},
        {"none.json", NULL, "there is no file", MG_E_ABSENT},
    };
    struct scene *scene = *state;
    char path[256];

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        if (rows[i].text)
            folder_put(&scene->folder, rows[i].name, str_of(rows[i].text));
        snprintf(path, sizeof path, "%s", folder_at(&scene->folder, rows[i].name));
        scene->conf.config = str_of(path);
        refused(scene, rows[i].err, rows[i].part);
    }
    scene->conf.config = STR("");
    scene->conf.base = STR("jaeger");
    refused(scene, MG_E_FORMAT, "ui.base_path");
}

int main(void)
{
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        SERVED(the_page_is_everywhere),
        SERVED(files_of_static),
        SERVED(what_is_not_there),
        SERVED(other_routes_win),
        SERVED(methods),
        SERVED(known_files_are_not_sent_again),
        SERVED(files_leave_packed),
        SERVED(without_a_ui),
        SERVED(a_configuration),
        SERVED(a_base_path),
        SERVED(directories_that_are_no_ui),
        SERVED(limits),
        SERVED(configurations_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
