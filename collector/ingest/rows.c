/* rows.c - see rows.h. JSON is transcoded to protobuf first, so that there is one scanner and one set of rules. */
#include "ingest/rows.h"
#include "base/clock.h"
#include "model/otlp_json.h"

enum { KEEP_BYTES = 1 << 20, HEAD_VERSION = 1 };

struct rows_maker {
    struct zip *zip;
    struct otlp_json *json;
    struct otlp_scanner *scanner;
    struct interner *interner;
    struct buf inflated, proto;
    VEC(struct run) refused;
    struct refused counts;
    const struct left_out *left_out;
    size_t left_out_at;
};

struct rows_maker *rows_maker_new(void)
{
    struct rows_maker *maker = MEM_NEW(struct rows_maker);

    maker->zip = zip_new();
    maker->scanner = otlp_scanner_new(NULL);
    maker->interner = interner_new();
    return maker;
}

void rows_maker_free(struct rows_maker **pointer)
{
    struct rows_maker *maker = *pointer;

    if (!maker)
        return;
    zip_free(&maker->zip);
    otlp_json_free(&maker->json);
    otlp_scanner_free(&maker->scanner);
    interner_free(&maker->interner);
    buf_fini(&maker->inflated);
    buf_fini(&maker->proto);
    VEC_FINI(&maker->refused);
    mem_free(maker);
    *pointer = NULL;
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
    const struct left_out *out = maker->left_out;

    if (out) {
        size_t *i = &maker->left_out_at;
        while (*i < out->n && out->at[*i].first + out->at[*i].n <= ordinal)
            ++*i;
        if (*i < out->n && out->at[*i].first <= ordinal)
            return;
    }
    interner_span(maker->interner, span);
}

static void on_refused(void *owner, enum otlp_refusal why, uint32_t ordinal)
{
    struct rows_maker *maker = owner;

    if (maker->counts.n++ == 0) {
        maker->counts.first = why;
        maker->counts.first_ordinal = ordinal;
    }
    maker->counts.by_reason[why]++;
    if (maker->refused.n) {
        struct run *last = &maker->refused.at[maker->refused.n - 1];
        if (last->first + last->n == ordinal) {
            last->n++;
            return;
        }
    }
    VEC_PUSH(&maker->refused, ((struct run){ ordinal, 1 }));
}

enum mg_err rows_inflate(struct rows_maker *maker, enum zip_kind encoding, struct str body, size_t limit, struct str *out, struct mg_why *why)
{
    if (encoding == ZIP_IDENTITY && body.len > limit)
        return mg_fail(why, MG_E_TOO_BIG, "the request is larger than %zu bytes (ingest.body_bytes_max)", limit);
    *out = body;
    if (encoding == ZIP_IDENTITY)
        return MG_OK;
    MG_TRY(zip_inflate(maker->zip, encoding, body, limit, &maker->inflated, why));
    *out = buf_str(&maker->inflated);
    return MG_OK;
}

static enum mg_err transcode(struct rows_maker *maker, size_t limit, struct str *body, struct rows_result *out,
                             struct mg_why *why)
{
    uint64_t begin = clock_thread_cpu_ns();

    if (!maker->json)
        maker->json = otlp_json_new();
    if (maker->proto.limit < limit)
        maker->proto.limit = limit;
    MG_TRY(otlp_json_to_proto(maker->json, *body, &maker->proto, why));
    *body = buf_str(&maker->proto);
    out->cpu_transcode_ns = clock_thread_cpu_ns() - begin;
    return MG_OK;
}

enum mg_err rows_make(struct rows_maker *maker, enum ingest_protocol protocol, enum zip_kind encoding, struct str body,
                      size_t limit, const struct left_out *left_out, struct rows_result *out, struct mg_why *why)
{
    static const struct otlp_visitor visitor = { on_resource, on_scope, on_span, on_refused };
    struct rows_result result = { 0 };
    uint64_t begin = clock_thread_cpu_ns();
    enum mg_err err;

    MG_TRY(rows_inflate(maker, encoding, body, limit, &body, why));
    result.cpu_inflate_ns = clock_thread_cpu_ns() - begin;
    result.inflated = body.len;
    if (protocol == INGEST_OTLP_JSON)
        MG_TRY(transcode(maker, limit, &body, &result, why));
    begin = clock_thread_cpu_ns();
    VEC_CLEAR(&maker->refused);
    maker->counts = (struct refused){ 0 };
    maker->left_out = left_out;
    maker->left_out_at = 0;
    interner_begin(maker->interner, clock_mono_ns());
    if ((err = otlp_scan(maker->scanner, body, &visitor, maker, why)) != MG_OK) {
        interner_abort(maker->interner);
        return err;
    }
    result.rows = interner_end(maker->interner);
    result.refused = maker->counts;
    result.cpu_rows_ns = clock_thread_cpu_ns() - begin;
    *out = result;
    return MG_OK;
}

struct left_out rows_refused(const struct rows_maker *maker)
{
    return (struct left_out){ maker->refused.at, maker->refused.n };
}

void rows_recycle(struct rows_maker *maker, struct row_batch **rows)
{
    interner_recycle(maker->interner, rows);
}

void rows_decay(struct rows_maker *maker)
{
    buf_shrink(&maker->inflated, 0);
    buf_shrink(&maker->proto, 0);
    VEC_FINI(&maker->refused);
    interner_decay(maker->interner);
}

/* --- the head of a record --------------------------------------------------------------------------- */

void refused_head_write(struct buf *head, struct left_out refused)
{
    uint32_t end = 0;

    buf_put_varint(head, HEAD_VERSION);
    buf_put_varint(head, refused.n);
    for (size_t i = 0; i < refused.n; i++) {
        buf_put_varint(head, refused.at[i].first - end);
        buf_put_varint(head, refused.at[i].n);
        end = refused.at[i].first + refused.at[i].n;
    }
}

static const uint8_t *read_run(const uint8_t *at, const uint8_t *end, uint64_t *from, struct run *out)
{
    uint64_t step, n;

    if (!(at = get_varint(at, end, &step)) || !(at = get_varint(at, end, &n)) || n == 0)
        return NULL;
    if (step > UINT32_MAX || n > UINT32_MAX || *from + step + n > UINT32_MAX)
        return NULL;
    *out = (struct run){ (uint32_t)(*from + step), (uint32_t)n };
    *from += step + n;
    return at;
}

enum mg_err refused_head_read(struct str head, struct run **runs, size_t *n, uint32_t *spans)
{
    const uint8_t *at = (const uint8_t *)head.ptr, *end = at + head.len;
    uint64_t version, count, from = 0;
    struct run *list;

    if (!(at = get_varint(at, end, &version)) || version != HEAD_VERSION)
        return MG_E_FORMAT;
    if (!(at = get_varint(at, end, &count)) || count > (uint64_t)(end - at) / 2)
        return MG_E_FORMAT;
    list = mem_alloc((size_t)count * sizeof *list);
    *spans = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(at = read_run(at, end, &from, &list[i]))) {
            mem_free(list);
            return MG_E_FORMAT;
        }
        *spans += list[i].n;
    }
    *runs = list;
    *n = (size_t)count;
    return MG_OK;
}
