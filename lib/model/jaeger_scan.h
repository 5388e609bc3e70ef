/* jaeger_scan.h - Jaeger's wires into a span_visitor (jaeger-idl: api_v2/model.proto, jaeger.thrift):
 * spans become OTLP's as in jaeger_otlp.c.
 *
 * Each call takes one whole message, walked once; E_FORMAT refuses it as a whole, after a part may have been visited: bytes that are cut off or
 * left over, a missing field that Thrift requires, ids that are zero or of a wrong length, more than 4096 tags of a span,
 * a process or a log. Every length is checked against what is left, nesting against 64. Any bytes are safe; memory is a few
 * times the body at most. One scanner a thread.
 *
 * Spans are visited in the order of the message, but those of another process than the first one come behind, by process; each is told
 * once, a scope whenever it changes. Ordinals are those of the message. Resources and scopes point into
 * the body or into the scanner's memory, until the next scan; what a span points to is good in on_span. A message without spans visits nothing.
 *
 * What OTLP cannot hold: flags are dropped; times before 1970 and after 2554 become the nearest there is; references with
 * a zero id are counted in dropped_links. Strings stay as they are, also when they are not UTF-8. */
#pragma once
#include "base/buf.h"
#include "model/span_visitor.h"

enum jaeger_wire {
    JAEGER_UDP_COMPACT, /* a datagram: message emitBatch(Batch), TCompactProtocol (6831) */
    JAEGER_UDP_BINARY,  /* the same in TBinaryProtocol, strict or old header (6832) */
    JAEGER_HTTP_BINARY, /* a bare Batch struct in TBinaryProtocol (14268) */
    JAEGER_POST_SPANS,  /* api_v2.PostSpansRequest (14250) */
    JAEGER_SPAN         /* one api_v2.Span with its process inside (Kafka) */
};
struct jaeger_scanner;
struct jaeger_scanner *jaeger_scanner_new(void);
void jaeger_scanner_free(struct jaeger_scanner **scanner);
enum mg_err jaeger_scan(struct jaeger_scanner *scanner, enum jaeger_wire wire, struct str body, const struct span_visitor *visitor,
                        void *owner, struct mg_why *why) MG_MUST_USE;
void jaeger_scanner_decay(struct jaeger_scanner *scanner); /* when idle: gives buffers back */
