/* batch.h - what one instance of a service has ended and not yet exported: the batch span processor
 * of its SDK. Spans are encoded as they come and grouped by scope. One thread. Private to the
 * module: the demo's. */
#pragma once
#include "command/shop.h"

enum { BATCH_SPANS_MAX = 512 }; /* the SDKs' default */

struct batch {
    struct buf scopes[SCOPES]; /* `spans` fields of a ScopeSpans */
    uint32_t n;
    uint64_t first_ns; /* when its first span came; the caller's clock */
};
void batch_init(struct batch *batch);
void batch_fini(struct batch *batch);
void batch_add(struct batch *batch, const struct shop_span *span, uint64_t now_ns);
/* Appends the ExportTraceServiceRequest and empties the batch. */
void batch_write(struct batch *batch, const struct cast *cast, unsigned instance, struct buf *out);
