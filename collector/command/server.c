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
    const struct tls_options tls = { .cert_file = str_of(args->cert_file), .key_file = str_of(args->key_file), .ca_file = str_of(args->ca_file),
                                     .min_version = TLS_1_2, .alpn = alpn };
    struct server_access access = { 0 };
    enum mg_err err = MG_OK;

    buf_init(&access.authorization, 2 * TOKEN_BYTES_MAX);
    if (args->token_file)
        err = read_token(args->token_file, &access.authorization, why);
    if (err == MG_OK && (args->ca_file || args->cert_file))
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

struct str server_reason(struct str said)
{
    struct str line = STR("");

    (void)str_cut(&said, '\n', &line); /* nothing said is an empty reason */
    line = str_trim(line);
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
            return STR("");
    return str_n(line.ptr, MG_MIN(line.len, (size_t)SHOWN_REASON_BYTES));
}

const char *server_tls_hint(const struct mg_why *why)
{
    static const struct { struct str said; const char *hint; } hints[] = {
        { STR_INIT(TLS_SAYS_WANTS_CERTIFICATE), "; see --cert-file" },
        { STR_INIT(TLS_SAYS_UNTRUSTED), "; see --ca-file" },
    };
    size_t at;

    for (size_t i = 0; i < MG_COUNT(hints); i++)
        if (str_find(str_of(why->text), hints[i].said, &at))
            return hints[i].hint;
    return "";
}

static enum mg_err judge(struct str url, int status, struct buf *body, struct mg_why *why)
{
    struct str reason = server_reason(buf_str(body));
    const char *hint = status == 401 ? SERVER_TOKEN_HINT : "";

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
    struct mg_why failed;
    int status;

    MG_TRY(server_access(args, "http/1.1", &access, why));
    struct http_fetch fetch = { .method = "GET", .url = url, .headers = &access.header, .n_headers = access.n_headers, .tls = access.tls };
    if (sink) {
        fetch.timeout_ms = sink->silence_ms;
        fetch.on_body = sink->on_body;
        fetch.owner = sink->owner;
    }
    enum mg_err err = http_fetch(&fetch, &status, body, &failed);
    server_access_fini(&access);
    return err == MG_OK ? judge(url, status, body, why) : mg_fail(why, err, "%s%s", failed.text, server_tls_hint(&failed));
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
