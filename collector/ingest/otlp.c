/* otlp.c - what the OTLP doors look like from outside: paths, media types, encodings, answers (otlp.md 2, 3, 9). */
#include "ingest/private.h"
#include "model/otlp_scan.h"
#include "model/otlp_write.h"
#include "codec/json_write.h"
#include "model/wire.h"

/* --- media type and encoding ------------------------------------------------------------------------ */

/* The type without parameters; "" when parameters are malformed. HTTP's media types ignore case. */
static struct str media_type(struct str header)
{
    struct str type, parameters;

    if (!str_split_at(header, ';', &type, &parameters))
        return str_trim(header);
    for (struct str one; str_cut(&parameters, ';', &one);) {
        struct str name, value;
        if (!str_split_at(one, '=', &name, &value) || str_trim(name).len == 0 || str_trim(value).len == 0)
            return STR("");
    }
    return str_trim(type);
}

enum mg_err otlp_kind(struct http_request *request, enum ingest_protocol *protocol, enum zip_kind *encoding, struct mg_why *why)
{
    struct str type = media_type(http_request_header(request, STR("content-type")));
    struct str name = http_request_encoding(request);

    if (http_request_is_grpc(request) || str_eq_nocase(type, STR("application/x-protobuf")))
        *protocol = INGEST_OTLP_PROTO;
    else if (str_eq_nocase(type, STR("application/json")))
        *protocol = INGEST_OTLP_JSON;
    else
        return mg_fail(why, MG_E_MEDIA, "unsupported media type, supported: [application/json, application/x-protobuf]");
    if (!zip_kind_parse(name, encoding))
        return mg_fail(why, MG_E_ENCODING, "unsupported encoding '%.*s', supported: [identity, gzip, deflate, zstd]",
                       STR_ARG(str_n(name.ptr, MG_MIN(name.len, (size_t)64))));
    return MG_OK;
}

/* --- answers ---------------------------------------------------------------------------------------- */

static void refusal_message(const struct export *export, struct buf *out)
{
    buf_printf(out, "%u span%s refused; the first is number %u of the request: %s", export->refused.n,
               export->refused.n == 1 ? "" : "s", export->refused.first_ordinal, otlp_refusal_text(export->refused.first));
}

/* ExportTraceServiceResponse.partial_success = 1 { rejected_spans = 1; error_message = 2 } */
static void partial_proto(const struct export *export, struct str message, struct buf *out)
{
    struct buf partial;

    buf_init(&partial, 4096);
    buf_put_varint(&partial, 1 << 3 | WIRE_VARINT);
    buf_put_varint(&partial, export->refused.n);
    otlp_put_field(&partial, 2, message);
    otlp_put_field(out, 1, buf_str(&partial));
    buf_fini(&partial);
}

static void partial_json(const struct export *export, struct str message, struct buf *out)
{
    struct json_writer w;

    json_writer_init(&w, out, 0);
    json_object(&w);
    if (export->refused.n) {
        json_key_text(&w, "partialSuccess");
        json_object(&w);
        json_key_text(&w, "rejectedSpans");
        json_put_u64_text(&w, export->refused.n);
        json_key_text(&w, "errorMessage");
        json_put_str(&w, message);
        json_object_end(&w);
    }
    json_object_end(&w);
}

void otlp_answer(struct export *export, uint32_t accepted)
{
    struct buf body, message;
    bool is_json = export->protocol == INGEST_OTLP_JSON;

    (void)accepted; /* a client is told only what was not taken */
    buf_init(&body, 8192);
    buf_init(&message, 2048);
    if (export->refused.n)
        refusal_message(export, &message);
    if (is_json)
        partial_json(export, buf_str(&message), &body);
    else if (export->refused.n)
        partial_proto(export, buf_str(&message), &body);
    if (http_request_is_grpc(export->request))
        http_respond_grpc(export->request, buf_str(&body));
    else
        http_respond(export->request, 200, is_json ? "application/json" : "application/x-protobuf", buf_str(&body));
    buf_fini(&body);
    buf_fini(&message);
}

/* --- grpc.health.v1 (otlp.md 3.7) -------------------------------------------------------------------- */

