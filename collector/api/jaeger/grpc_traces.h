/* grpc_traces.h - one trace as the messages of a gRPC stream, after the adjustments of adjust.h
 * unless raw (shown.h). Private to api/jaeger.
 *
 * No message is larger than GRPC_MESSAGE_BYTES, which is what clients take unless told otherwise,
 * but one whose only span is. A message never holds spans of two traces. Any thread. */
#pragma once
#include "query/query.h"

#define GRPC_MESSAGE_BYTES ((size_t)4 * 1024 * 1024)
#define GRPC_CHUNK_SPANS   10

/* Takes a complete message and empties the buffer. An error ends the writing with it. */
typedef enum mg_err grpc_message_fn(void *owner, struct buf *message);

/* api_v2: SpansResponseChunk, at most GRPC_CHUNK_SPANS spans each, by start time. Every span holds
 * its process. Raw, tags are in the order received, links to nowhere are left out and an end before
 * the start is a negative duration (jaeger_write.h); the attribute `@jaeger@warnings` is always the
 * field. `out` is empty, and its limit that of one span. E_TOO_BIG: a span is beyond it. */
enum mg_err grpc_v2_trace(struct buf *out, const struct query_trace *trace, bool raw,
                          grpc_message_fn *send, void *owner) MG_MUST_USE;
/* api_v3: TracesData, one a trace; a larger trace is several, one after the other, each with the
 * resource and the scope of its spans. Spans under resource and scope, as groups.h has them. */
enum mg_err grpc_v3_trace(struct buf *out, const struct query_trace *trace, bool raw,
                          grpc_message_fn *send, void *owner) MG_MUST_USE;
