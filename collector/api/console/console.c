/* console.c - files by name, with an entity tag each.
 *
 * Names are looked up in a constant table and never reach a file system, so there is no path to
 * escape from. A browser keeps the files but asks every time (no-cache): a new version of the
 * program shows at once, and an unchanged file costs an empty 304. */
#include "api/console/console.h"

#include "api/console/page.h"

#define HOME "/console/"

/* The page needs its own scripts, its own sheet and the API of its origin, and nothing else. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct console_file *file_named(struct str name)
{
    size_t low = 0, high = console_files_n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_cmp(console_files[middle].name, name);
        if (order == 0)
            return &console_files[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void on_file(void *owner, struct http_request *request)
{
    struct str name = STR("");

    (void)owner;
    (void)http_request_param(request, "*", &name); /* absent is the empty name: the page itself */
    const struct console_file *file = file_named(name.len ? name : STR("index.html"));
    if (!file) {
        http_respond_error(request, MG_E_ABSENT, STR("the console has no such file"), 0);
        return;
    }
    const struct http_file answer = {
        .bytes = file->bytes, .gzip = file->gzip, .etag = file->etag, .type = file->type.ptr};
    const struct http_header headers[] = {
        {STR("cache-control"), STR("no-cache")},
        {STR("content-security-policy"), STR(POLICY)},
        {STR("x-content-type-options"), STR("nosniff")},
        {STR("referrer-policy"), STR("no-referrer")},
    };
    http_respond_file(request, &answer, headers, MG_COUNT(headers));
}

static void on_elsewhere(void *owner, struct http_request *request)
{
    const struct http_header headers[] = {
        {STR("location"), STR(HOME)},
        {STR("cache-control"), STR("no-cache")},
    };

    (void)owner;
    http_respond_with(request, 302, NULL, STR(""), headers, MG_COUNT(headers));
}

const struct http_route *console_routes(size_t *n)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/", .on_request = on_elsewhere},
        {.method = "GET", .path = "/console", .on_request = on_elsewhere},
        {.method = "GET", .path = HOME "*", .on_request = on_file},
    };

    *n = MG_COUNT(routes);
    return routes;
}
