/* by_trace.h - an ExportTraceServiceRequest taken apart into one request per trace, for messages keyed by the trace id.
 *
 * Spans are copied as they are; each message repeats the resources and scopes its spans have. A trace whose message would be
 * larger than bytes_max is cut into several with the same key; a span that is larger alone is given alone. One thread. */
#pragma once
#include "base/err.h"
#include "base/str.h"

enum { BY_TRACE_KEY_BYTES = 32 };
struct by_trace_message {
    char key[BY_TRACE_KEY_BYTES];  /* the trace id in hex, no NUL */
    struct str value;              /* until the next call */
    uint32_t spans;
};
struct by_trace;
struct by_trace *by_trace_new(void);
void by_trace_free(struct by_trace **by);
/* Borrows the request until the next read. E_FORMAT: malformed, or a trace id that is not 16 bytes. */
enum mg_err by_trace_read(struct by_trace *by, struct str request, struct mg_why *why) MG_MUST_USE;
/* The next message, traces in the order of their ids; false: no more. */
bool by_trace_next(struct by_trace *by, size_t bytes_max, struct by_trace_message *out);
