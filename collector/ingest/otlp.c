/* otlp.c - what the OTLP doors look like from outside: paths, media types, encodings, answers (OTLP specification). */
#include "ingest/private.h"
#include "http/health.h"
#include "codec/json_write.h"
#include "model/wire.h"

static enum mg_err otlp_kind(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why)
{
    struct str type = media_type(http_request_header(request, STR("content-type")));

    if (http_request_is_grpc(request) || str_eq_nocase(type, STR("application/x-protobuf")))
        *protocol = INGEST_OTLP_PROTO;
    else if (str_eq_nocase(type, STR("application/json")))
        *protocol = INGEST_OTLP_JSON;
    else
        return mg_fail(why, MG_E_MEDIA, "unsupported media type, supported: [application/json, application/x-protobuf]");
    return http_request_zip_kind(request, encoding, why);
}

/* --- answers ---------------------------------------------------------------------------------------- */

static void refusal_message(const struct refused *refused, struct buf *out)
{
    buf_printf(out, "%u span%s refused", refused->n, refused->n == 1 ? "" : "s");
    if (refused->first != SPAN_LIBRARY)
        buf_printf(out, "; the first is number %u of the request", refused->first_ordinal);
    buf_printf(out, ": %s", span_refusal_text(refused->first));
}

/* ExportTraceServiceResponse.partial_success = 1 { rejected_spans = 1; error_message = 2 } */
static void partial_proto(const struct refused *refused, struct str message, struct buf *out)
{
    size_t partial = wire_open(out, 1);

    wire_put_varint(out, 1, refused->n);
    wire_put_bytes(out, 2, message);
    wire_close(out, partial);
}

static void partial_json(const struct refused *refused, struct str message, struct buf *out)
{
    struct json_writer w;

    json_writer_init(&w, out, 0);
    json_object(&w);
    if (refused->n) {
        json_key_text(&w, "partialSuccess");
        json_object(&w);
        json_key_text(&w, "rejectedSpans");
        json_put_u64_text(&w, refused->n);
        json_key_text(&w, "errorMessage");
        json_put_str(&w, message);
        json_object_end(&w);
    }
    json_object_end(&w);
}

/* A client is told only what was not taken. */
static void otlp_answer(const struct export *export)
{
    const struct refused *refused = &export->take.refused;
    bool is_json = export->take.protocol == INGEST_OTLP_JSON;
    struct buf body, message;

    buf_init(&body, 8192);
    buf_init(&message, 2048);
    if (refused->n)
        refusal_message(refused, &message);
    if (is_json)
        partial_json(refused, buf_str(&message), &body);
    else if (refused->n)
        partial_proto(refused, buf_str(&message), &body);
    if (http_request_is_grpc(export->request))
        http_respond_grpc(export->request, buf_str(&body));
    else
        http_respond(export->request, 200, is_json ? "application/json" : "application/x-protobuf", buf_str(&body));
    buf_fini(&body);
    buf_fini(&message);
}

/* --- routes ----------------------------------------------------------------------------------------- */

static const struct body_door http_door = { .door = INGEST_DOOR_OTLP_HTTP, .kind = otlp_kind, .answer = otlp_answer };
static const struct body_door grpc_door = { .door = INGEST_DOOR_OTLP_GRPC, .kind = otlp_kind, .answer = otlp_answer };

static const char *const services[] = { "opentelemetry.proto.collector.trace.v1.TraceService" };
static struct http_health health = { .services = services, .n = MG_COUNT(services), .is_serving = admit_is_serving };

static void http_head(void *owner, struct http_request *request)
{
    admit_on_head(owner, request, &http_door);
}
static void http_export(void *owner, struct http_request *request)
{
    admit_on_request(owner, request, &http_door);
}
static void grpc_head(void *owner, struct http_request *request)
{
    admit_on_head(owner, request, &grpc_door);
}
static void grpc_export(void *owner, struct http_request *request)
{
    admit_on_request(owner, request, &grpc_door);
}
static void other_signal(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond_error(request, MG_E_UNSUPPORTED, STR("only traces are taken here, at /v1/traces"), 0);
}
static void wrong_path(void *owner, struct http_request *request)
{
    (void)owner;
    http_respond_error(request, MG_E_ABSENT,
                       STR("nothing is served at /; an endpoint given per signal needs its path: /v1/traces"), 0);
}

const struct http_route *ingest_otlp_http_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "POST", .path = "/v1/traces", .on_head = http_head, .on_request = http_export, .scope = HTTP_SCOPE_INGEST },
        { .method = "POST", .path = "/v1/metrics", .on_head = other_signal },
        { .method = "POST", .path = "/v1/logs", .on_head = other_signal },
        { .method = "POST", .path = "/v1development/profiles", .on_head = other_signal },
        { .method = "POST", .path = "/", .on_head = wrong_path },
    };

    *n = MG_COUNT(routes);
    return routes;
}

const struct http_route *ingest_otlp_grpc_routes(size_t *n)
{
    static const struct http_route routes[] = {
        { .method = "POST", .path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export", .on_head = grpc_head,
          .on_request = grpc_export, .is_grpc = true, .scope = HTTP_SCOPE_INGEST },
        HTTP_HEALTH_ROUTES(&health),
    };

    *n = MG_COUNT(routes);
    return routes;
}
