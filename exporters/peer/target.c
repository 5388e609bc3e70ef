/* How it works: user and password are taken out of the URL first, so that nothing behind this file
 * can tell them. TLS files are loaded to see that they can be, and again when the peer is opened:
 * only then is it known which protocol to offer. */
#include "peer/private.h"
#include <assert.h>
#include "base/mem.h"
#include "codec/base64.h"
#include "http/field.h"
#include "http/query_string.h"
#include "http/url.h"
#include "net/tls.h"

enum { CREDENTIALS_BYTES_MAX = 8192, SECRET_BYTES_MIN = 4 };

/* --- the URL --- */

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

/* In its own place. RFC 7617 2: no control characters. */
static bool percent_read(struct str *text)
{
    return percent_decode(*text, false, (char *)text->ptr, &text->len) == MG_OK &&
           http_is_field_value(*text) && !memchr(text->ptr, '\t', text->len);
}

static bool add_credentials(struct target *target, struct str user_info)
{
    struct str user = arena_str(&target->arena, user_info), password = STR("");
    struct buf value;

    (void)str_split_at(user, ':', &user, &password); /* without a colon: no password */
    if (!percent_read(&user) || !percent_read(&password) || memchr(user.ptr, ':', user.len))
        return false;
    add_secret(target, password);
    struct str plain =
        arena_printf(&target->arena, "%.*s:%.*s", STR_ARG(user), STR_ARG(password));
    buf_init(&value, CREDENTIALS_BYTES_MAX);
    buf_put_text(&value, "Basic ");
    base64_encode(&value, plain.ptr, plain.len, true);
    add_header(target, STR("authorization"), arena_str(&target->arena, buf_str(&value)));
    bool is_fine = buf_err(&value) == MG_OK;
    buf_fini(&value);
    return is_fine;
}

#define NO_URL "is not of the form http[s]://[user:password@]host:port/path: "

static enum mg_err url_read(struct target *target, struct str text, struct mg_why *why)
{
    struct http_url url;
    struct mg_why inner = {""};

    if (http_url_read(text, &url, &inner) != MG_OK)
        return mg_fail(why, MG_E_FORMAT, NO_URL "%s", inner.text);
    if (url.query.len)
        return mg_fail(why, MG_E_FORMAT, NO_URL "a query is not sent");
    target->is_tls = url.is_tls;
    target->path = arena_str(&target->arena, url.path);
    target->origin = arena_printf(&target->arena, "http%s://%.*s", url.is_tls ? "s" : "",
                                  STR_ARG(url.authority));
    if (url.user_info.ptr && !add_credentials(target, url.user_info))
        return mg_fail(why, MG_E_FORMAT,
                       "the user or the password before the '@' is malformed: write what is no "
                       "letter or digit as %%XX");
    return MG_OK;
}

/* --- headers --- */

/* Those that say how bytes travel or what they are belong to the client and to the exporters; an
 * answer that is packed could not be read. */
static bool is_ours(struct str name)
{
    return http_is_hop_field(name) || str_eq(name, STR("content-type")) ||
           str_eq(name, STR("content-encoding")) || str_eq(name, STR("accept-encoding")) ||
           str_starts(name, STR("grpc-"));
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
    if (!http_is_token(name))
        return mg_fail(why, MG_E_FORMAT, "number %zu has a malformed name before the ':'", number);
    name = http_field_name(&target->arena, name);
    value = str_trim(value);
    if (!http_is_field_value(value))
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

    *target = (struct target){.section = section};
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
