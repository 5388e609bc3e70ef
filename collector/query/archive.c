/* archive.c - a trace is copied to the store's archive, where retention leaves it alone. As stored:
 * no adjusting. What is archived already is part of the trace, so that archiving again after late
 * spans loses nothing of the first time. */
#include "query/private.h"

enum mg_err query_archive(struct query *query, const uint8_t id[16], struct mg_why *why)
{
    struct query_trace trace;
    enum mg_err err;

    MG_TRY(query_trace(query, id, &trace, why));
    err = store_pin(query->options->store, (const struct span *const *)trace.spans, trace.n, trace.outcome, why);
    return err == MG_E_FORMAT ? MG_E_IO : err; /* a damaged archive is not the asker's mistake */
}
