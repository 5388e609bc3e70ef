/* span_again.h - what the fuzz targets of spans share: a span that was accepted must come again out
 * of what is written of it. */
#pragma once
#include <stdlib.h>
#include "model/otlp_scan.h"
#include "model/otlp_write.h"

struct again {
    const struct span *span; /* what each span must equal; NULL: any will do */
    uint32_t seen;
};

static inline void any_group(void *owner, struct str group)
{
    (void)owner;
    (void)group;
}

static inline void again_span(void *owner, const struct span *span, uint32_t ordinal)
{
    struct again *again = owner;

    (void)ordinal;
    if (again->span && !span_equal(span, again->span))
        abort();
    again->seen++;
}

static inline void must_not_refuse(void *owner, enum span_refusal why, uint32_t ordinal)
{
    (void)owner;
    (void)why;
    (void)ordinal;
    abort();
}

/* Its owner is a struct again. */
static const struct span_visitor again_visitor = { any_group, any_group, again_span,
                                                   must_not_refuse };

/* By way of OTLP. */
static inline void must_come_again(const struct span *span)
{
    struct otlp_scanner *scanner = otlp_scanner_new(NULL);
    struct again again = { span, 0 };
    struct buf request;

    buf_init(&request, SIZE_MAX);
    otlp_write_request(&request, &span, 1);
    if (otlp_scan(scanner, buf_str(&request), &again_visitor, &again, NULL) != MG_OK ||
        again.seen != 1)
        abort();
    buf_fini(&request);
    otlp_scanner_free(&scanner);
}
