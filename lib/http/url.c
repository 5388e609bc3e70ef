/* url.c - see url.h. Control characters are looked for first: nothing behind that meets a NUL. */
#include "http/url.h"

enum mg_err http_host_read(struct str text, uint16_t usual_port, struct str *host, uint16_t *port,
                           struct mg_why *why)
{
    struct str name = text, digits = STR("");
    uint64_t number = usual_port;

    if (!str_starts(text, STR("["))) {
        (void)str_split_at(text, ':', &name, &digits); /* none: the usual one */
    } else {
        if (!str_split_at(str_n(text.ptr + 1, text.len - 1), ']', &name, &digits) ||
            (digits.len && digits.ptr[0] != ':'))
            return mg_fail(why, MG_E_FORMAT, "behind '[' stand an address, ']', at most a port");
        if (digits.len)
            digits = str_n(digits.ptr + 1, digits.len - 1);
    }
    if (name.len == 0)
        return mg_fail(why, MG_E_FORMAT, "it names no host");
    if ((digits.len && str_u64(digits, &number) != MG_OK) || number == 0 || number > UINT16_MAX)
        return mg_fail(why, MG_E_FORMAT,
                       "the port must be a number from 1 to 65535; IPv6 addresses are in brackets");
    *host = name;
    *port = (uint16_t)number;
    return MG_OK;
}

static bool has_space_or_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return true;
    return false;
}

/* Takes what stands before the first of `ends` off the front. */
static struct str cut_before(struct str *rest, const char *ends)
{
    size_t n = 0;

    while (n < rest->len && !strchr(ends, rest->ptr[n]))
        n++;
    struct str head = str_n(rest->ptr, n);
    *rest = str_n(rest->ptr + n, rest->len - n);
    return head;
}

/* The last '@' ends it. */
static void cut_user_info(struct http_url *url)
{
    struct str all = url->authority, host;

    while (str_split_at(url->authority, '@', &url->user_info, &host))
        url->authority = host;
    if (url->user_info.ptr)
        url->user_info = str_n(all.ptr, all.len - url->authority.len - 1);
}

enum mg_err http_url_read(struct str text, struct http_url *out, struct mg_why *why)
{
    struct http_url url = {.is_tls = str_starts(text, STR("https://"))};
    size_t scheme = url.is_tls ? strlen("https://") : strlen("http://");

    if (!url.is_tls && !str_starts(text, STR("http://")))
        return mg_fail(why, MG_E_FORMAT, "it must begin with http:// or https://");
    if (has_space_or_control(text))
        return mg_fail(why, MG_E_FORMAT, "spaces and control characters are written as %%XX");
    url.query = str_n(text.ptr + scheme, text.len - scheme);
    url.authority = cut_before(&url.query, "/?#");
    if (memchr(url.query.ptr, '@', url.query.len))
        return mg_fail(why, MG_E_FORMAT,
                       "'@' behind the host, and '/', '?', '#' before an '@', are written as %%XX");
    url.path = cut_before(&url.query, "?#");
    cut_user_info(&url);
    MG_TRY(http_host_read(url.authority, url.is_tls ? 443 : 80, &url.host, &url.port, why));
    *out = url;
    return MG_OK;
}
