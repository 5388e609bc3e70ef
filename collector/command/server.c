/* server.c - see server.h. */
#include "command/server.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/mem.h"
#include "net/tls.h"

enum { TOKEN_BYTES_MAX = 4096, SHOWN_REASON_BYTES = 200 };

void server_url(const char *base, const char *path, struct buf *url)
{
    struct str origin = str_of(base);

    while (str_ends(origin, STR("/")))
        origin.len--;
    buf_init(url, origin.len + strlen(path));
    buf_put_str(url, origin);
    buf_put_text(url, path);
}

/* --- access --- */

static enum mg_err read_token(const char *path, struct buf *authorization, struct mg_why *why)
{
    char bytes[TOKEN_BYTES_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    int failed = n < 0 ? errno : 0;

    if (fd >= 0)
        close(fd);
    if (failed)
        return mg_fail_os(why, failed, "cannot read %s", path);
    struct str token = str_n(bytes, (size_t)n);
    while (token.len && strchr(" \t\r\n", token.ptr[token.len - 1])) /* what an editor leaves at the end */
        token.len--;
    if (token.len == 0 || n == TOKEN_BYTES_MAX)
        return mg_fail(why, MG_E_FORMAT, "%s holds no token", path);
    buf_printf(authorization, "Bearer %.*s", STR_ARG(token));
    return MG_OK;
}

enum mg_err server_access(const struct server_args *args, const char *alpn, struct server_access *out, struct mg_why *why)
{
    const struct tls_options tls = { .ca_file = str_of(args->ca_file), .min_version = TLS_1_2, .alpn = alpn };
    struct server_access access = { 0 };
    enum mg_err err = MG_OK;

    buf_init(&access.authorization, 2 * TOKEN_BYTES_MAX);
    if (args->token_file)
        err = read_token(args->token_file, &access.authorization, why);
    if (err == MG_OK && args->ca_file)
        err = tls_context_new(&access.tls, &tls, why);
    if (err != MG_OK) {
        server_access_fini(&access);
        return err;
    }
    access.header = (struct http_header){ STR("authorization"), buf_str(&access.authorization) };
    access.n_headers = args->token_file ? 1 : 0;
    *out = access;
    return MG_OK;
}

void server_access_fini(struct server_access *access)
{
    buf_fini(&access->authorization);
    tls_context_unref(&access->tls);
}

/* --- a call --- */

/* The server's own words, as far as they are one line of text. */
static struct str reason_of(const struct buf *body)
{
    struct str rest = buf_str(body), line = STR("");

    (void)str_cut(&rest, '\n', &line); /* an empty body has an empty reason */
    line = str_trim(line);
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
            return STR("");
    return str_n(line.ptr, MG_MIN(line.len, (size_t)SHOWN_REASON_BYTES));
}

static enum mg_err judge(struct str url, int status, struct buf *body, struct mg_why *why)
{
    struct str reason = reason_of(body);
    const char *hint = status == 401 ? "; see --token-file" : "";

    if (status == 200)
        return MG_OK;
    enum mg_err err = mg_fail(why, MG_E_IO, "GET %.*s: answered with HTTP status %d%s%.*s%s", STR_ARG(url), status, reason.len ? ": " : "",
                              STR_ARG(reason), hint);
    buf_fini(body);
    return err;
}

static enum mg_err get(const struct server_args *args, struct str url, const struct server_sink *sink, struct buf *body, struct mg_why *why)
{
    struct server_access access;
    int status;

    MG_TRY(server_access(args, "http/1.1", &access, why));
    struct http_fetch fetch = { .method = "GET", .url = url, .headers = &access.header, .n_headers = access.n_headers, .tls = access.tls };
    if (sink) {
        fetch.timeout_ms = sink->silence_ms;
        fetch.on_body = sink->on_body;
        fetch.owner = sink->owner;
    }
    enum mg_err err = http_fetch(&fetch, &status, body, why);
    server_access_fini(&access);
    return err == MG_OK ? judge(url, status, body, why) : err;
}

enum mg_err server_get(const struct server_args *args, const char *path, const struct server_sink *sink, struct buf *body,
                       struct mg_why *why)
{
    struct buf url;
    enum mg_err err;

    server_url(args->url, path, &url);
    err = get(args, buf_str(&url), sink, body, why);
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
