/* How it works: user and password are taken out of the URL first, so that nothing behind this file
 * can tell them. Whether the rest is a URL is asked of the HTTP client, which will read it in the
 * end; it wants a loop and gets one for the moment. TLS files are loaded to see that they can be,
 * and again when the peer is opened: only then is it known which protocol to offer. */
#include "peer/private.h"
#include <assert.h>
#include "base/mem.h"
#include "codec/base64.h"
#include "net/tls.h"

enum { CREDENTIALS_BYTES_MAX = 8192, SECRET_BYTES_MIN = 4 };

/* --- the URL --- */

static bool percent_decode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];

        if (byte == '%') {
            if (text.len - i < 3 || !hex_decode(str_n(text.ptr + i + 1, 2), &byte, 1))
                return false;
            i += 2;
        }
        if (byte < 0x20 || byte == 0x7f)
            return false;
        buf_put_char(out, (char)byte);
    }
    return !out->failed;
}

static void add_secret(struct target *target, struct str secret)
{
    if (secret.len >= SECRET_BYTES_MIN)
        VEC_PUSH(&target->secrets, secret);
}

/* A peer may repeat "Bearer xyz" whole, or only what stands behind the scheme. */
static void add_header(struct target *target, struct str name, struct str value)
{
    struct str scheme, rest;

    VEC_PUSH(&target->headers, ((struct http_header){.name = name, .value = value}));
    add_secret(target, value);
    if (str_split_at(value, ' ', &scheme, &rest))
        add_secret(target, str_trim(rest));
    target->has_agent |= str_eq(name, STR("user-agent"));
}

/* RFC 7617. */
static bool add_credentials(struct target *target, struct str user_info)
{
    struct str user = user_info, password = STR("");
    struct buf plain, value;
    bool is_fine;

    (void)str_split_at(user_info, ':', &user, &password); /* without a colon: no password */
    buf_init(&plain, CREDENTIALS_BYTES_MAX);
    buf_init(&value, 2 * CREDENTIALS_BYTES_MAX);
    is_fine = percent_decode(user, &plain) && !memchr(buf_str(&plain).ptr, ':', plain.len);
    buf_put_char(&plain, ':');
    size_t at = plain.len;
    is_fine = is_fine && percent_decode(password, &plain);
    if (is_fine) {
        add_secret(target, arena_str(&target->arena, str_n(plain.ptr + at, plain.len - at)));
        buf_put_text(&value, "Basic ");
        base64_encode(&value, plain.ptr, plain.len, true);
        add_header(target, STR("authorization"), arena_str(&target->arena, buf_str(&value)));
    }
    buf_fini(&plain);
    buf_fini(&value);
    return is_fine;
}

static enum mg_err client_check(struct str url)
{
    struct http_client *client = NULL;
    struct loop *loop = loop_new();
    enum mg_err err =
        http_client_new(&client, loop, &(struct http_client_options){.base_url = url}, NULL);

    http_client_free(&client);
    loop_free(&loop);
    return err;
}

/* The last '@' before the path ends the credentials. */
static size_t host_at(struct str authority)
{
    size_t at = authority.len;

    while (at > 0 && authority.ptr[at - 1] != '@')
        at--;
    return at;
}

static enum mg_err url_read(struct target *target, struct str url, struct mg_why *why)
{
    size_t scheme = str_starts(url, STR("https://")) ? 8 : 7, end = scheme;

    if (!str_starts(url, STR("https://")) && !str_starts(url, STR("http://")))
        return mg_fail(
            why, MG_E_FORMAT,
            "is not of the form http[s]://host:port/path: it must begin with http:// or https://");
    while (end < url.len && !memchr("/?#", url.ptr[end], 3))
        end++;
    struct str authority = str_n(url.ptr + scheme, end - scheme);
    size_t host = host_at(authority);
    target->is_tls = scheme == 8;
    target->path = arena_str(&target->arena, str_n(url.ptr + end, url.len - end));
    target->origin = arena_printf(&target->arena, "%.*s%.*s", (int)scheme, url.ptr,
                                  (int)(authority.len - host), authority.ptr + host);
    url = arena_printf(&target->arena, "%.*s%.*s", STR_ARG(target->origin), STR_ARG(target->path));
    /* A '/' in a password would make the rest of it a path, and what the client says of it would be
     * told. */
    if (memchr(url.ptr, '@', url.len) || client_check(url) != MG_OK)
        return mg_fail(why, MG_E_FORMAT,
                       "is not of the form http[s]://[user:password@]host:port/path, without a "
                       "query, and with "
                       "other characters written as %%XX");
    if (host > 0 && !add_credentials(target, str_n(authority.ptr, host - 1)))
        return mg_fail(why, MG_E_FORMAT,
                       "the user or the password before the '@' is malformed: write what is no "
                       "letter or digit "
                       "as %%XX");
    return MG_OK;
}

/* --- headers --- */

/* Those that say how bytes travel or what they are belong to the client and to the exporters; an
 * answer that is packed could not be read. */
