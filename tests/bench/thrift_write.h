/* thrift_write.h - Jaeger's Batch in binary Thrift (jaeger.thrift), made from Jaeger's protobuf. The bench's own: nothing else writes Thrift. */
#pragma once
#include "base/buf.h"
/* spans: field 1 repeated, each an api_v2.Span with its process; the batch's process is the last one's. Well-formed, or the program aborts. */
void thrift_write_batch(struct buf *out, struct str spans, uint32_t n);
