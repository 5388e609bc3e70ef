/* zipkin_scan.h - a Zipkin v2 list of spans (JSON or proto3) into a span_visitor (zipkin-api:
 * zipkin2-api.yaml, zipkin.proto).
 *
 * Spans become OTLP's as in zipkin_build.c; what Zipkin has and OTLP has not stays in attributes,
 * so that zipkin_write.h gives it back: zipkin.shared, zipkin.debug (bool true), local and remote
 * endpoints, the absence of a timestamp; zipkin.tags (int), where tags became something else that
 * could not tell. Resources carry Zipkin's schema_url. Names keep the case they came in. A tag
 * `error` sets the status, whatever its value, and stays; its value is the description when there
 * is no better one.
 *
 * Spans are visited in the order of the list, but those of another resource than the first one come behind, by resource. That is the local
 * service and the tags that describe it, and told once; a scope is told whenever it changes. Ordinals are those of the list. One bad span refuses the whole list (E_FORMAT), in Zipkin's words ("traceId is all zeros reading List<Span>
 * from json"), after spans before it were visited. An empty list, or none, is fine. What a span points to is good in on_span.
 *
 * Any bytes are safe. Memory is bounded by the body: a list costs at most a few times its length, and nothing is allocated
 * per span once the buffers have grown. A smallest span has 8 bytes in proto3, 24 in JSON. One scanner a thread. */
#pragma once
#include "base/buf.h"
#include "model/span_visitor.h"

struct zipkin_scanner;
struct zipkin_scanner *zipkin_scanner_new(void);
void zipkin_scanner_free(struct zipkin_scanner **scanner);
enum mg_err zipkin_scan_json(struct zipkin_scanner *scanner, struct str body,
                             const struct span_visitor *visitor, void *owner,
                             struct mg_why *why) MG_MUST_USE;
enum mg_err zipkin_scan_proto(struct zipkin_scanner *scanner, struct str body,
                              const struct span_visitor *visitor, void *owner,
                              struct mg_why *why) MG_MUST_USE;
void zipkin_scanner_decay(struct zipkin_scanner *scanner); /* when idle: gives buffers back */
