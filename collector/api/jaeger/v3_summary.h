/* v3_summary.h - what the list of results says about a trace (jaeger-idl: api_v3/query_service.proto), told from the whole
 * trace after the adjustments of adjust.h unless raw: with spans that were sent twice counted
 * once. Members that are zero or empty are left out, as in proto3 JSON; the UI has its defaults and
 * checks strictly what is there. */
#pragma once
#include "codec/json_write.h"
#include "query/query.h"

/* One TraceSummary object. */
void v3_summary_write(struct json_writer *w, const struct query_trace *trace, bool raw);
/* One TraceSummary message, as that field of the message around it. */
void v3_summary_put(struct buf *out, uint32_t number, const struct query_trace *trace, bool raw);
