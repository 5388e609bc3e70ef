/* server.c - see server.h. */
#include "command/server.h"
#include "base/mem.h"
#include "http/client.h"

void server_url(const char *base, const char *path, struct buf *url)
{
    struct str origin = str_of(base);

    while (str_ends(origin, STR("/")))
        origin.len--;
    buf_init(url, origin.len + strlen(path));
    buf_put_str(url, origin);
    buf_put_text(url, path);
}

enum mg_err server_get(const char *base, const char *path, struct buf *body, struct mg_why *why)
{
    struct buf url;
    int status;
    enum mg_err err;

    server_url(base, path, &url);
    err = http_fetch("GET", buf_str(&url), STR(""), NULL, 0, &status, body, why);
    if (err == MG_OK && status != 200) {
        err = mg_fail(why, MG_E_IO, "GET %.*s: answered with HTTP status %d",
                      STR_ARG(buf_str(&url)), status);
        buf_fini(body);
    }
    buf_fini(&url);
    return err;
}

struct str server_host(const char *base)
{
    struct str s = str_of(base), before, after;
    size_t at;

    if (str_find(s, STR("://"), &at))
        s = str_n(s.ptr + at + 3, s.len - at - 3);
    if (str_split_at(s, '/', &before, &after))
        s = before;
    if (s.len && s.ptr[0] == '[' && str_find(s, STR("]"), &at))
        return str_n(s.ptr, at + 1);
    return str_split_at(s, ':', &before, &after) ? before : s;
}
