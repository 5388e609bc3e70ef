/* page.c - one walk over the page. At each place the rows are tried; what none of them takes is
 * copied as it is.
 *
 * The base element goes first into the head, although newer pages insert one by a script: a
 * browser's preload scanner runs before that script, and without a base it asks for files below
 * whatever path the page was opened at. The first base wins, so the page's own does no harm. Older
 * pages have one of their own, which is changed instead.
 *
 * What is put into a script element must not end it: in JSON the characters that could are escaped,
 * a script that holds them is refused. */
#include "api/ui/page.h"

#include <strings.h>
#include "base/arena.h"
#include "codec/json.h"
#include "codec/json_write.h"

#define SCRIPT_MARK "// JAEGER_CONFIG_JS"
#define BASE_TARGET "data-inject-target=\"BASE_URL\""

struct page {
    const struct page_values *values;
    struct buf *out;
    bool has_base; /* the page brings one as markup */
    bool is_based, is_configured;
};

/* --- right sides
 * -------------------------------------------------------------------------------------- */

/* JSON that may stand in a script element; strings are the only place for these characters. */
static void put_json(struct buf *out, struct str json)
{
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        bool is_separator = i + 2 < json.len && memcmp(json.ptr + i, "\xe2\x80", 2) == 0 &&
                            ((unsigned char)json.ptr[i + 2] & 0xfe) == 0xa8;
        if (c == '<' || c == '>' || c == '&') {
            buf_printf(out, "\\u%04x", (unsigned)c);
        } else if (is_separator) { /* U+2028 and U+2029 ended a line in older JavaScript */
            buf_printf(out, "\\u20%02x", (unsigned)(unsigned char)json.ptr[i + 2] - 0x80);
            i += 2;
        } else {
            buf_put_char(out, c);
        }
    }
}

static bool put_config(struct page *page)
{
    if (page->values->config.len == 0)
        return false;
    put_json(page->out, page->values->config);
    page->is_configured = true;
    return true;
}

static void put_flag(struct json_writer *w, const char *name, bool value)
{
    json_key(w, str_of(name));
    json_put_bool(w, value);
}

static bool put_storage(struct page *page)
{
    struct json_writer w;

    json_writer_init(&w, page->out, 0);
    json_object(&w);
    put_flag(&w, "archiveStorage", page->values->has_archive);
    put_flag(&w, "metricsStorage", page->values->has_metrics);
    json_object_end(&w);
    return true;
}

static bool put_backend(struct page *page)
{
    struct json_writer w;

    json_writer_init(&w, page->out, 0);
    json_object(&w);
    put_flag(&w, "archiveStorage", page->values->has_archive);
    put_flag(&w, "metricsStorage", page->values->has_metrics);
    put_flag(&w, "searchWithoutServiceName", true);
    put_flag(&w, "aiAssistant", false);
    json_object_end(&w);
    return true;
}

static void put_member(struct json_writer *w, const char *name, struct str value)
{
    json_key(w, str_of(name));
    json_put_str(w, value);
}

/* The UI stays blank without a gitCommit that is a string. */
static bool put_version(struct page *page)
{
    MG_AUTO(buf_fini) struct buf json;
    struct json_writer w;

    buf_init(&json, 6 * page->values->version.len + 256);
    json_writer_init(&w, &json, 0);
    json_object(&w);
    put_member(&w, "gitCommit", STR(""));
    put_member(&w, "gitVersion", page->values->version);
    put_member(&w, "buildDate", STR(""));
    json_object_end(&w);
    put_json(page->out, buf_str(&json));
    return true;
}

static const struct {
    const char *name, *placeholder;
    bool (*put)(struct page *page); /* false: the assignment stays as it is */
} assignments[] = {
    {"JAEGER_CONFIG", "DEFAULT_CONFIG;", put_config},
    {"JAEGER_VERSION", "DEFAULT_VERSION;", put_version},
    {"JAEGER_STORAGE_CAPABILITIES", "DEFAULT_STORAGE_CAPABILITIES;", put_storage},
    {"JAEGER_BACKEND_CAPABILITIES", "DEFAULT_BACKEND_CAPABILITIES;", put_backend},
};

/* --- places
 * ------------------------------------------------------------------------------------------- */

