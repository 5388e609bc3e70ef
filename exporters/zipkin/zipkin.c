/* How it works: the spans of a batch are written one by one into a scratch buffer, and from there
 * into the bodies of as many requests as it takes. */
#include "zipkin/zipkin.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/otlp_scan.h"
#include "model/zipkin_write.h"

/* Zipkin 3.5 answers 500 to a request of more than 10 MiB, which would cost a large span's whole
 * batch. */
enum { PART_BYTES = 4 << 20, SPAN_BYTES_MAX = 9 << 20 };
static const struct otlp_limits limits = {.depth_max = WIRE_DEPTH_MAX,
                                          .attrs_max = 1 << 20}; /* what the doors took */

#define TYPE struct zipkin_export_conf
const struct conf_field zipkin_export_fields[] = {
    PEER_ROWS(TYPE, peer,
              "URL of the Zipkin server with its path, http://host:9411/api/v2/spans; empty: off."),
    CONF_ROW_CHOICE(TYPE, "compression", compression, "gzip", "gzip|none", "Compression of what is sent.",
                    CONF_NEEDS_RESTART),
    SEND_ROWS(TYPE, send),
};
#undef TYPE
const size_t zipkin_export_fields_n = MG_COUNT(zipkin_export_fields);

struct zipkin_export {
    const struct zipkin_export_conf *conf;
    struct peer *peer;
    struct str path;
    struct otlp_scanner *scanner;
    struct zip *zip;
    struct arena arena; /* one span's */
    struct buf text;    /* one span's */
    /* the batch that is being converted */
    struct peer_parts parts;
    uint32_t left_out;
};
struct flight {
    struct send_batch *batch;
    uint32_t left_out;
};

/* --- life --- */

enum mg_err zipkin_export_new(struct zipkin_export **out, const struct zipkin_export_conf *conf,
                              struct mg_why *why)
{
    MG_AUTO(zipkin_export_free) struct zipkin_export *export = MEM_NEW(struct zipkin_export);

    export->conf = conf;
    MG_TRY(peer_new(&export->peer, "exporters.zipkin", &conf->peer, why));
    export->path = peer_path(export->peer);
    if (export->path.len == 0 || str_eq(export->path, STR("/")))
        export->path = STR("/api/v2/spans");
    export->scanner = otlp_scanner_new(&limits);
    export->zip = zip_new();
    buf_init(&export->text, SPAN_BYTES_MAX);
    *out = MG_STEAL(export);
    return MG_OK;
}

void zipkin_export_free(struct zipkin_export **at)
{
    struct zipkin_export *export = MG_STEAL(*at);

    if (!export)
        return;
    peer_free(&export->peer);
    otlp_scanner_free(&export->scanner);
    zip_free(&export->zip);
    arena_fini(&export->arena);
    buf_fini(&export->text);
    mem_free(export);
}

/* --- converting --- */

static void on_part_of_all(void *owner, struct str part)
{
    (void)owner, (void)part; /* a span carries its resource and its scope */
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct zipkin_export *export = owner;
    struct zipkin_span view;
    struct json_writer writer;

    (void)ordinal;
    arena_reset(&export->arena);
    buf_clear(&export->text);
    zipkin_view(span, &export->arena, &view);
    json_writer_init(&writer, &export->text, 0);
    zipkin_write_span(&writer, &view);
    if (buf_err(&export->text) == MG_OK)
        peer_parts_add(&export->parts, buf_str(&export->text));
    else
        export->left_out++;
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct zipkin_export *export = owner;

    (void)why, (void)ordinal;
    export->left_out++;
}

static enum mg_err convert(struct zipkin_export *export, struct str body, struct mg_why *why)
{
    static const struct span_visitor visitor = {.on_resource = on_part_of_all,
                                                .on_scope = on_part_of_all,
                                                .on_span = on_span,
                                                .on_refused = on_refused};
    enum { KEEP_BYTES = 1 << 20 };

    export->parts = (struct peer_parts){
        .open = "[",
        .between = ",",
        .close = "]",
        .part_bytes = PART_BYTES,
        .encoding = export->conf->compression == ZIPKIN_EXPORT_GZIP ? ZIP_GZIP : ZIP_IDENTITY,
        .zip = export->zip};
    export->left_out = 0;
    enum mg_err err = otlp_scan(export->scanner, body, &visitor, export, why);
    export->left_out += (uint32_t)otlp_scanner_unread(export->scanner);
    buf_shrink(&export->text, KEEP_BYTES);
    arena_reset(&export->arena);
    if (err != MG_OK)
        peer_parts_fini(&export->parts);
    return err;
}

/* --- the wire --- */

static enum mg_err on_open(void *wire, struct loop *loop, struct mg_why *why)
{
    struct zipkin_export *export = wire;

    return peer_open(export->peer, loop, false, export->conf->send.timeout_ns, why);
}

static void on_close(void *wire, void (*on_closed)(void *owner), void *owner)
{
    struct zipkin_export *export = wire;

    peer_close(export->peer, on_closed, owner);
}

static void on_done(void *owner, const struct send_result *result, const struct http_answer *answer)
{
    struct flight *flight = owner;
    struct send_batch *batch = flight->batch;
    struct send_result whole = *result;

    (void)answer;
    if (whole.verdict == SEND_TAKEN)
        whole.refused_spans = MG_MIN(whole.refused_spans + flight->left_out, batch->spans);
    if (whole.refused_spans)
        LOG_EVERY(60, WARN, "spans were not sent to Zipkin: without a valid id, or too large",
                  F_U64("spans", whole.refused_spans));
    mem_free(flight);
    send_done(batch, &whole);
}

static void on_send(void *wire, struct send_batch *batch)
{
    struct zipkin_export *export = wire;
    struct mg_why why;

    if (convert(export, batch->body, &why) != MG_OK) {
        send_done(batch, &(struct send_result){.verdict = SEND_REFUSED, .reason = why.text});
        return;
    }
    struct flight *flight = MEM_NEW(struct flight);
    *flight = (struct flight){.batch = batch, .left_out = export->left_out};
    export->parts.done = batch->done;
    peer_send_parts(
        export->peer,
        &(struct peer_post){.path = export->path, .content_type = STR("application/json")},
        &export->parts, NULL, on_done, flight);
}

void zipkin_export_wire(struct zipkin_export *export, struct send_wire *out)
{
    *out = (struct send_wire){
        .name = "zipkin", .open = on_open, .send = on_send, .close = on_close, .wire = export};
}
