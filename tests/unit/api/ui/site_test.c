#include "folder.h"
#include <sys/socket.h>
#include <sys/un.h>
#include "api/ui/site.h"

static int setup(void **state)
{
    struct folder *folder = test_malloc(sizeof *folder);

    folder_init(folder);
    folder_dir(folder, "static");
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    folder_fini(*state);
    test_free(*state);
    return 0;
}

static enum mg_err load(struct folder *folder, uint64_t bytes_max, struct site *site,
                        struct mg_why *why)
{
    return site_load(site, folder->path, "static", bytes_max, why);
}

static void refused(struct folder *folder, enum mg_err err, const char *part)
{
    struct site site;
    struct mg_why why = {""};

    assert_int_equal(load(folder, 1 << 20, &site, &why), err);
    if (!strstr(why.text, part))
        fail_msg("'%s' does not say '%s'", why.text, part);
    assert_int_equal(site.n, 0);
    site_fini(&site);
}

static void what_lies_below_is_found(void **state)
{
    struct folder *folder = *state;
    struct site site;
    struct mg_why why;

    folder_put(folder, "index.html", STR("page"));
    folder_put(folder, "static/a.js", STR("alpha"));
    folder_put(folder, "static/empty.css", STR(""));
    folder_dir(folder, "static/deep");
    folder_dir(folder, "static/deep/er");
    folder_put(folder, "static/deep/er/b c.svg", str_n("\0\xff<svg>", 7));
    assert_int_equal(load(folder, 1 << 20, &site, &why), MG_OK);
    assert_int_equal(site.n, 3);
    assert_int_equal(site.bytes, 12);
    const struct site_file *file = site_find(&site, STR("deep/er/b c.svg"));
    assert_non_null(file);
    assert_true(str_eq(file->bytes, str_n("\0\xff<svg>", 7)));
    assert_string_equal(file->type, "image/svg+xml");
    assert_non_null(site_find(&site, STR("a.js")));
    assert_int_equal(site_find(&site, STR("empty.css"))->bytes.len, 0);
    static const char *const absent[] = {
        "",       "index.html",     "../index.html", "deep",          "deep/", "/a.js",
        "./a.js", "deep/../a.js",   "A.js",          "a.js/",         "a.js ", "er/b c.svg",
        "..",     "../static/a.js", "deep/er",       "/etc/hostname", "a",     "a.jsx",
    };
    for (size_t i = 0; i < MG_COUNT(absent); i++)
        assert_null(site_find(&site, str_of(absent[i])));
    assert_null(site_find(&site, STR("a.js\0")));
    site_fini(&site);
}

static void types_and_caching(void **state)
{
    static const struct {
        const char *name, *type;
        bool for_ever;
    } rows[] = {
        {"index-Ab3dE6gH.js", "text/javascript; charset=utf-8", true},
        {"index-A-3_E6gH.js", "text/javascript; charset=utf-8", true},
        {"index-Ab3dE6gH.js.map", "application/json", false},
        {"main.0a1b2c3d.css", "text/css; charset=utf-8", true},
        {"main.0a1b2c3d4e5f60718293.css", "text/css; charset=utf-8", true},
        {"main.0a1b2c3.css", "text/css; charset=utf-8", false},
        {"main.deadbeef.css", "text/css; charset=utf-8", false}, /* might be a word */
        {"jaeger-licenses.png", "image/png", false},
        {"jaeger-version2.png", "image/png", false},
        {"Ab3dE6gH.png", "image/png", false},
        {"-Ab3dE6gH", "application/octet-stream", false},
        {"x-Ab3dE6gH.woff2", "font/woff2", true},
        {"x-Ab3dE6gHi.woff2", "font/woff2", false},
        {"x-Ab3dE6g.woff2", "font/woff2", false},
        {"x-Ab3d 6gH.woff2", "font/woff2", false},
        {"favicon.ico", "image/x-icon", false},
        {"page.html", "text/html; charset=utf-8", false},
        {"noend", "application/octet-stream", false},
        {".js", "text/javascript; charset=utf-8", false},
    };
    struct folder *folder = *state;
    struct site site;
    struct mg_why why;
    char name[64];

    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        snprintf(name, sizeof name, "static/%s", rows[i].name);
        folder_put(folder, name, str_of(rows[i].name));
    }
    assert_int_equal(load(folder, 1 << 20, &site, &why), MG_OK);
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct site_file *file = site_find(&site, str_of(rows[i].name));
        assert_string_equal(file->type, rows[i].type);
        bool for_ever = strstr(file->cache, "immutable") != NULL;
        if (for_ever != rows[i].for_ever)
            fail_msg("%s: %s", rows[i].name, file->cache);
        assert_true(for_ever || strcmp(file->cache, "no-cache") == 0);
        assert_true(file->etag.len > 4 && file->etag.ptr[0] == '"');
        for (size_t k = 0; k < i; k++)
            assert_false(str_eq(file->etag, site_find(&site, str_of(rows[k].name))->etag));
    }
    site_fini(&site);
}

