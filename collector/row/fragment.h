/* fragment.h - a decided trace, or the part of it that one decision took: what live gives to those who keep it. */
#pragma once
#include "row/outcome.h"
#include "row/row.h"

struct fragment {
    uint8_t trace_id[16];
    const struct row *last;  /* its rows: last, then prev, n in all */
    uint32_t n;
    bool is_kept;            /* false: sampled out; the store counts its edges and remembers the outcome, exporters that take everything get it */
    uint64_t position;       /* of the decision's record */
    uint64_t outcome;        /* outcome.h; 0: sampling is off */
    struct str votes;        /* outcome.h; of kept ones; the giver's memory, as long as the rows */
};
