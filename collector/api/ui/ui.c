/* ui.c - three routes over memory. The page is the same for every path, so it is made once. */
#include "api/ui/ui.h"

#include "api/ui/site.h"
#include "api/ui/page.h"
#include "base/mem.h"

#define CONFIG_BYTES_MAX ((uint64_t)1 << 20)
#define CONSOLE          "/console/"

struct ui {
    struct site statics;
    struct arena arena; /* the page's */
    struct site_file page;
};

/* --- opening
 * ------------------------------------------------------------------------------------------ */

/* A path of the configuration: NUL-terminated there, and here. */
static const char *path_in(struct ui *ui, struct str dir, const char *name)
{
    return arena_printf(&ui->arena, "%.*s%s", STR_ARG(dir), name).ptr;
}

static enum mg_err take_config(struct ui *ui, struct str path, struct page_values *values,
                               struct mg_why *why)
{
    MG_AUTO(buf_fini) struct buf bytes = {0};

    if (path.len == 0)
        return MG_OK;
    MG_TRY(site_read(path_in(ui, path, ""), LINKS_FOLLOWED, CONFIG_BYTES_MAX, &bytes, why));
    struct str text = arena_str(&ui->arena, buf_str(&bytes));
    if (str_ends(path, STR(".js"))) {
        values->script = text;
        return page_script_check(text, why);
    }
    values->config = text;
    return page_config_check(text, why);
}

static enum mg_err make_page(struct ui *ui, const struct ui_options *options, struct str html,
                             struct mg_why *why)
{
    struct page_values values = {.version = str_of(options->version),
                                 .has_archive = options->has_archive,
                                 .has_metrics = options->has_metrics};
    MG_AUTO(buf_fini) struct buf page;

    buf_init(&page, SIZE_MAX); /* bounded by its parts, which are */
    if (page_base_check(options->conf->base, &ui->arena, &values.base, why) != MG_OK)
        return mg_fail_in(why, MG_E_FORMAT, "ui.base_path");
    enum mg_err err = take_config(ui, options->conf->config, &values, why);
    if (err)
        return mg_fail_in(why, err, "ui.config");
    MG_TRY(page_fill(html, &values, &page, why));
    ui->page = (struct site_file){.name = STR("index.html"),
                                  .bytes = arena_str(&ui->arena, buf_str(&page)),
                                  .type = "text/html; charset=utf-8",
                                  .cache = "no-cache"};
    ui->page.etag = site_etag(ui->page.bytes, &ui->arena);
    ui->page.gzip = http_file_pack(ui->page.type, ui->page.bytes, &ui->arena);
    return MG_OK;
}

static enum mg_err read_files(struct ui *ui, const struct ui_options *options, struct mg_why *why)
{
    const struct ui_conf *conf = options->conf;
    MG_AUTO(buf_fini) struct buf html = {0};

    MG_TRY(site_read(path_in(ui, conf->dir, "/index.html"), LINKS_REFUSED, conf->bytes_max, &html,
                     why));
    MG_TRY(site_load(&ui->statics, path_in(ui, conf->dir, ""), "static", conf->bytes_max - html.len,
                     why));
    return make_page(ui, options, buf_str(&html), why);
}

enum mg_err ui_open(struct ui **out, const struct ui_options *options, struct mg_why *why)
{
    MG_AUTO(ui_free) struct ui *ui = MEM_NEW(struct ui);

    enum mg_err err = read_files(ui, options, why);
    if (err == MG_E_TOO_BIG)
        return mg_fail_in(why, err, "ui.dir, above ui.bytes_max or a limit of its own");
    if (err)
        return mg_fail_in(why, err, "ui.dir '%.*s'", STR_ARG(options->conf->dir));
    *out = MG_STEAL(ui);
    return MG_OK;
}

void ui_free(struct ui **pointer)
{
    struct ui *ui = *pointer;

    if (!ui)
        return;
    site_fini(&ui->statics);
    arena_fini(&ui->arena);
    mem_free(ui);
    *pointer = NULL;
}

/* --- answers
 * ------------------------------------------------------------------------------------------ */

static void respond(struct http_request *request, const struct site_file *file)
{
    const struct http_file answer = {
        .bytes = file->bytes, .gzip = file->gzip, .etag = file->etag, .type = file->type};
    const struct http_header headers[] = {
        {STR("cache-control"), str_of(file->cache)},
        {STR("x-content-type-options"), STR("nosniff")},
    };

    http_respond_file(request, &answer, headers, MG_COUNT(headers));
}

/* Jaeger's words, which clients may look for. */
static void respond_absent(struct http_request *request)
{
    http_respond(request, mg_err_http(MG_E_ABSENT), "text/plain; charset=utf-8",
                 STR("404 page not found\n"));
}

static void on_static(void *owner, struct http_request *request)
{
    const struct ui *ui = *(struct ui *const *)owner;
    struct str name = STR("");

    (void)http_request_param(request, "*", &name); /* absent: no file's name */
    const struct site_file *file = ui ? site_find(&ui->statics, name) : NULL;
    if (file)
        respond(request, file);
    else
        respond_absent(request);
}

static void on_front(void *owner, struct http_request *request)
{
    const struct ui *ui = *(struct ui *const *)owner;
    const struct http_header headers[] = {
        {STR("location"), STR(CONSOLE)},
        {STR("cache-control"), STR("no-cache")},
    };

    if (ui)
        respond(request, &ui->page);
    else
        http_respond_with(request, 302, NULL, STR(""), headers, MG_COUNT(headers));
}

/* /api and everything below, and /static without a name: nothing that a person opens. */
static bool is_page(struct str path)
{
    return !str_eq(path, STR("/api")) && !str_starts(path, STR("/api/")) &&
           !str_eq(path, STR("/static"));
}

static void on_rest(void *owner, struct http_request *request)
{
    const struct ui *ui = *(struct ui *const *)owner;

    if (ui && is_page(http_request_path(request)))
        respond(request, &ui->page);
    else
        respond_absent(request);
}

const struct http_route *ui_routes(size_t *n)
{
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/", .on_request = on_front},
        {.method = "GET", .path = "/static/*", .on_request = on_static},
        {.method = "GET", .path = "/*", .on_request = on_rest},
    };

    *n = MG_COUNT(routes);
    return routes;
}
