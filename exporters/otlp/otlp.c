/* How it works: a batch is a request already, packed by its queue; it is posted, and cut when it is too large. */
#include "otlp/otlp.h"
#include "base/log.h"
#include "base/mem.h"
#include "otlp/cut.h"
#include "otlp/response.h"

static const struct str grpc_path =
    STR_INIT("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
static const struct str http_path = STR_INIT("/v1/traces");

#define TYPE struct otlp_export_conf
const struct conf_field otlp_export_fields[] = {
    PEER_ROWS(TYPE, peer,
              "URL of the OTLP receiver, http://host:4317 for gRPC, http://host:4318 for HTTP; "
              "empty: off."),
    CONF_ROW_CHOICE(TYPE, "protocol", protocol, "grpc", "grpc|http",
                    "grpc: over HTTP/2; http: protobuf over HTTP/1.1, to the path /v1/traces.",
                    CONF_NEEDS_RESTART),
    CONF_ROW_CHOICE(TYPE, "compression", compression, "gzip", "gzip|zstd|none",
                    "Compression of what is sent; zstd is read by the OpenTelemetry Collector and "
                    "by few others.", CONF_NEEDS_RESTART),
    SEND_ROWS(TYPE, send),
};
#undef TYPE
const size_t otlp_export_fields_n = MG_COUNT(otlp_export_fields);

struct otlp_export {
    const struct otlp_export_conf *conf;
    struct peer *peer;
    struct buf path;
    struct zip *zip; /* of requests that are cut */
};

static enum zip_kind encoding_of(const struct otlp_export *export)
{
    static const enum zip_kind kinds[] = {[OTLP_EXPORT_GZIP] = ZIP_GZIP,
                                          [OTLP_EXPORT_ZSTD] = ZIP_ZSTD,
                                          [OTLP_EXPORT_PLAIN] = ZIP_IDENTITY};

    return kinds[export->conf->compression];
}

/* --- life --- */

static enum mg_err path_make(struct otlp_export *export, struct mg_why *why)
{
    struct str path = peer_path(export->peer);

    while (str_ends(path, STR("/")))
        path.len--;
    buf_init(&export->path, path.len + grpc_path.len);
    if (export->conf->protocol == OTLP_EXPORT_GRPC) {
        if (path.len)
            return mg_fail(
                why, MG_E_FORMAT,
                "exporters.otlp.endpoint: with protocol grpc it has no path: remove '%.*s', or set "
                "exporters.otlp.protocol to http",
                STR_ARG(path));
        buf_put_str(&export->path, grpc_path);
        return MG_OK;
    }
    buf_put_str(&export->path, path);
    if (!str_ends(path, http_path))
        buf_put_str(&export->path, http_path);
    return MG_OK;
}

enum mg_err otlp_export_new(struct otlp_export **out, const struct otlp_export_conf *conf,
                            struct mg_why *why)
{
    MG_AUTO(otlp_export_free) struct otlp_export *export = MEM_NEW(struct otlp_export);

    export->conf = conf;
    MG_TRY(peer_new(&export->peer, "exporters.otlp", &conf->peer, why));
    MG_TRY(path_make(export, why));
    export->zip = zip_new();
    *out = MG_STEAL(export);
    return MG_OK;
}

void otlp_export_free(struct otlp_export **at)
{
    struct otlp_export *export = MG_STEAL(*at);

    if (!export)
        return;
    peer_free(&export->peer);
    buf_fini(&export->path);
    zip_free(&export->zip);
    mem_free(export);
}

/* --- the wire --- */

static enum mg_err on_open(void *wire, struct loop *loop, struct mg_why *why)
{
    struct otlp_export *export = wire;

    return peer_open(export->peer, loop, export->conf->protocol == OTLP_EXPORT_GRPC,
                     export->conf->send.timeout_ns, why);
}

static void on_close(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct otlp_export *export = wire;

    peer_close(export->peer, on_closed, owner);
}

static void look_at_answer(void *owner, const struct http_answer *answer, uint32_t spans,
                           struct send_result *result)
{
    bool is_json =
        answer->grpc_status < 0 && str_starts(answer->content_type, STR("application/json"));
    struct response response;

    (void)owner;
    if (response_read(answer->body, is_json, &response) != MG_OK) {
        LOG_EVERY(
            600, WARN,
            "the OTLP receiver takes batches with answers that are no ExportTraceServiceResponse: "
            "spans that it refuses are not counted",
            F_STR("content_type", answer->content_type));
        return;
    }
    result->refused_spans = (uint32_t)MG_MIN(response.rejected_spans, (uint64_t)spans);
    if (response.rejected_spans)
        LOG_EVERY(10, WARN, "the OTLP receiver refused spans of a batch",
                  F_U64("spans", response.rejected_spans), F_TEXT("message", response.message));
    else if (response.message[0])
        LOG_EVERY(10, WARN, "the OTLP receiver took a batch with a warning",
                  F_TEXT("message", response.message));
}

static void on_done(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    (void)answer;
    send_done(owner, result);
}

static void on_send(void *wire, struct send_batch *batch)
{
    struct otlp_export *export = wire;
    const struct peer_post post = {
        .path = buf_str(&export->path),
        .content_type = STR("application/x-protobuf"),
        .is_grpc = export->conf->protocol == OTLP_EXPORT_GRPC,
        .other_row = "exporters.otlp.protocol",
    };
    struct peer_parts parts = {
        .cut = request_cut, .encoding = encoding_of(export), .zip = export->zip, .done = batch->done};

    peer_parts_whole(&parts, batch->body, batch->spans);
    peer_send_parts(export->peer, &post, &parts, look_at_answer, on_done, batch);
}

void otlp_export_wire(struct otlp_export *export, struct send_wire *out)
{
    *out = (struct send_wire){
        .name = "otlp", .encoding = encoding_of(export), .open = on_open, .send = on_send, .close = on_close, .wire = export};
}
