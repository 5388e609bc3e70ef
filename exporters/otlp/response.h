/* response.h - what an ExportTraceServiceResponse says of the spans that were refused
 * (trace_service.proto). Module-private; one thread. */
#pragma once
#include "base/str.h"

enum { RESPONSE_MESSAGE_BYTES_MAX = 200 };
struct response {
    uint64_t rejected_spans;
    char message[RESPONSE_MESSAGE_BYTES_MAX + 1]; /* valid UTF-8, cut */
};
/* An empty body is full success, and so is a partial success that is there but empty. E_FORMAT:
 * neither protobuf nor, with is_json, JSON of that shape. */
enum mg_err response_read(struct str body, bool is_json, struct response *out) MG_MUST_USE;