enum { HEALTH_SERVING = 1, HEALTH_BYTES_MAX = 4096 };
static const char trace_service[] = "opentelemetry.proto.collector.trace.v1.TraceService";

static void health_put_serving(struct buf *out)
{
    buf_put_varint(out, 1 << 3 | WIRE_VARINT);
    buf_put_varint(out, HEALTH_SERVING);
}

/* The body of a health request, inflated; false: answered with what is wrong. */
static bool health_body(struct ingest_loop *loop, struct http_request *request, struct str *body)
{
    struct mg_why why = { "" };
    enum zip_kind encoding;

    if (!zip_kind_parse(http_request_encoding(request), &encoding)) {
        http_respond_error(request, MG_E_ENCODING, STR("unsupported encoding"), 0);
        return false;
    }
    enum mg_err err = rows_inflate(loop->maker, encoding, http_request_body(request), HEALTH_BYTES_MAX, body, &why);
    if (err != MG_OK)
        http_respond_error(request, err, str_of(why.text), 0);
    return err == MG_OK;
}

/* The door opens after replay and closes before the program stops, so a check that arrives finds it serving. */
static void on_health_check(void *owner, struct http_request *request)
{
    struct str body, service = STR("");
    struct wire_field field;
    struct buf out;
    int got;

    if (!health_body(owner, request, &body))
        return;
    const uint8_t *at = wire_begin(body), *end = wire_end(body);
    while ((got = wire_next(&at, end, &field)) == 1)
        if (field.number == 1 && field.type == WIRE_BYTES)
            service = field.bytes;
    if (got < 0) {
        http_respond_error(request, MG_E_FORMAT, STR("malformed HealthCheckRequest"), 0);
        return;
    }
    if (service.len && !str_eq(service, str_of(trace_service))) {
        http_respond_grpc_error(request, 5, STR("unknown service"));
        return;
    }
    buf_init(&out, 16);
    health_put_serving(&out);
    http_respond_grpc(request, buf_str(&out));
    buf_fini(&out);
}

static void on_health_list(void *owner, struct http_request *request)
{
    static const char *const services[] = { "", trace_service };
    struct buf out, entry, status;
    struct str body;

    if (!health_body(owner, request, &body))
        return;
    buf_init(&out, 1024);
    buf_init(&entry, 512);
    buf_init(&status, 16);
    health_put_serving(&status);
    for (size_t i = 0; i < MG_COUNT(services); i++) { /* statuses = 1: map<string, HealthCheckResponse> */
        buf_clear(&entry);
        otlp_put_field(&entry, 1, str_of(services[i]));
        otlp_put_field(&entry, 2, buf_str(&status));
        otlp_put_field(&out, 1, buf_str(&entry));
    }
    http_respond_grpc(request, buf_str(&out));
    buf_fini(&out);
    buf_fini(&entry);
    buf_fini(&status);
}

/* --- routes ----------------------------------------------------------------------------------------- */

static void http_head(void *owner, struct http_request *request)
{
    ingest_on_head(owner, request, DOOR_OTLP_HTTP);
}
static void http_export(void *owner, struct http_request *request)
{
    ingest_on_request(owner, request, DOOR_OTLP_HTTP);
}
static void grpc_head(void *owner, struct http_request *request)
{
    ingest_on_head(owner, request, DOOR_OTLP_GRPC);
}
static void grpc_export(void *owner, struct http_request *request)
{
    ingest_on_request(owner, request, DOOR_OTLP_GRPC);
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
        { .method = "POST", .path = "/v1/traces", .on_head = http_head, .on_request = http_export },
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
          .on_request = grpc_export, .is_grpc = true },
        { .method = "POST", .path = "/grpc.health.v1.Health/Check", .on_request = on_health_check, .body_max = HEALTH_BYTES_MAX, .is_grpc = true },
        { .method = "POST", .path = "/grpc.health.v1.Health/List", .on_request = on_health_list, .body_max = HEALTH_BYTES_MAX, .is_grpc = true },
    };

    *n = MG_COUNT(routes);
    return routes;
}
