/* otlp_scan.h - ExportTraceServiceRequest bytes, walked once into a visitor. Allocates nothing per span.
 *
 * Checks wire form and nesting (`depth_max`, 64) of everything, also inside attribute values, events and
 * links; a malformed request is E_FORMAT as a whole and may have been visited in part: the caller
 * must be able to take back what it collected. A span with a trace id that is not 16 bytes, a span id that is not
 * 8, an all-zero one, a parent id that is neither 0 nor 8 bytes, or more than attrs_max attributes is refused alone
 * (on_refused), the rest goes on (OTLP partial success).
 * Link ids are kept as received, whatever their length. Unknown fields are kept as bytes (span.h). Field 1000
 * (instrumentation_library_spans) is unknown and kept in span.resource, its spans are counted as not read.
 *
 * Depth is counted in messages, the request being the first: an array adds two, a map three.
 * Thread: one scanner a thread. Slices given to the visitor point into the body, or, where a part had to be
 * put together from pieces (resource, scope, events, links, unknown), into the scanner's memory until the
 * next scan. span.attrs is the scanner's array and valid in on_span only. */
#pragma once
#include "base/buf.h"
#include "model/span_visitor.h"

struct otlp_limits { unsigned depth_max /* 6 … 128 */; uint32_t attrs_max; }; /* 64; 4096 */

struct otlp_scanner;
struct otlp_scanner *otlp_scanner_new(const struct otlp_limits *limits); /* NULL: defaults */
void otlp_scanner_free(struct otlp_scanner **scanner);
enum mg_err otlp_scan(struct otlp_scanner *scanner, struct str body, const struct span_visitor *visitor,
                      void *owner, struct mg_why *why) MG_MUST_USE;
/* Spans in field 1000 of the last scan, which were not read. */
uint64_t otlp_scanner_unread(const struct otlp_scanner *scanner);
