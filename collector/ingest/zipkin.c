/* zipkin.c - the Zipkin door: POST /api/v2/spans (zipkin-api: zipkin2-api.yaml).
 *
 * As Zipkin does: any type but application/x-protobuf is JSON, a list with one bad span is refused whole, an empty body is an
 * empty list, and every mistake of the sender is 400. Unlike it, the 202 comes after the spans are durable, and overload is
 * 503 with a hint: its clients drop what is refused either way, but proxies between know that one. */
#include "ingest/private.h"

static enum mg_err zipkin_kind(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why)
{
    struct str type = media_type(http_request_header(request, STR("content-type")));
    struct str name = http_request_encoding(request);

    *protocol = str_eq_nocase(type, STR("application/x-protobuf")) ? INGEST_ZIPKIN_PROTO : INGEST_ZIPKIN_JSON;
    if (str_eq(name, STR("gzip")) || str_eq(name, STR("x-gzip")))
        *encoding = ZIP_GZIP;
    else if (name.len == 0 || str_eq(name, STR("identity")))
        *encoding = ZIP_IDENTITY;
    else
        return mg_fail(why, MG_E_ENCODING, "unsupported encoding '%.*s', supported: [identity, gzip, x-gzip]",
                       STR_ARG(str_n(name.ptr, MG_MIN(name.len, (size_t)64))));
    return MG_OK;
}

static void zipkin_answer(const struct export *export)
{
    http_respond(export->request, 202, NULL, STR(""));
}

static void zipkin_fail(const struct export *export, enum mg_err err, struct str message)
{
    bool is_gunzip = err == MG_E_FORMAT && export->take.encoding == ZIP_GZIP && !export->take.was_inflated;
    struct mg_why text;

    if (is_gunzip)
        (void)mg_fail(&text, err, "Cannot gunzip spans: %.*s", STR_ARG(message));
    http_respond_error(export->request, err == MG_E_ENCODING ? MG_E_FORMAT : err, is_gunzip ? str_of(text.text) : message, 0);
}

static const struct body_door door = { .door = INGEST_DOOR_ZIPKIN, .kind = zipkin_kind, .takes_empty = true,
                                       .answer = zipkin_answer, .fail = zipkin_fail };

static void on_head(void *owner, struct http_request *request)
{
    admit_on_head(owner, request, &door);
}
static void on_request(void *owner, struct http_request *request)
{
    admit_on_request(owner, request, &door);
}

#define HEALTH(status) STR("{\"status\":\"" status "\",\"zipkin\":{\"status\":\"" status "\",\"details\":{\"meshglass\":{\"status\":\"" status "\"}}}}")
static void on_health(void *owner, struct http_request *request)
{
    bool is_up = admit_is_serving(owner);

    http_respond(request, is_up ? 200 : 503, "application/json", is_up ? HEALTH("UP") : HEALTH("DOWN"));
}

const struct http_route *ingest_zipkin_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "POST", .path = "/api/v2/spans", .on_head = on_head, .on_request = on_request, .scope = HTTP_SCOPE_INGEST },
        { .method = "GET", .path = "/health", .on_request = on_health, .scope = HTTP_SCOPE_OPEN },
    };

    *n = MG_COUNT(routes);
    return routes;
}
