/* trace_json.h - one trace as Jaeger's legacy JSON object, after the
 * adjustments of adjust.h unless raw. Written piece by piece into a buf that the caller takes
 * bytes from meanwhile, so that a trace of any size costs a bounded buffer.
 *
 * Order of a span's tags: scope, attributes by key, then what is derived from kind, status and
 * trace state; a derived tag that is there as an attribute with the same value is not said twice.
 * Log fields: `event` first, then attributes by key; logs by time. raw: attributes and logs as
 * stored, an end before the start as a negative duration.
 *
 * A name that is not UTF-8 is shown as filter.h's view_operation makes it, which is how it is
 * searched, with the bytes received in a binary tag `invalid-span-name`. */
#pragma once
#include "codec/json_write.h"
#include "query/query.h"

#define TRACE_JSON_PIECE ((size_t)64 * 1024)

struct trace_json_options {
    bool raw;
};
/* Called whenever TRACE_JSON_PIECE bytes or more have come together; it may take them. An error
 * ends the writing with it. NULL: never. */
typedef enum mg_err trace_json_flush_fn(void *owner, struct buf *out);
/* E_TOO_BIG: one value alone is beyond the limit of w->out. */
enum mg_err trace_json_write(struct json_writer *w, const struct query_trace *trace,
                             const struct trace_json_options *options, trace_json_flush_fn *flush,
                             void *owner) MG_MUST_USE;
