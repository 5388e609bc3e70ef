/* export.c - see export.h. A request owns its body and a timer; it is in the list of those that
 * wait for a place, or in flight, or its timer runs. Only few are in flight, so that a slow server
 * is felt by the sender at once. */
#include "command/export.h"
#include <assert.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/zip.h"
#include "command/command.h"
#include "command/server.h"
#include "http/client.h"
#include "model/wire.h"
#include "peer/peer.h"

enum {
    FLYING_MAX = 8,
    BACKOFF_MS = 500,
    BACKOFF_MAX_MS = 5000,
    HINT_MAX_S = 60,
    BODY_BYTES_MAX = 64 << 20
};
static const uint64_t give_up_ns = 60000000000; /* OTLP exporters' max_elapsed_time, one minute */

struct request {
    struct exporter *exporter;
    struct list link; /* exporter.waiting or exporter.away */
    struct str body;
    uint32_t spans;
    unsigned attempts;
    uint64_t first_ns; /* of its first attempt */
    struct timer *timer;
};
struct exporter {
    struct loop *loop;
    struct http_client *client;
    struct zip *zip;
    struct random random;
    struct buf packed;
    bool is_grpc, is_failing, is_closing;
    struct list waiting, away; /* request.link; away: in flight or between attempts */
    unsigned n_flying, n_requests;
    struct export_stats stats;
    void (*on_health)(void *owner, const char *why);
    void *owner;
    char *user_agent;
    const struct server_access *access;
};

static char *user_agent_new(void)
{
    struct buf text;

    buf_init(&text, 256);
    buf_printf(&text, "meshglass-demo/%s", version_text());
    return buf_take(&text, NULL);
}

enum mg_err exporter_new(struct exporter **out, struct loop *loop,
                         const struct export_options *options, struct mg_why *why)
{
    const struct http_client_options client_options = {
        .base_url = options->base_url,
        .tls = options->access->tls,
        .http2 = options->is_grpc,
        .connections_max = options->is_grpc ? 1 : FLYING_MAX,
    };
    struct http_client *client;
    struct exporter *exporter;

    MG_TRY(http_client_new(&client, loop, &client_options, why));
    exporter = MEM_NEW(struct exporter);
    exporter->loop = loop;
    exporter->client = client;
    exporter->zip = zip_new();
    exporter->is_grpc = options->is_grpc;
    exporter->on_health = options->on_health;
    exporter->owner = options->owner;
    exporter->user_agent = user_agent_new();
    exporter->access = options->access;
    random_init(&exporter->random, options->seed);
    buf_init(&exporter->packed, BODY_BYTES_MAX);
    list_init(&exporter->waiting);
    list_init(&exporter->away);
    *out = exporter;
    return MG_OK;
}

void exporter_free(struct exporter **pointer)
{
    struct exporter *exporter = *pointer;

    if (!exporter)
        return;
    assert(exporter->n_requests == 0);
    zip_free(&exporter->zip);
    buf_fini(&exporter->packed);
    mem_free(exporter->user_agent);
    mem_free(exporter);
    *pointer = NULL;
}

bool exporter_has_room(const struct exporter *exporter)
{
    return exporter->n_requests < EXPORT_REQUESTS_MAX;
}

bool exporter_is_idle(const struct exporter *exporter)
{
    return exporter->n_requests == 0;
}

void exporter_stat(const struct exporter *exporter, struct export_stats *out)
{
    *out = exporter->stats;
}

/* --- reading answers
 * -------------------------------------------------------------------------------- */

enum mg_err export_rejected(struct str response, uint64_t *spans)
{
    const uint8_t *at = wire_begin(response), *end = wire_end(response);
    struct wire_field field, inner;
    uint64_t rejected = 0;
    int more;

    while ((more = wire_next(&at, end, &field)) == 1) {
        if (field.number != 1 || field.type != WIRE_BYTES) /* partial_success */
            continue;
        const uint8_t *in = wire_begin(field.bytes), *in_end = wire_end(field.bytes);
        while ((more = wire_next(&in, in_end, &inner)) == 1)
            if (inner.number == 1 && inner.type == WIRE_VARINT)
                rejected = inner.value;
        if (more < 0)
            break;
    }
    if (more < 0)
        return MG_E_FORMAT;
    *spans = rejected;
    return MG_OK;
}

