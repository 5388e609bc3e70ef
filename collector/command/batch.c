/* batch.c - see batch.h. */
#include "command/batch.h"
#include "model/otlp_write.h"

static const size_t scope_bytes_max = 16u << 20; /* 512 spans take about 400 KB */

void batch_init(struct batch *batch)
{
    for (enum scope scope = 0; scope < SCOPES; scope++)
        buf_init(&batch->scopes[scope], scope_bytes_max);
    batch->n = 0;
}

void batch_fini(struct batch *batch)
{
    for (enum scope scope = 0; scope < SCOPES; scope++)
        buf_fini(&batch->scopes[scope]);
}

void batch_add(struct batch *batch, const struct shop_span *span, uint64_t now_ns)
{
    struct buf *out = &batch->scopes[span->scope];
    size_t mark = wire_open(out, 2);

    otlp_write_span(out, &span->span);
    wire_close(out, mark);
    if (batch->n++ == 0)
        batch->first_ns = now_ns;
}

void batch_write(struct batch *batch, const struct cast *cast, unsigned instance, struct buf *out)
{
    enum service service = cast->instances[instance].service;
    size_t resource = wire_open(out, 1);

    buf_put_str(out, cast->instances[instance].resource);
    for (enum scope scope = 0; scope < SCOPES; scope++) {
        if (batch->scopes[scope].len == 0)
            continue;
        size_t mark = wire_open(out, 2);
        buf_put_str(out, cast->scopes[service][scope]);
        buf_put_str(out, buf_str(&batch->scopes[scope]));
        wire_close(out, mark);
        buf_clear(&batch->scopes[scope]);
    }
    wire_close(out, resource);
    batch->n = 0;
}