static bool is_ours(struct str name)
{
    static const struct str names[] = {
        STR_INIT("host"),
        STR_INIT("connection"),
        STR_INIT("content-length"),
        STR_INIT("upgrade"),
        STR_INIT("transfer-encoding"),
        STR_INIT("te"),
        STR_INIT("trailer"),
        STR_INIT("keep-alive"),
        STR_INIT("proxy-connection"),
        STR_INIT("expect"),
        STR_INIT("content-type"),
        STR_INIT("content-encoding"),
        STR_INIT("accept-encoding"),
    };

    for (size_t i = 0; i < MG_COUNT(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return str_starts(name, STR("grpc-"));
}

static bool lower_token(struct str name, char *out)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c + 'a' - 'A');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              (c && strchr("!#$%&'*+-.^_`|~", c))))
            return false;
        out[i] = c;
    }
    return name.len > 0;
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.ptr[i] < 0x20 && text.ptr[i] != '\t') || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool has_header(const struct target *target, struct str name)
{
    for (size_t i = 0; i < target->headers.n; i++)
        if (str_eq(target->headers.at[i].name, name))
            return true;
    return false;
}

/* What is malformed may be a secret in the wrong place: it is told by its number alone. */
static enum mg_err header_read(struct target *target, struct str text, size_t number,
                               struct mg_why *why)
{
    struct str name, value;

    if (!str_split_at(text, ':', &name, &value))
        return mg_fail(why, MG_E_FORMAT, "number %zu is not of the form \"name: value\"", number);
    char *lower = arena_alloc(&target->arena, name.len);
    if (!lower_token(name, lower))
        return mg_fail(why, MG_E_FORMAT, "number %zu has a malformed name before the ':'", number);
    name = str_n(lower, name.len);
    value = str_trim(value);
    if (has_control(value))
        return mg_fail(why, MG_E_FORMAT, "the value of '%.*s' has control characters in it",
                       STR_ARG(name));
    if (is_ours(name))
        return mg_fail(why, MG_E_FORMAT, "'%.*s' is set by the exporter itself: remove it",
                       STR_ARG(name));
    if (has_header(target, name))
        return mg_fail(why, MG_E_FORMAT,
                       "'%.*s' is there twice, or is given by the endpoint's user and password too",
                       STR_ARG(name));
    add_header(target, name, value);
    return MG_OK;
}

/* --- files --- */

static enum mg_err file_check(const struct tls_options *options, struct mg_why *why)
{
    struct tls_context *context = NULL;
    enum mg_err err = tls_context_new(&context, options, why);

    tls_context_unref(&context);
    return err;
}

static enum mg_err files_check(const struct target *target, const char *section,
                               const struct peer_conf *conf, struct mg_why *why)
{
    const struct {
        const char *row;
        struct str file;
    } rows[] = {{"ca", conf->ca}, {"cert", conf->cert}, {"key", conf->key}};

    for (size_t i = 0; i < MG_COUNT(rows); i++)
        if (rows[i].file.len && !target->is_tls)
            return mg_fail(why, MG_E_FORMAT,
                           "%s.%s: is for https, and the endpoint is http: change the endpoint or "
                           "remove the row",
                           section, rows[i].row);
    if (!conf->cert.len != !conf->key.len)
        return mg_fail(why, MG_E_FORMAT,
                       "%s.%s: is needed as well: a certificate and its key go together", section,
                       conf->cert.len ? "key" : "cert");
    enum mg_err err = MG_OK;
    if (conf->ca.len)
        err = file_check(&(struct tls_options){.ca_file = conf->ca, .min_version = TLS_1_2}, why);
    if (err != MG_OK)
        return mg_fail_in(why, err, "%s.ca", section);
    if (conf->cert.len)
        err = file_check(&(struct tls_options){.ca_file = conf->ca,
                                               .cert_file = conf->cert,
                                               .key_file = conf->key,
                                               .min_version = TLS_1_2},
                         why);
    return err == MG_OK ? MG_OK : mg_fail_in(why, err, "%s.cert", section);
}

/* --- all --- */

enum mg_err target_init(struct target *target, const char *section, const struct peer_conf *conf,
                        struct mg_why *why)
{
    struct mg_why inner = {""};
    enum mg_err err;

    *target = (struct target){0};
    err = url_read(target, conf->endpoint, &inner);
    if (err != MG_OK) {
        target_fini(target);
        return mg_fail(why, err, "%s.endpoint: %s", section, inner.text);
    }
    for (size_t i = 0; i < conf->headers.n && err == MG_OK; i++)
        err = header_read(target, conf->headers.at[i], i + 1, &inner);
    if (err != MG_OK)
        (void)mg_fail(why, err, "%s.headers: %s", section, inner.text); /* returns err */
    else
        err = files_check(target, section, conf, why);
    if (err != MG_OK)
        target_fini(target);
    return err;
}

void target_fini(struct target *target)
{
    VEC_FINI(&target->headers);
    VEC_FINI(&target->secrets);
    arena_fini(&target->arena);
    *target = (struct target){0};
}
