/* rows.c - see rows.h. OTLP/JSON is transcoded to protobuf first, so that OTLP has one scanner and one set of rules; every
 * scanner of another protocol calls the same visitor.
 *
 *   bytes -> inflate -> (transcode) -> scanner -> (attribute filter) -> visitor -> interner */
#include "ingest/rows.h"
#include "base/clock.h"
#include "model/jaeger_scan.h"
#include "model/otlp_json.h"
#include "model/otlp_scan.h"
#include "model/zipkin_scan.h"

#define ADDED_MAX ((size_t)64 << 20) /* bytes that rules may add to a body */

struct rows_maker {
    struct zip *zip;
    struct otlp_json *json;
    struct otlp_scanner *otlp;
    struct zipkin_scanner *zipkin;
    struct jaeger_scanner *jaeger;
    struct attribute_rules *rules;
    struct attribute_filter *filter;     /* of the rules */
    struct interner *interner;
    struct buf inflated, proto;
    bool was_inflated;
    struct run_list refused, dropped;
    struct refused counts;
    uint32_t n_dropped;
    const struct body_head *replayed;
};

struct rows_maker *rows_maker_new(void)
{
    struct rows_maker *maker = MEM_NEW(struct rows_maker);

    maker->zip = zip_new();
    maker->interner = interner_new();
    return maker;
}

void rows_maker_free(struct rows_maker **pointer)
{
    struct rows_maker *maker = *pointer;

    if (!maker)
        return;
    rows_maker_rules(maker, NULL);
    zip_free(&maker->zip);
    otlp_json_free(&maker->json);
    otlp_scanner_free(&maker->otlp);
    zipkin_scanner_free(&maker->zipkin);
    jaeger_scanner_free(&maker->jaeger);
    interner_free(&maker->interner);
    buf_fini(&maker->inflated);
    buf_fini(&maker->proto);
    run_list_fini(&maker->refused);
    run_list_fini(&maker->dropped);
    mem_free(maker);
    *pointer = NULL;
}

void rows_maker_rules(struct rows_maker *maker, struct attribute_rules *rules)
{
    if (maker->rules == rules)
        return;
    attribute_filter_free(&maker->filter);
    maker->rules = rules;
    if (rules)
        maker->filter = attribute_filter_new(rules);
}

/* --- visitor ---------------------------------------------------------------------------------------- */

static void on_resource(void *owner, struct str resource)
{
    interner_resource(((struct rows_maker *)owner)->interner, resource);
}

static void on_scope(void *owner, struct str scope)
{
    interner_scope(((struct rows_maker *)owner)->interner, scope);
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct rows_maker *maker = owner;
    const struct body_head *head = maker->replayed;

    if (!head || (!left_out_has(head->refused, ordinal) && !left_out_has(head->dropped, ordinal)))
        interner_span(maker->interner, span);
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct rows_maker *maker = owner;

    if (maker->counts.n++ == 0) {
        maker->counts.first = why;
        maker->counts.first_ordinal = ordinal;
    }
    maker->counts.by_reason[why]++;
    run_list_add(&maker->refused, ordinal);
}

static void on_dropped(void *owner, uint32_t ordinal)
{
    struct rows_maker *maker = owner;

    maker->n_dropped++;
    run_list_add(&maker->dropped, ordinal);
}

/* --- scanners --------------------------------------------------------------------------------------- */

static enum mg_err transcode(struct rows_maker *maker, size_t limit, struct str *body, struct mg_why *why)
{
    if (!maker->json)
        maker->json = otlp_json_new();
    if (maker->proto.limit < limit)
        maker->proto.limit = limit;
    MG_TRY(otlp_json_to_proto(maker->json, *body, &maker->proto, why));
    *body = buf_str(&maker->proto);
    return MG_OK;
}

/* They have no ordinals, and need none: a replay does not read them either. */
static void count_unread(struct rows_maker *maker, uint32_t n)
{
    if (n && maker->counts.n == 0)
        maker->counts.first = SPAN_LIBRARY;
    maker->counts.by_reason[SPAN_LIBRARY] = n;
    maker->counts.n += n;
}

static enum mg_err scan_otlp(struct rows_maker *maker, struct str body, const struct span_visitor *visitor, void *owner,
                             struct mg_why *why)
{
    if (!maker->otlp)
        maker->otlp = otlp_scanner_new(NULL);
    MG_TRY(otlp_scan(maker->otlp, body, visitor, owner, why));
    count_unread(maker, (uint32_t)otlp_scanner_unread(maker->otlp));
    return MG_OK;
}

static enum mg_err scan_zipkin(struct rows_maker *maker, bool is_json, struct str body, const struct span_visitor *visitor,
                               void *owner, struct mg_why *why)
{
    if (!maker->zipkin)
        maker->zipkin = zipkin_scanner_new();
    return is_json ? zipkin_scan_json(maker->zipkin, body, visitor, owner, why)
                   : zipkin_scan_proto(maker->zipkin, body, visitor, owner, why);
}

static enum mg_err scan_jaeger(struct rows_maker *maker, enum jaeger_wire wire, struct str body,
                               const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    if (!maker->jaeger)
        maker->jaeger = jaeger_scanner_new();
    return jaeger_scan(maker->jaeger, wire, body, visitor, owner, why);
}

