/* transform.c - the body goes the way of every OTLP/JSON body, to protobuf and through the scanner,
 * on a query thread. Spans are copied into the job's arena, grouped by trace in the order in which
 * traces appear, and each group is written as a trace that was found.
 *
 * Slices of a span point into the protobuf bytes or into the scanner's memory, so both live until
 * the answer is written. Copies count against query.memory_max. */
#include "api/jaeger/transform.h"

#include "api/jaeger/envelope.h"
#include "api/jaeger/job.h"
#include "base/map.h"
#include "base/vec.h"
#include "model/otlp_json.h"
#include "model/otlp_scan.h"

struct group {
    VEC(struct span *) spans;
};

struct upload {
    struct job *job;
    struct otlp_scanner *scanner;
    struct buf proto;
    VEC(struct group) groups; /* one a trace */
    struct map by_id;         /* trace id -> place in groups + 1 */
    size_t n_refused;
    enum span_refusal refusal; /* the first one */
    bool is_too_large;
};

/* --- collecting
 * --------------------------------------------------------------------------------------- */

static void on_part(void *owner, struct str part)
{
    (void)owner; /* a span names its resource and its scope */
    (void)part;
}

static struct group *group_of(struct upload *upload, const uint8_t id[16])
{
    bool is_new;
    void **place = map_put(&upload->by_id, str_n(id, 16), &is_new);

    if (is_new) {
        VEC_PUSH(&upload->groups, (struct group){0});
        *place = (void *)(uintptr_t)upload->groups.n;
    }
    return &upload->groups.at[(uintptr_t)*place - 1];
}

static void on_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct upload *upload = owner;
    struct arena *arena = &upload->job->search.arena;
    size_t attrs_bytes = span->n_attrs * sizeof *span->attrs;

    (void)ordinal;
    if (arena->bytes + sizeof *span + attrs_bytes > upload->job->api->memory_max)
        upload->is_too_large = true;
    if (upload->is_too_large)
        return;
    struct span *copy = arena_alloc(arena, sizeof *copy);
    *copy = *span;
    if (attrs_bytes) {
        struct attr *attrs = arena_alloc(arena, attrs_bytes);
        memcpy(attrs, span->attrs, attrs_bytes);
        copy->attrs = attrs;
    }
    struct group *group = group_of(upload, span->trace_id);
    VEC_PUSH(&group->spans, copy);
}

static void on_refused(void *owner, enum span_refusal why, uint32_t ordinal)
{
    struct upload *upload = owner;

    (void)ordinal;
    if (upload->n_refused++ == 0)
        upload->refusal = why;
}

static enum mg_err read_otlp(struct upload *upload, struct mg_why *why)
{
    static const struct span_visitor visitor = {on_part, on_part, on_span, on_refused};
    struct job *job = upload->job;
    struct str body = buf_str(&job->body);
    struct otlp_json *reader = otlp_json_new();

    body = str_n(body.ptr + job->body_offset, body.len - job->body_offset);
    enum mg_err err = otlp_json_to_proto(reader, body, &upload->proto, why);
    otlp_json_free(&reader);
    buf_fini(&job->body); /* all is in the protobuf bytes now */
    if (!err)
        err = otlp_scan(upload->scanner, buf_str(&upload->proto), &visitor, upload, why);
    return err ? mg_fail_in(why, err, "cannot unmarshal OTLP ") : MG_OK;
}

/* --- writing
 * ------------------------------------------------------------------------------------------ */

static enum mg_err put_traces(struct upload *upload)
{
    static const struct trace_json_options options = {.raw = true};
    struct job *job = upload->job;

    for (size_t i = 0; i < upload->groups.n; i++) {
        const struct group *group = &upload->groups.at[i];
        struct query_trace trace = {.spans = group->spans.at, .n = group->spans.n};
        memcpy(trace.id, group->spans.at[0]->trace_id, sizeof trace.id);
        MG_TRY(trace_json_write(&job->w, &trace, &options, job_flush, job));
        MG_TRY(query_answer_flush(&job->answer));
    }
    return MG_OK;
}

static void put_refused(struct json_writer *w, const struct upload *upload)
{
    char text[160];
    struct buf message;

    buf_init(&message, sizeof text);
    buf_printf(&message, "spans left out: %zu; the first because %s", upload->n_refused,
               span_refusal_text(upload->refusal));
    json_array(w);
    json_object(w);
    json_key_text(w, "msg");
    json_put_str(w, buf_str(&message));
    json_object_end(w);
    json_array_end(w);
    buf_fini(&message);
}

static enum mg_err answer(struct upload *upload, struct mg_why *why)
{
    struct json_writer *w = &upload->job->w;

    MG_TRY(read_otlp(upload, why));
    if (upload->is_too_large)
        return mg_fail(why, MG_E_TOO_BIG, "the spans need more memory than query.memory_max");
    envelope_begin(w);
    json_array(w);
    MG_TRY(put_traces(upload));
    json_array_end(w);
    if (upload->n_refused == 0) {
        envelope_end(w, 0);
        return MG_OK;
    }
    envelope_counts(w, 0);
    put_refused(w, upload);
    envelope_close(w);
    return MG_OK;
}

static enum mg_err produce(struct job *job, struct query *query, struct mg_why *why)
{
    struct upload upload = {.job = job, .scanner = otlp_scanner_new(NULL)};

    (void)query; /* only its thread is needed */
    buf_init(&upload.proto, (size_t)MG_MIN(job->api->memory_max, SIZE_MAX));
    enum mg_err err = answer(&upload, why);
    for (size_t i = 0; i < upload.groups.n; i++)
        VEC_FINI(&upload.groups.at[i].spans);
    VEC_FINI(&upload.groups);
    map_fini(&upload.by_id);
    buf_fini(&upload.proto);
    otlp_scanner_free(&upload.scanner);
    return err;
}

/* --- the request
 * -------------------------------------------------------------------------------------- */

static void on_gone(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;

    (void)request;
    atomic_fetch_sub(&api->uploads, 1);
}

void transform_on_head(void *owner, struct http_request *request)
{
    struct jaeger_api *api = owner;
    struct str encoding = http_request_encoding(request);

    if (encoding.len && !str_eq(encoding, STR("identity"))) {
        http_respond_error(request, MG_E_ENCODING, STR("a file is read as it is, not encoded"), 0);
        return;
    }
    if (atomic_fetch_add(&api->uploads, 1) >= TRANSFORM_UPLOADS_MAX) {
        atomic_fetch_sub(&api->uploads, 1);
        http_respond_error(request, MG_E_BUSY,
                           STR("too many files are being read, try again later"), 0);
        return;
    }
    http_request_on_gone(request, on_gone, api);
}

void transform_on_request(void *owner, struct http_request *request)
{
    bool is_pretty = jaeger_is_pretty(http_request_query(request));
    struct job *job =
        job_new(owner, &(struct job_options){.name = "trace",
                                             .put_failure = envelope_failure,
                                             .produce = produce,
                                             .indent = is_pretty ? ENVELOPE_INDENT : 0});

    http_request_take_body(request, &job->body, &job->body_offset);
    job->is_upload = true; /* its pipe answers: on_gone is not called any more */
    job_start(job, request, MG_OK, NULL);
}
