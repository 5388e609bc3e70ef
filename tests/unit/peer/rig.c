#include "unit/peer/rig.h"
#include <stdio.h>
#include "base/mem.h"
#include "model/wire.h"
#include "net/tls.h"

enum { DEADLINE_MS = 60000 };

/* --- the server --- */

static struct str keep(struct rig *rig, struct str text)
{
    return arena_str(&rig->arena, text);
}

static void note(struct rig *rig, struct http_request *request)
{
    struct rig_request got = {
        .method = keep(rig, http_request_method(request)),
        .path = keep(rig, http_request_path(request)),
        .query = keep(rig, http_request_query(request)),
        .type = keep(rig, http_request_header(request, STR("content-type"))),
        .encoding = keep(rig, http_request_encoding(request)),
        .authorization = keep(rig, http_request_header(request, STR("authorization"))),
        .token = keep(rig, http_request_header(request, STR("x-token"))),
        .agent = keep(rig, http_request_header(request, STR("user-agent"))),
        .body = keep(rig, http_request_body(request)),
    };

    VEC_PUSH(&rig->requests, got);
}

static void respond(struct http_request *request, const struct rig_answer *answer)
{
    struct str body = answer->bytes.len ? answer->bytes : str_of(answer->body);
    const struct http_header hint = {STR("retry-after"), str_of(answer->retry_after)};

    if (answer->echoes)
        body = http_request_header(request, STR("x-token"));
    if (http_request_is_grpc(request) && answer->status == 0) {
        if (answer->grpc_status == 0)
            http_respond_grpc(request, answer->bytes);
        else
            http_respond_grpc_error(request, answer->grpc_status, body);
        return;
    }
    http_respond_with(request, answer->status ? answer->status : 200, answer->type ? answer->type : "text/plain", body, &hint,
                      answer->retry_after ? 1 : 0);
}