static enum mg_err scan(struct rows_maker *maker, enum ingest_protocol protocol, struct str body,
                        const struct span_visitor *visitor, void *owner, struct mg_why *why)
{
    switch (protocol) {
    case INGEST_OTLP_PROTO:
    case INGEST_OTLP_JSON:
        return scan_otlp(maker, body, visitor, owner, why);
    case INGEST_ZIPKIN_JSON:
    case INGEST_ZIPKIN_PROTO:
        return scan_zipkin(maker, protocol == INGEST_ZIPKIN_JSON, body, visitor, owner, why);
    case INGEST_JAEGER_POST_SPANS:
        return scan_jaeger(maker, JAEGER_POST_SPANS, body, visitor, owner, why);
    case INGEST_JAEGER_HTTP_BINARY:
        return scan_jaeger(maker, JAEGER_HTTP_BINARY, body, visitor, owner, why);
    case INGEST_JAEGER_UDP_COMPACT:
        return scan_jaeger(maker, JAEGER_UDP_COMPACT, body, visitor, owner, why);
    case INGEST_JAEGER_UDP_BINARY:
        return scan_jaeger(maker, JAEGER_UDP_BINARY, body, visitor, owner, why);
    case INGEST_JAEGER_SPAN:
        return scan_jaeger(maker, JAEGER_SPAN, body, visitor, owner, why);
    }
    return mg_fail(why, MG_E_FORMAT, "protocol number %d is not known to this version", (int)protocol);
}

/* --- a body ----------------------------------------------------------------------------------------- */

enum mg_err rows_inflate(struct rows_maker *maker, const struct rows_body *body, struct str *out, struct mg_why *why)
{
    maker->was_inflated = false;
    if ((unsigned)body->encoding > ZIP_ZSTD) /* of a record, or of somebody who knows more */
        return mg_fail(why, MG_E_ENCODING, "encoding number %d is not known to this version", (int)body->encoding);
    if (body->encoding == ZIP_IDENTITY && body->bytes.len > body->limit)
        return mg_fail(why, MG_E_TOO_BIG, "the request is larger than %zu bytes (ingest.body_bytes_max)", body->limit);
    *out = body->bytes;
    if (body->encoding != ZIP_IDENTITY) {
        MG_TRY(zip_inflate(maker->zip, body->encoding, body->bytes, body->limit, &maker->inflated, why));
        *out = buf_str(&maker->inflated);
    }
    maker->was_inflated = true;
    return MG_OK;
}

static void begin(struct rows_maker *maker, const struct body_head *replayed)
{
    run_list_clear(&maker->refused);
    run_list_clear(&maker->dropped);
    maker->counts = (struct refused){ 0 };
    maker->n_dropped = 0;
    maker->replayed = replayed;
    interner_begin(maker->interner, clock_mono_ns());
}

static enum mg_err make(struct rows_maker *maker, enum ingest_protocol protocol, struct str body, size_t limit,
                        struct mg_why *why)
{
    static const struct span_visitor visitor = { on_resource, on_scope, on_span, on_refused };

    if (!maker->filter)
        return scan(maker, protocol, body, &visitor, maker, why);
    size_t added_max = MG_MIN(limit, ADDED_MAX);
    attribute_filter_begin(maker->filter, &visitor, maker, maker->replayed ? NULL : on_dropped, added_max);
    MG_TRY(scan(maker, protocol, body, &attribute_visitor, maker->filter, why));
    if (!maker->replayed && attribute_filter_is_over(maker->filter)) /* what was acked must not be lost */
        return mg_fail(why, MG_E_TOO_BIG,
                       "the attributes that ingest.rules add make this request larger than %zu bytes (ingest.body_bytes_max)",
                       added_max);
    return MG_OK;
}

enum mg_err rows_make(struct rows_maker *maker, const struct rows_body *body, const struct body_head *replayed,
                      struct rows_result *out, struct mg_why *why)
{
    struct rows_result result = { 0 };
    uint64_t started = clock_thread_cpu_ns(), inflated, transcoded;
    struct str bytes;
    enum mg_err err;

    MG_TRY(rows_inflate(maker, body, &bytes, why));
    result.inflated = bytes.len;
    inflated = clock_thread_cpu_ns();
    result.cpu_inflate_ns = inflated - started;
    if (body->protocol == INGEST_OTLP_JSON)
        MG_TRY(transcode(maker, body->limit, &bytes, why));
    transcoded = clock_thread_cpu_ns();
    result.cpu_transcode_ns = transcoded - inflated;
    begin(maker, replayed);
    if ((err = make(maker, body->protocol, bytes, body->limit, why)) != MG_OK) {
        interner_abort(maker->interner);
        return err;
    }
    result.rows = interner_end(maker->interner);
    result.refused = maker->counts;
    result.dropped = maker->n_dropped;
    result.cpu_rows_ns = clock_thread_cpu_ns() - transcoded;
    *out = result;
    return MG_OK;
}

bool rows_was_inflated(const struct rows_maker *maker)
{
    return maker->was_inflated;
}

struct left_out rows_refused(struct rows_maker *maker)
{
    return run_list_end(&maker->refused);
}

struct left_out rows_dropped(struct rows_maker *maker)
{
    return run_list_end(&maker->dropped);
}

void rows_recycle(struct rows_maker *maker, struct row_batch **rows)
{
    interner_recycle(maker->interner, rows);
}

void rows_decay(struct rows_maker *maker)
{
    buf_shrink(&maker->inflated, 0);
    buf_shrink(&maker->proto, 0);
    run_list_fini(&maker->refused);
    run_list_fini(&maker->dropped);
    if (maker->zipkin)
        zipkin_scanner_decay(maker->zipkin);
    if (maker->jaeger)
        jaeger_scanner_decay(maker->jaeger);
    interner_decay(maker->interner);
}