bool export_hint(struct str retry_after, uint64_t *delay_ms)
{
    uint64_t seconds;

    if (str_u64(retry_after, &seconds) != MG_OK)
        return false;
    *delay_ms = MG_MIN(seconds, (uint64_t)HINT_MAX_S) * 1000;
    return true;
}

uint64_t export_backoff_ms(unsigned attempt, double unit)
{
    uint64_t ms = BACKOFF_MS;

    for (unsigned i = 1; i < attempt && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return (uint64_t)((double)MG_MIN(ms, (uint64_t)BACKOFF_MAX_MS) * (0.5 + unit));
}

static bool may_retry(const struct exporter *exporter, enum mg_err err,
                      const struct http_answer *answer)
{
    if (err != MG_OK)
        return err == MG_E_IO || err == MG_E_TIMEOUT;
    if (!exporter->is_grpc)
        return answer->status == 429 || (answer->status >= 502 && answer->status <= 504);
    switch (answer->grpc_status) { /* 8 only with RetryInfo, which a client that does not read it
                                      must not assume */
    case 1:
    case 4:
    case 10:
    case 11:
    case 14:
    case 15:
        return true;
    default:
        return false;
    }
}

/* --- a request's life
 * ------------------------------------------------------------------------------- */

static void request_end(struct request *request)
{
    struct exporter *exporter = request->exporter;

    list_remove(&request->link);
    exporter->stats.waiting -= request->spans;
    exporter->n_requests--;
    timer_free(&request->timer);
    mem_free((char *)request->body.ptr);
    mem_free(request);
}

static void set_health(struct exporter *exporter, const char *why)
{
    if (exporter->is_failing == (why != NULL))
        return;
    exporter->is_failing = why != NULL;
    if (exporter->on_health && !exporter->is_closing)
        exporter->on_health(exporter->owner, why);
}

static void answered_well(struct request *request, const struct http_answer *answer)
{
    struct exporter *exporter = request->exporter;
    uint64_t rejected = 0;

    exporter->stats.requests++;
    if (export_rejected(answer->body, &rejected) != MG_OK)
        set_health(exporter,
                   "the answer is not an ExportTraceServiceResponse"); /* counted as accepted: never
                                                                          sent again */
    else
        set_health(exporter, NULL);
    rejected = MG_MIN(rejected, (uint64_t)request->spans);
    exporter->stats.refused += rejected;
    exporter->stats.accepted += request->spans - rejected;
    request_end(request);
}

static void tell_failure(struct exporter *exporter, enum mg_err err,
                         const struct http_answer *answer, const struct mg_why *why)
{
    struct str reason = err == MG_OK ? server_reason(peer_said(answer)) : STR("");
    bool is_unknown = exporter->is_grpc ? answer->grpc_status == 16 : answer->status == 401;
    struct mg_why text;

    if (err != MG_OK)
        (void)mg_fail(&text, err, "%s%s", why->text, server_tls_hint(why));
    else
        (void)mg_fail(&text, MG_E_IO, "answered with %s status %d%s%.*s%s",
                      exporter->is_grpc ? "gRPC" : "HTTP",
                      exporter->is_grpc ? answer->grpc_status : answer->status,
                      reason.len ? ": " : "", STR_ARG(reason), is_unknown ? SERVER_TOKEN_HINT : "");
    set_health(exporter, text.text);
}

static void retry_later(struct request *request, const struct http_answer *answer)
{
    struct exporter *exporter = request->exporter;
    uint64_t delay_ms = export_backoff_ms(request->attempts, random_unit(&exporter->random)),
             hint_ms;

    if (answer && export_hint(answer->retry_after, &hint_ms))
        delay_ms = MG_MAX(delay_ms, hint_ms);
    exporter->stats.retries++;
    timer_start(request->timer, delay_ms);
}

static void start_waiting(struct exporter *exporter);

static void on_answer(void *owner, enum mg_err err, const struct http_answer *answer,
                      const struct mg_why *why)
{
    struct request *request = owner;
    struct exporter *exporter = request->exporter;
    bool is_fine =
        err == MG_OK && (exporter->is_grpc ? answer->grpc_status == 0 : answer->status / 100 == 2);

    exporter->n_flying--;
    if (is_fine) {
        answered_well(request, answer);
        start_waiting(exporter);
        return;
    }
    tell_failure(exporter, err, answer, why);
    if (may_retry(exporter, err, answer) && !exporter->is_closing &&
        loop_now_ns(exporter->loop) - request->first_ns < give_up_ns) {
        retry_later(request, err == MG_OK ? answer : NULL);
    } else {
        *(err == MG_OK && !may_retry(exporter, err, answer) ? &exporter->stats.refused
                                                            : &exporter->stats.failed) +=
            request->spans;
        request_end(request);
    }
    start_waiting(exporter);
}

static void request_start(struct request *request)
{
    struct exporter *exporter = request->exporter;
    struct http_header headers[4] = {{STR("user-agent"), str_of(exporter->user_agent)}};
    size_t n = 1;
    if (exporter->access->n_headers)
        headers[n++] = exporter->access->header;
    if (!exporter->is_grpc) {
        headers[n++] = (struct http_header){STR("content-type"), STR("application/x-protobuf")};
        headers[n++] = (struct http_header){STR("content-encoding"), STR("gzip")};
    }
    const struct http_call call = {
        .method = "POST",
        .path = exporter->is_grpc
                    ? STR("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
                    : STR("/v1/traces"),
        .headers = headers,
        .n_headers = n,
        .body = request->body,
        .is_grpc = exporter->is_grpc,
    };

    list_remove(&request->link);
    list_add_last(&exporter->away, &request->link);
    if (request->attempts++ == 0)
        request->first_ns = loop_now_ns(exporter->loop);
    exporter->n_flying++;
    http_client_call(exporter->client, &call, on_answer, request);
}

static void start_waiting(struct exporter *exporter)
{
    while (!exporter->is_closing && exporter->n_flying < FLYING_MAX &&
           !list_empty(&exporter->waiting))
        request_start(LIST_FIRST(&exporter->waiting, struct request, link));
}

/* Behind those that wait: a place in flight is not taken from them. */
static void on_retry(void *owner)
{
    struct request *request = owner;

    list_remove(&request->link);
    list_add_last(&request->exporter->waiting, &request->link);
    start_waiting(request->exporter);
}

/* gRPC without compression, as the SDKs' default; over HTTP gzip at its fastest, which costs the
 * sender least. */
static struct str pack(struct exporter *exporter, struct str body)
{
    if (exporter->is_grpc)
        return str_n(mem_copy(body.ptr, body.len), body.len);
    buf_clear(&exporter->packed);
    if (zip_deflate(exporter->zip, ZIP_GZIP, body, &exporter->packed) != MG_OK)
        assert(!"a batch is far smaller than the limit");
    return str_n(mem_copy(exporter->packed.ptr, exporter->packed.len), exporter->packed.len);
}

void exporter_send(struct exporter *exporter, struct str body, uint32_t spans)
{
    struct request *request = MEM_NEW(struct request);

    assert(!exporter->is_closing);
    request->exporter = exporter;
    request->body = pack(exporter, body);
    request->spans = spans;
    request->timer = timer_new(exporter->loop, on_retry, request);
    list_add_last(&exporter->waiting, &request->link);
    exporter->n_requests++;
    exporter->stats.waiting += spans;
    start_waiting(exporter);
}

void exporter_close(struct exporter *exporter, void (*on_gone)(void *owner), void *owner)
{
    exporter->is_closing = true;
    while (!list_empty(&exporter->waiting)) {
        struct request *request = LIST_FIRST(&exporter->waiting, struct request, link);
        exporter->stats.failed += request->spans;
        request_end(request);
    }
    http_client_close(&exporter->client, on_gone, owner); /* ends those in flight: on_answer */
    while (!list_empty(&exporter->away)) {
        struct request *request = LIST_FIRST(&exporter->away, struct request, link);
        exporter->stats.failed += request->spans;
        request_end(request);
    }
}
