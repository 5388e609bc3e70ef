/* jaeger.c - the Jaeger doors over HTTP: gRPC PostSpans (jaeger-idl: api_v2/collector.proto) and Thrift (jaeger.thrift).
 * Its UDP doors are in udp.c. */
#include "ingest/private.h"
#include "http/health.h"

/* --- gRPC ------------------------------------------------------------------------------------------- */

static enum mg_err grpc_kind(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why)
{
    *protocol = INGEST_JAEGER_POST_SPANS;
    return http_request_zip_kind(request, encoding, why);
}

static void grpc_answer(const struct export *export)
{
    http_respond_grpc(export->request, STR("")); /* PostSpansResponse has no fields */
}

/* --- Thrift ----------------------------------------------------------------------------------------- */

static enum mg_err thrift_kind(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why)
{
    struct str header = http_request_header(request, STR("content-type"));
    struct str type = media_type(header);

    header.len = MG_MIN(header.len, (size_t)100);
    *protocol = INGEST_JAEGER_HTTP_BINARY;
    if (type.len == 0)
        return mg_fail(why, MG_E_MEDIA, "Cannot parse content type: %s%.*s", header.len ? "malformed: " : "there is none", STR_ARG(header));
    if (!str_eq_nocase(type, STR("application/x-thrift")) && !str_eq_nocase(type, STR("application/vnd.apache.thrift.binary")))
        return mg_fail(why, MG_E_MEDIA, "Unsupported content type: %.*s", STR_ARG(header));
    return http_request_zip_kind(request, encoding, why);
}

static void thrift_answer(const struct export *export)
{
    http_respond(export->request, 202, NULL, STR(""));
}

/* Jaeger answers 400 to every mistake of the sender. What is too large or not possible now keeps its own status. */
static void thrift_fail(const struct export *export, enum mg_err err, struct str message)
{
    const char *what = "";
    struct mg_why text;

    if (err == MG_E_FORMAT || err == MG_E_ENCODING || err == MG_E_TOO_BIG)
        what = "Unable to process request body: ";
    else if (err != MG_E_MEDIA)
        what = "Cannot submit Jaeger batch: ";
    if (err == MG_E_MEDIA || err == MG_E_ENCODING)
        err = MG_E_FORMAT;
    (void)mg_fail(&text, err, "%s%.*s", what, STR_ARG(message));
    http_respond_error(export->request, err, str_of(text.text), 0);
}

/* --- routes ----------------------------------------------------------------------------------------- */

static const struct body_door grpc_door = { .door = INGEST_DOOR_JAEGER_GRPC, .kind = grpc_kind, .answer = grpc_answer };
static const struct body_door thrift_door = { .door = INGEST_DOOR_JAEGER_HTTP, .kind = thrift_kind, .answer = thrift_answer,
                                              .fail = thrift_fail };

static const char *const services[] = { "jaeger.api_v2.CollectorService", "jaeger.api_v2.SamplingManager" }; /* the latter: api/sampling */
static struct http_health health = { .services = services, .n = MG_COUNT(services), .is_serving = admit_is_serving };

static void grpc_head(void *owner, struct http_request *request)
{
    admit_on_head(owner, request, &grpc_door);
}
static void grpc_post_spans(void *owner, struct http_request *request)
{
    admit_on_request(owner, request, &grpc_door);
}
static void thrift_head(void *owner, struct http_request *request)
{
    admit_on_head(owner, request, &thrift_door);
}
static void thrift_post(void *owner, struct http_request *request)
{
    admit_on_request(owner, request, &thrift_door);
}

const struct http_route *ingest_jaeger_grpc_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "POST", .path = "/jaeger.api_v2.CollectorService/PostSpans", .on_head = grpc_head,
          .on_request = grpc_post_spans, .is_grpc = true, .scope = HTTP_SCOPE_INGEST },
        HTTP_HEALTH_ROUTES(&health),
    };

    *n = MG_COUNT(routes);
    return routes;
}

const struct http_route *ingest_jaeger_http_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "POST", .path = "/api/traces", .on_head = thrift_head, .on_request = thrift_post, .scope = HTTP_SCOPE_INGEST },
    };

    *n = MG_COUNT(routes);
    return routes;
}