static struct str after(struct str text, size_t n)
{
    return str_n(text.ptr + n, text.len - n);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str without_spaces(struct str text)
{
    while (text.len && is_space(text.ptr[0]))
        text = after(text, 1);
    return text;
}

/* `NAME` spaces `=` spaces `DEFAULT_NAME;`: how many bytes, up to the name's end in *name. 0: none.
 */
static size_t assignment_len(struct str text, size_t i)
{
    struct str rest, placeholder = str_of(assignments[i].placeholder);

    if (!str_starts(text, str_of(assignments[i].name)))
        return 0;
    rest = without_spaces(after(text, strlen(assignments[i].name)));
    if (!str_starts(rest, STR("=")))
        return 0;
    rest = without_spaces(after(rest, 1));
    return str_starts(rest, placeholder) ? text.len - rest.len + placeholder.len : 0;
}

static size_t take_assignment(struct page *page, struct str text)
{
    for (size_t i = 0; i < MG_COUNT(assignments); i++) {
        size_t len = assignment_len(text, i), before = page->out->len;
        if (len == 0)
            continue;
        buf_printf(page->out, "%s = ", assignments[i].name);
        if (assignments[i].put(page)) {
            buf_put_char(page->out, ';');
            return len;
        }
        page->out->len = before;
    }
    return 0;
}

/* The comment and the line behind it give way to the script. */
static size_t take_script(struct page *page, struct str text)
{
    struct str rest = text, line;

    if (page->values->script.len == 0 || !str_starts(text, STR(SCRIPT_MARK)))
        return 0;
    (void)str_cut(&rest, '\n', &line); /* a page may end here */
    (void)str_cut(&rest, '\n', &line);
    buf_put_str(page->out, page->values->script);
    buf_put_char(page->out, '\n');
    page->is_configured = true;
    return text.len - rest.len;
}

/* <base href="/" data-inject-target="BASE_URL": the length up to the end of the href's value. */
static size_t base_len(struct str text)
{
    struct str rest;

    if (!str_starts(text, STR("<base")) || text.len < 6 || !is_space(text.ptr[5]))
        return 0;
    rest = without_spaces(after(text, 5));
    if (!str_starts(rest, STR("href=\"/\"")))
        return 0;
    rest = after(rest, 8);
    return str_starts(without_spaces(rest), STR(BASE_TARGET)) ? text.len - rest.len : 0;
}

static size_t take_base(struct page *page, struct str text)
{
    size_t len = base_len(text);

    if (len) {
        buf_printf(page->out, "<base href=\"%.*s\"", STR_ARG(page->values->base));
        page->is_based = true;
    }
    return len;
}

/* <head> or <head with attributes, not <header>. */
static size_t take_head(struct page *page, struct str text)
{
    struct str rest = text, tag;

    if (page->has_base || page->is_based || text.len < 6 ||
        strncasecmp(text.ptr, "<head", 5) != 0 || (text.ptr[5] != '>' && !is_space(text.ptr[5])) ||
        !str_cut(&rest, '>', &tag))
        return 0;
    buf_printf(page->out, "%.*s><base href=\"%.*s\" " BASE_TARGET " />", STR_ARG(tag),
               STR_ARG(page->values->base));
    page->is_based = true;
    return text.len - rest.len;
}

static size_t (*const takers[])(struct page *page, struct str text) = {take_assignment, take_script,
                                                                       take_base, take_head};

static bool has_base(struct str html)
{
    for (size_t i = 0; i < html.len; i++)
        if (html.ptr[i] == '<' && base_len(after(html, i)))
            return true;
    return false;
}

enum mg_err page_fill(struct str html, const struct page_values *values, struct buf *out,
                      struct mg_why *why)
{
    struct page page = {.values = values, .out = out, .has_base = has_base(html)};

    while (html.len) {
        size_t taken = 0;
        bool may_begin = html.ptr[0] == 'J' || html.ptr[0] == '/' || html.ptr[0] == '<';
        for (size_t i = 0; may_begin && taken == 0 && i < MG_COUNT(takers); i++)
            taken = takers[i](&page, html);
        if (taken == 0)
            buf_put_char(out, html.ptr[0]);
        html = after(html, taken ? taken : 1);
    }
    if ((values->config.len || values->script.len) && !page.is_configured)
        return mg_fail(why, MG_E_FORMAT, "the page has no place for ui.config (%s)",
                       values->config.len ? "JAEGER_CONFIG = DEFAULT_CONFIG;" : SCRIPT_MARK);
    return buf_err(out);
}

/* --- what the operator wrote
 * -------------------------------------------------------------------------- */

enum mg_err page_config_check(struct str json, struct mg_why *why)
{
    struct json *root = NULL;

    MG_TRY(json_parse(&root, json, why));
    bool is_object = json_kind(root) == JSON_OBJECT;
    json_free(&root);
    return is_object ? MG_OK : mg_fail(why, MG_E_FORMAT, "it must hold a JSON object");
}

static bool holds_nocase(struct str text, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= text.len; i++)
        if (strncasecmp(text.ptr + i, word, len) == 0)
            return true;
    return false;
}

enum mg_err page_script_check(struct str script, struct mg_why *why)
{
    static const char *const words[] = {"</script", "<script", "<!--"};
    struct str rest = script;
    size_t at;

    for (size_t i = 0; i < MG_COUNT(words); i++)
        if (holds_nocase(script, words[i]))
            return mg_fail(why, MG_E_FORMAT, "it must not hold %s, which would end its place",
                           words[i]);
    while (str_find(rest, STR("function"), &at)) {
        rest = without_spaces(after(rest, at + 8));
        if (str_starts(rest, STR("UIConfig")) &&
            str_starts(without_spaces(after(rest, 8)), STR("(")))
            return MG_OK;
    }
    return mg_fail(why, MG_E_FORMAT, "it must define `function UIConfig()`");
}

static bool is_path_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~/", c));
}

enum mg_err page_base_check(struct str text, struct arena *arena, struct str *base,
                            struct mg_why *why)
{
    bool is_path = text.len == 0 || text.ptr[0] == '/';
    size_t at;

    for (size_t i = 0; is_path && i < text.len; i++)
        is_path = is_path_char(text.ptr[i]);
    if (!is_path || str_find(text, STR("//"), &at))
        return mg_fail(why, MG_E_FORMAT,
                       "'%.*s' is not a path: it begins with one slash and holds letters, digits "
                       "and -._~/",
                       STR_ARG(text));
    *base = arena_printf(arena, "%.*s%s", STR_ARG(text), str_ends(text, STR("/")) ? "" : "/");
    return MG_OK;
}
