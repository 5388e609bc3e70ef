/* cors.c - which pages of a browser may read the answers (the Fetch standard, "CORS
 * protocol"), and which may write.
 *
 * The origin is looked at when the head of a request is complete, and what its answer may say is
 * remembered with the request: every answer then says it, errors too, or the page could not read
 * why it failed. An origin is echoed, with credentials allowed. Only for the entry "*" alone the
 * answer is "*" without credentials: every page of the web could otherwise use the credentials that
 * a browser keeps for this server.
 *
 * A browser sends some requests without a preflight, with the credentials that it keeps for this
 * server, and what they do is done although the page cannot read the answer. It says so in
 * Sec-Fetch-Site, which no script can set, no proxy changes, and nobody but a browser sends: over
 * TLS and to loopback, not over plain HTTP to others.
 *
 * A preflight that is refused gets 204 as well, without the headers that would allow something:
 * that is what browsers understand, and what the reference does. */
#include "http/auth.h"
#include "http/conn.h"

#define NS_PER_S         1000000000u
#define ORIGIN_BYTES_MAX 512 /* scheme, a name of at most 253, port */

/* '*' in the pattern is any run of characters; scheme and host have no case. */
static bool is_match(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_t = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            star_t = t;
        } else if (p < pattern.len &&
                   str_eq_nocase(str_n(pattern.ptr + p, 1), str_n(text.ptr + t, 1))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1; /* the run takes one more */
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static const struct http_cors_conf *conf_of(const struct http_request *request)
{
    const struct http_cors_conf *conf = request->server->options.cors;
    return conf && conf->origins.n ? conf : NULL;
}

/* What Access-Control-Allow-Origin says to it; empty: nothing. */
static struct str allow_origin(const struct http_cors_conf *conf, struct str origin)
{
    bool is_any = false, is_plausible = origin.len && origin.len <= ORIGIN_BYTES_MAX;
    for (size_t i = 0; is_plausible && i < conf->origins.n; i++) {
        struct str pattern = conf->origins.at[i];
        if (str_eq(pattern, STR("*")))
            is_any = true;
        else if (is_match(pattern, origin))
            return origin;
    }
    return is_any ? STR("*") : STR("");
}

void cors_look(struct http_request *request)
{
    const struct http_cors_conf *conf = conf_of(request);
    if (!conf || request->is_grpc) /* browsers do not speak gRPC */
        return;
    request->has_cors = true;
    request->cors_origin = allow_origin(conf, http_request_header(request, STR("origin")));
}

bool cors_admits(struct http_request *request)
{
    bool is_safe = str_eq(request->method, STR("GET")) || request->is_head || str_eq(request->method, STR("OPTIONS"));
    if (is_safe || request->cors_origin.len || !str_eq_nocase(http_request_header(request, STR("sec-fetch-site")), STR("cross-site")))
        return true;
    request_refuse(request, MG_E_DENIED, "denied", "a page of another site may send only when cors.origins has it");
    return false;
}

static size_t put_origin(const struct http_request *request, struct http_header *out)
{
    size_t n = 0;
    if (request->cors_origin.len == 0)
        return 0;
    out[n++] = (struct http_header){STR("access-control-allow-origin"), request->cors_origin};
    if (!str_eq(request->cors_origin, STR("*")))
        out[n++] = (struct http_header){STR("access-control-allow-credentials"), STR("true")};
    return n;
}

void cors_add(struct http_request *request, struct answer *answer)
{
    if (!request->has_cors)
        return;
    struct http_header *headers =
        arena_zero(&request->arena, (answer->n_headers + 3) * sizeof *headers);
    if (answer->n_headers)
        memcpy(headers, answer->headers, answer->n_headers * sizeof *headers);
    size_t n = answer->n_headers + put_origin(request, headers + answer->n_headers);
    headers[n++] = (struct http_header){STR("vary"), STR("Origin")};
    answer->headers = headers;
    answer->n_headers = n;
}

/* --- preflights --- */
static bool is_listed(struct str list, struct str word)
{
    struct str item;
    while (str_cut(&list, ',', &item)) {
        if (str_eq(str_trim(item), word))
            return true;
    }
    return false;
}

static bool is_header_allowed(const struct http_cors_conf *conf, struct str name)
{
    /* The safelist of the Fetch standard, and what scripts send to us. */
    static const struct str always[] = {
        STR_INIT("accept"),        STR_INIT("accept-language"),  STR_INIT("content-language"),
        STR_INIT("range"),         STR_INIT("x-requested-with"), STR_INIT("content-type"),
        STR_INIT("authorization"),
    };
    for (size_t i = 0; i < MG_COUNT(always); i++) {
        if (str_eq_nocase(name, always[i]))
            return true;
    }
    for (size_t i = 0; i < conf->headers.n; i++) {
        if (str_eq(conf->headers.at[i], STR("*")) || str_eq_nocase(name, conf->headers.at[i]))
            return true;
    }
    return false;
}

/* All of them, or the preflight fails: a browser sends the request with all or not at all. */
static bool are_headers_allowed(const struct http_cors_conf *conf, struct str list)
{
    struct str name;
    while (str_cut(&list, ',', &name)) {
        name = str_trim(name);
        if (name.len && (!request_is_token(name) || !is_header_allowed(conf, name)))
            return false;
    }
    return true;
}

static size_t put_permission(struct http_request *request, const struct http_cors_conf *conf,
                             struct str allow, struct str wanted, struct http_header *out)
{
    size_t n = put_origin(request, out);
    out[n++] = (struct http_header){STR("access-control-allow-methods"), allow};
    if (wanted.len)
        out[n++] = (struct http_header){STR("access-control-allow-headers"), wanted};
    uint64_t seconds = conf->max_age_ns / NS_PER_S;
    if (seconds)
        out[n++] = (struct http_header){
            STR("access-control-max-age"),
            arena_printf(&request->arena, "%llu", (unsigned long long)seconds)};
    return n;
}

bool cors_preflight(struct http_request *request, struct str allow)
{
    const struct http_cors_conf *conf = conf_of(request);
    struct str method = http_request_header(request, STR("access-control-request-method"));
    struct str wanted = http_request_header(request, STR("access-control-request-headers"));
    if (!conf || !str_eq(request->method, STR("OPTIONS")) || method.len == 0 ||
        http_request_header(request, STR("origin")).len == 0)
        return false;
    struct http_header headers[6] = {
        {STR("vary"),
         STR("Origin, Access-Control-Request-Method, Access-Control-Request-Headers")}};
    size_t n = 1;
    if (request->cors_origin.len && is_listed(allow, method) && are_headers_allowed(conf, wanted))
        n += put_permission(request, conf, allow, wanted, headers + n);
    request->has_cors = false; /* all of it is here */
    request_answer(request, 204, NULL, STR(""), headers, n);
    return true;
}

/* --- the rows --- */
enum mg_err http_cors_check(const struct http_cors_conf *conf, struct mg_why *why)
{
    for (size_t i = 0; i < conf->origins.n; i++) {
        struct str origin = conf->origins.at[i], scheme, host;
        if (str_eq(origin, STR("*")) || str_eq(origin, STR("null")))
            continue;
        size_t at;
        bool has_host = str_find(origin, STR("://"), &at) && at > 0;
        scheme = str_n(origin.ptr, has_host ? at : 0);
        host = has_host ? str_n(origin.ptr + at + 3, origin.len - at - 3) : STR("");
        if (scheme.len == 0 || host.len == 0 || memchr(host.ptr, '/', host.len) ||
            memchr(origin.ptr, ' ', origin.len))
            return mg_fail(why, MG_E_FORMAT,
                           "cors.origins %zu: never an origin: write scheme://host[:port], "
                           "without a path or a '/' at the end",
                           i + 1);
    }
    for (size_t i = 0; i < conf->headers.n; i++) {
        if (!request_is_token(conf->headers.at[i]))
            return mg_fail(why, MG_E_FORMAT,
                           "cors.headers %zu: not a header's name: write one such as x-trace",
                           i + 1);
    }
    return MG_OK;
}