static void on_request(void *owner, struct http_request *request)
{
    struct rig *rig = owner;
    const struct rig_answer *answer = &rig->answers[MG_MIN(rig->requests.n, rig->n_answers - 1)];

    note(rig, request);
    if (answer->is_held) {
        VEC_PUSH(&rig->held, request);
        loop_stop(rig->loop);
    } else {
        respond(request, answer);
    }
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/*", .on_request = on_request},
    {.method = "PUT", .path = "/*", .on_request = on_request},
    {.method = "POST", .path = "/*", .on_request = on_request},
    {.path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export", .on_request = on_request, .is_grpc = true},
};

static void on_deadline(void *owner)
{
    (void)owner;
    fail_msg("nothing happened for 60 s");
}

void rig_open(struct rig *rig, struct tls_source *tls)
{
    static const struct rig_answer fine = {0};
    struct http_options options = {.conf = &rig->conf, .routes = routes, .n_routes = MG_COUNT(routes), .owner = rig};
    struct listener_options where = {.address = STR("127.0.0.1:0"), .tls = tls};
    struct str ip, port;
    struct mg_why why;

    *rig = (struct rig){.loop = loop_new(), .zip = zip_new(), .tls = tls};
    rig->conf = (struct http_conf){.header_bytes_max = 64 << 10, .body_bytes_max = 64 << 20, .streams_max = 100,
                                   .connections_max = 100, .header_timeout_ns = 10000000000u, .idle_timeout_ns = 300000000000u,
                                   .body_timeout_ns = 30000000000u, .stream_window = 1 << 20, .connection_window = 4 << 20,
                                   .reset_max = 100};
    rig->deadline = timer_new(rig->loop, on_deadline, rig);
    timer_start(rig->deadline, DEADLINE_MS);
    rig->server = http_server_new(rig->loop, &options);
    if (http_server_listen(rig->server, &where, &why) != MG_OK)
        fail_msg("%s", why.text);
    assert_true(str_split_at(http_server_address(rig->server), ':', &ip, &port));
    snprintf(rig->url, sizeof rig->url, "http%s://127.0.0.1:%.*s", tls ? "s" : "", STR_ARG(port));
    rig_script(rig, &fine, 1);
}

void rig_script(struct rig *rig, const struct rig_answer *answers, size_t n)
{
    rig->answers = answers;
    rig->n_answers = n;
    VEC_CLEAR(&rig->requests);
}

/* --- the queue's side --- */

static struct rig *current; /* send_done has no owner */

void send_done(struct send_batch *batch, const struct send_result *result)
{
    struct rig *rig = current;
    size_t i = (size_t)(batch - rig->batches);

    assert_true(i < rig->n_sent);
    assert_int_equal(batch->number, i); /* once */
    batch->number = UINT64_MAX;
    rig->results[i] = (struct rig_result){.verdict = result->verdict, .retry_after_ms = result->retry_after_ms,
                                          .refused_spans = result->refused_spans, .done = result->done};
    snprintf(rig->results[i].reason, sizeof rig->results[i].reason, "%s", result->reason ? result->reason : "");
    if (result->verdict == SEND_TAKEN)
        assert_true(result->refused_spans <= batch->spans);
    else
        assert_true(result->reason && result->reason[0]);
    rig->n_done++;
    loop_stop(rig->loop);
}

void rig_wire(struct rig *rig, const struct send_wire *wire)
{
    struct mg_why why;

    current = rig;
    rig->wire = *wire;
    if (rig->wire.open(rig->wire.wire, rig->loop, &why) != MG_OK)
        fail_msg("%s", why.text);
    rig->has_wire = true;
}

size_t rig_begin(struct rig *rig, struct str body, uint32_t spans)
{
    struct buf packed;
    size_t i = rig->n_sent;

    assert_true(i < RIG_BATCHES_MAX);
    buf_init(&packed, SIZE_MAX);
    assert_int_equal(zip_deflate(rig->zip, rig->wire.encoding, body, &packed), MG_OK);
    rig->batches[i] = (struct send_batch){.body = arena_str(&rig->arena, buf_str(&packed)), .spans = spans,
                                           .done = rig->done, .number = i};
    buf_fini(&packed);
    rig->n_sent++;
    rig->wire.send(rig->wire.wire, &rig->batches[i]);
    return i;
}

void rig_wait(struct rig *rig)
{
    while (rig->n_done < rig->n_sent)
        loop_run(rig->loop);
}

void rig_run_until_requests(struct rig *rig, size_t n)
{
    while (rig->requests.n < n)
        loop_run(rig->loop);
}

const struct rig_result *rig_send(struct rig *rig, struct str body, uint32_t spans)
{
    rig->n_sent = rig->n_done = 0;
    size_t i = rig_begin(rig, body, spans);
    rig_wait(rig);
    return &rig->results[i];
}

static void on_gone(void *owner)
{
    struct rig *rig = owner;

    rig->is_gone = true;
    loop_stop(rig->loop);
}

void rig_close_wire(struct rig *rig)
{
    rig->is_gone = false;
    rig->wire.close(rig->wire.wire, on_gone, rig);
    assert_false(rig->is_gone); /* never from inside */
    assert_int_equal(rig->n_done, rig->n_sent);
    while (!rig->is_gone)
        loop_run(rig->loop);
    rig->has_wire = false;
}

static void on_server_idle(void *owner)
{
    struct rig *rig = owner;

    http_server_free(&rig->server);
    on_gone(rig);
}

void rig_close(struct rig *rig)
{
    static const struct rig_answer late = {.status = 503};

    if (rig->has_wire)
        rig_close_wire(rig);
    for (size_t i = 0; i < rig->held.n; i++)
        respond(rig->held.at[i], &late);
    rig->is_gone = false;
    http_server_drain(rig->server, 0, on_server_idle, rig);
    while (!rig->is_gone)
        loop_run(rig->loop);
    zip_free(&rig->zip);
    tls_source_free(&rig->tls);
    timer_free(&rig->deadline);
    VEC_FINI(&rig->requests);
    VEC_FINI(&rig->held);
    arena_fini(&rig->arena);
    loop_free(&rig->loop);
}

/* --- OTLP requests --- */

static void put_attribute(struct buf *out, uint32_t number, const char *key, struct str value)
{
    size_t attribute = wire_open(out, number), any;

    wire_put_bytes(out, 1, str_of(key));
    any = wire_open(out, 2);
    wire_put_bytes(out, 1, value);
    wire_close(out, any);
    wire_close(out, attribute);
}

static void put_padding(struct buf *out, size_t bytes)
{
    char *text = mem_alloc(bytes);

    memset(text, 'p', bytes);
    put_attribute(out, 9, "padding", str_n(text, bytes));
    mem_free(text);
}

void rig_put_span(struct buf *out, const struct rig_span *span)
{
    const uint8_t trace[16] = {[15] = span->trace}, id[8] = {[7] = span->span}, parent[8] = {[7] = span->parent};
    size_t resource_spans = wire_open(out, 1), resource = wire_open(out, 1), scope_spans, inner;

    put_attribute(out, 1, "service.name", str_of(span->service));
    wire_close(out, resource);
    scope_spans = wire_open(out, 2);
    inner = wire_open(out, 2);
    wire_put_bytes(out, 1, str_n(trace, sizeof trace));
    wire_put_bytes(out, 2, str_n(id, sizeof id));
    if (span->parent)
        wire_put_bytes(out, 4, str_n(parent, sizeof parent));
    wire_put_bytes(out, 5, str_of(span->name));
    wire_put_varint(out, 6, 2); /* SERVER */
    wire_put_fixed64(out, 7, span->start_ns);
    wire_put_fixed64(out, 8, span->end_ns);
    if (span->padding)
        put_padding(out, span->padding);
    wire_close(out, inner);
    wire_close(out, scope_spans);
    wire_close(out, resource_spans);
}
