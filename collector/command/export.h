/* export.h - sends OTLP trace requests with several in flight, and retries as SDKs do
 * (OTLP specification, "Failures"): statuses 429, 502, 503, 504, gRPC codes 1, 4, 10, 11, 14, 15 and connection
 * failures, after the server's hint or with exponential back-off and jitter, up to a minute a
 * request. Whatever happens to a span, it is counted exactly once in the end.
 *
 * Loop thread only. Private to the module: the demo's. */
#pragma once
#include "base/buf.h"
#include "net/loop.h"

struct server_access;

enum { EXPORT_REQUESTS_MAX = 64 }; /* waiting, in flight or between attempts */

struct export_options {
    struct str base_url; /* "http://127.0.0.1:4318" */
    bool is_grpc;  /* HTTP/2 with the trace service, uncompressed; else POST /v1/traces with gzip */
    const struct server_access *access; /* shown with every request; must outlive the exporter */
    uint64_t seed; /* of the jitter */
    /* A sentence when requests begin to fail, and NULL when they work again. */
    void (*on_health)(void *owner, const char *why);
    void *owner;
};
struct export_stats {
    uint64_t accepted, refused, failed,
        waiting;                /* spans; refused: by partial success or a final status */
    uint64_t requests, retries; /* attempts that were answered well; repeated ones */
};
struct exporter;
enum mg_err exporter_new(struct exporter **out, struct loop *loop,
                         const struct export_options *options, struct mg_why *why) MG_MUST_USE;
bool exporter_has_room(const struct exporter *exporter);
/* The body, an ExportTraceServiceRequest, is copied. Fine without room too, so that an end can be
 * flushed. */
void exporter_send(struct exporter *exporter, struct str body, uint32_t spans);
bool exporter_is_idle(const struct exporter *exporter);
void exporter_stat(const struct exporter *exporter, struct export_stats *out);
/* What is not yet answered has failed, and counts so. on_gone: nothing of it is left in the loop;
 * never from inside. */
void exporter_close(struct exporter *exporter, void (*on_gone)(void *owner), void *owner);
void exporter_free(struct exporter **exporter); /* after on_gone */

/* rejected_spans of an ExportTraceServiceResponse; 0 for an empty one. E_FORMAT: not such a
 * message. */
enum mg_err export_rejected(struct str response, uint64_t *spans) MG_MUST_USE;
/* Retry-After in whole seconds (dates are not read: false). */
bool export_hint(struct str retry_after, uint64_t *delay_ms);
/* Back-off before attempt 1, 2, …: 500 ms doubled, at most 5 s, times a jitter of `unit` in
 * [0.5, 1.5). */
uint64_t export_backoff_ms(unsigned attempt, double unit);
