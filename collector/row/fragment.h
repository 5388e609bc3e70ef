/* fragment.h - a decided trace, or the part of it that one decision took: what live gives to those who keep it. */
#pragma once
#include "row/row.h"

struct fragment {
    uint8_t trace_id[16];
    const struct row *last;  /* its rows: last, then prev, n in all */
    uint32_t n;
    bool is_kept;            /* false: sampled out; only exporters that take everything see it */
    uint64_t position;       /* of the decision's record */
};