static void links_are_refused(void **state)
{
    struct folder *folder = *state;
    char target[128];

    folder_put(folder, "secret", STR("secret"));
    folder_put(folder, "static/a.js", STR("a"));
    snprintf(target, sizeof target, "%s/secret", folder->path);
    assert_int_equal(symlink(target, folder_at(folder, "static/b.js")), 0);
    refused(folder, MG_E_FORMAT, "'b.js' is a link");
    assert_int_equal(unlink(folder_at(folder, "static/b.js")), 0);
    assert_int_equal(symlink("a.js", folder_at(folder, "static/c.js")), 0);
    refused(folder, MG_E_FORMAT, "'c.js' is a link");
    assert_int_equal(unlink(folder_at(folder, "static/c.js")), 0);
    folder_dir(folder, "static/d");
    assert_int_equal(symlink("..", folder_at(folder, "static/d/up")), 0);
    refused(folder, MG_E_FORMAT, "'d/up' is a link");
}

static void other_things_are_refused(void **state)
{
    struct folder *folder = *state;

    assert_int_equal(mkfifo(folder_at(folder, "static/pipe.js"), 0600), 0);
    refused(folder, MG_E_FORMAT, "'pipe.js' is neither a file nor a directory");
    assert_int_equal(unlink(folder_at(folder, "static/pipe.js")), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", folder_at(folder, "static/s"));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    refused(folder, MG_E_IO, "cannot open 's'");
    close(fd);
}

static void the_folder_itself(void **state)
{
    struct folder *folder = *state;
    struct site site;
    struct mg_why why;
    char path[256];

    snprintf(path, sizeof path, "%s/none", folder->path);
    assert_int_equal(site_load(&site, path, "static", 1024, &why), MG_E_ABSENT);
    assert_non_null(strstr(why.text, "there is no directory"));
    assert_int_equal(site_load(&site, folder->path, "other", 1024, &why), MG_E_ABSENT);
    folder_put(folder, "plain", STR("x"));
    assert_int_equal(site_load(&site, folder->path, "plain", 1024, &why), MG_E_FORMAT);
    snprintf(path, sizeof path, "%s/plain", folder->path);
    assert_int_equal(site_load(&site, path, "static", 1024, &why), MG_E_ABSENT);
    assert_int_equal(symlink("static", folder_at(folder, "linked")), 0);
    assert_int_equal(site_load(&site, folder->path, "linked", 1024, &why), MG_E_FORMAT);
    /* The way to the directory may go through links. */
    snprintf(path, sizeof path, "%s", folder_at(folder, "way"));
    assert_int_equal(symlink(folder->path, path), 0);
    assert_int_equal(site_load(&site, path, "static", 1024, &why), MG_OK);
    site_fini(&site);
}

static void bytes_are_bounded(void **state)
{
    static const struct {
        uint64_t bytes_max;
        enum mg_err err;
    } rows[] = {{0, MG_E_TOO_BIG}, {99999, MG_E_TOO_BIG}, {100000, MG_OK}, {100001, MG_OK}};
    struct folder *folder = *state;
    char *half = test_calloc(1, 50000);

    folder_put(folder, "static/a", str_n(half, 50000));
    folder_put(folder, "static/b", str_n(half, 50000));
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        struct site site;
        struct mg_why why;
        assert_int_equal(load(folder, rows[i].bytes_max, &site, &why), rows[i].err);
        site_fini(&site);
    }
    test_free(half);
}

static void depth_is_bounded(void **state)
{
    struct folder *folder = *state;
    struct site site;
    struct mg_why why;
    char path[256] = "static";

    for (unsigned i = 0; i < SITE_DEPTH_MAX; i++) {
        snprintf(path + strlen(path), 3, "/d");
        folder_dir(folder, path);
    }
    assert_int_equal(load(folder, 1024, &site, &why), MG_OK);
    site_fini(&site);
    snprintf(path + strlen(path), 3, "/d");
    folder_dir(folder, path);
    refused(folder, MG_E_TOO_BIG, "directories deep");
}

static void single_files(void **state)
{
    struct folder *folder = *state;
    struct buf out = {0};
    struct mg_why why;
    char path[256];

    folder_put(folder, "one", STR("12345"));
    snprintf(path, sizeof path, "%s", folder_at(folder, "one"));
    assert_int_equal(site_read(path, LINKS_REFUSED, 5, &out, &why), MG_OK);
    assert_true(str_eq(buf_str(&out), STR("12345")));
    buf_fini(&out);
    assert_int_equal(site_read(path, LINKS_REFUSED, 4, &out, &why), MG_E_TOO_BIG);
    assert_int_equal(site_read(folder->path, LINKS_REFUSED, 5, &out, &why), MG_E_FORMAT);
    snprintf(path, sizeof path, "%s", folder_at(folder, "none"));
    assert_int_equal(site_read(path, LINKS_REFUSED, 5, &out, &why), MG_E_ABSENT);
    assert_int_equal(symlink("one", path), 0);
    assert_int_equal(site_read(path, LINKS_REFUSED, 5, &out, &why), MG_E_FORMAT);
    assert_int_equal(site_read(path, LINKS_FOLLOWED, 5, &out, &why), MG_OK);
    buf_fini(&out);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_lies_below_is_found), IN_FOLDER(types_and_caching),
        IN_FOLDER(links_are_refused),        IN_FOLDER(other_things_are_refused),
        IN_FOLDER(the_folder_itself),        IN_FOLDER(bytes_are_bounded),
        IN_FOLDER(depth_is_bounded),         IN_FOLDER(single_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
